"""Promise 6: generators that do not do what generators should are named, and none is left open."""

import asyncio
from contextlib import asynccontextmanager, contextmanager

import pytest
from helpers import Journal, fresh_app, leaves, outcome, settled

from asyncmeta import ClosedError, Container, ContainerError, FactoryError, FinalizationErrors

LIFETIMES = pytest.mark.parametrize("lifetime", ["singleton", "scoped", "transient"])


def generator_that_never_yields():
    return
    yield


async def async_generator_that_never_yields():
    return
    yield


def generator_that_yields_twice():
    yield 1
    yield 2


async def async_generator_that_yields_twice():
    yield 1
    yield 2


NEVER = [generator_that_never_yields, async_generator_that_never_yields]
TWICE = [generator_that_yields_twice, async_generator_that_yields_twice]


@LIFETIMES
@pytest.mark.parametrize("factory", NEVER)
async def test_a_generator_that_never_yields_is_named(factory, lifetime):
    """
    A generator factory that ends without yielding is a FactoryError that names it.
    """
    App = fresh_app()
    App.register_dependency("value", factory, lifetime=lifetime)
    async with Container(App) as container, container.scope() as scope:
        with pytest.raises(FactoryError, match=rf"{factory.__name__} .* never yields"):
            await scope.get("value")


@LIFETIMES
@pytest.mark.parametrize("decorated", [False, True], ids=["plain", "manager"])
@pytest.mark.parametrize("factory", TWICE)
async def test_a_generator_that_yields_twice_is_named_and_closed(factory, decorated, lifetime):
    """
    A generator factory that yields again when it should end is a FactoryError, and it is closed.
    """
    App, journal = fresh_app(), Journal()

    if factory is generator_that_yields_twice:

        def watched():
            with journal.noting("generator"):
                yield from factory()

        make = contextmanager(watched) if decorated else watched
    else:

        async def watched():
            with journal.noting("generator"):
                async for value in factory():
                    yield value

        make = asynccontextmanager(watched) if decorated else watched
    App.register_dependency("value", make, lifetime=lifetime)
    with pytest.raises(FinalizationErrors) as caught:
        async with Container(App) as container:
            async with container.scope() as scope:
                assert await scope.get("value") == 1

    (error,) = caught.value.exceptions
    assert isinstance(error, FactoryError)
    assert journal == ["+generator", "-generator"]


def test_sync_containers_name_them_too():
    """
    Without a loop both are the same errors.
    """
    App = fresh_app()
    App.register_dependency("never", generator_that_never_yields)
    App.register_dependency("twice", generator_that_yields_twice)
    with pytest.raises(FinalizationErrors) as caught:
        with Container(App) as container:
            with pytest.raises(FactoryError):
                container.get_nowait("never")
            container.get_nowait("twice")

    assert [type(error) for error in caught.value.exceptions] == [FactoryError]


async def test_a_generator_that_yields_again_when_the_body_failed():
    """
    The body's error comes out though the generator answers it with a second yield.
    """
    App, body = fresh_app(), LookupError("body")

    async def make():
        try:
            yield 1
        except LookupError:
            yield 2

    App.register_dependency("value", make, lifetime="scoped")
    caught = None
    async with Container(App) as container:
        try:
            async with container.scope() as scope:
                await scope.get("value")
                raise body
        except LookupError as raised:
            caught = raised

    assert caught is body
    assert any(isinstance(error, FactoryError) for error in leaves(caught))


@pytest.mark.parametrize("error", [StopIteration("stop"), StopAsyncIteration("stop"), GeneratorExit("exit")], ids=repr)
async def test_special_exceptions_of_a_body_pass_through(error):
    """
    A body that raises an exception with a meaning for generators gets it back unchanged.
    """
    App, journal = fresh_app(), Journal()

    def sync():
        with journal.noting("sync"):
            yield 1

    async def coroutine():
        with journal.noting("async"):
            yield 1

    App.register_dependency("sync", sync, lifetime="scoped")
    App.register_dependency("async", coroutine, lifetime="scoped")
    caught = None
    async with Container(App) as container:
        scope = container.scope()
        await scope.__aenter__()
        await scope.gather("sync", "async")
        try:
            await scope.__aexit__(type(error), error, None)
        except BaseException as raised:
            caught = raised

    assert caught is None or caught is error
    assert sorted(journal.closed) == ["async", "sync"]


@pytest.mark.parametrize("name", ["built", "unbuilt", "self"])
@pytest.mark.parametrize("close", ["container", "scope"])
async def test_a_finalizer_that_asks_its_own_container_never_hangs(name, close):
    """
    A finalizer that asks the container it belongs to gets the built value or a clear error.
    """
    App, ends = fresh_app(), []

    async def make():
        yield "self"
        ends.append(await outcome(where.get(name)))

    App.register_dependency("built", lambda: "built")
    App.register_dependency("unbuilt", lambda: "unbuilt")
    App.register_dependency("self", make, lifetime="singleton" if close == "container" else "scoped")
    container = Container(App)
    where = container if close == "container" else container.scope()
    if close == "scope":
        await where.__aenter__()
    await where.get("built")
    await where.get("self")
    await where.aclose()
    await container.aclose()

    assert len(ends) == 1
    assert ends[0] == name or isinstance(ends[0], ClosedError)


async def test_a_scopes_finalizer_may_use_the_open_container():
    """
    A finalizer of a scope may ask the container, which is still open.
    """
    App, found = fresh_app(), []

    async def session():
        yield "session"
        found.append(await container.get("mailer"))

    async def mailer():
        await asyncio.sleep(0)
        return "mailer"

    App.register_dependency("mailer", mailer)
    App.register_dependency("session", session, lifetime="scoped")
    async with Container(App) as container:
        async with container.scope() as scope:
            await scope.get("session")

    assert found == ["mailer"]


async def test_a_generator_that_fails_before_its_yield_is_not_closed_again():
    """
    What fails in its set-up has no finalizer: its own `finally` is all that runs, once.
    """
    App, journal = fresh_app(), Journal()

    async def make():
        with journal.noting("set up"):
            raise ValueError("set up")
        yield

    App.register_dependency("value", make)
    async with Container(App) as container:
        with pytest.raises(ValueError, match="set up"):
            await container.get("value")

    assert journal == ["+set up", "-set up"]


async def test_a_generators_return_while_it_is_built_by_a_cancelled_caller():
    """
    A generator that swallows its caller's cancellation and then ends without a yield leaves nothing hanging.
    """
    App = fresh_app()

    async def make():
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return
        yield "value"

    App.register_dependency("value", make)
    async with Container(App) as container:
        task = asyncio.create_task(container.get("value"))
        await settled()
        task.cancel()
        end = await outcome(task)
        await settled()
        left = asyncio.all_tasks() - {asyncio.current_task()}

    assert isinstance(end, asyncio.CancelledError)
    assert left == set()


async def test_a_factory_may_ask_its_container_for_something_else():
    """
    A factory that asks the container for another value gets it, sync and async, without a deadlock.
    """
    App = fresh_app()

    async def low():
        await asyncio.sleep(0)
        return "low"

    async def high(container: Container):
        return [await container.get("low"), container.get_nowait("sync")]

    App.register_dependency("low", low)
    App.register_dependency("sync", lambda: "sync")
    App.register_dependency("high", high)
    async with Container(App) as container:
        values = await asyncio.gather(*(container.get("high") for _ in range(3)))

    assert values[0] == ["low", "sync"]
    assert values[0] is values[1] is values[2]


async def test_an_error_that_is_no_container_error_is_not_taken_for_one():
    """
    A RuntimeError of a user's factory stays what it is.
    """
    App = fresh_app()

    async def make():
        raise RuntimeError("mine")

    App.register_dependency("value", make)
    async with Container(App) as container:
        end = await outcome(container.get("value"))

    assert type(end) is RuntimeError
    assert not isinstance(end, ContainerError)
