"""A service class brought to life on an event loop."""

from __future__ import annotations

import asyncio
import contextvars
import time
import warnings
from collections.abc import Callable, Coroutine, Hashable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, ClassVar

from typing_extensions import Self

from .._compat import get_running_loop, new_task
from .._declare.lifetimes import CONTAINER_LEVEL
from .._declare.registry import Registry, layers_of, registry_of
from .._names import name_of
from .._solve.checks import check_whole, declared_nodes, grouped, problem_error, reached_from
from .._solve.graph import CONTAINER, START, Graph, Node
from .._solve.plan import Plan, Unit, plan_of_unit, unit_of
from ..errors import ClosedError, ContainerError, DeclarationError, GraphError, ScopeError, WrongLoopError
from ..report import CheckReport, StartReport, Timing
from .cells import CHAIN, LOCK, UNSET, Build, scopes_above
from .drive import Holder, build_missing, build_missing_now, wait_for
from .finalizers import EXITING, as_list, check_sync, settle_errors, unwind, unwind_sync
from .findings import check_report
from .getters import Getters
from .handles import HOME, Ready, refusing
from .opening import Opening, QuickOpening, SpanningScope, quick_enter
from .roots import Root, root_of
from .scope import CLOSED, CLOSING, CLOSING_CODES, FLIGHT_CODES, GONE, Scope, no_level, scope_class
from .work import bind, step

__all__ = ["Container"]

OPEN, IS_CLOSING, IS_CLOSED = "open", "closing", "closed"


class Container(Scope):
    """
    Holds the singletons of an application class, and opens scopes.

    It can be used as soon as it is made; entering it (``async with``) says who closes it.  What it makes belongs to
    one living event loop at a time; built values can be read from any thread.  After closing it starts empty when it is
    entered again.

    Args:
        root: A service class, an instance of one (which is then the application itself), or None for the shared layer.
        providers: More registrations, above the class's own.
        check: Check the graph now, and again on entering where something was registered since.

    Raises:
        GraphErrors: What was declared does not fit together; all problems at once.
        DeclarationError: *root* is nothing that can be brought to life.
    """

    _level = CONTAINER_LEVEL
    name = ""  # type: ignore[assignment]  # a property of scopes, a fact of containers

    #: Handed over by the room above: the base of all services, and what its life-cycle methods are called.
    base: ClassVar[type]
    hooks: ClassVar[Mapping[str, Any]]

    def __init__(
        self, root: Any = None, /, *, providers: Sequence[Any] = (), check: bool = True
    ) -> None:
        cls, instance = self._root_class(root)
        self.root_class = cls
        self.instance = instance
        self.name = cls.__qualname__ if cls is not self.base else "the shared layer"
        self.graph = self._graph_for(cls, providers)
        self.checks = check
        if check:
            self._check()
        self.p = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self.state = IS_CLOSED
        self.observed = False
        self.retiring = False
        self.built: dict[Node, Any] = {}  #: container values
        self.flights: dict[Node, Build] = {}
        self.tasks: set[asyncio.Task[Any]] = set()  #: builds in flight
        self.holders: set[asyncio.Task[Any]] = set()  #: wait to leave what they have entered
        self.closing: asyncio.Task[Any] | None = None
        self.getters = Getters()
        self._open()
        self.graph.containers.add(self)

    @classmethod
    def _root_class(cls, root: Any) -> tuple[type, Any]:
        if root is None:
            return cls.base, None
        registry = registry_of(root)
        if registry is not None:
            return root, None
        registry = registry_of(type(root))
        if registry is None:
            raise DeclarationError(f"Container takes a class derived from AsyncServiceBase, an instance of one, or nothing; not {name_of(type(root))}")
        if registry.lifetime != "singleton":
            raise ContainerError(
                f"{registry.name} is {registry.lifetime} and cannot be its own root; open a scope and bind the instance: scope.adopt(instance)"
            )
        there = getattr(root, HOME, None)
        if there is not None and not there.closed:
            raise ContainerError(f"this {registry.name} belongs to {there.name} already")
        return type(root), root

    @classmethod
    def _graph_for(cls, root: type, providers: Sequence[Any]) -> Graph:
        builtin: dict[Hashable, str] = {Container: CONTAINER, Scope: "scope"}
        layers = layers_of(root)
        if providers:
            from .._declare.providers import read_providers

            extra = Registry(None)
            for registration in read_providers(providers):
                extra.add(registration, replace=True)
            return Graph(layers, builtin, app=root, hooks=cls.hooks, extra=(extra,))
        own = layers[0]
        if own.graph is None:
            own.graph = Graph(layers, builtin, app=root, hooks=cls.hooks)
        return own.graph  # type: ignore[no-any-return]

    def _check(self) -> None:
        self.graph.refresh()
        errors = check_whole(self.graph)
        if errors:
            raise grouped(self.graph, errors)

    def _open(self) -> None:
        """Begin, or begin anew, with nothing built."""
        graph = self.graph
        self.state = OPEN
        self.built.clear()
        self.flights.clear()
        self.x = self.w = None
        self.n = 0
        self.kids = set()
        self.v = ()
        self.moves = len(graph.moved)
        self.closing = None
        self.ready_class: type[Ready] | None = None
        self.generations: list[tuple[dict[Any, Any], int]] = []
        self._new_tables()
        if self.instance is not None:
            node = graph.app_node()
            self.built[node.constructed or node] = self.instance
            bind(self.instance, self)

    def _new_tables(self) -> None:
        """Give every level a new table of roots; scopes that are open find out at their next cold get."""
        graph = self.graph
        count = len(graph.levels)
        for table, _ in self.generations[-count:]:
            table.clear()
        for table in getattr(self, "tables_nowait", ()):
            table.clear()
        self.tables: list[dict[Any, Any]] = [{} for _ in range(count)]
        self.tables_nowait: list[dict[Any, Any]] = [{} for _ in range(count)]
        self.generations.extend((table, len(graph.moved)) for table in self.tables)
        self.sizes = list(graph.slots)
        self.classes: list[Any] = [None] * count
        self.r, self.q = self.tables[0], self.tables_nowait[0]
        self.enters: dict[Any, Any] = {}  #: what is asked for -> the code that enters a one-shot scope for it
        self.__dict__.pop("scope", None)
        self.getters.cool()

    def __repr__(self) -> str:
        return f"<{self.state} container of {self.name}>"

    def __del__(self) -> None:
        if getattr(self, "state", IS_CLOSED) == OPEN and self.x is not None:
            warnings.warn(f"the container of {self.name} was dropped with finalizers pending; close it: async with", ResourceWarning, source=self)

    # --- what it is ---

    @property
    def container(self) -> Container:
        """Itself."""
        return self

    @property
    def closed(self) -> bool:
        """Whether it is closed, or closing."""
        return self.state != OPEN

    def check_open(self) -> None:
        if self.state != OPEN and not self._reads_while_closing():
            raise ClosedError(f"the container of {self.name} is {self.state}")

    def _reads_while_closing(self) -> bool:
        """A finalizer may still read what is built: it is closed after it."""
        return self.state == IS_CLOSING and self in EXITING.get()

    # --- graph ---

    def declared(self) -> None:
        """Something was registered: what is not built is looked up anew."""
        with LOCK:
            if self.state == OPEN:
                self._new_tables()

    def root_for(self, scope: Any, token: Any) -> Root:
        """Return what *token* leads to in *scope*, which is brought up to date."""
        root = self.root_at(scope._level, token)
        if scope.r is not self.tables[scope._level] and self.state == OPEN:
            with LOCK:
                self._upgrade(scope)
        return root

    def root_at(self, level: int, token: Any) -> Root:
        """Return what *token* leads to in scopes of *level*; everything that may have changed is caught up with first."""
        graph = self.graph
        with LOCK:
            graph.refresh()
            if self.moves != len(graph.moved):
                for old, new in graph.moved[self.moves :]:
                    if old in self.built and new not in self.built:
                        self.built[new] = self.built[old]
                self.moves = len(graph.moved)
            try:
                root = graph.roots[level, token]
            except (KeyError, TypeError):
                root = root_of(graph, level, token)
                graph.roots[level, token] = root
            if self.sizes != graph.slots:
                self._new_tables()
        return root  # type: ignore[no-any-return]

    def _upgrade(self, scope: Any) -> None:
        """Bring an open scope up to date: more slots, and what stays built under what serves a key now."""
        while scope is not self:
            level = scope._level
            values = scope.v
            since = next((moved for table, moved in self.generations if table is scope.r), 0)
            values.extend([UNSET] * (self.graph.slots[level] - len(values)))
            for old, new in self.graph.moved[since:]:
                if old.level == level and values[new.slot] is UNSET:
                    values[new.slot] = values[old.slot]
            scope.r = self.tables[level]
            scope = scope.p

    def unit(self, node: Node) -> Unit:
        """Return the unit of a container value."""
        return unit_of(self.graph, node)

    def plan_of_unit(self, unit: Unit) -> Plan:
        return plan_of_unit(self.graph, unit)

    def way_to(self, node: Node) -> list[str]:
        """Return the steps from the application to *node*, each with its place."""
        users: dict[Node, Node] = {}
        for user in self.graph.nodes.values():
            for edge in (*(user.edges or ()), *user.late):
                for other in edge.target.each():
                    users.setdefault(other, user)
        way, here = [node], users.get(node)
        while here is not None and here not in way:
            way.append(here)
            here = users.get(here)
        return [step(one) for one in reversed(way) if one.kind != START]

    # --- values ---

    def has(self, node: Node) -> bool:
        """Tell whether a container value is built."""
        return node in self.built

    def has_all(self, nodes: Iterable[Node]) -> bool:
        built = self.built
        return all(node in built for node in nodes)

    def built_value(self, node: Node) -> Any:
        return self.built[node]

    def holder(self, node: Node) -> Container:
        """Return the container that a container value belongs to."""
        return self

    def keep_root(self, scope: Any, token: Any, root: Any, root_nowait: Any) -> None:
        """Let the next ``get`` of *token* find its root at once."""
        level = scope._level
        with LOCK:
            if self.state == OPEN and scope.r is self.tables[level]:
                scope.r[token] = root
                if root_nowait is not None:
                    self.tables_nowait[level][token] = root_nowait

    def keeps_fetched(self) -> bool:
        """Tell whether instances and handles may keep what they fetch."""
        return True

    def ready(self, value: Any) -> Ready:
        """Return what a fetched attribute leaves on its instance."""
        if self.ready_class is None:
            self.ready_class = type("Ready", (Ready,), {"__slots__": ()})
        return self.ready_class(value)

    async def build(self, nodes: Sequence[Node]) -> None:
        """Build container values; whoever asks for the same waits for the same build."""
        self.check_open()
        if len(nodes) == 1 and not CHAIN.get():
            build = self.flights.get(nodes[0])
            if build is not None and build.loop is get_running_loop() and build.task is not None and not scopes_above(FLIGHT_CODES, generated=True):
                await wait_for(build)
                return
        await build_missing(self, nodes)

    def build_now(self, nodes: Sequence[Node]) -> None:
        """Build container values without awaiting."""
        if not self.has_all(nodes):
            self.check_open()
            build_missing_now(self, nodes)

    def refuses(self, build: Build) -> bool:
        """Tell whether a finished build comes too late to be taken."""
        return self.state != OPEN

    def clean_context(self, context: contextvars.Context) -> None:
        """Take out of a build's context what must not reach a shared value."""

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
                    f"{node.name} would have to be built in a second event loop, while the one that {self.name} belongs to is alive; "
                    "build it beforehand there (await container.start()), or give each loop a container of its own"
                )
            if owner is not None:
                self._lose_loop(owner)
            self.loop = loop

    def _lose_loop(self, owner: asyncio.AbstractEventLoop) -> None:
        """Forget what died with a loop: builds, values whose holder did, and what stands on these."""
        for node, build in list(self.flights.items()):
            if build.loop is owner:
                del self.flights[node]
        lost = [finalizer for finalizer in as_list(self.x) if isinstance(finalizer, Holder)]
        if lost:
            names = ", ".join(holder.name for holder in lost)
            warnings.warn(f"the event loop of {self.name} was closed before {names} could be", ResourceWarning, stacklevel=2)
            self.x = [finalizer for finalizer in as_list(self.x) if finalizer not in lost] or None
            self.forget({holder.build.node for holder in lost})
        self.tasks.clear()
        self.holders.clear()
        self.kids.clear()

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
        self._new_tables()
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
            held = {one.build.node for one in finalizers if isinstance(one, Holder)}
            for one in finalizers:
                if isinstance(one, Holder):
                    one.retiring = True
            self.forget(held)
            raised += await unwind(finalizers, None)
            for error in raised:
                asyncio.get_running_loop().call_exception_handler(
                    {"message": f"a finalizer of {self.name} failed while its event loop ended", "exception": error}
                )
        finally:
            self.retiring = False

    # --- asking ---

    def getter(self, token: Any, /) -> Callable[[], Coroutine[Any, Any, Any]]:
        root = self._root(token)

        async def fetch() -> tuple[Any, bool]:
            value = await self.get(token)
            node = self._root(token).node
            return value, node is not None and node.level == CONTAINER_LEVEL and self.keeps_fetched()

        del root
        return self.getters.add(fetch)

    async def start(
        self, *tokens: Any, concurrency: int | None = None, progress: Callable[[Timing], object] | None = None
    ) -> StartReport:
        """
        Build the container values now, side by side: those of the application and all that they reach, or *tokens*.

        Args:
            tokens: What to build, with what it needs; nothing means everything.
            concurrency: How many builds may run at once; None means all that are ready.
            progress: Called with each timing as it comes.

        Returns:
            What was built and how long it took; what was there already is not in it.

        Raises:
            BaseException: What the first failing factory raised; what was built stays.
        """
        if concurrency is not None and (not isinstance(concurrency, int) or concurrency < 1):
            raise ValueError("concurrency is a whole number above 0, or None")
        self.check_open()
        nodes = self._nodes_to_start(tokens)
        began = time.perf_counter()
        timings: list[Timing] = []

        def on_built(build: Build) -> None:
            node = build.node
            if node.constructed is None and self._starts(node):
                return
            needs = tuple(dict.fromkeys(
                other.name for other in self._needs_of(node) if other.level == CONTAINER_LEVEL and other.kind != CONTAINER
            ))  # fmt: skip
            timing = Timing(node.name, build.began - began, build.finished - build.began, build.finished - began, needs)
            timings.append(timing)
            if progress is not None:
                progress(timing)

        await build_missing(self, nodes, concurrency, on_built)
        self.check_open()
        timings.sort(key=lambda timing: timing.finished)
        return StartReport(timings, time.perf_counter() - began)

    def _starts(self, node: Node) -> bool:
        """Tell whether *node* is only the first half of a service that starts."""
        registered = self.graph.instances.get(node.maker.cls) if node.maker.cls is not None else None
        return registered is not None and registered.constructed is node

    def _needs_of(self, node: Node) -> Sequence[Node]:
        if node.constructed is not None:
            return self.unit(node.constructed).shared
        return self.unit(node).shared

    def _nodes_to_start(self, tokens: Sequence[Any]) -> list[Node]:
        with LOCK:
            self.graph.refresh()
        if tokens:
            return [node for token in tokens for node in self._root(token).plan.singletons]
        self._root(self.root_class)
        starts, problems = declared_nodes(self.graph)
        for problem in problems:
            raise problem
        reached = reached_from(self.graph, starts)
        for node in reached:
            for problem in node.problems:
                if not (problem.kind == "argument" and node.asked_with_arguments):
                    raise problem_error(self.graph, node, problem)
        return [node for node in reached if node.level == CONTAINER_LEVEL and node.kind != CONTAINER and not self._starts(node)]

    def check(self) -> CheckReport:
        """
        Check everything that the application declares and reaches.

        Returns:
            What is no problem but worth knowing.

        Raises:
            GraphErrors: The problems, all at once.
        """
        self._check()
        return check_report(self.graph, self.built)

    # --- scopes ---

    def open_scope(self, around: Any, context: Mapping[Any, object] | None, level: str | None) -> Any:
        """Return a new scope inside of *around*."""
        graph = self.graph
        if around is not self and around.r is not self.tables[around._level]:
            with LOCK:
                self._upgrade(around)
        innermost = len(graph.levels) - 1
        wanted = innermost
        if level is not None and level != "scoped":
            wanted = graph.levels.index(level) if level in graph.levels else 0
        if wanted <= around._level:
            raise no_level(self, level or "scoped")
        if wanted == 1:
            if innermost == 1:
                self.__dict__["scope"] = self._class_of(1)
            return self._class_of(1)(context)
        inner = around
        for between in range(around._level + 1, wanted):
            inner = self._class_of(between)(None, around=inner) if between > 1 else self._class_of(1)(None)
        if inner is around:
            return self._class_of(wanted)(context, around=around)
        spanning = scope_class(SpanningScope, self, wanted, self.tables[wanted], self.tables_nowait[wanted])
        return spanning(context, around=inner).spanning(around)

    def _class_of(self, level: int) -> Any:
        found = self.classes[level]
        if found is None:
            found = self.classes[level] = scope_class(Scope, self, level, self.tables[level], self.tables_nowait[level])
        return found

    def request(self, token: Any, context: Mapping[Any, object] | None = None, /) -> Any:
        if context is None:
            try:
                return QuickOpening(self, self.enters[token])
            except (KeyError, TypeError):
                pass
        self.check_open()
        return self.opening(self, token, context)

    def opening(self, around: Any, token: Any, context: Mapping[Any, object] | None) -> Any:
        """Return the context manager of a scope that is opened for one value; the quick kind from the second time on."""
        if around is self and context is None and not self.observed and len(self.graph.levels) == 2:
            try:
                root = self.root_at(1, token)
            except (GraphError, ScopeError):
                return Opening(around, token, context)
            plan = root.plan
            if plan.openings and self.has_all(plan.singletons):
                enter = quick_enter(self, plan)
                if enter is not None:
                    with LOCK:
                        if self.state == OPEN:
                            self.enters[token] = enter
                    return QuickOpening(self, enter)
            plan.openings += 1
        return Opening(around, token, context)

    # --- entering and closing ---

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._enter()
        self.check_loop(loop, self.graph.app_node())
        return self

    def __enter__(self) -> Self:
        self._enter()
        return self

    def _enter(self) -> None:
        if self.state == IS_CLOSING:
            raise ClosedError(f"the container of {self.name} is closing")
        if self.checks:
            self._check()
        if self.state == IS_CLOSED:
            with LOCK:
                self.graph.refresh()
                self._open()
            self.loop = None

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None, /
    ) -> None:
        await self._close(exc)

    async def _close(self, error: BaseException | None) -> None:
        if self in EXITING.get() or self in (one.container for one in scopes_above(CLOSING_CODES)):
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

    def _refuse_inside(self) -> None:
        inside = any(build.container is self and not build.done for build in CHAIN.get())
        if inside or any(scope.container is self for scope in scopes_above(FLIGHT_CODES, generated=True)):
            raise ContainerError(f"the container of {self.name} cannot be closed by a factory that it is waiting for")

    def _begin_closing(self) -> None:
        """Hand nothing out from here on."""
        with LOCK:
            self.state = IS_CLOSING
            self._new_tables()
            self.r = self.q = CLOSED
            self.n += CLOSING

    async def _closing(self, error: BaseException | None) -> list[BaseException]:
        """Close everything, in the order of who uses whom; return what was raised."""
        raised: list[BaseException] = []
        loop = asyncio.get_running_loop()
        while self.tasks:
            for task in list(self.tasks):
                task.cancel()
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
        raised[:0] = await unwind(finalizers, error)
        self._end()
        return raised

    def _end(self) -> None:
        """Nothing is left: from here on every use is refused."""
        with LOCK:
            self.state = IS_CLOSED
            self.built.clear()
            self.v = GONE
            self.loop = None
            if self.ready_class is not None:
                name = self.name
                self.ready_class.__await__ = refusing(  # type: ignore[method-assign]  # this container's own class
                    lambda: ClosedError(f"the container of {name} is closed")
                )
                self.ready_class = None

    def _close_sync(self, error: BaseException | None) -> None:
        if self.state == IS_CLOSED or self in EXITING.get():
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
                try:
                    kid._close_sync(None)
                except BaseException as met:
                    raised.append(met)
            finalizers, self.x = as_list(self.x), None
            raised[:0] = unwind_sync(finalizers, error)
        finally:
            EXITING.reset(token)
            self._end()
        settle_errors(raised, error)

    def _wait_for_threads(self) -> None:
        import threading

        class Told:
            def __init__(self) -> None:
                self.event = threading.Event()

            def told(self, build: Build) -> None:
                self.event.set()

        while True:
            with LOCK:
                build = next(iter(self.flights.values()), None)
                if build is None:
                    return
                waiter = Told()
                build.waiters[waiter] = None
            waiter.event.wait()


async def _swallowing(work: Any) -> None:
    """Await *work* to its end; a cancellation of the closing task waits until closing is over."""
    try:
        await work
    except asyncio.CancelledError:
        return


