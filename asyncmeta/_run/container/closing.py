"""How does a container end, or lose its loop?  In the order of who uses whom, and nothing is lost."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import warnings
from collections.abc import Callable, Generator, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ..._compat import new_task
from ..._solve.graph import Graph
from ..._solve.nodes import Node
from ..._solve.plan import Unit
from ...errors import ClosedError, ContainerError, WrongLoopError
from ..build.driver import BuildTask
from ..build.handles import Ready, refusing, renewing, renewing_nowait
from ..scope.injections import Injections
from ..scope.scope import Scope
from ..state.context import EXITING, Ambient
from ..state.getters import Getters
from ..state.waiting import CHAIN, LOCK, Flight, scopes_above
from ..teardown.finalizers import as_list, refuse_async, settle_errors, unwind, unwind_nowait
from ..teardown.owner_task import Part
from ..teardown.scope_exit import CLOSED, CLOSING, CLOSING_CODES, FLIGHT_CODES, GONE, LEAVES_FOR, MAKES_FOR, warn_open

if TYPE_CHECKING:
    from ..observe.watch import Watch

__all__ = ["IS_CLOSED", "IS_CLOSING", "OPEN", "Ending"]

OPEN, IS_CLOSING, IS_CLOSED = "open", "closing", "closed"


class Ending(Scope):
    """The part of a container that ends it."""

    # No dictionary: `container.get` is looked up on the class at once.
    __slots__ = (
        "_aside",  # the tables of roots while an override is in force
        "_built",  # container values
        "_checks",
        "_classes",
        "_closing_task",  # the task that closes it
        "_enters",  # what is asked for -> the code that enters a one-shot scope for it
        "_era",  # how often something that was built has been forgotten
        "_everywhere",  # overrides in force for everybody
        "_flights",  # what is being built
        "_forked_from",  # the process in which it was open when this one was forked from that; 0 where it is this process's own
        "_generations",  # all tables since it was opened, with how much of graph.moved each one knows
        "_getters",
        "_graph",
        "_grounds",  # what it has made ambient, by entering
        "_holders",  # tasks that wait to leave what they have entered
        "_injections",
        "_instance",  # the application itself, where the user made it
        "_laid",  # overrides in force, for whomever
        "_loop",  # the one that may build
        "_lost",  # what was built and has been forgotten -> in which era
        "_made_with",  # context of its own: by key what it was made with
        "_moves",  # how much of graph.moved is caught up with
        "_name",  # pyright: ignore[reportIncompatibleMethodOverride]  # a property of scopes, a fact of containers
        "_observed",
        "_overridden",  # how many overrides are in force
        "_owed",  # what tear-downs raised that nobody could be told of: told when the container closes
        "_pins",  # keys that are built and that nothing serves any more -> what is built
        "_ready_class",
        "_retiring",
        "_root_class",
        "_roots_nowait",  # what is asked for -> its root for get_nowait
        "_sharing",  # by level and site: whether what is asked for is shared
        "_sizes",  # slots by level, as the scopes being made now have them
        "_state",
        "_tables",  # roots by level
        "_tables_nowait",
        "_tasks",  # builds in flight
        "_watch",  # what cold paths tell, run and time; None where there is nothing of the kind
        "_watcher",  # the same, kept when there is nothing any more
        "scope",  # what opens a scope: a class, where there is one level
    )

    _built: dict[Node, Any]
    _checks: bool
    _classes: dict[tuple[int, type[Scope]], Any]  #: of its scopes, by level and kind
    _closing_task: asyncio.Task[Any] | None
    _enters: dict[Any, Any]
    _era: int
    _flights: dict[Node, Flight]
    _forked_from: int
    _generations: list[tuple[dict[Any, Any], int]]
    _getters: Getters
    _made_with: Mapping[Any, object]
    _graph: Graph
    _grounds: list[Ambient]
    _holders: set[asyncio.Task[Any]]
    _injections: Injections
    _instance: Any
    _laid: list[Any]
    _loop: asyncio.AbstractEventLoop | None
    _lost: dict[Node, int]
    _moves: int
    _name: str  # pyright: ignore[reportIncompatibleMethodOverride]  # a property of scopes, a fact of containers
    _aside: list[dict[Any, Any]]
    _everywhere: list[Any]
    _observed: bool
    _owed: list[BaseException]
    _overridden: int
    _pins: dict[Any, Node]
    _ready_class: type[Ready] | None
    _retiring: bool
    _root_class: type
    _sharing: dict[Any, bool]
    _sizes: list[int]
    _state: str
    _tables: list[dict[Any, Any]]
    _tables_nowait: list[dict[Any, Any]]
    _tasks: set[asyncio.Task[Any]]
    _watch: Watch | None
    _watcher: Watch | None

    def _new_tables(self) -> None:
        """Let everything be looked up anew."""
        raise NotImplementedError

    def _begin_anew(self) -> None:
        """Begin, or begin anew, with nothing built."""
        raise NotImplementedError

    def _end_force(self) -> None:
        """What is in force by this, an override's, is so for nobody any more."""

    def _unit(self, node: Node) -> Unit:
        """Return the unit of a container value."""
        raise NotImplementedError

    def _heed_debug(self, loop: asyncio.AbstractEventLoop) -> None:
        """Mind how long builds take where asyncio's debug mode wants to know."""
        raise NotImplementedError

    # --- loops ---

    def _check_loop(self, loop: asyncio.AbstractEventLoop | None, node: Node) -> None:
        """
        See to it that *loop* may build here: the owner, or its successor where that is closed.

        Raises:
            WrongLoopError: Another living loop owns the container.
        """
        if loop is None or loop is self._loop:
            return
        with LOCK:
            owner = self._loop
            if owner is not None and not owner.is_closed():
                raise WrongLoopError(
                    f"{node.name} would have to be built in a second event loop, while the one of {self._name} is alive; "
                    "build it beforehand there (await container.start()), or give each loop a container of its own"
                )
            self._loop = loop
            if owner is not None:
                self._lose_loop(owner)
        self._heed_debug(loop)

    def _lose_loop(self, owner: asyncio.AbstractEventLoop) -> None:
        """Forget what died with a loop: builds, values whose holder did, and what stands on these."""
        for node, flight in list(self._flights.items()):
            if flight.loop is owner:
                del self._flights[node]
        lost = [finalizer for finalizer in as_list(self._finalizers) if isinstance(finalizer, Part)]
        if lost:
            self._finalizers = [finalizer for finalizer in as_list(self._finalizers) if finalizer not in lost] or None
            self._forget({part.owner_task.flight.node for part in lost if isinstance(part.owner_task, BuildTask)})
        self._tasks.clear()
        self._holders.clear()
        self._children.clear()
        if lost:  # at the end: where warnings are errors, all that died is forgotten, too
            names = ", ".join(dict.fromkeys(part.name for part in lost))
            warnings.warn(f"the event loop of {self._name} was closed before {names} could be", ResourceWarning, stacklevel=2)

    def _forget(self, nodes: set[Node]) -> None:
        """Drop built values, and every built value that stands on them; attributes that hold such fetch anew."""
        gone = set(nodes)
        grows = True
        while grows:
            grows = False
            for node in self._built:
                if node not in gone and any(other in gone for edge in node.edges or () for other in edge.target.each()):
                    gone.add(node)
                    grows = True
        for node in gone:
            self._built.pop(node, None)
        self._new_tables()
        self._lose(gone)

    def _lose(self, gone: Iterable[Node]) -> None:
        self._era += 1
        self._lost.update(dict.fromkeys(gone, self._era))
        if self._ready_class is not None:
            self._ready_class.__await__ = renewing  # type: ignore[method-assign]  # this container's own class
            self._ready_class._fetch_nowait = renewing_nowait  # type: ignore[method-assign]
            self._ready_class = None

    def _drop_half(self, half: Node) -> None:
        """Drop the instance of a service that did not start: nobody holds it, and nothing stands on it."""
        self._built.pop(half, None)
        self._new_tables()

    async def _retire(self, leader: BuildTask) -> None:
        """
        The loop ends under us: run all finalizers, in reverse, led by the first holder that was cancelled.

        What had a finalizer, and what stands on it, is forgotten; plain values stay.
        """
        if self._retiring or self._state != OPEN:
            return
        self._retiring = True
        try:
            for _ in range(20):  # scopes whose tasks are cancelled now close themselves
                if not self._children:
                    break
                await asyncio.sleep(0)
            raised: list[BaseException] = []
            await self._close_kids(raised)
            finalizers, self._finalizers = as_list(self._finalizers), None
            holders = {one.owner_task for one in finalizers if isinstance(one, Part) and isinstance(one.owner_task, BuildTask)}
            for holder in holders:
                holder.retiring = True
            self._forget({node for node in self._built if self._unit(node).generators})
            raised += await unwind(self._watched(finalizers), None)
            for error in raised:
                asyncio.get_running_loop().call_exception_handler(
                    {"message": f"a finalizer of {self._name} failed while its event loop ended", "exception": error}
                )
        finally:
            self._retiring = False

    # --- closing ---

    async def _close(self, error: BaseException | None) -> None:
        if self._is_exiting():
            return  # a finalizer of ours asks for what is going on
        self._refuse_inside()
        if self._state == IS_CLOSED:
            return
        if self._closing_task is None:
            if self._state == IS_CLOSING:
                raise ContainerError(f"the container of {self._name} is being closed by another thread")
            loop = asyncio.get_running_loop()
            if self._loop is not None and self._loop is not loop:
                if not self._loop.is_closed():
                    raise WrongLoopError(f"the container of {self._name} belongs to another event loop, and is closed there")
                self._lose_loop(self._loop)
            self._begin_closing()
            context = contextvars.copy_context()
            context.run(EXITING.set, (*EXITING.get(), self))
            self._go_on_closing(error, loop, context)
        cancelled = None
        while True:
            closing = self._closing_task
            assert closing is not None
            if closing.done() and not closing.cancelled():
                break
            try:
                await asyncio.wait([closing])
            except asyncio.CancelledError as met:
                cancelled = met
        raised = closing.result()
        if cancelled is not None:
            raised = [cancelled, *raised]
        settle_errors(raised, error)

    def _go_on_closing(self, error: BaseException | None, loop: asyncio.AbstractEventLoop, context: contextvars.Context) -> None:
        """Have everything closed in a task; where that is cancelled before its first step, it never ran a line, in another."""

        def over(task: asyncio.Task[list[BaseException]]) -> None:
            if task.cancelled() and self._closing_task is task and not loop.is_closed():
                self._go_on_closing(error, loop, context)

        task = self._closing_task = new_task(self._closing(error), loop, context, f"asyncmeta: closing {self._name}")
        task.add_done_callback(over)

    def _is_exiting(self) -> bool:
        """Tell whether the running code is a finalizer of this, or of something inside."""
        return self in EXITING.get() or any(one.container is self for one in scopes_above(CLOSING_CODES, LEAVES_FOR))

    def _refuse_inside(self) -> None:
        inside = any(flight.container is self and not flight.done for flight in CHAIN.get())
        if inside or any(scope.container is self for scope in scopes_above(FLIGHT_CODES, MAKES_FOR)):
            raise ContainerError(f"the container of {self._name} cannot be closed by a factory that it is waiting for")

    def _begin_closing(self) -> None:
        """Hand nothing out from here on."""
        with LOCK:
            self._state = IS_CLOSING
            self._new_tables()
            self._roots = self._roots_nowait = CLOSED
            self._in_flight += CLOSING

    async def _closing(self, error: BaseException | None) -> list[BaseException]:
        """Close everything, in the order of who uses whom; return what was raised."""
        raised: list[BaseException] = []
        loop = asyncio.get_running_loop()
        while self._tasks:
            for flight in list(self._flights.values()):
                flight.stop()
            await _swallowing(asyncio.wait(list(self._tasks)))
        while self._flights:  # built in place, in another thread
            with LOCK:
                waiting = [loop.create_future() for _ in self._flights]
                for flight, future in zip(self._flights.values(), waiting, strict=True):
                    flight.waiters[future] = None
            if waiting:
                await _swallowing(asyncio.wait(waiting))
        await _swallowing(self._until(-2, lambda: self._in_flight == CLOSING))
        await self._close_kids(raised)
        finalizers, self._finalizers = as_list(self._finalizers), None
        raised[:0] = await unwind(self._watched(finalizers), error)
        raised[:0], self._owed = self._owed, []
        self._end()
        return raised

    def _watched(self, finalizers: list[Any]) -> list[Any]:
        """Return *finalizers* so that observers are told when they run."""
        return finalizers if self._watch is None else self._watch.all_watched(finalizers, self._graph)

    def _end(self) -> None:
        """Nothing is left: from here on every use is refused."""
        with LOCK:
            self._state = IS_CLOSED
            self._era += 1
            self._lost.update(dict.fromkeys(self._built, self._era))
            self._built.clear()
            self._values = GONE
            self._loop = None
            if self._ready_class is not None:
                self._ready_class.__await__ = self._await_when_closed()  # type: ignore[method-assign, assignment]  # its own class
                self._ready_class = None
        if self._watch is not None and self._parent is None:
            self._watch.closed(self._name)

    def _await_when_closed(self) -> Callable[[Any], Generator[Any, None, Any]]:
        """Return what awaiting an attribute does that was fetched here, from here on."""
        name = self._name
        return refusing(lambda: ClosedError(f"the container of {name} is closed"))

    def _close_nowait(self, error: BaseException | None) -> None:
        if self._state == IS_CLOSED or self._is_exiting():
            return
        if self._state == IS_CLOSING:
            raise ContainerError(f"the container of {self._name} is closing already")
        finalizers = as_list(self._finalizers)
        refuse_async(finalizers, f"the container of {self._name}")
        for kid in self._children:
            refuse_async(as_list(kid._finalizers), kid._name)
        self._refuse_inside()
        if self._tasks or self._in_flight:
            raise ContainerError(f"the container of {self._name} has builds in flight: close it with `await container.aclose()`")
        self._begin_closing()
        token = EXITING.set((*EXITING.get(), self))
        raised: list[BaseException] = []
        try:
            self._wait_for_threads()
            for kid in list(self._children):
                warn_open(kid, raised)
                try:
                    kid._close_nowait(None)
                except BaseException as met:
                    raised.append(met)
            finalizers, self._finalizers = as_list(self._finalizers), None
            raised[:0] = unwind_nowait(self._watched(finalizers), error)
            raised[:0], self._owed = self._owed, []
        finally:
            EXITING.reset(token)
            self._end()
        settle_errors(raised, error)

    def _wait_for_threads(self) -> None:
        while True:
            with LOCK:
                flight = next(iter(self._flights.values()), None)
                if flight is None:
                    return
                waiter = ThreadWaiter()
                flight.waiters[waiter] = None
            waiter.event.wait()


class ThreadWaiter:
    """Waits for a build in a thread."""

    __slots__ = ("event",)

    def __init__(self) -> None:
        self.event = threading.Event()

    def told(self, flight: Flight) -> None:
        self.event.set()


async def _swallowing(work: Any) -> None:
    """Await *work* to its end; a cancellation of the closing task waits until closing is over."""
    try:
        await work
    except asyncio.CancelledError:
        return
