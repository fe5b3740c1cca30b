"""How does a container live with an ASGI application?  Around its start-up and its shutdown, whether it has any or not."""

from __future__ import annotations

import asyncio
import logging
import traceback
import weakref
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, Protocol

from .. import Container, StartReport

__all__ = ["KEY", "REPORTS", "TESTED", "Lifespan", "begun_again", "need_asyncio", "tell_of_no_lifespan"]

Connection = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Any, Any, Any], Awaitable[None]]

#: Under this name the connection holds its scope, and the state of the application's lifespan the container.
KEY: Final = "asyncmeta"

_LOGGER: Final = logging.getLogger("asyncmeta")

#: Containers of applications under test, which may be asked after a life of theirs as before it.
TESTED: Final[weakref.WeakSet[Container]] = weakref.WeakSet()


#: Of which it was told that no lifespan came: some frameworks have a wrapper for each route.
_TOLD: Final[weakref.WeakSet[Container]] = weakref.WeakSet()

#: What the last start-up of a container has built, and how long it took.
REPORTS: Final[weakref.WeakKeyDictionary[Container, StartReport]] = weakref.WeakKeyDictionary()


def begun_again(container: Container) -> None:
    """
    Let a container that is closed begin anew, for a request outside of any life: before the first one it would be open, too.

    Raises:
        ClosedError: It is closing.
    """
    container._enter()  # not by entering it: nobody owns this life, as nobody owned that before the first one


def need_asyncio() -> None:
    """
    Refuse to run elsewhere than on an event loop of asyncio's.

    Raises:
        RuntimeError: It is one of trio's, or none.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        raise RuntimeError(
            "a container runs on event loops of asyncio only, and none is running here, as under trio: let the server run asyncio, "
            'and a test client, too: TestClient(app, backend="asyncio"), anyio_backend = "asyncio"'
        ) from None


def tell_of_no_lifespan(container: Container) -> None:
    """Tell that a server that speaks no lifespan leaves the life of *container* to its user, where that has not entered it."""
    if container._grounds or container in TESTED:  # what it has made ambient by being entered; a test's plugin closes it
        return
    if container in _TOLD:
        return
    _TOLD.add(container)
    _LOGGER.warning(
        "a request came before any lifespan: the server or test client sends none (daphne, lifespan=off, TestClient without "
        "with), so singletons are built when they are first needed, and nobody closes the container unless you enter it yourself: "
        "`async with container:` around the server"
    )


class Living(Protocol):
    """What has a container for each lifespan."""

    start: bool  #: whether singletons are built at start-up

    def begin(self) -> Container:
        """Return the container for a lifespan that begins."""
        ...

    def begun(self, connection: Connection, container: Container) -> None:
        """Hear that it is open."""


class _Ended(Exception):
    """There is nothing more to hear for an application that has said its last word."""


class Lifespan:
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

    async def run(self, living: Living, app: Application, scope: Connection) -> None:
        """Live with *app*, from the server's first word to its last one."""
        need_asyncio()
        await self._receive()  # the start-up message: it is passed on later
        try:
            # Made here: what was raised before a message is received would mean that we do not know this protocol.
            container = living.begin()
            if "state" in scope:
                scope["state"][KEY] = container
            async with container:
                living.begun(scope, container)
                if living.start:
                    REPORTS[container] = await container.start()
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
