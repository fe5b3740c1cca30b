"""Random overrides of random graphs: inside as if they had been registered, afterwards as if they had never been."""

import asyncio
import contextvars
import copy
import warnings
from collections import Counter

import pytest
from helpers import leaves
from hypothesis import given, strategies as st

from asyncmeta import AsyncDependencyDescriptor, AsyncServiceBase, ClosedError, Container, Lazy

from .driver import ATTRIBUTES, CANCEL, CLOSE, END, GATHER, GET, RELEASE, REQUEST, SCOPE, Actor, Driver
from .graphs import (
    ASYNC,
    ASYNC_GENERATOR,
    GENERATOR,
    LATE,
    MADE,
    NOW,
    RESOURCES,
    SERVICES,
    SINGLETON,
    SYNC,
    TRANSIENT,
    VALUE,
    Record,
    Value,
    World,
    examples,
    graphs,
)
from .reference import Home, Reference, Twins, check_closing, check_shape

PICKS = st.integers(0, 59)


async def turn(record, phase):
    """Let the other tasks of these tests run."""
    await asyncio.sleep(0)


# --- what overrides are ----------------------------------------------------------------------------


class Fakes:
    """
    Overrides of some nodes of a world, and the graph that they make of its own.

    Args:
        picks: Which nodes; each with whether a factory takes its place, where that can be, or a value.
    """

    def __init__(self, world, picks):
        self.world = world
        nodes = list(world.graph.nodes)
        self.factories = {}
        self.values = {}
        for pick, by_factory in picks:
            node = nodes[pick % len(nodes)]
            if node.number in self.values or node.number in self.factories:
                continue
            if by_factory and node.kind != VALUE and node.kind not in SERVICES:
                # Of the other colour than what it overrides; torn down if that was.
                kinds = (GENERATOR, ASYNC_GENERATOR) if node.kind in RESOURCES else (SYNC, ASYNC)
                kind = kinds[node.number % 2]
                needs = [need._replace(by_name=False) for need in node.needs]
                if kind in (SYNC, GENERATOR):
                    needs = [need for need in needs if need.how != NOW]
                nodes[node.number] = self.factories[node.number] = node._replace(kind=kind, needs=tuple(needs))
            else:
                value = Value(Record(node.number, next(world._serials), [], None))
                value.record.state = MADE
                self.values[node.number] = value
                nodes[node.number] = node._replace(kind=VALUE, lifetime=SINGLETON, level=0, needs=())
        self.graph = world.graph._replace(nodes=tuple(nodes))
        self.numbers = {*self.values, *self.factories}
        self.affected = self._affected()

    def _affected(self):
        """Return the numbers of what is overridden and of everything that fetches any of it, early or late."""
        found = set(self.numbers)
        grows = True
        while grows:
            users = {
                node.number
                for node in self.graph.nodes
                if node.number not in found and any(need.number in found for need in node.needs)
            }
            found |= users
            grows = bool(users)
        return found

    def overrides(self):
        """Return them as a container takes them: a mapping, or where there is a factory a provider list."""
        tokens = self.world.tokens
        if not self.factories:
            return {tokens[number]: value for number, value in self.values.items()}
        fake_world = copy.copy(self.world)
        fake_world.graph = self.graph
        return [
            *({"provide": tokens[number], "value": value} for number, value in self.values.items()),
            *(
                {"provide": tokens[number], "use_factory": fake_world._factory(node), "lifetime": node.lifetime}
                for number, node in self.factories.items()
            ),
        ]


class Overlaid(Home):
    """
    A container or scope of the model, seen through overrides: what they reach is its own.

    Args:
        base: The same without them.
        outer: The container of a scope.
        by_handle: It is asked itself; else the base is, which leaves to this what they reach.
    """

    def __init__(self, reference, affected, base, outer=None, *, by_handle=False):
        super().__init__(reference, outer)
        self.affected = affected
        self.base = base
        self.by_handle = by_handle

    def get(self, number):
        # Who makes a transient value closes it.
        own = number in self.affected or self.reference.graph.nodes[number].lifetime == TRANSIENT
        return super().get(number) if own else self.base.get(number)

    def asked(self, number):
        return self.get(number) if self.by_handle or number in self.affected else self.base.asked(number)


class Block:
    """The model of one block of overrides."""

    def __init__(self, fakes, below, *, by_handle=False):
        self.reference = Reference(fakes.graph)
        self.fakes = fakes
        self.by_handle = by_handle
        self.container = Overlaid(self.reference, fakes.affected, below, by_handle=by_handle)

    def scope(self, base):
        """Return the model's view of a scope."""
        return Overlaid(self.reference, self.fakes.affected, base, self.container, by_handle=self.by_handle)


FAKES = st.lists(st.tuples(PICKS, st.booleans()), min_size=1, max_size=5)
ORDERS = st.lists(st.tuples(st.integers(0, 2), PICKS, st.booleans()), min_size=1, max_size=8)


def counts_of(world):
    return Counter(record.number for record in world.told("made"))


# --- one after another -----------------------------------------------------------------------------


@examples(60)
@given(graphs(most=30), FAKES, ORDERS)
def test_a_container_that_begins_with_overrides_is_one_with_these_registrations(graph, picks, orders):
    """
    `Container(App, overrides=...)` gives the values, counts and sharing of a container of the overridden graph.
    """
    world, twins = World(graph, turn), Twins()
    fakes = Fakes(world, picks)
    world.graph = fakes.graph  # which of them are resources
    reference = Reference(fakes.graph)

    async def run():
        async with Container(world.app, overrides=fakes.overrides()) as container:
            async with container.scope({"where": "one"}) as one, container.scope({"where": "other"}) as other:
                homes = (reference.container, reference.scope(), reference.scope())
                for which, pick, later in orders:
                    number, scope, home = pick % len(graph.nodes), (container, one, other)[which], homes[which]
                    if fakes.graph.nodes[number].level and which == 0:
                        continue
                    await compare(twins, world, scope, home, number, later)
                assert counts_of(world) == reference.counts

    asyncio.run(run())
    check_closing(world)


async def compare(twins, world, scope, home, number, later):
    """Fail unless a value, and what it fetches late, is what the model says."""
    record, expected = (await scope.get(world.tokens[number])).record, home.asked(number)
    twins.match(record, expected)
    if later:
        fetched = [(await handle()).record for _, handle in record.late]
        for got, model in zip(fetched, home.late(expected), strict=True):
            twins.match(got, model)


@pytest.mark.parametrize("how", ["override", "everywhere", "overlay"])
def test_inside_as_registered_and_afterwards_untouched(how):
    """
    In the block affected values are those of the overridden graph, all others are shared; after it everything is as it was.
    """

    @examples(50)
    @given(graphs(most=30), FAKES, FAKES, ORDERS, ORDERS, ORDERS, st.booleans())
    def check(graph, picks, inner_picks, before, inside, after, nested):
        world, reference, twins = World(graph, turn), Reference(graph), Twins()
        fakes = Fakes(world, picks)

        async def ask(handles, homes, orders):
            for which, pick, later in orders:
                number = pick % len(graph.nodes)
                if homes[0].reference.graph.nodes[number].level and which == 0:
                    continue
                await compare(twins, world, handles[which], homes[which], number, later)

        def opened(container, overrides):
            if how == "overlay":
                return container.overlay(overrides)
            return container.override(overrides, everywhere=how == "everywhere")

        async def block(container, fakes, scope, homes, level=0):
            """Ask inside of a block; what it built is closed at its end, and nothing else."""
            model = Block(fakes, homes[0], by_handle=how == "overlay")
            async with opened(container, fakes.overrides()) as overlay:
                handle = overlay if how == "overlay" else container
                async with handle.scope({"where": f"inside {level}"}) as other:
                    # A tenant has scopes of its own only; an override is seen in those that were open before, too.
                    there = other if how == "overlay" else scope
                    base = (
                        Home(homes[0].reference, homes[0])
                        if level == 0
                        else Overlaid(homes[0].reference, homes[0].affected, Home(reference, reference.container), homes[0])
                    )
                    theirs = model.scope(base)
                    views = [model.container, theirs if how == "overlay" else model.scope(homes[1]), theirs]
                    await ask([handle, there, other], views, inside)
                    if nested and level == 0 and not fakes.factories:
                        inner = Fakes(world, inner_picks)
                        if not inner.factories:
                            await block(handle, stacked(world, fakes, inner), there, views, 1)
                            await ask([handle, there, other], views, inside)
                closing = len(world.told("closing"))
            closed = Counter(record.number for record in world.told("closing")[closing:])
            own = model.container.resources + (views[1].resources if how != "overlay" else Counter())
            assert closed == own

        async def run():
            async with Container(world.app) as container, container.scope({"where": "one"}) as scope:
                homes = [reference.container, reference.scope(), None]
                homes[2] = homes[1]
                handles = [container, scope, scope]
                await ask(handles, homes, before)
                await block(container, fakes, scope, homes)
                await ask(handles, homes, after)
                for number, node in enumerate(graph.nodes):
                    which = 1 if node.level else 0
                    await compare(twins, world, handles[which], homes[which], number, True)

        asyncio.run(run())
        check_closing(world)

    check()


def stacked(world, outer, inner):
    """Return *inner* as it is above *outer*: what the outer one makes of the graph is what it overrides."""
    there = copy.copy(world)
    there.graph = outer.graph
    found = copy.copy(inner)
    found.graph = outer.graph._replace(
        nodes=tuple(inner.graph.nodes[node.number] if node.number in inner.numbers else node for node in outer.graph.nodes)
    )
    found.affected = found._affected()
    return found


@examples(60)
@given(graphs(most=30), FAKES, ORDERS)
def test_held_values_answer_by_the_context(graph, picks, orders):
    """
    What a held value fetches late is the block's inside of it, and the container's before and after.
    """
    world, reference, twins = World(graph, turn), Reference(graph), Twins()
    fakes = Fakes(world, picks)

    async def run():
        async with Container(world.app) as container, container.scope({"where": "one"}) as scope:
            home = reference.scope()
            held = []
            for _which, pick, before in orders:
                number = pick % len(graph.nodes)
                record, model = (await scope.get(world.tokens[number])).record, home.get(number)
                twins.match(record, model)
                held.append((record, model))
                if before:
                    for (_, handle), expected in zip(record.late, home.late(model), strict=True):
                        twins.match((await handle()).record, expected)
            block = Block(fakes, reference.container)
            answers = {}  # one for each handle, whatever its lifetime
            async with container.override(fakes.overrides()):
                view = block.scope(home)
                for record, model in held:
                    late = [need for need in graph.nodes[record.number].needs if need.how == LATE]
                    for position, ((_, handle), need) in enumerate(zip(record.late, late, strict=True)):
                        # In the scope that made it: a singleton's handle knows no scope.
                        where = view if model.home is home else block.container
                        if need.number not in fakes.affected:
                            expected = model.fetched.get(position) or model.home.get(need.number)
                            model.fetched[position] = expected
                        else:
                            expected = answers.get((model, position)) or where.get(need.number)
                            answers[model, position] = expected
                        twins.match((await handle()).record, expected)
            for record, model in held:
                for (_, handle), expected in zip(record.late, model.home.late(model), strict=True):
                    twins.match((await handle()).record, expected)

    asyncio.run(run())
    check_closing(world)


# --- blocks that need not nest ----------------------------------------------------------------------

KEYS = ("red", "green", "blue")


class Everything:
    """Stands on all keys, by parameter."""

    def __init__(self, red, green, blue):
        self.keys = {"red": red, "green": green, "blue": blue}


class Late(AsyncServiceBase):
    """Fetches all keys late."""

    red = AsyncDependencyDescriptor()
    green = AsyncDependencyDescriptor()
    blue = AsyncDependencyDescriptor()

    def __init__(self, everything: Lazy[Everything]):
        self.everything = everything


class Laid:
    """The model of one block: what it lies on, as it was entered."""

    def __init__(self, keys, value, below, where):
        self.keys, self.value, self.below, self.where = keys, value, below, where
        self.ended = False


class Colours:
    """A container of three keys, some contexts, and what each of these sees."""

    def __init__(self):
        app = type("App", (AsyncServiceBase,), {})
        for key in KEYS:
            app.register_value(key, f"real {key}")
        app.register_dependency(Everything, Everything)
        app.register_dependency("scoped", scoped_colours, lifetime="scoped")
        app.register_dependency(Late, Late)
        self.container = Container(app)
        self.scope = self.container.scope()
        self.held = self.container.get_nowait(Late)
        self.contexts = [(contextvars.copy_context(), [])]  #: each with the blocks that it is inside of
        self.everywhere = []
        self.blocks = []

    def seen_by(self, number):
        """Return the blocks that a context sees, innermost last."""
        own = [laid for laid in self.contexts[number][1] if not laid.ended]
        seen = [*own[-1].below, own[-1]] if own else self.everywhere
        return [laid for laid in seen if not laid.ended]

    def begin(self, number, keys, everywhere):
        context, own = self.contexts[number]
        value, inside = len(self.blocks), any(not laid.ended for laid in own)
        # One that stands on another: what is overridden of that is in it.
        makes = {key: ((lambda value=value: value), []) for key in KEYS} | {"green": ((lambda red: (value, red)), ["red"])}
        block = self.container.override(
            [{"provide": key, "use_factory": makes[key][0], "inject": makes[key][1]} for key in keys], everywhere=everywhere
        )
        seen = self.seen_by(number)
        found = []
        if everywhere:
            found.append(Laid(keys, value, list(self.everywhere), self.everywhere))
        if inside or not everywhere:
            found.append(Laid(keys, value, seen, own))
        context.run(block.__enter__)
        for laid in found:
            laid.where.append(laid)
        self.blocks.append((block, found))

    def end(self, which, number):
        block, found = self.blocks[which]
        if not found[0].ended:
            for laid in found:
                laid.ended = True
            self.contexts[number][0].run(block.__exit__, None, None, None)

    def look(self):
        """Compare what every context sees with the model, in each way to ask."""
        for number, (context, _) in enumerate(self.contexts):
            expected = {key: f"real {key}" for key in KEYS}
            for laid in self.seen_by(number):
                expected.update(dict.fromkeys(laid.keys, laid.value))
            if isinstance(expected["green"], int):
                expected["green"] = (expected["green"], expected["red"])
            context.run(self.look_here, expected)

    def look_here(self, expected):
        container, held = self.container, self.held
        assert {key: container.get_nowait(key) for key in KEYS} == expected
        assert {key: getattr(held, key).nowait() for key in KEYS} == expected
        assert container.get_nowait(Everything).keys == expected
        assert container.get_nowait(Everything) is container.get_nowait(Everything)
        assert held.everything.nowait() is container.get_nowait(Everything)
        assert self.scope.get_nowait("scoped") == expected
        with container.scope() as scope:
            assert scope.get_nowait("scoped") == expected


def scoped_colours(everything: Everything):
    return everything.keys


BEGIN, LEAVE, CHILD = "begin", "leave", "child"


@examples(150)
@given(st.lists(
    st.one_of(
        st.tuples(st.just(BEGIN), PICKS, st.sets(st.sampled_from(KEYS), min_size=1), st.booleans()),
        st.tuples(st.just(LEAVE), PICKS, PICKS),
        st.tuples(st.just(CHILD), PICKS),
    ),
    max_size=20,
))  # fmt: skip
def test_blocks_need_not_nest(steps):
    """
    In whichever order and in whichever context blocks are entered and left, each is in force until it is left.
    """
    colours = Colours()
    for what, *picks in steps:
        number = picks[0] % len(colours.contexts)
        if what == BEGIN:
            colours.begin(number, sorted(picks[1]), picks[2])
        elif what == LEAVE and colours.blocks:
            colours.end(picks[1] % len(colours.blocks), number)
        elif what == CHILD:
            context, own = colours.contexts[number]
            colours.contexts.append((context.copy(), list(own)))
        colours.look()
    for which in range(len(colours.blocks)):
        colours.end(which, 0)
    colours.look()
    container = colours.container
    assert (container._singletons.overridden, container._root_table.everywhere) == (0, [])
    colours.scope.close()
    assert container._children == set()
    container.close()


# --- at any time -----------------------------------------------------------------------------------

OVERRIDE, OVERLAY = "override", "overlay"


class OverridingDriver(Driver):
    """Runs schedules in which blocks of overrides begin and end, too."""

    def act(self, what, pick, other):
        if what in (OVERRIDE, OVERLAY):
            label = self.label()
            work = self.overriding(label, what == OVERLAY, pick, other)
            self.actors.append(Actor(what, work, (), label))
        else:
            super().act(what, pick, other)

    async def overriding(self, label, as_overlay, pick, other):
        """Stay in a block, asking for values at its begin and at its end."""
        picks = [(pick, False), (other, False), (pick // 7, False)][: 1 + pick % 3]
        fakes = Fakes(self.world, picks)
        opening = self.container.overlay if as_overlay else self.container.override
        number = other % len(self.graph.nodes)
        async with opening(fakes.overrides()) as overlay:
            handle = overlay if as_overlay else self.container
            await self.asked(handle, fakes, number, label)
            await self.body(label)
            await self.asked(handle, fakes, (number + pick) % len(self.graph.nodes), label)

    async def asked(self, handle, fakes, number, label):
        """Ask for a value, and fail if it is made of anything else than the block's."""
        if fakes.graph.nodes[number].level:
            async with handle.request(self.world.tokens[number], {"where": f"in {label}"}) as value:
                self.judge_value(fakes, value.record)
                await self.pause(value.record, "use")
        else:
            self.judge_value(fakes, (await handle.get(self.world.tokens[number])).record)

    def judge_value(self, fakes, record):
        """Fail unless a value is what the overridden graph says, made of this block's values and of no other's."""
        check_shape(fakes.graph, record)
        seen, to_see = set(), [record]
        while to_see:
            one = to_see.pop()
            if id(one) in seen:
                continue
            seen.add(id(one))
            to_see.extend(one.parts)
            if one.number in fakes.values:
                assert one is fakes.values[one.number].record, f"{one!r} is not what this block overrides"

    def handed(self, value):
        """Fail if what is handed over outside of every block is a fake, or stands on one."""
        super().handed(value)

    def judge_actor(self, actor):
        if actor.what not in (OVERRIDE, OVERLAY):
            super().judge_actor(actor)
            return
        if actor.task.cancelled():
            assert actor.cancelled, f"nobody cancelled {actor!r}"
            return
        error = actor.task.exception()
        if error is None:
            assert not actor.cancelled, f"{actor!r} was cancelled and goes on as if it was not"
            return
        assert isinstance(error, ClosedError) and self.closing, f"{actor!r} ended with {error!r}"
        # Who had met the closed container before keeps that error, and the cancellation at the end of its chain.
        assert not actor.cancelled or any(isinstance(one, asyncio.CancelledError) for one in leaves(error))

    def judge(self):
        self.judge_era()
        check_closing(self.world)


_STEPS = st.tuples(
    st.sampled_from(
        (GET,) * 5 + (OVERRIDE,) * 4 + (OVERLAY,) * 2 + (ATTRIBUTES, GATHER) + (SCOPE, REQUEST) + (END,) * 4
        + (CANCEL,) * 3 + (RELEASE,) * 8
    ),
    st.integers(0, 999),
    st.integers(0, 999),
)  # fmt: skip


@st.composite
def plans(draw):
    """Draw a plan in which the container may be closed at any time."""
    steps = draw(st.one_of(st.lists(_STEPS, min_size=2, max_size=12), st.lists(_STEPS, min_size=15, max_size=50)))
    for where in draw(st.lists(st.integers(2, 60), max_size=1)):
        steps.insert(where, (CLOSE, 0, 0))
    return steps


@examples(120)
@given(graphs(most=12), plans())
def test_blocks_that_begin_end_and_are_cancelled_at_any_time(graph, plan):
    """
    Whenever blocks begin, end or are cancelled, each sees its own values, others see none of them, and closing is exact.
    """
    driver = OverridingDriver(graph)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # blocks and scopes that are open when the container closes
        loop = asyncio.new_event_loop()
        try:
            loop.run_until_complete(driver.run(plan))
        finally:
            loop.close()
    driver.judge()
