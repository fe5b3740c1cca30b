"""Procrastinate: a container for each worker, a scope for each job; in memory, and with a real PostgreSQL."""

import asyncio
import collections
import importlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import psycopg
import pytest
from helpers import Journal, settled
from procrastinate import App, JobContext, RetryStrategy
from procrastinate.jobs import Job
from procrastinate.testing import InMemoryConnector

from asyncmeta import AsyncServiceBase, From, GraphErrors, Inject, Scope, injected
from asyncmeta.integrations.procrastinate import setup

ROOT = Path(__file__).parents[2]
LONG = 60.0  #: seconds after which something that does not come is given up


class Session:
    """Is told how its job ended."""

    def __init__(self):
        self.end = "open"


class Shop(AsyncServiceBase, context=[JobContext, Job]):
    """The application."""


JOURNAL = Journal()


async def open_pool() -> AsyncIterator[str]:
    with JOURNAL.noting("pool"):
        yield "pool"


async def open_session(pool: Annotated[str, Inject("pool")]) -> AsyncIterator[Session]:
    session = Session()
    try:
        yield session
    except BaseException as error:
        await asyncio.sleep(0)
        session.end = f"rolled back: {type(error).__name__}"
        raise
    else:
        session.end = "committed"
    finally:
        JOURNAL.append(session.end)


Shop.register_dependency("pool", open_pool)
Shop.register_dependency(Session, open_session, lifetime="scoped")


@pytest.fixture(autouse=True)
def journal():
    JOURNAL.clear()
    return JOURNAL


@pytest.fixture
def app():
    """An application whose queue is in memory."""
    app = App(connector=InMemoryConnector())
    setup(app, Shop)
    return app


async def run(app, **options):
    """Run a worker until no job is left; return how many jobs ended how."""
    async with app.open_async():
        await app.run_worker_async(wait=False, install_signal_handlers=False, listen_notify=False, **options)
        return dict(collections.Counter(job["status"] for job in app.connector.jobs.values()))


async def test_marked_parameters_are_filled_in_tasks_of_both_kinds(app, journal):
    """
    Who defers a job passes the others; the scope is closed when the job is marked as done.
    """
    seen = []

    @app.task
    async def work(number: int, session: From[Session]):
        seen.append((number, session.end))

    @app.task
    def plain(number: int, session: From[Session]):
        seen.append((number, session.end))

    await work.defer_async(number=1)
    await plain.defer_async(number=2)

    assert await run(app) == {"succeeded": 2}
    assert seen == [(1, "open"), (2, "open")]
    assert journal == ["+pool", "committed", "committed", "-pool"]


async def test_job_and_its_context_are_values_of_the_scope_which_is_ambient(app):
    """
    Services may ask for the job; injected functions find the scope, also where the task itself asks for nothing.
    """
    seen = []

    @injected
    def inner(scope: From[Scope], context: From[JobContext], job: From[Job]):
        return scope, context, job

    @app.task(pass_context=True)
    async def work(context):
        seen.append((inner()[0] is inner()[0], inner()[1].job is inner()[2] is context.job))

    await work.defer_async()

    assert await run(app) == {"succeeded": 1}
    assert seen == [(True, True)]


async def test_failure_reaches_finalizers_and_each_try_has_a_scope_of_its_own(app, journal):
    """
    A job that is tried again has rolled back before.
    """

    @app.task(retry=RetryStrategy(max_attempts=5), pass_context=True)
    async def work(context, session: From[Session]):
        if context.job.attempts < 2:
            raise LookupError

    await work.defer_async()

    assert await run(app) == {"succeeded": 1}
    assert journal[1:-1] == ["rolled back: LookupError"] * 2 + ["committed"]


async def test_commit_that_fails_is_a_failure_of_the_job():
    """
    Nothing is marked as done that was not written.
    """

    class Other(AsyncServiceBase):
        pass

    async def open_session():
        yield "session"
        raise OSError("cannot commit")

    Other.register_dependency("session", open_session, lifetime="scoped")
    app = App(connector=InMemoryConnector())
    setup(app, Other)

    @app.task
    def work(session: Annotated[str, Inject("session")]):
        pass

    await work.defer_async()

    assert await run(app) == {"failed": 1}


async def test_job_cannot_fill_what_is_marked(app, journal):
    """
    Who may defer jobs may not choose the session.
    """

    @app.task
    async def work(session: From[Session]):
        raise AssertionError("it was called")

    await work.defer_async(session="theirs")

    assert await run(app) == {"failed": 1}
    assert journal == ["+pool", "-pool"]


async def test_what_tasks_ask_for_is_checked_when_a_worker_starts(app, journal):
    """
    A worker that could not run its tasks does not start.
    """

    @app.task
    async def work(name: Annotated[str, Inject("poool")]):
        pass

    with pytest.raises(GraphErrors, match=r'"poool", needed by .*work.name'):
        await run(app)
    assert journal == ["+pool", "-pool"]


async def test_task_is_its_function_where_no_worker_runs(app):
    """
    A test calls it with what it asks for; after a worker has ended, too.
    """

    @app.task
    async def work(number: int, session: From[Session]):
        return number, session

    assert await work(1, "fake") == (1, "fake")
    await run(app)
    assert await work(2, "fake") == (2, "fake")


async def test_middleware_of_the_applications_own_lies_inside_of_the_scope(journal):
    """
    Those given to the worker, or to the application, are kept.
    """

    async def mine(call_next, context, worker):
        journal.append("mine")
        return await call_next()

    for there, here in (({"worker_middleware": [mine]}, {}), ({}, {"worker_middleware": [mine]})):
        app = App(connector=InMemoryConnector(), worker_defaults=there)
        setup(app, Shop)

        @app.task
        async def work(session: From[Session]):
            pass

        await work.defer_async()
        assert await run(app, **here) == {"succeeded": 1}
    assert journal == ["+pool", "mine", "committed", "-pool"] * 2


# --- with PostgreSQL --------------------------------------------------------------------------------------------


async def test_plain_job_that_is_aborted_has_its_session_until_its_thread_ends(app):
    """
    A worker that is stopped by force cancels the job, and waits for its thread before it closes what that uses.
    """
    seen = []
    began, go = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    @app.task
    def work(session: From[Session]):
        loop.call_soon_threadsafe(began.set)
        go.wait(LONG)
        seen.append(session.end)

    async with app.open_async():
        await work.defer_async()
        worker = asyncio.create_task(app.run_worker_async(shutdown_graceful_timeout=0))
        await began.wait()
        worker.cancel()
        await settled(100)  # the job has heard of it
        go.set()
        await asyncio.wait([worker])

    assert seen == ["open"]
    assert JOURNAL == ["+pool", "rolled back: CancelledError", "-pool"]


async def test_worker_that_ends_leaves_another_one_its_functions(app):
    """
    Several workers of one application may run in a process; each fills the functions as long as it runs.
    """
    seen = asyncio.Queue()

    @app.task
    async def work(session: From[Session]):
        seen.put_nowait(session.end)

    async with app.open_async():
        first = asyncio.create_task(app.run_worker_async(wait=False, queues=["mail"]))
        second = asyncio.create_task(app.run_worker_async(fetch_job_polling_interval=0.01))
        await first
        await work.defer_async()
        assert await asyncio.wait_for(seen.get(), LONG) == "open"
        second.cancel()
        await asyncio.wait([second])

    with pytest.raises(TypeError, match="session"):
        await work()


@pytest.fixture
def queue(postgresql):
    """A database for the queue."""
    with psycopg.connect(f"{postgresql}/postgres", autocommit=True) as connection:
        connection.execute("CREATE DATABASE procrastinate")
        yield f"{postgresql}/procrastinate"
        connection.execute("DROP DATABASE procrastinate WITH (FORCE)")


def journal_of(folder):
    lines = [line.split() for line in (folder / "journal").read_text().splitlines()]
    return [(words[0], words[1] if len(words) == 3 else "", int(words[-1])) for words in lines]


@contextmanager
def workers(folder, count):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    command = [
        sys.executable, "-m", "procrastinate", "--app", "integrations.procrastinate_shop.app", "worker",
        "--concurrency", "10", "--fetch-job-polling-interval", "0.2",
    ]  # fmt: skip
    with (folder / "log").open("w") as log:
        running = [
            subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
            for _ in range(count)
        ]
    try:
        yield running
    finally:
        for process in running:
            process.kill()
            process.wait()


@pytest.mark.slow
async def test_two_workers_on_postgresql(queue, tmp_path, monkeypatch):
    """
    Each process has one container, each job one scope that is closed; SIGTERM lets those in flight end.
    """
    (tmp_path / "journal").touch()
    monkeypatch.setenv("SHOP_FOLDER", str(tmp_path))
    monkeypatch.setenv("SHOP_POSTGRESQL", queue)
    sys.modules.pop("integrations.procrastinate_shop", None)
    shop = importlib.import_module("integrations.procrastinate_shop")

    async def until(there):
        end = time.monotonic() + LONG
        while not there(journal_of(tmp_path)):
            assert time.monotonic() < end, (tmp_path / "log").read_text()
            await asyncio.sleep(0.05)

    async with shop.app.open_async() as app:
        await app.schema_manager.apply_schema_async()
        with workers(tmp_path, 2) as running:
            await until(lambda lines: sum(what == "open" for what, *_ in lines) == 2)
            for number in range(80):
                await (shop.place if number % 4 else shop.look).defer_async(number=number)
            await shop.stubborn.defer_async()
            await until(lambda lines: sum(what == "committed" for what, *_ in lines) == 81)
            await shop.place.defer_async(number=100, seconds=0.5)
            await until(lambda lines: sum(what == "begin" for what, *_ in lines) == 84)
            for process in running:
                process.send_signal(signal.SIGTERM)
            codes = [await asyncio.to_thread(process.wait, LONG) for process in running]
    sys.modules.pop("integrations.procrastinate_shop", None)

    journal = journal_of(tmp_path)
    assert codes == [0, 0], (tmp_path / "log").read_text()
    opened = [where for what, _, where in journal if what == "open"]
    assert sorted(opened) == sorted(where for what, _, where in journal if what == "close")
    assert len(set(opened)) == len(opened) == 2
    done = [int(number) for what, number, _ in journal if what in ("placed", "looked")]
    assert sorted(done) == [*range(80), 100]
    ends = collections.Counter(what for what, *_ in journal)
    assert ends["begin"] == ends["committed"] + ends["failed:LookupError"] == 84
    assert ends["failed:LookupError"] == 2
    assert ends["gave-in"] == 1
