"""What is checked, when, and what is said?"""

import abc
import itertools
import os
import subprocess
import sys
import textwrap
import time
import uuid
from pathlib import Path
from typing import Annotated

import pytest

import asyncmeta
from asyncmeta import (
    AsyncDependencyDescriptor,
    AsyncServiceBase,
    CaptiveDependencyError,
    CircularDependencyError,
    Container,
    GraphError,
    GraphErrors,
    Inject,
    Lazy,
    MissingDependencyError,
    ScopeError,
    inject_dependency,
)
from asyncmeta._solve import checks


class Request:
    """A context value."""


def fresh_app(**keywords):
    """Return a service class of its own."""

    class App(AsyncServiceBase, **keywords):
        pass

    return App


def saying(text):
    """Return a check that an error's whole text, that of a group included, holds *text*."""
    return lambda error: text in str(error)


def problems_of(App):
    """Return what making a container of *App* complains of."""
    with pytest.raises(GraphErrors) as caught:
        Container(App)
    return list(caught.value.exceptions)


# --- what is checked -----------------------------------------------------------------------------


def test_a_sound_application_makes_a_container():
    """
    Nothing is said where everything fits.
    """
    App = fresh_app()
    App.register_value("name", "name")
    App.register_dependency("greeting", lambda name: name)

    report = Container(App).check()

    assert (report.replaced, report.outdated, report.unreached) == ((), (), ())


def test_making_a_container_builds_nothing():
    """
    The check calls no factory.
    """
    built = []
    App = fresh_app()
    App.register_dependency("thing", lambda: built.append(1))
    App.register_dependency("other", lambda thing: built.append(2))

    Container(App).check()

    assert built == []


def test_the_application_s_own_registrations_are_checked():
    """
    What the application registers is checked though nothing asks for it.
    """
    App = fresh_app()
    App.register_dependency("unasked", lambda nowhere: None)

    (problem,) = problems_of(App)

    assert isinstance(problem, MissingDependencyError)
    assert problem.key == '"nowhere"'
    assert problem.path == ('"unasked".nowhere', '"nowhere"')


def test_registrations_of_every_layer_are_checked():
    """
    What the application inherits is checked as well.
    """

    class Layer(AsyncServiceBase):
        @inject_dependency("unasked")
        @staticmethod
        def make(nowhere): ...

    class App(Layer):
        pass

    (problem,) = problems_of(App)

    assert problem.key == '"nowhere"'


def test_the_application_s_constructor_is_checked():
    """
    What the application's own constructor takes is checked.
    """

    class App(AsyncServiceBase):
        def __init__(self, nowhere): ...

    (problem,) = problems_of(App)

    assert problem.key == '"nowhere"'
    assert problem.path == ("App.nowhere", '"nowhere"')


def test_listed_entry_points_are_checked():
    """
    A class in providers is checked with everything it reaches.
    """

    class Handler(AsyncServiceBase, lifetime="scoped"):
        def __init__(self, nowhere): ...

    App = fresh_app(providers=[Handler])

    (problem,) = problems_of(App)

    assert problem.path == ("Handler.nowhere", '"nowhere"')


async def test_unlisted_entry_points_are_checked_when_asked_for():
    """
    A service that nothing names is checked by the first get that asks for it.
    """

    class Handler(AsyncServiceBase):
        def __init__(self, nowhere): ...

    container = Container(fresh_app())

    with pytest.raises(MissingDependencyError) as caught:
        await container.get(Handler)

    assert caught.value.path == ("Handler.nowhere", '"nowhere"')


def test_descriptors_are_followed():
    """
    What an attribute asks for is checked, and so is what that needs.
    """

    class Ledger(AsyncServiceBase):
        store = AsyncDependencyDescriptor("nowhere")

    class Billing(AsyncServiceBase):
        ledger = AsyncDependencyDescriptor(Ledger)

    (problem,) = problems_of(Billing)

    assert problem.key == '"nowhere"'
    assert "Ledger.store" in str(problem)


def test_lazy_parameters_are_followed():
    """
    What a Lazy parameter would give is checked.
    """
    App = fresh_app()

    def make(late: Lazy[Annotated[object, Inject("nowhere")]]): ...

    App.register_dependency("holder", make)

    (problem,) = problems_of(App)

    assert problem.key == '"nowhere"'


async def test_a_shared_registration_that_nothing_reaches_stops_nobody():
    """
    An unrelated module's broken registration is told only to who reaches it, by the get, and bare.
    """
    name = f"broken {uuid.uuid4()}"
    AsyncServiceBase.register_dependency(name, lambda nowhere: None)
    try:
        container = Container(fresh_app())

        with pytest.raises(MissingDependencyError) as caught:
            await container.get(name)

        assert caught.value.key == '"nowhere"'
    finally:
        AsyncServiceBase.register_value(name, None)  # mends it for the tests that follow


def test_a_shared_registration_that_is_reached_is_checked():
    """
    What the application reaches in the shared layer is checked when the container is made.
    """
    name = f"broken {uuid.uuid4()}"
    AsyncServiceBase.register_dependency(name, lambda nowhere: None)
    try:

        class App(AsyncServiceBase):
            thing = AsyncDependencyDescriptor(name)

        (problem,) = problems_of(App)

        assert problem.key == '"nowhere"'
    finally:
        AsyncServiceBase.register_value(name, None)


def test_a_container_of_the_shared_layer_checks_it_whole():
    """
    `Container()` checks every registration of the shared layer.
    """
    source = """
        from asyncmeta import Container, GraphErrors, inject_dependency

        @inject_dependency("one")
        def one(nowhere): ...

        @inject_dependency("two")
        def two(nobody): ...

        try:
            Container()
        except GraphErrors as error:
            print(sorted(problem.key for problem in error.exceptions))
    """
    house = str(Path(asyncmeta.__file__).parent.parent)

    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(source)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": house},
    )

    assert (done.stdout, done.stderr) == ("""['"nobody"', '"nowhere"']\n""", "")


# --- when it is checked --------------------------------------------------------------------------


async def test_check_false_leaves_it_to_the_gets():
    """
    A container made unchecked gives what can be built, and raises the error itself for the rest.
    """
    App = fresh_app()
    App.register_value("fine", "fine")
    App.register_dependency("broken", lambda nowhere: None)
    container = Container(App, check=False)

    assert await container.get("fine") == "fine"
    with pytest.raises(MissingDependencyError):
        await container.get("broken")
    with pytest.raises(GraphErrors):
        container.check()


async def test_entering_checks_what_was_registered_since():
    """
    A registration made after the container is checked when it is entered.
    """
    App = fresh_app()
    container = Container(App)
    App.register_dependency("broken", lambda nowhere: None)

    with pytest.raises(GraphErrors):
        async with container:
            pass


def test_the_result_belongs_to_the_class():
    """
    Making a second container of an application says the same as the first.
    """
    App = fresh_app()
    App.register_dependency("broken", lambda nowhere: None)

    first, second = problems_of(App), problems_of(App)
    App.register_value("nowhere", "here")
    Container(App)

    assert [problem.key for problem in first] == [problem.key for problem in second] == ['"nowhere"']


# --- all problems at once ------------------------------------------------------------------------


def test_all_problems_are_told_at_once():
    """
    One GraphErrors holds every problem, and its text names each.
    """
    App = fresh_app()
    App.register_dependency("first", lambda nowhere: None)
    App.register_dependency("second", lambda nobody: None)
    App.register_dependency("hen", lambda egg: None)
    App.register_dependency("egg", lambda hen: None)
    App.register_dependency("short", lambda: None, lifetime="scoped")
    App.register_dependency("long", lambda short: None)

    with pytest.raises(GraphErrors) as caught:
        Container(App)

    kinds = sorted(type(problem).__name__ for problem in caught.value.exceptions)
    assert kinds == [
        "CaptiveDependencyError",
        "CircularDependencyError",
        "MissingDependencyError",
        "MissingDependencyError",
    ]
    for name in ("nowhere", "nobody", "hen", "egg", "short", "long"):
        assert f'"{name}"' in str(caught.value)
    assert isinstance(caught.value, GraphError)
    assert isinstance(caught.value, ExceptionGroup)


def test_one_problem_is_a_group_too():
    """
    A single problem comes in a GraphErrors as well, when a container is made.
    """
    App = fresh_app()
    App.register_dependency("broken", lambda nowhere: None)

    found = []
    try:
        Container(App)
    except* MissingDependencyError as group:
        found.extend(group.exceptions)

    assert [problem.key for problem in found] == ['"nowhere"']


# --- circles -------------------------------------------------------------------------------------


def test_a_circle_names_its_members():
    """
    A circle is told once, with the path that ends where it began.
    """
    App = fresh_app()
    App.register_dependency("a", lambda b: None)
    App.register_dependency("b", lambda c: None)
    App.register_dependency("c", lambda a: None)

    (problem,) = problems_of(App)

    assert isinstance(problem, CircularDependencyError)
    members = [step.partition(".")[0] for step in problem.path]
    assert members[0] == members[-1]
    assert sorted(members[1:]) == ['"a"', '"b"', '"c"']


def test_a_class_that_needs_itself_is_a_circle():
    """
    A service whose constructor takes itself is refused.
    """

    class Users(AsyncServiceBase):
        pass

    def __init__(self, users: Users): ...

    Users.__init__ = __init__

    assert [type(problem) for problem in problems_of(fresh_app(providers=[Users]))] == [CircularDependencyError]


def test_two_circles_are_two_problems():
    """
    Circles that have nothing in common are told one by one.
    """

    def needing(token):
        def make(value: Annotated[object, Inject(token)]): ...

        return make

    App = fresh_app()
    for one, other in (("a", "b"), ("c", "d")):
        App.register_dependency(one, needing(other))
        App.register_dependency(other, needing(one))

    assert [type(problem) for problem in problems_of(App)] == [CircularDependencyError] * 2


async def test_a_descriptor_breaks_a_circle():
    """
    Two services that need each other are no circle when one of them awaits the other as an attribute.
    """

    class Hen(AsyncServiceBase):
        egg = AsyncDependencyDescriptor("egg")

    class Egg(AsyncServiceBase):
        def __init__(self, hen: Hen):
            self.hen = hen

    App = fresh_app(providers=[Hen, Egg])
    App.register_dependency("egg", _pass_on(Egg))
    container = Container(App)

    hen = await container.get(Hen)

    assert (await hen.egg).hen is hen


def _pass_on(cls):
    """Return a factory that gives the value of *cls* on."""

    def give(value: cls):
        return value

    return give


# --- captives ------------------------------------------------------------------------------------


def test_a_singleton_may_not_hold_a_scoped_value():
    """
    A longer life that needs a shorter one is refused, with both lifetimes.
    """
    App = fresh_app()
    App.register_dependency("short", lambda: None, lifetime="scoped")
    App.register_dependency("long", lambda short: None)

    (problem,) = problems_of(App)

    assert isinstance(problem, CaptiveDependencyError)
    assert problem.path == ('"long".short', '"short"')
    assert (problem.key, problem.lifetime, problem.shorter) == ('"short"', "singleton", "scoped")


def test_a_captive_is_found_through_transients():
    """
    A transient between a singleton and a scoped value does not hide it.
    """
    App = fresh_app()
    App.register_dependency("short", lambda: None, lifetime="scoped")
    App.register_dependency("between", lambda short: None, lifetime="transient")
    App.register_dependency("again", lambda between: None, lifetime="transient")
    App.register_dependency("long", lambda again: None)

    (problem,) = problems_of(App)

    assert isinstance(problem, CaptiveDependencyError)
    assert problem.path == ('"long".again', '"again".between', '"between".short', '"short"')


async def test_a_captive_of_what_was_found_sound_before_is_found():
    """
    A singleton that is registered later, and needs a scoped value that is in use already, is refused by the get that meets it.
    """
    App = fresh_app()
    App.register_dependency("scoped", object, lifetime="scoped")
    async with Container(App) as container:

        def late(scoped: Annotated[object, Inject("scoped")]):
            return scoped

        App.register_dependency("late", late)
        async with container.scope() as scope:
            await scope.get("scoped")
            with pytest.raises(CaptiveDependencyError):
                await scope.get("late")


def test_a_captive_is_found_through_descriptors():
    """
    An attribute of a singleton service may not ask for a scoped value.
    """

    class App(AsyncServiceBase):
        short = AsyncDependencyDescriptor("short")

    App.register_dependency("short", lambda: None, lifetime="scoped")

    (problem,) = problems_of(App)

    assert isinstance(problem, CaptiveDependencyError)
    assert problem.key == '"short"'
    assert "App.short" in str(problem)


def test_a_captive_is_found_through_a_transient_service_s_descriptor():
    """
    A singleton that takes a transient service whose attribute asks for a scoped value is refused.
    """

    class Step(AsyncServiceBase, lifetime="transient"):
        short = AsyncDependencyDescriptor("short")

    App = fresh_app()
    App.register_dependency("short", lambda: None, lifetime="scoped")
    App.register_dependency("long", _pass_on(Step))

    (problem,) = problems_of(App)

    assert isinstance(problem, CaptiveDependencyError)
    assert problem.key == '"short"'


def test_a_context_value_is_scoped():
    """
    A singleton may not hold what a scope is opened with.
    """
    App = fresh_app(context=[Request])
    App.register_dependency("long", _pass_on(Request))

    (problem,) = problems_of(App)

    assert isinstance(problem, CaptiveDependencyError)
    assert problem.key == "Request"


async def test_a_scoped_value_may_hold_what_lives_longer():
    """
    Scoped needs singleton, transient needs both: that is as it should be.
    """
    App = fresh_app()
    App.register_dependency("long", lambda: "long")
    App.register_dependency("short", lambda long: f"short of {long}", lifetime="scoped")
    App.register_dependency("passing", lambda short, long: f"{short}, {long}", lifetime="transient")

    async with Container(App) as container, container.scope() as scope:
        assert await scope.get("passing") == "short of long, long"


# --- other problems ------------------------------------------------------------------------------


def test_an_undeclared_context_value_is_told():
    """
    What only a scope's context could give, but no context declares, is named by its key.
    """
    App = fresh_app()
    App.register_dependency("handler", _pass_on(Request), lifetime="scoped")

    (problem,) = problems_of(App)

    assert problem.key == "Request"


async def test_a_context_value_that_is_absent_is_a_scope_error():
    """
    A declared context value that the scope was not opened with is missed when it is needed.
    """
    App = fresh_app(context=[Request])
    App.register_dependency("handler", _pass_on(Request), lifetime="scoped")

    async with Container(App) as container, container.scope() as scope:
        with pytest.raises(ScopeError, match="Request"):
            await scope.get("handler")


def test_an_abstract_class_cannot_be_a_factory():
    """
    A class that cannot be made is told before it is built.
    """

    class Store(abc.ABC):
        @abc.abstractmethod
        def put(self): ...

    App = fresh_app()

    with pytest.raises((GraphErrors, TypeError), check=saying("put")):
        App.register_dependency(Store, Store)
        Container(App)


def test_a_ladder_of_transients_is_refused():
    """
    Transients that would make more than 100,000 objects for one root are a problem; shared values are not.
    """
    App, Shared = fresh_app(), fresh_app()
    for cls, lifetime in ((App, "transient"), (Shared, "singleton")):
        cls.register_dependency("level0", lambda: None, lifetime=lifetime)
        for number in range(1, 60):
            below = f"level{number - 1}"

            def make(one, other): ...

            make.__annotations__ = {
                "one": Annotated[object, Inject(below)],
                "other": Annotated[object, Inject(below)],
            }
            cls.register_dependency(f"level{number}", make, lifetime=lifetime)

    Container(Shared)

    assert len(problems_of(App)) >= 1
    assert "100,000" in str(problems_of(App)[0]) or "100000" in str(problems_of(App)[0])


@pytest.mark.parametrize(("most", "told"), [(4, []), (3, ["top"])])
def test_as_many_transients_as_may_be_are_fine(monkeypatch, most, told):
    """
    A root of exactly as many objects as are allowed is one; with one more it is told.
    """
    monkeypatch.setattr(checks, "MOST_OBJECTS", most)
    App = fresh_app()
    App.register_dependency("leaf", lambda: None, lifetime="transient")
    App.register_dependency("between", lambda leaf: None, lifetime="transient")
    App.register_dependency("top", lambda leaf, between: None, lifetime="transient")

    try:
        Container(App)
        found = []
    except GraphErrors as errors:
        found = [str(error) for error in errors.exceptions]

    assert ["top" for error in found if f"one \"top\" would make more than {most}" in error] == told
    assert len(found) == len(told)


def test_captives_of_transients_that_hold_each_other_are_told():
    """
    Transients in a circle of handles need what any of them needs, and the check comes to an end.
    """

    def first(second: Annotated[Lazy[object], Inject("second")], short):
        return second

    def second(first: Annotated[Lazy[object], Inject("first")]):
        return first

    App = fresh_app()
    App.register_dependency("short", lambda: None, lifetime="scoped")
    App.register_dependency("first", first, lifetime="transient")
    App.register_dependency("second", second, lifetime="transient")
    App.register_dependency("long", lambda second: None)

    (problem,) = problems_of(App)

    assert isinstance(problem, CaptiveDependencyError)
    assert problem.path[:2] == ('"long".second', '"second".first')


async def test_a_small_ladder_of_transients_is_fine():
    """
    Some thousand transients for one root are allowed.
    """
    App = fresh_app()
    App.register_dependency("level0", lambda: 1, lifetime="transient")
    for number in range(1, 11):

        def make(one, other):
            return one + other

        make.__annotations__ = {
            "one": Annotated[object, Inject(f"level{number - 1}")],
            "other": Annotated[object, Inject(f"level{number - 1}")],
        }
        App.register_dependency(f"level{number}", make, lifetime="transient")

    assert await Container(App).get("level10") == 1024


async def test_a_long_chain_is_checked_and_built():
    """
    Five thousand registrations in a row are checked, built and closed under the default recursion limit.
    """
    closed = []
    App = fresh_app()

    def link(number):
        def make(below):
            yield below + 1
            closed.append(number)

        make.__annotations__ = {"below": Annotated[int, Inject(("link", number - 1))]}
        return make

    App.register_value(("link", 0), 0)
    for number in range(1, 5001):
        App.register_dependency(("link", number), link(number))

    async with Container(App) as container:
        assert await container.get(("link", 5000)) == 5000

    assert closed == list(range(5000, 0, -1))


def test_a_long_circle_is_told():
    """
    A circle of thousands is told as a circle, in a text that can be read.
    """
    App = fresh_app()
    for number in range(3000):

        def make(below): ...

        make.__annotations__ = {"below": Annotated[int, Inject(("link", (number + 1) % 3000))]}
        App.register_dependency(("link", number), make)

    (problem,) = problems_of(App)

    assert isinstance(problem, CircularDependencyError)
    assert len(str(problem)) < 5000


def test_checking_is_linear():
    """
    Ten times the registrations take about ten times as long to check, not a hundred times.
    """

    def seconds(size):
        App = fresh_app()
        for number in range(size):

            def make(a, b): ...

            make.__annotations__ = {
                "a": Annotated[int, Inject(("n", number // 2))],
                "b": Annotated[int, Inject(("n", number // 3))],
            }
            App.register_dependency(("n", number + 1), make)
        App.register_value(("n", 0), 0)
        begun = time.perf_counter()
        Container(App)
        return time.perf_counter() - begun

    small = min(seconds(300) for _ in range(3))
    large = min(seconds(3000) for _ in range(3))

    assert large < 40 * small


# --- the report ----------------------------------------------------------------------------------


def test_check_raises_for_problems():
    """
    The check of a container that has a problem raises what making it would have raised.
    """
    App = fresh_app()
    App.register_dependency("broken", lambda nowhere: None)

    with pytest.raises(GraphErrors) as caught:
        Container(App, check=False).check()

    assert [problem.key for problem in caught.value.exceptions] == ['"nowhere"']


def test_the_report_lists_what_nothing_uses():
    """
    A registration that nothing asks for is listed as unused, one that is asked for is not.
    """

    class App(AsyncServiceBase):
        used = AsyncDependencyDescriptor("used")

    App.register_dependency("used", lambda: None)
    App.register_dependency("orphan", lambda: None)

    unused = Container(App).check().unused

    assert any('"orphan"' in line for line in unused)
    assert not any('"used"' in line for line in unused)


def test_listed_entry_points_are_not_unused():
    """
    What providers lists is there for handlers to ask for, and is not listed as unused.
    """

    class Handler(AsyncServiceBase, lifetime="scoped"):
        pass

    assert Container(fresh_app(providers=[Handler])).check().unused == ()


async def test_the_report_lists_what_is_outdated():
    """
    A value whose key was registered anew after it was built is listed until closing.
    """
    App = fresh_app()
    App.register_dependency("thing", lambda: "old")
    async with Container(App) as container:
        await container.get("thing")
        App.register_dependency("thing", lambda: "new")

        assert any('"thing"' in line for line in container.check().outdated)
    async with container:
        assert container.check().outdated == ()


@pytest.mark.parametrize("length", [1, 2, 3, 7])
@pytest.mark.parametrize("order", [1, -1], ids=["near first", "far first"])
def test_a_singleton_is_captive_through_any_number_of_transients(length, order):
    """
    A scoped value that a singleton reaches through transients, which live as long as who takes them, is a problem.
    """
    App = fresh_app()
    App.register_dependency("session", object, lifetime="scoped")
    steps = ["session", *(f"step {number}" for number in range(length)), "holder"]
    for below, above in list(itertools.pairwise(steps))[::order]:

        def make(value): ...

        make.__annotations__ = {"value": Annotated[object, Inject(below)]}
        App.register_dependency(above, make, lifetime="singleton" if above == "holder" else "transient")

    (problem,) = problems_of(App)

    assert isinstance(problem, CaptiveDependencyError)
    assert '"holder"' in str(problem)
    assert '"session"' in str(problem)
