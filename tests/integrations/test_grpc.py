"""grpc.aio: a scope with each call of every kind; real servers and channels on loopback."""

import asyncio
import inspect
import threading
from contextlib import asynccontextmanager

import pytest
from helpers import fresh_app, guarded, leaves

from asyncmeta import Container, From, Scope, ScopeError, injected

from .shops import Pool, Session, shop, sync_shop

pytest.importorskip("grpc", reason="needs grpcio")

import grpc

from asyncmeta.integrations.grpc import CallFailed, ContainerInterceptor, container_of, inject, setup

HANDLERS = {
    "unary_unary": grpc.unary_unary_rpc_method_handler,
    "unary_stream": grpc.unary_stream_rpc_method_handler,
    "stream_unary": grpc.stream_unary_rpc_method_handler,
    "stream_stream": grpc.stream_stream_rpc_method_handler,
}


@asynccontextmanager
async def serving(container, kind, behavior, *, around=(), inside=(), **options):
    """Serve *behavior* from *container* over loopback; gives what calls it."""
    async with container:
        interceptors = [*around, ContainerInterceptor(container, **options), *inside]
        server = grpc.aio.server(interceptors=interceptors)
        handlers = {"Do": HANDLERS[kind](behavior)}  # without serializers messages are bytes
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("shop", handlers),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            try:
                yield getattr(channel, kind)("/shop/Do")
            finally:
                await server.stop(None)


async def sent(*messages):
    for message in messages:
        yield message


async def called(kind, method):
    """Call *method* with one or two messages; return what came back."""
    request = sent(b"a", b"b") if kind.startswith("stream") else b"a"
    call = method(request)
    return [response async for response in call] if kind.endswith("stream") else [await call]


def name_of(session):
    return type(session).__name__.encode()


@injected
async def unary_unary(request, context, session: From[Session]):
    return request + name_of(session)


@injected
async def unary_stream(request, context, session: From[Session]):
    for mark in (b"1", b"2"):
        yield request + mark + name_of(session)


@injected
async def unary_written(request, context, session: From[Session]):
    for mark in (b"1", b"2"):
        await context.write(request + mark + name_of(session))


@injected
async def stream_unary(requests, context, session: From[Session]):
    return b"".join([request async for request in requests]) + name_of(session)


@injected
async def stream_stream(requests, context, session: From[Session]):
    async for request in requests:
        yield request + name_of(session)


@injected
async def stream_written(requests, context, session: From[Session]):
    while (request := await context.read()) is not grpc.aio.EOF:
        await context.write(request + name_of(session))


KINDS = [
    ("unary_unary", unary_unary, [b"aSession"]),
    ("unary_stream", unary_stream, [b"a1Session", b"a2Session"]),
    ("unary_stream", unary_written, [b"a1Session", b"a2Session"]),
    ("stream_unary", stream_unary, [b"abSession"]),
    ("stream_stream", stream_stream, [b"aSession", b"bSession"]),
    ("stream_stream", stream_written, [b"aSession", b"bSession"]),
]
each_kind = pytest.mark.parametrize(("kind", "behavior", "responses"), KINDS, ids=[one[1].__name__ for one in KINDS])


@each_kind
@guarded
async def test_each_call_has_a_scope(kind, behavior, responses):
    """
    Handlers of every kind are filled; each call begins and commits once, and the container closes after the server.
    """
    app, journal = shop()

    async with serving(Container(app), kind, behavior) as method:
        assert await called(kind, method) == await called(kind, method) == responses

    assert journal == ["+pool", "begin", "commit", "begin", "commit", "-pool"]


@each_kind
@guarded
async def test_the_kind_of_a_handler_stays(kind, behavior, responses):
    """
    What other interceptors see of a handler is of the kind that it was.
    """
    app, _ = shop()
    method = HANDLERS[kind](behavior)

    async def continuation(details):
        return method

    found = await ContainerInterceptor(Container(app)).intercept_service(continuation, None)

    wrapped = getattr(found, kind)
    assert inspect.iscoroutinefunction(wrapped) == inspect.iscoroutinefunction(behavior)
    assert inspect.isasyncgenfunction(wrapped) == inspect.isasyncgenfunction(behavior)
    assert f"{found.request_streaming} {found.response_streaming}" == " ".join(str(part == "stream") for part in kind.split("_"))


@guarded
async def test_calls_at_the_same_time_have_their_own():
    """
    Functions of one call share its scope, two calls have two.
    """
    app, journal = shop()
    both = asyncio.Barrier(2)
    seen = []

    @injected
    async def deeper(session: From[Session]):
        return session

    @injected
    async def handler(request, context, session: From[Session]):
        await both.wait()
        seen.append((session, await deeper()))
        return b""

    async with serving(Container(app), "unary_unary", handler) as method:
        await asyncio.gather(method(b""), method(b""))

    (one, again), (other, other_again) = seen
    assert one is again and other is other_again and one is not other
    assert journal == ["+pool", "begin", "begin", "commit", "commit", "-pool"]


@guarded
async def test_an_unknown_method_is_unimplemented():
    """
    A method that nobody serves is answered as without the interceptor.
    """
    app, journal = shop()

    async with Container(app) as container:
        server = grpc.aio.server(interceptors=[ContainerInterceptor(container)])
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await channel.unary_unary("/shop/Nothing")(b"")
        await server.stop(None)

    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert journal == []


@guarded
async def test_the_context_is_given_where_declared():
    """
    ``context=[grpc.aio.ServicerContext]`` lets factories ask for it.
    """
    app, _ = shop(context=[grpc.aio.ServicerContext])

    def caller(context: grpc.aio.ServicerContext) -> str:
        return dict(context.invocation_metadata())["caller"]

    app.register_dependency(str, caller, lifetime="scoped")

    @injected
    async def handler(request, context, caller: From[str]):
        return caller.encode()

    async with serving(Container(app), "unary_unary", handler) as method:
        assert await method(b"", metadata=[("caller", "ada")]) == b"ada"


async def all_of(request):
    """Read what the client sends: one that still sends as the call ends may see a reset, INTERNAL, before the status."""
    if hasattr(request, "__aiter__"):
        async for _ in request:
            pass


def all_of_nowait(request):
    """Read the same in a thread."""
    if not isinstance(request, bytes):
        for _ in request:
            pass


def failing(kind, fail):
    """Return a handler of *kind* that has a session when it fails."""
    if kind.endswith("stream"):

        @injected
        async def handler(request, context, session: From[Session]):
            yield b"first"
            await all_of(request)
            await fail(context)

    else:

        @injected
        async def handler(request, context, session: From[Session]):
            await all_of(request)
            await fail(context)

    return handler


@pytest.mark.parametrize("kind", HANDLERS)
@guarded
async def test_an_exception_rolls_back(kind, caplog):
    """
    What a handler raises reaches the finalizers, and the client hears UNKNOWN as ever.
    """
    app, journal = shop()

    async def fail(context):
        raise ValueError("no")

    async with serving(Container(app), kind, failing(kind, fail)) as method:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await called(kind, method)

    assert caught.value.code() is grpc.StatusCode.UNKNOWN
    assert journal == ["+pool", "begin", "rollback ValueError", "-pool"]
    assert "ValueError" in caplog.text


@pytest.mark.parametrize("kind", HANDLERS)
@guarded
async def test_an_abort_rolls_back(kind):
    """
    ``context.abort`` reaches the finalizers, and the client hears its status.
    """
    app, journal = shop()
    on_its_way = asyncio.Event()  # the client hears of it before the handler does

    async def fail(context):
        try:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no tea")
        finally:
            on_its_way.set()

    async with serving(Container(app), kind, failing(kind, fail)) as method:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await called(kind, method)
        await on_its_way.wait()

    assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.NOT_FOUND, "no tea")
    assert journal == ["+pool", "begin", "rollback AbortError", "-pool"]


@pytest.mark.parametrize("kind", HANDLERS)
@guarded
async def test_a_status_that_is_set_rolls_back(kind):
    """
    A handler that sets a status other than OK and returns has failed, for finalizers as for the client.
    """
    app, journal = shop()

    async def fail(context):
        context.set_code(grpc.StatusCode.NOT_FOUND)
        context.set_details("no tea")

    async with serving(Container(app), kind, failing(kind, fail)) as method:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await called(kind, method)

    assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.NOT_FOUND, "no tea")
    assert journal == ["+pool", "begin", "rollback CallFailed", "-pool"]


@pytest.mark.parametrize("code", [grpc.StatusCode.OK, grpc.StatusCode.NOT_FOUND], ids=["commits", "rolls back"])
@pytest.mark.parametrize("kind", ["unary_unary", "unary_stream"])
@guarded
async def test_a_commit_that_fails_fails_the_call(kind, code, caplog):
    """
    The scope ends before the response and the final status: what its finalizers raise is logged, and the call fails.
    """
    app = fresh_app()

    async def open_session():
        try:
            yield Session()
        finally:
            raise OSError("disk full")

    app.register_dependency(Session, open_session, lifetime="scoped")

    async def succeed(context):
        context.set_code(code)

    async with serving(Container(app), kind, failing(kind, succeed)) as method:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await called(kind, method)

    assert caught.value.code() is (grpc.StatusCode.UNKNOWN if code is grpc.StatusCode.OK else code)
    logged = caplog.records[-1].exc_info[1]
    assert any(isinstance(error, OSError) for error in leaves(logged))
    assert code is grpc.StatusCode.OK or isinstance(logged, CallFailed)


@pytest.mark.parametrize("kind", HANDLERS)
@guarded
async def test_a_client_that_cancels(kind):
    """
    The cancellation reaches the finalizers, once, in the task of the call, wherever the handler stands.
    """
    app, journal = shop()
    came, ended = asyncio.Event(), asyncio.Event()
    tasks = []

    async def open_marker():
        tasks.append(asyncio.current_task())
        try:
            yield "marker"
        finally:
            tasks.append(asyncio.current_task())
            ended.set()

    app.register_dependency(str, open_marker, lifetime="scoped")

    async def wait(context):
        assert await marked() == "marker"
        came.set()
        await asyncio.Event().wait()

    @injected
    async def marked(marker: From[str]):
        return marker

    async with serving(Container(app), kind, failing(kind, wait)) as method:
        call = method(sent(b"a")) if kind.startswith("stream") else method(b"a")
        if kind.endswith("stream"):
            assert await call.read() == b"first"
        await came.wait()
        call.cancel()
        await ended.wait()

    assert journal == ["+pool", "begin", "rollback CancelledError", "-pool"]
    assert len(tasks) == 2 and tasks[0] is tasks[1]


@guarded
@pytest.mark.parametrize("kind", ["stream_unary", "stream_stream"])
@pytest.mark.parametrize("reads", [False, True], ids=["iterates", "reads"])
async def test_a_client_that_leaves_in_the_middle_of_its_requests(kind, reads):
    """
    Half of what a client had to say is no success: its requests end with its call, and look as if they were complete.
    """
    app, journal = shop()
    came = asyncio.Event()

    async def half(requests, context):
        if reads:
            while await context.read() is not grpc.aio.EOF:
                came.set()
        else:
            async for _ in requests:
                came.set()

    @injected
    async def one(requests, context, session: From[Session]):
        await half(requests, context)
        return b""

    @injected
    async def many(requests, context, session: From[Session]):
        await half(requests, context)
        return
        yield

    async with serving(Container(app), kind, one if kind == "stream_unary" else many) as method:
        call = method()
        await call.write(b"half")
        await came.wait()
        call.cancel()
        while len(journal) < 3:  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(0.001)

    assert journal[:3] == ["+pool", "begin", "rollback CancelledError"]


@guarded
async def test_a_client_that_cancels_a_stream_that_nobody_reads():
    """
    A stream that cannot send any more is cancelled where it stands, at its yield, and its scope ends in the task of the call.
    """
    app, journal = shop()
    tasks, sent_one, ended = [], asyncio.Event(), asyncio.Event()

    async def open_marker():
        tasks.append(asyncio.current_task())
        try:
            yield "marker"
        finally:
            tasks.append(asyncio.current_task())
            ended.set()

    app.register_dependency(str, open_marker, lifetime="scoped")

    @injected
    async def endless(request, context, session: From[Session], marker: From[str]):
        while True:
            yield bytes(100_000)
            sent_one.set()

    async with serving(Container(app), "unary_stream", endless) as method:
        call = method(b"")
        await call.read()
        await sent_one.wait()
        call.cancel()
        await ended.wait()

    assert journal == ["+pool", "begin", "rollback CancelledError", "-pool"]
    assert len(tasks) == 2 and tasks[0] is tasks[1]


async def test_a_response_that_cannot_be_sent_is_a_cancellation():
    """
    Where a response fails because the client has gone, before grpc cancels the call for that, finalizers see a cancellation.
    """
    app, journal = shop()

    class Context:
        async def write(self, response):
            raise grpc.aio.InternalError("the stream is broken")

    @injected
    async def lines(request, context, session: From[Session]):
        yield b"one"

    async def found(details):
        return grpc.unary_stream_rpc_method_handler(lines)

    async with Container(app) as container:
        handler = await ContainerInterceptor(container).intercept_service(found, None)
        with pytest.raises(asyncio.CancelledError):
            await anext(handler.unary_stream(b"", Context()))

    assert journal == ["+pool", "begin", "rollback CancelledError", "-pool"]


@guarded
async def test_a_call_that_takes_too_long():
    """
    When the client's deadline has passed, finalizers see a cancellation.
    """
    app, journal = shop()
    ended = asyncio.Event()

    async def wait(context):
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with serving(Container(app), "unary_unary", failing("unary_unary", wait)) as method:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await method(b"", timeout=0.2)
        await ended.wait()

    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert journal == ["+pool", "begin", "rollback CancelledError", "-pool"]


@guarded
async def test_a_server_that_stops_ends_its_calls_first():
    """
    Calls that a stop cuts off roll back before the container closes what they use.
    """
    app, journal = shop()
    came = asyncio.Event()

    async def wait(context):
        came.set()
        await asyncio.Event().wait()

    async with serving(Container(app), "unary_unary", failing("unary_unary", wait)) as method:
        call = method(b"")
        await came.wait()

    with pytest.raises((grpc.aio.AioRpcError, asyncio.CancelledError)):
        await call
    assert journal == ["+pool", "begin", "rollback CancelledError", "-pool"]


@guarded
async def test_other_interceptors():
    """
    Interceptors inside see every response and run in the scope; those around see the call.
    """
    app, _ = shop()
    seen = []

    @injected
    async def ask(session: From[Session]):
        return session

    class Counting(grpc.aio.ServerInterceptor):
        def __init__(self, name):
            self.name = name

        async def intercept_service(self, continuation, details):
            handler = await continuation(details)

            async def counted(request, context):
                seen.append(f"{self.name} begins")
                async for response in handler.unary_stream(request, context):
                    seen.append((self.name, type(await ask()).__name__))
                    yield response
                seen.append(f"{self.name} ends")

            return grpc.unary_stream_rpc_method_handler(counted)

    async with serving(Container(app), "unary_stream", unary_stream, around=[Counting("out")], inside=[Counting("in")]) as method:
        assert len(await called("unary_stream", method)) == 2

    assert seen == ["out begins", "in begins", ("in", "Session"), ("in", "Session"), "in ends", "out ends"]


def now_unary(request, context, session: From[Session]):
    request = b"".join(request) if not isinstance(request, bytes) else request
    return request + name_of(session)


def now_stream(request, context, session: From[Session]):
    for message in [request] if isinstance(request, bytes) else request:
        yield message + name_of(session)


@pytest.mark.parametrize("kind", HANDLERS)
@guarded
async def test_handlers_in_threads(kind):
    """
    Handlers that are no coroutines run in threads, and have scopes of their own there.
    """
    app, journal = sync_shop()
    threads = []
    app.register_dependency(str, lambda: threads.append(threading.current_thread()) or "here", lifetime="scoped")

    handler = injected(now_stream if kind.endswith("stream") else now_unary)

    @injected
    def ask(here: From[str]):
        return here

    class Asking(grpc.aio.ServerInterceptor):
        async def intercept_service(self, continuation, details):
            inner = getattr(await continuation(details), kind)
            return HANDLERS[kind](lambda request, context: (ask(), inner(request, context))[1])

    container = Container(app)
    async with serving(container, kind, handler, inside=[Asking()]) as method:
        assert b"".join(await called(kind, method)).count(b"Session") == (2 if kind == "stream_stream" else 1)

    assert journal == ["+pool", "begin", "commit", "-pool"]
    assert threads and threads[0] is not threading.main_thread()


@pytest.mark.parametrize("kind", HANDLERS)
@guarded
async def test_a_handler_in_a_thread_that_raises(kind, caplog):
    """
    What it raises reaches the finalizers, too.
    """
    app, journal = sync_shop()

    if kind.endswith("stream"):

        @injected
        def handler(request, context, session: From[Session]):
            yield b"first"
            all_of_nowait(request)
            raise ValueError("no")

    else:

        @injected
        def handler(request, context, session: From[Session]):
            all_of_nowait(request)
            raise ValueError("no")

    async with serving(Container(app), kind, handler) as method:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await called(kind, method)

    assert caught.value.code() is grpc.StatusCode.UNKNOWN
    assert journal == ["+pool", "begin", "rollback ValueError", "-pool"]


@pytest.mark.parametrize("kind", HANDLERS)
@guarded
async def test_a_status_that_is_set_in_a_thread_rolls_back(kind):
    """
    A handler in a thread that sets a status other than OK has failed, too.
    """
    app, journal = sync_shop()

    if kind.endswith("stream"):

        @injected
        def handler(request, context, session: From[Session]):
            all_of_nowait(request)
            context.set_code(grpc.StatusCode.NOT_FOUND)
            yield b"first"

    else:

        @injected
        def handler(request, context, session: From[Session]):
            all_of_nowait(request)
            context.set_code(grpc.StatusCode.NOT_FOUND)
            return b""

    async with serving(Container(app), kind, handler) as method:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await called(kind, method)

    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert journal == ["+pool", "begin", "rollback CallFailed", "-pool"]


@guarded
async def test_a_handler_in_a_thread_beside_asynchronous_singletons():
    """
    What had to be awaited is at hand in threads, too, once the container has started.
    """
    app, journal = shop()

    def open_session(pool: Pool):
        with journal.noting("session"):
            yield Session()

    app.register_dependency(Session, open_session, lifetime="scoped")
    container = Container(app)

    async with serving(container, "unary_unary", injected(now_unary)) as method:
        await container.start()
        assert await method(b"") == b"Session"

    assert journal == ["+pool", "+session", "-session", "-pool"]


@guarded
async def test_overrides_in_tests():
    """
    Calls run in tasks of the server: an override for everywhere reaches them, and ends with its block.
    """
    app, journal = shop()
    container = Container(app)

    async with serving(container, "unary_unary", unary_unary) as method:
        async with container.override({Session: "a fake"}, everywhere=True):
            faked = await method(b"")
        real = await method(b"")

    assert (faked, real) == (b"str", b"Session")
    assert journal == ["+pool", "begin", "commit", "-pool"]


@guarded
async def test_the_level_of_a_call():
    """
    A call can be a level of its own, with one for each message inside.
    """
    app, journal = shop(scopes=("call", "message"))

    @injected
    async def answer(message, session: From[Session]):
        return message + name_of(session)

    @injected
    async def handler(requests, context, call: From[Scope], pool: From[Pool]):
        async for message in requests:
            async with call.scope() as scope:
                with scope.ambient():
                    yield await answer(message)

    async with serving(Container(app), "stream_stream", handler, level="call") as method:
        assert await called("stream_stream", method) == [b"aSession", b"bSession"]

    assert journal == ["+pool", *["begin", "commit"] * 2, "-pool"]


# --- a server that is given its container ----------------------------------------------------------------


class Noting(grpc.aio.ServerInterceptor):
    """Stands outside of the scopes."""

    def __init__(self, journal):
        self.journal = journal

    async def intercept_service(self, continuation, details):
        self.journal.append(details.method)
        return await continuation(details)


@pytest.mark.parametrize("registered", [False, True], ids=["generic", "registered"])
@pytest.mark.parametrize("kind", HANDLERS)
@guarded
async def test_a_server_that_is_given_its_container(kind, registered):
    """
    `setup(server, container)` gives a server whose handlers of all kinds run in scopes, however they are added.
    """
    app, journal = shop()

    class Orders:
        @inject
        async def one(self, request, context, session: From[Session]):
            await heard(request)
            return name_of(session)

        @inject
        async def many(self, request, context, session: From[Session]):
            await heard(request)
            yield name_of(session)

    async def heard(requests):  # whoever answers before its client has said all may cut that off
        if kind.startswith("stream"):
            assert [one async for one in requests] == [b"a", b"b"]

    async with Container(app) as container:
        server = setup(grpc.aio.server(interceptors=[Noting(journal)]), container)
        assert container_of(server) is container
        method = HANDLERS[kind](Orders().many if kind.endswith("stream") else Orders().one)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("shop", {"Do": method}),))
        if registered:
            if not hasattr(grpc.aio.Server, "add_registered_method_handlers"):
                pytest.skip("this grpc registers no methods")
            server.add_registered_method_handlers("shop", {"Do": method})
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            assert await called(kind, getattr(channel, kind)("/shop/Do")) == [b"Session"]
        await server.stop(None)
        assert not await server.wait_for_termination(1)  # no time is over

    assert journal == ["/shop/Do", "+pool", "begin", "commit", "-pool"]


@guarded
async def test_a_server_without_a_container():
    """
    A server that nobody gave a container is told how to get one.
    """
    with pytest.raises(ScopeError, match=r"server = setup\(server, container\)"):
        container_of(grpc.aio.server())
