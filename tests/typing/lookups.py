"""What is asked for is what comes: `get`, `get_nowait`, `getter`, `request`, `gather`, for each kind of token."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Generic, NewType, Protocol, TypeVar

from typing_extensions import assert_type

from asyncmeta import AsyncServiceBase, Container, Inject, Lazy, Scope, Token

T = TypeVar("T")


class Database:
    def fetch(self) -> str:
        return ""


class Users(AsyncServiceBase):
    pass


class Clock(ABC):
    @abstractmethod
    def now(self) -> float: ...


class Mail(Protocol):
    def send(self, to: str) -> None: ...


class Repository(Generic[T]):
    pass


Dsn = NewType("Dsn", str)
DATABASE = Token[Database]("database")
PLAIN = Token("plain")


async def get(scope: Scope, container: Container) -> None:
    assert_type(await scope.get(Database), Database)
    assert_type(await container.get(Database), Database)
    assert_type(await scope.get(Users), Users)
    assert_type(await scope.get(Clock), Clock)
    assert_type(await scope.get(Mail), Mail)
    assert_type(await scope.get(DATABASE), Database)
    assert_type(await scope.get(PLAIN), Any)
    assert_type(await scope.get("database"), Any)
    assert_type(await scope.get(Dsn), Dsn)
    assert_type(await scope.get(Repository[int]), Repository[int])
    assert_type(await scope.get(Database | None), Database | None)
    assert_type(await scope.get(Annotated[dict[str, int], Inject("config")]), dict[str, int])
    assert_type(await scope.get(Lazy[Database]), Lazy[Database])
    assert_type(await scope.get(Container), Container)
    assert_type(await scope.get(Scope), Scope)
    assert_type(await scope.get(int), int)


async def get_by_variable(scope: Scope, token: type[T]) -> T:
    return await scope.get(token)


async def variable(scope: Scope) -> None:
    assert_type(await get_by_variable(scope, Database), Database)


def get_nowait(scope: Scope) -> None:
    assert_type(scope.get_nowait(Database), Database)
    assert_type(scope.get_nowait(Clock), Clock)
    assert_type(scope.get_nowait(Mail), Mail)
    assert_type(scope.get_nowait(DATABASE), Database)
    assert_type(scope.get_nowait("database"), Any)
    assert_type(scope.get_nowait(Database | None), Database | None)
    assert_type(scope.get_nowait(Repository[str]), Repository[str])


async def getter(scope: Scope) -> None:
    assert_type(scope.getter(Database), Callable[[], Coroutine[Any, Any, Database]])
    assert_type(scope.getter("database"), Callable[[], Coroutine[Any, Any, Any]])
    read = scope.getter(DATABASE)
    assert_type(await read(), Database)
    assert_type(await scope.getter(Mail)(), Mail)


async def getter_of_a_container(container: Container, token: Token[str]) -> None:
    assert_type(container.getter(Database), Callable[[], Coroutine[Any, Any, Database]])
    assert_type(container.getter(token), Callable[[], Coroutine[Any, Any, str]])
    assert_type(container.getter("database"), Callable[[], Coroutine[Any, Any, Any]])


async def container_of_a_scope(scope: Scope, container: Container) -> None:
    assert_type(scope.container, Container)
    assert_type(container.container, Container)


async def request(scope: Scope) -> None:
    async with scope.request(Database) as database:
        assert_type(database, Database)
    async with scope.request(Users, {Database: Database()}) as users:
        assert_type(users, Users)
    async with scope.request(DATABASE) as by_token:
        assert_type(by_token, Database)
    async with scope.request("database") as by_name:
        assert_type(by_name, Any)
    async with scope.request(Mail) as mail:
        assert_type(mail, Mail)
    with scope.request(Database) as at_once:
        assert_type(at_once, Database)


async def gather(scope: Scope) -> None:
    assert_type(await scope.gather(Database), tuple[Database])
    assert_type(await scope.gather(Database, Users), tuple[Database, Users])
    assert_type(await scope.gather(Database, Clock, Mail), tuple[Database, Clock, Mail])
    assert_type(await scope.gather(DATABASE, "users", Users), tuple[Database, Any, Users])
    assert_type(await scope.gather(Repository[int], Users), tuple[Repository[int], Users])
    database, users, clock, mail = await scope.gather(Database, Users, Clock, Mail)
    assert_type(database, Database)
    assert_type(users, Users)
    assert_type(clock, Clock)
    assert_type(mail, Mail)
    one, two, three, four, five, six = await scope.gather(Database, Users, Clock, Mail, DATABASE, "name")
    assert_type((one, two, three), tuple[Database, Users, Clock])
    assert_type((four, five, six), tuple[Mail, Database, Any])
    assert_type(await scope.gather(Database, Database, Database, Database, Database, Database, Database), tuple[Any, ...])


async def mistakes(scope: Scope) -> None:
    await scope.get(3)  # E: a number is no token
    await scope.get()  # E: which one?
    await scope.get([Database])  # E: one at a time
    await scope.get(Database())  # E: a value is no token
    scope.get_nowait(b"database")  # E: nor are bytes
    scope.getter(3)  # E: no token
    scope.request(3)  # E: no token
    scope.request(Database, [Database()])  # E: a context is a mapping
    users: Users = await scope.get(Database)  # E: a Database is no Users
    database: Database = scope.get(Database)  # E: the await was forgotten
    (await scope.get(Database)).fetsh()  # E: no such method
    (await scope.get(Database | None)).fetch()  # E: it may be None
    (await scope.getter(Database)()).fetsh()  # E: no such method
    await scope.gather(Database, [])  # E: a list is not hashable
    await scope.get(token=Database)  # E: by position only
    print(users, database)
