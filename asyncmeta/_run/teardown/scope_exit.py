"""How does a scope end?  Nothing new is handed out, what is in flight lands, what it made is torn down."""

from __future__ import annotations

import asyncio
import warnings
from types import AsyncGeneratorType, TracebackType
from typing import TYPE_CHECKING, Any, Self, cast

from ..._compat import get_running_loop
from ..._declare.lifetimes import CONTAINER_LEVEL
from ..._lock import LOCK
from ..._names import is_a, place_of_caller
from ...errors import ClosedError, ContainerError
from ..state.awaited import HEARERS
from ..state.frames import LEAVES, MAKES, Role
from ..state.parking import CLOSED_BY_OTHERS, LANDED, Closers, hearers, me, run_nowait, tell, until, until_nowait
from ..state.roots import RootTable
from ..state.singletons import NOWHERE, ScopeState
from ..state.slots import CLOSED, CLOSING, GONE, Gone, ThreadWaiters
from .finalizers import as_list, end_twice, holds, refuse_async, settle_errors, unwind

if TYPE_CHECKING:
    from .undone import Undone

__all__ = ["Inside", "ScopeExit", "asked_after", "landed", "live"]


class Inside(ContainerError):
    """
    What closing would wait for has begun to wait for the caller, after that began to close: all stays open.

    Nothing of the user's meets it: it is a refusal, or nothing, where closing was asked for.
    """


class ScopeExit(ScopeState):
    """The part of a scope that ends it: what is in flight, what is inside, what has to be torn down."""

    __slots__ = ()

    _root_table: RootTable  #: what its container has found out about tokens

    @property
    def closed(self) -> bool:
        """Whether it is closed, or closing."""
        return self._roots is CLOSED

    def _check_open(self) -> None:
        """
        Refuse where nothing is handed out any more.

        Raises:
            ClosedError: Closed, or closing.
        """
        if self._roots is CLOSED:
            raise asked_after(self)
        self._parent._check_open()

    # --- entering and closing ---

    async def __aenter__(self) -> Self:
        if self._roots is CLOSED or self._waiters is not None:
            self._check_open()
            if self._by_threads:
                raise ContainerError(f"{self._name} was entered with a plain `with`, and a scope is entered one way")
        return self

    def __enter__(self) -> Self:
        self._check_open()
        if self._level != CONTAINER_LEVEL and not self._by_threads:
            # Generated code, which claims without a lock, is for the others: no root is found here at once.
            self._waiters, self._roots = ThreadWaiters(self._waiters), {}
        return self

    async def __aexit__(self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None, /) -> None:
        x = self._finalizers
        if self._in_flight or self._children or exc is not None or (x is not None and type(x) is not AsyncGeneratorType):
            await self._end_block(exc)
            return
        # The short way, for what nearly every request is: nothing in flight, at most one finalizer.
        self._roots = CLOSED
        if x is None:
            self._values = GONE
            around = self._parent._children
            if around:
                around.discard(self)
            return
        self._in_flight = CLOSING
        self._finalizers = None
        try:
            async for _ in x:  # a loop that ends costs less than an exception that is caught
                break
            else:
                return
        except BaseException as raised:
            settle_errors([raised], None)
        else:
            await end_twice(x)
        finally:
            self._values = GONE
            around = self._parent._children
            if around:
                around.discard(self)
            if self._waiters:
                tell(self, CLOSED_BY_OTHERS)

    def __exit__(self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None, /) -> None:
        try:
            self._leave_block(exc)
        except BaseException as met:
            if is_a(met, Exception) or self.closed:
                raise
            try:  # an interrupt before it has begun to close, and nobody else knows that the block is over
                self._leave_block(exc)
            finally:
                raise met

    def _leave_block(self, error: BaseException | None) -> None:
        """Close it without a loop, because its block ends."""
        run_nowait(self._end_block(error, waits=False), self)

    async def _end_block(self, error: BaseException | None, *, waits: bool = True) -> None:
        """Close it because its block ends; one that believes to have succeeded, and was undone meanwhile, is told."""
        # Where no loop runs nobody was cancelled: a block that ends well, while closing waits for its thread, is whole.
        if error is None and (waits or get_running_loop() is not None) and self._is_late():
            await self._fail(None, Closers(), waits=waits)
        else:
            await self._close(error, waits=waits)
        if error is None and isinstance(self._values, Gone):
            self._values.check(self._name)

    def _is_late(self) -> bool:
        """
        Tell whether its block ends well when something around it is closing already: it was open then, and has failed.

        So it is for one whose task was cancelled, or handled an exception, and was waited for; that came of it after all.
        """
        around = self._parent
        while isinstance(around, ScopeState) and around is not NOWHERE:
            if around._roots is CLOSED:
                return holds(self._finalizers)
            around = around._parent
        return False

    def _be_looked_at(self) -> None:
        """Let the end of its block, and of those inside, not take the short way, which does not ask whether it is late."""
        if type(self._finalizers) is AsyncGeneratorType:
            self._finalizers = [self._finalizers]
        for kid in self._open_children():
            kid._be_looked_at()

    async def aclose(self) -> None:
        """
        Close it: run the finalizers of everything it made, in reverse order of completion, and all of them.

        A second call returns when the first has ended.  When it is cancelled, closing is finished first.

        Raises:
            FinalizationErrors: What finalizers raised, also a single one.
        """
        await self._close(None)

    def close(self) -> None:
        """
        Close it without a loop.

        Raises:
            AsyncDependencyError: Something has to be awaited; nothing is closed then.
            FinalizationErrors: What finalizers raised, also a single one.
        """
        self._close_nowait(None)

    def _gone(self, undone: Undone | None = None) -> None:
        """The last step of closing."""
        with LOCK:
            self._values = GONE if undone is None else cast("list[Any]", undone)
        around = self._parent._children
        if around is not None:
            around.discard(self)
        if self._waiters:
            tell(self, CLOSED_BY_OTHERS)

    def _is_around(self, role: Role) -> bool:
        """Tell whether the running code does *role* for this or for a scope inside of it; through tasks as well."""
        for one in role.above(through_tasks=True):
            while isinstance(one, ScopeState) and one is not NOWHERE:
                if one is self:
                    return True
                one = one._parent
        return False

    def _is_left_around(self) -> bool:
        return self._is_around(LEAVES)

    def _is_made_around(self) -> bool:
        return self._is_around(MAKES)

    # What closes, step by step, is said once: where nothing is awaited, `run_nowait` drives it.

    async def _close(self, error: BaseException | None, *, waits: bool = True) -> None:
        if not waits and self._roots is not CLOSED:
            self._refuse_awaiting()
        self._refuse_inside()
        if self._children and self._roots is not CLOSED and self._is_around(LEAVES):
            return  # a finalizer of a scope inside asks: this is closed by who has opened it
        if not self._begin_to_close():
            if not self._is_left_around():
                await until(self, CLOSED_BY_OTHERS, self._is_gone, self._is_left_around, waits=waits)
            return
        try:
            raised = await self._tear_down(error, Closers((me(),)), waits=waits)
        except Inside:
            if not self._is_left_around():
                raise self._needed_inside() from None
            return
        except BaseException as met:  # an interrupt, between two lines: what is left is torn down all the same
            if waits:
                raise
            raised = [met, *await self._tear_down(error, Closers((me(),)), waits=False)]
        settle_errors(raised, error)

    def _close_nowait(self, error: BaseException | None) -> None:
        run_nowait(self._close(error, waits=False), self)

    async def _fail(self, error: BaseException | None, closers: Closers, *, waits: bool = True) -> None:
        """
        Close what is still open when what is around it closes.

        Args:
            error: With which that ends; None where it ends well, and this, being open, has failed all the same.
            closers: Who waits for that, see `me`.

        Raises:
            FinalizationErrors: What finalizers raised; nothing of it is what was thrown into them.
        """
        if not self._begin_to_close():
            if not await until(self, CLOSED_BY_OTHERS, self._is_gone, self._is_left_around, waits=waits):
                raise Inside
            return
        from .undone import Undone, failed  # lazy import

        try:
            error = failed(self) if error is None else error
            raised = await self._tear_down(error, closers, Undone(error, closers), waits=waits)
        except Inside:
            raise
        except BaseException as met:
            if waits:
                raise
            error = failed(self) if error is None else error
            raised = [met, *await self._tear_down(error, closers, Undone(error, closers), waits=False)]
        settle_errors(raised, None)

    def _begin_to_close(self) -> bool:
        """Hand nothing out from here on; tell whether the caller is the one to close it."""
        roots, begun = self._roots, False
        try:
            with LOCK:
                if self._roots is CLOSED:
                    return False
                roots, self._roots = self._roots, CLOSED
                self._in_flight += CLOSING
                begun = True
                return True
        except BaseException:  # an interrupt, as the lock was let go: it stays open, and is closed by what is around it
            if begun:
                self._roots = roots
                self._in_flight -= CLOSING
            raise

    def _go_on(self) -> None:
        """Be open as before: who closes it is waited for by what it would wait for."""
        with LOCK:
            self._roots = {}
            self._in_flight -= CLOSING

    def _needed_inside(self) -> ContainerError:
        return ContainerError(f"{self._name} cannot be closed by a factory that it is waiting for")

    def _has_landed(self) -> bool:
        return self._in_flight == CLOSING

    def _is_gone(self) -> bool:
        return isinstance(self._values, Gone)

    async def _tear_down(
        self, error: BaseException | None, closers: Closers, undone: Undone | None = None, *, waits: bool
    ) -> list[BaseException]:
        """Tear down what it holds, and what is inside of it; return what that raised."""
        raised: list[BaseException] = []
        try:
            if self._children:
                await self._close_children(raised, error, closers, waits=waits)
            landed = self._has_landed() or await until(self, LANDED, self._has_landed, self._is_made_around, waits=waits)
            if not landed:
                raise Inside
        except Inside:
            self._go_on()
            raise
        except asyncio.CancelledError as cancelled:
            raised.append(cancelled)
        finalizers = as_list(self._finalizers)
        # In a thread kept while they run, each taken off before its turn: who is interrupted here goes on with the rest.
        self._finalizers = None if waits else finalizers
        held = holds(finalizers)
        try:
            if finalizers:
                raised[:0] = await unwind(finalizers, error, waits=waits)
        except BaseException:
            if waits:  # this very coroutine is closed: an async generator that CPython 3.11 gives up in the middle
                self._gone(undone if held else None)
            raise
        self._finalizers = None
        self._gone(undone if held else None)
        return raised

    def _open_children(self) -> list[ScopeState]:
        """Return the scopes inside that nobody has begun to close."""
        return [kid for kid in list(self._children or ()) if kid._in_flight < CLOSING and kid._level != CONTAINER_LEVEL]

    async def _close_children(
        self, raised: list[BaseException], error: BaseException | None, closers: Closers, *, waits: bool = True
    ) -> None:
        """
        Let the scopes inside end: those that nobody closes have failed.

        Those that are closing are waited for, and for a while those whose tasks are on their way out, which end with
        what these raise, and those that other threads have entered, which end as these do.  The others end with *error*,
        with which the one around them ends, or with a ClosedError.
        """
        if not self._children:
            return
        for kid in self._open_children():
            kid._be_looked_at()
        if self._open_children():
            from .unwinding import let_unwind  # lazy import

            raised += await let_unwind(self._open_children, closers, waits=waits)
        while kids := list(self._children):  # threads open others, and leave those that are here
            for kid in kids:
                if kid._in_flight < CLOSING:
                    warn_open(kid, raised)
                try:
                    if kid._level == CONTAINER_LEVEL:  # an overlay: what is open in it fails as it closes
                        await kid._close(None, waits=waits)
                    else:
                        await kid._fail(error, closers, waits=waits)
                except Inside:
                    raise
                except asyncio.CancelledError as met:
                    if not any(one is met for one in raised):
                        raised.append(met)
                except BaseException as met:
                    raised.append(met)
                self._children.discard(kid)

    def _refuse_awaiting(self) -> None:
        """
        Refuse to be closed without a loop where something in it needs one.

        Raises:
            AsyncDependencyError: A finalizer has to be awaited.
            ContainerError: A get is in flight, in a task.
        """
        refuse_async(as_list(self._finalizers), self._title)
        if self._in_flight & (CLOSING - 1) and not self._by_threads:
            raise ContainerError(f"{self._title} has gets in flight: close it with `await scope.aclose()`")
        for kid in list(self._children or ()):
            kid._refuse_awaiting()

    def _refuse_inside(self) -> None:
        """
        Refuse to be closed by what is just being built for it.

        Raises:
            ContainerError: The caller is part of a get in flight.
        """
        if (self._children or self._in_flight & (CLOSING - 1)) and self._is_around(MAKES):
            raise self._needed_inside()

    def _wake_closers(self) -> None:
        """Tell who closes it that a get in flight has landed."""
        if self._in_flight >= CLOSING:
            tell(self, LANDED)  # who waits is looked up under the lock, under which they count and begin to wait


def warn_open(scope: ScopeState, raised: list[BaseException]) -> None:
    """Warn that a scope is closed by its container because nobody else did; where warnings are errors it is closed, too."""
    if not scope._warns_open:
        return
    try:
        warnings.warn(f"{scope._name} was still open when its container closed", ResourceWarning, stacklevel=2, source=scope)
    except ResourceWarning as told:
        raised.append(told)


def asked_after(scope: ScopeState, called: str = "") -> ClosedError:
    """
    Return the error of a closed scope that somebody needs, as a background task does: by the function, with its ways out.

    Args:
        called: A function that was to be filled; by default the one that asks is meant.
    """
    who, what = called, "was called after it"
    if not called:
        place = place_of_caller()
        who, what = place.within.rpartition("<locals>.")[2], f"asks it for something ({place})"
        if place.module.partition(".")[0] == "asyncio":  # a task, by itself
            who = ""
    if not who or who.startswith("<"):
        return ClosedError(f"{scope._name} is closed")
    own = f"container.inject({who})" if called else f"container.scope() or container.inject({who})"
    return ClosedError(
        f"{scope._name} is closed, and {who} {what}, as by a background task; have it open a scope of its own, {own}, or keep "
        'this one open until then (ends="after" of an integration)'
    )


def live(scope: ScopeState) -> None:
    """
    Make a scope known to the one around it: it is about to have something to close, or something in flight.

    Raises:
        ClosedError: It is closing, or what is around it is: what would be set up now would be torn down by nobody, or
            after what it uses.
    """
    if scope._roots is CLOSED:  # a get that was asked for before, and begins only now
        raise asked_after(scope)
    around = scope._parent
    if around is NOWHERE:
        return
    if around._children is None:
        live(around)
        around._children = {scope}
    elif scope not in around._children:
        live(around)
        around._children.add(scope)


def landed(scope: ScopeState) -> None:
    """A get lands while its scope closes: wake who closes it, and hand nothing out."""
    scope._wake_closers()
    raise ClosedError(f"{scope._name} was closed meanwhile")


LEAVES.add_methods(
    ScopeExit._is_around,  # only asks, as part of the call that does
    ScopeExit.__aexit__,
    ScopeExit._end_block,
    ScopeExit._close,
    ScopeExit._fail,
    ScopeExit._tear_down,
)
# Whoever waits asks again and again, as part of the call that waits.
LEAVES.add(until.__code__, until_nowait.__code__, ScopeExit._is_left_around.__code__, reader=lambda frame: None)
# While finalizers run: before, it asks itself whether what it waits for waits for it, and those who wait for it ask, too.
HEARERS[ScopeExit._tear_down.__code__] = lambda frame: (
    hearers(frame.f_locals["self"], CLOSED_BY_OTHERS) if "finalizers" in frame.f_locals else ()
)
