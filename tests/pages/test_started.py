"""How the tests are started changes nothing: what a program does when it is interrupted, for one."""

import os
import signal
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


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals as a shell sends them")
@pytest.mark.parametrize("how", ["ignored", "blocked"])
def test_started_in_the_background_a_test_can_interrupt_its_programs(how, tmp_path):
    """
    Where whoever starts the tests ignores or blocks interrupts, as a shell does with ``&``, what a test starts hears them.
    """
    folder = tmp_path / "a path with spaces"
    folder.mkdir()
    (folder / "conftest.py").write_text((TESTS / "conftest.py").read_text(encoding="utf-8"), encoding="utf-8")
    (folder / "test_it.py").write_text(SUITE, encoding="utf-8")

    def deaf():
        if how == "ignored":
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        else:
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-s", "-c", os.devnull, "--rootdir=.", "-p", "no:cacheprovider", "."],
        cwd=folder, preexec_fn=deaf, capture_output=True, text=True, timeout=120,
    )  # fmt: skip

    (heard,) = [line for line in done.stdout.splitlines() if "heard:" in line]
    assert "default_int_handler" in heard
    assert heard.endswith("set()")
