"""Where do tasks and threads wait until something is over, and who tells them?"""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Callable, Coroutine, Iterable
from types import TracebackType
from typing import Any, Final, TypeVar

from ..._compat import get_running_loop
from ..._lock import LOCK
from ..._names import name_of
from ...errors import AsyncDependencyError
from .slots import Waitable

__all__ = [
    "CLOSED_BY_OTHERS", "LANDED", "Closers", "Outcome", "Told", "cancel_task", "hearers", "leave", "me", "park", "parked",
    "run_nowait", "set_traceback", "tell", "traceback_of", "until", "until_nowait", "wake",
]  # fmt: skip

T = TypeVar("T")

#: Hears that it is over, from any thread, and with what: the outcome of a build, or None.
Told = Callable[[Any], None]

#: What is waited for at a place beside the values of its slots: that it is closed, and that all gets have landed.
CLOSED_BY_OTHERS: Final = -1
LANDED: Final = -2


def park(place: Waitable, key: int, told: Told) -> None:
    """Let *told* hear of *key*.  The lock is held, under which the caller has seen that it is not over."""
    if place._waiters is None:
        place._waiters = {}
    place._waiters.setdefault(key, []).append(told)


def leave(place: Waitable, key: int, told: Told) -> None:
    """Let *told* hear nothing of *key* any more."""
    with LOCK:
        waiting = place._waiters.get(key) if place._waiters else None
        if waiting and told in waiting:
            waiting.remove(told)


def hearers(place: Waitable, key: int) -> list[Told]:
    """Return who waits for *key*."""
    return list(place._waiters.get(key, ())) if place._waiters else []


def parked(place: Waitable, key: int) -> Iterable[Told]:
    """Take and return who waits for *key*.  The lock is held; they are told when it is not."""
    return place._waiters.pop(key, ()) if place._waiters else ()


def tell(place: Waitable, key: int) -> None:
    """Tell who waits for *key* that it is over."""
    with LOCK:
        waiting = parked(place, key)
    for told in waiting:
        told(None)


#: How long who waits for the end of something does not look whether that waits for him, in seconds: at first, and at most.
_PAUSES: Final = (0.01, 1.0)


def _never() -> bool:
    return False


async def until(
    place: Waitable, key: int, over: Callable[[], bool], inside: Callable[[], bool] = _never, *, waits: bool = True
) -> bool:
    """
    Wait until *over*, also when cancelled meanwhile; the cancellation is raised afterwards.

    Args:
        inside: Tells whether what is waited for waits for the caller: then it would never be over.  Asked now and then.
        waits: By awaiting; else by blocking the thread, see `run_nowait`.

    Returns:
        Whether it is over.
    """
    if not waits:
        return until_nowait(place, key, over, inside)
    cancelled: asyncio.CancelledError | None = None
    pause, most = _PAUSES
    while not (ended := over()):
        loop = asyncio.get_running_loop()  # not sooner: a coroutine that is collected under a block has none, and closes that
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


def until_nowait(place: Waitable, key: int, over: Callable[[], bool], inside: Callable[[], bool] = _never) -> bool:
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


def run_nowait(work: Coroutine[Any, Any, T], token: object) -> T:
    """Run a coroutine that has nothing to await: what it waits for, if anything, blocks the thread."""
    try:
        work.send(None)
    except StopIteration as stop:
        found: T = stop.value
        return found
    work.close()
    raise AsyncDependencyError(name_of(token), (), "", "met something that has to be awaited")


def _setter(event: threading.Event) -> Told:
    return lambda _: event.set()


def _waker(future: asyncio.Future[None]) -> Told:
    return lambda _: wake(future)


# --- how it ended, and who waits ---


# What a class of the user's says of attributes (a frozen dataclass refuses them) does not count: these are the exception's own.
traceback_of: Final[Callable[[BaseException], TracebackType | None]] = vars(BaseException)["__traceback__"].__get__
set_traceback: Final[Callable[[BaseException, TracebackType | None], None]] = vars(BaseException)["__traceback__"].__set__


class Outcome:
    """How a build ended, for those who wait: an error, or nothing (look again)."""

    __slots__ = ("error", "traceback")

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error
        # One object is raised by each who waits; without this its traceback would grow with every one.
        self.traceback = None if error is None else traceback_of(error)

    def check(self) -> None:
        """Raise the error, if there is one."""
        if self.error is not None:
            set_traceback(self.error, self.traceback)
            raise self.error


def wake(future: asyncio.Future[None]) -> None:
    """End the waiting on *future* where it still waits; from whatever thread this is."""
    loop = future.get_loop()
    if loop is not get_running_loop():
        if not loop.is_closed():
            loop.call_soon_threadsafe(wake, future)
    elif not future.done():
        future.set_result(None)


def cancel_task(task: asyncio.Task[Any]) -> None:
    """Cancel *task* from whatever thread this is."""
    loop = task.get_loop()
    if loop is get_running_loop():
        task.cancel()
    elif not loop.is_closed():
        loop.call_soon_threadsafe(task.cancel)


def me() -> object:
    """Return who runs here: the task, or the thread where there is none."""
    return threading.get_ident() if get_running_loop() is None else asyncio.current_task()


class Closers(list[object]):
    """Who wait for a closing, see `me`; and, once something open was undone by it, which tasks there were then."""

    there: weakref.WeakSet[asyncio.Task[Any]] | None = None

    def look(self) -> None:
        """Note the tasks that there are, the first time."""
        if self.there is None and get_running_loop() is not None:
            self.there = weakref.WeakSet(asyncio.all_tasks())

    def concern(self, one: object) -> bool:
        """Tell whether *one* may have been in the middle of something that was undone, and is not who closed it."""
        if one in self:
            return False
        return self.there is None or not isinstance(one, asyncio.Task) or one in self.there
