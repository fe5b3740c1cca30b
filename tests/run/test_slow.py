"""A build that takes too long is warned of once, with the path that waits; a failed one with the path that led there."""

import asyncio
import inspect
import logging
import time

import pytest
from helpers import fresh_app, guarded, outcome

from asyncmeta import AsyncServiceBase, Container, DeclarationError, inject_dependency


class Warnings(logging.Handler):
    """Keeps what is warned of."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.records = []
        self.more = asyncio.Event()

    def emit(self, record):
        self.records.append(record)
        self.more.set()

    async def given(self, count=1):
        """Wait until *count* warnings were given."""
        while len(self.records) < count:
            self.more.clear()
            await self.more.wait()


@pytest.fixture
def warnings():
    handler, logger = Warnings(), logging.getLogger("asyncmeta")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


def waiting_app(warnings, count=1):
    """Return an application of which "slow" waits until *count* warnings were given."""
    app = fresh_app()

    @inject_dependency("slow", on=app)
    async def slow():
        await warnings.given(count)

    return app


@guarded
async def test_a_slow_build_is_warned_of_while_it_waits(warnings):
    """
    After slow= seconds one warning names what is built, where it was written, and the path that waits for it.
    """
    app = waiting_app(warnings)
    app.register_dependency("store", lambda slow: 1)
    app.register_dependency("shop", lambda store: 1, lifetime="scoped")

    async with Container(app, slow=0.01) as container, container.scope() as scope:
        await scope.get("shop")
        await asyncio.sleep(0.02)

    (record,) = warnings.records
    assert record.getMessage().startswith('"slow" (tests/run/test_slow.py:')
    assert " is still being built after 0.0" in record.getMessage()
    assert '; the path that waits: "shop" (tests/run/test_slow.py:' in record.getMessage()
    assert record.path == ['"shop"', '"store"', '"slow"']
    assert record.key == '"slow"'
    assert record.seconds >= 0.01


@guarded
@pytest.mark.parametrize("lifetime", ["scoped", "transient"])
async def test_every_get_is_timed(warnings, lifetime):
    """
    Values of scopes are timed also where their root was built often before, so that there would be code for it.
    """
    app, quick = fresh_app(), [True]

    @inject_dependency("x", on=app, lifetime=lifetime)
    async def make():
        if not quick:
            await warnings.given(1)

    async with Container(app, slow=0.01) as container:
        for _ in range(3):
            async with container.scope() as scope:
                await scope.get("x")
        assert warnings.records == []
        quick.clear()
        async with container.scope() as scope:
            await scope.get("x")

    assert [record.key for record in warnings.records] == ['"x"']


@guarded
async def test_what_is_quick_is_not_warned_of(warnings):
    """
    A build that ends in time leaves no timer behind, and no warning; nor does one where no limit is set.
    """
    app = fresh_app()
    app.register_dependency("x", object)

    async def sleeping():
        await asyncio.sleep(0.02)

    app.register_dependency("sleeping", sleeping)
    async with Container(app, slow=0.01) as container:
        await container.get("x")
        await asyncio.sleep(0.03)
    async with Container(app) as container:
        await container.get("sleeping")

    assert warnings.records == []


@guarded
async def test_what_blocks_the_loop_is_warned_of_at_its_end(warnings):
    """
    A sync factory that blocks, so that no timer can run, is warned of when it has ended; once.
    """
    app = fresh_app()
    app.register_dependency("blocking", lambda: time.sleep(0.02))

    async with Container(app, slow=0.01) as container:
        await container.get("blocking")
        await asyncio.sleep(0.02)

    (record,) = warnings.records
    assert '"blocking" (tests/run/test_slow.py:' in record.getMessage()
    assert " took 0.0" in record.getMessage()


def test_without_a_loop_it_is_warned_of_at_its_end(warnings):
    """
    A slow sync factory is warned of where no loop runs, too.
    """
    app = fresh_app()
    app.register_dependency("blocking", lambda: time.sleep(0.02), lifetime="scoped")

    with Container(app, slow=0.01) as container, container.scope() as scope:
        scope.get_nowait("blocking")

    (record,) = warnings.records
    assert record.path == ['"blocking"']


@guarded
async def test_a_slow_failure_is_warned_of(warnings):
    """
    A build that is cancelled after its limit has been warned of, and only once.
    """
    app = waiting_app(warnings, count=2)
    async with Container(app, slow=0.01) as container:
        task = asyncio.create_task(container.get("slow"))
        await warnings.given()
        task.cancel()
        await outcome(task)

    assert len(warnings.records) == 1


@guarded
async def test_middleware_is_part_of_the_time(warnings):
    """
    Middleware that waits makes a build slow.
    """
    app = fresh_app()
    app.register_dependency("x", object)

    async def middleware(build, call):
        await warnings.given()
        return await call()

    async with Container(app, middleware=[middleware], slow=0.01) as container:
        await container.get("x")

    assert len(warnings.records) == 1


def test_debug_mode_warns(warnings):
    """
    In asyncio's debug mode builds are timed without slow=, by fifty times the loop's slow_callback_duration.
    """
    app = waiting_app(warnings)

    async def run(container):
        asyncio.get_running_loop().slow_callback_duration = 0.0002
        async with container:
            await container.get("slow")

    asyncio.run(run(Container(app)), debug=True)

    (record,) = warnings.records
    assert "(slow: 0.01 s)" in record.getMessage()


def test_debug_mode_ends_with_its_loop(warnings):
    """
    A container that another loop takes over is timed as that loop wants it.
    """
    app = fresh_app()
    app.register_dependency("x", object)
    container = Container(app)

    async def run():
        async with container:
            await container.get("x")
            return container._singletons.watch is not None, container._observed

    assert asyncio.run(run(), debug=True) == (True, False)
    assert asyncio.run(run(), debug=False) == (False, False)


@pytest.mark.parametrize("slow", [0, -1.0, "1", True, float("nan")], ids=repr)
def test_a_limit_that_is_no_number_is_refused(slow):
    """
    slow= is a number of seconds above 0.
    """
    with pytest.raises(DeclarationError, match="seconds above 0"):
        Container(fresh_app(), slow=slow)


# --- the path note ------------------------------------------------------------------------------------------


async def test_the_path_note_names_each_step_with_its_place():
    """
    An exception from a factory carries one note with every step from the application's to it, each with file:line.
    """
    app = fresh_app()

    @inject_dependency("broken", on=app)
    async def broken():
        raise ValueError("no")

    @inject_dependency("store", on=app)
    async def store(broken): ...

    class Shop(AsyncServiceBase):
        def __init__(self, store):
            pass

    app.register_dependency(Shop, Shop)
    lines = {function.__name__: inspect.getsourcelines(function)[1] for function in (broken, store, Shop)}
    async with Container(app) as container:
        error = await outcome(container.get(Shop))

    (note,) = error.__notes__
    assert note == (
        f'asyncmeta: while building "broken" (tests/run/test_slow.py:{lines["broken"]})\n'
        f'  Shop (tests/run/test_slow.py:{lines["Shop"]}) -> "store" (tests/run/test_slow.py:{lines["store"]})'
        f' -> "broken" (tests/run/test_slow.py:{lines["broken"]})'
    )
