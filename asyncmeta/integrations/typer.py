"""Typer commands with a container around each of them; they may be coroutines."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable
from typing import Any

import typer

from .. import injected
from .commands import Decorator, Run, Source, run_in_context

__all__ = ["with_container"]

_CONTEXT = "asyncmeta_context"  #: the parameter by which Typer hands over its context, where the function has none


def with_container(source: Source | None = None, *, run: Run = asyncio.run) -> Decorator:
    """
    Make a function a command that runs in a container: its marked parameters are filled, Typer sees and passes the others.

    Stands below ``@app.command()``.  The container opens when the command runs, not for ``--help``, and closes when it is over,
    in one event loop where the function is a coroutine function and without a loop where not.  One scope, ambient for
    injected functions, lasts as long as the command.  ``typer.Context`` is given to it where the application declares it
    as context.

    Finalizers see what the command raises, also ``typer.Abort``, ``typer.BadParameter`` and ``typer.Exit`` with another code
    than 0; ``typer.Exit()`` and ``sys.exit()`` are no failures.  What they raise themselves fails the command.

    Args:
        source: The application's class, what makes a container, or a container.  A Container that is the object of Typer's
            context (``ctx.obj``, or a parent's) comes before it: a callback makes one from its options, a test passes
            ``CliRunner().invoke(app, obj=Container(App, overrides=...))``.
        run: What runs a coroutine to its end.

    .. versionadded:: 0.1.0
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        filled = injected(function)
        signature = inspect.signature(filled)
        own = next((name for name, one in signature.parameters.items() if _is_context(one.annotation)), None)

        @functools.wraps(filled)
        def command(**named: Any) -> Any:
            context = named[own] if own is not None else named.pop(_CONTEXT)
            return run_in_context(functools.partial(filled, **named), source, context, typer.Context, typer.Exit, run)

        if own is None:
            asked = inspect.Parameter(_CONTEXT, inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
            shown = signature.replace(parameters=[*signature.parameters.values(), asked])
            command.__signature__ = shown  # type: ignore[attr-defined]  # functions take any attribute
            command.__annotations__ = {**filled.__annotations__, _CONTEXT: typer.Context}
        return command

    return decorate


def _is_context(annotation: Any) -> bool:
    return isinstance(annotation, type) and annotation is not object and issubclass(typer.Context, annotation)
