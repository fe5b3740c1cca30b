"""
A container for Flask: ``setup(app, container)`` inside of ``with Container(App) as container:``.

Flask is synchronous: a request's scope is one of the kind that needs no loop, and many threads share the container.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, ParamSpec, TypeVar

from flask import Flask, Request, Response, g, has_request_context, request, request_finished, request_started

from .. import Container, FinalizationErrors, From, Scope, ScopeError, injected
from ._applications import check_application
from ._endings import ERROR_STATUS, ErrorResponse, going_nowhere, is_failure, one_of
from ._lifespan import TESTED, begun_again
from ._werkzeug import KEY, container_of, handlers_of as handlers_of, refusing, status_of, tell

__all__ = ["From", "container_of", "inject", "setup"]

#: What to do where nobody fills a mark.
CURE: Final = "put @inject of asyncmeta.integrations.flask, or @injected, below Flask's decorator"

P = ParamSpec("P")
R = TypeVar("R")

_ANSWER: Final = "asyncmeta.answer"  #: in a request's environment: the response instead of the one that was made
_LIVES = "_asyncmeta_lives"  #: in `g`; several where a request is made inside of another one's context


def setup(app: Flask, container: Container, *, level: str | None = None, error_status: int = ERROR_STATUS) -> Flask:
    """
    Open a scope for each request of *app*; views that are `injected` are filled by it.

    The scope is opened before Flask's ``before_request`` functions and closed after the ``teardown_request`` functions
    that are registered later than this: after the response is made and before it is sent, so that a finalizer that fails
    makes a failed request of it: what it raises is answered by Flask's error handlers, as what a view raises.  A response
    that streams keeps its scope until the server has closed it.  Finalizers see what a view raised, whatever error handler
    answers it, or an `asgi.ErrorResponse` where the status is *error_status* or above, or where a stream is not sent to its
    end.  Where the application declares ``context=[Request]``, the scope is given Flask's request.

    Nothing here awaits: what has to be awaited is an `AsyncDependencyError` that names it.  Flask has no life that a
    container could share, so open and close that around the application: ``with container: app.run()``.

    Args:
        app: The application.
        container: The container; it may be used from all of the server's threads.
        level: The level of a request's scope; the innermost if not given.
        error_status: From which status on a response is a failure, also one that a view raises.

    Returns:
        The application.

    .. versionadded:: 0.1.0
    """

    def begin(app: Flask, **more: Any) -> None:
        if container.closed and container in TESTED:
            begun_again(container)
        context = {Request: request._get_current_object()} if container.takes(Request, level=level) else None  # type: ignore[attr-defined]  # a proxy's
        life = _Life(container.scope(context, level=level))
        g.setdefault(_LIVES, []).append(life)

    def finish(app: Flask, response: Response, **more: Any) -> None:
        if not g.get(_LIVES):
            return
        life = g.get(_LIVES)[-1]
        if response.status_code >= error_status and life.failure is None:
            life.failure = ErrorResponse(response.status_code)
        if _streams(response):
            g.get(_LIVES).pop()
            life.ambient.__exit__(None, None, None)
            life.streamed = True
            response.response = _Stream(response.response, life)

    handle = app.handle_user_exception

    def noted(error: Exception) -> Any:
        if g.get(_LIVES) and is_failure(status_of(error), error_status):
            g.get(_LIVES)[-1].failure = error
        return handle(error)

    def end(error: BaseException | None) -> None:
        if not g.get(_LIVES):
            return
        life = g.get(_LIVES).pop()
        try:
            life.end(error)
        except FinalizationErrors as raised:
            one = one_of(raised)
            if life.streamed or not has_request_context() or not isinstance(one, Exception):
                raise
            try:
                raise one  # as Flask's own code does where an error is handled
            except Exception as error:
                try:
                    found = handle(error)
                except Exception as other:
                    if other is one:  # no handler is for it
                        raise raised from None
                    raise
            request.environ[_ANSWER] = app.process_response(app.make_response(found))

    def end_all(error: BaseException | None) -> None:
        # Flask calls no more functions of a request's end when one of them has raised.
        while g.get(_LIVES):
            end(error)

    app.handle_user_exception = noted  # type: ignore[assignment, method-assign]  # no signal tells what an error handler takes
    app.wsgi_app = _Answering(app.wsgi_app, lambda: check_application(app, container))  # type: ignore[method-assign]  # Flask's own way to wrap an application
    request_started.connect(begin, app, weak=False)
    request_finished.connect(finish, app, weak=False)
    app.teardown_request(end)
    app.teardown_appcontext(end_all)
    app.extensions[KEY] = container
    app.add_url_rule = refusing(app.add_url_rule, CURE)  # type: ignore[method-assign]  # so views are refused at their line
    return app


def inject(view: Callable[P, R], /) -> Callable[P, R]:
    """Fill the marked parameters of a view, ``From[T]``, from the scope of its request; below Flask's decorator."""
    filled = injected(view)
    if filled is view:
        return view

    @functools.wraps(filled)
    def call(*args: P.args, **named: P.kwargs) -> R:
        try:
            return filled(*args, **named)
        except ScopeError as error:
            if has_request_context() and not g.get(_LIVES):
                tell(error)
            raise

    return call


class _Answering:
    """Starts a response when the scope of its request has ended; another one where that has failed."""

    def __init__(self, app: Callable[..., Iterable[bytes]], check: Callable[[], None]) -> None:
        self._app = app
        self._check: Callable[[], None] | None = check  #: Flask has no start-up: before the first request is the time

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if self._check is not None:
            self._check()
            self._check = None
        held: list[tuple[Any, ...]] = []
        ended = False

        def start(*response: Any) -> Any:
            if ended:
                return start_response(*response)
            held[:] = [response]
            return _write

        parts = self._app(environ, start)
        ended = True
        answer: Response | None = environ.pop(_ANSWER, None)
        if answer is not None:
            getattr(parts, "close", lambda: None)()
            return answer(environ, start_response)
        for response in held:
            start_response(*response)
        return parts


def _write(part: bytes) -> None:
    raise NotImplementedError("a response is what the application returns; it writes none by itself")


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
        self.streamed = False  #: the response has begun
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
