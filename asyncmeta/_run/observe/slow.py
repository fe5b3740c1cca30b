"""Which build takes too long, and who waits for it?"""

from __future__ import annotations

import logging
import time
from typing import Any, Final

from ..._compat import get_running_loop
from ..._names import arrow
from ...errors import DeclarationError
from .cause import Build

__all__ = ["DEBUG_FACTOR", "Clock", "checked_slow"]

#: In debug mode a build is slow after so many times the loop's ``slow_callback_duration``, which is for what does not
#: await: 5 seconds, unless the loop is told otherwise.
DEBUG_FACTOR: Final = 50

_LOGGER: Final = logging.getLogger("asyncmeta")


def checked_slow(slow: Any) -> float | None:
    """
    Return ``slow=`` as seconds.

    Raises:
        DeclarationError: It is no number above 0.
    """
    if slow is None:
        return None
    if not isinstance(slow, int | float) or isinstance(slow, bool) or not slow > 0:
        raise DeclarationError("slow is a number of seconds above 0, or None")
    return float(slow)


class Clock:
    """Warns once of a build that takes too long: while it still does, or at its end where it has blocked the loop."""

    __slots__ = ("began", "build", "limit", "timer", "warned")

    def __init__(self, build: Build, began: float, limit: float) -> None:
        self.build, self.began, self.limit = build, began, limit
        self.warned = False
        loop = get_running_loop()
        self.timer = None if loop is None else loop.call_later(limit, self._warn, "is still being built after")

    def stop(self) -> None:
        """The build is over."""
        if self.timer is not None:
            self.timer.cancel()
        if not self.warned and time.perf_counter() - self.began >= self.limit:
            self._warn("took")

    def _warn(self, how: str) -> None:
        self.warned = True
        way = [self.build]
        while way[-1].parent is not None:
            way.append(way[-1].parent)
        steps = [f"{one.key} ({one.where})" for one in reversed(way)]
        seconds = time.perf_counter() - self.began
        text = f"{steps[-1]} {how} {seconds:.2f} s (slow: {self.limit:g} s)"
        if len(steps) > 1:
            text += f"; the path that waits: {arrow(steps)}"
        # The text is whole, so that names with a percent sign are no formats.
        _LOGGER.warning("%s", text, extra={"key": self.build.key, "seconds": seconds, "path": [one.key for one in reversed(way)]})
