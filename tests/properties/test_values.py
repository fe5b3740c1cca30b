"""Random graphs give the values, counts, sharing and order of closing that a plain model gives."""

import asyncio
import sys
from collections import Counter

import pytest
from helpers import collected, in_threads
from hypothesis import given, strategies as st

from asyncmeta import Container

from .graphs import Boom, World, examples, graphs
from .reference import Reference, Twins, check_closing, check_shape, check_sharing

PICKS = st.integers(0, 59)


async def turn(record, phase):
    """Let the other tasks of these tests run."""
    await asyncio.sleep(0)


def counts_of(world):
    """Return how often each factory ran to its end."""
    return Counter(record.number for record in world.told("made"))


class Closed:
    """What one closing closes: compared with the model's owner, and with the order of completion."""

    def __init__(self, world):
        self.world = world
        self.before = len(world.told("closing"))

    def check(self, homes):
        """Fail unless what was closed is what *homes* of the model own, in exact reverse order of completion."""
        closed = self.world.told("closing")[self.before :]
        expected = sum((home.resources for home in homes), Counter())
        assert Counter(record.number for record in closed) == expected
        made = self.world.told("made")
        assert closed == sorted(closed, key=made.index, reverse=True)


async def fetch(scope, world, number, via):
    """Get a node's record by one of the ways there are."""
    token = world.tokens[number]
    if via == "getter":
        value = await scope.getter(token)()
    elif via == "gather":
        (value,) = await scope.gather(token)
    elif via == "nowait":
        value = scope.get_nowait(token)
    else:
        value = await scope.get(token)
    return value.record


async def fetch_late(world, record):
    """Return what a value's handles give."""
    return [(await handle()).record for _, handle in record.late]


# --- one after another ---------------------------------------------------------------------------

ORDERS = st.lists(
    st.tuples(st.integers(0, 2), PICKS, st.sampled_from(("get", "get", "getter", "gather", "nowait")), st.booleans()),
    min_size=1,
    max_size=12,
)


@examples(90)
@given(graphs(), ORDERS, st.booleans())
def test_values_counts_sharing_and_closing_are_the_models(graph, orders, outer_first):
    """
    Whatever is asked of a container and two scopes, in any order and way, is what the plain model gives.
    """
    world, reference, twins = World(graph, turn), Reference(graph), Twins()
    homes = [reference.container, reference.scope(), reference.scope()]

    async def run():
        async with Container(world.app) as container:
            one, other = container.scope({"where": "one"}), container.scope({"where": "other"})
            await one.__aenter__()
            await other.__aenter__()
            for which, pick, via, later in orders:
                number, scope, home = pick % len(graph.nodes), (container, one, other)[which], homes[which]
                if graph.nodes[number].level and which == 0:
                    continue  # a ScopeError; what it may have built before is not the model's
                if via == "nowait" and not home.is_sync(number):
                    via = "get"
                if via == "gather" and which == 0:
                    via = "get"
                record, expected = await fetch(scope, world, number, via), home.get(number)
                twins.match(record, expected)
                if later:
                    for got, model in zip(await fetch_late(world, record), home.late(expected), strict=True):
                        twins.match(got, model)
                assert counts_of(world) == reference.counts
            for scope, home in ((one, homes[1]), (other, homes[2]))[:: -1 if outer_first else 1]:
                closing = Closed(world)
                await scope.__aexit__(None, None, None)
                closing.check([home])
            closing = Closed(world)
        closing.check([homes[0]])

    asyncio.run(run())
    check_closing(world)


@examples(40)
@given(graphs(), PICKS, st.integers(0, 3))
def test_the_first_get_and_later_ones_of_a_root_agree(graph, pick, in_container):
    """
    The first get of a root and all later ones, in scope after scope, give values of the same form.
    """
    number = pick % len(graph.nodes)
    world, reference, twins = World(graph, turn), Reference(graph), Twins()

    async def run():
        container = Container(world.app)
        if not graph.nodes[number].level:
            for _ in range(in_container):
                twins.match((await container.get(world.tokens[number])).record, reference.container.get(number))
        for label in range(6):
            home = reference.scope()
            closing = Closed(world)
            if label == 4:
                async with container.request(world.tokens[number], {"where": label}) as value:
                    twins.match(value.record, home.get(number))
            else:
                async with container.scope({"where": label}) as scope:
                    for _ in range(3):
                        twins.match((await scope.get(world.tokens[number])).record, home.get(number))
            closing.check([home])
            assert counts_of(world) == reference.counts
        closing = Closed(world)
        await container.aclose()
        closing.check([reference.container])

    asyncio.run(run())
    check_closing(world)


@examples(25)
@given(graphs(), st.lists(PICKS, min_size=1, max_size=4))
def test_containers_of_one_application_share_nothing_but_what_was_solved(graph, picks):
    """
    A second container of the same application builds its own values, of the same form.
    """
    world = World(graph, turn)

    async def run():
        for _ in range(2):
            reference, twins, before = Reference(graph), Twins(), counts_of(world)
            async with Container(world.app) as container, container.scope({"where": "one"}) as scope:
                home = reference.scope()
                for pick in picks:
                    number = pick % len(graph.nodes)
                    twins.match((await scope.get(world.tokens[number])).record, home.get(number))
            after = counts_of(world)
            after.subtract(before)
            assert +after == reference.counts

    asyncio.run(run())
    check_closing(world)


# --- at once -------------------------------------------------------------------------------------


@examples(70)
@given(graphs(), st.lists(PICKS, min_size=8, max_size=8), st.sampled_from(("own", "shared")))
def test_eight_tasks_build_what_one_would(graph, picks, scopes):
    """
    Eight tasks that ask at once get what one after another would: each shared value is built once.
    """
    world, reference, twins = World(graph, turn), Reference(graph), Twins()
    numbers = [pick % len(graph.nodes) for pick in picks]
    if len(set(picks)) < 5:  # often enough all eight ask for the same
        numbers = numbers[:1] * 8

    async def one(container, label, number, shared):
        if shared is not None:
            return (await shared.get(world.tokens[number])).record
        async with container.scope({"where": label}) as scope:
            return (await scope.get(world.tokens[number])).record

    async def run():
        async with Container(world.app) as container:
            async with container.scope({"where": "shared"}) as scope:
                shared = scope if scopes == "shared" else None
                records = await asyncio.gather(*(one(container, label, number, shared) for label, number in enumerate(numbers)))
                together = reference.scope()
                homes = [together if shared is not None else reference.scope() for _ in numbers]
                for record, number, home in zip(records, numbers, homes, strict=True):
                    twins.match(record, home.get(number))
                assert counts_of(world) == reference.counts
                closing = Closed(world)
            if shared is not None:
                closing.check([together])
            closing = Closed(world)
        closing.check([reference.container])

    asyncio.run(run())
    check_closing(world)
    check_sharing(world)


@examples(60)
@given(graphs(), PICKS, st.integers(1, 4), st.lists(PICKS, min_size=8, max_size=8))
def test_one_failing_factory_fails_those_who_need_it(graph, pick, times, picks):
    """
    Whoever needs the factory that fails gets its exception, everybody else a right value; the failure is not kept.
    """
    nodes = graph.nodes
    bad = pick % len(nodes)
    left = [times]

    def fault(record, phase):
        if record.number == bad and phase == "set up" and left[0]:
            left[0] -= 1
            return Boom(f"{record!r}")
        return None

    world = World(graph, turn, fault)
    asked = [pick % len(nodes) for pick in picks]

    async def one(scope, number):
        try:
            record = (await scope.get(world.tokens[number])).record
        except Boom as error:
            assert bad in graph.reach(number), "it does not need what fails"
            assert any(error is raised for raised in world.raised)
        else:
            check_shape(graph, record)

    async def run():
        async with Container(world.app) as container:
            async with container.scope({"where": "shared"}) as scope:
                await asyncio.gather(*(one(scope, number) for number in asked))
                for number in asked:
                    await one(scope, number)
                left[0] = 0
                for number in range(len(nodes)):
                    check_shape(graph, (await scope.get(world.tokens[number])).record)
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(run())
    check_closing(world)
    check_sharing(world)


# --- without a loop ------------------------------------------------------------------------------


@examples(60)
@given(graphs(sync=True), ORDERS)
def test_sync_graphs_work_without_a_loop(graph, orders):
    """
    A graph of which nothing has to be awaited gives the model's values through `with` and `get_nowait`.
    """
    world, reference, twins = World(graph), Reference(graph), Twins()
    homes = [reference.container, reference.scope(), reference.scope()]
    with Container(world.app) as container:
        with container.scope({"where": "one"}) as one:
            with container.scope({"where": "other"}) as other:
                for which, pick, _, later in orders:
                    number, scope, home = pick % len(graph.nodes), (container, one, other)[which], homes[which]
                    if graph.nodes[number].level and which == 0:
                        continue
                    record, expected = scope.get_nowait(world.tokens[number]).record, home.get(number)
                    twins.match(record, expected)
                    if later:
                        fetched = [handle().nowait().record for _, handle in record.late]
                        for got, model in zip(fetched, home.late(expected), strict=True):
                            twins.match(got, model)
                    assert counts_of(world) == reference.counts
                closing = Closed(world)
            closing.check([homes[2]])
            closing = Closed(world)
        closing.check([homes[1]])
        closing = Closed(world)
    closing.check([homes[0]])
    check_closing(world)


@pytest.fixture
def switching_fast():
    """Let threads take turns as often as they can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("switching_fast")
@pytest.mark.parametrize("scopes", ["own", "shared"])
def test_six_threads_build_what_one_would(scopes):
    """
    Threads that ask at once, each in a scope of its own or all in one, share each build and get the model's values.
    """

    @examples(20)
    @given(graphs(most=30, sync=True), st.lists(PICKS, min_size=6, max_size=6))
    def check(graph, picks):
        world, reference, twins = World(graph), Reference(graph), Twins()
        numbers = [pick % len(graph.nodes) for pick in picks]
        if len(set(picks)) < 4:
            numbers = numbers[:1] * 6
        with Container(world.app) as container:
            if scopes == "shared":
                with container.scope({"where": "shared"}) as scope:
                    records = in_threads(6, lambda which: scope.get_nowait(world.tokens[numbers[which]]).record)
                home = reference.scope()
                homes = [home] * 6
            else:

                def work(which):
                    with container.scope({"where": which}) as scope:
                        return scope.get_nowait(world.tokens[numbers[which]]).record

                records = in_threads(6, work)
                homes = [reference.scope() for _ in numbers]
            for record, number, home in zip(records, numbers, homes, strict=True):
                if isinstance(record, BaseException):
                    raise record
                twins.match(record, home.get(number))
        assert counts_of(world) == reference.counts
        check_closing(world)
        check_sharing(world)

    check()
    collected()
