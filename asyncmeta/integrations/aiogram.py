"""A container that lives as long as a bot of aiogram, and a scope for each update."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final

from aiogram import Bot, Dispatcher, Router
from aiogram.dispatcher.event.bases import CancelHandler, SkipHandler
from aiogram.fsm.context import FSMContext
from aiogram.types import Chat, ErrorEvent, TelegramObject, Update, User

from .. import Container, From, ScopeError, injected
from ._applications import check_application
from ._endings import Cancellation
from ._handlers import Handler, handler as _handler
from ._marks import asynchronous, innermost, marked

__all__ = ["ContainerMiddleware", "From", "container_of", "inject", "setup"]

#: What to do where nobody fills a mark.
CURE: Final = "put @inject of asyncmeta.integrations.aiogram below its decorator"

#: What the scope of an update may be given, by the name under which aiogram hands it on.
_DATA: Final = {"bot": Bot, "event_from_user": User, "event_chat": Chat, "state": FSMContext}

_Next = Callable[[Any, dict[str, Any]], Awaitable[Any]]


def setup(app: Dispatcher, container: Container, *, start: bool = True, level: str | None = None, grace: float = 10) -> Dispatcher:
    """
    Let *container* live with a bot, and give each update a scope; with polling and with webhooks.

    *The bot's life.*  The container is entered when the dispatcher starts, what the handlers ask for is checked, and the
    singletons are built; what fails there fails the start.  Call it before other functions are registered for the start, so
    that these find an open container.  It is closed after all functions that are registered for the end, of routers too, when
    the handlers that still run are done.

    A start-up of which a later function fails has no end in aiogram: ``async with container:`` around ``start_polling`` closes
    it then, too.

    Args:
        app: The dispatcher, before it has started.
        container: The container; it runs in the dispatcher's loop.
        start: Whether singletons are built at the start; else when they are first needed.
        level: The level of an update's scope; the innermost if not given.
        grace: How many seconds handlers that still run at the end have; what goes on then has failed.

    Returns:
        The dispatcher.

    .. versionadded:: 0.1.0
    """
    middleware = ContainerMiddleware(container, level=level)
    app.update.outer_middleware(middleware)
    app.errors.outer_middleware(middleware)
    ends: list[Router] = []

    async def begin() -> None:
        await container.__aenter__()
        try:
            check_application(app, container)
            if start:
                await container.start()
        except BaseException as error:
            await container.__aexit__(type(error), error, error.__traceback__)
            raise
        last = list(app.chain_tail)[-1]  # routers end in this order, after the dispatcher
        if last not in ends:
            ends.append(last)
            last.shutdown.register(functools.partial(end, last))

    async def end(router: Router) -> None:
        if router is ends[-1]:
            await middleware.done(grace)
            await container.__aexit__(None, None, None)

    app.startup.register(begin)
    return app


def container_of(app: Dispatcher) -> Container:
    """
    Return the container that serves the updates of a dispatcher.

    Raises:
        ScopeError: It was given none.
    """
    for one in getattr(getattr(app, "update", None), "outer_middleware", ()):
        if isinstance(one, ContainerMiddleware):
            return one.container
    raise ScopeError("this dispatcher has no container: setup(dispatcher, container) gives it one")


class ContainerMiddleware:
    """
    Gives each update a scope, where somebody else enters and closes the container:

        dispatcher.update.outer_middleware(ContainerMiddleware(container))

    *An update's life.*  The scope is ambient for injected functions: for filters, middlewares that are added later, and
    handlers.  It ends when the handler is done, before what it returned is sent as an answer; what fails then (a session that
    cannot commit) is an error of the update.  ``Update``, the event in it (a ``Message``, a ``CallbackQuery``), ``Bot``,
    ``User``, ``Chat`` and ``FSMContext`` are given to it where the application declares them as context.

    *Failure.*  Finalizers see what the handler raised, although an error handler answers it; that one has a scope of its own
    where this stands around ``dispatcher.errors``, too.  ``SkipHandler`` and ``CancelHandler`` are none.

    Args:
        container: The container.
        level: The level of an update's scope; the innermost if not given.

    .. versionadded:: 0.1.0
    """

    def __init__(self, container: Container, *, level: str | None = None) -> None:
        self._container, self._level = container, level
        self._running: set[asyncio.Future[None]] = set()

    @property
    def container(self) -> Container:
        """The container."""
        return self._container

    async def __call__(self, handler: _Next, event: TelegramObject, data: dict[str, Any]) -> Any:
        """Handle an update in its scope."""
        ended: BaseException | None = None
        running = asyncio.get_running_loop().create_future()
        self._running.add(running)
        cancellation = Cancellation()
        try:
            async with self._container.scope(self._given(event, data), level=self._level) as scope:
                with scope.ambient():
                    try:
                        answer = await handler(event, data)
                        await cancellation.tell()
                        return answer
                    except (SkipHandler, CancelHandler) as error:  # how a handler says that another one shall go on, or none
                        ended = error
            raise ended
        finally:
            self._running.discard(running)
            running.set_result(None)

    def _given(self, event: TelegramObject, data: dict[str, Any]) -> dict[type, object] | None:
        """Return what is context of an update, as far as it is declared."""
        found: list[tuple[type, object]] = [(kind, data[name]) for name, kind in _DATA.items() if data.get(name) is not None]
        update = event.update if isinstance(event, ErrorEvent) else event
        found += [(kind, one) for one in (event, update) for kind in type(one).__mro__]
        if isinstance(update, Update):
            found += [(kind, update.event) for kind in type(update.event).__mro__ if issubclass(kind, TelegramObject)]
        takes = functools.partial(self._container.takes, level=self._level)
        return {kind: value for kind, value in found if kind is not object and takes(kind)} or None

    async def done(self, seconds: float) -> None:
        """Wait until no update is being handled, but not longer than *seconds*."""
        if self._running:
            await asyncio.wait(self._running, timeout=seconds)


def inject(handler: Callable[..., Any], /) -> Callable[..., Any]:
    """
    Fill the marked parameters of a handler, ``From[T]``, from the scope of its update; of filters and middlewares, too.

    Stands below ``@router.message()`` and the like, and around the method ``handle`` of a class that is a handler.  aiogram
    does not see the marked parameters, so that nothing of the data of the same name takes their place.  A plain function runs
    in a thread, with values that may have to be awaited.
    """
    filled: Any = injected(asynchronous(handler)) if marked(handler) else asynchronous(handler)

    @functools.wraps(filled)
    async def call(*args: Any, **named: Any) -> Any:
        return await filled(*args, **named)

    shown: Any = call
    shown.__signature__ = inspect.signature(filled)
    del shown.__wrapped__  # aiogram would look below
    setattr(shown, _BELOW, handler)
    return call


_BELOW: Final = "asyncmeta_below"


def handlers_of(app: Router) -> Iterator[Handler]:
    """Yield the handlers, filters and middlewares of a dispatcher and its routers, and what runs at the start and the end."""
    for router in app.chain_tail:
        for name, observer in router.observers.items():
            for middleware in (*observer.outer_middleware, *observer.middleware):
                if not isinstance(middleware, ContainerMiddleware):
                    yield _of(middleware, f"middleware of {name}")
            for one in observer.handlers:
                if router is app and name == "update":
                    continue  # its own
                yield _of(one.callback, f"{name} handler")
                for condition in one.filters or ():
                    yield _of(condition.callback, f"filter of {name}")
        for called, event in ("start-up", router.startup), ("shutdown", router.shutdown):
            for begun in event.handlers:
                yield _of(begun.callback, called)


def _of(function: Any, called: str) -> Handler:
    """Return one of them: a function, a class with a method ``handle``, or an object that is called."""
    if isinstance(function, type) and hasattr(function, "handle"):
        function = inspect.getattr_static(function, "handle")
    elif not inspect.isroutine(function) and not isinstance(function, (type, functools.partial)):
        function = type(function).__call__
    below = getattr(innermost(function), _BELOW, None)
    return _handler(function, called) if below is None else Handler(below, called)
