"""What do the graphs of overlays and children share?  Each lies above another one, and has only some nodes of its own."""

from __future__ import annotations

from .._declare.registrations import Registration
from .generics import Binding
from .graph import Graph
from .nodes import Node

__all__ = ["LayeredGraph"]


class LayeredGraph(Graph):
    """A graph above another one, whose nodes it uses as they are; those of its own stand beside them, or in their place."""

    below: Graph
    _own: set[Node]

    def _forget(self) -> None:
        super()._forget()
        # What is shared and was found sound below is not looked at again.
        self.sound = _Sound(self.below)

    def refresh(self) -> None:
        self.below.refresh()
        super().refresh()

    def owns(self, node: Node) -> bool:
        """Tell whether *node* stands here, not in the graph below."""
        return node in self._own

    def graph_of(self, node: Node) -> Graph:
        return self if node in self._own else self.below.graph_of(node)

    def expanded_nodes(self) -> list[Node]:
        return [*super().expanded_nodes(), *self.below.expanded_nodes()]

    def known(self) -> int:
        return self.expansions + self.below.known()

    def settle(self, node: Node) -> None:
        if node in self._own:
            super().settle(node)
        else:
            self.below.settle(node)

    def _new_node(self, registration: Registration, view: type | None, rank: int, binding: Binding | None) -> Node:
        node = super()._new_node(registration, view, rank, binding)
        self._own.add(node)
        if node.constructed is not None:
            self._own.add(node.constructed)
        return node


class _Sound(set[Node]):
    """The nodes that are found sound above a graph, and those of the graph."""

    def __init__(self, below: Graph) -> None:
        super().__init__()
        self._below = below

    def __contains__(self, node: object) -> bool:
        return super().__contains__(node) or node in self._below.sound

    def __bool__(self) -> bool:
        return len(self) > 0 or bool(self._below.sound)
