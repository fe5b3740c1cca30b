"""
A container that lives as long as an ASGI application, and a scope for each of its connections; for any framework.

Every framework that speaks ASGI is wrapped in the same way, and none is imported here.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import Any, ClassVar, Final, Literal

from .. import Container, Scope, Token
from .commands import Source, container_of

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
_LOGGER: Final = logging.getLogger("asyncmeta")


class ErrorResponse(Exception):
    """
    What finalizers see of a request that failed without an exception that we could see.

    The application answered with an error by itself, closed a websocket with 1011, or never completed its response, as
    some frameworks do when the client goes away.
    """

    def __init__(self, status: int | None) -> None:
        super().__init__(status)
        self.status = status  #: of the response, or the code of a websocket's end; None where the response is not complete

    def __str__(self) -> str:
        if self.status is None:
            return "the application did not complete its response"
        return f"the application answered with status {self.status}"


def failed(connection: Connection, error: BaseException) -> None:
    """
    Note that a connection's handler failed, where its framework is about to turn the exception into a response.

    The scope of the connection ends with *error*, so that finalizers roll back.  Where there is no scope, or it has ended,
    nothing happens.
    """
    life: _Life | None = connection.get(_LIFE)
    while life is not None:
        life.failure = error
        life = life.around


class ContainerMiddleware:
    """
    Wraps an ASGI application: ``app = ContainerMiddleware(app, Container(App))``, or as a framework's middleware.

    *The application's life.*  The container is entered before the application's own start-up, in the task of the
    lifespan, and its singletons are built; what fails there fails the start-up.  It is closed in the same task, after the
    application's shutdown.  An application that knows nothing of lifespans has one all the same.  A server that
    speaks no lifespan, or a test that sends none, finds a container that was entered elsewhere, or one that opens
    when it is first asked and is left open.

    *A connection's life.*  Each ``http`` and each ``websocket`` connection has a scope, in the connection's mapping under
    `KEY`, and ambient for injected functions.  `CONNECTION` is given to it where the application declares that for its
    level.  A connection that has a scope of the same container already is passed on as it is.

    *When a scope ends.*  That of a websocket: when the application is done with the connection.  That of a request: when
    the response is complete, and before it is sent; what fails then (a session that cannot commit) becomes a failed
    request instead of a success that was none.  A response that streams keeps its scope until the application is done,
    and so do all with ``ends="after"``: background work that follows the response finds it open.  To tell them apart the
    start of a response waits for its first part, but for event streams; a first part as long as the response's
    ``content-length`` completes it.

    *Failure.*  Finalizers see the exception that left the application, the one given to `failed`, or an
    `ErrorResponse` where the status is *error_status* or above, where a websocket is closed with 1011, and where a request
    is left without a complete response.  When a client goes away they see what the framework makes of that: mostly a
    cancellation, or a response that is not complete.  What finalizers raise is raised, also where the application has
    answered the failure already.

    Args:
        app: The application.
        container: The container, or an application's class or what else makes one, for each lifespan; it runs in the server's
            loop.
        start: Whether singletons are built at start-up; else when they are first needed.
        connections: Whether connections have scopes; else something inside opens them, and this is about the lifespan only.
        level: The level of a request's scope; the innermost if not given.
        websocket_level: The level of a websocket's scope; *level* if not given.
        context: Gives more context values for a connection.
        ends: Whether a request's scope ends "before" its response is sent, or "after".
        error_status: From which status on a response is a failure; 500 if not given.
    """

    #: What *error_status* is where it is not given.
    failing_status: ClassVar[int] = 500

    #: The context values for each kind of connection: token, and what makes its value of the connection.
    offered: ClassVar[Mapping[str, Mapping[Any, Callable[[Connection], object]]]] = {
        "http": {CONNECTION: lambda connection: connection},
        "websocket": {CONNECTION: lambda connection: connection},
    }

    def __init__(
        self,
        app: Application,
        container: Source,
        *,
        start: bool = True,
        connections: bool = True,
        level: str | None = None,
        websocket_level: str | None = None,
        context: Callable[[Connection], Mapping[Any, object]] | None = None,
        ends: Literal["before", "after"] = "before",
        error_status: int | None = None,
    ) -> None:
        if ends not in ("before", "after"):
            raise ValueError(f'ends={ends!r}: a request\'s scope ends "before" its response is sent, or "after"')
        self.app = app
        self._source = container
        self._container = container if isinstance(container, Container) else None
        self.start = start
        self._levels = {"http": level, "websocket": level if websocket_level is None else websocket_level} if connections else {}
        self._context = context
        self._early = ends == "before"
        self._error_status = self.failing_status if error_status is None else error_status
        self._asked: Container | None = None  #: who was asked what it takes, and the answer
        self._taken: dict[str, list[tuple[Any, Callable[[Connection], object]]]] = {}

    @property
    def container(self) -> Container:
        """The container of the lifespan that runs; where the middleware makes its containers, the newest."""
        if self._container is None:
            self._container = container_of(self._source)
        return self._container

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind not in self._levels:  # the lifespan, or a kind unknown to us
            lifespan = kind == "lifespan"
            await (_Lifespan(receive, send).run(self, scope) if lifespan else self.app(scope, receive, send))
            return
        # In one piece: each request pays for every call in here.
        container = self._container or self.container
        around: dict[str, Any] | None = None
        if KEY in scope:
            if scope[KEY].container is container:  # it is wrapped already
                await self.app(scope, receive, send)
                return
            around = {KEY: scope[KEY], _LIFE: scope.get(_LIFE)}
        taken = self._taken[kind] if container is self._asked else self._ask(container)[kind]
        context: dict[Any, object] | None = {token: make(scope) for token, make in taken} if taken else None
        if self._context is not None:
            context = {**(context or {}), **self._context(scope)}
        opened = container.scope(context, level=self._levels[kind])
        http = kind == "http"
        life = _Life(opened, send, self._error_status, http, None if around is None else around[_LIFE])
        scope[KEY], scope[_LIFE] = opened, life
        try:
            with opened.ambient():
                await self.app(scope, receive, life.send_early if http and self._early else life.send)
        except BaseException as error:
            await life.end(error)
            raise
        else:
            if life.open:
                await life.end(None)
            if life.held is not None:
                await life.flush()
        finally:
            if around is not None:
                # The application's own mapping is written on, not a copy: what stands around us looks into it, too.
                scope.update(around)

    def _ask(self, container: Container) -> dict[str, list[tuple[Any, Callable[[Connection], object]]]]:
        """Ask a container, once, which of the values that are offered it takes."""
        self._taken = {
            kind: [pair for pair in self.offered[kind].items() if container.takes(pair[0], level=level)]
            for kind, level in self._levels.items()
        }
        self._asked = container
        return self._taken

    def begin(self) -> Container:
        """Return the container for a lifespan that begins."""
        if not isinstance(self._source, Container):
            self._container = None
        return self.container


class _Life:
    """The end of a connection's scope: once, and as early as it may be."""

    __slots__ = ("_due", "_error_status", "_scope", "_send", "_start", "around", "failure", "held", "open")

    def __init__(self, scope: Scope, send: Send, error_status: int, due: bool, around: _Life | None) -> None:
        self._scope, self._send, self._error_status = scope, send, error_status
        self.open = True
        self._due = due  #: a response is awaited, and not yet complete
        self._start: Message | None = None  #: the start of the response
        self.held: Message | None = None  #: the same, while it is not sent and can be taken back
        self.around = around  #: the life of another container's scope of the same connection
        self.failure: BaseException | None = None  #: what a handler raised and its framework answered

    async def send(self, message: Message) -> None:
        self._note(message)
        await self._send(message)

    async def send_early(self, message: Message) -> None:
        """Hold the start back until it is known whether the response streams; if not, end the scope before it goes out."""
        held = self.held
        kind = message["type"]
        if kind == "http.response.body" and held is not None and not (message.get("more_body") or held.get("trailers")):
            # What nearly every response is, in two parts: the same as below, and nothing is called for it.
            self._due = False
            if self.failure is not None or held["status"] >= self._error_status:
                await self.end(None)
            elif self.open:
                self.open = False
                try:
                    await self._scope.__aexit__(None, None, None)
                except BaseException:
                    self.held = None
                    raise
            if self.held is not None:
                self.held = None
                await self._send(held)
            await self._send(message)
            return
        if kind == "http.response.start" and held is None:
            self._start = message
            if not _header(message, b"content-type").startswith(b"text/event-stream"):
                self.held = message
                return
        else:
            self._note(message)
            if held is not None:
                if not self._due and self.open:
                    await self.end(None)
                held, self.held = self.held, None
                if held is not None:
                    await self._send(held)
        await self._send(message)

    async def flush(self) -> None:
        """Send what is held back."""
        held, self.held = self.held, None
        if held is not None:
            await self._send(held)

    async def end(self, left: BaseException | None) -> None:
        """End the scope, if it is open, with what went wrong; *left* is what the application raised."""
        if not self.open:
            return
        self.open = False
        error = left if left is not None else self.failure if self.failure is not None else self._shortcoming()
        kind = None if error is None else type(error)
        try:
            if error is left:
                await self._scope.__aexit__(kind, error, None)
            else:
                with going_nowhere(error):
                    await self._scope.__aexit__(kind, error, None)
        except BaseException:
            self.held = None  # a success that was none
            raise

    def _shortcoming(self) -> ErrorResponse | None:
        """Return what is wrong with the response."""
        if self._start is not None and self._start["status"] >= self._error_status:
            return ErrorResponse(self._start["status"])
        return ErrorResponse(None) if self._due else None

    def _note(self, message: Message) -> None:
        """Take note of how the connection fares."""
        kind = message["type"]
        if kind in _BODY:
            if self._due and self._completes(message):
                self._due = False
        elif kind in _STARTS:
            self._start = message
        elif kind == "http.response.trailers":
            if not message.get("more_trailers", False):
                self._due = False
        elif kind == "websocket.close" and message.get("code") == 1011 and self.failure is None:
            self.failure = ErrorResponse(1011)  # RFC 6455: an unexpected condition

    def _completes(self, message: Message) -> bool:
        """Tell whether the response ends with this part."""
        start = self._start
        if start is None or start.get("trailers", False):
            return False
        if not message.get("more_body", False):
            return True
        # Some frameworks send every response in parts, of which the last one is empty.
        return self.held is not None and _header(start, b"content-length") == b"%d" % len(message.get("body", b""))


#: Messages that begin a response; a websocket may be refused with one.
_STARTS: Final = frozenset({"http.response.start", "websocket.http.response.start"})

#: Messages with a part of the response's body, or all of it; the latter two are extensions of servers.
_BODY: Final = frozenset({"http.response.body", "http.response.pathsend", "http.response.zerocopysend"})


def _header(start: Message, name: bytes) -> bytes:
    """Return a header of a response; nothing where it is not there."""
    for key, value in start.get("headers", ()):
        if key.lower() == name:
            return value  # type: ignore[no-any-return]
    return b""


@contextmanager
def going_nowhere(error: BaseException | None) -> Iterator[None]:
    """
    Raise what a scope's finalizers raise in the block, where *error*, with which the scope ends, has been answered already.

    A scope leaves it at the end of the chain of an exception that goes on by itself; this one does not.
    """
    before = _last(error)
    yield
    after = _last(error)
    if after is not None and after is not before:
        raise after


def _last(error: BaseException | None) -> BaseException | None:
    """Return the end of an exception's chain of contexts."""
    seen = set()
    while error is not None and error.__context__ is not None and id(error) not in seen:
        seen.add(id(error))
        error = error.__context__
    return error


class _Ended(Exception):
    """There is nothing more to hear for an application that has said its last word."""


class _Lifespan:
    """
    A container around an application's own start-up and shutdown, whether the application has any or not.

    The application talks to us, and we to the server: it hears of the start-up when the container is open, and the server of
    the end when it is closed.
    """

    __slots__ = ("_answer", "_heard", "_receive", "_send", "_started")

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive, self._send = receive, send
        self._heard = 0  #: how many messages of the server the application has heard
        self._started = False  #: the server was told that all is up
        self._answer: Message | None = None  #: how the application ended, which the server hears when the container is closed

    async def run(self, middleware: ContainerMiddleware, scope: Connection) -> None:
        await self._receive()  # the start-up message: it is passed on later
        try:
            # Made here: what was raised before a message is received would mean that we do not know this protocol.
            container = middleware.begin()
            if "state" in scope:
                scope["state"][KEY] = container
            async with container:
                if middleware.start:
                    await container.start()
                await self._live(middleware.app, scope)
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
        except _Ended:
            return
        except Exception:
            if self._heard or self._started:
                raise
            # It does not speak this protocol, and says so as ASGI wants it: by raising.  That may hide a mistake of its own.
            _LOGGER.info("the application takes no lifespan; it raised", exc_info=True)
        if not self._started and self._answer is None:
            await self._tell_started({"type": "lifespan.startup.complete"})
        if self._answer is None and self._heard < 2:
            await self._receive()  # the shutdown

    async def _pass_on(self) -> Message:
        if self._answer is not None:
            # It listens on, as Sanic does when its start-up has failed.  The server waits for us, we would wait for it.
            raise _Ended
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
