"""A small application with everything in it, as the documentation writes it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any, Protocol

from typing_extensions import assert_type

from asyncmeta import AsyncDependencyDescriptor, AsyncServiceBase, Container, Inject, Scope, inject_dependency


class Settings:
    dsn = "shop.sqlite"


class Database:
    @classmethod
    async def connect(cls, dsn: str) -> "Database":
        return cls()

    async def close(self) -> None: ...


class Session:
    def __init__(self, database: Database) -> None: ...

    async def user(self, name: str) -> "User":
        return User()


class User:
    name = ""


class Request:
    pass


class Mailer(Protocol):
    async def send(self, to: str) -> None: ...


class Smtp:
    def __init__(self, config: dict[str, Any]) -> None: ...

    async def send(self, to: str) -> None: ...


@inject_dependency(Database)
async def open_database(settings: Settings) -> AsyncIterator[Database]:
    database = await Database.connect(settings.dsn)
    try:
        yield database
    finally:
        await database.close()


@inject_dependency(lifetime="scoped", timeout=5.0)
async def open_session(database: Database) -> AsyncIterator[Session]:
    yield Session(database)


class Users(AsyncServiceBase, lifetime="scoped"):
    session = AsyncDependencyDescriptor(Session)

    async def find(self, name: str) -> User:
        session = await self.session
        assert_type(session, Session)
        return await session.user(name)


class Shop(
    AsyncServiceBase,
    providers=[Settings, Users, {"provide": "AppConfig", "value": {"debug": True}}],
    context=[Request],
):
    @inject_dependency(Mailer)
    def make_mailer(self, config: Annotated[dict[str, Any], Inject("AppConfig")]) -> Smtp:
        assert_type(config, dict[str, Any])
        return Smtp(config)


async def main() -> None:
    async with Container(Shop) as container:
        report = await container.start()
        assert_type(report.seconds, float)
        async with container.scope({Request: Request()}) as scope:
            assert_type(scope, Scope)
            users = await scope.get(Users)
            assert_type(await users.find("ada"), User)
            users.fnd("ada")  # E: no such method
        async with container.request(Users) as users:
            user: User = await users.find(3)  # E: a name is text
            print(user)


asyncio.run(main())
