"""`@injected` and `container.inject`: marked parameters may be left out, the others are checked as ever."""
# needs: asyncmeta.injected

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

from typing_extensions import assert_type

from asyncmeta import INJECTED, Container, From, injected


class Database:
    pass


@injected
async def handler(number: int, db: From[Database] = INJECTED, *, limit: int = 10) -> str:
    assert_type(db, Database)
    return ""


@injected()
def plain(number: int, *, db: From[Database] = INJECTED) -> str:
    return ""


@injected
def generator(number: int, db: From[Database] = INJECTED) -> Iterator[int]:
    yield number


@injected
async def async_generator(number: int, db: From[Database] = INJECTED) -> AsyncIterator[int]:
    yield number


class Controller:
    @injected
    async def method(self, number: int, db: From[Database] = INJECTED) -> str:
        return ""

    @staticmethod
    @injected
    def static(number: int, db: From[Database] = INJECTED) -> str:
        return ""

    @classmethod
    @injected
    def of_class(cls, number: int, db: From[Database] = INJECTED) -> str:
        return ""


@injected
def no_default(number: int, db: From[Database]) -> str:
    """Works at run time; a call by hand that leaves out `db` is an error for checkers."""
    return ""


@dataclass
class Job:
    number: int
    db: From[Database] = INJECTED


async def good(container: Container) -> None:
    assert_type(await handler(1), str)
    assert_type(await handler(1, limit=3), str)
    assert_type(await handler(1, Database()), str)
    assert_type(plain(1), str)
    assert_type(generator(1), Iterator[int])
    assert_type(async_generator(1), AsyncIterator[int])
    assert_type(await Controller().method(1), str)
    assert_type(Controller.static(1), str)
    assert_type(Controller.of_class(1), str)
    job = container.inject(Job)
    assert_type(job(1), Job)
    assert_type(container.inject(plain)(1), str)
    assert_type(no_default(1, Database()), str)


async def mistakes(container: Container) -> None:
    await handler("x")  # E: a number
    await handler(1, db=3)  # E: no database
    await handler(1, bd=Database())  # E: no such parameter
    await handler()  # E: a number is missing
    plain("x")  # E: a number
    generator("x")  # E: a number
    async_generator("x")  # E: a number
    await Controller().method("x")  # E: a number
    Controller.static("x")  # E: a number
    Controller.of_class("x")  # E: a number
    container.inject(Job)("x")  # E: a number
    container.inject(3)  # E: nothing to call
    no_default(1)  # E: without the sentinel it cannot be left out
