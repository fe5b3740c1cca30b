"""Who waits, through tasks, for the code that runs here?  Found by looking, where something is closed from inside."""

from __future__ import annotations

import asyncio
import functools
import gc
from collections.abc import Iterator
from types import AsyncGeneratorType, BuiltinMethodType, CellType, CoroutineType, FrameType, FunctionType, GeneratorType, MethodType
from typing import Any, Final

from ..._compat import get_running_loop

__all__ = ["frames_of_waiters"]

# Nothing is noted on the way, which would cost every request: a future knows whom it calls when it is done, and what is
# called (a task's own wake-up, what `gather`, `wait`, `shield` and time limits leave there) leads to who waits.
_LEADING: Final = (FunctionType, MethodType, BuiltinMethodType, CellType, functools.partial, tuple)
_LINKS: Final = (CoroutineType, AsyncGeneratorType, GeneratorType)
_FAR: Final = 1_000  #: so many objects are looked at


def frames_of_waiters() -> Iterator[FrameType]:
    """Give the frames of all tasks that wait for the running one, be it through others."""
    here = None if get_running_loop() is None else asyncio.current_task()
    pending: list[Any] = [] if here is None else [here]
    seen: dict[int, Any] = {}  #: held, so that no other one gets its id
    while pending and len(seen) < _FAR:
        future = pending.pop()
        if id(future) in seen:
            continue
        seen[id(future)] = future
        if isinstance(future, asyncio.Task) and future is not here:
            yield from _frames(future.get_coro())
        called: list[Any] = list(getattr(future, "_callbacks", None) or ())
        while called and len(seen) < _FAR:
            one = called.pop()
            if id(one) in seen:
                continue
            if asyncio.isfuture(one):
                pending.append(one)
            elif issubclass(type(one), _LEADING) or type(one).__name__ == "TaskWakeupMethWrapper":
                seen[id(one)] = one
                called += [inner for inner in gc.get_referents(one) if type(inner) is not dict]


def _frames(link: Any) -> Iterator[FrameType]:
    """Give the frames by which a suspended coroutine waits, outermost first."""
    for _ in range(_FAR):
        frame = getattr(link, "cr_frame", None) or getattr(link, "ag_frame", None) or getattr(link, "gi_frame", None)
        if frame is not None:
            yield frame
        name = next((name for name in ("cr_await", "ag_await", "gi_yieldfrom") if hasattr(type(link), name)), None)
        if name is not None:
            link = getattr(link, name)
        else:  # what takes one step of an async generator does not show it by name
            link = next((inner for inner in gc.get_referents(link) if issubclass(type(inner), _LINKS)), None)
        if link is None or issubclass(type(link), asyncio.Future):
            return
