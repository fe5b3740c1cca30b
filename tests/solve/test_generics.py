"""Rule 6: open generics, which serve every closed form that somebody asks for."""

import asyncio
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Generic, NewType, Protocol, Self, TypeVar

import pytest
import typing_extensions as te
from helpers import Journal, fresh_app, outcome, problems
from typing_extensions import TypeAliasType, TypeVarTuple

from asyncmeta import (
    All,
    AmbiguousDependencyError,
    AsyncDependencyDescriptor,
    AsyncServiceBase,
    CircularDependencyError,
    Container,
    Factory,
    GraphErrors,
    Inject,
    Lazy,
    MissingDependencyError,
    Scope,
    inject_dependency,
)

T = TypeVar("T")
U = TypeVar("U")


class Model:
    pass


class User(Model):
    pass


class Order(Model):
    pass


ModelT = TypeVar("ModelT", bound=Model)
LateT = TypeVar("LateT", bound="Model")
ChosenT = TypeVar("ChosenT", User, str)
UnionT = TypeVar("UnionT", bound=User | str)
UnreadableT = TypeVar("UnreadableT", bound="NoSuchName")  # noqa: F405  # that is its subject


class Repo(Generic[T]):
    def __init__(self, cls: type[T]):
        self.cls = cls


class Codec(Generic[T]):
    def __init__(self, cls: type[T]):
        self.cls = cls


class Pair(Generic[T, U]):
    def __init__(self, first: type[T], second: type[U]):
        self.classes = first, second


# --- the two forms --------------------------------------------------------------------------------------


async def test_a_class_serves_every_closed_form():
    """
    A registered generic class serves each closed form; type[T] receives the argument itself.
    """
    App = fresh_app()
    App.register_dependency(Repo, Repo)

    async with Container(App) as container:
        users, orders, again = [await container.get(key) for key in (Repo[User], Repo[Order], Repo[User])]

    assert (users.cls, orders.cls) == (User, Order)
    assert users is again is not orders


async def test_a_factory_serves_every_closed_form():
    """
    A factory that is annotated to return Repo[T] serves each closed form, whatever its kind; generators close in turn.
    """
    App, journal = fresh_app(), Journal()

    @inject_dependency(on=App)
    async def open_repo(cls: type[T]) -> Repo[T]:
        return Repo(cls)

    async def open_codec(cls: type[T], repo: Repo[T]):
        with journal.noting(f"codec of {repo.cls.__name__}"):
            yield Codec(cls)

    App.register_dependency(Codec[T], open_codec)

    async with Container(App) as container:
        codecs = [await container.get(key) for key in (Codec[User], Codec[Order])]

    assert [codec.cls for codec in codecs] == [User, Order]
    assert journal == ["+codec of User", "+codec of Order", "-codec of Order", "-codec of User"]


async def test_the_decorator_on_a_class():
    """
    @inject_dependency() on a generic class registers it open, with its lifetime.
    """
    App = fresh_app()

    @inject_dependency(on=App, lifetime="scoped")
    class Cache(Generic[T]):
        def __init__(self, cls: type[T]):
            self.cls = cls

    async with Container(App) as container:
        async with container.scope() as one, container.scope() as other:
            found = [
                await one.get(Cache[User]),
                await one.get(Cache[User]),
                await one.get(Cache[str]),
                await other.get(Cache[User]),
            ]

    assert found[0] is found[1]
    assert len({id(cache) for cache in found}) == 3
    assert [cache.cls for cache in found] == [User, User, str, User]


async def test_variables_are_replaced_in_everything_that_is_asked_for():
    """
    T is replaced in parameters, also inside of Lazy, Factory, All, Optional, Annotated, callables and nested generics.
    """
    App = fresh_app()

    class Service(Generic[T]):
        def __init__(
            self,
            plain: Codec[T],
            nested: Codec[list[T]],
            late: Lazy[Codec[T]],
            make: Factory[Codec[T]],
            every: All[Repo[T]],
            absent: Pair[T, int] | None,
            marked: Annotated[Codec[T], Inject()],
            argument: type[T],
            alias: type[Repo[T]],
            default: Pair[T, str] = None,
        ):
            self.taken = plain, nested, late, make, every, absent, marked, argument, alias, default

    App.register_dependency(Codec, Codec)
    App.register_dependency(Service, Service)
    App.register_dependency(Repo[User], lambda: "users", multi=True)
    App.register_dependency(Repo[Order], lambda: "orders", multi=True)

    async with Container(App) as container:
        service = await container.get(Service[User])
        plain, nested, late, make, every, absent, marked, argument, alias, default = service.taken
        made, awaited = await make(), await late

    assert [codec.cls for codec in (plain, nested, awaited, made, marked)] == [User, list[User], User, User, User]
    assert plain is awaited is marked is not made
    assert (every, absent, argument, alias, default) == (["users"], None, User, Repo[User], None)


async def test_nested_arguments():
    """
    The argument may be a generic itself: Repo[list[User]], Repo[Repo[User]].
    """
    App = fresh_app()
    App.register_dependency(Repo, Repo)

    async with Container(App) as container:
        for argument in (list[User], dict[str, list[User]], Repo[User], Repo[Repo[User]], User | None, Any):
            assert (await container.get(Repo[argument])).cls == argument


async def test_several_variables():
    """
    A generic of several variables takes each argument in its place; forms may fix some, turn them or repeat them.
    """
    App = fresh_app()
    App.register_dependency(Pair, Pair)

    def with_int(second: type[U]) -> Pair[int, U]:
        return "with int", second

    def alike(cls: type[T]) -> Pair[T, T]:
        return "alike", cls

    def listed(one: type[T], other: type[U]) -> Pair[list[T], dict[str, U]]:
        return "listed", one, other

    for factory in (with_int, alike, listed):
        inject_dependency(on=App)(factory)

    async with Container(App) as container:
        assert (await container.get(Pair[User, Order])).classes == (User, Order)
        assert await container.get(Pair[int, Order]) == ("with int", Order)
        assert await container.get(Pair[User, User]) == ("alike", User)
        assert await container.get(Pair[list[User], dict[str, Order]]) == ("listed", User, Order)
        assert (await container.get(Pair[list[User], dict[int, Order]])).classes == (list[User], dict[int, Order])


# --- who wins -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("exact_first", [True, False])
async def test_exact_registrations_win(exact_first):
    """
    A registration of the closed form wins over the open one, in whatever order they are written, and in a lower layer.
    """

    class Low(AsyncServiceBase):
        pass

    class App(Low):
        pass

    registrations = [(Low, Repo[User], lambda: "exact"), (App, Repo, Repo)]
    for on, key, factory in registrations if exact_first else registrations[::-1]:
        on.register_dependency(key, factory)

    async with Container(App) as container:
        exact, open_one = await container.get(Repo[User]), await container.get(Repo[Order])

    assert exact == "exact"
    assert open_one.cls is Order


@pytest.mark.parametrize("special_first", [True, False])
async def test_the_more_special_form_wins(special_first):
    """
    Of several open forms in one layer the one that says most serves, in whatever order they are written.
    """
    App = fresh_app()

    def general() -> Repo[T]:
        return "general"

    def special(cls: type[T]) -> Repo[list[T]]:
        return f"list of {cls.__name__}"

    for factory in (special, general) if special_first else (general, special):
        inject_dependency(on=App)(factory)

    async with Container(App) as container:
        assert await container.get(Repo[User]) == "general"
        assert await container.get(Repo[list[User]]) == "list of User"


async def test_a_higher_layer_wins():
    """
    An open form of a higher layer shadows one of a lower layer.
    """

    class Low(AsyncServiceBase):
        pass

    class App(Low):
        pass

    Low.register_dependency(Repo[T], lambda: "low")
    App.register_dependency(Repo, lambda: "app")

    async with Container(App) as container:
        assert await container.get(Repo[User]) == "app"


async def test_rivals_are_ambiguous():
    """
    Two modules that register one open form in one layer are ambiguous for who reaches it.
    """
    App = fresh_app()
    for module in ("one", "two"):
        namespace = {"__name__": module, "inject_dependency": inject_dependency, "App": App, "Repo": Repo}
        exec("@inject_dependency(Repo, on=App)\ndef make(): ...", namespace)

    async with Container(App, check=False) as container:
        failure = await outcome(container.get(Repo[User]))

    assert isinstance(failure, AmbiguousDependencyError)


async def test_multi_registrations_of_open_forms():
    """
    All[Repo[User]] lists exact and open elements, in the order of writing.
    """
    App = fresh_app()
    App.register_dependency(Repo, lambda: "open class", multi=True)
    App.register_dependency(Repo[User], lambda: "exact", multi=True)
    App.register_dependency(Repo[T], Repo, multi=True)

    async with Container(App) as container:
        users, orders = await container.get(All[Repo[User]]), await container.get(All[Repo[Order]])

    assert users[:2] == ["open class", "exact"]
    assert (users[2].cls, orders[0], orders[1].cls) == (User, "open class", Order)


# --- classes below and above --------------------------------------------------------------------------


async def test_an_implementation_registered_under_its_base():
    """
    A generic class registered for its generic base has its own variables bound through what it hands to the base.
    """

    class SqlRepo(Repo[U], Generic[U]):
        def __init__(self, cls: type[U], codec: Codec[list[U]]):
            super().__init__(cls)
            self.codec = codec

    class Swapped(Pair[U, T], Generic[T, U]):
        pass

    App = fresh_app()
    App.register_dependency(Codec, Codec)
    App.register_dependency(Repo, SqlRepo)
    App.register_dependency(Pair, Swapped)

    async with Container(App) as container:
        repo, pair = await container.get(Repo[User]), await container.get(Pair[User, Order])

    assert (type(repo), repo.cls, repo.codec.cls) == (SqlRepo, User, list[User])
    assert (type(pair), pair.classes) == (Swapped, (User, Order))


async def test_an_inherited_constructor_means_its_own_variables():
    """
    A constructor that a base class wrote names the base's variables, whatever the subclass calls its own.
    """

    class Lists(Repo[list[T]], Generic[T]):
        pass

    class Turned(Pair[U, T], Generic[T, U]):
        pass

    App = fresh_app()
    App.register_dependency(Lists, Lists)
    App.register_dependency(Turned, Turned)

    async with Container(App) as container:
        lists, turned = await container.get(Lists[User]), await container.get(Turned[User, Order])

    assert lists.cls == list[User]
    assert turned.classes == (Order, User)


async def test_a_class_that_closes_its_base():
    """
    class Users(Repo[User]) is no generic any more: an inherited constructor gets what it is closed with.
    """

    class Users(Repo[User]):
        pass

    class Mixed(Pair[User, T], Generic[T]):
        pass

    App = fresh_app()
    App.register_dependency(Users, Users)
    App.register_dependency(Mixed, Mixed)

    async with Container(App) as container:
        users, mixed = await container.get(Users), await container.get(Mixed[Order])

    assert users.cls is User
    assert mixed.classes == (User, Order)


async def test_a_generic_dataclass():
    """
    The generated constructor of a dataclass is read like a written one, inherited fields included.
    """

    @dataclass
    class Base(Generic[T]):
        codec: Codec[T]

    @dataclass
    class Store(Base[U], Generic[U]):
        cls: type[U]

    App = fresh_app()
    App.register_dependency(Codec, Codec)
    App.register_dependency(Store, Store)

    async with Container(App) as container:
        store = await container.get(Store[User])

    assert (store.codec.cls, store.cls) == (User, User)


async def test_a_generic_protocol_as_the_token():
    """
    A generic Protocol can be the token of a generic implementation.
    """

    class Reads(Protocol[T]):
        def read(self) -> T: ...

    class Reader(Generic[T]):
        def __init__(self, cls: type[T]):
            self.cls = cls

        def read(self) -> T:
            return self.cls()

    App = fresh_app()
    App.register_dependency(Reads[T], lambda cls: Reader(cls))

    def make(cls: type[T]) -> Reads[T]:
        return Reader(cls)

    inject_dependency(on=App)(make)

    async with Container(App) as container:
        assert type((await container.get(Reads[User])).read()) is User


# --- service classes ----------------------------------------------------------------------------------


async def test_a_generic_service_needs_no_registration():
    """
    A generic service class serves its closed forms by itself, each started and stopped as a service of its own.
    """
    journal = Journal()

    class Store(AsyncServiceBase, Generic[T]):
        settings = AsyncDependencyDescriptor("settings")

        def __init__(self, cls: type[T]):
            self.cls = cls

        async def on_startup(self):
            journal.append(f"+{self.cls.__name__} {await self.settings}")

        async def on_shutdown(self):
            journal.append(f"-{self.cls.__name__}")

    App = fresh_app()
    App.register_dependency("settings", lambda: "settings")

    async with Container(App) as container:
        users, orders = await container.get(Store[User]), await container.get(Store[Order])
        again = await container.get(Store[User])
        home = Scope.of(users)

    assert users is again is not orders
    assert home is container
    assert journal == ["+User settings", "+Order settings", "-Order", "-User"]


async def test_a_generic_scoped_service():
    """
    A scoped generic service is one per scope and closed form, by generated code as by hand.
    """

    class Store(AsyncServiceBase, Generic[T], lifetime="scoped"):
        def __init__(self, cls: type[T], scope: Scope):
            self.cls, self.scope = cls, scope

    async with Container(fresh_app()) as container:
        for _ in range(4):
            async with container.scope() as scope:
                users, orders, again = [await scope.get(key) for key in (Store[User], Store[Order], Store[User])]
                assert users is again is not orders
                assert (users.cls, orders.cls, users.scope) == (User, Order, scope)


def test_an_attribute_cannot_name_the_variable():
    """
    An attribute of a generic service that names T is found by the check, which says what to write instead.
    """

    class Store(AsyncServiceBase, Generic[T]):
        codec = AsyncDependencyDescriptor(Codec[T])

    def user(store: Store[User]):
        return store

    App = fresh_app()
    App.register_dependency(Codec, Codec)
    App.register_dependency("user", user)

    with pytest.raises(GraphErrors) as caught:
        Container(App)

    assert "take it as a parameter of the constructor" in str(caught.value)


# --- what does not fit ------------------------------------------------------------------------------------


def refused(variable, argument):
    """Return the text of the problem of Bound[argument], or None where it is served."""

    class Bound(Generic[variable]):
        def __init__(self, cls: type[variable]):
            self.cls = cls

    App = fresh_app()
    App.register_dependency(Bound, Bound)

    def user(bound: Bound[argument]):
        return bound.cls

    App.register_dependency("user", user)
    try:
        with Container(App) as container:
            assert container.get_nowait("user") == argument
            return None
    except GraphErrors as errors:
        (problem,) = problems(errors)
        assert isinstance(problem, MissingDependencyError)
        return str(problem)


UserName = NewType("UserName", str)
Users = NewType("Users", User)


@pytest.mark.parametrize(
    ("variable", "argument"),
    [
        (ModelT, User),
        (ModelT, Model),
        (ModelT, Users),
        (ModelT, User | Order),
        (ModelT, Any),
        (LateT, Order),
        (ChosenT, User),
        (ChosenT, str),
        (UnionT, UserName),
        (UnionT, User),
        (UnreadableT, int),
        (T, None | int),
    ],
)
def test_what_is_within_a_bound_is_served(variable, argument):
    """
    An argument within the bound, or among the constraints, is served; what only a type checker can tell is allowed.
    """
    assert refused(variable, argument) is None


@pytest.mark.parametrize(
    ("variable", "argument", "said"),
    [
        (ModelT, int, "ModelT has to be a Model, and int is not"),
        (ModelT, UserName, "ModelT has to be a Model, and"),
        (ModelT, User | int, "ModelT has to be a Model, and"),
        (ModelT, list[User], "ModelT has to be a Model, and list["),
        (LateT, int, "LateT has to be a Model, and int is not"),
        (ChosenT, int, "ChosenT is one of User, str, and not int"),
        (UnionT, Order, "UnionT has to be a"),
    ],
)
def test_the_check_names_an_impossible_bound(variable, argument, said):
    """
    An argument outside of the bound is a problem of the check that names the variable, its bound, and the place.
    """
    text = refused(variable, argument)

    assert text is not None
    assert said in text
    assert "Bound (" in text
    assert "test_generics.py:" in text


async def test_get_names_an_impossible_bound():
    """
    Asked for at run time, a form outside of the bound says the same.
    """

    class Bound(AsyncServiceBase, Generic[ModelT]):
        pass

    async with Container(fresh_app()) as container:
        await container.get(Bound[User])
        failure = await outcome(container.get(Bound[int]))

    assert isinstance(failure, MissingDependencyError)
    assert "ModelT has to be a Model, and int is not" in str(failure)


def test_a_bound_of_the_implementation_counts():
    """
    An implementation that is bounded more closely than its base serves what is within its own bound.
    """

    class Models(Repo[ModelT], Generic[ModelT]):
        pass

    App = fresh_app()
    App.register_dependency(Repo, Models)

    with Container(App) as container:
        assert container.get_nowait(Repo[User]).cls is User
        with pytest.raises(MissingDependencyError, match="ModelT has to be a Model"):
            container.get_nowait(Repo[int])


@pytest.mark.parametrize("key", [Repo, Repo[T]])
async def test_an_open_form_cannot_be_asked_for(key):
    """
    Asked for without its argument, a generic that needs it says that the argument is missing.
    """
    App = fresh_app()
    App.register_dependency(Repo, Repo)

    async with Container(App) as container:
        failure = await outcome(container.get(key))

    assert isinstance(failure, MissingDependencyError)
    assert "nothing says what T stands for" in str(failure)


async def test_open_registrations_are_not_started():
    """
    An open generic by itself is neither checked nor started: its closed forms are, where something reaches them.
    """
    App, made = fresh_app(), []

    def make(cls: type[T]) -> Repo[T]:
        made.append(cls)
        return Repo(cls)

    def user(repo: Repo[User]):
        return repo

    inject_dependency(on=App)(make)
    App.register_dependency("user", user)

    async with Container(App) as container:
        container.check()
        await container.start()

    assert made == [User]


def test_what_a_closed_form_needs_is_checked():
    """
    The check follows a closed form into the factory of the open one, with the path.
    """
    App = fresh_app()

    def make(codec: Codec[list[T]]) -> Repo[T]:
        return codec

    def user(repo: Repo[User]):
        return repo

    inject_dependency(on=App)(make)
    App.register_dependency("user", user)

    with pytest.raises(GraphErrors) as caught:
        Container(App)

    (problem,) = problems(caught.value)
    assert problem.path[0] == '"user".repo'
    assert "Codec[list[" in problem.key


def test_a_circle_of_closed_forms_is_found():
    """
    Open generics whose closed forms need each other are a circle.
    """
    App = fresh_app()

    def make_repo(codec: Codec[T]) -> Repo[T]:
        return codec

    def make_codec(repo: Repo[T]) -> Codec[T]:
        return repo

    def user(repo: Repo[User]):
        return repo

    for factory in (make_repo, make_codec):
        inject_dependency(on=App)(factory)
    App.register_dependency("user", user)

    with pytest.raises(GraphErrors) as caught:
        Container(App)

    assert isinstance(problems(caught.value)[0], CircularDependencyError)


def test_an_ever_longer_argument_ends():
    """
    A generic that needs itself with an ever longer argument is a problem that is told, not a check without end.
    """
    App = fresh_app()

    def make(inner: Repo[list[T]]) -> Repo[T]:
        return inner

    def user(repo: Repo[User]):
        return repo

    inject_dependency(on=App)(make)
    App.register_dependency("user", user)

    with pytest.raises(GraphErrors) as caught:
        Container(App)

    assert "an ever longer argument" in str(caught.value)


async def test_bare_containers_are_plain_keys():
    """
    list[User] and dict[str, User] are keys of their own: only generics that somebody registers open are opened.
    """
    App = fresh_app()
    App.register_dependency(list[User], lambda: ["users"])

    async with Container(App) as container:
        assert await container.get(list[User]) == ["users"]
        assert isinstance(await outcome(container.get(list[Order])), MissingDependencyError)


def test_many_closed_forms_are_found_quickly():
    """
    Looking a closed form up does not walk through everything that is registered.
    """
    App = fresh_app()
    for number in range(3000):
        App.register_dependency(f"key {number}", object)
    App.register_dependency(Repo, Repo)
    classes = [type(f"Model{number}", (), {}) for number in range(500)]

    began = time.perf_counter()
    with Container(App, check=False) as container:
        found = [container.get_nowait(Repo[cls]).cls for cls in classes]
    took = time.perf_counter() - began

    assert found == classes
    assert took < 3  # some 50 ms; walking through everything takes half a minute


async def test_an_open_union_gives_each_member_to_one_variable():
    """
    A member of a union that one variable stands for is no part of what another one stands for.
    """
    one, other, item = TypeVar("one"), TypeVar("other"), TypeVar("item")

    class Box(Generic[item]):
        def __init__(self, *taken):
            self.taken = taken

    def make(first: type[one], second: type[other]) -> Box[list[one] | other]:
        return Box(first, second)

    App = fresh_app()
    App.register_dependency(Box[list[one] | other], make)
    async with Container(App) as container:
        box = await container.get(Box[list[int] | str])

    assert box.taken == (int, str)


# --- Python 3.12 ---------------------------------------------------------------------------------------------

if sys.version_info >= (3, 12):
    from .generics_pep695 import *  # noqa: F403  # its tests run here


# --- methods of generic classes, other names of open keys ---


class Shelf(Generic[T]):
    def __init__(self, cls: type[T]):
        self.cls = cls

    @classmethod
    def made(cls, kind: type[T]) -> Self:
        return cls(kind)

    def codec(self, kind: type[T]) -> Codec[T]:
        return Codec(kind)


class UserShelf(Shelf[User]): ...


class PairShelf(Shelf[Order], Generic[U]): ...


def test_a_method_of_a_generic_base_means_what_its_class_says():
    """
    In a class that closes its base, the variables of an inherited class method are what they stand for there.
    """
    App = fresh_app()
    inject_dependency(on=App)(UserShelf.made)

    shelf = Container(App).get_nowait(UserShelf)

    assert (type(shelf), shelf.cls) == (UserShelf, User)


@pytest.mark.parametrize(("shelf", "kind"), [(UserShelf(User), User), (Shelf[Order](Order), Order), (PairShelf[str](Order), Order)])
def test_a_method_of_an_object_means_what_that_is_of(shelf, kind):
    """
    A bound method makes what its object's class, or the form that the object was made of, says.
    """
    App = fresh_app()
    inject_dependency(on=App)(shelf.codec)

    assert Container(App).get_nowait(Codec[kind]).cls is kind


class Linked(Generic[T]):
    def __init__(self, kind: type[T], many: "list[Self]", parent: Self | None = None):
        self.kind, self.many, self.parent = kind, many, parent

    def copies(self) -> tuple[Self, ...]:
        return (self,)


class UserLinked(Linked[User]): ...


def test_self_in_a_generic_class_is_what_that_is_of():
    """
    ``Self`` in the constructor of ``Linked[User]`` is ``Linked[User]``, and in that of a class that closes it, that class.
    """
    App = fresh_app(providers=[Linked, UserLinked])
    App.register_value(list[Linked[User]], ["of users"])
    App.register_value(list[UserLinked], ["closed"])
    container = Container(App)

    made = container.get_nowait(Linked[User])

    assert (made.kind, made.many, made.parent) == (User, ["of users"], None)
    assert container.get_nowait(UserLinked).many == ["closed"]


def test_self_of_an_object_of_a_closed_form_is_that_form():
    """
    A bound method that returns ``Self`` is registered for what its object was made as.
    """
    linked = Linked[User](User, [])
    App = fresh_app()
    inject_dependency(on=App)(linked.copies)

    assert Container(App).get_nowait(tuple[Linked[User], ...]) == (linked,)


def test_a_method_of_an_open_class_serves_all():
    """
    A class method of a class that leaves its variables open is an open factory.
    """
    App = fresh_app()
    inject_dependency(on=App)(Shelf.made)
    container = Container(App)

    assert [container.get_nowait(Shelf[kind]).cls for kind in (User, Order)] == [User, Order]


def test_a_factory_of_a_generic_service_means_what_the_application_says():
    """
    A factory in the body of a generic service class is filled with what the application's class says for its variables.
    """

    class Layer(AsyncServiceBase, Generic[T]):
        @inject_dependency("kind")
        def kind(self, kind: type[T], codec: Codec[T]) -> Any:
            return kind, codec.cls

    class App(Layer[User]): ...

    App.register_dependency(Codec, Codec)

    assert Container(App).get_nowait("kind") == (User, User)


def test_a_key_may_name_other_variables_than_its_class():
    """
    ``Repo[U]`` for a class that is generic in T: what is asked for fills T.
    """
    App = fresh_app()
    App.register_dependency(Repo[U], Repo)

    assert Container(App).get_nowait(Repo[User]).cls is User


def test_an_open_alias_is_the_open_form():
    """
    A generic alias without arguments, as a token or an entry of a list, is registered for all of them.
    """
    RepoOf = TypeAliasType("RepoOf", Repo[U], type_params=(U,))
    by_call, listed = fresh_app(), fresh_app(providers=[RepoOf])
    by_call.register_dependency(RepoOf, Repo)

    assert [Container(App).get_nowait(Repo[User]).cls for App in (by_call, listed)] == [User, User]


@pytest.mark.parametrize("form", [list, asyncio.Queue, Callable[[int], T], tuple[T, ...], dict[str, T]])
def test_generics_that_are_no_classes_of_typing_are_open_as_well(form):
    """
    A factory ``-> list[T]`` serves ``list[User]``; so do those of any class that takes arguments, and of ``Callable``.
    """

    def make(kind: type[T]):
        return kind

    opened = form[T] if isinstance(form, type) and not hasattr(form, "__parameters__") else form
    make.__annotations__["return"] = opened
    App = fresh_app()
    inject_dependency(on=App)(make)
    App.register_value(opened[Order], "its own")

    container = Container(App)

    assert (container.get_nowait(opened[User]), container.get_nowait(opened[Order])) == (User, "its own")


class Shop(Repo["Quoted"]): ...


class Shops(Repo["list[Quoted]"]): ...


class Quoted: ...


def test_a_name_in_quotes_in_a_base_is_read():
    """
    ``class Shop(Repo["Quoted"])`` is one of Quoted, as checkers see it.
    """
    container = Container(fresh_app(providers=[Shop, Shops]))

    assert [container.get_nowait(cls).cls for cls in (Shop, Shops)] == [Quoted, list[Quoted]]


def test_use_existing_of_an_open_form_keeps_the_argument():
    """
    What exists under ``Repo`` is had under another open key with the same argument.
    """
    App = fresh_app(providers=[Repo, {"provide": Shelf, "use_existing": Repo}])
    container = Container(App)

    assert container.get_nowait(Shelf[User]) is container.get_nowait(Repo[User])


D = te.TypeVar("D", default=User)
Ts = TypeVarTuple("Ts")
Us = te.TypeVarTuple("Us", default=te.Unpack[tuple[User, Order]])


class Two(Generic[*Us]):
    def __init__(self, two: tuple[*Us]):
        self.two = two


def test_a_default_of_several_is_meant_by_the_bare_class():
    """
    ``Two`` as it stands is ``Two[User, Order]`` where that is the default of its TypeVarTuple.
    """
    App = fresh_app(providers=[Two])
    App.register_value(tuple[User, Order], "of the default")
    container = Container(App)

    assert container.get_nowait(Two) is container.get_nowait(Two[User, Order])
    assert container.get_nowait(Two).two == "of the default"


class Defaulted(Generic[D]):
    def __init__(self, kind: type[D]):
        self.kind = kind


class OfDefault(Defaulted): ...


class Row(Generic[*Ts]):
    def __init__(self, row: tuple[*Ts]):
        self.row = row


class Numbered(Row[int, *Ts]): ...


def test_a_base_without_arguments_means_its_defaults():
    """
    ``class OfDefault(Defaulted)`` is one of ``Defaulted[User]``, where that is the default.
    """
    assert Container(fresh_app(providers=[OfDefault])).get_nowait(OfDefault).kind is User


def test_a_base_may_be_given_all_variables_of_a_tuple():
    """
    ``class Numbered(Row[int, *Ts])`` asked for with two arguments has a base of three.
    """
    App = fresh_app(providers=[Numbered])
    App.register_value(tuple[int, str, bytes], "row")

    assert Container(App).get_nowait(Numbered[str, bytes]).row == "row"
