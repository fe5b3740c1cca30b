"""What an order is, and why one is refused."""

import csv
import re
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import NamedTuple

COLUMNS = ("order", "customer", "product", "quantity", "placed")
LARGEST = 9_999  #: pieces; more in one order is a slip of the pen
ADDRESS = re.compile(r"[\w.+-]+@[\w-]+(\.[\w-]+)+", re.ASCII)


class Row(NamedTuple):
    """One row of the file, as it stands there."""

    line: int  #: in the file, from 1; the header is line 1
    cells: Mapping[str, str]


class Order(NamedTuple):
    """An order that makes sense by itself; whether it can be met is not known yet."""

    number: str
    customer: str  #: a mail address
    product: str  #: a code of the catalogue
    quantity: int  #: pieces, 1 to LARGEST
    placed: date


class Refused(Exception):
    """An order is not taken. *reason* is one of a few words, *detail* tells them apart."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"


def read_rows(path: Path) -> list[Row]:
    """Read all rows of the file at *path*; raises ValueError if a column is missing."""
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file, restval="")
        missing = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
        if missing:
            raise ValueError(f"{path.name} has no column {', '.join(missing)}")
        return [Row(reader.line_num, {column: cells[column].strip() for column in COLUMNS}) for cells in reader]


def parse(row: Row) -> Order:
    """Return the order that *row* tells of, or raise Refused."""
    number, customer, product, quantity, placed = (row.cells[column] for column in COLUMNS)
    if not number:
        raise Refused("missing number", "the order has none")
    if not number.isprintable():
        raise Refused("malformed number", shown(number))
    if not customer:
        raise Refused("missing customer", "nobody to send it to")
    if not ADDRESS.fullmatch(customer):
        raise Refused("malformed customer", f"{shown(customer)} is no mail address")
    if not (quantity.isascii() and quantity.isdigit() and len(quantity) < 10 and 1 <= int(quantity) <= LARGEST):
        raise Refused("bad quantity", f"{shown(quantity)} is no whole number from 1 to {LARGEST}")
    try:
        day = date.fromisoformat(placed)
    except ValueError:
        raise Refused("malformed date", f"{shown(placed)} is no day") from None
    return Order(number, customer, product, int(quantity), day)


def shown(cell: str) -> str:
    """Return *cell* as it can be printed, whatever somebody wrote into it."""
    return repr(cell if len(cell) <= 40 else f"{cell[:40]}...")
