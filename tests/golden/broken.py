"""A small application with one problem of each kind, and one thing of each kind that is worth a warning."""

from typing import Any

from asyncmeta import AsyncDependencyDescriptor, AsyncServiceBase, inject_dependency

SECRET = "hunter2-never-to-be-seen"


class Session:
    pass


class Cart:
    pass


class Left:
    pass


class Right:
    pass


class Base(AsyncServiceBase):
    """The layer below."""

    async def on_startup(self) -> None:
        """Never called: the application's own does not call super()."""


Base.register_value("greeting", SECRET)


@inject_dependency(Session, on=Base, lifetime="scoped")
def make_session() -> Session:
    return Session()


@inject_dependency(Cart, on=Base)
def make_cart(session: Session) -> Cart:
    return Cart()


@inject_dependency(Left, on=Base)
def make_left(right: Right) -> Left:
    return Left()


@inject_dependency(Right, on=Base)
def make_right(left: Left) -> Right:
    return Right()


@inject_dependency("unread", on=Base)
def make_unread(thing: "Nowhere") -> Any:  # noqa: F821  # that is the problem
    return SECRET


class Shop(Base):
    """The application."""

    database = AsyncDependencyDescriptor("databse <&\"'> %0A::error::")

    async def on_startup(self) -> None:
        """The application's own."""


Shop.register_value("greeting", SECRET)
