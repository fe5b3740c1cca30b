"""Who waits, through tasks and threads, for the code that runs here?  Found by looking, where something is closed from inside."""

from __future__ import annotations

import asyncio
import functools
import gc
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from types import (
    AsyncGeneratorType,
    BuiltinMethodType,
    CellType,
    CodeType,
    CoroutineType,
    FrameType,
    FunctionType,
    GeneratorType,
    MethodType,
)
from typing import Any, Final

from ..._compat import WALKS_THREADS, get_running_loop
from ..._names import frames_from

__all__ = ["HEARERS", "LINKS", "frames_of_waiters", "links_of", "threads_waiting_for"]

# Nothing is noted on the way, which would cost every request: a future knows whom it calls when it is done, and what is
# called (a task's own wake-up, what `gather`, `wait`, `shield`, task groups and time limits leave there) leads to who waits.
# A thread that waits shows it by the frame that it is in.
_LEADING: Final = (FunctionType, MethodType, BuiltinMethodType, CellType, functools.partial, tuple)
LINKS: Final = (CoroutineType, AsyncGeneratorType, GeneratorType)
_FAR: Final = 1_000  #: so many objects are looked at
#: Whose helpers are looked into: what a callback of theirs completes are futures that they keep.
_LIBRARIES: Final = ("asyncio", "anyio")

#: By code of ours that brings something to its end, in whatever task: gives, of its frame, who waits for that end (tasks,
#: and threads by their numbers) and what is called then.
HEARERS: Final[dict[CodeType, Callable[[FrameType], Iterable[Any]]]] = {}


def frames_of_waiters() -> Iterator[FrameType]:
    """Give the frames of all tasks and threads that wait for the running one, be it through others."""
    for one in _waiting_for(()):
        if isinstance(one, _Thread):
            yield from one.frames
        else:
            yield from (frame for _, frame in links_of(one.get_coro()) if frame is not None)


def threads_waiting_for(others: Iterable[object]) -> set[int]:
    """Return the threads that wait for the running code or for one of *others*, or are one: tasks, and threads by number."""
    return {one.number for one in _waiting_for(others) if isinstance(one, _Thread)}


def _waiting_for(others: Iterable[object]) -> Iterator[_Thread | asyncio.Task[Any]]:
    """Give all tasks and threads that wait for the running one or for one of *others*, and those."""
    here = None if get_running_loop() is None else asyncio.current_task()
    threads = _Threads()
    # Futures of both kinds, and threads.
    pending: list[Any] = [threads.of(one) if type(one) is int else one for one in others]
    pending += (threads.here, here)
    seen: dict[int, Any] = {}  #: held, so that no other one gets its id
    while pending and len(seen) < _FAR:
        one = pending.pop()
        if one is None or id(one) in seen:
            continue
        seen[id(one)] = one
        if one is not here and one is not threads.here and isinstance(one, _Thread | asyncio.Task):
            yield one
        pending += threads.waiting_for(one)
        called: list[Any] = list(getattr(one, "_callbacks", None) or getattr(one, "_done_callbacks", None) or ())
        frames: list[FrameType] = []
        if isinstance(one, _Thread):
            pending += one.works_for()
            frames = one.frames
        elif isinstance(one, asyncio.Task) and one is not here:
            frames = [frame for _, frame in links_of(one.get_coro()) if frame is not None]
        for frame in frames:
            for hearer in HEARERS[frame.f_code](frame) if frame.f_code in HEARERS else ():
                called.append(threads.of(hearer) if type(hearer) is int else hearer)
        while called and len(seen) < _FAR:
            link = called.pop()
            if id(link) in seen:
                continue
            if asyncio.isfuture(link) or isinstance(link, futures.Future | _Thread):
                pending.append(link)
            elif issubclass(type(link), _LEADING) or type(link).__name__ == "TaskWakeupMethWrapper":
                seen[id(link)] = link
                called += [inner for inner in gc.get_referents(link) if type(inner) is not dict]
            elif type(link).__module__.partition(".")[0] in _LIBRARIES:
                seen[id(link)] = link
                pending += _completed_by(link)


def _completed_by(helper: object) -> list[Any]:
    """Return the futures that a library's helper keeps, to complete them; a task is completed by nobody."""
    found: list[Any] = []
    for value in (helper, *getattr(helper, "__dict__", {}).values()):
        # A queue keeps those of who waits for an item.
        of_queue = getattr(value, "_getters", ()) if isinstance(value, asyncio.Queue) else ()
        found += (one for one in (value, *of_queue) if asyncio.isfuture(one) and not isinstance(one, asyncio.Task))
    return found


#: What shows the frame of a coroutine or generator, whether it is suspended, and then what it waits for.
_SHOWN_BY: Final = (
    ("cr_frame", "cr_suspended", "cr_await"),
    ("ag_frame", "ag_suspended", "ag_await"),
    ("gi_frame", "gi_suspended", "gi_yieldfrom"),
)


def links_of(link: Any) -> Iterator[tuple[Any, FrameType | None]]:
    """
    Give the coroutines and generators by which *link* waits, outermost first, each with its frame, None where it has none.

    One that is running just now, in another thread or around an eager task, is the last: what it waits for is no question, and
    CPython before 3.13 answers it with memory that is something else by then.
    """
    for _ in range(_FAR):
        if link is None or issubclass(type(link), asyncio.Future):
            return
        shown = next((names for names in _SHOWN_BY if hasattr(type(link), names[0])), None)
        if shown is None:  # what takes one step of an async generator does not show it by name
            yield link, None
            link = next((inner for inner in gc.get_referents(link) if issubclass(type(inner), LINKS)), None)
            continue
        frame, suspended, waits_for = shown
        yield link, getattr(link, frame)
        if not getattr(link, suspended, True):  # CPython 3.11 does not say it of async generators
            return
        link = getattr(link, waits_for)


# --- threads ---------------------------------------------------------------------------------------


def _code_of(function: Any) -> CodeType:
    code: CodeType = function.__code__
    return code


#: By code: the variable that holds what its thread waits for.
_WAITS: Final = {
    _code_of(threading.Thread.join): "self",
    _code_of(futures.Future.result): "self",
    _code_of(futures.Future.exception): "self",
    _code_of(asyncio.BaseEventLoop.run_until_complete): "future",
    _code_of(asyncio.Runner.run): "task",  # of loops that are no Python code
}


class _Thread:
    """A thread, by the frames that it is in."""

    __slots__ = ("frames", "number")

    def __init__(self, number: int, top: FrameType | None) -> None:
        self.number = number
        self.frames = list(frames_from(top))

    def works_for(self) -> list[Any]:
        """Return the futures that are done when it has come to the end of what it runs."""
        pool = sys.modules.get("concurrent.futures.thread")  # who imports it at the end of a process is refused
        work = None if pool is None else _code_of(pool._WorkItem.run)
        return [frame.f_locals["self"].future for frame in self.frames if frame.f_code is work]

    def waits_for(self) -> list[Any]:
        """Return what it waits for: threads and futures."""
        return [frame.f_locals.get(_WAITS[frame.f_code]) for frame in self.frames if frame.f_code in _WAITS]

    def tasks(self) -> list[Any]:
        """Return the tasks that it is taking a step of."""
        loops = [frame.f_locals["self"] for frame in self.frames if frame.f_code is _code_of(asyncio.Runner.run)]
        loops = [getattr(one, "_loop", None) for one in loops]
        loops += [
            frame.f_locals["self"] for frame in self.frames if frame.f_code is _code_of(asyncio.BaseEventLoop.run_until_complete)
        ]
        found = (asyncio.current_task(loop) for loop in loops if loop is not None)
        return [task for task in found if task is not None]


class _Threads:
    """All threads as they are just now."""

    def __init__(self) -> None:
        number = threading.get_ident()
        self.here = _Thread(number, sys._getframe(1))
        there = sys._current_frames() if WALKS_THREADS else {}
        self.others = {other: _Thread(other, top) for other, top in there.items() if other != number}
        self.waiting = [(thread, waits) for thread in self.others.values() if (waits := thread.waits_for())]

    def of(self, number: int) -> _Thread:
        """Return the thread of that number."""
        return self.here if number == self.here.number else self.others.get(number) or _Thread(number, None)

    def waiting_for(self, one: Any) -> list[Any]:
        """Return the threads that wait for *one*, a thread or a future, each with the task that it is taking a step of."""
        found: list[Any] = []
        for thread, waits in self.waiting:
            for met in waits:
                if met is one or (isinstance(one, _Thread) and isinstance(met, threading.Thread) and met.ident == one.number):
                    found += (thread, *thread.tasks())
        return found
