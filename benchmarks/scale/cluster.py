"""
What does a map over many small tasks cost, whose functions ask a container, over one with a module's global?

Plain functions are compared with plain ones, which Dask runs in threads, async ones with async ones, on the worker's loop.

    python -m benchmarks.scale.cluster                  10,000 tasks, two processes, Dask

The same tasks in one run, in turns; the ratio of each turn, and their median, is what is told.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from statistics import median
from time import perf_counter
from typing import Any

from distributed import Client, LocalCluster, wait

from asyncmeta import AsyncServiceBase, From, inject_dependency
from asyncmeta.integrations.dask import ContainerPlugin, scoped


class Rates:
    """What each process has once."""

    rate = 2


class App(AsyncServiceBase):
    """Opened by each worker."""


@inject_dependency(Rates, on=App)
async def load_rates() -> Rates:
    return Rates()


GLOBAL = Rates()


def by_hand(number: int) -> int:
    return number * GLOBAL.rate


async def by_hand_on_the_loop(number: int) -> int:
    return number * GLOBAL.rate


@scoped
def in_a_scope(number: int, rates: From[Rates]) -> int:
    return number * rates.rate


@scoped
async def in_a_scope_on_the_loop(number: int, rates: From[Rates]) -> int:
    return number * rates.rate


PAIRS: dict[Any, Any] = {in_a_scope: by_hand, in_a_scope_on_the_loop: by_hand_on_the_loop}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale.cluster", description=__doc__.strip().splitlines()[0])
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--check", action="store_true", help="exit with 1 where it costs more than 20 percent")
    options = parser.parse_args(arguments)
    cluster = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0", silence_logs=50)
    with cluster, Client(cluster) as client:
        client.register_plugin(ContainerPlugin("benchmarks.scale.cluster:App"))

        def took(function: Callable[..., Any], turn: object) -> float:
            begun = perf_counter()
            futures = client.map(function, range(options.tasks), key=f"{function.__name__}-{turn}", pure=False)
            wait(futures)
            seconds = perf_counter() - begun
            assert client.gather(futures[:3]) == [0, 2, 4]
            return seconds

        ways = [*PAIRS, *PAIRS.values()]
        for way in ways:
            took(way, "warm")
        turns = [{way.__name__: took(way, turn) for way in ways} for turn in range(options.turns)]
    ratios = []
    for way, hand in PAIRS.items():
        each = [turn[way.__name__] / turn[hand.__name__] for turn in turns]
        ours, theirs = (median(turn[one.__name__] for turn in turns) / options.tasks * 1e6 for one in (way, hand))
        ratios.append(median(each))
        print(
            f"{way.__name__:24}{ours:7.0f} us each, by hand {theirs:7.0f}: {ratios[-1]:.2f} x ({min(each):.2f} to {max(each):.2f})"
        )
    return int(options.check and max(ratios) > 1.2)


if __name__ == "__main__":
    from benchmarks.scale.cluster import main as run  # the functions are sent by the name of this module

    sys.exit(run())
