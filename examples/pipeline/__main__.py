"""The command line: what to read, where to write, and what came of it."""

import argparse
import asyncio
import csv
import io
import sqlite3
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from .app import Outcome, Pipeline, ResearchPipeline, run
from .settings import Settings
from .texts import shown

MODELS: dict[str, type[Pipeline]] = {"pretrained": Pipeline, "words": ResearchPipeline}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m examples.pipeline", description="Analyse the texts of a CSV file.")
    parser.add_argument("texts", type=Path, nargs="?", default=Path(__file__).with_name("texts.csv"), help="CSV file to read")
    parser.add_argument("--database", type=Path, help="SQLite file to write (default: a new temporary one)")
    parser.add_argument("--at-once", type=positive, default=4, help="texts to analyse at the same time (default: 4)")
    parser.add_argument("--model", choices=sorted(MODELS), default="pretrained", help="who judges the language")
    options = parser.parse_args(arguments)

    database = options.database or Path(tempfile.mkdtemp(prefix="pipeline-")) / "results.sqlite3"
    try:
        outcome = asyncio.run(run(MODELS[options.model], Settings(options.texts, database, options.at_once)))
    except* (OSError, csv.Error, sqlite3.Error) as group:  # a file that cannot be read, or is not what it should be
        for message in sorted({str(error) for error in leaves(group)}):
            print(f"pipeline: {message}", file=sys.stderr)
        outcome = None
    if outcome is None:
        return 1
    if isinstance(sys.stdout, io.TextIOWrapper):  # texts in all scripts go to terminals that know only some
        sys.stdout.reconfigure(errors="backslashreplace")
    print(f"{options.texts.name} -> {database} ({options.model})\n")
    print(describe(outcome))
    return 0


def leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    """Give the exceptions of *group* that are no groups: as many as workers may fail at once."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from leaves(error)
        else:
            yield error


def positive(text: str) -> int:
    """Return the number that *text* is, if at least one text can be in work."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is less than 1")
    return number


def describe(outcome: Outcome) -> str:
    """Say what was stored, what was refused and why, how often the model was right, and how the start went."""
    languages = Counter(analysis.language for _, analysis in outcome.stored)
    moods = Counter(analysis.sentiment.mood for _, analysis in outcome.stored if analysis.sentiment)
    known = [(row, analysis) for row, analysis in outcome.stored if row.language]
    wrong = [(row, analysis) for row, analysis in known if analysis.language != row.language]
    lines = [
        f"stored   {len(outcome.stored):4}  " + ", ".join(f"{count} {language}" for language, count in languages.most_common()),
        f"English  {languages['en']:4}  " + ", ".join(f"{count} {mood}" for mood, count in sorted(moods.items())),
        f"right    {len(known) - len(wrong):4}  of {len(known)} whose language is known",
    ]
    lines += [f"    line {row.line:3}  {shown(row.text)} is {row.language}, not {analysis.language}" for row, analysis in wrong]
    lines += [f"refused  {len(outcome.refused):4}"]
    lines += [f"    line {row.line:3}  {shown(row.text)} {why}" for row, why in outcome.refused]
    return "\n".join([*lines, "", "Start", str(outcome.start)])


if __name__ == "__main__":
    sys.exit(main())
