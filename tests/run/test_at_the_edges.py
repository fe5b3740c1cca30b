"""Containers and scopes while they close, or are used in two ways at once: what is refused, and what goes on."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator

import pytest
from helpers import fresh_app, guarded, settled

from asyncmeta import AsyncDependencyError, ClosedError, Container, ContainerError, Factory, Lazy, Observer


class Slow:
    """A value that takes as long as a test likes."""


class Report:
    def __init__(self, title: str):
        self.title = title


def waiting_app(lifetime="scoped"):
    """Return an application whose Slow is there when its gate is opened, and that gate, and what tells that it is asked for."""
    asked, gate = asyncio.Event(), asyncio.Event()

    async def slow() -> Slow:
        asked.set()
        await gate.wait()
        return Slow()

    app = fresh_app()
    app.register_dependency(Slow, slow, lifetime=lifetime)
    return app, asked, gate


# --- what is closing ----------------------------------------------------------------------------------------


async def slow_to_close():
    """Return a container, what its finalizer sets as it begins, and what that waits for."""
    begun, end = asyncio.Event(), asyncio.Event()

    async def held() -> AsyncIterator[Slow]:
        yield Slow()
        begun.set()
        await end.wait()

    app = fresh_app()
    app.register_dependency(Slow, held)
    container = Container(app)
    await container.get(Slow)
    return container, begun, end


@guarded
async def test_what_is_closing_is_neither_entered_nor_overridden_nor_closed_again():
    """
    While a finalizer is awaited the container gives nothing away, and a second way of closing it does not overtake the first.
    """
    container, begun, end = await slow_to_close()
    closing = asyncio.create_task(container.aclose())
    await begun.wait()

    with pytest.raises(ClosedError, match="is closing"):
        await container.__aenter__()
    with pytest.raises(ClosedError, match="is closing"):
        async with container.override({Slow: 1}):
            pass
    with pytest.raises(ContainerError, match="is closing already"):
        container.close()

    end.set()
    await closing
    assert container.closed


@guarded
async def test_a_container_closes_on_when_its_first_closer_is_cancelled():
    """
    Who is cancelled while it closes leaves; what closes goes on, and is waited for by the next one.
    """
    container, begun, end = await slow_to_close()
    first = asyncio.create_task(container.aclose())
    await begun.wait()
    first.cancel()
    second = asyncio.create_task(container.aclose())
    await asyncio.sleep(0)
    end.set()

    with pytest.raises(asyncio.CancelledError):
        await first
    await second

    assert container.closed


@guarded
async def test_who_closes_a_container_that_a_thread_closes_waits():
    """
    Closing returns when everything is torn down, whoever does that; a loop goes on meanwhile.
    """
    begun, end, ended = threading.Event(), threading.Event(), []

    def held() -> Iterator[Slow]:
        yield Slow()
        begun.set()
        end.wait()
        ended.append("torn down")

    app = fresh_app()
    app.register_dependency(Slow, held)
    container = Container(app)
    container.get_nowait(Slow)
    first = threading.Thread(target=container.close)
    first.start()
    begun.wait()
    second = asyncio.create_task(container.aclose())
    await settled()

    assert not second.done()

    end.set()
    await second
    first.join()
    assert ended == ["torn down"]


# --- scopes ---------------------------------------------------------------------------------------------------


@guarded
async def test_a_scope_with_a_get_in_flight_is_not_closed_without_awaiting():
    """
    A plain close would leave the task alone with what it makes: it is told to await.
    """
    app, asked, gate = waiting_app()
    async with Container(app) as container, container.scope() as scope:
        task = asyncio.create_task(scope.get(Slow))
        await asked.wait()

        with pytest.raises(ContainerError, match=r"has gets in flight: close it with `await scope\.aclose\(\)`"):
            scope.close()

        gate.set()
        assert type(await task) is Slow


@guarded
async def test_a_scope_in_which_somebody_waits_can_be_entered():
    """
    What was asked for before the block is there in it.
    """
    app, asked, gate = waiting_app()
    async with Container(app) as container:
        scope = container.scope()
        tasks = [asyncio.create_task(scope.get(Slow)) for _ in range(3)]
        await asked.wait()
        await asyncio.sleep(0)
        async with scope:
            gate.set()

            assert len({id(await task) for task in tasks}) == 1


def test_a_plain_scope_may_be_entered_again():
    """
    A plain block within a plain block of the same scope is the same scope.
    """
    with Container(fresh_app(providers=[Slow])) as container, container.scope() as scope:
        assert scope.__enter__() is scope
        assert scope.get_nowait(Slow) is container.get_nowait(Slow)


async def test_a_factory_of_a_plain_scope_can_be_awaited():
    """
    What a handle makes anew is made without a loop there, whoever asks for it in which way.
    """
    app = fresh_app()
    app.register_dependency(Report, Report, lifetime="scoped")
    with Container(app) as container, container.scope() as scope:
        make = scope.get_nowait(Factory[Report])

        assert (await make(title="sales")).title == "sales"


def test_a_container_knows_its_class():
    """
    The class that it was made of is an attribute of it, which a subclass may use for something of its own.
    """
    app = fresh_app()

    class Mine(Container):
        root_class = "mine"

    assert Container(app).root_class is app
    assert Mine(app).root_class == "mine"
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        Container(app).nothing


# --- observers --------------------------------------------------------------------------------------------------


async def test_an_observer_that_leaves_and_raises_is_gone():
    """
    One that ends its own observation and fails in the same call is not told of as if it had still been there.
    """
    seen = []

    class Leaves(Observer):
        def build_end(self, event, /):
            seen.append(event.key)
            observation.remove()
            raise ValueError("and fails")

    app = fresh_app()
    app.register_dependency("one", lambda: 1)
    app.register_dependency("two", lambda: 2)
    async with Container(app) as container:
        observation = container.observe(Leaves())
        await container.get("one")
        await container.get("two")

    assert seen == ['"one"']


# --- handles that several wait for ------------------------------------------------------------------------


class Holds:
    def __init__(self, slow: Lazy[Slow]):
        self.slow = slow


async def awaited(handle):
    return await handle


@guarded
async def test_who_waits_for_a_handle_takes_over_from_who_was_cancelled():
    """
    One of those who wait makes the value that the first one has left; all get it, but for those that were cancelled.
    """
    app, asked, gate = waiting_app("transient")
    app.register_dependency(Holds, Holds)
    async with Container(app) as container:
        handle = (await container.get(Holds)).slow
        first, second, third, fourth = (asyncio.create_task(awaited(handle)) for _ in range(4))
        await asked.wait()
        await settled()
        third.cancel()
        await settled()
        first.cancel()
        await settled()
        gate.set()
        found = await asyncio.gather(first, second, third, fourth, return_exceptions=True)

        assert [type(one) for one in found] == [asyncio.CancelledError, Slow, asyncio.CancelledError, Slow]
        assert found[1] is found[3] is await handle


@guarded
async def test_a_handle_that_a_task_fetches_is_not_had_without_awaiting():
    """
    Who would have to wait for a task in its own loop is told to await, in this thread and in others.
    """
    app, asked, gate = waiting_app("transient")
    app.register_dependency(Holds, Holds)
    async with Container(app) as container:
        handle = (await container.get(Holds)).slow
        task = asyncio.create_task(awaited(handle))
        await asked.wait()

        with pytest.raises(AsyncDependencyError):
            handle.nowait()

        gate.set()
        assert await task is handle.nowait()


def test_a_handle_that_a_thread_fetches_is_waited_for():
    """
    A second thread gets what the first one makes; where that fails, it is told the same.
    """
    for fails in (False, True):
        begun, end, found = threading.Event(), threading.Event(), []

        def slow(fails=fails, begun=begun, end=end):
            begun.set()
            end.wait()
            if fails:
                raise OSError("cannot be made")
            return Slow()

        app = fresh_app()
        app.register_dependency(Slow, lambda slow=slow: slow(), lifetime="transient")
        app.register_dependency(Holds, Holds)
        with Container(app) as container:
            handle = container.get_nowait(Holds).slow

            def ask(handle=handle, found=found):
                try:
                    found.append(handle.nowait())
                except OSError as error:
                    found.append(error)

            threads = [threading.Thread(target=ask) for _ in range(3)]
            threads[0].start()
            begun.wait()
            for thread in threads[1:]:
                thread.start()
            end.set()
            for thread in threads:
                thread.join()

        assert {type(one) for one in found} == {OSError if fails else Slow}
        assert len(found) == 3
