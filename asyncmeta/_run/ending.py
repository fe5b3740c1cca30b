"""How does a container end, or lose its loop?  In the order of who uses whom, and nothing is lost."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import warnings
from typing import TYPE_CHECKING, Any

from .._compat import new_task
from .._solve.graph import Graph
from .._solve.nodes import Node
from .._solve.plan import Unit
from ..errors import ClosedError, ContainerError, WrongLoopError
from .ambient import Ambient
from .cells import CHAIN, LOCK, Build, scopes_above
from .closing import CLOSED, CLOSING, CLOSING_CODES, FLIGHT_CODES, GONE, LEAVES_FOR, MAKES_FOR, warn_open
from .drive import Holder
from .finalizers import EXITING, as_list, check_sync, settle_errors, unwind, unwind_sync
from .getters import Getters
from .handles import Ready, refusing
from .injections import Injections
from .keeping import Part
from .scope import Scope

if TYPE_CHECKING:
    from .observing import Watch

__all__ = ["IS_CLOSED", "IS_CLOSING", "OPEN", "Ending"]

OPEN, IS_CLOSING, IS_CLOSED = "open", "closing", "closed"


class Ending(Scope):
    """The part of a container that ends it."""

    # No dictionary: `container.get` is looked up on the class at once.
    __slots__ = (
        "aside",  # the tables of roots while an override is in force
        "built",  # container values
        "checks",
        "classes",
        "closing",  # the task that closes it
        "enters",  # what is asked for -> the code that enters a one-shot scope for it
        "everywhere",  # overrides in force for everybody
        "flights",  # what is being built
        "forked_from",  # the process in which it was open when this one was forked from that; 0 where it is this process's own
        "generations",  # all tables since it was opened, with how much of graph.moved each one knows
        "getters",
        "graph",
        "grounds",  # what it has made ambient, by entering
        "holders",  # tasks that wait to leave what they have entered
        "injections",
        "instance",  # the application itself, where the user made it
        "laid",  # overrides in force, for whomever
        "loop",  # the one that may build
        "moves",  # how much of graph.moved is caught up with
        "name",  # pyright: ignore[reportIncompatibleMethodOverride]  # a property of scopes, a fact of containers
        "observed",
        "overridden",  # how many overrides are in force
        "owed",  # what tear-downs raised that nobody could be told of: told when the container closes
        "pins",  # keys that are built and that nothing serves any more -> what is built
        "q",  # what is asked for -> its root for get_nowait
        "ready_class",
        "retiring",
        "root_class",
        "scope",  # what opens a scope: a class, where there is one level
        "sharing",  # by level and site: whether what is asked for is shared
        "sizes",  # slots by level, as the scopes being made now have them
        "state",
        "tables",  # roots by level
        "tables_nowait",
        "tasks",  # builds in flight
        "watch",  # what cold paths tell, run and time; None where there is nothing of the kind
        "watcher",  # the same, kept when there is nothing any more
    )

    built: dict[Node, Any]
    checks: bool
    classes: dict[tuple[int, type[Scope]], Any]  #: of its scopes, by level and kind
    closing: asyncio.Task[Any] | None
    enters: dict[Any, Any]
    flights: dict[Node, Build]
    forked_from: int
    generations: list[tuple[dict[Any, Any], int]]
    getters: Getters
    graph: Graph
    grounds: list[Ambient]
    holders: set[asyncio.Task[Any]]
    injections: Injections
    instance: Any
    laid: list[Any]
    loop: asyncio.AbstractEventLoop | None
    moves: int
    name: str  # pyright: ignore[reportIncompatibleMethodOverride]  # a property of scopes, a fact of containers
    aside: list[dict[Any, Any]]
    everywhere: list[Any]
    observed: bool
    owed: list[BaseException]
    overridden: int
    pins: dict[Any, Node]
    ready_class: type[Ready] | None
    retiring: bool
    root_class: type
    sharing: dict[Any, bool]
    sizes: list[int]
    state: str
    tables: list[dict[Any, Any]]
    tables_nowait: list[dict[Any, Any]]
    tasks: set[asyncio.Task[Any]]
    watch: Watch | None
    watcher: Watch | None

    def new_tables(self) -> None:
        """Let everything be looked up anew."""
        raise NotImplementedError

    def begin_anew(self) -> None:
        """Begin, or begin anew, with nothing built."""
        raise NotImplementedError

    def end_force(self) -> None:
        """What is in force by this, an override's, is so for nobody any more."""

    def unit(self, node: Node) -> Unit:
        """Return the unit of a container value."""
        raise NotImplementedError

    def heed_debug(self, loop: asyncio.AbstractEventLoop) -> None:
        """Mind how long builds take where asyncio's debug mode wants to know."""
        raise NotImplementedError

    # --- loops ---

    def check_loop(self, loop: asyncio.AbstractEventLoop | None, node: Node) -> None:
        """
        See to it that *loop* may build here: the owner, or its successor where that is closed.

        Raises:
            WrongLoopError: Another living loop owns the container.
        """
        if loop is None or loop is self.loop:
            return
        with LOCK:
            owner = self.loop
            if owner is not None and not owner.is_closed():
                raise WrongLoopError(
                    f"{node.name} would have to be built in a second event loop, while the one of {self.name} is alive; "
                    "build it beforehand there (await container.start()), or give each loop a container of its own"
                )
            self.loop = loop
            if owner is not None:
                self._lose_loop(owner)
        self.heed_debug(loop)

    def _lose_loop(self, owner: asyncio.AbstractEventLoop) -> None:
        """Forget what died with a loop: builds, values whose holder did, and what stands on these."""
        for node, build in list(self.flights.items()):
            if build.loop is owner:
                del self.flights[node]
        lost = [finalizer for finalizer in as_list(self.x) if isinstance(finalizer, Part)]
        if lost:
            self.x = [finalizer for finalizer in as_list(self.x) if finalizer not in lost] or None
            self.forget({part.keeper.build.node for part in lost if isinstance(part.keeper, Holder)})
        self.tasks.clear()
        self.holders.clear()
        self.kids.clear()
        if lost:  # at the end: where warnings are errors, all that died is forgotten, too
            names = ", ".join(dict.fromkeys(part.name for part in lost))
            warnings.warn(f"the event loop of {self.name} was closed before {names} could be", ResourceWarning, stacklevel=2)

    def forget(self, nodes: set[Node]) -> None:
        """Drop built values, and every built value that stands on them."""
        gone = set(nodes)
        grows = True
        while grows:
            grows = False
            for node in self.built:
                if node not in gone and any(other in gone for edge in node.edges or () for other in edge.target.each()):
                    gone.add(node)
                    grows = True
        for node in gone:
            self.built.pop(node, None)
        self.new_tables()
        if self.ready_class is not None:
            self.ready_class = None

    async def retire(self, leader: Holder) -> None:
        """
        The loop ends under us: run all finalizers, in reverse, led by the first holder that was cancelled.

        What had a finalizer, and what stands on it, is forgotten; plain values stay.
        """
        if self.retiring or self.state != OPEN:
            return
        self.retiring = True
        try:
            for _ in range(20):  # scopes whose tasks are cancelled now close themselves
                if not self.kids:
                    break
                await asyncio.sleep(0)
            raised: list[BaseException] = []
            await self._close_kids(raised)
            finalizers, self.x = as_list(self.x), None
            holders = {one.keeper for one in finalizers if isinstance(one, Part) and isinstance(one.keeper, Holder)}
            for holder in holders:
                holder.retiring = True
            self.forget({node for node in self.built if self.unit(node).generators})
            raised += await unwind(self._watched(finalizers), None)
            for error in raised:
                asyncio.get_running_loop().call_exception_handler(
                    {"message": f"a finalizer of {self.name} failed while its event loop ended", "exception": error}
                )
        finally:
            self.retiring = False

    # --- closing ---

    async def _close(self, error: BaseException | None) -> None:
        if self._is_exiting():
            return  # a finalizer of ours asks for what is going on
        self._refuse_inside()
        if self.state == IS_CLOSED:
            return
        if self.closing is None:
            if self.state == IS_CLOSING:
                raise ContainerError(f"the container of {self.name} is being closed by another thread")
            loop = asyncio.get_running_loop()
            if self.loop is not None and self.loop is not loop:
                if not self.loop.is_closed():
                    raise WrongLoopError(f"the container of {self.name} belongs to another event loop, and is closed there")
                self._lose_loop(self.loop)
            self._begin_closing()
            context = contextvars.copy_context()
            context.run(EXITING.set, (*EXITING.get(), self))
            self.closing = new_task(self._closing(error), loop, context, f"asyncmeta: closing {self.name}")
        closing, cancelled = self.closing, None
        while not closing.done():
            try:
                await asyncio.wait([closing])
            except asyncio.CancelledError as met:
                cancelled = met
        raised = [] if closing.cancelled() else closing.result()
        if cancelled is not None:
            raised = [cancelled, *raised]
        settle_errors(raised, error)

    def _is_exiting(self) -> bool:
        """Tell whether the running code is a finalizer of this, or of something inside."""
        return self in EXITING.get() or any(one.container is self for one in scopes_above(CLOSING_CODES, LEAVES_FOR))

    def _refuse_inside(self) -> None:
        inside = any(build.container is self and not build.done for build in CHAIN.get())
        if inside or any(scope.container is self for scope in scopes_above(FLIGHT_CODES, MAKES_FOR)):
            raise ContainerError(f"the container of {self.name} cannot be closed by a factory that it is waiting for")

    def _begin_closing(self) -> None:
        """Hand nothing out from here on."""
        with LOCK:
            self.state = IS_CLOSING
            self.new_tables()
            self.r = self.q = CLOSED
            self.n += CLOSING

    async def _closing(self, error: BaseException | None) -> list[BaseException]:
        """Close everything, in the order of who uses whom; return what was raised."""
        raised: list[BaseException] = []
        loop = asyncio.get_running_loop()
        while self.tasks:
            for build in list(self.flights.values()):
                build.stop()
            await _swallowing(asyncio.wait(list(self.tasks)))
        while self.flights:  # built in place, in another thread
            with LOCK:
                waiting = [loop.create_future() for _ in self.flights]
                for build, future in zip(self.flights.values(), waiting, strict=True):
                    build.waiters[future] = None
            if waiting:
                await _swallowing(asyncio.wait(waiting))
        await _swallowing(self._until(-2, lambda: self.n == CLOSING))
        await self._close_kids(raised)
        finalizers, self.x = as_list(self.x), None
        raised[:0] = await unwind(self._watched(finalizers), error)
        raised[:0], self.owed = self.owed, []
        self._end()
        return raised

    def _watched(self, finalizers: list[Any]) -> list[Any]:
        """Return *finalizers* so that observers are told when they run."""
        return finalizers if self.watch is None else self.watch.all_watched(finalizers, self.graph)

    def _end(self) -> None:
        """Nothing is left: from here on every use is refused."""
        with LOCK:
            self.state = IS_CLOSED
            self.built.clear()
            self.v = GONE
            self.loop = None
            if self.ready_class is not None:
                name = self.name
                self.ready_class.__await__ = refusing(  # type: ignore[method-assign, assignment]  # this container's own class
                    lambda: ClosedError(f"the container of {name} is closed")
                )
                self.ready_class = None
        if self.watch is not None and self.p is None:
            self.watch.closed(self.name)

    def _close_sync(self, error: BaseException | None) -> None:
        if self.state == IS_CLOSED or self._is_exiting():
            return
        if self.state == IS_CLOSING:
            raise ContainerError(f"the container of {self.name} is closing already")
        finalizers = as_list(self.x)
        check_sync(finalizers, f"the container of {self.name}")
        for kid in self.kids:
            check_sync(as_list(kid.x), kid.name)
        self._refuse_inside()
        if self.tasks or self.n:
            raise ContainerError(f"the container of {self.name} has builds in flight: close it with `await container.aclose()`")
        self._begin_closing()
        token = EXITING.set((*EXITING.get(), self))
        raised: list[BaseException] = []
        try:
            self._wait_for_threads()
            for kid in list(self.kids):
                warn_open(kid, raised)
                try:
                    kid._close_sync(None)
                except BaseException as met:
                    raised.append(met)
            finalizers, self.x = as_list(self.x), None
            raised[:0] = unwind_sync(self._watched(finalizers), error)
            raised[:0], self.owed = self.owed, []
        finally:
            EXITING.reset(token)
            self._end()
        settle_errors(raised, error)

    def _wait_for_threads(self) -> None:
        while True:
            with LOCK:
                build = next(iter(self.flights.values()), None)
                if build is None:
                    return
                waiter = Told()
                build.waiters[waiter] = None
            waiter.event.wait()


class Told:
    """Waits for a build in a thread."""

    __slots__ = ("event",)

    def __init__(self) -> None:
        self.event = threading.Event()

    def told(self, build: Build) -> None:
        self.event.set()


async def _swallowing(work: Any) -> None:
    """Await *work* to its end; a cancellation of the closing task waits until closing is over."""
    try:
        await work
    except asyncio.CancelledError:
        return
