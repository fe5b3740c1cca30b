"""Context values: a factory that stands in for one, one token at several levels, and scopes that open several levels."""

from collections.abc import Iterator

import pytest
from helpers import Journal, fresh_app, problems

from asyncmeta import (
    AsyncDependencyDescriptor,
    AsyncServiceBase,
    CaptiveDependencyError,
    Container,
    GraphErrors,
    Lazy,
    ScopeError,
    inject_dependency,
)


class Engine:
    pass


class FakeEngine(Engine):
    pass


class Session:
    def __init__(self, engine: Engine) -> None:
        self.engine = engine


class Users(AsyncServiceBase, lifetime="scoped"):
    session = AsyncDependencyDescriptor(Session)

    def __init__(self, session: Session, late: Lazy[Session]) -> None:
        self.taken, self.late = session, late


def with_session(lifetime="scoped", **keywords):
    app = fresh_app(context=[Session], providers=[Engine, Users], **keywords)
    app.register_dependency(Session, Session, lifetime=lifetime)
    return app


@pytest.mark.parametrize("lifetime", ["scoped", "singleton", "transient"])
async def test_the_factory_serves_where_the_value_is_not_given(lifetime):
    """
    A context key with a factory: who asks gets the value where the scope has it, and what the factory makes elsewhere.
    """
    async with Container(with_session(lifetime)) as container:
        async with container.scope({Session: "given"}) as scope:
            users = await scope.get(Users)
            seen = [users.taken, await users.late, await users.session, await scope.get(Session), scope.get_nowait(Session | None)]
        async with container.scope() as scope:
            users = await scope.get(Users)
            made = [users.taken, await users.late, await users.session, await scope.get(Session)]
        async with container.request(Session, {Session: "given"}) as given, container.request(Session) as own:
            pass

    assert seen == ["given"] * 5
    assert all(one is made[0] for one in made)
    assert type(made[0]) is type(own) is Session
    assert given == "given"
    assert (own is made[0]) is (lifetime == "singleton")


def test_only_what_the_factory_made_is_closed():
    """
    A given value is the caller's; what the factory makes is closed with its scope.
    """
    journal = Journal()
    app = fresh_app(context=["session"])

    @inject_dependency("session", lifetime="scoped", on=app)
    def open_session() -> Iterator[str]:
        with journal.noting("made"):
            yield "made"

    with Container(app) as container:
        with container.scope({"session": "given"}) as scope:
            assert scope.get_nowait("session") == "given"
        assert journal == []
        with container.scope() as scope:
            assert scope.get_nowait("session") == "made"

    assert journal == ["+made", "-made"]


def test_it_is_still_a_value_of_the_scope():
    """
    The container has none of it, and a singleton cannot keep it, whatever the factory's lifetime.
    """
    app = with_session("singleton")
    app.register_dependency("keeper", lambda session: session)
    app.register_value("session", 1)
    with Container(app) as container, pytest.raises(ScopeError):
        container.get_nowait(Session)

    def keep(session: Session): ...

    app.register_dependency("keeper", keep)
    with pytest.raises(GraphErrors) as caught:
        Container(app)

    assert [type(one) for one in caught.value.exceptions] == [CaptiveDependencyError]


def test_a_listed_class_is_no_factory():
    """
    A context class that a provider list names is an entry point: it is not made for lack of a value.
    """
    app = fresh_app(context=[Engine], providers=[Engine])

    with Container(app) as container, container.scope() as scope, pytest.raises(ScopeError, match="without Engine"):
        scope.get_nowait(Engine)


async def test_overrides_of_what_the_factory_needs():
    """
    In an override the factory makes another one, and a value that the scope was given stays what it is.
    """
    async with Container(with_session()) as container, container.override({Engine: FakeEngine()}) as faked:
        async with faked.scope({Session: "given"}) as scope:
            assert (await scope.get(Users)).taken == await scope.get(Session) == "given"
        async with faked.scope() as scope:
            assert type((await scope.get(Users)).taken.engine) is FakeEngine


async def test_an_override_beats_the_value():
    """
    An override of the key itself is what everybody gets, given or not.
    """
    app = fresh_app(context=[Session], providers=[Users])
    async with Container(app) as container, container.override({Session: "fake"}):
        async with container.scope({Session: "given"}) as scope:
            users = await scope.get(Users)
            assert await scope.get(Session) == users.taken == await users.late == await users.session == "fake"


LEVELS = ("connection", "message")


class Socket: ...


class Message: ...


@pytest.mark.parametrize("way", ["scope", "request"])
async def test_a_scope_of_two_levels_takes_the_context_of_both(way):
    """
    A scope that opens the levels around it, too, gives each the values that belong to it.
    """
    app = fresh_app(scopes=LEVELS, context={"connection": [Socket], "message": [Message]})
    app.register_dependency("seen", lambda socket, message: (socket, message), lifetime="message")
    app.register_dependency("socket", socket_of, lifetime="connection")
    app.register_dependency("message", message_of, lifetime="message")
    context = {Socket: "s", Message: "m"}

    async with Container(app) as container:
        opened = container.scope(context) if way == "scope" else container.request("seen", context)
        async with opened as found:
            seen = found if way == "request" else await found.get("seen")

    assert seen == ("s", "m")


def socket_of(socket: Socket):
    return socket


def message_of(message: Message):
    return message


def test_what_no_level_declares_is_refused():
    """
    A value that none of the opened levels declares, or that an open one has, is refused by name.
    """
    app = fresh_app(scopes=LEVELS, context={"connection": [Socket], "message": [Message]})
    with Container(app) as container:
        with pytest.raises(ScopeError, match='declares no context value "user"'):
            container.scope({Socket: 1, "user": 2})
        with container.scope({Socket: 1}, level="connection") as connection:
            with pytest.raises(ScopeError, match="Socket is context of the level 'connection', not of 'message'"):
                connection.scope({Socket: 2})


class Request: ...


class Agent:
    def __init__(self, request: Request) -> None: ...


@pytest.mark.parametrize(("keywords", "form"), [
    ({}, "context=[Request]"),
    ({"context": [Engine]}, "context=[Request]"),
    ({"context": {"singleton": [Engine]}}, 'context={..., "scoped": [Request]}'),
    ({"context": {"singleton": [Engine]}, "scopes": LEVELS}, f'context={{..., "{LEVELS[-1]}": [Request]}}'),
])  # fmt: skip
def test_who_forgets_a_request_is_told_in_the_form_that_is_there(keywords, form):
    """
    A missing request is to be declared as the application declares other values: in a list, or by its level.
    """
    app = fresh_app(providers=[{"provide": Agent, "lifetime": "scoped"}], **keywords)

    with pytest.raises(GraphErrors) as caught:
        Container(app)

    (error,) = (one for one in caught.value.exceptions if "provides Request" in str(one))
    assert str(error).endswith(f"(AsyncServiceBase, {form})")


class Both:
    def __init__(self, token: "Token") -> None:
        self.token = token


class Token: ...


async def test_one_token_at_two_levels():
    """
    A token that two levels declare: each has its own, and who asks gets that of the nearest scope around.
    """
    app = fresh_app(scopes=LEVELS, context={"connection": [Token], "message": [Token]})
    app.register_dependency("outer", Both, lifetime="connection")
    app.register_dependency("inner", Both, lifetime="message")

    async with Container(app) as container, container.scope({Token: "c"}, level="connection") as connection:
        async with connection.scope({Token: "m"}) as message:
            assert await connection.get(Token) == "c"
            assert await message.get(Token) == "m"
            assert await (await message.get(Lazy[Token])) == "m"
            assert (await message.get("outer")).token == (await connection.get("outer")).token == "c"
            assert (await message.get("inner")).token == "m"
        async with container.scope({Token: "both"}) as scope:
            assert (await scope.get("outer")).token == (await scope.get("inner")).token == "both"


async def test_an_override_of_a_token_of_two_levels():
    """
    What is overridden is neither level's value any more, for whoever asks.
    """
    app = fresh_app(scopes=LEVELS, context={"connection": [Token], "message": [Token]})
    app.register_dependency("outer", Both, lifetime="connection")
    app.register_dependency("inner", Both, lifetime="message")

    async with Container(app) as container:
        with container.override({Token: "fake"}):
            async with container.scope({Token: "both"}) as scope:
                seen = [await scope.get(Token), (await scope.get("outer")).token, (await scope.get("inner")).token]

    assert seen == ["fake"] * 3


@pytest.mark.parametrize("layer", ["same", "below"])
def test_more_keys_of_a_context_value(layer):
    """
    The other keys of the factory of a context key mean the value, too, where the scope has it.
    """
    below = fresh_app(context=[Session] if layer == "below" else [], providers=[Engine])

    class App(below, context=[Session]): ...

    inject_dependency(on=below, also=["more"], lifetime="scoped")(Session)
    App.register_dependency("asks", lambda more: more, lifetime="scoped")

    with Container(App) as container:
        with container.scope({Session: "given"}) as scope:
            assert [scope.get_nowait(key) for key in (Session, "more", "asks")] == ["given"] * 3
        with container.scope() as scope:
            assert type(scope.get_nowait("more")) is Session
            assert scope.get_nowait("more") is scope.get_nowait(Session) is scope.get_nowait("asks")
        with container.override({"more": "fake"}), container.scope({Session: "given"}) as scope:
            assert [scope.get_nowait(key) for key in (Session, "more", "asks")] == ["given", "fake", "fake"]


@pytest.mark.parametrize("lifetime", ["scoped", "singleton", "transient"])
def test_a_problem_of_the_factory_is_told_once(lifetime):
    """
    What the factory of a context key needs, and nothing provides, is one problem.
    """
    app = fresh_app(context=[Session])
    app.register_dependency(Session, Session, lifetime=lifetime)
    app.register_dependency("asks", take, lifetime="scoped")

    with pytest.raises(GraphErrors) as caught:
        Container(app)

    assert len(problems(caught.value)) == 1


def take(session: Session) -> Session:
    return session


class Visit(AsyncServiceBase):
    def __init__(self) -> None:
        self.started = 0

    async def on_startup(self) -> None:
        self.started += 1


@pytest.mark.parametrize("lifetime", ["scoped", "transient"])
async def test_a_service_that_starts_stands_for_a_context_value(lifetime):
    """
    A service class in the place of a value is made and started once for each scope, whatever its lifetime elsewhere.
    """
    app = fresh_app(context=[Visit])
    app.register_dependency(Visit, Visit, lifetime=lifetime)
    given = Visit()

    async with Container(app) as container:
        async with container.scope() as scope:
            one, other = await scope.get(Visit), await scope.get(Visit)
        async with container.scope({Visit: given}) as scope:
            assert await scope.get(Visit) is given

    assert one is other
    assert (one.started, given.started) == (1, 0)
