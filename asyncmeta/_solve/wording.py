"""How is a problem of a graph told?  With the path that leads there, and the way out."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Set
from typing import Final

from .._declare.registry import attributes_of
from .._names import arrow, is_a, name_of
from ..errors import AmbiguousDependencyError, CircularDependencyError, GraphError, MissingDependencyError
from .arguments import factory_of, is_argument
from .graph import Graph
from .nodes import LATER, START, Node, Problem, place_of

__all__ = ["Parents", "circle_error", "missing_error", "problem_error", "problem_errors", "worded"]

#: Who led to a node, or None for where the walk began.
Parents = dict[Node, Node | None]


def path_to(node: Node | None, parents: Parents) -> list[str]:
    """Return the steps from where the walk began to *node*, the node itself left out."""
    steps: list[str] = []
    while node is not None:
        user = parents.get(node)
        if user is None:
            break
        edge = next(edge for edge in (*user.edges, *user.deferred) if node in edge.target.each())
        if user.kind != START:  # the same thing twice, to the reader
            steps.append(f"{user.name}.{edge.name}")
        node = user
    steps.reverse()
    return steps


def problem_error(graph: Graph, node: Node, problem: Problem) -> GraphError:
    """Return the error of a problem at *node*, which was asked for itself."""
    return worded(graph, problem, node, {})


def problem_errors(graph: Graph, node: Node, parents: Parents, asked: Set[Node]) -> Iterator[GraphError]:
    """
    Give the errors of the problems at *node*.

    Args:
        asked: Nodes that are asked for as they are: what only a Factory makes may lack what its caller hands in.
    """
    for problem in node.problems:
        if node in asked or not is_argument(node, problem):
            yield worded(graph, problem, node, parents)


def missing_error(graph: Graph, key: Hashable, asker: str = "", where: str = "") -> MissingDependencyError:
    """Return the error of a key that nothing provides."""
    name = name_of(key)
    path = (asker, name) if asker else (name,)
    return MissingDependencyError(name, path, where, graph.names_near(key), graph.hint_for(key))


def worded(graph: Graph, problem: Problem, node: Node | None, parents: Parents) -> GraphError:
    name = name_of(problem.key)
    where = str(place_of(node)) if node is not None else ""
    steps = path_to(node, parents)
    if node is not None and problem.edge:
        steps.append(f"{node.name}.{problem.edge}")
        if node.maker.cls is not None:
            attribute = attributes_of(node.maker.cls).get(problem.edge)
            if attribute is not None:
                where = str(attribute.place)  # type: ignore[attr-defined]  # every descriptor notes its place
    if problem.kind in ("missing", "argument"):
        near = graph.names_near(problem.key) if problem.close else ()
        hint = problem.hint
        if node is not None and is_argument(node, problem):
            near, hint = (), f"{problem.edge} is an argument: ask for {factory_of(node)}, and call it with {problem.edge}=..."
            if not node.asked_with_arguments:
                hint += f'; or give it a key of its own: Annotated[{name}, Inject("{problem.edge}")]'
        return MissingDependencyError(name, (*steps, name), where, near, hint, "" if node is None else _also_called(node))
    if problem.kind == "ambiguous":
        asker = "" if node is None or not problem.edge else _also_called(node)
        return AmbiguousDependencyError(name, (*steps, name), where, problem.places, asker, problem.hint)
    if problem.kind == "circular":
        assert node is not None
        hint = (
            f"{problem.edge} asks for its own key, which means what {node.maker.name} stands in front of: no layer below has "
            f"{name}, and nothing that was written before in this one (around=True)"
        )
        return CircularDependencyError(node.name, (*steps, node.name), where, hint)
    drawn = f"\n  {arrow(steps)}" if len(steps) > 1 else ""
    return GraphError(f"{problem.hint} ({where}){drawn}")


def _also_called(node: Node) -> str:
    """Return what the last step of a path does not say of who asks: of a function its name, of a class the key it is made for."""
    cls, maker = node.maker.cls, node.maker
    if cls is not None:
        if is_a(node.key, str):  # the path has the key
            return f"of {name_of(cls)}"
        return f"for {name_of(node.key)}" if node.title != node.name else ""
    told = maker.function is not None and not maker.is_alias and node.name.strip("\"'") != maker.name
    return f"of {maker.name}" if told else ""


#: Of a circle of nothing but aliases.
_NOBODY_MAKES_IT: Final = "Each is another name of the next: one of them has to say what makes it"


def circle_error(circle: list[Node]) -> CircularDependencyError:
    """Return the error of nodes that need each other, in order."""
    steps, hint = [], _NOBODY_MAKES_IT
    for node, following in zip(circle, (*circle[1:], circle[0]), strict=True):
        if node.kind != START:
            edge = next(edge for edge in node.edges if following in edge.target.each() and edge.target.how not in LATER)
            steps.append(f"{node.name}.{edge.name}")
            if edge.name != "use_existing" and hint is _NOBODY_MAKES_IT:
                hint = _late(following) if is_a(following.key, str) else ""
    first = next(node for node in circle if node.kind != START)
    return CircularDependencyError(first.name, (*steps, first.name), str(place_of(first)), hint)


def _late(node: Node) -> str:
    """Return how a token that is a string is taken late: in quotes it would be read as a type."""
    late = f"Annotated[Lazy[Any], Inject({name_of(node.key)})]"
    return f"Take one of them late: ask for {late}, or await an AsyncDependencyDescriptor"
