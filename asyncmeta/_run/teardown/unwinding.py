"""Which tasks are on their way out with an exception of their own?  Found by looking, once something is closed under them."""

from __future__ import annotations

import asyncio
import gc
import itertools
from collections import deque
from collections.abc import Callable, Collection
from types import (
    AsyncGeneratorType,
    BuiltinFunctionType,
    CodeType,
    CoroutineType,
    FrameType,
    FunctionType,
    GeneratorType,
    MethodType,
    ModuleType,
)
from typing import Any, Final

from ..state.awaited import links_of

__all__ = ["PATIENCE", "let_unwind", "unwinding"]

#: How many seconds closing waits, at most, for tasks that are on their way out.
PATIENCE: Final = 3.0

# Which task uses a scope is written down nowhere: asking at every opening would cost each request for what only a forced
# end wants to know.  A suspended coroutine shows the garbage collector what it holds, what waits on its stack to be left
# (the block of a scope) included, and the exception that it is handling.

_LINKS: Final = (CoroutineType, AsyncGeneratorType, GeneratorType)
_CONTAINERS: Final = (tuple, list, dict, set, deque)
_OPAQUE: Final = (type, ModuleType, FunctionType, BuiltinFunctionType, CodeType, FrameType, asyncio.Future, str, bytes, int)
_LARGE: Final = 64  #: a collection of more is no block's
_FAR: Final = 4_000  #: so many objects are looked at for one task


async def let_unwind(still_open: Callable[[], Collection[Any]], besides: Collection[object]) -> asyncio.CancelledError | None:
    """
    Wait while what is still open is used by tasks that are on their way out, `PATIENCE` seconds at most.

    Args:
        still_open: What nobody has closed yet.
        besides: Tasks that wait for this.

    Returns:
        The cancellation that came meanwhile.
    """
    loop = asyncio.get_running_loop()
    end, pause, cancelled = loop.time() + PATIENCE, 0.001, None
    # Looked at again and again: that a task is on its way out, and that it is no more, is told to nobody.
    while (there := still_open()) and unwinding(there, besides) and loop.time() < end:
        try:
            await asyncio.sleep(pause)
        except asyncio.CancelledError as error:
            cancelled = error
        pause = min(pause * 2, 0.02)
    return cancelled


def unwinding(things: Collection[object], besides: Collection[object]) -> bool:
    """
    Tell whether a task that holds one of *things* was cancelled, or is handling an exception.

    A cancelled task counts for what no task is seen to hold, too.
    """
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
            elif issubclass(kind, (*_LINKS, MethodType)):
                pending.append((inner, True))
            elif kind in _CONTAINERS:
                if len(inner) <= _LARGE:
                    pending.append((inner, near))
            elif near:
                pending.append((inner, False))
    return found
