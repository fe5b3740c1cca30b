"""A short life inside a container: a request, a job, a message.  Holds values, gives them, closes them."""

from __future__ import annotations

import asyncio
import sys
import warnings
from collections.abc import Callable, Coroutine, Hashable, Mapping
from types import AsyncGeneratorType, TracebackType
from typing import TYPE_CHECKING, Any, Final

from typing_extensions import Self

from .._compat import get_running_loop
from .._declare.lifetimes import CONTAINER_LEVEL, Lifetime
from .._names import close_to, name_of
from .._solve.emit import LARGEST, emit_root
from .._solve.graph import CONTAINER, Node
from .._solve.plan import Plan, Unit, unit_with_arguments
from ..errors import AsyncDependencyError, ClosedError, ContainerError, FactoryError, ScopeError, WrongLoopError
from .cells import CHAIN, FLIGHT, LOCK, UNSET, cancel_quietly, scopes_above
from .finalizers import as_list, check_sync, exit_async, push, settle_errors, unwind, unwind_sync, yields_twice
from .handles import HOME
from .load import bound, constant_root, loaded
from .work import bind, binds, carry_out, run_plan

if TYPE_CHECKING:
    from .roots import Root

__all__ = ["CLOSED", "CLOSING", "GONE", "Scope", "scope_class"]

#: Added to a scope's count of gets in flight when it begins to close.
CLOSING: Final = 1 << 40

#: The table of roots of a closed scope: every look-up misses, and the cold path refuses.
CLOSED: Final[dict[Any, Any]] = {}

# Keys beside slots among a scope's waiters.
_CLOSERS, _LANDING = -1, -2


class _Gone:
    """Stands where a closed scope's values were."""

    __slots__ = ()

    def __getitem__(self, slot: int) -> Any:
        raise ClosedError("the scope is closed")

    def __setitem__(self, slot: int, value: Any) -> None:
        raise ClosedError("the scope is closed")


GONE: Final = _Gone()


class _ByThreads(dict[int, Any]):
    """The waiters of a scope that was entered with a plain ``with``: its values may be claimed by several threads."""

    __slots__ = ()


class Scope:
    """
    Holds scoped values for a while; made by ``container.scope()``.

    Tasks may share a scope; each value in it is built once.  It can be used as soon as it is made; entering it with
    ``async with`` (or ``with``, for graphs that need no awaiting) says who closes it.  What it made is closed in
    reverse order of completion, in the task that leaves it.
    """

    # One letter each: generated code reads these on every request.
    __slots__ = (
        "__weakref__",
        "kids",  # set | None: scopes inside of this one that have something to close
        "n",  # int: gets in flight that await, plus CLOSING
        "p",  # the scope or container around this one
        "r",  # dict: what is asked for -> its root
        "v",  # list: values by slot, UNSET or FLIGHT where there is none
        "w",  # dict | None: who waits, by slot
        "x",  # finalizers, see `push`
    )

    kids: Any
    n: int
    p: Any
    r: dict[Any, Any]
    v: Any
    w: Any
    x: Any

    #: set on the class that a container makes of this one
    _level: int = -1
    q: dict[Any, Any] = CLOSED  # what is asked for -> its root for get_nowait

    if TYPE_CHECKING:
        # The overloads that callers see stand in the front door's stub section of `faces`.
        pass

    # --- what it is ---

    @property
    def container(self) -> Any:
        """The container that it belongs to."""
        return self.p.container

    @property
    def level(self) -> Lifetime:
        """The name of its level: "scoped", or as the application says."""
        return Lifetime(self.container.graph.levels[self._level])

    @property
    def closed(self) -> bool:
        """Whether it is closed, or closing."""
        return self.r is CLOSED

    @property
    def name(self) -> str:
        """What to call it in text."""
        return f"the {self.level} scope of {self.container.name}"

    def __repr__(self) -> str:
        return f"<{'closed ' if self.closed else ''}{self.level} scope of {self.container.name}>"

    def __reduce__(self) -> str:
        raise TypeError(f"{self!r} lives in this process: it cannot be copied or pickled; pass what it gives, or an import path")

    def __copy__(self) -> Self:
        return self.__reduce__()  # type: ignore[return-value]

    def __deepcopy__(self, memo: object) -> Self:
        return self.__reduce__()  # type: ignore[return-value]

    @staticmethod
    def of(service: Any, /) -> Scope:
        """
        Return the scope that made or adopted *service*; for an instance that is its own root, its container.

        Raises:
            ScopeError: None did.
        """
        scope = getattr(service, HOME, None)
        if scope is None:
            raise ScopeError(
                f"this {type(service).__qualname__} was made by hand and belongs to no scope; scope.adopt(instance) binds it"
            )
        return scope  # type: ignore[no-any-return]

    # --- getting ---

    def get(self, token: Any, /) -> Coroutine[Any, Any, Any]:
        """
        Return the value registered for *token*, building it on first use.

        Tasks that ask at the same time share one build.  If the task that started the build is cancelled, the build
        goes on as long as another one waits.

        Args:
            token: What to look up; a class stands for itself.

        Returns:
            The value, kept until this scope closes.  Transient values are new each time.

        Raises:
            MissingDependencyError: Nothing is registered for *token*.
            ScopeError: *token* lives in a scope, and this is the container.
            ClosedError: This container or scope is closed.
            WrongLoopError: It would have to be built, and another loop owns the container.

        .. versionadded:: 0.1.0
        """
        try:
            return self.r[token](self)  # type: ignore[no-any-return]
        except (KeyError, TypeError):
            return self._get_cold(token)

    async def _get_cold(self, token: Any) -> Any:
        root = self._root(token)
        container = self.container
        while not container.has_all(root.plan.singletons):
            await container.build(root.plan.singletons)
            # Much may have happened while we waited.
            root = self._root(token)
        node = root.node
        if node is not None and node.level == CONTAINER_LEVEL:
            value = container.built_value(node)
            if root.keeps:
                container.keep_root(self, token, constant_root(value), lambda scope: value)
            return value
        return await self._run(token, root)

    def _run(self, token: Any, root: Root) -> Coroutine[Any, Any, Any]:
        """Return the coroutine that carries out a root whose container values are built; by code from the second time on."""
        plan = root.plan
        container = self.container
        if container.observed or plan.size > LARGEST or isinstance(self.w, _ByThreads):
            return self._run_plan(plan)
        if plan.code is None:
            plan.runs += 1
            if plan.runs < 2:  # compiling costs more than most roots are worth once
                return self._run_plan(plan)
            plan.code = loaded(emit_root(plan, self._level))
        function = bound(plan.code, container, {"live": _live, "landed": _landed, "CLOSING": CLOSING})
        if root.keeps:
            container.keep_root(self, token, function, None)
        return function(self)  # type: ignore[no-any-return]

    async def _run_plan(self, plan: Plan) -> Any:
        """Carry out a plan call by call, counted as a get in flight."""
        self._enter_flight()
        try:
            value = await run_plan(plan, self)
        except BaseException:
            self.n -= 1
            self.wake_closers()
            raise
        self.n -= 1
        if self.n >= CLOSING:
            _landed(self)
        return value

    def _enter_flight(self) -> None:
        _live(self)
        self.n += 1

    def get_nowait(self, token: Any, /) -> Any:
        """
        Return the value registered for *token* without awaiting: what is built already, or can be built without a loop.

        Built container values can be read from any thread.

        Raises:
            AsyncDependencyError: It has to be awaited.
            MissingDependencyError: Nothing is registered for *token*.
            ScopeError: *token* lives in a scope, and this is the container.
            ClosedError: This container or scope is closed.
            WrongLoopError: It would have to be built, and another loop owns the container.
        """
        try:
            return self.q[token](self)
        except (KeyError, TypeError):
            return self._get_nowait_cold(token)

    def _get_nowait_cold(self, token: Any) -> Any:
        root = self._root(token)
        container = self.container
        plan = root.plan
        while not container.has_all(plan.singletons):
            container.build_now(plan.singletons)
            root = self._root(token)
            plan = root.plan
        node = root.node
        if node is not None and node.level == CONTAINER_LEVEL:
            value = container.built_value(node)
            if root.keeps:
                container.keep_root(self, token, constant_root(value), lambda scope: value)
            return value
        self._check_sync(plan)
        return self._now(self._run_plan(plan), token)

    def _check_sync(self, plan: Plan) -> None:
        """Refuse what has to be awaited, or belongs to another thread, before anything of it is begun."""
        builds = bool(plan.unit.ops)
        for unit in (*plan.units, plan.unit):
            node = unit.node
            there = node is not None and self.at(node.level).v[node.slot] is not UNSET
            builds = builds or not there
            if unit.awaits and not unit.threaded and not there:
                awaited = next(op.node for op in unit.ops if op.special or op.node.kind not in ("sync", "value", "generator"))
                raise AsyncDependencyError(awaited.name, (), str(awaited.place))
        if builds and not isinstance(self.w, _ByThreads):
            loop, here = self.container.loop, get_running_loop()
            if loop is not None and loop is not here and loop.is_running():
                raise WrongLoopError(
                    f"{self.name} builds in the thread of its event loop only; in another thread open a scope of its own: "
                    "with container.scope() as scope"
                )

    @staticmethod
    def _now(work: Coroutine[Any, Any, Any], token: Any) -> Any:
        """Run a coroutine that has nothing to wait for."""
        try:
            work.send(None)
        except StopIteration as stop:
            return stop.value
        work.close()
        raise AsyncDependencyError(name_of(token), (), "", "met something that has to be awaited")

    def getter(self, token: Any, /) -> Callable[[], Coroutine[Any, Any, Any]]:
        """
        Return a callable that gives what ``get(token)`` gives; it follows overrides, new registrations and closing.

        The quickest way to a value that is asked for often.
        """
        self._root(token)
        return lambda: self.get(token)

    async def gather(self, *tokens: Any) -> tuple[Any, ...]:
        """
        Return the values of several tokens; container values are built side by side, scoped ones one after another.

        Raises:
            BaseException: What the first failing one raised.
        """
        container = self.container
        needed = [node for token in tokens for node in self._root(token).plan.singletons]
        if not container.has_all(needed):
            await container.build(needed)
        return tuple([await self.get(token) for token in tokens])

    async def make(self, node: Node, arguments: dict[str, Any]) -> Any:
        """Make *node* anew for a Factory handle."""
        unit = self._made_unit(node, arguments)
        container = self.container
        plan = container.plan_of_unit(unit)
        if not container.has_all(plan.singletons):
            await container.build(plan.singletons)
        return await self._run_plan(plan)

    def make_nowait(self, node: Node, arguments: dict[str, Any]) -> Any:
        """Make *node* anew without awaiting."""
        plan = self.container.plan_of_unit(self._made_unit(node, arguments))
        self.container.build_now(plan.singletons)
        self._check_sync(plan)
        return self._now(self._run_plan(plan), node.key)

    def _made_unit(self, node: Node, arguments: dict[str, Any]) -> Unit:
        container = self.container
        self.check_open()
        inner = node.constructed or node
        edges = container.graph.expand(inner)
        takes = {edge.name for edge in edges if edge.target.how == "argument"}
        unknown = [name for name in arguments if name not in takes]
        absent = [name for name in takes if name not in arguments]
        if unknown or absent:
            said = []
            if unknown:
                near = close_to(unknown[0], takes)
                said.append(f"{unknown[0]!r} is no argument of it{f', did you mean {near[0]!r}?' if near else ''}")
            if absent:
                said.append(f"{', '.join(map(repr, sorted(absent)))} is missing")
            known = ", ".join(sorted(takes)) or "none"
            raise TypeError(f"Factory of {node.name} ({node.place}): {' and '.join(said)}; its arguments are: {known}")
        return unit_with_arguments(container.graph, node, arguments)

    # --- what the cold paths ask ---

    def _root(self, token: Any) -> Root:
        self.check_open()
        return self.container.root_for(self, token)  # type: ignore[no-any-return]

    def check_open(self) -> None:
        """
        Refuse where nothing is handed out any more.

        Raises:
            ClosedError: Closed, or closing.
        """
        if self.r is CLOSED:
            raise ClosedError(f"{self.name} is closed")
        self.p.check_open()

    def at(self, level: int) -> Any:
        """Return the scope of *level* that this is, or lies in."""
        scope: Any = self
        while scope._level > level:
            scope = scope.p
        return scope

    def shares(self, site: Any) -> bool:
        """Tell whether what *site* asks for has a single flight of its own."""
        try:
            node = self._root(site).node
        except ContainerError:
            return True
        return node is not None and not node.transient

    def keeps(self, site: Any) -> bool:
        """Tell whether a handle may keep what it has fetched."""
        return self.container.keeps_fetched()  # type: ignore[no-any-return]

    def bind(self, node: Node, made: Any) -> None:
        """Tell what *node* made who made it, where it wants to know."""
        if binds(node):
            bind(made, self)

    @property
    def by_threads(self) -> bool:
        """Whether several threads may claim its values."""
        return isinstance(self.w, _ByThreads)

    # --- living inside of it ---

    def scope(self, context: Mapping[Any, object] | None = None, /, *, level: str | None = None) -> Any:
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
        self.check_open()
        return self.container.open_scope(self, context, level)

    def request(self, token: Any, context: Mapping[Any, object] | None = None, /) -> Any:
        """
        Return a context manager that opens a scope, gives *token*'s value in it and closes it: one ``async with``.
        """
        self.check_open()
        return self.container.opening(self, token, context)

    def adopt(self, service: Any, /) -> Any:
        """
        Bind an instance that was made by hand: its attributes are fetched in this scope.  Return it.

        Raises:
            ContainerError: Another scope has it already.
        """
        self.check_open()
        there = getattr(service, HOME, None)
        if there is not None and there is not self and not there.closed:
            raise ContainerError(f"this {type(service).__qualname__} belongs to {there.name} already")
        bind(service, self)
        return service

    # --- entering and closing ---

    async def __aenter__(self) -> Self:
        self.check_open()
        return self

    def __enter__(self) -> Self:
        self.check_open()
        if self._level != CONTAINER_LEVEL and self.w is None:
            self.w = _ByThreads()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None, /
    ) -> None:
        x = self.x
        if self.n or self.kids or exc is not None or (x is not None and type(x) is not AsyncGeneratorType):
            await self._close(exc)
            return
        # The short way, for what nearly every request is: nothing in flight, at most one finalizer.
        self.r = CLOSED
        if x is None:
            self.v = GONE
            return
        self.n, self.x = CLOSING, None
        try:
            await x.__anext__()
        except StopAsyncIteration:
            return
        except BaseException as raised:
            settle_errors([raised], None)
        else:
            try:
                await x.aclose()
            finally:
                settle_errors([FactoryError(yields_twice(x))], None)
        finally:
            self._gone()

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None, /
    ) -> None:
        self._close_sync(exc)

    async def aclose(self) -> None:
        """
        Close it: run the finalizers of everything it made, in reverse order of completion, and all of them.

        A second call returns when the first has ended.  When it is cancelled, closing is finished first.

        Raises:
            FinalizationErrors: What finalizers raised, also a single one.
        """
        await self._close(None)

    def close(self) -> None:
        """
        Close it without a loop.

        Raises:
            AsyncDependencyError: Something has to be awaited; nothing is closed then.
            FinalizationErrors: What finalizers raised, also a single one.
        """
        self._close_sync(None)

    def _gone(self) -> None:
        """The last step of closing."""
        self.v = GONE
        around = self.p.kids
        if around is not None:
            around.discard(self)
        if self.w:
            self._tell(_CLOSERS)

    async def _close(self, error: BaseException | None) -> None:
        self._refuse_inside()
        if self.r is CLOSED:
            if self.v is not GONE and self not in scopes_above(CLOSING_CODES):
                await self._until(_CLOSERS, lambda: self.v is GONE)
            return
        self.r = CLOSED
        self.n += CLOSING
        raised: list[BaseException] = []
        await self._close_kids(raised)
        try:
            await self._until(_LANDING, lambda: self.n == CLOSING)
        except asyncio.CancelledError as cancelled:
            raised.append(cancelled)
        finalizers, self.x = as_list(self.x), None
        raised[:0] = await unwind(finalizers, error)
        self._gone()
        settle_errors(raised, error)

    async def _close_kids(self, raised: list[BaseException]) -> None:
        """Wait for the scopes inside that are closing, and close those that nobody closes."""
        while self.kids:
            kid = next(iter(self.kids))
            try:
                if kid.n < CLOSING:
                    warn_open(kid)
                await kid._close(None)
            except asyncio.CancelledError as cancelled:
                if cancelled not in raised:
                    raised.append(cancelled)
            except BaseException as met:
                raised.append(met)
            if kid.v is GONE:
                self.kids.discard(kid)

    def _close_sync(self, error: BaseException | None) -> None:
        if self.r is CLOSED:
            return
        finalizers = as_list(self.x)
        check_sync(finalizers, self.name)
        for kid in self.kids or ():
            check_sync(as_list(kid.x), kid.name)
        self._refuse_inside()
        if self.n and not self.by_threads:
            raise ContainerError(f"{self.name} has gets in flight: close it with `await scope.aclose()`")
        self.r = CLOSED
        self.n += CLOSING
        raised: list[BaseException] = []
        for kid in list(self.kids or ()):
            warn_open(kid)
            try:
                kid._close_sync(None)
            except BaseException as met:
                raised.append(met)
        self._until_sync(lambda: self.n == CLOSING)
        finalizers, self.x = as_list(self.x), None
        raised[:0] = unwind_sync(finalizers, error)
        self._gone()
        settle_errors(raised, error)

    def _refuse_inside(self) -> None:
        """
        Refuse to be closed by what is just being built for it.

        Raises:
            ContainerError: The caller is part of a get in flight.
        """
        if self.n & (CLOSING - 1) and self in scopes_above(FLIGHT_CODES, generated=True):
            raise ContainerError(f"{self.name} cannot be closed by a factory that it is waiting for")

    async def _until(self, key: int, over: Callable[[], bool]) -> None:
        """Wait until *over*, also when cancelled meanwhile; the cancellation is raised afterwards."""
        cancelled: asyncio.CancelledError | None = None
        while not over():
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            told = waker(future)
            if self.w is None:
                self.w = {}
            self.w.setdefault(key, []).append(told)
            try:
                await future
            except asyncio.CancelledError as error:
                cancelled = error
            finally:
                waiting = self.w.get(key)
                if waiting and told in waiting:
                    waiting.remove(told)
        if cancelled is not None:
            raise cancelled

    def _until_sync(self, over: Callable[[], bool]) -> None:
        import threading

        while not over():
            event = threading.Event()
            with LOCK:
                if over():
                    return
                self.w.setdefault(_LANDING, []).append(lambda _, event=event: event.set())
            event.wait()

    def wake_closers(self) -> None:
        """Tell who closes it that a get in flight has landed."""
        if self.n >= CLOSING and self.w:
            self._tell(_LANDING)

    def _tell(self, key: int) -> None:
        with LOCK:
            waiting = self.w.pop(key, ())
        for told in waiting:
            told(None)


def waker(future: asyncio.Future[None]) -> Callable[[Any], None]:
    """Return a function that ends the waiting on *future*, from any thread."""
    loop = future.get_loop()

    def told(_: Any) -> None:
        if loop is get_running_loop():
            if not future.done():
                future.set_result(None)
        elif not loop.is_closed():
            loop.call_soon_threadsafe(cancel_quietly, future)

    return told


def warn_open(scope: Scope) -> None:
    """Warn that a scope is closed by its container because nobody else did."""
    warnings.warn(f"{scope.name} was still open when its container closed", ResourceWarning, stacklevel=2, source=scope)


def _live(scope: Any) -> None:
    """Make a scope known to the one around it: it has something to close, or something in flight."""
    around = scope.p
    if around is None:
        return
    if around.kids is None:
        around.kids = {scope}
        _live(around)
    elif scope not in around.kids:
        around.kids.add(scope)
        _live(around)


def _landed(scope: Any) -> None:
    """A get lands while its scope closes: wake who closes it, and hand nothing out."""
    scope.wake_closers()
    raise ClosedError(f"{scope.name} was closed meanwhile")


CLOSING_CODES: Final = frozenset(map(id, (Scope.__aexit__.__code__, Scope._close.__code__, Scope._close_sync.__code__)))
FLIGHT_CODES: Final = frozenset({id(Scope._run_plan.__code__)})


def scope_class(base: type[Scope], container: Any, level: int, table: dict[Any, Any], table_nowait: dict[Any, Any]) -> Any:
    """
    Return the class of a container's scopes of one level.

    A class for each, so that making a scope is one call with everything at hand; with a single level it *is*
    ``container.scope``.
    """
    graph = container.graph
    template = [UNSET] * graph.slots[level]
    slots = {key: node.slot for key, node in graph.context_nodes.items() if node.level == level}
    name = graph.levels[level]

    if level == 1:

        def __init__(self: Any, context: Any = None, /, *, level: str | None = None) -> None:
            self.p = container
            self.r = table
            self.v = template[:]
            self.x = self.w = self.kids = None
            self.n = 0
            if context is not None:
                fill(self, context)
            if level is not None and level != name and level != "scoped":
                raise no_level(container, level)
    else:

        def __init__(self: Any, context: Any = None, /, *, around: Any = None) -> None:
            self.p = around
            self.r = table
            self.v = template[:]
            self.x = self.w = self.kids = None
            self.n = 0
            if context is not None:
                fill(self, context)

    def fill(self: Any, context: Mapping[Any, object]) -> None:
        if not isinstance(context, Mapping):
            raise ScopeError(f"the context of a scope is a mapping from tokens to values, not a {type(context).__name__}")
        values = self.v
        for key, value in context.items():
            slot = slots.get(key)
            if slot is None:
                raise undeclared(container, key, name)
            values[slot] = value

    return type(
        "Scope", (base,), {"__slots__": (), "__init__": __init__, "_level": level, "q": table_nowait, "__module__": Scope.__module__}
    )


def undeclared(container: Any, key: Hashable, level: str) -> ScopeError:
    """Return the error of a context value that the application does not declare."""
    known = tuple(name_of(other) for other in container.graph.context)
    near = close_to(name_of(key), known)
    said = f"; did you mean {near[0]}?" if near else ""
    other = container.graph.context.get(key)
    if other is not None:
        return ScopeError(f"{name_of(key)} is context of the level {container.graph.levels[other]!r}, not of {level!r}")
    return ScopeError(
        f"{container.name} declares no context value {name_of(key)}{said} "
        f"(class {container.name}(AsyncServiceBase, context=[{name_of(key)}]))"
    )


def no_level(container: Any, level: str) -> ScopeError:
    """Return the error of a level that is not there, or not below the scope that was asked."""
    return ScopeError(f"{container.name} has no level {level!r} to open here; its levels are {', '.join(container.graph.levels[1:])}")


