"""When has a request failed, and how does its scope end?  The same in every framework."""

from __future__ import annotations

import asyncio
import contextvars
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from .. import FinalizationErrors, Scope

__all__ = ["ERROR_STATUS", "ErrorResponse", "going_nowhere", "is_failure", "leave_in", "one_of", "running_context"]

#: From which status on an answer is a failure, where nobody says otherwise.
ERROR_STATUS: Final = 400


class ErrorResponse(Exception):
    """
    What finalizers see of a request that failed without an exception that we could see.

    The application answered with an error by itself, or closed a websocket with another code than 1000 and 1001; the client
    went away before it had all of the response, or the application never completed that.
    """

    def __init__(self, status: int | None) -> None:
        super().__init__(status)
        self.status = status  #: of the response, or the code of a websocket's end; None where the response is not complete

    def __str__(self) -> str:
        if self.status is None:
            return "the application did not complete its response"
        return f"the application answered with status {self.status}"


def is_failure(status: int | None, border: int) -> bool:
    """
    Tell whether what a handler raised is a failure.

    Args:
        status: With which status the framework answers it by itself; None for what is no answer: that is always a failure.
        border: From which status on an answer is one.
    """
    return status is None or status >= border


def one_of(error: BaseException) -> BaseException:
    """
    Return the one error that finalizers have raised, where *error* holds nothing else; else *error*.

    It is what a framework's error handlers know: they are registered for what a commit raises, not for groups of that.
    """
    while isinstance(error, FinalizationErrors) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


@contextmanager
def going_nowhere(error: BaseException | None) -> Iterator[None]:
    """
    Raise what a scope's finalizers raise in the block, where *error*, with which the scope ends, has been answered already.

    A scope leaves it at the end of the chain of an exception that goes on by itself; this one does not.
    """
    before = _last(error)
    yield
    after = _last(error)
    if after is not None and after is not before:
        raise after


def _last(error: BaseException | None) -> BaseException | None:
    """Return the end of an exception's chain of contexts."""
    seen = set()
    while error is not None and error.__context__ is not None and id(error) not in seen:
        seen.add(id(error))
        error = error.__context__
    return error


# --- in which context -------------------------------------------------------------------------------


def running_context() -> contextvars.Context | None:
    """Return the context that the running task sets its variables in; None outside of a task."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return None
    if task is None:
        return None
    if hasattr(task, "get_context"):  # new in CPython 3.12
        return task.get_context()  # type: ignore[no-any-return]
    return next((one for one in gc.get_referents(task) if type(one) is contextvars.Context), None)


async def leave_in(context: contextvars.Context | None, scope: Scope, error: BaseException | None) -> None:
    """
    Leave *scope* with *error*, in *context*, where its values were made.

    There a finalizer can reset the tokens that its factory has; elsewhere, in the task of some middleware, it could not.
    """
    kind = None if error is None else type(error)
    if context is None or context is running_context():
        await scope.__aexit__(kind, error, None)
        return
    leaving: Any = scope.__aexit__(kind, error, None)
    await asyncio.get_running_loop().create_task(leaving, context=context)
