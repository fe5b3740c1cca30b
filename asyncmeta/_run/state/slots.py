"""What stands in the slots of a scope: marks where no value is, what has to be torn down, and who waits?"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import AsyncGeneratorType, GeneratorType, MethodType
from typing import Any, Final, TypeAlias, cast

from ...errors import ClosedError

__all__ = ["CLOSED", "CLOSING", "FLIGHT", "GONE", "UNSET", "Finalizer", "Gone", "Held", "ThreadWaiters", "Waitable"]


class _Mark:
    """A state of a scope's slot that is no value."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


UNSET: Final = _Mark("UNSET")  #: not built
FLIGHT: Final = _Mark("FLIGHT")  #: being built

#: Added to a scope's count of gets in flight when it begins to close.
CLOSING: Final = 1 << 40

#: The table of roots of a closed scope: every look-up misses, and the cold path refuses.
CLOSED: Final[dict[Any, Any]] = {}


class Gone:
    """Stands where a closed scope's values were."""

    __slots__ = ()

    def __getitem__(self, slot: int) -> object:
        raise ClosedError("the scope is closed")

    def __setitem__(self, slot: int, value: object) -> None:
        raise ClosedError("the scope is closed")

    def check(self, name: str) -> None:
        """Tell who ends its block as if it had succeeded, where what was begun in it is undone; *name* is the scope's."""


GONE: Final = cast("list[Any]", Gone())


class Held:
    """Something torn down by whoever set it up: a task that holds a generator, a thread."""

    __slots__ = ()

    #: its teardown may run in any task, also beside a failing build that has not been told yet
    anywhere = False

    def needs_await(self) -> bool:
        """Tell whether its teardown needs a loop."""
        return True

    def holds(self) -> bool:
        """Tell whether there is anything to tear down by now."""
        return True

    async def leave(self, error: BaseException | None) -> None:
        """Tear it down; *error* is what the body raised."""

    def leave_nowait(self, error: BaseException | None) -> None:
        """Tear it down without a loop, where `needs_await` says that this can be."""


#: A generator, an on_shutdown method, or something held.
Finalizer: TypeAlias = "AsyncGeneratorType[Any, Any] | GeneratorType[Any, Any, Any] | MethodType | Held"


class ThreadWaiters(dict[int, list[Callable[[Any], None]]]):
    """
    Who waits in a scope that was entered with a plain ``with``; by them it is known.

    Any number of threads may use it, each value is claimed under the lock, and nothing in it is awaited: a build that
    waits for its loop would be waited for by blocking that loop.
    """

    __slots__ = ("thread",)

    def __init__(self, waiters: dict[int, list[Callable[[Any], None]]] | None) -> None:
        super().__init__(waiters or ())
        self.thread = threading.get_ident()  #: which has entered it


class Waitable:
    """Something at which tasks and threads wait until something is over, see `parking`."""

    __slots__ = ("_waiters",)

    _waiters: dict[int, list[Callable[[Any], None]]] | None  #: who waits, by what for: a slot, or what else there is
