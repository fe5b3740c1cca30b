"""
Has anything become slower?  What is counted is compared with what was counted before.

    python -m benchmarks.check            compare with figures.json; exit with 1 if something is more than 3 % above
    python -m benchmarks.check --write    write what is counted now
    python -m benchmarks.check --calls    only the calls of cold paths and what an import loads, which need no valgrind

Machine instructions are compared as a ratio to the same work by hand, counted in the same process: so one interpreter
differs little from another of the same version, and a busy machine not at all.  Figures are kept for each build of
Python; where there are none, or no valgrind, that is said.
"""

import argparse
import json
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

from . import floor, imports, instructions, ours
from .instructions import Work
from .measure import in_process
from .scale import registrations
from .work import Call, Chain, Request, Wide

FIGURES = Path(__file__).with_name("figures.json")
TOLERANCE = 1.03  #: times the figure that is kept

WORKS = (
    Work("get", Request, (("by hand", floor.cached), ("asyncmeta", ours.cached))),
    Work("getter", Request, (("by hand", floor.cached), ("asyncmeta", ours.getter))),
    Work("scope and get", Request, (("by hand", floor.request), ("asyncmeta", ours.request))),
    Work("request", Request, (("by hand", floor.request), ("asyncmeta", ours.request_at_once))),
    Work("injected request", Request, (("by hand", floor.request), ("asyncmeta", ours.request_function))),
    Work("injected call", Call, (("by hand", floor.call), ("asyncmeta", ours.call))),
    Work("chain", Chain, (("by hand", floor.chain), ("asyncmeta", ours.chain))),
    Work("wide", Wide, (("by hand", floor.wide), ("asyncmeta", ours.wide))),
    Work("attribute", Request, (("by hand", floor.attribute), ("asyncmeta", ours.attribute))),
)


def counted(*, calls_only: bool) -> dict[str, float]:
    """Return every figure, by its name: calls of cold paths, what an import loads, and instructions as a ratio to those by hand."""
    # In a process of its own: where others have registered something, or look on, ways are longer.
    calls: dict[str, int] = json.loads(in_process("cold", "--json"))
    figures: dict[str, float] = {f"calls, {name}": number for name, number in calls.items()}
    weight: dict[str, int] = json.loads(in_process("imports"))
    figures |= weight
    if calls_only:
        return figures
    took = imports.instructions()
    figures |= {f"{name}: million instructions": round(took[name] / 1e6, 1) for name in imports.STATEMENTS}
    for name, by in instructions.count("benchmarks.check", "--inside").items():
        figures[f"instructions, {name}"] = round(by["asyncmeta"] / by["by hand"], 4)
    for name, number in registrations.counted().items():
        figures[f"of 5,000, {name}"] = round(number)
    return figures


def main(arguments: Sequence[str] | None = None) -> int:
    """Count and compare; return 1 if a figure is more than the tolerance above the one that is kept."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.check", description="Compare what is counted with what was.")
    parser.add_argument("--write", action="store_true", help=f"write {FIGURES.name} anew, for this build of Python")
    parser.add_argument("--calls", action="store_true", help="only the calls of cold paths, and what an import loads")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.inside:
        instructions.inside(WORKS)
        return 0
    why = "" if options.calls else instructions.missing()
    if why:
        print(f"{why}: only calls are compared")
    now = counted(calls_only=options.calls or bool(why))
    every: dict[str, dict[str, float]] = json.loads(FIGURES.read_text(encoding="utf-8")) if FIGURES.exists() else {}
    version = f"{platform.python_implementation()} {platform.python_version()}, {platform.python_compiler()}"
    kept = every.get(version, {})
    if not kept:
        print(f"no figures are kept for {version}")
    worse = []
    for name, number in now.items():
        before = kept.get(name)
        word = ""
        if before is not None and number > before * TOLERANCE:
            word = "  WORSE"
            worse.append(name)
        elif before is not None and number * TOLERANCE < before:
            word = "  better: --write keeps it so"
        print(f"{name:32} {number:9.6g}  before {'-' if before is None else f'{before:.6g}':>9}{word}")
    if options.write:
        every[version] = kept | now
        FIGURES.write_text(json.dumps(dict(sorted(every.items())), indent=2) + "\n", encoding="utf-8")
    elif worse:
        print(f"more than {TOLERANCE - 1:.0%} above what is kept: {', '.join(worse)}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
