"""
The source of injected functions reads as if a careful colleague had typed it: each form is kept in tests/golden/injected.

ASYNCMETA_GOLDEN=write writes the files anew; look at what changed before it is kept.
"""

import linecache
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from helpers import fresh_app

from asyncmeta import AsyncDependencyDescriptor, AsyncServiceBase, Container, From, Inject, inject_dependency, injected

GOLDEN = Path(__file__).parents[1] / "golden" / "injected"


class Pool:
    pass


class Config:
    pass


class Basket:
    def __init__(self, pool: Pool):
        self.pool = pool


class Session:
    pass


class Users:
    def __init__(self, session: Session):
        self.session = session


class Orders:
    def __init__(self, session: Session):
        self.session = session


class Report:
    def __init__(self, users: Users, orders: Orders):
        pass


class Service(AsyncServiceBase, lifetime="scoped"):
    session = AsyncDependencyDescriptor(Session)


def application() -> Any:
    app = fresh_app()
    for made in (Pool, Config):
        inject_dependency(on=app)(made)
    for made in (Basket, Users, Orders):
        inject_dependency(on=app, lifetime="scoped")(made)
    inject_dependency(on=app, lifetime="transient")(Report)

    @inject_dependency(Session, on=app, lifetime="scoped")
    async def open_session(pool: Pool, config: Config) -> AsyncIterator[Session]:
        yield Session()

    @inject_dependency("file", on=app, lifetime="scoped")
    def open_file() -> Iterator[str]:
        yield "file"

    return app


async def singletons(number: int, pool: From[Pool], config: From[Config]):
    return number


async def call(number: int, pool: From[Pool], config: From[Config], basket: From[Basket]):
    return number


async def request(report: From[Report], *, limit: int = 10, basket: From[Basket]):
    return limit


async def two_finalizers(session: From[Session], file: Annotated[str, Inject("file")]):
    return 5


async def shared(users: From[Users], orders: From[Orders]):
    return 5


async def moved_up(pool: From[Pool], first: str, *rest: int, basket: From[Basket], **more: int):
    return 5


async def stream(number: int, session: From[Session]):
    yield number


async def service(number: int, service: From[Service], pool: From[Pool]):
    return number


def plain(number: int, basket: From[Basket], file: Annotated[str, Inject("file")]):
    return number


def generator(number: int, file: Annotated[str, Inject("file")]):
    yield number


def ambient(number: int, basket: From[Basket]):
    return number


async def in_scope(number: int, pool: From[Pool], *, limit: int = 10, session: From[Session]):
    return number


NUMBER = (1,)
FORMS = {
    singletons: NUMBER,
    call: NUMBER,
    request: (),
    two_finalizers: (),
    shared: (),
    moved_up: ("text",),
    stream: NUMBER,
    service: NUMBER,
    plain: NUMBER,
    generator: NUMBER,
    ambient: NUMBER,
    in_scope: NUMBER,
}


async def source_of(function: Any, arguments: tuple[Any, ...]) -> str:
    """Return the source that a function runs once it has code for its container."""
    async with Container(application()) as container, container.scope() as scope:
        wrapper = injected(function) if function in (ambient, in_scope) else container.inject(function)
        for _ in range(3):
            if function is stream:
                assert [item async for item in wrapper(*arguments)]
            elif function is generator:
                assert list(wrapper(*arguments))
            elif function in (plain, ambient):
                assert wrapper(*arguments)
            elif function is in_scope:
                with scope.ambient():
                    assert await wrapper(*arguments)
            else:
                assert await wrapper(*arguments)
        return "".join(linecache.getlines(wrapper.__code__.co_filename))


@pytest.mark.parametrize("function", FORMS, ids=lambda function: function.__name__)
async def test_each_form_reads_as_it_is_kept(function):
    """
    The source of each form of wrapper is the one that somebody has looked at.
    """
    file = GOLDEN / f"{function.__name__}.txt"
    text = await source_of(function, FORMS[function])

    if os.environ.get("ASYNCMETA_GOLDEN") == "write":
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")


def test_every_kept_file_has_its_form():
    """
    No file is left over from a form that is no more.
    """
    assert {file.stem for file in GOLDEN.glob("*.txt")} == {function.__name__ for function in FORMS}


@pytest.mark.parametrize("function", FORMS, ids=lambda function: function.__name__)
async def test_nothing_that_a_user_wrote_is_in_the_source(function):
    """
    Parameters get their names afterwards: the text has none of them, so no name can ever become code.
    """
    text = await source_of(function, FORMS[function])

    names = function.__code__.co_varnames[: function.__code__.co_argcount + function.__code__.co_kwonlyargcount]
    words = set("".join(letter if letter.isidentifier() or letter.isdigit() else " " for letter in text).split())
    assert words & set(names) == set()
