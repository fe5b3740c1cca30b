"""What is shipped: the same bytes for everybody, with its licence and its types."""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import typing_extensions
from doc_pages import blocks

import asyncmeta

pytest.importorskip("build", reason="what is shipped is made by the package build")
pytest.importorskip("setuptools", reason="what is shipped is made by setuptools")

ROOT = Path(__file__).parents[2]
#: What an environment has, what the wheel asks for, and where packages lie.
ASKED = """
import json, sysconfig
from importlib.metadata import distributions, requires
names = [one.name for one in distributions()]
print(json.dumps([names, requires("asyncmeta"), sysconfig.get_path("purelib")]))
"""
NOT_OURS = shutil.ignore_patterns(".venv*", ".git", "_build", "__pycache__", "*.egg-info", ".*_cache", ".hypothesis")


def left_out(folder, names):
    """Return which of *names* are leftovers; ``build`` is one at the top, and elsewhere a room of ours."""
    return NOT_OURS(folder, names) | ({"build"} if Path(folder) == ROOT else set())


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Return two folders of what was built of copies in different places, whose files have different times."""
    folders = []
    for time in (1_000_000_000, 1_600_000_000):
        work = tmp_path_factory.mktemp(f"at-{time}")
        source = Path(shutil.copytree(ROOT, work / "source", ignore=left_out))
        for file in source.rglob("*"):
            os.utime(file, (time, time))
        env = {**os.environ, "SOURCE_DATE_EPOCH": "1767225600"}
        command = [sys.executable, str(source / ".ci" / "dist"), str(work / "dist")]
        done = subprocess.run(command, env=env, cwd=work, capture_output=True, text=True, timeout=200)
        assert done.returncode == 0, done.stdout + done.stderr
        folders.append(work / "dist")
    return folders


@pytest.mark.slow
def test_what_is_built_twice_is_the_same(built):
    """
    Of the same sources, in another place and with other times, the wheel and the sdist have the same bytes.
    """
    one, two = ({file.name: file.read_bytes() for file in folder.iterdir()} for folder in built)

    assert len(one) == 2
    assert one == two


@pytest.mark.slow
def test_the_wheel_has_its_licence_and_its_types_and_nothing_of_ours(built):
    """
    A wheel holds the package, whole, ``py.typed`` and the licence, and neither tests nor examples.
    """
    (wheel,) = built[0].glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    written = {file.relative_to(ROOT).as_posix() for file in (ROOT / "asyncmeta").rglob("*.py")}

    assert "asyncmeta/py.typed" in names
    assert [name for name in names if name.endswith(".dist-info/licenses/LICENSE")]
    assert {name.partition("/")[0] for name in names if ".dist-info" not in name} == {"asyncmeta"}
    assert {name for name in names if name.endswith(".py")} == written


@pytest.mark.slow
def test_the_wheel_alone_runs_the_first_program_of_the_readme(built, tmp_path):
    """
    In a new environment that has the wheel, the one package that it asks for, and nothing else, the program does what is shown.
    """
    (wheel,) = built[0].glob("*.whl")
    home = tmp_path / "environment"
    scripts = home / ("Scripts" if os.name == "nt" else "bin")
    program, shown = [block.text for block in blocks(ROOT / "README.rst")[:2]]
    (tmp_path / "program.py").write_text(program, encoding="utf-8")

    def run(*words):
        env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")} | {"PYTHONIOENCODING": "utf-8"}
        done = subprocess.run(list(map(str, words)), cwd=tmp_path, env=env, capture_output=True, encoding="utf-8", timeout=200)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run(sys.executable, "-m", "venv", home)
    # Of no index: what the wheel asks for is taken from the environment of these tests.
    run(scripts / "pip", "install", "-q", "--no-index", "--no-deps", wheel)
    installed, asked_for, library = json.loads(run(scripts / "python", "-c", ASKED))
    shutil.copy(typing_extensions.__file__, library)

    assert set(installed) - {"pip", "setuptools"} == {"asyncmeta"}
    assert [re.match(r"[\w-]+", one)[0] for one in asked_for if "extra ==" not in one] == ["typing-extensions"]
    assert run(scripts / "python", "-W", "error", "program.py") == shown
    assert run(scripts / "asyncmeta", "--version") == f"asyncmeta {asyncmeta.__version__}\n"


@pytest.mark.slow
def test_the_sdist_has_what_its_tests_need(built):
    """
    Who packages it can run the tests of what was shipped.
    """
    (sdist,) = built[0].glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}

    wanted = "tests/conftest.py tests/golden/start.txt docs/index.rst examples/bookshop/app.py .ci/run LICENSE setup.cfg".split()

    assert set(wanted) - names == set()


@pytest.mark.slow
def test_an_index_would_show_the_readme(built):
    """
    Both pass the check of what an index shows, with warnings as errors.
    """
    pytest.importorskip("twine")
    done = subprocess.run(
        [sys.executable, "-m", "twine", "check", "--strict", *map(str, sorted(built[0].iterdir()))],
        capture_output=True, text=True, timeout=100,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("PASSED") == 2
