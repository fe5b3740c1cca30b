"""A service class brought to life on an event loop, and the scopes in it: what is public of both."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable, Coroutine, Hashable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Self, overload

from ..._compat import TypeForm
from ..._declare.home import home_kept, hooks, opens_overlay
from ..._declare.lifetimes import CONTAINER_LEVEL
from ..._declare.registry import layers_of
from ..._declare.tokens import Token
from ..._lock import LOCK
from ..._names import name_of
from ..._solve.graph import Graph
from ..._solve.nodes import CONTAINER, SCOPE
from ...errors import ClosedError, ContainerError, ScopeError
from ..build.attributes import Attributes
from ..scope.scope import ScopeFace, T
from ..state.context import Ambient
from ..state.roots import Getters, RootTable
from ..state.singletons import IS_CLOSED, IS_CLOSING, NOWHERE, OPEN, ScopeState, Singletons
from ..state.slots import CLOSING
from .application import BUILTIN, Application
from .closing import Closing
from .forks import know
from .scopes import NOTHING, Opener, given_to
from .state import ContainerState

if TYPE_CHECKING:
    from ..._declare.providers import Overrides, Providers
    from ...report import CheckReport, HealthReport, StartReport, Timing
    from ..observe.middleware import Middleware
    from ..observe.watch import Observation, Observer, Watch
    from ..scope.scope import Entered, Service

__all__ = ["Container", "Scope"]


class Scope(ScopeFace):
    """
    Holds scoped values for a while; made by ``container.scope()``.

    Tasks may share a scope; each value in it is built once.  It can be used as soon as it is made; entering it with
    ``async with`` (or ``with``, for graphs that need no awaiting) says who closes it.  What it made is closed in
    reverse order of completion, in the task that leaves it.
    """

    __slots__ = ()

    # --- what it is ---

    @property
    def container(self) -> Container:
        """The container that it belongs to."""
        return self._parent.container  # type: ignore[return-value]  # what lies outermost is one

    def __reduce__(self) -> NoReturn:
        cls = self.container._root_class
        path = f"{cls.__module__}:{cls.__qualname__}"
        raise TypeError(
            f"{self!r} lives in this process: it cannot be copied or pickled; pass what it gives, or the import path of its "
            f'application, and let each process open its own: asyncmeta.workers.WorkerContainer("{path}")'
        )

    def __copy__(self) -> NoReturn:
        self.__reduce__()

    def __deepcopy__(self, memo: object) -> NoReturn:
        self.__reduce__()

    @staticmethod
    def of(service: Service, /) -> Scope:
        """
        Return the scope that made or adopted *service*; for an instance that is its own root, its container.

        Raises:
            ScopeError: None did.
        """
        scope: Scope | None = home_kept(service)
        if scope is None:
            raise ScopeError(
                f"this {name_of(type(service))} was made by hand and belongs to no scope; scope.adopt(instance) binds it"
            )
        return scope

    # --- living inside of it ---

    def scope(self, context: Mapping[Any, object] | None = None, /, *, level: str | None = None) -> Scope:
        """
        Return a new scope inside of this one, of the innermost level or the named one.

        Levels between are opened and closed with it.

        Args:
            context: Values for the context tokens that the application declares.
            level: The name of a level.

        Raises:
            ScopeError: The application has no such level below this one, or declares no such context token.
            ClosedError: This container or scope is closed.
        """
        self._check_open()
        return self.container._open_scope(self, context, level)

    @overload
    def request(self, token: str, context: Mapping[Any, object] | None = None, /) -> Entered[Any]: ...
    @overload
    def request(self, token: Token[T], context: Mapping[Any, object] | None = None, /) -> Entered[T]: ...
    @overload
    def request(self, token: TypeForm[T], context: Mapping[Any, object] | None = None, /) -> Entered[T]: ...
    def request(self, token: object, context: Mapping[Any, object] | None = None, /) -> Any:
        """
        Return a context manager that opens a scope, gives *token*'s value in it and closes it: one ``async with``.

        Raises:
            ClosedError: This container or scope is closed; what `get` raises is raised on entering.
        """
        self._check_open()
        return self.container._opener.for_one(self, token, context)


class Container(ContainerState, Scope):
    """
    Holds the singletons of an application class, and opens scopes.

    It can be used as soon as it is made; entering it (``async with``) says who closes it.  What it makes belongs to
    one living event loop at a time; built values can be read from any thread.  After closing it starts empty when it is
    entered again.

    Args:
        root: A service class, an instance of one (which is then the application itself), a list of such classes, the highest
            last, that are layers of one application, or None for the shared layer.
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

    __slots__ = ("_closing", "_getters", "_opener")

    _closing: Closing
    _getters: Getters
    _opener: Opener[Scope]  #: opens scopes; `scope` is the quickest way to

    def __init__(
        self,
        root: type[Service] | Service | Sequence[type[Service]] | None = None,
        /,
        context: Mapping[Any, object] | None = None,
        *,
        providers: Providers = (),
        overrides: Overrides | None = None,
        middleware: Iterable[Middleware] = (),
        check: bool = True,
        slow: float | None = None,
    ) -> None:
        application = Application.of(root)
        graph = application.graph(providers, overrides)
        self._begin(application, graph, application.name, check=check, given=given_to(graph, context))
        watch = self._watch_of(application.cls, middleware, slow)
        if watch is not None:
            self._heed(watch)

    def _begin(
        self,
        application: Application,
        graph: Graph,
        name: str,
        below: Container | None = None,
        *,
        check: bool,
        overlaid: bool = False,
        views: bool = False,
        given: Mapping[Any, object] = NOTHING,
    ) -> None:
        """
        Begin a life on *graph*.

        Args:
            below: What it shares with; *overlaid* where that is of the same application.
            views: Scopes are views of those below.
            given: Context of its own.
        """
        self._made_with = given
        self._root_class, self._instance = application.cls, application.instance
        self._checks = check
        self._parent = NOWHERE
        self._watcher, self._observed = None, False
        self._grounds, self._laid = [], []
        self._children = set()
        self._closing = Closing(self)
        self._getters = Getters()
        self._enters = {}
        self._opener = Opener(self, Scope)
        self._singletons = Singletons(
            self, self._closing, graph, name, None if below is None else below._singletons, overlaid=overlaid
        )
        self._attributes = Attributes(self._singletons)
        if check:
            self._check()
        subscribers = (self._opener, self._getters, self._attributes)
        self._root_table = RootTable(self._singletons, subscribers, None if below is None else below._root_table, views=views)
        self._begin_anew()
        graph.listeners.add(self._root_table)
        self._root_table.lie()
        know(self)

    if not TYPE_CHECKING:

        def __getattr__(self, name):
            # Asked only for what is nowhere else, so that a subclass may use the name for something of its own.
            if name == "root_class":
                return self._root_class
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self)

    def _begin_anew(self) -> None:
        self._closing.task = None
        super()._begin_anew()

    def __repr__(self) -> str:
        return f"<{self._singletons.state} container of {self._name}>"

    def __del__(self) -> None:
        singletons = getattr(self, "_singletons", None)
        if singletons is not None and singletons.state == OPEN and self._finalizers is not None:
            warnings.warn(
                f"the container of {singletons.name} was dropped with finalizers pending; close it: async with",
                ResourceWarning,
                stacklevel=1,
                # Made where the container was made, as tracemalloc tells; it leads to nothing.  The container itself,
                # kept by whoever records warnings, would live on with tasks whose coroutines are gone.
                source=singletons.owed,
            )

    # --- what it is ---

    @property
    def container(self) -> Container:
        """Itself."""
        return self

    @property
    def _origin(self) -> Container:
        """The container that an overlay is about; any other one is about itself."""
        return self

    # --- overriding ---

    def overlay(self, overrides: Overrides, /, *, new: bool = False) -> Entered[Container]:
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
            ClosedError: This container is closed, or the block was entered before.
        """
        return self._opened(overrides, in_force=False, everywhere=False, new=new)

    def override(self, overrides: Overrides, /, *, everywhere: bool = False, new: bool = False) -> Entered[Container]:
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
            ClosedError: This container is closing, or the block was entered before.
        """
        return self._opened(overrides, in_force=True, everywhere=everywhere, new=new)

    def _opened(self, overrides: Overrides, **how: bool) -> Entered[Container]:
        entered: Entered[Container] = opens_overlay()(self, overrides, **how)
        return entered

    # --- asking ---

    def _getter(self, token: Any) -> Callable[[], Coroutine[Any, Any, Any]]:
        async def fetch() -> tuple[Any, bool]:
            value = await self.get(token)
            if self._singletons.overridden:
                return value, False  # another context may mean another one
            node = self._find(token).node
            return value, node is not None and node.level == CONTAINER_LEVEL

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
        from .start import start  # lazy import

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
        from .check import check  # lazy import

        return check(self, functions)

    # --- watching ---

    def observe(self, observer: Observer, /) -> Observation:
        """
        Tell *observer* what happens from now on: builds, teardowns, scopes, overrides.

        While anybody observes, nothing is built by generated code, so that building, not reading, is slower.

        Args:
            observer: An instance of a subclass of `Observer`.

        Returns:
            What ends it: ``remove()``, or the end of a ``with`` block.

        Raises:
            DeclarationError: *observer* is none.
        """
        from ..observe.watch import Watch  # lazy import

        return (self._watcher or Watch(self._heed, hooks(), (), None)).observe(observer)

    async def health(self, *, timeout: float = 5.0) -> HealthReport:
        """
        Ask every built singleton that says how (``health=``) whether it is well, side by side; build nothing.

        Args:
            timeout: Seconds that each probe may take.

        Returns:
            How each did; what is not built yet is "not started".

        Raises:
            ClosedError: This container is closed.
            WrongLoopError: Another living loop owns what would be asked.
        """
        from .health import health  # lazy import

        return await health(self, timeout)

    def _watch_of(self, cls: type, middleware: object, slow: object) -> Watch | None:
        """Return what is to be run and timed around builds of the application *cls*; None where that is nothing."""
        given = [middleware, *(layer.middleware for layer in layers_of(cls))]
        if slow is None and all(one == () for one in given):
            return None
        from ..observe.middleware import checked_middleware  # lazy import
        from ..observe.slow import checked_slow
        from ..observe.watch import Watch

        around = tuple(one for some in given for one in checked_middleware(some))
        seconds = checked_slow(slow)
        return Watch(self._heed, hooks(), around, seconds) if around or seconds is not None else None

    # --- scopes ---

    def _open_scope(self, around: ScopeState, context: Mapping[Any, object] | None, level: str | None) -> Scope:
        """Return a new scope inside of *around*."""
        return self._opener.open(around, context, level)

    if TYPE_CHECKING:
        scope = Scope.scope  # pyright: ignore[reportGeneralTypeIssues]  # a slot, but typed as what scopes have
    else:  # the overloads stand at Scope.request

        def request(self, token, context=None, /):
            if context is None:
                try:
                    return self._enters[token]()
                except (KeyError, TypeError):
                    pass
            self._check_open()
            return self._opener.for_one(self, token, context)

    # --- entering and closing ---

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._enter()
        self._singletons.check_loop(loop, self._graph.app_node())
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
        singletons = self._singletons
        if singletons.state == IS_CLOSING:
            raise ClosedError(f"{singletons.title} is closing")
        if self._checks:
            self._check()
        with LOCK:
            if singletons.state == IS_CLOSED:  # else another thread has entered it meanwhile, and may have built something
                self._graph.refresh()
                self._begin_anew()
                for force in sorted((one for one in self._laid if not one.ended), key=lambda one: one.number):
                    force.open_again()
                singletons.loop = None
        if singletons.watch is not None:
            singletons.watch.entered(singletons.name)

    async def __aexit__(self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None, /) -> None:
        self._end_ambient()
        await self._close(exc)

    def __exit__(self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None, /) -> None:
        try:
            self._end_ambient()
        finally:
            super().__exit__(exc_type, exc, tb)

    def _leave_block(self, error: BaseException | None) -> None:
        self._close_nowait(error)

    async def _close(self, error: BaseException | None, *, waits: bool = True) -> None:
        if waits:
            await self._closing.close(error)
        else:
            self._closing.close_nowait(error)

    def _refuse_awaiting(self) -> None:
        if self._singletons.tasks or self._in_flight & (CLOSING - 1):
            raise ContainerError(f"{self._title} has builds in flight: close it with `await container.aclose()`")
        super()._refuse_awaiting()


BUILTIN.update({Container: CONTAINER, Scope: SCOPE})
