"""What is an attribute that one awaits?"""

import asyncio
import copy
import gc
import inspect
import pickle
import threading
import uuid
import weakref
from abc import ABC, ABCMeta
from typing import Annotated, Any, ClassVar, Final, Generic, List, NewType, TypeVar  # noqa: UP035  # as it may be written

import pytest
from helpers import named

from asyncmeta import (
    AsyncDependencyDescriptor,
    AsyncDependencyError,
    AsyncServiceBase,
    ClosedError,
    Container,
    DeclarationError,
    GraphError,
    GraphErrors,
    Inject,
    Lazy,
    MissingDependencyError,
    Scope,
    ScopeError,
    Token,
    inject_dependency,
)

T = TypeVar("T")


class Part: ...


class Holder(Generic[T]):
    def __init__(self, kind: type[T]) -> None:
        self.kind = kind


def saying(text):
    """Return a check that an error's whole text, that of a group included, holds *text*."""
    return lambda error: text in str(error)


class Database:
    """A plain class to be provided."""


Dsn = Token[str]("dsn")
UserId = NewType("UserId", int)


# --- which token ---------------------------------------------------------------------------------


@pytest.mark.parametrize("token", ["name", Database, Dsn, UserId, list[Database], Annotated[dict, Inject("config")]], ids=str)
async def test_an_explicit_token_is_looked_up(token):
    """
    The token given to the descriptor is what it asks for, of whatever kind it is.
    """

    class App(AsyncServiceBase):
        attribute = AsyncDependencyDescriptor(token)

    App.register_value(token, "found")

    assert await App().attribute == "found"


async def test_an_explicit_token_wins_over_everything():
    """
    The annotation, the subscript and the attribute's name do not matter beside a token.
    """

    class App(AsyncServiceBase):
        attribute: AsyncDependencyDescriptor[Database] = AsyncDependencyDescriptor[Database]("token")

    App.register_value("token", "by token")
    App.register_value("attribute", "by attribute")
    App.register_dependency(Database, Database)

    assert App.attribute.service_name == "token"
    assert await App().attribute == "by token"


async def test_the_annotation_s_argument_is_next():
    """
    Without a token the argument of the annotation is looked up, inside and outside of ClassVar.
    """

    class App(AsyncServiceBase):
        plain: AsyncDependencyDescriptor[Database] = AsyncDependencyDescriptor()
        variable: ClassVar[AsyncDependencyDescriptor[Database]] = AsyncDependencyDescriptor()
        quoted: "AsyncDependencyDescriptor[Database]" = AsyncDependencyDescriptor()
        optional: AsyncDependencyDescriptor[Database | None] = AsyncDependencyDescriptor()

    for name in ("plain", "variable", "quoted", "optional"):
        App.register_value(name, "by attribute")
    App.register_dependency(Database, Database)
    app = App()

    values = [await app.plain, await app.variable, await app.quoted, await app.optional]

    assert type(values[0]) is Database
    assert all(value is values[0] for value in values)


async def test_marks_around_an_annotation_count():
    """
    What ``Annotated`` and ``Final`` stand around is the attribute's type; a name there names the value, without a value, too.
    """

    class App(AsyncServiceBase):
        noted: Annotated[AsyncDependencyDescriptor[Part], {"unit": 1}] = AsyncDependencyDescriptor()
        main: Annotated[AsyncDependencyDescriptor[Part], "main"]
        quoted: "Annotated[AsyncDependencyDescriptor[Part], 'main']"
        final: Final[AsyncDependencyDescriptor[Part]]

    App.register_value(Part, "part")
    App.register_value(Annotated[Part, "main"], "the main part")

    async with Container(App) as container:
        app = await container.get(App)
        assert await app.noted == await app.final == "part"
        assert await app.main == await app.quoted == "the main part"


async def test_a_name_in_quotes_inside_of_a_token_is_read_where_the_class_is():
    """
    A descriptor's token is read as an annotation of its class is; elsewhere a name in quotes names nothing, and that is told.
    """

    class App(AsyncServiceBase, providers=[Holder]):
        holder = AsyncDependencyDescriptor(Holder["Part"])
        parts = AsyncDependencyDescriptor(List["Part"])  # noqa: UP006  # as it may be written

    App.register_value(list[Part], ["part"])

    async with Container(App) as container:
        app = await container.get(App)
        assert (await app.holder).kind is Part
        assert await app.parts == ["part"]
        with pytest.raises(MissingDependencyError, match="Part in quotes is read in annotations only"):
            await container.get(Holder["Part"])


async def test_the_subscript_comes_after_the_annotation():
    """
    Without token and annotation the subscript of the descriptor is looked up.
    """

    class App(AsyncServiceBase):
        database = AsyncDependencyDescriptor[Database]()

    App.register_value("database", "by attribute")
    App.register_dependency(Database, Database)

    assert type(await App().database) is Database


async def test_the_attribute_s_name_is_last():
    """
    With nothing else the name of the attribute is a string token.
    """

    class App(AsyncServiceBase):
        database = AsyncDependencyDescriptor()
        cache: AsyncDependencyDescriptor = AsyncDependencyDescriptor()

    App.register_value("database", "by attribute")
    App.register_value("cache", "by annotated attribute")
    app = App()

    assert [await app.database, await app.cache] == ["by attribute", "by annotated attribute"]
    assert App.database.service_name == "database"


@pytest.mark.parametrize("where", ["keyword", "union"])
async def test_an_optional_attribute_is_none_when_nothing_is_there(where):
    """
    `optional=True` and `T | None` give None where nothing provides the token, and the value where it is provided.
    """

    class App(AsyncServiceBase):
        database = (
            AsyncDependencyDescriptor(Database, optional=True) if where == "keyword" else AsyncDependencyDescriptor(Database | None)
        )
        name = AsyncDependencyDescriptor("name", optional=True)

    class Full(App):
        pass

    Full.register_dependency(Database, Database)
    Full.register_value("name", "name")

    assert [await App().database, await App().name] == [None, None]
    assert type(await Full().database) is Database
    assert await Full().name == "name"


# --- class access --------------------------------------------------------------------------------


async def test_class_access_and_resolve():
    """
    On the class the attribute is the descriptor; its resolve awaits for an instance.
    """

    class App(AsyncServiceBase):
        database = AsyncDependencyDescriptor(Database)

    App.register_dependency(Database, lambda: Database())
    app = App()

    assert App.database is vars(App)["database"]
    assert inspect.iscoroutinefunction(App.database.resolve)
    assert await App.database.resolve(app) is await app.database


async def test_a_subclass_inherits_and_may_replace():
    """
    A subclass has the attributes of its parent, and may ask for something else or hold something plain.
    """

    class Parent(AsyncServiceBase):
        one = AsyncDependencyDescriptor("one")
        two = AsyncDependencyDescriptor("two")
        three = AsyncDependencyDescriptor("one")

    class Child(Parent):
        two = AsyncDependencyDescriptor("other")
        three = "plain"

    for name in ("one", "two", "other"):
        Parent.register_value(name, name)
    child = Child()

    assert [await child.one, await child.two, child.three] == ["one", "other", "plain"]
    assert await Parent().two == "two"


async def test_a_replaced_attribute_is_not_checked():
    """
    A descriptor that a subclass replaced with something plain asks for nothing.
    """

    class Parent(AsyncServiceBase):
        one = AsyncDependencyDescriptor("nobody provides this")

    class Child(Parent):
        one = "plain"

    Container(Child)

    with pytest.raises(GraphErrors):
        Container(Parent)


async def test_super_reaches_the_parent_s_descriptor():
    """
    The parent's attribute of the same name is awaited through super.
    """

    class Parent(AsyncServiceBase):
        name = AsyncDependencyDescriptor("parent")

    class Child(Parent):
        name = AsyncDependencyDescriptor("child")

        async def both(self):
            return await super().name, await self.name, await super().name

    Child.register_value("parent", "of parent")
    Child.register_value("child", "of child")

    assert await Child().both() == ("of parent", "of child", "of parent")


async def test_one_descriptor_under_two_names():
    """
    One descriptor object with a token may stand under two names.
    """

    class App(AsyncServiceBase):
        one = other = AsyncDependencyDescriptor(Database)

    App.register_dependency(Database, lambda: Database(), lifetime="transient")
    app = App()

    assert type(await app.one) is type(await app.other) is Database


# --- cached in the instance ----------------------------------------------------------------------


@pytest.mark.parametrize("lifetime", ["singleton", "scoped", "transient"])
async def test_an_attribute_is_fetched_once_whatever_the_lifetime(lifetime):
    """
    An attribute is a constructor parameter that is fetched late: it stays what it was.
    """

    class Users(AsyncServiceBase, lifetime="scoped"):
        one = AsyncDependencyDescriptor("thing")
        other = AsyncDependencyDescriptor("thing")

    class App(AsyncServiceBase, providers=[Users]):
        pass

    App.register_dependency("thing", lambda: object(), lifetime=lifetime)
    async with Container(App) as container, container.scope() as scope:
        users = await scope.get(Users)
        one, other = await users.one, await users.other

        assert await users.one is one
        assert await users.other is other
        assert (one is other) is (lifetime != "transient")


async def test_the_cache_is_the_instance():
    """
    Nothing but the instance keeps what its attributes gave.
    """

    class Value:
        pass

    class Step(AsyncServiceBase, lifetime="transient"):
        thing = AsyncDependencyDescriptor("thing")

    class App(AsyncServiceBase):
        @inject_dependency("thing", lifetime="transient")
        @staticmethod
        def make():
            return Value()

    async with Container(App) as container:
        step = await container.get(Step)
        gone = [weakref.ref(step), weakref.ref(await step.thing)]
        del step
        gc.collect()

        assert [reference() for reference in gone] == [None, None]


@pytest.mark.parametrize(
    "body",
    [
        {"__hash__": None},
        {"__eq__": lambda self, other: True, "__hash__": lambda self: 1},
        {"__eq__": lambda self, other: 1 / 0},
        {"__bool__": lambda self: 1 / 0},
        {"__len__": lambda self: 0},
        {"__slots__": ()},
        {"__slots__": ("other",)},
    ],
    ids=["unhashable", "always equal", "hostile equality", "hostile truth", "empty", "no slots", "slots"],
)
async def test_instances_of_every_sort_have_attributes(body):
    """
    How instances hash, compare or are laid out does not matter.
    """
    App = type(AsyncServiceBase)("App", (AsyncServiceBase,), {"database": AsyncDependencyDescriptor(Database), **body})
    App.register_dependency(Database, lambda: Database())
    one, other = App(), App()

    mine, theirs = await one.database, await other.database

    assert await one.database is mine
    assert await other.database is theirs
    assert mine is not theirs


class Copied(AsyncServiceBase):
    """At module level, so that it can be pickled."""

    lock = AsyncDependencyDescriptor("lock")

    def __init__(self, name):
        self.name = name

    @inject_dependency("lock")
    @staticmethod
    async def make_lock():
        return threading.Lock()  # can be neither copied nor pickled


@pytest.mark.parametrize(
    "twin",
    [copy.copy, copy.deepcopy, lambda service: pickle.loads(pickle.dumps(service))],
    ids=["copy", "deepcopy", "pickle"],
)
async def test_a_copy_drops_what_is_cached(twin):
    """
    A copied or pickled service keeps its own state and fetches its attributes anew.
    """
    original = Copied("original")
    lock = await original.lock

    made = twin(original)

    assert (type(made), made.name) == (Copied, "original")
    assert await made.lock is not lock
    assert await made.lock is await made.lock
    assert await original.lock is lock


class CopiedByHand(Copied):
    """Says itself what its state is."""

    def __getstate__(self):
        return dict(vars(self))


@pytest.mark.parametrize("twin", [copy.copy, lambda service: pickle.loads(pickle.dumps(service))], ids=["copy", "pickle"])
async def test_a_copy_by_the_user_s_own_state_drops_what_is_cached(twin):
    """
    A service that hands out its whole dictionary as its state does not carry on what is cached, nor its container.
    """
    original = CopiedByHand("original")
    lock = await original.lock

    made = twin(original)

    assert made.name == "original"
    assert await made.lock is not lock


async def test_a_failed_attribute_is_tried_again():
    """
    An error is given to who awaits, and not kept.
    """
    answers = [None, OSError("down")]

    class App(AsyncServiceBase):
        database = AsyncDependencyDescriptor("database")

        @inject_dependency("database")
        @staticmethod
        async def connect():
            answer = answers.pop()
            if answer is not None:
                raise answer
            return "connection"

    app = App()

    with pytest.raises(OSError, match="down"):
        await app.database
    assert await app.database == "connection"


# --- what __get__ returns ------------------------------------------------------------------------


async def test_an_attribute_is_a_lazy():
    """
    The attribute of an instance is a Lazy before it is awaited.
    """

    class App(AsyncServiceBase):
        database = AsyncDependencyDescriptor(Database)

    App.register_dependency(Database, lambda: Database())
    app = App()

    handle = app.database

    assert isinstance(handle, Lazy)
    assert await handle is await handle is await app.database


async def test_looking_at_members_builds_and_warns_of_nothing():
    """
    Debuggers and inspect.getmembers may read every attribute.
    """
    built = []

    class App(AsyncServiceBase):
        database = AsyncDependencyDescriptor("database")

        @inject_dependency("database")
        @staticmethod
        async def connect():
            built.append("database")

    app = App()

    members = dict(inspect.getmembers(app))
    repr(members["database"])
    del members
    gc.collect()

    assert built == []


async def test_gather_wait_for_and_task_groups_take_attributes():
    """
    What an attribute is can be awaited by gather and wait_for, and run in a task group.
    """

    class App(AsyncServiceBase):
        one = AsyncDependencyDescriptor("one")
        two = AsyncDependencyDescriptor("two")

        @inject_dependency("one")
        @staticmethod
        async def make_one():
            await asyncio.sleep(0)
            return "one"

        @inject_dependency("two")
        @staticmethod
        def make_two():
            return "two"

    for _ in range(2):  # before and after it is cached, and with another instance
        app = App()
        for _ in range(2):
            async with asyncio.TaskGroup() as group:
                task = group.create_task(app.one.run())

            assert await asyncio.gather(app.one, app.two, app.one) == ["one", "two", "one"]
            assert await asyncio.wait_for(app.two, 5) == "two"
            assert task.result() == "one"


async def test_nowait_gives_what_needs_no_waiting():
    """
    An attribute that is built, or sync, can be had without awaiting; an async one says that it cannot.
    """

    class App(AsyncServiceBase):
        later = AsyncDependencyDescriptor("later")
        now = AsyncDependencyDescriptor("now")

        @inject_dependency("later")
        @staticmethod
        async def make_later():
            return "later"

        @inject_dependency("now")
        @staticmethod
        def make_now():
            return "now"

    app = App()

    with pytest.raises(AsyncDependencyError, match="later"):
        app.later.nowait()
    await app.later

    assert app.now.nowait() == "now"
    assert app.later.nowait() == "later"


async def test_a_handle_that_is_kept_follows_its_instance():
    """
    A handle taken before the value was built gives the same value as the attribute afterwards.
    """

    class App(AsyncServiceBase):
        thing = AsyncDependencyDescriptor("thing")

        @inject_dependency("thing", lifetime="transient")
        @staticmethod
        async def make():
            return object()

    app = App()
    early, late = app.thing, app.thing

    value = await late

    assert await early is value
    assert await app.thing is value


@pytest.mark.parametrize("lifetime", ["singleton", "transient"])
async def test_tasks_that_await_one_attribute_get_one_value(lifetime):
    """
    Tasks that await the same attribute at the same time get one value, also of a transient.
    """
    begun, go_on, built = asyncio.Event(), asyncio.Event(), []

    class App(AsyncServiceBase):
        thing = AsyncDependencyDescriptor("thing")

        @inject_dependency("thing", lifetime=lifetime)
        @staticmethod
        async def make():
            built.append(object())
            begun.set()
            await go_on.wait()
            return built[-1]

    app = App()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(app.thing.run()) for _ in range(5)]
        await asyncio.wait_for(begun.wait(), 5)
        go_on.set()

    assert len({id(task.result()) for task in tasks}) == 1
    assert await app.thing is tasks[0].result()


# --- in other classes ----------------------------------------------------------------------------


class Foreign:
    """A class of no particular metaclass."""

    thing = AsyncDependencyDescriptor("foreign thing")
    database: ClassVar[AsyncDependencyDescriptor[Database]] = AsyncDependencyDescriptor()


class ForeignAbstract(ABC):
    thing = AsyncDependencyDescriptor("foreign thing")
    database = AsyncDependencyDescriptor(Database)


class OtherMeta(ABCMeta):
    pass


class ForeignMeta(metaclass=OtherMeta):
    thing = AsyncDependencyDescriptor("foreign thing")
    database = AsyncDependencyDescriptor[Database]()


FOREIGN = [Foreign, ForeignAbstract, ForeignMeta]


@pytest.mark.parametrize("cls", FOREIGN)
async def test_a_foreign_class_resolves_in_the_scope_that_made_it(cls):
    """
    In a class that is no service the attributes resolve in the scope that made the instance.
    """

    class App(AsyncServiceBase):
        pass

    App.register_dependency(cls, cls, lifetime="scoped")
    App.register_dependency("foreign thing", lambda: object(), lifetime="scoped")
    App.register_dependency(Database, Database)
    async with Container(App) as container, container.scope() as scope, container.scope() as other:
        instance, another = await scope.get(cls), await other.get(cls)

        assert await instance.thing is await instance.thing is await scope.get("foreign thing")
        assert await another.thing is await other.get("foreign thing")
        assert await instance.database is await another.database is await container.get(Database)


@pytest.mark.parametrize("cls", FOREIGN)
async def test_a_foreign_class_resolves_in_the_scope_that_adopted_it(cls):
    """
    An instance made by hand resolves in the scope that adopts it.
    """

    class App(AsyncServiceBase):
        pass

    App.register_dependency("foreign thing", lambda: object(), lifetime="scoped")
    App.register_dependency(Database, Database)
    async with Container(App) as container, container.scope() as scope:
        instance = scope.adopt(cls())

        assert await instance.thing is await scope.get("foreign thing")
        assert await instance.database is await container.get(Database)


@pytest.mark.parametrize("cls", FOREIGN)
async def test_a_foreign_class_without_a_scope_says_so(cls):
    """
    An instance made by hand that nobody adopted has nowhere to look.
    """
    with pytest.raises(ScopeError, match="adopt"):
        await cls().thing


def test_a_foreign_class_is_checked():
    """
    What the attributes of a registered foreign class ask for is checked when the container is made.
    """

    class App(AsyncServiceBase):
        pass

    App.register_dependency(Foreign, Foreign)
    App.register_dependency(Database, Database)

    with pytest.raises(GraphErrors) as caught:
        Container(App)

    (problem,) = caught.value.exceptions
    assert isinstance(problem, MissingDependencyError)
    assert problem.key == '"foreign thing"'


def test_a_foreign_class_gives_the_descriptor():
    """
    Class access gives the descriptor in any class.
    """
    assert Foreign.thing is vars(Foreign)["thing"]
    assert Foreign.thing.service_name == "foreign thing"


# --- mistakes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("token", [3, 2.5, [], {}, object(), lambda: None, Inject("x")], ids=named)
def test_a_token_of_the_wrong_kind_is_refused(token):
    """
    A descriptor takes types, strings, Tokens and Annotated with Inject; the error is ours, not Python's.
    """
    with pytest.raises((DeclarationError, GraphError)):

        class App(AsyncServiceBase):
            attribute = AsyncDependencyDescriptor(token)

        Container(App)


def test_errors_about_a_descriptor_are_ours_on_every_python():
    """
    No mistake in a descriptor comes out as the RuntimeError that `__set_name__` makes of it.
    """
    with pytest.raises((DeclarationError, GraphError)) as caught:

        class App(AsyncServiceBase):
            attribute: "AsyncDependencyDescriptor[NotThere]" = AsyncDependencyDescriptor()  # noqa: F821

        Container(App)

    assert "NotThere" in str(caught.value)
    assert "attribute" in str(caught.value)


def test_a_subscripted_attribute_names_its_place():
    """
    An attribute that has its type as a subscript is told with the line of the user's that wrote it, and none of Python's own.
    """

    class App(AsyncServiceBase):
        database = AsyncDependencyDescriptor[Database]()

    with pytest.raises(GraphErrors, match=r"needed by App\.database \(tests.declare.test_descriptor\.py:\d+\)"):
        Container(App)


def test_a_missing_attribute_names_its_place():
    """
    A descriptor whose token nothing provides is named by class and attribute.
    """

    class Billing(AsyncServiceBase):
        db = AsyncDependencyDescriptor("nobody provides this")

    with pytest.raises(GraphErrors, check=saying("Billing.db")) as caught:
        Container(Billing)

    (problem,) = caught.value.exceptions
    assert problem.path[-1] == problem.key == '"nobody provides this"'
    assert "Billing.db" in problem.path
    assert "test_descriptor.py:" in problem.where


async def test_resolve_of_another_class_s_instance():
    """
    A descriptor resolved for an instance that has no scope says so.
    """

    class App(AsyncServiceBase):
        thing = AsyncDependencyDescriptor("thing")

    App.register_value("thing", "thing")

    with pytest.raises(ScopeError):
        await App.thing.resolve(object())


async def test_the_scope_of_an_attribute_is_its_instance_s():
    """
    A singleton's attribute is the container's value, even when it is awaited inside a scope.
    """

    class Users(AsyncServiceBase):
        thing = AsyncDependencyDescriptor("thing")

    class App(AsyncServiceBase, providers=[Users]):
        pass

    App.register_dependency("thing", lambda: object())
    async with Container(App) as container, container.scope() as scope:
        users = await scope.get(Users)

        assert await users.thing is await container.get("thing")
        assert Scope.of(users) is container


async def test_a_closed_container_s_attributes_are_closed():
    """
    After its container closed, an instance's attribute hands out nothing, cached or not.
    """

    class Users(AsyncServiceBase):
        cached = AsyncDependencyDescriptor("thing")
        fresh = AsyncDependencyDescriptor("thing")

    class App(AsyncServiceBase, providers=[Users]):
        pass

    App.register_dependency("thing", lambda: object())
    async with Container(App) as container:
        users = await container.get(Users)
        await users.cached

    with pytest.raises(ClosedError):
        await users.fresh
    with pytest.raises(ClosedError):
        await users.cached


async def test_a_shared_registration_serves_a_descriptor():
    """
    A descriptor finds what is registered in the shared layer.
    """
    name: Any = f"descriptor {uuid.uuid4()}"

    class App(AsyncServiceBase):
        thing = AsyncDependencyDescriptor(name)

    AsyncServiceBase.register_value(name, "shared")

    assert await App().thing == "shared"


class Board(AsyncServiceBase):
    part: AsyncDependencyDescriptor[Part]


@pytest.mark.parametrize("lifetime", ["singleton", "transient"])
async def test_an_attribute_that_was_looked_at_twice_has_one_value(lifetime):
    """
    What two accesses have given before anything was fetched gives one value, without awaiting, too.
    """
    Board.register_dependency(Part, Part, lifetime=lifetime)

    async with Container(Board) as container:
        board = await container.get(Board)
        first, second = board.part, board.part
        parts = [first.nowait(), second.nowait(), await second, await board.part]

    assert all(part is parts[0] for part in parts)


async def test_of_two_threads_that_fetch_one_attribute_one_makes_it():
    """
    The handle that comes second, while the first one is on its way, waits for that one's value.
    """
    Board.register_dependency(Part, Part, lifetime="transient")

    async with Container(Board) as container:
        board = await container.get(Board)
        first, second = board.part, board.part

        assert first._first() is None
        assert second._first() is first
        assert await second is await first


async def test_what_is_given_while_an_attribute_is_fetched_in_vain_stays():
    """
    A fetching that fails takes away what it left on the instance, and nothing that was put there since.
    """
    gate = asyncio.Event()

    async def fails():
        await gate.wait()
        raise OSError("no part")

    Board.register_dependency(Part, fails, lifetime="transient")
    async with Container(Board) as container:
        board = await container.get(Board)
        fetching = asyncio.ensure_future(board.part)
        await asyncio.sleep(0)
        board.part = given = Part()
        gate.set()

        with pytest.raises(OSError, match="no part"):
            await fetching
        assert await board.part is given


async def test_what_was_given_to_the_application_stays_when_it_begins_anew():
    """
    A container that is entered again forgets what it fetched for the instance, and nothing that the user put there.
    """
    Board.register_dependency(Part, Part)
    board = Board()
    container = Container(board)
    async with container:
        board.part = given = Part()
    async with container:
        assert await board.part is given
