"""The same work by asyncmeta, as its user writes it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import repeat
from time import perf_counter
from typing import Any

from asyncmeta import AsyncDependencyDescriptor, AsyncServiceBase, Container, From, inject_dependency, injected

from .measure import Batch, Outcome
from .work import Call, Chain, Layers, Request, SideBySide, Slow, Wide


def request_app(graph: Request, *, concurrent: bool = False) -> type[AsyncServiceBase]:
    """Register the request's classes and factories on a class of their own; the session's generator in a task of its own."""

    class App(AsyncServiceBase):
        pass

    inject_dependency(on=App)(graph.Config)
    inject_dependency(graph.Pool, on=App)(graph.open_pool)
    inject_dependency(graph.Session, on=App, lifetime="scoped", concurrent=concurrent)(graph.open_session)
    inject_dependency(on=App, lifetime="scoped")(graph.Users)
    inject_dependency(on=App, lifetime="scoped")(graph.Orders)
    inject_dependency(on=App, lifetime="scoped")(graph.Service)
    inject_dependency(on=App, lifetime="transient")(graph.Handler)
    return App


@asynccontextmanager
async def cached(graph: Request) -> AsyncIterator[Batch]:
    """W1 through ``get``."""
    async with cached_in(graph) as (_, batch):
        yield batch


@asynccontextmanager
async def cached_in(graph: Request) -> AsyncIterator[tuple[Container, Batch]]:
    """Give the container, too."""
    Pool = graph.Pool
    async with Container(request_app(graph)) as container:

        async def batch(times: int) -> Outcome:
            value = None
            start = perf_counter()
            for _ in repeat(None, times):
                value = await container.get(Pool)
            return perf_counter() - start, value

        yield container, batch


@asynccontextmanager
async def getter(graph: Request) -> AsyncIterator[Batch]:
    """W1 through a getter."""
    async with Container(request_app(graph)) as container:
        get_pool = container.getter(graph.Pool)

        async def batch(times: int) -> Outcome:
            value = None
            start = perf_counter()
            for _ in repeat(None, times):
                value = await get_pool()
            return perf_counter() - start, value

        yield batch


@asynccontextmanager
async def cached_beside_an_override(graph: Request) -> AsyncIterator[Batch]:
    """W1 while another task overrides something that is not asked for here."""
    began, end = asyncio.Event(), asyncio.Event()
    async with cached_in(graph) as (container, batch):

        async def elsewhere() -> None:
            async with container.override({graph.Config: None}):
                began.set()
                await end.wait()

        task = asyncio.create_task(elsewhere())
        await began.wait()
        yield batch
        end.set()
        await task


@asynccontextmanager
async def cached_after_an_override(graph: Request) -> AsyncIterator[Batch]:
    """W1 when an override was in force, for everybody, and has ended."""
    async with cached_in(graph) as (container, batch):
        await batch(1)
        async with container.override({graph.Pool: None}, everywhere=True):
            await batch(1)
        yield batch


@asynccontextmanager
async def cached_beside_overlays(graph: Request) -> AsyncIterator[Batch]:
    """W1 beside a hundred tenants, each with a pool of its own."""
    async with cached_in(graph) as (container, batch), AsyncExitStack() as tenants:
        for number in range(100):
            tenant = await tenants.enter_async_context(container.overlay({graph.Pool: number}))
            assert await tenant.get(graph.Pool) == number
        yield batch


@asynccontextmanager
async def request(graph: Request, *, concurrent: bool = False) -> AsyncIterator[Batch]:
    """W2: a scope, and the handler in it."""
    Handler = graph.Handler
    async with Container(request_app(graph, concurrent=concurrent)) as container:

        async def batch(times: int) -> Outcome:
            handler = None
            start = perf_counter()
            for _ in repeat(None, times):
                async with container.scope() as scope:
                    handler = await scope.get(Handler)
            return perf_counter() - start, handler

        yield batch


def request_own_task(graph: Request) -> Any:
    """W2 with a generator that is entered and left in a task of its own."""
    return request(graph, concurrent=True)


@asynccontextmanager
async def request_asking_tasks(graph: Request) -> AsyncIterator[Batch]:
    """W2, where the scope notes its task, and its one generator is preceded by a look at which task this is."""
    Handler = graph.Handler
    async with Container(request_app(graph)) as container:

        async def batch(times: int) -> Outcome:
            handler = None
            start = perf_counter()
            for _ in repeat(None, times):
                async with container.scope() as scope:
                    task = asyncio.current_task()
                    if task is asyncio.current_task():
                        handler = await scope.get(Handler)
            return perf_counter() - start, handler

        yield batch


@asynccontextmanager
async def request_at_once(graph: Request) -> AsyncIterator[Batch]:
    """W2: scope and get in one."""
    Handler = graph.Handler
    async with Container(request_app(graph)) as container:

        async def batch(times: int) -> Outcome:
            value = None
            start = perf_counter()
            for _ in repeat(None, times):
                async with container.request(Handler) as handler:
                    value = handler
            return perf_counter() - start, value

        yield batch


@asynccontextmanager
async def request_function(graph: Request) -> AsyncIterator[Batch]:
    """W2: the request as a function that is given the handler."""

    async def endpoint(handler: From[graph.Handler]) -> Any:  # type: ignore[name-defined]  # a class made at run time
        return handler

    async with Container(request_app(graph)) as container:
        run = container.inject(endpoint)

        async def batch(times: int) -> Outcome:
            value = None
            start = perf_counter()
            for _ in repeat(None, times):
                value = await run()
            return perf_counter() - start, value

        yield batch


def call_app(graph: Call) -> type[AsyncServiceBase]:
    """Register what a call takes on a class of its own."""

    class App(AsyncServiceBase):
        pass

    inject_dependency(on=App)(graph.Config)
    inject_dependency(graph.Pool, on=App)(graph.open_pool)
    inject_dependency(on=App, lifetime="scoped")(graph.Basket)
    return App


def _call_of(graph: Call, inject: Any) -> Any:
    """Return W7's function, filled."""
    Pool, Config, Basket = graph.Pool, graph.Config, graph.Basket

    async def handle(number: int, pool: From[Pool], config: From[Config], basket: From[Basket]) -> Any:  # type: ignore[valid-type]  # made at run time
        return basket

    return inject(handle)


@asynccontextmanager
async def call(graph: Call) -> AsyncIterator[Batch]:
    """W7 by ``container.inject``."""
    async with Container(call_app(graph)) as container:
        handle = _call_of(graph, container.inject)

        async def batch(times: int) -> Outcome:
            value = None
            start = perf_counter()
            for _ in repeat(None, times):
                value = await handle(5)
            return perf_counter() - start, value

        yield batch


@asynccontextmanager
async def ambient_call(graph: Call) -> AsyncIterator[Batch]:
    """W7 by the decorator: the container is the ambient one."""
    handle = _call_of(graph, injected)
    async with Container(call_app(graph)):

        async def batch(times: int) -> Outcome:
            value = None
            start = perf_counter()
            for _ in repeat(None, times):
                value = await handle(5)
            return perf_counter() - start, value

        yield batch


@asynccontextmanager
async def _transient(classes: list[type]) -> AsyncIterator[Batch]:
    class App(AsyncServiceBase):
        pass

    for each in classes:
        inject_dependency(on=App, lifetime="transient")(each)
    last = classes[-1]
    async with Container(App) as container:

        async def batch(times: int) -> Outcome:
            value = None
            start = perf_counter()
            for _ in repeat(None, times):
                value = await container.get(last)
            return perf_counter() - start, value

        yield batch


def chain(graph: Chain) -> Any:
    """W3 deep."""
    return _transient(graph.links)


def wide(graph: Wide) -> Any:
    """W3 wide."""
    return _transient([*graph.leaves, graph.Top])


@asynccontextmanager
async def attribute(graph: Request) -> AsyncIterator[Batch]:
    """W8: an attribute of a service, awaited again and again."""

    class App(AsyncServiceBase):
        db = AsyncDependencyDescriptor(graph.Pool)

    inject_dependency(graph.Pool, on=App)(graph.open_pool)
    async with Container(App) as container:
        service = await container.get(App)

        async def batch(times: int) -> Outcome:
            value = None
            start = perf_counter()
            for _ in repeat(None, times):
                value = await service.db
            return perf_counter() - start, value

        yield batch


@asynccontextmanager
async def first_attribute(graph: Request) -> AsyncIterator[Batch]:
    """W8, fresh: the first await on each of many scoped services; opening their scopes is not timed."""

    class App(AsyncServiceBase):
        pass

    class Service(AsyncServiceBase, lifetime="scoped"):
        db = AsyncDependencyDescriptor(graph.Pool)

    inject_dependency(graph.Pool, on=App)(graph.open_pool)
    async with Container(App) as container:
        await container.get(graph.Pool)

        async def batch(times: int) -> Outcome:
            scopes = [container.scope() for _ in range(times)]
            services = []
            for scope in scopes:
                await scope.__aenter__()
                services.append(await scope.get(Service))
            value = None
            start = perf_counter()
            for service in services:
                value = await service.db
            took = perf_counter() - start
            for scope in scopes:
                await scope.__aexit__(None, None, None)
            return took, value

        yield batch


def layers_app() -> type[AsyncServiceBase]:
    """Make the class on which the layers are registered."""

    class App(AsyncServiceBase):
        pass

    return App


def register(graph: Layers, app: type[AsyncServiceBase]) -> None:
    """W4: one registration for each class."""
    for made in graph.classes:
        inject_dependency(on=app)(made)


@asynccontextmanager
async def burst(graph: Slow) -> AsyncIterator[Batch]:
    """W5: many tasks that get one value; a batch is one container and its tasks."""

    class App(AsyncServiceBase):
        pass

    inject_dependency(graph.Pool, on=App)(graph.open_pool)

    async def batch(times: int) -> Outcome:
        async with Container(App) as container:
            start = perf_counter()
            values = await asyncio.gather(*[asyncio.create_task(container.get(graph.Pool)) for _ in range(times)])
            return perf_counter() - start, set(values)

    yield batch


@asynccontextmanager
async def side_by_side(graph: SideBySide) -> AsyncIterator[Batch]:
    """W5: ten factories under one service; each time in a new container."""

    class App(AsyncServiceBase):
        pass

    for part, open_it in graph.parts:
        inject_dependency(part, on=App)(open_it)
    inject_dependency(on=App)(graph.Top)

    async def batch(times: int) -> Outcome:
        top = None
        took = 0.0
        for _ in range(times):
            async with Container(App) as container:
                start = perf_counter()
                top = await container.get(graph.Top)
                took += perf_counter() - start
        return took, top

    yield batch


@asynccontextmanager
async def held_request(graph: Request) -> AsyncIterator[Any]:
    """W6: requests that stay open: a scope and its handler."""
    async with Container(request_app(graph)) as container:

        async def hold() -> tuple[Any, Any]:
            scope = container.scope()
            await scope.__aenter__()
            return scope, await scope.get(graph.Handler)

        async def release(*held: Any) -> None:
            for scope in held:
                await scope.__aexit__(None, None, None)

        yield hold, release
