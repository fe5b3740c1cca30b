"""What is written and drawn for an order: a receipt to be mailed, a thumbnail of the book."""

import io
import os
import tempfile
import textwrap
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from sqlalchemy.ext.asyncio import AsyncSession

from asyncmeta import AsyncDependencyDescriptor, AsyncServiceBase, Factory, inject_dependency

from .database import Book, Order
from .settings import Settings


class Outbox:
    """A folder; what lies there is mailed, and shown, by others."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def has(self, name: str) -> bool:
        return (self._folder / name).exists()

    def put(self, name: str, content: bytes) -> None:
        """Lay something there, wholly or not at all; what has the name already is replaced."""
        with tempfile.NamedTemporaryFile(dir=self._folder, delete=False) as file:
            file.write(content)
        os.replace(file.name, self._folder / name)


class Thumbnail(bytes):
    """A PNG."""


class Printing(AsyncServiceBase):
    """The layer of what is written and drawn."""

    @inject_dependency
    def open_outbox(self, settings: Settings) -> Iterator[Outbox]:
        """Open the folder that the settings name, or a new one that goes when the program does."""
        if settings.outbox:
            folder = Path(settings.outbox)
            folder.mkdir(parents=True, exist_ok=True)
            yield Outbox(folder)
            return
        with tempfile.TemporaryDirectory(prefix="bookshop-outbox-") as name:
            yield Outbox(Path(name))

    # Made anew at each call, in a thread: nothing provides the parameters, so they are arguments of `Factory[Thumbnail]`.
    @inject_dependency(lifetime="transient", in_thread=True)
    @staticmethod
    def draw(title: str, author: str) -> Thumbnail:
        """Draw a cover, large, and make it small."""
        cover = Image.new("RGB", (800, 1200), "#23395d")
        pen = ImageDraw.Draw(cover)
        pen.rectangle((40, 40, 760, 1160), outline="#f0e6d2", width=8)
        for top, words, size in ((160, title, 84), (900, author, 52)):
            pen.text((90, top), textwrap.fill(words, 14), "#f0e6d2", ImageFont.load_default(size), spacing=18)
        file = io.BytesIO()
        cover.resize((160, 240), Image.Resampling.LANCZOS).save(file, "PNG")
        return Thumbnail(file.getvalue())


class Clerk(AsyncServiceBase, lifetime="scoped"):
    """
    Does one chore.

    It may be told twice, since a worker that dies after it was done leaves nobody who says so: what is done is a matter
    of a name, and done twice it is the same.
    """

    session = AsyncDependencyDescriptor(AsyncSession)
    outbox = AsyncDependencyDescriptor(Outbox)

    def __init__(self, draw: Factory[Thumbnail]) -> None:
        self._draw = draw

    async def receipt(self, number: str) -> None:
        """Write the mail that confirms an order."""
        order = await (await self.session).get_one(Order, number)
        mail = EmailMessage()
        mail["To"], mail["From"], mail["Message-ID"] = order.customer, "desk@bookshop.example", f"<{number}@bookshop.example>"
        mail["Subject"] = f"Your order {number[:8]}"
        mail.set_content(f"Thank you for {order.quantity} of {order.book}: {order.total / 100:.2f} EUR.")
        (await self.outbox).put(f"{number}.eml", bytes(mail))

    async def thumbnail(self, code: str) -> None:
        """Draw the thumbnail of a book that has none yet."""
        outbox = await self.outbox
        if not outbox.has(f"{code}.png"):
            book = await (await self.session).get_one(Book, code)
            outbox.put(f"{code}.png", await self._draw(title=book.title, author=book.author))
