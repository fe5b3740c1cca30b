"""Is a container as long-lived as an ASGI application, and a scope as a connection?  No framework, no server."""

import asyncio
import contextlib
import logging
from typing import Annotated

import amount
import pytest
from helpers import LIMIT, fresh_app, guarded, leaves, outcome, settled
from hypothesis import given, settings, strategies as st

from asyncmeta import (
    AsyncServiceBase,
    ClosedError,
    Container,
    FinalizationErrors,
    From,
    GraphErrors,
    Inject,
    Scope,
    Token,
    injected,
)
from asyncmeta.integrations import _endings
from asyncmeta.integrations.asgi import CONNECTION, KEY, ContainerMiddleware, ErrorResponse, failed, made_here

from .asgi_server import Server, Session, World, part, start

STARTED = {"type": "lifespan.startup.complete"}
STOPPED = {"type": "lifespan.shutdown.complete"}


def scripted(*messages, then=None):
    """Return an application that uses its session, sends *messages*, and raises *then*."""

    async def app(connection, receive, send):
        if connection["type"] == "lifespan":
            return
        await connection[KEY].get(Session)
        for message in messages:
            await send(message)
        if then is not None:
            raise then

    return app


def with_lifespan(journal, fails=None, answer=True):
    """Return an application that has a lifespan of its own; it *fails* at "startup" or "shutdown", saying so or not."""

    async def app(connection, receive, send):
        assert connection["type"] == "lifespan"
        for what in ("startup", "shutdown"):
            assert await receive() == {"type": f"lifespan.{what}"}
            journal.append(what)
            if what == fails:
                if not answer:
                    raise OSError(what)
                await send({"type": f"lifespan.{what}.failed", "message": "the application's own"})
                return
            await send({"type": f"lifespan.{what}.complete"})

    return app


async def ignorant(connection, receive, send):
    """An application that speaks no lifespan, and says so as ASGI wants it."""
    if connection["type"] == "lifespan":
        raise ValueError("only http")
    await send(start())
    await send(part())


async def indifferent(connection, receive, send):
    """An application that returns at once."""


async def hasty(connection, receive, send):
    """An application that is done once it has started."""
    await receive()
    await send(STARTED)


async def silent(connection, receive, send):
    """An application that hears and never answers."""
    await receive()
    await receive()


# --- the application's life ---


@guarded
async def test_the_container_stands_around_the_application():
    """
    Singletons are there before the application's start-up, and go after its shutdown; the server hears of both ends last.
    """
    world = World()
    server = Server(world.wrap(with_lifespan(world.journal)))

    assert await server.start() == STARTED
    assert world.journal == ["+pool", "startup"]
    assert await server.stop() == STOPPED
    assert world.journal == ["+pool", "startup", "shutdown", "-pool"]
    await server.task
    assert server.heard == [STARTED, STOPPED]


@guarded
@pytest.mark.parametrize("app", [ignorant, indifferent, hasty, silent])
async def test_an_application_that_knows_no_lifespan_has_one(app):
    """
    Where the application raises, returns at once or does not answer, start-up and shutdown are answered for it.
    """
    world = World()
    server = Server(world.wrap(app))

    if app is silent:  # it keeps the start-up open until it hears the shutdown
        waiting = asyncio.create_task(server.start())
        await settled()
        assert world.journal == ["+pool"] and not waiting.done()
        await server.stop()
        await waiting
    else:
        assert await server.start() == STARTED
        assert world.journal == ["+pool"]
        assert await server.stop() == STOPPED
    await server.task
    assert server.heard == [STARTED, STOPPED]
    assert world.journal == ["+pool", "-pool"]


@guarded
async def test_the_container_is_closed_once_in_the_task_of_the_lifespan():
    """
    A generator singleton is entered and exited in one life of the container, which the lifespan's task ends.
    """
    tasks = []

    class App(AsyncServiceBase):
        async def on_startup(self):
            tasks.append(asyncio.current_task())

        async def on_shutdown(self):
            tasks.append(asyncio.current_task())

    class Watched(Container):
        __slots__ = ()

        async def __aexit__(self, *error):
            tasks.append(asyncio.current_task())
            await super().__aexit__(*error)

    container = Watched(App)
    server = Server(ContainerMiddleware(indifferent, container))
    async with server.running():
        pass

    assert tasks.count(server.task) == 1 and len(tasks) == 3
    assert container.closed


@guarded
@pytest.mark.parametrize("answer", [True, False])
async def test_an_application_that_fails_in_its_start_up(answer):
    """
    The server hears the application's own words, or its exception's; the container is closed before.
    """
    world = World()
    server = Server(world.wrap(with_lifespan(world.journal, "startup", answer)))

    told = await server.start()

    assert told["type"] == "lifespan.startup.failed"
    assert world.journal == ["+pool", "startup", "-pool"]
    raised = await outcome(server.task)
    if answer:
        assert told["message"] == "the application's own" and raised is None
    else:
        assert "OSError: startup" in told["message"] and isinstance(raised, OSError)
    assert len(server.heard) == 1


@guarded
@pytest.mark.parametrize("answer", [True, False])
async def test_an_application_that_fails_in_its_shutdown(answer):
    """
    The container is closed all the same, before the server hears of the failure.
    """
    world = World()
    server = Server(world.wrap(with_lifespan(world.journal, "shutdown", answer)))

    await server.start()
    told = await server.stop()

    assert told["type"] == "lifespan.shutdown.failed"
    assert world.journal == ["+pool", "startup", "shutdown", "-pool"]
    raised = await outcome(server.task)
    if answer:
        assert told["message"] == "the application's own" and raised is None
    else:
        assert "OSError: shutdown" in told["message"] and isinstance(raised, OSError)
    assert server.heard == [STARTED, told]


@guarded
async def test_what_an_application_without_lifespan_raises_is_logged(caplog):
    """
    The exception that says "no lifespan" may be a mistake, so it can be found in the log.
    """
    caplog.set_level(logging.INFO, "asyncmeta")
    async with Server(World().wrap(ignorant)).running():
        pass

    assert [str(record.exc_info[1]) for record in caplog.records] == ["only http"]


@guarded
@pytest.mark.parametrize("last", ["startup.failed", "shutdown.complete"])
async def test_an_application_that_listens_on_after_its_last_word(last):
    """
    Where an application has ended but does not return, as Sanic after a failed start-up, nobody waits for ever.
    """

    async def app(connection, receive, send):
        while True:
            message = await receive()
            answer = last if message["type"].endswith(last.partition(".")[0]) else "startup.complete"
            await send({"type": f"lifespan.{answer}"})

    world = World()
    server = Server(world.wrap(app))

    told = await server.start()
    if last == "shutdown.complete":
        told = await server.stop()
    await server.task

    assert told == {"type": f"lifespan.{last}"}
    assert world.journal == ["+pool", "-pool"]


@guarded
async def test_an_application_that_fails_before_it_hears_but_after_it_spoke_is_no_ignorant_one():
    """
    Only who raises before any message is taken for one that speaks no lifespan.
    """

    async def app(connection, receive, send):
        await send(STARTED)
        raise OSError("gone")

    world = World()
    server = Server(world.wrap(app))

    assert await server.start() == STARTED
    assert isinstance(await outcome(server.task), OSError)
    assert server.heard[-1]["type"] == "lifespan.shutdown.failed"
    assert world.journal == ["+pool", "-pool"]


@guarded
async def test_a_singleton_that_fails_to_start_fails_the_start_up():
    """
    The application is never begun, what was built is closed, and the server hears why.
    """
    world = World()

    def broken(pool):
        raise OSError("no network")

    world.app.register_dependency("broken", broken)
    server = Server(world.wrap(with_lifespan(world.journal)))

    told = await server.start()

    assert told["type"] == "lifespan.startup.failed" and "no network" in told["message"]
    assert isinstance(await outcome(server.task), OSError)
    assert world.journal == ["+pool", "-pool"]


@guarded
async def test_a_graph_that_does_not_fit_fails_the_start_up():
    """
    A container that cannot be made is no sign of an application without lifespan: the server hears of the problem.
    """
    App = fresh_app()
    App.register_dependency("broken", lambda missing: missing)
    server = Server(ContainerMiddleware(indifferent, lambda: Container(App)))

    told = await server.start()

    assert told["type"] == "lifespan.startup.failed" and "missing" in told["message"]
    assert isinstance(await outcome(server.task), GraphErrors)


@guarded
@pytest.mark.parametrize("own", [None, "startup", "shutdown"])
async def test_a_finalizer_that_fails_fails_the_shutdown(own):
    """
    The server hears what a singleton's end raised, unless the application has something to say itself; it is raised also.
    """
    world = World()

    async def broken():
        yield
        raise OSError("cannot say goodbye")

    world.app.register_dependency("broken", broken)
    server = Server(world.wrap(with_lifespan(world.journal, own)))

    told = await server.start()
    if own != "startup":
        assert told == STARTED
        told = await server.stop()

    raised = await outcome(server.task)
    assert isinstance(raised, FinalizationErrors)
    assert told["type"] == f"lifespan.{own or 'shutdown'}.failed"
    assert ("goodbye" in told["message"]) == (own is None)


@guarded
async def test_a_cancelled_lifespan_closes_the_container():
    """
    A server that cancels the lifespan hears nothing more; the container is closed and the cancellation goes on.
    """
    world = World()
    server = Server(world.wrap(indifferent))

    await server.start()
    server.task.cancel()

    assert isinstance(await outcome(server.task), asyncio.CancelledError)
    assert world.journal == ["+pool", "-pool"]
    assert server.heard == [STARTED]


@guarded
async def test_a_lifespan_that_is_ended_by_force_closes_the_container():
    """
    What is no Exception passes through, with the container closed and no message about it.
    """
    world = World()

    class Stop(BaseException):
        pass

    async def app(connection, receive, send):
        await receive()
        raise Stop

    server = Server(world.wrap(app))

    assert await server.start() is None
    assert isinstance(await outcome(server.task), Stop)
    assert world.journal == ["+pool", "-pool"]


@guarded
async def test_singletons_may_wait_until_they_are_needed():
    """
    With ``start=False`` nothing is built at start-up.
    """
    world = World()
    async with Server(world.wrap(indifferent, start=False)).running():
        assert world.journal == []


@guarded
async def test_connections_may_be_somebody_elses():
    """
    With ``connections=False`` there is the lifespan only, and connections are passed on untouched.
    """
    seen = []

    async def app(connection, receive, send):
        seen.append(KEY in connection)

    world = World()
    server = Server(world.wrap(app, connections=False))
    async with server.running():
        await server.http().run()
        await server.websocket().run()

    assert seen == [False] * 3
    assert world.journal == ["+pool", "-pool"]


@guarded
async def test_the_state_of_the_lifespan_holds_the_container():
    """
    Where the server offers a state, the application's own start-up finds the container in it; it is ambient, too.
    """
    seen = []

    @injected
    async def ask(pool: Annotated[str, Inject("pool")]):
        return pool

    async def app(connection, receive, send):
        seen.append(connection["state"][KEY])
        seen.append(await ask())

    world = World()
    wrapped = world.wrap(app)
    async with Server(wrapped, state={}).running():
        assert seen == [wrapped.container, "pool"]


@guarded
async def test_a_maker_makes_a_container_for_each_lifespan():
    """
    Given a callable, or an application, every lifespan has a container of its own; given a container, the same one lives again.
    """
    world = World()
    fresh, same = ContainerMiddleware(indifferent, lambda: Container(world.app)), world.wrap(indifferent)
    named = ContainerMiddleware(indifferent, world.app)
    lives = []
    for wrapped in (fresh, fresh, same, same, named, named):
        async with Server(wrapped).running():
            assert not wrapped.container.closed
            lives.append(wrapped.container)

    assert lives[0] is not lives[1] and lives[2] is lives[3] and lives[4] is not lives[5]
    assert world.journal == ["+pool", "-pool"] * 6


@guarded
async def test_without_a_lifespan_the_container_is_used_as_it_is_found():
    """
    A server that sends no lifespan finds a container that was entered elsewhere, or opens the one that is made.
    """
    world = World()
    app = scripted(start(), part())
    wrapped = ContainerMiddleware(app, lambda: Container(world.app))

    await Server(wrapped).http().run()
    await Server(wrapped).http().run()
    assert world.journal == ["begin", "commit"] * 2
    assert not wrapped.container.closed  # nobody is there to close it

    async with Container(world.app) as container:
        await Server(ContainerMiddleware(app, container)).http().run()
        assert not container.closed


@guarded
async def test_after_the_lifespan_connections_are_refused():
    """
    A connection that comes after the shutdown gets ClosedError, and sees no scope.
    """
    world = World()
    server = Server(world.wrap(scripted(start(), part())))
    async with server.running():
        pass

    with pytest.raises(ClosedError):
        await server.http().run()


@guarded
async def test_what_is_unknown_is_passed_on():
    """
    A kind of connection that a later ASGI may bring reaches the application untouched.
    """
    seen = []

    async def app(connection, receive, send):
        seen.append(connection)

    wrapped = World().wrap(app)
    await wrapped({"type": "webtransport"}, None, None)

    assert seen == [{"type": "webtransport"}]


def test_when_a_scope_ends_is_before_or_after():
    """
    Another word is refused when the application is wrapped.
    """
    with pytest.raises(ValueError, match="ends='late'"):
        World().wrap(indifferent, ends="late")


# --- a connection's life ---


@guarded
async def test_a_request_has_a_scope():
    """
    The scope stands in the connection under KEY, gives its context, is ambient, and differs from that of others.
    """
    seen = []

    @injected
    async def handler(scope: From[Scope], session: From[Session]):
        return scope, session

    async def app(connection, receive, send):
        scope, session = await handler()
        assert connection[KEY] is scope and session.connection is connection
        seen.append((scope, session))
        await send(start())
        await send(part(b"done"))

    world = World()
    server = Server(world.wrap(app))
    async with server.running():
        for _ in range(3):
            assert (await server.http().run()).body == b"done"

    assert len({id(thing) for pair in seen for thing in pair}) == 6
    assert all(scope.closed for scope, _ in seen)
    assert world.journal == ["+pool", *["begin", "commit"] * 3, "-pool"]


@guarded
async def test_the_connection_is_no_context_where_nobody_declares_it():
    """
    An application that does not declare CONNECTION is given none; more context comes from the caller.
    """
    user = Token[str]("user")
    seen = []

    async def app(connection, receive, send):
        seen.append(await connection[KEY].get(user))
        await send(start())
        await send(part())

    wrapped = ContainerMiddleware(app, Container(fresh_app(context=[user])), context=lambda connection: {user: connection["path"]})
    async with wrapped.container:
        await Server(wrapped).http("/ada").run()

    assert seen == ["/ada"]


@guarded
async def test_context_beside_the_connection():
    """
    What the caller gives is added to the connection, which it may also replace.
    """
    user = Token[str]("user")
    seen = []

    async def app(connection, receive, send):
        seen.append(await connection[KEY].gather(user, CONNECTION))
        await send(start())
        await send(part())

    async with Container(fresh_app(context=[user, CONNECTION])) as container:
        request = await Server(ContainerMiddleware(app, container, context=lambda _: {user: "ada"})).http().run()
        await Server(ContainerMiddleware(app, container, context=lambda _: {user: "ada", CONNECTION: {}})).http().run()

    assert seen == [("ada", request.scope), ("ada", {})]


@guarded
async def test_levels_of_requests_and_websockets():
    """
    A websocket may have an outer level, in which its messages have scopes; the connection goes where it is declared,
    a request's too.
    """
    seen = []

    async def app(connection, receive, send):
        scope = connection[KEY]
        seen.append((connection["type"], str(scope.level), scope.takes("message")))
        if connection["type"] == "websocket":
            assert await scope.get(CONNECTION) is connection
            async with scope.scope({"message": 1}) as inner:
                seen.append(str(inner.level))
        else:
            assert await scope.get(CONNECTION) is connection
            await send(start())
            await send(part())

    App = fresh_app(scopes=("socket", "message"), context={"socket": [CONNECTION], "message": ["message"]})
    async with Container(App) as container:
        server = Server(ContainerMiddleware(app, container, websocket_level="socket"))
        await server.http().run()
        await server.websocket().run()
        server = Server(ContainerMiddleware(app, container, level="socket"))
        await server.websocket().run()

    assert seen == [("http", "message", False), *[("websocket", "socket", True), "message"] * 2]


@guarded
async def test_an_application_that_is_wrapped_twice_has_one_scope():
    """
    What has a scope of the same container already is passed on; both lifespans are one life of the container.
    """
    seen = []

    async def app(connection, receive, send):
        if connection["type"] == "http":
            seen.append(connection[KEY])
            await scripted(start(), part())(connection, receive, send)

    world = World()
    inner = world.wrap(app)

    async def between(connection, receive, send):
        if connection["type"] == "http":
            seen.append(connection[KEY])
        await inner(connection, receive, send)

    server = Server(ContainerMiddleware(between, inner.container))
    async with server.running():
        await server.http().run()

    assert len(seen) == 2 and seen[0] is seen[1]
    assert world.journal == ["+pool", "begin", "commit", "-pool"]


@guarded
@pytest.mark.parametrize("fails", [False, True])
async def test_containers_inside_of_each_other(fails):
    """
    A mounted application with a container of its own has that one's scope; around it, the outer one is found again.
    """
    seen, outer, inner = [], World(), World()

    async def leaf(connection, receive, send):
        seen.append(connection[KEY])
        if fails:
            failed(connection, OSError("both"))
        await scripted(start(404), part())(connection, receive, send)

    wrapped = inner.wrap(leaf)

    async def mounting(connection, receive, send):
        scope = connection[KEY]
        await scope.get(Session)
        await wrapped(connection, receive, send)
        assert connection[KEY] is scope

    async with wrapped.container:
        exchange = await Server(outer.wrap(mounting)).http().run()

    assert seen[0].container is wrapped.container
    assert exchange.scope[KEY] is not seen[0]
    end = "rollback OSError" if fails else "rollback ErrorResponse"
    assert (outer.journal, inner.journal) == (["begin", end], ["begin", end])


@guarded
async def test_a_scope_is_one_of_the_override_in_force():
    """
    While a container is overridden for everybody, as in a test of a server, a request's scope gives the fakes.
    """
    seen = []

    async def app(connection, receive, send):
        seen.append(await connection[KEY].get("pool"))
        await scripted(start(), part())(connection, receive, send)

    world = World()
    wrapped = world.wrap(world.wrap(app))
    wrapped = ContainerMiddleware(wrapped.app.app, wrapped.container)
    twice = ContainerMiddleware(wrapped, wrapped.container)
    async with wrapped.container as container:
        async with container.override({"pool": "fake"}, everywhere=True):
            await Server(twice).http().run()
        await Server(twice).http().run()
        async with container.overlay({"pool": "the tenant's"}) as tenant:
            await Server(ContainerMiddleware(ContainerMiddleware(app, tenant), tenant)).http().run()

    assert seen == ["fake", "pool", "the tenant's"]
    assert world.journal == [*["begin", "commit"], "+pool", *["begin", "commit"] * 2, "-pool"]


# --- when a scope ends ---


def recording(world, exchange):
    """Let the client's side write what it gets into the world's journal."""
    exchange.on_message = lambda message: world.journal.append(message["type"].rpartition(".")[2])
    return exchange


SCRIPTS = {
    "one part": ([start(), part(b"all")], ["begin", "commit", "start", "body"]),
    "no header at all": ([{"type": "http.response.start", "status": 204}, {"type": "http.response.body"}], None),
    "two parts": ([start(), part(b"a", more=True), part(b"b")], ["begin", "start", "body", "body", "commit"]),
    "as long as announced": (
        [start(200, (b"Content-Length", b"3")), part(b"all", more=True), part()],
        ["begin", "commit", "start", "body", "body"],
    ),
    "not as long as announced": (
        [start(200, (b"content-length", b"4")), part(b"all", more=True), part(b"!")],
        ["begin", "start", "body", "body", "commit"],
    ),
    "an event stream": (
        [start(200, (b"content-type", b"text/event-stream; charset=utf-8")), part(b"event")],
        ["begin", "start", "body", "commit"],
    ),
    "trailers": (
        [start(trailers=True), part(b"all"), {"type": "http.response.trailers", "headers": []}],
        ["begin", "start", "body", "trailers", "commit"],
    ),
    "a file of the server's": (
        [start(), {"type": "http.response.pathsend", "path": "/a"}],
        ["begin", "commit", "start", "pathsend"],
    ),
    "a hint before": (
        [{"type": "http.response.early_hint", "links": []}, start(), part()],
        ["begin", "early_hint", "commit", "start", "body"],
    ),
    "a push between": (
        [start(), {"type": "http.response.push", "path": "/a"}, part()],
        ["begin", "start", "push", "body", "commit"],
    ),
}


@guarded
@pytest.mark.parametrize(("messages", "expected"), SCRIPTS.values(), ids=SCRIPTS)
async def test_a_request_ends_before_its_response_is_sent(messages, expected):
    """
    A response that is complete with its first part is sent when the scope has ended; one that streams, before that.
    """
    world = World()
    server = Server(world.wrap(scripted(*messages)))
    exchange = recording(world, server.http())
    await exchange.run()

    assert exchange.got == messages
    assert world.journal == (expected or ["begin", "commit", "start", "body"])


@guarded
@pytest.mark.parametrize("messages", [messages for messages, _ in SCRIPTS.values()], ids=SCRIPTS)
async def test_a_request_may_end_after_all(messages):
    """
    With ``ends="after"`` each message is sent at once, and the scope ends when the application is done.
    """
    world = World()
    server = Server(world.wrap(scripted(*messages), ends="after"))
    exchange = recording(world, server.http())
    await exchange.run()

    assert exchange.got == messages
    assert world.journal == ["begin", *(message["type"].rpartition(".")[2] for message in messages), "commit"]


@guarded
@pytest.mark.parametrize("ends", ["before", "after"])
async def test_work_that_follows_a_response(ends):
    """
    Background work in the application finds its scope open with ``ends="after"``, else closed.
    """

    async def app(connection, receive, send):
        await send(start())
        await send(part())
        found.append(await outcome(connection[KEY].get(Session)))

    found = []
    await Server(World().wrap(app, ends=ends)).http().run()

    assert isinstance(found[0], Session if ends == "after" else ClosedError)


@guarded
async def test_a_failing_end_becomes_a_failed_request():
    """
    A session that cannot commit raises where the response is sent; nothing of it reaches the client.
    """
    world = World()
    world.commit_fails = OSError("disk full")
    exchange = Server(world.wrap(scripted(start(), part(b"thanks")))).http()

    raised = await outcome(exchange.run())

    assert isinstance(raised, FinalizationErrors) and raised.exceptions == (world.commit_fails,)
    assert exchange.got == []
    assert world.journal == ["begin", "commit fails"]


@guarded
async def test_a_framework_may_answer_a_failing_end():
    """
    An application that catches what its send raises sends another response instead, which goes out as it is.
    """
    world = World()
    world.commit_fails = OSError("disk full")

    async def framework(connection, receive, send):
        try:
            await scripted(start(), part(b"thanks"))(connection, receive, send)
        except FinalizationErrors:
            await send(start(500))
            await send(part(b"sorry"))

    exchange = await Server(world.wrap(framework)).http().run()

    assert exchange.got == [start(500), part(b"sorry")]


@guarded
async def test_a_success_that_was_none_is_not_sent_later():
    """
    An application that swallows what its send raises, and returns, has sent nothing.
    """
    world = World()
    world.commit_fails = OSError("disk full")

    async def framework(connection, receive, send):
        assert isinstance(await outcome(scripted(start(), part(b"thanks"))(connection, receive, send)), FinalizationErrors)

    exchange = await Server(world.wrap(framework)).http().run()

    assert exchange.got == []


@guarded
async def test_a_failing_end_after_a_stream_is_raised():
    """
    A response that streamed is with the client already: the failure is the server's to see.
    """
    world = World()
    world.commit_fails = OSError("disk full")
    messages = [start(), part(b"a", more=True), part(b"b")]
    exchange = Server(world.wrap(scripted(*messages))).http()

    assert isinstance(await outcome(exchange.run()), FinalizationErrors)
    assert exchange.got == messages


@guarded
async def test_a_response_that_is_begun_and_not_gone_on_with():
    """
    A start without a body is not lost; the scope ends with the knowledge that the response is not complete.
    """
    world = World()
    exchange = await Server(world.wrap(scripted(start()))).http().run()

    assert exchange.got == [start()]
    assert world.journal == ["begin", "rollback ErrorResponse"]


@guarded
async def test_a_start_is_taken_back_where_the_application_fails_before_its_body():
    """
    An application that fails between the start and the body has sent nothing, so that the server can answer 500.
    """
    world = World()
    error = OSError("oh")
    exchange = Server(world.wrap(scripted(start(), then=error))).http()

    assert await outcome(exchange.run()) is error
    assert exchange.got == []
    assert world.journal == ["begin", "rollback OSError"]


# --- failure ---


@guarded
@pytest.mark.parametrize("kind", [OSError, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError])
async def test_finalizers_see_what_left_the_application(kind):
    """
    Any exception goes through as it is, and is what the scope ends with.
    """
    world = World()
    error = kind("oh")
    # In a task, KeyboardInterrupt would stop the loop.
    coroutine = world.wrap(scripted(then=error))(Server(None).http().scope, None, None)
    raised = None
    while raised is None:
        try:
            coroutine.send(None)
        except BaseException as left:
            raised = left

    assert raised is error
    assert world.journal == ["begin", f"rollback {kind.__name__}"]


class Falsy(Exception):
    """An exception that is hostile to careless questions."""

    def __bool__(self):
        raise AssertionError("asked")


@guarded
@pytest.mark.parametrize("noted", [False, True])
async def test_exceptions_are_never_asked_for_their_truth(noted):
    """
    What a handler raised may be falsy, or worse: it is a failure all the same.
    """
    world = World()
    error = Falsy()

    async def app(connection, receive, send):
        await connection[KEY].get(Session)
        if not noted:
            raise error
        failed(connection, error)
        await send(start(400))
        await send(part())

    raised = await outcome(Server(world.wrap(app)).http().run())

    assert (raised is error) is not noted
    assert world.journal == ["begin", "rollback Falsy"]


@guarded
@pytest.mark.parametrize("ends", ["before", "after"])
@pytest.mark.parametrize(("status", "limit", "end"), [
    (200, 500, "commit"), (404, 500, "commit"), (499, 500, "commit"), (500, 500, "rollback ErrorResponse"),
    (503, 500, "rollback ErrorResponse"), (404, 400, "rollback ErrorResponse"),
])  # fmt: skip
async def test_an_error_that_the_application_answers_is_a_failure(ends, status, limit, end):
    """
    From ``error_status`` on, a response is a failed request for finalizers, and is sent as it is.
    """
    world = World()
    messages = [start(status), part(b"sorry")]
    exchange = await Server(world.wrap(scripted(*messages), ends=ends, error_status=limit)).http().run()

    assert exchange.got == messages
    assert world.journal == ["begin", end]


@guarded
@pytest.mark.parametrize(("status", "limit", "end"), [
    (None, 500, "rollback OSError"), (404, 500, "commit"), (404, 400, "rollback OSError"), (302, 400, "commit"),
    (503, 500, "rollback OSError"),
])  # fmt: skip
async def test_an_answer_that_is_raised_is_judged_by_its_status(status, limit, end):
    """
    What a handler raises is a failure; where that is an answer, it is one from ``error_status`` on.
    """
    world = World()

    async def app(connection, receive, send):
        await connection[KEY].get(Session)
        failed(connection, OSError("oh"), status)
        await send(start(200))
        await send(part())

    await Server(world.wrap(app, error_status=limit)).http().run()

    assert world.journal == ["begin", end]


@guarded
@pytest.mark.parametrize("cannot_send", [False, True])
async def test_a_client_that_leaves_has_not_got_its_response(cannot_send):
    """
    A stream whose client goes away has failed, also where something in the application swallows that and completes it.
    """
    world = World()
    gone = iter([{"type": "http.disconnect"}])

    async def receive():
        return next(gone)

    async def send(message):
        if cannot_send and message["type"] == "http.response.body":
            raise OSError("gone")

    async def app(connection, receive, send):
        await connection[KEY].get(Session)
        await send(start())
        with contextlib.suppress(OSError):
            await send(part(b"row", more=True))
        if not cannot_send:
            await receive()
        with contextlib.suppress(OSError):
            await send(part())

    await world.wrap(app)(Server(None).http().scope, receive, send)

    assert world.journal == ["begin", "rollback ErrorResponse"]


@guarded
async def test_a_client_that_leaves_after_its_response_has_got_it():
    """
    Every connection ends at some time: what comes after the complete response says nothing about that.
    """
    world = World()

    async def app(connection, receive, send):
        await connection[KEY].get(Session)
        await send(start())
        await send(part(b"a", more=True))
        await send(part())
        assert (await receive())["type"] == "http.disconnect"

    async def receive():
        return {"type": "http.disconnect"}

    async def send(message): ...

    await world.wrap(app)(Server(None).http().scope, receive, send)

    assert world.journal == ["begin", "commit"]


def test_an_error_response_says_what_it_is():
    """
    The status is a fact of it, and in its text.
    """
    assert (ErrorResponse(503).status, str(ErrorResponse(503))) == (503, "the application answered with status 503")
    assert str(ErrorResponse(None)) == "the application did not complete its response"


@guarded
@pytest.mark.parametrize("status", [409, 500])
@pytest.mark.parametrize("ends", ["before", "after"])
async def test_a_failure_that_a_framework_has_answered(ends, status):
    """
    ``failed`` says what a handler raised, where its framework makes a response of it: that is what finalizers see.
    """
    world = World()

    async def framework(connection, receive, send):
        try:
            await scripted(then=OSError("oh"))(connection, receive, send)
        except OSError as error:
            failed(connection, error)
            await send(start(status))
            await send(part(b"conflict"))

    exchange = await Server(world.wrap(framework, ends=ends)).http().run()

    assert exchange.got == [start(status), part(b"conflict")]
    assert world.journal == ["begin", "rollback OSError"]


def test_a_failure_of_a_connection_without_scope_is_nobodys():
    """
    ``failed`` may be called where no container stands around the application.
    """
    failed({"type": "http"}, OSError())


@guarded
@pytest.mark.parametrize("noted", [False, True])
async def test_what_fails_while_a_failure_is_undone_is_raised(noted):
    """
    A finalizer that fails where the application has answered already is not passed over in silence.
    """
    world = World()
    oops = OSError("cannot roll back")

    async def broken():
        try:
            yield
        finally:
            raise oops

    world.app.register_dependency("broken", broken, lifetime="scoped")

    async def app(connection, receive, send):
        await connection[KEY].get("broken")
        if noted:
            try:
                raise KeyError
            except KeyError as error:
                failed(connection, error)
        await send(start(400 if noted else 500))
        await send(part())

    exchange = Server(world.wrap(app)).http()
    raised = await outcome(exchange.run())

    assert isinstance(raised, FinalizationErrors) and raised.exceptions == (oops,)
    assert exchange.got == []


@guarded
async def test_what_fails_beside_the_applications_own_exception():
    """
    The application's exception goes on by itself; what a finalizer raised stands at the end of its chain.
    """
    world = World()
    error, oops = ValueError("first"), OSError("second")

    async def broken():
        try:
            yield
        finally:
            raise oops

    world.app.register_dependency("broken", broken, lifetime="scoped")

    async def app(connection, receive, send):
        await connection[KEY].get("broken")
        raise error

    raised = await outcome(Server(world.wrap(app)).http().run())

    assert raised is error and oops in leaves(raised)


@guarded
async def test_a_request_that_is_cancelled():
    """
    Finalizers see the cancellation, and are run to their end before it goes on; the client gets nothing.
    """
    world = World()
    reached = asyncio.Event()

    async def app(connection, receive, send):
        await connection[KEY].get(Session)
        await send(start())
        reached.set()
        await asyncio.Event().wait()

    exchange = Server(world.wrap(app)).http()
    task = asyncio.create_task(exchange.run())
    await reached.wait()
    task.cancel()

    assert isinstance(await outcome(task), asyncio.CancelledError)
    assert world.journal == ["begin", "rollback CancelledError"]
    assert exchange.got == []


@guarded
@pytest.mark.parametrize(("status", "cancelled"), [(200, "twice"), (200, "at last"), (500, "once")])
async def test_a_request_that_is_cancelled_while_its_scope_ends(status, cancelled, monkeypatch):
    """
    One finalizer is cut, the others run; the cancellation is not lost, and the response is not sent.  Where all went well
    that needs a second one, or patience that is over.
    """
    monkeypatch.setattr(_endings, "PATIENCE", 0 if cancelled == "at last" else LIMIT)
    world = World()
    at, cut = asyncio.Event(), []

    async def slow():
        try:
            yield
        finally:
            at.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cut.append("cut")
                raise

    world.app.register_dependency("slow", slow, lifetime="scoped")

    async def app(connection, receive, send):
        await connection[KEY].gather(Session, "slow")
        await send(start(status))
        await send(part())

    exchange = Server(world.wrap(app)).http()
    task = asyncio.create_task(exchange.run())
    await at.wait()
    task.cancel()
    if cancelled == "twice":
        await settled()
        assert not cut
        task.cancel()

    assert isinstance(await outcome(task), asyncio.CancelledError)
    assert cut == ["cut"]
    assert world.journal == ["begin", "commit" if status == 200 else "rollback ErrorResponse"]
    assert exchange.got == []


@guarded
@pytest.mark.parametrize("turns", range(9))
@pytest.mark.parametrize("elsewhere", [False, True])
async def test_a_cancellation_that_meets_a_commit_waits_for_it(turns, elsewhere):
    """
    Whenever the task of a request is cancelled, what is kept is answered and what is not kept is not; then it is cancelled.
    """
    kept = []
    app = fresh_app()

    async def session():
        yield "session"
        await asyncio.sleep(0)  # a turn of the loop
        told = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(told.set_result, None)
        await told
        async with asyncio.timeout(LIMIT), asyncio.TaskGroup() as group:
            group.create_task(settled(2))
        kept.append("kept")

    app.register_dependency("session", session, lifetime="scoped")

    async def make(connection):
        await connection[KEY].get("session")
        made_here(connection)

    async def page(connection, receive, send):
        if elsewhere:  # as frameworks do whose handlers run in a task of their own
            await asyncio.create_task(make(connection))
        else:
            await connection[KEY].get("session")
        await send(start(201))
        await send(part(b"thanks"))

    async with Container(app) as container:
        exchange = Server(ContainerMiddleware(page, container)).http()
        task = asyncio.create_task(exchange.run())
        await settled(turns)
        task.cancel()
        ended = await outcome(task)

    assert isinstance(ended, asyncio.CancelledError)
    assert exchange.got == ([start(201), part(b"thanks")] if kept else [])


@guarded
@pytest.mark.parametrize("kind", [OSError, asyncio.CancelledError])
async def test_a_commit_that_fails_while_it_is_cancelled(kind):
    """
    Nothing is answered, and the cancellation goes on; what the finalizer raised is its cause.
    """
    at, go = asyncio.Event(), asyncio.Event()
    app = fresh_app()

    async def session():
        yield "session"
        at.set()
        await go.wait()
        raise kind

    app.register_dependency(Session, session, lifetime="scoped")

    async with Container(app) as container:
        exchange = Server(ContainerMiddleware(scripted(start(201), part(b"thanks")), container)).http()
        task = asyncio.create_task(exchange.run())
        await at.wait()
        task.cancel()
        await settled()
        go.set()
        ended = await outcome(task)

    assert isinstance(ended, asyncio.CancelledError)
    assert exchange.got == []
    if kind is OSError:
        assert isinstance(ended.__cause__, FinalizationErrors)
        assert [type(error) for error in ended.__cause__.exceptions] == [OSError]


@guarded
async def test_a_finalizers_own_time_limit_is_kept(monkeypatch):
    """
    It ends its wait by a cancellation, too, which reaches it when patience is over: the request fails by its TimeoutError.
    """
    monkeypatch.setattr(_endings, "PATIENCE", 0)
    app = fresh_app()

    async def session():
        yield "session"
        async with asyncio.timeout(0):
            await asyncio.Event().wait()

    app.register_dependency(Session, session, lifetime="scoped")

    async with Container(app) as container:
        exchange = Server(ContainerMiddleware(scripted(start(201), part(b"thanks")), container)).http()
        ended = await outcome(exchange.run())

    assert isinstance(ended, FinalizationErrors)
    assert [type(error) for error in ended.exceptions] == [TimeoutError]
    assert exchange.got == []


@guarded
@pytest.mark.parametrize("inner", [False, True], ids=["one", "one in another"])
async def test_a_cancel_scope_of_anyio_does_not_cut_a_commit(inner):
    """
    It says its word again at every turn, and one around it may say another; what they meet is kept and answered.
    """
    anyio = pytest.importorskip("anyio")
    kept = []
    app = fresh_app()

    async def session():
        yield "session"
        limit.cancel()
        await settled(3)
        kept.append("kept")

    app.register_dependency(Session, session, lifetime="scoped")

    async with Container(app) as container:
        exchange = Server(ContainerMiddleware(scripted(start(201), part(b"thanks")), container)).http()
        with anyio.CancelScope() as limit:
            if inner:
                async with anyio.create_task_group():
                    await exchange.run()
            else:
                await exchange.run()

    assert kept == ["kept"]
    assert exchange.got == [start(201), part(b"thanks")]


@guarded
async def test_a_finalizers_own_cancel_scope_reaches_it_at_once(monkeypatch):
    """
    A limit of its own in a commit is no cancellation from outside: it does not wait for patience to end.
    """
    anyio = pytest.importorskip("anyio")
    monkeypatch.setattr(_endings, "PATIENCE", 1_000)
    ended = []
    app = fresh_app()

    async def session():
        yield "session"
        with anyio.move_on_after(0.001) as limit:
            await asyncio.Event().wait()
        ended.append(limit.cancelled_caught)

    app.register_dependency(Session, session, lifetime="scoped")

    async with Container(app) as container:
        exchange = Server(ContainerMiddleware(scripted(start(201), part(b"thanks")), container)).http()
        await exchange.run()

    assert ended == [True]
    assert exchange.got == [start(201), part(b"thanks")]


@guarded
@pytest.mark.parametrize("status", [201, 404])
async def test_a_value_may_hold_a_task_group_of_anyio(status):
    """
    A scoped value whose factory is inside of a group of anyio is left as it was entered, however the request ends.
    """
    anyio = pytest.importorskip("anyio")
    left = []
    app = fresh_app()

    async def session():
        try:
            async with anyio.create_task_group() as group:
                yield group
        finally:
            left.append("left")

    app.register_dependency(Session, session, lifetime="scoped")

    async with Container(app) as container:
        exchange = Server(ContainerMiddleware(scripted(start(status), part(b"thanks")), container)).http()
        await exchange.run()

    assert left == ["left"]
    assert exchange.got == [start(status), part(b"thanks")]


@guarded
async def test_a_commit_that_hangs_is_cut_in_the_words_of_the_cancel_scope(monkeypatch):
    """
    When patience is over, the scope of anyio that cancelled knows its own word, and nothing else comes out of it.
    """
    anyio = pytest.importorskip("anyio")
    monkeypatch.setattr(_endings, "PATIENCE", 0)
    app = fresh_app()

    async def session():
        yield "session"
        limit.cancel()
        await asyncio.Event().wait()

    app.register_dependency(Session, session, lifetime="scoped")

    async with Container(app) as container:
        exchange = Server(ContainerMiddleware(scripted(start(201), part(b"thanks")), container)).http()
        with anyio.CancelScope() as limit:
            await exchange.run()

    assert limit.cancelled_caught
    assert exchange.got == []


@guarded
async def test_a_client_that_goes_away():
    """
    An application that ends without a complete response, because the client has left, is a failed request.
    """
    world = World()

    async def framework(connection, receive, send):
        await connection[KEY].get(Session)
        await receive()
        await send(start())
        await send(part(b"a", more=True))
        assert await receive() == {"type": "http.disconnect"}

    exchange = Server(world.wrap(framework)).http()
    exchange.on_message = lambda message: exchange.leave()
    await exchange.run()

    assert exchange.got == [start(), part(b"a", more=True)]
    assert world.journal == ["begin", "rollback ErrorResponse"]


@guarded
async def test_a_server_that_cannot_send():
    """
    What the server raises while a part is sent goes through the application to the finalizers.
    """
    world = World()

    async def send(message):
        raise BrokenPipeError

    wrapped = world.wrap(scripted(start(), part(b"a", more=True), part(b"b")))

    with pytest.raises(BrokenPipeError):
        await wrapped(Server(None).http().scope, None, send)
    assert world.journal == ["begin", "rollback BrokenPipeError"]


# --- websockets ---


def echo(then=None, code=1000):
    """Return a websocket application that answers what it hears, until the client leaves; then it raises, or closes."""

    async def app(connection, receive, send):
        await connection[KEY].get(Session)
        assert await receive() == {"type": "websocket.connect"}
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"] + "!"})
        if then is not None:
            raise then
        await send({"type": "websocket.close", "code": code})

    return app


@guarded
@pytest.mark.parametrize(("app", "end"), [
    (echo(), "commit"), (echo(OSError("oh")), "rollback OSError"), (echo(code=1011), "rollback ErrorResponse"),
    (echo(code=1001), "commit"), (echo(code=4003), "rollback ErrorResponse"), (echo(code=1008), "rollback ErrorResponse"),
])  # fmt: skip
async def test_a_websocket_has_one_scope(app, end):
    """
    It ends with the application's call, whatever was sent before; codes but 1000 and 1001 say that something went wrong.
    """
    world = World()
    exchange = recording(world, Server(world.wrap(app)).websocket("/", "a", "b"))
    await outcome(exchange.run())

    assert exchange.texts == ["a!", "b!"]
    assert world.journal[:4] == ["begin", "accept", "send", "send"]
    assert world.journal[-1] == end and len([line for line in world.journal if line.startswith(("commit", "roll"))]) == 1


@guarded
@pytest.mark.parametrize(("status", "limit", "end"), [
    (403, 400, "rollback ErrorResponse"), (403, 500, "commit"), (500, 500, "rollback ErrorResponse"),
])  # fmt: skip
async def test_a_websocket_that_is_refused_with_a_response(status, limit, end):
    """
    A handshake that is answered with a response fails as a request does.
    """
    world = World()
    messages = [
        {"type": "websocket.http.response.start", "status": status, "headers": []},
        {"type": "websocket.http.response.body", "body": b"no"},
    ]
    exchange = await Server(world.wrap(scripted(*messages), error_status=limit)).websocket().run()

    assert exchange.got == messages
    assert world.journal == ["begin", end]


@guarded
@pytest.mark.parametrize(("limit", "end"), [(400, "rollback ErrorResponse"), (500, "commit")])
async def test_a_websocket_that_is_closed_before_it_is_accepted(limit, end):
    """
    A handshake that is refused is what servers make of it: a response with status 403.
    """
    world = World()
    await Server(world.wrap(scripted({"type": "websocket.close"}), error_status=limit)).websocket().run()

    assert world.journal == ["begin", end]


@guarded
async def test_a_websocket_that_is_never_answered():
    """
    An application that returns without a word to a handshake has failed: servers answer 500 then.
    """
    world = World()
    await Server(world.wrap(scripted())).websocket().run()

    assert world.journal == ["begin", "rollback ErrorResponse"]


@guarded
async def test_a_time_limit_inside_is_no_cancellation_of_the_request():
    """
    Only what is cancelled from outside, and swallowed, takes an answer back: a limit that has run out in it does not.
    """
    world = World()

    async def app(scope, receive, send):
        await scope[KEY].get(Session)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0):
                await asyncio.Event().wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"late"})

    exchange = await Server(world.wrap(app)).http().run()

    assert exchange.got[0]["status"] == 200
    assert world.journal == ["begin", "commit"]


@guarded
@pytest.mark.parametrize(("code", "end"), [
    (1000, "commit"), (1001, "commit"), (1005, "commit"), (None, "commit"),
    (1006, "rollback ErrorResponse"), (1011, "rollback ErrorResponse"), (4000, "rollback ErrorResponse"),
])  # fmt: skip
async def test_a_websocket_whose_client_leaves(code, end):
    """
    A client that closes with 1000, 1001 or no code is done; with another one, or without a word, it has failed, whatever the
    application makes of that.
    """
    world = World()

    async def app(connection, receive, send):
        await connection[KEY].get(Session)
        await receive()
        await send({"type": "websocket.accept"})
        assert (await receive())["type"] == "websocket.disconnect"

    messages = iter([{"type": "websocket.connect"}, {"type": "websocket.disconnect", **({} if code is None else {"code": code})}])

    async def receive():
        return next(messages)

    async def send(message): ...

    await world.wrap(app)(Server(None).websocket().scope, receive, send)

    assert world.journal == ["begin", end]


# --- many at once ---


@guarded
async def test_requests_side_by_side_have_their_own():
    """
    Two requests that are in the application together see their own scopes, ambient ones included, and end on their own.
    """
    meeting = asyncio.Barrier(2)

    @injected
    async def handler(session: From[Session], scope: From[Scope]):
        await meeting.wait()
        return session, scope

    async def app(connection, receive, send):
        session, scope = await handler()
        assert session.connection is connection and scope is connection[KEY]
        if connection["path"] == "/bad":
            raise OSError("bad")
        await meeting.wait()
        await send(start())
        await send(part())

    world = World()
    server = Server(world.wrap(app))
    async with server.running():
        good, bad = server.http("/good"), server.http("/bad")
        tasks = [asyncio.create_task(outcome(exchange.run())) for exchange in (good, bad)]
        assert isinstance(await tasks[1], OSError)
        assert world.journal == ["+pool", "begin", "begin", "rollback OSError"]
        await meeting.wait()
        assert await tasks[0] is good and good.status == 200

    assert world.journal[-2:] == ["commit", "-pool"]


MESSAGES = st.one_of(
    st.builds(start, st.sampled_from([200, 204, 404, 500]), st.sampled_from([
        (b"content-length", b"2"), (b"content-type", b"text/event-stream"), (b"x", b"y"),
    ]), trailers=st.booleans()),
    st.builds(part, st.sampled_from([b"", b"ab"]), st.booleans()),
    st.sampled_from([{"type": "http.response.trailers"}, {"type": "http.response.early_hint"}]),
)  # fmt: skip
REQUESTS = st.tuples(
    st.lists(MESSAGES, max_size=5),
    st.sampled_from(["returns", "raises", "is cancelled", "notes"]),
    st.sampled_from(["commits", "cannot commit", "cannot end"]),
    st.sampled_from(["before", "after"]),
    st.one_of(st.none(), st.integers(0, 4)),
)


@settings(max_examples=amount.of(150, working=40), deadline=None)
@given(st.lists(REQUESTS, min_size=1, max_size=4))
def test_whatever_is_sent_scopes_end_once_and_messages_are_kept(requests):
    """
    For any messages and failures: every scope ended once, nothing is sent twice or in another order, and nothing is
    lost but what was held back when something failed.
    """
    asyncio.run(many(requests))


async def many(requests):
    meeting = asyncio.Barrier(len(requests))
    await asyncio.gather(*(one(meeting, *request) for request in requests))


async def one(meeting, messages, end, session, ends, broken_at):
    ended, passed = [], []
    App = fresh_app()

    async def open_session():
        try:
            yield "session"
        except BaseException as error:
            ended.append(error)
            if session == "cannot end":
                raise OSError("end") from None
            raise
        ended.append(None)
        if session != "commits":
            raise OSError("commit")

    App.register_dependency("session", open_session, lifetime="scoped")

    async def app(connection, receive, send):
        await connection[KEY].get("session")
        await meeting.wait()
        for message in messages:
            await send(message)
            passed.append(message)
            await asyncio.sleep(0)
        if end == "notes":
            failed(connection, LookupError())
        elif end == "raises":
            raise LookupError
        elif end == "is cancelled":
            raise asyncio.CancelledError

    got = []

    async def send(message):
        if len(got) == broken_at:
            raise BrokenPipeError
        got.append(message)
        await asyncio.sleep(0)

    async with asyncio.timeout(10):
        async with Container(App) as container:
            wrapped = ContainerMiddleware(app, container, ends=ends)
            raised = await outcome(wrapped({"type": "http", "path": "/"}, None, send))
            assert container._children == set() or not container._children

    told = f"{got=} {raised=} {ended=}"
    assert len(ended) == 1, told
    assert got == messages[: len(got)], told
    if raised is None:
        assert got == messages, told
    if ended[0] is None and session != "commits":
        assert isinstance(raised, FinalizationErrors | BrokenPipeError), told
    if ended[0] is not None and session == "cannot end":
        assert raised is not None and any(isinstance(inner, FinalizationErrors) for inner in leaves(raised)), told
    if ends == "after":
        assert len(got) >= len(passed), told
    elif len(passed) > len(got):  # what was taken back is one start
        assert len(passed) == len(got) + 1 and passed[-1]["type"] == "http.response.start" and raised is not None, told
