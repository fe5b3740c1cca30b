"""An application without a server: it is started, asked and stopped in this very task's loop."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx


@asynccontextmanager
async def client_of(app: Any) -> AsyncIterator[httpx.AsyncClient]:
    """Give a client whose requests *app* answers; around it is the application's life, as a server would have it."""
    told: asyncio.Queue[dict[str, str]] = asyncio.Queue()
    answers: asyncio.Queue[dict[str, str]] = asyncio.Queue()
    async with asyncio.TaskGroup() as group:
        life = group.create_task(app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, told.get, answers.put))
        try:
            await told.put({"type": "lifespan.startup"})
            if (await answers.get())["type"] == "lifespan.startup.complete":  # else *life* raises what was wrong
                async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://bookshop") as client:
                    yield client
        finally:
            await told.put({"type": "lifespan.shutdown"})
            await asyncio.wait([life])
