"""Middleware, observers, health."""
# needs: asyncmeta.Observer

from collections.abc import Callable
from typing import Any

from typing_extensions import assert_type

from asyncmeta import (
    AsyncServiceBase,
    Build,
    Container,
    Event,
    HealthReport,
    Lifetime,
    Middleware,
    Next,
    Observation,
    Observer,
    inject_dependency,
)


class Database:
    async def ping(self) -> bool:
        return True


async def timed(build: Build, call: Next) -> Any:
    assert_type(build.key, str)
    assert_type(build.lifetime, Lifetime)
    assert_type(build.where, str)
    assert_type(build.parent, Build | None)
    return await call()


def plain(build: Build, call: Callable[[], Any]) -> Any:
    return call()


middleware: Middleware = plain


class Shop(AsyncServiceBase, middleware=[timed, plain]):
    pass


class Log(Observer):
    def build_begin(self, event: Event, /) -> None:
        assert_type(event.key, str)
        assert_type(event.seconds, float | None)
        assert_type(event.parent, str | None)
        assert_type(event.task, str | None)


class WrongLog(Observer):
    def build_end(self, event: int, /) -> None: ...  # E: not what is handed over


async def healthy(database: Database) -> bool:
    return await database.ping()


@inject_dependency(Database, health=healthy)
def make_database() -> Database:
    return Database()


def unhealthy(value: int) -> bool:
    return False


async def use(container: Container) -> None:
    Container(Shop, middleware=[timed], slow=0.5)
    assert_type(container.observe(Log()), Observation)
    with container.observe(Log()) as observation:
        assert_type(observation, Observation)
    observation.remove()
    report = await container.health(timeout=1.0)
    assert_type(report, HealthReport)
    assert_type(report.ok, bool)
    assert_type(report.to_json(), str)


async def mistakes(container: Container, event: Event, build: Build) -> None:
    container.observe(3)  # E: no observer
    container.observe(Log)  # E: an instance
    Container(Shop, middleware=[3])  # E: cannot be called

    class K(AsyncServiceBase, middleware=[3]):  # E: cannot be called
        pass
    Container(Shop, slow="1")  # E: seconds
    await container.health(timeout="1")  # E: seconds
    print(event.value)  # E: values are not shown
    build.key = "x"  # E: read only
    inject_dependency(Database, health=unhealthy)  # E: gets a Database
