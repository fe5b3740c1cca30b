"""How are scoped values built beside others?  Each in a task of its own, begun when what it needs is there."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Iterable, Sequence
from contextlib import suppress
from types import FrameType
from typing import Final

from ..._compat import new_task
from ..._names import is_a
from ..._solve.nodes import Node
from ..._solve.plan import Unit
from ...errors import ClosedError
from ..state.frames import MAKES
from ..state.singletons import ScopeState
from ..teardown.owner_task import OwnerTask
from .interpreter import scoped_value

__all__ = ["build_concurrent"]

#: Turns of a loop that ends in which the task that opened a scope may begin to close it.
TURNS: Final = 20


class ConcurrentTask(OwnerTask):
    """The task of one scoped value."""

    __slots__ = ("done", "leaving", "unit")

    def __init__(self, unit: Unit, scope: ScopeState) -> None:
        assert unit.node is not None
        super().__init__(scope, unit.node.name, stays=unit.async_generators)
        self.unit = unit
        self.leaving = False  #: tears down: a cancellation now would cut a finalizer
        #: done when the value is there, or is not; the task may go on, to leave what it has entered
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def live(self, first: Sequence[ConcurrentTask]) -> None:
        """Wait for what it needs, build, tell, and stay as long as something has to be left here."""
        node = self.unit.node
        assert node is not None
        try:
            for other in first:
                await asyncio.shield(other.done)
            await scoped_value(self.unit, self.owner, node, self.push)
        except BaseException as error:
            self.leaving = True
            self.owner._singletons.owed.extend(await self.leave_all(error))
            if not self.done.done():
                if is_a(error, asyncio.CancelledError):
                    self.done.cancel()
                else:
                    self.done.set_exception(error)
            return
        if not self.done.done():
            self.done.set_result(None)
        await self.obey()

    def over(self, task: asyncio.Task[None]) -> None:
        """Say that there is nothing where the task was cancelled before its first step: its coroutine never ran a line."""
        if not task.cancelled():
            task.exception()
        if not self.done.done():
            self.done.cancel()

    async def loop_ends(self) -> None:
        """
        Have the scope closed, as a whole and in order.

        That is what the task that opened it does, which is cancelled as well; where it does not, whoever finds that leads.
        """
        scope = self.owner
        for _ in range(TURNS):
            if scope.closed:
                break
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0)
        if scope.closed:
            return  # who closes it commands
        failed = ClosedError(f"{scope._name} was still open when its event loop ended")
        await scope._close(failed)
        if failed.__context__ is not None:
            scope._singletons.owed.append(failed.__context__)


async def build_concurrent(units: Iterable[Unit], scope: ScopeState) -> None:
    """
    Build scoped units, dependencies first; those registered with ``concurrent=True`` beside the others.

    A failure, or a cancellation, cancels those that are not built yet and waits for their end.
    """
    tasks: dict[Node, ConcurrentTask] = {}
    waiting = list(units)
    try:
        while waiting:
            begun = _begin_ready(waiting, tasks, scope)
            if not waiting:
                break
            if begun:
                await asyncio.sleep(0)  # let them take their first step before something else holds the task
            unit = waiting.pop(0)
            node = unit.node
            assert node is not None
            await _there([tasks[other] for other in unit.shared if other in tasks], tasks.values())
            await scoped_value(unit, scope._home(node), node)
        await _there(list(tasks.values()), tasks.values())
    finally:
        await _settle(tasks.values())


async def _there(needed: Sequence[ConcurrentTask], all_of_them: Iterable[ConcurrentTask]) -> None:
    """Wait until *needed* are built; raise what any of them all raised, as soon as it did."""
    while True:
        for beside in all_of_them:
            if beside.done.done():
                beside.done.result()
        if all(beside.done.done() for beside in needed):
            return
        going = [beside.done for beside in all_of_them if not beside.done.done()]
        await asyncio.wait(going, return_when=asyncio.FIRST_COMPLETED)


def _begin_ready(waiting: list[Unit], tasks: dict[Node, ConcurrentTask], scope: ScopeState) -> bool:
    """Start each concurrent unit whose dependencies are there or have tasks of their own."""
    begun = False
    missing = {unit.node for unit in waiting}
    for unit in list(waiting):
        node = unit.node
        assert node is not None
        if not node.registration.options.concurrent or any(other in missing for other in unit.shared):
            continue
        beside = ConcurrentTask(unit, scope._home(node))
        first = [tasks[other] for other in unit.shared if other in tasks]
        task = new_task(beside.live(first), asyncio.get_running_loop(), contextvars.copy_context(), f"asyncmeta: {node.name}")
        beside.task = task
        task.add_done_callback(beside.over)
        tasks[node] = beside
        waiting.remove(unit)
        missing.discard(node)
        begun = True
    return begun


async def _settle(besides: Iterable[ConcurrentTask]) -> None:
    """See to it that none of *besides* goes on building, and take what each has to say."""
    cancelled: asyncio.CancelledError | None = None
    for beside in besides:
        if not beside.done.done() and not beside.leaving:
            assert beside.task is not None
            beside.task.cancel()
        while not beside.done.done():
            try:
                await asyncio.wait([beside.done])
            except asyncio.CancelledError as error:
                cancelled = error
        if not beside.done.cancelled():
            beside.done.exception()
    if cancelled is not None:
        raise cancelled


def _made_for(frame: FrameType) -> ScopeState | None:
    """Return the scope that a task makes its value for; None where that is there, and the task is only kept to leave it."""
    task: ConcurrentTask = frame.f_locals["self"]
    return None if task.done.done() else task.owner


MAKES.add(ConcurrentTask.live.__code__, reader=_made_for)
