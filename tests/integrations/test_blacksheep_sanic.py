"""BlackSheep and Sanic by their own means: lives, context, synchronous handlers, and Sanic's own server."""

import asyncio
import contextlib
import itertools

import pytest
from helpers import guarded

from asyncmeta import Container, From, Scope

from .asgi_server import Server
from .shops import Pool, Session, shop

NUMBERS = itertools.count()


def blacksheep_app(container, **options):
    pytest.importorskip("blacksheep")
    from blacksheep import Application
    from blacksheep.server.routing import Router

    from asyncmeta.integrations.blacksheep import setup

    return setup(Application(router=Router()), container, **options)


def sanic_app(container, **options):
    pytest.importorskip("sanic")
    from sanic import Sanic

    from asyncmeta.integrations.sanic import setup

    Sanic.test_mode = True
    return setup(Sanic(f"lives{next(NUMBERS)}", configure_logging=False), container, **options)


@pytest.mark.parametrize("start", [True, False])
@pytest.mark.parametrize("make", [blacksheep_app, sanic_app])
@guarded
async def test_the_container_lives_as_long_as_the_application(make, start):
    """
    Singletons are built before the application serves, unless that is not wanted, and closed after it has stopped.
    """
    app, journal = shop()
    server = Server(make(Container(app), start=start))

    async with server.running():
        before = list(journal)

    assert before == (["+pool"] if start else [])
    assert journal == (["+pool", "-pool"] if start else [])


@pytest.mark.parametrize("make", [blacksheep_app, sanic_app])
@guarded
async def test_what_a_start_that_fails_has_opened_is_closed(make):
    """
    A singleton that cannot be built stops the start, and those that were built before it are closed.
    """
    app, journal = shop()

    async def fail(pool: Pool):
        raise OSError("no broker")

    app.register_dependency("broker", fail)
    container = Container(app)
    server = Server(make(container))

    answer = await server.start()
    server.task.cancel()  # Sanic listens on
    await asyncio.wait([server.task])

    assert answer["type"] == "lifespan.startup.failed"
    assert journal == ["+pool", "-pool"]
    assert container.closed


@pytest.mark.parametrize("when", ["on_start", "on_stop"])
@guarded
async def test_a_function_of_blacksheeps_events_that_fails_keeps_nothing_open(when):
    """
    BlackSheep calls no other function of an event after that; the container is closed all the same.
    """
    app, journal = shop()
    container = Container(app)
    serving = blacksheep_app(container)

    async def fail(_):
        raise OSError("no broker")

    getattr(serving, when)(fail)
    with pytest.raises(OSError, match="no broker"):
        await serving.start()
        await serving.stop()

    assert journal == ["+pool", "-pool"]
    assert container.closed


@guarded
async def test_handlers_of_blacksheep():
    """
    BlackSheep binds what is its own; a request's scope has one session, is given the request, and serves threads, too.
    """
    pytest.importorskip("blacksheep")
    from blacksheep import Request

    from asyncmeta.integrations.blacksheep import inject

    shop_class, journal = shop(context=[Request])
    app, seen = blacksheep_app(Container(shop_class)), []

    @app.router.get("/async/{number}")
    @inject
    async def waiting(number: int, session: From[Session], scope: From[Scope], request: From[Request]):
        seen.append((number, await scope.get(Session) is session, request.path))
        return "ordered"

    @app.router.get("/sync/{number}")
    @inject
    def plain(number: int, session: From[Session]):
        seen.append((number, type(session).__name__))
        return "ordered"

    server = Server(app)
    async with server.running():
        for path in "/async/7", "/sync/8":
            exchange = await server.http(path).run()
            assert exchange.got[0]["status"] == 200

    assert seen == [(7, True, "/async/7"), (8, "Session")]
    assert journal == ["+pool", "begin", "commit", "begin", "commit", "-pool"]


@guarded
async def test_handlers_of_sanic_behind_its_own_server():
    """
    The same for Sanic, served by its own server on loopback: no ASGI is between.
    """
    pytest.importorskip("sanic")
    from sanic import Request, text
    from sanic.views import HTTPMethodView

    from asyncmeta.integrations.sanic import inject

    shop_class, journal = shop(context=[Request])
    container = Container(shop_class)
    app, seen = sanic_app(container), []

    @app.get("/async/<number:int>")
    @inject
    async def waiting(request, number: int, session: From[Session], scope: From[Scope], own: From[Request]):
        seen.append((number, await scope.get(Session) is session, own is request))
        return text("ordered")

    class Orders(HTTPMethodView):
        @inject
        def get(self, request, pool: From[Pool], session: From[Session]):
            seen.append(type(session).__name__)
            return text("ordered")

    app.add_route(Orders.as_view(), "/sync")
    app.router.finalize()
    server = await app.create_server(host="127.0.0.1", port=0, return_asyncio_server=True, access_log=False)
    await server.startup()
    await server.before_start()
    await server.after_start()
    port = server.server.sockets[0].getsockname()[1]
    answers = []
    for path in "/async/7", "/sync":
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n".encode())
        answers.append((await reader.read()).split()[1])
        writer.close()
        await writer.wait_closed()
    await server.before_stop()
    server.close()
    await server.wait_closed()
    await server.after_stop()

    assert answers == [b"200", b"200"]
    assert seen == [(7, True, True), "Session"]
    assert journal == ["+pool", "begin", "commit", "begin", "commit", "-pool"]


@pytest.mark.parametrize(("code", "end"), [(1000, "commit"), (1001, "commit"), (1008, "rollback"), (4000, "rollback")])
@pytest.mark.parametrize("make", [blacksheep_app, sanic_app])
@guarded
async def test_a_websocket_by_the_code_that_closes_it(make, code, end):
    """
    A websocket whose handler closes it with another code than 1000 and 1001 has failed, as in every framework.
    """
    shop_class, journal = shop()
    app = make(Container(shop_class))
    if make is blacksheep_app:
        from blacksheep import WebSocket

        from asyncmeta.integrations.blacksheep import inject

        @inject
        async def talk(socket: WebSocket, session: From[Session]):
            await socket.accept()
            await socket.close(code)

        app.router.add_ws("/", talk)
    else:
        from asyncmeta.integrations.sanic import inject

        @app.websocket("/")
        @inject
        async def talk(request, socket, session: From[Session]):
            await socket.close(code)

    server = Server(app)
    async with server.running():
        await server.websocket().run()

    assert journal[2].split()[0] == end


@pytest.mark.parametrize(("code", "end"), [(1000, "commit"), (1006, "rollback")])
@guarded
async def test_a_websocket_of_blacksheep_by_the_code_of_its_client(code, end):
    """
    A client that goes away is heard of, also where the handler catches what that raises.
    """
    shop_class, journal = shop()
    app = blacksheep_app(Container(shop_class))
    from blacksheep import WebSocket, WebSocketDisconnectError

    from asyncmeta.integrations.blacksheep import inject

    @inject
    async def talk(socket: WebSocket, session: From[Session]):
        await socket.accept()
        with contextlib.suppress(WebSocketDisconnectError):
            await socket.receive_text()

    app.router.add_ws("/", talk)
    messages = iter([{"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": code}])

    async def receive():
        return next(messages)

    async def send(message): ...

    server = Server(app)
    async with server.running():
        await app(server.websocket().scope, receive, send)

    assert journal[2].split()[0] == end


@pytest.mark.parametrize("kind", ["async", "sync"])
@guarded
async def test_a_middleware_of_blacksheep_hides_no_failure(kind):
    """
    A handler under `inject` that raised has failed, although a middleware inside of the scope answers it.
    """
    shop_class, journal = shop()
    app = blacksheep_app(Container(shop_class))
    from blacksheep import Response

    from asyncmeta.integrations.blacksheep import inject

    async def told(request, handler):
        try:
            return await handler(request)
        except LookupError:
            return Response(200)

    app.middlewares.append(told)

    async def awaiting(session: From[Session]):
        raise LookupError

    def plain(session: From[Session]):
        raise LookupError

    app.router.add_get("/", inject(awaiting if kind == "async" else plain))
    server = Server(app)
    async with server.running():
        exchange = await server.http("/").run()

    assert exchange.got[0]["status"] == 200
    assert journal[2].startswith("rollback LookupError")


@guarded
async def test_a_handler_of_sanic_that_responds_by_itself_is_judged():
    """
    What was sent by ``request.respond`` counts as what is returned does.
    """
    shop_class, journal = shop()
    app = sanic_app(Container(shop_class))
    from asyncmeta.integrations.sanic import inject

    @app.get("/<status:int>")
    @inject
    async def rows(request, status: int, session: From[Session]):
        response = await request.respond(status=status)
        await response.send("row")
        await response.eof()

    server = Server(app)
    async with server.running():
        for status in 200, 409:
            exchange = await server.http(f"/{status}").run()
            assert exchange.got[0]["status"] == status

    assert [line for line in journal if line.startswith(("commit", "roll"))] == ["commit", "rollback ErrorResponse"]
