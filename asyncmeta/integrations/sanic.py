"""
A container for Sanic, with its own server or any other: ``setup(app, Container(App))``, and `inject` for handlers.

Sanic runs its middleware one after the other, not around a handler: so the scope is that of a decorated handler's call.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any, Final, TypeVar

from sanic import Request, Sanic
from sanic.exceptions import SanicException

from .. import Container, From, ScopeError, injected
from ._applications import check_application
from ._calls import answered_in
from ._endings import ERROR_STATUS, LEFT_WELL, ErrorResponse, closed_with
from ._handlers import Handler, handler as _handler
from ._lifespan import REPORTS
from ._marks import asynchronous, marked

__all__ = ["From", "container_of", "inject", "setup"]

R = TypeVar("R")

#: What to do where nobody fills a mark.
CURE: Final = "put @inject of asyncmeta.integrations.sanic below Sanic's decorator"

_CONTAINER: Final = "asyncmeta"
_OPTIONS: Final = "asyncmeta_options"


def setup(
    app: Sanic[Any, Any], container: Container, *, start: bool = True, level: str | None = None, error_status: int = ERROR_STATUS
) -> Sanic[Any, Any]:
    """
    Let *container* live with each process that serves *app*; handlers under `inject` have a scope of it.

    The container is entered before the server starts in a process, and closed after it has stopped.  What fails at entering is
    closed again; where another listener of the server's start or stop raises, Sanic calls nothing that would close it.

    Args:
        app: The application, before it has started.
        container: The container; each worker process has it for itself.
        start: Whether singletons are built at start-up; else when they are first needed.
        level: The level of a handler's scope; the innermost if not given.
        error_status: From which status on a response is a failure, also one that a handler raises.

    Returns:
        The application.

    .. versionadded:: 0.1.0
    """

    async def begin(app: Any) -> None:
        await container.__aenter__()
        try:
            check_application(app, container)
            if start:
                REPORTS[container] = await container.start()
        except BaseException as error:  # nothing else is called then
            await container.__aexit__(type(error), error, error.__traceback__)
            raise

    async def end(app: Any) -> None:
        await container.__aexit__(None, None, None)

    app.before_server_start(begin)
    app.after_server_stop(end)
    setattr(app.ctx, _CONTAINER, container)
    setattr(app.ctx, _OPTIONS, (level, error_status))
    return app


def container_of(app: Sanic[Any, Any]) -> Container:
    """
    Return the container that serves *app*.

    Raises:
        ScopeError: It was given none.
    """
    found = getattr(app.ctx, _CONTAINER, None)
    if not isinstance(found, Container):
        raise ScopeError("this application has no container: setup(app, container) gives it one")
    return found


def inject(handler: Callable[..., Awaitable[R] | R], /) -> Callable[..., Coroutine[Any, Any, R]]:
    """
    Fill the marked parameters of a handler, ``From[T]``, in a scope for its call; below Sanic's decorator.

    For functions and for the methods of ``HTTPMethodView``.  The scope is ambient for injected functions, ends when the
    handler has returned, before its response is sent, and is given the ``Request`` where the application declares that as
    context.  Finalizers see what the handler raised, or an `asgi.ErrorResponse`; a ``SanicException`` that they raise
    themselves is the response.  A handler that streams by ``request.respond``, or talks through a websocket, has its
    scope until it returns.  A synchronous one runs in a thread, with values that have to be awaited.

    Raises:
        ScopeError: At a call: the application has no container.
    """
    filled: Any = injected(asynchronous(handler)) if marked(handler) else asynchronous(handler)

    @functools.wraps(filled)
    async def call(*args: Any, **named: Any) -> Any:
        request = next(one for one in args if isinstance(one, Request))
        container = container_of(request.app)
        level, border = getattr(request.app.ctx, _OPTIONS)
        takes = container.takes(Request, level=level)
        socket = args[-1] if hasattr(args[-1], "recv") else None
        codes = [] if socket is None else closed_with(socket)
        return await answered_in(
            container.scope({Request: request} if takes else None, level=level),
            lambda: filled(*args, **named),
            border=border,
            status_of=_status_of,
            failure_of=lambda answer: _socket_failure(socket, codes) if socket else _failure_of(request, answer, border),
            knows=lambda error: isinstance(error, SanicException) or request.app.error_handler.lookup(error) is not None,
        )

    return call


def handlers_of(app: Sanic[Any, Any]) -> Iterator[Handler]:
    """Yield the handlers of *app*, of blueprints and class-based views too, its middleware and exception handlers."""
    for kind in "request_middleware", "response_middleware":
        for middleware in getattr(app, kind):
            yield _handler(getattr(middleware, "func", middleware), "middleware")
    for function in app.error_handler.cached_handlers.values():
        if function is not None:
            yield _handler(function, "exception handler")
    routes: list[Any] = list(app.router.routes_all.values())
    for route in routes:
        handler = route.handler
        if isinstance(handler, functools.partial) and handler.args:  # of a websocket
            handler = handler.args[0]
        cls = getattr(handler, "view_class", None)
        called = f"{'/'.join(sorted(route.methods or ()))} /{route.path}"
        if cls is None:
            yield _handler(handler, called)
            continue
        for method in route.methods or ():
            function = vars(cls).get(method.lower())
            if function is not None:
                yield _handler(function, f"{method} /{route.path}")


def _status_of(error: BaseException) -> int | None:
    return error.status_code if isinstance(error, SanicException) else None


def _failure_of(request: Any, answer: Any, border: int) -> ErrorResponse | None:
    if answer is None:  # it has responded by itself
        answer = getattr(request.stream, "response", None)
    status = getattr(answer, "status", 200)
    return ErrorResponse(status) if status >= border else None


def _socket_failure(socket: Any, codes: list[int]) -> ErrorResponse | None:
    """Return what is wrong with how a websocket was closed, by its handler or before that by its client."""
    received = getattr(getattr(socket, "ws_proto", None), "close_rcvd", None)  # of Sanic's own server
    code = codes[0] if codes else getattr(received, "code", None)
    return None if code in LEFT_WELL else ErrorResponse(code)
