"""What a service class is: its keywords, its bases, its constructor, its startup and shutdown, its instances."""

import abc
import asyncio
import copy
import gc
import typing
import uuid
import warnings
import weakref
from dataclasses import InitVar, dataclass
from typing import Generic, TypeVar

import pytest
import typing_extensions as te

from asyncmeta import (
    AsyncDependencyDescriptor,
    AsyncMeta,
    AsyncServiceBase,
    CaptiveDependencyError,
    Container,
    ContainerError,
    DeclarationError,
    FinalizationErrors,
    GraphError,
    GraphErrors,
    MissingDependencyError,
    Scope,
    ScopeError,
    inject_dependency,
)


def saying(text):
    """Return a check that an error's whole text, that of a group included, holds *text*."""
    return lambda error: text in str(error)


class Database:
    """A plain class to be provided."""


# --- a service needs no registration -------------------------------------------------------------


async def test_a_service_class_is_built_under_its_own_type():
    """
    Asked for under its type, a service is built by its constructor, once per container.
    """

    class Users(AsyncServiceBase):
        def __init__(self, database: Database):
            self.database = database

    class App(AsyncServiceBase):
        pass

    App.register_dependency(Database, Database)
    container = Container(App)

    users = await container.get(Users)

    assert type(users) is Users
    assert users.database is await container.get(Database)
    assert users is await container.get(Users)


async def test_a_service_class_lives_as_its_keyword_says():
    """
    A scoped service is made once per scope, a transient one each time.
    """

    class Scoped(AsyncServiceBase, lifetime="scoped"):
        pass

    class Transient(AsyncServiceBase, lifetime="transient"):
        pass

    class App(AsyncServiceBase):
        pass

    async with Container(App) as container, container.scope() as one, container.scope() as other:
        assert await one.get(Scoped) is await one.get(Scoped)
        assert await one.get(Scoped) is not await other.get(Scoped)
        assert await one.get(Transient) is not await one.get(Transient)
        with pytest.raises(ScopeError):
            await container.get(Scoped)


async def test_any_registration_of_the_class_wins():
    """
    A service class stands below every layer: what is registered for it is taken instead.
    """

    class Users(AsyncServiceBase):
        pass

    class FakeUsers(Users):
        pass

    class OtherUsers(Users):
        pass

    class Shared(AsyncServiceBase):
        pass

    class App(AsyncServiceBase):
        pass

    inject_dependency(Users, on=App)(FakeUsers)
    inject_dependency(Shared)(type("FakeShared", (Shared,), {}))
    container = Container(App)

    assert type(await container.get(Users)) is FakeUsers
    assert type(await container.get(Shared)).__name__ == "FakeShared"


async def test_a_registered_service_class_lives_as_it_says_itself():
    """
    A registration of a service class gives the lifetime of the registration.
    """

    class Users(AsyncServiceBase):
        pass

    class App(AsyncServiceBase):
        pass

    inject_dependency(Users, on=App, lifetime="scoped")(Users)

    async with Container(App) as container, container.scope() as one, container.scope() as other:
        assert await one.get(Users) is not await other.get(Users)


def test_a_plain_class_is_never_guessed():
    """
    A class that is no service and is not registered is missing.
    """

    class App(AsyncServiceBase):
        database = AsyncDependencyDescriptor(Database)

    with pytest.raises(GraphErrors) as caught:
        Container(App)

    (problem,) = caught.value.exceptions
    assert isinstance(problem, MissingDependencyError)
    assert problem.key == "Database"


async def test_a_base_class_is_no_token_for_its_subclasses():
    """
    Who asks for a base class is not given a subclass; the error names those that are registered.
    """

    class Mailer:
        pass

    class SmtpMailer(Mailer):
        pass

    class App(AsyncServiceBase):
        pass

    App.register_dependency(SmtpMailer, SmtpMailer)

    with pytest.raises(MissingDependencyError, match="SmtpMailer") as caught:
        await Container(App).get(Mailer)

    assert caught.value.key == "Mailer"


async def test_a_protocol_is_no_token_for_its_implementations():
    """
    Who asks for a Protocol is not given a class that derives from it; the error names those that are registered.
    """

    class Clock(typing.Protocol):
        def now(self) -> float: ...

    class SystemClock(Clock):
        def now(self):
            return 1.0

    class App(AsyncServiceBase):
        pass

    App.register_dependency(SystemClock, SystemClock)

    with pytest.raises(MissingDependencyError, match="SystemClock"):
        await Container(App).get(Clock)


async def test_the_application_is_itself_a_value():
    """
    Each service class of the application's MRO, asked for, is the application's instance.
    """

    class Postgres(AsyncServiceBase):
        pass

    class Mail(AsyncServiceBase):
        pass

    class Shop(Postgres, Mail, AsyncServiceBase):
        pass

    class Users(AsyncServiceBase):
        def __init__(self, postgres: Postgres):
            self.postgres = postgres

    container = Container(Shop)

    shop = await container.get(Shop)

    assert type(shop) is Shop
    assert await container.get(Postgres) is await container.get(Mail) is shop
    assert (await container.get(Users)).postgres is shop


async def test_two_applications_in_one_process_do_not_meet():
    """
    Containers of two classes, and two containers of one class, have values of their own.
    """

    class Shop(AsyncServiceBase):
        pass

    class Other(AsyncServiceBase):
        pass

    class Users(AsyncServiceBase):
        pass

    containers = [Container(Shop), Container(Shop), Container(Other)]

    users = [await container.get(Users) for container in containers]

    assert len({id(user) for user in users}) == 3


# --- keywords ------------------------------------------------------------------------------------


async def test_keywords_are_inherited():
    """
    A subclass has its parent's lifetime, context and providers unless it says otherwise.
    """

    class Listed(AsyncServiceBase):
        pass

    class Parent(AsyncServiceBase, context=["request"], providers=[Listed]):
        pass

    class Child(Parent):
        @inject_dependency("asked", lifetime="scoped")
        @staticmethod
        def ask(request):
            return request

    class Scoped(AsyncServiceBase, lifetime="scoped"):
        pass

    class Inherits(Scoped):
        pass

    class Differs(Scoped, lifetime="singleton"):
        pass

    async with Container(Child) as container:
        async with container.scope({"request": 1}) as scope:
            assert await scope.get("asked") == 1
        with pytest.raises(ScopeError):
            await container.get(Inherits)
        assert await container.get(Differs) is await container.get(Differs)
        report = await container.start()
    assert any("Listed" in timing.key for timing in report.builds)


async def test_providers_name_what_the_application_is_for():
    """
    The classes in providers are registered for the application, plain ones too.
    """

    class Settings:
        def __init__(self, dsn):
            self.dsn = dsn

    class Shop(AsyncServiceBase, providers=[Settings]):
        settings = AsyncDependencyDescriptor(Settings)

    Shop.register_value("dsn", "sqlite://")

    assert (await Shop().settings).dsn == "sqlite://"


def test_an_unknown_keyword_is_told_with_near_misses():
    """
    A class keyword that nobody takes is an error that names what it may have been meant for.
    """
    with pytest.raises(DeclarationError, match="lifetim") as caught:

        class App(AsyncServiceBase, lifetim="scoped"):
            pass

    assert "App" in str(caught.value)
    assert "lifetime" in str(caught.value).replace("lifetim=", "").replace("'lifetim'", "").replace('"lifetim"', "")


def test_keywords_of_other_bases_go_to_them():
    """
    A keyword that is not ours goes to the `__init_subclass__` of the user's base, ours do not.
    """
    taken = {}

    class Tabled:
        def __init_subclass__(cls, *, table=None, **keywords):
            super().__init_subclass__(**keywords)
            taken[cls.__name__] = table, keywords

    class Users(Tabled, AsyncServiceBase, lifetime="scoped", table="users"):
        pass

    class Orders(AsyncServiceBase, Tabled, table="orders"):
        pass

    assert taken == {"Users": ("users", {}), "Orders": ("orders", {})}


def test_a_keyword_that_another_base_does_not_take_is_told():
    """
    A keyword goes to the base's `__init_subclass__`, whose refusal names it.
    """

    class Tabled:
        def __init_subclass__(cls, *, table=None):
            super().__init_subclass__()

    with pytest.raises(TypeError, match="tabel"):

        class Users(Tabled, AsyncServiceBase, tabel="users"):
            pass


def test_an_error_in_the_user_s_init_subclass_is_the_user_s():
    """
    A TypeError that the user's own `__init_subclass__` raises for another reason passes through.
    """

    class Picky:
        def __init_subclass__(cls, *, table=None, **keywords):
            raise TypeError("tables are out")

    with pytest.raises(TypeError, match="tables are out") as caught:

        class Users(Picky, AsyncServiceBase, table="users"):
            pass

    assert not isinstance(caught.value, DeclarationError)


# --- bases ---------------------------------------------------------------------------------------


def test_an_abstract_service_cannot_be_made():
    """
    A service can be an abstract class, whose methods have to be written.
    """

    class Store(AsyncServiceBase, abc.ABC):
        @abc.abstractmethod
        def put(self): ...

    class Memory(Store):
        def put(self):
            return "put"

    with pytest.raises(TypeError, match="abstract"):
        Store()
    assert Memory().put() == "put"


async def test_an_abstract_service_is_a_token_for_its_registration():
    """
    An abstract service is a token under which a concrete one is registered.
    """

    class Store(AsyncServiceBase, abc.ABC):
        @abc.abstractmethod
        def put(self): ...

    class Memory(Store):
        def put(self):
            return "put"

    class App(AsyncServiceBase):
        store = AsyncDependencyDescriptor(Store)

    App.register_dependency(Store, Memory)

    assert (await App().store).put() == "put"


def test_an_abstract_service_without_registration_is_told():
    """
    An abstract service that nobody registers is refused when the container is made, not when it is built.
    """

    class Store(AsyncServiceBase, abc.ABC):
        @abc.abstractmethod
        def put(self): ...

    class App(AsyncServiceBase):
        store = AsyncDependencyDescriptor(Store)

    with pytest.raises(GraphErrors, check=saying("Store")):
        Container(App)


@pytest.mark.parametrize("module", [typing, te], ids=["typing", "typing_extensions"])
@pytest.mark.parametrize("first", ["service", "protocol"])
async def test_a_service_can_implement_a_protocol(module, first):
    """
    A service may derive from a Protocol, before or after its own base.
    """

    @module.runtime_checkable
    class Clock(module.Protocol):
        def now(self) -> float: ...

    bases = (AsyncServiceBase, Clock) if first == "service" else (Clock, AsyncServiceBase)

    class SystemClock(*bases):
        db = AsyncDependencyDescriptor("database")

        def now(self):
            return 1.0

    SystemClock.register_value("database", "connection")
    clock = SystemClock()

    assert isinstance(clock, Clock)
    assert clock.now() == 1.0
    assert await clock.db == "connection"


def test_a_service_is_not_a_protocol_itself():
    """
    A class that would be both a Protocol and a service is a TypeError.
    """
    with pytest.raises(TypeError):

        class Both(AsyncServiceBase, typing.Protocol):
            pass


async def test_a_service_can_be_generic():
    """
    A generic service serves through a subclass that gives its arguments.
    """
    T = TypeVar("T")

    class Repo(AsyncServiceBase, Generic[T]):
        database = AsyncDependencyDescriptor(Database)

    class Users(Repo[int]):
        pass

    class App(AsyncServiceBase):
        users = AsyncDependencyDescriptor(Users)

    App.register_dependency(Database, Database)

    users = await App().users

    assert type(users) is Users
    assert type(await users.database) is Database


OPTIONS = {
    "plain": {},
    "frozen": {"frozen": True},
    "unhashable": {"eq": True, "unsafe_hash": False},
    "by identity": {"eq": False},
    "slots": {"slots": True},
    "frozen slots": {"frozen": True, "slots": True},
    "keyword only": {"kw_only": True},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
async def test_a_service_can_be_a_dataclass(options):
    """
    A dataclass of any kind is built by its fields and has awaited attributes.
    """

    @dataclass(**options)
    class Users(AsyncServiceBase):
        name: typing.Annotated[str, "a note"] = "users"
        database = AsyncDependencyDescriptor(Database)

    class App(AsyncServiceBase):
        users = AsyncDependencyDescriptor(Users)

    App.register_dependency(Database, lambda: Database())
    container = Container(App)

    users = await container.get(Users)

    assert users.name == "users"
    assert await users.database is await users.database is await container.get(Database)
    assert await (await container.get(App)).users is users


async def test_a_service_needs_no_super_init():
    """
    A service whose constructor never calls super's works like any other.
    """

    class App(AsyncServiceBase):
        database = AsyncDependencyDescriptor(Database)

        def __init__(self, size=3):
            self.size = size

    App.register_dependency(Database, Database)

    assert type(await App(5).database) is Database


async def test_a_service_may_have_slots_of_its_own():
    """
    A service written with `__slots__` has awaited attributes.
    """

    class App(AsyncServiceBase):
        __slots__ = ("size",)
        database = AsyncDependencyDescriptor(Database)

        def __init__(self):
            self.size = 3

    App.register_dependency(Database, lambda: Database())
    app = App()

    assert await app.database is await app.database


async def test_a_service_may_guard_its_attributes():
    """
    Awaited attributes work where the class refuses to set or answers every attribute.
    """

    class App(AsyncServiceBase):
        database = AsyncDependencyDescriptor(Database)

        def __setattr__(self, name, value):
            raise AttributeError("read only")

        def __getattr__(self, name):
            if name.startswith("__"):
                raise AttributeError(name)
            return f"no {name}"

    App.register_dependency(Database, lambda: Database())
    app = App()

    assert await app.database is await app.database


def test_the_metaclass_reads_nothing_of_the_users():
    """
    Making a service class touches no property, and compares no value of its body.
    """

    class Hostile:
        def __eq__(self, other):
            raise AssertionError("compared")

        def __bool__(self):
            raise AssertionError("asked for truth")

        def __get__(self, instance, owner=None):
            raise AssertionError("read")

        __hash__ = None

    class App(AsyncServiceBase):
        value = Hostile()

        @property
        def costly(self):
            raise AssertionError("read")

        @inject_dependency("thing")
        def make(self): ...

    Container(App)

    assert App.get_dependency("thing") is App.make


def test_a_service_class_is_of_the_metaclass():
    """
    AsyncMeta makes service classes, and is compatible with the metaclasses of ABC and Protocol.
    """

    class App(AsyncServiceBase):
        pass

    assert type(App) is AsyncMeta
    assert issubclass(AsyncMeta, abc.ABCMeta)
    assert App._is_protocol is False


# --- on_startup, on_shutdown ---------------------------------------------------------------------


async def test_startup_is_the_awaited_constructor():
    """
    A service is handed out when its on_startup returned; on_shutdown runs when its container closes.
    """
    steps = []

    class Users(AsyncServiceBase):
        database = AsyncDependencyDescriptor(Database)

        async def on_startup(self):
            self.ready = await self.database
            steps.append("up")

        async def on_shutdown(self):
            steps.append("down")

    class App(AsyncServiceBase):
        pass

    App.register_dependency(Database, Database)
    async with Container(App) as container:
        users = await container.get(Users)
        steps.append("body")

        assert users.ready is await container.get(Database)

    assert steps == ["up", "body", "down"]


async def test_startup_runs_once_for_all_who_ask():
    """
    Tasks that ask for a service at the same time wait for one on_startup.
    """
    steps, go_on = [], asyncio.Event()

    class Users(AsyncServiceBase):
        async def on_startup(self):
            steps.append("up")
            await go_on.wait()

    class App(AsyncServiceBase):
        pass

    async with Container(App) as container, asyncio.TaskGroup() as group:
        tasks = [group.create_task(container.get(Users)) for _ in range(3)]
        await asyncio.sleep(0)
        go_on.set()

    assert len({id(task.result()) for task in tasks}) == 1
    assert steps == ["up"]


async def test_a_scoped_service_starts_and_stops_with_its_scope():
    """
    The on_shutdown of a scoped service runs at the end of its scope.
    """
    steps = []

    class Session(AsyncServiceBase, lifetime="scoped"):
        async def on_startup(self):
            steps.append("up")

        async def on_shutdown(self):
            steps.append("down")

    class App(AsyncServiceBase):
        pass

    async with Container(App) as container:
        async with container.scope() as scope:
            await scope.get(Session)
        steps.append("after")

    assert steps == ["up", "down", "after"]


async def test_a_transient_service_stops_with_who_made_it():
    """
    The on_shutdown of a transient service runs when the scope that made it ends.
    """
    steps = []

    class Step(AsyncServiceBase, lifetime="transient"):
        async def on_shutdown(self):
            steps.append("down")

    class App(AsyncServiceBase):
        pass

    async with Container(App) as container:
        async with container.scope() as scope:
            await scope.get(Step)
            await scope.get(Step)
        steps.append("after")

    assert steps == ["down", "down", "after"]


async def test_without_a_startup_that_returned_there_is_no_shutdown():
    """
    When on_startup fails, its error passes through, on_shutdown does not run, and the next get begins anew.
    """
    steps, fail = [], [True]

    class Users(AsyncServiceBase):
        async def on_startup(self):
            steps.append("up")
            if fail.pop():
                raise OSError("not yet")

        async def on_shutdown(self):
            steps.append("down")

    class App(AsyncServiceBase):
        pass

    async with Container(App) as container:
        with pytest.raises(OSError, match="not yet"):
            await container.get(Users)
    assert steps == ["up"]

    fail.append(False)
    async with container:
        await container.get(Users)
    assert steps == ["up", "up", "down"]


async def test_a_cancelled_startup_has_no_shutdown():
    """
    When the only one who waits for an on_startup is cancelled, so is the on_startup, and on_shutdown does not run.
    """
    steps, begun = [], asyncio.Event()

    class Users(AsyncServiceBase):
        async def on_startup(self):
            begun.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                steps.append("cancelled")
                raise

        async def on_shutdown(self):
            steps.append("down")

    class App(AsyncServiceBase):
        pass

    async with Container(App) as container:
        task = asyncio.create_task(container.get(Users))
        await asyncio.wait_for(begun.wait(), 5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert steps == ["cancelled"]


async def test_hooks_are_cooperative():
    """
    The base's hooks do nothing, so each class of the MRO can call super's.
    """
    steps = []

    class Postgres(AsyncServiceBase):
        async def on_startup(self):
            await super().on_startup()
            steps.append("postgres up")

        async def on_shutdown(self):
            steps.append("postgres down")
            await super().on_shutdown()

    class Mail(AsyncServiceBase):
        async def on_startup(self):
            await super().on_startup()
            steps.append("mail up")

        async def on_shutdown(self):
            steps.append("mail down")
            await super().on_shutdown()

    class Shop(Postgres, Mail):
        pass

    async with Container(Shop) as container:
        await container.get(Shop)

    assert steps == ["mail up", "postgres up", "postgres down", "mail down"]


def test_a_hook_that_is_never_reached_is_listed():
    """
    The check lists a class whose on_startup a subclass hides without calling super's.
    """

    class Postgres(AsyncServiceBase):
        async def on_startup(self): ...

    class Mail(AsyncServiceBase):
        async def on_startup(self):
            await super().on_startup()

    class Hides(Postgres):
        async def on_startup(self): ...

    class Calls(Mail):
        async def on_startup(self):
            await super().on_startup()

    unreached = Container(Hides).check().unreached

    assert any("Postgres" in line for line in unreached)
    assert Container(Calls).check().unreached == ()


async def test_shutdown_comes_before_what_the_service_uses_is_closed():
    """
    In on_shutdown the service still has what it was built from, and what it awaited.
    """
    steps = []

    class Users(AsyncServiceBase):
        late = AsyncDependencyDescriptor("late")

        def __init__(self, early):
            self.early = early

        async def on_startup(self):
            await self.late

        async def on_shutdown(self):
            steps.append(f"down with {self.early} and {await self.late}")

    class App(AsyncServiceBase):
        @inject_dependency("early")
        @staticmethod
        async def open_early():
            yield "early"
            steps.append("close early")

        @inject_dependency("late")
        @staticmethod
        def open_late():
            yield "late"
            steps.append("close late")

    async with Container(App) as container:
        await container.get(Users)

    assert steps == ["down with early and late", "close late", "close early"]


async def test_a_failing_shutdown_is_a_finalization_error():
    """
    What on_shutdown raises is raised when everything else is closed.
    """
    steps = []

    class App(AsyncServiceBase):
        @inject_dependency("thing")
        @staticmethod
        def open():
            yield "thing"
            steps.append("closed")

        async def on_startup(self):
            await self.thing

        async def on_shutdown(self):
            raise OSError("stuck")

        thing = AsyncDependencyDescriptor("thing")

    with pytest.raises(FinalizationErrors) as caught:
        async with Container(App) as container:
            await container.get(App)

    assert [str(error) for error in caught.value.exceptions] == ["stuck"]
    assert steps == ["closed"]


# --- factory methods -----------------------------------------------------------------------------


async def test_a_factory_method_gets_self_after_init():
    """
    The service that a factory method gets has been through its constructor.
    """

    class App(AsyncServiceBase):
        def __init__(self, dsn):
            self.dsn = dsn

        @inject_dependency("database")
        def connect(self):
            return f"connected to {self.dsn}"

    App.register_value("dsn", "sqlite://")

    assert await Container(App).get("database") == "connected to sqlite://"


async def test_a_startup_may_use_what_its_own_factories_make():
    """
    A factory method gets its service before on_startup has returned, so on_startup may await it.
    """
    steps = []

    class App(AsyncServiceBase):
        database = AsyncDependencyDescriptor("database")

        @inject_dependency("database")
        async def connect(self):
            await asyncio.sleep(0)
            steps.append("connect")
            return self

        async def on_startup(self):
            steps.append("up")
            assert await self.database is self
            steps.append("ready")

    async with Container(App) as container:
        app = await asyncio.wait_for(container.get(App), 5)

        assert await container.get("database") is app

    assert steps == ["up", "connect", "ready"]


async def test_a_subclass_may_override_a_factory_method():
    """
    A factory in a body is called as a method: a subclass overrides it without registering again.
    """

    class Shop(AsyncServiceBase):
        @inject_dependency("mailer")
        def make_mailer(self):
            return "real"

    class FakeShop(Shop):
        def make_mailer(self):
            return f"fake instead of {super().make_mailer()}"

    assert await Container(FakeShop).get("mailer") == "fake instead of real"
    assert await Container(Shop).get("mailer") == "real"


async def test_an_overriding_method_may_be_of_another_kind():
    """
    The overriding method may take other parameters and be async where the overridden one was not.
    """
    steps = []

    class Shop(AsyncServiceBase):
        @inject_dependency("mailer")
        def make_mailer(self):
            return "real"

    class Later(Shop):
        async def make_mailer(self, host):
            return f"async at {host}"

    class Resource(Shop):
        async def make_mailer(self):
            yield "resource"
            steps.append("closed")

    Later.register_value("host", "localhost")

    assert await Container(Later).get("mailer") == "async at localhost"
    async with Container(Resource) as container:
        assert await container.get("mailer") == "resource"
    assert steps == ["closed"]


async def test_an_overriding_method_may_be_static():
    """
    A static method of the same name overrides a factory method, as it does for every other caller.
    """

    class Shop(AsyncServiceBase):
        @inject_dependency("mailer")
        def make_mailer(self):
            return "real"

    class FakeShop(Shop):
        @staticmethod
        def make_mailer():
            return "fake"

    assert FakeShop().make_mailer() == "fake"
    assert await Container(FakeShop).get("mailer") == "fake"


async def test_a_factory_method_of_a_scoped_service_gets_the_scope_s_own():
    """
    In each scope the factory method's self is that scope's service.
    """

    class Session(AsyncServiceBase, lifetime="scoped"):
        mark = AsyncDependencyDescriptor("mark")

        @inject_dependency("mark")
        def make_mark(self):
            return self

    class App(AsyncServiceBase, providers=[Session]):
        pass

    async with Container(App) as container, container.scope() as one, container.scope() as other:
        session, another = await one.get(Session), await other.get(Session)

        assert await session.mark is session
        assert await another.mark is another


def test_a_factory_of_a_shorter_lived_service_is_captive():
    """
    A singleton factory cannot be a method of a scoped service.
    """

    class Session(AsyncServiceBase, lifetime="scoped"):
        mark = AsyncDependencyDescriptor("mark")

        @inject_dependency("mark", lifetime="singleton")
        def make_mark(self): ...

    class App(AsyncServiceBase, providers=[Session]):
        pass

    with pytest.raises(GraphErrors) as caught:
        Container(App)

    assert any(isinstance(problem, CaptiveDependencyError) for problem in caught.value.exceptions)


# --- instances -----------------------------------------------------------------------------------


async def test_an_instance_is_its_own_root():
    """
    `async with Shop() as shop` opens a container whose application is that instance.
    """
    steps = []

    class Shop(AsyncServiceBase):
        database = AsyncDependencyDescriptor("database")

        def __init__(self, dsn):
            self.dsn = dsn

        async def on_startup(self):
            steps.append("up")

        async def on_shutdown(self):
            steps.append("down")

        @inject_dependency("database")
        async def connect(self):
            yield f"connected to {self.dsn}"
            steps.append("closed")

    shop = Shop("sqlite://")
    async with shop as entered:
        steps.append(await shop.database)

        assert entered is shop
        assert await Scope.of(shop).get(Shop) is shop

    assert steps[0] == "up"
    assert steps[1] == "connected to sqlite://"
    assert sorted(steps[2:]) == ["closed", "down"]


async def test_a_container_can_be_given_an_instance():
    """
    A Container made of an instance has that instance as its application.
    """

    class Shop(AsyncServiceBase):
        database = AsyncDependencyDescriptor("database")

        def __init__(self, dsn):
            self.dsn = dsn

        @inject_dependency("database")
        def connect(self):
            return f"connected to {self.dsn}"

    shop = Shop("sqlite://")
    async with Container(shop) as container:
        assert await container.get(Shop) is shop
        assert await container.get("database") == "connected to sqlite://"
        assert await shop.database == "connected to sqlite://"
        assert Scope.of(shop) is container


async def test_scope_of_a_service_is_the_scope_that_made_it():
    """
    Scope.of gives the container of a root or singleton, and the scope of a scoped service.
    """

    class Users(AsyncServiceBase):
        pass

    class Session(AsyncServiceBase, lifetime="scoped"):
        pass

    class Shop(AsyncServiceBase):
        pass

    async with Container(Shop) as container, container.scope() as scope:
        assert Scope.of(await container.get(Shop)) is container
        assert Scope.of(await scope.get(Users)) is container
        assert Scope.of(await scope.get(Session)) is scope
        assert Scope.of(await scope.get(Session)).container is container


async def test_only_a_singleton_can_be_its_own_root():
    """
    A hand-made instance of a scoped class raises on its first awaited attribute, and names adopt.
    """

    class Session(AsyncServiceBase, lifetime="scoped"):
        thing = AsyncDependencyDescriptor("thing")

    Session.register_value("thing", "thing")
    session = Session()

    with pytest.raises(ScopeError, match="adopt") as caught:
        await session.thing

    assert "Session" in str(caught.value)


async def test_only_a_singleton_can_be_entered():
    """
    An instance of a scoped class cannot be opened as a block, and the error names adopt.
    """

    class Session(AsyncServiceBase, lifetime="scoped"):
        pass

    with pytest.raises(ScopeError, match="adopt"):
        async with Session():
            pass


async def test_a_scope_of_an_unbound_service_is_an_error():
    """
    A hand-made instance of a scoped class belongs to no scope.
    """

    class Session(AsyncServiceBase, lifetime="scoped"):
        pass

    with pytest.raises(ScopeError, match="adopt"):
        Scope.of(Session())


async def test_adopt_binds_an_instance():
    """
    An adopted instance is handed back, and awaits its attributes in the scope that adopted it.
    """

    class Session(AsyncServiceBase, lifetime="scoped"):
        thing = AsyncDependencyDescriptor("thing")

        def __init__(self, by_hand):
            self.by_hand = by_hand

    class App(AsyncServiceBase):
        @inject_dependency("thing", lifetime="scoped")
        @staticmethod
        def make():
            return object()

    async with Container(App) as container, container.scope() as scope:
        session = Session("by hand")
        adopted = scope.adopt(session)

        assert adopted is session
        assert Scope.of(session) is scope
        assert await session.thing is await scope.get("thing")


async def test_adopted_by_a_container_an_instance_sees_its_singletons():
    """
    A container can adopt, too.
    """

    class Users(AsyncServiceBase):
        thing = AsyncDependencyDescriptor("thing")

    class App(AsyncServiceBase):
        @inject_dependency("thing")
        @staticmethod
        def make():
            return object()

    async with Container(App) as container:
        users = container.adopt(Users())

        assert await users.thing is await container.get("thing")


async def test_an_instance_alone_warns_when_it_leaves_something_open():
    """
    An instance that made its container on first use warns when it is collected with finalizers pending.
    """

    class Shop(AsyncServiceBase):
        database = AsyncDependencyDescriptor("database")

        @inject_dependency("database")
        @staticmethod
        def connect():
            yield "connection"

    shop = Shop()
    await shop.database

    with pytest.warns(ResourceWarning, match="Shop"):
        del shop
        gc.collect()


async def test_an_instance_alone_warns_of_async_finalizers_too():
    """
    An async generator that was never closed is warned of, and does not keep its container alive.
    """

    class Shop(AsyncServiceBase):
        database = AsyncDependencyDescriptor("database")

        @inject_dependency("database")
        @staticmethod
        async def connect():
            yield "connection"

    shop = Shop()
    await shop.database
    gone = weakref.ref(shop)

    with pytest.warns(ResourceWarning, match="Shop"):
        del shop
        await asyncio.sleep(0)
        gc.collect()

    assert gone() is None
    assert [one for one in gc.get_objects() if type(one) is Shop] == []


async def test_an_instance_alone_is_silent_when_nothing_is_open():
    """
    An instance without finalizers may be dropped at any time.
    """

    class Shop(AsyncServiceBase):
        database = AsyncDependencyDescriptor("database")

        @inject_dependency("database")
        @staticmethod
        async def connect():
            return "connection"

    shop = Shop()
    await shop.database

    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        del shop
        gc.collect()

    assert [warning for warning in seen if issubclass(warning.category, ResourceWarning)] == []


async def test_an_instance_alone_can_be_closed():
    """
    What an instance alone has opened is closed through its scope.
    """
    steps = []

    class Shop(AsyncServiceBase):
        database = AsyncDependencyDescriptor("database")

        @inject_dependency("database")
        @staticmethod
        async def connect():
            yield "connection"
            steps.append("closed")

    shop = Shop()
    await shop.database

    await Scope.of(shop).aclose()

    assert steps == ["closed"]


async def test_an_instance_can_be_entered_again():
    """
    The block of an instance may be opened a second time, and starts empty.
    """
    steps = []

    class Shop(AsyncServiceBase):
        database = AsyncDependencyDescriptor("database")

        @inject_dependency("database")
        @staticmethod
        async def connect():
            steps.append("open")
            yield "connection"
            steps.append("close")

    shop = Shop()
    for _ in range(2):
        async with shop:
            await shop.database

    assert steps == ["open", "close", "open", "close"]


async def test_many_instances_leave_nothing_behind():
    """
    Short-lived service instances are freed, however many there were.
    """

    class Shop(AsyncServiceBase):
        database = AsyncDependencyDescriptor("database")

    Shop.register_value("database", "connection")
    alive = weakref.WeakSet()
    for _ in range(1000):
        shop = Shop()
        await shop.database
        alive.add(shop)
    del shop
    gc.collect()

    assert len(alive) == 0


# --- a dataclass that swallows a descriptor ------------------------------------------------------


def test_a_descriptor_that_became_a_field_is_refused():
    """
    A dataclass that turns an annotated descriptor into a field is told to write ClassVar.
    """
    with pytest.raises((DeclarationError, GraphError), check=saying("ClassVar")) as caught:

        @dataclass
        class App(AsyncServiceBase):
            database: AsyncDependencyDescriptor[Database] = AsyncDependencyDescriptor()  # noqa: RUF009  # the mistake

        App.register_dependency(Database, Database)
        Container(App)

    assert "database" in str(caught.value)


def test_a_descriptor_that_became_a_field_of_slots_is_refused():
    """
    The same holds for a dataclass with slots, whose class is made a second time.
    """
    with pytest.raises((DeclarationError, GraphError), check=saying("ClassVar")):

        @dataclass(slots=True)
        class App(AsyncServiceBase):
            database: AsyncDependencyDescriptor[Database] = AsyncDependencyDescriptor()  # noqa: RUF009  # the mistake

        App.register_dependency(Database, Database)
        Container(App)


def test_a_descriptor_that_became_an_argument_is_refused():
    """
    InitVar makes an argument of it, which nobody could pass: a class with slots is made a second time, and is refused then.
    """
    with pytest.raises(DeclarationError, match=r"App\.database is a dependency, but @dataclass makes a field"):

        @dataclass(slots=True)
        class App(AsyncServiceBase):
            database: InitVar[object] = AsyncDependencyDescriptor(Database)  # noqa: RUF009  # the mistake


async def test_a_descriptor_in_a_class_variable_stays_one():
    """
    ClassVar keeps an annotated descriptor out of a dataclass's fields.
    """

    @dataclass
    class App(AsyncServiceBase):
        database: typing.ClassVar[AsyncDependencyDescriptor[Database]] = AsyncDependencyDescriptor()
        size: int = 3

    App.register_dependency(Database, Database)

    assert type(await App().database) is Database


# --- the shared layer ----------------------------------------------------------------------------


async def test_the_base_class_is_the_shared_registry():
    """
    What is registered on AsyncServiceBase serves every class.
    """
    name = f"service class {uuid.uuid4()}"

    class App(AsyncServiceBase):
        pass

    AsyncServiceBase.register_value(name, "shared")

    assert await Container(App).get(name) == "shared"


# --- who enters it, and what a copy of it is --------------------------------------------------------


async def test_a_service_that_a_container_has_made_is_not_entered():
    """
    ``async with`` is for the root: what stands in another one's container is entered and left by that.
    """

    class Users(AsyncServiceBase):
        pass

    class App(AsyncServiceBase, providers=[Users]):
        pass

    async with Container(App) as container:
        users = await container.get(Users)

        with pytest.raises(ScopeError, match="this Users belongs to App, which enters and leaves it"):
            await users.__aenter__()


async def test_a_copy_with_slots_has_fetched_nothing():
    """
    The state of a class with slots has two parts; a copy's both are its own.
    """

    class App(AsyncServiceBase):
        __slots__ = ("size",)
        database = AsyncDependencyDescriptor(Database)

    App.register_dependency(Database, Database)
    app = App()
    app.size = 3
    there = await app.database

    twin = copy.copy(app)

    assert twin.size == 3
    assert await twin.database is not there


def test_an_application_belongs_to_one_container():
    """
    An instance that has a container is not given to a second one while that is open.
    """

    class App(AsyncServiceBase):
        pass

    app = App()
    container = Container(app)

    with pytest.raises(ContainerError, match=r"belongs to .* already"):
        Container(app)
    container.close()
    Container(app).close()
