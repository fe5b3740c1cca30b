"""A function that is a whole program: a container and a scope around it; for any library that reads command lines."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final, ParamSpec, Protocol, TypeVar, overload

from .. import AsyncDependencyError, AsyncServiceBase, Container, ScopeError
from ._handlers import Handler, check

__all__ = ["Decorator", "Run", "Source", "container_from", "ended_well", "noted", "of_command", "run_command", "run_in_context"]

#: Whence a container comes: it is there, or one is made of an application class, or by a function.
Source = Container | type[AsyncServiceBase] | Callable[[], Container]
Run = Callable[[Coroutine[Any, Any, Any]], Any]

P = ParamSpec("P")
R = TypeVar("R")


class Decorator(Protocol):
    """Makes a function a command: one that is called plainly, whatever the function is."""

    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> Callable[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> Callable[P, R]: ...


def container_from(source: Source | None) -> Container:
    """
    Return the container of a command, or of a server that starts.

    Raises:
        ScopeError: There is no source.
        GraphErrors: One had to be made, and its application is not sound.
    """
    if source is None:
        raise ScopeError("this command has no container: name its application, or make a Container the object of its context")
    if isinstance(source, Container):
        return source
    if isinstance(source, type):
        return Container(source)
    return source()


_SOURCE: Final = "asyncmeta_source"


def noted(command: Any, source: Source | None) -> None:
    """Note on a command whence its container comes."""
    setattr(command, _SOURCE, source)


def of_command(command: Any) -> Source | None:
    """Return whence the container of a command comes; decorators may stand around it."""
    while command is not None:
        if getattr(command, _SOURCE, None) is not None:
            return getattr(command, _SOURCE)  # type: ignore[no-any-return]  # set above
        command = getattr(command, "__wrapped__", None)
    return None


def ended_well(error: BaseException) -> bool:
    """Tell whether *error* ends a program without a failure: ``sys.exit()``."""
    return isinstance(error, SystemExit) and error.code in (None, 0)


def run_in_context(function: functools.partial[Any], source: Source | None, context: Any, kind: type, exits: type, run: Run) -> Any:
    """
    Run a command of Click's kind as `run_command` does, in the container that is the object of its context, or in *source*'s.

    Args:
        function: The command; takes no more arguments.
        source: Whence a container comes where the context has none.
        context: The library's context of the command.
        kind: Its type, as which the scope is given it where the application declares that.
        exits: The library's exception for an exit with a code; one with code 0 is no failure.
        run: What runs a coroutine to its end.

    Raises:
        GraphErrors: What the command asks for cannot be given; all problems at once, before anything is opened.
    """

    def well(error: BaseException) -> bool:
        return ended_well(error) or (isinstance(error, exits) and getattr(error, "exit_code", None) == 0)

    container = context.find_object(Container) or container_from(source)
    check(container, [Handler(function.func, f"command {context.info_name}")], "", f"the command {context.info_name}")
    given = {kind: context} if container.takes(kind) else None
    return run_command(function, container, context=given, well=well, run=run)


def run_command(
    function: Callable[[], Any],
    container: Container,
    *,
    context: Mapping[Any, object] | None = None,
    well: Callable[[BaseException], bool] = ended_well,
    run: Run = asyncio.run,
) -> Any:
    """
    Open *container*, call *function* in a scope of it, and close both; return what it returns.

    A coroutine function runs in an event loop of its own, with the container; any other one without a loop, so that what it
    needs must need no awaiting.  The scope is ambient for injected functions.

    Args:
        function: The command; takes no more arguments.
        container: The container, not entered.
        context: Context values for the scope.
        well: Tells which exceptions are no failure: finalizers do not see those.
        run: What runs a coroutine to its end, such as ``uvloop.run``.

    Raises:
        AsyncDependencyError: What a plain function needs has to be awaited.
        TypeError: A plain function returned a coroutine.
        RuntimeError: A coroutine function is called where a loop is running.
        BaseException: What *function* raised, after all is closed.

    .. versionadded:: 0.1.0
    """
    ended: BaseException | None = None
    if inspect.iscoroutinefunction(function):
        _refuse_running_loop()
        return run(_run(function, container, context, well))
    with container, container.scope(context) as scope, scope.ambient():
        try:
            answer = function()
            if inspect.iscoroutine(answer):
                answer.close()
                raise TypeError(
                    "a plain function has returned a coroutine, which nobody would await: let the decorator "
                    "that hides its `async def` stand outside of the one that makes a command of it"
                )
            return answer
        except BaseException as error:
            if isinstance(error, AsyncDependencyError):
                error.add_note("The command is a plain function: write `async def`, and it is run in a loop")
            if not well(error):
                raise
            ended = error
    raise ended


def _refuse_running_loop() -> None:
    """Refuse to begin a loop where one runs: Python's own words for that say nothing of commands."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RuntimeError(
        "this command is a coroutine function and runs in an event loop of its own, but one is running here already: call it in a "
        "thread, `await asyncio.to_thread(...)`, or let what is below the command be a function of its own and await that"
    )


async def _run(
    function: Callable[[], Any], container: Container, context: Mapping[Any, object] | None, well: Callable[[BaseException], bool]
) -> Any:
    ended: BaseException | None = None
    async with container, container.scope(context) as scope:
        with scope.ambient():
            try:
                return await function()
            except BaseException as error:
                if not well(error):
                    raise
                ended = error
    raise ended
