"""
Starlette: ``Starlette(middleware=[Middleware(ContainerMiddleware, container=Container(App))])``, and `inject` for handlers.

Needs the extra ``starlette``.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, ClassVar, ParamSpec, TypeVar, overload

from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection, Request
from starlette.websockets import WebSocket

from .. import injected
from . import asgi

__all__ = ["ContainerMiddleware", "inject"]

P = ParamSpec("P")
R = TypeVar("R")


class ContainerMiddleware(asgi.ContainerMiddleware):
    """
    The wrapper for every ASGI framework, with Starlette's objects as context: ``class App(AsyncServiceBase, context=[Request])``.

    `Request`, `WebSocket` and `HTTPConnection` are given to a connection's scope where the application declares them.  Each
    tells what stands in the head of the connection: its path, headers, cookies, state, user.  The body of a request and the
    messages of a websocket are the handler's.

    A response of 400 and above is a failed request unless *error_status* says otherwise: Starlette makes one of an
    ``HTTPException``, wherever it was raised, and what was written before has to be rolled back.

    Everything else is told at `asyncmeta.integrations.asgi.ContainerMiddleware`.
    """

    failing_status = 400

    offered: ClassVar[Mapping[str, Mapping[Any, Callable[[asgi.Connection], object]]]] = {
        "http": {**asgi.ContainerMiddleware.offered["http"], Request: Request, HTTPConnection: Request},
        "websocket": {
            **asgi.ContainerMiddleware.offered["websocket"],
            WebSocket: lambda connection: WebSocket(connection, _receive, _send),
            HTTPConnection: HTTPConnection,
        },
    }


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
        try:
            return await run(*args, **named)
        except Exception as error:
            for argument in args:
                if isinstance(argument, HTTPConnection):
                    asgi.failed(argument.scope, error)
            raise

    return noted


def filled(handler: Callable[..., Any], fill: Callable[..., Any] = injected) -> Callable[..., Any]:
    """Return *handler* as *fill* fills it: an async function, or a generator; a sync function runs in a thread."""
    called = plain(handler)
    if inspect.iscoroutinefunction(called) or generates(handler):
        return fill(handler)  # type: ignore[no-any-return]
    asynchronous = inspect.iscoroutinefunction(inspect.unwrap(called))  # below a decorator that only hands on

    @functools.wraps(handler)
    async def run(*args: Any, **named: Any) -> Any:
        if asynchronous:
            return await handler(*args, **named)
        return await run_in_threadpool(handler, *args, **named)

    return fill(run)  # type: ignore[no-any-return]


def generates(handler: Any) -> bool:
    """Tell whether a call of *handler* gives a generator, of either kind."""
    called = inspect.unwrap(plain(handler))
    return inspect.isasyncgenfunction(called) or inspect.isgeneratorfunction(called)


def plain(handler: Any) -> Any:
    """Return the function or method that a call of *handler* runs."""
    while isinstance(handler, functools.partial):
        handler = handler.func
    return handler if inspect.isroutine(handler) else handler.__call__
