"""What does a container hold, and what is it?  The ground that the rooms around it stand on; its face lies above."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from ..._declare.home import hooks
from ..._declare.lifetimes import CONTAINER_LEVEL
from ..._lock import LOCK
from ..._solve.checks import check_whole, grouped, not_given
from ..._solve.graph import Graph
from ...errors import ClosedError
from ..build.attributes import Attributes, Await, forget_fetched, refusing
from ..build.interpreter import bind
from ..state.context import Ambient
from ..state.roots import RootTable
from ..state.singletons import IS_CLOSING, OPEN, RootNowait, ScopeState, Singletons
from ..teardown.scope_exit import ScopeExit

if TYPE_CHECKING:
    from ..observe.watch import Watch
    from ..scope.scope import ScopeFace
    from ..state.singletons import Overriding

    class Laid(Protocol):
        """An override in force, as the container knows it that it lies upon."""

        ended: bool

        @property
        def number(self) -> int: ...
        def open_again(self) -> None: ...


__all__ = ["ContainerState"]


class ContainerState(ScopeExit):
    """What a container holds, and what the rooms that open, watch and close it may ask of it."""

    # No dictionary: `container.get` is looked up on the class at once.
    __slots__ = (
        "_attributes", "_checks", "_enters", "_grounds", "_instance", "_laid", "_made_with", "_observed", "_root_class",
        "_root_table", "_roots_nowait", "_singletons", "_watcher", "scope",
    )  # fmt: skip
    _level = CONTAINER_LEVEL

    _attributes: Attributes  #: how fetched attributes answer
    _checks: bool  #: the graph is checked on entering
    _enters: dict[Hashable, Callable[[], Any]]  #: what is asked for -> the code that enters a one-shot scope for it
    _grounds: list[Ambient]  #: what it has made ambient, by entering
    _instance: Any  #: the application itself, where the user made it
    _laid: list[Laid]  #: overrides in force
    _made_with: Mapping[Any, object]  #: context of its own: by key what it was made with
    _observed: bool  #: every build has to be seen
    _root_class: type
    _root_table: RootTable
    _roots_nowait: dict[object, RootNowait]
    _singletons: Singletons
    _watcher: Watch | None  #: who is told, kept when there is nobody any more

    # --- what it is ---

    @property
    def _name(self) -> str:
        return self._singletons.name

    @property
    def _title(self) -> str:
        return self._singletons.title

    @property
    def _graph(self) -> Graph:
        """What its application means."""
        return self._singletons.graph

    @property
    def _inner(self) -> set[ScopeState]:
        """Scopes and overlays that have something to close."""
        assert self._children is not None
        return self._children

    @property
    def closed(self) -> bool:
        """Whether it is closed, or closing."""
        return self._singletons.state != OPEN

    def _check_open(self) -> None:
        self._singletons.check_open()

    def _active(self) -> Overriding | None:
        active: Overriding | None = self._root_table.active() if self._singletons.overridden else None
        return active

    def _check_overridable(self) -> None:
        """
        Refuse where nothing can be laid upon this any more: it may be closed, and entered again with what lies on it.

        Raises:
            ClosedError: It is closing.
        """
        if self._singletons.state == IS_CLOSING:
            self._check_open()

    def _check(self) -> None:
        with LOCK:  # what one thread takes in, another one would take in, too
            self._graph.refresh()
            errors = check_whole(self._graph) + not_given(self._graph, self._made_with)
        if errors:
            raise grouped(self._graph, errors)

    def _begin_anew(self) -> None:
        """Begin, or begin anew, with nothing built."""
        singletons = self._singletons
        singletons.turn(OPEN)
        singletons.built.clear()
        singletons.flights.clear()
        singletons.follows.clear()
        self._finalizers = self._waiters = None
        self._in_flight = 0
        self._inner.clear()
        self._values = []
        self._attributes.begin()
        self._root_table.begin()
        singletons.built.update({self._graph.from_context(key, CONTAINER_LEVEL): value for key, value in self._made_with.items()})
        if self._instance is not None:
            node = self._graph.app_node()
            singletons.built[node.constructed or node] = self._instance
            forget_fetched(self._instance)
            bind(self._instance, self)

    # --- what rooms of this wing do for one kind of container ---

    def _cooled(self) -> None:
        """What tokens lead to may have changed."""

    def _close_first(self) -> None:
        """Closing begins: what uses this is closed with it."""

    def _ended(self) -> None:
        """It is closed."""

    def _await_when_closed(self) -> Await:
        """Return what awaiting an attribute does that was fetched here, from here on."""
        name = self._name
        return refusing(lambda: ClosedError(f"the container of {name} is closed"))

    def _end_force(self) -> None:
        """What is in force by this, an override's, is so for nobody any more."""

    if TYPE_CHECKING:

        def _open_scope(self, around: ScopeState, context: Mapping[Any, object] | None, level: str | None) -> ScopeFace: ...

    # --- watching ---

    def _heed(self, watch: Watch) -> None:
        """Take what is to be told, run and timed around builds, or that nothing is any more; for overlays, too."""
        with LOCK:
            self._watcher = watch
            self._singletons.watch = None if watch.idle else watch
            if watch.observed != self._observed:
                self._observed = watch.observed
                if self._singletons.state == OPEN:
                    self._root_table.clear()
            overlays = [child for child in list(self._inner) if isinstance(child, ContainerState)]
        for overlay in overlays:
            overlay._heed(watch)

    def _mind_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        """Mind how long builds take where asyncio's debug mode wants to know."""
        debug, watch = loop.get_debug(), self._watcher
        if debug or (watch is not None and watch.debug is not None):
            from ..observe.slow import DEBUG_FACTOR
            from ..observe.watch import Watch  # lazy import

            watch = watch or Watch(self._heed, hooks(), (), None)
            watch.debug = loop.slow_callback_duration * DEBUG_FACTOR if debug else None
            self._heed(watch)
