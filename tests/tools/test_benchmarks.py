"""The figures that the whole check compares, and what is shown of other libraries."""

import asyncio
import json

import pytest

from benchmarks import check, cold, imports, peers, safety


@pytest.fixture(scope="module")
def counted():
    """The calls of cold paths, by name, as they are now."""
    return check.counted(calls_only=True)


@pytest.fixture
def compare(counted, tmp_path, monkeypatch, capsys):
    """Give a function that compares with figures that are *times* those of now; it returns the exit code and what is said."""

    def run(times, *arguments):
        monkeypatch.setattr(check, "FIGURES", tmp_path / "figures.json")
        monkeypatch.setattr(check, "counted", lambda calls_only: counted)
        check.main(["--calls", "--write"])
        (version, kept) = next(iter(json.loads(check.FIGURES.read_text(encoding="utf-8")).items()))
        check.FIGURES.write_text(json.dumps({version: {name: number * times for name, number in kept.items()}}), encoding="utf-8")
        capsys.readouterr()
        return check.main(["--calls", *arguments]), capsys.readouterr().out

    return run


def test_every_cold_path_is_counted(counted):
    """
    Each path that has a limit enters functions of the package, and an import loads so much, the same number at each time.
    """
    loaded = {f"{name}: {what}" for name in imports.STATEMENTS for what in ("rooms", "bytecode")}
    assert set(counted) == {*(f"calls, {name}" for name in cold.LIMITS), *loaded}
    assert all(number > 10 for number in counted.values())
    assert check.counted(calls_only=True) == counted


def test_what_is_no_worse_passes(compare):
    """
    The same figures, and such as are less than 3 % above, are no failure.
    """
    assert compare(1)[0] == 0
    assert compare(0.98)[0] == 0


def test_what_is_worse_fails_by_name(compare):
    """
    A figure that is more than 3 % above the one that is kept fails the check, which names it.
    """
    code, said = compare(0.9)

    assert code == 1
    assert "more than 3% above what is kept: calls, first get, " in said


def test_what_is_better_is_said(compare):
    """
    A figure that is more than 3 % below is no failure; it is said how it is kept.
    """
    code, said = compare(1.2)

    assert code == 0
    assert said.count("better: --write keeps it so") == len(cold.LIMITS) + 4


def test_figures_of_another_interpreter_are_not_compared(compare):
    """
    Where nothing was kept for this build of Python, that is said, and is no failure.
    """
    compare(1)
    check.FIGURES.write_text('{"PyPy 1": {"calls, first get": 1}}', encoding="utf-8")

    assert check.main(["--calls"]) == 0


RATIOS = {
    "get": {"by hand": 1.0, "asyncmeta": 1.5, "wireup": 2.6},
    "request": {"by hand": 1.0, "asyncmeta": 1.75, "wireup": 5.8, "svcs": 7.9},
    "chain": {"by hand": 1.0, "asyncmeta": 1.04, "wireup": 2.5},
}


def test_the_table_of_peers_begins_with_whoever_takes_least():
    """
    Each library has a line in the order of its request, a dash where it does not do a work, and what it does less.
    """
    lines = peers.table(RATIOS).splitlines()[1:]

    assert [line.split("  ")[0] for line in lines] == ["by hand", "asyncmeta", "wireup", "svcs"]
    assert lines[1].split() == ["asyncmeta", "1.50", "1.75", "1.04"]
    assert lines[3].split()[:4] == ["svcs", "-", "7.90", "-"]
    assert lines[3].endswith("no transients")


def test_the_page_of_peers_is_of_its_own():
    """
    The page shows every figure and asks nobody for anything.
    """
    text = peers.page({"unit": "instructions", "ratios": RATIOS, "circumstances": {"python": "CPython <3>"}})

    assert all(f"<td>{figure:.2f}" in text for figures in RATIOS.values() for figure in figures.values())
    assert "CPython &lt;3&gt;" in text
    assert not any(word in text for word in ("http", "src=", "href=", "<script"))


def test_peers_do_the_work_that_is_counted():
    """
    Ours is compared as the others are: on classes that count, the request makes, shares and closes what is expected.
    """
    for work, contestants in peers.works(["nobody"]).items():
        assert [who for who, _ in contestants] == ["by hand", "asyncmeta"]
        for who, contestant in contestants:
            asyncio.run(peers.same_work(work, who, contestant))


# --- where tasks share, fail and are cancelled ---

SHOWN = {
    "times_made": "1",
    "seconds_together": "0.1",
    "who_builds_is_cancelled": "the build goes on",
    "two_finalizers_fail": "all run, 2 of 2 raised",
    "closing_is_cancelled": "the rest is run",
    "a_singleton_keeps_a_scoped_value": "told at the start",
}


@pytest.mark.slow
@pytest.mark.parametrize("question", safety.QUESTIONS, ids=lambda question: question.__name__)
def test_what_is_shown_beside_other_libraries_is_so(question):
    """
    What the page of the comparison says of this library is what it does, by the program that asks the others.
    """
    assert safety.asked("asyncmeta", question) == SHOWN[question.__name__]


@pytest.mark.slow
@pytest.mark.parametrize(("library", "question", "answer"), [
    ("dishka", safety.seconds_together, "0.3"),
    ("svcs", safety.times_made, "20"),
    ("wireup", safety.closing_is_cancelled, "1 of 3 run"),
    ("dependency-injector", safety.who_builds_is_cancelled, "all are cancelled"),
])  # fmt: skip
def test_the_questions_tell_libraries_apart(library, question, answer):
    """
    Each question has another answer for somebody, so it is none that everybody passes.
    """
    if safety.installed(library) not in ("1.10.1", "26.2.0", "2.13.0", "4.49.1"):
        pytest.skip(f"the page is about another version than the {library} that is installed, or it is not installed")

    assert safety.asked(library, question) == answer
