"""What happens where a block of overrides begins and ends?"""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any

from ..._declare.registry import Registry
from ..._lock import LOCK
from ..._names import place_of_caller
from ..._solve.overrides import read_overrides, refuse_unknown
from ...errors import ClosedError
from ..observe.watch import override_began, override_ended
from ..state.context import IN_FORCE
from ..state.parking import run_nowait
from .container import Container
from .overlay import InForce, Overlay

__all__ = ["Override"]


class Override:
    """``container.override(...)`` and ``container.overlay(...)``: what opens an overlay for a block."""

    __slots__ = (
        "_began", "_container", "_ending", "_everywhere", "_forces", "_in_force", "_new", "_overlay", "_overrides", "_running",
    )  # fmt: skip

    def __init__(self, container: Container, overrides: Any, *, in_force: bool, everywhere: bool, new: bool) -> None:
        # A container that is closed may be entered while the override is in force; what is closing will not be.
        container._check_overridable() if in_force else container._check_open()
        self._container, self._overrides = container, overrides
        self._in_force, self._everywhere, self._new = in_force, everywhere, new
        self._overlay: Overlay | None = None  #: what is seen here
        self._forces: list[InForce] = []
        self._ending: list[Overlay] = []  #: what is closed with the block
        self._running = False
        self._began = 0.0  #: when it came into force

    def _begin(self) -> Overlay:
        if self._overlay is not None:
            raise ClosedError("this block was entered before; make a new one")
        container = self._container
        registry = read_overrides(self._overrides, container._graph, place_of_caller())
        if not self._in_force:
            self._overlay = self._over(container, registry)
            self._running = True
            return self._overlay
        target = container
        if isinstance(container, Overlay) and container._force is not None:
            if container._force.ended:
                raise ClosedError("the block of this override has ended")
            target = container._force.target  # its handle stands for what it overrides
        try:
            with LOCK:
                here: Container = container._root_table.active() or container
                if self._everywhere:
                    # For everybody it lies on what everybody sees; here on what is in force here, if that is something else.
                    common = next((one.top for one in reversed(target._root_table.everywhere) if not one.ended), target)
                    self._lay(common, target, registry, everywhere=True)
                    if here is not common:
                        self._lay(here, target, registry, everywhere=False)
                else:
                    self._lay(here, target, registry, everywhere=False)
            overlay: Overlay = self._forces[-1].top
            self._overlay = overlay
            self._began = time.perf_counter()
            override_began(overlay._origin, registry.entries)
            self._running = True
        except BaseException:  # refused, or interrupted: there is no block that would end it
            self._lift()
            for force in self._forces:
                if force.answers is not None:
                    force.top._below._inner.discard(force.top)
            raise
        return overlay

    def _over(self, below: Container, registry: Registry) -> Overlay:
        below._check_overridable() if self._in_force else below._check_open()
        with LOCK:
            below._graph.refresh()
            if not self._new:
                refuse_unknown(below._graph, registry)
        return Overlay(below, registry, new=self._new, in_force=self._in_force)

    def _lay(self, below: Container, target: Container, registry: Registry, *, everywhere: bool) -> None:
        overlay = self._over(below, registry)
        force = InForce(target)
        self._forces.append(force)
        force.lay(overlay)
        if everywhere:
            target._root_table.everywhere.append(force)
        else:
            IN_FORCE.set((*_in_force_here(), force))

    def _lift(self) -> None:
        """Take what was laid out of force; what was laid upon it since stays in force without it."""
        with LOCK:
            for force in self._forces:
                force.end()
                _lay_anew(force.answers)
        # Not by a token: blocks need not nest, and may end in another context than they began in (fixtures).
        IN_FORCE.set(_in_force_here())

    def _end(self) -> list[Overlay]:
        """Return what is to be closed, in that order."""
        overlay = self._overlay
        if overlay is None or not self._running:
            return self._ending
        self._running = False
        if not self._in_force:
            self._ending = [overlay]
            return self._ending
        self._lift()
        override_ended(overlay._origin, overlay._graph.over[0].entries, time.perf_counter() - self._began)
        for force in self._forces:
            for one in force.held:
                heir = _heir_of(one)
                if heir is None:
                    self._ending.append(one)
                else:
                    heir.held.append(one)  # something that is in force may stand on it
            force.release()
        self._ending.sort(key=lambda one: one._number, reverse=True)
        return self._ending

    async def __aenter__(self) -> Overlay:
        return self._begin()

    async def __aexit__(self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None, /) -> None:
        await _close_all(self._end(), exc)

    def __enter__(self) -> Overlay:
        return self._begin()

    def __exit__(self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None, /) -> None:
        try:
            ending = self._end()
        except BaseException:  # an interrupt, and nobody else knows that the block is over
            if not all(force.ended for force in self._forces):
                self._lift()
            raise
        run_nowait(_close_all(ending, exc, waits=False), self)


def _lay_anew(gone: Overlay | None) -> None:
    """Have what was laid upon *gone* lie on what is below that; None was interrupted as it was laid.  The lock is held."""
    if gone is None:
        return
    pending = [(gone, gone._below)]
    while pending:
        lower, below = pending.pop()
        for kid in _in_force_upon(lower):
            try:
                upper = kid._laid_on(below, gone)
            except ClosedError:  # all of it ends with the container
                continue
            kid_force = kid._force
            assert kid_force is not None
            kid_force.lay(upper)
            pending.append((kid, upper))


def _in_force_here() -> tuple[Any, ...]:
    """Return what is in force in this context, without what has ended in another one."""
    return tuple(one for one in IN_FORCE.get() if not one.ended)


def _heir_of(overlay: Overlay) -> InForce | None:
    """Return an override in force that has, or once had, an overlay upon *overlay*, be it through others; None where none has."""
    pending = [overlay]
    for lower in pending:
        for kid in list(lower._inner):
            if isinstance(kid, Overlay) and kid._force is not None:
                if not kid._force.ended:
                    return kid._force
                pending.append(kid)
    return None


def _in_force_upon(overlay: Overlay) -> list[Overlay]:
    """Return the overlays directly upon *overlay* that answer for an override in force."""
    kids = [kid for kid in list(overlay._inner) if isinstance(kid, Overlay) and kid._force is not None]
    return [kid for kid in kids if kid._force is not None and not kid._force.ended and kid._force.top is kid]


async def _close_all(overlays: list[Overlay], error: BaseException | None, *, waits: bool = True) -> None:
    if overlays:
        try:
            await overlays[0]._close(error, waits=waits)
        finally:
            await _close_all(overlays[1:], error, waits=waits)
