"""Small rooms of what is alive: what is told to whom, what stands behind which exception, and who waits for whom."""

import asyncio
import threading
from types import SimpleNamespace

import pytest

from asyncmeta import CircularDependencyError, FinalizationErrors
from asyncmeta._run.state.parking import Outcome, cancel_task, tell, until, until_nowait
from asyncmeta._run.state.singletons import Flight
from asyncmeta._run.state.waiting import Wait, forget_waits
from asyncmeta._run.teardown.finalizers import settle_errors
from asyncmeta._solve.ways import way_down, way_to
from asyncmeta._solve.whole import users_of

from .by_hand import entry, graph, layer

# --- who waits for whom --------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def no_waits():
    """No test sees another's waits."""
    yield
    forget_waits()


def waiting(held, *targets):
    """Record a wait of what is part of building *held*."""
    wait = Wait({held: held})
    for target in targets:
        wait.begin(target, target)
    return wait


def test_a_wait_in_a_circle_is_refused_with_the_way():
    """
    What would wait for itself, through others and on whichever of two ways, is told with who waits for whom.
    """
    waiting("left", "end")
    waiting("right", "end")
    waiting("top", "left", "right")

    with pytest.raises(CircularDependencyError) as caught:
        Wait({"end": "end"}).begin("top", "top")

    assert caught.value.path[0] == "end"
    assert caught.value.path[-1] == "end"


def test_a_wait_that_leads_nowhere_is_recorded():
    """
    Two ways to one thing are no circle.
    """
    waiting("left", "end")
    waiting("right", "end")
    waiting("top", "left", "right")

    Wait({"other": "other"}).begin("top", "top")

    with pytest.raises(CircularDependencyError):
        Wait({"end": "end"}).begin("other", "other")


class Thing:
    """Something that is built, and counts how often somebody looks it up."""

    looked_up = 0

    def __hash__(self):
        Thing.looked_up += 1
        return 1

    __eq__ = object.__eq__


def test_who_waits_looks_at_the_waits_that_concern_it_only():
    """
    With a thousand waits of others on record, one more is compared with no more of them than with ten.
    """
    counts = []
    for others in (10, 1_000):
        for number in range(others):
            waiting(f"other {number}", f"{others}, {number}")
        before = Thing.looked_up
        Wait({"one": "one"}).begin(Thing(), "thing")
        counts.append(Thing.looked_up - before)
        forget_waits()

    assert counts[0] == counts[1]


class Waiter:
    def __init__(self, told):
        self.told = told


def test_a_build_ends_once():
    """
    Who waits is told of the first end; a second one is nothing.
    """
    told = []
    flight = Flight(SimpleNamespace(scope=None, flights={}), "node", None)
    flight.waiters[Waiter(told.append)] = None
    first, second = Outcome(), Outcome(ValueError("late"))

    flight.end(first)
    flight.end(second)

    assert told == [flight]
    assert flight.outcome is first


def test_a_task_is_cancelled_from_any_thread_while_its_loop_lives():
    """
    In its own loop at once, from another thread by that loop; one whose loop has ended is left alone.
    """

    async def for_ever():
        await asyncio.Event().wait()

    async def main(cancel):
        task = asyncio.create_task(for_ever())
        await asyncio.sleep(0)
        cancel(task)
        with pytest.raises(asyncio.CancelledError):
            await task
        return task

    def elsewhere(task):
        thread = threading.Thread(target=cancel_task, args=[task])
        thread.start()
        thread.join()

    for cancel in (cancel_task, elsewhere):
        task = asyncio.run(main(cancel))

        assert task.cancelled()
        cancel_task(task)


# --- what stands behind which exception --------------------------------------------------------------------


class Stop(BaseException):
    """Ends more than an exception does."""


def raised_by(errors, error=None):
    """Return what `settle_errors` raises."""
    try:
        settle_errors(errors, error)
    except BaseException as met:
        return met
    return None


def behind(error):
    """Return what stands behind *error*, one after another."""
    found = []
    while (error := error.__context__) is not None:
        found.append(error)
    return found


def test_errors_of_a_tear_down_are_a_group():
    """
    Where nothing else has failed they are raised; groups of other tear-downs are not boxed again.
    """
    one, two = OSError("one"), OSError("two")

    group = raised_by([one, FinalizationErrors.of([two])])

    assert isinstance(group, FinalizationErrors)
    assert group.exceptions == (one, two)
    assert raised_by([]) is None


def test_what_ends_more_than_an_exception_does_comes_first():
    """
    The first of these is raised, with the others and the group behind it, and none behind itself.
    """
    first, second, error = Stop("first"), Stop("second"), OSError("plain")

    assert raised_by([error, first, second, first]) is first
    assert behind(first)[0] is second
    assert [type(one) for one in behind(first)] == [Stop, FinalizationErrors]


def test_errors_of_a_tear_down_stand_behind_that_of_the_body():
    """
    The body's error is raised by who runs the body: it is noted on it what closing has raised, once.
    """
    body, stop = ValueError("body"), Stop("stop")

    for _ in range(2):
        assert raised_by([OSError("closing"), stop, body], body) is None

    assert stop in behind(body)
    assert body not in behind(body)
    assert len(body.__notes__) == len(set(body.__notes__))


def test_an_error_that_is_raised_again_and_again_does_not_grow():
    """
    Only the last groups stand behind an object that many tear-downs have failed beside.
    """
    body = ValueError("body")

    for number in range(30):
        settle_errors([OSError(number)], body)

    assert len(behind(body)) <= 10
    assert behind(body)[-1].exceptions[0].args == (29,)


# --- ways ---------------------------------------------------------------------------------------------------


class Base: ...


class Left:
    def __init__(self, base: Base): ...


class Right:
    def __init__(self, base: Base): ...


class Top:
    def __init__(self, left: Left, right: Right): ...


def diamond():
    solved = graph(layer(*(entry(cls, cls) for cls in (Base, Left, Right, Top))))
    nodes = {cls: solved.find(None, cls) for cls in (Base, Left, Right, Top)}
    for node in nodes.values():
        solved.expand(node)
    return solved, nodes


def test_a_way_goes_through_each_once():
    """
    Of two ways that are as long the first is told; where none leads, nothing is.
    """
    solved, nodes = diamond()

    assert way_to(nodes[Base], [nodes[Top]]) == [nodes[Top], nodes[Left], nodes[Base]]
    assert way_to(nodes[Top], [nodes[Base]]) == []
    assert way_down(solved, nodes[Base])[-1] is nodes[Base]
    assert way_down(solved, nodes[Base])[0] is nodes[Top]


def test_users_are_found_once():
    """
    Directly or through others, each one of them.
    """
    solved, nodes = diamond()

    assert set(users_of(solved, nodes[Base])) == {nodes[Left], nodes[Right], nodes[Top]}


# --- waiting until something is over ---------------------------------------------------------------------------


class Place:
    """Where somebody waits."""

    _waiters = None


def said(*answers):
    """Return a function that gives one answer after another."""
    left = list(answers)
    return lambda: left.pop(0)


async def test_what_is_over_by_the_time_somebody_would_wait_is_not_waited_for():
    """
    It is looked at again where nobody else can end it: another thread may have done so since.
    """
    place = Place()

    assert await until(place, 0, said(False, True, True))
    assert until_nowait(place, 0, said(False, True, True))
    assert not any((place._waiters or {}).values())


async def test_what_waits_for_the_caller_is_not_waited_for():
    """
    Asked now and then: what has begun to wait for who waits for it would never be over.
    """
    place = Place()

    assert not await until(place, 0, said(False, False, False), lambda: True)
    assert not until_nowait(place, 0, said(False, False, False), lambda: True)
    assert not any((place._waiters or {}).values())


async def test_a_cancellation_while_waiting_is_raised_when_it_is_over():
    """
    Who is cancelled meanwhile waits on, and is told at the end.
    """
    place, over = Place(), []
    task = asyncio.create_task(until(place, 0, lambda: bool(over)))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    waits_on = not task.done()
    over.append(True)
    tell(place, 0)

    with pytest.raises(asyncio.CancelledError):
        await task
    assert waits_on
