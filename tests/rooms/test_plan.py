"""`_solve.plan`: in which order is it built."""

from collections.abc import AsyncIterator, Iterator
from types import SimpleNamespace
from typing import Annotated, Any

import pytest

from asyncmeta import All, Factory, Inject, Lazy, MissingDependencyError
from asyncmeta._declare.makers import ASYNC, SYNC
from asyncmeta._declare.registrations import PLAIN, Options
from asyncmeta._solve.nodes import CONTAINER, SCOPE, START
from asyncmeta._solve.plan import (
    CONST,
    HANDLE,
    MAKER,
    MANY,
    TEMP,
    THE_CONTAINER,
    THE_SCOPE,
    VALUE_OF,
    Op,
    plan_of,
    unit_of,
    unit_with_arguments,
)

from .by_hand import entry, graph, layer, value


class Settings: ...


class Database:
    def __init__(self, settings: Settings): ...


class Session:
    def __init__(self, database: Database): ...


class Users:
    def __init__(self, session: Session, database: Database): ...


class Header:
    def __init__(self, session: Session): ...


async def connect(settings: Settings) -> Database:
    return Database(settings)


async def open_session(database: Database) -> AsyncIterator[Session]:
    yield Session(database)


def planned(key, *registrations):
    """Return the plan of a root that gives *key*."""
    solved = graph(layer(*registrations))
    return plan_of(solved, solved.find(None, key).target)


def keys(nodes):
    """Return what these nodes, or units, are about."""
    return [getattr(one, "node", one).key for one in nodes]


SHOP = (entry(Settings, Settings), entry(Database, Database), entry(Session, Session, "scoped"), entry(Users, Users, "scoped"))


def test_the_plan_of_a_container_value_is_to_have_it_built():
    """
    A container value is one step: nothing is made for the root, and what that value needs is its own affair.
    """
    plan = planned(Database, *SHOP)

    assert (plan.units, plan.unit.ops, keys(plan.singletons)) == ((), (), [Database])
    assert plan.unit.result.how == VALUE_OF


def test_scoped_values_come_after_what_they_need():
    """
    Units stand in an order in which they can be built, and each once, however many need it.
    """
    assert keys(planned(Users, *SHOP).units) == [Session, Users]


def test_the_container_values_that_scoped_ones_take_are_named():
    """
    Those that are taken directly: what they need in turn comes with them.
    """
    assert keys(planned(Users, *SHOP).singletons) == [Database]


def test_a_transient_value_is_made_for_each_that_takes_it():
    """
    It is no unit of its own; each taker's unit makes it anew.
    """

    class Page:
        def __init__(self, one: Header, two: Header): ...

    plan = planned(Page, *SHOP, entry(Header, Header, "transient"), entry(Page, Page, "transient"))

    assert keys(plan.units) == [Session]
    assert keys(op.node for op in plan.unit.ops) == [Header, Header, Page]
    assert [ref.what for ref in plan.unit.ops[-1].args] == [0, 1]


def test_an_op_stands_after_those_whose_values_it_takes():
    """
    Transient values of transient values are made first, however deep.
    """

    class Inner: ...

    class Middle:
        def __init__(self, inner: Inner): ...

    class Outer:
        def __init__(self, middle: Middle, inner: Inner): ...

    plan = planned(Outer, *(entry(cls, cls, "transient") for cls in (Inner, Middle, Outer)))

    assert keys(op.node for op in plan.unit.ops) == [Inner, Middle, Inner, Outer]
    assert [[ref.what for ref in op.args] for op in plan.unit.ops] == [[], [0], [], [1, 2]]


def test_a_deep_ladder_of_transients_costs_no_recursion():
    """
    A chain of thousands of transient values is planned.
    """
    first: Any = lambda: 0
    chain = [entry(0, first, "transient")]
    for number in range(1, 3_000):

        def step(below): ...

        step.__annotations__ = {"below": Annotated[Any, Inject(number - 1)]}
        chain.append(entry(number, step, "transient"))

    plan = planned(2_999, *chain)

    assert len(plan.unit.ops) == plan.size == 3_000


@pytest.mark.parametrize(
    ("factory", "awaits", "generators"),
    [(Database, False, False), (connect, True, False)],
    ids=["sync", "async"],
)
def test_a_unit_says_whether_something_in_it_is_awaited(factory, awaits, generators):
    """
    By the kinds of what it calls, not of what it takes from others.
    """
    solved = graph(layer(entry(Settings, Settings), entry(Database, factory)))
    unit = unit_of(solved, solved.find(None, Database))

    assert (unit.awaits, unit.generators) == (awaits, generators)


def test_a_unit_says_what_is_to_be_torn_down_and_where():
    """
    A generator can be left anywhere, an async one in the task that entered it.
    """

    def sync() -> Iterator[Session]:
        yield Session(Database(Settings()))

    solved = graph(layer(*SHOP[:2], entry("sync", sync, "scoped"), entry("async", open_session, "scoped")))
    units = [unit_of(solved, solved.find(None, key)) for key in ("sync", "async")]

    assert [unit.generators for unit in units] == [True, True]
    assert [unit.async_generators for unit in units] == [False, True]
    assert [unit.awaits for unit in units] == [False, True]


def test_a_plan_awaits_where_one_of_its_units_does():
    """
    What the whole has to do is the sum of the units, and the first that awaits is told by name.
    """
    plan = planned(Users, *SHOP[:2], entry(Session, open_session, "scoped"), SHOP[3])

    assert (plan.awaits, plan.generators, plan.size) == (True, True, 2)
    assert plan.first_awaiting.key is Session


def test_a_thread_is_awaited_though_its_factory_is_not():
    """
    What runs in a thread is awaited, and can be done in place where nothing else in the unit awaits.
    """
    solved = graph(layer(SHOP[0], entry(Database, Database, options=Options(in_thread=True))))
    unit = unit_of(solved, solved.find(None, Database))

    assert (unit.special, unit.awaits, unit.threaded) == (True, True, True)


@pytest.mark.parametrize(
    ("kind", "options", "special"),
    [
        (SYNC, PLAIN, False),
        (SYNC, Options(in_thread=True), True),
        (SYNC, Options(health="ping"), False),
        (SYNC, Options(timeout=1.0), False),
        (ASYNC, Options(timeout=1.0), True),
        (ASYNC, Options(concurrent=True), False),
        (START, Options(in_thread=True), False),
        (START, Options(timeout=1.0), True),
    ],
)
def test_a_call_is_special_where_a_thread_or_a_limit_is_around_it(kind, options, special):
    """
    The constructor of a service that starts may be in a thread, its start may not; what is not awaited has no limit here.
    """
    node = SimpleNamespace(kind=kind, registration=SimpleNamespace(options=options))

    assert bool(Op(node, (), ()).special) is special


def test_the_first_that_awaits_may_be_what_the_root_makes():
    """
    Then it has no unit of its own, and is found among the calls.
    """

    class Page:
        def __init__(self, header: Header): ...

    async def render(header: Header) -> Page:
        return Page(header)

    plan = planned(Page, *SHOP, entry(Header, Header, "transient"), entry(Page, render, "transient"))
    limited = planned("x", entry("x", Settings, "transient", options=Options(in_thread=True)))

    assert plan.first_awaiting.key is Page
    assert limited.first_awaiting.key == "x"


def test_container_and_scope_are_no_values_of_theirs():
    """
    Who takes them gets what carries the plan out.
    """

    class Here: ...

    class Around: ...

    class Handler:
        def __init__(self, around: Around, here: Here): ...

    solved = graph(layer(entry(Handler, Handler, "scoped")), builtin={Around: CONTAINER, Here: SCOPE})
    (unit,) = plan_of(solved, solved.find(None, Handler).target).units

    assert [ref.how for ref in unit.ops[0].args] == [THE_CONTAINER, THE_SCOPE]


def test_a_unit_is_made_once():
    """
    It is kept at its node, for all plans that have it.
    """
    solved = graph(layer(*SHOP))
    node = solved.find(None, Database)

    assert unit_of(solved, node) is unit_of(solved, node) is node.unit


def test_handles_need_nothing_beforehand():
    """
    What is fetched late or made anew is no part of the plan.
    """

    def late(users: Lazy[Users], make: Factory[Session]) -> str:
        return ""

    plan = planned("late", *SHOP, entry("late", late, "transient"))

    assert (plan.units, plan.singletons) == ((), ())
    assert [ref.how for ref in plan.unit.ops[0].args] == [HANDLE, MAKER]


def test_a_list_refers_to_each_of_its_members():
    """
    Shared members are taken, transient ones made for the list.
    """

    def gathered(plugins: All[str]) -> object:
        return plugins

    registrations = [entry(str, str, life, multi=True) for life in ("singleton", "transient")]
    plan = planned("all", *registrations, entry("all", gathered, "transient"))
    (ref,) = plan.unit.ops[-1].args

    assert ref.how == MANY
    assert [inner.how for inner in ref.refs] == [VALUE_OF, TEMP]


def test_what_nothing_provides_is_its_default():
    """
    A parameter with a default that nothing serves is passed as a constant.
    """

    def factory(size: int = 3) -> str:
        return ""

    plan = planned("x", entry("x", factory, "transient"))
    (ref,) = plan.unit.ops[0].args

    assert (ref.how, ref.what) == (CONST, 3)


def test_keyword_only_parameters_are_passed_by_name():
    """
    The last references of an op have names, the ones before have positions.
    """

    def factory(settings: Settings, *, debug: Annotated[bool, Inject("debug")]) -> str:
        return ""

    plan = planned("x", SHOP[0], value("debug", True), entry("x", factory, "transient"))

    assert plan.unit.ops[0].names == ("debug",)
    assert keys(ref.node for ref in plan.unit.ops[0].args) == [Settings, "debug"]


def test_a_parameter_that_nothing_fills_has_no_plan():
    """
    Planning says so, as the check would have.
    """
    with pytest.raises(MissingDependencyError, match="Database"):
        planned(Session, entry(Session, Session, "transient"))


def test_an_argument_takes_the_place_of_what_nothing_provides():
    """
    A unit for a ``Factory`` has the arguments of its call as constants.
    """

    def report(month: int, settings: Settings) -> str:
        return ""

    solved = graph(layer(SHOP[0], entry("report", report)))
    unit = unit_with_arguments(solved, solved.find(None, "report"), {"month": 5})
    month, settings = unit.ops[0].args

    assert (month.how, month.what) == (CONST, 5)
    assert settings.how == VALUE_OF
