"""A small application that the processes of these tests import by name."""

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator

from asyncmeta import AsyncServiceBase, Container, inject_dependency
from asyncmeta.workers import WorkerContainer

JOURNAL: list[str] = []


class Shop(AsyncServiceBase, context=["job"]):
    """Says where it was opened, and that it was closed."""


class Database:
    def __init__(self) -> None:
        self.loop, self.process, self.closed = asyncio.get_running_loop(), os.getpid(), False
        self.thread = threading.get_ident()


class Session:
    def __init__(self, database: Database) -> None:
        self.database = database
        self.said = "open"


@inject_dependency(Database, on=Shop)
async def open_database() -> AsyncIterator[Database]:
    JOURNAL.append("+database")
    database = Database()
    try:
        yield database
    finally:
        await asyncio.sleep(0)
        database.closed = True
        JOURNAL.append("-database")
        if where := os.environ.get("SHOP_JOURNAL"):
            note(where, f"closed {os.getpid()}")


@inject_dependency(Session, lifetime="scoped", on=Shop)
async def open_session(database: Database) -> AsyncIterator[Session]:
    session = Session(database)
    try:
        yield session
    except BaseException as error:
        session.said = f"rolled back: {type(error).__name__}"
        raise
    else:
        session.said = "committed"
    finally:
        JOURNAL.append(session.said)


@inject_dependency("settings", on=Shop)
def read_settings() -> dict[str, str]:
    return {"name": "shop"}


def note(where: str, line: str) -> None:
    """Append a line to a file that several processes write."""
    with open(where, "a") as file:
        file.write(f"{line}\n")


def begin(worker: WorkerContainer, where: str) -> None:
    """Open *worker* in a new process, and write its end down in a file."""
    os.environ["SHOP_JOURNAL"] = where  # a fork server has the environment of its own beginning
    worker.open()


def make_container() -> Container:
    return Container(Shop)


class Broken(AsyncServiceBase):
    """Cannot be opened."""


@inject_dependency("broken", on=Broken)
async def fail() -> None:
    raise OSError("no database")


def exit_quietly() -> None:
    sys.exit(0)
