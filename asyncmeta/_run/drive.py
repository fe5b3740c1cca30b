"""How do container values that are missing come to be?  Each caller drives its own closure; nobody builds twice."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from .._compat import get_running_loop, new_task
from .._declare.lifetimes import CONTAINER_LEVEL
from .._solve.nodes import CONTAINER, Node
from .._solve.plan import Unit
from ..errors import AsyncDependencyError, ClosedError
from .ambient import AMBIENT, lasting
from .asked import Asked, asking
from .cells import CHAIN, LOCK, Build, Outcome, Wait, holdings, wake
from .finalizers import push_locked, settle_errors
from .keeping import Keeper
from .work import carry_out, made_now

__all__ = ["Drive", "Holder", "build_missing", "build_missing_now", "wait_for"]


class Drive:
    """
    One caller's way through the container values that it is missing.

    Builds never wait for builds: a value is begun when what it needs is there, and the only one who waits is a caller.
    """

    __slots__ = (
        "again",
        "asked",
        "container",
        "ended",
        "future",
        "joined",
        "limit",
        "loop",
        "needed_by",
        "on_built",
        "open",
        "ready",
        "wait",
    )

    def __init__(
        self,
        container: Any,
        nodes: Iterable[Node],
        limit: int | None = None,
        on_built: Any = None,
        asked: Asked | None = None,
    ) -> None:
        self.container = container
        self.limit = limit  #: how many builds of its own may run at once
        self.on_built = on_built  #: told of each value that has come to be
        self.needed_by: dict[Node, list[Node]] = {}
        self.open: dict[Node, int] = {}  #: how many of its dependencies are missing
        self.ready: deque[Node] = deque()
        self.joined: dict[Build, None] = {}  #: builds this waits for
        self.ended: deque[Build] = deque()
        self.again = threading.Event()
        self.loop = get_running_loop()
        self.future: asyncio.Future[None] | None = None
        self.wait: Wait | None = None
        self._walk(nodes)
        #: why each is built, where somebody watches
        self.asked = None if container._watch is None else Asked(self.needed_by, asked)

    def _walk(self, nodes: Iterable[Node]) -> None:
        """Find the closure of what is missing, with counts; iterative."""
        container = self.container
        pending = [node for node in nodes if not container._has(node)]
        pending.reverse()
        while pending:
            node = pending.pop()
            if node in self.open:
                continue
            missing = 0
            for other in container._unit(node).shared:
                if other.level == CONTAINER_LEVEL and other.kind != CONTAINER and other is not node and not container._has(other):
                    missing += 1
                    self.needed_by.setdefault(other, []).append(node)
                    pending.append(other)
            self.open[node] = missing
            if not missing:
                self.ready.append(node)

    # --- being told ---

    def told(self, build: Build) -> None:
        """A build that this waits for is over; may come from another thread."""
        self.ended.append(build)
        self.again.set()
        future = self.future
        if future is not None and self.loop is not None:
            if self.loop is get_running_loop():
                wake(future)
            elif not self.loop.is_closed():
                self.loop.call_soon_threadsafe(wake, future)

    def came(self, node: Node) -> None:
        """A value is there: what needs it may have become ready."""
        self.open.pop(node, None)
        for user in self.needed_by.pop(node, ()):
            self.open[user] -= 1
            if not self.open[user]:
                self.ready.append(user)

    def take_ended(self) -> None:
        """Look at the builds that are over, and raise what one of them raised."""
        while self.ended:
            build = self.ended.popleft()
            self.joined.pop(build, None)
            if self.wait is not None:
                self.wait.targets.pop(build, None)
            assert build.outcome is not None
            if self.container._has(build.node):
                self.came(build.node)
                if self.on_built is not None:
                    self.on_built(build)
            elif build.outcome.error is None or build.abandoned:
                # It died without a word, and what it needs may have been forgotten with it: begin anew.
                self.open.pop(build.node, None)
                self._walk([build.node])
            else:
                build.outcome.check()

    def join(self, build: Build) -> None:
        """Wait for a build of somebody, or of one's own.  The lock is held."""
        if self.wait is None:
            held = holdings()
            if held:
                self.wait = Wait(held)
        if self.wait is not None:
            self.wait.begin(build, build.node.name, self.way_of(build.node))
        build.waiters[self] = None
        self.joined[build] = None

    def way_of(self, node: Node) -> tuple[str, ...]:
        """Return what led from the caller to *node*, by name."""
        way: list[str] = []
        users = self.needed_by.get(node)
        while users and users[0].name not in way:
            way.append(users[0].name)
            users = self.needed_by.get(users[0])
        way.reverse()
        return tuple(way)

    def asking(self) -> asking:
        """Return the context manager in which values are built, where somebody watches."""
        if self.asked is None:  # they began to watch a moment ago
            self.asked = Asked(self.needed_by)
        return asking(self.asked)

    def leave(self) -> None:
        """Stop waiting for everything."""
        if self.wait is not None:
            self.wait.end()
        for build in list(self.joined):
            build.leave(self)
        self.joined.clear()

    def claim(self, node: Node) -> Build | None:
        """Take the next step for a ready node: None where it is there or somebody builds it, else a build of our own."""
        container = self.container
        with LOCK:
            if container._has(node):
                self.came(node)
                return None
            holder = container._holder(node)
            build = holder._flights.get(node)
            if build is not None and not build.done:
                if build.loop is not None and build.loop.is_closed():
                    del holder._flights[node]  # it died with its loop
                else:
                    self.join(build)
                    return None
            holder._check_open()
            build = holder._flights[node] = Build(holder, node, self.loop)
            return build


async def build_missing(
    container: Any,
    nodes: Iterable[Node],
    limit: int | None = None,
    on_built: Callable[[Build], object] | None = None,
    asked: Asked | None = None,
) -> None:
    """
    Build *nodes* and what they need, where that is missing.

    Independent values are built side by side, each in a task that the container owns; sync ones in place.  Cancelling
    this only stops its waiting: a build goes on while anyone waits for it, and is cancelled when nobody does.
    """
    drive = Drive(container, nodes, limit, on_built, asked)
    loop = drive.loop
    assert loop is not None
    running = 0
    try:
        while True:
            while drive.ready:
                if limit is not None and len(drive.joined) >= limit:
                    break
                node = drive.ready.popleft()
                unit = container._unit(node)
                container._holder(node)._check_loop(loop, node)
                build = drive.claim(node)
                if build is None:
                    continue
                watch = build.container._watch
                if unit.awaits or (watch is not None and watch.awaits_for(unit)):
                    _begin(build, unit, loop, drive)
                else:
                    if watch is None:
                        in_place(build, unit)
                    else:
                        with drive.asking():
                            in_place(build, unit)
                    drive.came(node)
                    if on_built is not None:
                        on_built(build)
            running = len(drive.joined)
            if not running and not drive.ended and not drive.ready:
                return
            with LOCK:
                drive.future = None if drive.ended else loop.create_future()
            if drive.future is not None:
                await drive.future
            drive.take_ended()
    finally:
        drive.leave()


def build_missing_now(container: Any, nodes: Iterable[Node], asked: Asked | None = None) -> None:
    """
    Build *nodes* and what they need without awaiting; from any thread.

    Raises:
        AsyncDependencyError: One of them has to be awaited.
    """
    drive = Drive(container, nodes, asked=asked)
    for node in drive.open:
        # A thread is there to keep the loop free: where one runs, its value is awaited.
        if container._unit(node).awaits and not (container._unit(node).threaded and drive.loop is None):
            raise AsyncDependencyError(node.name, (*drive.way_of(node), node.name), str(node.place))
    try:
        while True:
            while drive.ready:
                node = drive.ready.popleft()
                container._holder(node)._check_loop(drive.loop, node)
                build = drive.claim(node)
                if build is None:
                    continue
                if build.container._watch is None:
                    in_place(build, container._unit(node))
                else:
                    with drive.asking():
                        in_place(build, container._unit(node))
                drive.came(node)
            if not drive.joined and not drive.ended:
                return
            for build in drive.joined:
                if build.task is not None:
                    way = (*drive.way_of(build.node), build.node.name)
                    raise AsyncDependencyError(way[-1], way, "", "is being built by a task")
            drive.again.wait()
            drive.again.clear()
            drive.take_ended()
    finally:
        drive.leave()


async def wait_for(build: Build) -> None:
    """Wait for a build in flight in this loop, from outside of any build: the short way that thousands may take."""
    future = build.loop.create_future()  # type: ignore[union-attr]  # the caller has compared it with its own
    build.waiters[future] = None
    try:
        await future
    finally:
        if not build.done:
            build.leave(future)
    assert build.outcome is not None
    if not build.abandoned:
        build.outcome.check()


# --- building one ------------------------------------------------------------------------------------


def in_place(build: Build, unit: Unit) -> None:
    """Build a value that needs no awaiting, here and now."""
    container = build.container
    token = CHAIN.set((*CHAIN.get(), build))
    ambient = AMBIENT.set(lasting(container))
    build.began = time.perf_counter()
    try:
        context = container._building_context()
        make = made_now if context is None else partial(context.run, made_now)
        value = make(unit, container, push_locked)
    except BaseException as error:
        _settle_failed(build, error)
        raise
    finally:
        AMBIENT.reset(ambient)
        CHAIN.reset(token)
    build.finished = time.perf_counter()
    # Closing while a factory runs in place: the value is kept, closed in its turn, and handed to nobody.
    settled = _settle(build, value)
    if not settled:
        raise ClosedError(f"{container._name} is closed")


def _settle(build: Build, value: Any) -> bool:
    """Publish a value; False where the container no longer takes it, so that the caller tears it down."""
    container = build.container
    with LOCK:
        mine = container._flights.get(build.node) is build
        if not mine or build.abandoned or container._refuses(build):
            # A task tears down what it has made before anybody may begin anew; see `Holder.live`.
            if build.task is None:
                if mine:
                    del container._flights[build.node]
                build.end(Outcome(ClosedError(f"{container._name} is closed")))
            return False
        del container._flights[build.node]
        # Invariant: finalizers were pushed before; from here on the value can be seen by others.
        container._built[build.node] = value
        build.end(Outcome())
        return True


def _settle_failed(build: Build, error: BaseException | None) -> None:
    container = build.container
    half = build.node.constructed
    if half is not None and container._instance is None and container._has(half):
        container._forget({half})  # a service that did not start is made anew by the next try
    if isinstance(error, asyncio.CancelledError) and container._refuses(build):
        closed = ClosedError(f"{container._name} was closed while {build.node.name} was being built")
        closed.__context__ = error.__context__  # what finalizers raised meanwhile
        error = closed
    elif build.abandoned:
        error = None
    with LOCK:
        if container._flights.get(build.node) is build:
            del container._flights[build.node]
        build.end(Outcome(error))


def _begin(build: Build, unit: Unit, loop: asyncio.AbstractEventLoop, drive: Drive) -> None:
    """Start the task that builds, in a copy of the caller's context without what is the caller's alone."""
    context = contextvars.copy_context()
    context.run(CHAIN.set, (*CHAIN.get(), build))
    context.run(AMBIENT.set, lasting(build.container))
    build.container._clean_context(context)
    if build.container._watch is not None:
        context.run(drive.asking().__enter__)
    holder = Holder(build, unit)
    task = new_task(holder.live(), loop, context, f"asyncmeta: {build.node.name}")
    build.task = task
    with LOCK:
        build.container._tasks.add(task)
        # Its own starter waits for it like everybody else; a circle cannot begin here.
        build.waiters[drive] = None
        drive.joined[build] = None
        if drive.wait is None:
            held = holdings()
            if held:
                drive.wait = Wait(held)
        if drive.wait is not None:
            drive.wait.begin(build, build.node.name)
    task.add_done_callback(holder.over)


class Holder(Keeper):
    """
    The task that builds a container value; with an async generator it stays, to leave it where it was entered.
    """

    __slots__ = ("build", "retiring", "unit")

    def __init__(self, build: Build, unit: Unit) -> None:
        super().__init__(build.container, build.node.name, stays=unit.async_generators)
        self.build = build
        self.unit = unit
        self.retiring = False

    async def live(self) -> None:
        """Build, settle, and where something has to be left here, wait for the commands to leave it."""
        build = self.build
        container = build.container
        self.task = asyncio.current_task()
        build.began = time.perf_counter()
        try:
            value = await carry_out(self.unit, container, self.push)
        except BaseException as error:
            # What was entered here is left here and now: nobody has seen it.
            build.stopped = True
            self._tell(await self.leave_all(error), error)
            _settle_failed(build, error)
            return
        build.finished = time.perf_counter()
        settled = _settle(build, value)
        del value
        if not settled:
            closed = ClosedError(f"the container of {container._name} is closed")
            build.stopped = True
            self._tell(await self.leave_all(None), closed)
            _settle_failed(build, closed)
            return
        if self.parts:
            with LOCK:
                container._tasks.discard(self.task)
                container._holders.add(self.task)
            await self.obey()

    def _tell(self, raised: list[BaseException], error: BaseException) -> None:
        """See to it that what a tear-down raised is told: with the error that caused it, or when the container closes."""
        build = self.build
        if not build.waiters or build.abandoned or build.container._refuses(build):
            build.container._owed.extend(raised)
        else:
            settle_errors(raised, error)

    async def loop_ends(self) -> None:
        # Everything of the container retires, in order, led by whoever is told first.
        if not self.retiring:
            await self.build.container._retire(self)

    def over(self, task: asyncio.Task[Any]) -> None:
        """Settle a build whose task was cancelled before its first step: its coroutine never ran a line."""
        container = self.build.container
        with LOCK:
            container._tasks.discard(task)
            container._holders.discard(task)
        if not task.cancelled():
            task.exception()
        if not self.build.done:
            _settle_failed(self.build, asyncio.CancelledError())
