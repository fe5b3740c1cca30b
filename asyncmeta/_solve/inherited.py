"""What does a child leave to its parent?  A graph of a few registrations, above one that serves everything else."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

from .._declare.lifetimes import CONTAINER_LEVEL
from .._declare.registrations import Registration
from .._declare.registry import Registry
from .graph import Graph
from .layered import LayeredGraph
from .nodes import CONTAINER, CONTEXT, LATER, NODE, SCOPE, Edge, Node, Site, Target

__all__ = ["InheritedGraph"]


class InheritedGraph(LayeredGraph):
    """
    The graph of a child.

    What lives in the parent's container is the parent's own node, with what the parent makes of it: one object for both.
    What lives shorter has a copy here, because scopes opened here have slots of their own; its dependencies are the
    parent's all the same.
    """

    def __init__(self, own: Registry, parent: Graph, *, app: type, up: Registration) -> None:
        """
        Args:
            own: The child's registrations.
            app: What to call the whole.
            up: What gives the parent's container, for copies of what takes a `Container`.
        """
        self.below, self._own = parent, set()
        self.up = up
        #: copies, and what they are copies of
        self._origins: dict[Node, Node] = {}
        own.scopes = tuple(parent.levels[1:])
        own.context = _by_level(parent)
        super().__init__((own,), parent.builtin, app=app, hooks=parent.hooks)
        for graph in self._above():
            for registry in graph.layers:
                registry.watch(self)

    def _above(self) -> list[Graph]:
        """Return the parent, its parent and so on."""
        found = [self.below]
        while isinstance(found[-1], InheritedGraph):
            found.append(found[-1].below)
        return found

    def declared(self, fresh: Registration | None = None) -> None:
        super().declared()  # what its parent has missed for it is not noted there

    def app_node(self) -> Node:
        return self._builtin_node(self.app, CONTAINER)  # nothing is built for it

    # --- looking up ---

    def _search(self, view: type | None, key: Hashable, shadowed_by: Node | None) -> Node | tuple[Node, ...] | None:
        found = super()._search(view, key, shadowed_by)
        if found is not None:
            return found
        found = self.below.find(None, key)
        if isinstance(found, tuple):
            return tuple(map(self._mine, found))
        return None if found is None else self._mine(found)

    def from_context(self, key: Hashable, level: int) -> Node:
        found = super().from_context(key, level)
        return self._mine(self.below.from_context(key, level)) if found.kind == CONTEXT else found

    def _implicit(self, key: Hashable) -> Node | None:
        return None  # service classes that nobody registers live where the shared layer is: at the root

    def _generic(self, view: type | None, key: Hashable, below: Node | None = None) -> Node | tuple[Node, ...] | None:
        found = super()._generic(view, key, below)
        return None if isinstance(found, Node) and found.rank < 0 else found

    def find_own(self, key: Hashable) -> bool:
        """Tell whether the child itself serves *key*."""
        return super()._search(None, key, None) is not None

    def serve(self, site: Site) -> Target:
        user = site.user
        if user is None:
            return super().serve(site)
        origin = self._origins.get(user)
        if origin is not None:
            site = Site(site.ask, site.view, site.name, site.place, origin, site.level)
        elif user in self._own:
            return super().serve(site)
        return self._mapped(self.below.serve(site))

    def names_near(self, key: Hashable) -> tuple[str, ...]:
        return super().names_near(key) or self.below.names_near(key)

    def hint_for(self, key: Hashable) -> str:
        return super().hint_for(key) or self.below.hint_for(key)

    # --- what is the parent's ---

    def _mine(self, node: Node) -> Node:
        """Return the node that stands here for one of the parent's."""
        if node.level == CONTAINER_LEVEL or node.kind == SCOPE:
            return node
        if node.kind == CONTEXT:
            return self.context_nodes[node.key, node.level]
        copy = self.nodes.get(("copy", node))
        if copy is None:
            copy = self.nodes["copy", node] = Node(node.registration, node.maker, node.kind, node.level, node.view, -1)
            copy.key, copy.owner, copy.binding, copy.problems = node.key, node.owner, node.binding, node.problems
            self._own.add(copy)
            self._origins[copy] = node
            value = self.below.context_nodes.get((node.key, node.level))
            if value is not None and value.slot == node.slot:
                copy.slot = self.context_nodes[node.key, node.level].slot
            else:
                self._give_slot(copy)
            if node.constructed is not None:
                copy.constructed = self._mine(node.constructed)
        if node.maker.cls is not None and self.below.instances.get(node.maker.cls) is node:
            self.instances.setdefault(node.maker.cls, copy)
        return copy

    def _mapped(self, target: Target) -> Target:
        node = target.node
        if node is not None:
            mine = self.node(self.up, None, -1) if node.kind == CONTAINER else self._mine(node)
            if mine is node:
                return target
            return mine.target if target.how == NODE else Target(target.how, node=mine, value=target.value, site=target.site)
        if target.nodes:
            return Target(target.how, nodes=tuple(map(self._mine, target.nodes)), value=target.value, site=target.site)
        return target

    def settle(self, node: Node) -> None:
        if node.kept is not None:
            return
        origin = self._origins.get(node)
        if origin is None:
            super().settle(node)
            return
        edges = tuple([Edge(edge.name, edge.kind, self._mapped(edge.target)) for edge in self.below.expand(origin)])
        node.deferred = tuple([Edge(edge.name, edge.kind, self._mapped(edge.target)) for edge in origin.deferred])
        node.needs = tuple([
            other for edge in edges if edge.target.how not in LATER for other in edge.target.each()
        ])  # fmt: skip
        node.problems = origin.problems
        node.kept = edges
        self.expansions += 1


def _by_level(graph: Graph) -> Mapping[str, tuple[Hashable, ...]]:
    """Return the context keys of *graph* by the name of their level, as a class declares them."""
    found: dict[str, tuple[Hashable, ...]] = {}
    for key, level in graph.context_nodes:
        if level == CONTAINER_LEVEL:
            continue  # the parent's own
        name = graph.levels[level]
        found[name] = (*found.get(name, ()), key)
    return found
