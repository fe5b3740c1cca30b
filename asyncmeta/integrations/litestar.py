"""
A plugin for Litestar: ``Litestar([...], plugins=[ContainerPlugin(Container(App))])``.

Handlers are decorated with `injected` under Litestar's own decorator: their marked parameters are hidden from Litestar and
from its OpenAPI schema.  Where a handler should not be decorated, or is synchronous, `provide` makes a value one of
Litestar's own dependencies, under a name.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, ClassVar, Final, Literal

from litestar import Litestar, asgi
from litestar.config.app import AppConfig
from litestar.connection import ASGIConnection
from litestar.di import Provide
from litestar.exceptions import HTTPException, WebSocketException
from litestar.plugins import InitPlugin
from litestar.types import Scope
from litestar.utils.scope.state import ScopeState

from .. import Container, From, Scope as OpenScope, ScopeError, injected
from ._applications import check_application
from ._endings import ERROR_STATUS, WELL, is_failure
from ._handlers import Handler, asking, handler as _handler, misread_by
from ._health import questions_below
from ._lifespan import REPORTS, need_asyncio
from ._marks import asynchronous, marked, marks
from .asgi import KEY, Connection, ContainerMiddleware, Receive, Send, failed

__all__ = ["ContainerPlugin", "From", "container_of", "inject", "provide", "setup"]

#: What to do where nobody fills a mark.
CURE: Final = "put @inject of asyncmeta.integrations.litestar, or @injected, below Litestar's decorator"


class _Middleware(ContainerMiddleware):
    """The wrapper for every framework, which also gives Litestar's own object of the connection."""

    offered: ClassVar[Mapping[str, Mapping[Any, Callable[[Connection], object]]]] = {
        kind: {**values, ASGIConnection: ASGIConnection}  # type: ignore[dict-item]  # Litestar types the connection
        for kind, values in ContainerMiddleware.offered.items()
    }

    def begun(self, connection: Connection, container: Container) -> None:
        # Litestar's own lifespan has checked and entered it; where none came, this is the first request of all.
        if not container._grounds:
            check_application(connection.get("litestar_app") or connection.get("app"), container)

    def answers(self, error: BaseException) -> bool:
        return not is_failure(status_of(error), self._error_status)

    async def answer(self, connection: Connection, receive: Receive, send: Send, error: BaseException) -> bool:
        # Nothing was sent, though Litestar thinks so: its own handling of exceptions, around us, answers it.
        ScopeState.from_scope(connection).response_started = False  # type: ignore[arg-type]  # Litestar types the connection
        raise error


class ContainerPlugin(InitPlugin):
    """
    Opens a container with a Litestar application, and a scope for each request and each websocket.

    The container is entered and its singletons are built before other lifespan managers and start-up hooks; it is closed
    after the application's own shutdown hooks, in the same task.  A connection's scope stands around all middleware; when
    it ends, and what its finalizers see, is told at `asgi.ContainerMiddleware`; what a handler raises is among it, whatever
    response Litestar makes of it.  What finalizers raise before a response is sent is answered by Litestar's exception
    handlers, as what a handler raises.  Where the application declares ``context=[ASGIConnection]``, the scope is given that.

    A request that no route matches has no scope.

    Args:
        container: The container.
        start: Whether singletons are built at start-up; else when they are first needed.
        level: The level of a request's scope; the innermost if not given.
        websocket_level: The level of a websocket's scope; *level* if not given.
        ends: Whether a request's scope ends "before" its response is sent, or "after", with its background tasks.
        error_status: From which status on a response is a failure, also one that a handler raises.
        health: A path below which "/live" and "/ready" are answered, see `asgi.ContainerMiddleware`.

    .. versionadded:: 0.1.0
    """

    def __init__(
        self,
        container: Container,
        *,
        start: bool = True,
        level: str | None = None,
        websocket_level: str | None = None,
        ends: Literal["before", "after"] = "before",
        error_status: int = ERROR_STATUS,
        health: str | None = None,
    ) -> None:
        self.container = container
        self._opens = False  #: it has entered the container
        self._start = start
        self._options: dict[str, Any] = {
            "level": level,
            "websocket_level": websocket_level,
            "ends": ends,
            "error_status": error_status,
            "health": health,
        }

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        app_config.lifespan = [self._opened, *app_config.lifespan]
        # Litestar leaves lifespan managers before it calls these: only so the container outlives them.
        app_config.on_shutdown = [*app_config.on_shutdown, self._close]
        app_config.middleware = [self._wrap, *app_config.middleware]
        app_config.after_exception = [*app_config.after_exception, self._note]
        if self._options["health"] is not None:
            # Middleware is not asked where no route matches; where one does, it answers in the place of that.
            paths = list(questions_below(self._options["health"]))
            app_config.route_handlers = [*app_config.route_handlers, asgi(paths, copy_scope=False)(_nobody)]
        return app_config

    @asynccontextmanager
    async def _opened(self, app: Litestar) -> AsyncIterator[None]:
        need_asyncio()
        await self.container.__aenter__()
        self._opens = True
        check_application(app, self.container)
        if self._start:
            REPORTS[self.container] = await self.container.start()
        yield

    async def _close(self) -> None:
        # Litestar calls it, too, where the start has failed before that.
        if self._opens:
            self._opens = False
            await self.container.__aexit__(None, None, None)

    def _wrap(self, app: Any) -> Any:  # Litestar types the messages of ASGI
        return _Middleware(app, self.container, **self._options)

    async def _note(self, error: Exception, scope: Scope) -> None:
        failed(scope, error, status_of(error))  # type: ignore[arg-type]  # Litestar types the connection


def status_of(error: BaseException) -> int | None:
    """Return the status with which Litestar answers what was raised; None where that is no answer; 0 for a good end."""
    if isinstance(error, WebSocketException):
        return 0 if error.code in WELL else None
    return error.status_code if isinstance(error, HTTPException) else None


async def _nobody(scope: Scope, receive: Any, send: Any) -> None:  # Litestar types the messages of ASGI
    """Stand where the middleware answers."""


def setup(app: Litestar, container: Container, **options: Any) -> Litestar:
    """
    Let *container* live with *app*, which is made already: `ContainerPlugin` in one word.

    The container is entered before other start-up hooks, but after the application's own lifespan managers; give
    `ContainerPlugin` to the application where these need it.  A request that no route matches has a scope, too.

    Args:
        app: The application, before it has started.
        container: As for `ContainerPlugin`, and so are *options*.

    Returns:
        The application.
    """
    plugin = ContainerPlugin(container, **options)
    lives: list[Any] = []

    async def begin() -> None:
        lives.append(plugin._opened(app))
        await lives[-1].__aenter__()

    async def end() -> None:
        await plugin._close()
        await lives.pop().__aexit__(None, None, None)

    app.on_startup.insert(0, begin)
    app.on_shutdown.insert(0, end)  # they are called in reverse
    app.after_exception.append(plugin._note)
    around: Any = app.asgi_handler
    while getattr(around, "app", app.asgi_router) is not app.asgi_router:
        around = around.app
    around.app = plugin._wrap(around.app)  # inside of what answers exceptions
    app.state[KEY] = container
    return app


def container_of(app: Litestar) -> Container:
    """
    Return the container that serves *app*.

    Raises:
        ScopeError: It was given none.
    """
    found = app.state.get(KEY)
    if found is None:
        found = next((one.container for one in app.plugins if isinstance(one, ContainerPlugin)), None)
    if found is None:
        raise ScopeError("this application has no container: Litestar(..., plugins=[ContainerPlugin(container)])")
    return found


def inject(handler: Callable[..., Any], /) -> Callable[..., Any]:
    """
    Fill the marked parameters of a handler, ``From[T]``, below Litestar's decorator; Litestar sees the others.

    As `injected`; and a synchronous handler becomes an asynchronous one that runs it in a thread, so that it gets values
    that have to be awaited, too.
    """
    return injected(asynchronous(handler))


def handlers_of(app: Litestar) -> Iterator[Handler]:
    """Yield the handlers of *app*, the dependencies of Litestar's kind that they have, and the functions around them."""
    seen: set[int] = set()
    for route in app.routes:
        handlers: Any = getattr(route, "route_handlers", None) or [route.route_handler]  # type: ignore[union-attr]  # of other kinds
        for one in handlers:
            methods = "/".join(sorted(map(str, getattr(one, "http_methods", ())))) or "WEBSOCKET"
            called = f"{methods} {route.path}"
            provided = one.resolve_dependencies()
            function = getattr(one.fn, "_fn", one.fn)  # of a listener, which stands around it
            function = getattr(function, "func", function)
            # What Litestar reads, as it has read it: of listeners and streams another function than the handler's.
            read = [name for name, field in one.parsed_fn_signature.parameters.items() if marks(field.metadata)]
            names = tuple(name for name in read if name not in provided)
            yield Handler(function, called, names, misread_by(function, but={*provided, *marked(function)}))
            for around in _around(one):
                if id(around) not in seen:
                    seen.add(id(around))
                    yield _handler(getattr(around, "func", around), f"a function around {called}")
            for name, dependency in provided.items():
                token = getattr(dependency.dependency, "asyncmeta_token", None)
                if id(dependency) in seen:
                    continue
                seen.add(id(dependency))
                if token is not None:
                    yield asking(token, f"dependency {name}")
                else:
                    yield _handler(dependency.dependency, f"dependency {name}", passes=provided, reads=True)


def _around(one: Any) -> Iterator[Any]:
    """Yield the guards and hooks of a handler, of those above it too, and its exception handlers."""
    yield from one.resolve_guards()
    yield from one.resolve_exception_handlers().values()
    for name in "resolve_before_request", "resolve_after_request", "resolve_after_response":
        hook = getattr(one, name, lambda: None)()
        if hook is not None:
            yield hook


def provide(token: Any, /) -> Provide:
    """
    Return a dependency of Litestar's kind: ``dependencies={"session": provide(Session)}``.

    A handler of any kind, another dependency or a guard's route then asks for it by that name.  It is the value of the
    connection's scope, whatever the handler is: a synchronous one gets what had to be awaited, too.

    Args:
        token: What to ask the scope for.

    .. versionadded:: 0.1.0
    """

    async def resolve(scope: Scope) -> Any:
        opened: OpenScope | None = scope.get(KEY)  # type: ignore[assignment]  # Litestar types the names in it
        if opened is None:
            raise ScopeError("no ContainerPlugin is there: Litestar(..., plugins=[ContainerPlugin(container)])")
        return await opened.get(token)

    resolve.asyncmeta_token = token  # type: ignore[attr-defined]  # functions take any attribute
    return Provide(resolve)
