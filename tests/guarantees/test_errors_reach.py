"""Promise 3: errors reach every waiter unwrapped, are not kept, and leave nothing locked."""

import asyncio
import traceback

import pytest
from helpers import Journal, fresh_app, leaves, outcome, settled

from asyncmeta import AsyncDependencyDescriptor, AsyncServiceBase, BuildTimeoutError, ClosedError, Container


class Stop(BaseException):
    """What is no Exception."""


async def test_one_exception_object_reaches_every_waiter():
    """
    All who wait for a build that fails get the very exception that the factory raised.
    """
    App, go_on, error = fresh_app(), asyncio.Event(), ValueError("bad")

    async def make():
        await go_on.wait()
        raise error

    App.register_dependency("value", make)
    App.register_dependency("user", lambda value: value)
    async with Container(App) as container:
        tasks = [asyncio.create_task(container.get(name)) for name in ("value", "user", "value", "user")]
        await settled()
        go_on.set()
        ends = [await outcome(task) for task in tasks]

    assert all(end is error for end in ends)


async def test_a_failure_is_not_kept():
    """
    After a failure the next call runs the factory again.
    """
    App, calls = fresh_app(), []

    async def make():
        calls.append(1)
        if len(calls) < 3:
            raise ValueError(len(calls))
        return "value"

    for lifetime in ("singleton", "scoped"):
        App.register_dependency(lifetime, make, lifetime=lifetime)
    async with Container(App) as container, container.scope() as scope:
        for name in ("singleton", "scoped"):
            calls.clear()
            ends = [await outcome(scope.get(name)) for _ in range(4)]

            assert [type(end) for end in ends] == [ValueError, ValueError, str, str]
            assert len(calls) == 3


@pytest.mark.parametrize("lifetime", ["singleton", "scoped", "transient"])
@pytest.mark.parametrize("kind", ["sync", "async", "generator", "async generator"])
async def test_a_base_exception_leaves_nothing_locked(lifetime, kind):
    """
    A factory that raises what is no Exception is as good as one that fails: the next call works.
    """
    App, calls = fresh_app(), []

    def check():
        calls.append(1)
        if len(calls) == 1:
            raise Stop

    def sync():
        check()
        return "value"

    async def coroutine():
        await asyncio.sleep(0)
        check()
        return "value"

    def generator():
        check()
        yield "value"

    async def async_generator():
        await asyncio.sleep(0)
        check()
        yield "value"

    factories = {"sync": sync, "async": coroutine, "generator": generator, "async generator": async_generator}
    App.register_dependency("value", factories[kind], lifetime=lifetime)
    async with Container(App) as container, container.scope() as scope:
        first = await outcome(scope.get("value"))
        second = await scope.get("value")

    assert isinstance(first, Stop)
    assert second == "value"


async def test_the_exception_of_the_user_is_not_wrapped():
    """
    What a factory deep in the graph raises comes out as it is, with a note of the path.
    """
    App, error = fresh_app(), KeyError("bad")

    async def low():
        raise error

    App.register_dependency("low", low)
    App.register_dependency("middle", lambda low: low)
    App.register_dependency("high", lambda middle: middle)
    async with Container(App) as container:
        with pytest.raises(KeyError) as caught:
            await container.get("high")

    notes = "\n".join(caught.value.__notes__)
    assert caught.value is error
    assert '"low"' in notes
    assert '"high"' in notes


async def test_traceback_and_notes_do_not_grow_with_the_waiters():
    """
    A hundred waiters of one failure see tracebacks as long as one alone does, and the notes are not repeated for each.
    """

    async def lengths(waiters):
        App, go_on, error = fresh_app(), asyncio.Event(), ValueError("bad")

        async def make():
            await go_on.wait()
            raise error

        App.register_dependency("value", make)
        async with Container(App) as container:

            async def ask():
                try:
                    await container.get("value")
                except ValueError as raised:
                    return len(traceback.extract_tb(raised.__traceback__))

            tasks = [asyncio.create_task(ask()) for _ in range(waiters)]
            await settled()
            go_on.set()
            return max(await asyncio.gather(*tasks)), len(error.__notes__)

    alone, together = await lengths(2), await lengths(100)

    assert together == alone


async def test_what_was_built_before_a_failure_is_closed_at_the_scopes_end():
    """
    A root fails at its last dependency: what was built before stays owned and is closed in reverse order.
    """
    App, journal = fresh_app(), Journal()

    async def a():
        with journal.noting("a"):
            yield "a"

    def b(a):
        with journal.noting("b"):
            yield "b"

    async def c(a, b):
        raise ValueError("c")

    for make in (a, b, c):
        App.register_dependency(make.__name__, make, lifetime="scoped")
    async with Container(App) as container:
        async with container.scope() as scope:
            with pytest.raises(ValueError, match="c"):
                await scope.get("c")
            before = list(journal)
            b_again = await scope.get("b")

    assert before == ["+a", "+b"]
    assert b_again == "b"
    assert journal == ["+a", "+b", "-b", "-a"]


async def test_transient_resources_of_a_failed_root_are_closed():
    """
    Transient resources that were made for a root that failed are closed with their scope.
    """
    App, journal = fresh_app(), Journal()

    async def part():
        with journal.noting("part"):
            yield "part"

    async def whole(part):
        raise ValueError("whole")

    App.register_dependency("part", part, lifetime="transient")
    App.register_dependency("whole", whole, lifetime="transient")
    async with Container(App) as container:
        async with container.scope() as scope:
            for _ in range(2):
                with pytest.raises(ValueError, match="whole"):
                    await scope.get("whole")
            assert journal == ["+part", "+part"]

        assert journal == ["+part", "+part", "-part", "-part"]


@pytest.mark.parametrize("how", ["fails", "is cancelled", "is closed"])
async def test_transient_resources_of_a_singleton_that_was_not_made_are_closed(how):
    """
    What was made for a singleton whose build failed, was cancelled, or met the closing is closed once, errors and all.
    """
    App, journal, error = fresh_app(), Journal(), KeyError("part")

    async def part():
        with journal.noting("part"):
            try:
                yield "part"
            finally:
                if how == "is closed":
                    raise error

    async def whole(part):
        if how == "fails":
            raise ValueError("whole")
        await asyncio.Event().wait()
        yield [part]

    App.register_dependency("part", part, lifetime="transient")
    App.register_dependency("whole", whole)
    container = Container(App)
    task = asyncio.create_task(container.get("whole"))
    await settled()
    if how == "is cancelled":
        task.cancel()
        await settled()
    closing = await outcome(container.aclose())
    end = await outcome(task)

    assert journal == ["+part", "-part"]
    assert isinstance(end, {"fails": ValueError, "is cancelled": asyncio.CancelledError, "is closed": ClosedError}[how])
    if how == "is closed":
        assert error in [*leaves(closing), *leaves(end)]


async def test_an_attribute_that_failed_can_be_awaited_again():
    """
    An awaited attribute whose factory failed raises, and the next await tries again.
    """
    calls = []

    class App(AsyncServiceBase):
        value = AsyncDependencyDescriptor("value")

    def make():
        calls.append(1)
        if len(calls) == 1:
            raise ValueError("bad")
        return "value"

    App.register_dependency("value", make)
    app = App()

    first, second = await outcome(app.value), await app.value

    assert isinstance(first, ValueError)
    assert second == "value"


async def test_a_failure_in_one_scope_is_none_in_another():
    """
    A scoped factory that fails in one scope works in another, at the same time.
    """
    App = fresh_app(context=["name"])

    async def make(name):
        await asyncio.sleep(0)
        if name == "bad":
            raise ValueError(name)
        return name

    App.register_dependency("value", make, lifetime="scoped")
    async with Container(App) as container:
        async with container.scope({"name": "bad"}) as bad, container.scope({"name": "good"}) as good:
            ends = await asyncio.gather(outcome(bad.get("value")), outcome(good.get("value")))

    assert isinstance(ends[0], ValueError)
    assert ends[1] == "good"


async def test_start_fails_with_the_users_exception_and_can_be_tried_again():
    """
    A singleton that fails in `start` raises its exception as it is; the next start goes on from there.
    """
    App, journal, fail = fresh_app(), Journal(), [True]

    async def good():
        with journal.noting("good"):
            yield "good"

    async def bad(good):
        if fail[0]:
            raise ValueError("bad")
        with journal.noting("bad"):
            yield "bad"

    App.register_dependency("good", good)
    App.register_dependency("bad", bad)
    async with Container(App) as container:
        with pytest.raises(ValueError, match="bad"):
            await container.start()
        fail[0] = False
        await container.start()

    assert journal == ["+good", "+bad", "-bad", "-good"]


async def test_a_timeout_bounds_the_factorys_own_run():
    """
    `timeout=` ends a factory that takes too long with BuildTimeoutError, which says what and how long.
    """
    App, cancelled = fresh_app(), []

    async def make():
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(1)
            raise

    App.register_dependency("slow", make, timeout=0.01)
    async with Container(App) as container:
        with pytest.raises(BuildTimeoutError) as caught:
            await container.get("slow")

    assert isinstance(caught.value, TimeoutError)
    assert caught.value.key == '"slow"'
    assert caught.value.seconds == 0.01
    assert cancelled == [1]


async def test_a_timeout_does_not_count_the_waiting_for_dependencies():
    """
    The time that a dependency takes is not its user's.
    """
    App, go_on = fresh_app(), asyncio.Event()

    async def low():
        await go_on.wait()
        return "low"

    async def high(low):
        await asyncio.sleep(0)
        return [low]

    App.register_dependency("low", low)
    App.register_dependency("high", high, timeout=0.02)
    async with Container(App) as container:
        task = asyncio.create_task(container.get("high"))
        await asyncio.sleep(0.06)  # longer than the limit; that the build is not over is what is asserted
        waiting = not task.done()
        go_on.set()
        value = await task

    assert waiting
    assert value == ["low"]
