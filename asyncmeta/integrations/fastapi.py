"""
FastAPI: ``app.add_middleware(ContainerMiddleware, container=Container(App))``, then ``From[T]`` in any handler or dependency.

Needs the extra ``fastapi``.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, TypeVar

from fastapi import Depends, FastAPI, Request, Response, params
from fastapi.concurrency import iterate_in_threadpool, run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.requests import HTTPConnection
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from .. import INJECTED, Container, DeclarationError, FinalizationErrors, Inject, Scope, ScopeError, injected
from . import starlette
from ._dependants import handlers_of as handlers_of
from ._endings import ERROR_STATUS, Cancellation, ErrorResponse, is_failure
from ._marks import by_name, marked, marked_annotations
from .asgi import KEY, failed, made_here
from .commands import Source
from .starlette import ContainerMiddleware, answerable, asynchronous, container_of, filled, generates, source_of as source_of

__all__ = ["ContainerMiddleware", "ContainerRoute", "From", "container_of", "dependency", "inject", "setup"]

#: What to do where nobody fills a mark.
CURE: Final = "take From of asyncmeta.integrations.fastapi, ContainerRoute for its router, or @inject below its decorator"

T = TypeVar("T")


#: What was made for each token: FastAPI's own overrides know a dependency by the function.
_DEPENDENCIES: Final[weakref.WeakValueDictionary[Any, Callable[..., Awaitable[Any]]]] = weakref.WeakValueDictionary()


def dependency(token: Any) -> Callable[..., Awaitable[Any]]:
    """
    Return the dependency of FastAPI's that gives *token*'s value: the same function each time.

    For places where no parameter is, ``APIRouter(dependencies=[Depends(dependency(Session))])``, and for FastAPI's own
    overrides, ``app.dependency_overrides[dependency(Session)] = make_fake``.
    """
    found = _DEPENDENCIES.get(token)
    if found is None:

        async def provided(connection: HTTPConnection) -> Any:  # async, or FastAPI would run it in a thread
            scope = connection.scope.get(KEY)
            made_here(connection.scope)
            if scope is None and "type" not in connection.scope:  # a message of FastStream's plugin for FastAPI
                scope = await _ambient()
            if scope is None:
                raise ScopeError(
                    "no scope is around: app.add_middleware(ContainerMiddleware, container=...), and without connections=False "
                    "where websockets or dependencies ask for values"
                )
            return await scope.get(token)

        provided.asyncmeta_token = token  # type: ignore[attr-defined]  # functions take any attribute
        found = _DEPENDENCIES.setdefault(token, provided)
    return found


@injected
async def _ambient(scope: Annotated[Scope, Inject()] = INJECTED) -> Scope:
    """Return the scope that is around: what a broker's middleware opens for a message."""
    return scope


if TYPE_CHECKING:
    From = Annotated[T, Inject()]
else:

    class From:
        """
        ``From[T]`` marks a parameter that is filled with T's value, in the scope of the request or websocket.

        It works wherever FastAPI looks at parameters, with no decorator: handlers and dependencies of any depth, sync or
        async, and websockets.  For a token that is no type: ``From[Annotated[dict, Inject("config")]]``.
        """

        def __class_getitem__(cls, token: Any) -> Any:
            if isinstance(token, str):
                raise DeclarationError(
                    f'From["{token}"]: FastAPI reads parameters when a route is made, so the type has to be there; '
                    f'for a token that is a string: From[Annotated[..., Inject("{token}")]]'
                )
            return _marked(token)


def mark_of(token: Any) -> params.Depends:
    """Return FastAPI's own mark of what a scope gives for *token*."""
    # FastAPI keeps nothing for the request: the scope does, as the lifetime says.
    return Depends(dependency(token), use_cache=False)  # type: ignore[no-any-return]  # typed as what a handler gets


def _marked(token: Any) -> Any:
    """Return the annotation that both we and FastAPI know."""
    return Annotated[token, Inject(), mark_of(token)]


def setup(app: FastAPI, container: Source, **options: Any) -> FastAPI:
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


def inject(function: Callable[..., Any], /) -> Callable[..., Any]:
    """
    Fill the marked parameters of a handler or a dependency, also the front door's, below FastAPI's decorator.

    `From` of this module needs no decorator; this is for functions that are written for more than FastAPI.  What the
    function raises is noted as the failure of the request.
    """
    run = filled(by_name(function))
    if run is function or generates(function):
        return run
    shown = inspect.signature(run)

    @functools.wraps(run)
    async def noted(*args: Any, asyncmeta_connection: HTTPConnection, **named: Any) -> Any:
        connection = asyncmeta_connection.scope
        made_here(connection)
        try:
            return await run(*args, **named)
        except FinalizationErrors as error:  # of a scope for this call: no middleware gives one
            failed(connection, error)
            raise answerable(connection, error) from None
        except Exception as error:
            failed(connection, error, status_of(error))
            raise

    asked = inspect.Parameter("asyncmeta_connection", inspect.Parameter.KEYWORD_ONLY, annotation=HTTPConnection)
    noted.__signature__ = shown.replace(parameters=[*shown.parameters.values(), asked])  # type: ignore[attr-defined]  # as above
    return noted


class ContainerRoute(APIRoute):
    """
    Fills all marked parameters of a handler in one call: ``APIRouter(route_class=ContainerRoute)``.

    Nothing but speed is added for ``From[T]`` of this module; the front door's own ``From[T]`` and ``Inject`` work too.
    FastAPI sees only the other parameters, so what it overrides by ``dependency_overrides`` does not reach the handler's own
    marked ones; those in its dependencies it does.

    Whatever the handler or one of its dependencies raises is noted as the failure of the request, so that finalizers roll
    back although the application answers it: where it is an answer itself, as ``HTTPException``, by its status.
    """

    #: Opens a scope for each call of a handler; None where that of the request is taken.
    container: ClassVar[Container | None] = None
    #: From which status on an answer is a failure of such a scope.
    error_status: ClassVar[int] = ERROR_STATUS
    #: Whether the scope of the request is taken where it has one of the container.
    shared: ClassVar[bool] = False

    @classmethod
    def of(cls, container: Container, *, error_status: int = ERROR_STATUS, shared: bool = False) -> type[ContainerRoute]:
        """
        Return a route class whose handlers are filled by *container*: ``APIRouter(route_class=ContainerRoute.of(container))``.

        The quickest way, for handlers that take all they need as parameters: each is one compiled call, and no middleware
        is needed but for start and stop (``ContainerMiddleware(..., connections=False)``).

        A scope begins when a handler is called and ends when it has returned: before FastAPI makes a response of what it
        returned, and before a ``StreamingResponse`` is sent.  For a generator, it ends when that is exhausted, or closed with
        its response since the client has gone.  Finalizers see what the handler raised, or that it answers with an error by
        itself; what they raise is the handler's, and answered as that.

        *What that changes.*  The scope is the handler's alone: dependencies, other middleware and `injected` functions that it
        calls do not see it, and have another session; it knows no request as context.  What the handler returns is made into a
        response when the session is closed: an object of an ORM that loads its attributes late has to be loaded, or turned
        into data, before.  With *shared*, a handler takes the scope of its request instead, where there is one: then all of
        that is as with a plain `ContainerRoute`.

        Args:
            container: Fills the handlers.
            error_status: From which status on an answer is a failure, also one that a handler raises.
            shared: Take the scope of the request where `ContainerMiddleware` has opened one of this container.

        Raises:
            GraphErrors: When a route is made: what its handler asks for does not fit together.
        """
        facts = {"container": container, "error_status": error_status, "shared": shared}
        return type(cls.__name__, (cls,), {**facts, "__module__": cls.__module__, "__doc__": cls.__doc__})

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        if isinstance(endpoint, _MethodEndpoint):  # of a class-based view, whose router makes its routes anew
            super().__init__(path, endpoint, **options)
            return
        container = self.container
        if container is None:
            prepared = _prepared(endpoint)
        elif generates(endpoint):
            prepared = _remembered(container.inject(_asynchronous(endpoint)))
        else:
            prepared = _in_own_scope(endpoint, container, self.error_status, options.get("status_code") or 200)
            if self.shared and prepared is not endpoint:
                prepared = _in_either(filled(by_name(endpoint)), prepared)
        if prepared is not endpoint and _is_method(endpoint):
            prepared = (_MethodStream if generates(endpoint) else _MethodEndpoint)(endpoint, prepared)
        super().__init__(path, prepared, **options)

    def get_route_handler(self) -> Callable[[Request], Any]:
        handle = super().get_route_handler()
        own = self.container is not None
        if own and generates(self.endpoint):
            handle = _closing(handle)

        async def noted(request: Request) -> Response:
            if not own:
                made_here(request.scope)
            elif self.shared:
                scope = request.scope.get(KEY)
                has_one = scope is not None and scope.container is self.container
                _HAS_SCOPE.set(has_one)
                if has_one:
                    made_here(request.scope)
            try:
                return await handle(request)
            except FinalizationErrors as error:
                failed(request.scope, error)
                raise answerable(request.scope, error) from None
            except Exception as error:
                failed(request.scope, error, status_of(error))
                raise

        return noted


def status_of(error: BaseException) -> int | None:
    """Return the status with which FastAPI answers what was raised; None where that is no answer."""
    return 422 if isinstance(error, RequestValidationError) else starlette.status_of(error)


# --- a scope of one's own -------------------------------------------------------------------------------


#: Whether the request of this task has a scope that its handler shares.
_HAS_SCOPE: Final[ContextVar[bool]] = ContextVar("asyncmeta_fastapi_has_scope", default=False)


def _in_either(shared: Callable[..., Any], own: Callable[..., Any]) -> Callable[..., Any]:
    """Return what runs *shared* where the request has a scope, else *own*."""

    @functools.wraps(own)
    async def either(*args: Any, **named: Any) -> Any:
        return await (shared if _HAS_SCOPE.get() else own)(*args, **named)

    return either


class _Answered:
    """What a handler raised that is an answer and no failure, on its way out of the scope."""

    __slots__ = ("error",)

    def __init__(self, error: Exception) -> None:
        self.error = error


class _Refused(ErrorResponse):
    """What a handler returned that is a failure, on its way out of the scope."""

    def __init__(self, status: int, answer: Any) -> None:
        super().__init__(status)
        self.answer = answer


def _in_own_scope(endpoint: Callable[..., Any], container: Container, border: int, usual: int) -> Callable[..., Any]:
    """Return *endpoint* filled by *container*, in a scope that ends as the answer says; *usual* is its status."""
    run = asynchronous(by_name(endpoint))
    if not marked(run):
        return endpoint

    @functools.wraps(run)
    async def judged(*args: Any, **named: Any) -> Any:
        cancellation = Cancellation()
        try:
            answer = await run(*args, **named)
        except HTTPException as error:
            if is_failure(error.status_code, border):
                raise
            return _Answered(error)
        await cancellation.tell()
        status = 0 if isinstance(answer, Response) else usual
        for one in (answer, *named.values(), *args):  # what it returns, or the response that FastAPI has given it to change
            if isinstance(one, Response):
                status = one.status_code or status
                if status >= border:
                    break
        if status >= border:
            raise _Refused(status, answer)
        return answer

    filled = container.inject(judged)

    @functools.wraps(filled)
    async def answered(*args: Any, **named: Any) -> Any:
        try:
            result = await filled(*args, **named)
        except _Refused as refused:
            if refused.__context__ is not None:  # finalizers have failed
                raise refused.__context__ from None
            return refused.answer
        if type(result) is _Answered:
            raise result.error
        return result

    return answered


def _asynchronous(endpoint: Callable[..., Any]) -> Callable[..., Any]:
    """Return a generator function that can be filled with what has to be awaited; a sync one runs in threads."""
    if inspect.isasyncgenfunction(inspect.unwrap(starlette.plain(endpoint))):
        return endpoint

    async def stream(*args: Any, **named: Any) -> AsyncIterator[Any]:
        items = endpoint(*args, **named)
        try:
            async for item in iterate_in_threadpool(items):
                yield item
        finally:
            await run_in_threadpool(items.close)

    # Not said to wrap it, or FastAPI would take it for a sync generator.
    functools.update_wrapper(stream, endpoint)
    del stream.__wrapped__  # type: ignore[attr-defined]  # set by the line above
    stream.__signature__ = inspect.signature(endpoint)  # type: ignore[attr-defined]  # functions take any attribute
    return stream


#: The generators that answer the request of this task.
_ANSWERS: Final[ContextVar[list[Any]]] = ContextVar("asyncmeta_fastapi_answers")


def _remembered(endpoint: Callable[..., Any]) -> Callable[..., Any]:
    """Return *endpoint*, whose generators are known to `_closing`."""

    @functools.wraps(endpoint)
    def answer(*args: Any, **named: Any) -> Any:
        generator = endpoint(*args, **named)
        _ANSWERS.get().append(generator)
        return generator

    return answer


def _closing(handle: Callable[[Request], Any]) -> Callable[[Request], Any]:
    """Close the generators of a request with its response: when a client goes away, the framework drops them as they stand."""

    async def handled(request: Request) -> Any:
        generators: list[Any] = []
        token = _ANSWERS.set(generators)
        try:
            response = await handle(request)
        finally:
            _ANSWERS.reset(token)

        async def respond(scope: Any, receive: Any, send: Any) -> None:
            try:
                await response(scope, receive, send)
            finally:
                for generator in generators:
                    await generator.aclose()

        return respond

    return handled


# --- the scope of the request ---------------------------------------------------------------------------


def _prepared(endpoint: Callable[..., Any]) -> Callable[..., Any]:
    """Return what FastAPI shall call: filled, without the marked parameters; a generator with each as a dependency."""
    names = marked(endpoint)
    if not names:
        return endpoint
    if not generates(endpoint):
        return filled(by_name(endpoint))

    # It runs when the response is on its way: in another task, where no scoped value should be made, and too late for
    # an error to be an answer.  FastAPI asks for dependencies before.
    found = marked_annotations(endpoint, names)
    if all(map(_is_dependency, found.values())):
        return endpoint
    signature = inspect.signature(endpoint)
    parameters = [
        one if name not in found or _is_dependency(found[name]) else one.replace(annotation=_marked(found[name]))
        for name, one in signature.parameters.items()
    ]

    @functools.wraps(endpoint)
    def stream(*args: Any, **named: Any) -> Any:
        return endpoint(*args, **named)

    stream.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]  # functions take any attribute
    return stream


def _is_dependency(annotation: Any) -> bool:
    return any(isinstance(mark, params.Depends) for mark in getattr(annotation, "__metadata__", ()))


# --- class-based views ----------------------------------------------------------------------------------


def _is_method(endpoint: Any) -> bool:
    """Tell whether *endpoint* is a function of a class body, which a decorator of the class will bind."""
    return inspect.isfunction(endpoint) and next(iter(inspect.signature(endpoint).parameters), "") == "self"


class _MethodEndpoint:
    """
    What FastAPI calls for a method of a class-based view: equal to that, for the decorator of its class looks for its methods.

    That one then says in the signature, of this and not of the method, where `self` comes from.
    """

    def __init__(self, method: Any, prepared: Callable[..., Any]) -> None:
        functools.update_wrapper(self, prepared)
        del self.__wrapped__  # type: ignore[attr-defined]  # set by the line above; its signature is the one here
        self.__signature__ = inspect.signature(prepared)
        self._method, self._prepared = method, prepared
        if not generates(method):
            # Older FastAPI looks at no `__call__`, asks asyncio for the object itself, and would call it in a thread.
            self._is_coroutine = getattr(asyncio.coroutines, "_is_coroutine", None)

    def __eq__(self, other: object) -> bool:
        return other is self or other is self._method

    def __hash__(self) -> int:
        return hash(self._method)

    async def __call__(_endpoint, /, **named: Any) -> Any:  # one of the names is `self`
        return await _endpoint._prepared(**named)


class _MethodStream(_MethodEndpoint):
    """The same for a generator."""

    async def __call__(_endpoint, /, **named: Any) -> AsyncIterator[Any]:  # type: ignore[override]  # of another kind
        async for item in _items(_endpoint._prepared(**named)):
            yield item


def _items(generator: Any) -> Any:
    return generator if inspect.isasyncgen(generator) else iterate_in_threadpool(generator)
