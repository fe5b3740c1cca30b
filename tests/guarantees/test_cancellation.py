"""Promise 2: a cancellation affects the one who is cancelled; nothing half-built stays; closing goes to its end."""

import asyncio

import pytest
from helpers import Journal, fresh_app, leaves, outcome, settled

from asyncmeta import AsyncServiceBase, Container, FinalizationErrors


class Steps:
    """A factory's waiting points: each build begins, waits, and is let go by the test."""

    def __init__(self):
        self.begun = 0
        self.gates = []

    async def wait(self):
        self.begun += 1
        gate = asyncio.get_running_loop().create_future()
        self.gates.append(gate)
        await gate

    def go(self):
        for gate in self.gates:
            if not gate.done():
                gate.set_result(None)


async def test_a_cancelled_waiter_leaves_the_build_running():
    """
    One of two waiters is cancelled: the build goes on for the other.
    """
    App, steps = fresh_app(), Steps()

    async def make():
        await steps.wait()
        return "value"

    App.register_dependency("value", make)
    async with Container(App) as container:
        one, other = (asyncio.create_task(container.get("value")) for _ in range(2))
        await settled()
        other.cancel()
        await settled()
        steps.go()
        values = [await outcome(task) for task in (one, other)]

    assert values[0] == "value"
    assert isinstance(values[1], asyncio.CancelledError)
    assert steps.begun == 1


async def test_the_caller_that_began_a_build_may_be_cancelled():
    """
    The task that began the build of a singleton is cancelled: the build goes on for those who joined.
    """
    App, steps = fresh_app(), Steps()

    async def make():
        await steps.wait()
        return "value"

    App.register_dependency("value", make)
    App.register_dependency("user", lambda value: [value])
    async with Container(App) as container:
        first = asyncio.create_task(container.get("user"))
        await settled()
        second = asyncio.create_task(container.get("value"))
        await settled()
        first.cancel()
        await settled()
        steps.go()
        value = await second

    assert first.cancelled()
    assert value == "value"
    assert steps.begun == 1


async def test_a_build_that_nobody_waits_for_is_cancelled():
    """
    All waiters are cancelled: so is the build, nothing half-built stays, and the next call builds anew.
    """
    App, steps, journal = fresh_app(), Steps(), Journal()

    async def make():
        with journal.noting("set up"):
            await steps.wait()
        with journal.noting("value"):
            yield "value"

    App.register_dependency("value", make)
    async with Container(App) as container:
        tasks = [asyncio.create_task(container.get("value")) for _ in range(3)]
        await settled()
        for task in tasks:
            task.cancel()
        await settled()
        given_up = list(journal)
        again = asyncio.create_task(container.get("value"))
        await settled()
        steps.go()
        value = await again

    assert all(task.cancelled() for task in tasks)
    assert given_up == ["+set up", "-set up"]
    assert value == "value"
    assert journal == ["+set up", "-set up", "+set up", "-set up", "+value", "-value"]


@pytest.mark.parametrize("asked", ["value", "user", "both"])
async def test_a_newcomer_waits_for_the_end_of_a_dying_build(asked):
    """
    There are never two factories of one key at once: who asks while a cancelled build ends waits and begins anew.
    """
    App, running, most = fresh_app(), [0], [0]
    dying, end, begun = asyncio.Event(), asyncio.Event(), []

    async def make():
        running[0] += 1
        most[0] = max(most[0], running[0])
        begun.append(1)
        try:
            if len(begun) == 1:
                try:
                    await asyncio.Event().wait()
                finally:
                    dying.set()
                    await end.wait()
            return len(begun)
        finally:
            running[0] -= 1

    async def use(value):
        return value

    App.register_dependency("value", make)
    App.register_dependency("user", use)
    App.register_dependency("both", lambda user, value: user)
    async with Container(App) as container:
        first = asyncio.create_task(container.get("value"))
        await settled()
        first.cancel()
        await dying.wait()
        newcomer = asyncio.create_task(container.get(asked))
        await settled()
        waited = not newcomer.done()
        end.set()
        value = await newcomer

    assert waited
    assert value == 2
    assert most == [1]


async def test_what_a_cancelled_build_had_needed_stays_and_is_closed():
    """
    The user's build is cancelled after its dependency was built: the dependency is kept and closed once.
    """
    App, steps, journal = fresh_app(), Steps(), Journal()

    async def make_low():
        with journal.noting("low"):
            yield "low"

    async def make_high(low):
        await steps.wait()
        return [low]

    App.register_dependency("low", make_low)
    App.register_dependency("high", make_high)
    async with Container(App) as container:
        task = asyncio.create_task(container.get("high"))
        await settled()
        task.cancel()
        cancelled = await outcome(task)
        before = list(journal)
        low = await container.get("low")

    assert isinstance(cancelled, asyncio.CancelledError)
    assert before == ["+low"]
    assert low == "low"
    assert journal == ["+low", "-low"]


async def test_a_timeout_around_a_get_is_a_timeout():
    """
    `asyncio.timeout` around a get ends it with TimeoutError, and a later get works.
    """
    App, steps = fresh_app(), Steps()

    async def make():
        await steps.wait()
        return "value"

    App.register_dependency("value", make)
    async with Container(App) as container:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await container.get("value")
        again = asyncio.create_task(container.get("value"))
        await settled()
        steps.go()
        value = await again

    assert value == "value"


async def test_cancellation_in_a_scoped_generators_set_up():
    """
    The caller is cancelled while a scoped generator sets up: its own cleaning up runs, the scope stays usable.
    """
    App, steps, journal = fresh_app(), Steps(), Journal()

    async def open_session(database):
        journal.append("begin")
        try:
            await steps.wait()
        except BaseException:
            journal.append("undo")
            raise
        with journal.noting("session"):
            yield "session"

    async def open_database():
        with journal.noting("database"):
            yield "database"

    App.register_dependency("database", open_database, lifetime="scoped")
    App.register_dependency("session", open_session, lifetime="scoped")
    async with Container(App) as container, container.scope() as scope:
        task = asyncio.create_task(scope.get("session"))
        await settled()
        task.cancel()
        cancelled = await outcome(task)
        again = asyncio.create_task(scope.get("session"))
        await settled()
        steps.go()
        value = await again

    assert isinstance(cancelled, asyncio.CancelledError)
    assert value == "session"
    assert journal == ["+database", "begin", "undo", "begin", "+session", "-session", "-database"]


async def test_a_waiter_takes_over_a_scoped_build():
    """
    The task that builds a scoped value is cancelled: a task that waited for it builds it instead.
    """
    App, steps = fresh_app(), Steps()

    async def make():
        await steps.wait()
        return steps.begun

    App.register_dependency("value", make, lifetime="scoped")
    async with Container(App) as container, container.scope() as scope:
        builder = asyncio.create_task(scope.get("value"))
        await settled()
        waiters = [asyncio.create_task(scope.get("value")) for _ in range(3)]
        await settled()
        builder.cancel()
        await settled()
        steps.go()
        values = await asyncio.gather(*waiters)

    assert builder.cancelled()
    assert values == [2, 2, 2]


async def test_cancellation_in_a_scopes_body_closes_the_scope():
    """
    The task in a scope's body is cancelled: the scope is closed in order and the cancellation propagates.
    """
    App, journal, inside = fresh_app(), Journal(), asyncio.Event()

    async def one():
        with journal.noting("one"):
            yield "one"

    def two(one):
        with journal.noting("two"):
            yield "two"

    App.register_dependency("one", one, lifetime="scoped")
    App.register_dependency("two", two, lifetime="scoped")
    async with Container(App) as container:

        async def use():
            async with container.scope() as scope:
                await scope.get("two")
                inside.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(use())
        await inside.wait()
        task.cancel()
        end = await outcome(task)

    assert isinstance(end, asyncio.CancelledError)
    assert task.cancelled()
    assert journal == ["+one", "+two", "-two", "-one"]


def three_resources(App, lifetime, journal, steps):
    """Register "a", "b" (which waits while it is closed) and "c", each needing the one before."""

    async def a():
        with journal.noting("a"):
            yield "a"

    async def b(a):
        try:
            with journal.noting("b"):
                yield "b"
                await steps.wait()
                journal.append("b in peace")
        except asyncio.CancelledError:
            journal.append("b was cancelled")
            raise

    async def c(b):
        with journal.noting("c"):
            yield "c"

    for make in (a, b, c):
        App.register_dependency(make.__name__, make, lifetime=lifetime)


async def test_cancellation_during_a_scopes_closing_closes_the_rest():
    """
    The task that closes a scope is cancelled in a finalizer: the others still run, each once, and it propagates.
    """
    App, journal, steps = fresh_app(), Journal(), Steps()
    three_resources(App, "scoped", journal, steps)
    async with Container(App) as container:

        async def use():
            async with container.scope() as scope:
                await scope.get("c")

        task = asyncio.create_task(use())
        await settled()
        assert steps.begun == 1
        task.cancel()
        await settled()
        steps.go()
        end = await outcome(task)

    assert isinstance(end, asyncio.CancelledError)
    assert task.cancelled()
    assert journal.closed == ["c", "b", "a"]


async def test_cancellation_during_a_containers_closing_closes_the_rest():
    """
    The task that closes the container is cancelled meanwhile: closing goes to its end, and then it propagates.
    """
    App, journal, steps = fresh_app(), Journal(), Steps()
    three_resources(App, "singleton", journal, steps)
    container = Container(App)
    await container.get("c")

    task = asyncio.create_task(container.aclose())
    await settled()
    assert steps.begun == 1
    task.cancel()
    await settled()
    steps.go()
    end = await outcome(task)

    assert isinstance(end, asyncio.CancelledError)
    assert task.cancelled()
    assert journal.closed == ["c", "b", "a"]


async def test_one_of_two_closers_is_cancelled():
    """
    Two tasks close one container and one of them is cancelled: the other sees the whole closing.
    """
    App, journal, steps = fresh_app(), Journal(), Steps()
    three_resources(App, "singleton", journal, steps)
    container = Container(App)
    await container.get("c")

    one, other = asyncio.create_task(container.aclose()), asyncio.create_task(container.aclose())
    await settled()
    one.cancel()
    await settled()
    steps.go()
    ends = [await outcome(task) for task in (one, other)]

    assert isinstance(ends[0], asyncio.CancelledError)
    assert ends[1] is None
    assert journal == ["+a", "+b", "+c", "-c", "b in peace", "-b", "-a"]


async def test_cancelled_twice_is_still_closed():
    """
    A close that is cancelled again and again still runs every finalizer once.
    """
    App, journal, steps = fresh_app(), Journal(), Steps()
    three_resources(App, "singleton", journal, steps)
    container = Container(App)
    await container.get("c")

    task = asyncio.create_task(container.aclose())
    await settled()
    for _ in range(3):
        task.cancel()
        await settled()
    steps.go()
    end = await outcome(task)

    assert isinstance(end, asyncio.CancelledError)
    assert journal.closed == ["c", "b", "a"]


async def test_a_cancelled_close_keeps_the_errors_of_finalizers():
    """
    A cancelled close raises the cancellation, and what finalizers raised stands at the end of its context chain.
    """
    App, steps = fresh_app(), Steps()
    error = ValueError("in a finalizer")

    async def make():
        yield "value"
        await steps.wait()
        raise error

    App.register_dependency("value", make)
    container = Container(App)
    await container.get("value")

    async def close():
        try:
            await container.aclose()
        except asyncio.CancelledError as cancelled:
            return cancelled

    task = asyncio.create_task(close())
    await settled()
    task.cancel()
    await settled()
    steps.go()
    cancelled = await task

    chain = leaves(cancelled)
    assert error in chain
    assert any(isinstance(one, FinalizationErrors) for one in chain)


async def test_cancelled_before_the_build_could_begin():
    """
    A get that is cancelled before anything ran leaves nothing behind and hangs nobody.
    """
    App, calls = fresh_app(), []

    async def make():
        calls.append(1)
        await asyncio.sleep(0)
        return "value"

    App.register_dependency("value", make)
    async with Container(App) as container:
        for turns in range(4):
            task = asyncio.create_task(container.get("value"))
            await settled(turns)
            task.cancel()
            other = asyncio.create_task(container.get("value"))
            assert await other == "value"
            await outcome(task)
            await container.aclose()
            await container.__aenter__()

    assert len(calls) <= 8


async def test_a_build_cancelled_by_its_own_factory_is_an_error_for_all():
    """
    A factory that raises CancelledError of its own accord does not leave its waiters hanging, nor a later call.
    """
    App, begun, calls = fresh_app(), asyncio.Event(), []

    async def make():
        calls.append(1)
        if len(calls) > 1:
            return "value"
        await begun.wait()
        raise asyncio.CancelledError("by the factory")

    App.register_dependency("value", make)
    async with Container(App) as container:
        tasks = [asyncio.create_task(container.get("value")) for _ in range(3)]
        await settled()
        begun.set()
        done, pending = await asyncio.wait(tasks, timeout=5)
        later = await container.get("value")

    assert not pending
    assert all(task.cancelled() or task.exception() or task.result() == "value" for task in done)
    assert later == "value"


async def test_a_failing_get_stops_waiting_for_its_other_builds():
    """
    One of two side-by-side builds fails: the other, which nobody else waits for, is cancelled and its set-up undone.
    """
    App, journal, steps = fresh_app(), Journal(), Steps()
    fail = asyncio.Event()

    async def bad():
        await fail.wait()
        raise ValueError("bad")

    async def slow():
        with journal.noting("set up"):
            await steps.wait()
        yield "slow"

    App.register_dependency("bad", bad)
    App.register_dependency("slow", slow)
    App.register_dependency("both", lambda bad, slow: (bad, slow))
    async with Container(App) as container:
        task = asyncio.create_task(container.get("both"))
        await settled()
        assert journal == ["+set up"]
        fail.set()
        end = await outcome(task)
        await settled()

        assert isinstance(end, ValueError)
        assert journal == ["+set up", "-set up"]


@pytest.mark.parametrize("lifetime", ["singleton", "scoped", "transient"])
@pytest.mark.parametrize("how", ["cancelled", "failed"])
async def test_a_service_that_was_half_started_is_made_anew(how, lifetime):
    """
    A service whose `on_startup` was cancelled or failed is not started a second time: a new instance is.
    """
    steps, constructed, started = Steps(), [], []

    class Service(AsyncServiceBase, lifetime=lifetime):
        def __init__(self):
            constructed.append(self)

        async def on_startup(self):
            started.append(self)
            await steps.wait()
            if how == "failed" and len(started) == 1:
                raise ValueError("half started")

    App = fresh_app()
    async with Container(App) as container, container.scope() as scope:
        task = asyncio.create_task(scope.get(Service))
        await settled()
        if how == "cancelled":
            task.cancel()
        steps.go()
        await outcome(task)
        again = asyncio.create_task(scope.get(Service))
        await settled()
        steps.go()
        service = await again

    assert len(started) == len(constructed) == 2
    assert started[0] is not started[1]
    assert service is started[1]


@pytest.mark.parametrize("lifetime", ["singleton", "scoped"])
@pytest.mark.parametrize("asked", ["itself", "a user"])
@pytest.mark.parametrize("comes", [0, 1, 5])
async def test_who_waits_for_a_service_that_is_not_started_gets_a_new_one(comes, asked, lifetime):
    """
    The task that starts a service is cancelled: who asks for it, early or late, gets one that was started once.
    """
    steps, constructed, started = Steps(), [], []

    class Service(AsyncServiceBase, lifetime=lifetime):
        def __init__(self):
            constructed.append(self)

        async def on_startup(self):
            started.append(self)
            if len(started) == 1:
                await steps.wait()

    def use(service: Service):
        return service

    App = fresh_app()
    App.register_dependency("user", use, lifetime=lifetime)
    async with Container(App) as container, container.scope() as scope:
        first = asyncio.create_task(scope.get(Service))
        await settled(5)
        if not comes:
            first.cancel()  # it dies while the other one comes
        second = asyncio.create_task(scope.get(Service if asked == "itself" else "user"))
        if comes:
            await settled(comes)
            first.cancel()
        await settled()
        steps.go()  # a singleton's start goes on for the one who waits
        service = await second
        end = await outcome(first)

    assert isinstance(end, asyncio.CancelledError)
    assert service is started[-1]
    assert len(set(started)) == len(started) == len(constructed)


async def test_no_task_is_left_after_cancellations():
    """
    After all waiters were cancelled no task of the container goes on.
    """
    App, steps = fresh_app(), Steps()

    async def make():
        await steps.wait()

    for name in ("a", "b", "c"):
        App.register_dependency(name, make)
    App.register_dependency("all", lambda a, b, c: (a, b, c))
    async with Container(App) as container:
        task = asyncio.create_task(container.get("all"))
        await settled()
        assert steps.begun == 3
        task.cancel()
        await outcome(task)
        await settled()
        left = asyncio.all_tasks() - {asyncio.current_task()}

    assert left == set()
