"""Where do tasks and threads wait until something is over, and who tells them?"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable
from typing import Any, Final

from ..._lock import LOCK
from .slots import Place
from .waiting import wake

__all__ = ["CLOSED_BY_OTHERS", "LANDED", "Told", "leave", "park", "parked", "tell", "until", "until_nowait"]

#: Hears that it is over, from any thread, and with what: the outcome of a build, or None.
Told = Callable[[Any], None]

#: What is waited for at a place beside the values of its slots: that it is closed, and that all gets have landed.
CLOSED_BY_OTHERS: Final = -1
LANDED: Final = -2


def park(place: Place, key: int, told: Told) -> None:
    """Let *told* hear of *key*.  The lock is held, under which the caller has seen that it is not over."""
    if place._waiters is None:
        place._waiters = {}
    place._waiters.setdefault(key, []).append(told)


def leave(place: Place, key: int, told: Told) -> None:
    """Let *told* hear nothing of *key* any more."""
    with LOCK:
        waiting = place._waiters.get(key) if place._waiters else None
        if waiting and told in waiting:
            waiting.remove(told)


def parked(place: Place, key: int) -> Iterable[Told]:
    """Take and return who waits for *key*.  The lock is held; they are told when it is not."""
    return place._waiters.pop(key, ()) if place._waiters else ()


def tell(place: Place, key: int) -> None:
    """Tell who waits for *key* that it is over."""
    with LOCK:
        waiting = parked(place, key)
    for told in waiting:
        told(None)


#: How long who waits for the end of something does not look whether that waits for him, in seconds: at first, and at most.
_PAUSES: Final = (0.01, 1.0)


def _never() -> bool:
    return False


async def until(place: Place, key: int, over: Callable[[], bool], inside: Callable[[], bool] = _never) -> bool:
    """
    Wait until *over*, also when cancelled meanwhile; the cancellation is raised afterwards.

    Args:
        inside: Tells whether what is waited for waits for the caller: then it would never be over.  Asked now and then.

    Returns:
        Whether it is over.
    """
    cancelled: asyncio.CancelledError | None = None
    pause, most = _PAUSES
    loop = asyncio.get_running_loop()
    while not (ended := over()):
        future: asyncio.Future[None] = loop.create_future()
        told = _waker(future)
        with LOCK:
            if over():  # meanwhile, in another thread
                continue
            park(place, key, told)
        # Who has begun a task, or a thread, may begin to wait for it later.
        look = loop.call_later(pause, told, None)
        try:
            await future
        except asyncio.CancelledError as error:
            cancelled = error
        finally:
            look.cancel()
            leave(place, key, told)
        if not over() and inside():
            break
        pause = min(2 * pause, most)
    if cancelled is not None:
        raise cancelled
    return ended


def until_nowait(place: Place, key: int, over: Callable[[], bool], inside: Callable[[], bool] = _never) -> bool:
    """The same in a thread."""
    pause, most = _PAUSES
    while not (ended := over()):
        event = threading.Event()
        told = _setter(event)
        with LOCK:
            if over():
                continue
            park(place, key, told)
        try:
            event.wait(pause)
        finally:
            leave(place, key, told)
        if not over() and inside():
            break
        pause = min(2 * pause, most)
    return ended


def _setter(event: threading.Event) -> Told:
    return lambda _: event.set()


def _waker(future: asyncio.Future[None]) -> Told:
    return lambda _: wake(future)
