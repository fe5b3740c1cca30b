"""Promise 7: what cannot work is told when the container is made, with the whole path; run-time cycles raise."""

import asyncio
import gc
import threading
from typing import Annotated, Any

import pytest
from helpers import fresh_app, in_threads, outcome, problems, settled

from asyncmeta import (
    AsyncDependencyDescriptor,
    AsyncDependencyError,
    AsyncServiceBase,
    CaptiveDependencyError,
    CircularDependencyError,
    Container,
    GraphError,
    GraphErrors,
    Inject,
    Lazy,
    MissingDependencyError,
)


def rejected(App):
    """Return what making a container of *App* raises."""
    with pytest.raises(GraphErrors) as caught:
        Container(App)
    return caught.value


def test_missing_names_the_path_and_near_misses():
    """
    A key that nothing provides is told with everything on the way to it, and what is spelled alike.
    """
    App = fresh_app()
    App.register_value("database", "database")
    App.register_dependency("store", lambda databse: databse)
    App.register_dependency("billing", lambda store: store)

    error = rejected(App)

    (problem,) = error.exceptions
    assert isinstance(problem, MissingDependencyError)
    assert problem.key == '"databse"'
    assert '"store"' in str(error)
    assert problem.close_to == ('"database"',)
    assert "test_rejections.py" in str(error)


@pytest.mark.parametrize("length", [2, 3, 300])
def test_cycles_name_every_member(length):
    """
    A circle of any length is told with each of its members.
    """
    App = fresh_app()
    for number in range(length):

        def make(needed): ...

        make.__annotations__["needed"] = Annotated[Any, Inject(f"member{(number + 1) % length}")]
        App.register_dependency(f"member{number}", make)

    (problem,) = rejected(App).exceptions

    assert isinstance(problem, CircularDependencyError)
    path = [step.split(".")[0] for step in problem.path]  # each step also names the parameter that asks
    assert len(path) == length + 1
    assert path[0] == path[-1]
    assert set(path) == {f'"member{number}"' for number in range(length)}


def test_a_class_that_needs_itself():
    """
    A service whose constructor asks for its own type is told.
    """

    class Service(AsyncServiceBase):
        def __init__(self, other: "Service"): ...

    Service.__init__.__annotations__["other"] = Service
    App = fresh_app()
    App.register_dependency("user", lambda service: service)
    App.register_dependency("service", Service)

    found = problems(rejected(App))

    assert any(isinstance(problem, CircularDependencyError) for problem in found)
    assert any("Service" in str(problem) for problem in found)


def test_a_circle_is_told_once():
    """
    Ten users of a circle do not make ten problems of it.
    """
    App = fresh_app()
    App.register_dependency("a", lambda b: b)
    App.register_dependency("b", lambda a: a)
    for number in range(10):
        App.register_dependency(f"user{number}", lambda a: a)

    assert len(rejected(App).exceptions) == 1


@pytest.mark.parametrize("through", ["parameter", "transient", "two transients", "descriptor", "lazy"])
def test_captive_scoped_values(through):
    """
    A singleton that would keep a scoped value is refused, also through transients, descriptors and Lazy.
    """
    App = fresh_app()
    App.register_dependency("session", object, lifetime="scoped")
    App.register_dependency("between", lambda session: session, lifetime="transient")
    App.register_dependency("between two", lambda between: between, lifetime="transient")

    class Service(AsyncServiceBase):
        session = AsyncDependencyDescriptor("session")

    needed = {
        "parameter": Annotated[Any, Inject("session")],
        "transient": Annotated[Any, Inject("between")],
        "two transients": Annotated[Any, Inject("between two")],
        "descriptor": Service,
        "lazy": Lazy[Annotated[Any, Inject("session")]],
    }[through]

    def make(needed): ...

    make.__annotations__["needed"] = needed
    App.register_dependency("cache", make)

    found = problems(rejected(App))

    assert all(isinstance(problem, CaptiveDependencyError) for problem in found)
    assert any('"session"' in str(problem) for problem in found)
    holder = "Service" if through == "descriptor" else '"cache"'
    assert any(holder in problem.path[0] for problem in found)


@pytest.mark.parametrize("text", ["Ghost", "list[Ghost]", "1 / 0", "(", "Ghost.part"])
def test_an_unreadable_annotation_names_the_parameter(text):
    """
    An annotation that cannot be read is told with its value, its parameter and its line; what stands on it is left in peace.
    """
    App = fresh_app()

    def make(needed): ...

    make.__annotations__["needed"] = text
    App.register_dependency("store", make)
    App.register_dependency("billing", lambda store: store)

    (problem,) = rejected(App).exceptions

    assert isinstance(problem, GraphError)
    assert '"store".needed' in str(problem)
    assert "test_rejections.py" in str(problem)


def test_nothing_is_built_when_a_container_is_refused():
    """
    Checking calls no factory.
    """
    App, calls = fresh_app(), []
    App.register_dependency("good", lambda: calls.append(1))
    App.register_dependency("bad", lambda absent: calls.append(1))

    rejected(App)

    assert calls == []


async def test_without_the_check_get_raises_the_error_itself():
    """
    `check=False` skips the check; a get then raises the single error, and what is sound works.
    """
    App = fresh_app()
    App.register_dependency("good", lambda: "good")
    App.register_dependency("bad", lambda absent: absent)
    async with Container(App, check=False) as container:
        value = await container.get("good")
        with pytest.raises(GraphError) as caught:
            await container.get("bad")

    assert value == "good"
    assert isinstance(caught.value, MissingDependencyError)


# --- sync calls meet async factories -------------------------------------------------------------


@pytest.mark.parametrize("kind", ["async", "async generator"])
@pytest.mark.parametrize("depth", [0, 2])
def test_a_sync_get_meets_an_async_factory(kind, depth):
    """
    `get_nowait` of what has to be awaited raises AsyncDependencyError with the path; no coroutine is left over.
    """
    App = fresh_app()

    async def coroutine():
        return "value"

    async def async_generator():
        yield "value"

    App.register_dependency("value", coroutine if kind == "async" else async_generator)
    App.register_dependency("user1", lambda value: value)
    App.register_dependency("user2", lambda user1: user1)
    with Container(App) as container:  # opening it is no mistake
        with pytest.raises(AsyncDependencyError) as caught:
            container.get_nowait("user2" if depth else "value")
    gc.collect()  # a coroutine that was never awaited would warn, and warnings are errors

    assert caught.value.key == '"value"'
    assert len(caught.value.path) in (depth + 1, depth + 2)


async def test_a_sync_get_meets_a_build_in_flight():
    """
    `get_nowait` of a value that is being built raises AsyncDependencyError, and gives it when it is there.
    """
    App, go_on = fresh_app(), asyncio.Event()

    async def make():
        await go_on.wait()
        return "value"

    App.register_dependency("value", make)
    async with Container(App) as container:
        task = asyncio.create_task(container.get("value"))
        await settled()
        with pytest.raises(AsyncDependencyError):
            container.get_nowait("value")
        go_on.set()
        await task
        value = container.get_nowait("value")

    assert value == "value"


# --- run-time cycles -----------------------------------------------------------------------------


async def test_an_async_factory_that_asks_for_itself():
    """
    A factory that awaits its own key raises CircularDependencyError instead of hanging.
    """
    App = fresh_app()

    async def make():
        await asyncio.sleep(0)
        return await container.get("value")

    App.register_dependency("value", make)
    async with Container(App) as container:
        end = await outcome(container.get("value"))

    assert isinstance(end, CircularDependencyError)
    assert '"value"' in str(end)


def test_a_sync_factory_that_asks_for_itself():
    """
    The same without a loop: no RecursionError, no deadlock.
    """
    App = fresh_app()
    App.register_dependency("value", lambda: container.get_nowait("value"))
    with Container(App) as container:
        with pytest.raises(CircularDependencyError):
            container.get_nowait("value")


@pytest.mark.parametrize("entered", ["one end", "both ends"])
async def test_two_factories_that_ask_for_each_other(entered):
    """
    A and B resolve each other dynamically, entered from one end or from both at once: someone is told, nobody hangs.
    """
    App = fresh_app()

    async def a():
        await asyncio.sleep(0)
        return await container.get("b")

    async def b():
        await asyncio.sleep(0)
        return await container.get("a")

    App.register_dependency("a", a)
    App.register_dependency("b", b)
    async with Container(App) as container:
        names = ["a"] if entered == "one end" else ["a", "b"]
        tasks = [asyncio.create_task(outcome(container.get(name))) for name in names]
        ends = await asyncio.gather(*tasks)

    assert all(isinstance(end, CircularDependencyError) for end in ends)


async def test_a_circle_through_child_tasks_of_singletons():
    """
    Two singletons wait for each other through child tasks that they start themselves: it is told, too.
    """
    App = fresh_app()

    async def a():
        return await asyncio.create_task(container.get("b"))

    async def b():
        return await asyncio.create_task(container.get("a"))

    App.register_dependency("a", a)
    App.register_dependency("b", b)
    async with Container(App) as container:
        ends = await asyncio.gather(outcome(container.get("a")), outcome(container.get("b")))

    assert all(isinstance(end, CircularDependencyError) for end in ends)


@pytest.mark.parametrize("lifetime", ["scoped", "singleton"])
async def test_scoped_factories_that_ask_for_themselves(lifetime):
    """
    A scoped factory that awaits its own key, or one that awaits it, is told, from one task and from two.
    """
    App = fresh_app()

    async def a():
        await asyncio.sleep(0)
        return await scope.get("b")

    async def b():
        await asyncio.sleep(0)
        return await scope.get("a")

    async def self_():
        return await scope.get("self")

    App.register_dependency("a", a, lifetime=lifetime)
    App.register_dependency("b", b, lifetime=lifetime)
    App.register_dependency("self", self_, lifetime=lifetime)
    async with Container(App) as container, container.scope() as scope:
        alone = await outcome(scope.get("self"))
        ends = await asyncio.gather(outcome(scope.get("a")), outcome(scope.get("b")))

    assert isinstance(alone, CircularDependencyError)
    assert all(isinstance(end, CircularDependencyError) for end in ends)


def test_scoped_sync_factories_that_ask_for_themselves():
    """
    A sync scoped factory that asks its scope for its own key is told.
    """
    App = fresh_app()
    App.register_dependency("value", lambda: scope.get_nowait("value"), lifetime="scoped")
    with Container(App) as container, container.scope() as scope:
        with pytest.raises(CircularDependencyError):
            scope.get_nowait("value")


def test_threads_that_wait_for_each_other():
    """
    A and B ask for each other, entered by two threads at once: someone is told, nobody hangs.
    """
    App, meet = fresh_app(), threading.Barrier(2)

    def arrive():
        try:
            meet.wait(1)
        except threading.BrokenBarrierError:
            pass  # the other one was told already, and this is a second try

    def a():
        arrive()
        return container.get_nowait("b")

    def b():
        arrive()
        return container.get_nowait("a")

    App.register_dependency("a", a)
    App.register_dependency("b", b)
    with Container(App) as container:
        ends = in_threads(2, lambda which: container.get_nowait("ab"[which]))

    assert all(isinstance(end, CircularDependencyError) for end in ends)


async def test_asking_for_something_else_while_others_wait_is_no_circle():
    """
    A nested get that only looks like a circle is none: its value is built by another task.
    """
    App, go_on = fresh_app(), asyncio.Event()

    async def low():
        await go_on.wait()
        return "low"

    async def high():
        return [await container.get("low")]

    App.register_dependency("low", low)
    App.register_dependency("high", high)
    App.register_dependency("both", lambda low, high: (low, high))
    async with Container(App) as container:
        tasks = [asyncio.create_task(container.get(name)) for name in ("both", "high", "low", "both")]
        await settled()
        go_on.set()
        values = await asyncio.gather(*tasks)

    assert values[0] == ("low", ["low"])
    assert values[1:3] == [["low"], "low"]
