"""Promise 16: what is asked for is what was meant, or an error; nothing else is handed over in its place."""

from typing import Annotated, Any

import pytest
from helpers import fresh_app, named, outcome

from asyncmeta import INJECTED, AsyncMetaError, Container, From, Inject, injected


class Engine: ...


def plain(it): ...


def with_a_default(it="default"):
    return it


def with_injected(it=INJECTED):
    return it


def keyword(*, it="default"):
    return it


UNREADABLE = {
    "a parameter": (plain, "Ghost"),
    "a form": (plain, "Ghost | None"),
    "a mark": (with_a_default, "From[Ghost]"),
    "a mark in a form": (with_a_default, "From[Ghost | None]"),
    "a mark by keyword": (keyword, "From[Ghost]"),
    "an empty mark": (with_a_default, "Annotated[Ghost, Inject()]"),
}


def annotated(function, annotation):
    """Return a function like *function* whose parameter is annotated so."""
    made = type(function)(function.__code__, globals(), "made", function.__defaults__)
    made.__kwdefaults__ = function.__kwdefaults__
    made.__annotations__ = {"it": annotation}
    return made


@pytest.mark.parametrize("where", UNREADABLE)
async def test_nothing_is_handed_over_in_place_of_what_was_meant(where):
    """
    A type that cannot be read is told: neither a default, None, the mark nor what has the parameter's name stands in.
    """
    App, (function, annotation) = fresh_app(), UNREADABLE[where]
    App.register_value("it", "of that name")
    App.register_value("Ghost", "of that text")
    App.register_dependency("made", annotated(function, annotation))

    async with Container(App, check=False) as container:
        end = await outcome(container.get("made"))

    assert isinstance(end, AsyncMetaError)
    assert "Ghost" in str(end)


@pytest.mark.parametrize("function", [plain, with_injected])
async def test_injected_functions_are_handed_no_mark(function):
    """
    A function whose marked parameter cannot be read fails at its call, and does not run with the mark.
    """
    with Container(fresh_app()):
        with pytest.raises(Exception, match="Ghost"):
            injected(annotated(function, "From[Ghost]"))()


@pytest.mark.parametrize("token", [type("Engine", (), {}), "Engine", list[Engine], type[Engine]], ids=named)
async def test_what_only_looks_alike_is_not_handed_over(token):
    """
    A class of the same name, its name as a text, a form of it: each is a key of its own.
    """
    App = fresh_app()
    App.register_dependency(Engine, Engine)
    async with Container(App) as container:
        end = await outcome(container.get(token))
        found = await container.get(Engine | None)

    assert isinstance(end, AsyncMetaError)
    assert type(found) is Engine


async def test_no_coroutine_is_handed_over():
    """
    What an async factory returns is awaited in every place in which it can be asked for, and never by `get_nowait`.
    """
    App, taken = fresh_app(), []

    async def engine():
        return Engine()

    def user(it: Annotated[Any, Inject("engine")], late: Annotated[Any, Inject("engine")] = "default"):
        taken.extend((it, late))
        return "user"

    @injected
    async def use(it: From[Annotated[Any, Inject("engine")]] = INJECTED):
        taken.append(it)

    App.register_dependency("engine", engine)
    App.register_dependency("user", user)
    async with Container(App) as container:
        with pytest.raises(AsyncMetaError):
            container.get_nowait("user")
        await container.get("user")
        await use()
        async with container.scope() as scope:
            taken += [await scope.get("engine"), *await scope.gather("engine"), await scope.getter("engine")()]
        taken.append(container.get_nowait("engine"))

    assert len(taken) == 7
    assert all(one is taken[0] and type(one) is Engine for one in taken)
