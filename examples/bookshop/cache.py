"""What need not be asked twice, and who remembers it."""

import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Protocol

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from asyncmeta import AsyncServiceBase, inject_dependency

from .settings import Settings

log = logging.getLogger(__name__)


class Clock:
    """What time it is; tests bring another one."""

    def now(self) -> datetime:
        return datetime.now(UTC)


class Cache(Protocol):
    """Keeps texts for a while. It may forget earlier, so ask it for nothing that cannot be had again."""

    async def get(self, key: str) -> str | None: ...

    async def put(self, key: str, value: str, seconds: int) -> None: ...

    async def ping(self) -> None:
        """Raise if it does not work."""


class MemoryCache:
    """For one process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: dict[str, tuple[str, datetime]] = {}

    async def get(self, key: str) -> str | None:
        value, until = self._kept.get(key, ("", datetime.min.replace(tzinfo=UTC)))
        return value if self._clock.now() < until else None

    async def put(self, key: str, value: str, seconds: int) -> None:
        self._kept[key] = (value, self._clock.now() + timedelta(seconds=seconds))

    async def ping(self) -> None: ...


class RedisCache:
    """For all processes that know the same redis. One that is away has forgotten everything, and that is all."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def get(self, key: str) -> str | None:
        try:
            found = await self._redis.get(f"bookshop:{key}")
        except RedisError as error:
            log.warning("the cache cannot be read: %s", error)
            return None
        return None if found is None else str(found)

    async def put(self, key: str, value: str, seconds: int) -> None:
        try:
            await self._redis.set(f"bookshop:{key}", value, ex=seconds)
        except RedisError as error:
            log.warning("the cache cannot be written: %s", error)

    async def ping(self) -> None:
        await self._redis.echo("are you there?")


class Caching(AsyncServiceBase, providers=[Clock]):
    """The layer of the cache."""

    @inject_dependency(Cache, health="ping")
    async def open_cache(self, settings: Settings, clock: Clock) -> AsyncIterator[Cache]:
        """Open the cache that the settings name; lives as long as the container."""
        if not settings.redis_url:
            yield MemoryCache(clock)
            return
        # Who asks a cache does not wait long: a second at most, and once more if its connection has gone.
        retry = Retry(NoBackoff(), 1)
        url = settings.redis_url
        async with Redis.from_url(url, decode_responses=True, socket_timeout=1, socket_connect_timeout=1, retry=retry) as redis:
            yield RedisCache(redis)
