"""A callable that gives one value: as quick as a function that returns a constant, and never out of date."""

from __future__ import annotations

import types
import weakref
from collections.abc import Callable, Coroutine
from typing import Any

from .waiting import LOCK

__all__ = ["Getters"]

# Two codes over one namespace.  Swapping ``__code__`` is one store, so that no caller sees a half.
find: Any = None
value: Any = None


async def _cold() -> Any:
    return await find()


async def _hot() -> Any:
    try:
        return value
    except NameError:  # called before something changed, and run after it
        return await find()


class Getters:
    """The getters of one container."""

    __slots__ = ("_cooled", "_made")

    def __init__(self) -> None:
        self._cooled = 0  #: how often they have been told to look again
        self._made: weakref.WeakSet[types.FunctionType] = weakref.WeakSet()

    def add(self, fetch: Callable[[], Coroutine[Any, Any, tuple[Any, bool]]]) -> Callable[[], Coroutine[Any, Any, Any]]:
        """
        Return a getter.

        Args:
            fetch: Gives the value, and whether it stays the same until `cool` is called.
        """
        names: dict[str, Any] = {}
        getter = types.FunctionType(_cold.__code__, names, "getter")
        made = weakref.ref(getter)

        async def find() -> Any:
            cooled = self._cooled
            found, stays = await fetch()
            getter = made()
            if stays and getter is not None:
                with LOCK:
                    if cooled == self._cooled:
                        names["value"] = found
                        getter.__code__ = _hot.__code__
            return found

        names["find"] = find
        self._made.add(getter)
        return getter

    def cool(self) -> None:
        """Let every getter look again."""
        self._cooled += 1
        for getter in list(self._made):
            getter.__code__ = _cold.__code__
            getter.__globals__.pop("value", None)
