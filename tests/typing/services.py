"""Service classes: keywords are checked, and they live with ABCs, protocols, generics and dataclasses."""

import typing
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Generic, TypeVar

import typing_extensions
from typing_extensions import assert_type

from asyncmeta import AsyncDependencyDescriptor, AsyncServiceBase, Container, Lifetime, Scope

T = TypeVar("T")


class Request:
    pass


class Database:
    pass


class Plain(AsyncServiceBase):
    pass


class Scoped(AsyncServiceBase, lifetime="scoped"):
    pass


class Transient(AsyncServiceBase, lifetime=Lifetime.TRANSIENT):
    pass


SESSION = Lifetime("session")


class OwnLevel(AsyncServiceBase, lifetime=SESSION):
    pass


class Shop(AsyncServiceBase, providers=[Plain, Scoped], context=[Request, "user"]):
    pass


class Levels(AsyncServiceBase, scopes=("session", "request"), context={"session": [Request], SESSION: ["user"]}):
    pass


class Typo(AsyncServiceBase, lifetyme="scoped"): ...  # E: no such keyword


class WrongLifetime(AsyncServiceBase, lifetime="scopd"): ...  # E: no such lifetime


class NumberLifetime(AsyncServiceBase, lifetime=3): ...  # E: no such lifetime


class WrongContext(AsyncServiceBase, context=3): ...  # E: nothing to go through


class WrongProviders(AsyncServiceBase, providers=[3]): ...  # E: a number provides nothing


class WrongScopes(AsyncServiceBase, scopes=3): ...  # E: names, outer first


class Inherited(Shop, lifetyme="scoped"): ...  # E: checked in subclasses too


# --- with others ----------------------------------------------------------------------------
class Mail(ABC):
    @abstractmethod
    def send(self, to: str) -> None: ...


class Smtp(AsyncServiceBase, Mail):
    database = AsyncDependencyDescriptor(Database)

    def send(self, to: str) -> None: ...


class Sendmail(Mail, AsyncServiceBase, lifetime="scoped"):
    def send(self, to: str) -> None: ...


class Forgotten(AsyncServiceBase, Mail):
    pass


Forgotten()  # E: abstract


class Clock(typing.Protocol):
    def now(self) -> float: ...


class Names(typing_extensions.Protocol):
    def names(self) -> list[str]: ...


class Both(Clock, Names, AsyncServiceBase):
    def now(self) -> float:
        return 0.0

    def names(self) -> list[str]:
        return []


class Implicit(AsyncServiceBase):
    def now(self) -> float:
        return 0.0


def clock(value: Clock) -> None: ...


def mail(value: Mail) -> None: ...


class Repository(AsyncServiceBase, Generic[T]):
    database = AsyncDependencyDescriptor(Database)

    def one(self) -> T:
        raise LookupError


class Numbers(Repository[int]):
    pass


@dataclass
class Data(AsyncServiceBase, lifetime="scoped"):
    name: str
    size: int = 3


@dataclass(slots=True)
class Slotted(AsyncServiceBase):
    name: str


async def together(container: Container) -> None:
    clock(Both())
    clock(Implicit())
    mail(Smtp())
    mail(Sendmail())
    assert_type(Repository[int]().one(), int)
    assert_type(Numbers().one(), int)
    assert_type(await Numbers().database, Database)
    assert_type(await container.get(Repository[str]), Repository[str])
    assert_type(await container.get(Mail), Mail)
    assert_type(Data("x").size, int)
    assert_type(Slotted("x").name, str)
    clock(Smtp())  # E: no clock
    mail(Both())  # E: no mail
    Data()  # E: a name is missing


# --- layers ----------------------------------------------------------------------------------
class Postgres(AsyncServiceBase):
    database = AsyncDependencyDescriptor(Database)


class Mailing(AsyncServiceBase):
    mail = AsyncDependencyDescriptor(Mail)


class Application(Postgres, Mailing, AsyncServiceBase):
    async def run(self) -> None:
        assert_type(await self.database, Database)
        assert_type(await self.mail, Mail)


# --- hooks -----------------------------------------------------------------------------------
class Hooked(AsyncServiceBase):
    async def on_startup(self) -> None:
        await super().on_startup()

    async def on_shutdown(self) -> None:
        await super().on_shutdown()


class WrongHook(AsyncServiceBase):
    def on_startup(self) -> None: ...  # E: must be async


async def as_root() -> None:
    async with Application() as application:
        assert_type(application, Application)
    assert_type(Scope.of(application), Scope)


def any_service(service: type[AsyncServiceBase]) -> None:
    service.register_value("x", 1)
    Container(service)


any_service(Application)
any_service(Database)  # E: no service class
