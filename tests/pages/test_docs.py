"""What the documentation says is true: its code runs and prints what it shows, and its lists are whole."""

import argparse
import importlib
import inspect
import os
import re
import select
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from doc_pages import LESSON, ROOT, blocks, pages, run_lesson, run_page
from test_layers import FLOOR_OF, FLOORS, PACKAGE

import asyncmeta
from asyncmeta import cli, errors

REFERENCE = ROOT / "docs" / "reference"
WITH_CODE = [page for page in pages() if any(block.language == "python" for block in blocks(page))]


def titles(page: Path) -> list[str]:
    """Return the titles of the sections of *page*."""
    return re.findall(r"^(\S.*)\n([-=~])\2+$", page.read_text(encoding="utf-8"), re.MULTILINE)


@pytest.fixture(scope="module")
def in_a_process():
    """
    Run a page in a process of its own; return its exit code and what it has written.

    They are children of one that has imported what most of them do.
    """
    command = [sys.executable, "-W", "error", str(ROOT / "tests" / "doc_pages.py")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    if not hasattr(os, "fork"):

        def alone(page, folder):
            done = subprocess.run(
                [*command, str(page)], cwd=folder, env=environment, capture_output=True, text=True, timeout=120
            )  # fmt: skip
            return done.returncode, done.stdout + done.stderr

        yield alone
        return

    with subprocess.Popen(
        [*command, "--told"], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as parent:

        def by_parent(page, folder):
            output = folder / "output"
            print(page, folder, output, sep="\t", file=parent.stdin, flush=True)
            if not select.select([parent.stdout], [], [], 120)[0]:
                os.killpg(parent.pid, signal.SIGKILL)
            return int(parent.stdout.readline() or "-9"), output.read_text(encoding="utf-8")

        yield by_parent
        parent.stdin.close()


@pytest.mark.slow
@pytest.mark.parametrize("page", WITH_CODE, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_code_of_a_page_runs_and_prints_what_is_shown(page, in_a_process, tmp_path):
    """
    The Python blocks of a page run in order as one program, with warnings as errors, and do what the page shows.
    """
    for library in re.findall(r"^\.\. needs: (\w+)$", page.read_text(encoding="utf-8"), re.MULTILINE):
        pytest.importorskip(library, reason=f"{page.name} shows a program of {library}, which is not installed")

    code, written = in_a_process(page, tmp_path)

    assert written == ""
    assert code == 0


def test_what_a_page_needs_is_there_where_all_is_checked():
    """
    A library without which a page is skipped is of the extra of the tests, so that the code of each page is run by somebody.
    """
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    installed = {re.match(r"[\w-]+", one)[0].replace("-", "_").lower() for name in EXTRAS for one in extras[name]}
    texts = [page.read_text(encoding="utf-8") for page in WITH_CODE]
    needed = {name for text in texts for name in re.findall(r"^\.\. needs: (\w+)$", text, re.MULTILINE)}

    assert {"dishka", "fastapi", "taskiq"} <= needed
    assert needed - installed == {"arq"}  # it asks for an older redis than the bookshop's


#: What the command of the README for the tests installs; `integrations` names the extras of single libraries.
EXTRAS = ("test", "examples", "integrations", "aiogram", "blacksheep", "fastapi", "sanic", "taskiq")


def test_every_page_with_code_is_found():
    """
    The collector finds the pages and their blocks, so that the test above cannot pass by looking at nothing.
    """
    folders = {page.parent.name for page in WITH_CODE}

    assert {"tutorial", "howto", "reference", "explanation"} <= folders
    assert ROOT / "README.rst" in WITH_CODE
    for page in WITH_CODE:
        text = page.read_text(encoding="utf-8")
        of_python = [block for block in blocks(page) if block.language == "python"]
        assert len(of_python) == len(re.findall(r"^ *\.\. (?:code-block:: python|testcode::)", text, re.MULTILINE))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("print(1)", ["really", "1"]),
        ("1 / 0", ["fails", "ZeroDivisionError"]),
        ("print(1)\n\n.. prints\n\n.. code-block:: text\n\n    2", ["really", "1"]),
        ("pass\n\n.. raises\n\n.. code-block:: text\n\n    ValueError: no", ["nothing is raised"]),
        ("raise ValueError('yes')\n\n.. raises\n\n.. code-block:: text\n\n    ValueError: no", ["ValueError: yes"]),
    ],
    ids=["silent about what it prints", "fails", "prints something else", "raises nothing", "raises something else"],
)
def test_the_collector_sees_what_is_wrong(body, said, tmp_path, monkeypatch):
    """
    A page whose code fails, or does something else than is shown, is told with its line.
    """
    page = tmp_path / "page.rst"
    page.write_text(f"Title\n=====\n\n.. code-block:: python\n\n    {body}\n", encoding="utf-8")
    monkeypatch.setattr("doc_pages.ROOT", tmp_path)
    monkeypatch.delitem(sys.modules, "app", raising=False)

    (wrong,) = run_page(page)

    assert wrong.startswith("page.rst:6: ")
    assert [part for part in said if part not in wrong] == []


@pytest.mark.slow
def test_the_collector_compares_what_is_shown(tmp_path, monkeypatch):
    """
    A page that shows what its code prints and raises is right; times may differ where it says so.
    """
    page = tmp_path / "page.rst"
    page.write_text(
        "Title\n=====\n\n.. testcode::\n\n    x = 1\n    print(x)\n\n.. prints\n\n.. code-block:: text\n\n    1\n\n"
        ".. code-block:: python\n   :caption: more\n\n   print('took 0.123 s')\n\n"
        ".. prints, but for the times\n\n.. code-block:: text\n\n    took 9.876 s\n\n"
        ".. code-block:: python\n\n    raise ValueError(x)\n\n.. raises\n\n.. code-block:: text\n\n    ValueError: 1\n",
        encoding="utf-8",
    )
    monkeypatch.setattr("doc_pages.ROOT", tmp_path)
    monkeypatch.delitem(sys.modules, "app", raising=False)

    assert [block.line for block in blocks(page)] == [6, 13, 18, 24, 28, 34]
    assert run_page(page) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("page", "said"),
    [
        ("print(1)\n\n.. prints\n\n.. code-block:: text\n\n    2", ["page.rst:8: really", "1"]),
        ("1 / 0", ["this lesson fails", "ZeroDivisionError"]),
        ("1 / 0\n\n.. raises\n\n.. code-block:: text\n\n    ValueError: no", ["this lesson fails", "ZeroDivisionError"]),
        (
            "1 / 0\n\n.. raises\n\n.. code-block:: text\n\n    ZeroDivisionError: division by zero\n\n"
            ".. code-block:: python\n\n    print(1)",
            ["nothing runs after what is raised"],
        ),
        ("import warnings\n    warnings.warn('old')", ["this lesson fails", "UserWarning: old"]),
    ],
    ids=["prints something else", "fails", "raises something else", "goes on behind its end", "warns"],
)
def test_a_lesson_that_does_something_else_is_told(page, said, tmp_path, monkeypatch):
    """
    A lesson that was pasted as a whole and does not do what its page shows is told.
    """
    file = tmp_path / "page.rst"
    file.write_text(f".. lesson\n\nTitle\n=====\n\n.. code-block:: python\n\n    {page}\n", encoding="utf-8")
    monkeypatch.setattr("doc_pages.ROOT", tmp_path)

    wrong = "\n".join(run_lesson(file))

    assert [part for part in said if part not in wrong] == []


def test_every_page_of_the_tutorial_is_a_lesson():
    """
    Each page of the tutorial is run as its reader runs it: pasted as a whole, after the lessons that it goes on from.
    """
    lessons = sorted(page.stem for page in WITH_CODE if LESSON.search(page.read_text(encoding="utf-8")))

    assert lessons == sorted(page.stem for page in (ROOT / "docs" / "tutorial").glob("*.rst") if page.stem != "index")


def test_each_error_has_its_section():
    """
    The sections of the page of errors are the errors that there are, in the order of the alphabet.
    """
    sections = [title for title, line in titles(REFERENCE / "errors.rst") if line == "-"]

    assert sections == errors.__all__


@pytest.mark.parametrize("name", errors.__all__)
def test_each_section_shows_the_error(name):
    """
    Each section has an example that ends with the error itself, or one of its kind, says why it is bad and how to fix it.
    """
    text = (REFERENCE / "errors.rst").read_text(encoding="utf-8")
    section = re.split(rf"^{name}\n-+\n", text, flags=re.MULTILINE)[1].split("\n-----", 1)[0]
    shown = re.search(r"^\.\. raises\n\n\.\. code-block:: text\n\n +(\w+):", section, re.MULTILINE)

    assert shown is not None
    assert issubclass(getattr(errors, shown[1]), getattr(errors, name))
    assert "**Why it is bad.**" in section
    assert "**How to fix it.**" in section


def test_troubleshooting_knows_every_error_by_what_it_says():
    """
    Each error that is raised has a line on the page, and the words that a line shows are those of the package.
    """
    text = (ROOT / "docs" / "howto" / "troubleshooting.rst").read_text(encoding="utf-8")
    sources = "".join(file.read_text(encoding="utf-8") for file in PACKAGE.rglob("*.py"))
    said = re.sub(r'"\s*\n\s*f?"', "", sources)  # texts that go on in the next line
    said += (REFERENCE / "errors.rst").read_text(encoding="utf-8")  # texts that are put together, as a test has them raised
    shown = re.findall(r"^    \* - ``(?:(\w+Errors?)(?:: )?)?(.*?)``", text, re.MULTILINE)
    words = [part.strip() for _, line in shown for part in re.split(r"\.\.\.|X\.\w+|Depends|fastapi|Factory|[\[\]()]", line)]
    known = [word for word in words if " " in word]

    assert set(errors.__all__) - {"AsyncMetaError", "ContainerError"} <= {name for name, _ in shown} | {"GraphError"}
    assert len(known) > 8
    assert [word for word in known if word not in said] == []


def test_the_reference_is_whole():
    """
    Every public name has its entry in the reference.
    """
    entries: list[str] = []
    for page in REFERENCE.glob("*.rst"):
        entries += re.findall(r"^\.\. (?:auto|py:)\w+:: (?:asyncmeta\.)?(\w+)", page.read_text(encoding="utf-8"), re.MULTILINE)

    assert sorted(set(asyncmeta.__all__) - set(entries)) == []


INNER = {("AsyncDependencyDescriptor", "ask_in"), ("AsyncMeta", "mro")}  # what the library asks of its own classes


@pytest.mark.parametrize("name", [name for name in asyncmeta.__all__ if inspect.isclass(getattr(asyncmeta, name))])
def test_the_reference_has_every_method(name):
    """
    Every public method and field of a public class has its entry, or is told in the text of its class.
    """
    public = getattr(asyncmeta, name)
    text = "\n".join(page.read_text(encoding="utf-8") for page in sorted(REFERENCE.glob("*.rst")))
    entry = re.search(rf"^\.\. (?:autoclass|autoexception|py:data):: {name}\b.*\n((?: +.*\n|\n)*)", text, re.MULTILINE)
    assert entry is not None or issubclass(public, BaseException)  # errors are an own page
    if entry is None or re.search(r":members: *$", entry[1], re.MULTILINE):
        return
    told = entry[1] + (public.__doc__ or "")
    if public is asyncmeta.Container:
        told += re.search(r"^\.\. autoclass:: Scope\b.*\n((?: +.*\n|\n)*)", text, re.MULTILINE)[1]

    own = [member for member in vars(public) if not member.startswith("_") and (name, member) not in INNER]
    assert [member for member in own if not re.search(rf"\b{member}\b", told)] == []


@pytest.mark.parametrize("room", sorted(file.stem for file in (PACKAGE / "integrations").glob("[!_]*.py")))
def test_every_option_of_an_integration_is_told(room):
    """
    What an integration offers has a text, which names each option: in its own words, or in those of the class that it is.
    """
    try:
        module = importlib.import_module(f"asyncmeta.integrations.{room}")
    except ImportError as error:
        pytest.skip(f"the library is not installed: {error.name}")
    source = inspect.getsource(module)
    untold: list[str] = []
    for name in module.__all__:
        public = getattr(module, name)
        if not inspect.isfunction(public) and not inspect.isclass(public):
            continue
        of_classes = [one for one in public.__mro__ if one.__module__.startswith("asyncmeta")] if inspect.isclass(public) else []
        text = "\n".join(inspect.getdoc(one) or "" for one in [public, *of_classes, *(one.__init__ for one in of_classes)])
        text += "\n".join(re.findall(rf"^#: (.*)\n{name}\b", source, re.MULTILINE))
        options = [one.name for one in inspect.signature(public).parameters.values() if one.default is not one.empty]
        untold += [] if text.strip() else [name]
        untold += [f"{name}({option})" for option in options if not re.search(rf"\b{option}\b", text)]

    assert module.__all__
    assert untold == []


def test_the_reference_has_every_option_of_the_command_line():
    """
    The page has a section for each command, with its options and choices, and no other one.
    """
    text = (REFERENCE / "command-line.rst").read_text(encoding="utf-8")
    parser = cli._parser()
    (commands,) = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    sections = dict(re.findall(r"^(\w+)\n-+\n((?:.*\n)*?)(?=^\w+\n-+\n|\Z)", text, re.MULTILINE))
    shown = {name: sorted(re.findall(r"``(--?[\w-]+)", section)) for name, section in sections.items()}
    real = {
        name: sorted(option for action in command._actions for option in action.option_strings if action.dest != "help")
        for name, command in commands.choices.items()
    }
    choices = [
        f"--format {'|'.join(sorted(action.choices))}``"
        for command in commands.choices.values() for action in command._actions if action.dest == "format"
    ]  # fmt: skip

    assert shown == real
    assert [one for one in choices if one not in text] == []


def test_the_reference_has_every_integration():
    """
    Every integration is in the reference, and in no other one.
    """
    page = (REFERENCE / "integrations.rst").read_text(encoding="utf-8")
    rooms = {room.stem for room in (PACKAGE / "integrations").glob("[!_]*.py")}

    assert sorted(re.findall(r"^\.\. automodule:: asyncmeta\.integrations\.(\w+)$", page, re.MULTILINE)) == sorted(rooms)


# What is called otherwise than its room, or stands on the page of another one.
EXTRA_OF = {"opentelemetry": "otel"}
PAGE_OF = {"fastmcp": "mcp", "typer": "command-line-programs", "click": "command-line-programs"}
APART = {"asgi", "commands", "logging"}  # no library is behind them


@pytest.mark.parametrize("room", sorted(file.stem for file in (PACKAGE / "integrations").glob("[!_]*.py")))
def test_an_integration_is_whole(room):
    """
    Each library that is joined has an extra, and each framework its page, its rows, and the checks of one word and one rule.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    source = (PACKAGE / "integrations" / f"{room}.py").read_text(encoding="utf-8")
    extra = EXTRA_OF.get(room, room)
    howto = ROOT / "docs" / "howto"
    texts = {
        "docs/howto/index.rst": (howto / "index.rst").read_text(encoding="utf-8"),
        "README.rst": (ROOT / "README.rst").read_text(encoding="utf-8").lower(),
        "CHANGELOG.rst": (ROOT / "CHANGELOG.rst").read_text(encoding="utf-8").lower(),
        "docs/howto/frameworks.rst": (howto / "frameworks.rst").read_text(encoding="utf-8").lower(),
        "docs/reference/integrations.rst": (REFERENCE / "integrations.rst").read_text(encoding="utf-8"),
        "test_handlers.py": (ROOT / "tests" / "integrations" / "test_handlers.py").read_text(encoding="utf-8").lower(),
        "_applications.py": (PACKAGE / "integrations" / "_applications.py").read_text(encoding="utf-8"),
    }
    page = PAGE_OF.get(room, room)
    wanted = dict.fromkeys(texts, room) | {"docs/howto/index.rst": page}
    if room == "fastmcp":
        wanted["README.rst"] = "mcp"
    if room in ("celery", "dask", "procrastinate", "taskiq"):
        del wanted["test_handlers.py"]  # workers: what tasks ask for is checked by their own tests
    if "setup" not in re.findall(r'"(\w+)"', re.search(r"__all__ = \[(.*?)\]", source, re.DOTALL)[1]):
        wanted = {"CHANGELOG.rst": room, "docs/reference/integrations.rst": room}
    if "handlers_of" not in source or room in APART:
        wanted.pop("_applications.py", None)

    lost = [name for name, word in wanted.items() if not re.search(rf"\b{word}\b", texts[name])]
    if room not in APART:
        lost += [] if extra in project else [f"the extra {extra}"]
        lost += [] if re.search(rf"[\[,]{extra}[,\]]", project["integrations"][0]) else ["the extra integrations"]
        lost += [] if "docs/howto/index.rst" not in wanted or (howto / f"{page}.rst").exists() else [f"docs/howto/{page}.rst"]
    assert lost == [], "\n".join(lost)


def test_every_file_that_contributing_names_is_there():
    """
    Whoever adds an integration or a factory by CONTRIBUTING alone finds each file, name and folder that it speaks of.
    """
    text = (ROOT / "CONTRIBUTING.rst").read_text(encoding="utf-8")
    named = set(re.findall(r"``((?:[\w.-]+/)+[\w.-]*|[\w-]+\.(?:py|rst|toml))``", text))
    folders = [ROOT, ROOT / "tests", ROOT / "tests" / "integrations", PACKAGE.parent, PACKAGE, PACKAGE / "integrations"]

    lost = [name for name in named if "NAME" not in name and not any((folder / name).exists() for folder in folders)]
    assert len(named) > 15
    assert lost == []


def test_contributing_shows_every_floor():
    """
    The house in CONTRIBUTING has the floors of tests/test_layers.py, in their order.
    """
    text = (ROOT / "CONTRIBUTING.rst").read_text(encoding="utf-8")
    house = text.split("The house\n")[1].split("Add an integration\n")[0]
    shown = [
        name for line in house.splitlines() if line.startswith("``_") or line.startswith("``report") or line.startswith("``asc")
        for name in re.findall(r"``(\w+)``", line)
    ]  # fmt: skip
    levels = [FLOOR_OF[name] for name in shown]

    assert levels == sorted(levels)
    assert {room for floor in FLOORS for room in floor if "." not in room} - set(shown) == {"__main__"}
    wings = re.findall(r"``(\w+)``", next(line for line in house.splitlines() if "seven wings" in line))
    assert [f"_run.{wing}" for wing in wings] == [room for floor in FLOORS for room in floor if room.startswith("_run.")]


def test_no_line_of_code_is_wider_than_a_page():
    """
    Code is read without scrolling: no line has more than 80 columns.
    """
    wide = [
        f"{page.relative_to(ROOT)}:{block.line + number}"
        for page in WITH_CODE
        for block in blocks(page)
        if block.language == "python"
        for number, line in enumerate(block.text.splitlines())
        if len(line) > 80
    ]

    assert wide == []


@pytest.mark.parametrize("name", ["ascender", "development", "testing", "workers"])
def test_the_reference_has_every_name_beside_the_front_door(name):
    """
    Each public name of a module that programs import beside the front door has its entry in the reference.
    """
    text = "\n".join(page.read_text(encoding="utf-8") for page in sorted(REFERENCE.glob("*.rst")))
    whole = re.search(rf"^\.\. automodule:: asyncmeta\.{name}\n( +:.*\n)*? +:members:", text, re.MULTILINE)
    entries = set(re.findall(r"^\.\. (?:auto)?(?:class|function|data):: (?:[\w.]+\.)?(\w+)", text, re.MULTILINE))
    names = importlib.import_module(f"asyncmeta.{name}").__all__

    assert names
    assert whole is not None or sorted(set(names) - entries) == []
