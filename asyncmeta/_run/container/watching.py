"""How does a container let others see what it does?"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from ..._declare.registry import layers_of
from ..._solve.plan import Plan
from ..observe.cause import Causes
from ..state.waiting import LOCK
from .closing import OPEN, Ending

if TYPE_CHECKING:
    from ...report import HealthReport
    from ..observe.watch import Observation, Observer, Watch

__all__ = ["Watching"]


class Watching(Ending):
    """The part of a container that is watched: by observers, by middleware, by a clock, by probes."""

    __slots__ = ()

    _hooks: ClassVar[Mapping[str, Any]]

    def _watch_of(self, cls: type, middleware: Any, slow: Any) -> Watch | None:
        """Return what is to be run and timed around builds of the application *cls*; None where that is nothing."""
        given = [middleware, *(layer.middleware for layer in layers_of(cls))]
        if slow is None and all(one == () for one in given):
            return None
        from ..observe.middleware import checked_middleware  # late
        from ..observe.slow import checked_slow
        from ..observe.watch import Watch

        around = tuple(one for some in given for one in checked_middleware(some))
        seconds = checked_slow(slow)
        return Watch(self, around, seconds) if around or seconds is not None else None

    def _asked_by(self, plan: Plan) -> Causes | None:
        """Return what asks for what in *plan*; None where nobody wants to know."""
        return None if self._watch is None else Causes.by(plan)

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
        from ..observe.watch import Watch  # late

        return (self._watcher or Watch(self, (), None)).observe(observer)

    def _heed(self, watch: Watch) -> None:
        """Take what is to be told, run and timed around builds, or that nothing is any more; for overlays, too."""
        with LOCK:
            self._watcher = watch
            self._watch = None if watch.idle else watch
            if watch.observed != self._observed:
                self._observed = watch.observed
                if self._state == OPEN:
                    self._new_tables()
            overlays = [kid for kid in self._children if isinstance(kid, Watching)]
        for overlay in overlays:
            overlay._heed(watch)

    def _heed_debug(self, loop: asyncio.AbstractEventLoop) -> None:
        debug, watch = loop.get_debug(), self._watcher
        if debug or (watch is not None and watch.debug is not None):
            from ..observe.slow import DEBUG_FACTOR
            from ..observe.watch import Watch  # late

            watch = watch or Watch(self, (), None)
            watch.debug = loop.slow_callback_duration * DEBUG_FACTOR if debug else None
            self._heed(watch)

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
        from .health import health  # late

        return await health(self, timeout)
