"""
How much of the inside does a type checker see?  Members are misspelled in a copy of the package, one at a time, and
mypy --strict is asked about each.

    python tests/misspell.py                           200 members of asyncmeta/_run, chosen anew for each --seed
    python tests/misspell.py asyncmeta/_solve          of another wing or room

What is printed of each that mypy does not see is where it is.  A member is what follows a dot in an expression or an
assignment; a wrong one in the package's own code is what a user would meet as an AttributeError.  It is no part of
.ci/run; mypy's daemon, which it starts and stops, keeps it quick.
"""

import argparse
import ast
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
WRONG = "_mispelt"  #: what is put behind the name


class Member(NamedTuple):
    """Where the name of a member ends, and what it is a member of."""

    file: Path
    line: int
    end: int  #: characters from the beginning of the file
    of: str
    name: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.of}.{self.name}"


def members(file: Path) -> Iterator[Member]:
    """Yield the members that *file*, a path below the root, speaks of."""
    source = (ROOT / file).read_text(encoding="utf-8")
    lines = source.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and node.end_lineno and node.end_col_offset:
            line = lines[node.end_lineno - 1]
            column = len(line.encode()[: node.end_col_offset].decode())  # they are counted in bytes
            yield Member(file, node.end_lineno, starts[node.end_lineno - 1] + column, ast.unparse(node.value), node.attr)


class Checker:
    """mypy's daemon at a copy of the package."""

    def __init__(self, copy: Path, mypy: str) -> None:
        self.copy = copy
        self.command = [mypy, "-m", "mypy.dmypy", "--status-file", str(copy / ".status.json")]

    def run(self, *arguments: str) -> list[str]:
        """Return the errors that a command of the daemon prints."""
        done = subprocess.run([*self.command, *arguments], cwd=self.copy, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if done.returncode not in (0, 1):
            raise SystemExit(f"{arguments}: {done.stdout}{done.stderr}")
        return [line for line in done.stdout.splitlines() if re.search(r": error: ", line)]

    def sees(self, member: Member) -> bool:
        """Say whether *member*, misspelled, is a mistake."""
        place = self.copy / member.file
        source = place.read_text(encoding="utf-8")
        try:
            place.write_text(source[: member.end] + WRONG + source[member.end :], encoding="utf-8")
            return bool(self.run("check", "asyncmeta"))
        finally:
            place.write_text(source, encoding="utf-8")
            self.run("check", "asyncmeta")


def main() -> int:
    """Choose, ask, and print what is not seen and how many are."""
    parser = argparse.ArgumentParser(description="Misspell members in a copy of the package, and see whether mypy --strict tells.")
    parser.add_argument("paths", nargs="*", type=Path, default=[Path("asyncmeta/_run")], help="files or folders of the package")
    parser.add_argument("--sample", type=int, default=200, help="how many (default: 200; 0 for all)")
    parser.add_argument("--seed", default="", help="choose others")
    parser.add_argument("--mypy", default=sys.executable, help="the Python that has mypy (default: this one)")
    options = parser.parse_args()

    files = [file for path in options.paths for file in (sorted(path.rglob("*.py")) if path.is_dir() else [path])]
    every = [member for file in files for member in members(file)]
    chosen = random.Random(options.seed).sample(every, min(options.sample or len(every), len(every)))
    with tempfile.TemporaryDirectory(prefix="asyncmeta-misspell-") as folder:
        copy = Path(folder)
        shutil.copytree(ROOT / "asyncmeta", copy / "asyncmeta", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "setup.cfg", copy)
        checker = Checker(copy, options.mypy)
        if found := checker.run("start", "--", "--strict", "--no-error-summary") or checker.run("check", "asyncmeta"):
            print("mypy finds mistakes without any misspelling:", *found, sep="\n")
            return 2
        try:
            unseen = []
            for member in sorted(chosen):
                if not checker.sees(member):
                    unseen.append(member)
                    print(f"not seen  {member}", flush=True)
        finally:
            checker.run("stop")
    print(f"{len(chosen)} of {len(every)} members misspelled, {len(chosen) - len(unseen)} seen by mypy --strict")
    for of, number in Counter(member.of for member in unseen).most_common(8):
        print(f"  {number} not seen of {of}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
