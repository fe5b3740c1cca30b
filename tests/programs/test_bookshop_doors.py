"""The other doors of the bookshop: Starlette, an MCP server, a Typer command, and the models beside it."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

pytest.importorskip("aiosqlite")
pytest.importorskip("asyncpg")
pytest.importorskip("fastapi")
pytest.importorskip("greenlet")
pytest.importorskip("httpx")
pytest.importorskip("jinja2")
pytest.importorskip("PIL")
pytest.importorskip("python_multipart")
pytest.importorskip("redis")
pytest.importorskip("sqlalchemy")
pytest.importorskip("uvicorn")

from asyncmeta import Container
from examples.bookshop.app import Bookshop
from examples.bookshop.database import BOOKS, STOCK
from examples.bookshop.inprocess import client_of
from examples.bookshop.settings import Settings

from . import reads_the_word_list

ROOT = Path(__file__).parents[2]
WISH = {"book": "GEB", "quantity": 2, "customer": "ada@example.org"}


@pytest.fixture
def database(tmp_path):
    return tmp_path / "shop.sqlite3"


@pytest.fixture
def overrides(database):
    return {Settings: Settings(database_url=f"sqlite:///{database}")}


def kept(database):
    """Return how many of the book are left, and the orders."""
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
        (left,) = connection.execute("SELECT stock FROM books WHERE code = 'GEB'").fetchone()
        return left, connection.execute("SELECT number, book, quantity, customer, total FROM orders").fetchall()


async def test_orders_through_starlette(database, overrides):
    """
    Behind Starlette a wish is met or refused by the same services, with a session for each request.
    """
    from examples.bookshop.starlette_door import make_app

    async with client_of(make_app(Container(Bookshop, overrides=overrides))) as client:
        placed = await client.post("/orders", json=WISH)
        refused = [await client.post("/orders", content=body) for body in (b"{", b'{"book": "GEB"}')]
        refused += [await client.post("/orders", json=WISH | bad) for bad in ({"quantity": 99}, {"book": "NOBOOK"})]
        books = (await client.get("/books")).json()

    assert placed.status_code == 201
    assert [answer.status_code for answer in refused] == [422, 422, 409, 404]
    assert books[2] == BOOKS[1] | {"stock": STOCK - 2}
    assert kept(database) == (STOCK - 2, [(placed.json()["number"], *WISH.values(), 5798)])


async def test_orders_by_an_agent(database, overrides):
    """
    An agent sees two tools without anything that is injected; a wish that is refused leaves no trace.
    """
    client = pytest.importorskip("mcp.client.client", reason="needs mcp 2")
    from examples.bookshop.mcp_door import make_server

    async with client.Client(make_server(Container(Bookshop, overrides=overrides))) as agent:
        tools = {tool.name: list(tool.input_schema["properties"]) for tool in (await agent.list_tools()).tools}
        placed = await agent.call_tool("order_book", {"wish": WISH})
        bad = ({"quantity": 99}, {"quantity": 0}, {"book": "NOBOOK"})
        refused = [await agent.call_tool("order_book", {"wish": WISH | one}) for one in bad]
        books = await agent.call_tool("list_books", {})

    assert tools == {"list_books": [], "order_book": ["wish"]}
    assert not placed.is_error
    assert [answer.is_error for answer in refused] == [True, True, True]
    for answer, told in zip(refused, ("only 18 of GEB are left", "wish.quantity", "there is no book NOBOOK"), strict=True):
        assert told in answer.content[0].text
    assert books.structured_content["result"][2]["stock"] == STOCK - 2
    assert kept(database) == (STOCK - 2, [(placed.structured_content["number"], *WISH.values(), 5798)])


def test_orders_from_a_terminal(database, overrides):
    """
    A command prints the number of an order that is there, and what is wrong with one that is not.
    """
    testing = pytest.importorskip("typer.testing")
    from examples.bookshop.command import app

    def run(*arguments):
        environment = {"NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "200"}
        return testing.CliRunner().invoke(app, [*arguments], obj=Container(Bookshop, overrides=overrides), env=environment)

    placed = run("order", "GEB", "ada@example.org", "--quantity", "2")
    refused = run("order", "GEB", "ada@example.org", "--quantity", "99"), run("order", "GEB", "ada")
    books, bestsellers = run("books"), run("bestsellers")

    (number, *_) = kept(database)[1][0]
    assert placed.output == f"{number}: 2 of GEB, 57.98 EUR\n"
    assert [done.exit_code for done in refused] == [2, 2]
    assert "only 18 of GEB are left" in refused[0].output
    assert "customer" in refused[1].output
    assert "GEB     18   28.99 EUR  Gödel, Escher, Bach, Hofstadter\n" in books.output
    assert bestsellers.output == "  2 GEB    Gödel, Escher, Bach\n"
    assert kept(database) == (STOCK - 2, [(number, *WISH.values(), 5798)])


@pytest.mark.parametrize("door", [["command", "books"], ["mcp_door"]], ids=lambda door: door[0])
def test_doors_open_by_themselves(door):
    """
    Each is a program: it runs, ends when there is nothing more to do, and warns of nothing that was left open.
    """
    pytest.importorskip({"command": "typer", "mcp_door": "mcp.server.mcpserver"}[door[0]])
    environment = os.environ | {"PYTHONIOENCODING": "utf-8", "DATABASE_URL": "", "REDIS_URL": "", "RATES_URL": ""}
    command = [sys.executable, "-W", "error::ResourceWarning", "-m", f"examples.bookshop.{door[0]}", *door[1:]]

    done = subprocess.run(command, cwd=ROOT, env=environment, input="", capture_output=True, encoding="utf-8", timeout=60)

    assert (done.returncode, done.stderr) == (0, "")


@reads_the_word_list
async def test_reviews_are_judged_by_the_pipeline(overrides):
    """
    With the pipeline's layers among its bases the shop says in which language a review is and how it sounds.
    """
    pytest.importorskip("py3langid")
    pytest.importorskip("vaderSentiment")
    from examples.bookshop.reviews import ReviewedBookshop, make_app

    async with client_of(make_app(Container(ReviewedBookshop, overrides=overrides))) as client:
        english, german, empty = [
            await client.post("/api/reviews", json={"text": text})
            for text in ("A wonderful book, I love it!", "Das Buch hat mir leider gar nicht gefallen.", " ")
        ]
        books = await client.get("/api/books")

    assert (english.json()["language"], english.json()["sentiment"]["mood"]) == ("en", "positive")
    assert (german.json()["language"], german.json()["sentiment"]) == ("de", None)
    assert (empty.status_code, empty.json()) == (422, {"detail": ["empty: nothing to read"]})
    assert len(books.json()) == len(BOOKS)
