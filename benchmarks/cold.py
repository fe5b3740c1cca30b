"""
How many calls of asyncmeta's own Python functions does each first time take?

    python -m benchmarks.cold

prints the counts; they are the same on every machine, however busy.  Comprehensions and generators count as calls.
"""

import asyncio
import gc
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from types import FrameType
from typing import Any

import asyncmeta
from asyncmeta import AsyncDependencyDescriptor, AsyncServiceBase, Container, From

PACKAGE = str(Path(asyncmeta.__file__).parent)

#: The most that each may take.
LIMITS = {"first get": 130, "first attribute": 60, "first scope get": 90, "first injected call": 75}


class Settings:
    """A sync singleton."""


class Database:
    """An async singleton with one dependency."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings


class Session:
    """A scoped value from an async generator."""


def application() -> type[AsyncServiceBase]:
    """Return an application that nobody has used."""

    class Shop(AsyncServiceBase):
        database = AsyncDependencyDescriptor(Database)

    async def connect(settings: Settings) -> Database:
        return Database(settings)

    async def open_session(database: Database) -> AsyncIterator[Session]:
        yield Session()

    Shop.register_dependency(Settings, Settings)
    Shop.register_dependency(Database, connect)
    Shop.register_dependency(Session, open_session, lifetime="scoped")
    return Shop


async def calls(work: Callable[[], Awaitable[Any]]) -> int:
    """Await ``work()``; return how many Python functions of the package were entered meanwhile."""
    entered = 0
    seen: set[int] = set()

    def note(frame: FrameType, event: str, _: Any) -> None:
        nonlocal entered
        # A coroutine that goes on after waiting is told as a call again.
        if event == "call" and frame.f_code.co_filename.startswith((PACKAGE, "<asyncmeta")) and id(frame) not in seen:
            seen.add(id(frame))
            frames.append(frame)  # so that no other frame gets its address
            entered += 1

    frames: list[FrameType] = []
    gc.collect()  # what is collected meanwhile would be counted, too
    gc.disable()
    sys.setprofile(note)
    try:
        await work()
    finally:
        sys.setprofile(None)
        gc.enable()
    return entered


async def first_get() -> int:
    """Count the first get of a singleton with one dependency."""
    async with Container(application()) as container:
        return await calls(lambda: container.get(Database))


async def first_attribute() -> int:
    """Count the first ``await self.database`` of an application's instance, once the value is built."""
    shop_class: Any = application()
    async with Container(shop_class) as container:
        shop = await container.get(shop_class)
        await container.get(Database)

        async def attribute() -> None:
            await shop.database

        return await calls(attribute)


async def first_scope_get() -> int:
    """Count the first get of a scoped async generator, once what it stands on is built."""
    async with Container(application()) as container:
        await container.get(Database)
        async with container.scope() as scope:
            return await calls(lambda: scope.get(Session))


async def first_injected_call() -> int:
    """Count the first call of an injected function with two parameters, once both values are built."""
    async with Container(application()) as container:
        await container.get(Settings)
        await container.get(Database)

        async def handle(settings: From[Settings], database: From[Database]) -> None: ...

        injected: Any = container.inject(handle)
        return await calls(injected)


def counts() -> dict[str, int]:
    """Return each count, by its name; once before, unheard, so that what is imported late is there."""
    works = {
        "first get": first_get,
        "first attribute": first_attribute,
        "first scope get": first_scope_get,
        "first injected call": first_injected_call,
    }
    for work in works.values():
        asyncio.run(work())
    return {name: asyncio.run(work()) for name, work in works.items()}


if __name__ == "__main__":
    if "--json" in sys.argv:
        print(json.dumps(counts()))
        sys.exit()
    for name, number in counts().items():
        print(f"{name:20} {number:5} calls, at most {LIMITS[name]}{'' if number <= LIMITS[name] else '  NOT KEPT'}")
