"""One value, built once: of what is the running code part, and who waits for whom?"""

from __future__ import annotations

import contextvars
from typing import Any

from ..._lock import LOCK
from ..._names import name_of
from ...errors import CircularDependencyError
from .frames import BUILDS
from .singletons import Flight

__all__ = ["CHAIN", "Wait", "forget_waits", "holdings"]

#: The container values that the running code is part of building, outermost first; child tasks inherit it.
CHAIN: contextvars.ContextVar[tuple[Flight, ...]] = contextvars.ContextVar("asyncmeta_chain", default=())


# The check refuses what parameters alone close: here somebody awaits a handle, or asks, while it is being made.
_LATER = "Somebody on the way asks while it is being made (a Lazy, an attribute, get): ask later, in a method"

# --- who waits for whom ----------------------------------------------------------------------------
#
# A thing that is being built is a Build, or (scope, slot) of a scoped value.  Only waits from inside of a build are
# recorded, so ten thousand callers of one value cost nothing here.


class Wait:
    """One wait of code that is part of building something."""

    __slots__ = ("held", "names", "targets")

    def __init__(self, held: dict[Any, str]) -> None:
        self.held = held  #: what the waiting code is part of building, and its name
        self.targets: dict[Any, str] = {}  #: what it waits for

    def begin(self, target: Any, name: str, way: tuple[str, ...] = ()) -> None:
        """
        Record that this waits for *target*.

        Raises:
            CircularDependencyError: *target* waits, directly or through others, for something that this is part of.
        """
        with LOCK:
            path = _way(target, (*way, name), self.held)
            if path is not None:
                raise CircularDependencyError(path[0], path, "", _LATER)
            self.targets[target] = name
            for thing in self.held:
                _WAITS.setdefault(thing, {})[self] = None

    def end(self) -> None:
        """Forget the wait."""
        with LOCK:
            self._forget()

    def _forget(self) -> None:
        for thing in self.held:
            waits = _WAITS.get(thing, {})
            waits.pop(self, None)
            if not waits:
                _WAITS.pop(thing, None)


#: The waits of code that is part of building something, by that.
_WAITS: dict[Any, dict[Wait, None]] = {}


def forget_waits() -> None:
    """Forget every wait: this is the child of a fork, and those who wait are in the parent."""
    _WAITS.clear()


def _way(target: Any, begin: tuple[str, ...], held: dict[Any, str]) -> tuple[str, ...] | None:
    """Return the names on the way from *target* back to something held, or None.  The lock is held."""
    pending: list[tuple[Any, tuple[str, ...]]] = [(target, begin)]
    seen: set[Any] = set()
    while pending:
        thing, path = pending.pop()
        if thing in held:
            inner = tuple(held.values())[list(held).index(thing) :]
            return (*inner, *path)
        if thing in seen:
            continue
        seen.add(thing)
        for wait in _WAITS.get(thing, ()):
            pending.extend((next_one, (*path, next_name)) for next_one, next_name in wait.targets.items())
    return None


def holdings() -> dict[Any, str]:
    """
    Return what the running code is part of building, outermost first.

    Container values are known by their context, which child tasks inherit; scoped ones by the frames of plain awaits,
    so that a request pays nothing for it.
    """
    held: dict[Any, str] = {}
    for flight in CHAIN.get():
        if not flight.done:
            held[flight] = name_of(flight.node.key) if flight.node.binding else flight.node.name
    for thing, name in reversed(BUILDS.above()):
        held[thing] = name
    return held
