"""Classes that are no services: plain ones, and those that other libraries make, tested against the real libraries."""

import copy
import dataclasses
import functools
import linecache
import sys
import types
from typing import Annotated, Any, ClassVar, NamedTuple

import pytest
from helpers import fresh_app, outcome, problems

from asyncmeta import (
    AsyncDependencyDescriptor,
    AsyncServiceBase,
    ClosedError,
    Container,
    DeclarationError,
    GraphErrors,
    Inject,
    MissingDependencyError,
    Scope,
    ScopeError,
)


class Database:
    pass


def application(**registrations):
    """Return an application with a database."""
    App = fresh_app()
    App.register_dependency(Database, Database)
    return App


async def works(cls, *args, **kwargs):
    """See to it that instances of *cls*, built by a scope or adopted by one, have the database as `db`; return one."""
    App = application()
    App.register_dependency(cls, cls, lifetime="scoped")

    async with Container(App) as container:
        database = await container.get(Database)
        for _ in range(3):  # call by call, then by generated code
            async with container.scope() as scope:
                built, adopted = await scope.get(cls), scope.adopt(cls(*args, **kwargs))
                for instance in (built, adopted):
                    assert await instance.db is database
                    assert await instance.db is database  # what is kept
                    assert instance.db.nowait() is database
                    assert Scope.of(instance) is scope
        assert isinstance(cls.__dict__["db"], AsyncDependencyDescriptor)
        late = await outcome(cls(*args, **kwargs).db)

    assert isinstance(late, ScopeError)
    assert "scope.adopt(instance)" in str(late)
    return adopted


def refused(cls):
    """Return the text of the one problem that an application with *cls* has."""
    App = application()
    App.register_dependency(cls, cls)
    with pytest.raises(GraphErrors) as caught:
        Container(App)
    (problem,) = problems(caught.value)
    return str(problem)


async def taken(cls):
    """Return an instance of *cls*, whose constructor takes a Database as `db`, built by a container."""
    App = application()
    App.register_dependency(cls, cls)

    async with Container(App) as container:
        instance = await container.get(cls)
        assert instance.db is await container.get(Database)
        return instance


# --- plain classes ---------------------------------------------------------------------------------------


async def test_a_plain_class():
    """
    A descriptor in a plain class is fetched in the scope that built or adopted the instance.
    """

    class Plain:
        db = AsyncDependencyDescriptor(Database)

    await works(Plain)


async def test_a_hostile_class():
    """
    A class whose own __getattr__, __setattr__, __eq__ and __hash__ raise works: none of them is asked.
    """

    class Hostile:
        db = AsyncDependencyDescriptor(Database)

        def _refuse(self, *args):
            raise AssertionError

        __getattr__ = __setattr__ = __eq__ = _refuse
        __hash__ = None

    await works(Hostile)


async def test_a_class_with_things_whose_class_has_no_hash():
    """
    What a class keeps beside its dependencies, and what a parameter with a default is annotated with, may be anything.
    """

    class Meta(type):
        def __eq__(cls, other):
            return True

    class Thing(metaclass=Meta):
        pass

    class Plain:
        thing = Thing()
        db = AsyncDependencyDescriptor(Database)

        def __init__(self, other: Thing() = 1):
            pass

    await works(Plain)


async def test_an_inherited_descriptor():
    """
    A subclass has the dependencies of its bases, also where it has another metaclass; hiding one takes it away.
    """

    class Meta(type):
        pass

    class Base:
        db = AsyncDependencyDescriptor(Database)
        other = AsyncDependencyDescriptor("nobody provides this")

    class Derived(Base, metaclass=Meta):
        db = AsyncDependencyDescriptor(Database)
        other = None

    await works(Derived)


def test_what_an_attribute_lacks_is_found():
    """
    The check follows the attributes of foreign classes.
    """

    class Plain:
        db = AsyncDependencyDescriptor("nobody provides this")

    assert '"nobody provides this", needed by Plain.db' in refused(Plain)


async def test_an_instance_made_by_hand():
    """
    An instance that no scope has made or adopted says how to bind it, and works as soon as it is bound.
    """

    class Plain:
        db = AsyncDependencyDescriptor(Database)

    plain = Plain()
    with pytest.raises(ScopeError, match=r"no service class.*scope\.adopt"):
        await plain.db
    with pytest.raises(ScopeError):
        plain.db.nowait()

    async with Container(application()) as container:
        container.adopt(plain)
        assert await plain.db is await container.get(Database)
    with pytest.raises(ClosedError):
        await plain.db


@pytest.mark.parametrize("kind", ["class", "dataclass", "named tuple"])
def test_slots_without_a_dictionary(kind):
    """
    Instances that can keep nothing are a problem of the check that says what to do.
    """
    if kind == "class":

        class Slotted:
            __slots__ = ("x",)
            db = AsyncDependencyDescriptor(Database)

    elif kind == "dataclass":

        @dataclasses.dataclass(slots=True)
        class Slotted:
            x: int = 1
            db: ClassVar[AsyncDependencyDescriptor[Database]] = AsyncDependencyDescriptor()

    else:

        class Slotted(NamedTuple):
            x: int = 1
            db = AsyncDependencyDescriptor(Database)

    text = refused(Slotted)

    assert "cannot keep anything (__slots__ without __dict__)" in text
    assert "test_foreign_classes.py:" in text


async def test_slots_are_refused_when_adopted():
    """
    Adopting an instance that can keep nothing says the same.
    """

    class Slotted:
        __slots__ = ()
        db = AsyncDependencyDescriptor(Database)

    async with Container(application()) as container:
        with pytest.raises(DeclarationError, match="cannot keep anything"):
            container.adopt(Slotted())


# --- dataclasses -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"frozen": True}, {"eq": False}, {"order": True, "kw_only": True}], ids=str)
async def test_a_dataclass(options):
    """
    A dataclass with a dependency, as ClassVar or without annotation, is built, compared and shown by its fields only.
    """

    @dataclasses.dataclass(**options)
    class Data:
        x: int = 1
        db: ClassVar[AsyncDependencyDescriptor[Database]] = AsyncDependencyDescriptor()
        bare = AsyncDependencyDescriptor(Database)

    data = await works(Data)

    assert [field.name for field in dataclasses.fields(Data)] == ["x"]
    assert repr(data).endswith("Data(x=1)")
    assert dataclasses.asdict(data) == {"x": 1}
    assert (data == Data()) is options.get("eq", True)


async def test_a_slotted_dataclass_with_a_place():
    """
    A slotted dataclass that declares the place for its scope works; every await fetches anew what the scope shares.
    """

    @dataclasses.dataclass(slots=True)
    class Data:
        x: int = 1
        db: ClassVar[AsyncDependencyDescriptor[Database]] = AsyncDependencyDescriptor()
        _asyncmeta_scope: Any = dataclasses.field(init=False, repr=False, compare=False)

    await works(Data)


async def test_a_slotted_dataclass_that_is_a_service():
    """
    A slotted dataclass that is a service keeps its registrations and its attributes.
    """

    @dataclasses.dataclass(slots=True)
    class Data(AsyncServiceBase, lifetime="scoped"):
        x: int = 1
        db = AsyncDependencyDescriptor(Database)

    assert (await works(Data)).x == 1


def test_a_field_of_a_dataclass_is_refused():
    """
    A descriptor that @dataclass makes a field of is a problem that says what to write.
    """

    @dataclasses.dataclass
    class Data:
        db: AsyncDependencyDescriptor[Database] = AsyncDependencyDescriptor()  # noqa: RUF009  # that is its subject

    assert "write ClassVar: db: ClassVar[AsyncDependencyDescriptor[...]]" in refused(Data)


async def test_a_dataclass_takes_its_dependencies():
    """
    The fields of a dataclass, slotted, frozen, keyword-only or inherited, are filled like constructor parameters.
    """

    @dataclasses.dataclass(slots=True, frozen=True, kw_only=True)
    class Base:
        db: Database
        names: list[str] = dataclasses.field(default_factory=lambda: ["fresh"])

    @dataclasses.dataclass(slots=True, frozen=True)
    class Data(Base):
        other: "Annotated[Database, Inject(Database)]"
        number: int = 3

    data = await taken(Data)

    assert (data.names, data.number) == (["fresh"], 3)
    assert data.other is data.db


# --- pydantic ---------------------------------------------------------------------------------------------


@pytest.fixture
def pydantic():
    return pytest.importorskip("pydantic", reason="pydantic is not installed")


@pytest.mark.parametrize("options", [{}, {"frozen": True, "extra": "forbid"}, {"validate_assignment": True}], ids=str)
async def test_a_pydantic_model(pydantic, options):
    """
    A model with a dependency as ClassVar is built and adopted; the dependency is no part of its data.
    """

    class Model(pydantic.BaseModel):
        model_config = options
        x: int = 1
        db: ClassVar[AsyncDependencyDescriptor[Database]] = AsyncDependencyDescriptor()

    model = await works(Model, x=2)

    assert list(Model.model_fields) == ["x"]
    assert model.model_dump() == {"x": 2}
    assert model.model_dump_json() == '{"x":2}'
    assert repr(model) == "Model(x=2)"
    assert model == Model(x=2) != Model(x=3)
    assert Model.model_validate({"x": 5}).x == 5


async def test_a_pydantic_model_that_ignores_the_type(pydantic):
    """
    ignored_types=(AsyncDependencyDescriptor,) in the model's configuration allows a dependency without annotation.
    """

    class Model(pydantic.BaseModel):
        model_config = {"ignored_types": (AsyncDependencyDescriptor,)}
        x: int = 1
        db = AsyncDependencyDescriptor(Database)

    await works(Model)

    assert list(Model.model_fields) == ["x"]


@pytest.mark.parametrize("options", [{}, {"arbitrary_types_allowed": True}], ids=str)
def test_a_dependency_as_a_field_of_a_pydantic_model(pydantic, options):
    """
    A dependency annotated as a field is refused at the class statement, with what to write; pydantic itself refuses a bare one.
    """
    with pytest.raises(DeclarationError, match=r"write ClassVar: ClassVar\[AsyncDependencyDescriptor"):

        class Annotated(pydantic.BaseModel):
            model_config = options
            db: AsyncDependencyDescriptor[Database] = AsyncDependencyDescriptor()

    with pytest.raises(pydantic.PydanticUserError, match="ClassVar"):

        class Bare(pydantic.BaseModel):
            model_config = options
            db = AsyncDependencyDescriptor(Database)


async def test_a_pydantic_model_takes_no_dependencies(pydantic):
    """
    Fields of a model are data, not dependencies: a factory fills them, and the check names those that nothing would fill.
    """

    class Settings(pydantic.BaseModel):
        name: str = "from the environment"

    class Model(pydantic.BaseModel, arbitrary_types_allowed=True):
        db: Database
        settings: Settings

    def make_model(db: Database, settings: Settings) -> Model:
        return Model(db=db, settings=settings)

    App = application()
    App.register_dependency(str, lambda: "not this")
    App.register_dependency(Settings, Settings)
    App.register_dependency(Model, make_model)

    class Bare(App):
        pass

    Bare.register_dependency("bare", Model)
    Bare.register_dependency("half", functools.partial(Model, settings=Settings()))

    async with Container(App) as container:
        model, database = await container.get(Model), await container.get(Database)
    with pytest.raises(GraphErrors) as caught:
        Container(Bare)

    assert (model.db, model.settings.name) == (database, "from the environment")
    said = [str(problem) for problem in problems(caught.value)]
    assert [text.partition(" takes ")[2].partition(" by ")[0] for text in said] == ["db, settings", "db"]


async def test_copies_of_a_pydantic_model(pydantic):
    """
    A copy of an adopted model belongs to the same scope; a deep copy, which would copy the scope, is refused.
    """

    class Model(pydantic.BaseModel):
        x: int = 1
        db: ClassVar[AsyncDependencyDescriptor[Database]] = AsyncDependencyDescriptor()

    async with Container(application()) as container:
        model = container.adopt(Model())
        twin = model.model_copy(update={"x": 2})
        assert await twin.db is await model.db
        assert Scope.of(twin) is container
        with pytest.raises(TypeError, match="cannot be copied or pickled"):
            copy.deepcopy(model)

    assert copy.deepcopy(Model()) == Model()


# --- SQLAlchemy --------------------------------------------------------------------------------------------


@pytest.fixture
def orm():
    pytest.importorskip("sqlalchemy", reason="SQLAlchemy is not installed")
    from sqlalchemy import orm

    return orm


@pytest.mark.parametrize("way", ["bare", "ClassVar", "annotated"])
async def test_a_declarative_class(orm, way):
    """
    A declarative class may have dependencies, without annotation, as ClassVar or annotated; they are no columns.
    """

    class Base(orm.DeclarativeBase):
        pass

    class Account(Base):
        __tablename__ = "account"
        id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
        if way == "bare":
            db = AsyncDependencyDescriptor(Database)
        elif way == "ClassVar":
            db: ClassVar[AsyncDependencyDescriptor[Database]] = AsyncDependencyDescriptor()
        else:
            db: AsyncDependencyDescriptor[Database] = AsyncDependencyDescriptor()

    await works(Account, id=1)

    assert Account.__table__.columns.keys() == ["id"]


async def test_a_declarative_dataclass(orm):
    """
    A class of MappedAsDataclass may have dependencies as ClassVar.
    """

    class Base(orm.MappedAsDataclass, orm.DeclarativeBase):
        pass

    class Account(Base):
        __tablename__ = "account"
        id: orm.Mapped[int] = orm.mapped_column(primary_key=True, default=None)
        db: ClassVar[AsyncDependencyDescriptor[Database]] = AsyncDependencyDescriptor()

    account = await works(Account)

    assert Account.__table__.columns.keys() == ["id"]
    assert repr(account).endswith("Account(id=None)")


async def test_a_loaded_row_is_adopted(orm):
    """
    An instance that a session loads belongs to no scope until it is adopted; refreshing and expiring it change nothing.
    """
    import sqlalchemy

    class Base(orm.DeclarativeBase):
        pass

    class Account(Base):
        __tablename__ = "account"
        id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
        name: orm.Mapped[str]
        db = AsyncDependencyDescriptor(Database)

    engine = sqlalchemy.create_engine("sqlite://", poolclass=sqlalchemy.StaticPool)
    Base.metadata.create_all(engine)
    async with Container(application()) as container:
        with orm.Session(engine) as session:
            session.add(Account(id=1, name="ada"))
            session.commit()
        with orm.Session(engine) as session:
            account = session.get(Account, 1)
            unbound = await outcome(account.db)
            container.adopt(account)
            database = await account.db
            account.name = "grace"
            session.commit()  # which expires what was loaded
            assert await account.db is database
            session.refresh(account)
            assert (account.name, await account.db) == ("grace", database)
            assert session.scalars(sqlalchemy.select(Account)).all() == [account]
    engine.dispose()

    assert isinstance(unbound, ScopeError)


# --- attrs ----------------------------------------------------------------------------------------------------


@pytest.fixture
def attrs():
    return pytest.importorskip("attrs", reason="attrs is not installed")


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("way", ["bare", "ClassVar"])
async def test_an_attrs_class(attrs, way, frozen):
    """
    An attrs class without slots, frozen or not, may have dependencies; they are no fields.
    """
    if way == "bare":

        class Data:
            x: int = 1
            db = AsyncDependencyDescriptor(Database)

    else:

        class Data:
            x: int = 1
            db: ClassVar[AsyncDependencyDescriptor[Database]] = AsyncDependencyDescriptor()

    Data = attrs.define(Data, slots=False, frozen=frozen)
    data = await works(Data, x=2)

    assert [field.name for field in attrs.fields(Data)] == ["x"]
    assert attrs.asdict(data) == {"x": 2}
    assert data == Data(x=2)


def test_a_slotted_attrs_class(attrs):
    """
    A slotted attrs class can keep nothing: the check says so.
    """

    @attrs.define
    class Data:
        x: int = 1
        db: ClassVar[AsyncDependencyDescriptor[Database]] = AsyncDependencyDescriptor()

    assert "cannot keep anything (__slots__ without __dict__)" in refused(Data)


async def test_a_slotted_attrs_class_that_is_a_service(attrs):
    """
    A slotted attrs class that is a service keeps its registrations and its attributes.
    """

    @attrs.define
    class Data(AsyncServiceBase, lifetime="scoped"):
        x: int = 1
        db = AsyncDependencyDescriptor(Database)

    assert (await works(Data)).x == 1


def test_a_dependency_as_a_field_of_an_attrs_class(attrs):
    """
    A descriptor that attrs makes a field of is a problem that says what to write.
    """

    @attrs.define
    class Data:
        db: AsyncDependencyDescriptor[Database] = AsyncDependencyDescriptor()

    assert "write ClassVar: db: ClassVar[AsyncDependencyDescriptor[...]]" in refused(Data)


async def test_an_attrs_class_takes_its_dependencies(attrs):
    """
    The fields of an attrs class, slotted, keyword-only, inherited, private or with a converter, are filled.
    """

    @attrs.define
    class Base:
        db: Database
        _private: Annotated[Database, Inject(Database)]

    @attrs.frozen
    class Data(Base):
        other: "Database" = attrs.field(kw_only=True)
        names: list[str] = attrs.field(factory=lambda: ["fresh"])
        number: int = attrs.field(default="3", converter=int)

    data = await taken(Data)

    assert (data.names, data.number) == (["fresh"], 3)
    assert data._private is data.other is data.db


# --- msgspec -----------------------------------------------------------------------------------------------


@pytest.fixture
def msgspec():
    return pytest.importorskip("msgspec", reason="msgspec is not installed")


@pytest.mark.parametrize("options", [{}, {"frozen": True}, {"order": True, "kw_only": True}, {"weakref": True}], ids=str)
async def test_a_struct_with_a_dictionary(msgspec, options):
    """
    A struct with dict=True may have dependencies, as ClassVar or without annotation; they are no part of its data.
    """

    class Data(msgspec.Struct, dict=True, **options):
        x: int = 1
        db: ClassVar[AsyncDependencyDescriptor[Database]] = AsyncDependencyDescriptor()
        bare = AsyncDependencyDescriptor(Database)

    data = await works(Data, x=2)

    assert Data.__struct_fields__ == ("x",)
    assert msgspec.json.encode(data) == b'{"x":2}'
    assert data == Data(x=2)


def test_a_struct_without_one(msgspec):
    """
    A struct without dict=True can keep nothing: the check says so, and what to write.
    """

    class Data(msgspec.Struct):
        x: int = 1
        db: ClassVar[AsyncDependencyDescriptor[Database]] = AsyncDependencyDescriptor()

    text = refused(Data)

    assert "cannot keep anything" in text
    assert "dict=True" in text


def test_a_dependency_as_a_field_of_a_struct(msgspec):
    """
    A descriptor that msgspec makes a field of is a problem that says what to write.
    """

    class Data(msgspec.Struct, dict=True):
        db: AsyncDependencyDescriptor[Database] = AsyncDependencyDescriptor()

    assert "write ClassVar: db: ClassVar[AsyncDependencyDescriptor[...]]" in refused(Data)


async def test_a_struct_takes_its_dependencies(msgspec):
    """
    The fields of a struct are filled; those that nothing provides take their defaults, also where a factory makes them.
    """

    class Base(msgspec.Struct):
        db: Database

    class Data(Base, frozen=True, kw_only=True):
        other: "Annotated[Database, Inject(Database)]"
        names: list[str] = msgspec.field(default_factory=lambda: ["fresh"])
        empty: list[int] = []
        number: int = 3
        second: Database | None = None

    data = await taken(Data)

    assert (data.names, data.empty, data.number) == (["fresh"], [], 3)
    assert data.other is data.second is data.db


def test_what_a_struct_lacks_is_found(msgspec):
    """
    A field that nothing provides and that has no default is a problem of the check.
    """

    class Data(msgspec.Struct):
        absent: MissingDependencyError

    assert "needed by Data.absent" in refused(Data)


def test_a_struct_that_cannot_say_what_it_takes(msgspec, monkeypatch):
    """
    A struct with fields that only checkers can read has no signature: its fields are read as those of other classes are.
    """
    engines, structs = types.ModuleType("engines"), types.ModuleType("structs")
    for module in (engines, structs):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    engines.Engine = Database
    text = """from __future__ import annotations
from typing import TYPE_CHECKING, TypedDict
import msgspec
if TYPE_CHECKING:
    from engines import Engine
    from nowhere import Ghost
class Base(msgspec.Struct, kw_only=True):
    engine: Engine
    names: list[str] = msgspec.field(default_factory=lambda: ["fresh"])
    number: int = 3
class Data(Base):
    own: Engine
class Haunted(msgspec.Struct):
    ghost: Ghost
class Keyed(TypedDict):
    ghost: Ghost
"""
    structs.__file__ = "structs.py"
    monkeypatch.setitem(linecache.cache, "structs.py", (len(text), None, text.splitlines(keepends=True), "structs.py"))
    exec(compile(text, "structs.py", "exec", dont_inherit=True), vars(structs))
    App = fresh_app(providers=[Database, structs.Data])

    data = Container(App).get_nowait(structs.Data)

    assert (type(data.engine), data.own, data.names, data.number) == (Database, data.engine, ["fresh"], 3)
    with pytest.raises(GraphErrors, match=r"Haunted\.ghost cannot be read.*imported under TYPE_CHECKING only"):
        Container(fresh_app(providers=[structs.Haunted]))
    with pytest.raises(GraphErrors, match=r"Keyed\.ghost cannot be read: NameError"):
        Container(fresh_app(providers=[structs.Keyed]))
