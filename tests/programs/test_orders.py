"""The example of the orders, run as its user runs it, and the database that it leaves."""

import csv
import email
import email.policy
import os
import re
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "orders"

#: line of the shipped file -> why it is refused; all other lines are stored
REFUSED = {
    11: "unknown product",
    26: "bad quantity",
    48: "missing customer",
    67: "malformed date",
    87: "bad quantity",
    103: "duplicate number",
    106: "unknown product",
    112: "out of stock",
    129: "malformed date",
    143: "bad quantity",
    164: "missing customer",
    177: "out of stock",
    187: "bad quantity",
    207: "duplicate number",
    208: "unknown product",
    234: "malformed date",
    242: "out of stock",
    255: "bad quantity",
    272: "missing customer",
    280: "duplicate number",
    287: "unknown product",
    307: "malformed date",
    315: "bad quantity",
}


def run(*options: str | Path, temporary: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the example from the project's root; a warning (a value left open, say) fails it."""
    command = [sys.executable, "-W", "error", "-m", "examples.orders", *map(str, options)]
    environment = os.environ | {"PYTHONIOENCODING": "utf-8"} | ({"TMPDIR": str(temporary)} if temporary else {})
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, encoding="utf-8", timeout=120)


@contextmanager
def opened(database: Path) -> Iterator[sqlite3.Connection]:
    """Open the database file for reading, without the program."""
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        yield connection


def rows(path: Path = EXAMPLE / "orders.csv") -> dict[int, dict[str, str]]:
    """Return the rows of an order file by their lines."""
    with path.open(encoding="utf-8", newline="") as file:
        return dict(enumerate(csv.DictReader(file), start=2))


def shelves() -> dict[str, sqlite3.Row]:
    """Return the products as they are before the first order."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.row_factory = sqlite3.Row
        connection.executescript((EXAMPLE / "schema.sql").read_text(encoding="utf-8"))
        return {row["code"]: row for row in connection.execute("SELECT * FROM products")}


def everything(database: Path) -> list[str]:
    """Return the whole contents of a database, as text."""
    with opened(database) as connection:
        return list(connection.iterdump())


Shop = tuple[subprocess.CompletedProcess[str], Path]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """The shipped orders, taken once in production: what was printed, and the database."""
    database = tmp_path_factory.mktemp("shop") / "shop.sqlite3"
    done = run("--database", database, "--environment", "production")
    assert (done.returncode, done.stderr) == (0, "")
    return done, database


def test_every_good_order_is_stored_as_it_was_written(shop: Shop) -> None:
    """
    The orders of the database are the good rows of the file, priced by the catalogue.
    """
    price = {code: product["price"] for code, product in shelves().items()}
    expected = [
        (
            row["order"],
            row["customer"],
            row["product"],
            int(row["quantity"]),
            int(row["quantity"]) * price[row["product"]],
            row["placed"],
        )
        for line, row in rows().items()
        if line not in REFUSED
    ]

    with opened(shop[1]) as connection:
        stored = [tuple(row) for row in connection.execute("SELECT * FROM orders ORDER BY rowid")]

    assert stored == expected
    assert len(stored) > 300


def test_stock_is_less_by_what_was_stored(shop: Shop) -> None:
    """
    What left the shelves is what the stored orders say, for every product.
    """
    sold = Counter[str]()
    for line, row in rows().items():
        if line not in REFUSED:
            sold[row["product"]] += int(row["quantity"])

    with opened(shop[1]) as connection:
        left = dict(connection.execute("SELECT code, stock FROM products").fetchall())

    assert left == {code: product["stock"] - sold[code] for code, product in shelves().items()}
    assert left["STAMP"] == 0


def test_every_stored_order_is_mailed_once(shop: Shop) -> None:
    """
    The outbox holds one mail an order, all sent; the spool holds each of them as a file.
    """
    database = shop[1]
    with opened(database) as connection:
        mails = connection.execute("SELECT * FROM mails").fetchall()
        orders = dict(connection.execute("SELECT number, customer FROM orders").fetchall())

    spooled = [
        email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
        for path in sorted(database.with_suffix(".spool").iterdir())
    ]

    assert {mail["number"]: mail["recipient"] for mail in mails} == orders
    assert len(mails) == len(orders)
    assert all(mail["sent"] == 1 for mail in mails)
    assert [(mail["To"], mail["Subject"]) for mail in spooled] == [(mail["recipient"], mail["subject"]) for mail in mails]


def test_a_refused_order_is_told_and_leaves_no_trace(shop: Shop) -> None:
    """
    Each refusal is printed with its line and reason; nothing of it is in the database.

    An order that is out of stock was written before the stock was asked: only the
    rollback takes it out again, and only then can its number be used once more (A-1319).
    """
    done, database = shop
    file = rows()
    told = {int(line): why for line, why in re.findall(r"^ +line +(\d+)  \S+ +([a-z ]+):", done.stdout, re.MULTILINE)}
    stored_later = {row["order"] for line, row in file.items() if line not in REFUSED}

    contents = "\n".join(everything(database))

    assert told == REFUSED
    gone = {file[line]["order"] for line in REFUSED} - stored_later
    assert len(gone) == 19
    assert not [number for number in gone if number in contents]
    assert file[112]["order"] == file[227]["order"] == "A-1319"
    assert f"'A-1319','{file[227]['customer']}','STAMP',2," in contents


def test_totals_that_are_printed_are_those_of_the_database(shop: Shop) -> None:
    """
    The summary agrees with the database, and the start report follows it.
    """
    done, database = shop
    with opened(database) as connection:
        sums = connection.execute("SELECT count(*), sum(quantity), sum(total) FROM orders")
        orders, pieces, total = sums.fetchone()

    printed = done.stdout.splitlines()

    assert f"{database} (production)" in printed[0]
    assert printed[2:5] == [
        f"stored   {orders:4} orders, {pieces:,} pieces, {total / 100:,.2f} EUR",
        f"mailed   {orders:4}",
        f"refused  {len(REFUSED):4}",
    ]
    start = done.stdout.partition("\nStart\n")[2]
    assert "Database" in start
    assert "Catalogue" in start
    assert "Mailer" in start


def test_a_second_run_takes_no_order_twice(tmp_path: Path) -> None:
    """
    In a database that has all orders, the same file changes nothing and mails nobody.
    """
    database = tmp_path / "shop.sqlite3"
    assert run("--database", database).returncode == 0
    before = everything(database)

    again = run("--database", database)

    assert (again.returncode, again.stderr) == (0, "")
    assert everything(database) == before
    assert re.search(r"^stored +0 orders", again.stdout, re.MULTILINE)
    assert re.search(r"^mailed +0$", again.stdout, re.MULTILINE)


def test_development_spools_nothing(tmp_path: Path) -> None:
    """
    The layer decides where mails go: in development they are sent, but to the log.
    """
    database = tmp_path / "shop.sqlite3"

    done = run("--database", database, "--environment", "development")

    assert (done.returncode, done.stderr) == (0, "")
    with opened(database) as connection:
        unsent = connection.execute("SELECT count(*) FROM mails WHERE sent = 0").fetchone()[0]
    assert unsent == 0
    assert [path.name for path in tmp_path.iterdir()] == ["shop.sqlite3"]


def test_by_itself_it_makes_a_database_and_names_it(tmp_path: Path) -> None:
    """
    Without options the shipped file is read, and the new database's path is printed.
    """
    done = run(temporary=tmp_path)

    assert (done.returncode, done.stderr) == (0, "")
    named = re.match(r"orders\.csv -> (.+) \(development\)$", done.stdout, re.MULTILINE)
    assert named
    assert Path(named[1]).is_relative_to(tmp_path)
    with opened(Path(named[1])) as connection:
        assert connection.execute("SELECT count(*) FROM orders").fetchone()[0] == len(rows()) - len(REFUSED)


@pytest.mark.parametrize("contents", [None, "order,customer\nA-1,ada@example.org\n", b"\xff\xfe\x00"])
def test_a_file_that_is_none_of_orders_is_refused_in_one_line(tmp_path: Path, contents: str | bytes | None) -> None:
    """
    A file that is not there, lacks columns or is no text ends the program with a sentence.
    """
    orders = tmp_path / "orders.csv"
    if contents is not None:
        orders.write_bytes(contents if isinstance(contents, bytes) else contents.encode())

    done = run("--orders", orders, "--database", tmp_path / "shop.sqlite3")

    assert done.returncode == 1
    assert done.stderr.startswith("orders: ")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "shop.sqlite3").exists()


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    """
    What SQLite says about the file ends the program with a sentence; nothing is written to it.
    """
    database = tmp_path / "shop.sqlite3"
    database.write_text("dear diary, " * 100)

    done = run("--database", database)

    assert done.returncode == 1
    assert done.stderr == "orders: file is not a database\n"
    assert database.read_text() == "dear diary, " * 100


def test_hostile_cells_are_refused_or_stored_as_they_are(tmp_path: Path) -> None:
    """
    What stands in a cell is never a statement, a header of a mail or a path.
    """
    orders = tmp_path / "orders.csv"
    with orders.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(
            [
                ["order", "customer", "product", "quantity", "placed"],
                ["../../A-1", "ada@example.org", "PEN-F", "1", "2024-03-01"],
                ["A-2'); DROP TABLE orders; --", "ada@example.org", "PEN-F", "1", "2024-03-01"],
                ["A-3", "ada@example.org\nBcc: eve@example.org", "PEN-F", "1", "2024-03-01"],
                ["A-4", "ada@example.org", "PEN-F", "9" * 5000, "2024-03-01"],
                ["A-5", "ada@example.org", "PEN-F", "\u0661", "2024-03-01"],
                ["A-6", "ada@example.org"],
                ["A-7\nBcc: eve@example.org\x1b[31m", "ada@example.org", "PEN-F", "1", "2024-03-01"],
                ["A-8", "@", "PEN-F", "1", "2024-03-01"],
            ]
        )
    database = tmp_path / "shop.sqlite3"

    done = run("--orders", orders, "--database", database, "--environment", "production")

    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) < 200
    with opened(database) as connection:
        stored = [number for (number,) in connection.execute("SELECT number FROM orders ORDER BY number")]
    assert stored == ["../../A-1", "A-2'); DROP TABLE orders; --"]
    assert sorted(path.name for path in database.with_suffix(".spool").iterdir()) == ["000001.eml", "000002.eml"]
