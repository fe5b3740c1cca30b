"""Promise 8: no recursion, no exponential walks."""

import functools
import sys
from typing import Annotated, Any

import pytest
from helpers import Journal, fresh_app, problems

from asyncmeta import (
    All,
    AsyncDependencyDescriptor,
    AsyncServiceBase,
    CircularDependencyError,
    ClosedError,
    Container,
    GraphErrors,
    Inject,
)
from asyncmeta.ascender import create_injector

pytestmark = pytest.mark.slow  # thousands of each


def needing(factory, *names):
    """Return *factory* with its parameters, in order, annotated to ask for *names*."""
    parameters = factory.__code__.co_varnames[: factory.__code__.co_argcount]
    factory.__annotations__.update(
        {parameter: Annotated[Any, Inject(name)] for parameter, name in zip(parameters, names, strict=True)}
    )
    return factory


def chain(App, length, lifetime, journal):
    """Register "v0" to "v<length>", each needing the one before; every hundredth is a resource."""
    App.register_dependency("v0", object, lifetime=lifetime)
    for number in range(1, length + 1):
        if number % 100:

            def make(before):
                return [before]

        else:
            make = resource(journal, number)
        App.register_dependency(f"v{number}", needing(make, f"v{number - 1}"), lifetime=lifetime)


def resource(journal, number):
    """Return a generator factory that notes its life."""

    def make(before):
        with journal.noting(number):
            yield [before]

    return make


@pytest.mark.parametrize("lifetime", ["singleton", "scoped", "transient"])
async def test_a_chain_of_five_thousand(lifetime):
    """
    A chain of 5,000 registrations is checked, built and closed under the default recursion limit.
    """
    App, journal = fresh_app(), Journal()
    chain(App, 5000, lifetime, journal)
    async with Container(App) as container:
        async with container.scope() as scope:
            value = await scope.get("v5000")
            await scope.get("v5000")

    depth = 0
    while isinstance(value, list):
        value, depth = value[0], depth + 1
    assert depth == 5000
    times = 2 if lifetime == "transient" else 1
    assert len(journal.built) == 50 * times
    assert journal.closed == journal.built[::-1]
    assert sys.getrecursionlimit() <= 1000 or sys.gettrace()


def test_a_sync_chain_of_five_thousand():
    """
    The same without a loop.
    """
    App, journal = fresh_app(), Journal()
    chain(App, 5000, "singleton", journal)
    with Container(App) as container:
        assert container.get_nowait("v5000") is container.get_nowait("v5000")

    assert journal.closed == journal.built[::-1] == list(map(str, range(5000, 0, -100)))


async def test_an_async_chain_of_a_thousand():
    """
    A chain of async generators is entered and left one by one.
    """
    App, journal = fresh_app(), Journal()

    def make(number):
        async def factory(before):
            with journal.noting(number):
                yield [before]

        return factory

    App.register_value("v0", None)
    for number in range(1, 1001):
        App.register_dependency(f"v{number}", needing(make(number), f"v{number - 1}"))
    async with Container(App) as container:
        await container.get("v1000")

    assert journal.built == list(map(str, range(1, 1001)))
    assert journal.closed == journal.built[::-1]


@pytest.mark.parametrize("lifetime", ["singleton", "scoped"])
async def test_a_ladder_of_shared_diamonds(lifetime):
    """
    A ladder of 60 diamonds, with 2^60 paths from top to bottom, opens and builds at once.
    """
    App, calls = fresh_app(), []

    def make(left, right):
        calls.append(1)
        return (left, right)

    App.register_dependency("l0", object, lifetime=lifetime)
    App.register_dependency("r0", object, lifetime=lifetime)
    for number in range(1, 61):
        for side in ("l", "r"):

            def step(left, right):
                return make(left, right)

            App.register_dependency(f"{side}{number}", needing(step, f"l{number - 1}", f"r{number - 1}"), lifetime=lifetime)
    async with Container(App) as container, container.scope() as scope:
        top = await scope.get("l60")

    assert len(calls) == 119
    assert top[0][0] is top[1][0]


async def test_a_factory_with_250_parameters():
    """
    One factory may need 250 values.
    """
    App = fresh_app()
    names = [f"v{number}" for number in range(250)]
    for name in names:
        App.register_value(name, name)
    space = {}
    exec(f"def make({', '.join(names)}): return [{', '.join(names)}]", space)
    App.register_dependency("all", space["make"])
    App.register_dependency("scoped", space["make"], lifetime="scoped")
    async with Container(App) as container, container.scope() as scope:
        values = await scope.gather("all", "scoped")

    assert values == (names, names)


def test_a_circle_of_five_thousand_is_told():
    """
    A long circle is an error, no RecursionError.
    """
    App = fresh_app()
    for number in range(5000):

        def make(needed): ...

        App.register_dependency(f"v{number}", needing(make, f"v{(number + 1) % 5000}"))
    with pytest.raises(GraphErrors) as caught:
        Container(App)

    (problem,) = problems(caught.value)
    assert isinstance(problem, CircularDependencyError)
    assert str(problem)


async def test_a_service_with_many_attributes():
    """
    A service may have 300 attributes, which one get after the other reaches.
    """
    names = [f"v{number}" for number in range(300)]
    Wide = type(AsyncServiceBase)("Wide", (AsyncServiceBase,), {name: AsyncDependencyDescriptor(name) for name in names})
    for name in names:
        Wide.register_value(name, name)
    wide = Wide()

    assert [await getattr(wide, name) for name in names] == names


async def test_a_deep_chain_in_which_the_last_fails():
    """
    A failure at the bottom of a chain of 3,000 reaches the top without a RecursionError, and its text stays readable.
    """
    App = fresh_app()

    async def bad():
        raise ValueError("bottom")

    App.register_dependency("v0", bad)
    for number in range(1, 3001):

        def make(before):
            return before

        App.register_dependency(f"v{number}", needing(make, f"v{number - 1}"))
    async with Container(App) as container:
        with pytest.raises(ValueError, match="bottom") as caught:
            await container.get("v3000")

    assert sum(map(len, caught.value.__notes__)) < 200_000


def nested_list(App):
    providers = [{"provide": "x", "value": "x"}]
    for _ in range(20_000):
        providers = [providers]
    App.register_providers(providers)


def many_providers(App):
    App.register_providers([{"provide": "x" if not number else f"v{number}", "value": "x"} for number in range(20_000)])


def chain_of_names(App):
    App.register_providers([{"provide": 0, "value": "x"}, {"provide": "x", "use_existing": 5000}])
    App.register_providers([{"provide": number, "use_existing": number - 1} for number in range(1, 5001)])


def wide_factory(App):
    space = {}
    names = [f"v{number}" for number in range(5000)]
    for name in names:
        App.register_value(name, name)
    exec(f"def make({', '.join(names)}): return 'x'", space)
    App.register_dependency("x", space["make"])


def many_members(App):
    class Member: ...

    def make(members):
        return "x" if len(members) == 5000 else "too few"

    make.__annotations__["members"] = All[Member]
    for _ in range(5000):
        App.register_dependency(Member, Member, multi=True)
    App.register_dependency("x", make)


def wrapped_often(App):
    def make():
        return "x"

    for _ in range(3000):
        make = wrapped(make)
    App.register_dependency("x", make)


def wrapped(function):
    @functools.wraps(function)
    def wrapper():
        return "x"

    return wrapper


@pytest.mark.parametrize(
    "size", [nested_list, many_providers, chain_of_names, wide_factory, many_members, wrapped_often], ids=lambda size: size.__name__
)
def test_no_size_is_too_large(size):
    """
    Many providers, deep lists, long chains of names, wide factories and many wrappers are taken and built at once.
    """
    App = fresh_app()
    size(App)
    with Container(App) as container:
        assert container.get_nowait("x") == "x"


@pytest.mark.parametrize("form", ["text", "object"])
def test_a_form_that_is_too_deep_is_an_error_of_its_parameter(form):
    """
    An annotation that CPython itself cannot read for its depth is a problem of the parameter, no RecursionError.
    """
    App, deep = fresh_app(), "int" if form == "text" else int

    def make(needed): ...

    for _ in range(3000):
        deep = f"list[{deep}]" if form == "text" else list[deep]
    make.__annotations__["needed"] = deep
    App.register_dependency("x", make)
    with pytest.raises(GraphErrors, match=r'the annotation of "x"\.needed cannot be read'):
        Container(App)


@pytest.mark.filterwarnings("ignore:an injector was still open:ResourceWarning")
@pytest.mark.parametrize("idle", [True, False])
async def test_three_hundred_children_of_children_are_closed(idle):
    """
    Injectors inside of each other are closed with the outermost one, the innermost first, whether they hold something or not.
    """
    closed = []

    def holding(number):
        def factory():
            yield number
            closed.append(number)

        return factory

    injectors = [create_injector([{"provide": "key 0", "use_factory": holding(0)}])]
    for number in range(1, 300):
        injectors.append(create_injector([{"provide": f"key {number}", "use_factory": holding(number)}], injectors[-1]))
        if not idle:
            injectors[-1].get(f"key {number}")

    async with injectors[0]:
        injectors[-1].get("key 0")

    assert closed == ([0] if idle else [*range(299, -1, -1)])
    with pytest.raises(ClosedError):
        injectors[-1].get("key 0")
