"""
Chores for workers: ``taskiq worker examples.bookshop.queue:broker``; what they are told goes through redis.

Workers open the very class that serves the web without them: the same layers, and a session for each chore.
"""

from collections.abc import AsyncIterator

from taskiq_redis import RedisStreamBroker

from asyncmeta import AsyncServiceBase, inject_dependency
from asyncmeta.integrations.taskiq import From, setup

from .app import Bookshop
from .chores import Chores
from .printing import Clerk
from .settings import Settings

#: Streams: what a worker that died had not done is told to another one, after a minute.
#: Without a timeout of the socket, for which redis' client uses a ``wait_for`` that may swallow a cancellation on
#: CPython 3.11: the worker that is asked to stop there would fetch on, and never end.
broker = RedisStreamBroker(
    Settings().redis_url or "redis://127.0.0.1:6379/0",
    queue_name="bookshop",
    idle_timeout=60_000,
    unacknowledged_lock_timeout=10,
    xread_block=500,
    socket_timeout=None,
)
setup(broker, "examples.bookshop.app:Bookshop", jitter=0.5)


@broker.task
async def receipt(number: str, clerk: From[Clerk]) -> None:
    await clerk.receipt(number)


@broker.task
async def thumbnail(code: str, clerk: From[Clerk]) -> None:
    await clerk.thumbnail(code)


class Told:
    """Tells workers of each chore."""

    async def receipt(self, number: str) -> None:
        await receipt.kiq(number)

    async def thumbnail(self, code: str) -> None:
        await thumbnail.kiq(code)


class Queued(AsyncServiceBase):
    """The layer of a shop with workers: above ``chores.InProcess`` it wins."""

    @inject_dependency(Chores)
    async def open_queue(self) -> AsyncIterator[Chores]:
        await broker.startup()
        try:
            yield Told()
        finally:
            await broker.shutdown()


class QueuedBookshop(Queued, Bookshop):
    """The bookshop whose chores are done by others."""
