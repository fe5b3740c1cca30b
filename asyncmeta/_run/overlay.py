"""A container that shares everything with another one except what its overrides reach."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from .._declare.entries import value_registration
from .._declare.keys import token_key
from .._declare.providers import read_providers
from .._declare.registry import Registration, Registry
from .._names import Place, close_to, name_of, place_of_caller
from .._solve.checks import check_nodes, grouped, missing_error
from .._solve.graph import Graph
from .._solve.nodes import Ambiguous, Node
from .._solve.overlaid import OverlaidGraph
from .._solve.plan import Unit, unit_of
from ..errors import ClosedError, DeclarationError, GraphError
from .cells import LOCK, UNSET
from .container import Container
from .ending import IS_CLOSED
from .finalizers import Held, as_list, needs_await, push
from .observing import override_began, override_ended
from .overriding import IN_FORCE, NONE
from .scope import Scope

__all__ = ["Overlay", "Overriding", "layer_of", "overrides_registry"]

_PROVIDER_KEYS = frozenset({"provide", "value", "use_value", "use_class", "use_factory", "use_existing", "deps", "inject", "multi"})


def layer_of(overrides: Any, graph: Graph) -> Registry:
    """
    Return *overrides* as a layer above *graph*, whose keys they have.

    Raises:
        DeclarationError: They are neither a mapping nor a provider list, or plainly a single provider.
        MissingDependencyError: Nothing provides a key.
    """
    registry = overrides_registry(overrides, graph)
    _refuse_unknown(graph, registry)
    return registry


def overrides_registry(overrides: Any, graph: Graph) -> Registry:
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
            for registration in _values(token, value, place, multi):
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


class Overlay(Container):
    """
    A container over another one.  What its overrides reach is built here and closed at its end; the rest is the other's.
    """

    __slots__ = ("below", "ended", "fetched", "in_force", "origin", "views")

    origin: Container  #: the container that all of this is about
    below: Container  #: what it shares with: the base, or another overlay
    ended: bool
    in_force: bool  #: an override, seen without a handle
    views: dict[Any, OverlayScope]

    def __init__(self, below: Container, overrides: Any, *, new: bool) -> None:
        below.check_open()
        below.graph.refresh()
        registry = overrides_registry(overrides, below.graph)
        if not new:
            _refuse_unknown(below.graph, registry)
        graph = OverlaidGraph(below.graph, registry, new=new)
        self.origin, self.below = below.origin if isinstance(below, Overlay) else below, below
        self.ended = self.in_force = False
        self.views = {}
        self.fetched: dict[int, tuple[Any, Any]] = {}  #: what held attributes answer here: the handle, and the value
        self._begin(below.root_class, None, graph, check=False)
        self.name = f"an overlay of {self.origin.name}"
        self.loop = below.loop
        self.p = below
        if below.watcher is not None:
            self.heed(below.watcher)
        errors = check_nodes(graph, self._overridden_nodes())
        if errors:
            raise grouped(graph, errors)
        below.kids.add(self)

    def _overridden_nodes(self) -> list[Node]:
        """Return what is overridden, and everything known that is affected by it."""
        graph = self.graph
        assert isinstance(graph, OverlaidGraph)
        found: list[Node] = []
        for entry in graph.over[0].entries.values():
            for registration in entry if isinstance(entry, list) else (entry,):
                found.append(graph.node(registration, None, len(graph.layers) - 1))
        for node in graph.affected():
            if node.rank >= 0 and node.kind not in ("context", "container", "scope"):
                found.append(
                    graph.node(node.registration, None if node.view is None else node.owner, node.rank, node.key, node.binding)
                )
        return found

    interpreted = True

    def _upgrade(self, scope: Any) -> None:
        """A view has all its slots when it needs them; see `OverlayScope.home`."""

    # --- whose is what ---

    def owns(self, node: Node) -> bool:
        """Tell whether *node* belongs here and not below."""
        return self.graph.owns(node)  # type: ignore[attr-defined, no-any-return]  # an overlay's graph

    def has(self, node: Node) -> bool:
        return node in self.built or (not self.owns(node) and self.below.has(node))

    def has_all(self, nodes: Any) -> bool:
        return all(map(self.has, nodes))

    def built_value(self, node: Node) -> Any:
        try:
            return self.built[node]
        except KeyError:
            return self.below.built_value(node)

    def holder(self, node: Node) -> Container:
        return self if self.owns(node) else self.below.holder(node)

    def unit(self, node: Node) -> Unit:
        return unit_of(self.graph, node)

    def clean_context(self, context: contextvars.Context) -> None:
        # What is built here may look for its like without a handle.
        context.run(IN_FORCE.set, (self,) if self.in_force else (NONE,))

    def building_context(self) -> contextvars.Context | None:
        context = contextvars.copy_context()
        self.clean_context(context)
        return context

    def check_loop(self, loop: asyncio.AbstractEventLoop | None, node: Node) -> None:
        self.origin.check_loop(loop, node)
        self.loop = self.origin.loop

    def check_open(self) -> None:
        super().check_open()
        self.below.check_open()

    def active(self) -> Any:
        return None  # asked by its handle, it answers itself

    def affects(self, scope: Any, token: Any) -> bool:
        """Tell whether what *token* leads to in *scope* is another one here."""
        return self.root_at(scope._level, token).touches(self.owns)

    async def attribute(self, ready: Any) -> Any:
        """Return what an attribute that a held instance has fetched already answers here; nothing of it is left there."""
        kept = self.fetched.get(id(ready))
        if kept is None:
            kept = self.fetched[id(ready)] = (ready, await self.view_of(ready.scope).get(ready.key))
        return kept[1]

    # --- scopes ---

    def open_scope(self, around: Any, context: Any, level: str | None) -> Any:
        base_around = around.below if isinstance(around, OverlayScope) else self.below
        inner = self.below.open_scope(base_around, context, level)
        view = self.view_of(inner)
        view.closes_below = True
        return view

    def view_of(self, scope: Any) -> Any:
        """Return this overlay's view of a scope of what lies below, made on first use."""
        if scope is self.origin or scope is self.below:
            return self
        if self.below is not self.origin and not isinstance(scope, OverlayScope):
            scope = self.below.view_of(scope)  # type: ignore[attr-defined]  # an overlay, too
        view = self.views.get(scope)
        if view is None:
            view = self.views[scope] = OverlayScope(self, self.view_of(scope.p), scope)
        return view

    def request(self, token: Any, context: Mapping[Any, object] | None = None, /) -> Any:
        self.check_open()
        return self.opening(self, token, context)

    # --- ending ---

    def _open(self) -> None:
        super()._open()
        self.scope = self._first_scope  # type: ignore[method-assign]  # never a class: see open_scope

    async def _close(self, error: BaseException | None) -> None:
        self.ended = True
        await super()._close(error)
        self._leave()

    def _close_sync(self, error: BaseException | None) -> None:
        self.ended = True
        super()._close_sync(error)
        self._leave()

    def _leave(self) -> None:
        if self.state == IS_CLOSED:
            self.views.clear()
            self.below.kids.discard(self)
            self.graph.containers.discard(self)


class OverlayScope(Scope):
    """An overlay's view of a scope: the affected values are its own, the others are the scope's."""

    __slots__ = ("below", "closes_below", "end", "level_")

    warns_open = False
    interpreted = True

    def __init__(self, overlay: Overlay, around: Any, below: Any) -> None:
        self.p = around
        self.below = below
        self.level_ = below._level
        self.closes_below = False
        self.r = {}
        self.v = [UNSET] * overlay.graph.slots[below._level]
        self.x = self.w = self.kids = None
        self.n = 0
        # Whichever ends first, the scope or the overlay, closes what is here.
        self.end = ViewEnd(self)
        push(below, self.end)
        self.p.kids = self.p.kids if self.p.kids is not None else set()

    @property
    def _level(self) -> int:  # type: ignore[override]  # of scopes a fact of their class
        return self.level_  # type: ignore[no-any-return]

    @property
    def by_threads(self) -> bool:  # type: ignore[override]  # of scopes a fact of their class
        return self.below.by_threads  # type: ignore[no-any-return]

    def __enter__(self) -> Self:
        self.check_open()
        self.below.__enter__()
        return self

    def home(self, node: Node) -> Any:
        view = self.at(node.level)
        overlay = self.container
        if overlay.owns(node):
            return with_slots(view, overlay.graph, node)
        return with_slots(view.below.home(node), overlay.graph.graph_of(node), node)

    def _enter_flight(self) -> None:
        # What it builds of the scope's own counts there, too.
        super()._enter_flight()
        self.below._enter_flight()

    def _leave_flight(self) -> None:
        super()._leave_flight()
        self._end_first()
        self.below._leave_flight()

    def _end_first(self) -> None:
        """Let this be closed before everything that the scope holds by now: what was just built here may stand on it."""
        with LOCK:
            there = self.below.x
            if type(there) is list and there[-1] is not self.end and self.end in there:
                there.remove(self.end)
                there.append(self.end)

    async def __aexit__(self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None, /) -> None:
        await self._close(exc)

    async def _close(self, error: BaseException | None) -> None:
        if self.closes_below:
            self.closes_below = False
            await self.below._close(error)  # which closes this in its turn
            return
        await super()._close(error)

    def _close_sync(self, error: BaseException | None) -> None:
        if self.closes_below:
            self.closes_below = False
            self.below._close_sync(error)
            return
        super()._close_sync(error)

    def _gone(self) -> None:
        super()._gone()
        self.container.views.pop(self.below, None)


def with_slots(scope: Any, graph: Graph, node: Node) -> Any:
    """Return *scope*, with a slot for the value of *node*: which may be of later than the scope itself."""
    values = scope.v
    if type(values) is list and len(values) <= node.slot:
        with LOCK:
            values.extend([UNSET] * (graph.slots[node.level] - len(values)))
    return scope


class ViewEnd(Held):
    """Closes an overlay's view when the scope below ends first."""

    __slots__ = ("view",)

    def __init__(self, view: OverlayScope) -> None:
        self.view = view

    @property
    def sync(self) -> bool:  # type: ignore[override]  # known only when it is asked
        return needs_await(as_list(self.view.x)) is None

    async def leave(self, error: BaseException | None) -> None:
        await Scope._close(self.view, error)

    def leave_sync(self, error: BaseException | None) -> None:
        Scope._close_sync(self.view, error)


class Overriding:
    """``container.override(...)`` and ``container.overlay(...)``: what opens an overlay for a block."""

    __slots__ = ("_container", "_everywhere", "_in_force", "_new", "_overlays", "_overrides", "_reset", "_running")

    def __init__(self, container: Container, overrides: Any, *, in_force: bool, everywhere: bool, new: bool) -> None:
        container.check_open()
        self._container, self._overrides = container, overrides
        self._in_force, self._everywhere, self._new = in_force, everywhere, new
        self._overlays: list[Overlay] = []  #: the last one is what is seen here
        self._running = False
        self._reset: contextvars.Token[tuple[Any, ...]] | None = None

    def _begin(self) -> Overlay:
        if self._overlays:
            raise ClosedError("this block was entered before; make a new one")
        container = self._container
        if not self._in_force:
            return self._over(container)
        origin: Container = container.origin if isinstance(container, Overlay) else container
        here = container.active() or container
        if self._everywhere:
            # For everybody it lies on what everybody sees; here on what is in force here, if that is something else.
            common = next((one for one in reversed(container.everywhere) if not one.ended), container)
            overlay = self._over(common)
            if here is not common:
                self._put_in_force(self._over(here))
            origin.everywhere.append(overlay)
        else:
            self._put_in_force(self._over(here))
        self._running = True
        origin.begin_override()
        override_began(origin, self._keys())
        return self._overlays[-1]

    def _over(self, below: Container) -> Overlay:
        overlay = Overlay(below, self._overrides, new=self._new)
        overlay.in_force = self._in_force
        self._overlays.append(overlay)
        return overlay

    def _put_in_force(self, overlay: Overlay) -> None:
        self._reset = IN_FORCE.set((*IN_FORCE.get(), overlay))

    def _keys(self) -> Iterable[Any]:
        return self._overlays[0].graph.over[0].entries

    def _end(self) -> None:
        if not self._running:
            return
        self._running = False
        origin = self._overlays[0].origin
        for overlay in self._overlays:
            overlay.ended = True
            if overlay in origin.everywhere:
                origin.everywhere.remove(overlay)
        if self._reset is not None:
            try:
                IN_FORCE.reset(self._reset)
            except ValueError:  # the block ends in another context than it began in (fixtures): the mark `ended` does the work
                IN_FORCE.set(tuple(one for one in IN_FORCE.get() if one not in self._overlays))
        origin.end_override()
        override_ended(origin, self._keys())

    async def __aenter__(self) -> Overlay:
        return self._begin()

    async def __aexit__(self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None, /) -> None:
        self._end()
        first, *more = self._overlays
        try:
            for overlay in more:
                await overlay._close(exc)
        finally:
            await first._close(exc)

    def __enter__(self) -> Overlay:
        return self._begin()

    def __exit__(self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None, /) -> None:
        self._end()
        first, *more = self._overlays
        try:
            for overlay in more:
                overlay._close_sync(exc)
        finally:
            first._close_sync(exc)


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
            errors.append(
                type(error)(
                    error.key,
                    error.path,
                    error.where,
                    near or error.close_to,
                    "It cannot be overridden; say new=True where it is meant to be new",
                )
            )
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise grouped(graph, errors)
