"""What does a scope hold, and which container values are there, or on their way, and whose are they?"""

from __future__ import annotations

import asyncio
import contextvars
import os
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

from ..._lock import LOCK
from ..._solve.graph import Graph
from ..._solve.nodes import Node, Site
from ..._solve.plan import Op, Plan, Unit, unit_of
from ...errors import ClosedError, WrongLoopError
from .context import AMBIENT, EXITING, IN_FORCE, Seeing, Shield, unshield
from .parking import Closers, Outcome, cancel_task, wake
from .slots import CLOSED, Finalizer, ThreadWaiters, Waitable

if TYPE_CHECKING:
    from ..._solve.resolve import Root

__all__ = ["IS_CLOSED", "IS_CLOSING", "NOWHERE", "OPEN", "Flight", "ScopeState", "Singletons"]

OPEN, IS_CLOSING, IS_CLOSED = "open", "closing", "closed"


if TYPE_CHECKING:

    class Watcher(Protocol):
        """What is told, run and timed around builds, as the rooms that build and close know it."""

        @property
        def middleware(self) -> tuple[tuple[Any, bool], ...]: ...
        @property
        def observed(self) -> bool: ...
        def awaits_for(self, unit: Unit, /) -> bool: ...
        def causes(self, users: Mapping[Node, Sequence[Node]], around: Any = None, /) -> Any: ...
        def causes_in(self, plan: Plan, /) -> Any: ...
        def asking(self, causes: Any, /) -> AbstractContextManager[None]: ...
        def builds_of(self, unit: Unit, /) -> Sequence[Any]: ...
        async def build(self, build: Any, op: Op, make: Callable[[Push], Coroutine[Any, Any, Any]], push: Push, /) -> Any: ...
        def all_watched(self, finalizers: list[Finalizer], graph: Graph, /) -> list[Finalizer]: ...
        def tell(self, word: str, key: str, seconds: float | None = None, /) -> None: ...
        def entered(self, name: str, /) -> None: ...
        def closed(self, name: str, /) -> None: ...

    class Hands(Protocol):
        """What a container does for its values, handed down to them."""

        def lose_loop(self, loop: asyncio.AbstractEventLoop, /) -> None:
            """Forget what died with *loop*."""

        def mind_loop(self, loop: asyncio.AbstractEventLoop, /) -> None:
            """Another loop builds from here on."""

        async def retire(self) -> None:
            """The loop ends: run all finalizers."""

        def forgotten(self) -> None:
            """Values were dropped: whoever holds on to one looks anew."""

        def dropped(self) -> None:
            """A value was dropped that nobody can hold."""


class Flight:
    """The building of one container value, by a task or in place, for any number of callers."""

    __slots__ = (
        "__weakref__", "abandoned", "began", "done", "finished", "loop", "node", "outcome", "owner", "seen", "stopped",
        "task", "waiters",
    )  # fmt: skip

    def __init__(self, owner: Singletons, node: Node, loop: asyncio.AbstractEventLoop | None) -> None:
        self.owner = owner  #: whose the value is
        self.node = node
        self.loop = loop  #: where it runs; None for a build in place in a thread without a loop
        self.task: asyncio.Task[Any] | None = None  #: None for a build in place
        self.waiters: dict[Any, None] = {}  #: each is told by ``told(flight)``; a bare future is set
        self.done = False
        self.abandoned = False  #: cancelled by us, because nobody waits: who comes now begins anew
        self.stopped = False  #: its task was cancelled, or is tearing down: a cancellation now would cut a finalizer
        self.outcome: Outcome | None = None
        self.seen: tuple[Any, ...] = ()  #: what is in force for what is built, beside overrides
        self.began = 0.0
        self.finished = 0.0

    def builds_for(self) -> Any:
        """Return the container that is kept waiting by it; None where it is over, or was going on in the parent of a fork."""
        return self.owner.scope if self.owner.flights.get(self.node) is self else None

    def end(self, outcome: Outcome) -> None:
        """Mark it as over and tell everyone who waits.  The lock is held."""
        if self.done:
            return
        self.done, self.outcome = True, outcome
        if self.seen:
            unshield(self.seen)
        waiters, self.waiters = self.waiters, {}
        for waiter in waiters:
            if isinstance(waiter, asyncio.Future):
                wake(waiter)
            else:
                waiter.told(self)

    def leave(self, waiter: Any) -> None:
        """Stop waiting; the last one to leave cancels the build."""
        with LOCK:
            self.waiters.pop(waiter, None)
            if not self.waiters and not self.done and self.task is not None and not self.abandoned:
                self.abandoned = True
                self.stop()

    def stop(self) -> None:
        """Cancel its task, once."""
        with LOCK:
            if self.task is not None and not self.stopped:
                self.stopped = True
                cancel_task(self.task)


class Singletons:
    """
    The values of one container: those that are there, those on their way, and whose they are.

    Those of an overlay or a child lie above others; what does not belong here is had from below.  Changed under the
    lock; whether a value is built may be read without it.
    """

    __slots__ = (
        "__weakref__", "below", "built", "era", "flights", "follows", "forked_from", "graph", "hands", "loop", "lost", "name",
        "origin", "overlaid", "overridden", "owed", "owner_tasks", "pinned", "retiring", "scope", "state", "tasks", "watch",
    )  # fmt: skip

    def __init__(
        self, scope: ScopeState, hands: Hands, graph: Graph, name: str, below: Singletons | None = None, *, overlaid: bool = False
    ) -> None:
        """
        Args:
            scope: The container, which holds the finalizers, and which services are bound to.
            below: Whose is what does not belong here.
            overlaid: Those below are of the same application: they share its loop.
        """
        self.scope = scope
        self.hands = hands
        self.graph = graph
        self.name = name
        self.below = below
        self.overlaid = overlaid
        self.origin: Singletons = below.origin if below is not None and overlaid else self  #: whose loop counts
        self.built: dict[Node, Any] = {}
        self.flights: dict[Node, Flight] = {}  #: what is being built
        #: what serves a key now -> what is being built, and was to serve it: that stays, as what is built does
        self.follows: dict[Node, Node] = {}
        self.tasks: set[asyncio.Task[Any]] = set()  #: builds in flight
        self.owner_tasks: set[asyncio.Task[Any]] = set()  #: wait to leave what they have entered
        self.loop: asyncio.AbstractEventLoop | None = None  #: the one that may build; of an overlay see `origin`
        self.state = IS_CLOSED
        self.forked_from = 0  #: the process in which it was open when this one was forked
        self.retiring = False
        self.owed: list[BaseException] = []  #: what tear-downs raised that nobody could be told of: told at closing
        self.watch: Watcher | None = None  #: what cold paths tell, run and time; None where there is nothing of the kind
        self.overridden = 0  #: how many overrides are in force
        #: of an override, which is seen without a handle: it stands for itself in what its builds see
        self.pinned: object | None = None
        self.lost: dict[Node, int] = {}  #: what was built and has been forgotten -> in which era
        self.era = 0  #: how often something that was built has been forgotten

    # --- values ---

    def has(self, node: Node) -> bool:
        """Tell whether a container value is built."""
        if node in self.built:
            return True
        below = self.below
        return below is not None and not self.graph.owns(node) and below.has(node)

    def has_all(self, nodes: Iterable[Node]) -> bool:
        built, alone = self.built, self.below is None
        for node in nodes:  # noqa: SIM110  # a generator would be one more call for each get
            if node not in built and (alone or not self.has(node)):
                return False
        return True

    def value(self, node: Node) -> Any:
        """Return a container value that is built."""
        try:
            return self.built[node]
        except KeyError:
            if self.below is None:  # it was there a moment ago, and another thread has closed this since
                raise ClosedError(f"{self.title} was closed meanwhile") from None
        return self.below.value(node)

    def owner_of(self, node: Node) -> Singletons:
        """Return those that a container value belongs to."""
        if self.below is None or self.graph.owns(node):
            return self
        return self.below.owner_of(node)

    def ahead_of(self, node: Node) -> Flight | None:
        """Return the build that gives *node* its value, where that follows another one; else see to its own.  The lock is held."""
        first = self.follows[node]
        flight = self.flights.get(first)
        if first not in self.built and flight is not None and not (flight.done or (flight.loop and flight.loop.is_closed())):
            return flight
        del self.follows[node]
        if first in self.built:
            self.built.setdefault(node, self.built[first])
        return None

    def unit(self, node: Node) -> Unit:
        """Return what makes a container value."""
        return unit_of(self.graph, node)

    def forget(self, nodes: Iterable[Node]) -> None:
        """Drop built values, and every built value that stands on them."""
        gone = set(nodes)
        grows = True
        while grows:
            grows = False
            for node in self.built:
                if node not in gone and any(other in gone for edge in node.edges for other in edge.target.each()):
                    gone.add(node)
                    grows = True
        for node in gone:
            self.built.pop(node, None)
        self.lose(gone)
        self.hands.forgotten()

    def lose(self, gone: Iterable[Node]) -> None:
        """Note what is forgotten: attributes that hold such fetch anew."""
        self.era += 1
        self.lost.update(dict.fromkeys(gone, self.era))

    def drop_half(self, half: Node) -> None:
        """Drop the instance of a service that did not start: nobody holds it, and nothing stands on it."""
        self.built.pop(half, None)
        self.hands.dropped()

    # --- who may ask, who may build ---

    def ambient_while_building(self) -> Any:
        """
        Return what is ambient while a container builds what it keeps: no scope, which would end before that does.

        It is the container itself, unless what is ambient here is of quite another one: then it is that.
        """
        here = AMBIENT.get()
        if here is None:
            return None
        return self.scope if here._singletons.origin is self.origin else here.container

    @property
    def title(self) -> str:
        return f"the container of {self.name}"

    def turn(self, state: str) -> None:
        """Be open, closing or closed from here on: the one place where this changes.  The lock is held."""
        self.state = state
        if state == OPEN:
            self.forked_from = 0

    def check_open(self) -> None:
        """
        Refuse where nothing is handed out any more.

        Raises:
            ClosedError: Closed, or closing; a finalizer may still read what is built, which is closed after it.
        """
        if self.state != OPEN and not (self.state == IS_CLOSING and self.scope in EXITING.get()):
            if self.forked_from:
                raise ClosedError(
                    f"{self.title} was open in process {self.forked_from} when this one, {os.getpid()}, was forked from it, "
                    "and lives there: open a container of this process's own, or enter this one here, which begins anew"
                )
            raise ClosedError(f"{self.title} is {self.state}")
        if self.below is not None:
            self.below.check_open()

    def check_loop(self, loop: asyncio.AbstractEventLoop | None, node: Node) -> None:
        """
        See to it that *loop* may build here: the owner, or its successor where that is closed.

        Raises:
            WrongLoopError: Another living loop owns the container.
        """
        origin = self.origin
        if loop is None or loop is origin.loop:
            return
        with LOCK:
            owner = origin.loop
            if owner is not None and not owner.is_closed():
                raise WrongLoopError(
                    f"{node.name} would have to be built in a second event loop, while the one of {origin.name} is alive; "
                    "build it beforehand there (await container.start()), or give each loop a container of its own"
                )
            origin.loop = loop
            if owner is not None:
                origin.hands.lose_loop(owner)
        origin.hands.mind_loop(loop)

    # --- overrides in force ---

    @property
    def minds(self) -> bool:
        """Whether what is built has to mind overrides: some are in force here, or below what is seen by its handle."""
        here: Singletons | None = self
        while here is not None:
            if here.overridden:
                return True
            here = here.below if here.overlaid and here.pinned is None else None
        return False

    def seen_by_builds(self) -> tuple[Any, ...]:
        """Return what is in force while one value of this is built."""
        # What an override builds may look for its like without a handle.
        return (Shield(),) if self.pinned is None else (self.pinned,)

    def clean_context(self, context: contextvars.Context) -> tuple[Any, ...]:
        """Take out of a build's context what must not reach a shared value: overrides in force; return what is seen instead."""
        if not (self.overlaid or self.overridden):
            return ()
        seen = self.seen_by_builds()
        context.run(IN_FORCE.set, seen)
        return seen

    def building(self) -> AbstractContextManager[None]:
        """Return the context manager in which what is shared is built, or fetched for good: it keeps no fake."""
        if self.overridden or (self.overlaid and self.minds):
            return Seeing(self.seen_by_builds())
        return nullcontext()

    def building_context(self) -> tuple[contextvars.Context, tuple[Any, ...]] | None:
        """Return the context for a build in place, and what is seen in it; None where the caller's will do."""
        if not (self.overlaid or self.overridden):
            return None
        context = contextvars.copy_context()
        return context, self.clean_context(context)


class ScopeState(Waitable):
    """
    What a scope, or a container, holds.

    Rooms that build, compile and tear down work on this; the public classes stand on it, some floors above.
    """

    # On the scope itself: generated code reads these on every request.
    __slots__ = (
        "__weakref__",
        "_children",
        "_finalizers",
        "_in_flight",
        "_parent",
        "_roots",
        "_values",
    )

    _children: set[ScopeState] | None  #: scopes inside of this one that have something to close
    _finalizers: Finalizer | list[Finalizer] | None  #: see `push`
    _in_flight: int  #: gets in flight that await, plus CLOSING
    _parent: ScopeState  #: the scope or container around this one; NOWHERE of a container
    _roots: dict[object, RootFunction]  #: what is asked for -> its root
    _values: list[Any]  #: by slot, UNSET or FLIGHT where there is none

    # --- facts of the class that a container makes for each level, or of the container itself ---

    _level: int = -1
    _roots_nowait: dict[object, RootNowait] = CLOSED  #: what is asked for -> its root for get_nowait
    _singletons: Singletons  #: the values of its container
    #: every build has to be seen, so that no code may be generated that builds without telling
    _observed = False
    #: no scope can be opened in it
    _innermost = False
    #: whoever leaves it open is told
    _warns_open = True

    @property
    def _by_threads(self) -> bool:
        """Whether any number of threads may use it: it was entered with a plain ``with``, see `ThreadWaiters`."""
        return type(self._waiters) is ThreadWaiters

    @property
    def _thread(self) -> int | None:
        """The thread that has entered it with a plain ``with``."""
        waiters = self._waiters
        return waiters.thread if type(waiters) is ThreadWaiters else None

    def _at(self, level: int) -> ScopeState:
        """Return the scope of *level* that this is, or lies in."""
        scope = self
        while scope._level > level:
            scope = scope._parent
        return scope

    def _home(self, node: Node) -> ScopeState:
        """Return the scope that holds the value of a scoped node."""
        return self if node.level == self._level else self._at(node.level)

    if TYPE_CHECKING:
        # What the public scope defines, for the rooms between: they call, and never import it.

        @property
        def container(self) -> ScopeState: ...
        @property
        def closed(self) -> bool: ...
        @property
        def level(self) -> str: ...
        @property
        def _name(self) -> str: ...
        @property
        def _title(self) -> str: ...
        def _get_cold(self, token: object) -> Coroutine[Any, Any, Any]: ...
        def scope(self, context: Any = None, /, *, level: str | None = None) -> Any: ...
        def get(self, token: Any, /) -> Coroutine[Any, Any, Any]: ...
        def get_nowait(self, token: Any, /) -> Any: ...
        def gather(self, *tokens: Any) -> Coroutine[Any, Any, Any]: ...
        def _check_open(self) -> None: ...
        def _standing(self) -> ScopeState: ...
        def _shown(self) -> ScopeState: ...
        def _moved_since(self) -> int: ...
        def _find(self, token: object) -> Root: ...
        def _active(self) -> Overriding | None: ...
        def _elsewhere(self, site: Site | tuple[type, Any]) -> Answers | None: ...
        def _shares(self, site: Site | tuple[type, Any]) -> bool: ...
        def _make_anew(self, node: Node, arguments: dict[str, Any]) -> Coroutine[Any, Any, Any]: ...
        def _make_anew_nowait(self, node: Node, arguments: dict[str, Any]) -> Any: ...
        async def _close(self, error: BaseException | None, *, waits: bool = True) -> None: ...
        def _close_nowait(self, error: BaseException | None) -> None: ...
        async def _fail(self, error: BaseException | None, closers: Closers, *, waits: bool = True) -> None: ...
        def _be_looked_at(self) -> None: ...
        def _refuse_awaiting(self) -> None: ...
        def _wake_closers(self) -> None: ...


if TYPE_CHECKING:

    class Answers(ScopeState):
        """A scope as an override shows it: attributes and handles that others hold are answered here."""

        def _attribute(self, which: object, holder: object, key: object) -> Coroutine[Any, Any, Any]: ...
        def _attribute_nowait(self, which: object, holder: object, key: object) -> Any: ...

    class Overriding(ScopeState):
        """An overlay that is in force, as those know it who ask what it answers."""

        @property
        def _below(self) -> ScopeState: ...
        def _answering(self, scope: ScopeState, token: object) -> Answers | None: ...
        def _answering_for(self, container: ScopeState, scope: ScopeState, token: object) -> Overriding | None: ...
        def _view_of(self, scope: ScopeState) -> Answers: ...


#: Stands where a container would have what is around it.
NOWHERE: Final = ScopeState()
NOWHERE._children, NOWHERE._parent = None, NOWHERE

#: Takes a finalizer of a scope.
Push: TypeAlias = Callable[[ScopeState, Finalizer], None]

#: What a token leads to, made a function of the scope that is asked.
RootFunction: TypeAlias = Callable[[ScopeState], Coroutine[Any, Any, Any]]
RootNowait: TypeAlias = Callable[[ScopeState], Any]
