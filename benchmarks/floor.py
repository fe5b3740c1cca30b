"""
The same work by hand: what a careful programmer writes without any container.

Each is as fast as it can be written and still make, share and close the same things:
singletons are made before anybody asks and are then plain variables, the generator is
driven without ``contextlib``, closing is a plain ``try``/``finally``.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import repeat
from time import perf_counter
from typing import Any

from .measure import Batch, Outcome
from .work import Call, Chain, Layers, Request, SideBySide, Slow, Wide


@asynccontextmanager
async def cached(graph: Request) -> AsyncIterator[Batch]:
    """W1: await a function that returns what was made before."""
    pool = await graph.open_pool()

    async def get_pool() -> Any:
        return pool

    async def batch(times: int) -> Outcome:
        value = None
        start = perf_counter()
        for _ in repeat(None, times):
            value = await get_pool()
        return perf_counter() - start, value

    yield batch


@asynccontextmanager
async def request(graph: Request) -> AsyncIterator[Batch]:
    """W2: one request, everything in line."""
    open_session, Users, Orders = graph.open_session, graph.Users, graph.Orders
    Service, Handler = graph.Service, graph.Handler
    config = graph.Config()
    pool = await graph.open_pool()

    async def batch(times: int) -> Outcome:
        handler = None
        start = perf_counter()
        for _ in repeat(None, times):
            sessions = open_session(pool, config)
            session = await sessions.__anext__()
            try:
                handler = Handler(Service(Users(session), Orders(session)))
            finally:
                try:
                    await sessions.__anext__()
                except StopAsyncIteration:
                    pass
        return perf_counter() - start, handler

    yield batch


async def handle(number: int, pool: Any, config: Any, basket: Any) -> Any:
    """What is called: with a number, two singletons, and a value of its own."""
    return basket


@asynccontextmanager
async def call(graph: Call) -> AsyncIterator[Batch]:
    """W7: a call with everything that it takes."""
    Basket = graph.Basket
    config = graph.Config()
    pool = await graph.open_pool()

    async def batch(times: int) -> Outcome:
        value = None
        start = perf_counter()
        for _ in repeat(None, times):
            value = await handle(5, pool, config, Basket(pool, config))
        return perf_counter() - start, value

    yield batch


@asynccontextmanager
async def chain(graph: Chain) -> AsyncIterator[Batch]:
    """W3 deep: one expression in one function."""
    (L0, L1, L2, L3, L4, L5, L6, L7, L8, L9, L10, L11, L12, L13, L14, L15, L16, L17, L18, L19) = graph.links

    async def make() -> Any:
        return L19(L18(L17(L16(L15(L14(L13(L12(L11(L10(
            L9(L8(L7(L6(L5(L4(L3(L2(L1(L0())))))))))
        ))))))))))  # fmt: skip

    async def batch(times: int) -> Outcome:
        value = None
        start = perf_counter()
        for _ in repeat(None, times):
            value = await make()
        return perf_counter() - start, value

    yield batch


@asynccontextmanager
async def wide(graph: Wide) -> AsyncIterator[Batch]:
    """W3 wide: one call with twenty arguments."""
    Top = graph.Top
    (L0, L1, L2, L3, L4, L5, L6, L7, L8, L9, L10, L11, L12, L13, L14, L15, L16, L17, L18, L19) = graph.leaves

    async def make() -> Any:
        return Top(
            L0(), L1(), L2(), L3(), L4(), L5(), L6(), L7(), L8(), L9(),
            L10(), L11(), L12(), L13(), L14(), L15(), L16(), L17(), L18(), L19(),
        )  # fmt: skip

    async def batch(times: int) -> Outcome:
        value = None
        start = perf_counter()
        for _ in repeat(None, times):
            value = await make()
        return perf_counter() - start, value

    yield batch


class Holder:
    """A service whose dependency is fetched by an awaited method."""

    def __init__(self, pool: Any) -> None:
        self._db = pool

    async def db(self) -> Any:
        return self._db


@asynccontextmanager
async def attribute(graph: Request) -> AsyncIterator[Batch]:
    """W8: await a method that returns what the service holds."""
    service = Holder(await graph.open_pool())

    async def batch(times: int) -> Outcome:
        value = None
        start = perf_counter()
        for _ in repeat(None, times):
            value = await service.db()
        return perf_counter() - start, value

    yield batch


class LateHolder:
    """A service that fetches its dependency when it is first asked for it."""

    _db: Any

    def __init__(self, get_pool: Any) -> None:
        self._get_pool = get_pool

    async def db(self) -> Any:
        try:
            return self._db
        except AttributeError:
            self._db = await self._get_pool()
            return self._db


@asynccontextmanager
async def first_attribute(graph: Request) -> AsyncIterator[Batch]:
    """W8, fresh: the first await on each of many services; making them is not timed."""
    pool = await graph.open_pool()

    async def get_pool() -> Any:
        return pool

    async def batch(times: int) -> Outcome:
        services = [LateHolder(get_pool) for _ in range(times)]
        value = None
        start = perf_counter()
        for service in services:
            value = await service.db()
        return perf_counter() - start, value

    yield batch


def layers(graph: Layers) -> float:
    """W4: make all values, dependencies first; return the seconds it took."""
    plan = [(made, getattr(vars(made).get("__init__"), "__annotations__", {})) for made in graph.classes]
    by_name = {made.__name__: made for made in graph.classes}
    needs = [(made, [by_name[p] if isinstance(p, str) else p for p in each.values()]) for made, each in plan]
    values: dict[type, Any] = {}
    start = perf_counter()
    for made, parameters in needs:
        values[made] = made(*[values[each] for each in parameters])
    return perf_counter() - start


@asynccontextmanager
async def burst(graph: Slow) -> AsyncIterator[Batch]:
    """W5: many tasks on one future that none of them may cancel; a batch is one value and its tasks."""

    async def batch(times: int) -> Outcome:
        future: asyncio.Future[Any] | None = None

        async def get_pool() -> Any:
            nonlocal future
            if future is None:
                future = asyncio.ensure_future(graph.open_pool())
            return await asyncio.shield(future)

        start = perf_counter()
        values = await asyncio.gather(*[asyncio.create_task(get_pool()) for _ in range(times)])
        return perf_counter() - start, set(values)

    yield batch


@asynccontextmanager
async def side_by_side(graph: SideBySide) -> AsyncIterator[Batch]:
    """W5: ten factories gathered."""

    async def batch(times: int) -> Outcome:
        top = None
        start = perf_counter()
        for _ in range(times):
            top = graph.Top(*await asyncio.gather(*[open_it() for _, open_it in graph.parts]))
        return perf_counter() - start, top

    yield batch


@asynccontextmanager
async def held_request(graph: Request) -> AsyncIterator[Any]:
    """W6: what a request holds while it is open, and no more: its generator and its handler."""
    config = graph.Config()
    pool = await graph.open_pool()

    async def hold() -> tuple[Any, Any]:
        sessions = graph.open_session(pool, config)
        session = await sessions.__anext__()
        return sessions, graph.Handler(graph.Service(graph.Users(session), graph.Orders(session)))

    async def release(*held: Any) -> None:
        for sessions in held:
            async for _ in sessions:
                pass

    yield hold, release
