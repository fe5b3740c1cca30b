"""BlackSheep and Sanic by their own means: lives, context, synchronous handlers, and Sanic's own server."""

import asyncio
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
