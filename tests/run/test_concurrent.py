"""Scoped values that are built beside others."""

import asyncio
from contextvars import ContextVar

import pytest

from asyncmeta import AsyncServiceBase, Container, DeclarationError, FinalizationErrors, inject_dependency


def application(steps, gates):
    class App(AsyncServiceBase): ...

    def add(name, needs=(), concurrent=True, fails=False):
        async def make(**_):
            steps.append(f"+{name}")
            try:
                if name in gates:
                    await gates[name].wait()
                if fails:
                    raise ValueError(name)
            except asyncio.CancelledError:
                steps.append(f"x{name}")
                raise
            yield name
            steps.append(f"-{name}")

        parameters = ", ".join(needs)
        space = {"make": make}
        exec(f"async def factory({parameters}):\n    async for value in make():\n        yield value\n", space)
        App.register_dependency(name, space["factory"], lifetime="scoped", concurrent=concurrent)

    return App, add


async def test_concurrent_values_are_built_side_by_side():
    """
    Values marked concurrent are begun together, as soon as what they need is there, and awaited before they are used.
    """
    steps, gates = [], {"a": asyncio.Event(), "b": asyncio.Event()}
    App, add = application(steps, gates)
    add("a")
    add("b")
    add("ab", ("a", "b"), concurrent=False)

    async with Container(App) as container, container.scope() as scope:
        task = asyncio.create_task(scope.get("ab"))
        while steps != ["+a", "+b"]:  # noqa: ASYNC110  # each turn lets the tasks take a step
            await asyncio.sleep(0)
        gates["b"].set()
        await asyncio.sleep(0)
        assert "+ab" not in steps
        gates["a"].set()
        assert await task == "ab"

    assert steps[:3] == ["+a", "+b", "+ab"]
    assert steps[3] == "-ab"
    assert sorted(steps[4:]) == ["-a", "-b"]


async def test_a_failure_cancels_the_others():
    """
    Where one fails, those that are still being built are cancelled and waited for, and a second try begins anew.
    """
    steps, gates = [], {"slow": asyncio.Event()}
    App, add = application(steps, gates)
    add("slow")
    add("bad", fails=True)
    add("both", ("slow", "bad"))

    async with Container(App) as container, container.scope() as scope:
        with pytest.raises(ValueError, match="bad"):
            await scope.get("both")
        assert "xslow" in steps
        with pytest.raises(ValueError, match="bad"):
            await scope.get("both")

    assert steps.count("+slow") == steps.count("xslow") == 2


async def test_a_cancelled_get_leaves_nothing_behind():
    """
    Cancelling the get cancels what it had begun.
    """
    steps, gates = [], {"slow": asyncio.Event()}
    App, add = application(steps, gates)
    add("slow")

    async with Container(App) as container, container.scope() as scope:
        task = asyncio.create_task(scope.get("slow"))
        while not steps:  # noqa: ASYNC110  # each turn lets the tasks take a step
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert steps == ["+slow", "xslow"]
        gates["slow"].set()
        assert await scope.get("slow") == "slow"

    assert steps == ["+slow", "xslow", "+slow", "-slow"]


async def test_a_concurrent_generator_is_left_in_the_task_that_entered_it():
    """
    Set-up and teardown share task and context.
    """
    variable: ContextVar[str] = ContextVar("variable", default="unset")
    tasks = []

    class App(AsyncServiceBase):
        @inject_dependency("value", lifetime="scoped", concurrent=True)
        @staticmethod
        async def value():
            token = variable.set("set")
            tasks.append(asyncio.current_task())
            try:
                yield "value"
            finally:
                tasks.append(asyncio.current_task())
                variable.reset(token)

    async with Container(App) as container, container.scope() as scope:
        assert await scope.get("value") == "value"
        assert tasks[0] is not asyncio.current_task()

    assert tasks[0] is tasks[1]


@pytest.mark.parametrize("kind", ["cancel scope", "token"])
async def test_what_is_left_in_another_task_than_its_own_is_told_what_to_do(kind):
    """
    A cancel scope or a token that a generator cannot leave where its scope ends: the error notes the way out, which works.
    """
    anyio = pytest.importorskip("anyio")
    variable: ContextVar[str] = ContextVar("variable")

    class App(AsyncServiceBase): ...

    async def value():
        if kind == "token":
            token = variable.set("set")
            try:
                yield "value"
            finally:
                variable.reset(token)
        else:
            async with anyio.create_task_group():
                yield "value"

    async def used(**options):
        App.register_dependency("value", value, lifetime="scoped", **options)
        async with Container(App) as container, container.scope() as scope:
            return await asyncio.create_task(scope.get("value"))

    with pytest.raises(FinalizationErrors) as caught:
        await used()

    assert any("concurrent=True" in note for note in caught.value.exceptions[0].__notes__)
    assert await used(concurrent=True) == "value"


async def test_gather_builds_concurrent_values_side_by_side():
    """
    scope.gather begins the concurrent ones among its tokens together.
    """
    steps, gates = [], {"a": asyncio.Event(), "b": asyncio.Event()}
    App, add = application(steps, gates)
    add("a")
    add("b")

    async with Container(App) as container, container.scope() as scope:
        task = asyncio.create_task(scope.gather("a", "b"))
        while steps != ["+a", "+b"]:  # noqa: ASYNC110  # each turn lets the tasks take a step
            await asyncio.sleep(0)
        for gate in gates.values():
            gate.set()
        assert await task == ("a", "b")


async def test_what_is_registered_while_gather_waits_is_what_it_gives():
    """
    A gather waits for a singleton; what is registered meanwhile and needs another one gets that: nothing says "closed".
    """
    begun, gate = asyncio.Event(), asyncio.Event()

    class App(AsyncServiceBase): ...

    async def pool():
        begun.set()
        await gate.wait()
        return "pool"

    async def cache():
        return "cache"

    async def session(pool):
        yield f"session of {pool}"

    async def newer(pool, cache):
        yield f"session of {pool} and {cache}"

    App.register_dependency("pool", pool)
    App.register_dependency("cache", cache)
    App.register_dependency("session", session, lifetime="scoped", concurrent=True)
    async with Container(App) as container, container.scope() as scope:
        task = asyncio.create_task(scope.gather("session", "pool"))
        await begun.wait()
        App.register_dependency("session", newer, lifetime="scoped", concurrent=True)
        gate.set()

        assert await task == ("session of pool and cache", "pool")


def test_concurrent_is_for_scoped_values():
    """
    A singleton or transient registration cannot be concurrent.
    """

    class App(AsyncServiceBase): ...

    for lifetime in ("singleton", "transient"):
        with pytest.raises(DeclarationError, match="concurrent"):
            App.register_dependency("x", lambda: 1, lifetime=lifetime, concurrent=True)
