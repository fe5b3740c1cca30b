"""A short life inside a container: a request, a job, a message.  Holds values, and gives them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Hashable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Protocol, Self, overload

from ..._compat import TypeForm, TypeVar, get_running_loop
from ..._declare.home import home_kept
from ..._declare.keys import token_key
from ..._declare.lifetimes import CONTAINER_LEVEL, Lifetime
from ..._declare.tokens import Token
from ..._lock import LOCK
from ..._names import name_of
from ..._solve.nodes import Node
from ..._solve.plan import LARGEST, Plan
from ..._solve.resolve import Root
from ...errors import ContainerError
from ..build.driver import build_missing, build_missing_nowait, may_just_wait, wait_for
from ..build.interpreter import bind, run_plan
from ..build.nowait import check_nowait, refuse_itself
from ..state.context import Ambient, getting
from ..state.frames import MAKES
from ..state.parking import run_nowait
from ..state.roots import constant_root
from ..state.singletons import OPEN, ScopeState
from ..state.slots import CLOSED, CLOSING
from ..teardown.scope_exit import ScopeExit, landed, live

__all__ = ["ScopeFace"]

T = TypeVar("T")
P = ParamSpec("P")
R = TypeVar("R")
T_co = TypeVar("T_co", covariant=True, default=Any)
T1 = TypeVar("T1", default=Any)
T2 = TypeVar("T2", default=Any)
T3 = TypeVar("T3", default=Any)
T4 = TypeVar("T4", default=Any)
T5 = TypeVar("T5", default=Any)
T6 = TypeVar("T6", default=Any)


if TYPE_CHECKING:
    from ..observe.cause import Causes
    from ..state.singletons import Answers, Overriding

    class Service(Protocol):
        """What checkers see of a service: the class itself lies in a room above."""

        async def on_startup(self) -> None: ...
        async def on_shutdown(self) -> None: ...

    S = TypeVar("S", bound=Service)

    class Entered(Generic[T_co]):
        """What opens something for a block, in either way of entering."""

        async def __aenter__(self) -> T_co: ...
        async def __aexit__(
            self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None, /
        ) -> None: ...
        def __enter__(self) -> T_co: ...
        def __exit__(
            self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None, /
        ) -> None: ...


class ScopeFace(ScopeExit):
    """All that a scope offers, but for what speaks of containers: `Scope` adds that, where both are known."""

    __slots__ = ()

    # --- what it is ---

    @property
    def level(self) -> Lifetime:
        """The name of its level: "scoped", or as the application says."""
        return Lifetime(self._singletons.graph.levels[self._level])

    @property
    def _name(self) -> str:
        """What to call it in text."""
        return f"the {self.level} scope of {self.container._name}"

    @property
    def _title(self) -> str:
        """The same with what it is."""
        return self._name

    def __repr__(self) -> str:
        return f"<{'closed ' if self.closed else ''}{self.level} scope of {self.container._name}>"

    # --- getting ---

    @overload
    async def get(self, token: str, /) -> Any: ...
    @overload
    async def get(self, token: Token[T], /) -> T: ...
    @overload
    async def get(self, token: TypeForm[T], /) -> T: ...
    def get(self, token: object, /) -> Coroutine[Any, Any, Any]:
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
            return self._roots[token](self)
        except (KeyError, TypeError):
            return self._get_cold(token)

    async def _get_cold(self, token: object) -> Any:
        singletons = self._singletons
        if singletons.overridden:
            from .answering import NOTHING, answered  # lazy import

            value = await answered(self, token)
            if value is not NOTHING:
                return value
        root = self._find(token)
        node = root.node
        if node is not None and node.level == CONTAINER_LEVEL:
            flight = singletons.owner_of(node).flights.get(node)
            if flight is not None and may_just_wait(flight, self.container):
                await wait_for(flight)
                if singletons.has(node):
                    return singletons.value(node)
                # It died, or the container was closed: see below.
        asked = None if singletons.watch is None else self._causes(root.plan)
        while not singletons.has_all(root.plan.singletons):
            with getting(root.plan):
                await build_missing(singletons, root.plan.singletons, asked=asked)
            # Much may have happened while we waited.
            root = self._find(token)
        node = root.node
        if node is not None and node.level == CONTAINER_LEVEL:
            return self._keep_value(token, singletons.value(node))
        return await self._run(token, root, asked)

    def _keep_value(self, token: object, value: object) -> Any:
        """Let the next get of *token* find a built container value at once; return that."""
        self._root_table.keep(self, token, constant_root(value), lambda scope: value)
        return value

    def _run(self, token: object, root: Root, asked: Causes | None) -> Coroutine[Any, Any, Any]:
        """Return the coroutine that carries out a root whose container values are built; by code from the second time on."""
        plan, watch = root.plan, self._singletons.watch
        if self._by_threads:
            check_nowait(self, plan)
            return self._run_plan(plan, asked)
        if self._root_table.views or plan.concurrent or plan.size > LARGEST or (watch is not None and watch.observed):
            return self._run_plan(plan, asked)
        singletons = self._singletons
        if (singletons.overridden and self._active() is not None) or (singletons.overlaid and singletons.minds):
            return self._run_plan(plan)  # what is built shall not see it, and code does not mind
        if plan.code is None:
            plan.runs += 1
            if plan.runs < 2:  # compiling costs more than most roots are worth once
                return self._run_plan(plan)
        from ..compiled.load import root_function  # lazy import

        function = root_function(plan, self)
        self._root_table.keep(self, token, function, None)
        return function(self)

    async def _run_plan(self, plan: Plan, asked: Causes | None = None) -> Any:
        """Carry out a plan call by call, counted as a get in flight."""
        if plan.awaits and get_running_loop() is not self._singletons.origin.loop:
            self._singletons.check_loop(get_running_loop(), plan.first_awaiting)
        watch = self._singletons.watch
        self._enter_flight()
        try:
            with getting(plan), nullcontext() if asked is None or watch is None else watch.asking(asked):
                if plan.concurrent:
                    from ..build.concurrent import build_concurrent  # lazy import

                    await build_concurrent(plan.units, self)
                value = await run_plan(plan, self)
        finally:
            # Neither in a method nor under the lock: an interrupt that comes as one is entered would leave the count for
            # ever.  It is one step for the interpreter, in which neither a signal nor another thread gets its turn.
            self._in_flight -= 1
            self._left_flight()
        if self._in_flight >= CLOSING:
            landed(self)
        return value

    def _causes(self, plan: Plan) -> Causes | None:
        """Return what asks for what in *plan*; None where nobody watches who would want to know."""
        watch = self._singletons.watch
        return None if watch is None else watch.causes_in(plan)

    def _enter_flight(self) -> None:
        entered = False
        try:
            with LOCK:  # threads may share a scope that needs no loop
                live(self)
                self._in_flight += 1
                entered = True
        except BaseException:  # an interrupt, as the lock was let go
            if entered:
                self._in_flight -= 1
            raise

    async def _counting(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do *work*, counted as a get in flight, as in `_run_plan`."""
        self._enter_flight()
        try:
            return await work()
        finally:
            self._in_flight -= 1
            self._left_flight()

    def _left_flight(self) -> None:
        if self._in_flight >= CLOSING:
            self._wake_closers()

    @overload
    def get_nowait(self, token: str, /) -> Any: ...
    @overload
    def get_nowait(self, token: Token[T], /) -> T: ...
    @overload
    def get_nowait(self, token: TypeForm[T], /) -> T: ...
    def get_nowait(self, token: object, /) -> Any:
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
            root = self._roots_nowait[token]
        except (KeyError, TypeError):
            root = None
        return self._get_nowait_cold(token) if root is None or self._roots is CLOSED else root(self)

    def _get_nowait_cold(self, token: object) -> Any:
        singletons = self._singletons
        if singletons.overridden:
            from .answering import NOTHING, answered  # lazy import

            value = run_nowait(answered(self, token, waits=False), token)
            if value is not NOTHING:
                return value
        root = self._find(token)
        while not singletons.has_all(root.plan.singletons):
            self._check_open()
            with getting(root.plan):
                build_missing_nowait(singletons, root.plan.singletons, self._causes(root.plan))
            root = self._find(token)
        plan, node = root.plan, root.node
        if node is not None and node.level == CONTAINER_LEVEL:
            return self._keep_value(token, singletons.value(node))
        check_nowait(self, plan)
        refuse_itself(self, plan)
        return run_nowait(self._run_plan(plan, self._causes(plan)), token)

    @overload
    def getter(self, token: str, /) -> Callable[[], Coroutine[Any, Any, Any]]: ...
    @overload
    def getter(self, token: Token[T], /) -> Callable[[], Coroutine[Any, Any, T]]: ...
    @overload
    def getter(self, token: TypeForm[T], /) -> Callable[[], Coroutine[Any, Any, T]]: ...
    def getter(self, token: Any, /) -> Callable[[], Coroutine[Any, Any, Any]]:
        """
        Return a callable that gives what ``get(token)`` gives; it follows overrides, new registrations and closing.

        The quickest way to a value that is asked for often.

        Raises:
            MissingDependencyError: Nothing is registered for *token*.
            ScopeError: *token* lives in a scope, and this is the container.
            ClosedError: This container or scope is closed.
        """
        self._find(token)
        return self._getter(token)

    def _getter(self, token: Any) -> Callable[[], Coroutine[Any, Any, Any]]:
        return lambda: self.get(token)

    @overload
    async def gather(self, t1: str | Token[T1] | TypeForm[T1], /) -> tuple[T1]: ...
    @overload
    async def gather(self, t1: str | Token[T1] | TypeForm[T1], t2: str | Token[T2] | TypeForm[T2], /) -> tuple[T1, T2]: ...
    @overload
    async def gather(
        self, t1: str | Token[T1] | TypeForm[T1], t2: str | Token[T2] | TypeForm[T2], t3: str | Token[T3] | TypeForm[T3], /
    ) -> tuple[T1, T2, T3]: ...
    @overload
    async def gather(
        self,
        t1: str | Token[T1] | TypeForm[T1],
        t2: str | Token[T2] | TypeForm[T2],
        t3: str | Token[T3] | TypeForm[T3],
        t4: str | Token[T4] | TypeForm[T4],
        /,
    ) -> tuple[T1, T2, T3, T4]: ...
    @overload
    async def gather(
        self,
        t1: str | Token[T1] | TypeForm[T1],
        t2: str | Token[T2] | TypeForm[T2],
        t3: str | Token[T3] | TypeForm[T3],
        t4: str | Token[T4] | TypeForm[T4],
        t5: str | Token[T5] | TypeForm[T5],
        /,
    ) -> tuple[T1, T2, T3, T4, T5]: ...
    @overload
    async def gather(
        self,
        t1: str | Token[T1] | TypeForm[T1],
        t2: str | Token[T2] | TypeForm[T2],
        t3: str | Token[T3] | TypeForm[T3],
        t4: str | Token[T4] | TypeForm[T4],
        t5: str | Token[T5] | TypeForm[T5],
        t6: str | Token[T6] | TypeForm[T6],
        /,
    ) -> tuple[T1, T2, T3, T4, T5, T6]: ...
    @overload
    async def gather(self, *tokens: Hashable) -> tuple[Any, ...]: ...
    async def gather(self, *tokens: Any) -> Any:
        """
        Return the values of several tokens; container values are built side by side, scoped ones one after another.

        Raises:
            BaseException: What the first failing one raised.
        """
        singletons = self._singletons
        if self._active() is not None:
            return tuple([await self.get(token) for token in tokens])
        plans = [self._find(token).plan for token in tokens]
        while not singletons.has_all(needed := [node for plan in plans for node in plan.singletons]):
            with getting(*plans):
                await build_missing(singletons, needed)
            # Much may have happened while we waited.
            plans = [self._find(token).plan for token in tokens]
        units = {unit: None for plan in plans for unit in plan.units}
        if any(unit.concurrent for unit in units) and not self._by_threads:
            from ..build.concurrent import build_concurrent  # lazy import

            await self._counting(partial(build_concurrent, units, self))
        return tuple([await self.get(token) for token in tokens])

    async def _make_anew(self, node: Node, arguments: dict[str, Any], *, waits: bool = True) -> Any:
        """Make *node* anew for a Factory handle."""
        from ..build.handles import making_anew  # lazy import

        singletons = self._singletons
        plan = making_anew(self, node, arguments)
        asked = self._causes(plan)
        if not singletons.has_all(plan.singletons):
            with getting(plan):
                if waits:
                    await build_missing(singletons, plan.singletons, asked=asked)
                else:
                    build_missing_nowait(singletons, plan.singletons, asked)
        if self._by_threads or not waits:
            check_nowait(self, plan)
        if not waits:
            refuse_itself(self, plan)
        return await self._run_plan(plan, asked)

    def _make_anew_nowait(self, node: Node, arguments: dict[str, Any]) -> Any:
        """Make *node* anew without awaiting."""
        return run_nowait(self._make_anew(node, arguments, waits=False), node.key)

    # --- filling functions ---

    def inject(self, fn: Callable[P, R], /) -> Callable[P, R]:
        """
        Return *fn* with its marked parameters, ``From[T]`` or ``Annotated[T, Inject(...)]``, filled at each call.

        The caller passes the others, by position or name; a marked one that is passed by hand wins.  A container opens a
        scope for each call where something scoped is needed, and closes it when the call, or the generator, ends; a scope
        gives its own values.  What is registered or overridden later counts from the next call on.

        Args:
            fn: A function of any kind, sync or async, also a generator; a method, a class.  A sync one gets what needs no
                awaiting, see `get_nowait`.

        Raises:
            GraphErrors: What it asks for does not fit together; all problems at once.
            ClosedError: This container or scope is closed.

        .. versionadded:: 0.1.0
        """
        from .injection import inject  # lazy import

        self._check_open()
        filled: Callable[P, R] = inject(fn, self)
        return filled

    def ambient(self) -> AbstractContextManager[Self, None]:
        """
        Return a context manager inside of which injected functions are filled by this scope, or container.

        It counts for the task that enters it and for the tasks and threads that are started inside with its context;
        blocks may lie inside of each other.  It closes nothing.  A container's ``async with`` does this by itself; a
        scope's does not, for it may be open in one task for many others.

        .. versionadded:: 0.1.0
        """
        if self._roots is CLOSED:
            self._check_open()
        return Ambient(self)

    # --- what the cold paths ask ---

    def _find(self, token: object) -> Root:
        """Return what *token* leads to here."""
        singletons = self._singletons
        if self._roots is CLOSED or singletons.state != OPEN or singletons.below is not None or self._level > 1:
            self._check_open()
        return self._root_table.find(self, token)

    def _shares(self, site: Any) -> bool:
        """Tell whether what *site* asks for has a single flight of its own."""
        sharing = self._root_table.sharing
        verdict = sharing.get((self._level, site))
        if verdict is None:
            try:
                node = self._find(site).node
            except ContainerError:
                return True
            verdict = self._root_table.sharing[self._level, site] = node is not None and not node.transient
        return verdict

    def _standing(self) -> ScopeState:
        """Return the scope that answers for what this has made: itself, but of an override that has ended."""
        return self

    def _active(self) -> Overriding | None:
        """Return the overlay that is in force here, or None."""
        return self.container._active() if self._singletons.overridden else None

    def _elsewhere(self, site: Any) -> Answers | None:
        """Return the view of this in which an override in force here answers for what *site* asks for, or None."""
        active = self._active()
        return None if active is None else active._answering(self, site)

    # --- living inside of it ---

    def takes(self, token: Hashable, /, *, level: str | None = None) -> bool:
        """
        Tell whether ``scope({token: ...}, level=level)`` takes the value: the application declares it as context.

        For those who open scopes for others, such as a web framework's middleware: what is not declared is an error.

        .. versionadded:: 0.1.0
        """
        graph = self._singletons.graph
        levels = graph.context_levels.get(token_key(token), ())
        wanted = len(graph.levels) - 1
        if level is not None and level != "scoped":
            wanted = graph.levels.index(level) if level in graph.levels else 0
        return any(self._level < one <= wanted for one in levels)

    def adopt(self, service: S, /) -> S:
        """
        Bind an instance that was made by hand: its attributes are fetched in this scope.  Return it.

        Raises:
            ContainerError: Another scope has it already.
            ClosedError: This container or scope is closed.
            DeclarationError: Its class has no place for what it fetches.
        """
        self._check_open()
        there = home_kept(service)
        if there is not None and there is not self and not there.closed:
            raise ContainerError(f"this {name_of(type(service))} belongs to {there._title} already")
        bind(service, self)
        return service


MAKES.add_methods(ScopeFace._run_plan)
