"""The same programs on uvloop, whose turns cannot be stepped through: cancelled at every tick of it."""

import asyncio
import contextlib
import logging

import pytest

from asyncmeta import FinalizationErrors

from .worlds import PROGRAMS, World

uvloop = pytest.importorskip("uvloop", reason="uvloop is not installed: it is not made for every system")

#: What is closed by force says so; that is looked at elsewhere.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")

#: Seconds after which a program is said to hang.
PATIENCE = 20
#: Ticks that are tried; worker threads make some programs spin through thousands.
MOST = 60


@pytest.fixture(autouse=True)
def quiet():
    """Let the logs of tasks that a program leaves behind alone."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("name", PROGRAMS)
def test_cancelled_at_every_tick_of_uvloop(name):
    """
    Wherever a program is cancelled, it ends, and everything that it has opened is closed, once and in order.
    """

    def one(number):
        world = World(frozenset())
        container, use = PROGRAMS[name](world)
        hit = []

        async def main():
            loop = asyncio.get_running_loop()
            task = asyncio.ensure_future(use())

            def tick(left):
                if not left:
                    hit.append(task.cancel())
                elif not task.done():
                    loop.call_soon(tick, left - 1)

            tick(number)
            async with asyncio.timeout(PATIENCE):
                while not task.done():
                    await asyncio.wait([task])
                if not task.cancelled():
                    task.exception()  # heard, so that nobody tells of it
                with contextlib.suppress(FinalizationErrors):
                    await container.aclose()

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main())
        return bool(hit and hit[0]), [f"{name} at {number}: {found}" for found in world.wrong()]

    bad, points = [], 0
    for number in range(MOST):
        was_hit, found = one(number)
        bad += found
        points += was_hit
        if not was_hit:
            break

    assert points > 1
    assert not bad
