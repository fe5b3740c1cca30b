"""Click commands with a container around each of them; they may be coroutines."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any, Final

import click

from .. import Container, From, ScopeError, injected
from ._handlers import Handler, handler as _handler
from ._marks import collecting, innermost, marked
from .commands import Decorator, Run, Source, container_from, noted, of_command, run_in_context

__all__ = ["From", "container_of", "inject", "setup", "with_container"]

#: What to do where nobody fills a mark.
CURE: Final = "put @inject of asyncmeta.integrations.click among the command's decorators"


def with_container(source: Source | None = None, *, run: Run = asyncio.run) -> Decorator:
    """
    Make a function a command's body that runs in a container: its marked parameters are filled, Click passes the others.

    Stands below Click's own decorators, or anywhere among them.  The container opens when the command runs, not for ``--help``,
    and closes when it is over, in one event loop where the function is a coroutine function and without a loop where not.
    One scope, ambient for injected functions, lasts as long as the command.  ``click.Context`` is given to it where the
    application declares it as context.

    Finalizers see what the command raises, also ``click.Abort``, ``click.UsageError`` and an exit with another code than 0;
    ``ctx.exit()`` and ``sys.exit()`` are no failures.  What they raise themselves fails the command.

    Args:
        source: The application's class, what makes a container, or a container.  A Container that is the object of Click's
            context (``ctx.obj``, or a parent's) comes before it: a group makes one from its options, a test passes
            ``CliRunner().invoke(command, obj=Container(App, overrides=...))``.
        run: What runs a coroutine to its end.

    .. versionadded:: 0.1.0
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        filled = _around(function) if hasattr(function, "__wrapped__") else injected(function)

        @functools.wraps(filled)
        def command(*args: Any, **named: Any) -> Any:
            call = functools.partial(filled, *args, **named)
            return run_in_context(call, source, click.get_current_context(), click.Context, click.exceptions.Exit, run)

        noted(command, source)
        return command

    return decorate


def _around(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function below decorators, which may pass some parameters by themselves, with its marked ones filled."""
    if not marked(function):
        return function
    values = collecting(function)
    if inspect.iscoroutinefunction(innermost(function)):

        @functools.wraps(function)
        async def afilled(*args: Any, **named: Any) -> Any:
            return await function(*args, **{**await values(), **named})

        return _hidden(afilled, function)

    @functools.wraps(function)
    def filled(*args: Any, **named: Any) -> Any:
        return function(*args, **{**values(), **named})

    return _hidden(filled, function)


def _hidden(filled: Any, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return *filled* with a signature that shows no mark."""
    filled.__signature__ = inspect.signature(injected(function))
    return filled  # type: ignore[no-any-return]  # it is, but functions take any attribute only as Any


#: `with_container` for commands whose container is that of the program: ``setup(command, container)``.
inject: Final = with_container()


def setup(app: click.Command, container: Source) -> click.Command:
    """
    Let every command below *app* that is decorated with `inject` run in *container*.

    It is the object of Click's context, where commands find it; a test may pass another one:
    ``CliRunner().invoke(command, obj=Container(App, overrides=...))``.

    Args:
        app: The command or group that is the program.
        container: A container, or an application's class or what else makes one.

    Returns:
        The command.
    """
    app.context_settings = {**app.context_settings, "obj": container_from(container)}
    return app


def container_of(app: click.Command) -> Container:
    """
    Return the container that the commands of *app* run in: where these make one each, a new one like that.

    Raises:
        ScopeError: They have none.
    """
    sources = [app.context_settings.get("obj"), *(of_command(one.function) for one in handlers_of(app))]
    source = next((one for one in sources if one is not None), None)
    if source is None:
        raise ScopeError("this command has no container: setup(command, container) gives it one")
    return container_from(source)


def handlers_of(app: click.Command) -> Iterator[Handler]:
    """Yield the functions of a command and of those below it."""
    if app.callback is not None:
        yield _handler(app.callback, f"command {app.name}")
    for command in getattr(app, "commands", {}).values():
        yield from handlers_of(command)
