"""One value, built once: who builds, who waits, and who waits for whom."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import weakref
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from ..._compat import get_running_loop
from ..._lock import LOCK
from ..._names import name_of
from ..._solve.nodes import Node
from ...errors import CircularDependencyError
from .context import unshield
from .frames import BUILDS

if TYPE_CHECKING:
    from .singletons import Singletons

__all__ = ["CHAIN", "Closers", "Flight", "Outcome", "Wait", "forget_waits", "holdings", "set_traceback", "traceback_of", "wake"]

#: The container values that the running code is part of building, outermost first; child tasks inherit it.
CHAIN: contextvars.ContextVar[tuple[Flight, ...]] = contextvars.ContextVar("asyncmeta_chain", default=())


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


class Flight:
    """The building of one container value, by a task or in place, for any number of callers."""

    __slots__ = (
        "__weakref__", "abandoned", "began", "done", "finished", "loop", "node", "outcome", "owner", "seen", "stopped", "task",
        "waiters",
    )  # fmt: skip

    def __init__(self, owner: Singletons, node: Node, loop: asyncio.AbstractEventLoop | None) -> None:
        self.owner = owner  #: whose the value is
        self.node = node
        self.loop = loop  #: where it runs; None for a build in place in a thread without a loop
        self.task: asyncio.Task[Any] | None = None  #: None for a build in place
        self.waiters: dict[Any, None] = {}  #: each is told by ``told(flight)``; a bare future is set
        self.done = False
        self.abandoned = False  #: cancelled by us, because nobody waits: who comes now begins anew
        self.stopped = False  #: its task was cancelled, or is tearing down: a cancellation now would cut a finalizer
        self.outcome: Outcome | None = None
        self.seen: tuple[Any, ...] = ()  #: what is in force for what is built, beside overrides
        self.began = 0.0
        self.finished = 0.0

    def builds_for(self) -> Any:
        """Return the container that is kept waiting by it; None where it is over, or was going on in the parent of a fork."""
        return self.owner.scope if self.owner.flights.get(self.node) is self else None

    def end(self, outcome: Outcome) -> None:
        """Mark it as over and tell everyone who waits.  The lock is held."""
        if self.done:
            return
        self.done, self.outcome = True, outcome
        if self.seen:
            unshield(self.seen)
        waiters, self.waiters = self.waiters, {}
        for waiter in waiters:
            if isinstance(waiter, asyncio.Future):
                wake(waiter)
            else:
                waiter.told(self)

    def leave(self, waiter: Any) -> None:
        """Stop waiting; the last one to leave cancels the build."""
        with LOCK:
            self.waiters.pop(waiter, None)
            if not self.waiters and not self.done and self.task is not None and not self.abandoned:
                self.abandoned = True
                self.stop()

    def stop(self) -> None:
        """Cancel its task, once."""
        with LOCK:
            if self.task is not None and not self.stopped:
                self.stopped = True
                cancel_task(self.task)


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


# --- who waits for whom ----------------------------------------------------------------------------
#
# A thing that is being built is a Build, or (scope, slot) of a scoped value.  Only waits from inside of a build are
# recorded, so ten thousand callers of one value cost nothing here.


class Wait:
    """One wait of code that is part of building something."""

    __slots__ = ("held", "names", "targets")

    def __init__(self, held: dict[Any, str]) -> None:
        self.held = held  #: what the waiting code is part of building, and its name
        self.targets: dict[Any, str] = {}  #: what it waits for

    def begin(self, target: Any, name: str, way: tuple[str, ...] = ()) -> None:
        """
        Record that this waits for *target*.

        Raises:
            CircularDependencyError: *target* waits, directly or through others, for something that this is part of.
        """
        with LOCK:
            path = _way(target, (*way, name), self.held)
            if path is not None:
                raise CircularDependencyError(path[0], path)
            self.targets[target] = name
            _WAITS[self] = None

    def end(self) -> None:
        """Forget the wait."""
        with LOCK:
            _WAITS.pop(self, None)


_WAITS: dict[Wait, None] = {}


def forget_waits() -> None:
    """Forget every wait: this is the child of a fork, and those who wait are in the parent."""
    _WAITS.clear()


def _way(target: Any, begin: tuple[str, ...], held: dict[Any, str]) -> tuple[str, ...] | None:
    """Return the names on the way from *target* back to something held, or None.  The lock is held."""
    pending: list[tuple[Any, tuple[str, ...]]] = [(target, begin)]
    seen: set[Any] = set()
    while pending:
        thing, path = pending.pop()
        if thing in held:
            inner = tuple(held.values())[list(held).index(thing) :]
            return (*inner, *path)
        if thing in seen:
            continue
        seen.add(thing)
        for wait in _WAITS:
            if thing in wait.held:
                pending.extend((next_one, (*path, next_name)) for next_one, next_name in wait.targets.items())
    return None


def holdings() -> dict[Any, str]:
    """
    Return what the running code is part of building, outermost first.

    Container values are known by their context, which child tasks inherit; scoped ones by the frames of plain awaits,
    so that a request pays nothing for it.
    """
    held: dict[Any, str] = {}
    for flight in CHAIN.get():
        if not flight.done:
            held[flight] = name_of(flight.node.key) if flight.node.binding else flight.node.name
    for thing, name in reversed(BUILDS.above()):
        held[thing] = name
    return held


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
