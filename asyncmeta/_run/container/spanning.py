"""How does a scope end for which the levels around it were opened, too?  They are closed with it."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from ...errors import ClosedError
from ..scope.scope import Scope
from ..state.slots import ScopeState
from ..teardown.finalizers import settle_errors

__all__ = ["SpanningScope"]


class SpanningScope(Scope):
    """A scope for which the levels around it were opened, too: they are closed with it."""

    __slots__ = ("_around",)

    def _spanning(self, around: ScopeState) -> Self:
        self._around = around
        return self

    async def __aexit__(self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None, /) -> None:
        await self._end_block(exc)

    async def _close(self, error: BaseException | None) -> None:
        raised: list[BaseException] = []
        told: ClosedError | None = None  #: what was closed from outside, with all that is around it
        scope: ScopeState = self
        while scope is not self._around:
            around = scope._parent
            try:
                await (super()._close(error) if scope is self else scope._close(error))
            except ClosedError as met:
                told = met
            except BaseException as met:
                raised.append(met)
            scope = around
        settle_errors(raised, error)
        if told is not None:
            raise told

    def _close_nowait(self, error: BaseException | None) -> None:
        raised: list[BaseException] = []
        told: ClosedError | None = None  #: what was closed from outside, with all that is around it
        scope: ScopeState = self
        while scope is not self._around:
            around = scope._parent
            try:
                super()._close_nowait(error) if scope is self else scope._close_nowait(error)
            except ClosedError as met:
                told = met
            except BaseException as met:
                raised.append(met)
            scope = around
        settle_errors(raised, error)
        if told is not None:
            raise told
