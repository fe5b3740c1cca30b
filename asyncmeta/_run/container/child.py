"""The container of a provider list, and the container of a child: what it lacks, its parent has."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

from ..._declare.home import shared_base
from ..._declare.lifetimes import CONTAINER_LEVEL
from ..._declare.makers import maker_of
from ..._declare.registrations import Registration
from ..._declare.registry import snapshot
from ..._lock import LOCK
from ..._names import Place
from ..._solve.graph import Graph
from ..._solve.inherited import InheritedGraph
from ..._solve.nodes import Node, Site
from ...errors import ContainerError
from ..scope.scope import ScopeFace
from ..state.singletons import OPEN, ScopeState
from ..state.slots import Finalizer
from .application import Application
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
        self._begin(Application(shared_base(), None), graph, "an injector", self._shares_with(), check=False)

    def _shares_with(self) -> Container | None:
        """Return the container that has what this one lacks."""
        return None

    def _begin_anew(self) -> None:
        super()._begin_anew()
        self._singletons.built.update(zip(*self._given, strict=True))

    def _close_first(self) -> None:
        # No value is closed before anything that uses it: children go first, those that have nothing to close at once.
        for heir in snapshot(self._heirs or ()):
            if heir._singletons.state != OPEN:
                continue
            idle = heir._all_idle()
            if not idle:
                self._inner.add(heir)
            for one in reversed(idle):  # the innermost first, so that they do not close each other, in each other's calls
                one._close_nowait(None)

    def _all_idle(self) -> list[Provided]:
        """Return this and all that lies further in, where nothing of it is to be closed or on its way; else nothing."""
        idle: list[Provided] = [self]
        for one in idle:
            there = one._singletons
            if one._finalizers is not None or there.tasks or there.flights or one._in_flight or one._children:
                return []
            idle += (heir for heir in snapshot(one._heirs or ()) if heir._singletons.state == OPEN)
        return idle


#: The slot itself, which a property of children stands before.
_FINALIZERS = ScopeState.__dict__["_finalizers"]


class Child(Provided):
    """
    The container of a child.  What its graph leaves to the parent is built, kept and closed there.

    A child with something to close is known to its parent, which closes it first; one without can be dropped.
    """

    __slots__ = ("_below",)

    _below: Container  #: the parent

    def __init__(self, graph: InheritedGraph, parent: Container, given: tuple[Sequence[Node], Sequence[Any]] = ((), ())) -> None:
        self._below = parent
        super().__init__(graph, given)
        if isinstance(parent, Provided):
            with LOCK:
                if parent._heirs is None:
                    parent._heirs = weakref.WeakSet()
                parent._heirs.add(self)

    @property
    def _finalizers(self) -> Finalizer | list[Finalizer] | None:
        """The finalizers."""
        return _FINALIZERS.__get__(self, Child)  # type: ignore[no-any-return]  # what a slot holds

    @_finalizers.setter
    def _finalizers(self, finalizers: Finalizer | list[Finalizer] | None) -> None:
        _FINALIZERS.__set__(self, finalizers)
        if finalizers is not None:
            self._below._inner.add(self)

    def _shares_with(self) -> Container:
        return self._below

    def _ended(self) -> None:
        self._below._inner.discard(self)

    # --- asking ---

    def _is_left(self, token: Any) -> bool:
        """Tell whether *token* is the parent's affair, and leave it to it from now on."""
        node = self._find(token).node
        if node is None or node.level != CONTAINER_LEVEL or self._graph.owns(node) or type(token) is Site:
            return False
        parent = self._below
        self._root_table.keep(self, token, lambda scope: parent.get(token), lambda scope: parent.get_nowait(token))
        return True

    async def _get_cold(self, token: Any) -> Any:
        if not self._singletons.overridden and self._is_left(token):
            return await self._below.get(token)
        return await super()._get_cold(token)

    def _get_nowait_cold(self, token: Any) -> Any:
        if not self._singletons.overridden and self._is_left(token):
            return self._below.get_nowait(token)
        return super()._get_nowait_cold(token)

    _getter = ScopeFace._getter  # what is the parent's affair changes with the parent

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
