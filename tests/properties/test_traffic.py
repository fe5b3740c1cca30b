"""
Several tasks at once do all that can be done to a container, in any order, against a model.

They get, open and close scopes, override for themselves and for everybody in blocks that need not nest, lay tenants over it,
register anew, fail, are cancelled, close and enter again.  Factories and finalizers wait until the machine says so.
"""

import asyncio
import contextlib
import contextvars
import itertools
import warnings

import amount
from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from asyncmeta import AsyncDependencyDescriptor, AsyncServiceBase, ClosedError, Container

from .graphs import Boom
from .turns import LoopByTurns

PICKS = st.integers(0, 99)
KEYS = ("a", "b", "c", "s", "t", "p")
NEEDS = {"a": (), "b": ("a",), "c": ("a",), "s": ("b",), "t": ("c",), "p": ("s", "a")}
SCOPED = ("s", "t", "p")
OVERRIDDEN = ("a", "b", "c")
#: Steps after which what has not ended is said to hang; by the loop's clock longer than closing waits for anybody.
BOUND = 5_000


class Value:
    """What one call of a factory made, or what an override gives."""

    def __init__(self, key, parts=(), fake=False):
        self.key, self.parts, self.fake = key, parts, fake
        self.state = "open"

    def __repr__(self):
        return f"{'fake ' if self.fake else ''}{self.key}@{id(self):x} {self.state}"

    def found(self, key):
        """Return every value of *key* that this stands on, itself included."""
        own = [self] if self.key == key else []
        return own + [one for part in self.parts for one in part.found(key)]


class World:
    """The application, what is open, and what waits."""

    def __init__(self):
        self.open, self.wrong, self.waiting = [], [], []
        self.failing, self.failing_closing = set(), set()  #: keys whose next call fails
        self.failures = 0
        self.free = False

        class App(AsyncServiceBase):
            a = AsyncDependencyDescriptor("a")
            b = AsyncDependencyDescriptor("b")

        self.app = App
        for key in KEYS:
            self.register(key)

    def register(self, key):
        """Register a factory of *key* that nobody has seen."""
        lifetime = "transient" if key == "p" else "scoped" if key in SCOPED else "singleton"
        self.app.register_dependency(key, self.factory(key), lifetime=lifetime, concurrent=key == "t")

    def factory(self, key, fake=False):
        if key == "a":

            async def make():
                async with self.made(key, (), fake) as value:
                    yield value

        elif key == "b":

            async def make(a):
                async with self.made(key, (a,), fake) as value:
                    yield value

        elif key == "c":

            def make(a):
                value = self.begun(key, (a,), fake)
                try:
                    yield value
                finally:
                    self.closed(value)

        elif key == "s":

            async def make(b):
                async with self.made(key, (b,), fake) as value:
                    yield value

        elif key == "t":

            async def make(c):
                async with self.made(key, (c,), fake) as value:
                    yield value

        else:

            def make(s, a):
                return Value(key, (s, a))

        return make

    @contextlib.asynccontextmanager
    async def made(self, key, parts, fake):
        await self.pause()
        value = self.begun(key, parts, fake)
        try:
            yield value
        finally:
            try:
                await self.pause()
            finally:
                self.closed(value)
            if key in self.failing_closing:
                self.failing_closing.discard(key)
                self.failures += 1
                raise Boom(f"closing {key}")

    def begun(self, key, parts, fake):
        if key in self.failing:
            self.failing.discard(key)
            self.failures += 1
            raise Boom(f"building {key}")
        value = Value(key, parts, fake)
        self.wrong += [f"{value} is made of {part}" for part in parts if part.state == "closed"]
        self.open.append(value)
        return value

    def closed(self, value):
        if value.state == "closed":
            self.wrong.append(f"{value} is closed twice")
        self.wrong += [f"{part} is closed before {value}" for part in value.parts if part.state == "closed"]
        value.state = "closed"
        self.open.remove(value)

    async def pause(self):
        if not self.free:
            future = asyncio.get_running_loop().create_future()
            self.waiting.append(future)
            try:
                await future
            finally:
                if future in self.waiting:
                    self.waiting.remove(future)


def members(error):
    """Return the exceptions in a group of groups."""
    if isinstance(error, BaseExceptionGroup):
        return [one for inner in error.exceptions for one in members(inner)]
    return [error]


class Block:
    """An override, or a tenant, from when it is begun to when it is left."""

    def __init__(self, worker, manager, keys, everywhere, number):
        self.worker, self.manager, self.keys, self.everywhere = worker, manager, keys, everywhere
        self.number = self.since = number  #: of this block, and of the one since which its worker is in blocks of its own
        self.handle = None
        self.state = "entering"  #: then "in force", "leaving", "left"


class Opened:
    """A scope of a container or of a tenant."""

    def __init__(self, block, scope):
        self.block, self.scope = block, scope
        self.ending = False


class Worker:
    """A context of its own, in which blocks begin and end; tasks that ask for something have a copy of it, as tasks have."""

    def __init__(self):
        self.context = contextvars.copy_context()


class Act:
    """One task, and what may be expected of it."""

    def __init__(self, what, context, coroutine, ends):
        self.what = what
        self.ends = ends  #: what it stands on: where that ends, it may be refused
        self.cancelled = False
        self.task = asyncio.get_running_loop().create_task(coroutine, context=context)


class Traffic(RuleBasedStateMachine):
    """Whatever several tasks do at once: one value each, the right one, closed once, in order; nobody waits for ever."""

    @initialize()
    def make(self):
        self.loop = LoopByTurns()
        self.unhandled = []
        self.loop.set_exception_handler(lambda loop, context: self.unhandled.append(context))
        self.world = World()
        self.container = Container(self.world.app)
        self.workers = [Worker() for _ in range(3)]
        self.acts, self.blocks, self.tenants, self.scopes = [], [], [], []
        self.era, self.closing, self.changes, self.numbers = 0, False, 0, itertools.count()
        self.known = {}  #: by era, what is in force, scope and key: what was handed over
        self.held = None  #: the application's instance, and in which era

    # --- running ---

    def step(self, act, turns=2):
        async def once():
            act()
            for _ in range(turns):
                await asyncio.sleep(0)

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # scopes that are still open when the container closes
            self.loop.run_until_complete(once())
        assert not self.world.wrong, self.world.wrong
        for one in [one for one in self.acts if one.task.done()]:
            self.acts.remove(one)
            self.judge(one)

    def begin(self, what, worker, coroutine, ends=()):
        """Begin something that changes what is in force for *worker*."""
        self.acts.append(Act(what, worker.context, coroutine, ends))

    def begin_asking(self, what, worker, ask, ends):
        """Begin to ask for something: *ask* returns the value, the key, and of what it was asked."""

        async def get(before, changes):
            value, home, key = await ask()
            # What ends while it is asked may be what it was made by: then nothing is said of it.
            if before is not None and before == self.in_force(worker) and changes == self.changes and not self.closing:
                self.compare(value, home, before, key, worker)

        self.acts.append(Act(what, worker.context.copy(), get(self.in_force(worker), self.changes), ends))

    def judge(self, act):
        """Fail unless a task ended as it may."""
        if act.task.cancelled():
            assert act.cancelled, f"nobody has cancelled {act.what}"
            return
        error = act.task.exception()
        for one in [] if error is None else members(error):
            if isinstance(one, ClosedError):
                assert self.closing or any(self.is_ending(end) for end in act.ends), f"{act.what} is refused: {one}"
            elif isinstance(one, asyncio.CancelledError):
                assert act.cancelled
            elif not (isinstance(one, Boom) and self.world.failures):
                raise one

    @staticmethod
    def is_ending(end):
        if isinstance(end, Opened):
            return end.ending or (end.block is not None and end.block.state in ("leaving", "left"))
        return end.state in ("leaving", "left")

    # --- what is in force ---

    def in_force(self, worker):
        """
        Return the blocks that *worker* sees, in the order of their begin; None where that is not certain.

        One is about to begin or to end; or one for everybody began while the worker was in a block of its own, which it keeps to.
        """
        seen = [block for block in self.blocks if block.everywhere or block.worker is worker]
        since = min((block.since for block in seen if block.worker is worker), default=None)
        if since is not None and any(block.worker is not worker and block.number > since for block in seen):
            return None
        return None if any(block.state != "in force" for block in seen) else tuple(seen)

    @staticmethod
    def stands_on_what_was_left(worker, seen):
        """Tell whether a block of *worker* has begun in one that it has left since: for that worker it is another one."""
        own = [block for block in seen if block.worker is worker]
        return bool(own) and min(block.since for block in own) not in [block.number for block in own]

    def compare(self, value, home, seen, key, worker):
        tenant = home if isinstance(home, Block) else None if home is None else home.block
        if self.is_ending(home) if home is not None else False:
            return
        if tenant is not None:
            seen = (tenant,)  # overrides of the container are not seen through a tenant, but where they reach it from below
        for part in OVERRIDDEN:
            for one in value.found(part):
                assert one.state == "open", f"{key} was handed over with {one}"
                fake = next((block.keys[part] for block in reversed(seen) if part in block.keys), None)
                if tenant is None or fake is not None:
                    assert (one is fake) if fake is not None else not one.fake, f"{key} stands on {one}, and {fake} is in force"
        if key != "p" and (tenant is None or not self.blocks):
            label = home if isinstance(home, Opened) and key in SCOPED else None
            mark = (self.era, tuple(seen), label, key, worker if self.stands_on_what_was_left(worker, seen) else None)
            known = self.known.setdefault(mark, value)
            assert known is value, f"{value} was handed over, and before {known}"

    # --- the rules ---

    def homes(self, key):
        found = [one for one in self.scopes if not one.ending]
        return found if key in SCOPED else [None, None, *found, *(one for one in self.tenants if one.state == "in force")]

    @rule(who=PICKS, key=st.sampled_from(KEYS), where=PICKS, turns=st.integers(0, 4))
    def ask(self, who, key, where, turns):
        worker, homes = self.workers[who % 3], self.homes(key)
        if homes:
            home = homes[where % len(homes)]
            scope = self.container if home is None else home.handle if isinstance(home, Block) else home.scope

            async def get():
                return await scope.get(key), home, key

            ends = [*self.blocks, *([] if home is None else [home])]
            self.step(lambda: self.begin_asking(f"get {key}", worker, get, ends), turns)

    @rule(who=PICKS, key=st.sampled_from(KEYS), anew=st.sampled_from(KEYS), where=PICKS, turns=st.integers(0, 4))
    def ask_around_a_registration(self, who, key, anew, where, turns):
        self.ask(who, key, where, turns)
        self.register(key if turns % 2 else anew)
        self.ask(who + turns, key, where, turns)

    @rule(who=PICKS, key=st.sampled_from(KEYS), where=PICKS)
    def ask_and_have_it(self, who, key, where):
        self.ask(who, key, where, 1)
        self.all_go_on(where)

    @rule(who=PICKS, key=st.sampled_from(("a", "b")))
    def attribute(self, who, key):
        worker = self.workers[who % 3]

        era = self.era
        if self.blocks and (self.held is None or self.held[0] != era):
            return  # it would be an override's own

        async def fetch():
            if self.held is None or self.held[0] != era:
                held = await self.container.get(self.world.app)
                if self.held is None or self.held[0] != era:
                    self.held = (era, held)
            return await getattr(self.held[1], key), None, key

        self.step(lambda: self.begin_asking(f"attribute {key}", worker, fetch, [*self.blocks]))

    @rule(
        who=PICKS,
        keys=st.sets(st.sampled_from(OVERRIDDEN), min_size=1, max_size=2),
        kind=st.sampled_from(("own", "all", "tenant")),
    )
    def override(self, who, keys, kind):
        if self.closing or len(self.blocks) + len(self.tenants) > 4:
            return
        worker = self.workers[who % 3]
        fakes = {key: Value(key, fake=True) for key in keys}
        number = next(self.numbers)
        if kind == "tenant":
            block = Block(worker, self.container.overlay(fakes), fakes, False, number)
        else:
            block = Block(worker, self.container.override(fakes, everywhere=kind == "all"), fakes, kind == "all", number)
            block.since = min([number, *(one.since for one in self.blocks if one.worker is worker)])
        where = self.tenants if kind == "tenant" else self.blocks
        where.append(block)

        async def enter():
            try:
                block.handle = await block.manager.__aenter__()
                block.state = "in force"
            except BaseException:
                block.state = "left"
                where.remove(block)
                raise
            finally:
                self.changes += block.everywhere

        self.step(lambda: self.begin(f"enter {kind}", worker, enter()))

    @rule(pick=PICKS)
    def leave(self, pick):
        found = [block for block in (*self.blocks, *self.tenants) if block.state == "in force"]
        if found:
            self.leave_one(found[pick % len(found)])

    def leave_one(self, block):
        async def leave():
            block.state = "leaving"  # not before: who is cancelled before its first step leaves nothing
            self.changes += block.everywhere
            try:
                await block.manager.__aexit__(None, None, None)
            finally:
                block.state = "left"
                self.changes += block.everywhere
                (self.blocks if block in self.blocks else self.tenants).remove(block)

        self.step(lambda: self.begin("leave", block.worker, leave()))

    @rule(who=PICKS, pick=PICKS)
    def scope(self, who, pick):
        homes = [None, None, *(one for one in self.tenants if one.state == "in force")]
        block = homes[pick % len(homes)]
        if not self.closing:
            scope = (self.container if block is None else block.handle).scope()
            self.scopes.append(Opened(block, scope))

    @rule(who=PICKS, pick=PICKS, fails=st.booleans())
    def end_scope(self, who, pick, fails):
        if self.scopes:
            opened = self.scopes.pop(pick % len(self.scopes))
            opened.ending = True
            error = Boom("a body") if fails else None
            ending = opened.scope.__aexit__(type(error) if fails else None, error, None)
            self.world.failures += fails
            self.step(lambda: self.begin("end scope", self.workers[who % 3], ending, [opened]))

    @rule(key=st.sampled_from(KEYS))
    def register(self, key):
        self.step(lambda: self.world.register(key), 0)

    @rule(key=st.sampled_from(KEYS), closing=st.booleans())
    def fail(self, key, closing):
        (self.world.failing_closing if closing else self.world.failing).add(key)

    @rule(pick=PICKS, turns=st.integers(0, 4))
    def go_on(self, pick, turns):
        if self.world.waiting:
            self.step(lambda: self.release(pick), turns)

    @rule(pick=PICKS)
    def all_go_on(self, pick):
        for _ in range(len(self.world.waiting)):
            self.step(lambda: self.release(pick), 1)

    def release(self, pick):
        if self.world.waiting:
            future = self.world.waiting.pop(pick % len(self.world.waiting))
            if not future.done():
                future.set_result(None)

    @rule(pick=PICKS)
    def cancel(self, pick):
        if self.acts:
            act = self.acts[pick % len(self.acts)]

            def do():
                act.cancelled = act.task.cancel() or act.cancelled

            self.step(do)

    @rule()
    def check(self):
        self.container.check()

    @rule(who=PICKS, often=st.integers(0, 3))
    def close(self, who, often):
        if not often and not self.closing:
            self.begin_closing(self.workers[who % 3])

    def begin_closing(self, worker):
        async def close():
            self.closing = True
            await self.container.aclose()

        self.step(lambda: self.begin("close", worker, close()))

    @rule()
    def enter_again(self):
        """A closed container that is entered again starts empty."""
        # No precondition: what has ended by now may depend on the order of a set, and what is drawn must not.
        if not self.closing:
            return
        self.settle()
        self.step(lambda: self.begin("enter", self.workers[0], self.container.__aenter__()), 3)
        self.era += 1
        self.closing = False

    # --- the end ---

    def settle(self):
        """End all there is, let everything go on, and wait for it."""
        for block in [block for block in (*self.blocks, *self.tenants) if block.state == "in force"]:
            self.leave_one(block)
        for turn in range(BOUND):
            if not self.acts:
                break
            self.step(lambda turn=turn: self.release(turn), 1)
        hanging = [(act.what, act.task.get_stack()) for act in self.acts]
        assert not hanging, f"these never end: {hanging}"
        self.scopes.clear()
        self.blocks.clear()
        self.tenants.clear()

    def teardown(self):
        if not hasattr(self, "world"):
            return
        try:
            if not self.closing or self.world.open:
                self.begin_closing(self.workers[0])
            self.settle()
            self.step(lambda: None, 5)
            assert self.world.open == []
            assert self.unhandled == []
            assert asyncio.all_tasks(self.loop) == set()
        finally:
            self.world.free = True
            for task in asyncio.all_tasks(self.loop):
                task.cancel()
            with contextlib.suppress(BaseException):
                self.step(lambda: None, 20)
            self.loop.close()


TestTraffic = Traffic.TestCase
TestTraffic.settings = settings(
    max_examples=amount.of(2_000, working=25),  # of at most 50 steps each: more than 50,000 in all
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
