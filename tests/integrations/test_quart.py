"""`setup`, with the real Quart and its real test client."""

import asyncio

import pytest
from helpers import Journal, guarded, outcome

from asyncmeta import AsyncServiceBase, Container, From, ScopeError, inject_dependency, injected
from asyncmeta.integrations.asgi import CONNECTION

quart = pytest.importorskip("quart")

from asyncmeta.integrations.quart import inject, setup  # noqa: E402

from .asgi_server import Server  # noqa: E402
from .shops import Lines as Session, ending  # noqa: E402


class World:
    """An application class behind a Quart application, and what becomes of its values."""

    def __init__(self, **options):
        self.journal = journal = Journal()
        self.commit_fails = None

        class App(AsyncServiceBase, context=[CONNECTION]):
            pass

        @inject_dependency("pool", on=App)
        async def open_pool():
            with journal.noting("pool"):
                yield "pool"

        @inject_dependency(Session, on=App, lifetime="scoped")
        async def open_session():
            with ending(journal, Session(journal), lambda: self.commit_fails) as session:
                yield session

        self.container = Container(App)
        self.app = app = quart.Quart("orders")
        setup(app, self.container, **options)

        @app.get("/order")
        @injected
        async def order(session: From[Session]):
            session.add(quart.request.args.get("name", "tea"))
            return "ordered"

        @app.get("/fail")
        @injected
        async def fail(session: From[Session]):
            raise LookupError("oh")

        @app.get("/later")
        @injected
        async def later(session: From[Session]):
            @injected
            async def work():
                journal.append("later")

            app.add_background_task(work)
            return "now"

        @injected
        async def lines(session: From[Session]):
            for line in ("one ", "two "):
                session.add(line)
                yield line

        @app.get("/stream")
        async def stream():
            return lines()

        @injected
        async def endless(session: From[Session]):
            while True:
                yield "more "
                await asyncio.sleep(0)

        @app.get("/endless")
        async def stream_on():
            return endless()

        @app.websocket("/ws")
        @injected
        async def echo(session: From[Session]):
            while (text := await quart.websocket.receive()) != "bye":
                session.add(text)
                await quart.websocket.send(text.upper())
            if quart.websocket.args:
                raise LookupError("oh")


@guarded
async def test_the_container_lives_as_long_as_the_application():
    """
    Built before what Quart runs before serving, closed after what it runs after serving.
    """
    world = World()

    @world.app.while_serving
    async def own():
        with world.journal.noting("own"):
            yield

    async with world.app.test_app():
        world.journal.append("running")

    assert world.journal == ["+pool", "+own", "running", "-own", "-pool"]


@guarded
async def test_a_start_that_fails_is_told():
    """
    A singleton that cannot be built fails the start-up.
    """
    world = World()

    @inject_dependency("broken", on=world.container._root_class)
    async def broken():
        raise OSError("no network")

    with pytest.raises(Exception, match="no network"):
        await world.app.test_app().startup()


@guarded
async def test_one_scope_for_each_request():
    """
    Each request has a session of its own, which is committed before the response is complete.
    """
    world = World()
    async with world.app.test_app() as app:
        client = app.test_client()
        for name in ("tea", "rum"):
            response = await client.get("/order", query_string={"name": name})
            assert await response.get_data(as_text=True) == "ordered"
    assert world.journal == ["+pool", "tea", "commit", "rum", "commit", "-pool"]


@guarded
@pytest.mark.parametrize("ends", ["before", "after"])
async def test_the_session_is_committed_before_the_response_is_sent_or_after(ends):
    """
    Quart sends every response in parts; one of a known length is complete with the first.
    """
    world = World(ends=ends, start=False)
    server = Server(world.app)
    async with server.running():
        assert world.journal == []
        exchange = server.http("/order")
        exchange.on_message = lambda message: world.journal.append(message["type"].rpartition(".")[2])
        await exchange.run()
    sent = ["start", "body", "body"]
    assert world.journal == ["tea", *(["commit", *sent] if ends == "before" else [*sent, "commit"])]


@guarded
async def test_what_a_handler_raises_reaches_the_finalizers():
    """
    Quart answers 500; finalizers see the exception itself.
    """
    world = World()
    async with world.app.test_app() as app:
        assert (await app.test_client().get("/fail")).status_code == 500
    assert world.journal == ["+pool", "rollback LookupError", "-pool"]


@guarded
async def test_a_session_that_cannot_commit_is_a_failed_request():
    """
    Nothing of the response reaches the client.
    """
    world = World()
    world.commit_fails = OSError("disk full")
    server = Server(world.app)
    async with server.running():
        exchange = server.http("/order")
        raised = await outcome(exchange.run())
    assert isinstance(raised, ExceptionGroup) and exchange.got == []


@guarded
@pytest.mark.parametrize("ends", ["before", "after"])
async def test_a_stream_keeps_its_session(ends):
    """
    The scope of a response that streams is open to its last line.
    """
    world = World(ends=ends)
    async with world.app.test_app() as app:
        response = await app.test_client().get("/stream")
        assert await response.get_data(as_text=True) == "one two "
    assert world.journal == ["+pool", "one ", "two ", "commit", "-pool"]


@guarded
async def test_background_tasks_outlive_the_request():
    """
    Quart's background tasks run when the request, and its scope, are over; the container waits for them.
    """
    world = World()
    async with world.app.test_app() as app:
        await app.test_client().get("/later")
    assert sorted(world.journal[1:3]) == ["commit", "later"] and world.journal[-1] == "-pool"


@guarded
async def test_a_client_that_goes_away():
    """
    Quart cancels the handler and returns; a response that is not complete is rolled back.
    """
    world = World()
    server = Server(world.app)
    async with server.running():
        exchange = server.http("/endless")
        exchange.on_message = lambda message: exchange.leave() if len(exchange.got) == 5 else None
        await exchange.run()
    assert world.journal == ["+pool", "rollback ErrorResponse", "-pool"]


@guarded
async def test_a_websocket_has_one_scope():
    """
    It lives as long as the connection; what its handler raises reaches the finalizers, whatever the client is told.
    """
    world = World()
    server = Server(world.app)
    async with server.running():
        for query in (b"", b"fail=1"):
            exchange = await server.websocket("/ws", "a", "b", "bye", query_string=query).run()
            assert exchange.texts == ["A", "B"]
            assert exchange.got[-1]["code"] == 1000
    assert world.journal == ["+pool", "a", "b", "commit", "a", "b", "rollback LookupError", "-pool"]


@guarded
async def test_overrides_in_tests():
    """
    A test overrides for everybody.
    """
    world = World()

    class Fake:
        def add(self, line):
            world.journal.append(f"fake {line}")

    async with world.app.test_app() as app:
        async with world.container.override({Session: Fake()}, everywhere=True):
            await app.test_client().get("/order")
    assert world.journal == ["+pool", "fake tea", "-pool"]


@guarded
async def test_a_view_in_a_request_context_of_a_test():
    """
    ``test_request_context`` sends no request, so no scope is there: the error says what to do, and that works.
    """
    world = World()

    @inject
    async def view(session: From[Session]):
        return type(session).__name__

    async with world.app.test_request_context("/"):
        with pytest.raises(ScopeError) as caught:
            await view()
        assert "app.test_client()" in caught.value.__notes__[0]
        async with world.container.scope() as scope:
            with scope.ambient():
                assert await view() == "Lines"
    await world.container.aclose()
