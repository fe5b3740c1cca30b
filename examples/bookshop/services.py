"""What the shop does, whoever asks for it."""

import re
from collections.abc import Sequence
from functools import partial
from typing import Annotated, NamedTuple
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from .cache import Clock
from .chores import Chores
from .database import AfterCommit, Book, Order, Replica

NUMBER = re.compile(r"[0-9a-f]{32}")
MAIL = r"^[A-Za-z0-9_.+-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$"


class Wish(BaseModel):
    """An order that makes sense by itself; whether it can be met is not known yet."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    book: Annotated[str, Field(pattern=r"^[A-Z0-9]{1,12}$")]
    quantity: Annotated[int, Field(ge=1, le=99)]
    customer: Annotated[str, Field(pattern=MAIL, max_length=254, description="a mail address")]


class Refused(Exception):
    """A wish that is not met."""


class SoldOut(Refused):
    """There are fewer on the shelf."""


class Unknown(Refused):
    """There is no such thing."""


class Shelf:
    """What can be looked at."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def books(self) -> Sequence[Book]:
        """Return all books, by title."""
        return (await self._session.scalars(select(Book).order_by(Book.title))).all()

    async def order(self, number: str) -> Order:
        """Return the order with this number, or raise Unknown."""
        found = await self._session.get(Order, number) if NUMBER.fullmatch(number) else None
        if found is None:
            raise Unknown("there is no such order")
        return found


class Sold(NamedTuple):
    """A book, and how many of it were ordered."""

    code: str
    title: str
    sold: int


class Bestsellers:
    """What is ordered most: a question about all orders, and so one for the replica."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica

    async def top(self, most: int = 3) -> Sequence[Sold]:
        """Return the books of which most were ordered, with the first in front; none that nobody ordered."""
        sold = func.sum(Order.quantity).label("sold")
        question = select(Book.code, Book.title, sold).join(Order, Order.book == Book.code).group_by(Book.code, Book.title)
        async with (await self._replica.engine).connect() as connection:
            found = await connection.execute(question.order_by(sold.desc(), Book.title).limit(most))
        return [Sold(*row) for row in found]


class OrderDesk:
    """Takes one order, wholly or not at all."""

    def __init__(self, session: AsyncSession, clock: Clock, after: AfterCommit, chores: Chores) -> None:
        self._session = session
        self._clock = clock
        self._after = after
        self._chores = chores

    async def place(self, wish: Wish) -> Order:
        """
        Take what is wished for off the shelf and write the order down.

        Raises:
            Refused: It cannot be taken. Let the exception leave the scope: it undoes
                what was done in the session.
        """
        session = self._session
        # One statement looks and takes: between the two nobody else can. It comes first, since
        # SQLite lets a transaction that has read wait for no other that writes.
        enough = (Book.code == wish.book) & (Book.stock >= wish.quantity)
        took = update(Book).where(enough).values(stock=Book.stock - wish.quantity).returning(Book.price)
        price = await session.scalar(took, execution_options={"synchronize_session": False})
        if price is None:
            left = await session.scalar(select(Book.stock).where(Book.code == wish.book))
            raise Unknown(f"there is no book {wish.book}") if left is None else SoldOut(f"only {left} of {wish.book} are left")
        order = Order(
            number=uuid4().hex,
            total=price * wish.quantity,
            placed=self._clock.now().isoformat(timespec="seconds"),
            **wish.model_dump(),
        )
        session.add(order)
        await session.flush()
        self._after.do(partial(self._chores.receipt, order.number))
        self._after.do(partial(self._chores.thumbnail, order.book))
        return order
