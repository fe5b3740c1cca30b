"""What is kept, where, and for how long a session lasts."""

import logging
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import URL, AsyncAdaptedQueuePool, CheckConstraint, ForeignKey, event, make_url, text
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.schema import CreateTable

from asyncmeta import AsyncDependencyDescriptor, AsyncServiceBase, inject_dependency

from .settings import Settings

log = logging.getLogger(__name__)


class Table(DeclarativeBase):
    """What all tables share."""


class Book(Table):
    """A book and how many of it are on the shelf."""

    __tablename__ = "books"
    __table_args__ = (CheckConstraint("stock >= 0"),)

    code: Mapped[str] = mapped_column(primary_key=True)
    title: Mapped[str]
    author: Mapped[str]
    price: Mapped[int]  #: cents, of EUR
    stock: Mapped[int]


class Order(Table):
    """An order that was taken."""

    __tablename__ = "orders"

    number: Mapped[str] = mapped_column(primary_key=True)  #: 32 hexadecimal digits that nobody guesses
    book: Mapped[str] = mapped_column(ForeignKey(Book.code))
    quantity: Mapped[int]
    customer: Mapped[str]  #: a mail address
    total: Mapped[int]  #: cents, of EUR
    placed: Mapped[str]  #: ISO 8601, UTC


BOOKS = [
    {"code": "SICP", "title": "Structure and Interpretation of Computer Programs", "author": "Abelson & Sussman", "price": 6450},
    {"code": "GEB", "title": "Gödel, Escher, Bach", "author": "Hofstadter", "price": 2899},
    {"code": "ALICE", "title": "Alice's Adventures in Wonderland", "author": "Carroll", "price": 995},
    {"code": "MOBY", "title": "Moby-Dick; or, The Whale", "author": "Melville", "price": 1290},
    {"code": "FRANK", "title": "Frankenstein", "author": "Shelley", "price": 850},
]
STOCK = 20  #: of each book, in a new database
FILL = text(
    "INSERT INTO books (code, title, author, price, stock) VALUES (:code, :title, :author, :price, :stock) ON CONFLICT DO NOTHING"
)


async def ping(engine: AsyncEngine) -> None:
    """Ask the database for something that it always knows; raises if it does not answer."""
    async with engine.connect() as connection:
        await connection.execute(text("SELECT 1"))


class AfterCommit(AsyncServiceBase, lifetime="scoped"):
    """What is to be done when the session of a scope is committed; not at all where that fails."""

    def __init__(self) -> None:
        self._pending: list[Callable[[], Awaitable[None]]] = []

    def do(self, work: Callable[[], Awaitable[None]]) -> None:
        """Put *work* off until then."""
        self._pending.append(work)

    async def done(self) -> None:
        """Do it; what fails is only logged, because the order stands."""
        for work in self._pending:
            try:
                await work()
            except Exception:
                log.exception("what should follow an order has failed")


class Database(AsyncServiceBase):
    """
    The layer of one database.

    The application does not derive from it, so every class that does has an engine of its own: ``Main`` and ``Replica``.
    """

    reads_only = False
    engine = AsyncDependencyDescriptor(AsyncEngine)

    @inject_dependency(health=ping)
    async def open_engine(self, url: URL) -> AsyncIterator[AsyncEngine]:
        """Open the database at the address that the class registers; at the end all connections are closed."""
        engine = make_engine(url, self.reads_only)
        try:
            await self.prepare(engine)
            yield engine
        finally:
            await engine.dispose()

    async def prepare(self, engine: AsyncEngine) -> None:
        """Do what is to be done before anybody else asks it; nothing, where a class does not say more."""


class Main(Database):
    """The database of the shop."""

    @inject_dependency
    def find(self, settings: Settings) -> Iterator[URL]:
        """Give the address that the settings name, or that of a new file that goes when the program does."""
        with tempfile.TemporaryDirectory(prefix="bookshop-") as folder:
            yield make_url(settings.database_url or f"sqlite:///{Path(folder, 'bookshop.sqlite3')}")

    async def prepare(self, engine: AsyncEngine) -> None:
        """Make what is not there yet."""
        async with engine.begin() as connection:
            for table in Table.metadata.sorted_tables:  # not create_all: workers that start at once all look first
                await connection.execute(CreateTable(table, if_not_exists=True))
            await connection.execute(FILL, [book | {"stock": STOCK} for book in BOOKS])


class Replica(Database):
    """
    A copy that is read only, for long questions: these take no connection from those who order.

    It may be a moment behind, so nothing that was just written is looked for here.
    """

    reads_only = True

    @inject_dependency
    async def find(self, settings: Settings, main: Main) -> URL:
        """Give the address that the settings name, or that of the shop's database, which is opened before and closed after."""
        return make_url(settings.replica_url) if settings.replica_url else (await main.engine).url


class Storage(AsyncServiceBase):
    """The layer of the sessions: one for each request, in the shop's database."""

    # The exception that ends a scope is thrown in at the yield: that is what rolls back.
    @inject_dependency(lifetime="scoped")
    async def open_session(self, main: Main, after: AfterCommit) -> AsyncIterator[AsyncSession]:
        """Begin a session; all services of one request work in it, and it is committed if the request ends well."""
        async with AsyncSession(await main.engine, expire_on_commit=False) as session, session.begin():
            yield session
        await after.done()


def make_engine(url: URL, reads_only: bool = False) -> AsyncEngine:
    """Return an engine with the asynchronous driver of the database that *url* names; one that reads only is refused all else."""
    if url.get_backend_name() in ("postgresql", "postgres"):
        says = {"server_settings": {"default_transaction_read_only": "on"}} if reads_only else {}
        return create_async_engine(url.set(drivername="postgresql+asyncpg"), pool_pre_ping=True, connect_args=says)
    if url.get_backend_name() != "sqlite":
        raise ArgumentError(f"a database of the shop is of PostgreSQL or SQLite, not of {url.get_backend_name()}")
    # isolation_level=None: Python's sqlite3 begins no transactions by itself, and so none too late.
    waits = {"timeout": 20, "isolation_level": None}  # seconds, for the one writer that SQLite has room for
    url = url.set(drivername="sqlite+aiosqlite")
    engine = create_async_engine(url, poolclass=AsyncAdaptedQueuePool, connect_args=waits)
    event.listen(engine.sync_engine, "connect", only_read_sqlite if reads_only else prepare_sqlite)
    event.listen(engine.sync_engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    event.listen(engine.sync_engine, "invalidate", let_go)
    return engine


def prepare_sqlite(connection: Any, record: object) -> None:
    """Let readers read while somebody writes, and hold every row to its foreign keys."""
    say(connection, "journal_mode = WAL", "foreign_keys = ON")


def only_read_sqlite(connection: Any, record: object) -> None:
    """Refuse whatever writes."""
    say(connection, "query_only = ON")


def say(connection: Any, *pragmas: str) -> None:
    """Tell SQLite how it shall behave on this connection."""
    for pragma in pragmas:
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA {pragma}")
        cursor.close()


def let_go(connection: Any, record: object, error: object) -> None:
    """
    End the transaction of a connection that is given up, because its request was cancelled.

    Closing does not: SQLite keeps the lock until the last cursor is forgotten, and the error may remember it for long.
    """
    connection.rollback()
