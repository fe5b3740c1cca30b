"""
Which code blocks does a page have, and do they do what the page says?

    python tests/doc_pages.py PAGE.rst

runs the Python blocks of one page, in order and in one namespace; with ``--told`` in place of a page, those that come in.
A comment before a text block says what it is:

- ``.. prints``: what the block before it prints; a block that prints has to show it,
- ``.. prints, but for the times``: the same, but for numbers with a point and the bars before them,
- ``.. raises``: the exception that ends the block before it, as the last lines of a traceback show it.

Blocks are compiled as ``app.py``, lines counted from each one's first: so messages name what a reader sees.  One with
a caption such as ``mail.py`` is a module of its own, and can be imported.

A page that begins with the comment ``.. lesson`` is done as its reader does it: all blocks are pasted into the file that
their captions name, else ``app.py``, and Python runs that file, or pytest where it is one of tests.  What the page shows is all
that is printed, in order.  ``.. lesson: after web`` finds the files of ``web.rst`` beside its own.

A comment ``.. quiet: mcp strawberry`` names loggers of other libraries, which write down what the page does wrong on purpose.
"""

import contextlib
import gc
import io
import linecache
import logging
import os
import re
import subprocess
import sys
import tempfile
import textwrap
import traceback
import types
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
FILE = "app.py"
DIRECTIVE = re.compile(r"^(?P<indent> *)\.\. (?P<name>code-block|testcode)::[ \t]*(?P<language>\S*)$")
LESSON = re.compile(r"^\.\. lesson(?:: after (?P<after>\w+))?$", re.MULTILINE)
QUIET = re.compile(r"^\.\. quiet: (.+)$", re.MULTILINE)
MARKS = (".. prints", ".. prints, but for the times", ".. raises")


class Block(NamedTuple):
    """One code block."""

    language: str
    line: int  #: of the first line of its text in the page, counted from 1
    text: str
    mark: str  #: the comment before it, if it is one of MARKS
    file: str  #: its caption, if that is the name of a module, else FILE


def pages() -> list[Path]:
    """Return every page: the README, CONTRIBUTING and all of docs."""
    of_docs = sorted(page for page in (ROOT / "docs").rglob("*.rst") if "_build" not in page.parts)
    return [ROOT / "README.rst", ROOT / "CONTRIBUTING.rst", *of_docs]


def blocks(page: Path) -> list[Block]:
    """Return the code blocks of *page* in order."""
    lines = page.read_text(encoding="utf-8").splitlines()
    found: list[Block] = []
    before = ""
    number = 0
    while number < len(lines):
        directive = DIRECTIVE.match(lines[number])
        number += 1
        if directive is None:
            before = lines[number - 1].strip() or before
            continue
        margin = len(directive["indent"])
        body: list[str] = []
        while number < len(lines) and (not lines[number].strip() or len(lines[number]) - len(lines[number].lstrip()) > margin):
            body.append(lines[number])
            number += 1
        first = number - len(body)
        file = FILE
        while body and (not body[0].strip() or re.match(r" +:\w+:", body[0])):  # options and the blank line
            caption = re.fullmatch(r" +:caption: (\w+\.py)", body.pop(0))
            file = caption[1] if caption is not None else file
            first += 1
        language = "python" if directive["name"] == "testcode" else directive["language"]
        text = textwrap.dedent("\n".join(body)).strip("\n") + "\n"
        found.append(Block(language, first + 1, text, before if before in MARKS else "", file))
        before = ""
    return found


def as_shown(error: BaseException) -> str:
    """Return what the end of a traceback shows of *error*, without the names of modules."""
    notes = "".join(f"\n{note}" for note in getattr(error, "__notes__", ()))
    return f"{type(error).__name__}: {error}{notes}"


def differs(shown: str, real: str, mark: str) -> bool:
    """Tell whether what a page shows is not what happened."""
    if mark.endswith("times"):
        shown, real = (re.sub(r"[ #=█▒]*\d+\.\d+", " #", text) for text in (shown, real))
    return shown.split("\n") != real.rstrip().split("\n")


def run_page(page: Path) -> list[str]:
    """Run the Python blocks of *page*; return what is not as the page says."""
    modules: dict[str, types.ModuleType] = {}
    wrong: list[str] = []
    of_page = blocks(page)
    for names in QUIET.findall(page.read_text(encoding="utf-8")):
        for name in names.split():
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    for position, block in enumerate(of_page):
        if block.language != "python":
            continue
        place = f"{page.relative_to(ROOT)}:{block.line}"
        after = of_page[position + 1] if position + 1 < len(of_page) else None
        mark, shown = (after.mark, after.text.rstrip()) if after is not None and after.language == "text" else ("", "")
        name = block.file.removesuffix(".py")
        if name not in modules:
            modules[name] = sys.modules[name] = types.ModuleType(name)
        linecache.cache[block.file] = (len(block.text), None, block.text.splitlines(keepends=True), block.file)
        printed = io.StringIO()
        raised = ""
        try:
            with contextlib.redirect_stdout(printed):
                exec(compile(block.text, block.file, "exec", dont_inherit=True), vars(modules[name]))
        except BaseException as error:
            raised = as_shown(error)
            if mark != ".. raises":
                wrong.append(f"{place}: this block fails\n{traceback.format_exc()}")
                break
        gc.collect()
        real = raised if mark == ".. raises" else printed.getvalue()
        if mark == ".. raises" and not raised:
            wrong.append(f"{place}: nothing is raised")
        elif differs(shown if mark else "", real, mark):
            wrong.append(f"{place}: really\n{textwrap.indent(real.rstrip(), '    ')}")
    return wrong


def files_of(page: Path) -> dict[str, str]:
    """Return what a reader has written after the lesson of *page*, by name of file; what belongs to it comes last."""
    lesson = LESSON.search(page.read_text(encoding="utf-8"))
    files = files_of(page.with_stem(lesson["after"])) if lesson is not None and lesson["after"] else {}
    own: dict[str, list[str]] = {}
    for block in blocks(page):
        if block.language == "python":
            own.setdefault(block.file, []).append(block.text)
    return files | {name: "\n\n".join(texts) for name, texts in own.items()}


def run_lesson(page: Path) -> list[str]:
    """Do the lesson of *page* in a folder of its own, pasted as a whole; return what is not as the page says."""
    of_page = blocks(page)
    place = f"{page.relative_to(ROOT)}:{of_page[0].line}"
    shown = [block for block in of_page if block.mark.startswith(".. prints")]
    raised = [block.text.rstrip() for block in of_page if block.mark == ".. raises"]
    if raised and of_page[-1].mark != ".. raises":
        return [f"{place}: nothing runs after what is raised"]
    files = files_of(page)
    *_, file = files
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files.items():
            Path(folder, name).write_text(text, encoding="utf-8")
        how = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:asyncio"] if file.startswith("test_") else []
        done = subprocess.run(
            [sys.executable, "-W", "error", *how, file],
            cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
    wrong: list[str] = []
    if differs("".join(block.text for block in shown).rstrip(), done.stdout, max((block.mark for block in shown), default="")):
        wrong.append(f"{place}: really\n{textwrap.indent(done.stdout.rstrip(), '    ')}")
    if not done.stderr.rstrip().endswith(raised[0]) if raised else done.stderr or done.returncode:
        wrong.append(f"{place}: this lesson fails\n{done.stderr.rstrip()}")
    return wrong


#: What many pages import: for all of them once.
SHARED = ("asyncmeta", "fastapi", "httpx", "pydantic", "sqlalchemy.ext.asyncio")


def next_page() -> str:
    """
    Return, in a child of this process for each, the pages that it is told of: lines of page, folder, and file for the output.

    This process answers each with the child's exit code, and ends where it is told no more.
    """
    for library in SHARED:
        with contextlib.suppress(ImportError):
            import_module(library)
    gc.freeze()
    for line in sys.stdin:
        page, folder, output = line.rstrip("\n").split("\t")
        child = os.fork()
        if child == 0:
            written, nothing = os.open(output, os.O_WRONLY | os.O_CREAT), os.open(os.devnull, os.O_RDONLY)
            for theirs, ours in ((nothing, 0), (written, 1), (written, 2)):
                os.dup2(theirs, ours)
            os.close(written)
            os.close(nothing)
            os.chdir(folder)
            return page
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    sys.exit()


if __name__ == "__main__":
    path = Path(next_page() if sys.argv[1] == "--told" else sys.argv[1]).resolve()
    found = (run_lesson if LESSON.search(path.read_text(encoding="utf-8")) else run_page)(path)
    print("\n".join(found), end="")
    sys.exit(bool(found))
