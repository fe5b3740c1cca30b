"""
What does an open request keep, and what a registration?

``python -m benchmarks.memory`` prints one measurement, made in that fresh process.
"""

import asyncio
import gc
import json
import tracemalloc
from typing import Any

from . import floor, ours
from .measure import Row, Scenario, in_process
from .work import Layers, Request

REQUESTS = 2_000
REGISTRATIONS = 10_000


def traced() -> int:
    """Return how many bytes are allocated now, garbage not counted."""
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


async def open_request(competitor: Any) -> float:
    """Return the bytes of one open request, the objects of its graph included."""
    async with competitor(Request()) as (hold, release):
        for _ in range(2):  # the second one makes code, and loads what makes it
            await release((await hold())[0])
        scopes: list[Any] = [None] * REQUESTS
        handlers: list[Any] = [None] * REQUESTS
        tracemalloc.start()
        before = traced()
        for number in range(REQUESTS):
            scopes[number], handlers[number] = await hold()
        after = traced()
        tracemalloc.stop()
        await release(*scopes)
    return (after - before) / REQUESTS


def registrations() -> dict[str, float]:
    """Return the bytes of one registration: noted, checked with all others, and used."""
    from asyncmeta import Container

    warm = Layers(size=100)  # what is made once for all is not a registration's
    app = ours.layers_app()
    ours.register(warm, app)
    Container(app).close()

    graph = Layers(size=REGISTRATIONS)
    app = ours.layers_app()
    tracemalloc.start()
    before = traced()
    ours.register(graph, app)
    noted = traced()
    container = Container(app)
    checked = traced()

    async def use() -> int:
        async with container:
            for each in graph.last:
                await container.get(each)
            return traced()

    used = asyncio.run(use())
    tracemalloc.stop()
    return {
        "noted": (noted - before) / REGISTRATIONS,
        "checked": (checked - before) / REGISTRATIONS,
        "used": (used - before) / REGISTRATIONS,
    }


def once() -> dict[str, float]:
    """Measure everything in this process."""
    return {
        "by hand": asyncio.run(open_request(floor.held_request)),
        "request": asyncio.run(open_request(ours.held_request)),
        **registrations(),
    }


def measure(_: int) -> list[Row]:
    """Measure in a fresh process."""
    found = json.loads(in_process("memory"))
    return [
        Row(
            "open request scope, with its objects", found["request"], "bytes", 1_200, floor=found["by hand"], ours=found["request"]
        ),
        Row(
            "registration, made and checked",
            found["checked"],
            "bytes",
            800,
            ours=found["checked"],
            note=f"{found['noted']:.0f} before the check",
        ),
        Row("  after the last layer was got", found["used"], "bytes", ours=found["used"], note="with its value"),
    ]


SCENARIOS = (Scenario("memory", "How many bytes are an open request scope, and a registration?", measure),)

if __name__ == "__main__":
    print(json.dumps(once()))
