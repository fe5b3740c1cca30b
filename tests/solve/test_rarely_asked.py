"""What is asked for, or registered, in ways that few programs use, and is answered all the same."""

import abc
from typing import Annotated, Generic, Protocol, TypeVar

import pytest
import typing_extensions as te
from helpers import fresh_app, outcome, problems

from asyncmeta import (
    All,
    AmbiguousDependencyError,
    AsyncDependencyDescriptor,
    AsyncServiceBase,
    CircularDependencyError,
    Container,
    Factory,
    From,
    GraphErrors,
    Inject,
    Lazy,
    MissingDependencyError,
    inject_dependency,
)

T = TypeVar("T")


class Thing:
    pass


class Other:
    pass


class User:
    pass


class Repo(Generic[T]):
    pass


def refused(make):
    """Return the problems that *make* is refused with."""
    with pytest.raises(Exception) as caught:
        make()
    return problems(caught.value)


def from_two_modules(App, *lines):
    """Register by the same *lines* in two modules."""
    for number in range(2):
        names = {"__name__": f"written_in_{number}", "App": App, "inject_dependency": inject_dependency, "Thing": Thing}
        exec(compile("\n".join(lines), f"written_in_{number}.py", "exec"), names)


# --- lists ---------------------------------------------------------------------------------------------


async def test_an_entry_point_may_be_missing():
    """
    A list names what is asked for from outside; what may be None there is no problem where nothing provides it.
    """
    App = fresh_app(providers=[Thing | None])

    async with Container(App) as container:
        assert await container.get(Thing | None) is None


def test_two_modules_for_a_key_that_a_lower_layer_has_several_of():
    """
    A key that two modules register is told as that alone, not as a mixture of one and several as well.
    """
    App = fresh_app()
    from_two_modules(App, "inject_dependency('thing', on=App)(lambda: 1)")

    class Lower(AsyncServiceBase):
        pass

    Lower.register_dependency("thing", lambda: 0, multi=True)
    App.register_dependency("user", lambda thing: thing)

    assert {type(one) for one in refused(lambda: Container([Lower, App]))} == {AmbiguousDependencyError}


def test_two_modules_for_a_context_value():
    """
    A factory for scopes that are opened without a value is one, not one of each module.
    """
    App = fresh_app(context=[Thing])
    from_two_modules(App, "inject_dependency(Thing, on=App)(lambda: 1)")
    App.register_dependency("user", lambda thing: thing, lifetime="scoped")
    App.register_dependency(Other, lambda thing: 1, lifetime="scoped")

    def needs(thing: Thing): ...

    App.register_dependency("needs", needs, lifetime="scoped")

    assert any(isinstance(one, AmbiguousDependencyError) for one in refused(lambda: Container(App)))


def test_two_modules_for_the_name_of_a_member():
    """
    A mapping of members by their names has one of each.
    """
    App = fresh_app()
    from_two_modules(App, "inject_dependency(Thing, on=App, multi='first')(lambda: 1)")

    def needs(things: Annotated[dict[str, Thing], Inject(Thing)]): ...

    App.register_dependency("needs", needs)

    assert any(isinstance(one, AmbiguousDependencyError) for one in refused(lambda: Container(App)))


async def test_more_keys_of_several():
    """
    Each further key of several is one of several, too.
    """
    App = fresh_app()
    for _ in range(2):
        App.register_dependency(Thing, Thing, multi=True, also=["thing"])

    async with Container(App) as container:
        assert await container.get(Annotated[list[Thing], Inject("thing")]) == list(await container.get(All[Thing]))


async def test_all_of_an_open_generic_beside_a_single_one():
    """
    A layer may have several factories for a generic where another one has one: those that are several are listed.
    """
    App = fresh_app()
    App.register_dependency(Repo[T], lambda: "open", multi=True)
    App.register_dependency(Repo[int], lambda: "closed", multi=True)

    async with Container(App) as container:
        assert list(await container.get(All[Repo[int]])) == ["open", "closed"]
        assert list(await container.get(All[Repo[str]])) == ["open"]


# --- handles and attributes ---------------------------------------------------------------------------------


async def test_a_handle_of_a_handle():
    """
    Each is awaited.
    """
    App = fresh_app(providers=[Thing])

    async with Container(App) as container:
        outer = await container.get(Lazy[Lazy[Thing]])

        assert type(await (await outer)) is Thing


async def test_a_handle_of_a_handle_of_a_factory():
    """
    What a Factory at the end of handles makes may take arguments.
    """

    class Report:
        def __init__(self, title: str):
            self.title = title

    App = fresh_app()
    App.register_dependency(Report, Report)

    async with Container(App) as container:
        handle = await container.get(Lazy[Lazy[Factory[Report]]])
        make = await (await handle)

        assert (await make(title="sales")).title == "sales"


async def test_an_attribute_with_a_fallback_for_who_asks():
    """
    A descriptor of a service is a token: who asks for it may give what stands for a value that is not there.
    """

    class Users(AsyncServiceBase):
        thing = AsyncDependencyDescriptor(Thing)

    def asks(thing: Annotated[Thing, Inject(Users.thing)] = "nothing"):
        return thing

    App = fresh_app()
    App.register_dependency("asks", asks)

    async with Container(App) as container:
        assert await container.get("asks") == "nothing"


async def test_a_context_value_that_may_be_missing_is_none_outside_of_scopes():
    """
    In a scope it is what that was opened with; a container has none.
    """
    App = fresh_app(context=[User])

    async with Container(App) as container, container.scope({User: "Ada"}) as scope:
        assert await scope.get(User | None) == "Ada"
        assert await container.get(User | None) is None


# --- circles and what is never run -----------------------------------------------------------------------------


def test_a_circle_through_a_service_that_starts():
    """
    What constructs and what starts a service are one step in the text of a circle.
    """

    class Users(AsyncServiceBase):
        def __init__(self, orders: "Orders"): ...  # see below

        async def on_startup(self): ...

    class Orders(AsyncServiceBase):
        def __init__(self, users: Users): ...

        async def on_startup(self): ...

    Users.__init__.__annotations__["orders"] = Orders

    (problem,) = refused(lambda: Container(fresh_app(providers=[Users, Orders])))

    assert isinstance(problem, CircularDependencyError)
    assert "Users.orders -> Orders.users -> Users" in str(problem) or "Orders.users -> Users.orders -> Orders" in str(problem)


async def test_a_start_of_what_does_not_fit_is_refused_where_the_check_was_left_out():
    """
    A container that was not checked says at its start what is missing, of what is named and of what that needs.
    """

    class Needs:
        def __init__(self, thing: Thing): ...

    class Above:
        def __init__(self, needs: Needs): ...

    for providers in ([Thing | int], [Needs], [Above, Needs]):
        App = fresh_app(providers=providers)
        with pytest.raises((MissingDependencyError, GraphErrors)):
            await Container(App, check=False).start()


class Root(AsyncServiceBase):
    async def on_startup(self):
        await super().on_startup()


class Left(Root):
    async def on_startup(self):
        await super().on_startup()
        await Root.on_startup(self)


class Counted:
    """A method that is no function of Python's."""

    def __init__(self, function):
        self.function = function

    def __get__(self, instance, owner):
        return self.function.__get__(instance, owner)

    def __call__(self, *given):
        return self.function(*given)


class Right(Root):
    async def on_startup(self):
        await super().on_startup()


class Both(Left, Right):
    async def _both(self):
        await Left.on_startup(self)

    on_startup = Counted(_both)


def test_of_methods_that_may_call_anything_nothing_is_said():
    """
    A hook that is an object may call all behind it; one that is called twice is called.
    """
    report = Container(fresh_app(providers=[Both])).check()

    assert report.unreached == ()


# --- from outside ------------------------------------------------------------------------------------------------


def test_a_class_that_asks_for_what_it_stands_for():
    """
    A factory that needs the key it is registered under needs one of a lower layer; there is none, and that is said.
    """

    class Port(abc.ABC):
        pass

    def around(port: Port) -> Port:
        return port

    App = fresh_app()
    inject_dependency(on=App)(around)

    (problem,) = refused(lambda: Container(App))

    assert "Port" in str(problem)


def test_a_handler_of_what_is_missing_names_who_asks():
    """
    What is asked for through a mark that is none of the graph's is told with the key.
    """
    App = fresh_app()

    with pytest.raises(MissingDependencyError, match="nothing provides Thing"):
        Container(App).get_nowait(From[Thing])


async def test_what_a_constructor_may_be_given_is_left_out_where_nothing_provides_it():
    """
    Of the keys that ``**options`` may have, those that something provides are passed, also beside what is made anew.
    """

    class Options(te.TypedDict, total=False):
        retries: int
        thing: Thing

    class Client:
        def __init__(self, other: Other, **options: te.Unpack[Options]) -> None:
            self.options = options

    App = fresh_app(providers=[Thing, Client])
    App.register_dependency(Other, Other, lifetime="transient")

    async with Container(App) as container:
        client = await container.get(Client)
        thing = await container.get(Thing)

    assert client.options == {"thing": thing}


class Wants(AsyncServiceBase):
    thing: AsyncDependencyDescriptor[Thing]


async def test_a_token_of_an_attribute_with_a_fallback():
    """
    Who asks for what another class's attribute asks for may say what to take where nothing provides it.
    """
    App = fresh_app()
    token = Annotated[Thing, Inject(Wants.thing, "nothing")]

    async with Container(App) as container:
        without = await container.get(token)
        App.register_dependency(Thing, Thing)
        found = await container.get(token)

    assert without == "nothing"
    assert type(found) is Thing


class Store(Protocol):
    def read(self) -> str: ...


class Shelf:
    def read(self) -> str:
        return "shelf"


class Cached(AsyncServiceBase):
    def __init__(self, store: Store) -> None:
        self.store = store

    def read(self) -> str:
        return f"cached {self.store.read()}"


Cached.register_dependency(Store, Shelf)


async def test_a_service_that_serves_what_it_keeps_to_itself():
    """
    A service class registered for a key has its own private registration of that key, and not itself.
    """
    App = fresh_app()
    App.register_dependency(Store, Cached)

    async with Container(App) as container:
        assert (await container.get(Store)).read() == "cached shelf"


class Pair(Generic[T]):
    pass


def test_open_keys_of_one_class_that_are_single_and_several():
    """
    What serves another form of an open generic, once or several times, is passed over.
    """
    App = fresh_app()

    def lists() -> Repo[list[T]]:
        return "of lists"

    def pairs() -> Repo[Pair[T]]:
        return "of pairs"

    def sets() -> Repo[set[T]]:
        return "of sets"

    App.register_dependency(Repo[list[T]], lists, multi=True)
    App.register_dependency(Repo[Pair[T]], pairs)
    App.register_dependency(Repo[set[T]], sets, multi=True)
    container = Container(App)

    assert container.get_nowait(Repo[Pair[int]]) == "of pairs"
    assert container.get_nowait(All[Repo[list[int]]]) == ["of lists"]
    assert container.get_nowait(All[Repo[set[int]]]) == ["of sets"]


async def test_an_attribute_of_its_own_class_says_what_is_missing_where_the_check_was_left_out():
    """
    A service that asks for another one of its own kind, of which there is none, is told so at the attribute.
    """
    App = fresh_app(providers=[Alone])
    container = Container(App, check=False)
    await outcome(container.get(Alone))
    alone = container.adopt(Alone())

    with pytest.raises(MissingDependencyError) as caught:
        await alone.other

    assert caught.value.path == ("Alone.other", "Alone")


class Alone(AsyncServiceBase):
    other: AsyncDependencyDescriptor["Alone"]


K = TypeVar("K")


class Readable(Generic[T]):
    pass


class Rows(Readable[K], Generic[K]):
    pass


async def test_one_more_key_of_an_open_generic_may_name_other_variables():
    """
    What is registered as Rows[K], and as Readable[T], too, is one value by whichever key it is asked for.
    """
    App = fresh_app()

    def rows(of: type[K]) -> Rows[K]:
        made = Rows()
        made.of = of
        return made

    App.register_dependency(Rows[K], rows, also=[Readable[T]])

    async with Container(App) as container:
        read, rows = await container.get(Readable[int]), await container.get(Rows[int])

    assert read is rows
    assert rows.of is int


async def test_bases_whose_arguments_nothing_says_are_no_keys():
    """
    A generic class that is registered by a name stands for those of its bases that say of what they are.
    """

    class Numbers(Rows[T], Readable[int], Generic[T]): ...

    App = fresh_app()
    App.register_dependency("numbers", Numbers, also="bases")
    container = Container(App, check=False)

    assert await container.get(Readable[int]) is await container.get("numbers")
    with pytest.raises(MissingDependencyError):
        await container.get(Rows[int])


class Columns:
    """Has an attribute that generic classes have, too."""

    __parameters__ = ("one", "two")

    def make(self, thing: Thing) -> Other:
        return Other()


def test_a_class_that_calls_something_parameters_is_not_generic():
    """
    Its methods are factories like any other.
    """
    App = fresh_app(providers=[Thing])
    App.register_dependency(Other, Columns().make)

    assert type(Container(App).get_nowait(Other)) is Other


def test_one_more_key_of_what_stands_around_nothing():
    """
    Who asks by another key for what stands around a value that is not there is told the same as who asks by its own.
    """
    App = fresh_app()

    @inject_dependency("word", around=True, also=["speech"], on=App)
    def around(word): ...

    container = Container(App, check=False)

    for key in ("word", "speech"):
        with pytest.raises(CircularDependencyError, match='"word" needs itself'):
            container.get_nowait(key)


class Box(Generic[T]):
    def make(self) -> list[T]:
        return []


class PlainBox(Box):  # type: ignore[type-arg]
    """Does not say of what it is a box."""


def test_a_method_of_a_generic_class_that_says_nothing_of_its_variables():
    """
    It is a factory of whatever it is registered for.
    """
    App = fresh_app()
    App.register_dependency(list[int], PlainBox().make)

    assert Container(App).get_nowait(list[int]) == []
