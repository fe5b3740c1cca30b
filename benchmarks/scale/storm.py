"""
What happens to a backend when many workers start at once, and what do a limit and jitter do about it?

    python -m benchmarks.scale.storm                            the table, for 10 to 10,000 workers
    python -m benchmarks.scale.storm --plot storm.svg           the same, drawn

A simulation, in the time of its own; it has no clock and no network, and the same seed gives the same numbers.

The model.  Each worker has to build some values, and each build holds a connection while the backend works for it.  The
backend works for so many at once, lets the next ones wait, and refuses who comes when its connections are all in use.  A
worker that is refused dies, as one does whose start fails; what it had begun is worked off for nobody.  Its supervisor
starts it again after a second, then two, four, up to half a minute, and it begins anew.
"""

import argparse
import heapq
import itertools
import json
import random
import sys
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class World:
    """What a backend can do, and what a worker needs of it."""

    connections: int = 500  #: it refuses more
    at_once: int = 16  #: it works for so many
    work: float = 0.02  #: seconds for one build
    builds: int = 8  #: of a worker that starts
    longest: float = 30.0  #: seconds until a supervisor tries again, at most

    def least(self, workers: int) -> float:
        """Return the seconds that the backend needs for all of them, if it is never idle."""
        return workers * self.builds * self.work / self.at_once


@dataclass(frozen=True)
class Way:
    """How workers start."""

    name: str
    concurrency: int | None = None  #: builds of a worker at once; None: all of them
    jitter: bool = False  #: spread over the time that the backend needs for all


WAYS = (
    Way("all at once"),
    Way("concurrency=1", concurrency=1),
    Way("jitter", jitter=True),
    Way("concurrency=1, jitter", concurrency=1, jitter=True),
)
SIZES = (10, 30, 100, 300, 1_000, 3_000, 10_000)


@dataclass(frozen=True)
class Outcome:
    """How one start of everything went."""

    way: str
    workers: int
    ready: float  #: seconds until the last worker is ready
    refused: int  #: connections
    wasted: int  #: builds that the backend did for workers that had died
    peak: int  #: connections in use


class Simulation:
    """One start of many workers."""

    def __init__(self, world: World, way: Way, workers: int, seed: int = 1) -> None:
        self.world, self.way, self.workers = world, way, workers
        self._random = random.Random(seed)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._waiting: deque[tuple[Worker, int]] = deque()
        self.now = 0.0
        self.in_use = self.busy = self.ready = self.refused = self.wasted = self.peak = 0

    def run(self) -> Outcome:
        for _ in range(self.workers):
            Worker(self).begin_later(0.0)
        while self._events:
            self.now, _, act = heapq.heappop(self._events)
            act()
        assert self.ready == self.workers
        return Outcome(self.way.name, self.workers, self.now, self.refused, self.wasted, self.peak)

    def after(self, seconds: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now + seconds, next(self._order), act))

    def spread(self) -> float:
        """Return the seconds that a worker waits before it starts."""
        return self._random.uniform(0.0, self.world.least(self.workers)) if self.way.jitter else 0.0

    # --- the backend ---

    def connect(self, worker: "Worker") -> bool:
        """Take a connection and begin, or queue for, the work of one build; False where it is refused."""
        if self.in_use >= self.world.connections:
            self.refused += 1
            return False
        self.in_use += 1
        self.peak = max(self.peak, self.in_use)
        self._waiting.append((worker, worker.life))
        self._work()
        return True

    def _work(self) -> None:
        while self._waiting and self.busy < self.world.at_once:
            worker, life = self._waiting.popleft()
            self.busy += 1
            self.after(self.world.work, lambda worker=worker, life=life: self._done(worker, life))

    def _done(self, worker: "Worker", life: int) -> None:
        self.busy -= 1
        self.in_use -= 1
        if worker.life == life:
            worker.built()
        else:
            self.wasted += 1
        self._work()


class Worker:
    """A process that starts, perhaps several times."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self.life = 0  #: which start this is
        self._deaths = 0
        self._pending = self._missing = 0

    def begin_later(self, seconds: float) -> None:
        self._simulation.after(seconds + self._simulation.spread(), self._begin)

    def _begin(self) -> None:
        builds = self._simulation.world.builds
        self._pending = self._missing = builds
        for _ in range(self._simulation.way.concurrency or builds):
            if not self._build():
                return

    def _build(self) -> bool:
        """Begin one build; False where that was this life's end."""
        if self._pending:
            self._pending -= 1
            if not self._simulation.connect(self):
                self.life += 1
                again = min(2.0**self._deaths, self._simulation.world.longest)
                self._deaths += 1
                self.begin_later(again)
                return False
        return True

    def built(self) -> None:
        self._missing -= 1
        if self._missing:
            self._build()
        else:
            self._simulation.ready += 1


def outcomes(sizes: Sequence[int] = SIZES, ways: Sequence[Way] = WAYS, world: World | None = None) -> Iterable[Outcome]:
    """Yield how each way went, for each size."""
    for size in sizes:
        for way in ways:
            yield Simulation(world or World(), way, size).run()


# --- showing it ---------------------------------------------------------------------------------------


def table(found: Iterable[Outcome]) -> str:
    """Return what is printed."""
    lines = [f"{'way':22}{'workers':>8}{'all ready':>12}{'refused':>10}{'wasted':>10}{'peak':>6}"]
    for one in found:
        lines.append(f"{one.way:22}{one.workers:8,}{one.ready:10,.1f} s{one.refused:10,}{one.wasted:10,}{one.peak:6,}")
    return "\n".join(lines)


COLOURS = ("#c44536", "#e09f3e", "#3d7ea6", "#2a9d5c")
WIDTH, HEIGHT, LEFT, TOP = 360, 260, 64, 46


def drawn(found: Sequence[Outcome]) -> str:
    """Return an SVG: the time until all are ready and the connections refused, both axes logarithmic."""
    wide, high = 2 * (LEFT + WIDTH) + 40, TOP + HEIGHT + 84
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" font-family="sans-serif" font-size="12">',
        f'<rect width="{wide}" height="{high}" fill="#ffffff"/>',
    ]
    panels: tuple[tuple[str, Callable[[Outcome], float], int, int], ...] = (
        ("seconds until all are ready", lambda one: max(one.ready, 0.1), -1, 4),
        ("connections refused", lambda one: max(one.refused, 1), 0, 6),
    )
    for number, (title, value, least, most) in enumerate(panels):
        parts += _panel(found, title, value, least, most, LEFT + number * (LEFT + WIDTH + 20))
    for number, way in enumerate(WAYS):
        x, y = LEFT + number * 190, TOP + HEIGHT + 64
        parts.append(f'<line x1="{x}" y1="{y - 4}" x2="{x + 22}" y2="{y - 4}" stroke="{COLOURS[number]}" stroke-width="3"/>')
        parts.append(f'<text x="{x + 28}" y="{y}">{way.name}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(found: Sequence[Outcome], title: str, value: Callable[[Outcome], float], low: int, high: int, left: int) -> list[str]:
    from math import log10

    def x(workers: int) -> float:
        return left + (log10(workers) - 1) / 3 * WIDTH

    def y(amount: float) -> float:
        return TOP + HEIGHT - (log10(amount) - low) / (high - low) * HEIGHT

    parts = [f'<text x="{left}" y="{TOP - 16}" font-size="14">{title}</text>']
    for power in range(low, high + 1):
        label = f"{10.0**power:,.1f}" if power < 0 else f"{10**power:,}" if power else "0 or 1" if low == 0 else "1"
        at = y(10.0**power)
        parts.append(f'<line x1="{left}" y1="{at:.1f}" x2="{left + WIDTH}" y2="{at:.1f}" stroke="#dddddd"/>')
        parts.append(f'<text x="{left - 6}" y="{at + 4:.1f}" text-anchor="end">{label}</text>')
    for power in range(1, 5):
        at = x(10**power)
        parts.append(f'<line x1="{at:.1f}" y1="{TOP}" x2="{at:.1f}" y2="{TOP + HEIGHT}" stroke="#dddddd"/>')
        parts.append(f'<text x="{at:.1f}" y="{TOP + HEIGHT + 18}" text-anchor="middle">{10**power:,}</text>')
    parts.append(f'<text x="{left + WIDTH / 2}" y="{TOP + HEIGHT + 36}" text-anchor="middle">workers</text>')
    for number, way in enumerate(WAYS):
        points = " ".join(f"{x(one.workers):.1f},{y(value(one)):.1f}" for one in found if one.way == way.name)
        parts.append(f'<polyline points="{points}" fill="none" stroke="{COLOURS[number]}" stroke-width="2.5"/>')
    return parts


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale.storm", description=__doc__.strip().splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, metavar="N", help="how many workers")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw it, as SVG")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args(arguments)
    found = list(outcomes(options.sizes))
    print(table(found))
    if options.plot:
        options.plot.write_text(drawn(found), encoding="utf-8")
    if options.json:
        options.json.write_text(json.dumps([asdict(one) for one in found], indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
