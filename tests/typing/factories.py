"""`inject_dependency`: functions keep their signature, typed tokens check what functions make."""

import contextlib
import functools
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from typing import Any, Generic, Protocol, TypeVar

from typing_extensions import assert_type

from asyncmeta import AsyncServiceBase, Lifetime, Token, inject_dependency

T = TypeVar("T")


class Settings:
    dsn = ""


class Database:
    pass


class Pooled(Database):
    pass


class Clock(ABC):
    @abstractmethod
    def now(self) -> float: ...


class Mail(Protocol):
    def send(self, to: str) -> None: ...


class Smtp:
    def send(self, to: str) -> None: ...


class Postgres(AsyncServiceBase):
    pass


DATABASE = Token[Database]("database")
PLAIN = Token("plain")


# --- identity: bare, with parentheses, with a name ----------------------------------------
@inject_dependency
async def bare(settings: Settings) -> Database:
    return Database()


@inject_dependency()
async def called(settings: Settings) -> Database:
    return Database()


@inject_dependency("database")
async def named(settings: Settings, retries: int = 3) -> Database:
    return Database()


@inject_dependency("untyped")
def untyped() -> Any: ...


@inject_dependency(lifetime="scoped", timeout=5.0)
async def scoped(settings: Settings) -> AsyncIterator[Database]:
    yield Database()


@inject_dependency()
class Registered:
    def __init__(self, database: Database) -> None: ...


async def identity(settings: Settings) -> None:
    assert_type(await bare(settings), Database)
    assert_type(await called(settings), Database)
    assert_type(await named(settings, retries=1), Database)
    assert_type(scoped(settings), AsyncIterator[Database])
    assert_type(Registered(Database()), Registered)
    assert_type(bare.__name__, str)
    bare(3)  # E: the parameters are kept
    named(settings, retrys=1)  # E: their names too
    Registered()  # E: and those of a class


# --- a typed token checks what is made: each kind of factory ------------------------------
@inject_dependency(Database)
def plain() -> Database:
    return Database()


@inject_dependency(Database)
async def coroutine(settings: Settings) -> Database:
    return Database()


@inject_dependency(Database)
def generator() -> Iterator[Database]:
    yield Database()


@inject_dependency(Database)
async def async_generator() -> AsyncIterator[Database]:
    yield Database()


@inject_dependency(Database)
def full_generator() -> Generator[Database, None, None]:
    yield Database()


@inject_dependency(Database)
async def full_async_generator() -> AsyncGenerator[Database, None]:
    yield Database()


@inject_dependency(Database)
@contextlib.contextmanager
def context_manager() -> Generator[Database, None, None]:
    yield Database()


@inject_dependency(Database)
@contextlib.asynccontextmanager
async def async_context_manager() -> AsyncGenerator[Database, None]:
    yield Database()


@inject_dependency(Database)
async def subclass() -> Pooled:
    return Pooled()


@inject_dependency(Mail)
def protocol() -> Smtp:
    return Smtp()


@inject_dependency(DATABASE)
async def by_token() -> Database:
    return Database()


@inject_dependency(PLAIN)
async def by_plain_token() -> int:
    return 3


@inject_dependency(Database)
class Own(Database):
    def own(self) -> int:
        return 0


@inject_dependency(Clock)
class SystemClock(Clock):
    def now(self) -> float:
        return 0.0


class Repository(Generic[T]):
    pass


@inject_dependency(Repository[int])
async def numbers() -> Repository[int]:
    return Repository()


inject_dependency(Database)(functools.partial(coroutine, Settings()))
inject_dependency(Database)(lambda: Database())


async def kept() -> None:
    assert_type(await coroutine(Settings()), Database)
    assert_type(plain(), Database)
    assert_type(await by_token(), Database)
    assert_type(Own().own(), int)
    assert_type(SystemClock(), SystemClock)
    coroutine()  # E: the parameters are kept


def no_database() -> Settings:
    return Settings()


async def no_async_database() -> Settings:
    return Settings()


def no_database_iterator() -> Iterator[Settings]:
    yield Settings()


async def no_database_async_iterator() -> AsyncIterator[Settings]:
    yield Settings()


@contextlib.asynccontextmanager
async def no_database_context() -> AsyncGenerator[Settings, None]:
    yield Settings()


def no_mail() -> Database:
    return Database()


async def maybe() -> Database | None:
    return None


inject_dependency(Database)(no_database)  # E: makes Settings
inject_dependency(Database)(no_async_database)  # E: makes Settings
inject_dependency(Database)(no_database_iterator)  # E: makes Settings
inject_dependency(Database)(no_database_async_iterator)  # E: makes Settings
inject_dependency(Database)(no_database_context)  # E: makes Settings
inject_dependency(Mail)(no_mail)  # E: does not implement the protocol
inject_dependency(DATABASE)(no_async_database)  # E: makes Settings
inject_dependency(Database)(maybe)  # E: may be None
inject_dependency(Database)(3)  # E: no factory


# --- in the body of a service class -------------------------------------------------------
class Shop(AsyncServiceBase):
    prefix = "shop"

    @inject_dependency(Mail)
    def make_mail(self, settings: Settings) -> Smtp:
        return Smtp()

    @inject_dependency("greeting")
    async def greeting(self) -> str:
        return self.prefix

    @inject_dependency(Database)
    @staticmethod
    def inside() -> Database:
        return Database()

    @staticmethod
    @inject_dependency(DATABASE)
    def outside() -> Database:
        return Database()


class FakeShop(Shop):
    def make_mail(self, settings: Settings) -> Smtp:
        super().make_mail(settings)
        return Smtp()


async def methods(shop: Shop) -> None:
    assert_type(shop.make_mail(Settings()), Mail)
    assert_type(await shop.greeting(), str)
    assert_type(shop.inside(), Database)
    assert_type(Shop.outside(), Database)
    shop.make_mail()  # E: settings are missing


# --- options ------------------------------------------------------------------------------
SESSION = Lifetime("session")


@inject_dependency(lifetime=SESSION, on=Postgres, also=["db", Clock], replace=True)
async def options() -> Database:
    return Database()


@inject_dependency("other", lifetime=Lifetime.TRANSIENT, timeout=None)
def other_options() -> int:
    return 1


inject_dependency("x", lifetime="scopd")  # E: no such lifetime
inject_dependency("x", lifetyme="scoped")  # E: no such option
inject_dependency("x", on=Database)  # E: no service class
inject_dependency("x", timeout="5")  # E: seconds are a number
inject_dependency("x", also="db" + 3)  # E: and text is text
inject_dependency(3)  # E: no token
inject_dependency(Database, lifetime="scopd")  # E: no such lifetime
inject_dependency(Database, replace="yes")  # E: no bool


# --- without a decorator --------------------------------------------------------------------
AsyncServiceBase.register_dependency("database", named)
Shop.register_dependency(Database, coroutine, lifetime="scoped", also=["db"], timeout=1.0)
Shop.register_dependency(DATABASE, lambda: Database())
Shop.register_value("config", {"debug": True})
Shop.register_value(Settings, Settings())
found = Shop.get_dependency("database")
if found is not None:
    found()

Shop.register_dependency("database")  # E: no factory
Shop.register_dependency("database", 3)  # E: a number cannot be called
Shop.register_dependency([], named)  # E: a list is not hashable
Shop.register_dependency("database", named, lifetime="scopd")  # E: no such lifetime
Shop.register_dependency("database", named, replace=True)  # E: it replaces always
Shop.get_dependency([])  # E: a list is not hashable
Shop.register_value("config")  # E: no value
Shop.get_dependency("database")()  # E: may be None
