"""What does a provider list say?  The dialect in which registrations can be written, translated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .._names import Place, name_of, place_of_caller
from ..errors import DeclarationError
from .makers import maker_of
from .registry import Registration, registry_of

__all__ = ["read_providers"]


def read_providers(providers: Sequence[Any], place: Place | None = None) -> list[Registration]:
    """
    Return the registrations that *providers* stand for; the list is not changed.

    Raises:
        DeclarationError: An entry is nothing that can be registered; it names the position.
    """
    if isinstance(providers, str | bytes) or not isinstance(providers, Sequence):
        raise DeclarationError(f"providers is a list, not a {type(providers).__name__}")
    place = place or place_of_caller()
    found: list[Registration] = []
    for position, entry in enumerate(providers):
        if not isinstance(entry, type):
            raise DeclarationError(f"provider {position} is a class, not a {name_of(type(entry))}", str(place))
        registry = registry_of(entry)
        lifetime = registry.lifetime if registry is not None else "singleton"
        registration = Registration(entry, maker_of(entry), lifetime, place)
        registration.entry = True
        found.append(registration)
    return found
