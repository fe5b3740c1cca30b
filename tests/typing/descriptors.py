"""`await self.attribute` has the type that was declared, whichever way it was declared."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Generic, NewType, Protocol, TypeVar

from typing_extensions import assert_type

from asyncmeta import AsyncDependencyDescriptor, AsyncServiceBase, From, Inject, Lazy, Token

T = TypeVar("T")


class Database:
    def fetch(self) -> str:
        return ""


class Clock(ABC):
    @abstractmethod
    def now(self) -> float: ...


class Mail(Protocol):
    def send(self, to: str) -> None: ...


class Repository(Generic[T]):
    def one(self) -> T:
        raise LookupError


Dsn = NewType("Dsn", str)
DATABASE = Token[Database]("database")
PLAIN = Token("plain")


class App(AsyncServiceBase):
    by_type = AsyncDependencyDescriptor(Database)
    by_name = AsyncDependencyDescriptor("database")
    by_attribute = AsyncDependencyDescriptor[Any]()
    bare = AsyncDependencyDescriptor()
    subscripted = AsyncDependencyDescriptor[Database]("database")
    subscript_alone = AsyncDependencyDescriptor[Database]()
    annotated: AsyncDependencyDescriptor[Database] = AsyncDependencyDescriptor("database")
    annotated_class: ClassVar[AsyncDependencyDescriptor[Database]] = AsyncDependencyDescriptor()
    no_value: ClassVar[AsyncDependencyDescriptor[Database]]
    token = AsyncDependencyDescriptor(DATABASE)
    plain_token = AsyncDependencyDescriptor(PLAIN)
    abstract = AsyncDependencyDescriptor(Clock)
    protocol = AsyncDependencyDescriptor(Mail)
    generic = AsyncDependencyDescriptor(Repository[int])
    new_type = AsyncDependencyDescriptor(Dsn)
    union = AsyncDependencyDescriptor(Database | None)
    optional = AsyncDependencyDescriptor(Database, optional=True)
    optional_token = AsyncDependencyDescriptor(DATABASE, optional=True)
    optional_name = AsyncDependencyDescriptor("database", optional=True)
    required = AsyncDependencyDescriptor(Database, optional=False)
    marked = AsyncDependencyDescriptor(Annotated[dict[str, int], Inject("config")])
    call = AsyncDependencyDescriptor(Callable[[int], str])
    lazy = AsyncDependencyDescriptor(Lazy[Database])

    async def awaited(self) -> None:
        assert_type(await self.by_type, Database)
        assert_type(await self.by_name, Any)
        assert_type(await self.by_attribute, Any)
        assert_type(await self.bare, Any)
        assert_type(await self.subscripted, Database)
        assert_type(await self.subscript_alone, Database)
        assert_type(await self.annotated, Database)
        assert_type(await self.annotated_class, Database)
        assert_type(await self.no_value, Database)
        assert_type(await self.token, Database)
        assert_type(await self.plain_token, Any)
        assert_type(await self.abstract, Clock)
        assert_type(await self.protocol, Mail)
        assert_type(await self.generic, Repository[int])
        assert_type((await self.generic).one(), int)
        assert_type(await self.new_type, Dsn)
        assert_type(await self.union, Database | None)
        assert_type(await self.optional, Database | None)
        assert_type(await self.optional_token, Database | None)
        assert_type(await self.optional_name, Any)
        assert_type(await self.required, Database)
        assert_type(await self.marked, dict[str, int])
        assert_type(await self.call, Callable[[int], str])
        assert_type(await self.lazy, Lazy[Database])
        assert_type(await (await self.lazy), Database)

    async def in_tasks(self) -> None:
        assert_type(self.by_type, Lazy[Database])
        assert_type(await asyncio.gather(self.by_type, self.abstract), tuple[Database, Clock])
        assert_type(await asyncio.wait_for(self.by_type, 1), Database)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self.by_type.run())
        assert_type(task.result(), Database)
        assert_type(self.by_type.nowait(), Database)

    async def mistakes(self) -> None:
        wrong: Clock = await self.by_type  # E: a Database is no Clock
        self.by_type.fetch()  # E: the await was forgotten
        (await self.by_type).fetsh()  # E: no such method
        (await self.optional).fetch()  # E: it may be None
        late: Database = self.by_type  # E: the await was forgotten
        print(wrong, late)


async def from_outside(app: App) -> None:
    assert_type(await app.by_type, Database)
    assert_type(App.by_type, AsyncDependencyDescriptor[Database])
    assert_type(App.by_type.service_name, str)
    assert_type(await App.by_type.resolve(app), Database)
    assert_type(await App.by_name.resolve(app), Any)


class Derived(App):
    async def inherited(self) -> None:
        assert_type(await self.by_type, Database)
        assert_type(await self.protocol, Mail)


class Foreign:
    """Descriptors work in classes that are no services, too."""

    database = AsyncDependencyDescriptor(Database)


@dataclass
class Data(AsyncServiceBase):
    name: str
    database: ClassVar[AsyncDependencyDescriptor[Database]] = AsyncDependencyDescriptor(Database)


async def other_classes(foreign: Foreign) -> None:
    assert_type(await foreign.database, Database)
    data = Data("x")
    assert_type(await data.database, Database)
    assert_type(data.name, str)
    Data("x", 1)  # E: the descriptor is no field


class Generics(AsyncServiceBase, Generic[T]):
    database = AsyncDependencyDescriptor(Database)

    def echo(self, value: T) -> T:
        return value


async def generic_service(service: Generics[int]) -> None:
    assert_type(await service.database, Database)
    assert_type(service.echo(1), int)


class Mistakes(AsyncServiceBase):
    number = AsyncDependencyDescriptor(3)  # E: no token
    optional = AsyncDependencyDescriptor(Database, optional="yes")  # E: no bool
    unknown = AsyncDependencyDescriptor(Database, lazy=True)  # E: no such option
    two = AsyncDependencyDescriptor(Database, "database")  # E: one token at most


async def mark(value: From[Database]) -> None:
    assert_type(value, Database)
