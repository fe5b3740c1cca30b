"""How does a thread have something done in another one's loop?  It waits until that has ended in every way."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import functools
import inspect
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from types import FunctionType
from typing import Any, Final, NamedTuple

from .. import ClosedError, Container, injected
from .sources import told

__all__ = ["Here", "Run", "as_it_is", "filled", "in_scope", "in_thread"]


#: What is told to who waits for something that the end of its container has met.
_ENDED: Final = "the worker container was closed while this ran, and what was begun in its scope has failed"


class Run:
    """Work that one thread has done in another one's loop, waiting until it has ended in every way."""

    def __init__(self, loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any], container: Container) -> None:
        self._loop, self._container = loop, container
        self._cancelled = False  #: by who waits
        self._task: asyncio.Task[Any] | None = None
        self.outcome: concurrent.futures.Future[Any] = concurrent.futures.Future()
        try:
            loop.call_soon_threadsafe(self._begin, work)
        except RuntimeError:
            work.close()
            raise ClosedError(
                "the loop that the worker container was opened on has ended, and it was not closed before: put `async with "
                "worker:` around what runs there; open() begins anew"
            ) from None

    def _begin(self, work: Coroutine[Any, Any, Any]) -> None:
        self._task = self._loop.create_task(_guarded(work))
        self._task.add_done_callback(self._settle)

    def _settle(self, task: asyncio.Task[Any]) -> None:
        if task.cancelled():
            ended = self._container.closed and not self._cancelled
            self.outcome.set_exception(ClosedError(_ENDED) if ended else concurrent.futures.CancelledError())
        elif (error := task.exception()) is not None:
            self.outcome.set_exception(error)
        else:
            self.outcome.set_result(task.result())

    def cancel(self) -> None:
        """Cancel it; it ends when its finalizers have run."""
        self._cancelled = True
        with suppress(RuntimeError):  # the loop is closed, and so it has ended
            self._loop.call_soon_threadsafe(lambda: self._task is not None and self._task.cancel())

    def wait(self) -> Any:
        """Return what it gave; interrupted, cancel it, and wait until it has ended."""
        try:
            return _value(self.outcome.result())
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        """Cancel it where it goes on, and wait for its end."""
        if not self.outcome.done():
            self.cancel()
            concurrent.futures.wait([self.outcome])

    async def awaited(self) -> Any:
        """Return what it gave; cancelled, cancel it, and wait until it has ended."""
        ended = asyncio.ensure_future(asyncio.wrap_future(self.outcome))
        cancelled = await _end_of(ended, self.cancel)
        if cancelled is not None:
            ended.exception()
            raise cancelled
        return _value(ended.result())


class Here:
    """A plain function that runs in this thread, while its scope is open in the container's loop."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._called: concurrent.futures.Future[tuple[contextvars.Context, Any, Any]] = concurrent.futures.Future()
        self._answer: asyncio.Future[BaseException | None]
        self._value: Any = None
        self._told = False  #: whether the scope has heard how the function ended

    def begin(self, begin: Callable[[Callable[..., Any]], Run]) -> Any:
        """
        Call the function when its values are there, and return what it gives when its scope is closed.

        Args:
            begin: Begins a run of what is filled and called in the loop.
        """
        token = _HERE.set(self)
        try:
            run = begin(filled(handed_over, self._function))
        finally:
            _HERE.reset(token)
        return self.work(run)

    async def take(self, args: Any, named: Any) -> Any:
        """Have the function called in its thread; in the loop, in the scope."""
        self._answer = asyncio.get_running_loop().create_future()
        self._called.set_result((contextvars.copy_context(), args, named))
        error = await self._answer
        if error is not None:
            raise error
        return await _whole(self._value)

    def work(self, run: Run) -> Any:
        """Call the function when its values are there, and return what it gives when its scope is closed."""
        try:
            concurrent.futures.wait([self._called, run.outcome], return_when=concurrent.futures.FIRST_COMPLETED)
            if not run.outcome.done():
                context, args, named = self._called.result()
                error: BaseException | None = None
                try:
                    self._value = context.run(self._function, *args, **named)
                except BaseException as met:
                    error = met
                with suppress(RuntimeError):  # the loop is closed, and the scope with its container
                    self._answer.get_loop().call_soon_threadsafe(self._tell, error)
                if error is not None:
                    concurrent.futures.wait([run.outcome])
                    if not self._told:  # its own error is the one to end with
                        raise error
        except BaseException:
            run.end()
            raise
        return run.wait()

    def _tell(self, error: BaseException | None) -> None:
        if not self._answer.done():
            self._told = True
            self._answer.set_result(error)


class _Ends(NamedTuple):
    """What would end the loop's thread, and shall end the one that waits."""

    error: BaseException


async def _guarded(work: Coroutine[Any, Any, Any]) -> Any:
    try:
        return await work
    except (SystemExit, KeyboardInterrupt) as error:
        return _Ends(error)


def _value(outcome: Any) -> Any:
    if isinstance(outcome, _Ends):
        raise outcome.error
    return outcome


async def in_scope(
    container: Container,
    function: Callable[..., Any],
    args: Sequence[Any],
    named: Mapping[str, Any] | None,
    context: Mapping[Any, object] | None,
    level: str | None,
) -> Any:
    """
    Await *function*, which was `filled`, in a scope of its own.

    Raises:
        CancelledError: The task was cancelled, also where *function* swallows that: whoever waited has gone.
    """
    given = {token: value for token, value in (context or {}).items() if container.takes(token, level=level)}
    task = asyncio.current_task()
    before = 0 if task is None else task.cancelling()
    async with container.scope(given or None, level=level) as scope:
        with scope.ambient():
            answer = await function(*args, **(named or {}))
        if task is not None and task.cancelling() > before:  # a time limit inside takes back its own
            await asyncio.sleep(0)  # a cancel scope of anyio says it again, and knows its own word only
            raise asyncio.CancelledError("this was cancelled, and something swallowed that: what was begun in it has failed")
        return answer


# --- how functions are filled ----------------------------------------------------------------------

Shape = Callable[[Callable[..., Any]], Callable[..., Any]]

#: The plain function whose call is on its way through the loop; the loop's task has it from its caller.
_HERE: Final[contextvars.ContextVar[Here]] = contextvars.ContextVar("asyncmeta_worker_here")

_KEPT: Final[dict[tuple[Shape, Callable[..., Any]], Callable[..., Any]]] = {}
_MOST: Final = 256


def filled(shape: Shape, function: Callable[..., Any]) -> Callable[..., Any]:
    """
    Return the async function that *shape* makes of *function*, its marked parameters filled; kept for the next call.

    Raises:
        TypeError: It is a generator function.
    """
    found = _KEPT.get((shape, function))
    if found is None:
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(f"{told(function)} is a generator, and would run when its scope has ended: let it return a list")
        found = injected(shape(function))
        # What an engine unpickles for each call may hold anything: nothing that has a closure is held here.
        if isinstance(function, FunctionType) and function.__closure__ is None:
            if len(_KEPT) >= _MOST:
                _KEPT.pop(next(iter(_KEPT)), None)
            _KEPT[shape, function] = found
    return found


def as_it_is(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return *function*, which is async."""
    return function


def handed_over(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return an async function that looks like *function* and hands over each call to the thread that waits for it."""

    @functools.wraps(function)
    async def hand_over(*args: Any, **named: Any) -> Any:
        return await _HERE.get().take(args, named)

    return hand_over


def in_thread(function: Callable[..., Any]) -> Callable[..., Any]:
    """
    Return an async function that looks like *function* and runs it in a thread, with the caller's context variables.

    Cancelled, it waits until the thread has ended all the same, since that uses what the end of its scope closes: it then
    raises what *function* raised, or else the cancellation.

    .. versionadded:: 0.1.0
    """

    @functools.wraps(function)
    async def run(*args: Any, **named: Any) -> Any:
        return await _whole(await _to_its_end(function, *args, **named))

    return run


async def _to_its_end(function: Callable[..., Any], /, *args: Any, **named: Any) -> Any:
    """Call *function* in a thread, and return when it has ended: see `in_thread`."""
    call = functools.partial(contextvars.copy_context().run, function, *args, **named)
    running = asyncio.get_running_loop().run_in_executor(None, call)  # no task: the end of a loop cancels those
    cancelled = await _end_of(running)
    value = running.result()
    if cancelled is not None:
        raise cancelled
    return value


async def _end_of(
    running: asyncio.Future[Any], cancel: Callable[[], object] = lambda: None
) -> asyncio.CancelledError | None:
    """Wait until *running* is done, also when cancelled, which calls *cancel*; return the last cancellation, if there was one."""
    cancelled: asyncio.CancelledError | None = None
    while not running.done():
        try:
            with _told_once(cancelled):
                await asyncio.wait([running])
        except asyncio.CancelledError as met:
            cancelled = met
            cancel()
    return cancelled


def _told_once(cancelled: asyncio.CancelledError | None) -> AbstractContextManager[Any]:
    """Keep away what a cancel scope of anyio would say again at every turn of the loop, where it has *cancelled* already."""
    anyio = sys.modules.get("anyio")
    return nullcontext() if anyio is None or cancelled is None else anyio.CancelScope(shield=True)


async def _whole(value: Any) -> Any:
    """Return *value*, awaited where it is a coroutine: a plain function may stand around one that is async."""
    return await value if inspect.iscoroutine(value) else value
