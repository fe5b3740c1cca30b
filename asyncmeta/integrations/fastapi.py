"""
FastAPI: ``app.add_middleware(ContainerMiddleware, container=Container(App))``, then ``From[T]`` in any handler or dependency.

Needs the extra ``fastapi``.
"""

from __future__ import annotations

import functools
import inspect
import weakref
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, TypeVar

from fastapi import Depends, Request, Response, params
from fastapi.requests import HTTPConnection
from fastapi.routing import APIRoute

from .. import Container, DeclarationError, Inject, ScopeError, injected
from .asgi import KEY, failed
from .starlette import ContainerMiddleware, filled, generates

__all__ = ["ContainerMiddleware", "ContainerRoute", "From", "dependency"]

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
            if scope is None:
                raise ScopeError(
                    "no scope is around: app.add_middleware(ContainerMiddleware, container=...), and without connections=False "
                    "where websockets or dependencies ask for values"
                )
            return await scope.get(token)

        found = _DEPENDENCIES.setdefault(token, provided)
    return found


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


def _marked(token: Any) -> Any:
    """Return the annotation that both we and FastAPI know."""
    # FastAPI keeps nothing for the request: the scope does, as the lifetime says.
    return Annotated[token, Inject(), Depends(dependency(token), use_cache=False)]


class ContainerRoute(APIRoute):
    """
    Fills all marked parameters of a handler in one call: ``APIRouter(route_class=ContainerRoute)``.

    Nothing but speed is added for ``From[T]`` of this module; the front door's own ``From[T]`` and ``Inject`` work too.
    FastAPI sees only the other parameters, so what it overrides by ``dependency_overrides`` does not reach the handler's own
    marked ones; those in its dependencies it does.

    Whatever the handler or one of its dependencies raises is noted as the failure of the request: finalizers roll back.
    """

    #: Opens a scope for each call of a handler; None where that of the request is taken.
    container: ClassVar[Container | None] = None

    @classmethod
    def of(cls, container: Container) -> type[ContainerRoute]:
        """
        Return a route class whose handlers are filled by *container*: ``APIRouter(route_class=ContainerRoute.of(container))``.

        The quickest way, for handlers that take all they need as parameters: each is one compiled call, and no middleware
        is needed but for start and stop (``ContainerMiddleware(..., connections=False)``).

        A scope begins when a handler is called and ends when it has returned: before FastAPI makes a response of what it
        returned, and before a ``StreamingResponse`` is sent.  For a generator, it ends when that is exhausted, or closed with
        its response since the client has gone.  Finalizers see what the handler raised, and a commit that fails fails the
        request.  The scope is the handler's alone: dependencies, other middleware and `injected` functions that it calls do
        not see it, and it knows no request as context.

        Raises:
            GraphErrors: When a route is made: what its handler asks for does not fit together.
        """
        return type(cls.__name__, (cls,), {"container": container, "__module__": cls.__module__, "__doc__": cls.__doc__})

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        container = self.container
        prepared = _prepared(endpoint) if container is None else filled(endpoint, container.inject)
        if container is not None and generates(endpoint):
            prepared = _remembered(prepared)
        super().__init__(path, prepared, **options)

    def get_route_handler(self) -> Callable[[Request], Any]:
        handle = super().get_route_handler()
        if self.container is not None:
            return _closing(handle) if generates(self.endpoint) else handle

        async def noted(request: Request) -> Response:
            try:
                return await handle(request)
            except Exception as error:
                failed(request.scope, error)
                raise

        return noted


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
                    if inspect.isasyncgen(generator):
                        await generator.aclose()
                    else:
                        generator.close()

        return respond

    return handled


def _prepared(endpoint: Callable[..., Any]) -> Callable[..., Any]:
    """Return what FastAPI shall call: filled, without the marked parameters; a generator with each as a dependency."""
    signature = inspect.signature(endpoint, eval_str=True)
    left = inspect.signature(injected(endpoint)).parameters
    if len(left) == len(signature.parameters):
        return endpoint
    if not generates(endpoint):
        return filled(endpoint)

    # It runs when the response is on its way: in another task, where no scoped value should be made, and too late for
    # an error to be an answer.  FastAPI asks for dependencies before.
    parameters = [
        one if name in left or _is_dependency(one.annotation) else one.replace(annotation=_marked(one.annotation))
        for name, one in signature.parameters.items()
    ]
    if parameters == [*signature.parameters.values()]:
        return endpoint

    @functools.wraps(endpoint)
    def stream(*args: Any, **named: Any) -> Any:
        return endpoint(*args, **named)

    stream.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]  # functions take any attribute
    return stream


def _is_dependency(annotation: Any) -> bool:
    return any(isinstance(mark, params.Depends) for mark in getattr(annotation, "__metadata__", ()))
