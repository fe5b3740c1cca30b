"""What is a scope: its values, its context, its end?"""

import asyncio
import contextvars
import functools
import gc
import warnings
import weakref
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Annotated

import pytest
from helpers import Journal, guarded

from asyncmeta import (
    AsyncDependencyDescriptor,
    AsyncServiceBase,
    CircularDependencyError,
    ClosedError,
    Container,
    FinalizationErrors,
    Inject,
    Lazy,
    Scope,
    ScopeError,
    inject_dependency,
)


class Request:
    """What a scope is opened with."""

    def __init__(self, name="request"):
        self.name = name


class Thing:
    """Something to build."""


def fresh_app(**keywords):
    """Return a service class of its own."""

    class App(AsyncServiceBase, **keywords):
        pass

    return App


def resource(name, steps, kind="async"):
    """Return a generator factory that notes when it opens and closes."""

    def open_now():
        steps.append(f"open {name}")
        try:
            yield name
        finally:
            steps.append(f"close {name}")

    async def open_later():
        steps.append(f"open {name}")
        try:
            yield name
        finally:
            steps.append(f"close {name}")

    return open_later if kind == "async" else open_now


# --- values --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_a_scoped_value_is_one_per_scope(kind):
    """
    A scoped value is shared within its scope and built again in the next one.
    """
    App = fresh_app()

    async def make_later():
        return Thing()

    App.register_dependency("thing", Thing if kind == "sync" else make_later, lifetime="scoped")

    async with Container(App) as container, container.scope() as a, container.scope() as b:
        first, again, other = await a.get("thing"), await a.get("thing"), await b.get("thing")

    assert first is again
    assert first is not other


async def test_singletons_are_the_container_s():
    """
    A singleton asked of a scope is the container's, and outlives the scope.
    """
    steps = []
    App = fresh_app()
    App.register_dependency("thing", resource("thing", steps))

    async with Container(App) as container:
        async with container.scope() as scope:
            value = await scope.get("thing")
        steps.append("scope closed")

        assert await container.get("thing") is value

    assert steps == ["open thing", "scope closed", "close thing"]


async def test_transients_are_new_in_a_scope_and_close_with_it():
    """
    A transient resource is made for each get, and closed with the scope that made it.
    """
    steps = []
    App = fresh_app()
    App.register_dependency("thing", resource("thing", steps), lifetime="transient")

    async with Container(App) as container:
        async with container.scope() as scope:
            await scope.get("thing")
            await scope.get("thing")
        steps.append("after")

    assert steps == ["open thing", "open thing", "close thing", "close thing", "after"]


async def test_scoped_services_have_the_scope_s_values():
    """
    A scoped service's parameters and attributes are those of its scope.
    """

    class Users(AsyncServiceBase, lifetime="scoped"):
        late = AsyncDependencyDescriptor("session")

        def __init__(self, session):
            self.early = session

    App = fresh_app(providers=[Users])
    App.register_dependency("session", lambda: Thing(), lifetime="scoped")

    async with Container(App) as container, container.scope() as one, container.scope() as other:
        users, others = await one.get(Users), await other.get(Users)

        assert users.early is await users.late is await one.get("session")
        assert others.early is await others.late is await other.get("session")
        assert users.early is not others.early


async def test_gather_asks_for_several():
    """
    A scope's gather gives what its gets give, in the order of the tokens.
    """
    App = fresh_app(context=[Request])
    App.register_dependency("scoped", lambda: Thing(), lifetime="scoped")

    @inject_dependency("later", on=App)
    async def make():
        await asyncio.sleep(0)
        return "later"

    request = Request()
    async with Container(App) as container, container.scope({Request: request}) as scope:
        later, again, scoped, given = await scope.gather("later", "later", "scoped", Request)

        assert later == again == "later"
        assert scoped is await scope.get("scoped")
        assert given is request
        assert await scope.gather() == ()


async def test_get_nowait_of_a_scope():
    """
    Sync scoped values can be had without awaiting, and are the scope's.
    """
    App = fresh_app()
    App.register_dependency("thing", lambda: Thing(), lifetime="scoped")

    async with Container(App) as container, container.scope() as scope:
        assert scope.get_nowait("thing") is await scope.get("thing")


async def test_a_scope_s_getter():
    """
    A scope gives getters, which are closed with it.
    """
    App = fresh_app()
    App.register_dependency("thing", lambda: Thing(), lifetime="scoped")

    async with Container(App) as container:
        async with container.scope() as scope:
            getter = scope.getter("thing")
            assert await getter() is await scope.get("thing")
        with pytest.raises(ClosedError):
            await getter()


async def test_the_face_of_a_scope():
    """
    A scope knows its container, its level and whether it is closed.
    """
    async with Container(fresh_app()) as container:
        async with container.scope() as scope:
            assert scope.container is container
            assert scope.level == "scoped"
            assert scope.closed is False
        assert scope.closed is True
        assert not isinstance(scope, Container)
        assert isinstance(scope, Scope)


async def test_one_task_s_wait_does_not_build_twice():
    """
    Tasks that ask one scope for one value share one build.
    """
    begun, go_on, built = asyncio.Event(), asyncio.Event(), []
    App = fresh_app()

    @inject_dependency("thing", on=App, lifetime="scoped")
    async def make():
        built.append(1)
        begun.set()
        await go_on.wait()
        return Thing()

    async with Container(App) as container, container.scope() as scope:
        first = asyncio.create_task(scope.get("thing"))
        await asyncio.wait_for(begun.wait(), 5)
        second = asyncio.create_task(scope.get("thing"))
        await asyncio.sleep(0)
        go_on.set()

        assert await first is await second
    assert built == [1]


async def test_a_waiter_takes_over_a_cancelled_scoped_build():
    """
    When the task that builds a scoped value is cancelled, one that waits builds it anew.
    """
    begun, built = asyncio.Event(), []
    App = fresh_app()

    @inject_dependency("thing", on=App, lifetime="scoped")
    async def make():
        built.append(1)
        if len(built) == 1:
            begun.set()
            await asyncio.Event().wait()
        return "thing"

    async with Container(App) as container, container.scope() as scope:
        first = asyncio.create_task(scope.get("thing"))
        await asyncio.wait_for(begun.wait(), 5)
        second = asyncio.create_task(scope.get("thing"))
        await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first

        assert await asyncio.wait_for(second, 5) == "thing"
    assert len(built) == 2


async def test_a_scope_in_which_something_failed_stays_usable():
    """
    After a failure the scope tries again, and closes what was built.
    """
    steps, fail = [], [True]
    App = fresh_app()
    App.register_dependency("base", resource("base", steps), lifetime="scoped")

    @inject_dependency("top", on=App, lifetime="scoped")
    async def make(base):
        if fail:
            fail.clear()
            raise OSError("down")
        return "top"

    async with Container(App) as container, container.scope() as scope:
        with pytest.raises(OSError, match="down"):
            await scope.get("top")
        assert await scope.get("top") == "top"

    assert steps == ["open base", "close base"]


async def test_a_scoped_factory_that_asks_for_itself_is_told():
    """
    A scoped factory that asks its own scope for its own key is a circle, not a wait for ever.
    """
    App = fresh_app()

    @inject_dependency("async", on=App, lifetime="scoped")
    async def make_later(scope: Scope):
        return await scope.get("async")

    @inject_dependency("sync", on=App, lifetime="scoped")
    def make(scope: Scope):
        return scope.get_nowait("sync")

    async with Container(App) as container, container.scope() as scope:
        with pytest.raises(CircularDependencyError):
            await asyncio.wait_for(scope.get("async"), 5)
        with pytest.raises(CircularDependencyError):
            scope.get_nowait("sync")


async def test_scoped_values_share_task_and_context():
    """
    A scoped generator is set up and torn down in the task and the context of its user.
    """
    variable = contextvars.ContextVar("variable", default="outside")
    tasks = []
    App = fresh_app()

    @inject_dependency("thing", on=App, lifetime="scoped")
    async def make():
        tasks.append(asyncio.current_task())
        token = variable.set("inside")
        yield
        variable.reset(token)
        tasks.append(asyncio.current_task())

    async with Container(App) as container:
        async with container.scope() as scope:
            await scope.get("thing")
            inside = variable.get()
        outside = variable.get()

    assert (inside, outside) == ("inside", "outside")
    assert tasks == [asyncio.current_task()] * 2


# --- context -------------------------------------------------------------------------------------


async def test_context_values_are_handed_in():
    """
    A scope gives what it was opened with, to gets and to parameters.
    """
    App = fresh_app(context=[Request, "user"])

    def make(request: Request, user):
        return request, user

    App.register_dependency("handler", make, lifetime="scoped")
    request = Request()

    async with Container(App) as container, container.scope({Request: request, "user": "ada"}) as scope:
        assert await scope.get(Request) is request
        assert scope.get_nowait("user") == "ada"
        assert await scope.get("handler") == (request, "ada")


async def test_a_scope_says_what_context_it_takes():
    """
    ``takes`` tells which values ``scope`` takes: those declared for the levels that it opens, until they are there.
    """

    class Session: ...

    class Request: ...

    App = fresh_app(scopes=("session", "request"), context={"session": [Session], "request": [Request]})
    async with Container(App) as container:
        assert container.takes(Request) and container.takes(Session) and not container.takes("user")
        assert container.takes(Session, level="session") and container.takes(Session, level="scoped")
        assert container.takes(Request, level="request") and container.takes(Request, level="scoped")
        assert not container.takes(Request, level="session") and not container.takes(Request, level="unknown")
        async with container.scope({Session: Session()}, level="session") as session:
            assert session.takes(Request) and not session.takes(Session)
            async with session.scope({Request: Request()}) as request:
                assert not request.takes(Request)


async def test_none_is_a_context_value():
    """
    A context value may be None or falsy, which is not the same as absent.
    """
    App = fresh_app(context=["user"])

    async with Container(App) as container, container.scope({"user": None}) as scope:
        assert await scope.get("user") is None


async def test_scopes_do_not_see_each_other_s_context():
    """
    Each scope has the context it was opened with, also side by side.
    """
    App = fresh_app(context=["user"])
    App.register_dependency("greeting", lambda user: f"hello {user}", lifetime="scoped")
    both = asyncio.Barrier(2)

    async def handle(container, user):
        async with container.scope({"user": user}) as scope:
            await both.wait()
            return await scope.get("greeting")

    async with Container(App) as container:
        greetings = await asyncio.gather(handle(container, "ada"), handle(container, "bob"))

    assert greetings == ["hello ada", "hello bob"]


async def test_an_absent_context_value_is_a_scope_error():
    """
    A declared value that the scope was not opened with is named when it is asked for.
    """
    App = fresh_app(context=[Request])

    async with Container(App) as container, container.scope() as scope:
        with pytest.raises(ScopeError, match="Request"):
            await scope.get(Request)


async def test_an_undeclared_context_value_is_refused():
    """
    A scope is not opened with what no context declares; the error names it and the way to declare it.
    """
    App = fresh_app(context=[Request])

    async with Container(App) as container:
        with pytest.raises(ScopeError, match="user") as caught:
            async with container.scope({"user": "ada"}):
                pass

    assert "context=" in str(caught.value)


async def test_a_context_value_asked_of_the_container_is_a_scope_error():
    """
    The container itself has no context.
    """
    App = fresh_app(context=[Request])

    with pytest.raises(ScopeError, match="Request"):
        await Container(App).get(Request)


async def test_context_values_are_not_closed():
    """
    What the user hands in stays the user's.
    """
    closed = []

    class Connection:
        def close(self):
            closed.append("close")

        async def __aexit__(self, *args):
            closed.append("exit")

    App = fresh_app(context=[Connection])

    async with Container(App) as container, container.scope({Connection: Connection()}) as scope:
        await scope.get(Connection)

    assert closed == []


async def test_the_mapping_is_not_kept():
    """
    Changing the mapping after the scope was opened changes nothing.
    """
    App = fresh_app(context=["user"])
    context = {"user": "ada"}

    async with Container(App) as container:
        async with container.scope(context) as scope:
            context["user"] = "bob"
            assert await scope.get("user") == "ada"


# --- request -------------------------------------------------------------------------------------


async def test_request_is_scope_and_get_in_one():
    """
    A request opens a scope with its context, gives the value, and closes the scope at the end.
    """
    steps = []

    class Handler(AsyncServiceBase, lifetime="scoped"):
        def __init__(self, session, request: Request):
            self.seen = session, request

    App = fresh_app(context=[Request], providers=[Handler])
    App.register_dependency("session", resource("session", steps), lifetime="scoped")
    request = Request()

    async with Container(App) as container:
        async with container.request(Handler, {Request: request}) as handler:
            assert handler.seen == ("session", request)
            steps.append("body")
        steps.append("after")

    assert steps == ["open session", "body", "close session", "after"]


async def test_requests_have_values_of_their_own():
    """
    Two requests have two values of a scoped key, and one of a singleton.
    """
    App = fresh_app()
    App.register_dependency("scoped", lambda: Thing(), lifetime="scoped")
    App.register_dependency("single", lambda: Thing())

    async with Container(App) as container:
        async with container.request("scoped") as one, container.request("scoped") as other:
            assert one is not other
        async with container.request("single") as one, container.request("single") as other:
            assert one is other


async def test_a_failing_request_closes_what_it_opened():
    """
    When the value of a request cannot be built, what was opened for it is closed, and the error passes through.
    """
    steps = []
    App = fresh_app()
    App.register_dependency("session", resource("session", steps), lifetime="scoped")

    @inject_dependency("handler", on=App, lifetime="scoped")
    async def make(session):
        raise OSError("refused")

    async with Container(App) as container:
        with pytest.raises(OSError, match="refused"):
            async with container.request("handler"):
                steps.append("body")
        steps.append("after")

    assert steps == ["open session", "close session", "after"]


async def test_the_body_s_error_reaches_a_request_s_resources():
    """
    A session may roll back when the body of the request raises; the error propagates.
    """
    steps = []
    App = fresh_app()

    @inject_dependency("session", on=App, lifetime="scoped")
    async def make():
        try:
            yield "session"
        except OSError:
            steps.append("rollback")
            raise
        else:
            steps.append("commit")

    async with Container(App) as container:
        async with container.request("session"):
            pass
        with pytest.raises(OSError, match="body"):
            async with container.request("session"):
                raise OSError("body")

    assert steps == ["commit", "rollback"]


# --- the end of a scope --------------------------------------------------------------------------


async def test_a_scope_closes_in_reverse():
    """
    Scoped resources, sync and async, close in the reverse of the order in which they were completed.
    """
    steps = []
    App = fresh_app()
    for name, kind in (("a", "async"), ("b", "sync"), ("c", "async")):
        App.register_dependency(name, resource(name, steps, kind), lifetime="scoped")

    async with Container(App) as container, container.scope() as scope:
        for name in "bca":
            await scope.get(name)

    assert steps == ["open b", "open c", "open a", "close a", "close c", "close b"]


async def test_all_finalizers_run_and_their_errors_are_one_group():
    """
    A failing finalizer keeps no other from running.
    """
    steps = []
    App = fresh_app()

    def opener(name):
        async def open_later():
            yield
            steps.append(name)
            raise OSError(name)

        return open_later

    for name in "abc":
        App.register_dependency(name, opener(name), lifetime="scoped")

    async with Container(App) as container:
        with pytest.raises(FinalizationErrors) as caught:
            async with container.scope() as scope:
                for name in "abc":
                    await scope.get(name)

    assert steps == ["c", "b", "a"]
    assert [str(error) for error in caught.value.exceptions] == ["c", "b", "a"]


async def test_a_cancelled_body_closes_everything():
    """
    A cancellation in the body of a scope closes what was opened, and propagates.
    """
    steps, begun = [], asyncio.Event()
    App = fresh_app()
    App.register_dependency("thing", resource("thing", steps), lifetime="scoped")

    async with Container(App) as container:

        async def work():
            async with container.scope() as scope:
                await scope.get("thing")
                begun.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(work())
        await asyncio.wait_for(begun.wait(), 5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert steps == ["open thing", "close thing"]


async def test_a_closed_scope_is_closed():
    """
    A scope that has ended hands out nothing, cached or not.
    """
    App = fresh_app()
    App.register_dependency("thing", lambda: Thing(), lifetime="scoped")
    App.register_value("value", "value")

    async with Container(App) as container:
        async with container.scope() as scope:
            await scope.get("thing")

        for token in ("thing", "value"):
            with pytest.raises(ClosedError):
                await scope.get(token)
            with pytest.raises(ClosedError):
                scope.get_nowait(token)
        with pytest.raises(ClosedError):
            await scope.gather("thing")


async def test_a_scope_can_be_closed_by_hand():
    """
    A scope may be opened without a block, and closed once with aclose.
    """
    steps = []
    App = fresh_app()
    App.register_dependency("thing", resource("thing", steps), lifetime="scoped")

    async with Container(App) as container:
        scope = container.scope()
        await scope.get("thing")
        await scope.aclose()
        await scope.aclose()

        assert scope.closed

    assert steps == ["open thing", "close thing"]


async def test_a_scope_s_instances_are_freed():
    """
    What a scope made is freed with it.
    """
    App = fresh_app()
    App.register_dependency("thing", lambda: Thing(), lifetime="scoped")
    alive = weakref.WeakSet()

    async with Container(App) as container:
        for _ in range(200):
            async with container.scope() as scope:
                alive.add(await scope.get("thing"))
        del scope
        gc.collect()

        assert len(alive) == 0


async def test_a_forgotten_scope_is_said():
    """
    A container that closes with a scope still open closes that too, and warns.
    """
    steps = []
    App = fresh_app()
    App.register_dependency("thing", resource("thing", steps), lifetime="scoped")

    container = Container(App)
    scope = container.scope()
    await scope.get("thing")
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        await container.aclose()

    assert steps == ["open thing", "close thing"]
    assert [warning.category for warning in seen] == [ResourceWarning]
    with pytest.raises(ClosedError):
        await scope.get("thing")


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_a_forgotten_scope_is_closed_where_warnings_are_errors(kind):
    """
    Where warnings are errors the container and its scopes are closed all the same, and the warning is raised.
    """
    steps = []
    App = fresh_app()
    App.register_dependency("thing", resource("thing", steps, kind), lifetime="scoped")

    container = Container(App)
    scopes = [container.scope(), container.scope()]
    for scope in scopes:
        assert await scope.get("thing")
    with pytest.raises((ResourceWarning, FinalizationErrors)) as caught:
        if kind == "sync":
            container.close()
        else:
            await container.aclose()

    assert steps == ["open thing"] * 2 + ["close thing"] * 2
    assert container.closed
    assert "still open" in str(getattr(caught.value, "exceptions", [caught.value])[0])


def test_sync_scopes():
    """
    With plain `with` a scope builds and closes sync values.
    """
    steps = []
    App = fresh_app(context=["user"])
    App.register_dependency("thing", resource("thing", steps, "sync"), lifetime="scoped")
    App.register_dependency("greeting", lambda user, thing: f"hello {user}", lifetime="scoped")

    with Container(App) as container:
        with container.scope({"user": "ada"}) as scope:
            assert scope.get_nowait("greeting") == "hello ada"
        with pytest.raises(ClosedError):
            scope.get_nowait("greeting")

    assert steps == ["open thing", "close thing"]


def test_the_body_s_error_reaches_a_sync_scope():
    """
    A plain `with` throws the body's exception into its generators as well.
    """
    steps = []
    App = fresh_app()

    @inject_dependency("session", on=App, lifetime="scoped")
    def make():
        try:
            yield
        except OSError:
            steps.append("rollback")
            raise

    with Container(App) as container, pytest.raises(OSError, match="body"), container.scope() as scope:
        scope.get_nowait("session")
        raise OSError("body")

    assert steps == ["rollback"]


def test_a_request_is_entered_without_a_loop_as_often_as_one_likes():
    """
    ``with container.request(...)`` opens a scope and closes it, the first time and ever after, also between awaited ones.
    """
    journal = Journal()
    app = fresh_app()

    def session():
        with journal.noting("session"):
            yield object()

    app.register_dependency("session", session, lifetime="scoped")

    async def awaited(container):
        async with container.request("session") as made:
            return made

    with Container(app) as container:
        made = []
        for _ in range(4):
            with container.request("session") as one:
                made.append(one)
            made.append(asyncio.run(awaited(container)))

    assert len(set(map(id, made))) == len(made) == 8
    assert journal == ["+session", "-session"] * 8


@guarded
async def test_scopes_that_compiled_code_builds_may_wait_for_a_singleton_on_its_way():
    """
    However often a scoped factory was called before, its next calls may wait together for a singleton that is being built.
    """
    App, begun, ask = fresh_app(), [], False

    @inject_dependency("late", on=App)
    async def make_late():
        begun.append("late")
        await asyncio.sleep(0)
        return "late"

    @inject_dependency("user", on=App, lifetime="scoped")
    async def make_user(late: Annotated[Lazy[str], Inject("late")]):
        await asyncio.sleep(0)
        return await late if ask else None

    async def one():
        async with container.scope() as scope:
            return await scope.get("user")

    async with Container(App) as container:
        for _ in range(5):
            await one()
        ask = True
        users = await asyncio.gather(*(one() for _ in range(8)))

    assert users == ["late"] * 8
    assert begun == ["late"]


# --- functions that make services, cold and hot ------------------------------------------------------


class Clock:
    pass


class Desk(AsyncServiceBase, lifetime="scoped"):
    clock = AsyncDependencyDescriptor(Clock)


def plainly() -> Desk:
    return Desk()


async def later() -> Desk:
    return Desk()


def for_a_while() -> Iterator[Desk]:
    yield Desk()


async def for_a_while_later() -> AsyncIterator[Desk]:
    yield Desk()


@pytest.mark.parametrize("lifetime", ["scoped", "transient"])
@pytest.mark.parametrize("make", [plainly, later, for_a_while, for_a_while_later])
async def test_a_service_that_a_function_makes_is_of_the_scope(make, lifetime):
    """
    However it is made, and however often that was done: what the service asks for comes from the scope that it was made in.
    """
    App = fresh_app(providers=[Clock])
    App.register_dependency(Desk, make, lifetime=lifetime)
    async with Container(App) as container:
        clock = await container.get(Clock)

        for _ in range(30):
            async with container.scope() as scope:
                desk = await scope.get(Desk)

                assert await desk.clock is clock


@pytest.mark.parametrize("make", [plainly, for_a_while])
def test_a_service_that_a_function_makes_without_a_loop_is_of_the_scope(make):
    """
    So it is where nothing is awaited.
    """
    App = fresh_app(providers=[Clock])
    App.register_dependency(Desk, make, lifetime="scoped")
    with Container(App) as container:
        clock = container.get_nowait(Clock)

        for _ in range(30):
            with container.scope() as scope:
                assert scope.get_nowait(Desk).clock.nowait() is clock


# --- many at once -----------------------------------------------------------------------------------


class Everything:
    def __init__(
        self,
        both: Annotated[tuple[str, ...], Inject("word")],
        named: Annotated[Mapping[str, str], Inject("word")],
        scope: Scope,
    ):
        self.both, self.named, self.scope = both, named, scope


async def test_members_are_gathered_as_asked_for_in_every_scope():
    """
    A tuple of the members of a scope, and a mapping of those with names, are the same in the hundredth scope as in the first.
    """
    App = fresh_app()
    for name in ("hello", "bye"):
        App.register_dependency("word", functools.partial(str.upper, name), multi=name, lifetime="scoped")
    App.register_dependency(Everything, Everything, lifetime="scoped")

    async with Container(App) as container:
        for _ in range(30):
            async with container.scope() as scope:
                made = await scope.get(Everything)

                assert made.both == ("HELLO", "BYE")
                assert made.named == {"hello": "HELLO", "bye": "BYE"}
                assert made.scope is scope


@pytest.mark.parametrize("context", [[("user", "Ada")], "user", 3])
def test_the_context_of_a_scope_is_a_mapping(context):
    """
    What a scope brings along is given by token.
    """
    App = fresh_app(context=["user"])

    with pytest.raises(ScopeError, match="the context of a scope is a mapping from tokens to values, not a"):
        Container(App).scope(context)


@pytest.mark.parametrize("hot", [False, True], ids=["cold", "hot"])
@guarded
async def test_a_factory_that_asks_for_what_needs_its_own_value_is_told(hot):
    """
    A circle that closes only as a factory asks its scope is an error and no waiting, also where code is generated by then.
    """
    App, asks = fresh_app(), False

    async def first(scope: Scope):
        return await scope.get("second") if asks else "first"

    async def second(first):
        return first

    App.register_dependency("first", first, lifetime="scoped")
    App.register_dependency("second", second, lifetime="scoped")
    async with Container(App) as container:
        for _ in range(5 if hot else 0):
            async with container.scope() as scope:
                assert await scope.get("first") == "first"
        asks = True
        async with container.scope() as scope:
            with pytest.raises(CircularDependencyError):
                await scope.get("first")
