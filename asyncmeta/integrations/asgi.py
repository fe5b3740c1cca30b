"""
A container that lives as long as an ASGI application, and a scope for each of its connections; for any framework.

Every framework that speaks ASGI is wrapped in the same way, and none is imported here.
"""

from __future__ import annotations

import traceback
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, ClassVar, Final, Literal

from .. import Container, Scope, Token

__all__ = ["CONNECTION", "KEY", "ContainerMiddleware", "ErrorResponse", "failed"]

Connection = MutableMapping[str, Any]  #: what ASGI calls the scope of a connection
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Any, Any, Any], Awaitable[None]]

#: The context token of the connection: ASGI's own mapping.  `class App(AsyncServiceBase, context=[CONNECTION])`
CONNECTION: Final = Token[MutableMapping[str, Any]]("asgi.connection")

#: Under this name the connection holds its scope, and the state of the application's lifespan the container.
KEY: Final = "asyncmeta"

_LIFE: Final = "asyncmeta.life"


class ErrorResponse(Exception):
    """What finalizers see where the application made a response of an exception by itself: the request failed."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status

    def __str__(self) -> str:
        return f"the application answered with status {self.status}"


def failed(connection: Connection, error: BaseException) -> None:
    """
    Note that a connection's handler failed, where its framework is about to turn the exception into a response.

    The scope of the connection ends with *error*, so that finalizers roll back.
    """
    life: _Life | None = connection.get(_LIFE)
    if life is not None:
        life.failure = error


class ContainerMiddleware:
    """
    Wraps an ASGI application: ``app = ContainerMiddleware(app, Container(App))``, or as a framework's middleware.

    *The application's life.*  The container is entered before the application's own start-up, in the task of the
    lifespan, and its singletons are built; what fails there fails the start-up.  It is closed in the same task, after the
    application's shutdown.  An application that knows nothing of lifespans has one all the same.  A server that
    speaks no lifespan, or a test that sends none, finds a container that was entered elsewhere, or one that opens
    when it is first asked and is left open.

    *A connection's life.*  Each ``http`` and each ``websocket`` connection has a scope, in the connection's mapping under
    `KEY`, and ambient for injected functions.  `CONNECTION` is given to it where the application declares that.

    *When a scope ends.*  That of a websocket: when the application is done with the connection.  That of a request: when
    the response is complete, and before it is sent; what fails then (a session that cannot commit) becomes a failed
    request instead of a success that was none.  A response that streams keeps its scope until the application is done,
    and so do all with ``ends="after"``: background work that follows the response finds it open.

    *Failure.*  Finalizers see the exception that left the application, the one given to `failed`, or an
    `ErrorResponse` where the status is *error_status* or above.  When a client goes away they see what the framework
    makes of that: mostly a cancellation.

    Args:
        app: The application.
        container: The container, or what makes one for each lifespan; it runs in the server's loop.
        start: Whether singletons are built at start-up; else when they are first needed.
        level: The level of a request's scope; the innermost if not given.
        websocket_level: The level of a websocket's scope; *level* if not given.
        context: Gives more context values for a connection.
        ends: Whether a request's scope ends "before" its response is sent, or "after".
        error_status: From which status on a response is a failure; 500 if not given.
    """

    #: What *error_status* is where it is not given.
    failing_status: ClassVar[int] = 500

    #: The context values for each kind of connection: token, and what makes its value of the connection.
    offered: ClassVar[dict[str, dict[Any, Callable[[Connection], object]]]] = {
        "http": {CONNECTION: lambda connection: connection},
        "websocket": {CONNECTION: lambda connection: connection},
    }

    def __init__(
        self,
        app: Application,
        container: Container | Callable[[], Container],
        *,
        start: bool = True,
        level: str | None = None,
        websocket_level: str | None = None,
        context: Callable[[Connection], Mapping[Any, object]] | None = None,
        ends: Literal["before", "after"] = "before",
        error_status: int | None = None,
    ) -> None:
        if ends not in ("before", "after"):
            raise ValueError(f'ends={ends!r}: a request\'s scope ends "before" its response is sent, or "after"')
        self.app = app
        self._make = container if not isinstance(container, Container) else None
        self._container = container if isinstance(container, Container) else None
        self._start = start
        self._levels = {"http": level, "websocket": level if websocket_level is None else websocket_level}
        self._context = context
        self._early = ends == "before"
        self._error_status = self.failing_status if error_status is None else error_status
        self._asked: Container | None = None  #: who was asked what it takes, and the answer
        self._taken: dict[str, list[tuple[Any, Callable[[Connection], object]]]] = {}

    @property
    def container(self) -> Container:
        """The container of the lifespan that runs; where the middleware makes its containers, the newest."""
        if self._container is None:
            assert self._make is not None
            self._container = self._make()
        return self._container

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind not in self._levels or KEY in scope:
            if kind == "lifespan":
                await self._lifespan(scope, receive, send)
            else:
                await self.app(scope, receive, send)  # a kind unknown to us, or one that is wrapped already
            return

        # In one piece: each request pays for every call in here.
        container = self._container or self.container
        taken = self._taken[kind] if container is self._asked else self._ask(container)[kind]
        context: dict[Any, object] | None = {token: make(scope) for token, make in taken} if taken else None
        if self._context is not None:
            context = {**(context or {}), **self._context(scope)}
        opened = container.scope(context, level=self._levels[kind])
        life = _Life(opened, send, self._error_status)
        scope[KEY], scope[_LIFE] = opened, life
        try:
            with opened.ambient():
                await self.app(scope, receive, life.send_early if self._early and kind == "http" else life.send)
        except BaseException as error:
            await life.end(error)
            raise
        if life.open:
            await life.end(None)
        if life.held is not None:
            await life.flush()

    def _ask(self, container: Container) -> dict[str, list[tuple[Any, Callable[[Connection], object]]]]:
        """Ask a container, once, which of the values that are offered it takes."""
        self._taken = {
            kind: [(token, make) for token, make in offered.items() if container.takes(token)]
            for kind, offered in self.offered.items()
        }
        self._asked = container
        return self._taken

    # --- the application ---

    async def _lifespan(self, scope: Connection, receive: Receive, send: Send) -> None:
        if self._make is not None:
            self._container = self._make()
        container = self.container
        if "state" in scope:
            scope["state"][KEY] = container
        await _Lifespan(container, receive, send).run(self.app, scope, start=self._start)


class _Life:
    """The end of a connection's scope: once, and as early as it may be."""

    __slots__ = ("_error_status", "_scope", "_send", "_status", "failure", "held", "open")

    def __init__(self, scope: Scope, send: Send, error_status: int) -> None:
        self._scope, self._send, self._error_status = scope, send, error_status
        self._status = 0
        self.held: Message | None = None  #: the start of a response that can still be taken back
        self.open = True
        self.failure: BaseException | None = None  #: what a handler raised and its framework answered

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
        await self._send(message)

    async def send_early(self, message: Message) -> None:
        """Hold the start back until it is known whether the response streams; if not, end the scope before it goes out."""
        kind = message["type"]
        if kind == "http.response.start":
            self._status = message["status"]
            self.held = message
            return
        held = self.held
        if held is not None:
            streams = kind != "http.response.body" or message.get("more_body", False) or held.get("trailers", False)
            if streams or not self.open:
                pass
            elif self.failure is None and self._status < self._error_status:
                self.open = False  # as `end` does, without the call: nearly every request ends here
                await self._scope.__aexit__(None, None, None)
            else:
                await self.end(None)
            self.held = None
            await self._send(held)
        await self._send(message)

    async def flush(self) -> None:
        """Send what is held back."""
        held, self.held = self.held, None
        if held is not None:
            await self._send(held)

    async def end(self, error: BaseException | None) -> None:
        """End the scope, if it is open, with what went wrong."""
        if not self.open:
            return
        self.open = False
        error = error or self.failure
        if error is None and self._status >= self._error_status:
            error = ErrorResponse(self._status)
        await self._scope.__aexit__(None if error is None else type(error), error, None)


class _Lifespan:
    """
    A container around an application's own start-up and shutdown, whether the application has any or not.

    The application talks to us, and we to the server: it hears of the start-up when the container is open, and the server of
    the end when it is closed.
    """

    __slots__ = ("_answer", "_container", "_heard", "_receive", "_send", "_started")

    def __init__(self, container: Container, receive: Receive, send: Send) -> None:
        self._container, self._receive, self._send = container, receive, send
        self._heard = 0  #: how many messages of the server the application has heard
        self._started = False  #: the server was told that all is up
        self._answer: Message | None = None  #: how the application ended, which the server hears when the container is closed

    async def run(self, app: Application, scope: Connection, *, start: bool) -> None:
        await self._receive()  # the start-up message: it is passed on later
        try:
            async with self._container:
                if start:
                    await self._container.start()
                await self._live(app, scope)
        except Exception as error:
            if self._answer is None or not self._answer["type"].endswith(".failed"):
                self._answer = {
                    "type": "lifespan.shutdown.failed" if self._started else "lifespan.startup.failed",
                    "message": "".join(traceback.format_exception(error)),
                }
            await self._send(self._answer)
            raise
        await self._send(self._answer or {"type": "lifespan.shutdown.complete"})

    async def _live(self, app: Application, scope: Connection) -> None:
        """Let the application live; where it knows no lifespan, or is done with it at once, stand in for it."""
        try:
            await app(scope, self._pass_on, self._hold)
        except Exception:
            if self._heard:
                raise
            # It does not speak this protocol, and said so as ASGI wants it: by raising.
        if not self._started and self._answer is None:
            await self._tell_started({"type": "lifespan.startup.complete"})
        if self._answer is None and self._heard < 2:
            await self._receive()  # the shutdown

    async def _pass_on(self) -> Message:
        self._heard += 1
        return {"type": "lifespan.startup"} if self._heard == 1 else await self._receive()

    async def _hold(self, message: Message) -> None:
        if message["type"] == "lifespan.startup.complete":
            await self._tell_started(message)
        else:
            self._answer = message

    async def _tell_started(self, message: Message) -> None:
        self._started = True
        await self._send(message)
