"""What if this await took longer, failed, or was cancelled?  Every interleaving of a scenario, one after another."""

from __future__ import annotations

import asyncio
import gc
import random
import warnings
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Final

from .._names import plural
from .judging import Life, Witness
from .records import containers, observing_all
from .turning import CANCEL, FAIL, GO, Stuck, TurningLoop, Waiting, turning_sleep

__all__ = ["Explored", "explore"]

#: How many runs "every interleaving" may be; a run takes about a millisecond.
MOST: Final = 20_000
#: Of how many last steps a failure tells.
TOLD: Final = 30

#: Never an answer to a failure that was injected: mistakes in what handles it.
_MISTAKES: Final = (AssertionError, AttributeError, NameError, TypeError)


class Explored:
    """What `explore` has done."""

    __slots__ = ("_runs",)

    def __init__(self, runs: int) -> None:
        self._runs = runs

    def __repr__(self) -> str:
        return f"<Explored: {plural(self._runs, 'run')}>"

    @property
    def runs(self) -> int:
        """How often the scenario was run."""
        return self._runs


def explore(scenario: Callable[[], Coroutine[Any, Any, object]], /, *, runs: int | None = None, seed: int = 0) -> Explored:
    """
    Run *scenario* under the interleavings of its awaits, and with a failure or a cancellation at each of them in turn.

    The awaits meant are those that the scenario and its factories write themselves, where something is waited for:
    at each, every task that could go on is let go first; once in a run, the await raises an exception of ours instead
    of giving its result, or the task is cancelled there (for what runs in a task of a container: the scenario's own
    task, whose cancellation reaches it if nobody else waits).  Waiting for a lock, an event, a queue or a task is only
    cancelled: these do not fail.

    Each run has an event loop of its own, whose clock jumps: sleeping takes no time.  ``asyncio.sleep(0)`` stands for
    any wait; longer sleeps end in the order of their times.  What is run has to be deterministic, and waits for nothing
    outside of the program but worker threads.

    After each run everything has to be torn down, once and in order: no generator, task or container is left, no
    finalizer was skipped by an exception that was thrown in at an unprotected ``yield``, nothing warns that it was
    dropped unclosed (``ResourceWarning``), and the scenario has ended by itself or with the failure or cancellation.
    An ``assert`` of the scenario in a ``finally`` says more.

    Args:
        scenario: An async function without parameters; it makes its containers itself, so that each run begins anew.
        runs: How many runs, of a random choice; None means every one that there is, at most 20,000.
        seed: Another one chooses others; the same one always the same.

    Returns:
        How many runs there were.

    Raises:
        AssertionError: Something is wrong; with the steps that lead there, and the error of that run as its cause.
        RuntimeError: There are too many interleavings, or a loop is running in this thread.

    Example:
        >>> explore(scenario)
        <Explored: 31 runs>
        >>> explore(scenario, runs=500, seed=7)
        <Explored: 500 runs>

    .. versionadded:: 0.1.0
    """
    if not callable(scenario):
        raise TypeError("explore takes the async function itself, not what it returns")
    if runs is not None and (not isinstance(runs, int) or isinstance(runs, bool) or runs < 1):
        raise ValueError("runs is a number of runs, at least 1, or None for all")
    if asyncio._get_running_loop() is not None:
        raise RuntimeError("explore runs loops of its own: call it from a plain function, not from a coroutine")
    done = 0
    with _prepared() as witness:
        for choices in _everything() if runs is None else _some(runs, seed):
            if done >= (runs or MOST):
                raise RuntimeError(f"there are more than {MOST} interleavings; explore(scenario, runs=...) takes a choice of them")
            _run(scenario, choices, witness)
            choices.finish()
            done += 1
    return Explored(done)


# --- choosing --------------------------------------------------------------------------------------


class Choices:
    """What one run does where it could do several things, and what it has done."""

    def __init__(self) -> None:
        self.story: list[str] = []
        self.awaits = 0  #: how many of the user's awaits were gone on from

    def choose(self, waiting: list[Waiting], ways: list[list[str]]) -> tuple[int, str]:
        """Return which of those who wait goes on, and in which of its ways."""
        number, how = self.pick(waiting, ways)
        one = waiting[number]
        self.story.append(f"{one.place} {'begins' if one.begins else how}")
        self.awaits += not one.begins
        return number, how

    def pick(self, waiting: list[Waiting], ways: list[list[str]]) -> tuple[int, str]:
        raise NotImplementedError

    def finish(self) -> None:
        """The run is over."""


class _Unsteady(RuntimeError):
    """Two runs that began alike went on differently."""

    def __init__(self, before: int, now: int) -> None:
        super().__init__(
            f"the scenario is not deterministic: two runs of it began alike, then there were {before} ways to go on in one "
            f"and {now} in the other"
        )


class _Listed(Choices):
    """The choices begin in a given way, and go on with the first one each time."""

    def __init__(self, begin: list[tuple[int, int]]) -> None:
        super().__init__()
        self.begin = begin
        self.taken: list[tuple[int, int]] = []  #: which one, of how many; as *begin* is

    def pick(self, waiting: list[Waiting], ways: list[list[str]]) -> tuple[int, str]:
        # Those without a fault come first: so the plain run is the first one.
        found = [(number, how) for how in (GO, FAIL, CANCEL) for number, of_one in enumerate(ways) if how in of_one]
        here = len(self.taken)
        choice, count = self.begin[here] if here < len(self.begin) else (0, len(found))
        if count != len(found):
            raise _Unsteady(count, len(found))
        self.taken.append((choice, count))
        return found[choice]

    def finish(self) -> None:
        if len(self.taken) < len(self.begin):
            raise _Unsteady(self.begin[len(self.taken)][1], 0)


class _Drawn(Choices):
    """The choices are random, or the first one each time; the fault stands at a given await."""

    def __init__(self, dice: random.Random | None, fault: tuple[int, str] | None) -> None:
        super().__init__()
        self.dice = dice
        self.fault = fault

    def pick(self, waiting: list[Waiting], ways: list[list[str]]) -> tuple[int, str]:
        number = 0 if self.dice is None else self.dice.randrange(len(waiting))
        if self.fault is not None and self.awaits >= self.fault[0] and self.fault[1] in ways[number]:
            return number, self.fault[1]
        return number, GO


def _everything() -> Iterator[Choices]:
    """Give every run that there is: depth first, each one a change of the last thing that can be changed."""
    begin: list[tuple[int, int]] | None = []
    while begin is not None:
        choices = _Listed(begin)
        yield choices
        taken = choices.taken
        while taken and taken[-1][0] + 1 >= taken[-1][1]:
            taken.pop()
        begin = [*taken[:-1], (taken[-1][0] + 1, taken[-1][1])] if taken else None


def _some(runs: int, seed: int) -> Iterator[Choices]:
    """Give the plain run, then random interleavings in which each await has its turn to fail and to be cancelled."""
    plain = _Drawn(None, None)
    yield plain
    for number in range(runs - 1):
        at, kind = divmod(number, 2)
        yield _Drawn(random.Random(f"{seed}/{number}"), (at % max(1, plain.awaits), (FAIL, CANCEL)[kind]))


# --- one run ---------------------------------------------------------------------------------------


@contextmanager
def _prepared() -> Iterator[Witness]:
    """Hear what containers do, and let only what a run leaves behind be garbage."""
    witness = Witness()
    gc.collect()
    gc.freeze()
    try:
        with turning_sleep(), observing_all(witness):
            yield witness
    finally:
        gc.unfreeze()


def _run(scenario: Callable[[], Coroutine[Any, Any, object]], choices: Choices, witness: Witness) -> None:
    """Run *scenario* once; raise what is wrong with it."""
    life = witness.life = Life(set(containers()))
    loop = TurningLoop(life, choices.choose)
    error: BaseException | None = None
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always", ResourceWarning)
        try:
            loop.main = loop.create_task(scenario())
            try:
                loop.run_until_complete(loop.main)
            except BaseException as met:
                error = met
            wrong = _ending(loop, error)
            wrong += life.verdict()
            if not isinstance(error, Stuck):
                wrong += [f"a task was left: {left}" for left in loop.left()]
            wrong += loop.complaints
        finally:
            witness.life = None
            loop.clear_away()
            life.abandon()
        told = error if wrong else None
        del loop, life, error
        gc.collect()
    for one in warned:
        if issubclass(one.category, ResourceWarning):
            wrong.append(f"ResourceWarning: {one.message}")
        else:
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
    if wrong:
        story = choices.story[-TOLD:]
        raise AssertionError("\n  ".join([*dict.fromkeys(wrong), "This is how:", *(f"- {step}" for step in story)])) from told


def _ending(loop: TurningLoop, error: BaseException | None) -> list[str]:
    """Return what is wrong with how the scenario has ended."""
    if isinstance(error, KeyboardInterrupt | SystemExit | _Unsteady):
        raise error
    if isinstance(error, Stuck):
        return [str(error)]
    if error is None:
        swallowed = loop.fault == (CANCEL, loop.main) and loop.main.cancelling()
        return ["the scenario was cancelled and goes on as if it was not"] if swallowed else []
    if loop.fault is None:
        return [f"the scenario fails by itself: {_text(error)}"]
    how, _ = loop.fault
    seen = list(_chain(error))
    expected = any(one is loop.injected if how == FAIL else isinstance(one, asyncio.CancelledError) for one in seen)
    if isinstance(error, _MISTAKES) or not expected:
        return [f"where an await {how}, the scenario ends with {_text(error)}"]
    return []


def _text(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Give *error*, its members, and what they were raised from or beside."""
    found: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is not None and not any(one is other for other in found):
            found.append(one)
            yield one
            waiting += [one.__cause__, one.__context__, *(one.exceptions if isinstance(one, BaseExceptionGroup) else ())]
