"""Names on types: a value with a name is a key of its own, in every place where a key can stand."""

import dataclasses
from typing import Annotated, NewType

import pytest
from helpers import fresh_app

from asyncmeta import (
    INJECTED,
    All,
    AsyncDependencyDescriptor,
    AsyncServiceBase,
    Container,
    DeclarationError,
    Factory,
    From,
    GraphErrors,
    Inject,
    Lazy,
    MissingDependencyError,
    Named,
    Token,
    inject_dependency,
    injected,
)

First, Second = Annotated[int, "first"], Annotated[int, "second"]
UserId = NewType("UserId", int)


class Engine: ...


REPLICA = Token[Engine]("replica")


def application(*pairs, **keywords):
    """Return an application with values by token."""
    App = fresh_app(**keywords)
    for token, value in pairs:
        App.register_value(token, value)
    return App


def made(App, factory):
    """Return what *factory* makes in *App*."""
    App.register_dependency("made", factory)
    return Container(App).get_nowait("made")


def test_a_name_is_a_key_of_its_own():
    """
    Two names and no name are three values; who asks for a name that is not there gets the one without.
    """

    def use(first: First, second: Second, third: Annotated[int, "third"], plain: int):
        return first, second, third, plain

    assert made(application((int, 0), (First, 1), (Second, 2)), use) == (1, 2, 0, 0)


def test_the_plain_type_is_not_served_by_a_name():
    """
    A name is never guessed.
    """
    with pytest.raises(MissingDependencyError):
        Container(application((First, 1))).get_nowait(int)


def test_names_in_provider_lists():
    """
    provide, use_existing and deps know names; a class under a name alone makes itself.
    """
    App = fresh_app(providers=[
        {"provide": First, "value": 1},
        {"provide": Second, "use_factory": lambda: 2},
        {"provide": "alias", "use_existing": First},
        {"provide": "pair", "use_factory": lambda a, b: (a, b), "deps": [First, Second]},
        {"provide": Annotated[Engine, "main"]},
    ])  # fmt: skip
    container = Container(App)

    assert (container.get_nowait("alias"), container.get_nowait("pair")) == (1, (1, 2))
    assert type(container.get_nowait(Annotated[Engine, "main"])) is Engine


def test_names_of_several_values():
    """
    A multi key may have a name, and ``All`` asks for it.
    """
    App = fresh_app()
    for value in (1, 2):
        App.register_dependency(First, lambda value=value: value, multi=True)
    App.register_dependency(Second, lambda: 3, multi=True)

    def use(first: All[First], second: All[Second]):
        return first, second

    assert made(App, use) == ([1, 2], [3])


async def test_names_inside_of_handles():
    """
    A Lazy asks for a name whether it stands inside or around.
    """

    def use(inside: Lazy[First], around: Annotated[Lazy[int], "first"], other: Lazy[Second]):
        return inside, around, other

    App = application((First, 1), (int, 0))
    App.register_dependency("made", use)
    async with Container(App) as container:
        handles = await container.get("made")
        assert [await handle for handle in handles] == [1, 1, 0]


async def test_names_in_contexts():
    """
    A context is declared, opened and asked for by names, tokens and other spellings.
    """
    App = fresh_app(context=[First, Annotated[Engine, REPLICA], Annotated[str, {"unit": 1}]])

    async with Container(App) as container, container.scope({First: 1, REPLICA: 2, Annotated[str, object()]: "s"}) as scope:
        assert [await scope.get(token) for token in (First, REPLICA, str)] == [1, 2, "s"]


async def test_names_of_attributes():
    """
    Descriptors take a name as their token, their annotation and their subscript.
    """

    class App(AsyncServiceBase):
        given = AsyncDependencyDescriptor(First)
        annotated: AsyncDependencyDescriptor[Second]
        subscripted = AsyncDependencyDescriptor[First]()
        documented = AsyncDependencyDescriptor(Annotated[int, {"unit": 1}])

    for token, value in (First, 1), (Second, 2), (int, 0):
        App.register_value(token, value)
    async with Container(App) as container:
        app = await container.get(App)
        assert [await app.given, await app.annotated, await app.subscripted, await app.documented] == [1, 2, 1, 0]


def test_names_as_further_keys_and_of_newtypes():
    """
    ``also=`` takes names and tokens; a NewType may have a name.
    """
    App = application((Annotated[UserId, "me"], 1), (UserId, 2))
    inject_dependency(Annotated[Engine, "a"], on=App, also=[Annotated[Engine, "b"], REPLICA])(Engine)
    container = Container(App)

    assert container.get_nowait(Annotated[Engine, "b"]) is container.get_nowait(REPLICA)
    assert (container.get_nowait(Annotated[UserId, "me"]), container.get_nowait(UserId)) == (1, 2)
    assert App.get_dependency(Annotated[Engine, "a"]) is Engine
    assert App.get_dependency(Annotated[Engine, "c"]) is None


async def test_names_in_overrides():
    """
    Overriding a name leaves the others; one that is new reaches who had the plain value in its place.
    """
    App = application((int, 0), (First, 1))

    def use(first: First, second: Second):
        return first, second

    App.register_dependency("made", use)
    async with Container(App) as container:
        assert await container.get("made") == (1, 0)
        with container.override({First: 10}):
            assert (await container.get("made"), await container.get(int)) == ((10, 0), 0)
        with container.override({Second: 20}, new=True):
            assert await container.get("made") == (1, 20)
        async with container.overlay({First: 30}) as overlay:
            assert (await overlay.get("made"), await container.get("made")) == ((30, 0), (1, 0))


def test_names_inside_of_a_form():
    """
    A name inside of a form is part of the key; where there is no such key the form without it counts.
    """

    def use(named: list[First], other: list[Second], documented: dict[str, Annotated[int, object()]]):
        return named, other, documented

    App = application((list[First], "named"), (list[int], "plain"), (dict[str, int], "dict"))

    assert made(App, use) == ("named", "plain", "dict")


@pytest.mark.parametrize("form", [
    Annotated[Engine, "a", "b"],
    Annotated[Annotated[Engine, "a"], "b"],
    Annotated[Engine, Inject("a"), Inject("b")],
    Annotated[Engine, REPLICA, Inject("b")],
    Annotated[Engine, REPLICA, "b"],
    Annotated[Engine, REPLICA, Token("other")],
    Annotated[Engine, Inject("a"), Inject("b")] | None,
])  # fmt: skip
def test_two_names_are_refused(form):
    """
    Two marks that each name something are refused in a factory and in an injected function; the parameter is named.
    """

    def use(engine: form): ...

    def filled(engine: From[form]): ...

    App = application(("a", 1), ("b", 2))
    with pytest.raises(DeclarationError, match=r"parameter engine of .*named twice.*test_named_values\.py"):
        made(App, use)
    for inject in injected, Container(fresh_app()).inject:
        with pytest.raises(DeclarationError, match=r"parameter engine of .*named twice.*test_named_values\.py"):
            inject(filled)


def test_the_same_name_twice_is_one():
    """
    What says the same twice says it once.
    """
    assert Container(application((First, 1))).get_nowait(Annotated[First, "first"]) == 1


# --- defaults and marks ---


def test_a_default_counts_before_none_and_for_what_is_absent():
    """
    A context value that a scope was opened without is the default, where there is one, else None where that is allowed.
    """

    class Made:
        def __init__(self, number: int = 5, text: str | None = "x", *, data: bytes | None) -> None:
            self.seen = number, text, data

    App = fresh_app(context=[int, str, bytes])
    App.register_dependency(Made, Made, lifetime="scoped")
    with Container(App) as container:
        with container.scope() as scope:
            assert scope.get_nowait(Made).seen == (5, "x", None)
        with container.scope({int: 1, str: "s", bytes: b""}) as scope:
            assert scope.get_nowait(Made).seen == (1, "s", b"")


async def test_a_default_counts_in_injected_functions():
    """
    The same in an injected function, at its first calls and at hot ones, with the context value and without.
    """

    @injected
    async def use(number: From[int] = 5, maybe: From[int | None] = 6, engine: From[Engine | None] = 7):
        return number, maybe, engine

    async with Container(fresh_app(context=[int])) as container:
        for context, expected in ({}, (5, 6, 7)), ({int: 1}, (1, 1, 7)), ({}, (5, 6, 7)):
            for _ in range(4):
                async with container.scope(context) as scope:
                    with scope.ambient():
                        assert await use() == expected
        assert await use() == (5, 6, 7)


@pytest.mark.parametrize("default", [Inject("name"), Inject(), From[str]])
def test_a_mark_as_a_default_is_refused(default):
    """
    A mark that stands where a default does marks nothing: it is refused, in functions, fields and injected functions.
    """

    def function(name: str = default): ...

    @dataclasses.dataclass
    class Fields:
        name: str = default

    for factory in function, Fields:
        with pytest.raises(DeclarationError, match=r"write name: Annotated\[str"):
            made(application(("name", "x")), factory)
    with pytest.raises(DeclarationError, match=r"write name: Annotated\[str, Inject\(.*test_named_values\.py"):
        injected(function)


@pytest.mark.parametrize("default", [Lazy[Engine], Factory[Engine], Named[Engine], Engine | From[str], All[Engine]])
def test_a_form_of_asking_as_a_default_is_refused(default):
    """
    A handle's form, or a mark within a union, is as little a value; the text says to write it behind the colon.
    """

    def function(engine: Engine = default): ...

    with pytest.raises(DeclarationError, match=r"write engine: .*test_named_values\.py"):
        made(application(), function)
    with pytest.raises(DeclarationError, match=r"write engine: .*test_named_values\.py"):
        injected(function)


def test_injected_without_a_mark_is_refused():
    """
    ``= INJECTED`` marks nothing: an injected function that has it on a plain parameter is refused, with what to write.
    """

    def use(engine: Engine = INJECTED): ...

    def bare(engine=INJECTED): ...

    for inject in injected, Container(fresh_app()).inject:
        with pytest.raises(DeclarationError, match=r"write engine: From\[Engine\] \(.*test_named_values\.py"):
            inject(use)
        with pytest.raises(DeclarationError, match=r"write engine: From\[...\]"):
            inject(bare)
    with pytest.raises((DeclarationError, GraphErrors), match="engine"):
        made(fresh_app(), bare)
