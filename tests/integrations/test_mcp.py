"""Servers of the Model Context Protocol: the real SDK with its client in memory, over stdio and over HTTP on loopback."""

import asyncio
import contextlib
import functools
import subprocess
import sys
import textwrap
import threading
from collections.abc import AsyncIterator
from typing import Annotated

import pytest
from helpers import LIMIT, Journal, fresh_app, leaves

from asyncmeta import Container, From, Inject, Scope, inject_dependency

pytest.importorskip("mcp.server.mcpserver", reason="needs mcp 2")
import anyio  # comes with mcp, as this does
import uvicorn
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.server import MCPServer, ServerRequestContext
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.resolve import Resolve
from mcp.shared.exceptions import MCPError

from asyncmeta.integrations.mcp import KEY, ContainerLifespan, ErrorResult, inject

MODES = pytest.mark.parametrize("mode", ["legacy", "auto"])  # with a session, and without


class Pool:
    """An application's own; also a handle for its tasks."""

    def __init__(self, tasks=None):
        self.tasks = tasks


class Login:
    """What a client's session holds."""


class Work:
    """What a request holds: committed or rolled back at its end."""


def shop(**keywords):
    """Return an application with all of these, and the journal of what became of them."""
    app, journal = fresh_app(**keywords), Journal()

    @inject_dependency(on=app)
    async def pool() -> AsyncIterator[Pool]:
        with journal.noting("pool"):
            yield Pool()

    @inject_dependency(on=app, lifetime="scoped")
    async def work(pool: Pool) -> AsyncIterator[Work]:
        journal.append("begin")
        try:
            yield Work()
        except BaseException as error:
            journal.append(f"rollback {type(error).__name__}")
            raise
        journal.append("commit")

    if "session" in keywords.get("scopes", ()):

        @inject_dependency(on=app, lifetime="session")
        async def login() -> AsyncIterator[Login]:
            with journal.noting("login"):
                yield Login()

    return app, journal


def server_of(app, **options):
    """Return a server of *app*."""
    return MCPServer("shop", lifespan=ContainerLifespan(Container(app), **options))


def text(result):
    """Return the text of a tool's result."""
    return "".join(part.text for part in result.content)


@pytest.mark.slow
def test_the_module_is_no_stand_in_for_the_sdk():
    """
    Although it is called mcp, too, it imports the SDK: also where nothing else was imported before.
    """
    code = "import asyncmeta.integrations.mcp as ours, mcp; assert ours is not mcp and ours.MCPServer.__module__.startswith('mcp.')"

    subprocess.run([sys.executable, "-c", code], check=True, timeout=LIMIT * 3)


@MODES
async def test_the_server_shows_real_parameters_only(mode):
    """
    Tools, resources, templates and prompts are filled, and clients see what they themselves pass.
    """
    app, _ = shop()
    server = server_of(app)

    @server.tool()
    @inject
    async def order(name: str, work: From[Work], ctx: Context, amount: int = 1) -> str:
        """Order something."""
        return f"{amount} {name} {type(work).__name__} {type(ctx).__name__}"

    @server.resource("shop://stock")
    @inject
    async def stock(work: From[Work]) -> str:
        return type(work).__name__

    @server.resource("shop://{name}/price")
    @inject
    def price(name: str, work: From[Work]) -> str:
        return f"{name} {type(work).__name__}"

    @server.prompt()
    @inject
    async def ask(name: str, work: From[Work]) -> str:
        return f"{name} {type(work).__name__}"

    async with Client(server, mode=mode) as client:
        (tool,) = (await client.list_tools()).tools
        (prompt,) = (await client.list_prompts()).prompts

        assert (tool.description, set(tool.input_schema["properties"])) == ("Order something.", {"name", "amount"})
        assert tool.input_schema["required"] == ["name"]
        assert [argument.name for argument in prompt.arguments] == ["name"]
        assert text(await client.call_tool("order", {"name": "tea"})) == "1 tea Work Context"
        assert (await client.read_resource("shop://stock")).contents[0].text == "Work"
        assert (await client.read_resource("shop://tea/price")).contents[0].text == "tea Work"
        assert (await client.get_prompt("ask", {"name": "tea"})).messages[0].content.text == "tea Work"


@MODES
async def test_the_container_lives_as_long_as_the_server(mode):
    """
    Singletons are built when the server starts and closed when it stops, and the next start begins anew.
    """
    app, journal = shop()
    server = server_of(app)

    for _ in range(2):
        async with Client(server, mode=mode):
            assert journal == ["+pool"]
        assert journal == ["+pool", "-pool"]
        journal.clear()


@MODES
async def test_a_call_is_a_scope_that_rolls_back_where_the_tool_fails(mode):
    """
    Finalizers see what an injected function raised, although the SDK answers with a result.
    """
    app, journal = shop()
    server = server_of(app)

    @server.tool()
    @inject
    async def order(name: str, work: From[Work]) -> str:
        if name == "dust":
            raise LookupError(name)
        return name

    async with Client(server, mode=mode) as client:
        good = await client.call_tool("order", {"name": "tea"})
        bad = await client.call_tool("order", {"name": "dust"})

    assert not good.is_error
    assert bad.is_error
    assert journal == ["+pool", "begin", "commit", "begin", "rollback LookupError", "-pool"]


async def test_an_error_of_a_function_that_is_not_injected_rolls_back_too():
    """
    A tool that uses the scope by other means than `inject` fails its request with an ErrorResult.
    """
    app, journal = shop()
    container = Container(app)
    server = MCPServer("shop", lifespan=ContainerLifespan(container))
    scopes = []

    @server.tool()
    async def order(ctx: Context) -> str:
        scope = scopes.pop()
        await scope.get(Work)
        raise LookupError

    @server.resource("shop://{name}")
    @inject
    async def hand_over(name: str, scope: From[Scope]) -> str:
        scopes.append(scope)
        return name

    @server.tool()
    async def outer(ctx: Context) -> str:
        await ctx.read_resource("shop://x")  # in the scope of this call
        return await order(ctx)

    async with Client(server) as client:
        assert (await client.call_tool("outer", {})).is_error

    assert journal == ["+pool", "begin", "rollback ErrorResult", "-pool"]
    assert str(ErrorResult("outer")) == "the tool 'outer' answered with an error"


@MODES
async def test_what_fails_at_the_end_fails_the_call(mode):
    """
    A session that cannot commit makes a failed request of a success that was none.
    """
    app, _ = shop()

    @inject_dependency("till", on=app, lifetime="scoped")
    async def till():
        yield 1
        raise OSError("the till does not close")

    server = server_of(app)

    @server.tool()
    @inject
    async def pay(scope: From[Scope]) -> str:
        await scope.get("till")
        return "paid"

    async with Client(server, mode=mode) as client:
        with pytest.raises(MCPError):
            await client.call_tool("pay", {})


@MODES
async def test_a_cancelled_call_is_finalized_once(mode):
    """
    A client that gives up a call cancels its handler: finalizers see that, once, and the server goes on.
    """
    app, journal = shop()
    server, began, ended = server_of(app), asyncio.Event(), asyncio.Event()

    @inject_dependency("guard", on=app, lifetime="scoped")
    async def guard():
        try:
            yield
        finally:
            ended.set()

    @server.tool()
    @inject
    async def wait(scope: From[Scope]) -> str:
        await scope.get("guard")
        await scope.get(Work)
        began.set()
        await asyncio.Event().wait()

    @server.tool()
    async def ping() -> str:
        return "pong"

    async with asyncio.timeout(LIMIT), Client(server, mode=mode) as client:
        call = asyncio.create_task(client.call_tool("wait", {}))
        await began.wait()
        call.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await call
        await ended.wait()
        assert text(await client.call_tool("ping", {})) == "pong"

    assert journal == ["+pool", "begin", "rollback CancelledError", "-pool"]


@MODES
@pytest.mark.parametrize("plain", [False, True], ids=["async", "plain"])
async def test_a_call_that_is_cancelled_while_its_thread_works_rolls_back(mode, plain):
    """
    anyio keeps a cancellation from who waits for a thread; what was given up has failed all the same.
    """
    app, journal = shop()
    server = server_of(app)
    began, go = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def work_on():
        loop.call_soon_threadsafe(began.set)
        go.wait(LIMIT)

    if plain:

        @server.tool()
        @inject
        def wait(work: From[Work]) -> str:
            work_on()
            return "done"
    else:

        @server.tool()
        @inject
        async def wait(work: From[Work]) -> str:
            await anyio.to_thread.run_sync(work_on)
            return "done"

    async with asyncio.timeout(LIMIT), Client(server, mode=mode) as client:
        async with anyio.create_task_group() as group:
            group.start_soon(client.call_tool, "wait", {})
            await began.wait()
            group.cancel_scope.cancel()
            if mode == "auto":  # who calls waits for the thread, too
                go.set()
        await client.list_tools()  # answered behind the word that the call is cancelled
        go.set()

    assert journal == ["+pool", "begin", "rollback CancelledError", "-pool"]


async def test_a_commit_that_a_cancelled_call_meets_is_kept():
    """
    A cancel scope says its word again at every turn, and cuts no commit by that.
    """
    app, journal = shop()
    server, began = server_of(app), asyncio.Event()

    @inject_dependency("ledger", on=app, lifetime="scoped")
    async def ledger() -> AsyncIterator[str]:
        yield "ledger"
        began.set()
        for _ in range(5):
            await asyncio.sleep(0)
        journal.append("kept")

    @server.tool()
    @inject
    async def book(ledger: Annotated[str, Inject("ledger")]) -> str:
        return ledger

    async with asyncio.timeout(LIMIT), Client(server) as client:
        async with anyio.create_task_group() as group:
            group.start_soon(client.call_tool, "book", {})
            await began.wait()
            group.cancel_scope.cancel()

    assert journal == ["+pool", "kept", "-pool"]


async def test_a_resolver_that_nobody_fills_is_refused():
    """
    The SDK gives a resolver arguments of the tool by their names: a mark there would be filled by the client.
    """
    app, _ = shop()
    server = server_of(app)

    async def may(work: From[Work]) -> bool:
        return True

    @server.tool()
    async def order(work: str, allowed: Annotated[bool, Resolve(may)]) -> str:
        return "ordered"

    with pytest.raises(BaseExceptionGroup) as caught:
        async with Client(server):
            raise AssertionError

    assert "nobody fills work of" in "".join(map(str, leaves(caught.value)))
    assert "resolver of tool order" in "".join(map(str, leaves(caught.value)))


async def test_a_client_that_leaves_cancels_its_calls():
    """
    What a connection has under way is finalized when it ends, before the session's and the server's own values.
    """
    app, journal = shop(scopes=("session", "request"))
    server, began = server_of(app, session_level="session"), asyncio.Event()

    @server.tool()
    @inject
    async def wait(login: From[Login], work: From[Work]) -> str:
        began.set()
        await asyncio.Event().wait()

    async with asyncio.timeout(LIMIT), Client(server, mode="legacy") as client:
        call = asyncio.create_task(client.call_tool("wait", {}))
        await began.wait()
    with contextlib.suppress(BaseException):
        await call

    assert journal == ["+pool", "+login", "begin", "rollback CancelledError", "-login", "-pool"]


@MODES
async def test_a_call_that_reports_progress_keeps_its_scope(mode):
    """
    Between two reports, and after the last one, the values of a call are the same, and open.
    """
    app, journal = shop()
    server, heard = server_of(app), []

    @server.tool()
    @inject
    async def count(scope: From[Scope], ctx: Context) -> str:
        works = set()
        for step in range(3):
            works.add(await scope.get(Work))
            await ctx.report_progress(step, 3)
        return f"{len(works)} {'commit' in journal}"

    async def on_progress(progress, total, message):
        heard.append(progress)

    async with Client(server, mode=mode) as client:
        assert text(await client.call_tool("count", {}, progress_callback=on_progress)) == "1 False"

    assert heard == [0, 1, 2]
    assert "commit" in journal


@MODES
async def test_sync_functions_get_what_has_to_be_awaited(mode):
    """
    A sync tool runs in a worker thread, with values that were fetched in the loop before.
    """
    app, journal = shop()
    server = server_of(app)

    @server.tool()
    @inject
    def order(work: From[Work], fail: bool) -> str:
        if fail:
            raise LookupError
        return str(threading.current_thread() is threading.main_thread())

    async with Client(server, mode=mode) as client:
        assert text(await client.call_tool("order", {"fail": False})) == "False"
        assert (await client.call_tool("order", {"fail": True})).is_error

    assert journal == ["+pool", "begin", "commit", "begin", "rollback LookupError", "-pool"]


async def test_a_decorator_may_hide_that_a_tool_is_async():
    """
    A tool below a plain decorator, which returns what has to be awaited, is awaited in the loop.
    """
    app, journal = shop()
    server = server_of(app)

    def noted(tool):
        @functools.wraps(tool)
        def call(*args, **named):
            journal.append("called")
            return tool(*args, **named)

        return call

    @server.tool()
    @inject
    @noted
    async def kind(work: From[Work]) -> str:
        return type(work).__name__

    async with Client(server) as client:
        result = await client.call_tool("kind", {})

    assert text(result) == "Work"
    assert journal == ["+pool", "begin", "called", "commit", "-pool"]


@MODES
async def test_the_sdks_contexts_are_context_values_where_declared(mode):
    """
    Services get the request's context of both kinds, and values that the lifespan is told to give.
    """
    app, _ = shop(context=[ServerRequestContext, Context, "tool"])

    @inject_dependency("label", on=app, lifetime="scoped")
    def label(raw: ServerRequestContext, ctx: Context) -> str:
        return f"{raw.method} {ctx.mcp_server.name} {ctx.request_id == str(raw.request_id)}"

    server = server_of(app, context=lambda ctx: {"tool": (ctx.params or {}).get("name")})

    @server.tool()
    @inject
    async def show(scope: From[Scope]) -> str:
        return f"{await scope.get('label')} {await scope.get('tool')}"

    async with Client(server, mode=mode) as client:
        assert text(await client.call_tool("show", {})) == "tools/call shop True show"


@MODES
async def test_a_singleton_may_hold_a_task_group(mode):
    """
    A task group that a generator factory enters works while tools run, and is left in the task that entered it.
    """
    app = fresh_app()

    @inject_dependency(on=app)
    async def pool() -> AsyncIterator[Pool]:
        async with asyncio.TaskGroup() as tasks:
            yield Pool(tasks)

    server, done = server_of(app), []

    @server.tool()
    @inject
    async def later(pool: From[Pool]) -> str:
        async def job():
            await asyncio.sleep(0)
            done.append(True)

        pool.tasks.create_task(job())
        return "soon"

    async with Client(server, mode=mode) as client:
        for _ in range(2):
            assert text(await client.call_tool("later", {})) == "soon"

    assert done == [True, True]


async def test_a_session_keeps_its_values():
    """
    Values of the session's level are built once for all requests of a client, and closed when it leaves.
    """
    app, journal = shop(scopes=("session", "request"))
    server = server_of(app, session_level="session")

    @server.tool()
    @inject
    async def who(login: From[Login]) -> str:
        return str(id(login))

    async with Client(server, mode="legacy") as client:
        assert text(await client.call_tool("who", {})) == text(await client.call_tool("who", {}))
        assert journal == ["+pool", "+login"]

    assert journal == ["+pool", "+login", "-login", "-pool"]


async def test_without_sessions_each_request_is_one():
    """
    The protocol of 2026-07-28 knows no sessions: values of that level live as long as one request.
    """
    app, journal = shop(scopes=("session", "request"))
    server = server_of(app, session_level="session")

    @server.tool()
    @inject
    async def who(login: From[Login]) -> str:
        return ""

    async with Client(server, mode="2026-07-28") as client:
        await client.call_tool("who", {})
        await client.call_tool("who", {})
        assert journal == ["+pool", "+login", "-login", "+login", "-login"]


async def test_a_fake_in_the_test_reaches_the_handlers():
    """
    In memory the SDK runs handlers in the context of the client that asks: an override there is in force for them.
    """
    app, _ = shop()
    app.register_value("price", 3)
    container = Container(app)
    server = MCPServer("shop", lifespan=ContainerLifespan(container))

    @server.tool()
    @inject
    async def price(scope: From[Scope]) -> str:
        return str(await scope.get("price"))

    for mode in "legacy", "auto":
        async with Client(server, mode=mode) as client:
            async with container.override({"price": 0}):
                assert text(await client.call_tool("price", {})) == "0"
            assert text(await client.call_tool("price", {})) == "3"


@pytest.mark.parametrize("by_class", [True, False], ids=["class", "callable"])
async def test_a_container_serves_one_running_server(by_class):
    """
    Two servers side by side need two containers; who has one is told so, and the first goes on.
    """
    app, journal = shop()
    lifespan = ContainerLifespan(Container(app))
    many = ContainerLifespan(app if by_class else lambda: Container(app))
    server = MCPServer("shop")

    async with lifespan(server) as state:
        with pytest.raises(RuntimeError, match="a function that makes one for each"):
            async with lifespan(server):
                pass
        assert not state[KEY].closed
    journal.clear()
    async with many(server) as one, many(server) as other:
        assert one[KEY] is not other[KEY]
        assert journal == ["+pool", "+pool"]


async def test_a_start_that_fails_is_the_servers_failure():
    """
    What a singleton raises when the server starts comes out of its lifespan, and what was built before is closed.
    """
    app, journal = shop()

    @inject_dependency("broken", on=app)
    async def broken(pool: Pool):
        raise OSError("no database")

    with pytest.raises(OSError, match="no database"):
        async with ContainerLifespan(Container(app))(MCPServer("shop")):
            pass

    assert journal == ["+pool", "-pool"]


# --- over HTTP, on loopback -----------------------------------------------------------------------------


class Http(uvicorn.Server):
    """Tells when it has started."""

    def __init__(self, config):
        super().__init__(config)
        self.listens = asyncio.Event()

    async def startup(self, sockets=None):
        await super().startup(sockets)
        self.listens.set()


@contextlib.asynccontextmanager
async def served(app):
    """Serve an ASGI application on loopback; give its address."""
    http = Http(uvicorn.Config(app, port=0, log_level="error", lifespan="on", ws="none", timeout_graceful_shutdown=1))
    task = asyncio.create_task(http._serve())  # without handlers of signals, which are the test runner's
    try:
        await http.listens.wait()
        yield f"http://127.0.0.1:{http.servers[0].sockets[0].getsockname()[1]}/mcp"
    finally:
        http.should_exit = True
        await task


async def test_over_http_many_sessions_share_one_container():
    """
    Each session has its values until its client ends it; what is left is closed when the server stops; fakes that are
    in force everywhere reach the handlers.
    """
    app, journal = shop(scopes=("session", "request"))
    container = Container(app)
    left = asyncio.Event()

    @inject_dependency("price", on=app, lifetime="session")
    async def price():
        yield 3
        left.set()

    server = MCPServer("shop", lifespan=ContainerLifespan(container, session_level="session"))

    @server.tool()
    @inject
    async def who(login: From[Login], scope: From[Scope]) -> str:
        return f"{id(login)} {await scope.get('price')}"

    async with asyncio.timeout(LIMIT), served(server.streamable_http_app()) as url:
        async with Client(url, mode="legacy") as ada:
            first = text(await ada.call_tool("who", {}))
            async with Client(url, mode="legacy") as bob:
                assert text(await bob.call_tool("who", {})) != first
                assert text(await ada.call_tool("who", {})) == first
            await left.wait()  # bob's end is heard of a moment later
            assert journal == ["+pool", "+login", "+login", "-login"]
            async with container.override({"price": 0}, everywhere=True):
                assert text(await ada.call_tool("who", {})).endswith(" 0")
            assert text(await ada.call_tool("who", {})) == first
        async with Client(url) as carol:
            await carol.call_tool("who", {})

    assert journal[-1] == "-pool"
    assert sorted(journal[:-1]) == sorted(["+pool", *["+login", "-login"] * (journal.count("+login"))])


async def test_sessions_that_nobody_ended_end_with_the_server():
    """
    When the server stops, values of open sessions are closed, before the container's own.
    """
    app, journal = shop(scopes=("session", "request"))
    server = server_of(app, session_level="session")

    @server.tool()
    @inject
    async def who(login: From[Login]) -> str:
        return ""

    async with asyncio.timeout(LIMIT), contextlib.AsyncExitStack() as stack:
        async with served(server.streamable_http_app()) as url:
            client = await stack.enter_async_context(Client(url, mode="legacy"))
            await client.call_tool("who", {})

        assert journal == ["+pool", "+login", "-login", "-pool"]


async def test_the_errors_of_a_sessions_end_are_logged(caplog):
    """
    When a session ends nobody is there to hear what its finalizers raise; the log under "asyncmeta" tells it.
    """
    app, _ = shop(scopes=("session", "request"))
    logged = asyncio.Event()

    @inject_dependency("till", on=app, lifetime="session")
    async def till():
        yield 1
        asyncio.get_running_loop().call_soon(logged.set)
        raise OSError("the till does not close")

    server = server_of(app, session_level="session")

    @server.tool()
    @inject
    async def count(scope: From[Scope]) -> str:
        return str(await scope.get("till"))

    async with asyncio.timeout(LIMIT), served(server.streamable_http_app()) as url:
        async with Client(url, mode="legacy") as client:
            assert text(await client.call_tool("count", {})) == "1"
        await logged.wait()

    (record,) = [record for record in caplog.records if record.name == "asyncmeta"]
    assert "the till does not close" in repr(record.exc_info[1].exceptions)


# --- over stdio -----------------------------------------------------------------------------------------


SERVER = """
    import sys
    from collections.abc import AsyncIterator
    from mcp.server import MCPServer
    from asyncmeta import AsyncServiceBase, Container, From, inject_dependency
    from asyncmeta.integrations.mcp import ContainerLifespan, inject

    class Shop(AsyncServiceBase): ...

    def note(line):
        with open(sys.argv[1], "a") as file:
            print(line, file=file)

    class Pool: ...

    class Work: ...

    @inject_dependency(on=Shop)
    async def pool() -> AsyncIterator[Pool]:
        note("+pool")
        yield Pool()
        note("-pool")

    @inject_dependency(on=Shop, lifetime="scoped")
    async def work() -> AsyncIterator[Work]:
        yield Work()
        note("commit")

    server = MCPServer("shop", lifespan=ContainerLifespan(Container(Shop)))

    @server.tool()
    @inject
    async def order(name: str, work: From[Work]) -> str:
        return f"{name} {type(work).__name__}"

    server.run()
"""


@pytest.mark.slow
@MODES
async def test_over_stdio_the_server_is_a_process_of_its_own(tmp_path, mode):
    """
    A server that a client starts is filled, commits, and closes its container when the client leaves.
    """
    (tmp_path / "shop.py").write_text(textwrap.dedent(SERVER), encoding="utf-8")
    notes = tmp_path / "notes"
    path = [entry for entry in sys.path if entry]
    command = f"import sys; sys.path[:0] = {path!r}; import runpy; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0])"
    parameters = StdioServerParameters(command=sys.executable, args=["-c", command, str(tmp_path / "shop.py"), str(notes)])

    async with asyncio.timeout(LIMIT * 3), Client(stdio_client(parameters), mode=mode) as client:
        assert text(await client.call_tool("order", {"name": "tea"})) == "tea Work"

    assert notes.read_text(encoding="utf-8").split() == ["+pool", "commit", "-pool"]
