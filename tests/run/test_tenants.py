"""Overlays that live long, as of tenants: their requests are as quick as the container's, and nothing is told by stale code."""

import asyncio
import gc
import sys
import types
import weakref
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from helpers import collected

from asyncmeta import (
    AsyncDependencyDescriptor,
    AsyncServiceBase,
    ClosedError,
    Container,
    Factory,
    From,
    Lazy,
    MissingDependencyError,
    Scope,
    inject_dependency,
)
from asyncmeta._run.compiled import in_flight, load


class Name(str):
    """What a tenant replaces."""

    __slots__ = ()


class Database: ...


class Session:
    def __init__(self, database: Database):
        self.database, self.open = database, True


class Handler:
    def __init__(self, session: Session, name: Name):
        self.session, self.name = session, name


def an_app():
    class App(AsyncServiceBase, providers=[Database, {"provide": Name, "value": Name("nobody")}], context=[int]): ...

    @inject_dependency(Session, lifetime="scoped", on=App)
    async def open_session(database: Database) -> AsyncIterator[Session]:
        session = Session(database)
        try:
            yield session
        finally:
            session.open = False

    App.register_dependency(Handler, Handler, lifetime="scoped")
    return App


@pytest.fixture
def app():
    return an_app()


async def by_request(container):
    async with container.request(Handler) as handler:
        return handler


async def by_scope(container):
    async with container.scope() as scope:
        return await scope.get(Handler)


async def by_two_gets(container):
    async with container.scope({int: 1}) as scope:
        await scope.get(Session)
        return await scope.get(Handler)


WAYS = [by_request, by_scope, by_two_gets]


async def calls_of(work):
    """Return how many functions are called by *work*, after it was done often enough to be quick."""
    for _ in range(5):
        await work()
    count = 0

    def note(frame, event, argument):
        nonlocal count
        count += event == "call"

    coroutine = work()
    sys.setprofile(note)
    try:
        await coroutine
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("way", WAYS)
async def test_a_request_of_a_tenant_takes_as_many_calls_as_one_of_the_container(app, way):
    """
    What is asked of an overlay again and again is given by code, as of a container.
    """
    async with Container(app) as container, container.overlay({Name: Name("ada")}) as ada, ada.overlay({int: 1}) as above:
        plain = await calls_of(lambda: way(container))

        assert await calls_of(lambda: way(ada)) <= plain
        assert await calls_of(lambda: way(above)) <= plain


async def test_a_function_filled_by_a_tenant_takes_as_many_calls_as_by_the_container(app):
    """
    An injected function has code of its own for an overlay, too.
    """

    async def handle(handler: From[Handler]):
        return handler.name

    async with Container(app) as container, container.overlay({Name: Name("ada")}) as ada:
        filled, filled_by_ada = container.inject(handle), ada.inject(handle)
        plain = await calls_of(filled)

        assert await calls_of(filled_by_ada) <= plain
        assert (await filled(), await filled_by_ada()) == ("nobody", "ada")


@pytest.mark.parametrize("way", WAYS)
async def test_each_tenant_has_its_own_and_shares_the_rest(app, way):
    """
    What tenants replace is theirs, what they share is one, however often they are asked, and it is closed with the request.
    """
    async with (
        Container(app) as container,
        container.overlay({Name: Name("ada")}) as ada,
        container.overlay({Name: Name("bob")}) as bob,
    ):
        found = [(one, await way(one)) for _ in range(4) for one in (ada, container, bob)]

        names = {ada: "ada", bob: "bob", container: "nobody"}
        assert [handler.name for _, handler in found] == [names[one] for one, _ in found]
        assert {handler.session.database for _, handler in found} == {await container.get(Database)}
        assert len({handler.session for _, handler in found}) == len(found)
        assert not any(handler.session.open for _, handler in found)


async def test_what_lives_in_a_scope_of_a_tenant_belongs_to_the_tenant(app):
    """
    A scope of an overlay is the overlay's: so is every scope and container that its values are told.
    """

    class Service(AsyncServiceBase, lifetime="scoped"):
        name = AsyncDependencyDescriptor(Name)

        def __init__(self, scope: Scope, container: Container):
            self.scope, self.container = scope, container

    async with Container(app) as container, container.overlay({Database: Database()}) as ada, ada.scope() as scope:
        for _ in range(3):
            service = await scope.get(Service)

        assert service.scope is scope is Scope.of(service)
        assert service.container is ada is scope.container
        assert await service.name == "nobody"


@pytest.mark.parametrize("way", WAYS)
async def test_what_is_registered_below_counts_in_tenants(app, way):
    """
    A registration that comes later counts from the next request on.
    """

    class Better(Session): ...

    async with Container(app) as container, container.overlay({Name: Name("ada")}) as ada, ada.overlay({Name: Name("eve")}) as eve:
        for _ in range(3):
            await way(ada), await way(eve)
        app.register_dependency(Session, Better, lifetime="scoped")

        assert type((await way(ada)).session) is Better
        assert type((await way(eve)).session) is Better


@pytest.mark.parametrize("way", WAYS)
async def test_a_tenant_refuses_while_its_container_closes(app, way):
    """
    Nothing is handed out by an overlay, nor by one upon it, from when the container below begins to close.
    """
    refused, begun = [], asyncio.Event()

    @inject_dependency("late", on=app)
    async def build_late():
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:  # the container has begun to close, and its overlays have not
            for one in (ada, eve):
                for ask in (way, lambda one: one.get(Database)):
                    with pytest.raises(ClosedError):
                        await ask(one)
                    refused.append(one)

    container = Container(app)
    ada = await container.overlay({Name: Name("ada")}).__aenter__()
    eve = await ada.overlay({Name: Name("eve")}).__aenter__()
    for one in (ada, eve):
        for _ in range(3):
            await way(one), await one.get(Database)
    late = asyncio.ensure_future(container.get("late"))
    await begun.wait()
    with pytest.warns(ResourceWarning, match="an overlay of App was still open"):
        await container.aclose()

    with pytest.raises(ClosedError):
        await late
    assert refused == [ada, ada, eve, eve]


@pytest.mark.parametrize("way", WAYS)
async def test_an_override_below_is_not_seen_in_what_a_tenant_builds(app, way):
    """
    An override of the container is seen by who asks the container; a factory that does so for a tenant sees none.
    """
    seen = []
    homes = []

    class Looks:
        pass

    @inject_dependency(Looks, lifetime="scoped", on=app)
    async def look(name: Name) -> Looks:
        seen.append(await homes[0].get(Name))
        return Looks()

    async def ask():
        async with ada.request(Looks):
            pass
        async with ada.scope() as scope:
            await scope.get(Looks)
        return await way(ada)

    async with Container(app) as container, container.overlay({Name: Name("ada")}) as ada:
        homes.append(container)
        for _ in range(4):
            await ask()
        async with container.override({Name: Name("fake")}):
            assert (await ask()).name == "ada"
            assert (await way(container)).name == "fake"
        assert (await ask()).name == "ada"

    assert set(seen) == {"nobody"}


async def test_an_override_of_a_tenant_is_seen_in_its_scopes(app):
    """
    What is overridden in a tenant is so in its quick requests, and in scopes that were open before; not afterwards.
    """
    async with Container(app) as container, container.overlay({Name: Name("ada")}) as ada, ada.scope() as scope:
        for _ in range(3):
            for way in WAYS:
                await way(ada)
        before = await scope.get(Session)
        async with ada.override({Name: Name("fake")}):
            assert [(await way(ada)).name for way in WAYS] == ["fake"] * 3
            there = await scope.get(Handler)
            assert (there.name, there.session) == ("fake", before)
            assert (await by_request(container)).name == "nobody"

        assert [(await way(ada)).name for way in WAYS] == ["ada"] * 3
        here = await scope.get(Handler)
        assert (here.name, here.session) == ("ada", before)


def test_values_that_died_with_a_loop_are_not_given_by_a_tenant(app):
    """
    What a container has to forget, its overlays' code forgets, too.
    """

    class Pool: ...

    class Asks:
        def __init__(self, pool: Pool):
            self.pool = pool

    @inject_dependency(Pool, on=app)
    async def open_pool() -> AsyncIterator[Pool]:
        yield Pool()

    app.register_dependency(Asks, Asks, lifetime="scoped")
    app.register_dependency("other", object)
    container = Container(app)
    found = []

    async def ask(tenant):
        for _ in range(3):
            async with tenant.request(Asks) as one:
                found.append(one.pool)
        found.append(await tenant.get(Pool))

    async def first():
        tenant = await container.overlay({Name: Name("ada")}).__aenter__()
        await ask(tenant)
        return tenant

    async def second(tenant):
        await container.get("other")  # by which it learns of its new loop
        await ask(tenant)
        await tenant.aclose()
        await container.aclose()

    loop = asyncio.new_event_loop()
    tenant = loop.run_until_complete(first())
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
    with pytest.warns(ResourceWarning):
        asyncio.run(second(tenant))

    assert len(set(found[:4])) == 1
    assert len(set(found[4:])) == 1
    assert found[0] is not found[4]


async def test_nothing_of_a_tenant_stays(app):
    """
    When a block has ended and nobody holds it, neither its values nor its code are kept.
    """
    async with Container(app) as container:

        async def block():
            value = Name("ada")
            async with container.overlay({Name: value, Database: Database()}) as ada:
                for _ in range(3):
                    for way in WAYS:
                        await way(ada)
                return weakref.ref(await ada.get(Database)), weakref.ref(ada._graph), weakref.ref(ada)

        gone = await block()
        collected()

        assert [one() for one in gone] == [None, None, None]


# --- many of one shape -----------------------------------------------------------------------------


def tenant_of(container, name, **more):
    """Return an overlay of *container*, as programs open them: at one place, with a name of its own."""
    return container.overlay({Name: Name(name)}, **more)


async def test_many_tenants_have_one_code(app, monkeypatch):
    """
    Overlays of the same keys are served by what was found out for the first: nothing is compiled a second time.
    """
    compiled = []

    def counted(*arguments):
        compiled.append(arguments[1])
        return compile(*arguments)

    async def handle(handler: From[Handler]):
        return handler.name

    monkeypatch.setattr(load, "compile", counted, raising=False)
    async with Container(app) as container, AsyncExitStack() as stack:
        counts = []
        for number in range(20):
            tenant = await stack.enter_async_context(tenant_of(container, f"tenant {number}"))
            filled = tenant.inject(handle)
            for _ in range(3):
                assert {(await way(tenant)).name for way in WAYS} == {await filled()} == {f"tenant {number}"}
            counts.append(len(compiled))

        assert counts[0] > 0
        assert counts[-1] == counts[0]


async def test_tenants_of_one_shape_have_values_of_their_own(app):
    """
    What an overlay brings along is given by itself, by handles and to what stands on it, and is that of no other one.
    """

    class Holder:
        def __init__(self, name: Name, again: Factory[Name], late: Lazy[Name]):
            self.name, self.again, self.late = name, again, late

    app.register_dependency(Holder, Holder)
    async with Container(app) as container, AsyncExitStack() as stack:
        tenants = [await stack.enter_async_context(tenant_of(container, name)) for name in ("ada", "bob")]
        found = []
        for tenant in (*tenants, *tenants):
            holder = await tenant.get(Holder)
            found.append({holder.name, await holder.again(), await holder.late, await tenant.get(Name), tenant.get_nowait(Name)})

        assert found == [{"ada"}, {"bob"}] * 2


async def test_a_tenant_has_its_value_again_when_it_is_entered_again(app):
    """
    An overlay that is closed and entered again brings the same value along.
    """
    async with Container(app) as container, tenant_of(container, "ada") as ada:
        await ada.aclose()
        with pytest.raises(ClosedError):
            await ada.get(Name)
        async with ada:
            assert await ada.get(Name) == "ada"
            assert [(await way(ada)).name for way in WAYS] == ["ada"] * 3


async def test_what_no_longer_fits_is_told_to_each_tenant(app):
    """
    A registration that comes between two overlays of one shape is checked for the second.
    """
    async with Container(app, check=False) as container, tenant_of(container, "ada") as ada:
        assert (await by_request(ada)).name == "ada"

        class Wrong:
            def __init__(self, name: Name, nothing: bytes):
                pass

        app.register_dependency(Wrong, Wrong)
        for _ in range(2):
            with pytest.raises(MissingDependencyError):
                async with tenant_of(container, "bob") as bob:
                    await bob.get(Wrong)
        with pytest.raises(MissingDependencyError):
            await ada.get(Wrong)


async def test_new_keys_are_for_those_who_say_so(app):
    """
    An overlay at the same place that says new=True is another one than one that does not.
    """

    def opened(container, **more):
        return container.overlay({"motto": "per aspera"}, **more)

    async with Container(app) as container:
        for _ in range(2):
            async with opened(container, new=True) as ada:
                assert await ada.get("motto") == "per aspera"
            with pytest.raises(MissingDependencyError):
                async with opened(container):
                    pass


async def test_tenants_by_a_provider_list_have_factories_of_their_own(app):
    """
    Overlays that are given factories are each what they say.
    """

    def opened(container, name):
        return container.overlay([{"provide": Name, "use_factory": lambda: Name(name), "lifetime": "transient"}])

    async with Container(app) as container, opened(container, "ada") as ada, opened(container, "bob") as bob:
        for _ in range(3):
            for way in WAYS:
                assert [(await way(one)).name for one in (ada, bob, container)] == ["ada", "bob", "nobody"]


async def test_closing_looks_for_blocks_only_where_some_are_open(app, monkeypatch):
    """
    Objects are looked through for blocks that are still open when there are some, and not at every closing.
    """
    asked = []

    def referrers(*objects):
        asked.append(len(objects))
        return gc.get_referrers(*objects)

    monkeypatch.setattr(in_flight, "gc", types.SimpleNamespace(get_referrers=referrers, get_objects=gc.get_objects))
    async with Container(app) as container, AsyncExitStack() as stack:
        for name in ("ada", "bob"):
            async with tenant_of(container, name) as tenant:
                for _ in range(3):
                    await by_request(tenant)
        before = list(asked)
        eve = await stack.enter_async_context(tenant_of(container, "eve"))
        await by_request(eve)
        block = eve.request(Handler)
        handler = await block.__aenter__()
        with pytest.warns(ResourceWarning, match="a request of an overlay of App was still in progress"):
            await eve.aclose()
        await block.__aexit__(None, None, None)

    assert (before, asked) == ([], [1])
    assert not handler.session.open
