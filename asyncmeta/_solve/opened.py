"""Which open generics does a layer register, and which of them serve a closed one?"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from .._declare.keys import plain_of
from .._declare.makers import Maker
from .._declare.registrations import Registration
from .._declare.registry import Registry, registry_of, snapshot
from .._names import name_of
from .bindings import is_case_of, match_all, most_specific, refusal, substitution
from .generics import DEEPEST, Binding, Opened, depth_of, is_open, names_of, open_key_of, quoted_in, variables_of
from .nodes import Ambiguous, Node

if TYPE_CHECKING:

    class Finder(Protocol):
        """What finds registrations along layers: the lookup, from which all of this is asked."""

        @property
        def over(self) -> tuple[Registry, ...]: ...
        @property
        def layers(self) -> tuple[Registry, ...]: ...
        @property
        def of_app(self) -> frozenset[type | None]: ...
        def layers_of(self, view: type | None) -> tuple[Registry, ...]: ...
        def open_keys(self) -> OpenKeys: ...
        def all_of(self, view: type | None, key: Hashable) -> tuple[Node, ...]: ...
        def implicit_registration(self, registry: Registry) -> Registration: ...
        def node(self, registration: Registration, view: type | None, rank: int, key: Hashable, binding: Binding, /) -> Node: ...


__all__ = ["OpenKeys", "binding_for", "binding_within", "bound_entries", "hint_of_quoted", "is_more_general", "node_of", "nodes_of"]

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
            return hint_of_quoted(quoted, layers)
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


def binding_within(registration: Registration, opened: Opened) -> Binding | None:
    """Return the variables' values with which *registration* serves a closed generic, by whichever of its keys; else None."""
    found = (binding_for(registration.key, candidate, registration.maker, opened) for candidate in registration.keys)
    return next((binding for binding in found if binding is not None), None)


def bound_entries(entries: Sequence[Registration], candidate: Any, opened: Opened) -> list[tuple[Registration, Binding]]:
    """Return the elements of an open multi key that serve a closed one."""
    pairs = [(one, binding_for(one.key, candidate, one.maker, opened)) for one in entries]
    return [(one, binding) for one, binding in pairs if binding is not None]


def is_more_general(candidate: Any, keys: tuple[Hashable, ...]) -> bool:
    """Tell whether an open key serves more than each of *keys* does, which stand in the same layer."""
    return candidate not in keys and any(is_case_of(key, candidate) for key in keys)


# --- the nodes of what serves -------------------------------------------------------------------------


def nodes_of(lookup: Finder, opened: Opened, key: Hashable, registry: Registry, view: type | None, rank: int) -> list[Node]:
    """Return the nodes of the elements of open multi keys of one layer that serve *key*, a closed one."""
    found: list[Node] = []
    for candidate, entry in lookup.open_keys().of(registry, opened):
        if isinstance(entry, list):
            found += [lookup.node(one, view, rank, key, binding) for one, binding in bound_entries(entry, candidate, opened)]
    return found


def node_of(lookup: Finder, opened: Opened, view: type | None, key: Hashable, below: Node | None) -> Node | tuple[Node, ...] | None:
    """
    Find an open generic that serves *key*, a closed one.

    Args:
        below: The node that asks, where the key is its own: what is more general in its layer, or lies below that.
    """
    origin = opened.origin
    layers = lookup.layers_of(view)
    over = len(lookup.over)
    shared = over + len(layers) - len(lookup.layers)
    listed: Node | None = None
    start = 0 if below is None else len(layers) - below.rank - 1
    for position, registry in enumerate(layers[start:], start):
        served: dict[Any, Binding] = {}
        for candidate, entry in lookup.open_keys().of(registry, opened):
            if below is not None and position == start and not is_more_general(candidate, below.registration.keys):
                continue
            if isinstance(entry, list):
                if bound_entries(entry, candidate, opened):
                    return lookup.all_of(view, key)
                continue
            binding = binding_for(entry.key, candidate, entry.maker, opened)
            if binding is not None:
                served[candidate] = binding
        if served:
            candidate = most_specific(served)
            found = registry.entries[candidate]
            assert isinstance(found, Registration)
            if found.rivals:
                raise Ambiguous(found)
            where = view if over <= position < shared else None
            node = lookup.node(found, where, len(layers) - position - 1, key, served[candidate])
            if not found.bare:
                return node
            listed = listed or node
    if listed is not None:
        return listed
    service = registry_of(origin)
    if below is not None and below.maker.cls is origin:
        return None
    if service is not None and service.cls not in lookup.of_app and not inspect.isabstract(origin):
        binding = substitution(origin, service.cls, origin, opened.arguments)
        if binding is not None:
            return lookup.node(lookup.implicit_registration(service), None, -1, key, binding)
    return None


def hint_of_quoted(quoted: str, layers: Sequence[Registry]) -> str:
    """Return what to say of a name in quotes that is the argument of a form: a token that is a string is asked for by a mark."""
    if any(quoted in layer.entries for layer in layers):
        return f'"{quoted}" is a token that is a string, and no type: ask for Annotated[..., Inject("{quoted}")]'
    return f"{quoted} in quotes is read in annotations only, where a module says what it names: write it without quotes"
