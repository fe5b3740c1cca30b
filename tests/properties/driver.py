"""Runs random schedules one deterministic step at a time, and judges how each task ended."""

import asyncio

from helpers import leaves

from asyncmeta import ClosedError, Container, FinalizationErrors

from .graphs import SCOPED, TRANSIENT, VALUE, Boom, World
from .reference import check_closing, check_shape, check_sharing

#: Turns of the loop after which what has not ended is said to hang; some hundred are used.
BOUND = 20_000

GET, ATTRIBUTES, GATHER, SCOPE, REQUEST, END, CANCEL, RELEASE, CLOSE_SCOPE, CLOSE = (
    "get", "attributes", "gather", "scope", "request", "end", "cancel", "release", "close scope", "close",
)  # fmt: skip


class Actor:
    """One task of a schedule, and what may be expected of it."""

    def __init__(self, what, coroutine, numbers=(), label=None):
        self.what = what
        self.numbers = numbers
        self.label = label  #: of the scope that it uses or owns
        self.cancelled = False  #: while it was still running
        self.task = asyncio.get_running_loop().create_task(coroutine)

    def __repr__(self):
        return f"{self.what} {self.numbers or ''} {'' if self.label is None else f'in {self.label}'}"


class Driver:
    """Runs a plan: starts tasks, lets waiting factories go on in the drawn order, cancels, closes."""

    def __init__(self, graph, faults=(), closing_faults=(), stubborn=()):
        self.left = dict(faults)  #: number -> how often its factory fails
        self.closing_faults = closing_faults  #: numbers whose finalizers fail
        self.stubborn = stubborn  #: numbers of singletons whose factories go on when they are cancelled
        self.world = World(graph, self.pause, self.fault)
        self.graph = graph
        self.waiting = []
        self.actors = []
        self.scopes = {}  #: label -> scope
        self.bodies = []  #: (label, future) of the blocks that are open
        self.ending = set()  #: labels of the scopes whose closing has begun
        self.closing = False
        self.closed_at = None  #: length of the journal when the container was closed
        self.labels = 0
        self.free = False  #: the schedule is over: nothing waits any more
        self.unhandled = []
        self.faulty = frozenset(self.left)
        self.known = {}  #: (era, scope, number) -> the record that was handed over
        self.container = Container(self.world.app)

    # --- what factories do -----------------------------------------------------------------------

    async def pause(self, record, phase):
        """Wait until the driver says so."""
        if self.free:
            return
        patience = 1 if phase == "set up" and record.number in self.stubborn else 0
        while True:
            future = asyncio.get_running_loop().create_future()
            self.waiting.append(future)
            try:
                await future
                return
            except asyncio.CancelledError:
                if not patience:
                    raise
                patience -= 1
            finally:
                if future in self.waiting:
                    self.waiting.remove(future)

    def fault(self, record, phase):
        """Return what is to be raised there, if anything."""
        if phase == "tear down":
            return Boom(f"closing {record!r}") if record.number in self.closing_faults else None
        if self.left.get(record.number, 0):
            self.left[record.number] -= 1
            return Boom(f"building {record!r}")
        return None

    # --- actors ----------------------------------------------------------------------------------

    def handed(self, value):
        """Fail unless a value that was handed over is whole, and the same as whenever it was handed over before."""
        check_shape(self.graph, value.record)
        seen, to_see = set(), [value.record]
        while to_see:
            record = to_see.pop()
            node = self.graph.nodes[record.number]
            if id(record) not in seen and node.kind != VALUE:
                seen.add(id(record))
                to_see.extend(record.parts)
                if node.lifetime != TRANSIENT:
                    home = (record.era, record.where if node.lifetime == SCOPED else None, record.number)
                    known = self.known.setdefault(home, record)
                    assert known is record, f"{record!r} was handed over where {known!r} was before"

    async def get(self, scope, number):
        """Ask for a value."""
        self.handed(await scope.get(self.world.tokens[number]))

    async def attributes(self, scope, number):
        """Ask for a value, and for what it fetches late."""
        value = await scope.get(self.world.tokens[number])
        self.handed(value)
        for _, handle in value.record.late:
            self.handed(await handle())

    async def gather(self, scope, numbers):
        """Ask for several values."""
        for value in await scope.gather(*(self.world.tokens[number] for number in numbers)):
            self.handed(value)

    async def body(self, label):
        """Stay inside of a block until the driver ends it."""
        future = asyncio.get_running_loop().create_future()
        self.bodies.append((label, future))
        try:
            await future
        finally:
            self.ending.add(label)
            self.bodies.remove((label, future))

    async def scope(self, label):
        """Hold a scope open."""
        async with self.container.scope({"where": label}) as scope:
            self.scopes[label] = scope
            await self.body(label)

    async def request(self, label, number):
        """Hold a request open."""
        async with self.container.request(self.world.tokens[number], {"where": label}) as value:
            self.handed(value)
            await self.body(label)

    async def close(self):
        """Close the container."""
        self.closing = True  # not before: who is cancelled before its first step closes nothing
        try:
            await self.container.aclose()
        finally:
            if self.closed_at is None:
                self.closed_at = len(self.world.journal)

    def label(self):
        """Return a name that no scope had before."""
        self.labels += 1
        return self.labels

    # --- the plan --------------------------------------------------------------------------------

    def act(self, what, pick, other):
        """Do one thing, if there is anything to do it to."""
        nodes = self.graph.nodes
        if what == RELEASE:
            if self.waiting:
                future = self.waiting.pop(pick % len(self.waiting))
                if not future.done():
                    future.set_result(None)
        elif what == CANCEL:
            running = [actor for actor in self.actors if not actor.task.done()]
            if running:
                actor = running[pick % len(running)]
                actor.cancelled = actor.task.cancel() or actor.cancelled
                if actor.what in (SCOPE, REQUEST):
                    self.ending.add(actor.label)
        elif what == SCOPE:
            label = self.label()
            self.actors.append(Actor(SCOPE, self.scope(label), (), label))
        elif what == REQUEST:
            label, number = self.label(), pick % len(nodes)
            self.actors.append(Actor(REQUEST, self.request(label, number), (number,), label))
        elif what == END:
            if self.bodies:
                _, future = self.bodies[pick % len(self.bodies)]
                if not future.done():
                    future.set_result(None)
        elif what == CLOSE:
            self.actors.append(Actor(CLOSE, self.close()))
        elif what == CLOSE_SCOPE:
            if self.scopes:
                label, scope = list(self.scopes.items())[pick % len(self.scopes)]
                self.ending.add(label)
                self.actors.append(Actor(CLOSE_SCOPE, scope.aclose(), (), label))
        else:
            number = pick % len(nodes)
            handles = [*self.scopes.items()]
            if what == GET and not nodes[number].level:
                handles.append((None, self.container))
            if handles:
                label, scope = handles[other % len(handles)]
                if what == GATHER:
                    numbers = (number, other % len(nodes), (pick + other) % len(nodes))
                    self.actors.append(Actor(GATHER, self.gather(scope, numbers), numbers, label))
                else:
                    call = self.get if what == GET else self.attributes
                    self.actors.append(Actor(what, call(scope, number), (number,), label))

    async def run(self, plan):
        """Run the plan, then close, and wait for all tasks to end."""
        for what, pick, other in plan:
            await self.step(what, pick, other)
        await self.finish()

    async def step(self, what, pick, other):
        """Do one thing, and let tasks run for a few turns of the loop."""
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: self.unhandled.append(context))
        self.act(what, pick, other)
        for _ in range(other % 4):
            await asyncio.sleep(0)

    async def finish(self):
        """Close the container, let everything go on, and wait for all tasks to end."""
        self.act(CLOSE, 0, 0)
        requests = {actor.label for actor in self.actors if actor.what == REQUEST}
        for turn in range(BOUND):
            if all(actor.task.done() for actor in self.actors):
                break
            if turn % 3 == 0:
                self.act(RELEASE, turn * 7919, 0)
            # Closing does not wait for the bodies of open scopes; requests end by themselves.
            closed = all(actor.task.done() for actor in self.actors if actor.what == CLOSE)
            for label, future in self.bodies:
                if (closed or label in requests) and not future.done():
                    future.set_result(None)
            await asyncio.sleep(0)
        hanging = [actor for actor in self.actors if not actor.task.done()]
        self.free = True
        assert not hanging, f"these never end: {hanging}"
        for _ in range(3):
            await asyncio.sleep(0)
        me = asyncio.current_task()
        assert [task for task in asyncio.all_tasks() if task is not me] == []

    # --- judging ---------------------------------------------------------------------------------

    def judge(self):
        """Fail unless every task ended as it may, and closing was exact."""
        self.judge_era()
        check_closing(self.world)
        check_sharing(self.world)

    def judge_era(self):
        """Fail unless every task since the container was made, or entered again, ended as it may."""
        assert self.unhandled == []
        for actor in self.actors:
            self.judge_actor(actor)
        built_later = [record for what, record in self.world.journal[self.closed_at :] if what in ("begin", "made")]
        assert built_later == []

    async def reopen(self):
        """Enter the closed container again, when all tasks have ended."""
        self.judge_era()
        await self.container.__aenter__()
        self.world.era += 1
        self.actors.clear()
        self.scopes.clear()
        self.closing, self.closed_at = False, None

    def judge_actor(self, actor):
        """Fail unless the task ended in a right value, the expected failure, a cancellation or ClosedError."""
        if actor.cancelled:
            if not actor.task.cancelled():
                # A block that has failed keeps its own error, with what happened while it closed at the chain's end.
                error = actor.task.exception()
                ended = isinstance(error, Boom | ClosedError) and actor.what == REQUEST
                kept = any(isinstance(one, asyncio.CancelledError) for one in leaves(error))
                assert ended and kept, f"{actor!r} was cancelled and ended otherwise: {error!r}"
            return
        assert not actor.task.cancelled(), f"nobody cancelled {actor!r}"
        error = actor.task.exception()
        if error is None:
            return
        if isinstance(error, Boom):
            assert actor.what not in (SCOPE, CLOSE, CLOSE_SCOPE)
            assert any(error is raised for raised in self.world.raised)
            # What is fetched late may need anything; else only what is reached may fail.
            if actor.what != ATTRIBUTES:
                reached = set().union(*(self.graph.reach(number) for number in actor.numbers))
                assert reached & self.faulty, f"{actor!r} does not need what fails"
        elif isinstance(error, FinalizationErrors):
            assert actor.what in (SCOPE, REQUEST, CLOSE, CLOSE_SCOPE)
            groups = [error]
            for group in groups:  # the container's holds those of the scopes that it closed
                for one in group.exceptions:
                    if isinstance(one, FinalizationErrors):
                        groups.append(one)
                    else:
                        assert any(one is raised for raised in self.world.raised_closing)
        elif isinstance(error, ClosedError):
            assert actor.what not in (CLOSE, CLOSE_SCOPE)
            assert self.closing or actor.label in self.ending, f"{actor!r} met a closed scope, but nobody closed it"
        else:
            raise error
