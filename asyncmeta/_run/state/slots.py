"""What does a scope hold?  Values by slot, finalizers, who waits, what is in flight."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from types import AsyncGeneratorType, GeneratorType, MethodType
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from ..._solve.nodes import Node, Site
from ...errors import ClosedError

if TYPE_CHECKING:
    from ..._solve.resolve import Root
    from .roots import RootTable
    from .singletons import Singletons
    from .waiting import Closers

__all__ = [
    "CLOSED",
    "CLOSING",
    "FLIGHT",
    "GONE",
    "Gone",
    "NOWHERE",
    "Place",
    "UNSET",
    "Finalizer",
    "Held",
    "Push",
    "RootFunction",
    "RootNowait",
    "ScopeState",
    "ThreadWaiters",
]


class _Mark:
    """A state of a scope's slot that is no value."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


UNSET: Final = _Mark("UNSET")  #: not built
FLIGHT: Final = _Mark("FLIGHT")  #: being built

#: Added to a scope's count of gets in flight when it begins to close.
CLOSING: Final = 1 << 40

#: The table of roots of a closed scope: every look-up misses, and the cold path refuses.
CLOSED: Final[dict[Any, Any]] = {}


class Gone:
    """Stands where a closed scope's values were."""

    __slots__ = ()

    def __getitem__(self, slot: int) -> object:
        raise ClosedError("the scope is closed")

    def __setitem__(self, slot: int, value: object) -> None:
        raise ClosedError("the scope is closed")

    def check(self, name: str) -> None:
        """Tell who ends its block as if it had succeeded, where what was begun in it is undone; *name* is the scope's."""


GONE: Final = cast("list[Any]", Gone())


class Held:
    """Something torn down by whoever set it up: a task that holds a generator, a thread."""

    __slots__ = ()

    #: its teardown may run in any task, also beside a failing build that has not been told yet
    anywhere = False

    def needs_await(self) -> bool:
        """Tell whether its teardown needs a loop."""
        return True

    async def leave(self, error: BaseException | None) -> None:
        """Tear it down; *error* is what the body raised."""

    def leave_nowait(self, error: BaseException | None) -> None:
        """Tear it down without a loop, where `needs_await` says that this can be."""


#: A generator, an on_shutdown method, or something held.
Finalizer: TypeAlias = "AsyncGeneratorType[Any, Any] | GeneratorType[Any, Any, Any] | MethodType | Held"


class ThreadWaiters(dict[int, list[Callable[[Any], None]]]):
    """
    Who waits in a scope that was entered with a plain ``with``; by them it is known.

    Any number of threads may use it, each value is claimed under the lock, and nothing in it is awaited: a build that
    waits for its loop would be waited for by blocking that loop.
    """

    __slots__ = ()


class Place:
    """Something at which tasks and threads wait until something is over, see `parking`."""

    __slots__ = ("_waiters",)

    _waiters: dict[int, list[Callable[[Any], None]]] | None  #: who waits, by what for: a slot, or what else there is


class ScopeState(Place):
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
    _root_table: RootTable  #: what its container has found out about tokens
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
        async def _close(self, error: BaseException | None) -> None: ...
        def _close_nowait(self, error: BaseException | None) -> None: ...
        async def _fail(self, error: BaseException | None, closers: Closers) -> None: ...
        def _fail_nowait(self, error: BaseException | None, closers: Closers) -> None: ...
        def _be_looked_at(self) -> None: ...
        def _refuse_awaiting(self) -> None: ...
        def _enter_flight(self) -> None: ...
        def _leave_flight(self) -> None: ...
        def _left_flight(self) -> None: ...
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
