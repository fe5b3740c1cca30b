"""What does a parameter receive that is annotated Lazy, Named or Factory?  A handle, that fetches or makes late."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..._declare.tokens import Factory, Named
from ..._names import close_to, name_of
from ..._solve.nodes import ARGUMENT, DEFAULT, Node, Site
from ..._solve.plan import HANDLE, Plan, Ref, plan_of_unit, unit_with_arguments
from ..._solve.resolve import outside
from ..state.singletons import ScopeState
from ..state.slots import FLIGHT, UNSET
from .cell import Cell
from .ready import fetched, fetched_nowait

__all__ = ["LazyHandle", "factory_handle", "handle_for", "lazy_handle", "making_anew"]


class LazyHandle(Cell):
    """What a ``Lazy[T]`` parameter receives."""

    __slots__ = ("_scope", "_site")

    def __init__(self, scope: ScopeState, site: Site) -> None:
        super().__init__()
        self._scope, self._site = scope, site

    def __repr__(self) -> str:
        return f"<Lazy {self._label()}>"

    def _label(self) -> str:
        ask = self._site.ask
        return f"{name_of(ask.key)}[{name_of(ask.keys[1])}]" if ask.kind == "member" else name_of(ask.key)

    def _written(self) -> str:
        return self._site.name or "it"

    def __bool__(self) -> bool:
        return True  # of a parameter that may be None, somebody may want to know

    def _get(self) -> Any:
        return fetched(self._scope, self._site)

    def _get_nowait(self) -> Any:
        return fetched_nowait(self._scope._standing(), self._site)

    def _fetch(self) -> Any:
        scope = self._scope._standing()
        view = scope._elsewhere(self._site)
        if view is not None:
            return view._attribute(id(self), self, self._site)
        if self._value is UNSET and scope._shares(self._site):
            return scope.get(self._site)
        return self._fetch_once()

    def _fetch_nowait(self) -> Any:
        scope = self._scope._standing()
        view = scope._elsewhere(self._site)
        if view is not None:
            return view._attribute_nowait(id(self), self, self._site)
        if (self._value is UNSET or self._value is FLIGHT) and scope._shares(self._site):
            return scope.get_nowait(self._site)
        return self._fetch_once_nowait()


class NamedHandle(Named[Any]):
    """What a ``Named[T]`` parameter receives."""

    __slots__ = ("_handles", "_scope", "_site")

    def __init__(self, scope: ScopeState, site: Site) -> None:
        self._scope, self._site = scope, site
        self._handles: dict[Any, LazyHandle] = {}

    def __getitem__(self, name: Any) -> LazyHandle:
        handle = self._handles.get(name)
        if handle is None:
            member = self._site.members.get(name)
            if member is None:
                names = {name_of(one): one for one in self._site.members}
                near = close_to(name_of(name), names)
                there = f"its names are {', '.join(names)}" if names else "it has no members"
                known = f"did you mean {near[0]}?" if near else there
                raise KeyError(f"no {name_of(self._site.ask.key)} goes by {name_of(name)}; {known}")
            handle = self._handles.setdefault(name, LazyHandle(self._scope, member))
        return handle

    def __iter__(self) -> Iterator[Any]:
        return iter(self._site.members)

    def __len__(self) -> int:
        return len(self._site.members)

    def __repr__(self) -> str:
        return f"<Named {name_of(self._site.ask.key)}: {', '.join(map(name_of, self._site.members)) or 'none'}>"

    def __reduce__(self) -> str:
        raise TypeError("a handle belongs to the container that made it and cannot be copied or pickled")


def lazy_handle(scope: ScopeState, site: Site) -> LazyHandle | NamedHandle:
    """Return the handle for a ``Lazy[T]`` or ``Named[T]`` parameter of something that *scope* makes."""
    return NamedHandle(scope, site) if site.ask.kind == "named" else LazyHandle(scope, site)


class FactoryHandle(Factory[Any]):
    """What a ``Factory[T]`` parameter receives."""

    __slots__ = ("_node", "_scope")

    def __init__(self, scope: ScopeState, node: Node) -> None:
        self._scope, self._node = scope, node

    def __repr__(self) -> str:
        return f"<Factory {self._node.name}>"

    def _make(self, arguments: dict[str, Any]) -> Any:
        return self._scope._make_anew(self._node, arguments)

    def _make_nowait(self, arguments: dict[str, Any]) -> Any:
        return self._scope._make_anew_nowait(self._node, arguments)

    if not TYPE_CHECKING:  # to checkers it takes nothing by position

        def __call__(self, *given: object, **arguments: Any) -> Any:
            self._refuse(given)
            return self._make(arguments)

        def nowait(self, *given: object, **arguments: Any) -> Any:
            self._refuse(given)
            return self._make_nowait(arguments)

    def _refuse(self, given: tuple[object, ...]) -> None:
        if given:
            takes = ", ".join(f"{name}=..." for name in sorted(_takes(self._scope, self._node))) or "none"
            raise TypeError(f"Factory of {self._node.name} ({self._node.place}) takes its arguments by name: {takes}")

    def __reduce__(self) -> str:
        raise TypeError("a handle belongs to the container that made it and cannot be copied or pickled")


def _takes(scope: ScopeState, node: Node) -> dict[str, bool]:
    """Return what a Factory of *node* takes, and of each whether it has to be given."""
    edges = scope._singletons.graph.expand(node.constructed or node)
    return {edge.name: edge.target.how == ARGUMENT for edge in edges if edge.target.how in (ARGUMENT, DEFAULT)}


def making_anew(scope: ScopeState, node: Node, arguments: dict[str, Any]) -> Plan:
    """
    Return the plan that makes *node* anew with the arguments of one call.

    Raises:
        TypeError: One is unknown, or one is missing.
        ScopeError: What it needs beside them lives in a scope further in.
    """
    scope._check_open()
    takes, graph = _takes(scope, node), scope._singletons.graph
    unknown = [name for name in arguments if name not in takes]
    absent = [name for name, needed in takes.items() if needed and name not in arguments]
    if unknown or absent:
        said = []
        if unknown:
            near = close_to(unknown[0], takes)
            said.append(f"{unknown[0]!r} is no argument of it{f', did you mean {near[0]!r}?' if near else ''}")
        if absent:
            said.append(f"{', '.join(map(repr, sorted(absent)))} is missing")
        known = ", ".join(sorted(takes)) or "none"
        raise TypeError(f"Factory of {node.name} ({node.place}): {' and '.join(said)}; its arguments are: {known}")
    plan = plan_of_unit(graph, unit_with_arguments(graph, node, arguments))
    refusal = outside(graph, node.key, scope._level, plan)
    if refusal is not None:
        raise refusal
    return plan


def factory_handle(scope: ScopeState, node: Node | None) -> FactoryHandle:
    """Return the handle for a ``Factory[T]`` parameter of something that *scope* makes."""
    assert node is not None
    return FactoryHandle(scope, node)


def handle_for(ref: Ref, scope: ScopeState) -> LazyHandle | NamedHandle | FactoryHandle:
    """Return what *ref*, of something that *scope* makes, hands over."""
    return lazy_handle(scope, ref.what) if ref.how == HANDLE else factory_handle(scope, ref.node)
