"""The example of the bookshop, asked in this process, and the database that it leaves."""

import asyncio
import gc
import os
import re
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
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

import httpx
from fastapi import FastAPI
from PIL import Image
from serving import serving
from sqlalchemy import event, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncSession

from asyncmeta import Container, FinalizationErrors, Observer
from examples.bookshop.__main__ import main, order_once
from examples.bookshop.app import Bookshop
from examples.bookshop.cache import Clock
from examples.bookshop.chores import Chores
from examples.bookshop.database import BOOKS, STOCK, Book, Main, Replica
from examples.bookshop.inprocess import client_of
from examples.bookshop.printing import Clerk
from examples.bookshop.rates import Rates
from examples.bookshop.settings import Settings
from examples.bookshop.web import make_app

from . import STRICT, reads_the_word_list

ROOT = Path(__file__).parents[2]
WISH = {"book": "GEB", "quantity": "2", "customer": "ada@example.org"}


@pytest.fixture
def database(tmp_path):
    return tmp_path / "shop.sqlite3"


@pytest.fixture
def container(database):
    return Container(Bookshop, overrides={Settings: Settings(database_url=f"sqlite:///{database}")})


@pytest.fixture
async def client(container):
    async with client_of(make_app(container)) as found:
        yield found


def rows(database, sql):
    """Ask the database file itself, without the program."""
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
        return connection.execute(sql).fetchall()


def everything(database):
    """Return what is in the database, in a form that can be compared."""
    return dict(rows(database, "SELECT code, stock FROM books")), sorted(rows(database, "SELECT * FROM orders"))


def untouched(database):
    return everything(database) == ({book["code"]: STOCK for book in BOOKS}, [])


class StoppedClock(Clock):
    """Stands still until it is put forward."""

    def __init__(self):
        self.time = datetime(2024, 2, 29, 12, tzinfo=UTC)

    def now(self):
        return self.time


@asynccontextmanager
async def rates_from(container, answer):
    """Let *answer* stand for the service of the rates."""
    async with (
        httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://rates") as fake,
        container.override({httpx.AsyncClient: fake}, everywhere=True),
    ):
        yield


# --- the command ---


def test_one_order_from_the_command_line():
    """
    With --once one order is placed, printed and gone from the stock, and nothing warns of anything left open.
    """
    environment = os.environ | {"PYTHONIOENCODING": "utf-8", "DATABASE_URL": "", "REDIS_URL": "", "RATES_URL": ""}
    command = [sys.executable, *STRICT, "-m", "examples.bookshop", "--once"]

    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, encoding="utf-8", timeout=120)

    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"^number +[0-9a-f]{32}$", done.stdout, re.MULTILINE)
    assert re.search(r"^total +995$", done.stdout, re.MULTILINE)
    assert done.stdout.endswith(f": {STOCK - 1} left\n")


@reads_the_word_list
def test_the_database_is_where_the_environment_says(monkeypatch, database):
    """
    DATABASE_URL names the file; a second order finds what the first one left.
    """
    for setting, value in {"DATABASE_URL": f"sqlite:///{database}", "REDIS_URL": "", "RATES_URL": ""}.items():
        monkeypatch.setenv(setting, value)
    codes = [main(["--once"]) for _ in range(2)]

    assert codes == [0, 0]
    assert rows(database, "SELECT code, stock FROM books WHERE stock < 20") == [("ALICE", STOCK - 2)]
    assert rows(database, "SELECT count(*) FROM orders") == [(2,)]


@reads_the_word_list
@pytest.mark.filterwarnings("ignore:unclosed database:ResourceWarning")  # of sqlite3, where there is no such folder
@pytest.mark.parametrize(
    ("name", "url", "told"),
    [
        ("DATABASE_URL", "sqlite:////no/such/folder/shop.sqlite3", "unable to open"),
        ("DATABASE_URL", "postgresql://127.0.0.1:9/shop", "127.0.0.1"),
        ("DATABASE_URL", "mysql://127.0.0.1:9/shop", "not of mysql"),
        ("DATABASE_URL", "shop", "URL"),
        ("REDIS_URL", "shop", "Redis URL"),
    ],
)
def test_a_setting_that_leads_nowhere_is_told_in_a_sentence(monkeypatch, capsys, name, url, told):
    """
    Where the start fails the program says why, without a traceback.
    """
    for setting, value in {"DATABASE_URL": "", "REDIS_URL": "", "RATES_URL": "", name: url}.items():
        monkeypatch.setenv(setting, value)

    code = main(["--once"])
    gc.collect()  # before other tests are warned of what is unclosed

    said = capsys.readouterr().err
    assert code == 1
    assert said.startswith("bookshop: ") and told in said
    assert "Traceback" not in said


async def test_nothing_is_left_to_order(container, capsys):
    """
    When all books are sold, that is what the program says, of an application that is started again.
    """
    app = make_app(container)
    async with client_of(app) as client:
        for book in BOOKS:
            await client.post("/api/orders", json=WISH | {"book": book["code"], "quantity": STOCK})

    assert await order_once(app) == 1
    assert capsys.readouterr().err == "bookshop: all books are sold\n"


# --- orders ---


async def test_an_order_from_the_form_is_kept_and_shown(client, database):
    """
    The form leads to the order's own page; the stock is less by what was ordered, and the total is in cents.
    """
    answer = await client.post("/orders", data=WISH)
    page = await client.get(answer.headers["location"])

    assert answer.status_code == 303
    assert "2 of GEB for ada@example.org: 57.98 EUR" in page.text
    stock, orders = everything(database)
    assert stock["GEB"] == STOCK - 2
    assert [order[1:5] for order in orders] == [("GEB", 2, "ada@example.org", 5798)]
    assert answer.headers["location"] == f"/orders/{orders[0][0]}"


async def test_an_order_by_a_program_is_the_same(client, database):
    """
    The API answers with the order as it is stored.
    """
    answer = await client.post("/api/orders", json=WISH | {"quantity": 3})

    assert answer.status_code == 201
    assert [tuple(answer.json().values())] == everything(database)[1]
    assert (await client.get("/api/books")).json()[2] == BOOKS[1] | {"stock": STOCK - 3}


BAD = {
    "no quantity": ({"quantity": None}, 422, "quantity"),
    "none": ({"quantity": "0"}, 422, "quantity"),
    "fewer than none": ({"quantity": "-1"}, 422, "quantity"),
    "too many for anybody": ({"quantity": "100"}, 422, "quantity"),
    "half a book": ({"quantity": "1.5"}, 422, "quantity"),
    "a long number": ({"quantity": "9" * 5000}, 422, "quantity"),
    "no mail address": ({"customer": "ada"}, 422, "customer"),
    "a second line": ({"customer": "ada@example.org\nBcc: eve@example.org"}, 422, "customer"),
    "a line's end": ({"customer": "ada@example.org\n"}, 422, "customer"),
    "a long address": ({"customer": "a" * 250 + "@example.org"}, 422, "customer"),
    "a zero byte": ({"book": "GE\0B"}, 422, "book"),
    "a statement": ({"book": "GEB'; DROP TABLE books; --"}, 422, "book"),
    "more than is asked for": ({"total": "1"}, 422, "total"),
    "an unknown book": ({"book": "NOBOOK"}, 404, "there is no book NOBOOK"),
    "more than there are": ({"quantity": "21"}, 409, "only 20 of GEB are left"),
}


@pytest.mark.parametrize(("change", "status", "told"), BAD.values(), ids=BAD)
async def test_a_bad_order_is_told_why_and_leaves_no_trace(client, database, change, status, told):
    """
    A page for people, JSON for programs, both with the reason and the right status; nothing is written.
    """
    wish = {name: value for name, value in (WISH | change).items() if value is not None}

    page = await client.post("/orders", data=wish)
    answer = await client.post("/api/orders", json=wish)

    assert (page.status_code, answer.status_code) == (status, status)
    assert page.headers["content-type"].startswith("text/html")
    assert "Nothing was ordered" in page.text
    assert told in page.text
    assert told in answer.json()["detail"][0]
    assert untouched(database)


async def test_what_is_no_form_is_refused(client, database):
    """
    Bodies of other kinds, files and broken JSON are answered with a reason, not with a failure of ours.
    """
    answers = [
        await client.post("/orders", content=b"\xff\xfe", headers={"content-type": "application/x-www-form-urlencoded"}),
        await client.post("/orders", json=WISH),
        await client.post("/orders", files={"book": ("book", b"GEB")}, data={"quantity": "1", "customer": "ada@example.org"}),
        await client.post("/orders", content=b"--x", headers={"content-type": "multipart/form-data; boundary=y"}),
        await client.post("/api/orders", content=b"{", headers={"content-type": "application/json"}),
        await client.post("/api/orders", json=[WISH]),
        await client.get("/?currency=BTC"),
    ]

    assert [400 <= answer.status_code < 500 for answer in answers] == [True] * 7
    assert untouched(database)


async def test_orders_that_are_not_there(client):
    """
    A number that nobody was given is not found, whatever stands in it.
    """
    statuses = [(await client.get(f"/orders/{number}")).status_code for number in ("0" * 32, "x", "%00", "%3Cb%3E", "a" * 5000)]

    assert statuses == [404] * 5


async def test_the_last_book_is_sold_once(client, database):
    """
    Of orders that come at the same time as many are taken as there are books, and the others are told.
    """
    answers = await asyncio.gather(*(client.post("/api/orders", json=WISH | {"quantity": 3}) for _ in range(30)))

    assert Counter(answer.status_code for answer in answers) == {201: 6, 409: 24}
    stock, orders = everything(database)
    assert stock["GEB"] == 2
    assert sorted(order[0] for order in orders) == sorted(one.json()["number"] for one in answers if one.status_code == 201)


# --- transactions ---


class BrokenClock(Clock):
    def now(self):
        raise OSError("no time")


async def test_a_handler_that_fails_is_rolled_back(container, client, database):
    """
    What was taken off the shelf before a failure is there again after it, and the next order is taken.
    """
    async with container.override({Clock: BrokenClock()}, everywhere=True):
        with pytest.raises(OSError, match="no time"):
            await client.post("/orders", data=WISH)
    after_failure = untouched(database)

    again = await client.post("/orders", data=WISH)

    assert after_failure
    assert again.status_code == 303


async def test_no_success_is_told_that_could_not_be_committed(container, client, database):
    """
    The session is committed before the response is sent: where that fails, so does the request.
    """

    def broken(connection):
        raise OSError("the disk is full")

    engine = await (await container.get(Main)).engine
    event.listen(engine.sync_engine, "commit", broken)
    with pytest.raises(FinalizationErrors) as caught:
        await client.post("/orders", data=WISH)
    event.remove(engine.sync_engine, "commit", broken)

    assert [str(error) for error in caught.value.exceptions] == ["the disk is full"]
    assert untouched(database)
    assert engine.pool.checkedout() == 0


async def test_a_request_has_one_session_which_ends_with_it(container, client):
    """
    Each request that needs a session has one, ended once, whether it is answered well or not; so has each of two chores.
    """
    ended = Counter()

    class Watch(Observer):
        def build_end(self, event):
            ended[event.key, "begun"] += 1

        def finalize_end(self, event):
            ended[event.key, "ended"] += 1

        def finalize_failed(self, event):
            ended[event.key, "failed"] += 1

    with container.observe(Watch()):
        await client.get("/")
        await client.post("/orders", data=WISH)
        await client.post("/orders", data=WISH | {"book": "NOBOOK"})
        await client.get("/start")

    assert {what: count for (key, what), count in ended.items() if key == "AsyncSession"} == {"begun": 5, "ended": 5}
    assert (await (await container.get(Main)).engine).pool.checkedout() == 0


# --- the replica ---


async def test_bestsellers_are_what_most_was_ordered_of(client):
    """
    Three at most, the first in front; nothing that nobody ordered.
    """
    before = await client.get("/api/bestsellers")
    for book, quantity in (("GEB", 2), ("SICP", 1), ("ALICE", 5), ("GEB", 2), ("MOBY", 1)):
        await client.post("/api/orders", json=WISH | {"book": book, "quantity": quantity})
    after = await client.get("/api/bestsellers")

    assert before.json() == []
    assert [(one["code"], one["sold"]) for one in after.json()] == [("ALICE", 5), ("GEB", 4), ("MOBY", 1)]


async def test_a_replica_has_an_address_and_an_engine_of_its_own(database, tmp_path):
    """
    Orders go to the shop's database, and what sells best is asked of the copy, which knows of none since it was made.
    """
    copy = tmp_path / "copy.sqlite3"
    settings = Settings(database_url=f"sqlite:///{database}", replica_url=f"sqlite:///{copy}")
    async with client_of(make_app(Container(Bookshop, overrides={Settings: settings}))) as client:
        await client.post("/api/orders", json=WISH)
        with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
        await client.post("/api/orders", json=WISH | {"book": "ALICE", "quantity": "9"})
        found = (await client.get("/api/bestsellers")).json()
        health = (await client.get("/health")).json()

    assert [one["code"] for one in found] == ["GEB"]
    assert rows(database, "SELECT count(*) FROM orders") == [(2,)]
    assert Counter(one["state"] for one in health["entries"]) == {"ok": 3}


async def test_a_replica_is_not_written(container):
    """
    Whoever tries is refused by the database itself; the shop's own engine writes on.
    """
    async with container:
        main, replica = await (await container.get(Main)).engine, await (await container.get(Replica)).engine
        async with replica.connect() as connection:
            with pytest.raises(OperationalError, match="readonly"):
                await connection.execute(update(Book).values(stock=0))
        async with main.begin() as connection:
            written = await connection.execute(update(Book).values(stock=1))

    assert main is not replica
    assert written.rowcount == len(BOOKS)


async def test_a_replica_closes_before_the_database_that_it_reads():
    """
    By itself both are one file that goes with the program: who came last lets go of it first.
    """
    order = []
    container = Container(Bookshop, overrides={Settings: Settings()})

    async with container:
        main, replica = await (await container.get(Main)).engine, await (await container.get(Replica)).engine
        file = Path(main.url.database)
        for name, engine in (("main", main), ("replica", replica)):
            event.listen(engine.sync_engine, "engine_disposed", lambda _, name=name: order.append((name, file.exists())))

    assert replica.url == main.url
    assert order == [("replica", True), ("main", True)]
    assert not await asyncio.to_thread(file.exists)


# --- what others answer ---


async def test_a_test_brings_its_own_clock(container, client):
    """
    An overridden clock is what an order is dated by.
    """
    async with container.override({Clock: StoppedClock()}, everywhere=True):
        answer = await client.post("/api/orders", json=WISH)

    assert answer.json()["placed"] == "2024-02-29T12:00:00+00:00"


async def test_prices_in_another_currency(container, client):
    """
    The page shows prices by the rate that the service answers, rounded to cents; a program sees what is charged.
    """

    def answer(request):
        assert str(request.url) == "http://rates/latest?base=EUR"
        return httpx.Response(200, text='{"rates": {"USD": 1.00345, "GBP": 1}}')

    async with rates_from(container, answer):
        dollars, pounds = await client.get("/?currency=USD"), await client.get("/?currency=GBP")

    assert re.findall(r'price">([\d.,]+)', dollars.text) == ["9.98", "8.53", "29.09", "12.94", "64.72"]
    assert re.findall(r'price">([\d.,]+)', pounds.text) == ["9.95", "8.50", "28.99", "12.90", "64.50"]
    assert (await client.get("/api/books")).json()[0]["price"] == 995


BROKEN = {
    "a failure": lambda request: httpx.Response(503),
    "no JSON": lambda request: httpx.Response(200, text="<h1>welcome</h1>"),
    "no table": lambda request: httpx.Response(200, text="[]"),
    "no rate": lambda request: httpx.Response(200, json={"rates": {}}),
    "a text": lambda request: httpx.Response(200, json={"rates": {"USD": "much"}}),
    "not a number": lambda request: httpx.Response(200, text='{"rates": {"USD": NaN}}'),
    "nothing": lambda request: httpx.Response(200, json={"rates": {"USD": 0}}),
    "too much": lambda request: httpx.Response(200, text='{"rates": {"USD": 1e999999}}'),
}


@pytest.mark.parametrize("answer", BROKEN.values(), ids=BROKEN)
async def test_without_rates_prices_are_in_euros(container, client, answer):
    """
    Where the service of the rates fails the shop goes on, and says what it cannot tell.
    """
    async with rates_from(container, answer):
        page = await client.get("/?currency=USD")

    assert page.status_code == 200
    assert "What a euro is in USD cannot be told" in page.text
    assert re.findall(r'price">([\d.,]+)', page.text)[0] == "9.95"


@pytest.mark.parametrize(("status", "seconds"), [(200, 600), (503, 15)])
async def test_rates_are_asked_for_again_when_they_are_old(container, client, status, seconds):
    """
    Many pages at once ask one question; its answer is good for ten minutes, and its lack for some seconds.
    """
    asked = []
    clock = StoppedClock()

    async def answer(request):
        asked.append(request)
        await asyncio.sleep(0)
        return httpx.Response(status, json={"rates": {"USD": 2}})

    async with container.override({Clock: clock}, everywhere=True), rates_from(container, answer):
        await asyncio.gather(*(client.get("/?currency=USD") for _ in range(5)))
        at_once = len(asked)
        clock.time += timedelta(seconds=seconds - 1)
        await client.get("/?currency=USD")
        early = len(asked)
        clock.time += timedelta(seconds=1)
        await client.get("/?currency=USD")

    assert (at_once, early, len(asked)) == (1, 1, 2)


async def test_the_rates_of_a_real_service(tmp_path):
    """
    With RATES_URL the client goes there, over a socket.
    """
    service = FastAPI()

    @service.get("/v1/latest")
    def latest(base: str) -> dict[str, dict[str, float]]:
        return {"rates": {"SEK": 10.0 if base == "EUR" else 1.0}}

    with serving(service) as server:
        settings = Settings(database_url=f"sqlite:///{tmp_path / 'shop.sqlite3'}", rates_url=f"{server.address}/v1")
        async with Container(Bookshop, overrides={Settings: settings}) as container:
            rate = await (await container.get(Rates)).of("SEK")

    assert rate == 10


# --- pages ---


async def test_whatever_stands_in_a_book_or_a_request_is_text(container, client):
    """
    Markup in a title, in a field's name or in an address is shown as it was written.
    """
    hostile = "<script>alert(1)</script>"
    async with container.request(AsyncSession) as session:
        (await session.get(Book, "GEB")).title = hostile

    pages = [await client.get("/"), await client.post("/orders", data=WISH | {hostile: "1"})]

    for page in pages:
        assert hostile not in page.text
        assert "&lt;script&gt;" in page.text


async def test_health_is_what_the_database_and_the_cache_say(client):
    """
    The page of the health asks all of them, says which database is which, and is good where all are.
    """
    answer = await client.get("/health")

    assert answer.status_code == 200
    assert {one["key"] for one in answer.json()["entries"]} == {"AsyncEngine of Main", "AsyncEngine of Replica", "Cache"}


async def test_a_cache_that_is_away_costs_health_and_nothing_else(database, unused_tcp_port_factory):
    """
    Without its redis the shop shows prices and takes orders, and its health tells.
    """
    settings = Settings(database_url=f"sqlite:///{database}", redis_url=f"redis://127.0.0.1:{unused_tcp_port_factory()}")
    async with client_of(make_app(Container(Bookshop, overrides={Settings: settings}))) as client:
        page, order, health = (
            await client.get("/?currency=USD"),
            await client.post("/orders", data=WISH),
            await client.get("/health"),
        )

    assert "9.95" not in page.text
    assert "10.95" in page.text
    assert order.status_code == 303
    assert health.status_code == 503
    assert [one["state"] for one in health.json()["entries"] if one["key"] == "Cache"] == ["failed"]


async def test_the_start_report_is_a_page(client):
    """
    What took how long at the start can be looked at.
    """
    answer = await client.get("/start")

    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert "AsyncEngine" in answer.text
    assert "Cache" in answer.text


async def test_programs_are_told_what_they_may_ask(client):
    """
    The API's description has the wish's fields with their limits, and nothing that is injected.
    """
    described = (await client.get("/openapi.json")).json()

    assert list(described["paths"]) == ["/api/books", "/api/orders", "/api/bestsellers"]
    assert "parameters" not in described["paths"]["/api/books"]["get"]
    wish = described["components"]["schemas"]["Wish"]
    assert (wish["properties"]["quantity"]["minimum"], wish["properties"]["quantity"]["maximum"]) == (1, 99)
    assert sorted(wish["properties"]) == sorted(wish["required"]) == ["book", "customer", "quantity"]


async def test_the_container_closes_with_the_application(container, database):
    """
    After the shutdown no connection is open, and a start that fails is told as it is.
    """
    async with client_of(make_app(container)):
        engine = await (await container.get(Main)).engine
    broken = Container(Bookshop, overrides={Settings: Settings(database_url=f"sqlite:///{database}/no/folder.sqlite3")})

    assert container.closed
    assert engine.pool.checkedin() == 0
    with pytest.raises(ExceptionGroup, match="unhandled") as caught:
        async with client_of(make_app(broken)):
            assert False
    assert "unable to open database file" in str(caught.value.exceptions[0])


# --- what follows an order ---------------------------------------------------------------------------------


@pytest.fixture
def outbox(tmp_path):
    return tmp_path / "outbox"


@pytest.fixture
def posting(database, outbox):
    """A container whose outbox can be looked into."""
    return Container(Bookshop, overrides={Settings: Settings(database_url=f"sqlite:///{database}", outbox=str(outbox))})


async def test_order_is_followed_by_a_receipt_and_a_thumbnail(posting, outbox):
    """
    Both lie there when the order is answered: without workers the process itself does it.
    """
    async with client_of(make_app(posting)) as client:
        order = (await client.post("/api/orders", json=WISH | {"quantity": 2})).json()

    mail = message_from_bytes((outbox / f"{order['number']}.eml").read_bytes(), policy=policy.default)
    assert (mail["To"], mail["Subject"]) == ("ada@example.org", f"Your order {order['number'][:8]}")
    assert "2 of GEB: 57.98 EUR" in mail.get_content()
    with Image.open(outbox / "GEB.png") as picture:
        assert (picture.format, picture.size) == ("PNG", (160, 240))
        assert len(picture.getcolors(100_000)) > 10  # something is drawn
    assert sorted(file.suffix for file in outbox.iterdir()) == [".eml", ".png"]


async def test_refused_order_is_followed_by_nothing(posting, outbox):
    """
    What was not written down is not confirmed.
    """
    async with client_of(make_app(posting)) as client:
        await client.post("/api/orders", json=WISH | {"quantity": 2, "book": "NOBOOK"})

    assert list(outbox.iterdir()) == []


async def test_order_stands_where_what_follows_it_fails(posting, database, caplog):
    """
    A full disk at the outbox is told to the log, and not to the customer.
    """

    class Broken:
        async def receipt(self, number):
            raise OSError("the disk is full")

        thumbnail = receipt

    async with client_of(make_app(posting)) as client:
        with posting.override({Chores: Broken()}, everywhere=True):
            answer = await client.post("/api/orders", json=WISH | {"quantity": 2})

    assert answer.status_code == 201
    assert rows(database, "SELECT count(*) FROM orders") == [(1,)]
    assert caplog.text.count("OSError: the disk is full") == 2


async def test_chore_that_is_told_twice_is_done_once(posting, outbox):
    """
    A worker that dies after it was done leaves nobody who says so.
    """
    async with client_of(make_app(posting)) as client:
        order = (await client.post("/api/orders", json=WISH | {"quantity": 2})).json()
        before = {file.name: file.read_bytes() for file in outbox.iterdir()}
        drawn = (outbox / "GEB.png").stat().st_mtime_ns
        async with posting.request(Clerk) as clerk:
            await clerk.receipt(order["number"])
            await clerk.thumbnail("GEB")

    assert {file.name: file.read_bytes() for file in outbox.iterdir()} == before
    assert (outbox / "GEB.png").stat().st_mtime_ns == drawn


async def test_thumbnail_is_drawn_in_a_thread(posting, monkeypatch):
    """
    The loop goes on while a picture is made.
    """
    threads = []
    resize = Image.Image.resize

    def noted(picture, *args):
        threads.append(threading.get_ident())
        return resize(picture, *args)

    monkeypatch.setattr(Image.Image, "resize", noted)
    async with posting, posting.request(Clerk) as clerk:
        await clerk.thumbnail("MOBY")

    assert len(threads) == 1
    assert threads[0] != threading.get_ident()


def test_workers_need_redis(capsys, monkeypatch):
    """
    What is to be done has to go through something.
    """
    monkeypatch.delenv("REDIS_URL", raising=False)

    with pytest.raises(SystemExit):
        main(["--workers", "2"])

    assert "REDIS_URL" in capsys.readouterr().err
