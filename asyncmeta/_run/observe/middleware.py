"""How is a build run through what stands around it?  The first of the list is the outermost."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable, Sequence
from typing import Any, TypeAlias

from ..._names import name_of
from ...errors import AsyncDependencyError, DeclarationError
from .cause import Build

__all__ = ["Middleware", "Next", "checked_middleware", "is_async", "linked"]

Next: TypeAlias = Callable[[], Awaitable[Any]]
Middleware: TypeAlias = Callable[[Build, Callable[[], Any]], Any]


def checked_middleware(middleware: Any) -> tuple[Any, ...]:
    """
    Return ``middleware=`` as a tuple.

    Raises:
        DeclarationError: It is no list of callables.
    """
    if callable(middleware) or isinstance(middleware, str) or not isinstance(middleware, Iterable):
        raise DeclarationError("middleware is a list of callables, outermost first: middleware=[timed]")
    found = tuple(middleware)
    for one in found:
        if not callable(one):
            kind = name_of(type(one))
            raise DeclarationError(f"middleware is a callable that gets the build and what makes its value, not a {kind}")
    return found


def is_async(middleware: Any) -> bool:
    call = getattr(type(middleware), "__call__", None)  # noqa: B004  # looked at for what it is, not whether it is there
    return inspect.iscoroutinefunction(middleware) or inspect.iscoroutinefunction(call)


async def linked(
    middleware: Sequence[tuple[Any, bool]], build: Build, call: Callable[[], Coroutine[Any, Any, Any]], at_once: bool
) -> Any:
    """
    Make a value through *middleware*.

    Args:
        middleware: Outermost first, with whether each is asynchronous.
        call: Makes the value itself.
        at_once: It has nothing to wait for: sync middleware gets the value itself.
    """
    if at_once:
        call = _nowait(call, build)
    for one, awaits in reversed(middleware):
        if awaits:
            call, at_once = _async_link(one, build, call, at_once), False
        elif at_once:
            call = _sync_link(one, build, call)
        else:
            call = _passing_link(one, build, call)
    return call() if at_once else await call()


def _nowait(call: Callable[[], Coroutine[Any, Any, Any]], build: Build) -> Callable[[], Any]:
    """Return a call that gives the value itself, of one that gives a coroutine that has nothing to wait for."""

    def at_once() -> Any:
        work = call()
        try:
            work.send(None)
        except StopIteration as stop:
            return stop.value
        work.close()
        raise AsyncDependencyError(build.key, (), build.where)

    return at_once


def _async_link(one: Any, build: Build, call: Callable[[], Any], at_once: bool) -> Callable[[], Any]:
    if at_once:

        async def awaited() -> Any:
            return call()
    else:
        awaited = call
    return lambda: one(build, awaited)


def _sync_link(one: Any, build: Build, call: Callable[[], Any]) -> Callable[[], Any]:
    return lambda: one(build, call)


def _passing_link(one: Any, build: Build, call: Callable[[], Any]) -> Callable[[], Any]:
    async def awaited() -> Any:
        given = one(build, lambda: Pending(call))
        # Its own value is handed over as it is, also where it can be awaited.
        return await given if isinstance(given, Pending) or inspect.iscoroutine(given) else given

    return awaited


class Pending:
    """What sync middleware gets of a build that has to be awaited, and passes on."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call = call

    def __await__(self) -> Generator[Any, None, Any]:
        going: Generator[Any, None, Any] = self._call().__await__()
        return going

    def __repr__(self) -> str:
        return "<a value that has to be awaited: write the middleware with async def>"
