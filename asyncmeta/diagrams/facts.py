"""What is there to show of a graph?  Names, places and relations; never a value."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set

from .._declare.lifetimes import CONTAINER_LEVEL, TRANSIENT_LEVEL
from .._declare.makers import ASYNC, SYNC
from .._declare.registry import Registry
from .._lock import LOCK
from .._names import is_a, name_of
from .._solve.arguments import asked_plainly, is_argument
from .._solve.checks import check_nodes, check_whole, declared_nodes, level_needed, listed_nodes, reached_from
from .._solve.found import is_given
from .._solve.graph import Graph
from .._solve.nodes import CONTAINER, CONTEXT, DEFERRED, LATER, LIST, MAKE, MAYBE, SCOPE, START, Edge, Node, ambiguity, place_of
from .._solve.wording import problem_error
from ..errors import AmbiguousDependencyError, GraphError

__all__ = ["Facts", "Item", "Line", "facts_of"]

#: What kinds of makers are called.
_KINDS = {SYNC: "function", ASYNC: "async function"}

#: How a target is served, in words for readers; a plain one needs none.
_HOW = {DEFERRED: "lazy", MAKE: "factory", LIST: "all", MAYBE: "if there"}


class Line:
    """One dependency."""

    __slots__ = ("captive", "circular", "how", "late", "name", "target")

    def __init__(self, name: str, target: Item, late: bool, how: str) -> None:
        self.name = name  #: the parameter's or attribute's
        self.target = target
        self.late = late  #: fetched when it is used: a descriptor, ``Lazy``, ``Factory``
        self.how = how  #: "value", "attribute", "lazy", "factory", "all" or "if there"
        self.captive = False  #: it would keep a value beyond its life
        self.circular = False  #: part of a circle without a late step


class Item:
    """One node: a registration in one view."""

    __slots__ = (
        "also", "dependents", "entry", "factory", "id", "kind", "layer", "level", "lifetime", "lines", "name", "node", "notes",
        "number", "options", "problems", "where",
    )  # fmt: skip

    def __init__(self, node: Node, number: int) -> None:
        registration = node.registration
        options = registration.options
        self.node = node
        self.number = number  #: position in the diagram
        #: the name, then what makes it where that is another class; told apart from others, and the same when lines move
        self.id = ""
        self.name = name_of(node.key)  #: what it is asked for by
        self.lifetime = str(node.lifetime)
        self.level = node.level
        self.kind = _kind_of(node)
        made = self.kind not in (CONTEXT, CONTAINER, SCOPE)
        self.factory = _factory_of(node) if made else ""
        self.where = str(place_of(node)) if made else ""
        self.layer = ""  #: the class whose registration it is; "" where a class is asked for that needs none
        self.also = tuple(name_of(key) for key in registration.also)  #: more names of the same value
        self.entry = registration.entry  #: listed as something that is asked for from outside
        self.lines: list[Line] = []
        self.dependents: list[Item] = []
        self.problems: list[str] = []
        self.notes: list[str] = []  #: what is no problem but worth knowing
        self.options: list[str] = []
        if options.timeout is not None:
            self.options.append(f"timeout {options.timeout:g} s")
        self.options += [word for word, given in (("in a thread", options.in_thread), ("concurrent", options.concurrent)) if given]


#: What gives the value of another key.
ALIAS = "alias"


def _kind_of(node: Node) -> str:
    if node.kind in (CONTAINER, SCOPE):
        return node.kind
    if is_given(node):
        return CONTEXT
    if node.maker.is_alias:
        return ALIAS
    if node.kind == START:
        return "service that starts"
    if node.maker.cls is not None:
        return "service" if "__asyncmeta__" in node.maker.cls.__dict__ else "class"
    own: str | None = getattr(node.maker.function, "__asyncmeta_kind__", None)  # what a framework calls
    return own or _KINDS.get(node.maker.kind, node.maker.kind)


def _factory_of(node: Node) -> str:
    # Nothing makes an alias: what it is the same as stands there.
    return name_of(node.maker.cls) if node.maker.cls is not None else node.maker.name


class Facts:
    """What an application declares and reaches: a picture of the moment in which it was made."""

    __slots__ = ("application", "items", "levels", "problems")

    def __init__(self, application: str, levels: Sequence[str], items: Sequence[Item], problems: Sequence[GraphError]) -> None:
        self.application = application
        self.levels = tuple(levels)  #: the container's first
        self.items = tuple(items)  #: users before what they use, where there is no circle
        self.problems = tuple(problems)  #: all of the check

    def search(self, text: str) -> list[Item]:
        """Return the items that have *text* in their name, keys, lifetime, kind, factory, layer or place, whatever the case."""
        wanted = text.casefold()
        return [item for item in self.items if wanted in searched_in(item).casefold()]


def searched_in(item: Item) -> str:
    """Return the text that a search looks at."""
    return " ".join((item.name, *item.also, item.lifetime, item.kind, item.factory, item.layer, item.where))


def facts_of(graph: Graph, *, whole: bool = False) -> Facts:
    """
    Return what there is to show of *graph*; problems are marked, not raised.

    Args:
        whole: Take in all of the shared layer, reached or not.
    """
    with LOCK:  # held to the end: what somebody else takes in meanwhile would be met half-way
        return _facts(graph, whole)


def _facts(graph: Graph, whole: bool) -> Facts:
    graph.refresh()
    problems = check_whole(graph)
    starts, _ = declared_nodes(graph)
    if whole:
        registered = list(graph.shared.all())
        shared = [graph.node(registration, None, 0) for registration in registered if not registration.rivals]
        more: list[GraphError] = check_nodes(graph, shared, plainly=False)
        for one in registered:
            if one.rivals:
                met = ambiguity(one)
                more.append(AmbiguousDependencyError(name_of(one.key), (name_of(one.key),), "", met.places, how=met.hint))
        known = set(map(_told_apart, problems))
        problems += [error for error in more if _told_apart(error) not in known]
        starts += shared
    reached = reached_from(graph, starts)
    halves = {node.constructed: node for node in reached if node.constructed is not None}
    items = {node: Item(node, 0) for node in reached if node not in halves}
    for number, item in enumerate(items.values()):
        item.number = number
    _name(list(items.values()))
    layers = _layers_of(graph, reached)
    asked = asked_plainly(reached, ())
    for item in items.values():
        item.layer = layers.get(id(item.node.registration), "")
        _relate(graph, item, items, halves, asked)
    _mark_circles(list(items.values()))
    declared = set(starts).difference(listed_nodes(graph))
    for item in items.values():
        _mark_captives(graph, item)
        if item.node in declared and item.node.rank >= 0 and not item.dependents and not item.entry:
            item.notes.append("nothing that is declared asks for it")
    return Facts(name_of(graph.app), graph.levels, list(items.values()), problems)


def _told_apart(error: GraphError) -> tuple[object, ...]:
    """Return what makes one problem another one than the same found by another way."""
    path = getattr(error, "path", ())
    return (type(error), getattr(error, "key", str(error)), path[-2:] if len(path) > 2 else path[-1:])


def _name(items: list[Item]) -> None:
    """Give every item an id of its own."""
    taken: set[str] = set()
    shared: dict[str, set[type]] = {}
    for item in items:
        for cls in (item.node.key, item.node.maker.cls):
            if is_a(cls, type):
                shared.setdefault(name_of(cls), set()).add(cls)
    for item in items:
        several, key, cls = item.node.registration.multi, item.node.key, item.node.maker.cls
        if len(shared.get(item.name, ())) > 1 and is_a(key, type):
            item.name = f"{key.__module__}.{item.name}"
        if len(shared.get(item.factory, ())) > 1 and is_a(cls, type):
            item.factory = item.name if cls is key else f"{cls.__module__}.{item.factory}"
        other = cls is not None and cls is not key and item.node.binding is None
        wished = f"{item.name} by {item.factory}" if several or other else item.name
        candidates = [wished, f"{item.name} by {item.factory}"]
        found = next((one for one in candidates if one not in taken), "")
        number = 2
        while not found:
            numbered = f"{item.name} by {item.factory} #{number}"
            if numbered not in taken:
                found = numbered
            number += 1
        taken.add(found)
        item.id = found


def _layers_of(graph: Graph, reached: Iterable[Node]) -> dict[int, str]:
    """Return the name of the layer of each registration, by its id."""
    views = dict.fromkeys(node.view for node in reached)
    registries: dict[Registry, None] = dict.fromkeys(registry for view in views for registry in graph.layers_of(view))
    return {
        id(registration): "the shared layer" if registry is graph.shared else registry.name
        for registry in registries
        for registration in registry.all()
    }


def _relate(graph: Graph, item: Item, items: dict[Node, Item], halves: dict[Node, Node], asked: Set[Node]) -> None:
    """Add the lines of *item*, those of a service that starts from the half that constructs it, and its own problems."""
    node = item.node
    parts = (node, node.constructed) if node.constructed is not None else (node,)
    told: dict[str, None] = {}
    for part in parts:
        edges = graph.expand(part)
        for edge in edges:
            if edge.target.how not in LATER and part.kind != START:
                _add_lines(item, edge, False, items, halves)
        for edge in part.deferred:
            _add_lines(item, edge, True, items, halves)
        for problem in part.problems:
            if is_argument(part, problem) and part not in asked:
                item.notes.append(f"{problem.edge} is an argument: only a Factory can make it")
            else:
                told[str(problem_error(graph, part, problem))] = None
    item.problems.extend(told)


def _add_lines(item: Item, edge: Edge, late: bool, items: dict[Node, Item], halves: dict[Node, Node]) -> None:
    how = _HOW.get(edge.target.how, "attribute" if late else "value")
    for other in edge.target.each():
        target = items[halves.get(other, other)]
        item.lines.append(Line(edge.name, target, late, how))
        if item not in target.dependents:
            target.dependents.append(item)


def _mark_captives(graph: Graph, item: Item) -> None:
    level = item.level
    if level == TRANSIENT_LEVEL:
        return
    for line in item.lines:
        need = level_needed(line.target.node, graph.needs, MAKE if line.how == _HOW[MAKE] else "")
        if CONTAINER_LEVEL <= level < need != TRANSIENT_LEVEL:
            line.captive = True
            what = line.target.name
            item.problems.append(
                f"{item.name}.{line.name} would keep {what} beyond its life: "
                f"{item.name} is {graph.levels[level]}, {what} needs {graph.levels[need]}"
            )


def _mark_circles(items: list[Item]) -> None:
    """Mark the lines inside of strongly connected parts of what is not late (Tarjan's way, with a stack of our own)."""
    order: dict[Item, int] = {}
    low: dict[Item, int] = {}
    part: dict[Item, int] = {}
    open_items: list[Item] = []
    for start in items:
        if start in order:
            continue
        order[start] = low[start] = len(order)
        open_items.append(start)
        work = [(start, iter(start.lines))]
        while work:
            item, lines = work[-1]
            for line in lines:
                other = line.target
                if line.late:
                    continue
                if other not in order:
                    order[other] = low[other] = len(order)
                    open_items.append(other)
                    work.append((other, iter(other.lines)))
                    break
                if other not in part:
                    low[item] = min(low[item], order[other])
            else:
                work.pop()
                if work:
                    above = work[-1][0]
                    low[above] = min(low[above], low[item])
                if low[item] == order[item]:
                    while True:
                        member = open_items.pop()
                        part[member] = order[item]
                        if member is item:
                            break
    for item in items:
        for line in item.lines:
            if not line.late and part[line.target] == part[item]:
                line.circular = True
        ways = [line.name for line in item.lines if line.circular]
        if ways:
            item.problems.append(f"{item.name} needs itself, by way of {', '.join(ways)}")
