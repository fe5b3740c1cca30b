"""What does the constructor of a class ask for?"""

import dataclasses
import functools
from dataclasses import InitVar, dataclass
from typing import Annotated, Any, ClassVar, Generic, Literal, NewType, Optional, Protocol, TypeVar, Union, runtime_checkable
from unittest import mock

import attrs
import pytest
import typing_extensions as te
from helpers import fresh_app, problems

from asyncmeta import AsyncServiceBase, Container, DeclarationError, GraphErrors, Inject

T = TypeVar("T")


class Engine: ...


class Settings: ...


class Port(Protocol):
    def write(self) -> str: ...


@runtime_checkable
class Another(Protocol):
    def read(self) -> str: ...


class Base:
    def __init__(self, engine: Engine) -> None:
        self.engine = engine


class ServiceBase(AsyncServiceBase):
    def __init__(self, engine: Engine) -> None:
        self.engine = engine


class Made:
    def __new__(cls, engine: Engine) -> te.Self:
        self = super().__new__(cls)
        self.engine = engine
        return self


@dataclass
class Fields:
    engine: Engine


@attrs.define
class Attrs:
    engine: Engine


class First(Port, Base): ...


class Both(Port, Another, Base): ...


class Service(Port, ServiceBase): ...


class Deeper(First): ...


class OfNew(Port, Made): ...


class OfFields(Port, Fields): ...


class OfAttrs(Another, Attrs): ...


class Own(Port):
    def __init__(self, engine: Engine) -> None:
        self.engine = engine


class Stamped(type):
    def __call__(cls, engine: Engine):
        made = super().__call__()
        made.engine = engine
        return made


class ByMetaclass(metaclass=Stamped): ...


class Passing(type):
    def __call__(cls, *args, **named):
        return super().__call__(*args, **named)


class ThroughMetaclass(metaclass=Passing):
    def __init__(self, engine: "Engine") -> None:
        self.engine = engine


class NewBeforeInit:
    def __new__(cls, engine: Engine) -> te.Self:
        self = super().__new__(cls)
        self.engine = engine
        return self

    def __init__(self, *args: Any, **named: Any) -> None: ...


class InitAfterNew:
    def __new__(cls, *args: Any, **named: Any) -> te.Self:
        return super().__new__(cls)

    def __init__(self, engine: Engine) -> None:
        self.engine = engine


class Sized:
    def __init__(self, size: int, engine: Engine) -> None:
        self.size, self.engine = size, engine


class OfSize(Sized):
    __init__ = functools.partialmethod(Sized.__init__, 3)


class OfSizeByName(Sized):
    __init__ = functools.partialmethod(Sized.__init__, size=3)


def application(*classes):
    """Return an application with an Engine, Settings and *classes*."""
    App = fresh_app()
    for cls in (Engine, Settings, *classes):
        App.register_dependency(cls, cls)
    return App


@pytest.mark.parametrize("cls", [First, Both, Service, Deeper, OfNew, OfFields, OfAttrs, Own])
@pytest.mark.parametrize("before", [False, True])
def test_a_protocol_may_stand_before_the_base(cls, before):
    """
    What the base's constructor asks for is filled, before and after the first instance was made by hand.
    """
    if before and cls is not OfNew:
        cls(Engine())
    container = Container(application(cls))

    assert container.get_nowait(cls).engine is container.get_nowait(Engine)


@pytest.mark.parametrize("cls", [ByMetaclass, ThroughMetaclass, NewBeforeInit, InitAfterNew, OfSize, OfSizeByName])
def test_what_a_call_of_the_class_takes_is_filled(cls):
    """
    Of the metaclass's call, ``__new__`` and ``__init__``, those that take anything leave it to one that names what it takes.
    """
    container = Container(application(cls))

    assert container.get_nowait(cls).engine is container.get_nowait(Engine)


class Passes(Base):
    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)


class PassesNamed(Base):
    def __init__(self, **named: Any) -> None:
        super().__init__(**named)
        self.named = named


class PassesToFields(Fields):
    def __init__(self, *args, **named):
        named.setdefault("engine", None)
        super().__init__(*args, **named)


class PassesTwice(Passes):
    def __init__(self, *args, **named):
        super().__init__(*args, **named)


class ByPlace:
    def __init__(self, engine: Engine, /, settings: "Settings") -> None:
        self.engine, self.settings = engine, settings


class PassesByPlace(ByPlace):
    def __init__(self, *args, **named):
        super().__init__(*args, **named)


class Takes:
    def __init__(self, settings: "Settings", **rest: Any) -> None:
        super().__init__(**rest)
        self.settings = settings


class Cooperates(Takes, Base): ...


class ServicePasses(ServiceBase):
    def __init__(self, *args, **named):
        super().__init__(*args, **named)


@pytest.mark.parametrize("cls", [Passes, PassesNamed, PassesToFields, PassesTwice, PassesByPlace, Cooperates, ServicePasses])
def test_what_a_constructor_passes_on_is_filled(cls):
    """
    ``super().__init__(*args, **named)``, with nothing else, is given what the constructor behind takes.
    """
    container = Container(application(cls))

    made = container.get_nowait(cls)

    assert made.engine is container.get_nowait(Engine)
    if cls is Cooperates:
        assert made.settings is container.get_nowait(Settings)


class Sizes:
    def __init__(self, engine: Engine, size: int = 3, **more: Any) -> None:
        self.engine, self.size = engine, size


class OtherSize(Sizes):
    def __init__(self, **named: Any) -> None:
        named.setdefault("size", 4)
        self.given = dict(named)
        super().__init__(**named)


def test_a_default_that_is_passed_on_is_left_out():
    """
    A constructor that passes on sees what was found, and no defaults of the one behind: its own may be others.
    """
    App = application(OtherSize)
    made = Container(App).get_nowait(OtherSize)
    App.register_value(int, 5)

    assert (made.size, sorted(made.given)) == (4, ["engine", "size"])
    assert Container(App).get_nowait(OtherSize).size == 5


class Knows(Base):
    def __init__(self, *args, **named):
        super().__init__("an engine of its own", *args, **named)


class KnowsByName(Base):
    def __init__(self, **named):
        super().__init__(engine="an engine of its own", **named)


class KeepsToItself(Base):
    def __init__(self, **named):
        self.engine = "an engine of its own"


@pytest.mark.parametrize("cls", [Knows, KnowsByName, KeepsToItself])
def test_a_constructor_that_knows_what_it_calls_is_left_alone(cls):
    """
    Where it gives an argument of its own, or calls nothing, ``**named`` says nothing.
    """
    assert Container(application(cls)).get_nowait(cls).engine == "an engine of its own"


def test_what_is_passed_on_and_missing_is_told():
    """
    What the constructor behind requires and nothing provides is a problem of the check, by its name.
    """
    App = fresh_app(providers=[Passes])

    with pytest.raises(GraphErrors, match=r"nothing provides Engine, needed by Passes\.engine"):
        Container(App)


class Kept(Generic[T]):
    def __init__(self, kind: type[T]) -> None:
        self.kind = kind


class PassesGeneric(Kept[int]):
    def __init__(self, **named: Any) -> None:
        super().__init__(**named)


def test_what_is_passed_on_to_a_generic_base_is_what_that_is_of():
    """
    The variables of the constructor behind stand for what its class is given.
    """
    assert Container(application(PassesGeneric)).get_nowait(PassesGeneric).kind is int


@dataclass
class Opened:
    engine: InitVar[Engine]
    settings: InitVar["Settings"]
    named: InitVar[Annotated[str, Inject("name")]]
    at: str = dataclasses.field(init=False, default="nowhere")

    def __post_init__(self, engine, settings, named):
        self.seen = engine, settings, named


def test_what_only_the_construction_takes():
    """
    InitVar[T] in a dataclass is filled as T.
    """
    App = application(Opened)
    App.register_value("name", "x")
    container = Container(App)

    assert container.get_nowait(Opened).seen == (container.get_nowait(Engine), container.get_nowait(Settings), "x")


@dataclass
class Client:
    engine: Engine
    verbose: bool
    settings: Settings


class PlainClient:
    def __init__(self, engine: Engine, verbose: bool, settings: Settings) -> None:
        self.engine, self.verbose, self.settings = engine, verbose, settings


@pytest.mark.parametrize("factory", [
    functools.partial(Client, verbose=True),
    functools.partial(PlainClient, verbose=True),
    functools.partial(functools.partial(PlainClient), verbose=True),
])  # fmt: skip
def test_a_partial_of_a_class_is_filled_around_what_is_bound(factory):
    """
    What stands behind an argument that is bound by name is passed by name.
    """
    App = application()
    App.register_dependency("client", factory)
    container = Container(App)

    client = container.get_nowait("client")

    assert (client.engine, client.verbose, client.settings) == (container.get_nowait(Engine), True, container.get_nowait(Settings))


def test_a_spec_of_a_class_asks_for_what_the_class_does():
    """
    ``create_autospec`` of a class or function is called with what that takes.
    """

    def make(engine: Engine, *, settings: Settings): ...

    spec, function = mock.create_autospec(Base), mock.create_autospec(make)
    App = application()
    App.register_dependency("spec", spec)
    App.register_dependency("function", function)
    container = Container(App)

    container.get_nowait("spec")
    container.get_nowait("function")

    spec.assert_called_once_with(container.get_nowait(Engine))
    function.assert_called_once_with(container.get_nowait(Engine), settings=container.get_nowait(Settings))


async def test_a_spec_of_an_async_function_is_awaited():
    """
    ``create_autospec`` of an async function is one, on every Python.
    """

    async def make(engine: Engine) -> Settings: ...

    made = mock.create_autospec(make, return_value="made")
    App = application()
    App.register_dependency("made", made)

    async with Container(App) as container:
        assert await container.get("made") == "made"
        made.assert_awaited_once_with(await container.get(Engine))


def test_a_plain_mock_is_called_without_arguments():
    """
    A mock without a specification asks for nothing.
    """
    App = application()
    made = mock.Mock(return_value=3)
    App.register_dependency("made", made)

    assert Container(App).get_nowait("made") == 3
    made.assert_called_once_with()


class ByClass:
    @classmethod
    def __call__(cls, engine: Engine):
        return engine


class ByStatic:
    @staticmethod
    def __call__(engine: Engine):
        return engine


class ByInstance:
    def __call__(self, engine: Engine):
        return engine


@pytest.mark.parametrize("kind", [ByClass, ByStatic, ByInstance])
def test_objects_that_are_called(kind):
    """
    Of an object with ``__call__``, a method of any kind, the parameters are filled.
    """
    App = application()
    App.register_dependency("made", kind())
    container = Container(App)

    assert container.get_nowait("made") is container.get_nowait(Engine)


def test_self_is_the_class_that_is_built():
    """
    A constructor that asks for another of its kind gets that.
    """

    class Linked:
        def __init__(self, parent: te.Self | None = None) -> None:
            self.parent = parent

    class Special(Linked): ...

    App = application()
    App.register_dependency("special", Special)
    App.register_value(Special, "the parent")

    assert Container(App).get_nowait("special").parent == "the parent"


def test_a_protocol_cannot_be_made():
    """
    A Protocol as a factory is told by the check, with the way out.
    """
    App = application()
    App.register_dependency("port", Port)

    with pytest.raises(GraphErrors) as caught:
        Container(App)

    (problem,) = problems(caught.value)
    assert str(problem).startswith("Port is a Protocol and cannot be made: register the class that implements it")


@pytest.mark.parametrize("form", [
    int | str, Optional[Engine], Union[int, str], Literal["a"], Any, Generic, Union, Optional, ClassVar[int], TypeVar("T"),  # noqa: UP007, UP045  # the forms are the subject
])  # fmt: skip
def test_a_form_is_no_factory(form):
    """
    A form of typing's that makes nothing is refused at the line.
    """
    App = application()

    with pytest.raises(DeclarationError, match=r"a factory has to be callable.*test_constructors\.py"):
        App.register_dependency("made", form)


def test_a_pydantic_dataclass_is_filled_by_its_fields():
    """
    Its constructor names nothing, its signature names the fields.
    """
    pydantic = pytest.importorskip("pydantic")

    @pydantic.dataclasses.dataclass(config={"arbitrary_types_allowed": True})
    class Limits:
        engine: Engine
        named: Annotated[str, Inject("name")]
        size: int = 3

    App = application(Limits)
    App.register_value("name", "x")
    container = Container(App)

    limits = container.get_nowait(Limits)

    assert (limits.engine, limits.named, limits.size) == (container.get_nowait(Engine), "x", 3)


def test_defaults_of_a_pydantic_dataclass_are_its_own():
    """
    What its signature shows as a default is not handed to it: of a default_factory it is a sign that means nothing elsewhere.
    """
    pydantic = pytest.importorskip("pydantic")

    @pydantic.dataclasses.dataclass(config={"arbitrary_types_allowed": True})
    class Limits:
        engine: Engine
        sizes: list[int] = pydantic.Field(default_factory=lambda: [1])
        given: Settings = dataclasses.field(default_factory=Settings)

    App = fresh_app(providers=[Engine, Limits])
    Full = fresh_app(providers=[Engine, Limits, Settings])
    full = Container(Full)

    assert Container(App).get_nowait(Limits).sizes == [1]
    assert full.get_nowait(Limits).given is full.get_nowait(Settings)


def test_the_value_of_a_root_model_is_data():
    """
    A pydantic RootModel without a default is told by the check, one with a default is made.
    """
    pydantic = pytest.importorskip("pydantic")

    class Sizes(pydantic.RootModel[list[int]]): ...

    class Defaulted(pydantic.RootModel[list[int]]):
        root: list[int] = [1]

    with pytest.raises(GraphErrors, match=r"Sizes takes root by \*\*kwargs"):
        Container(application(Sizes))
    assert Container(application(Defaulted)).get_nowait(Defaulted).root == [1]


def test_deps_of_a_struct_that_do_not_fit_are_told():
    """
    Of a class that is made in C, and shows what it takes, a wrong number of deps is a problem of the check.
    """
    msgspec = pytest.importorskip("msgspec")

    class Row(msgspec.Struct):
        engine: Engine

    App = fresh_app(providers=[Engine, {"provide": "row", "use_class": Row, "deps": [Engine, Engine]}])

    with pytest.raises(GraphErrors, match=r"deps of \S+ are 2 arguments, in order, and do not fit"):
        Container(App)


def test_a_mark_as_the_default_of_a_struct_is_refused():
    """
    A mark is no value, also where the class itself would take it for one.
    """
    msgspec = pytest.importorskip("msgspec")

    class Row(msgspec.Struct):
        name: str = Inject("name")

    App = application(Row)

    said = r'Row has Inject\("name"\) as its default.*write name: Annotated\[str, Inject\("name"\)\]'
    with pytest.raises(DeclarationError, match=said):
        Container(App)


def test_a_model_that_is_not_ready_is_told():
    """
    The required fields of a pydantic model that names what is not defined are told, where the class itself has no signature.
    """
    pydantic = pytest.importorskip("pydantic")
    Late = type(pydantic.BaseModel)("Late", (pydantic.BaseModel,), {
        "__module__": __name__, "__annotations__": {"ghost": "Ghost", "size": "int", "name": "str"}, "name": "late",
    })  # fmt: skip

    with pytest.raises(GraphErrors, match=r"Late takes ghost, size by \*\*kwargs.*test_constructors"):
        Container(application(Late))


def test_an_argument_that_is_converted_is_asked_for_by_its_field():
    """
    Where attrs shows no type, because a converter says none, the field's counts, behind the name of the argument.
    """

    @attrs.define
    class Converting:
        engine: Engine = attrs.field(converter=lambda engine: engine)
        size: int = attrs.field(converter=int)

    App = application(Converting)
    App.register_value("size", "3")
    container = Container(App)

    made = container.get_nowait(Converting)

    assert (made.engine, made.size) == (container.get_nowait(Engine), 3)


def fields_of_structs():
    """Return generic classes whose fields msgspec, pydantic and TypedDict make, each with the one of a closed base."""
    msgspec, pydantic = pytest.importorskip("msgspec"), pytest.importorskip("pydantic")

    class Struct(msgspec.Struct, Generic[T]):
        kind: type[T]

    class OfStruct(Struct[str], Generic[T]):
        other: type[T]

    @pydantic.dataclasses.dataclass(config={"arbitrary_types_allowed": True})
    class Limits(Generic[T]):
        kind: type[T]

    @pydantic.dataclasses.dataclass(config={"arbitrary_types_allowed": True})
    class OfLimits(Limits[str], Generic[T]):
        other: Annotated[Any, Inject("other")]

    return [(Struct, int), (OfStruct, str), (Limits, int), (OfLimits, str)]


def test_fields_of_generic_structs_mean_what_these_are_of():
    """
    The variables in a field stand for what its class is asked with, or what a subclass closed it with.
    """
    for cls, kind in fields_of_structs():
        App = application(cls)
        App.register_value("other", "other")

        assert Container(App).get_nowait(cls[int]).kind is kind, cls


# --- typed dictionaries ---


class Options(te.TypedDict):
    engine: Engine
    settings: te.NotRequired["Settings"]
    size: te.NotRequired[Annotated[int, "size"]]


class Loose(Options, total=False):
    other: te.Required[Annotated["Settings", {"unit": 1}]]
    name: str


def test_a_typed_dictionary_is_made_of_its_keys():
    """
    A TypedDict as a factory takes its keys by name; one that need not be there is left out where nothing provides it.
    """
    App = application(Options, Loose)
    App.register_value(Annotated[int, "size"], 3)
    container = Container(App)
    engine, settings = container.get_nowait(Engine), container.get_nowait(Settings)

    assert container.get_nowait(Options) == {"engine": engine, "settings": settings, "size": 3}
    assert container.get_nowait(Loose) == {"engine": engine, "settings": settings, "size": 3, "other": settings}


class Kinds(te.TypedDict, Generic[T]):
    kind: type[T]


def test_a_generic_typed_dictionary_is_filled():
    """
    ``Kinds[int]`` has the keys of Kinds, with int in them.
    """
    assert Container(application(Kinds)).get_nowait(Kinds[int]) == {"kind": int}


class Engined(Kinds[Engine]):
    settings: Settings


class Pairs(te.TypedDict, Generic[T]):
    one: "T"
    more: te.NotRequired[list[T]]


class Listed(Pairs[list[T]], Generic[T]): ...


def test_a_typed_dictionary_keeps_what_its_base_is_of():
    """
    The keys that a TypedDict has from a generic one with an argument are of that argument, also in ``Unpack[...]``.
    """

    def use(**named: te.Unpack[Listed[int]]):
        return named

    App = application(Engined, Listed)
    App.register_value(type[Engine], Engine)
    App.register_value(list[int], [1])
    App.register_dependency("use", use)
    container = Container(App)

    assert container.get_nowait(Engined) == {"kind": Engine, "settings": container.get_nowait(Settings)}
    assert container.get_nowait(Listed[int]) == container.get_nowait("use") == {"one": [1]}


UserId = NewType("UserId", "Engine")


def test_a_new_type_is_made_of_what_it_is():
    """
    A NewType as a factory takes a value of its type, as checkers see it.
    """
    App = fresh_app(providers=[Engine, {"provide": UserId, "use_factory": UserId}])
    container = Container(App)

    assert container.get_nowait(UserId) is container.get_nowait(Engine)
    with pytest.raises(GraphErrors, match=r"nothing provides Engine, needed by UserId\.x"):
        Container(fresh_app(providers=[{"provide": UserId, "use_factory": UserId}, UserId]))


@pytest.mark.skipif(not hasattr(functools, "Placeholder"), reason="there since CPython 3.14")
@pytest.mark.parametrize("factory", [PlainClient, lambda engine, verbose, settings: PlainClient(engine, verbose, settings)])
def test_a_place_that_a_partial_leaves_open_is_filled(factory):
    """
    ``partial(make, Placeholder, True)`` is filled around what is bound in the middle.
    """
    if factory is not PlainClient:
        factory.__annotations__.update(engine=Engine, settings=Settings)
    App = application()
    App.register_dependency("client", functools.partial(factory, functools.Placeholder, True))
    container = Container(App)

    client = container.get_nowait("client")

    assert (client.engine, client.verbose) == (container.get_nowait(Engine), True)
    assert client.settings is container.get_nowait(Settings)


@pytest.mark.parametrize("form", [None, "None", "Literal[None]"])
def test_what_is_annotated_as_none_is_none(form):
    """
    A parameter that takes nothing but None is None.
    """

    def use(nothing):
        return nothing

    use.__annotations__["nothing"] = form
    App = application()
    App.register_dependency("use", use)

    assert Container(App).get_nowait("use") is None


def test_a_key_that_has_to_be_there_is_missed():
    """
    What a TypedDict requires and nothing provides is a problem of the check.
    """

    class Named(te.TypedDict):
        name: Annotated[str, "name"]

    App = application(Named)

    with pytest.raises(GraphErrors) as caught:
        Container(App)

    (problem,) = problems(caught.value)
    assert 'nothing provides Annotated[str, "name"], needed by Named.name' in str(problem).replace("'", '"')


@pytest.mark.parametrize("form", [te.Unpack[Options], "te.Unpack[Options]", 'te.Unpack["Options"]'])
def test_named_arguments_that_a_typed_dictionary_names_are_filled(form):
    """
    ``**named: Unpack[Options]`` takes the keys of Options as parameters by name, and a partial may bind one.
    """

    def use(first: Engine, **named):
        return first, named

    use.__annotations__["named"] = form
    App = application()
    App.register_dependency("use", use)
    App.register_dependency("bound", functools.partial(use, settings="bound"))
    container = Container(App)
    engine = container.get_nowait(Engine)

    assert container.get_nowait("use") == (engine, {"engine": engine, "settings": container.get_nowait(Settings)})
    assert container.get_nowait("bound") == (engine, {"engine": engine, "settings": "bound"})


def test_named_arguments_of_a_type_are_left_alone():
    """
    ``**named: Engine`` says nothing about which there are.
    """

    def use(*many: Settings, **named: Engine):
        return many, named

    App = application()
    App.register_dependency("use", use)

    assert Container(App).get_nowait("use") == ((), {})


def test_a_typed_dictionary_that_cannot_be_read_is_told():
    """
    A name that is not defined is a problem of the check here as anywhere.
    """

    def use(**named: "te.Unpack[Undefined]"): ...  # noqa: F821  # that is its subject

    App = application()
    App.register_dependency("use", use)

    with pytest.raises(GraphErrors, match=r"annotation of .*named cannot be read: NameError: name 'Undefined' is not defined"):
        Container(App)


class Sync(AsyncServiceBase):
    def on_startup(self): ...


class Yields(AsyncServiceBase):
    async def on_startup(self):
        yield


class Takes(AsyncServiceBase):
    async def on_startup(self, engine): ...


class Stops(AsyncServiceBase):
    def on_shutdown(self): ...


class Selfless(AsyncServiceBase):
    async def on_startup(): ...


class NoMethod(AsyncServiceBase):
    on_startup = 3


@pytest.mark.parametrize(("cls", "said"), [
    (Selfless, r"Selfless\.on_startup \(\S+:\d+\) is called with self: write async def on_startup\(self\)"),
    (NoMethod, r"NoMethod\.on_startup is awaited, and is no method: write async def on_startup\(self\)"),
    (Sync, r"Sync\.on_startup \(\S+:\d+\) is awaited: write async def on_startup\(self\)"),
    (Yields, r"Yields\.on_startup \(\S+:\d+\) is awaited: write async def on_startup\(self\), without a yield"),
    (Takes, r"Takes\.on_startup \(\S+:\d+\) is called with nothing but self, and takes engine too"),
    (Stops, r"Stops\.on_shutdown \(\S+:\d+\) is awaited"),
])  # fmt: skip
def test_life_cycle_methods_that_cannot_be_awaited_are_told(cls, said):
    """
    A synchronous on_startup or on_shutdown, one that yields, or takes arguments, is a problem of the check.
    """
    with pytest.raises(GraphErrors, match=said):
        Container(application(cls))


def test_life_cycle_methods_of_other_kinds_are_fine():
    """
    One that is decorated, has defaults, or says that it returns an awaitable, is awaited like any other.
    """

    class Decorated(AsyncServiceBase):
        @functools.cache  # noqa: B019  # a wrapper like others
        def on_startup(self): ...

        async def on_shutdown(self, quickly: bool = False): ...

    class Returns(AsyncServiceBase):
        def on_startup(self) -> te.Awaitable[None]:
            return super().on_startup()

    Decorated.on_startup = functools.wraps(ServiceBase.on_startup)(lambda self: ServiceBase.on_startup(self))

    Container(application(Decorated, Returns))


def test_a_named_value_is_mentioned_to_who_misses_the_plain_one():
    """
    Who asks for a type that is only registered with a name is told of that.
    """
    from asyncmeta import inject_dependency

    App = fresh_app()

    @inject_dependency(on=App)
    def make() -> Annotated[Engine, "the current one"]:
        return Engine()

    def use(engine: Engine): ...

    App.register_dependency("use", use)

    with pytest.raises(GraphErrors, match=r'Annotated\[Engine, "the current one"\] is registered, which is a value with a name'):
        Container(App)


# --- what a constructor passes on, at the edges --------------------------------------------------------


class Named:
    def __init__(self, engine: Engine, /, *, settings: Settings) -> None:
        self.engine, self.settings = engine, settings


class PassesOnByPlace(Named):
    def __init__(self, settings: Settings, *given: Any, **named: Any) -> None:
        super().__init__(*(given or (Engine(),)), settings=settings, **named)


class CallsTwice(Named):
    def __init__(self, **named: Any) -> None:
        options = dict(**named, settings=Settings())
        super().__init__(Engine(), **options)


class CallsNothing(Named):
    def __init__(self, **named: Any) -> None:
        self.engine, self.settings = Engine(), None
        if named.get("never"):
            super().__init__(Engine(), settings=None)


@pytest.mark.parametrize("cls", [PassesOnByPlace, CallsTwice, CallsNothing])
def test_what_a_constructor_calls_in_a_way_of_its_own_is_its_own_affair(cls):
    """
    Where it says itself what it passes on, nothing is asked for beside what it names.
    """
    made = Container(application(cls)).get_nowait(cls)

    assert type(made.engine) is Engine


@dataclasses.dataclass
class Early:
    settings: "Settings"


@dataclasses.dataclass
class Late(Early):
    engine: "Engine"

    def __init__(self, settings: "Settings", engine: Engine) -> None:
        self.settings, self.engine = settings, engine


def test_a_dataclass_with_a_constructor_of_its_own():
    """
    That says what it takes, whatever its fields say.
    """
    made = Container(application(Late)).get_nowait(Late)

    assert (type(made.settings), type(made.engine)) == (Settings, Engine)


class Wide:
    def __init__(self, engine: Engine, size: int = 3) -> None:
        self.engine, self.size = engine, size


class KeepsSize(Wide):
    def __init__(self, size: Annotated[int, Inject("size")], **named: Any) -> None:
        super().__init__(**named)
        self.own_size = size


def test_what_a_constructor_takes_itself_is_not_passed_on():
    """
    A parameter that the base has by the same name keeps its default there: it was taken out of what is passed on.
    """
    App = application(KeepsSize)
    App.register_dependency("size", lambda: 9)

    made = Container(App).get_nowait(KeepsSize)

    assert (type(made.engine), made.own_size, made.size) == (Engine, 9, 3)


def test_what_settings_read_from_the_environment_is_asked_for_by_nobody():
    """
    The required fields of a pydantic model that has sources of its own are no dependencies.
    """
    pydantic = pytest.importorskip("pydantic")

    class Plain(pydantic.BaseModel):
        url: str

    class FromEnvironment(Plain):
        @classmethod
        def settings_customise_sources(cls): ...

    def told(cls):
        try:
            Container(application(cls))
        except GraphErrors as error:
            return [str(one) for one in problems(error)]
        return []

    assert told(FromEnvironment) == []
    assert ["Plain takes url by **kwargs" in one for one in told(Plain)] == [True]


def test_an_annotation_that_cannot_be_read_is_told_of_the_constructor_that_was_written():
    """
    A field of the same name and text does not change what the constructor says of its parameter.
    """

    class Written:
        engine: "Ghost"  # noqa: F821

        def __init__(self, engine: "Ghost") -> None: ...  # noqa: F821

    with pytest.raises(GraphErrors, match=r"the annotation of Written\.engine cannot be read: NameError"):
        Container(application(Written))
