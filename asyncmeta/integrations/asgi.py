"""
A container that lives as long as an ASGI application, and a scope for each of its connections; for any framework.

Every framework that speaks ASGI is wrapped in the same way, and none is imported here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextvars import Context
from typing import Any, ClassVar, Final, Literal

from .. import Container, From, Scope, ScopeError, Token, injected as inject
from ._applications import check_application, handlers_of as _handlers_of, has_another, source_of as _source_of
from ._endings import (
    ERROR_STATUS,
    LEFT_WELL,
    WELL,
    Cancellation,
    ErrorResponse,
    going_nowhere,
    is_failure,
    leave_in,
    leave_whole,
    one_of,
    running_context,
)  # fmt: skip
from ._health import HealthEndpoint, answer_health, question_of, questions_below
from ._lifespan import KEY, TESTED, Lifespan, begun_again, need_asyncio, tell_of_no_lifespan
from .commands import Source, container_from

__all__ = [
    "CONNECTION", "KEY", "ContainerMiddleware", "ErrorResponse", "From", "HealthEndpoint", "container_of",
    "failed", "inject", "made_here", "setup",
]  # fmt: skip

#: What to do where nobody fills a mark.
CURE: Final = "put @injected below the decorator that makes a handler of it"

Connection = MutableMapping[str, Any]  #: what ASGI calls the scope of a connection
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Any, Any, Any], Awaitable[None]]

#: The context token of the connection: ASGI's own mapping.  `class App(AsyncServiceBase, context=[CONNECTION])`
CONNECTION: Final = Token[MutableMapping[str, Any]]("asgi.connection")

_LIFE: Final = "asyncmeta.life"


def failed(connection: Connection, error: BaseException, status: int | None = None) -> None:
    """
    Note that a connection's handler raised, where its framework is about to turn the exception into a response.

    The scope of the connection ends with *error*, so that finalizers roll back.  Where there is no scope, or it has ended,
    nothing happens.

    Args:
        connection: ASGI's mapping of the connection.
        error: What was raised.
        status: The status of an exception that is an answer, as ``HTTPException``: below *error_status* it is no failure.
    """
    life: _Life | None = connection.get(_LIFE)
    while life is not None:
        if is_failure(status, life.error_status):
            life.failure = error
        life = life.around


def made_here(connection: Connection) -> None:
    """
    Note that the values of a connection's scope are made in the running task.

    The scope then ends in the context of that task, whichever task the framework's middleware ends it in, so that a
    finalizer can reset the ``ContextVar`` tokens that its factory has.
    """
    life: _Life | None = connection.get(_LIFE)
    if life is not None and life.made_in is None:
        life.made_in = running_context()


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
    `ErrorResponse`: where the status is *error_status* or above, where a websocket is closed with another code than 1000 and
    1001 or refused, where a request is left without a complete response, and where the client went away before it had all
    of that, whatever the application made of it.  What finalizers raise is raised, also where the application has answered
    the failure already; before anything of a response was sent, `answer` may make another one of it.

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
        error_status: From which status on a response is a failure, also one that a handler raises.
        health: A path, such as "/health", below which "/live" and "/ready" are answered in the application's place: 200, or
            503 where the container is closed, or not all is well, with what is degraded by that.
    """

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
        error_status: int = ERROR_STATUS,
        health: str | None = None,
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
        self._error_status = error_status
        self._health = {} if health is None else questions_below(health)
        self._lives = False  #: a lifespan was heard of, or it was told that none is
        self._asked: Container | None = None  #: who was asked what it takes, and the answer
        self._taken: dict[str, list[tuple[Any, Callable[[Connection], object]]]] = {}

    @property
    def container(self) -> Container:
        """The container of the lifespan that runs; where the middleware makes its containers, the newest."""
        if self._container is None:
            self._container = container_from(self._source)
        return self._container

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind not in self._levels:  # the lifespan, or a kind unknown to us
            lifespan = kind == "lifespan"
            await (Lifespan(receive, send).run(self, self.app, scope) if lifespan else self.app(scope, receive, send))
            return
        # In one piece: each request pays for every call in here.
        container = self._container or self.container
        if not self._lives:
            need_asyncio()
            self.begun(scope, container)
            self._lives = True
            tell_of_no_lifespan(container)
        if self._health and (question := question_of(self._health, scope)) and kind == "http":
            await answer_health(container, question, scope["method"], send)
            return
        if container.closed and container in TESTED:  # asked without a lifespan, after one
            begun_again(container)
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
        life = _Life(opened, receive, send, self._error_status, http, None if around is None else around[_LIFE])
        scope[KEY], scope[_LIFE] = opened, life
        try:
            try:
                with opened.ambient():
                    await self.app(scope, life.receive, life.send_early if http and self._early else life.send)
            except BaseException as error:
                await (life.end_answered() if self.answers(error) else life.end(error))
                raise
            if life.open:
                await life.end(None)
            if life.held is not None:
                await life.flush()
            if life.cancelled is not None:
                raise life.cancelled
        except Exception as error:
            raised = life.raised
            if raised is None or life.began or not http:
                raise
            # Whatever came of it on its way: it is what the finalizers have raised, and the client has heard nothing yet.
            if not await self.answer(scope, receive, send, one_of(raised)):
                if error is raised:
                    raise
                raise raised from None
        finally:
            if around is not None:
                # The application's own mapping is written on, not a copy: what stands around us looks into it, too.
                scope.update(around)

    def answers(self, error: BaseException) -> bool:
        """Tell whether what leaves the application is an answer, and no failure: whoever stands around us makes it one."""
        return False

    async def answer(self, connection: Connection, receive: Receive, send: Send, error: BaseException) -> bool:
        """
        Answer what the finalizers of a request have raised, as the application answers what its handlers raise.

        Called while nothing of a response has been sent.  For wrappers of frameworks that have error handlers; this one
        knows none.

        Args:
            connection: ASGI's mapping of the request.
            receive: Gives the server's messages.
            send: Takes the response.
            error: What was raised; the only one of a group.

        Returns:
            Whether a response was sent; else the error is raised.
        """
        return False

    def _ask(self, container: Container) -> dict[str, list[tuple[Any, Callable[[Connection], object]]]]:
        """Ask a container, once, which of the values that are offered it takes."""
        self._taken = {
            kind: [pair for pair in self.offered[kind].items() if container.takes(pair[0], level=level)]
            for kind, level in self._levels.items()
        }
        self._asked = container
        return self._taken

    def begun(self, connection: Connection, container: Container) -> None:
        """
        A lifespan begins with *container*, or the first request without one: check what the application's handlers ask for,
        where its framework is known.

        Raises:
            GraphErrors: It cannot be given.
        """
        # A framework whose middleware this is says which application it is; that of a mount, or of a route, is of its inside.
        app = connection.get("app", self.app)
        if _source_of(app) is not self._source:
            app = self.app
        if not has_another(app, self._source):
            check_application(app, container)

    def begin(self) -> Container:
        """Return the container for a lifespan that begins."""
        self._lives = True
        if not isinstance(self._source, Container):
            self._container = None
        return self.container


def setup(app: Application, container: Source, **options: Any) -> ContainerMiddleware:
    """
    Return *app* with *container* around it: ``app = setup(app, Container(App))``.

    Args:
        app: The application.
        container: As for `ContainerMiddleware`, and so are *options*.
    """
    return ContainerMiddleware(app, container, **options)


def container_of(app: ContainerMiddleware) -> Container:
    """Return the container that serves *app*: that of the lifespan that runs, where there is one for each."""
    if not isinstance(app, ContainerMiddleware):
        raise ScopeError(f"this is no ContainerMiddleware, but a {type(app).__qualname__}: setup(app, container) returns one")
    return app.container


def handlers_of(app: ContainerMiddleware) -> Any:
    """Return the handlers of the application that is wrapped, where its framework is known."""
    return _handlers_of(app.app)


def source_of(app: ContainerMiddleware) -> Any:
    """Return what was given for the container whose scopes handlers see: the innermost."""
    inner = _source_of(app.app)
    return app._source if inner is None else inner


class _Life:
    """The end of a connection's scope: once, and as early as it may be."""

    __slots__ = (
        "_accepted", "_cancellation", "_due", "_http", "_over", "_receive", "_scope", "_send", "_start", "around", "began",
        "cancelled", "error_status", "failure", "held", "made_in", "open", "raised",
    )  # fmt: skip

    def __init__(self, scope: Scope, receive: Receive, send: Send, error_status: int, due: bool, around: _Life | None) -> None:
        self._scope, self._receive, self._send, self.error_status = scope, receive, send, error_status
        self.open = True
        self._cancellation = Cancellation()
        self._http = due
        self._due = due  #: a response is awaited, and not yet complete
        self._start: Message | None = None  #: the start of the response
        self.held: Message | None = None  #: the same, while it is not sent and can be taken back
        self.began = False  #: something was sent
        self._accepted = self._over = False  #: a websocket
        self.around = around  #: the life of another container's scope of the same connection
        self.failure: BaseException | None = None  #: what a handler raised and its framework answered, or what else went wrong
        self.made_in: Context | None = None  #: where the scope's values were made, as far as that is known
        self.raised: BaseException | None = None  #: by finalizers
        self.cancelled: BaseException | None = None  #: who met the end of what went well, raised when that is answered

    async def receive(self) -> Message:
        """Hand on what the client sends, and take note where it goes away: applications may swallow that."""
        message = await self._receive()
        kind = message["type"]
        if kind == "http.disconnect":
            if self._due:
                self._fail(None)
        elif kind == "websocket.disconnect" and not self._over:
            self._over = True
            code = message.get("code", 1005)
            if code not in LEFT_WELL:
                self._fail(code)
        return message

    async def send(self, message: Message) -> None:
        self._note(message)
        self.began = True
        try:
            await self._send(message)
        except Exception:  # it cannot reach the client any more
            self._fail(None)
            raise

    async def send_early(self, message: Message) -> None:
        """Hold the start back until it is known whether the response streams; if not, end the scope before it goes out."""
        held = self.held
        kind = message["type"]
        if kind == "http.response.body" and held is not None and not (message.get("more_body") or held.get("trailers")):
            # What nearly every response is, in two parts: the same as below, and nothing is called for it.
            self._due = False
            cut = self._cancellation.swallowed
            if self.failure is not None or held["status"] >= self.error_status or self.made_in is not None or cut:
                await self.end(None)
            elif self.open:
                self.open = False
                try:
                    self.cancelled = await leave_whole(None, self._scope)
                except BaseException as error:
                    self.held, self.raised = None, error
                    raise
            if self.held is not None:
                self.held = None
                self.began = True
                await self._send(held)
            await self._send(message)
            if self.cancelled is not None:
                raise self.cancelled
            return
        if kind == "http.response.start" and held is None:
            self._start = message
            if not _header(message, b"content-type").startswith(b"text/event-stream"):
                self.held = message
                return
            await self.send(message)
            return
        self._note(message)
        if held is not None:
            if not self._due and self.open:
                await self.end(None)
            await self.flush()
        await self.send(message)
        if self.cancelled is not None:
            raise self.cancelled

    async def flush(self) -> None:
        """Send what is held back."""
        held, self.held = self.held, None
        if held is not None:
            await self.send(held)

    async def end_answered(self) -> None:
        """End the scope, where the response is made around us."""
        self._due, self._over = False, True
        await self.end(None)

    async def end(self, left: BaseException | None) -> None:
        """End the scope, if it is open, with what went wrong; *left* is what the application raised."""
        if not self.open:
            return
        self.open = False
        error = left if left is not None else self.failure if self.failure is not None else self._shortcoming()
        try:
            if error is None and self._cancellation.swallowed:
                await self._end_cancelled()
            elif error is None:
                self.cancelled = await leave_whole(self.made_in, self._scope)
            elif error is left:
                await leave_in(self.made_in, self._scope, error)
            else:
                with going_nowhere(error):
                    await leave_in(self.made_in, self._scope, error)
        except BaseException as raised:
            self.held = None  # a success that was none
            if raised is not left:
                self.raised = raised
            raise

    async def _end_cancelled(self) -> None:
        """Raise the cancellation that was swallowed, and end the scope with it: nothing is answered."""
        try:
            await self._cancellation.tell()
        except asyncio.CancelledError as error:
            await leave_in(self.made_in, self._scope, error)
            raise

    def _fail(self, status: int | None) -> None:
        if self.failure is None:
            self.failure = ErrorResponse(status)

    def _shortcoming(self) -> ErrorResponse | None:
        """Return what is wrong with the response."""
        if self._start is not None and self._start["status"] >= self.error_status:
            return ErrorResponse(self._start["status"])
        unheard = not (self._http or self._accepted or self._over or self._start)  # a websocket that was never answered
        return ErrorResponse(None) if self._due or unheard else None

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
        elif kind == "websocket.accept":
            self._accepted = True
        elif kind == "websocket.close":
            code = message.get("code", 1000)
            if code not in WELL:
                self._fail(code)
            elif not (self._accepted or self._over) and self.error_status <= 403:  # so servers answer the client
                self._fail(403)
            self._over = True

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
