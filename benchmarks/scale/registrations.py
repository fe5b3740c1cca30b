"""
What do ten thousand registrations cost, and does it grow straight?

Every size is measured in fresh processes (``python -m benchmarks.scale.registrations SIZE [strings]``
prints one measurement), so that nothing of one is known to the next.
"""

import asyncio
import gc
import json
import sys
from statistics import median
from time import perf_counter
from typing import Any

from .. import floor, ours
from ..measure import Row, Scenario, in_process, spread
from ..work import Layers

PROCESSES = 5  #: for each size


def once(size: int, strings: bool) -> dict[str, float]:
    """Measure one size in this process; seconds for each step."""
    from asyncmeta import Container  # its import is measured elsewhere

    graph = Layers(size=size, strings=strings)
    app = ours.layers_app()
    gc.collect()  # so that each step pays for its own garbage; the collector stays on
    start = perf_counter()
    ours.register(graph, app)
    registered = perf_counter()
    container = Container(app)
    checked = perf_counter()

    async def get_last() -> tuple[float, float]:
        async with container:
            gc.collect()
            begun = perf_counter()
            await container.get(graph.last[0])
            first = perf_counter()
            for each in graph.last[1:]:
                await container.get(each)
            ended = perf_counter()
            same_work(graph, [await container.get(each) for each in graph.last])
            return first - begun, ended - begun

    first, last = asyncio.run(get_last())
    gc.collect()
    return {
        "register": registered - start,
        "check": checked - registered,
        "first": first,
        "last": last,
        "by hand": floor.layers(graph),
    }


def same_work(graph: Layers, last: list[Any]) -> None:
    """Walk down from the last layer: one value of each class, no more and no fewer."""
    seen: dict[int, Any] = {}
    todo = list(last)
    while todo:
        value = todo.pop()
        if id(value) not in seen:
            seen[id(value)] = value
            todo += getattr(value, "parts", ())
    assert {type(value) for value in seen.values()} == set(graph.classes)
    assert len(seen) == graph.size


def measure(_: int) -> list[Row]:
    """Measure 1,000 and 10,000; the latter also with annotations in strings."""
    small = [json.loads(in_process("scale.registrations", 1_000)) for _ in range(PROCESSES)]
    large = [json.loads(in_process("scale.registrations", 10_000)) for _ in range(PROCESSES)]
    strings = [json.loads(in_process("scale.registrations", 10_000, "strings")) for _ in range(PROCESSES)]

    def made(runs: list[dict[str, Any]]) -> list[float]:
        return [each["register"] + each["check"] for each in runs]

    def row(name: str, seconds: list[float], limit: float | None, by_hand: float | None = None, note: str = "") -> Row:
        return Row(name, min(seconds) * 1e3, "ms", limit, median(seconds) * 1e3, spread(seconds), by_hand, min(seconds), note)

    best = min(large, key=lambda each: each["register"] + each["check"])
    parts = f"registered in {best['register'] * 1e3:.0f}, checked in {best['check'] * 1e3:.0f} ms"
    hand = min(each["by hand"] for each in large)
    growth = min(made(large)) / min(made(small))
    return [
        row("10,000 registrations, made and checked", made(large), 200, None, parts),
        row("  with annotations in strings", made(strings), None),
        Row("  growth from 1,000", growth, "x", 15, note=f"1,000 take {min(made(small)) * 1e3:.1f} ms"),
        row("  first get of the last layer", [each["first"] for each in large], None),
        row("  all 1,000 of the last layer", [each["last"] for each in large], 200, hand),
    ]


SCENARIOS = (Scenario("scale", "What do 10,000 registrations in ten layers cost to make, to check and to get?", measure),)

if __name__ == "__main__":
    print(json.dumps(once(int(sys.argv[1]), "strings" in sys.argv[2:])))
