"""What do many tasks cost that wait for one value, and one that waits for many?"""

import asyncio
from collections import Counter
from statistics import median
from typing import Any

from . import floor, ours
from .measure import Competitor, Row, Scenario, in_turns, ratio, spread
from .work import Graph, SideBySide, Slow, counted

TASKS = 10_000


async def constructions(graph: Graph, competitor: Competitor, times: int) -> tuple[Counter[str], Any]:
    """Do one batch; return what was made by it, and its value."""
    async with competitor(graph) as batch:
        _, value = await batch(times)
    return Counter(type(each).__name__ for each in graph.base.made), value


def count_burst() -> None:
    """Assert that one Pool is made for all tasks."""
    for competitor in (floor.burst, ours.burst):
        made, values = asyncio.run(constructions(Slow(counted()), competitor, TASKS))
        assert made == {"Pool": 1}, made
        assert len(values) == 1, values


def burst(rounds: int) -> list[Row]:
    """Let 10,000 tasks get one singleton that nobody has made yet."""
    base, mine = asyncio.run(in_turns(Slow, floor.burst, ours.burst, rounds=max(5, rounds // 5), times=TASKS))
    row = ratio("10,000 tasks on one unbuilt singleton", base, mine, 1.0)
    return [row._replace(note=f"all in {min(mine) * TASKS * 1e3:.0f} ms, by hand {min(base) * TASKS * 1e3:.0f} ms")]


def count_side_by_side() -> None:
    """Assert that each part is made once."""
    for competitor in (floor.side_by_side, ours.side_by_side):
        made, _ = asyncio.run(constructions(SideBySide(counted()), competitor, 1))
        assert made == {"Top": 1} | {f"Part{number}": 1 for number in range(10)}, made


def side_by_side(_: int) -> list[Row]:
    """Get one service on ten singletons that take 50 ms each."""
    base, mine = asyncio.run(in_turns(SideBySide, floor.side_by_side, ours.side_by_side, rounds=9, times=1))
    return [
        Row(
            "ten singletons of 50 ms under one service",
            min(mine) * 1e3,
            "ms",
            60,
            median(mine) * 1e3,
            spread(mine),
            min(base),
            min(mine),
        )
    ]


SCENARIOS = (
    Scenario(
        "burst",
        "Is one build shared by 10,000 tasks, and no slower than a shared shielded future?",
        burst,
        count_burst,
    ),
    Scenario("side-by-side", "Are independent singletons built at the same time?", side_by_side, count_side_by_side),
)
