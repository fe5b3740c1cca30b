"""What do overrides mean?  A layer above a graph, whose keys they have."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from .._declare.entries import value_registration
from .._declare.keys import token_key
from .._declare.providers import Overrides, read_providers
from .._declare.registrations import Particular, Registration
from .._declare.registry import Registry
from .._names import Place, close_to, is_a, name_of
from ..errors import DeclarationError, GraphError
from .checks import grouped
from .graph import Graph
from .nodes import CONTAINER, SCOPE, Ambiguous
from .wording import missing_error

__all__ = ["layer_of", "read_overrides", "refuse_unknown"]

_PROVIDER_KEYS = frozenset({"provide", "value", "use_value", "use_class", "use_factory", "use_existing", "deps", "inject", "multi"})


def layer_of(overrides: Overrides, graph: Graph, place: Place) -> Registry:
    """
    Return *overrides* as a layer above *graph*, whose keys they have.

    Raises:
        DeclarationError: They are neither a mapping nor a provider list, or plainly a single provider.
        MissingDependencyError: Nothing provides a key.
    """
    registry = read_overrides(overrides, graph, place)
    refuse_unknown(graph, registry)
    return registry


def read_overrides(overrides: Overrides, graph: Graph, place: Place) -> Registry:
    """Return *overrides* as a layer: a mapping gives values, a provider list gives factories."""

    def multi(key: Any) -> bool:
        try:
            return isinstance(graph.find(None, key), tuple)
        except Ambiguous:
            return False

    registry = Registry(None, place=place)
    if isinstance(overrides, Mapping):
        if "provide" in overrides and all(isinstance(key, str) for key in overrides) and _PROVIDER_KEYS.issuperset(overrides):
            raise DeclarationError("these overrides are one provider; write a list: [{...}]", str(place))
        for token, value in overrides.items():
            found = _values(token, value, place, multi)
            if not found:
                registry.add_none(token_key(token))
            for registration in found:
                registry.add(registration, replace=True)
        return registry
    if isinstance(overrides, Sequence) and not isinstance(overrides, str | bytes):
        registry.add_all(read_providers(overrides, place))
        for key, entry in registry.entries.items():
            _refuse_mixed(key, isinstance(entry, list), graph, place)
        return registry
    raise DeclarationError(
        f"overrides are a mapping from tokens to values, or a provider list; not a {name_of(type(overrides))}"
        + (f': write [{{"provide": ..., "use_class": {name_of(overrides)}}}]' if is_a(overrides, type) else ""),
        str(place),
    )


def _refuse_mixed(key: Hashable, several: bool, graph: Graph, place: Place) -> None:
    """Refuse a provider that puts one value in the place of several, or the other way about."""
    try:
        below = graph.find(None, key)
    except Ambiguous:
        return
    if below is None or isinstance(below, tuple) is several:
        return
    name = name_of(key)
    raise DeclarationError(
        f'{name} is registered without multi=True: leave "multi" out'
        if several
        else f'{name} is registered with multi=True: {{"provide": {name}, ..., "multi": True}} replaces the whole, and a name in '
        "the place of True the member of that name",
        str(place),
    )


def _values(token: Any, value: object, place: Place, multi: Any) -> list[Registration]:
    if not multi(token_key(token)):
        return [value_registration(token, value, place)]
    if isinstance(value, Mapping) and value:
        chosen = [(name, value_registration(token, one, place, multi=True)) for name, one in value.items()]
        for name, registration in chosen:
            assert isinstance(registration, Particular)
            registration.named = (name,)
        return [registration for _, registration in chosen]
    if not isinstance(value, list | tuple):
        raise DeclarationError(
            f"{name_of(token)} is registered with multi=True: override it with a list, which replaces the whole, or with a "
            "mapping from the names of members to values",
            str(place),
        )
    return [value_registration(token, one, place, multi=True) for one in value]


def refuse_unknown(graph: Graph, registry: Registry) -> None:
    """Refuse keys that nothing below provides."""
    errors: list[GraphError] = []
    for key in registry.entries:
        try:
            known = graph.find(None, key) is not None
        except Ambiguous:
            known = True
        known = known or any(key in node.registration.keys for node in graph.nodes.values())
        if not known:
            error = missing_error(graph, key)
            near = close_to(name_of(key), error.close_to)
            hint = "It cannot be overridden; say new=True where it is meant to be new"
            meant = _stands_for(graph, key)
            if meant is not None:
                near, hint = (), f"Nothing asks for it; to put it in the place of {name_of(meant)} write [{_provider(meant, key)}]"
            errors.append(type(error)(error.key, error.path, error.where, near if meant else near or error.close_to, hint))
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise grouped(graph, errors)


def _stands_for(graph: Graph, key: Any) -> Hashable | None:
    """Return the registered key that a class which nothing registers is made to stand for: the nearest of its bases."""
    if not is_a(key, type):
        return None
    for base in key.__mro__[1:-1]:
        with suppress(Ambiguous):
            found = graph.find(None, base)
            if found is not None and (isinstance(found, tuple) or found.kind not in (CONTAINER, SCOPE)):
                return base
    return None


def _provider(key: Hashable, cls: Any) -> str:
    return f'{{"provide": {name_of(key)}, "use_class": {name_of(cls)}}}'
