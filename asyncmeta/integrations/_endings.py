"""When has a request failed, and how does its scope end?  The same in every framework."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import sys
import types
from collections.abc import Coroutine, Generator, Iterator
from contextlib import contextmanager
from typing import Any, Final

from .. import FinalizationErrors, Scope

__all__ = [
    "ERROR_STATUS", "LEFT_WELL", "WELL", "Cancellation", "ErrorResponse", "closed_with", "going_nowhere", "is_failure",
    "leave_in", "leave_whole", "one_of", "running_context",
]  # fmt: skip

#: Seconds for which a cancellation waits for the end of what went well.
PATIENCE: Final = 3.0

#: From which status on an answer is a failure, where nobody says otherwise.
ERROR_STATUS: Final = 400

#: How websockets end well (RFC 6455): done, and going away.
WELL: Final = frozenset({1000, 1001})

#: So do those that are closed without a code, or not yet at all.
LEFT_WELL: Final = WELL | {1005, None}


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


def closed_with(socket: Any) -> list[int]:
    """Return the codes with which a websocket is closed from here on by its ``close``, of whatever framework."""
    codes: list[int] = []
    close = socket.close

    async def noted(code: int = 1000, *args: Any, **named: Any) -> Any:
        codes.append(code)
        return await close(code, *args, **named)

    socket.close = noted  # of this one
    return codes


# --- cancelled, and gone on ----------------------------------------------------------------------------


class Cancellation:
    """
    Tells whether the running task was cancelled since then, and something has swallowed that.

    A server cancels a request whose client has left, or that runs when the time to stop is over: an answer that is given all
    the same is one of half-done work.  A time limit inside takes back its own cancellation, and says nothing.
    """

    __slots__ = ("_before", "_task")

    def __init__(self) -> None:
        self._task = asyncio.current_task()
        self._before = 0 if self._task is None else self._task.cancelling()

    @property
    def swallowed(self) -> bool:
        """Whether it was, at this time."""
        return self._task is not None and self._task.cancelling() > self._before

    async def tell(self) -> None:
        """
        Let it go on, where all seems to have gone well.

        Raises:
            CancelledError: The task was cancelled.
        """
        if self.swallowed:
            await asyncio.sleep(0)  # a cancel scope of anyio says it again, and knows its own word only
            raise asyncio.CancelledError("this was cancelled, and something swallowed that: what was begun in it has failed")


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
    leaving = scope.__aexit__(None if error is None else type(error), error, None)
    await (leaving if _is_here(context) else asyncio.get_running_loop().create_task(leaving, context=context))


def _is_here(context: contextvars.Context | None) -> bool:
    return context is None or context is running_context()


# --- not cut short ----------------------------------------------------------------------------------


async def leave_whole(context: contextvars.Context | None, scope: Scope) -> asyncio.CancelledError | None:
    """Leave *scope*, in which all went well, as `leave_in` does; see `_rest_of`."""
    outside = _innermost()
    if _is_here(context):
        ending: Coroutine[Any, Any, Any] = scope.__aexit__(None, None, None)
        elsewhere = None
    else:
        # The end of a loop cancels all its tasks: that one has to keep it from the end as well.
        elsewhere = asyncio.get_running_loop().create_task(leave_whole(None, scope), context=context)
        ending = _result_of(elsewhere)
    try:
        awaited = ending.send(None)
    except StopIteration:
        return None
    met = await _rest_of(ending, awaited, outside)
    return met if met is not None or elsewhere is None else elsewhere.result()


async def _result_of(task: asyncio.Task[Any]) -> None:
    await task


@types.coroutine
def _rest_of(
    ending: Coroutine[Any, Any, None], awaited: asyncio.Future[Any] | None, outside: Any
) -> Generator[Any, Any, asyncio.CancelledError | None]:
    """
    Go on with *ending*, the end of a scope in which all went well, and keep a cancellation from it.

    Who is cancelled in the middle of a commit cannot know whether it was kept, and so cannot answer.  The work goes on in
    the running task, as a finalizer expects that; what it awaits is not cancelled with the task, as long as this is the first
    cancellation, for `PATIENCE` seconds.  Then, or at a second one, the cancellation reaches it.

    Args:
        ending: A coroutine that has begun.
        awaited: What it awaits, as it was yielded; None for a turn of the loop.
        outside: The cancel scope of anyio in which it began, if any.

    Returns:
        The cancellation that came meanwhile, to be raised when the answer is given; None if none came.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    before = task.cancelling()  # a time limit inside of it takes back its own cancellation: that one is not to be kept
    met: asyncio.CancelledError | None = None
    until = 0.0  #: on the loop's clock: how long it waits
    try:
        while True:
            now = False  #: it waits no longer
            try:
                if awaited is None:
                    yield
                else:
                    awaited._asyncio_future_blocking = False  # it is waited for by us, and by no task yet
                    yield from asyncio.wait((awaited,), timeout=None if met is None else until - loop.time()).__await__()
                    now = not awaited.done()
            except asyncio.CancelledError as error:
                if _is_of_anyio(error) and _is_own(error, outside):
                    if awaited is not None and not awaited.done():
                        awaited.cancel(*error.args)
                    else:
                        awaited = ending.throw(error)
                    continue
                if met is None:
                    met, until = error, loop.time() + PATIENCE
                    if awaited is not None:
                        continue
                elif _is_of_anyio(error) and _is_of_anyio(met) and loop.time() < until:  # it says its words again at every turn
                    if awaited is not None and not awaited.done():
                        continue
                else:
                    now = True
            if now:
                assert met is not None  # only then is there an end to the wait
                yield from _cancelled(ending, awaited, met)
                break
            awaited = ending.send(None)
    except StopIteration:
        pass
    except Exception as error:
        if met is not None and task.cancelling() > before:
            raise met from error
        raise
    return met if task.cancelling() > before else None


def _is_of_anyio(error: asyncio.CancelledError) -> bool:
    """Tell whether a cancel scope of anyio says it."""
    return str(error).startswith("Cancelled ")


def _is_own(error: asyncio.CancelledError, outside: Any) -> bool:
    """Tell whether the scope of anyio that says it was entered inside of *outside*: a finalizer's own, whom it shall reach."""
    scope = _innermost()
    while scope is not None and scope is not outside:
        if f"cancel scope {id(scope):x}" in str(error):
            return True
        scope = getattr(scope, "_parent_scope", None)
    return False


def _innermost() -> Any:
    """Return the innermost cancel scope of anyio that the running task is in; None where that cannot be told."""
    states = getattr(sys.modules.get("anyio._backends._asyncio"), "_task_states", None)  # there is no public way
    state = None if states is None else states.get(asyncio.current_task())
    return getattr(state, "cancel_scope", None)


def _cancelled(
    ending: Coroutine[Any, Any, None], awaited: asyncio.Future[Any] | None, met: asyncio.CancelledError
) -> Generator[Any, Any, None]:
    """
    Cancel what *ending* awaits, as a task does that is cancelled, and go on with it as if nobody were in between.

    It is said in the words of *met*: by these a cancel scope of anyio knows its own, and takes no other back.
    """
    if awaited is not None:
        awaited._asyncio_future_blocking = True
        awaited.cancel(*met.args)
    try:
        if awaited is None:
            awaited = ending.throw(asyncio.CancelledError(*met.args))
        while True:
            try:
                yield awaited
            except BaseException as error:
                awaited = ending.throw(error)
            else:
                awaited = ending.send(None)
    except StopIteration:
        return
