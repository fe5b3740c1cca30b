"""The middleware, in the real Django with its real test clients."""

import asyncio
import threading
from typing import Annotated

import pytest
from helpers import Journal, guarded, in_threads, outcome

from asyncmeta import AsyncServiceBase, Container, FinalizationErrors, From, GraphErrors, Inject, Scope

django = pytest.importorskip("django")

from django.conf import settings  # noqa: E402
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse  # noqa: E402
from django.test import AsyncClient, Client, override_settings  # noqa: E402
from django.urls import path  # noqa: E402
from django.views import View  # noqa: E402

from asyncmeta.integrations.django import ContainerMiddleware, get_asgi_application, injected  # noqa: E402

from .asgi_server import Server  # noqa: E402
from .django_site import site  # noqa: E402
from .shops import Lines as Session, ending  # noqa: E402

MIDDLEWARE = "asyncmeta.integrations.django.ContainerMiddleware"


class World:
    """An application class behind Django's views, and what becomes of its values; its session is awaited, or not."""

    def __init__(self, awaits=True, context=(HttpRequest,)):
        self.journal = journal = Journal()
        self.commit_fails = None

        class App(AsyncServiceBase, context=list(context)):
            pass

        def open_pool():
            with journal.noting("pool"):
                yield "pool"

        App.register_dependency("pool", open_pool)

        def open_session(pool: Annotated[str, Inject("pool")]):
            with ending(journal, Session(journal), lambda: self.commit_fails) as session:
                yield session

        async def await_session(pool: Annotated[str, Inject("pool")]):
            with ending(journal, Session(journal), lambda: self.commit_fails) as session:
                yield session

        App.register_dependency(Session, await_session if awaits else open_session, lifetime="scoped")
        self.app = App
        self.container = Container(App)

    @property
    def site(self):
        """The site with its URLs, and settings that name the container."""
        return override_settings(ASYNCMETA_CONTAINER=self.container), site(*URLS, middleware=[MIDDLEWARE])


@injected
async def order(request, session: From[Session]):
    session.add(request.GET.get("name", "tea"))
    return HttpResponse("ordered")


@injected
def order_now(request, session: From[Session]):
    session.add(request.GET.get("name", "tea"))
    return HttpResponse("ordered")


@injected
def whose(request, scope: From[Scope], who: From[HttpRequest]):
    assert request.asyncmeta is scope
    return HttpResponse(who.headers["x-name"])


@injected
async def fail(request, session: From[Session]):
    raise {"500": LookupError, "404": Http404}[request.GET["status"]]("oh")


@injected
def fail_now(request, session: From[Session]):
    raise {"500": LookupError, "404": Http404}[request.GET["status"]]("oh")


@injected
def unavailable(request, session: From[Session]):
    return HttpResponse(status=503)


def streamed(lines):
    def view(request):
        return StreamingHttpResponse(lines(), content_type="text/plain")

    return view


@injected
def lines(session: From[Session]):
    for line in ("one ", "two "):
        session.add(line)
        yield line


@injected
async def alines(session: From[Session]):
    for line in ("one ", "two "):
        session.add(line)
        yield line


@injected
def broken_lines(session: From[Session]):
    yield "one "
    raise LookupError


@injected
async def wait(request, session: From[Session]):
    session.add("waits")
    await asyncio.Event().wait()


@injected
async def waiting_lines(session: From[Session]):
    yield "one "
    session.add("waits")
    await asyncio.Event().wait()


@injected
def order_late(request: "OnlyForCheckers", session: "From[Session]"):  # noqa: F821
    session.add("late")
    return HttpResponse("ordered")


class Orders(View):
    @injected
    def get(self, request, session: From[Session]):
        session.add("method")
        return HttpResponse("ordered")


URLS = [
    path("order", order),
    path("now", order_now),
    path("late", order_late),
    path("whose", whose),
    path("fail", fail),
    path("fail/now", fail_now),
    path("unavailable", unavailable),
    path("stream", streamed(lines)),
    path("stream/async", streamed(alines)),
    path("stream/broken", streamed(broken_lines)),
    path("stream/wait", streamed(waiting_lines)),
    path("wait", wait),
    path("class", Orders.as_view()),
]


@pytest.fixture
def world(request):
    """A world whose site is up; the mark's parameters are its own."""
    world = World(**getattr(request, "param", {}))
    settings, urls = world.site
    with settings, urls:
        yield world


synchronous = pytest.mark.parametrize("world", [{"awaits": False}], indirect=True)


@guarded
async def test_the_container_lives_as_long_as_the_server(world):
    """
    Under ASGI, singletons are built at start-up, requests have scopes, and all is closed at shutdown.
    """
    server = Server(get_asgi_application())
    async with server.running():
        assert world.journal == ["+pool"]
        for url in ("/order", "/now", "/class"):
            exchange = server.http(url)
            exchange.on_message = lambda message: world.journal.append("sent")
            assert (await exchange.run()).body == b"ordered"
    expected = [line for first in ("tea", "tea", "method") for line in (first, "commit", "sent", "sent")]
    assert world.journal == ["+pool", *expected, "-pool"]


@guarded
async def test_views_of_both_kinds_in_an_asynchronous_application(world):
    """
    Sync views, which run in threads, are filled with what has to be awaited, as async ones are.
    """
    async with world.container:
        for url in ("/order", "/now", "/class"):
            assert (await AsyncClient().get(url)).content == b"ordered"
        assert (await AsyncClient().get("/late")).content == b"ordered"
        assert (await AsyncClient().get("/whose", headers={"x-name": "ada"})).content == b"ada"
    assert world.journal == ["+pool", "tea", "commit", "tea", "commit", "method", "commit", "late", "commit", "-pool"]


@synchronous
def test_a_synchronous_application(world):
    """
    Under WSGI nothing is awaited; scopes and views are the same, of many threads at once.
    """
    with world.container:
        assert in_threads(4, lambda number: Client().get("/now").content) == [b"ordered"] * 4
        assert Client().get("/class").content == b"ordered"
        assert Client().get("/whose", headers={"x-name": "ada"}).content == b"ada"
    assert sorted(world.journal[1:9]) == ["commit"] * 4 + ["tea"] * 4
    assert world.journal[9:] == ["method", "commit", "-pool"]
    assert threading.active_count() < 20


@synchronous
def test_what_a_view_raises_synchronously(world):
    """
    Finalizers see what the view raised, whatever response Django makes of it, or the status of an error response.
    """
    client = Client(raise_request_exception=False)
    with world.container:
        assert client.get("/fail/now?status=500").status_code == 500
        assert client.get("/fail/now?status=404").status_code == 404
        assert client.get("/unavailable").status_code == 503
    assert world.journal[1:-1] == ["rollback LookupError", "rollback Http404", "rollback ErrorResponse"]


@guarded
async def test_what_a_view_raises_asynchronously(world):
    """
    The same in an asynchronous application, for views of both kinds.
    """
    client = AsyncClient(raise_request_exception=False)
    async with world.container:
        for url in ("/fail", "/fail/now"):
            assert (await client.get(url + "?status=500")).status_code == 500
            assert (await client.get(url + "?status=404")).status_code == 404
        assert (await client.get("/unavailable")).status_code == 503
    assert world.journal[1:-1] == ["rollback LookupError", "rollback Http404"] * 2 + ["rollback ErrorResponse"]


@synchronous
def test_a_session_that_cannot_commit_is_a_failed_request(world):
    """
    Django answers 500; a test sees what was raised.
    """
    world.commit_fails = OSError("disk full")
    with world.container:
        assert Client(raise_request_exception=False).get("/now").status_code == 500
        with pytest.raises(FinalizationErrors):
            Client().get("/now")


@guarded
async def test_a_session_that_cannot_commit_asynchronously(world):
    """
    The same in an asynchronous application.
    """
    world.commit_fails = OSError("disk full")
    async with world.container:
        assert (await AsyncClient(raise_request_exception=False).get("/order")).status_code == 500


@synchronous
def test_a_stream_keeps_its_session(world):
    """
    The scope of a response that streams ends with its last part, or with one that fails, or when it is closed.
    """
    with world.container:
        assert Client().get("/stream").getvalue() == b"one two "
        with pytest.raises(LookupError):
            Client().get("/stream/broken").getvalue()
        response = Client().get("/stream")
        assert next(iter(response)) == b"one "
        response.close()
    assert world.journal == [
        "+pool", "one ", "two ", "commit", "rollback LookupError", "one ", "rollback ErrorResponse", "-pool"
    ]  # fmt: skip


@guarded
async def test_an_asynchronous_stream_keeps_its_session(world):
    """
    The same in an asynchronous application, over ASGI and with the test client.
    """
    server = Server(get_asgi_application())
    async with server.running():
        assert (await server.http("/stream/async").run()).body == b"one two "
        response = await AsyncClient().get("/stream/async")
        assert b"".join([part async for part in response]) == b"one two "
    assert world.journal == ["+pool", *["one ", "two ", "commit"] * 2, "-pool"]


@guarded
@pytest.mark.parametrize("url", ["/wait", "/stream/wait"])
async def test_a_client_that_goes_away(world, url):
    """
    Django cancels a view, or a stream, whose client has left; finalizers see the cancellation.
    """
    server = Server(get_asgi_application())
    async with server.running():
        exchange = server.http(url)
        waiting = asyncio.create_task(exchange.run())
        while "waits" not in world.journal:  # noqa: ASYNC110  # the journal is all that the view tells
            await asyncio.sleep(0)
        exchange.leave()
        await outcome(waiting)
        assert "asyncmeta" not in exchange.scope
    assert world.journal == ["+pool", "waits", "rollback CancelledError", "-pool"]


@guarded
async def test_a_client_that_goes_away_while_a_part_is_sent(world):
    """
    A stream that is cut between two parts ends its scope when Django closes the response.
    """
    server = Server(get_asgi_application())
    async with server.running():
        exchange = server.http("/stream/async")
        send = exchange.send

        async def slow(message):
            await send(message)
            if message.get("body") == b"one ":
                exchange.leave()
                await asyncio.Event().wait()

        exchange.send = slow
        await outcome(exchange.run())
    assert world.journal == ["+pool", "one ", "rollback ErrorResponse", "-pool"]


@pytest.mark.parametrize("world", [{"awaits": False, "context": ()}], indirect=True)
def test_the_request_is_context_only_where_it_is_declared(world):
    """
    An application that does not declare HttpRequest is given none.
    """
    with site(path("now", order_now), middleware=[MIDDLEWARE]), world.container:
        assert Client().get("/now").content == b"ordered"
    with site(path("whose", whose), middleware=[MIDDLEWARE]), pytest.raises(GraphErrors, match=r"HttpRequest.*whose\.who"):
        Client().get("/whose")


@synchronous
def test_overrides_in_tests(world):
    """
    A plain override reaches the requests of the test client.
    """

    class Fake:
        def add(self, line):
            world.journal.append(f"fake {line}")

    with world.container:
        with world.container.override({Session: Fake()}):
            Client().get("/now")
        Client().get("/now")
    assert world.journal == ["fake tea", "+pool", "tea", "commit", "-pool"]


def test_the_container_is_named_in_the_settings(world):
    """
    The setting is a container or the dotted path of one; something else, or nothing, is refused when Django starts.
    """
    with override_settings(ASYNCMETA_CONTAINER=f"{__name__}.CONTAINER"):
        assert ContainerMiddleware(lambda request: None).container is CONTAINER
    with override_settings(ASYNCMETA_CONTAINER=World), pytest.raises(TypeError, match="ASYNCMETA_CONTAINER"):
        get_asgi_application()
    with override_settings(), pytest.raises(TypeError, match="setting ASYNCMETA_CONTAINER"):
        del settings.ASYNCMETA_CONTAINER
        get_asgi_application()


CONTAINER = World().container


# --- middleware that is synchronous only ---


def plain_old(get_response):
    """Django's documented form of a middleware: a function, synchronous."""

    def middleware(request):
        request.seen = [*getattr(request, "seen", []), "old"]
        response = get_response(request)
        response.headers["X-Old"] = "yes"
        return response

    return middleware


OLD = f"{__name__}.plain_old"


@pytest.mark.parametrize("path_", ["order", "now", "unavailable", "stream/async"])
@pytest.mark.parametrize("middleware", [[OLD, MIDDLEWARE], [MIDDLEWARE, OLD], [OLD, MIDDLEWARE, OLD]])
@guarded
async def test_synchronous_middleware_in_an_asynchronous_application(world, middleware, path_):
    """
    Middleware that is synchronous only may stand on either side of ours: views of both kinds have their session, with what
    has to be awaited, which ends as in any other place.
    """
    with site(*URLS, middleware=middleware):
        server = Server(get_asgi_application())
        async with server.running():
            exchange = await server.http(f"/{path_}").run()

    assert dict(exchange.got[0]["headers"])[b"X-Old"] == b"yes"
    status, ends = (503, "rollback ErrorResponse") if path_ == "unavailable" else (200, "commit")
    assert exchange.got[0]["status"] == status
    assert world.journal[0] == "+pool" and world.journal[-2:] == [ends, "-pool"]


@guarded
async def test_whitenoise_beside_the_middleware(world):
    """
    WhiteNoise, which is synchronous only, serves files without a scope's session, and lets views through.
    """
    pytest.importorskip("whitenoise")
    with site(*URLS, middleware=[MIDDLEWARE, "whitenoise.middleware.WhiteNoiseMiddleware"]):
        with override_settings(STATIC_URL="/static/", STATIC_ROOT=None):
            server = Server(get_asgi_application())
            async with server.running():
                exchange = await server.http("/order").run()

    assert exchange.got[0]["status"] == 200
    assert world.journal == ["+pool", "tea", "commit", "-pool"]
