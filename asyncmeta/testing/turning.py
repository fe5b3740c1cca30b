"""A loop without a clock or sockets, that lets somebody choose who goes on next."""

from __future__ import annotations

import asyncio
import heapq
import inspect
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

from .._names import Place
from .._run.state.awaited import links_of
from .judging import Life

__all__ = ["CANCEL", "FAIL", "GO", "Injected", "Stuck", "TurningLoop", "turning_sleep"]

GO, FAIL, CANCEL = "goes on", "fails", "is cancelled"

#: Steps of one run after which a scenario is said never to end.
LONGEST: Final = 100_000
#: Seconds that a worker thread of the scenario may take.
PATIENCE: Final = 30.0

_OURS: Final = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_ASYNCIO: Final = os.path.dirname(os.path.abspath(asyncio.__file__)) + os.sep
#: Rooms of asyncio whose waiting never fails by itself; but for sleeping, which stands for anything.
_NEVER_FAIL: Final = frozenset({"locks.py", "queues.py", "tasks.py", "taskgroups.py", "timeouts.py"})


class Injected(Exception):
    """The failure that an exploration raises in the place of what an await would give."""


class Stuck(Exception):
    """Nothing can go on any more."""


class Waiting:
    """A task that could go on: behind an await of the user's, or at its begin."""

    def __init__(self, handle: Any, task: asyncio.Task[Any], frame: FrameType, inner: FrameType) -> None:
        self.handle = handle
        self.task = task
        self.place = f"{frame.f_code.co_qualname.rpartition('<locals>.')[2]} ({Place(frame.f_code.co_filename, frame.f_lineno)})"
        self.begins = inspect.getcoroutinestate(task.get_coro()) == inspect.CORO_CREATED  # type: ignore[arg-type]
        future = handle._args[0] if handle._args else None
        room = inner.f_code.co_filename
        self.fails = (
            # A task fails at its own awaits, or not at all.
            type(future) is asyncio.Future
            and not (room.startswith(_ASYNCIO) and os.path.basename(room) in _NEVER_FAIL and inner.f_code.co_name != "sleep")
        )


#: Chooses: which of those who wait, and how it goes on.
Choose = Callable[[list[Waiting], list[list[str]]], tuple[int, str]]


class TurningLoop(asyncio.BaseEventLoop):
    """
    An event loop for one run: callbacks in their order, tasks of the user in the order that *choose* says.

    Time passes only when nothing else is left to do, and then at once.
    """

    main: asyncio.Task[Any]

    def __init__(self, life: Life, choose: Choose) -> None:
        super().__init__()
        self.life = life
        self.choose = choose
        self.calm = False  #: no more faults or choices: the run is being cleared away
        self.fault: tuple[str, asyncio.Task[Any]] | None = None  #: what was done, and to which task
        self.injected = Injected("a failure that asyncmeta.testing.explore has put here")
        self.own: set[asyncio.Task[Any]] = set()  #: tasks of the scenario
        self.complaints: list[str] = []
        self.steps = 0
        self._now = 0.0
        self._jobs: set[Any] = set()  #: work in threads
        self._poked = threading.Event()
        self.set_exception_handler(self._complain)

    # --- what a loop is ---

    def time(self) -> float:
        return self._now

    def _process_events(self, events: Any) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        self._poked.set()

    def create_task(self, coro: Any, **named: Any) -> asyncio.Task[Any]:
        task = super().create_task(coro, **named)
        self.own.add(task)
        return task

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:  # type: ignore[override]  # the future is wanted only
        future = super().run_in_executor(executor, func, *args)
        self._jobs.add(future)
        future.add_done_callback(self._jobs.discard)
        return future

    def _asyncgen_firstiter_hook(self, agen: Any) -> None:
        self.life.began(agen)

    def _asyncgen_finalizer_hook(self, agen: Any) -> None:
        """None is dropped while its life is looked at."""

    def _complain(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if error is not self.injected and not self.calm:
            self.complaints.append(f"{context['message']}: {error!r}")

    # --- turning ---

    def _run_once(self) -> None:
        self.steps += 1
        if self.steps > LONGEST:
            raise Stuck(f"the scenario has not ended after {LONGEST} steps")
        while not self._ready:  # type: ignore[attr-defined]  # of the base class: what is to be called
            self._pass_time()
        handle = self._next()
        if handle is not None and not handle.cancelled():
            handle._run()

    def _pass_time(self) -> None:
        """Let the next timer be due; with none, wait for a thread."""
        timers = self._scheduled  # type: ignore[attr-defined]  # of the base class: a heap
        while timers and timers[0].cancelled():
            heapq.heappop(timers)
        if timers:
            self._now = max(self._now, timers[0].when())
            while timers and timers[0].when() <= self._now:
                self._ready.append(heapq.heappop(timers))  # type: ignore[attr-defined]
        elif not self._jobs:
            raise Stuck("nothing can go on: " + "; ".join(self.left()))
        elif not self._poked.wait(PATIENCE):
            raise Stuck(f"a worker thread has not ended after {PATIENCE:.0f} seconds")
        self._poked.clear()

    def _next(self) -> Any:
        """Return what is called next, or None where a choice has been carried out already."""
        ready = self._ready  # type: ignore[attr-defined]
        waiting: list[Waiting] = []
        for position, handle in enumerate(ready):
            one = None if handle.cancelled() or self.calm else self._waits(handle)
            if one is None:
                # Callbacks and the tasks of containers keep their order, and go first.
                del ready[position]
                return handle
            waiting.append(one)
        number, how = self.choose(waiting, [self._ways(one) for one in waiting])
        chosen = waiting[number]
        if how == CANCEL:
            victim = chosen.task if chosen.task in self.own else self.main
            self.fault = how, victim
            self.life.look()
            victim.cancel()
            if victim is not chosen.task:
                return None  # its turn comes later, if nobody has cancelled it by then
        ready.remove(chosen.handle)
        if how == FAIL:
            self.fault = how, chosen.task
            self.life.look()
            self._fail(chosen.handle)
            return None
        return chosen.handle

    def _ways(self, one: Waiting) -> list[str]:
        """Return how *one* can go on."""
        if self.fault is not None or one.begins:
            return [GO]
        return [GO, FAIL, CANCEL] if one.fails else [GO, CANCEL]

    def _fail(self, handle: Any) -> None:
        """Let a task go on as if what it has waited for had failed."""
        (there,) = handle._args
        if not there.cancelled():
            there.exception()  # nobody will look at it any more
        failed = self.create_future()
        failed.set_exception(self.injected)
        handle._context.run(handle._callback, failed)

    def _waits(self, handle: Any) -> Waiting | None:
        """Return who goes on with *handle*, if that is a task of the user's at a place of the user's."""
        task = getattr(handle._callback, "__self__", None)
        if not isinstance(task, asyncio.Task):
            return None
        frames = _frames(task)
        theirs = [frame for frame in frames if not frame.f_code.co_filename.startswith(_ASYNCIO)]
        if not theirs and task in self.own:
            theirs = frames[:1]  # `create_task(sleep(1))`: all of it is asyncio's, but not its idea
        if not theirs or theirs[-1].f_code.co_filename.startswith(_OURS):
            return None
        return Waiting(handle, task, theirs[-1], frames[-1])

    # --- ending ---

    def left(self) -> list[str]:
        """Say of each task that has not ended where it waits."""
        said = []
        for task in sorted(asyncio.all_tasks(self), key=lambda task: task.get_name()):
            frames = _frames(task)
            theirs = [frame for frame in frames if not frame.f_code.co_filename.startswith((_ASYNCIO, _OURS))] or frames[:1]
            where = f" at {Place(theirs[-1].f_code.co_filename, theirs[-1].f_lineno)}" if theirs else ""
            name = task.get_name() if task not in self.own else task.get_coro().__qualname__  # type: ignore[union-attr]
            said.append(f"{name.rpartition('<locals>.')[2]} waits{where}")
        return said

    def clear_away(self) -> None:
        """End what is left, so that nothing of this run troubles the next one."""
        self.calm = True
        self.steps = 0
        for _ in range(3):
            tasks = asyncio.all_tasks(self)
            if not tasks:
                break
            for task in tasks:
                task.cancel()
            try:
                self.run_until_complete(asyncio.wait(tasks))
            except Stuck:
                break
        for task in asyncio.all_tasks(self):
            task._log_destroy_pending = False  # type: ignore[attr-defined]  # it was told of already
        self._ready.clear()  # type: ignore[attr-defined]
        self.close()


def _frames(task: asyncio.Task[Any]) -> list[FrameType]:
    """Return the frames in which a task waits, the outermost first."""
    frames = [frame for _, frame in links_of(task.get_coro()) if frame is not None]
    return [frame for frame in frames if frame.f_code is not _turn.__code__]


# --- sleep(0) --------------------------------------------------------------------------------------

_SLEEP0 = "__sleep0"  # what asyncio.sleep(0) awaits: a bare yield, to which nothing but a cancellation can be thrown
_plain: Any = getattr(asyncio.tasks, _SLEEP0, None)


async def _turn() -> None:
    """Wait for a turn of the loop; in ours by a future, which can fail."""
    loop = asyncio.get_running_loop()
    if not isinstance(loop, TurningLoop):
        await _plain()
        return
    future = loop.create_future()
    loop.call_soon(_settle, future)
    await future


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


@contextmanager
def turning_sleep() -> Iterator[None]:
    """Let ``sleep(0)`` be an await like any other in our loops; in all others it is what it was."""
    if _plain is None:  # another Python: there it can only be cancelled
        yield
        return
    setattr(asyncio.tasks, _SLEEP0, _turn)
    try:
        yield
    finally:
        setattr(asyncio.tasks, _SLEEP0, _plain)
