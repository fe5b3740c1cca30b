"""A container that shares everything with another one except what its overrides reach."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from .._declare.entries import value_registration
from .._declare.keys import is_hashable, token_key
from .._declare.providers import read_providers
from .._declare.registry import Registration, Registry
from .._names import Place, close_to, name_of, place_of_caller
from .._solve.checks import grouped, missing_error, reached_from
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
from .overriding import IN_FORCE, NONE, InForce
from .scope import Scope

__all__ = ["Overlay", "Overriding", "overrides_registry"]

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


class Answering:
    """What an overlay shows of a scope, or of a container: here attributes and handles are answered that others hold."""

    __slots__ = ()

    #: by what tells one attribute from another: what keeps that alive, and the value
    fetched: dict[Any, tuple[Any, Any]]

    async def attribute(self, which: Any, holder: Any, key: Any) -> Any:
        """Return what an attribute or handle gives here: one value for each, as ever; nothing of it is left there."""
        kept = self.fetched.get(which)
        if kept is None:
            kept = self.fetched.setdefault(which, (holder, await self.get(key)))  # type: ignore[attr-defined]  # of scopes
        return kept[1]

    def attribute_nowait(self, which: Any, holder: Any, key: Any) -> Any:
        """Return the same without awaiting."""
        kept = self.fetched.get(which)
        if kept is None:
            kept = self.fetched.setdefault(which, (holder, self.get_nowait(key)))  # type: ignore[attr-defined]  # of scopes
        return kept[1]


class Overlay(Answering, Container):
    """
    A container over another one.  What its overrides reach is built here and closed at its end; the rest is the other's.
    """

    __slots__ = ("below", "fetched", "force", "origin", "verdicts", "views")

    origin: Container  #: the container that all of this is about
    below: Container  #: what it shares with: the base, or another overlay
    force: InForce | None  #: of an override, which is seen without a handle
    verdicts: dict[Any, bool]  #: by level and token: whether what it leads to is another one here
    views: dict[Any, OverlayScope]

    def __init__(self, below: Container, registry: Registry, *, new: bool, check: bool = True) -> None:
        below.check_open()
        below.graph.refresh()
        if not new:
            _refuse_unknown(below.graph, registry)
        graph = OverlaidGraph(below.graph, registry, new=new)
        self.origin, self.below = below.origin if isinstance(below, Overlay) else below, below
        self.force = None
        self.views, self.fetched = {}, {}
        self._begin(below.root_class, None, graph, check=False)
        self.name = f"an overlay of {self.origin.name}"
        self.loop = below.loop
        self.p = below
        if below.watcher is not None:
            self.heed(below.watcher)
        errors = graph.check_overrides() if check else ()
        if errors:
            raise grouped(graph, errors)
        below.kids.add(self)

    def laid_on(self, below: Container, gone: Overlay) -> Overlay:
        """
        Return what is to answer for these overrides from here on, when *gone*, on which this lies, has ended.

        What is built here and does not stand on *gone* stays what it is; this one, which holds it, is closed later.
        """
        graph = self.graph
        assert isinstance(graph, OverlaidGraph)
        # What no longer fits is told by the get that meets it.
        found = Overlay(below, graph.over[0], new=True, check=False)
        layers, layers_there = graph.layers, found.graph.layers
        overrides = set(gone.graph.overrides())  # type: ignore[attr-defined]  # an overlay's graph

        def ended(node: Node) -> bool:
            return gone.owns(node) or node.registration in overrides

        for identity, node in list(graph.nodes.items()):
            if node not in self.built or any(map(ended, reached_from(graph, (node,)))):
                continue
            registration, view, key = identity if isinstance(identity, tuple) else (identity, None, None)
            if isinstance(key, Node):  # the instance of a service that starts: comes with it
                continue
            rank = len(layers_there) - 1 - layers_there.index(layers[len(layers) - 1 - node.rank]) if node.rank >= 0 else -1
            twin = found.graph.node(registration, view, rank, key, node.binding)
            found.built[twin] = self.built[node]
            if node.constructed is not None and twin.constructed is not None:
                found.built[twin.constructed] = self.built[node]
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

    @property
    def seen_by_builds(self) -> tuple[Any, ...]:  # type: ignore[override]  # of others a fact of their class
        # What is built here may look for its like without a handle.
        return (NONE,) if self.force is None else (Pinned(self),)

    def clean_context(self, context: contextvars.Context) -> None:
        context.run(IN_FORCE.set, self.seen_by_builds)

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

    def new_tables(self) -> None:
        super().new_tables()
        self.verdicts = {}

    def affects(self, level: int, token: Any) -> bool:
        """Tell whether what *token* leads to in scopes of *level* is another one here than below."""
        self.graph.refresh()
        verdict = self.verdicts.get((level, token)) if is_hashable(token) else None
        if verdict is None:
            nodes = self.root_at(level, token).nodes
            verdict = self.verdicts[level, token] = any(map(self.owns, nodes))
        return verdict

    def answering_for(self, container: Container, scope: Any, token: Any) -> Overlay | None:
        """Return the overlay, this or one below, that *token* is another one in than in *container*; None where none is."""
        if isinstance(container, Overlay) and container.force is self.force:
            return self  # it was what this is now
        one: Any = self
        while one is not container:
            if one.affects(scope._level, token):
                return one  # type: ignore[no-any-return]  # all above a container are overlays
            one = one.below
        return None

    # --- scopes ---

    def open_scope(self, around: Any, context: Any, level: str | None) -> Any:
        base_around = around.below if isinstance(around, OverlayScope) else self.below
        inner = self.below.open_scope(base_around, context, level)
        view = self.view_of(inner)
        view.closes_below = True
        return view

    def view_of(self, scope: Any) -> Any:
        """Return this overlay's view of a scope of what lies below, made on first use."""
        if scope.container is self:
            return scope
        below = self.below
        if isinstance(below, Overlay):
            scope = below.view_of(scope)
        while scope.container is not below:  # of an overlay that has ended
            scope = scope.below
        if scope is below:
            return self
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
        self._end_force()
        await super()._close(error)
        self._leave()

    def _close_sync(self, error: BaseException | None) -> None:
        self._end_force()
        super()._close_sync(error)
        self._leave()

    def _end_force(self) -> None:
        """Closed before its block has ended, with the container, it is in force for nobody any more."""
        if self.force is not None and self.force.top is self:
            self.force.ended = True

    def _leave(self) -> None:
        if self.state == IS_CLOSED:
            self.views.clear()
            self.below.kids.discard(self)
            self.graph.containers.discard(self)


class Pinned:
    """Stands for an overlay in what its builds see: it stays that one."""

    __slots__ = ("over", "top")

    ended = False

    def __init__(self, overlay: Overlay) -> None:
        self.top = overlay
        self.over = () if overlay.force is None else overlay.force.over


class OverlayScope(Answering, Scope):
    """An overlay's view of a scope: the affected values are its own, the others are the scope's."""

    __slots__ = ("below", "closes_below", "end", "fetched", "level_")

    warns_open = False
    interpreted = True

    def __init__(self, overlay: Overlay, around: Any, below: Any) -> None:
        self.p = around
        self.below = below
        self.level_ = below._level
        self.closes_below = False
        self.fetched = {}
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

    __slots__ = ("_container", "_ending", "_everywhere", "_forces", "_in_force", "_new", "_overlay", "_overrides", "_running")

    def __init__(self, container: Container, overrides: Any, *, in_force: bool, everywhere: bool, new: bool) -> None:
        container.check_open()
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
        registry = overrides_registry(self._overrides, container.graph)
        if not self._in_force:
            self._overlay = Overlay(container, registry, new=self._new)
            self._running = True
            return self._overlay
        target = container
        if isinstance(container, Overlay) and container.force is not None:
            if container.force.ended:
                raise ClosedError("the block of this override has ended")
            target = container.force.target  # its handle stands for what it overrides
        with LOCK:
            here = container.active() or container
            if self._everywhere:
                # For everybody it lies on what everybody sees; here on what is in force here, if that is something else.
                common = next((one.top for one in reversed(target.everywhere) if not one.ended), target)
                self._lay(common, target, registry, everywhere=True)
                if here is not common:
                    self._lay(here, target, registry, everywhere=False)
            else:
                self._lay(here, target, registry, everywhere=False)
        self._running = True
        overlay: Overlay = self._forces[-1].top
        self._overlay = overlay
        override_began(overlay.origin, registry.entries)
        return overlay

    def _lay(self, below: Container, target: Container, registry: Registry, *, everywhere: bool) -> None:
        try:
            overlay = Overlay(below, registry, new=self._new)
        except BaseException:
            self._lift()
            for other in self._forces:
                other.top.below.kids.discard(other.top)
            raise
        force = InForce(target)
        force.lay(overlay)
        self._forces.append(force)
        if everywhere:
            target.everywhere.append(force)
        else:
            IN_FORCE.set((*IN_FORCE.get(), force))

    def _lift(self) -> None:
        """Take what was laid out of force; what was laid upon it since stays in force without it."""
        with LOCK:
            for force in self._forces:
                force.end()
                gone = force.top
                pending = [(gone, gone.below)]
                while pending:
                    lower, below = pending.pop()
                    for kid in _in_force_upon(lower):
                        try:
                            upper = kid.laid_on(below, gone)
                        except ClosedError:  # all of it ends with the container
                            continue
                        kid.force.lay(upper)  # type: ignore[union-attr]  # it is in force
                        pending.append((kid, upper))
        # Not by a token: blocks need not nest, and may end in another context than they began in (fixtures).
        IN_FORCE.set(tuple(one for one in IN_FORCE.get() if one not in self._forces))

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
        override_ended(overlay.origin, overlay.graph.over[0].entries)
        for force in reversed(self._forces):
            for one in reversed(force.held):
                heir = next((kid.force for kid in one.kids if isinstance(kid, Overlay) and kid.force and not kid.force.ended), None)
                if heir is None:
                    self._ending.append(one)
                else:
                    heir.held.insert(0, one)  # something that is in force may stand on it
            force.held = []
        return self._ending

    async def __aenter__(self) -> Overlay:
        return self._begin()

    async def __aexit__(self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None, /) -> None:
        await _close_all(self._end(), exc)

    def __enter__(self) -> Overlay:
        return self._begin()

    def __exit__(self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None, /) -> None:
        _close_all_sync(self._end(), exc)


def _in_force_upon(overlay: Overlay) -> list[Overlay]:
    """Return the overlays directly upon *overlay* that answer for an override in force."""
    kids = [kid for kid in overlay.kids if isinstance(kid, Overlay) and kid.force is not None]
    return [kid for kid in kids if not kid.force.ended and kid.force.top is kid]  # type: ignore[union-attr]  # see above


async def _close_all(overlays: list[Overlay], error: BaseException | None) -> None:
    if overlays:
        try:
            await overlays[0]._close(error)
        finally:
            await _close_all(overlays[1:], error)


def _close_all_sync(overlays: list[Overlay], error: BaseException | None) -> None:
    if overlays:
        try:
            overlays[0]._close_sync(error)
        finally:
            _close_all_sync(overlays[1:], error)


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


Container.overriding = Overriding
Container.layer_of = layer_of
