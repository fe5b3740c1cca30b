"""What stays when it is over, and what grows faster than what is asked for."""

import gc
import time
import tracemalloc
import weakref
from typing import Annotated

import pytest
from helpers import collected, fresh_app

from asyncmeta import AsyncServiceBase, Container, From, Inject, inject_dependency, injected


def times_as_long(work, small, factor):
    """Return how many times as long *work* takes for *factor* times as many, in time of the processor."""

    def took(count):
        begin = time.process_time()
        work(count)
        return time.process_time() - begin

    took(small)
    return min(took(small * factor) for _ in range(2)) / max(min(took(small) for _ in range(3)), 1e-3)


def bytes_kept_by(once, times=100):
    """Return the bytes that each call of *once* leaves: of three measurements the lowest, since what leaks shows in each."""

    def kept():
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(times):
            once()
        gc.collect()
        return (tracemalloc.get_traced_memory()[0] - before) / times

    tracemalloc.start()
    try:
        return min(kept() for _ in range(3))
    finally:
        tracemalloc.stop()


def test_registering_and_asking_in_turn_is_not_quadratic():
    """
    A plug-in loader that registers one thing and asks for it, again and again, pays the same for each.
    """

    def work(count):
        App = fresh_app()
        container = Container(App)
        for number in range(count):
            App.register_dependency(f"k{number}", lambda: 1)
            assert container.get_nowait(f"k{number}") == 1

    assert times_as_long(work, 300, 5) < 10


def test_layers_upon_layers_cost_what_looking_along_them_does():
    """
    Four times as many classes that derive from one another take their MROs' sixteen times, and not sixty-four.
    """

    def work(count):
        App = fresh_app()
        for number in range(count):
            App = type(f"Layer{number}", (App,), {})
        App.register_value("value", 1)
        assert Container(App).get_nowait("value") == 1

    assert times_as_long(work, 60, 4) < 24


def test_many_values_of_one_key_are_not_quadratic():
    """
    Each registration more of a multi key costs what the first one did.
    """

    def work(count):
        App = fresh_app()
        for _ in range(count):
            App.register_dependency("m", lambda: 1, multi=True)
        assert len(Container(App).get_nowait(Annotated[list[object], Inject("m")])) == count

    assert times_as_long(work, 600, 4) < 9


@pytest.mark.parametrize("written", ["optional", "default", "missing"])
def test_a_key_that_was_missed_is_found_when_it_is_registered(written):
    """
    What a factory did without, for lack of a registration, it gets when there is one: in whatever order that was asked for.
    """

    class Clock: ...

    def optional(clock: Clock | None):
        return clock

    def default(clock: Clock = "none"):
        return clock

    def missing(clock: Clock):
        return clock

    App = fresh_app()
    App.register_dependency("user", {"optional": optional, "default": default, "missing": missing}[written], lifetime="transient")
    App.register_dependency("other", lambda: 1)
    container = Container(App, check=False)
    if written == "missing":
        with pytest.raises(LookupError):
            container.get_nowait("user")
    else:
        assert type(container.get_nowait("user")) is not Clock

    App.register_dependency("unrelated", lambda: 2)
    assert container.get_nowait("unrelated") == 2
    App.register_dependency(Clock, Clock)

    assert type(container.get_nowait("user")) is Clock


def test_a_shadowing_registration_is_found_after_an_unrelated_one():
    """
    A registration of a higher layer counts from when it is made, beside any number of others.
    """

    class Base(AsyncServiceBase): ...

    class App(Base): ...

    Base.register_dependency("x", lambda: "base")
    Base.register_dependency("user", lambda x: x, lifetime="transient", also=("alias",))
    container = Container(App)
    assert container.get_nowait("user") == "base"

    App.register_dependency("new", lambda: 1)
    assert container.get_nowait("new") == 1
    App.register_dependency("user", lambda: "app", lifetime="transient")

    assert container.get_nowait("user") == "app"


def test_an_application_for_each_test_is_freed_under_an_injected_function_of_a_module():
    """
    A function that lives for ever keeps nothing of the applications that it was called in.
    """

    @injected
    def handler(number, w: From[str] = "", thing: Annotated[object, Inject("w")] = None):
        return thing

    def one():
        class App(AsyncServiceBase):
            @inject_dependency("w")
            def make(self):
                return object()

        with Container(App):
            for number in range(3):
                handler(number)
        return weakref.ref(App)

    seen = [one() for _ in range(5)]
    collected()

    assert sum(ref() is not None for ref in seen) <= 1


def test_overriding_again_and_again_beside_an_injected_function_leaves_nothing():
    """
    Code that is made anew, after each override, uses the names of code that is gone.
    """
    App = fresh_app()
    App.register_dependency("v", lambda: object())
    App.register_dependency("g", lambda v: [v], lifetime="scoped")
    App.register_dependency("w", lambda: 1)
    container = Container(App)

    @container.inject
    def handler(number, g: Annotated[object, Inject("g")]):
        return g

    def once():
        with container.override({"w": 2}):
            handler(1)
        for number in range(3):
            handler(number)

    for _ in range(60):
        once()

    assert bytes_kept_by(once) < 60


async def test_a_factory_that_is_registered_over_is_freed():
    """
    What an open container may have built is kept; once none is open, and that is most of what is known, all is read anew.
    """
    App = fresh_app()

    def make():
        def factory():
            return object()

        return factory

    seen = []
    for _ in range(50):
        async with Container(App) as container:
            factory = make()
            seen.append(weakref.ref(factory))
            App.register_dependency("v", factory, lifetime="scoped")
            del factory
            async with container.scope() as scope:
                await scope.get("v")
    del container, scope
    collected()

    assert sum(ref() is not None for ref in seen) < 6


async def test_what_is_registered_over_is_read_anew_beside_an_open_container_only_when_it_is_closed():
    """
    A container that is open shares what is known with those that are opened beside it.
    """
    App = fresh_app()
    App.register_dependency("v", lambda: 0)
    async with Container(App) as outer:
        assert await outer.get("v") == 0
        for number in range(1, 100):
            App.register_dependency("v", lambda number=number: number)
            async with Container(App) as container:
                assert await container.get("v") == number
        assert await outer.get("v") == 0
        assert container._graph is outer._graph
    async with Container(App) as later:
        assert await later.get("v") == 99
    assert later._graph is not outer._graph
