"""The first document's program, untyped as it is, in a strict checker; and what types add to it."""

import asyncio
from typing import Any

from typing_extensions import assert_type

from asyncmeta import AsyncDependencyDescriptor, AsyncServiceBase, Token, inject_dependency


@inject_dependency("database")
async def create_database_connection() -> str:
    await asyncio.sleep(1)
    return "DB Connection Established"


@inject_dependency("cache")
def create_cache_service() -> str:
    return "Cache Service Ready"


class MyApp(AsyncServiceBase):
    db = AsyncDependencyDescriptor("database")
    cache = AsyncDependencyDescriptor("cache")

    async def run(self) -> None:
        db_conn = await self.db
        cache_service = await self.cache
        assert_type(db_conn, Any)
        assert_type(cache_service, Any)
        print(f"Using {db_conn} and {cache_service}")


DATABASE = Token[str]("database")


class Typed(AsyncServiceBase):
    db = AsyncDependencyDescriptor[str]("database")
    cache = AsyncDependencyDescriptor(DATABASE)

    async def run(self) -> None:
        assert_type(await self.db, str)
        assert_type(await self.cache, str)


async def main() -> None:
    app = MyApp()
    await app.run()
    assert_type(MyApp.db.service_name, str)
    await MyApp.db.resolve(app)
    factory = MyApp.get_dependency("database")
    assert factory is not None
    MyApp.register_dependency("other", create_cache_service)
    app.dbb  # E: no such attribute


asyncio.run(main())
