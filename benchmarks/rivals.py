"""
The same work by other libraries, each as its documentation shows it, in its fastest configuration that is safe.

Safe means: a value is built once, whoever asks at the same time.  What a library cannot do is done in another way, and
said beside its figures.  Every entry gives the statements that are repeated, as its user writes them; they are compiled
into the loop that is timed or counted, so that nobody pays for a function around them.
"""

import textwrap
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import repeat
from time import perf_counter
from typing import Any, NamedTuple

from .measure import Batch, Competitor
from .work import Chain, Request

#: What is repeated: "get" gives the built pool, "request" a scope with a handler, "chain" the last of twenty transients.
Statements = dict[str, str]


class Rival(NamedTuple):
    """A library, and how the works are set up and written in it."""

    name: str
    request: Callable[[Request], AsyncIterator[tuple[dict[str, Any], Statements]]] | None
    chain: Callable[[Chain], AsyncIterator[tuple[dict[str, Any], Statements]]] | None = None
    less: str = ""  #: what it does less, or in another way


def competitor(setup: Callable[[Any], AsyncIterator[tuple[dict[str, Any], Statements]]], work: str) -> Competitor:
    """Make what is measured out of a set-up: an async generator that gives names and the statements that use them."""

    @asynccontextmanager
    async def compete(graph: Any) -> AsyncIterator[Batch]:
        async with asynccontextmanager(setup)(graph) as (names, statements):
            body = textwrap.indent(textwrap.dedent(statements[work]).strip(), " " * 8)
            parameters = ", ".join(names)
            source = (
                f"def make({parameters}):\n"
                "  async def batch(times):\n"
                "    value = None\n"
                "    start = perf_counter()\n"
                "    for _ in repeat(None, times):\n"
                f"{body}\n"
                "    return perf_counter() - start, value\n"
                "  return batch\n"
            )
            found: dict[str, Any] = {"perf_counter": perf_counter, "repeat": repeat}
            exec(compile(source, f"<{setup.__name__}, {work}>", "exec"), found)
            yield found["make"](**names)

    compete.__qualname__ = setup.__name__
    return compete


# --- by hand, and ours ---------------------------------------------------------------------------


async def asyncmeta_request(graph: Request) -> AsyncIterator[tuple[dict[str, Any], Statements]]:
    from asyncmeta import Container

    from .ours import request_app

    async with Container(request_app(graph)) as container:
        yield (
            {"container": container, "Pool": graph.Pool, "Handler": graph.Handler},
            {
                "get": "value = await container.get(Pool)",
                "request": """
                    async with container.scope() as scope:
                        value = await scope.get(Handler)
                """,
            },
        )


async def asyncmeta_chain(graph: Chain) -> AsyncIterator[tuple[dict[str, Any], Statements]]:
    from asyncmeta import AsyncServiceBase, Container, inject_dependency

    class App(AsyncServiceBase):
        pass

    for link in graph.links:
        inject_dependency(on=App, lifetime="transient")(link)
    async with Container(App) as container:
        yield {"container": container, "Last": graph.links[-1]}, {"chain": "value = await container.get(Last)"}


# --- the others ----------------------------------------------------------------------------------


async def wireup_request(graph: Request) -> AsyncIterator[tuple[dict[str, Any], Statements]]:
    import wireup

    scoped, transient = wireup.injectable(lifetime="scoped"), wireup.injectable(lifetime="transient")
    container = wireup.create_async_container(
        injectables=[
            wireup.injectable(graph.Config), wireup.injectable(graph.open_pool), scoped(graph.open_session),
            scoped(graph.Users), scoped(graph.Orders), scoped(graph.Service), transient(graph.Handler),
        ],
        concurrent_scoped_access=True,
    )  # fmt: skip
    yield (
        {"container": container, "Pool": graph.Pool, "Handler": graph.Handler},
        {
            "get": "value = await container.get(Pool)",
            "request": """
                async with container.enter_scope() as scope:
                    value = await scope.get(Handler)
            """,
        },
    )
    await container.close()


async def wireup_chain(graph: Chain) -> AsyncIterator[tuple[dict[str, Any], Statements]]:
    import wireup

    container = wireup.create_async_container(injectables=[wireup.injectable(lifetime="transient")(link) for link in graph.links])
    async with container.enter_scope() as scope:
        yield {"scope": scope, "Last": graph.links[-1]}, {"chain": "value = await scope.get(Last)"}
    await container.close()


async def dishka_request(graph: Request) -> AsyncIterator[tuple[dict[str, Any], Statements]]:
    import asyncio

    from dishka import Provider, Scope, make_async_container

    provider = Provider()
    provider.provide(graph.Config, scope=Scope.APP)
    provider.provide(graph.open_pool, scope=Scope.APP)
    for each in (graph.open_session, graph.Users, graph.Orders, graph.Service):
        provider.provide(each, scope=Scope.REQUEST)
    provider.provide(graph.Handler, scope=Scope.REQUEST, cache=False)
    container = make_async_container(provider)
    yield (
        {"container": container, "Pool": graph.Pool, "Handler": graph.Handler, "Lock": asyncio.Lock},
        {
            "get": "value = await container.get(Pool)",
            "request": """
                async with container(lock_factory=Lock) as scope:
                    value = await scope.get(Handler)
            """,
        },
    )
    await container.close()


async def dishka_chain(graph: Chain) -> AsyncIterator[tuple[dict[str, Any], Statements]]:
    from dishka import Provider, Scope, make_async_container

    provider = Provider()
    for link in graph.links:
        provider.provide(link, scope=Scope.APP, cache=False)
    container = make_async_container(provider)
    yield {"container": container, "Last": graph.links[-1]}, {"chain": "value = await container.get(Last)"}
    await container.close()


async def diwire_request(graph: Request) -> AsyncIterator[tuple[dict[str, Any], Statements]]:
    from diwire import Container, Lifetime, Scope

    container = Container(use_resolver_context=False)  # nothing here asks the ambient one
    container.add(graph.Config, scope=Scope.APP, lifetime=Lifetime.SCOPED)
    container.add_factory(graph.open_pool, provides=graph.Pool, scope=Scope.APP, lifetime=Lifetime.SCOPED)
    container.add_generator(graph.open_session, provides=graph.Session, scope=Scope.REQUEST, lifetime=Lifetime.SCOPED)
    for each in (graph.Users, graph.Orders, graph.Service):
        container.add(each, scope=Scope.REQUEST, lifetime=Lifetime.SCOPED)
    container.add(graph.Handler, scope=Scope.REQUEST, lifetime=Lifetime.TRANSIENT)
    resolver = container.compile()
    yield (
        {"container": resolver, "Pool": graph.Pool, "Handler": graph.Handler, "level": Scope.REQUEST},
        {
            "get": "value = await container.aresolve(Pool)",
            "request": """
                async with container.enter_scope(level) as scope:
                    value = await scope.aresolve(Handler)
            """,
        },
    )
    await container.aclose()


async def diwire_chain(graph: Chain) -> AsyncIterator[tuple[dict[str, Any], Statements]]:
    from diwire import Container, Lifetime, Scope

    container = Container(use_resolver_context=False)  # nothing here asks the ambient one
    for link in graph.links:
        container.add(link, scope=Scope.APP, lifetime=Lifetime.TRANSIENT)
    resolver = container.compile()
    yield {"container": resolver, "Last": graph.links[-1]}, {"chain": "value = await container.aresolve(Last)"}


async def dependency_injector_request(graph: Request) -> AsyncIterator[tuple[dict[str, Any], Statements]]:
    from dependency_injector import containers, providers

    class Services(containers.DeclarativeContainer):
        config = providers.Singleton(graph.Config)
        pool = providers.Singleton(graph.open_pool)
        session = providers.Resource(graph.open_session, pool=pool, config=config)
        users = providers.ContextLocalSingleton(graph.Users, session=session)
        orders = providers.ContextLocalSingleton(graph.Orders, session=session)
        service = providers.ContextLocalSingleton(graph.Service, users=users, orders=orders)
        handler = providers.Factory(graph.Handler, service=service)

    services = Services()
    await services.pool()
    yield (
        {"services": services},
        {
            "get": "value = await services.pool()",
            "request": """
                try:
                    value = await services.handler()
                finally:
                    services.service.reset()
                    services.users.reset()
                    services.orders.reset()
                    await services.session.shutdown()
            """,
        },
    )


async def dependency_injector_chain(graph: Chain) -> AsyncIterator[tuple[dict[str, Any], Statements]]:
    from dependency_injector import providers

    provider: Any = None
    for link in graph.links:
        provider = providers.Factory(link) if provider is None else providers.Factory(link, provider)
    yield {"last": provider}, {"chain": "value = last()"}


async def svcs_request(graph: Request) -> AsyncIterator[tuple[dict[str, Any], Statements]]:
    import svcs

    async def session(services: svcs.Container) -> AsyncIterator[Any]:
        pool, config = services.get(graph.Pool, graph.Config)
        opened = graph.Session(pool, config)
        try:
            yield opened
        finally:
            opened.close()

    async def users(services: svcs.Container) -> Any:
        return graph.Users(await services.aget(graph.Session))

    async def orders(services: svcs.Container) -> Any:
        return graph.Orders(await services.aget(graph.Session))

    async def service(services: svcs.Container) -> Any:
        return graph.Service(await services.aget(graph.Users), await services.aget(graph.Orders))

    async def handler(services: svcs.Container) -> Any:
        return graph.Handler(await services.aget(graph.Service))

    registry = svcs.Registry()
    registry.register_value(graph.Config, graph.Config())
    registry.register_value(graph.Pool, await graph.open_pool())
    for key, factory in (
        (graph.Session, session), (graph.Users, users), (graph.Orders, orders), (graph.Service, service), (graph.Handler, handler),
    ):  # fmt: skip
        registry.register_factory(key, factory)
    async with svcs.Container(registry) as outside:
        yield (
            {"Container": svcs.Container, "registry": registry, "outside": outside, "Pool": graph.Pool, "Handler": graph.Handler},
            {
                "get": "value = await outside.aget(Pool)",
                "request": """
                    async with Container(registry) as services:
                        value = await services.aget(Handler)
                """,
            },
        )


async def that_depends_request(graph: Request) -> AsyncIterator[tuple[dict[str, Any], Statements]]:
    from that_depends import container_context, providers

    async def once(factory: Any, **parts: Any) -> AsyncIterator[Any]:
        yield factory(**parts)

    config = providers.Singleton(graph.Config)
    pool = providers.AsyncSingleton(graph.open_pool)
    session = providers.ContextResource(graph.open_session, pool=pool.cast, config=config.cast)
    users = providers.ContextResource(once, graph.Users, session=session.cast)
    orders = providers.ContextResource(once, graph.Orders, session=session.cast)
    service = providers.ContextResource(once, graph.Service, users=users.cast, orders=orders.cast)
    handler = providers.Factory(graph.Handler, service=service.cast)
    yield (
        {"pool": pool, "handler": handler, "context": container_context, "scoped": (session, users, orders, service)},
        {
            "get": "value = await pool.resolve()",
            "request": """
                async with context(*scoped):
                    value = await handler.resolve()
            """,
        },
    )


async def that_depends_chain(graph: Chain) -> AsyncIterator[tuple[dict[str, Any], Statements]]:
    from that_depends import providers

    provider: Any = None
    for link in graph.links:
        provider = providers.Factory(link) if provider is None else providers.Factory(link, provider.cast)
    yield {"last": provider}, {"chain": "value = await last.resolve()"}


async def aioinject_request(graph: Request) -> AsyncIterator[tuple[dict[str, Any], Statements]]:
    from aioinject import Container, Scoped, Singleton, Transient

    container = Container()
    container.register(
        Singleton(graph.Config), Singleton(graph.open_pool), Scoped(asynccontextmanager(graph.open_session)),
        Scoped(graph.Users), Scoped(graph.Orders), Scoped(graph.Service), Transient(graph.Handler),
    )  # fmt: skip
    async with container, container.context() as outside:
        yield (
            {"container": container, "outside": outside, "Pool": graph.Pool, "Handler": graph.Handler},
            {
                "get": "value = await outside.resolve(Pool)",
                "request": """
                    async with container.context() as context:
                        value = await context.resolve(Handler)
                """,
            },
        )


async def aioinject_chain(graph: Chain) -> AsyncIterator[tuple[dict[str, Any], Statements]]:
    from aioinject import Container, Transient

    container = Container()
    container.register(*map(Transient, graph.links))
    async with container, container.context() as context:
        yield {"context": context, "Last": graph.links[-1]}, {"chain": "value = await context.resolve(Last)"}


async def modern_di_request(graph: Request) -> AsyncIterator[tuple[dict[str, Any], Statements]]:
    from modern_di import Container, Group, Scope
    from modern_di.providers import CacheSettings, ContextProvider, Factory

    async def close(session: Any) -> None:
        session.close()

    class Services(Group):
        pool = ContextProvider(graph.Pool, scope=Scope.APP)
        config = Factory(graph.Config, scope=Scope.APP, cache=True)
        session = Factory(graph.Session, scope=Scope.REQUEST, cache=CacheSettings(finalizer=close))
        users = Factory(graph.Users, scope=Scope.REQUEST, cache=True)
        orders = Factory(graph.Orders, scope=Scope.REQUEST, cache=True)
        service = Factory(graph.Service, scope=Scope.REQUEST, cache=True)
        handler = Factory(graph.Handler, scope=Scope.REQUEST)

    async with Container(groups=[Services], context={graph.Pool: await graph.open_pool()}) as container:
        yield (
            {"container": container, "Pool": graph.Pool, "Handler": graph.Handler, "level": Scope.REQUEST},
            {
                "get": "value = container.resolve(Pool)",
                "request": """
                    async with container.build_child_container(scope=level) as scope:
                        value = scope.resolve(Handler)
                """,
            },
        )


async def modern_di_chain(graph: Chain) -> AsyncIterator[tuple[dict[str, Any], Statements]]:
    from modern_di import Container, Group, Scope
    from modern_di.providers import Factory

    Services: Any = type("Services", (Group,), {link.__name__: Factory(link, scope=Scope.APP) for link in graph.links})
    async with Container(groups=[Services]) as container:
        yield {"container": container, "Last": graph.links[-1]}, {"chain": "value = container.resolve(Last)"}


async def anydi_request(graph: Request) -> AsyncIterator[tuple[dict[str, Any], Statements]]:
    from anydi import Container

    container = Container()
    container.register(graph.Config, scope="singleton")
    container.register(graph.Pool, graph.open_pool, scope="singleton")
    container.register(graph.Session, graph.open_session, scope="request")
    for each in (graph.Users, graph.Orders, graph.Service):
        container.register(each, scope="request")
    container.register(graph.Handler, scope="transient")
    container.build()
    await container.astart()
    yield (
        {"container": container, "Pool": graph.Pool, "Handler": graph.Handler},
        {
            "get": "value = await container.aresolve(Pool)",
            "request": """
                async with container.arequest_context():
                    value = await container.aresolve(Handler)
            """,
        },
    )
    await container.aclose()


async def anydi_chain(graph: Chain) -> AsyncIterator[tuple[dict[str, Any], Statements]]:
    from anydi import Container

    container = Container()
    for link in graph.links:
        container.register(link, scope="transient")
    container.build()
    yield {"container": container, "Last": graph.links[-1]}, {"chain": "value = await container.aresolve(Last)"}


async def di_request(graph: Request) -> AsyncIterator[tuple[dict[str, Any], Statements]]:
    from di import Container, bind_by_type
    from di.dependent import Dependent
    from di.executors import AsyncExecutor

    container = Container()
    container.bind(bind_by_type(Dependent(graph.Config, scope="app"), graph.Config))
    container.bind(bind_by_type(Dependent(graph.open_pool, scope="app"), graph.Pool))
    container.bind(bind_by_type(Dependent(graph.open_session, scope="request"), graph.Session))
    for each in (graph.Users, graph.Orders, graph.Service):
        container.bind(bind_by_type(Dependent(each, scope="request"), each))
    handler = container.solve(Dependent(graph.Handler, scope="request", use_cache=False), scopes=["app", "request"])
    async with container.enter_scope("app") as outer:
        yield (
            {"container": container, "handler": handler, "outer": outer, "executor": AsyncExecutor()},
            {
                "request": """
                    async with container.enter_scope("request", state=outer) as state:
                        value = await handler.execute_async(executor=executor, state=state)
                """,
            },
        )


async def di_chain(graph: Chain) -> AsyncIterator[tuple[dict[str, Any], Statements]]:
    from di import Container, bind_by_type
    from di.dependent import Dependent
    from di.executors import AsyncExecutor

    container = Container()
    for link in graph.links:
        container.bind(bind_by_type(Dependent(link, scope="app", use_cache=False), link))
    last = container.solve(Dependent(graph.links[-1], scope="app", use_cache=False), scopes=["app"])
    async with container.enter_scope("app") as state:
        yield (
            {"last": last, "state": state, "executor": AsyncExecutor()},
            {"chain": "value = await last.execute_async(executor=executor, state=state)"},
        )


RIVALS = (
    Rival("asyncmeta", asyncmeta_request, asyncmeta_chain),
    Rival("wireup", wireup_request, wireup_chain),
    Rival("dishka", dishka_request, dishka_chain),
    Rival("diwire", diwire_request, diwire_chain),
    Rival(
        "dependency-injector", dependency_injector_request, dependency_injector_chain,
        "no scopes: values are reset by hand, requests at once share a session; chain is synchronous",
    ),
    Rival("svcs", svcs_request, None, "factories by hand, singletons are values, no single flight, no transients"),
    Rival("that-depends", that_depends_request, that_depends_chain),
    Rival("aioinject", aioinject_request, aioinject_chain, "scoped values are not built once under concurrent gets"),
    Rival("modern-di", modern_di_request, modern_di_chain, "no async factories: the pool is handed in, resolving is synchronous"),
    Rival("anydi", anydi_request, anydi_chain),
    Rival("di", di_request, di_chain, "no single flight; no get of a cached value but by solving"),
)  # fmt: skip
