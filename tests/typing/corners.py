"""
Where checkers differ, and what none of them can see: written down, so that a change is noticed.

What nobody flags here is found at run time: when the decorator is used, the class made or the graph checked.
"""

from typing_extensions import assert_type

from asyncmeta import AsyncDependencyDescriptor, AsyncServiceBase, From, Scope, inject_dependency


class Database:
    pass


class Users(AsyncServiceBase):
    pass


# A class as first argument is a token: the forgotten parentheses are seen by those who look closely.
@inject_dependency
class Forgotten(Database):
    pass


Forgotten()  # E[pyright ty]: this is a decorator now


# A class under a typed token keeps its own type, so it is not compared with the token.
@inject_dependency(Database)
class NoDatabase:
    pass


class NeitherClassVarNorValue(AsyncServiceBase):
    database: AsyncDependencyDescriptor[Database]

    async def run(self) -> None:
        assert_type(await self.database, Database)


async def gather(scope: Scope) -> None:
    assert_type(await scope.gather(Users, Database | None), tuple[Users, Database | None])  # E[mypy zuban]: tuple[Any, ...]


async def needless(scope: Scope) -> None:
    assert_type(await scope.get(From[Database]), Database)  # E[zuban]: write get(Database)


class TypoInKeyword(AsyncServiceBase, providers=[{"provide": "x", "valeu": 1}]):
    pass
