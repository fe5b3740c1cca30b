"""What is an injector made of?  Its own list, its parent, and the root's."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

from .. import Container
from .._declare.home import hooks, shared_base
from .._declare.makers import VALUE, value_maker
from .._declare.providers import Providers, read_providers
from .._declare.registrations import Registration
from .._declare.registry import Registry, layers_of
from .._declare.shapes import provider_shape
from .._names import name_of, place_of_caller
from .._run.container.application import BUILTIN
from .._run.container.child import UP, Child, Provided
from .._solve.graph import Graph
from .._solve.inherited import InheritedGraph
from .._solve.nodes import Node
from ..errors import DeclarationError
from .injector import Injector, door_of

__all__ = ["ROOT", "create_injector", "create_root_injector", "forget_root"]


class _Shape:
    """What lists of providers mean that differ in their values only: a graph, and the nodes of the values."""

    __slots__ = ("graph", "nodes")

    def __init__(self, graph: Graph, nodes: tuple[Node, ...]) -> None:
        self.graph = graph
        self.nodes = nodes


class _Shapes:
    """The shapes that were met more than once below one parent."""

    __slots__ = ("known", "seen")

    MOST = 64

    def __init__(self) -> None:
        self.known: dict[Any, _Shape] = {}
        self.seen: set[int] = set()  #: hashes of shapes: what is met once is not kept

    def again(self, key: Any) -> bool:
        """Tell whether *key* was met before."""
        number = hash(key)
        if number in self.seen:
            return True
        if len(self.seen) >= self.MOST * 4:
            self.seen.clear()
        self.seen.add(number)
        return False

    def keep(self, key: Any, shape: _Shape) -> None:
        if len(self.known) >= self.MOST:
            self.known.clear()
        self.known[key] = shape


_ROOT_SHAPES = _Shapes()


def _graph_of(own: Registry, below: Registry | None, parent: Graph | None) -> Graph:
    if parent is not None:
        return InheritedGraph(own, parent, app=Injector, up=UP)
    extra = (own,) if below is None else (own, below)
    return Graph(layers_of(shared_base()), BUILTIN, app=shared_base(), hooks=hooks(), extra=extra)


def _made(providers: Any, parent: Container | None, below: Registry | None = None) -> Injector:
    """Return an injector of *providers*, with the layer *below* them."""
    place = place_of_caller()
    above = None if parent is None else parent._graph
    shaped = provider_shape(providers, place)
    shape = None
    values: list[Any] = []
    if shaped is not None:
        shapes = _ROOT_SHAPES if above is None else _shapes_of(above)
        values = shaped[1]
        key = (id(below), *shaped[0])
        shape = shapes.known.get(key)
        if shape is None and shapes.again(key):
            shape = _shape(read_providers(providers, place, injector=True), below, above)
            shapes.keep(key, shape)
    if shape is None:
        own = Registry(Injector if parent is not None else None, place=place)
        own.add_all(read_providers(providers, place, injector=True))
        shape, values = _Shape(_graph_of(own, below, above), ()), []
    return _begun(shape.graph, parent, (shape.nodes, values))


def _shapes_of(graph: Graph) -> _Shapes:
    found = graph.kept.get("children")
    if found is None:
        found = graph.kept["children"] = _Shapes()
    return found


def _begun(graph: Graph, parent: Container | None, given: tuple[Sequence[Node], Sequence[Any]] = ((), ())) -> Injector:
    if parent is None:
        container = Provided(graph, given)
    else:
        assert isinstance(graph, InheritedGraph)
        container = Child(graph, parent, given)
    return door_of(container)


def _shape(registrations: list[Registration], below: Registry | None, above: Graph | None) -> _Shape:
    """Return the graph of *registrations* without their values, which every injector brings along."""
    own = Registry(Injector if above is not None else None)
    valued = [registration for registration in registrations if registration.maker.kind == VALUE]
    for registration in valued:
        registration.maker = value_maker(None)
    own.add_all(registrations)
    graph = _graph_of(own, below, above)
    rank = len(graph.layers) - 1
    return _Shape(graph, tuple([graph.node(registration, None, rank) for registration in valued]))


def create_injector(providers: Providers, parent: Injector | None = None) -> Injector:
    """
    Return an injector of a provider list.

    Nothing is built, and what is never asked for may be wrong; `Injector.check` tells.

    Args:
        providers: Classes, `Provider` dictionaries, and lists of them nested to any depth; later entries replace
            earlier ones of the same token.
        parent: Gives what the list does not provide.

    Raises:
        DeclarationError: An entry means nothing; the text names its position.
    """
    if parent is not None and not isinstance(parent, Injector):
        raise DeclarationError(f"the parent of an injector is an injector, not a {name_of(type(parent))}")
    return _made(providers, None if parent is None else parent.container)


class _Root:
    """The root injector, and what registers itself there."""

    __slots__ = ("below", "injector", "modules", "of_modules")

    def __init__(self) -> None:
        self.injector: Injector | None = None
        self.below = Registry(None)
        #: what registers itself on plain classes, and their injectors, children of the root
        self.of_modules: weakref.WeakKeyDictionary[type, Registry] = weakref.WeakKeyDictionary()
        self.modules: weakref.WeakKeyDictionary[type, Injector] = weakref.WeakKeyDictionary()

    def module(self, cls: type) -> Registry:
        """Return what registers itself on a plain class."""
        found = self.of_modules.get(cls)
        if found is None:
            found = self.of_modules[cls] = Registry(Injector)
        return found

    def injector_of(self, cls: type) -> Injector | None:
        """Return the injector of a plain class, made on first use; None where there is no root."""
        found = self.modules.get(cls)
        if found is None and self.injector is not None:
            container = self.injector.container
            found = self.modules[cls] = _begun(_graph_of(self.module(cls), None, container._graph), container)
        return found


ROOT = _Root()


def create_root_injector(providers: Providers) -> Injector:
    """
    Return an injector, and make it the root: `inject` looks there.

    What says ``provided_in="root"`` stands below *providers*, which win.

    Raises:
        DeclarationError: An entry means nothing; the text names its position.
    """
    injector = _made(providers, None, ROOT.below)
    ROOT.injector = injector
    ROOT.modules.clear()
    return injector


def forget_root(providers: bool = False) -> None:
    """
    Forget the root injector, without closing it; for tests.

    Args:
        providers: Forget what says ``provided_in``, too.
    """
    ROOT.injector = None
    ROOT.modules.clear()
    if providers:
        ROOT.below = Registry(None)
        ROOT.of_modules.clear()
