"""What handlers ask for is checked when an application starts; and the few names that every integration has."""

import asyncio
import functools
import inspect
import itertools
from importlib import import_module
from typing import Annotated

import pytest
from helpers import guarded

from asyncmeta import AsyncDependencyDescriptor, AsyncServiceBase, Container, Factory, From, GraphErrors, Inject, ScopeError

from .asgi_server import Server

FRAMEWORKS = [
    "aiogram", "aiohttp", "asgi", "blacksheep", "click", "django", "fastapi", "fastmcp", "faststream", "flask", "grpc", "litestar",
    "mcp", "quart", "sanic", "starlette", "strawberry", "typer",
]  # fmt: skip


def integration(name):
    """Return an integration; the test is skipped without its library."""
    library = {"grpc": "grpc", "asgi": "asyncio"}.get(name, name)
    if name == "django":
        pytest.importorskip("django")
        from . import django_site  # noqa: F401
    pytest.importorskip(library)
    return import_module(f"asyncmeta.integrations.{name}")


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_one_word_for_one_idea(name):
    """
    Every integration has the same names beside its framework's own idiom, so imports differ by the module only.
    """
    module = integration(name)

    for word in "setup", "From", "inject", "container_of":
        assert word in module.__all__ and hasattr(module, word), word
    assert list(inspect.signature(module.setup).parameters)[:2] == ["app", "container"]
    assert list(inspect.signature(module.container_of).parameters) == ["app"]


# --- what is asked for ---------------------------------------------------------------------------------


NUMBERS = itertools.count()


class Rates: ...


class Mailer: ...


class Users(AsyncServiceBase):
    mailer = AsyncDependencyDescriptor(Mailer)


def wanting():
    """Return an application class that provides nothing of what the handlers below ask for."""

    class App(AsyncServiceBase): ...

    return App


def start_asgi(app):
    """Start an ASGI application as a server does; raise what it says."""

    async def go():
        async with Server(app).running():
            pass

    asyncio.run(go())


# For each framework: make an application with two handlers, `show_rates` and `list_users`, and start it.


def fastapi(container, mark, inject):
    from fastapi import FastAPI

    module = integration("fastapi")
    app = module.setup(FastAPI(), container)

    async def rates_of(rates: mark[Rates]): ...

    @app.get("/rates")
    async def show_rates(rates: mark[Rates]): ...

    @app.websocket("/users")
    async def list_users(users: mark[Users]): ...

    start_asgi(app)


def fastapi_dependencies(container, mark, inject):
    from fastapi import APIRouter, Depends, FastAPI

    module = integration("fastapi")
    app = module.setup(FastAPI(), container)

    async def show_rates(rates: mark[Rates]): ...

    class list_users:  # named as the other handlers
        def __init__(self, users: mark[Users]): ...

    router = APIRouter(dependencies=[Depends(show_rates)])

    async def between(users: Annotated[object, Depends(list_users)]): ...

    @router.get("/")
    async def home(between: Annotated[object, Depends(between)]): ...

    app.include_router(router, prefix="/shop")
    start_asgi(app)


def fastapi_mounted(container, mark, inject):
    from fastapi import FastAPI
    from fastapi.routing import APIRoute

    module = integration("fastapi")
    app, mounted = module.setup(FastAPI(), container), FastAPI()
    mounted.router.route_class = module.ContainerRoute
    app.mount("/inner", mounted)
    assert mounted.router.route_class is not APIRoute

    @mounted.get("/rates")
    async def show_rates(rates: mark[Rates]): ...

    @mounted.get("/users")
    def list_users(users: mark[Users]): ...

    start_asgi(app)


def starlette(container, mark, inject):
    from starlette.applications import Starlette
    from starlette.endpoints import HTTPEndpoint
    from starlette.routing import Mount, Route

    @inject
    async def show_rates(request, rates: mark[Rates]): ...

    class Orders(HTTPEndpoint):
        @inject
        async def get(self, request, users: mark[Users]): ...

    app = Starlette(routes=[Route("/rates", show_rates), Mount("/inner", routes=[Route("/users", Orders)])])
    start_asgi(integration("starlette").setup(app, container))


def starlette_wrapped(container, mark, inject):
    from starlette.applications import Starlette
    from starlette.routing import Route

    @inject
    async def show_rates(request, rates: mark[Rates]): ...

    @inject
    def list_users(request, users: mark[Users]): ...

    app = Starlette(routes=[Route("/rates", show_rates), Route("/users", list_users)])
    start_asgi(integration("asgi").setup(app, container))


def litestar(container, mark, inject):
    from litestar import Controller, Litestar, get

    @get("/rates")
    @inject
    async def show_rates(rates: mark[Rates]) -> str: ...

    class Orders(Controller):
        @get("/users")
        @inject
        async def list_users(self, users: mark[Users]) -> str: ...

    module = integration("litestar")
    app = Litestar([show_rates, Orders], plugins=[module.ContainerPlugin(container)], logging_config=None, openapi_config=None)
    start_asgi(app)


def litestar_setup(container, mark, inject):
    from litestar import Litestar, get

    @get("/rates")
    @inject
    async def show_rates(rates: mark[Rates]) -> str: ...

    @get("/users")
    @inject
    async def list_users(users: mark[Users]) -> str: ...

    app = Litestar([show_rates, list_users], logging_config=None, openapi_config=None)
    start_asgi(integration("litestar").setup(app, container))


def quart(container, mark, inject):
    from quart import Quart
    from quart.views import MethodView

    app = Quart("shop")

    @app.get("/rates")
    @inject
    async def show_rates(rates: mark[Rates]): ...

    class Orders(MethodView):
        @inject
        async def get(self, users: mark[Users]): ...

    app.add_url_rule("/users", view_func=Orders.as_view("users"))
    start_asgi(integration("quart").setup(app, container))


def blacksheep(container, mark, inject):
    from blacksheep import Application
    from blacksheep.server.routing import Router

    app = integration("blacksheep").setup(Application(router=Router()), container)

    @app.router.get("/rates")
    @inject
    async def show_rates(rates: mark[Rates]): ...

    @app.router.get("/users")
    @inject
    def list_users(users: mark[Users]): ...

    asyncio.run(app.start())


def sanic(container, mark, inject):
    from sanic import Blueprint, Sanic
    from sanic.views import HTTPMethodView

    Sanic.test_mode = True
    app, users = Sanic(f"shop{next(NUMBERS)}", configure_logging=False), Blueprint(f"users{next(NUMBERS)}")
    integration("sanic").setup(app, container)

    @app.get("/rates")
    @inject
    async def show_rates(request, rates: mark[Rates]): ...

    class Orders(HTTPMethodView):
        @inject
        async def get(self, request, users: mark[Users]): ...

    users.add_route(Orders.as_view(), "/users")
    app.blueprint(users)
    start_asgi(app)


def flask(container, mark, inject):
    from flask import Blueprint, Flask

    app, users = Flask("shop"), Blueprint("users", __name__)

    @app.get("/rates")
    @inject
    def show_rates(rates: mark[Rates]): ...

    @users.get("/users")
    @inject
    def list_users(users: mark[Users]): ...

    app.register_blueprint(users)
    integration("flask").setup(app, container)
    with container:
        app.test_client().get("/nowhere")  # Flask has no start-up


def aiohttp(container, mark, inject):
    from aiohttp import web

    @inject
    async def show_rates(request, rates: mark[Rates]): ...

    class Orders(web.View):
        @inject
        async def get(self, users: mark[Users]): ...

    app, sub = integration("aiohttp").setup(web.Application(), container), web.Application()
    app.router.add_get("/rates", show_rates)
    sub.router.add_view("/users", Orders)
    app.add_subapp("/sub", sub)

    async def start():
        await web.AppRunner(app).setup()

    asyncio.run(start())


def django(container, mark, inject):
    module = integration("django")
    from django.test import override_settings
    from django.urls import include, path
    from django.views import View

    from .django_site import site

    @inject
    async def show_rates(request, rates: mark[Rates]): ...

    class Orders(View):
        @inject
        def get(self, request, users: mark[Users]): ...

    patterns = [path("rates", show_rates), path("inner/", include([path("users", Orders.as_view())]))]
    middleware = ["asyncmeta.integrations.django.ContainerMiddleware"]
    with override_settings(ASYNCMETA_CONTAINER=container), site(*patterns, middleware=middleware):
        module.get_asgi_application()


def django_ninja(container, mark, inject):
    module = integration("django")
    ninja = pytest.importorskip("ninja")
    from django.test import override_settings
    from django.urls import path

    from .django_site import site

    api = ninja.NinjaAPI(urls_namespace=f"handlers {next(NUMBERS)}")

    @api.get("/rates")
    @inject
    async def show_rates(request, rates: mark[Rates]): ...

    @api.get("/users")
    @inject
    def list_users(request, users: mark[Users]): ...

    middleware = ["asyncmeta.integrations.django.ContainerMiddleware"]
    with override_settings(ASYNCMETA_CONTAINER=container), site(path("api/", api.urls), middleware=middleware):
        module.get_asgi_application()


def django_rest(container, mark, inject):
    module = integration("django")
    pytest.importorskip("rest_framework")
    from django.test import override_settings
    from django.urls import path
    from rest_framework.decorators import api_view
    from rest_framework.viewsets import ViewSet

    from .django_site import site

    @api_view(["GET", "POST"])
    @inject
    def show_rates(request, rates: mark[Rates]): ...

    class Users_(ViewSet):
        @inject
        def list_users(self, request, users: mark[Users]): ...

    patterns = [path("rates", show_rates), path("users", Users_.as_view({"get": "list_users"}))]
    middleware = ["asyncmeta.integrations.django.ContainerMiddleware"]
    with override_settings(ASYNCMETA_CONTAINER=container), site(*patterns, middleware=middleware):
        module.get_asgi_application()


def mcp(container, mark, inject):
    from mcp.server import MCPServer

    server = integration("mcp").setup(MCPServer("shop"), container)

    @server.tool()
    @inject
    async def show_rates(rates: mark[Rates]) -> str: ...

    @server.prompt()
    @inject
    def list_users(users: mark[Users]) -> str: ...

    async def start():
        async with server._lowlevel_server.lifespan(server._lowlevel_server):
            pass

    asyncio.run(start())


def fastmcp(container, mark, inject):
    from fastmcp import FastMCP

    server = integration("fastmcp").setup(FastMCP("shop"), container)

    @server.tool
    @inject
    async def show_rates(rates: mark[Rates]) -> str: ...

    @server.resource("shop://users")
    @inject
    def list_users(users: mark[Users]) -> str: ...

    async def start():
        async with server._lifespan_manager():  # as each of its transports does
            pass

    asyncio.run(start())


def faststream(container, mark, inject):
    pytest.importorskip("redis")
    from faststream import FastStream, TestApp
    from faststream.redis import RedisBroker, TestRedisBroker

    broker = RedisBroker()
    app = integration("faststream").setup(FastStream(broker), container)

    @broker.subscriber("rates")
    @inject
    async def show_rates(name: str, rates: mark[Rates]): ...

    @broker.subscriber("users")
    @inject
    async def list_users(name: str, users: mark[Users]): ...

    async def start():
        async with TestRedisBroker(broker, connect_only=True), TestApp(app):
            pass

    asyncio.run(start())


def grpc_server(container, mark, inject):
    import grpc

    class Orders:
        @inject
        async def show_rates(self, request, context, rates: mark[Rates]): ...

        @inject
        async def list_users(self, request, context, users: mark[Users]):
            yield b""

    async def start():
        server, orders = integration("grpc").setup(grpc.aio.server(), container), Orders()
        methods = {
            "Rates": grpc.unary_unary_rpc_method_handler(orders.show_rates),
            "Users": grpc.unary_stream_rpc_method_handler(orders.list_users),
        }
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("shop", methods)])
        server.add_insecure_port("127.0.0.1:0")
        try:
            await server.start()
        finally:
            await server.stop(None)

    asyncio.run(start())


def aiogram(container, mark, inject):
    from aiogram import Dispatcher, Router

    dispatcher, router = integration("aiogram").setup(Dispatcher(), container), Router()
    dispatcher.include_router(router)

    @router.message()
    @inject
    async def show_rates(message, rates: mark[Rates]): ...

    @router.callback_query()
    @inject
    def list_users(query, users: mark[Users]): ...

    async def start():
        await dispatcher.emit_startup(bot=None)
        await dispatcher.emit_shutdown(bot=None)

    asyncio.run(start())


def faststream_own(container, mark, inject):
    pytest.importorskip("redis")
    from faststream import Depends, FastStream, TestApp
    from faststream.redis import RedisBroker, TestRedisBroker

    module = integration("faststream")
    broker = RedisBroker(middlewares=[module.ContainerMiddleware(container)])
    app = FastStream(broker, lifespan=module.lifespan(container))

    async def show_rates(rates: module.From[Rates]): ...

    @broker.subscriber("users")
    async def list_users(name: str, users: module.From[Users], rates: Annotated[object, Depends(show_rates)]): ...

    async def start():
        async with TestRedisBroker(broker, connect_only=True), TestApp(app):
            pass

    asyncio.run(start())


def strawberry_schema(container, mark, inject):
    import strawberry

    @strawberry.type
    class Query:
        @strawberry.field
        @inject
        async def rates(self, rates: mark[Rates]) -> int: ...

        @strawberry.field
        @inject
        def users(self, users: mark[Users]) -> int: ...

    integration("strawberry").setup(strawberry.Schema(Query), container)


STARTS = [
    fastapi, fastapi_dependencies, fastapi_mounted, starlette, starlette_wrapped, litestar, litestar_setup, quart, flask, aiohttp,
    blacksheep, sanic, django, django_ninja, django_rest, mcp, fastmcp, faststream, faststream_own, strawberry_schema, aiogram,
    grpc_server,
]  # fmt: skip


#: What the handlers are called where it is not show_rates and list_users.
CALLED = {
    "starlette": ("show_rates", "Orders.get"), "quart": ("show_rates", "Orders.get"), "aiohttp": ("show_rates", "Orders.get"),
    "django": ("show_rates", "Orders.get"), "sanic": ("show_rates", "Orders.get"),
    "strawberry_schema": ("Query.rates", "Query.users"),
}  # fmt: skip


def told(error):
    """Return all that an error says, of those that it holds and comes from, too."""
    said = [str(error), *getattr(error, "__notes__", ())]
    for other in (*getattr(error, "exceptions", ()), error.__cause__):
        if other is not None:
            said.append(told(other))
    return "\n".join(said)


@pytest.mark.parametrize("start", STARTS)
def test_what_handlers_ask_for_is_checked_at_the_start(start):
    """
    An application whose handlers ask for what nobody provides does not start; all of them are told, by name and line.
    """
    name = start.__name__.partition("_")[0]
    module = integration(name)
    mark = module.From if name == "fastapi" else From

    with pytest.raises((Exception, BaseExceptionGroup)) as caught:
        start(Container(wanting()), mark, module.inject)

    text = told(caught.value)
    assert "Rates" in text and "Mailer" in text, text
    assert all(called in text for called in CALLED.get(start.__name__, ("show_rates", "list_users"))), text
    assert text.count("test_handlers.py:") >= 2, text


@pytest.mark.parametrize("start", STARTS)
def test_factories_that_handlers_ask_for_are_checked_at_the_start(start):
    """
    The same for handlers that ask for a `Factory`: what it would make, and what that needs, has to be there.
    """
    name = start.__name__.partition("_")[0]
    module = integration(name)
    mark = module.From if name == "fastapi" else From

    class Making:
        def __class_getitem__(cls, wanted):
            return mark[Factory[wanted]]

    with pytest.raises((Exception, BaseExceptionGroup)) as caught:
        start(Container(wanting()), Making, module.inject)

    text = told(caught.value)
    assert "nothing provides Rates" in text and "nothing provides Mailer" in text, text
    assert text.count("test_handlers.py:") >= 2, text


@pytest.mark.parametrize("start", STARTS)
def test_an_application_in_order_starts(start):
    """
    The same application starts where all that its handlers ask for is provided.
    """
    name = start.__name__.partition("_")[0]
    module = integration(name)

    class App(AsyncServiceBase, providers=[Rates, Mailer]): ...

    start(Container(App), module.From if name == "fastapi" else From, module.inject)


def undecorated(handler):
    return handler


#: What reads marks when a handler is added, and refuses them then.
READS = ("fastapi", "mcp", "fastmcp", "faststream", "straw", "django_ninja")


@pytest.mark.parametrize("start", [start for start in STARTS if not start.__name__.startswith(READS)])
def test_a_mark_that_nobody_fills_is_refused(start):
    """
    Where no decorator fills the marks of a handler, the application does not start, or the handler is not taken: a client
    could fill some of them; the text names the handler, its parameter and what to write.
    """
    name = start.__name__.partition("_")[0]
    integration(name)

    class App(AsyncServiceBase, providers=[Rates, Mailer]): ...

    with pytest.raises((Exception, BaseExceptionGroup)) as caught:
        start(Container(App), From, undecorated)

    text = told(caught.value)
    assert "nobody fills rates of " in text and CALLED.get(start.__name__, ("show_rates",))[0] in text, text
    assert "@inject" in text and "test_handlers.py:" in text, text


@pytest.mark.parametrize("start", [start for start in STARTS if not start.__name__.startswith(READS)])
def test_what_another_container_fills_is_asked_of_that(start):
    """
    Handlers under the ``inject`` of a second container were checked by it, and the one of the application need not know of that.
    """
    integration(start.__name__.partition("_")[0])

    class Other(AsyncServiceBase, providers=[Rates, Mailer]): ...

    start(Container(wanting()), From, Container(Other).inject)


def test_routers_of_several_containers_in_one_application():
    """
    A route class that has its own container is none of the application's.
    """
    module = integration("fastapi")
    from fastapi import APIRouter, FastAPI

    class Other(AsyncServiceBase, providers=[Rates, Mailer]): ...

    app = module.setup(FastAPI(), Container(wanting()))
    router = APIRouter(route_class=module.ContainerRoute.of(Container(Other)))

    @router.get("/rates")
    async def show_rates(rates: module.From[Rates]): ...

    @router.get("/users")
    async def list_users(users: From[Users]):
        yield users

    app.include_router(router)
    start_asgi(app)


@pytest.mark.parametrize(("outer", "inner"), [("fastapi", "fastapi"), ("asgi", "fastapi"), ("asgi", "asgi")])
def test_handlers_of_an_application_with_two_containers_see_the_inner_one(outer, inner):
    """
    A container around another one lives with the application, and is not asked for what its handlers get from the inner one.
    """
    module, around, between = integration("fastapi"), integration(outer), integration(inner)
    from fastapi import FastAPI

    class Inner(AsyncServiceBase, providers=[Rates, Mailer]): ...

    app, container = FastAPI(), Container(Inner)

    @app.get("/rates")
    async def show_rates(rates: module.From[Rates]): ...

    @app.get("/users")
    async def list_users(users: module.From[Users]): ...

    served = between.setup(app, container)
    start_asgi(around.setup(served, Container(wanting())))
    assert between.container_of(served) is container


@pytest.mark.parametrize("way", ["setup", "wrapped", "litestar", "quart", "middleware of a mount", "middleware of a route"])
def test_what_is_mounted_with_a_container_of_its_own_is_not_asked_for(way):
    """
    However it was given its container: the one of the application around it need not know what its handlers ask for.
    """
    module = integration("starlette")
    library = way if way in ("litestar", "quart") else "starlette"
    own = integration(library)
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.routing import Mount, Route

    class Other(AsyncServiceBase, providers=[Rates]): ...

    container = Container(Other)

    @own.inject
    async def show_rates(request, rates: From[Rates]): ...

    inner = [Route("/rates", show_rates)]
    stack = [Middleware(module.ContainerMiddleware, container=container)]
    if way == "setup":
        route = Mount("/sub", module.setup(Starlette(routes=inner), container))
    elif way == "wrapped":
        route = Mount("/sub", integration("asgi").setup(Starlette(routes=inner), container))
    elif way == "middleware of a mount":
        route = Mount("/sub", routes=inner, middleware=stack)
    elif way == "middleware of a route":
        route = Route("/rates", show_rates, middleware=stack)
    elif way == "quart":
        from quart import Quart

        app = own.setup(Quart("shop"), container)
        app.add_url_rule("/rates", view_func=show_rates)
        route = Mount("/sub", app)
    else:
        from litestar import Litestar, get

        @get("/rates")
        @own.inject
        async def list_rates(rates: From[Rates]) -> str: ...

        app = Litestar([list_rates], plugins=[own.ContainerPlugin(container)], logging_config=None)
        route = Mount("/sub", app)

    start_asgi(module.setup(Starlette(routes=[route]), Container(wanting())))


@guarded
async def test_a_middleware_of_a_mount_checks_what_is_mounted_there():
    """
    Its container is asked for what stands inside of the mount, at the first request, and for nothing else of the application.
    """
    module = integration("starlette")
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.responses import PlainTextResponse
    from starlette.routing import Mount, Route

    class One(AsyncServiceBase, providers=[Rates]): ...

    class Two(AsyncServiceBase, providers=[Mailer]): ...

    @module.inject
    async def show_rates(request, rates: From[Rates]):
        return PlainTextResponse("rates")

    @module.inject
    async def list_users(request, users: From[Users]):
        return PlainTextResponse("users")

    def mount(path, handler, app):
        stack = [Middleware(module.ContainerMiddleware, container=Container(app))]
        return Mount(path, routes=[Route("/", handler)], middleware=stack)

    mounts = mount("/one", show_rates, One), mount("/two", list_users, Two), mount("/bad", show_rates, Two)
    server = Server(Starlette(routes=mounts))

    answers = [(await server.http(path).run()).got[0]["status"] for path in ("/one/", "/two/")]
    with pytest.raises(GraphErrors, match="nothing provides Rates"):
        await server.http("/bad/").run()
    assert answers == [200, 200]


def test_what_is_mounted_below_middleware_is_checked():
    """
    A middleware of a mount hides none of its handlers.
    """
    module = integration("starlette")
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.middleware.gzip import GZipMiddleware
    from starlette.routing import Mount, Route

    @module.inject
    async def show_rates(request, rates: From[Rates]): ...

    route = Mount("/sub", routes=[Route("/rates", show_rates)], middleware=[Middleware(GZipMiddleware)])

    with pytest.raises(AssertionError, match="nothing provides Rates"):
        start_asgi(module.setup(Starlette(routes=[route]), Container(wanting())))


def test_what_is_mounted_of_another_framework_is_checked():
    """
    Without a container of its own it is served by the one around it, and asked of that.
    """
    module = integration("starlette")
    own = integration("quart")
    from quart import Quart
    from starlette.applications import Starlette
    from starlette.routing import Mount

    @own.inject
    async def show_rates(rates: From[Rates]): ...

    app = Quart("shop")
    app.add_url_rule("/rates", view_func=show_rates)

    with pytest.raises(AssertionError, match="nothing provides Rates"):
        start_asgi(module.setup(Starlette(routes=[Mount("/sub", app)]), Container(wanting())))


def test_a_part_of_a_function_that_another_container_fills_is_asked_of_that():
    """
    A handler may be a partial of one.
    """
    module = integration("starlette")
    from starlette.applications import Starlette
    from starlette.routing import Route

    class Other(AsyncServiceBase, providers=[Rates]): ...

    @Container(Other).inject
    async def show_rates(request, *, currency, rates: From[Rates]): ...

    route = Route("/rates", functools.partial(show_rates, currency="pounds"), name="rates")
    start_asgi(module.setup(Starlette(routes=[route]), Container(wanting())))


def test_a_resolver_with_a_mark_that_nobody_fills_is_refused():
    """
    The same for a schema of Strawberry, which would make an argument of the mark.
    """
    module = integration("strawberry")
    import strawberry

    @strawberry.type
    class Query:
        @strawberry.field
        def price(self, currency: Annotated[str, Inject("currency")] = "dollars") -> str: ...

    with pytest.raises(GraphErrors, match=r"nobody fills currency of .*Query\.price, field Query\.price"):
        module.setup(strawberry.Schema(Query), Container(wanting()))


@pytest.mark.parametrize("name", ["flask", "quart"])
def test_a_view_with_a_mark_that_nobody_fills_is_refused_at_its_line(name):
    """
    After `setup`, Flask and Quart refuse such a view when it is added: a part of its address could fill the mark.
    """
    module = integration(name)
    app = getattr(import_module(name), name.capitalize())("shop")
    module.setup(app, Container(wanting()))

    with pytest.raises(GraphErrors, match=r"nobody fills currency of show_price, view of /<currency>"):

        @app.get("/<currency>")
        def show_price(currency: Annotated[str, Inject("currency")]): ...


def test_a_start_with_fakes_is_checked_with_them():
    """
    What an override brings counts: a test of an application that lacks something may bring it.
    """

    class App(AsyncServiceBase, providers=[Mailer]): ...

    container = Container(App)
    module = integration("fastapi")
    with container.override({Rates: Rates()}, everywhere=True, new=True):
        fastapi(container, module.From, module.inject)


# --- whose container -----------------------------------------------------------------------------------


def test_the_container_of_an_application():
    """
    Each integration tells which container an application was given, whichever way; one without is told how to get it.
    """
    pytest.importorskip("fastapi")
    from fastapi import FastAPI

    module, container = integration("fastapi"), Container(wanting())
    by_setup, by_middleware = module.setup(FastAPI(), container), FastAPI()
    by_middleware.add_middleware(module.ContainerMiddleware, container=container)

    assert module.container_of(by_setup) is module.container_of(by_middleware) is container
    with pytest.raises(ScopeError, match=r"setup\(app, container\)"):
        module.container_of(FastAPI())


@guarded
async def test_the_container_of_a_lifespan():
    """
    An application that makes a container for each lifespan tells that of the one that runs.
    """
    pytest.importorskip("fastapi")
    from fastapi import FastAPI

    module, App = integration("fastapi"), wanting()
    app = module.setup(FastAPI(), App)

    async with Server(app).running():
        found = module.container_of(app)
        assert not found.closed
    assert found.closed


@pytest.mark.parametrize(
    "name", ["litestar", "quart", "flask", "aiohttp", "grpc", "mcp", "fastmcp", "faststream", "typer", "click", "asgi"]
)
def test_the_container_that_setup_gives(name):
    """
    What `setup` was given is what `container_of` tells.
    """
    module, container = integration(name), Container(wanting())

    def make():
        if name == "litestar":
            from litestar import Litestar

            return Litestar([])
        if name in ("quart", "flask"):
            return getattr(import_module(name), name.capitalize())("shop")
        if name == "aiohttp":
            from aiohttp import web

            return web.Application()
        if name == "mcp":
            from mcp.server import MCPServer

            return MCPServer("shop")
        if name == "fastmcp":
            from fastmcp import FastMCP

            return FastMCP("shop")
        if name == "faststream":
            from faststream import FastStream
            from faststream.redis import RedisBroker

            return FastStream(RedisBroker())
        if name == "typer":
            import typer

            return typer.Typer()
        if name == "click":
            import click

            return click.Group("shop")
        return [] if name == "grpc" else (lambda scope, receive, send: None)

    with pytest.raises(ScopeError):
        module.container_of(make())
    app = module.setup(make(), container)

    assert module.container_of(app) is container
