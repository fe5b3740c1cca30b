"""What does each parameter of a factory receive?"""

import asyncio
import contextlib
import functools
import inspect
import sys
import textwrap
import types
from dataclasses import KW_ONLY, dataclass, field
from typing import Annotated, Any, Generic, NewType, Optional, Protocol, TypeVar, Union

import pytest
import typing_extensions as te

from asyncmeta import (
    INJECTED,
    AsyncDependencyDescriptor,
    AsyncDependencyError,
    AsyncServiceBase,
    CaptiveDependencyError,
    CircularDependencyError,
    Container,
    DeclarationError,
    From,
    GraphErrors,
    Inject,
    Lazy,
    MissingDependencyError,
    Scope,
    ScopeError,
    Token,
    inject_dependency,
)


def saying(text):
    """Return a check that an error's whole text, that of a group included, holds *text*."""
    return lambda error: text in str(error)


class Database:
    """A plain class to be provided."""


class Cache:
    """Another one, which no test registers."""


Dsn = Token[str]("dsn")
UserId = NewType("UserId", int)


def app_with(**values):
    """Return a fresh service class that provides *values* by name, and a Database."""

    class App(AsyncServiceBase):
        pass

    for name, value in values.items():
        App.register_value(name, value)
    App.register_dependency(Database, Database)
    return App


async def made_by(factory, App):
    """Return what *factory* makes in a container of *App*."""
    App.register_dependency("made", factory)
    return await Container(App).get("made")


def module(name, source, monkeypatch, **names):
    """Run *source* as the module *name*, with *names* defined in it, and return the module."""
    made = types.ModuleType(name)
    monkeypatch.setitem(sys.modules, name, made)
    vars(made).update(names)
    exec(compile(textwrap.dedent(source), f"{name}.py", "exec", dont_inherit=True), vars(made))
    return made


# --- Inject --------------------------------------------------------------------------------------


ANNOTATIONS = {
    "first": Annotated[str, Inject("name")],
    "after others": Annotated[str, "a note", 7, Inject("name"), object()],
    "nested inside": Annotated[Annotated[str, Inject("name")], "a note"],
    "nested outside": Annotated[Annotated[str, "a note"], Inject("name")],
    "around an optional": Annotated[str | None, Inject("name")],
    "within an optional": Annotated[str, Inject("name")] | None,
    "within Optional": Optional[Annotated[str, Inject("name")]],  # noqa: UP045  # the old spelling is the subject
    "typing_extensions": te.Annotated[str, Inject("name")],
}


@pytest.mark.parametrize("annotation", ANNOTATIONS.values(), ids=ANNOTATIONS)
async def test_inject_says_what_to_look_up_wherever_it_stands(annotation):
    """
    An Inject in the Annotated names the token, whatever stands around it.
    """

    def make(value):
        return value

    make.__annotations__["value"] = annotation

    assert await made_by(make, app_with(name="by name")) == "by name"


@pytest.mark.parametrize("token", ["name", Database, Dsn, UserId, list[Database]], ids=str)
async def test_inject_takes_every_kind_of_token(token):
    """
    A class, a string, a Token, a NewType and a generic alias may stand in Inject.
    """
    App = app_with()
    App.register_value(token, "found")

    def make(value: Annotated[Any, Inject(token)]):
        return value

    assert await made_by(make, App) == "found"


async def test_inject_wins_over_the_annotation_and_the_name():
    """
    Inject is looked up first; neither the type nor the parameter's name matters then.
    """
    App = app_with(name="by token", database="by name")

    def make(database: Annotated[Database, Inject("name")]):
        return database

    assert await made_by(make, App) == "by token"


async def test_empty_inject_and_from_stand_for_the_annotation():
    """
    Inject without a token, and From, ask for the type they annotate.
    """
    App = app_with()

    def make(one: Annotated[Database, Inject()], two: From[Database]):
        return one, two

    one, two = await made_by(make, App)

    assert type(one) is Database
    assert one is two


async def test_inject_falls_back():
    """
    The fallback of an Inject is given when nothing provides its token, and only then.
    """

    def make(
        there: Annotated[str, Inject("name", fallback="fallback")],
        absent: Annotated[str, Inject("absent", fallback="fallback")],
        nothing: Annotated[str, Inject("absent", fallback=None)],
    ):
        return there, absent, nothing

    assert await made_by(make, app_with(name="there")) == ("there", "fallback", None)


async def test_inject_that_finds_nothing_takes_the_default():
    """
    A marked parameter with a default is given it when nothing provides the token.
    """

    def make(value: Annotated[str, Inject("absent")] = "default"):
        return value

    assert await made_by(make, app_with()) == "default"


def test_inject_that_finds_nothing_is_missing():
    """
    A marked parameter without a default is told missing under its token, not under its type.
    """
    App = app_with()

    def make(value: Annotated[Database, Inject("absent")]): ...

    App.register_dependency("made", make)

    with pytest.raises(GraphErrors) as caught:
        Container(App)

    (problem,) = caught.value.exceptions
    assert isinstance(problem, MissingDependencyError)
    assert problem.key == '"absent"'


# --- the annotation ------------------------------------------------------------------------------


async def test_the_annotation_is_the_token():
    """
    A class, an interface, a generic alias and a NewType are looked up as they are written.
    """

    class Clock(Protocol):
        def now(self) -> float: ...

    App = app_with()
    App.register_value(Clock, "clock")
    App.register_value(list[Database], "list")
    App.register_value(UserId, 7)

    def make(database: Database, clock: Clock, databases: list[Database], user: UserId):
        return type(database), clock, databases, user

    assert await made_by(make, App) == (Database, "clock", "list", 7)


async def test_a_string_annotation_that_names_a_class_is_a_type():
    """
    An annotation in quotes is read as the type that it names, not as a string token.
    """

    def make(database: "Database"):
        return database

    assert type(await made_by(make, app_with(Database="by name"))) is Database


@pytest.mark.parametrize("annotation", [Database | None, Optional[Database], Union[None, Database]], ids=str)  # noqa: UP007, UP045
async def test_an_optional_parameter_gets_the_value_that_is_there(annotation):
    """
    `T | None` is looked up as T.
    """

    def make(value):
        return value

    make.__annotations__["value"] = annotation

    assert type(await made_by(make, app_with())) is Database


async def test_an_optional_parameter_gets_none_when_nothing_is_there():
    """
    `T | None` is None when nothing provides T, and its default when it has one.
    """

    def make(absent: Cache | None, default: Cache | None = "default", nothing: None = None):
        return absent, default, nothing

    assert await made_by(make, app_with()) == (None, "default", None)


async def test_annotated_without_a_marker_is_unwrapped():
    """
    Plain Annotated is looked up as what it annotates.
    """

    def make(one: Annotated[Database, "a note"], other: Annotated[Database | None, "a note"]):
        return one, other

    one, other = await made_by(make, app_with())

    assert type(one) is Database
    assert one is other


async def test_a_default_is_taken_when_nothing_is_there():
    """
    A parameter whose type nobody provides takes its default; a provided one wins over it.
    """
    default = Cache()

    def make(database: Database = None, cache: Cache = default, size: int = 3, note: "str" = "note"):
        return type(database), cache, size, note

    assert await made_by(make, app_with()) == (Database, default, 3, "note")


async def test_a_parameter_that_nothing_provides_is_missing():
    """
    Without a registration, a default or a None there is nothing to give.
    """
    App = app_with()

    def make(cache: Cache): ...

    App.register_dependency("made", make)

    with pytest.raises(GraphErrors) as caught:
        Container(App)

    (problem,) = caught.value.exceptions
    assert isinstance(problem, MissingDependencyError)
    assert problem.key == "Cache"


def mark_of(module):
    """Return such a mark as a library with *module* writes as a default."""
    return type("Depends", (), {"__module__": module})()


@pytest.mark.parametrize("module", ["fastapi.params", "fast_depends.dependencies.model", "dependency_injector.wiring"])
def test_the_mark_of_another_library_is_no_default(module):
    """
    A default that only another framework reads is never handed over in the place of a value: the check tells it, with its place.
    """
    mark = mark_of(module)
    library = module.partition(".")[0]

    class Report:
        def __init__(self, database: Database, cache: Cache = mark, clock=mark) -> None:
            self.database = database

    App = app_with()
    App.register_dependency(Report, Report)
    with pytest.raises(GraphErrors) as caught:
        Container(App)

    told = [str(error) for error in caught.value.exceptions]
    assert len(told) == 2
    reads = f"is Depends(...), which only {library} reads"
    assert told[0].startswith(f"nothing provides Cache, and the default of Report.cache {reads}")
    assert told[1].startswith(f"the default of Report.clock {reads}; annotate it with what it needs")
    assert all("test_parameters.py:" in one for one in told)


async def test_the_mark_of_another_library_stands_aside_where_something_is_provided():
    """
    A class that FastAPI fills elsewhere is taken as it is: what is provided wins over its default.
    """
    mark = mark_of("fastapi.params")

    def make(database: Database = mark):
        return type(database)

    assert await made_by(make, app_with()) == Database


# --- neither annotation nor default --------------------------------------------------------------


async def test_a_bare_parameter_is_looked_up_by_its_name():
    """
    A parameter with neither annotation nor default is a string token.
    """

    def make(name, größe):
        return name, größe

    assert await made_by(make, app_with(name="by name", größe=3)) == ("by name", 3)


async def test_a_bare_parameter_with_a_default_keeps_it():
    """
    A default alone is not looked up by name.
    """

    def make(name="default"):
        return name

    assert await made_by(make, app_with(name="by name")) == "default"


async def test_star_parameters_are_left_alone():
    """
    Nothing is looked up for `*args` and `**kwargs`, whatever their names and annotations.
    """

    def make(name, *args: Cache, **kwargs: Cache):
        return name, args, kwargs

    assert await made_by(make, app_with(name="name", args=1, kwargs=2)) == ("name", (), {})


async def test_keyword_only_and_positional_only_parameters_are_filled():
    """
    Each parameter is passed in the way it can be.
    """

    def make(first, second, /, third, *, fourth, fifth: Database, sixth=6):
        return first, second, third, fourth, type(fifth), sixth

    made = await made_by(make, app_with(first=1, second=2, third=3, fourth=4))

    assert made == (1, 2, 3, 4, Database, 6)


async def test_a_default_between_filled_parameters_is_kept():
    """
    A positional-only parameter that takes its default does not shift the others.
    """

    def make(first, second=2, third: Database = None, /, *, fourth=4):
        return first, second, type(third), fourth

    assert await made_by(make, app_with(first=1)) == (1, 2, Database, 4)


async def test_a_factory_may_have_very_many_parameters():
    """
    Two hundred and fifty parameters are as good as one.
    """
    names = [f"p{number}" for number in range(250)]
    namespace = {}
    exec(f"def make({', '.join(names)}): return [{', '.join(names)}]", namespace)
    App = app_with(**{name: number for number, name in enumerate(names)})

    assert await made_by(namespace["make"], App) == list(range(250))


@pytest.mark.parametrize(
    "name", ["s", "v", "f1", "f7", "a1", "s3", "UNSET", "self", "cls", "_", "__class__", "root", "scope", "len"]
)
async def test_a_parameter_may_be_called_anything(name):
    """
    No name of a parameter collides with ours.
    """
    namespace = {}
    exec(f"def make({name}, *, other): return {name}, other", namespace)

    assert await made_by(namespace["make"], app_with(**{name: "value"}, other="other")) == ("value", "other")


@pytest.mark.parametrize(
    "token",
    [
        '"',
        "'",
        "\\",
        "\n",
        "a\nb",
        "{x}",
        "%s",
        "class",
        "__import__('os').abort()",
        "größe",
        "\u2028",
        "\x00",
        "\ud800",
        "",
        " ",
        "x" * 10_000,
    ],
    ids=ascii,
)
async def test_a_string_token_is_opaque(token):
    """
    Whatever a string token holds, it is a key and nothing else.
    """
    App = app_with()
    App.register_value(token, "value")

    def make(value: Annotated[str, Inject(token)]):
        return value

    container = Container(App)

    assert await made_by(make, App) == "value"
    assert await container.get(token) == "value"


@pytest.mark.parametrize(
    "name", ["class", "a'b", 'a"b', "a\nb", "x();y", "größe", "", "<locals>", "__import__('os').abort()"], ids=ascii
)
async def test_a_class_may_be_called_anything(name):
    """
    No name of a class or function ends up in what is executed.
    """
    Hostile = type(name, (), {"__module__": name, "__qualname__": name})
    App = app_with()
    App.register_dependency(Hostile, Hostile)

    def make(value: Hostile):
        return value

    make.__name__ = make.__qualname__ = name

    assert type(await made_by(make, App)) is Hostile


# --- constructors --------------------------------------------------------------------------------


async def test_constructor_parameters_are_those_of_init():
    """
    A class is built by what its `__init__` takes.
    """

    class Made:
        def __init__(self, database: Database, name, *, size=3):
            self.seen = type(database), name, size

    assert (await made_by(Made, app_with(name="name"))).seen == (Database, "name", 3)


async def test_an_inherited_constructor_counts():
    """
    A class without an `__init__` of its own is built by the inherited one.
    """

    class Base:
        def __init__(self, name):
            self.name = name

    class Made(Base):
        pass

    assert (await made_by(Made, app_with(name="name"))).name == "name"


async def test_without_init_new_counts():
    """
    A class that has only a `__new__` is built by what that takes.
    """

    class Made:
        def __new__(cls, name):
            made = super().__new__(cls)
            made.name = name
            return made

    assert (await made_by(Made, app_with(name="name"))).name == "name"


async def test_a_class_without_constructor_takes_nothing():
    """
    A class with neither `__init__` nor `__new__` is called with nothing.
    """
    assert type(await made_by(Database, app_with())) is Database


async def test_a_dataclass_is_built_by_its_fields():
    """
    Fields are parameters; keyword-only fields, defaults and default factories work.
    """

    @dataclass
    class Made:
        database: Database
        notes: list = field(default_factory=lambda: ["note"])
        hidden: int = field(default=3, init=False)
        _: KW_ONLY
        size: Annotated[int, Inject("size")]

    made = await made_by(Made, app_with(size=5))

    assert (type(made.database), made.notes, made.hidden, made.size) == (Database, ["note"], 3, 5)


async def test_a_made_up_signature_does_not_count():
    """
    A class that shows another `__signature__` is still built by its `__init__` (pydantic-settings).
    """

    class Settings:
        def __init__(self, __pydantic_self__=None, /, _env_file: str | None = None, **values: Any):
            self.values = values

    Settings.__signature__ = inspect.Signature([inspect.Parameter("dsn", inspect.Parameter.KEYWORD_ONLY, annotation=Cache)])

    assert (await made_by(Settings, app_with(dsn="no"))).values == {}


async def test_a_pydantic_model_with_defaults_is_a_factory():
    """
    A model whose fields have defaults needs nothing of the container.
    """
    pydantic = pytest.importorskip("pydantic")

    class Settings(pydantic.BaseModel):
        dsn: str = "sqlite://"
        size: int = 3

    settings = await made_by(Settings, app_with())

    assert (settings.dsn, settings.size) == ("sqlite://", 3)


async def test_an_attrs_class_is_built_by_its_fields():
    """
    A class made by attrs is built like one written by hand.
    """
    attrs = pytest.importorskip("attrs")

    @attrs.define
    class Made:
        database: Database
        name: Annotated[str, Inject("name")]

    made = await made_by(Made, app_with(name="name"))

    assert (type(made.database), made.name) == (Database, "name")


async def test_a_generic_class_is_built():
    """
    A subclass of a generic with its arguments given is a class like any other.
    """
    T = TypeVar("T")

    class Repo(Generic[T]):
        def __init__(self, database: Database):
            self.database = database

    class Users(Repo[int]):
        pass

    assert type((await made_by(Users, app_with())).database) is Database


async def test_a_default_whose_annotation_cannot_be_read_is_taken(monkeypatch):
    """
    A parameter with a default may have an annotation that means nothing at run time (httpx).
    """
    App = app_with()
    made = module(
        "client",
        """
        class Client:
            def __init__(self, verify: "ssl.SSLContext | str" = True, *, transport: "BaseTransport" = None):
                self.seen = verify, transport
        """,
        monkeypatch,
    )

    assert (await made_by(made.Client, App)).seen == (True, None)


def test_an_annotation_that_cannot_be_read_is_a_problem(monkeypatch):
    """
    Without a default, an annotation that cannot be read is told with the parameter and the name that is not there.
    """
    App = app_with()
    made = module("client", "def make(transport: 'BaseTransport'): ...", monkeypatch)
    App.register_dependency("made", made.make)

    with pytest.raises(GraphErrors) as caught:
        Container(App)

    (problem,) = caught.value.exceptions
    assert "transport" in str(problem)
    assert "BaseTransport" in str(problem)
    assert "client.py" in str(problem)


async def test_an_annotation_is_evaluated_where_it_was_written(monkeypatch):
    """
    The annotations of an inherited constructor are read in the module of the base class.
    """
    App = app_with()
    base = module(
        "base_module",
        """
        class Thing: ...

        class Base:
            def __init__(self, thing: "Thing"):
                self.thing = thing
        """,
        monkeypatch,
    )
    derived = module("derived_module", "class Derived(Base): ...\nclass Thing: ...", monkeypatch, Base=base.Base)
    App.register_dependency(base.Thing, base.Thing)
    App.register_dependency(derived.Thing, derived.Thing)

    made = await made_by(derived.Derived, App)

    assert type(made.thing) is base.Thing


# --- other callables -----------------------------------------------------------------------------


async def test_what_a_partial_binds_is_not_looked_up():
    """
    Arguments that a partial holds stay, the others are filled.
    """

    def make(first, second, *, third, fourth):
        return first, second, third, fourth

    App = app_with(first=1, second=2, third=3, fourth=4)

    assert await made_by(functools.partial(make, "bound", third="bound"), App) == ("bound", 2, "bound", 4)


async def test_what_a_partial_binds_is_its_own_also_where_it_could_be_filled():
    """
    A bound argument of a registered class stays, where everything that the factory takes is of such classes.
    """

    class Settings: ...

    def make(database: Database, other: Settings):
        return database, other

    bound = Database()
    for partial in (functools.partial(make, bound), functools.partial(make, database=bound)):
        App = app_with()
        App.register_dependency(Settings, Settings)
        made, other = await made_by(partial, App)

        assert made is bound
        assert type(other) is Settings


async def test_a_partial_of_a_class_is_filled():
    """
    A partial of a class is built by the constructor parameters that it leaves open.
    """

    class Made:
        def __init__(self, prefix, database: Database):
            self.seen = prefix, type(database)

    assert (await made_by(functools.partial(Made, "prefix"), app_with())).seen == ("prefix", Database)


async def test_a_callable_object_is_filled_by_its_call():
    """
    The parameters of an object are those of its `__call__`, without self.
    """

    class Make:
        async def __call__(self, database: Database, name):
            return type(database), name

    assert await made_by(Make(), app_with(name="name")) == (Database, "name")


async def test_a_bound_method_is_filled_without_its_self():
    """
    The first parameter of a bound method is bound.
    """

    class Maker:
        def make(self, name):
            return type(self), name

        @classmethod
        def make_of_class(cls, name):
            return cls, name

    App = app_with(name="name")

    assert await made_by(Maker().make, App) == (Maker, "name")
    assert await made_by(Maker.make_of_class, App) == (Maker, "name")


async def test_a_wrapped_function_is_filled_by_what_it_wraps():
    """
    A decorator that uses functools.wraps does not hide the parameters (retries, tracing).
    """

    def retrying(function):
        @functools.wraps(function)
        async def wrapper(*args, **kwargs):
            return await function(*args, **kwargs)

        return wrapper

    @retrying
    async def make(database: Database, *, name):
        return type(database), name

    assert await made_by(make, app_with(name="name")) == (Database, "name")


async def test_context_managers_are_filled():
    """
    Functions made context managers by contextlib have the parameters they were written with.
    """

    @contextlib.contextmanager
    def manage(name):
        yield name

    @contextlib.asynccontextmanager
    async def manage_later(database: Database):
        yield type(database)

    App = app_with(name="name")
    App.register_dependency("one", manage)
    App.register_dependency("two", manage_later)

    async with Container(App) as container:
        assert [await container.get("one"), await container.get("two")] == ["name", Database]


# --- Lazy, Container, Scope ----------------------------------------------------------------------


async def test_lazy_is_a_handle_that_builds_when_awaited():
    """
    A Lazy parameter builds nothing until it is awaited, then gives the shared value each time.
    """
    App = app_with()
    built = []
    App.register_dependency("made", lambda: built.append(1) or Database())
    handles = []

    def make(late: Lazy[Annotated[Database, Inject("made")]], database: Lazy[Database]):
        handles.extend((late, database))
        return "holder"

    App.register_dependency("holder", make)
    container = Container(App)

    await container.get("holder")
    before = list(built)
    late, database = handles

    assert before == []
    assert await late is await late is await container.get("made")
    assert await database is await container.get(Database)
    assert built == [1]


async def test_an_optional_lazy_is_none_when_nothing_is_there():
    """
    `Lazy[T] | None` is None, and `Lazy[T | None]` gives None, where nothing provides T.
    """

    def make(there: Lazy[Database] | None, absent: Lazy[Cache] | None, late: Lazy[Cache | None]):
        return there, absent, late

    there, absent, late = await made_by(make, app_with())

    assert type(await there) is Database
    assert absent is None
    assert await late is None


async def test_lazy_breaks_a_circle():
    """
    Two that need each other can be built when one takes the other late.
    """

    class Hen:
        def __init__(self, egg: "Lazy[Egg]"):
            self.egg = egg

    class Egg:
        def __init__(self, hen: Hen):
            self.hen = hen

    Hen.__init__.__annotations__["egg"] = Lazy[Egg]
    App = app_with()
    App.register_dependency(Hen, Hen)
    App.register_dependency(Egg, Egg)
    container = Container(App)

    hen = await container.get(Hen)
    egg = await hen.egg

    assert egg.hen is hen


def test_without_lazy_a_circle_is_refused():
    """
    Two that need each other at once are told, with the way round.
    """
    App = app_with()
    App.register_dependency("hen", lambda egg: egg)
    App.register_dependency("egg", lambda hen: hen)

    with pytest.raises(GraphErrors) as caught:
        Container(App)

    (problem,) = caught.value.exceptions
    assert isinstance(problem, CircularDependencyError)
    assert "Lazy" in str(problem)


async def test_lazy_nowait_gives_what_needs_no_waiting():
    """
    A handle gives a sync or built value at once, and says so when it would have to be awaited.
    """
    App = app_with()

    @inject_dependency("later", on=App)
    async def make_later():
        await asyncio.sleep(0)
        return "later"

    handles = {}

    def hold(database: Lazy[Database], later: Lazy[Annotated[str, Inject("later")]]):
        handles.update(database=database, later=later)

    App.register_dependency("holder", hold)
    container = Container(App)
    await container.get("holder")

    with pytest.raises(AsyncDependencyError):
        handles["later"].nowait()
    await handles["later"]

    assert handles["database"].nowait() is await container.get(Database)
    assert handles["later"].nowait() == "later"


async def test_lazy_handles_can_be_run_as_tasks():
    """
    The run method of a handle is a coroutine function, for task groups.
    """
    App = app_with()
    handles = []
    App.register_dependency("holder", lambda: None)

    def hold(database: Lazy[Database]):
        handles.append(database)

    App.register_dependency("holder", hold)
    container = Container(App)
    await container.get("holder")

    async with asyncio.TaskGroup() as group:
        task = group.create_task(handles[0].run())
    (gathered,) = await asyncio.gather(handles[0])

    assert task.result() is gathered is await asyncio.wait_for(handles[0], 5)


async def test_a_factory_can_take_its_container():
    """
    A Container parameter is the container that builds it.
    """
    App = app_with()

    def make(container: Container):
        return container

    App.register_dependency("singleton", make)
    App.register_dependency("scoped", make, lifetime="scoped")
    async with Container(App) as container, container.scope() as scope:
        assert await container.get("singleton") is container
        assert await scope.get("scoped") is container


async def test_a_scoped_factory_can_take_its_scope():
    """
    A Scope parameter of a scoped or transient value is the scope that builds it.
    """
    App = app_with()

    def make(scope: Scope):
        return scope

    App.register_dependency("scoped", make, lifetime="scoped")
    App.register_dependency("transient", make, lifetime="transient")
    async with Container(App) as container, container.scope() as one, container.scope() as other:
        assert await one.get("scoped") is await one.get("transient") is one
        assert await other.get("scoped") is other


def test_a_singleton_gets_no_scope():
    """
    A singleton that takes a Scope would outlive it, and is refused.
    """
    App = app_with()

    def make(scope: Scope): ...

    App.register_dependency("singleton", make)

    with pytest.raises(GraphErrors) as caught:
        Container(App)

    (problem,) = caught.value.exceptions
    assert "Scope" in str(problem)
    assert '"singleton"' in str(problem)


async def test_lazy_of_a_scoped_value_is_its_scope_s():
    """
    A handle in a scoped value gives the value of the same scope.
    """
    App = app_with()
    App.register_dependency("thing", lambda: object(), lifetime="scoped")

    def hold(thing: Lazy[Annotated[object, Inject("thing")]]):
        return thing

    App.register_dependency("holder", hold, lifetime="scoped")
    async with Container(App) as container, container.scope() as one, container.scope() as other:
        handle, another = await one.get("holder"), await other.get("holder")

        assert await handle is await one.get("thing")
        assert await another is await other.get("thing")


def test_lazy_of_a_shorter_life_is_captive():
    """
    A singleton may not hold a handle of a scoped value.
    """
    App = app_with()
    App.register_dependency("thing", lambda: object(), lifetime="scoped")

    def hold(thing: Lazy[Annotated[object, Inject("thing")]]): ...

    App.register_dependency("holder", hold)

    with pytest.raises(GraphErrors) as caught:
        Container(App)

    assert [type(problem) for problem in caught.value.exceptions] == [CaptiveDependencyError]


# --- asked for at the door -----------------------------------------------------------------------


async def test_get_reads_a_token_as_a_parameter_would():
    """
    `T | None`, Annotated and Lazy mean for get what they mean for a parameter.
    """
    App = app_with(name="name")
    container = Container(App)
    database = await container.get(Database)

    lazy = await container.get(Lazy[Database])

    assert await container.get(Database | None) is database
    assert await container.get(Cache | None) is None
    assert await container.get(Annotated[str, Inject("name")]) == "name"
    assert await container.get(Annotated[Database, "a note"]) is database
    assert await lazy is database


async def test_a_descriptor_reads_a_token_as_a_parameter_would():
    """
    What an attribute asks for may be optional and annotated like a parameter.
    """

    class App(AsyncServiceBase):
        there = AsyncDependencyDescriptor(Database | None)
        absent = AsyncDependencyDescriptor(Cache | None)
        named = AsyncDependencyDescriptor(Annotated[dict, Inject("config")])

    App.register_dependency(Database, Database)
    App.register_value("config", {"debug": True})
    app = App()

    assert type(await app.there) is Database
    assert await app.absent is None
    assert await app.named == {"debug": True}


async def test_from_around_a_marker_keeps_its_token():
    """
    An empty marker outside of one with a token does not hide the token.
    """

    def make(value: From[Annotated[str, Inject("name")]]):
        return value

    assert await made_by(make, app_with(name="by name")) == "by name"


async def test_a_scope_error_is_not_taken_for_missing():
    """
    An optional parameter whose value belongs to a scope is not silently None.
    """
    App = app_with()
    App.register_dependency(Cache, Cache, lifetime="scoped")

    with pytest.raises(ScopeError):
        await Container(App).get(Cache | None)


# --- what stands between a container and the function ------------------------------------------------


def wrapping(call):
    """Return a function that wraps *call* as decorators do."""

    @functools.wraps(call)
    def wrapper(*args, **named):
        return call(*args, **named)

    return wrapper


def several(one: Annotated[str, Inject("one")], two: Annotated[str, Inject("two")], three: Annotated[str, Inject("three")]):
    return one, two, three


def signed(*given, **named):
    return (*given, *named.values())


signed.__signature__ = inspect.signature(several)


@pytest.mark.parametrize("function", [several, signed], ids=["written", "by its signature"])
async def test_what_a_partial_inside_of_a_wrapper_has_bound_is_not_asked_for(function):
    """
    A decorator around a partial, where only the wrapper is registered: what is bound by name stays, the rest is passed by name.
    """
    factory = wrapping(functools.partial(function, two="bound"))

    assert sorted(await made_by(factory, app_with(one="1", two="2", three="3"))) == ["1", "3", "bound"]


async def test_a_wrapper_around_a_class_takes_what_it_is_given():
    """
    A function that wraps a class says by its signature what it takes.
    """

    class Pair:
        def __init__(self, one: Annotated[str, Inject("one")]):
            self.one = one

    made = await made_by(wrapping(Pair), app_with(one="1"))

    assert type(made) is Pair
    assert made.one == "1"


async def test_a_decorated_constructor_with_parameters_of_its_own():
    """
    What a constructor wraps says what it takes, also where the wrapper names its parameters itself.
    """

    def named(init):
        @functools.wraps(init)
        def wrapper(self, database):
            init(self, database)

        return wrapper

    class Repo:
        @named
        def __init__(self, database: Database):
            self.database = database

    app = app_with()
    app.register_dependency(Repo, Repo)

    assert type((await Container(app).get(Repo)).database) is Database


async def test_a_signature_that_is_none_says_nothing():
    """
    Only a true signature counts: whatever else stands there is of no meaning.
    """

    def make(database: Database):
        return database

    make.__signature__ = "(nothing)"

    assert type(await made_by(make, app_with())) is Database


def test_an_undecorated_function_asks_its_default_for_something():
    """
    INJECTED is no value: whoever uses it finds out which decorator is missing; what only probes for a name does not.
    """
    with pytest.raises(DeclarationError, match=r"called undecorated and asks for \.query"):
        INJECTED.query("select 1")

    assert not hasattr(INJECTED, "_private")
