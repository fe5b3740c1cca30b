"""A loop may have a clock of its own: what closing waits for, it waits by that."""

import asyncio
import time

import pytest
from helpers import fresh_app

from asyncmeta import Container
from asyncmeta._run.teardown.unwinding import PATIENCE

from .turns import LoopByTurns


@pytest.mark.filterwarnings("ignore:.*was still open when its container closed:ResourceWarning")
def test_closing_is_patient_by_the_clock_of_its_loop(monkeypatch):
    """
    A task that was cancelled, and stays in its scope for ever, is waited for as long as the loop's clock says, and no longer.
    """
    monkeypatch.setattr(time, "monotonic", lambda: 0.0)  # the clock of the machine stands still
    App = fresh_app()
    App.register_dependency("session", object, lifetime="scoped")
    loop = LoopByTurns()

    async def use(container, never):
        async with container.scope() as scope:
            await scope.get("session")
            try:
                await loop.create_future()
            finally:
                await asyncio.shield(never)

    async def main():
        never = loop.create_future()
        async with Container(App) as container:
            task = loop.create_task(use(container, never))
            await asyncio.sleep(0.01)
            task.cancel()
            await asyncio.sleep(0.01)
            began = loop.time()
        took = loop.time() - began
        never.set_result(None)
        await asyncio.wait([task])
        return took

    try:
        took = loop.run_until_complete(main())
    finally:
        loop.close()

    assert PATIENCE <= took < 2 * PATIENCE
