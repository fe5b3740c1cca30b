"""
Does anything stay, hang or grow while an application is used as the world uses it?

    python -m benchmarks.soak                          for a minute
    python -m benchmarks.soak --seconds 600 --seed 7   longer, with other chances

An application of ASGI lives several lives, one after another, in this process.  In each of them clients ask, stream, talk
over websockets, leave in the middle, are cancelled, and use scopes, threads, tenants and services by hand, while others
override, for themselves or for everybody, and register anew.  Factories and finalizers fail by chance.  A life ends when
all is done, by force, or in the middle of everything.

It reports what was built and closed, what is open at the end, how memory and tasks grew, and how long somebody waited at
most; it exits with 1 where something is open, grew, waited too long, or went otherwise than it was promised.  A seed gives
the same chances, not the same run: how far each one comes in a second is up to the machine.
"""

import argparse
import asyncio
import contextlib
import gc
import linecache
import random
import sys
import time
import traceback
import tracemalloc
import warnings
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from asyncmeta import AsyncDependencyDescriptor, AsyncServiceBase, ClosedError, Container, From, injected
from asyncmeta.integrations.asgi import KEY, ContainerMiddleware

CLIENTS = 16
LIVES = 12  #: at most; none is shorter than SHORTEST
SHORTEST = 0.3  #: seconds
PATIENCE = 10.0  #: seconds after which one is said to wait for ever
GROWTH = 256 * 1024  #: bytes that may come and go: what is compiled, caches of the interpreter
#: Bytes that a registration in the place of another one may leave: an application's graph keeps, for as long as it lives,
#: what stood for the former one, since an open container may have built that.
REPLACED = 2 * 1024
TOLD = 20  #: of what is wrong so much is shown

Message = MutableMapping[str, Any]


class Boom(Exception):
    """What factories, finalizers and handlers fail with."""


class Left(OSError):
    """What a server raises where it cannot send any more."""


# --- what is built -----------------------------------------------------------------------------------------


class Value:
    """Something that is opened and closed."""

    def __init__(self, name: str, *parts: "Value") -> None:
        self.name, self.parts, self.state = name, parts, "open"


class Pool(Value): ...


class Cache(Value): ...


class Audit(Value): ...


class Session(Value):
    ended: str | None = None  #: "kept" or "undone"


class Counters(Value): ...


class Page:
    """What a handler asks for: made anew for each, of what is shared."""

    def __init__(self, session: Session, cache: Cache) -> None:
        self.session, self.cache = session, cache


class Chance:
    """What happens by chance, from one seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def happens(self, share: float) -> bool:
        return self.random.random() < share

    async def pause(self) -> None:
        """Wait: not at all, for some turns of the loop, or for a while."""
        drawn = self.random.random()
        if drawn < 0.4:
            for _ in range(int(drawn * 10)):
                await asyncio.sleep(0)
        elif drawn < 0.7:
            await asyncio.sleep(drawn * 0.004)


class World:
    """What is open, and what was done wrong."""

    def __init__(self, chance: Chance) -> None:
        self.chance = chance
        self.open: dict[int, Value] = {}
        self.counted: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.ending = False  #: the container may close
        self.ended = 0  #: overrides for everybody

    def blame(self, text: str) -> None:
        self.counted["wrong"] += 1
        if len(self.wrong) < TOLD:
            self.wrong.append(text)

    def may_fail(self, what: str, share: float) -> None:
        if self.chance.happens(share):
            self.counted[f"{what} that failed"] += 1
            raise Boom(what)

    def made(self, value: Value) -> None:
        for part in value.parts:
            if part.state == "closed":
                self.blame(f"{value.name} is made of {part.name}, which is closed")
        self.open[id(value)] = value
        self.counted["builds"] += 1

    def closed(self, value: Value) -> None:
        if self.open.pop(id(value), None) is None:
            self.blame(f"{value.name} is closed, and was not open")
        for part in value.parts:
            if part.state == "closed":
                self.blame(f"{part.name} is closed before {value.name}, which stands on it")
        value.state = "closed"
        self.counted["closes"] += 1

    @contextlib.contextmanager
    def opened(self, value: Value) -> Iterator[Value]:
        """From when a value is made to when it is closed."""
        self.made(value)
        try:
            yield value
        finally:
            self.closed(value)

    @contextlib.asynccontextmanager
    async def slowly(self, value: Value) -> AsyncIterator[Value]:
        """The same, where opening and closing wait."""
        await self.chance.pause()
        self.may_fail("factories", 0.02)
        self.made(value)
        try:
            yield value
        finally:
            try:
                await self.chance.pause()
            finally:
                self.closed(value)
            self.may_fail("finalizers", 0.02)


def make_cache(world: World) -> Callable[..., AsyncIterator[Cache]]:
    """Return a factory of a cache that nobody has registered yet."""

    async def cache(pool: Pool) -> AsyncIterator[Cache]:
        async with world.slowly(Cache("cache", pool)) as value:
            yield value

    return cache


def make_audit(world: World) -> Callable[..., AsyncIterator[Audit]]:
    """Return a factory of a request's audit, the same."""

    async def audit(cache: Cache) -> AsyncIterator[Audit]:
        async with world.slowly(Audit("audit", cache)) as value:
            yield value

    return audit


def application(world: World) -> type[AsyncServiceBase]:
    """Return the application, with its values of all kinds."""

    class Shop(AsyncServiceBase, scopes=["request", "message"]):
        cache = AsyncDependencyDescriptor(Cache)

        async def on_startup(self) -> None:
            await world.chance.pause()
            world.made(self.value)

        async def on_shutdown(self) -> None:
            world.closed(self.value)

        def __init__(self) -> None:
            self.value = Value("shop")

    async def pool() -> AsyncIterator[Pool]:
        async with world.slowly(Pool("pool")) as value:
            yield value

    def counters() -> Iterator[Counters]:
        with world.opened(Counters("counters")) as value:
            yield value

    async def session(pool: Pool) -> AsyncIterator[Session]:
        value = Session("session", pool)
        async with world.slowly(value):
            try:
                yield value
            except BaseException:
                value.ended = "undone"
                raise
            value.ended = "kept"

    def tally(counters: Counters) -> Iterator[Value]:
        with world.opened(Value("tally", counters)) as value:
            world.may_fail("factories", 0.02)
            yield value

    async def note(session: Session) -> AsyncIterator[Value]:
        async with world.slowly(Value("note", session)) as value:
            yield value

    def picture(counters: Counters) -> Value:
        world.may_fail("factories", 0.02)
        return Value("picture", counters)

    Shop.register_dependency(Pool, pool)
    Shop.register_dependency(Cache, make_cache(world))
    Shop.register_dependency(Counters, counters)
    Shop.register_dependency(Session, session, lifetime="request")
    Shop.register_dependency(Audit, make_audit(world), lifetime="request", concurrent=True)
    Shop.register_dependency("tally", tally, lifetime="request")
    Shop.register_dependency("picture", picture, lifetime="request", in_thread=True)
    Shop.register_dependency("note", note, lifetime="message")
    Shop.register_dependency(Page, Page, lifetime="transient")
    return Shop


# --- the application, which is asked -------------------------------------------------------------------------


@injected
async def shown(number: int, page: From[Page], audit: From[Audit]) -> Page:
    """Return a page, in whatever scope is around."""
    return page


class Handlers:
    """What answers: an application of ASGI by hand."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def __call__(self, connection: Message, receive: Callable[[], Awaitable[Message]], send: Any) -> None:
        if connection["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        await getattr(self, connection["path"].strip("/"))(connection, receive, send)

    async def work(self, connection: Message) -> None:
        """Use what the scope gives, as handlers do."""
        world, scope = self.world, connection[KEY]
        ended = world.ended
        page = await (shown(1) if world.chance.happens(0.5) else scope.get(Page))
        connection["session"] = page.session
        await world.chance.pause()
        if world.chance.happens(0.3):
            await asyncio.gather(scope.get(Audit), scope.get(Cache), scope.get("tally"))
        if world.chance.happens(0.1):
            await scope.get("picture")
        for value in (page.session, page.cache):
            # What an override for everybody has built is closed where it ends, whoever holds it.
            if value.state != "open" and not world.ending and ended == world.ended:
                world.blame(f"{value.name} is {value.state} while a handler uses it")
        world.may_fail("handlers", 0.05)

    async def page(self, connection: Message, receive: Callable[[], Awaitable[Message]], send: Any) -> None:
        await self.work(connection)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"page"})

    async def stream(self, connection: Message, receive: Callable[[], Awaitable[Message]], send: Any) -> None:
        listening = asyncio.ensure_future(self._gone(receive))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            for _ in range(self.world.chance.random.randrange(1, 8)):
                await self.work(connection)
                if listening.done():
                    return
                await send({"type": "http.response.body", "body": b"part", "more_body": True})
            await send({"type": "http.response.body"})
        finally:
            listening.cancel()
            await asyncio.wait([listening])

    @staticmethod
    async def _gone(receive: Callable[[], Awaitable[Message]]) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    async def talk(self, connection: Message, receive: Callable[[], Awaitable[Message]], send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while (await receive())["type"] != "websocket.disconnect":
            async with connection[KEY].scope(level="message") as scope:
                await scope.get("note")
                await self.work(connection)
            await send({"type": "websocket.send", "text": "heard"})


class Client:
    """Who asks: one connection, as a server has it."""

    def __init__(self, world: World, kind: str, path: str, leaves_after: int | None) -> None:
        self.world, self.leaves_after = world, leaves_after
        self.connection: Message = {"type": kind, "path": path, "headers": [], "method": "GET"}
        self.status: int | None = None
        self.complete = False
        self.over = asyncio.Event()
        self._heard = 0
        self._said = 0
        self._messages = world.chance.random.randrange(4)

    async def receive(self) -> Message:
        self._said += 1
        if self.connection["type"] == "websocket":
            if self._said == 1:
                return {"type": "websocket.connect"}
            await self.world.chance.pause()
            if self._said <= self._messages + 1 and not self.over.is_set():
                return {"type": "websocket.receive", "text": "hello"}
            return {"type": "websocket.disconnect", "code": 1000 if self.leaves_after is None else 1006}
        if self._said == 1:
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.over.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self._heard += 1
        if self.leaves_after is not None and self._heard > self.leaves_after:
            self.over.set()
            raise Left("the client has left")
        if message["type"] == "http.response.start":
            self.status = message["status"]
        if message["type"] == "http.response.body" and not message.get("more_body"):
            self.complete = True
            self.over.set()
        await asyncio.sleep(0)

    async def run(self, app: ContainerMiddleware) -> None:
        """Carry the connection out, and compare what was answered with what was kept."""
        raised = False
        try:
            await app(self.connection, self.receive, self.send)
        except BaseException:
            raised = True
            raise
        finally:
            session = self.connection.get("session")
            if session is not None and self.connection["path"] == "/page":
                if self.complete and self.status == 200 and session.ended != "kept":
                    self.world.blame(f"a request was answered, and its session is {session.ended}")
                if raised and not self.complete and self.status is None and session.ended is None and not self.world.ending:
                    self.world.blame("a request has failed, and its session is open")
            if session is not None and self.world.open.get(id(session)) is session:
                self.world.blame("a connection is over, and its session is open")


# --- the run ---------------------------------------------------------------------------------------------------


@dataclass
class Report:
    """What came of it."""

    seed: int
    counted: Counter[str]
    wrong: list[str]
    open: list[str] = field(default_factory=list)  #: what nobody has closed, by name
    memory: list[int] = field(default_factory=list)  #: bytes in use after each life
    tasks: list[int] = field(default_factory=list)  #: tasks after each life
    slowest: float = 0.0  #: seconds that one operation took

    @property
    def warm(self) -> int:
        """After so many lives the program is warm."""
        return max(2, len(self.memory) // 3)

    @property
    def growth(self) -> int:
        """Bytes, since then."""
        return self.memory[-1] - max(self.memory[: self.warm]) if len(self.memory) > 2 else 0

    @property
    def most(self) -> int:
        """So many bytes more are no growth."""
        return GROWTH + REPLACED * self.counted["registrations anew"]

    def problems(self) -> list[str]:
        """Return what must not be, in words."""
        found = list(self.wrong)
        if len(self.wrong) < self.counted["wrong"]:
            found.append(f"and {self.counted['wrong'] - len(self.wrong)} more of that kind")
        if self.open:
            found.append(f"open at the end: {', '.join(f'{name} x {count}' for name, count in Counter(self.open).items())}")
        if self.growth > self.most:
            found.append(f"memory grew by {self.growth:,} bytes since it was warm")
        if self.tasks and self.tasks[-1] > self.tasks[0]:
            found.append(f"tasks: {self.tasks[-1]} at the end, {self.tasks[0]} after the first life")
        if self.slowest > PATIENCE:
            found.append(f"somebody waited for {self.slowest:.1f} s")
        if not self.counted["builds"]:
            found.append("nothing was built")
        return found

    def __str__(self) -> str:
        lines = [f"seed {self.seed}", *(f"{number:>12,}  {name}" for name, number in sorted(self.counted.items()))]
        lines += [
            f"{len(self.open):>12,}  open at the end",
            f"{self.growth:>12,}  bytes more in use since it was warm, of {self.most:,} that may be",
            f"{self.tasks[-1] - self.tasks[0] if self.tasks else 0:>12,}  tasks more",
            f"{self.slowest * 1000:>12,.0f}  ms: the slowest wait",
        ]
        return "\n".join(lines)


class Soak:
    """One run: lives of an application, one after another."""

    def __init__(self, seconds: float, seed: int) -> None:
        self.seconds = seconds
        self.chance = Chance(seed)
        self.world = World(self.chance)
        self.shop = application(self.world)
        self.report = Report(seed, self.world.counted, self.world.wrong)
        self.busy: set[asyncio.Task[Any]] = set()  #: operations on their way
        self.force = False  #: they are cancelled by the end of a life

    async def run(self) -> Report:
        """Live, and report."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: self.world.blame(f"unhandled: {context}"))
        lives = max(3, min(LIVES, int(self.seconds / SHORTEST)))
        for _ in range(lives):
            await self.life(self.seconds / lives)
            for _ in range(5):
                await asyncio.sleep(0)
            linecache.clearcache()
            gc.collect()
            self.report.memory.append(tracemalloc.get_traced_memory()[0])
            self.report.tasks.append(len(asyncio.all_tasks()))
        self.report.open += [value.name for value in self.world.open.values()]
        return self.report

    async def life(self, seconds: float) -> None:
        """One life of the application: its start-up, its traffic, its end."""
        self.world.ending = self.force = False
        self.world.counted["lives"] += 1
        until = time.monotonic() + seconds
        again = self.chance.happens(0.5)
        container = Container(self.shop)
        source = container if again else self.shop
        app = ContainerMiddleware(Handlers(self.world), source, level="request", start=self.chance.happens(0.7))
        said: asyncio.Queue[Message] = asyncio.Queue()
        answers: asyncio.Queue[Message] = asyncio.Queue()
        said.put_nowait({"type": "lifespan.startup"})
        lifespan = asyncio.ensure_future(app({"type": "lifespan", "state": {}}, said.get, answers.put))
        if (await answers.get())["type"] != "lifespan.startup.complete":
            await self.ended(lifespan)
            self.world.counted["start-ups that failed"] += 1
            await asyncio.sleep(0.01)
            return
        works = [self.client(app, until) for _ in range(CLIENTS)]
        works += [self.overriding(app.container, until), self.registering(until)]
        everybody = [asyncio.ensure_future(work) for work in works]
        how = self.chance.random.choice(["gently", "by force", "in the middle"])
        self.world.counted[f"lives that ended {how}"] += 1
        if how == "gently":
            await asyncio.wait(everybody)
        else:
            await asyncio.sleep(max(0, until - time.monotonic()) - 0.02)
            self.world.ending = True
            if how == "by force":
                self.force = True
                for task in list(self.busy):
                    task.cancel()
                await asyncio.wait(everybody)
        self.world.ending = True
        said.put_nowait({"type": "lifespan.shutdown"})
        begun = time.monotonic()
        await answers.get()
        self.report.slowest = max(self.report.slowest, time.monotonic() - begun)
        await self.ended(lifespan)
        await asyncio.wait(everybody)
        for task in everybody:
            self.judge("a client or operator", task)
        for value in self.world.open.values():
            self.world.blame(f"a life is over, and {value.name} is open")

    async def ended(self, lifespan: "asyncio.Future[None]") -> None:
        await asyncio.wait([lifespan])
        self.judge("a lifespan", lifespan)

    # --- those who ask ---

    async def client(self, app: ContainerMiddleware, until: float) -> None:
        """Do one thing after another, until the life ends."""
        ways: list[tuple[Callable[[ContainerMiddleware], Awaitable[object]], int]] = [
            (self.asking, 8), (self.streaming, 3), (self.talking, 3), (self.by_scope, 2), (self.by_request, 2), (self.tenant, 2),
            (self.by_hand, 1), (self.in_thread, 1), (self.attributes, 1), (self.overridden, 3),
        ]  # fmt: skip
        names, weights = zip(*ways, strict=True)
        while time.monotonic() < until and not self.world.ending:
            way = self.chance.random.choices(names, weights)[0]
            await self.operation(way(app), way.__name__)
            await asyncio.sleep(0)

    async def operation(self, work: Any, name: str) -> None:
        """Carry one thing out, cancel it by chance, and judge how it ended."""
        task = asyncio.ensure_future(work)
        self.busy.add(task)
        self.world.counted["operations"] += 1
        begun = time.monotonic()
        cancelled = False
        if self.chance.happens(0.15):
            await asyncio.wait([task], timeout=self.chance.random.choice([0, 0.001, 0.004, 0.01]))
            cancelled = task.cancel()
            self.world.counted["operations that were cancelled"] += 1
        done, _ = await asyncio.wait([task], timeout=PATIENCE)
        self.busy.discard(task)
        if not done:
            stack = "".join(traceback.format_list(traceback.extract_stack(task.get_stack()[-1])[-1:])) if task.get_stack() else ""
            self.world.blame(f"{name} never ends: {stack}")
            task.cancel()
            await asyncio.wait([task], timeout=1)
            return
        self.report.slowest = max(self.report.slowest, time.monotonic() - begun)
        self.judge(name, task, cancelled)

    def judge(self, name: str, task: "asyncio.Future[Any]", cancelled: bool = False) -> None:
        """Blame whoever ended otherwise than by what was raised on purpose."""
        if task.cancelled():
            if not (cancelled or self.force):
                self.world.blame(f"nobody has cancelled {name}, and it is")
            return
        error = task.exception()
        if error is None:
            if cancelled:
                self.world.blame(f"{name} was cancelled, and went on as if nothing had happened")
            return
        for one in leaves(error):
            known = isinstance(one, Boom | Left) or (isinstance(one, ClosedError) and self.world.ending)
            if not known and not (isinstance(one, asyncio.CancelledError) and (cancelled or self.force)):
                self.world.blame(f"{name} ended so: " + "".join(traceback.format_exception(one)[-6:]))

    async def asking(self, app: ContainerMiddleware) -> None:
        leaves_after = self.chance.random.choice([None, None, None, 0, 1])
        await Client(self.world, "http", "/page", leaves_after).run(app)

    async def streaming(self, app: ContainerMiddleware) -> None:
        leaves_after = self.chance.random.choice([None, None, 0, 2, 4])
        await Client(self.world, "http", "/stream", leaves_after).run(app)

    async def talking(self, app: ContainerMiddleware) -> None:
        leaves_after = self.chance.random.choice([None, None, 1, 2])
        await Client(self.world, "websocket", "/talk", leaves_after).run(app)

    async def by_scope(self, app: ContainerMiddleware) -> None:
        async with app.container.scope() as scope:
            await scope.gather(Page, Audit, "tally", "note")
            await self.chance.pause()
            self.world.may_fail("blocks", 0.1)

    async def by_request(self, app: ContainerMiddleware) -> None:
        async with app.container.request(Page):
            await self.chance.pause()

    async def tenant(self, app: ContainerMiddleware) -> None:
        async with app.container.overlay([{"provide": Pool, "use_factory": self.other_pool}]) as tenant:
            for _ in range(self.chance.random.randrange(3)):
                async with tenant.request(Page) as page:
                    await self.chance.pause()
                    if page.session.parts[0].name != "other pool":
                        self.world.blame("a tenant got what is not its own")

    async def other_pool(self) -> AsyncIterator[Pool]:
        async with self.world.slowly(Pool("other pool")) as value:
            yield value

    async def by_hand(self, app: ContainerMiddleware) -> None:
        async with self.shop() as shop:  # an application of its own
            await shop.cache

    async def in_thread(self, app: ContainerMiddleware) -> None:
        def use() -> None:
            with app.container.scope(level="request") as scope:
                if scope.get_nowait("tally") is not scope.get_nowait("tally"):
                    self.world.blame("a scope in a thread has two of one")

        await asyncio.to_thread(use)

    async def attributes(self, app: ContainerMiddleware) -> None:
        shop, ended = await app.container.get(self.shop), self.world.ended
        caches = await asyncio.gather(*(asyncio.ensure_future(one()) for one in [self._cache_of(shop)] * 3))
        if caches[0].state != "open" and not self.world.ending and ended == self.world.ended:
            self.world.blame(f"an attribute gave a cache that is {caches[0].state}")

    def _cache_of(self, shop: Any) -> Callable[[], Awaitable[Cache]]:
        async def fetch() -> Cache:
            return await shop.cache

        return fetch

    async def overridden(self, app: ContainerMiddleware) -> None:
        async with app.container.override([{"provide": Pool, "use_factory": self.other_pool}]):
            await Client(self.world, "http", "/page", None).run(app)

    # --- those who change something ---

    async def overriding(self, container: Container, until: float) -> None:
        """Override for everybody, now and then."""
        while time.monotonic() < until and not self.world.ending:
            await asyncio.sleep(self.chance.random.random() * 0.05)
            value = Pool("pool for everybody")
            await self.operation(self._for_everybody(container, value), "overriding")
            self.world.counted["overrides for everybody"] += 1

    async def _for_everybody(self, container: Container, value: Pool) -> None:
        try:
            async with container.override({Pool: value}, everywhere=True):
                try:
                    await asyncio.sleep(self.chance.random.random() * 0.02)
                finally:
                    self.world.ended += 1
        finally:
            self.world.ended += 1

    async def registering(self, until: float) -> None:
        """Register anew, now and then."""
        while time.monotonic() < until and not self.world.ending:
            await asyncio.sleep(self.chance.random.random() * 0.05)
            self.shop.register_dependency(Cache, make_cache(self.world))
            self.shop.register_dependency(Audit, make_audit(self.world), lifetime="request", concurrent=self.chance.happens(0.5))
            self.world.counted["registrations anew"] += 2


def leaves(error: BaseException) -> list[BaseException]:
    """Return the exceptions of a group of groups."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for one in error.exceptions for leaf in leaves(one)]
    return [error]


def soak(seconds: float, seed: int) -> Report:
    """Run for so many seconds."""
    tracemalloc.start()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # of scopes that a container has closed, on purpose
            return asyncio.run(Soak(seconds, seed).run())
    finally:
        tracemalloc.stop()


def main(arguments: list[str] | None = None) -> int:
    """Print the report; 1 where something is wrong."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description="Does anything stay, hang or grow?")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long (60)")
    parser.add_argument("--seed", type=int, default=None, help="of what happens by chance; without, it is drawn")
    options = parser.parse_args(arguments)
    report = soak(options.seconds, random.randrange(1_000_000) if options.seed is None else options.seed)
    print(report)
    problems = report.problems()
    for problem in problems:
        print(f"wrong: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
