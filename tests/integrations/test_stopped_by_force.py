"""A server that stops cuts off what is in work: half of it is kept nowhere, in any framework."""

import asyncio
import contextlib
import functools
import itertools
import threading
import unittest.mock

import pytest
from helpers import LIMIT, guarded

from asyncmeta import ClosedError, Container, From, injected
from asyncmeta._run.teardown import unwinding

from .asgi_server import Server
from .shops import Session, shop, sync_shop

#: What is closed by force says so.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")

NUMBERS = itertools.count()


class Work:
    """What handlers do: whole work at once, and half of the last one, which is then cut off."""

    def __init__(self, *, turns=1, hot=False, sync=False, goes_on=False):
        app, self.journal = sync_shop() if sync else shop()
        self.container = Container(app)
        self.goes_on = goes_on  #: who is cut off swallows that
        self.turns = turns  #: how often who is cut off awaits something on its way out
        self.before = 5 if hot else 0  #: requests that go well, so that all code is made by then
        self.came, self.go = asyncio.Event(), threading.Event()

    async def do(self):
        if self.before:
            self.before -= 1
            return
        self.came.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if not self.goes_on:
                raise
        finally:
            for _ in range(self.turns):
                await asyncio.sleep(0)

    def half(self):
        """Return what stands in the journal of the last one."""
        assert self.journal[0] == "+pool"
        assert not self.before
        whole = ["begin", "commit"]
        lines = self.journal[1:]
        while lines[:2] == whole:
            del lines[:2]
        return lines


async def over_asgi(app, work):
    """Ask until the work is not done whole, and stop as a server does whose time to stop is over."""
    server = Server(app)
    async with server.running():
        while work.before:
            await server.http("/").run()
        task = asyncio.create_task(server.http("/").run())
        await work.came.wait()
        task.cancel()
        await asyncio.sleep(0)
    await asyncio.wait({task}, timeout=LIMIT)
    assert task.done()
    task.cancelled() or task.exception()


# --- one function for each framework, and for each of its ways ---


async def starlette(work):
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    from asyncmeta.integrations.starlette import ContainerMiddleware, inject

    @inject
    async def handler(request, session: From[Session]):
        await work.do()
        return PlainTextResponse("")

    app = Starlette(routes=[Route("/", handler)], middleware=[Middleware(ContainerMiddleware, container=work.container)])
    await over_asgi(app, work)


async def fastapi(work, route=None):
    from fastapi import FastAPI

    from asyncmeta.integrations.fastapi import ContainerMiddleware, ContainerRoute, From

    app = FastAPI()
    if route == "of":
        app.router.route_class = ContainerRoute.of(work.container)
        app.add_middleware(ContainerMiddleware, container=work.container, connections=False)
    else:
        app.add_middleware(ContainerMiddleware, container=work.container)
        if route:
            app.router.route_class = ContainerRoute

    @app.get("/")
    async def handler(session: From[Session]):
        await work.do()

    await over_asgi(app, work)


async def stream(work):
    from fastapi import FastAPI
    from fastapi.responses import StreamingResponse

    from asyncmeta.integrations.fastapi import ContainerMiddleware, From

    app = FastAPI()
    app.add_middleware(ContainerMiddleware, container=work.container)

    @app.get("/")
    async def handler(session: From[Session]):
        async def parts():
            yield b"begun"
            await work.do()

        return StreamingResponse(parts())

    await over_asgi(app, work)


async def litestar(work):
    from litestar import Litestar, get

    from asyncmeta.integrations.litestar import ContainerPlugin

    @get("/")
    @injected
    async def handler(session: From[Session]) -> str:
        await work.do()
        return ""

    app = Litestar([handler], plugins=[ContainerPlugin(work.container)], logging_config=None, openapi_config=None)
    await over_asgi(app, work)


async def quart(work):
    from quart import Quart

    from asyncmeta.integrations.quart import setup

    app = Quart("shop")
    setup(app, work.container)

    @app.get("/")
    @injected
    async def handler(session: From[Session]):
        await work.do()
        return ""

    await over_asgi(app, work)


async def blacksheep(work):
    from blacksheep import Application
    from blacksheep.server.routing import Router

    from asyncmeta.integrations.blacksheep import inject, setup

    app = setup(Application(router=Router()), work.container)

    @app.router.get("/")
    @inject
    async def handler(session: From[Session]):
        await work.do()
        return ""

    await over_asgi(app, work)


async def sanic(work):
    from sanic import Sanic
    from sanic.response import text

    from asyncmeta.integrations.sanic import inject, setup

    Sanic.test_mode = True
    app = setup(Sanic(f"stopped{next(NUMBERS)}", configure_logging=False), work.container)

    @app.get("/")
    @inject
    async def handler(request, session: From[Session]):
        await work.do()
        return text("")

    await over_asgi(app, work)


async def django(work):
    from django.core.handlers.asgi import ASGIHandler
    from django.http import HttpResponse
    from django.test import override_settings
    from django.urls import path

    from asyncmeta.integrations.django import get_asgi_application, injected

    from .django_site import site

    @injected
    async def view(request, session: From[Session]):
        await work.do()
        return HttpResponse("")

    read_body, bodies = ASGIHandler.read_body, []

    async def noted(handler, receive):
        bodies.append(await read_body(handler, receive))
        return bodies[-1]

    middleware = ["asyncmeta.integrations.django.ContainerMiddleware"]
    with (
        override_settings(ASYNCMETA_CONTAINER=work.container),
        site(path("", view), middleware=middleware),
        unittest.mock.patch.object(ASGIHandler, "read_body", noted),
    ):
        await over_asgi(get_asgi_application(), work)
    for body in bodies:  # Django forgets that of a request that is cancelled
        body.close()


async def aiohttp(work):
    from aiohttp import ClientSession, web

    from asyncmeta.integrations.aiohttp import setup

    app = web.Application()
    setup(app, work.container)

    @injected
    async def handler(request, session: From[Session]):
        await work.do()
        return web.Response()

    app.router.add_get("/", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.01)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    address = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    async with ClientSession() as client:
        while work.before:
            async with client.get(address):
                pass
        asked = asyncio.create_task(client.get(address))
        await work.came.wait()
        await runner.cleanup()
        await asyncio.gather(asked, return_exceptions=True)


async def grpc(work):
    import grpc

    from asyncmeta.integrations.grpc import ContainerInterceptor

    @injected
    async def handler(request, context, session: From[Session]):
        await work.do()
        return b""

    async with work.container:
        server = grpc.aio.server(interceptors=[ContainerInterceptor(work.container)])
        handlers = {"Do": grpc.unary_unary_rpc_method_handler(handler)}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("shop", handlers),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            do = channel.unary_unary("/shop/Do")
            while work.before:
                await do(b"")
            asked = asyncio.ensure_future(do(b""))
            await work.came.wait()
            await server.stop(0.01)
            await asyncio.gather(asked, return_exceptions=True)


async def faststream(work):
    from faststream import FastStream, TestApp
    from faststream.redis import RedisBroker, TestRedisBroker

    from asyncmeta.integrations.faststream import ContainerMiddleware, From, lifespan

    broker = RedisBroker(middlewares=[ContainerMiddleware(work.container)])

    @broker.subscriber("orders")
    async def handle(name: str, session: From[Session]):
        await work.do()

    async with TestRedisBroker(broker), TestApp(FastStream(broker, lifespan=lifespan(work.container))):
        while work.before:
            await broker.publish("tea", "orders")
        task = asyncio.create_task(broker.publish("tea", "orders"))
        await work.came.wait()
        task.cancel()
        await asyncio.sleep(0)
    await asyncio.gather(task, return_exceptions=True)


FRAMEWORKS = {
    "starlette": starlette,
    "fastapi": fastapi,
    "fastapi route": functools.partial(fastapi, route="route"),
    "fastapi of": functools.partial(fastapi, route="of"),
    "fastapi stream": stream,
    "litestar": litestar,
    "quart": quart,
    "blacksheep": blacksheep,
    "sanic": sanic,
    "django": django,
    "aiohttp": aiohttp,
    "grpc": grpc,
    "faststream": faststream,
}


async def cut_off(framework, work):
    """Cut *work* off in *framework*, and fail unless it is undone before what its session stands on is closed."""
    pytest.importorskip(framework.split()[0])
    with contextlib.suppress(asyncio.CancelledError):
        await FRAMEWORKS[framework](work)

    begun, ended, closed = work.half()
    assert begun == "begin"
    assert ended.startswith("rollback")
    assert closed == "-pool"


@pytest.mark.parametrize("hot", [False, True], ids=["cold", "hot"])
@pytest.mark.parametrize("turns", [0, 1, 30])
@pytest.mark.parametrize("framework", FRAMEWORKS)
@guarded
async def test_half_of_a_request_is_kept_in_no_framework(framework, turns, hot):
    """
    Who is cut off, at once or after some steps on its way out, rolls back before what its session stands on is closed.
    """
    await cut_off(framework, Work(turns=turns, hot=hot))


@pytest.mark.parametrize("hot", [False, True], ids=["cold", "hot"])
@pytest.mark.parametrize("turns", [0, 30])
@pytest.mark.parametrize("framework", FRAMEWORKS)
@guarded
async def test_who_is_cut_off_and_goes_on_keeps_nothing(framework, turns, hot):
    """
    A handler that swallows its cancellation, and returns at once or while the container closes, has failed all the same.
    """
    await cut_off(framework, Work(turns=turns, hot=hot, goes_on=True))


@pytest.mark.parametrize("hot", [False, True], ids=["cold", "hot"])
def test_a_view_in_a_thread_has_failed(monkeypatch, hot):
    """
    A view of Flask that is still in its thread when the container is closed: the session rolls back first.
    """
    flask = pytest.importorskip("flask")
    from asyncmeta.integrations.flask import setup

    monkeypatch.setattr(unwinding, "PATIENCE_WITH_THREADS", 0.01)
    work, came, ends = Work(sync=True, hot=hot), threading.Event(), []
    app = flask.Flask("shop")
    setup(app, work.container)

    @app.get("/")
    @injected
    def view(session: From[Session]):
        if work.before:
            work.before -= 1
            return ""
        came.set()
        assert work.go.wait(LIMIT)
        return ""

    def ask():
        try:
            ends.append(app.test_client().get("/").status_code)
        except Exception as error:  # a server answers 500 then, its test client raises it
            ends.append(error)

    with work.container:
        while work.before:
            app.test_client().get("/")
        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        assert came.wait(LIMIT)
    at_the_end = work.half()
    work.go.set()
    thread.join(LIMIT)

    assert at_the_end == work.half() == ["begin", "rollback ClosedError", "-pool"]
    assert [type(end) for end in ends] == [ClosedError]
