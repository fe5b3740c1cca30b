"""Tokens, lifetimes, handles and markers: the words that are used in declarations."""

from typing import Annotated, Any

from typing_extensions import assert_type

from asyncmeta import INJECTED, AsyncServiceBase, Container, From, Inject, Lazy, Lifetime, Token, inject_dependency


class Database:
    pass


DATABASE = Token[Database]("database")
PLAIN = Token("plain")

assert_type(DATABASE, Token[Database])
assert_type(PLAIN, Token[Any])
assert_type(DATABASE.name, str)
annotated: Token[int] = Token("number")

Token()  # E: a token has a name
Token(3)  # E: which is text
Token[Database](Database)  # E: which is text
number: Token[int] = DATABASE  # E: another type


class MyToken(Token[int]): ...  # E: final


assert_type(Lifetime.SINGLETON, Lifetime)
assert_type(Lifetime("session"), Lifetime)
text: str = Lifetime.SCOPED
Lifetime.SCOPD  # E: no such lifetime


@inject_dependency()
async def service(lazy: Lazy[Database], marked: From[Database], named: Annotated[str, Inject("dsn")]) -> int:
    assert_type(await lazy, Database)
    assert_type(await lazy.run(), Database)
    assert_type(lazy.nowait(), Database)
    assert_type(marked, Database)
    assert_type(named, str)
    lazy.close()  # E: the handle is not the value
    marked.close()  # E: no such method
    return 3


def with_default(database: From[Database] = INJECTED) -> Database:
    assert_type(database, Database)
    return database


class Base:
    pass


class Derived(Base):
    pass


def covariant(lazy: Lazy[Derived], token: Token[Derived]) -> tuple[Lazy[Base], Token[Base]]:
    return lazy, token


def not_contravariant(lazy: Lazy[Base]) -> Lazy[Derived]:
    return lazy  # E: the other way round


Inject()
Inject("dsn")
Inject("dsn", None)
Inject(Database, fallback=3)
Inject([])  # E: a list is not hashable
Inject("dsn", 1, 2)  # E: token and fallback, nothing else


class Marked(AsyncServiceBase):
    def __init__(self, container: Container, name: Annotated[str, Inject("name")] = "x") -> None:
        assert_type(container, Container)
        assert_type(name, str)
