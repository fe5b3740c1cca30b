"""What does a descriptor leave on its instance, and how does an instance know its scope?"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, TypeAlias

from ..._names import name_of
from ..state.context import building
from ..state.singletons import OPEN, Singletons
from ..state.slots import ScopeState
from .cell import Cell
from .unawaited import Unawaited

__all__ = [
    "HOME", "TWIN", "Attributes", "Await", "Ready", "fetched", "fetched_nowait", "forget_fetched", "home_kept", "put", "refusing",
    "renewing", "renewing_nowait",
]  # fmt: skip

#: What an attribute asks for: the class that is asked, and the descriptor.
AttributeKey: TypeAlias = tuple[type, Any]

#: How a fetched attribute is awaited.
Await: TypeAlias = Callable[[Any], Generator[Any, None, Any]]

#: Where an instance keeps the scope that made it.
HOME = "_asyncmeta_scope"

#: What a copy of an instance keeps that a container had made.
TWIN = "_asyncmeta_twin"


def home_kept(instance: object) -> Any:
    """Return the scope that an instance keeps, or None; the instance's own ``__getattr__`` is not asked."""
    try:
        return object.__getattribute__(instance, HOME)
    except AttributeError:
        return None


def put(instance: object, name: str, value: object) -> bool:
    """Keep *value* in an instance, whatever its own ``__setattr__`` says; False where it has no place for it."""
    try:
        object.__setattr__(instance, name, value)
    except (AttributeError, TypeError):
        try:
            # Before Python 3.13 object's own is refused on a class with a setattr in C (msgspec).
            object.__getattribute__(instance, "__dict__")[name] = value
        except (AttributeError, TypeError):
            return False
    return True


async def fetched(scope: ScopeState, key: object) -> Any:
    """Return what is fetched late to be kept, where no override answers: it is made as what is shared is."""
    with building(scope._singletons):
        return await scope.get(key)


def fetched_nowait(scope: ScopeState, key: object) -> Any:
    """Return the same without awaiting."""
    with building(scope._singletons):
        return scope.get_nowait(key)


class Ready(Unawaited):
    """
    A fetched attribute: stands in the instance's own dictionary, under the descriptor's name, so that it is found first.

    Each container has subclasses of its own, see `Attributes`; closing gives them another ``__await__``.
    """

    __slots__ = ("_era", "_key", "_scope", "_value")

    _attributes: Attributes  #: a fact of the class that a container makes

    def __init__(self, value: object, scope: ScopeState, key: AttributeKey) -> None:
        self._value = value
        self._era = scope._singletons.era  #: how often its container had forgotten something that it had built
        self._scope, self._key = scope, key  #: where it was fetched, and what was asked for: an override may answer instead

    # A generator that ends at once: CPython inlines sending to it, which no object of another kind has.
    def __await__(self) -> Generator[Any, None, Any]:
        return self._value
        yield

    def _fetch_nowait(self) -> Any:
        view = self._scope._elsewhere(self._key)
        return self._value if view is None else view._attribute_nowait(id(self), self, self._key)

    def __repr__(self) -> str:
        return "<Lazy, ready>"

    def _label(self) -> str:
        cls, attribute = self._key
        return f"{name_of(cls)}.{attribute.name}"

    def _written(self) -> str:
        return f"self.{self._key[1].name}"


def answering_by_context(self: Any) -> Generator[Any, None, Any]:
    """The ``__await__`` of fetched attributes while an override is in force somewhere."""
    view = self._scope._elsewhere(self._key)
    if view is None:
        return self._value
    return (yield from view._attribute(id(self), self, self._key).__await__())


class Renewal(Cell):
    """Fetches anew what an attribute holds: what it stood on died with its loop."""

    __slots__ = ("_ready",)

    def __init__(self, ready: Ready) -> None:
        super().__init__()
        self._ready = ready

    def _get(self) -> Any:
        return fetched(self._ready._scope, self._ready._key)

    def _get_nowait(self) -> Any:
        return fetched_nowait(self._ready._scope, self._ready._key)

    def _label(self) -> str:
        cls, attribute = self._ready._key
        return f"{name_of(cls)}.{attribute.name}"

    def _written(self) -> str:
        return self._ready._written()

    def _keep(self, value: object) -> None:
        super()._keep(value)
        self._ready._attributes.keep(self._ready, value)


def _is_lost(ready: Ready) -> bool:
    """Tell whether what *ready* holds, or anything that it was made of, has been forgotten since; where not, it stays."""
    if type(ready._value) is Renewal:
        return True
    singletons = ready._scope._singletons
    if ready._era == singletons.era and singletons.state == OPEN:
        return False
    lost = singletons.lost
    if any(lost.get(node, 0) > ready._era for node in ready._scope._find(ready._key).plan.singletons):
        ready._value = Renewal(ready)
        return True
    ready._attributes.keep(ready, ready._value)
    return False


def renewing(self: Any) -> Generator[Any, None, Any]:
    """The ``__await__`` of fetched attributes when something that was built has been forgotten."""
    view = self._scope._elsewhere(self._key)
    if view is not None:
        return (yield from view._attribute(id(self), self, self._key).__await__())
    if _is_lost(self):
        return (yield from self._value._fetch_once().__await__())
    return self._value


def renewing_nowait(self: Any) -> Any:
    """The same for ``nowait()``."""
    view = self._scope._elsewhere(self._key)
    if view is not None:
        return view._attribute_nowait(id(self), self, self._key)
    if _is_lost(self):
        renewal = self._value
        return renewal._fetch_once_nowait() if type(renewal) is Renewal else renewal  # another thread has it by now
    return self._value


def forget_fetched(instance: object) -> None:
    """Take what was fetched from an instance: its container begins anew."""
    kept = getattr(instance, "__dict__", {})
    for name in [name for name, handle in kept.items() if isinstance(handle, Ready)]:
        del kept[name]


class Attributes:
    """
    How the fetched attributes of one container answer: with what was fetched, by what is in force, or with an error.

    They are of a class of the container's own, so that one store changes all of them.
    """

    __slots__ = ("_by_context", "_class", "_singletons")

    def __init__(self, singletons: Singletons) -> None:
        self._singletons = singletons
        self._class: type[Ready] | None = None
        self._by_context = False

    def ready(self, value: object, scope: ScopeState, key: AttributeKey) -> Ready:
        """Return what a fetched attribute leaves on its instance."""
        return self._current()(value, scope, key)

    def keep(self, ready: Ready, value: object) -> None:
        """Let *ready*, of before something was forgotten, hold *value* from here on."""
        ready._value, ready._era = value, self._singletons.era

    def _current(self) -> type[Ready]:
        if self._class is None:
            names: dict[str, Any] = {"__slots__": (), "_attributes": self}
            if self._by_context:
                names["__await__"] = answering_by_context
            self._class = type("Unawaited", (Ready,), names)
        return self._class

    # --- what happens to the container ---

    def cool(self) -> None:
        """What was fetched stays fetched, whatever is registered."""

    def set_aside(self) -> None:
        """An override is in force somewhere."""
        self._by_context = True
        self._answer(answering_by_context)

    def give_back(self) -> None:
        """None is any more."""
        self._by_context = False
        self._answer(Ready.__await__)

    def renew(self) -> None:
        """Something that was built has been forgotten: who holds it, or what was made of it, fetches anew."""
        if self._class is not None:
            type.__setattr__(self._class, "_fetch_nowait", renewing_nowait)
        self.end(renewing)

    def begin(self) -> None:
        """The container begins anew."""
        self._class = None

    def end(self, how: Await) -> None:
        """What was fetched so far is awaited by *how* from here on; what comes is of another class."""
        self._answer(how)
        self._class = None

    def _answer(self, how: Await) -> None:
        if self._class is not None:
            type.__setattr__(self._class, "__await__", how)


def refusing(refuse: Callable[[], BaseException]) -> Await:
    """Return an ``__await__`` that raises what *refuse* makes."""

    def __await__(self: Any) -> Generator[Any, None, Any]:
        raise refuse()
        yield

    return __await__
