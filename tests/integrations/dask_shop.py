"""What Dask's worker processes import."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator

from distributed import Worker, get_worker

from asyncmeta import AsyncServiceBase, From, Scope, inject_dependency, injected
from asyncmeta.integrations.dask import scoped

FOLDER = os.environ["SHOP_FOLDER"]


def note(*words: object) -> None:
    """Append a line to what all processes write down."""
    with open(f"{FOLDER}/journal", "a") as file:
        file.write(" ".join(map(str, (*words, os.getpid()))) + "\n")


class Shop(AsyncServiceBase, context=[Worker]):
    """The application."""


class Database:
    """Opened once for each worker."""

    def __init__(self) -> None:
        self.process, self.thread, self.loop = os.getpid(), threading.get_ident(), asyncio.get_running_loop()
        self.rate = 2


class Session:
    """One transaction."""

    def __init__(self, database: Database) -> None:
        self.database = database


@inject_dependency(Database, on=Shop)
async def open_database() -> AsyncIterator[Database]:
    database = Database()
    note("open")
    try:
        yield database
    finally:
        await asyncio.sleep(0)
        note("close" if asyncio.get_running_loop() is database.loop else "elsewhere")


@inject_dependency(Session, lifetime="scoped", on=Shop)
async def open_session(database: Database) -> AsyncIterator[Session]:
    try:
        yield Session(database)
    except BaseException as error:
        await asyncio.sleep(0)
        note(f"failed:{type(error).__name__}")
        raise
    else:
        note("committed")


@scoped
async def on_the_loop(number: int, session: From[Session]) -> tuple[int, int, bool]:
    assert asyncio.get_running_loop() is session.database.loop
    return number, session.database.process, threading.get_ident() == session.database.thread


@scoped
def in_a_thread(number: int, session: From[Session]) -> tuple[int, int, bool]:
    return number, session.database.process, threading.get_ident() == session.database.thread


@scoped
def fail(session: From[Session]) -> None:
    raise LookupError("no such order")


@scoped
async def slow(session: From[Session]) -> None:
    note("sleeping")
    await asyncio.sleep(60)


@injected
def inner(scope: From[Scope]) -> Scope:
    return scope


@scoped
def ambient(worker: From[Worker]) -> bool:
    return inner() is inner() and worker is get_worker()


# --- what is measured: the same with a global by hand -----------------------------------------------------------

@scoped
def rated(number: int, database: From[Database]) -> int:
    return number * database.rate


class Global:
    """What a program without a container has in each process."""

    rate = 2


GLOBAL = Global()


def rated_by_hand(number: int) -> int:
    return number * GLOBAL.rate
