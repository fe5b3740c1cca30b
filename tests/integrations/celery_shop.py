"""What Celery's worker processes import: an application on a redis-server, and tasks of both kinds."""

import asyncio
import os
import time
from collections.abc import AsyncIterator

from celery import Celery, Task
from celery.exceptions import SoftTimeLimitExceeded

from asyncmeta import AsyncServiceBase, From, inject_dependency
from asyncmeta.integrations.celery import setup

FOLDER = os.environ["SHOP_FOLDER"]


def note(*words: object) -> None:
    """Append a line to what all processes write down."""
    with open(f"{FOLDER}/journal", "a") as file:
        file.write(" ".join(map(str, (*words, os.getpid()))) + "\n")


class Shop(AsyncServiceBase, context=[Task]):
    """The application."""


class Database:
    """Opened once for each process."""

    def __init__(self) -> None:
        self.process, self.loop = os.getpid(), asyncio.get_running_loop()


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

    def __init__(self, database: Database, task: str) -> None:
        self.database, self.task = database, task


@inject_dependency(Session, lifetime="scoped", on=Shop)
async def open_session(database: Database, task: Task) -> AsyncIterator[Session]:
    note("begin", task.request.id)
    try:
        yield Session(database, task.request.id)
    except BaseException as error:
        await asyncio.sleep(0)
        note(f"failed:{type(error).__name__}", task.request.id)
        raise
    else:
        note("committed", task.request.id)


app = Celery("shop", broker=os.environ["SHOP_REDIS"], backend=os.environ["SHOP_REDIS"])
app.conf.update(worker_hijack_root_logger=False, broker_connection_retry_on_startup=True, task_acks_late=True)
setup(app, "integrations.celery_shop:Shop")


@app.task
async def place(number: int, session: From[Session], seconds: float = 0.0) -> list[int]:
    assert asyncio.get_running_loop() is session.database.loop
    await asyncio.sleep(seconds)
    return [number, session.database.process]


@app.task
def look(number: int, session: From[Session]) -> list[int]:
    assert session.database.process == os.getpid()
    return [number, os.getpid()]


@app.task(bind=True)
async def whose(self: Task, session: From[Session]) -> bool:
    return self.request.id == session.task


@app.task(bind=True, autoretry_for=(LookupError,), max_retries=3, default_retry_delay=0)
async def stubborn(self: Task, session: From[Session]) -> int:
    if self.request.retries < 2:
        raise LookupError
    return self.request.retries


@app.task(soft_time_limit=1)
async def slow(session: From[Session]) -> str:
    await asyncio.sleep(60)
    return "never"


@app.task(soft_time_limit=1)
def slow_plain(session: From[Session]) -> str:
    try:
        time.sleep(60)
    except SoftTimeLimitExceeded:
        return "in time"
    return "never"
