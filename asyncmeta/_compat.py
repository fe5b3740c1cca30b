"""Which Python is this?  The only room that asks."""

from __future__ import annotations

import asyncio
import contextvars
import sys
from collections.abc import Coroutine
from typing import Any

import typing_extensions as te

__all__ = ["ProtocolMeta", "annotations_of", "get_running_loop", "new_task", "type_parameters_of"]

# The metaclass of Protocol, so that a service can also be an ABC, a Protocol's implementation or a generic.
ProtocolMeta: Any = type(te.Protocol)

#: The running loop or None, without raising: `asyncio.get_running_loop` costs an exception where there is none.
get_running_loop = asyncio._get_running_loop


if sys.version_info >= (3, 14):

    def annotations_of(thing: Any) -> dict[str, Any]:
        """Return the annotations as written; names that are not defined yet come as forward references."""
        return dict(te.get_annotations(thing, format=te.Format.FORWARDREF))

else:

    def annotations_of(thing: Any) -> dict[str, Any]:
        """Return the annotations as written, in the object's own dictionary (never a base class's)."""
        if isinstance(thing, type):
            found = thing.__dict__.get("__annotations__")  # noqa: RUF063  # as written: nothing is evaluated here
        else:
            found = getattr(thing, "__annotations__", None)
        return found if isinstance(found, dict) else {}


def type_parameters_of(thing: Any) -> tuple[Any, ...]:
    """Return the PEP 695 type parameters of a function or class; none before 3.12."""
    found = getattr(thing, "__type_params__", ())
    return found if isinstance(found, tuple) else ()


def new_task(
    work: Coroutine[Any, Any, Any], loop: asyncio.AbstractEventLoop, context: contextvars.Context, name: str
) -> asyncio.Task[Any]:
    """
    Return a task that starts at the loop's next turn, never at once.

    The loop's task factory is left out on purpose: an eager one would run user code in the middle of our bookkeeping.
    """
    task: asyncio.Task[Any] = asyncio.Task(work, loop=loop, name=name, context=context)
    # A container that is dropped says so itself, as a ResourceWarning; asyncio need not add a second line for each task.
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    return task
