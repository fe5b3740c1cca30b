"""Containers and scopes: what opens what, and what `async with` and `with` give."""

from typing import Any

from typing_extensions import assert_type

from asyncmeta import AsyncServiceBase, CheckReport, Container, Lifetime, Scope, StartReport, Timing, Token


class Request:
    pass


class Shop(AsyncServiceBase, context=[Request]):
    def greet(self) -> str:
        return ""


class Job(AsyncServiceBase, lifetime="scoped"):
    pass


SESSION = Lifetime("session")
PRICES = Token[dict[str, int]]("prices")


async def life() -> str:
    assert_type(Container(), Container)
    assert_type(Container(Shop), Container)
    assert_type(Container(Shop()), Container)
    assert_type(Container(Shop, check=False), Container)
    assert_type(Container([Shop, Job]), Container)
    assert_type(Container((Job, Shop), overrides={}), Container)
    async with Container(Shop) as container:
        assert_type(container, Container)
        async with container.scope() as scope:
            assert_type(scope, Scope)
            async with scope.scope({Request: Request()}, level="request") as inner:
                assert_type(inner, Scope)
                around: Container = inner.container
                assert_type(around, Container)
        async with container.scope({Request: Request(), "user": 3, PRICES: {}}) as scope:
            assert_type(scope.level, Lifetime)
            assert_type(scope.closed, bool)
        async with container.scope(level=SESSION):
            pass
        assert_type(container.takes(Request, level="request"), bool)
        with container.ambient() as same:
            assert_type(same, Container)
        assert_type(container.adopt(Job()), Job)
        assert_type(Scope.of(Job()), Scope)
        assert_type(Container.of(Shop()), Scope)
        # A value returned inside the block: checkers must not think that the block could swallow an exception.
        with scope.ambient():
            return "done"


def life_without_loop() -> str:
    with Container(Shop) as container:
        assert_type(container, Container)
        with container.scope() as scope:
            assert_type(scope, Scope)
            return scope.get_nowait(str)


def progress(timing: Timing) -> None:
    assert_type(timing.key, str)


async def start(container: Container) -> None:
    report = await container.start()
    assert_type(report, StartReport)
    assert_type(await container.start(Shop, "database", PRICES), StartReport)
    assert_type(await container.start(concurrency=4, progress=progress), StartReport)
    assert_type(report.seconds, float)
    assert_type(report.builds, tuple[Timing, ...])
    assert_type(report.critical_path, tuple[Timing, ...])
    timing = report.builds[0]
    assert_type(timing.waited, float)
    assert_type(timing.ran, float)
    assert_type(timing.needs, tuple[str, ...])
    assert_type(report.to_json(), str)


async def check(container: Container) -> None:
    report = container.check()
    assert_type(report, CheckReport)
    assert_type(report.replaced, tuple[str, ...])
    assert_type(report.unused, tuple[str, ...])
    assert_type(report.outdated, tuple[str, ...])
    assert_type(report.unreached, tuple[str, ...])


async def closing(container: Container, scope: Scope) -> None:
    await scope.aclose()
    scope.close()
    await container.aclose()
    container.close()


async def service_as_root() -> str:
    async with Shop() as shop:
        assert_type(shop, Shop)
        return shop.greet()


async def mistakes(container: Container, scope: Scope) -> None:
    Container(int)  # E: no service class
    Container("shop")  # E: no service class
    Container([Shop, int])  # E: no service class
    Container([Shop()])  # E: no class
    Container(Shop, Shop)  # E: one root
    Container(Shop, chek=True)  # E: no such keyword
    Container(root=Shop)  # E: by position only
    await scope.start()  # E: belongs to the whole container
    scope.check()  # E: belongs to the whole container
    container.scope([Request()])  # E: a context is a mapping
    container.scope(level=3)  # E: levels are named
    container.takes(Request, "request")  # E: a level is named by its word
    container.adopt(3)  # E: no service
    Scope.of(3)  # E: no service
    await container.start([])  # E: a list is not hashable
    await container.start(concurrency="4")  # E: a number
    shop: Shop = Container(Shop)  # E: a container is not its root
    scope.closed = True  # E: read only
    print(shop)


def anything(value: Any) -> Any:
    return value
