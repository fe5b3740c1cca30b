"""A scope for one call of a handler, which ends as the answer says; for frameworks that give no other place for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from typing import TypeVar

from .. import FinalizationErrors, Scope
from ._endings import Cancellation, going_nowhere, is_failure, one_of

__all__ = ["answered_in"]

T = TypeVar("T")


async def answered_in(
    scope: Scope,
    answer: Callable[[], Awaitable[T]],
    *,
    border: int,
    status_of: Callable[[BaseException], int | None],
    failure_of: Callable[[T], BaseException | None],
    knows: Callable[[BaseException], bool],
) -> T:
    """
    Let *answer* run inside of *scope*, which is ambient and hears whether that went well.

    Args:
        scope: Not yet entered.
        answer: Calls the handler.
        border: From which status on a raised answer is a failure.
        status_of: Tells with which status the framework answers what was raised; None for what is no answer.
        failure_of: Tells what is wrong with what was returned.
        knows: Tells whether the framework answers by itself, or by a handler of the application, what a finalizer has raised.

    Raises:
        CancelledError: The task was, and *answer* gave an answer all the same.
    """
    cancellation = Cancellation()
    await scope.__aenter__()
    try:
        with scope.ambient():
            found = await answer()
        await cancellation.tell()
    except BaseException as raised:
        fails = is_failure(status_of(raised), border)
        await _leave(scope, raised if fails else None, knows, going_on=fails)
        raise
    await _leave(scope, failure_of(found), knows, going_on=False)
    return found


async def _leave(scope: Scope, error: BaseException | None, knows: Callable[[BaseException], bool], *, going_on: bool) -> None:
    """End *scope* with what went wrong; that goes on by itself, or was answered."""
    kind = None if error is None else type(error)
    try:
        with nullcontext() if going_on else going_nowhere(error):
            await scope.__aexit__(kind, error, None)
    except FinalizationErrors as raised:
        one = one_of(raised)
        raise (one if knows(one) else raised) from None
