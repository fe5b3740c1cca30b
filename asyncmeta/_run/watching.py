"""How does a container let others see what it does?"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, ClassVar

from .._declare.registry import layers_of
from .._solve.plan import Plan
from ..report import HealthReport
from .asked import Asked
from .cells import LOCK
from .ending import OPEN, Ending
from .health import health
from .middleware import checked_middleware
from .observing import Observation, Observer, Watch
from .slow import DEBUG_FACTOR, checked_slow

__all__ = ["Watching"]


class Watching(Ending):
    """The part of a container that is watched: by observers, by middleware, by a clock, by probes."""

    __slots__ = ()

    hooks: ClassVar[Mapping[str, Any]]

    def watch_of(self, cls: type, middleware: Any, slow: Any) -> Watch | None:
        """Return what is to be run and timed around builds of the application *cls*; None where that is nothing."""
        around = checked_middleware(middleware)
        for layer in layers_of(cls):
            around += checked_middleware(layer.middleware)
        seconds = checked_slow(slow)
        return Watch(self, around, seconds) if around or seconds is not None else None

    def asked_by(self, plan: Plan) -> Asked | None:
        """Return what asks for what in *plan*; None where nobody wants to know."""
        return None if self.watch is None else Asked.by(plan)

    def observe(self, observer: Observer, /) -> Observation:
        """
        Tell *observer* what happens from now on: builds, teardowns, scopes, overrides.

        While anybody observes, nothing is built by generated code, so that building, not reading, is slower.

        Args:
            observer: An instance of a subclass of `Observer`.

        Returns:
            What ends it: ``remove()``, or the end of a ``with`` block.

        Raises:
            DeclarationError: *observer* is none.
        """
        return (self.watcher or Watch(self, (), None)).observe(observer)

    def heed(self, watch: Watch) -> None:
        """Take what is to be told, run and timed around builds, or that nothing is any more; for overlays, too."""
        with LOCK:
            self.watcher = watch
            self.watch = None if watch.idle else watch
            if watch.observed != self.observed:
                self.observed = watch.observed
                if self.state == OPEN:
                    self.new_tables()
            overlays = [kid for kid in self.kids if isinstance(kid, Watching)]
        for overlay in overlays:
            overlay.heed(watch)

    def heed_debug(self, loop: asyncio.AbstractEventLoop) -> None:
        seconds = loop.slow_callback_duration * DEBUG_FACTOR if loop.get_debug() else None
        watch = self.watcher
        if seconds is not None or (watch is not None and watch.debug is not None):
            watch = watch or Watch(self, (), None)
            watch.debug = seconds
            self.heed(watch)

    async def health(self, *, timeout: float = 5.0) -> HealthReport:
        """
        Ask every built singleton that says how (``health=``) whether it is well, side by side; build nothing.

        Args:
            timeout: Seconds that each probe may take.

        Returns:
            How each did; what is not built yet is "not started".

        Raises:
            ClosedError: This container is closed.
            WrongLoopError: Another living loop owns what would be asked.
        """
        return await health(self, timeout)
