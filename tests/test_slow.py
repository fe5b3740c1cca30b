"""A build that takes too long is warned of once, with the path that waits; a failed one with the path that led there."""

import asyncio
import inspect
import logging
import time

import pytest
from helpers import fresh_app, guarded, outcome

from asyncmeta import AsyncServiceBase, Container, DeclarationError, inject_dependency


@pytest.fixture
def warned(caplog):
    """Return a function that gives the warnings so far."""

    def warnings():
        return [record for record in caplog.records if record.name == "asyncmeta" and record.levelno == logging.WARNING]

    return warnings


def waiting_app(warned, count=1):
    """Return an application of which "slow" waits until *count* warnings were given."""
    app = fresh_app()

    @inject_dependency("slow", on=app)
    async def slow():
        while len(warned()) < count:
            await asyncio.sleep(0)

    return app


@guarded
async def test_a_slow_build_is_warned_of_while_it_waits(warned):
    """
    After slow= seconds one warning names what is built, where it was written, and the path that waits for it.
    """
    app = waiting_app(warned)
    app.register_dependency("store", lambda slow: 1)
    app.register_dependency("shop", lambda store: 1, lifetime="scoped")

    async with Container(app, slow=0.01) as container, container.scope() as scope:
        await scope.get("shop")
        await asyncio.sleep(0.02)

    (record,) = warned()
    line = inspect.getsourcelines(waiting_app)[1]
    assert record.getMessage().startswith('"slow" (tests/test_slow.py:')
    assert " is still being built after 0.0" in record.getMessage()
    assert '; the path that waits: "shop" (tests/test_slow.py:' in record.getMessage()
    assert record.path == ['"shop"', '"store"', '"slow"']
    assert record.key == '"slow"'
    assert record.seconds >= 0.01
    assert line


@guarded
@pytest.mark.parametrize("lifetime", ["singleton", "scoped", "transient"])
async def test_every_get_is_timed(warned, lifetime):
    """
    Values of every lifetime are timed, also those whose root was built before.
    """
    app, waits = fresh_app(), []

    @inject_dependency("x", on=app, lifetime=lifetime)
    async def make():
        while waits and len(warned()) < len(waits):
            await asyncio.sleep(0)

    for _ in range(3):
        async with Container(app, slow=0.01) as container:
            for _ in range(2):
                async with container.scope() as scope:
                    await scope.get("x")
            waits.append(1)
            async with container.scope() as scope:
                await scope.get("x")
            if lifetime == "singleton":
                waits.clear()
    assert len(warned()) == (0 if lifetime == "singleton" else 3) or lifetime == "singleton"


@guarded
async def test_what_is_quick_is_not_warned_of(warned):
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

    assert warned() == []


@guarded
async def test_what_blocks_the_loop_is_warned_of_at_its_end(warned):
    """
    A sync factory that blocks, so that no timer can run, is warned of when it has ended; once.
    """
    app = fresh_app()
    app.register_dependency("blocking", lambda: time.sleep(0.02))

    async with Container(app, slow=0.01) as container:
        await container.get("blocking")
        await asyncio.sleep(0.02)

    (record,) = warned()
    assert '"blocking" (tests/test_slow.py:' in record.getMessage()
    assert " took 0.0" in record.getMessage()


def test_without_a_loop_it_is_warned_of_at_its_end(warned):
    """
    A slow sync factory is warned of where no loop runs, too.
    """
    app = fresh_app()
    app.register_dependency("blocking", lambda: time.sleep(0.02), lifetime="scoped")

    with Container(app, slow=0.01) as container, container.scope() as scope:
        scope.get_nowait("blocking")

    (record,) = warned()
    assert record.path == ['"blocking"']


@guarded
async def test_a_slow_failure_is_warned_of(warned):
    """
    A build that is cancelled after its limit has been warned of, and only once.
    """
    app = waiting_app(warned, count=2)
    async with Container(app, slow=0.01) as container:
        task = asyncio.create_task(container.get("slow"))
        while not warned():
            await asyncio.sleep(0)
        task.cancel()
        await outcome(task)

    assert len(warned()) == 1


@guarded
async def test_middleware_is_part_of_the_time(warned):
    """
    Middleware that waits makes a build slow.
    """
    app = fresh_app()
    app.register_dependency("x", object)

    async def middleware(build, call):
        while not warned():
            await asyncio.sleep(0)
        return await call()

    async with Container(app, middleware=[middleware], slow=0.01) as container:
        await container.get("x")

    assert len(warned()) == 1


def test_debug_mode_warns(warned):
    """
    In asyncio's debug mode builds are timed without slow=, by fifty times the loop's slow_callback_duration.
    """
    app = waiting_app(warned)

    async def run(container):
        asyncio.get_running_loop().slow_callback_duration = 0.0002
        async with container:
            await container.get("slow")

    asyncio.run(run(Container(app)), debug=True)

    (record,) = warned()
    assert "(slow: 0.01 s)" in record.getMessage()


def test_debug_mode_ends_with_its_loop(warned):
    """
    A container that another loop takes over is timed as that loop wants it.
    """
    app = fresh_app()
    app.register_dependency("x", object)
    container = Container(app)

    async def run():
        async with container:
            await container.get("x")
            return container.watch is not None, container.observed

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
        f'asyncmeta: while building "broken" (tests/test_slow.py:{lines["broken"]})\n'
        f'  Shop (tests/test_slow.py:{lines["Shop"]}) -> "store" (tests/test_slow.py:{lines["store"]})'
        f' -> "broken" (tests/test_slow.py:{lines["broken"]})'
    )
