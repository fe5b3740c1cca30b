"""Click commands with a container around each of them; they may be coroutines."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from typing import Any

import click

from .. import injected
from .commands import Decorator, Run, Source, run_in_context

__all__ = ["with_container"]


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
        filled = injected(function)

        @functools.wraps(filled)
        def command(*args: Any, **named: Any) -> Any:
            call = functools.partial(filled, *args, **named)
            return run_in_context(call, source, click.get_current_context(), click.Context, click.exceptions.Exit, run)

        return command

    return decorate
