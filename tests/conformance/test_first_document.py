"""The first document, claim by claim: its program runs as printed, and its faults are not ours."""

import asyncio
import contextlib
import functools
import gc
import os
import pathlib
import subprocess
import sys
import uuid
import weakref

import pytest

import asyncmeta
from asyncmeta import (
    AsyncDependencyDescriptor,
    AsyncMeta,
    AsyncServiceBase,
    Container,
    GraphError,
    GraphErrors,
    MissingDependencyError,
    Scope,
    inject_dependency,
)

# The document's program, its first four definitions replaced by one line of import.
PROGRAM = '''\
import asyncio

from asyncmeta import AsyncDependencyDescriptor, AsyncServiceBase, inject_dependency


# --- Example Usage ---

@inject_dependency("database")
async def create_database_connection():
    """Mock async database connection creation."""
    await asyncio.sleep(1)  # Simulate async setup
    return "DB Connection Established"


@inject_dependency("cache")
def create_cache_service():
    """Mock sync cache service."""
    return "Cache Service Ready"


class MyApp(AsyncServiceBase):
    db = AsyncDependencyDescriptor("database")
    cache = AsyncDependencyDescriptor("cache")

    async def run(self):
        """Simulate app execution using injected dependencies."""
        db_conn = await self.db  # Await async dependency resolution
        cache_service = await self.cache  # Cache service is sync, but still awaited
        print(f"Using {db_conn} and {cache_service}")


# --- Running the Example ---
async def main():
    app = MyApp()
    await app.run()

asyncio.run(main())
'''
LINE = "Using DB Connection Established and Cache Service Ready\n"


def problems(error):
    """Return the single problems of a graph error, whether it came alone or in a group."""
    return list(error.exceptions) if isinstance(error, GraphErrors) else [error]


def run_program(program, tmp_path, *flags):
    """Run *program* in an interpreter of its own, which finds the package under test."""
    script = tmp_path / "program.py"
    script.write_text(program, encoding="utf-8")
    house = str(pathlib.Path(asyncmeta.__file__).parent.parent)
    return subprocess.run(
        [sys.executable, *flags, str(script)],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": house},
    )


# --- the program ---------------------------------------------------------------------------------


def test_the_program_prints_its_line(tmp_path):
    """
    The document's program runs as printed but for its imports, without a warning.
    """
    done = run_program(PROGRAM, tmp_path, "-W", "error", "-X", "dev")

    assert (done.stdout, done.stderr, done.returncode) == (LINE, "", 0)


def test_the_program_without_its_run_line_builds_nothing(tmp_path):
    """
    Declaring, and making an instance, builds nothing.
    """
    program = PROGRAM.replace("await asyncio.sleep(1)", "print('building')").replace("await app.run()", "print(app.db)")

    done = run_program(program, tmp_path)

    assert done.returncode == 0
    assert "building" not in done.stdout


# --- "Lazy evaluation" ---------------------------------------------------------------------------


async def test_nothing_is_built_before_it_is_awaited():
    """
    Making the class, the instance and the attribute's handle calls no factory; awaiting it does.
    """
    built = []

    class App(AsyncServiceBase):
        db = AsyncDependencyDescriptor("database")

        @inject_dependency("database")
        @staticmethod
        def connect():
            built.append("database")
            return "connection"

    app = App()
    handle = app.db
    before = list(built)

    value = await handle

    assert before == []
    assert (value, built) == ("connection", ["database"])


async def test_only_what_is_awaited_is_built():
    """
    An attribute that nobody awaits is never built.
    """
    built = []

    class App(AsyncServiceBase):
        db = AsyncDependencyDescriptor("database")
        cache = AsyncDependencyDescriptor("cache")

        @inject_dependency("database")
        @staticmethod
        async def connect():
            built.append("database")

        @inject_dependency("cache")
        @staticmethod
        async def open_cache():
            built.append("cache")

    await App().db

    assert built == ["database"]


# --- "Caching: only once per instance" -----------------------------------------------------------


async def test_an_attribute_is_resolved_once_per_instance():
    """
    The second await of an attribute returns the first one's value and calls nothing.
    """
    built = []

    class App(AsyncServiceBase):
        db = AsyncDependencyDescriptor("database")

        @inject_dependency("database")
        @staticmethod
        async def connect():
            built.append(object())
            return built[-1]

    app = App()

    first, second = await app.db, await app.db

    assert first is second is built[0]
    assert len(built) == 1


async def test_several_instances_have_their_own():
    """
    Each instance that the user makes resolves for itself.
    """
    built = []

    class App(AsyncServiceBase):
        db = AsyncDependencyDescriptor("database")

        @inject_dependency("database")
        @staticmethod
        async def connect():
            built.append(object())
            return built[-1]

    one, other = App(), App()

    values = [await one.db, await other.db, await one.db, await other.db]

    assert values == [built[0], built[1], built[0], built[1]]
    assert len(built) == 2


async def test_none_is_cached_like_any_other_value():
    """
    A factory that returns None is called once.
    """
    calls = []

    class App(AsyncServiceBase):
        nothing = AsyncDependencyDescriptor("nothing")

        @inject_dependency("nothing")
        @staticmethod
        def make():
            calls.append(1)

    app = App()

    values = [await app.nothing, await app.nothing]

    assert values == [None, None]
    assert calls == [1]


# --- "Dependencies may be async or sync" ---------------------------------------------------------


async def test_sync_and_async_factories_are_both_awaited():
    """
    An attribute is awaited in the same way, whether its factory is sync or async.
    """

    class App(AsyncServiceBase):
        db = AsyncDependencyDescriptor("database")
        cache = AsyncDependencyDescriptor("cache")

        @inject_dependency("database")
        @staticmethod
        async def connect():
            await asyncio.sleep(0)
            return "DB"

        @inject_dependency("cache")
        @staticmethod
        def open_cache():
            return "cache"

    app = App()

    values = await asyncio.gather(app.db, app.cache)

    assert values == ["DB", "cache"]


async def test_async_factories_that_the_printed_test_misses_are_awaited():
    """
    Partials of async functions and objects with an async call are awaited too.
    """

    async def connect(name):
        return name

    class Connect:
        async def __call__(self):
            return "object"

    class App(AsyncServiceBase):
        partial = AsyncDependencyDescriptor("partial")
        object = AsyncDependencyDescriptor("object")

    App.register_dependency("partial", functools.partial(connect, "partial"))
    App.register_dependency("object", Connect())
    app = App()

    values = [await app.partial, await app.object]

    assert values == ["partial", "object"]


# --- "Class-level access returns the descriptor itself" ------------------------------------------


def test_class_access_gives_the_descriptor():
    """
    The attribute of the class is the descriptor, which knows the name it looks up.
    """

    class App(AsyncServiceBase):
        db = AsyncDependencyDescriptor("database")

    assert App.db is vars(App)["db"]
    assert isinstance(App.db, AsyncDependencyDescriptor)
    assert App.db.service_name == "database"


async def test_resolve_gives_what_the_attribute_gives():
    """
    Resolving the descriptor for an instance is awaiting the attribute.
    """

    class App(AsyncServiceBase):
        db = AsyncDependencyDescriptor("database")

        @inject_dependency("database")
        @staticmethod
        async def connect():
            return object()

    app, other = App(), App()

    resolved, attribute, again = await App.db.resolve(app), await app.db, await App.db.resolve(app)

    assert resolved is attribute is again
    assert await App.db.resolve(other) is not resolved


# --- "Metaclasses register and retrieve" ---------------------------------------------------------


def test_service_classes_are_made_by_the_metaclass():
    """
    A service class is an instance of AsyncMeta, and derives from AsyncServiceBase.
    """

    class App(AsyncServiceBase):
        pass

    assert type(App) is AsyncMeta
    assert isinstance(AsyncServiceBase, AsyncMeta)


def test_factories_are_registered_and_found_through_the_class():
    """
    A class registers a factory under a name and gives it back; an unknown name is None.
    """

    class App(AsyncServiceBase):
        pass

    def connect():
        return "connection"

    App.register_dependency("database", connect)

    assert App.get_dependency("database") is connect
    assert App.get_dependency("cache") is None


async def test_what_the_class_registers_is_injected():
    """
    A factory registered through the metaclass method serves the attributes of the class.
    """

    class App(AsyncServiceBase):
        db = AsyncDependencyDescriptor("database")

    App.register_dependency("database", lambda: "connection")

    assert await App().db == "connection"


def test_the_decorator_returns_its_function():
    """
    A decorated factory stays the function it was and can be called by hand.
    """
    name = f"first document {uuid.uuid4()}"

    def connect():
        return "connection"

    decorated = inject_dependency(name)(connect)

    assert decorated is connect
    assert decorated() == "connection"


# --- the faults of what is printed ---------------------------------------------------------------


async def test_the_decorator_works_for_every_service_class():
    """
    What is decorated outside of any class serves all service classes (the printed decorator raises TypeError).
    """
    name = f"first document {uuid.uuid4()}"

    @inject_dependency(name)
    async def connect():
        return "connection"

    class One(AsyncServiceBase):
        db = AsyncDependencyDescriptor(name)

    class Other(AsyncServiceBase):
        db = AsyncDependencyDescriptor(name)

    assert One.get_dependency(name) is Other.get_dependency(name) is connect
    assert [await One().db, await Other().db] == ["connection", "connection"]


async def test_an_explicit_name_wins_over_the_attribute_name():
    """
    The name given to the descriptor is looked up, not the attribute's (the printed metaclass overwrites it).
    """

    class App(AsyncServiceBase):
        db = AsyncDependencyDescriptor("database")

    App.register_value("database", "by name")
    App.register_value("db", "by attribute")

    assert await App().db == "by name"


async def test_the_attribute_name_stands_in_for_a_missing_one():
    """
    A descriptor without a name looks up the name of its attribute.
    """

    class App(AsyncServiceBase):
        database = AsyncDependencyDescriptor()

    App.register_value("database", "connection")

    assert App.database.service_name == "database"
    assert await App().database == "connection"


async def test_no_cache_keeps_an_instance_alive():
    """
    An instance whose attributes were awaited is freed with its last reference, and so are its values.
    """

    class Value:
        pass

    class App(AsyncServiceBase):
        db = AsyncDependencyDescriptor("database")

        @inject_dependency("database")
        @staticmethod
        async def connect():
            return Value()

    app = App()
    gone = [weakref.ref(app), weakref.ref(await app.db)]

    del app
    await asyncio.sleep(0)  # the loop lets go of the finished task
    gc.collect()

    assert [reference() for reference in gone] == [None, None]


async def test_two_tasks_do_not_build_twice():
    """
    Tasks that await an attribute while it is being built share that build.
    """
    begun, go_on, built = asyncio.Event(), asyncio.Event(), []

    class App(AsyncServiceBase):
        db = AsyncDependencyDescriptor("database")

        @inject_dependency("database")
        @staticmethod
        async def connect():
            built.append(object())
            begun.set()
            await go_on.wait()
            return built[-1]

    app = App()

    async with asyncio.TaskGroup() as group:
        first = group.create_task(app.db.run())
        await asyncio.wait_for(begun.wait(), 5)
        second = group.create_task(app.db.run())
        await asyncio.sleep(0)
        go_on.set()

    assert first.result() is second.result() is built[0]
    assert len(built) == 1


async def test_a_missing_name_is_an_error_with_near_misses():
    """
    A name that nothing provides is told with the names that are close to it (the printed code calls None).
    """

    class App(AsyncServiceBase):
        db = AsyncDependencyDescriptor("databse")

    App.register_value("database", "connection")

    with pytest.raises(GraphError) as caught:
        await App().db

    (problem,) = problems(caught.value)
    assert isinstance(problem, MissingDependencyError)
    assert problem.key == '"databse"'
    assert problem.close_to == ('"database"',)
    assert 'Did you mean "database"?' in str(caught.value)


async def test_unhashable_instances_have_attributes():
    """
    An instance need not be hashable (the printed cache is a dictionary of instances).
    """

    class App(AsyncServiceBase):
        db = AsyncDependencyDescriptor("database")
        __hash__ = None

        @inject_dependency("database")
        @staticmethod
        async def connect():
            return object()

    app = App()

    assert await app.db is await app.db


async def test_equal_instances_are_not_confused():
    """
    Instances that compare equal still have their own values.
    """

    class App(AsyncServiceBase):
        db = AsyncDependencyDescriptor("database")

        def __eq__(self, other):
            return True

        def __hash__(self):
            return 1

        @inject_dependency("database")
        @staticmethod
        async def connect():
            return object()

    one, other = App(), App()

    assert await one.db is not await other.db


async def test_classes_do_not_share_one_table():
    """
    What one class registers is not seen by another (the printed table is the same for all).
    """

    class One(AsyncServiceBase):
        pass

    class Other(AsyncServiceBase):
        pass

    One.register_value("name", "one")
    Other.register_value("name", "other")

    assert [await Container(One).get("name"), await Container(Other).get("name")] == ["one", "other"]


async def test_looking_at_an_attribute_leaves_no_warning():
    """
    An attribute that is read and never awaited warns of nothing (the printed one is a coroutine).
    """

    class App(AsyncServiceBase):
        db = AsyncDependencyDescriptor("database")

        @inject_dependency("database")
        @staticmethod
        async def connect():
            return "connection"

    app = App()

    getattr(app, "db")  # noqa: B009  # reading it is the point
    gc.collect()

    assert await app.db == "connection"


async def test_a_failure_is_not_cached():
    """
    After a factory failed, the next await tries again.
    """
    answers = iter([OSError("down"), "connection"])

    class App(AsyncServiceBase):
        db = AsyncDependencyDescriptor("database")

        @inject_dependency("database")
        @staticmethod
        async def connect():
            answer = next(answers)
            if isinstance(answer, OSError):
                raise answer
            return answer

    app = App()

    with pytest.raises(OSError, match="down"):
        await app.db
    assert await app.db == "connection"


async def test_resources_are_closed_with_the_instance():
    """
    What a generator factory made for an instance is closed when the instance's block ends.
    """
    steps = []

    class App(AsyncServiceBase):
        db = AsyncDependencyDescriptor("database")

        @inject_dependency("database")
        @staticmethod
        async def connect():
            steps.append("open")
            try:
                yield "connection"
            finally:
                steps.append("close")

    async with App() as app:
        steps.append(await app.db)

    assert steps == ["open", "connection", "close"]


async def test_an_instance_of_its_own_has_a_container_of_its_own():
    """
    The instance that the user makes is the root of a container, made when it is first used.
    """

    class App(AsyncServiceBase):
        db = AsyncDependencyDescriptor("database")

    App.register_value("database", "connection")
    one, other = App(), App()
    await one.db
    await other.db

    with contextlib.closing(Scope.of(one)) as scope:
        assert isinstance(scope, Container)
        assert scope is not Scope.of(other)
        assert await scope.get(App) is one
