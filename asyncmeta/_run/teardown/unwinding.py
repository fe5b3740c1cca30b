"""Who is on the way out of what is closed: tasks with an exception of their own, and threads?  Found by looking, then."""

from __future__ import annotations

import asyncio
import gc
import itertools
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Collection
from types import (
    BuiltinFunctionType,
    CodeType,
    FrameType,
    FunctionType,
    MethodType,
    ModuleType,
)
from typing import Any, Final

from ..._compat import get_running_loop
from ..state.awaited import LINKS, links_of, threads_waiting_for
from ..state.singletons import ScopeState

__all__ = ["FIRST_PAUSE", "PATIENCE", "PATIENCE_WITH_THREADS", "go_on", "let_unwind", "paused", "since_now", "unwinding"]

#: How many seconds closing waits, at most, for tasks that are on their way out.
PATIENCE: Final = 3.0
#: How many for threads, which nobody has told to end: those that were about to come to the end of their work do so.
PATIENCE_WITH_THREADS: Final = 1.0

# Which task uses a scope is written down nowhere: asking at every opening would cost each request for what only a forced
# end wants to know.  A suspended coroutine shows the garbage collector what it holds, what waits on its stack to be left
# (the block of a scope) included, and the exception that it is handling.

_CONTAINERS: Final = (tuple, list, dict, set, deque)
_OPAQUE: Final = (type, ModuleType, FunctionType, BuiltinFunctionType, CodeType, FrameType, asyncio.Future, str, bytes, int)
_LARGE: Final = 64  #: a collection of more is no block's
_FAR: Final = 4_000  #: so many objects are looked at for one task


async def let_unwind(
    still_open: Callable[[], Collection[ScopeState]], closers: Collection[object], *, waits: bool
) -> list[BaseException]:
    """
    Wait, for a while, where what is still open is used by tasks that are on their way out, or by other threads.

    Args:
        still_open: What nobody has closed yet.
        closers: Tasks and threads that wait for this.
        waits: By awaiting; else by blocking the thread, in which no task goes on meanwhile.

    Returns:
        The last cancellation that came meanwhile, if any did.
    """
    waited, pause = since_now(waits=waits), FIRST_PAUSE
    cancelled: list[BaseException] = []
    while (there := still_open()) and (
        go_on({scope._thread for scope in there}, closers, waited) or (waits and unwinding(there, closers, waited))
    ):
        pause = await paused(pause, cancelled, waits=waits)
    return cancelled[-1:]


#: Seconds until it is looked again: that somebody is on the way out, and is no more, is told to nobody.
FIRST_PAUSE: Final = 0.001
_LAST_PAUSE: Final = 0.02


def since_now(*, waits: bool) -> Callable[[], float]:
    """Return what tells how many seconds have gone by since now, on the clock that `paused` waits by: a loop may have its own."""
    loop = get_running_loop() if waits else None
    now = time.monotonic if loop is None else loop.time
    began = now()
    return lambda: now() - began


async def paused(pause: float, cancelled: list[BaseException], *, waits: bool) -> float:
    """Wait for *pause* seconds; return how many come next.  A cancellation is noted in *cancelled*."""
    try:
        await asyncio.sleep(pause) if waits else time.sleep(pause)  # noqa: ASYNC251  # of a loop there is none
    except asyncio.CancelledError as error:
        cancelled.append(error)
    return min(pause * 2, _LAST_PAUSE)


def go_on(threads: set[int | None], closers: Collection[object], waited: Callable[[], float]) -> bool:
    """
    Tell whether one of *threads* comes to the end of what it does, and closing, which has *waited* so long, still waits for that.

    It lives, and does not wait for the running code.  Nobody can cancel a thread.  What it does with what it holds is not
    given up half done, as a task is.
    """
    if waited() >= PATIENCE_WITH_THREADS:
        return False
    others = (threads & sys._current_frames().keys()) - {threading.get_ident()}
    return bool(others and others - threads_waiting_for(closers))


def unwinding(things: Collection[object], besides: Collection[object], waited: Callable[[], float]) -> bool:
    """
    Tell whether a task that holds one of *things* is on its way out, and closing, which has *waited* so long, still waits for that.

    It was cancelled, or is handling an exception.  A cancelled task counts for what no task is seen to hold, too.
    """
    if waited() >= PATIENCE:
        return False
    here = asyncio.current_task()
    others = [task for task in asyncio.all_tasks() if task is not here and task not in besides]
    leaving = [task for task in others if task.cancelling() or any(itertools.starmap(_handles, links_of(task.get_coro())))]
    if not leaving:
        return False
    wanted = set(map(id, things))
    held: set[int] = set()
    for task in leaving:
        held |= _held(task, wanted)
    if held:
        return True
    if not any(task.cancelling() for task in leaving):
        return False
    for task in others:
        held |= _held(task, wanted)
    return held != wanted


def _handles(link: object, frame: FrameType | None) -> bool:
    """Tell whether a suspended coroutine is handling an exception: it holds one beside what its variables hold."""
    met = [one for one in gc.get_referents(link) if issubclass(type(one), BaseException)]
    if not met:
        return False
    for value in () if frame is None else frame.f_locals.values():
        at = next((at for at, one in enumerate(met) if one is value), None)
        if at is not None:
            del met[at]
    return bool(met)


def _held(task: asyncio.Task[Any], wanted: set[int]) -> set[int]:
    """Return which of *wanted*, by their ids, a task leads to: from its frames, through collections and blocks."""
    pending: list[tuple[Any, bool]] = [(link, True) for link, _ in links_of(task.get_coro())]
    seen = {id(link) for link, _ in pending}
    found = seen & wanted
    while pending and len(seen) < _FAR:
        one, near = pending.pop()
        for inner in gc.get_referents(one):
            kind = type(inner)  # never `isinstance`, which asks a value for its class
            if id(inner) in seen or issubclass(kind, _OPAQUE):
                continue
            seen.add(id(inner))
            if id(inner) in wanted:
                found.add(id(inner))
            elif issubclass(kind, (*LINKS, MethodType)):
                pending.append((inner, True))
            elif kind in _CONTAINERS:
                if len(inner) <= _LARGE:
                    pending.append((inner, near))
            elif near:
                pending.append((inner, False))
    return found
