"""Who goes first?  An order between tasks and threads, forced without sleeping."""

from __future__ import annotations

import asyncio
import threading

from .._names import close_to

__all__ = ["Sequencer"]


class Sequencer:
    """
    Forces an order between tasks: each step waits until all steps before it have been taken.

    What a task does after a step, up to its next ``await``, happens before the next step is taken by another task.
    Tasks, threads and event loops may share a sequencer.  Who is cancelled while it waits takes no step.

    Args:
        steps: The names of the steps in their order; a name that stands here twice is taken twice.

    Example:
        >>> order = Sequencer("asked", "answered")
        >>> order
        <Sequencer: next is 'asked'>
        >>> order.step_nowait("asked")
        >>> order
        <Sequencer: next is 'answered'>

    .. versionadded:: 0.1.0
    """

    __slots__ = ("_lock", "_steps", "_taken", "_waiting")

    def __init__(self, *steps: str) -> None:
        for name in steps:
            if not isinstance(name, str):
                raise TypeError(f"a step is named by a string, not by a {type(name).__name__}")
        self._steps = steps
        self._taken = 0
        self._waiting: dict[asyncio.Future[None], str] = {}  #: in the order of coming
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        left = self._steps[self._taken :]
        return f"<Sequencer: next is {left[0]!r}>" if left else "<Sequencer: all steps are taken>"

    async def step(self, name: str, /) -> None:
        """
        Wait until it is the turn of *name*, and take the step.

        Raises:
            ValueError: There is no such step.
            AssertionError: It has been taken as often as it stands in the order.
        """
        self._check(name)
        loop = asyncio.get_running_loop()
        while True:
            with self._lock:
                if self._take(name):
                    return
                future = loop.create_future()
                self._waiting[future] = name
            try:
                await future
            except BaseException as error:
                with self._lock:
                    self._waiting.pop(future, None)
                    self._wake()  # it may have been chosen just now
                error.add_note(f"step {name!r} was waiting: {self!r}")
                raise

    def step_nowait(self, name: str, /) -> None:
        """
        Take the step *name* now.

        Raises:
            ValueError: There is no such step.
            AssertionError: It is not its turn.
        """
        self._check(name)
        with self._lock:
            if not self._take(name):
                raise AssertionError(f"{name!r} comes too early: {self!r}")

    def _check(self, name: str) -> None:
        if name not in self._steps:
            near = close_to(str(name), self._steps)
            raise ValueError(f"there is no step {name!r}" + (f", did you mean {near[0]!r}?" if near else ""))

    def _take(self, name: str) -> bool:
        """Take a step if it is its turn; wake whoever waits for the next one."""
        left = self._steps[self._taken :]
        if name not in left:
            raise AssertionError(f"step {name!r} was taken already: {self!r}")
        if left[0] != name:
            return False
        self._taken += 1
        self._wake()
        return True

    def _wake(self) -> None:
        left = self._steps[self._taken :]
        for future, name in list(self._waiting.items()):
            # Who can never go on is woken, too: to be told so.
            if left[:1] == (name,) or name not in left:
                del self._waiting[future]
                loop = future.get_loop()
                if loop is asyncio._get_running_loop():
                    _settle(future)
                elif not loop.is_closed():
                    loop.call_soon_threadsafe(_settle, future)


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
