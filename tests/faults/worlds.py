"""Small programs, one for each kind of building and closing, and the judge of what they leave behind."""

import asyncio
import contextlib
from typing import Annotated

from asyncmeta import (
    AsyncDependencyDescriptor,
    AsyncServiceBase,
    BuildTimeoutError,
    ClosedError,
    Container,
    Factory,
    Inject,
    Lazy,
    Observer,
    injected as filled,
)
from asyncmeta.ascender import create_injector

SCOPED = {"lifetime": "scoped"}
TRANSIENT = {"lifetime": "transient"}
BESIDE = {"lifetime": "scoped", "concurrent": True}
IN_THREAD = {"in_thread": True}


class Failed(Exception):
    """What a clean-up raises that is told to fail."""


class Value:
    """Something with a life, that stands on others."""

    def __init__(self, name, parts):
        self.name, self.parts = name, parts

    def __repr__(self):
        return self.name


class World:
    """What a program declares, and what happened to it."""

    def __init__(self, failing=frozenset()):
        self.failing = failing  #: names whose clean-up fails
        self.opened = []
        self.closed = []
        self.declared = []

    def add(self, name, kind, *needs, **options):
        """Declare a factory: "agen", "gen", "async" or "sync"."""
        space = {"asyncio": asyncio, "world": self, "name": name, "Value": Value, "Failed": Failed}
        wait = "await asyncio.sleep(0)" if kind in ("agen", "async") else "pass"
        taken = f"[{', '.join(needs)}]"
        lines = [f"{'async ' if kind in ('agen', 'async') else ''}def factory({', '.join(needs)}):", f"    {wait}"]
        lines.append(f"    value = Value(name, {taken})")
        if kind in ("agen", "gen"):
            lines += [
                "    world.opened.append(value)",
                "    try:",
                "        yield value",
                "    finally:",
                "        world.closed.append(value)",
                f"        {wait}",
                "        if name in world.failing: raise Failed(name)",
            ]
        else:
            lines.append("    return value")
        exec("\n".join(lines), space)
        self.declared.append((name, space["factory"], options))

    def container(self, middleware=(), **keywords):
        """Return a container of all that was declared."""
        App = type("App", (AsyncServiceBase,), {}, **keywords)
        for name, factory, options in self.declared:
            App.register_dependency(name, factory, **options)
        return Container(App, middleware=middleware)

    def wrong(self):
        """Return what is wrong with what was closed: each once, and before what it stands on."""
        found = []
        for value in self.opened:
            times = sum(value is other for other in self.closed)
            if times != 1:
                found.append(f"{value!r} was closed {times} times")
        at = {id(value): number for number, value in enumerate(self.closed)}
        for value in self.opened:
            below, seen = list(value.parts), set()
            while below:
                part = below.pop()
                if isinstance(part, Value) and id(part) not in seen:
                    seen.add(id(part))
                    below += part.parts
                    if id(part) in at and id(value) in at and at[id(part)] < at[id(value)]:
                        found.append(f"{part!r} was closed before its user {value!r}")
        return found


PROGRAMS = {}


def program(make):
    """Take a program: it declares in a world, and returns its container and what is done with it."""
    PROGRAMS[make.__name__] = make
    return make


@program
def started(world):
    world.add("a", "agen")
    world.add("g", "gen", "a")
    world.add("d", "agen", "a", "g")
    world.add("e", "async", "d")
    container = world.container()

    async def use():
        async with container:
            await container.start()

    return container, use


@program
def asked_by_many(world):
    world.add("a", "agen")
    world.add("b", "agen", "a")
    world.add("d", "agen", "a", "b")
    container = world.container()

    async def use():
        async with container:
            await asyncio.gather(*(container.get(key) for key in ("d", "b", "a", "d")))

    return container, use


@program
def never_entered(world):
    world.add("a", "agen")
    world.add("d", "agen", "a")
    world.add("s", "agen", "d", **SCOPED)
    container = world.container()

    async def use():
        for _ in range(2):
            async with container.scope() as scope:
                await scope.get("s")

    return container, use


@program
def scoped(world):
    world.add("p", "agen")
    world.add("a", "agen", "p", **SCOPED)
    world.add("g", "gen", "a", **SCOPED)
    world.add("t", "agen", "g", **TRANSIENT)
    container = world.container()

    async def use():
        async with container:
            for _ in range(3):
                async with container.scope() as scope:
                    await scope.get("t")

    return container, use


@program
def one_scoped(world):
    world.add("a", "agen", **SCOPED)
    container = world.container()

    async def use():
        async with container:
            for _ in range(4):
                async with container.scope() as scope:
                    await scope.get("a")

    return container, use


@program
def requests(world):
    world.add("p", "agen")
    world.add("a", "agen", "p", **SCOPED)
    world.add("b", "agen", "a", **SCOPED)
    container = world.container()

    async def use():
        async with container:
            for _ in range(4):
                async with container.request("b"):
                    await asyncio.sleep(0)

    return container, use


@program
def injected(world):
    world.add("p", "agen")
    world.add("a", "agen", "p", **SCOPED)
    world.add("b", "agen", "a", **SCOPED)
    container = world.container()

    @container.inject
    async def handler(number, b: Annotated[object, Inject("b")]):
        await asyncio.sleep(0)

    async def use():
        async with container:
            for number in range(4):
                await handler(number)

    return container, use


@program
def injected_generator(world):
    world.add("p", "agen")
    world.add("a", "agen", "p", **SCOPED)
    container = world.container()

    @container.inject
    async def rows(a: Annotated[object, Inject("a")]):
        for number in range(2):
            yield number
            await asyncio.sleep(0)

    async def use():
        async with container:
            for _ in range(3):
                async for _ in rows():
                    await asyncio.sleep(0)

    return container, use


@program
def beside(world):
    world.add("p", "agen")
    world.add("a", "agen", "p", **BESIDE)
    world.add("b", "agen", **BESIDE)
    world.add("d", "agen", "a", "b", **BESIDE)
    world.add("n", "agen", "d", **SCOPED)
    container = world.container()

    async def use():
        async with container, container.scope() as scope:
            await scope.get("n")

    return container, use


@program
def gathered_beside(world):
    world.add("a", "agen", **BESIDE)
    world.add("b", "agen", "a", **BESIDE)
    world.add("d", "gen", "a", **SCOPED)
    container = world.container()

    async def use():
        async with container:
            for _ in range(2):
                async with container.scope() as scope:
                    await scope.gather("a", "b", "d")

    return container, use


@program
def overridden(world):
    world.add("x", "async")
    world.add("a", "agen", "x")
    world.add("b", "agen", "a")
    world.add("s", "agen", "b", **SCOPED)
    container = world.container()

    async def use():
        async with container:
            await container.get("b")
            async with container.override({"x": "fake"}, everywhere=True), container.scope() as scope:
                await scope.get("s")
            async with container.overlay({"x": "a tenant's"}) as overlay, overlay.scope() as scope:
                await scope.get("s")

    return container, use


@program
def overrides_overlap(world):
    world.add("x", "async")
    world.add("y", "async")
    world.add("a", "agen", "x", "y")
    world.add("s", "agen", "a", **SCOPED)
    container = world.container()

    async def use():
        async with container:
            first = container.override({"x": "first"})
            second = container.override({"y": "second"})
            await first.__aenter__()
            try:
                await second.__aenter__()
                try:
                    await container.get("a")
                finally:
                    await first.__aexit__(None, None, None)
                async with container.scope() as scope:
                    await scope.get("s")
            finally:
                await first.__aexit__(None, None, None)
                await second.__aexit__(None, None, None)

    return container, use


@program
def shared_scope(world):
    world.add("p", "agen")
    world.add("a", "agen", "p", **SCOPED)
    world.add("b", "agen", "a", **SCOPED)
    world.add("d", "agen", "a", **SCOPED)
    container = world.container()

    async def use():
        async with container, container.scope() as scope, asyncio.TaskGroup() as group:
            for key in ("b", "d", "a"):
                group.create_task(scope.get(key))

    return container, use


@program
def services(world):
    class Service(AsyncServiceBase, lifetime="scoped"):
        t, p = AsyncDependencyDescriptor("t"), AsyncDependencyDescriptor("p")

        async def on_startup(self):
            self.value = Value("Service", [await self.p])
            await asyncio.sleep(0)
            world.opened.append(self.value)

        async def on_shutdown(self):
            world.closed.append(self.value)

    world.add("p", "agen")
    world.add("t", "agen", "p", **TRANSIENT)
    container = world.container(providers=[Service])

    async def use():
        async with container:
            for _ in range(2):
                async with container.scope() as scope:
                    service = await scope.get(Service)
                    one, other = await asyncio.gather(service.t, service.t)
                    assert one is other

    return container, use


@program
def own_root(world):
    world.add("p", "agen")
    world.add("a", "agen", "p")

    class Shop(AsyncServiceBase):
        a = AsyncDependencyDescriptor("a")

    for name, factory, options in world.declared:
        Shop.register_dependency(name, factory, **options)
    shop = Shop()
    container = Container(shop)

    async def use():
        async with container:
            one, other = await asyncio.gather(shop.a, shop.a)
            assert one is other

    return container, use


@program
def levels(world):
    world.add("p", "agen")
    world.add("c", "agen", "p", lifetime="session")
    world.add("a", "agen", "c", lifetime="request")
    container = world.container(scopes=("session", "request"))

    async def use():
        async with container, container.scope(level="session") as session:
            for _ in range(2):
                async with session.scope() as scope:
                    await scope.get("a")
            async with container.scope() as scope:
                await scope.get("a")

    return container, use


@program
def handles(world):
    world.add("p", "agen")
    world.add("t", "agen", "p", **TRANSIENT)

    async def user(late: Annotated[Lazy[object], Inject("p")], make: Annotated[Factory[object], Inject("t")]):
        value = Value("user", [await late, await make()])
        world.opened.append(value)
        try:
            yield value
        finally:
            world.closed.append(value)

    world.declared.append(("user", user, SCOPED))
    container = world.container()

    async def use():
        async with container:
            for _ in range(2):
                async with container.scope() as scope:
                    await scope.get("user")

    return container, use


@program
def timed(world):
    world.add("p", "agen", timeout=60.0)
    world.add("a", "agen", "p", **SCOPED, timeout=60.0)
    container = world.container()

    async def use():
        async with container:
            for _ in range(2):
                async with container.scope() as scope:
                    await scope.get("a")

    return container, use


@program
def closed_under_load(world):
    world.add("p", "agen")
    world.add("a", "agen", "p", **SCOPED)
    world.add("b", "agen", "p", **BESIDE)
    container = world.container()

    async def request(key):
        async with container.scope() as scope:
            await scope.get(key)
            for _ in range(4):
                await asyncio.sleep(0)

    async def use():
        tasks = []
        async with container:
            tasks = [asyncio.ensure_future(request(key)) for key in ("a", "b")]
            for _ in range(9):
                await asyncio.sleep(0)
        await asyncio.gather(*tasks, return_exceptions=True)

    return container, use


@program
def two_closers(world):
    world.add("p", "agen")
    world.add("a", "agen", "p")
    container = world.container()

    async def use():
        async with container:
            await container.get("a")
            other = asyncio.ensure_future(container.aclose())
            await asyncio.sleep(0)
        await other

    return container, use


@program
def in_thread(world):
    world.add("p", "gen", **IN_THREAD)
    world.add("a", "gen", "p", **SCOPED, **IN_THREAD)
    container = world.container()

    async def use():
        async with container, container.scope() as scope:
            await scope.get("a")

    return container, use


@program
def tenants(world):
    world.add("x", "async")
    world.add("p", "agen")
    world.add("a", "agen", "x", "p")
    world.add("s", "agen", "a", **SCOPED)
    container = world.container()

    async def tenant(name):
        async with container.overlay({"x": name}) as overlay:
            for _ in range(2):
                async with overlay.request("s"):
                    await asyncio.sleep(0)

    async def use():
        async with container, asyncio.TaskGroup() as group:
            for name in ("one", "two"):
                group.create_task(tenant(name))

    return container, use


@program
def overridden_beside_requests(world):
    world.add("x", "async")
    world.add("a", "agen", "x")
    world.add("s", "agen", "a", **SCOPED)
    container = world.container()

    async def request():
        for _ in range(3):
            async with container.scope() as scope:
                await scope.get("s")
                await asyncio.sleep(0)
                await scope.get("a")

    async def use():
        async with container, asyncio.TaskGroup() as group:
            group.create_task(request())
            await asyncio.sleep(0)
            async with container.override({"x": "fake"}, everywhere=True):
                group.create_task(request())
                await container.get("a")

    return container, use


@program
def registered_meanwhile(world):
    world.add("p", "agen")
    world.add("a", "agen", "p")
    world.add("s", "agen", "a", **SCOPED)
    container = world.container()
    declared = {name: (factory, options) for name, factory, options in world.declared}

    async def use():
        async with container:
            for _ in range(2):
                async with container.scope() as scope, asyncio.TaskGroup() as group:
                    group.create_task(scope.get("s"))
                    await asyncio.sleep(0)
                    for name in ("a", "s"):
                        factory, options = declared[name]
                        container._root_class.register_dependency(name, factory, **options)
                    group.create_task(scope.get("s"))

    return container, use


@program
def started_by_two(world):
    world.add("a", "agen", health=lambda value: None)
    world.add("b", "agen", "a")
    world.add("d", "async", "b", health=lambda value: None)
    container = world.container()

    async def use():
        async with container:
            await asyncio.gather(container.start(concurrency=1), container.start("b"))
            await container.health()

    return container, use


@program
def stood_around(world):
    async def around(build, call):
        await asyncio.sleep(0)
        value = await call()
        await asyncio.sleep(0)
        return value

    world.add("p", "agen")
    world.add("a", "agen", "p", **SCOPED)
    world.add("b", "gen", "a", **SCOPED)
    container = world.container(middleware=[around])

    class Quiet(Observer):
        def build_end(self, event): ...

        def finalize_end(self, event): ...

    async def use():
        with container.observe(Quiet()):
            async with container:
                for _ in range(2):
                    async with container.request("b"):
                        await asyncio.sleep(0)

    return container, use


@program
def made_beside(world):
    world.add("p", "agen")
    world.add("s", "agen", "p", **SCOPED)

    async def make_part(p, s, number):
        await asyncio.sleep(0)
        value = Value("part", [p, s])
        world.opened.append(value)
        try:
            yield value
        finally:
            world.closed.append(value)

    async def user(make: Annotated[Factory[object], Inject("part")]):
        return await asyncio.gather(make(number=1), make(number=2))

    world.declared += [("part", make_part, TRANSIENT), ("user", user, SCOPED)]
    container = world.container()

    async def use():
        async with container, container.scope() as scope:
            await scope.get("user")

    return container, use


@program
def fails_at_first(world):
    world.add("p", "agen")
    world.add("a", "agen", "p", **SCOPED)
    tries = []

    async def flaky(a):
        await asyncio.sleep(0)
        tries.append(a)
        if len(tries) == 1:
            raise LookupError("not yet")
        value = Value("flaky", [a])
        world.opened.append(value)
        try:
            yield value
        finally:
            world.closed.append(value)

    world.declared.append(("flaky", flaky, SCOPED))
    container = world.container()

    async def use():
        async with container, container.scope() as scope:
            with contextlib.suppress(LookupError):
                await scope.get("flaky")
            await scope.get("flaky")

    return container, use


@program
def too_slow(world):
    world.add("p", "agen")

    async def slow(p):
        value = Value("slow", [p])
        world.opened.append(value)
        try:
            for _ in range(20):
                await asyncio.sleep(0)
            yield value
        finally:
            world.closed.append(value)

    world.declared += [("slow", slow, {"timeout": 1e-9}), ("scoped", slow, {**SCOPED, "timeout": 1e-9})]
    container = world.container()

    async def use():
        async with container, container.scope() as scope:
            with contextlib.suppress(BuildTimeoutError):
                await container.get("slow")
            with contextlib.suppress(BuildTimeoutError):
                await scope.get("scoped")

    return container, use


@program
def closed_while_in_use(world):
    world.add("p", "agen")
    world.add("a", "agen", "p", **SCOPED)
    world.add("b", "agen", "a", **SCOPED)
    container = world.container()

    async def use():
        async with container:
            scope = container.scope()
            with contextlib.suppress(ClosedError):
                async with scope:
                    getting = asyncio.ensure_future(scope.get("b"))
                    await asyncio.sleep(0)
                    closing = asyncio.ensure_future(scope.aclose())
                    await asyncio.wait([getting, closing])

    return container, use


@program
def entered_again(world):
    world.add("p", "agen")
    world.add("s", "agen", "p", **SCOPED)
    container = world.container()

    async def use():
        for _ in range(2):
            async with container, container.request("s"):
                await asyncio.sleep(0)

    return container, use


@program
def ambient(world):
    world.add("p", "agen")
    world.add("s", "agen", "p", **SCOPED)
    world.add("t", "agen", "s", **TRANSIENT)
    container = world.container()

    @filled
    async def inner(t: Annotated[object, Inject("t")]):
        await asyncio.sleep(0)

    @filled
    async def outer(s: Annotated[object, Inject("s")]):
        await inner()

    async def use():
        async with container:
            for _ in range(3):
                async with container.scope() as scope:
                    with scope.ambient():
                        await outer()

    return container, use


@program
def requests_in_requests(world):
    world.add("p", "agen")
    world.add("a", "agen", "p", **SCOPED)
    container = world.container()

    async def use():
        async with container:
            for _ in range(3):
                async with container.request("a"), container.request("a"):
                    await asyncio.sleep(0)

    return container, use


@program
def children(world):
    world.add("p", "agen")
    world.add("a", "agen", "p")
    provided = {name: factory for name, factory, _ in world.declared}
    parent = create_injector([{"provide": "p", "use_factory": provided["p"]}])

    async def use():
        async with parent:
            child = create_injector([{"provide": "a", "use_factory": provided["a"], "deps": ["p"]}], parent)
            async with child:
                await child.aget("a")

    return parent, use


@program
def grandchildren(world):
    world.add("p", "agen")
    world.add("a", "agen", "p")
    world.add("b", "agen", "a")
    provided = {name: factory for name, factory, _ in world.declared}
    parent = create_injector([{"provide": "p", "use_factory": provided["p"]}])

    async def use():
        async with parent:
            child = create_injector([{"provide": "a", "use_factory": provided["a"], "deps": ["p"]}], parent)
            for _ in range(2):
                grandchild = create_injector([{"provide": "b", "use_factory": provided["b"], "deps": ["a"]}], child)
                await grandchild.aget("b")

    return parent, use


@program
def opened_in_a_factory(world):
    world.add("q", "agen")
    inner = world.container()
    world.declared.clear()

    async def pool():
        async with inner:
            value = Value("pool", [await inner.get("q")])
            world.opened.append(value)
            try:
                yield value
            finally:
                world.closed.append(value)

    world.declared.append(("pool", pool, {}))
    world.add("s", "agen", "pool", **SCOPED)
    container = world.container()

    async def use():
        async with container:
            for _ in range(2):
                async with container.request("s"):
                    await asyncio.sleep(0)

    return container, use


@program
def levels_beside(world):
    world.add("c", "agen", lifetime="session", concurrent=True)
    world.add("d", "agen", "c", lifetime="session", concurrent=True)
    world.add("a", "agen", "c", lifetime="request", concurrent=True)
    world.add("b", "agen", "a", "d", lifetime="request", concurrent=True)
    container = world.container(scopes=("session", "request"))

    async def use():
        async with container, container.scope(level="session") as session, asyncio.TaskGroup() as group:
            for _ in range(2):
                group.create_task(request(session))

    async def request(session):
        async with session.scope() as scope:
            await scope.gather("b", "a", "d")

    return container, use


@program
def timed_twice(world):
    world.add("a", "agen", timeout=60.0)
    world.add("b", "agen", "a", timeout=60.0)
    world.add("s", "agen", "b", **BESIDE, timeout=60.0)
    container = world.container()

    async def use():
        async with asyncio.timeout(60), container:
            async with asyncio.timeout(60):
                await container.start()
            async with container.scope() as scope, asyncio.timeout(60):
                await scope.get("s")

    return container, use
