"""Provider lists: classes, dictionaries and lists of them, checked where they are written."""
# needs: asyncmeta.Providers

from typing import Annotated, NewType, Protocol

from asyncmeta import AsyncServiceBase, Container, Inject, Provider, ProviderGroup, Providers, Token, inject_dependency


class Database:
    pass


class Pooled(Database):
    def __init__(self, size: int) -> None: ...


class Mail(Protocol):
    def send(self, to: str) -> None: ...


class Users(AsyncServiceBase):
    pass


Dsn = NewType("Dsn", str)
SIZE = Token[int]("size")


async def make_database(dsn: str) -> Database:
    return Database()


annotated: Providers = [
    Users,
    {"provide": Database, "use_class": Pooled, "deps": [SIZE]},
    {"provide": "config", "value": {"debug": True}},
    {"provide": "old", "use_value": None},
    {"provide": Dsn, "value": Dsn("x")},
    {"provide": SIZE, "value": 3},
    {"provide": Mail, "use_existing": "mail"},
    {"provide": Database | None, "use_factory": make_database, "deps": [Dsn], "multi": True},
    {"provide": Annotated[str, Inject("dsn")], "value": "x"},
    {"provide": "db", "use_factory": make_database, "inject": ["dsn"], "scope": "scoped"},
    [Users, {"provide": "nested", "value": 1}, [Users]],
    make_database,
    SIZE,
    "config",
    {"lifetime": "scoped", "providers": [Pooled, make_database]},
    {"provide": Database, "also": [Pooled], "timeout": 5.0, "in_thread": True, "health": "is_well"},
    {"provide": Pooled, "also": "bases", "concurrent": True},
]
group: ProviderGroup = {"lifetime": "scoped", "providers": [Pooled]}
Users.register_providers([Pooled, group], lifetime="scoped")
Users.register_providers([Pooled], lifetime="scopd")  # E: no such lifetime
no_lifetime: ProviderGroup = {"providers": [Pooled]}  # E: lifetime is missing
inject_dependency(also="bases")(Pooled)
one: Provider = {"provide": "camel", "useClass": Pooled}
classes: list[type[object]] = [Users, Database]

Container(providers=annotated)
Container(providers=classes)
Container(Users, providers=[Users, one, {"provide": "inline", "value": 1}, annotated])
Users.register_providers(annotated)
Users.register_providers([Users, {"provide": "inline", "useFactory": make_database}])


class App(AsyncServiceBase, providers=[Users, {"provide": "config", "value": {"debug": True}}, [Users]]):
    pass


class Given(AsyncServiceBase, context={"singleton": [Dsn, SIZE]}):
    pass


Container(Given, {Dsn: Dsn("x"), SIZE: 3})
Container(Given, context={SIZE: 3})
Container(Given, [SIZE])  # E: no mapping


class Prepared(AsyncServiceBase, providers=annotated):
    pass


class Named(AsyncServiceBase, providers=[Users, make_database, SIZE, "config", [make_database]]):
    pass


no_key: Provider = {"value": 1}  # E: provide is missing
typo: Provider = {"provide": "x", "use_clas": Pooled}  # E: no such field
no_class: Provider = {"provide": "x", "use_class": 3}  # E: no class
no_factory: Provider = {"provide": "x", "use_factory": 3}  # E: cannot be called
unhashable: Provider = {"provide": [], "value": 1}  # E: a list is not hashable
no_list: Provider = {"provide": "x", "use_class": Pooled, "deps": 3}  # E: a list of tokens
Container(providers=[3])  # E: provides nothing
Container(providers=3)  # E: no list
Users.register_providers([3])  # E: provides nothing


# Where checkers differ, and what none of them can see.
mixed = [Users, {"provide": "x", "value": 1}]
Container(providers=mixed)  # E: write `mixed: Providers = [...]`
dictionaries = [{"provide": "x", "value": 1}]
Container(providers=dictionaries)  # E[mypy pyright ty zuban]: write `dictionaries: Providers = [...]`
Container(providers=({"provide": "x", "value": 1},))  # E[ty]: write a list
