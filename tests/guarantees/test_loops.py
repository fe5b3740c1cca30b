"""Promise 12: event loops of every kind, one after another, dying, and two that live."""

import asyncio
import gc
import importlib.util
import sys
import threading
import warnings

import pytest
from helpers import LIMIT, Journal, fresh_app, outcome, settled

from asyncmeta import AsyncDependencyDescriptor, AsyncServiceBase, ClosedError, Container, WrongLoopError


def uvloop_run(main):
    """Run *main* on uvloop."""
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main)


def eager_run(main):
    """Run *main* on a loop whose tasks begin at once."""

    async def eagerly():
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        await main

    asyncio.run(eagerly())


def debug_run(main):
    """Run *main* on a loop that looks for mistakes."""
    asyncio.run(main, debug=True)


NO_UVLOOP = pytest.mark.skipif(importlib.util.find_spec("uvloop") is None, reason="uvloop is not installed")
NOT_EAGER = pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
LOOPS = pytest.mark.parametrize(
    "run",
    [
        pytest.param(asyncio.run, id="asyncio"),
        pytest.param(debug_run, id="debug"),
        pytest.param(uvloop_run, id="uvloop", marks=NO_UVLOOP),
        pytest.param(eager_run, id="eager", marks=NOT_EAGER),
    ],
)


def bounded(main):
    """Return *main*, given up after LIMIT seconds."""

    async def guard():
        async with asyncio.timeout(LIMIT):
            await main

    return guard()


@LOOPS
@pytest.mark.parametrize("waits", [True, False], ids=["factories wait", "factories do not"])
def test_a_whole_life_on_every_loop(run, waits):
    """
    Singletons, scopes, transients, attributes, many tasks and closing work on every kind of loop.
    """
    App, journal = fresh_app(), Journal()

    async def database():
        if waits:
            await asyncio.sleep(0)
        with journal.noting("database"):
            yield object()

    async def cache():
        if waits:
            await asyncio.sleep(0)
        return object()

    async def session(database):
        with journal.noting("session"):
            if waits:
                await asyncio.sleep(0)
            yield [database]

    class Handler(AsyncServiceBase, lifetime="scoped"):
        session = AsyncDependencyDescriptor("session")
        cache = AsyncDependencyDescriptor("cache")

    App.register_dependency("database", database)
    App.register_dependency("cache", cache)
    App.register_dependency("both", lambda database, cache: (database, cache))
    App.register_dependency("session", session, lifetime="scoped")

    async def request(container):
        async with container.scope() as scope:
            handler = await scope.get(Handler)
            session = await handler.session
            return session[0], await handler.cache

    async def main():
        async with Container(App) as container:
            pairs = await asyncio.gather(*(request(container) for _ in range(20)))
            both = await container.get("both")
            await container.start()
            assert all(pair == both for pair in pairs)

    run(bounded(main()))

    assert journal[0] == "+database"
    assert journal[-1] == "-database"
    assert journal.count("+session") == journal.count("-session") == 20


@LOOPS
def test_failures_and_cancellations_on_every_loop(run):
    """
    A failing build, a cancelled one and a later success work on every kind of loop.
    """
    App, calls = fresh_app(), []

    async def flaky():
        calls.append(1)
        if len(calls) == 1:
            raise ValueError("first")
        if len(calls) == 2:
            await asyncio.Event().wait()
        return "value"

    App.register_dependency("value", flaky)
    App.register_dependency("user", lambda value: [value])

    async def main():
        async with Container(App) as container:
            assert isinstance(await outcome(container.get("user")), ValueError)
            task = asyncio.create_task(container.get("user"))
            await settled()
            task.cancel()
            assert isinstance(await outcome(task), asyncio.CancelledError)
            assert await container.get("user") == ["value"]

    run(bounded(main()))

    assert len(calls) == 3


@NOT_EAGER
def test_an_eager_factory_that_asks_back():
    """
    With eager tasks a factory that asks its container, and one that needs it, do not trip over each other.
    """
    App = fresh_app()

    async def low():
        return "low"

    async def high():
        return [await container.get("low")]

    App.register_dependency("low", low)
    App.register_dependency("high", high)
    container = Container(App)

    async def main():
        values = await asyncio.gather(*(asyncio.create_task(container.get("high")) for _ in range(5)))
        assert values == [["low"]] * 5
        await container.aclose()

    eager_run(bounded(main()))


# --- one after another ---------------------------------------------------------------------------


def test_two_loops_in_sequence_with_closing_between():
    """
    A module's container may be entered in one `asyncio.run` and again in the next.
    """
    App, journal = fresh_app(), Journal()

    async def make():
        await asyncio.sleep(0)
        with journal.noting("value"):
            yield object()

    App.register_dependency("value", make)
    container = Container(App)

    async def main():
        async with container:
            return await container.get("value")

    assert asyncio.run(main()) is not asyncio.run(main())
    assert journal == ["+value", "-value"] * 2


def test_plain_values_outlive_their_loop():
    """
    Values without a finalizer that stand on none stay when their loop has gone.
    """
    App, calls = fresh_app(), []

    async def make():
        calls.append(1)
        return object()

    App.register_dependency("value", make)
    App.register_dependency("user", lambda value: [value])
    container = Container(App)

    async def main():
        return await container.get("user")

    first, second = asyncio.run(main()), asyncio.run(main())

    assert first is second
    assert calls == [1]


def test_the_end_of_a_loop_retires_what_has_finalizers():
    """
    `asyncio.run` ends without closing: finalizers run in reverse order, and what was built on them is forgotten.
    """
    App, journal = fresh_app(), Journal()

    async def low():
        with journal.noting("low"):
            yield object()

    async def high(low):
        with journal.noting("high"):
            yield [low]

    App.register_dependency("low", low)
    App.register_dependency("high", high)
    App.register_dependency("user", lambda high: [high])
    App.register_dependency("plain", object)
    container = Container(App)

    async def main():
        return await container.get("user"), await container.get("plain")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        first, plain = asyncio.run(main())
        ended = list(journal)
        second, plain_again = asyncio.run(main())
        asyncio.run(container.aclose())

    assert ended == ["+low", "+high", "-high", "-low"]
    assert first is not second
    assert plain is plain_again
    assert journal == ended * 2


def test_a_loop_that_dies_in_the_middle_of_a_build():
    """
    A loop is closed while a build is in flight: the next loop builds anew.
    """
    App, calls = fresh_app(), []

    async def make():
        calls.append(1)
        if len(calls) == 1:
            await asyncio.Event().wait()
        return "value"

    App.register_dependency("value", make)
    App.register_dependency("scoped", make, lifetime="scoped")
    App.register_dependency("user", lambda value: [value])
    container = Container(App)
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda loop, context: None)  # it says that tasks are destroyed pending
    task = loop.create_task(container.get("user"))
    loop.run_until_complete(settled())
    loop.close()
    del task
    gc.collect()

    async def main():
        async with asyncio.timeout(LIMIT):
            return await container.get("user")

    assert asyncio.run(main()) == ["value"]
    assert len(calls) == 2


def test_a_run_that_is_cancelled_in_the_middle_of_a_build():
    """
    `asyncio.run` ends while a build is in flight: it is cancelled with the loop's tasks, and the next run builds anew.
    """
    App, journal, calls = fresh_app(), Journal(), []

    async def make():
        calls.append(1)
        with journal.noting("set up"):
            if len(calls) == 1:
                await asyncio.Event().wait()
        return "value"

    App.register_dependency("value", make)
    container = Container(App)
    background = []

    async def first():
        background.append(asyncio.create_task(container.get("value")))
        await settled()

    async def second():
        async with asyncio.timeout(LIMIT):
            return await container.get("value")

    asyncio.run(first())

    assert background[0].cancelled()
    assert asyncio.run(second()) == "value"
    assert journal == ["+set up", "-set up"] * 2


def test_getters_follow_to_the_next_loop():
    """
    A getter made in one loop works in the next.
    """
    App = fresh_app()

    async def make():
        await asyncio.sleep(0)
        return object()

    App.register_dependency("value", make)
    container = Container(App)
    getter = container.getter("value")

    async def main():
        return await getter()

    assert asyncio.run(main()) is asyncio.run(main())


# --- two that live -------------------------------------------------------------------------------


async def in_other_loop(main):
    """Run *main* in a loop of another thread while this one lives; return its result or exception."""

    def work():
        try:
            return asyncio.run(main())
        except BaseException as error:
            return error

    return await asyncio.to_thread(work)


async def test_building_from_a_second_living_loop_is_refused():
    """
    A second loop that lives at the same time gets WrongLoopError at once when something has to be built.
    """
    App, calls = fresh_app(), []

    async def make():
        calls.append(1)
        await asyncio.sleep(0)
        return object()

    App.register_dependency("mine", make)
    App.register_dependency("other", make)
    async with Container(App) as container:
        mine = await container.get("mine")
        read = await in_other_loop(lambda: container.get("mine"))
        refused = await in_other_loop(lambda: container.get("other"))
        other = await container.get("other")

    assert read is mine
    assert isinstance(refused, WrongLoopError)
    assert other is not mine
    assert len(calls) == 2


async def test_a_second_living_loop_does_not_join_a_build_in_flight():
    """
    While the first loop builds, another one is refused at once instead of waiting on a foreign future.
    """
    App, go_on = fresh_app(), asyncio.Event()

    async def make():
        await go_on.wait()
        return "value"

    App.register_dependency("value", make)
    async with Container(App) as container:
        task = asyncio.create_task(container.get("value"))
        await settled()
        refused = await in_other_loop(lambda: container.get("value"))
        go_on.set()
        value = await task

    assert isinstance(refused, WrongLoopError)
    assert value == "value"


def test_many_loops_at_once_give_one_construction_or_a_clear_error():
    """
    Loops of several threads that ask at the same time for one singleton: it is built once; the others read or are told.
    """
    for _ in range(20):
        App, calls = fresh_app(), []

        def factory_for(calls):
            async def factory():
                calls.append(1)
                await asyncio.sleep(0)
                return object()

            return factory

        App.register_dependency("value", factory_for(calls))
        container = Container(App)
        barrier, ends = threading.Barrier(4), []

        def work(container=container, barrier=barrier, ends=ends):
            async def main():
                barrier.wait(LIMIT)
                end = await outcome(container.get("value"))
                barrier.wait(LIMIT)  # so that all loops live until the last one has its answer
                return end

            ends.append(asyncio.run(main()))

        threads = [threading.Thread(target=work, daemon=True) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LIMIT)

        values = [end for end in ends if not isinstance(end, BaseException)]
        refused = [end for end in ends if isinstance(end, BaseException)]
        assert len(ends) == 4
        assert len(calls) == 1
        assert len(set(map(id, values))) == 1
        assert all(isinstance(end, WrongLoopError) for end in refused)


async def test_closing_from_a_second_living_loop_never_hangs():
    """
    A container that another loop's tasks hold is closed by its own loop: another one is told, or closes it.
    """
    App, journal = fresh_app(), Journal()

    async def make():
        with journal.noting("value"):
            yield "value"

    App.register_dependency("value", make)
    container = Container(App)
    await container.get("value")
    end = await in_other_loop(container.aclose)
    await container.aclose()

    assert end is None or isinstance(end, WrongLoopError | ClosedError)
    assert journal == ["+value", "-value"]


@pytest.mark.parametrize("times", [0, 1, 4], ids=["never asked before", "asked before", "asked often"])
async def test_a_scope_builds_in_its_containers_loop_only(times):
    """
    A scope that a second living loop asks for what is not there says so at once: that loop may be gone a moment later.
    """
    App, journal = fresh_app(), Journal()

    async def session():
        with journal.noting("session"):
            yield "session"

    App.register_dependency("session", session, lifetime="scoped")
    async with Container(App) as container:
        for _ in range(times):
            async with container.scope() as scope:
                await scope.get("session")
        journal.clear()
        async with container.scope() as scope:
            refused = await in_other_loop(lambda: scope.get("session"))
            early = list(journal)
            value = await scope.get("session")
            read = await in_other_loop(lambda: scope.get("session"))

    assert isinstance(refused, WrongLoopError)
    assert early == []
    assert read is value
    assert journal == ["+session", "-session"]


def test_the_code_of_a_scope_serves_the_loop_that_comes_after():
    """
    Code that was made for one loop builds in its successor, when the first one has closed, without a word.
    """
    App, journal = fresh_app(), Journal()

    async def session():
        with journal.noting("session"):
            yield "session"

    App.register_dependency("session", session, lifetime="scoped")
    container = Container(App)

    async def use():
        for _ in range(4):
            async with container.scope() as scope:
                await scope.get("session")

    for _ in range(3):
        asyncio.run(use())

    assert journal == ["+session", "-session"] * 12


def test_what_fails_as_a_loop_ends_is_told_to_the_loop():
    """
    The failure of a finalizer that is run because its loop ends is the loop's to handle; what needs no loop is closed, too.
    """
    App, told, closed = fresh_app(), [], []

    async def fails():
        yield "fails"
        raise OSError("cannot be closed")

    def plain():
        yield "plain"
        closed.append("plain")

    App.register_dependency("fails", fails)
    App.register_dependency("plain", plain)
    container = Container(App)

    async def main():
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))
        await container.get("plain")
        await container.get("fails")

    asyncio.run(main())

    assert [str(context["exception"]) for context in told] == ["cannot be closed"]
    assert "App failed while its event loop ended" in told[0]["message"]
    assert closed == ["plain"]
