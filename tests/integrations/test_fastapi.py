"""FastAPI: the marker everywhere, the route class, one scope for each connection."""

import asyncio
import contextlib
import functools
import threading
import traceback
from collections.abc import AsyncIterator, Iterator
from contextvars import ContextVar
from typing import Annotated

import pytest

fastapi = pytest.importorskip("fastapi")
httpx = pytest.importorskip("httpx")

from fastapi import APIRouter, BackgroundTasks, Depends, FastAPI, HTTPException, Request, WebSocket  # noqa: E402
from fastapi.middleware import Middleware  # noqa: E402
from fastapi.requests import HTTPConnection  # noqa: E402
from fastapi.responses import StreamingResponse  # noqa: E402
from fastapi.testclient import TestClient  # noqa: E402
from helpers import Journal, fresh_app, guarded  # noqa: E402
from starlette.middleware.base import BaseHTTPMiddleware  # noqa: E402
from starlette.middleware.gzip import GZipMiddleware  # noqa: E402
from starlette.requests import ClientDisconnect  # noqa: E402

import asyncmeta  # noqa: E402
from asyncmeta import (  # noqa: E402
    INJECTED,
    Container,
    DeclarationError,
    FinalizationErrors,
    GraphErrors,
    Inject,
    Scope,
    ScopeError,
    Token,
    inject_dependency,
    injected,
)
from asyncmeta.integrations.asgi import KEY  # noqa: E402
from asyncmeta.integrations.fastapi import ContainerMiddleware, ContainerRoute, From, dependency, inject  # noqa: E402

WITH_STREAMS = tuple(map(int, fastapi.__version__.split(".")[:2])) >= (0, 134)  # handlers that are generators


class Database: ...


class Session:
    def __init__(self, database: Database) -> None:
        self.database = database
        self.thread = threading.current_thread()


class Client:
    """A service of one request."""

    def __init__(self, session: Session) -> None:
        self.session = session


class Ticket: ...


LIMIT = Token[int]("limit")


@pytest.fixture
def journal():
    return Journal()


@pytest.fixture
def services(journal):
    """What the application declares."""
    app = fresh_app(context=[Request, WebSocket, HTTPConnection])

    @inject_dependency(on=app)
    async def open_database() -> AsyncIterator[Database]:
        journal.append("+database")
        yield Database()
        journal.append("-database")

    @inject_dependency(on=app, lifetime="scoped")
    async def open_session(database: Database) -> AsyncIterator[Session]:
        journal.append("+session")
        try:
            yield Session(database)
        except BaseException as error:
            journal.append(f"rollback: {error!r}")
            raise
        journal.append("commit")

    app.register_dependency(Client, Client, lifetime="scoped")
    app.register_dependency(Ticket, Ticket, lifetime="transient")
    app.register_value(LIMIT, 10)
    app.register_value("config", {"debug": True})
    return app


@pytest.fixture
def container(services):
    return Container(services)


@pytest.fixture(params=["marker", "route"])
def app(request, container):
    """An application whose handlers are filled parameter by parameter, or by the route class."""
    app = FastAPI()
    app.add_middleware(ContainerMiddleware, container=container)
    if request.param == "route":
        app.router.route_class = ContainerRoute
    return app


def test_the_container_lives_as_long_as_the_application(app, container, journal):
    """
    Singletons are built before the application starts, and closed after it has stopped.
    """
    with TestClient(app):
        started = list(journal)

    assert started == ["+database"]
    assert journal == ["+database", "-database"]


def test_a_handler_is_given_what_it_marks(app, journal):
    """
    Types, tokens and strings are filled by the marker; the caller's parameters are FastAPI's.
    """

    @app.get("/{number}")
    async def handler(
        number: int,
        session: From[Session],
        limit: From[Annotated[int, Inject(LIMIT)]],
        config: From[Annotated[dict, Inject("config")]],
        word: str = "none",
        client: From[Client] = INJECTED,
    ):
        return [number, limit, config, word, client.session is session]

    with TestClient(app) as client:
        answer = client.get("/7?word=some")

    assert answer.json() == [7, 10, {"debug": True}, "some", True]
    assert journal == ["+database", "+session", "commit", "-database"]


def test_a_sync_handler_runs_in_a_thread_with_values_made_in_the_loop(app):
    """
    A sync handler is given asynchronous values, and blocks nobody.
    """

    @app.get("/")
    def handler(session: From[Session]):
        return [session.thread is threading.current_thread(), session.thread.name]

    with TestClient(app) as client:
        same, name = client.get("/").json()

    assert not same
    assert "AnyIO worker" not in name


def test_one_scope_for_a_request_wherever_it_is_asked(app, container, journal):
    """
    Nested dependencies, sync and async, of a router, a handler, injected functions and middleware share one session.
    """
    seen = []

    @injected
    async def helper(session: From[Session]):
        return session

    def in_thread(session: From[Session]):
        seen.append(session)
        return session

    async def nested(below: Annotated[Session, Depends(in_thread)], client: From[Client]):
        seen.extend([below, client.session])

    async def of_router(connection: HTTPConnection):
        seen.append(await connection.scope[KEY].get(Session))

    router = APIRouter(dependencies=[Depends(of_router)], route_class=app.router.route_class)

    @router.get("/", dependencies=[Depends(dependency(Session))])
    async def handler(session: From[Session], nothing: Annotated[None, Depends(nested)]):
        seen.extend([session, await helper()])

    app.include_router(router, prefix="/inside")

    class Around:
        def __init__(self, app):
            self.app = app

        async def __call__(self, connection, receive, send):
            if connection["type"] == "http":
                seen.append(await connection[KEY].get(Session))
            await self.app(connection, receive, send)

    app.user_middleware.append(Middleware(Around))  # as if it had been added before ours: inside of it

    with TestClient(app) as client:
        assert client.get("/inside/").status_code == 200

    assert len(seen) == 7
    assert len(set(map(id, seen))) == 1
    assert journal.built == ["database", "session"]


def test_a_transient_value_is_new_for_each_parameter(app):
    """
    FastAPI keeps nothing that the container makes anew.
    """

    @app.get("/")
    async def handler(one: From[Ticket], other: From[Ticket]):
        return one is other

    with TestClient(app) as client:
        assert client.get("/").json() is False


def test_classes_and_yielding_functions_are_filled_as_dependencies(app, journal):
    """
    What FastAPI calls for a handler may be a class, or a function that yields, and is filled like any other.
    """

    class Page:
        def __init__(self, session: From[Session], size: int = 3) -> None:
            self.session, self.size = session, size

    async def opened(session: From[Session]):
        yield session

    @app.get("/")
    async def handler(page: Annotated[Page, Depends()], session: Annotated[Session, Depends(opened)]):
        return [page.size, page.session is session]

    with TestClient(app) as client:
        assert client.get("/?size=5").json() == [5, True]

    assert journal[1:-1] == ["+session", "commit"]


def test_a_websocket_has_one_scope_until_it_is_done(app, journal):
    """
    A websocket's values are made for it and closed when its handler has ended.
    """

    @app.websocket("/")
    async def handler(websocket: WebSocket, session: From[Session], client: From[Client]):
        await websocket.accept()
        await websocket.send_json([session is client.session, list(journal)])
        await websocket.close()

    with TestClient(app) as client:
        with client.websocket_connect("/") as websocket:
            answer = websocket.receive_json()

    assert answer == [True, ["+database", "+session"]]
    assert journal[2:] == ["commit", "-database"]


def test_the_schema_shows_the_callers_parameters_only(app):
    """
    OpenAPI knows nothing of what is filled in.
    """

    @app.get("/{number}")
    async def handler(number: int, session: From[Session], config: From[Annotated[dict, Inject("config")]], word: str = ""):
        """Do something."""

    with TestClient(app) as client:
        described = client.get("/openapi.json").json()["paths"]["/{number}"]["get"]

    assert [parameter["name"] for parameter in described["parameters"]] == ["number", "word"]
    assert "requestBody" not in described
    assert described["description"] == "Do something."


@pytest.mark.parametrize("name", ["exception", "answer"])
def test_a_failed_request_rolls_back(app, journal, name):
    """
    An HTTPException of the handler, and an answer that says so, are failures for the finalizers, though not for the server.
    """

    @app.get("/exception")
    async def exception(session: From[Session]):
        raise HTTPException(409)

    @app.get("/answer")
    async def answer(session: From[Session]):
        return fastapi.responses.JSONResponse({}, 409)

    with TestClient(app) as client:
        assert client.get(f"/{name}").status_code == 409

    assert [line.partition(":")[0] for line in journal] == ["+database", "+session", "rollback", "-database"]


def test_an_exception_of_a_sync_handler_rolls_back(app, journal):
    """
    What is raised in the thread reaches the finalizers as it is, and the client gets a 500.
    """

    @app.get("/")
    def handler(session: From[Session]):
        raise LookupError("no such book")

    with TestClient(app, raise_server_exceptions=False) as client:
        assert client.get("/").status_code == 500

    assert journal == ["+database", "+session", "rollback: LookupError('no such book')", "-database"]


def test_the_route_class_shows_the_exception_that_became_an_answer(container, journal):
    """
    With the route class, finalizers see the handler's own exception, whatever the application answers.
    """
    app = FastAPI()
    app.add_middleware(ContainerMiddleware, container=container)
    app.router.route_class = ContainerRoute

    @app.exception_handler(LookupError)
    async def elsewhere(request, error):
        return fastapi.responses.RedirectResponse("/elsewhere")

    @app.get("/")
    async def handler(session: From[Session]):
        raise LookupError("gone")

    with TestClient(app) as client:
        assert client.get("/", follow_redirects=False).status_code == 307

    assert journal[2] == "rollback: LookupError('gone')"


@pytest.mark.parametrize("around", ["nothing", "outside", "inside"])
def test_a_session_that_cannot_commit_is_no_success(app, services, around):
    """
    The scope ends before the response is sent: a failing commit is a 500, also with other middleware around.
    """

    async def hand_on(request, call_next):
        return await call_next(request)

    if around == "outside":
        app.middleware("http")(hand_on)
    elif around == "inside":
        app.user_middleware.append(Middleware(BaseHTTPMiddleware, dispatch=hand_on))

    class Broken: ...

    @inject_dependency(on=services, lifetime="scoped")
    async def open_broken() -> AsyncIterator[Broken]:
        yield Broken()
        raise OSError("disk full")

    @app.get("/")
    async def handler(broken: From[Broken]):
        return "all is well"

    with TestClient(app, raise_server_exceptions=False) as client:
        assert client.get("/").status_code == 500
    with TestClient(app) as client, pytest.raises((FinalizationErrors, OSError)):  # an old Starlette unpacks groups of one
        client.get("/")


def test_a_streaming_response_keeps_its_session(app, journal):
    """
    A session that feeds a StreamingResponse is closed after the last byte.
    """

    @app.get("/")
    async def handler(session: From[Session]):
        async def lines():
            for number in range(3):
                journal.append(str(number))
                yield f"{number}\n"

        return StreamingResponse(lines())

    with TestClient(app) as client:
        assert client.get("/").text == "0\n1\n2\n"

    assert journal == ["+database", "+session", "0", "1", "2", "commit", "-database"]


@pytest.mark.skipif(not WITH_STREAMS, reason="this FastAPI knows no handlers that are generators")
@pytest.mark.parametrize("marker", [From, asyncmeta.From])
@pytest.mark.parametrize("asynchronous", [True, False])
def test_a_handler_that_is_a_generator_keeps_its_session(container, journal, marker, asynchronous):
    """
    A generator's values are made before its response begins, by the task that closes them after its last item.
    """
    app = FastAPI()
    app.add_middleware(ContainerMiddleware, container=container)
    app.router.route_class = ContainerRoute

    async def items(session: marker[Session], last: int) -> AsyncIterator[int]:
        for number in range(last):
            journal.append(str(number))
            yield number

    def sync_items(session: marker[Session], last: int) -> Iterator[int]:
        for number in range(last):
            journal.append(str(number))
            yield number

    app.get("/")(items if asynchronous else sync_items)
    with TestClient(app) as client:
        assert client.get("/?last=3").text == "0\n1\n2\n"
        assert [one["name"] for one in client.get("/openapi.json").json()["paths"]["/"]["get"]["parameters"]] == ["last"]

    assert journal == ["+database", "+session", "0", "1", "2", "commit", "-database"]


async def test_a_client_that_goes_away_closes_the_session_once(app, container, journal):
    """
    A streaming response whose client disconnects ends its scope, once.
    """
    begun = asyncio.Event()

    @app.get("/")
    async def handler(session: From[Session]):
        async def lines():
            yield "first"
            begun.set()
            await asyncio.Event().wait()

        return StreamingResponse(lines())

    async def receive():
        await begun.wait()
        return {"type": "http.disconnect"}

    async def send(message):
        pass

    connection = {
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1", "method": "GET", "path": "/",
        "raw_path": b"/", "root_path": "", "scheme": "http", "query_string": b"", "headers": [], "client": None, "server": None,
    }  # fmt: skip
    async with container, asyncio.timeout(10):
        await app(connection, receive, send)

    assert len(journal) == 4
    assert journal[:2] == ["+database", "+session"]
    assert journal[2].startswith(("commit", "rollback"))


@pytest.mark.parametrize("ends", ["before", "after"])
def test_background_tasks_follow_the_session_unless_it_ends_after(container, journal, ends):
    """
    A background task runs when the session is committed; with ends="after" it finds it open.
    """
    app = FastAPI()
    app.add_middleware(ContainerMiddleware, container=container, ends=ends)

    @app.get("/")
    async def handler(session: From[Session], tasks: BackgroundTasks):
        tasks.add_task(journal.append, "task")

    with TestClient(app) as client:
        client.get("/")

    expected = {"before": ["commit", "task"], "after": ["task", "commit"]}
    assert journal[2:-1] == expected[ends]


async def test_a_background_task_opens_a_scope_of_its_own(container, journal):
    """
    What the container injects into runs in a scope of its own, also when the request's has ended.
    """
    app = FastAPI()
    app.add_middleware(ContainerMiddleware, container=container)

    @container.inject
    async def write(session: From[Session]):
        journal.append("task")

    @app.get("/")
    async def handler(session: From[Session], tasks: BackgroundTasks):
        tasks.add_task(write)

    async with container, httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        assert (await client.get("/")).status_code == 200

    assert journal[1:-1] == ["+session", "commit", "+session", "task", "commit"]


def test_the_head_of_the_connection_is_context_where_it_is_declared(app, services):
    """
    Services take Request, WebSocket or HTTPConnection as constructor parameters.
    """

    class Caller:
        def __init__(self, connection: HTTPConnection) -> None:
            self.path = connection.url.path

    class OfRequest(Caller):
        def __init__(self, request: Request) -> None:
            super().__init__(request)

    class OfWebSocket(Caller):
        def __init__(self, websocket: WebSocket) -> None:
            super().__init__(websocket)

    for service in (Caller, OfRequest, OfWebSocket):
        services.register_dependency(service, service, lifetime="scoped")

    @app.get("/http")
    async def over_http(one: From[Caller], other: From[OfRequest]):
        return [one.path, other.path]

    @app.websocket("/websocket")
    async def over_websocket(websocket: WebSocket, one: From[Caller], other: From[OfWebSocket]):
        await websocket.accept()
        await websocket.send_json([one.path, other.path])
        await websocket.close()

    with TestClient(app) as client:
        assert client.get("/http").json() == ["/http", "/http"]
        with client.websocket_connect("/websocket") as websocket:
            assert websocket.receive_json() == ["/websocket", "/websocket"]


def test_an_override_for_everybody_reaches_a_server_under_test(app, container):
    """
    container.override(..., everywhere=True) is in force in the tasks of a TestClient's requests.
    """

    @app.get("/")
    async def handler(limit: From[Annotated[int, Inject(LIMIT)]]):
        return limit

    with TestClient(app) as client:
        with container.override({LIMIT: 3}, everywhere=True):
            inside = client.get("/").json()
        assert [inside, client.get("/").json()] == [3, 10]


async def test_an_override_of_one_test_is_seen_by_its_own_requests(app, container):
    """
    With httpx's ASGITransport a request runs in the context of the test: tests side by side do not see each other's fakes.
    """

    @app.get("/")
    async def handler(limit: From[Annotated[int, Inject(LIMIT)]]):
        return limit

    async def asked(limit):
        async with container.override({LIMIT: limit}):
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
                return (await client.get("/")).json()

    async with container:
        assert await asyncio.gather(asked(1), asked(2)) == [1, 2]


def test_fastapis_own_overrides_reach_the_marker(container):
    """
    app.dependency_overrides knows what a marker asks for by dependency(token).
    """
    app = FastAPI()
    app.add_middleware(ContainerMiddleware, container=container)

    def nested(limit: From[Annotated[int, Inject(LIMIT)]]):
        return limit

    @app.get("/")
    async def handler(limit: Annotated[int, Depends(nested)], ticket: From[Ticket]):
        return [limit, ticket]

    app.dependency_overrides[dependency(Annotated[int, Inject(LIMIT)])] = lambda: 3
    app.dependency_overrides[dependency(Ticket)] = lambda: "fake"

    with TestClient(app) as client:
        assert client.get("/").json() == [3, "fake"]


def test_the_route_class_knows_the_front_doors_marker(container, journal):
    """
    Handlers that know nothing of FastAPI's marker, sync or async, are filled by the route class.
    """
    app = FastAPI()
    app.add_middleware(ContainerMiddleware, container=container)
    router = APIRouter(route_class=ContainerRoute)

    @router.get("/async")
    async def asynchronous(word: str, session: asyncmeta.From[Session], config: Annotated[dict, Inject("config")]):
        return [word, config["debug"]]

    @router.get("/sync")
    def synchronous(word: str, session: asyncmeta.From[Session], config: Annotated[dict, Inject("config")]):
        return [word, config["debug"]]

    app.include_router(router)

    with TestClient(app) as client:
        for _ in range(4):  # step by step at first, then by code of its own
            for path in ("/async", "/sync"):
                assert client.get(f"{path}?word=some").json() == ["some", True]

    assert journal[1:-1] == ["+session", "commit"] * 8
    assert asynchronous.__name__ == "asynchronous"


def test_the_handler_itself_stays_what_it_was(container):
    """
    The route class leaves the function alone: a test may call it by hand.
    """
    router = APIRouter(route_class=ContainerRoute)

    @router.get("/")
    def handler(limit: asyncmeta.From[int]):
        return limit + 1

    assert handler(limit=1) == 2
    assert not hasattr(handler, "__signature__")


def test_without_the_middleware_the_marker_says_so():
    """
    A request that meets no middleware is told which line is missing.
    """
    app = FastAPI()

    @app.get("/")
    async def handler(session: From[Session]): ...

    with TestClient(app) as client, pytest.raises(ScopeError, match="add_middleware"):
        client.get("/")


def test_a_text_is_no_type_for_the_marker():
    """
    From["..."] is refused where it is written: FastAPI has to have the type at once.
    """
    with pytest.raises(DeclarationError, match="for a token that is a string"):
        From["Session"]


async def test_a_scope_and_the_container_can_be_asked_for(app, container):
    """
    A handler may take its scope, or the container, to ask for what it knows only at run time.
    """

    @app.get("/")
    async def handler(scope: From[Scope], whole: From[Container], request: Request):
        return [scope is request.scope[KEY], whole is container]

    async with container, httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        assert (await client.get("/")).json() == [True, True]


# --- a scope for each call of a handler ----------------------------------------------------------------------------


@pytest.fixture
def app_of_container(container):
    """An application whose handlers are filled by the container itself; the middleware only starts and stops it."""
    app = FastAPI()
    app.add_middleware(ContainerMiddleware, container=container, connections=False)
    app.router.route_class = ContainerRoute.of(container)
    return app


@pytest.mark.parametrize("asynchronous", [True, False])
def test_the_route_class_of_a_container_opens_a_scope_for_each_call(app_of_container, journal, asynchronous):
    """
    Each call of a handler, sync or async, has a session, which commits before the response is made; no scope is around it.
    """

    @app_of_container.get("/async/{number}")
    async def handler(number: int, session: From[Session], config: Annotated[dict, Inject("config")], request: Request):
        journal.append(f"in loop {session.thread is threading.current_thread()}, {KEY in request.scope}")
        return [number, config]

    @app_of_container.get("/sync/{number}")
    def sync_handler(number: int, session: asyncmeta.From[Session], config: From[Annotated[dict, Inject("config")]]):
        journal.append(f"in loop {session.thread is threading.current_thread()}, False")
        return [number, config]

    with TestClient(app_of_container) as client:
        for number in range(4):
            assert client.get(f"/{'async' if asynchronous else 'sync'}/{number}").json() == [number, {"debug": True}]
        parameters = client.get("/openapi.json").json()["paths"]["/sync/{number}"]["get"]["parameters"]

    assert [one["name"] for one in parameters] == ["number"]
    calls = ["+session", f"in loop {asynchronous}, False", "commit"] * 4
    assert journal == ["+database", *calls, "-database"]


def test_a_websocket_beside_the_route_class_of_a_container_needs_connections(app_of_container, container):
    """
    A websocket has the connection's scope; where ``connections=False`` took that away, the error says so.
    """

    @app_of_container.websocket("/")
    async def talk(websocket: WebSocket, session: From[Session]):
        await websocket.accept()
        await websocket.send_text(type(session).__name__)

    with_scopes = ContainerMiddleware(app_of_container.router, container)

    with TestClient(with_scopes) as client, client.websocket_connect("/") as websocket:
        assert websocket.receive_text() == "Session"
    with TestClient(app_of_container) as client, pytest.raises(ScopeError, match="without connections=False"):
        with client.websocket_connect("/"):
            pass


def test_the_route_class_of_a_container_rolls_back(app_of_container, services, journal):
    """
    Finalizers see what the handler raised, HTTP exceptions too; a commit that fails is a 500.
    """

    @inject_dependency("failing", on=services, lifetime="scoped")
    async def failing() -> AsyncIterator[str]:
        yield "failing"
        raise OSError("disk full")

    @app_of_container.get("/gone")
    async def gone(session: From[Session]):
        raise HTTPException(404)

    @app_of_container.get("/failing")
    async def commits(value: From[Annotated[str, Inject("failing")]]):
        return value

    with TestClient(app_of_container, raise_server_exceptions=False) as client:
        assert client.get("/gone").status_code == 404
        assert client.get("/failing").status_code == 500

    assert journal == ["+database", "+session", "rollback: HTTPException(status_code=404, detail='Not Found')", "-database"]


@pytest.mark.skipif(not WITH_STREAMS, reason="this FastAPI knows no handlers that are generators")
def test_a_generator_of_the_route_class_of_a_container_keeps_its_session(app_of_container, journal):
    """
    The session of a handler that is a generator ends when that is exhausted.
    """

    @app_of_container.get("/")
    async def stream(session: From[Session]) -> AsyncIterator[int]:
        for number in range(3):
            journal.append(f"item {number}")
            yield number

    with TestClient(app_of_container) as client:
        assert client.get("/").text.split() == ["0", "1", "2"]

    assert journal == ["+database", "+session", "item 0", "item 1", "item 2", "commit", "-database"]


class Passing:
    """Middleware of ASGI's own kind that hands everything on, in a task of its own."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, connection, receive, send):
        await asyncio.create_task(self.app(connection, receive, send))


async def hand_on(request, call_next):
    return await call_next(request)


async def swallow(request, call_next):
    """Complete whatever response there is, as if nothing had happened."""
    response = await call_next(request)
    inner = response.body_iterator

    async def parts():
        with contextlib.suppress(Exception):
            async for part in inner:
                yield part

    response.body_iterator = parts()
    return response


BETWEEN = {
    "nothing": [],
    "dispatch": [Middleware(BaseHTTPMiddleware, dispatch=hand_on)],
    "two": [Middleware(BaseHTTPMiddleware, dispatch=hand_on), Middleware(BaseHTTPMiddleware, dispatch=hand_on)],
    "swallowing": [Middleware(BaseHTTPMiddleware, dispatch=swallow)],
    "gzip": [Middleware(GZipMiddleware, minimum_size=1)],
    "a task": [Middleware(Passing)],
}


def leaving(spec_version, *, stuck=False):
    """
    Return the receive and the send of a client that goes away at the first part of its response.

    From 2.4 on that cannot be sent; before, the client is heard to leave, and *stuck* never takes that part.
    """
    gone = asyncio.Event()
    request = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive():
        if request:
            return request.pop()
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message):
        if message["type"] == "http.response.body":
            gone.set()
            if spec_version == "2.4":
                raise OSError("the connection is lost")
            if stuck:
                await asyncio.Event().wait()

    return receive, send


@pytest.mark.parametrize("spec_version", ["2.3", "2.4"])
@pytest.mark.parametrize("between", BETWEEN)
@guarded
async def test_a_stream_whose_client_leaves_rolls_back_whatever_stands_between(spec_version, between, services, journal):
    """
    The server says that the client is gone, or cannot send: the session has failed, also where middleware hides that.
    """
    container = Container(services)
    app = FastAPI(middleware=[Middleware(ContainerMiddleware, container=container), *BETWEEN[between]])

    @app.get("/")
    async def endless(session: From[Session]):
        async def rows():
            for _ in range(1000):
                yield b"row" * 1000
                await asyncio.sleep(0)

        return StreamingResponse(rows())

    receive, send = leaving(spec_version)

    headers = [(b"accept-encoding", b"gzip")]
    connection = {"type": "http", "method": "GET", "path": "/", "headers": headers, "query_string": b""}
    async with container:
        with contextlib.suppress(Exception):
            await app({**connection, "asgi": {"spec_version": spec_version}}, receive, send)
        seen = list(journal)

    assert seen[:2] == ["+database", "+session"]
    assert len(seen) == 3 and seen[2].startswith("rollback")


@pytest.mark.skipif(not WITH_STREAMS, reason="this FastAPI knows no handlers that are generators")
@pytest.mark.parametrize("spec_version", ["2.3", "2.4"], ids=["hears of it", "cannot send"])
async def test_a_generator_whose_client_has_gone_rolls_back_with_its_response(spec_version, services, journal):
    """
    A generator that stands at its yield when the client goes away is closed when the response ends, not when it is collected.
    """
    container = Container(services)
    app = FastAPI()
    app.router.route_class = ContainerRoute.of(container)

    @app.get("/")
    async def stream(session: From[Session]) -> AsyncIterator[int]:
        while True:
            yield 1

    receive, send = leaving(spec_version, stuck=True)

    connection = {"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": b""}
    async with container:
        with contextlib.suppress(ClientDisconnect):
            await app({**connection, "asgi": {"spec_version": spec_version}}, receive, send)
        seen = list(journal)

    assert seen == ["+database", "+session", "rollback: GeneratorExit()"]


def test_the_route_class_of_a_container_checks_at_once_and_follows_overrides(app_of_container, container):
    """
    A handler that asks for what nothing provides is refused when its route is made; overrides reach the others.
    """

    class Nobody: ...

    with pytest.raises(GraphErrors, match=r"nothing provides .*Nobody"):

        @app_of_container.get("/nobody")
        async def nobody(nobody: From[Nobody]): ...

    @app_of_container.get("/")
    async def handler(limit: From[Annotated[int, Inject(LIMIT)]]):
        return limit

    with TestClient(app_of_container) as client:
        for _ in range(3):
            assert client.get("/").json() == 10
        with container.override({LIMIT: 3}, everywhere=True):
            assert client.get("/").json() == 3
        assert client.get("/").json() == 10


# --- odd handlers ---------------------------------------------------------------------------------------


@pytest.fixture(params=["marker", "route", "of"])
def any_app(request, container):
    """An application whose handlers are filled in one of the three ways; its sessions are those of `services`."""
    app = FastAPI()
    app.add_middleware(ContainerMiddleware, container=container)
    if request.param != "marker":
        app.router.route_class = ContainerRoute if request.param == "route" else ContainerRoute.of(container)
    return app


@pytest.mark.parametrize("package", ["fastapi_utils", "fastapi_restful"])
@pytest.mark.parametrize("way", ["marker", "route", "of"])
def test_class_based_views(container, journal, way, package):
    """
    The methods of a class-based view are filled as functions are, and what is bound is no parameter of the client.
    """
    cbv = pytest.importorskip(f"{package}.cbv").cbv
    app = FastAPI()
    app.add_middleware(ContainerMiddleware, container=container)
    classes = {"marker": fastapi.routing.APIRoute, "route": ContainerRoute, "of": ContainerRoute.of(container)}
    router = fastapi.APIRouter(route_class=classes[way])

    @cbv(router)
    class Orders:
        def __init__(self, request: Request, limit: From[Annotated[int, Inject(LIMIT)]]):
            self.path, self.limit = request.url.path, limit

        @router.get("/new")
        async def newest(self, session: From[Session], q: int = 1):
            return [self.path, self.limit, isinstance(session, Session), q]

        @router.get("/old")
        def oldest(self, session: From[Session]):
            return [self.limit, isinstance(session, Session)]

        @router.get("/none")
        async def nothing(self):
            return self.limit

    app.include_router(router)
    with TestClient(app) as client:
        assert client.get("/new?q=4").json() == ["/new", 10, True, 4]
        assert client.get("/old").json() == [10, True]
        assert client.get("/none").json() == 10

    asked = [one["name"] for path in app.openapi()["paths"].values() for one in path["get"].get("parameters", ())]
    assert asked == ["q"]


def test_annotations_that_only_checkers_know(any_app):
    """
    A type that is imported for checkers keeps nobody from being filled, where FastAPI does not need it.
    """

    @any_app.get("/price", response_model=None)
    async def price(session: From[Session], q: int = 1) -> "Decimal":  # noqa: F821  # that is the point
        return q

    @any_app.get("/plain", response_model=None)
    def plain(q: int = 1) -> "Decimal":  # noqa: F821
        return q

    with TestClient(any_app) as client:
        assert [client.get("/price?q=2").json(), client.get("/plain?q=3").json()] == [2, 3]


def test_a_decorator_below_finds_its_parameters_by_name(any_app):
    """
    FastAPI calls handlers with names only, and decorators count on that: they are given names all the same.
    """
    seen = []

    def audited(handler):
        @functools.wraps(handler)
        async def audit(*args, **kwargs):
            seen.append((args, kwargs["request"].url.path, kwargs["q"]))
            return await handler(*args, **kwargs)

        return audit

    @any_app.get("/")
    @audited
    async def handler(request: Request, session: From[Session], q: int = 1):
        return [isinstance(session, Session), q]

    with TestClient(any_app) as client:
        assert client.get("/?q=4").json() == [True, 4]
    assert seen == [((), "/", 4)]


@pytest.mark.skipif(not WITH_STREAMS, reason="this FastAPI knows no handlers that are generators")
def test_a_sync_generator_is_given_what_has_to_be_awaited(any_app, journal):
    """
    A sync generator runs in threads and gets asynchronous values, in each of the three ways; they live as long as it does.
    """

    @any_app.get("/")
    def rows(session: From[Session]) -> Iterator[int]:
        for number in range(2):
            journal.append(str(number))
            yield number

    with TestClient(any_app) as client:
        assert client.get("/").text.split() == ["0", "1"]

    assert journal == ["+database", "+session", "0", "1", "commit", "-database"]


@pytest.mark.parametrize("sync", [False, True])
def test_tokens_of_context_variables_under_middleware(any_app, services, sync):
    """
    A scoped factory that resets a token in its finalizer leaves a good request good, in whichever task middleware ends it.
    """
    current = ContextVar("current", default="nobody")

    @inject_dependency("tracing", on=services, lifetime="scoped")
    async def trace() -> AsyncIterator[str]:
        token = current.set("somebody")
        try:
            yield "tracing"
        finally:
            current.reset(token)

    @any_app.middleware("http")
    async def timing(request, call_next):
        return await call_next(request)

    tracing = From[Annotated[str, Inject("tracing")]]
    if sync:

        @any_app.get("/")
        def home(tracing: tracing):
            return current.get()
    else:

        @any_app.get("/")
        async def home(tracing: tracing):
            return current.get()

    any_app.user_middleware.sort(key=lambda one: one.cls is not ContainerMiddleware)
    with TestClient(any_app) as client:
        answer = client.get("/")

    assert answer.status_code == 200
    assert sync or answer.json() == "somebody"


def test_an_answer_of_a_container_s_own_route_is_judged(container, journal):
    """
    A response that is returned, or given to be changed, is a failure from the border on; an exception above it, too.
    """
    app, later = FastAPI(), fastapi.APIRouter(route_class=ContainerRoute.of(container, error_status=500))
    app.router.route_class = ContainerRoute.of(container)
    app.add_middleware(ContainerMiddleware, container=container, connections=False)

    @app.get("/changed")
    @later.get("/later/changed")
    async def changed(response: fastapi.Response, session: From[Session]):
        response.status_code = 409
        return "taken"

    @app.get("/usual", status_code=410)
    @later.get("/later/usual", status_code=410)
    async def usual(session: From[Session]):
        return "gone"

    @app.get("/raised")
    @later.get("/later/raised")
    def raised(session: From[Session]):
        raise HTTPException(401)

    app.include_router(later)
    ends = []
    with TestClient(app) as client:
        for path, status in ("/changed", 409), ("/usual", 410), ("/raised", 401):
            for prefix in "", "/later":
                assert client.get(prefix + path).status_code == status
                ends.append(journal[-1].split(":")[0])

    assert ends == ["rollback", "commit"] * 3


@pytest.mark.parametrize("decorate", [lambda function: function, inject], ids=["plain", "inject"])
def test_a_websocket_that_an_exception_closes_has_failed(any_app, journal, decorate):
    """
    ``WebSocketException`` is answered with a code: any but 1000 and 1001 is a failure.
    """

    @any_app.websocket("/{code}")
    @decorate
    async def talk(websocket: WebSocket, code: int, session: From[Session]):
        await websocket.accept()
        raise fastapi.WebSocketException(code)

    ends = []
    with TestClient(any_app) as client:
        for code in 1008, 1000:
            with client.websocket_connect(f"/{code}") as websocket, pytest.raises(fastapi.WebSocketDisconnect):
                websocket.receive_text()
            ends.append(journal[-1].split(":")[0])

    assert ends == ["rollback", "commit"]


def test_trio_is_refused_with_a_sentence(container):
    """
    A test client that runs trio is told to run asyncio, at the start and at a request without one.
    """
    pytest.importorskip("trio")
    app = FastAPI()
    app.add_middleware(ContainerMiddleware, container=container)

    with pytest.raises(BaseException) as started, TestClient(app, backend="trio"):
        pass
    with pytest.raises(BaseException) as asked:
        TestClient(app, backend="trio").get("/")

    for caught in started, asked:
        assert "event loops of asyncio only" in "".join(traceback.format_exception(caught.value))


def test_a_server_that_sends_no_lifespan_is_told_once(container, caplog):
    """
    The first request that comes before any lifespan leaves a line that says who closes the container; the others do not.
    """
    app, other = FastAPI(), FastAPI()
    for one in app, other:
        one.add_middleware(ContainerMiddleware, container=container)

    async def ask():
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
            for _ in range(2):
                await client.get("/")

    asyncio.run(ask())
    with TestClient(other) as client:
        client.get("/")

    lines = [record.getMessage() for record in caplog.records if record.name == "asyncmeta"]
    assert len(lines) == 1 and "async with container" in lines[0]


@pytest.mark.parametrize("connections", [True, False])
def test_a_route_class_that_shares_the_scope_of_the_request(container, journal, connections):
    """
    With ``shared=True`` a handler and its dependencies have one session, where the middleware opens scopes; else its own.
    """
    app = FastAPI()
    app.router.route_class = ContainerRoute.of(container, shared=True)
    app.add_middleware(ContainerMiddleware, container=container, connections=connections)

    async def dependency(request: Request):
        scope = request.scope.get(KEY)
        return None if scope is None else await scope.get(Session)

    @app.get("/")
    async def handler(session: From[Session], other: Annotated[object, Depends(dependency)]):
        return session is other

    with TestClient(app) as client:
        assert client.get("/").json() is connections

    assert journal == ["+database", "+session", "commit", "-database"]
