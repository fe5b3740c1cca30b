"""Random graphs give the same values, counts, sharing and order of closing when middleware and observers look on."""

import asyncio
from collections import Counter

import pytest
from hypothesis import given, strategies as st

from asyncmeta import Container, Observer
from asyncmeta._names import name_of

from . import driver, test_closing, test_values
from .graphs import VALUE, World, examples, graphs

WORDS = [name for name in vars(Observer) if not name.startswith("_")]


class Hearing(Observer):
    """Counts every word, by key."""

    def __init__(self):
        self.counts = {word: Counter() for word in WORDS}


for _word in WORDS:

    def _count(self, event, /, word=_word):
        self.counts[word][event.key] += 1

    setattr(Hearing, _word, _count)


async def pass_on(build, call):
    return await call()


def pass_on_sync(build, call):
    return call()


def watched(middleware, observed):
    """Return what makes containers that are watched."""

    def make(*args, **named):
        container = Container(*args, middleware=middleware, **named)
        if observed:
            container.observe(Hearing())
        return container

    return make


LOOKERS = {"async middleware": ([pass_on], False), "sync middleware": ([pass_on_sync], False), "observer": ([], True)}
BOTH = {"everything": ([pass_on_sync, pass_on], True)}

ASYNC = [
    test_values.test_values_counts_sharing_and_closing_are_the_models,
    test_values.test_the_first_get_and_later_ones_of_a_root_agree,
    test_values.test_eight_tasks_build_what_one_would,
    test_values.test_one_failing_factory_fails_those_who_need_it,
]


@pytest.mark.parametrize("test", ASYNC, ids=lambda test: test.__name__)
@pytest.mark.parametrize("lookers", BOTH)
def test_the_model_holds(test, lookers, monkeypatch):
    """
    What holds for values, counts, sharing and closing of every graph holds when everything is looked on.
    """
    monkeypatch.setattr(test_values, "Container", watched(*BOTH[lookers]))

    test()


@pytest.mark.parametrize("lookers", LOOKERS)
def test_the_model_holds_for_each_way_of_looking(lookers, monkeypatch):
    """
    The same for each kind of middleware, and for observers, alone.
    """
    monkeypatch.setattr(test_values, "Container", watched(*LOOKERS[lookers]))

    test_values.test_values_counts_sharing_and_closing_are_the_models()


@pytest.mark.parametrize("lookers", LOOKERS | BOTH)
def test_the_model_holds_without_a_loop(lookers, monkeypatch):
    """
    The same for graphs of which nothing has to be awaited, where no loop runs.
    """
    monkeypatch.setattr(test_values, "Container", watched(*(LOOKERS | BOTH)[lookers]))

    test_values.test_sync_graphs_work_without_a_loop()


@pytest.mark.parametrize(
    "test",
    [
        pytest.param(thing, marks=getattr(thing, "pytestmark", []), id=name)
        for name, thing in vars(test_closing).items()
        if name.startswith("test_")
    ],
)
def test_schedules_end_as_they_may(test, monkeypatch):
    """
    Random schedules with failures, cancellations and closings end as they may when everything is looked on.
    """
    monkeypatch.setattr(driver, "Container", watched(*BOTH["everything"]))

    test()


@examples(60)
@given(graphs(), st.lists(st.integers(0, 59), min_size=1, max_size=4))
def test_what_is_heard_is_what_happened(graph, picks):
    """
    As many builds and finalizers are heard, under each key, as factories and finalizers ran.
    """
    world, hearing = World(graph), Hearing()
    container = Container(world.app)
    container.observe(hearing)

    async def run():
        async with container:
            for label in range(2):
                async with container.scope({"where": label}) as scope:
                    for pick in picks:
                        await scope.get(world.tokens[pick % len(graph.nodes)])

    asyncio.run(run())

    def keys_of(what):
        return Counter(name_of(world.tokens[record.number]) for record in world.told(what))

    by_class = {f"Class{node.number}": name_of(world.tokens[node.number]) for node in graph.nodes if node.kind != VALUE}
    by_class |= {f"Service{node.number}": name_of(world.tokens[node.number]) for node in graph.nodes if node.kind != VALUE}

    def heard(word):
        counts = Counter()
        for key, times in hearing.counts[word].items():
            counts[by_class.get(key, key)] += times
        return counts

    assert heard("build_begin") == heard("build_end") == keys_of("made")
    assert heard("finalize_begin") == heard("finalize_end") == keys_of("closed")
    assert hearing.counts["build_failed"] == hearing.counts["finalize_failed"] == Counter()
    assert hearing.counts["scope_opened"] == hearing.counts["scope_closed"] == Counter({"scoped": 2})
