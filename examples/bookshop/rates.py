"""What a euro is worth elsewhere: asked over HTTP, remembered for a while."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from decimal import ROUND_HALF_UP, Decimal
from typing import Literal

import httpx

from asyncmeta import AsyncServiceBase, inject_dependency

from .cache import Cache
from .settings import Settings

log = logging.getLogger(__name__)

Currency = Literal["EUR", "GBP", "SEK", "USD"]  #: each has a hundred cents
FRESH = 600  #: seconds that rates are good for
MOST = 1_000_000  #: of a currency for a euro; what is above is a mistake
PATIENCE = 15  #: seconds until who did not answer is asked again


class NoRates(Exception):
    """Nobody knows what a euro costs at the moment."""


class Rates:
    """What prices are in another currency."""

    def __init__(self, client: httpx.AsyncClient, cache: Cache) -> None:
        self._client = client
        self._cache = cache
        self._asking = asyncio.Lock()

    async def of(self, currency: Currency) -> Decimal:
        """Return how much of *currency* a euro is, or raise NoRates."""
        if currency == "EUR":
            return Decimal(1)
        try:
            rates = json.loads(await self._table(), parse_float=Decimal, parse_int=Decimal)["rates"]
            rate: Decimal = rates[currency]
            if not (isinstance(rate, Decimal) and rate.is_finite() and 0 < rate < MOST):
                raise ValueError(f"{currency}: {rate!r}")
        except (ValueError, KeyError, TypeError) as error:
            raise NoRates(currency) from error
        return rate

    async def _table(self) -> str:
        async with self._asking:  # of many requests that miss it at once, one asks
            table = await self._cache.get("rates")
            if table is None:
                try:
                    response = await self._client.get("latest", params={"base": "EUR"})
                    table, fresh = response.raise_for_status().text, FRESH
                except httpx.HTTPError as error:
                    log.warning("no rates: %r", error)
                    table, fresh = "{}", PATIENCE  # remembered too: or each page would wait for who does not answer
                await self._cache.put("rates", table, fresh)
        return table


def converted(cents: int, rate: Decimal) -> int:
    """Return cents of another currency, rounded as people do."""
    return int((cents * rate).quantize(Decimal(1), ROUND_HALF_UP))


def stand_in(request: httpx.Request) -> httpx.Response:
    """Answer as the service of the rates would; the rates are made up."""
    return httpx.Response(200, json={"base": "EUR", "rates": {"GBP": 0.85, "SEK": 11.5, "USD": 1.1}})


class Supplying(AsyncServiceBase):
    """The layer of the services that others run."""

    @inject_dependency
    async def open_client(self, settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
        """Open a client for the service of the rates; without an address it is answered by the stand-in."""
        transport = None if settings.rates_url else httpx.MockTransport(stand_in)
        async with httpx.AsyncClient(base_url=settings.rates_url or "http://rates", transport=transport, timeout=2) as client:
            yield client
