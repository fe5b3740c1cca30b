"""Whole calls of the applications, in this process: all that a server would make of a request, and nothing of a network."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Any

from fastapi import FastAPI

from ..measure import Batch, Outcome
from .apps import APPS, Work

HEADERS = [(b"host", b"localhost:8000"), (b"user-agent", b"benchmark"), (b"accept", b"*/*"), (b"accept-encoding", b"gzip")]


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    """Start the application and stop it; give the state that it wants in its requests."""
    to_app: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    from_app: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    state: dict[str, Any] = {}
    scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.3"}, "state": state}
    task = asyncio.create_task(app(scope, to_app.get, from_app.put))
    for step in ("startup", "shutdown"):
        to_app.put_nowait({"type": f"lifespan.{step}"})
        answer = await from_app.get()
        if answer["type"] != f"lifespan.{step}.complete":
            raise RuntimeError(answer)
        if step == "startup":
            yield state
    await task


async def receive() -> dict[str, Any]:
    return {"type": "http.request", "body": b"", "more_body": False}


async def ask(app: FastAPI, state: dict[str, Any], path: str, query: bytes = b"") -> list[dict[str, Any]]:
    """Return what the application sends for a request."""
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1", "method": "GET", "path": path,
        "raw_path": path.encode(), "root_path": "", "scheme": "http", "query_string": query, "headers": HEADERS,
        "client": ("127.0.0.1", 50000), "server": ("127.0.0.1", 8000), "state": state.copy(),
    }  # fmt: skip
    await app(scope, receive, send)
    return sent


def competitor(name: str) -> Any:
    """Return the competitor of that name, for `in_turns`."""

    @asynccontextmanager
    async def compete(work: Work) -> AsyncIterator[Batch]:
        app = APPS[name](work)
        asked = 0
        async with lifespan(app) as state:

            async def batch(times: int) -> Outcome:
                nonlocal asked
                asked += times
                begun = perf_counter()
                for _ in range(times):
                    sent = await ask(app, state, "/items/7", b"page=2")
                took = perf_counter() - begun
                assert [sent[0]["status"], sent[1]["body"]] == [200, b'{"number":7,"page":2}']
                return took, sent

            if name != "bare":
                asked += 1
                assert (await ask(app, state, "/right"))[1]["body"] == b"true", f"{name} gives something else"
            yield batch
        expected = (0, 0, 0) if name == "bare" else (1, asked, asked)
        found = (work.pools, work.opened, work.closed)
        if found != expected:
            raise AssertionError(f"{name} made, opened and closed {found}, not {expected}")

    return compete
