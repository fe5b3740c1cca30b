"""What readers write about a book, judged by the models of ``examples.pipeline``: for who has its packages."""

from importlib.util import find_spec

from fastapi import APIRouter, FastAPI
from pydantic import BaseModel

from asyncmeta import Container
from asyncmeta.integrations.fastapi import ContainerRoute, From
from examples.pipeline.analysis import Analyser, Analysis, TextAnalysis
from examples.pipeline.steps import Refused

from . import web
from .app import Bookshop

api = APIRouter(route_class=ContainerRoute, prefix="/api")


class ReviewedBookshop(TextAnalysis, Bookshop):
    """The bookshop with the layers of the pipeline: what an application consists of is a list of bases."""


class Review(BaseModel):
    """What somebody wrote."""

    text: str


@api.post("/reviews")
async def judge(review: Review, analyser: From[Analyser]) -> Analysis:
    """Say in which language a review is, and, of an English one, how it sounds."""
    return await analyser.analyse(review.text)


def make_app(container: Container | None = None) -> FastAPI:
    """Return the shop with this endpoint."""
    app = web.make_app(container or Container(ReviewedBookshop))
    app.include_router(api)
    app.add_exception_handler(Refused, web.tell)
    return app


def available() -> bool:
    """Return whether the packages of the models are installed."""
    return find_spec("py3langid") is not None and find_spec("vaderSentiment") is not None
