"""How competitors are compared: the same work, counted first, then timed in turns."""

import asyncio
import gc
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from statistics import median, quantiles
from typing import Any, NamedTuple

from .work import Graph, counted

ROOT = Path(__file__).parents[1]
BATCH = 0.008  #: seconds; short enough that a busy neighbour hits single batches only

Outcome = tuple[float, Any]  #: seconds, and the value of the last time
Batch = Callable[[int], Awaitable[Outcome]]  #: does the work so many times
Competitor = Callable[[Any], AbstractAsyncContextManager[Batch]]  #: sets the work up on a graph of its own


class Row(NamedTuple):
    """One line of the table."""

    name: str
    measured: float
    unit: str  #: "x" (times the floor), "ms", "us" or "bytes"
    limit: float | None = None  #: at most; in the same unit
    middle: float | None = None  #: the median, where *measured* is the best
    spread: float | None = None  #: from the 10th to the 90th percentile, as a part of the median
    floor: float | None = None  #: seconds for one, or bytes; by hand
    ours: float | None = None  #: the same for asyncmeta
    note: str = ""

    @property
    def met(self) -> bool:
        """Whether the limit, if there is one, is kept."""
        return self.limit is None or self.measured <= self.limit


class Scenario(NamedTuple):
    """One question."""

    name: str  #: what the command line calls it
    question: str
    measure: Callable[[int], list[Row]]  #: takes the number of rounds
    same_work: Callable[[], None] | None = None  #: raises AssertionError if not all do the same work


async def same_work(make: Callable[[type], Graph], expected: Mapping[str, Any], *competitors: Competitor) -> None:
    """
    Let each competitor do the work seven times, counted, and compare with what is expected.

    The entry ``"values"`` of *expected* says how many different values the three batches
    (of 1, 1 and 5 times) may return at their ends: 1 is a shared one, 3 is a new one each time.
    """
    for competitor in competitors:
        graph = make(counted())
        async with competitor(graph) as batch:
            values = [(await batch(times))[1] for times in (1, 1, 5)]
        facts = {**graph.facts(), "values": len({id(value) for value in values})}
        if facts != dict(expected):
            raise AssertionError(f"{competitor.__qualname__} does other work:\n  {facts}\n  {dict(expected)}")


async def in_turns(make: Callable[[], Graph], *competitors: Competitor, rounds: int, times: int | None = None) -> list[list[float]]:
    """
    Time the competitors in turns; return for each the seconds of one time, by round.

    A batch is *times* times, else as many as the first competitor does in 8 ms. The
    garbage collector runs between the batches only, unless *times* is given.
    """
    async with AsyncExitStack() as stack:
        batches = [await stack.enter_async_context(competitor(make())) for competitor in competitors]
        if times is None:
            times = await _times_for(batches[0])
            for batch in batches:  # warm: let the interpreter specialise what it will
                await batch(times)
            gc.collect()
            gc.freeze()
            gc.disable()
        try:
            seconds: list[list[float]] = [[] for _ in batches]
            for number in range(rounds):
                turn = list(zip(batches, seconds, strict=True))
                for batch, results in turn if number % 2 else reversed(turn):
                    gc.collect()
                    results.append((await batch(times))[0] / times)
            return seconds
        finally:
            gc.enable()
            gc.unfreeze()


async def _times_for(batch: Batch) -> int:
    times = 16
    while (took := (await batch(times))[0]) < BATCH / 4:
        times *= 2
    return max(1, round(times * BATCH / took))


def ratio(name: str, floor: list[float], ours: list[float], limit: float | None = None, note: str = "") -> Row:
    """Make the row of a contest: the best of ours over the best of the floor."""
    ratios = [mine / base for mine, base in zip(ours, floor, strict=True)]
    return Row(name, min(ours) / min(floor), "x", limit, median(ratios), spread(ratios), min(floor), min(ours), note)


def spread(numbers: list[float]) -> float:
    """Return how far the 10th percentile is from the 90th, as a part of the median."""
    if len(numbers) < 2:
        return 0.0
    cuts = quantiles(numbers, n=10, method="inclusive")
    return (cuts[-1] - cuts[0]) / median(numbers)


def contest(
    name: str,
    title: str,
    question: str,
    make: Callable[..., Graph],
    floor: Competitor,
    ours: Competitor,
    *,
    expected: Mapping[str, Any],
    limit: float | None = None,
) -> Scenario:
    """Make the scenario of one work that is done by hand and by asyncmeta."""

    def measure(rounds: int) -> list[Row]:
        base, mine = asyncio.run(in_turns(make, floor, ours, rounds=rounds))
        return [ratio(title, base, mine, limit)]

    def count() -> None:
        asyncio.run(same_work(make, expected, floor, ours))

    return Scenario(name, question, measure, count)


def as_installed(compiled: str) -> dict[str, str]:
    """Return an environment in which modules are compiled once, into the folder *compiled*, as after an installation."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"PYTHONPYCACHEPREFIX": compiled}


def in_process(module: str, *arguments: object) -> str:
    """Run a module of ours in a fresh interpreter; return what it prints."""
    command = [sys.executable, "-m", f"benchmarks.{module}", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, encoding="utf-8")
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[1:])} failed:\n{done.stderr}")
    return done.stdout
