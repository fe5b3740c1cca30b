"""A container that lives as long as a FastStream application, and a scope for each message."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from faststream import BaseMiddleware, ContextRepo, Depends, StreamMessage
from faststream.exceptions import AckMessage

from .. import Container, Inject, Scope, injected

__all__ = ["ContainerMiddleware", "From", "lifespan"]

T = TypeVar("T")

if TYPE_CHECKING:
    From = Annotated[T, Depends]
else:

    class From:
        """
        Marks a parameter of a subscriber, or of another dependency: ``session: From[Session]``.

        It is one of FastStream's own dependencies, so it works wherever those do, in plain functions too, with no decorator,
        and the schema does not show it.  ``From[Annotated[T, Inject(token)]]`` asks for another token.

        .. versionadded:: 0.1.0
        """

        def __class_getitem__(cls, wanted: Any) -> Any:
            return Annotated[wanted, Depends(_fetching(wanted), cast=False)]


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
    async def live() -> AsyncIterator[None]:
        async with container:
            if start:
                await container.start()
            yield

    return live


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
        async with container.scope(given or None, level=self._level) as scope:
            with scope.ambient():
                try:
                    return await call_next(msg)
                except AckMessage as error:
                    acknowledged = error
        raise acknowledged
