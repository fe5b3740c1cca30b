"""Middleware stands around every build: sees it, times it, replaces its value, refuses it."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Iterator
from typing import Annotated

import pytest
from helpers import Journal, fresh_app, guarded, named, outcome, settled

from asyncmeta import (
    AsyncDependencyDescriptor,
    AsyncDependencyError,
    AsyncServiceBase,
    Container,
    DeclarationError,
    Factory,
    Inject,
    Lazy,
    Scope,
    inject_dependency,
)


class Database:
    pass


class Session:
    def __init__(self, database=None):
        self.database = database


def noting(journal, name=""):
    """Return middleware that notes when a build begins and ends."""

    async def middleware(build, call):
        journal.append(f"+{name}{build.key}")
        value = await call()
        journal.append(f"-{name}{build.key}")
        return value

    return middleware


def noting_sync(journal, name=""):
    """Return the same without await."""

    def middleware(build, call):
        journal.append(f"+{name}{build.key}")
        value = call()
        journal.append(f"-{name}{build.key}")
        return value

    return middleware


async def make_database():
    return Database()


# --- what it sees --------------------------------------------------------------------------------


async def test_it_sees_key_lifetime_place_and_parent():
    """
    A build says what it makes, how long that lives, where its factory was written and what it is made for.
    """
    app, seen = fresh_app(), {}

    @inject_dependency(Database, on=app)
    async def open_database(): ...

    @inject_dependency(on=app, lifetime="scoped")
    async def open_session(database: Database, cache: "Cache") -> Session: ...

    class Cache(AsyncServiceBase, lifetime="transient"):
        pass

    open_session.__annotations__["cache"] = Cache

    async def middleware(build, call):
        seen[build.key] = build
        return await call()

    async with Container(app, middleware=[middleware]) as container, container.scope() as scope:
        await scope.get(Session)

    line = inspect.getsourcelines(open_database)[1]
    assert {key: build.lifetime for key, build in seen.items()} == {
        "Database": "singleton", "Session": "scoped", "Cache": "transient",
    }  # fmt: skip
    assert seen["Database"].where.endswith(f"test_middleware.py:{line}")
    assert {key: build.parent and build.parent.key for key, build in seen.items()} == {
        "Database": "Session", "Session": None, "Cache": "Session",
    }  # fmt: skip
    assert seen["Session"].parent is None


async def test_the_parent_is_the_build_that_is_told_of_later():
    """
    What a value is built for, and that build itself when it comes, are one object.
    """
    app, seen = fresh_app(), {}
    app.register_dependency("a", lambda: 1)
    app.register_dependency("b", lambda a: a + 1)
    app.register_dependency("c", lambda b: b + 1, lifetime="scoped")

    async def middleware(build, call):
        seen[build.key] = build
        return await call()

    async with Container(app, middleware=[middleware]) as container, container.scope() as scope:
        assert await scope.get("c") == 3

    assert seen['"a"'].parent is seen['"b"']
    assert seen['"b"'].parent is seen['"c"']


async def test_what_a_factory_asks_for_itself_is_built_for_it():
    """
    A value that a running factory asks the container for has that build as its parent.
    """
    app, seen = fresh_app(), {}

    @inject_dependency("inner", on=app)
    async def inner():
        return 1

    @inject_dependency("outer", on=app)
    async def outer(container: Container):
        return await container.get("inner")

    async def middleware(build, call):
        seen[build.key] = build
        return await call()

    async with Container(app, middleware=[middleware]) as container:
        await container.get("outer")

    assert seen['"inner"'].parent is seen['"outer"']


def test_a_build_says_nothing_that_can_be_changed():
    """
    The facts about a build are read, not written, and hold no value.
    """
    app, seen = fresh_app(), []
    app.register_dependency("secret", lambda: "hunter2")
    with Container(app, middleware=[lambda build, call: (seen.append(build), call())[1]]) as container:
        container.get_nowait("secret")
    (build,) = seen

    for name in ("key", "lifetime", "where", "parent"):
        with pytest.raises(AttributeError):
            setattr(build, name, "x")
    assert "hunter2" not in repr(build)


# --- order ---------------------------------------------------------------------------------------


async def test_the_first_is_the_outermost():
    """
    Middleware of the container stands around that of the application, this around its bases'; within a list the first does.
    """
    journal = Journal()

    class Base(AsyncServiceBase, middleware=[noting(journal, "base ")]):
        pass

    class App(Base, middleware=[noting(journal, "one "), noting(journal, "two ")]):
        pass

    App.register_dependency("x", make_database)
    async with Container(App, middleware=[noting(journal, "container ")]) as container:
        await container.get("x")

    names = [line[1:] for line in journal if line[0] == "+"]
    assert names == ['container "x"', 'one "x"', 'two "x"', 'base "x"']
    assert journal == [f"+{name}" for name in names] + [f"-{name}" for name in reversed(names)]


@pytest.mark.parametrize("lifetime", ["singleton", "scoped", "transient"])
@pytest.mark.parametrize("kind", ["sync", "async", "generator", "async generator", "class", "service"])
@pytest.mark.parametrize("around", ["async", "sync", "both"])
async def test_every_kind_of_factory_is_run_through_it(kind, lifetime, around):
    """
    Every factory, of every kind and lifetime, is called once for each value, inside of all middleware.
    """
    app, journal = fresh_app(), Journal()

    async def make():
        return 1

    def generate() -> Iterator[int]:
        yield 1
        journal.append("closed")

    async def generate_async() -> AsyncIterator[int]:
        yield 1
        journal.append("closed")

    class Service(AsyncServiceBase):
        async def on_shutdown(self):
            journal.append("closed")

    factory = {
        "sync": lambda: 1, "async": make, "generator": generate, "async generator": generate_async, "class": Database,
        "service": Service,
    }[kind]  # fmt: skip
    app.register_dependency("x", factory, lifetime=lifetime)
    middleware = {
        "async": [noting(journal)], "sync": [noting_sync(journal)], "both": [noting_sync(journal), noting(journal)],
    }[around]  # fmt: skip

    async with Container(app, middleware=middleware) as container, container.scope() as scope:
        value = await scope.get("x")
        again = await scope.get("x")

    times = 2 if lifetime == "transient" else 1
    name = "Service" if kind == "service" else '"x"'
    assert len([line for line in journal if line[0] == "+"]) == times * len(middleware)
    assert set(journal) <= {f"+{name}", f"-{name}", "+" + '"x"', "-" + '"x"', "closed"}
    assert journal.count("closed") == (times if kind in ("generator", "async generator", "service") else 0)
    assert isinstance(value, (int, Database, Service))
    assert lifetime == "transient" or again is value


async def test_values_and_context_are_not_built():
    """
    What was there already is handed over without any middleware.
    """
    app, journal = fresh_app(context=["request"]), Journal()
    app.register_value("config", 1)
    app.register_dependency("both", lambda config, request: (config, request), lifetime="scoped")

    async with Container(app, middleware=[noting(journal)]) as container, container.scope({"request": 2}) as scope:
        assert await scope.get("both") == (1, 2)

    assert journal == ['+"both"', '-"both"']


async def test_a_service_that_starts_is_one_build():
    """
    A service with on_startup is told of once, and its middleware stands around its start.
    """
    journal = Journal()

    class Users(AsyncServiceBase):
        async def on_startup(self):
            journal.append("started")

    class App(AsyncServiceBase, providers=[Users]):
        pass

    async with Container(App, middleware=[noting(journal)]) as container:
        await container.get(Users)

    assert journal == ["+Users", "started", "-Users"]


async def test_handles_and_lists_are_run_through_it():
    """
    What is made by a Factory, fetched by a Lazy or a descriptor, or listed by All is built inside of middleware, too.
    """
    app, journal = fresh_app(), Journal()
    app.register_dependency("part", lambda: 1, multi=True)
    app.register_dependency("part", lambda: 2, multi=True)
    app.register_dependency(Database, Database, lifetime="transient")
    app.register_dependency(Session, Session)

    class Users(AsyncServiceBase):
        session = AsyncDependencyDescriptor(Session)

        def __init__(self, make: Factory[Database], parts: Annotated[list[int], Inject("part")], session: Lazy[Session]):
            self.make, self.parts, self.lazy = make, parts, session

    async with Container(app, middleware=[noting(journal)]) as container:
        users = await container.get(Users)
        await users.make()
        await users.session
        await users.lazy
        journal_of = [line for line in journal if line[0] == "+"]

    assert users.parts == [1, 2]
    assert journal_of == ['+"part"', '+"part"', "+Users", "+Database", "+Session"]


# --- what it may do --------------------------------------------------------------------------------


@pytest.mark.parametrize("lifetime", ["singleton", "scoped", "transient"])
async def test_it_may_replace_the_value(lifetime):
    """
    What middleware returns is the value, for everybody who asks.
    """
    app = fresh_app()
    app.register_dependency("x", make_database, lifetime=lifetime)
    app.register_dependency("user", lambda x: x, lifetime=lifetime)
    other = object()

    async def middleware(build, call):
        made = await call()
        assert build.key == '"user"' or isinstance(made, Database)
        return other

    async with Container(app, middleware=[middleware]) as container, container.scope() as scope:
        assert await scope.get("user") is other
        assert await scope.get("x") is other


async def test_what_it_replaces_is_closed_all_the_same():
    """
    A generator whose value was replaced, or refused, still runs its finalizer.
    """
    app, journal = fresh_app(), Journal()

    @inject_dependency("x", on=app)
    async def make() -> AsyncIterator[int]:
        with journal.noting("x"):
            yield 1

    async def refuse(build, call):
        await call()
        raise ValueError("refused")

    async def replace(build, call):
        return await call() + 1

    async with Container(app, middleware=[replace]) as container:
        assert await container.get("x") == 2
    async with Container(app, middleware=[refuse]) as container:
        with pytest.raises(ValueError, match="refused"):
            await container.get("x")

    assert journal == ["+x", "-x", "+x", "-x"]


async def test_it_may_refuse():
    """
    What middleware raises reaches the caller with the path note, is not kept, and the factory need never be called.
    """
    app, journal, refuses = fresh_app(), Journal(), [True]
    app.register_dependency("x", lambda: journal.append("+x"))
    app.register_dependency("user", lambda x: 1)

    async def middleware(build, call):
        if refuses and build.key == '"x"':
            raise PermissionError("not now")
        return await call()

    async with Container(app, middleware=[middleware]) as container:
        with pytest.raises(PermissionError, match="not now") as caught:
            await container.get("user")
        refuses.clear()
        assert await container.get("user") == 1

    assert caught.value.__notes__[0].startswith('asyncmeta: while building "x" (')
    assert journal == ["+x"]


async def test_a_replacing_service_belongs_to_the_scope():
    """
    A service that middleware puts in the place of another one can fetch its attributes.
    """

    class Users(AsyncServiceBase, lifetime="scoped"):
        database = AsyncDependencyDescriptor("database")

    class Counting(Users):
        pass

    app = fresh_app()
    app.register_dependency("database", lambda: 7)

    async def middleware(build, call):
        await call()
        return Counting() if build.key == "Users" else 7

    async with Container(app, middleware=[middleware]) as container, container.scope() as scope:
        users = await scope.get(Users)
        assert type(users) is Counting
        assert await users.database == 7
        assert Scope.of(users) is scope


async def test_it_may_try_again():
    """
    Middleware that calls once more after a failure calls the factory once more.
    """
    app, left = fresh_app(), [2]

    @inject_dependency("x", on=app)
    async def flaky():
        if left[0]:
            left[0] -= 1
            raise ConnectionError
        return "there"

    async def retrying(build, call):
        for _ in range(2):
            try:
                return await call()
            except ConnectionError:
                pass
        return await call()

    async with Container(app, middleware=[retrying]) as container:
        assert await container.get("x") == "there"


async def test_awaitable_values_are_handed_over_as_they_are():
    """
    A value that could be awaited is not, neither by async nor by sync middleware around a factory of either kind.
    """
    app = fresh_app()
    futures = [asyncio.get_running_loop().create_future() for _ in range(2)]
    app.register_dependency("sync", lambda: futures[0])

    @inject_dependency("async", on=app)
    async def make():
        return futures[1]

    journal = Journal()
    async with Container(app, middleware=[noting_sync(journal), noting(journal), noting_sync(journal)]) as container:
        assert await container.get("sync") is futures[0]
        assert await container.get("async") is futures[1]


# --- without a loop ----------------------------------------------------------------------------------


@pytest.mark.parametrize("lifetime", ["singleton", "scoped", "transient"])
@pytest.mark.parametrize("kind", ["sync", "generator"])
def test_sync_middleware_needs_no_loop(kind, lifetime):
    """
    Sync middleware gets the value itself and works without a loop; so does async middleware that has nothing to wait for.
    """
    app, journal, got = fresh_app(), Journal(), []

    def generate() -> Iterator[int]:
        with journal.noting("value"):
            yield 1

    app.register_dependency("x", (lambda: 1) if kind == "sync" else generate, lifetime=lifetime)

    def doubling(build, call):
        got.append(call())
        return got[-1] * 2

    async def adding(build, call):
        return await call() + 1

    with Container(app, middleware=[adding, doubling]) as container, container.scope() as scope:
        assert scope.get_nowait("x") == 3
        assert scope.get_nowait("x") == 3

    assert set(got) == {1}
    assert journal == [] if kind == "sync" else journal[-1] == "-value"


@pytest.mark.parametrize("lifetime", ["singleton", "scoped"])
def test_middleware_that_waits_needs_a_loop(lifetime):
    """
    Where nothing can be awaited, middleware that waits is refused, and the value can be asked for again.
    """
    app, waits = fresh_app(), [True]
    app.register_dependency("x", lambda: 1, lifetime=lifetime)

    async def middleware(build, call):
        if waits:
            await asyncio.sleep(0)
        return await call()

    with Container(app, middleware=[middleware]) as container, container.scope() as scope:
        with pytest.raises(AsyncDependencyError):
            scope.get_nowait("x")
        waits.clear()
        assert scope.get_nowait("x") == 1


@guarded
async def test_sync_singletons_wait_for_async_middleware_side_by_side():
    """
    Sync singletons whose middleware waits are built in tasks of the container, and beside each other.
    """
    app, both = fresh_app(), asyncio.Barrier(2)
    app.register_dependency("a", lambda: 1)
    app.register_dependency("b", lambda: 2)

    async def meeting(build, call):
        await both.wait()
        return await call()

    async with Container(app, middleware=[meeting]) as container:
        await container.start("a", "b")
        assert container.get_nowait("a") + container.get_nowait("b") == 3


@guarded
async def test_one_build_for_many_tasks_is_run_through_it_once():
    """
    Tasks that ask at the same time share one build, and its middleware; a cancelled one only stops waiting.
    """
    app, journal, gate = fresh_app(), Journal(), asyncio.Event()
    app.register_dependency("x", object)

    async def waiting(build, call):
        journal.append(f"+{build.key}")
        await gate.wait()
        return await call()

    async with Container(app, middleware=[waiting]) as container:
        tasks = [asyncio.create_task(container.get("x")) for _ in range(3)]
        await settled()
        tasks[0].cancel()
        assert isinstance(await outcome(tasks[0]), asyncio.CancelledError)
        gate.set()
        one, other = await asyncio.gather(*tasks[1:])

    assert one is other
    assert journal == ['+"x"']


async def test_overlays_are_run_through_it():
    """
    What an overlay builds is built inside of the container's middleware.
    """
    app, journal = fresh_app(), Journal()
    app.register_dependency("x", lambda: 1)
    app.register_dependency("y", lambda x: x + 1)

    async with Container(app, middleware=[noting(journal)]) as container:
        await container.get("y")
        async with container.overlay({"x": 10}) as overlay:
            assert await overlay.get("y") == 11

    assert [line for line in journal if line[0] == "+"] == ['+"x"', '+"y"', '+"y"']


# --- what is refused ---------------------------------------------------------------------------------


@pytest.mark.parametrize("middleware", [3, "timed", [3], make_database, [None]], ids=named)
def test_what_cannot_be_called_is_refused(middleware):
    """
    Middleware is a list of callables; anything else is refused where the container is made.
    """
    with pytest.raises(DeclarationError, match="middleware"):
        Container(fresh_app(), middleware=middleware)


def test_a_class_keyword_that_cannot_be_called_is_refused():
    """
    The same holds for the class keyword, when its container is made.
    """
    with pytest.raises(DeclarationError, match="middleware"):
        Container(fresh_app(middleware=[3]))


@guarded
async def test_who_takes_over_constructs_a_service_anew():
    """
    A service whose start was cancelled with its caller is constructed and started anew by one who waited for it.
    """
    journal, gate = Journal(), asyncio.Event()

    class Users(AsyncServiceBase, lifetime="scoped"):
        def __init__(self):
            journal.append("+Users")

        async def on_startup(self):
            await gate.wait()
            journal.append("started")

    async with Container(fresh_app(), middleware=[lambda build, call: call()]) as container, container.scope() as scope:
        tasks = [asyncio.create_task(scope.get(Users)) for _ in range(2)]
        await settled()
        tasks[0].cancel()
        await settled()
        gate.set()
        assert type(await tasks[1]) is Users

    assert journal == ["+Users", "+Users", "started"]


async def test_the_key_itself():
    """
    A build gives the key as it was registered, beside its name: a class under another key, a string, a generic's form.
    """
    seen = {}
    app = fresh_app()
    app.register_dependency(Session, lambda: Session(), lifetime="scoped")
    app.register_dependency("name", lambda: "ada")
    app.register_dependency(list[int], lambda: [1])
    app.register_dependency(Port, Adapter)

    async def middleware(build, call):
        seen[build.key] = build.token
        return await call()

    async with Container(app, middleware=[middleware]) as container, container.scope() as scope:
        for token in (Session, "name", list[int], Port):
            await scope.get(token)

    assert seen == {"Session": Session, '"name"': "name", "list[int]": list[int], "Adapter": Port}


class Port:
    pass


class Adapter(Port):
    pass


class Desk(AsyncServiceBase):
    database: AsyncDependencyDescriptor[Database]


Desk.register_dependency(Database, Database)


@pytest.mark.parametrize("around", [[], [lambda build, make: make()]], ids=["without", "with"])
async def test_what_belongs_to_itself_still_does(around):
    """
    A service that a factory made by hand for another key is its own root, whether middleware stands around the factory or not.
    """
    App = fresh_app(middleware=around)
    App.register_dependency("desk", lambda: Desk())
    async with Container(App) as container:
        desk = await container.get("desk")

    assert type(await desk.database) is Database
