"""
What do other libraries do where tasks share, fail and are cancelled?  The table of docs/explanation/is-it-for-me.rst.

    python -m benchmarks.safety                    everybody who is installed here
    python -m benchmarks.safety dishka wireup      these

Each gets the same three parts, async generators that take 0.1 s to open, and a class on all of them.
"""

import asyncio
import contextlib
import logging
import sys
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from time import perf_counter
from typing import Any, NamedTuple

SECONDS = 0.1  #: that a part takes to open


class One:
    """A part."""


class Two:
    """Another part."""


class Three:
    """A third part."""


class Whole:
    """What stands on all of them."""

    def __init__(self, one: One, two: Two, three: Three) -> None: ...


class Session:
    """What lives as long as a request."""


class Keeper:
    """What lives as long as the program, and keeps one."""

    def __init__(self, session: Session) -> None: ...


class Parts:
    """The factories of the three parts, and what has become of these."""

    def __init__(self, *, in_a_row: bool = False, fail: bool = False, wait: bool = False) -> None:
        self.opened: list[str] = []
        self.closed: list[str] = []
        self.fail = fail  #: whether the second and the third cannot be closed
        self.wait = wait  #: whether the third takes a while in its finalizer
        self.waiting = asyncio.Event()
        #: what each part stands on: with *in_a_row* the third on the second, and that on the first
        self.below: dict[type, type | None] = {One: None, Two: One, Three: Two} if in_a_row else dict.fromkeys((One, Two, Three))
        self.factories = {cls: self._factory(cls, below) for cls, below in self.below.items()}

    @contextlib.asynccontextmanager
    async def _life(self, cls: type) -> AsyncIterator[Any]:
        self.opened.append(cls.__name__)
        await asyncio.sleep(SECONDS)
        try:
            yield cls()
        finally:
            self.closed.append(cls.__name__)
            if self.wait and cls is Three:
                self.waiting.set()
                await asyncio.sleep(SECONDS)
            if self.fail and cls is not One:
                raise OSError(f"{cls.__name__} does not close")

    def _factory(self, cls: type, below: type | None) -> Callable[..., AsyncIterator[Any]]:
        """Return a generator function with the annotations that libraries read when it is given to them."""

        async def open_part() -> AsyncIterator[Any]:
            async with self._life(cls) as part:
                try:
                    yield part
                finally:
                    pass  # one of the libraries wants to see it

        async def open_above(below: Any) -> AsyncIterator[Any]:
            async with self._life(cls) as part:
                try:
                    yield part
                finally:
                    pass

        factory: Any = open_part if below is None else open_above
        factory.__annotations__ = {"return": AsyncIterator[cls]} | ({} if below is None else {"below": below})  # type: ignore[valid-type]
        factory.__name__ = factory.__qualname__ = f"open_{cls.__name__.lower()}"
        return factory  # type: ignore[no-any-return]


class World(NamedTuple):
    """A container of some library."""

    get: Callable[[type], Awaitable[Any]]
    close: Callable[[], Awaitable[Any]]


# --- each library, as its documentation shows it; and its own words for a singleton on something scoped ---


async def asyncmeta(parts: Parts) -> World:
    from asyncmeta import AsyncServiceBase, Container

    class App(AsyncServiceBase, providers=[*parts.factories.values(), Whole]): ...

    container = await Container(App).__aenter__()
    return World(container.get, container.aclose)


async def asyncmeta_captive() -> tuple[Callable[[], Any], Callable[[Any], Awaitable[Any]]]:
    from asyncmeta import AsyncServiceBase, Container

    class App(AsyncServiceBase, providers=[{"provide": Session, "lifetime": "scoped"}, Keeper]): ...

    async def ask(container: Any) -> None:
        async with container.scope() as scope:
            await scope.get(Keeper)

    return lambda: Container(App), ask


async def dishka(parts: Parts) -> World:
    from dishka import Provider, Scope, make_async_container

    provider = Provider(scope=Scope.APP)
    for factory in parts.factories.values():
        provider.provide(factory)
    provider.provide(Whole)
    container = make_async_container(provider)
    return World(container.get, container.close)


async def dishka_captive() -> tuple[Callable[[], Any], Callable[[Any], Awaitable[Any]]]:
    from dishka import Provider, Scope, make_async_container

    provider = Provider()
    provider.provide(Session, scope=Scope.REQUEST)
    provider.provide(Keeper, scope=Scope.APP)

    async def ask(container: Any) -> None:
        async with container() as scope:
            await scope.get(Keeper)

    return lambda: make_async_container(provider), ask


async def wireup(parts: Parts) -> World:
    from wireup import create_async_container, injectable

    factories = [injectable(factory) for factory in parts.factories.values()]
    container = create_async_container(injectables=[*factories, injectable(Whole)])
    return World(container.get, container.close)


async def wireup_captive() -> tuple[Callable[[], Any], Callable[[Any], Awaitable[Any]]]:
    from wireup import create_async_container, injectable

    listed = [injectable(lifetime="scoped")(Session), injectable(Keeper)]

    async def ask(container: Any) -> None:
        async with container.enter_scope() as scope:
            await scope.get(Keeper)

    return lambda: create_async_container(injectables=listed), ask


async def diwire(parts: Parts) -> World:
    from diwire import Container, Lifetime, Scope

    container = Container(use_resolver_context=False)
    for cls, factory in parts.factories.items():
        container.add_generator(factory, provides=cls, scope=Scope.APP, lifetime=Lifetime.SCOPED)
    container.add(Whole, scope=Scope.APP, lifetime=Lifetime.SCOPED)
    container.compile()
    return World(container.aresolve, container.aclose)


async def diwire_captive() -> tuple[Callable[[], Any], Callable[[Any], Awaitable[Any]]]:
    from diwire import Container, Lifetime, Scope

    def make() -> Any:
        container = Container(use_resolver_context=False)
        container.add(Session, scope=Scope.REQUEST, lifetime=Lifetime.SCOPED)
        container.add(Keeper, scope=Scope.APP, lifetime=Lifetime.SCOPED)
        container.compile()
        return container

    async def ask(container: Any) -> None:
        async with container.enter_scope(Scope.REQUEST) as scope:
            await scope.aresolve(Keeper)

    return make, ask


async def dependency_injector(parts: Parts) -> World:
    from dependency_injector import containers, providers

    services: Any = containers.DynamicContainer()
    made: dict[type | None, Any] = {}
    for cls, factory in parts.factories.items():
        below = made.get(parts.below[cls])
        made[cls] = providers.Resource(factory) if below is None else providers.Resource(factory, below=below)
        setattr(services, cls.__name__.lower(), made[cls])
    made[Whole] = providers.Singleton(Whole, one=made[One], two=made[Two], three=made[Three])

    async def get(cls: type) -> Any:
        return await made[cls]()

    async def close() -> None:
        await (services.shutdown_resources() or asyncio.sleep(0))

    return World(get, close)


async def dependency_injector_captive() -> tuple[Callable[[], Any], Callable[[Any], Awaitable[Any]]]:
    from dependency_injector import containers, providers

    class Services(containers.DeclarativeContainer):
        session = providers.ContextLocalSingleton(Session)
        keeper = providers.Singleton(Keeper, session=session)

    async def ask(container: Any) -> None:
        container.keeper()

    return Services, ask


async def svcs(parts: Parts) -> World:
    from svcs import Container, Registry

    registry = Registry()
    for cls, factory in parts.factories.items():
        registry.register_factory(cls, _for_svcs(factory, parts.below[cls]))

    async def make_whole(svcs_container: Container) -> Whole:
        return Whole(*await svcs_container.aget(One, Two, Three))

    registry.register_factory(Whole, make_whole)
    container = Container(registry)

    async def close() -> None:
        await container.aclose()
        await registry.aclose()

    return World(container.aget, close)


def _for_svcs(factory: Callable[..., AsyncIterator[Any]], below: type | None) -> Callable[..., Any]:
    """Return a factory that asks the container for what it stands on, as they do there."""
    from svcs import Container

    if below is None:
        return factory

    async def open_above(svcs_container: Container) -> AsyncIterator[Any]:
        async with contextlib.asynccontextmanager(factory)(await svcs_container.aget(below)) as part:
            yield part

    return open_above


async def that_depends(parts: Parts) -> World:
    from that_depends import BaseContainer, providers

    made: dict[type | None, Any] = {}
    for cls, factory in parts.factories.items():
        below = made.get(parts.below[cls])
        made[cls] = providers.Resource(factory) if below is None else providers.Resource(factory, below=below.cast)
    made[Whole] = providers.AsyncSingleton(make_whole, *(made[cls].cast for cls in parts.factories))
    services: Any = type("Services", (BaseContainer,), {cls.__name__.lower(): made[cls] for cls in made if cls is not None})

    async def get(cls: type) -> Any:
        return await made[cls].resolve()

    return World(get, services.tear_down)


async def make_whole(one: One, two: Two, three: Three) -> Whole:
    """Return one; as a coroutine, where a library makes singletons that stand on asynchronous ones of these only."""
    return Whole(one, two, three)


async def that_depends_captive() -> tuple[Callable[[], Any], Callable[[Any], Awaitable[Any]]]:
    from that_depends import container_context, providers

    async def open_session() -> AsyncIterator[Session]:
        yield Session()

    async def make_keeper(session: Session) -> Keeper:
        return Keeper(session)

    def make() -> Any:
        session = providers.ContextResource(open_session)
        return session, providers.AsyncSingleton(make_keeper, session=session.cast)

    async def ask(container: Any) -> None:
        session, keeper = container
        async with container_context(session):
            await keeper.resolve()

    return make, ask


LIBRARIES: dict[str, tuple[Any, Any]] = {
    "asyncmeta": (asyncmeta, asyncmeta_captive),
    "dishka": (dishka, dishka_captive),
    "wireup": (wireup, wireup_captive),
    "diwire": (diwire, diwire_captive),
    "dependency-injector": (dependency_injector, dependency_injector_captive),
    "svcs": (svcs, None),  # a registry holds values, and no singletons that it makes
    "that-depends": (that_depends, that_depends_captive),
}


# --- the questions ---


async def times_made(library: str) -> str:
    """20 tasks ask for one singleton; times it is made."""
    parts = Parts()
    world = await LIBRARIES[library][0](parts)
    await asyncio.gather(*(asyncio.ensure_future(world.get(One)) for _ in range(20)))
    await world.close()
    return str(len(parts.opened))


async def seconds_together(library: str) -> str:
    """three parts of 0.1 s, seconds together."""
    parts = Parts()
    world = await LIBRARIES[library][0](parts)
    began = perf_counter()
    await world.get(Whole)
    took = perf_counter() - began
    await world.close()
    return f"{took:.1f}"


async def who_builds_is_cancelled(library: str) -> str:
    """who builds is cancelled, others wait."""
    parts = Parts()
    world = await LIBRARIES[library][0](parts)
    first = asyncio.ensure_future(world.get(One))
    await asyncio.sleep(SECONDS / 10)
    others = [asyncio.ensure_future(world.get(One)) for _ in range(3)]
    await asyncio.sleep(SECONDS / 10)
    first.cancel()
    done, pending = await asyncio.wait(others, timeout=20 * SECONDS)
    for task in pending:
        task.cancel()
    if pending:
        return "the others wait for ever"
    if any(task.cancelled() or task.exception() for task in done):
        try:
            await world.get(One)
        except (Exception, asyncio.CancelledError):
            return "all are cancelled, and who asks later"
        return "all are cancelled"
    said = "the build goes on" if len(parts.opened) == 1 else f"made {len(parts.opened)} times"
    with contextlib.suppress(BaseException):
        await world.close()
    return said


async def two_finalizers_fail(library: str) -> str:
    """three that stand on each other are closed, and two finalizers fail."""
    parts = Parts(in_a_row=True, fail=True)
    world = await LIBRARIES[library][0](parts)
    await world.get(Whole)
    told = 0
    try:
        await world.close()
    except Exception as error:
        told = len(_single(error))
    ran = "all run" if len(parts.closed) == 3 else f"{len(parts.closed)} of 3 run"
    return f"{ran}, {told} of 2 raised"


def _single(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [one for part in error.exceptions for one in _single(part)]
    several = getattr(error, "errors", None)  # a list of a library's own
    return list(several) if isinstance(several, Sequence) and several else [error]


async def closing_is_cancelled(library: str) -> str:
    """closing them is cancelled in the first finalizer, which takes 0.1 s."""
    parts = Parts(in_a_row=True, wait=True)
    world = await LIBRARIES[library][0](parts)
    await world.get(Whole)
    closing = asyncio.ensure_future(world.close())
    await parts.waiting.wait()
    closing.cancel()
    with contextlib.suppress(BaseException):
        await closing
    return "the rest is run" if len(parts.closed) == 3 else f"{len(parts.closed)} of 3 run"


async def a_singleton_keeps_a_scoped_value(library: str) -> str:
    """a singleton keeps a scoped value."""
    captive = LIBRARIES[library][1]
    if captive is None:
        return "no singletons"
    make, ask = await captive()
    try:
        container = make()
    except Exception:
        return "told at the start"
    try:
        await ask(container)
    except Exception:
        return "told when asked for"
    return "not told"


QUESTIONS: tuple[Callable[[str], Awaitable[str]], ...] = (
    times_made, seconds_together, who_builds_is_cancelled, two_finalizers_fail, closing_is_cancelled,
    a_singleton_keeps_a_scoped_value,
)  # fmt: skip


def installed(library: str) -> str:
    """Return the version of *library*, or nothing."""
    try:
        return version(library)
    except PackageNotFoundError:
        return ""


def asked(library: str, question: Callable[[str], Awaitable[str]]) -> str:
    """Return what *library* does, in a loop of its own; what it warns of, and writes down, is not told."""

    async def ask() -> str:
        return await asyncio.wait_for(question(library), 10)

    before = logging.root.manager.disable
    logging.disable()
    try:
        with warnings.catch_warnings(), asyncio.Runner() as runner:
            warnings.simplefilter("ignore")
            runner.get_loop().set_exception_handler(lambda loop, context: None)
            return runner.run(ask())
    finally:
        logging.disable(before)


def main(names: Sequence[str]) -> int:
    """Print a section for each question."""
    unknown = [name for name in names if name not in LIBRARIES]
    if unknown:
        print(f"unknown: {', '.join(unknown)}; there are {', '.join(LIBRARIES)}", file=sys.stderr)
        return 2
    there = [name for name in names or LIBRARIES if installed(name)]
    for question in QUESTIONS:
        print((question.__doc__ or "").rstrip("."))
        for name in there:
            print(f"    {name + ' ' + installed(name):<28} {asked(name, question)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
