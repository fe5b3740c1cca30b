"""What is a graph made of?  Nodes, the edges between them, and the sites that ask."""

from __future__ import annotations

import sys
from collections.abc import Hashable, Sequence
from typing import Any, Final

from .._declare.annotations import NORMAL
from .._declare.constructors import constructor_of
from .._declare.keys import Ask
from .._declare.lifetimes import TRANSIENT_LEVEL
from .._declare.makers import Maker
from .._declare.registrations import Registration
from .._declare.registry import registry_of
from .._names import Place, name_of, place_of_function
from .generics import Binding

__all__ = [
    "ARGUMENT", "AS_NEEDED", "CONSTANT", "CONTAINER", "CONTEXT", "DEFAULT", "DEFERRED", "LATER", "LIST", "MAKE", "MAYBE", "NODE",
    "SCOPE", "START", "Absent", "Ambiguous", "Edge", "Node", "Problem", "Several", "Site", "Target",
    "all_of", "ambiguity", "keeps_nothing", "nameless", "place_of", "several_hint",
]  # fmt: skip

# Kinds of nodes beside the kinds of makers.
CONTEXT = "context"  #: a value that comes with the scope
CONTAINER = "container"
SCOPE = "scope"
START = "start"  #: a service whose on_startup is awaited; its only edge is the constructed instance

# How a parameter or attribute is served.
NODE, CONSTANT, DEFERRED, MAKE, LIST, MAYBE, ARGUMENT = "node", "constant", "deferred", "make", "list", "maybe", "argument"
DEFAULT = "default"  #: nothing provides it: a constant, in place of which the caller of a Factory may hand in another
LATER = frozenset({DEFERRED, MAKE})  #: what need not be there first: it is fetched, or made, by whoever holds it


class Site:
    """A place that asks: what for, and in which view it is looked up."""

    __slots__ = ("ask", "level", "members", "name", "place", "user", "view")

    def __init__(
        self, ask: Ask, view: type | None, name: str, place: Place | None, user: Node | None = None, level: int | None = None
    ) -> None:
        self.ask = ask
        self.view = view  #: the service class whose private registrations count; None for the application's
        self.name = name  #: who asks, for texts; "" for a call of get
        self.place = place
        self.user = user  #: the node that asks, whose own key means what it shadows
        self.level = level  #: of the scope that is asked, where no node asks
        self.members: dict[Hashable, Site] = {}  #: of a named collection: by name the place that asks for the one

    def asking(self, ask: Ask) -> Site:
        """Return the same place, asking for something else."""
        return Site(ask, self.view, self.name, self.place, self.user, self.level)


class Target:
    """What serves an edge, or a call of ``get``."""

    __slots__ = ("how", "node", "nodes", "site", "value")

    def __init__(
        self,
        how: str,
        *,
        node: Node | None = None,
        nodes: tuple[Node, ...] = (),
        value: Any = None,
        site: Site | None = None,
    ) -> None:
        self.how = how
        self.node = node  #: NODE, MAYBE, MAKE
        self.nodes = nodes  #: LIST
        #: CONSTANT, DEFAULT; the fallback of MAYBE; the name of ARGUMENT; of LIST tuple, or the names of a dict, else None
        self.value = value
        self.site = site  #: DEFERRED: what the handle asks for when it is awaited

    @property
    def chooses(self) -> bool:
        """Whether it is a collection, one of whose members is chosen later."""
        return self.site is not None and bool(self.site.members)

    @property
    def makes(self) -> bool:
        """Whether it is a Factory, or a handle that gives one: what it leads to is made with arguments."""
        ask = None if self.site is None else self.site.ask
        while ask is not None and ask.kind == "lazy":
            ask = ask.inner
        return self.how == MAKE or (ask is not None and ask.kind == "factory")

    def each(self) -> tuple[Node, ...]:
        """Return the nodes that it leads to."""
        return self.nodes if self.node is None else (self.node,)


class Edge:
    """One dependency of a node."""

    __slots__ = ("kind", "name", "target")

    def __init__(self, name: str, kind: int, target: Target) -> None:
        self.name = name  #: the parameter's or attribute's
        self.kind = kind  #: how it is passed; see `_declare.annotations`
        self.target = target


class Problem:
    """Something wrong at a node: the check gives it a path and makes an error of it."""

    __slots__ = ("close", "edge", "hint", "key", "kind", "places")

    def __init__(
        self, kind: str, key: Hashable, edge: str = "", hint: str = "", places: tuple[str, ...] = (), close: bool = True
    ) -> None:
        self.kind = kind  #: "missing", "ambiguous", "argument", "circular" or "plain"
        self.key = key
        self.edge = edge  #: the parameter or attribute, "" for the node itself
        self.hint = hint  #: of an ambiguous key how it is registered
        self.places = places
        self.close = close  #: near misses are worth a look


#: Stands for the edges of a factory that takes what it `needs` by position, in that order, and nothing else.
AS_NEEDED: Final[tuple[Edge, ...]] = (Edge("", NORMAL, Target(NODE)),)


class Node:
    """One registration in one view: what is built once for each place where it lives."""

    __slots__ = (
        "_target", "asked_with_arguments", "binding", "constructed", "deferred", "kept", "key", "kind", "level", "maker", "needs",
        "owner", "problems", "rank", "ref", "registration", "slot", "unit", "unread", "view",
    )  # fmt: skip

    def __init__(self, registration: Registration, maker: Maker, kind: str, level: int, view: type | None, rank: int) -> None:
        self.registration = registration
        self.key = registration.key
        self.maker = maker
        self.kind = kind
        self.level = level
        self.view = view  #: where its dependencies are looked up
        self.rank = rank  #: how many layers lie below the one that registers it
        self._target: Target | None = None
        self.owner: type | None = None  #: the service class whose method the factory is
        self.constructed: Node | None = None  #: START: the instance itself
        #: its edges; None until they are looked up, and AS_NEEDED until somebody wants them, as most never do
        self.kept: tuple[Edge, ...] | None = None
        self.needs: tuple[Node, ...] = ()  #: what has to be there first
        self.deferred: tuple[Edge, ...] = ()  #: what is fetched later
        self.problems: tuple[Problem, ...] = ()
        self.unread: tuple[str, ...] = ()  #: parameters that take their defaults because their annotations cannot be read
        self.slot = -1  #: position among the values of its level
        self.ref: Any = None  #: how a plan refers to its value, once one does
        self.unit: Any = None  #: its part of a plan
        self.binding: Binding | None = None  #: what an open generic's variables stand for
        self.asked_with_arguments = False  #: some Factory[...] asks for it

    @property
    def target(self) -> Target:
        """What leads to it, shared by all edges; made when somebody looks at one, as nobody does at most."""
        target = self._target
        if target is None:
            target = self._target = Target(NODE, node=self)
        return target

    @property
    def edges(self) -> tuple[Edge, ...]:
        """How it is called; nothing until that is looked up."""
        if self.kept is AS_NEEDED:
            cls = self.maker.cls
            code = (self.maker.function if cls is None else constructor_of(cls)).__code__
            names = code.co_varnames[0 if cls is None else 1 : code.co_argcount]
            self.kept = tuple([Edge(name, NORMAL, other.target) for name, other in zip(names, self.needs, strict=True)])
        return self.kept or ()

    @property
    def leads_to(self) -> Sequence[Node]:
        """The nodes at the other ends of its edges, eagerly or late."""
        if self.kept is AS_NEEDED and not self.deferred:
            return self.needs
        return [other for edge in (*self.edges, *self.deferred) for other in edge.target.each()]

    @property
    def name(self) -> str:
        """What to call it in text."""
        key, cls = self.key, self.maker.cls
        if isinstance(key, str) or cls is None or cls is key or self.binding is not None:
            return name_of(key)
        return name_of(cls)

    @property
    def title(self) -> str:
        """What it is asked for by, then the class that makes it where that is another one."""
        key, cls = self.key, self.maker.cls
        return name_of(key) if cls is None or cls is key or self.binding is not None else f"{name_of(key)} by {name_of(cls)}"

    @property
    def place(self) -> Place:
        """Where it was written: the class statement of a service, else where it was registered."""
        registry = registry_of(self.maker.cls)
        return self.registration.place if registry is None else registry.place

    @property
    def lifetime(self) -> str:
        return self.registration.lifetime

    @property
    def transient(self) -> bool:
        return self.level == TRANSIENT_LEVEL


class Ambiguous(Exception):
    """A look-up meets rivals; never leaves this wing."""

    def __init__(self, registration: Registration) -> None:
        self.registration = registration


class Several(Exception):
    """A look-up for one value meets a multi key; never leaves this wing."""


class Absent(Exception):
    """Nothing provides what a site asks for; its text says why, where there is more to say.  Never leaves this package."""


def ambiguity(registration: Registration, edge: str = "") -> Problem:
    """Return the problem of a key that two modules register, or of which two members have one name."""
    from .._declare.repeated import one_module  # lazy import

    places = tuple(str(one.place) for one in (*registration.rivals, registration))
    how = "twice" if all(one_module(one, registration) for one in registration.rivals) else "by more than one module"
    if registration.named:
        how += f" under the name {name_of(registration.named[0])}"
    return Problem("ambiguous", registration.key, edge, how, places)


def all_of(key: Hashable) -> str:
    """Return how all values of a multi key are asked for."""
    return f"All[{name_of(key)}]" if isinstance(key, type) else f"Annotated[list[...], Inject({name_of(key)})]"


def nameless(key: Hashable) -> str:
    """Return what to say where a member is chosen by its name, and none has one."""
    name = name_of(key)
    return f'no member of {name} has a name: @inject_dependency({name}, multi="...")'


def several_hint(key: Hashable) -> str:
    """Return what to say where one value is asked for of a key that has several."""
    return f"{name_of(key)} is registered with multi=True: ask for {all_of(key)}"


def keeps_nothing(cls: type) -> str:
    """Return the text for a class with dependencies as attributes whose instances have no place for what they fetch."""
    return (
        f"{name_of(cls)} has dependencies as attributes, but its instances cannot keep anything (__slots__ without "
        "__dict__); leave slots out (of msgspec: dict=True), or take the dependencies in the constructor"
    )


def place_of(node: Node) -> Place:
    """Return where the factory of *node* was written."""
    cls = node.maker.cls
    if cls is None:
        return node.maker.place or node.place
    if registry_of(cls) is not None:
        return node.place
    init = place_of_function(cls.__init__)  # type: ignore[misc]  # looked at, not called
    line = cls.__dict__.get("__firstlineno__")
    module = sys.modules.get(cls.__module__)
    file = getattr(module, "__file__", None)
    if line and file:
        return Place(file, line)
    # The constructor of a dataclass is generated and stands in no file, that of a library's base in a file of the library's.
    if init is None or init.file.startswith("<") or (file is not None and init.file != file):
        return node.place
    return init
