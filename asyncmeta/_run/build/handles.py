"""Handles that fetch late: what a Lazy or Factory parameter receives, and what a descriptor leaves on its instance."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

from ..._declare.tokens import Factory, Named
from ..._names import close_to, name_of
from ..._solve.nodes import ARGUMENT, DEFAULT, Node, Site
from ..._solve.plan import Plan, plan_of_unit, unit_with_arguments
from ..._solve.resolve import outside
from ..state.context import building
from ..state.singletons import OPEN, Singletons
from ..state.slots import FLIGHT, UNSET, ScopeState
from .cell import Cell
from .unawaited import Unawaited

__all__ = [
    "HOME",
    "Attributes",
    "Await",
    "LazyHandle",
    "Ready",
    "TWIN",
    "factory_handle",
    "fetched",
    "fetched_nowait",
    "forget_fetched",
    "home_kept",
    "lazy_handle",
    "making_anew",
    "put",
    "renewing",
    "renewing_nowait",
]

#: What an attribute asks for: the class that is asked, and the descriptor.
AttributeKey: TypeAlias = tuple[type, Any]

#: How a fetched attribute is awaited.
Await: TypeAlias = Callable[[Any], Generator[Any, None, Any]]

#: Where an instance keeps the scope that made it.
HOME = "_asyncmeta_scope"

#: What a copy of an instance keeps that a container had made.
TWIN = "_asyncmeta_twin"


def home_kept(instance: object) -> Any:
    """Return the scope that an instance keeps, or None; the instance's own ``__getattr__`` is not asked."""
    try:
        return object.__getattribute__(instance, HOME)
    except AttributeError:
        return None


def put(instance: object, name: str, value: object) -> bool:
    """Keep *value* in an instance, whatever its own ``__setattr__`` says; False where it has no place for it."""
    try:
        object.__setattr__(instance, name, value)
    except (AttributeError, TypeError):
        try:
            # Before Python 3.13 object's own is refused on a class with a setattr in C (msgspec).
            object.__getattribute__(instance, "__dict__")[name] = value
        except (AttributeError, TypeError):
            return False
    return True


async def fetched(scope: ScopeState, key: object) -> Any:
    """Return what is fetched late to be kept, where no override answers: it is made as what is shared is."""
    with building(scope._singletons):
        return await scope.get(key)


def fetched_nowait(scope: ScopeState, key: object) -> Any:
    """Return the same without awaiting."""
    with building(scope._singletons):
        return scope.get_nowait(key)


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


class Ready(Unawaited):
    """
    A fetched attribute: stands in the instance's own dictionary, under the descriptor's name, so that it is found first.

    Each container has subclasses of its own, see `Attributes`; closing gives them another ``__await__``.
    """

    __slots__ = ("_era", "_key", "_scope", "_value")

    _attributes: Attributes  #: a fact of the class that a container makes

    def __init__(self, value: object, scope: ScopeState, key: AttributeKey) -> None:
        self._value = value
        self._era = scope._singletons.era  #: how often its container had forgotten something that it had built
        self._scope, self._key = scope, key  #: where it was fetched, and what was asked for: an override may answer instead

    # A generator that ends at once: CPython inlines sending to it, which no object of another kind has.
    def __await__(self) -> Generator[Any, None, Any]:
        return self._value
        yield

    def _fetch_nowait(self) -> Any:
        view = self._scope._elsewhere(self._key)
        return self._value if view is None else view._attribute_nowait(id(self), self, self._key)

    def __repr__(self) -> str:
        return "<Lazy, ready>"

    def _label(self) -> str:
        cls, attribute = self._key
        return f"{name_of(cls)}.{attribute.name}"

    def _written(self) -> str:
        return f"self.{self._key[1].name}"


def answering_by_context(self: Any) -> Generator[Any, None, Any]:
    """The ``__await__`` of fetched attributes while an override is in force somewhere."""
    view = self._scope._elsewhere(self._key)
    if view is None:
        return self._value
    return (yield from view._attribute(id(self), self, self._key).__await__())


class Renewal(Cell):
    """Fetches anew what an attribute holds: what it stood on died with its loop."""

    __slots__ = ("_ready",)

    def __init__(self, ready: Ready) -> None:
        super().__init__()
        self._ready = ready

    def _get(self) -> Any:
        return fetched(self._ready._scope, self._ready._key)

    def _get_nowait(self) -> Any:
        return fetched_nowait(self._ready._scope, self._ready._key)

    def _label(self) -> str:
        cls, attribute = self._ready._key
        return f"{name_of(cls)}.{attribute.name}"

    def _written(self) -> str:
        return self._ready._written()

    def _keep(self, value: object) -> None:
        super()._keep(value)
        self._ready._attributes.keep(self._ready, value)


def _is_lost(ready: Ready) -> bool:
    """Tell whether what *ready* holds, or anything that it was made of, has been forgotten since; where not, it stays."""
    if type(ready._value) is Renewal:
        return True
    singletons = ready._scope._singletons
    if ready._era == singletons.era and singletons.state == OPEN:
        return False
    lost = singletons.lost
    if any(lost.get(node, 0) > ready._era for node in ready._scope._find(ready._key).plan.singletons):
        ready._value = Renewal(ready)
        return True
    ready._attributes.keep(ready, ready._value)
    return False


def renewing(self: Any) -> Generator[Any, None, Any]:
    """The ``__await__`` of fetched attributes when something that was built has been forgotten."""
    view = self._scope._elsewhere(self._key)
    if view is not None:
        return (yield from view._attribute(id(self), self, self._key).__await__())
    if _is_lost(self):
        return (yield from self._value._fetch_once().__await__())
    return self._value


def renewing_nowait(self: Any) -> Any:
    """The same for ``nowait()``."""
    view = self._scope._elsewhere(self._key)
    if view is not None:
        return view._attribute_nowait(id(self), self, self._key)
    if _is_lost(self):
        renewal = self._value
        return renewal._fetch_once_nowait() if type(renewal) is Renewal else renewal  # another thread has it by now
    return self._value


def forget_fetched(instance: object) -> None:
    """Take what was fetched from an instance: its container begins anew."""
    kept = getattr(instance, "__dict__", {})
    for name in [name for name, handle in kept.items() if isinstance(handle, Ready)]:
        del kept[name]


class Attributes:
    """
    How the fetched attributes of one container answer: with what was fetched, by what is in force, or with an error.

    They are of a class of the container's own, so that one store changes all of them.
    """

    __slots__ = ("_by_context", "_class", "_singletons")

    def __init__(self, singletons: Singletons) -> None:
        self._singletons = singletons
        self._class: type[Ready] | None = None
        self._by_context = False

    def ready(self, value: object, scope: ScopeState, key: AttributeKey) -> Ready:
        """Return what a fetched attribute leaves on its instance."""
        return self._current()(value, scope, key)

    def keep(self, ready: Ready, value: object) -> None:
        """Let *ready*, of before something was forgotten, hold *value* from here on."""
        ready._value, ready._era = value, self._singletons.era

    def _current(self) -> type[Ready]:
        if self._class is None:
            names: dict[str, Any] = {"__slots__": (), "_attributes": self}
            if self._by_context:
                names["__await__"] = answering_by_context
            self._class = type("Unawaited", (Ready,), names)
        return self._class

    # --- what happens to the container ---

    def cool(self) -> None:
        """What was fetched stays fetched, whatever is registered."""

    def set_aside(self) -> None:
        """An override is in force somewhere."""
        self._by_context = True
        self._answer(answering_by_context)

    def give_back(self) -> None:
        """None is any more."""
        self._by_context = False
        self._answer(Ready.__await__)

    def renew(self) -> None:
        """Something that was built has been forgotten: who holds it, or what was made of it, fetches anew."""
        if self._class is not None:
            type.__setattr__(self._class, "_fetch_nowait", renewing_nowait)
        self.end(renewing)

    def begin(self) -> None:
        """The container begins anew."""
        self._class = None

    def end(self, how: Await) -> None:
        """What was fetched so far is awaited by *how* from here on; what comes is of another class."""
        self._answer(how)
        self._class = None

    def _answer(self, how: Await) -> None:
        if self._class is not None:
            type.__setattr__(self._class, "__await__", how)


def refusing(refuse: Callable[[], BaseException]) -> Await:
    """Return an ``__await__`` that raises what *refuse* makes."""

    def __await__(self: Any) -> Generator[Any, None, Any]:
        raise refuse()
        yield

    return __await__
