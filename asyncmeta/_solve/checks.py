"""Does what was declared fit together?  All problems at once, each with the path that leads there."""

from __future__ import annotations

import sys
from collections.abc import Container, Hashable, Iterable, Sequence, Set
from typing import TYPE_CHECKING, Any

from .._declare.keys import Ask
from .._declare.lifetimes import CONTAINER_LEVEL, TRANSIENT_LEVEL
from .._declare.registrations import Registration
from .._declare.registry import attributes_of, snapshot
from .._names import name_of
from ..errors import CaptiveDependencyError, GraphError, GraphErrors, MissingDependencyError
from .found import giving
from .generics import is_open
from .graph import Graph
from .nodes import (
    AS_NEEDED,
    LATER,
    MAKE,
    NODE,
    START,
    Absent,
    Ambiguous,
    Edge,
    Node,
    Several,
    Site,
    ambiguity,
    keeps_nothing,
    place_of,
)

if TYPE_CHECKING:
    from .wording import Parents

__all__ = [
    "built_with", "check_nodes", "check_whole", "declared_nodes", "grouped", "listed_nodes", "not_given", "reached_from",
]  # fmt: skip

#: The levels of what was reached where nothing has to be closed before the container is.
_LASTING = {CONTAINER_LEVEL}

#: More transient objects than this for one root are a mistake of the graph, not a wish.
MOST_OBJECTS = 100_000


def grouped(graph: Graph, errors: Iterable[GraphError]) -> GraphErrors:
    """Return all *errors* as one, headed by the application; of the shared layer alone there is none to name."""
    return GraphErrors.of("the container" if graph.app is graph.shared.cls else name_of(graph.app), list(errors))


def check_whole(graph: Graph) -> list[GraphError]:
    """Check all that the application declares and what it reaches; the result is kept until something is registered."""
    if graph.checked is None:
        errors: list[GraphError] = []
        for name, registry in graph.bad_levels:
            errors.append(GraphError(
                f"context of {name_of(registry.cls)} names the level {name_of(name)}, but {name_of(graph.app)} has "
                f"{', '.join(graph.levels[1:])} ({registry.place})"
            ))  # fmt: skip
        for registry in graph.layers:
            if registry is not graph.shared or len(graph.layers) == 1:
                errors.extend(GraphError(f"{why} ({place})") for why, place in registry.unreadable())
        starts, ambiguous = declared_nodes(graph)
        errors.extend(ambiguous)
        errors.extend(check_nodes(graph, starts, plainly=False))
        graph.checked = errors
    return list(graph.checked)


def not_given(graph: Graph, given: Container[Hashable]) -> list[GraphError]:
    """Return the problems of a container that is made with *given*: context of its own that is not among it."""
    errors: list[GraphError] = []
    for (key, level), node in graph.context_nodes.items():
        if level != CONTAINER_LEVEL or key in given or graph.from_context(key, level) is not node:
            continue
        # Of several levels the innermost is found; what is found besides comes from an override.
        if graph.find(None, key) is graph.from_context(key, graph.context_levels[key][-1]):
            name = name_of(key)
            hint = f"{name_of(graph.app)} declares it as context of the container: {giving(key)}"
            errors.append(MissingDependencyError(name, (name,), str(node.place), (), hint))
    return errors


def declared_nodes(graph: Graph) -> tuple[list[Node], list[GraphError]]:
    """Return the nodes of what the application itself declares, and what is wrong with their keys."""
    starts: list[Node] = []
    errors: list[GraphError] = []
    if graph.app is not graph.shared.cls:
        starts.append(graph.app_node())
    listed, absent = _listed(graph)
    errors.extend(absent)
    for registration, rank in graph.declared_registrations():
        if registration.bare:
            starts.extend(listed.get(registration.key, ()))
            continue
        if registration.rivals:
            errors.append(_ambiguous(graph, registration))
            continue
        if graph.context and registration.key in graph.context:  # where it serves in the place of the value, it is that node alone
            found = graph.find(None, registration.key)
            if isinstance(found, Node) and found.registration is registration and found not in graph.behind:
                starts.append(found)
                continue
        if not is_open(registration.key):  # checked for each closed form that something asks for
            starts.append(graph.declared_node(registration, rank))
    starts.extend(node for nodes in listed.values() for node in nodes)
    errors.extend(_mixed(graph))
    return list(dict.fromkeys(starts)), errors


def _ambiguous(graph: Graph, registration: Registration) -> GraphError:
    from .wording import worded  # lazy import

    return worded(graph, ambiguity(registration), None, {})


def listed_nodes(graph: Graph) -> set[Node]:
    """Return the nodes of what the application's lists name as asked for from outside."""
    return {node for nodes in _listed(graph)[0].values() for node in nodes}


def _listed(graph: Graph) -> tuple[dict[Any, tuple[Node, ...]], list[GraphError]]:
    """Return by token the nodes of what the application's lists name, and what is wrong with that."""
    found: dict[Any, tuple[Node, ...]] = {}
    errors: list[GraphError] = []
    for token, site, registry in graph.listed():
        asker, where = f"{name_of(registry.cls or graph.app)}.providers", str(site.place)
        if is_open(site.ask.key):
            continue  # checked for each closed form that something asks for
        try:
            found[token] = graph.serve(site).each()
        except Absent as met:
            key = site.ask.key
            if site.ask.optional:
                continue
            errors.append(MissingDependencyError(
                name_of(key), (asker, name_of(key)), where, graph.names_near(key), str(met) or graph.hint_for(key)
            ))  # fmt: skip
        except Ambiguous as met:
            errors.append(_ambiguous(graph, met.registration))
        except Several:
            found[token] = graph.serve(Site(Ask("all", site.ask.keys), None, "", None)).each()
    return found, errors


def _mixed(graph: Graph) -> list[GraphError]:
    """Find keys that one layer registers with multi=True and a lower one without, or the other way about."""
    errors: list[GraphError] = []
    for position, layer in enumerate(graph.layers):
        if layer in graph.over:
            continue
        for lower in graph.layers[position + 1 :]:
            for key in [key for key in snapshot(layer.entries) if key in lower.entries]:
                entry, other = layer.entries[key], lower.entries[key]
                if isinstance(entry, list) is isinstance(other, list) or _only_listed(entry) or _only_listed(other):
                    continue
                other = other[0] if isinstance(other, list) else other
                for one in entry if isinstance(entry, list) else (entry,):
                    if one.rivals:
                        continue  # told as ambiguous
                    many, single = (one, other) if one.multi else (other, one)
                    errors.append(GraphError(
                        f"{name_of(key)} is registered with multi=True at {many.place} and without at {single.place}; "
                        "one key cannot be both"
                    ))  # fmt: skip
    return errors


def _only_listed(entry: Registration | list[Registration]) -> bool:
    return isinstance(entry, Registration) and entry.bare


def check_nodes(graph: Graph, starts: Iterable[Node], *, plainly: bool | None) -> list[GraphError]:
    """
    Check *starts* and everything that they reach; what an earlier check found sound is not looked at again.

    Args:
        plainly: *starts* are asked for as they are, not through a Factory, and not only declared; None where nobody knows:
            then it is so unless some Factory asks for them.
    """
    starts = list(starts)
    if all(map(graph.sound.__contains__, starts)):
        return []
    parents: Parents = {}
    reached = _reach(graph, starts, parents, graph.sound)
    errors: list[GraphError] = []
    handed: list[Node] = []
    asked: Set[Node] = frozenset()
    if [node for node in reached if node.problems]:
        from .arguments import asked_plainly, takes_arguments  # lazy import

        handed = [node for node in reached if takes_arguments(node)]
        if handed:
            plain = [node for node in starts if plainly or (plainly is None and not node.asked_with_arguments)]
            asked = asked_plainly(reached, plain)
    for node in reached:
        if node.problems:
            from .wording import problem_errors  # lazy import

            errors.extend(problem_errors(graph, node, parents, asked))
        cls = node.maker.cls
        if cls is not None and (node.deferred or "__dataclass_fields__" in cls.__dict__):
            _fields(node, cls, errors)
    circles = _circles(reached, graph.sound)
    if circles:
        from .wording import circle_error  # lazy import

        errors.extend(map(circle_error, circles))
    if graph.sound or {node.level for node in reached} != _LASTING:  # something shorter was reached, now or before
        errors.extend(_captives(graph, reached))
        if not circles:
            errors.extend(_ladders(reached))
    if not errors:
        # What takes arguments is looked at by everybody who asks: plainly, or through a Factory.
        graph.sound.update(reached if not handed else [node for node in reached if node not in handed])
    return errors


def reached_from(graph: Graph, starts: Iterable[Node]) -> list[Node]:
    """Return *starts* and all that they lead to, eagerly or late."""
    return _reach(graph, starts, {}, frozenset())


def built_with(graph: Graph, starts: Iterable[Node]) -> list[Node]:
    """Return *starts* and all that they lead to but for what somebody chooses later from a named collection."""
    return _reach(graph, starts, {}, frozenset(), choices=False)


def _reach(graph: Graph, starts: Iterable[Node], parents: Parents, sound: Set[Node], *, choices: bool = True) -> list[Node]:
    """Return every node that *starts* lead to, eagerly or late, users before what they use."""
    reached: list[Node] = []
    parents.update(dict.fromkeys([node for node in starts if node not in sound]))
    pending = list(parents)
    pending.reverse()
    while pending:
        node = pending.pop()
        reached.append(node)
        if node.kept is None:
            graph.settle(node)
        if node.kept is AS_NEEDED and not node.deferred:
            others: Sequence[Node] = node.needs
        elif choices:
            others = node.leads_to
        else:
            edges = [edge for edge in (*node.edges, *node.deferred) if not edge.target.chooses]
            others = [other for edge in edges for other in edge.target.each()]
        for other in others:
            if other not in parents and other not in sound:
                parents[other] = node
                pending.append(other)
    return reached


def _fields(node: Node, cls: type, errors: list[GraphError]) -> None:
    """Find descriptors that a dataclass has turned into fields, or whose instances cannot keep them."""
    if node.kind == START:
        return
    if node.deferred and cls.__dictoffset__ == 0 and not hasattr(cls, "_asyncmeta_scope"):
        errors.append(GraphError(f"{keeps_nothing(cls)} ({place_of(node)})"))
    if "__dataclass_fields__" not in cls.__dict__:
        return
    fields = {field.name for field in sys.modules["dataclasses"].fields(cls)}
    for name in attributes_of(cls):
        if name in fields:
            errors.append(GraphError(
                f"{name_of(cls)}.{name} is a dependency, but @dataclass makes a field of it; write ClassVar: "
                f"{name}: ClassVar[AsyncDependencyDescriptor[...]] ({place_of(node)})"
            ))  # fmt: skip


# --- circles --------------------------------------------------------------------------------------


def _circles(reached: list[Node], sound: Set[Node]) -> list[list[Node]]:
    """Return the circles among eager dependencies; one for each edge that closes one."""
    state: dict[Node, bool] = {}  # False while it is open, True when all that it needs was walked
    circles: list[list[Node]] = []
    for node in reached:
        for other in node.needs:
            if other not in state:
                break
        else:
            state[node] = True  # as nearly everything where what is needed is declared before
    for start in reached if len(state) < len(reached) else ():
        if start in state:
            continue
        state[start] = False
        path = [start]
        stack = [iter(start.needs)]
        while stack:
            for other in stack[-1]:
                done = state.get(other)
                if done is None:
                    if not other.needs or other in sound:
                        state[other] = True
                        continue
                    state[other] = False
                    path.append(other)
                    stack.append(iter(other.needs))
                    break
                if not done:
                    circles.append(path[path.index(other) :])
            else:
                state[path.pop()] = True
                stack.pop()
    return circles


# --- captives -------------------------------------------------------------------------------------


def _captives(graph: Graph, reached: list[Node]) -> list[GraphError]:
    """Find what would keep a value beyond its life, also through transient values and late edges."""
    needs = graph.needs
    errors: list[GraphError] = []
    _add_needs(reached, needs)
    for node in reached:
        level = node.level
        if level == TRANSIENT_LEVEL or level == len(graph.levels) - 1:
            continue
        eager = node.kept is AS_NEEDED and not node.deferred
        if eager and not [other for other in node.needs if level_needed(other, needs, NODE) > level]:
            continue
        for edges in (node.edges, node.deferred):
            for edge in edges:
                if edge.target.how in LATER and edges is node.edges:
                    continue  # stands in node.deferred again
                for other in edge.target.each():
                    need = level_needed(other, needs, edge.target.how)
                    if need > level and need != TRANSIENT_LEVEL:
                        errors.append(_captive_error(graph, node, edge, other, need, needs))
    return errors


def _add_needs(reached: list[Node], needs: dict[Node, int]) -> None:
    """Add, for each transient node, the innermost level that it needs, directly or through others."""
    known = frozenset([node for node in reached if node in needs])
    fresh = frozenset([node for node in reached if node.level == TRANSIENT_LEVEL and node not in known])
    users: dict[Node, list[Node]] = {}
    pending: list[Node] = []
    for node in reached:
        if node not in fresh:
            continue
        need = 0
        for other in _counted(node):
            if other.level == TRANSIENT_LEVEL and other not in fresh:
                need = max(need, needs.get(other, 0))
            elif other.level == TRANSIENT_LEVEL:
                users.setdefault(other, []).append(node)
            elif other.level > need:
                need = other.level
        needs[node] = need
        if need:
            pending.append(node)
    while pending:
        node = pending.pop()
        for user in users.get(node, ()):
            if needs[user] < needs[node]:
                needs[user] = needs[node]
                pending.append(user)


def level_needed(node: Node, needs: dict[Node, int], how: str) -> int:
    """Return the innermost level that a user of *node* needs."""
    if node.level == TRANSIENT_LEVEL:
        return needs.get(node) or 0
    if how == MAKE:  # made anew for the holder of the handle: only what it takes counts
        levels = [other.level if other.level != TRANSIENT_LEVEL else needs.get(other, 0) for other in _counted(node)]
        return max(levels, default=0)
    return node.level


def _counted(node: Node) -> Sequence[Node]:
    """Return what *node*, made anew, has to live with: what it takes, and of what it makes anew in its turn, what that takes."""
    if node.kept is AS_NEEDED and not node.deferred:
        return node.needs
    found: list[Node] = []
    made, waiting = {node}, [node]
    while waiting:
        one = waiting.pop()
        for edge in (*one.edges, *one.deferred):
            for other in edge.target.each():
                if edge.target.how != MAKE or other.level == TRANSIENT_LEVEL:
                    found.append(other)
                elif other not in made:
                    made.add(other)
                    waiting.append(other)
    return found


def _captive_error(
    graph: Graph, holder: Node, edge: Edge, other: Node, need: int, needs: dict[Node, int]
) -> CaptiveDependencyError:
    steps = [f"{holder.name}.{edge.name}"]
    node = other
    seen: set[Node] = set()
    while node.level == TRANSIENT_LEVEL and node not in seen:
        seen.add(node)
        # What a transient value needs it needs by one of its edges.
        step, following = next(
            (step, after)
            for step in (*node.edges, *node.deferred)
            for after in step.target.each()
            if level_needed(after, needs, step.target.how) == need
        )
        steps.append(f"{node.name}.{step.name}")
        node = following
    lifetime = graph.levels[holder.level]
    return CaptiveDependencyError(node.title, (*steps, node.name), str(place_of(holder)), lifetime, graph.levels[need])


# --- ladders --------------------------------------------------------------------------------------


def _ladders(reached: list[Node]) -> list[GraphError]:
    """Find transient values that multiply: more than 100,000 objects for one root."""
    counts: dict[Node, int] = {}
    errors: list[GraphError] = []
    for start in reached:
        stack = [start] if TRANSIENT_LEVEL in [other.level for other in start.needs] else []
        while stack:
            node = stack[-1]
            if node in counts:
                stack.pop()
                continue
            inner = [other for other in node.needs if other.level == TRANSIENT_LEVEL]
            pending = [other for other in inner if other not in counts]
            if pending:
                stack.extend(pending)
                continue
            stack.pop()
            counts[node] = 1 + sum(counts[other] for other in inner)
            if counts[node] > MOST_OBJECTS and all(counts[other] <= MOST_OBJECTS for other in inner):
                errors.append(GraphError(
                    f"one {node.name} would make more than {MOST_OBJECTS:,} transient objects ({place_of(node)}); "
                    "give some of what it needs a longer lifetime"
                ))  # fmt: skip
    return errors
