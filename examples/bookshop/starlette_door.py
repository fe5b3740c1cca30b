"""The same services behind Starlette: ``uvicorn --factory examples.bookshop.starlette_door:make_app``."""

from pydantic import TypeAdapter, ValidationError
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from asyncmeta import Container, From
from asyncmeta.integrations.starlette import ContainerMiddleware, inject

from .answers import BookFound, OrderPlaced
from .app import Bookshop
from .services import OrderDesk, Refused, Shelf, SoldOut, Unknown, Wish

BOOKS = TypeAdapter(list[BookFound])


@inject
async def list_books(request: Request, shelf: From[Shelf]) -> Response:
    books = BOOKS.validate_python(await shelf.books(), from_attributes=True)
    return Response(BOOKS.dump_json(books), media_type="application/json")


@inject
async def place_order(request: Request, desk: From[OrderDesk]) -> Response:
    order = await desk.place(Wish.model_validate_json(await request.body()))
    return Response(OrderPlaced.model_validate(order).model_dump_json(), 201, media_type="application/json")


async def tell(request: Request, error: Exception) -> Response:
    return Response(str(error), 404 if isinstance(error, Unknown) else 409 if isinstance(error, SoldOut) else 422)


def make_app(container: Container | None = None) -> Starlette:
    """Return the application; its container lives as long as it is served."""
    return Starlette(
        routes=[Route("/books", list_books), Route("/orders", place_order, methods=["POST"])],
        exception_handlers={Refused: tell, ValidationError: tell},
        middleware=[Middleware(ContainerMiddleware, container=container or Container(Bookshop))],
    )
