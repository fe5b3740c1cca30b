"""What a provider list may hold, and how each mistake in it is told."""

import functools
import pickle
from collections.abc import Mapping
from contextlib import asynccontextmanager, contextmanager
from types import MappingProxyType
from typing import Annotated, Generic, TypeVar

import pytest
from helpers import Journal, fresh_app

from asyncmeta import (
    All,
    AsyncServiceBase,
    CaptiveDependencyError,
    Container,
    DeclarationError,
    Factory,
    GraphErrors,
    Inject,
    Lazy,
    Lifetime,
    MissingDependencyError,
    Token,
)
from asyncmeta.ascender import Injectable, Injector, create_injector, create_root_injector, forget_root

T = TypeVar("T")


class Thing:
    pass


class User:
    def __init__(self, thing: Thing):
        self.thing = thing


def make(thing: Thing):
    return thing


def by_injector(providers):
    """Read *providers* for an injector."""
    create_injector(providers)


def by_container(providers):
    """Read them for a container."""
    Container(providers=providers)


def by_class(providers):
    """Read them for a class."""

    class App(AsyncServiceBase, providers=providers):
        pass


def by_registering(providers):
    """Read them for a class that is there."""
    fresh_app().register_providers(providers)


@pytest.fixture(params=[by_injector, by_container, by_class, by_registering])
def read(request):
    """Each place where a list is read."""
    return request.param


MISTAKES = [
    ([None], "provider 0 is None"),
    ([Thing, 42], "provider 1 is a int"),
    ([make], r"provider 0 \(make\): make does not say what it makes.*use_factory"),
    ([""], "provider 0 is a str"),
    ([{Thing}], "provider 0 is a set"),
    ([iter([Thing])], "provider 0 is a list_iterator"),
    ([Thing, [Thing, (Thing, None)]], r"provider 1\[1\]\[1\] is None"),
    ([{}], "provider 0: it has no provide"),
    ([{"use_class": Thing}], "provider 0: it has no provide"),
    ([{"provid": Thing, "value": 1}], 'provider 0: "provid" is no key of a provider; did you mean provide'),
    ([Thing, {"provide": "x", "use_clas": Thing}], r'provider 1 \("x"\): "use_clas".*did you mean use_class'),
    ([{"provide": "x", "usefactory": make}], r'provider 0 \("x"\): "usefactory".*did you mean use_?[fF]actory'),
    ([{"provide": "x", "value": 1, "colour": 2}], r'"colour" is no key of a provider; these are: provide, use_class'),
    ([{"provide": "x", "value": 1, 3: 4}], "3 is no key of a provider"),
    ([{"provide": "x"}], r'provider 0 \("x"\): it does not say what to give'),
    ([{"provide": "x", "deps": [Thing]}], "it does not say what to give"),
    ([{"provide": [], "value": 1}], "provide takes a token.*list is not"),
    ([{"provide": Lazy[Thing], "value": 1}], "is a way of asking"),
    ([{"provide": Factory[Thing], "value": 1}], "is a way of asking"),
    ([{"provide": All[Thing], "value": 1}], "is a way of asking"),
    ([{"provide": "x", "use_class": 3}], "use_class takes a class, not a int; did you mean value"),
    ([{"provide": "x", "use_class": Thing | None}], r"use_class takes a class, not a \w+; did you mean use_existing\?"),
    ([{"provide": "x", "use_class": make}], "use_class takes a class, not a function; did you mean use_factory"),
    ([{"provide": "x", "use_class": "Thing"}], "did you mean use_existing"),
    ([{"provide": "x", "use_class": None}], "use_class takes a class, not None"),
    ([{"provide": "x", "useFactory": 3}], "useFactory takes something to call, not a int; did you mean value"),
    ([{"provide": "x", "use_factory": "make"}], "did you mean use_existing"),
    ([{"provide": "x", "use_factory": staticmethod(make).__class__}], None),  # a class is a factory, too
    ([{"provide": "x", "use_existing": []}], "use_existing takes a token"),
    ([{"provide": "x", "value": 1, "use_class": Thing}], "use_class and value contradict"),
    ([{"provide": "x", "useValue": None, "use_factory": make}], "use_factory and useValue contradict"),
    ([{"provide": "x", "value": 1, "use_value": 1}], "value and use_value say the same twice"),
    ([{"provide": "x", "use_factory": make, "deps": [], "inject": []}], "deps and inject say the same twice"),
    ([{"provide": "x", "use_factory": make, "scope": "scoped", "lifetime": "scoped"}], "scope and lifetime say the same twice"),
    ([{"provide": "x", "use_factory": make, "deps": 3}], "deps is a list of tokens, not a int"),
    ([{"provide": "x", "use_factory": make, "inject": "thing"}], "inject is a list of tokens, not a str"),
    ([{"provide": "x", "use_factory": make, "deps": {Thing}}], "deps is a list of tokens, not a set"),
    ([{"provide": "x", "use_factory": make, "deps": [Thing, []]}], r"deps\[1\] is no token"),
    ([{"provide": "x", "value": 1, "deps": [Thing]}], "deps has nothing to do beside value"),
    ([{"provide": "x", "use_existing": Thing, "inject": [Thing]}], "inject has nothing to do beside use_existing"),
    ([{"provide": "x", "value": 1, "scope": "scoped"}], "scope has nothing to do beside value"),
    ([{"provide": "x", "use_existing": Thing, "lifetime": "transient"}], "lifetime has nothing to do beside use_existing"),
    ([{"provide": "x", "value": 1, "multi": []}], "multi is True or False, or the name of a member, a hashable; not list"),
    ([{"provide": "x", "value": 1, "multi": None}], "multi is True or False, or the name of a member, a hashable; not NoneType"),
    ([{"provide": Thing, "scope": "singelton"}], 'scope is .*, not "singelton"; did you mean singleton'),
    ([{"provide": Thing, "lifetime": "forever"}], 'not "forever"; a level of your own'),
    ([{"provide": Thing, "lifetime": None}], "lifetime is .*, not None"),
    ([{"provide": "x", "value": 1, "multi": True}, {"provide": "x", "value": 2}], r'provider 1 \("x"\) is not multi.*provider 0'),
    ([Thing, [{"provide": Thing, "multi": True}]], r"provider 1\[0\] \(Thing\) is multi.*provider 0"),
    ("Thing", "providers is a list, not a str"),
    (Thing, "providers is a list, not a type"),
    ({"provide": "x", "value": 1}, "providers is a list, not a dict"),
    (3, "providers is a list, not a int"),
]  # fmt: skip


@pytest.mark.parametrize(("providers", "said"), [mistake for mistake in MISTAKES if mistake[1] is not None])
def test_a_mistake_is_told_with_its_position(read, providers, said):
    """
    A mistake in a list is a TypeError at the list's line that says which entry, which key, and what may have been meant.
    """
    with pytest.raises(TypeError, match=said) as caught:
        read(providers)

    assert isinstance(caught.value, DeclarationError)
    assert "test_providers.py" in str(caught.value) or "providers is a list" in said
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_a_list_in_itself(read):
    """
    A list that contains itself is refused, not followed for ever.
    """
    providers = [Thing]
    providers.append([providers])

    with pytest.raises(DeclarationError, match=r"provider 1\[0\] is a list that contains itself"):
        read(providers)


def test_one_list_may_stand_in_several_places():
    """
    The same helper's list twice is no circle.
    """
    shared = [Thing]

    assert type(create_injector([shared, [shared]]).get(Thing)) is Thing


def test_values_are_not_told():
    """
    The text of a mistake shows no value.
    """
    for provider in (
        {"provide": "x", "value": "secret", "scope": "scoped"},
        {"provide": "x", "use_factory": "secret"},
        {"provide": "x", "use_class": "secret"},
        {"provide": "x", "value": "secret", "multi": ["secret"]},
    ):
        with pytest.raises(DeclarationError) as caught:
            create_injector([provider])
        assert "secret" not in str(caught.value)


def test_a_bad_list_registers_nothing():
    """
    Where one entry is wrong none is registered.
    """
    app = fresh_app()

    with pytest.raises(DeclarationError):
        app.register_providers([Thing, {"provide": "x", "value": 1}, None])

    assert app.get_dependency(Thing) is None
    assert app.get_dependency("x") is None


def test_a_list_that_contradicts_a_registration_registers_nothing():
    """
    Where an entry mixes single and multi with what the class has, none of the list is registered.
    """
    app = fresh_app()
    app.register_value("x", 0)

    with pytest.raises(DeclarationError, match='"x"'):
        app.register_providers([Thing, {"provide": "y", "value": 1, "multi": True}, {"provide": "x", "value": 1, "multi": True}])

    assert app.get_dependency(Thing) is None
    assert app.get_dependency("y") is None
    assert Container(app).get_nowait("x") == 0


def test_any_mapping_is_a_provider():
    """
    A read-only dictionary does as well.
    """
    assert create_injector([MappingProxyType({"provide": "x", "value": 1})]).get("x") == 1


# --- lifetimes ----------------------------------------------------------------------------------------


def test_lifetimes():
    """
    scope and lifetime take our lifetimes, and "request" for scoped.
    """
    app = fresh_app(
        providers=[
            {"provide": "one", "use_factory": object},
            {"provide": "each", "use_factory": object, "scope": "transient"},
            {"provide": "request", "use_factory": object, "scope": "request"},
            {"provide": "scoped", "use_factory": object, "lifetime": Lifetime.SCOPED},
            {"provide": "all", "use_factory": object, "multi": True, "lifetime": "scoped"},
        ]
    )
    container = Container(app)

    assert container.get_nowait("one") is container.get_nowait("one")
    assert container.get_nowait("each") is not container.get_nowait("each")
    with container.scope() as a, container.scope() as b:
        for token in ("request", "scoped", Annotated[list, Inject("all")]):
            assert a.get_nowait(token) == a.get_nowait(token)
            assert a.get_nowait(token) != b.get_nowait(token)


def test_levels_of_the_application():
    """
    A level of the application's own is named by a Lifetime.
    """
    app = fresh_app(
        scopes=("session", "message"), providers=[{"provide": "it", "use_factory": object, "scope": Lifetime("session")}]
    )

    with Container(app).scope(level="session") as session, session.scope() as inner:
        assert inner.get_nowait("it") is session.get_nowait("it")


def test_lifetimes_are_checked():
    """
    A singleton that takes a scoped provider is captive, through an alias, too.
    """
    for direct in (Thing, "alias"):
        with pytest.raises(GraphErrors) as caught:
            Container(
                providers=[
                    {"provide": Thing, "scope": "request"},
                    {"provide": "alias", "use_existing": Thing},
                    {"provide": "holder", "use_factory": lambda thing: thing, "deps": [direct]},
                ]
            )
        assert [type(problem) for problem in caught.value.exceptions] == [CaptiveDependencyError]


# --- factories --------------------------------------------------------------------------------------------


class Callable_:
    def __call__(self, thing: Thing):
        return thing

    def method(self, thing: Thing):
        return thing


def test_all_that_can_be_called_is_a_factory():
    """
    Functions, lambdas, classes, callable objects, bound methods and partials; without deps, what has no default is read.
    """
    factories = {
        "function": make,
        "class": User,
        "object": Callable_(),
        "method": Callable_().method,
        "partial": functools.partial(make),
        "bound": functools.partial(lambda one, thing: thing, one=1),
        "builtin": dict,
    }
    deps = {"bound": [Thing]}
    bound = functools.partial(lambda one, thing: thing, 1)
    injector = create_injector([
        Thing,
        *({"provide": name, "use_factory": factory} for name, factory in factories.items() if name not in deps),
        {"provide": "bound", "use_factory": bound, "deps": [Thing]},
    ])  # fmt: skip

    assert {name: injector.get(name) for name in ("function", "object", "method", "partial", "bound")} == dict.fromkeys(
        ("function", "object", "method", "partial", "bound"), injector.get(Thing)
    )
    assert injector.get("class").thing is injector.get(Thing)
    assert injector.get("builtin") == {}


async def test_resources_are_factories():
    """
    Generators, async generators and context-manager functions work as they do everywhere.
    """
    journal = Journal()

    def generator(thing: Thing):
        with journal.noting("generator"):
            yield thing

    async def async_generator():
        with journal.noting("async generator"):
            yield 1

    @contextmanager
    def manager():
        with journal.noting("manager"):
            yield 2

    @asynccontextmanager
    async def async_manager(below):
        with journal.noting("async manager"):
            yield below

    async with create_injector([
        Thing,
        {"provide": "a", "use_factory": generator},
        {"provide": "b", "use_factory": async_generator},
        {"provide": "c", "use_factory": manager},
        {"provide": "d", "use_factory": async_manager, "deps": ["c"]},
    ]) as injector:  # fmt: skip
        assert [await injector.aget(token) for token in "abcd"] == [injector.get(Thing), 1, 2, 2]

    assert journal.closed == ["async manager", "manager", "async generator", "generator"]


def test_deps_beat_annotations():
    """
    Where deps are given, the annotations of the factory are not read.
    """

    def wrong(thing: User) -> None:
        return thing

    assert type(create_injector([Thing, User, {"provide": "x", "use_factory": wrong, "deps": [Thing]}]).get("x")) is Thing


def test_deps_take_every_way_of_asking():
    """
    An entry of deps may be a Lazy, a list of all, or a Token.
    """
    token = Token("number")
    injector = create_injector([
        Thing,
        {"provide": token, "value": 3},
        {"provide": int, "value": 1, "multi": True},
        {"provide": "x", "use_factory": lambda *given: given, "deps": [Lazy[Thing], All[int], token]},
    ])  # fmt: skip

    lazy, numbers, number = injector.get("x")

    assert lazy.nowait() is injector.get(Thing)
    assert (numbers, number) == ([1], 3)


def test_a_class_needs_no_relation_to_its_token():
    """
    A class stands in for another by what it does: it need not derive from it.
    """

    class Fake:
        pass

    assert type(create_injector([{"provide": Thing, "use_class": Fake}]).get(Thing)) is Fake


def test_generic_classes():
    """
    A generic class under its closed form, and an open one that serves them all.
    """

    class Repo(Generic[T]):
        def __init__(self, kind: type[T]):
            self.kind = kind

    class Named:
        def __init__(self, things: Repo[Thing]):
            self.things = things

    injector = create_injector([Repo, Named, {"provide": Repo[int], "value": "ints"}])

    assert injector.get(Named).things.kind is Thing
    assert injector.get(Repo[int]) == "ints"
    assert create_injector([], injector).get(Repo[str]).kind is str


def test_services_keep_their_own_rules():
    """
    A service class in a list is what it is without: its lifetime, and parameters that are looked up by name.
    """

    class Service(AsyncServiceBase, lifetime="transient"):
        def __init__(self, name):
            self.name = name

    container = Container(fresh_app(providers=[Service, {"provide": "name", "value": "n"}]))

    assert container.get_nowait(Service).name == "n"
    assert container.get_nowait(Service) is not container.get_nowait(Service)


def test_names_of_classes_are_of_the_dialect_only():
    """
    Outside of provider lists a string is a token and no name of a class.
    """

    class Plain(AsyncServiceBase):
        def __init__(self, thing: Annotated[Thing, Inject("Thing")]):
            pass

    with pytest.raises(GraphErrors) as caught:
        Container(fresh_app(providers=[Thing, Plain]))
    assert [type(problem) for problem in caught.value.exceptions] == [MissingDependencyError]


def test_lists_of_a_class_are_registrations():
    """
    What a class lists can be shadowed by a subclass, replaced later, and asked for by get_dependency.
    """
    app = fresh_app(providers=[Thing, {"provide": "x", "use_factory": make}])

    class Below(app, providers=[{"provide": "x", "value": 2}]):
        pass

    assert app.get_dependency("x") is make
    assert Container(Below).get_nowait("x") == 2
    app.register_providers([{"provide": "x", "value": 3}])
    assert Container(app).get_nowait("x") == 3


def test_multi_of_layers_adds_up():
    """
    multi entries of a class and of its bases add up, the lowest first; those of an override replace them.
    """
    app = fresh_app(providers=[{"provide": "x", "value": 1, "multi": True}])

    class Below(app, providers=[{"provide": "x", "value": 2, "multi": True}]):
        pass

    container = Container(Below, providers=[{"provide": "x", "value": 3, "multi": True}])
    asked = Annotated[list, Inject("x")]

    assert container.get_nowait(asked) == [1, 2, 3]
    with container.override([{"provide": "x", "value": 4, "multi": True}]):
        assert container.get_nowait(asked) == [4]


def test_listed_providers_are_not_unused():
    """
    What is listed is there to be asked for, and is not reported.
    """
    report = Container(fresh_app(providers=[Thing, {"provide": "x", "value": 1}])).check()

    assert report.unused == ()


def test_errors_name_what_needs_the_missing_one():
    """
    The path to a missing dependency goes through tokens and positions of deps.
    """
    with pytest.raises(MissingDependencyError) as caught:
        create_injector([{"provide": "x", "use_factory": make, "deps": ["thin"]}, {"provide": "thing", "value": 1}]).get("x")

    assert caught.value.path == ('"x".deps[0]', '"thin"')
    assert caught.value.close_to == ('"thing"',)


# --- at the door ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("parent", [3, "root", Container])
def test_a_parent_is_an_injector(parent):
    """
    Anything else as a parent is told.
    """
    with pytest.raises(DeclarationError, match="parent"):
        create_injector([], parent)


def test_injectors_are_not_pickled():
    """
    An injector lives in its process.
    """
    with pytest.raises(TypeError, match="injector"):
        pickle.dumps(create_injector([]))


def test_injectable_decorates_classes():
    """
    Whatever else is decorated is told.
    """
    with pytest.raises(DeclarationError, match="decorates classes"):
        Injectable()(make)


def test_the_injector_of_a_container_is_one():
    """
    A container gives the same Injector to all who ask.
    """
    container = Container(fresh_app(providers=[{"provide": "x", "use_factory": lambda it: it, "deps": [Injector]}]))

    assert container.get_nowait("x") is container.get_nowait(Injector)
    assert container.get_nowait(Injector).get("x") is container.get_nowait(Injector)


def test_a_root_takes_the_place_of_the_one_before():
    """
    The root made last is the root.
    """
    forget_root(providers=True)
    try:
        create_root_injector([{"provide": "x", "value": 1}])
        second = create_root_injector([{"provide": "x", "value": 2}])

        assert second.get("x") == 2
    finally:
        forget_root(providers=True)


def test_a_collection_is_what_its_annotation_says():
    """
    A listed class gets all values of a multi key as the collection that it annotates, a list where it annotates none.
    """

    class Wants:
        def __init__(
            self,
            many: Annotated[tuple[int, ...], Inject("n")],
            by_name: Annotated[Mapping[str, int], Inject("n")],
            plain: Annotated[int, Inject("n")],
        ) -> None:
            self.got = many, by_name, plain

    class App(
        AsyncServiceBase,
        providers=[Wants, *({"provide": "n", "value": number, "multi": f"n{number}"} for number in (1, 2))],
    ): ...

    assert Container(App).get_nowait(Wants).got == ((1, 2), {"n1": 1, "n2": 2}, [1, 2])


def test_a_mapping_of_members_without_names():
    """
    As Ascender reads no annotation for it, an injector gives a list where nothing has a name; an application's list refuses.
    """

    class Wants:
        def __init__(self, many: Annotated[dict, Inject("n")]) -> None:
            self.many = many

    providers = [Wants, {"provide": "n", "value": 1, "multi": True}]

    class App(AsyncServiceBase, providers=providers): ...

    assert create_injector(providers).get(Wants).many == [1]
    with pytest.raises(GraphErrors, match='no member of "n" has a name'):
        Container(App)


@pytest.mark.parametrize(
    ("providers", "said"),
    [
        ({"provide": "x", "value": 1}, r"providers is a list, not a dict: write \[\{...\}\] \(.*test_providers.py:"),
        (Thing, r"providers is a list, not a type: write \[Thing\] \(.*test_providers.py:"),
        (None, r"providers is a list, not None \(.*test_providers.py:"),
        ([functools.partial(make)], r'provider 0 is a partial; a factory that is no plain function is written {"provide"'),
    ],
)
def test_what_is_no_list(providers, said):
    """
    What is no list, or no provider, is told with its place and how it is written.
    """
    with pytest.raises(DeclarationError, match=said):
        create_injector(providers)


def test_where_it_is_wrong():
    """
    An alias of nothing is told by the word that was written, and a parameter by the line of its constructor.
    """

    class Wrong:
        def __init__(self, thing): ...

    injector = create_injector([{"provide": "x", "use_existing": "nothing"}, {"provide": "wrong", "use_class": Wrong}])

    with pytest.raises(MissingDependencyError, match=r'"nothing", needed by "x".use_existing'):
        injector.get("x")
    with pytest.raises(DeclarationError, match=r"parameter thing of Wrong has neither .* \(.*test_providers.py:"):
        injector.get("wrong")


def test_any_hashable_is_a_token():
    """
    Also None, an empty string, a number and a tuple are tokens of an injector, each as its own key.
    """
    tokens = (None, "", 5, ("a", 1), frozenset())

    injector = create_injector([{"provide": token, "value": repr(token)} for token in tokens])

    for _ in range(2):
        assert [injector.get(token) for token in tokens] == [repr(token) for token in tokens]


@pytest.mark.parametrize(
    "entry",
    [{"provide": "x", "use_factory": lambda a: a, "deps": ["cach"]}, {"provide": "x", "use_existing": "cach"}],
    ids=["deps", "existing"],
)
def test_a_string_that_is_misspelled_is_told_as_it_was_written(entry):
    """
    A string of a list that nothing provides has its near miss, and no word of how we keep it.
    """
    App = fresh_app(providers=[{"provide": "cache", "value": 1}, entry])

    with pytest.raises(GraphErrors) as caught:
        Container(App)

    assert 'nothing provides "cach"' in str(caught.value)
    assert 'Did you mean "cache"?' in str(caught.value)
    assert "ByName" not in str(caught.value)
