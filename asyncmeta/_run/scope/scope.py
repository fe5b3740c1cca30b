"""A short life inside a container: a request, a job, a message.  Holds values, and gives them."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Hashable, Mapping
from contextlib import nullcontext
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Protocol, Self, overload

import typing_extensions as te
from typing_extensions import TypeForm

from ..._declare.keys import Token, token_key
from ..._declare.lifetimes import CONTAINER_LEVEL, Lifetime
from ..._solve.nodes import Node
from ..._solve.plan import LARGEST, Plan
from ..._solve.resolve import Root
from ...errors import ContainerError, ScopeError
from ..build.driver import build_missing, wait_for
from ..build.handles import home_kept, made_unit
from ..build.interpreter import adopt_made, adopts, bind, binds, run_plan
from ..build.nowait import check_nowait, refuse_itself, run_nowait
from ..observe.cause import Causes, asking
from ..state.getting import getting
from ..state.roots import constant_root
from ..teardown.scope_exit import CLOSED, CLOSING, FLIGHT_CODES, landed, live
from .answering import NOTHING, answered, answered_nowait
from .injections import Injecting

__all__ = ["Scope"]

T = te.TypeVar("T")
T_co = te.TypeVar("T_co", covariant=True, default=Any)
T1 = te.TypeVar("T1", default=Any)
T2 = te.TypeVar("T2", default=Any)
T3 = te.TypeVar("T3", default=Any)
T4 = te.TypeVar("T4", default=Any)
T5 = te.TypeVar("T5", default=Any)
T6 = te.TypeVar("T6", default=Any)


if TYPE_CHECKING:

    class Service(Protocol):
        """What checkers see of a service: the class itself lies in a room above."""

        async def on_startup(self) -> None: ...
        async def on_shutdown(self) -> None: ...

    S = te.TypeVar("S", bound=Service)

    class OneShot(Generic[T_co]):
        """What opens something for a block, in either way of entering."""

        async def __aenter__(self) -> T_co: ...
        async def __aexit__(
            self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None, /
        ) -> None: ...
        def __enter__(self) -> T_co: ...
        def __exit__(
            self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None, /
        ) -> None: ...


class Scope(Injecting):
    """
    Holds scoped values for a while; made by ``container.scope()``.

    Tasks may share a scope; each value in it is built once.  It can be used as soon as it is made; entering it with
    ``async with`` (or ``with``, for graphs that need no awaiting) says who closes it.  What it made is closed in
    reverse order of completion, in the task that leaves it.
    """

    __slots__ = ()

    #: carried out call by call, always
    _interpreted = False

    # --- what it is ---

    @property
    def level(self) -> Lifetime:
        """The name of its level: "scoped", or as the application says."""
        return Lifetime(self.container._graph.levels[self._level])

    @property
    def _name(self) -> str:
        """What to call it in text."""
        return f"the {self.level} scope of {self.container._name}"

    def __repr__(self) -> str:
        return f"<{'closed ' if self.closed else ''}{self.level} scope of {self.container._name}>"

    def __reduce__(self) -> str:
        cls = self.container._root_class
        path = f"{cls.__module__}:{cls.__qualname__}"
        raise TypeError(
            f"{self!r} lives in this process: it cannot be copied or pickled; pass what it gives, or the import path of its "
            f'application, and let each process open its own: asyncmeta.workers.WorkerContainer("{path}")'
        )

    def __copy__(self) -> Self:
        return self.__reduce__()  # type: ignore[return-value]

    def __deepcopy__(self, memo: object) -> Self:
        return self.__reduce__()  # type: ignore[return-value]

    @staticmethod
    def of(service: Service, /) -> Scope:
        """
        Return the scope that made or adopted *service*; for an instance that is its own root, its container.

        Raises:
            ScopeError: None did.
        """
        scope = home_kept(service)
        if scope is None:
            raise ScopeError(
                f"this {type(service).__qualname__} was made by hand and belongs to no scope; scope.adopt(instance) binds it"
            )
        return scope  # type: ignore[no-any-return]

    # --- getting ---

    @overload
    async def get(self, token: str, /) -> Any: ...
    @overload
    async def get(self, token: Token[T], /) -> T: ...
    @overload
    async def get(self, token: TypeForm[T], /) -> T: ...
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
            return self._roots[token](self)  # type: ignore[no-any-return]
        except (KeyError, TypeError):
            return self._get_cold(token)

    async def _get_cold(self, token: Any) -> Any:
        container = self.container
        if container._overridden:
            value = await answered(self, token)
            if value is not NOTHING:
                return value
        root = self._root(token)
        node = root.node
        if node is not None and node.level == CONTAINER_LEVEL:
            flight = container._holder(node)._flights.get(node)
            if flight is not None and container._may_just_wait(flight):
                await wait_for(flight)
                if container._has(node):
                    return container._built_value(node)
                # It died, or the container was closed: see below.
        asked = container._asked_by(root.plan)
        while not container._has_all(root.plan.singletons):
            self._check_open()
            with getting(root.plan):
                await build_missing(container, root.plan.singletons, asked=asked)
            # Much may have happened while we waited.
            root = self._root(token)
        node = root.node
        if node is not None and node.level == CONTAINER_LEVEL:
            value = container._built_value(node)
            container._keep_root(self, token, constant_root(value), lambda scope: value)
            return value
        return await self._run(token, root, asked)

    def _run(self, token: Any, root: Root, asked: Causes | None) -> Coroutine[Any, Any, Any]:
        """Return the coroutine that carries out a root whose container values are built; by code from the second time on."""
        plan, container = root.plan, self.container
        if self._by_threads:
            check_nowait(self, plan)
        if container._observed or self._interpreted or plan.concurrent or plan.size > LARGEST or self._by_threads:
            return self._run_plan(plan, asked)
        if container._overridden and container._active() is not None:
            return self._run_plan(plan)  # what is built shall not see it, and code does not mind
        if plan.code is None:
            plan.runs += 1
            if plan.runs < 2:  # compiling costs more than most roots are worth once
                return self._run_plan(plan)
        from ..compiled.load import root_function  # late

        function = root_function(plan, self)
        container._keep_root(self, token, function, None)
        return function(self)  # type: ignore[no-any-return]

    async def _run_plan(self, plan: Plan, asked: Causes | None = None) -> Any:
        """Carry out a plan call by call, counted as a get in flight."""
        self._enter_flight()
        try:
            with getting(plan), nullcontext() if asked is None else asking(asked):
                if plan.concurrent:
                    from ..build.concurrent import build_concurrent  # late

                    await build_concurrent(plan.units, self)
                value = await run_plan(plan, self)
        except BaseException:
            self._leave_flight()
            raise
        self._leave_flight()
        if self._in_flight >= CLOSING:
            landed(self)
        return value

    def _enter_flight(self) -> None:
        live(self)
        self._in_flight += 1

    def _leave_flight(self) -> None:
        self._in_flight -= 1
        self._wake_closers()

    @overload
    def get_nowait(self, token: str, /) -> Any: ...
    @overload
    def get_nowait(self, token: Token[T], /) -> T: ...
    @overload
    def get_nowait(self, token: TypeForm[T], /) -> T: ...
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
            root = self._roots_nowait[token]
        except (KeyError, TypeError):
            root = None
        return self._get_nowait_cold(token) if root is None or self._roots is CLOSED else root(self)

    def _get_nowait_cold(self, token: Any) -> Any:
        if self.container._overridden:
            value = answered_nowait(self, token)
            if value is not NOTHING:
                return value
        root = self._root(token)
        container = self.container
        plan = root.plan
        while not container._has_all(plan.singletons):
            with getting(plan):
                container._build_nowait(plan.singletons, container._asked_by(plan))
            root = self._root(token)
            plan = root.plan
        node = root.node
        if node is not None and node.level == CONTAINER_LEVEL:
            value = container._built_value(node)
            container._keep_root(self, token, constant_root(value), lambda scope: value)
            return value
        check_nowait(self, plan)
        refuse_itself(self, plan)
        return run_nowait(self._run_plan(plan, container._asked_by(plan)), token)

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
        """
        self._root(token)
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
        container = self.container
        if container._overridden and container._active() is not None:
            return tuple([await self.get(token) for token in tokens])
        plans = [self._root(token).plan for token in tokens]
        needed = [node for plan in plans for node in plan.singletons]
        if not container._has_all(needed):
            with getting(*plans):
                await build_missing(container, needed)
        units = {unit: None for token in tokens for unit in self._root(token).plan.units}
        if any(unit.concurrent for unit in units) and not self._by_threads:
            from ..build.concurrent import build_concurrent  # late

            self._enter_flight()
            try:
                await build_concurrent(units, self)
            finally:
                self._leave_flight()
        return tuple([await self.get(token) for token in tokens])

    async def _make_anew(self, node: Node, arguments: dict[str, Any]) -> Any:
        """Make *node* anew for a Factory handle."""
        container = self.container
        plan = container._plan_of_unit(made_unit(self, node, arguments))
        asked = container._asked_by(plan)
        if not container._has_all(plan.singletons):
            with getting(plan):
                await build_missing(container, plan.singletons, asked=asked)
        if self._by_threads:
            check_nowait(self, plan)
        return await self._run_plan(plan, asked)

    def _make_anew_nowait(self, node: Node, arguments: dict[str, Any]) -> Any:
        """Make *node* anew without awaiting."""
        plan = self.container._plan_of_unit(made_unit(self, node, arguments))
        asked = self.container._asked_by(plan)
        with getting(plan):
            self.container._build_nowait(plan.singletons, asked)
        check_nowait(self, plan)
        refuse_itself(self, plan)
        return run_nowait(self._run_plan(plan, asked), node.key)

    # --- what the cold paths ask ---

    def _root(self, token: Any) -> Root:
        self._check_open()
        return self.container._root_for(self, token)  # type: ignore[no-any-return]

    def _at(self, level: int) -> Any:
        """Return the scope of *level* that this is, or lies in."""
        scope: Any = self
        while scope._level > level:
            scope = scope._parent
        return scope

    def _home(self, node: Node) -> Any:
        """Return the scope that holds the value of a scoped node."""
        return self._at(node.level)

    def _shares(self, site: Any) -> bool:
        """Tell whether what *site* asks for has a single flight of its own."""
        container = self.container
        verdict = container._sharing.get((self._level, site))
        if verdict is None:
            try:
                node = self._root(site).node
            except ContainerError:
                return True
            verdict = container._sharing[self._level, site] = node is not None and not node.transient
        return verdict  # type: ignore[no-any-return]

    def _standing(self) -> Any:
        """Return the scope that answers for what this has made: itself, but of an override that has ended."""
        return self

    def _elsewhere(self, site: Any) -> Any:
        """Return the view of this in which an override in force here answers for what *site* asks for, or None."""
        container = self.container
        overlay = container._answering(self, site) if container._overridden else None
        return None if overlay is None else overlay._view_of(self)

    def _bind(self, node: Node, made: Any) -> None:
        """Tell what *node* made who made it, where it wants to know."""
        if binds(node):
            bind(made, self)
        elif adopts(node):
            adopt_made(made, self)

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
        return self.container._open_scope(self, context, level)  # type: ignore[no-any-return]

    def takes(self, token: Hashable, /, *, level: str | None = None) -> bool:
        """
        Tell whether ``scope({token: ...}, level=level)`` takes the value: the application declares it as context.

        For those who open scopes for others, such as a web framework's middleware: what is not declared is an error.

        .. versionadded:: 0.1.0
        """
        graph = self.container._graph
        levels = graph.context_levels.get(token_key(token), ())
        wanted = len(graph.levels) - 1
        if level is not None and level != "scoped":
            wanted = graph.levels.index(level) if level in graph.levels else 0
        return any(self._level < one <= wanted for one in levels)

    @overload
    def request(self, token: str, context: Mapping[Any, object] | None = None, /) -> OneShot[Any]: ...
    @overload
    def request(self, token: Token[T], context: Mapping[Any, object] | None = None, /) -> OneShot[T]: ...
    @overload
    def request(self, token: TypeForm[T], context: Mapping[Any, object] | None = None, /) -> OneShot[T]: ...
    def request(self, token: Any, context: Mapping[Any, object] | None = None, /) -> Any:
        """
        Return a context manager that opens a scope, gives *token*'s value in it and closes it: one ``async with``.
        """
        self._check_open()
        return self.container._opening(self, token, context)

    def adopt(self, service: S, /) -> S:
        """
        Bind an instance that was made by hand: its attributes are fetched in this scope.  Return it.

        Raises:
            ContainerError: Another scope has it already.
        """
        self._check_open()
        there = home_kept(service)
        if there is not None and there is not self and not there.closed:
            raise ContainerError(f"this {type(service).__qualname__} belongs to {there._title} already")
        bind(service, self)
        return service


FLIGHT_CODES.add(id(Scope._run_plan.__code__))
