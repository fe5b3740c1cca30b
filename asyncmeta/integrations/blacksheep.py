"""
A container for BlackSheep: ``setup(app, Container(App))``.

A middleware outside of all others gives each request a scope, and sees what a handler raised before BlackSheep answers it.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from contextvars import ContextVar
from typing import Any, Final
from weakref import WeakKeyDictionary

from blacksheep import Application, Request, Response, WebSocket, WebSocketDisconnectError
from blacksheep.exceptions import HTTPException

from .. import Container, From, ScopeError, injected
from ._applications import check_application
from ._calls import answered_in
from ._endings import ERROR_STATUS, LEFT_WELL, ErrorResponse, closed_with, is_failure
from ._handlers import Handler, handler as _handler
from ._lifespan import REPORTS
from ._marks import asynchronous

__all__ = ["From", "container_of", "inject", "setup"]

#: What to do where nobody fills a mark.
CURE: Final = "put @inject of asyncmeta.integrations.blacksheep, or @injected, below BlackSheep's decorator"

_CONTAINERS: Final[WeakKeyDictionary[Any, Container]] = WeakKeyDictionary()


def setup(
    app: Application, container: Container, *, start: bool = True, level: str | None = None, error_status: int = ERROR_STATUS
) -> Application:
    """
    Let *container* live with *app*, and give each request a scope.

    The container is entered before other functions of ``on_start`` that are added later, and closed after those of
    ``on_stop``, also where one of these, or the start, fails.

    A request's scope begins before all middleware and ends when the handler has returned its response, before that is sent:
    what finalizers raise is answered by BlackSheep, or by the application's exception handlers, as what a handler raises.
    They see what the handler raised, whoever answers it, or an `asgi.ErrorResponse`.  ``Request`` is given to the scope
    where the application declares it as context.

    A response that streams is sent when the scope has ended: let its generator open one, by ``container.inject``.

    Args:
        app: The application, before it has started.
        container: The container.
        start: Whether singletons are built at start-up; else when they are first needed.
        level: The level of a request's scope; the innermost if not given.
        error_status: From which status on a response is a failure, also one that a handler raises.

    Returns:
        The application.

    .. versionadded:: 0.1.0
    """

    lives: list[AsyncExitStack] = []  #: one, while the container is open
    start_app: Callable[[], Awaitable[None]] = app.start
    stop_app: Callable[[], Awaitable[None]] = app.stop

    async def begin(app: Application) -> None:
        lives.append(AsyncExitStack())
        await lives[-1].enter_async_context(container)
        check_application(app, container)
        if start:
            REPORTS[container] = await container.start()

    async def start_all() -> None:
        try:
            await start_app()
        except BaseException:
            await ended()
            raise

    async def stop_all() -> None:
        try:
            await stop_app()
        finally:
            await ended()

    async def ended() -> None:
        if lives:
            await lives.pop().aclose()

    async def give_scope(request: Request, handler: Callable[[Request], Awaitable[Response]]) -> Response:
        takes = container.takes(Request, level=level)
        codes = _codes_of(request) if isinstance(request, WebSocket) else None
        raised: list[Exception] = []
        token = _RAISED.set(raised)
        try:
            return await answered_in(
                container.scope({Request: request} if takes else None, level=level),
                lambda: handler(request),
                border=error_status,
                status_of=_status_of,
                failure_of=lambda answer: _failure_of(answer, codes, raised, error_status),
                knows=lambda error: (
                    isinstance(error, HTTPException) or any(kind in app.exceptions_handlers for kind in type(error).__mro__)
                ),
            )
        finally:
            _RAISED.reset(token)

    app.on_start += begin
    # Events end with the first function that fails, whoever comes after it.
    vars(app).update(start=start_all, stop=stop_all)
    app.middlewares.insert(0, give_scope)
    _CONTAINERS[app] = container
    return app


def container_of(app: Application) -> Container:
    """
    Return the container that serves *app*.

    Raises:
        ScopeError: It was given none.
    """
    found = _CONTAINERS.get(app)
    if found is None:
        raise ScopeError("this application has no container: setup(app, container) gives it one")
    return found


def inject(handler: Callable[..., Any], /) -> Callable[..., Any]:
    """
    Fill the marked parameters of a handler, ``From[T]``, below BlackSheep's decorator; BlackSheep binds the others.

    As `injected`; and a synchronous handler becomes an asynchronous one that runs it in a thread, so that it gets values
    that have to be awaited, too.  What the handler raises fails its request, although a middleware answers it with a success.
    """
    filled: Any = injected(asynchronous(handler))

    @functools.wraps(filled)
    async def noted(*args: Any, **named: Any) -> Any:
        try:
            return await filled(*args, **named)
        except Exception as error:
            _RAISED.get([]).append(error)
            raise

    return noted


#: What the handler of a request has raised.
_RAISED: Final[ContextVar[list[Exception]]] = ContextVar("asyncmeta_blacksheep_raised")


def handlers_of(app: Application) -> Iterator[Handler]:
    """Yield the handlers of *app*, its middleware and exception handlers."""
    for middleware in app.middlewares:
        yield _handler(middleware, "middleware")
    for function in app.exceptions_handlers.values():
        yield _handler(function, "exception handler")
    router: Any = app.router
    there = [(method, route) for method, routes in router.routes.items() for route in routes]
    waiting = getattr(router, "registered_routes", ())  # until the application starts
    of_controllers = [(route.method, route) for route in router.controllers_routes] if not there else ()
    for method, route in (*there, *waiting, *of_controllers):
        yield _handler(getattr(route.handler, "root_fn", route.handler), f"{_text(method)} {_text(route.pattern)}", reads=True)


def _text(part: bytes | str) -> str:
    return part.decode() if isinstance(part, bytes) else part


def _status_of(error: BaseException) -> int | None:
    return error.status if isinstance(error, HTTPException) else None


def _failure_of(answer: Any, codes: list[int] | None, raised: list[Exception], error_status: int) -> BaseException | None:
    for error in raised:
        if is_failure(_status_of(error), error_status):
            return error
    if codes is not None:
        return ErrorResponse(codes[0]) if codes and codes[0] not in LEFT_WELL else None
    status = getattr(answer, "status", 200)  # None is a response without content
    return ErrorResponse(status) if status >= error_status else None


def _codes_of(socket: Any) -> list[int]:
    """Return the codes with which a websocket is closed from here on, by the handler or its client."""
    codes = closed_with(socket)
    receive = socket.receive

    async def noted() -> Any:
        try:
            return await receive()
        except WebSocketDisconnectError as error:
            codes.append(error.code)
            raise

    socket.receive = noted
    return codes
