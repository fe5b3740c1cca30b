"""What is the running code in the middle of?  Told by the frames that it runs with, so that no get pays for it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any, Final

from .awaited import frames_of_waiters

__all__ = ["BUILDS", "LEAVES", "MAKES", "Role"]


class Role:
    """
    One thing that code of ours does for somebody: the registry of the codes that do it.

    Each room that does it adds its codes; generated code, of which there is much, brings in its namespace what tells it.
    """

    __slots__ = ("_readers", "name")

    def __init__(self, name: str) -> None:
        self.name = name  #: under which generated code has its reader
        self._readers: dict[int, Callable[[FrameType], Any]] = {}  #: by the id of a code, which its module keeps

    def add(self, *codes: CodeType, reader: Callable[[FrameType], Any]) -> None:
        """Let frames of *codes* be read by *reader*: it gives for whom, or what, one does it; None where it does not just now."""
        for code in codes:
            self._readers[id(code)] = reader

    def add_methods(self, *methods: Any) -> None:
        """Let *methods* do it for the scope that they are called on, or for the owner of a task that they are called on."""
        self.add(*(method.__code__ for method in methods), reader=_whose)

    def above(self, *, through_tasks: bool = False) -> list[Any]:
        """
        Return for whom, or what, the running code does it, by plain calls and awaits; the innermost first.

        The call that asks, where it does it itself, does not count.

        Args:
            through_tasks: Look also at the tasks that wait for this one, and so on.
        """
        readers, name = self._readers, self.name
        frame: FrameType | None = sys._getframe(1)
        while frame is not None and id(frame.f_code) in readers:
            frame = frame.f_back
        frames: list[FrameType] = []
        while frame is not None:
            frames.append(frame)
            frame = frame.f_back
        if through_tasks:
            frames.extend(frames_of_waiters())
        found: list[Any] = []
        for frame in frames:  # in one piece: a call for each would be most of what a first get costs
            reader = readers.get(id(frame.f_code)) or frame.f_globals.get(name)
            told = None if reader is None else reader(frame)
            if told is not None:
                found.append(told)
        return found


def _whose(frame: FrameType) -> Any:
    here = frame.f_locals.get("self")
    return getattr(here, "owner", here)


#: Builds something: a pair of the thing, such as (scope, slot), and its name.
BUILDS: Final = Role("__asyncmeta_builds__")

#: Carries out a get, or fills a call: for a scope, or a container.
MAKES: Final = Role("__asyncmeta_makes_for__")

#: Tears down: a scope, or what was made for a call in a container.
LEAVES: Final = Role("__asyncmeta_leaves_for__")
