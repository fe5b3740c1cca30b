"""The server's side of ASGI, by hand: what a server says, and what it hears."""

import asyncio
from contextlib import asynccontextmanager

from helpers import LIMIT, Journal

from asyncmeta import AsyncServiceBase, Container
from asyncmeta.integrations.asgi import CONNECTION, ContainerMiddleware


class Session:
    """What a request has of its own: made once, and told how the request ended."""

    def __init__(self, connection):
        self.connection = connection


class World:
    """An application class whose values write down what becomes of them."""

    def __init__(self, **keywords):
        self.journal = Journal()
        #: what is raised where a session that saw no failure is closed
        self.commit_fails = None

        class App(AsyncServiceBase, **{"context": [CONNECTION], **keywords}):
            pass

        self.app = App
        App.register_dependency("pool", self._pool)
        if keywords.get("context") != []:
            App.register_dependency(Session, self._session, lifetime="scoped")

    async def _pool(self):
        with self.journal.noting("pool"):
            yield "pool"

    async def _session(self, scope_of: CONNECTION):
        session = Session(scope_of)
        self.journal.append("begin")
        try:
            yield session
        except BaseException as error:
            self.journal.append(f"rollback {type(error).__name__}")
            raise
        if self.commit_fails is not None:
            self.journal.append("commit fails")
            raise self.commit_fails
        self.journal.append("commit")

    def wrap(self, app, **options):
        """Return *app* in a container of this world."""
        return ContainerMiddleware(app, Container(self.app), **options)


class Server:
    """A server of one application: its lifespan as a block, and connections inside of it."""

    def __init__(self, app, **lifespan):
        self.app = app
        self.life = {"type": "lifespan", "asgi": {"version": "3.0"}, **lifespan}
        self.heard = []  #: what the application said in its lifespan
        self._said = asyncio.Queue()  #: what the server has to say there
        self._answers = asyncio.Queue()
        self.task = None

    async def start(self):
        """Begin the lifespan; return the application's answer, or None where it ended without one."""

        async def send(message):
            self.heard.append(message)
            self._answers.put_nowait(message)

        self._said.put_nowait({"type": "lifespan.startup"})
        self.task = asyncio.create_task(self.app(self.life, self._said.get, send))
        return await self._answer()

    async def stop(self):
        """End the lifespan; return the application's answer."""
        self._said.put_nowait({"type": "lifespan.shutdown"})
        return await self._answer()

    async def _answer(self):
        getter = asyncio.create_task(self._answers.get())
        await asyncio.wait({getter, self.task}, return_when=asyncio.FIRST_COMPLETED, timeout=LIMIT)
        if not getter.done() and self._answers.empty():
            getter.cancel()
            return None
        return await getter

    @asynccontextmanager
    async def running(self):
        """The application between its start-up and its shutdown."""
        answer = await self.start()
        assert answer == {"type": "lifespan.startup.complete"}, answer
        try:
            yield self
        except BaseException:
            await self.stop()  # a task that nobody holds would be collected in the middle of it
            raise
        answer = await self.stop()
        assert answer == {"type": "lifespan.shutdown.complete"}, answer
        await self.task

    def http(self, path="/", body=b"", method="GET", headers=(), **more):
        """Return a request, not begun."""
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [(b"host", b"localhost"), *headers],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
            "state": dict(self.life.get("state", {})),
            **more,
        }
        return Exchange(self.app, scope, [{"type": "http.request", "body": body, "more_body": False}])

    def websocket(self, path="/", *texts, **more):
        """Return a websocket connection, not begun, whose client says *texts*."""
        scope = self.http(path).scope
        del scope["method"]
        scope = {**scope, "type": "websocket", "scheme": "ws", "subprotocols": [], **more}
        said = [{"type": "websocket.connect"}, *({"type": "websocket.receive", "text": text, "bytes": None} for text in texts)]
        return Exchange(self.app, scope, said)


class Exchange:
    """One connection: what the client says, and what it gets."""

    def __init__(self, app, scope, said):
        self.app, self.scope = app, scope
        self.got = []  #: the application's messages, in order
        self.on_message = None  #: called with each of them
        self._said = asyncio.Queue()
        for message in said:
            self._said.put_nowait(message)
        self._complete = asyncio.Event()
        self._trailers = False

    async def receive(self):
        """What the application awaits; where all is said, the end of the exchange."""
        if self.scope["type"] == "websocket" and self._said.empty() and not self._complete.is_set():
            # The client leaves when it has said all and heard an answer to it.
            await settle()
            return {"type": "websocket.disconnect", "code": 1000}
        if self._said.empty():
            await self._complete.wait()
            return {"type": "http.disconnect"}
        return self._said.get_nowait()

    def leave(self):
        """The client goes away."""
        self._complete.set()

    async def send(self, message):
        self.got.append(message)
        kind = message["type"]
        if kind == "http.response.start":
            self._trailers = message.get("trailers", False)
        last = kind == "http.response.body" and not message.get("more_body", False) and not self._trailers
        if last or kind == "http.response.trailers" or kind == "websocket.close":
            self._complete.set()
        if self.on_message is not None:
            self.on_message(message)

    async def run(self):
        """Carry it out; return itself."""
        async with asyncio.timeout(LIMIT):
            await self.app(self.scope, self.receive, self.send)
        return self

    @property
    def status(self):
        """The response's status; None where nothing was sent."""
        return next((message["status"] for message in self.got if message["type"].endswith("http.response.start")), None)

    @property
    def body(self):
        """The response's body."""
        return b"".join(message.get("body", b"") for message in self.got if message["type"] == "http.response.body")

    @property
    def texts(self):
        """What a websocket's client was told."""
        return [message["text"] for message in self.got if message["type"] == "websocket.send"]


async def settle():
    """Let others run."""
    for _ in range(10):
        await asyncio.sleep(0)


def start(status=200, *headers, **more):
    """Return the start of a response."""
    return {"type": "http.response.start", "status": status, "headers": list(headers), **more}


def part(body=b"", more=False):
    """Return a part of a response's body; the last one, if nothing else is said."""
    return {"type": "http.response.body", "body": body, "more_body": more}
