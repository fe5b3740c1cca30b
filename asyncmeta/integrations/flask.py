"""
A container for Flask: ``setup(app, container)`` inside of ``with Container(App) as container:``.

Flask is synchronous: a request's scope is one of the kind that needs no loop, and many threads share the container.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from flask import Flask, Request, Response, g, request, request_finished, request_started

from .. import Container, Scope
from .asgi import ErrorResponse, going_nowhere

__all__ = ["setup"]

_LIVES = "_asyncmeta_lives"  #: in `g`; several where a request is made inside of another one's context


def setup(app: Flask, container: Container, *, level: str | None = None, error_status: int = 500) -> None:
    """
    Open a scope for each request of *app*; views that are `injected` are filled by it.

    The scope is opened before Flask's ``before_request`` functions and closed after the ``teardown_request`` functions
    that are registered later than this: after the response is made and before it is sent, so that a finalizer that fails
    makes a failed request of it.  A response that streams keeps its scope until the server has closed it.  Finalizers see
    an exception that no error handler took, or an `asgi.ErrorResponse` where the status is *error_status* or above, or
    where a stream is not sent to its end.  Where the application declares ``context=[Request]``, the scope is given
    Flask's request.

    Nothing here awaits: what has to be awaited is an `AsyncDependencyError` that names it.  Flask has no life that a
    container could share, so open and close that around the application: ``with container: app.run()``.

    Args:
        app: The application.
        container: The container; it may be used from all of the server's threads.
        level: The level of a request's scope; the innermost if not given.
        error_status: From which status on a response is a failure.

    .. versionadded:: 0.1.0
    """

    def begin(app: Flask, **more: Any) -> None:
        context = {Request: request._get_current_object()} if container.takes(Request, level=level) else None  # type: ignore[attr-defined]  # a proxy's
        life = _Life(container.scope(context, level=level))
        g.setdefault(_LIVES, []).append(life)

    def finish(app: Flask, response: Response, **more: Any) -> None:
        if not g.get(_LIVES):
            return
        life = g.get(_LIVES)[-1]
        if response.status_code >= error_status:
            life.failure = ErrorResponse(response.status_code)
        if _streams(response):
            g.get(_LIVES).pop()
            life.ambient.__exit__(None, None, None)
            response.response = _Stream(response.response, life)

    def end(error: BaseException | None) -> None:
        if g.get(_LIVES):
            g.get(_LIVES).pop().end(error)

    def end_all(error: BaseException | None) -> None:
        # Flask calls no more functions of a request's end when one of them has raised.
        while g.get(_LIVES):
            end(error)

    request_started.connect(begin, app, weak=False)
    request_finished.connect(finish, app, weak=False)
    app.teardown_request(end)
    app.teardown_appcontext(end_all)


def _streams(response: Response) -> bool:
    """Tell whether the application's code still runs while *response* is sent."""
    if not response.is_streamed or response.direct_passthrough:  # a file, which the server sends alone
        return False
    if request.method == "HEAD" or response.status_code in (204, 304):
        return False  # its parts are never asked for, nor closed
    # The pages that Flask makes of HTTP exceptions look like streams.
    return response.status_code < 400 or response.content_length is None


class _Life:
    """A request's scope, ambient while the request runs."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope.__enter__()
        self.failure: BaseException | None = None
        self.ambient = scope.ambient()
        self.ambient.__enter__()

    def end(self, error: BaseException | None) -> None:
        self.ambient.__exit__(None, None, None)
        error = self.failure if error is None else error
        with going_nowhere(error):  # Flask has answered it
            self.scope.__exit__(None if error is None else type(error), error, None)


class _Stream:
    """The parts of a response that is made while it is sent; the request's scope lives until the server is done with it."""

    def __init__(self, parts: Iterable[Any], life: _Life) -> None:
        self._parts, self._next, self._life = parts, iter(parts), life
        self._complete = False

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        try:
            with self._life.scope.ambient():
                return next(self._next)
        except StopIteration:
            self._complete = True
            raise
        except BaseException as error:
            self._life.failure = error
            raise

    def close(self) -> None:
        life = self._life
        try:
            close = getattr(self._parts, "close", None)
            if close is not None:
                close()
        finally:
            if not self._complete and life.failure is None:
                life.failure = ErrorResponse(None)  # the client has gone
            life.end(None)
