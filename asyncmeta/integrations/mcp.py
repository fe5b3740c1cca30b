"""
A container that lives as long as a server of the Model Context Protocol, and a scope for each request to it.

For ``MCPServer`` and the low-level ``Server`` of the ``mcp`` SDK (extra ``mcp``).
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Final, ParamSpec, Self, TypeVar, overload

import anyio
import anyio.to_thread
from anyio.lowlevel import checkpoint_if_cancelled
from mcp.server import MCPServer, Server, ServerRequestContext
from mcp.server.context import CallNext, HandlerResult
from mcp.server.mcpserver import Context
from mcp.server.session import ServerSession

from .. import Container, From, Scope, ScopeError, injected
from ._applications import check_application
from ._endings import Cancellation, going_nowhere, leave_in, leave_whole
from ._handlers import Handler, handler as _handler
from .commands import Source, container_from

__all__ = ["KEY", "ContainerLifespan", "ErrorResult", "From", "Life", "container_of", "inject", "setup"]

#: What to do where nobody fills a mark.
CURE: Final = "put @inject of asyncmeta.integrations.mcp below the server's decorator"

P = ParamSpec("P")
R = TypeVar("R")

_LOGGER: Final = logging.getLogger("asyncmeta")

#: Under this name what the lifespan yields holds the container.
KEY: Final = "asyncmeta"

_LIFE: Final = "asyncmeta.life"


class ErrorResult(Exception):
    """What finalizers see where a tool answered with an error result, and no injected function raised: the call failed."""

    def __init__(self, tool: str) -> None:
        super().__init__(tool)
        self.tool = tool

    def __str__(self) -> str:
        return f"the tool {self.tool!r} answered with an error"


# --- functions ------------------------------------------------------------------------------------


@overload
def inject(fn: Callable[P, Coroutine[Any, Any, R]], /) -> Callable[P, Coroutine[Any, Any, R]]: ...
@overload
def inject(fn: Callable[P, R], /) -> Callable[P, Coroutine[Any, Any, R]]: ...
def inject(fn: Any, /) -> Any:
    """
    Fill the marked parameters of a tool, resource or prompt, ``From[T]``, at each call; the server never sees them.

    It stands *below* the server's decorator.  What fills them is the scope of the request.  A sync function gets values
    that have to be awaited, too: they are fetched in the loop, before the function runs in a worker thread.  So what this
    returns is always called with ``await``.

    Finalizers of the scope see what the function raised, whatever the server makes of it.

    Example:
        >>> @server.tool()
        ... @inject
        ... async def order(name: str, prices: From[Prices]) -> int:
        ...     return prices.of(name)

    .. versionadded:: 0.1.0
    """
    run = fn
    if not _is_async(fn):
        asynchronous = _is_async(inspect.unwrap(fn))  # below a decorator that only hands on

        @functools.wraps(fn)
        async def run(*args: Any, **kwargs: Any) -> Any:
            if asynchronous:
                return await fn(*args, **kwargs)
            return await anyio.to_thread.run_sync(functools.partial(fn, *args, **kwargs))

    filled = injected(run)

    @functools.wraps(filled)
    async def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return await filled(*args, **kwargs)
        except Exception as error:
            request = _REQUEST.get()
            if request is not None:
                request.failure = error
            raise

    call.__annotations__ = filled.__annotations__  # without those of marked parameters
    return call


def _is_async(fn: Any) -> bool:
    return inspect.iscoroutinefunction(fn) or inspect.iscoroutinefunction(getattr(fn, "__call__", None))  # noqa: B004  # an object's


# --- a server's life ------------------------------------------------------------------------------


def setup(app: MCPServer[Any] | Server[Any], container: Source, **options: Any) -> Any:
    """
    Let *container* live with a server that is made already, around a lifespan of its own.

    Args:
        app: The server, before it has started.  A lifespan of its own has to yield a mapping.
        container: As for `ContainerLifespan`, and so are *options*.

    Returns:
        The server.
    """
    low: Any = app._lowlevel_server if isinstance(app, MCPServer) else app
    low.lifespan = around(ContainerLifespan(container, **options), app, low.lifespan)
    _CONTAINERS[app] = container
    return app


def around(ours: Callable[[Any], Any], app: Any, own: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return a lifespan in which *own* runs inside of *ours*; it yields what both do."""

    @asynccontextmanager
    async def both(server: Any) -> AsyncIterator[dict[str, Any]]:
        async with ours(app) as state, own(server) as inner:
            if not isinstance(inner, Mapping):
                raise TypeError(f"the server's own lifespan has to yield a mapping, not a {type(inner).__qualname__}")
            yield {**inner, **state}

    return both


#: What `setup` was given for a server.
_CONTAINERS: Final[weakref.WeakKeyDictionary[Any, Source]] = weakref.WeakKeyDictionary()


def container_of(app: Any) -> Container:
    """
    Return the container that serves *app*: where it has one for each lifespan, a new one like that.

    Raises:
        ScopeError: It was given none.
    """
    given = _CONTAINERS.get(app)
    if given is None:
        lifespan = getattr(getattr(app, "settings", None), "lifespan", None) or getattr(app, "lifespan", None)
        given = lifespan.source if isinstance(lifespan, ContainerLifespan) else None
    if given is None:
        raise ScopeError("this server has no container: MCPServer(lifespan=ContainerLifespan(container))")
    return container_from(given)


def handlers_of(app: Any) -> Iterator[Handler]:
    """Yield the tools, resources and prompts of an ``MCPServer``; a low-level server has one function for all of them."""
    if not isinstance(app, MCPServer):
        return
    resolvers: dict[Any, str] = {}
    for tool in app._tool_manager.list_tools():
        yield _handler(tool.fn, f"tool {tool.name}", reads=True)
        for plan in tool.resolver_plans.values():  # what Resolve(...) calls; it is given arguments of the tool by name
            resolvers.setdefault(plan.fn, tool.name)
    for resolver, name in resolvers.items():
        yield _handler(resolver, f"resolver of tool {name}")
    resources: list[Any] = [*app._resource_manager.list_resources(), *app._resource_manager.list_templates()]
    for resource in resources:
        function = getattr(resource, "fn", None)
        if function is not None:
            yield _handler(function, f"resource {resource.name}", reads=True)
    for prompt in app._prompt_manager.list_prompts():
        yield _handler(prompt.fn, f"prompt {prompt.name}", reads=True)


class ContainerLifespan:
    """
    The lifespan of a server: ``MCPServer("shop", lifespan=ContainerLifespan(Container(App)))``.

    *The server's life.*  The container is entered when the server starts, in the task of its lifespan, its singletons are
    built, and it is closed in the same task when the server stops.  Over stdio, and in memory, a server lives as long as
    its one connection; over streamable HTTP, as long as the application.  What the lifespan yields is a dictionary that
    holds the container under `KEY`; a lifespan of your own may enter this one and yield more beside what it yields.

    *A request's life.*  Each request, such as a tool call, has a scope of the innermost level, ambient for injected
    functions and given up when the server is done with it.  It takes the ``ServerRequestContext`` and the ``Context`` of
    the SDK as context values where the application declares them.

    *Failure.*  A tool that raises fails its request, although the SDK answers with a result; so does one that returns an
    error result.  Finalizers see what the function raised where it is decorated with `inject`, else what the SDK makes of
    it, or an `ErrorResult`.  A client that cancels a request, or goes away, cancels its handler: they see that.  What
    finalizers raise fails the request.

    *Sessions.*  With *session_level*, values of that level live as long as the client's session: from its ``initialize`` to
    the end of its connection, or, over HTTP, until it is deleted, timed out, or the server stops.  Since protocol version
    2026-07-28 there are no sessions: each request is on its own, and has such values for itself.

    Args:
        container: The container, or an application's class or what else makes one, for each lifespan: a server of which
            several run side by side, as in memory, needs one each.
        start: Whether singletons are built when the server starts; else when they are first needed.
        session_level: The level of a client's session, if the application has one.
        context: Gives more context values for a request.
    """

    def __init__(
        self,
        container: Source,
        *,
        start: bool = True,
        session_level: str | None = None,
        context: Callable[[ServerRequestContext[Any, Any]], Mapping[Any, object]] | None = None,
    ) -> None:
        self._container = container
        self._start = start
        self._level = session_level
        self._context = context
        self._running = False

    @property
    def source(self) -> Source:
        """The container, or what makes one."""
        return self._container

    @asynccontextmanager
    async def __call__(self, server: MCPServer[Any] | Server[Any]) -> AsyncIterator[dict[str, Any]]:
        if _in_scope not in server.middleware:
            server.middleware.append(_in_scope)
        async with self._opened(server) as container, Life(container, self._level) as life:
            yield {KEY: container, _LIFE: (life, self._values, server)}

    @asynccontextmanager
    async def _opened(self, server: Any) -> AsyncIterator[Container]:
        one = isinstance(self._container, Container)
        if one and self._running:
            raise RuntimeError(
                "this container serves a running server already; give ContainerLifespan a function that makes one for each"
            )
        container = container_from(self._container)
        self._running = True
        try:
            async with container:
                check_application(server, container)
                if self._start:
                    await container.start()
                yield container
        finally:
            self._running = False

    def _values(self, ctx: ServerRequestContext[Any, Any], server: Any, taken: Callable[[Any], bool]) -> dict[Any, object]:
        values: dict[Any, object] = {}
        if taken(ServerRequestContext):
            values[ServerRequestContext] = ctx
        if taken(Context):
            values[Context] = Context(request_context=ctx, mcp_server=server if isinstance(server, MCPServer) else None)
        return values if self._context is None else {**values, **self._context(ctx)}


async def _in_scope(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
    """Serve a message in a scope: the middleware of every server with our lifespan."""
    state = ctx.lifespan_context
    found = state.get(_LIFE) if isinstance(state, Mapping) else None
    if found is None or ctx.request_id is None:  # another lifespan, or a notification
        return await call_next(ctx)
    life, values, server = found
    if ctx.method == "initialize":
        result = await call_next(ctx)
        life.begin_session(ctx.session)
        return result

    def error_of(result: HandlerResult) -> Exception | None:
        if isinstance(result, Mapping) and result.get("isError"):
            return ErrorResult(str((ctx.params or {}).get("name")))
        return None

    return await life.serve(  # type: ignore[no-any-return]  # it came out of an untyped dictionary
        ctx.session, functools.partial(values, ctx, server), functools.partial(call_next, ctx), error_of
    )


# --- what a life holds ----------------------------------------------------------------------------


class _Request:
    """What an injected function notes about the request that it serves."""

    __slots__ = ("failure", "life")

    def __init__(self, life: Life) -> None:
        self.life = life
        self.failure: Exception | None = None


_REQUEST: ContextVar[_Request | None] = ContextVar("asyncmeta_mcp_request", default=None)


class _Session:
    """The scope of a client's session."""

    __slots__ = ("client", "scope")

    def __init__(self, client: ServerSession, scope: Scope) -> None:
        self.client = client  #: of the message that began it: each message has its own, of the same connection
        self.scope = scope


class Life:
    """The sessions and requests of a server while it runs; for integrations of what is built on the SDK."""

    __slots__ = ("_ending", "_known", "_level", "_new", "container")

    def __init__(self, container: Container, session_level: str | None) -> None:
        self.container = container
        self._level = session_level
        self._new: list[_Session] = []  #: from which no request has come yet
        self._known: dict[int, _Session] = {}  #: by what identifies their connection
        self._ending: set[asyncio.Task[None]] = set()

    async def serve(
        self,
        client: ServerSession | None,
        values: Callable[[Callable[[Any], bool]], Mapping[Any, object]],
        handle: Callable[[], Awaitable[R]],
        error_of: Callable[[R], Exception | None],
    ) -> R:
        """
        Handle a request in a scope of its own; one that comes of another, in the scope of that.

        Args:
            client: Whose request it is, if anybody's.
            values: Gives context values, of which it may ask whether they are taken.
            handle: Does it.
            error_of: Tells what is wrong with a result that stands for a failure.
        """
        outer = _REQUEST.get()
        if outer is not None and outer.life is self:
            return await handle()
        session = None if client is None else self._session_of(client)
        async with AsyncExitStack() as stack:
            parent: Scope = self.container
            if session is not None:
                parent = session.scope
            elif self._level is not None:
                parent = await stack.enter_async_context(self.container.scope(level=self._level))
            return await self._serve_in(parent.scope(values(parent.takes)), handle, error_of)

    async def _serve_in(self, scope: Scope, handle: Callable[[], Awaitable[R]], error_of: Callable[[R], Exception | None]) -> R:
        request, cancellation = _Request(self), Cancellation()
        await scope.__aenter__()
        token = _REQUEST.set(request)
        try:
            with scope.ambient():
                result = await handle()
            await checkpoint_if_cancelled()  # anyio keeps a cancellation from who waits for a thread, and says it at the next turn
            await cancellation.tell()
            error = error_of(result)
        except Exception as left:
            await _end(scope, request.failure or left)
            raise
        except BaseException as left:
            await _end(scope, left)
            raise
        finally:
            _REQUEST.reset(token)
        await _end(scope, error and (request.failure or error))
        return result

    # --- sessions ---

    def begin_session(self, client: ServerSession) -> None:
        """
        Take note of a session, in the handler of its ``initialize``.

        The SDK tells nobody when a connection ends.  But it handles each message in a task that a task group of the
        connection's own task started: the session ends with that.
        """
        if self._level is None:
            return
        above = anyio.get_current_task().parent_id
        task = next((task for task in asyncio.all_tasks() if id(task) == above), None)
        if task is None:
            return  # each of its requests will be a session of its own
        session = _Session(client, self.container.scope(level=self._level))
        self._new.append(session)
        task.add_done_callback(lambda _: self._end_session(session))

    def _session_of(self, client: ServerSession) -> _Session | None:
        # Made once for a connection, and shown by the session object of each of its messages.
        mark = client.client_params
        if mark is None:
            return None
        found = self._known.get(id(mark))
        if found is None or found.client.client_params is not mark:
            found = next((one for one in self._new if one.client.client_params is mark), None)
            if found is not None:
                self._new.remove(found)
                self._known[id(mark)] = found
        return found

    def _forget(self, session: _Session) -> bool:
        if session in self._new:
            self._new.remove(session)
            return True
        for mark, one in self._known.items():
            if one is session:
                del self._known[mark]
                return True
        return False

    def _end_session(self, session: _Session) -> None:
        if self._forget(session):
            task = asyncio.get_running_loop().create_task(session.scope.aclose())
            self._ending.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._ending.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _LOGGER.error("a session ended with errors", exc_info=error)  # nobody is there to hear of it

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        left = [*self._known.values(), *self._new]
        self._known.clear()
        self._new.clear()
        async with AsyncExitStack() as stack:
            for task in self._ending:
                stack.push_async_callback(asyncio.wait, [task])
            for session in left:
                stack.push_async_exit(session.scope)
            if exc is not None:
                raise exc


async def _end(scope: Scope, error: BaseException | None) -> None:
    """Close *scope* with what went wrong, and raise what finalizers raised."""
    if error is not None:
        with going_nowhere(error):
            await leave_in(None, scope, error)
        return
    cancelled = await leave_whole(None, scope)
    if cancelled is not None:
        raise cancelled
