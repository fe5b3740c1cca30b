"""Starlette: handlers of every kind are filled from the scope of their connection."""

import functools
import threading
from collections.abc import AsyncIterator

import pytest

starlette = pytest.importorskip("starlette")
httpx = pytest.importorskip("httpx")

from helpers import Journal, fresh_app  # noqa: E402
from starlette.applications import Starlette  # noqa: E402
from starlette.background import BackgroundTask  # noqa: E402
from starlette.endpoints import HTTPEndpoint, WebSocketEndpoint  # noqa: E402
from starlette.exceptions import HTTPException  # noqa: E402
from starlette.middleware import Middleware  # noqa: E402
from starlette.requests import HTTPConnection, Request  # noqa: E402
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, StreamingResponse  # noqa: E402
from starlette.routing import Mount, Route, WebSocketRoute  # noqa: E402
from starlette.testclient import TestClient  # noqa: E402
from starlette.websockets import WebSocket  # noqa: E402

from asyncmeta import Container, From, ScopeError, inject_dependency, injected  # noqa: E402
from asyncmeta.integrations.asgi import KEY  # noqa: E402
from asyncmeta.integrations.starlette import ContainerMiddleware, inject  # noqa: E402


class Session:
    def __init__(self) -> None:
        self.thread = threading.current_thread()


@pytest.fixture
def journal():
    return Journal()


@pytest.fixture
def services(journal):
    """What the application declares."""
    app = fresh_app(context=[Request, WebSocket, HTTPConnection])

    @inject_dependency(on=app, lifetime="scoped")
    async def open_session() -> AsyncIterator[Session]:
        journal.append("+session")
        try:
            yield Session()
        except BaseException as error:
            journal.append(f"rollback: {error!r}")
            raise
        journal.append("commit")

    app.register_value("limit", 10)
    return app


@pytest.fixture
def container(services):
    return Container(services)


@pytest.fixture
def serve(container):
    """Return a function that makes an application of routes."""

    def serve(*routes, **options):
        return Starlette(routes=routes, middleware=[Middleware(ContainerMiddleware, container=container)], **options)

    return serve


def test_an_async_handler_is_filled(serve, journal):
    """
    What a handler marks is filled from the scope of its request, which is also the one that the connection holds.
    """

    @inject
    async def handler(request: Request, session: From[Session]):
        return JSONResponse(session is await request.scope[KEY].get(Session))

    with TestClient(serve(Route("/", handler))) as client:
        assert client.get("/").json() is True

    assert journal == ["+session", "commit"]


@pytest.mark.parametrize("kind", ["function", "partial", "object"])
def test_a_sync_handler_runs_in_a_thread_with_values_made_in_the_loop(serve, kind):
    """
    A sync handler is given asynchronous values, and blocks nobody.
    """

    def handler(request: Request, session: From[Session]):
        return JSONResponse([session.thread is threading.current_thread(), session.thread.name])

    class Handler:
        def __call__(self, request: Request, session: From[Session]):
            return handler(request, session)

    made = {"function": handler, "partial": functools.partial(handler), "object": Handler()}[kind]
    with TestClient(serve(Route("/", inject(made)))) as client:
        same, name = client.get("/").json()

    assert not same
    assert "AnyIO worker" not in name


def test_a_handler_below_another_decorator_stays_asynchronous(serve):
    """
    A decorator that only hands on, and is not async itself, hides nothing.
    """

    def handing_on(function):
        @functools.wraps(function)
        def wrapper(*args, **named):
            return function(*args, **named)

        return wrapper

    @inject
    @handing_on
    async def handler(request: Request, session: From[Session]):
        return JSONResponse(session.thread is threading.current_thread())

    with TestClient(serve(Route("/", handler))) as client:
        assert client.get("/").json() is True


def test_methods_of_endpoint_classes_are_filled(serve, journal):
    """
    Sync and async methods of HTTPEndpoint and WebSocketEndpoint are decorated as functions are.
    """

    class Page(HTTPEndpoint):
        @inject
        async def get(self, request: Request, session: From[Session]):
            return PlainTextResponse("got")

        @inject
        def post(self, request: Request, session: From[Session]):
            return PlainTextResponse("posted")

    class Talk(WebSocketEndpoint):
        encoding = "text"

        @inject
        async def on_receive(self, websocket: WebSocket, data: str, session: From[Session]):
            journal.append(f"{data} {id(session)}")
            await websocket.send_text(data)

    with TestClient(serve(Route("/", Page), WebSocketRoute("/talk", Talk))) as client:
        assert [client.get("/").text, client.post("/").text] == ["got", "posted"]
        journal.clear()
        with client.websocket_connect("/talk") as websocket:
            for word in ("one", "two"):
                websocket.send_text(word)
                assert websocket.receive_text() == word

    opened, one, two, closed = journal
    assert [opened, closed] == ["+session", "commit"]
    assert one.split()[1] == two.split()[1]


def test_a_mounted_application_shares_the_scope(serve, container, journal):
    """
    What is mounted below is in the same request, also where it has a middleware of its own for the same container.
    """

    @inject
    async def handler(request: Request, session: From[Session]):
        return PlainTextResponse(request.scope["root_path"])

    inner = Starlette(routes=[Route("/", handler)])
    with TestClient(serve(Mount("/inner", ContainerMiddleware(inner, container)))) as client:
        assert client.get("/inner/").text == "/inner"

    assert journal == ["+session", "commit"]


@pytest.mark.parametrize("asynchronous", [True, False])
def test_the_handlers_exception_reaches_the_finalizers(serve, journal, asynchronous):
    """
    What a handler raises is what finalizers see, though Starlette, or the application, makes an answer of it.
    """

    @inject
    async def handler(request: Request, session: From[Session]):
        raise LookupError("gone")

    @inject
    def sync_handler(request: Request, session: From[Session]):
        raise LookupError("gone")

    async def elsewhere(request, error):
        return RedirectResponse("/elsewhere")

    route = Route("/", handler if asynchronous else sync_handler)
    with TestClient(serve(route, exception_handlers={LookupError: elsewhere})) as client:
        assert client.get("/", follow_redirects=False).status_code == 307

    assert journal == ["+session", "rollback: LookupError('gone')"]


def test_an_answer_of_400_and_above_is_a_failure(serve, journal):
    """
    A handler that is not decorated, and asks the scope itself, is rolled back by the status of its answer.
    """

    async def handler(request: Request):
        await request.scope[KEY].get(Session)
        raise HTTPException(404)

    with TestClient(serve(Route("/", handler))) as client:
        assert client.get("/").status_code == 404

    assert journal == ["+session", "rollback: ErrorResponse(404)"]


def test_which_answers_are_failures_can_be_said(container, journal):
    """
    With error_status=500, an answer of 404 is a success like any other.
    """

    async def handler(request: Request):
        await request.scope[KEY].get(Session)
        return PlainTextResponse("no such page", 404)

    app = Starlette(
        routes=[Route("/", handler)], middleware=[Middleware(ContainerMiddleware, container=container, error_status=500)]
    )
    with TestClient(app) as client:
        assert client.get("/").status_code == 404

    assert journal == ["+session", "commit"]


def test_a_stream_and_the_task_after_it_have_the_session(serve, journal):
    """
    A streaming response keeps its scope to the end, so a background task that follows it finds it open.
    """

    @inject
    async def handler(request: Request, session: From[Session]):
        async def lines():
            journal.append("line")
            yield "line"

        async def after():
            journal.append("task")

        return StreamingResponse(lines(), background=BackgroundTask(after))

    with TestClient(serve(Route("/", handler))) as client:
        assert client.get("/").text == "line"

    assert journal == ["+session", "line", "task", "commit"]


def test_services_take_the_head_of_the_connection(serve, services):
    """
    Request, WebSocket and HTTPConnection are context where they are declared: the head, not the messages.
    """

    class Caller:
        def __init__(self, connection: HTTPConnection) -> None:
            self.connection = connection

    class Pusher:
        def __init__(self, websocket: WebSocket) -> None:
            self.websocket = websocket

    services.register_dependency(Caller, Caller, lifetime="scoped")
    services.register_dependency(Pusher, Pusher, lifetime="scoped")

    @inject
    async def handler(request: Request, caller: From[Caller], head: From[Request]):
        with pytest.raises(RuntimeError):
            await head.body()
        return PlainTextResponse(f"{caller.connection.url.path} {head.method} {(await request.body()).decode()}")

    @inject
    async def talk(websocket: WebSocket, pusher: From[Pusher], connection: From[HTTPConnection]):
        await websocket.accept()
        with pytest.raises(RuntimeError, match="are its handler's"):
            await pusher.websocket.receive()
        with pytest.raises(RuntimeError, match="are its handler's"):
            await pusher.websocket.accept()
        await websocket.send_text(f"{pusher.websocket.url.path} {connection.url.scheme}")
        await websocket.close()

    with TestClient(serve(Route("/http", handler, methods=["POST"]), WebSocketRoute("/talk", talk))) as client:
        assert client.post("/http", content="text").text == "/http POST text"
        with client.websocket_connect("/talk") as websocket:
            assert websocket.receive_text() == "/talk ws"


async def test_what_the_caller_passes_wins(container):
    """
    A test may call a decorated handler by hand, with no application around it.
    """

    @inject
    def handler(request, session: From[Session]):
        return [request, session]

    assert await handler("request", session="fake") == ["request", "fake"]


def test_without_the_middleware_a_handler_says_so():
    """
    A decorated handler with nothing around it is a ScopeError, not a hidden scope.
    """

    @inject
    async def handler(request: Request, session: From[Session]): ...

    with TestClient(Starlette(routes=[Route("/", handler)])) as client, pytest.raises(ScopeError):
        client.get("/")


async def test_an_override_of_one_test_is_seen_by_its_own_requests(serve, container):
    """
    With httpx's ASGITransport an override in force around the client is in force in the handler, and in what it calls.
    """

    @injected
    async def helper(session: From[Session]):
        return session

    @inject
    async def handler(request: Request, session: From[Session]):
        return JSONResponse([session, await helper()])

    app = serve(Route("/", handler))
    async with container, container.override({Session: "fake"}):
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            assert (await client.get("/")).json() == ["fake", "fake"]
