"""
Starlette: ``Starlette(middleware=[Middleware(ContainerMiddleware, container=Container(App))])``, and `inject` for handlers.

Needs the extra ``starlette``.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from typing import Any, ClassVar, Final, ParamSpec, TypeVar, overload

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException, WebSocketException
from starlette.requests import HTTPConnection, Request
from starlette.websockets import WebSocket

from .. import Container, FinalizationErrors, From, ScopeError, injected
from . import asgi
from ._applications import handlers_of as _handlers_of, has_another, has_own
from ._endings import WELL, one_of
from ._handlers import Handler, handler as _handler, methods_of
from .commands import Source, container_from

__all__ = ["ContainerMiddleware", "From", "container_of", "inject", "setup"]

#: What to do where nobody fills a mark.
CURE: Final = "put @inject of asyncmeta.integrations.starlette, or @injected, around it"

P = ParamSpec("P")
R = TypeVar("R")


class ContainerMiddleware(asgi.ContainerMiddleware):
    """
    The wrapper for every ASGI framework, with Starlette's objects as context: ``class App(AsyncServiceBase, context=[Request])``.

    `Request`, `WebSocket` and `HTTPConnection` are given to a connection's scope where the application declares them.  Each
    tells what stands in the head of the connection: its path, headers, cookies, state, user.  The body of a request and the
    messages of a websocket are the handler's.

    What the finalizers of a request raise is answered as what its handler raises: an ``HTTPException`` by its status, other
    errors by the application's exception handlers, if one of these is for it; else the server is told.

    Everything else is told at `asyncmeta.integrations.asgi.ContainerMiddleware`.
    """

    offered: ClassVar[Mapping[str, Mapping[Any, Callable[[asgi.Connection], object]]]] = {
        "http": {**asgi.ContainerMiddleware.offered["http"], Request: Request, HTTPConnection: Request},
        "websocket": {
            **asgi.ContainerMiddleware.offered["websocket"],
            WebSocket: lambda connection: WebSocket(connection, _receive, _send),
            HTTPConnection: HTTPConnection,
        },
    }

    def begun(self, connection: asgi.Connection, container: Container) -> None:
        app = connection.get("app", self.app)
        if hasattr(app, "state") and not has_another(app, self._source):
            setattr(app.state, asgi.KEY, container)
        super().begun(connection, container)

    async def answer(self, connection: asgi.Connection, receive: asgi.Receive, send: asgi.Send, error: BaseException) -> bool:
        handle = handler_for(connection, error)
        if handle is None:
            return False
        request = Request(connection, receive, send)
        response: Any = await handle(request, error) if _is_async(handle) else await run_in_threadpool(handle, request, error)
        if response is not None:
            await response(connection, receive, send)
        return response is not None


def handler_for(connection: asgi.Connection, error: BaseException) -> Callable[..., Any] | None:
    """Return the exception handler that the application of *connection* has for *error*; None where it has none."""
    by_class, by_status = connection.get("starlette.exception_handlers", ({}, {}))
    if isinstance(error, HTTPException) and error.status_code in by_status:
        return by_status[error.status_code]  # type: ignore[no-any-return]
    return next((by_class[kind] for kind in type(error).__mro__ if kind in by_class), None)


def status_of(error: BaseException) -> int | None:
    """Return the status with which Starlette answers what was raised; None where that is no answer; 0 for a good end."""
    if isinstance(error, WebSocketException):
        return 0 if error.code in WELL else None
    return error.status_code if isinstance(error, HTTPException) else None


def answerable(connection: asgi.Connection, error: FinalizationErrors) -> BaseException:
    """Return what to raise for *error* where exception handlers are around: what one of them knows, if it holds nothing else."""
    one = one_of(error)
    return error if handler_for(connection, one) is None else one


def setup(app: Starlette, container: Source, **options: Any) -> Starlette:
    """
    Let *container* live with *app*, and give each request and each websocket a scope: ``app.add_middleware`` in one word.

    Args:
        app: The application, before it has started.
        container: As for `ContainerMiddleware`, and so are *options*.

    Returns:
        The application.
    """
    app.add_middleware(ContainerMiddleware, container=container, **options)
    return app


def container_of(app: Starlette) -> Container:
    """
    Return the container that serves *app*: where it has one for each lifespan, that of the one that runs.

    Raises:
        ScopeError: It was given none.
    """
    running = getattr(app.state, asgi.KEY, None)
    if isinstance(running, Container):
        return running
    given = source_of(app)
    if given is None:
        raise ScopeError("this application has no container: setup(app, container) gives it one")
    return container_from(given)


def source_of(app: Any) -> Source | None:
    """Return what the middleware of *app* was given for a container: the innermost, whose scopes handlers see."""
    for one in reversed(getattr(app, "user_middleware", ())):
        if isinstance(one.cls, type) and issubclass(one.cls, asgi.ContainerMiddleware):
            return one.kwargs.get("container", one.args[0] if one.args else None)  # type: ignore[no-any-return]
    return None


def handlers_of(app: Any) -> Iterator[Handler]:
    """Yield the handlers of *app*, of what is mounted in it too, but for applications with a container of their own."""
    yield from around_handlers(app)
    for route in getattr(app, "routes", ()):
        yield from handlers_of_route(route)


def around_handlers(app: Any) -> Iterator[Handler]:
    """Yield the exception handlers of *app*, and the functions that are its middleware."""
    for kind, function in getattr(app, "exception_handlers", {}).items():
        yield _handler(function, f"exception handler for {getattr(kind, '__name__', kind)}")
    for one in getattr(app, "user_middleware", ()):
        dispatch = one.kwargs.get("dispatch")
        if dispatch is not None:
            yield _handler(dispatch, "middleware")


def handlers_of_route(route: Any) -> Iterator[Handler]:
    """Yield the handlers of one route."""
    path = getattr(route, "path", "")
    endpoint = getattr(route, "endpoint", None)
    layers = list(_layers(getattr(route, "app", None)))
    if any(map(has_own, layers)):
        return
    if isinstance(endpoint, type):
        names = ("get", "head", "post", "put", "patch", "delete", "options", "on_connect", "on_receive", "on_disconnect")
        yield from methods_of(endpoint, names, path)
    elif endpoint is not None:
        methods = "/".join(sorted(getattr(route, "methods", None) or ())) or "WEBSOCKET"
        yield _handler(endpoint, f"{methods} {path}")
    for around in layers:
        if getattr(around, "dispatch_func", None) is not None:
            yield _handler(around.dispatch_func, f"middleware of {path}")
    if endpoint is None and layers:
        yield from _handlers_of(layers[-1])


def _layers(app: Any) -> Iterator[Any]:
    """Yield the middleware of a route or a mount, and last what stands inside of it."""
    while app is not None:
        yield app
        app = None if hasattr(app, "routes") or inspect.isroutine(app) else getattr(app, "app", None)


async def _receive() -> asgi.Message:
    raise RuntimeError("the messages of a websocket are its handler's: a service cannot receive them")


async def _send(message: asgi.Message) -> None:
    raise RuntimeError("the messages of a websocket are its handler's: a service cannot send any")


@overload
def inject(handler: Callable[P, Awaitable[R]]) -> Callable[P, Coroutine[Any, Any, R]]: ...
@overload
def inject(handler: Callable[P, R]) -> Callable[P, Coroutine[Any, Any, R]]: ...
def inject(handler: Callable[..., Any]) -> Callable[..., Coroutine[Any, Any, Any]]:
    """
    Fill the marked parameters of a handler, ``From[T]``, from the scope of its request or websocket.

    For functions and for the methods of ``HTTPEndpoint`` and ``WebSocketEndpoint``.  A sync one gets its values in the loop,
    so that they may be asynchronous, and runs in a thread.

    What the handler raises is noted as the failure of its request, so that finalizers roll back although Starlette makes a
    response of an ``HTTPException``.

    Raises:
        ScopeError: At a call: no `ContainerMiddleware` is around it.
        GraphError: At a call: what it asks for does not fit together.
    """
    run = filled(handler)

    @functools.wraps(run)
    async def noted(*args: Any, **named: Any) -> Any:
        connection = next((one.scope for one in args if isinstance(one, HTTPConnection)), None)
        if connection is None:  # called by hand
            return await run(*args, **named)
        asgi.made_here(connection)
        try:
            return await run(*args, **named)
        except FinalizationErrors as error:  # of a scope for this call: no middleware gives one
            raise answerable(connection, error) from None
        except Exception as error:
            asgi.failed(connection, error, status_of(error))
            raise

    return noted


def filled(handler: Callable[..., Any], fill: Callable[..., Any] = injected) -> Callable[..., Any]:
    """Return *handler* as *fill* fills it: an async function, or a generator; a sync function runs in a thread."""
    return fill(handler if generates(handler) else asynchronous(handler))  # type: ignore[no-any-return]


def asynchronous(handler: Callable[..., Any]) -> Callable[..., Any]:
    """Return *handler* as an async function; a sync one runs in a thread."""
    called = plain(handler)
    if inspect.iscoroutinefunction(called):
        return handler
    hidden = inspect.iscoroutinefunction(inspect.unwrap(called))  # below a decorator that only hands on

    @functools.wraps(handler)
    async def run(*args: Any, **named: Any) -> Any:
        if hidden:
            return await handler(*args, **named)
        return await run_in_threadpool(handler, *args, **named)

    return run


def _is_async(handler: Any) -> bool:
    return inspect.iscoroutinefunction(plain(handler))


def generates(handler: Any) -> bool:
    """Tell whether a call of *handler* gives a generator, of either kind."""
    called = inspect.unwrap(plain(handler))
    return inspect.isasyncgenfunction(called) or inspect.isgeneratorfunction(called)


def plain(handler: Any) -> Any:
    """Return the function or method that a call of *handler* runs."""
    while isinstance(handler, functools.partial):
        handler = handler.func
    return handler if inspect.isroutine(handler) else handler.__call__
