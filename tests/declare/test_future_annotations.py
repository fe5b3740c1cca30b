"""The same declarations in a module whose annotations are all strings."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Generic, NamedTuple, NotRequired, TypedDict, TypeVar
from unittest import mock

import pytest

from asyncmeta import (
    INJECTED,
    AsyncDependencyDescriptor,
    AsyncServiceBase,
    Container,
    DeclarationError,
    From,
    GraphErrors,
    Inject,
    Lazy,
    inject_dependency,
    injected,
)

T = TypeVar("T")

if TYPE_CHECKING:
    from somewhere.typing_only import Hidden


def saying(text):
    """Return a check that an error's whole text, that of a group included, holds *text*."""
    return lambda error: text in str(error)


class Early(AsyncServiceBase):
    """Uses names that are defined further down."""

    late: ClassVar[AsyncDependencyDescriptor[Late]] = AsyncDependencyDescriptor()
    other: AsyncDependencyDescriptor[Late] = AsyncDependencyDescriptor()
    subscripted = AsyncDependencyDescriptor["Late"]()

    @inject_dependency("late")
    def make_late(self, part: Part):
        return Late(part)

    @inject_dependency("alias")
    @staticmethod
    def alias(late: Annotated[Late, Inject("late")]) -> Late:
        return late


class Part:
    """Defined after its first use."""

    def __init__(self, name):
        self.name = name


class Late:
    """Defined after its first use."""

    def __init__(self, part):
        self.part = part


@inject_dependency(on=Early)
async def open_part() -> AsyncIterator[Part]:
    yield Part("part")


@inject_dependency(on=Early)
def give_late(late: Annotated[Late, Inject("alias")]) -> Late:
    return late


async def test_names_may_be_defined_later():
    """
    Parameters and descriptors may name what is defined further down in the module.
    """
    async with Container(Early) as container:
        late = await container.get(Late)

        assert type(late) is Late
        assert late.part is await container.get(Part)


SOURCE = """
from __future__ import annotations
from asyncmeta import AsyncServiceBase, inject_dependency

class App(AsyncServiceBase):
    @inject_dependency()
    def make_in_body(self) -> InBody:
        return InBody()

@inject_dependency(on=App)
def make() -> Outside:
    return Outside()

class InBody: ...
class Outside: ...
"""


async def test_a_return_annotation_may_be_defined_later():
    """
    A factory without a token may return what is defined further down in its module.
    """
    module = types.ModuleType("returns_later")
    exec(SOURCE, vars(module))
    container = Container(module.App)

    assert type(await container.get(module.Outside)) is module.Outside
    assert type(await container.get(module.InBody)) is module.InBody


async def test_descriptors_read_string_annotations():
    """
    A descriptor's annotation is read as a type although it is a string, with and without ClassVar.
    """
    async with Early() as early:
        assert type(await early.late) is Late
        assert await early.other is await early.late
        assert await early.subscripted is await early.late


class Needs:
    """Every form of parameter in strings."""

    def __init__(
        self,
        part: Part,
        marked: Annotated[str, Inject("marked")],
        whole: From[Part],
        lazy: Lazy[Part],
        absent: Absent | None,
    ):
        self.seen = part, marked, whole, lazy, absent


class Absent:
    """Nobody registers it."""


async def test_every_form_of_parameter_is_read():
    """
    Annotated, From, Lazy and optional parameters mean the same in strings.
    """

    class App(AsyncServiceBase):
        pass

    App.register_dependency(Part, lambda: Part("part"))
    App.register_value("marked", "marked")
    App.register_dependency(Needs, Needs)
    container = Container(App)

    part, marked, whole, lazy, absent = (await container.get(Needs)).seen

    assert part is whole is await lazy
    assert (marked, absent) == ("marked", None)


@dataclass
class Fields:
    part: Part
    size: int = 3


async def test_dataclasses_are_read():
    """
    A dataclass of a module with string annotations is built by its fields.
    """

    class App(AsyncServiceBase):
        pass

    App.register_dependency(Part, lambda: Part("part"))
    App.register_dependency(Fields, Fields)

    fields = await Container(App).get(Fields)

    assert (fields.part.name, fields.size) == ("part", 3)


def needs_hidden(hidden: Hidden):
    return hidden


def may_have_hidden(hidden: Hidden = None, *, other: Hidden | None = None):
    return hidden, other


def test_names_for_checkers_only_cannot_be_read():
    """
    A name that is imported for checkers only is a problem that names it, the parameter and the place.
    """

    class App(AsyncServiceBase):
        pass

    App.register_dependency("made", needs_hidden)

    with pytest.raises(GraphErrors) as caught:
        Container(App)

    (problem,) = caught.value.exceptions
    assert "Hidden" in str(problem)
    assert "hidden" in str(problem)
    assert "test_future_annotations.py:" in str(problem)


async def test_names_for_checkers_only_do_not_matter_beside_a_default():
    """
    A parameter whose annotation cannot be read takes its default.
    """

    class App(AsyncServiceBase):
        pass

    App.register_dependency("made", may_have_hidden)

    assert await Container(App).get("made") == (None, None)


def local_app():
    """Return an application with a factory that asks for a local class, and what is made where that can be seen."""

    class App(AsyncServiceBase):
        pass

    def make(local: Local):
        return local

    class Holder:
        def __init__(self, local: Local):
            self.local = local

    App.register_dependency("made", make)
    App.register_dependency("held", Holder)

    class Local:
        pass

    App.register_value(Local, "local")
    container = Container(App)
    return App, [container.get_nowait("made"), container.get_nowait("held").local]


def test_a_local_name_is_read_while_its_function_runs():
    """
    A string annotation that names a local class is read where the function around it can be seen.
    """
    _, made = local_app()

    assert made == ["local", "local"]


def test_a_local_name_cannot_be_read_when_its_function_is_over():
    """
    One that names a local class which stood further down is a problem where nothing sees it any more, never a guess.
    """
    App, _ = local_app()

    class Again(App):
        pass

    with pytest.raises(GraphErrors, check=saying("name 'Local' is not defined")) as caught:
        Container(Again)

    assert "before local_app returns" in str(caught.value)


def test_a_return_annotation_that_cannot_be_read_is_told():
    """
    A factory without a token whose return annotation names nothing is told at the line or by the check.
    """
    with pytest.raises((DeclarationError, GraphErrors), check=saying("Hidden")):

        class App(AsyncServiceBase):
            @inject_dependency()
            @staticmethod
            def make() -> Hidden: ...

        Container(App)


class Handlers:
    """What a decorator may be given: a method, a callable object."""

    def method(self, part: From[Part], amount: int = 1) -> str:
        return f"{amount} {part}"

    __call__ = method


def with_number(number: int, part: From[Part], amount: int = 1) -> str:
    return f"{amount} {part}"


@pytest.mark.parametrize(
    "inner", [Handlers().method, Handlers(), functools.partial(with_number, 7)], ids=["method", "object", "partial"]
)
async def test_a_decorator_around_what_is_no_function_hides_no_marker(inner):
    """
    A decorated method, callable object or partial is filled, as the decorated function would be.
    """

    @functools.wraps(inner)
    async def outer(*args, **named):
        return inner(*args, **named)

    class App(AsyncServiceBase):
        pass

    App.register_value(Part, "part")

    async with Container(App) as container:
        filled = container.inject(outer)
        answer = await filled(amount=2)

    assert list(inspect.signature(filled).parameters) == ["amount"]
    assert answer == "2 part"


def application_of_local_classes():
    """Return an application whose classes and functions are local to this function, and what it makes."""
    from dataclasses import dataclass

    class Engine: ...

    class Store:
        def __init__(self, engine: Engine, maybe: list[Engine] | None):
            self.engine = engine

    @dataclass
    class Fields:
        engine: Engine

    class App(AsyncServiceBase):
        def __init__(self, store: Store):
            self.store = store

    class Page: ...

    @inject_dependency(on=App)
    def make_page(fields: Fields) -> Iterator[Page]:
        yield Page()

    for cls in (Engine, Store, Fields):
        App.register_dependency(cls, cls)

    @injected
    def use(engine: From[Engine] = INJECTED):
        return engine

    return App, Engine, Store, Page, use


def test_local_names_are_those_that_were_seen_when_it_was_registered():
    """
    Texts of local classes and functions are read with the variables that stood around them when they were registered.
    """
    App, Engine, Store, Page, use = application_of_local_classes()

    with Container(App) as container:
        engine = container.get_nowait(Engine)
        assert container.get_nowait(App).store.engine is engine
        assert container.get_nowait(Store).engine is engine
        assert use() is engine
        assert isinstance(container.get_nowait(Page), Page)


def service_of_local_classes():
    """Return a service with attributes that name a class which is local to this function, a class with one, and that class."""

    class Engine: ...

    class Service(AsyncServiceBase, providers=[Engine]):
        annotated: AsyncDependencyDescriptor[Engine]
        optional: ClassVar[AsyncDependencyDescriptor[Engine | None]] = AsyncDependencyDescriptor()
        subscripted = AsyncDependencyDescriptor["Engine"]()
        by_token = AsyncDependencyDescriptor(Annotated["Engine", {"unit": 1}])

        def __init__(self, engine: Engine):
            self.engine = engine

    class Plain:
        annotated: AsyncDependencyDescriptor[Engine] = AsyncDependencyDescriptor()

    return Service, Plain, Engine


async def test_attributes_may_name_local_classes():
    """
    Texts of attributes are read with the variables that stood around their class, also where a class elsewhere inherits them.
    """
    Service, Plain, Engine = service_of_local_classes()
    App = type(Service)("App", (Service,), {}, providers=[Plain])

    async with Container(App) as container:
        app, engine, plain = await container.get(App), await container.get(Engine), await container.get(Plain)
        assert app.engine is await app.annotated is await app.optional is await app.subscripted is await app.by_token is engine
        assert await plain.annotated is engine


class Row(NamedTuple):
    part: Part
    kind: Annotated[str, "kind"]


class Cell(NamedTuple, Generic[T]):
    kind: type[T]


class Written(TypedDict):
    part: Part
    named: NotRequired[Annotated[str, "kind"]]


def test_tuples_and_dictionaries_with_names_are_read():
    """
    What NamedTuple and TypedDict make of texts is read where these were written.
    """

    class App(AsyncServiceBase, providers=[Row, Cell, Written]): ...

    App.register_value(Part, "part")
    App.register_value(Annotated[str, "kind"], "kind")
    App.register_dependency("bound", functools.partial(Row, kind="bound"))
    container = Container(App)

    assert container.get_nowait(Row) == ("part", "kind")
    assert container.get_nowait("bound") == ("part", "bound")
    assert container.get_nowait(Cell[int]).kind is int
    assert container.get_nowait(Written) == {"part": "part", "named": "kind"}


class Asking:
    def __init__(self, part: Part) -> None: ...


def test_a_specification_of_a_class_is_read_where_that_was_written():
    """
    ``create_autospec`` of a class shows the texts of that class.
    """
    spec = mock.create_autospec(Asking)

    class App(AsyncServiceBase): ...

    App.register_value(Part, "part")
    App.register_dependency("asking", spec)

    Container(App).get_nowait("asking")

    spec.assert_called_once_with("part")


@dataclass
class Hiding:
    Part: Part | None = None
    Late: Late = None


class HidingByMethods:
    def Part(self): ...

    @property
    def list(self): ...

    def __init__(self, part: Part, many: list[Part], plain: list) -> None:
        self.seen = part, many, plain


class HidingService(AsyncServiceBase):
    Part: ClassVar[AsyncDependencyDescriptor[Part]] = AsyncDependencyDescriptor()


async def test_what_is_no_type_hides_no_type():
    """
    A field, method or attribute that has the name of a class of the module, or of a built-in one, does not hide it.
    """

    class App(HidingService, providers=[Hiding, HidingByMethods]): ...

    for token in Part, Late, list[Part], list:
        App.register_value(token, str(token))

    async with Container(App) as container:
        hiding = await container.get(Hiding)
        assert (hiding.Part, hiding.Late) == (str(Part), str(Late))
        assert (await container.get(HidingByMethods)).seen == (str(Part), str(list[Part]), str(list))
        assert await (await container.get(App)).Part == str(Part)


class Nearer:
    """A name of the module, which others have, too."""


class Outer:
    """Has a class of that name in its body."""

    class Nearer:
        """What `Outer` means by it."""

    def __init__(self, part: Nearer):
        self.part = part


class OfModule:
    """Means the module's."""

    def __init__(self, part: Nearer):
        self.part = part


class Heir(Outer):
    """Has the constructor of another class, which tells what its names mean."""


def closing_over(Nearer):
    """Return a function that closes over a name that the module has, too."""

    def make(part: Nearer):
        return OfModule((part, Nearer))

    return make


async def test_a_name_means_what_stands_nearest_whatever_the_module_has_by_it():
    """The class in a class's body, also for who inherits the constructor, what a function closes over, then the module's."""

    class Own:
        pass

    class App(AsyncServiceBase):
        pass

    for cls in (Nearer, Outer.Nearer, Own, Outer, OfModule, Heir):
        App.register_dependency(cls, cls)
    App.register_dependency("closed over", closing_over(Own))
    async with Container(App) as container:
        found = [await container.get(key) for key in (OfModule, Outer, Heir)]
        (part, _) = (await container.get("closed over")).part

    assert [type(one.part) for one in found] == [Nearer, Outer.Nearer, Outer.Nearer]
    assert type(part) is Own


async def test_a_class_that_names_itself_is_meant_and_not_another_of_its_name():
    """Another class of the module may have the name; what the class itself is called comes first."""
    itself = type("Part", (), {"__module__": __name__})

    def __init__(self, inner: Part):
        self.inner = inner

    itself.__init__ = __init__

    class App(AsyncServiceBase):
        pass

    App.register_dependency(itself, itself)
    App.register_value(Part, Part("of the module"))

    with pytest.raises(GraphErrors) as met:
        Container(App)

    assert "Part.inner -> Part" in str(met.value)


async def test_a_name_may_come_to_mean_another_class_before_the_container_is_made(monkeypatch):
    """What a text names is looked up when it is asked for, and again when something was registered."""

    class Other(Part):
        def __init__(self):
            super().__init__("other")

    class App(AsyncServiceBase):
        pass

    App.register_dependency(OfModule, OfModule)
    App.register_value(Nearer, Nearer())
    App.register_dependency(Other, Other)
    monkeypatch.setitem(globals(), "Nearer", Other)
    async with Container(App) as container:
        found = await container.get(OfModule)

    assert type(found.part) is Other
