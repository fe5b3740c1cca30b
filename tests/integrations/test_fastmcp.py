"""Servers of FastMCP, with its real client in memory; what is said of sessions over HTTP is tested with the SDK."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator

import pytest
from helpers import LIMIT, Journal, fresh_app, leaves

from asyncmeta import Container, From, Scope, inject_dependency

pytest.importorskip("fastmcp.server.middleware", reason="needs fastmcp")
from fastmcp import Client, Context, FastMCP
from fastmcp.dependencies import Depends
from fastmcp.exceptions import ToolError
from fastmcp.tools import ToolResult
from mcp.shared.exceptions import MCPError

from asyncmeta.integrations.fastmcp import KEY, ContainerLifespan, inject

MODES = pytest.mark.parametrize("mode", ["legacy", "auto"])  # with a session, and without


class Pool:
    """An application's own."""


class Login:
    """What a client's session holds."""


class Work:
    """What a request holds: committed or rolled back at its end."""


def shop(**keywords):
    """Return an application with all of these, and the journal of what became of them."""
    app, journal = fresh_app(**keywords), Journal()

    @inject_dependency(on=app)
    async def pool() -> AsyncIterator[Pool]:
        async with asyncio.TaskGroup():
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
    return FastMCP("shop", lifespan=ContainerLifespan(Container(app), **options))


@MODES
async def test_the_server_shows_real_parameters_only(mode):
    """
    Tools, resources, templates and prompts are filled, and clients see what they themselves pass.
    """
    app, _ = shop()
    server = server_of(app)

    @server.tool
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

    @server.prompt
    @inject
    async def ask(name: str, work: From[Work]) -> str:
        return f"{name} {type(work).__name__}"

    async with Client(server, mode=mode) as client:
        (tool,) = await client.list_tools()
        (prompt,) = await client.list_prompts()

        assert (tool.description, set(tool.input_schema["properties"])) == ("Order something.", {"name", "amount"})
        assert tool.input_schema["required"] == ["name"]
        assert [argument.name for argument in prompt.arguments] == ["name"]
        assert (await client.call_tool("order", {"name": "tea"})).data == "1 tea Work Context"
        assert (await client.read_resource("shop://stock"))[0].text == "Work"
        assert (await client.read_resource("shop://tea/price"))[0].text == "tea Work"
        assert (await client.get_prompt("ask", {"name": "tea"})).messages[0].content.text == "tea Work"


async def test_the_container_lives_as_long_as_the_server():
    """
    However many clients there are, the container is opened once, and closed when the last one has left.
    """
    app, journal = shop()
    server = server_of(app)

    for _ in range(2):
        async with Client(server), Client(server, mode="legacy"):
            assert journal == ["+pool"]
        assert journal == ["+pool", "-pool"]
        assert not any(type(middleware).__module__.startswith("asyncmeta") for middleware in server.middleware)
        journal.clear()


@MODES
async def test_a_call_is_a_scope_that_rolls_back_where_the_tool_fails(mode):
    """
    Finalizers see what an injected function raised, and an error result that it returned.
    """
    app, journal = shop()
    server = server_of(app)

    @server.tool
    @inject
    async def order(name: str, work: From[Work]) -> ToolResult:
        if name == "dust":
            raise LookupError(name)
        return ToolResult(content=name, is_error=name == "nothing")

    async with Client(server, mode=mode) as client:
        await client.call_tool("order", {"name": "tea"})
        with pytest.raises(ToolError):
            await client.call_tool("order", {"name": "dust"})
        with pytest.raises(ToolError):
            await client.call_tool("order", {"name": "nothing"})

    assert journal == [
        "+pool", "begin", "commit", "begin", "rollback LookupError", "begin", "rollback ErrorResult", "-pool",
    ]  # fmt: skip


@MODES
async def test_what_fails_at_the_end_fails_the_call(mode):
    """
    A session that cannot commit makes a failed call of a success that was none.
    """
    app, _ = shop()

    @inject_dependency("till", on=app, lifetime="scoped")
    async def till():
        yield 1
        raise OSError("the till does not close")

    server = server_of(app)

    @server.tool
    @inject
    async def pay(scope: From[Scope]) -> str:
        return str(await scope.get("till"))

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

    @server.tool
    @inject
    async def wait(scope: From[Scope], work: From[Work]) -> str:
        await scope.get("guard")
        began.set()
        await asyncio.Event().wait()
        return ""

    @server.tool
    async def ping() -> str:
        return "pong"

    async with asyncio.timeout(LIMIT), Client(server, mode=mode) as client:
        call = asyncio.create_task(client.call_tool("wait", {}))
        await began.wait()
        call.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await call
        await ended.wait()
        assert (await client.call_tool("ping", {})).data == "pong"

    assert journal == ["+pool", "begin", "rollback CancelledError", "-pool"]


@MODES
async def test_a_call_that_comes_of_another_shares_its_scope(mode):
    """
    A tool that calls a tool of its server, or reports progress meanwhile, stays in one scope.
    """
    app, journal = shop()
    server = server_of(app)

    @server.tool
    @inject
    async def inner(work: From[Work]) -> int:
        return id(work)

    @server.tool
    @inject
    async def outer(work: From[Work], ctx: Context) -> bool:
        await ctx.report_progress(1, 2)
        result = await ctx.fastmcp.call_tool("inner", {})
        return result.structured_content["result"] == id(work) and "commit" not in journal

    async with Client(server, mode=mode) as client:
        assert (await client.call_tool("outer", {})).data is True

    assert journal == ["+pool", "begin", "commit", "-pool"]


@MODES
async def test_sync_functions_get_what_has_to_be_awaited(mode):
    """
    A sync tool runs in a worker thread, with values that were fetched in the loop before.
    """
    app, journal = shop()
    server = server_of(app)

    @server.tool
    @inject
    def order(work: From[Work]) -> bool:
        return threading.current_thread() is threading.main_thread()

    async with Client(server, mode=mode) as client:
        assert (await client.call_tool("order", {})).data is False

    assert journal == ["+pool", "begin", "commit", "-pool"]


@MODES
async def test_the_context_is_a_context_value_where_declared(mode):
    """
    Services get FastMCP's context, and values that the lifespan is told to give.
    """
    app, _ = shop(context=[Context, "server"])

    @inject_dependency("label", on=app, lifetime="scoped")
    def label(ctx: Context) -> str:
        return f"{ctx.fastmcp.name} {ctx.request_id is not None}"

    server = server_of(app, context=lambda ctx: {"server": ctx.fastmcp})

    @server.tool
    @inject
    async def show(scope: From[Scope]) -> str:
        return f"{await scope.get('label')} {(await scope.get('server')).name}"

    async with Client(server, mode=mode) as client:
        assert (await client.call_tool("show", {})).data == "shop True shop"


@pytest.mark.parametrize(("mode", "logins"), [("legacy", 1), ("2026-07-28", 2)])
async def test_a_session_keeps_its_values_where_there_are_sessions(mode, logins):
    """
    Values of the session's level are built once for a client that has a session, and for each request else.
    """
    app, journal = shop(scopes=("session", "request"))
    server = server_of(app, session_level="session")
    left = asyncio.Event()

    @inject_dependency("end", on=app, lifetime="session")
    async def end():
        yield
        left.set()

    @server.tool
    @inject
    async def who(login: From[Login], scope: From[Scope]) -> str:
        await scope.get("end")
        return ""

    async with asyncio.timeout(LIMIT), Client(server):  # keeps the server alive
        async with Client(server, mode=mode) as client:
            await client.call_tool("who", {})
            await client.call_tool("who", {})
        await left.wait()
        assert journal == ["+pool", *["+login", "-login"] * logins]


async def test_a_fake_in_the_test_reaches_the_handlers():
    """
    In memory, handlers run in the context of the client that asks: an override there is in force for them.
    """
    app, _ = shop()
    app.register_value("price", 3)
    container = Container(app)
    server = FastMCP("shop", lifespan=ContainerLifespan(container))

    @server.tool
    @inject
    async def price(scope: From[Scope]) -> int:
        return await scope.get("price")

    for mode in "legacy", "auto":
        async with Client(server, mode=mode) as client:
            async with container.override({"price": 0}):
                assert (await client.call_tool("price", {})).data == 0
            assert (await client.call_tool("price", {})).data == 3


@pytest.mark.parametrize("by_class", [True, False], ids=["class", "callable"])
async def test_a_tool_can_be_called_without_a_client(by_class):
    """
    While the server runs, `server.call_tool` has a scope of its own, and the lifespan's result holds the container.
    """
    app, journal = shop()
    server = FastMCP("shop", lifespan=ContainerLifespan(app if by_class else lambda: Container(app)))

    @server.tool
    @inject
    async def order(work: From[Work], ctx: Context) -> bool:
        return ctx.lifespan_context[KEY].closed

    async with Client(server):
        assert (await server.call_tool("order", {})).structured_content == {"result": False}

    assert journal == ["+pool", "begin", "commit", "-pool"]


@pytest.mark.parametrize("filled", [False, True])
async def test_a_mark_of_a_dependency_is_checked(filled):
    """
    What ``Depends(...)`` calls, also for another dependency, is filled by ``@inject``; a mark that nobody fills is refused.
    """
    app, _ = shop()
    server = FastMCP("shop", lifespan=ContainerLifespan(Container(app)))

    async def worker(work: From[Work] = None) -> str:
        return type(work).__name__

    async def named(name: str = Depends(inject(worker) if filled else worker)) -> str:
        return f"of {name}"

    @server.tool
    async def ask(what: str, name: str = Depends(named)) -> str:
        return f"{what} {name}"

    if filled:
        async with Client(server) as client:
            assert (await client.call_tool("ask", {"what": "tea"})).data == "tea of Work"
        return
    with pytest.raises(BaseException) as caught:
        async with Client(server):
            raise AssertionError
    said = "".join(map(str, leaves(caught.value)))
    assert "nobody fills work of" in said
    assert "dependency of FunctionTool ask" in said
