"""
What do the outputs look like?  Each form against a file in tests/golden that one can read.

``ASYNCMETA_GOLDEN=write python -m pytest tests/test_golden.py`` writes the files anew; look at what changed.
"""

import importlib
import os
import re
import sys
from pathlib import Path

import pytest

from asyncmeta import Container, StartReport, Timing
from asyncmeta.cli import main
from asyncmeta.cli.explaining import source_of
from asyncmeta.diagrams import changes, diagram

GOLDEN = Path(__file__).parent / "golden"
WRITE = os.environ.get("ASYNCMETA_GOLDEN") == "write"


def fresh(name, monkeypatch):
    """Return a small application as nobody has used it, with places as seen from the folder of the tests."""
    monkeypatch.chdir(GOLDEN.parent)
    if str(GOLDEN.parent) not in sys.path:
        monkeypatch.syspath_prepend(GOLDEN.parent)
    for module in ("golden.application", "golden.broken"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    return importlib.import_module(f"golden.{name}")


def compare(name, text):
    """Compare *text* with the file of that name; the line of a class is another one before CPython 3.13."""
    text = re.sub(r"((?:application|broken)\.py):\d+", r"\1:0", text)
    text = re.sub(r'("(?:line|startLine)": )\d+|(,line=)\d+', lambda found: f"{found[1] or found[2]}0", text).rstrip("\n") + "\n"
    file = GOLDEN / name
    if WRITE:
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")


def a_report():
    """Return a report with times that do not change."""
    return StartReport(
        [
            Timing("Settings", 0.0, 0.001, 0.001, ()),
            Timing('"cache <1>"', 0.001, 0.2, 0.201, ("Settings",)),
            Timing("Database", 0.002, 0.4, 0.402, ("Settings",)),
            Timing("Schema", 0.402, 0.1, 0.502, ("Database",)),
            Timing("Mailer", 0.002, 0.003, 0.005, ()),
        ],
        0.503,
    )


REPORTS = {
    "start.txt": lambda report: report.to_text(80, ascii=False),
    "start.ascii.txt": lambda report: report.to_text(60, ascii=True),
    "start.json": StartReport.to_json,
    "start.mermaid": StartReport.to_mermaid,
    "start.html": StartReport.to_html,
}


@pytest.mark.parametrize("name", REPORTS)
def test_a_start_report_looks_as_it_is_shown(name):
    """
    Every form of the start report is what its file shows.
    """
    compare(name, REPORTS[name](a_report()))


FORMS = {
    "txt": lambda picture: picture.to_text(),
    "ascii.txt": lambda picture: picture.to_text(ascii=True),
    "mermaid": lambda picture: picture.to_mermaid(),
    "dot": lambda picture: picture.to_dot(),
    "json": lambda picture: picture.to_json(),
    "html": lambda picture: picture.to_html(),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("application", ["application", "broken"])
def test_a_graph_looks_as_it_is_shown(application, form, monkeypatch):
    """
    Every form of the graph, of a sound application and of one with problems, is what its file shows.
    """
    shop = fresh(application, monkeypatch).Shop

    compare(f"graph.{application}.{form}", FORMS[form](diagram(Container(shop, check=False))))


def test_the_changes_look_as_they_are_shown(monkeypatch):
    """
    What changed between two graphs is told as its file shows.
    """
    before = diagram(Container(fresh("application", monkeypatch).Shop)).to_json()
    module = fresh("application", monkeypatch)

    class Keeper:
        def __init__(self, session: module.Session) -> None: ...

    module.Shop.register_dependency("keeper", Keeper)
    module.Parts.register_dependency(module.Audit, lambda session: module.Audit(), lifetime="transient")
    module.Shop.register_dependency("session", lambda: None, lifetime="scoped")
    after = diagram(Container(module.Shop, check=False)).to_json()

    compare("changes.txt", "\n".join(f"{change.kind}: {change.text}" for change in changes(before, after)))


COMMANDS = {
    "check.application.txt": ["check", "golden.application:Shop"],
    "check.broken.txt": ["check", "golden.broken:Shop"],
    "check.broken.json": ["check", "golden.broken:Shop", "--format", "json"],
    "check.broken.github": ["check", "golden.broken:Shop", "--format", "github"],
    "check.broken.sarif": ["check", "golden.broken:Shop", "--format", "sarif"],
    "explain.mailer.txt": ["explain", "golden.application:Shop", "Mailer"],
    "explain.report.txt": ["explain", "golden.application:Shop", "Report", "--source"],
    "explain.request.txt": ["explain", "golden.application:Shop", "Request"],
    "explain.users.txt": ["explain", "golden.application:Shop", "golden.application:Users"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_says_what_is_shown(name, monkeypatch, capsys):
    """
    What a command prints is what its file shows.
    """
    fresh("application", monkeypatch)

    main(COMMANDS[name])

    compare(name, capsys.readouterr().out)


#: Each form of a root, by what is asked for.
SOURCES = {
    "singleton": "Database",
    "singletons_only": '"stamp"',
    "value": "Token('dsn')",
    "async_generator": "Session",
    "sync_scoped": "Audit",
    "generator": '"lock"',
    "transient_chain": "Page",
    "keyword_only": "Report",
    "list": '"plugins"',
    "handles": '"handles"',
    "context_value": '"greeting"',
    "context_or_none": '"perhaps"',
    "service_that_starts": "Users",
}


def source(name, monkeypatch, **how):
    graph = Container(fresh("application", monkeypatch).Shop)._graph
    key = next(node.key for node in graph.nodes.values() if node.name == name)
    return source_of(graph, key, **how)


@pytest.mark.parametrize("form", SOURCES)
def test_generated_source_reads_as_it_is_shown(form, monkeypatch):
    """
    The source of each form of root is what its file shows.
    """
    compare(f"source.{form}.txt", source(SOURCES[form], monkeypatch))


@pytest.mark.parametrize("form", ["async_generator", "keyword_only", "transient_chain"])
def test_generated_source_of_an_opening_reads_as_it_is_shown(form, monkeypatch):
    """
    The source of a scope that is opened for one value is what its file shows.
    """
    compare(f"opening.{form}.txt", source(SOURCES[form], monkeypatch, opening=True))


def test_no_file_shows_a_value():
    """
    The applications register secrets in every way, and no file has one.
    """
    files = [file for file in GOLDEN.iterdir() if file.is_file() and file.name not in ("application.py", "broken.py")]

    assert len(files) > 40
    assert [file.name for file in files if "hunter2" in file.read_text(encoding="utf-8")] == []
