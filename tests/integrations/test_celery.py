"""Celery: a container for each process of the pool, a scope for each task, async ones among them."""

import asyncio
import collections
import functools
import gc
import importlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import pytest
import servers
from celery import Celery, Task, signals
from celery.app.task import Context
from celery.exceptions import Retry, SoftTimeLimitExceeded
from helpers import Journal

from asyncmeta import AsyncServiceBase, ContainerError, FinalizationErrors, From, GraphErrors, Inject, Scope, injected
from asyncmeta.integrations.celery import setup

ROOT = Path(__file__).parents[2]
LONG = 60.0  #: seconds after which something that does not come is given up


class Session:
    """Is told how its task ended."""

    def __init__(self):
        self.end = "open"


class Shop(AsyncServiceBase, context=[Task, Context]):
    """The application."""


JOURNAL = Journal()


async def open_session() -> AsyncIterator[Session]:
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


Shop.register_dependency(Session, open_session, lifetime="scoped")


@pytest.fixture(autouse=True)
def journal():
    JOURNAL.clear()
    return JOURNAL


@pytest.fixture
def make_app():
    """Makes applications that run tasks where they are sent."""
    workers = []

    def make_app(source=Shop, **options):
        app = Celery("shop", set_as_current=False, broker="memory://", backend="cache+memory://")
        app.conf.update(task_always_eager=True, task_store_eager_result=False)
        workers.append(setup(app, source, **options))
        app.task = functools.partial(app.task, shared=False)  # else it would be one of the next test's, too
        return app

    make_app.workers = workers
    yield make_app
    for worker in workers:
        worker.close()


@pytest.fixture
def app(make_app):
    return make_app()


def test_async_task_that_sends_another_one_where_that_is_called_at_once(app):
    """
    It would wait for itself: the error says what to do, and that can be done.
    """

    @app.task
    async def mail(name: str, session: From[Session]) -> str:
        return f"mailed {name}"

    @app.task
    async def order(session: From[Session]) -> str:
        return mail.delay("tea").get(disable_sync_subtasks=False)

    @app.task
    async def order_from_a_thread(session: From[Session]) -> str:
        return (await asyncio.to_thread(mail.delay, "tea")).get(disable_sync_subtasks=False)

    with pytest.raises(ContainerError, match=r"send it from a thread: await asyncio\.to_thread\(task\.delay, \.\.\.\)"):
        order.delay().get()
    assert order_from_a_thread.delay().get() == "mailed tea"


class Starting:
    """What sends Celery's signals: a worker that begins."""

    def __init__(self, app):
        self.app = app


# --- tasks where they are sent ------------------------------------------------------------------------------------


def test_marked_parameters_are_filled_in_tasks_of_both_kinds(app, journal):
    """
    Who sends a task passes the others only, which Celery checks; the scope is closed when the result is there.
    """

    @app.task
    async def work(number: int, session: From[Session], *, again: From[Session]):
        return number, session is again, session.end

    @app.task
    def plain(number: int, session: From[Session]):
        return number, session.end

    assert work.delay(7).get() == (7, True, "open")
    assert plain.delay(number=8).get() == (8, "open")
    assert journal == ["committed"] * 2
    with pytest.raises(TypeError):
        work.delay()
    with pytest.raises(TypeError):
        work.delay(1, 2)


def test_message_cannot_fill_what_is_marked(app, journal):
    """
    Neither by name nor by position, whatever the sender checks.
    """

    @app.task(typing=False)
    def work(number: int, session: From[Session]):
        raise AssertionError("it was called")

    @app.task(typing=False, bind=True)
    async def bound(self, number: int, session: From[Session]):
        raise AssertionError("it was called")

    for task in (work, bound):
        for args, named in (((1, "theirs"), {}), ((1,), {"session": "theirs"})):
            with pytest.raises(TypeError):
                task.apply_async(args, named).get()
    assert journal == []


def test_task_that_was_made_too_early_is_refused():
    """
    Where the application is finalized, its tasks have no scope any more; those with marks are named, with the cure.
    """
    app = Celery("shop", set_as_current=False)

    @app.task(shared=False)
    def order(name: str, session: From[Session]): ...

    app.finalize()

    with pytest.raises(GraphErrors, match=r"nobody fills session of order, task .*: call setup\(app, ...\) before the tasks"):
        setup(app, Shop)


def test_task_with_a_base_that_is_not_the_applications_is_refused_by_the_worker(app):
    """
    Nobody would fill its marked parameter but a message: the worker does not start.
    """

    class Base(Task): ...

    @app.task(base=Base)
    def order(name: str, session: From[Session]): ...

    with pytest.raises(SystemExit, match=r"nobody fills session of order, .* derive their base classes from app.Task"):
        signals.worker_init.send(sender=Starting(app))


def test_worker_of_another_application_opens_nothing(make_app, journal):
    """
    The signals are those of every application of a process; what one cannot serve is of no matter to the other's worker.
    """
    app, other = make_app(), make_app()

    @app.task
    def order(name: Annotated[str, Inject("nowhere")]): ...

    @other.task
    def refund(session: From[Session]):
        return session

    signals.worker_init.send(sender=Starting(other))
    signals.worker_process_init.send(sender=None)
    try:
        opened = [worker for worker in make_app.workers if repr(worker).startswith("<open")]
        assert refund.delay().get().end == "committed"
    finally:
        signals.worker_process_shutdown.send(sender=None)
    assert len(opened) == 1


def test_bound_task_has_itself_and_its_request(app):
    """
    Services may ask for the task and for its request, where the application declares them.
    """

    @app.task(bind=True)
    async def work(self, task: From[Task], request: From[Context]):
        return task is self, request.id == self.request.id

    assert work.delay().get() == (True, True)


def test_class_of_a_task_may_be_written_out(app):
    """
    A class on top of the application's own is as good as a function.
    """

    class Work(app.Task):
        name = "work"

        async def run(self, number: int, session: From[Session]):
            return self.name, number, session.end

    task = app.register_task(Work())

    assert task.delay(3).get() == ("work", 3, "open")


def test_scope_is_ambient(app):
    """
    Injected functions find it, in tasks of both kinds.
    """

    @injected
    def inner(scope: From[Scope]):
        return scope

    @app.task
    def work():
        return inner() is inner()

    @app.task
    async def work_async():
        return inner() is inner()

    assert work.delay().get() is work_async.delay().get() is True


def test_failure_reaches_finalizers(app, journal):
    """
    A failed task rolls back, whatever it is.
    """

    @app.task
    async def fail(session: From[Session]):
        raise LookupError("no such order")

    @app.task
    def fail_plain(session: From[Session]):
        raise LookupError("no such order")

    for task in (fail, fail_plain):
        with pytest.raises(LookupError):
            task.delay().get()
    assert journal == ["rolled back: LookupError"] * 2


def test_retried_task_has_a_new_scope(app, journal):
    """
    Celery's own retries see the failure of an async task, and what it raises itself.
    """

    @app.task(bind=True, autoretry_for=(LookupError,), max_retries=5, default_retry_delay=0)
    async def automatic(self, session: From[Session]):
        if self.request.retries < 2:
            raise LookupError
        return self.request.retries

    @app.task(bind=True, max_retries=5, default_retry_delay=0)
    async def by_hand(self, session: From[Session]):
        if self.request.retries < 1:
            raise self.retry()
        return self.request.retries

    assert automatic.delay().get() == 2
    assert by_hand.delay().get() == 1
    assert journal == [
        *["rolled back: LookupError"] * 2, "committed",
        f"rolled back: {Retry.__name__}", "committed",
    ]  # fmt: skip


def test_commit_that_fails_is_a_failure_of_the_task(make_app):
    """
    Nothing is taken for done that was not written.
    """

    class App(AsyncServiceBase):
        pass

    async def open_session():
        yield "session"
        raise OSError("cannot commit")

    App.register_dependency("session", open_session, lifetime="scoped")
    app = make_app(App)

    @app.task
    def work(session: Annotated[str, Inject("session")]):
        return "done"

    with pytest.raises(FinalizationErrors):
        work.delay().get()


# --- a real worker ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def redis():
    with servers.redis(servers.free_port()) as url:
        yield url


@pytest.fixture
def shop(redis, tmp_path, monkeypatch):
    """The tasks, in a process that only sends them."""
    (tmp_path / "journal").touch()
    monkeypatch.setenv("SHOP_FOLDER", str(tmp_path))
    monkeypatch.setenv("SHOP_REDIS", redis)
    sys.modules.pop("integrations.celery_shop", None)
    module = importlib.import_module("integrations.celery_shop")
    yield module
    gc.collect()  # a result that goes asks the server for something
    module.app.backend.result_consumer.stop()
    module.app.close()
    module.app.backend.client.close()
    sys.modules.pop("integrations.celery_shop", None)


@contextmanager
def running(folder, *options, app="integrations.celery_shop:app"):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    command = [sys.executable, "-m", "celery", "-A", app, "worker", "--loglevel", "INFO", *options]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
        )
    try:
        yield process
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()


def journal_of(folder):
    lines = [line.split() for line in (folder / "journal").read_text().splitlines()]
    return [(words[0], words[1] if len(words) == 3 else "", int(words[-1])) for words in lines]


@pytest.mark.slow
@pytest.mark.parametrize("pool", [["--pool", "prefork", "-c", "2"], ["--pool", "threads", "-c", "4"]], ids=["prefork", "threads"])
def test_worker_has_a_container_for_each_process(shop, tmp_path, pool):
    """
    One container for each process of the pool, a scope for each task, and all is closed when SIGTERM comes.
    """
    with running(tmp_path, *pool) as process:
        sent = [shop.place.delay(number) for number in range(60)] + [shop.look.delay(number) for number in range(60)]
        more = shop.whose.delay(), shop.stubborn.delay()
        answers = [one.get(timeout=LONG) for one in sent]
        assert [one.get(timeout=LONG) for one in more] == [True, 2]
        if "prefork" in pool:
            limited = shop.slow.delay(), shop.slow_plain.delay()
            with pytest.raises(SoftTimeLimitExceeded):
                limited[0].get(timeout=LONG)
            assert limited[1].get(timeout=LONG) == "in time"
        flying = [shop.place.delay(number, seconds=0.5) for number in range(2)]
        end = time.monotonic() + LONG
        while flying[0].id not in (tmp_path / "journal").read_text():
            assert time.monotonic() < end
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        code = process.wait(LONG)

    processes = {where for _, where in answers}
    journal = journal_of(tmp_path)
    opened = [where for what, _, where in journal if what == "open"]
    assert sorted(opened) == sorted(where for what, _, where in journal if what == "close")
    assert len(opened) == len(set(opened)) == (2 if "prefork" in pool else 1)
    assert processes <= set(opened)
    begun = collections.Counter(task for what, task, _ in journal if what == "begin")
    ended = collections.Counter(task for what, task, _ in journal if what == "committed" or what.startswith("failed"))
    assert begun == ended
    assert ("committed", flying[0].id) in {(what, task) for what, task, _ in journal}
    assert sum(what == "failed:LookupError" for what, *_ in journal) == 2
    if "prefork" in pool:
        assert sum(what == "failed:CancelledError" for what, *_ in journal) == 1  # the soft limit of the async one
    assert code == 0, (tmp_path / "log").read_text()


@pytest.mark.slow
def test_worker_whose_tasks_ask_for_nothing_that_is_there_does_not_start(redis, tmp_path):
    """
    What the tasks ask for is checked before a pool is started.
    """
    (tmp_path / "broken.py").write_text(
        "from celery import Celery\n"
        "from typing import Annotated\n"
        "from asyncmeta import AsyncServiceBase, Inject\n"
        "from asyncmeta.integrations.celery import setup\n"
        "class Shop(AsyncServiceBase): ...\n"
        f"app = Celery('shop', broker={redis!r})\n"
        "setup(app, 'broken:Shop')\n"
        "@app.task\n"
        "def work(name: Annotated[str, Inject('nowhere')]): ...\n"
    )
    with running(tmp_path, "-c", "1", app="broken:app") as process:
        code = process.wait(LONG)

    assert code != 0
    assert 'nothing provides "nowhere", needed by work.name' in (tmp_path / "log").read_text()
