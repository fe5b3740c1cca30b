"""A scope for each call of a grpc.aio server, of all four kinds."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, MutableSequence
from contextlib import aclosing, asynccontextmanager, contextmanager
from typing import Any, Final, overload

import grpc

from .. import Container, From, Scope, ScopeError, injected as inject
from ._applications import check_application
from ._endings import Cancellation
from ._handlers import Handler, handler as _handler

__all__ = ["CallFailed", "ContainerInterceptor", "From", "container_of", "inject", "setup"]

#: What to do where nobody fills a mark.
CURE: Final = "put @inject of asyncmeta.integrations.grpc, or @injected, around it"

_KINDS: Final = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")

Behavior = Callable[[Any, Any], Any]  #: what a handler does: (request or its iterator, context) -> response or its iterator


class CallFailed(Exception):
    """What finalizers see where a handler set a status other than OK by itself: the call failed."""

    def __init__(self, code: grpc.StatusCode | int) -> None:
        super().__init__(code)
        self.code = code

    def __str__(self) -> str:
        return f"the handler set the status {getattr(self.code, 'name', self.code)}"


@overload
def setup(app: grpc.aio.Server, container: Container, *, level: str | None = None) -> grpc.aio.Server: ...
@overload
def setup(app: MutableSequence[Any], container: Container, *, level: str | None = None) -> MutableSequence[Any]: ...
def setup(app: Any, container: Container, *, level: str | None = None) -> Any:
    """
    Let *container* give each call a scope: ``server = setup(grpc.aio.server(), container)``.

    The server that it returns takes the handlers, and checks what they ask for when it starts: all problems at once.
    Interceptors lie outside of the scopes.  Where they shall lie inside, give it those, before the server is made, and nothing
    is checked: ``grpc.aio.server(interceptors=setup([...], container))``.

    The container is yours to open, before the server starts, and to close, after it has stopped.

    Args:
        app: The server, before it has handlers; or its interceptors.
        container: The container.
        level: The level of a call's scope; the innermost if not given.

    Returns:
        A server in the place of *app*, or the interceptors with one more.
    """
    interceptor = ContainerInterceptor(container, level=level)
    if isinstance(app, grpc.aio.Server):
        return _Served(app, interceptor)
    app.insert(0, interceptor)
    return app


def container_of(app: Any) -> Container:
    """
    Return the container that serves calls.

    Args:
        app: The server that `setup` has returned, or the interceptors of one.

    Raises:
        ScopeError: There is none.
    """
    if isinstance(app, grpc.aio.Server):
        if isinstance(app, _Served):
            return app.interceptor.container
        raise ScopeError("this server has no container: server = setup(server, container) gives it one")
    for one in app:
        if isinstance(one, ContainerInterceptor):
            return one.container
    raise ScopeError("none of these interceptors has a container: setup(interceptors, container)")


def handlers_of(app: Any) -> Iterator[Handler]:
    """Yield the methods of the services of a server that `setup` has returned."""
    for called, method in getattr(app, "methods", {}).items():
        yield _handler(next(filter(None, (getattr(method, kind) for kind in _KINDS))), called)


class _Served(grpc.aio.Server):
    """A server whose handlers run in scopes and are known: hands everything on to the one below."""

    def __init__(self, below: grpc.aio.Server, interceptor: ContainerInterceptor) -> None:
        self._below = below
        self.interceptor = interceptor
        self.methods: dict[str, Any] = {}  #: the handler of each method, as it was added

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Iterable[Any]) -> None:
        added = list(generic_rpc_handlers)
        for one in added:
            for name, method in getattr(one, "_method_handlers", {}).items():  # grpc's own; another one tells no names
                self.methods.setdefault(name, method)
        self._below.add_generic_rpc_handlers(tuple(_Generic(one, self.interceptor) for one in added))

    def add_registered_method_handlers(self, service_name: str, method_handlers: Mapping[str, Any]) -> None:
        self.methods.update({f"/{service_name}/{name}": method for name, method in method_handlers.items()})
        below: Any = self._below
        below.add_registered_method_handlers(
            service_name, {name: self.interceptor.scoped(method) for name, method in method_handlers.items()}
        )

    async def start(self) -> None:
        check_application(self, self.interceptor.container)
        await self._below.start()

    def add_insecure_port(self, address: str) -> int:
        return self._below.add_insecure_port(address)

    def add_secure_port(self, address: str, server_credentials: grpc.ServerCredentials) -> int:
        return self._below.add_secure_port(address, server_credentials)

    async def stop(self, grace: float | None) -> None:
        await self._below.stop(grace)

    async def wait_for_termination(self, timeout: float | None = None) -> bool:
        return await self._below.wait_for_termination(timeout)


class _Generic(grpc.GenericRpcHandler):
    """Finds the handlers that another one finds, each in its scope."""

    def __init__(self, below: Any, interceptor: ContainerInterceptor) -> None:
        self._below, self._interceptor = below, interceptor

    def service(self, handler_call_details: Any) -> Any:
        found = self._below.service(handler_call_details)
        return None if found is None else self._interceptor.scoped(found)


def _failure_of(code: Any) -> CallFailed | None:
    return None if code in (None, 0, grpc.StatusCode.OK) else CallFailed(code)


class _Requests:
    """The requests of a client, as they come."""

    def __init__(self, requests: Any) -> None:
        self._requests = requests
        #: whether the handler has heard the end of them; None where it has not iterated: it may read by its context
        self.ended: bool | None = None

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        self.ended = False
        try:
            return await anext(self._requests)
        except StopAsyncIteration:
            self.ended = True
            raise


async def _be_told(context: Any) -> None:
    """
    Let the cancellation of a call arrive whose client's requests have ended: with it they end, too, a moment before.

    What is sent needs a turn of grpc's own queue, and stands behind the news in that; or it fails at once.

    Raises:
        CancelledError: The client has gone, perhaps in the middle of its requests.
    """
    try:
        await context.send_initial_metadata(())
    except grpc.aio.UsageError:  # it is sent already
        await asyncio.sleep(0)
    except grpc.aio.InternalError as error:
        raise asyncio.CancelledError("the client has gone") from error


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
    without awaiting, and a context that takes note of the status that they set.  grpc does not tell these that their client has
    gone.

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
        return None if handler is None else self.scoped(handler)

    def scoped(self, handler: Any) -> Any:
        """Return a method's handler, in its scope."""
        if handler.request_streaming:
            if handler.response_streaming:
                make, behavior = grpc.stream_stream_rpc_method_handler, self._streaming(handler.stream_stream, hears=True)
            else:
                make, behavior = grpc.stream_unary_rpc_method_handler, self._single(handler.stream_unary, hears=True)
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
    async def _call(self, context: Any, requests: _Requests | None) -> AsyncIterator[None]:
        """The life of a call."""
        failure: CallFailed | None = None
        cancellation = Cancellation()
        try:
            async with self._scope(context) as scope:
                with scope.ambient():
                    yield
                if requests is not None and requests.ended is not False:
                    await _be_told(context)
                await cancellation.tell()
                failure = _failure_of(context.code())
                if failure is not None:
                    raise failure
        except CallFailed as error:
            # The status stands.  A note says that finalizers failed, too: that has to be heard.
            if error is not failure or hasattr(error, "__notes__"):
                raise

    # A behavior stays of the kind that it was: grpc, and interceptors around this one, treat kinds differently.

    def _single(self, behavior: Behavior, *, hears: bool = False) -> Behavior:
        """Wrap what gives one response, or writes its responses by itself."""
        if not inspect.iscoroutinefunction(behavior):

            def answer_now(request: Any, context: Any) -> Any:
                with self._call_now(context) as noting:
                    return behavior(request, noting)

            return answer_now

        async def answer(request: Any, context: Any) -> Any:
            requests = _Requests(request) if hears else None
            async with self._call(context, requests):
                return await behavior(request if requests is None else requests, context)

        return answer

    def _streaming(self, behavior: Behavior, *, hears: bool = False) -> Behavior:
        """Wrap what gives responses one by one."""
        if inspect.iscoroutinefunction(behavior):
            return self._single(behavior, hears=hears)
        if not inspect.isasyncgenfunction(behavior):

            def stream_now(request: Any, context: Any) -> Iterator[Any]:
                with self._call_now(context) as noting:
                    yield from behavior(request, noting)

            return stream_now

        async def stream(request: Any, context: Any) -> AsyncIterator[Any]:
            requests = _Requests(request) if hears else None
            given = request if requests is None else requests
            async with self._call(context, requests), aclosing(behavior(given, context)) as responses:
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
