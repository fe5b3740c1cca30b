"""
What do very many open scopes cost in one process, and very many overlays, as of tenants?

    python -m benchmarks.scale.open                     100,000 scopes, 1,000 overlays
    python -m benchmarks.scale.open --scopes 10000 --overlays 100

Bytes are told by ``tracemalloc``, in a run of its own, because it slows down what it watches; seconds by another.  The two
sizes of each, a tenth and the whole, tell whether it grows straight.
"""

import argparse
import asyncio
import gc
import sys
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from time import perf_counter
from typing import NamedTuple

from asyncmeta import AsyncServiceBase, Container, inject_dependency


class Tenant:
    """What an overlay replaces."""

    name = "everybody"


class Database:
    """Shared by all."""


class Session:
    """One for each scope; from an async generator that has to be closed."""

    __slots__ = ("database",)

    def __init__(self, database: Database) -> None:
        self.database = database


class Handler:
    """What a request asks for; stands on what the overlay replaces."""

    __slots__ = ("session", "tenant")

    def __init__(self, session: Session, tenant: Tenant) -> None:
        self.session, self.tenant = session, tenant


class App(AsyncServiceBase, providers=[Tenant, Database]):
    """A database for all, a session for each scope."""


@inject_dependency(Session, lifetime="scoped", on=App)
async def open_session(database: Database) -> AsyncIterator[Session]:
    yield Session(database)


App.register_dependency(Handler, Handler, lifetime="transient")


class Measured(NamedTuple):
    """What one size took."""

    opened: float  #: seconds
    closed: float  #: seconds
    bytes: float  #: of each while all are open


Stays = Callable[[], None]


async def scopes(count: int, meanwhile: Stays) -> tuple[float, float]:
    """Open *count* scopes with a session each, all at once on one loop, and close them."""
    async with Container(App) as container:
        async with container.scope() as scope:
            await scope.get(Session)
        begun = perf_counter()
        opened = []
        for _ in range(count):
            scope = await container.scope().__aenter__()
            await scope.get(Session)
            opened.append(scope)
        there = perf_counter()
        meanwhile()
        closing = perf_counter()
        for scope in reversed(opened):
            await scope.__aexit__(None, None, None)
        return there - begun, perf_counter() - closing


async def overlays(count: int, meanwhile: Stays) -> tuple[float, float]:
    """Open *count* overlays, ask each for a handler until it has code for that, and close them."""
    async with Container(App) as container:
        async with container.request(Handler):
            pass
        begun = perf_counter()
        stack = AsyncExitStack()
        for _ in range(count):
            tenant = await stack.enter_async_context(container.overlay({Tenant: Tenant()}))
            for _ in range(3):
                async with tenant.request(Handler):
                    pass
        there = perf_counter()
        meanwhile()
        closing = perf_counter()
        await stack.aclose()
        return there - begun, perf_counter() - closing


def measured(opening: Callable[[int, Stays], Awaitable[tuple[float, float]]], count: int, rounds: int) -> Measured:
    """Measure one size: the times several times, the bytes once."""
    times = []
    for _ in range(rounds):
        gc.collect()
        times.append(asyncio.run(opening(count, lambda: None)))  # type: ignore[arg-type]  # it is a coroutine function
    held = []
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]

    def look() -> None:
        gc.collect()
        held.append(tracemalloc.get_traced_memory()[0] - before)

    asyncio.run(opening(count, look))  # type: ignore[arg-type]
    tracemalloc.stop()
    return Measured(min(opened for opened, _ in times), min(closed for _, closed in times), held[0] / count)


async def by_request(where: Container) -> Handler:
    """Ask for a handler in one step."""
    async with where.request(Handler) as handler:
        return handler


async def by_scope(where: Container) -> Handler:
    """Open a scope and ask it."""
    async with where.scope() as scope:
        return await scope.get(Handler)


async def speed(ask: Callable[[Container], Awaitable[object]], rounds: int = 15, requests: int = 1_000) -> tuple[float, float]:
    """Return the least seconds of *ask* in the container, and in an overlay that lives long; rounds interleave."""
    async with Container(App) as container, container.overlay({Tenant: Tenant()}) as tenant:

        async def one(where: Container) -> float:
            begun = perf_counter()
            for _ in range(requests):
                await ask(where)
            return (perf_counter() - begun) / requests

        await one(container), await one(tenant)
        pairs = [(await one(container), await one(tenant)) for _ in range(rounds)]
    return min(plain for plain, _ in pairs), min(inside for _, inside in pairs)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale.open", description=__doc__.strip().splitlines()[0])
    parser.add_argument("--scopes", type=int, default=100_000)
    parser.add_argument("--overlays", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(arguments)
    for name, opening, most in (("scopes", scopes, options.scopes), ("overlays", overlays, options.overlays)):
        small, large = (measured(opening, count, options.rounds) for count in (max(most // 10, 1), most))
        growth = (large.opened + large.closed) / max(small.opened + small.closed, 1e-9)
        print(
            f"{most:9,} {name:9} {large.bytes:9,.0f} bytes each, opened in {large.opened:.2f} s, closed in {large.closed:.2f} s; "
            f"{growth:.1f} x what a tenth takes"
        )
    for name, ask in (("a request", by_request), ("a scope and a get", by_scope)):
        plain, inside = asyncio.run(speed(ask))
        print(f"{name} {plain * 1e6:.2f} us in the container, {inside * 1e6:.2f} us in an overlay: {inside / plain:.2f} x")
    return 0


if __name__ == "__main__":
    sys.exit(main())
