"""A scope that is opened for one value: ``async with container.request(Handler) as handler``."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Mapping
from types import AsyncGeneratorType, CodeType, TracebackType
from typing import Any, Final

from ..._declare.registry import snapshot
from ..._lock import LOCK
from ..._solve.emit import emit_opening, wants_scope
from ..._solve.plan import LARGEST, Plan
from ..build.interpreter import undone
from ..state.frames import BUILDS, LEAVES
from ..state.parking import traceback_of
from ..teardown.finalizers import as_list, end_twice, settle_errors, unwind
from ..teardown.scope_exit import ScopeExit
from ..teardown.undone import Taken
from .load import Loaded, bound

__all__ = ["OneShot", "QuickOneShot", "in_use", "quick_classes_of", "quick_enter"]

_HAS_GIL: Final[Callable[[], bool]] = getattr(sys, "_is_gil_enabled", lambda: True)


class OneShot:
    """``async with container.request(Handler) as handler``: opens a scope, gives a value, closes the scope."""

    __slots__ = ("around", "context", "scope", "token")

    def __init__(self, around: Any, token: object, context: Mapping[Any, object] | None) -> None:
        self.around, self.token, self.context = around, token, context
        self.scope: Any = None

    async def __aenter__(self) -> Any:
        scope = self.scope = self.around.scope(self.context)
        await scope.__aenter__()
        try:
            return await scope.get(self.token)
        except BaseException as error:
            await scope.__aexit__(type(error), error, traceback_of(error))
            raise

    async def __aexit__(self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None, /) -> None:
        await self.scope.__aexit__(exc_type, exc, tb)

    def __enter__(self) -> Any:
        scope = self.scope = self.around.scope(self.context)
        scope.__enter__()
        try:
            return scope.get_nowait(self.token)
        except BaseException as error:
            scope.__exit__(type(error), error, traceback_of(error))
            raise

    def __exit__(self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None, /) -> None:
        self.scope.__exit__(exc_type, exc, tb)


class QuickOneShot:
    """
    The same where nothing that is made holds on to the scope: there is none, its values are locals of generated code.

    Generated code takes it for the scope: it keeps the finalizers.
    """

    __slots__ = ("_finalizers",)

    _in_flight = 0
    _parent: Any
    _entry: CodeType  #: the code that enters
    _calls: tuple[str, ...]  #: the names that it has for factories
    _alone: int  #: what `references` says of the class where it has no instance
    token: object
    _finalizers: Any  #: set by the generated code before anything else

    @property
    def container(self) -> Any:
        return self._parent

    async def __aexit__(self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None, /) -> None:
        x = self._finalizers
        if x is None:
            return
        if exc is not None or type(x) is not AsyncGeneratorType:
            await self.close(exc)
            return
        self._finalizers = None
        try:
            async for _ in x:  # a loop that ends costs less than an exception that is caught
                break
            else:
                return
        except BaseException as raised:
            settle_errors([raised], None)
        else:
            await end_twice(x)

    async def close(self, error: BaseException | None) -> None:
        """Run the finalizers."""
        if isinstance(self._finalizers, Taken):
            await self._finalizers.leave(error)
            return
        finalizers, self._finalizers = as_list(self._finalizers), None
        settle_errors(await unwind(finalizers, error), error)

    # Without a loop threads may share what is built: step by step, in a real scope.

    def __enter__(self) -> Any:
        self._finalizers = OneShot(self._parent, self.token, None)
        return self._finalizers.__enter__()

    def __exit__(self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None, /) -> None:
        self._finalizers.__exit__(exc_type, exc, tb)


async def _undo_opening(opening: QuickOneShot, error: BaseException, lines: Any) -> None:
    """Tear down what was set up before a step failed."""
    raised = undone(opening._parent, error, lines)[0]
    await opening.close(raised)
    if raised is not error:
        raise raised from None


def quick_enter(container: ScopeExit, token: object, plan: Plan) -> Any:
    """Return generated code that enters a one-shot scope for *token*, or None where a real scope is needed."""
    if plan.entry is None:
        units = (*plan.units, plan.unit)
        fits = plan.size <= LARGEST and not plan.concurrent and not wants_scope(plan) and not any(unit.special for unit in units)
        plan.entry = Loaded(emit_opening(plan, 1)) if fits else False
    if plan.entry is False:
        return None
    enter = bound(plan.entry, container, {"undo_opening": _undo_opening, BUILDS.name: None})
    # A class for each token: opening one is then a call without arguments, and entering it is the generated code itself.
    cls: Any = type("QuickOneShot", (QuickOneShot,), {"__slots__": (), "_parent": container, "token": token, "__aenter__": enter})
    cls._entry = enter.__code__
    cls._calls = tuple(plan.entry.source.calls)
    (held,) = references([cls])
    cls._alone = held - 1  # without the variable here
    table = container._root_table
    with LOCK:
        if table.quick is None:
            table.quick = weakref.WeakSet()
        table.quick.add(cls)
        table.has_run_code = True
    return cls


def quick_classes_of(container: ScopeExit) -> list[Any]:
    """Return the classes of one-shot scopes that there are none of, of a container that may not have them at hand any more."""
    return snapshot(container._root_table.quick or ())


def references(classes: list[Any]) -> list[int]:
    """Return how many refer to each of *classes*, which are in that list and in nobody's variables."""
    return [sys.getrefcount(cls) for cls in classes]


def in_use(classes: list[Any]) -> list[Any]:
    """Return those that have instances: each one refers to its class.  Their container has them at hand no more."""
    held = references(classes)
    return [cls for cls, count in zip(classes, held, strict=True) if count > cls._alone or not _HAS_GIL()]


LEAVES.add_methods(QuickOneShot.__aexit__, QuickOneShot.close)
