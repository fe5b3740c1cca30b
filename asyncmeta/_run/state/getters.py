"""A callable that gives one value: as quick as a function that returns a constant, and never out of date."""

from __future__ import annotations

import types
import weakref
from collections.abc import Callable, Coroutine
from typing import Any

__all__ = ["Getters"]

# Two codes over one namespace.  Swapping ``__code__`` is one store, so that no caller sees a half.
find: Any = None
value: Any = None


async def _cold() -> Any:
    return await find()


async def _hot() -> Any:
    return value


class Getters:
    """The getters of one container."""

    __slots__ = ("_made",)

    def __init__(self) -> None:
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
            found, stays = await fetch()
            getter = made()
            if stays and getter is not None:
                names["value"] = found
                getter.__code__ = _hot.__code__
            return found

        names["find"] = find
        self._made.add(getter)
        return getter

    def cool(self) -> None:
        """Let every getter look again."""
        for getter in list(self._made):
            getter.__code__ = _cold.__code__
            getter.__globals__.pop("value", None)
