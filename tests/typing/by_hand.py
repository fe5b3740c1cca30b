"""Services made by hand: what is given for a dependency is checked against it."""

from typing import ClassVar, Protocol, assert_type

from asyncmeta import AsyncDependencyDescriptor, AsyncServiceBase, Lazy


class Session:
    def execute(self, query: str) -> int:
        return 0


class FakeSession(Session):
    pass


class Mailer(Protocol):
    def send(self, to: str) -> None: ...


class FakeMailer:
    def send(self, to: str) -> None: ...


class Desk(AsyncServiceBase, lifetime="scoped"):
    session = AsyncDependencyDescriptor(Session)
    mailer: ClassVar[AsyncDependencyDescriptor[Mailer]]
    maybe = AsyncDependencyDescriptor(Session, optional=True)
    name = AsyncDependencyDescriptor("name")

    async def place(self) -> int:
        return (await self.session).execute("insert")


class Table(AsyncServiceBase):
    session = AsyncDependencyDescriptor(Session)

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size


async def given() -> None:
    desk = Desk(session=FakeSession())
    desk.session = FakeSession()
    desk.maybe = None
    desk.name = "anything"
    assert_type(await desk.session, Session)
    assert_type(desk.session, Lazy[Session])
    assert_type(await desk.place(), int)
    Desk()
    Table(3)
    Table("3")  # E: no int
    Desk(FakeSession())  # E: by keyword


async def wrong() -> None:
    desk = Desk()
    desk.session = "fake"  # E: no Session
    desk.session = None  # E: not optional
    desk.maybe = 3  # E: no Session
    desk.session.execute("insert")  # E: has to be awaited
    desk.session()  # E: has to be awaited
    desk.session["x"]  # E: has to be awaited
    with desk.session:  # E: has to be awaited
        pass
