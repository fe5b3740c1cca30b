"""`setup`, with the real Flask and its real test client."""

import threading
from typing import Annotated

import pytest
from helpers import Journal, in_threads

from asyncmeta import (
    AsyncDependencyError,
    AsyncServiceBase,
    Container,
    FinalizationErrors,
    From,
    Inject,
    Scope,
    ScopeError,
    inject_dependency,
    injected,
)

flask = pytest.importorskip("flask")

from asyncmeta.integrations.flask import inject, setup  # noqa: E402

from .shops import Lines as Session, ending  # noqa: E402


class World:
    """An application class behind a Flask application, and what becomes of its values."""

    def __init__(self, context=(flask.Request,), **options):
        self.journal = journal = Journal()
        self.commit_fails = None

        class App(AsyncServiceBase, context=list(context)):
            pass

        @inject_dependency("pool", on=App)
        def open_pool():
            with journal.noting("pool"):
                yield "pool"

        @inject_dependency(Session, on=App, lifetime="scoped")
        def open_session(pool: Annotated[str, Inject("pool")]):
            with ending(journal, Session(journal), lambda: self.commit_fails) as session:
                yield session

        @inject_dependency("awaited", on=App, lifetime="scoped")
        async def awaited():
            return "never"

        self.container = Container(App)
        self.app = app = flask.Flask("orders")
        setup(app, self.container, **options)

        @app.get("/order")
        @injected
        def order(session: From[Session]):
            session.add(flask.request.args.get("name", "tea"))
            return "ordered"

        @app.get("/fail/<int:status>")
        @injected
        def fail(status: int, session: From[Session]):
            if status == 500:
                raise LookupError("oh")
            flask.abort(status)

        @injected
        def lines(session: From[Session]):
            for line in ("one ", "two "):
                session.add(line)
                yield line

        @app.get("/stream")
        def stream():
            return flask.Response(lines())

        @app.get("/stream/context")
        @injected
        def stream_with_context(session: From[Session]):
            def lines():
                session.add(flask.request.path)
                yield "done"

            return flask.Response(flask.stream_with_context(lines()))

        @app.get("/broken")
        def broken():
            @injected
            def parts(session: From[Session]):
                yield "one "
                raise LookupError("oh")

            return flask.Response(parts())


def test_the_container_is_opened_around_the_application():
    """
    Flask's server runs inside of the container's block; many requests, one pool.
    """
    world = World()
    with world.container:
        client = world.app.test_client()
        for name in ("tea", "rum"):
            assert client.get("/order", query_string={"name": name}).text == "ordered"
    assert world.journal == ["+pool", "tea", "commit", "rum", "commit", "-pool"]


def test_threads_of_a_server():
    """
    Requests of many threads have their own scopes, and share the singletons, which are built once.
    """
    world = World()
    seen = []
    meeting = threading.Barrier(4)

    @world.app.get("/meet")
    @injected
    def meet(session: From[Session], scope: From[Scope]):
        meeting.wait(10)
        seen.append((session, scope))
        return "met"

    with world.container:
        assert in_threads(4, lambda number: world.app.test_client().get("/meet").text) == ["met"] * 4
    assert len({id(thing) for pair in seen for thing in pair}) == 8
    assert world.journal == ["+pool", *["commit"] * 4, "-pool"]


@pytest.mark.parametrize(
    ("status", "end"), [(500, "rollback LookupError"), (404, "rollback NotFound"), (503, "rollback ServiceUnavailable")]
)
def test_what_a_view_raises_reaches_the_finalizers(status, end):
    """
    They see the exception, whatever response Flask makes of it.
    """
    world = World()
    with world.container:
        assert world.app.test_client().get(f"/fail/{status}").status_code == status
    assert world.journal == ["+pool", end, "-pool"]


def test_an_exception_that_is_handed_on_to_the_test():
    """
    While Flask is testing, the exception leaves the application; finalizers see it first.
    """
    world = World()
    world.app.testing = True
    with world.container, pytest.raises(LookupError, match="oh"):
        world.app.test_client().get("/fail/500")
    assert world.journal == ["+pool", "rollback LookupError", "-pool"]


def test_an_error_handler_of_the_application():
    """
    Finalizers see what an error handler answers, whatever that makes of it.
    """
    world = World()
    world.app.register_error_handler(LookupError, lambda error: ("sorry", 200))
    with world.container:
        assert world.app.test_client().get("/fail/500").status_code == 200
    assert world.journal == ["+pool", "rollback LookupError", "-pool"]


def test_a_session_that_cannot_commit_is_a_failed_request():
    """
    The error leaves the application, so that the server answers 500.
    """
    world = World()
    world.commit_fails = OSError("disk full")
    with world.container, pytest.raises(FinalizationErrors):
        world.app.test_client().get("/order")


def test_what_fails_while_a_failure_is_undone_is_raised():
    """
    Flask has answered the view's exception; what a finalizer raises beside it is not lost.
    """
    world = World()

    @inject_dependency("broken", on=world.container._root_class, lifetime="scoped")
    def broken():
        try:
            yield
        finally:
            raise OSError("cannot roll back")

    @world.app.get("/both")
    @injected
    def both(broken: Annotated[None, Inject("broken")]):
        raise LookupError

    with world.container, pytest.raises(FinalizationErrors):
        world.app.test_client().get("/both")


@pytest.mark.parametrize("path", ["/stream", "/stream/context"])
def test_a_stream_keeps_its_session(path):
    """
    The scope of a response that streams is open until the response is closed, with Flask's context or without.
    """
    world = World()
    with world.container:
        with world.app.test_client().get(path) as response:
            assert response.text in ("one two ", "done")
        expected = ["one ", "two "] if path == "/stream" else [path]
        assert world.journal == ["+pool", *expected, "commit"]


def test_a_stream_that_is_not_sent_to_its_end():
    """
    A client that goes away, or a part that fails, is a failed request.
    """
    world = World()
    with world.container:
        response = world.app.test_client().get("/stream")
        assert next(response.iter_encoded()) == b"one "
        response.close()
        with pytest.raises(LookupError), world.app.test_client().get("/broken") as response:
            assert response.data
        assert world.app.test_client().head("/stream/context").status_code == 200
        # Nobody asks for its parts, or closes it; before 3.1.3 Flask has begun it all the same, and it fails where it is dropped.
        assert world.journal[-1] in ("commit", "rollback GeneratorExit")
    assert [line for line in world.journal if "roll" in line][:2] == ["rollback ErrorResponse", "rollback LookupError"]
    assert world.journal[-1] == "-pool"


def test_a_stream_that_waits_is_nobody_elses():
    """
    While a server has not yet sent a stream, its scope is not the one of what runs meanwhile in the same thread.
    """
    world = World()

    @injected
    def note(session: From[Session]):
        session.add("note")

    with world.container:
        with world.app.test_client().get("/stream") as response:
            del world.journal[:]
            note()
            assert world.journal == ["note", "commit"]
            assert response.text == "one two "


def test_a_file_is_no_stream(tmp_path):
    """
    What the server sends by itself ends the scope with the view.
    """
    world = World()
    (tmp_path / "a").write_text("text")

    @world.app.get("/file")
    @injected
    def send(session: From[Session]):
        return flask.send_file(tmp_path / "a")

    with world.container, world.app.test_client().get("/file") as response:
        assert world.journal == ["+pool", "commit"]
        assert response.data == b"text"


def test_functions_around_a_request():
    """
    The scope is open and ambient from ``before_request`` to ``teardown_request``; one that fails leaves no scope open.
    """
    world = World()

    @injected
    def note(what, session: From[Session]):
        session.add(what)

    @world.app.before_request
    def before():
        note("before")

    @world.app.after_request
    def after(response):
        note("after")
        return response

    @world.app.teardown_request
    def teardown(error):
        note("teardown")
        if flask.request.args.get("name") == "rum":
            raise LookupError

    with world.container:
        world.app.test_client().get("/order")
        assert world.journal == ["+pool", "before", "tea", "after", "teardown", "commit"]
        with pytest.raises(LookupError):
            world.app.test_client().get("/order?name=rum")
        assert world.journal[-1] in ("commit", "rollback LookupError") and len(world.journal) == 11
        del world.journal[:]
        note("outside")  # nothing of the requests is ambient any more, but the container
        assert world.journal == ["outside", "commit"]


def test_requests_inside_of_an_application_context():
    """
    Requests that share Flask's application context, as in some tests, have scopes of their own; so have nested ones.
    """
    world = World()

    @world.app.get("/outer")
    @injected
    def outer(session: From[Session]):
        session.add("outer")
        inner = world.app.test_client().get("/order").text
        session.add("outer again")
        return inner

    with world.container, world.app.app_context():
        client = world.app.test_client()
        client.get("/order")
        assert client.get("/outer").text == "ordered"
    assert world.journal == ["+pool", "tea", "commit", "outer", "tea", "commit", "outer again", "commit", "-pool"]


def test_what_has_to_be_awaited_is_refused():
    """
    A view that asks for an async factory's value is told so by name.
    """
    world = World()
    world.app.testing = True

    @world.app.get("/awaited")
    @injected
    def view(awaited: Annotated[str, Inject("awaited")]):
        return awaited

    with world.container, pytest.raises(AsyncDependencyError, match="awaited"):
        world.app.test_client().get("/awaited")


def test_async_views():
    """
    An async view, which Flask runs in a loop of its own, is filled as a sync one is.
    """
    pytest.importorskip("asgiref")
    world = World()

    @world.app.get("/async")
    @injected
    async def view(session: From[Session]):
        session.add("async")
        return "ordered"

    with world.container:
        assert world.app.test_client().get("/async").text == "ordered"
    assert world.journal == ["+pool", "async", "commit", "-pool"]


def test_the_request_is_context():
    """
    Where the application declares it, services get Flask's request; where it does not, nothing is given.
    """
    world, plain = World(), World(context=())

    @world.app.get("/who")
    @injected
    def who(request: From[flask.Request]):
        return request.headers["x-name"]

    with world.container, plain.container:
        assert world.app.test_client().get("/who", headers={"x-name": "ada"}).text == "ada"
        assert plain.app.test_client().get("/order").text == "ordered"


def test_overrides_in_tests():
    """
    The test client's requests run in the test's own thread, so a plain override reaches them.
    """
    world = World()

    class Fake:
        def add(self, line):
            world.journal.append(f"fake {line}")

    with world.container:
        with world.container.override({Session: Fake()}):
            world.app.test_client().get("/order")
        world.app.test_client().get("/order")
    assert world.journal == ["fake tea", "+pool", "tea", "commit", "-pool"]


def test_a_view_in_a_request_context_of_a_test():
    """
    ``test_request_context`` sends no request, so no scope is there: the error says what to do, and that works.
    """
    world = World()

    @inject
    def view(session: From[Session]):
        return type(session).__name__

    with world.app.test_request_context("/"):
        with pytest.raises(ScopeError) as caught:
            view()
        assert "app.test_client()" in caught.value.__notes__[0]
        with world.container.scope() as scope, scope.ambient():
            assert view() == "Lines"
    world.container.close()
