"""Taskiq: a container for each worker process, a scope for each task, whatever becomes of the task."""

import asyncio
import concurrent.futures
import contextlib
import gc
import multiprocessing
import os
import threading
from collections.abc import AsyncIterator
from typing import Annotated

import pytest
from helpers import LIMIT, Journal
from taskiq import (
    AsyncBroker,
    Context,
    InMemoryBroker,
    SimpleRetryMiddleware,
    TaskiqDepends,
    TaskiqEvents,
    TaskiqMessage,
    TaskiqMiddleware,
    async_shared_broker,
)
from taskiq.receiver import Receiver

from asyncmeta import (
    AsyncServiceBase,
    Container,
    DeclarationError,
    FinalizationErrors,
    From as FrontDoorFrom,
    GraphErrors,
    Inject,
    Scope,
    injected,
)
from asyncmeta.integrations.taskiq import KEY, From, setup

# taskiq is made so on some Pythons
pytestmark = pytest.mark.filterwarnings("ignore:.*asyncio.iscoroutinefunction.*:DeprecationWarning")


class Session:
    """Is told how its task ended."""

    def __init__(self, number):
        self.number, self.end = number, "open"


class Tick:
    """Another one each time."""


class Shop(AsyncServiceBase, context=[Context, TaskiqMessage]):
    """The application."""


JOURNAL = Journal()


async def open_pool() -> AsyncIterator[str]:
    with JOURNAL.noting("pool"):
        yield "pool"


async def open_session(pool: Annotated[str, Inject("pool")]) -> AsyncIterator[Session]:
    session = Session(len(JOURNAL.built))
    JOURNAL.append(f"+session {session.number}")
    try:
        yield session
    except BaseException as error:
        await asyncio.sleep(0)  # a time limit would cut this
        session.end = f"rolled back: {type(error).__name__}"
        raise
    else:
        await asyncio.sleep(0)
        session.end = "committed"
    finally:
        JOURNAL.append(session.end)


Shop.register_dependency("pool", open_pool)
Shop.register_dependency(Session, open_session, lifetime="scoped")
Shop.register_dependency(Tick, Tick, lifetime="transient")


def make_container():
    return Container(Shop)


@pytest.fixture(autouse=True)
def journal():
    JOURNAL.clear()
    return JOURNAL


@pytest.fixture
async def run():
    """Makes a broker, runs a task in it once, and gives the result."""
    brokers = []

    async def run(declare, *args, source=Shop, broker=None, **named):
        broker = broker or InMemoryBroker(await_inplace=True)
        brokers.append(broker)
        setup(broker, source)
        task = declare(broker)
        await broker.startup()
        kicked = await task.kiq(*args, **named)
        return await kicked.wait_result(timeout=LIMIT)

    yield run
    for broker in brokers:
        await broker.shutdown()


@pytest.fixture(params=["async", "plain"])
def of_kind(request):
    """Makes a function of one kind or the other of a plain one."""

    def of_kind(function):
        if request.param == "plain":
            return function

        async def twin(*args, **named):
            return function(*args, **named)

        twin.__annotations__, twin.__name__ = function.__annotations__, function.__name__
        twin.__signature__ = __import__("inspect").signature(function)
        return twin

    return of_kind


# --- filling --------------------------------------------------------------------------------------------------


async def test_marked_parameters_are_filled_in_functions_of_both_kinds(run, of_kind, journal):
    """
    The values are those of the task's scope, which is committed before the result is there.
    """

    def work(number: int, session: From[Session], *, again: From[Session]) -> list:
        return [number, session is again, session.end]

    result = await run(lambda broker: broker.task(of_kind(work)), 7)

    assert result.return_value == [7, True, "open"]
    assert journal == ["+pool", "+session 1", "committed"]


async def test_message_gives_the_other_parameters_in_their_order(run, of_kind):
    """
    Marked parameters may stand anywhere: by position, a message fills the others.
    """

    def work(first: int, session: From[Session], second: int, /, third: int = 3, *rest: int, name: str = "", **more: int) -> list:
        return [first, second, third, list(rest), name, more, session.end]

    result = await run(lambda broker: broker.task(of_kind(work)), 1, 2, 3, 4, 5, name="six", seven=7)

    assert result.return_value == [1, 2, 3, [4, 5], "six", {"seven": 7}, "open"]


async def test_front_doors_marks_are_filled_too(run, of_kind):
    """
    A function that knows nothing of taskiq can be a task.
    """

    def work(session: FrontDoorFrom[Session], name: Annotated[str, Inject("pool")]) -> str:
        return f"{session.end} {name}"

    assert (await run(lambda broker: broker.task(of_kind(work)))).return_value == "open pool"


async def test_dependencies_of_taskiqs_share_the_tasks_scope(run, of_kind):
    """
    A marked parameter of a dependency, plain or async, is the task's own value.
    """

    async def helper(session: From[Session]) -> Session:
        return session

    def outer(inner: Annotated[Session, TaskiqDepends(helper)]) -> Session:
        return inner

    def work(session: From[Session], got: Annotated[Session, TaskiqDepends(outer)], name: From[Annotated[str, Inject("pool")]]):
        return [session is got, name]

    assert (await run(lambda broker: broker.task(of_kind(work)))).return_value == [True, "pool"]


async def test_transient_values_are_new_for_each_parameter(run):
    """
    Lifetimes are ours, not those of taskiq's cache.
    """

    async def work(one: From[Tick], other: From[Tick]):
        return one is other

    assert (await run(lambda broker: broker.task(work))).return_value is False


async def test_scope_is_ambient_in_every_task(run, of_kind):
    """
    Injected functions find the scope, also where the task itself asks for nothing.
    """

    @injected
    def inner(scope: FrontDoorFrom[Scope]):
        return scope

    def work():
        return [inner() is inner(), str(inner())]

    assert (await run(lambda broker: broker.task(of_kind(work)))).return_value == [True, "<scoped scope of Shop>"]


async def test_message_and_context_are_values_of_the_scope(run):
    """
    What the application declares as context, its services may ask for.
    """

    async def work(context: FrontDoorFrom[Context], message: FrontDoorFrom[TaskiqMessage]):
        return [context.message is message, message.args]

    assert (await run(lambda broker: broker.task(work))).return_value == [True, []]


async def test_task_that_was_declared_before_has_a_scope_too(run):
    """
    It does not matter what comes first, setup or the tasks.
    """
    broker = InMemoryBroker(await_inplace=True)

    @broker.task
    async def work(session: From[Session]):
        return session.end

    assert (await run(lambda broker: work, broker=broker)).return_value == "open"


async def test_task_can_be_called_by_hand(run):
    """
    In a test the function is called with what it asks for, and no container.
    """
    broker = InMemoryBroker()
    setup(broker, Shop)

    @broker.task
    async def work(number: int, session: From[Session]):
        return [number, session]

    @broker.task
    def plain(session: From[Session]):
        return session

    assert await work(3, "fake") == [3, "fake"]
    assert plain(session="fake") == "fake"


async def test_task_that_calls_another_one_by_hand(run, of_kind, journal):
    """
    That is a call like any other: in the scope of the caller's task, with what the caller passes.
    """
    broker = InMemoryBroker(await_inplace=True)

    @broker.task
    async def inner(number: int, session: From[Session]):
        return [number, session.end]

    async def helper(session: From[Session]):
        return await inner(1, session)

    @broker.task
    async def outer(session: From[Session], before: Annotated[list, TaskiqDepends(helper)]):
        return [before, await inner(2, session), session.end]

    result = await run(lambda broker: outer, broker=broker)

    assert result.return_value == [[1, "open"], [2, "open"], "open"]
    assert journal.count("committed") == 1


async def test_task_for_every_broker(run, of_kind, journal):
    """
    One that taskiq had read before the broker was set up.
    """

    def work(number: int, session: From[Session]):
        return [number, session.end]

    shared = AsyncBroker.global_task_registry
    task = async_shared_broker.register_task(of_kind(work), task_name="for every broker")
    try:
        broker = InMemoryBroker(await_inplace=True)
        result = await run(lambda broker: task.kicker().with_broker(broker), 7, broker=broker)
        theirs = await (await task.kicker().with_broker(broker).kiq(8, session="theirs")).wait_result(timeout=LIMIT)
    finally:
        shared.pop("for every broker")

    assert result.return_value == [7, "open"]
    assert theirs.is_err
    assert [line for line in journal if "session" not in line and "pool" not in line] == ["committed", "rolled back: TypeError"]


async def test_message_cannot_fill_what_is_marked(run, of_kind, journal):
    """
    Who may send tasks may not choose the session.
    """

    def work(number: int, session: From[Session]):
        return session

    by_name = await run(lambda broker: broker.task(of_kind(work)), number=1, session="theirs")
    by_position = await run(lambda broker: broker.task(of_kind(work)), 1, "theirs")
    by_our_own_door = await run(lambda broker: broker.task(of_kind(work)), number=1, session="theirs", asyncmeta_task=None)

    assert by_name.is_err and "session" in str(by_name.error)
    assert by_position.is_err
    assert by_our_own_door.is_err
    assert [line for line in journal if "back" in line] == ["rolled back: TypeError"] * 3


def test_token_that_is_a_string_is_refused_with_what_to_write():
    """
    taskiq evaluates annotations when a task is declared.
    """
    with pytest.raises(DeclarationError, match="Inject"):
        From["pool"]


# --- how tasks end ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("propagates", [True, False])
async def test_failure_reaches_finalizers(run, of_kind, propagates, journal):
    """
    Whether taskiq propagates errors to dependencies or not, a failed task rolls back.
    """

    def work(session: From[Session]):
        raise LookupError("no such order")

    broker = InMemoryBroker(await_inplace=True, propagate_exceptions=propagates)
    result = await run(lambda broker: broker.task(of_kind(work)), broker=broker)

    assert isinstance(result.error, LookupError)
    assert journal[-1] == "rolled back: LookupError"


@pytest.mark.parametrize("propagates", [True, False])
async def test_failing_dependency_is_a_failure_of_the_task(run, propagates, journal):
    """
    What was opened for a task that is never called is rolled back.
    """

    async def fail(session: From[Session]):
        raise LookupError("no such user")

    async def work(session: From[Session], user: Annotated[object, TaskiqDepends(fail)]):
        raise AssertionError("it was called")

    broker = InMemoryBroker(await_inplace=True, propagate_exceptions=propagates)
    result = await run(lambda broker: broker.task(work), broker=broker)

    assert isinstance(result.error, LookupError)
    assert journal[-1].startswith("rolled back: ")


async def test_time_limit_reaches_finalizers_and_does_not_cut_them(run, journal):
    """
    A task that takes too long is cancelled; its session has all the time that it needs to roll back.
    """

    async def work(session: From[Session]):
        await asyncio.sleep(LIMIT)

    result = await run(lambda broker: broker.task(work, timeout=0.01))

    assert isinstance(result.error, TimeoutError)
    assert journal[-1].startswith("rolled back: ")


async def test_time_limit_of_a_plain_task_is_told_and_nothing_else(run, journal):
    """
    Its thread cannot be stopped; what it returns when its time is over is nobody's, and nothing is left that is not awaited.
    """
    go, done = threading.Event(), threading.Event()

    def work(session: From[Session]):
        go.wait(LIMIT)
        done.set()

    result = await run(lambda broker: broker.task(work, timeout=0.01))
    go.set()
    await asyncio.to_thread(done.wait, LIMIT)
    gc.collect()

    assert isinstance(result.error, TimeoutError)
    assert journal[-1].startswith("rolled back: ")


async def test_task_after_the_end_of_its_worker_is_told_what_comes_first(run):
    """
    Nobody opens a container there but a worker that starts.
    """
    broker = InMemoryBroker(await_inplace=True)

    async def work(session: From[Session]): ...

    tasks = []

    def declare(broker):
        tasks.append(broker.task(work))
        return tasks[0]

    await run(declare, broker=broker)
    await broker.shutdown()
    result = await (await tasks[0].kiq()).wait_result(timeout=LIMIT)

    assert "no container is open here" in str(result.error)


async def test_time_limit_that_a_task_swallows_is_one_all_the_same(run, journal):
    """
    A task that goes on after its time limit has failed: for its session, and for whoever waits for its result.
    """

    async def work(session: From[Session]):
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(LIMIT)
        return "half"

    result = await run(lambda broker: broker.task(work, timeout=0.01))

    assert isinstance(result.error, TimeoutError)
    assert journal[-1].startswith("rolled back: ")


async def test_cancelled_task_rolls_back(run, journal):
    """
    A cancellation is a failure.
    """

    async def work(session: From[Session]):
        raise asyncio.CancelledError

    result = await run(lambda broker: broker.task(work))

    assert result.is_err
    assert journal[-1] == "rolled back: CancelledError"


async def test_requeued_task_rolls_back(run, journal):
    """
    What will be done again was not done.
    """
    runs = []

    async def work(session: From[Session], context: Annotated[Context, TaskiqDepends()]):
        runs.append(session)
        if len(runs) == 1:
            await context.requeue()
        return "done"

    result = await run(lambda broker: broker.task(work), broker=InMemoryBroker())

    assert result.return_value == "done"
    assert sorted(session.end for session in runs) == ["committed", "rolled back: NoResultError"]


async def test_commit_that_fails_is_a_failure_of_the_task(run, of_kind):
    """
    The result says so, and the middlewares that retry see it; nothing is taken for done.
    """

    class App(AsyncServiceBase):
        pass

    async def open_session():
        yield "session"
        raise OSError("cannot commit")

    App.register_dependency("session", open_session, lifetime="scoped")

    def work(session: From[Annotated[str, Inject("session")]]):
        return "done"

    result = await run(lambda broker: broker.task(of_kind(work)), source=App)

    assert result.is_err
    assert result.return_value is None
    assert isinstance(result.error, FinalizationErrors)


async def test_retried_task_has_a_new_scope(run, journal):
    """
    Each try has a session of its own.
    """
    runs = []

    async def work(session: From[Session]):
        runs.append(session)
        if len(runs) < 3:
            raise LookupError
        return len(runs)

    broker = InMemoryBroker()
    broker.add_middlewares(SimpleRetryMiddleware())
    result = await run(lambda broker: broker.task(work, retry_on_error=True, max_retries=5), broker=broker)

    assert result.return_value == 3
    assert [session.end for session in runs] == ["rolled back: LookupError"] * 2 + ["committed"]


async def test_scope_is_closed_before_the_result_is_stored(run, journal):
    """
    Who sees the result sees what was committed.
    """

    class Watch(TaskiqMiddleware):
        def post_execute(self, message, result):
            journal.append("executed")

        def post_save(self, message, result):
            journal.append("saved")

    async def work(session: From[Session]):
        return 1

    broker = InMemoryBroker(await_inplace=True)
    broker.add_middlewares(Watch())
    await run(lambda broker: broker.task(work), broker=broker)

    assert journal[-3:] == ["committed", "executed", "saved"]


async def test_tasks_at_once_have_scopes_of_their_own(run, journal):
    """
    Fifty tasks, fifty sessions, one container.
    """
    broker = InMemoryBroker(max_async_tasks=100)
    setup(broker, Shop)
    going = asyncio.Barrier(10)

    @broker.task
    async def work(number: int, session: From[Session]):
        async with going:
            pass
        return session.number

    await broker.startup()
    kicked = [await work.kiq(number) for number in range(50)]
    results = [await one.wait_result(timeout=LIMIT) for one in kicked]
    await broker.shutdown()

    assert len({result.return_value for result in results}) == 50
    assert journal.count("committed") == 50
    assert journal.count("+pool") == journal.count("-pool") == 1


# --- the life of a worker -----------------------------------------------------------------------------------------


async def test_worker_opens_and_closes_around_everything_else(journal):
    """
    Handlers of the broker's own events find the container open.
    """
    broker = InMemoryBroker()
    seen = []

    @broker.on_event(TaskiqEvents.WORKER_STARTUP, TaskiqEvents.WORKER_SHUTDOWN)
    async def look(state):
        seen.append(await state[KEY].get("pool"))

    setup(broker, Shop)
    await broker.startup()
    await broker.shutdown()

    assert seen == ["pool", "pool"]
    assert journal == ["+pool", "-pool"]


@pytest.mark.parametrize(
    "source",
    [Shop, f"{__name__}:Shop", f"{__name__}:make_container", lambda: Container(Shop), Container(Shop)],
    ids=["class", "path of a class", "path of a function", "function", "container"],
)
async def test_container_comes_from_whatever_means_one(run, source, journal):
    """
    A test gives a container with overrides, a deployment the path of the class.
    """

    async def work(session: From[Session]):
        return session.end

    result = await run(lambda broker: broker.task(work), source=source)

    assert result.return_value == "open"
    assert journal == ["+pool", "+session 1", "committed"]


async def test_singletons_wait_until_they_are_asked_for_where_that_is_said(journal):
    """
    A worker that starts without building opens at once.
    """
    broker = InMemoryBroker()
    setup(broker, Shop, start=False)
    await broker.startup()
    before = list(journal)
    assert await broker.state[KEY].get("pool") == "pool"
    await broker.shutdown()

    assert before == []
    assert journal == ["+pool", "-pool"]


async def test_scope_of_a_task_may_be_of_an_outer_level():
    """
    An application with levels says which one a task is.
    """

    class App(AsyncServiceBase, scopes=("job", "step")):
        pass

    App.register_dependency("job", lambda: ["job"], lifetime="job")
    broker = InMemoryBroker(await_inplace=True)
    setup(broker, App, level="job")

    @broker.task
    async def work(scope: FrontDoorFrom[Scope], job: Annotated[list, Inject("job")]):
        async with scope.scope() as step:
            return [str(scope.level), str(step.level), await step.get("job") is job]

    await broker.startup()
    result = await (await work.kiq()).wait_result(timeout=LIMIT)
    await broker.shutdown()

    assert result.return_value == ["job", "step", True]


async def test_worker_can_be_started_again(journal):
    """
    A broker that is started twice, as in tests, has two containers.
    """
    broker = InMemoryBroker()
    setup(broker, f"{__name__}:Shop")
    for _ in range(2):
        await broker.startup()
        await broker.shutdown()

    assert journal == ["+pool", "-pool"] * 2


async def test_sender_opens_nothing(journal):
    """
    A process that only sends tasks needs no application: it is not even imported.
    """
    from taskiq_redis import ListQueueBroker

    broker = ListQueueBroker("redis://127.0.0.1:1")
    setup(broker, "no.such.module:App")
    for handler in broker.event_handlers[TaskiqEvents.CLIENT_STARTUP]:
        await handler(broker.state)

    assert journal == []


async def test_what_tasks_ask_for_is_checked_when_a_worker_starts(journal):
    """
    A worker that could not run its tasks does not start; all problems are told, those of dependencies too.
    """
    broker = InMemoryBroker()
    setup(broker, Shop)

    async def helper(name: From[Annotated[str, Inject("poool")]]):
        return name

    @broker.task
    async def first(name: From[Annotated[str, Inject("sesion")]]):
        return name

    @broker.task
    def second(name: Annotated[str, TaskiqDepends(helper)]):
        return name

    with pytest.raises(GraphErrors) as caught:
        await broker.startup()

    assert '"sesion"' in str(caught.value)
    assert '"poool"' in str(caught.value)
    assert "__taskiq_original" not in str(caught.value)
    assert journal.count("+pool") == journal.count("-pool")


async def test_start_that_fails_fails_the_worker():
    """
    What a singleton's factory raises is what the worker dies of.
    """

    class App(AsyncServiceBase):
        pass

    async def fail():
        raise OSError("no database")

    App.register_dependency("database", fail)
    broker = InMemoryBroker()
    setup(broker, App)

    with pytest.raises(OSError, match="no database"):
        await broker.startup()
    await broker.shutdown()


# --- pools of processes -------------------------------------------------------------------------------------------


POOLED = InMemoryBroker()
setup(POOLED, Shop)


@POOLED.task
def in_another_process(number: int, name: From[Annotated[str, Inject("pool")]]) -> list:
    return [number, name, os.getpid()]


@POOLED.task
def failing_in_another_process(session: From[Annotated[str, Inject("pool")]], number: int) -> None:
    raise LookupError(number)


@pytest.mark.slow
async def test_plain_task_in_a_pool_of_processes_gets_what_can_be_pickled(journal):
    """
    The scope stays here, the values travel, and how the task ended is heard.
    """
    context = multiprocessing.get_context("forkserver")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        await POOLED.startup()
        POOLED.receiver = Receiver(POOLED, executor=pool, max_async_tasks=10)
        kicked = (
            await in_another_process.kiq(7), await failing_in_another_process.kiq(8),
            await in_another_process.kiq(number=9, asyncmeta_task={}),
        )  # fmt: skip
        done, failed, refused = [await one.wait_result(timeout=LIMIT * 3) for one in kicked]
        await POOLED.shutdown()

    number, name, process = done.return_value
    assert (number, name) == (7, "pool")
    assert isinstance(refused.error, TypeError)
    assert process != os.getpid()
    assert isinstance(failed.error, LookupError)
    assert journal == ["+pool", "-pool"]
