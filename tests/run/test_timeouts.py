"""Rule 15: a factory's own run within its ``timeout=``."""

import asyncio
import contextlib
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from helpers import LIMIT, Gate, Journal, fresh_app, outcome, settled

from asyncmeta import (
    AsyncMetaError,
    AsyncServiceBase,
    BuildTimeoutError,
    Container,
    DeclarationError,
    FactoryError,
    inject_dependency,
)

SHORT = 0.02  #: seconds; a limit that is meant to be met
LONG = 60.0  #: seconds; a limit that is not


async def for_ever():
    """Wait for what never comes."""
    await asyncio.Event().wait()


# --- factories that await ---------------------------------------------------------------------------


@pytest.mark.parametrize("lifetime", ["singleton", "scoped", "transient"])
async def test_an_async_factory_is_cut_off(lifetime):
    """
    A factory that takes longer than its timeout is cancelled, and its caller gets a BuildTimeoutError that names it.
    """
    App, journal = fresh_app(), Journal()

    async def database():
        with journal.noting("database"):
            await for_ever()

    App.register_dependency("database", database, lifetime=lifetime, timeout=SHORT)

    async with Container(App) as container, container.scope() as scope:
        failures = [await outcome(scope.get("database")) for _ in range(3)]

    assert all(isinstance(failure, BuildTimeoutError) for failure in failures)
    assert all(isinstance(failure, TimeoutError) and isinstance(failure, AsyncMetaError) for failure in failures)
    assert (failures[0].key, failures[0].seconds) == ('"database"', SHORT)
    assert str(failures[0]) == 'building "database" took longer than 0.02 s'
    assert journal == ["+database", "-database"] * 3


async def test_an_async_generator_is_cut_off_on_its_way_in():
    """
    The timeout of a generator factory bounds what stands before its yield: neither what follows nor how long it lives.
    """
    App, journal = fresh_app(), Journal()

    async def slow():
        with journal.noting("slow"):
            await for_ever()
            yield "slow"

    async def quick():
        yield "quick"
        await asyncio.sleep(2 * SHORT)
        journal.append("left in peace")

    App.register_dependency("slow", slow, timeout=SHORT)
    App.register_dependency("quick", quick, timeout=SHORT)

    async with Container(App) as container:
        failure = await outcome(container.get("slow"))
        value = await container.get("quick")
        await asyncio.sleep(2 * SHORT)

    assert isinstance(failure, BuildTimeoutError)
    assert value == "quick"
    assert journal == ["+slow", "-slow", "left in peace"]


async def test_the_waiting_for_what_it_needs_does_not_count():
    """
    The timeout is the factory's own: the time that its dependencies take is theirs.
    """
    App = fresh_app()

    async def slow():
        await asyncio.sleep(3 * SHORT)
        return "slow"

    async def quick(slow):
        return f"quick after {slow}"

    App.register_dependency("slow", slow)
    App.register_dependency("quick", quick, timeout=SHORT)

    async with Container(App) as container:
        value = await container.get("quick")

    assert value == "quick after slow"


async def test_every_waiter_is_told_and_the_next_call_tries_again():
    """
    A timeout reaches everybody who waits, as one error, and is not cached.
    """
    App, calls = fresh_app(), []

    async def database():
        calls.append(1)
        if len(calls) == 1:
            await for_ever()
        return "database"

    App.register_dependency("database", database, timeout=SHORT)

    async with Container(App) as container:
        failures = await asyncio.gather(*(outcome(container.get("database")) for _ in range(3)))
        again = await container.get("database")

    assert isinstance(failures[0], BuildTimeoutError)
    assert all(failure is failures[0] for failure in failures)
    assert again == "database"


async def test_a_factory_in_time_has_no_limit_on_its_life():
    """
    A factory that returns in time gives its value, whatever its limit.
    """
    App = fresh_app()

    async def database():
        await asyncio.sleep(0)
        return "database"

    App.register_dependency("database", database, timeout=LONG)

    async with Container(App) as container:
        assert await container.get("database") == "database"


# --- only our own limit ---------------------------------------------------------------------------------


@pytest.mark.parametrize("lifetime", ["singleton", "scoped", "transient"])
@pytest.mark.parametrize("kind", ["function", "generator"])
async def test_a_timeout_error_of_the_factory_s_own_passes(kind, lifetime):
    """
    A TimeoutError that the factory raises itself is no BuildTimeoutError: it passes unchanged.
    """
    App, own = fresh_app(), TimeoutError("the server does not answer")

    async def function():
        raise own

    async def generator():
        raise own
        yield

    App.register_dependency("database", function if kind == "function" else generator, lifetime=lifetime, timeout=LONG)

    async with Container(App) as container, container.scope() as scope:
        failure = await outcome(scope.get("database"))

    assert failure is own


async def test_a_time_limit_inside_of_the_factory_passes():
    """
    A limit that the factory sets for itself, and that ends first, raises its own TimeoutError.
    """
    App = fresh_app()

    async def database():
        async with asyncio.timeout(SHORT):
            await for_ever()

    App.register_dependency("database", database, timeout=LONG)

    async with Container(App) as container:
        failure = await outcome(container.get("database"))

    assert type(failure) is TimeoutError


async def test_what_the_factory_makes_of_the_cancellation_passes():
    """
    A factory that is cut off and answers with an error of its own, a TimeoutError included, is heard.
    """
    App = fresh_app()

    async def database(error):
        try:
            await for_ever()
        except asyncio.CancelledError:
            raise error from None

    for error in (ValueError("half a handshake"), TimeoutError("a timeout of mine")):

        async def failing(error=error):
            await database(error)

        App.register_dependency(f"failing {error}", failing, timeout=SHORT)

        async with Container(App) as container:
            assert await outcome(container.get(f"failing {error}")) is error


async def test_a_value_that_comes_in_spite_of_the_limit_is_taken():
    """
    A factory that shields itself and returns all the same has not failed: nothing of it is lost.
    """
    App = fresh_app()

    async def database():
        with contextlib.suppress(asyncio.CancelledError):
            await for_ever()
        return "database"

    App.register_dependency("database", database, timeout=SHORT)

    async with Container(App) as container:
        assert await container.get("database") == "database"


async def test_a_generator_that_gives_up_at_the_limit_has_timed_out():
    """
    A generator that ends instead of yielding because it was cut off has timed out; it is not told that it never yields.
    """
    App = fresh_app()

    async def database():
        with contextlib.suppress(asyncio.CancelledError):
            await for_ever()
            yield "database"

    async def never():
        return
        yield

    App.register_dependency("database", database, timeout=SHORT)
    App.register_dependency("never", never, timeout=LONG)

    async with Container(App) as container:
        cut = await outcome(container.get("database"))
        empty = await outcome(container.get("never"))

    assert isinstance(cut, BuildTimeoutError)
    assert isinstance(empty, FactoryError)


async def test_a_cancelled_caller_is_no_timeout():
    """
    Cancelling the caller of a factory with a limit is a cancellation.
    """
    App, begun = fresh_app(), asyncio.Event()

    async def database():
        begun.set()
        await for_ever()

    App.register_dependency("database", database, lifetime="scoped", timeout=LONG)

    async with Container(App) as container, container.scope() as scope:
        task = asyncio.create_task(scope.get("database"))
        await begun.wait()
        task.cancel()
        ended = await outcome(task)

    assert isinstance(ended, asyncio.CancelledError)


async def test_a_limit_of_the_caller_s_own_is_the_caller_s():
    """
    A timeout around get() is the caller's and stays a plain TimeoutError.
    """
    App = fresh_app()

    async def database():
        await for_ever()

    App.register_dependency("database", database, timeout=LONG)

    async with Container(App) as container:
        with pytest.raises(TimeoutError) as caught:
            async with asyncio.timeout(SHORT):
                await container.get("database")

    assert type(caught.value) is TimeoutError


# --- threads ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lifetime", ["singleton", "scoped", "transient"])
async def test_a_thread_is_left_alone(lifetime):
    """
    After the timeout of a factory in a thread its caller goes on; the late result is finalized, and closing waits for it.
    """
    App, gate, journal = fresh_app(), Gate(), Journal()

    def model():
        gate.passed()
        with journal.noting("model"):
            yield "model"

    App.register_dependency("model", model, lifetime=lifetime, in_thread=True, timeout=SHORT)

    container = Container(App)
    scope = container.scope()
    failure = await outcome(scope.get("model"))
    before = list(journal)
    closing = asyncio.create_task(container.aclose() if lifetime == "singleton" else scope.aclose())
    await settled()
    waits = not closing.done()
    gate.go.set()
    await closing
    after = list(journal)
    await scope.aclose()
    await container.aclose()

    assert isinstance(failure, BuildTimeoutError)
    assert (failure.key, failure.seconds) == ('"model"', SHORT)
    assert before == []
    assert waits
    assert after == journal == ["+model", "-model"]


@pytest.mark.parametrize("kind", ["function", "generator"])
async def test_a_timeout_error_of_a_thread_s_own_passes(kind):
    """
    A TimeoutError that a factory raises in its thread passes unchanged.
    """
    App, own = fresh_app(), TimeoutError("the server does not answer")

    def function():
        raise own

    def generator():
        raise own
        yield

    App.register_dependency("model", function if kind == "function" else generator, in_thread=True, timeout=LONG)

    async with Container(App) as container:
        failure = await outcome(container.get("model"))

    assert failure is own


async def test_the_clock_of_a_thread_begins_with_the_thread():
    """
    Queueing for a worker thread is not the factory's own run: its time begins when it does.
    """
    App, gate = fresh_app(), Gate()
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    App.register_dependency("first", lambda: gate.passed(), in_thread=True)
    App.register_dependency("second", lambda: "second", in_thread=True, timeout=SHORT)

    async with Container(App) as container:
        first = asyncio.create_task(container.get("first"))
        await settled()  # the pool has one thread only: the second factory queues behind the first
        second = asyncio.create_task(container.get("second"))
        await asyncio.sleep(3 * SHORT)
        queued = not second.done()
        gate.go.set()
        value = await second
        await first

    assert queued
    assert value == "second"


async def test_who_asks_again_waits_for_the_former_thread_no_longer_than_the_limit():
    """
    While a thread that was left alone goes on, the same factory is not begun again: asking is a timeout, too, and never hangs.
    """
    App, gate, calls = fresh_app(), Gate(), []

    def model():
        calls.append(1)
        if len(calls) == 1:
            gate.passed()
        return len(calls)

    App.register_dependency("model", model, in_thread=True, timeout=SHORT)

    async with Container(App) as container:
        failures = [await outcome(asyncio.wait_for(container.get("model"), LIMIT)) for _ in range(3)]
        begun = len(calls)
        gate.go.set()
        value = await container.get("model")

    assert all(isinstance(failure, BuildTimeoutError) for failure in failures)
    assert begun == 1
    assert value == 2


def test_without_a_loop_a_thread_keeps_the_limit():
    """
    Without a loop, too, a factory in a thread is left alone after its timeout, and closing waits for it.
    """
    App, gate, journal = fresh_app(), Gate(), Journal()

    def model():
        gate.passed()
        with journal.noting("model"):
            yield "model"

    def quick():
        yield threading.get_ident()

    App.register_dependency("model", model, in_thread=True, timeout=SHORT)
    App.register_dependency("quick", quick, in_thread=True, timeout=LONG)

    with Container(App) as container:
        with pytest.raises(BuildTimeoutError):
            container.get_nowait("model")
        quick_in = container.get_nowait("quick")
        before = list(journal)
        threading.Thread(target=gate.go.set).start()

    assert before == []
    assert quick_in != threading.get_ident()
    assert journal == ["+model", "-model"]


# --- declaring ------------------------------------------------------------------------------------------------


async def test_the_decorator_takes_a_timeout():
    """
    @inject_dependency(..., timeout=seconds) works in a class body, where the factory is a method.
    """

    class App(AsyncServiceBase):
        @inject_dependency("database", timeout=SHORT)
        async def open_database(self):
            await for_ever()

    async with Container(App) as container:
        failure = await outcome(container.get("database"))

    assert isinstance(failure, BuildTimeoutError)
    assert any("open_database" in note or '"database"' in note for note in failure.__notes__)


@pytest.mark.parametrize("seconds", [0, -1, "5", True, float("nan")])
def test_a_limit_is_a_number_of_seconds(seconds):
    """
    A timeout that is no number above 0 is an error where it is written.
    """

    async def database(): ...

    with pytest.raises(DeclarationError, match="timeout is a number of seconds above 0"):
        fresh_app().register_dependency("database", database, timeout=seconds)


def test_a_synchronous_factory_in_place_cannot_be_stopped():
    """
    timeout= on a factory that runs in place is an error that names the way out.
    """
    with pytest.raises(DeclarationError, match="add in_thread=True"):
        fresh_app().register_dependency("database", lambda: None, timeout=1.0)


def test_the_error_pickles():
    """
    A BuildTimeoutError comes through a pickle with its facts.
    """
    error = pickle.loads(pickle.dumps(BuildTimeoutError('"database"', 2.5)))

    assert (error.key, error.seconds, str(error)) == ('"database"', 2.5, 'building "database" took longer than 2.5 s')


# --- services that start -----------------------------------------------------------------------------


@pytest.mark.parametrize("lifetime", ["singleton", "scoped"])
@pytest.mark.parametrize("in_thread", [False, True])
async def test_the_start_of_a_service_is_cut_off(lifetime, in_thread):
    """
    The timeout of a service class bounds its ``on_startup``; what did not start is not shut down, and is made anew.
    """
    App, journal = fresh_app(), Journal()

    class Feed(AsyncServiceBase, lifetime=lifetime):
        hangs = True

        async def on_startup(self):
            with journal.noting("start"):
                if Feed.hangs:
                    await for_ever()

        async def on_shutdown(self):
            journal.append("shutdown")

    App.register_dependency(Feed, Feed, timeout=SHORT, in_thread=in_thread)

    async with Container(App) as container, container.scope() as scope:
        failures = [await outcome(scope.get(Feed)) for _ in range(2)]
        Feed.hangs = False
        feeds = {await scope.get(Feed) for _ in range(3)}

    assert [str(failure) for failure in failures] == ["building Feed took longer than 0.02 s"] * 2
    assert len(feeds) == 1
    assert journal == [*["+start", "-start"] * 3, "shutdown"]


def test_a_service_without_a_start_of_its_own_has_nothing_to_cut_off():
    """
    A service class that is only constructed is refused a timeout, as every synchronous factory.
    """

    class Plain(AsyncServiceBase):
        pass

    with pytest.raises(DeclarationError, match="cannot stop Plain"):
        fresh_app().register_dependency(Plain, Plain, timeout=SHORT)


def test_without_a_loop_the_run_that_was_left_is_waited_for():
    """
    Who asks again for what took too long builds it when the former run has ended, and never beside it.
    """
    App, gate, running, beside = fresh_app(), Gate(), [], []

    def slow():
        beside.extend(running)
        running.append("a run")
        gate.passed()
        running.pop()

    App.register_dependency("slow", slow, in_thread=True, timeout=0.01)
    with Container(App) as container:
        with pytest.raises(BuildTimeoutError):
            container.get_nowait("slow")
        gate.go.set()
        with contextlib.suppress(BuildTimeoutError):  # on a machine that is busy
            container.get_nowait("slow")

    assert running == beside == []
