"""Does the one wrapper serve every ASGI framework, unchanged?"""

import asyncio
import contextlib
import logging
import socket

import pytest
from helpers import Journal, guarded, outcome

from asyncmeta import AsyncServiceBase, Container, From, injected
from asyncmeta.integrations.asgi import ContainerMiddleware

from .asgi_server import Server


class Session:
    """Lines that are committed or rolled back, with the one connection that they belong to."""

    def __init__(self, journal):
        self.journal = journal

    def add(self, line):
        self.journal.append(line)


class World:
    """The application class that stands behind every framework's handlers."""

    def __init__(self):
        self.journal = journal = Journal()

        class App(AsyncServiceBase):
            pass

        async def open_pool():
            with journal.noting("pool"):
                yield "pool"

        async def open_session():
            try:
                yield Session(journal)
            except BaseException:
                journal.append("rollback")
                raise
            journal.append("commit")

        App.register_dependency("pool", open_pool)
        App.register_dependency(Session, open_session, lifetime="scoped")
        self.app = App


@injected
async def lines(session: From[Session]):
    """What a streaming response sends."""
    for line in ("one", "two"):
        session.add(line)
        yield f"{line} "


class Oops(Exception):
    """What a handler raises."""


# --- the applications: /order answers "ordered tea", /fail raises, /stream sends lines, /ws echoes ---


def fastapi_app():
    fastapi = pytest.importorskip("fastapi")
    responses = pytest.importorskip("fastapi.responses")
    app = fastapi.FastAPI(openapi_url=None)

    @app.get("/order", response_class=responses.PlainTextResponse)
    @injected
    async def order(name: str, session: From[Session]):
        session.add(name)
        return f"ordered {name}"

    @app.get("/fail")
    @injected
    async def fail(session: From[Session]):
        raise Oops

    @app.get("/stream")
    async def stream():
        return responses.StreamingResponse(lines(), media_type="text/plain")

    @app.websocket("/ws")
    @injected
    async def echo(websocket: fastapi.WebSocket, session: From[Session]):
        await websocket.accept()
        with contextlib.suppress(fastapi.WebSocketDisconnect):
            while True:
                text = await websocket.receive_text()
                session.add(text)
                await websocket.send_text(f"{text}!")

    return app


def starlette_app():
    pytest.importorskip("starlette")
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse, StreamingResponse
    from starlette.routing import Route, WebSocketRoute
    from starlette.websockets import WebSocketDisconnect

    @injected
    async def order(request, session: From[Session]):
        session.add(request.query_params["name"])
        return PlainTextResponse(f"ordered {request.query_params['name']}")

    @injected
    async def fail(request, session: From[Session]):
        raise Oops

    async def stream(request):
        return StreamingResponse(lines(), media_type="text/plain")

    @injected
    async def echo(websocket, session: From[Session]):
        await websocket.accept()
        with contextlib.suppress(WebSocketDisconnect):
            while True:
                text = await websocket.receive_text()
                session.add(text)
                await websocket.send_text(f"{text}!")

    return Starlette(routes=[Route("/order", order), Route("/fail", fail), Route("/stream", stream), WebSocketRoute("/ws", echo)])


def litestar_app():
    litestar = pytest.importorskip("litestar")
    from litestar.exceptions import WebSocketDisconnect
    from litestar.response import Stream

    @litestar.get("/order", media_type="text/plain")
    @injected
    async def order(request: litestar.Request, session: From[Session]) -> str:
        session.add(request.query_params["name"])
        return f"ordered {request.query_params['name']}"

    @litestar.get("/fail")
    @injected
    async def fail(session: From[Session]) -> str:
        raise Oops

    @litestar.get("/stream")
    async def stream() -> Stream:
        return Stream(lines(), media_type="text/plain")

    @litestar.websocket("/ws")
    @injected
    async def echo(socket: litestar.WebSocket, session: From[Session]) -> None:
        await socket.accept()
        with contextlib.suppress(WebSocketDisconnect):
            while True:
                text = await socket.receive_text()
                session.add(text)
                await socket.send_text(f"{text}!")

    return litestar.Litestar([order, fail, stream, echo], openapi_config=None, logging_config=None)


def quart_app():
    quart = pytest.importorskip("quart")
    app = quart.Quart("orders")

    @app.get("/order")
    @injected
    async def order(session: From[Session]):
        session.add(quart.request.args["name"])
        return f"ordered {quart.request.args['name']}"

    @app.get("/fail")
    @injected
    async def fail(session: From[Session]):
        raise Oops

    @app.get("/stream")
    async def stream():
        return lines(), 200, {"Content-Type": "text/plain"}

    @app.websocket("/ws")
    @injected
    async def echo(session: From[Session]):
        while True:
            text = await quart.websocket.receive()
            session.add(text)
            await quart.websocket.send(f"{text}!")

    return app


def django_app():
    pytest.importorskip("django")
    from django.core.asgi import get_asgi_application
    from django.http import HttpResponse, StreamingHttpResponse
    from django.urls import path

    from .django_site import ROUTES

    @injected
    async def order(request, session: From[Session]):
        session.add(request.GET["name"])
        return HttpResponse(f"ordered {request.GET['name']}")

    @injected
    async def fail(request, session: From[Session]):
        raise Oops

    async def stream(request):
        return StreamingHttpResponse(lines(), content_type="text/plain")

    ROUTES.urlpatterns[:] = [path("order", order), path("fail", fail), path("stream", stream)]
    return get_asgi_application()


def blacksheep_app():
    blacksheep = pytest.importorskip("blacksheep")
    app = blacksheep.Application(router=blacksheep.Router())

    @app.router.get("/order")
    @injected
    async def order(request: blacksheep.Request, session: From[Session]):
        (name,) = request.query["name"]
        session.add(name)
        return blacksheep.text(f"ordered {name}")

    @app.router.get("/fail")
    @injected
    async def fail(session: From[Session]):
        raise Oops

    @app.router.get("/stream")
    async def stream():
        async def encoded():
            async for line in lines():
                yield line.encode()

        return blacksheep.Response(200, content=blacksheep.StreamedContent(b"text/plain", encoded))

    @app.router.ws("/ws")
    @injected
    async def echo(websocket: blacksheep.WebSocket, session: From[Session]):
        await websocket.accept()
        with contextlib.suppress(blacksheep.WebSocketDisconnectError):
            while True:
                text = await websocket.receive_text()
                session.add(text)
                await websocket.send_text(f"{text}!")

    return app


def sanic_app():
    sanic = pytest.importorskip("sanic")
    sanic.Sanic.test_mode = True
    app = sanic.Sanic("orders", configure_logging=False)
    app.config.MOTD = False

    @app.get("/order")
    @injected
    async def order(request, session: From[Session]):
        session.add(request.args.get("name"))
        return sanic.text(f"ordered {request.args.get('name')}")

    @app.get("/fail")
    @injected
    async def fail(request, session: From[Session]):
        raise Oops

    @app.get("/stream")
    async def stream(request):
        response = await request.respond(content_type="text/plain")
        async for line in lines():
            await response.send(line)
        await response.eof()

    @app.websocket("/ws")
    @injected
    async def echo(request, websocket, session: From[Session]):
        while (text := await websocket.recv()) is not None:
            session.add(text)
            await websocket.send(f"{text}!")

    return app


APPS = {
    "fastapi": fastapi_app,
    "starlette": starlette_app,
    "litestar": litestar_app,
    "quart": quart_app,
    "django": django_app,
    "blacksheep": blacksheep_app,
    "sanic": sanic_app,
}


@guarded
@pytest.mark.parametrize("ends", ["before", "after"])
@pytest.mark.parametrize("framework", APPS)
async def test_a_framework_is_served_unchanged(framework, ends, caplog):
    """
    Started and stopped with the application, one scope for each request, rolled back where the handler raises, open to
    the last line of a stream and to the end of a websocket.
    """
    world = World()
    server = Server(ContainerMiddleware(APPS[framework](), Container(world.app), ends=ends))
    journal = world.journal
    caplog.set_level(logging.CRITICAL + 1)

    async with server.running():
        assert journal == ["+pool"]
        for name in ("tea", "rum"):
            exchange = server.http("/order", query_string=f"name={name}".encode())
            exchange.on_message = lambda message: journal.append("sent")
            assert (await exchange.run()).status == 200
            assert exchange.body == f"ordered {name}".encode()
            told = [line for line in journal if line != "sent"]
            assert told[-2:] == [name, "commit"]
            assert journal.index("sent") > journal.index("commit") if ends == "before" else journal[-1] == "commit"
            journal[:] = told

        del journal[:]
        exchange = server.http("/fail")
        await outcome(exchange.run())  # some raise after they have answered
        assert exchange.status == 500
        assert journal == ["rollback"]

        del journal[:]
        exchange = await server.http("/stream").run()
        assert exchange.body == b"one two "
        assert journal == ["one", "two", "commit"]

        if framework != "django":
            del journal[:]
            exchange = await server.websocket("/ws", "a", "b").run()
            assert exchange.texts == ["a!", "b!"]
            assert journal == ["a", "b", "commit"]
        del journal[:]

    assert journal == ["-pool"]


# --- over a socket ---


@contextlib.asynccontextmanager
async def uvicorn_server(app):
    """A real server on loopback, for a block; gives its port."""
    uvicorn = pytest.importorskip("uvicorn")
    config = uvicorn.Config(app, port=0, lifespan="on", log_level="critical", ws="none")
    server = uvicorn.Server(config)
    listening = socket.create_server(("127.0.0.1", 0))
    task = asyncio.create_task(server.serve([listening]))
    try:
        while not server.started:
            assert not task.done(), task.result()
            await asyncio.sleep(0.01)
        yield listening.getsockname()[1]
    finally:
        server.should_exit = True
        await task
        listening.close()


@guarded
async def test_a_real_server_with_a_client_that_goes_away():
    """
    Under uvicorn, requests commit; one whose client leaves in the middle of a stream is rolled back, and all is closed.
    """
    pytest.importorskip("starlette")
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse, StreamingResponse
    from starlette.routing import Route

    world = World()
    gone = asyncio.Event()

    @injected
    async def endless(session: From[Session]):
        try:
            while True:
                yield b"more "
                await asyncio.sleep(0.001)
        finally:
            gone.set()

    @injected
    async def order(request, session: From[Session]):
        session.add("tea")
        return PlainTextResponse("ordered")

    async def stream(request):
        return StreamingResponse(endless())

    app = Starlette(routes=[Route("/order", order), Route("/stream", stream)])
    async with uvicorn_server(ContainerMiddleware(app, Container(world.app))) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /order HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert b"ordered" in await reader.read()
        writer.close()
        assert world.journal == ["+pool", "tea", "commit"]

        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await reader.readuntil(b"more ")
        assert not gone.is_set() and world.journal[-1] == "commit"
        writer.transport.abort()
        await gone.wait()

    assert world.journal == ["+pool", "tea", "commit", "rollback", "-pool"]


@guarded
async def test_a_real_server_does_not_serve_what_cannot_start():
    """
    Under uvicorn, a singleton that fails to start ends the server, as a failing start-up of the application does.
    """
    uvicorn = pytest.importorskip("uvicorn")
    world = World()

    def broken():
        raise Oops

    world.app.register_dependency("broken", broken)

    async def app(connection, receive, send):
        assert connection["type"] == "lifespan"

    config = uvicorn.Config(ContainerMiddleware(app, Container(world.app)), port=0, log_level="critical", ws="none")
    server = uvicorn.Server(config)
    await outcome(server.serve())  # SystemExit, in newer versions

    assert not server.started
    assert [line for line in world.journal if "pool" in line] in ([], ["+pool", "-pool"])
