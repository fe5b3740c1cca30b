"""Which open generics does a layer register, and which of them serve a closed one?"""

from __future__ import annotations

import typing
from collections.abc import Hashable, Sequence
from typing import Any

from .._declare.keys import plain_of
from .._declare.makers import Maker
from .._declare.registry import Registration, Registry, registry_of, snapshot
from .._names import name_of
from .generics import (
    DEEPEST,
    Binding,
    Opened,
    depth_of,
    is_case_of,
    is_open,
    match_all,
    names_of,
    open_key_of,
    quoted_in,
    refusal,
    substitution,
    variables_of,
)

__all__ = ["OpenKeys", "binding_for", "binding_within", "bound_entries", "is_more_general"]

_Entry = Registration | list[Registration]


class OpenKeys:
    """The open generics of layers, as far as somebody has asked."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[Registry, dict[Any, list[Any]]] = {}

    def of(self, registry: Registry, opened: Opened) -> list[tuple[Any, _Entry]]:
        """Return the open keys of the class, and the names, of *opened*, with what a layer registers under them."""
        known = self._known.get(registry)
        if known is None:
            known = self._known[registry] = {}
            for key in snapshot(registry.entries):
                if is_open(key):
                    plain = plain_of(key)
                    known.setdefault((typing.get_origin(plain) or plain, names_of(key)), []).append(key)
        return [(key, registry.entries[key]) for key in known.get((opened.origin, opened.names), ())]

    def why_not(self, key: Hashable, layers: Sequence[Registry]) -> str:
        """Return why no open generic of *layers* serves *key* although one has its form, else ""."""
        opened = open_key_of(key)
        quoted = quoted_in(plain_of(key)) if opened is None else ""
        if quoted:
            return f"{quoted} in quotes is read in annotations only, where a module says what it names: write it without quotes"
        if opened is None:
            return ""
        if depth_of(key) > DEEPEST:
            return f"generics are nested more than {DEEPEST} deep in it: something needs itself, with an ever longer argument"
        makers = [
            (candidate, one.maker.cls, str(one.place))
            for registry in layers
            for candidate, entry in self.of(registry, opened)
            for one in (entry if isinstance(entry, list) else (entry,))
        ]
        service = registry_of(opened.origin)
        if service is not None:
            makers.append((opened.origin, opened.origin, str(service.place)))
        for candidate, cls, place in makers:
            why = refusal(plain_of(candidate), cls, opened.origin, opened.arguments)
            if why:
                return f"{name_of(candidate)} ({place}) would serve it, but {why}"
        return ""


def binding_for(key: Any, candidate: Any, maker: Maker, opened: Opened) -> Binding | None:
    """
    Return the variables' values with which a registration serves a closed generic; None where it does not.

    Args:
        key: The registration's own key.
        candidate: The one of its keys that is looked at.
    """
    binding = substitution(plain_of(candidate), maker.cls if maker.form is None else None, opened.origin, opened.arguments)
    if binding is None or candidate == key or (maker.cls is not None and maker.form is None):
        return binding
    # Under one more key: what its own key names, so that it is one value.
    own = plain_of(key)
    if all(one in binding for one in variables_of(own)):
        return {one: binding[one] for one in variables_of(own)}
    found: Binding = {}
    return found if match_all(getattr(own, "__args__", variables_of(own)), opened.arguments, found) else binding


def binding_within(registration: Registration, opened: Opened | None) -> Binding | None:
    """Return the variables' values with which *registration* serves a closed generic, by whichever of its keys; else None."""
    if opened is None:
        return None
    found = (binding_for(registration.key, candidate, registration.maker, opened) for candidate in registration.keys)
    return next((binding for binding in found if binding is not None), None)


def bound_entries(entries: Sequence[Registration], candidate: Any, opened: Opened) -> list[tuple[Registration, Binding]]:
    """Return the elements of an open multi key that serve a closed one."""
    pairs = [(one, binding_for(one.key, candidate, one.maker, opened)) for one in entries]
    return [(one, binding) for one, binding in pairs if binding is not None]


def is_more_general(candidate: Any, keys: tuple[Hashable, ...]) -> bool:
    """Tell whether an open key serves more than each of *keys* does, which stand in the same layer."""
    return candidate not in keys and any(is_case_of(key, candidate) for key in keys)
