"""A function as a whole program, for any library that reads command lines."""

import functools
from typing import Annotated

import pytest

from asyncmeta import AsyncDependencyError, Container, From, Inject, Token, injected
from asyncmeta.integrations.commands import container_from, run_command

from .shops import Session, shop, sync_shop

NAME = Token[str]("name")


@injected
async def waiting(word: str, session: From[Session]) -> str:
    return f"{word} {type(session).__name__}"


@injected
def plain(word: str, session: From[Session]) -> str:
    return f"{word} {type(session).__name__}"


@pytest.mark.parametrize(("make", "function"), [(shop, waiting), (sync_shop, plain)], ids=["async", "sync"])
def test_a_function_runs_in_a_container(make, function):
    """
    The container and a scope open around the call and close after it; what it returns is returned.
    """
    app, journal = make()

    assert run_command(functools.partial(function, "a"), Container(app)) == "a Session"
    assert journal == ["+pool", "begin", "commit", "-pool"]


@pytest.mark.parametrize(("make", "function"), [(shop, waiting), (sync_shop, plain)], ids=["async", "sync"])
def test_what_is_no_failure_can_be_said(make, function):
    """
    Finalizers do not see exceptions that are said to be well; the caller gets them all the same.
    """
    app, journal = make()

    @injected
    async def stop(session: From[Session]):
        raise LookupError

    @injected
    def stop_now(session: From[Session]):
        raise LookupError

    with pytest.raises(LookupError):
        run_command(stop_now if function is plain else stop, Container(app), well=lambda error: isinstance(error, LookupError))

    assert journal == ["+pool", "begin", "commit", "-pool"]


def test_context_values():
    """
    The scope has the context values that are given.
    """
    app, _ = shop(context=[NAME])

    @injected
    async def name(name: Annotated[str, Inject(NAME)]) -> str:
        return name

    assert run_command(name, Container(app), context={NAME: "ada"}) == "ada"


def test_where_a_container_comes_from():
    """
    A source is a container, an application's class, or what makes one.
    """
    app, _ = shop()
    container = Container(app)

    made = [container_from(source) for source in (container, lambda: container, app)]

    assert made[0] is made[1] is container
    assert isinstance(made[2], Container) and made[2] is not container


def test_a_plain_function_is_told_how_to_have_what_must_be_awaited():
    """
    The error of a sync function that asks for something asynchronous says how to write it.
    """
    app, _ = shop()

    with pytest.raises(AsyncDependencyError) as told:
        run_command(functools.partial(plain, "a"), Container(app))

    assert "write `async def`" in told.value.__notes__[0]


def test_a_coroutine_that_nobody_would_await_is_an_error():
    """
    A decorator that hides that its function is a coroutine function is found, and the command fails.
    """
    app, journal = sync_shop()

    @functools.wraps(waiting)
    def hidden(*args):
        return waiting(*args)

    with pytest.raises(TypeError, match="async def"):
        run_command(functools.partial(hidden, "a"), Container(app))

    assert journal == []
