"""When a request has failed: the same in every framework."""

import asyncio
import contextlib
import functools
import itertools

import pytest
from helpers import Journal, guarded

from asyncmeta import AsyncServiceBase, Container, From, inject_dependency, injected

from .asgi_server import Server
from .shops import Lines as Session, ending


class Conflict(Exception):
    """What the application has an error handler for."""


class World:
    """A container whose sessions take note of how they end, and may fail to commit."""

    def __init__(self, *, sync=False):
        self.journal = journal = Journal()
        self.commit_fails = None

        class App(AsyncServiceBase):
            pass

        def open_session():
            with ending(journal, Session(journal), lambda: self.commit_fails) as session:
                yield session

        async def await_session():
            with ending(journal, Session(journal), lambda: self.commit_fails) as session:
                yield session

        inject_dependency(Session, on=App, lifetime="scoped")(open_session if sync else await_session)
        self.container = Container(App)


NUMBERS = itertools.count()

KINDS = ("fine", "found", "raised", "returned", "handled", "hidden")
STATUS = {"fine": 200, "found": 302, "raised": 404, "returned": 409, "handled": 409, "hidden": 200}


async def over_asgi(app, path):
    """Start an application, ask for one path, stop it; return the status."""
    server = Server(app)
    async with server.running():
        exchange = await server.http(f"/{path}").run()
    return exchange.got[0]["status"]


def answer_with(hidden):
    return STATUS["hidden" if hidden else "handled"]


# --- one function for each framework: what its handler does is one of KINDS ---


async def starlette(world, kind, **options):
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException
    from starlette.middleware import Middleware
    from starlette.responses import PlainTextResponse, RedirectResponse
    from starlette.routing import Route

    from asyncmeta.integrations.starlette import ContainerMiddleware, inject

    @inject
    async def handler(request, session: From[Session]):
        if kind in ("handled", "hidden"):
            raise Conflict
        if kind == "raised":
            raise HTTPException(404)
        return RedirectResponse("/", 302) if kind == "found" else PlainTextResponse("", STATUS[kind])

    def told(request, error):
        return PlainTextResponse("told", answer_with(kind == "hidden"))

    return await over_asgi(
        Starlette(
            routes=[Route(f"/{kind}", handler)],
            middleware=[Middleware(ContainerMiddleware, container=world.container, **options)],
            exception_handlers={Conflict: told},
        ),
        kind,
    )


async def fastapi(world, kind, *, route=None, **options):
    from fastapi import FastAPI, HTTPException, Response
    from fastapi.responses import RedirectResponse

    from asyncmeta.integrations.fastapi import ContainerMiddleware, ContainerRoute, From

    app = FastAPI()
    if route == "of":
        app.router.route_class = ContainerRoute.of(world.container, **options)
        app.add_middleware(ContainerMiddleware, container=world.container, connections=False)
    else:
        app.add_middleware(ContainerMiddleware, container=world.container, **options)
        if route:
            app.router.route_class = ContainerRoute

    @app.exception_handler(Conflict)
    def told(request, error):
        return Response("told", answer_with(kind == "hidden"))

    @app.get(f"/{kind}")
    async def handler(session: From[Session]):
        if kind in ("handled", "hidden"):
            raise Conflict
        if kind == "raised":
            raise HTTPException(404)
        return RedirectResponse("/", 302) if kind == "found" else Response("", STATUS[kind])

    return await over_asgi(app, kind)


async def litestar(world, kind, *, later=False, **options):
    from litestar import Litestar, Response, get
    from litestar.exceptions import NotFoundException
    from litestar.response import Redirect

    from asyncmeta.integrations.litestar import ContainerPlugin, setup

    @get(f"/{kind}")
    @injected
    async def handler(session: From[Session]) -> Response:
        if kind in ("handled", "hidden"):
            raise Conflict
        if kind == "raised":
            raise NotFoundException
        return Redirect("/", status_code=302) if kind == "found" else Response("", status_code=STATUS[kind])

    def told(request, error):
        return Response("told", status_code=answer_with(kind == "hidden"))

    plugins = [] if later else [ContainerPlugin(world.container, **options)]
    app = Litestar([handler], plugins=plugins, exception_handlers={Conflict: told}, logging_config=None, openapi_config=None)
    return await over_asgi(setup(app, world.container, **options) if later else app, kind)


async def quart(world, kind, **options):
    from quart import Quart, abort, redirect

    from asyncmeta.integrations.quart import setup

    app = Quart("shop")
    setup(app, world.container, **options)

    @app.errorhandler(Conflict)
    async def told(error):
        return "told", answer_with(kind == "hidden")

    @app.get(f"/{kind}")
    @injected
    async def handler(session: From[Session]):
        if kind in ("handled", "hidden"):
            raise Conflict
        if kind == "raised":
            abort(404)
        return redirect("/") if kind == "found" else ("", STATUS[kind])

    return await over_asgi(app, kind)


async def flask(world, kind, **options):
    from flask import Flask, abort, redirect

    from asyncmeta.integrations.flask import setup

    app = Flask("shop")
    setup(app, world.container, **options)

    @app.errorhandler(Conflict)
    def told(error):
        return "told", answer_with(kind == "hidden")

    @app.get(f"/{kind}")
    @injected
    def handler(session: From[Session]):
        if kind in ("handled", "hidden"):
            raise Conflict
        if kind == "raised":
            abort(404)
        return redirect("/") if kind == "found" else ("", STATUS[kind])

    with world.container:
        return app.test_client().get(f"/{kind}").status_code


async def aiohttp(world, kind, **options):
    from aiohttp import web
    from aiohttp.test_utils import TestClient, TestServer

    from asyncmeta.integrations.aiohttp import setup

    app = web.Application()
    setup(app, world.container, **options)

    @web.middleware
    async def told(request, handler):
        try:
            return await handler(request)
        except Conflict:
            return web.Response(status=answer_with(kind == "hidden"))

    app.middlewares.append(told)

    @injected
    async def handler(request, session: From[Session]):
        if kind in ("handled", "hidden"):
            raise Conflict
        if kind == "raised":
            raise web.HTTPNotFound
        if kind == "found":
            raise web.HTTPFound("/")
        return web.Response(status=STATUS[kind])

    app.router.add_get(f"/{kind}", handler)
    async with TestClient(TestServer(app)) as client:
        return (await client.get(f"/{kind}", allow_redirects=False)).status


async def blacksheep(world, kind, **options):
    from blacksheep import Application, Response, TextContent, redirect
    from blacksheep.exceptions import NotFound
    from blacksheep.server.routing import Router

    from asyncmeta.integrations.blacksheep import inject, setup

    app = setup(Application(router=Router()), world.container, **options)

    @app.exception_handler(Conflict)
    async def told(app, request, error):
        return Response(answer_with(kind == "hidden"), content=TextContent("told"))

    @app.router.get(f"/{kind}")
    @inject
    async def handler(session: From[Session]):
        if kind in ("handled", "hidden"):
            raise Conflict
        if kind == "raised":
            raise NotFound
        return redirect("/") if kind == "found" else Response(STATUS[kind], content=TextContent(""))

    return await over_asgi(app, kind)


async def sanic(world, kind, **options):
    from sanic import Sanic
    from sanic.exceptions import NotFound
    from sanic.response import redirect, text

    from asyncmeta.integrations.sanic import inject, setup

    Sanic.test_mode = True
    app = setup(Sanic(f"shop{next(NUMBERS)}", configure_logging=False), world.container, **options)

    @app.exception(Conflict)
    async def told(request, error):
        return text("told", status=answer_with(kind == "hidden"))

    @app.get(f"/{kind}")
    @inject
    async def handler(request, session: From[Session]):
        if kind in ("handled", "hidden"):
            raise Conflict
        if kind == "raised":
            raise NotFound
        return redirect("/") if kind == "found" else text("", status=STATUS[kind])

    return await over_asgi(app, kind)


def told_by_django(kind):
    """Return a middleware of an application that answers Conflict."""
    from asgiref.sync import iscoroutinefunction, markcoroutinefunction
    from django.http import HttpResponse

    class Told:
        sync_capable = async_capable = True

        def __init__(self, get_response):
            self.get_response = get_response
            if iscoroutinefunction(get_response):
                markcoroutinefunction(self)

        def __call__(self, request):
            return self.get_response(request)

        def process_exception(self, request, error):
            return HttpResponse(status=answer_with(kind == "hidden")) if isinstance(error, Conflict) else None

    return Told


async def django(world, kind, *, awaits=True, view=None, error_status=None):
    import sys
    import types

    from django.http import Http404, HttpResponse
    from django.test import AsyncClient, Client, override_settings
    from django.urls import path

    from asyncmeta.integrations.django import injected

    from .django_site import site

    def act():
        if kind in ("handled", "hidden"):
            raise Conflict
        if kind == "raised":
            raise Http404
        return HttpResponse(status=STATUS[kind], headers={"Location": "/"} if kind == "found" else {})

    @injected
    async def awaiting(request, session: From[Session]):
        return act()

    @injected
    def plain(request, session: From[Session]):
        return act()

    here = sys.modules["asyncmeta_test_told"] = types.ModuleType("asyncmeta_test_told")
    here.Told = told_by_django(kind)
    settings = {"ASYNCMETA_CONTAINER": world.container}
    if error_status is not None:
        settings["ASYNCMETA_ERROR_STATUS"] = error_status
    middleware = ["asyncmeta.integrations.django.ContainerMiddleware", "asyncmeta_test_told.Told"]
    if view is None:
        view = awaiting if awaits else plain
    with override_settings(**settings), site(path(kind, view), middleware=middleware):
        if awaits:
            async with world.container:
                return (await AsyncClient().get(f"/{kind}")).status_code
        with world.container:
            return await asyncio.to_thread(lambda: Client().get(f"/{kind}").status_code)


FRAMEWORKS = {
    "starlette": starlette,
    "fastapi": fastapi,
    "fastapi route": functools.partial(fastapi, route="route"),
    "fastapi of": functools.partial(fastapi, route="of"),
    "litestar": litestar,
    "litestar later": functools.partial(litestar, later=True),
    "quart": quart,
    "flask": flask,
    "aiohttp": aiohttp,
    "blacksheep": blacksheep,
    "sanic": sanic,
    "django": django,
    "django sync": functools.partial(django, awaits=False),
}
SYNC = {"flask", "django sync"}
#: Where no hook shows what a handler raises and something inside of the border answers: its status counts.
BY_STATUS = {"fastapi", "aiohttp"}


async def ended(framework, kind, **options):
    """Return how the session of one request ends, for a status that was the expected one."""
    pytest.importorskip(framework.split()[0])
    world = World(sync=framework in SYNC)
    assert await FRAMEWORKS[framework](world, kind, **options) == STATUS[kind]
    (line,) = world.journal
    return line.split()[0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("framework", FRAMEWORKS)
@guarded
async def test_a_handler_that_raised_has_failed(framework, kind):
    """
    What a handler raises is a failure, whoever answers it; where no hook shows that, an answer of 400 and above is.
    """
    fails = kind in ("raised", "returned", "handled") or (kind == "hidden" and framework not in BY_STATUS)

    assert await ended(framework, kind) == ("rollback" if fails else "commit")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("framework", FRAMEWORKS)
@guarded
async def test_the_border_can_be_moved_everywhere(framework, kind):
    """
    With ``error_status=500`` an answer of 404 or 409 is no failure, raised or returned; an exception that is no answer is.
    """
    fails = kind in ("handled", "hidden") and framework not in BY_STATUS

    assert await ended(framework, kind, error_status=500) == ("rollback" if fails else "commit")


# --- a commit that fails ---


def http_error(framework):
    """Return the framework's own exception that is an answer of 409, or the nearest to that, and its status."""
    name = framework.split()[0]
    if name in ("starlette", "fastapi"):
        from starlette.exceptions import HTTPException

        return HTTPException(409, "taken"), 409
    if name == "litestar":
        from litestar.exceptions import HTTPException

        return HTTPException("taken", status_code=409), 409
    if name in ("quart", "flask"):
        from werkzeug.exceptions import Conflict

        return Conflict(), 409
    if name == "aiohttp":
        from aiohttp import web

        return web.HTTPConflict(), 409
    if name == "blacksheep":
        from blacksheep.exceptions import Conflict

        return Conflict(), 409
    if name == "sanic":
        from sanic.exceptions import SanicException

        return SanicException("taken", status_code=409), 409
    from django.core.exceptions import PermissionDenied

    return PermissionDenied(), 403


@pytest.mark.parametrize("framework", FRAMEWORKS)
@guarded
async def test_an_answer_that_a_finalizer_raises_is_the_response(framework):
    """
    A commit that fails with what the framework answers by itself gives that answer, and no success and no 500.
    """
    pytest.importorskip(framework.split()[0])
    world = World(sync=framework in SYNC)
    world.commit_fails, status = http_error(framework)

    assert await FRAMEWORKS[framework](world, "fine") == status


@pytest.mark.parametrize("framework", [name for name in FRAMEWORKS if not name.startswith(("aiohttp", "django"))])
@guarded
async def test_an_error_handler_answers_what_a_finalizer_raises(framework):
    """
    The application's error handler for what a commit raises makes the response, as for what a handler raises.
    """
    pytest.importorskip(framework.split()[0])
    world = World(sync=framework in SYNC)
    world.commit_fails = Conflict()

    assert await FRAMEWORKS[framework](world, "fine") == 409


@pytest.mark.parametrize("framework", FRAMEWORKS)
@guarded
async def test_a_finalizer_that_nobody_answers_is_no_success(framework):
    """
    What no handler is for is a status 500, or leaves the application for the server that says so.
    """
    pytest.importorskip(framework.split()[0])
    world = World(sync=framework in SYNC)
    world.commit_fails = OSError("disk full")
    status = 500
    with contextlib.suppress(Exception):
        status = await FRAMEWORKS[framework](world, "fine")

    assert status == 500


# --- frameworks upon Django ---


def drf(world, kind):
    """Return a view of Django REST framework."""
    pytest.importorskip("rest_framework")
    from rest_framework.exceptions import ValidationError
    from rest_framework.response import Response
    from rest_framework.views import APIView

    from asyncmeta.integrations.django import injected

    class Orders(APIView):
        authentication_classes = permission_classes = ()

        @injected
        def get(self, request, session: From[Session]):
            if kind == "raised":
                raise ValidationError("wrong")
            return Response("", status=STATUS[kind])

    return Orders.as_view()


def ninja(world, kind):
    """Return the only view of an API of Django ninja."""
    from . import django_site  # noqa: F401

    pytest.importorskip("ninja")
    from ninja import NinjaAPI
    from ninja.errors import HttpError

    from asyncmeta.integrations.django import injected

    api = NinjaAPI(urls_namespace=f"orders {next(NUMBERS)}", docs_url=None, openapi_url=None)

    @api.exception_handler(Conflict)
    def told(request, error):
        return api.create_response(request, "told", status=200)

    try:
        from ninja import Status
    except ImportError:  # before 1.6
        Status = lambda *pair: pair

    @api.get(f"/{kind}", response={200: str, 409: str})
    @injected
    def order(request, session: From[Session], q: int = 1):
        if kind == "raised":
            raise HttpError(404, "none")
        if kind == "hidden":
            raise Conflict
        return Status(STATUS[kind], "")

    return api


async def ended_upon_django(world, kind, view, **settings):
    from django.test import Client, override_settings
    from django.urls import path

    from .django_site import site

    middleware = ["asyncmeta.integrations.django.ContainerMiddleware"]
    with override_settings(ASYNCMETA_CONTAINER=world.container, REST_FRAMEWORK={"UNAUTHENTICATED_USER": None}, **settings):
        with site(path("", view.urls) if hasattr(view, "urls") else path(kind, view), middleware=middleware), world.container:
            await asyncio.to_thread(lambda: Client().get(f"/{kind}"))
    (line,) = world.journal
    return line.split()[0]


@pytest.mark.parametrize(("make", "kinds"), [
    (drf, {"fine": "commit", "raised": "rollback", "returned": "rollback"}),
    (ninja, {"fine": "commit", "raised": "rollback", "returned": "rollback", "hidden": "rollback"}),
])  # fmt: skip
@guarded
async def test_frameworks_upon_django(make, kinds):
    """
    What a view of Django REST framework or Django ninja raises has failed, though these answer it below Django.
    """
    pytest.importorskip("django")
    for kind, end in kinds.items():
        world = World(sync=True)
        assert await ended_upon_django(world, kind, make(world, kind)) == end, kind


@pytest.mark.parametrize("make", [drf, ninja])
@guarded
async def test_the_border_of_frameworks_upon_django(make):
    """
    ASYNCMETA_ERROR_STATUS is the border for what they raise as an answer, too.
    """
    pytest.importorskip("django")
    for kind in "raised", "returned":
        world = World(sync=True)
        assert await ended_upon_django(world, kind, make(world, kind), ASYNCMETA_ERROR_STATUS=500) == "commit", kind


# --- websockets that are no ASGI ---


@pytest.mark.parametrize(("by", "code", "end"), [
    ("handler", 1000, "commit"), ("handler", 4003, "rollback"), ("client", 1000, "commit"), ("client", 1011, "rollback"),
])  # fmt: skip
@guarded
async def test_a_websocket_of_aiohttp_by_its_code(by, code, end):
    """
    A websocket that is closed with another code than 1000 and 1001 has failed, in aiohttp too.
    """
    pytest.importorskip("aiohttp")
    from aiohttp import web
    from aiohttp.test_utils import TestClient, TestServer

    from asyncmeta.integrations.aiohttp import setup

    world, app = World(), web.Application()
    setup(app, world.container)

    @injected
    async def talk(request, session: From[Session]):
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        if by == "handler":
            await socket.close(code=code)
        async for _ in socket:
            pass
        return socket

    app.router.add_get("/", talk)
    async with TestClient(TestServer(app)) as client:
        async with client.ws_connect("/") as socket:
            if by == "client":
                await socket.close(code=code)
            await socket.receive()
    (line,) = world.journal
    assert line.split()[0] == end
