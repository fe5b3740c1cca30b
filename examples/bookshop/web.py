"""The shop on the web: pages for people, an API for programs; FastAPI."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, get_args

from fastapi import APIRouter, FastAPI, Form, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse

from asyncmeta import INJECTED, Container, StartReport, injected
from asyncmeta.integrations.fastapi import ContainerMiddleware, ContainerRoute, From

from .answers import Bestseller, BookFound, OrderPlaced
from .app import Bookshop
from .pages import Pages
from .rates import Currency, NoRates, Rates, converted
from .services import Bestsellers, OrderDesk, Refused, Shelf, SoldOut, Unknown, Wish

# The route class fills what is marked in one call; without it From[...] does the same, a little slower.
site = APIRouter(route_class=ContainerRoute, default_response_class=HTMLResponse, include_in_schema=False)
api = APIRouter(route_class=ContainerRoute, prefix="/api")


@site.get("/")
async def books(shelf: From[Shelf], rates: From[Rates], pages: From[Pages], currency: Currency = "EUR") -> str:
    found, note = await shelf.books(), ""
    try:
        rate = await rates.of(currency)
    except NoRates:
        currency, note = "EUR", f"What a euro is in {currency} cannot be told at the moment."
        rate = await rates.of(currency)
    prices = {book.code: converted(book.price, rate) for book in found}
    return pages.page("books", books=found, prices=prices, currency=currency, currencies=get_args(Currency), note=note)


@site.post("/orders")
async def order(wish: Annotated[Wish, Form()], desk: From[OrderDesk]) -> Response:
    placed = await desk.place(wish)
    return RedirectResponse(f"/orders/{placed.number}", 303)  # so that reloading the page orders nothing


@site.get("/orders/{number}")
async def ordered(number: str, shelf: From[Shelf], pages: From[Pages]) -> str:
    return pages.page("order", order=await shelf.order(number))


@site.get("/health", response_class=JSONResponse)
async def health(container: From[Container]) -> Response:
    report = await container.health()
    return Response(report.to_json(), 200 if report.ok else 503, media_type="application/json")


@site.get("/start")
async def start(request: Request) -> str:
    report: StartReport = request.app.state.started
    return report.to_html()


@api.get("/books", response_model=list[BookFound])
async def list_books(shelf: From[Shelf]) -> Any:
    return await shelf.books()


@api.post("/orders", response_model=OrderPlaced, status_code=201)
async def place_order(wish: Wish, desk: From[OrderDesk]) -> Any:
    return await desk.place(wish)


@api.get("/bestsellers", response_model=list[Bestseller])
async def list_bestsellers(bestsellers: From[Bestsellers]) -> Any:
    return await bestsellers.top()


@injected
async def tell(request: Request, error: Exception, pages: From[Pages] = INJECTED) -> Response:
    """Say what is wrong with a request, on a page or to a program."""
    match error:
        case RequestValidationError():
            status, wrong = 422, [f"{one['loc'][-1]}: {one['msg']}" for one in error.errors()]
        case SoldOut():
            status, wrong = 409, [str(error)]
        case Unknown():
            status, wrong = 404, [str(error)]
        case _:
            status, wrong = 422, [str(error)]
    if request.url.path.startswith(api.prefix):
        return JSONResponse({"detail": wrong}, status)
    return HTMLResponse(pages.page("wrong", wrong=wrong), status)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Build everything before the first request comes, and keep the report of it for ``/start``."""
    app.state.started = await app.state.container.start()
    yield


def make_app(container: Container | None = None) -> FastAPI:
    """Return the application; its container lives as long as it is served."""
    app = FastAPI(title="Bookshop", lifespan=lifespan)
    app.state.container = container or Container(Bookshop)
    app.include_router(site)
    app.include_router(api)
    app.add_exception_handler(Refused, tell)
    app.add_exception_handler(RequestValidationError, tell)
    # A scope for each request. Whatever is answered with 400 or more has failed, and its session is rolled back.
    app.add_middleware(ContainerMiddleware, container=app.state.container, start=False)
    return app
