"""The same services as tools of an agent: ``python -m examples.bookshop.mcp_door`` speaks MCP on its standard input."""

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

from asyncmeta import Container, From
from asyncmeta.integrations.mcp import ContainerLifespan, inject

from .answers import BookFound, OrderPlaced
from .app import Bookshop
from .services import OrderDesk, Refused, Shelf, Wish


@inject
async def list_books(shelf: From[Shelf]) -> list[BookFound]:
    """List all books, with prices in euro cents and how many of each are in stock."""
    return [BookFound.model_validate(book) for book in await shelf.books()]


@inject
async def order_book(wish: Wish, desk: From[OrderDesk]) -> OrderPlaced:
    """Order a book by its code. What is answered is placed: do not call this twice for one wish."""
    try:
        return OrderPlaced.model_validate(await desk.place(wish))
    except Refused as error:
        raise ToolError(str(error)) from error  # the SDK tells agents nothing of other errors


def make_server(container: Container | None = None) -> MCPServer:
    """Return the server; its container lives as long as it runs, and each call has a session of its own."""
    server = MCPServer("bookshop", lifespan=ContainerLifespan(container or Container(Bookshop)))
    for tool in (list_books, order_book):
        server.tool()(tool)
    return server


if __name__ == "__main__":
    make_server().run()
