"""What is said of a mistake is true, and its advice can be followed."""

import asyncio
import functools
from collections.abc import AsyncIterator
from typing import Annotated, Any, Generic, ParamSpec

import pytest
from helpers import fresh_app

from asyncmeta import (
    All,
    AsyncDependencyDescriptor,
    AsyncServiceBase,
    Container,
    DeclarationError,
    GraphErrors,
    Inject,
    Lazy,
    MissingDependencyError,
    inject_dependency,
)
from asyncmeta.ascender import create_injector, provideLifecycle

P = ParamSpec("P")


class Job(Generic[P]): ...


class Report: ...


class Database: ...


def told(*arguments, **keywords):
    """Return what making a container of it says."""
    with pytest.raises(GraphErrors) as caught:
        Container(*arguments, **keywords)
    return str(caught.value)


@pytest.mark.parametrize("asked", [All["plugins"], Lazy[All["plugins"]]], ids=["all", "lazy"])
def test_all_of_a_string_in_quotes_is_no_empty_list(asked):
    """
    A string in All is the text of a type; where a token goes by it, its values are asked for by a mark, and then there.
    """
    plugins = [{"provide": "plugins", "value": number, "multi": True} for number in (1, 2)]

    def count(plugins: Annotated[list[Any], Inject("plugins")]) -> int:
        return len(plugins)

    said = told(fresh_app(providers=[*plugins, {"provide": "count", "use_factory": len, "deps": [asked]}]))

    assert '"plugins" is a token that is a string, and no type: ask for Annotated[..., Inject("plugins")]' in said
    followed = fresh_app(providers=[*plugins, {"provide": "count", "use_factory": count}])
    assert Container(followed).get_nowait("count") == 2


def test_an_attribute_of_all_of_a_string_is_no_empty_list():
    """
    So it is where an attribute says it.
    """

    class App(AsyncServiceBase, providers=[{"provide": "plugins", "value": 1, "multi": True}]):
        found = AsyncDependencyDescriptor(All["plugins"])

    assert "plugins" in told(App)


async def test_a_circle_of_strings_is_told_how_one_is_taken_late():
    """
    In quotes a string would be read as a type; what is advised works.
    """
    App = fresh_app()

    @inject_dependency("cart", on=App)
    def make_cart(prices): ...

    @inject_dependency("prices", on=App)
    def make_prices(cart): ...

    said = told(App)
    Followed = fresh_app()

    @inject_dependency("cart", on=Followed)
    def make_cart_late(prices: Annotated[Lazy[Any], Inject("prices")]):
        return prices

    @inject_dependency("prices", on=Followed)
    def make_prices_of(cart):
        return "prices"

    assert 'ask for Annotated[Lazy[Any], Inject("prices")]' in said
    async with Container(Followed) as container:
        assert await (await container.get("cart")) == "prices"


def test_a_circle_of_other_names_is_told_what_is_missing():
    """
    Aliases of each other have no parameter that could be annotated.
    """
    names = [{"provide": "a", "use_existing": "b"}, {"provide": "b", "use_existing": "a"}]

    said = told(fresh_app(providers=names))

    assert "one of them has to say what makes it" in said
    assert "annotate" not in said


def test_a_life_cycle_method_that_does_not_fit_is_told_once():
    """
    A service is made and started, and its problems are counted once.
    """

    class Mailer(AsyncServiceBase):
        def on_startup(self): ...

    said = told(fresh_app(providers=[Mailer]))

    assert "1 problem" in said
    assert said.count("write async def on_startup(self)") == 1


@pytest.mark.parametrize(("key", "name"), [(Job[int, Report], "Job[[int, Report]]"), (Job[[]], "Job[[]]")], ids=["two", "none"])
def test_what_a_parameter_specification_stands_for_is_written_as_python(key, name):
    """
    The key in a text can be copied.
    """
    with pytest.raises(MissingDependencyError) as caught:
        Container(fresh_app()).get_nowait(key)

    assert f"@inject_dependency({name})" in str(caught.value)


def test_a_generator_below_an_async_wrapper_is_not_told_that_it_has_no_yield():
    """
    The wrapper is what does not fit: one that is a plain def, as is advised, does.
    """

    def timed(function):
        @functools.wraps(function)
        async def wrapper(*args):
            return await function(*args)

        return wrapper

    def traced(function):
        @functools.wraps(function)
        def wrapper(*args):
            return function(*args)

        return wrapper

    async def open_database() -> AsyncIterator[Database]:
        yield Database()

    with pytest.raises(DeclarationError, match="open_database yields, and a decorator makes an async def of it"):
        inject_dependency(on=fresh_app())(timed(open_database))
    App = fresh_app()
    inject_dependency(on=App)(traced(open_database))

    async def get():
        async with Container(App) as container:
            return await container.get(Database)

    assert type(asyncio.run(get())) is Database


def test_what_options_keep_from_being_found_is_told():
    """
    Something provides it, only not where the options look.
    """
    above = create_injector([Report])

    for injector, options, said in (
        (create_injector([], parent=above), {"only_self": True}, "a parent provides it"),
        (above, {"skip_self": True}, "it is provided here"),
    ):
        with pytest.raises(Exception, match=said):
            injector.get(Report, options=options)


async def test_a_foreign_start_that_cannot_be_awaited_is_told_before_it_runs():
    """
    What `provideLifecycle` starts has async methods, as a service of ours.
    """
    ran = []

    class Pool:
        def on_startup(self):
            ran.append(self)

    with pytest.raises(DeclarationError, match=r"Pool\.on_startup .*write async def on_startup\(self\)"):
        async with create_injector([Pool, provideLifecycle([Pool])]):
            raise AssertionError

    assert ran == []
