"""
Which branches of the package, without its integrations, does no test take?  ``python tests/branches.py``

The quick tests, and those of faults and of worker processes, are run under coverage.py, in all processes that they start.
Every branch that was not taken is named.  Less than ``fail_under`` in setup.cfg is a failure: of a hundred branches alone, and
of a hundred branches and lines, as coverage.py counts where it measures branches.  .ci/run asks this, with the extra ``test``.
"""

import json
import os
import subprocess
import sys
import tempfile
from configparser import ConfigParser
from pathlib import Path

ROOT = Path(__file__).parents[1]

#: Framework by framework the integrations are tried elsewhere; these two are about rooms that are none of them.
OF_INTEGRATIONS = ("test_hidden_marks.py", "test_pages.py")

#: Counts the memory that is used, of which coverage.py uses some itself.
COUNTS_MEMORY = "tests/guarantees/test_leaks.py"

#: Of the slow ones those that take branches which the others do not.
SLOW = ("tests/faults", "tests/workers", "tests/guarantees/test_depth.py", "tests/tools/test_pytest_plugin.py")


def quick():
    """Return the quick tests as arguments of pytest."""
    tests = ROOT / "tests"
    left_out = {"integrations", "browser", "faults", "programs", "properties"}
    folders = [one for one in sorted(tests.iterdir()) if one.name not in left_out and any(one.glob("test_*.py"))]
    files = [*folders, *sorted(tests.glob("test_*.py")), *(tests / "integrations" / name for name in OF_INTEGRATIONS)]
    return ["-m", "not slow", f"--deselect={COUNTS_MEMORY}", *(str(one.relative_to(ROOT)) for one in files)]


def coverage(folder, *arguments):
    """Run coverage.py with its data in *folder*, on any Python by the same means; return its exit code."""
    environment = {**os.environ, "COVERAGE_FILE": str(folder / "data"), "COVERAGE_CORE": "ctrace"}
    return subprocess.run([sys.executable, "-m", "coverage", *arguments], cwd=ROOT, env=environment, check=False).returncode


def missing_in(report):
    """Yield a line for each file with branches that were not taken, the most of them first."""
    for file, found in sorted(report["files"].items(), key=lambda one: -len(one[1]["missing_branches"])):
        ways = [f"{begin}->{end if end > 0 else 'end'}" for begin, end in found["missing_branches"]]
        if ways:
            yield f"{file}: {', '.join(ways)}"


def main():
    """Run the tests, say what is missing; return the exit code."""
    settings = ConfigParser()
    settings.read(ROOT / "setup.cfg")
    wanted = float(settings["coverage:report"]["fail_under"])
    with tempfile.TemporaryDirectory() as name:
        folder, failed = Path(name), 0
        for tests in (quick(), ["-m", "slow", *SLOW]):
            failed = coverage(folder, "run", "-m", "pytest", "-q", "-n", "auto", "-p", "no:cacheprovider", *tests) or failed
        coverage(folder, "combine", "-q")
        coverage(folder, "json", "-q", "--fail-under=0", "-o", str(folder / "report.json"))
        report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    for line in missing_in(report):
        print(line)
    totals = report["totals"]
    share = 100 * totals["covered_branches"] / totals["num_branches"]
    print(f"{totals['covered_branches']} of {totals['num_branches']} branches are taken, {share:.2f} %; {wanted:g} % are wanted")
    print(f"branches and lines: {totals['percent_covered']:.2f} %; {wanted:g} % are wanted")
    if failed:  # they were run before, without a tracer: what fails only beside one says nothing of the program
        print("some of these tests fail under the tracer")
    return int(min(share, totals["percent_covered"]) < wanted)


if __name__ == "__main__":
    sys.exit(main())
