"""The figures that the whole check compares: what is worse is told, what is better is said, what is not kept is no failure."""

import json

import pytest

from benchmarks import check, cold


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
    Each path that has a limit enters functions of the package, the same number at each time.
    """
    assert set(counted) == {f"calls, {name}" for name in cold.LIMITS}
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
    assert said.count("better: --write keeps it so") == len(cold.LIMITS)


def test_figures_of_another_interpreter_are_not_compared(compare):
    """
    Where nothing was kept for this build of Python, that is said, and is no failure.
    """
    compare(1)
    check.FIGURES.write_text('{"PyPy 1": {"calls, first get": 1}}', encoding="utf-8")

    assert check.main(["--calls"]) == 0
