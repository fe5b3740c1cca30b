"""Injected functions of random graphs are given what a scope of their own would give, by every code they ever run."""

import asyncio
from typing import Annotated, Any

from hypothesis import given, strategies as st

from asyncmeta import Container, Inject, injected

from .graphs import Graph, Node, World, examples, graphs
from .reference import Reference, Twins, check_closing
from .test_values import Closed, counts_of, turn

NAMES = ("one", "two", "three", "four")
MINE = object()  #: what is passed by hand

#: A function: which nodes it is given.
FUNCTIONS = st.lists(st.lists(st.integers(0, 59), min_size=1, max_size=4), min_size=1, max_size=3)
#: Calls: of which function, and which parameters are passed by hand.
ORDERS = st.lists(st.tuples(st.integers(0, 2), st.sets(st.integers(0, 3))), min_size=3, max_size=12)


class Unaware(World):
    """A world whose factories do not ask where they are: a call opens its scope without a context."""

    def _factory(self, node: Node) -> Any:
        return super()._factory(node._replace(level=0))


def function_of(world: World, graph: Graph, picks: list[int], kind: str) -> tuple[Any, list[int]]:
    """Return a function of *kind* that marks some parameters and returns what it is given, and what they ask for."""

    async def awaited(one=None, two=None, three=None, four=None):
        return one, two, three, four

    async def stream(one=None, two=None, three=None, four=None):
        yield one, two, three, four

    def plain(one=None, two=None, three=None, four=None):
        return one, two, three, four

    def generator(one=None, two=None, three=None, four=None):
        yield one, two, three, four

    function = {"async": awaited, "stream": stream, "sync": plain, "generator": generator}[kind]
    numbers = [pick % len(graph.nodes) for pick in picks]
    for name, number in zip(NAMES, numbers, strict=False):
        function.__annotations__[name] = Annotated[Any, Inject(world.tokens[number])]
    return function, numbers


def arguments(numbers: list[int], by_hand: set[int]) -> dict[str, Any]:
    return {NAMES[at]: MINE for at in by_hand if at < len(numbers)}


def compare(given: tuple[Any, ...], numbers: list[int], named: dict[str, Any], reference: Reference, twins: Twins) -> Any:
    """Fail unless a call was given what a new scope of the model gives; return that scope."""
    home = reference.scope()
    for name, number, value in zip(NAMES, numbers, given, strict=False):
        if name in named:
            assert value is MINE
        else:
            twins.match(value.record, home.get(number))
    assert all(value is None for value in given[len(numbers) :])
    return home


@examples(60)
@given(graphs(30), FUNCTIONS, ORDERS, st.booleans(), st.booleans())
def test_calls_are_given_what_a_scope_of_their_own_gives(graph, functions, orders, ambient, streaming):
    """
    Values, counts, sharing and the order of closing of each call, the first and the later ones, are the model's.
    """
    world, reference, twins = Unaware(graph, turn), Reference(graph), Twins()

    async def run():
        async with Container(world.app) as container:
            made = []
            for picks in functions:
                function, numbers = function_of(world, graph, picks, "stream" if streaming else "async")
                made.append(((injected if ambient else container.inject)(function), numbers))
            for which, by_hand in orders:
                function, numbers = made[which % len(made)]
                named = arguments(numbers, by_hand)
                closing = Closed(world)
                if streaming:
                    (given,) = [item async for item in function(**named)]
                else:
                    given = await function(**named)
                home = compare(given, numbers, named, reference, twins)
                assert counts_of(world) == reference.counts
                closing.check([home])
            closing = Closed(world)
        closing.check([reference.container])

    asyncio.run(run())
    check_closing(world)


@examples(40)
@given(graphs(30, sync=True), FUNCTIONS, ORDERS, st.booleans(), st.booleans())
def test_sync_calls_are_given_what_a_scope_of_their_own_gives(graph, functions, orders, ambient, generating):
    """
    The same of sync functions and generators, without a loop.
    """
    world, reference, twins = Unaware(graph), Reference(graph), Twins()
    with Container(world.app) as container:
        made = []
        for picks in functions:
            function, numbers = function_of(world, graph, picks, "generator" if generating else "sync")
            made.append(((injected if ambient else container.inject)(function), numbers))
        for which, by_hand in orders:
            function, numbers = made[which % len(made)]
            named = arguments(numbers, by_hand)
            closing = Closed(world)
            if generating:
                (given,) = list(function(**named))
            else:
                given = function(**named)
            home = compare(given, numbers, named, reference, twins)
            assert counts_of(world) == reference.counts
            closing.check([home])
        closing = Closed(world)
    closing.check([reference.container])
    check_closing(world)


@examples(40)
@given(graphs(30), FUNCTIONS, ORDERS, st.randoms(use_true_random=False))
def test_a_failure_anywhere_is_torn_down(graph, functions, orders, random):
    """
    Whatever fails during a call, in a factory or in the function, all that the call had set up is closed, in order.
    """

    class Failed(Exception):
        pass

    chance = 0.0

    def fault(record, phase):
        return Failed() if phase == "set up" and random.random() < chance else None

    world = Unaware(graph, turn, fault)

    async def run():
        nonlocal chance
        async with Container(world.app) as container:
            made = []
            for picks in functions:
                function, numbers = function_of(world, graph, picks, "async")
                made.append((container.inject(function), numbers))
            chance = 0.0
            for function, _ in made:
                for _ in range(3):
                    await function()
            chance = 0.2
            for which, by_hand in orders:
                function, numbers = made[which % len(made)]
                try:
                    await function(**arguments(numbers, by_hand))
                except Failed as error:
                    assert error in world.raised
                scoped = {record for record in world.told("made") if graph.nodes[record.number].lifetime == "scoped"}
                closed = set(world.told("closed"))
                assert {record for record in scoped if world.is_resource(record)} <= closed
            chance = 0.0

    asyncio.run(run())
    check_closing(world)
