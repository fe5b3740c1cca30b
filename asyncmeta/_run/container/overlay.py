"""A container that shares everything with another one except what its overrides reach."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from ..._declare.keys import lasting, token_key
from ..._declare.registry import Registry
from ..._lock import LOCK
from ..._solve.checks import grouped, reached_from
from ..._solve.graph import Graph
from ..._solve.nodes import Node
from ..._solve.overlaid import OverlaidGraph, graph_of_many
from ..._solve.plan import Plan
from ..build.attributes import Await
from ..observe.cause import Causes
from ..state.parking import Closers, run_nowait
from ..state.singletons import IS_CLOSED, OPEN, ScopeState
from ..state.slots import CLOSING, UNSET, Held
from ..teardown.finalizers import as_list, first_to_await, holds, push
from ..teardown.scope_exit import landed
from ..teardown.undone import Undone
from .application import Application
from .container import Container, Scope
from .views import Answering, asking_beneath, beneath

if TYPE_CHECKING:
    from ..state.singletons import Answers

__all__ = ["InForce", "Overlay"]


T = TypeVar("T")

_NUMBERS = itertools.count(1)


class Overlay(Answering, Container):
    """
    A container over another one.  What its overrides reach is built here and closed at its end; the rest is the other's.

    Its scopes are its own, as those of any container.  Of an override they are views of those below, which it is seen in.
    """

    __slots__ = ("_answers", "_below", "_fetched", "_force", "_given", "_number", "_origin", "_views")

    _origin: Container  #: the container that all of this is about
    _below: Container  #: what it shares with: the base, or another overlay
    _number: int  #: later ones have higher ones; what lies or stands on another one is later than that
    _force: InForce | None  #: of an override, which is seen without a handle
    _given: list[Any]  #: values that are no part of the graph, which may be of many
    _answers: dict[Any, Overlay | None]  #: by who is asked, level and token: whose value it is
    _views: dict[Any, OverlayScope]

    def __init__(self, below: Container, registry: Registry, *, new: bool, in_force: bool, check: bool = True) -> None:
        below._check_overridable()
        with LOCK:
            below._graph.refresh()
            if in_force:
                graph, self._given = OverlaidGraph(below._graph, registry, new=new, views=True), []
            else:
                graph, self._given = graph_of_many(below._graph, registry, new=new)
        self._origin = below._origin  # pyright: ignore[reportIncompatibleMethodOverride]  # a property of others
        self._below = below  # pyright: ignore[reportIncompatibleVariableOverride]  # narrower than of others
        self._number = next(_NUMBERS)
        self._force = None
        self._views, self._fetched = {}, {}
        name = f"an overlay of {self._origin._name}"
        self._begin(Application(below._root_class, None), graph, name, below, check=False, overlaid=True, views=in_force)
        self._parent = below
        if below._watcher is not None:
            self._heed(below._watcher)
        with LOCK:
            errors = graph.check_overrides() if check else ()
        if errors:
            raise grouped(graph, errors)
        below._inner.add(self)

    def _laid_on(self, below: Container, gone: Overlay) -> Overlay:
        """
        Return what is to answer for these overrides from here on, when *gone*, on which this lies, has ended.

        What is built here and does not stand on *gone* stays what it is; this one, which holds it, is closed later.
        """
        graph = self._graph
        assert isinstance(graph, OverlaidGraph)
        # What no longer fits is told by the get that meets it.
        found = Overlay(below, graph.over[0], new=True, in_force=True, check=False)
        layers, layers_there = graph.layers, found._graph.layers
        there = gone._graph
        assert isinstance(there, OverlaidGraph)
        overrides = set(there.overrides())
        built, found_built = self._singletons.built, found._singletons.built

        def ended(node: Node) -> bool:
            return gone._graph.owns(node) or node.registration in overrides

        for identity, node in list(graph.nodes.items()):
            if node not in built or any(map(ended, reached_from(graph, (node,)))):
                continue
            registration, view, key = identity if isinstance(identity, tuple) else (identity, None, None)
            if isinstance(key, Node):  # the instance of a service that starts: comes with it
                continue
            rank = len(layers_there) - 1 - layers_there.index(layers[len(layers) - 1 - node.rank]) if node.rank >= 0 else -1
            twin = found._graph.node(registration, view, rank, key, node.binding)
            found_built[twin] = built[node]
            if node.constructed is not None and twin.constructed is not None:
                found_built[twin.constructed] = built[node]
        return found

    def _check_overridable(self) -> None:
        if self._rests():
            self._below._check_overridable()
        else:
            self._check_open()  # and with it all that is below

    def _rests(self) -> bool:
        """Tell whether this is closed with its container, and opens with it again: its block goes on."""
        return self._force is not None and not self._force.ended and self._origin._singletons.state == IS_CLOSED

    @property
    def _warns_open(self) -> bool:  # type: ignore[override]  # of others a fact of their class
        return self._force is None or not self._force.outlives

    def _open_again(self) -> None:
        """Begin anew, with a container that is entered again in the block of the override."""
        below = self._below
        while below._singletons.state != OPEN and isinstance(below, Overlay):  # its block has ended while all was closed
            below = below._below
        force = self._force
        assert force is not None
        if below is not self._below:
            force.lay(Overlay(below, self._graph.over[0], new=True, in_force=True, check=False))
            return
        with LOCK:
            self._graph.refresh()
            self._graph.listeners.add(self._root_table)
        self._views.clear()
        self._fetched.clear()
        self._begin_anew()
        below._inner.add(self)

    def _cooled(self) -> None:
        self._answers = {}

    def _affects(self, level: int, token: object) -> bool:
        """Tell whether what *token* leads to in scopes of *level* is another one here than below."""
        nodes = self._root_table.at(level, token).nodes
        # Nothing at all may stand in the place of a list's members.
        return any(map(self._graph.owns, nodes)) or (not nodes and bool(self._below._root_table.at(level, token).nodes))

    def _answering(self, scope: Scope, token: object) -> Answers | None:
        """Return the view of *scope* that answers for *token*, in this overlay or one below; None where it does itself."""
        overlay = self._answering_for(scope.container, scope, token)
        return None if overlay is None else overlay._view_of(scope)

    def _answering_for(self, container: Container, scope: Scope, token: object) -> Overlay | None:
        """Return the overlay, this or one below, that *token* is another one in than in *container*; None where none is."""
        token = lasting(token)
        which = (container, scope._level, token)
        try:
            return self._answers[which]
        except (KeyError, TypeError):  # what is unhashable is refused below
            pass
        one: Any = self
        if not isinstance(container, Overlay) or container._force is not self._force:  # else it was what this is now
            while one is not container and not one._affects(scope._level, token):
                one = one._below
        found = self._answers[which] = None if one is container else one
        return found

    # --- scopes ---

    def _open_scope(self, around: Any, context: Any, level: str | None) -> Any:
        if not self._root_table.views:
            return super()._open_scope(around, context, level)
        base_around = around._below if isinstance(around, OverlayScope) else self._below
        inner = self._below._open_scope(base_around, context, level)
        view = self._view_of(inner)
        view._closes_below = True
        if context:
            self._take_given(view, context, around._level)
        return view

    def _take_given(self, view: OverlayScope, context: Mapping[Any, object], around: int) -> None:
        """Let what the scope was given be what is built here, too, where a factory that is another one here could make it."""
        graph = self._graph
        for key, value in context.items():
            for level in graph.context_levels.get(token_key(key), ()):
                if around < level <= view._level:
                    node = graph.from_context(token_key(key), level)
                    if graph.owns(node):
                        view._home(node)._values[node.slot] = value

    def _view_of(self, scope: Any) -> Any:
        """Return this overlay's view of a scope of what lies below, made on first use."""
        if scope.container is self:
            return scope
        below = self._below
        if isinstance(below, Overlay):
            scope = below._view_of(scope)
        while scope.container is not below:  # of an overlay that has ended
            scope = scope._below
        if scope is below:
            return self
        view = self._views.get(scope)
        if view is None:
            view = self._views[scope] = OverlayScope(self, self._view_of(scope._parent), scope)
        return view

    # --- ending ---

    def _await_when_closed(self) -> Await:
        return super()._await_when_closed() if self._force is None else asking_beneath

    def _begin_anew(self) -> None:
        super()._begin_anew()
        graph = self._graph
        assert isinstance(graph, OverlaidGraph)
        if self._given:
            self._singletons.built.update(zip(graph.given_nodes(), self._given, strict=True))
        self._views.clear()
        self._fetched.clear()

    async def _close(self, error: BaseException | None, *, waits: bool = True) -> None:
        self._end_force()
        await super()._close(error, waits=waits)
        self._leave()

    def _end_force(self) -> None:
        # Closed before its block has ended it is in force for nobody any more; with its container, until that opens again.
        force = self._force
        if force is not None and force.answers is self and not (force.outlives and self._origin.closed):
            force.ended = True

    def _leave(self) -> None:
        if self._singletons.state == IS_CLOSED:
            self._views.clear()
            self._below._inner.discard(self)
            self._graph.listeners.discard(self._root_table)


class OverlayScope(Answering):
    """An overlay's view of a scope: the affected values are its own, the others are the scope's."""

    __slots__ = ("_below", "_closes_below", "_end", "_fetched", "_moves", "_overlay", "_own_level", "_root_table", "_singletons")

    _warns_open = False

    _below: Scope  #: what this is a view of

    def __init__(self, overlay: Overlay, around: ScopeState, below: Scope) -> None:
        self._parent = around
        self._overlay, self._singletons, self._root_table = overlay, overlay._singletons, overlay._root_table
        self._below = below
        self._own_level = below._level
        self._moves = len(overlay._graph.moved)
        self._closes_below = False
        self._fetched = {}
        self._roots = {}
        self._values = [UNSET] * overlay._graph.slots[below._level]
        self._finalizers = self._waiters = self._children = None
        self._in_flight = 0
        # Whichever ends first, the scope or the overlay, closes what is here.
        self._end = ViewEnd(self)
        push(below, self._end)
        self._parent._children = self._parent._children if self._parent._children is not None else set()

    @property
    def _level(self) -> int:  # type: ignore[override]  # of scopes a fact of their class
        return self._own_level

    @property
    def _by_threads(self) -> bool:
        return self._below._by_threads

    @property
    def _thread(self) -> int | None:
        return self._below._thread

    def __enter__(self) -> Self:
        self._check_open()
        self._below.__enter__()
        return self

    def _home(self, node: Node) -> Any:
        view = self._at(node.level)
        assert isinstance(view, OverlayScope)
        graph = self._singletons.graph
        if graph.owns(node):
            return with_slots(view, graph, node)
        return with_slots(view._below._home(node), graph.graph_of(node), node)

    def _shown(self) -> ScopeState:
        return self._below

    def _moved_since(self) -> int:
        """Return how many of what registrations have moved were there when this was last asked."""
        since, self._moves = self._moves, len(self._singletons.graph.moved)
        return since

    async def _run_plan(self, plan: Plan, asked: Causes | None = None) -> Any:
        # What it builds of the scope's own counts there, too, from before it counts here until after that.
        value = await self._below._counting(partial(super()._run_plan, plan, asked))
        if beneath(self)._in_flight >= CLOSING:
            landed(self)
        return value

    async def _counting(self, work: Callable[[], Awaitable[T]]) -> T:
        return await self._below._counting(partial(super()._counting, work))

    def _left_flight(self) -> None:
        super()._left_flight()
        self._end_first()

    def _end_first(self) -> None:
        """Let this be closed before everything that the scope holds by now: what was just built here may stand on it."""
        with LOCK:
            there = self._below._finalizers
            if type(there) is list and there[-1] is not self._end and self._end in there:
                there.remove(self._end)
                there.append(self._end)

    async def __aexit__(self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None, /) -> None:
        await self._end_block(exc)

    async def _close(self, error: BaseException | None, *, waits: bool = True) -> None:
        if self._closes_below:
            await self._below._close(error, waits=waits)  # which closes this in its turn
        else:
            await super()._close(error, waits=waits)

    async def _fail(self, error: BaseException | None, closers: Closers, *, waits: bool = True) -> None:
        if self._closes_below:
            await self._below._fail(error, closers, waits=waits)
        else:  # its scope goes on
            await super()._close(error, waits=waits)

    def _gone(self, undone: Undone | None = None) -> None:
        super()._gone(undone)
        self._overlay._views.pop(self._below, None)


def with_slots(scope: ScopeState, graph: Graph, node: Node) -> Any:
    """Return *scope*, with a slot for the value of *node*: which may be of later than the scope itself."""
    values = scope._values
    if type(values) is list and len(values) <= node.slot:
        with LOCK:
            values.extend([UNSET] * (graph.slots[node.level] - len(values)))
    return scope


class ViewEnd(Held):
    """Closes an overlay's view when the scope below ends first."""

    __slots__ = ("view",)

    def __init__(self, view: OverlayScope) -> None:
        self.view = view

    def needs_await(self) -> bool:
        return first_to_await(as_list(self.view._finalizers)) is not None

    def holds(self) -> bool:
        return holds(self.view._finalizers)

    async def leave(self, error: BaseException | None) -> None:
        await Scope._close(self.view, error)

    def leave_nowait(self, error: BaseException | None) -> None:
        run_nowait(Scope._close(self.view, error, waits=False), self.view)


# --- overrides in force ---


class InForce:
    """
    One override in force.

    The overlay that answers for it is another one from when a block ends that it lies on: blocks need not nest.
    """

    __slots__ = ("answers", "ended", "held", "outlives", "over", "target")

    def __init__(self, target: Container) -> None:
        self.target = target  #: the container that is overridden
        #: it was there before the container was entered, and is in force each time that this happens
        self.outlives = not target._origin._grounds
        self.answers: Overlay | None = None  #: the overlay that answers, None before it has begun and when it is over
        self.held: list[Overlay] = []  #: overlays to be closed with it
        self.over: tuple[Container, ...] = ()  #: for whom it answers: what it was before, and all from below it to the target
        self.ended = False

    @property
    def top(self) -> Overlay:
        """The overlay that answers."""
        assert self.answers is not None, "it has not begun, or is over"
        return self.answers

    @property
    def number(self) -> int:
        """By which they are ordered: what lies on another one is later."""
        return self.top._number

    def open_again(self) -> None:
        """The container is entered again, in the block."""
        self.top._open_again()

    def release(self) -> None:
        """
        Keep no overlay.

        A task that was started in the block has this in its context for as long as it lives, and shall keep no fake.
        """
        self.held, self.answers = [], None

    def lay(self, overlay: Overlay) -> None:
        """Let *overlay* answer from here on."""
        before = self.over
        if self.answers is None:
            self.target._laid.append(self)
        self.answers = overlay
        overlay._force, overlay._root_table.everywhere = self, self.target._root_table.everywhere
        overlay._singletons.pinned = Pinned(overlay)
        over: list[Container] = list(self.held)
        one: Container = overlay
        while one is not self.target:
            assert isinstance(one, type(overlay))
            one = one._below
            over.append(one)
        self.held.append(overlay)
        self.over = tuple(over)
        for one in over:
            one._root_table.begin_override()
        for one in before:
            one._root_table.end_override()

    def end(self) -> None:
        """Answer for nobody any more."""
        self.ended = True
        if self in self.target._laid:
            self.target._laid.remove(self)
        if self in self.target._root_table.everywhere:
            self.target._root_table.everywhere.remove(self)
        over, self.over = self.over, ()
        for one in over:
            one._root_table.end_override()


class Pinned:
    """Stands for an overlay in what its builds see: it stays that one."""

    __slots__ = ("answers",)

    def __init__(self, overlay: Overlay) -> None:
        self.answers = overlay

    @property
    def ended(self) -> bool:
        """Closed, it is passed over."""
        return self.answers.closed

    @property
    def over(self) -> tuple[Container, ...]:
        """For whom it answers."""
        force = self.answers._force
        return () if force is None else force.over
