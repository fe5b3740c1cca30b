"""How does a factory run that is no plain call: in a thread, within a time?"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from types import GeneratorType
from typing import Any

from ..._compat import get_running_loop
from ..._declare.makers import ASYNC_GENERATOR, GENERATOR
from ..._solve.nodes import START, Node
from ...errors import BuildTimeoutError, FactoryError
from ..state.singletons import Push, ScopeState
from ..state.slots import Held
from ..teardown.finalizers import ThreadGenerator, as_list, exit_nowait, never_yields, raise_first, withdraw

__all__ = ["carry_out_special"]


async def carry_out_special(node: Node, call: Any, args: list[Any], named: dict[str, Any], scope: ScopeState, push: Push) -> Any:
    """Make *node*'s value as its options say; its finalizer is pushed first."""
    if node.kind == START:
        service = args[0]
        await _in_time(node, service.on_startup(), scope, push)
        push(scope, service.on_shutdown)
        return service
    if node.registration.options.in_thread:
        value = await _in_thread(node, lambda: call(*args, **named), scope, push)
    else:
        value = await _in_time(node, call(*args, **named), scope, push)
    return value


# --- within a time --------------------------------------------------------------------------------


async def _in_time(node: Node, made: Any, scope: ScopeState, push: Push) -> Any:
    """Await an async factory or a start, or enter an async generator, for as long as its ``timeout=`` allows."""
    seconds = node.registration.options.timeout
    assert seconds is not None
    own: BaseException | None = None  # what the factory itself raised
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            try:
                value = await (made.__anext__() if node.kind == ASYNC_GENERATOR else made)
            except BaseException as error:
                own = error
                raise
    except StopAsyncIteration:
        if limit.expired():
            raise BuildTimeoutError(node.name, seconds) from None
        raise FactoryError(never_yields(made)) from None
    except TimeoutError as error:
        if error is own:  # a time limit of the factory's, not ours
            raise
        raise BuildTimeoutError(node.name, seconds) from error
    finally:
        own = None  # no circle of error, traceback and frame
    if node.kind == ASYNC_GENERATOR:
        push(scope, made)
    return value


# --- in a thread ----------------------------------------------------------------------------------


async def _in_thread(node: Node, call: Callable[[], Any], scope: ScopeState, push: Push) -> Any:
    seconds = node.registration.options.timeout
    run = Run(node, call)
    former = _former(node, scope)
    if get_running_loop() is None:
        if former is not None:
            former.over.wait()
        run.in_place(seconds, scope, push)
    else:
        if former is not None:
            await former.awaited(seconds)
        await run.awaited(seconds, scope, push)
    if run.generator is not None:
        push(scope, ThreadGenerator(run.generator, run.context))
    return run.take()


def _former(node: Node, scope: ScopeState) -> AbandonedRun | None:
    """
    Return the run of the same value that was left alone and goes on in its thread.

    Never are there two of one factory at once; transient values have nothing to do with each other.
    """
    if node.transient:
        return None
    runs = (one for one in as_list(scope._finalizers) if isinstance(one, AbandonedRun))
    return next((abandoned for abandoned in runs if abandoned.run.node is node), None)


class Run:
    """
    One run of a synchronous factory in a worker thread.

    The thread cannot be stopped.  Either its caller takes what was made, or, when it has stopped waiting, the thread
    undoes it: who comes second finds what the other has noted under the lock.
    """

    __slots__ = (
        "begun", "call", "clock", "context", "ended", "error", "failed", "future", "generator", "left", "lock", "loop", "node",
        "over", "value",
    )  # fmt: skip

    def __init__(self, node: Node, call: Callable[[], Any]) -> None:
        self.node = node
        self.call: Callable[[], Any] | None = call
        # A generator is left in the context in which it was entered, so that it can take back what it has set.
        self.context = contextvars.copy_context()
        self.lock = threading.Lock()
        self.begun = False
        self.ended = threading.Event()  #: the factory is done
        self.left = False  #: nobody waits for the result any more
        self.over = threading.Event()  #: nothing of it is going on any more
        self.value: Any = None
        self.generator: GeneratorType[Any, Any, Any] | None = None
        self.error: BaseException | None = None  #: what the factory raised
        self.failed: BaseException | None = None  #: what undoing a late result raised
        self.loop: asyncio.AbstractEventLoop | None = None
        self.future: asyncio.Future[None] | None = None  #: done when the thread is
        self.clock: Callable[[], None] | None = None  #: starts the time limit; None where there is none, or nobody waits

    # --- in the thread ---

    def work(self) -> None:
        """Make the value; never raises: a Future cannot hold every exception (StopIteration)."""
        with self.lock:
            if self.left:
                self.over.set()
                return
            self.begun = True
        self._tell_begun()
        self.context.run(self.make)
        with self.lock:
            if self.loop is not None and self.loop.is_closed():  # under its waiter, which will never run again
                self.left = True
            self.ended.set()
            left = self.left
        if left:
            self.undo()

    def make(self) -> None:
        """Call the factory, and enter it where it is a generator."""
        call, self.call = self.call, None
        assert call is not None
        try:
            self.value = call()
            if self.node.kind == GENERATOR:
                generator = self.value
                try:
                    self.value = next(generator)
                except StopIteration:
                    raise FactoryError(never_yields(generator)) from None
                self.generator = generator
        except BaseException as error:
            self.error = error

    def undo(self) -> None:
        """Finalize what came too late."""
        generator, self.generator, self.value, self.error = self.generator, None, None, None
        try:
            if generator is not None:
                self.context.run(exit_nowait, generator, None)
        except BaseException as error:
            self.failed = error
        self.over.set()

    def _tell_begun(self) -> None:
        """The time limit is the factory's own: it begins when the thread does, not while that is queued for."""
        loop, clock = self.loop, self.clock
        if loop is not None and clock is not None:
            try:
                loop.call_soon_threadsafe(clock)
            except RuntimeError:  # the loop was closed meanwhile
                return

    # --- for the caller ---

    async def awaited(self, seconds: float | None, scope: ScopeState, push: Push) -> None:
        """
        Run in a thread and wait; cancelled, or when *seconds* are over, leave it alone.

        Raises:
            BuildTimeoutError: *seconds* are over.
        """
        loop = self.loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(None) as limit:
                if seconds is not None:
                    self.clock = lambda: self._start_clock(limit, loop.time() + seconds)
                self.future = loop.run_in_executor(None, self.work)
                await asyncio.wait([self.future])
        except BaseException as error:
            self._leave(loop, scope, push)
            if isinstance(error, TimeoutError):  # the factory's own are taken later
                assert seconds is not None
                raise BuildTimeoutError(self.node.name, seconds) from None
            raise
        finally:
            self.clock = None

    def _start_clock(self, limit: asyncio.Timeout, until: float) -> None:
        if self.clock is not None:
            limit.reschedule(until)

    def in_place(self, seconds: float | None, scope: ScopeState, push: Push) -> None:
        """
        Run where no loop has to be kept free: in the caller's thread, in one of its own only to be left alone in time.

        Raises:
            BuildTimeoutError: *seconds* are over.
        """
        if seconds is None:
            self.context.run(self.make)
            return
        threading.Thread(target=self.work, name=f"asyncmeta: {self.node.name}", daemon=True).start()
        if not self.ended.wait(seconds):
            with self.lock:
                self.left = left = not self.ended.is_set()
            if left:
                push(scope, AbandonedRun(self, scope))
                raise BuildTimeoutError(self.node.name, seconds)

    def _leave(self, loop: asyncio.AbstractEventLoop, scope: ScopeState, push: Push) -> None:
        """Stop waiting: what comes is undone, and closing waits for it."""
        future = self.future
        if future is None:  # the pool of threads refused it
            return
        with self.lock:
            alone, self.left = self.left, True  # the thread may have seen before that the loop is closed
            begun, ended = self.begun, self.ended.is_set()
        if not begun:
            future.cancel()
            self.over.set()
            return
        if ended and not alone:  # it came at the very moment at which we stopped waiting
            if self.generator is None:
                self.undo()
                return
            try:
                future = self.future = loop.run_in_executor(None, self.undo)
            except RuntimeError:  # the loop was closed, and the coroutine that waited is collected
                threading.Thread(target=self.undo, name=f"asyncmeta: {self.node.name}", daemon=True).start()
        abandoned = AbandonedRun(self, scope)
        push(scope, abandoned)
        future.add_done_callback(abandoned.done)

    def take(self) -> Any:
        """Return what the factory made, or raise what it raised."""
        value, error, self.value, self.error = self.value, self.error, None, None
        try:
            if error is not None:
                raise error
            return value
        finally:
            del value, error


class AbandonedRun(Held):
    """A run that was left alone: closing waits for its end."""

    __slots__ = ("run", "scope")
    anywhere = True

    def __init__(self, run: Run, scope: ScopeState) -> None:
        self.run, self.scope = run, scope

    def needs_await(self) -> bool:
        return False

    @property
    def over(self) -> threading.Event:
        return self.run.over

    def done(self, future: asyncio.Future[None]) -> None:
        """Have closing forget it, where there is nothing that closing has to tell."""
        if not future.cancelled():
            future.exception()
        if self.over.is_set() and self.run.failed is None:
            withdraw(self.scope, self)

    async def awaited(self, seconds: float | None) -> None:
        """
        Wait until the same value may be made anew.

        Raises:
            BuildTimeoutError: The former run still goes on after *seconds*.
        """
        try:
            async with asyncio.timeout(seconds):
                await self._end()
        except TimeoutError:
            assert seconds is not None
            raise BuildTimeoutError(self.run.node.name, seconds) from None

    async def _end(self) -> None:
        loop, future = asyncio.get_running_loop(), self.run.future
        if future is None or self.run.loop is not loop:
            future = loop.run_in_executor(None, self.over.wait)  # type: ignore[arg-type]  # what it returns is not looked at
        assert future is not None
        await asyncio.wait([future])

    async def leave(self, error: BaseException | None) -> None:
        cancelled: asyncio.CancelledError | None = None
        while not self.over.is_set():
            try:
                await self._end()
            except asyncio.CancelledError as met:
                cancelled = met
        raise_first(cancelled, self.run.failed)

    def leave_nowait(self, error: BaseException | None) -> None:
        self.over.wait()
        raise_first(None, self.run.failed)
