"""A key that is registered anew while its value is being built: there is one value of it, and nobody waits for ever."""

import asyncio

import pytest

from asyncmeta import AsyncServiceBase, Container

LIFETIMES = pytest.mark.parametrize("lifetime", ["singleton", "scoped"])


class World:
    """An application whose key "pool" is registered by number, and each of them built when its gate is opened."""

    def __init__(self, lifetime):
        self.lifetime = lifetime
        self.begun, self.gates, self.closed = [], {}, []

        class App(AsyncServiceBase): ...

        self.app = App
        App.register_dependency("user", self._user, lifetime=lifetime)

    def register(self, number, fails=False):
        gate = self.gates[number] = asyncio.Event()

        async def pool():
            self.begun.append(number)
            await gate.wait()
            if fails:
                raise ValueError(number)
            yield number
            self.closed.append(number)

        self.app.register_dependency("pool", pool, lifetime=self.lifetime)

    async def _user(self, pool):
        return f"user of {pool}"

    async def asked(self, scope, *tokens):
        """Begin to ask for each of *tokens*, and return the tasks."""
        tasks = [asyncio.create_task(scope.get(token)) for token in tokens]
        for _ in range(8):
            await asyncio.sleep(0)
        return tasks


async def ended(tasks):
    return await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 5)


@LIFETIMES
async def test_what_is_being_built_stays_what_it_is(lifetime):
    """
    Whoever asked before, and whoever asks after, gets the value that is on its way, and so does what stands on it.
    """
    world = World(lifetime)
    world.register(1)
    async with Container(world.app) as container, container.scope() as scope:
        tasks = await world.asked(scope, "pool", "pool")
        world.register(2)
        tasks += await world.asked(scope, "pool", "user", "pool")
        world.register(3)
        tasks += await world.asked(scope, "user", "pool")
        for gate in world.gates.values():
            gate.set()

        assert await ended(tasks) == [1, 1, 1, "user of 1", 1, "user of 1", 1]
        assert await scope.get("pool") == 1
    assert world.begun == world.closed == [1]


@LIFETIMES
async def test_what_nobody_has_looked_for_since_is_the_one_that_was_built_as_well(lifetime):
    """
    Registered anew twice, the second time looked for only when the first value is there: it is that one.
    """
    world = World(lifetime)
    world.register(1)
    async with Container(world.app) as container, container.scope() as scope:
        tasks = await world.asked(scope, "pool")
        world.register(2)
        tasks += await world.asked(scope, "pool")
        world.register(3)
        for gate in world.gates.values():
            gate.set()
        assert await ended(tasks) == [1, 1]

        assert await ended(await world.asked(scope, "pool", "user")) == [1, "user of 1"]
    assert world.begun == world.closed == [1]


@LIFETIMES
@pytest.mark.parametrize("cancelled", [True, False])
async def test_what_comes_to_nothing_is_followed_by_what_is_registered(lifetime, cancelled):
    """
    Where the build on its way fails, or is given up, the next one to ask gets what was registered meanwhile.
    """
    world = World(lifetime)
    world.register(1, fails=not cancelled)
    async with Container(world.app) as container, container.scope() as scope:
        first = await world.asked(scope, "pool")
        world.register(2)
        world.gates[2].set()
        later = await world.asked(scope, "pool", "user")
        if cancelled:
            first[0].cancel()
        world.gates[1].set()
        if cancelled and lifetime == "singleton":
            # Others wait for it: it goes on for them.
            assert await ended(later) == [1, "user of 1"]
        elif cancelled:
            assert await ended(later) == [2, "user of 2"]
        else:
            assert [type(one) for one in await ended(first)] == [ValueError]
            await ended(later)
            assert await ended(await world.asked(scope, "pool", "user")) == [2, "user of 2"]


async def test_a_build_that_nobody_waits_for_any_more_is_followed_as_well():
    """
    All who asked are cancelled while the key is registered anew: the next one builds that, with what it needs.
    """
    world = World("singleton")
    world.register(1)
    async with Container(world.app) as container:
        tasks = await world.asked(container, "pool")
        world.register(2)
        tasks += await world.asked(container, "user")
        for task in tasks:
            task.cancel()
        world.gates[2].set()

        assert await ended(await world.asked(container, "user", "pool")) == ["user of 2", 2]
    assert world.begun == [1, 2]
    assert world.closed == [2]


async def test_a_factory_that_registers_its_own_key_anew_is_asked_once():
    """
    A factory may register over itself, for the containers to come: it is done, and what it made stays here.
    """

    class App(AsyncServiceBase): ...

    def register(number):
        async def pool():
            register(number + 1)
            await asyncio.sleep(0)
            return number

        App.register_dependency("pool", pool)

    register(1)
    async with Container(App) as container:
        values = await container.gather("pool", "pool")
        assert values == (1, 1)
        assert await container.get("pool") == 1
    async with Container(App) as container:
        assert await container.get("pool") == 2


@LIFETIMES
@pytest.mark.parametrize("built", [True, False])
async def test_in_an_override_as_well(lifetime, built):
    """
    What stands on what is overridden is built once, too, where it is registered anew.
    """
    world = World(lifetime)
    world.app.register_dependency("dsn", lambda: "real")
    calls, gate = [], asyncio.Event()

    def register():
        async def engine(dsn):
            calls.append(dsn)
            await gate.wait()
            return object()

        world.app.register_dependency("engine", engine, lifetime=lifetime)

    register()
    async with Container(world.app, check=False) as container, container.override({"dsn": "fake"}), container.scope() as scope:
        tasks = await world.asked(scope, "engine")
        if built:
            gate.set()
            await ended(tasks)
        register()
        tasks += await world.asked(scope, "engine")
        gate.set()
        values = await ended(tasks)

    assert values[0] is values[1]
    assert calls == ["fake"]
