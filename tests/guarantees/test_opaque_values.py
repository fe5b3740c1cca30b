"""Promise 9: values are opaque: kept, handed over and never looked at."""

import asyncio
import contextlib
import inspect

import pytest
from helpers import fresh_app

from asyncmeta import AsyncDependencyDescriptor, AsyncServiceBase, Container


class Hostile:
    """Whoever compares, hashes, tests, measures or asks it for anything fails."""

    def _fail(self, *args):
        raise AssertionError("the value was looked at")

    __eq__ = __ne__ = __hash__ = __bool__ = __len__ = __iter__ = __call__ = __contains__ = __lt__ = _fail
    __repr__ = __str__ = __format__ = __getattr__ = __setattr__ = __delattr__ = _fail


class Awaitable:
    """Whoever awaits it fails."""

    def __await__(self):
        raise AssertionError("the value was awaited")


class Manager:
    """Whoever enters or closes it fails."""

    def _fail(self, *args):
        raise AssertionError("the value was entered or closed")

    __enter__ = __exit__ = __aenter__ = __aexit__ = close = aclose = _fail


class Service(AsyncServiceBase):
    """An attribute that gives whatever is registered."""

    value = AsyncDependencyDescriptor("value")


VALUES = {
    "None": lambda: None,
    "False": lambda: False,
    "zero": lambda: 0,
    "an empty string": lambda: "",
    "an empty list": list,
    "a set": lambda: {1},
    "NotImplemented": lambda: NotImplemented,
    "Ellipsis": lambda: ...,
    "hostile": Hostile,
    "awaitable": Awaitable,
    "manager": Manager,
    "a class": lambda: Hostile,
    "a function": lambda: VALUES.get,
    "a lambda": lambda: lambda: 1 / 0,
    "an exception": lambda: ValueError("a value"),
    "a generator": lambda: (number for number in ()),
    "a descriptor": lambda: property(lambda self: 1 / 0),
    "a future": lambda: asyncio.get_running_loop().create_future(),
}


def count(value):
    """Return a factory of *value*, and the list of its calls."""
    calls = []

    async def coroutine():
        calls.append(1)
        return value

    def sync():
        calls.append(1)
        return value

    def generator():
        calls.append(1)
        yield value

    async def async_generator():
        calls.append(1)
        yield value

    return {"async": coroutine, "sync": sync, "generator": generator, "async generator": async_generator}, calls


@pytest.mark.parametrize("kind", ["sync", "async", "generator", "async generator", "value"])
@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("lifetime", ["singleton", "scoped", "transient"])
async def test_any_value_is_kept_and_handed_over_untouched(name, kind, lifetime):
    """
    Whatever a factory makes is handed over as it is, to gets, parameters and attributes, and cached like any other.
    """
    value = VALUES[name]()
    factories, calls = count(value)
    App = fresh_app()
    if kind == "value":
        App.register_value("value", value)
    else:
        App.register_dependency("value", factories[kind], lifetime=lifetime)
    received = []

    def user(value):
        received.append(value)
        return "user"

    App.register_dependency("user", user, lifetime="transient")
    async with Container(App) as container, container.scope() as scope:
        for _ in range(3):
            received.append(await scope.get("value"))
        await scope.get("user")
        (one,) = await scope.gather("value")
        received.append(one)
        if kind == "value" or lifetime == "singleton":
            received.append(container.get_nowait("value"))

    assert all(one is value for one in received)
    expected = {"value": 0, "singleton": 1, "scoped": 1, "transient": 5}["value" if kind == "value" else lifetime]
    assert len(calls) == expected


@pytest.mark.parametrize("name", VALUES)
async def test_any_value_can_be_an_attribute(name):
    """
    An awaited attribute gives any value as it is, and once it is cached, too.
    """
    value = VALUES[name]()
    factories, calls = count(value)

    class App(Service):
        pass

    App.register_dependency("value", factories["async"])
    app = App()

    values = [await app.value, await app.value, await App.value.resolve(app)]

    assert all(one is value for one in values)
    assert calls == [1]


@pytest.mark.parametrize("name", VALUES)
async def test_any_value_can_be_a_context_value(name):
    """
    What a scope is opened with is handed over as it is.
    """
    value = VALUES[name]()
    App = fresh_app(context=["given"])
    received = []

    def user(given):
        received.append(given)

    App.register_dependency("user", user, lifetime="scoped")
    async with Container(App) as container, container.scope({"given": value}) as scope:
        received.append(await scope.get("given"))
        await scope.get("user")

    assert len(received) == 2
    assert all(one is value for one in received)


async def test_a_running_task_is_a_value():
    """
    A task that a factory starts is handed over while it runs, and nobody waits for it.
    """
    App, go_on = fresh_app(), asyncio.Event()

    def start():
        return asyncio.create_task(go_on.wait())

    App.register_dependency("task", start)
    async with Container(App) as container:
        task = await container.get("task")
        running = not task.done()
        go_on.set()
        result = await task

    assert running
    assert result is True


async def test_a_coroutine_is_a_value_of_a_sync_factory():
    """
    A plain function that returns a coroutine hands the coroutine over: only what is declared async is awaited.
    """
    App = fresh_app()

    async def work():
        return "done"

    App.register_dependency("work", lambda: work(), lifetime="transient")
    async with Container(App) as container:
        coroutine = await container.get("work")
        is_coroutine = inspect.iscoroutine(coroutine)
        result = await coroutine

    assert is_coroutine
    assert result == "done"


async def test_open_managers_are_values():
    """
    A context manager object that a plain function returns is neither entered nor closed.
    """
    App = fresh_app()
    stack = contextlib.ExitStack()
    App.register_dependency("stack", lambda: stack)
    async with Container(App) as container:
        value = await container.get("stack")

    assert value is stack
    assert stack.pop_all() is not None


async def test_hostile_values_in_a_large_graph():
    """
    Hostile values travel through shared, scoped and transient users, and a failure beside them does not look at them.
    """
    App = fresh_app()
    App.register_dependency("a", Hostile)
    App.register_dependency("b", Hostile, lifetime="scoped")
    App.register_dependency("c", Hostile, lifetime="transient")

    async def bad(a, b, c):
        raise ValueError("bad")

    App.register_dependency("bad", bad, lifetime="scoped")
    async with Container(App) as container, container.scope() as scope:
        with pytest.raises(ValueError, match="bad"):
            await scope.get("bad")
        a, b = await scope.gather("a", "b")

    assert type(a) is type(b) is Hostile
    assert a is not b
