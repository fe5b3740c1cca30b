"""What happens where a block of overrides begins and ends?"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any

from ..._declare.entries import value_registration
from ..._declare.keys import token_key
from ..._declare.providers import read_providers
from ..._declare.registrations import Registration
from ..._declare.registry import Registry
from ..._names import Place, close_to, is_a, name_of, place_of_caller
from ..._solve.checks import grouped, missing_error
from ..._solve.graph import Graph
from ..._solve.nodes import CONTAINER, SCOPE, Ambiguous
from ...errors import ClosedError, DeclarationError, GraphError
from ..observe.watch import override_began, override_ended
from ..state.context import IN_FORCE
from ..state.waiting import LOCK
from .container import Container
from .in_force import InForce
from .overlay import Overlay

__all__ = ["Override"]

_PROVIDER_KEYS = frozenset({"provide", "value", "use_value", "use_class", "use_factory", "use_existing", "deps", "inject", "multi"})


def layer_of(overrides: Any, graph: Graph) -> Registry:
    """
    Return *overrides* as a layer above *graph*, whose keys they have.

    Raises:
        DeclarationError: They are neither a mapping nor a provider list, or plainly a single provider.
        MissingDependencyError: Nothing provides a key.
    """
    registry = _read(overrides, graph)
    _refuse_unknown(graph, registry)
    return registry


def _read(overrides: Any, graph: Graph) -> Registry:
    """Return *overrides* as a layer: a mapping gives values, a provider list gives factories."""

    def multi(key: Any) -> bool:
        try:
            return isinstance(graph.find(None, key), tuple)
        except Ambiguous:
            return False

    place = place_of_caller()
    registry = Registry(None, place=place)
    if isinstance(overrides, Mapping):
        if "provide" in overrides and all(isinstance(key, str) for key in overrides) and _PROVIDER_KEYS.issuperset(overrides):
            raise DeclarationError("these overrides are one provider; write a list: [{...}]", str(place))
        for token, value in overrides.items():
            found = _values(token, value, place, multi)
            if not found:
                registry.add_none(token_key(token))
            for registration in found:
                registry.add(registration, replace=True)
        return registry
    if isinstance(overrides, Sequence) and not isinstance(overrides, str | bytes):
        registry.add_all(read_providers(overrides, place))
        return registry
    raise DeclarationError(
        f"overrides are a mapping from tokens to values, or a provider list; not a {name_of(type(overrides))}", str(place)
    )


def _values(token: Any, value: object, place: Place, multi: Any) -> list[Registration]:
    if not multi(token_key(token)):
        return [value_registration(token, value, place)]
    if not isinstance(value, list | tuple):
        raise DeclarationError(
            f"{name_of(token)} is registered with multi=True: override it with a list, which replaces the whole", str(place)
        )
    found = [value_registration(token, one, place) for one in value]
    for registration in found:
        registration.multi = True
    return found


def _refuse_unknown(graph: Graph, registry: Registry) -> None:
    """Refuse keys that nothing below provides."""
    errors: list[GraphError] = []
    for key in registry.entries:
        try:
            known = graph.find(None, key) is not None
        except Ambiguous:
            known = True
        known = known or any(key in node.registration.keys for node in graph.nodes.values())
        if not known:
            error = missing_error(graph, key)
            near = close_to(name_of(key), error.close_to)
            hint = "It cannot be overridden; say new=True where it is meant to be new"
            meant = _stands_for(graph, key)
            if meant is not None:
                near, hint = (), f"Nothing asks for it; to put it in the place of {name_of(meant)} write [{_provider(meant, key)}]"
            errors.append(type(error)(error.key, error.path, error.where, near if meant else near or error.close_to, hint))
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise grouped(graph, errors)


def _stands_for(graph: Graph, key: Any) -> Hashable | None:
    """Return the registered key that a class which nothing registers is made to stand for: the nearest of its bases."""
    if not is_a(key, type):
        return None
    for base in key.__mro__[1:-1]:
        with suppress(Ambiguous):
            found = graph.find(None, base)
            if found is not None and (isinstance(found, tuple) or found.kind not in (CONTAINER, SCOPE)):
                return base
    return None


def _provider(key: Hashable, cls: Any) -> str:
    return f'{{"provide": {name_of(key)}, "use_class": {name_of(cls)}}}'


class Override:
    """``container.override(...)`` and ``container.overlay(...)``: what opens an overlay for a block."""

    __slots__ = ("_container", "_ending", "_everywhere", "_forces", "_in_force", "_new", "_overlay", "_overrides", "_running")

    def __init__(self, container: Container, overrides: Any, *, in_force: bool, everywhere: bool, new: bool) -> None:
        # A container that is closed may be entered while the override is in force; what is closing will not be.
        container._check_overridable() if in_force else container._check_open()
        self._container, self._overrides = container, overrides
        self._in_force, self._everywhere, self._new = in_force, everywhere, new
        self._overlay: Overlay | None = None  #: what is seen here
        self._forces: list[InForce] = []
        self._ending: list[Overlay] = []  #: what is closed with the block
        self._running = False

    def _begin(self) -> Overlay:
        if self._overlay is not None:
            raise ClosedError("this block was entered before; make a new one")
        container = self._container
        registry = _read(self._overrides, container._graph)
        if not self._in_force:
            self._overlay = self._over(container, registry)
            self._running = True
            return self._overlay
        target = container
        if isinstance(container, Overlay) and container._force is not None:
            if container._force.ended:
                raise ClosedError("the block of this override has ended")
            target = container._force.target  # its handle stands for what it overrides
        with LOCK:
            here = container._active() or container
            if self._everywhere:
                # For everybody it lies on what everybody sees; here on what is in force here, if that is something else.
                common = next((one.top for one in reversed(target._everywhere) if not one.ended), target)
                self._lay(common, target, registry, everywhere=True)
                if here is not common:
                    self._lay(here, target, registry, everywhere=False)
            else:
                self._lay(here, target, registry, everywhere=False)
        self._running = True
        overlay: Overlay = self._forces[-1].top
        self._overlay = overlay
        override_began(overlay._origin, registry.entries)
        return overlay

    def _over(self, below: Container, registry: Registry) -> Overlay:
        below._check_overridable() if self._in_force else below._check_open()
        below._graph.refresh()
        if not self._new:
            _refuse_unknown(below._graph, registry)
        return Overlay(below, registry, new=self._new)

    def _lay(self, below: Container, target: Container, registry: Registry, *, everywhere: bool) -> None:
        try:
            overlay = self._over(below, registry)
        except BaseException:
            self._lift()
            for other in self._forces:
                other.top._below._children.discard(other.top)
            raise
        force = InForce(target)
        force.lay(overlay)
        self._forces.append(force)
        if everywhere:
            target._everywhere.append(force)
        else:
            IN_FORCE.set((*_in_force_here(), force))

    def _lift(self) -> None:
        """Take what was laid out of force; what was laid upon it since stays in force without it."""
        with LOCK:
            for force in self._forces:
                force.end()
                gone = force.top
                pending = [(gone, gone._below)]
                while pending:
                    lower, below = pending.pop()
                    for kid in _in_force_upon(lower):
                        try:
                            upper = kid._laid_on(below, gone)
                        except ClosedError:  # all of it ends with the container
                            continue
                        kid._force.lay(upper)  # type: ignore[union-attr]  # it is in force
                        pending.append((kid, upper))
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
        override_ended(overlay._origin, overlay._graph.over[0].entries)
        for force in self._forces:
            for one in force.held:
                heir = _heir_of(one)
                if heir is None:
                    self._ending.append(one)
                else:
                    heir.held.append(one)  # something that is in force may stand on it
            # A task that was started in the block has it in its context for as long as it lives, and shall keep no fake.
            force.held, force.top = [], None
        self._ending.sort(key=lambda one: one._number, reverse=True)
        return self._ending

    async def __aenter__(self) -> Overlay:
        return self._begin()

    async def __aexit__(self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None, /) -> None:
        await _close_all(self._end(), exc)

    def __enter__(self) -> Overlay:
        return self._begin()

    def __exit__(self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None, /) -> None:
        _close_all_nowait(self._end(), exc)


def _in_force_here() -> tuple[Any, ...]:
    """Return what is in force in this context, without what has ended in another one."""
    return tuple(one for one in IN_FORCE.get() if not one.ended)


def _heir_of(overlay: Overlay) -> InForce | None:
    """Return an override in force that has, or once had, an overlay upon *overlay*, be it through others; None where none has."""
    pending = [overlay]
    for lower in pending:
        for kid in lower._children:
            if isinstance(kid, Overlay) and kid._force is not None:
                if not kid._force.ended:
                    return kid._force
                pending.append(kid)
    return None


def _in_force_upon(overlay: Overlay) -> list[Overlay]:
    """Return the overlays directly upon *overlay* that answer for an override in force."""
    kids = [kid for kid in overlay._children if isinstance(kid, Overlay) and kid._force is not None]
    return [kid for kid in kids if not kid._force.ended and kid._force.top is kid]  # type: ignore[union-attr]  # see above


async def _close_all(overlays: list[Overlay], error: BaseException | None) -> None:
    if overlays:
        try:
            await overlays[0]._close(error)
        finally:
            await _close_all(overlays[1:], error)


def _close_all_nowait(overlays: list[Overlay], error: BaseException | None) -> None:
    if overlays:
        try:
            overlays[0]._close_nowait(error)
        finally:
            _close_all_nowait(overlays[1:], error)
