"""
A plugin for Litestar: ``Litestar([...], plugins=[ContainerPlugin(Container(App))])``.

Handlers are decorated with `injected` under Litestar's own decorator: their marked parameters are hidden from Litestar and
from its OpenAPI schema.  Where a handler should not be decorated, or is synchronous, `provide` makes a value one of
Litestar's own dependencies, under a name.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, ClassVar, Literal

from litestar import Litestar
from litestar.config.app import AppConfig
from litestar.connection import ASGIConnection
from litestar.di import Provide
from litestar.exceptions import HTTPException
from litestar.plugins import InitPlugin
from litestar.types import Scope
from litestar.utils.scope.state import ScopeState

from .. import Container, Scope as OpenScope, ScopeError
from ._endings import ERROR_STATUS
from .asgi import KEY, Connection, ContainerMiddleware, Receive, Send, failed

__all__ = ["ContainerPlugin", "provide"]


class _Middleware(ContainerMiddleware):
    """The wrapper for every framework, which also gives Litestar's own object of the connection."""

    offered: ClassVar[Mapping[str, Mapping[Any, Callable[[Connection], object]]]] = {
        kind: {**values, ASGIConnection: ASGIConnection}  # type: ignore[dict-item]  # Litestar types the connection
        for kind, values in ContainerMiddleware.offered.items()
    }

    async def answer(self, connection: Connection, receive: Receive, send: Send, error: BaseException) -> bool:
        # Nothing was sent, though Litestar thinks so: its own handling of exceptions, around us, answers it.
        ScopeState.from_scope(connection).response_started = False  # type: ignore[arg-type]  # Litestar types the connection
        raise error


class ContainerPlugin(InitPlugin):
    """
    Opens a container with a Litestar application, and a scope for each request and each websocket.

    The container is entered and its singletons are built before other lifespan managers and start-up hooks; it is closed
    after the application's own shutdown hooks, in the same task.  A connection's scope stands around all middleware; when
    it ends, and what its finalizers see, is told at `asgi.ContainerMiddleware`; what a handler raises is among it, whatever
    response Litestar makes of it.  What finalizers raise before a response is sent is answered by Litestar's exception
    handlers, as what a handler raises.  Where the application declares ``context=[ASGIConnection]``, the scope is given that.

    A request that no route matches has no scope.

    Args:
        container: The container.
        start: Whether singletons are built at start-up; else when they are first needed.
        level: The level of a request's scope; the innermost if not given.
        websocket_level: The level of a websocket's scope; *level* if not given.
        ends: Whether a request's scope ends "before" its response is sent, or "after", with its background tasks.
        error_status: From which status on a response is a failure, also one that a handler raises.

    .. versionadded:: 0.1.0
    """

    def __init__(
        self,
        container: Container,
        *,
        start: bool = True,
        level: str | None = None,
        websocket_level: str | None = None,
        ends: Literal["before", "after"] = "before",
        error_status: int = ERROR_STATUS,
    ) -> None:
        self.container = container
        self._start = start
        self._options: dict[str, Any] = {
            "level": level,
            "websocket_level": websocket_level,
            "ends": ends,
            "error_status": error_status,
        }

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        app_config.lifespan = [self._opened, *app_config.lifespan]
        # Litestar leaves lifespan managers before it calls these: only so the container outlives them.
        app_config.on_shutdown = [*app_config.on_shutdown, self._close]
        app_config.middleware = [self._wrap, *app_config.middleware]
        app_config.after_exception = [*app_config.after_exception, self._note]
        return app_config

    @asynccontextmanager
    async def _opened(self, app: Litestar) -> AsyncIterator[None]:
        await self.container.__aenter__()
        if self._start:
            await self.container.start()
        yield

    async def _close(self) -> None:
        await self.container.__aexit__(None, None, None)

    def _wrap(self, app: Any) -> Any:  # Litestar types the messages of ASGI
        return _Middleware(app, self.container, **self._options)

    async def _note(self, error: Exception, scope: Scope) -> None:
        status = error.status_code if isinstance(error, HTTPException) else None
        failed(scope, error, status)  # type: ignore[arg-type]  # Litestar types the connection


def provide(token: Any, /) -> Provide:
    """
    Return a dependency of Litestar's kind: ``dependencies={"session": provide(Session)}``.

    A handler of any kind, another dependency or a guard's route then asks for it by that name.  It is the value of the
    connection's scope, whatever the handler is: a synchronous one gets what had to be awaited, too.

    Args:
        token: What to ask the scope for.

    .. versionadded:: 0.1.0
    """

    async def resolve(scope: Scope) -> Any:
        opened: OpenScope | None = scope.get(KEY)  # type: ignore[assignment]  # Litestar types the names in it
        if opened is None:
            raise ScopeError("no ContainerPlugin is there: Litestar(..., plugins=[ContainerPlugin(container)])")
        return await opened.get(token)

    return Provide(resolve)
