"""The application of each environment, and what it does."""

from typing import NamedTuple

from asyncmeta import AsyncServiceBase, Container, StartReport

from .database import Opening
from .mail import LoggedMail, SpooledMail
from .orders import Refused, Row, read_rows
from .repositories import Keeping
from .services import OrderDesk, Postman, Stored
from .settings import Settings

DESK = {"provide": OrderDesk, "lifetime": "scoped"}


class OrdersApp(Opening, Keeping, AsyncServiceBase, providers=[DESK, Postman]):
    """
    What all environments share.

    The desk and the postman are listed because nothing else asks for them: so they
    are checked when the container is made. By itself this class has no mailer, and
    ``Container(OrdersApp)`` says so; the bases of the two below are where it comes from.
    """


class Development(LoggedMail, OrdersApp):
    """On the desk of a developer."""


class Production(SpooledMail, OrdersApp):
    """In the shop."""


ENVIRONMENTS: dict[str, type[OrdersApp]] = {"development": Development, "production": Production}


class Outcome(NamedTuple):
    """What became of the orders."""

    stored: list[Stored]
    refused: list[tuple[Row, Refused]]
    sent: int  #: mails
    start: StartReport


async def run(application: type[OrdersApp], settings: Settings) -> Outcome:
    """Take all orders of the file, one after another, then send the mails."""
    rows = read_rows(settings.orders)
    application.register_value(Settings, settings)
    async with Container(application) as container:
        start = await container.start()  # all singletons, before the first order needs them
        stored: list[Stored] = []
        refused: list[tuple[Row, Refused]] = []
        for row in rows:
            try:
                # A scope for this order alone, and the desk in it.
                async with container.request(OrderDesk) as desk:
                    taken = await desk.take(row)
            except Refused as reason:
                refused.append((row, reason))
            else:
                stored.append(taken)  # only now: its transaction is committed
        return Outcome(stored, refused, await send_mails(container), start)


async def send_mails(container: Container) -> int:
    """Send what is in the outbox, a transaction for each mail; return how many."""
    sent = 0
    while True:
        async with container.request(Postman) as postman:
            found = await postman.send_next()
        if not found:
            return sent
        sent += 1
