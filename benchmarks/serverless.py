"""
What does a process cost that imports, makes a container of 50 registrations, serves one request and ends?

    python -m benchmarks.serverless --instructions        count both, by valgrind
"""

import subprocess
import sys
import tempfile
from statistics import median
from time import perf_counter

from .instructions import of_process
from .measure import ROOT, Row, Scenario, as_installed, spread
from .process import WHO

PROCESSES = 15  #: of each, in turns


def seconds(who: str, compiled: str) -> float:
    """Return how long one process takes, from its start to its end."""
    start = perf_counter()
    subprocess.run([sys.executable, "-m", "benchmarks.process", who], cwd=ROOT, env=as_installed(compiled), check=True)
    return perf_counter() - start


def measure(rounds: int) -> list[Row]:
    """Start processes of each in turns."""
    with tempfile.TemporaryDirectory() as compiled:
        for who in WHO:
            seconds(who, compiled)  # what is compiled is written
        times = [(seconds("by-hand", compiled), seconds("asyncmeta", compiled)) for _ in range(min(rounds, PROCESSES))]
    hand, ours = zip(*times, strict=True)
    ratios = [mine / base for base, mine in times]
    name = "process: import, 50 registrations, a request"
    return [Row(name, min(ours) / min(hand), "x", None, median(ratios), spread(ratios), min(hand), min(ours))]


SCENARIOS = (
    Scenario(
        "serverless",
        "What does a process cost that imports, makes a container of 50 registrations, serves one request and ends?",
        measure,
    ),
)

if __name__ == "__main__":
    if sys.argv[1:] != ["--instructions"]:
        sys.exit("python -m benchmarks.serverless --instructions; for time, python -m benchmarks.run serverless")
    by = {who: of_process("-m", "benchmarks.process", who) for who in WHO}
    print(*(f"{who:10} {number / 1e6:8.1f} million instructions" for who, number in by.items()), sep="\n")
    print(f"{by['asyncmeta'] / by['by-hand']:.2f} x")
