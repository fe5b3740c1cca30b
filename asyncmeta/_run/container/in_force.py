"""What is an override in force?  It answers for its container, and for all that lies upon that."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .container import Container
    from .overlay import Overlay

__all__ = ["InForce"]


class InForce:
    """
    One override in force.

    The overlay that answers for it is another one from when a block ends that it lies on: blocks need not nest.
    """

    __slots__ = ("answers", "ended", "held", "outlives", "over", "target")

    def __init__(self, target: Container) -> None:
        self.target = target  #: the container that is overridden
        #: it was there before the container was entered, and is in force each time that this happens
        self.outlives = not target._origin._grounds
        self.answers: Overlay | None = None  #: the overlay that answers, None before it has begun and when it is over
        self.held: list[Overlay] = []  #: overlays to be closed with it
        self.over: tuple[Container, ...] = ()  #: for whom it answers: what it was before, and all from below it to the target
        self.ended = False

    @property
    def top(self) -> Overlay:
        """The overlay that answers."""
        assert self.answers is not None, "it has not begun, or is over"
        return self.answers

    def is_answered_by(self, overlay: Overlay) -> bool:
        return self.answers is overlay

    def release(self) -> None:
        """
        Keep no overlay.

        A task that was started in the block has this in its context for as long as it lives, and shall keep no fake.
        """
        self.held, self.answers = [], None

    def lay(self, overlay: Overlay) -> None:
        """Let *overlay* answer from here on."""
        before = self.over
        if self.answers is None:
            self.target._laid.append(self)
        self.answers = overlay
        overlay._force, overlay._root_table.everywhere = self, self.target._root_table.everywhere
        overlay._singletons.pinned = Pinned(overlay)
        over: list[Container] = list(self.held)
        one: Container = overlay
        while one is not self.target:
            assert isinstance(one, type(overlay))
            one = one._below
            over.append(one)
        self.held.append(overlay)
        self.over = tuple(over)
        for one in over:
            one._root_table.begin_override()
        for one in before:
            one._root_table.end_override()

    def end(self) -> None:
        """Answer for nobody any more."""
        self.ended = True
        if self in self.target._laid:
            self.target._laid.remove(self)
        if self in self.target._root_table.everywhere:
            self.target._root_table.everywhere.remove(self)
        over, self.over = self.over, ()
        for one in over:
            one._root_table.end_override()


class Pinned:
    """Stands for an overlay in what its builds see: it stays that one."""

    __slots__ = ("answers",)

    @property
    def ended(self) -> bool:
        """Closed, it is passed over."""
        return self.answers.closed

    def __init__(self, overlay: Overlay) -> None:
        self.answers = overlay

    @property
    def over(self) -> tuple[Container, ...]:
        """For whom it answers."""
        force = self.answers._force
        return () if force is None else force.over
