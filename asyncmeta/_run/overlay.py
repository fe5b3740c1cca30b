"""A container that shares everything with another one except what its overrides reach."""

from __future__ import annotations

import asyncio
import contextvars
import itertools
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from .._declare.registry import Registry
from .._solve.checks import grouped, reached_from
from .._solve.graph import Graph
from .._solve.nodes import Node
from .._solve.overlaid import OverlaidGraph
from .._solve.plan import Unit, unit_of
from .cells import LOCK, UNSET
from .container import Container
from .ending import IS_CLOSED, OPEN
from .finalizers import Held, as_list, needs_await, push
from .overriding import IN_FORCE, NONE, InForce
from .scope import Scope

__all__ = ["Overlay"]


_NUMBERS = itertools.count(1)


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

    __slots__ = ("answers", "below", "fetched", "force", "number", "origin", "views")

    origin: Container  #: the container that all of this is about
    below: Container  #: what it shares with: the base, or another overlay
    number: int  #: later ones have higher ones; what lies or stands on another one is later than that
    force: InForce | None  #: of an override, which is seen without a handle
    answers: dict[Any, Overlay | None]  #: by who is asked, level and token: whose value it is
    views: dict[Any, OverlayScope]

    def __init__(self, below: Container, registry: Registry, *, new: bool, check: bool = True) -> None:
        below.check_overridable()
        below.graph.refresh()
        graph = OverlaidGraph(below.graph, registry, new=new)
        self.origin = below.origin  # pyright: ignore[reportIncompatibleMethodOverride]  # a property of others
        self.below = below
        self.number = next(_NUMBERS)
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

    def check_overridable(self) -> None:
        if not self._rests():
            self.check_open()
        self.below.check_overridable()

    def _rests(self) -> bool:
        """Tell whether this is closed with its container, and opens with it again: its block goes on."""
        return self.force is not None and not self.force.ended and self.origin.state == IS_CLOSED

    @property
    def warns_open(self) -> bool:  # type: ignore[override]  # of others a fact of their class
        return self.force is None or not self.force.outlives

    def open_again(self) -> None:
        """Begin anew, with a container that is entered again in the block of the override."""
        below = self.below
        while below.state != OPEN and isinstance(below, Overlay):  # its block has ended while all was closed
            below = below.below
        force = self.force
        assert force is not None
        if below is not self.below:
            force.lay(Overlay(below, self.graph.over[0], new=True, check=False))
            return
        self.graph.refresh()
        self.graph.containers.add(self)
        self.views.clear()
        self.fetched.clear()
        self.begin_anew()
        self.loop = None
        below.kids.add(self)

    def new_tables(self) -> None:
        super().new_tables()
        self.answers = {}

    def affects(self, level: int, token: Any) -> bool:
        """Tell whether what *token* leads to in scopes of *level* is another one here than below."""
        return any(map(self.owns, self.root_at(level, token).nodes))

    def answering_for(self, container: Container, scope: Any, token: Any) -> Overlay | None:
        """Return the overlay, this or one below, that *token* is another one in than in *container*; None where none is."""
        which = (container, scope._level, token)
        try:
            return self.answers[which]
        except (KeyError, TypeError):  # what is unhashable is refused below
            pass
        one: Any = self
        if not isinstance(container, Overlay) or container.force is not self.force:  # else it was what this is now
            while one is not container and not one.affects(scope._level, token):
                one = one.below
        found = self.answers[which] = None if one is container else one
        return found

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

    def begin_anew(self) -> None:
        super().begin_anew()
        self.views.clear()
        self.fetched.clear()
        self.scope = self._first_scope  # type: ignore[method-assign]  # never a class: see open_scope

    async def _close(self, error: BaseException | None) -> None:
        self.end_force()
        await super()._close(error)
        self._leave()

    def _close_sync(self, error: BaseException | None) -> None:
        self.end_force()
        super()._close_sync(error)
        self._leave()

    def end_force(self) -> None:
        # Closed before its block has ended it is in force for nobody any more; with its container, until that opens again.
        if self.force is not None and self.force.top is self and not (self.force.outlives and self.origin.state != OPEN):
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
