"""One database for the program, one transaction for each order."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiosqlite

from asyncmeta import AsyncServiceBase, inject_dependency

from .settings import Settings

SCHEMA = Path(__file__).with_name("schema.sql").read_text(encoding="utf-8")


class Session:
    """What may be done inside one transaction."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection

    async def execute(self, sql: str, *values: object) -> int:
        """Run one statement; return how many rows it changed."""
        async with self._connection.execute(sql, values) as cursor:
            return cursor.rowcount

    async def fetch(self, sql: str, *values: object) -> list[sqlite3.Row]:
        """Run one query; return its rows."""
        return list(await self._connection.execute_fetchall(sql, values))


class Database:
    """An open database. Its one connection has room for one transaction at a time."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Session]:
        """Wait for this transaction's turn; commit if the block ends well, else roll back."""
        async with self._turn:
            try:
                await self._connection.execute("BEGIN IMMEDIATE")
                yield Session(self._connection)
                await self._connection.commit()
            except BaseException:  # a cancelled order must not stay half written either
                await self._connection.rollback()
                raise


class Opening(AsyncServiceBase):
    """The layer of the database."""

    # "inject" in the decorator's name means: this function makes what others may ask for.
    # What it makes is read from its annotation: whoever asks for Database gets what is yielded.
    @inject_dependency
    async def open_database(self, settings: Settings) -> AsyncIterator[Database]:
        """Open the file and make its tables; lives as long as the container."""
        async with aiosqlite.connect(settings.database, isolation_level=None) as connection:
            connection.row_factory = sqlite3.Row
            await connection.execute("PRAGMA foreign_keys = ON")
            await connection.executescript(SCHEMA)
            yield Database(connection)

    # The exception that ends a scope is thrown in at the yield: that is what rolls back.
    @inject_dependency(lifetime="scoped")
    async def open_session(self, database: Database) -> AsyncIterator[Session]:
        """Begin a transaction; all repositories of one scope write in it."""
        async with database.transaction() as session:
            yield session
