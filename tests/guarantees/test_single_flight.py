"""Promise 1: one value, built once; unrelated builds never wait for each other."""

import asyncio
import sys
import threading
from typing import Annotated, Any

import pytest
from helpers import LIMIT, Journal, fresh_app, in_threads, settled

from asyncmeta import AsyncDependencyDescriptor, AsyncServiceBase, Container, Inject, ScopeError


class Gate:
    """An async factory that waits until it is opened, and counts its calls."""

    def __init__(self):
        self.calls = 0
        self.begun, self.open = asyncio.Event(), asyncio.Event()

    async def __call__(self):
        self.calls += 1
        self.begun.set()
        await self.open.wait()
        return object()


async def test_many_tasks_share_one_build_of_a_singleton():
    """
    A thousand tasks that ask while a singleton is being built get the one value of one build.
    """
    App, make = fresh_app(), Gate()
    App.register_dependency("value", make)
    async with Container(App) as container:
        tasks = [asyncio.create_task(container.get("value")) for _ in range(1000)]
        await make.begun.wait()
        await settled()
        make.open.set()
        values = await asyncio.gather(*tasks)

    assert make.calls == 1
    assert len({id(value) for value in values}) == 1


async def test_tasks_share_one_build_of_a_scoped_value():
    """
    Tasks that ask one scope share its build; another scope builds its own.
    """
    App, make = fresh_app(), Gate()
    App.register_dependency("value", make, lifetime="scoped")
    async with Container(App) as container, container.scope() as one, container.scope() as other:
        tasks = [asyncio.create_task(scope.get("value")) for scope in (one, one, one, other, other)]
        await make.begun.wait()
        await settled()
        make.open.set()
        a, b, c, d, e = await asyncio.gather(*tasks)

    assert make.calls == 2
    assert a is b is c
    assert d is e is not a


async def test_tasks_that_ask_for_different_roots_share_what_both_need():
    """
    A singleton that two roots need is built once, though they are asked for at once.
    """
    App, make = fresh_app(), Gate()
    App.register_dependency("shared", make)
    App.register_dependency("one", lambda shared: ("one", shared))
    App.register_dependency("other", lambda shared: ("other", shared))
    async with Container(App) as container:
        tasks = [asyncio.create_task(container.get(name)) for name in ("one", "other", "shared")]
        await make.begun.wait()
        await settled()
        make.open.set()
        one, other, shared = await asyncio.gather(*tasks)

    assert make.calls == 1
    assert one[1] is other[1] is shared


async def test_attribute_parameter_and_get_share_one_build():
    """
    An attribute, a parameter and a get of one singleton, at once, lead to one build.
    """
    make = Gate()

    class App(AsyncServiceBase):
        value = AsyncDependencyDescriptor("value")

    App.register_dependency("value", make)
    App.register_dependency("user", lambda value: value)
    app = App()
    async with Container(app) as container:
        tasks = [
            asyncio.create_task(app.value.run()),
            asyncio.create_task(App.value.resolve(app)),
            asyncio.create_task(container.get("value")),
            asyncio.create_task(container.get("user")),
        ]
        await make.begun.wait()
        await settled()
        make.open.set()
        values = await asyncio.gather(*tasks)

    assert make.calls == 1
    assert len({id(value) for value in values}) == 1


async def test_unrelated_builds_do_not_wait_for_each_other():
    """
    While one singleton is stuck in its factory, another one is built and handed over.
    """
    App, stuck = fresh_app(), Gate()

    async def quick():
        await asyncio.sleep(0)
        return "quick"

    App.register_dependency("stuck", stuck)
    App.register_dependency("quick", quick)
    async with Container(App) as container:
        waiting = asyncio.create_task(container.get("stuck"))
        await stuck.begun.wait()
        value = await container.get("quick")
        still = not waiting.done()
        stuck.open.set()
        await waiting

    assert value == "quick"
    assert still


async def test_unrelated_scoped_builds_do_not_wait_for_each_other():
    """
    While one scope is stuck in a factory, another scope builds the same key.
    """
    App = fresh_app()
    gates = []

    async def make():
        gates.append(asyncio.Event())
        if len(gates) == 1:
            await gates[0].wait()
        return object()

    App.register_dependency("value", make, lifetime="scoped")
    async with Container(App) as container, container.scope() as one, container.scope() as other:
        waiting = asyncio.create_task(one.get("value"))
        await settled()
        value = await other.get("value")
        still = not waiting.done()
        gates[0].set()
        await waiting

    assert still
    assert value is not waiting.result()


async def test_built_values_never_wait():
    """
    A built value is handed over in one step, whatever else is being built.
    """
    App, stuck = fresh_app(), Gate()
    App.register_dependency("stuck", stuck)
    App.register_dependency("built", object)
    async with Container(App) as container:
        value = await container.get("built")
        waiting = asyncio.create_task(container.get("stuck"))
        await stuck.begun.wait()

        coroutine = container.get("built")
        with pytest.raises(StopIteration) as stopped:
            coroutine.send(None)

        stuck.open.set()
        await waiting

    assert stopped.value.value is value


async def test_independent_singletons_are_built_side_by_side():
    """
    Singletons that one root needs and that do not need each other are all begun before any has ended.
    """
    App = fresh_app()
    gates = [Gate() for _ in range(4)]
    for number, gate in enumerate(gates):
        App.register_dependency(f"part{number}", gate)
    App.register_dependency("whole", lambda part0, part1, part2, part3: (part0, part1, part2, part3))
    async with Container(App) as container:
        waiting = asyncio.create_task(container.get("whole"))
        for gate in gates:
            await gate.begun.wait()
        for gate in gates:
            gate.open.set()
        whole = await waiting

    assert len(set(map(id, whole))) == 4


async def test_start_builds_singletons_side_by_side():
    """
    `start` begins all singletons that do not need each other before any has ended, and reports each.
    """
    App = fresh_app()
    gates = [Gate() for _ in range(3)]
    for number, gate in enumerate(gates):
        App.register_dependency(f"part{number}", gate)
    async with Container(App) as container:
        starting = asyncio.create_task(container.start())
        for gate in gates:
            await gate.begun.wait()
        for gate in gates:
            gate.open.set()
        report = await starting

    assert [gate.calls for gate in gates] == [1, 1, 1]
    assert {'"part0"', '"part1"', '"part2"'} <= {timing.key for timing in report.builds}


async def test_transient_values_are_never_shared():
    """
    A transient value is new for each injection point and each get, also for tasks that ask at once.
    """
    App = fresh_app()

    async def make():
        await asyncio.sleep(0)
        return object()

    App.register_dependency("value", make, lifetime="transient")
    App.register_dependency("pair", lambda value: [value], lifetime="transient")
    App.register_dependency("both", lambda value, pair: [value, *pair], lifetime="transient")
    async with Container(App) as container:
        values = await asyncio.gather(*(container.get("value") for _ in range(5)))
        both = await container.get("both")

    assert len(set(map(id, [*values, *both]))) == 7


async def test_two_containers_of_one_application_build_apart():
    """
    A second container of the same class has its own singletons, also while the first is building.
    """
    App, make = fresh_app(), Gate()
    App.register_dependency("value", make)
    async with Container(App) as one, Container(App) as other:
        tasks = [asyncio.create_task(container.get("value")) for container in (one, other)]
        await make.begun.wait()
        await settled()
        make.open.set()
        a, b = await asyncio.gather(*tasks)

    assert make.calls == 2
    assert a is not b


# --- threads -------------------------------------------------------------------------------------


@pytest.fixture
def switching_fast():
    """Let threads take turns as often as they can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("switching_fast")
def test_eight_threads_build_each_singleton_once():
    """
    Eight threads that ask a sync container at once for a deep chain get the same values, each built once.
    """
    for _ in range(15):
        App, built = fresh_app(), []

        def make(number, built=built):
            def build(before):
                built.append(number)
                return (number, before)

            return build

        App.register_value("v0", None)
        for number in range(1, 12):
            factory = make(number)
            factory.__annotations__["before"] = Annotated[Any, Inject(f"v{number - 1}")]
            App.register_dependency(f"v{number}", factory)
        with Container(App) as container:
            values = in_threads(8, lambda which: container.get_nowait("v11"))

        assert sorted(built) == list(range(1, 12))
        assert len({id(value) for value in values}) == 1


@pytest.mark.usefixtures("switching_fast")
def test_eight_threads_share_one_scope():
    """
    Eight threads that ask one sync scope at once get one scoped value, set up and torn down once.
    """
    for _ in range(15):
        App, journal = fresh_app(), Journal()

        def make(journal=journal):
            with journal.noting("value"):
                yield object()

        App.register_dependency("value", make, lifetime="scoped")
        with Container(App) as container:
            with container.scope() as scope:
                values = in_threads(8, lambda which: scope.get_nowait("value"))

        assert journal == ["+value", "-value"]
        assert len({id(value) for value in values}) == 1


def test_a_thread_waits_for_the_thread_that_builds():
    """
    A thread that asks while another one builds waits for that build and gets its value.
    """
    App = fresh_app()
    begun, go_on, calls = threading.Event(), threading.Event(), []

    def make():
        calls.append(1)
        begun.set()
        assert go_on.wait(LIMIT)
        return object()

    App.register_dependency("value", make)
    with Container(App) as container:

        def work(which):
            if which == 0:
                return container.get_nowait("value")
            assert begun.wait(LIMIT)
            if which == 3:
                go_on.set()
            return container.get_nowait("value")

        values = in_threads(4, work)

    assert calls == [1]
    assert len({id(value) for value in values}) == 1


async def test_threads_and_tasks_share_one_build():
    """
    A thread without a loop that asks for a sync singleton beside a living loop gets the loop's value, and one is built.
    """
    for _ in range(20):
        App, calls = fresh_app(), []

        def make(calls=calls):
            calls.append(1)
            return object()

        App.register_dependency("value", make)
        App.register_dependency("user", lambda value: [value])
        async with Container(App) as container:
            threads = asyncio.gather(*(asyncio.to_thread(container.get_nowait, "user") for _ in range(3)))
            mine = await container.get("user")
            theirs = await threads

        assert calls == [1]
        assert all(value is mine for value in theirs)


async def test_built_values_can_be_read_from_any_thread():
    """
    What is built is read by `get_nowait` in a thread, whatever made it.
    """
    App = fresh_app()

    async def make():
        return object()

    App.register_dependency("value", make)
    async with Container(App) as container:
        value = await container.get("value")
        read = await asyncio.to_thread(container.get_nowait, "value")

    assert read is value


async def test_a_scoped_value_is_refused_by_the_container():
    """
    A scoped value asked of the container is a ScopeError that names it.
    """
    App = fresh_app()
    App.register_dependency("session", object, lifetime="scoped")
    async with Container(App) as container:
        with pytest.raises(ScopeError, match="session"):
            await container.get("session")
        with pytest.raises(ScopeError, match="session"):
            container.get_nowait("session")


async def test_gather_asks_for_several_at_once():
    """
    `gather` on a scope gives each value in order, sharing what is shared.
    """
    App = fresh_app()
    App.register_dependency("session", object, lifetime="scoped")
    App.register_dependency("users", lambda session: ["users", session], lifetime="scoped")
    App.register_dependency("orders", lambda session: ["orders", session], lifetime="transient")
    async with Container(App) as container, container.scope() as scope:
        users, orders, session = await scope.gather("users", "orders", "session")

    assert users == ["users", session]
    assert orders == ["orders", session]
