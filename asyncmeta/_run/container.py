"""A service class brought to life on an event loop."""

from __future__ import annotations

import asyncio
import contextvars
import warnings
from collections.abc import Callable, Coroutine, Hashable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, ClassVar, Self

from .._compat import get_running_loop
from .._declare.keys import is_hashable
from .._declare.lifetimes import CONTAINER_LEVEL
from .._declare.providers import read_providers
from .._declare.registry import Registry, layers_of, registry_of
from .._names import name_of
from .._solve.checks import check_whole, grouped
from .._solve.graph import Graph
from .._solve.nodes import CONTAINER, Node
from .._solve.plan import Plan, Unit, plan_of, plan_of_unit, unit_of
from ..errors import ClosedError, ContainerError, DeclarationError, GraphError, ScopeError
from ..report import CheckReport, StartReport, Timing
from .asked import Asked
from .cells import CHAIN, LOCK, UNSET, Build, scopes_above
from .closing import FLIGHT_CODES
from .drive import build_missing_now
from .ending import IS_CLOSED, IS_CLOSING, OPEN
from .finalizers import EXITING
from .findings import check_report
from .getters import Getters
from .handles import Ready, answering_by_context, forget_fetched, home_kept
from .levels import SpanningScope, no_level, scope_class
from .middleware import Middleware
from .observing import observed_class
from .opening import Opening, quick_enter
from .overriding import IN_FORCE, NONE, active_for
from .roots import Root, root_of
from .scope import Scope
from .starting import start
from .watching import Watching
from .work import bind

__all__ = ["Container"]


class Container(Watching):
    """
    Holds the singletons of an application class, and opens scopes.

    It can be used as soon as it is made; entering it (``async with``) says who closes it.  What it makes belongs to
    one living event loop at a time; built values can be read from any thread.  After closing it starts empty when it is
    entered again.

    Args:
        root: A service class, an instance of one (which is then the application itself), or None for the shared layer.
        providers: More registrations, above the class's own.
        middleware: What is run around builds, outermost first; the class's own comes after it.
        check: Check the graph now, and again on entering where something was registered since.
        slow: Seconds after which a build is warned of, through logging, with the path that waits for it.

    Raises:
        GraphErrors: What was declared does not fit together; all problems at once.
        DeclarationError: *root* is nothing that can be brought to life.
    """

    __slots__ = ()
    _level = CONTAINER_LEVEL

    #: Handed over by the room above: the base of all services, and what its life-cycle methods are called.
    base: ClassVar[type]
    hooks: ClassVar[Mapping[str, Any]]
    #: What overrides are as a layer, and what opens an overlay for a block.
    layer_of: ClassVar[Callable[..., Registry]]
    overriding: ClassVar[Callable[..., Any]]

    def __init__(
        self,
        root: Any = None,
        /,
        *,
        providers: Sequence[Any] = (),
        overrides: Any = None,
        middleware: Iterable[Middleware] = (),
        check: bool = True,
        slow: float | None = None,
    ) -> None:
        cls, instance = self._root_class(root)
        watch = self.watch_of(cls, middleware, slow)
        self._begin(cls, instance, self._graph_for(cls, providers, overrides, instance is not None), check=check)
        if watch is not None:
            self.heed(watch)

    def _begin(self, cls: type, instance: Any, graph: Graph, *, check: bool) -> None:
        """Begin a life on *graph*."""
        self.root_class, self.instance, self.graph = cls, instance, graph
        self.name = name_of(cls) if cls is not Container.base else "the shared layer"
        self.checks = check
        if check:
            self._check()
        self.p = None
        self.loop = None
        self.state = IS_CLOSED
        self.observed = False
        self.watch = self.watcher = None
        self.overridden = 0
        self.everywhere = []
        self.retiring = False
        self.built = {}  #: container values
        self.flights = {}
        self.tasks = set()  #: builds in flight
        self.holders = set()  #: wait to leave what they have entered
        self.closing = None
        self.getters = Getters()
        self.kids = set()
        self.tables, self.tables_nowait, self.generations = [], [], []
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
            raise DeclarationError(
                f"Container takes a class derived from AsyncServiceBase, an instance of one, or nothing; not {name_of(type(root))}"
            )
        if registry.lifetime != "singleton":
            raise ScopeError(
                f"{registry.name} is {registry.lifetime} and cannot be its own root; "
                "open a scope and bind the instance: scope.adopt(instance)"
            )
        there = home_kept(root)
        if there is not None and not there.closed:
            raise ContainerError(f"this {registry.name} belongs to {there.name} already")
        return type(root), root

    @classmethod
    def _graph_for(cls, root: type, providers: Sequence[Any], overrides: Any, given: bool) -> Graph:
        builtin: dict[Hashable, str] = {Container: CONTAINER, Scope: "scope"}
        layers = layers_of(root)
        extra: tuple[Registry, ...] = ()
        if providers:
            extra = (Registry(None),)
            for registration in read_providers(providers):
                extra[0].add(registration, replace=True)
        if overrides is not None:
            plain = Graph(layers, builtin, app=root, hooks=cls.hooks, extra=extra, given=given)
            return Graph(
                layers, builtin, app=root, hooks=cls.hooks, extra=extra, over=(cls.layer_of(overrides, plain),), given=given
            )
        if providers:
            return Graph(layers, builtin, app=root, hooks=cls.hooks, extra=extra, given=given)
        own = layers[0]
        graph = own.graphs.get(given)
        if graph is None:
            graph = own.graphs[given] = Graph(layers, builtin, app=root, hooks=cls.hooks, given=given)
        return graph

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
        self.kids.clear()
        self.v = ()
        self.moves = len(graph.moved)
        self.pins = {}
        self.closing = None
        self.ready_class = None
        self.generations = []
        self.new_tables()
        if self.instance is not None:
            node = graph.app_node()
            self.built[node.constructed or node] = self.instance
            forget_fetched(self.instance)
            bind(self.instance, self)

    def new_tables(self) -> None:
        """Give every level a new table of roots; scopes that are open find out at their next cold get."""
        graph = self.graph
        count = len(graph.levels)
        for table, _ in self.generations[-count:]:
            table.clear()
        for table in self.tables_nowait:
            table.clear()
        self.tables = [{} for _ in range(count)]
        self.tables_nowait = [{} for _ in range(count)]
        self.generations.extend((table, len(graph.moved)) for table in self.tables)
        self.aside = [{} for _ in range(count)]
        self.sizes = list(graph.slots)
        self.classes = [None] * count
        self.r, self.q = self.tables[0], self.tables_nowait[0]
        self.enters = {}  #: what is asked for -> the code that enters a one-shot scope for it
        self.scope = self._first_scope  # type: ignore[method-assign]  # a slot of containers, which is the quicker way
        self.getters.cool()

    def __repr__(self) -> str:
        return f"<{self.state} container of {self.name}>"

    def __del__(self) -> None:
        if getattr(self, "state", IS_CLOSED) == OPEN and self.x is not None:
            warnings.warn(
                f"the container of {self.name} was dropped with finalizers pending; close it: async with",
                ResourceWarning,
                stacklevel=1,
                source=self,
            )

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
                self.new_tables()

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
                for key, old, new in graph.moved[self.moves :]:
                    if old not in self.built:
                        continue
                    if new is None:
                        self.pins[key] = old
                    elif new not in self.built:
                        self.built[new] = self.built[old]
                self.moves = len(graph.moved)
            hashable = is_hashable(token)
            if hashable and self.pins and token in self.pins:
                return Root(plan_of(graph, self.pins[token].target), self.pins[token])
            root = graph.roots.get((level, token)) if hashable else None
            if root is None:
                root = root_of(graph, level, token)
                graph.roots[level, token] = root
            if self.sizes != graph.slots:
                self.new_tables()
        return root

    def _upgrade(self, scope: Any) -> None:
        """Bring an open scope up to date: more slots, and what stays built under what serves a key now."""
        while scope is not self:
            level = scope._level
            values = scope.v
            since = next((moved for table, moved in self.generations if table is scope.r), 0)
            values.extend([UNSET] * (self.graph.slots[level] - len(values)))
            for _, old, new in self.graph.moved[since:]:
                if new is not None and old.level == level and values[new.slot] is UNSET:
                    values[new.slot] = values[old.slot]
            scope.r = self.tables[level]
            scope = scope.p

    def unit(self, node: Node) -> Unit:
        """Return the unit of a container value."""
        return unit_of(self.graph, node)

    def plan_of_unit(self, unit: Unit) -> Plan:
        return plan_of_unit(self.graph, unit)

    def way_to(self, node: Node) -> list[Node]:
        """Return the nodes from the application to *node*."""
        users: dict[Node, Node] = {}
        for user in self.graph.nodes.values():
            for edge in (*(user.edges or ()), *user.late):
                for other in edge.target.each():
                    users.setdefault(other, user)
        way, here = [node], users.get(node)
        while here is not None and here not in way:
            way.append(here)
            here = users.get(here)
        way.reverse()
        halves = {one.constructed for one in way}
        return [one for one in way if one not in halves]

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
                (self.aside[level] if self.overridden else scope.r)[token] = root
                if root_nowait is not None and not self.overridden:
                    self.tables_nowait[level][token] = root_nowait

    def root_aside(self, scope: Any, token: Any) -> Any:
        """Return the root of *token* that was set aside when an override came into force, or None."""
        try:
            return self.aside[scope._level].get(token) if scope.r is self.tables[scope._level] else None
        except TypeError:  # unhashable: told by the ordinary way
            return None

    def keeps_fetched(self) -> bool:
        """Tell whether instances and handles may keep what they fetch: nothing of an override is ever kept."""
        return not self.overridden or self.active() is None

    def ready(self, value: Any, scope: Any, key: Any) -> Ready:
        """Return what a fetched attribute leaves on its instance."""
        if self.ready_class is None:
            names = {"__slots__": (), **({"__await__": answering_by_context} if self.overridden else {})}
            self.ready_class = type("Ready", (Ready,), names)
        return self.ready_class(value, scope, key)

    # --- overriding ---

    def active(self) -> Any:
        """Return the overlay that is in force here, or None."""
        return active_for(self) if self.overridden else None

    def overlay(self, overrides: Any, /, *, new: bool = False) -> Any:
        """
        Return a context manager that gives a container which shares everything that *overrides* do not reach.

        It is seen through its handle only; others' code and speed are left alone.  Dependents of what is overridden, by
        parameter and by attribute, are built in it and closed at its end.

        Args:
            overrides: A mapping from tokens to values, or a provider list.
            new: Take keys that nothing provides.

        Raises:
            MissingDependencyError: Nothing provides a key, and *new* is not said.
            GraphErrors: What is affected does not fit together any more.
        """
        return self.overriding(self, overrides, in_force=False, everywhere=False, new=new)

    def override(self, overrides: Any, /, *, everywhere: bool = False, new: bool = False) -> Any:
        """
        Return a context manager that puts an overlay in force for its block: for this task and its children.

        Args:
            overrides: A mapping from tokens to values, or a provider list.
            everywhere: Put it in force for every task and thread.
            new: Take keys that nothing provides.

        Raises:
            MissingDependencyError: Nothing provides a key, and *new* is not said.
            GraphErrors: What is affected does not fit together any more.
        """
        return self.overriding(self, overrides, in_force=True, everywhere=everywhere, new=new)

    def begin_override(self) -> None:
        """The first override in force sets the quick ways aside: every get asks by the cold one which overlay is meant."""
        with LOCK:
            self.overridden += 1
            if self.overridden == 1:
                for table, aside in zip(self.tables, self.aside, strict=True):
                    aside.update(table)
                    table.clear()
                for table in self.tables_nowait:
                    table.clear()
                self.enters.clear()
                self.getters.cool()
                if self.ready_class is not None:
                    self.ready_class.__await__ = answering_by_context  # type: ignore[method-assign]  # its own class

    def end_override(self) -> None:
        """The last one gives them back."""
        with LOCK:
            self.overridden -= 1
            if not self.overridden:
                for table, aside in zip(self.tables, self.aside, strict=True):
                    if self.state == OPEN:
                        table.update(aside)
                    aside.clear()
                if self.ready_class is not None and self.state == OPEN:
                    self.ready_class.__await__ = Ready.__await__  # type: ignore[method-assign]  # its own class

    def may_just_wait(self, build: Build) -> bool:
        """Tell whether a caller may wait for *build* without more ado: in its loop, and no part of any other build."""
        return (
            build.task is not None
            and build.loop is get_running_loop()
            and not CHAIN.get()
            and not ((self.kids or self.n) and scopes_above(FLIGHT_CODES, generated=True))
        )

    def build_now(self, nodes: Sequence[Node], asked: Asked | None = None) -> None:
        """Build container values without awaiting."""
        if not self.has_all(nodes):
            self.check_open()
            build_missing_now(self, nodes, asked)

    def refuses(self, build: Build) -> bool:
        """Tell whether a finished build comes too late to be taken."""
        return self.state != OPEN

    def clean_context(self, context: contextvars.Context) -> None:
        """Take out of a build's context what must not reach a shared value: overrides in force."""
        if self.overridden:
            context.run(IN_FORCE.set, (NONE,))

    def building_context(self) -> contextvars.Context | None:
        """Return the context for a build in place; None where the caller's will do."""
        if not self.overridden:
            return None
        context = contextvars.copy_context()
        self.clean_context(context)
        return context

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
        return await start(self, tokens, concurrency, progress)

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

    def _first_scope(self, context: Mapping[Any, object] | None = None, /, *, level: str | None = None) -> Any:
        # With one level the class of its scopes takes this place.
        self.check_open()
        return self.open_scope(self, context, level)

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
            if innermost == 1 and self.state == OPEN:
                self.scope = self._class_of(1)  # type: ignore[method-assign]  # see new_tables
            return self._class_of(1)(context)
        inner = around
        for between in range(around._level + 1, wanted):
            inner = self._class_of(between)(None, around=inner) if between > 1 else self._class_of(1)(None)
        if inner is around:
            return self._class_of(wanted)(context, around=around)
        spanning = scope_class(SpanningScope, self, wanted, self.tables[wanted], self.tables_nowait[wanted])
        spanning = observed_class(spanning) if self.observed else spanning
        return spanning(context, around=inner).spanning(around)

    def _class_of(self, level: int) -> Any:
        found = self.classes[level]
        if found is None:
            found = scope_class(Scope, self, level, self.tables[level], self.tables_nowait[level])
            found = self.classes[level] = observed_class(found) if self.observed else found
        return found

    def request(self, token: Any, context: Mapping[Any, object] | None = None, /) -> Any:
        if context is None:
            try:
                return self.enters[token]()
            except (KeyError, TypeError):
                pass
        self.check_open()
        return self.opening(self, token, context)

    def opening(self, around: Any, token: Any, context: Mapping[Any, object] | None) -> Any:
        """Return the context manager of a scope that is opened for one value; the quick kind from the second time on."""
        if around is self and context is None and not self.observed and not self.overridden and len(self.graph.levels) == 2:
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
                    return enter()
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
        if self.watch is not None:
            self.watch.entered(self.name)

    async def __aexit__(self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None, /) -> None:
        await self._close(exc)
