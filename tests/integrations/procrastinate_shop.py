"""What Procrastinate's worker processes import."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator

from procrastinate import App, JobContext, PsycopgConnector, RetryStrategy

from asyncmeta import AsyncServiceBase, From, inject_dependency
from asyncmeta.integrations.procrastinate import setup

FOLDER = os.environ["SHOP_FOLDER"]


def note(*words: object) -> None:
    """Append a line to what all processes write down."""
    with open(f"{FOLDER}/journal", "a") as file:
        file.write(" ".join(map(str, (*words, os.getpid()))) + "\n")


class Shop(AsyncServiceBase, context=[JobContext]):
    """The application."""


class Database:
    """Opened once for each process."""

    def __init__(self) -> None:
        self.loop, self.thread = asyncio.get_running_loop(), threading.get_ident()


class Session:
    """One transaction."""

    def __init__(self, database: Database) -> None:
        self.database = database


@inject_dependency(Database, on=Shop)
async def open_database() -> AsyncIterator[Database]:
    note("open")
    try:
        yield Database()
    finally:
        await asyncio.sleep(0)
        note("close")


@inject_dependency(Session, lifetime="scoped", on=Shop)
async def open_session(database: Database, context: JobContext) -> AsyncIterator[Session]:
    note("begin", context.job.id)
    try:
        yield Session(database)
    except BaseException as error:
        await asyncio.sleep(0)
        note(f"failed:{type(error).__name__}", context.job.id)
        raise
    else:
        note("committed", context.job.id)


app = App(connector=PsycopgConnector(conninfo=os.environ["SHOP_POSTGRESQL"]))
setup(app, "integrations.procrastinate_shop:Shop")


@app.task(queue="shop")
async def place(number: int, session: From[Session], seconds: float = 0.0) -> None:
    assert asyncio.get_running_loop() is session.database.loop
    await asyncio.sleep(seconds)
    note("placed", number)


@app.task(queue="shop")
def look(number: int, session: From[Session]) -> None:
    assert threading.get_ident() != session.database.thread
    note("looked", number)


@app.task(queue="shop", retry=RetryStrategy(max_attempts=5), pass_context=True)
async def stubborn(context: JobContext, session: From[Session]) -> None:
    if context.job.attempts < 2:
        raise LookupError
    note("gave-in", context.job.id)
