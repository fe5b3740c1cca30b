"""Which overrides are in force for the running code?"""

from __future__ import annotations

from itertools import chain
from typing import Any

from ..state.context import IN_FORCE, Shield

__all__ = [
    "IN_FORCE",
    "InForce",
    "active_for",
]


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
        if one.top is container:
            return None
        if not one.ended:
            if type(one) is Shield:
                return None
            if container in one.over:
                return one.top
    return None
