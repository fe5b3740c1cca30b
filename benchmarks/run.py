"""The command line: which questions, how often, and the table of the answers."""

import argparse
import json
import os
import platform
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import asyncmeta

from . import attributes, cached, calls, imports, memory, overrides, requests, serverless, transients, waiting
from .measure import Row, Scenario, in_process
from .scale import registrations

SCENARIOS: dict[str, Scenario] = {
    scenario.name: scenario
    for module in (
        cached, requests, calls, transients, attributes, overrides, registrations, waiting, memory, imports, serverless,
    )
    for scenario in module.SCENARIOS
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; return 1 if ``--check`` was asked for and a limit is not kept."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description="Measure asyncmeta against hand-written code.")
    parser.add_argument("scenario", nargs="*", help=f"which (default: all): {', '.join(SCENARIOS)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers to FILE")
    parser.add_argument("--rounds", type=int, default=60, metavar="N", help="rounds of each contest (default: 60)")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a limit is not kept")
    parser.add_argument("--count", action="store_true", help="only compare what is made, shared and closed; no timing")
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.scenario if name not in SCENARIOS]:
        parser.error(f"no such scenario: {', '.join(unknown)}; there are {', '.join(SCENARIOS)}")
    if options.rounds < 2:
        parser.error("--rounds must be at least 2")

    if options.count:
        for name in options.scenario or SCENARIOS:
            if compare := SCENARIOS[name].same_work:
                compare()
        return 0

    where = circumstances(options.rounds)
    for name, value in where.items():
        print(f"{name:10} {value}")
    rows: dict[str, list[Row]] = {}
    failed: dict[str, str] = {}
    for name in options.scenario or SCENARIOS:
        print(f"\n{name}: {SCENARIOS[name].question}", flush=True)
        try:
            if SCENARIOS[name].same_work:
                # In a process of its own: the floor's code must not have met the counted
                # classes, or the interpreter would have specialised it for those.
                in_process("run", "--count", name)
            rows[name] = SCENARIOS[name].measure(options.rounds)
        except Exception as error:  # one that does other work, or none, is no reason to leave out the rest
            failed[name] = f"{type(error).__name__}: {error}"
            print(f"FAILED: {failed[name]}", flush=True)
            continue
        for row in rows[name]:
            print(line(row), flush=True)
    every = [row for some in rows.values() for row in some]
    missed = [row for row in every if not row.met]
    print(f"\n{HEADER}")
    for row in every:
        print(line(row))
    limits = sum(row.limit is not None for row in every)
    print(f"\n{limits} limits, {len(missed)} not kept" + (f"; failed: {', '.join(failed)}" if failed else ""))
    if options.json:
        report = {
            "circumstances": where,
            "rows": {name: [as_json(row) for row in some] for name, some in rows.items()},
            "failed": failed,
        }
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 1 if options.check and (missed or failed) else 0


def circumstances(rounds: int) -> dict[str, Any]:
    """Say where and with what this was measured."""
    try:
        extensions = version("typing_extensions")
    except PackageNotFoundError:  # on the path, but not installed
        extensions = "unknown"
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "machine": f"{processor()}, {usable} of {os.cpu_count()} processors, {platform.system()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()} ({platform.python_compiler()})",
        "asyncmeta": asyncmeta.__version__,
        "needs": f"typing_extensions {extensions}",
        "rounds": rounds,
    }


def processor() -> str:
    """Return the processor's name, as the system tells it."""
    try:
        for text in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if text.startswith("model name"):
                return text.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or "unknown processor"


HEADER = f"{'work':40} {'by hand':>10} {'asyncmeta':>10} {'best':>9} {'median':>9} {'spread':>7} {'limit':>9}"


def line(row: Row) -> str:
    """Return *row* as a line under the header."""

    def amount(value: float | None) -> str:
        if value is None:
            return ""
        if row.unit == "bytes":
            return f"{value:,.0f} B"
        scaled = ((value * factor, unit) for factor, unit in ((1, "s"), (1e3, "ms"), (1e6, "us")))
        return next((f"{number:.3g} {unit}" for number, unit in scaled if number >= 1), f"{value * 1e9:.0f} ns")

    def measure(value: float | None) -> str:
        if value is None:
            return ""
        return {"x": f"{value:.2f}", "ms": f"{value:.1f} ms", "us": f"{value:.1f} us", "bytes": f"{value:,.0f} B"}[row.unit]

    spread = "" if row.spread is None else f"{row.spread:.0%}"
    verdict = "" if row.limit is None else "  kept" if row.met else "  NOT KEPT"
    note = f"  ({row.note})" if row.note else ""
    return (
        f"{row.name:40} {amount(row.floor):>10} {amount(row.ours):>10} {measure(row.measured):>9}"
        f" {measure(row.middle):>9} {spread:>7} {measure(row.limit):>9}{verdict}{note}"
    )


def as_json(row: Row) -> dict[str, Any]:
    """Return *row* with everything that was measured; times in seconds unless the unit says otherwise."""
    return {**row._asdict(), "met": row.met if row.limit is not None else None}


if __name__ == "__main__":
    sys.exit(main())
