"""What does the command line say, and with which exit code?"""

import itertools
import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from urllib.parse import unquote

import pytest
from doc_pages import blocks

from asyncmeta.cli import main

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent
NUMBER = iter(range(10_000))


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Give a function that writes a module into the working directory and returns its name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    before = set(sys.modules)

    def write(text):
        name = f"written{next(NUMBER)}"
        (tmp_path / f"{name}.py").write_text(HEAD + textwrap.dedent(text), encoding="utf-8")
        return name

    yield write
    for name in set(sys.modules) - before:
        if name.startswith("written"):
            del sys.modules[name]


HEAD = "from asyncmeta import *\n"
SOUND = """
    class Shop(AsyncServiceBase):
        thing = AsyncDependencyDescriptor("thing")

        @inject_dependency("thing")
        def make(self): return 1
"""
BROKEN = """
    class Shop(AsyncServiceBase):
        thing = AsyncDependencyDescriptor("thing")
        other = AsyncDependencyDescriptor("other")
"""
UNUSED = """
    class Shop(AsyncServiceBase):
        @inject_dependency("thing")
        def make(self): return 1
"""


def run(capsys, *arguments):
    """Return the exit code, the standard output and the standard error of a command."""
    try:
        code = main([str(argument) for argument in arguments])
    except SystemExit as stop:
        code = stop.code
    said = capsys.readouterr()
    return code, said.out, said.err


# --- check ----------------------------------------------------------------------------------------


def test_check_of_a_sound_application_is_zero(module, capsys):
    """
    Without problems check says so and exits with 0.
    """
    code, out, _ = run(capsys, "check", f"{module(SOUND)}:Shop")

    assert (code, out) == (0, "Shop: nothing to report\n")


def test_check_tells_every_problem_with_its_place(module, capsys):
    """
    Every problem has a line that begins with file and line, and the exit code is 1.
    """
    name = module(BROKEN)

    code, out, _ = run(capsys, "check", f"{name}:Shop")

    assert code == 1
    assert re.findall(rf"^{name}\.py:(\d+): error: nothing provides", out, re.MULTILINE) == ["4", "5"]
    assert out.endswith("Shop: 2 errors\n")


def test_warnings_are_errors_where_that_is_wished(module, capsys):
    """
    A warning leaves the exit code at 0; with --strict it is an error.
    """
    name = module(UNUSED)

    code, out, _ = run(capsys, "check", f"{name}:Shop")
    strict, told, _ = run(capsys, "check", f"{name}:Shop", "--strict")

    assert (code, strict) == (0, 1)
    assert f"{name}.py:4: warning: nothing that is declared asks for" in out
    assert f"{name}.py:4: error: nothing that is declared asks for" in told


def test_check_takes_a_container(module, capsys):
    """
    A container in the module is checked as a class is, with its own providers.
    """
    code, out, _ = run(capsys, "check", f"{module(SOUND + '    shop = Container(Shop)')}:shop")

    assert (code, out) == (0, "Shop: nothing to report\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("shop = Container(Shop)", "nothing provides"),
        ("class Wrong(AsyncServiceBase, lifetme='scoped'): pass", "lifetme"),
    ],
    ids=["a container that cannot be made", "a class that is declared wrongly"],
)
def test_what_goes_wrong_while_importing_is_a_finding(module, capsys, text, said):
    """
    Where the module itself raises one of our errors, check tells it like all others.
    """
    name = module(BROKEN + "    " + text)

    code, out, _ = run(capsys, "check", f"{name}:Shop")

    assert code == 1
    assert said in out
    assert re.search(rf"^{name}\.py:\d+: error: ", out, re.MULTILINE)


def test_the_shared_layer_is_checked_on_request(module):
    """
    An unrelated registration in the shared layer stops nobody, and --all finds what is wrong with it.
    """
    name = module(SOUND + "    @inject_dependency('unrelated')\n    def unrelated(nowhere_to_be_found): pass")

    plain = started("check", f"{name}:Shop")
    whole = started("check", f"{name}:Shop", "--all")

    assert (plain.returncode, whole.returncode) == (0, 1)
    assert whole.stdout.count("nothing provides") == 1


def test_json_has_a_place_for_each_finding(module, capsys):
    """
    The JSON form tells level, rule, text, file and line of every finding.
    """
    name = module(BROKEN)

    _, out, _ = run(capsys, "check", f"{name}:Shop", "--format", "json")
    told = json.loads(out)

    assert told["application"] == "Shop"
    assert [(one["level"], one["rule"], one["file"], one["line"]) for one in told["findings"]] == [
        ("error", "MissingDependencyError", f"{name}.py", 4),
        ("error", "MissingDependencyError", f"{name}.py", 5),
    ]


def test_github_commands_cannot_be_forged(module, capsys):
    """
    A name with line breaks and command syntax stays inside of the one command that tells it.
    """
    name = module("class Shop(AsyncServiceBase):\n        x = AsyncDependencyDescriptor('a%0A\\n::error::b,c:d')")

    _, out, _ = run(capsys, "check", f"{name}:Shop", "--format", "github")

    assert len(out.splitlines()) == 1
    assert out.startswith(f"::error file={name}.py,line=3,title=asyncmeta MissingDependencyError::nothing provides ")
    assert "%250A" in out


# The essentials of the published schema of SARIF 2.1.0: what is required, of which type, and with which words.
LEVELS = {"none", "note", "warning", "error"}


def check_sarif(log):
    assert log["version"] == "2.1.0"
    assert log["$schema"].endswith("sarif-2.1.0.json")
    assert set(log) <= {"version", "$schema", "runs"}
    for one in log["runs"]:
        assert set(one) <= {"tool", "results", "columnKind"}
        assert one["columnKind"] in {"utf16CodeUnits", "unicodeCodePoints"}
        driver = one["tool"]["driver"]
        assert set(driver) <= {"name", "semanticVersion", "rules"}
        assert isinstance(driver["name"], str)
        ids = [rule["id"] for rule in driver["rules"]]
        assert len(set(ids)) == len(ids)
        assert all(isinstance(rule["shortDescription"]["text"], str) for rule in driver["rules"])
        for result in one["results"]:
            assert set(result) <= {"ruleId", "ruleIndex", "level", "message", "locations"}
            assert ids[result["ruleIndex"]] == result["ruleId"]
            assert result["level"] in LEVELS
            assert isinstance(result["message"]["text"], str)
            for location in result.get("locations", []):
                place = location["physicalLocation"]
                assert place["region"]["startLine"] >= 1
                uri = place["artifactLocation"]["uri"]
                assert re.fullmatch(r"[A-Za-z0-9\-._~:/%@!$&'()*+,;=]+", uri)
                assert not uri.startswith("/")


def test_sarif_is_as_its_schema_says(monkeypatch, capsys):
    """
    One result for each finding: a problem of level "error", a warning of level "warning", with places and rules.
    """
    monkeypatch.chdir(TESTS)
    sys.modules.pop("golden.broken", None)
    code, out, _ = run(capsys, "check", "golden.broken:Shop", "--format", "sarif")
    log = json.loads(out)
    (one,) = log["runs"]

    check_sarif(log)
    assert code == 1
    assert [result["level"] for result in one["results"]] == ["error"] * 4 + ["warning"] * (len(one["results"]) - 4)
    assert {"MissingDependencyError", "CircularDependencyError", "CaptiveDependencyError", "GraphError"} <= {
        result["ruleId"] for result in one["results"]
    }
    assert "databse" in one["results"][0]["message"]["text"]


def test_sarif_without_findings_is_whole(module, capsys):
    """
    A sound application gives a run without results.
    """
    _, out, _ = run(capsys, "check", f"{module(SOUND)}:Shop", "--format", "sarif")

    check_sarif(json.loads(out))
    assert json.loads(out)["runs"][0]["results"] == []


def test_sarif_names_files_as_uris(tmp_path, monkeypatch, capsys):
    """
    A path with blanks and other signs is written as a URI; strict warnings are of level "error".
    """
    folder = tmp_path / "a folder ünd #more"
    folder.mkdir()
    name = f"written{next(NUMBER)}"
    (folder / f"{name}.py").write_text(HEAD + textwrap.dedent(UNUSED), encoding="utf-8")
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])
    monkeypatch.chdir(tmp_path)

    _, out, _ = run(capsys, "check", f"{name}:Shop", "--format", "sarif", "--strict")
    log = json.loads(out)
    (result,) = log["runs"][0]["results"]
    artifact = result["locations"][0]["physicalLocation"]["artifactLocation"]

    check_sarif(log)
    assert result["level"] == "error"
    assert unquote(artifact["uri"]) == f"a folder ünd #more/{name}.py"
    assert artifact["uriBaseId"] == "%SRCROOT%"


# --- what is named --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("{}:Nothing", "has no Nothing"),
        ("{}:Shp", "did you mean Shop?"),
        ("{}:number", "is a int: neither a class derived from AsyncServiceBase nor a Container"),
        ("{}:Plain", "is a class: neither"),
        ("{}:shop_instance", "is a Shop: neither"),
        ("{}", "write MODULE:APP"),
        ("{}:", "write MODULE:APP"),
        (":Shop", "write MODULE:APP"),
        ("./{}.py:Shop", "write MODULE:APP"),
        ("no_such_module_anywhere:Shop", "there is no module 'no_such_module_anywhere'"),
        ("{}.inner:Shop", "there is no module"),
        ("__import__('os'):Shop", "write MODULE:APP"),
    ],
)
@pytest.mark.parametrize("command", ["check", "graph", "start"])
def test_what_is_no_application_is_refused(module, capsys, command, wanted, said):
    """
    Anything but a service class or a container is refused with exit code 2 and a sentence.
    """
    name = module(SOUND + "    class Plain: pass\n    number = 3\n    shop_instance = Shop()")

    code, out, err = run(capsys, command, wanted.format(name))

    assert (code, out) == (2, "")
    assert said in err


@pytest.mark.parametrize("raised", ["ValueError('no')", "SystemExit(0)", "ModuleNotFoundError(\"No module named 'x'\", name='x')"])
def test_a_module_that_raises_is_told_with_its_traceback(module, capsys, raised):
    """
    Where importing fails, or ends the program, the command is refused and the traceback shows where.
    """
    name = module(f"raise {raised}")

    code, _, err = run(capsys, "check", f"{name}:Shop")

    assert code == 2
    assert f'{name}.py", line 2' in err
    assert f"importing {name} raised {raised.partition('(')[0]}" in err


@pytest.mark.parametrize("command", ["check", "graph", "explain", "source", "start"])
def test_help_says_that_the_module_is_run(capsys, command):
    """
    Every command that imports says that importing runs the module.
    """
    code, out, _ = run(capsys, command, "--help")

    assert code == 0
    assert "importing a module runs it" in " ".join(out.split())
    assert "Exit codes: 0" in " ".join(out.split())


def test_wrong_arguments_are_exit_code_two(capsys):
    """
    What argparse refuses has the exit code 2 as well.
    """
    assert run(capsys)[0] == 2
    assert run(capsys, "nonsense")[0] == 2
    assert run(capsys, "start", "a:b", "--concurrency", "0")[0] == 2


# --- graph, explain, source -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "start"), [("text", "Shop"), ("mermaid", "flowchart"), ("dot", "digraph"), ("json", "{"), ("html", "<!doctype html>")]
)
def test_graph_writes_every_form(module, capsys, tmp_path, form, start):
    """
    Each form goes to the standard output, or to the file that -o names.
    """
    name = module(BROKEN)

    code, out, _ = run(capsys, "graph", f"{name}:Shop", "--format", form)
    _, nothing, _ = run(capsys, "graph", f"{name}:Shop", "--format", form, "-o", tmp_path / "out")

    assert code == 0
    assert out.startswith(start)
    assert nothing == ""
    assert (tmp_path / "out").read_text(encoding="utf-8").rstrip("\n") == out.rstrip("\n")


def test_a_file_that_cannot_be_written_is_told(module, capsys, tmp_path):
    """
    A folder as the output file is refused with a sentence.
    """
    code, _, err = run(capsys, "graph", f"{module(SOUND)}:Shop", "-o", tmp_path)

    assert code == 2
    assert "cannot be written" in err


def test_the_tree_is_ascii_where_nothing_else_can_be_shown(module):
    """
    A standard output that knows ASCII alone gets the tree in ASCII.
    """
    name = module(SOUND)

    plain = started("graph", f"{name}:Shop", PYTHONIOENCODING="ascii")
    drawn = started("graph", f"{name}:Shop", PYTHONIOENCODING="utf-8")

    assert "`~ thing" in plain.stdout
    assert "└┄ thing" in drawn.stdout


@pytest.mark.parametrize("token", ["thing", '"thing"'])
def test_explain_takes_names_with_and_without_quotes(module, capsys, token):
    """
    A string token is named as it is or as texts show it.
    """
    name = module(SOUND)

    code, out, _ = run(capsys, "explain", f"{name}:Shop", token)

    assert code == 0
    assert out.startswith(f'"thing": singleton, made by Shop.make, a function ({name}.py:6)')
    assert "needed by:\n    Shop, as thing" in out


def test_explain_names_what_is_near(module, capsys):
    """
    An unknown token is refused with near misses.
    """
    code, _, err = run(capsys, "explain", f"{module(SOUND)}:Shop", "thng")

    assert code == 2
    assert 'did you mean "thing"?' in err


def test_explain_tells_all_of_a_multi_key_and_every_shadow(module, capsys):
    """
    Each registration of a multi key is explained; what a layer or a later line hides is listed.
    """
    name = module("""
        class Base(AsyncServiceBase): pass
        def first(): pass
        def second(): pass
        def third(): pass
        Base.register_dependency("many", first, multi=True)
        Base.register_dependency("many", second, multi=True)
        Base.register_dependency("one", first)
        class Shop(Base): pass
        Shop.register_dependency("one", second)
        Shop.register_dependency("one", third)
    """)

    _, many, _ = run(capsys, "explain", f"{name}:Shop", "many")
    _, one, _ = run(capsys, "explain", f"{name}:Shop", '"one"')

    assert [line.partition(":")[0] for line in many.splitlines() if line.startswith('"')] == ['"many" by first', '"many" by second']
    assert f"shadows:\n    second in Shop, earlier ({name}.py:5)\n    first in Base ({name}.py:4)" in one


def test_two_classes_of_one_name_are_told_apart_by_module(module, capsys):
    """
    Where a name may mean two keys, source asks which; MODULE:NAME says it.
    """
    name = module("""
        class Shop(AsyncServiceBase): pass
        one, two = type("Same", (), {"__module__": "here"}), type("Same", (), {"__module__": "there"})
        Shop.register_dependency(one, one, lifetime="scoped")
        Shop.register_dependency(two, two, lifetime="scoped")
    """)

    code, _, err = run(capsys, "source", f"{name}:Shop", "Same")
    exact, out, _ = run(capsys, "source", f"{name}:Shop", "there:Same")

    assert code == 2
    assert "may be here:Same or there:Same; say which" in err
    assert exact == 0
    assert "async def root(scope):" in out


def test_source_of_what_does_not_fit_is_an_error(module, capsys):
    """
    Where no root can be made, source says why and exits with 1.
    """
    code, out, err = run(capsys, "source", f"{module(BROKEN)}:Shop", "Shop")

    assert (code, out) == (1, "")
    assert "nothing provides" in err


def test_source_of_a_large_root_says_that_there_is_none(module, capsys):
    """
    A root of more calls than source is written for says how many there are.
    """
    name = module("""
        class Shop(AsyncServiceBase): pass
        Shop.register_dependency("s300", lambda: 1, lifetime="scoped")
        for number in range(300):
            Shop.register_dependency(f"s{number}", eval(f"lambda s{number + 1}: 1"), lifetime="scoped")
    """)

    code, out, _ = run(capsys, "source", f"{name}:Shop", "s0")

    assert code == 0
    assert "301 calls" in out
    assert "def root" not in out


# --- start --------------------------------------------------------------------------------------------

STARTS = """
    import asyncio
    closed = []

    class Shop(AsyncServiceBase):
        @inject_dependency("first")
        async def first(self):
            try:
                yield 1
            finally:
                closed.append("first")

        @inject_dependency("second")
        async def second(self, first): return 1
"""


def test_start_starts_prints_and_closes(module, capsys, tmp_path):
    """
    The start-up runs, the waterfall is printed, the page written, and everything closed again.
    """
    name = module(STARTS)

    code, out, _ = run(capsys, "start", f"{name}:Shop", "--html", tmp_path / "start.html", "--concurrency", "1")

    assert code == 0
    assert out.startswith("started 3 values in ")
    assert '"second"' in out
    assert (tmp_path / "start.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert sys.modules[name].closed == ["first"]


def test_start_writes_json_and_mermaid(module, capsys):
    """
    The report is printed in the form that is asked for.
    """
    name = module(STARTS)

    _, told, _ = run(capsys, "start", f"{name}:Shop", "--format", "json")
    _, drawn, _ = run(capsys, "start", f"{name}:Shop", "--format", "mermaid")

    assert len(json.loads(told)["builds"]) == 3
    assert drawn.startswith("gantt\n")


def test_a_start_that_fails_shows_where(module, capsys):
    """
    What a factory raises is shown with its traceback and what was being built; the exit code is 1, and the rest is closed.
    """
    name = module(STARTS + "\n        @inject_dependency('third')\n        def third(self, first): raise OSError('no luck')")

    code, out, err = run(capsys, "start", f"{name}:Shop")

    assert (code, out) == (1, "")
    assert "OSError: no luck" in err
    assert 'while building "third"' in err
    assert sys.modules[name].closed == ["first"]


def test_an_application_with_problems_is_not_started(module, capsys):
    """
    The check comes first: nothing is built, the problems are told, the exit code is 1.
    """
    code, out, err = run(capsys, "start", f"{module(BROKEN)}:Shop")

    assert (code, out) == (1, "")
    assert err.count("nothing provides") == 2


class Terminal:
    """A standard output that is a terminal."""

    encoding = "utf-8"

    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text
        return len(text)

    def flush(self):
        pass

    def isatty(self):
        return True


def test_a_terminal_sees_the_progress(module, monkeypatch):
    """
    On a terminal a bar counts the values as they come; markup in a name is text.
    """
    pytest.importorskip("rich")
    name = module(STARTS + "\n        @inject_dependency('[bold]x[/nonsense]')\n        async def third(self, first): return 1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "120")
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)

    code = main(["start", f"{name}:Shop"])

    assert code == 0
    assert "4/4" in terminal.text
    assert "\x1b[" in terminal.text.partition("started 4 values")[0]


def test_without_rich_a_terminal_sees_the_waterfall_alone(module, monkeypatch):
    """
    The extra is not needed: without rich there is no bar, and nothing fails.
    """
    name = module(STARTS)
    for wanted in [one for one in sys.modules if one.partition(".")[0] == "rich"] + ["rich"]:
        monkeypatch.setitem(sys.modules, wanted, None)
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)

    code = main(["start", f"{name}:Shop"])

    assert code == 0
    assert terminal.text.startswith("started 3 values")


# --- diff ---------------------------------------------------------------------------------------------


def test_diff_fails_for_a_new_captive_edge_only(module, capsys, tmp_path):
    """
    A new captive edge has the exit code 1; other differences are told with 0.
    """
    files = []
    for needs, lifetime in (("", "singleton"), ("thing", "singleton"), ("thing", "scoped")):
        name = module(f"""
            class Shop(AsyncServiceBase): pass
            Shop.register_dependency("thing", lambda: 1, lifetime="{lifetime}")
            Shop.register_dependency("user", lambda {needs}: 1)
        """)
        files.append(tmp_path / f"{name}.json")
        run(capsys, "graph", f"{name}:Shop", "--format", "json", "-o", files[-1])
    first, second, third = files

    assert run(capsys, "diff", first, first)[:2] == (0, "no difference\n")
    code, out, _ = run(capsys, "diff", first, second)
    assert code == 0
    assert out.startswith('new dependency: "user".thing -> "thing" (written')
    code, out, _ = run(capsys, "diff", second, third, "--format", "json")
    assert code == 1
    assert [change["kind"] for change in json.loads(out)] == ["new captive edge", "changed lifetime"]


@pytest.mark.parametrize("content", [b"\xff\xfe", b"[]", b"no JSON"])
def test_diff_refuses_what_is_no_graph(capsys, tmp_path, content):
    """
    A file that is no graph, or no text, is refused with exit code 2.
    """
    (tmp_path / "x").write_bytes(content)

    code, out, err = run(capsys, "diff", tmp_path / "x", tmp_path / "x")

    assert (code, out) == (2, "")
    assert err.startswith("asyncmeta: ")
    assert run(capsys, "diff", tmp_path / "none", tmp_path / "x")[0] == 2


# --- as a program -----------------------------------------------------------------------------------------


def started(*arguments, **environment):
    """Run ``python -m asyncmeta`` in the working directory."""
    return subprocess.run(
        [sys.executable, "-m", "asyncmeta", *arguments], capture_output=True, text=True, encoding="utf-8", timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
    )  # fmt: skip


def test_python_m_is_the_command(module):
    """
    ``python -m asyncmeta`` runs a command in the working directory and gives its exit code.
    """
    name = module(BROKEN)

    done = started("check", f"{name}:Shop")

    assert done.returncode == 1
    assert f"{name}.py:4: error" in done.stdout
    assert done.stderr == ""


def test_a_reader_that_leaves_ends_the_command_quietly(module):
    """
    ``asyncmeta graph ... | head -1`` shows no traceback.
    """
    name = module("""
        class Shop(AsyncServiceBase): pass
        for number in range(3000):
            Shop.register_dependency(f"a long name {number}", lambda: 1)
    """)
    program = [sys.executable, "-m", "asyncmeta", "graph", f"{name}:Shop"]

    with subprocess.Popen(
        program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)}
    ) as running:
        running.stdout.readline()
        running.stdout.close()
        said = running.stderr.read()
        running.wait(60)

    assert said == b""


def test_no_command_shows_a_secret(monkeypatch, capsys, tmp_path):
    """
    What was registered in every possible way is in no output of any command.
    """
    monkeypatch.chdir(TESTS)
    sys.modules.pop("golden.application", None)
    said = []
    for command in (
        *(["check", "--format", form] for form in ("text", "json", "github", "sarif")),
        *(["graph", "--format", form] for form in ("text", "mermaid", "dot", "json", "html")),
        *(["explain", token, "--source"] for token in ("Database", "dsn", "Report", "key", "lock", "handles", "perhaps")),
        *(["start", "--format", form, "--html", tmp_path / "page"] for form in ("text", "json", "mermaid")),
    ):
        code, out, err = run(capsys, command[0], "golden.application:Shop", *command[1:])
        assert code == 0
        said += [out, err]

    said.append((tmp_path / "page").read_text(encoding="utf-8"))
    assert len(said) == 39
    assert [text for text in said if "hunter2" in text] == []


def test_start_counts_and_sums(module, capsys):
    """
    The first line of start sets the time of the clock beside the sum of all factories.
    """
    _, out, _ = run(capsys, "start", f"{module(SOUND)}:Shop")

    assert re.match(r"started 2 values in \d+\.\d{3} s; one after another: \d+\.\d{3} s\n", out)


def test_the_page_of_the_documentation_shows_what_is_printed(tmp_path, monkeypatch, capsys):
    """
    Each command of the how-to page prints what stands below it; only times may differ.
    """
    page = blocks(ROOT / "docs" / "howto" / "command-line.rst")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setenv("COLUMNS", "80")
    for block in page:
        if block.language == "python":
            monkeypatch.delitem(sys.modules, block.file.removesuffix(".py"), raising=False)
            (tmp_path / block.file).write_text(block.text, encoding="utf-8")

    compared = 0
    try:
        for command, shown in itertools.pairwise(page):
            if command.language != "shell":
                continue
            said = ""
            for line in command.text.strip().splitlines():
                code, said, err = run(capsys, *line.removeprefix("asyncmeta ").split())
                assert (code in (0, 1), err) == (True, "")
            assert timeless(said) == timeless(shown.text)
            compared += 1
    finally:  # other tests have modules of these names
        for name in ("shop", "changed"):
            sys.modules.pop(name, None)

    assert compared == 6


def timeless(text):
    """Return *text* without the times, the bars that draw them and the marks that follow from them."""
    text = re.sub(r"(?m)\s*[#=█▒]* *\d+\.\d+ s(?: \*)?$", "", text.strip())
    return re.sub(r"\d+\.\d+ s", "", text)


# --- applications of frameworks -------------------------------------------------------------------------

SERVED = """
    class Rates: ...
    class Mailer: ...
    class Session: ...
    class Users(AsyncServiceBase):
        mailer = AsyncDependencyDescriptor(Mailer)
    class Web(AsyncServiceBase): ...
    @inject_dependency(on=Web, lifetime="scoped")
    def open_session() -> Session: ...
    container = Container(Web)
"""

#: For each framework: what makes an application `app` of the handlers below.
MAKES = {
    "fastapi": """
        import fastapi
        app = setup(fastapi.FastAPI(), container)
        app.get("/rates")(show_rates); app.get("/users")(list_users)
    """,
    "starlette": """
        from starlette.applications import Starlette
        from starlette.routing import Route
        app = setup(Starlette(routes=[Route("/rates", show_rates), Route("/users", list_users)]), container)
    """,
    "litestar": """
        import litestar
        app = setup(litestar.Litestar([litestar.get("/rates")(show_rates), litestar.get("/users")(list_users)]), container)
    """,
    "quart": """
        import quart
        app = setup(quart.Quart("shop"), container)
        app.get("/rates")(show_rates); app.get("/users")(list_users)
    """,
    "flask": """
        import flask
        app = setup(flask.Flask("shop"), container)
        app.get("/rates")(show_rates); app.get("/users")(list_users)
    """,
    "aiohttp": """
        from aiohttp import web
        app = setup(web.Application(), container)
        app.router.add_get("/rates", show_rates); app.router.add_get("/users", list_users)
    """,
    "mcp": """
        from mcp.server import MCPServer
        app = setup(MCPServer("shop"), container)
        app.tool()(show_rates); app.tool()(list_users)
    """,
    "fastmcp": """
        from fastmcp import FastMCP
        app = setup(FastMCP("shop"), container)
        app.tool(show_rates); app.tool(list_users)
    """,
    "faststream": """
        from faststream import FastStream
        from faststream.redis import RedisBroker
        broker = RedisBroker()
        app = setup(FastStream(broker), container)
        keep = broker.subscriber("rates")(show_rates), broker.subscriber("users")(list_users)
    """,
    "aiogram": """
        from aiogram import Dispatcher
        app = setup(Dispatcher(), container)
        app.message()(show_rates); app.callback_query()(list_users)
    """,
    "blacksheep": """
        from blacksheep import Application
        from blacksheep.server.routing import Router
        app = setup(Application(router=Router()), container)
        app.router.add_get("/rates", show_rates); app.router.add_get("/users", list_users)
    """,
    "sanic": """
        from sanic import Sanic
        app = setup(Sanic(f"shop{id(container)}", configure_logging=False), container)
        app.get("/rates")(show_rates); app.get("/users")(list_users)
    """,
    "grpc": """
        import asyncio
        import grpc
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)  # grpc wants one where a server is made
        app = setup(grpc.aio.server(), container)
        asyncio.set_event_loop(None)
        loop.close()
        handlers = {one.__name__: grpc.unary_unary_rpc_method_handler(one) for one in (show_rates, list_users)}
        app.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("shop", handlers)])
    """,
    "strawberry": """
        import strawberry
        Query = strawberry.type(type("Query", (), {
            "rates": strawberry.field(resolver=show_rates), "users": strawberry.field(resolver=list_users),
            "__annotations__": {},
        }))
        app = setup(strawberry.Schema(Query), container)
    """,
    "typer": """
        import typer
        app = setup(typer.Typer(), container)
        app.command()(show_rates); app.command()(list_users)
    """,
    "click": """
        import click
        app = setup(click.Group("shop"), container)
        app.command()(show_rates); app.command()(list_users)
    """,
}


def served(name, provided=False):
    """Return the text of a module with an application of a framework and two handlers."""
    pytest.importorskip(name)
    text = f"    from asyncmeta.integrations.{name} import From, inject, setup\n"
    text += textwrap.indent(textwrap.dedent(SERVED), "    ")
    if provided:
        text = text.replace("class Web(AsyncServiceBase)", "class Web(AsyncServiceBase, providers=[Rates, Mailer])")
    request = "request, " if name in ("starlette", "aiohttp", "sanic") else "event, " if name == "aiogram" else ""
    for handler, token in ("show_rates", "Rates"), ("list_users", "Users"):
        if name not in ("fastapi", "faststream"):
            text += "    @inject\n"
        returned = {"litestar": " -> None", "strawberry": " -> int"}.get(name, "")
        text += f"    async def {handler}({request}one: From[{token}], two: From[Session]){returned}: ...\n"
    return text + textwrap.indent(textwrap.dedent(MAKES[name]), "    ")


@pytest.mark.parametrize("name", MAKES)
def test_the_handlers_of_an_application_are_checked(module, capsys, name):
    """
    Each command takes an application of a framework; its handlers are those who ask, and each that cannot be served is named.
    """
    wanted = f"{module(served(name))}:app"

    code, out, _ = run(capsys, "check", wanted)
    assert code == 1
    assert "show_rates" in out and "list_users" in out and "Rates" in out and "Mailer" in out
    assert "nothing that is declared asks for" not in out


@pytest.mark.parametrize("name", MAKES)
def test_an_application_in_order_is_drawn_with_its_handlers(module, capsys, name):
    """
    Handlers are nodes of the graph, what they ask for is used, and the start is that of the container.
    """
    wanted = f"{module(served(name, provided=True))}:app"

    code, out, _ = run(capsys, "check", "--strict", wanted)
    assert code == 0, out
    code, out, _ = run(capsys, "graph", wanted)
    assert code == 0
    assert re.search(r"^show_rates  scoped  handler", out, re.MULTILINE) and "list_users" in out
    code, out, _ = run(capsys, "explain", wanted, "Session")
    assert code == 0
    assert "show_rates, as two" in out and "list_users, as two" in out
    code, out, _ = run(capsys, "start", wanted)
    assert code == 0 and "Mailer" in out


def test_an_application_without_a_container_is_refused(module, capsys):
    """
    An application that nobody gave a container is told how to get one.
    """
    pytest.importorskip("fastapi")
    name = module("    import fastapi\n    app = fastapi.FastAPI()\n")

    code, _, err = run(capsys, "check", f"{name}:app")

    assert code == 2 and "setup(app, container)" in err


def test_a_mark_that_nobody_fills_is_an_error(module, capsys):
    """
    A handler that nothing decorates is told by the check, too.
    """
    pytest.importorskip("starlette")
    name = module(served("starlette", provided=True).replace("    @inject\n", "", 1))

    code, out, _ = run(capsys, "check", f"{name}:app")

    assert code == 1 and "nobody fills one, two of show_rates" in out


def test_a_handler_that_another_container_fills_is_none_of_this_one(module, capsys):
    """
    What a container's own ``inject`` decorates is checked by that one, and does not ask here.
    """
    pytest.importorskip("starlette")
    text = served("starlette", provided=True).replace("    @inject\n", "    @other.inject\n", 1)
    other = "class Other(AsyncServiceBase, providers=[Rates, Session]): ...\n    other = Container(Other)\n    class Web("
    text = text.replace("class Web(", other, 1)
    wanted = f"{module(text.replace('providers=[Rates, Mailer]', 'providers=[Mailer]'))}:app"

    code, out, _ = run(capsys, "graph", wanted)

    assert code == 0, out
    assert "list_users" in out and "show_rates" not in out


def test_settings_of_django_are_an_application(tmp_path):
    """
    The settings' module of a Django project stands for its views.
    """
    pytest.importorskip("django")
    (tmp_path / "shop_settings.py").write_text(
        "SECRET_KEY = 'x'\nROOT_URLCONF = 'shop_urls'\nASYNCMETA_CONTAINER = 'shop_services.container'\n"
        "MIDDLEWARE = ['asyncmeta.integrations.django.ContainerMiddleware']\n"
    )
    (tmp_path / "shop_services.py").write_text(
        "from asyncmeta import AsyncServiceBase, Container\nclass Rates: ...\nclass Shop(AsyncServiceBase): ...\n"
        "container = Container(Shop)\n"
    )
    (tmp_path / "shop_urls.py").write_text(
        "from asyncmeta import From\nfrom asyncmeta.integrations.django import inject\nfrom django.urls import path\n"
        "from shop_services import Rates\n@inject\ndef show_rates(request, rates: From[Rates]): ...\n"
        "urlpatterns = [path('rates', show_rates)]\n"
    )

    def done(*words):
        return subprocess.run(
            [sys.executable, "-m", "asyncmeta", *words],
            cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=60,
        )  # fmt: skip

    checked = done("check", "shop_settings")
    assert checked.returncode == 1
    assert "shop_urls.py:5: error: nothing provides Rates, needed by show_rates.rates" in checked.stdout

    services = tmp_path / "shop_services.py"
    services.write_text(services.read_text().replace("(AsyncServiceBase)", "(AsyncServiceBase, providers=[Rates])"))
    assert done("check", "--strict", "shop_settings").returncode == 0
    assert "show_rates  scoped  handler" in done("graph", "shop_settings").stdout
    assert "show_rates, as rates" in done("explain", "shop_settings", "Rates").stdout
    assert "Rates" in done("start", "shop_settings").stdout


# --- what makes a container ---------------------------------------------------------------------------

MADE = SOUND + """
    class Settings: ...

    class Site(Shop, context={"singleton": [Settings]}):
        settings = AsyncDependencyDescriptor(Settings)

    def make(): return Container(Site, {Settings: Settings()})
    def make_class(): return Shop
    def make_nothing(): return 3
    async def make_later(): return make()
    def make_broken(): return Container(Site)
    container = make()
"""


@pytest.mark.parametrize("wanted", ["--factory {0}:make", "--factory {0}:make_class", "{0}:container", "{0}:Site"])
@pytest.mark.parametrize("command", ["check --strict", "graph"])
def test_what_makes_a_container_is_named(module, capsys, command, wanted):
    """
    A function that makes the application or its container is called with --factory; a container stands for itself; a class
    is checked as if it had been given its context.
    """
    code, out, err = run(capsys, *command.split(), *wanted.format(module(MADE)).split())

    assert (code, err) == (0, "")
    assert "Shop" in out or "Site" in out


def test_a_container_that_a_function_makes_is_started(module, capsys):
    """
    start enters the container that the function makes.
    """
    code, out, _ = run(capsys, "start", "--factory", f"{module(MADE)}:make")

    assert code == 0
    assert "started" in out


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("{0}:make", "is a function; say --factory"),
        ("--factory {0}:Shop", "is no function that makes an application; leave out --factory"),
        ("--factory {0}:container", "is no function that makes an application; leave out --factory"),
        ("--factory {0}:make_later", "is async: --factory takes a plain function"),
        ("--factory {0}:make_nothing", "make_nothing() made is a int"),
    ],
)
def test_what_makes_no_container_is_refused(module, capsys, wanted, said):
    """
    What --factory does not fit is refused with exit code 2 and a sentence that says so.
    """
    code, _, err = run(capsys, "check", *wanted.format(module(MADE)).split())

    assert code == 2
    assert said in err


def test_a_function_whose_container_is_wrong(module, capsys):
    """
    What the container's own check finds is told as findings.
    """
    code, out, _ = run(capsys, "check", "--factory", f"{module(MADE)}:make_broken")

    assert code == 1
    assert "nothing provides Settings" in out


MEMBERS = """
    class Plug: ...
    class Csv(Plug): ...
    class Store: ...
    class Shop(AsyncServiceBase): ...
    inject_dependency(Plug, multi=True, on=Shop)(Csv)
    inject_dependency(Plug, multi="pdf", on=Shop)(lambda: 1)
    Shop.register_providers([{"provide": "alias", "use_existing": Store}, Store])
"""


@pytest.mark.parametrize(
    ("token", "said"), [("Csv", "Plug by Csv: singleton"), ("pdf", "Plug by <lambda>"), ("alias", "transient, the same as Store")]
)
def test_members_and_aliases_are_explained(module, capsys, token, said):
    """
    A member of a multi key goes by what makes it and by its name; an alias is the same as what it stands for.
    """
    code, out, _ = run(capsys, "explain", f"{module(MEMBERS)}:Shop", token)

    assert code == 0
    assert said in out


PORTS = """
    class Mailer: ...
    class Stamp: ...
    class Smtp(Mailer):
        def __init__(self, stamp: Stamp, other: other.Stamp): ...
    class Shop(AsyncServiceBase, providers=[Stamp, other.Stamp]): ...
    inject_dependency(Mailer, on=Shop)(Smtp)
"""


def test_a_port_is_named_before_what_makes_it(module, capsys):
    """
    Graph, explain and check name the key first, then the class that makes it; classes of one name with their modules.
    """
    other = module("class Stamp: ...")
    ports = module(f"    import {other} as other\n" + PORTS.lstrip("\n"))

    _, drawn, _ = run(capsys, "graph", f"{ports}:Shop")
    _, asked, _ = run(capsys, "explain", f"{ports}:Shop", "Mailer")
    _, by_class, _ = run(capsys, "explain", f"{ports}:Shop", "Smtp")
    _, found, _ = run(capsys, "check", f"{ports}:Shop")

    assert "\nMailer by Smtp  singleton" in drawn
    assert f"stamp: {ports}.Stamp  singleton" in drawn and f"other: {other}.Stamp  singleton" in drawn
    assert asked == by_class
    assert asked.startswith("Mailer by Smtp: singleton, made by Smtp, a class")
    assert "nothing that is declared asks for Mailer by Smtp" in found


GIVEN = """
    from asyncmeta import Token
    class Settings: ...
    LIMIT = Token[int]("limit of all")
    class Engine:
        def __init__(self, settings: Settings): ...
    def make_report(engine: Engine): ...
    class Shop(AsyncServiceBase, context={"singleton": [Settings]}, providers=[Engine]): ...
    Shop.register_value(LIMIT, 3)
    Shop.register_dependency("report", make_report)
    def takes(settings): ...
    def raises(): raise ValueError("no")
"""


def test_what_comes_with_the_container_is_context(module, capsys):
    """
    A value that the container is given is drawn and explained as such, and not as something that a function makes.
    """
    name = module(GIVEN)

    _, out, _ = run(capsys, "explain", f"{name}:Shop", "Settings")
    _, drawn, _ = run(capsys, "graph", f"{name}:Shop")

    assert out.startswith("Settings: singleton, a context\n  layer: comes with the container")
    assert "settings: Settings  singleton  context" in drawn


@pytest.mark.parametrize(("token", "found"), [("{}:LIMIT", "Token('limit of all')"), ("make_report", '"report"')])
def test_a_variable_and_a_factory_name_what_they_are_about(module, capsys, token, found):
    """
    A token goes by the variable that holds it, and a value by the function that makes it.
    """
    name = module(GIVEN)

    code, out, _ = run(capsys, "explain", f"{name}:Shop", token.format(name))

    assert code == 0
    assert out.startswith(f"{found}: singleton")


def test_a_factory_that_cannot_make_it(module, capsys):
    """
    With --factory a function that takes arguments is refused by what it takes, and one that raises is not called a module.
    """
    name = module(GIVEN)

    code, _, wanting = run(capsys, "check", "--factory", f"{name}:takes")
    again, _, raising = run(capsys, "check", "--factory", f"{name}:raises")

    assert (code, again) == (2, 2)
    assert wanting == f"asyncmeta: {name}:takes cannot be called without arguments: missing a required argument: 'settings'\n"
    assert "ValueError: no" in raising
    assert raising.endswith(f"asyncmeta: calling {name}:raises raised ValueError\n")


# --- what is rarely asked ------------------------------------------------------------------------------

ALL_OF_IT = """
    from asyncmeta import Token
    from typing import Annotated
    WORD = Token[str]("word")
    class Store:
        def __init__(self, missing: Annotated[int, Inject("gone")]): ...
    class Desk: ...
    def make_numbers() -> list[int]: ...
    class Shop(AsyncServiceBase, scopes=["request", "step"], context=["user"]):
        @inject_dependency("late", timeout=2.5, also=["again"])
        async def late(self): return 1
        @inject_dependency("skipped", lifetime="request")
        def skipped(self):
            yield 1
            print("not when it fails")
    Shop.register_dependency(Store, Store)
    Shop.register_dependency(Desk, Desk, lifetime="step")
    inject_dependency(on=Shop)(make_numbers)
    Shop.register_value(WORD, "word")
    Shop.register_dependency("greeting", lambda user: 1, lifetime="step")
"""


@pytest.mark.parametrize(
    ("token", "said"),
    [
        ("late", ["  also: \"again\"", "  options: timeout 2.5 s"]),
        ("Store", ["  problem: nothing provides \"gone\""]),
        ("user", ["comes with the scope: context=[...]"]),
        ("list[int]", ["made by make_numbers"]),
        ("word", ["Token('word'): singleton"]),
    ],
    ids=["options", "problem", "context", "a generic", "token"],
)
def test_explain_says_all_that_there_is(module, capsys, token, said):
    """
    Other keys, options, problems with their hints, and where a context value comes from.
    """
    code, out, _ = run(capsys, "explain", f"{module(ALL_OF_IT)}:Shop", token)

    assert code == 0
    for text in said:
        assert text in out


def test_source_of_an_opening_that_needs_a_real_scope(module, capsys):
    """
    Where a level of its own is meant, a scope is opened, and there is no source of an opening to show.
    """
    code, out, _ = run(capsys, "source", f"{module(ALL_OF_IT)}:Shop", "Desk", "--opening")

    assert code == 0
    assert "a real scope is opened for it" in out


def test_check_warns_of_what_a_failure_skips(module, capsys):
    """
    A generator with something behind its yield that an exception skips is named with its place.
    """
    name = module("""
        class Shop(AsyncServiceBase):
            thing = AsyncDependencyDescriptor("thing")
            @inject_dependency("thing")
            def make(self):
                yield 1
                print("not when it fails")
    """)

    code, out, _ = run(capsys, "check", f"{name}:Shop")

    assert code == 0
    assert f"{name}.py:" in out
    assert "skips what stands behind its yield where a failure is raised there" in out


def test_an_ambiguity_is_found_where_it_was_written(module, capsys):
    """
    That two modules register one key is told at one of the two lines.
    """
    register = "inject_dependency('thing', on=Shop)(lambda: 1)"
    other = module(f"class Shop(AsyncServiceBase): ...\n{register}")
    name = module(f"from {other} import Shop\n{register}\nShop.register_dependency('user', lambda thing: 1)")

    code, out, _ = run(capsys, "check", f"{name}:Shop", "--format", "json")
    found = [one for one in json.loads(out)["findings"] if one["rule"] == "AmbiguousDependencyError"]

    assert code == 1
    assert {one["file"] for one in found} <= {f"{name}.py", f"{other}.py"}


def test_a_setting_that_is_no_module_is_refused(module, capsys):
    """
    What is no name of a module can be no settings of Django's either.
    """
    code, _, err = run(capsys, "check", "no-module.at all")

    assert code == 2
    assert "no-module.at all" in err


def test_commands_for_github_are_none_where_nothing_is_found(module, capsys):
    """
    A form that has a line for each finding has none without any.
    """
    code, out, _ = run(capsys, "check", f"{module(SOUND)}:Shop", "--format", "github")

    assert (code, out) == (0, "")


def test_a_key_is_named_by_the_name_of_what_makes_it(module, capsys):
    """
    Source takes the name of a member, too, and says which names there are where several fit.
    """
    name = module("""
        from asyncmeta import Token
        class Plug: ...
        class Csv(Plug): ...
        class Shop(AsyncServiceBase): ...
        inject_dependency(Plug, multi="first", on=Shop, lifetime="scoped")(Csv)
        Shop.register_value(Token("a name"), 1)
        Shop.register_value("a name", 2)
    """)

    by_member = run(capsys, "source", f"{name}:Shop", "first")
    by_class = run(capsys, "source", f"{name}:Shop", "Csv")
    several, _, err = run(capsys, "source", f"{name}:Shop", "a name")

    assert by_member == by_class
    assert several == 2
    assert "a name may be" in err and "say which" in err


CODE_ONLY = """
    names = {"AsyncServiceBase": AsyncServiceBase, "AsyncDependencyDescriptor": AsyncDependencyDescriptor}
    exec(compile("class Shop(AsyncServiceBase):\\n    thing = AsyncDependencyDescriptor('thing')", "<string>", "exec"), names)
    Shop = names["Shop"]
"""


def test_a_problem_of_what_no_file_holds_has_no_place(module, capsys):
    """
    A class of a text that was executed is named without a line that nobody could open.
    """
    code, out, _ = run(capsys, "check", f"{module(CODE_ONLY)}:Shop", "--format", "json")
    (found,) = json.loads(out)["findings"]

    assert code == 1
    assert (found["file"], found["line"]) == ("", 0)


@pytest.mark.parametrize(("token", "said"), [
    ("Desk", "layer: none; a service class needs no registration"),
    ("Container", "layer: none; it is always there"),
])  # fmt: skip
def test_what_nobody_registered_is_explained(module, capsys, token, said):
    """
    Service classes and what comes with every container stand in no layer, and that is said.
    """
    name = module("""
        class Desk(AsyncServiceBase): ...

        class Shop(AsyncServiceBase):
            def __init__(self, desk: Desk, container: Container) -> None: ...
    """)

    code, out, _ = run(capsys, "explain", f"{name}:Shop", token)

    assert code == 0, out
    assert said in out
