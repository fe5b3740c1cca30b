"""What do overrides reach?  A graph that shares every node with another one except those downstream of its overrides."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Hashable, Iterable
from typing import Any
from weakref import WeakValueDictionary

from .._declare.lifetimes import CONTAINER_LEVEL, TRANSIENT_LEVEL
from .._declare.makers import GIVEN, VALUE, value_maker
from .._declare.registrations import Registration
from .._declare.registry import Registry
from ..errors import GraphError
from .checks import check_nodes, reached_from
from .generics import Binding, names_of
from .graph import Graph
from .layered import LayeredGraph
from .nodes import ARGUMENT, CONSTANT, CONTAINER, CONTEXT, DEFAULT, SCOPE, Node

__all__ = ["OverlaidGraph", "graph_of_many"]


class OverlaidGraph(LayeredGraph):
    """
    A graph with one more layer above another one.

    A node of the graph below that nothing overridden can be reached from is used as it is: one object, so that its value
    is built once for both.  The others have a twin here.  So has what lives shorter than the container, where scopes are
    opened here: they have slots of their own.
    """

    def __init__(self, below: Graph, overrides: Registry, *, new: bool, views: bool) -> None:
        """
        Args:
            below: The graph that is shared.
            overrides: Its keys are what is overridden.
            new: Some keys may be served by nothing below; who asks for them with a default is affected, too.
            views: Scopes are views of those below, and share with them what is not affected.
        """
        self.below, self._own = below, set()
        self.views = views
        self.shape: tuple[Any, ...] = ()  #: what those have in common that it is for; see `graph_of_many`
        self.keys = frozenset(overrides.entries)
        self.new = new
        self._affected: dict[Node, None] = {}
        self._affected_of = -1  #: how many nodes were expanded below when that was worked out
        self._reached: set[Node] = set()  #: nodes all of whose edges are known, those further down included
        super().__init__(
            below.layers[len(below.over) :],
            below.builtin,
            app=below.app,
            hooks=below.hooks,
            over=(overrides, *below.over),
            given=below.given,
        )
        self.shared, self.of_app, self.levels, self.context = below.shared, below.of_app, below.levels, below.context
        self.context_nodes, self.context_levels = below.context_nodes, below.context_levels
        self.slots = [0] * len(self.levels)
        if not views:
            for (_, level), node in self.context_nodes.items():
                self.slots[level] = max(self.slots[level], node.slot + 1)
        self.bad_levels = []

    def _forget(self) -> None:
        super()._forget()
        self.needs = ChainMap({}, self.below.needs)  # type: ignore[assignment]  # reads as one dictionary

    def declared(self, fresh: Registration | None = None) -> None:
        self._affected_of = -1
        self._reached.clear()
        super().declared()

    def overrides(self) -> list[Registration]:
        """Return the registrations of what is overridden here."""
        return [registration for entry in self.over[0].entries.values() for registration in _each(entry)]

    def node(
        self, registration: Registration, view: type | None, rank: int, key: Hashable = None, binding: Binding | None = None
    ) -> Node:
        if any(entry is registration for layer in self.over[:1] for entry in _entries(layer, registration.key)):
            return super().node(registration, view, rank, key, binding)
        below = self.below.node(registration, view, rank, key, binding)
        if self._has_twin(below):
            return super().node(registration, view, rank, key, binding)
        return below

    def instead(self, registration: Registration, value: Node, rank: int) -> Node:
        below = self.below.instead(registration, value, rank)
        return super().instead(registration, value, rank) if self._has_twin(below) else below

    def _take_slot(self, node: Node, value: Node) -> None:
        self._own.add(node)
        if not self.views:
            return super()._take_slot(node, value)
        node.slot = -1  # a slot among the overlay's own values
        self._give_slot(node)

    def find(self, view: type | None, key: Hashable, shadowed_by: Node | None = None) -> Node | tuple[Node, ...] | None:
        found = super().find(view, key, shadowed_by)
        if shadowed_by is None and isinstance(found, Node) and not self.owns(found):
            self.below.find(view, key)  # to be known there as well: when another one serves the key, what is built stays
        return found

    def given_nodes(self) -> list[Node]:
        """Return the nodes of what is overridden by values that each container brings along, in their order."""
        rank = len(self.layers) - 1
        return [self.node(registration, None, rank) for registration in self.overrides() if registration.maker.call is GIVEN]

    # --- what is affected ---

    def check_overrides(self) -> list[GraphError]:
        """
        Check what is overridden, and those who stand on it as far as they may no longer fit.

        The others fit as they did before, and are looked at when something asks for them.  What was found to fit does so
        until something is registered.
        """
        if self.kept.get("fits") is self.roots:
            return []
        rank = len(self.layers) - 1
        overriding = [self.node(registration, None, rank) for registration in self.overrides()]
        errors = check_nodes(self, overriding, plainly=None)
        if errors or self._may_harm(overriding):
            users = [
                self.node(one.registration, None if one.view is None else one.owner, one.rank, one.key, one.binding)
                for one in self.affected()
                if one.rank >= 0 and one.kind not in (CONTEXT, CONTAINER, SCOPE)
            ]
            errors = check_nodes(self, (*overriding, *users), plainly=None)
        if not errors:
            self.kept["fits"] = self.roots
        return errors

    def _may_harm(self, overriding: list[Node]) -> bool:
        """Tell whether sound overrides may make others unsound: by living shorter than they do, or by standing on them."""
        if not all(map(self._lives_as_before, overriding)):
            return True
        overrides = set(self.overrides())
        return any(self.owns(node) and node.registration not in overrides for node in self.sound)

    def _lives_as_before(self, node: Node) -> bool:
        """Tell whether what is overridden by *node* surely lived no longer, and made no more objects."""
        if node.level in (CONTAINER_LEVEL, TRANSIENT_LEVEL):
            return node.level == CONTAINER_LEVEL
        before = self.below.by_key()
        return all(key in before and all(one.level == node.level for one in before[key]) for key in node.registration.keys)

    def affected(self) -> list[Node]:
        """Return everything known of the graph below that is downstream of an override."""
        self._expand_from(self.below.expanded_nodes())
        if self._affected_of != self.below.known():
            self._work_out()
        return list(self._affected)

    def _has_twin(self, node: Node) -> bool:
        """Tell whether another node stands here in the place of *node*, of the graph below."""
        return (not self.views and node.level != CONTAINER_LEVEL) or self._is_affected(node)

    def _is_affected(self, node: Node) -> bool:
        """Tell whether *node*, of the graph below, is downstream of an override."""
        below = self.below
        if below.given and node is below.app_node():
            return False  # the user holds it
        self._expand_from((node,))
        if self._affected_of != below.known():
            self._work_out()
        return node in self._affected

    def _expand_from(self, nodes: Iterable[Node]) -> None:
        """See to it that all edges below *nodes* are known."""
        sound, reached = self.below.sound, self._reached
        unknown = [node for node in nodes if node not in sound and node not in reached]
        if unknown:
            reached.update(reached_from(self.below, unknown))

    def _work_out(self) -> None:
        """Find everything downstream of the overridden keys, by the users of each node."""
        below = self.below
        users, by_key = below.users(), below.by_key()
        pending = [node for key in self.keys for node in by_key.get(key, ())]
        found: dict[Node, None] = {}
        if self.new:
            pending_users = [node for node in below.expanded_nodes() if self._asks(node)]
            found.update(dict.fromkeys(pending_users))
            pending += pending_users
        while pending:
            for user in users.get(pending.pop(), ()):
                if user not in found:
                    found[user] = None
                    pending.append(user)
        if below.given:
            found.pop(below.app_node(), None)
        self._affected, self._affected_of = found, below.known()

    def _asks(self, node: Node) -> bool:
        """Tell whether a parameter of *node* asks for an overridden key, and has its default or a later candidate instead."""
        named = any(names_of(key) for key in self.keys)
        if not named and not any(edge.target.how in (CONSTANT, DEFAULT, ARGUMENT) for edge in node.edges):
            return False
        asks = (parameter.ask for parameter in self.below._parameters(node))
        return any(ask is not None and not self.keys.isdisjoint((ask.inner or ask).keys) for ask in asks)


def graph_of_many(below: Graph, overrides: Registry, *, new: bool) -> tuple[OverlaidGraph, list[Any]]:
    """
    Return the graph of an overlay that is seen by its handle, and the values that it brings along.

    One graph is for all overlays of one place that override the same keys by values, as of tenants: what was found out for
    one, and the code for it, serves the others.
    """
    values: list[Any] = []
    for entry in overrides.entries.values():
        if not isinstance(entry, Registration) or entry.maker.kind != VALUE or len(entry.keys) > 1:
            return OverlaidGraph(below, overrides, new=new, views=False), []
        values.append(entry.maker.call)
    place = overrides.place
    shape = (new, place.file, place.line, place.module, *overrides.entries)
    # By the hash: the keys themselves are held by the graph alone, and go with it.
    known: WeakValueDictionary[int, OverlaidGraph] = below.kept.setdefault("overlays", WeakValueDictionary())
    graph = known.get(hash(shape))
    if graph is None or graph.shape != shape:
        layer = Registry(None, place=place)
        for key, entry in overrides.entries.items():
            assert isinstance(entry, Registration)
            layer.add(Registration(key, value_maker(GIVEN), entry.lifetime, entry.place, options=entry.options), replace=True)
        graph = known[hash(shape)] = OverlaidGraph(below, layer, new=new, views=False)
        graph.shape = shape
    graph.refresh()
    return graph, values


def _entries(layer: Registry, key: Any) -> Iterable[Registration]:
    entry = layer.entries.get(key)
    return () if entry is None else _each(entry)


def _each(entry: Registration | list[Registration]) -> Iterable[Registration]:
    return entry if isinstance(entry, list) else (entry,)
