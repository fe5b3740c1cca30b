"""How does one value lead to another?  The shortest way along what is taken eagerly."""

from __future__ import annotations

from collections.abc import Iterable

from .graph import Graph
from .nodes import Node
from .plan import MANY, TEMP, Plan, Ref, Unit

__all__ = ["way_down", "way_in", "way_to"]


def way_to(goal: Node, starts: Iterable[Node]) -> list[Node]:
    """Return the nodes from one of *starts* to *goal*, both included; nothing where none leads there."""
    came_from: dict[Node, Node | None] = dict.fromkeys(starts)
    here = list(came_from)
    while here and goal not in came_from:
        following: list[Node] = []
        for node in here:
            for other in node.needs:
                if other not in came_from:
                    came_from[other] = node
                    following.append(other)
        here = following
    way: list[Node] = []
    step: Node | None = goal if goal in came_from else None
    while step is not None:
        way.append(step)
        step = came_from[step]
    way.reverse()
    # A service that starts is one step, in two halves.
    halves = {one.constructed for one in way}
    return [one for one in way if one not in halves]


def way_in(plan: Plan, goal: Node) -> list[Node]:
    """Return the nodes from what *plan* gives, or from whose attribute it is, to *goal*; nothing where it needs no such thing."""
    found = way_to(goal, _given(plan.unit, plan.unit.result))
    return [plan.asker, *found] if found and plan.asker is not None and plan.asker is not found[0] else found


def _given(unit: Unit, ref: Ref) -> list[Node]:
    if ref.how == MANY:
        return [node for inner in ref.refs for node in _given(unit, inner)]
    if ref.how == TEMP:
        return [unit.ops[ref.what].node]
    return [] if ref.node is None else [ref.node]


def way_down(graph: Graph, node: Node) -> list[Node]:
    """Return the nodes from the application to *node*."""
    users: dict[Node, Node] = {}
    for user in graph.nodes.values():
        for other in user.leads_to:
            users.setdefault(other, user)
    way, here = [node], users.get(node)
    while here is not None and here not in way:
        way.append(here)
        here = users.get(here)
    way.reverse()
    halves = {one.constructed for one in way}
    return [one for one in way if one not in halves]
