"""
Read the samples of this folder with type checkers, against the installed asyncmeta.

    python tests/typing/run.py                 mypy and pyright
    python tests/typing/run.py --all           mypy, pyright, ty, pyrefly and zuban
    python tests/typing/run.py zuban ty        those

Run it with an interpreter into whose environment asyncmeta (not as an editable install) and the checkers are
installed. The samples are never executed. What is compared, per checker:

- a line with a mark, ``# E: why``, is flagged; ``# E[ty zuban]: why`` only by those named;
- no other line is flagged, so every ``assert_type`` holds;
- and once more with every asserted type replaced by a wrong one: each is flagged, so the samples can fail.

A sample with a line ``# needs: asyncmeta.testing`` is left out while the package has no such name.
"""

import argparse
import ast
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
OLDEST_PYTHON = "3.11"
WRONG = "memoryview"  # a type that no sample asserts

MARK = re.compile(r"# E(?:\[(?P<checkers>[\w ]+)\])?: ")
NEEDS = re.compile(r"^# needs: (?P<name>[\w.]+)$", re.MULTILINE)
#: path, line, the rest: as mypy, zuban, ty ("concise") and pyright print it; pyrefly puts a word before.
FLAG = re.compile(r"^\s*(?:ERROR )?(?P<file>[^\s:][^:]*\.py):(?P<line>\d+)(?P<rest>\b.*)$")

PYRIGHT_SETTINGS = f'{{"typeCheckingMode": "strict", "pythonVersion": "{OLDEST_PYTHON}"}}'


def script(name: str) -> str:
    """Return the program *name* of the environment that runs this, else the one on PATH."""
    return shutil.which(name, path=sysconfig.get_path("scripts")) or shutil.which(name) or name


def python_checker(name: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", name, *arguments]


# `.` is the folder of the copied samples.
COMMANDS: dict[str, Callable[[], list[str]]] = {
    "mypy": lambda: python_checker(
        "mypy", "--strict", "--config-file=", "--no-incremental", "--cache-dir=/dev/null", "--hide-error-context",
        f"--python-version={OLDEST_PYTHON}", f"--python-executable={sys.executable}", ".",
    ),
    "pyright": lambda: python_checker("pyright", f"--pythonpath={sys.executable}"),
    "ty": lambda: [
        script("ty"), "check", f"--python={sys.prefix}", f"--python-version={OLDEST_PYTHON}",
        "--output-format=concise", ".",
    ],
    "pyrefly": lambda: [
        # Its strict preset wants `@override` on every overriding method: a house style, not a fault of types.
        script("pyrefly"), "check", "--preset=strict", "--ignore=missing-override-decorator",
        f"--python-version={OLDEST_PYTHON}", f"--python-interpreter-path={sys.executable}",
        "--output-format=min-text", ".",
    ],
    "zuban": lambda: [
        script("zuban"), "mypy", "--strict", f"--python-version={OLDEST_PYTHON}",
        f"--python-executable={sys.executable}", ".",
    ],
}  # fmt: skip
DEFAULT = ["mypy", "pyright"]


def ask_installed(program: str, *arguments: str) -> str:
    """Run *program* with the installed asyncmeta in sight, and nothing of this checkout; return what it prints."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", program, *arguments], cwd=tempfile.gettempdir(), capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(f"asyncmeta cannot be used by {sys.executable}:\n{done.stderr}")
    return done.stdout.strip()


def check_installation() -> None:
    """Refuse an editable install: then the checkers would find files that may not be shipped."""
    place = Path(ask_installed("import asyncmeta; print(asyncmeta.__file__)")).resolve()
    if place.is_relative_to(ROOT / "asyncmeta"):
        raise SystemExit(f"asyncmeta is an editable install of {place.parent}; install it with `pip install .`")
    print(f"asyncmeta is {place.parent.name}/ in {place.parent.parent.name}/, not the checkout")


def is_there(name: str) -> bool:
    """Say whether the installed package has *name*, a module or an attribute, as in "asyncmeta.testing"."""
    return ask_installed("import pkgutil, sys\ntry: pkgutil.resolve_name(sys.argv[1])\n"
                         "except (ImportError, AttributeError): print('no')", name) != "no"  # fmt: skip


def samples(everything: bool) -> dict[str, str]:
    """Return file name and text of each sample whose needs the package meets."""
    found = {}
    for file in sorted(HERE.glob("*.py")):
        if file.name == Path(__file__).name:
            continue
        text = file.read_text(encoding="utf-8")
        missing = [name for name in NEEDS.findall(text) if not everything and not is_there(name)]
        if missing:
            print(f"{file.name} is left out: the package has no {', '.join(missing)} yet")
        else:
            found[file.name] = text
    return found


def marks(text: str, checker: str) -> set[int]:
    """Return the numbers of the lines that *checker* has to flag."""
    return {
        number
        for number, line in enumerate(text.splitlines(), 1)
        if (mark := MARK.search(line)) and (not mark["checkers"] or checker in mark["checkers"].split())
    }


def assertions(text: str) -> list[ast.Call]:
    """Return the calls of ``assert_type`` in the order of their places."""
    found = [
        node
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "assert_type"
    ]
    return sorted(found, key=lambda node: (node.lineno, node.col_offset))


def with_wrong_types(text: str) -> str:
    """Return *text* with every asserted type replaced by one that is wrong, every line keeping its number."""
    lines = text.splitlines(keepends=True)
    for call in reversed(assertions(text)):
        asserted = call.args[1]
        # Columns count bytes of UTF-8; the samples are ASCII where it matters, and this would notice.
        assert asserted.end_lineno == asserted.lineno, f"line {asserted.lineno}: write an asserted type on one line"
        line = lines[asserted.lineno - 1].encode()
        changed = line[: asserted.col_offset] + WRONG.encode() + line[asserted.end_col_offset :]
        lines[asserted.lineno - 1] = changed.decode()
    return "".join(lines)


def flagged(checker: str, texts: dict[str, str]) -> dict[str, dict[int, str]]:
    """Run *checker* over *texts* in a new folder; return per file what it says of which line."""
    with tempfile.TemporaryDirectory(prefix="asyncmeta-typing-") as name:
        folder = Path(name).resolve()
        for file, text in texts.items():
            (folder / file).write_text(text, encoding="utf-8")
        (folder / "pyrightconfig.json").write_text(PYRIGHT_SETTINGS, encoding="utf-8")
        done = subprocess.run(COMMANDS[checker](), cwd=folder, capture_output=True, text=True)
        # 0: nothing found, 1: something found; anything else is a checker that could not work.
        if done.returncode not in {0, 1}:
            raise SystemExit(f"{checker} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
        found: dict[str, dict[int, str]] = {file: {} for file in texts}
        for line in done.stdout.splitlines():
            flag = FLAG.match(line)
            if not flag or ": note:" in flag["rest"]:
                continue
            file = (folder / flag["file"]).name
            if file not in found or (folder / flag["file"]).parent != folder:
                raise SystemExit(f"{checker} complains about another file: {line}")
            found[file].setdefault(int(flag["line"]), line.strip())
    return found


def differences(checker: str, texts: dict[str, str]) -> list[str]:
    """Return what *checker* sees otherwise than the samples say."""
    wrong = []
    found = flagged(checker, texts)
    for file, text in texts.items():
        lines, expected = text.splitlines(), marks(text, checker)
        wrong += [f"{file}:{number}: not flagged: {lines[number - 1].strip()}" for number in sorted(expected - set(found[file]))]
        wrong += [
            f"{file}:{number}: flagged: {lines[number - 1].strip()}\n    {found[file][number]}"
            for number in sorted(set(found[file]) - expected)
        ]
    found = flagged(checker, {file: with_wrong_types(text) for file, text in texts.items()})
    for file, text in texts.items():
        for call in assertions(text):
            if not set(range(call.lineno, (call.end_lineno or call.lineno) + 1)) & set(found[file]):
                wrong.append(f"{file}:{call.lineno}: a wrong type is not noticed: {ast.unparse(call)}")
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description="Read the samples of tests/typing with type checkers.")
    parser.add_argument("checkers", nargs="*", metavar="checker", help=f"any of {', '.join(COMMANDS)}")
    parser.add_argument("--all", action="store_true", help="all of them")
    parser.add_argument("--every-sample", action="store_true", help="leave out no sample for what it needs")
    options = parser.parse_args()
    chosen = list(COMMANDS) if options.all else options.checkers or DEFAULT
    if unknown := set(chosen) - set(COMMANDS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(COMMANDS)}")

    check_installation()
    texts = samples(options.every_sample)
    asserted = sum(len(assertions(text)) for text in texts.values())
    failed = 0
    for checker in chosen:
        wrong = differences(checker, texts)
        failed += len(wrong)
        for line in wrong:
            print(f"{checker}: {line}")
        marked = sum(len(marks(text, checker)) for text in texts.values())
        verdict = f"{len(wrong)} differences" if wrong else "all as they should be"
        print(f"{checker}: {asserted} asserted types, {marked} marked mistakes in {len(texts)} samples: {verdict}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
