"""Health and development: what an application answers in its frameworks' place."""

import json
import re

import pytest
from helpers import guarded

from asyncmeta import AsyncServiceBase, Container, inject_dependency
from asyncmeta.development import DevelopmentPage
from asyncmeta.integrations.asgi import HealthEndpoint

from .asgi_server import Server


class Database:
    well = True

    async def ping(self):
        if not self.well:
            raise ConnectionError("secret of the database")


class Users:
    def __init__(self, database: Database):
        self.database = database


class Shop(AsyncServiceBase): ...


inject_dependency(Database, on=Shop, health="ping")(Database)
inject_dependency(on=Shop)(Users)


def plain(container):
    from asyncmeta.integrations.asgi import setup

    async def app(scope, receive, send):
        if scope["type"] != "http":
            raise NotImplementedError
        await send({"type": "http.response.start", "status": 404, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    return setup(app, container, health="/health")


def fastapi(container):
    pytest.importorskip("fastapi")
    from fastapi import FastAPI

    from asyncmeta.integrations.fastapi import setup

    return setup(FastAPI(), container, health="/health")


def litestar(container):
    pytest.importorskip("litestar")
    from litestar import Litestar

    from asyncmeta.integrations.litestar import ContainerPlugin

    return Litestar([], plugins=[ContainerPlugin(container, health="/health")], logging_config=None)


def litestar_setup(container):
    pytest.importorskip("litestar")
    from litestar import Litestar

    from asyncmeta.integrations.litestar import setup

    return setup(Litestar([], logging_config=None), container, health="/health")


def quart(container):
    pytest.importorskip("quart")
    from quart import Quart

    from asyncmeta.integrations.quart import setup

    return setup(Quart("shop"), container, health="/health")


def starlette(container):
    pytest.importorskip("starlette")
    from starlette.applications import Starlette

    from asyncmeta.integrations.starlette import setup

    return setup(Starlette(), container, health="/health")


def blacksheep(container):
    pytest.importorskip("blacksheep")
    from blacksheep import Application
    from blacksheep.server.routing import Router

    from asyncmeta.integrations.blacksheep import setup

    return HealthEndpoint(setup(Application(router=Router()), container))


def sanic(container):
    pytest.importorskip("sanic")
    from sanic import Sanic

    from asyncmeta.integrations.sanic import setup

    Sanic.test_mode = True
    app = setup(Sanic(f"health{id(container)}", configure_logging=False), container)

    @app.get("/")  # without any route it answers 500
    async def home(request): ...

    return HealthEndpoint(app)


def django(container):
    pytest.importorskip("django")
    from django.test import override_settings

    from asyncmeta.integrations.django import get_asgi_application

    from .django_site import site

    with override_settings(ASYNCMETA_CONTAINER=container), site(middleware=["asyncmeta.integrations.django.ContainerMiddleware"]):
        return HealthEndpoint(get_asgi_application())


async def asked(server, path, **more):
    """Return status and body of a request."""
    exchange = await server.http(path, **more).run()
    return exchange.got[0]["status"], b"".join(message.get("body", b"") for message in exchange.got)


@pytest.mark.parametrize("make", [plain, starlette, fastapi, litestar, litestar_setup, quart, blacksheep, sanic, django])
@guarded
async def test_health_in_one_line(make):
    """
    An option of the integration answers whether the process lives and whether all is well, with what is degraded, and never
    with the text of an error; other paths are the application's.
    """
    container = Container(Shop)
    server = Server(make(container))

    async with server.running():
        database = await container.get(Database)
        assert await asked(server, "/health/live") == (200, b'{"ok": true}')
        status, body = await asked(server, "/health/ready")
        assert (status, json.loads(body)["ok"]) == (200, True)
        database.well = False
        status, body = await asked(server, "/health/ready")
        assert (await asked(server, "/health/other"))[0] == 404

    assert status == 503
    assert json.loads(body)["degraded"] == ["Users"]
    assert b"secret" not in body


@pytest.mark.parametrize("make", [plain, starlette, fastapi, litestar, litestar_setup, quart, blacksheep, sanic, django])
@pytest.mark.parametrize("path", ["/api/health/live", "/health/live"])
@guarded
async def test_health_behind_a_proxy_that_takes_a_path_away(make, path):
    """
    A server that is told the path of its proxy puts it before what is asked for, or does not.
    """
    server = Server(make(Container(Shop)))

    async with server.running():
        assert (await asked(server, path, root_path="/api"))[0] == 200


@guarded
async def test_health_behind_a_proxy_whose_path_is_its_own():
    """
    What is asked for as it stands is meant so.
    """
    server = Server(plain(Container(Shop)))

    async with server.running():
        assert (await asked(server, "/health/live", root_path="/health"))[0] == 200


@guarded
async def test_health_of_an_application_that_is_mounted():
    """
    Its paths lie below that of the mount.
    """
    pytest.importorskip("starlette")
    from starlette.applications import Starlette
    from starlette.routing import Mount

    container = Container(Shop)
    server = Server(Starlette(routes=[Mount("/sub", starlette(container))]))

    async with container, server.running():
        assert [(await asked(server, path))[0] for path in ("/sub/health/live", "/health/live")] == [200, 404]


@guarded
async def test_health_of_a_container_that_is_closed():
    """
    Where the container is closed the application is neither alive nor ready.
    """
    container = Container(Shop)
    async with container:
        pass
    server = Server(plain(container))

    assert [(await asked(server, f"/health/{word}"))[0] for word in ("live", "ready")] == [503, 503]


@guarded
async def test_health_is_read_only():
    """
    Methods other than GET and HEAD are refused; HEAD has no body.
    """
    app, sent = plain(Container(Shop)), []

    async def send(message):
        sent.append(message)

    for method in "POST", "HEAD":
        await app({**Server(None).http("/health/live").scope, "method": method}, None, send)

    assert [message.get("status", message.get("body")) for message in sent] == [405, b'{"ok": false}', 200, b""]


# --- the page for development ---


def scope(path, *, client="127.0.0.1", host="localhost:8000", **headers):
    found = Server(None).http(path).scope
    fields = [(b"host", host.encode()), *((name.replace("_", "-").encode(), b"1.2.3.4") for name in headers)]
    return {**found, "client": (client, 1), "headers": fields}


async def page(app, connection):
    """Return status and text of what *app* answers."""
    sent = []

    async def send(message):
        sent.append(message)

    await app(connection, None, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent).decode()


def developed(**options):
    """Return a FastAPI application under development, and its container."""
    pytest.importorskip("fastapi")
    from fastapi import FastAPI

    from asyncmeta.integrations.fastapi import From, setup

    container = Container(Shop)
    app = setup(FastAPI(), container)

    @app.get("/users")
    async def list_users(users: From[Users]): ...

    app.add_middleware(DevelopmentPage, **options)
    return app, container


@guarded
async def test_the_page_shows_the_graph_and_the_last_start():
    """
    Below its path stand the graph, with the handlers, and the report of the last start-up; nothing is loaded from elsewhere.
    """
    app, _ = developed()

    async with Server(app).running():
        first = await page(app, scope("/_asyncmeta"))
        graph = await page(app, scope("/_asyncmeta/graph"))
        start = await page(app, scope("/_asyncmeta/start"))
        other = await page(app, scope("/_asyncmeta/other"))

    assert [status for status, _ in (first, graph, start, other)] == [200, 200, 200, 404]
    assert "/_asyncmeta/graph" in first[1]
    assert "list_users" in graph[1] and "Database" in graph[1]
    assert "Users" in start[1]
    assert not re.search(r"""(?:src|href)=["']?https?:""", graph[1] + start[1])


@guarded
async def test_the_page_behind_a_proxy_that_takes_a_path_away():
    """
    The page is found below the path that the server was told, and leads to pages there.
    """
    app, _ = developed()

    async with Server(app).running():
        first = await page(app, {**scope("/api/_asyncmeta"), "root_path": "/api"})
        graph = await page(app, {**scope("/api/_asyncmeta/graph"), "root_path": "/api"})

    assert first[0] == graph[0] == 200
    assert '"/api/_asyncmeta/graph"' in first[1]


@pytest.mark.parametrize("connection", [
    scope("/_asyncmeta/graph", client="10.0.0.7"), scope("/_asyncmeta/graph", x_forwarded_for=True),
    scope("/_asyncmeta/graph", host="evil.example"), scope("/_asyncmeta/graph", client="testclient"),
    scope("/_asyncmetax/graph"), {**scope("/_asyncmeta/graph"), "method": "POST"}, {**scope("/_asyncmeta/graph"), "client": None},
])  # fmt: skip
@guarded
async def test_the_page_is_for_this_machine_only(connection):
    """
    Who asks from elsewhere, through a proxy, or by another machine's name gets what the application answers.
    """
    app, _ = developed()

    async with Server(app).running():
        status, text = await page(app, connection)

    assert status in (404, 405) and "Database" not in text


@guarded
async def test_the_page_can_be_shown_anywhere():
    """
    Where that is asked for, the page is shown to everybody.
    """
    app, _ = developed(anywhere=True, path="/inside")

    async with Server(app).running():
        assert (await page(app, scope("/inside/graph", client="10.0.0.7", host="shop.example")))[0] == 200


@guarded
async def test_the_page_around_an_application_that_is_no_framework_s():
    """
    Any ASGI application can be wrapped, outside of its container; before a start there is no report of one.
    """
    app = DevelopmentPage(plain(Container(Shop)))

    assert (await page(app, scope("/_asyncmeta/graph")))[0] == 200
    assert (await page(app, scope("/_asyncmeta/start")))[0] == 404


@guarded
async def test_the_page_of_a_container_that_is_given():
    """
    An application of no framework that we know can be wrapped with its container: the graph is that of the container alone.
    """

    async def nothing(scope, receive, send): ...

    app = DevelopmentPage(nothing, Container(Shop))
    status, text = await page(app, scope("/_asyncmeta/graph"))

    assert status == 200
    assert "Database" in text


class Secret:
    """What nobody may read."""

    def __init__(self, word="hunter-two"):
        self.word = word

    def __repr__(self):
        return f"Secret({self.word})"


@guarded
async def test_no_value_is_on_the_pages():
    """
    Neither page shows a value: not of a factory, of the container's context, of a registered value, nor a parameter's default.
    """
    pytest.importorskip("fastapi")
    from fastapi import FastAPI

    from asyncmeta.integrations.fastapi import From, setup

    class Vault(AsyncServiceBase, context={"singleton": ["given"]}): ...

    def open_secret(password: str = "hunter-two") -> Secret:
        return Secret()

    Vault.register_dependency(Secret, open_secret)
    Vault.register_value("written", Secret())
    container = Container(Vault, {"given": Secret()})
    app = setup(FastAPI(), container)

    @app.get("/")
    async def show(secret: From[Secret], password: str = "hunter-two"): ...

    app.add_middleware(DevelopmentPage)
    async with Server(app).running():
        pages = [await page(app, scope(f"/_asyncmeta/{name}")) for name in ("graph", "start")]

    assert [status for status, _ in pages] == [200, 200]
    assert all("Secret" in text for _, text in pages)
    assert not any("hunter" in text for _, text in pages)
