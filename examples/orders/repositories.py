"""What is kept, and how it is written down; nothing here decides anything."""

from typing import NamedTuple

from asyncmeta import AsyncServiceBase, inject_dependency

from .database import Database, Session
from .mail import Mail
from .orders import Order, Refused


class Product(NamedTuple):
    """Something that can be ordered."""

    code: str
    name: str
    price: int  #: cents


class Catalogue(dict[str, Product]):
    """All products by their code."""


class Repository:
    """Made anew in each scope; all of one scope are given the same session."""

    def __init__(self, session: Session) -> None:
        self._session = session


class Orders(Repository):
    """The orders that were taken."""

    async def add(self, order: Order, total: int) -> None:
        """Write *order* down; an order number is taken once."""
        session = self._session
        added = await session.execute(
            "INSERT INTO orders (number, customer, product, quantity, total, placed)"
            " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (number) DO NOTHING",
            order.number,
            order.customer,
            order.product,
            order.quantity,
            total,
            order.placed.isoformat(),
        )
        if not added:
            raise Refused("duplicate number", f"{order.number} has been taken before")


class Stock(Repository):
    """What is on the shelves."""

    async def take(self, code: str, quantity: int) -> None:
        """Take *quantity* pieces off the shelf, or none and raise Refused."""
        session = self._session
        taken = await session.execute(
            "UPDATE products SET stock = stock - ? WHERE code = ? AND stock >= ?", quantity, code, quantity
        )
        if not taken:
            (row,) = await session.fetch("SELECT stock FROM products WHERE code = ?", code)
            raise Refused("out of stock", f"{quantity} of {code} wanted, {row['stock']} left")


class Outbox(Repository):
    """The mails that are to be sent: written in the order's own transaction, sent after it."""

    async def add(self, number: str, recipient: str, subject: str, body: str) -> None:
        """Put a mail about the order *number* into the box."""
        session = self._session
        await session.execute(
            "INSERT INTO mails (number, recipient, subject, body) VALUES (?, ?, ?, ?)",
            number,
            recipient,
            subject,
            body,
        )

    async def take(self) -> Mail | None:
        """Take the oldest mail that was not sent; it is back in the box if the scope fails."""
        session = self._session
        rows = await session.fetch("SELECT * FROM mails WHERE sent = 0 ORDER BY id LIMIT 1")
        if not rows:
            return None
        (row,) = rows
        await session.execute("UPDATE mails SET sent = 1 WHERE id = ?", row["id"])
        return Mail(row["id"], row["recipient"], row["subject"], row["body"])


class Keeping(AsyncServiceBase, providers=[{"lifetime": "scoped", "providers": [Orders, Stock, Outbox]}]):
    """The layer of what is kept."""

    @inject_dependency
    async def load_catalogue(self, database: Database) -> Catalogue:
        """Read the products once; prices do not change while the program runs."""
        async with database.transaction() as session:
            rows = await session.fetch("SELECT code, name, price FROM products")
        return Catalogue({row["code"]: Product(row["code"], row["name"], row["price"]) for row in rows})
