"""The pipeline: texts of a file, several at a time, into the database."""

import asyncio
from operator import itemgetter
from typing import NamedTuple

from asyncmeta import AsyncDependencyDescriptor, AsyncServiceBase, Container, StartReport

from .analysis import Analyser, Analysis, TextAnalysis
from .database import Results, Storage
from .languages import CommonWords
from .settings import Settings
from .steps import Refused
from .texts import Row, read_rows


class Desk(AsyncServiceBase, lifetime="scoped"):
    """Takes one text, wholly or not at all."""

    analyser = AsyncDependencyDescriptor(Analyser)
    results = AsyncDependencyDescriptor(Results)

    async def take(self, row: Row) -> Analysis:
        """Analyse the text of *row* and store what was found; raises Refused if a step refuses it."""
        analysis = await (await self.analyser).analyse(row.text)
        await (await self.results).add(row, analysis)
        return analysis


class Pipeline(Storage, TextAnalysis, providers=[Desk]):
    """The usual one."""


class ResearchPipeline(CommonWords, Pipeline):
    """With another model: what CommonWords registers stands before what Pipeline has."""


class Outcome(NamedTuple):
    """What became of the texts, in the order of their lines."""

    stored: list[tuple[Row, Analysis]]
    refused: list[tuple[Row, Refused]]
    start: StartReport


async def run(application: type[Pipeline], settings: Settings) -> Outcome:
    """
    Analyse all texts of the file, at most ``settings.at_once`` at the same time.

    A text that is refused stops no other. Any other failure stops all, and comes out in
    an ExceptionGroup; texts that were finished stay in the database, others leave no trace.
    """
    rows = read_rows(settings.texts)
    stored: list[tuple[Row, Analysis]] = []
    refused: list[tuple[Row, Refused]] = []

    async with Container(application, providers=[{"provide": Settings, "use_value": settings}]) as container:
        start = await container.start()  # both models and the database, side by side
        async with container.request(Results) as results:
            await results.forget()

        waiting = iter(rows)

        async def work() -> None:
            # All workers draw from one iterator: each row is taken once, and there are as
            # many texts in work as workers, however long the file is.
            for row in waiting:
                try:
                    # A scope for this text alone, and the desk in it.
                    async with container.request(Desk) as desk:
                        analysis = await desk.take(row)
                except Refused as reason:
                    refused.append((row, reason))
                else:
                    stored.append((row, analysis))  # only now: its transaction is committed

        async with asyncio.TaskGroup() as workers:
            for _ in range(settings.at_once):
                workers.create_task(work())

    return Outcome(sorted(stored, key=itemgetter(0)), sorted(refused, key=itemgetter(0)), start)
