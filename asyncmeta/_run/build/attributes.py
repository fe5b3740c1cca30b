"""What does a descriptor leave on its instance?"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, TypeAlias

from ..._declare.tokens import Lazy
from ..state.singletons import ScopeState, Singletons

if TYPE_CHECKING:
    from .ready import AttributeKey, Ready

__all__ = ["Attributes", "Await", "forget_fetched", "put", "refusing"]

#: How a fetched attribute is awaited.
Await: TypeAlias = Callable[[Any], Generator[Any, None, Any]]


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


def forget_fetched(instance: object) -> None:
    """Take what was fetched from an instance: its container begins anew."""
    kept = getattr(instance, "__dict__", {})
    handles = [name for name, value in kept.items() if isinstance(value, Lazy)]
    if handles:
        from .ready import Ready  # lazy import

        for name in handles:
            if isinstance(kept[name], Ready):
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
        cls = self._class
        if cls is None:
            from .ready import Ready  # lazy import

            names: dict[str, Any] = {"__slots__": (), "_attributes": self}
            if self._by_context:
                names["__await__"] = Ready._by_context
            cls = self._class = type("Unawaited", (Ready,), names)
        return cls(value, scope, key)

    def keep(self, ready: Ready, value: object) -> None:
        """Let *ready*, of before something was forgotten, hold *value* from here on."""
        ready._value, ready._era = value, self._singletons.era

    # --- what happens to the container ---

    def cool(self) -> None:
        """What was fetched stays fetched, whatever is registered."""

    def set_aside(self) -> None:
        """An override is in force somewhere."""
        self._by_context = True
        if self._class is not None:
            self._answer(self._class._by_context)

    def give_back(self) -> None:
        """None is any more."""
        self._by_context = False
        if self._class is not None:
            self._answer(self._class._as_ever)

    def renew(self) -> None:
        """Something that was built has been forgotten: who holds it, or what was made of it, fetches anew."""
        if self._class is not None:
            type.__setattr__(self._class, "_fetch_nowait", self._class._renewing_nowait)
            self.end(self._class._renewing)

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
