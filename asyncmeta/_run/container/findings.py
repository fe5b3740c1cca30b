"""What is worth knowing about a sound graph?"""

from __future__ import annotations

from collections.abc import Container as Contains
from typing import Any

from ..._declare.registrations import Registration
from ..._declare.registry import layers_of, registry_of
from ..._names import name_of
from ..._solve.checks import declared_nodes, listed_nodes, reached_from
from ..._solve.graph import Graph
from ..._solve.nodes import Node
from ...report import CheckReport

__all__ = ["check_report"]


def check_report(graph: Graph, built: Contains[Node]) -> CheckReport:
    """Return the findings about *graph*; of values only whether they are among *built*."""
    starts, _ = declared_nodes(graph)
    reached = reached_from(graph, starts)
    return CheckReport(
        _replaced(graph, {node.registration for node in reached}),
        _unused(starts, reached, listed_nodes(graph)),
        [old.name for _, old, _ in graph.moved if old in built],
        _unreached(graph, reached),
    )


def _replaced(graph: Graph, used: set[Registration]) -> list[str]:
    found = []
    above: dict[Any, Any] = {}
    for layer in graph.layers:
        for key, entry in layer.entries.items():
            if isinstance(entry, list):
                continue
            if entry.bare:
                continue
            over = above.setdefault(key, entry)
            if over is not entry:
                found.append(f"{name_of(key)} ({entry.place}) by {over.place}")
        for old, new in layer.replaced:
            # What others do to the shared layer is their business, unless this application uses it.
            if layer is not graph.shared or len(graph.layers) == 1 or new in used:
                found.append(f"{name_of(old.key)} ({old.place}) by {new.place}")
    return found


def _unused(starts: list[Node], reached: list[Node], listed: set[Node]) -> list[str]:
    used = listed | {other for node in reached for edge in (*(node.edges or ()), *node.late) for other in edge.target.each()}
    return [
        f"{node.name} ({node.place})"
        for node in starts
        if node.rank >= 0
        and not node.registration.entry
        and node not in used
        and not any(other.registration is node.registration for other in used)
    ]


def _unreached(graph: Graph, reached: list[Node]) -> list[str]:
    classes = dict.fromkeys(node.maker.cls for node in reached if node.maker.cls is not None)
    found: dict[str, None] = {}
    for cls in classes:
        if registry_of(cls) is None:
            continue
        base = layers_of(cls)[-1].cls
        for hook in graph.hooks:
            defining = [one for one in cls.__mro__ if hook in one.__dict__ and one is not base]
            for position, one in enumerate(defining[:-1]):
                code = getattr(one.__dict__[hook], "__code__", None)
                if code is not None and not ("super" in code.co_names and hook in code.co_names):
                    found.update((f"{other.__qualname__}.{hook}", None) for other in defining[position + 1 :])
                    break
    return list(found)
