"""The same application without injection, by hand, by asyncmeta and by others."""

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

import dishka
import dishka.integrations.fastapi
import svcs
import svcs.fastapi
import wireup
import wireup.integration.fastapi
from fastapi import APIRouter, Depends, FastAPI
from pydantic import BaseModel

import asyncmeta
from asyncmeta.integrations.fastapi import ContainerMiddleware, ContainerRoute, From


class Pool:
    """Lives as long as the application."""


class Session:
    """Lives as long as a request."""

    __slots__ = ("pool",)

    def __init__(self, pool: Pool) -> None:
        self.pool = pool


class Item(BaseModel):
    """What is answered."""

    number: int
    page: int


class Work:
    """The factories of one competitor, which count what they do."""

    def __init__(self) -> None:
        self.pools = self.opened = self.closed = 0

        async def open_pool() -> Pool:
            self.pools += 1
            return Pool()

        async def open_session(pool: Pool) -> AsyncIterator[Session]:
            self.opened += 1
            try:
                yield Session(pool)
            finally:
                self.closed += 1

        self.open_pool, self.open_session = open_pool, open_session


def _unchanged(handler: Any) -> Any:
    return handler


def _add(router: Any, pool_type: Any, session_type: Any, decorator: Callable[[Any], Any] = _unchanged) -> None:
    """Add the handler that is measured, and one that tells whether what it was given is right."""

    @router.get("/items/{number}")
    @decorator
    async def read(number: int, pool: pool_type, session: session_type, page: int = 1) -> Item:
        return Item(number=number, page=page)

    @router.get("/right")
    @decorator
    async def right(pool: pool_type, session: session_type) -> bool:
        return type(pool) is Pool and session.pool is pool


def bare(work: Work) -> FastAPI:
    """The same handler, which takes neither."""
    app = FastAPI()

    @app.get("/items/{number}")
    async def read(number: int, page: int = 1) -> Item:
        return Item(number=number, page=page)

    return app


def by_hand(work: Work) -> FastAPI:
    """The handler opens the session itself, by what any Python has."""
    pool = Pool()
    work.pools += 1
    opened = contextlib.asynccontextmanager(work.open_session)
    app = FastAPI()

    @app.get("/items/{number}")
    async def read(number: int, page: int = 1) -> Item:
        async with opened(pool):
            return Item(number=number, page=page)

    @app.get("/right")
    async def right() -> bool:
        async with opened(pool) as session:
            return session.pool is pool

    return app


def depends(work: Work) -> FastAPI:
    """FastAPI's own way: a pool of the lifespan, given by a dependency, and a session by another that yields."""
    pools: list[Pool] = []

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        pools.append(await work.open_pool())
        yield

    async def the_pool() -> Pool:
        return pools[0]

    async def session(pool: Annotated[Pool, Depends(the_pool)]) -> AsyncIterator[Session]:
        async for one in work.open_session(pool):
            yield one

    app = FastAPI(lifespan=lifespan)
    _add(app, Annotated[Pool, Depends(the_pool)], Annotated[Session, Depends(session)])
    return app


def _services(work: Work) -> asyncmeta.Container:
    class App(asyncmeta.AsyncServiceBase): ...

    asyncmeta.inject_dependency(Pool, on=App)(work.open_pool)
    asyncmeta.inject_dependency(Session, on=App, lifetime="scoped")(work.open_session)
    return asyncmeta.Container(App)


def asyncmeta_route(work: Work) -> FastAPI:
    """With the route class."""
    app = FastAPI()
    app.add_middleware(ContainerMiddleware, container=_services(work))
    app.router.route_class = ContainerRoute
    _add(app, From[Pool], From[Session])
    return app


def asyncmeta_route_of(work: Work) -> FastAPI:
    """With the route class of a container: a scope for each call of a handler, and none for the connection."""
    container = _services(work)
    app = FastAPI()
    app.add_middleware(ContainerMiddleware, container=container, connections=False)
    app.router.route_class = ContainerRoute.of(container)
    _add(app, From[Pool], From[Session])
    return app


def asyncmeta_marker(work: Work) -> FastAPI:
    """With the marker alone."""
    app = FastAPI()
    app.add_middleware(ContainerMiddleware, container=_services(work))
    _add(app, From[Pool], From[Session])
    return app


def _dishka(work: Work, app: FastAPI) -> FastAPI:
    provider = dishka.Provider()
    provider.provide(work.open_pool, scope=dishka.Scope.APP)
    provider.provide(work.open_session, scope=dishka.Scope.REQUEST)
    dishka.integrations.fastapi.setup_dishka(dishka.make_async_container(provider), app)
    return app


def dishka_route(work: Work) -> FastAPI:
    """``APIRouter(route_class=DishkaRoute)``."""
    app = FastAPI()
    router = APIRouter(route_class=dishka.integrations.fastapi.DishkaRoute)
    _add(router, dishka.FromDishka[Pool], dishka.FromDishka[Session])
    app.include_router(router)
    return _dishka(work, app)


def dishka_inject(work: Work) -> FastAPI:
    """``@inject`` at each handler."""
    app = FastAPI()
    _add(app, dishka.FromDishka[Pool], dishka.FromDishka[Session], dishka.integrations.fastapi.inject)
    return _dishka(work, app)


def _wireup(work: Work, app: FastAPI) -> FastAPI:
    container = wireup.create_async_container(
        injectables=[wireup.injectable(work.open_pool), wireup.injectable(lifetime="scoped")(work.open_session)]
    )
    wireup.integration.fastapi.setup(container, app)
    return app


def wireup_route(work: Work) -> FastAPI:
    """``APIRouter(route_class=WireupRoute)``, the quicker of its ways."""
    app = FastAPI()
    router = APIRouter(route_class=wireup.integration.fastapi.WireupRoute)
    _add(router, wireup.Injected[Pool], wireup.Injected[Session])
    app.include_router(router)
    return _wireup(work, app)


def wireup_plain(work: Work) -> FastAPI:
    """``Injected[T]`` alone, as its first page shows."""
    app = FastAPI()
    _add(app, wireup.Injected[Pool], wireup.Injected[Session])
    return _wireup(work, app)


def svcs_container(work: Work) -> FastAPI:
    """A service locator: the handler is given the container, and asks."""

    @svcs.fastapi.lifespan
    async def lifespan(app: FastAPI, registry: svcs.Registry) -> AsyncIterator[None]:
        pool = await work.open_pool()
        registry.register_value(Pool, pool)

        async def session(services: svcs.Container) -> AsyncIterator[Session]:
            async for one in work.open_session(services.get(Pool)):
                yield one

        registry.register_factory(Session, session)
        yield

    app = FastAPI(lifespan=lifespan)

    @app.get("/items/{number}")
    async def read(number: int, services: svcs.fastapi.DepContainer, page: int = 1) -> Item:
        await services.aget(Pool, Session)
        return Item(number=number, page=page)

    @app.get("/right")
    async def right(services: svcs.fastapi.DepContainer) -> bool:
        pool, session = await services.aget(Pool, Session)
        return session.pool is pool

    return app


APPS: dict[str, Callable[[Work], FastAPI]] = {
    "bare": bare,
    "by hand": by_hand,
    "asyncmeta, route of container": asyncmeta_route_of,
    "asyncmeta, route class": asyncmeta_route,
    "asyncmeta, marker": asyncmeta_marker,
    "Depends": depends,
    "dishka, route class": dishka_route,
    "dishka, @inject": dishka_inject,
    "wireup, route class": wireup_route,
    "wireup, marker": wireup_plain,
    "svcs": svcs_container,
}
