"""How are the container values built beforehand, and how long did it take?"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

from ..._declare.lifetimes import CONTAINER_LEVEL
from ..._lock import LOCK
from ..._solve.nodes import CONTAINER, Node
from ..._solve.whole import dependencies_of, is_half_of_service, names_apart, nodes_to_start
from ...report import StartReport, Timing
from ..build.driver import build_missing
from ..state.singletons import Flight
from .state import ContainerState

__all__ = ["asked_to_start", "start"]


async def start(
    container: ContainerState, tokens: Sequence[Any], concurrency: int | None, progress: Callable[[Timing], object] | None
) -> StartReport:
    """Build container values side by side; see `Container.start`."""
    if concurrency is not None and (not isinstance(concurrency, int) or concurrency < 1):
        raise ValueError("concurrency is a whole number above 0, or None")
    container._check_open()
    nodes = asked_to_start(container, tokens)
    began = time.perf_counter()
    timings: list[Timing] = []
    names = names_apart(nodes)
    halves: dict[Node, Flight] = {}
    holds: list[tuple[float, float]] = []  # when what was built in place held the event loop

    def on_built(flight: Flight) -> None:
        node = flight.node
        if flight.task is None and flight.loop is not None:
            holds.append((flight.began - began, flight.finished - began))
        if is_half_of_service(container._graph, node):
            halves[node] = flight
            return
        needs = tuple(dict.fromkeys(
            names.get(other, other.name) for other in dependencies_of(container._graph, node)
            if other.level == CONTAINER_LEVEL and other.kind != CONTAINER
        ))  # fmt: skip
        parts = [flight] if node.constructed not in halves else [halves.pop(node.constructed), flight]
        own, waited, ran = [], parts[0].began - began, 0.0
        for part in parts:
            begin, end = part.began - began, part.finished - began
            ran += end - begin
            if part.task is None:
                own.append((begin, end))
            elif not node.registration.options.in_thread:
                # What it awaited may have been there long ago: that time is whose the loop was.
                ran -= math.fsum(max(0.0, min(end, last) - max(begin, first)) for first, last in holds)
        timing = Timing(names.get(node, node.name), waited, max(0.0, ran), flight.finished - began, needs, own)
        timings.append(timing)
        if progress is not None:
            progress(timing)

    await build_missing(container._singletons, nodes, concurrency, on_built)
    container._check_open()
    timings.sort(key=lambda timing: timing.finished)
    return StartReport(timings, time.perf_counter() - began)


def asked_to_start(container: ContainerState, tokens: Sequence[Any]) -> list[Node]:
    """
    Return the container values to build: for *tokens*, or all that the application declares and reaches.

    Raises:
        GraphError: One of them does not fit.
    """
    if tokens:
        return [node for token in tokens for node in container._find(token).plan.singletons]
    graph = container._graph
    with LOCK:
        graph.refresh()
    nodes = nodes_to_start(graph)
    container._find(container._root_class)
    return nodes
