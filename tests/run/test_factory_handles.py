"""Rule 6: ``Factory[T]``, which makes a new value at each call."""

import asyncio
import copy
import datetime
import pickle
import uuid
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Annotated, Literal, NewType

import pytest
from helpers import Journal, fresh_app, outcome, problems

from asyncmeta import (
    INJECTED,
    All,
    AsyncDependencyDescriptor,
    AsyncDependencyError,
    AsyncServiceBase,
    BuildTimeoutError,
    CaptiveDependencyError,
    ClosedError,
    Container,
    Factory,
    FinalizationErrors,
    From,
    GraphErrors,
    Inject,
    Lazy,
    MissingDependencyError,
    Named,
    Scope,
    ScopeError,
    inject_dependency,
    injected,
)


class Database:
    pass


class Report:
    """Needs a run-time argument, an injected dependency and an optional argument."""

    def __init__(self, month: int, database: Database, *, year: int = 2020):
        self.month, self.database, self.year = month, database, year


def reporting_app():
    """Return an application in which "make" is the handle."""
    App = fresh_app()
    App.register_dependency(Database, Database)
    App.register_dependency(Report, Report)

    def make(make: Factory[Report]):
        return make

    App.register_dependency("make", make)
    return App


# --- arguments ----------------------------------------------------------------------------------------


async def test_arguments_by_name_and_the_rest_injected():
    """
    What nothing provides is an argument of the call, by name; everything else is injected.
    """
    async with Container(reporting_app()) as container:
        make = await container.get("make")
        report = await make(month=5)
        database = await container.get(Database)

    assert (report.month, report.year) == (5, 2020)
    assert report.database is database


async def test_a_parameter_with_a_default_may_be_given():
    """
    A parameter that nothing provides and that has a default is an argument that may be left out.
    """
    async with Container(reporting_app()) as container:
        report = await (await container.get("make"))(month=5, year=1999)

    assert (report.month, report.year) == (5, 1999)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "'month' is missing"),
        ({"mnth": 5}, "'mnth' is no argument of it, did you mean 'month'? and 'month' is missing"),
        ({"month": 5, "day": 1}, "'day' is no argument of it"),
        ({"month": 5, "database": None}, "'database' is no argument of it"),
    ],
)
async def test_arguments_are_checked_when_called(arguments, said):
    """
    An unknown or missing argument is a TypeError that names it, the factory, its place and what may be given.
    """
    async with Container(reporting_app()) as container:
        make = await container.get("make")
        failures = [await outcome(make(**arguments))]
        try:
            make.nowait(**arguments)
        except Exception as error:
            failures.append(error)

    assert len(failures) == 2
    for failure in failures:
        assert isinstance(failure, TypeError)
        assert said in str(failure)
        assert "Factory of Report" in str(failure)
        assert "test_factory_handles.py:" in str(failure)
        assert str(failure).endswith("its arguments are: month, year")


async def test_values_of_arguments_are_opaque():
    """
    Arguments are handed over as they are, whatever their type: nothing is cast, compared or kept.
    """

    class Hostile:
        def __eq__(self, other):
            raise AssertionError

        __hash__ = None

        def __bool__(self):
            raise AssertionError

    async with Container(reporting_app()) as container:
        make = await container.get("make")
        for value in (None, Hostile(), [], "five"):
            assert (await make(month=value)).month is value


async def test_arguments_of_every_kind_of_factory():
    """
    Functions, coroutines, generators and methods take arguments as classes do; unannotated ones by their names.
    """

    async def coroutine(month, database: Database):
        return month, database

    def generator(month: int, database: Database):
        yield month, database

    async def async_generator(month, /, database: Database):
        yield month, database

    def asking(name):  # a function of its own, because since Python 3.14 its annotation is read later
        def user(make: Factory[Annotated[object, Inject(name)]]):
            return make

        return user

    App = fresh_app()
    App.register_dependency(Database, Database)
    for name, factory in {"c": coroutine, "g": generator, "a": async_generator}.items():
        App.register_dependency(name, factory)

        App.register_dependency(f"make {name}", asking(name))

    async with Container(App) as container:
        database = await container.get(Database)
        for name in "cga":
            assert await (await container.get(f"make {name}"))(month=name) == (name, database)


class Colour(Enum):
    RED = 1


class Order: ...


class Invoice:
    def __init__(self, database: Database, order: Order):
        self.order = order


async def test_a_type_of_the_program_is_an_argument_where_a_factory_asks():
    """
    A parameter of a type that the program could register is a problem, unless somebody asks for a Factory: a list may say so.
    """
    App = fresh_app(providers=[Database, Invoice])
    with pytest.raises(GraphErrors) as caught:
        Container(App)
    App.register_providers([Factory[Invoice]])
    order = Order()

    async with Container(App) as container:
        invoice = await (await container.get(Factory[Invoice]))(order=order)

    assert isinstance(problems(caught.value)[0], MissingDependencyError)
    assert invoice.order is order


Number = NewType("Number", int)
DATA = [int, bytes | str, list[str], Sequence[str], Literal["a"], datetime.date, int | uuid.UUID, Colour, Number, Path]


@pytest.mark.parametrize("data", DATA)
async def test_data_is_an_argument_whoever_asks(data):
    """
    What only a Factory can make, since it takes data, is no problem of the check: a handler may ask. The report says which.
    """

    class Dated:
        def __init__(self, database: Database, day: data):
            self.day = day

    App = fresh_app(providers=[Database, Dated])

    @injected
    async def handler(make: From[Factory[Dated]] = INJECTED):
        return (await make(day="given")).day

    async with Container(App) as container:
        await container.start()
        report = container.check()

        assert await handler() == "given"
    assert [line.partition(" (")[0] for line in report.factory_only] == ["Dated: day"]


def by_parameter(App):
    def user(report: Report): ...

    App.register_dependency("user", user)


def by_annotation(App):
    class User:
        def __init__(self, report: Report): ...

    App.register_dependency(User, User)


def by_attribute(App):
    class User(AsyncServiceBase):
        report = AsyncDependencyDescriptor(Report)

    App.register_dependency(User, User)


def by_lazy(App):
    class User:
        def __init__(self, report: Lazy[Report], make: Factory[Report]): ...

    App.register_dependency(User, User)


@pytest.mark.parametrize("ask", [by_parameter, by_annotation, by_attribute, by_lazy])
def test_asked_for_plainly_it_is_a_problem(ask):
    """
    Whatever else needs it as it is makes it a problem, which says what to do: ask for a Factory. In a check, and in no get.
    """
    App = fresh_app(providers=[Database, Report])
    ask(App)

    with pytest.raises(GraphErrors) as caught:
        Container(App)

    (problem,) = problems(caught.value)
    assert "month is an argument: ask for Factory[Report], and call it with month=..." in str(problem)


async def test_a_handler_that_asks_plainly_is_told():
    """
    An injected function that asks for it as it is, and a get, are told the same.
    """
    async with Container(fresh_app(providers=[Database, Report])) as container:
        failure = await outcome(container.get(Report))

        async def handler(report: From[Report] = INJECTED): ...

        with pytest.raises(GraphErrors) as caught:
            container.inject(handler)

    assert "ask for Factory[Report]" in str(failure)
    assert "ask for Factory[Report]" in str(caught.value)


def test_what_goes_by_a_string_is_asked_for_by_its_mark():
    """
    Of a key that is no type the text shows how a Factory of it is asked for.
    """
    App = fresh_app()
    App.register_dependency(Database, Database)
    App.register_dependency("report", Report)
    App.register_dependency("user", lambda report: report)

    with pytest.raises(GraphErrors) as caught:
        Container(App)

    assert 'ask for Annotated[Factory[Report], Inject("report")], and call it with month=...' in str(caught.value)


async def test_a_plain_get_says_which_argument_is_missing():
    """
    Asked for plainly, a key that needs an argument says which, and how it is given.
    """
    async with Container(reporting_app()) as container:
        failure = await outcome(container.get(Report))

    assert isinstance(failure, MissingDependencyError)
    assert "month is an argument: ask for Factory[Report], and call it with month=..." in str(failure)


async def test_start_leaves_out_what_needs_arguments():
    """
    start() builds everything but what only a Factory can make.
    """
    async with Container(reporting_app()) as container:
        report = await container.start()

    assert {timing.key for timing in report.builds} >= {"Database", '"make"'}
    assert "Report" not in [timing.key for timing in report.builds]


# --- a new value ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("lifetime", ["singleton", "scoped", "transient"])
async def test_a_new_value_whatever_its_lifetime(lifetime):
    """
    Each call makes a new value; the one that is shared under the key is another, and is not touched.
    """
    App = fresh_app()
    App.register_dependency(Database, Database, lifetime=lifetime)

    def user(make: Factory[Database]):
        return make

    App.register_dependency("make", user, lifetime="scoped")

    async with Container(App) as container, container.scope() as scope:
        make = await scope.get("make")
        made = [await make(), await make(), make.nowait(), await scope.get(Database), await scope.get(Database)]

    distinct = 5 if lifetime == "transient" else 4
    assert len(set(map(id, made))) == distinct


async def test_what_it_takes_is_shared_as_its_lifetime_says():
    """
    Only the value itself is made anew: its singletons and scoped values are the shared ones, its transients are its own.
    """
    App = fresh_app()
    for lifetime in ("singleton", "scoped", "transient"):
        App.register_dependency(lifetime, object, lifetime=lifetime)
    App.register_dependency("made", lambda singleton, scoped, transient: (singleton, scoped, transient), lifetime="scoped")

    def user(make: Factory[Annotated[object, Inject("made")]]):
        return make

    App.register_dependency("make", user, lifetime="scoped")

    async with Container(App) as container, container.scope() as scope:
        make = await scope.get("make")
        one, other = await make(), await make()
        shared = await scope.gather("singleton", "scoped")

    assert [a is b for a, b in zip(one, other, strict=True)] == [True, True, False]
    assert one[:2] == shared


async def test_calls_at_once_are_calls_of_their_own():
    """
    Tasks that call at the same time get a value each: nothing is shared, nothing waits.
    """
    App, meeting = fresh_app(), asyncio.Barrier(5)

    async def value(number):
        await meeting.wait()
        return number

    App.register_dependency("value", value)

    def user(make: Factory[Annotated[object, Inject("value")]]):
        return make

    App.register_dependency("make", user)

    async with Container(App) as container:
        make = await container.get("make")
        made = await asyncio.wait_for(asyncio.gather(*(make(number=number) for number in range(5))), 5)

    assert made == list(range(5))


async def test_a_service_is_made_started_and_stopped():
    """
    A service class made by a Factory is started for each value, has its attributes, and is stopped with the holder.
    """
    journal = Journal()

    class Service(AsyncServiceBase):
        database = AsyncDependencyDescriptor(Database)

        def __init__(self, number: int = 0):
            self.number = number

        async def on_startup(self):
            journal.append(f"+{self.number}")

        async def on_shutdown(self):
            journal.append(f"-{self.number}")

    App = fresh_app()
    App.register_dependency(Database, Database)

    def user(make: Factory[Service]):
        return make

    App.register_dependency("make", user)

    async with Container(App) as container:
        make = await container.get("make")
        one, two = await make(number=1), await make(number=2)
        shared = await container.get(Service)
        databases = [await service.database for service in (one, two, shared)]
        homes = {Scope.of(service) for service in (one, two)}

    assert len({id(service) for service in (one, two, shared)}) == 3
    assert len(set(map(id, databases))) == 1
    assert homes == {container}
    assert journal == ["+1", "+2", "+0", "-0", "-2", "-1"]


async def test_an_open_generic_is_made_with_its_argument():
    """
    Factory[Repo[User]] makes repositories of users; type[T] is no argument of the call.
    """
    from typing import Generic, TypeVar

    T = TypeVar("T")

    class Repo(Generic[T]):
        def __init__(self, cls: type[T], table: str):
            self.cls, self.table = cls, table

    App = fresh_app()
    App.register_dependency(Repo, Repo)

    def user(make: Factory[Repo[Database]]):
        return make

    App.register_dependency("make", user)

    async with Container(App) as container:
        make = await container.get("make")
        repo = await make(table="databases")
        refused = await outcome(make(table="databases", cls=int))

    assert (repo.cls, repo.table) == (Database, "databases")
    assert isinstance(refused, TypeError)


# --- whose it is ------------------------------------------------------------------------------------------


async def test_what_is_made_is_closed_with_the_holder_of_the_handle():
    """
    A value made through a handle is closed with the scope or container that holds the handle, in reverse order.
    """
    App, journal = fresh_app(), Journal()

    async def session(name):
        with journal.noting(name):
            yield name

    App.register_dependency("session", session)

    def user(make: Factory[Annotated[object, Inject("session")]]):
        return make

    App.register_dependency("of the container", user)
    App.register_dependency("of the scope", user, lifetime="scoped")

    async with Container(App) as container:
        async with container.scope() as scope:
            outer, inner = await scope.gather("of the container", "of the scope")
            await outer(name="outer")
            await inner(name="inner 1")
            await inner(name="inner 2")
            await inner(name="inner 3")
        journal.append("scope closed")

    assert journal.closed == ["inner 3", "inner 2", "inner 1", "outer"]
    assert journal.index("scope closed") < journal.index("-outer")


async def test_a_closed_holder_s_handle_is_closed():
    """
    Calling a handle whose scope or container is closed is a ClosedError.
    """
    App = fresh_app()
    App.register_dependency(Database, Database)

    def user(make: Factory[Database]):
        return make

    App.register_dependency("make", user)
    App.register_dependency("scoped make", user, lifetime="scoped")

    container = Container(App)
    async with container.scope() as scope:
        make, scoped = await scope.gather("make", "scoped make")
    closed_scope = await outcome(scoped())
    await make()
    await container.aclose()

    assert isinstance(closed_scope, ClosedError)
    assert isinstance(await outcome(make()), ClosedError)
    with pytest.raises(ClosedError):
        make.nowait()


async def test_a_failing_call_leaves_what_was_made_to_the_holder():
    """
    What the factory raises passes unchanged; what a failing call had already set up is closed with the holder.
    """
    App, journal, own = fresh_app(), Journal(), ValueError("bad month")

    def part():
        with journal.noting("part"):
            yield "part"

    def value(part, month):
        raise own

    App.register_dependency("part", part, lifetime="transient")
    App.register_dependency("value", value)

    def user(make: Factory[Annotated[object, Inject("value")]]):
        return make

    App.register_dependency("make", user)

    async with Container(App) as container:
        failure = await outcome((await container.get("make"))(month=13))

    assert failure is own
    assert journal == ["+part", "-part"]


async def test_errors_of_finalizers_are_the_holder_s():
    """
    What the finalizer of a made value raises is raised by closing the holder.
    """
    App = fresh_app()

    def value():
        yield "value"
        raise OSError("disk full")

    App.register_dependency("value", value)

    def user(make: Factory[Annotated[object, Inject("value")]]):
        return make

    App.register_dependency("make", user)
    container = Container(App)
    make = await container.get("make")
    await make()
    await make()

    failure = await outcome(container.aclose())

    assert isinstance(failure, FinalizationErrors)
    assert len(failure.exceptions) == 2


async def test_a_captive_is_judged_by_what_the_factory_takes():
    """
    A singleton may hold the Factory of a scoped value that takes singletons, and not of one that takes a scoped value.
    """
    App = fresh_app()
    App.register_dependency(Database, Database)
    App.register_dependency("harmless", lambda: object(), lifetime="scoped")
    App.register_dependency("scoped", object, lifetime="scoped")
    App.register_dependency("captor", lambda scoped: object(), lifetime="transient")

    def harmless(make: Factory[Annotated[object, Inject("harmless")]]):
        return make

    def harmful(make: Factory[Annotated[object, Inject("captor")]]):
        return make

    App.register_dependency("make", harmless)
    async with Container(App) as container:
        made = await (await container.get("make"))()

    App.register_dependency("make", harmful)
    with pytest.raises(GraphErrors) as caught:
        Container(App)

    assert type(made) is object
    assert isinstance(problems(caught.value)[0], CaptiveDependencyError)


async def test_a_factory_breaks_a_circle():
    """
    A Factory parameter is called later, so it may close a circle of dependencies.
    """

    class Node:
        def __init__(self, make: "Factory[Node]", depth: int = 0):
            self.make, self.depth = make, depth

    App = fresh_app()
    App.register_dependency(Node, Node)
    Node.__init__.__annotations__["make"] = Factory[Node]  # the name is local to this test

    async with Container(App) as container:
        root = await container.get(Node)
        child = await root.make(depth=1)
        grandchild = await child.make(depth=2)

    assert [root.depth, child.depth, grandchild.depth] == [0, 1, 2]


# --- the handle -----------------------------------------------------------------------------------------


async def test_without_awaiting():
    """
    nowait(**arguments) makes values that need no awaiting, and refuses others before anything is begun.
    """
    App, begun = reporting_app(), []

    async def slow():
        begun.append(1)

    App.register_dependency("slow", slow)

    def user(make: Factory[Annotated[object, Inject("slow")]]):
        return make

    App.register_dependency("make slow", user)

    async with Container(App) as container:
        make, make_slow = await container.gather("make", "make slow")
        report = make.nowait(month=3)
        with pytest.raises(AsyncDependencyError, match="slow"):
            make_slow.nowait()

    assert (report.month, type(report.database)) == (3, Database)
    assert begun == []


def test_without_a_loop():
    """
    In a program without a loop nowait() makes values, and the plain closing closes them.
    """
    App, journal = fresh_app(), Journal()

    def value(name):
        with journal.noting(name):
            yield name

    App.register_dependency("value", value)

    def user(make: Factory[Annotated[object, Inject("value")]]):
        return make

    App.register_dependency("make", user)
    App.register_dependency("scoped make", user, lifetime="scoped")

    with Container(App) as container, container.scope() as scope:
        container.get_nowait("make").nowait(name="one")
        scope.get_nowait("scoped make").nowait(name="two")

    assert journal == ["+one", "+two", "-two", "-one"]


async def test_every_way_of_asking_for_one():
    """
    A Factory can be a parameter, an attribute, inside of Lazy, optional, or asked of the container; a token names its key.
    """
    App = reporting_app()
    App.register_dependency("report", Report)

    class Service(AsyncServiceBase):
        attribute = AsyncDependencyDescriptor(Factory[Report])

        def __init__(
            self,
            named: Annotated[Factory[Report], Inject("report")],
            late: Lazy[Factory[Report]],
            absent: Factory[int] | None,
            default: Factory[int] = 3,
        ):
            self.named, self.late, self.rest = named, late, (absent, default)

    App.register_dependency(Service, Service)

    async with Container(App) as container:
        service = await container.get(Service)
        handles = [service.named, await service.late, await service.attribute, await container.get(Factory[Report])]
        months = [(await make(month=number)).month for number, make in enumerate(handles)]

    assert months == [0, 1, 2, 3]
    assert service.rest == (None, 3)


@pytest.mark.parametrize("asked", [Factory[All[Database]], Factory[Container], Factory[str]])
def test_a_factory_of_what_nobody_makes_is_a_problem(asked):
    """
    A Factory of the container, of a context value, of a list or of nothing is found by the check.
    """
    App = fresh_app(context=[str])
    App.register_dependency(Database, Database, multi=True)

    def user(make: asked):
        return make

    App.register_dependency("user", user, lifetime="scoped")

    with pytest.raises(GraphErrors) as caught:
        Container(App)

    assert isinstance(problems(caught.value)[0], MissingDependencyError)


async def test_thread_and_time_limit_hold_for_it():
    """
    in_thread= and timeout= of a registration hold for each value that a Factory makes.
    """
    App = fresh_app()

    async def slow(number):
        if number:
            await asyncio.Event().wait()
        return number

    App.register_dependency("slow", slow, timeout=0.02)

    def user(make: Factory[Annotated[object, Inject("slow")]]):
        return make

    App.register_dependency("make", user)

    async with Container(App) as container:
        make = await container.get("make")
        quick, late = await make(number=0), await outcome(make(number=1))

    assert quick == 0
    assert isinstance(late, BuildTimeoutError)


async def test_a_handle_says_what_it_makes_and_stays_here():
    """
    A handle's repr names its key; it is bound to its container and refuses to be copied or pickled.
    """
    async with Container(reporting_app()) as container:
        make = await container.get("make")

        assert repr(make) == "<Factory Report>"
        for take_away in (copy.copy, copy.deepcopy, pickle.dumps):
            with pytest.raises(TypeError, match="belongs to the container"):
                take_away(make)


async def test_arguments_are_given_by_name():
    """
    An argument by position is refused with the names that there are.
    """
    async with Container(reporting_app()) as container:
        make = await container.get("make")
        for call in make, make.nowait:
            with pytest.raises(TypeError, match=r"Factory of Report \(.*\) takes its arguments by name: month=..., year=..."):
                call(5)


@pytest.mark.parametrize("needed", [Scope, "scoped"])
async def test_what_it_takes_lives_further_in(needed):
    """
    A Factory that the container gives makes nothing that needs a scope, and says so; asked of a scope it does.
    """
    App = fresh_app()
    App.register_dependency("scoped", object, lifetime="scoped")

    @inject_dependency("made", lifetime="scoped", on=App)
    def make(inside: Annotated[object, Inject(needed)], number: int):
        return number

    asked = Annotated[Factory[int], Inject("made")]

    async with Container(App) as container:
        outside = await container.get(asked)
        for call in outside, outside.nowait:
            with pytest.raises(ScopeError, match='"made" needs a scope, and this is the container'):
                await call(number=1)
        async with container.scope() as scope:
            assert await (await scope.get(asked))(number=2) == 2


async def test_a_handle_that_is_taken_for_its_value():
    """
    An attribute of a Factory, or of a named collection, says what the handle is; probing for a special name stays quiet.
    """
    App = reporting_app()
    App.register_dependency("plug", object, multi="one")

    async with Container(App) as container:
        make, plugs = await container.get("make"), await container.get(Annotated[Named[object], Inject("plug")])

        with pytest.raises(AttributeError, match=r"^<Factory Report> makes one when it is called: \(await \.\.\.\(\)\)\.month$"):
            make.month
        with pytest.raises(AttributeError, match=r'^<Named "plug": "one"> leads to several: \(await \.\.\.\[name\]\)\.one$'):
            plugs.one
        assert not hasattr(make, "__wrapped__") and not hasattr(plugs, "__array__")


@pytest.mark.parametrize("between", ["transient", "scoped"])
async def test_what_makes_a_short_lived_value_anew_may_itself_be_made_for_a_long_life(between):
    """
    Only what the factory takes counts, also where a transient value, or another factory, stands between it and the holder.
    """
    App = fresh_app()
    App.register_dependency("short", object, lifetime="scoped")

    def factory_of(make: Factory[Annotated[object, Inject("short")]]):
        return make

    def user(make: Annotated[object, Inject("between")]):
        return make

    def user_of_factory(make: Factory[Annotated[object, Inject("between")]]):
        return make

    App.register_dependency("between", factory_of, lifetime=between)
    App.register_dependency("user", user_of_factory if between == "scoped" else user)
    async with Container(App) as container:
        make = await container.get("user")
        made = await (await make())() if between == "scoped" else await make()

    assert type(made) is object


@pytest.mark.parametrize("between", ["transient", "scoped"])
def test_a_captive_of_a_factory_within_a_factory_is_told_with_its_way(between):
    """
    What a factory takes is too short for the holder of a handle, however many handles and transient values lie between.
    """
    App = fresh_app(context=[int])

    def captor(request: int):
        return request

    def factory_of(make: Factory[Annotated[object, Inject("captor")]]):
        return make

    def user(make: Annotated[object, Inject("between")]):
        return make

    def user_of_factory(make: Factory[Annotated[object, Inject("between")]]):
        return make

    App.register_dependency("captor", captor, lifetime="scoped")
    App.register_dependency("between", factory_of, lifetime=between)
    App.register_dependency("user", user_of_factory if between == "scoped" else user)
    with pytest.raises(GraphErrors) as caught:
        Container(App)

    (problem,) = problems(caught.value)
    assert isinstance(problem, CaptiveDependencyError)
    assert (problem.lifetime, problem.shorter) == ("singleton", "scoped")
    assert problem.path[0] == '"user".make'
