"""
The same services from the command line.

    python -m examples.bookshop.command books
    python -m examples.bookshop.command order GEB ada@example.org
    python -m examples.bookshop.command bestsellers
"""

import typer
from pydantic import ValidationError

from asyncmeta import Container, From
from asyncmeta.integrations.typer import with_container

from .app import Bookshop
from .services import Bestsellers, OrderDesk, Refused, Shelf, Wish

app = typer.Typer(help="The bookshop. DATABASE_URL says which: by itself each command has a new one.")


@app.command()
@with_container(Bookshop)
async def books(shelf: From[Shelf]) -> None:
    """List all books."""
    for book in await shelf.books():
        typer.echo(f"{book.code:6} {book.stock:3}  {book.price / 100:6.2f} EUR  {book.title}, {book.author}")


@app.command()
@with_container(Bookshop)
async def order(container: From[Container], book: str, customer: str, quantity: int = 1) -> None:
    """Order a book."""
    try:
        # A scope for the order alone: it is committed at the block's end, and printed only then.
        async with container.request(OrderDesk) as desk:
            placed = await desk.place(Wish(book=book, quantity=quantity, customer=customer))
    except (Refused, ValidationError) as error:
        raise typer.BadParameter(str(error)) from error
    typer.echo(f"{placed.number}: {placed.quantity} of {placed.book}, {placed.total / 100:.2f} EUR")


@app.command()
@with_container(Bookshop)
async def bestsellers(found: From[Bestsellers]) -> None:
    """List what is ordered most."""
    for book in await found.top():
        typer.echo(f"{book.sold:3} {book.code:6} {book.title}")


if __name__ == "__main__":
    app()
