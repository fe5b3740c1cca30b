"""What stands in a file of texts."""

import csv
from pathlib import Path
from typing import NamedTuple

COLUMN = "text"


class Row(NamedTuple):
    """One row of the file, as it stands there."""

    line: int  #: in the file, from 1; of several, the last
    text: str
    language: str  #: known beforehand; empty if it is not


def read_rows(path: Path) -> list[Row]:
    """
    Read all rows of the file at *path*.

    Bytes that are no UTF-8 become lone surrogates: they spoil their own row, not the file.

    Raises:
        csv.Error: There is no column of texts, or the file is none of rows.
    """
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        reader = csv.DictReader(file, restval="")
        if COLUMN not in (reader.fieldnames or ()):
            raise csv.Error(f"{path.name} has no column {COLUMN}")
        return [Row(reader.line_num, cells[COLUMN], cells.get("language", "").strip()) for cells in reader]


def shown(cell: str) -> str:
    """Return *cell* as it can be printed, whatever somebody wrote into it."""
    return repr(cell if len(cell) <= 40 else f"{cell[:40]}...")
