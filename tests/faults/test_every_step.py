"""Cancelled before every step of a program: nothing hangs, nothing is left open, nothing is closed too early."""

import asyncio
import contextlib
import logging
import sys
import zlib

import amount
import pytest
from helpers import leaves

from asyncmeta import AsyncMetaError, FinalizationErrors

from .stepping import SteppingLoop, Stuck, run
from .worlds import PROGRAMS, Failed, World

#: While one works, every sixth step of a program is tried, and others of the next program.
STRIDE = 1 if amount.WHOLE else 6

#: What is closed by force says so; that is looked at elsewhere.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")

ENDING = list(PROGRAMS)

LOOPS = [
    pytest.param({}, id="plain"),
    pytest.param(
        {"eager": True},
        id="eager",
        marks=pytest.mark.skipif(not hasattr(asyncio, "eager_task_factory"), reason="no eager tasks before CPython 3.12"),
    ),
]


@pytest.fixture(autouse=True)
def quiet():
    """Let the logs of failing clean-ups alone."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


class Run:
    """One run of a program with one fault in it."""

    def __init__(self, name, options, failing=()):
        self.name = name
        self.world = World(frozenset(failing))
        self.loop = SteppingLoop(**options)
        self.container, self.use = PROGRAMS[name](self.world)
        self.hit = False  #: the fault has met a program that was still running
        self.ended = None  #: how the program ended, None where it returned

    def wrong(self, begin):
        """Run the program under *begin*, an async function that is given its task; return what is wrong."""

        async def main():
            task = asyncio.ensure_future(self.use())
            await begin(task)
            self.loop.acts.clear()
            self.loop.looks.clear()
            with contextlib.suppress(FinalizationErrors):
                await self.container.aclose()
            if task.done():
                self.ended = asyncio.CancelledError() if task.cancelled() else task.exception()

        try:
            run(main, self.loop)
        except Stuck as stuck:
            return [str(stuck)]
        return self.world.wrong()

    def judged(self, number, found):
        return [f"{self.name} at {number}: {one}" for one in found]


def everywhere(name, one):
    """Collect what is wrong with ``one(number)`` for each step of the program *name*, until its fault comes too late."""
    bad, number = [], zlib.crc32(name.encode()) % STRIDE
    while True:
        ran, found = one(number)
        bad += ran.judged(number, found)
        if not ran.hit:
            return number, bad
        number += STRIDE


def nothing(bad):
    """Fail with the first ones of what is wrong."""
    assert not bad, f"{len(bad)} wrong: " + "; ".join(bad[:6])


async def ended(task):
    """Wait until a program has ended, however it does."""
    while not task.done():
        await asyncio.wait([task])


def cancelled(name, options, times=1, apart=1, failing=()):
    """Cancel the program's task before each step in turn."""

    def one(number):
        ran = Run(name, options, failing)

        async def begin(task):
            def cancel():
                ran.hit = task.cancel()

            for time in range(times):
                ran.loop.after(number + time * apart, cancel if not time else task.cancel)
            await ended(task)

        found = ran.wrong(begin)
        # An error that was on its way already is not replaced: then the cancellation stands behind it.
        met = leaves(ran.ended) if failing else [ran.ended]
        # Before 3.13 a task group whose tasks fail says nothing of the cancellation that it met.
        forgotten = sys.version_info < (3, 13) and failing and type(ran.ended) is ExceptionGroup and _is_failed(ran.ended)
        if ran.hit and not forgotten and not any(isinstance(one, asyncio.CancelledError) for one in met):
            found.append(f"it was cancelled, and ended with {ran.ended!r}")
        elif not ran.hit and ran.ended is not None and not (failing and _is_failed(ran.ended)):
            found.append(f"it was left alone, and ended with {ran.ended!r}")
        return ran, found

    return everywhere(name, one)


def _is_failed(error):
    return any(isinstance(one, Failed) for one in leaves(error))


@pytest.mark.parametrize("options", LOOPS)
@pytest.mark.parametrize("name", PROGRAMS)
def test_cancelled_before_every_step(name, options):
    """
    Wherever a program is cancelled, it is, and everything that it has opened is closed, once and in order.
    """
    points, bad = cancelled(name, options)

    assert points > 3
    nothing(bad)


@pytest.mark.parametrize("name", PROGRAMS)
def test_cancelled_twice(name):
    """
    Who loses patience and cancels again changes nothing; the second one may come at the next step or at any later one.
    """
    bad = []
    for apart in (1, 2, 5) if amount.FUZZ == 1 else range(1, 30):
        bad += cancelled(name, {}, times=2, apart=apart)[1]

    nothing(bad)


@pytest.mark.parametrize("name", PROGRAMS)
def test_cancelled_where_cleaning_up_fails(name):
    """
    A clean-up that fails beside a cancellation neither replaces it nor keeps the others from running.
    """
    bad = []
    for failing in ({"a"}, {"p", "d", "t"}, {"a", "b", "p", "s", "g"}):
        bad += cancelled(name, {}, failing=failing)[1]

    nothing(bad)


@pytest.mark.parametrize("options", LOOPS)
@pytest.mark.parametrize("name", ENDING)
def test_main_returns_before_every_step(name, options):
    """
    A main function that returns, wherever its other tasks are: the program ends, with everything closed in order.
    """

    def one(number):
        ran = Run(name, options)

        async def main():
            task = asyncio.ensure_future(ran.use())
            over = asyncio.get_running_loop().create_future()

            def leave():
                if not over.done():
                    ran.hit = not task.done()
                    over.set_result(None)

            ran.loop.after(number, leave)
            task.add_done_callback(lambda _: over.done() or over.set_result(None))
            await over

        try:
            run(main, ran.loop)
        except Stuck as stuck:
            return ran, [str(stuck)]
        return ran, ran.world.wrong()

    _, bad = everywhere(name, one)

    nothing(bad)


@pytest.mark.parametrize("options", LOOPS)
@pytest.mark.parametrize("name", ENDING)
def test_all_tasks_are_cancelled_before_every_step(name, options):
    """
    A program that cancels all tasks there are goes on itself: its container can be closed, and nobody waits for ever.
    """

    def one(number):
        ran = Run(name, options)

        async def begin(task):
            main = asyncio.current_task()

            def cancel_all():
                ran.hit = not task.done()
                for other in asyncio.all_tasks():
                    if other is not main:
                        other.cancel()

            ran.loop.after(number, cancel_all)
            await ended(task)

        found = ran.wrong(begin)
        if ran.ended is not None and not isinstance(ran.ended, asyncio.CancelledError | AsyncMetaError):
            found.append(f"it ended with {ran.ended!r}")
        return ran, found

    _, bad = everywhere(name, one)

    nothing(bad)


@pytest.mark.parametrize("name", ENDING)
def test_all_tasks_are_cancelled_twice(name):
    """
    Who tells finalizers of all others when a loop ends is cancelled again, at any later step, and goes on to the end.
    """

    def one(number, apart):
        ran = Run(name, {})

        async def begin(task):
            main = asyncio.current_task()

            def cancel_all():
                ran.hit = ran.hit or not task.done()
                for other in asyncio.all_tasks():
                    if other is not main:
                        other.cancel()

            ran.loop.after(number, cancel_all)
            ran.loop.after(number + apart, cancel_all)
            await ended(task)

        found = ran.wrong(begin)
        if ran.ended is not None and not isinstance(ran.ended, asyncio.CancelledError | AsyncMetaError):
            found.append(f"it ended with {ran.ended!r}")
        return ran, found

    bad = []
    for apart in (2, 3) if amount.FUZZ == 1 else range(1, 30):
        bad += everywhere(name, lambda number, apart=apart: one(number, apart))[1]

    nothing(bad)


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_task_is_cancelled_before_its_first_step(name):
    """
    A task that never runs a line, whoever made it, is waited for by nobody, and what it should have done is done.
    """

    def one(number):
        ran = Run(name, {})

        async def begin(task):
            seen = {asyncio.current_task()}

            def look():
                for other in asyncio.all_tasks() - seen:
                    seen.add(other)
                    if len(seen) == number + 2:
                        ran.hit = other.cancel()

            ran.loop.looks.append(look)
            await ended(task)

        found = ran.wrong(begin)
        if ran.ended is not None and not isinstance(ran.ended, asyncio.CancelledError | AsyncMetaError):
            found.append(f"it ended with {ran.ended!r}")
        return ran, found

    _, bad = everywhere(name, one)

    nothing(bad)
