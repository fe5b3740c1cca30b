"""How is a factory called that is not of the kind that it looks like?  Through a function of the kind that its type says."""

from __future__ import annotations

import types
from collections.abc import AsyncGenerator, Callable, Generator
from inspect import isawaitable
from typing import Any

from .._names import name_of, name_of_callable
from ..errors import FactoryError
from .returned import ASYNC, GENERATOR

__all__ = ["adapted"]

Call = Callable[..., Any]


def adapted(call: Call, kind: str, says: str) -> Call:
    """
    Return a function of *kind* that gives what comes of calling *call*.

    Args:
        says: The type that the factory says it returns, for texts; "" where it may as well return the value itself.
    """
    if kind is ASYNC:
        return awaiting(call)
    return opening(call, says) if kind is GENERATOR else opening_async(call, says)


def awaiting(call: Call) -> Call:
    """Return an async function that awaits what *call* returns; what needs no awaiting is handed over as it is."""

    async def awaited(*args: Any, **named: Any) -> Any:
        made = call(*args, **named)
        return await made if isawaitable(made) else made

    return awaited


def opening(call: Call, says: str) -> Call:
    """Return a function that gives a generator of what *call* opens: its own, or a context manager's."""

    def opened(*args: Any, **named: Any) -> Any:
        made = call(*args, **named)
        if type(made) is types.GeneratorType:
            return made
        if hasattr(type(made), "__enter__"):
            return _entered(made)
        if says:
            raise _other(call, says, made)
        return _given(made)

    return opened


def opening_async(call: Call, says: str) -> Call:
    """Return a function that gives an async generator of what *call* opens; as `opening`."""

    def opened(*args: Any, **named: Any) -> Any:
        made = call(*args, **named)
        if type(made) is types.AsyncGeneratorType:
            return made
        if hasattr(type(made), "__aenter__"):
            return _entered_async(made)
        if says:
            raise _other(call, says, made)
        return _given_async(made)

    return opened


def _entered(manager: Any) -> Generator[Any, None, None]:
    with manager as value:
        yield value


async def _entered_async(manager: Any) -> AsyncGenerator[Any, None]:
    async with manager as value:
        yield value


def _given(value: Any) -> Generator[Any, None, None]:
    yield value


async def _given_async(value: Any) -> AsyncGenerator[Any, None]:
    yield value


def _other(call: Call, says: str, made: object) -> FactoryError:
    return FactoryError(f"{name_of_callable(call)} says that it returns {says}, and returned a {name_of(type(made))}")
