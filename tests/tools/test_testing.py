"""The tools for tests: an order without sleeps, records, the shared layer restored, the exploration of interleavings."""

import asyncio
import contextlib
import gc
import re
import threading
import types
import warnings
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Annotated

import pytest
from helpers import fresh_app, guarded, settled

from asyncmeta import AsyncServiceBase, Container, FinalizationErrors, Inject, inject_dependency, testing
from asyncmeta.testing import Explored, Recording, Sequencer, explore, recording, registrations

pytestmark = pytest.mark.usefixtures("exploring")

# --- Sequencer ---------------------------------------------------------------------------------------


@guarded
async def test_steps_are_taken_in_their_order():
    """
    Each step waits for those before it, in whatever order the tasks began.
    """
    order, taken = Sequencer("a", "b", "c"), []

    async def take(name):
        await order.step(name)
        taken.append(name)

    await asyncio.gather(take("c"), take("b"), take("a"))

    assert taken == ["a", "b", "c"]
    assert repr(order) == "<Sequencer: all steps are taken>"


@guarded
async def test_a_name_is_taken_as_often_as_it_stands_there():
    """
    A name that stands in the order twice is two steps, which two tasks may take.
    """
    order, taken = Sequencer("a", "b", "a"), []

    async def take(name, who):
        await order.step(name)
        taken.append((name, who))

    await asyncio.gather(take("a", 1), take("a", 2), take("b", 3))

    assert taken == [("a", 1), ("b", 3), ("a", 2)]
    with pytest.raises(AssertionError, match="'a' was taken already"):
        await order.step("a")


@guarded
async def test_who_waits_for_a_step_that_somebody_else_takes_is_told():
    """
    A task that can never go on any more fails instead of hanging.
    """
    order = Sequencer("a", "b")
    late = asyncio.create_task(order.step("b"))
    await settled()
    order.step_nowait("a")
    order.step_nowait("b")

    with pytest.raises(AssertionError, match="'b' was taken already"):
        await late


def test_step_nowait_is_no_wait():
    """
    A step taken out of turn fails, and is not taken.
    """
    order = Sequencer("a", "b")

    with pytest.raises(AssertionError, match="'b' comes too early: <Sequencer: next is 'a'>"):
        order.step_nowait("b")
    order.step_nowait("a")
    order.step_nowait("b")


async def test_unknown_steps_are_refused():
    """
    A name that is no step is told with near misses; a step is named by a string.
    """
    order = Sequencer("opened", "closed")

    with pytest.raises(ValueError, match="no step 'opend', did you mean 'opened'"):
        await order.step("opend")
    with pytest.raises(ValueError, match=r"no step 'x'$"):
        order.step_nowait("x")
    with pytest.raises(TypeError, match="by a string, not by a int"):
        Sequencer(1)


@guarded
async def test_a_cancelled_task_takes_no_step():
    """
    Who is cancelled while it waits, or just when its turn comes, leaves the step to another task; it is told where it waited.
    """
    order = Sequencer("a", "b", "c")
    first, second = asyncio.create_task(order.step("b")), asyncio.create_task(order.step("b"))
    await settled()
    order.step_nowait("a")  # which chooses the first
    first.cancel()

    with pytest.raises(asyncio.CancelledError) as caught:
        await first
    await second
    order.step_nowait("c")
    assert "step 'b' was waiting" in caught.value.__notes__[0]


@guarded
async def test_who_is_cancelled_as_its_turn_comes_takes_no_step():
    """
    A task that a thread has woken, and that is cancelled before it goes on, leaves its step to the next one.
    """
    order = Sequencer("first", "second")
    late = asyncio.create_task(order.step("second"))
    await asyncio.sleep(0)
    thread = threading.Thread(target=order.step_nowait, args=["first"])
    thread.start()
    thread.join()  # not awaited: the loop shall not turn meanwhile
    late.cancel()
    with pytest.raises(asyncio.CancelledError):
        await late

    await order.step("second")

    assert repr(order) == "<Sequencer: all steps are taken>"


def test_a_loop_that_was_closed_is_not_woken():
    """
    Who waits in a loop that has ended cannot go on, and hinders nobody.
    """
    order = Sequencer("first", "second")
    loop = asyncio.new_event_loop()
    waiting = order.step("second")
    task = loop.create_task(waiting)
    task._log_destroy_pending = False
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()

    order.step_nowait("first")
    order.step_nowait("second")

    assert repr(order) == "<Sequencer: all steps are taken>"
    waiting.close()


async def test_threads_and_tasks_share_a_sequencer():
    """
    A step that a thread takes wakes a task, in its loop.
    """
    order, taken = Sequencer("task", "thread", "task again"), []

    def in_thread():
        async def work():
            await order.step("thread")
            taken.append("thread")

        asyncio.run(work())

    thread = threading.Thread(target=in_thread)
    thread.start()
    await order.step("task")
    taken.append("task")
    await order.step("task again")
    taken.append("task again")
    await asyncio.to_thread(thread.join)

    assert taken == ["task", "thread", "task again"]


# --- recording ---------------------------------------------------------------------------------------


def recorded_app():
    app = fresh_app()

    @inject_dependency("base", on=app)
    async def base():
        yield "base"

    @inject_dependency("user", on=app)
    def user(base: Annotated[str, Inject("base")]):
        yield f"user of {base}"

    @inject_dependency("plain", on=app)
    def plain():
        return "plain"

    @inject_dependency("broken", on=app)
    async def broken():
        raise OSError

    @inject_dependency("fails", on=app)
    async def fails():
        yield "fails"
        raise OSError

    app.register_value("value", 1)
    return app


async def test_a_recording_says_what_was_built_and_closed():
    """
    `recording(container)` lists by name what was built, in order of completion, and what was torn down, in that order.
    """
    async with Container(recorded_app()) as container, Container(recorded_app()) as other:
        with recording(container) as record:
            await container.get("user")
            await container.get("plain")
            await container.get("value")
            await other.get("plain")
            with pytest.raises(OSError):
                await container.get("broken")
            assert record.built == ['"base"', '"user"', '"plain"']
            assert record.closed == []
            await container.aclose()
        assert record.closed == ['"user"', '"base"']
        record.built.clear()
        assert record.built != []


async def test_a_finalizer_that_fails_has_closed():
    """
    What was torn down with an error was torn down.
    """
    container = Container(recorded_app())
    with recording(container) as record, pytest.raises(FinalizationErrors):
        await container.get("fails")
        await container.aclose()

    assert record.closed == ['"fails"']


async def test_recording_ends_with_its_block():
    """
    What is built after the block is not recorded, and building is as it was before.
    """
    plain = Container.__init__
    async with Container(recorded_app()) as container:
        with recording(container) as one, recording() as everything:
            await container.get("base")
        await container.get("plain")
        assert not container._observed
        async with Container(recorded_app()) as another:
            await another.get("plain")
            assert not another._observed

    assert one.built == everything.built == ['"base"']
    assert Container.__init__ is plain


async def test_recording_everything():
    """
    `recording()` records every container, those that were there and those made in the block, and their overlays; blocks nest.
    """
    async with Container(recorded_app()) as container:
        with recording() as record:
            await container.get("plain")
            with recording() as inner:
                async with Container(recorded_app()) as another:
                    await another.get("base")
                    async with another.overlay({"base": "fake"}) as overlay:
                        assert await overlay.get("user") == "user of fake"
            async with Container(recorded_app()) as third:
                await third.get("plain")

    assert inner._built == ['"base"', '"user"']
    assert inner.closed == ['"user"', '"base"']
    assert record.built == ['"plain"', '"base"', '"user"', '"plain"']
    assert repr(inner) == """<Recording: built ['"base"', '"user"'], closed ['"user"', '"base"']>"""
    assert isinstance(record, Recording)


async def test_recording_reaches_scopes():
    """
    Scoped and transient values are recorded each time they are made.
    """
    app = fresh_app()
    app.register_dependency("session", lambda: "session", lifetime="scoped")
    app.register_dependency("handler", lambda session: session, lifetime="transient")
    async with Container(app) as container:
        with recording(container) as record:
            for _ in range(2):
                async with container.request("handler"):
                    pass

    assert record.built == ['"session"', '"handler"'] * 2


# --- registrations -----------------------------------------------------------------------------------


async def test_the_shared_layer_is_restored():
    """
    After the block the shared layer has the registrations that it had before, also where one was replaced or added to.
    """
    with registrations():
        inject_dependency("word")(lambda: "before")
        inject_dependency("list", multi=True)(lambda: 1)
        async with Container() as container:
            with registrations():
                AsyncServiceBase.register_dependency("word", lambda: "inside")
                AsyncServiceBase.register_dependency("list", lambda: 2, multi=True)
                inject_dependency("more")(lambda: "more")
                assert await Container().get("word") == "inside"
                assert await container.get("more") == "more"
            assert await container.get("word") == "before"
            assert await container.get(Annotated[list[int], Inject("list")]) == [1]
            assert await container.get("more") == "more"  # what is built stays until closing
        assert [line for line in container.check().replaced if line.startswith(('"word"', '"list"', '"more"'))] == []
        async with container:
            with pytest.raises(LookupError):
                await container.get("more")

    assert AsyncServiceBase.get_dependency("word") is None


def test_the_shared_layer_is_restored_when_the_block_fails():
    """
    It is restored however the block ends.
    """
    with pytest.raises(KeyError), registrations():
        inject_dependency("word")(lambda: 1)
        raise KeyError

    assert AsyncServiceBase.get_dependency("word") is None


def test_registrations_that_wait_for_their_token_are_restored():
    """
    A registration whose return annotation is not defined yet is dropped with the block, too.
    """
    with registrations():

        @inject_dependency
        def make() -> "NotDefinedYet":  # noqa: F821
            return 1

        with pytest.raises(Exception, match="NotDefinedYet"):
            Container()
    Container()


# --- explore: good scenarios -------------------------------------------------------------------------


class Database:
    """Counts what is open, as a real one would."""

    opened = 0

    async def connect(self):
        await asyncio.sleep(0)
        type(self).opened += 1

    async def ping(self):
        await asyncio.sleep(0)

    async def close(self):
        type(self).opened -= 1
        await asyncio.sleep(0)


def scenario_of(open_database, body=None):
    """Return a scenario: a container with this factory, in which the database is asked for."""

    async def scenario():
        Database.opened = 0
        app = fresh_app()
        inject_dependency(Database, on=app)(open_database)
        try:
            async with Container(app) as container:
                database = await container.get(Database)
                await (database.ping() if body is None else body(container))
        finally:
            assert Database.opened == 0, f"{Database.opened} databases are open"

    return scenario


async def good_factory():
    database = Database()
    await database.connect()
    try:
        await database.ping()
        yield database
    finally:
        await database.close()


def test_a_good_factory_passes_every_run():
    """
    A factory that closes what it opens, whatever happens, passes; the runs are each await failing, cancelled, and none of it.
    """
    explored = explore(scenario_of(good_factory))

    assert isinstance(explored, Explored)
    # Four awaits: connect, ping, ping, close; and the plain run.
    assert explored.runs == 1 + 4 * 2
    assert repr(explored) == "<Explored: 9 runs>"


def test_each_await_fails_and_is_cancelled():
    """
    Each await of the user's gets an exception and a cancellation in turn, wherever it runs, and nothing else is disturbed.
    """
    met = []

    async def step(name):
        try:
            await asyncio.sleep(0)
        except BaseException as error:
            met.append((name, type(error).__name__))
            raise

    async def factory():
        await step("set up")
        try:
            yield 1
        finally:
            await step("tear down")

    async def body(container):
        await step("body")

    explore(scenario_of(factory, body))

    assert sorted(met) == sorted(
        (name, error) for name in ("set up", "body", "tear down") for error in ("Injected", "CancelledError")
        # Closing goes on when the scenario is cancelled, so that the tear-down does not meet it.
        if (name, error) != ("tear down", "CancelledError")
    )  # fmt: skip


@pytest.mark.slow
def test_every_interleaving_is_run_once():
    """
    Three tasks of two awaits are run in all the orders that there are, and in no order twice.
    """
    seen = []

    async def scenario():
        order = []

        async def task(name):
            order.append(name)
            await asyncio.sleep(0)
            order.append(name)

        one, two, three = (asyncio.create_task(task(name)) for name in "abc")
        await asyncio.gather(one, two, three, return_exceptions=True)
        seen.append("".join(order))

    explore(scenario)

    whole = [order for order in seen if len(order) == 6]
    assert len(set(whole)) == 90  # 6! / 2!^3
    assert {"aabbcc", "abcabc", "ccbbaa"} <= set(whole)
    assert len(set(seen)) > len(set(whole))  # and those that were cut short


def test_a_plain_sequence_is_run_once():
    """
    A scenario that waits for nothing has one run.
    """

    async def scenario():
        async with Container(fresh_app()):
            pass

    assert explore(scenario).runs == 1


@pytest.mark.slow
def test_seeded_runs():
    """
    With *runs* that many are made, the same ones for the same seed, and each await has its turn.
    """

    def orders(seed, runs=60):
        seen = []

        async def scenario():
            order = []

            async def task(name):
                try:
                    for _ in range(3):
                        order.append(name)
                        await asyncio.sleep(0)
                except BaseException as error:
                    order.append(type(error).__name__)
                    raise

            try:
                await asyncio.gather(*(asyncio.create_task(task(name)) for name in "abcd"), return_exceptions=True)
            finally:
                seen.append(tuple(order))

        explored = explore(scenario, runs=runs, seed=seed)
        assert explored.runs == runs == len(seen)
        return seen

    first = orders(0)

    assert first == orders(0)
    assert first != orders(1)
    assert first[0] == tuple("abcd" * 3)
    assert len(set(first)) > 50
    assert {"Injected", "CancelledError"} <= {step for order in first for step in order}
    assert orders(0, runs=1) == [tuple("abcd" * 3)]


def test_time_passes_at_once():
    """
    Sleeping takes no time, sleepers wake in the order of their times, and timeouts are kept.
    """
    began = asyncio.new_event_loop()
    before = began.time()
    woken = []

    async def scenario():
        order = []

        async def sleep(hours):
            await asyncio.sleep(hours * 3600)
            order.append(hours)

        with warnings.catch_warnings():
            async with asyncio.timeout(3600 * 24):
                await asyncio.gather(sleep(3), sleep(1), sleep(2))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await asyncio.Event().wait()
        woken.append(order)

    explore(scenario, runs=1)

    assert woken == [[1, 2, 3]]
    assert began.time() - before < 60
    began.close()


def test_worker_threads_are_waited_for():
    """
    A factory that runs in a thread, and `to_thread`, work in an exploration.
    """

    async def scenario():
        app = fresh_app()
        inject_dependency("number", on=app, in_thread=True)(lambda: 3)
        async with Container(app) as container:
            assert await container.get("number") == 3
            assert await asyncio.to_thread(int) == 0

    assert explore(scenario).runs == 3


def test_locks_and_tasks_do_not_fail():
    """
    Waiting for a lock, an event, a queue or a task is cancelled, but never fails: they do not.
    """

    async def scenario():
        lock, event, queue = asyncio.Lock(), asyncio.Event(), asyncio.Queue()

        async def other():
            await event.wait()
            async with lock:
                queue.put_nowait(1)

        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(other())
                getting = group.create_task(queue.get())
                async with lock:
                    event.set()
                await getting
        except BaseException as error:
            assert not isinstance(error, Exception), error
            raise

    assert explore(scenario).runs > 3


def test_what_was_there_before_is_nobodys_business(exploring, monkeypatch):
    """
    Containers and garbage from before the exploration are left alone, and its loops leave nothing behind.
    """
    monkeypatch.setattr(gc, "unfreeze", exploring)
    app = fresh_app()

    @inject_dependency("open", on=app)
    def opened():
        yield 1

    before = Container(app)
    before.get_nowait("open")

    async def scenario():
        await asyncio.sleep(0)

    explore(scenario)

    assert before.get_nowait("open") == 1
    before.close()
    assert gc.get_freeze_count() == 0
    assert asyncio.run(asyncio.sleep(0, "as ever")) == "as ever"


@pytest.mark.slow
def test_a_failure_that_is_dealt_with_is_none():
    """
    A scenario may catch the failure, wrap it, or put another one in its place.
    """

    async def retrying():
        try:
            await asyncio.sleep(0)
        except Exception:
            pass

    async def wrapping():
        try:
            await asyncio.sleep(0)
        except Exception as error:
            raise OSError("wrapped") from error

    async def grouping():
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(0))

    for scenario in (retrying, wrapping, grouping):
        explore(scenario)


# --- explore: wrong ones -----------------------------------------------------------------------------


def found_in(scenario, **options):
    """Return what exploring a wrong scenario says."""
    with pytest.raises(AssertionError) as caught:
        explore(scenario, **options)
    return caught.value


@pytest.mark.parametrize("options", [{}, {"runs": 40, "seed": 5}], ids=["every", "seeded"])
def test_a_leak_between_opening_and_try_is_found(options):
    """
    A factory that fails between opening and its `try` leaves a connection open: found by the scenario's own assert.
    """

    async def wrong():
        database = Database()
        await database.connect()
        await database.ping()  # nobody closes it if this fails
        try:
            yield database
        finally:
            await database.close()

    error = found_in(scenario_of(wrong), **options)

    assert "AssertionError: 1 databases are open" in str(error)
    assert "Database.ping" in str(error)
    assert "test_testing.py" in str(error)
    assert str(error).splitlines()[-1].split(") ")[-1] in ("fails", "is cancelled")
    assert isinstance(error.__cause__, AssertionError)


def torn_down():
    """What a finalizer does."""


async def skipping():
    yield 1
    await asyncio.sleep(0)


@asynccontextmanager
async def skipping_manager():
    yield 1
    await asyncio.sleep(0)


def skipping_sync():
    yield 1
    torn_down()


@contextmanager
def skipping_sync_manager():
    yield 1
    torn_down()


async def using_manager():
    async with skipping_manager() as value:
        yield value


@pytest.mark.parametrize("factory", [skipping, skipping_manager, skipping_sync, skipping_sync_manager, using_manager])
def test_a_finalizer_that_an_exception_skips_is_found(factory):
    """
    What follows an unprotected `yield` does not run when the body raises: found without any assert of the scenario.
    """

    async def body(container):
        await asyncio.sleep(0)

    error = found_in(scenario_of(factory, body))

    assert "was left by an exception at its yield, so what follows was skipped: put it in a finally or a with" in str(error)
    assert "skipping" in str(error).splitlines()[0]


async def in_finally():
    try:
        yield 1
    finally:
        await asyncio.sleep(0)


async def in_with():
    async with asyncio.timeout(None):
        yield 1
        torn_down()


async def in_except():
    try:
        yield 1
    except BaseException:
        raise
    torn_down()


async def with_nothing_after():
    yield 1


async def with_return_after():
    yield 1
    return


async def behind_a_branch():
    if Database.opened == 0:
        yield 1
    else:
        yield 2


def sync_in_finally():
    try:
        yield 1
    finally:
        torn_down()


@pytest.mark.parametrize(
    "factory", [in_finally, in_with, in_except, with_nothing_after, with_return_after, behind_a_branch, sync_in_finally]
)
def test_a_finalizer_that_is_not_skipped_is_right(factory):
    """
    A protected `yield`, and one that nothing follows, are no fault.
    """

    async def body(container):
        await asyncio.sleep(0)

    explore(scenario_of(factory, body))


def test_a_generator_that_is_dropped_is_found():
    """
    A context manager that is entered by hand, and not left when the next step fails, is found.
    """

    @asynccontextmanager
    async def connection():
        try:
            yield 1
        finally:
            await asyncio.sleep(0)

    async def wrong():
        manager = connection()
        value = await manager.__aenter__()
        await asyncio.sleep(0)
        try:
            yield value
        finally:
            await manager.__aexit__(None, None, None)

    async def body(container):
        pass

    error = found_in(scenario_of(wrong, body))

    assert "connection" in str(error)
    assert "was entered and never left" in str(error)


def test_a_task_that_is_left_is_found():
    """
    A factory that starts a task and does not end it is found, with the place where the task waits.
    """

    async def wrong():
        async def beat():
            await asyncio.Event().wait()

        task = asyncio.create_task(beat())
        await asyncio.sleep(0)
        yield task

    async def body(container):
        pass

    error = found_in(scenario_of(wrong, body))

    assert "a task was left: beat waits at" in str(error)
    assert "test_testing.py" in str(error)


def test_a_container_that_is_left_open_is_found():
    """
    A scenario that does not close its container is found.
    """

    async def scenario():
        app = fresh_app()

        @inject_dependency("open", on=app)
        def opened():
            try:
                yield 1
            finally:
                pass

        container = Container(app)
        await container.get("open")
        await asyncio.sleep(0)
        await container.aclose()

    error = found_in(scenario)

    assert "<open container of App> was left open" in str(error)


def test_a_warning_of_something_unclosed_is_found():
    """
    What warns that it was dropped unclosed, as files, sockets and connections do, is found.
    """

    class Socket:
        closed = False

        def __del__(self):
            if not self.closed:
                warnings.warn("unclosed socket", ResourceWarning, stacklevel=1)

    async def wrong():
        socket = Socket()
        await asyncio.sleep(0)
        try:
            yield socket
        finally:
            socket.closed = True

    async def body(container):
        pass

    assert "ResourceWarning: unclosed socket" in str(found_in(scenario_of(wrong, body)))


def test_a_hanging_scenario_is_found():
    """
    A scenario in which nothing can go on any more is told, with where each task waits.
    """

    async def scenario():
        await asyncio.Event().wait()

    assert "nothing can go on: scenario waits at" in str(found_in(scenario))


def test_an_endless_scenario_is_found(monkeypatch):
    """
    A scenario that never ends is told after many steps.
    """
    monkeypatch.setattr("asyncmeta.testing.turning.LONGEST", 500)

    async def scenario():
        while True:  # noqa: ASYNC110  # that is what is wrong with it
            await asyncio.sleep(1)

    assert "has not ended after 500 steps" in str(found_in(scenario))


def test_a_race_is_found():
    """
    A scenario that is right in most orders fails in the one in which it is wrong, and that order is told.
    """

    async def scenario():
        balance = 0

        async def add():
            nonlocal balance
            seen = balance
            await asyncio.sleep(0)
            balance = seen + 1

        one, two = asyncio.create_task(add()), asyncio.create_task(add())
        await asyncio.wait([one, two])
        if one.exception() is None and two.exception() is None:
            assert balance == 2

    error = found_in(scenario)

    assert "add" in str(error)
    assert "This is how:" in str(error)


def test_tasks_that_a_failing_gather_leaves_are_found():
    """
    `gather` goes on when one fails, and the others run on unseen: found, where a task group would have ended them.
    """

    async def scenario():
        await asyncio.gather(asyncio.sleep(1), asyncio.sleep(2))

    assert "a task was left: sleep waits" in str(found_in(scenario))


def test_a_swallowed_cancellation_is_found():
    """
    A factory that eats the cancellation of who asks for it is found.
    """

    async def scenario():
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            pass

    assert "was cancelled and goes on as if it was not" in str(found_in(scenario))


def test_a_mistake_while_failing_is_found():
    """
    An error of the clearing up itself (a name that is not bound) is none of what was injected.
    """

    async def wrong():
        try:
            await asyncio.sleep(0)
            database = Database()
            yield database
        finally:
            database.opened

    async def body(container):
        pass

    assert "UnboundLocalError" in str(found_in(scenario_of(wrong, body)))


def test_a_scenario_that_fails_by_itself_is_told():
    """
    A scenario that fails without any fault of ours is wrong from its first run; its own error is the cause.
    """

    async def scenario():
        raise KeyError("mine")

    error = found_in(scenario)

    assert "the scenario fails by itself: KeyError: 'mine'" in str(error)
    assert isinstance(error.__cause__, KeyError)


@pytest.mark.slow
def test_too_many_interleavings(monkeypatch):
    """
    Where there are too many, a choice of them has to be asked for.
    """
    monkeypatch.setattr("asyncmeta.testing.exploring.MOST", 10)

    async def scenario():
        async with asyncio.TaskGroup() as group:
            for _ in range(6):
                group.create_task(asyncio.sleep(0))

    with pytest.raises(RuntimeError, match="more than 10 interleavings"):
        explore(scenario)
    assert explore(scenario, runs=20).runs == 20


def test_more_runs_than_can_be_waited_for(monkeypatch):
    """
    The number of all runs is bounded, however small each of them is.
    """
    monkeypatch.setattr("asyncmeta.testing.exploring.MOST", 1)

    async def scenario():
        await asyncio.sleep(0)

    with pytest.raises(RuntimeError, match="more than 1 interleavings"):
        explore(scenario)


def test_a_scenario_has_to_be_deterministic():
    """
    A scenario that does other things each time cannot be explored, and that is said.
    """
    times = iter(range(10, 0, -1))

    async def scenario():
        for _ in range(next(times)):
            await asyncio.sleep(0)

    with pytest.raises(RuntimeError, match="not deterministic"):
        explore(scenario)


def test_a_scenario_that_differs_in_the_middle_is_told():
    """
    So is one that goes through as many choices, of which one has more ways than it had before.
    """
    times = iter(range(100))

    async def scenario():
        tasks = [asyncio.create_task(asyncio.sleep(0)) for _ in range(next(times) % 2)]
        for _ in range(3):
            await asyncio.sleep(0)
        await asyncio.gather(*tasks)

    with pytest.raises(RuntimeError, match="not deterministic"):
        explore(scenario)


def test_a_callback_that_fails_is_found():
    """
    What the loop's exception handler is told of is wrong, though nobody awaits it.
    """

    async def scenario():
        asyncio.get_running_loop().call_soon(lambda: {}["missing"])
        await asyncio.sleep(0)

    assert "KeyError('missing')" in str(found_in(scenario))


def test_a_timer_that_was_cancelled_lets_no_time_pass():
    """
    A timer that nobody waits for any more is skipped.
    """
    seen = []

    async def scenario():
        loop = asyncio.get_running_loop()
        loop.call_later(5, seen.append, "called").cancel()
        began = loop.time()
        await asyncio.sleep(7)
        seen.append(loop.time() - began)

    explore(scenario)

    assert set(seen) == {7.0}


def test_a_thread_that_does_not_end_is_found(monkeypatch):
    """
    A worker thread is waited for, but not for ever.
    """
    monkeypatch.setattr("asyncmeta.testing.turning.PATIENCE", 0.01)
    over = threading.Event()

    async def scenario():
        await asyncio.to_thread(over.wait)

    try:
        error = found_in(scenario)
    finally:
        over.set()

    assert "a worker thread has not ended after" in str(error)


def test_a_task_that_cannot_be_cancelled_is_given_up():
    """
    A task that goes on after each cancellation is told of, and left to itself; the next exploration has nothing of it.
    """

    async def stubborn():
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(1)

    async def scenario():
        task = asyncio.create_task(stubborn())
        await asyncio.sleep(0)
        del task

    async def plain():
        await asyncio.sleep(0)

    assert "a task was left: stubborn waits at" in str(found_in(scenario))
    assert explore(plain).runs == 3


def test_a_task_that_begins_anew_as_it_ends_is_given_up():
    """
    What leaves another one like it behind, whenever it is cancelled, is told of, and is not followed for ever.
    """
    begun = []

    async def hydra():
        begun.append(1)
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            heads.append(asyncio.create_task(hydra()))
            raise

    heads = []

    async def scenario():
        heads[:] = [asyncio.create_task(hydra())]
        await asyncio.sleep(0)

    error = found_in(scenario)

    assert "a task was left: hydra waits at" in str(error)
    assert len(begun) < 30


def test_what_was_cancelled_may_fail_instead():
    """
    An await of something that another task has cancelled can fail as any other.
    """
    seen = []

    async def scenario():
        future = asyncio.get_running_loop().create_future()

        async def cancel():
            future.cancel()

        task = asyncio.create_task(cancel())
        try:
            await future
        except asyncio.CancelledError:
            if asyncio.current_task().cancelling():
                raise
            seen.append("cancelled")
        except testing.turning.Injected:
            seen.append("failed")
            raise
        finally:
            await asyncio.wait([task])

    explore(scenario)

    assert {"cancelled", "failed"} <= set(seen)


def test_coroutines_of_generators_are_looked_through():
    """
    A scenario may wait in a coroutine that is a decorated generator: the place that is told is inside of it.
    """

    @types.coroutine
    def waits():
        yield from asyncio.Event().wait().__await__()

    async def scenario():
        await waits()

    assert "nothing can go on: scenario waits at" in str(found_in(scenario))


def test_sleeping_elsewhere_is_what_it_was():
    """
    A loop that a scenario runs in a thread has nothing to do with the exploration: there `sleep(0)` is as ever.
    """
    seen = []

    async def scenario():
        await asyncio.to_thread(lambda: seen.append(asyncio.run(asyncio.sleep(0, "slept"))))

    explore(scenario, runs=5)  # not all: a thread ends when it likes

    assert set(seen) == {"slept"}


def test_a_turn_that_a_callback_cancels_is_over():
    """
    A task that a callback cancels while it waits for its turn gets none.
    """
    seen = []

    async def impatient():
        task = asyncio.current_task()
        asyncio.get_running_loop().call_soon(lambda: task.cancel())
        await asyncio.sleep(0)
        seen.append("a turn")

    async def scenario():
        await asyncio.wait([asyncio.create_task(impatient())])
        seen.append("over")

    explore(scenario)

    assert set(seen) == {"over"}


def test_warnings_of_other_kinds_are_passed_on():
    """
    A warning that is no ResourceWarning is nothing wrong with the scenario: it is heard after the run.
    """

    async def scenario():
        warnings.warn("this is old", DeprecationWarning, stacklevel=1)

    with pytest.warns(DeprecationWarning, match="this is old"):
        assert explore(scenario).runs == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_ends_the_exploration(error):
    """
    A Ctrl-C in a scenario is no finding: it comes out as it is.
    """

    async def scenario():
        raise error

    with pytest.raises(error):
        explore(scenario)


async def test_a_running_loop_is_refused():
    """
    Explore is called from a plain function.
    """
    with pytest.raises(RuntimeError, match="from a plain function"):
        explore(asyncio.sleep)


@pytest.mark.parametrize("runs", [0, -1, True, "all"])
def test_a_wrong_number_of_runs_is_refused(runs):
    """
    Runs is a positive number.
    """
    with pytest.raises(ValueError, match="at least 1"):
        explore(asyncio.sleep, runs=runs)


def test_a_coroutine_is_refused():
    """
    Explore needs the function: a coroutine runs once.
    """

    async def scenario():
        pass

    coroutine = scenario()
    with pytest.raises(TypeError, match="the async function itself"):
        explore(coroutine)
    coroutine.close()


# --- what is promised --------------------------------------------------------------------------------


def test_every_name_is_in_the_reference():
    """
    Every public name of the room is there, and has its entry in the reference.
    """
    page = (Path(__file__).parents[2] / "docs" / "reference" / "testing.rst").read_text(encoding="utf-8")
    entries = re.findall(r"^\.\. auto\w+:: (?:asyncmeta\.testing\.)?(\w+)", page, re.MULTILINE)

    assert sorted(entries) == testing.__all__ == sorted(testing.__all__)
    assert [name for name in testing.__all__ if not hasattr(testing, name)] == []
