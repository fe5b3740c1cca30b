"""
How do other libraries do the same work?  In an environment of its own, with pinned versions.

    python -m benchmarks.peers                     time everybody, in turns with hand-written code; some minutes
    python -m benchmarks.peers wireup dishka       these beside asyncmeta only
    python -m benchmarks.peers --instructions      count machine instructions instead: exact, however busy the machine
    python -m benchmarks.peers --json F --page F --pictures FOLDER
"""

import argparse
import asyncio
import html
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import floor, instructions
from .instructions import Work
from .measure import ROOT, in_turns, ratio
from .requests import SEVEN
from .rivals import RIVALS, competitor
from .work import Chain, Graph, Request, counted

#: What is compared; exact, so that figures can be repeated.
PINNED = (
    "aioinject==1.11.0", "anydi==0.81.0", "dependency-injector==4.49.1", "di[anyio]==0.79.2", "dishka==1.10.1",
    "diwire==1.5.0", "modern-di==4.3.1", "svcs==26.2.0", "that-depends==4.2.1", "wireup==2.13.0", "matplotlib==3.11.2",
)  # fmt: skip

QUESTIONS = {
    "get": "await a singleton that is built",
    "request": "open a scope, get a handler on seven objects and a generator, close it",
    "chain": "make twenty transients that stand on each other",
}
MAKE: dict[str, type[Graph]] = {"get": Request, "request": Request, "chain": Chain}
FLOOR: dict[str, Any] = {"get": floor.cached, "request": floor.request, "chain": floor.chain}


def works(names: Sequence[str]) -> dict[str, list[tuple[str, Any]]]:
    """Return who does each work: by hand first, then ours, then the others that are asked for."""
    found: dict[str, list[tuple[str, Any]]] = {}
    for work in QUESTIONS:
        found[work] = [("by hand", FLOOR[work])]
        for rival in RIVALS:
            setup: Any = rival.chain if work == "chain" else rival.request
            if setup is None or (names and rival.name not in {"asyncmeta", *names}):
                continue
            if work == "get" and rival.name == "di":
                continue  # it has no get but by solving
            found[work].append((rival.name, competitor(setup, work)))
    return found


async def same_work(work: str, who: str, contestant: Any) -> None:
    """Let *contestant* do the work seven times on counted classes; raise AssertionError if other things were made or shared."""
    graph = MAKE[work](counted())
    async with contestant(graph) as batch:
        values = [(await batch(times))[1] for times in (1, 1, 5)]
    facts = graph.facts()
    if work == "get":
        right = facts["made"]["Pool"] == 1 and len({id(value) for value in values}) == 1 and type(values[0]) is graph.Pool  # type: ignore[attr-defined]
    elif work == "request":
        right = {**facts, "values": len({id(value) for value in values})} == SEVEN
    else:
        right = facts["made"] == {link.__name__: 7 for link in graph.links}  # type: ignore[attr-defined]
    if not right:
        raise AssertionError(f"{who} does other work in {work}: {facts}")


def timed(names: Sequence[str], rounds: int) -> dict[str, dict[str, float]]:
    """Return how many times the floor's best time each takes, by work and contestant."""
    found: dict[str, dict[str, float]] = {}
    for work, contestants in works(names).items():
        seconds = asyncio.run(in_turns(MAKE[work], *(contestant for _, contestant in contestants), rounds=rounds))
        found[work] = {
            who: ratio(who, seconds[0], mine).measured for (who, _), mine in zip(contestants, seconds, strict=True)
        }
    return found


def as_instructions(names: Sequence[str]) -> dict[str, dict[str, float]]:
    """Return how many times the floor's instructions each takes; a process for each contestant, so that none disturbs another."""
    found: dict[str, dict[str, float]] = {}
    for rival in RIVALS:
        if names and rival.name not in {"asyncmeta", *names}:
            continue
        for work, by in instructions.count("benchmarks.peers", "--inside", rival.name).items():
            found.setdefault(work, {"by hand": 1.0})[rival.name] = by[rival.name] / by["by hand"]
        print(f"{rival.name} is counted", flush=True)
    return found


# --- what is shown -------------------------------------------------------------------------------


def table(ratios: dict[str, dict[str, float]]) -> str:
    """Return the figures as a table, whoever takes least for a request first."""
    less = {rival.name: rival.less for rival in RIVALS}
    lines = [f"{'':22}" + "".join(f"{work:>10}" for work in QUESTIONS) + "  does less, or in another way"]
    for who in sorted(ratios["request"], key=ratios["request"].__getitem__):
        cells = "".join(f"{ratios[work][who]:10.2f}" if who in ratios.get(work, {}) else f"{'-':>10}" for work in QUESTIONS)
        lines.append(f"{who:22}{cells}  {less.get(who, '')}".rstrip())
    return "\n".join(lines)


def page(report: dict[str, Any]) -> str:
    """Return a page of its own, which asks nobody for anything, with a bar for each figure."""
    parts = []
    for work, question in QUESTIONS.items():
        figures = sorted(report["ratios"].get(work, {}).items(), key=lambda pair: pair[1])
        most = max((figure for _, figure in figures), default=1)
        bars = "".join(
            f'<tr class="{"ours" if who == "asyncmeta" else ""}"><th>{html.escape(who)}<td>{figure:.2f}'
            f'<td class="bar"><i style="width:{100 * figure / most:.1f}%"></i>'
            for who, figure in figures
        )
        parts.append(f"<h2>{work}</h2><p>{html.escape(question)}; 1.00 is by hand.<table>{bars}</table>")
    less = "".join(f"<dt>{html.escape(r.name)}<dd>{html.escape(r.less)}" for r in RIVALS if r.less)
    about = "<br>".join(html.escape(f"{name}: {value}") for name, value in report["circumstances"].items())
    style = (
        ":root{color-scheme:light dark}body{font:16px/1.5 system-ui;max-width:60rem;margin:2rem auto;padding:0 1rem}"
        "table{width:100%;border-collapse:collapse}th{text-align:left;font-weight:400;width:12rem}td{width:4rem}"
        ".bar{width:auto}i{display:block;height:.9em;background:#8899aa}.ours i{background:#0a7}.ours th{font-weight:700}"
    )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>asyncmeta and others</title><style>{style}</style>'
        f"<h1>asyncmeta and others: {html.escape(report['unit'])}</h1>{''.join(parts)}"
        f"<h2>Who does less, or in another way</h2><dl>{less}</dl><p><small>{about}</small></html>\n"
    )


def pictures(report: dict[str, Any], folder: Path) -> None:
    """Write a picture for each work."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    folder.mkdir(parents=True, exist_ok=True)
    for work, question in QUESTIONS.items():
        figures = sorted(report["ratios"].get(work, {}).items(), key=lambda pair: -pair[1])
        figure, axes = pyplot.subplots(figsize=(8, 0.5 + 0.35 * len(figures)))
        colours = ["#00aa77" if who == "asyncmeta" else "#8899aa" for who, _ in figures]
        bars = axes.barh([who for who, _ in figures], [number for _, number in figures], color=colours)
        axes.bar_label(bars, fmt="%.2f", padding=3)
        axes.set_title(f"{question}\n{report['unit']}, 1.00 is by hand", fontsize=9)
        axes.spines[["top", "right"]].set_visible(False)
        figure.tight_layout()
        figure.savefig(folder / f"peers-{work}.png", dpi=110, metadata={"Software": None})
        pyplot.close(figure)


# --- the command line ----------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the environment, compare, and show what was found."""
    known = [rival.name for rival in RIVALS if rival.name != "asyncmeta"]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description="Compare asyncmeta with other libraries.")
    parser.add_argument("names", nargs="*", metavar="LIBRARY", help=f"which (default: all): {', '.join(known)}")
    parser.add_argument("--instructions", action="store_true", help="count machine instructions, by valgrind, instead of time")
    parser.add_argument("--rounds", type=int, default=40, help="rounds of each contest (default: 40)")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--page", type=Path, metavar="FILE", help="a page of its own, with bars")
    parser.add_argument("--pictures", type=Path, metavar="FOLDER", help="a picture for each work")
    parser.add_argument("--environment", type=Path, metavar="FOLDER", help="where it is made, or stands (default: for this run)")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--inside", metavar="LIBRARY", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.inside:
        who = works([options.inside])
        instructions.inside([
            Work(work, MAKE[work], tuple(pair for pair in contestants if pair[0] in {"by hand", options.inside}))
            for work, contestants in who.items()
            if any(name == options.inside for name, _ in contestants)
        ])  # fmt: skip
        return 0
    if unknown := set(options.names) - set(known):
        parser.error(f"not compared: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    if not options.here:
        return elsewhere(options.environment, list(arguments if arguments is not None else sys.argv[1:]))
    if options.instructions and (why := instructions.missing()):
        parser.error(why)

    for work, contestants in works(options.names).items():
        for who, contestant in contestants:
            asyncio.run(same_work(work, who, contestant))
    print("everybody makes, shares and closes the same\n", flush=True)
    ratios = as_instructions(options.names) if options.instructions else timed(options.names, options.rounds)
    report = {
        "unit": ("machine instructions" if options.instructions else "time of the best batch") + ", times that of the work by hand",
        "circumstances": {
            "python": f"{platform.python_implementation()} {platform.python_version()}, {platform.python_compiler()}",
            "machine": f"{platform.system()} {platform.machine()}",
            "versions": ", ".join(PINNED[:-1]),
        },
        "ratios": ratios,
        "less": {rival.name: rival.less for rival in RIVALS if rival.less},
    }
    print(f"\n{report['unit']}\n\n{table(ratios)}")
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    if options.page:
        options.page.write_text(page(report), encoding="utf-8")
    if options.pictures:
        pictures(report, options.pictures)
    return 0


def elsewhere(environment: Path | None, arguments: list[str]) -> int:
    """Run the same command in an environment that has the others; make it if it is not there."""
    with tempfile.TemporaryDirectory(prefix="asyncmeta-peers-") as folder:
        place = (environment or Path(folder)).resolve()
        python = place / "bin" / "python"
        if not python.exists():
            subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
            subprocess.run([str(python), "-m", "pip", "install", "-q", "typing-extensions", *PINNED], check=True)
        command = [str(python), "-m", "benchmarks.peers", "--here", *arguments]
        return subprocess.run(command, cwd=Path.cwd(), env=os.environ | {"PYTHONPATH": str(ROOT)}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
