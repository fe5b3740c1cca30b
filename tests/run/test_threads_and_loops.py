"""Rule 16, sentence by sentence: threads and event loops."""

import asyncio
import gc
import sys
import threading
import warnings
from typing import Annotated

import pytest
from helpers import LIMIT, Gate, Journal, fresh_app, in_threads, outcome, settled

from asyncmeta import (
    AsyncDependencyDescriptor,
    AsyncDependencyError,
    AsyncServiceBase,
    CircularDependencyError,
    ClosedError,
    Container,
    ContainerError,
    Inject,
    Lazy,
    WrongLoopError,
)
from asyncmeta._lock import LOCK


@pytest.fixture(autouse=True)
def frequent_switches():
    """Let threads take turns as often as they can: after every microsecond."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def raised(work):
    """Return what *work* raises, or its value."""
    try:
        return work()
    except BaseException as error:
        return error


class SecondLoop:
    """A living event loop in a thread of its own."""

    def __enter__(self):
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        return self

    def start(self, coroutine):
        """Run *coroutine* there; return a future that any thread may wait for."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)

    def __exit__(self, *exc):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(LIMIT)
        self.loop.close()


# --- "A container belongs to one living event loop at a time: when its loop has closed the next one takes over" -------


def test_the_next_loop_takes_over_when_the_former_has_closed():
    """
    asyncio.run twice: the second loop builds what it needs, and reads what the first one built.
    """
    App, calls = fresh_app(), []

    async def value(name):
        calls.append(name)
        await asyncio.sleep(0)
        return name

    async def first():
        return await value("first")

    async def second(first):
        return first, await value("second")

    App.register_dependency("first", first)
    App.register_dependency("second", second)
    container = Container(App)

    one = asyncio.run(container.get("first"))
    two = asyncio.run(container.get("second"))
    asyncio.run(container.aclose())

    assert (one, two) == ("first", ("first", "second"))
    assert calls == ["first", "second"]


def test_a_loop_that_is_not_closed_still_owns():
    """
    A loop that has stopped but is not closed may run again: it stays the owner.
    """
    App = fresh_app()
    for name in ("one", "two"):

        async def value():
            return object()

        App.register_dependency(name, value)
    container = Container(App)
    owner = asyncio.new_event_loop()
    try:
        one = owner.run_until_complete(container.get("one"))
        refused = raised(lambda: asyncio.run(container.get("two")))
        again = owner.run_until_complete(container.get("one"))
        two = owner.run_until_complete(container.get("two"))
        owner.run_until_complete(container.aclose())
    finally:
        owner.close()

    assert isinstance(refused, WrongLoopError)
    assert again is one is not two


# --- "builds that died with the old one, and values whose holder did (ResourceWarning), are forgotten" ------------------


def test_a_build_that_died_with_its_loop_is_begun_anew():
    """
    A build that was under way when its loop was closed is forgotten: the next loop builds from the beginning.
    """
    App, calls = fresh_app(), []

    async def value():
        calls.append(1)
        if len(calls) == 1:
            await asyncio.Event().wait()
        return "value"

    App.register_dependency("value", value)
    container = Container(App)

    loop = asyncio.new_event_loop()
    task = loop.create_task(container.get("value"))
    loop.run_until_complete(settled())
    task._log_destroy_pending = False
    loop.close()  # with the build in flight, and without cancelling it
    again = asyncio.run(container.get("value"))
    asyncio.run(container.aclose())
    del task
    gc.collect()

    assert again == "value"
    assert calls == [1, 1]


def test_a_value_whose_holder_died_is_forgotten_with_a_warning():
    """
    The value of an async generator whose task died with its loop, and what stands upon it, is built anew, with a warning.
    """
    App, made = fresh_app(), []

    async def connection():
        made.append("connection")
        yield object()

    App.register_dependency("connection", connection)
    App.register_dependency("pool", lambda connection: (made.append("pool"), [connection])[1])
    App.register_dependency("another", lambda: "another")
    container = Container(App)

    loop = asyncio.new_event_loop()
    old = loop.run_until_complete(container.get("pool"))
    loop.close()  # closed under the holder's feet
    with pytest.warns(ResourceWarning, match=r'loop .* was closed before "connection" could be'):
        asyncio.run(container.get("another"))  # it takes over when it has something to build
    new = asyncio.run(container.get("pool"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # garbage of the loop that was left lying about
        asyncio.run(container.aclose())
        gc.collect()

    assert made == ["connection", "pool"] * 2
    assert new is not old
    assert new[0] is not old[0]


# --- "values without finalizer that stand on none of these stay" ----------------------------------------------------------


def test_plain_values_stay():
    """
    Values without a finalizer, that stand on nothing with one, are the same in the next loop.
    """
    App, journal = fresh_app(), Journal()

    async def plain():
        return object()

    async def resource():
        with journal.noting("resource"):
            yield object()

    App.register_dependency("plain", plain)
    App.register_dependency("above plain", lambda plain: [plain])
    App.register_dependency("resource", resource)
    App.register_dependency("above resource", lambda resource: [resource])
    container = Container(App)
    keys = ("plain", "above plain", "resource", "above resource")

    first = asyncio.run(container.gather(*keys))  # the end of asyncio.run retires what has a finalizer
    second = asyncio.run(container.gather(*keys))
    asyncio.run(container.aclose())

    assert [a is b for a, b in zip(first, second, strict=True)] == [True, True, False, False]
    assert journal == ["+resource", "-resource"] * 2


# --- "Building from a second living loop raises WrongLoopError at once and says what to do" -------------------------------


async def test_building_from_a_second_living_loop_is_refused_at_once():
    """
    A second living loop that would have to build gets a WrongLoopError, also while the first one is just building.
    """
    App, gate = fresh_app(), asyncio.Event()

    async def building():
        await gate.wait()
        return "built"

    App.register_dependency("building", building)
    App.register_dependency("unbuilt", lambda: "in place")

    async def both(container):
        return [await outcome(container.get("building")), await outcome(container.get("unbuilt"))]

    async with Container(App) as container:
        task = asyncio.create_task(container.get("building"))
        await settled()
        with SecondLoop() as second:
            refused = second.start(both(container)).result(LIMIT)  # this loop stands still: nothing is waited for
        gate.set()
        value = await task

    assert value == "built"
    assert [type(error) for error in refused] == [WrongLoopError, WrongLoopError]
    for error in refused:
        assert "await container.start()" in str(error)
        assert "a container of its own" in str(error)


async def test_two_loops_with_a_container_each():
    """
    Two living loops with containers of their own do not disturb each other.
    """
    App = fresh_app()

    async def value():
        await asyncio.sleep(0)
        return asyncio.get_running_loop()

    App.register_dependency("value", value)

    async def life():
        async with Container(App) as container:
            return await container.get("value"), asyncio.get_running_loop()

    with SecondLoop() as second:
        there = second.start(life())
        here = await life()
        there = await asyncio.wrap_future(there)

    assert here[0] is here[1]
    assert there[0] is there[1] is not here[0]


# --- "(checked whenever something has to be built; reading is not checked)" -------------------------------------------------


async def test_reading_is_not_checked():
    """
    What is built is read from a second living loop: by get, by attribute, through what is made of it in place or not.
    """

    class Service(AsyncServiceBase):
        value = AsyncDependencyDescriptor("value")

        def __init__(self, late: Lazy[AsyncServiceBase]):
            self.late = late

    App = fresh_app()

    async def value():
        return "value"

    App.register_dependency("value", value)

    async def read(container, service):
        return [await container.get("value"), await service.value, container.get_nowait("value"), await service.late]

    async with Container(App) as container:
        service = await container.get(Service)
        await service.value
        app = await service.late
        with SecondLoop() as second:
            found = await asyncio.wrap_future(second.start(read(container, service)))

    assert found == ["value", "value", "value", app]


# --- "Built values can be read from any thread (get_nowait)" ---------------------------------------------------------------


async def test_built_values_are_read_from_any_thread():
    """
    Threads read with get_nowait what is built, and are refused what would have to be awaited.
    """
    App = fresh_app()

    async def value():
        return object()

    App.register_dependency("built", value)
    App.register_dependency("unbuilt", value)

    async with Container(App) as container:
        built = await container.get("built")
        results = await asyncio.to_thread(in_threads, 8, lambda number: [container.get_nowait("built") for _ in range(200)])
        refused = await asyncio.to_thread(raised, lambda: container.get_nowait("unbuilt"))

    assert all(value is built for values in results for value in values)
    assert isinstance(refused, AsyncDependencyError)


async def test_reading_while_the_container_closes():
    """
    Threads that read while the container closes get the value or a ClosedError, and nothing else.
    """
    App = fresh_app()
    App.register_dependency("value", lambda: "value")

    for _ in range(20):
        container = Container(App)
        await container.get("value")
        begun = threading.Barrier(5)

        def read(number, container=container, begun=begun):
            begun.wait(LIMIT)
            return [raised(lambda: container.get_nowait("value")) for _ in range(50)]

        reading = asyncio.create_task(asyncio.to_thread(in_threads, 4, read))
        await asyncio.to_thread(begun.wait, LIMIT)
        await container.aclose()
        for values in await reading:
            assert all(value == "value" or isinstance(value, ClosedError) for value in values)


# --- "and a thread without a loop may also build sync singletons beside a living loop: threads and tasks share one claim" ----


async def test_a_thread_builds_beside_a_living_loop():
    """
    A thread builds a sync singleton while the loop lives; tasks that ask meanwhile wait for the thread, and share it.
    """
    App, gate, calls = fresh_app(), Gate(), []

    def value():
        calls.append(threading.current_thread())
        gate.passed()
        return object()

    App.register_dependency("value", value)

    async with Container(App) as container:
        in_thread = asyncio.create_task(asyncio.to_thread(container.get_nowait, "value"))
        await gate.someone()
        tasks = [asyncio.create_task(container.get("value")) for _ in range(3)]
        await settled()
        waited = not any(task.done() for task in tasks)  # and the loop turns meanwhile
        gate.go.set()
        found = await asyncio.gather(in_thread, *tasks)

    assert waited
    assert len(calls) == 1
    assert calls[0] is not threading.main_thread()
    assert len(set(map(id, found))) == 1


async def test_a_thread_waits_for_what_the_loop_builds_in_place():
    """
    A thread that asks for what the loop's thread is just building in place waits for it, and shares it.
    """
    App, gate, calls = fresh_app(), Gate(), []

    def value():
        calls.append(1)
        gate.passed()
        return object()

    App.register_dependency("value", value)
    found = []

    async with Container(App) as container:

        def ask():
            assert gate.came.wait(LIMIT)  # the loop's thread is inside of the factory
            opened = threading.Timer(0.02, gate.go.set)
            opened.start()
            found.append(container.get_nowait("value"))
            opened.join()

        thread = threading.Thread(target=ask)
        thread.start()
        found.append(await container.get("value"))
        await asyncio.to_thread(thread.join, LIMIT)

    assert calls == [1]
    assert found[0] is found[1]


async def test_a_failing_build_in_a_thread_reaches_the_tasks():
    """
    What a build in a thread raises is raised by the tasks that wait for it, and the next call tries again.
    """
    App, gate, calls = fresh_app(), Gate(), []

    def value():
        calls.append(1)
        if len(calls) == 1:
            gate.passed()
            raise ValueError("not yet")
        return "value"

    App.register_dependency("value", value)

    async with Container(App) as container:
        in_thread = asyncio.create_task(asyncio.to_thread(raised, lambda: container.get_nowait("value")))
        await gate.someone()
        task = asyncio.create_task(container.get("value"))
        await settled()
        gate.go.set()
        failures = [await in_thread, await outcome(task)]
        again = await container.get("value")

    assert isinstance(failures[0], ValueError)
    assert failures[0] is failures[1]
    assert again == "value"


async def test_closing_waits_for_a_build_in_a_thread():
    """
    A container that is closed while a thread builds waits for it: what it makes is torn down, and handed to nobody.
    """
    App, gate, journal = fresh_app(), Gate(), Journal()

    def value():
        gate.passed()
        with journal.noting("value"):
            yield "value"

    App.register_dependency("value", value)
    container = Container(App)

    in_thread = asyncio.create_task(asyncio.to_thread(raised, lambda: container.get_nowait("value")))
    await gate.someone()
    closing = asyncio.create_task(container.aclose())
    await settled()
    waited = not closing.done()
    gate.go.set()
    await closing
    refused = await in_thread

    assert waited
    assert isinstance(refused, ClosedError)
    assert journal == ["+value", "-value"]


async def test_threads_and_tasks_at_once():
    """
    Any number of threads and tasks that ask for many values at once build each of them once.
    """
    App, calls = fresh_app(), []
    count = 40

    def register(number):  # a number for each: CPython 3.14 reads the annotation when the loop is over
        def base():
            calls.append(number)
            return [number]

        def user(value: Annotated[list[int], Inject(f"base {number}")]):
            return value

        App.register_dependency(f"base {number}", base)
        App.register_dependency(f"user {number}", user)

    for number in range(count):
        register(number)

    async with Container(App) as container:

        def ask(thread):
            return [container.get_nowait(f"user {(number + 5 * thread) % count}") for number in range(count)]

        async def ask_too(task):
            found = []
            for number in range(count):
                found.append(await container.get(f"user {(number + 7 * task) % count}"))
                await asyncio.sleep(0)
            return found

        threads = asyncio.create_task(asyncio.to_thread(in_threads, 6, ask))
        found = await asyncio.gather(*(ask_too(task) for task in range(4)))
        found += await threads

    assert sorted(calls) == list(range(count))
    by_number = {}
    for values in found:
        for value in values:
            assert by_number.setdefault(value[0], value) is value


def test_a_circle_across_threads_is_told():
    """
    Two threads whose factories ask for what the other is building are told so, and neither hangs.
    """
    App, gates = fresh_app(), [Gate(), Gate()]

    def one(container: Container):
        gates[0].passed()
        return container.get_nowait("two")

    def two(container: Container):
        gates[1].passed()
        return container.get_nowait("one")

    App.register_dependency("one", one)
    App.register_dependency("two", two)
    results = []

    with Container(App) as container:
        threads = [
            threading.Thread(target=lambda key=key: results.append(raised(lambda: container.get_nowait(key))), daemon=True)
            for key in ("one", "two")
        ]
        for thread, gate in zip(threads, gates, strict=True):
            thread.start()
            assert gate.came.wait(LIMIT)
        for gate in gates:
            gate.go.set()
        for thread in threads:
            thread.join(LIMIT)
        assert not any(thread.is_alive() for thread in threads)

    assert len(results) == 2
    assert all(isinstance(result, CircularDependencyError) for result in results)


# --- "a scope is entered one way, and an `async with` scope builds in its loop's thread only" ----------------------------------


async def test_an_async_scope_builds_in_its_loops_thread_only():
    """
    A thread that would build in a scope of a loop is refused; what is built there it may read.
    """
    App, calls = fresh_app(), []
    App.register_dependency("value", lambda: calls.append(1) or object(), lifetime="scoped")
    App.register_dependency("transient", object, lifetime="transient")

    async with Container(App) as container, container.scope() as scope:
        refused = [await asyncio.to_thread(raised, lambda key=key: scope.get_nowait(key)) for key in ("value", "transient")]
        value = await scope.get("value")
        read = await asyncio.to_thread(scope.get_nowait, "value")

    assert [type(error) for error in refused] == [WrongLoopError, WrongLoopError]
    assert "with container.scope() as scope" in str(refused[0])
    assert read is value
    assert calls == [1]


async def test_a_scope_is_entered_one_way():
    """
    A scope that was entered with a plain `with` cannot be entered with `async with` as well.
    """
    async with Container(fresh_app()) as container:
        with container.scope() as scope:
            with pytest.raises(ContainerError, match="entered one way"):
                async with scope:
                    pass
            assert not scope.closed


async def test_a_plain_scope_in_a_loop_awaits_nothing():
    """
    In a scope that was entered with a plain `with` nothing is built that waits for the loop: it says so, and never hangs.
    """
    App, begun = fresh_app(), []

    async def slow():
        begun.append(1)
        await asyncio.sleep(0)

    async def shared():
        await asyncio.sleep(0)
        return "shared"

    App.register_dependency("slow", slow, lifetime="scoped")
    App.register_dependency("shared", shared)
    App.register_dependency("quick", lambda shared: [shared], lifetime="scoped")

    async with Container(App) as container:
        for _ in range(3):  # from the second time on by generated code, which the plain scope must not run
            async with container.scope() as scope:
                await scope.gather("slow", "quick")
            begun.clear()
            with container.scope() as scope:
                failures = await asyncio.wait_for(asyncio.gather(*(outcome(scope.get("slow")) for _ in range(2))), LIMIT)
                values = await asyncio.gather(*(scope.get("quick") for _ in range(3)))
                assert [type(failure) for failure in failures] == [AsyncDependencyError] * 2
                assert "async with" in str(failures[0])
                assert values[0] is values[1] is values[2]

    assert begun == []


async def test_a_thread_opens_a_scope_of_its_own_beside_a_loop():
    """
    A thread that needs scoped values while the loop lives opens a scope with a plain `with`.
    """
    App, journal = fresh_app(), Journal()
    App.register_dependency("shared", lambda: object())

    def session(shared):
        with journal.noting("session"):
            yield shared

    App.register_dependency("session", session, lifetime="scoped")

    async with Container(App) as container:

        def work(number):
            with container.scope() as scope:
                return scope.get_nowait("session"), scope.get_nowait("session")

        pairs = await asyncio.to_thread(in_threads, 6, work)
        shared = await container.get("shared")

    assert all(one is other is shared for one, other in pairs)
    assert journal.count("+session") == journal.count("-session") == 6


# --- "Sync-only graphs work without a loop (with Container(App) as c, with c.scope() as s, get_nowait, close())" ----------------


def test_sync_graphs_need_no_loop():
    """
    A synchronous application lives without any loop, closes in reverse order, and begins anew when entered again.
    """
    App, journal = fresh_app(scopes=()), Journal()
    for name, lifetime in {"database": "singleton", "session": "scoped", "part": "transient"}.items():

        def value(name=name):
            with journal.noting(name):
                yield name

        App.register_dependency(name, value, lifetime=lifetime)

    class Handler(AsyncServiceBase, lifetime="scoped"):
        session = AsyncDependencyDescriptor("session")

        def __init__(self, database, part):
            self.taken = database, part

    container = Container(App)
    for _ in range(2):
        with container, container.scope() as scope:
            handler = scope.get_nowait(Handler)
            assert (handler.taken, handler.session.nowait()) == (("database", "part"), "session")
    by_hand = Container(App)
    by_hand.get_nowait("database")
    by_hand.close()

    life = ["+database", "+part", "+session", "-session", "-part", "-database"]
    assert journal == [*life, *life, "+database", "-database"]


def test_what_awaits_is_refused_before_anything_is_begun():
    """
    get_nowait of what has to be awaited, however deep, is refused before any factory is called.
    """
    App, calls = fresh_app(), []

    async def deep():
        calls.append("deep")

    App.register_dependency("deep", deep)
    App.register_dependency("first", lambda: calls.append("first"))
    App.register_dependency("middle", lambda first, deep: None)
    App.register_dependency("top", lambda middle: None)

    with Container(App) as container:
        with pytest.raises(AsyncDependencyError, match='"deep" has to be awaited'):
            container.get_nowait("top")

    assert calls == []


# --- "from many threads, built once each (a second form of emitted code with claims around every shared value)" ------------------


def test_many_threads_build_each_value_once():
    """
    Eight threads that ask one container and one scope for the same values build each of them once, and close all.
    """
    for _ in range(10):
        App, journal = fresh_app(), Journal()
        for number in range(12):
            for lifetime in ("singleton", "scoped"):

                def value(name=f"{lifetime} {number}", journal=journal):
                    with journal.noting(name):
                        yield [name]

                App.register_dependency(f"{lifetime} {number}", value, lifetime=lifetime)
        keys = [f"{lifetime} {number}" for number in range(12) for lifetime in ("scoped", "singleton")]

        with Container(App) as container, container.scope() as scope:
            found = in_threads(8, lambda number, keys=keys: [scope.get_nowait(key) for key in keys])

        assert all(value is first for values in found for value, first in zip(values, found[0], strict=True))
        assert sorted(journal.built) == sorted(journal.closed) == sorted(keys)


def test_many_threads_keep_all_finalizers():
    """
    Transient values that threads make at once in one scope, or in the container, are all closed, each once.
    """
    for where in ("container", "scope"):
        App, journal, number = fresh_app(), Journal(), iter(range(10**6))

        def value(number=number, journal=journal):
            name = str(next(number))
            with journal.noting(name):
                yield name

        App.register_dependency("value", value, lifetime="transient")

        with Container(App) as container, container.scope() as scope:
            holder = container if where == "container" else scope
            in_threads(8, lambda number, holder=holder: [holder.get_nowait("value") for _ in range(40)])

        assert len(journal.built) == 320
        assert sorted(journal.built) == sorted(journal.closed)


def test_a_thread_waits_for_another_s_scoped_build():
    """
    A thread that asks for a scoped value which another thread is building waits for it, and shares it or its failure.
    """
    App, gate, calls = fresh_app(), Gate(), []

    def value():
        calls.append(1)
        if len(calls) == 1:
            gate.passed()
            raise ValueError("not yet")
        return object()

    App.register_dependency("value", value, lifetime="scoped")
    results = []

    with Container(App) as container, container.scope() as scope:

        def ask():
            results.append(raised(lambda: scope.get_nowait("value")))

        threads = [threading.Thread(target=ask, daemon=True)]
        threads[0].start()
        assert gate.came.wait(LIMIT)
        threads += [threading.Thread(target=ask, daemon=True) for _ in range(3)]
        for thread in threads[1:]:
            thread.start()
        while len(scope._waiters.get(0, ())) < 3:  # until all of them wait
            pass
        gate.go.set()
        for thread in threads:
            thread.join(LIMIT)
        again = scope.get_nowait("value")

    assert calls == [1, 1]
    assert all(isinstance(result, ValueError) for result in results)
    assert len({id(result) for result in results}) == 1
    assert type(again) is object


def test_threads_open_scopes_at_once():
    """
    Threads that open, use and close scopes of one container, and scopes of several levels, do not disturb each other.
    """
    App, journal = fresh_app(scopes=("session", "request")), Journal()
    for level in ("session", "request"):

        def value(level=level):
            with journal.noting(level):
                yield level

        App.register_dependency(f"of {level}", value, lifetime=level)
    App.register_dependency("both", lambda container_value: container_value, lifetime="request")
    App.register_dependency("container_value", object)

    with Container(App) as container, container.scope(level="session") as session:

        def work(number):
            found = []
            for _ in range(20):
                with session.scope() as request:
                    request.get_nowait("of session")
                    request.get_nowait("of request")
                    found.append(request.get_nowait("both"))
                with container.scope() as request:
                    request.get_nowait("of session")
            return found

        results = in_threads(6, work)

    assert not [result for result in results if isinstance(result, BaseException)]
    assert len({id(value) for values in results for value in values}) == 1
    assert journal.count("+session") == journal.count("-session") == 121
    assert journal.count("+request") == journal.count("-request") == 120


def test_closing_a_scope_waits_for_threads_inside():
    """
    A scope that is closed while a thread builds in it waits for that build, and tears down what it made.
    """
    App, gate, journal = fresh_app(), Gate(), Journal()

    def value():
        gate.passed()
        with journal.noting("value"):
            yield "value"

    App.register_dependency("value", value, lifetime="scoped")
    results = []

    with Container(App) as container:
        scope = container.scope()
        with scope:
            thread = threading.Thread(target=lambda: results.append(raised(lambda: scope.get_nowait("value"))), daemon=True)
            thread.start()
            assert gate.came.wait(LIMIT)
            threading.Timer(0.02, gate.go.set).start()
        after = list(journal)
        thread.join(LIMIT)

    assert isinstance(results[0], ClosedError)
    assert after == ["+value", "-value"]


def test_threads_register_while_others_read():
    """
    Registrations that come while threads read and build are seen afterwards, and disturb nobody.
    """
    App = fresh_app()
    for number in range(20):
        App.register_dependency(f"value {number}", (lambda n: lambda: n)(number))

    with Container(App) as container:

        def work(thread):
            if thread == 0:
                for number in range(60):
                    App.register_dependency(f"late {number}", (lambda n: lambda: n)(number))
                return []
            return [container.get_nowait(f"value {number % 20}") for number in range(100)]

        results = in_threads(5, work)
        late = [container.get_nowait(f"late {number}") for number in range(60)]

    assert results[1:] == [[number % 20 for number in range(100)]] * 4
    assert late == list(range(60))


# --- "close() with async finalizers pending raises before it closes anything" -----------------------------------------------------


@pytest.mark.parametrize("what", ["container", "scope"])
def test_close_refuses_async_finalizers_before_it_closes_anything(what):
    """
    close(), and the end of a plain with, refuse where a finalizer has to be awaited; nothing is closed, and all still works.
    """
    App, journal = fresh_app(), Journal()
    lifetime = "singleton" if what == "container" else "scoped"

    def plain():
        with journal.noting("plain"):
            yield "plain"

    async def awaited():
        with journal.noting("awaited"):
            yield "awaited"

    App.register_dependency("awaited", awaited, lifetime=lifetime)
    App.register_dependency("plain", plain, lifetime=lifetime)

    async def main():
        async with Container(App) as container:
            holder = container if what == "container" else container.scope()
            await holder.gather("plain", "awaited", "plain")
            with pytest.raises(AsyncDependencyError, match=r"cannot be closed without awaiting.*awaited"):
                holder.close()
            assert journal == ["+plain", "+awaited"]
            assert await holder.gather("plain", "awaited") == ("plain", "awaited")
            await holder.aclose()

    asyncio.run(main())

    assert journal == ["+plain", "+awaited", "-awaited", "-plain"]


# --- entering again --------------------------------------------------------------------------------------------------------------


def test_two_threads_enter_a_closed_container_at_once():
    """A closed container that another thread enters in the middle of entering it begins anew once: what that has built is kept."""
    App, journal, lines = fresh_app(), Journal(), [0]

    def pool():
        journal.append("+pool")
        yield "pool"
        journal.append("-pool")  # not where it is only dropped

    App.register_dependency("pool", pool)

    def enter_elsewhere(container):
        def enter_and_build():
            if LOCK.acquire(blocking=False):  # else who is interrupted holds it, and nobody comes between
                LOCK.release()
                container.__enter__()
                container.get_nowait("pool")

        thread = threading.Thread(target=enter_and_build)
        thread.start()
        thread.join(LIMIT)

    def entered_at(number):
        """Enter a container while another thread does so before the line of that number; tell whether there is such a line."""
        container = Container(App)
        container.close()
        left = [number]

        def trace(frame, event, _):
            if frame.f_code is not Container._enter.__code__:
                return None
            if event == "line":
                left[0] -= 1
                if left[0] == 0:
                    enter_elsewhere(container)
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            container.__enter__()
        finally:
            sys.settrace(before)
        container.__exit__(None, None, None)  # so that it is not the ambient one of the tests to come
        return left[0] <= 0

    while entered_at(lines[0] + 1):
        lines[0] += 1

    assert lines[0] > 3
    assert journal == ["+pool", "-pool"] * (len(journal) // 2) != []
