"""
How long does ``import asyncmeta`` take where asyncio, inspect and typing are there already, and what holds with it?

    python -m benchmarks.imports                   prints how many rooms they load, and how much code of theirs: counts, for `check`
    python -m benchmarks.imports --instructions    counts what they take, of that what typing_extensions takes, and what was before

A module that declares needs the first only; ``from asyncmeta import Container`` loads what holds.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from statistics import median
from types import CodeType

from .instructions import of_process
from .measure import ROOT, Row, Scenario, as_installed, spread

PROCESSES = 9

# Not a module of ours: these import what is to be measured.
THERE = ("asyncio", "inspect", "json", "sys", "time", "typing")
PROGRAM = f"""
import {", ".join(THERE)}
before = set(sys.modules)
start = time.perf_counter()
exec(sys.argv[1])
took = time.perf_counter() - start
print(json.dumps({{"took": took, "added": sorted(set(sys.modules) - before)}}))
"""


#: What is imported, and how many milliseconds that may take.
STATEMENTS = {
    "import": ("import asyncmeta", 8),
    "import, what holds too": ("from asyncmeta import AsyncServiceBase, Container", 12),
}


def measure(_: int) -> list[Row]:
    """Import in fresh processes, from compiled files as after an installation."""
    with tempfile.TemporaryDirectory() as compiled:
        return [timed(name, statement, limit, compiled) for name, (statement, limit) in STATEMENTS.items()]


def timed(name: str, statement: str, limit: float, compiled: str) -> Row:
    """Time a statement."""
    runs = []
    for _ in range(PROCESSES + 1):
        command = [sys.executable, "-c", PROGRAM, statement]
        done = subprocess.run(command, cwd=ROOT, env=as_installed(compiled), check=True, capture_output=True)
        runs.append(json.loads(done.stdout))
    took = [each["took"] for each in runs[1:]]  # the first compiled them
    added = runs[0]["added"]
    others = [name for name in added if name.partition(".")[0] != "asyncmeta"]
    assert "dataclasses" not in others, others
    note = f"{len(added)} modules; not ours: {', '.join(others) or 'none'}"
    return Row(name, min(took) * 1e3, "ms", limit, median(took) * 1e3, spread(took), ours=min(took), note=note)


def code_of(code: CodeType) -> Iterator[CodeType]:
    """Give a module's code and that of all functions and classes in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from code_of(constant)


def weight() -> dict[str, int]:
    """Return how many modules of ours each has loaded, and the bytes of bytecode in them: the same at each time."""
    found: dict[str, int] = {}
    for name, (statement, _) in STATEMENTS.items():
        exec(statement, {})
        rooms = [room for room in sys.modules if room.partition(".")[0] == "asyncmeta"]
        codes = [sys.modules[room].__spec__.loader.get_code(room) for room in rooms]  # type: ignore[union-attr]
        found[f"{name}: rooms"] = len(rooms)
        found[f"{name}: bytecode"] = sum(len(part.co_code) for code in codes for part in code_of(code))
    return found


def instructions() -> dict[str, int]:
    """Return how many machine instructions each takes: an interpreter with what was there before, and what comes to that."""
    statements = {"of that typing_extensions": "import typing_extensions"}
    statements |= {name: statement for name, (statement, _) in STATEMENTS.items()}
    before, *taken = (
        of_process("-c", f"import {', '.join(THERE)}; {statement}; import os; os._exit(0)")
        for statement in ("pass", *statements.values())
    )
    return {"before": before} | {name: each - before for name, each in zip(statements, taken, strict=True)}


SCENARIOS = (Scenario("import", "How long does the import take, and what does it bring along?", measure),)

if __name__ == "__main__":
    print(json.dumps(instructions() if "--instructions" in sys.argv else weight()))
