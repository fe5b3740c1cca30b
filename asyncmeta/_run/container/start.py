"""How are the container values built beforehand, and how long did it take?"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from ..._declare.lifetimes import CONTAINER_LEVEL
from ..._solve.arguments import is_argument, takes_arguments
from ..._solve.checks import declared_nodes, problem_error, reached_from
from ..._solve.nodes import CONTAINER, Node
from ...report import StartReport, Timing
from ..build.driver import build_missing
from ..state.waiting import LOCK, Flight

__all__ = ["start"]


async def start(
    container: Any, tokens: Sequence[Any], concurrency: int | None, progress: Callable[[Timing], object] | None
) -> StartReport:
    """Build container values side by side; see `Container.start`."""
    if concurrency is not None and (not isinstance(concurrency, int) or concurrency < 1):
        raise ValueError("concurrency is a whole number above 0, or None")
    container._check_open()
    nodes = nodes_to_start(container, tokens)
    began = time.perf_counter()
    timings: list[Timing] = []

    def on_built(flight: Flight) -> None:
        node = flight.node
        if starts(container, node):
            return
        needs = tuple(dict.fromkeys(
            other.name for other in needs_of(container, node) if other.level == CONTAINER_LEVEL and other.kind != CONTAINER
        ))  # fmt: skip
        timing = Timing(node.name, flight.began - began, flight.finished - flight.began, flight.finished - began, needs)
        timings.append(timing)
        if progress is not None:
            progress(timing)

    await build_missing(container, nodes, concurrency, on_built)
    container._check_open()
    timings.sort(key=lambda timing: timing.finished)
    return StartReport(timings, time.perf_counter() - began)


def starts(container: Any, node: Node) -> bool:
    """Tell whether *node* is only the first half of a service that starts."""
    if node.constructed is not None or node.maker.cls is None:
        return False
    whole = container._graph.instances.get(node.maker.cls)
    return whole is not None and whole.constructed is node


def needs_of(container: Any, node: Node) -> Sequence[Node]:
    """Return the shared values that *node* takes."""
    return container._unit(node.constructed or node).shared  # type: ignore[no-any-return]


def nodes_to_start(container: Any, tokens: Sequence[Any]) -> list[Node]:
    """
    Return the container values to build: for *tokens*, or all that the application declares and reaches.

    Raises:
        GraphError: One of them does not fit.
    """
    graph = container._graph
    if tokens:
        return [node for token in tokens for node in container._root_for(container, token).plan.singletons]
    with LOCK:
        graph.refresh()
    nodes, problems = declared_nodes(graph)
    for error in problems:
        raise error
    reached = reached_from(graph, [node for node in nodes if answers(graph, node)])
    for node in reached:
        for problem in node.problems:
            if not is_argument(node, problem):
                raise problem_error(graph, node, problem)
    container._root_for(container, container._root_class)
    return [
        node
        for node in reached
        if node.level == CONTAINER_LEVEL
        and node.kind != CONTAINER
        and not starts(container, node)
        and not takes_arguments(node.constructed or node)
    ]


def answers(graph: Any, node: Node) -> bool:
    """
    Tell whether the application gets *node* for one of its keys.

    What a higher layer or an override shadows is built only where something reaches it all the same, as the
    registration that shadows it may: a profile that has another mailer must not open the real one.
    """
    for key in node.registration.keys:
        found = graph.find(None, key)
        if found is node or (isinstance(found, tuple) and node in found):
            return True
    return node is graph.app_node()
