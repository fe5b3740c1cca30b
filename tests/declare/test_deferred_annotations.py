# ruff: noqa: F821  # names that are not defined, or not yet, are the subject
"""The same declarations in a module whose annotations are objects, which CPython 3.14 evaluates when they are asked for."""

import functools
import inspect
import sys
import typing
from dataclasses import KW_ONLY, dataclass, field
from typing import Annotated, Any, ClassVar, Protocol

import pytest
from helpers import fresh_app, problems

from asyncmeta import (
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
    inject_dependency,
    injected,
)
from asyncmeta.ascender import create_root_injector

deferred = pytest.mark.skipif(sys.version_info < (3, 14), reason="annotations are evaluated where they stand before Python 3.14")

if typing.TYPE_CHECKING:
    from somewhere.typing_only import Hidden


class Database:
    pass


def messages(App):
    """Return what the check of *App* says, one line for each problem."""
    with pytest.raises(GraphErrors) as caught:
        Container(App)
    return [str(problem).splitlines()[0].rpartition(" (")[0] for problem in problems(caught.value)]


# --- attributes -----------------------------------------------------------------------------------


async def test_a_descriptor_that_is_only_annotated_is_made():
    """
    ``db: AsyncDependencyDescriptor[Database]`` needs no value, in a ClassVar or without.
    """

    class App(AsyncServiceBase):
        database: AsyncDependencyDescriptor[Database]
        same: ClassVar[AsyncDependencyDescriptor[Database]]
        named: AsyncDependencyDescriptor
        plain: int

    App.register_dependency(Database, Database)
    App.register_value("named", "by its name")
    app = App()

    assert type(await app.database) is Database
    assert await app.same is await app.database
    assert await app.named == "by its name"
    assert not hasattr(app, "plain")


async def test_a_dataclass_with_slots_keeps_an_annotated_descriptor():
    """
    A dataclass that is made a second time keeps what stands in a ClassVar, and its own fields.
    """

    @dataclass(slots=True)
    class App(AsyncServiceBase):
        database: ClassVar[AsyncDependencyDescriptor[Database]]
        _: KW_ONLY
        size: int = 3

    App.register_dependency(Database, Database)
    app = App(size=4)

    assert type(await app.database) is Database
    assert app.size == 4


@deferred
async def test_a_descriptor_may_name_what_is_defined_later():
    """
    Names in the annotation of an attribute are read when it is first needed.
    """

    class App(AsyncServiceBase):
        only: AsyncDependencyDescriptor[Later]
        late: ClassVar[AsyncDependencyDescriptor[Lazy[Later]]] = AsyncDependencyDescriptor()
        hidden: Hidden
        wrong: int | "Database"

    class Later:
        pass

    App.register_dependency(Later, Later)
    app = App()

    assert type(await app.only) is Later
    assert await (await app.late) is await app.only


@deferred
def test_an_attribute_that_names_nothing_is_told():
    """
    A descriptor whose annotation names what is never defined is a problem of the check.
    """

    class App(AsyncServiceBase):
        given: AsyncDependencyDescriptor[Hidden] = AsyncDependencyDescriptor()
        only: ClassVar[AsyncDependencyDescriptor[Hidden]]

    assert sorted(messages(App)) == [
        "App.given cannot be read: name 'Hidden' is not defined",
        "App.only cannot be read: name 'Hidden' is not defined",
    ]


# --- parameters of factories ------------------------------------------------------------------------


@deferred
async def test_parameters_may_name_what_is_defined_later():
    """
    Functions, methods, classes and dataclasses ask for what stands further down.
    """

    class App(AsyncServiceBase):
        @inject_dependency("method")
        def method(self, app: App, inner: Inner, later: Annotated[object, Inject(Later)]):
            return app is self, inner, later

        @inject_dependency()
        class Inner:
            pass

    def function(later: Later, again: Later | None, lazy: Lazy[Later], make: Factory[Later], every: All[Many]) -> tuple[Later, Any]:
        return later, again, lazy, make, every

    @dataclass
    class Data:
        later: Later
        again: Later | None = None
        hidden: Hidden = None
        rows: list[Hidden] = field(default_factory=list)

    class Node:
        def __init__(self, parent: Lazy[Node], later: Later):
            self.parent, self.later = parent, later

    class Later:
        pass

    class Many:
        pass

    App.register_dependency(Later, Later)
    App.register_dependency(Many, Many, multi=True)
    App.register_dependency("function", function)
    App.register_dependency(Data, Data)
    App.register_dependency(Node, Node)
    async with Container(App) as container:
        later = await container.get(Later)
        first, again, lazy, make, every = await container.get("function")
        data, node, method = await container.get(Data), await container.get(Node), await container.get("method")

        assert first is again is await lazy is data.later is data.again is node.later is method[2] is later
        assert type(await make()) is Later
        assert [type(one) for one in every] == [Many]
        assert await node.parent is node
        assert method[0] is True
        assert type(method[1]) is App.Inner


@deferred
async def test_a_token_may_be_a_return_annotation_that_is_defined_later():
    """
    A factory is registered for the type that it says it makes, also where another annotation of it names nothing.
    """
    App = fresh_app()

    @inject_dependency(on=App)
    def make(hidden: Hidden = None) -> Later:
        return Later()

    class Later:
        pass

    assert type(await Container(App).get(Later)) is Later


@deferred
async def test_a_default_stands_for_what_cannot_be_read():
    """
    A parameter with a default takes it where its annotation names what only type checkers see.
    """
    App = fresh_app()
    App.register_dependency(Database, Database)

    def make(database: Database, one: Hidden = 1, two: Database | Hidden = 2, three: Hidden.Inner[int] = 3):
        return database, one, two, three

    App.register_dependency("make", make)
    database, *others = await Container(App).get("make")

    assert type(database) is Database
    assert others == [1, 2, 3]


@deferred
def test_a_name_that_is_never_defined_is_told_by_its_parameter():
    """
    The check names the parameter and the name, however deep it stands and whatever stands beside it.
    """
    App = fresh_app()
    App.register_dependency(Database, Database)

    def make(
        plain: Hidden,
        union: Database | Hidden,
        lazy: Lazy[Hidden],
        marked: Annotated[object, Inject(Hidden)],
        local: list[Never],
        database: Database,
    ):
        assert False

    App.register_dependency("make", make)

    assert [message.partition(" is not defined")[0] for message in messages(App)] == [
        f"the annotation of \"make\".{name} cannot be read: NameError: name '{missing}'"
        for name, missing in {"plain": "Hidden", "union": "Hidden", "lazy": "Hidden", "marked": "Hidden", "local": "Never"}.items()
    ]
    Never = None  # noqa: F841  # a variable of this function, but too late


@deferred
def test_an_annotation_that_raises_is_told():
    """
    An annotation that no Python can evaluate is a problem of the check, and no error that comes out of it.
    """
    App = fresh_app()
    App.register_dependency(Database, Database)

    def one(wrong: int | "Database", database: Database):
        assert False

    def whole(wrong: "Database" | None, database: Database):
        assert False

    App.register_dependency("one", one)
    App.register_dependency("whole", whole)

    assert messages(App) == [
        "the annotation of \"one\".wrong cannot be read: TypeError: unsupported operand type(s) for |: 'type' and 'str'",
        "the annotation of \"whole\".wrong cannot be read: TypeError: unsupported operand type(s) for |: 'str' and 'NoneType'",
        "the annotation of \"whole\".database cannot be read: TypeError: unsupported operand type(s) for |: 'str' and 'NoneType'",
    ]


@deferred
def test_a_protocol_is_compared_with_annotations_that_cannot_be_read():
    """
    A class that lacks a member of a protocol is told so, whatever its own annotations name.
    """

    class Store(Protocol):
        def load(self) -> bytes: ...

    App = fresh_app()
    with pytest.raises(DeclarationError, match=r"does not implement .*Store: it has no load"):

        @inject_dependency(Store, on=App)
        class Wrong:
            url: Hidden

    @inject_dependency(Store, on=App)
    class Right:
        load: Hidden


@deferred
def test_an_ascender_program_may_annotate_with_a_name_that_is_a_token():
    """
    In the Ascender dialect an annotation that names nothing is looked up by its text, quoted or not.
    """

    class Service:
        def __init__(self, one: CONFIG, two: "CONFIG", database: Database):
            self.both = one, two

    injector = create_root_injector([Service, Database, {"provide": "CONFIG", "value": 7}])

    assert injector.get(Service).both == (7, 7)


# --- injected functions -----------------------------------------------------------------------------


@deferred
async def test_an_injected_function_may_name_what_is_defined_later():
    """
    Marked parameters are read at the first call; those of the caller keep their annotations, evaluated when asked for.
    """
    App = fresh_app()

    @injected
    async def handler(
        number: int,
        first: From[Later],
        second: From[Later | None],
        third: Annotated[object, Inject(Later)],
        other: Other | None = None,
        hidden: Database | Hidden = None,
    ):
        return number, first, second, third, other

    class Later:
        pass

    class Other:
        pass

    App.register_dependency(Later, Later)
    async with Container(App) as container:
        later = await container.get(Later)
        told = await handler(1)

    assert told == (1, later, later, later, None)
    assert list(inspect.signature(handler).parameters) == ["number", "other", "hidden"]
    assert set(handler.__annotations__) == {"number", "other", "hidden"}


@deferred
def test_the_hints_of_an_injected_function_are_what_was_defined_later():
    """
    ``typing.get_type_hints`` of an injected function finds names that were defined after it.
    """

    @injected
    def handler(other: Other | None, database: From[Database]) -> Other:
        assert False

    class Other:
        pass

    assert typing.get_type_hints(handler) == {"other": Other | None, "return": Other}


@deferred
async def test_everything_that_can_be_called_is_injected_beside_hidden_names():
    """
    Classes, bound methods, partials and callable objects are injected, though others of their annotations name nothing.
    """
    App = fresh_app()
    App.register_dependency(Database, Database)

    class Handler:
        def __init__(self, number: Hidden, database: From[Database]):
            self.told = number, database

        def method(self, number: Hidden, database: From[Database]):
            return number, database

        def __call__(self, number: Hidden, database: From[Database]):
            return number, database

    def function(more: int, number: Hidden, database: From[Database]):
        return number, database

    async with Container(App) as container:
        database = await container.get(Database)
        handler = container.inject(Handler)(1)
        told = [
            handler.told,
            container.inject(handler.method)(1),
            container.inject(handler)(1),
            container.inject(functools.partial(function, 0))(1),
        ]

    assert told == [(1, database)] * 4
