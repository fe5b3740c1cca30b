"""The container of a provider list, and the container of a child: what it lacks, its parent has."""

from __future__ import annotations

import weakref
from collections.abc import Coroutine, Iterable, Sequence
from typing import Any

from ..._declare.lifetimes import CONTAINER_LEVEL
from ..._declare.makers import maker_of
from ..._declare.registrations import Registration
from ..._names import Place
from ..._solve.graph import Graph
from ..._solve.inherited import InheritedGraph
from ..._solve.nodes import Node, Site
from ...errors import ContainerError
from ..teardown.scope_exit import Closing
from .closing import OPEN
from .container import Container

__all__ = ["UP", "Child", "Provided"]


class Provided(Container):
    """
    A container on a graph that others may share: the values that its providers give are not part of that.

    It is not checked when it is made: what is never asked for may be wrong, as in Ascender.
    """

    __slots__ = ("_door", "_given", "_heirs")

    def __init__(self, graph: Graph, given: tuple[Sequence[Node], Sequence[Any]] = ((), ())) -> None:
        """
        Args:
            graph: What the providers mean.
            given: Nodes of values, and the values.
        """
        self._given = given
        self._door: Any = None  #: weak reference to how it shows itself, None where it never did
        self._heirs: weakref.WeakSet[Child] | None = None  #: children that are in use
        self._begin(Container._base, None, graph, check=False)
        self._name = "an injector"

    def _begin_anew(self) -> None:
        super()._begin_anew()
        self._built.update(zip(*self._given, strict=True))

    def _begin_closing(self) -> None:
        super()._begin_closing()
        # No value is closed before anything that uses it: children go first, those that have nothing to close at once.
        for heir in list(self._heirs or ()):
            busy = heir._finalizers is not None or heir._tasks or heir._flights or heir._in_flight or heir._children
            if heir._state == OPEN and busy:
                self._children.add(heir)
            elif heir._state == OPEN:
                heir._close_nowait(None)


#: Closing's own slot, which a property of children stands before.
_FINALIZERS = Closing.__dict__["_finalizers"]


class Child(Provided):
    """
    The container of a child.  What its graph leaves to the parent is built, kept and closed there.

    A child with something to close is known to its parent, which closes it first; one without can be dropped.
    """

    __slots__ = ("_below",)

    _graph: InheritedGraph

    def __init__(self, graph: InheritedGraph, parent: Container, given: tuple[Sequence[Node], Sequence[Any]] = ((), ())) -> None:
        self._below = parent
        super().__init__(graph, given)
        if isinstance(parent, Provided):
            if parent._heirs is None:
                parent._heirs = weakref.WeakSet()
            parent._heirs.add(self)

    def _catch_up(self) -> None:
        self._below._catch_up()
        super()._catch_up()

    @property
    def _finalizers(self) -> Any:
        """The finalizers."""
        return _FINALIZERS.__get__(self, Child)

    @_finalizers.setter
    def _finalizers(self, finalizers: Any) -> None:
        _FINALIZERS.__set__(self, finalizers)
        if finalizers is not None:
            self._below._children.add(self)

    def _end(self) -> None:
        super()._end()
        self._below._children.discard(self)

    def _check_open(self) -> None:
        super()._check_open()
        self._below._check_open()

    # --- whose is what ---

    def _has(self, node: Node) -> bool:
        return node in self._built or (not self._graph.owns(node) and self._below._has(node))

    def _has_all(self, nodes: Iterable[Node]) -> bool:
        return all(map(self._has, nodes))

    def _built_value(self, node: Node) -> Any:
        try:
            return self._built[node]
        except KeyError:
            return self._below._built_value(node)

    def _holder(self, node: Node) -> Container:
        return self if self._graph.owns(node) else self._below._holder(node)

    # --- asking ---

    def _is_left(self, token: Any) -> bool:
        """Tell whether *token* is the parent's affair, and leave it to it from now on."""
        node = self._root(token).node
        if node is None or node.level != CONTAINER_LEVEL or self._graph.owns(node) or type(token) is Site:
            return False
        parent = self._below
        self._keep_root(self, token, lambda scope: parent.get(token), lambda scope: parent.get_nowait(token))
        return True

    async def _get_cold(self, token: Any) -> Any:
        if not self._overridden and self._is_left(token):
            return await self._below.get(token)
        return await super()._get_cold(token)

    def _get_nowait_cold(self, token: Any) -> Any:
        if not self._overridden and self._is_left(token):
            return self._below.get_nowait(token)
        return super()._get_nowait_cold(token)

    def getter(self, token: Any, /) -> Any:
        self._root(token)

        def getter() -> Coroutine[Any, Any, Any]:
            return self.get(token)

        return getter

    def overlay(self, overrides: Any, /, *, new: bool = False) -> Any:
        raise _no_overrides()

    def override(self, overrides: Any, /, *, everywhere: bool = False, new: bool = False) -> Any:
        raise _no_overrides()


def _no_overrides() -> ContainerError:
    return ContainerError("a child cannot be overridden: override its root, or make another child of the same parent")


def _parent_of(container: Container) -> Container:
    """Return what a copy of the parent's registration takes for its container."""
    assert isinstance(container, Child)
    return container._below


#: See `InheritedGraph`.
UP = Registration(_parent_of, maker_of(_parent_of), "singleton", Place("", 0))
