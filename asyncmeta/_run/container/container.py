"""A service class brought to life on an event loop."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable, Coroutine, Hashable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Self

from ..._declare.keys import lasting
from ..._declare.lifetimes import CONTAINER_LEVEL
from ..._declare.registry import Registry, layers_of, registry_of
from ..._names import name_of
from ..._solve.checks import check_whole, grouped, not_given
from ..._solve.graph import Graph
from ..._solve.nodes import CONTAINER, Node
from ...errors import ClosedError, ContainerError, DeclarationError, GraphError, ScopeError
from ..build.handles import forget_fetched, home_kept
from ..build.interpreter import bind
from ..scope.injections import Injections
from ..scope.scope import Scope
from ..state.context import EXITING, Ambient
from ..state.getters import Getters
from ..state.waiting import LOCK
from .closing import IS_CLOSED, IS_CLOSING, OPEN
from .forks import know, lives_elsewhere
from .scopes import NOTHING, SpanningScope, by_level, given_to, no_level, scope_class
from .tables import Tables

if TYPE_CHECKING:
    from ..._declare.providers import Overrides, Providers
    from ...report import CheckReport, StartReport, Timing
    from ..observe.middleware import Middleware
    from ..scope.scope import OneShot as Opens, Service

__all__ = ["Container"]


class Container(Tables):
    """
    Holds the singletons of an application class, and opens scopes.

    It can be used as soon as it is made; entering it (``async with``) says who closes it.  What it makes belongs to
    one living event loop at a time; built values can be read from any thread.  After closing it starts empty when it is
    entered again.

    Args:
        root: A service class, an instance of one (which is then the application itself), or None for the shared layer.
        context: The values of what the application declares with ``context={"singleton": [...]}``, by token.
        providers: More registrations, above the class's own.
        overrides: What beats everything from the beginning, as in `override`: a mapping from tokens to values, or a
            provider list.
        middleware: What is run around builds, outermost first; the class's own comes after it.
        check: Check the graph now, and again on entering where something was registered since.
        slow: Seconds after which a build is warned of, through logging, with the path that waits for it.

    Raises:
        GraphErrors: What was declared does not fit together; all problems at once.
        DeclarationError: *root* is nothing that can be brought to life.
        MissingDependencyError: Nothing provides a key of *overrides*.
    """

    __slots__ = ()
    _level = CONTAINER_LEVEL

    #: Handed over by the room above: the base of all services, and what its life-cycle methods are called.
    _base: ClassVar[type]
    _hooks: ClassVar[Mapping[str, Any]]
    #: What overrides are as a layer, and what opens an overlay for a block.
    _layer_of: ClassVar[Callable[..., Registry]]
    _overriding: ClassVar[Callable[..., Any]]

    def __init__(
        self,
        root: type[Service] | Service | None = None,
        /,
        context: Mapping[Any, object] | None = None,
        *,
        providers: Providers = (),
        overrides: Overrides | None = None,
        middleware: Iterable[Middleware] = (),
        check: bool = True,
        slow: float | None = None,
    ) -> None:
        cls, instance = self._application_of(root)
        watch = self._watch_of(cls, middleware, slow)
        graph = self._graph_for(cls, providers, overrides, instance is not None)
        self._begin(cls, instance, graph, check=check, given=given_to(graph, context))
        if watch is not None:
            self._heed(watch)

    def _begin(self, cls: type, instance: Any, graph: Graph, *, check: bool, given: Mapping[Any, object] = NOTHING) -> None:
        """Begin a life on *graph*."""
        self._made_with = given
        self._root_class, self._instance, self._graph = cls, instance, graph
        self._name = name_of(cls) if cls is not Container._base else "the shared layer"
        self._checks = check
        if check:
            self._check()
        self._parent = None
        self._loop = None
        self._state = IS_CLOSED
        self._observed = False
        self._watch = self._watcher = None
        self._overridden = 0
        self._owed = []
        self._everywhere, self._laid = [], []
        self._retiring = False
        self._built = {}  #: container values
        self._lost, self._era = {}, 0
        self._flights = {}
        self._tasks = set()  #: builds in flight
        self._holders = set()  #: wait to leave what they have entered
        self._closing_task = None
        self._getters = Getters()
        self._injections = Injections()
        self._grounds = []
        self._children = set()
        self._tables, self._tables_nowait, self._generations = [], [], []
        self._begin_anew()
        self._graph.containers.add(self)
        know(self)

    @classmethod
    def _application_of(cls, root: Any) -> tuple[type, Any]:
        if root is None:
            return cls._base, None
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
            raise ContainerError(f"this {registry.name} belongs to {there._title} already")
        return type(root), root

    @classmethod
    def _graph_for(cls, root: type, providers: Sequence[Any], overrides: Any, given: bool) -> Graph:
        builtin: dict[Hashable, str] = {Container: CONTAINER, Scope: "scope"}
        layers = layers_of(root)
        extra: tuple[Registry, ...] = ()
        if providers:
            from ..._declare.providers import read_listed  # late

            extra = (Registry(None),)
            extra[0].add_all(read_listed(providers), layers)
        if overrides is not None:
            plain = Graph(layers, builtin, app=root, hooks=cls._hooks, extra=extra, given=given)
            return Graph(
                layers, builtin, app=root, hooks=cls._hooks, extra=extra, over=(cls._layer_of(overrides, plain),), given=given
            )
        if providers:
            return Graph(layers, builtin, app=root, hooks=cls._hooks, extra=extra, given=given)
        own = layers[0]
        graph = own.graphs.get(given)
        if graph is None:
            graph = own.graphs[given] = Graph(layers, builtin, app=root, hooks=cls._hooks, given=given)
        return graph

    def _check(self) -> None:
        self._graph.refresh()
        errors = check_whole(self._graph) + not_given(self._graph, self._made_with)
        if errors:
            raise grouped(self._graph, errors)

    def _begin_anew(self) -> None:
        graph = self._graph
        self._state = OPEN
        self._forked_from = 0
        self._built.clear()
        self._flights.clear()
        self._finalizers = self._waiters = None
        self._in_flight = 0
        self._children.clear()
        self._values = ()
        self._moves = len(graph.moved)
        self._pins = {}
        self._closing_task = None
        self._ready_class = None
        self._generations = []
        self._new_tables()
        self._built.update({graph.from_context(key, CONTAINER_LEVEL): value for key, value in self._made_with.items()})
        if self._instance is not None:
            node = graph.app_node()
            self._built[node.constructed or node] = self._instance
            forget_fetched(self._instance)
            bind(self._instance, self)

    if not TYPE_CHECKING:

        def __getattr__(self, name):
            # Asked only for what is nowhere else, so that a subclass may use the name for something of its own.
            if name == "root_class":
                return self._root_class
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self)

    def __repr__(self) -> str:
        return f"<{self._state} container of {self._name}>"

    def __del__(self) -> None:
        if getattr(self, "_state", IS_CLOSED) == OPEN and self._finalizers is not None:
            warnings.warn(
                f"the container of {self._name} was dropped with finalizers pending; close it: async with",
                ResourceWarning,
                stacklevel=1,
                # Made where the container was made, as tracemalloc tells; it leads to nothing.  The container itself,
                # kept by whoever records warnings, would live on with tasks whose coroutines are gone.
                source=self._owed,
            )

    # --- what it is ---

    @property
    def _title(self) -> str:
        return f"the container of {self._name}"

    @property
    def container(self) -> Container:
        """Itself."""
        return self

    @property
    def _origin(self) -> Container:
        """The container that an overlay is about; any other one is about itself."""
        return self

    @property
    def closed(self) -> bool:
        """Whether it is closed, or closing."""
        return self._state != OPEN

    def _check_open(self) -> None:
        if self._state != OPEN and not self._reads_while_closing():
            if self._forked_from:
                raise lives_elsewhere(self)
            raise ClosedError(f"the container of {self._name} is {self._state}")

    def _check_overridable(self) -> None:
        """
        Refuse where nothing can be laid upon this any more: it may be closed, and entered again with what lies on it.

        Raises:
            ClosedError: It is closing.
        """
        if self._state == IS_CLOSING:
            self._check_open()

    def _reads_while_closing(self) -> bool:
        """A finalizer may still read what is built: it is closed after it."""
        return self._state == IS_CLOSING and self in EXITING.get()

    # --- overriding ---

    def overlay(self, overrides: Overrides, /, *, new: bool = False) -> Opens[Container]:
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
        return self._overriding(overrides, in_force=False, everywhere=False, new=new)  # type: ignore[no-any-return]

    def override(self, overrides: Overrides, /, *, everywhere: bool = False, new: bool = False) -> Opens[Container]:
        """
        Return a context manager that puts an overlay in force for its block: for this task and its children.

        Whoever asks this container in the block, or awaits an attribute of what it has built, gets what *overrides*
        say where they reach, and the container's own elsewhere.  Blocks need not nest: each is in force until it is
        left.  What the overlay has built is closed then; where a later block lies on this one, with that.

        In a block that begins before the container is entered, also where that is closed, the override is in force for
        the start-up, as often as the container is entered in it.  A block that is open when the container closes, and
        began after that was entered, ends with it.

        Args:
            overrides: A mapping from tokens to values, or a provider list.
            everywhere: Put it in force for every task and thread.
            new: Take keys that nothing provides.

        Raises:
            MissingDependencyError: Nothing provides a key, and *new* is not said.
            GraphErrors: What is affected does not fit together any more.
        """
        return self._overriding(overrides, in_force=True, everywhere=everywhere, new=new)  # type: ignore[no-any-return]

    # --- asking ---

    def getter(self, token: Any, /) -> Callable[[], Coroutine[Any, Any, Any]]:
        root = self._root(token)

        async def fetch() -> tuple[Any, bool]:
            value = await self.get(token)
            if self._overridden:
                return value, False  # another context may mean another one
            node = self._root(token).node
            return value, node is not None and node.level == CONTAINER_LEVEL

        del root
        return self._getters.add(fetch)

    async def start(
        self, *tokens: Hashable, concurrency: int | None = None, progress: Callable[[Timing], object] | None = None
    ) -> StartReport:
        """
        Build the container values now, side by side: those of the application and all that they reach, or *tokens*.

        In a block of overrides that began before the container was entered, what they reach is built as they say, and
        what they replace is not; in a later one the container builds its own.

        Args:
            tokens: What to build, with what it needs; nothing means everything.
            concurrency: How many builds may run at once; None means all that are ready.
            progress: Called with each timing as it comes.

        Returns:
            What was built and how long it took; what was there already is not in it.

        Raises:
            BaseException: What the first failing factory raised; what was built stays.
        """
        from .start import start  # late

        here: Any = self._active() or self
        while here is not self and not here._force.outlives:
            here = here._below
        return await start(here, tokens, concurrency, progress)

    def check(self, *functions: Callable[..., Any]) -> CheckReport:
        """
        Check everything that the application declares and reaches, or what *functions* ask for.

        Args:
            functions: The handlers of a framework, or other functions with marked parameters; nothing means the application.
                What they ask for counts as used.  Where an override is in force, it is what it says.

        Returns:
            What is no problem but worth knowing.

        Raises:
            GraphErrors: The problems, all at once.
        """
        from ..scope.injection import check_askers  # late
        from .findings import check_report

        asked: set[Node] = set()
        if functions:
            errors, asked = check_askers(functions, self._active() or self)
            if errors:
                raise grouped(self._graph, errors)
        else:
            self._check()
        return check_report(self._graph, self._built, asked)

    # --- scopes ---

    def _first_scope(self, context: Mapping[Any, object] | None = None, /, *, level: str | None = None) -> Any:
        # With one level the class of its scopes takes this place.
        self._check_open()
        return self._open_scope(self, context, level)

    def _open_scope(self, around: Any, context: Mapping[Any, object] | None, level: str | None) -> Any:
        """Return a new scope inside of *around*."""
        graph = self._graph
        if around is not self and around._roots is not self._tables[around._level]:
            with LOCK:
                self._upgrade(around)
        innermost = len(graph.levels) - 1
        wanted = innermost
        if level is not None and level != "scoped":
            wanted = graph.levels.index(level) if level in graph.levels else 0
        if wanted <= around._level:
            raise no_level(self, level or "scoped")
        if wanted == 1:
            if innermost == 1 and self._state == OPEN:
                self.scope = self._class_of(1)  # type: ignore[method-assign]  # see new_tables
            return self._class_of(1)(context)
        outermost = around._level + 1
        if outermost == wanted:
            return self._inside(around, self._class_of(wanted)(context))
        given = by_level(graph, context, range(outermost, wanted + 1))
        inner = around
        for between in range(outermost, wanted):
            inner = self._inside(inner, self._class_of(between)(given.get(between)))
        return self._inside(inner, self._class_of(wanted, SpanningScope)(given.get(wanted)))._spanning(around)

    @staticmethod
    def _inside(around: Any, scope: Any) -> Any:
        scope._parent = around
        return scope

    def _class_of(self, level: int, base: type[Scope] = Scope) -> Any:
        found = self._classes.get((level, base))
        if found is None:
            found = scope_class(base, self, level, self._tables[level], self._tables_nowait[level])
            if self._observed:
                from ..observe.watch import observed_class  # late

                found = observed_class(found)
            self._classes[level, base] = found
        return found

    if TYPE_CHECKING:
        scope = Scope.scope  # a slot, but typed as what scopes have
    else:  # the overloads stand at Scope.request

        def request(self, token, context=None, /):
            if context is None:
                try:
                    return self._enters[token]()
                except (KeyError, TypeError):
                    pass
            self._check_open()
            return self._opening(self, token, context)

    def _opening(self, around: Any, token: Any, context: Mapping[Any, object] | None) -> Any:
        """Return the context manager of a scope that is opened for one value; the quick kind from the second time on."""
        from ..compiled.one_shot import OneShot, quick_enter  # late

        if around is self and context is None and not self._observed and not self._overridden and len(self._graph.levels) == 2:
            try:
                root = self._root_at(1, token)
            except (GraphError, ScopeError):
                return OneShot(around, token, context)
            plan = root.plan
            if plan.openings and self._has_all(plan.singletons):
                enter = quick_enter(self, token, plan)
                if enter is not None and lasting(token) is token:
                    with LOCK:
                        if self._state == OPEN:
                            self._enters[token] = enter
                    return enter()
            plan.openings += 1
        return OneShot(around, token, context)

    # --- entering and closing ---

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._enter()
        self._check_loop(loop, self._graph.app_node())
        self._begin_ambient()
        return self

    def __enter__(self) -> Self:
        self._enter()
        self._begin_ambient()
        return self

    def _begin_ambient(self) -> None:
        """Inside of the block it is the container that injected functions find."""
        ground = Ambient(self)
        ground.__enter__()
        self._grounds.append(ground)

    def _end_ambient(self) -> None:
        if self._grounds:
            self._grounds.pop().__exit__()

    def _enter(self) -> None:
        if self._state == IS_CLOSING:
            raise ClosedError(f"the container of {self._name} is closing")
        if self._checks:
            self._check()
        if self._state == IS_CLOSED:
            with LOCK:
                self._graph.refresh()
                self._begin_anew()
                for force in sorted((one for one in self._laid if not one.ended), key=lambda one: one.top._number):
                    force.top._open_again()
            self._loop = None
        if self._watch is not None:
            self._watch.entered(self._name)

    async def __aexit__(self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None, /) -> None:
        self._end_ambient()
        await self._close(exc)

    def __exit__(self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None, /) -> None:
        self._end_ambient()
        self._close_nowait(exc)
