"""Generators as factories: what they do with their yield, read from their code."""

import contextlib
from collections.abc import AsyncIterator, Iterator

import pytest
from helpers import fresh_app

from asyncmeta import Container, DeclarationError, inject_dependency


class Conn:
    def close(self) -> None: ...

    async def aclose(self) -> None: ...


def used() -> Iterator[Conn]:
    error = yield Conn()
    print(error)


async def used_async() -> AsyncIterator[Conn]:
    error = yield Conn()
    print(error)


def used_in_passing() -> Iterator[Conn]:
    if (yield Conn()):
        print("failed")


def used_in_a_try() -> Iterator[Conn]:
    try:
        print((yield Conn()))
    finally:
        print()


@contextlib.contextmanager
def used_by_a_manager() -> Iterator[Conn]:
    _ = yield Conn()


@pytest.mark.parametrize("register", ["decorator", "call", "list", "dictionary"])
@pytest.mark.parametrize("make", [used, used_async, used_in_passing, used_in_a_try, used_by_a_manager])
def test_what_a_yield_gives_is_nothing(make, register):
    """
    A generator that uses the value of its yield is refused where it is registered, by its name and the line of the yield.
    """
    app = fresh_app()

    with pytest.raises(DeclarationError) as caught:
        if register == "decorator":
            inject_dependency(Conn, on=app)(make)
        elif register == "call":
            app.register_dependency(Conn, make)
        elif register == "list":
            fresh_app(providers=[getattr(make, "__wrapped__", make)])
        else:
            fresh_app(providers=[{"provide": Conn, "use_factory": make}])

    assert f"{make.__name__} uses what its yield gives" in str(caught.value)
    assert "test_yields.py:" in str(caught.value)


async def nothing() -> None: ...


def bare() -> Iterator[Conn]:
    conn = Conn()
    yield conn
    conn.close()


async def bare_async() -> AsyncIterator[Conn]:
    conn = Conn()
    await nothing()
    yield conn
    await conn.aclose()


def behind_a_try() -> Iterator[Conn]:
    try:
        conn = Conn()
    except ValueError:
        raise
    yield conn
    conn.close()


def in_a_branch(conn: int = 0) -> Iterator[Conn]:
    if conn:
        yield Conn()
        print("closed")
    else:
        yield Conn()


@contextlib.asynccontextmanager
async def by_a_manager() -> AsyncIterator[Conn]:
    conn = Conn()
    yield conn
    conn.close()


def guarded() -> Iterator[Conn]:
    conn = Conn()
    try:
        yield conn
    finally:
        conn.close()


async def guarded_async() -> AsyncIterator[Conn]:
    conn = Conn()
    try:
        yield conn
    except ValueError:
        await conn.aclose()
    else:
        await conn.aclose()


def in_a_with() -> Iterator[Conn]:
    with contextlib.closing(Conn()) as conn:
        yield conn


async def in_an_async_with() -> AsyncIterator[Conn]:
    async with contextlib.aclosing(Conn()) as conn:
        yield conn
        await nothing()


def with_nothing_behind() -> Iterator[Conn]:
    conn = Conn()
    conn.close()
    yield conn


async def with_awaits_before() -> AsyncIterator[Conn]:
    await nothing()
    async with contextlib.AsyncExitStack():
        await nothing()
    yield Conn()


def with_a_return() -> Iterator[Conn]:
    yield Conn()
    return


@pytest.mark.parametrize(
    ("make", "listed"),
    [
        *((make, True) for make in (bare, bare_async, behind_a_try, in_a_branch, by_a_manager)),
        *((make, False) for make in (guarded, guarded_async, in_a_with, in_an_async_with)),
        *((make, False) for make in (with_nothing_behind, with_awaits_before, with_a_return)),
    ],
)
def test_what_a_failure_skips(make, listed):
    """
    check() lists a generator with something behind its yield that a failure of its users skips, and no other.
    """
    app = fresh_app()
    inject_dependency(Conn, on=app)(make)

    report = Container(app).check()

    assert [line.partition(" (")[0] for line in report.skipped] == ([make.__name__] if listed else [])
    assert ("skipped by a failure" in str(report)) is listed
