"""The command line: whole requests in this process, then under a server."""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from importlib.metadata import version
from statistics import median

from ..measure import Row, in_turns, ratio
from ..run import circumstances
from .apps import APPS, Work
from .calls import competitor
from .served import per_second

OURS = ("asyncmeta, route of container", "asyncmeta, route class")
LIMIT = 1.10  #: what a request of the first of ours may cost over the bare one
QUICKER_THAN = ("dishka, route class", "dishka, @inject", "wireup, route class", "wireup, marker")
LIBRARIES = ("fastapi", "starlette", "uvicorn", "dishka", "wireup", "svcs")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; return 1 if ``--check`` was asked for and a limit is not kept."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.web", description="Measure requests to FastAPI.")
    parser.add_argument("app", nargs="*", help=f"which beside bare (default: all): {'; '.join(APPS)}")
    parser.add_argument("--rounds", type=int, default=100, metavar="N", help="rounds in this process (default: 100; 0: none)")
    parser.add_argument("--server-rounds", type=int, default=5, metavar="N", help="rounds under uvicorn (default: 5; 0: none)")
    parser.add_argument("--seconds", type=float, default=1.0, help="how long each is loaded in a round (default: 1)")
    parser.add_argument("--connections", type=int, default=16, metavar="N", help="how many at a time (default: 16)")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a limit is not kept")
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.app if name not in APPS]:
        parser.error(f"no such application: {', '.join(unknown)}; there are {'; '.join(APPS)}")
    names = [name for name in APPS if name == "bare" or name in (options.app or APPS)]

    for name, value in circumstances(options.rounds).items():
        print(f"{name:10} {value}")
    print(f"{'libraries':10} {', '.join(f'{library} {version(library)}' for library in LIBRARIES)}")
    missed: list[str] = []
    if options.rounds:
        missed = in_this_process(names, options.rounds)
    if options.server_rounds:
        under_a_server(names, options.server_rounds, options.seconds, options.connections)
    return 1 if options.check and missed else 0


def in_this_process(names: list[str], rounds: int) -> list[str]:
    """Time whole calls; return the limits that are not kept."""
    times = asyncio.run(in_turns(Work, *map(competitor, names), rounds=rounds))
    rows = {name: ratio(name, times[0], seconds) for name, seconds in zip(names, times, strict=True)}
    print(f"\n{'one call in this process':28} {'us':>7} {'over bare':>10} {'best':>7} {'median':>7} {'spread':>7}")
    for name, row in rows.items():
        print(
            f"{name:28} {micro(row.ours):7.1f} {micro(row.ours) - micro(row.floor):+10.1f} {row.measured:7.2f} "
            f"{row.middle or 0:7.2f} {row.spread or 0:7.0%}"
        )
    missed = limits_not_kept(rows)
    print(*missed or ["no limit missed"], sep="\n")
    return missed


def micro(seconds: float | None) -> float:
    return (seconds or 0.0) * 1e6


def limits_not_kept(rows: dict[str, Row]) -> list[str]:
    missed = []
    if OURS[0] in rows and rows[OURS[0]].measured > LIMIT:
        missed.append(f"not kept: {OURS[0]} costs {rows[OURS[0]].measured:.2f} x bare, at most {LIMIT:.2f}")
    for ours in rows.keys() & set(OURS):
        quicker = [name for name in QUICKER_THAN if name in rows and rows[name].measured <= rows[ours].measured]
        missed.extend(f"not kept: {name} is quicker than {ours}" for name in quicker)
    return missed


def under_a_server(names: list[str], rounds: int, seconds: float, connections: int) -> None:
    """Load servers; print the answers in a second."""
    found = per_second(names, rounds, seconds, connections)
    print(f"\n{f'under uvicorn, {connections} connections':28} {'best/s':>8} {'median/s':>9} {'of bare':>8}")
    for name, answers in found.items():
        print(f"{name:28} {max(answers):8,.0f} {median(answers):9,.0f} {max(answers) / max(found['bare']):8.0%}")


if __name__ == "__main__":
    sys.exit(main())
