"""How does a factory run that is no plain call: in a thread, within a time?"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from types import GeneratorType
from typing import Any

from .._compat import get_running_loop
from .._declare.makers import ASYNC, GENERATOR
from .._solve.nodes import Node
from ..errors import BuildTimeoutError, FactoryError
from .finalizers import Held, exit_sync, never_yields

__all__ = ["carry_out_special"]

Push = Callable[[Any, Any], None]


class Thread:
    """A synchronous factory in a worker thread; it cannot be stopped, only left alone."""

    __slots__ = ("call", "left", "lock", "over")

    def __init__(self, call: Callable[[], Any]) -> None:
        self.call = call
        self.lock = threading.Lock()
        self.left = False  #: nobody waits for the result any more
        self.over = threading.Event()

    def run(self) -> Any:
        """Make the value, in the thread; what came too late is finalized here."""
        try:
            made = self.call()
            generator = type(made) is tuple and len(made) == 2 and made[0] is Thread
            with self.lock:
                left = self.left
            if left and generator:
                exit_sync(made[1][0], None)
            return made
        finally:
            self.over.set()

    async def result(self, seconds: float | None) -> Any:
        """Return what the factory made; on cancellation or after *seconds* leave it alone."""
        loop = asyncio.get_running_loop()
        context = contextvars.copy_context()
        future = loop.run_in_executor(None, context.run, self.run)
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.shield(future)
        except BaseException:
            with self.lock:
                self.left = True
                late = future.done() and not future.cancelled() and future.exception() is None
            if late:  # it was there already when we were cancelled
                made = future.result()
                if type(made) is tuple and len(made) == 2 and made[0] is Thread:
                    await loop.run_in_executor(None, exit_sync, made[1][0], None)
            else:
                future.add_done_callback(_looked_at)
            raise


def _looked_at(future: asyncio.Future[Any]) -> None:
    """Take a late error, which nobody waits for, so that the loop does not report it."""
    if not future.cancelled():
        future.exception()


class LateThread(Held):
    """A thread that was left alone: closing waits for its end."""

    __slots__ = ("thread",)
    sync = True

    def __init__(self, thread: Thread) -> None:
        self.thread = thread

    async def leave(self, error: BaseException | None) -> None:
        if not self.thread.over.is_set():
            await asyncio.get_running_loop().run_in_executor(None, self.thread.over.wait)

    def leave_sync(self, error: BaseException | None) -> None:
        self.thread.over.wait()


class ThreadGenerator(Held):
    """A sync generator factory whose exit runs in a thread, as its entry did."""

    __slots__ = ("generator", "name")
    sync = True

    def __init__(self, generator: GeneratorType[Any, Any, Any], name: str) -> None:
        self.generator, self.name = generator, name

    async def leave(self, error: BaseException | None) -> None:
        context = contextvars.copy_context()
        loop = asyncio.get_running_loop()
        await finished(loop.run_in_executor(None, context.run, exit_sync, self.generator, error))

    def leave_sync(self, error: BaseException | None) -> None:
        exit_sync(self.generator, error)


async def finished(future: asyncio.Future[Any]) -> Any:
    """Wait for *future* to its end, also when cancelled meanwhile; the cancellation is raised afterwards."""
    cancelled: asyncio.CancelledError | None = None
    while not future.done():
        try:
            await asyncio.shield(future)
        except asyncio.CancelledError as error:
            if future.cancelled():
                raise
            cancelled = error
        except BaseException:
            break
    if cancelled is not None:
        _looked_at(future)
        raise cancelled
    return future.result()


async def carry_out_special(node: Node, call: Any, args: list[Any], named: dict[str, Any], scope: Any, push: Push) -> Any:
    """Make *node*'s value as its options say; its finalizer is pushed first."""
    options = node.registration.options
    seconds = options.timeout
    if options.in_thread:
        return await _in_thread(node, call, args, named, scope, push)
    made = call(*args, **named)
    try:
        async with asyncio.timeout(seconds) as limit:
            if node.kind == ASYNC:
                return await made
            value = await made.__anext__()
    except StopAsyncIteration:
        raise FactoryError(never_yields(made)) from None
    except TimeoutError as error:
        if limit.expired():
            assert seconds is not None
            raise BuildTimeoutError(node.name, seconds) from error
        raise
    push(scope, made)
    return value


async def _in_thread(node: Node, call: Any, args: list[Any], named: dict[str, Any], scope: Any, push: Push) -> Any:
    seconds = node.registration.options.timeout
    if node.kind == GENERATOR:

        def begin() -> Any:
            generator = call(*args, **named)
            try:
                return Thread, (generator, next(generator))
            except StopIteration:
                raise FactoryError(never_yields(generator)) from None
    else:

        def begin() -> Any:
            return call(*args, **named)

    if get_running_loop() is None:
        made = begin()  # no loop to keep free
    else:
        thread = Thread(begin)
        try:
            made = await thread.result(seconds)
        except BaseException as error:
            if not thread.over.is_set():
                push(scope, LateThread(thread))
            if isinstance(error, TimeoutError) and thread.left and not thread.over.is_set():
                assert seconds is not None
                raise BuildTimeoutError(node.name, seconds) from error
            raise
    if node.kind == GENERATOR:
        generator, made = made[1]
        push(scope, ThreadGenerator(generator, node.name))
    else:
        scope.bind(node, made)
    return made
