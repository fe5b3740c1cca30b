"""Every form of a type: what does it mean as a parameter, in a constructor, as a return annotation and as a token?"""

import collections
import re
import sys
import types
import typing

import pytest
from helpers import fresh_app

from asyncmeta import Container, DeclarationError, inject_dependency

#: What every module of the table begins with; the classes come last, so that quoted names stand before what they name.
HEAD = """
import collections, collections.abc, contextlib, dataclasses, enum, re, typing
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Final, Generic, Literal, NewType, Optional, TypeVar, Union
import typing_extensions as te
from asyncmeta import All, Factory, From, Inject, Lazy, Token
T = TypeVar("T")
REPLICA = Token("replica")
class Side(enum.Enum):
    LEFT = 1
    RIGHT = 2
class Number(enum.IntEnum):
    ONE = 1
class Other(enum.IntEnum):
    ONE = 1
Later_ = "Later"
"""
ALIASES = """
Customer = te.TypeAliasType("Customer", "Later")
Ids = te.TypeAliasType("Ids", list[T], type_params=(T,))
Marked = te.TypeAliasType("Marked", Annotated[str, Inject("dsn")])
Maybe = te.TypeAliasType("Maybe", "Later | None")
Named = te.TypeAliasType("Named", Annotated["Later", "main"])
Nested = te.TypeAliasType("Nested", "Ids[Customer]")
"""
TAIL = """
class Later: ...
class Engine: ...
class Box(Generic[T]): ...
UserId = NewType("UserId", int)
"""

#: A form, and a spelling of the key that it is about.
FORMS = [
    ("Later", "Later"),
    ('"Later"', "Later"),
    ("Optional[Later]", "Later"),
    ('Optional["Later"]', "Later"),
    ("Union[Later, None]", "Later"),
    ('Annotated["Later", {"unhashable": 1}]', "Later"),
    ('Annotated[Later, ["documentation"], object()]', "Later"),
    ('Annotated[Annotated["Later", 1], 2.5]', "Later"),
    ("typing.List[Later]", "list[Later]"),
    ('typing.List["Later"]', "list[Later]"),
    ('list["Later"]', "list[Later]"),
    ("typing.Dict[str, Later]", "dict[str, Later]"),
    ('dict[str, "Later"]', "dict[str, Later]"),
    ("typing.Set[Later]", "set[Later]"),
    ("typing.FrozenSet[Later]", "frozenset[Later]"),
    ("typing.Tuple[Later, int]", "tuple[Later, int]"),
    ('typing.Tuple["Later", ...]', "tuple[Later, ...]"),
    ("typing.Type[Later]", "type[Later]"),
    ("typing.Type['Later']", "type[Later]"),
    ("typing.Deque[Later]", "collections.deque[Later]"),
    ("typing.DefaultDict[str, Later]", "collections.defaultdict[str, Later]"),
    ("typing.Mapping[str, Later]", "Mapping[str, Later]"),
    ("typing.Sequence[Later]", "Sequence[Later]"),
    ("typing.Callable[[int], Later]", "Callable[[int], Later]"),
    ('Callable[["Later"], "Later"]', "Callable[[Later], Later]"),
    ('typing.Callable[["Later"], str]', "Callable[[Later], str]"),
    ("typing.Callable[..., Later]", "Callable[..., Later]"),
    ('typing.Callable[te.Concatenate["Later", ...], str]', "Callable[te.Concatenate[Later, ...], str]"),
    ("Callable[te.Concatenate[typing.List[int], ...], Later]", "Callable[te.Concatenate[list[int], ...], Later]"),
    ("Callable[[], None]", "Callable[[], type(None)]"),
    ("typing.Pattern[str]", "re.Pattern[str]"),
    ("typing.Union[int, Later]", "int | Later"),
    ("Union[Later, int]", "int | Later"),
    ("Optional[Union[int, Later]]", "int | Later"),
    ("list[Optional[Later]]", "list[Later | None]"),
    ("list[Union[int, 'Later']]", "list[int | Later]"),
    ("Box[Later]", "Box[Later]"),
    ('Box["Later"]', "Box[Later]"),
    ('Box[list["Later"]]', "Box[list[Later]]"),
    ("Box[typing.List[Later]]", "Box[list[Later]]"),
    ("Box[Annotated[Later, object()]]", "Box[Later]"),
    ("Literal['Later']", "Literal['Later']"),
    ("Union[Literal['a'], Literal['b']]", "Literal['b', 'a']"),
    ("Union[Literal['a', None], int, Literal['b']]", "int | Literal['a', 'b']"),
    ("Union[Literal['a'], Annotated[Literal['a'], 1], Later]", "Later | Literal['a']"),
    ("Union[Later, Literal[None]]", "Later"),
    ("tuple[int, te.Unpack[tuple[str, 'Later']]]", "tuple[int, str, Later]"),
    ("'tuple[int, *tuple[Later, ...]]'", "tuple[int, te.Unpack[tuple[Later, ...]]]"),
    ("typing.Tuple[te.Unpack[typing.Tuple[Later, ...]], int]", "tuple[te.Unpack[tuple[Later, ...]], int]"),
    ("te.SupportsInt", "typing.SupportsInt"),
    ("UserId", "UserId"),
    ("Annotated[UserId, 1]", "UserId"),
    # names
    ('Annotated[Later, "main"]', 'Annotated[Later, "main"]'),
    ('Annotated["Later", "main", {"unit": 1}]', 'Annotated[Later, "main"]'),
    ('Annotated[Annotated["Later", "main"], 1]', 'Annotated[Later, "main"]'),
    ('Optional[Annotated[Later, "main"]]', 'Annotated[Later, "main"]'),
    ('Annotated[Optional["Later"], "main"]', 'Annotated[Later, "main"]'),
    ('Annotated[typing.List["Later"], "main"]', 'Annotated[list[Later], "main"]'),
    ("Annotated[Later, Side.LEFT]", "Annotated[Later, Side.LEFT]"),
    ("Annotated[Later, Number.ONE]", "Annotated[Later, Number.ONE]"),
    ("Annotated[Later, REPLICA]", "REPLICA"),
    ('Annotated["Later", 7, REPLICA]', "REPLICA"),
    # aliases
    ("Customer", "Later"),
    ('"Customer"', "Later"),
    ("Optional[Customer]", "Later"),
    ("list[Customer]", "list[Later]"),
    ("Ids[int]", "list[int]"),
    ('Ids["Later"]', "list[Later]"),
    ("Ids[Customer]", "list[Later]"),
    ("Nested", "list[Later]"),
    ("Marked", '"dsn"'),
    ("Maybe", "Later"),
    ("Named", 'Annotated[Later, "main"]'),
    ("Optional[Named]", 'Annotated[Later, "main"]'),
    ("Annotated[Named, 1]", 'Annotated[Later, "main"]'),
]

#: Forms that ask in a way of their own, and cannot be registered.
ASKING = [
    ("From[Later]", "Later"),
    ('"From[Later]"', "Later"),
    ('From["Later"]', "Later"),
    ("From[Customer]", "Later"),
    ("From[Marked]", '"dsn"'),
    ("From[Named]", 'Annotated[Later, "main"]'),
    ('From[Annotated[Later, "main"]]', 'Annotated[Later, "main"]'),
    ("From[Annotated[Later, REPLICA]]", "REPLICA"),
    ("From[Later | None]", "Later"),
    ("Optional[From[Later]]", "Later"),
    ('Annotated[int, Inject("dsn")]', '"dsn"'),
    ('Annotated[int, "a note", Inject("dsn")]', '"dsn"'),
    ('Annotated[Any, Inject(Annotated[Engine, "main"])]', 'Annotated[Engine, "main"]'),
    ("Annotated[int, Inject(REPLICA), 3]", "REPLICA"),
    ("Final[Later]", "Later"),
    ("dataclasses.InitVar[Later]", "Later"),
    ("Later | None", "Later"),
    ("'Later | None'", "Later"),
    ('"Annotated[Later, \'main\'] | None"', 'Annotated[Later, "main"]'),
]


def run(text, monkeypatch):
    """Return the module that *text* is."""
    module = types.ModuleType("written")
    monkeypatch.setitem(sys.modules, "written", module)
    exec(compile(text, "written.py", "exec", dont_inherit=True), vars(module))
    return module


@pytest.fixture(params=["as they stand", "as texts"])
def written(request, monkeypatch):
    """Return what makes a module of a text, whose annotations are what Python makes of them, or texts."""
    texts = request.param == "as texts"

    def module(uses):
        """Run *uses* before the classes that it names where that is possible, else after them."""
        early = texts or sys.version_info >= (3, 14)
        text = HEAD + ALIASES + (uses + TAIL if early else TAIL + uses)
        return run("from __future__ import annotations\n" + text if texts else text, monkeypatch)

    return module


@pytest.mark.parametrize(("form", "key"), FORMS + ASKING)
def test_a_parameter_is_filled_with_what_its_annotation_means(written, form, key):
    """
    A parameter of a function, of a constructor and of a method gets what is registered for the key of its form.
    """
    uses = f"""
def take(value: {form}): return value
class Taking:
    def __init__(self, value: {form}): self.value = value
class Made:
    def make(self, value: {form}): return value
"""
    module = written(uses)
    App = fresh_app()
    value = object()
    App.register_value(eval(key, vars(module)), value)
    App.register_dependency("take", module.take)
    App.register_dependency("bound", module.Made().make)
    App.register_dependency(module.Taking, module.Taking)
    container = Container(App)

    made = container.get_nowait("take"), container.get_nowait("bound"), container.get_nowait(module.Taking).value

    assert [one is value for one in made] == [True, True, True]


@pytest.mark.parametrize(("form", "key"), FORMS)
def test_a_factory_registers_what_its_return_annotation_means(written, form, key):
    """
    A function without a token is registered for the key of what it says that it returns; a generator for what it yields.
    """
    uses = f"""
value = object()
def make() -> {form}: return value
def open() -> Iterator[{form}]: yield value
async def amake() -> {form}: return value
"""
    module = written(uses)
    token = eval(key, vars(module))
    if token in (int, str, list):
        pytest.skip("says nothing about what it is for")
    for make in (module.make, module.open):
        App = fresh_app()
        inject_dependency(on=App)(make)

        with Container(App) as container:
            assert container.get_nowait(token) is module.value


@pytest.mark.parametrize(("form", "key"), [(form, key) for form, key in FORMS if form[0] not in "\"'"])
def test_a_form_is_the_token_that_it_means(monkeypatch, form, key):
    """
    Registered under one spelling, a value is had, overridden and asked for under another.
    """
    names = vars(run(HEAD + TAIL + ALIASES, monkeypatch))
    # A quoted name inside of a form that is no annotation says nothing about the module that it stands in.
    token, other = eval(key, names), eval(form if "Literal" in form else re.sub("[\"']Later[\"']", "Later", form), names)
    App = fresh_app()
    try:
        App.register_value(other, "registered")
    except DeclarationError as error:
        assert "way of asking" in str(error)  # T | None
        App.register_value(token, "registered")

    with Container(App) as container:
        assert container.get_nowait(token) == container.get_nowait(other) == "registered"
        with container.override({token: "fake"}):
            assert container.get_nowait(other) == "fake"


def test_members_of_two_enums_are_two_names():
    """
    Members that are equal to one another, as those of IntEnums may be, are not one name.
    """
    names = {}
    exec(HEAD + TAIL, names)
    App = fresh_app()
    for name in ("Number.ONE", "Other.ONE"):
        App.register_value(eval(f"Annotated[Engine, {name}]", names), name)

    container = Container(App)

    got = [container.get_nowait(eval(f"Annotated[Engine, {name}]", names)) for name in ("Number.ONE", "Other.ONE")]
    assert got == ["Number.ONE", "Other.ONE"]


def test_bare_forms_of_typing_are_the_classes():
    """
    ``typing.Deque`` as it stands is ``collections.deque``.
    """
    App = fresh_app()
    App.register_value(typing.Deque, "deque")  # noqa: UP006  # the spelling is the subject

    assert Container(App).get_nowait(collections.deque) == "deque"


def test_an_alias_in_a_provider_list_is_what_it_names():
    """
    An alias of a class or of a closed generic is an entry, a use_class, a use_existing and one of deps like these.
    """
    names = {}
    exec(
        HEAD
        + """
class Later: ...
class Box(Generic[T]):
    def __init__(self, kind: type[T]): self.kind = kind
Made = getattr(typing, "TypeAliasType", te.TypeAliasType)("Made", Later)
Ints = te.TypeAliasType("Ints", Box[int])
Boxes = te.TypeAliasType("Boxes", Box[T], type_params=(T,))
""",
        names,
    )
    made, ints, boxes = names["Made"], names["Ints"], names["Boxes"]
    App = fresh_app(providers=[
        made,
        ints,
        boxes[str],
        {"provide": "again", "use_class": made},
        {"provide": "boxed", "use_class": boxes[bytes]},
        {"provide": "called", "use_factory": made},
        {"provide": "same", "use_existing": made},
        {"provide": "given", "use_factory": lambda one: one, "deps": [made]},
    ])  # fmt: skip
    container = Container(App)

    later = container.get_nowait(names["Later"])
    assert container.get_nowait("same") is container.get_nowait("given") is container.get_nowait(made) is later
    assert type(container.get_nowait("again")) is type(container.get_nowait("called")) is names["Later"]
    kinds = [container.get_nowait(key).kind for key in (ints, names["Box"][str], "boxed")]
    assert kinds == [int, str, bytes]
