"""
A container for Quart: ``setup(app, Container(App))``.

The ASGI wrapper does the work; what a handler raised is known to Quart alone, and passed on from here.
"""

from __future__ import annotations

from typing import Any, Literal

from quart import Quart, request, websocket
from quart.signals import got_request_exception, got_websocket_exception

from .. import Container
from .asgi import ContainerMiddleware, failed

__all__ = ["setup"]


def setup(
    app: Quart,
    container: Container,
    *,
    start: bool = True,
    level: str | None = None,
    websocket_level: str | None = None,
    ends: Literal["before", "after"] = "before",
    error_status: int = 500,
) -> None:
    """
    Open *container* with *app*, and a scope for each request and each websocket; `injected` handlers are filled by it.

    It wraps ``app.asgi_app``: the container is entered before functions of ``before_serving`` and ``while_serving`` run, and
    closed after those of ``after_serving``.  When a scope ends is told at `asgi.ContainerMiddleware`; its finalizers see an
    exception that no error handler took, also of a websocket, which Quart closes like one that went well.

    Args:
        app: The application.
        container: The container.
        start: Whether singletons are built at start-up; else when they are first needed.
        level: The level of a request's scope; the innermost if not given.
        websocket_level: The level of a websocket's scope; *level* if not given.
        ends: Whether a request's scope ends "before" its response is sent, or "after".
        error_status: From which status on a response is a failure.

    .. versionadded:: 0.1.0
    """
    app.asgi_app = ContainerMiddleware(  # type: ignore[assignment, method-assign]  # Quart's own way to wrap an application
        app.asgi_app,
        container,
        start=start,
        level=level,
        websocket_level=websocket_level,
        ends=ends,
        error_status=error_status,
    )
    got_request_exception.connect(_request_failed, app)
    got_websocket_exception.connect(_websocket_failed, app)


async def _request_failed(app: Quart, exception: Exception, **more: Any) -> None:
    failed(request.scope, exception)  # type: ignore[arg-type]  # Quart types the names in it


async def _websocket_failed(app: Quart, exception: Exception, **more: Any) -> None:
    failed(websocket.scope, exception)  # type: ignore[arg-type]
