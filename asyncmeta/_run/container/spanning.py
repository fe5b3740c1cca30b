"""How does a scope end for which the levels around it were opened, too?  They are closed with it."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from ..._names import is_a
from ...errors import ClosedError
from ..scope.scope import ScopeFace
from ..state.singletons import ScopeState
from ..teardown.finalizers import settle_errors

__all__ = ["SpanningScope"]


class SpanningScope(ScopeFace):
    """A scope for which the levels around it were opened, too: they are closed with it."""

    __slots__ = ("_around",)

    def _spanning(self, around: ScopeState) -> Self:
        self._around = around
        return self

    async def __aexit__(self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None, /) -> None:
        await self._end_block(exc)

    async def _close(self, error: BaseException | None, *, waits: bool = True) -> None:
        raised: list[BaseException] = []
        for scope in self._spanned():
            try:
                await (super()._close(error, waits=waits) if scope is self else scope._close(error, waits=waits))
            except BaseException as met:
                raised.append(met)
        # Last of all comes that something was closed from outside, with all that is around it.
        settle_errors([one for one in raised if not is_a(one, ClosedError)], error)
        told = [one for one in raised if is_a(one, ClosedError)]
        if told:
            raise told[-1]

    def _spanned(self) -> list[ScopeState]:
        """Return this and the scopes that were opened for it, the innermost first: one that is closed forgets where it was."""
        found: list[ScopeState] = []
        scope: ScopeState = self
        while scope is not self._around:
            found.append(scope)
            scope = scope._parent
        return found
