"""How does a container end, or lose its loop?  In the order of who uses whom, and nothing is lost."""

from __future__ import annotations

import asyncio
import contextvars
import sys
import threading
import warnings
from collections.abc import Awaitable
from contextlib import suppress
from types import FrameType
from typing import Any, Final

from ..._compat import WALKS_THREADS, get_running_loop, new_task
from ..._lock import LOCK
from ..._names import frames_from
from ...errors import ContainerError, WrongLoopError
from ..build.driver import BuildTask
from ..state.awaited import HEARERS, threads_waiting_for
from ..state.context import EXITING
from ..state.frames import LEAVES, MAKES
from ..state.parking import CLOSED_BY_OTHERS, LANDED, Closers, hearers, me, run_nowait, tell, until, until_nowait
from ..state.singletons import IS_CLOSED, IS_CLOSING, OPEN, Flight
from ..state.slots import CLOSED, CLOSING, GONE, Finalizer
from ..state.waiting import CHAIN
from ..teardown.finalizers import as_list, settle_errors, unwind, unwind_nowait
from ..teardown.owner_task import Part
from ..teardown.scope_exit import Inside
from .state import ContainerState

__all__ = ["Closing"]

#: Seconds after which who waits for a build in a thread looks whether that waits for him.
_PAUSE: Final = 0.1

#: Turns of a loop that ends in which blocks whose tasks are cancelled may begin to close what they have opened.
_TURNS: Final = 20


class Closing:
    """The part of a container that ends it; also what it does when a loop ends under its values."""

    __slots__ = ("closers", "container", "task", "thread")

    def __init__(self, container: ContainerState) -> None:
        self.container = container
        self.task: asyncio.Task[list[BaseException]] | None = None  #: closes it
        self.closers = Closers()  #: who waits for that, see `me`
        self.thread = 0  #: the one that has begun to close it

    # --- loops ---

    def mind_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        """Another loop builds from here on."""
        self.container._mind_loop(loop)

    def lose_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        """Forget what died with a loop: builds, values whose holder did, and what stands on these."""
        container, singletons = self.container, self.container._singletons
        for node, flight in list(singletons.flights.items()):
            if flight.loop is loop:
                del singletons.flights[node]
        lost = [finalizer for finalizer in as_list(container._finalizers) if isinstance(finalizer, Part)]
        if lost:
            container._finalizers = [one for one in as_list(container._finalizers) if one not in lost] or None
            singletons.forget({part.owner_task.flight.node for part in lost if isinstance(part.owner_task, BuildTask)})
        singletons.tasks.clear()
        singletons.owner_tasks.clear()
        container._inner.clear()
        if lost:  # at the end: where warnings are errors, all that died is forgotten, too
            names = ", ".join(dict.fromkeys(part.name for part in lost))
            warnings.warn(f"the event loop of {singletons.name} was closed before {names} could be", ResourceWarning, stacklevel=2)

    def forgotten(self) -> None:
        """Values were dropped: whoever holds on to one looks anew."""
        self.container._root_table.clear_all()
        self.container._attributes.renew()

    def dropped(self) -> None:
        """A value was dropped that nobody can hold."""
        self.container._root_table.clear_all()

    async def retire(self) -> None:
        """
        The loop ends under us: run all finalizers, in reverse, led by the first holder that was cancelled.

        What had a finalizer, and what stands on it, is forgotten; plain values stay.  Who leads is cancelled again, perhaps,
        and goes on: nobody else would.
        """
        container, singletons = self.container, self.container._singletons
        if singletons.retiring or singletons.state != OPEN:
            return
        singletons.retiring = True
        try:
            # Scopes whose tasks are cancelled now close themselves, and so does a container in the block that has entered it,
            # which may be what another one holds.
            for _ in range(_TURNS):
                if singletons.state != OPEN:
                    return  # who closes it commands
                if not (container._children or container._grounds):
                    break
                await _swallowing(asyncio.sleep(0))
            raised: list[BaseException] = []
            with suppress(Inside):
                await container._close_children(raised, None, Closers())
            if container._root_table.has_run_code:
                from ..compiled.in_flight import retire_in_flight  # lazy import

                raised += await retire_in_flight(container)
            finalizers, container._finalizers = as_list(container._finalizers), None
            for one in finalizers:
                if isinstance(one, Part) and isinstance(one.owner_task, BuildTask):
                    one.owner_task.retiring = True
            singletons.forget({node for node in singletons.built if singletons.unit(node).generators})
            raised += await unwind(self._watched(finalizers), None)
            for error in raised:
                if isinstance(error, asyncio.CancelledError):
                    continue
                asyncio.get_running_loop().call_exception_handler(
                    {"message": f"a finalizer of {singletons.name} failed while its event loop ended", "exception": error}
                )
        finally:
            singletons.retiring = False

    # --- closing ---

    async def close(self, error: BaseException | None) -> None:
        """Close everything, once; *error* is the body's."""
        singletons = self.container._singletons
        if self._is_exiting():
            return  # a finalizer of ours asks for what is going on
        self._refuse_inside()
        if singletons.state == IS_CLOSED:
            return
        if self.task is None and singletons.state == IS_CLOSING:  # by another thread
            if not await until(self.container, CLOSED_BY_OTHERS, self._is_over, self._is_inside):
                self._told_late()
                return
            if singletons.state == IS_CLOSED:
                return
        if self.task is None:
            loop, owner = asyncio.get_running_loop(), singletons.origin.loop
            if owner is not None and owner is not loop:
                if not owner.is_closed():
                    raise WrongLoopError(f"{singletons.title} belongs to another event loop, and is closed there")
                self.lose_loop(owner)
            if not self._begin(Closers()):
                await self.close(error)
                return
            context = contextvars.copy_context()
            context.run(EXITING.set, (*EXITING.get(), self.container))
            self._go_on(error, loop, context)
        self.closers.append(me())
        assert self.task is not None
        closing, cancelled = self.task, None

        def has_closed() -> bool:
            nonlocal closing
            closing = self.task or closing
            return closing.done() and not closing.cancelled()

        try:
            if not await until(self.container, CLOSED_BY_OTHERS, has_closed, self._is_inside):
                self._told_late()
                return
        except asyncio.CancelledError as met:
            if not has_closed():
                raise
            cancelled = met
        raised = closing.result()
        if cancelled is not None:
            raised = [cancelled, *raised]
        settle_errors(raised, error)

    def _go_on(self, error: BaseException | None, loop: asyncio.AbstractEventLoop, context: contextvars.Context) -> None:
        """Have everything closed in a task; where that is cancelled before its first step, it never ran a line, in another."""

        def over(task: asyncio.Task[list[BaseException]]) -> None:
            if task.cancelled() and self.task is task and not loop.is_closed():
                self._go_on(error, loop, context)
            else:
                tell(self.container, CLOSED_BY_OTHERS)

        task = self.task = new_task(self._closing(error), loop, context, f"asyncmeta: closing {self.container._name}")
        task.add_done_callback(over)

    def _is_exiting(self) -> bool:
        """Tell whether the running code is a finalizer of this, or of something inside."""
        here = self.container
        above = LEAVES.above(through_tasks=True)
        if here in EXITING.get() or any(one.container is here for one in above):
            return True
        # The thread that closes it is known also where the frames of other threads are not walked through.
        by_thread = self.task is None and here._singletons.state == IS_CLOSING
        return by_thread and self.thread in threads_waiting_for(())

    def _refuse_inside(self) -> None:
        singletons = self.container._singletons
        inside = any(flight.owner is singletons and not flight.done for flight in CHAIN.get())
        if inside or self._is_making():
            raise ContainerError(f"{singletons.title} cannot be closed by a factory that it is waiting for")

    def _is_making(self) -> bool:
        """Tell whether the running code is part of making something for this, or for something inside."""
        return any(scope.container is self.container for scope in MAKES.above(through_tasks=True))

    def _is_inside(self) -> bool:
        return self._is_exiting() or self._is_making()

    def _told_late(self) -> None:
        """What waits for the caller has begun to do so after that began to wait: closing goes on without the caller."""
        if not self._is_exiting():
            self._refuse_inside()

    def _is_over(self) -> bool:
        return self.container._singletons.state != IS_CLOSING or self._is_given_up()

    def _is_given_up(self) -> bool:
        """Tell whether who closes it, in a thread, was interrupted twice, or at the very end: whoever comes next goes on."""
        if self.task is not None or self.container._singletons.state != IS_CLOSING:
            return False
        frame = None if self.thread == threading.get_ident() else sys._current_frames().get(self.thread)
        if frame is not None and not WALKS_THREADS:
            return False
        closes = Closing.close_nowait.__code__
        return not any(one.f_code is closes and one.f_locals.get("self") is self for one in frames_from(frame))

    def _begin(self, closers: Closers) -> bool:
        """Hand nothing out from here on; tell whether the caller, who comes with *closers*, is the one to close it."""
        container = self.container
        with LOCK:
            begun = container._singletons.state != OPEN
            if begun and not self._is_given_up():
                return False
            self.closers, self.thread = closers, threading.get_ident()  # first: who is interrupted sees that it has begun
            if begun:
                return True
            container._singletons.turn(IS_CLOSING)
            container._root_table.clear_all()
            container._roots = container._roots_nowait = CLOSED
            container._in_flight += CLOSING
        container._close_first()
        return True

    def _open_on(self) -> None:
        """Be open as before: who closes it is waited for by what it would wait for."""
        container = self.container
        with LOCK:
            container._singletons.turn(OPEN)
            container._in_flight -= CLOSING
            container._root_table.clear_all()
            container._attributes.renew()

    async def _closing(self, error: BaseException | None) -> list[BaseException]:
        """Close everything, in the order of who uses whom; return what was raised."""
        container, singletons = self.container, self.container._singletons
        raised: list[BaseException] = []
        loop = asyncio.get_running_loop()
        while singletons.tasks:
            for flight in list(singletons.flights.values()):
                flight.stop()
            await _swallowing(asyncio.wait(list(singletons.tasks)))
        while singletons.flights:  # built in place, in another thread
            with LOCK:
                waiting = [loop.create_future() for _ in singletons.flights]
                for flight, future in zip(singletons.flights.values(), waiting, strict=True):
                    flight.waiters[future] = None
            if waiting:
                await _swallowing(asyncio.wait(waiting))
        await _swallowing(until(container, LANDED, container._has_landed))
        with suppress(Inside):  # never: nobody is seen to wait for this very task
            await container._close_children(raised, None, self.closers)
        if container._root_table.has_run_code:
            from ..compiled.in_flight import end_in_flight  # lazy import

            raised += await end_in_flight(container, self.closers)
        finalizers, container._finalizers = as_list(container._finalizers), None
        raised[:0] = await unwind(self._watched(finalizers), error)
        raised[:0], singletons.owed = singletons.owed, []
        self._end()
        return raised

    def _watched(self, finalizers: list[Finalizer]) -> list[Finalizer]:
        """Return *finalizers* so that observers are told when they run."""
        singletons = self.container._singletons
        return finalizers if singletons.watch is None else singletons.watch.all_watched(finalizers, singletons.graph)

    def _end(self) -> None:
        """Nothing is left: from here on every use is refused."""
        container, singletons = self.container, self.container._singletons
        with LOCK:
            singletons.turn(IS_CLOSED)
            singletons.lose(singletons.built)
            singletons.built.clear()
            container._values = GONE
            singletons.loop = None
            container._attributes.end(container._await_when_closed())
        if singletons.watch is not None and not singletons.overlaid:
            singletons.watch.closed(singletons.name)
        container._ended()

    def close_nowait(self, error: BaseException | None) -> None:
        """Close everything without a loop; refused, before anything is closed, where one is needed."""
        container, singletons = self.container, self.container._singletons
        if singletons.state == IS_CLOSED or self._is_exiting():
            return
        if singletons.state == IS_CLOSING:
            if self.task is not None and get_running_loop() is self.task.get_loop():
                raise ContainerError(f"{singletons.title} is closing already")
            self.closers.append(me())
            if not until_nowait(container, CLOSED_BY_OTHERS, self._is_over, self._is_inside):
                self._told_late()
                return
            if singletons.state == IS_CLOSED:
                return
        container._refuse_awaiting()
        self._refuse_inside()
        raised: list[BaseException] = []
        closers, token, inside = Closers((me(),)), None, False
        try:
            if not self._begin(closers):
                self.close_nowait(error)
                return
            token = EXITING.set((*EXITING.get(), container))
            self._tear_down_nowait(raised, error, closers)
        except Inside:
            inside = True
        except BaseException as met:  # an interrupt, between two lines: what is left is torn down all the same
            if self.closers is not closers:  # it has not begun
                raise
            raised.append(met)
            token = EXITING.set((*EXITING.get(), container)) if token is None else token
            self._tear_down_nowait(raised, error, closers)
        finally:
            if self.closers is closers:
                try:
                    if inside:
                        self._open_on()
                    else:
                        self._end()
                except BaseException:  # an interrupt here, too: nobody else would come to the end of it
                    if not inside:
                        self._end()
                    raise
                finally:
                    if token is not None:
                        EXITING.reset(token)
                    tell(container, CLOSED_BY_OTHERS)
        if inside:
            self._told_late()
            return
        settle_errors(raised, error)

    def _tear_down_nowait(self, raised: list[BaseException], error: BaseException | None, closers: Closers) -> None:
        """Tear down everything without a loop; called again, it goes on where it was interrupted."""
        container, singletons = self.container, self.container._singletons
        self._wait_for_threads()
        run_nowait(container._close_children(raised, None, closers, waits=False), container)
        if container._root_table.has_run_code:
            from ..compiled.in_flight import end_in_flight_nowait  # lazy import

            raised += end_in_flight_nowait(container, closers)
        finalizers = container._finalizers = as_list(container._finalizers)
        watched = finalizers if singletons.watch is None else self._watched(finalizers)
        raised[:0] = unwind_nowait(watched, error)
        container._finalizers = None
        raised[:0], singletons.owed = singletons.owed, []

    def _wait_for_threads(self) -> None:
        flights = self.container._singletons.flights
        while True:
            with LOCK:
                flight = next(iter(flights.values()), None)
                if flight is None:
                    return
                waiter = ThreadWaiter()
                flight.waiters[waiter] = None
            while not waiter.event.wait(_PAUSE):
                if self._is_making():
                    raise Inside


class ThreadWaiter:
    """Waits for a build in a thread."""

    __slots__ = ("event",)

    def __init__(self) -> None:
        self.event = threading.Event()

    def told(self, flight: Flight) -> None:
        self.event.set()


async def _swallowing(work: Awaitable[object]) -> None:
    """Await *work* to its end; a cancellation of the closing task waits until closing is over."""
    try:
        await work
    except asyncio.CancelledError:
        return


def _hearers(frame: FrameType) -> list[Any]:
    """Return who waits for a closing, while it runs finalizers: before, who is in flight is refused, and no part of it."""
    if "finalizers" not in frame.f_locals:
        return []
    closing: Closing = frame.f_locals["self"]
    return [*closing.closers, *hearers(closing.container, CLOSED_BY_OTHERS)]


HEARERS.update(dict.fromkeys((Closing._closing.__code__, Closing._tear_down_nowait.__code__), _hearers))
LEAVES.add(Closing._closing.__code__, Closing._tear_down_nowait.__code__, reader=lambda frame: frame.f_locals["self"].container)
