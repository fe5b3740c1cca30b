"""Health: every built singleton that says how is asked, side by side; nothing is built by asking."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator

import pytest
from helpers import fresh_app, guarded, outcome, settled

from asyncmeta import AsyncDependencyDescriptor, AsyncServiceBase, ClosedError, Container, WrongLoopError, inject_dependency


class Database:
    async def ping(self):
        return True

    def check(self):
        return None


async def wrong(value):
    raise ConnectionError("postgres://me:hunter2@host")


async def waiting(value):
    await asyncio.Event().wait()


def states(report):
    """Return what each entry says, by key."""
    return {entry.key: entry.state for entry in report.entries}


def app_with(**probes):
    """Return an application with a singleton for each probe."""
    app = fresh_app()
    for name, probe in probes.items():
        app.register_dependency(name, Database, health=probe)
    return app


async def is_well(value):
    return True


async def is_unwell(value):
    return False


@pytest.mark.parametrize(
    ("probe", "state"),
    [
        ("ping", "ok"),
        ("check", "ok"),
        (is_well, "ok"),
        (lambda value: None, "ok"),
        (lambda value: 0, "ok"),
        (lambda value: is_well(value), "ok"),
        (is_unwell, "failed"),
        (lambda value: False, "failed"),
        (lambda value: is_unwell(value), "failed"),
        (wrong, "failed"),
        ("no_such_method", "failed"),
        ("__dict__", "failed"),
        (lambda: True, "failed"),
    ],
)
async def test_what_a_probe_says(probe, state):
    """
    A probe, sync or async, a callable or a method's name, is well unless it raises or answers False.
    """
    async with Container(app_with(x=probe)) as container:
        await container.get("x")
        report = await container.health()

    assert states(report) == {'"x"': state}
    assert report.ok is (state == "ok")


async def test_nothing_is_built_by_asking():
    """
    What is not built yet is "not started", which is no failure, and stays so.
    """
    app = app_with(x="ping", y="ping")
    async with Container(app) as container:
        await container.get("x")
        report = await container.health()
        again = await container.health()
        built = [node.name for node in container._singletons.built]

    assert states(report) == states(again) == {'"x"': "ok", '"y"': "not started"}
    assert report.ok
    assert built == ['"x"']


async def test_who_says_nothing_is_not_asked():
    """
    Registrations without health= are in no report; neither are scoped values.
    """
    app = app_with(x="ping")
    app.register_dependency("plain", Database)
    app.register_dependency("scoped", Database, lifetime="scoped", health="ping")
    async with Container(app) as container, container.scope() as scope:
        await scope.gather("x", "plain", "scoped")
        report = await container.health()

    assert states(report) == {'"x"': "ok"}


@guarded
async def test_probes_run_side_by_side():
    """
    No probe waits for another one.
    """
    both = asyncio.Barrier(2)

    async def meeting(value):
        await both.wait()

    async with Container(app_with(x=meeting, y=meeting)) as container:
        await container.start("x", "y")
        report = await container.health()

    assert states(report) == {'"x"': "ok", '"y"': "ok"}


@guarded
async def test_each_has_its_limit():
    """
    A probe that takes longer is cancelled and timed out; the others are not affected.
    """
    ended = []

    async def hanging(value):
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(asyncio.current_task().get_name())

    async with Container(app_with(x=hanging, y="ping")) as container:
        await container.start("x", "y")
        report = await container.health(timeout=0.01)

    assert states(report) == {'"x"': "timed out", '"y"': "ok"}
    assert not report.ok
    assert ended == ['asyncmeta: health of "x"']
    assert report.entries[0].seconds >= 0.01


async def test_a_probes_own_timeout_is_a_failure():
    """
    A TimeoutError that the probe itself raises is a failure, not our limit.
    """

    async def own(value):
        raise TimeoutError

    async with Container(app_with(x=own)) as container:
        await container.get("x")
        report = await container.health()

    assert states(report) == {'"x"': "failed"}


@guarded
async def test_a_cancelled_caller_cancels_the_probes():
    """
    Who stops waiting for the report leaves no probe behind.
    """
    async with Container(app_with(x=waiting)) as container:
        await container.get("x")
        task = asyncio.create_task(container.health())
        await settled()
        task.cancel()
        assert isinstance(await outcome(task), asyncio.CancelledError)
        assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_errors_show_no_values():
    """
    What a probe raises is told by its type and place; its text, and the value, appear nowhere.
    """

    class Secret:
        def __repr__(self):
            return "hunter2"

    app = fresh_app()
    app.register_dependency("x", Secret, health=wrong)
    async with Container(app) as container:
        await container.get("x")
        report = await container.health()

    assert report.entries[0].error.startswith("ConnectionError (")
    assert "test_health.py:" in report.entries[0].error
    assert "hunter2" not in str(report) + report.to_json() + repr(report)
    assert json.loads(report.to_json())["ok"] is False


async def test_dependents_are_degraded():
    """
    What fails degrades the built values that need it, directly, through others, and by descriptor; no others.
    """
    app = fresh_app()
    app.register_dependency("database", Database, health=wrong)
    app.register_dependency("store", lambda database: 1)
    app.register_dependency("shop", lambda store: 1)
    app.register_dependency("idle", lambda database: 1)
    app.register_dependency("other", lambda: 1, health=is_well)

    class Users(AsyncServiceBase):
        database = AsyncDependencyDescriptor("database")

    app.register_dependency(Users, Users)
    async with Container(app) as container:
        await container.start("shop", "other", Users)
        report = await container.health()

    failed, well = sorted(report.entries, key=lambda entry: entry.key)
    assert (failed.key, set(failed.degraded)) == ('"database"', {'"store"', '"shop"', "Users"})
    assert (well.key, well.degraded) == ('"other"', ())


async def test_two_databases_of_one_layer_are_told_apart():
    """
    Where services have each their own value of one key, the report says whose it is, and so does that of the start.
    """

    class Layer(AsyncServiceBase):
        well = True
        database = AsyncDependencyDescriptor(Database)

        @inject_dependency(health=lambda database: database.well)
        def open_database(self) -> Database:
            database = Database()
            database.well = self.well
            return database

    class Main(Layer):
        well = False

    class Replica(Layer): ...

    class Reports(AsyncServiceBase):
        def __init__(self, main: Main) -> None: ...

    async with Container(fresh_app(providers=[Main, Replica, Reports])) as container:
        started = await container.start()
        report = await container.health()

    assert states(report) == {"Database of Main": "failed", "Database of Replica": "ok"}
    assert next(entry for entry in report.entries if entry.state == "failed").degraded == ("Main", "Reports")
    assert {timing.key for timing in started.builds} >= {"Database of Main", "Database of Replica", "Main", "Replica"}


async def test_a_service_and_a_list_are_asked():
    """
    A service that starts is asked once; every member of a multi key is.
    """

    class Users(AsyncServiceBase):
        async def on_startup(self): ...

        def ping(self):
            return True

    app = fresh_app()
    app.register_dependency(Users, Users, health="ping")
    app.register_dependency("part", Database, multi=True, health="ping")
    app.register_dependency("part", Database, multi=True, health=is_unwell)
    async with Container(app) as container:
        await container.start()
        report = await container.health()

    assert sorted((entry.key, entry.state) for entry in report.entries) == [('"part"', "failed"), ('"part"', "ok"), ("Users", "ok")]


@guarded
async def test_sync_probes_of_threaded_factories_run_in_a_thread():
    """
    Where the factory runs in a thread, its sync probe does, too, and may block.
    """
    seen, here = [], threading.get_ident()
    app = fresh_app()
    app.register_dependency("x", Database, in_thread=True, health=lambda value: seen.append(threading.get_ident()))
    app.register_dependency("y", Database, health=lambda value: seen.append(threading.get_ident()))
    async with Container(app) as container:
        await container.start("x")
        assert (await container.health()).ok
        await container.start("y")
        assert (await container.health()).ok

    assert seen[0] != here
    assert here in seen[1:]


async def test_a_decorated_resource_is_asked():
    """
    health= on the decorator is asked with the value that a generator yielded; overlays ask their own.
    """
    app = fresh_app()

    @inject_dependency(Database, on=app, health=lambda database: type(database) is Database)
    async def open_database() -> AsyncIterator[Database]:
        yield Database()

    async with Container(app) as container:
        await container.get(Database)
        assert (await container.health()).ok
        async with container.overlay({"x": 1}, new=True) as overlay:
            assert states(await overlay.health()) == {"Database": "ok"}


async def test_a_closed_container_is_not_asked():
    """
    After closing there is nothing to ask.
    """
    container = Container(app_with(x="ping"))
    await container.aclose()

    with pytest.raises(ClosedError):
        await container.health()


async def test_another_living_loop_does_not_ask():
    """
    Values belong to the loop that built them, and are asked there.
    """
    async with Container(app_with(x="ping")) as container:
        await container.get("x")
        error = await asyncio.to_thread(lambda: asyncio.run(outcome(container.health())))

    assert isinstance(error, WrongLoopError)


@pytest.mark.parametrize("timeout", [0, -1, "1", True, None])
async def test_the_limit_is_a_number_of_seconds(timeout):
    """
    A timeout that is no number above 0 is refused.
    """
    async with Container(fresh_app()) as container:
        with pytest.raises(ValueError, match="seconds above 0"):
            await container.health(timeout=timeout)
