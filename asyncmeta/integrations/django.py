"""
A container for Django, with asynchronous and synchronous views.

In the settings stand where the container is, and the middleware that opens a scope for each request::

    ASYNCMETA_CONTAINER = "shop.services.container"
    MIDDLEWARE = ["asyncmeta.integrations.django.ContainerMiddleware", ...]

and in ``asgi.py``, so that the container starts and stops with the server::

    application = get_asgi_application()
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, MutableMapping
from contextlib import nullcontext
from typing import Any, Final, ParamSpec, TypeVar

from asgiref.sync import async_to_sync, iscoroutinefunction, markcoroutinefunction
from django.conf import settings  # type: ignore[import-untyped]
from django.core import asgi as django_asgi  # type: ignore[import-untyped]
from django.core.exceptions import BadRequest, PermissionDenied, SuspiciousOperation  # type: ignore[import-untyped]
from django.core.handlers.asgi import ASGIRequest  # type: ignore[import-untyped]
from django.http import FileResponse, Http404, HttpRequest, HttpResponseBase, StreamingHttpResponse  # type: ignore[import-untyped]
from django.http.multipartparser import MultiPartParserError  # type: ignore[import-untyped]
from django.urls import get_resolver  # type: ignore[import-untyped]
from django.utils.module_loading import import_string  # type: ignore[import-untyped]

from .. import Container, FinalizationErrors, From, Scope, ScopeError, injected as injected_function
from . import asgi
from ._endings import ERROR_STATUS, Cancellation, ErrorResponse, going_nowhere, is_failure, one_of
from ._handlers import Handler, check, handler as _handler, methods_of, misread_by
from ._lifespan import TESTED, begun_again
from ._marks import marked, marked_annotations

__all__ = ["ContainerMiddleware", "From", "container_of", "get_asgi_application", "inject", "injected", "setup"]

#: What to do where nobody fills a mark.
CURE: Final = "put @inject of asyncmeta.integrations.django around it"

P = ParamSpec("P")
R = TypeVar("R")


def _container() -> Container:
    """Return the container that the settings name."""
    named = getattr(settings, "ASYNCMETA_CONTAINER", None)
    container = import_string(named) if isinstance(named, str) else named
    if not isinstance(container, Container):
        raise TypeError(f"the setting ASYNCMETA_CONTAINER has to be a Container or its dotted path, not {type(container).__name__}")
    return container


def setup(app: MutableMapping[str, Any], container: Container | str, **options: Any) -> MutableMapping[str, Any]:
    """
    Write the settings for *container*: ``setup(globals(), "shop.services.container")`` at the end of the settings.

    `ContainerMiddleware` is put before all other middleware, if it does not stand among it already.

    Args:
        app: The names of the settings' module.
        container: The container, or its dotted path.
        options: ``error_status=``, the setting ``ASYNCMETA_ERROR_STATUS``.

    Returns:
        The settings.

    Raises:
        TypeError: There is no such option.
    """
    unknown = options.keys() - {"error_status"}
    if unknown:
        raise TypeError(f"setup() takes error_status=, not {sorted(unknown)[0]}=")
    app["ASYNCMETA_CONTAINER"] = container
    if "error_status" in options:
        app["ASYNCMETA_ERROR_STATUS"] = options["error_status"]
    name = f"{ContainerMiddleware.__module__}.{ContainerMiddleware.__qualname__}"
    if name not in app.get("MIDDLEWARE", ()):
        app["MIDDLEWARE"] = [name, *app.get("MIDDLEWARE", ())]
    return app


def container_of(app: object = None) -> Container:
    """
    Return the container that the settings name; Django has one application for each process.

    Args:
        app: Is not looked at: it is here so that all integrations are asked alike.

    Raises:
        ScopeError: They name none.
    """
    if getattr(settings, "ASYNCMETA_CONTAINER", None) is None:
        raise ScopeError("the settings name no container: ASYNCMETA_CONTAINER = ...")
    return _container()


def handlers_of(app: object = None) -> Iterator[Handler]:
    """Yield the views that URLs lead to, those of Django REST framework and Django ninja among them."""
    patterns: Any = get_resolver().url_patterns  # cached, which stubs do not see through
    yield from _views_of(patterns, "")


def _views_of(patterns: Iterable[Any], prefix: str) -> Iterator[Handler]:
    for pattern in patterns:
        path = f"{prefix}{pattern.pattern}"
        inner = getattr(pattern, "url_patterns", None)
        if inner is not None:
            yield from _views_of(inner, path)
            continue
        view = pattern.callback
        operations = _operations_of(view)
        cls = getattr(view, "cls", None) or getattr(view, "view_class", None)
        if operations is not None:  # of Django ninja, which reads the others by pydantic
            for operation in operations:
                function = operation.view_func
                called = f"{'/'.join(operation.methods)} {path}"
                yield Handler(function, called, (), misread_by(function, but=marked(function)))
        elif cls is not None:
            actions = getattr(view, "actions", None) or {}
            function = _below_api_view(cls)
            if function is not None:
                yield _handler(function, f"view of {path}")
                continue
            yield from methods_of(cls, {*getattr(cls, "http_method_names", ()), *actions.values()}, path)
        else:
            yield _handler(view, f"view of {path}")


def _operations_of(view: Any) -> Any:
    """Return the operations of a path of Django ninja, whose view is a method, or holds what it was one of."""
    path = getattr(view, "__self__", None)
    if path is None and inspect.isfunction(view) and str(view.__module__).partition(".")[0] == "ninja":
        path = inspect.getclosurevars(view).nonlocals.get("self")
    return getattr(path, "operations", None)


def _below_api_view(cls: type) -> Any:
    """Return the function that ``@api_view`` of REST framework has made a class of; None where it has not."""
    if cls.__qualname__ != "WrappedAPIView":  # the only name that it has not changed
        return None
    methods = (method for method in vars(cls).values() if inspect.isfunction(method))
    return next((found for one in methods if (found := inspect.getclosurevars(one).nonlocals.get("func")) is not None), None)


def get_asgi_application() -> asgi.ContainerMiddleware:
    """
    Return Django's ASGI application, inside of the settings' container.

    The container is entered and its singletons are built when the server starts; it is closed when the server stops.
    Scopes of requests are opened by `ContainerMiddleware`, among Django's own middleware.

    .. versionadded:: 0.1.0
    """
    application: Any = django_asgi.get_asgi_application()
    return asgi.ContainerMiddleware(application, _container(), connections=False)


class ContainerMiddleware:
    """
    Opens a scope for each request, as ``request.asyncmeta``; views that are `injected` are filled by it.

    It is middleware of Django's, for asynchronous and synchronous applications: in the first, what has to be awaited can be
    had; in the second, many threads share the container, and nothing is awaited.  What stands after it in the settings is
    inside of the scope.  It may stand above and below synchronous-only middleware, in an asynchronous application too; that
    runs in threads then, as Django runs it.

    The scope ends when the response is made and before it is sent; a finalizer that fails makes Django answer 500 instead,
    or what it answers by itself: ``Http404``, ``PermissionDenied``, ``SuspiciousOperation``.  The scope of a response that
    streams ends with the stream.  Finalizers see what a view raised, whatever response Django makes of that, an
    `asgi.ErrorResponse` for a status of 400 and above (the setting ``ASYNCMETA_ERROR_STATUS``, which is the border for
    answers that are raised, too), and a cancellation where the client has gone.
    Where the application declares ``context=[HttpRequest]``, the scope is given the request.

    .. versionadded:: 0.1.0
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self.container = _container()
        self._awaits = iscoroutinefunction(get_response)
        if self._awaits:
            markcoroutinefunction(self)
        check(self.container, handlers_of(), CURE, "the Django application")

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self.container.closed and self.container in TESTED:
            begun_again(self.container)
        takes = self.container.takes(HttpRequest)
        border = getattr(settings, "ASYNCMETA_ERROR_STATUS", ERROR_STATUS)
        # Below synchronous middleware in an asynchronous application this is called in a thread, and views may await all the same.
        awaits = self._awaits or isinstance(request, ASGIRequest)
        life = _Life(self.container.scope({HttpRequest: request} if takes else None), border, awaits=awaits)
        request.asyncmeta = life.scope  # pyright: ignore[reportAttributeAccessIssue]  # requests carry what middleware adds
        request._asyncmeta_life = life  # pyright: ignore[reportAttributeAccessIssue]
        if self._awaits:
            return self._aanswer(request, life)
        return self._answer_in_thread(request, life) if awaits else self._answer(request, life)

    def process_exception(self, request: HttpRequest, exception: Exception) -> None:
        """Note what a view raised: Django makes a response of it."""
        request._asyncmeta_life.fail(exception)  # pyright: ignore[reportAttributeAccessIssue]

    def _answer(self, request: HttpRequest, life: _Life) -> HttpResponseBase:
        life.scope.__enter__()
        try:
            with life.scope.ambient():
                response: Any = self.get_response(request)
        except BaseException as error:
            life.end(error)
            raise
        if _streams(response) and not response.is_async:
            response.streaming_content = _Stream(response.streaming_content, life)
        else:
            life.note(response)
            life.end(None)
        return response

    def _answer_in_thread(self, request: HttpRequest, life: _Life) -> HttpResponseBase:
        """The same, in a thread of an asynchronous application: the scope is one of its loop."""
        async_to_sync(life.scope.__aenter__)()
        try:
            with life.scope.ambient():
                response: Any = self.get_response(request)
        except BaseException as error:
            async_to_sync(life.aend)(error)
            raise
        if _streams(response) and response.is_async:
            response.streaming_content = _AsyncStream(response.streaming_content, life)
        else:
            life.note(response)
            async_to_sync(life.aend)(None)
        return response

    async def _aanswer(self, request: HttpRequest, life: _Life) -> HttpResponseBase:
        cancellation = Cancellation()
        await life.scope.__aenter__()
        try:
            with life.scope.ambient():
                response: Any = await self.get_response(request)
            await cancellation.tell()
        except BaseException as error:
            await life.aend(error)
            raise
        if _streams(response) and response.is_async:
            response.streaming_content = _AsyncStream(response.streaming_content, life)
        else:
            life.note(response)
            await life.aend(None)
        return response


def injected(view: Callable[P, R]) -> Callable[P, R]:
    """
    Fill the marked parameters of a view, ``From[T]`` or ``Annotated[T, Inject(...)]``, from its request's scope.

    For an asynchronous view this is `asyncmeta.injected`.  A synchronous one runs in a thread where the application is
    asynchronous: there its values are awaited in the loop before it begins, so that they may need awaiting, too.

    What the view raises fails its request, whoever answers it: other middleware, Django REST framework, Django ninja.

    .. versionadded:: 0.1.0
    """
    filled: Any = injected_function(view)
    if iscoroutinefunction(view):

        @functools.wraps(filled)
        async def acall(*args: Any, **kwargs: Any) -> Any:
            try:
                return await filled(*args, **kwargs)
            except Exception as error:
                _note(_life_in(args), error)
                raise

        return acall  # type: ignore[return-value]  # as the view is
    names = marked(view)

    @functools.cache
    def tokens() -> dict[str, Any]:
        return marked_annotations(view, names)

    @functools.wraps(filled)
    def call(*args: Any, **kwargs: Any) -> Any:
        life = _life_in(args)
        if life is not None and life.awaits:
            missing = [name for name in names if name not in kwargs]
            values = async_to_sync(life.scope.gather)(*(tokens()[name] for name in missing))
            kwargs.update(zip(missing, values, strict=True))
        try:
            return filled(*args, **kwargs)
        except Exception as error:
            _note(life, error)
            raise

    return call


inject = injected


def _life_in(args: tuple[Any, ...]) -> _Life | None:
    """Return the life of the request among a view's first arguments; the request of another framework hands on its names."""
    return next((life for one in args[:2] if (life := getattr(one, "_asyncmeta_life", None)) is not None), None)


def _note(life: _Life | None, error: Exception) -> None:
    if life is not None:
        life.fail(error)


#: What Django answers by itself, and how.
_STATUSES: Final = (
    (Http404, 404), (PermissionDenied, 403), (MultiPartParserError, 400), (BadRequest, 400), (SuspiciousOperation, 400),
)  # fmt: skip


def status_of(error: BaseException) -> int | None:
    """Return the status with which Django answers what was raised; None where that is no answer."""
    found = next((status for kind, status in _STATUSES if isinstance(error, kind)), None)
    if found is not None:
        return found
    # What belongs to it: rest_framework's APIException, ninja's HttpError; of neither anything is imported here.
    module = type(error).__module__.partition(".")[0]
    told = any(kind.__module__.partition(".")[0] in ("rest_framework", "ninja") for kind in type(error).__mro__)
    status = getattr(error, "status_code", 422 if module == "ninja" and type(error).__name__ == "ValidationError" else None)
    return status if told and isinstance(status, int) else None


def answerable(error: FinalizationErrors) -> BaseException:
    """Return what to raise for what finalizers have raised: an exception that Django answers by itself."""
    one = one_of(error)
    return one if isinstance(one, tuple(kind for kind, _ in _STATUSES)) else error


def _streams(response: HttpResponseBase) -> bool:
    """Tell whether the application's code still runs while *response* is sent."""
    return isinstance(response, StreamingHttpResponse) and not isinstance(response, FileResponse)


class _Life:
    """The end of a request's scope: once, with what went wrong."""

    def __init__(self, scope: Scope, border: int, *, awaits: bool) -> None:
        self.scope, self.awaits = scope, awaits
        self._border = border  #: from which status on an answer is a failure
        self.failure: BaseException | None = None  #: what Django has answered

    def fail(self, error: BaseException) -> None:
        """A view raised."""
        if is_failure(status_of(error), self._border):
            self.failure = error

    def note(self, response: HttpResponseBase) -> None:
        if self.failure is None and response.status_code >= self._border:
            self.failure = ErrorResponse(response.status_code)

    def unfinished(self) -> None:
        """The response was not sent to its end: the client has gone."""
        if self.failure is None:
            self.failure = ErrorResponse(None)

    def end(self, left: BaseException | None) -> None:
        """End the scope; *left* goes on by itself."""
        error = self.failure if left is None else left
        try:
            with nullcontext() if error is left else going_nowhere(error):
                self.scope.__exit__(None if error is None else type(error), error, None)
        except FinalizationErrors as raised:
            raise answerable(raised) from None

    async def aend(self, left: BaseException | None) -> None:
        error = self.failure if left is None else left
        try:
            with nullcontext() if error is left else going_nowhere(error):
                await self.scope.__aexit__(None if error is None else type(error), error, None)
        except FinalizationErrors as raised:
            raise answerable(raised) from None


class _Stream:
    """The parts of a response that is made while it is sent; the scope ends with the last one, or when it is closed."""

    def __init__(self, parts: Any, life: _Life) -> None:
        self._parts, self._life = parts, life

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        try:
            with self._life.scope.ambient():
                return next(self._parts)
        except StopIteration:
            self._life.end(None)
            raise
        except BaseException as error:
            self._life.end(error)
            raise

    def close(self) -> None:
        """Called by Django when the server is done with the response."""
        if not self._life.scope.closed:
            self._life.unfinished()
            self._life.end(None)


class _AsyncStream:
    """The same, awaited."""

    def __init__(self, parts: Any, life: _Life) -> None:
        self._parts, self._life = parts, life

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        try:
            with self._life.scope.ambient():
                return await anext(self._parts)
        except StopAsyncIteration:
            await self._life.aend(None)
            raise
        except BaseException as error:
            await self._life.aend(error)
            raise

    def close(self) -> None:
        """Called by Django, in a thread, when the server is done with the response."""
        if not self._life.scope.closed:
            self._life.unfinished()
            async_to_sync(self._life.aend)(None)
