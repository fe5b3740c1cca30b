"""In which order does a nested list name its entries, and which lifetime does a group give them?"""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from .._names import Place, close_to, name_of
from ..errors import DeclarationError
from .lifetimes import Lifetime

__all__ = ["called", "flat", "lifetime_of"]

_LIFETIMES = {"singleton": "singleton", "scoped": "scoped", "transient": "transient", "request": "scoped"}


def flat(
    providers: Sequence[Any], place: Place, lifetime: str | None, *, is_entry: Callable[[Any], bool]
) -> Iterator[tuple[str, Any, str | None]]:
    """
    Give each entry with its position, "2" or "2[0][1]", and the lifetime of its group; iterative: no depth is too deep.

    Args:
        is_entry: Tells what is one; all else is a list or a group of them, or a mistake.
    """
    lists: list[Sequence[Any]] = [providers]
    lifetimes = [lifetime]
    positions = [-1]
    inside = {id(providers)}
    while lists:
        positions[-1] += 1
        here = lists[-1]
        if positions[-1] >= len(here):
            inside.discard(id(lists.pop()))
            positions.pop()
            lifetimes.pop()
            continue
        entry = here[positions[-1]]
        of_group = lifetimes[-1]
        if isinstance(entry, Mapping) and "providers" in entry and "provide" not in entry:
            try:
                entry, of_group = _group(entry)
            except DeclarationError as error:
                raise DeclarationError(f"provider {_position(positions)}: {error.message}", str(place)) from None
        if is_entry(entry):
            yield _position(positions), entry, of_group
        elif isinstance(entry, list | tuple):
            if id(entry) in inside:
                raise DeclarationError(f"provider {_position(positions)} is a list that contains itself", str(place))
            inside.add(id(entry))
            lists.append(entry)
            lifetimes.append(of_group)
            positions.append(-1)
        else:
            raise DeclarationError(f"provider {_position(positions)} is {called(entry)}{_meant(entry)}", str(place))


def _group(group: Mapping[Any, Any]) -> tuple[Any, str]:
    """Return the list of a group, and the lifetime of its plain classes and functions."""
    unknown = [word for word in group if word not in ("providers", "lifetime")]
    if unknown or "lifetime" not in group:
        wrong = f"{name_of(unknown[0])} is no key of a group" if unknown else "a group says a lifetime"
        raise DeclarationError(f'{wrong}: {{"lifetime": "scoped", "providers": [...]}}')
    if not isinstance(group["providers"], list | tuple):
        raise DeclarationError(f"providers is a list, not {called(group['providers'])}")
    return group["providers"], lifetime_of("lifetime", group["lifetime"])


def _position(positions: list[int]) -> str:
    return str(positions[0]) + "".join([f"[{position}]" for position in positions[1:]])


def called(thing: object) -> str:
    return "None" if thing is None else f"a {type(thing).__name__}"


def _meant(entry: object) -> str:
    """Return what may have been meant by something that is no provider."""
    if entry is None:
        return ": did a helper forget to return its providers?"
    if isinstance(entry, str | set | frozenset | Iterator) or typing.get_origin(entry) is not None:
        return "; a provider is a class, a function, a dictionary, or a list of them"
    if callable(entry):
        return '; a factory that is no plain function is written {"provide": ..., "use_factory": ...}'
    return '; a value is written {"provide": ..., "value": ...}'


def lifetime_of(word: str, lifetime: Any) -> str:
    if isinstance(lifetime, Lifetime):  # also a level of the application's own
        return lifetime
    found = _LIFETIMES.get(lifetime) if isinstance(lifetime, str) else None
    if found is None:
        near = close_to(lifetime, _LIFETIMES) if isinstance(lifetime, str) else ()
        raise DeclarationError(
            f"{word} is singleton, scoped (request) or transient, not "
            + (name_of(lifetime) if isinstance(lifetime, str) else called(lifetime))
            + (f"; did you mean {near[0]}?" if near else '; a level of your own is written Lifetime("name")')
        )
    return found
