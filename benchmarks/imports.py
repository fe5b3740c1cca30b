"""
How long does ``import asyncmeta`` take where asyncio, inspect and typing are there already?

    python -m benchmarks.imports                   prints how many rooms it loads, and how much code of theirs: counts, for `check`
    python -m benchmarks.imports --instructions    counts what it takes, of that what typing_extensions takes, and what was before
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
import asyncmeta
took = time.perf_counter() - start
print(json.dumps({{"took": took, "added": sorted(set(sys.modules) - before)}}))
"""


def measure(_: int) -> list[Row]:
    """Import in fresh processes, from compiled files as after an installation."""
    runs = []
    with tempfile.TemporaryDirectory() as compiled:
        for _ in range(PROCESSES + 1):
            command = [sys.executable, "-c", PROGRAM]
            done = subprocess.run(command, cwd=ROOT, env=as_installed(compiled), check=True, capture_output=True)
            runs.append(json.loads(done.stdout))
    took = [each["took"] for each in runs[1:]]  # the first compiled them
    added = runs[0]["added"]
    others = [name for name in added if name.partition(".")[0] != "asyncmeta"]
    assert "dataclasses" not in others, others
    return [
        Row(
            "import",
            min(took) * 1e3,
            "ms",
            12,
            median(took) * 1e3,
            spread(took),
            ours=min(took),
            note=f"{len(added)} modules; not ours: {', '.join(others) or 'none'}",
        )
    ]


def code_of(code: CodeType) -> Iterator[CodeType]:
    """Give a module's code and that of all functions and classes in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from code_of(constant)


def weight() -> dict[str, int]:
    """Return how many modules of ours the import has loaded, and the bytes of bytecode in them: the same at each time."""
    import asyncmeta

    rooms = [name for name in sys.modules if name.partition(".")[0] == asyncmeta.__name__]
    codes = [sys.modules[name].__spec__.loader.get_code(name) for name in rooms]  # type: ignore[union-attr]
    return {"rooms": len(rooms), "bytecode": sum(len(part.co_code) for code in codes for part in code_of(code))}


def instructions() -> dict[str, int]:
    """Return how many machine instructions each takes: an interpreter with what was there before, and what comes to that."""
    before, others, ours = (
        of_process("-c", f"import {', '.join(names)}; import os; os._exit(0)")
        for names in (THERE, (*THERE, "typing_extensions"), (*THERE, "asyncmeta"))
    )
    return {"before": before, "import": ours - before, "of that typing_extensions": others - before}


SCENARIOS = (Scenario("import", "How long does the import take, and what does it bring along?", measure),)

if __name__ == "__main__":
    print(json.dumps(instructions() if "--instructions" in sys.argv else weight()))
