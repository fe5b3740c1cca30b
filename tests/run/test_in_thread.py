"""Rule 15: synchronous factories in worker threads."""

import asyncio
import contextlib
import contextvars
import gc
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest
from helpers import LIMIT, Gate, Journal, fresh_app, outcome, settled

from asyncmeta import (
    AsyncDependencyDescriptor,
    AsyncDependencyError,
    AsyncServiceBase,
    BuildTimeoutError,
    CircularDependencyError,
    Container,
    DeclarationError,
    FactoryError,
    FinalizationErrors,
    Scope,
    inject_dependency,
)


def here():
    """Which thread is this?"""
    return threading.get_ident()


# --- where it runs --------------------------------------------------------------------------------


async def test_functions_classes_and_generators_run_in_a_worker_thread():
    """
    A function, a class and a sync generator registered with in_thread=True are made in another thread than the loop's.
    """
    App = fresh_app()

    class Model:
        def __init__(self):
            self.made_in = here()

    def generated():
        yield here()

    App.register_dependency("function", here, in_thread=True)
    App.register_dependency(Model, Model, in_thread=True)
    App.register_dependency("generator", generated, in_thread=True)
    App.register_dependency("plain", here)

    async with Container(App) as container:
        made_in = [
            await container.get("function"),
            (await container.get(Model)).made_in,
            await container.get("generator"),
            await container.get("plain"),
        ]

    assert [thread == here() for thread in made_in] == [False, False, False, True]


async def test_the_decorator_takes_in_thread():
    """
    @inject_dependency(..., in_thread=True) works in a class body, where the factory is a method.
    """

    class App(AsyncServiceBase):
        @inject_dependency("model", in_thread=True)
        def load(self):
            return type(self), here()

    async with Container(App) as container:
        cls, thread = await container.get("model")

    assert cls is App
    assert thread != here()


@pytest.mark.parametrize("lifetime", ["singleton", "scoped", "transient"])
async def test_every_lifetime_can_be_made_in_a_thread(lifetime):
    """
    Lifetimes mean with in_thread=True what they mean without it, also by the second time, when generated code runs.
    """
    App = fresh_app()
    App.register_dependency("value", lambda: (here(), object()), lifetime=lifetime, in_thread=True)
    App.register_dependency("user", lambda value: value, lifetime=lifetime)

    async with Container(App) as container:
        found = []
        for _ in range(4):
            async with container.scope() as scope:
                found.append([await scope.get("value"), await scope.get("user"), await scope.get("value")])

    distinct = {"singleton": 1, "scoped": 4, "transient": 12}[lifetime]
    assert len({id(value) for values in found for value in values}) == distinct
    assert all(thread != here() for values in found for thread, _ in values)


async def test_dependencies_are_built_first_and_in_their_own_way():
    """
    What the factory takes is built beforehand, async factories in the loop, and handed to the thread.
    """
    App = fresh_app()

    async def settings():
        await asyncio.sleep(0)
        return here()

    App.register_dependency("settings", settings)
    App.register_dependency("model", lambda settings, *, also=3: (settings, here(), also), in_thread=True)

    async with Container(App) as container:
        settings_in, model_in, also = await container.get("model")

    assert (settings_in, also) == (here(), 3)
    assert model_in != here()


async def test_the_thread_sees_the_context_of_the_caller():
    """
    Context variables of the task that asks are seen in the thread; what is set there stays there.
    """
    variable = contextvars.ContextVar("variable", default="unset")
    App = fresh_app()

    def model():
        seen = variable.get()
        variable.set("by the thread")
        return seen

    App.register_dependency("model", model, in_thread=True)

    async with Container(App) as container:
        variable.set("by the caller")
        seen = await container.get("model")

    assert seen == "by the caller"
    assert variable.get() == "by the caller"


async def test_a_thread_of_many_waiters_is_one():
    """
    Any number of tasks that ask at the same time share one run in one thread.
    """
    App, gate, calls = fresh_app(), Gate(), []

    def model():
        calls.append(here())
        gate.passed()
        return object()

    App.register_dependency("model", model, in_thread=True)

    async with Container(App) as container:
        tasks = [asyncio.create_task(container.get("model")) for _ in range(50)]
        await gate.someone()
        gate.go.set()
        found = await asyncio.gather(*tasks)

    assert len(calls) == 1
    assert len(set(map(id, found))) == 1


async def test_the_loop_stays_free_while_a_thread_works():
    """
    Other tasks go on while a factory blocks its thread; independent threads stand beside each other.
    """
    App, gates = fresh_app(), [Gate(), Gate()]
    App.register_dependency("one", lambda: gates[0].passed(), in_thread=True)
    App.register_dependency("two", lambda: gates[1].passed(), in_thread=True)
    App.register_dependency("quick", lambda: "quick")

    async with Container(App) as container:
        tasks = [asyncio.create_task(container.get(key)) for key in ("one", "two")]
        await gates[0].someone()
        await gates[1].someone()
        quick = await container.get("quick")
        assert not any(task.done() for task in tasks)
        for gate in gates:
            gate.go.set()
        await asyncio.gather(*tasks)

    assert quick == "quick"


async def longest_pause(while_this):
    """Return the longest time for which the loop did not turn, in seconds, while awaiting something."""
    pauses, over = [], asyncio.Event()

    async def watch():
        last = time.perf_counter()
        while not over.is_set():
            await asyncio.sleep(0.001)
            now = time.perf_counter()
            pauses.append(now - last)
            last = now

    watching = asyncio.create_task(watch())
    await asyncio.sleep(0)
    await while_this
    over.set()
    await watching
    return max(pauses)


async def test_a_slow_factory_does_not_hold_the_loop_up():
    """
    While a factory works for 300 ms in its thread, the loop turns: its longest pause is far below that.
    """
    App = fresh_app()

    def load():
        time.sleep(0.3)
        return "model"

    App.register_dependency("model", load, lifetime="transient", in_thread=True)

    async with Container(App) as container:
        pauses = [await longest_pause(container.get("model")) for _ in range(3)]

    # Some 2 ms on an idle machine; limit and repetition are for noisy ones: blocking would show 300 ms in each.
    assert min(pauses) < 0.150


async def test_the_measurement_shows_a_blocked_loop():
    """
    The same factory without in_thread=True is seen as a pause of its whole length.
    """
    App = fresh_app()
    App.register_dependency("model", lambda: time.sleep(0.2))

    async with Container(App) as container:
        pause = await longest_pause(container.get("model"))

    assert pause > 0.150


# --- what it makes ---------------------------------------------------------------------------------


async def test_values_from_a_thread_are_opaque():
    """
    None, falsy, tuples, awaitables and exceptions that a factory returns are handed over as they are.
    """

    async def never_awaited():
        raise AssertionError

    coroutine = never_awaited()
    values = [None, 0, (), (object, ("a", "b")), coroutine, ValueError("a value"), StopIteration(1)]
    App = fresh_app()
    for number, value in enumerate(values):
        App.register_dependency(f"value {number}", lambda value=value: value, in_thread=True)

    async with Container(App) as container:
        found = [await container.get(f"value {number}") for number in range(len(values))]
    coroutine.close()

    assert all(one is other for one, other in zip(found, values, strict=True))


async def test_a_failure_passes_unchanged():
    """
    What the factory raises reaches every waiter as it is, with a note of the path, and is not cached.
    """
    App, calls = fresh_app(), []

    def model():
        calls.append(1)
        if len(calls) == 1:
            raise ValueError("no such file")
        return "model"

    App.register_dependency("model", model, in_thread=True)
    App.register_dependency("user", lambda model: model)

    async with Container(App) as container:
        failures = await asyncio.gather(*(outcome(container.get("user")) for _ in range(3)))
        again = await container.get("user")

    assert again == "model"
    assert all(failure is failures[0] for failure in failures)
    assert isinstance(failures[0], ValueError)
    assert any("while building" in note and "model" in note for note in failures[0].__notes__)


async def test_a_stop_iteration_does_not_hang():
    """
    A StopIteration, which no Future can hold, ends the build all the same.
    """
    App = fresh_app()
    App.register_dependency("model", lambda: next(iter(())), in_thread=True)

    async with Container(App) as container:
        failure = await outcome(asyncio.wait_for(container.get("model"), LIMIT))

    assert isinstance(failure, RuntimeError)
    assert isinstance(failure.__cause__, StopIteration)


async def test_a_generator_that_never_yields_in_a_thread_is_named():
    """
    A generator that ends before it yields is a FactoryError in a thread, too.
    """
    App = fresh_app()

    def empty():
        return
        yield

    App.register_dependency("model", empty, in_thread=True)

    async with Container(App) as container:
        with pytest.raises(FactoryError, match=r"empty .* never yields"):
            await container.get("model")


async def test_a_service_made_in_a_thread_belongs_to_its_scope():
    """
    A service class, or a function that returns one, made in a thread knows the scope that made it, and starts in the loop.
    """

    class Service(AsyncServiceBase, lifetime="scoped"):
        name = AsyncDependencyDescriptor("name")

        def __init__(self):
            self.made_in = here()

        async def on_startup(self):
            self.started_in = here()

    class Other(AsyncServiceBase, lifetime="scoped"):
        name = AsyncDependencyDescriptor("name")

    App = fresh_app()
    App.register_dependency("name", lambda: "a name")
    App.register_dependency(Service, Service, lifetime="scoped", in_thread=True)
    App.register_dependency(Other, lambda: Other(), lifetime="scoped", in_thread=True)

    async with Container(App) as container:
        for _ in range(3):  # call by call, then by generated code
            async with container.scope() as scope:
                service, other = await scope.get(Service), await scope.get(Other)
                homes = Scope.of(service), Scope.of(other)
                names = await service.name, await other.name
                threads = service.made_in == here(), service.started_in == here()
                assert (homes, names, threads) == ((scope, scope), ("a name", "a name"), (False, True))


async def test_a_thread_may_ask_the_container():
    """
    A factory in a thread may ask for built values, and build synchronous ones, without a deadlock.
    """
    App = fresh_app()
    App.register_dependency("built", lambda: "built")
    App.register_dependency("fresh", lambda: here())

    def model(container: Container):
        return container.get_nowait("built"), container.get_nowait("fresh"), here()

    App.register_dependency("model", model, in_thread=True)

    async with Container(App) as container:
        await container.get("built")
        built, fresh, thread = await container.get("model")

    assert built == "built"
    assert fresh == thread != here()


async def test_a_thread_that_asks_for_itself_is_told():
    """
    A factory in a thread that asks, there, for what waits for it gets a CircularDependencyError instead of hanging.
    """
    App = fresh_app()
    App.register_dependency("user", lambda model: model)

    def model(container: Container):
        return container.get_nowait("user")

    App.register_dependency("model", model, in_thread=True)

    async with Container(App, check=False) as container:
        failure = await outcome(asyncio.wait_for(container.get("user"), LIMIT))

    assert isinstance(failure, CircularDependencyError | AsyncDependencyError)


# --- the end -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("lifetime", ["singleton", "scoped", "transient"])
async def test_a_generator_is_left_in_a_thread_in_turn(lifetime):
    """
    The exit of a sync generator runs in a thread, too, in reverse order of completion with all others.
    """
    App, journal, threads = fresh_app(), Journal(), []

    def first():
        with journal.noting("first"):
            yield "first"

    def model(first):
        with journal.noting("model"):
            yield "model"
        threads.append(here())

    async def last(model):
        with journal.noting("last"):
            yield "last"

    App.register_dependency("first", first, lifetime=lifetime)
    App.register_dependency("model", model, lifetime=lifetime, in_thread=True)
    App.register_dependency("last", last, lifetime=lifetime)

    async with Container(App) as container, container.scope() as scope:
        await scope.get("last")

    assert journal == ["+first", "+model", "+last", "-last", "-model", "-first"]
    assert threads != [here()]


async def test_a_generator_is_left_in_the_context_in_which_it_was_entered():
    """
    A context variable that a generator has set can be taken back with its token at the end.
    """
    variable = contextvars.ContextVar("variable", default="unset")
    App, seen = fresh_app(), []

    def model():
        token = variable.set("by the model")
        yield "model"
        seen.append(variable.get())
        variable.reset(token)
        seen.append(variable.get())

    App.register_dependency("model", model, in_thread=True)

    async with Container(App) as container:
        await container.get("model")

    assert seen == ["by the model", "unset"]


async def test_the_body_s_error_reaches_the_generator():
    """
    The exception of the body is thrown into a generator in a thread, which cannot swallow it for the others.
    """
    App, met = fresh_app(), []

    def model():
        try:
            yield "model"
        except ValueError as error:
            met.append(error)

    App.register_dependency("model", model, lifetime="scoped", in_thread=True)
    error = ValueError("the body's")

    async with Container(App) as container:
        with pytest.raises(ValueError) as caught:
            async with container.scope() as scope:
                await scope.get("model")
                raise error

    assert caught.value is error
    assert met == [error]


async def test_a_failing_exit_is_collected():
    """
    What a generator raises on its way out is part of the FinalizationErrors; the others are left all the same.
    """
    App, journal = fresh_app(), Journal()

    def first():
        with journal.noting("first"):
            yield "first"

    def model(first):
        yield "model"
        raise OSError("disk full")

    App.register_dependency("first", first, in_thread=True)
    App.register_dependency("model", model, in_thread=True)

    container = Container(App)
    await container.get("model")
    with pytest.raises(FinalizationErrors) as caught:
        await container.aclose()

    assert [str(error) for error in caught.value.exceptions] == ["disk full"]
    assert journal == ["+first", "-first"]


async def test_an_exit_that_stops_an_iteration_does_not_hang():
    """
    A StopIteration on the way out, which no Future can hold, is an error like any other.
    """
    App = fresh_app()

    def model():
        yield "model"
        raise StopAsyncIteration

    App.register_dependency("model", model, in_thread=True)
    container = Container(App)
    await container.get("model")

    failure = await outcome(asyncio.wait_for(container.aclose(), LIMIT))

    assert isinstance(failure, FinalizationErrors)


async def test_a_cancelled_close_waits_for_the_exit_in_the_thread():
    """
    Cancelling who closes a scope does not cut the exit in a thread short; the cancellation is raised afterwards.
    """
    App, gate, journal = fresh_app(), Gate(), Journal()

    def model():
        with journal.noting("model"):
            yield "model"
            gate.passed()

    App.register_dependency("model", model, lifetime="scoped", in_thread=True)

    async with Container(App) as container:
        scope = container.scope()
        await scope.get("model")
        closing = asyncio.create_task(scope.aclose())
        await gate.someone()
        closing.cancel()
        await settled()
        open_still = not closing.done()
        gate.go.set()
        ended = await outcome(closing)

    assert open_still
    assert isinstance(ended, asyncio.CancelledError)
    assert journal == ["+model", "-model"]


async def test_a_finalizer_in_a_thread_reads_what_is_closed_later():
    """
    The exit in a thread may still ask the container for what was built before.
    """
    App, read = fresh_app(), []
    App.register_dependency("setting", lambda: "a setting")

    def model(container: Container):
        yield "model"
        read.append(container.get_nowait("setting"))

    App.register_dependency("model", model, in_thread=True)

    async with Container(App) as container:
        await container.get("setting")
        await container.get("model")

    assert read == ["a setting"]


# --- nobody waits any more -----------------------------------------------------------------------------


@pytest.mark.parametrize("lifetime", ["singleton", "scoped", "transient"])
async def test_a_cancelled_caller_goes_on_at_once(lifetime):
    """
    A cancelled caller does not wait for the thread; what comes late is finalized, and closing waits for that.
    """
    App, gate, journal = fresh_app(), Gate(), Journal()

    def model():
        gate.passed()
        with journal.noting("model"):
            yield "model"

    App.register_dependency("model", model, lifetime=lifetime, in_thread=True)

    async with Container(App) as container:
        scope = container.scope()
        task = asyncio.create_task(scope.get("model"))
        await gate.someone()
        task.cancel()
        ended = await outcome(task)
        before = list(journal)
        closing = asyncio.create_task(scope.aclose())
        await settled()
        waits = not closing.done()
        gate.go.set()
        await closing

    assert isinstance(ended, asyncio.CancelledError)
    assert before == []
    assert waits is (lifetime != "singleton")  # a singleton's thread is the container's to wait for
    assert journal == ["+model", "-model"]


async def test_closing_the_container_waits_for_a_thread_that_was_left_alone():
    """
    A container does not close what its threads still use: closing waits for them, and then goes on in order.
    """
    App, gate, journal = fresh_app(), Gate(), Journal()

    def database():
        with journal.noting("database"):
            yield "database"

    def model(database):
        gate.passed()
        journal.append("thread ends")
        return "model"

    App.register_dependency("database", database)
    App.register_dependency("model", model, in_thread=True)

    container = Container(App)
    task = asyncio.create_task(container.get("model"))
    await gate.someone()
    closing = asyncio.create_task(container.aclose())
    await settled()
    waits = not closing.done()
    gate.go.set()
    await closing
    await outcome(task)

    assert waits
    assert journal == ["+database", "thread ends", "-database"]


async def test_the_build_goes_on_while_another_one_waits():
    """
    Cancelling one of two who wait for a thread leaves the build, and its value, to the other.
    """
    App, gate, calls = fresh_app(), Gate(), []

    def model():
        calls.append(1)
        gate.passed()
        return "model"

    App.register_dependency("model", model, in_thread=True)

    async with Container(App) as container:
        leaver, stayer = (asyncio.create_task(container.get("model")) for _ in range(2))
        await gate.someone()
        leaver.cancel()
        await outcome(leaver)
        gate.go.set()
        value = await stayer
        again = await container.get("model")

    assert value == again == "model"
    assert calls == [1]


@pytest.mark.parametrize("lifetime", ["singleton", "scoped"])
async def test_a_newcomer_waits_for_the_thread_that_was_left_alone(lifetime):
    """
    Never do two threads run the factory of one value: who asks again waits for the former run's end and begins anew.
    """
    App, gate, running, calls = fresh_app(), Gate(), [], []

    def model():
        running.append(1)
        calls.append(len(running))
        gate.passed()
        running.pop()
        return len(calls)

    App.register_dependency("model", model, lifetime=lifetime, in_thread=True)

    async with Container(App) as container, container.scope() as scope:
        first = asyncio.create_task(scope.get("model"))
        await gate.someone()
        first.cancel()
        await outcome(first)
        second = asyncio.create_task(scope.get("model"))
        await settled()
        begun = len(calls)
        gate.go.set()
        value = await second

    assert begun == 1
    assert value == 2
    assert calls == [1, 1]


async def test_transient_values_do_not_wait_for_each_other():
    """
    A transient value is no other's: it is made while the thread of one that was left alone still runs.
    """
    App, gate, calls = fresh_app(), Gate(), []

    def model():
        calls.append(1)
        if len(calls) == 1:
            gate.passed()
        return len(calls)

    App.register_dependency("model", model, lifetime="transient", in_thread=True)

    async with Container(App) as container:
        first = asyncio.create_task(container.get("model"))
        await gate.someone()
        first.cancel()
        await outcome(first)
        second = await asyncio.wait_for(container.get("model"), LIMIT / 2)
        gate.go.set()

    assert second == 2


async def test_a_run_that_has_not_begun_never_does():
    """
    A caller that is cancelled while its factory still queues for a thread takes the factory with it.
    """
    App, gate, calls = fresh_app(), Gate(), []
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(1))
    App.register_dependency("first", lambda: gate.passed(), in_thread=True)
    App.register_dependency("second", lambda: calls.append(1), in_thread=True)

    async with Container(App) as container:
        first = asyncio.create_task(container.get("first"))
        await settled()
        second = asyncio.create_task(container.get("second"))
        await settled()
        second.cancel()
        await outcome(second)
        gate.go.set()
        await first
        await loop.run_in_executor(None, int)  # whatever stood in the queue has run

    assert calls == []


async def test_a_late_failure_is_nobodys():
    """
    What a thread that was left alone raises is told to nobody, and closing is not disturbed by it.
    """
    App, gate = fresh_app(), Gate()

    def model():
        gate.passed()
        raise ValueError("too late")

    App.register_dependency("model", model, in_thread=True)

    async with Container(App) as container:
        task = asyncio.create_task(container.get("model"))
        await gate.someone()
        task.cancel()
        await outcome(task)
        gate.go.set()


async def test_a_late_finalizer_that_fails_is_told_by_closing():
    """
    What finalizing a late result raises is part of the FinalizationErrors of closing.
    """
    App, gate = fresh_app(), Gate()

    def model():
        gate.passed()
        yield "model"
        raise OSError("disk full")

    App.register_dependency("model", model, in_thread=True)
    container = Container(App)
    task = asyncio.create_task(container.get("model"))
    await gate.someone()
    task.cancel()
    await outcome(task)
    gate.go.set()

    failure = await outcome(container.aclose())

    assert isinstance(failure, FinalizationErrors)
    assert [str(error) for error in failure.exceptions] == ["disk full"]


async def test_a_value_that_comes_as_its_caller_is_cancelled_is_finalized():
    """
    Where the thread ends and the caller is cancelled in the same turn of the loop, the value is finalized once.
    """
    App, journal, pool = fresh_app(), Journal(), ThreadPoolExecutor(1)
    asyncio.get_running_loop().set_default_executor(pool)

    def model():
        with journal.noting("model"):
            yield "model"

    App.register_dependency("model", model, lifetime="scoped", in_thread=True)

    async with Container(App) as container:
        async with container.scope() as scope:
            task = asyncio.create_task(scope.get("model"))
            await asyncio.sleep(0)
            pool.submit(int).result(LIMIT)  # the loop does not turn: the value is there, and nobody has seen it
            task.cancel()
            ended = await outcome(task)

    assert isinstance(ended, asyncio.CancelledError)
    assert journal == ["+model", "-model"]


async def test_what_was_left_alone_is_forgotten_when_it_has_ended():
    """
    Runs that were left alone and have ended do not pile up in a long-lived container.
    """
    App = fresh_app()
    gates = []

    def model():
        gates[-1].passed()
        return "model"

    App.register_dependency("model", model, lifetime="transient", in_thread=True)

    async with Container(App) as container:
        for _ in range(5):
            gates.append(Gate())
            task = asyncio.create_task(container.get("model"))
            await gates[-1].someone()
            task.cancel()
            await outcome(task)
            gates[-1].go.set()
        await asyncio.get_running_loop().shutdown_default_executor()
        await settled()
        assert container._finalizers is None or container._finalizers == []


async def test_nothing_of_a_run_is_kept_alive():
    """
    A transient value made in a thread is freed with its last reference.
    """

    class Model:
        pass

    App = fresh_app()
    App.register_dependency(Model, Model, lifetime="transient", in_thread=True)

    async with Container(App) as container:
        reference = weakref.ref(await container.get(Model))
        await asyncio.to_thread(int)  # the pool's thread lets go of its last piece of work
        gc.collect()

        assert reference() is None


# --- without a loop --------------------------------------------------------------------------------------


def test_without_a_loop_it_runs_in_place():
    """
    Where no loop has to be kept free, the factory runs in the caller's thread, and closing is synchronous.
    """
    App, journal = fresh_app(), Journal()

    def model():
        with journal.noting("model"):
            yield here()

    App.register_dependency("model", model, in_thread=True)

    with Container(App) as container:
        thread = container.get_nowait("model")

    assert thread == here()
    assert journal == ["+model", "-model"]


async def test_in_a_loop_it_has_to_be_awaited():
    """
    get_nowait in a running loop refuses to build what would block the loop, before anything is begun; built it is given.
    """
    App, calls = fresh_app(), []
    App.register_dependency("model", lambda: calls.append(1) or "model", in_thread=True)
    App.register_dependency("scoped", lambda: calls.append(1) or "scoped", lifetime="scoped", in_thread=True)

    async with Container(App) as container, container.scope() as scope:
        with pytest.raises(AsyncDependencyError, match="model"):
            container.get_nowait("model")
        with pytest.raises(AsyncDependencyError, match="scoped"):
            scope.get_nowait("scoped")
        refused = list(calls)
        await scope.gather("model", "scoped")

        assert refused == []
        assert (container.get_nowait("model"), scope.get_nowait("scoped")) == ("model", "scoped")


def test_what_was_made_in_a_loop_is_closed_without_one():
    """
    A generator that was entered in a thread of a loop can be left with a plain close() when the loop is gone.
    """
    App, journal = fresh_app(), Journal()

    def model():
        with journal.noting("model"):
            yield "model"

    App.register_dependency("model", model, in_thread=True)
    container = Container(App)
    asyncio.run(container.get("model"))
    container.close()

    assert journal == ["+model", "-model"]


# --- declaring -------------------------------------------------------------------------------------------


def test_async_factories_and_values_are_refused():
    """
    in_thread=True on what awaits, or is there already, is an error where it is written.
    """
    App = fresh_app()

    async def model(): ...

    async def generator():
        yield

    for factory in (model, generator, contextlib.asynccontextmanager(generator)):
        with pytest.raises(DeclarationError, match="in_thread=True is for synchronous factories"):
            App.register_dependency("model", factory, in_thread=True)


def test_context_managers_are_generators():
    """
    A function of contextlib.contextmanager is entered and left in threads like the generator that it wraps.
    """
    App, journal = fresh_app(), Journal()

    @contextlib.contextmanager
    def model():
        with journal.noting("model"):
            yield here()

    App.register_dependency("model", model, in_thread=True)

    async def main():
        async with Container(App) as container:
            return await container.get("model")

    assert asyncio.run(main()) != here()
    assert journal == ["+model", "-model"]


# --- left alone ---------------------------------------------------------------------------


async def test_what_was_left_alone_without_a_loop_is_waited_for_on_one():
    """
    A loop that closes the container goes on meanwhile.
    """
    gate = threading.Event()
    app = fresh_app()
    app.register_dependency("slow", gate.wait, in_thread=True, timeout=0.01)
    container = Container(app)

    def ask():
        with pytest.raises(BuildTimeoutError):
            container.get_nowait("slow")

    await asyncio.to_thread(ask)
    closing = asyncio.create_task(container.aclose())
    await settled()

    assert not closing.done()

    gate.set()
    await closing


async def test_a_pool_that_takes_nothing_is_the_failure_of_the_build():
    """
    Where no thread can be had, nothing was begun, and the next one may try again.
    """

    class Full(ThreadPoolExecutor):
        def submit(self, *given, **named):
            raise RuntimeError("no threads left")

    app = fresh_app()
    app.register_dependency("quick", lambda: 1, in_thread=True)
    loop = asyncio.get_running_loop()
    async with Container(app) as container:
        with Full() as full:
            loop.set_default_executor(full)
            with pytest.raises(RuntimeError, match="no threads left"):
                await container.get("quick")
        with ThreadPoolExecutor() as pool:
            loop.set_default_executor(pool)

            assert await container.get("quick") == 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("comes", ["after the end of its loop", "just before the end of its loop"])
def test_what_comes_as_its_loop_is_closed_is_finalized(comes):
    """
    A loop that is stopped and closed under a build in a thread, without a word to its tasks, leaves nothing open.
    """
    App, journal, gate, pool = fresh_app(), Journal(), Gate(), ThreadPoolExecutor(2)

    def model():
        gate.passed()
        journal.append("+model")
        yield "model"
        journal.append("-model")  # not where it is only dropped

    async def another():
        return "another"

    App.register_dependency("model", model, in_thread=True)
    App.register_dependency("another", another)
    container = Container(App)
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda loop, context: None)
    loop.set_default_executor(pool)
    task = loop.create_task(container.get("model"))
    loop.run_until_complete(gate.someone())
    if comes == "after the end of its loop":
        loop.close()
    gate.go.set()
    pool.shutdown()  # waits for the thread
    loop.close()
    del task, loop

    async def main():
        async with container:
            assert await container.get("another") == "another"  # the next loop takes over
            gc.collect()  # what waited

    asyncio.run(main())

    assert journal == ["+model", "-model"]


async def test_a_thread_does_not_wait_for_what_a_task_builds_in_its_scope():
    """
    A scope that is used with a loop says so to a thread that asks for what one of its tasks is building.
    """
    App, gate = fresh_app(), Gate()

    def slow():
        gate.passed()
        return "slow"

    App.register_dependency("slow", slow, in_thread=True, lifetime="scoped")
    async with Container(App) as container, container.scope() as scope:
        building = asyncio.create_task(scope.get("slow"))
        await gate.someone()
        refused = await outcome(asyncio.to_thread(scope.get_nowait, "slow"))
        gate.go.set()

        assert await building == "slow"
    assert isinstance(refused, AsyncDependencyError)
    assert "is being built by a task" in str(refused)
