"""
What does an application look like?  Its graph as text, Mermaid, DOT, JSON and a page; and what changed in it.

>>> from asyncmeta import AsyncServiceBase, Container
>>> class App(AsyncServiceBase): ...
>>> print(diagram(Container(App)).to_text())
App  singleton
"""

from __future__ import annotations

from typing import Any

from .._solve.graph import Graph
from .changes import Change, changes
from .facts import Facts, Item, Line, facts_of
from .texts import as_json, dot, mermaid, tree
from .web import graph_page

__all__ = ["Change", "Diagram", "Item", "Line", "changes", "diagram"]


class Diagram(Facts):
    """
    What an application declares and reaches, to be shown.

    A picture of the moment in which it was made.  Every form of it shows names and places, escaped, and never a value.
    """

    __slots__ = ()

    def to_text(self, *, ascii: bool = False) -> str:
        """Return a tree: what nothing needs, and below each what it needs; what was drawn before is not drawn again."""
        return tree(self, ascii)

    def to_mermaid(self) -> str:
        """Return a Mermaid flowchart, which many places that show Markdown draw."""
        return mermaid(self)

    def to_dot(self) -> str:
        """Return the graph for Graphviz."""
        return dot(self)

    def to_json(self) -> str:
        """Return all facts as JSON, for other tools and for `changes`."""
        return as_json(self)

    def to_html(self) -> str:
        """Return one self-contained page with a drawing, a search and the facts of each node; it loads nothing."""
        return graph_page(self)


def diagram(source: Any, *, whole: bool = False) -> Diagram:
    """
    Return the picture of a container's application.

    Problems are marked, not raised: ``diagram(Container(App, check=False))`` shows a graph that no container would run.

    Args:
        source: A container.
        whole: Show all of the shared layer too, reached or not.
    """
    graph = source if isinstance(source, Graph) else source._graph
    facts = facts_of(graph, whole=whole)
    return Diagram(facts.application, facts.levels, facts.items, facts.problems)
