"""A container that lives as long as an aiohttp application, and a scope for each of its requests."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, Final

from aiohttp import hdrs, web

from .. import Container, From, Scope, ScopeError, injected
from ._applications import check_application
from ._calls import answered_in
from ._endings import ERROR_STATUS, LEFT_WELL, ErrorResponse, is_failure
from ._handlers import Handler, handler as _handler, methods_of

__all__ = ["CONTAINER", "SCOPE", "ErrorResponse", "From", "container_of", "inject", "setup"]

#: What to do where nobody fills a mark.
CURE: Final = "put @inject of asyncmeta.integrations.aiohttp, or @injected, around it"

Answers = Callable[[web.Request], Awaitable[web.StreamResponse]]

#: Under this key the application holds its container: ``request.config_dict[CONTAINER]``, in sub-applications too.
CONTAINER: Final = web.AppKey("asyncmeta", Container)

#: Under this key a request holds its scope: ``request[SCOPE]``.
SCOPE: Final[Any] = web.RequestKey("asyncmeta", Scope) if hasattr(web, "RequestKey") else "asyncmeta"  # new in aiohttp 3.14


def setup(
    app: web.Application,
    container: Container,
    *,
    start: bool = True,
    level: str | None = None,
    websocket_level: str | None = None,
    error_status: int = ERROR_STATUS,
) -> web.Application:
    """
    Let *container* live with *app*, and give each request a scope.

    Call it first: what is added to the application afterwards, middlewares and clean-up contexts, lies inside.

    *The application's life.*  The container is entered at the application's start-up and its singletons are built; what fails
    there fails the start-up.  It is closed at the application's clean-up, when no handler runs any more.

    *A request's life.*  The scope is ambient for injected functions and opens before the handler.  It ends when the handler
    has returned its response, and before that is sent: what fails then (a session that cannot commit) becomes a status
    500.  A handler that prepares and writes a response by itself, or that talks through a websocket, keeps its scope until
    it returns.  ``web.Request`` is given to the scope where the application declares it as context of that level.

    *Failure.*  Finalizers see the exception that left the handler; one that is an answer below *error_status*, such as
    ``web.HTTPFound``, is none.  They see an `ErrorResponse` where a response of *error_status* or above was returned, as by
    a middleware inside that answers what the handler raised, where a websocket was closed with another code than 1000
    and 1001, and where the client of a stream has left.  A ``web.HTTPException`` that a finalizer raises is the response;
    any other error of it reaches middlewares outside, which may answer it.

    When the client goes away, aiohttp lets the handler run to its end, or cancels it where the server was made with
    ``handler_cancellation=True``.

    A sub-application is served by the container of its parents, or by one of its own: then its scope is another, inside.

    Args:
        app: The application, before it has started.
        container: The container; it runs in the application's loop.
        start: Whether singletons are built at start-up; else when they are first needed.
        level: The level of a request's scope; the innermost if not given.
        websocket_level: The level of a websocket's scope; *level* if not given.
        error_status: From which status on a response is a failure, whether it is returned or raised.

    Returns:
        The application.

    .. versionadded:: 0.1.0
    """

    async def live(app: web.Application) -> AsyncIterator[None]:
        async with container:
            check_application(app, container)
            if start:
                await container.start()
            yield

    @web.middleware
    async def give_scope(request: web.Request, handler: Answers) -> web.StreamResponse:
        wanted = level
        if websocket_level is not None and web.WebSocketResponse().can_prepare(request).ok:
            wanted = websocket_level
        takes = container.takes(web.Request, level=wanted)
        scope = container.scope({web.Request: request} if takes else None, level=wanted)
        around = request.get(SCOPE)
        request[SCOPE] = scope
        try:
            return await answered_in(
                scope,
                lambda: handler(request),
                border=error_status,
                status_of=_status_of,
                failure_of=lambda answer: _failure_of(request, answer, error_status),
                knows=lambda error: isinstance(error, web.HTTPException) or _has_outer(request, app, give_scope),
            )
        finally:
            if around is None:
                del request[SCOPE]
            else:
                request[SCOPE] = around

    async def note_closing(request: web.Request, response: web.StreamResponse) -> None:
        if isinstance(response, web.WebSocketResponse):
            _note_closing(response)

    app.on_response_prepare.append(note_closing)
    app[CONTAINER] = container
    app.cleanup_ctx.append(live)
    app.middlewares.append(give_scope)
    return app


def container_of(app: web.Application) -> Container:
    """
    Return the container that serves *app*.

    Raises:
        ScopeError: It was given none.
    """
    found = app.get(CONTAINER)
    if found is None:
        raise ScopeError("this application has no container: setup(app, container) gives it one")
    return found


def inject(handler: Callable[..., Any], /) -> Callable[..., Any]:
    """
    Fill the marked parameters of a handler, ``From[T]``: a function, or a method of ``web.View``.

    As `injected`; and what the handler raises fails its request, although a middleware answers it with a success.
    """
    filled: Any = injected(handler)

    @functools.wraps(filled)
    async def noted(*args: Any, **named: Any) -> Any:
        try:
            return await filled(*args, **named)
        except Exception as error:
            for one in args:
                request = one.request if isinstance(one, web.View) else one
                if isinstance(request, web.BaseRequest):
                    request[_RAISED] = error
            raise

    return noted


def handlers_of(app: web.Application) -> Iterator[Handler]:
    """Yield the handlers of *app* and its middlewares, of sub-applications too, but for those with a container of their own."""
    for middleware in app.middlewares:
        yield _handler(middleware, "middleware")
    for resource in app.router.resources():
        inner = getattr(resource, "_app", None)  # of a sub-application, which no public name gives
        if isinstance(inner, web.Application):
            if CONTAINER not in inner:
                yield from handlers_of(inner)
            continue
        for route in resource:
            called = f"{route.method} {resource.canonical}"
            if isinstance(route.handler, type):
                yield from methods_of(route.handler, map(str, hdrs.METH_ALL), resource.canonical)
            else:
                yield _handler(route.handler, called)


def _status_of(error: BaseException) -> int | None:
    return error.status if isinstance(error, web.HTTPException) else None


#: Under this key a request holds what its handler has raised.
_RAISED: Final[Any] = web.RequestKey("asyncmeta.raised", Exception) if hasattr(web, "RequestKey") else "asyncmeta.raised"

#: The code with which a handler has closed its websocket: aiohttp tells what the client has said to that.
_CLOSED_WITH: Final[Any] = web.ResponseKey("asyncmeta.closed_with", int) if hasattr(web, "ResponseKey") else "asyncmeta.closed_with"


def _note_closing(socket: web.WebSocketResponse) -> None:
    close: Any = socket.close

    async def noted(*, code: int = 1000, **named: Any) -> Any:
        if socket.close_code is None:  # else the client was first
            socket.setdefault(_CLOSED_WITH, code)
        return await close(code=code, **named)

    socket.close = noted  # type: ignore[method-assign]  # of this one


def _failure_of(request: web.Request, answer: web.StreamResponse, error_status: int) -> BaseException | None:
    """Return what is wrong with an answer."""
    raised: Exception | None = request.get(_RAISED)
    if raised is not None and is_failure(_status_of(raised), error_status):
        return raised
    if isinstance(answer, web.WebSocketResponse):
        code = answer.get(_CLOSED_WITH, answer.close_code)
        return None if code in LEFT_WELL else ErrorResponse(code)
    left = request.transport is None or request.transport.is_closing()
    if answer.prepared and left and not getattr(answer, "_eof_sent", False):
        return ErrorResponse(None)  # before it had all of the stream, and the handler swallowed that
    return ErrorResponse(answer.status) if answer.status >= error_status else None


def _has_outer(request: web.Request, app: web.Application, give_scope: Any) -> bool:
    """Tell whether middleware stands outside of *give_scope*, of *app*: it may answer what the finalizers raise."""
    apps = request.match_info.apps
    above = apps[: apps.index(app)] if app in apps else ()
    return app.middlewares[0] is not give_scope or any(one.middlewares for one in above)
