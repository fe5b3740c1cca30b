"""What is closed from outside, while its block or call goes on: what stands in its place, and who is told?"""

from __future__ import annotations

from ...errors import ClosedError
from ..state.parking import CLOSED_BY_OTHERS, Closers, me, run_nowait, tell, until
from ..state.singletons import ScopeState
from ..state.slots import Finalizer, Gone, Held, Waitable
from .finalizers import settle_errors, unwind

__all__ = ["Leaving", "Taken", "Undone", "failed"]


class Undone(Gone):
    """The same where what was open has failed: what it held was undone, and whoever ends its block is told."""

    __slots__ = ("closers", "error")

    def __init__(self, error: BaseException, closers: Closers) -> None:
        self.error = error  #: what was thrown in
        self.closers = closers
        closers.look()

    def check(self, name: str) -> None:
        """
        Tell who ends the block as if it had succeeded: a thread, or a task that was there when it was undone.

        Who only puts things away afterwards has begun nothing that could be lost.

        Raises:
            ClosedError: It has not.
        """
        if self.closers.concern(me()):
            raise ClosedError(f"{name} was closed before its block had ended: what was begun in it is undone") from self.error


def failed(scope: ScopeState) -> ClosedError:
    """Return what ends a scope that is still open when its container closes."""
    return ClosedError(f"{scope._name} was still open when {scope._parent._title} closed: what was begun in it has failed")


class Taken(Held, Waitable):
    """Stands where a call or block had its finalizers: its container has closed in its place what it had begun."""

    __slots__ = ("_undone", "name", "over")

    def __init__(self, name: str, undone: Undone) -> None:
        self.name = name
        self.over = False  #: all has been torn down
        self._undone = undone
        self._waiters = None

    @property
    def error(self) -> BaseException:
        """What is thrown into what it held."""
        return self._undone.error

    def needs_await(self) -> bool:
        return False

    def end(self) -> None:
        """Tell who waits that all has been torn down."""
        self.over = True
        tell(self, CLOSED_BY_OTHERS)

    async def leave(self, error: BaseException | None, *, waits: bool = True) -> None:
        """
        Wait until it has been torn down.

        Raises:
            ClosedError: The body has ended as if its work were kept.
        """
        await until(self, CLOSED_BY_OTHERS, lambda: self.over, waits=waits)
        if error is None:
            self._undone.check(self.name)

    def leave_nowait(self, error: BaseException | None) -> None:
        run_nowait(self.leave(error, waits=False), self.name)


class Leaving(Taken):
    """
    The same while whoever holds it may be on the way out with an exception: so it ends then, if that comes in time.

    One that ends well after all was open when its container closed, and has failed.
    """

    __slots__ = ("finalizers",)

    def __init__(self, name: str, undone: Undone, finalizers: list[Finalizer]) -> None:
        super().__init__(name, undone)
        self.finalizers: list[Finalizer] | None = finalizers  #: None where somebody tears them down, or has

    def taken_from(self) -> list[Finalizer]:
        """Return what is to be torn down, once."""
        finalizers, self.finalizers = self.finalizers or [], None
        return finalizers

    async def leave(self, error: BaseException | None, *, waits: bool = True) -> None:
        if self.finalizers is None:
            await super().leave(error, waits=waits)
            return
        try:
            raised = await unwind(self.taken_from(), self.error if error is None else error, waits=waits)
        finally:
            self.end()
        settle_errors(raised, error)
        if error is None:
            self._undone.check(self.name)
