"""How are a container's scopes opened, and of which class are they?  One for each level, with everything at hand."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any, Generic, TypeVar

from ..._declare.entries import refuse_class
from ..._declare.keys import lasting, token_key
from ..._declare.lifetimes import CONTAINER_LEVEL
from ..._lock import LOCK
from ..._names import close_to, name_of
from ..._solve.graph import Graph
from ...errors import GraphError, ScopeError
from ..scope.scope import ScopeFace
from ..state.singletons import OPEN, RootFunction, RootNowait, ScopeState
from ..state.slots import UNSET
from .state import ContainerState

__all__ = ["Opener"]

S = TypeVar("S", bound=ScopeFace)


class Opener(Generic[S]):
    """
    How scopes of one container are opened, and kept at hand how to.

    With a single level ``container.scope`` becomes the class of its scopes; a token that is asked for again and again
    in scopes of its own gets code that needs none.
    """

    __slots__ = ("base", "classes", "container")

    def __init__(self, container: ContainerState, base: type[S]) -> None:
        self.container = container
        self.base = base  #: of all these classes
        self.classes: dict[tuple[int, bool], type[S]] = {}  #: by level, and whether they span several

    # --- what is at hand is forgotten with the tables of roots that it stands on ---

    def cool(self) -> None:
        self.classes = {}
        self.container._cooled()
        self.container._enters = {}
        self.container._roots_nowait = self.container._root_table.tables_nowait[0]
        self.container.scope = self.first  # type: ignore[method-assign]  # a slot of containers, which is the quicker way

    def set_aside(self) -> None:
        self.container._enters.clear()

    def give_back(self) -> None:
        """What enters for a token is found again by being asked for."""

    # --- opening ---

    def first(self, context: Mapping[Any, object] | None = None, /, *, level: str | None = None) -> Any:
        """Open a scope where no quicker way to do it stands in ``container.scope`` yet."""
        self.container._check_open()
        return self.container._open_scope(self.container, context, level)

    def open(self, around: ScopeState, context: Mapping[Any, object] | None, level: str | None) -> S:
        """Return a new scope inside of *around*, of the innermost level or the named one."""
        container = self.container
        graph = container._graph
        table = container._root_table
        if around is not container:
            table.catch_up_scope(around)
        innermost = len(graph.levels) - 1
        wanted = innermost
        if level is not None and level != "scoped":
            wanted = graph.levels.index(level) if level in graph.levels else 0
        if wanted <= around._level:
            if around._level == innermost and level is None:
                raise ScopeError(
                    f"a {graph.levels[innermost]} scope is the innermost one of {container._name} and has no scopes inside: ask it "
                    f'itself, open another one of the container, or declare levels: scopes=("outer", "inner")'
                )
            raise no_level(container, level or "scoped")
        if wanted == 1:
            cls: Callable[..., S] = self.class_of(1)
            if innermost == 1 and container._singletons.state == OPEN:
                container.scope = cls  # type: ignore[method-assign]  # see `cool`
            return cls(context)
        outermost = around._level + 1
        inner = around
        if outermost == wanted:
            made: S = self.class_of(wanted)(context)
        else:
            given = by_level(graph, context, range(outermost, wanted + 1))
            for between in range(outermost, wanted):
                scope: S = self.class_of(between)(given.get(between))
                scope._parent, inner = inner, scope
            made = self.class_of(wanted, spanning=True)(given.get(wanted))._spanning(around)
        made._parent = inner
        return made

    def class_of(self, level: int, *, spanning: bool = False) -> Any:
        """Return the class of scopes of *level*; *spanning* ones close the levels around them, too."""
        found = self.classes.get((level, spanning))
        if found is None:
            container = self.container
            table = container._root_table
            bases: tuple[type[ScopeFace], ...] = (self.base,)
            if spanning:
                from .spanning import SpanningScope  # lazy import

                bases = (SpanningScope, self.base)
            found = scope_class(bases, container, level, table.tables[level], table.tables_nowait[level])
            if container._observed:
                from ..observe.watch import observed_class  # lazy import

                found = observed_class(found)
            self.classes[level, spanning] = found
        return found

    def for_one(self, around: ScopeState, token: object, context: Mapping[Any, object] | None) -> Any:
        """Return the context manager of a scope that is opened for one value; the quick kind from the second time on."""
        from ..compiled.one_shot import OneShot, quick_enter  # lazy import

        container = self.container
        singletons = container._singletons
        plain = around is container and context is None and len(container._graph.levels) == 2
        if plain and not (container._observed or container._root_table.views or singletons.minds):
            try:
                root = container._root_table.at(1, token)
            except (GraphError, ScopeError):
                return OneShot(around, token, context)
            plan = root.plan
            if plan.openings and singletons.has_all(plan.singletons):
                enter = quick_enter(container, token, plan)
                if enter is not None and lasting(token) is token:
                    with LOCK:
                        if singletons.state == OPEN:
                            container._enters[token] = enter
                    return enter()
            plan.openings += 1
        return OneShot(around, token, context)


def scope_class(
    bases: tuple[type[ScopeFace], ...],
    container: ContainerState,
    level: int,
    table: dict[object, RootFunction],
    table_nowait: dict[object, RootNowait],
) -> Any:
    """
    Return the class of a container's scopes of one level.

    A class for each, so that making a scope is one call with everything at hand; with a single level it *is*
    ``container.scope``.  Who makes one of an inner level puts it into what is around it.
    """
    graph = container._graph
    template = [UNSET] * graph.slots[level]
    slots = {key: node.slot for (key, of), node in graph.context_nodes.items() if of == level}
    name = graph.levels[level]

    def __init__(self: Any, context: Any = None, /, *, level: str | None = None) -> None:
        self._parent = container
        self._roots = table
        self._values = template[:]
        self._finalizers = self._waiters = self._children = None
        self._in_flight = 0
        if context is not None:
            fill(self, context)
        if level is not None and level != name and level != "scoped":
            raise no_level(container, level)

    def fill(self: Any, context: Mapping[Any, object]) -> None:
        if not isinstance(context, Mapping):
            raise ScopeError(f"the context of a scope is a mapping from tokens to values, not a {type(context).__name__}")
        values = self._values
        for key, value in context.items():
            slot = slots.get(key)
            if slot is None:
                slot = slots.get(token_key(key))  # another spelling of it
            if slot is None:
                raise undeclared(container, key, name)
            values[slot] = value

    return type(
        "Scope",
        bases,
        {
            "__slots__": (),
            "__init__": __init__,
            "_level": level,
            "_roots_nowait": table_nowait,
            "_singletons": container._singletons,
            "_root_table": container._root_table,
            "_innermost": level == len(graph.levels) - 1,
            "_warns_open": not container._singletons.overlaid,  # what is in an overlay ends with that
            "__module__": bases[-1].__module__,
        },
    )


NOTHING: Mapping[Any, object] = {}


def given_to(graph: Graph, context: Any) -> Mapping[Any, object]:
    """
    Return what a container is made with, by the keys that its application declares.

    Raises:
        ScopeError: One is not declared as context of the container.
    """
    if not context:
        return NOTHING
    if not isinstance(context, Mapping):
        raise ScopeError(f"the context of a container is a mapping from tokens to values, not a {type(context).__name__}")
    found: dict[Any, object] = {}
    for key, value in context.items():
        known = key if (key, CONTAINER_LEVEL) in graph.context_nodes else token_key(key)
        if (known, CONTAINER_LEVEL) not in graph.context_nodes:
            name, app = name_of(key), _declaring(graph)
            others = graph.context_levels.get(known)
            what = f"context of the level {str(graph.levels[others[0]])!r}" if others else "no context of the container"
            raise ScopeError(f'{name} is {what}; declare it: class {app}(AsyncServiceBase, context={{"singleton": [{name}]}})')
        refuse_class(known, value)
        found[known] = value
    return found


def _declaring(graph: Graph) -> str:
    """Return what to call the class that would declare something: nobody writes that of the shared layer."""
    return "App" if graph.app is graph.shared.cls else name_of(graph.app)


def by_level(graph: Graph, context: Any, levels: range) -> dict[int, Any]:
    """Return what each level of a scope that opens several takes of *context*; what none declares is the innermost's to refuse."""
    if not isinstance(context, Mapping):
        return {levels[-1]: context}
    given: dict[int, Any] = {}
    for key, value in context.items():
        declared = graph.context_levels.get(key) or graph.context_levels.get(token_key(key)) or []
        for level in [one for one in declared if one in levels] or levels[-1:]:
            given.setdefault(level, {})[key] = value
    return given


def undeclared(container: ContainerState, key: Hashable, level: str) -> ScopeError:
    """Return the error of a context value that the application does not declare."""
    known = tuple(name_of(other) for other in container._graph.context)
    near = close_to(name_of(key), known)
    said = f"; did you mean {near[0]}?" if near else ""
    others = container._graph.context_levels.get(key)
    if others:
        names = " and ".join(repr(str(container._graph.levels[other])) for other in others)
        return ScopeError(f"{name_of(key)} is context of the level {names}, not of {level!r}")
    return ScopeError(
        f"{container._name} declares no context value {name_of(key)}{said} "
        f"(class {_declaring(container._graph)}(AsyncServiceBase, context=[{name_of(key)}]))"
    )


def no_level(container: ContainerState, level: str) -> ScopeError:
    """Return the error of a level that is not there, or not below the scope that was asked."""
    return ScopeError(
        f"{container._name} has no level {level!r} to open here; its levels are {', '.join(container._graph.levels[1:])}"
    )
