"""Rule 7: several registrations of one key, and the list of them."""

import asyncio
import types
from collections.abc import Mapping
from typing import Annotated

import pytest
from helpers import Journal, fresh_app, outcome, problems

from asyncmeta import (
    All,
    AsyncDependencyDescriptor,
    AsyncServiceBase,
    CaptiveDependencyError,
    CircularDependencyError,
    Container,
    DeclarationError,
    GraphErrors,
    Inject,
    Lazy,
    MissingDependencyError,
    Scope,
    ScopeError,
    inject_dependency,
)


class Check:
    """What the tests collect."""

    def __init__(self, name="check"):
        self.name = name

    def __repr__(self):
        return self.name


CHECKS = Annotated[list[Check], Inject("checks")]


def naming(name):
    """Return a factory of a check of that name."""
    return lambda: Check(name)


def names(checks):
    return [check.name for check in checks]


# --- adding up -------------------------------------------------------------------------------------


async def test_the_elements_come_in_the_order_of_writing():
    """
    All[T] gives every multi registration of T, in the order in which they were written.
    """
    App = fresh_app()
    for name in "cab":
        App.register_dependency(Check, naming(name), multi=True)

    async with Container(App) as container:
        assert names(await container.get(All[Check])) == ["c", "a", "b"]


async def test_layers_add_up_the_lowest_first():
    """
    The registrations of all layers add up: bases before the classes that derive from them, the application last.
    """

    class Postgres(AsyncServiceBase):
        pass

    class Mail(AsyncServiceBase):
        pass

    class App(Mail, Postgres):
        pass

    App.register_dependency(Check, naming("app"), multi=True)
    Mail.register_dependency(Check, naming("mail"), multi=True)
    Postgres.register_dependency(Check, naming("postgres"), multi=True)

    async with Container(App) as container:
        assert names(await container.get(All[Check])) == ["postgres", "mail", "app"]


async def test_the_shared_layer_comes_first():
    """
    What is registered in the shared layer stands before what the application registers.
    """
    App = fresh_app()
    App.register_dependency("of everybody", naming("app"), multi=True)
    inject_dependency("of everybody", multi=True)(naming("shared"))

    async with Container(App) as container:
        assert names(await container.get(Annotated[list[Check], Inject("of everybody")])) == ["shared", "app"]


async def test_methods_and_decorators_take_part():
    """
    A class body may register elements by decorated methods; each gets the service.
    """

    class App(AsyncServiceBase):
        @inject_dependency(Check, multi=True)
        def first(self) -> Check:
            return Check(f"first of {type(self).__name__}")

        @inject_dependency(Check, multi=True)
        async def second(self) -> Check:
            return Check("second")

    async with Container(App) as container:
        assert names(await container.get(All[Check])) == ["first of App", "second"]


async def test_a_service_s_private_elements_are_its_own():
    """
    Multi registrations on another service class are seen by that class only, after those of the application.
    """

    class Reports(AsyncServiceBase):
        checks = AsyncDependencyDescriptor(All[Check])

    App = fresh_app(providers=[Reports])
    App.register_dependency(Check, naming("app"), multi=True)
    Reports.register_dependency(Check, naming("reports"), multi=True)

    async with Container(App) as container:
        reports = await container.get(Reports)
        private, public = await reports.checks, await container.get(All[Check])

    assert names(private) == ["app", "reports"]
    assert names(public) == ["app"]


# --- asking ---------------------------------------------------------------------------------------------


async def test_an_empty_list_where_there_is_none():
    """
    All[T] of a type that nobody registers is an empty list, and no problem of the check.
    """
    App = fresh_app()

    def user(checks: All[Check]):
        return checks

    App.register_dependency("user", user)

    async with Container(App) as container:
        assert await container.get(All[Check]) == await container.get("user") == []


async def test_a_new_list_each_time():
    """
    Every one who asks gets a list of their own: changing it changes nobody else's.
    """
    App = fresh_app()
    App.register_dependency(Check, Check, multi=True)
    App.register_dependency("user", lambda checks: checks)

    def user(checks: All[Check], again: All[Check]):
        return checks, again

    App.register_dependency("user", user)

    async with Container(App) as container:
        lists = [*await container.get("user"), *[await container.get(All[Check]) for _ in range(3)]]
        lists += [container.get_nowait(All[Check]) for _ in range(2)]
        lists[0].clear()

    assert len({id(one) for one in lists}) == len(lists)
    assert all(len(one) == 1 for one in lists[1:])
    assert len({id(one[0]) for one in lists[1:]}) == 1


async def test_every_way_of_asking():
    """
    Parameter, attribute, Lazy, string token and a call of get see the same elements; a string key is asked for as a list.
    """
    App = fresh_app()
    App.register_dependency(Check, naming("typed"), multi=True)
    App.register_dependency("checks", naming("named"), multi=True)

    class Service(AsyncServiceBase):
        typed = AsyncDependencyDescriptor(All[Check])
        named = AsyncDependencyDescriptor(CHECKS)

        def __init__(self, parameter: All[Check], named: CHECKS, late: Lazy[All[Check]], either: All[Annotated[Check, "x"]]):
            self.lists = parameter, named, late

    async with Container(App) as container:
        service = await container.get(Service)
        parameter, named, late = service.lists
        lists = [parameter, named, await late, await service.typed, await service.named, await container.get(CHECKS)]

    assert [names(one) for one in lists] == [["typed"], ["named"], ["typed"], ["typed"], ["named"], ["named"]]


async def test_all_with_a_token_asks_for_that_key():
    """
    Annotated[All[T], Inject(key)] is every registration of the key.
    """
    App = fresh_app()
    App.register_dependency("checks", naming("one"), multi=True)

    async with Container(App) as container:
        assert names(await container.get(Annotated[All[Check], Inject("checks")])) == ["one"]
        assert await container.get(Annotated[All[Check], Inject("nobody's")]) == []


@pytest.mark.parametrize(("key", "advice"), [(Check, "All[Check]"), ("checks", 'Annotated[list[...], Inject("checks")]')])
async def test_asked_for_plainly_a_multi_key_says_what_to_write(key, advice):
    """
    Plain asking for a multi key is a MissingDependencyError that names the way of asking, at the check and at get.
    """
    App = fresh_app()
    App.register_dependency(key, Check, multi=True)

    async with Container(App) as container:
        failure = await outcome(container.get(key))

    def user(check: Annotated[Check, Inject(key)]):
        return check

    App.register_dependency("user", user)
    with pytest.raises(GraphErrors) as caught:
        Container(App)

    assert isinstance(failure, MissingDependencyError)
    assert f"ask for {advice}" in str(failure)
    assert f"ask for {advice}" in str(problems(caught.value)[0])


async def test_a_string_in_all_is_told():
    """
    All["name"] asked of a container, which cannot read the name of a type, is an error and no empty list.
    """
    async with Container(fresh_app()) as container:
        with pytest.raises(DeclarationError, match=r"Annotated\[list"):
            await container.get(All["checks"])


async def test_a_forward_reference_in_a_parameter_is_read():
    """
    All["Check"] in an annotation is read in the module that wrote it.
    """
    App = fresh_app()
    App.register_dependency(Check, naming("one"), multi=True)

    def user(checks: All["Check"]):
        return checks

    App.register_dependency("user", user)

    async with Container(App) as container:
        assert names(await container.get("user")) == ["one"]


async def test_a_single_registration_is_a_list_of_one():
    """
    All[T] where T is registered plainly is that one value.
    """
    App = fresh_app()
    App.register_dependency(Check, naming("only"))

    async with Container(App) as container:
        assert await container.get(All[Check]) == [await container.get(Check)]


# --- elements -----------------------------------------------------------------------------------------


async def test_each_element_lives_as_its_lifetime_says():
    """
    Elements of one list may be of any lifetime; each is built once as its own says.
    """
    App, built = fresh_app(), []
    for lifetime in ("singleton", "scoped", "transient"):
        App.register_dependency("checks", lambda name=lifetime: built.append(name) or Check(name), multi=True, lifetime=lifetime)

    async with Container(App) as container:
        outside = await outcome(container.get(CHECKS))
        async with container.scope() as one, container.scope() as other:
            lists = [await scope.get(CHECKS) for scope in (one, one, other)]

    same = [[a is b for a, b in zip(lists[0], again, strict=True)] for again in lists[1:]]
    assert isinstance(outside, ScopeError)
    assert same == [[True, True, False], [True, False, False]]
    assert sorted(built) == ["scoped"] * 2 + ["singleton"] + ["transient"] * 3


async def test_elements_of_every_kind():
    """
    Elements may be values, functions, coroutines, generators, classes and services; generators close in reverse.
    """
    App, journal = fresh_app(), Journal()

    class Service(Check, AsyncServiceBase):
        def __init__(self):
            super().__init__("service")

        async def on_startup(self):
            journal.append("+service")

        async def on_shutdown(self):
            journal.append("-service")

    async def coroutine():
        return Check("coroutine")

    def generator():
        with journal.noting("generator"):
            yield Check("generator")

    async def async_generator():
        with journal.noting("async generator"):
            yield Check("async generator")

    App.register_dependency(Check, lambda: Check("function"), multi=True)
    App.register_dependency(Check, coroutine, multi=True)
    App.register_dependency(Check, generator, multi=True)
    App.register_dependency(Check, async_generator, multi=True)
    App.register_dependency(Check, Service, multi=True)
    App.register_dependency(Check, lambda: Check("thread"), multi=True, in_thread=True)

    async with Container(App) as container:
        found = names(await container.get(All[Check]))

    assert found == ["function", "coroutine", "generator", "async generator", "service", "thread"]
    assert sorted(journal.built) == sorted(journal.closed) == ["async generator", "generator", "service"]
    assert journal.closed == journal.built[::-1]


async def test_opaque_elements():
    """
    None, falsy and equal values stand in the list as they are.
    """
    App, values = fresh_app(), [None, 0, False, "", []]
    for value in values:
        App.register_dependency("things", lambda value=value: value, multi=True)

    async with Container(App) as container:
        found = await container.get(Annotated[list[object], Inject("things")])

    assert all(one is other for one, other in zip(found, values, strict=True))


async def test_elements_are_built_side_by_side():
    """
    The singletons of a list that need awaiting are built side by side.
    """
    App, meeting = fresh_app(), asyncio.Barrier(3)

    async def check():
        await meeting.wait()
        return Check()

    for _ in range(3):
        App.register_dependency(Check, check, multi=True)

    async with Container(App) as container:
        assert len(await asyncio.wait_for(container.get(All[Check]), 5)) == 3


async def test_also_gives_an_element_more_keys():
    """
    An element with also= is one value under all of its keys.
    """
    App = fresh_app()
    App.register_dependency(Check, Check, multi=True, also=["checks"])

    async with Container(App) as container:
        (typed,), (named,) = await container.get(All[Check]), await container.get(CHECKS)

    assert typed is named


async def test_a_failing_element_fails_the_list():
    """
    What an element raises is raised by who asks for the list; the others stay built.
    """
    App, built = fresh_app(), []

    def failing():
        if len(built) < 2:
            raise ValueError("not yet")
        return Check("late")

    App.register_dependency(Check, lambda: built.append(1) or Check("good"), multi=True)
    App.register_dependency(Check, failing, multi=True)

    async with Container(App) as container:
        failure = await outcome(container.get(All[Check]))
        built.append("now")
        again = names(await container.get(All[Check]))

    assert isinstance(failure, ValueError)
    assert again == ["good", "late"]
    assert built == [1, "now"]


async def test_elements_may_be_started_and_checked():
    """
    start() builds the elements that the application registers; check finds what one of them lacks.
    """
    App = fresh_app()
    App.register_dependency(Check, Check, multi=True)

    async with Container(App) as container:
        report = await container.start()

    App.register_dependency(Check, lambda absent: absent, multi=True)
    with pytest.raises(GraphErrors) as caught:
        Container(App)

    assert "Check" in [timing.key for timing in report.builds]
    assert [problem.key for problem in problems(caught.value)] == ['"absent"']


def test_a_captive_element_is_found():
    """
    A singleton that keeps a list with a scoped element in it is a CaptiveDependencyError.
    """
    App = fresh_app()
    App.register_dependency(Check, Check, multi=True, lifetime="scoped")

    def user(checks: All[Check]):
        return checks

    App.register_dependency("user", user)

    with pytest.raises(GraphErrors) as caught:
        Container(App)

    assert isinstance(problems(caught.value)[0], CaptiveDependencyError)


def test_an_element_that_needs_what_holds_the_list_is_a_circle():
    """
    An element that needs who needs the list is found by the check.
    """
    App = fresh_app()

    def user(checks: All[Check]):
        return checks

    App.register_dependency("user", user)
    App.register_dependency(Check, lambda user: Check(), multi=True)

    with pytest.raises(GraphErrors) as caught:
        Container(App)

    assert any(isinstance(problem, CircularDependencyError) for problem in problems(caught.value))


async def test_an_element_that_asks_for_its_own_list_gets_what_it_stands_upon():
    """
    An element that asks for its own key gets the elements of the layers below its own.
    """

    class Low(AsyncServiceBase):
        pass

    class App(Low):
        pass

    Low.register_dependency(Check, naming("low"), multi=True)

    def counting(others: All[Check]):
        return Check(f"above {names(others)}")

    App.register_dependency(Check, counting, multi=True)

    async with Container(App) as container:
        assert names(await container.get(All[Check])) == ["low", "above ['low']"]


async def test_scoped_lists_in_generated_code_and_by_hand_are_alike():
    """
    A list asked for again and again, which is when generated code runs, is what it was the first time.
    """
    App = fresh_app()
    App.register_dependency(Check, naming("s"), multi=True, lifetime="scoped")
    App.register_dependency(Check, naming("t"), multi=True, lifetime="transient")
    App.register_dependency(Check, naming("c"), multi=True)

    def user(checks: All[Check], scope: Scope):
        return checks, scope

    App.register_dependency("user", user, lifetime="scoped")

    async with Container(App) as container:
        for _ in range(4):
            async with container.scope() as scope:
                checks, home = await scope.get("user")
                again = await scope.get(All[Check])
                assert home is scope
                assert names(checks) == names(again) == ["s", "t", "c"]
                assert [a is b for a, b in zip(checks, again, strict=True)] == [True, False, True]
            async with container.request(All[Check]) as checks:
                assert names(checks) == ["s", "t", "c"]


# --- again, and otherwise ---------------------------------------------------------------------------------


async def test_a_reloaded_module_replaces_its_elements():
    """
    The same factory, decorated again by a reload of its module, takes its former place instead of being added.
    """
    App = fresh_app()
    source = """
from asyncmeta import inject_dependency

@inject_dependency("checks", multi=True, on=App)
def first(): return Check("first" + version)

@inject_dependency("checks", multi=True, on=App)
def second(): return Check("second" + version)
"""
    for version in ("", " again"):
        module = types.ModuleType("reloaded")
        module.__dict__.update(App=App, Check=Check, version=version)
        exec(compile(source, "reloaded.py", "exec"), module.__dict__)

    async with Container(App) as container:
        assert names(await container.get(CHECKS)) == ["first again", "second again"]


async def test_a_later_registration_is_seen():
    """
    Registries are live: an element that is registered later is in the next list; what is built stays.
    """
    App = fresh_app()
    App.register_dependency(Check, naming("first"), multi=True)

    async with Container(App) as container:
        before = await container.get(All[Check])
        App.register_dependency(Check, naming("second"), multi=True)
        after = await container.get(All[Check])

    assert names(after) == ["first", "second"]
    assert after[0] is before[0]


@pytest.mark.parametrize("first", [True, False])
def test_one_key_of_one_layer_is_single_or_multi(first):
    """
    Mixing single and multi under one key is an error where the second is written, and names the first.
    """
    App = fresh_app()
    App.register_dependency(Check, Check, multi=first)

    with pytest.raises(DeclarationError, match=r"one key cannot be both.*test_multi\.py"):
        App.register_dependency(Check, Check, multi=not first)


@pytest.mark.parametrize("below", [True, False])
def test_one_key_of_two_layers_is_single_or_multi(below):
    """
    Mixing them in two layers of an application is a problem of the check, with both places.
    """

    class Low(AsyncServiceBase):
        pass

    class App(Low):
        pass

    Low.register_dependency(Check, naming("low"), multi=below)
    App.register_dependency(Check, naming("app"), multi=not below)

    with pytest.raises(GraphErrors) as caught:
        Container(App)

    text = str(problems(caught.value)[0])
    assert "one key cannot be both" in text
    assert text.count("test_multi.py:") == 2


async def test_a_late_collection():
    """
    A Lazy of a list, tuple or mapping gives it late, whether the mark stands around the handle or within.
    """

    def ask(
        around: Annotated[Lazy[list[int]], Inject("n")],
        perhaps: Annotated[Lazy[tuple[int, ...]] | None, Inject("n")],
        within: Lazy[Annotated[Mapping[str, int], Inject("n")]],
    ):
        return around, perhaps, within

    app = fresh_app()
    for name, number in {"one": 1, "two": 2}.items():
        app.register_dependency("n", lambda number=number: number, multi=name)
    app.register_dependency("ask", ask)

    async with Container(app) as container:
        assert [await late for late in await container.get("ask")] == [[1, 2], (1, 2), {"one": 1, "two": 2}]
