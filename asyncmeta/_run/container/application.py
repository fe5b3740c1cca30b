"""What is brought to life?  A service class, an instance of one, or the shared layer; and the graph of it."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from ..._declare.home import home_kept, hooks, shared_base
from ..._declare.registry import Registry, layers_of, registry_of, snapshot
from ..._names import name_of, place_of_caller
from ..._solve.graph import Graph
from ...errors import ContainerError, DeclarationError, ScopeError

if TYPE_CHECKING:
    from ..._declare.providers import Overrides, Providers

__all__ = ["BUILTIN", "Application"]


#: What a parameter may ask for that nobody registers: the container, the scope.  Their room, which is above, says what they are.
BUILTIN: dict[Hashable, str] = {}


def class_of_layers(layers: Sequence[type]) -> type:
    """
    Return the class that has *layers* below it, the last of them the highest, and goes by its name; one for each such list.

    Raises:
        DeclarationError: One is no service class, or they contradict each other's order.
    """
    for one in layers:
        if registry_of(one) is None:
            kind = name_of(one if isinstance(one, type) else type(one))
            raise DeclarationError(f"a list of layers holds classes derived from AsyncServiceBase, not {kind}")
    # What a later one derives from is below it already.
    bases = [one for number, one in enumerate(layers) if not any(issubclass(other, one) for other in layers[number + 1 :])]
    if not bases:
        raise DeclarationError("the list of layers is empty: Container() alone is the container of the shared layer")
    highest = bases[-1]
    if len(bases) == 1:
        return highest
    bases.reverse()
    wanted = tuple(bases)
    known: type
    for known in type.__subclasses__(highest):
        if vars(known).get("__asyncmeta_layers__") == wanted:
            return known
    names = {"__asyncmeta_layers__": wanted, "__module__": highest.__module__, "__doc__": highest.__doc__}
    names["__qualname__"] = highest.__qualname__
    try:
        return type(highest)(highest.__name__, wanted, names)
    except TypeError as error:
        listed = ", ".join(map(name_of, layers))
        raise DeclarationError(f"[{listed}] cannot be layers in this order, the last above the others: {error}") from None


class Application:
    """A class, and where the user made it the instance."""

    __slots__ = ("cls", "instance")

    def __init__(self, cls: type, instance: Any) -> None:
        self.cls = cls
        self.instance = instance

    @classmethod
    def of(cls, root: Any) -> Application:
        """
        Return what *root* is brought to life as.

        Raises:
            DeclarationError: It is no service class, no instance of one, and no list of such classes that go together.
            ScopeError: It is an instance of a class that lives shorter than a container.
            ContainerError: It belongs to another container already.
        """
        if root is None:
            return cls(shared_base(), None)
        if type(root) is list or type(root) is tuple:
            return cls(class_of_layers(root), None)
        registry = registry_of(root)
        if registry is not None:
            return cls(root, None)
        registry = registry_of(type(root))
        if registry is None:
            raise DeclarationError(
                "Container takes a class derived from AsyncServiceBase, a list of such classes, an instance of one, or nothing; "
                f"not {name_of(type(root))}"
            )
        if registry.lifetime != "singleton":
            raise ScopeError(
                f"{registry.name} is {registry.lifetime} and cannot be its own root; "
                "open a scope and bind the instance: scope.adopt(instance)"
            )
        there = home_kept(root)
        if there is not None and not there.closed:
            raise ContainerError(f"this {registry.name} belongs to {there._title} already")
        return cls(type(root), root)

    @property
    def name(self) -> str:
        """What to call it in text."""
        return "the shared layer" if self.cls is shared_base() else name_of(self.cls)

    def graph(self, providers: Providers = (), overrides: Overrides | None = None) -> Graph:
        """Return the graph: that of the class, or one with *providers* and *overrides* above it."""
        given = self.instance is not None
        layers = layers_of(self.cls)
        made = partial(Graph, layers, BUILTIN, app=self.cls, hooks=hooks(), given=given)
        extra: tuple[Registry, ...] = ()
        if providers:
            from ..._declare.providers import read_listed  # lazy import

            extra = (Registry(None),)
            extra[0].add_all(read_listed(providers), layers)
        if overrides is not None:
            from ..._solve.overrides import layer_of  # lazy import

            over = layer_of(overrides, made(extra=extra), place_of_caller())
            return made(extra=extra, over=(over,))
        if providers:
            return made(extra=extra)
        own = layers[0]
        graph = own.graphs.get(given)
        if graph is None or _is_worn(graph):
            graph = own.graphs[given] = made()
        return graph


def _is_worn(graph: Graph) -> bool:
    """
    Tell whether most of what *graph* knows may be of registrations that are gone, and nobody needs it.

    An open container may have built what was registered over, and shares what it knows with those that are opened beside it.
    """
    if graph.news.overwritten < max(1, len(graph.nodes) // 2):
        return False
    return all(table.singletons.scope.closed for table in snapshot(graph.listeners))
