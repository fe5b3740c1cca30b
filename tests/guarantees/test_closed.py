"""Promise 5: after closing nothing is handed out; closing twice is one closing; nothing finishes behind its back."""

import asyncio
import gc
import warnings

import pytest
from helpers import Journal, fresh_app, outcome, settled

from asyncmeta import AsyncDependencyDescriptor, AsyncServiceBase, ClosedError, Container


def application(journal=None):
    """Return an application with a plain value, a resource, and a scoped one."""
    App = fresh_app()
    journal = Journal() if journal is None else journal

    async def resource():
        with journal.noting("resource"):
            yield object()

    async def session(resource):
        with journal.noting("session"):
            yield object()

    App.register_value("plain", "plain")
    App.register_dependency("made", object)
    App.register_dependency("resource", resource)
    App.register_dependency("session", session, lifetime="scoped")
    App.register_dependency("transient", object, lifetime="transient")
    return App


NAMES = ["plain", "made", "resource", "transient"]


@pytest.mark.parametrize("warm", [True, False], ids=["built", "never built"])
@pytest.mark.parametrize("name", NAMES)
async def test_a_closed_container_refuses(name, warm):
    """
    A closed container raises ClosedError for plain values as for resources, by every way of asking.
    """
    container = Container(application())
    getter = container.getter(name)
    if warm:
        for _ in range(3):
            await container.get(name)
            await getter()
    await container.aclose()

    for ask in (
        lambda: container.get(name),
        getter,
        lambda: container.getter(name)(),
        lambda: container.start(),
        lambda: container.scope().__aenter__(),
        lambda: container.request(name).__aenter__(),
    ):
        with pytest.raises(ClosedError):
            await ask()
    with pytest.raises(ClosedError):
        container.get_nowait(name)
    assert container.closed


@pytest.mark.parametrize("name", [*NAMES, "session"])
async def test_a_closed_scope_refuses(name):
    """
    A closed scope raises ClosedError for all that it could give, singletons included.
    """
    async with Container(application()) as container:
        async with container.scope() as scope:
            getter = scope.getter(name)
            await scope.get(name)
            await getter()

        assert scope.closed
        for ask in (lambda: scope.get(name), getter, lambda: scope.gather(name)):
            with pytest.raises(ClosedError):
                await ask()
        with pytest.raises(ClosedError):
            scope.get_nowait(name)


async def test_a_scope_of_a_closed_container_refuses():
    """
    When the container was closed its open scopes refuse too, and their blocks end without an error.
    """
    journal = Journal()
    container = Container(application(journal))
    async with container.scope() as scope:
        await scope.gather("session", "made")
        with pytest.warns(ResourceWarning):
            await container.aclose()
        closed = list(journal.closed)
        ends = [await outcome(scope.get(name)) for name in ("session", "made", "plain")]

    assert closed == ["session", "resource"]
    assert all(isinstance(end, ClosedError) for end in ends)
    assert journal.closed == ["session", "resource"]


async def test_a_stale_scope_never_reaches_another_scopes_values():
    """
    A handle of a closed scope does not give what a later scope holds.
    """
    async with Container(application()) as container:
        async with container.scope() as stale:
            await stale.get("session")
        async with container.scope() as scope:
            await scope.get("session")
            with pytest.raises(ClosedError):
                await stale.get("session")


async def test_closing_twice_is_one_closing():
    """
    A second close, after the first or at the same time, runs nothing again and waits for the first.
    """
    journal = Journal()
    container = Container(application(journal))
    await container.get("resource")

    await asyncio.gather(*(container.aclose() for _ in range(3)))
    await container.aclose()
    container.close()

    assert journal == ["+resource", "-resource"]
    assert container.closed


async def test_every_closer_waits_for_the_whole_closing():
    """
    Each of two closers returns only when the closing has ended.
    """
    App, go_on, ended = fresh_app(), asyncio.Event(), []

    async def make():
        yield "value"
        await go_on.wait()
        ended.append(1)

    App.register_dependency("value", make)
    container = Container(App)
    await container.get("value")
    closers = [asyncio.create_task(container.aclose()) for _ in range(2)]
    await settled()
    early = [closer.done() for closer in closers]
    go_on.set()
    await asyncio.gather(*closers)

    assert early == [False, False]
    assert ended == [1]


async def test_a_build_in_flight_is_cancelled_and_waited_for():
    """
    Closing cancels a singleton's build, waits until its factory has undone its set-up, and its waiters get ClosedError.
    """
    App, journal, steps = fresh_app(), Journal(), asyncio.Event()

    async def low():
        with journal.noting("low"):
            yield "low"

    async def high(low):
        try:
            await steps.wait()
        finally:
            await asyncio.sleep(0)
            journal.append("undone")
        yield "high"

    App.register_dependency("low", low)
    App.register_dependency("high", high)
    container = Container(App)
    waiter = asyncio.create_task(container.get("high"))
    await settled()
    await container.aclose()
    end = await outcome(waiter)

    assert isinstance(end, ClosedError)
    assert journal == ["+low", "undone", "-low"]


async def test_a_build_that_finishes_while_closing_is_torn_down():
    """
    A factory that ignores its cancellation is waited for; what it made is torn down at once, before its dependencies.
    """
    App, journal, steps, go_on = fresh_app(), Journal(), asyncio.Event(), asyncio.Event()

    async def low():
        with journal.noting("low"):
            yield "low"

    async def high(low):
        try:
            await steps.wait()
        except asyncio.CancelledError:
            await go_on.wait()
        with journal.noting("high"):
            yield "high"

    App.register_dependency("low", low)
    App.register_dependency("high", high)
    container = Container(App)
    waiter = asyncio.create_task(container.get("high"))
    await settled()
    closer = asyncio.create_task(container.aclose())
    await settled()
    early = closer.done()
    go_on.set()
    await closer
    end = await outcome(waiter)

    assert not early
    assert isinstance(end, ClosedError)
    assert journal == ["+low", "+high", "-high", "-low"]


async def test_a_scoped_get_in_flight_lands_before_singletons_are_closed():
    """
    While a scoped factory still uses a singleton, closing the container waits for it.
    """
    App, journal, go_on = fresh_app(), Journal(), asyncio.Event()

    async def database():
        with journal.noting("database"):
            yield "database"

    async def session(database):
        journal.append("begin")
        await go_on.wait()
        journal.append("end")
        with journal.noting("session"):
            yield "session"

    App.register_dependency("database", database)
    App.register_dependency("session", session, lifetime="scoped")
    container = Container(App)

    async def use():
        async with container.scope() as scope:
            return await scope.get("session")

    user = asyncio.create_task(use())
    await settled()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        closer = asyncio.create_task(container.aclose())
        await settled()
        early = "-database" in journal
        go_on.set()
        await closer
    end = await outcome(user)

    assert not early
    assert end == "session" or isinstance(end, ClosedError)
    assert journal == ["+database", "begin", "end", "+session", "-session", "-database"]


async def test_a_scope_that_is_just_closing_is_waited_for():
    """
    A scope whose own task is closing it is finished before the singletons that it used are closed, without a warning.
    """
    App, journal, go_on = fresh_app(), Journal(), asyncio.Event()

    async def database():
        with journal.noting("database"):
            yield "database"

    async def session(database):
        with journal.noting("session"):
            yield "session"
            await go_on.wait()

    App.register_dependency("database", database)
    App.register_dependency("session", session, lifetime="scoped")
    container = Container(App)

    async def use():
        async with container.scope() as scope:
            await scope.get("session")

    user = asyncio.create_task(use())
    await settled()
    closer = asyncio.create_task(container.aclose())
    await settled()
    early = list(journal.closed)
    go_on.set()
    await asyncio.gather(user, closer)

    assert early == []
    assert journal.closed == ["session", "database"]


async def test_a_request_in_flight_has_failed():
    """
    A request block that is open when the container closes is closed before the singletons are, and told at its end.
    """
    App, journal, inside, go_on = fresh_app(), Journal(), asyncio.Event(), asyncio.Event()

    async def database():
        with journal.noting("database"):
            yield "database"

    async def session(database):
        with journal.noting("session"):
            yield "session"

    App.register_dependency("database", database)
    App.register_dependency("session", session, lifetime="scoped")
    container = Container(App)

    async def use():
        async with container.request("session"):
            inside.set()
            await go_on.wait()

    user = asyncio.create_task(use())
    await inside.wait()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        closer = asyncio.create_task(container.aclose())
        await settled()
        go_on.set()
        await closer
    end = await outcome(user)

    assert isinstance(end, ClosedError)
    assert journal.closed == ["session", "database"]


async def test_an_attribute_of_a_closed_container_refuses():
    """
    A service's attribute raises ClosedError when its scope was closed, and when its container was though it was cached.
    """
    App = application()

    class Handler(AsyncServiceBase, lifetime="scoped"):
        made = AsyncDependencyDescriptor("made")
        session = AsyncDependencyDescriptor("session")

    async with Container(App) as container:
        async with container.scope() as scope:
            handler = await scope.get(Handler)
            await handler.made
        with pytest.raises(ClosedError):
            await handler.session
    with pytest.raises(ClosedError):
        await handler.made


async def test_a_container_can_be_entered_again_and_starts_empty():
    """
    A closed container that is entered again builds anew.
    """
    journal = Journal()
    container = Container(application(journal))
    getter = container.getter("made")
    async with container:
        first, resource = await getter(), await container.get("resource")
    async with container:
        second, other = await getter(), await container.get("resource")

    assert first is not second
    assert resource is not other
    assert journal == ["+resource", "-resource"] * 2


async def test_a_stale_scope_of_an_earlier_life_refuses():
    """
    A scope of the container's earlier life stays closed when the container is entered again.
    """
    container = Container(application())
    async with container:
        async with container.scope() as stale:
            await stale.get("made")
    async with container:
        await container.get("made")
        with pytest.raises(ClosedError):
            await stale.get("made")


async def test_a_container_can_be_used_without_being_entered():
    """
    Entering only says who closes.
    """
    journal = Journal()
    container = Container(application(journal))
    value = await container.get("resource")
    again = await container.get("resource")
    await container.aclose()

    assert value is again
    assert journal == ["+resource", "-resource"]


async def test_closing_from_a_finalizer_is_a_no_op():
    """
    A finalizer that closes its own container goes on at once.
    """
    App, journal = fresh_app(), Journal()

    async def make():
        with journal.noting("value"):
            yield "value"
            await container.aclose()

    App.register_dependency("value", make)
    container = Container(App)
    await container.get("value")
    await container.aclose()

    assert journal == ["+value", "-value"]


async def test_a_collected_service_with_finalizers_pending_warns():
    """
    A service that made its own container, and is collected with finalizers pending, warns with a ResourceWarning.
    """

    class App(AsyncServiceBase):
        value = AsyncDependencyDescriptor("value")

    def make():
        yield "value"

    App.register_dependency("value", make)
    app = App()
    await app.value
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del app
        await settled()
        gc.collect()

    assert any(issubclass(warning.category, ResourceWarning) for warning in caught)


async def test_a_get_that_waits_while_its_scope_is_closed():
    """
    A scope is closed while another task's get is in its factory: what that makes is torn down, and nobody hangs.
    """
    App, journal, go_on = fresh_app(), Journal(), asyncio.Event()

    async def session():
        await go_on.wait()
        with journal.noting("session"):
            yield "session"

    App.register_dependency("session", session, lifetime="scoped")
    async with Container(App) as container:
        scope = await container.scope().__aenter__()
        user = asyncio.create_task(scope.get("session"))
        await settled()
        closer = asyncio.create_task(scope.aclose())
        await settled()
        go_on.set()
        end = await outcome(user)
        await closer

    assert end == "session" or isinstance(end, ClosedError)
    assert journal == ["+session", "-session"]
