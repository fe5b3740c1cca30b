"""A late value that is fetched once, by whoever asks first: task or thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeAlias

from ..._compat import get_running_loop
from ..._lock import LOCK
from ..._names import is_a
from ...errors import AsyncDependencyError
from ..state.frames import BUILDS
from ..state.parking import Outcome, run_nowait, wake
from ..state.slots import FLIGHT, UNSET
from ..state.waiting import Wait, holdings
from .unawaited import Unawaited

__all__ = ["Cell"]

#: Hears how the fetching has ended, from any thread.
_Told: TypeAlias = Callable[[Outcome, Any], object]


class Cell(Unawaited):
    """A late value that is fetched once: tasks and threads that ask at the same time share one fetching."""

    __slots__ = ("_by_task", "_value", "_waiting")

    _by_task: bool  #: while it is being fetched: whether a task does it, which no thread can wait for

    def __init__(self) -> None:
        self._value: Any = UNSET
        self._waiting: list[_Told] | None = None

    if TYPE_CHECKING:  # each kind has its own

        def _get(self) -> Any:
            """Return the coroutine that fetches."""

        def _get_nowait(self) -> Any:
            """Fetch without awaiting."""

    def _keep(self, value: object) -> None:
        self._value = value

    def _give_up(self) -> None:
        """It has failed, and nobody goes on.  The lock is held."""

    # Shared values have their single flight below; a transient one is this handle's own, so it needs one here.
    async def _fetch_once(self, *, waits: bool = True) -> Any:
        cell: Cell | None = None  # in here: who is interrupted on the way has claimed nothing, or gives it back
        try:
            while True:
                with LOCK:
                    value = self._value
                    if value is UNSET:
                        self._value, self._by_task, cell = FLIGHT, waits, self
                if cell is not None:
                    break  # not by way of the loop's head: an interrupt on the way there is not seen in here
                if value is FLIGHT:
                    value = await self._join(get_running_loop() if waits else None)
                if value is not UNSET:
                    return value
            value = await self._get() if waits else self._get_nowait()
            self._keep(value)
        except BaseException as error:
            if cell is not None:
                self._settle(Outcome(None if is_a(error, asyncio.CancelledError) else error))
            raise
        self._settle(Outcome(), value)
        del cell
        return value

    def _fetch_once_nowait(self) -> Any:
        return run_nowait(self._fetch_once(waits=False), self)

    async def _join(self, loop: asyncio.AbstractEventLoop | None) -> Any:
        """Wait for another one's fetching, in a thread without *loop*; return the value, or UNSET where one has to take over."""
        over = threading.Event() if loop is None else loop.create_future()
        found: list[tuple[Outcome, Any]] = []

        def told(outcome: Outcome, value: object) -> None:
            found.append((outcome, value))
            over.set() if isinstance(over, threading.Event) else wake(over)

        wait = Wait(holdings())
        wait.begin(self, self._label())
        try:
            if loop is None and self._value is FLIGHT and self._by_task:
                raise AsyncDependencyError(self._label(), (), "", "is being built by a task")
            if not self._wait(told):
                return UNSET
            if isinstance(over, threading.Event):
                over.wait()
            else:
                await over
            outcome, value = found[0]
            outcome.check()
            return value
        finally:
            wait.end()

    def _wait(self, told: _Told) -> bool:
        """Let *told* hear how the fetching ends; False where it has ended."""
        with LOCK:
            if self._value is not FLIGHT:
                return False
            if self._waiting is None:
                self._waiting = []
            self._waiting.append(told)
            return True

    def _settle(self, outcome: Outcome, value: object = UNSET) -> None:
        with LOCK:
            if self._value is FLIGHT:  # it failed, or is kept elsewhere
                self._value = UNSET
            waiting, self._waiting = self._waiting, None
            if value is UNSET and (outcome.error is not None or not waiting):
                self._give_up()
        for told in waiting or ():
            told(outcome, value)


def _read_frame(frame: FrameType) -> tuple[Any, str] | None:
    cell = frame.f_locals.get("cell")
    return None if cell is None else (cell, cell._label())


BUILDS.add(Cell._fetch_once.__code__, reader=_read_frame)
