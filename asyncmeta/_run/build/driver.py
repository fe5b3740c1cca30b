"""How do container values that are missing come to be?  Each caller drives its own closure; nobody builds twice."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from ..._compat import get_running_loop, new_task
from ..._declare.lifetimes import CONTAINER_LEVEL
from ..._lock import LOCK
from ..._names import is_a
from ..._solve.nodes import CONTAINER, Node
from ..._solve.plan import Unit, unit_of
from ...errors import AsyncDependencyError, ClosedError
from ..state.context import AMBIENT
from ..state.frames import MAKES
from ..state.parking import Outcome, wake
from ..state.singletons import OPEN, Flight, ScopeState, Singletons
from ..state.waiting import CHAIN, Wait, holdings
from ..teardown.finalizers import push_locked, settle_errors
from ..teardown.owner_task import OwnerTask
from .interpreter import carry_out, made_nowait

if TYPE_CHECKING:
    from ..observe.cause import Causes
    from ..state.singletons import Watcher

__all__ = ["Driver", "BuildTask", "build_missing", "build_missing_nowait", "wait_for"]


class Driver:
    """
    One caller's way through the container values that it is missing.

    Builds never wait for builds: a value is begun when what it needs is there, and the only one who waits is a caller.
    """

    __slots__ = (
        "again", "asked", "behind", "claimed", "ended", "future", "joined", "limit",
        "loop", "needed_by", "on_built", "open", "ready", "singletons", "units", "wait",
    )  # fmt: skip

    def __init__(
        self,
        singletons: Singletons,
        nodes: Iterable[Node],
        limit: int | None = None,
        on_built: Callable[[Flight], object] | None = None,
        asked: Causes | None = None,
    ) -> None:
        self.singletons = singletons
        self.limit = limit  #: how many builds of its own may run at once
        self.on_built = on_built  #: told of each value that has come to be
        self.needed_by: dict[Node, list[Node]] = {}
        self.open: dict[Node, int] = {}  #: how many of its dependencies are missing
        self.units: dict[Node, Unit] = {}  #: how each is made
        self.ready: deque[Node] = deque()
        self.joined: dict[Flight, None] = {}  #: builds this waits for
        self.behind: dict[Flight, list[Node]] = {}  #: what takes the value of a build that was begun for another node
        self.ended: deque[Flight] = deque()
        self.again = threading.Event()
        self.loop = get_running_loop()
        self.future: asyncio.Future[None] | None = None
        self.wait: Wait | None = None
        self.claimed: Flight | None = None  #: what it began to build last
        self._walk(nodes)
        #: why each is built, where somebody watches
        self.asked = None if singletons.watch is None else singletons.watch.causes(self.needed_by, asked)

    def _walk(self, nodes: Iterable[Node]) -> None:
        """Find the closure of what is missing, with counts; iterative."""
        singletons = self.singletons
        built, graph, alone = singletons.built, singletons.graph, singletons.below is None
        pending = [node for node in nodes if node not in built and (alone or not singletons.has(node))]
        pending.reverse()
        while pending:
            node = pending.pop()
            if node in self.open:
                continue
            missing = 0
            unit = self.units[node] = node.unit or unit_of(graph, node)
            follows = node in (singletons if alone else singletons.owner_of(node)).follows
            for other in () if follows else unit.shared:
                if other in built or other.level != CONTAINER_LEVEL or other.kind == CONTAINER or other is node:
                    continue
                if alone or not singletons.has(other):
                    missing += 1
                    self.needed_by.setdefault(other, []).append(node)
                    pending.append(other)
            self.open[node] = missing
            if not missing:
                self.ready.append(node)

    # --- being told ---

    def told(self, flight: Flight) -> None:
        """A build that this waits for is over; may come from another thread."""
        self.ended.append(flight)
        self.again.set()
        future = self.future
        if future is not None:
            wake(future)

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
            flight = self.ended.popleft()
            self.joined.pop(flight, None)
            if self.wait is not None:
                self.wait.targets.pop(flight, None)
            assert flight.outcome is not None
            self.ready.extend(self.behind.pop(flight, ()))
            if flight.node not in self.units:
                continue  # asked for by nobody here: what follows it looks for itself what came of it
            if self.singletons.has(flight.node):
                self.came(flight.node)
                if self.on_built is not None:
                    self.on_built(flight)
            elif flight.outcome.error is None or flight.abandoned:
                # It died without a word, and what it needs may have been forgotten with it: begin anew.
                self.open.pop(flight.node, None)
                self._walk([flight.node])
            else:
                flight.outcome.check()

    def join(self, flight: Flight) -> None:
        """Wait for a build of somebody, or of one's own.  The lock is held."""
        self.record(flight)
        flight.waiters[self] = None
        self.joined[flight] = None

    def record(self, flight: Flight) -> None:
        """Record the wait for *flight* where the running code is part of building something.  The lock is held."""
        if self.wait is None:
            held = holdings()
            if held:
                self.wait = Wait(held)
        if self.wait is not None:
            self.wait.begin(flight, flight.node.name, self.way_of(flight.node))

    def way_of(self, node: Node) -> tuple[str, ...]:
        """Return what led from the caller to *node*, by name."""
        way: list[str] = []
        users = self.needed_by.get(node)
        while users and users[0].name not in way:
            way.append(users[0].name)
            users = self.needed_by.get(users[0])
        way.reverse()
        return tuple(way)

    def build_in_place(self, flight: Flight, unit: Unit) -> None:
        """Build a value of one's own that needs no awaiting, and go on with what it was missing for."""
        watch = flight.owner.watch
        if watch is None:
            in_place(flight, unit)
        else:
            with self.asking(watch):
                in_place(flight, unit)
        self.came(flight.node)
        if self.on_built is not None:
            self.on_built(flight)

    def asking(self, watch: Watcher) -> AbstractContextManager[None]:
        """Return the context manager in which values are built, where somebody watches."""
        if self.asked is None:  # they began to watch a moment ago
            self.asked = watch.causes(self.needed_by)
        return watch.asking(self.asked)

    def leave(self) -> None:
        """Stop waiting for everything; what was claimed to be built in place, and met an interrupt, may be begun anew."""
        if self.claimed is not None and not self.claimed.done and self.claimed.task is None:
            _settle_failed(self.claimed, None)
        if self.wait is not None:
            self.wait.end()
        for flight in list(self.joined):
            flight.leave(self)
        self.joined.clear()

    def claim(self, node: Node) -> Flight | None:
        """
        Take the next step for a ready node: None where it is there or somebody builds it, else a build of our own.

        Raises:
            WrongLoopError: It would have to be built, and another living loop may.
            ClosedError: Whose value it is hands nothing out any more.
        """
        owner = self.singletons.owner_of(node)
        if owner.origin.loop is not self.loop:
            owner.check_loop(self.loop, node)
        with LOCK:
            if node in owner.follows:
                ahead = owner.ahead_of(node)
                if ahead is not None:
                    self.behind.setdefault(ahead, []).append(node)
                    self.join(ahead)
                    return None
                if node not in owner.built:  # that came to nothing: what serves the key now is built, with what it needs
                    del self.open[node]
                    self._walk([node])
                    return None
            if node in owner.built:
                self.came(node)
                return None
            flight = owner.flights.get(node)
            if flight is not None and not flight.done:
                if flight.loop is not None and flight.loop.is_closed():
                    del owner.flights[node]  # it died with its loop
                else:
                    self.join(flight)
                    return None
            if owner.state != OPEN or owner.below is not None:
                owner.check_open()
            flight = Flight(owner, node, self.loop)
            self.claimed = owner.flights[node] = flight
            return flight


async def build_missing(
    singletons: Singletons,
    nodes: Iterable[Node],
    limit: int | None = None,
    on_built: Callable[[Flight], object] | None = None,
    asked: Causes | None = None,
) -> None:
    """
    Build *nodes* and what they need, where that is missing.

    Independent values are built side by side, each in a task that the container owns; sync ones in place.  Cancelling
    this only stops its waiting: a build goes on while anyone waits for it, and is cancelled when nobody does.  A coroutine
    that is driven without a loop awaits nothing.
    """
    loop = get_running_loop()
    if loop is None:
        return build_missing_nowait(singletons, nodes, asked, on_built)
    driver = Driver(singletons, nodes, limit, on_built, asked)
    try:
        while True:
            while driver.ready:
                if limit is not None and len(driver.joined) >= limit:
                    break
                node = driver.ready.popleft()
                unit = driver.units[node]
                flight = driver.claim(node)
                if flight is None:
                    continue
                if unit.awaits or ((watch := flight.owner.watch) is not None and watch.awaits_for(unit)):
                    _begin(flight, unit, loop, driver)
                else:
                    driver.build_in_place(flight, unit)
            if not driver.joined and not driver.ended and not driver.ready:
                return
            with LOCK:
                driver.future = None if driver.ended else loop.create_future()
            if driver.future is not None:
                await driver.future
            driver.take_ended()
    finally:
        driver.leave()


def build_missing_nowait(
    singletons: Singletons,
    nodes: Iterable[Node],
    asked: Causes | None,
    on_built: Callable[[Flight], object] | None = None,
) -> None:
    """
    Build *nodes* and what they need without awaiting; from any thread.

    Raises:
        AsyncDependencyError: One of them has to be awaited.
    """
    driver = Driver(singletons, nodes, on_built=on_built, asked=asked)
    for node in driver.open:
        # A thread is there to keep the loop free: where one runs, its value is awaited.
        unit = driver.units[node]
        if unit.awaits and not (unit.threaded and driver.loop is None):
            raise AsyncDependencyError(node.name, (*driver.way_of(node), node.name), str(node.place))
    try:
        _build_nowait(driver)
    finally:
        driver.leave()


def _build_nowait(driver: Driver) -> None:
    while True:
        while driver.ready:
            node = driver.ready.popleft()
            flight = driver.claim(node)
            if flight is not None:
                driver.build_in_place(flight, driver.units[node])
        if not driver.joined and not driver.ended:
            return
        for flight in driver.joined:
            if flight.task is not None:
                way = (*driver.way_of(flight.node), flight.node.name)
                raise AsyncDependencyError(way[-1], way, "", "is being built by a task")
        driver.again.wait()
        driver.again.clear()
        driver.take_ended()


def may_just_wait(flight: Flight, container: ScopeState) -> bool:
    """Tell whether a caller may wait for *flight* without more ado: in its loop, and no part of any other build."""
    return (
        flight.task is not None
        and flight.loop is get_running_loop()
        and not CHAIN.get()
        and not ((container._children or container._in_flight) and MAKES.above())
    )


async def wait_for(flight: Flight) -> None:
    """Wait for a build in flight in this loop, from outside of any build: the short way that thousands may take."""
    assert flight.loop is not None, "the caller has compared it with its own"
    future = flight.loop.create_future()
    flight.waiters[future] = None
    try:
        await future
    finally:
        if not flight.done:
            flight.leave(future)
    assert flight.outcome is not None
    if not flight.abandoned:
        flight.outcome.check()


# --- building one ------------------------------------------------------------------------------------


def in_place(flight: Flight, unit: Unit) -> None:
    """Build a value that needs no awaiting, here and now."""
    owner = flight.owner
    token = CHAIN.set((*CHAIN.get(), flight))
    ambient = AMBIENT.set(owner.ambient_while_building())
    flight.began = time.perf_counter()
    try:
        clean = owner.building_context()
        if clean is None:
            value = made_nowait(unit, owner.scope, push_locked)
        else:
            context, flight.seen = clean
            value = context.run(made_nowait, unit, owner.scope, push_locked)
    except BaseException as error:
        _settle_failed(flight, error)
        raise
    finally:
        AMBIENT.reset(ambient)
        CHAIN.reset(token)
    flight.finished = time.perf_counter()
    # Closing while a factory runs in place: the value is kept, closed in its turn, and handed to nobody.
    if not _settle(flight, value):
        raise ClosedError(f"{owner.name} is closed")


def _settle(flight: Flight, value: object) -> bool:
    """Publish a value; False where the container no longer takes it, so that the caller tears it down."""
    owner = flight.owner
    with LOCK:
        mine = owner.flights.get(flight.node) is flight
        if not mine or flight.abandoned or owner.state != OPEN:
            # A task tears down what it has made before anybody may begin anew; see `BuildTask.live`.
            if flight.task is None:
                if mine:
                    del owner.flights[flight.node]
                flight.end(Outcome(ClosedError(f"{owner.name} is closed")))
            return False
        del owner.flights[flight.node]
        # Invariant: finalizers were pushed before; from here on the value can be seen by others.
        owner.built[flight.node] = value
        flight.end(Outcome())
        return True


def _settle_failed(flight: Flight, error: BaseException | None) -> None:
    owner = flight.owner
    half = flight.node.constructed
    if half is not None and not owner.graph.given and owner.has(half):
        owner.drop_half(half)  # a service that did not start is made anew by the next try
    if is_a(error, asyncio.CancelledError) and owner.state != OPEN:
        closed = ClosedError(f"{owner.name} was closed while {flight.node.name} was being built")
        closed.__context__ = error.__context__  # what finalizers raised meanwhile
        error = closed
    elif flight.abandoned:
        error = None
    with LOCK:
        if owner.flights.get(flight.node) is flight:
            del owner.flights[flight.node]
        flight.end(Outcome(error))


def _begin(flight: Flight, unit: Unit, loop: asyncio.AbstractEventLoop, driver: Driver) -> None:
    """Start the task that builds, in a copy of the caller's context without what is the caller's alone."""
    context = contextvars.copy_context()
    context.run(CHAIN.set, (*CHAIN.get(), flight))
    context.run(AMBIENT.set, flight.owner.ambient_while_building())
    flight.seen = flight.owner.clean_context(context)
    if (watch := flight.owner.watch) is not None:
        context.run(driver.asking(watch).__enter__)
    holder = BuildTask(flight, unit)
    task = new_task(holder.live(), loop, context, f"asyncmeta: {holder.name}")
    flight.task = task
    with LOCK:
        flight.owner.tasks.add(task)
        # Its own starter waits for it like everybody else; a circle cannot begin here.
        flight.waiters[driver] = None
        driver.joined[flight] = None
        driver.record(flight)
    task.add_done_callback(holder.over)


class BuildTask(OwnerTask):
    """The task that builds a container value; with an async generator it stays, to leave it where it was entered."""

    __slots__ = ("flight", "retiring", "unit")

    tells_cancellation = False

    def __init__(self, flight: Flight, unit: Unit) -> None:
        super().__init__(flight.owner.scope, flight.node.name, stays=unit.async_generators)
        self.flight = flight
        self.unit = unit
        self.retiring = False

    async def live(self) -> None:
        """Build, settle, and where something has to be left here, wait for the commands to leave it."""
        flight = self.flight
        owner = flight.owner
        self.task = task = asyncio.current_task()
        assert task is not None
        flight.began = time.perf_counter()
        try:
            value = await carry_out(self.unit, owner.scope, self.push)
        except BaseException as error:
            # What was entered here is left here and now: nobody has seen it.
            flight.stopped = True
            self._tell(await self.leave_all(error), error)
            _settle_failed(flight, error)
            return
        flight.finished = time.perf_counter()
        settled = _settle(flight, value)
        del value
        if not settled:
            closed = ClosedError(f"the container of {owner.name} is closed")
            flight.stopped = True
            self._tell(await self.leave_all(None), closed)
            _settle_failed(flight, closed)
            return
        if self.parts:
            with LOCK:
                owner.tasks.discard(task)
                owner.owner_tasks.add(task)
            await self.obey()

    def _tell(self, raised: list[BaseException], error: BaseException) -> None:
        """See to it that what a tear-down raised is told: with the error that caused it, or when the container closes."""
        flight = self.flight
        if not flight.waiters or flight.abandoned or flight.owner.state != OPEN:
            flight.owner.owed.extend(raised)
        else:
            settle_errors(raised, error)

    async def loop_ends(self) -> None:
        # Everything of the container retires, in order, led by whoever is told first.
        if not self.retiring:
            await self.flight.owner.hands.retire()

    def over(self, task: asyncio.Task[Any]) -> None:
        """Settle a build whose task was cancelled before its first step: its coroutine never ran a line."""
        owner = self.flight.owner
        with LOCK:
            owner.tasks.discard(task)
            owner.owner_tasks.discard(task)
        if not task.cancelled():
            task.exception()
        if not self.flight.done:
            _settle_failed(self.flight, asyncio.CancelledError())


# Where a context does not show it: in a thread, or in a task with a context of its own.
MAKES.add(BuildTask.live.__code__, reader=lambda frame: frame.f_locals["self"].flight.builds_for())
MAKES.add(in_place.__code__, reader=lambda frame: frame.f_locals["flight"].builds_for())
