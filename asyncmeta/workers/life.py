"""Is the container of a worker open, who waits for that, and where does it live?"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from .. import Container, ContainerError
from .._compat import get_running_loop
from .runs import Run

__all__ = ["Life"]


class Life:
    """A container that is being opened or is open, and where it lives."""

    def __init__(self, loop: asyncio.AbstractEventLoop | None) -> None:
        self.loop = loop  #: None where its thread has not made it yet
        self.thread: threading.Thread | None = None  #: runs the loop; None where that is the loop of who opened it
        self.container: Container
        self.ready: concurrent.futures.Future[BaseException | None] = concurrent.futures.Future()  #: it is open, or what failed
        self.over = asyncio.Event()  #: tells the thread
        self.failure: BaseException | None = None  #: what closing in the thread raised
        self._opening: asyncio.Task[Any] | None = None
        self._given_up = False

    @property
    def lost(self) -> bool:
        """Whether its loop has ended before it was closed."""
        return self.thread is None and self.loop is not None and self.loop.is_closed()

    def refuse_here(self, what: str, instead: str) -> None:
        """
        Refuse to block the loop that would have to do it.

        Raises:
            ContainerError: This is its thread.
        """
        here = get_running_loop()
        if here is not None and here is self.loop:
            raise ContainerError(f"{what}() would wait for the loop that it runs in; write `await worker.{instead}(...)`")

    def opened(self, failure: BaseException | None) -> bool:
        """
        Tell whoever has waited whether it is open; where not, its opener was cancelled, and somebody else may open it.

        Raises:
            BaseException: What failed.
        """
        if failure is None:
            return True
        if isinstance(failure, (asyncio.CancelledError, GeneratorExit)):
            return False
        try:
            raise failure
        finally:
            del failure

    async def settled(self) -> BaseException | None:
        """Wait until it is open, and return what failed; who is cancelled in here stops waiting, and nobody else does."""
        return await asyncio.shield(asyncio.wrap_future(self.ready))

    def begins(self) -> None:
        """
        Note that it is being opened, in the running loop, which is that of its thread.

        Raises:
            CancelledError: It was given up before.
        """
        self._opening, self.loop = asyncio.current_task(), asyncio.get_running_loop()
        if self._given_up:
            raise asyncio.CancelledError

    def give_up(self) -> None:
        """Have its opening in the thread end, unless it is open already, and wait for that."""
        self._given_up = True
        if self.loop is not None:
            with suppress(RuntimeError):  # it is over
                self.loop.call_soon_threadsafe(self._give_up)
        if self.ready.result() is not None and self.thread is not None:
            self.thread.join()

    def _give_up(self) -> None:
        if not self.ready.done() and self._opening is not None:
            self._opening.cancel()

    def run(self, work: Coroutine[Any, Any, Any]) -> Run:
        """Begin *work* in its loop."""
        assert self.loop is not None
        return Run(self.loop, work, self.container)

    def end(self) -> None:
        """Close the container, from another thread."""
        if self.thread is None:
            if not self.lost:  # else its loop has run the finalizers that it could
                self.run(self.container.aclose()).wait()
            return
        assert self.loop is not None
        self.loop.call_soon_threadsafe(self.over.set)
        self.thread.join()
        if self.failure is not None:
            raise self.failure
