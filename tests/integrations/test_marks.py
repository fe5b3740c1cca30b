"""A mark that a framework would read from a request is refused, and never filled by a client."""

from typing import Annotated

import pydantic
import pytest

from asyncmeta import All, DeclarationError, From, Inject


class Settings(pydantic.BaseModel):
    is_admin: bool = False


async def save_settings(settings: From[Settings]): ...


async def show_price(currency: Annotated[str, Inject("currency")] = "dollars"): ...


async def maybe_settings(settings: From[Settings] | None = None): ...


async def all_settings(every: All[Settings]): ...


class Admin:
    def __init__(self, settings: From[Settings]): ...


HANDLERS = [save_settings, show_price, maybe_settings, all_settings]


def fastapi_route(handler):
    from fastapi import FastAPI

    FastAPI().post("/")(handler)


def fastapi_path(handler):
    from fastapi import FastAPI

    FastAPI().get("/{settings}/{currency}/{every}")(handler)


def fastapi_websocket(handler):
    from fastapi import FastAPI

    FastAPI().websocket("/")(handler)


def fastapi_dependency(handler):
    from fastapi import Depends, FastAPI

    app = FastAPI()

    @app.get("/")
    async def home(dependency: Annotated[object, Depends(handler)]): ...


def fastapi_dependency_of_a_container_route(handler):
    from fastapi import Depends, FastAPI

    from asyncmeta.integrations.fastapi import ContainerRoute

    app = FastAPI()
    app.router.route_class = ContainerRoute

    @app.get("/")
    async def home(dependency: Annotated[object, Depends(handler)]): ...


def fastapi_other_router(handler):
    from fastapi import APIRouter, FastAPI

    from asyncmeta.integrations.fastapi import ContainerRoute

    app, router = FastAPI(), APIRouter()
    app.router.route_class = ContainerRoute
    router.get("/")(handler)
    app.include_router(router)


def mcp(handler):
    from mcp.server import MCPServer

    MCPServer("shop").tool()(handler)


def mcp_prompt(handler):
    from mcp.server import MCPServer

    MCPServer("shop").prompt()(handler)


def fastmcp(handler):
    from fastmcp import FastMCP

    FastMCP("shop").tool(handler)


def fastmcp_prompt(handler):
    from fastmcp import FastMCP

    FastMCP("shop").prompt(handler)


def ninja(handler):
    from ninja import NinjaAPI

    NinjaAPI(urls_namespace=f"marks {id(handler)}").post("/")(handler)


def faststream(handler):
    pytest.importorskip("redis")
    import asyncio

    from faststream.redis import RedisBroker, TestRedisBroker

    async def start():
        broker = RedisBroker()
        broker.subscriber("orders")(handler)
        async with TestRedisBroker(broker):
            pass

    asyncio.run(start())


READERS = [
    fastapi_route, fastapi_path, fastapi_websocket, fastapi_dependency, fastapi_dependency_of_a_container_route,
    fastapi_other_router, mcp, mcp_prompt, fastmcp, fastmcp_prompt, ninja, faststream,
]  # fmt: skip


@pytest.mark.parametrize("handler", HANDLERS)
@pytest.mark.parametrize("read", READERS)
def test_a_framework_that_reads_a_mark_is_refused(read, handler):
    """
    The front door's mark at a parameter that a framework reads by pydantic is told when the handler is added, with a cure.
    """
    package = read.__name__.partition("_")[0]
    if package == "ninja":  # reads Django's settings when it is imported
        pytest.importorskip("django")
        from . import django_site  # noqa: F401
    pytest.importorskip(package)
    if read is fastapi_path and handler in (show_price, maybe_settings):
        pytest.skip("FastAPI takes no defaults for parts of a path")

    with pytest.raises(DeclarationError) as caught:
        read(handler)

    (name,) = set(handler.__annotations__)
    told = str(caught.value)
    assert told.startswith(f"{name} of {handler.__name__} is marked to be filled by a container, but ")
    assert "test_marks.py:" in told
    assert "@inject" in told or "asyncmeta.integrations.fastapi" in told


def test_a_class_that_is_a_dependency_is_refused_by_its_name():
    """
    A mark in the constructor of a class that FastAPI calls is told of the class, not of the handler that depends on it.
    """
    pytest.importorskip("fastapi")
    with pytest.raises(DeclarationError, match=r"^settings of Admin\.__init__ is marked"):
        fastapi_dependency(Admin)


def test_a_model_with_marked_fields_is_validated_as_without():
    """
    A mark at a field of a model of the user's own says nothing to pydantic: no framework is calling a function.
    """

    class Desk(pydantic.BaseModel):
        settings: From[Settings]
        currency: Annotated[str, Inject("currency")]

    assert Desk(settings=Settings(), currency="euros").currency == "euros"
    with pytest.raises(pydantic.ValidationError):
        Desk(settings=Settings(), currency=1)


def test_functions_that_pydantic_validates():
    """
    A function under ``validate_call`` is called by the program, so its marks are none of a client's.
    """

    @pydantic.validate_call
    def limit(settings: From[Settings], number: int = 1):
        return settings, number

    assert limit(Settings(), number="2") == (Settings(), 2)
