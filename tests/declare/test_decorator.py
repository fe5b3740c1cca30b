"""What can be decorated, under which token, and on which class does it land?"""

import asyncio
import collections
import functools
import inspect
import os
import threading
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, NewType, Protocol, runtime_checkable

import pytest

from asyncmeta import (
    AsyncDependencyDescriptor,
    AsyncServiceBase,
    BuildTimeoutError,
    Container,
    DeclarationError,
    GraphError,
    Inject,
    Lifetime,
    ScopeError,
    Token,
    inject_dependency,
)

HERE = os.path.basename(__file__)


def saying(text):
    """Return a check that an error's whole text, that of a group included, holds *text*."""
    return lambda error: text in str(error)


class Database:
    """A plain class to be provided."""


UserId = NewType("UserId", int)
Dsn = Token[str]("dsn")


def fresh_app():
    """Return a service class of its own, so that no test sees another's registrations."""

    class App(AsyncServiceBase):
        pass

    return App


# --- kinds of factory ----------------------------------------------------------------------------


def plain():
    return "made"


async def coroutine():
    return "made"


def generator():
    yield "made"


async def async_generator():
    yield "made"


@contextmanager
def manager():
    yield "made"


@asynccontextmanager
async def async_manager():
    yield "made"


class PlainCall:
    def __call__(self):
        return "made"


class AsyncCall:
    async def __call__(self):
        return "made"


class GeneratorCall:
    def __call__(self):
        yield "made"


class AsyncGeneratorCall:
    async def __call__(self):
        yield "made"


class Maker:
    def make(self):
        return "made"

    async def make_later(self):
        return "made"

    @classmethod
    def make_of_class(cls):
        return "made"

    @staticmethod
    async def make_static():
        return "made"


KINDS = {
    "function": plain,
    "lambda": lambda: "made",
    "coroutine function": coroutine,
    "generator": generator,
    "async generator": async_generator,
    "context manager": manager,
    "async context manager": async_manager,
    "partial of a function": functools.partial(plain),
    "partial of a coroutine function": functools.partial(coroutine),
    "partial of a generator": functools.partial(generator),
    "partial of an async generator": functools.partial(async_generator),
    "partial of a context manager": functools.partial(manager),
    "partial of an async context manager": functools.partial(async_manager),
    "partial of a partial": functools.partial(functools.partial(coroutine)),
    "callable object": PlainCall(),
    "async callable object": AsyncCall(),
    "generator callable object": GeneratorCall(),
    "async generator callable object": AsyncGeneratorCall(),
    "bound method": Maker().make,
    "bound coroutine method": Maker().make_later,
    "class method": Maker.make_of_class,
    "static method": Maker.make_static,
}


@pytest.mark.parametrize("factory", KINDS.values(), ids=KINDS)
async def test_every_kind_of_factory_gives_its_value(factory):
    """
    A factory may be of any kind: what counts is the value it returns or yields.
    """
    App = fresh_app()

    returned = inject_dependency("thing", on=App)(factory)

    assert returned is factory
    async with Container(App) as container:
        assert await container.get("thing") == "made"


@pytest.mark.parametrize("factory", KINDS.values(), ids=KINDS)
async def test_every_kind_of_factory_can_be_scoped(factory):
    """
    Every kind of factory serves scoped values too.
    """
    App = fresh_app()
    inject_dependency("thing", on=App, lifetime="scoped")(factory)

    async with Container(App) as container, container.scope() as scope:
        assert await scope.get("thing") == "made"


@pytest.mark.parametrize("factory", KINDS.values(), ids=KINDS)
async def test_every_kind_of_factory_can_be_transient(factory):
    """
    Every kind of factory serves transient values too.
    """
    App = fresh_app()
    inject_dependency("thing", on=App, lifetime="transient")(factory)

    async with Container(App) as container:
        assert await container.get("thing") == "made"


@pytest.mark.parametrize(
    "factory",
    [dict, list, object, collections.deque, time.monotonic, threading.Lock, threading.Event, asyncio.Event, Exception],
)
async def test_callables_without_a_readable_signature_are_called_without_arguments(factory):
    """
    Classes and functions that are not written in Python can be factories.
    """
    App = fresh_app()
    inject_dependency("thing", on=App)(factory)
    container = Container(App)

    value = await container.get("thing")

    assert isinstance(value, type(factory()))
    assert await container.get("thing") is value


# --- tokens --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "token",
    ["name", Database, Dsn, UserId, list[Database], dict[str, list[Database]], Annotated[dict, Inject("config")]],
    ids=str,
)
async def test_every_kind_of_token_is_looked_up_as_it_was_registered(token):
    """
    A token is a string, a class, a Token, a NewType, a generic alias or an Annotated with Inject.
    """
    App = fresh_app()
    value = Database()

    @inject_dependency(token, on=App)
    def make():
        return value

    container = Container(App)

    assert await container.get(token) is value
    assert App.get_dependency(token) is make


async def test_equal_generic_aliases_are_one_token():
    """
    A generic alias is a token by what it says, not by which object says it.
    """
    App = fresh_app()
    inject_dependency(list[Database], on=App)(lambda: [])

    container = Container(App)

    assert await container.get(list[Database]) is await container.get(list[Database])


async def test_a_token_object_is_a_key_by_identity():
    """
    Two Tokens of one name are two keys, and neither is the string.
    """
    App = fresh_app()
    one, other = Token[str]("name"), Token[str]("name")
    for token, value in ((one, "one"), (other, "other"), ("name", "string")):
        App.register_value(token, value)

    container = Container(App)

    assert [await container.get(token) for token in (one, other, "name")] == ["one", "other", "string"]
    assert one.name == other.name == "name"


async def test_protocols_and_abstract_classes_are_tokens():
    """
    An interface is a token like any class.
    """

    class Clock(Protocol):
        def now(self) -> float: ...

    class Store(ABC):
        @abstractmethod
        def put(self): ...

    class SystemClock:
        def now(self):
            return 1.0

    class Memory(Store):
        def put(self):
            return None

    App = fresh_app()
    inject_dependency(Clock, on=App)(SystemClock)
    inject_dependency(Store, on=App)(Memory)
    container = Container(App)

    assert type(await container.get(Clock)) is SystemClock
    assert type(await container.get(Store)) is Memory


class _BareResult:
    pass


@inject_dependency
def _bare_on_a_function() -> "_BareResult":
    return _BareResult()


async def test_bare_decorator_takes_the_return_annotation():
    """
    Without parentheses a function is registered under its return annotation.
    """
    found = AsyncServiceBase.get_dependency(_BareResult)

    value = await Container(fresh_app()).get(_BareResult)

    assert found is _bare_on_a_function
    assert type(value) is _BareResult


def returns_class() -> Database:
    return Database()


async def returns_class_later() -> Database:
    return Database()


def yields_iterator() -> Iterator[Database]:
    yield Database()


def yields_generator() -> Generator[Database, None, None]:
    yield Database()


async def yields_async_iterator() -> AsyncIterator[Database]:
    yield Database()


async def yields_async_generator() -> AsyncGenerator[Database, None]:
    yield Database()


@contextmanager
def manages() -> Iterator[Database]:
    yield Database()


@asynccontextmanager
async def manages_async() -> AsyncIterator[Database]:
    yield Database()


class CallsAnnotated:
    def __call__(self) -> Database:
        return Database()


@pytest.mark.parametrize(
    "factory",
    [
        returns_class,
        returns_class_later,
        yields_iterator,
        yields_generator,
        yields_async_iterator,
        yields_async_generator,
        manages,
        manages_async,
        functools.partial(returns_class),
        CallsAnnotated(),
    ],
    ids=lambda factory: getattr(factory, "__name__", type(factory).__name__),
)
async def test_the_return_annotation_is_the_token(factory):
    """
    Without a token the return annotation is it; of a generator, what it yields.
    """
    App = fresh_app()

    inject_dependency(on=App)(factory)

    assert App.get_dependency(Database) is factory
    async with Container(App) as container:
        assert type(await container.get(Database)) is Database


async def test_a_generic_return_annotation_is_the_token():
    """
    A container with arguments is a type that somebody wrote for it, and can be inferred.
    """
    App = fresh_app()

    @inject_dependency(on=App)
    def make() -> list[Database]:
        return []

    assert await Container(App).get(list[Database]) == []


async def test_a_class_without_token_stands_for_itself():
    """
    A class decorated with empty parentheses is registered under itself and stays the class.
    """
    App = fresh_app()

    @inject_dependency(on=App)
    class Mailer:
        pass

    assert isinstance(Mailer, type)
    assert App.get_dependency(Mailer) is Mailer
    assert type(await Container(App).get(Mailer)) is Mailer


def no_annotation(): ...
def returns_str() -> str: ...
def returns_int() -> int: ...
def returns_object() -> object: ...
def returns_any() -> Any: ...
def returns_none() -> None: ...
def returns_list() -> list: ...
def returns_dict() -> dict: ...
def yields_str() -> Iterator[str]:
    yield ""


@pytest.mark.parametrize(
    "factory",
    [
        no_annotation,
        returns_str,
        returns_int,
        returns_object,
        returns_any,
        returns_none,
        returns_list,
        returns_dict,
        yields_str,
    ],
)
def test_a_token_is_not_inferred_from_what_says_nothing(factory):
    """
    Builtins, Any, None, bare containers and no annotation at all need an explicit token.
    """
    App = fresh_app()

    with pytest.raises((DeclarationError, GraphError)) as caught:
        inject_dependency(on=App)(factory)
        Container(App)

    assert factory.__name__ in str(caught.value)
    assert HERE in str(caught.value)


async def test_also_gives_more_keys_for_one_value():
    """
    The tokens in also= name the very value that the first token names.
    """
    App = fresh_app()

    @inject_dependency(Database, on=App, also=("database", Dsn))
    class Postgres(Database):
        pass

    container = Container(App)

    values = [await container.get(token) for token in (Database, "database", Dsn)]

    assert values[0] is values[1] is values[2]
    assert App.get_dependency("database") is Postgres


async def test_two_decorators_are_two_registrations():
    """
    A function decorated twice is a factory of two keys with a value each.
    """
    App = fresh_app()

    @inject_dependency("one", on=App)
    @inject_dependency("other", on=App)
    def make():
        return object()

    container = Container(App)

    assert await container.get("one") is not await container.get("other")


# --- a class under a typed token -----------------------------------------------------------------


def test_a_class_is_checked_against_its_token():
    """
    A class that is no subclass of the token it is decorated with is refused at once.
    """
    App = fresh_app()

    class Unrelated:
        pass

    with pytest.raises(DeclarationError, match="Unrelated") as caught:
        inject_dependency(Database, on=App)(Unrelated)

    assert "Database" in str(caught.value)
    assert App.get_dependency(Database) is None


def test_a_class_is_checked_against_the_methods_of_a_protocol():
    """
    A class that lacks a Protocol's method is refused, and the method is named.
    """

    class Clock(Protocol):
        def now(self) -> float: ...
        def zone(self) -> str: ...

    class Half:
        def now(self):
            return 1.0

    App = fresh_app()

    with pytest.raises(DeclarationError, match="zone"):
        inject_dependency(Clock, on=App)(Half)

    assert App.get_dependency(Clock) is None


def test_a_runtime_checkable_protocol_is_checked_alike():
    """
    Whether a Protocol is runtime-checkable changes nothing.
    """

    @runtime_checkable
    class Clock(Protocol):
        def now(self) -> float: ...

    class Stone:
        pass

    with pytest.raises(DeclarationError, match="now"):
        inject_dependency(Clock, on=fresh_app())(Stone)


def test_a_virtual_subclass_is_a_subclass():
    """
    What an abstract class accepts as its subclass may be registered for it.
    """

    class Store(ABC):
        pass

    @Store.register
    class Foreign:
        pass

    App = fresh_app()

    inject_dependency(Store, on=App)(Foreign)

    assert App.get_dependency(Store) is Foreign


# --- options -------------------------------------------------------------------------------------


async def test_the_default_lifetime_is_singleton():
    """
    A value is built once per container unless its registration says otherwise.
    """
    App = fresh_app()
    inject_dependency("thing", on=App)(lambda: object())
    container = Container(App)

    async with container.scope() as scope:
        inside = await scope.get("thing")

    assert inside is await container.get("thing")
    assert inside is not await Container(App).get("thing")


async def test_transient_values_are_new_each_time():
    """
    A transient value is made anew for each injection point.
    """
    App = fresh_app()
    inject_dependency("thing", on=App, lifetime="transient")(lambda: object())
    inject_dependency("pair", on=App)(lambda a, b: (a, b))
    App.register_dependency("a", lambda thing: thing, lifetime="transient")
    App.register_dependency("b", lambda thing: thing, lifetime="transient")
    container = Container(App)

    one, other = await container.get("pair")

    assert one is not other
    assert await container.get("thing") is not await container.get("thing")


@pytest.mark.parametrize("lifetime", ["scoped", Lifetime.SCOPED, Lifetime("scoped")])
async def test_a_lifetime_is_a_word(lifetime):
    """
    A lifetime may be written as a string or as a Lifetime, which compares equal to it.
    """
    App = fresh_app()
    inject_dependency("thing", on=App, lifetime=lifetime)(lambda: object())
    container = Container(App)

    async with container.scope() as one, container.scope() as other:
        assert await one.get("thing") is await one.get("thing")
        assert await one.get("thing") is not await other.get("thing")
    with pytest.raises(ScopeError):
        await container.get("thing")


def test_lifetimes_are_strings():
    """
    The three lifetimes are their names.
    """
    assert [Lifetime.SINGLETON, Lifetime.SCOPED, Lifetime.TRANSIENT] == ["singleton", "scoped", "transient"]
    assert all(isinstance(lifetime, Lifetime) for lifetime in (Lifetime.SINGLETON, Lifetime.SCOPED, Lifetime.TRANSIENT))


async def test_timeout_bounds_the_factory():
    """
    A factory that runs longer than its timeout is stopped, and the error says which and how long.
    """
    App = fresh_app()
    stopped = []

    @inject_dependency("slow", on=App, timeout=0.01)
    async def slow():
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            stopped.append("slow")
            raise

    with pytest.raises(BuildTimeoutError) as caught:
        await Container(App).get("slow")

    assert (caught.value.key, caught.value.seconds) == ('"slow"', 0.01)
    assert stopped == ["slow"]


async def test_timeout_does_not_count_the_waiting_for_what_is_needed():
    """
    The time that a factory's dependencies take is theirs.
    """
    App = fresh_app()

    @inject_dependency("slow", on=App)
    async def slow():
        await asyncio.sleep(0.1)
        return "slow"

    @inject_dependency("quick", on=App, timeout=0.05)
    async def quick(slow):
        return f"quick after {slow}"

    assert await Container(App).get("quick") == "quick after slow"


async def test_a_timeout_of_the_factory_itself_is_its_own():
    """
    A TimeoutError that the factory raises passes through as it is.
    """
    App = fresh_app()
    error = TimeoutError("upstream")

    @inject_dependency("thing", on=App, timeout=5.0)
    async def make():
        raise error

    with pytest.raises(TimeoutError) as caught:
        await Container(App).get("thing")

    assert caught.value is error


# --- class bodies --------------------------------------------------------------------------------


async def test_a_function_in_a_class_body_is_a_method():
    """
    A plain function in the body of a service class gets the service as its first argument.
    """

    class App(AsyncServiceBase):
        def __init__(self):
            self.name = "app"

        @inject_dependency("thing")
        def make(self, other):
            return self, self.name, other

        @inject_dependency("other")
        async def make_other(self):
            return self.name

    container = Container(App)

    service, name, other = await container.get("thing")

    assert service is await container.get(App)
    assert (name, other) == ("app", "app")


async def test_a_static_method_in_either_order_gets_no_service():
    """
    A static method, with its decorator inside or outside, takes only what it names.
    """

    class App(AsyncServiceBase):
        @inject_dependency("inside")
        @staticmethod
        def make_inside():
            return "inside"

        @staticmethod
        @inject_dependency("outside")
        def make_outside(inside):
            return f"outside of {inside}"

    container = Container(App)

    assert await container.get("outside") == "outside of inside"
    assert (App.make_inside(), App.make_outside("hand")) == ("inside", "outside of hand")
    assert (App().make_inside(), App().make_outside("hand")) == ("inside", "outside of hand")


async def test_every_kind_of_function_can_be_a_method():
    """
    Generators, async generators and coroutine functions in a body are methods, too.
    """
    closed = []

    class App(AsyncServiceBase):
        mark = "app"

        @inject_dependency("generator")
        def generate(self):
            yield self.mark
            closed.append("generator")

        @inject_dependency("async generator")
        async def generate_later(self):
            yield self.mark
            closed.append("async generator")

        @inject_dependency("coroutine")
        async def compute(self):
            return self.mark

        @inject_dependency("manager")
        @contextmanager
        def manage(self):
            yield self.mark
            closed.append("manager")

        @inject_dependency("async manager")
        @asynccontextmanager
        async def manage_later(self):
            yield self.mark
            closed.append("async manager")

    tokens = ["generator", "async generator", "coroutine", "manager", "async manager"]

    async with Container(App) as container:
        values = [await container.get(token) for token in tokens]

    assert values == ["app"] * 5
    assert closed == ["async manager", "manager", "async generator", "generator"]


async def test_a_lambda_in_a_class_body_is_a_method():
    """
    A lambda is a plain function, so it gets the service.
    """

    class App(AsyncServiceBase):
        make = inject_dependency("thing")(lambda self: self)

    container = Container(App)

    assert await container.get("thing") is await container.get(App)


async def test_a_partial_in_a_class_body_is_no_method():
    """
    A partial does not bind, so it gets no service.
    """

    def make(prefix, name):
        return f"{prefix} {name}"

    class App(AsyncServiceBase):
        greeting = inject_dependency("greeting")(functools.partial(make, "hello"))

    App.register_value("name", "world")

    assert await Container(App).get("greeting") == "hello world"


async def test_a_callable_object_in_a_class_body_is_no_method():
    """
    An object that can be called does not bind, so it gets no service.
    """

    class App(AsyncServiceBase):
        make = inject_dependency("thing")(AsyncCall())

    assert await Container(App).get("thing") == "made"


async def test_a_nested_class_in_a_class_body_is_a_factory():
    """
    A class inside of a service class is built by its constructor and registered on the outer one.
    """

    class App(AsyncServiceBase):
        @inject_dependency()
        class Settings:
            def __init__(self, dsn):
                self.dsn = dsn

        @inject_dependency(Database)
        class Postgres(Database):
            pass

    App.register_value("dsn", "sqlite://")
    container = Container(App)

    assert (await container.get(App.Settings)).dsn == "sqlite://"
    assert type(await container.get(Database)) is App.Postgres
    assert AsyncServiceBase.get_dependency(App.Settings) is None


async def test_a_loop_in_a_class_body_registers_each_time():
    """
    What a loop in the body registers is there under each token, though the name is bound once.
    """

    class App(AsyncServiceBase):
        for name in ("one", "two"):

            @inject_dependency(name)
            def make(self, name=name):
                return type(self).__name__, name

            inject_dependency(f"partial {name}")(functools.partial(str.upper, name))
        del name

    container = Container(App)

    assert [await container.get(token) for token in ("one", "two")] == [("App", "one"), ("App", "two")]
    assert [await container.get(token) for token in ("partial one", "partial two")] == ["ONE", "TWO"]


async def test_local_classes_of_one_name_are_kept_apart():
    """
    Two classes that a function makes have registrations of their own, whatever their qualified names.
    """

    def make_app(value):
        class App(AsyncServiceBase):
            @inject_dependency("value")
            def make(self):
                return value

        return App

    one, other = make_app("one"), make_app("other")

    assert one.__qualname__ == other.__qualname__
    assert [await Container(one).get("value"), await Container(other).get("value")] == ["one", "other"]


async def test_a_helper_that_returns_the_decorator_works_in_a_body():
    """
    It is the body that applies the decorator which counts, not where the decorator was made.
    """

    token = f"helper {uuid.uuid4()}"

    def provides(name):
        return inject_dependency(name)

    class App(AsyncServiceBase):
        @provides(token)
        def make(self):
            return self

    container = Container(App)

    assert await container.get(token) is await container.get(App)


def test_a_registration_in_a_body_stays_in_its_class():
    """
    What is decorated in a class body is not seen by the shared layer nor by other classes.
    """
    name = f"body {uuid.uuid4()}"

    class App(AsyncServiceBase):
        @inject_dependency(name)
        def make(self): ...

    assert AsyncServiceBase.get_dependency(name) is None
    assert fresh_app().get_dependency(name) is None
    assert App.get_dependency(name) is App.make


def test_a_body_of_another_class_is_an_error_at_the_line():
    """
    In the body of a class that is no service the decorator raises, and the error names the line.
    """
    name = f"foreign {uuid.uuid4()}"

    with pytest.raises(DeclarationError) as caught:

        class Plain:
            @inject_dependency(name)
            def make(self): ...

    line = inspect.currentframe().f_lineno
    file, _, at = caught.value.where.rpartition(":")
    assert file.endswith(HERE)
    assert line - 4 <= int(at) < line
    assert AsyncServiceBase.get_dependency(name) is None


def test_a_plain_class_inside_a_service_class_is_still_no_service():
    """
    The innermost body is the one that counts.
    """
    with pytest.raises(DeclarationError):

        class App(AsyncServiceBase):
            class Plain:
                @inject_dependency("thing")
                def make(self): ...


async def test_a_service_class_inside_a_plain_class_is_a_service():
    """
    A service class may stand in any body.
    """

    class Plain:
        class App(AsyncServiceBase):
            @inject_dependency("thing")
            def make(self):
                return self

    container = Container(Plain.App)

    assert await container.get("thing") is await container.get(Plain.App)


async def test_on_in_a_body_names_the_class():
    """
    An explicit on= is where it lands, also from a class body.
    """
    Elsewhere = fresh_app()

    class Plain:
        @inject_dependency("thing", on=Elsewhere)
        @staticmethod
        def make():
            return "thing"

    assert await Container(Elsewhere).get("thing") == "thing"


async def test_the_lifetime_of_a_factory_in_a_body_is_its_class_s():
    """
    A factory in the body of a scoped service makes scoped values unless it says otherwise.
    """

    class Users(AsyncServiceBase, lifetime="scoped"):
        table = AsyncDependencyDescriptor("table")
        own = AsyncDependencyDescriptor("own")

        @inject_dependency("table")
        def make_table(self):
            return self, object()

        @inject_dependency("own", lifetime="transient")
        def make_own(self):
            return object()

    class App(AsyncServiceBase, providers=[Users]):
        pass

    async with Container(App) as container, container.scope() as one, container.scope() as other:
        users, others = await one.get(Users), await other.get(Users)
        mine, theirs = await users.table, await others.table

    assert mine[0] is users
    assert theirs[0] is others
    assert mine[1] is not theirs[1]


@pytest.mark.parametrize("slots", [True, False])
async def test_a_dataclass_keeps_what_its_body_registered(slots):
    """
    Registrations and class keywords survive that a dataclass with slots makes the class a second time.
    """

    @dataclass(slots=slots)
    class Users(AsyncServiceBase, lifetime="scoped"):
        name: str = "users"

        @inject_dependency("thing")
        def make(self):
            return self.name

    class App(AsyncServiceBase, providers=[Users]):
        pass

    assert Users.get_dependency("thing") is Users.make
    container = Container(App)
    with pytest.raises(ScopeError):
        await container.get(Users)
    async with container.scope() as scope:
        assert (await scope.get(Users)).name == "users"


async def test_an_application_can_be_a_dataclass_with_slots():
    """
    The factories of a slotted dataclass are methods of the class that was made second.
    """

    @dataclass(slots=True)
    class App(AsyncServiceBase):
        name: str = "app"

        @inject_dependency("thing")
        def make(self):
            return self

        @staticmethod
        @inject_dependency("static")
        def make_static():
            return "static"

    container = Container(App)

    thing = await container.get("thing")

    assert type(thing) is App
    assert thing is await container.get(App)
    assert await container.get("static") == "static"


@pytest.mark.parametrize("frozen", [True, False])
async def test_attrs_keeps_what_its_body_registered(frozen):
    """
    Registrations, keywords and awaited attributes survive that attrs makes the class a second time.
    """
    attrs = pytest.importorskip("attrs")

    @attrs.define(frozen=frozen)
    class App(AsyncServiceBase, context=["request"]):
        name: str = "app"
        thing = AsyncDependencyDescriptor("thing")

        @inject_dependency("thing")
        def make(self):
            return self

        @inject_dependency("asked", lifetime="scoped")
        @staticmethod
        def ask(request):
            return request

    async with Container(App) as container, container.scope({"request": "mine"}) as scope:
        app = await container.get(App)

        assert type(app) is App
        assert await app.thing is app
        assert await scope.get("asked") == "mine"


async def test_classes_made_by_a_call_are_services():
    """
    A service class may be made by calling its metaclass, without a body.
    """
    App = type(AsyncServiceBase)("App", (AsyncServiceBase,), {"db": AsyncDependencyDescriptor("database")})
    App.register_value("database", "connection")

    assert await App().db == "connection"


def test_bare_above_a_cache_takes_the_function_below():
    """
    Without parentheses above ``functools.cache``, what that returns is the factory, in a class body a method; it stays what it was.
    """

    class Settings: ...

    class App(AsyncServiceBase):
        made = 0

        @inject_dependency
        @functools.cache  # noqa: B019  # one for each service
        def read(self) -> Settings:
            self.made += 1
            return Settings()

    @inject_dependency
    @functools.cache
    def ask() -> _CachedResult:
        return _CachedResult()

    app = App()
    with Container(app) as container:
        assert container.get_nowait(Settings) is app.read()
        assert container.get_nowait(_CachedResult) is ask()
    assert app.made == 1


class _CachedResult: ...


# --- bare on a class -----------------------------------------------------------------------------


def test_bare_on_a_class_is_told_when_the_name_is_called():
    """
    Whoever forgets the parentheses on a class is told so, by its name, when the name is used.
    """

    @inject_dependency
    class Mailer:
        pass

    with pytest.raises(DeclarationError, match=r"@inject_dependency\(\)") as caught:
        Mailer()

    assert "Mailer" in str(caught.value)


def test_bare_on_a_class_is_told_when_it_is_called_with_arguments():
    """
    Arguments that were meant for the class are no factory.
    """

    @inject_dependency
    class Mailer:
        def __init__(self, host): ...

    with pytest.raises(DeclarationError, match="Mailer"):
        Mailer("localhost")


def test_bare_on_a_class_is_told_when_the_graph_is_checked():
    """
    A parameter annotated with what the name now holds is a problem that names the class.
    """

    @inject_dependency
    class Mailer:
        pass

    class App(AsyncServiceBase):
        @inject_dependency("letters")
        @staticmethod
        def make(mailer: Mailer): ...

    with pytest.raises((DeclarationError, GraphError), check=saying("@inject_dependency()")) as caught:
        Container(App)

    assert "Mailer" in str(caught.value)


def test_bare_on_a_class_in_a_service_body_is_told():
    """
    A nested class that lost its parentheses does not go unnoticed.
    """
    with pytest.raises((DeclarationError, GraphError), check=saying("Mailer")):

        class App(AsyncServiceBase):
            @inject_dependency
            class Mailer:
                pass

        Container(App)


# --- the shared layer ----------------------------------------------------------------------------


async def test_outside_of_a_class_it_lands_in_the_shared_layer():
    """
    A function decorated in a module or function body serves every application.
    """
    name = f"shared {uuid.uuid4()}"

    @inject_dependency(name)
    async def make():
        return "shared"

    assert AsyncServiceBase.get_dependency(name) is make
    assert await Container(fresh_app()).get(name) == "shared"


def test_a_class_method_in_a_body_is_refused_in_either_order():
    """
    What a decorator has registered, and a class method then wraps, would get the service in the place of its class.
    """
    with pytest.raises(DeclarationError, match=r"make is a classmethod: .* a method, which gets the service, or a staticmethod"):

        class App(AsyncServiceBase):
            @classmethod
            @inject_dependency("made")
            def make(cls): ...


@pytest.mark.parametrize("wrap", [classmethod, property])
@pytest.mark.parametrize("token", [str, "name", None], ids=["type", "text", "bare"])
def test_what_is_no_method_of_instances_is_refused_by_its_kind(wrap, token):
    """
    A classmethod or a property in a body is refused as such: nobody is told that parentheses are missing.
    """
    with pytest.raises(DeclarationError, match=rf"{wrap.__name__} is not: .* or a staticmethod"):

        class App(AsyncServiceBase):
            def make(cls) -> str:
                return "made"

            if token is None:
                inject_dependency(wrap(make))
            else:
                inject_dependency(token)(wrap(make))
