"""How is an attribute awaited that was fetched before?"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from ..._names import name_of
from ..state.singletons import OPEN, ScopeState
from .cell import Cell
from .unawaited import Unawaited

#: What an attribute asks for: the class that is asked, and the descriptor.
AttributeKey: TypeAlias = tuple[type, Any]

if TYPE_CHECKING:

    class Keeper(Protocol):
        """What leaves them on their instances: `Attributes`."""

        def keep(self, ready: Ready, value: object) -> None: ...


__all__ = ["AttributeKey", "Ready", "fetched", "fetched_nowait"]


async def fetched(scope: ScopeState, key: object) -> Any:
    """Return what is fetched late to be kept, where no override answers: it is made as what is shared is."""
    with scope._singletons.building():
        return await scope.get(key)


def fetched_nowait(scope: ScopeState, key: object) -> Any:
    """Return the same without awaiting."""
    with scope._singletons.building():
        return scope.get_nowait(key)


class Ready(Unawaited):
    """
    A fetched attribute: stands in the instance's own dictionary, under the descriptor's name, so that it is found first.

    Each container has subclasses of its own, see `Attributes`; closing gives them another ``__await__``.
    """

    __slots__ = ("_era", "_key", "_scope", "_value")

    _attributes: Keeper  #: a fact of the class that a container makes

    def __init__(self, value: object, scope: ScopeState, key: AttributeKey) -> None:
        self._value: Any = value
        self._era = scope._singletons.era  #: how often its container had forgotten something that it had built
        self._scope, self._key = scope, key  #: where it was fetched, and what was asked for: an override may answer instead

    # A generator that ends at once: CPython inlines sending to it, which no object of another kind has.
    def __await__(self) -> Generator[Any, None, Any]:
        return self._value
        yield

    def _fetch_nowait(self) -> Any:
        view = self._scope._elsewhere(self._key)
        return self._value if view is None else view._attribute_nowait(id(self), self, self._key)

    # What a container puts in the place of these, for all of its own at once.

    _as_ever = __await__

    def _by_context(self) -> Generator[Any, None, Any]:
        """The ``__await__`` while an override is in force somewhere."""
        view = self._scope._elsewhere(self._key)
        if view is None:
            return self._value
        return (yield from view._attribute(id(self), self, self._key).__await__())

    def _renewing(self) -> Generator[Any, None, Any]:
        """The ``__await__`` when something that was built has been forgotten."""
        view = self._scope._elsewhere(self._key)
        if view is not None:
            return (yield from view._attribute(id(self), self, self._key).__await__())
        if _is_lost(self):
            return (yield from self._value._fetch_once().__await__())
        return self._value

    def _renewing_nowait(self) -> Any:
        """The same for ``nowait()``."""
        view = self._scope._elsewhere(self._key)
        if view is not None:
            return view._attribute_nowait(id(self), self, self._key)
        if _is_lost(self):
            renewal = self._value
            return renewal._fetch_once_nowait() if type(renewal) is Renewal else renewal  # another thread has it by now
        return self._value

    def __repr__(self) -> str:
        return "<Lazy, ready>"

    def _label(self) -> str:
        cls, attribute = self._key
        return f"{name_of(cls)}.{attribute.name}"

    def _written(self) -> str:
        return f"self.{self._key[1].name}"


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
        return self._ready._label()

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
