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


class OrderDesk(AsyncServiceBase, lifetime="scoped"):
    """Takes one order, wholly or not at all."""

    # Awaited where they are used: `await self.stock` is a Stock, for checkers too.
    catalogue = AsyncDependencyDescriptor(Catalogue)
    orders = AsyncDependencyDescriptor(Orders)
    stock = AsyncDependencyDescriptor(Stock)
    outbox = AsyncDependencyDescriptor(Outbox)

    async def take(self, row: Row) -> Stored:
        """
        Store the order of *row*, take it from the stock and write its mail.

        Raises:
            Refused: It cannot be taken. What was written until then is undone
                when the exception leaves the scope, so leave it to do so.
        """
        order = parse(row)
        product = (await self.catalogue).get(order.product)
        if product is None:
            raise Refused("unknown product", f"{shown(order.product)} is not in the catalogue")
        total = order.quantity * product.price
        await (await self.orders).add(order, total)
        await (await self.stock).take(product.code, order.quantity)
        await (await self.outbox).add(
            order.number,
            order.customer,
            f"Your order {order.number}",
            f"{order.quantity} x {product.name}, {total / 100:.2f} EUR\n",
        )
        return Stored(order, total)


class Postman(AsyncServiceBase, lifetime="scoped"):
    """Sends one mail of the outbox."""

    outbox = AsyncDependencyDescriptor(Outbox)
    mailer = AsyncDependencyDescriptor(Mailer)

    async def send_next(self) -> bool:
        """Send the oldest mail; return whether there was one. A mail that fails stays."""
        mail = await (await self.outbox).take()
        if mail is None:
            return False
        await (await self.mailer).send(mail)
        return True
