"""
How many machine instructions does something take?  Counted by valgrind's cachegrind: the same on a machine that is busy.

One process sets everything up, once; for each length of run it forks a copy that does the work and ends, so that both
copies have behind them what the process had.  The difference of their counts is what the additional times took.
"""

import asyncio
import ctypes
import gc
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from .measure import ROOT, Competitor, as_installed
from .work import Graph

SHORT, LONG = 100, 600  #: times
WARM = 200  #: times, until the interpreter has specialised what it will


class Work(NamedTuple):
    """One thing that is counted, and who does it."""

    name: str
    make: Callable[[], Graph]
    competitors: Sequence[tuple[str, Competitor]]  #: the first is written by hand


def missing() -> str:
    """Return why nothing can be counted here, or ""."""
    if not sys.platform.startswith("linux"):
        return "instructions are counted on Linux only"
    return "" if shutil.which("valgrind") else "no valgrind is installed"


def count(module: str, *arguments: str, python: str = sys.executable) -> dict[str, dict[str, float]]:
    """Run ``python -m module arguments``, which calls `inside`; return the instructions for one time, by work and competitor."""
    with tempfile.TemporaryDirectory(prefix="asyncmeta-") as folder:
        command = [
            "valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null", f"--log-file={folder}/%p",
            python, "-m", module, *arguments,
        ]  # fmt: skip
        environment = os.environ | {"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(command, cwd=ROOT, env=environment, check=False, capture_output=True, encoding="utf-8")
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr}")
        counts: dict[str, dict[str, float]] = {}
        for line in done.stdout.splitlines():
            name, who, *pids = line.split("\t")
            short, long = (_instructions(Path(folder, pid)) for pid in pids)
            counts.setdefault(name, {})[who] = (long - short) / (LONG - SHORT)
        return counts


def of_process(*arguments: str) -> int:
    """Return the instructions of ``python *arguments`` from start to end, where all that it imports is compiled already."""
    with tempfile.TemporaryDirectory(prefix="asyncmeta-") as folder:
        command = [sys.executable, *arguments]
        environment = as_installed(folder) | {"PYTHONHASHSEED": "0"}
        subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)  # compiles
        log = Path(folder, "log")
        counted = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null", f"--log-file={log}"]
        subprocess.run([*counted, *command], cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)
        return _instructions(log)


def _instructions(log: Path) -> int:
    found = re.search(r"I +refs: +([\d,]+)", log.read_text(encoding="utf-8"))
    if found is None:
        raise RuntimeError(f"valgrind counted nothing:\n{log.read_text(encoding='utf-8')}")
    return int(found[1].replace(",", ""))


def inside(works: Sequence[Work]) -> None:
    """Do the works in the process that is counted, and print which copy did what."""
    loop = asyncio.new_event_loop()
    # The C library's own: what Python does after a fork would be counted, and containers refuse to work in a child.
    fork = ctypes.PyDLL(None).fork
    for work in works:
        for who, competitor in work.competitors:
            entered = competitor(work.make())
            batch = loop.run_until_complete(entered.__aenter__())
            loop.run_until_complete(batch(WARM))
            gc.collect()
            gc.freeze()
            gc.disable()
            pids = []
            for times in (SHORT, LONG):
                sys.stdout.flush()
                pid = fork()
                if pid == 0:
                    loop.run_until_complete(batch(times))
                    os._exit(0)
                _, status = os.waitpid(pid, 0)
                if status:
                    raise RuntimeError(f"{work.name}, {who}: a copy failed")
                pids.append(pid)
            gc.enable()
            gc.unfreeze()
            loop.run_until_complete(entered.__aexit__(None, None, None))
            print(work.name, who, *pids, sep="\t")
    loop.close()
