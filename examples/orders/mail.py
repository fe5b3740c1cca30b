"""How mails leave the house: one layer for each environment."""

import asyncio
import logging
from email.message import EmailMessage
from pathlib import Path
from typing import NamedTuple, Protocol

from asyncmeta import AsyncServiceBase, inject_dependency

from .settings import Settings

log = logging.getLogger(__name__)


class Mail(NamedTuple):
    """One mail, as it lies in the outbox."""

    id: int
    recipient: str
    subject: str
    body: str


class Mailer(Protocol):
    """What the services ask for; which one they get is said by the application's layers."""

    async def send(self, mail: Mail) -> None:
        """Send *mail*; a mail for which this returns is not sent again."""


class LogMailer:
    """Sends nothing: a developer's mails should reach nobody."""

    async def send(self, mail: Mail) -> None:
        log.info("to %s: %s", mail.recipient, mail.subject)


class SpoolMailer:
    """Leaves each mail as a file in a directory, from where a mail server picks it up."""

    def __init__(self, spool: Path, sender: str) -> None:
        self._spool, self._sender = spool, sender

    async def send(self, mail: Mail) -> None:
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = self._sender, mail.recipient, mail.subject
        message.set_content(mail.body)
        # Named by its number: a mail that is spooled again overwrites itself.
        await asyncio.to_thread((self._spool / f"{mail.id:06}.eml").write_bytes, bytes(message))


# Two layers. What is registered in the body of a service class belongs to that class
# and counts for every application that has it among its bases.


class LoggedMail(AsyncServiceBase):
    """For development: mails end in the log."""

    @inject_dependency(Mailer)
    def make_mailer(self) -> LogMailer:
        return LogMailer()


class SpooledMail(AsyncServiceBase):
    """For production: mails end in the spool directory."""

    @inject_dependency(Mailer)
    async def make_mailer(self, settings: Settings) -> SpoolMailer:
        await asyncio.to_thread(settings.spool.mkdir, parents=True, exist_ok=True)
        return SpoolMailer(settings.spool, settings.sender)
