"""What the shop does with an order."""

from typing import NamedTuple

from asyncmeta import AsyncDependencyDescriptor, AsyncServiceBase

from .mail import Mailer
from .orders import Order, Refused, Row, parse, shown
from .repositories import Catalogue, Orders, Outbox, Stock


class Stored(NamedTuple):
    """An order that was taken."""

    order: Order
    total: int  #: cents


class OrderDesk:
    """Takes one order, wholly or not at all."""

    def __init__(self, catalogue: Catalogue, orders: Orders, stock: Stock, outbox: Outbox) -> None:
        self._catalogue = catalogue
        self._orders = orders
        self._stock = stock
        self._outbox = outbox

    async def take(self, row: Row) -> Stored:
        """
        Store the order of *row*, take it from the stock and write its mail.

        Raises:
            Refused: It cannot be taken. What was written until then is undone
                when the exception leaves the scope, so leave it to do so.
        """
        order = parse(row)
        product = self._catalogue.get(order.product)
        if product is None:
            raise Refused("unknown product", f"{shown(order.product)} is not in the catalogue")
        total = order.quantity * product.price
        await self._orders.add(order, total)
        await self._stock.take(product.code, order.quantity)
        await self._outbox.add(
            order.number,
            order.customer,
            f"Your order {order.number}",
            f"{order.quantity} x {product.name}, {total / 100:.2f} EUR\n",
        )
        return Stored(order, total)


class Postman(AsyncServiceBase, lifetime="scoped"):
    """Sends one mail of the outbox."""

    # Awaited where it is used, `await self.mailer` is a Mailer, for checkers too: most often there is no mail.
    mailer = AsyncDependencyDescriptor(Mailer)

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    async def send_next(self) -> bool:
        """Send the oldest mail; return whether there was one. A mail that fails stays."""
        mail = await self._outbox.take()
        if mail is None:
            return False
        await (await self.mailer).send(mail)
        return True
