"""
A container that lives as long as a FastMCP server, and a scope for each request to it.

For ``FastMCP`` 4 (extra ``fastmcp``), which is built on the ``mcp`` SDK: what is said of sessions there holds here, too.
"""

from __future__ import annotations

import inspect
import weakref
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from fastmcp import Context, FastMCP, dependencies
from fastmcp.server.middleware import CallNext, Middleware, MiddlewareContext
from fastmcp.server.providers import LocalProvider

from .. import Container, From, ScopeError
from ._applications import check_application
from ._handlers import Handler, handler as _handler
from ._marks import innermost
from .commands import Source, container_from
from .mcp import KEY, ErrorResult, Life, around, inject

__all__ = ["KEY", "ContainerLifespan", "ErrorResult", "From", "container_of", "inject", "setup"]

#: What to do where nobody fills a mark.
CURE: Final = "put @inject of asyncmeta.integrations.fastmcp below the server's decorator"


def setup(app: FastMCP[Any], container: Source, **options: Any) -> FastMCP[Any]:
    """
    Let *container* live with a server that is made already, around a lifespan of its own.

    Args:
        app: The server, before it has started.  A lifespan of its own has to yield a mapping.
        container: As for `ContainerLifespan`, and so are *options*.

    Returns:
        The server.
    """
    lifespan = ContainerLifespan(container, **options)
    app._lifespan = around(lifespan, app, app._lifespan)
    _CONTAINERS[app] = container
    return app


#: What `setup` was given for a server.
_CONTAINERS: Final[weakref.WeakKeyDictionary[Any, Source]] = weakref.WeakKeyDictionary()


def container_of(app: FastMCP[Any]) -> Container:
    """
    Return the container that serves *app*: where it has one for each lifespan, a new one like that.

    Raises:
        ScopeError: It was given none.
    """
    given = _CONTAINERS.get(app)
    if given is None and isinstance(app._lifespan, ContainerLifespan):
        given = app._lifespan.source
    if given is None:
        raise ScopeError("this server has no container: FastMCP(lifespan=ContainerLifespan(container))")
    return container_from(given)


def handlers_of(app: FastMCP[Any]) -> Iterator[Handler]:
    """Yield the tools, resources and prompts that were added to *app*, and to servers that are mounted in it."""
    for added in app.providers:
        provider: Any = added
        while hasattr(provider, "_inner"):  # under a name of its own
            provider = provider._inner
        mounted = getattr(provider, "server", None)
        if isinstance(mounted, FastMCP):
            yield from handlers_of(mounted)
        if isinstance(provider, LocalProvider):
            for one in provider._components.values():
                function = getattr(one, "fn", None)
                if function is not None:
                    named = f"{type(one).__name__} {one.name}"
                    yield _handler(function, named, reads=True)
                    for needed in _needed_by(function, set()):
                        yield _handler(needed, f"dependency of {named}")


def _needed_by(function: Any, seen: set[int]) -> Iterator[Any]:
    """Give what ``Depends(...)`` calls for *function*, as the defaults of its parameters say, and for one another."""
    try:
        parameters = inspect.signature(innermost(function)).parameters.values()
    except (TypeError, ValueError):  # written in C
        return
    for parameter in parameters:
        needed = getattr(parameter.default, "factory", None)
        if isinstance(parameter.default, dependencies.Dependency) and needed is not None and id(needed) not in seen:
            seen.add(id(needed))
            yield needed
            yield from _needed_by(needed, seen)


class ContainerLifespan:
    """
    The lifespan of a server: ``FastMCP("shop", lifespan=ContainerLifespan(Container(App)))``.

    *The server's life.*  The container is entered when the server starts, in the task of its lifespan, its singletons are
    built, and it is closed in the same task when the server stops.  FastMCP enters the lifespan once, however many
    connections there are.  What the lifespan yields is a dictionary that holds the container under `KEY`.

    *A request's life.*  Each request, such as a tool call, has a scope of the innermost level, ambient for injected
    functions and given up when the server is done with it; a call that comes of another call shares its scope.  It takes
    FastMCP's ``Context`` as a context value where the application declares it.

    *Failure.*  Finalizers see what the function raised where it is decorated with `inject`, else what FastMCP makes of it;
    an `ErrorResult` where a tool returns an error.  A client that cancels a request, or goes away, cancels its handler:
    they see that.  What finalizers raise fails the request.

    *Sessions.*  With *session_level*, values of that level live as long as the client's session.  Since protocol version
    2026-07-28 there are no sessions: each request is on its own, and has such values for itself.

    Args:
        container: The container, or an application's class or what else makes one, each time the server starts.
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
        context: Callable[[Context], Mapping[Any, object]] | None = None,
    ) -> None:
        self._container = container
        self._start = start
        self._level = session_level
        self._context = context

    @property
    def source(self) -> Source:
        """The container, or what makes one."""
        return self._container

    @asynccontextmanager
    async def __call__(self, server: FastMCP[Any]) -> AsyncIterator[dict[str, Any]]:
        container = container_from(self._container)
        async with container:
            check_application(server, container)
            if self._start:
                await container.start()
            async with Life(container, self._level) as life:
                middleware = _InScope(life, self._context)
                server.add_middleware(middleware)
                try:
                    yield {KEY: container}
                finally:
                    server.middleware.remove(middleware)


class _InScope(Middleware):
    """Serves a request in a scope."""

    def __init__(self, life: Life, context: Callable[[Context], Mapping[Any, object]] | None) -> None:
        self._life = life
        self._context = context

    async def on_initialize(self, context: MiddlewareContext[Any], call_next: CallNext[Any, Any]) -> Any:
        result = await call_next(context)
        if context.fastmcp_context is not None:
            self._life.begin_session(context.fastmcp_context.session)
        return result

    async def on_request(self, context: MiddlewareContext[Any], call_next: CallNext[Any, Any]) -> Any:
        if context.method == "initialize":
            return await call_next(context)
        ctx = context.fastmcp_context

        def values(taken: Callable[[Any], bool]) -> dict[Any, object]:
            found: dict[Any, object] = {Context: ctx} if ctx is not None and taken(Context) else {}
            return found if ctx is None or self._context is None else {**found, **self._context(ctx)}

        def error_of(result: Any) -> Exception | None:
            return ErrorResult(str(context.message.name)) if getattr(result, "is_error", False) else None

        # Outside of a request, as in a test that calls a tool directly, there is a context, but no session.
        client = ctx.session if ctx is not None and ctx.request_context is not None else None
        return await self._life.serve(client, values, lambda: call_next(context), error_of)
