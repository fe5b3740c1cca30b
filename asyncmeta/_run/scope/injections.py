"""What does a scope, or a container, have to do with injected functions?  It makes them, and knows those that have code for it."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, ParamSpec, Self, TypeVar

from ..state.context import Ambient
from ..teardown.scope_exit import CLOSED, Closing

if TYPE_CHECKING:
    from ..compiled.injected import InjectedFunction

__all__ = ["Injecting", "Injections"]

P = ParamSpec("P")
R = TypeVar("R")


class Injections:
    """The injected functions that have code of their own for one container."""

    __slots__ = ("_hot",)

    def __init__(self) -> None:
        self._hot: weakref.WeakSet[InjectedFunction] = weakref.WeakSet()

    def add(self, wrapper: InjectedFunction) -> None:
        self._hot.add(wrapper)

    def cool(self) -> None:
        """Let every injected function look again."""
        for wrapper in list(self._hot):
            wrapper.cool()
        self._hot.clear()


class Injecting(Closing):
    """The part of a scope that fills functions."""

    __slots__ = ()

    #: no scope can be opened in it: a fact of the classes of such scopes
    _innermost = False

    def inject(self, fn: Callable[P, R], /) -> Callable[P, R]:
        """
        Return *fn* with its marked parameters, ``From[T]`` or ``Annotated[T, Inject(...)]``, filled at each call.

        The caller passes the others, by position or name; a marked one that is passed by hand wins.  A container opens a
        scope for each call where something scoped is needed, and closes it when the call, or the generator, ends; a scope
        gives its own values.  What is registered or overridden later counts from the next call on.

        Args:
            fn: A function of any kind, sync or async, also a generator; a method, a class.  A sync one gets what needs no
                awaiting, see `get_nowait`.

        Raises:
            GraphErrors: What it asks for does not fit together; all problems at once.
            ClosedError: This container or scope is closed.

        .. versionadded:: 0.1.0
        """
        from .injection import inject  # late

        self._check_open()
        return inject(fn, self)  # type: ignore[no-any-return]

    def ambient(self) -> AbstractContextManager[Self, None]:
        """
        Return a context manager inside of which injected functions are filled by this scope, or container.

        It counts for the task that enters it and for the tasks and threads that are started inside with its context;
        blocks may lie inside of each other.  It closes nothing.  A container's ``async with`` does this by itself; a
        scope's does not, for it may be open in one task for many others.

        .. versionadded:: 0.1.0
        """
        if self._roots is CLOSED:
            self._check_open()
        return Ambient(self)
