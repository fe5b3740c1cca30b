"""
A container for Quart: ``setup(app, Container(App))``.

The ASGI wrapper does the work; what a handler raised is known to Quart alone, and passed on from here.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, Final, Literal

from quart import Quart, Response, has_request_context, request, websocket
from quart.signals import got_request_exception, got_websocket_exception, request_started, websocket_started

from .. import Container, From, ScopeError, injected
from ._applications import check_application
from ._endings import ERROR_STATUS
from ._marks import asynchronous
from ._werkzeug import KEY, container_of, handlers_of as handlers_of, refusing, status_of, tell
from .asgi import Connection, ContainerMiddleware, Receive, Send, failed, made_here

__all__ = ["From", "container_of", "inject", "setup"]

#: What to do where nobody fills a mark.
CURE: Final = "put @inject of asyncmeta.integrations.quart, or @injected, below Quart's decorator"

_REQUEST: Final = "asyncmeta.request"  #: in the connection: Quart's object of it


def setup(
    app: Quart,
    container: Container,
    *,
    start: bool = True,
    level: str | None = None,
    websocket_level: str | None = None,
    ends: Literal["before", "after"] = "before",
    error_status: int = ERROR_STATUS,
    health: str | None = None,
) -> Quart:
    """
    Open *container* with *app*, and a scope for each request and each websocket; `injected` handlers are filled by it.

    It wraps ``app.asgi_app``: the container is entered before functions of ``before_serving`` and ``while_serving`` run, and
    closed after those of ``after_serving``.  When a scope ends is told at `asgi.ContainerMiddleware`; its finalizers see what
    a handler raised, whatever error handler answers it.  What finalizers raise before a response is sent is answered by
    Quart's error handlers, as what a handler raises.

    Args:
        app: The application.
        container: The container.
        start: Whether singletons are built at start-up; else when they are first needed.
        level: The level of a request's scope; the innermost if not given.
        websocket_level: The level of a websocket's scope; *level* if not given.
        ends: Whether a request's scope ends "before" its response is sent, or "after".
        error_status: From which status on a response is a failure, also one that a handler raises.
        health: A path below which "/live" and "/ready" are answered, see `asgi.ContainerMiddleware`.

    Returns:
        The application.

    .. versionadded:: 0.1.0
    """
    app.asgi_app = _Middleware(  # type: ignore[assignment, method-assign]  # Quart's own way to wrap an application
        app.asgi_app,
        container,
        start=start,
        level=level,
        websocket_level=websocket_level,
        ends=ends,
        error_status=error_status,
        health=health,
    ).of(app)
    handle: Any = app.handle_user_exception

    async def noted(*args: Any) -> Any:  # the context, which older versions do not hand over, and the error
        _note(args[-1])
        return await handle(*args)

    app.handle_user_exception = noted  # type: ignore[assignment, method-assign]  # no signal tells what an error handler takes
    request_started.connect(_request_began, app)
    websocket_started.connect(_websocket_began, app)
    got_request_exception.connect(_told, app)
    got_websocket_exception.connect(_told, app)
    app.extensions[KEY] = container
    app.add_url_rule = refusing(app.add_url_rule, CURE)  # type: ignore[method-assign]  # so views are refused at their line
    return app


def inject(view: Callable[..., Any], /) -> Callable[..., Any]:
    """
    Fill the marked parameters of a view, ``From[T]``, below Quart's decorator.

    As `injected`; and a synchronous view becomes an asynchronous one that runs it in a thread, so that it gets values that
    have to be awaited, too.
    """
    filled: Any = injected(asynchronous(view))
    if filled is view or inspect.isasyncgenfunction(filled):
        return filled  # type: ignore[no-any-return]  # as the view is

    @functools.wraps(filled)
    async def call(*args: Any, **named: Any) -> Any:
        try:
            return await filled(*args, **named)
        except ScopeError as error:
            if has_request_context() and _REQUEST not in _connection():
                tell(error)
            raise

    return call


def _connection() -> Connection:
    connection: Any = request.scope if has_request_context() else websocket.scope  # Quart types the names in it
    return connection  # type: ignore[no-any-return]


async def _request_began(app: Quart, **more: Any) -> None:
    connection = _connection()
    connection[_REQUEST] = request._get_current_object()
    made_here(connection)


async def _websocket_began(app: Quart, **more: Any) -> None:
    made_here(_connection())


async def _told(app: Quart, exception: Exception, **more: Any) -> None:
    _note(exception)


def _note(error: Exception) -> None:
    failed(_connection(), error, status_of(error))


class _Middleware(ContainerMiddleware):
    """The wrapper for every framework, which also asks Quart's error handlers."""

    quart: Quart

    def begun(self, connection: Connection, container: Container) -> None:
        check_application(self.quart, container)

    def of(self, app: Quart) -> _Middleware:
        """Return itself, for that application."""
        self.quart = app
        self._handle: Any = app.handle_user_exception
        self._with_context = len(inspect.signature(self._handle).parameters) > 1  # new in Quart 0.21
        return self

    async def answer(self, connection: Connection, receive: Receive, send: Send, error: BaseException) -> bool:
        begun = connection.get(_REQUEST)
        if begun is None or not isinstance(error, Exception):
            return False
        async with self.quart.request_context(begun) as context:
            try:
                found = await (self._handle(context, error) if self._with_context else self._handle(error))
            except Exception as other:
                if other is error:  # no handler is for it
                    return False
                raise
            response: Any = await self.quart.make_response(found)
            process: Any = self.quart.process_response
            response = await (process(context, response) if self._with_context else process(response))
        await _send(response, send)
        return True


async def _send(response: Any, send: Send) -> None:
    headers = [(name.lower().encode(), value.encode()) for name, value in response.headers.items()]
    await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
    if isinstance(response, Response):
        async with response.response as parts:
            async for part in parts:
                await send({"type": "http.response.body", "body": bytes(part), "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    else:  # Werkzeug's, of an exception that is an answer
        await send({"type": "http.response.body", "body": response.get_data()})
