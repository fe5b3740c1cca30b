"""The page of promises: each has a test of its name, says what it does not promise, and names only tests that are there."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from doc_pages import ROOT

PAGE = (ROOT / "docs" / "explanation" / "guarantees.rst").read_text(encoding="utf-8")

#: What this library stands for: taking one away is a decision, not an edit.
PROMISES = [
    "Threads and tasks share one build",
    "A cancelled caller only stops waiting",
    "A failure reaches everybody and is not cached",
    "All finalizers run, though some raise",
    "A closed container is closed for everything",
    "A generator that yields twice is named and closed",
    "All problems are told at once",
    "A chain of five thousand",
    "Any value is kept and handed over untouched",
    "Nothing is left of many lives",
    "Dependents are rebuilt and everything else is shared",
    "A whole life on every loop",
    "Values, counts, sharing and closing are the model's",
    "What is still open when its container closes has failed",
    "A cancellation that meets a commit waits for it",
    "A handler that raised has failed",
    "Nothing is handed over in place of what was meant",
    "Children of a busy parent all build",
]
SECURITY = [
    "Names never become code",
    "String tokens are keys and nothing else",
    "An annotation is evaluated where it was written",
    "Live things refuse pickle and copy",
    "Values never become text",
    "A hostile name stays text",
    "Nothing is imported by a text but what a program names itself",
    "What was asked for in vain is not kept",
    "No size is too large",
    "Only annotations are read",
]


def promises(page: str) -> dict[str, str]:
    """Return the text of each promise by its title."""
    parts = re.split(r"^(\S.*)\n([=~-])\2{3,}$", page, flags=re.MULTILINE)
    return {title: text for title, line, text in zip(parts[1::3], parts[2::3], parts[3::3], strict=True) if line == "~"}


def named(text: str) -> list[tuple[str, str]]:
    """Return the file and the name of each test that a text names."""
    return re.findall(r"``(tests/[\w/]+\.py)::(\w+)``", text)


@cache
def found_in(file: Path) -> frozenset[str]:
    """Return the names under which pytest finds the tests of *file*, without their parameters."""
    return frozenset(_tests(ast.parse(file.read_bytes()).body))


def _tests(body: list[ast.stmt]) -> Iterator[str]:
    for one in body:
        match one:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) if name.startswith("test_"):
                yield name
            case ast.ClassDef(name=name) | ast.Assign(targets=[ast.Name(id=name)]) if name.startswith("Test"):
                yield name
            case ast.If(body=inner, orelse=otherwise):
                yield from _tests([*inner, *otherwise])


def absent(page: str, root: Path = ROOT) -> list[str]:
    """Return what a page names that is not there: tests, and paths of files and folders."""
    tests = [f"{file}::{name}" for file, name in named(page) if not (root / file).exists() or name not in found_in(root / file)]
    return tests + [path for path in re.findall(r"``(?:python )?(tests/[\w/.]+)", page) if not (root / path).exists()]


def wanting(title: str, text: str) -> list[str]:
    """Return what a promise lacks."""
    name = "test_" + "_".join(re.findall(r"\w+", title.lower().replace("'", "")))
    found = [one for _, one in named(text)]
    lacks = [] if found[:1] == [name] else [f"{name} does not come first"]
    return lacks + ([] if re.search(r"^\*Not promised:\* \w", text, re.MULTILINE) else ["it does not say what is not promised"])


def test_every_promise_is_on_the_page():
    """
    All of them, in their order, and no other one that nobody has written down here.
    """
    assert list(promises(PAGE)) == PROMISES + SECURITY


@pytest.mark.parametrize("title", PROMISES + SECURITY)
def test_a_promise_has_a_test_of_its_name(title):
    """
    The first test of a promise is called what its title says, and the text says what is not promised.
    """
    assert wanting(title, promises(PAGE)[title]) == []


def test_every_test_that_is_named_is_there():
    """
    Each test, file and folder that the page names exists; each promise but the smallest ones names several.
    """
    assert absent(PAGE) == []
    assert len(set(named(PAGE))) > 150
    assert all(len(set(named(text))) >= 3 for text in promises(PAGE).values())


def test_no_test_is_named_twice_in_one_list():
    """
    A list is not longer than what it shows.
    """
    for title, text in promises(PAGE).items():
        assert len(named(text)) == len(set(named(text))), title


FILE = """
import pytest

def helper(): ...

def test_one():
    def test_inside(): ...

@pytest.mark.parametrize("it", [1, 2])
async def test_with_parameters(it): ...

if True:
    def test_where_it_can_be(): ...

TestLife = object
# def test_that_was(): ...
"""


@pytest.mark.parametrize(
    ("wanted", "there"),
    [
        *[(f"test_here.py::{name}", True) for name in ("test_one", "test_with_parameters", "test_where_it_can_be", "TestLife")],
        *[(f"test_here.py::{name}", False) for name in ("test_two", "test_inside", "helper", "test_that_was", "test_on")],
        ("test_gone.py::test_one", False),
        ("test_here.py", True),
        ("test_gone.py", False),
        ("folder", False),
    ],
)
def test_what_is_not_there_is_seen(wanted, there, tmp_path):
    """
    A test that is renamed, moved, taken away or only mentioned is told, so that the tests above look at something.
    """
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_here.py").write_text(FILE, encoding="utf-8")

    assert (absent(f"Shown by ``tests/{wanted}``.", tmp_path) == []) is there


@pytest.mark.parametrize(
    ("text", "lacks"),
    [
        ("- ``tests/a.py::test_it_is_so``\n\n*Not promised:* more.\n", 0),
        ("- ``tests/a.py::test_it_is_so``\n", 1),
        ("- ``tests/a.py::test_another``\n- ``tests/a.py::test_it_is_so``\n\n*Not promised:* more.\n", 1),
        ("It is so.\n", 2),
    ],
)
def test_a_promise_that_lacks_something_is_seen(text, lacks):
    """
    A section without its test, or without what is not promised, is told.
    """
    assert len(wanting("It is so", text)) == lacks
