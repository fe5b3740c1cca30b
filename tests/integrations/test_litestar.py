"""The plugin, in the real Litestar with its real test client."""

import asyncio
import traceback
from contextlib import asynccontextmanager
from typing import Annotated

import pytest
from helpers import Journal, guarded, leaves

from asyncmeta import INJECTED, AsyncServiceBase, Container, From, Inject, ScopeError, inject_dependency, injected

litestar = pytest.importorskip("litestar")

from litestar import Controller, Litestar, MediaType, Request, WebSocket, di, get, post, websocket, websocket_listener  # noqa: E402
from litestar.background_tasks import BackgroundTask  # noqa: E402
from litestar.connection import ASGIConnection  # noqa: E402
from litestar.exceptions import NotFoundException  # noqa: E402
from litestar.response import Response, Stream  # noqa: E402
from litestar.testing import TestClient  # noqa: E402

from asyncmeta.integrations.asgi import KEY  # noqa: E402
from asyncmeta.integrations.litestar import ContainerPlugin, provide  # noqa: E402

from .asgi_server import Server  # noqa: E402
from .shops import Lines as Session, ending  # noqa: E402

#: One of Litestar's own dependencies; older versions infer that.
Named = di.NamedDependency[Session] if hasattr(di, "NamedDependency") else Session


class World:
    """An application class, and what becomes of its values."""

    def __init__(self, **keywords):
        self.journal = journal = Journal()
        self.commit_fails = None

        class App(AsyncServiceBase, **{"context": [ASGIConnection], **keywords}):
            pass

        self.app = App

        @inject_dependency("pool", on=App)
        async def open_pool():
            with journal.noting("pool"):
                yield "pool"

        @inject_dependency(Session, on=App, lifetime="scoped")
        async def open_session():
            with ending(journal, Session(journal), lambda: self.commit_fails) as session:
                yield session

    def plugin(self, **options):
        """Return the plugin with a container of this world."""
        return ContainerPlugin(Container(self.app), **options)

    def client(self, *handlers, ends="before", raises=False, **options):
        """Return Litestar's test client of an application with these handlers."""
        options = {"logging_config": None, "openapi_config": None, **options}
        app = Litestar(list(handlers), plugins=[self.plugin(ends=ends)], **options)
        return TestClient(app, raise_server_exceptions=raises)


@get("/order")
@injected
async def order(request: Request, session: From[Session] = INJECTED) -> str:
    session.add(request.query_params.get("name", "tea"))
    return "ordered"


def test_the_container_lives_as_long_as_the_application():
    """
    Built before the application's own managers and hooks, closed after all of them.
    """
    world = World()

    @asynccontextmanager
    async def own(app):
        assert app.plugins.get(ContainerPlugin).container is not None
        with world.journal.noting("own"):
            yield

    with world.client(
        lifespan=[own],
        on_startup=[lambda: world.journal.append("startup")],
        on_shutdown=[lambda: world.journal.append("shutdown")],
    ):
        world.journal.append("running")

    assert world.journal == ["+pool", "+own", "startup", "running", "-own", "shutdown", "-pool"]


def test_singletons_may_wait_until_they_are_needed():
    """
    With ``start=False`` nothing is built at start-up.
    """
    world = World()
    with TestClient(Litestar([], plugins=[world.plugin(start=False)], openapi_config=None, logging_config=None)):
        assert world.journal == []


def test_a_start_that_fails_closes_what_was_built():
    """
    Where the application's own start-up fails, the container is closed, and the server hears of it.
    """
    world = World()

    def broken():
        raise OSError("no network")

    with pytest.raises(BaseException) as caught, world.client(on_startup=[broken]):
        pass

    assert any(isinstance(error, OSError) for error in leaves(caught.value))
    assert world.journal == ["+pool", "-pool"]


def test_one_scope_for_each_request():
    """
    Each request has a session of its own, which is committed before the response is sent.
    """
    world = World()
    with world.client(order) as client:
        for name in ("tea", "rum"):
            assert client.get("/order", params={"name": name}).text == "ordered"
    assert world.journal == ["+pool", "tea", "commit", "rum", "commit", "-pool"]


def test_a_controller_and_its_dependencies():
    """
    Methods of controllers are filled as functions are, and so are Litestar's own dependencies; the scope is the same.
    """
    world = World()

    @injected
    async def basket(session: From[Session]) -> Session:
        return session

    class Orders(Controller):
        path = "/orders"
        dependencies = {"basket": di.Provide(basket), "named": provide(Session)}

        @post()
        @injected
        async def place(self, basket: Named, named: Named, session: From[Session]) -> str:
            assert basket is named is session
            session.add("placed")
            return "ordered"

    with world.client(Orders) as client:
        assert client.post("/orders").status_code == 201
    assert world.journal == ["+pool", "placed", "commit", "-pool"]


@pytest.mark.parametrize("in_thread", [False, True])
def test_synchronous_handlers(in_thread):
    """
    A sync handler is filled with what is built; through ``provide`` it also gets what has to be awaited.
    """
    world = World()

    @get("/order", sync_to_thread=in_thread, dependencies={"session": provide(Session)})
    @injected
    def place(session: Named, pool: Annotated[str, Inject("pool")]) -> str:
        session.add(pool)
        return "ordered"

    with world.client(place) as client:
        assert client.get("/order").text == "ordered"
    assert world.journal == ["+pool", "pool", "commit", "-pool"]


@pytest.mark.parametrize(("error", "status"), [(OSError("oh"), 500), (NotFoundException("no such tea"), 404)])
def test_what_a_handler_raises_reaches_the_finalizers(error, status):
    """
    Whatever response Litestar makes of an exception, finalizers see the exception itself.
    """
    world = World()

    @get("/fail")
    @injected
    async def fail(session: From[Session]) -> None:
        raise error

    with world.client(fail) as client:
        assert client.get("/fail").status_code == status
        assert client.get("/nowhere").status_code == 404
    assert world.journal == ["+pool", f"rollback {type(error).__name__}", "-pool"]


def test_a_session_that_cannot_commit_is_a_failed_request():
    """
    The client never hears of a success; Litestar's exception handlers see what was raised.
    """
    world = World()
    world.commit_fails = OSError("disk full")

    with world.client(order) as client:
        assert client.get("/order").status_code == 500
    seen = []
    world.commit_fails = OSError("disk full")

    def told(request, error):
        seen.append(error)
        return litestar.Response("", status_code=409)

    with world.client(order, exception_handlers={OSError: told}) as client:
        assert client.get("/order").status_code == 409
    assert seen == [world.commit_fails]


@pytest.mark.parametrize("ends", ["before", "after"])
def test_streams_and_background_tasks(ends):
    """
    A stream keeps its session to the last line; a background task has it with ``ends="after"``.
    """
    world = World()

    @injected
    async def lines(session: From[Session]):
        for line in ("one ", "two "):
            session.add(line)
            yield line

    @get("/stream")
    async def stream() -> Stream:
        return Stream(lines(), media_type=MediaType.TEXT)

    async def later(session):
        session.add("later")

    @get("/later")
    @injected
    async def respond(session: From[Session]) -> Response[str]:
        return Response("now", background=BackgroundTask(later, session))

    with world.client(stream, respond, ends=ends) as client:
        assert client.get("/stream").text == "one two "
        assert client.get("/later").text == "now"
    end = ["commit", "later"] if ends == "before" else ["later", "commit"]
    assert world.journal == ["+pool", "one ", "two ", "commit", *end, "-pool"]


def test_a_websocket_has_one_scope():
    """
    A websocket's scope lives as long as the connection, and ends with what its handler raised.
    """
    world = World()

    @websocket("/ws")
    @injected
    async def echo(socket: WebSocket, session: From[Session]) -> None:
        await socket.accept()
        while (text := await socket.receive_text()) != "bye":
            session.add(text)
            await socket.send_text(text.upper())
        if socket.query_params.get("fail"):
            raise OSError
        await socket.close()

    @websocket_listener("/listen")
    @injected
    async def listen(data: str, session: From[Session]) -> str:
        session.add(data)
        return data.upper()

    with world.client(echo, listen) as client:
        for fails in ("", "?fail=1"):
            with client.websocket_connect("/ws" + fails) as socket:
                for text in ("a", "b"):
                    socket.send_text(text)
                    assert socket.receive_text() == text.upper()
                socket.send_text("bye")
                with pytest.raises(litestar.exceptions.WebSocketDisconnect):
                    socket.receive_text()
        with client.websocket_connect("/listen") as socket:
            socket.send_text("c")
            assert socket.receive_text() == "C"

    assert world.journal[:7] == ["+pool", "a", "b", "commit", "a", "b", "rollback OSError"]
    assert world.journal[7] == "c" and len(world.journal) == 10


@guarded
async def test_a_client_that_goes_away():
    """
    A stream whose client has left is no complete response: the session is rolled back.
    """
    world = World()

    @injected
    async def endless(session: From[Session]):
        while True:
            yield "more "
            await asyncio.sleep(0)

    @get("/stream")
    async def stream() -> Stream:
        return Stream(endless())

    app = Litestar([stream], plugins=[world.plugin()], logging_config=None, openapi_config=None)
    server = Server(app)
    async with server.running():
        exchange = server.http("/stream")
        exchange.on_message = lambda message: exchange.leave() if len(exchange.got) == 5 else None
        await exchange.run()

    assert len(world.journal) == 3 and world.journal[1].startswith("rollback")


@pytest.mark.filterwarnings("ignore:.*inferred style")  # as all versions know it
def test_the_schema_shows_only_real_parameters():
    """
    In the OpenAPI schema stand the parameters that a client sends, none that is injected.
    """

    @get("/order/{number:int}", dependencies={"named": provide(Session)})
    @injected
    async def place(number: int, named: Named, session: From[Session]) -> str:
        return "ordered"

    app = Litestar([place], plugins=[World().plugin()], logging_config=None)
    (operation,) = [path.get for path in app.openapi_schema.paths.values()]

    assert [parameter.name for parameter in operation.parameters] == ["number"]
    assert operation.request_body is None


def test_the_connection_is_context():
    """
    Where the application declares it, services get Litestar's connection; where it does not, nothing is given.
    """

    @get("/who")
    @injected
    async def who(connection: From[ASGIConnection]) -> str:
        return connection.headers["x-name"]

    @get("/scope")
    async def scope_of(request: Request) -> str:
        return str(request.scope[KEY].level)

    with World().client(who) as client:
        assert client.get("/who", headers={"x-name": "ada"}).text == "ada"
    with World(context=[]).client(scope_of) as client:
        assert client.get("/scope").text == "scoped"


def test_overrides_in_tests():
    """
    A test overrides for everybody, since the client's requests run in other tasks.
    """
    world = World()

    class Fake:
        def add(self, line):
            world.journal.append(f"fake {line}")

    with world.client(order) as client:
        container = client.app.plugins.get(ContainerPlugin).container
        with container.override({Session: Fake()}, everywhere=True):
            client.get("/order")
        client.get("/order")
    assert world.journal == ["+pool", "fake tea", "tea", "commit", "-pool"]


def test_a_provider_without_the_plugin_says_what_is_missing():
    """
    A dependency of ours in an application without the plugin names it.
    """

    @get("/", dependencies={"session": provide(Session)})
    async def order(session: Named) -> str:
        return "ordered"

    raised = []

    async def note(error, scope):
        raised.append(error)

    with TestClient(Litestar([order], after_exception=[note], logging_config=None)) as client:
        assert client.get("/").status_code == 500

    (error,) = raised
    assert isinstance(error, ScopeError) and "plugins=[ContainerPlugin(" in str(error)


def test_trio_is_refused_with_a_sentence():
    """
    A test client that runs trio is told to run asyncio, although Litestar then stops what has never begun.
    """
    pytest.importorskip("trio")
    app = Litestar([order], plugins=[World().plugin()], logging_config=None, openapi_config=None)

    with pytest.raises(BaseException) as caught, TestClient(app, backend="trio"):
        pass

    assert "event loops of asyncio only" in "".join(traceback.format_exception(caught.value))


@guarded
async def test_an_application_without_a_lifespan_is_checked_and_told_of_at_its_first_request(caplog):
    """
    What handlers ask for is checked at the first request then, of each route; one line says who closes the container.
    """
    world, seen = World(), []

    @get("/fine")
    @injected
    async def fine(session: From[Session]) -> None: ...

    @get("/also")
    async def also() -> None: ...

    @get("/broken")
    @injected
    async def broken(missing: Annotated[str, Inject("missing")]) -> None: ...

    for handlers in [fine, also], [fine, broken]:
        app = Litestar(handlers, plugins=[world.plugin()], logging_config=None, openapi_config=None)
        for path in "/fine", "/also":
            exchange = await Server(app).http(path).run()
            seen.append(exchange.got[0]["status"])

    assert seen == [200, 200, 500, 404]
    assert len([one for one in caplog.records if one.name == "asyncmeta" and "before any lifespan" in one.getMessage()]) == 1
