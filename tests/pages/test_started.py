"""How the tests are started changes nothing: what a program does when it is interrupted, for one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
SUITE = """
import subprocess, sys

def test_a_child_hears():
    program = "import signal; print(signal.getsignal(signal.SIGINT), signal.pthread_sigmask(signal.SIG_BLOCK, ()))"
    print("heard:", subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout)
"""
DEAF = {
    "ignored": "signal.signal(signal.SIGINT, signal.SIG_IGN)",
    "blocked": "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})",
}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals as a shell sends them")
@pytest.mark.parametrize("how", DEAF)
def test_started_in_the_background_a_test_can_interrupt_its_programs(how, tmp_path):
    """
    Where whoever starts the tests ignores or blocks interrupts, as a shell does with ``&``, what a test starts hears them.
    """
    folder = tmp_path / "a path with spaces"
    folder.mkdir()
    for name in ("amount.py", "conftest.py"):
        (folder / name).write_text((TESTS / name).read_text(encoding="utf-8"), encoding="utf-8")
    (folder / "test_it.py").write_text(SUITE, encoding="utf-8")

    # Made deaf by a program of its own: to fork this process is left to chance, by what other tests have loaded into it.
    pytest_of = [sys.executable, "-m", "pytest", "-q", "-s", "-c", os.devnull, "--rootdir=.", "-p", "no:cacheprovider", "."]
    begun = f"import os, signal; {DEAF[how]}; os.execv({sys.executable!r}, {pytest_of!r})"
    done = subprocess.run(
        [sys.executable, "-c", begun],
        cwd=folder, env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip

    said = [line for line in done.stdout.splitlines() if "heard:" in line]
    assert len(said) == 1, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
    (heard,) = said
    assert "default_int_handler" in heard
    assert heard.endswith("set()")
