"""Overrides and overlays: what is downstream is another one, everything else is shared, nothing of it stays."""

import abc
import asyncio
import contextlib
import contextvars
import itertools
import sys
import weakref
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import ExitStack
from typing import Annotated

import pytest
from helpers import collected, fresh_app, guarded, in_threads, outcome

from asyncmeta import (
    All,
    AsyncDependencyDescriptor,
    AsyncDependencyError,
    AsyncServiceBase,
    CaptiveDependencyError,
    CircularDependencyError,
    ClosedError,
    Container,
    DeclarationError,
    Factory,
    GraphErrors,
    Inject,
    Lazy,
    MissingDependencyError,
    Observer,
    Scope,
    inject_dependency,
)
from asyncmeta._run.state.context import IN_FORCE


class Clock:
    name = "real"


class FakeClock(Clock):
    name = "fake"


class Config: ...


class Store:
    def __init__(self, clock: Clock, config: Config):
        self.clock, self.config = clock, config


class Other:
    def __init__(self, config: Config):
        self.config = config


class Session:
    def __init__(self, store: Store):
        self.store = store


class Plain: ...


def application(**keywords):
    class App(AsyncServiceBase, **keywords):
        clock = AsyncDependencyDescriptor(Clock)
        store = AsyncDependencyDescriptor(Store)
        other = AsyncDependencyDescriptor(Other)

    for cls in (Clock, Config, Store, Other):
        App.register_dependency(cls, cls)
    App.register_dependency(Session, Session, lifetime="scoped")
    App.register_dependency(Plain, Plain, lifetime="scoped")
    return App


async def test_dependents_are_rebuilt_and_everything_else_is_shared():
    """
    Inside the block a dependent by parameter is another one, however long it was cached; what is not downstream is shared.
    """
    fake = FakeClock()
    async with Container(application()) as container:
        store, other, config = await container.gather(Store, Other, Config)
        async with container.override({Clock: fake}):
            inside = await container.get(Store)
            assert await container.get(Clock) is fake
            assert inside is not store
            assert inside.clock is fake
            assert inside.config is config
            assert await container.get(Store) is inside
            assert await container.get(Other) is other
            assert container.get_nowait(Clock) is fake

        assert await container.get(Store) is store
        assert (await container.get(Store)).clock.name == "real"
        assert container.get_nowait(Clock).name == "real"


async def test_dependents_by_attribute_follow():
    """
    An attribute that a held service has awaited answers with the override inside and with the real value afterwards.
    """

    class Service(AsyncServiceBase):
        clock = AsyncDependencyDescriptor(Clock)
        other = AsyncDependencyDescriptor(Other)

    app = application(providers=[Service])
    fake = FakeClock()
    async with Container(app) as container:
        service = await container.get(Service)
        real, other = await service.clock, await service.other
        async with container.override({Clock: fake}):
            assert await service.clock is fake
            assert service.clock.nowait() is fake
            assert await service.other is other
            assert await container.get(Service) is not service
        assert await service.clock is real
        assert await container.get(Service) is service


async def test_an_attribute_first_awaited_inside_keeps_nothing():
    """
    What an attribute answers inside of a block is stored nowhere.
    """
    app = application()()
    fake = FakeClock()
    container = Container(app)
    async with container:
        async with container.override({Clock: fake}):
            assert await app.clock is fake
            assert (await app.store).clock is fake
        assert (await app.clock).name == "real"
        assert (await app.store).clock.name == "real"


async def test_what_the_overlay_built_is_closed_at_its_end_in_order():
    """
    Generators of the overlay are left at its end, in reverse, before anything of the container is.
    """
    steps = []

    class App(AsyncServiceBase):
        @inject_dependency("base")
        @staticmethod
        async def base():
            steps.append("+base")
            yield "base"
            steps.append("-base")

        @inject_dependency("user")
        @staticmethod
        async def user(base: Annotated[str, Inject("base")], clock: Annotated[str, Inject("clock")]):
            steps.append(f"+user of {clock}")
            yield f"user of {clock}"
            steps.append(f"-user of {clock}")

    App.register_value("clock", "real")
    async with Container(App) as container:
        assert await container.get("user") == "user of real"
        async with container.override({"clock": "fake"}):
            assert await container.get("user") == "user of fake"
            steps.append("end of block")
        assert await container.get("user") == "user of real"
        steps.append("end")

    assert steps == ["+base", "+user of real", "+user of fake", "end of block", "-user of fake", "end", "-user of real", "-base"]


async def test_a_shared_value_first_built_inside_keeps_no_fake():
    """
    A singleton that is not downstream is built with no override in force, also when its factory looks for something itself.
    """
    seen = []

    class App(AsyncServiceBase):
        @inject_dependency("locator")
        @staticmethod
        async def locate(container: Container):
            seen.append(await container.get("clock"))
            return "located"

        @inject_dependency("sync locator")
        @staticmethod
        def locate_now(container: Container):
            seen.append(container.get_nowait("clock"))
            return "located"

    App.register_value("clock", "real")
    async with Container(App) as container:
        async with container.override({"clock": "fake"}):
            await container.get("locator")
            await container.get("sync locator")
        async with container.override({"clock": "fake"}, everywhere=True):
            assert await container.get("clock") == "fake"

    assert seen == ["real", "real"]


async def test_concurrent_tasks_do_not_see_each_other():
    """
    An override is in force for its task and that task's children only.
    """
    async with Container(application()) as container:
        inside, go_on = asyncio.Event(), asyncio.Event()

        async def overriding():
            async with container.override({Clock: FakeClock()}):
                inside.set()
                await go_on.wait()
                child = asyncio.create_task(container.get(Clock))
                return (await container.get(Store)).clock.name, (await child).name

        task = asyncio.create_task(overriding())
        await inside.wait()
        outside = (await container.get(Store)).clock.name
        go_on.set()

        assert outside == "real"
        assert await task == ("fake", "fake")


async def test_a_child_that_outlives_the_block_sees_the_container():
    """
    A task started inside of a block that ends sees the container again.
    """
    async with Container(application()) as container:
        ended = asyncio.Event()

        async def child():
            await ended.wait()
            return (await container.get(Clock)).name

        async with container.override({Clock: FakeClock()}):
            task = asyncio.create_task(child())
            await asyncio.sleep(0)
        ended.set()

        assert await task == "real"


async def test_overrides_nest():
    """
    The innermost override of a key wins; leaving it gives the outer one back.
    """
    async with Container(application()) as container, container.override({Clock: "outer"}):
        async with container.override({Config: "config"}):
            store = await container.get(Store)
            assert (store.clock, store.config) == ("outer", "config")
        async with container.override({Clock: "inner"}):
            assert (await container.get(Store)).clock == "inner"
        assert (await container.get(Store)).clock == "outer"


async def test_none_is_an_override():
    """
    None is a value like any other.
    """
    async with Container(application()) as container, container.override({Clock: None}):
        assert await container.get(Clock) is None
        assert (await container.get(Store)).clock is None


async def test_everywhere_is_in_force_for_everybody():
    """
    With everywhere=True a task that was started before sees it too.
    """
    async with Container(application()) as container:
        begin = asyncio.Event()

        async def early():
            await begin.wait()
            return (await container.get(Clock)).name

        task = asyncio.create_task(early())
        await asyncio.sleep(0)
        async with container.override({Clock: FakeClock()}, everywhere=True):
            begin.set()
            assert await task == "fake"
        assert (await container.get(Clock)).name == "real"


async def test_everywhere_inside_of_an_override_of_ones_own():
    """
    What is overridden for everybody inside of an override that only some see is seen by both, each above what they saw.
    """
    async with Container(application()) as container:
        begin, end = asyncio.Event(), asyncio.Event()

        async def other():
            await begin.wait()
            during = await container.get(Store)
            begin.clear()
            end.set()
            await begin.wait()
            return during, await container.get(Store)

        task = asyncio.create_task(other())
        await asyncio.sleep(0)
        async with container.override({Config: "mine"}):
            async with container.override({Clock: "everybody's"}, everywhere=True):
                store = await container.get(Store)
                assert (store.clock, store.config) == ("everybody's", "mine")
                begin.set()
                await end.wait()
            assert (await container.get(Store)).clock.name == "real"
            begin.set()
        during, after = await task

        assert during.clock == "everybody's"
        assert isinstance(during.config, Config)
        assert after.clock.name == "real"
        assert not container._singletons.overridden


async def test_a_block_that_its_container_outlives_not():
    """
    A block in which the container is closed ends with it: entered again, the container has no override in force.
    """
    container = Container(application())
    async with container:
        async with container.override({Clock: "fake"}, everywhere=True):
            assert await container.get(Clock) == "fake"
            with pytest.warns(ResourceWarning):
                await container.aclose()
    async with container:
        assert (await container.get(Clock)).name == "real"
        assert (container._singletons.overridden, container._root_table.everywhere) == (0, [])


async def test_open_scopes_follow():
    """
    A scope that is open gives its overridden values inside of the block and its own afterwards.
    """
    fake = FakeClock()
    async with Container(application()) as container, container.scope() as scope:
        session, plain = await scope.get(Session), await scope.get(Plain)
        async with container.override({Clock: fake}):
            inside = await scope.get(Session)
            assert inside is not session
            assert inside.store.clock is fake
            assert await scope.get(Session) is inside
            assert await scope.get(Plain) is plain
            async with container.scope() as another:
                assert (await another.get(Session)).store.clock is fake
                assert (await another.get(Session)) is not inside
            async with container.request(Session) as requested:
                assert requested.store.clock is fake
        assert await scope.get(Session) is session


@pytest.mark.parametrize("first", ["scope", "overlay"])
async def test_a_view_of_a_scope_ends_with_whichever_ends_first(first):
    """
    What an overlay builds in a scope is closed once: with the scope or with the overlay, whichever ends first.
    """
    steps = []

    class App(AsyncServiceBase):
        @inject_dependency("session", lifetime="scoped")
        @staticmethod
        async def session(clock: Annotated[str, Inject("clock")]):
            steps.append(f"+{clock}")
            yield clock
            steps.append(f"-{clock}")

    App.register_value("clock", "real")
    async with Container(App) as container:
        scope = container.scope()
        block = container.override({"clock": "fake"})
        await block.__aenter__()
        assert await scope.get("session") == "fake"
        await (scope.aclose() if first == "scope" else block.__aexit__(None, None, None))
        assert steps == ["+fake", "-fake"]
        await (block.__aexit__(None, None, None) if first == "scope" else scope.aclose())
    assert steps == ["+fake", "-fake"]


@guarded
async def test_who_asks_in_an_override_while_the_scope_closes_is_refused():
    """
    In an override, too, a get in flight has nothing when its scope closes, and one that comes then keeps no closing waiting.
    """
    going, steps = asyncio.Event(), []

    class App(AsyncServiceBase):
        @inject_dependency("first", lifetime="scoped")
        @staticmethod
        async def first(clock: Annotated[str, Inject("clock")]):
            steps.append("+first")
            await going.wait()
            yield clock
            steps.append("-first")

        @inject_dependency("second", lifetime="scoped")
        @staticmethod
        async def second(clock: Annotated[str, Inject("clock")]):
            await asyncio.sleep(0)
            return clock

    App.register_value("clock", "real")
    async with Container(App) as container, container.override({"clock": "fake"}):
        scope = container.scope()
        asking = asyncio.create_task(outcome(scope.get("first")))
        while not steps:  # noqa: ASYNC110  # each turn lets the task take a step
            await asyncio.sleep(0)
        closing = asyncio.create_task(scope.aclose())
        await asyncio.sleep(0)
        with pytest.raises(ClosedError):
            await scope.get("second")
        going.set()
        await closing
        assert isinstance(await asking, ClosedError)
        assert steps == ["+first", "-first"]


async def test_scoped_keys_can_be_overridden():
    """
    A scoped key takes a value, or a factory with a life of its own.
    """
    async with Container(application()) as container, container.override({Session: "session"}):
        async with container.scope() as scope:
            assert await scope.get(Session) == "session"
            assert await container.get(Session) == "session"


async def test_getters_follow():
    """
    A getter gives the override inside and the real value afterwards.
    """
    async with Container(application()) as container:
        getter = container.getter(Clock)
        real = await getter()
        async with container.override({Clock: "fake"}):
            assert await getter() == "fake"
        assert await getter() is real


async def test_an_override_can_have_the_real_value():
    """
    A factory that asks for its own key gets what it overrides: a spy.
    """

    class Spy(Clock):
        def __init__(self, real: Clock):
            self.real = real

    async with Container(application()) as container:
        real = await container.get(Clock)
        async with container.override([{"provide": Clock, "use_class": Spy}]):
            spy = await container.get(Clock)
            assert isinstance(spy, Spy)
            assert spy.real is real


async def test_lazy_parameters_follow():
    """
    A handle that has fetched already answers by the context that awaits it.
    """

    class Holder:
        def __init__(self, clock: Lazy[Clock]):
            self.clock = clock

    app = application()
    app.register_dependency(Holder, Holder)
    async with Container(app) as container:
        holder = await container.get(Holder)
        real = await holder.clock
        async with container.override({Clock: "fake"}):
            assert await holder.clock == "fake"
        assert await holder.clock is real


async def test_a_list_is_replaced_whole():
    """
    An override of a multi key replaces all of its values.
    """

    class App(AsyncServiceBase): ...

    App.register_dependency(Clock, lambda: "one", multi=True)
    App.register_dependency(Clock, lambda: "two", multi=True)
    async with Container(App) as container:
        assert await container.get(All[Clock]) == ["one", "two"]
        async with container.override({Clock: ["fake"]}):
            assert await container.get(All[Clock]) == ["fake"]
        assert await container.get(All[Clock]) == ["one", "two"]


async def test_an_unknown_key_is_refused():
    """
    A key that nothing provides is refused with near misses, unless it is meant to be new.
    """

    class Asks:
        def __init__(self, extra: Annotated[str, Inject("extra")] = "default"):
            self.extra = extra

    app = application()
    app.register_dependency("database", lambda: "database")
    app.register_dependency(Asks, Asks)
    async with Container(app) as container:
        assert (await container.get(Asks)).extra == "default"
        with pytest.raises(MissingDependencyError, match='"database"'):
            async with container.override({"databse": 1}):
                pass
        async with container.override({"extra": "new"}, new=True):
            assert await container.get("extra") == "new"
            assert (await container.get(Asks)).extra == "new"
        assert (await container.get(Asks)).extra == "default"


async def test_a_wrong_lifetime_is_found_at_once():
    """
    An override that lives shorter than what keeps it is refused when the block is entered.
    """
    async with Container(application()) as container:
        with pytest.raises(GraphErrors) as caught:
            async with container.override([{"provide": Clock, "use_class": FakeClock, "scope": "request"}]):
                pass
        assert isinstance(caught.value.exceptions[0], CaptiveDependencyError)
        assert (await container.get(Clock)).name == "real"


class NeedsStore:
    def __init__(self, store: Store):
        self.store = store


class NeedsPlain:
    def __init__(self, plain: Plain):
        self.plain = plain


class NeedsNothingKnown:
    def __init__(self, month: int):
        self.month = month


class MakesClocks:
    def __init__(self, make: Factory[Clock]):
        self.make = make


@pytest.mark.parametrize("known", [True, False], ids=["built", "never asked for"])
@pytest.mark.parametrize(
    ("provider", "error"),
    [
        ({"use_class": NeedsStore}, CircularDependencyError),
        ({"use_class": NeedsPlain}, CaptiveDependencyError),
        ({"use_class": NeedsPlain, "lifetime": "transient"}, CaptiveDependencyError),
        ({"use_class": FakeClock, "lifetime": "scoped"}, CaptiveDependencyError),
        ({"use_class": NeedsNothingKnown}, MissingDependencyError),
    ],
)
async def test_what_does_not_fit_is_found_at_once(provider, error, known):
    """
    An override that closes a circle, lives too short or misses something is refused when the block is entered.
    """
    async with Container(application()) as container:
        if known:
            await container.get(Store)
        with pytest.raises(GraphErrors) as caught:
            async with container.override([{"provide": Clock, **provider}]):
                pass
        assert error in {type(one) for one in caught.value.exceptions}
        assert (await container.get(Store)).clock.name == "real"


@pytest.mark.parametrize(
    ("provider", "name"),
    [
        ({"provide": Clock, "use_class": FakeClock, "lifetime": "transient"}, "fake"),
        ({"provide": Clock, "use_factory": lambda clock: clock, "inject": [Clock]}, "real"),
        ({"provide": Session, "use_class": Session, "lifetime": "scoped"}, "real"),
        ({"provide": Session, "use_class": Session, "lifetime": "transient"}, "real"),
    ],
)
async def test_what_fits_is_taken(provider, name):
    """
    An override may live as what it overrides does, or in any other way that fits those who stand on it.
    """
    async with Container(application()) as container, container.override([provider]), container.scope() as scope:
        assert (await scope.get(Session)).store.clock.name == name


async def test_an_override_whose_arguments_a_dependent_passes_is_taken():
    """
    A parameter that nothing provides is no problem where a dependent asks for a factory of what is overridden.
    """

    class App(AsyncServiceBase): ...

    App.register_dependency(Clock, Clock)
    App.register_dependency(MakesClocks, MakesClocks)
    async with Container(App) as container, container.override([{"provide": Clock, "use_class": NeedsNothingKnown}]):
        made = await (await container.get(MakesClocks)).make(month=5)
        assert made.month == 5


@pytest.mark.parametrize("wrong", [{"provide": Clock, "value": 1}, 3, "text"])
async def test_what_is_no_override_is_refused(wrong):
    """
    A single provider dict, a number or a text is no set of overrides.
    """
    async with Container(application()) as container:
        with pytest.raises(DeclarationError):
            async with container.override(wrong):
                pass


async def test_an_overlay_is_seen_only_through_its_handle():
    """
    An overlay leaves the container alone, lives as long as it likes, and shares what its overrides do not reach.
    """
    async with Container(application()) as container:
        async with container.overlay({Clock: "tenant"}) as tenant:
            assert (await tenant.get(Store)).clock == "tenant"
            assert (await container.get(Store)).clock.name == "real"
            assert await tenant.get(Other) is await container.get(Other)
            async with tenant.scope() as scope:
                assert (await scope.get(Session)).store is await tenant.get(Store)
            async with tenant.request(Session) as session:
                assert session.store.clock == "tenant"
        with pytest.raises(ClosedError):
            await tenant.get(Clock)


async def test_an_overlay_that_is_left_open_is_closed_by_its_container():
    """
    What an overlay built is closed before anything of the container that it uses, even when nobody leaves it.
    """
    steps = []

    class App(AsyncServiceBase):
        @inject_dependency("base")
        @staticmethod
        async def base():
            yield "base"
            steps.append("-base")

        @inject_dependency("user")
        @staticmethod
        async def user(base: Annotated[str, Inject("base")], clock: Annotated[str, Inject("clock")]):
            yield clock
            steps.append("-user")

    App.register_value("clock", "real")
    container = Container(App)
    overlay = await container.overlay({"clock": "fake"}).__aenter__()
    await overlay.get("user")
    with pytest.warns(ResourceWarning):
        await container.aclose()

    assert steps == ["-user", "-base"]


async def test_a_container_can_begin_with_overrides():
    """
    Overrides given to the container itself beat everything, private registrations included.
    """

    class Repo(AsyncServiceBase):
        clock = AsyncDependencyDescriptor(Clock)

    Repo.register_value(Clock, "private")
    async with Container(application(providers=[Repo])) as container:
        assert await (await container.get(Repo)).clock == "private"
    async with Container(application(providers=[Repo]), overrides={Clock: "fake"}) as container:
        assert await (await container.get(Repo)).clock == "fake"
        assert (await container.get(Store)).clock == "fake"


def test_a_plain_with_works_where_nothing_has_to_be_awaited():
    """
    Overrides work without a loop for graphs that need none.
    """
    with Container(application()) as container:
        store = container.get_nowait(Store)
        with container.override({Clock: "fake"}):
            assert container.get_nowait(Store).clock == "fake"
            with container.scope() as scope:
                assert scope.get_nowait(Session).store.clock == "fake"
        assert container.get_nowait(Store) is store


async def test_the_quick_ways_come_back():
    """
    After the last override has ended, built values are got as quickly as before: their roots stand in the table again.
    """
    async with Container(application()) as container:
        await container.get(Clock)
        before = container._root_table.tables[0][Clock]
        async with container.override({Clock: "fake"}):
            assert Clock not in container._root_table.tables[0]
        assert container._root_table.tables[0][Clock] is before


async def test_a_quick_get_sees_the_override_that_begins():
    """
    While something is overridden elsewhere, gets that have become quick still see overrides of their own, and for everybody.
    """
    async with Container(application()) as container:
        inside, go_on = asyncio.Event(), asyncio.Event()

        async def elsewhere():
            async with container.override({Config: None}):
                inside.set()
                await go_on.wait()

        real = await container.get(Clock)
        task = asyncio.create_task(elsewhere())
        await inside.wait()
        for _ in range(3):
            assert await container.get(Clock) is real
        async with container.override({Clock: "mine"}):
            assert await container.get(Clock) == "mine"
            go_on.set()
            await task
            assert await container.get(Clock) == "mine"
        assert await container.get(Clock) is real
        async with container.override({Config: None}):
            assert await asyncio.create_task(container.get(Clock)) is real
            async with container.override({Clock: "everybody's"}, everywhere=True):
                assert await container.get(Clock) == "everybody's"
            assert await container.get(Clock) is real
        assert await container.get(Clock) is real


async def test_a_body_that_raises_ends_the_override():
    """
    The override ends with its block however the block ends.
    """
    async with Container(application()) as container:
        with pytest.raises(KeyError):
            async with container.override({Clock: "fake"}):
                raise KeyError
        assert (await container.get(Clock)).name == "real"


@pytest.mark.parametrize("way", ["request", "scope", "scope from before"])
async def test_what_an_overlay_builds_in_a_scope_is_closed_before_what_it_stands_on(way):
    """
    A scoped value of the overlay is closed before the shared scoped values that it uses, whoever closes the scope.
    """
    steps = []

    class App(AsyncServiceBase):
        @inject_dependency("base", lifetime="scoped")
        @staticmethod
        async def base():
            yield "base"
            steps.append("-base")

        @inject_dependency("user", lifetime="scoped")
        @staticmethod
        async def user(base: Annotated[str, Inject("base")], clock: Annotated[str, Inject("clock")]):
            yield clock
            steps.append("-user")

    App.register_value("clock", "real")
    async with Container(App) as container:
        before = container.scope()
        block = container.override({"clock": "fake"})
        await block.__aenter__()
        if way == "request":
            async with container.request("user") as user:
                assert user == "fake"
        else:
            scope = container.scope() if way == "scope" else before
            assert await scope.get("user") == "fake"
            await scope.aclose()
        await block.__aexit__(None, None, None)

    assert steps == ["-user", "-base"]


async def test_observers_are_told_of_overrides():
    """
    An observer hears of the keys that are overridden, when the block begins and when it ends.
    """
    heard = []

    class Hears(Observer):
        def override_begin(self, event):
            heard.append(("begin", event.key))

        def override_end(self, event):
            heard.append(("end", event.key))

    async with Container(application()) as container:
        container.observe(Hears())
        async with container.override({Clock: "fake", Config: "config"}):
            heard.append("inside")

    assert heard == [("begin", "Clock, Config"), "inside", ("end", "Clock, Config")]


async def test_a_scoped_value_first_heard_of_inside_is_the_scopes_own():
    """
    A scoped service that nobody has asked for before can be had in an override, and is the scope's, not the overlay's.
    """

    class Unheard(AsyncServiceBase, lifetime="scoped"): ...

    async with Container(application()) as container, container.scope() as before:
        async with container.override({Clock: "fake"}):
            async with container.scope() as scope:
                assert await scope.get(Unheard) is await scope.get(Unheard)
            inside = await before.get(Unheard)
        assert await before.get(Unheard) is inside


@pytest.mark.parametrize("by", ["parameter", "attribute"])
async def test_a_shared_value_fetches_its_own_inside(by):
    """
    A transient value that no override reaches, fetched late by a shared one inside of a block, is that one's, and stays it.
    """
    steps = []

    class App(AsyncServiceBase):
        @inject_dependency("line", lifetime="transient")
        @staticmethod
        async def line():
            steps.append("+line")
            yield object()
            steps.append("-line")

    class Holder:
        def __init__(self, line: Lazy[Annotated[object, Inject("line")]]):
            self.line = line

    class Service(AsyncServiceBase):
        line = AsyncDependencyDescriptor("line")

    App.register_dependency(Holder, Holder)
    App.register_value("clock", "real")
    async with Container(App) as container:
        async with container.override({"clock": "fake"}):
            holder = await container.get(Holder if by == "parameter" else Service)
            line = await holder.line
            assert await holder.line is line
        assert await holder.line is line
        assert steps == ["+line"]


@pytest.mark.parametrize("by", ["parameter", "attribute", "nowait"])
async def test_what_a_held_service_fetches_in_a_block_is_one_value(by):
    """
    A transient value that an override reaches, fetched late by a held service, is one value in the block and another after it.
    """
    made = []

    class App(AsyncServiceBase):
        @inject_dependency("line", lifetime="transient")
        @staticmethod
        def line(clock: Annotated[str, Inject("clock")]):
            made.append(clock)
            return [clock]

    class Holder:
        def __init__(self, line: Lazy[Annotated[list, Inject("line")]]):
            self.line = line

    class Service(AsyncServiceBase):
        line = AsyncDependencyDescriptor("line")

    async def fetched(holder):
        return holder.line.nowait() if by == "nowait" else await holder.line

    App.register_dependency(Holder, Holder)
    App.register_value("clock", "real")
    async with Container(App) as container:
        holder = await container.get(Holder if by == "parameter" else Service)
        async with container.override({"clock": "fake"}):
            inside = await fetched(holder)
            assert inside == ["fake"]
            assert await fetched(holder) is inside
        after = await fetched(holder)
        assert after == ["real"]
        assert await fetched(holder) is after
        async with container.override({"clock": "fake"}):
            again = await fetched(holder)
            assert again == ["fake"]
            assert again is not inside
            assert await fetched(holder) is again
        assert await fetched(holder) is after
        assert made == ["fake", "real", "fake"]


@pytest.mark.parametrize("way", ["get", "get_nowait", "scope", "injected", "injected sync"])
async def test_what_no_override_reaches_belongs_to_the_container(way):
    """
    A transient value that no override reaches is made and closed by whom it is asked of, in a block as outside of it.
    """
    steps = []

    class App(AsyncServiceBase):
        @inject_dependency("line", lifetime="transient")
        @staticmethod
        def line():
            yield "line"
            steps.append("-line")

    App.register_value("clock", "real")
    async with Container(App) as container:

        @container.inject
        async def use(line: Annotated[str, Inject("line")], clock: Annotated[str, Inject("clock")]):
            steps.append(clock)

        @container.inject
        def use_now(line: Annotated[str, Inject("line")], clock: Annotated[str, Inject("clock")]):
            steps.append(clock)

        async with container.override({"clock": "fake"}):
            if way == "get":
                assert await container.get("line") == "line"
            elif way == "get_nowait":
                assert container.get_nowait("line") == "line"
            elif way == "scope":
                async with container.scope() as scope:
                    assert await scope.get("line") == "line"
                steps.append("end of scope")
            elif way == "injected":
                await use()
            else:
                use_now()
            steps.append("end")

    expected = {
        "scope": ["-line", "end of scope", "end"],
        "injected": ["fake", "-line", "end"],
        "injected sync": ["fake", "-line", "end"],
    }
    assert steps == expected.get(way, ["end", "-line"])


@pytest.mark.parametrize("kind", ["singleton", "scoped", "transient"])
@pytest.mark.parametrize("warm", [False, True])
async def test_what_is_fetched_late_for_good_sees_no_override(kind, warm):
    """
    What a shared value fetches late and keeps is made with no override in force, though the factory looks for things itself.
    """
    seen = []

    class App(AsyncServiceBase):
        @inject_dependency("line", lifetime=kind)
        @staticmethod
        async def line(container: Container):
            seen.append(await container.get("clock"))
            return object()

    class Service(AsyncServiceBase, lifetime="scoped"):
        line = AsyncDependencyDescriptor("line")

    App.register_value("clock", "real")
    async with Container(App) as container:
        for _ in range(3 if warm else 0):  # with code
            async with container.request(Service) as service:
                await service.line
        seen.clear()
        async with container.scope() as scope, container.override({"clock": "fake"}):
            service = await scope.get(Service)
            line = await service.line
            assert await service.line is line

    assert seen == ([] if warm and kind == "singleton" else ["real"])


async def test_an_attribute_answers_through_overrides_that_nest():
    """
    An attribute, a handle and a getter give the outer override where the inner one does not reach, by any number of blocks.
    """

    class Holder:
        def __init__(self, clock: Lazy[Clock]):
            self.clock = clock

    class Service(AsyncServiceBase):
        clock = AsyncDependencyDescriptor(Clock)
        config = AsyncDependencyDescriptor(Config)

    app = application(providers=[Service, Holder])
    async with Container(app) as container:
        service, holder, getter = await container.get(Service), await container.get(Holder), container.getter(Clock)
        real = await service.clock
        assert await holder.clock is await getter() is real
        async with container.override({Clock: "outer"}), container.override({Config: "middle"}):
            async with container.override([{"provide": Other, "value": "inner"}]):
                assert await service.clock == await holder.clock == await getter() == "outer"
                assert service.clock.nowait() == holder.clock.nowait() == "outer"
                assert await service.config == "middle"
                async with container.scope() as scope:
                    assert (await scope.get(Session)).store.clock == "outer"
                    assert (await scope.get(Session)).store.config == "middle"
        assert await service.clock is await holder.clock is await getter() is real


async def test_what_an_outer_block_has_built_answers_by_the_context():
    """
    A service that an outer block has built answers with the inner one's inside of it, and so does the outer one's handle.
    """

    class Service(AsyncServiceBase):
        clock = AsyncDependencyDescriptor(Clock)
        config = AsyncDependencyDescriptor(Config)

    async with Container(application(providers=[Service])) as container:
        async with container.override({Clock: "outer"}) as outer:
            service = await container.get(Service)
            assert await service.clock == "outer"
            config = await service.config
            async with container.override({Config: "inner"}):
                assert await service.config == await outer.get(Config) == "inner"
                assert await service.clock == await outer.get(Clock) == "outer"
            assert await service.config is await outer.get(Config) is config


async def test_an_overlay_can_be_overridden():
    """
    What is overridden in a tenant's container is seen by who asks that one, and by nobody else.
    """

    class Service(AsyncServiceBase):
        clock = AsyncDependencyDescriptor(Clock)
        config = AsyncDependencyDescriptor(Config)

    async with Container(application(providers=[Service])) as container:
        async with container.overlay({Clock: "tenant"}) as tenant, tenant.scope() as scope:
            service = await tenant.get(Service)
            config = await service.config
            for everywhere in (False, True):
                async with tenant.override({Config: "fake"}, everywhere=everywhere):
                    assert await tenant.get(Config) == await service.config == "fake"
                    assert await tenant.get(Clock) == await service.clock == "tenant"
                    assert (await scope.get(Session)).store.config == "fake"
                    assert (await container.get(Clock)).name == "real"
                    assert await container.get(Config) is config
                    async with tenant.override({Clock: "inner"}):
                        assert (await tenant.get(Store)).clock == "inner"
                        assert (await tenant.get(Store)).config == "fake"
                    async with container.override({Config: "the container's"}):
                        assert await container.get(Config) == "the container's"
                        assert await tenant.get(Config) == "fake"
                assert await tenant.get(Config) is await service.config is config


async def test_a_getter_that_is_quick_beside_an_override_sees_it():
    """
    A getter called outside of a block meanwhile gives the block's value inside of it all the same.
    """
    async with Container(application()) as container:
        getter = container.getter(Clock)
        inside, go_on = asyncio.Event(), asyncio.Event()

        async def overriding():
            async with container.override({Clock: "fake"}):
                inside.set()
                await go_on.wait()
                return await getter()

        task = asyncio.create_task(overriding())
        await inside.wait()
        assert (await getter()).name == (await getter()).name == "real"
        go_on.set()

        assert await task == "fake"


def entered_before_left(order):
    return all(order.index(f"+{name}") < order.index(f"-{name}") for name in "ab")


ENTERED_AND_LEFT = list(filter(entered_before_left, itertools.permutations(("+a", "+b", "-a", "-b"))))


@pytest.mark.parametrize("order", ENTERED_AND_LEFT, ids=" ".join)
@pytest.mark.parametrize("tasks", ["one task", "two tasks"])
@pytest.mark.parametrize("everywhere", ["ab", "a", "b", ""])
async def test_blocks_need_not_nest(order, tasks, everywhere):
    """
    Whatever is entered is in force until it is left, in whichever order and in whichever task; then nothing is.
    """

    class Service(AsyncServiceBase):
        clock = AsyncDependencyDescriptor(Clock)
        config = AsyncDependencyDescriptor(Config)

    async with Container(application(providers=[Service])) as container:
        config, clock, store = await container.get(Config), await container.get(Clock), await container.get(Store)
        service = await container.get(Service)
        assert (await service.clock, await service.config) == (clock, config)
        blocks = {
            "a": container.override({Clock: "a"}, everywhere="a" in everywhere),
            "b": container.override([{"provide": Config, "use_factory": lambda: "b"}], everywhere="b" in everywhere),
        }
        known = {"a": Clock, "b": Config}
        real = {"a": clock, "b": config}

        async def look(mine, there):
            """Compare what is seen by a task that has entered *mine* while all of *there* are in force."""
            seen = {name for name in there if name in mine or name in everywhere}
            for name, key in known.items():
                expected = name if name in seen else real[name]
                assert await container.get(key) == expected
                assert container.get_nowait(key) == expected
                assert await (service.clock if name == "a" else service.config) == expected
            got = await container.get(Store)
            assert (got is store) == (not seen)
            assert got.clock == ("a" if "a" in seen else clock)
            assert got.config == ("b" if "b" in seen else config)

        sequencer = [asyncio.Event() for _ in range(len(order) + 1)]
        sequencer[0].set()
        there = []

        async def act(name):
            for number, step in enumerate(order):
                if tasks == "two tasks" and step[1] != name:
                    continue
                await sequencer[number].wait()
                if step[0] == "+":
                    await blocks[step[1]].__aenter__()
                    there.append(step[1])
                else:
                    await blocks[step[1]].__aexit__(None, None, None)
                    there.remove(step[1])
                mine = name if tasks == "two tasks" else "ab"
                # A task that is inside of an override of its own keeps to that one.
                if tasks == "one task" or everywhere == "ab" or len(there) < 2:
                    await look(mine, there)
                sequencer[number + 1].set()

        if tasks == "two tasks":
            await asyncio.gather(act("a"), act("b"))
        else:
            await act("a")
        await look("", [])
        assert (container._singletons.overridden, container._root_table.everywhere, container._children) == (0, [], set())


async def test_what_lies_on_a_block_that_ends_stays_in_force_without_it():
    """
    What a later block has built and does not stand on the earlier one stays; the rest is built anew, and all is closed in order.
    """
    steps = []

    class App(AsyncServiceBase): ...

    def resource(name, *needs):
        async def make(*made):
            steps.append(f"+{name}")
            yield [name, *made]
            steps.append(f"-{name}")

        return {"provide": name, "use_factory": make, "inject": needs}

    for name in ("clock", "config", "store"):
        App.register_value(name, name)
    async with Container(App) as container:
        first = container.override([resource("clock")], everywhere=True)
        second = container.override([resource("config"), resource("store", "clock", "config")], everywhere=True)
        await first.__aenter__()
        await second.__aenter__()
        clock, config, store = [await container.get(name) for name in ("clock", "config", "store")]
        assert store == ["store", clock, config]
        await first.__aexit__(None, None, None)
        steps.append("first ended")
        assert await container.get("config") is config
        again = await container.get("store")
        assert again == ["store", "clock", config]
        assert again is not store
        assert await container.get("store") is again
        await second.__aexit__(None, None, None)
        steps.append("second ended")
        assert await container.get("store") == "store"

    assert steps == [
        "+clock", "+config", "+store", "first ended", "+store", "-store", "-store", "-config", "-clock", "second ended",
    ]  # fmt: skip


async def test_a_child_that_outlives_the_block_keeps_its_own():
    """
    A block that a child task has entered inside of another stays in force when that one ends before it.
    """
    async with Container(application()) as container:
        entered, ended = asyncio.Event(), asyncio.Event()

        async def child():
            async with container.override({Config: "the child's"}):
                entered.set()
                await ended.wait()
                store = await container.get(Store)
                return store.clock.name, store.config

        async with container.override({Clock: "fake"}):
            task = asyncio.create_task(child())
            await entered.wait()
        ended.set()

        assert await task == ("real", "the child's")
        assert container._children == set()


async def test_what_no_longer_fits_without_the_block_below_is_told_by_the_get():
    """
    An override that needs a key which only the block below it brought is missing it from when that block has ended.
    """
    async with Container(application()) as container:
        below = container.override({"extra": "new"}, new=True)
        await below.__aenter__()
        above = container.override([{"provide": Clock, "use_factory": lambda extra: extra, "inject": ["extra"]}, Config])
        await above.__aenter__()
        assert await container.get(Clock) == "new"
        await below.__aexit__(None, None, None)
        with pytest.raises(MissingDependencyError, match='"extra"'):
            await container.get(Store)
        assert await container.get(Config) is not None
        await above.__aexit__(None, None, None)
        assert (await container.get(Store)).clock.name == "real"


async def test_a_container_closed_below_blocks_that_do_not_nest():
    """
    Blocks that are open when their container closes end with it, in whichever order they are left afterwards.
    """
    container = Container(application())
    blocks = [container.override({key: "fake"}, everywhere=True) for key in (Clock, Config)]
    async with container:
        for block in blocks:
            await block.__aenter__()
        with pytest.warns(ResourceWarning):
            await container.aclose()
    async with container:
        assert (await container.get(Clock)).name == "real"
        for block in blocks:
            await block.__aexit__(None, None, None)
        assert (await container.get(Store)).clock.name == "real"
        assert (container._singletons.overridden, container._root_table.everywhere) == (0, [])


async def test_a_get_in_flight_lands_when_the_block_below_ends():
    """
    A get that waits for what a block below brought gets it, when that block ends meanwhile; the next one is without it.
    """
    steps, began, go_on = [], asyncio.Event(), asyncio.Event()

    async def slow():
        began.set()
        await go_on.wait()
        yield "slow"
        steps.append("-slow")

    async with Container(application()) as container:
        below = container.override([{"provide": Clock, "use_factory": slow}], everywhere=True)
        above = container.override({Config: "config"}, everywhere=True)
        await below.__aenter__()
        await above.__aenter__()
        task = asyncio.create_task(container.get(Store))
        await began.wait()
        await below.__aexit__(None, None, None)
        go_on.set()
        store = await task
        assert (store.clock, store.config) == ("slow", "config")
        store = await container.get(Store)
        assert (store.clock.name, store.config) == ("real", "config")
        assert steps == []
        await above.__aexit__(None, None, None)
        assert steps == ["-slow"]


async def test_a_block_that_cannot_be_left_without_awaiting_can_be_left_with():
    """
    A plain `with` refuses to end a block that has to await, which has ended for everybody then; it is closed by awaiting.
    """
    steps = []

    async def resource():
        yield "fake"
        steps.append("-fake")

    async with Container(application()) as container:
        block = container.override([{"provide": Clock, "use_factory": resource}])
        block.__enter__()
        assert await container.get(Clock) == "fake"
        with pytest.raises(AsyncDependencyError):
            block.__exit__(None, None, None)
        assert (await container.get(Clock)).name == "real"
        assert steps == []
        await block.__aexit__(None, None, None)
        assert steps == ["-fake"]
        assert container._children == set()


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))), ids=lambda order: "".join(map("abcd".__getitem__, order)))
@pytest.mark.parametrize(
    "for_all", list(itertools.product((False, True), repeat=4)), ids=lambda four: "".join(map("-e".__getitem__, four))
)
async def test_what_is_in_force_is_closed_by_its_own_block_whatever_else_is_left(order, for_all):
    """
    Of some blocks, left in any order, each closes what it has built when it is left, and not before.
    """
    closed = []

    class App(AsyncServiceBase):
        pass

    def making(name):
        async def make():
            yield name
            closed.append(name)

        return make

    for key in "abcd":
        App.register_value(key, f"real {key}")
    async with Container(App) as container:
        blocks = {}
        for key, everywhere in zip("abcd", for_all, strict=True):
            blocks[key] = container.override([{"provide": key, "use_factory": making(key)}], everywhere=everywhere)
            await blocks[key].__aenter__()
            for other in blocks:
                assert await container.get(other) == other
        left = ["abcd"[number] for number in order]
        for number, key in enumerate(left):
            await blocks.pop(key).__aexit__(None, None, None)
            for other in "abcd":
                assert await container.get(other) == (other if other in blocks else f"real {other}")
            assert not set(closed) & set(left[number + 1 :])

    assert sorted(closed) == ["a", "b", "c", "d"]


async def test_start_inside_of_a_block_builds_what_its_container_holds():
    """
    The container starts its own values, which never hold a fake; the block's handle starts what the block sees.
    """
    made = []

    class App(AsyncServiceBase):
        pass

    App.register_dependency("real", lambda: made.append("real") or "real")
    App.register_dependency("user", lambda real: made.append(f"user of {real}") or real)
    async with Container(App) as container, container.override({"real": "fake"}) as faked:
        await faked.start()
        assert made == ["user of fake"]
        await container.start()
        assert made == ["user of fake", "real", "user of real"]


async def test_a_task_that_outlives_a_block_keeps_no_fake_alive():
    """
    A task that was started inside of an override keeps neither what was put in place nor what was built of it.
    """
    async with Container(application()) as container:
        over = asyncio.Event()
        fake = FakeClock()
        async with container.override({Clock: fake}):
            task = asyncio.create_task(over.wait())
            store = await container.get(Store)
            assert store.clock is fake
        gone = weakref.ref(fake), weakref.ref(store)
        del fake, store
        await asyncio.sleep(0)
        collected()

        assert [one() for one in gone] == [None, None]
        over.set()
        await task


async def test_blocks_that_end_in_another_context_do_not_pile_up():
    """
    Where each override ends in another context than it began in, as in fixtures, what has ended is not carried along.
    """
    async with Container(application()) as container:
        for _ in range(5):
            block = container.override({Clock: FakeClock()})
            await block.__aenter__()
            await asyncio.create_task(block.__aexit__(None, None, None))

        assert len(IN_FORCE.get()) <= 1
        assert not isinstance(await container.get(Clock), FakeClock)


# --- before the container is entered --------------------------------------------------------------------


def connecting():
    """
    Return an application whose singletons stand on a database that takes note of each connection, and the notes.
    """
    steps = []

    class Database: ...

    class Repository:
        def __init__(self, database: Database):
            self.database = database

    class App(AsyncServiceBase, providers=[Repository]): ...

    @inject_dependency(on=App)
    async def connect() -> AsyncIterator[Database]:
        steps.append("connected")
        yield Database()
        steps.append("closed")

    return App, Database, Repository, steps


@pytest.mark.parametrize("everywhere", [False, True])
async def test_a_block_before_the_container_is_entered_is_in_force_for_its_start(everywhere):
    """
    What is overridden before a container is entered is not built when that starts, each time that it is entered.
    """
    App, Database, Repository, steps = connecting()
    container, fake = Container(App), Database()
    for _ in range(2):
        async with container.override({Database: fake}, everywhere=everywhere):
            for _ in range(2):
                async with container:
                    report = await container.start()
                    assert (await container.get(Repository)).database is fake
                assert {"Repository", "App"} <= {timing.key for timing in report.builds}

    assert steps == []
    async with container:
        assert (await container.get(Repository)).database is not fake
    assert (steps, container._singletons.overridden, container._laid) == (["connected", "closed"], 0, [])


async def test_what_a_block_before_the_start_has_built_is_closed_with_the_container():
    """
    A fake with a finalizer is made for each life of the container, and closed before what it stands on.
    """
    App, Database, Repository, steps = connecting()
    container = Container(App)

    async def connect_fake():
        steps.append("fake")
        yield "fake"
        steps.append("fake closed")

    with container.override([{"provide": Database, "use_factory": connect_fake}]):
        for _ in range(2):
            async with container:
                await container.start()
                assert (await container.get(Repository)).database == "fake"
            steps.append("stopped")

    assert steps == ["fake", "fake closed", "stopped"] * 2


async def test_blocks_before_the_start_need_not_nest():
    """
    Of two blocks that lie on a closed container, the later one stays in force when the earlier one has ended.
    """
    container = Container(application())
    await container.aclose()
    first, second = container.override({Clock: "clock"}), container.override({Config: "config"})
    await first.__aenter__()
    await second.__aenter__()
    async with container:
        store = await container.get(Store)
        assert (store.clock, store.config) == ("clock", "config")
    await first.__aexit__(None, None, None)
    async with container:
        store = await container.get(Store)
        assert (store.clock.name, store.config) == ("real", "config")
    await second.__aexit__(None, None, None)

    assert (container._singletons.overridden, container._laid) == (0, [])


async def test_a_closed_container_gives_nothing_for_a_block_that_lies_on_it():
    """
    Between its lives a container is closed, whatever is in force: asking it is refused, and an overlay of it, too.
    """
    container = Container(application())
    async with container:
        pass
    async with container.override({Clock: "fake"}) as handle:
        for asked in container, handle:
            with pytest.raises(ClosedError):
                await asked.get(Clock)
        with pytest.raises(ClosedError):
            container.overlay({Clock: "fake"})
        async with container:
            assert await handle.get(Clock) == "fake"


def test_a_block_before_the_start_without_a_loop():
    """
    The same in a plain `with`, as a test of a synchronous application does it.
    """
    container, fake = Container(application()), FakeClock()
    for _ in range(2):
        with container.override({Clock: fake}, everywhere=True), container:
            assert container.get_nowait(Store).clock is fake
    with container:
        assert container.get_nowait(Clock).name == "real"


def test_each_of_many_overrides_inside_of_each_other_looks_once_at_those_below():
    """
    So many are no more than quadratic in all.
    """
    calls = Counter()

    def note(frame, event, argument):
        if event == "call":
            calls[frame.f_code.co_name] += 1

    def looks(depth):
        App = fresh_app()
        App.register_dependency("key", lambda: 0)
        calls.clear()
        with Container(App) as container, ExitStack() as stack:
            sys.setprofile(note)
            try:
                for number in range(depth):
                    stack.enter_context(container.override({"key": number}))
            finally:
                sys.setprofile(None)
            assert container.get_nowait("key") == depth - 1
        return calls["check_open"]

    assert looks(40) < 5 * looks(20)


# --- at the edges ---------------------------------------------------------------------------------------


async def test_a_block_is_entered_once():
    """
    An override is one block; who wants another makes another.
    """
    async with Container(application()) as container:
        block = container.override({Clock: FakeClock()})
        async with block:
            pass

        with pytest.raises(ClosedError, match="this block was entered before; make a new one"):
            await block.__aenter__()


async def test_an_override_by_the_handle_of_another():
    """
    What a block gives stands for what it overrides: overridden, it is in force for all that run in the block, until that ends.
    """
    async with Container(application()) as container:
        async with container.override({Clock: FakeClock()}) as there:
            async with there.override({Config: "config"}):
                store = await container.get(Store)
                assert (store.clock.name, store.config) == ("fake", "config")

        with pytest.raises(ClosedError):
            async with there.override({Config: "config"}):
                pass


async def test_an_override_for_everybody_that_does_not_fit_here():
    """
    Where it fits for the others and not on top of what is in force here, it is in force for nobody.
    """
    async with Container(application()) as container:
        async with container.override([{"provide": Config, "use_factory": config_by, "deps": [Clock]}]):
            with pytest.raises(GraphErrors, match="Clock needs itself"):
                async with container.override([{"provide": Clock, "use_factory": clock_by, "deps": [Config]}], everywhere=True):
                    pass
            assert type(await container.get(Clock)) is Clock
        assert type(await container.get(Clock)) is Clock


def config_by(clock):
    return Config()


def clock_by(config):
    return FakeClock()


class Desk(AsyncServiceBase, lifetime="scoped"):
    """A service of a scope that starts and stops."""

    def __init__(self, clock: Clock, plain: Plain):
        self.clock, self.plain, self.steps = clock, plain, []

    def note(self, step):
        self.steps.append(step)


@pytest.mark.parametrize("way", ["override", "overlay"])
def test_scopes_of_an_overlay_without_a_loop(way):
    """
    A scope that is opened by the handle of a plain block is closed with the real one beneath it, also where its body fails.
    """
    App = application(context=["user"])
    App.register_dependency(Desk, Desk, lifetime="scoped")
    with Container(App) as root, getattr(root, way)({Clock: FakeClock()}) as container:
        with container.scope({"user": "Ada"}) as scope:
            desk = scope.get_nowait(Desk)
            assert desk.clock.name == "fake"
            assert desk.plain is scope.get_nowait(Plain)
        with pytest.raises(ClosedError):
            scope.get_nowait(Plain)
        with pytest.raises(KeyError), container.scope({"user": "Ada"}) as failing:
            failing.get_nowait(Desk)
            raise KeyError("body")
        left = container.scope({"user": "Ada"})
        left.get_nowait(Desk)
        left.close()


@pytest.mark.parametrize("way", ["override", "overlay"])
async def test_what_a_scope_is_given_counts_above_an_overridden_factory_for_it(way):
    """
    A context value that a factory makes where none is given: overridden is the factory, and what is given stays.
    """
    App = application(scopes=["request", "step"], context={"request": ["user"], "step": ["place"]})
    App.register_dependency("user", lambda: "somebody", lifetime="request")
    App.register_dependency("place", lambda: "somewhere", lifetime="step")

    class Greeting:
        def __init__(self, user: Annotated[str, Inject("user")], place: Annotated[str, Inject("place")]):
            self.said = f"{user} {place}"

    App.register_dependency(Greeting, Greeting, lifetime="step")
    async with Container(App) as container, getattr(container, way)({"user": "fake"}) as tenant:
        async with tenant.scope({"user": "Ada"}, level="request") as request:
            async with request.scope({"place": "here"}, level="step") as step:
                given = (await step.get(Greeting)).said
        async with tenant.scope({"user": "Ada", "place": "there"}, level="step") as step:
            at_once = (await step.get(Greeting)).said
        async with tenant.scope(level="request") as request, request.scope(level="step") as step:
            made = (await step.get(Greeting)).said

    assert (given.partition(" ")[2], at_once.partition(" ")[2]) == ("here", "there")
    assert made == "fake somewhere"


class Starts(AsyncServiceBase):
    """A service of the container that starts and stops."""

    def __init__(self, clock: Clock):
        self.clock, self.started = clock, 0

    async def on_startup(self):
        self.started += 1


async def test_services_that_were_started_above_a_block_that_ends_stay_started():
    """
    Blocks need not nest: what the later one has started goes on without the earlier one, which it did not stand on.
    """
    App = application(providers=[Starts])
    container = Container(App)
    await container.__aenter__()
    first = container.override({Config: "config"})
    await first.__aenter__()
    second = container.override({Clock: FakeClock()})
    await second.__aenter__()
    service = await container.get(Starts)

    await first.__aexit__(None, None, None)

    assert await container.get(Starts) is service
    assert (service.clock.name, service.started) == ("fake", 1)
    await second.__aexit__(None, None, None)
    assert await container.get(Starts) is not service
    await container.aclose()


@pytest.mark.parametrize("kind", ["attribute", "handle"])
def test_attributes_and_handles_of_others_without_a_loop(kind):
    """
    What the container holds answers by the block that the code runs in, and afterwards as before.
    """

    class Holds:
        def __init__(self, clock: Lazy[Clock]):
            self.clock = clock

    App = application()
    App.register_dependency(Holds, Holds)
    app = App()
    with Container(app) as container:
        get = (lambda: app.clock.nowait().name) if kind == "attribute" else container.get_nowait(Holds).clock.nowait
        before = get()
        with container.override({Clock: FakeClock()}):
            within = get()
        after = get()

    names = [one if isinstance(one, str) else one.name for one in (before, within, after)]
    assert names == ["real", "fake", "real"]
    assert after is before


class Unheard(Plain, abc.ABC):
    """Stands for Plain, if for anything."""


class Alone:
    """Stands for nothing that is registered."""


async def test_several_unknown_keys_are_told_at_once():
    """
    Each with what it may have been meant for.
    """
    async with Container(application()) as container:
        with pytest.raises(GraphErrors) as caught:
            async with container.override({"clok": 1, Alone: 2, Unheard: 3, "Store!": 4}):
                pass

    assert len(caught.value.exceptions) == 4
    assert "to put it in the place of Plain" in str(caught.value)


class Keeps:
    def __init__(self, clock: Clock, scope: Scope):
        self.clock, self.scope = clock, scope


@pytest.mark.parametrize("plain", [False, True], ids=["awaited", "plain"])
async def test_the_scope_that_a_value_of_a_block_keeps_can_be_closed(plain):
    """
    What is built in a block has the scope as it is seen there; closed, that is over there.
    """
    App = application()
    App.register_dependency(Keeps, Keeps, lifetime="scoped")
    async with Container(App) as container:
        scope = container.scope()
        async with container.override({Clock: FakeClock()}):
            keeps = await scope.get(Keeps)
            assert keeps.clock.name == "fake"
            if plain:
                keeps.scope.close()
            else:
                await keeps.scope.aclose()
            with pytest.raises(ClosedError):
                await keeps.scope.get(Plain)
        await scope.aclose()


@pytest.mark.parametrize("way", ["get", "get_nowait"])
async def test_a_closed_container_that_a_fake_asks_is_told_of(way):
    """
    An override goes on where its factory meets something closed of its own: that is the factory's failure.
    """
    App, Else = fresh_app(), fresh_app()
    for cls in (App, Else):
        cls.register_dependency("word", lambda: "word")
    closed = Container(Else)
    closed.close()

    async with Container(App) as container:
        with container.override([{"provide": "word", "use_factory": lambda: closed.get_nowait("word")}]):
            for _ in range(2):
                with pytest.raises(ClosedError):
                    await made_by(way, container)
        assert await made_by(way, container) == "word"


async def made_by(way, container):
    return await container.get("word") if way == "get" else container.get_nowait("word")


@pytest.mark.parametrize("everywhere", [False, True])
async def test_what_an_ended_override_made_of_another_one_s_value_is_made_anew(everywhere):
    """
    Where the outer of two blocks ends first, what its factory made of the inner one's value is forgotten with it.
    """
    App = fresh_app()
    App.register_dependency("word", lambda: "word")
    App.register_dependency("said", lambda word: f"said {word}")

    def sung(word: Annotated[str, Inject("word")]) -> str:
        return f"sung {word}"

    async with Container(App) as container:
        outer = container.override([{"provide": "said", "use_factory": sung}], everywhere=everywhere)
        inner = container.override({"word": "fake"}, everywhere=everywhere)
        with contextlib.ExitStack() as first, contextlib.ExitStack() as second:
            first.enter_context(outer)
            second.enter_context(inner)
            seen = [await container.get("said")]
            first.close()
            seen.append(await container.get("said"))
        seen.append(await container.get("said"))

    assert seen == ["sung fake", "said fake", "said word"]


async def test_an_attribute_whose_fake_meets_something_closed_is_told_of():
    """
    So is who awaits an attribute, with a loop or without.
    """
    App, Else = fresh_app(), fresh_app()

    class Desk(AsyncServiceBase):
        word = AsyncDependencyDescriptor("word")

    for cls in (App, Else):
        cls.register_dependency("word", lambda: "word")
    App.register_dependency(Desk, Desk)
    closed = Container(Else)
    closed.close()
    async with Container(App) as container:
        desk = await container.get(Desk)
        with container.override([{"provide": "word", "use_factory": lambda: closed.get_nowait("word")}]):
            with pytest.raises(ClosedError):
                await desk.word
            with pytest.raises(ClosedError):
                desk.word.nowait()

        assert await desk.word == "word"


async def test_a_block_upon_an_override_that_has_ended_is_refused():
    """
    What was to lie upon an override, and is entered after its end, is in force for nobody.
    """
    App = fresh_app()
    App.register_dependency("word", lambda: "word")
    async with Container(App) as container:
        with container.override({"word": "fake"}) as over:
            block = over.override({"word": "more"})

        with pytest.raises(ClosedError, match="the block of this override has ended"), block:
            pass
        assert await container.get("word") == "word"


async def test_an_instance_that_is_its_own_application_stays_under_overrides():
    """
    What the user has made is no value that could be made anew.
    """

    class Desk(AsyncServiceBase):
        word = AsyncDependencyDescriptor("word")

    Desk.register_dependency("word", lambda: "word")
    desk = Desk()
    async with Container(desk) as container:
        with container.override({"word": "fake"}):
            assert await container.get(Desk) is desk
            assert await desk.word == "fake"


def test_blocks_for_everybody_lie_on_each_other():
    """
    A thread that knows of neither block sees both.
    """
    App = fresh_app()
    for key in ("one", "two"):
        App.register_dependency(key, lambda key=key: key)
    App.register_dependency("both", lambda one, two: (one, two))

    with Container(App) as container:
        outer, inner = (container.override({key: f"fake {key}"}, everywhere=True) for key in ("one", "two"))
        with outer, inner:
            seen = in_threads(1, lambda number: container.get_nowait("both"))
        seen += in_threads(1, lambda number: container.get_nowait("both"))

    assert seen == [("fake one", "fake two"), ("one", "two")]


async def test_what_is_quick_beside_somebody_s_override_follows_one_for_everybody():
    """
    Who is not concerned by a block elsewhere asks quickly, and sees one for everybody at once, also where that begins in between.
    """
    App = fresh_app()
    for key, lifetime in (("kept", "singleton"), ("scoped", "scoped"), ("other", "singleton")):
        App.register_dependency(key, lambda key=key: key, lifetime=lifetime)
    entered, over, seen = asyncio.Event(), asyncio.Event(), []

    async def holds(container):
        with container.override({"other": "fake"}):
            entered.set()
            await over.wait()

    async def asks(container):
        for _ in range(10):  # often enough that code is made of it
            async with container.scope() as scope:
                seen.append([await scope.get(key) for key in ("kept", "scoped")])

    async with Container(App) as container:
        await asks(container)
        holding = asyncio.create_task(holds(container))
        await entered.wait()
        await asks(container)
        with container.override({"kept": "fake", "scoped": "fake"}, everywhere=True):
            await asyncio.create_task(asks(container), context=contextvars.Context())
        await asks(container)
        over.set()
        await holding

    assert seen == [["kept", "scoped"]] * 20 + [["fake", "fake"]] * 10 + [["kept", "scoped"]] * 10
