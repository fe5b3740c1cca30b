"""What can be said about a whole graph?  What starts, what is asked how it is, what leads where, what is worth knowing."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from typing import Any, NamedTuple

from .._declare.constructors import writes_init
from .._declare.lifetimes import CONTAINER_LEVEL
from .._declare.makers import ASYNC_GENERATOR, GENERATOR
from .._declare.registrations import Registration
from .._declare.registry import layers_of, registry_of, snapshot
from .._declare.yields import rest_is_skipped
from .._names import name_of, name_of_callable, place_of_function
from .arguments import is_argument, takes_arguments
from .checks import built_with, declared_nodes, listed_nodes, reached_from
from .graph import Graph
from .nodes import CONTAINER, Node, place_of
from .plan import unit_of
from .wording import problem_error

__all__ = [
    "Findings",
    "answers",
    "dependencies_of",
    "findings",
    "is_half_of_service",
    "names_apart",
    "nodes_to_ask",
    "nodes_to_start",
    "users_of",
]  # fmt: skip


def users_of(graph: Graph, node: Node) -> list[Node]:
    """Return what needs *node*, directly or through others."""
    users = graph.users()
    found: dict[Node, None] = {}
    waiting = [node]
    while waiting:
        for user in users.get(waiting.pop(), ()):
            if user not in found:
                found[user] = None
                waiting.append(user)
    return list(found)


def names_apart(nodes: Iterable[Node]) -> dict[Node, str]:
    """Return how a report calls *nodes*: by name, and where services have each their own value of one name, of which it is."""
    by_name: dict[str, list[Node]] = {}
    for node in nodes:
        by_name.setdefault(node.name, []).append(node)
    found: dict[Node, str] = {}
    for name, same in by_name.items():
        several = len({node.view for node in same}) > 1
        for node in same:
            found[node] = f"{name} of {name_of(node.view)}" if several and node.view is not None else name
    return found


# --- starting ------------------------------------------------------------------------------------------


def nodes_to_start(graph: Graph) -> list[Node]:
    """
    Return the container values that the application declares and reaches, to be built beforehand.

    Raises:
        GraphError: One of them does not fit.
    """
    nodes, problems = declared_nodes(graph)
    if problems:
        raise problems[0]
    # A member with a name is built where somebody chooses it, or takes them all.
    reached = built_with(graph, [node for node in nodes if not node.registration.named and answers(graph, node)])
    for node in reached:
        for problem in node.problems:
            if not is_argument(node, problem):
                raise problem_error(graph, node, problem)
    return [
        node
        for node in reached
        if node.level == CONTAINER_LEVEL
        and node.kind != CONTAINER
        and not is_half_of_service(graph, node)
        and not takes_arguments(node.constructed or node)
    ]


def is_half_of_service(graph: Graph, node: Node) -> bool:
    """Tell whether *node* is only the first half of a service that starts: the constructed instance."""
    if node.constructed is not None or node.maker.cls is None:
        return False
    whole = graph.instances.get(node.maker.cls)
    return whole is not None and whole.constructed is node


def dependencies_of(graph: Graph, node: Node) -> Sequence[Node]:
    """Return the shared values that *node* takes."""
    return unit_of(graph, node.constructed or node).shared


def answers(graph: Graph, node: Node) -> bool:
    """
    Tell whether the application gets *node* for one of its keys.

    What a higher layer or an override shadows is built only where something reaches it all the same, as the
    registration that shadows it may: a profile that has another mailer must not open the real one.
    """
    for key in node.registration.keys:
        found = graph.find(None, key)
        if found is node or (isinstance(found, tuple) and node in found):
            return True
    return node is graph.app_node()


# --- asking how they are ---------------------------------------------------------------------------------


def nodes_to_ask(graph: Graph, more: Iterable[Node]) -> list[Node]:
    """Return the container values that say how they are asked: those of the application, and of *more*."""
    reached = reached_from(graph, declared_nodes(graph)[0])
    return [
        node
        for node in dict.fromkeys((*reached, *more))
        if node.level == CONTAINER_LEVEL and node.registration.options.health is not None and not is_half_of_service(graph, node)
    ]


# --- what is worth knowing about a sound graph -------------------------------------------------------------


class Findings(NamedTuple):
    """What is no problem, each in words."""

    replaced: list[str]
    unused: list[str]
    outdated: list[str]
    unreached: list[str]
    factory_only: list[str]
    unread: list[str]
    skipped: list[str]


def findings(graph: Graph, built: Container[Node], asked: Iterable[Node] = ()) -> Findings:
    """Return what is worth knowing about *graph*; of values only whether they are among *built*; *asked* are used from outside."""
    starts, _ = declared_nodes(graph)
    reached = reached_from(graph, starts)
    return Findings(
        _replaced(graph, {node.registration for node in reached}),
        _unused(starts, reached, listed_nodes(graph).union(asked)),
        [old.name for _, old, _ in graph.moved if old in built],
        _unreached(graph, reached),
        _factory_only(reached),
        list(dict.fromkeys(one for node in reached for one in node.unread)),
        _skipped(reached),
    )


def _replaced(graph: Graph, used: set[Registration]) -> list[str]:
    found = []
    above: dict[Any, Any] = {}
    for layer in graph.layers:
        for key, entry in snapshot(layer.entries.items()):
            if isinstance(entry, list) or entry.bare:
                continue
            over = above.setdefault(key, entry)
            if over is not entry:
                found.append(f"{name_of(key)} ({entry.place}) by {over.place}")
        for old, new in layer.replaced:
            # What others do to the shared layer is their business, unless this application uses it.
            if layer is not graph.shared or len(graph.layers) == 1 or new in used:
                found.append(f"{name_of(old.key)} ({old.place}) by {new.place}")
    return found


def _unused(starts: list[Node], reached: list[Node], listed: set[Node]) -> list[str]:
    used = listed | {other for node in reached for other in node.leads_to}
    return [
        f"{node.title} ({node.place})"
        for node in starts
        if node.rank >= 0
        and not node.registration.entry
        and node not in used
        and not any(other.registration is node.registration for other in used)
    ]


def _factory_only(reached: list[Node]) -> list[str]:
    halves = {node.constructed for node in reached}
    return [
        f"{node.title}: {', '.join(problem.edge for problem in (node.constructed or node).problems)} ({place_of(node)})"
        for node in reached
        if node not in halves and takes_arguments(node.constructed or node)
    ]


def _skipped(reached: list[Node]) -> list[str]:
    makers = {node.maker.function: None for node in reached if node.maker.kind in (GENERATOR, ASYNC_GENERATOR)}
    return [
        f"{name_of_callable(function)} ({place_of_function(function)})"
        for function in makers
        if function is not None and rest_is_skipped(function.__code__)
    ]


def _unreached(graph: Graph, reached: list[Node]) -> list[str]:
    classes = dict.fromkeys(node.maker.cls for node in reached if node.maker.cls is not None)
    found: dict[str, None] = {}
    for cls in classes:
        if registry_of(cls) is None:
            continue
        base = layers_of(cls)[-1].cls
        for method in ("__init__", *graph.hooks):
            defining = [one for one in cls.__mro__[:-1] if method in one.__dict__ and one is not base]
            if method == "__init__":
                defining = [one for one in defining if writes_init(one)]
            called = _called(defining, method)
            for position, one in enumerate(defining):
                # A constructor that its own subclass does without is replaced, as constructors are.
                if one not in called and (method != "__init__" or not all(issubclass(sub, one) for sub in defining[:position])):
                    found[f"{one.__qualname__}.{method}"] = None
    return list(found)


def _called(defining: list[type], method: str) -> set[type]:
    """Return the classes of *defining* whose *method* is run: the first one's, and what that calls, by super() or by name."""
    called: set[type] = set()
    pending = defining[:1]
    while pending:
        one = pending.pop()
        if one in called:
            continue
        called.add(one)
        rest = defining[defining.index(one) + 1 :]
        code = getattr(one.__dict__[method], "__code__", None)
        if code is None:  # what is no function of Python's may call anything
            pending += rest
        elif method in code.co_names:
            names = {*code.co_names, *code.co_freevars}
            pending += rest[:1] if "super" in names else ()
            pending += [other for other in rest if other.__name__ in names]
        elif "__dataclass_fields__" in one.__dict__:  # it sets the fields of the others, too
            pending += [other for other in rest if "__dataclass_fields__" in other.__dict__]
    return called
