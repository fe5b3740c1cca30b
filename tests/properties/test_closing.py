"""Random schedules: whatever callers, cancellations and failures meet, closing is exact and nothing hangs."""

import asyncio
import sys
import warnings

import pytest
from helpers import leaves
from hypothesis import given, strategies as st

from .driver import (
    ATTRIBUTES,
    CANCEL,
    CLOSE,
    CLOSE_SCOPE,
    END,
    GATHER,
    GET,
    RELEASE,
    REQUEST,
    SCOPE,
    Driver,
)
from .graphs import ASYNC_GENERATOR, ASYNC_MANAGER, SINGLETON, STARTED, examples, graphs

_PICK = st.integers(0, 999)
#: What a driver does next, often or seldom: its name and two numbers that choose among what there is.
_STEPS = st.tuples(
    st.sampled_from(
        (GET,) * 8 + (ATTRIBUTES, GATHER) + (SCOPE,) * 3 + (REQUEST, END) + (CANCEL,) * 3 + (RELEASE,) * 8 + (CLOSE_SCOPE,)
    ),
    _PICK,
    _PICK,
)


@st.composite
def plans(draw):
    """Draw a short or long plan in which the container is closed once or twice, at any time or at the end."""
    steps = draw(st.one_of(st.lists(_STEPS, min_size=2, max_size=12), st.lists(_STEPS, min_size=15, max_size=70)))
    for closing in draw(st.lists(st.tuples(st.integers(2, 100), _PICK, _PICK), max_size=2)):
        steps.insert(closing[0], (CLOSE, *closing[1:]))
    return steps


PLANS = plans()
PICKS = st.integers(0, 59)


def drive(graph, plan, faults=(), closing_faults=(), stubborn=(), task_factory=None):
    """Run a plan on a graph and judge it."""
    count = len(graph.nodes)
    faults = {pick % count: times for pick, times in faults}
    # Only builds that run in a task of their own: a factory that runs in its caller's would swallow its cancellation.
    kinds = (ASYNC_GENERATOR, ASYNC_MANAGER, STARTED)
    stubborn = {
        pick % count
        for pick in stubborn
        if graph.nodes[pick % count].kind in kinds and graph.nodes[pick % count].lifetime == SINGLETON
    }
    driver = Driver(graph, faults, {pick % count for pick in closing_faults}, stubborn)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # scopes that are still open when the container closes
        # Not asyncio.run, which would wait for ever for what hangs.
        loop = asyncio.new_event_loop()
        loop.set_task_factory(task_factory)
        try:
            loop.run_until_complete(driver.run(plan))
        finally:
            loop.close()
    driver.judge()
    return driver


@examples(150)
@given(graphs(most=12), PLANS)
def test_cancellations_and_closing_at_any_time(graph, plan):
    """
    Callers, cancellations and closing in any order: what was set up is closed once, users first, and nobody hangs.
    """
    drive(graph, plan)


@examples(60)
@given(graphs(most=60), PLANS)
def test_large_graphs_close_exactly(graph, plan):
    """
    The same holds for large graphs.
    """
    drive(graph, plan)


@examples(100)
@given(graphs(most=12), PLANS, st.lists(st.tuples(PICKS, st.integers(1, 3)), min_size=1, max_size=4))
def test_failing_factories_at_any_time(graph, plan, faults):
    """
    The same holds when factories fail; their exceptions reach those who need them and nobody else.
    """
    drive(graph, plan, faults)


@examples(100)
@given(
    graphs(most=12),
    PLANS,
    st.lists(st.tuples(PICKS, st.integers(1, 3)), max_size=2),
    st.lists(PICKS, min_size=1, max_size=6),
)
def test_failing_finalizers_at_any_time(graph, plan, faults, closing_faults):
    """
    The same holds when finalizers fail, and each of their errors is reachable from what some task raised.
    """
    driver = drive(graph, plan, faults, closing_faults)

    ends = [actor.task.exception() for actor in driver.actors if not actor.task.cancelled()]
    reached = [error for end in ends if end is not None for error in leaves(end)]
    # The exception of a cancelled task is only had by awaiting it.
    for actor in driver.actors:
        if actor.task.cancelled():
            try:
                actor.task.result()
            except asyncio.CancelledError as cancelled:
                reached.extend(leaves(cancelled))
    lost = [error for error in driver.world.raised_closing if not any(error is one for one in reached)]
    assert lost == []


@examples(60)
@given(graphs(most=10), PLANS, st.lists(PICKS, min_size=1, max_size=6))
def test_factories_that_survive_their_cancellation(graph, plan, stubborn):
    """
    The same holds when a factory ignores that its build was cancelled: what it makes after all is closed, too.
    """
    drive(graph, plan, stubborn=stubborn)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
@examples(80)
@given(
    graphs(most=12),
    PLANS,
    st.lists(st.tuples(PICKS, st.integers(1, 3)), max_size=2),
    st.lists(PICKS, max_size=3),
)
def test_tasks_that_begin_at_once(graph, plan, faults, closing_faults):
    """
    The same holds where tasks run their first step when they are made.
    """
    drive(graph, plan, faults, closing_faults, task_factory=asyncio.eager_task_factory)
