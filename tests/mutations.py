"""
Would a test notice?  Small faults are written into a copy of the package, one at a time, and the tests are run on each.

    python tests/mutations.py asyncmeta/_solve                    a hundred faults, chosen anew for each --seed
    python tests/mutations.py asyncmeta/_run --sample 0           all of them, which takes a night
    python tests/mutations.py asyncmeta/_solve/plan.py --tests tests/solve tests/run

What is printed of each that no test notices is where it is and what it is; some of them change nothing that anybody can
see.  It is no part of .ci/run.  Annotations, docstrings, messages and what only type checkers read are left alone.
"""

import argparse
import ast
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
TESTS = ("tests/rooms", "tests/solve", "tests/run", "tests/declare", "tests/inject", "tests/conformance", "tests/guarantees")
LONGEST = 300  #: seconds; who takes longer than this hangs, and is noticed

COMPARED: dict[type, type] = {
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
CALCULATED: dict[type, type] = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.BitOr: ast.BitAnd}


class Fault(NamedTuple):
    """A place of a file, and what stands there instead."""

    file: Path
    start: int  #: characters from the beginning of the file
    end: int
    text: str
    line: int
    before: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {' '.join(self.before.split())[:70]}  ->  {' '.join(self.text.split())[:70]}"


def instead(node: ast.AST) -> Iterator[ast.AST | str]:
    """Yield what might stand there by mistake."""
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in COMPARED:
        yield ast.Compare(node.left, [COMPARED[type(node.ops[0])]()], node.comparators)
    elif isinstance(node, ast.BoolOp):
        yield ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
        yield node.values[0]
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield node.operand
    elif isinstance(node, ast.BinOp) and type(node.op) in CALCULATED:
        yield ast.BinOp(node.left, CALCULATED[type(node.op)](), node.right)
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield ast.Constant(not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int):
        yield ast.Constant(node.value + 1)
    elif isinstance(node, ast.Break):
        yield "continue"
    elif isinstance(node, ast.Continue):
        yield "break"
    elif isinstance(node, ast.Return) and node.value is not None and not isinstance(node.value, ast.Constant):
        yield "return None"
    elif (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call | ast.Await)) or (
        isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Attribute | ast.Subscript)
    ):
        yield "pass"


def seen_by_nobody(tree: ast.AST) -> set[ast.AST]:
    """Return the nodes that a running program does not reach, or whose text is for people."""
    left: set[ast.AST] = set()
    for node in ast.walk(tree):
        parts: list[ast.AST | None] = []
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            arguments = node.args
            every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
            parts += [node.returns, *(each.annotation for each in every if each)]
        elif isinstance(node, ast.AnnAssign):
            parts += [node.annotation]
        elif isinstance(node, ast.JoinedStr) or (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            parts += [node]
        for part in parts:
            if part is not None:
                left.update(ast.walk(part))
    return left


def faults(file: Path) -> Iterator[Fault]:
    """Yield the faults that *file*, a path below the root, may be given."""
    source = (ROOT / file).read_text(encoding="utf-8")
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    tree = ast.parse(source)
    left = seen_by_nobody(tree)
    for node in ast.walk(tree):
        if node in left or not hasattr(node, "lineno"):
            continue
        before = ast.get_source_segment(source, node)
        if before is None:
            continue
        # Columns are counted in bytes; a line that is not ASCII is left alone.
        lines = source.splitlines()
        if not (lines[node.lineno - 1].isascii() and lines[node.end_lineno - 1].isascii()):
            continue
        start, end = starts[node.lineno - 1] + node.col_offset, starts[node.end_lineno - 1] + node.end_col_offset
        for other in instead(node):
            text = other if isinstance(other, str) else f"({ast.unparse(ast.fix_missing_locations(other))})"
            if isinstance(other, str) or ast.unparse(other) != before:
                yield Fault(file, start, end, text, node.lineno, before)


def noticed(fault: Fault, copy: Path, tests: Sequence[str]) -> bool:
    """Run the tests on a copy that has the fault; say whether one fails."""
    place = copy / fault.file
    source = place.read_text(encoding="utf-8")
    try:
        place.write_text(source[: fault.start] + fault.text + source[fault.end :], encoding="utf-8")
        command = [sys.executable, "-B", "-m", "pytest", "-q", "-x", "-m", "not slow", "-p", "no:cacheprovider", *tests]
        copied = {**os.environ, "PYTHONPATH": str(copy)}  # for programs that tests start, where another one is installed
        try:
            done = subprocess.run(command, cwd=copy, env=copied, capture_output=True, timeout=LONGEST, stdin=subprocess.DEVNULL)
        except subprocess.TimeoutExpired:
            return True
        return done.returncode != 0
    finally:
        place.write_text(source, encoding="utf-8")


def main() -> int:
    """Choose, try, and print the score and what nobody noticed."""
    parser = argparse.ArgumentParser(description="Write small faults into a copy of the package, and see whether a test fails.")
    parser.add_argument("paths", nargs="+", type=Path, help="files or folders of the package")
    parser.add_argument("--tests", nargs="+", default=TESTS, help=f"what is run on each (default: {' '.join(TESTS)})")
    parser.add_argument("--sample", type=int, default=100, help="how many (default: 100; 0 for all)")
    parser.add_argument("--seed", default="", help="choose others")
    options = parser.parse_args()

    files = [file for path in options.paths for file in (sorted(path.rglob("*.py")) if path.is_dir() else [path])]
    every = [fault for file in files for fault in faults(file)]
    chosen = random.Random(options.seed).sample(every, min(options.sample or len(every), len(every)))
    with tempfile.TemporaryDirectory(prefix="asyncmeta-mutations-") as folder:
        copy = Path(folder, "copy")
        left_out = shutil.ignore_patterns(".git", ".venv*", "__pycache__", ".*_cache", ".hypothesis", "*.egg-info")
        shutil.copytree(ROOT, copy, ignore=left_out)
        sound = Fault(files[0], 0, 0, "", 1, "")
        if noticed(sound, copy, options.tests):
            print("the tests fail without any fault")
            return 2
        survivors, began = [], time.monotonic()
        for number, fault in enumerate(sorted(chosen), 1):
            if not noticed(fault, copy, options.tests):
                survivors.append(fault)
                print(f"nobody notices  {fault}", flush=True)
            if number % 10 == 0:
                print(f"{number} of {len(chosen)}, {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    score = 1 - len(survivors) / max(1, len(chosen))
    print(f"{len(chosen)} of {len(every)} faults tried, {len(survivors)} that nobody notices: {score:.1%}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
