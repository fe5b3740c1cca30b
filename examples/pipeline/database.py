"""Where results are kept: one database for the program, one transaction for each text."""

import asyncio
from collections.abc import AsyncIterator

import aiosqlite

from asyncmeta import AsyncServiceBase, inject_dependency

from .analysis import Analysis
from .settings import Settings
from .texts import Row

SCHEMA = """
CREATE TABLE IF NOT EXISTS analyses (
    file TEXT NOT NULL, line INTEGER NOT NULL, text TEXT NOT NULL,
    language TEXT NOT NULL, confidence REAL NOT NULL, model TEXT NOT NULL,
    PRIMARY KEY (file, line)
);
CREATE TABLE IF NOT EXISTS sentiments (
    file TEXT NOT NULL, line INTEGER NOT NULL,
    mood TEXT NOT NULL CHECK (mood IN ('positive', 'neutral', 'negative')), score REAL NOT NULL,
    PRIMARY KEY (file, line),
    FOREIGN KEY (file, line) REFERENCES analyses ON DELETE CASCADE
);
"""


class Database:
    """An open database. Its one connection has room for one transaction at a time."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self.connection = connection
        self.turn = asyncio.Lock()


class Results:
    """What may be written inside one transaction."""

    def __init__(self, connection: aiosqlite.Connection, file: str) -> None:
        self._connection, self._file = connection, file

    async def forget(self) -> None:
        """Forget all that was said about this file: a run begins anew."""
        await self._connection.execute("DELETE FROM analyses WHERE file = ?", (self._file,))

    async def add(self, row: Row, analysis: Analysis) -> None:
        """Write down what was said about *row*."""
        await self._connection.execute(
            "INSERT INTO analyses (file, line, text, language, confidence, model) VALUES (?, ?, ?, ?, ?, ?)",
            (self._file, row.line, analysis.text, analysis.language, analysis.confidence, analysis.model),
        )
        if analysis.sentiment:
            await self._connection.execute(
                "INSERT INTO sentiments (file, line, mood, score) VALUES (?, ?, ?, ?)",
                (self._file, row.line, analysis.sentiment.mood, analysis.sentiment.score),
            )


class Storage(AsyncServiceBase):
    """The layer of the database; it needs Settings."""


@inject_dependency(on=Storage)
async def open_database(settings: Settings) -> AsyncIterator[Database]:
    """Open the file and make its tables; lives as long as the container."""
    async with aiosqlite.connect(settings.database, isolation_level=None) as connection:
        await connection.execute("PRAGMA foreign_keys = ON")
        await connection.executescript(SCHEMA)
        yield Database(connection)


# Made when it is first awaited in a scope, not when the scope begins: so a text waits for
# its turn when it has something to write, and the models work on others meanwhile.
@inject_dependency(lifetime="scoped", on=Storage)
async def open_results(database: Database, settings: Settings) -> AsyncIterator[Results]:
    """Begin a transaction; commit if the scope ends well, else roll back."""
    async with database.turn:
        try:
            await database.connection.execute("BEGIN IMMEDIATE")
            yield Results(database.connection, settings.texts.name)
            await database.connection.commit()
        except BaseException:  # a cancelled text must not stay half written either
            await database.connection.rollback()
            raise
