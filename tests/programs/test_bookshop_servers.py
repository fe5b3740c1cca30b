"""The example of the bookshop on a real PostgreSQL and a real redis, and under load behind a real uvicorn."""

import asyncio
import gc
import itertools
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
from collections import Counter
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

import amount
import asyncpg
import httpx
import redis.asyncio
import servers
from serving import serving
from sqlalchemy import make_url, select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from asyncmeta import Container, Observer
from asyncmeta.integrations import _endings
from examples.bookshop.app import Bookshop
from examples.bookshop.cache import Clock
from examples.bookshop.database import BOOKS, STOCK, Book, Main, Order, Replica, make_engine
from examples.bookshop.inprocess import client_of
from examples.bookshop.settings import Settings
from examples.bookshop.web import make_app

ROOT = Path(__file__).parents[2]
WISH = {"book": "GEB", "quantity": 2, "customer": "ada@example.org"}
PRICES = {book["code"]: book["price"] for book in BOOKS}


numbers = itertools.count()


@pytest.fixture
async def new_database(postgresql):
    """An empty database of PostgreSQL."""
    name = f"shop{next(numbers)}"
    connection = await asyncpg.connect(f"{postgresql}/postgres")
    try:
        await connection.execute(f"CREATE DATABASE {name}")
    finally:
        await connection.close()
    return f"{postgresql}/{name}"


def shop(clock=None, **settings):
    return Container(Bookshop, overrides={Settings: Settings(**settings), Clock: clock or Clock()})


async def stored(url):
    """Return the stock by book, and all orders, seen from outside."""
    engine = make_engine(make_url(url))
    try:
        async with AsyncSession(engine) as session:
            stock = {book.code: book.stock for book in await session.scalars(select(Book))}
            return stock, list(await session.scalars(select(Order)))
    finally:
        await engine.dispose()


# --- the command ---


def test_the_shop_is_served_until_it_is_stopped():
    """
    Without options the shop is served on loopback; an interrupt ends it, and nothing is left open or behind.
    """
    port = servers.free_port()
    command = [sys.executable, "-W", "error::ResourceWarning", "-m", "examples.bookshop", "--port", str(port)]
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"DATABASE_URL": "", "REDIS_URL": "", "RATES_URL": "", "TMPDIR": folder}
        with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, encoding="utf-8") as served:
            for line in served.stderr:
                if "running on" in line:
                    break
            answers = [httpx.get(f"http://127.0.0.1:{port}{path}") for path in ("/", "/health", "/start")]
            there = os.listdir(folder)
            served.send_signal(signal.SIGINT)
            try:
                served.wait(30)
            finally:
                served.kill()  # only one that did not hear is still there
            said = served.stderr.read()
        left = os.listdir(folder)

    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert "Alice" in answers[0].text
    assert len(there) == 2  # the database, the outbox
    assert left == []
    assert served.returncode == 0
    assert "Finished server process" in said
    assert "Traceback" not in said


# --- PostgreSQL ---


async def test_orders_in_postgresql(new_database):
    """
    DATABASE_URL leads to PostgreSQL: there orders are kept, refused, rolled back and found as in SQLite.
    """

    class BrokenClock(Clock):
        def now(self):
            raise OSError("no time")

    container = shop(database_url=new_database)
    async with client_of(make_app(container)) as client:
        placed = await client.post("/orders", data=WISH)
        page = await client.get(placed.headers["location"])
        refused = [await client.post("/orders", data=WISH | bad) for bad in ({"quantity": 19}, {"book": "NOBOOK"}, {"book": "\0"})]
        lost = await client.get("/orders/%00")
        async with container.override({Clock: BrokenClock()}, everywhere=True):
            with pytest.raises(OSError, match="no time"):
                await client.post("/orders", data=WISH)
        health = await client.get("/health")

    assert "2 of GEB for ada@example.org: 57.98 EUR" in page.text
    assert [answer.status_code for answer in refused] == [409, 404, 422]
    assert lost.status_code == 404
    assert health.status_code == 200
    stock, orders = await stored(new_database)
    assert stock == dict.fromkeys(PRICES, STOCK) | {"GEB": STOCK - 2}
    assert [order.total for order in orders] == [5798]


async def test_bestsellers_are_read_in_postgresql_by_who_may_not_write(new_database):
    """
    The replica's sessions are read-only for PostgreSQL itself.
    """
    container = shop(database_url=new_database)
    async with client_of(make_app(container)) as client:
        await client.post("/api/orders", json=WISH | {"quantity": 2})
        found = await client.get("/api/bestsellers")
        async with (await (await container.get(Replica)).engine).connect() as connection:
            with pytest.raises(DBAPIError, match="read-only transaction"):
                await connection.execute(update(Book).values(stock=0))

    assert found.json() == [{"code": "GEB", "title": "Gödel, Escher, Bach", "sold": 2}]
    assert (await stored(new_database))[0]["GEB"] == STOCK - 2


async def test_the_last_book_is_sold_once_in_postgresql(new_database):
    """
    Two applications on one database sell together what there is, and not one book more.
    """
    async with (
        client_of(make_app(shop(database_url=new_database))) as one,
        client_of(make_app(shop(database_url=new_database))) as two,
    ):
        answers = await asyncio.gather(*(client.post("/api/orders", json=WISH | {"quantity": 3}) for client in (one, two) * 15))

    assert Counter(answer.status_code for answer in answers) == {201: 6, 409: 24}
    stock, orders = await stored(new_database)
    assert stock["GEB"] == 2
    assert {order.number for order in orders} == {one.json()["number"] for one in answers if one.status_code == 201}


# --- redis ---


async def test_what_one_application_asked_another_knows(tmp_path):
    """
    With REDIS_URL two applications share what they remember, for as long as it is good.
    """
    asked = []

    def answer(request):
        asked.append(request)
        return httpx.Response(200, json={"rates": {"USD": 2}})

    pages = []
    with servers.redis(servers.free_port()) as url:
        for name in ("one", "two"):
            container = shop(database_url=f"sqlite:///{tmp_path / name}.sqlite3", redis_url=url)
            async with client_of(make_app(container)) as client, httpx.AsyncClient(transport=httpx.MockTransport(answer)) as fake:
                fake.base_url = "http://rates"
                async with container.override({httpx.AsyncClient: fake}, everywhere=True):
                    pages.append((await client.get("/?currency=USD")).text)
        async with redis.asyncio.Redis.from_url(url) as connection:
            left = await connection.ttl("bookshop:rates")

    assert ["19.90" in page for page in pages] == [True, True]
    assert len(asked) == 1
    assert 0 < left <= 600


async def test_a_redis_that_goes_and_comes_again(tmp_path):
    """
    While redis is away the shop is not well but works; when it is there again all is well, without a new start.
    """
    port = servers.free_port()
    container = shop(database_url=f"sqlite:///{tmp_path / 'shop.sqlite3'}", redis_url=f"redis://127.0.0.1:{port}/0")
    pages, well = [], []

    async def look(client):
        pages.append(await client.get("/?currency=USD"))
        well.append((await client.get("/health")).status_code)

    async with client_of(make_app(container)) as client:
        with servers.redis(port):
            await look(client)
        await look(client)
        with servers.redis(port):
            await look(client)

    assert well == [200, 503, 200]
    assert ["10.95" in page.text for page in pages] == [True, True, True]


# --- load ---

REQUESTS = amount.of(2_000, working=400)
AT_ONCE = REQUESTS // 10
SHELF = REQUESTS // 6  #: of each book: fewer than are asked for


class Flaky(Clock):
    """Fails now and then, at a moment when the book is off the shelf already."""

    def __init__(self, choose):
        self.choose = choose
        self.failed = 0

    def now(self):
        if self.choose.random() < 0.1:
            self.failed += 1
            raise OSError("no time")
        return super().now()


class Watch(Observer):
    """Counts what begins and ends, and looks at the pool when all requests are over."""

    def __init__(self):
        self.counts = Counter()
        self.engine = None
        self.left = None

    def build_end(self, event):
        self.counts[event.key, "built"] += 1

    def finalize_begin(self, event):
        if event.key == "AsyncEngine":
            self.left = self.engine.pool.checkedout()

    def finalize_end(self, event):
        self.counts[event.key, "ended"] += 1

    def finalize_failed(self, event):
        self.counts[event.key, "failed"] += 1

    def scope_opened(self, event):
        self.counts["scope", "built"] += 1

    def scope_closed(self, event):
        self.counts["scope", "ended"] += 1


class Visit:
    """What one client does, and what it hears."""

    def __init__(self, number, choose):
        self.customer = f"customer{number}@example.org"
        self.book = choose.choice(list(PRICES))
        self.quantity = choose.randint(1, 3)
        self.kind = choose.choices(["order", "form", "look", "bad"], [70, 10, 10, 10])[0]
        #: when the client goes away: it stays, it sends half of what it has to say, or it waits for a while
        self.leaves = choose.choices(["never", "half", "later"], [75, 5, 20])[0]
        self.patience = choose.random() * 0.3  # seconds
        self.status = None  #: what was heard, if it was heard
        self.told = None  #: the number of the order

    def request(self):
        if self.kind == "look":
            return b"GET /?currency=USD HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n"
        quantity = 100 if self.kind == "bad" else self.quantity
        if self.kind == "form":
            path, form = "/orders", "x-www-form-urlencoded"
            body = f"book={self.book}&quantity={quantity}&customer={self.customer}"
        else:
            path, form = "/api/orders", "json"
            body = json.dumps({"book": self.book, "quantity": quantity, "customer": self.customer})
        head = f"POST {path} HTTP/1.1\r\nHost: shop\r\nConnection: close\r\nContent-Type: application/{form}\r\n"
        return f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()

    async def make(self, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            said = self.request()
            writer.write(said[: -len(said) // 4] if self.leaves == "half" else said)
            await writer.drain()
            if self.leaves == "half":
                return
            async with asyncio.timeout(self.patience if self.leaves == "later" else None):
                answer = await reader.read()
            head, complete, body = answer.partition(b"\r\n\r\n")
            if not complete:  # the server went first
                return
            self.status = int(head.split()[1])
            if self.status == 201:
                self.told = json.loads(body)["number"]
            elif self.status == 303:
                self.told = re.search(rb"location: /orders/(\w+)", head)[1].decode()
        except TimeoutError:
            pass
        finally:
            writer.transport.abort()  # as a client that is gone: the server hears of it by a reset

    def heard(self):
        return self.status, (self.book, self.quantity), self.told


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request, tmp_path):
    return f"sqlite:///{tmp_path / 'shop.sqlite3'}" if request.param == "sqlite" else request.getfixturevalue("new_database")


async def engine_of(container):
    """Return the engine of the shop's database."""
    return await (await container.get(Main)).engine


async def fill(container):
    """Put books on the shelf."""
    async with container.request(AsyncSession) as session:
        await session.execute(update(Book).values(stock=SHELF))
    return await engine_of(container)


def count_closing(monkeypatch):
    """Return a counter of how often each session was closed."""
    closed = Counter()
    kept = []  # so that no two have one id
    close = AsyncSession.close

    async def counted(session):
        kept.append(session)
        closed[id(session)] += 1
        await close(session)

    monkeypatch.setattr(AsyncSession, "close", counted)
    return closed


def check(watch, closed, cut=False):
    """Everything that was begun was ended once, and nothing stayed open. *cut*: an end may be met by a cancellation."""
    assert watch.left == 0
    assert watch.counts["scope", "ended"] == watch.counts["scope", "built"]
    ended, failed = watch.counts["AsyncSession", "ended"], watch.counts["AsyncSession", "failed"]
    assert ended + failed == watch.counts["AsyncSession", "built"] == len(closed)
    assert cut or not failed
    assert set(closed.values()) == {1}


async def agree(url, heard, cut=0):
    """
    The database has what clients were told, and what it has is whole. *heard*: customer -> (status, wish, answer)

    *cut*: how many sessions were cut off in their end, so that nobody knows what came of it.
    """
    stock, orders = await stored(url)
    by_customer = {order.customer: order for order in orders}
    assert len(by_customer) == len(orders)
    sold = Counter()
    for order in orders:
        sold[order.book] += order.quantity
        assert order.total == PRICES[order.book] * order.quantity
    assert stock == {code: SHELF - sold[code] for code in PRICES}
    assert min(stock.values()) >= 0
    for customer, (status, wish, number) in heard.items():
        order = by_customer.pop(customer, None)
        if status in (201, 303):
            assert (order.book, order.quantity, order.number) == (*wish, number)
        elif status is not None:
            cut -= order is not None
            assert order is None or cut >= 0, status
        elif order is not None:
            assert (order.book, order.quantity) == wish
    assert not by_customer


async def test_visitors(database, monkeypatch):
    """
    With 2,000 requests (400 while one works), a tenth of them at a time, of clients that go away and handlers that fail, every
    session is closed once, no connection is left out of the pool, and the database has exactly what clients were told.
    """
    choose = random.Random(7)
    closed, watch, clock = count_closing(monkeypatch), Watch(), Flaky(random.Random(8))
    container = shop(database_url=database, clock=clock)
    visits = [Visit(number, choose) for number in range(REQUESTS)]
    room = asyncio.Semaphore(AT_ONCE)

    async def one(visit, port):
        async with room:
            await visit.make(port)

    with container.observe(watch), serving(make_app(container)) as server:
        watch.engine = await asyncio.to_thread(server.call, fill(container))
        port = int(server.address.rpartition(":")[2])
        async with asyncio.TaskGroup() as group:
            for visit in visits:
                group.create_task(one(visit, port))
    statuses = Counter(visit.status for visit in visits)

    check(watch, closed)
    await agree(database, {visit.customer: visit.heard() for visit in visits})
    assert set(statuses) == {None, 200, 201, 303, 409, 422, 500}
    assert min(statuses.values()) > REQUESTS // 200
    assert statuses[500] <= clock.failed  # nothing else failed


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # of SQLAlchemy's connecting, if that is what is cancelled
async def test_requests_that_are_cancelled(database, monkeypatch):
    """
    Servers that cancel the handler of a client that is gone: wherever it stands, its order is there as a whole or not at
    all, its session is closed once, and its connection is in the pool again or given up.
    """
    choose = random.Random(9)
    closed, watch, clock = count_closing(monkeypatch), Watch(), Flaky(random.Random(8))
    container = shop(database_url=database, clock=clock)
    room = asyncio.Semaphore(50)
    heard = {}

    async def one(client, number):
        wish = {"book": choose.choice(list(PRICES)), "quantity": choose.randint(1, 3), "customer": f"customer{number}@example.org"}
        patience = choose.random() * 0.1 if choose.random() < 0.7 else None  # seconds
        status, told = None, None
        async with room:
            try:
                async with asyncio.timeout(patience):
                    answer = await client.post("/api/orders", json=wish)
                status, told = answer.status_code, answer.json().get("number")
            except TimeoutError:
                pass
            except OSError:
                status = 500
        heard[wish["customer"]] = (status, (wish["book"], wish["quantity"]), told)

    with container.observe(watch):
        async with client_of(make_app(container)) as client:
            watch.engine = await fill(container)
            await asyncio.gather(*(one(client, number) for number in range(amount.of(500, working=150))))
    statuses = Counter(status for status, _, _ in heard.values())

    gc.collect()  # those connections, before other tests are warned of them
    check(watch, closed, cut=True)
    await agree(database, heard)
    assert {None, 201, 500} <= set(statuses)
    assert statuses[500] <= clock.failed


ROUNDS = amount.of(20, working=4)  #: of a server that is stopped by force


@pytest.mark.filterwarnings("ignore:.*was still open when its container closed:ResourceWarning")
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # of SQLAlchemy's connecting, if that is what is cancelled
async def test_servers_that_are_stopped_by_force(database, caplog, monkeypatch):
    """
    Servers that are stopped by force at any moment, with or without a moment of grace: an order that is there was answered
    with success or not at all, one that was answered with an error is not there, and stock and orders agree.  Where the loop
    ends at once it cancels all tasks, those too in which libraries close: only who was cut off by that may be in doubt.
    """
    caplog.set_level("CRITICAL")  # the pool logs each connection that it has to give up
    monkeypatch.setattr(_endings, "PATIENCE", 60.0)  # what follows a commit may be slow where other tests run beside it
    choose = random.Random(11)
    heard, statuses, cut = {}, Counter(), 0

    async def one(visit, port):
        try:
            await visit.make(port)
        except OSError:  # it is gone, or goes
            pass
        heard[visit.customer] = visit.heard()
        statuses[visit.status] += 1

    for round_ in range(ROUNDS):
        watch = Watch()
        container = shop(database_url=database)
        visits = [Visit(100 * round_ + number, choose) for number in range(40)]
        grace = choose.choice([0.001, 0.02, None])  # seconds; None: until a second signal
        moment = choose.random() * 0.4  # seconds
        with container.observe(watch), serving(make_app(container), timeout_graceful_shutdown=grace) as server:
            if round_ == 0:
                await asyncio.to_thread(server.call, fill(container))
            watch.engine = await asyncio.to_thread(server.call, engine_of(container))
            port = int(server.address.rpartition(":")[2])
            async with asyncio.TaskGroup() as group:
                for visit in visits:
                    group.create_task(one(visit, port))
                await asyncio.sleep(moment)
                server.stop(force=grace is None)
        gc.collect()
        ended = {how: watch.counts["AsyncSession", how] for how in ("built", "ended", "failed")}
        assert ended["built"] == ended["ended"] + ended["failed"]
        assert watch.counts["scope", "ended"] == watch.counts["scope", "built"]
        assert watch.left == 0
        cut += ended["failed"] if grace is None else 0

    await agree(database, heard, cut)
    assert {None, 201} <= set(statuses)
