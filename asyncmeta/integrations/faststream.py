"""A container that lives as long as a FastStream application, and a scope for each message."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

from faststream import BaseMiddleware, Context, ContextRepo, Depends, ExceptionMiddleware, FastStream, StreamMessage
from faststream.exceptions import AckMessage

from .. import Container, Inject, Scope, ScopeError, injected, injected as inject
from ._applications import check_application
from ._endings import Cancellation
from ._handlers import Handler, misread_by
from ._marks import marked, marked_annotations

__all__ = ["ContainerMiddleware", "From", "container_of", "inject", "lifespan", "setup"]

#: What to do where nobody fills a mark.
CURE: Final = "take From of asyncmeta.integrations.faststream, or put @inject below the subscriber's decorator"

T = TypeVar("T")

if TYPE_CHECKING:
    From = Annotated[T, Inject()]
else:

    class From:
        """
        Marks a parameter of a subscriber, or of another dependency: ``session: From[Session]``.

        It is one of FastStream's own dependencies, so it works wherever those do, in plain functions too, with no decorator,
        and the schema does not show it.  ``From[Annotated[T, Inject(token)]]`` asks for another token.

        .. versionadded:: 0.1.0
        """

        def __class_getitem__(cls, wanted: Any) -> Any:
            marks = [Inject(), Depends(_fetching(wanted), cast=False)]
            if "fastapi" in sys.modules:  # for subscribers of FastStream's plugin, whose parameters FastAPI reads
                marks.append(_of_fastapi(wanted))
            return Annotated[(wanted, *marks)]


def _of_fastapi(wanted: Any) -> Any:
    """Return FastAPI's own mark for the same value."""
    return import_module(f"{__package__}.fastapi").mark_of(wanted)


@functools.cache
def _fetching(wanted: Any) -> Callable[..., Any]:
    """Return what fetches a value; always the same, so that FastStream asks once for a message and tests can replace it."""

    async def fetch(scope: Annotated[Scope, Inject()]) -> Any:
        return await scope.get(wanted)

    fetch.__qualname__ = "a subscriber without ContainerMiddleware"  # as what the errors of a missing scope know it
    return injected(fetch)


def lifespan(container: Container, *, start: bool = True) -> Callable[[], AbstractAsyncContextManager[None]]:
    """
    Let *container* live with an application: ``FastStream(broker, lifespan=lifespan(container))``.

    It is entered before the broker starts, and its singletons are built unless *start* is false; what fails there fails the
    start.  It is closed when the broker has stopped.  A lifespan of your own does the same with ``async with container``.

    .. versionadded:: 0.1.0
    """

    @asynccontextmanager
    async def live(app: Any = Context("app", default=None)) -> AsyncIterator[None]:  # noqa: B008  # so FastStream reads it
        async with container:
            if isinstance(app, FastStream):  # not where somebody calls this by hand
                _begun(app, container)
            if start:
                await container.start()
            yield

    return live


def setup(app: FastStream, container: Container, *, start: bool = True, level: str | None = None) -> FastStream:
    """
    Let *container* live with an application that is made already, and give each message of its brokers a scope.

    The scope is inside of middleware that the brokers have; add an ``ExceptionMiddleware`` before.

    Args:
        app: The application, with its brokers, before it has started.
        container: The container.
        start: Whether singletons are built at start-up; else when they are first needed.
        level: The level of a message's scope; the innermost if not given.

    Returns:
        The application.
    """
    for broker in _brokers(app):
        broker.add_middleware(ContainerMiddleware(container, level=level))

    async def begin() -> None:
        await container.__aenter__()
        _begun(app, container)
        if start:
            await container.start()

    async def end() -> None:
        await container.__aexit__(None, None, None)

    app.on_startup(begin)
    app.after_shutdown(end)
    return app


def container_of(app: FastStream) -> Container:
    """
    Return the container that serves *app*.

    Raises:
        ScopeError: None of its brokers has one.
    """
    for broker in _brokers(app):
        for one in broker.config.broker_middlewares:
            if isinstance(one, ContainerMiddleware):
                return one.container
    raise ScopeError("no broker of this application has a ContainerMiddleware: setup(app, container) gives them one")


def handlers_of(app: FastStream) -> Iterator[Handler]:
    """Yield the subscribers of *app*; what their dependencies ask for is in these."""
    for broker in _brokers(app):
        for subscriber in broker.subscribers:
            for call in subscriber.calls:
                function = getattr(call.handler, "_declared_call", None) or getattr(call.handler, "_original_call", call.handler)
                # What it reads it reads by pydantic, which the marks refuse; by msgspec nobody does.
                there = marked(function)
                names = [name for name in there if not _is_dependency(function, name)]
                yield Handler(function, "a subscriber", tuple(names), misread_by(function, but=there))
                yield from _dependencies_of(function)


def _dependencies_of(function: Any) -> Iterator[Handler]:
    for parameter in inspect.signature(function).parameters.values():
        for one in (parameter.default, *getattr(parameter.annotation, "__metadata__", ())):
            inner = getattr(one, "dependency", None)
            if inner is not None and getattr(inner, "__module__", "") != __name__:
                yield Handler(inner, f"dependency {parameter.name}")
                yield from _dependencies_of(inner)


def _is_dependency(function: Any, name: str) -> bool:
    return any(hasattr(mark, "dependency") for mark in getattr(marked_annotations(function, [name])[name], "__metadata__", ()))


def _brokers(app: Any) -> list[Any]:
    return list(getattr(app, "brokers", None) or filter(None, [getattr(app, "broker", None)]))


def _begun(app: FastStream, container: Container) -> None:
    """
    An application starts: check what its subscribers ask for, and in which order middleware stands.

    Raises:
        GraphErrors: It cannot be given.
        RuntimeError: What answers exceptions stands where nobody would hear of them.
    """
    for broker in _brokers(app):
        stacks = [broker.config.broker_middlewares, *(getattr(one, "_broker_middlewares", ()) for one in broker.subscribers)]
        for middlewares in stacks:  # of a subscriber: its routers', too
            inside = False
            for one in middlewares:
                if inside and isinstance(one, ExceptionMiddleware):
                    raise RuntimeError(
                        "an ExceptionMiddleware inside of ContainerMiddleware answers what handlers raise, and their sessions "
                        "would commit: let it stand before, middlewares=[ExceptionMiddleware(...), ContainerMiddleware(...)], "
                        "and not at a router"
                    )
                inside = inside or isinstance(one, ContainerMiddleware)
    check_application(app, container)


class ContainerMiddleware:
    """
    Gives each message a scope: ``RedisBroker(middlewares=[ContainerMiddleware(container)])``, with any broker.

    *A message's life.*  The scope is ambient for injected functions, and opens when a subscriber was found and the message
    decoded.  It ends when the handler is done: before its result is published, and before the message is acknowledged.
    What fails then (a session that cannot commit) is a failure of the message.  The message is given to the scope as
    ``StreamMessage``, or as what it is with its broker, where the application declares that as context.

    *Failure.*  Finalizers see what the handler raised, and FastStream's policy decides what becomes of the message.
    ``AckMessage`` is none.

    Args:
        container: The container.
        level: The level of a message's scope; the innermost if not given.

    .. versionadded:: 0.1.0
    """

    def __init__(self, container: Container, *, level: str | None = None) -> None:
        self._container, self._level = container, level

    @property
    def container(self) -> Container:
        """The container."""
        return self._container

    def __call__(self, msg: Any, /, *, context: ContextRepo) -> BaseMiddleware:
        """Return the middleware for one message."""
        return _Message(msg, context=context, container=self._container, level=self._level)


class _Message(BaseMiddleware):
    def __init__(self, msg: Any, /, *, context: ContextRepo, container: Container, level: str | None) -> None:
        super().__init__(msg, context=context)
        self._container, self._level = container, level

    async def consume_scope(self, call_next: Callable[[Any], Any], msg: StreamMessage[Any]) -> Any:
        container = self._container
        given = {kind: msg for kind in type(msg).__mro__ if container.takes(kind, level=self._level)}
        acknowledged: AckMessage | None = None
        cancellation = Cancellation()
        async with container.scope(given or None, level=self._level) as scope:
            with scope.ambient():
                try:
                    answer = await call_next(msg)
                    await cancellation.tell()
                    return answer
                except AckMessage as error:
                    acknowledged = error
        raise acknowledged
