"""Rule 9: scopes within scopes, such as a session and its requests."""

import asyncio
import re
from typing import Annotated

import pytest
from helpers import Journal, fresh_app, outcome, problems, settled

from asyncmeta import (
    AsyncDependencyDescriptor,
    AsyncServiceBase,
    CaptiveDependencyError,
    ClosedError,
    Container,
    ContainerError,
    FinalizationErrors,
    GraphErrors,
    Inject,
    Lazy,
    Lifetime,
    Scope,
    ScopeError,
    inject_dependency,
)

LEVELS = ("session", "request")


class WebSocket:
    pass


class Message:
    pass


def levelled(**keywords):
    """Return an application of two levels with a value on each, named by its level."""
    App = fresh_app(scopes=LEVELS, **keywords)
    App.register_dependency("of container", object)
    App.register_dependency("of session", object, lifetime="session")
    App.register_dependency("of request", object, lifetime="request")
    return App


# --- where values live ------------------------------------------------------------------------------------


async def test_a_value_lives_at_its_level():
    """
    A value is shared within the scope of its level: requests of one session share the session's values, not their own.
    """
    async with Container(levelled()) as container:
        async with container.scope(level="session") as session, container.scope(level="session") as stranger:
            async with session.scope() as one, session.scope() as two, stranger.scope() as other:
                keys = ("of container", "of session", "of request")
                found = [await scope.gather(*keys) for scope in (one, two, other, one)]

    first, same_session, other_session, again = found
    assert [a is b for a, b in zip(first, same_session, strict=True)] == [True, True, False]
    assert [a is b for a, b in zip(first, other_session, strict=True)] == [True, False, False]
    assert first == again


async def test_the_outer_scope_has_the_same_value():
    """
    What a request takes from its session is the session's: asked there it is the same, whoever asks first.
    """
    async with Container(levelled()) as container, container.scope(level="session") as session:
        async with session.scope() as request:
            inner = await request.get("of session")
        outer = await session.get("of session")
        async with session.scope() as request:
            again = await request.get("of session")

    assert inner is outer is again


@pytest.mark.parametrize("lifetime", ["scoped", "request", Lifetime("request"), Lifetime.SCOPED])
async def test_scoped_is_the_innermost_level(lifetime):
    """
    "scoped" is always the innermost level, and its name means the same.
    """
    App = fresh_app(scopes=LEVELS)
    App.register_dependency("value", object, lifetime=lifetime)

    async with Container(App) as container, container.scope(level="session") as session:
        outside = await outcome(session.get("value"))
        async with session.scope() as one, session.scope() as two:
            assert await one.get("value") is await one.get("value") is not await two.get("value")

    assert isinstance(outside, ScopeError)
    assert "request" in str(outside)


async def test_a_lifetime_is_named_by_a_lifetime():
    """
    Lifetime("session") in a class statement and in a decorator is the level of that name.
    """

    class Cart(AsyncServiceBase, lifetime=Lifetime("session")):
        pass

    class App(AsyncServiceBase, scopes=LEVELS, providers=[Cart]):
        @inject_dependency("basket", lifetime=Lifetime("session"))
        def make_basket(self, cart: Cart):
            return cart

    async with Container(App) as container, container.scope(level="session") as session:
        async with session.scope() as one, session.scope() as two:
            carts = [await one.get(Cart), await two.get(Cart), await two.get("basket")]
        home = Scope.of(carts[0])

    assert carts[0] is carts[1] is carts[2]
    assert home is session


async def test_transients_are_new_at_every_level():
    """
    A transient value is made where it is asked for, at every level that has what it takes.
    """
    App = levelled()

    class OfSession:
        def __init__(self, value: Annotated[object, Inject("of session")]):
            self.value = value

    App.register_dependency(OfSession, OfSession, lifetime="transient")

    async with Container(App) as container, container.scope(level="session") as session, session.scope() as request:
        outside = await outcome(container.get(OfSession))
        found = [await scope.get(OfSession) for scope in (session, request, request)]

    assert isinstance(outside, ScopeError)
    assert len(set(map(id, found))) == 3
    assert len({id(one.value) for one in found}) == 1


async def test_generated_code_reads_outer_levels():
    """
    The value of an outer level is taken, or built there, by generated code as it is call by call.
    """
    App, built = fresh_app(scopes=("world", "session", "request")), []

    async def value(name, *parts):
        built.append(name)
        return (name, *parts)

    @inject_dependency("w", lifetime="world", on=App)
    async def world():
        return await value("w")

    @inject_dependency("s", lifetime="session", on=App)
    async def session(w):
        return await value("s", w)

    @inject_dependency("r", lifetime="request", on=App)
    async def request(s, w):
        return await value("r", s, w)

    async with Container(App) as container:
        for _ in range(4):
            async with container.scope(level="world") as world, world.scope(level="session") as session:
                found = []
                for _ in range(4):
                    async with session.scope() as scope:
                        found.append(await scope.get("r"))
                        assert found[-1] is await scope.get("r")
                assert all(one[1] is found[0][1] and one[2] is found[0][2] for one in found)
                assert await world.get("w") is found[0][2] is found[0][1][1]

    assert built == ["w", "s", "r", "r", "r", "r"] * 4


def test_generated_code_reads_an_outer_value_without_a_call():
    """
    The source of a request's root reads the list of the session's values: no call stands between.
    """
    from asyncmeta._solve.emit import emit_root
    from asyncmeta._solve.plan import plan_of

    App = fresh_app(scopes=LEVELS)
    App.register_dependency("s", object, lifetime="session")
    App.register_dependency("r", lambda s: [s], lifetime="request")
    graph = Container(App)._graph
    text = emit_root(plan_of(graph, graph.find(None, "r").target), 2).text

    assert "    scope1 = scope._parent\n    values1 = scope1._values\n" in text
    held = re.search(r"\((s\d) := values1\[0\]\)", text)
    assert held is not None
    assert re.search(rf"f\d\({held[1]}\)", text)


async def test_tasks_of_two_requests_share_one_build_of_the_session():
    """
    A session's value that requests in two tasks ask for at the same time is built once.
    """
    App, calls, gate = fresh_app(scopes=LEVELS), [], asyncio.Event()

    async def value():
        calls.append(1)
        await gate.wait()
        return object()

    App.register_dependency("value", value, lifetime="session")
    App.register_dependency("user", lambda value: value, lifetime="request")

    async with Container(App) as container, container.scope(level="session") as session:

        async def handle():
            async with session.scope() as request:
                return await request.get("user")

        tasks = [asyncio.create_task(handle()) for _ in range(5)]
        await settled()
        gate.set()
        found = await asyncio.gather(*tasks)

    assert calls == [1]
    assert len(set(map(id, found))) == 1


async def test_a_value_built_through_an_inner_scope_outlives_it():
    """
    What a request has built in its session is torn down with the session, in reverse order of completion.
    """
    App, journal = fresh_app(scopes=LEVELS), Journal()

    @inject_dependency("s", lifetime="session", on=App)
    async def session_value():
        with journal.noting("s"):
            yield "s"

    @inject_dependency("r", lifetime="request", on=App)
    async def request_value(s):
        with journal.noting("r"):
            yield "r"

    async with Container(App) as container:
        async with container.scope(level="session") as session:
            for _ in range(2):
                async with session.scope() as request:
                    await request.get("r")
            journal.append("session ends")

    assert journal == ["+s", "+r", "-r", "+r", "-r", "session ends", "-s"]


# --- opening ------------------------------------------------------------------------------------------------


async def test_levels_by_name():
    """
    scope(level=...) opens the level of that name; without it the innermost; level tells which one a scope is.
    """
    async with Container(levelled()) as container:
        async with (
            container.scope(level="session") as session,
            session.scope(level="request") as named,
            session.scope() as innermost,
            session.scope(level="scoped") as scoped,
        ):
            levels = [scope.level for scope in (container, session, named, innermost, scoped)]
            containers = {scope.container for scope in (container, session, named)}

    assert levels == ["singleton", "session", "request", "request", "request"]
    assert all(isinstance(level, Lifetime) for level in levels)
    assert containers == {container}


async def test_levels_between_are_opened_and_closed_with_it():
    """
    A scope that is opened over a level opens that one, too, and closes it after itself.
    """
    App, journal = fresh_app(scopes=("world", "session", "request")), Journal()
    for level in ("world", "session", "request"):

        def value(name=level):
            with journal.noting(name):
                yield name

        App.register_dependency(f"of {level}", value, lifetime=level)

    async with Container(App) as container:
        async with container.scope() as request:
            for level in ("request", "session", "world"):
                await request.get(f"of {level}")
        journal.append("request closed")
        async with container.scope(level="world") as world:
            async with world.scope() as request:
                await request.gather("of world", "of session", "of request")
            journal.append("request closed")

    assert journal == [
        *("+request", "+session", "+world", "-request", "-session", "-world", "request closed"),
        *("+world", "+session", "+request", "-request", "-session", "request closed", "-world"),
    ]


async def test_a_request_block_opens_all_levels():
    """
    container.request(token) gives a value of any level and closes every level that it opened.
    """
    App, journal = fresh_app(scopes=LEVELS), Journal()

    @inject_dependency("s", lifetime="session", on=App)
    async def session_value():
        with journal.noting("s"):
            yield "s"

    async with Container(App) as container:
        for _ in range(3):
            async with container.request("s") as value:
                journal.append(value)
        async with container.scope(level="session") as session:
            async with session.request("s") as value:
                journal.append(value)
            journal.append("session open")

    assert journal == ["+s", "s", "-s"] * 3 + ["+s", "s", "session open", "-s"]


async def test_levels_that_cannot_be_opened():
    """
    A level that is not there, or not inside of the scope that is asked, is a ScopeError that names the levels.
    """
    async with Container(levelled()) as container:
        async with container.scope(level="session") as session, session.scope() as request:
            attempts = [
                (container, "sesion"),
                (session, "session"),
                (request, "request"),
                (container, "singleton"),
            ]
            for scope, level in attempts:
                with pytest.raises(ScopeError, match=r"no level .*; its levels are session, request"):
                    scope.scope(level=level)


async def test_one_level_unless_the_application_says_more():
    """
    Without scopes= there is one level, "scoped"; another name is a ScopeError.
    """
    async with Container(fresh_app()) as container:
        async with container.scope(level="scoped") as scope:
            assert scope.level == "scoped"
            with pytest.raises(ScopeError):
                scope.scope()
        with pytest.raises(ScopeError):
            container.scope(level="session")


async def test_subclasses_inherit_the_levels():
    """
    scopes= is inherited, and an application class may say it anew.
    """

    class Base(AsyncServiceBase, scopes=LEVELS):
        pass

    class Same(Base):
        pass

    class Other(Base, scopes=("job",)):
        pass

    async with Container(Same) as container, container.scope(level="session") as session:
        assert session.level == "session"
    async with Container(Other) as container, container.scope() as job:
        assert job.level == "job"


# --- context values -------------------------------------------------------------------------------------------


async def test_context_values_belong_to_a_level():
    """
    context={"session": [WebSocket]} is handed in when a session opens, and context of the innermost with the request.
    """

    class App(AsyncServiceBase, scopes=LEVELS, context={"session": [WebSocket], "request": [Message]}):
        @inject_dependency("both", lifetime="request")
        def both(self, socket: WebSocket, message: Message):
            return socket, message

        @inject_dependency("socket", lifetime="session")
        def socket(self, socket: WebSocket):
            return socket

    socket, messages = WebSocket(), [Message(), Message()]

    async with Container(App) as container:
        for _ in range(3):
            async with container.scope({WebSocket: socket}, level="session") as session:
                found = []
                for message in messages:
                    async with session.scope({Message: message}) as request:
                        found.append(await request.get("both"))
                        assert await request.get("socket") is await session.get(WebSocket) is socket
                assert found == [(socket, message) for message in messages]


async def test_a_plain_context_list_is_the_innermost_level_s():
    """
    context=[Message] belongs to the innermost level.
    """
    App = levelled(context=[Message])
    message = Message()

    async with Container(App) as container, container.scope(level="session") as session:
        async with session.scope({Message: message}) as request:
            assert await request.get(Message) is message
        with pytest.raises(ScopeError, match=r"Message is context of the level 'request', not of 'session'"):
            container.scope({Message: message}, level="session")
        with pytest.raises(ScopeError, match="declares no context value WebSocket"):
            session.scope({WebSocket: 1})


async def test_a_scope_opened_without_its_context():
    """
    A context value that its scope was opened without is a ScopeError that names it and the level.
    """

    class App(AsyncServiceBase, scopes=LEVELS, context={"session": [WebSocket]}):
        pass

    async with Container(App) as container:
        for _ in range(3):
            async with container.scope() as request:
                failure = await outcome(request.get(WebSocket))
                assert isinstance(failure, ScopeError)
                assert "the session scope was opened without WebSocket" in str(failure)


async def test_optional_context_of_an_outer_level():
    """
    WebSocket | None is the outer level's value where the session has one, and None where it has none.
    """

    class App(AsyncServiceBase, scopes=LEVELS, context={"session": [WebSocket]}):
        pass

    def user(socket: WebSocket | None):
        return socket

    App.register_dependency("user", user, lifetime="request")
    socket = WebSocket()

    async with Container(App) as container:
        for _ in range(3):
            async with container.scope() as without:
                assert await without.get("user") is None
            async with container.scope({WebSocket: socket}, level="session") as session, session.scope() as request:
                assert await request.get("user") is socket


# --- what the check finds -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("holder", "held", "captive"),
    [
        ("singleton", "session", True),
        ("singleton", "request", True),
        ("session", "request", True),
        ("session", "scoped", True),
        ("request", "session", False),
        ("session", "session", False),
        ("request", "scoped", False),
        ("transient", "request", False),
    ],
)
@pytest.mark.parametrize("way", ["parameter", "through a transient", "Lazy", "attribute"])
def test_captives_between_levels(holder, held, captive, way):
    """
    What lives longer must not keep what lives shorter, at every pair of levels and by every way of keeping it.
    """

    class Held:
        pass

    class Through:
        def __init__(self, held: Held):
            pass

    annotation = {"parameter": Held, "through a transient": Through, "Lazy": Lazy[Held]}.get(way)

    class Holder(AsyncServiceBase):
        if annotation is None:
            held = AsyncDependencyDescriptor(Held)
        else:

            def __init__(self, held: annotation):
                pass

    App = fresh_app(scopes=LEVELS)
    App.register_dependency(Held, Held, lifetime=held)
    App.register_dependency(Through, Through, lifetime="transient")
    App.register_dependency(Holder, Holder, lifetime=holder)

    found = []
    try:
        Container(App)
    except GraphErrors as errors:
        found = problems(errors)

    assert [type(problem) for problem in found] == [CaptiveDependencyError] * captive
    if captive:
        level = "request" if held == "scoped" else held
        assert (found[0].lifetime, found[0].shorter) == (holder, level)
        assert f"Holder is {holder}" in str(found[0]) or f"Holder.held is {holder}" in str(found[0])


def test_a_level_that_is_not_there_is_a_problem():
    """
    A lifetime that the application has no level for is a problem of the check, with the levels and near misses.
    """
    App = levelled()
    App.register_dependency("value", object, lifetime="sesion")

    container = Container(App, check=False)
    for _ in range(2):
        with pytest.raises(GraphErrors) as caught:
            container.check()
        (problem,) = problems(caught.value)
        assert "did you mean 'session'?" in str(problem)
        App.register_dependency("another", object)  # so that everything is looked up anew


def test_a_context_level_that_is_not_there_is_a_problem():
    """
    context= of a level that the application does not have is a problem of the check.
    """
    App = fresh_app(scopes=LEVELS, context={"job": [Message]})

    with pytest.raises(GraphErrors, match='names the level "job"'):
        Container(App)


@pytest.mark.parametrize("scopes", ["session", ("singleton",), ("a", "a"), ("",), (1,), {"a": 1}])
def test_names_of_levels_are_checked(scopes):
    """
    scopes= takes a sequence of distinct names that are no lifetimes already.
    """
    with pytest.raises(TypeError):
        fresh_app(scopes=scopes)


# --- adopting and closing --------------------------------------------------------------------------------------------


async def test_adopt_on_each_level():
    """
    An instance that was made by hand can be adopted by a scope of any level, and sees what that level sees.
    """

    class Handler(AsyncServiceBase, lifetime="scoped"):
        session_value = AsyncDependencyDescriptor("of session")
        request_value = AsyncDependencyDescriptor("of request")

    async with Container(levelled()) as container, container.scope(level="session") as session, session.scope() as request:
        in_session, in_request = session.adopt(Handler()), request.adopt(Handler())
        values = [
            await in_session.session_value,
            await in_request.session_value,
            await in_request.request_value,
            await request.get("of request"),
        ]
        outside = await outcome(in_session.request_value)
        with pytest.raises(ContainerError, match="belongs to"):
            session.adopt(in_request)

    assert values[0] is values[1]
    assert values[2] is values[3]
    assert isinstance(outside, ScopeError)
    assert (Scope.of(in_session), Scope.of(in_request)) == (session, request)


async def test_a_closed_outer_scope_closes_what_is_inside():
    """
    Closing a session closes requests that are still open in it, with a warning, and before the session's own values.
    """
    App, journal = fresh_app(scopes=LEVELS), Journal()
    for level in LEVELS:

        async def value(name=level):
            with journal.noting(name):
                yield name

        App.register_dependency(f"of {level}", value, lifetime=level)

    async with Container(App) as container:
        session = container.scope(level="session")
        request = session.scope()
        await request.gather("of session", "of request")
        with pytest.warns(ResourceWarning, match="request scope .* still open"):
            await session.aclose()
        refused = await outcome(request.get("of request"))
        with pytest.raises(ClosedError):
            session.scope()

    assert journal == ["+session", "+request", "-request", "-session"]
    assert isinstance(refused, ClosedError)


async def test_errors_of_all_levels_are_one_group():
    """
    What the finalizers of all levels that are closed together raise is one FinalizationErrors.
    """
    App = fresh_app(scopes=LEVELS)
    for level in LEVELS:

        async def value(name=level):
            yield name
            raise OSError(name)

        App.register_dependency(f"of {level}", value, lifetime=level)

    async with Container(App) as container:
        scope = container.scope()
        await scope.gather("of session", "of request")
        failure = await outcome(scope.aclose())

    assert isinstance(failure, FinalizationErrors)
    assert [str(error) for error in failure.exceptions] == ["request", "session"]


async def test_the_body_s_error_reaches_every_level():
    """
    The body's exception is thrown into the generators of every level that is left with it, and propagates as it is.
    """
    App, met, own = fresh_app(scopes=LEVELS), [], ValueError("the body's")
    for level in LEVELS:

        async def value(name=level):
            try:
                yield name
            except ValueError as error:
                met.append((name, error))

        App.register_dependency(f"of {level}", value, lifetime=level)

    async with Container(App) as container:
        with pytest.raises(ValueError) as caught:
            async with container.scope() as scope:
                await scope.gather("of session", "of request")
                raise own

    assert caught.value is own
    assert met == [("request", own), ("session", own)]


def test_levels_without_a_loop():
    """
    Levels work with plain with blocks, also over a level, and close in order.
    """
    App, journal = fresh_app(scopes=LEVELS), Journal()
    for level in LEVELS:

        def value(name=level):
            with journal.noting(name):
                yield name

        App.register_dependency(f"of {level}", value, lifetime=level)

    with Container(App) as container:
        with container.scope() as request:
            request.get_nowait("of session")
            request.get_nowait("of request")
        with container.scope(level="session") as session:
            with session.scope() as request:
                assert request.get_nowait("of session") == session.get_nowait("of session") == "session"

    assert journal == ["+session", "+request", "-request", "-session", "+session", "-session"]
