"""What README.rst says is true: its programs print what it shows, and its commands are those of .ci/run."""

import os
import re
import shutil
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.rst").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """Return the text of each ``code-block`` of *language*, in order, without its indentation."""
    pattern = rf"^\.\. code-block:: {language}\n\n((?:    .*\n|\n)+)"
    return [textwrap.dedent(found) for found in re.findall(pattern, README, re.MULTILINE)]


PROGRAMS = list(zip(blocks("python"), blocks("text"), strict=True))


def test_the_readme_has_a_program_and_two_commands():
    """
    The blocks are found, so that the tests below cannot pass by looking at nothing.
    """
    assert len(PROGRAMS) == 2
    assert len(blocks("shell")) == 2


@pytest.mark.slow
@pytest.mark.parametrize(("program", "printed"), PROGRAMS, ids=["complete", "on the web"])
def test_a_program_of_the_readme_prints_what_stands_below_it(program, printed, tmp_path):
    """
    Each program runs by itself, with warnings as errors, and prints the block that follows it.
    """
    if "fastapi" in program:
        pytest.importorskip("fastapi")
        pytest.importorskip("httpx")
    file = tmp_path / "program.py"
    file.write_text(program, encoding="utf-8")

    done = subprocess.run(
        [sys.executable, "-W", "error", str(file)],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip

    assert done.stderr == ""
    assert done.stdout.strip() == printed.strip()


def test_the_readme_fits_and_leads_somewhere():
    """
    It has at most 150 lines, and each link leads to a page that is there.
    """
    links = re.findall(r"<((?:docs/)?[\w./-]+\.rst)>`_", README)

    assert README.count("\n") <= 150
    assert len(links) > 12
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_figures_of_the_readme_are_those_of_the_page():
    """
    What a value and a request cost is said as the page of the costs has it, for the Python that is named.
    """
    page = (ROOT / "docs" / "explanation" / "performance.rst").read_text(encoding="utf-8")
    said = re.search(r"on CPython (3\.\d+) a value that is built takes ([\d.]+) .* a request ([\d.]+) ", README)
    python, value, request = said.groups()

    def figure(title):
        pythons, row = (re.search(rf"    - - {re.escape(one)}\n((?:      - .+\n)+)", page)[1].split() for one in ("CPython", title))
        return f"{float(row[pythons.index(python)]):.1f}"

    assert value == figure("``await container.get(Pool)``, built")
    assert request == figure("the same, by ``container.request(Handler)``")


def test_each_command_is_one_line_that_makes_its_own_environment():
    """
    A reader pastes one line on a fresh machine: it makes an environment, installs and goes.
    """
    commands = [line for block in blocks("shell") for line in block.strip().splitlines()]

    assert len(commands) == 2
    for command in commands:
        assert re.match(r"python3 -m venv (\.venv\S*) && \1/bin/pip install -q .+ && \1/bin/python -m \S+", command)


@pytest.mark.skipif(not shutil.which("bash") or sys.platform == "win32", reason=".ci/run is a bash script")
def test_the_commands_are_those_that_the_whole_check_runs():
    """
    .ci/run takes its commands from the README, so what a reader pastes is what was checked.
    """
    done = subprocess.run(["bash", ".ci/run", "commands"], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout.splitlines() == [block.strip() for block in blocks("shell")]


def test_the_whole_check_runs_on_every_python_that_is_named():
    """
    The classifiers, the first line of the README and .ci/run name the same Pythons.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    last = [each.rpartition(" :: ")[2] for each in project["classifiers"]]
    named = [each for each in last if re.fullmatch(r"3\.\d+", each)]
    (checked,) = re.findall(r"^supported=\((.+)\)$", (ROOT / ".ci" / "run").read_text(encoding="utf-8"), re.MULTILINE)

    assert checked.split() == named
    assert f"for CPython {named[0]} to {named[-1]}." in README
    assert project["requires-python"] == f">={named[0]}"
