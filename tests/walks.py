"""
Which way does a call take through the house?

    python tests/walks.py                  the walks of docs/explanation/inside.rst, as they are gone
    python tests/walks.py "cached get"     one of them

prints the functions of the package in the order in which they are entered, those below their callers further in.  The
program that is run stands on that page; ``with walk(...)`` in it says what is watched.
"""

import asyncio
import contextlib
import functools
import io
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

from doc_pages import ROOT, blocks
from test_layers import PACKAGE

PAGE = ROOT / "docs" / "explanation" / "inside.rst"
NAMED = re.compile(r"^``(_\w+(?:\.(?:\w|<locals>)+)+)``$", re.MULTILINE)  #: a function at the beginning of what a page says of it
TITLE = re.compile(r"^(\S.*)\n-{3,}$", re.MULTILINE)


class Entry(NamedTuple):
    """One call of a function of the package."""

    room: str  #: "_run.scope.scope"
    function: str  #: "Scope.get"
    depth: int  #: how many of the package's functions are on the way

    def __str__(self) -> str:
        return f"{self.room}.{self.function}"


def ways() -> dict[str, list[Entry]]:
    """Run the page's program; return what each of its walks enters, by its name."""
    (program,) = (block.text for block in blocks(PAGE) if block.language == "python")
    program = program.removesuffix("asyncio.run(main())\n")
    taken: dict[str, list[Entry]] = {}

    @contextlib.contextmanager
    def walk(name: str) -> Iterator[None]:
        entries = taken[name] = []
        seen: dict[int, FrameType] = {}  # they are kept, so that no other one gets an address

        def note(frame: FrameType, event: str, _: Any) -> None:
            # A coroutine that goes on after waiting is told as a call again.
            if event == "call" and id(frame) not in seen and (room := room_of(frame)):
                seen[id(frame)] = frame
                above, depth = frame.f_back, 0
                while above is not None:
                    depth += bool(room_of(above))
                    above = above.f_back
                entries.append(Entry(room, frame.f_code.co_qualname, depth))

        sys.setprofile(note)
        try:
            yield
        finally:
            sys.setprofile(None)

    for _ in range(2):  # the first time for what is imported late
        names: dict[str, Any] = {"__name__": "inside"}
        exec(compile(program, "inside.py", "exec", dont_inherit=True), names)
        with contextlib.redirect_stdout(io.StringIO()):
            names["walk"] = walk
            asyncio.run(names["main"]())
    return taken


def room_of(frame: FrameType) -> str:
    """
    Return the module of the package that *frame* runs a function of, as ``_run.scope.scope``; "" for others.

    What lies in a function and has no name is a part of it; some Pythons have comprehensions in frames of their own.
    """
    return "" if frame.f_code.co_name.startswith("<") else module_of(frame.f_code.co_filename)


@functools.cache
def module_of(file: str) -> str:
    """Return the same of a file."""
    path = Path(file)
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts) if path.is_relative_to(PACKAGE) else ""


def told() -> dict[str, list[str]]:
    """Return the functions that the page names, by section, in its order."""
    text = PAGE.read_text(encoding="utf-8")
    titles = list(TITLE.finditer(text))
    ends = [*(title.start() for title in titles[1:]), len(text)]
    found = {title[1]: NAMED.findall(text[title.end() : end]) for title, end in zip(titles, ends, strict=True)}
    return {title: names for title, names in found.items() if names}


if __name__ == "__main__":
    for name, entries in ways().items():
        if sys.argv[1:] in ([], [name]):
            print(name, *("  " * entry.depth + str(entry) for entry in entries), "", sep="\n")
