"""Typer commands with a container around each of them; they may be coroutines."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any, Final

import typer

from .. import Container, From, ScopeError, injected
from ._handlers import Handler, handler as _handler
from .commands import Decorator, Run, Source, container_from, noted, of_command, run_in_context

__all__ = ["From", "container_of", "inject", "setup", "with_container"]

#: What to do where nobody fills a mark.
CURE: Final = "put @inject of asyncmeta.integrations.typer below the command's decorator"

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

        noted(command, source)
        if own is None:
            asked = inspect.Parameter(_CONTEXT, inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
            shown = signature.replace(parameters=[*signature.parameters.values(), asked])
            command.__signature__ = shown  # type: ignore[attr-defined]  # functions take any attribute
            command.__annotations__ = {**filled.__annotations__, _CONTEXT: typer.Context}
        return command

    return decorate


#: `with_container` for commands whose container is that of the application: ``setup(app, container)``.
inject: Final = with_container()


def setup(app: typer.Typer, container: Source) -> typer.Typer:
    """
    Let every command of *app* that is decorated with `inject` run in *container*.

    It is the object of Typer's context, where commands find it; a test may pass another one:
    ``CliRunner().invoke(app, obj=Container(App, overrides=...))``.

    Args:
        app: The application.
        container: A container, or an application's class or what else makes one.

    Returns:
        The application.
    """
    settings = dict(app.info.context_settings or {})
    app.info.context_settings = {**settings, "obj": container_from(container)}
    return app


def container_of(app: typer.Typer) -> Container:
    """
    Return the container that the commands of *app* run in: where these make one each, a new one like that.

    Raises:
        ScopeError: They have none.
    """
    found = dict(app.info.context_settings or {}).get("obj")
    sources = [found, *(of_command(one.function) for one in handlers_of(app))]
    source = next((one for one in sources if one is not None), None)
    if source is None:
        raise ScopeError("this application has no container: setup(app, container) gives it one")
    return container_from(source)


def handlers_of(app: typer.Typer) -> Iterator[Handler]:
    """Yield the commands of *app* and its groups, and their callbacks."""
    for command in (app.registered_callback, *app.registered_commands):
        function = getattr(command, "callback", None)
        if function is not None:
            yield _handler(function, f"command {getattr(command, 'name', None) or function.__name__}")
    for group in app.registered_groups:
        if group.typer_instance is not None:
            yield from handlers_of(group.typer_instance)


def _is_context(annotation: Any) -> bool:
    return isinstance(annotation, type) and annotation is not object and issubclass(typer.Context, annotation)
