"""Which overrides are in force for the running code?"""

from __future__ import annotations

import contextvars
from contextlib import AbstractContextManager, nullcontext
from itertools import chain
from types import TracebackType
from typing import Any, Final

__all__ = ["IN_FORCE", "NONE", "InForce", "Seeing", "active_for", "building", "looking_first", "looking_first_for"]

#: Stands in IN_FORCE where not even overrides for everybody count: while a shared value is built.
NONE: Final = object()

#: What is in force in this context, innermost last; what has ended is passed over.
IN_FORCE: contextvars.ContextVar[tuple[Any, ...]] = contextvars.ContextVar("asyncmeta_overrides", default=())


class InForce:
    """
    One override in force.

    The overlay that answers for it is another one from when a block ends that it lies on: blocks need not nest.
    """

    __slots__ = ("ended", "held", "outlives", "over", "target", "top")

    def __init__(self, target: Any) -> None:
        self.target = target  #: the container that is overridden
        #: it was there before the container was entered, and is in force each time that this happens
        self.outlives = not target._origin._grounds
        self.top: Any = None  #: the overlay that answers; None when it has ended
        self.held: list[Any] = []  #: overlays to be closed with it
        self.over: tuple[Any, ...] = ()  #: for whom it answers: what it was before, and all from below it to the target
        self.ended = False

    def lay(self, overlay: Any) -> None:
        """Let *overlay* answer from here on."""
        before = self.over
        if self.top is None:
            self.target._laid.append(self)
        self.top = overlay
        overlay._force, overlay._everywhere = self, self.target._everywhere
        over = list(self.held)
        one = overlay
        while one is not self.target:
            one = one._below
            over.append(one)
        self.held.append(overlay)
        self.over = tuple(over)
        for one in over:
            one._begin_override()
        for one in before:
            one._end_override()

    def end(self) -> None:
        """Answer for nobody any more."""
        self.ended = True
        if self in self.target._laid:
            self.target._laid.remove(self)
        if self in self.target._everywhere:
            self.target._everywhere.remove(self)
        over, self.over = self.over, ()
        for one in over:
            one._end_override()


def active_for(container: Any) -> Any:
    """Return the overlay that is in force for *container* here, or None."""
    for one in chain(reversed(IN_FORCE.get()), reversed(container._everywhere)):
        if one is NONE or one.top is container:
            return None
        if not one.ended and container in one.over:
            return one.top
    return None


class Seeing(AbstractContextManager[None]):
    """Sets for a block what is in force in it: of what is built, what its container says."""

    __slots__ = ("_seen", "_token")

    def __init__(self, seen: tuple[Any, ...]) -> None:
        self._seen = seen

    def __enter__(self) -> None:
        self._token = IN_FORCE.set(self._seen)

    def __exit__(self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None, /) -> None:
        try:
            IN_FORCE.reset(self._token)
        except ValueError:  # a coroutine that is given up is closed in whatever context
            pass


def building(container: Any) -> AbstractContextManager[None]:
    """Return the context manager in which what *container* shares is built, or fetched for good: it keeps no fake."""
    return Seeing(container._seen_by_builds) if container._overridden else nullcontext()


def looking_first(container: Any, token: Any, root: Any) -> Any:
    """Return *root* so that it first looks whether some override may be in force here; then the cold path knows more."""

    def look(scope: Any) -> Any:
        if IN_FORCE.get() or container._everywhere:
            return scope._get_cold(token)
        return root(scope)

    return look


def looking_first_for(container: Any, token: Any, value: Any) -> Any:
    """Return the same for a built container value: in one coroutine."""
    in_force, everywhere = IN_FORCE.get, container._everywhere

    async def look(scope: Any) -> Any:
        if in_force() or everywhere:
            return await scope._get_cold(token)
        return value

    return look
