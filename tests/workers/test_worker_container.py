"""One container for a worker process: opened once, used by functions of both kinds, closed once."""

import asyncio
import concurrent.futures
import contextvars
import functools
import gc
import inspect
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Annotated

import pytest
from helpers import LIMIT, collected, fresh_app, settled

from asyncmeta import (
    ClosedError,
    Container,
    ContainerError,
    DeclarationError,
    FinalizationErrors,
    From,
    GraphErrors,
    Inject,
    injected,
)
from asyncmeta.workers import WorkerContainer, check, container_of, in_thread
from asyncmeta.workers.life import Life
from asyncmeta.workers.runs import Here

from . import shop
from .shop import JOURNAL, Broken, Database, Session, Shop

HERE = f"{shop.__name__}:Shop"
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def journal():
    JOURNAL.clear()
    yield JOURNAL
    JOURNAL.clear()


@pytest.fixture
def worker():
    with WorkerContainer(Shop) as worker:
        yield worker


async def where(session: From[Session]):
    assert asyncio.get_running_loop() is session.database.loop
    return session


def where_plain(session: From[Session]):
    assert asyncio._get_running_loop() is None
    return session


def run_program(text, **environment):
    """Run *text* in a Python of its own, where the modules of the tests can be imported."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", text], env={**os.environ, "PYTHONPATH": path, **environment},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip


# --- whence ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", [HERE, f"{shop.__name__}:make_container", Shop, shop.make_container, Container(Shop)])
def test_container_comes_from_a_path_a_class_a_function_or_is_there(source):
    """
    What an engine can send by name is as good as the thing itself.
    """
    container = container_of(source)

    assert container.get_nowait("settings") == {"name": "shop"}


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("shop", "write package.module:Application"),
        ("os; import sys:x", "write package.module:Application"),
        (f"{shop.__name__}:Shopp", "did you mean Shop?"),
        (f"{shop.__name__}:Database", "neither a class derived from AsyncServiceBase"),
        (f"{shop.__name__}:JOURNAL", "neither a class derived from AsyncServiceBase"),
        (lambda: 1, "makes a int, and a worker needs a Container"),
    ],
)
def test_what_is_no_application_is_refused(source, told):
    """
    A wrong path is told with what may have been meant.
    """
    with pytest.raises(DeclarationError) as caught:
        container_of(source)

    assert told in str(caught.value)


# --- functions -------------------------------------------------------------------------------------------


def test_coroutine_function_runs_in_the_containers_loop(worker, journal):
    """
    Marked parameters are filled in a scope of the call, which is closed when the call returns.
    """
    first, again = worker.run(where), worker.run(where)

    assert first is not again
    assert first.said == again.said == "committed"
    assert first.database is again.database
    assert first.database.thread != threading.get_ident()


def test_plain_function_runs_in_its_callers_thread_with_values_of_the_loop(worker):
    """
    What a plain function gets may have to be awaited.
    """

    def work(number: int, session: From[Session]):
        return number, threading.get_ident(), session

    number, thread, session = worker.run(work, 7)

    assert (number, thread) == (7, threading.get_ident())
    assert session.said == "committed"


@pytest.mark.parametrize("way", ["run", "arun"])
def test_generators_are_refused(worker, journal, way):
    """
    Their bodies would run when the scope has ended, and commit what they have not done yet.
    """

    def orders(session: From[Session]):
        yield session

    async def aorders(session: From[Session]):
        yield session

    for function in (orders, aorders, functools.partial(orders)):
        with pytest.raises(TypeError, match="is a generator, and would run when its scope has ended"):
            worker.run(function) if way == "run" else asyncio.run(worker.arun(function))
    assert journal == ["+database"]


@pytest.mark.parametrize("way", ["run", "arun"])
def test_async_function_below_a_plain_decorator_is_awaited(worker, journal, way):
    """
    The coroutine that a plain function returns runs in the container's loop, in the scope of the call.
    """

    def plain(function):
        @functools.wraps(function)
        def call(*args, **named):
            return function(*args, **named)

        return call

    @plain
    async def order(name: str, session: From[Session]):
        await asyncio.sleep(0)
        assert asyncio.get_running_loop() is session.database.loop
        return name, session.said

    answer = worker.run(order, "tea") if way == "run" else asyncio.run(worker.arun(order, "tea"))

    assert answer == ("tea", "open")
    assert journal[-1] == "committed"


@pytest.mark.parametrize("kind", ["async", "plain"])
def test_failure_reaches_finalizers_and_the_caller(worker, journal, kind):
    """
    The exception is the caller's own, and the session has rolled back before it comes.
    """
    failure = LookupError("no such order")

    async def fail(session: From[Session]):
        raise failure

    def fail_plain(session: From[Session]):
        raise failure

    with pytest.raises(LookupError) as caught:
        worker.run(fail if kind == "async" else fail_plain)

    assert caught.value is failure
    assert journal[-1] == "rolled back: LookupError"


@pytest.mark.parametrize("kind", ["async", "plain"])
@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
def test_what_ends_a_program_ends_the_caller_and_not_the_loop(worker, kind, error):
    """
    SystemExit of a task is its caller's affair; the container lives on.
    """

    async def leave(session: From[Session]):
        raise error

    def leave_plain(session: From[Session]):
        raise error

    with pytest.raises(type(error)) as caught:
        worker.run(leave if kind == "async" else leave_plain)

    assert caught.value is error
    assert worker.run(where).said == "committed"


def test_failing_commit_is_the_failure_of_the_call():
    """
    Closing the scope belongs to the call: what it raises is raised.
    """
    App = fresh_app()

    async def open_session():
        yield "session"
        raise OSError("cannot commit")

    App.register_dependency("session", open_session, lifetime="scoped")

    async def work(session: Annotated[str, Inject("session")]):
        return session

    with WorkerContainer(App) as worker, pytest.raises(FinalizationErrors) as caught:
        worker.run(work)

    assert "cannot commit" in str(caught.value.exceptions[0])


def test_scope_is_ambient_and_the_callers_context_is_seen(worker):
    """
    Injected functions that a task calls find the task's scope; context variables of the caller are there.
    """
    variable = contextvars.ContextVar("variable", default="unset")
    variable.set("the caller's")

    @injected
    async def inner(session: From[Session]):
        return session

    @injected
    def inner_plain(session: From[Session]):
        return session

    async def work(session: From[Session]):
        return await inner() is session, variable.get()

    def work_plain(session: From[Session]):
        return inner_plain() is session, variable.get()

    assert worker.run(work) == worker.run(work_plain) == (True, "the caller's")


def test_context_values_are_given_where_they_are_declared(worker):
    """
    An engine offers what it has; an application that does not declare it is served all the same.
    """

    async def work(job: Annotated[str, Inject("job")]):
        return job

    assert worker.call(work, context={"job": "number 7", "other": 1}) == "number 7"


def test_threads_share_one_container(worker, journal):
    """
    However many threads run functions, there is one container, and a scope for each call.
    """
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        sessions = list(pool.map(lambda n: worker.run((where, where_plain)[n % 2]), range(100)))

    assert len({id(session) for session in sessions}) == 100
    assert {session.said for session in sessions} == {"committed"}
    assert journal.count("+database") == 1


@pytest.mark.slow
def test_interrupted_caller_cancels_the_function_and_waits_for_its_end():
    """
    A time limit that raises in the waiting thread, as Celery's soft one does, leaves nothing behind.
    """
    program = f"""
import asyncio, os, signal, threading
from asyncmeta import From
from asyncmeta.workers import WorkerContainer
from {shop.__name__} import JOURNAL, Session, Shop

class TimeUp(Exception): ...
def interrupt(*_): raise TimeUp
signal.signal(signal.SIGUSR1, interrupt)

async def slow(session: From[Session]):
    threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1)).start()
    await asyncio.sleep(60)

with WorkerContainer(Shop) as worker:
    try:
        worker.run(slow)
    except TimeUp:
        print("time is up", JOURNAL)
"""
    done = run_program(program)

    assert done.stdout == "time is up ['+database', 'rolled back: CancelledError']\n", done.stderr


# --- on the caller's loop ----------------------------------------------------------------------------------


async def test_it_opens_on_the_running_loop_too(journal):
    """
    Where the engine has a loop, the container lives there, and its functions are awaited.
    """
    async with WorkerContainer(Shop) as worker:
        session, plain = await worker.arun(where), await worker.arun(where_plain)

        assert session.database.loop is asyncio.get_running_loop()
        assert session.database is plain.database
        assert await asyncio.to_thread(worker.run, where_plain) is not plain
    assert journal[-1] == "-database"


async def test_blocking_the_loop_that_would_have_to_work_is_refused():
    """
    What would wait for ever says what to write instead.
    """
    async with WorkerContainer(Shop) as worker:
        for blocking in (lambda: worker.run(where), worker.close, worker.health):
            with pytest.raises(ContainerError, match="await worker"):
                blocking()


async def test_coroutine_of_another_loop_waits_for_the_containers(worker):
    """
    A container in a thread serves a loop that is somebody else's; cancelled there, the function is cancelled here.
    """
    begun = threading.Event()

    async def slow(session: From[Session]):
        begun.set()
        await asyncio.sleep(60)

    task = asyncio.create_task(worker.arun(slow))
    await asyncio.to_thread(begun.wait, LIMIT)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert JOURNAL[-1] == "rolled back: CancelledError"
    assert (await worker.arun(where)).said == "committed"


async def test_plain_function_that_is_cancelled_keeps_its_scope_to_its_end(worker):
    """
    Whoever waits is cancelled when the thread has ended: until then it uses what its scope holds.
    """
    begun, go, seen = threading.Event(), threading.Event(), []

    def slow(session: From[Session]):
        begun.set()
        go.wait(LIMIT)
        seen.append(session.said)

    task = asyncio.create_task(worker.arun(slow))
    await asyncio.to_thread(begun.wait, LIMIT)
    task.cancel()
    await worker.arun(where)  # behind the word that the other one is cancelled
    go.set()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == ["open"]
    assert JOURNAL[-1] == "rolled back: CancelledError"


async def test_what_a_cancelled_thread_raises_is_raised():
    """
    `in_thread` prefers what its function has raised to the cancellation, which it knows of, too.
    """
    begun, go = threading.Event(), threading.Event()

    def work(number: int) -> int:
        begun.set()
        go.wait(LIMIT)
        return 1 // number

    run = in_thread(work)
    assert inspect.signature(run) == inspect.signature(work)
    go.set()
    assert await run(1) == 1
    go.clear()
    begun.clear()
    task = asyncio.create_task(run(0))
    await asyncio.to_thread(begun.wait, LIMIT)
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0)
    go.set()

    with pytest.raises(ZeroDivisionError):
        await task


async def test_tasks_that_open_it_at_once_open_it_once(journal):
    """
    The first of many opens, the others wait for it.
    """
    worker = WorkerContainer(Shop)
    await asyncio.gather(*(worker.arun(where) for _ in range(20)))
    await worker.aclose()

    assert journal.count("+database") == journal.count("-database") == 1


# --- opening and closing -------------------------------------------------------------------------------------


def test_first_use_opens_it_and_closing_twice_is_closing_once(journal):
    """
    Nothing has to be called before the first task; after closing everything is refused until it is opened anew.
    """
    worker = WorkerContainer(HERE)
    assert worker.get_nowait("settings") == {"name": "shop"}
    assert journal == ["+database"]
    worker.close()
    worker.close()

    for use in (lambda: worker.run(where), lambda: worker.get_nowait("settings"), lambda: worker.container, worker.health):
        with pytest.raises(ClosedError):
            use()
    assert journal == ["+database", "-database"]
    assert worker.open().run(where).said == "committed"
    worker.close()


def test_many_threads_that_use_it_first_open_it_once(journal):
    """
    One opens, the others wait.
    """
    worker = WorkerContainer(Shop)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: worker.run(where), range(16)))
    worker.close()

    assert journal.count("+database") == 1


def test_what_fails_at_opening_is_raised_and_can_be_tried_again():
    """
    A worker that cannot open says why; nothing of it stays.
    """
    worker = WorkerContainer(Broken)

    for _ in range(2):
        with pytest.raises(OSError, match="no database"):
            worker.open()
    assert not any("worker container" in thread.name for thread in threading.enumerate())


async def test_what_fails_at_opening_on_a_loop_is_raised_by_all_who_wait():
    """
    A task that waits for another one's opening hears of its failure, and the next one tries again.
    """
    worker = WorkerContainer(Broken)
    outcomes = await asyncio.gather(worker.aopen(), worker.aopen(), return_exceptions=True)

    assert [type(outcome) for outcome in outcomes] == [OSError, OSError]


def test_what_closing_raises_is_raised():
    """
    A finalizer that fails when the worker ends is heard of.
    """
    App = fresh_app()

    async def open_pool():
        yield "pool"
        raise OSError("cannot close")

    App.register_dependency("pool", open_pool)
    worker = WorkerContainer(App).open()

    with pytest.raises(FinalizationErrors):
        worker.close()


def test_who_runs_while_it_closes_is_told(journal):
    """
    Closing waits for no function: those that still run have failed, and their callers hear of it.
    """
    worker, begun = WorkerContainer(Shop).open(), threading.Event()

    async def slow(session: From[Session]):
        begun.set()
        await asyncio.sleep(60)

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        running = pool.submit(worker.run, slow)
        assert begun.wait(LIMIT)
        with pytest.warns(ResourceWarning, match="was still open"):
            worker.close()
            error = running.exception(LIMIT)

    assert isinstance(error, ClosedError)
    assert journal[-2:] == ["rolled back: ClosedError", "-database"]


def test_health_is_asked_in_the_containers_loop():
    """
    A liveness probe of a worker asks from any thread.
    """
    App = fresh_app()
    App.register_dependency("pool", lambda: "pool", health=lambda pool: None)

    with WorkerContainer(App) as worker:
        report = worker.health()

    assert report.ok


def test_starting_waits_a_random_part_of_jitter(monkeypatch):
    """
    Workers that start together do not all knock at once.
    """
    waited = []

    async def sleep(seconds):
        waited.append(seconds)

    import asyncmeta.workers.container as room

    monkeypatch.setattr(room.asyncio, "sleep", sleep)
    monkeypatch.setattr(room.random, "uniform", lambda low, high: (low + high) / 4)
    WorkerContainer(fresh_app(), jitter=8.0).open().close()

    assert waited == [2.0]


# --- several who open, close and leave at once ---------------------------------------------------------------


def gated():
    """Return an application whose database opens when the gate says so, the gate, and what became of the database."""
    App, told, gate = fresh_app(), [], asyncio.Event()

    async def open_database():
        told.append("+")
        await gate.wait()
        yield Database()
        told.append("-")

    App.register_dependency(Database, open_database)
    return App, gate, told


async def turned():
    """Let all tasks come to their next stop."""
    for _ in range(10):
        await asyncio.sleep(0)


async def uses(database: From[Database]):
    return database


async def test_whoever_waits_opens_it_where_its_opener_is_cancelled():
    """
    A cancellation is of one task only: another one that waited for the opening begins anew, and is served.
    """
    App, gate, told = gated()
    worker = WorkerContainer(App)
    first, second = asyncio.create_task(worker.arun(uses)), asyncio.create_task(worker.arun(uses))
    await turned()
    first.cancel()
    await turned()
    gate.set()

    assert isinstance(await second, Database)
    assert first.cancelled()
    await worker.aclose()
    assert told == ["+", "+", "-"]


async def test_its_opener_goes_on_where_one_that_waits_is_cancelled():
    """
    Who stops waiting takes nothing from the others.
    """
    App, gate, told = gated()
    worker = WorkerContainer(App)
    first, second = asyncio.create_task(worker.arun(uses)), asyncio.create_task(worker.arun(uses))
    await turned()
    second.cancel()
    await turned()
    gate.set()

    assert isinstance(await first, Database)
    assert second.cancelled()
    await worker.aclose()
    assert told == ["+", "-"]


@pytest.mark.parametrize("elsewhere", [False, True], ids=["task", "thread"])
async def test_what_is_being_opened_is_opened_before_it_is_closed(elsewhere):
    """
    A closing that comes too early leaves nothing open behind.
    """
    App, gate, told = gated()
    worker = WorkerContainer(App)
    opening = asyncio.create_task(worker.aopen())
    await turned()
    closing = asyncio.create_task(asyncio.to_thread(worker.close) if elsewhere else worker.aclose())
    await turned()
    assert not closing.done()
    gate.set()
    await asyncio.gather(opening, closing)

    assert told == ["+", "-"]
    with pytest.raises(ClosedError):
        await worker.arun(uses)


async def test_a_loop_is_not_blocked_by_a_thread_that_opens():
    """
    Tasks of a loop go on while one of them waits for what another thread opens.
    """
    App, begun, gate = fresh_app(), threading.Event(), threading.Event()

    async def open_database():
        begun.set()
        await asyncio.to_thread(gate.wait, LIMIT)
        return Database()

    App.register_dependency(Database, open_database)
    worker = WorkerContainer(App)
    opening = asyncio.create_task(asyncio.to_thread(worker.open))
    await asyncio.to_thread(begun.wait, LIMIT)
    running = asyncio.create_task(worker.arun(uses))
    await turned()
    assert not running.done()
    gate.set()

    assert isinstance(await running, Database)
    await opening
    await worker.aclose()


@pytest.mark.slow
@pytest.mark.parametrize("first", ["worker.open()", "worker.run(where)"])
def test_interrupted_opening_leaves_nothing_behind(first):
    """
    A time limit that ends the opening ends what was begun for it, with its thread; the next one opens anew.
    """
    program = f"""
import asyncio, os, signal, threading
from asyncmeta import AsyncServiceBase, From, inject_dependency
from asyncmeta.workers import WorkerContainer

class TimeUp(Exception): ...
def interrupt(*_): raise TimeUp
signal.signal(signal.SIGUSR1, interrupt)

class App(AsyncServiceBase): ...
told = []

@inject_dependency("pool", on=App)
async def open_pool():
    told.append("+")
    try:
        if len(told) == 1:
            threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1)).start()
            await asyncio.sleep(60)
        yield
    finally:
        told.append("-")

async def where():
    return threading.active_count()

worker = WorkerContainer(App)
try:
    {first}
except TimeUp:
    print("time is up", *told, *(one.name for one in threading.enumerate() if "worker" in one.name))
with worker:
    worker.run(where)
print(*told)
"""
    done = run_program(program)

    assert done.stdout == "time is up + -\n+ - + -\n", done.stderr


@pytest.mark.slow
def test_interrupted_function_that_goes_on_has_failed():
    """
    What was begun is not kept where a function swallows its cancellation and returns.
    """
    program = f"""
import asyncio, os, signal, threading
from asyncmeta import From
from asyncmeta.workers import WorkerContainer
from {shop.__name__} import JOURNAL, Session, Shop

class TimeUp(Exception): ...
def interrupt(*_): raise TimeUp
signal.signal(signal.SIGUSR1, interrupt)

async def stubborn(session: From[Session]):
    threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1)).start()
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        return "done"

with WorkerContainer(Shop) as worker:
    try:
        worker.run(stubborn)
    except TimeUp:
        print("time is up", JOURNAL)
"""
    done = run_program(program)

    assert done.stdout == "time is up ['+database', 'rolled back: CancelledError']\n", done.stderr


@pytest.mark.parametrize("elsewhere", [False, True], ids=["its loop", "another loop"])
async def test_cancelled_function_that_goes_on_has_failed(journal, elsewhere):
    """
    The same where a task awaits it, in the container's loop or in another one.
    """
    worker, begun = WorkerContainer(Shop), threading.Event()
    await (asyncio.to_thread(worker.open) if elsewhere else worker.aopen())

    async def stubborn(session: From[Session]):
        begun.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return "done"

    task = asyncio.create_task(worker.arun(stubborn))
    await asyncio.to_thread(begun.wait, LIMIT)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    await worker.aclose()
    assert journal == ["+database", "rolled back: CancelledError", "-database"]


@pytest.mark.parametrize("fails", [False, True], ids=["returns", "raises"])
def test_plain_function_that_the_closing_meets_is_told(journal, fails):
    """
    Its scope has failed; its caller hears that, or the error of its own with which it ends.
    """
    worker, begun, gate = WorkerContainer(Shop).open(), threading.Event(), threading.Event()

    def slow(session: From[Session]):
        begun.set()
        assert gate.wait(LIMIT)
        if fails:
            raise ValueError("no such order")

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        running = pool.submit(worker.run, slow)
        assert begun.wait(LIMIT)
        with pytest.warns(ResourceWarning, match="was still open"):
            worker.close()
        gate.set()
        error = running.exception(LIMIT)

    assert type(error) is (ValueError if fails else ClosedError)
    assert journal == ["+database", "rolled back: ClosedError", "-database"]


@pytest.mark.parametrize("began", [True, False], ids=["opening", "not yet"])
def test_interrupt_that_meets_the_start_of_its_thread(monkeypatch, began):
    """
    Whether its loop is there already or not, the thread ends, and nothing stays open.
    """
    App, told, begun, given_up = fresh_app(), [], threading.Event(), threading.Event()

    async def open_database():
        told.append("+")
        begun.set()
        await (asyncio.Event().wait() if len(told) == 1 else asyncio.sleep(0))
        return Database()

    App.register_dependency(Database, open_database)
    start, enter, give_up = threading.Thread.start, asyncio.Runner.__enter__, Life.give_up

    def interrupted(thread):
        start(thread)
        assert not began or begun.wait(LIMIT)
        raise KeyboardInterrupt

    def late(runner):
        assert began or given_up.wait(LIMIT)
        return enter(runner)

    def noted(life):
        life._given_up = True
        given_up.set()
        give_up(life)

    worker = WorkerContainer(App)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", interrupted)
        patched.setattr(asyncio.Runner, "__enter__", late)
        patched.setattr(Life, "give_up", noted)
        with pytest.raises(KeyboardInterrupt):
            worker.open()

    assert told == (["+"] if began else [])
    assert not any("worker container" in thread.name for thread in threading.enumerate())
    told.append("later")
    with worker:
        assert isinstance(worker.run(uses), Database)


def test_threads_that_open_it_at_once_open_it_once(monkeypatch):
    """
    The second one waits for what the first has begun.
    """
    App, told, begun, gate = fresh_app(), [], threading.Event(), threading.Event()

    async def open_database():
        told.append("+")
        begun.set()
        await asyncio.to_thread(gate.wait, LIMIT)
        return Database()

    App.register_dependency(Database, open_database)
    worker, refuse = WorkerContainer(App), Life.refuse_here

    def waits(life, *words):
        refuse(life, *words)
        gate.set()  # it has found the other one's opening

    monkeypatch.setattr(Life, "refuse_here", waits)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        first = pool.submit(worker.open)
        assert begun.wait(LIMIT)
        assert pool.submit(worker.open).result(LIMIT) is first.result(LIMIT) is worker
    worker.close()

    assert told == ["+"]


def test_closing_that_another_one_overtakes_is_done(monkeypatch, journal):
    """
    Who comes second finds it closed.
    """
    worker, refuse = WorkerContainer(Shop).open(), Life.refuse_here

    def overtaken(life, *words):
        monkeypatch.undo()
        refuse(life, *words)
        worker.close()

    monkeypatch.setattr(Life, "refuse_here", overtaken)
    worker.close()

    assert journal == ["+database", "-database"]


@pytest.mark.parametrize("cannot", ["start a thread", "make a loop"])
def test_process_that_is_out_of_resources_says_so_and_can_try_again(monkeypatch, worker, cannot):
    """
    What cannot be had for its thread is raised by the opening, and nothing waits for ever.
    """
    worker.close()

    def fail(*_):
        raise OSError("too many")

    with monkeypatch.context() as patched:
        if cannot == "start a thread":
            patched.setattr(threading.Thread, "start", fail)
        else:
            patched.setattr(asyncio.Runner, "__enter__", fail)
        with pytest.raises(OSError, match="too many"):
            worker.open()

    assert worker.open().run(where).said == "committed"


def test_loop_that_ends_before_it_is_open_takes_nothing_with_it():
    """
    Where the loop on which it was being opened is gone, it is opened elsewhere, and the end of that task changes nothing.
    """
    worker, loop = WorkerContainer(Shop), asyncio.new_event_loop()
    opening = worker.aopen()
    task = loop.create_task(opening)
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()

    with worker:
        task._log_destroy_pending = False
        with pytest.warns(ResourceWarning, match="dropped with finalizers pending"):
            opening.close()
            del task, opening
            gc.collect()
        assert worker.run(where).said == "committed"


def test_loop_that_has_ended_is_told_and_it_begins_anew():
    """
    Opened on a loop that ended before it was closed, it says so, and can be opened again.
    """
    App, told = fresh_app(), []

    async def open_database():
        yield told.append("+")
        told.append("-")

    App.register_dependency("database", open_database)

    async def plain():
        return "fine"

    worker = WorkerContainer(App)
    assert asyncio.run(worker.arun(plain)) == "fine"
    for use in (lambda: worker.run(plain), lambda: asyncio.run(worker.arun(plain))):
        with pytest.raises(ClosedError, match="has ended, and it was not closed before"):
            use()

    with worker:
        assert worker.run(plain) == "fine"
    assert told == ["+", "-", "+", "-"]


# --- processes --------------------------------------------------------------------------------------------------


def process_of(database: From[Database]):
    return database.process


def numbered(number: int, database: From[Database]):
    return database.process


async def process_of_async(database: From[Database]):
    return database.process, database.process == os.getpid()


def test_pickled_it_is_the_one_of_the_process_there():
    """
    What arrives is the one that is there already for the same source, and methods travel with it.
    """
    worker = WorkerContainer(HERE, jitter=0.25)

    assert pickle.loads(pickle.dumps(worker)) is worker
    assert pickle.loads(pickle.dumps(worker.run)) == worker.run


def test_pickled_it_is_the_open_one_of_several():
    """
    One that is closed, and still there, does not stand for another one that is open.
    """
    former = WorkerContainer(HERE)
    with former:
        pass
    with WorkerContainer(HERE) as worker:
        later = WorkerContainer(HERE)

        assert pickle.loads(pickle.dumps(former)) is worker
    assert pickle.loads(pickle.dumps(worker)) is later


def test_one_that_has_a_living_container_does_not_travel():
    """
    A container lives in its process; its import path travels.
    """
    with pytest.raises(TypeError, match="import path"):
        pickle.dumps(WorkerContainer(Container(Shop)))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This process .*is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_process_pool_has_a_container_for_each_process(tmp_path, method):
    """
    Functions run in the container of their process, which is opened once and closed when the process ends.
    """
    journal = tmp_path / "journal"
    worker = WorkerContainer(HERE, concurrency=2).open()  # open here, too: the children have their own
    context = multiprocessing.get_context(method)
    options = {"mp_context": context, "initializer": shop.begin, "initargs": (worker, str(journal))}
    with concurrent.futures.ProcessPoolExecutor(2, **options) as pool:
        futures = [pool.submit(worker.run, process_of) for _ in range(20)] + [pool.submit(worker.run, process_of_async)]
        answers = [future.result(LIMIT * 3) for future in futures]
    *processes, (process, own) = answers
    worker.close()

    assert own
    assert os.getpid() not in {*processes, process}
    closed = journal.read_text().split("\n")
    assert all(closed.count(f"closed {process}") == 1 for process in {*processes, process})


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This process .*is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_pool_of_multiprocessing_has_a_container_for_each_process(tmp_path, method):
    """
    The same with the older kind of pool, whose processes end without running what ``atexit`` knows.
    """
    journal = tmp_path / "journal"
    worker = WorkerContainer(HERE)
    with multiprocessing.get_context(method).Pool(2, shop.begin, (worker, str(journal))) as pool:
        processes = set(pool.map_async(functools.partial(worker.run, numbered), range(20)).get(LIMIT * 3))
        pool.close()
        pool.join()

    closed = journal.read_text().split("\n")
    assert os.getpid() not in processes
    assert {process: closed.count(f"closed {process}") for process in processes} == dict.fromkeys(processes, 1)


@pytest.mark.slow
def test_it_is_closed_at_the_end_of_a_program(tmp_path):
    """
    Who forgets to close it loses nothing.
    """
    journal = tmp_path / "journal"
    program = f"from asyncmeta.workers import WorkerContainer; WorkerContainer({HERE!r}).open()"
    done = run_program(program, SHOP_JOURNAL=str(journal))

    assert done.stderr == ""
    assert journal.read_text().startswith("closed ")


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:This process .*is multi-threaded:DeprecationWarning")
def test_forked_child_begins_anew_while_a_thread_of_the_parent_opens():
    """
    A lock that a thread of the parent holds, and a loop of its, are not inherited.
    """
    App, begun, go = fresh_app(), threading.Event(), threading.Event()
    parent = os.getpid()

    def slow():
        begun.set()
        if os.getpid() == parent:
            go.wait(LIMIT)
        return os.getpid()

    App.register_dependency("process", slow)
    worker = WorkerContainer(App)
    thread = threading.Thread(target=worker.open)
    thread.start()
    assert begun.wait(LIMIT)
    pid = os.fork()
    if pid == 0:
        signal.alarm(int(LIMIT))
        code = 1
        try:
            code = 0 if worker.get_nowait("process") == os.getpid() else 2
            worker.close()
        finally:
            os._exit(code)
    try:
        _, status = os.waitpid(pid, 0)
    finally:
        go.set()
        thread.join(LIMIT)

    assert os.waitstatus_to_exitcode(status) == 0
    assert worker.get_nowait("process") == parent
    worker.close()


# --- at the edges ------------------------------------------------------------------------------------------


async def test_one_that_lives_on_a_loop_is_closed_from_a_thread(journal):
    """
    Who closes it elsewhere waits until its own loop has done so.
    """
    worker = WorkerContainer(Shop)
    await worker.aopen()
    await worker.arun(where)

    await asyncio.to_thread(worker.close)

    assert journal[-1] == "-database"
    with pytest.raises(ClosedError):
        await worker.arun(where)


def test_one_whose_loop_has_ended_is_closed():
    """
    A loop that has ended has taken with it what lived there: closing is nothing more.
    """
    worker = WorkerContainer(Shop)

    async def main():
        await worker.aopen()
        await worker.arun(where)

    asyncio.run(main())
    worker.close()

    with pytest.raises(ClosedError):
        worker.run(where)


async def test_one_that_lives_in_a_thread_is_closed_from_a_loop(journal):
    """
    Awaited, closing lets other tasks go on meanwhile.
    """
    worker = WorkerContainer(Shop).open()
    await asyncio.to_thread(worker.run, where)

    await worker.aclose()
    await worker.aclose()

    assert journal[-1] == "-database"


async def test_what_is_not_to_be_started_is_built_when_it_is_asked_for(journal):
    """
    With start=False opening builds nothing.
    """
    async with WorkerContainer(Shop, start=False) as worker:
        assert "+database" not in journal
        await worker.arun(where)

        assert "+database" in journal


async def test_blocking_the_loop_that_opens_it_is_refused():
    """
    While it is being opened on a loop, code of that loop that would wait for it is told to await.
    """
    begun, end = asyncio.Event(), asyncio.Event()

    async def slow():
        begun.set()
        await end.wait()
        return 1

    app = fresh_app(providers=["slow"])
    app.register_dependency("slow", slow)
    worker = WorkerContainer(app)
    opening = asyncio.create_task(worker.aopen())
    await begun.wait()

    with pytest.raises(ContainerError, match="arun"):
        worker.get_nowait("slow")

    end.set()
    await opening
    assert worker.get_nowait("slow") == 1
    await worker.aclose()


def test_a_plain_function_is_not_called_where_its_values_cannot_be_made():
    """
    What fails before the function would run is raised in the thread that waits.
    """

    class Bad:
        def __init__(self):
            raise OSError("no connection")

    def use(bad: From[Bad]):
        assert False

    app = fresh_app()
    app.register_dependency(Bad, Bad, lifetime="scoped")

    with WorkerContainer(app) as worker, pytest.raises(OSError, match="no connection"):
        worker.run(use)


def test_many_functions_are_as_good_as_one(worker, monkeypatch):
    """
    What is kept of functions is bounded: more of them than are kept are called as before, and so is the first one again.
    """
    monkeypatch.setattr("asyncmeta.workers.runs._MOST", 2)
    names = {"From": From, "Session": Session}
    for number in range(4):
        exec(f"def function{number}(session: From[Session]): return {number}", names)

    called = [worker.run(names[f"function{number}"]) for number in (0, 1, 2, 3, 0)]

    assert called == [0, 1, 2, 3, 0]


def test_pickled_it_is_a_new_one_where_there_is_none():
    """
    In a process that has no worker container of that application, one arrives.
    """
    data = pickle.dumps(WorkerContainer(f"{shop.__name__}:make_container", jitter=0.0))
    collected()

    arrived = pickle.loads(data)

    with arrived:
        assert arrived.get_nowait("settings") == {"name": "shop"}


def test_what_tasks_ask_for_is_checked_at_once():
    """
    All problems of all functions are told together, as those of what they belong to; without any, nothing is.
    """
    container = Container(Shop)

    def wrong(nothing: Annotated[int, Inject("nothing")]): ...

    def unread(other: "From[NotDefined]"): ...  # noqa: F821  # the subject

    check(container, [where, where_plain])
    with pytest.raises(GraphErrors) as caught:
        check(container, [where, wrong, unread, wrong], "the tasks")

    assert "the tasks has 2 problems" in str(caught.value) or "the tasks" in str(caught.value)
    assert len(caught.value.exceptions) == 2


def test_who_has_waited_is_told_how_opening_ended():
    """
    Open; to be tried by somebody else, where the opener was cancelled; or what failed.
    """
    life = Life(None)

    assert life.opened(None)
    assert not life.opened(asyncio.CancelledError())
    with pytest.raises(OSError, match="no server"):
        life.opened(OSError("no server"))


async def test_what_was_given_up_before_it_began_does_not_begin():
    """
    Its thread ends without opening anything.
    """
    life = Life(None)
    life.ready.set_result(asyncio.CancelledError())
    life.give_up()

    with pytest.raises(asyncio.CancelledError):
        life.begins()

    life.give_up()
    await settled()
    assert life.loop is asyncio.get_running_loop()


async def test_tasks_that_open_it_at_once_take_over_from_who_is_cancelled():
    """
    The second one opens what the first one has left.
    """
    tries, gate = [], asyncio.Event()

    async def slow():
        tries.append(len(tries))
        if len(tries) == 1:
            await asyncio.Event().wait()
        await gate.wait()
        return 1

    app = fresh_app(providers=["slow"])
    app.register_dependency("slow", slow)
    worker = WorkerContainer(app)
    first, second = asyncio.create_task(worker.aopen()), asyncio.create_task(worker.aopen())
    await settled()
    first.cancel()
    await settled()
    gate.set()
    await second

    assert worker.get_nowait("slow") == 1
    assert first.cancelled() and tries == [0, 1]
    await worker.aclose()


def test_three_threads_that_open_it_at_once():
    """
    The others wait until it is open.
    """
    begun, end = threading.Event(), threading.Event()

    def slow():
        begun.set()
        end.wait()
        return 1

    app = fresh_app(providers=["slow"])
    app.register_dependency("slow", slow)
    worker = WorkerContainer(app)
    threads = [threading.Thread(target=worker.open) for _ in range(3)]
    threads[0].start()
    begun.wait()
    for thread in threads[1:]:
        thread.start()
    end.set()
    for thread in threads:
        thread.join()

    assert worker.get_nowait("slow") == 1
    worker.close()


async def test_tasks_that_close_it_at_once_close_it_once(journal):
    """
    On its own loop, too, whoever comes second finds it closed.
    """
    worker = await WorkerContainer(Shop).aopen()
    await worker.arun(where)

    await asyncio.gather(worker.aclose(), worker.aclose())

    assert journal == ["+database", "committed", "-database"]


@pytest.mark.parametrize("cancelled", [False, True], ids=["opened", "cancelled"])
@pytest.mark.parametrize("way", [WorkerContainer.open, lambda worker: worker.run(uses)], ids=["open", "run"])
async def test_a_thread_waits_for_the_task_that_opens_it(monkeypatch, way, cancelled):
    """
    A thread uses what a task has opened on its loop; where that comes to nothing, it opens it itself.
    """
    App, gate, told = gated()
    worker, waits = WorkerContainer(App), asyncio.Event()
    loop, refuse = asyncio.get_running_loop(), Life.refuse_here

    def seen(life, *words):
        if life.loop is loop:
            loop.call_soon_threadsafe(waits.set)
        refuse(life, *words)

    monkeypatch.setattr(Life, "refuse_here", seen)
    opening = asyncio.create_task(worker.aopen())
    await turned()
    thread = asyncio.create_task(asyncio.to_thread(way, worker))
    await waits.wait()
    if cancelled:
        App.register_dependency(Database, Database)
        opening.cancel()
    else:
        gate.set()

    await asyncio.wait_for(thread, LIMIT)
    assert opening.cancelled() == cancelled
    await worker.aclose()
    assert told == (["+"] if cancelled else ["+", "-"])


async def test_a_plain_function_that_ends_after_its_scope_was_given_up_is_not_heard():
    """
    What waits for it in the loop was cancelled, so nobody is told how it ended.
    """
    here = Here(lambda: None)
    waiting = asyncio.create_task(here.take((), {}))
    await turned()
    waiting.cancel()
    await turned()

    here._tell(None)

    assert waiting.cancelled()
    assert not here._told
