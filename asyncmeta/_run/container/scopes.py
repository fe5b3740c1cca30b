"""Of which class are a container's scopes?  One for each level, with everything at hand that making one needs."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from types import TracebackType
from typing import Any

from ..._declare.keys import token_key
from ..._declare.lifetimes import CONTAINER_LEVEL
from ..._names import close_to, name_of
from ..._solve.graph import Graph
from ...errors import ScopeError
from ..scope.scope import Scope
from ..state.waiting import UNSET
from ..teardown.finalizers import settle_errors

__all__ = ["NOTHING", "SpanningScope", "by_level", "given_to", "no_level", "scope_class"]


def scope_class(base: type[Scope], container: Any, level: int, table: dict[Any, Any], table_nowait: dict[Any, Any]) -> Any:
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
        (base,),
        {
            "__slots__": (),
            "__init__": __init__,
            "_level": level,
            "_roots_nowait": table_nowait,
            "_innermost": level == len(graph.levels) - 1,
            "__module__": Scope.__module__,
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
            name, app = name_of(key), name_of(graph.app)
            others = graph.context_levels.get(known)
            what = f"context of the level {str(graph.levels[others[0]])!r}" if others else "no context of the container"
            raise ScopeError(f'{name} is {what}; declare it: class {app}(AsyncServiceBase, context={{"singleton": [{name}]}})')
        found[known] = value
    return found


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


def undeclared(container: Any, key: Hashable, level: str) -> ScopeError:
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
        f"(class {container._name}(AsyncServiceBase, context=[{name_of(key)}]))"
    )


def no_level(container: Any, level: str) -> ScopeError:
    """Return the error of a level that is not there, or not below the scope that was asked."""
    return ScopeError(
        f"{container._name} has no level {level!r} to open here; its levels are {', '.join(container._graph.levels[1:])}"
    )


class SpanningScope(Scope):
    """A scope for which the levels around it were opened, too: they are closed with it."""

    __slots__ = ("_around",)

    def _spanning(self, around: Any) -> Any:
        self._around = around
        return self

    async def __aexit__(self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None, /) -> None:
        await self._close(exc)

    async def _close(self, error: BaseException | None) -> None:
        raised: list[BaseException] = []
        scope: Any = self
        while scope is not self._around:
            around = scope._parent
            try:
                await Scope._close(scope, error)
            except BaseException as met:
                raised.append(met)
            scope = around
        settle_errors(raised, error)

    def _close_nowait(self, error: BaseException | None) -> None:
        raised: list[BaseException] = []
        scope: Any = self
        while scope is not self._around:
            around = scope._parent
            try:
                Scope._close_nowait(scope, error)
            except BaseException as met:
                raised.append(met)
            scope = around
        settle_errors(raised, error)
