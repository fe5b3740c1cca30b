"""The command line: what to read, where to write, and what came of it."""

import argparse
import asyncio
import sqlite3
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from .app import ENVIRONMENTS, Outcome, run
from .orders import shown
from .settings import Settings


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m examples.orders", description="Take orders from a CSV file.")
    parser.add_argument("--orders", type=Path, default=Path(__file__).with_name("orders.csv"), help="CSV file to read")
    parser.add_argument("--database", type=Path, help="SQLite file to write (default: a new temporary one)")
    parser.add_argument("--environment", choices=sorted(ENVIRONMENTS), default="development")
    options = parser.parse_args(arguments)

    database = options.database or Path(tempfile.mkdtemp(prefix="orders-")) / "orders.sqlite3"
    settings = Settings(options.orders, database, spool=database.with_suffix(".spool"))
    try:
        outcome = asyncio.run(run(ENVIRONMENTS[options.environment], settings))
    except (OSError, ValueError, sqlite3.Error) as error:  # a file that cannot be read, or is not what it should be
        print(f"orders: {error}", file=sys.stderr)
        return 1
    print(f"{settings.orders.name} -> {settings.database} ({options.environment})\n")
    print(describe(outcome))
    return 0


def describe(outcome: Outcome) -> str:
    """Say what was stored, what was refused and why, and how the start went."""
    pieces = sum(stored.order.quantity for stored in outcome.stored)
    total = sum(stored.total for stored in outcome.stored)
    lines = [
        f"stored   {len(outcome.stored):4} orders, {pieces:,} pieces, {total / 100:,.2f} EUR",
        f"mailed   {outcome.sent:4}",
        f"refused  {len(outcome.refused):4}",
    ]
    lines += [f"    line {row.line:3}  {shown(row.cells['order']):8}  {why}" for row, why in outcome.refused]
    return "\n".join([*lines, "", "Start", str(outcome.start)])


if __name__ == "__main__":
    sys.exit(main())
