"""Promise 10: what nobody holds any more is freed."""

import asyncio
import contextlib
import gc
import inspect
import sys
import tracemalloc
import typing
import weakref
from typing import Annotated, Generic, TypeVar

import amount
import pytest
from helpers import collected, fresh_app, outcome, settled

from asyncmeta import All, AsyncDependencyDescriptor, AsyncServiceBase, Container, Inject, MissingDependencyError, ScopeError
from asyncmeta._run.state import roots

T = TypeVar("T")
TEXTS = amount.of(500, working=150)  #: of a thousand characters that nobody provides anything for


class Thing:
    """A value that can be referred to weakly."""


def alive(references):
    """Return how many of *references* still lead to something."""
    collected()
    return sum(reference() is not None for reference in references)


async def test_service_instances_are_freed_without_the_collector():
    """
    100,000 short-lived instances whose attributes were awaited leave nothing behind.
    """

    class App(AsyncServiceBase):
        pass

    class Handler(AsyncServiceBase, lifetime="transient"):
        thing = AsyncDependencyDescriptor("thing")

    App.register_dependency("thing", Thing)
    async with Container(App) as container:
        for _ in range(1000):
            handler = await container.get(Handler)
            await handler.thing
        del handler
        gc.collect()
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            for _ in range(20_000):
                handler = await container.get(Handler)
                await handler.thing
            del handler
            gc.collect()
            after = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
        for _ in range(80_000):
            await (await container.get(Handler)).thing
        assert not [one for one in gc.get_objects() if type(one) is Handler]

    assert after - before < 20_000


async def test_transient_values_are_freed():
    """
    100,000 transient values without a finalizer are not kept by the container that made them.
    """
    App = fresh_app()
    App.register_dependency("part", Thing, lifetime="transient")
    App.register_dependency("whole", lambda part: [part], lifetime="transient")
    async with Container(App) as container:
        for number in range(100_000):
            whole = await container.get("whole")
            if number == 50_000:
                reference = weakref.ref(whole[0])
        del whole
        collected()
        assert not [one for one in gc.get_objects() if type(one) is Thing]
        assert reference() is None


async def test_scopes_with_resources_are_freed():
    """
    5,000 scopes, each with a resource, are freed when they are closed, and their values with them.
    """
    App, references = fresh_app(), []

    async def make():
        yield Thing()

    App.register_dependency("thing", make, lifetime="scoped")
    async with Container(App) as container:
        for _ in range(5000):
            async with container.scope() as scope:
                references.append(weakref.ref(await scope.get("thing")))
        scopes = weakref.ref(scope)
        del scope
        assert alive(references) == 0
        assert alive([scopes]) == 0


@pytest.mark.parametrize("closed", [True, False], ids=["closed", "dropped"])
async def test_containers_are_freed(closed):
    """
    A container that is dropped is freed with its values, closed or not.
    """
    App, references = fresh_app(), []
    App.register_dependency("thing", Thing)
    for _ in range(20):
        container = Container(App)
        getter = container.getter("thing")
        references += [weakref.ref(container), weakref.ref(await container.get("thing")), weakref.ref(await getter())]
        if closed:
            await container.aclose()
        del container, getter

    assert alive(references) == 0


async def test_an_application_class_is_freed():
    """
    An application class that nobody holds any more is freed with its registrations and containers.
    """
    references = []

    async def use():
        class App(AsyncServiceBase):
            thing = AsyncDependencyDescriptor("thing")

        App.register_dependency("thing", Thing)
        async with App() as app:
            await app.thing
        async with Container(App) as container, container.scope() as scope:
            await scope.get("thing")
        references.append(weakref.ref(App))

    for _ in range(3):
        await use()

    assert alive(references) == 0


async def test_failures_keep_nothing_alive():
    """
    What a failed build held is freed when its exception is.
    """
    App, references = fresh_app(), []

    async def low():
        thing = Thing()
        references.append(weakref.ref(thing))
        await asyncio.sleep(0)
        return thing

    async def bad(low):
        raise ValueError("bad")

    App.register_dependency("low", low, lifetime="transient")
    App.register_dependency("bad", bad)
    async with Container(App) as container:
        for _ in range(50):
            assert isinstance(await outcome(container.get("bad")), ValueError)
        await settled()  # the loop lets go of the finished tasks
        assert alive(references) == 0


async def test_cancelled_gets_keep_nothing_alive():
    """
    10,000 gets that were cancelled while they waited leave no entry in the build that goes on.
    """
    App, go_on = fresh_app(), asyncio.Event()

    async def make():
        await go_on.wait()
        return "value"

    App.register_dependency("value", make)
    async with Container(App) as container:
        keeper = asyncio.create_task(container.get("value"))
        await asyncio.sleep(0)

        async def burst():
            tasks = [asyncio.create_task(container.get("value")) for _ in range(1000)]
            await asyncio.sleep(0)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        await burst()
        gc.collect()
        before = len(gc.get_objects())
        for _ in range(9):
            await burst()
        gc.collect()
        after = len(gc.get_objects())
        go_on.set()
        await keeper

    assert after - before < 200


async def test_injected_values_are_not_held_by_frames():
    """
    The reference count of a cached value does not grow with the gets.
    """
    App = fresh_app()
    App.register_dependency("thing", Thing)
    async with Container(App) as container:
        thing = await container.get("thing")
        for _ in range(3):
            await container.get("thing")
        before = sys.getrefcount(thing)
        for _ in range(1000):
            await container.get("thing")
        after = sys.getrefcount(thing)

    assert after == before


def asks_in_vain(container, scope):
    """Return, by name, the ways to ask for something that nothing provides."""
    return {
        "get": container.get,
        "get_nowait": container.get_nowait,
        "scope": scope.get_nowait,
        "getter": container.getter,
        "gather": container.gather,
        "request": lambda token: container.request(token).__aenter__(),
        "override": lambda token: container.override({token: 1}).__enter__(),
        "takes": scope.takes,
        "context": lambda token: container.scope({token: 1}),
    }


async def ask_in_vain(ask, token):
    """Ask, and see to it that nothing is found."""
    with contextlib.suppress(MissingDependencyError, ScopeError):
        found = ask(token)
        assert not (await found if inspect.isawaitable(found) else found)


@pytest.mark.parametrize("way", ["get", "get_nowait", "scope", "getter", "gather", "request", "override", "takes", "context"])
@pytest.mark.parametrize("form", ["class", "named", "generic", "text"])
async def test_what_was_asked_for_in_vain_is_not_kept(way, form):
    """
    A class that nothing provides, alone or in a form, is freed when the caller forgets it; a text leaves no memory.
    """
    async with Container(fresh_app()) as container, container.scope() as scope:
        ask = asks_in_vain(container, scope)[way]
        if form == "text":
            await ask_in_vain(ask, "warm")
            tracemalloc.start()
            before = tracemalloc.get_traced_memory()[0]
            for number in range(TEXTS):
                await ask_in_vain(ask, f"a name of which there are many: {number} {'x' * 1000}")
            gc.collect()
            grown = tracemalloc.get_traced_memory()[0] - before
            tracemalloc.stop()
            assert grown < 200 * TEXTS
            return

        class Unknown(Generic[T]): ...

        dead = weakref.ref(Unknown)
        await ask_in_vain(ask, {"class": Unknown, "named": Annotated[Unknown, "main"], "generic": Unknown[int]}[form])
        del Unknown
        typing_cleared()
        gc.collect()

    assert dead() is None


@pytest.mark.parametrize("way", ["get", "get_nowait", "scope"])
@pytest.mark.parametrize(
    "form",
    [lambda cls: cls | None, lambda cls: All[cls], lambda cls: Annotated[cls, Inject(fallback=0)]],
    ids=["optional", "all", "fallback"],
)
async def test_what_is_answered_with_nothing_is_kept_for_few_keys(monkeypatch, way, form):
    """
    Of keys that may be missing, and that no end is asked for, a bounded number is kept, and their answers stay right.
    """
    monkeypatch.setattr(roots, "_MOST", 10)
    dead = []
    App = fresh_app()
    async with Container(App) as container, container.scope() as scope:
        for _ in range(50):

            class Unknown: ...

            for _ in range(3):
                await ask_in_vain(asks_in_vain(container, scope)[way], form(Unknown))
            dead.append(weakref.ref(Unknown))
        App.register_value(Unknown, 1)
        assert await container.get(Unknown | None) == 1
        del Unknown
        typing_cleared()

        assert alive(dead) <= 12


def typing_cleared():
    """Empty the caches in which `typing` keeps what was made of forms."""
    for clear in typing._cleanups:
        clear()


@pytest.mark.parametrize("everywhere", [False, True])
async def test_a_key_that_an_override_brought_is_not_kept(everywhere):
    """
    A key that is new in a block of ``override(..., new=True)`` is freed when the block is over, however it was asked for.
    """

    class Unknown: ...

    async with Container(fresh_app()) as container:
        with container.override({Unknown: 1}, new=True, everywhere=everywhere):
            assert container.get_nowait(Unknown) == await container.get(Unknown) == 1
            async with container.scope() as scope:
                assert await scope.get(Unknown | None) == 1
        async with container.overlay({Unknown: 2}, new=True) as overlay:
            assert await overlay.get(Unknown) == 2
        del overlay, scope
        dead = weakref.ref(Unknown)
        del Unknown
        typing_cleared()
        gc.collect()

        assert dead() is None


async def test_nothing_is_left_of_many_lives():
    """
    Applications that are declared, opened, used, overridden, failed, cancelled and closed leave no object behind.
    """

    async def live():
        App = fresh_app()

        async def session(pool):
            yield Thing()

        async def bad(session):
            raise ValueError("bad")

        async def endless(session):
            await asyncio.Event().wait()

        App.register_dependency("pool", Thing)
        App.register_dependency("session", session, lifetime="scoped")
        App.register_dependency("bad", bad, lifetime="scoped")
        App.register_dependency("endless", endless, lifetime="transient")
        async with Container(App) as container:
            for _ in range(3):
                async with container.scope() as scope:
                    await scope.getter("session")()
                    assert isinstance(await outcome(scope.get("bad")), ValueError)
                    task = asyncio.create_task(scope.get("endless"))
                    await asyncio.sleep(0)
                    task.cancel()
                    assert isinstance(await outcome(task), asyncio.CancelledError)
                async with container.override({"pool": Thing()}), container.request("session"):
                    assert isinstance(await outcome(container.get("unknown")), MissingDependencyError)

    async def lives(number):
        for _ in range(number):
            await live()
        await settled()
        collected()
        return len(gc.get_objects())

    before = await lives(5)
    after = await lives(40)

    assert after - before < 40  # not one object for each
