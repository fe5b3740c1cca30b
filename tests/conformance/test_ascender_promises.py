"""What Ascender's authors promise about providers, markers, look-up and failure, promise by promise."""

import asyncio
import threading
import weakref
from dataclasses import dataclass
from typing import Annotated, Generic, Optional, TypeVar

import pytest
from helpers import Journal, collected, in_threads

from asyncmeta import (
    All,
    AsyncDependencyError,
    AsyncServiceBase,
    CircularDependencyError,
    ClosedError,
    Container,
    ContainerError,
    DeclarationError,
    Factory,
    FinalizationErrors,
    GraphErrors,
    Inject as AsyncInject,
    Lazy,
    MissingDependencyError,
    Scope,
    ScopeError,
    inject_dependency,
)
from asyncmeta.ascender import (
    CyclicDependency,
    Inject,
    Injectable,
    Injector,
    LifecycleService,
    NoneInjectorException,
    Service,
    create_injector,
    create_root_injector,
    forget_root,
    inject,
    provideLifecycle,
)


class Engine:
    pass


class Car:
    def __init__(self, engine: Engine):
        self.engine = engine


class Other:
    pass


@pytest.fixture(autouse=True)
def without_root():
    """No test sees another's root, or what registers itself there."""
    forget_root(providers=True)
    yield
    forget_root(providers=True)


# --- life -----------------------------------------------------------------------------------------


def test_making_an_injector_builds_nothing():
    """
    Providers are lazy, and what is never asked for may be wrong.
    """
    journal = Journal()

    def make():
        journal.append("+made")

    injector = create_injector([{"provide": "made", "use_factory": make}, Car])

    assert journal == []
    injector.get("made")
    injector.get("made")
    assert journal == ["+made"]


def test_check_tells_what_is_wrong():
    """
    check() finds what nobody has asked for yet.
    """
    with pytest.raises(GraphErrors, match="Engine"):
        create_injector([Car]).check()


def test_one_object_for_each_injector():
    """
    A provider is a singleton of its injector; two injectors of one list share nothing.
    """
    providers = [Engine, Car]
    made = [create_injector(providers) for _ in range(5)]

    assert len({id(injector.get(Engine)) for injector in made}) == 5
    assert all(injector.get(Car).engine is injector.get(Engine) for injector in made)


def test_lists_that_differ_in_values_only_are_kept_apart():
    """
    Injectors made at one place of lists that look alike give each its own values and factories.
    """

    def make(number):
        return create_injector([
            {"provide": "number", "value": number},
            {"provide": "all", "value": [number], "multi": True},
            {"provide": "all", "value": number, "multi": True},
            {"provide": "closure", "use_factory": lambda: number},
            {"provide": "default", "use_factory": lambda it=number: it},
        ])  # fmt: skip

    def plain(number):
        return create_injector([{"provide": "number", "value": number}, {"provide": "all", "value": number, "multi": True}])

    for number in range(5):
        injector = make(number)
        assert [injector.get(token) for token in ("number", "all", "closure", "default")] == [
            number,
            [[number], number],
            number,
            number,
        ]
        assert plain(number).get("number") == number
        assert plain(number).get("all") == [number]


async def test_an_injector_gives_its_values_again_after_closing():
    """
    Entered again an injector starts empty, but for the values that its providers give.
    """

    def make():
        return create_injector([Engine, {"provide": "value", "value": 3}])

    for _ in range(4):
        injector = make()
        async with injector:
            before = injector.get(Engine)
        async with injector:
            assert injector.get("value") == 3
            assert injector.get(Engine) is not before


# --- parents --------------------------------------------------------------------------------------


def test_children_shadow_and_parents_are_asked():
    """
    A child's provider wins in the child alone; what it does not provide comes from the parent, as the same object.
    """
    parent = create_injector([Engine, Car, {"provide": "who", "value": "parent"}])
    child = create_injector([{"provide": "who", "value": "child"}], parent)
    grandchild = create_injector([Other], child)

    assert [one.get("who") for one in (parent, child, grandchild)] == ["parent", "child", "child"]
    assert grandchild.get(Car) is parent.get(Car)
    assert grandchild.parent is child
    assert child.parent is parent
    assert parent.parent is None


def test_a_service_of_the_parent_gets_the_dependencies_of_the_parent():
    """
    What a child shadows is seen by the child's services, never by the parent's.
    """
    fake = object()
    parent = create_injector([Engine, Car])
    child = create_injector([{"provide": Engine, "value": fake}, {"provide": "mine", "use_class": Car}], parent)

    assert type(child.get(Car).engine) is Engine
    assert child.get("mine").engine is fake


def test_multi_of_a_child_shadows():
    """
    A child's multi entries take the place of the parent's; they are not merged.
    """
    parent = create_injector([{"provide": "all", "value": n, "multi": True} for n in (1, 2)])
    child = create_injector([{"provide": "all", "value": 3, "multi": True}], parent)

    assert parent.get("all") == [1, 2]
    assert child.get("all") == [3]
    assert create_injector([], parent).get("all") == [1, 2]
    assert parent.get("all") is not parent.get("all")


def test_each_element_of_a_multi_is_a_singleton():
    """
    Each get makes a new list of the same objects.
    """
    injector = create_injector([{"provide": "all", "use_factory": object, "multi": True} for _ in range(3)])

    assert injector.get("all") == injector.get("all")
    assert len(set(injector.get("all"))) == 3


def test_a_child_may_decorate_what_its_parent_gives():
    """
    A child's provider that asks for its own token gets the parent's.
    """
    parent = create_injector([{"provide": "text", "value": "a"}])
    child = create_injector([{"provide": "text", "use_factory": lambda text: text + "b", "deps": ["text"]}], parent)

    assert child.get("text") == "ab"


def test_the_parent_may_be_a_container():
    """
    The Injector of a container, with its services and registrations, is a parent like any other.
    """

    class App(AsyncServiceBase, providers=[Engine, Car]):
        pass

    container = Container(App)
    child = create_injector([Other], container.get_nowait(Injector))

    assert child.get(Car) is container.get_nowait(Car)
    assert child.get(App) is container.get_nowait(App)


def test_scopes_of_a_child():
    """
    A scope of a child holds what the parent says is scoped, made of the parent's dependencies, and the child's own.
    """
    fake = object()

    class Session:
        def __init__(self, engine: Engine, container: Container):
            self.engine, self.container = engine, container

    class Handler:
        def __init__(self, session: Session, late: Lazy[Session]):
            self.session, self.late = session, late

    parent = create_injector([
        Engine,
        {"provide": Session, "scope": "request"},
        {"provide": "transient", "use_factory": lambda session: [session], "deps": [Session], "scope": "transient"},
    ])  # fmt: skip
    child = create_injector([{"provide": Engine, "value": fake}, {"provide": Handler, "lifetime": "scoped"}], parent)

    with pytest.raises(ScopeError):
        child.get(Session)
    with child.container.scope() as one, child.container.scope() as two, parent.container.scope() as above:
        handler = one.get_nowait(Handler)
        assert handler.session is one.get_nowait(Session)
        assert handler.late.nowait() is handler.session
        assert one.get_nowait("transient") == [handler.session]
        assert len({one.get_nowait(Session), two.get_nowait(Session), above.get_nowait(Session)}) == 3
        assert handler.session.engine is parent.get(Engine)
        assert handler.session.container is parent.container


def test_a_grandchild_takes_scoped_values_through_two_parents():
    """
    The rules for one parent hold for a chain of them.
    """
    parent = create_injector([Engine, {"provide": Car, "scope": "request"}])
    grandchild = create_injector([], create_injector([{"provide": Engine, "value": 1}], parent))

    with grandchild.container.scope() as scope:
        assert scope.get_nowait(Car).engine is parent.get(Engine)


async def test_children_share_one_build_of_their_parent():
    """
    Two children that ask at once for what their parent has to await share its build; so do threads for sync ones.
    """
    made = []

    async def make():
        made.append("async")
        await asyncio.sleep(0)
        return object()

    parent = create_injector([{"provide": "slow", "use_factory": make}, {"provide": "user", "use_factory": list, "deps": ["all"]},
                              {"provide": "all", "use_existing": "slow", "multi": True}])  # fmt: skip
    children = [create_injector([{"provide": "n", "value": n}], parent) for n in range(4)]

    assert len({id(value) for value in await asyncio.gather(*(child.aget("slow") for child in children))}) == 1
    assert await children[0].aget("user") is await parent.aget("user")
    assert made == ["async"]


def test_threads_of_children_share_one_build():
    """
    Threads that ask different children for one value of the parent get one object.
    """
    parent = create_injector([Engine, Car])
    children = [create_injector([], parent) for _ in range(4)]

    assert len(set(in_threads(4, lambda number: children[number].get(Car)))) == 1


async def test_a_child_sees_what_its_parent_is_told_later():
    """
    A registration on the class of the parent's container is seen by children that did not find it before.
    """

    class App(AsyncServiceBase):
        pass

    parent = await Container(App).get(Injector)
    child = create_injector([{"provide": Car, "use_class": Car}], parent)
    assert child.get(Engine, None) is None

    App.register_providers([Engine])

    assert child.get(Engine) is parent.get(Engine)
    assert child.get(Car).engine is parent.get(Engine)


async def test_services_of_the_parent_start_once():
    """
    A service class that nobody registers lives at the root, is started there, and is shared by all children.
    """
    journal = Journal()

    class Started(AsyncServiceBase):
        async def on_startup(self):
            journal.append("+Started")

        async def on_shutdown(self):
            journal.append("-Started")

    async with create_injector([]) as parent:
        one, two = create_injector([], parent), create_injector([], parent)
        assert await one.aget(Started) is await two.aget(Started)

    assert journal == ["+Started", "-Started"]


# --- get and its options --------------------------------------------------------------------------


def test_not_found():
    """
    A missing token is an error of ours that an Ascender program catches; a fallback takes its place, also None.
    """
    injector = create_injector([Engine])

    with pytest.raises(NoneInjectorException, match="Engin"):
        injector.get("Engin")
    with pytest.raises(MissingDependencyError):
        injector.get(Other)
    assert injector.get(Other, 5) == 5
    assert injector.get(Other, None) is None
    assert injector.get(Other, not_found_value=0, options={}) == 0
    assert injector.get(Other, options={"optional": True}) is None
    assert injector.get(Other, 7, {"optional": True}) == 7
    assert injector.get(Engine, 5) is injector.get(Engine)


def test_a_fallback_does_not_hide_what_a_service_lacks():
    """
    not_found_value is for the token alone: a provider whose own dependency is missing is an error.
    """
    with pytest.raises(NoneInjectorException, match="Engine"):
        create_injector([Car]).get(Car, None)


def test_only_self_and_skip_self():
    """
    only_self leaves the parents out, also after they were asked; skip_self begins at the parent, and without one finds nothing.
    """
    parent = create_injector([Engine, {"provide": "who", "value": "parent"}])
    child = create_injector([{"provide": "who", "value": "child"}], parent)
    child.get(Engine)

    assert child.get("who", options={"only_self": True}) == "child"
    assert child.get(Engine, None, {"only_self": True}) is None
    with pytest.raises(NoneInjectorException):
        child.get(Engine, options={"only_self": True})
    assert child.get("who", options={"skip_self": True}) == "parent"
    assert parent.get("who", None, {"skip_self": True}) is None
    assert child.get(Injector, options={"skip_self": True}) is parent
    assert child.get(Injector, options={"only_self": True}) is child


@pytest.mark.parametrize("options", [{"only_sef": True}, "optional", {"only_self": True, "skip_self": True}, {3: True}])
def test_options_that_mean_nothing(options):
    """
    An unknown option, or two that leave nowhere to look, are told.
    """
    with pytest.raises(DeclarationError):
        create_injector([Engine]).get(Engine, options=options)


def test_an_unhashable_token_is_told():
    """
    What cannot be a key is an error, also with a fallback.
    """
    with pytest.raises(DeclarationError, match="hashable"):
        create_injector([]).get([], None)


def test_get_does_not_know_names_of_classes():
    """
    get matches exactly: the name of a class is no token.
    """
    with pytest.raises(NoneInjectorException):
        create_injector([Engine]).get("Engine")


def test_get_takes_forms():
    """
    What can be asked for in an annotation can be asked of get.
    """
    injector = create_injector([Engine, {"provide": "name", "value": 3}])

    assert injector.get(Annotated[int, Inject("name")]) == 3
    assert injector.get(Optional[Engine]) is injector.get(Engine)  # noqa: UP045  # the old spelling, too
    assert injector.get(Other | None, 4) == 4


def test_tokens_that_were_not_found_are_not_kept():
    """
    Asking for no end of unknown tokens keeps nothing of them.
    """

    class Token:
        pass

    parent = create_injector([Engine])
    child = create_injector([], parent)
    graphs = [parent.container._graph, child.container._graph]
    child.get("warm", None)
    before = [len(graph._found[None]) for graph in graphs]
    for number in range(50):
        child.get(f"unknown {number}", None)

    assert [len(graph._found[None]) for graph in graphs] == before


def test_asking_again_for_a_list_keeps_nothing():
    """
    A multi token can be asked for any number of times.
    """
    injector = create_injector([{"provide": "all", "value": 1, "multi": True}])
    injector.get("all")
    before = len(injector.container._graph.roots)
    for _ in range(20):
        injector.get("all")

    assert len(injector.container._graph.roots) == before


def test_an_injector_provides_itself():
    """
    Injector is the injector that makes the dependent: the child's for the child's services, the parent's for its own.
    """
    make = {"use_factory": lambda injector: injector, "deps": [Injector]}
    parent = create_injector([{"provide": "of parent", **make}])
    child = create_injector([{"provide": "of child", **make}], parent)

    assert parent.get(Injector) is parent
    assert child.get(Injector) is child
    assert child.get("of child") is child
    assert child.get("of parent") is parent


# --- parameters -----------------------------------------------------------------------------------


class Bare:
    pass


class Inherits(Car):
    pass


@dataclass
class Data:
    engine: Engine
    number: int = 3


class Kinds:
    def __init__(this, engine: Engine, /, other: Engine, *args, named: Engine, **keywords):
        this.all = [engine, other, named, *args, *keywords]


class Defaults:
    def __init__(self, number: int = 3, engine: Engine = None, other: Other = "none", untold=4):
        self.all = (number, engine, other, untold)


class Optionals:
    def __init__(self, engine: Engine | None, other: Other | None, old: Engine | None, told: Annotated[Engine, "told"]):
        self.all = (engine, other, old, told)


class Marked:
    def __init__(self, x: Annotated[dict, "documented", Inject("config")], y: Annotated[int, Inject("no", fallback=0)]):
        self.all = (x, y)


class Named:
    def __init__(self, engine: "NotHere", unknown: "Nowhere" = 5):  # noqa: F821  # that is the point
        self.all = (engine, unknown)


T = TypeVar("T")


class Repo(Generic[T]):
    def __init__(self, engine: Engine):
        self.engine = engine


@pytest.mark.parametrize(
    ("cls", "expected"),
    [
        (Bare, lambda made, get: True),
        (Inherits, lambda made, get: made.engine is get(Engine)),
        (Data, lambda made, get: made.engine is get(Engine) and made.number == 3),
        (Kinds, lambda made, get: made.all == [get(Engine)] * 3),
        (Defaults, lambda made, get: made.all == (3, get(Engine), "none", 4)),
        (Optionals, lambda made, get: made.all == (get(Engine), None, get(Engine), get(Engine))),
        (Marked, lambda made, get: made.all == (get("config"), 0)),
        (Repo, lambda made, get: made.engine is get(Engine)),
    ],
)
@pytest.mark.parametrize("written", [lambda cls: cls, lambda cls: {"provide": cls}, lambda cls: {"provide": cls, "useClass": cls}])
def test_constructors(cls, expected, written):
    """
    A class is built through whatever constructor it has; defaults and None are for what nothing provides.
    """
    injector = create_injector([Engine, {"provide": "config", "value": {}}, written(cls)])

    assert expected(injector.get(cls), injector.get)


def test_annotations_that_cannot_be_evaluated_are_names():
    """
    A string annotation that names nothing in its module means the registered class of that name, of the parents too.
    """
    NotHere = type("NotHere", (), {})
    parent = create_injector([NotHere])
    child = create_injector([Named], parent)

    assert child.get(Named).all == (parent.get(NotHere), 5)


def test_of_two_classes_of_one_name_the_nearest_and_latest_is_meant():
    """
    A child's class comes before its parent's, and in one list the last one counts.
    """
    old, new, far = (type("NotHere", (), {}) for _ in range(3))
    ask = {"provide": "x", "use_factory": lambda it: it, "deps": ["NotHere"]}

    assert type(create_injector([old, new, ask], create_injector([far])).get("x")) is new
    assert type(create_injector([ask], create_injector([far])).get("x")) is far


def test_an_exact_key_comes_first():
    """
    An annotation that is itself a token, a union or an Annotated, is looked up as it is before it is unwrapped.
    """

    class User:
        def __init__(self, either: Engine | None, told: Annotated[Engine, "told"], plain: Engine):
            self.all = (either, told, plain)

    injector = create_injector([
        {"provide": Engine | None, "value": 1},
        {"provide": Annotated[Engine, "told"], "value": 2},
        {"provide": Engine, "value": 3},
        User,
    ])  # fmt: skip

    assert injector.get(User).all == (1, 2, 3)


def test_a_parameter_without_annotation_is_an_error_that_names_it():
    """
    The dialect does not look up by name, not even where the name is a token; a TypeError says which parameter it is.
    """

    class Vague:
        def __init__(self, engine):
            pass

    injector = create_injector([{"provide": "engine", "value": 1}, Vague])

    with pytest.raises(TypeError, match="parameter engine of"):
        injector.get(Vague)
    with pytest.raises(DeclarationError, match="parameter engine of"):
        Container(providers=[{"provide": "engine", "value": 1}, {"provide": Vague}])


def test_markers_of_a_real_ascender_are_known_by_their_shape():
    """
    A class written for Ascender works as it is: its marker is recognised without importing it.
    """

    class _empty:
        pass

    class InjectionMetadata:
        def __init__(self, token, fallback=_empty):
            self.token, self.fallback = token, fallback

    class User:
        def __init__(self, a: Annotated[int, InjectionMetadata("a")], b: Annotated[int, InjectionMetadata("b", 2)]):
            self.all = (a, b)

    injector = create_injector(
        [{"provide": "a", "value": 1}, User, {"provide": "c", "use_factory": int, "deps": [InjectionMetadata("a")]}]
    )

    assert injector.get(User).all == (1, 2)
    assert injector.get("c") == 1


def test_markers_in_deps():
    """
    In deps a marker stands for its token, in Annotated or bare, with its fallback.
    """
    deps = [Annotated[int, Inject("a")], Inject("a"), Inject("none", fallback=0), Engine | None, Other | None]
    injector = create_injector([{"provide": "a", "value": 1}, {"provide": "x", "use_factory": lambda *all: all, "deps": deps}])

    assert injector.get("x") == (1, 1, 0, None, None)


def test_empty_deps_count_as_none():
    """
    `deps: []` is as good as no deps: the constructor says what it needs.
    """
    injector = create_injector([Engine, {"provide": Car, "use_class": Car, "deps": []}])

    assert injector.get(Car).engine is injector.get(Engine)


# --- failure --------------------------------------------------------------------------------------


def test_cycles():
    """
    A circle is told with its path, as the error that an Ascender program catches, and the same way the next time.
    """
    injector = create_injector([
        {"provide": "a", "use_factory": lambda b: b, "deps": ["b"]},
        {"provide": "b", "use_factory": lambda a: a, "deps": ["a"]},
        {"provide": "own", "use_factory": lambda own: own, "deps": ["own"]},
        {"provide": "late", "use_factory": lambda injector: injector.get("late"), "deps": [Injector]},
    ])  # fmt: skip

    for token in ("a", "b", "own", "late") * 2:
        with pytest.raises(CyclicDependency) as caught:
            injector.get(token)
        assert isinstance(caught.value, CircularDependencyError)
        assert f'"{token}"' in str(caught.value)


def test_a_failed_build_is_tried_again():
    """
    A factory that fails passes its exception through unwrapped, and is called anew by the next get.
    """
    failure = ValueError("first")
    failures = [failure]

    def make():
        if failures:
            raise failures.pop()
        return "made"

    injector = create_injector([{"provide": "made", "use_factory": make}])

    with pytest.raises(ValueError) as caught:
        injector.get("made")
    assert caught.value is failure
    assert injector.get("made") == "made"


def test_threads_share_one_build():
    """
    Threads that ask at once for one slow service get one object.
    """
    inside, go = threading.Event(), threading.Event()
    made = []

    def make():
        inside.set()
        go.wait(10)
        made.append(object())
        return made[-1]

    injector = create_injector([{"provide": "slow", "use_factory": make}])
    threading.Thread(target=lambda: (inside.wait(10), go.set()), daemon=True).start()

    assert in_threads(4, lambda number: injector.get("slow")) == made * 4
    assert len(made) == 1


def test_a_deep_chain():
    """
    A chain of a thousand providers needs no deep recursion.
    """
    providers = [{"provide": 0, "value": "end"}]
    providers += [{"provide": n, "use_factory": lambda below: below, "deps": [n - 1]} for n in range(1, 1001)]

    assert create_injector(providers).get(1000) == "end"


# --- awaiting, closing ----------------------------------------------------------------------------


async def test_async_factories():
    """
    An async factory is awaited once, however many ask; get says so before it is built, and reads it afterwards.
    """
    made = []

    async def make(engine: Engine):
        await asyncio.sleep(0)
        made.append(engine)
        return engine

    injector = create_injector([Engine, {"provide": "made", "use_factory": make}])

    with pytest.raises(AsyncDependencyError, match="aget"):
        injector.get("made")
    assert set(await asyncio.gather(*(injector.aget("made") for _ in range(5)))) == {injector.get(Engine)}
    assert len(made) == 1
    assert injector.get("made") is made[0]


async def test_aget_takes_what_get_takes():
    """
    aget has the fallbacks, options and errors of get.
    """
    parent = create_injector([Engine, {"provide": "all", "value": 1, "multi": True}])
    child = create_injector([], parent)

    assert await child.aget(Engine) is parent.get(Engine)
    assert await child.aget(Engine) is parent.get(Engine)
    assert await child.aget("all") == [1]
    assert await child.aget("none", None) is None
    assert await child.aget("none", options={"optional": True}) is None
    assert await child.aget(Engine, 3, {"only_self": True}) == 3
    with pytest.raises(NoneInjectorException):
        await child.aget("none")


async def test_resources_are_closed_in_reverse():
    """
    Generators and async generators are set up once and closed in reverse order when the injector is left.
    """
    journal = Journal()

    async def pool():
        with journal.noting("pool"):
            yield "pool"

    def session(pool):
        with journal.noting("session"):
            yield "session"

    providers = [{"provide": "pool", "use_factory": pool}, {"provide": "session", "use_factory": session, "deps": ["pool"]}]
    async with create_injector(providers) as injector:
        assert await injector.aget("session") == "session"

    assert journal == ["+pool", "+session", "-session", "-pool"]
    with pytest.raises(ClosedError):
        injector.get("session")


async def test_children_are_closed_before_their_parents():
    """
    A parent that is left closes its children with something to close first, with a warning; none can be used afterwards.
    """
    journal = Journal()

    def opened(name):
        def open_it():
            with journal.noting(name):
                yield name

        return {"provide": name, "use_factory": open_it}

    parent = create_injector([opened("parent")])
    child, idle = create_injector([opened("child")], parent), create_injector([Engine], parent)
    engine = idle.get(Engine)
    with pytest.warns(ResourceWarning, match="injector"):
        async with parent:
            child.get("child")
            child.get("parent")

    assert journal.closed == ["child", "parent"]
    for injector, token in ((child, "child"), (child, "parent"), (idle, Engine)):
        with pytest.raises(ClosedError):
            injector.get(token)
    assert type(engine) is Engine


async def test_a_child_that_is_closed_leaves_its_parent_alone():
    """
    Closing a child closes what the child made; what the parent made for it goes on.
    """
    journal = Journal()

    def make(name):
        def open_it():
            with journal.noting(name):
                yield name

        return open_it

    async with create_injector([{"provide": "shared", "use_factory": make("shared")}]) as parent:
        async with create_injector([{"provide": "own", "use_factory": make("own")}], parent) as child:
            child.get("own")
            child.get("shared")
        assert journal.closed == ["own"]
        assert parent.get("shared") == "shared"


def test_a_sync_program_closes_with_with():
    """
    Where nothing has to be awaited, `with` and close() do.
    """
    journal = Journal()

    def open_it():
        with journal.noting("it"):
            yield "it"

    with create_injector([{"provide": "it", "use_factory": open_it}]) as injector:
        injector.get("it")

    assert journal.closed == ["it"]


async def test_a_finalizer_that_fails_is_told():
    """
    What closing meets is raised.
    """

    def fails():
        yield 1
        raise ValueError("late")

    injector = create_injector([{"provide": "it", "use_factory": fails}])
    injector.get("it")

    with pytest.raises(FinalizationErrors):
        await injector.aclose()


def test_children_that_are_dropped_leave_nothing():
    """
    A child for each request, never closed, is freed with what it made.
    """
    parent = create_injector([Engine, Car])
    gone = []
    for number in range(5):
        child = create_injector([{"provide": "number", "value": number}, {"provide": "mine", "use_class": Other}], parent)
        gone += [weakref.ref(child), weakref.ref(child.get("mine"))]
        child.get(Injector)
        del child
    collected()

    assert [ref() for ref in gone] == [None] * len(gone)


def test_a_parent_that_is_dropped_leaves_nothing():
    """
    A parent is freed with all that was worked out for its children, and so are the classes of its list.
    """

    def use():
        class Local:
            pass

        parent = create_injector([Local, {"provide": "all", "value": 1, "multi": True}])
        for number in range(5):
            child = create_injector([{"provide": "number", "value": number}], parent)
            assert (child.get("number"), child.get("all"), type(child.get(Local))) == (number, [1], Local)
        return [weakref.ref(thing) for thing in (parent, parent.container, parent.container._graph, child.container._graph, Local)]

    gone = use()
    collected()

    assert [ref() for ref in gone] == [None] * len(gone)


async def test_overrides_of_an_injector():
    """
    The container underneath can be overridden: dependents are made anew for the block.
    """
    injector = create_injector([Engine, Car])
    before = injector.get(Car)

    with injector.container.override({Engine: "fake"}):
        assert injector.get(Car).engine == "fake"
        assert injector.get(Engine, None) == "fake"
    assert injector.get(Car) is before


async def test_shared_registrations_are_seen():
    """
    What @inject_dependency registers for everybody can be asked of an injector, awaited.
    """

    class Shared:
        pass

    @inject_dependency(Shared)
    async def make_shared():
        return Shared()

    injector = create_injector([])

    assert type(await injector.aget(Shared)) is Shared
    assert await create_injector([], injector).aget(Shared) is await injector.aget(Shared)


# --- Injectable -----------------------------------------------------------------------------------


def test_injectable_returns_the_class():
    """
    With and without parentheses the decorator gives the class back, and leaves it as it is.
    """

    class Plain:
        pass

    before = dict(vars(Plain))

    assert Injectable(Plain) is Plain
    assert Injectable()(Plain) is Plain
    assert Injectable(provided_in="root")(Plain) is Plain
    assert dict(vars(Plain)) == before


def test_provided_in_root():
    """
    The root injector provides it, below its own list; other injectors do not.
    """

    @Injectable(provided_in="root")
    class Real:
        pass

    @Injectable("root")
    class Also:
        def __init__(self, real: Real):
            self.real = real

    assert create_injector([]).get(Real, None) is None
    root = create_root_injector([])
    assert root.get(Also).real is root.get(Real)
    assert create_injector([], root).get(Real) is root.get(Real)
    # An explicit provider wins.
    assert create_root_injector([{"provide": Real, "value": "fake"}]).get(Also).real == "fake"


def test_provided_later():
    """
    A class that says provided_in="root" after the root was made is found all the same.
    """
    root = create_root_injector([])
    assert root.get(Other, None) is None

    Injectable(provided_in="root")(Other)

    assert type(root.get(Other)) is Other


def test_provided_as():
    """
    provided_as is a token or a provider, in which "@SELF" is the class; the dictionary stays as it is.
    """
    provider = {"provide": "@SELF", "use_factory": lambda: 1}

    @Injectable(provided_in="root", provided_as=provider)
    class One:
        pass

    @Injectable(provided_in="root", provided_as=Engine)
    class Two:
        pass

    @Injectable(provided_in="root", provided_as={"provide": "three"})
    class Three:
        pass

    @Injectable(provided_in="root", provided_as="@SELF")
    class Four:
        pass

    root = create_root_injector([])

    assert root.get(One) == 1
    assert type(root.get(Engine)) is Two
    assert type(root.get("three")) is Three
    assert type(root.get(Four)) is Four
    assert provider["provide"] == "@SELF"


def test_provided_in_a_class():
    """
    A service class is registered on; a plain class has an injector of its own, below the root.
    """

    class App(AsyncServiceBase):
        pass

    class Module:
        pass

    @Injectable(provided_in=App)
    class InApp:
        pass

    @Injectable(provided_in=Module)
    class InModule:
        def __init__(self, engine: Engine):
            self.engine = engine

    assert type(Container(App).get_nowait(InApp)) is InApp
    root = create_root_injector([Engine])
    assert root.get(InModule, None) is None
    assert inject(InModule, scope=Module) is inject(InModule, scope=Module)
    assert inject(InModule, scope=Module).engine is root.get(Engine)


@pytest.mark.parametrize("where", ["rot", "any", 3, object()])
def test_provided_in_nowhere(where):
    """
    What is no place to be provided in is refused when the decorator is made.
    """
    with pytest.raises(TypeError, match="provided_in"):
        Injectable(provided_in=where)


def test_bad_provided_as():
    """
    A provided_as that means nothing is refused, and nothing is registered.
    """
    with pytest.raises(DeclarationError, match="provided_as"):
        Injectable(provided_in="root", provided_as=3)(Other)
    with pytest.raises(DeclarationError, match="use_clas"):
        Injectable(provided_in="root", provided_as={"provide": Other, "use_clas": Other})(Other)
    assert create_root_injector([]).get(Other, None) is None


# --- inject() -------------------------------------------------------------------------------------


def test_inject_asks_the_root():
    """
    inject gives the root's object at once, or the fallback, also a falsy one.
    """
    root = create_root_injector([Engine])

    assert inject(Engine) is root.get(Engine)
    assert inject("none", 0) == 0
    assert inject("none", None) is None
    with pytest.raises(NoneInjectorException):
        inject("none")


def test_inject_as_an_attribute():
    """
    In a class body it is looked up when an instance is first asked, and kept in the instance.
    """

    class User:
        engine = inject(Engine)
        fallback = inject("none", "fallback")

    class Slotted:
        __slots__ = ()
        engine = inject(Engine)

    root = create_root_injector([Engine])
    user = User()

    assert vars(user) == {}
    assert user.engine is root.get(Engine)
    assert vars(user) == {"engine": root.get(Engine)}
    assert user.fallback == "fallback"
    assert Slotted().engine is root.get(Engine)


def test_inject_in_a_class_body_waits_although_there_is_a_root():
    """
    The root that counts is the one at first access, not the one at class creation.
    """
    create_root_injector([{"provide": "who", "value": "old"}])

    class User:
        who = inject("who")

    create_root_injector([{"provide": "who", "value": "new"}])

    assert User().who == "new"


def test_inject_before_there_is_a_root():
    """
    Without a root a fallback is given; else a stand-in says what is missing when it is used.
    """
    assert inject(Engine, None) is None
    stand_in = inject(Engine)
    with pytest.raises(AttributeError, match="before there was a root"):
        stand_in.start()

    class User:
        engine = inject(Engine)

    with pytest.raises(NoneInjectorException, match="create_root_injector"):
        User().engine
    create_root_injector([Engine])
    assert type(User().engine) is Engine


@pytest.mark.parametrize("scope", ["rot", 3, None])
def test_inject_with_no_such_scope(scope):
    """
    A scope is "root" or a class.
    """
    with pytest.raises(TypeError, match="scope"):
        inject(Engine, scope=scope)


def test_inject_with_the_scope_of_a_service_class():
    """
    The open container of that class is asked.
    """

    class App(AsyncServiceBase, providers=[Engine]):
        pass

    assert inject(Engine, None, scope=App) is None
    container = Container(App)

    assert inject(Engine, scope=App) is container.get_nowait(Engine)


def test_inject_inside_of_a_factory():
    """
    A constructor that calls inject gets the root's objects, while the root builds it.
    """

    class User:
        def __init__(self):
            self.engine = inject(Engine)

    root = create_root_injector([Engine, User])

    assert root.get(User).engine is root.get(Engine)


def test_forget_root():
    """
    forget_root forgets the root, and what registers itself when told so.
    """
    Injectable(provided_in="root")(Other)
    create_root_injector([Engine])
    forget_root()
    assert inject(Engine, None) is None
    assert type(create_root_injector([]).get(Other)) is Other

    forget_root(providers=True)

    assert create_root_injector([]).get(Other, None) is None


# --- services that start --------------------------------------------------------------------------


class Noted(LifecycleService):
    def __init__(self, journal: Journal):
        self.journal = journal

    async def on_startup(self):
        self.journal.append(f"+{type(self).__name__}")

    async def on_shutdown(self):
        self.journal.append(f"-{type(self).__name__}")


class First(Noted):
    pass


class Second(Noted):
    pass


class Unlisted(Noted):
    pass


async def test_lifecycle_services():
    """
    Entering the root starts the services that are listed, in order; leaving it stops them in reverse.
    """
    journal = Journal()
    values = {"provide": Journal, "value": journal}
    root = create_root_injector([values, First, Second, Unlisted, provideLifecycle([Second]), [provideLifecycle([First, Second])]])

    async with root:
        root.get(Unlisted)
        assert journal == ["+Second", "+First"]
        journal.append("body")

    assert journal == ["+Second", "+First", "body", "-First", "-Second"]


async def test_a_service_that_does_not_start():
    """
    What has started is stopped again, and the exception comes through.
    """
    journal = Journal()

    class Fails(LifecycleService):
        async def on_startup(self):
            raise ValueError("no")

    root = create_root_injector([{"provide": Journal, "value": journal}, First, Fails, provideLifecycle([First, Fails])])

    with pytest.raises(ValueError, match="no"):
        async with root:
            raise AssertionError("never entered")
    assert journal == ["+First", "-First"]


def test_lifecycle_services_need_awaiting():
    """
    A plain `with` says so, and starts nothing.
    """
    with pytest.raises(AsyncDependencyError, match="async with"):
        with create_root_injector([First, provideLifecycle([First])]):
            pass
    with pytest.raises(DeclarationError):
        provideLifecycle("First")


async def test_the_bases_do_nothing():
    """
    Service and LifecycleService are plain bases whose hooks do nothing.
    """
    assert issubclass(LifecycleService, Service)
    assert await LifecycleService().on_startup() is None
    assert await LifecycleService().on_shutdown() is None


def test_scope_is_no_token_by_accident():
    """
    Container and Scope are what they are elsewhere.
    """
    injector = create_injector([])

    assert injector.get(Container) is injector.container
    with pytest.raises(ScopeError):
        injector.get(Scope)


async def test_lifecycle_services_of_all_kinds():
    """
    What has no hook of a kind goes without; a service class of ours is started by its container, and nothing twice.
    """
    journal = Journal()

    class Ours(AsyncServiceBase):
        async def on_startup(self):
            journal.append("+Ours")

        async def on_shutdown(self):
            journal.append("-Ours")

    class Begins:
        async def on_startup(self):
            journal.append("+Begins")

    class Ends:
        async def on_shutdown(self):
            journal.append("-Ends")

    alias = {"provide": "begins", "use_existing": Begins}

    async with create_root_injector([Ours, Begins, Ends, alias, provideLifecycle([Ours, Begins, "begins", Ends])]):
        assert journal == ["+Ours", "+Begins"]

    assert journal == ["+Ours", "+Begins", "-Ends", "-Ours"]


# --- inject, at the edges ---------------------------------------------------------------------------


def test_inject_refuses_what_cannot_be_hashed():
    """
    A token is a key.
    """
    with pytest.raises(DeclarationError, match="a token has to be hashable; list is not"):
        inject(["engine"])


def test_an_attribute_without_a_root_gives_its_fallback():
    """
    In a class body nothing is looked up; an instance that asks before there is a root gets the fallback, and keeps it.
    """

    class User:
        engine = inject(Engine, "no engine")

    assert repr(User.engine) == "<inject(Engine), not looked up yet>"
    user = User()
    assert user.engine == "no engine"
    create_root_injector([Engine])

    assert user.engine == "no engine"
    assert type(User().engine) is Engine


def test_a_stand_in_that_is_put_on_a_class_later_is_looked_up_each_time():
    """
    What was made outside of a class body has no name under which an instance could keep it.
    """
    stand_in = inject(Engine)

    class User:
        pass

    User.engine = stand_in
    create_root_injector([Engine])
    user = User()

    assert user.engine is user.engine
    assert vars(user) == {}


async def test_the_scope_of_a_service_class_is_the_ambient_container_there():
    """
    Of several containers of one class that is asked in which the code runs; from outside of them all it cannot be said.
    """

    class App(AsyncServiceBase, providers=[Engine]):
        pass

    one, other = Container(App), Container(App)
    with pytest.raises(ContainerError, match="App has 2 open containers; ask one of them"):
        inject(Engine, scope=App)

    async with one:
        assert inject(Engine, scope=App) is await one.get(Engine)
    async with other:
        assert inject(Engine, scope=App) is await other.get(Engine)


def test_a_note_of_a_failure_stays_with_it():
    """
    The error that an Ascender program catches carries the notes of ours: what was being built.
    """

    def make_car():
        error = MissingDependencyError("wheels", ("wheels",), "")
        error.add_note("looked everywhere")
        raise error

    with pytest.raises(NoneInjectorException) as caught:
        create_injector([{"provide": Car, "use_factory": make_car}]).get(Car)

    assert "looked everywhere" in caught.value.__notes__


def test_many_kinds_of_lists_are_as_good_as_one():
    """
    What is kept of lists of one kind is bounded: more kinds than are kept work as before, and so does the first one again.
    """
    kinds = [type(f"Kind{number}", (), {}) for number in range(70)]

    for _ in range(2):
        for kind in [*kinds, kinds[0]]:
            injector = create_injector([kind, {"provide": "name", "value": kind.__name__}])

            assert type(injector.get(kind)) is kind
            assert injector.get("name") == kind.__name__


# --- children of a container with levels ------------------------------------------------------------


class Building(AsyncServiceBase, scopes=["request"], context={"singleton": ["city"], "request": ["visitor"]}):
    """Has values of a request, made of what a request brings along."""


@inject_dependency("greeting", on=Building, lifetime="request")
def greet(visitor: Annotated[str, AsyncInject("visitor")], city: Annotated[str, AsyncInject("city")]) -> str:
    return f"{visitor}, welcome to {city}"


class Sign(str):
    __slots__ = ()


@inject_dependency(Sign, on=Building, lifetime="request", multi=True)
def first_sign(visitor: Annotated[str, AsyncInject("visitor")]):
    return Sign(f"{visitor} first")


@inject_dependency(Sign, on=Building, lifetime="request", multi=True)
def second_sign(greeting: Annotated[str, AsyncInject("greeting")]):
    return Sign(f"second: {greeting}")


class Desk(AsyncServiceBase, lifetime="request"):
    def __init__(self, greeting: Annotated[str, AsyncInject("greeting")]):
        self.greeting, self.started = greeting, 0

    async def on_startup(self):
        self.started += 1


Building.register_dependency(Desk, Desk, lifetime="request")


class Bell(AsyncServiceBase, lifetime="request"):
    rung = 0

    async def on_startup(self):
        self.rung += 1


class Wing:
    def __init__(self, signs: All[Sign], visitor: Annotated[str, AsyncInject("visitor")]):
        self.signs, self.visitor = signs, visitor


async def test_a_child_gives_what_its_parent_has_for_a_request():
    """
    A scope of a child builds the parent's values of a request anew, of what that scope brings along, and the child's on top.
    """
    async with Container(Building, context={"city": "Rome"}) as parent:
        child = create_injector([{"provide": Wing, "use_class": Wing, "lifetime": "request"}, Bell], parent=Injector(parent))

        async with child.container.scope({"visitor": "Ada"}) as scope:
            wing, desk, bell = await scope.get(Wing), await scope.get(Desk), await scope.get(Bell)

        assert list(wing.signs) == ["Ada first", "second: Ada, welcome to Rome"]
        assert (wing.visitor, desk.greeting, desk.started, bell.rung) == ("Ada", "Ada, welcome to Rome", 1, 1)


class Clerk:
    def __init__(self, hire: Factory[Desk]) -> None:
        self.hire = hire


async def test_a_child_makes_what_its_parent_starts_for_a_request_anew():
    """
    The Factory of a service of the parent's, asked for in a scope of the child, makes started ones of what that scope has.
    """
    async with Container(Building, context={"city": "Rome"}) as parent:
        child = create_injector([{"provide": Clerk, "use_class": Clerk, "lifetime": "request"}], parent=Injector(parent))

        async with child.container.scope({"visitor": "Ada"}) as scope:
            clerk = await scope.get(Clerk)
            desks = [await clerk.hire() for _ in range(2)]

    assert [(desk.greeting, desk.started) for desk in desks] == [("Ada, welcome to Rome", 1)] * 2
    assert desks[0] is not desks[1]


def test_lists_that_look_alike_share_what_is_known_of_them():
    """
    From the third time on a list at one place, which differs in its values only, is not looked through again.
    """
    made = [create_injector([{"provide": "number", "value": number}, Engine]) for number in range(5)]

    assert len({id(injector.container._graph) for injector in made[1:]}) == 1
    assert [injector.get("number") for injector in made] == list(range(5))


def test_any_number_of_lists_that_look_different_are_told_apart():
    """
    Each list has what it says, however many others were made, and however often each is made.
    """
    made = [create_injector([{"provide": f"key {number}", "value": number}]) for number in range(100) for _ in range(2)]

    assert [injector.get(f"key {number // 2}") for number, injector in enumerate(made)] == [number // 2 for number in range(200)]
