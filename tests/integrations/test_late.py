"""What is built at the start knows of no request; what is built late sees the context of who was first, as documented."""

import asyncio
import contextvars

import pytest
from helpers import fresh_app, guarded

from asyncmeta import Container, From, injected
from asyncmeta.integrations.asgi import setup

from .asgi_server import Server

REQUEST = contextvars.ContextVar("request", default="none")
CLEAN = contextvars.copy_context()


class Worker:
    """Has a task that lives as long as the application and says for which request it works."""

    def __init__(self, context):
        self.asked = asyncio.Event()
        self.task = asyncio.get_running_loop().create_task(self.work(), context=context)
        self.built_for, self.works_for = REQUEST.get(), None

    async def work(self):
        await self.asked.wait()
        self.works_for = REQUEST.get()


def application(clean, seen):
    """Return an ASGI application whose requests have an id each, and its container."""
    App = fresh_app()

    async def open_worker():
        worker = Worker(CLEAN.copy() if clean else None)
        yield worker
        worker.asked.set()
        await worker.task
        seen.append((worker.built_for, worker.works_for))

    App.register_dependency(Worker, open_worker)

    @injected
    async def answer(send, worker: From[Worker]):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def app(scope, receive, send):
        if scope["type"] != "http":
            raise NotImplementedError
        REQUEST.set(scope["path"])
        await answer(send)

    return app, Container(App)


@pytest.mark.parametrize(
    ("start", "clean", "expected"),
    [(True, False, ("none", "none")), (False, False, ("/first", "/first")), (False, True, ("/first", "none"))],
    ids=["at the start", "late", "late, in a clean context"],
)
@guarded
async def test_whose_context_a_singleton_keeps(start, clean, expected):
    """
    A singleton's task knows of no request where it is built at the start, as every integration does; where it is built late it
    keeps that of the first request, unless its factory starts it in a context without one.
    """
    seen = []
    app, container = application(clean, seen)
    server = Server(setup(app, container, start=start))

    async with server.running():
        for path in "/first", "/second":
            await server.http(path).run()

    assert seen == [expected]


@guarded
async def test_a_start_in_a_request_is_asked_to_see_it():
    """
    `container.start(key)` builds in the context of who calls it, whenever that is; what the factory sets there stays there.
    """
    App = fresh_app()

    async def make():
        found = REQUEST.get()
        REQUEST.set("of the factory")
        return found

    App.register_dependency("made for", make)

    async with Container(App) as container:
        REQUEST.set("mine")
        await container.start("made for")
        assert await container.get("made for") == "mine"
        assert REQUEST.get() == "mine"
