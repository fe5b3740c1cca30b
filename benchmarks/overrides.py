"""
What do overrides and overlays cost, those who use them and those who do not?

Entering one is measured in a fresh process (``python -m benchmarks.overrides`` prints the measurements).
"""

import asyncio
import gc
import json
from collections.abc import Callable
from statistics import median
from time import perf_counter
from typing import Any

from . import floor, ours
from .cached import SHARED
from .measure import Row, Scenario, contest, in_process, spread
from .work import Layers, Request

SIZE = 10_000
TIMES = 30


def enter() -> dict[str, list[float]]:
    """Enter overrides in a container that has everything built, and leave them; return the seconds that entering took."""
    from asyncmeta import Container  # its import is measured elsewhere

    graph = Layers(size=SIZE)
    app = ours.layers_app()
    ours.register(graph, app)

    async def measure(container: Any, opening: Callable[[], Any], get: Callable[[Any], Any]) -> list[float]:
        seconds = []
        for _ in range(TIMES):
            gc.collect()
            block = opening()
            begun = perf_counter()
            overlay = await block.__aenter__()
            seconds.append(perf_counter() - begun)
            # What is downstream is another one, so that the block has done something.
            assert await get(overlay) is not built
            await block.__aexit__(None, None, None)
            assert await container.get(last) is built
        return seconds

    async def run() -> dict[str, list[float]]:
        nonlocal built
        async with Container(app) as container:
            for each in graph.last:
                await container.get(each)
            built = await container.get(last)
            fakes = {last: object()}
            return {
                "override": await measure(container, lambda: container.override(fakes), lambda _: container.get(last)),
                "overlay": await measure(container, lambda: container.overlay(fakes), lambda tenant: tenant.get(last)),
                "below many": await measure(container, lambda: container.override({first: first()}), lambda _: container.get(last)),
                "checked": await measure(
                    container,
                    lambda: container.override([{"provide": first, "use_factory": first, "lifetime": "transient"}]),
                    lambda _: container.get(last),
                ),
            }

    built: Any = None
    first, last = graph.classes[0], graph.last[0]
    return asyncio.run(run())


def measure_entering(_: int) -> list[Row]:
    """Measure in one fresh process, many times: the first time, which works out who uses what, is told apart."""
    runs = json.loads(in_process("overrides"))

    def row(name: str, seconds: list[float], limit: float | None) -> Row:
        later = seconds[1:]
        note = f"the first time {seconds[0] * 1e3:.2f} ms"
        return Row(name, min(later) * 1e3, "ms", limit, median(later) * 1e3, spread(later), None, min(later), note)

    return [
        row("enter an override in a graph of 10,000", runs["override"], 5),
        row("  an overlay", runs["overlay"], 5),
        row("  of what 209 others stand on", runs["below many"], 5),
        row("  by a transient, so that these are checked", runs["checked"], None),
    ]


def beside(name: str, title: str, question: str, competitor: Any, limit: float) -> Scenario:
    """Make the scenario of a cached get beside overrides."""
    return contest(name, title, question, Request, floor.cached, competitor, expected=SHARED, limit=limit)


SCENARIOS = (
    beside(
        "override-elsewhere",
        "cached get, an override in force elsewhere",
        "What does a cached get cost while another task overrides something?",
        ours.cached_beside_an_override,
        2.5,
    ),
    beside(
        "override-ended",
        "cached get, an override has ended",
        "Does a cached get cost what it did before, when the last override has ended?",
        ours.cached_after_an_override,
        1.5,
    ),
    beside(
        "overlays",
        "cached get beside 100 open overlays",
        "Do a hundred tenants cost those who are none of them anything?",
        ours.cached_beside_overlays,
        1.5,
    ),
    Scenario("override-large", "What does entering an override in a graph of 10,000 cost?", measure_entering),
)

if __name__ == "__main__":
    print(json.dumps(enter()))
