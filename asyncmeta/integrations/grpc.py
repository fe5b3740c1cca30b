"""A scope for each call of a grpc.aio server, of all four kinds."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, MutableSequence
from contextlib import aclosing, asynccontextmanager, contextmanager
from typing import Any

import grpc

from .. import Container, From, Scope, ScopeError, injected as inject

__all__ = ["CallFailed", "ContainerInterceptor", "From", "container_of", "inject", "setup"]

Behavior = Callable[[Any, Any], Any]  #: what a handler does: (request or its iterator, context) -> response or its iterator


class CallFailed(Exception):
    """What finalizers see where a handler set a status other than OK by itself: the call failed."""

    def __init__(self, code: grpc.StatusCode | int) -> None:
        super().__init__(code)
        self.code = code

    def __str__(self) -> str:
        return f"the handler set the status {getattr(self.code, 'name', self.code)}"


def setup(app: MutableSequence[Any], container: Container, *, level: str | None = None) -> MutableSequence[Any]:
    """
    Let *container* give each call a scope: ``grpc.aio.server(interceptors=setup([], container))``.

    grpc takes interceptors only when a server is made; so this takes those, puts one around them, and returns them.  The
    container is yours to open, before the server starts, and to close, after it has stopped.

    Args:
        app: The interceptors of the server.
        container: The container.
        level: The level of a call's scope; the innermost if not given.
    """
    app.insert(0, ContainerInterceptor(container, level=level))
    return app


def container_of(app: Iterable[Any]) -> Container:
    """
    Return the container that serves calls.

    Args:
        app: The interceptors of the server.

    Raises:
        ScopeError: None of them has one.
    """
    for one in app:
        if isinstance(one, ContainerInterceptor):
            return one.container
    raise ScopeError("none of these interceptors has a container: setup(interceptors, container)")


def _failure_of(code: Any) -> CallFailed | None:
    return None if code in (None, 0, grpc.StatusCode.OK) else CallFailed(code)


class _Noting:
    """The context of a call in a thread, which does not tell the status that was set; this one does."""

    def __init__(self, context: Any) -> None:
        self._context = context
        self.asyncmeta_code: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def set_code(self, code: Any) -> None:
        self.asyncmeta_code = code
        self._context.set_code(code)


class ContainerInterceptor(grpc.aio.ServerInterceptor):
    """
    Gives each call a scope: ``grpc.aio.server(interceptors=[ContainerInterceptor(container)])``.

    Put it first, so that other interceptors lie inside: those around it do not see the single responses of a stream, which
    are written to the call directly.  The container is yours to open, before the server starts, and to
    close, after it has stopped.

    *A call's life.*  The scope is ambient for injected functions.  It opens when the request is there, or, where requests
    stream, when the handler is called.  It ends when the handler is done, with the stream of responses where there is
    one, and before the response or the final status is sent: what fails then (a session that cannot commit) fails the call.
    ``grpc.aio.ServicerContext`` is given to the scope where the application declares it as context.

    *Failure.*  Finalizers see what left the handler: also what ``context.abort`` raises, and the cancellation when the
    client cancels, goes away or gives up.  Where the handler sets a status other than OK they see `CallFailed`.

    Handlers that are neither coroutines nor async generators run in threads of the server, with scopes that are built there
    without awaiting, and a context that takes note of the status that they set.

    Args:
        container: The container.
        level: The level of a call's scope; the innermost if not given.

    .. versionadded:: 0.1.0
    """

    def __init__(self, container: Container, *, level: str | None = None) -> None:
        self._container, self._level = container, level

    @property
    def container(self) -> Container:
        """The container."""
        return self._container

    async def intercept_service(self, continuation: Callable[[Any], Awaitable[Any]], handler_call_details: Any) -> Any:
        """Return the handler of a method, in its scope."""
        handler: Any = await continuation(handler_call_details)
        if handler is None:
            return handler
        if handler.request_streaming:
            if handler.response_streaming:
                make, behavior = grpc.stream_stream_rpc_method_handler, self._streaming(handler.stream_stream)
            else:
                make, behavior = grpc.stream_unary_rpc_method_handler, self._single(handler.stream_unary)
        elif handler.response_streaming:
            make, behavior = grpc.unary_stream_rpc_method_handler, self._streaming(handler.unary_stream)
        else:
            make, behavior = grpc.unary_unary_rpc_method_handler, self._single(handler.unary_unary)
        return make(behavior, handler.request_deserializer, handler.response_serializer)

    def _scope(self, context: Any) -> Scope:
        takes = self._container.takes(grpc.aio.ServicerContext, level=self._level)
        return self._container.scope({grpc.aio.ServicerContext: context} if takes else None, level=self._level)

    @contextmanager
    def _call_now(self, context: Any) -> Iterator[_Noting]:
        """The life of a call in a thread."""
        noting = _Noting(context)
        failure: CallFailed | None = None
        try:
            with self._scope(noting) as scope:
                with scope.ambient():
                    yield noting
                failure = _failure_of(noting.asyncmeta_code)
                if failure is not None:
                    raise failure
        except CallFailed as error:
            if error is not failure or hasattr(error, "__notes__"):  # see below
                raise

    @asynccontextmanager
    async def _call(self, context: Any) -> AsyncIterator[None]:
        """The life of a call."""
        failure: CallFailed | None = None
        try:
            async with self._scope(context) as scope:
                with scope.ambient():
                    yield
                failure = _failure_of(context.code())
                if failure is not None:
                    raise failure
        except CallFailed as error:
            # The status stands.  A note says that finalizers failed, too: that has to be heard.
            if error is not failure or hasattr(error, "__notes__"):
                raise

    # A behavior stays of the kind that it was: grpc, and interceptors around this one, treat kinds differently.

    def _single(self, behavior: Behavior) -> Behavior:
        """Wrap what gives one response, or writes its responses by itself."""
        if not inspect.iscoroutinefunction(behavior):

            def answer_now(request: Any, context: Any) -> Any:
                with self._call_now(context) as noting:
                    return behavior(request, noting)

            return answer_now

        async def answer(request: Any, context: Any) -> Any:
            async with self._call(context):
                return await behavior(request, context)

        return answer

    def _streaming(self, behavior: Behavior) -> Behavior:
        """Wrap what gives responses one by one."""
        if inspect.iscoroutinefunction(behavior):
            return self._single(behavior)
        if not inspect.isasyncgenfunction(behavior):

            def stream_now(request: Any, context: Any) -> Iterator[Any]:
                with self._call_now(context) as noting:
                    yield from behavior(request, noting)

            return stream_now

        async def stream(request: Any, context: Any) -> AsyncIterator[Any]:
            async with self._call(context), aclosing(behavior(request, context)) as responses:
                async for response in responses:
                    # Not yielded: when a call is cancelled, a generator that stands at its yield is dropped, and the scope
                    # would end at some other time, in some other task.
                    try:
                        await context.write(response)
                    except grpc.aio.InternalError as error:
                        # The client has gone, and grpc cancels the call a moment later: it means the same, whichever is first.
                        raise asyncio.CancelledError("the response cannot be sent") from error
            return
            yield

        return stream
