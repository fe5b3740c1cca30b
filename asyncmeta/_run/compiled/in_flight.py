"""Which calls and blocks are under way for which no scope was made?  Found by looking, when their container closes."""

from __future__ import annotations

import gc
import sys
import warnings
from collections.abc import Collection, Iterator
from types import AsyncGeneratorType, CodeType, CoroutineType, FrameType, GeneratorType
from typing import Any, Final, TypeAlias

from ..._names import frames_from
from ...errors import AsyncDependencyError, ClosedError
from ..state.parking import Closers, run_nowait
from ..state.slots import Finalizer
from ..teardown import unwinding
from ..teardown.finalizers import as_list, first_to_await, unwind
from ..teardown.scope_exit import ScopeExit
from ..teardown.undone import Leaving, Taken, Undone
from .injected import Bound, bound_in, bounds_of, refusing
from .one_shot import OneShot, QuickOneShot, in_use, quick_classes_of

__all__ = ["end_in_flight", "end_in_flight_nowait", "retire_in_flight"]

# A call that has code of its own keeps what has to be torn down in its own variables, and nothing else knows of it: to
# register it would cost each call a tenth.  It need not be known either, until its container closes: then the code that
# is still alive is code that is being run, and the garbage collector knows where.

_RUNNING, _BUSY, _OVER = "running", "busy", "over"


#: What keeps the frame of a call that is under way.
_Suspended: TypeAlias = "CoroutineType[Any, Any, Any] | AsyncGeneratorType[Any, Any] | GeneratorType[Any, Any, Any]"


class _Call:
    """A call of an injected function, by its coroutine or generator, or by the frame of a thread."""

    def __init__(self, bound: Bound, holder: Any, thread: int | None = None) -> None:
        self.bound = bound
        self.holder = holder
        self.thread = thread
        self.name = f"a call of {bound.name}"
        self.leaving: Leaving | None = None  #: stands where its finalizers were

    def frame(self) -> FrameType | None:
        if self.thread is None:
            return _frame_of(self.holder)
        top = sys._current_frames().get(self.thread)
        return next((frame for frame in frames_from(top) if frame is self.holder), None)

    def state(self) -> str:
        """Tell whether it is making or leaving something just now; whoever has not begun cannot begin any more."""
        if self.leaving is not None:
            return _state_of(self.leaving)
        frame, source = self.frame(), self.bound.source
        if frame is None or source.kept is None or source.leaves_from is None or frame.f_lineno <= 1:
            return _OVER
        if not source.runs_from <= frame.f_lineno < source.leaves_from:
            return _BUSY
        return _RUNNING if self._kept(frame) else _OVER

    def _kept(self, frame: FrameType) -> Finalizer | list[Finalizer] | None:
        kept = frame.f_locals.get(self.bound.kept)
        first = kept[0] if type(kept) is list and kept else kept
        return None if isinstance(first, Taken) or (type(kept) is not list and kept in self.bound.taken) else kept

    def take(self, undone: Undone) -> Leaving:
        frame = self.frame()
        kept = None if frame is None else self._kept(frame)
        self.leaving = taken = Leaving(self.name, undone, list(as_list(kept)))
        if isinstance(kept, list):
            kept[:] = [taken]
            self.bound.taken[taken] = taken
        elif kept is not None:
            self.bound.take(kept, taken)
        return taken


class _Block:
    """A one-shot scope that there is none of."""

    thread = None

    def __init__(self, holder: QuickOneShot, steps: list[CoroutineType[Any, Any, Any]]) -> None:
        self.holder = holder
        self.steps = steps  #: what enters or leaves it
        self.name = f"a request of {holder._parent._name}"
        self.leaving: Leaving | None = None  #: stands where its finalizers were

    def state(self) -> str:
        if self.leaving is not None:
            return _state_of(self.leaving)
        if any(step.cr_frame is not None for step in self.steps):
            return _BUSY
        kept = getattr(self.holder, "_finalizers", None)
        if kept is None:
            self.steps = [step for step in _steps((self.holder,)).get(id(self.holder), ()) if step.cr_frame is not None]
            return _BUSY if self.steps else _OVER
        # One that was entered without a loop has a scope of its own, which is closed as such.
        return _OVER if isinstance(kept, Taken | OneShot) else _RUNNING

    def take(self, undone: Undone) -> Leaving:
        self.leaving = self.holder._finalizers = Leaving(self.name, undone, list(as_list(self.holder._finalizers)))
        return self.leaving


_InFlight = _Call | _Block


def _state_of(leaving: Leaving) -> str:
    """Tell what has become of one from which its finalizers are taken."""
    if leaving.over:
        return _OVER
    return _BUSY if leaving.finalizers is None else _RUNNING


def _frame_of(holder: _Suspended) -> FrameType | None:
    if isinstance(holder, CoroutineType):
        return holder.cr_frame
    return holder.ag_frame if isinstance(holder, AsyncGeneratorType) else holder.gi_frame


def _code_of(holder: _Suspended) -> CodeType:
    if isinstance(holder, CoroutineType):
        return holder.cr_code
    return holder.ag_code if isinstance(holder, AsyncGeneratorType) else holder.gi_code


def _in_threads() -> Iterator[tuple[int, FrameType]]:
    """Give the frames that threads are in."""
    for thread, top in sys._current_frames().items():
        for frame in frames_from(top):
            yield thread, frame


_A_GENERATOR: Final = 0x20 | 0x80 | 0x200  # flags of code whose frames have an owner that the collector knows


def _steps(holders: Collection[QuickOneShot]) -> dict[int, list[CoroutineType[Any, Any, Any]]]:
    """Return the coroutines that enter or leave *holders*, by the ids of these."""
    wanted = set(map(id, holders))
    found: dict[int, list[CoroutineType[Any, Any, Any]]] = {}
    codes = {id(QuickOneShot.__aexit__.__code__), id(QuickOneShot.close.__code__)}
    codes.update(id(type(one)._entry) for one in holders)
    for one in gc.get_objects():
        if type(one) is CoroutineType and id(one.cr_code) in codes and one.cr_frame is not None:
            names = one.cr_frame.f_locals
            held = names.get("self", names.get("scope"))
            if id(held) in wanted:
                found.setdefault(id(held), []).append(one)
    return found


def _found(container: ScopeExit) -> list[_InFlight]:
    """Return what is under way for *container*, which hands nothing out any more."""
    found: list[_InFlight] = []
    bounds = {id(one) for one in bounds_of(container)}
    if bounds:
        for holder in gc.get_objects():
            if type(holder) in (CoroutineType, AsyncGeneratorType, GeneratorType):
                bound = bound_in(_code_of(holder))
                if bound is not None and id(bound) in bounds:
                    found.append(_Call(bound, holder))
        for thread, frame in _in_threads():
            bound = None if frame.f_code.co_flags & _A_GENERATOR else bound_in(frame.f_code)
            if bound is not None and id(bound) in bounds:
                found.append(_Call(bound, frame, thread))
    classes = in_use(quick_classes_of(container))
    holders = [one for one in gc.get_referrers(*classes) if type(one) in classes] if classes else []
    if holders:
        steps = _steps(holders)
        found.extend(_Block(holder, steps.get(id(holder), [])) for holder in holders)
    return found


def _fail(container: ScopeExit, one: _InFlight, closers: Closers) -> Leaving:
    """Let one of them fail that ends well from here on; return what stands where its finalizers were."""
    if one.leaving is not None:
        return one.leaving
    return one.take(Undone(ClosedError(f"{_text(container, one)}: what was begun in it has failed"), closers))


def _text(container: ScopeExit, one: _InFlight) -> str:
    return f"{one.name} was still in progress when {container._title} closed"


def _warn(container: ScopeExit, one: _InFlight, raised: list[BaseException]) -> None:
    try:
        warnings.warn(_text(container, one), ResourceWarning, stacklevel=3)
    except ResourceWarning as told:
        raised.append(told)


async def end_in_flight(container: ScopeExit, closers: Closers) -> list[BaseException]:
    """
    Let the calls and blocks of *container* end for which there are no scopes; return what that raised.

    As scopes do: who makes or leaves something comes to the end of that, who is on the way out, and every other thread, has
    some time for it, and the others have failed.
    """
    _refuse(container)
    return await _end_all(container, closers)


async def retire_in_flight(container: ScopeExit) -> list[BaseException]:
    """Let them end as their loop does, which *container* outlives: those that the next loop begins are not refused."""
    return await _end_all(container, Closers())


async def _end_all(container: ScopeExit, closers: Closers, *, waits: bool = True) -> list[BaseException]:
    raised: list[BaseException] = []
    waited, pause = unwinding.since_now(waits=waits), unwinding.FIRST_PAUSE
    there = _found(container)
    while there := [one for one in there if one.state() is not _OVER]:
        ready = [one for one in there if one.state() is _RUNNING]
        threads, of_tasks = {one.thread for one in ready}, [one for one in ready if one.thread is None]
        held = [one.holder for one in of_tasks] if waits else []
        if not ready or unwinding.go_on(threads, closers, waited) or (held and unwinding.unwinding(held, closers, waited)):
            if not waits and all(one.thread is None for one in there):
                break  # nobody runs that loop while we wait
            for one in of_tasks:  # what a thread does, which was not told to end, is whole
                _fail(container, one, closers)
            pause = await unwinding.paused(pause, raised, waits=waits)
            continue
        one = ready[-1]
        there.remove(one)
        _warn(container, one, raised)
        taken = _fail(container, one, closers)
        finalizers = taken.taken_from()
        try:
            if waits or first_to_await(finalizers) is None:
                raised += await unwind(finalizers, taken.error, waits=waits)
            else:
                raised.append(
                    AsyncDependencyError(one.name, (), "", "cannot be undone without awaiting", "Use `await ....aclose()`")
                )
        finally:
            taken.end()
    return raised


def end_in_flight_nowait(container: ScopeExit, closers: Closers) -> list[BaseException]:
    """Let them end without a loop; see `end_in_flight`."""
    _refuse(container)
    return run_nowait(_end_all(container, closers, waits=False), container)


def _refuse(container: ScopeExit) -> None:
    """Let nothing more be made by code that is still being run, or that has not begun to."""
    refuse = refusing(container)
    for bound in bounds_of(container):
        for name in bound.source.calls:
            bound.space[bound.names[name]] = refuse
    for cls in quick_classes_of(container):
        cls.__aenter__.__globals__.update(dict.fromkeys(cls._calls, refuse))
