"""What taskiq's worker processes import: a broker on a redis-server, an application, and tasks."""

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing

from taskiq import Context
from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

from asyncmeta import AsyncServiceBase, inject_dependency
from asyncmeta.integrations.taskiq import From, setup

FOLDER = os.environ["SHOP_FOLDER"]


def note(*words: object) -> None:
    """Append a line to what all processes write down."""
    with open(f"{FOLDER}/journal", "a") as file:
        file.write(" ".join(map(str, (*words, os.getpid()))) + "\n")


class Shop(AsyncServiceBase, context=[Context]):
    """The application."""


class Database:
    """Opened once for each process."""


@inject_dependency(Database, on=Shop)
async def open_database() -> AsyncIterator[Database]:
    note("open")
    try:
        yield Database()
    finally:
        await asyncio.sleep(0)
        note("close")


class Session:
    """One transaction."""

    def __init__(self) -> None:
        self.orders: list[int] = []


@inject_dependency(Session, lifetime="scoped", on=Shop)
async def open_session(database: Database, context: Context) -> AsyncIterator[Session]:
    session = Session()
    note("begin", context.message.task_id)
    try:
        yield session
    except BaseException as error:
        note(f"failed:{type(error).__name__}", context.message.task_id)
        raise
    else:
        with closing(sqlite3.connect(f"{FOLDER}/orders", timeout=10)) as connection, connection:
            # A task may be delivered again after it was done: what tells one order from another is its key.
            connection.executemany("INSERT OR IGNORE INTO orders VALUES (?)", [(order,) for order in session.orders])
        note("committed", context.message.task_id)


class Orders(AsyncServiceBase, lifetime="scoped"):
    """Takes orders, each once however often it is told."""

    def __init__(self, session: Session) -> None:
        self.session = session

    async def place(self, number: int, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self.session.orders.append(number)


url = os.environ["SHOP_REDIS"]
#: A killed worker's messages are taken over after 1.5 s, and the lock for that, if it died with it, after 2.
#: With a timeout of the socket a worker may miss that its fetching is cancelled, on CPython 3.11.
broker = RedisStreamBroker(
    url,
    queue_name="shop",
    idle_timeout=1500,
    unacknowledged_lock_timeout=2,
    xread_block=200,
    xread_count=10,
    socket_timeout=None,
).with_result_backend(RedisAsyncResultBackend(url))
setup(broker, "integrations.taskiq_shop:Shop")


@broker.task
async def place(number: int, orders: From[Orders], seconds: float = 0.0) -> int:
    await orders.place(number, seconds)
    return os.getpid()


@broker.task
def look(number: int, session: From[Session]) -> tuple[int, int]:
    return number, os.getpid()


@broker.task
async def fail(orders: From[Orders]) -> None:
    raise LookupError("no such order")
