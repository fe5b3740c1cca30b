"""A small application with every form of dependency; golden files show what is made of it."""

from collections.abc import AsyncIterator, Iterator
from typing import Annotated

from asyncmeta import (
    All,
    AsyncDependencyDescriptor,
    AsyncServiceBase,
    Factory,
    Inject,
    Lazy,
    Lifetime,
    Token,
    inject_dependency,
)

SECRET = "hunter2-\u2028-never-to-be-seen"
DSN = Token[str]("dsn")


class Parts(AsyncServiceBase):
    """The layer of the parts."""


class Settings:
    pass


class Request:
    pass


class Database:
    def __init__(self, dsn: str) -> None:
        self.dsn = dsn


class Session:
    pass


class Audit:
    pass


class Plugin:
    pass


class Mailer:
    pass


class Report:
    pass


class Header:
    pass


class Page:
    pass


Parts.register_value(DSN, SECRET)
Parts.register_value(Settings, Settings())


@inject_dependency(Database, on=Parts)
async def open_database(dsn: Annotated[str, Inject(DSN)], settings: Settings) -> AsyncIterator[Database]:
    yield Database(dsn)


@inject_dependency(Session, on=Parts, lifetime="scoped")
async def open_session(database: Database) -> AsyncIterator[Session]:
    yield Session()


@inject_dependency(Audit, on=Parts, lifetime="scoped")
def make_audit(settings: Settings, retries: str = SECRET) -> Audit:
    return Audit()


@inject_dependency("lock", on=Parts, lifetime="scoped")
def hold_lock(audit: Audit) -> Iterator[str]:
    yield SECRET


@inject_dependency(Header, on=Parts, lifetime="transient")
def make_header(audit: Audit) -> Header:
    return Header()


@inject_dependency(Page, on=Parts, lifetime="transient")
async def make_page(header: Header, other: Header) -> Page:
    return Page()


@inject_dependency("stamp", on=Parts, lifetime="transient")
def make_stamp(settings: Settings, database: Database) -> str:
    return SECRET


@inject_dependency(Report, on=Parts, lifetime="scoped")
async def make_report(*, session: Session, page: Page, title: str = SECRET) -> Report:
    return Report()


@inject_dependency(Plugin, on=Parts, multi=True)
def first_plugin() -> Plugin:
    return Plugin()


@inject_dependency(Plugin, on=Parts, multi=True, timeout=5.0, in_thread=True)
def second_plugin(settings: Settings) -> Plugin:
    return Plugin()


@inject_dependency("plugins", on=Parts, lifetime="scoped")
def make_plugins(plugins: All[Plugin]) -> list[Plugin]:
    return plugins


@inject_dependency("handles", on=Parts, lifetime="scoped")
def make_handles(mailer: Lazy[Mailer], report: Factory[Report]) -> tuple[str, ...]:
    return (SECRET,)


@inject_dependency("greeting", on=Parts, lifetime="scoped")
def make_greeting(request: Request) -> str:
    return SECRET


@inject_dependency("perhaps", on=Parts, lifetime="scoped")
def make_perhaps(request: Request | None) -> str:
    return SECRET


@inject_dependency(Mailer, on=Parts)
def first_mailer() -> Mailer:
    return Mailer()


class Clock(AsyncServiceBase):
    """A singleton service that needs no registration and starts."""

    settings = AsyncDependencyDescriptor(Settings)

    async def on_startup(self) -> None:
        await self.settings


class Users(AsyncServiceBase, lifetime=Lifetime.SCOPED):
    """A scoped service that starts."""

    session = AsyncDependencyDescriptor(Session)
    clock = AsyncDependencyDescriptor(Clock)

    def __init__(self, audit: Audit) -> None:
        self.audit = audit

    async def on_startup(self) -> None:
        await self.session


class Shop(Parts, providers=[Users, {"provide": "key", "value": SECRET}], context=[Request]):
    """The application."""

    mailer = AsyncDependencyDescriptor(Mailer)

    @inject_dependency(Mailer)
    def make_mailer(self, below: Mailer) -> Mailer:
        return Mailer()
