"""Which services are started with their injector?"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from .._declare.providers import Provider
from .._names import name_of
from ..errors import DeclarationError

__all__ = ["LIFECYCLE", "LifecycleService", "Service", "provideLifecycle"]

#: The token of Ascender's own lists.
LIFECYCLE = "LIFECYCLE_TOKENS"


def provideLifecycle(tokens: Sequence[Hashable]) -> Provider:
    """
    Return a provider that lists services to start when the injector is entered: ``async with``.

    Their ``on_startup`` is awaited in this order, their ``on_shutdown`` in reverse when the injector closes.
    """
    if not isinstance(tokens, Sequence) or isinstance(tokens, str | bytes):
        raise DeclarationError(f"provideLifecycle takes a list of tokens, not a {name_of(type(tokens))}")
    return {"provide": LIFECYCLE, "value": list(tokens), "multi": True}


class Service:
    """A base for services of an Ascender program; it does nothing."""


class LifecycleService(Service):
    """A service that is started and stopped, where `provideLifecycle` lists it."""

    async def on_startup(self) -> None:
        """Do what the constructor cannot await."""

    async def on_shutdown(self) -> None:
        """Undo it; runs where `on_startup` has returned."""
