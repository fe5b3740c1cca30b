"""
What do ten thousand registrations cost, and does it grow straight?

    python -m benchmarks.scale.registrations SIZE [strings]      one measurement, of the fresh process that this is
    python -m benchmarks.scale.registrations --instructions      counts what each step takes, by valgrind

Every size is measured in fresh processes, so that nothing of one is known to the next.
"""

import asyncio
import gc
import json
import os
import sys
from statistics import median
from time import perf_counter
from typing import Any

from .. import floor, instructions, ours
from ..measure import Row, Scenario, in_process, spread
from ..work import Layers

PROCESSES = 5  #: for each size
KNOWN = 50  #: containers of a class that was checked

#: What is counted, each up to where the next one begins: for one registration, and for one first get of the last layer.
STEPS = ("classes", "register", "check", "get")
COUNTED = 5_000  #: registrations


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
        "known": min(known(app) for _ in range(KNOWN)),
        "register": registered - start,
        "check": checked - registered,
        "first": first,
        "last": last,
        "by hand": floor.layers(graph),
    }


def known(app: Any) -> float:
    """Return the seconds that it takes to make one more container of *app*, which was checked."""
    from asyncmeta import Container

    start = perf_counter()
    container = Container(app)
    ended = perf_counter()
    container.close()
    return ended - start


def up_to(step: str) -> None:
    """Do the steps up to *step*, and end the process: its instructions are counted, and not those of its end."""
    from asyncmeta import Container

    async def get_last(app: Any, graph: Layers) -> None:
        async with Container(app) as container:
            for each in graph.last:
                await container.get(each)
            if graph.size == COUNTED:
                os._exit(0)

    for size in (100, COUNTED):  # with the small one all code is loaded
        graph = Layers(size=size)
        app = ours.layers_app()
        gc.collect()
        if size == COUNTED and step == "classes":
            os._exit(0)
        ours.register(graph, app)
        if size == COUNTED and step == "register":
            os._exit(0)
        Container(app)
        if size == COUNTED and step == "check":
            os._exit(0)
        asyncio.run(get_last(app, graph))


def counted() -> dict[str, float]:
    """Return the instructions of each step: for one registration, and for one first get of the last layer, a tenth of all."""
    totals = [instructions.of_process("-m", "benchmarks.scale.registrations", "--up-to", step) for step in STEPS]
    took = {step: after - before for step, before, after in zip(STEPS[1:], totals, totals[1:], strict=False)}
    return {step: all_of_them / (COUNTED // 10 if step == "get" else COUNTED) for step, all_of_them in took.items()}


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
        row("10,000 registrations, made and checked", made(large), 120, None, parts),
        row("  with annotations in strings", made(strings), None),
        Row("  growth from 1,000", growth, "x", 15, note=f"1,000 take {min(made(small)) * 1e3:.1f} ms"),
        row("  first get of the last layer", [each["first"] for each in large], None),
        row("  all 1,000 of the last layer", [each["last"] for each in large], 200, hand),
        Row("  one more container of the class", min(each["known"] for each in large) * 1e6, "us", 20),
    ]


SCENARIOS = (Scenario("scale", "What do 10,000 registrations in ten layers cost to make, to check and to get?", measure),)

if __name__ == "__main__":
    if sys.argv[1] == "--up-to":
        up_to(sys.argv[2])
    elif sys.argv[1] == "--instructions":
        print(*(f"{step:10} {number:10,.0f} instructions" for step, number in counted().items()), sep="\n")
    else:
        print(json.dumps(once(int(sys.argv[1]), "strings" in sys.argv[2:])))
