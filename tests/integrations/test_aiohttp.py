"""aiohttp: a container with the application, a scope with each request; over real sockets on loopback."""

import asyncio
import logging
from typing import Annotated

import pytest
from helpers import fresh_app, guarded, leaves

from asyncmeta import Container, FinalizationErrors, From, Inject, Scope, injected

from .shops import Pool, Session, shop

pytest.importorskip("aiohttp", reason="needs aiohttp")

from aiohttp import WSMsgType, web
from aiohttp.test_utils import TestClient, TestServer

from asyncmeta.integrations.aiohttp import CONTAINER, SCOPE, setup


@injected
async def hello(request: web.Request, session: From[Session]) -> web.Response:
    return web.Response(text=type(session).__name__, status=int(request.query.get("status", "200")))


def serving(container, *routes, **options):
    """Return a client of an application that *container* serves."""
    app = web.Application()
    setup(app, container, **options)
    app.add_routes(routes or [web.get("/", hello)])
    return TestClient(TestServer(app))


@guarded
async def test_the_container_lives_with_the_application():
    """
    Singletons are built before the first request and closed when the application cleans up.
    """
    app, journal = shop()

    async with serving(Container(app)) as client:
        before = list(journal)
        await client.get("/")

    assert before == ["+pool"]
    assert journal == ["+pool", "begin", "commit", "-pool"]


@guarded
async def test_singletons_can_wait_for_the_first_request():
    """
    With ``start=False`` nothing is built at start-up.
    """
    app, journal = shop()

    async with serving(Container(app), start=False):
        before = list(journal)

    assert before == journal == []


@guarded
async def test_a_start_that_fails_fails_the_application():
    """
    What a singleton raises at start-up stops the server from starting, and what was built before is closed.
    """
    app, journal = shop()

    def broken(pool: Pool):
        raise OSError("no disk")

    app.register_dependency("broken", broken)

    application = web.Application()
    setup(application, Container(app))
    with pytest.raises(OSError, match="no disk"):
        await TestServer(application).start_server()

    assert journal == ["+pool", "-pool"]


@guarded
async def test_each_request_has_a_scope_of_its_own():
    """
    Functions of one request share its scope, two requests at a time have two.
    """
    app, journal = shop()
    both = asyncio.Barrier(2)
    seen = []

    @injected
    async def deeper(session: From[Session]) -> Session:
        return session

    @injected
    async def handler(request: web.Request, session: From[Session], scope: From[Scope]) -> web.Response:
        await both.wait()
        seen.append((session, await deeper(), scope is request[SCOPE]))
        return web.Response()

    async with serving(Container(app), web.get("/", handler)) as client:
        await asyncio.gather(client.get("/"), client.get("/"))

    (one, again, given), (other, other_again, other_given) = seen
    assert one is again and other is other_again and one is not other
    assert given and other_given
    assert journal[1:-1] == ["begin", "begin", "commit", "commit"]


@guarded
async def test_views_are_filled():
    """
    The methods of class-based views take marked parameters, too.
    """
    app, journal = shop()

    class View(web.View):
        @injected
        async def get(self, session: From[Session]) -> web.Response:
            return web.Response(text=type(session).__name__)

    async with serving(Container(app), web.view("/", View)) as client:
        assert await (await client.get("/")).text() == "Session"

    assert "commit" in journal


@guarded
async def test_the_request_is_context_where_declared():
    """
    ``context=[web.Request]`` lets factories ask for the request; other applications are not given it.
    """
    app, _ = shop(context=[web.Request])

    def path_of(request: web.Request) -> str:
        return request.path

    app.register_dependency(str, path_of, lifetime="scoped")

    @injected
    async def handler(request: web.Request, path: From[str]) -> web.Response:
        return web.Response(text=path)

    async with serving(Container(app), web.get("/{name}", handler)) as client:
        assert await (await client.get("/tea")).text() == "/tea"


@guarded
async def test_an_exception_rolls_back(caplog):
    """
    What the handler raises reaches the finalizers, and the client gets aiohttp's 500.
    """
    app, journal = shop()

    @injected
    async def handler(request: web.Request, session: From[Session]) -> web.Response:
        raise ValueError("no")

    async with serving(Container(app), web.get("/", handler)) as client:
        status = (await client.get("/")).status

    assert status == 500
    assert journal[1:-1] == ["begin", "rollback ValueError"]
    assert isinstance(caplog.records[0].exc_info[1], ValueError)


@pytest.mark.parametrize(
    ("answer", "status", "ended"),
    [
        (web.HTTPNotFound, 404, "rollback HTTPNotFound"),
        (web.HTTPFound, 302, "commit"),
        (web.HTTPNoContent, 204, "commit"),
    ],
)
@guarded
async def test_raised_answers(answer, status, ended):
    """
    A raised answer of 400 or above rolls back; a redirect or a success commits, and both go out as they are.
    """
    app, journal = shop()

    @injected
    async def handler(request: web.Request, session: From[Session]) -> web.Response:
        raise answer("/") if answer is web.HTTPFound else answer()

    async with serving(Container(app), web.get("/", handler)) as client:
        assert (await client.get("/", allow_redirects=False)).status == status

    assert journal[1:-1] == ["begin", ended]


@guarded
async def test_returned_answers():
    """
    A returned status of 400 or above is a failure for finalizers; the answer goes out as it is.
    """
    app, journal = shop()

    async with serving(Container(app)) as client:
        assert [(await client.get(f"/?status={status}")).status for status in (302, 404, 503)] == [302, 404, 503]

    assert journal[1:-1] == ["begin", "commit", "begin", "rollback ErrorResponse", "begin", "rollback ErrorResponse"]


@guarded
async def test_the_border_of_failure_can_be_moved():
    """
    With ``error_status=500`` a returned 404 is no failure.
    """
    app, journal = shop()

    async with serving(Container(app), error_status=500) as client:
        assert (await client.get("/?status=404")).status == 404

    assert journal[1:-1] == ["begin", "commit"]


@pytest.mark.parametrize("status", [200, 503])
@guarded
async def test_a_commit_that_fails_is_no_success(status, caplog):
    """
    The scope ends before the response is sent: what its finalizers raise is logged and answered with 500.
    """
    app = fresh_app()

    async def open_session():
        try:
            yield Session()
        finally:
            raise OSError("disk full")

    app.register_dependency(Session, open_session, lifetime="scoped")

    async with serving(Container(app)) as client:
        assert (await client.get(f"/?status={status}")).status == 500

    logged = caplog.records[0].exc_info[1]
    assert isinstance(logged, FinalizationErrors)
    assert any(isinstance(error, OSError) for error in leaves(logged))


@guarded
async def test_a_stream_keeps_its_scope():
    """
    A handler that writes a response by itself has its scope until it returns.
    """
    app, journal = shop()

    @injected
    async def handler(request: web.Request, session: From[Session]) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for number in range(3):
            journal.append("line")
            await response.write(b"%d\n" % number)
        return response

    async with serving(Container(app), web.get("/", handler)) as client:
        assert await (await client.get("/")).text() == "0\n1\n2\n"

    assert journal[1:-1] == ["begin", "line", "line", "line", "commit"]


@guarded
async def test_a_body_that_is_read_after_the_handler():
    """
    An injected generator that aiohttp reads as the body has a scope of its own, which ends with it.
    """
    app, journal = shop()

    @injected
    async def lines(session: From[Session]):
        for number in range(3):
            journal.append("line")
            yield b"%d\n" % number

    @injected
    async def handler(request: web.Request, session: From[Session]) -> web.Response:
        return web.Response(body=lines())

    async with serving(Container(app), web.get("/", handler)) as client:
        assert await (await client.get("/")).text() == "0\n1\n2\n"

    assert journal[1:-1] == ["begin", "commit", "begin", "line", "line", "line", "commit"]


@guarded
async def test_a_websocket_keeps_its_scope():
    """
    A websocket has one scope until its handler returns, and may open one for each message.
    """
    app, journal = shop(scopes=("connection", "message"), context={"connection": [web.Request]})

    @injected
    async def answer(text: str, session: From[Session]) -> str:
        return f"{text} {type(session).__name__}"

    async def handler(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        journal.append(str(request[SCOPE].level))
        async for message in socket:
            async with request[SCOPE].scope() as scope:
                with scope.ambient():
                    await socket.send_str(await answer(message.data))
        return socket

    container = Container(app)
    async with serving(container, web.get("/", hello), web.get("/ws", handler), websocket_level="connection") as client:
        async with client.ws_connect("/ws") as socket:
            for word in ("one", "two"):
                await socket.send_str(word)
                assert (await socket.receive()).data == f"{word} Session"
            await socket.close()
        assert (await client.get("/")).status == 200

    assert journal == ["+pool", "connection", *["begin", "commit"] * 3, "-pool"]


@guarded
async def test_a_websocket_that_is_left_ends_its_scope():
    """
    When the client goes away the handler's loop ends, and the scope with it, once.
    """
    app, journal = shop()
    ended = asyncio.Event()

    @injected
    async def handler(request: web.Request, session: From[Session]) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        try:
            async for message in socket:
                assert message.type is WSMsgType.TEXT
        finally:
            ended.set()
        return socket

    async with serving(Container(app), web.get("/ws", handler)) as client:
        async with client.ws_connect("/ws"):
            pass
        await ended.wait()

    assert journal[1:-1] == ["begin", "commit"]


@pytest.mark.parametrize("cancels", [False, True], ids=["goes on", "is cancelled"])
@guarded
async def test_a_client_that_goes_away(cancels):
    """
    The handler runs to its end, or is cancelled where the server says so: the scope ends once, and accordingly.
    """
    app, journal = shop()
    came, gone, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    @injected
    async def handler(request: web.Request, session: From[Session]) -> web.Response:
        came.set()
        try:
            await gone.wait()
        finally:
            ended.set()
        return web.Response()

    application = web.Application()
    setup(application, Container(app))
    application.router.add_get("/", handler)
    runner = web.AppRunner(application, handler_cancellation=cancels)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    _, writer = await asyncio.open_connection(*runner.addresses[0])
    writer.write(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
    await came.wait()
    writer.close()
    await writer.wait_closed()
    if not cancels:
        gone.set()
    await ended.wait()
    await runner.cleanup()

    assert journal == ["+pool", "begin", "rollback CancelledError" if cancels else "commit", "-pool"]


@guarded
async def test_background_work_has_a_scope_of_its_own():
    """
    A task that outlives its request finds its scope closed; inside of the container's ``ambient`` each call opens one.
    """
    app, journal = shop()
    answered, tasks = asyncio.Event(), []

    @injected
    async def work(session: From[Session]) -> str:
        return type(session).__name__

    async def later():
        await answered.wait()
        return await work()

    async def handler(request: web.Request) -> web.Response:
        tasks.append(asyncio.create_task(later()))
        with request.config_dict[CONTAINER].ambient():
            tasks.append(asyncio.create_task(later()))
        return web.Response()

    async with serving(Container(app), web.get("/", handler)) as client:
        await client.get("/")
        answered.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)

    assert [type(results[0]).__name__, results[1]] == ["ClosedError", "Session"]
    assert journal[1:-1] == ["begin", "commit"]


@guarded
async def test_sub_applications():
    """
    A sub-application is served by its parent's container; one with a container of its own has a scope of that inside.
    """
    outer, journal = shop()
    inner, inner_journal = shop()
    of_outer, of_inner = Container(outer), Container(inner)
    seen = []

    @injected
    async def handler(request: web.Request, session: From[Session]) -> web.Response:
        seen.append(request.config_dict[CONTAINER])
        return web.Response()

    @web.middleware
    async def outermost(request, handler):
        answer = await handler(request)
        seen.append(SCOPE in request)
        return answer

    root, plain, own = web.Application(middlewares=[outermost]), web.Application(), web.Application()
    for application in (plain, own):
        application.router.add_get("/", handler)
    setup(root, of_outer)
    setup(own, of_inner)
    root.add_subapp("/plain", plain)
    root.add_subapp("/own", own)
    async with TestClient(TestServer(root)) as client:
        assert [(await client.get(path)).status for path in ("/plain/", "/own/")] == [200, 200]

    assert seen == [of_outer, False, of_inner, False]
    assert journal == inner_journal == ["+pool", "begin", "commit", "-pool"]


@guarded
async def test_overrides_in_tests():
    """
    Handlers run in tasks of the server: an override for everywhere reaches them, and ends with its block.
    """
    app, journal = shop()
    container = Container(app)

    async with serving(container) as client:
        async with container.override({Session: "a fake"}, everywhere=True):
            faked = await (await client.get("/")).text()
        real = await (await client.get("/")).text()

    assert (faked, real) == ("str", "Session")
    assert journal == ["+pool", "begin", "commit", "-pool"]


@guarded
async def test_an_application_can_be_served_again():
    """
    One container serves one application after another.
    """
    app, journal = shop()
    container = Container(app)

    for _ in range(2):
        async with serving(container) as client:
            await client.get("/")

    assert journal == ["+pool", "begin", "commit", "-pool"] * 2


async def test_nothing_is_logged_for_what_went_well(caplog):
    """
    A request through the integration leaves no warning.
    """
    app, _ = shop()

    with caplog.at_level(logging.WARNING):
        async with serving(Container(app)) as client:
            await client.get("/")

    assert caplog.records == []


class Conflict(Exception):
    """What a session raises that cannot commit."""


def conflicting():
    """Return an application class whose sessions cannot commit."""
    app = fresh_app()

    async def open_session():
        yield "session"
        raise Conflict

    app.register_dependency("session", open_session, lifetime="scoped")
    return app


@guarded
@pytest.mark.parametrize("inner", [False, True], ids=["application", "sub-application"])
async def test_a_middleware_outside_answers_what_a_finalizer_raises(inner):
    """
    aiohttp's error handlers are middlewares: one that was added before `setup`, or to a parent, catches the error itself.
    """

    @web.middleware
    async def told(request, handler):
        try:
            return await handler(request)
        except Conflict:
            return web.Response(status=409)

    @injected
    async def order(request, session: Annotated[str, Inject("session")]):
        return web.Response()

    app = web.Application(middlewares=[told])
    own = web.Application() if inner else app
    setup(own, Container(conflicting()))
    own.router.add_get("/", order)
    if inner:
        app.add_subapp("/inner", own)

    async with TestClient(TestServer(app)) as client:
        answer = await client.get("/inner/" if inner else "/")

    assert answer.status == 409


@guarded
@pytest.mark.parametrize("stays", [False, True])
async def test_a_stream_whose_client_leaves_has_failed_although_its_handler_goes_on(stays):
    """
    A handler that catches what a lost connection raises, and returns its response, has not sent it; one that has is fine.
    """
    app, journal = shop()
    done = asyncio.Event()

    @injected
    async def rows(request, session: From[Session]):
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"row")
        if stays:
            await response.write_eof()
        while request.transport is not None and not request.transport.is_closing():  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(0)
        asyncio.get_running_loop().call_soon(done.set)
        return response

    async with serving(Container(app), web.get("/", rows)) as client:
        reader, writer = await asyncio.open_connection(client.host, client.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n")
        await reader.readuntil(b"row")
        writer.close()
        await done.wait()

    assert journal[2].split(":")[0] == ("commit" if stays else "rollback ErrorResponse")
