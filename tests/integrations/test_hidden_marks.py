"""Where a mark hides from the framework that reads a handler: it is refused at the start all the same."""

import asyncio
import functools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from typing import Annotated

import helpers
import pydantic
import pytest

from asyncmeta import All, Container, From, GraphErrors, Inject
from asyncmeta.integrations._handlers import check
from asyncmeta.integrations._marks import marked_inside

from .test_handlers import start_asgi as start, told


class Settings(pydantic.BaseModel):
    is_admin: bool = False


class Order(pydantic.BaseModel):
    """What a client sends, with something that it should not."""

    name: str = ""
    settings: From[Settings] = Settings()


@dataclass
class Line:
    order: Order | None = None
    every: All[Settings] = ()


async def order(sent: Order): ...


async def show_price(currency: Annotated[str, Inject("currency")] = "dollars"): ...


class Desk:
    async def __call__(self, settings: From[Settings]): ...


def app_of():
    app = helpers.fresh_app()
    app.register_value(Settings, Settings())
    app.register_value("currency", "euros")
    return Container(app)


def refused(act):
    """Return what *act* is refused with."""
    with pytest.raises((Exception, BaseExceptionGroup)) as caught:
        act()
    return told(caught.value)


# --- fields of models ---


def in_fastapi():
    from fastapi import FastAPI

    from asyncmeta.integrations.fastapi import setup

    app = setup(FastAPI(), app_of())
    app.post("/")(order)
    start(app)


def in_fastapi_query():
    from fastapi import FastAPI, Query

    from asyncmeta.integrations.fastapi import setup

    app = setup(FastAPI(), app_of())

    @app.post("/")
    async def order(sent: Annotated[Order, Query()]): ...

    start(app)


def in_litestar():
    from litestar import Litestar, post
    from litestar.params import Body

    from asyncmeta.integrations.litestar import ContainerPlugin

    async def order(data: Annotated[list[Order], Body()]) -> None: ...

    start(Litestar([post("/")(order)], plugins=[ContainerPlugin(app_of())], logging_config=None, openapi_config=None))


def in_mcp():
    from mcp.server import MCPServer

    integration, server = import_module("asyncmeta.integrations.mcp"), MCPServer("shop")
    server.tool()(order)
    check(app_of(), integration.handlers_of(server), integration.CURE, "the server")


def in_fastmcp():
    from fastmcp import FastMCP

    integration, server, inner = import_module("asyncmeta.integrations.fastmcp"), FastMCP("shop"), FastMCP("orders")
    inner.tool(order)
    server.mount(inner, namespace="orders")
    check(app_of(), integration.handlers_of(server), integration.CURE, "the server")


def in_faststream():
    pytest.importorskip("redis")
    from faststream import FastStream
    from faststream.redis import RedisBroker

    integration, broker = import_module("asyncmeta.integrations.faststream"), RedisBroker()
    broker.subscriber("orders")(order)
    check(app_of(), integration.handlers_of(FastStream(broker)), integration.CURE, "the application")


def in_strawberry():
    import strawberry

    from asyncmeta.integrations.strawberry import setup

    Sent = strawberry.input(type("Order", (), {"__annotations__": {"settings": Annotated[str, Inject("settings")]}}))

    def resolve(sent):
        return sent.settings

    resolve.__name__ = resolve.__qualname__ = "order"
    resolve.__annotations__ = {"sent": Sent, "return": str}
    Query = strawberry.type(type("Query", (), {"__annotations__": {"order": str}, "order": strawberry.field(resolve)}))
    setup(strawberry.Schema(Query), app_of())


def in_ninja():
    from . import django_site

    integration, ninja = import_module("asyncmeta.integrations.django"), import_module("ninja")
    from django.urls import path

    api = ninja.NinjaAPI(urls_namespace="hidden marks")

    @api.post("/")
    def order(request, sent: Order): ...

    with django_site.site(path("", api.urls)):
        check(app_of(), integration.handlers_of(), integration.CURE, "the application")


@pytest.mark.parametrize(
    "read", [in_fastapi, in_fastapi_query, in_litestar, in_mcp, in_fastmcp, in_faststream, in_strawberry, in_ninja],
)  # fmt: skip
def test_a_model_that_a_client_sends_has_no_marked_fields(read):
    """
    A marked field of a model that a framework makes of a request would be the client's: told with field, handler and cure.
    """
    package = read.__name__.split("_")[1]
    if package == "ninja":  # reads Django's settings when it is imported
        pytest.importorskip("django")
        from . import django_site  # noqa: F401
    pytest.importorskip(package)

    text = refused(read)

    assert "Order.settings would be filled by the client, who sends what " in text
    assert "order, " in text and "take the mark out of the model" in text


def test_marked_fields_are_found_inside_of_models():
    """
    In models of models, unions and collections, of every kind of mark; a class that is no model is not looked into.
    """

    class Service:
        settings: From[Settings]

    assert sorted(marked_inside(dict[str, Line | None])) == ["Line.every", "Order.settings"]
    assert list(marked_inside(Service)) == []


# --- parameters that are read in another way ---


def by_default():
    from fastapi import Body, FastAPI

    from asyncmeta.integrations.fastapi import setup

    app = setup(FastAPI(), app_of())

    @app.post("/")
    async def show_price(currency: Annotated[str, Inject("currency")] = Body()): ...

    start(app)


def by_an_object():
    from fastapi import FastAPI

    from asyncmeta.integrations.fastapi import setup

    app = setup(FastAPI(), app_of())
    app.add_api_route("/", Desk(), methods=["POST"])
    start(app)


def by_a_listener():
    from litestar import Litestar, websocket_listener

    from asyncmeta.integrations.litestar import ContainerPlugin

    @websocket_listener("/")
    async def show_price(data: str, currency: Annotated[str, Inject("currency")] = "dollars") -> str: ...

    start(Litestar([show_price], plugins=[ContainerPlugin(app_of())], logging_config=None, openapi_config=None))


def by_a_guard():
    from litestar import Litestar, get

    from asyncmeta.integrations.litestar import ContainerPlugin

    @get("/")
    async def home() -> None: ...

    def show_price(connection, handler, currency: Annotated[str, Inject("currency")] = "dollars"): ...

    app = Litestar([home], guards=[show_price], plugins=[ContainerPlugin(app_of())], logging_config=None, openapi_config=None)
    start(app)


def by_middleware_of_fastapi():
    from fastapi import FastAPI

    from asyncmeta.integrations.fastapi import setup

    app = setup(FastAPI(), app_of())

    @app.middleware("http")
    async def show_price(request, call_next, currency: Annotated[str, Inject("currency")]): ...

    start(app)


def by_middleware_of_a_route():
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.middleware.base import BaseHTTPMiddleware
    from starlette.routing import Route

    from asyncmeta.integrations.starlette import setup

    async def show_price(request, call_next, currency: Annotated[str, Inject("currency")]): ...

    async def home(request): ...

    start(setup(Starlette(routes=[Route("/", home, middleware=[Middleware(BaseHTTPMiddleware, dispatch=show_price)])]), app_of()))


def by_middleware_of_blacksheep():
    from blacksheep import Application

    from asyncmeta.integrations.blacksheep import setup

    app = setup(Application(), app_of())

    async def show_price(request, handler, currency: Annotated[str, Inject("currency")]): ...

    app.middlewares.append(show_price)
    asyncio.run(app.start())


def of_sanic(add):
    from sanic import Sanic

    integration = import_module("asyncmeta.integrations.sanic")
    Sanic.test_mode = True
    app = Sanic(f"marks_{add.__name__}")
    try:
        add(app)
        app.router.finalize()
        check(app_of(), integration.handlers_of(app), integration.CURE, "the application")
    finally:
        Sanic.unregister_app(app)


def by_middleware_of_sanic():
    def around(app):
        app.get("/")(lambda request: None)
        app.on_request(functools.partial(show_price))

    of_sanic(around)


def by_a_websocket_of_sanic():
    async def show_price(request, ws, currency: Annotated[str, Inject("currency")]): ...

    def socket(app):
        app.websocket("/<currency>")(show_price)

    of_sanic(socket)


READ = {
    by_default: "fastapi", by_an_object: "fastapi", by_a_listener: "litestar", by_a_guard: "litestar",
    by_middleware_of_fastapi: "fastapi", by_middleware_of_a_route: "starlette", by_middleware_of_blacksheep: "blacksheep",
    by_middleware_of_sanic: "sanic", by_a_websocket_of_sanic: "sanic",
}  # fmt: skip


@pytest.mark.parametrize("read", READ)
def test_a_mark_is_refused_wherever_it_is_read(read):
    """
    A default that says whence, an object that is called, a listener, a guard, middleware: who has the mark is told, with a cure.
    """
    pytest.importorskip(READ[read])

    text = refused(read)

    assert "show_price" in text or "Desk" in text
    assert "inject" in text or "asyncmeta.integrations" in text


def test_an_application_without_a_lifespan_is_checked_at_its_first_request():
    """
    A server that sends no lifespan, or a test client, gets no answer from handlers with marks that a client would fill.
    """
    pytest.importorskip("fastapi")
    from fastapi import Body, FastAPI
    from fastapi.testclient import TestClient

    from asyncmeta.integrations.fastapi import setup

    app = setup(FastAPI(), app_of())

    @app.post("/")
    async def show_price(currency: Annotated[str, Inject("currency")] = Body()): ...

    client = TestClient(app)

    for _ in range(2):
        with pytest.raises(GraphErrors, match="nobody fills currency of show_price"):
            client.post("/", json="pounds")


def test_a_model_beside_functions_of_other_modules_is_no_handler():
    """
    Only frameworks read parameters: a program that defines a model where it has functions of all kinds at hand may mark fields.
    """
    outcome, shop = helpers.outcome, helpers.Journal

    class Desk(pydantic.BaseModel):
        settings: From[Settings]

    assert outcome is not shop
    assert Desk(settings=Settings()).settings == Settings()


def test_a_model_that_a_framework_makes_of_a_partial_or_a_method():
    """
    What a framework has at hand may be bound, partly or to an object: the function that it will call is looked at.
    """
    names = {"__name__": "fastapi.made_up", "pydantic": pydantic}
    exec("def read(call, annotation):\n    return pydantic.TypeAdapter(annotation)", names)

    class Users:
        async def show(self, settings: From[Settings]): ...

    for call in (Users().show, functools.partial(show_price, "pounds"), functools.partial(Users().show)):
        with pytest.raises(Exception, match="is marked to be filled by a container, but fastapi reads it from the request"):
            names["read"](call, From[Settings])


def test_a_model_that_another_package_makes_for_some_end_of_its_own():
    """
    A package that is no framework may hold functions with marks of other kinds: it makes what model it likes.
    """
    names = {"__name__": "made_up_package", "pydantic": pydantic}
    text = "def read(call, annotation):\n    return pydantic.TypeAdapter(annotation)"
    exec(compile(text, "/site-packages/made_up.py", "exec"), names)

    def plain(settings: Settings): ...

    assert names["read"](plain, From[Settings]).validate_python(Settings()) == Settings()


def test_a_model_that_a_thread_makes_by_itself_is_a_user_s():
    """
    Where nothing but Python's own threads stands around the making of a model, no framework reads a mark of it.
    """
    with ThreadPoolExecutor(1) as pool:
        read = pool.submit(pydantic.TypeAdapter, From[int]).result()

    assert read.validate_python("3") == 3
