"""What is there to say about one token, and what code was generated for it?"""

from __future__ import annotations

from collections.abc import Hashable

from .. import ScopeError
from .._declare.lifetimes import CONTAINER_LEVEL
from .._declare.registrations import Registration
from .._run.compiled.load import legend
from .._solve.emit import emit_opening, emit_root, wants_scope
from .._solve.graph import Graph
from .._solve.plan import LARGEST
from .._solve.resolve import Root, root_of
from ..diagrams import Item
from ..diagrams.facts import ALIAS
from ..report.page import printable

__all__ = ["explanation", "source_of"]


def explanation(graph: Graph, item: Item) -> str:
    """Return who provides *item*, from which layer, what it needs, who needs it, and what it shadows."""
    lines = [
        f"{item.id}: {item.lifetime}, {_made(item)}{_at(item.where)}",
        f"  layer: {item.layer or _layer_of_kind(item)}",
    ]
    if item.also:
        lines.append(f"  also: {', '.join(item.also)}")
    if item.options:
        lines.append(f"  options: {', '.join(item.options)}")
    shadowed = _shadowed(graph, item)
    if shadowed:
        lines += ["  shadows:", *(f"    {one}" for one in shadowed)]
    lines.append("  needs:" if item.lines else "  needs: nothing")
    for line in item.lines:
        words = [word for word in (line.how if line.how != "value" else "", "late" if line.late else "") if word]
        how = f", {', '.join(words)}" if words else ""
        lines.append(f"    {line.name}: {line.target.id}, {line.target.lifetime}{how}{_at(line.target.where)}")
    lines.append("  needed by:" if item.dependents else "  needed by: nothing that is declared")
    for user in item.dependents:
        ways = ", ".join(line.name for line in user.lines if line.target is item)
        lines.append(f"    {user.id}, as {ways}{_at(user.where)}")
    for problem in item.problems:
        first, *more = problem.split("\n")
        lines += [f"  problem: {first}", *(f"    {line.strip()}" for line in more)]
    return "\n".join(map(printable, lines))


def _made(item: Item) -> str:
    if item.kind == ALIAS:
        return f"the same as {', '.join(line.target.id for line in item.lines) or 'nothing'}"
    kind = f"{'an' if item.kind[0] in 'aeiou' else 'a'} {item.kind}"
    return f"made by {item.factory}, {kind}" if item.factory not in ("", item.name, "value") else kind


def _at(where: str) -> str:
    return f" ({where})" if where else ""


def _layer_of_kind(item: Item) -> str:
    if item.kind == "context":
        of_container = 'comes with the container: context={"singleton": [...]}'
        return of_container if item.level == CONTAINER_LEVEL else "comes with the scope: context=[...]"
    return "none; a service class needs no registration" if item.kind.startswith("service") else "none; it is always there"


def _shadowed(graph: Graph, item: Item) -> list[str]:
    """Return the registrations under the keys of *item* that it hides, the nearest first."""
    own = item.node.registration
    found: dict[int, str] = {}
    for layer in graph.layers_of(item.node.view):
        name = "the shared layer" if layer is graph.shared else layer.name
        for old, new in layer.replaced:
            if new is own:
                found[id(old)] = f"{old.maker.name} in {name}, earlier ({old.place})"
    layers = graph.layers_of(item.node.view)
    below = 0 if own.multi else max(0, item.node.rank)
    for layer in layers[len(layers) - below :]:
        name = "the shared layer" if layer is graph.shared else layer.name
        for key in own.keys:
            entry = layer.entries.get(key)
            if isinstance(entry, Registration):
                found[id(entry)] = f"{entry.maker.name} in {name} ({entry.place})"
    return list(found.values())


def source_of(graph: Graph, key: Hashable, *, opening: bool = False) -> str:
    """
    Return the source of the root of *key* below a legend of what its names stand for.

    Args:
        opening: The source for a scope that is opened for this one value, instead.

    Raises:
        GraphError: Nothing provides it, or what it needs does not fit.
        ScopeError: No level of scopes has it.
    """
    level, root = _root(graph, key)
    plan = root.plan
    heading = f"# level: {graph.levels[level]}"
    if level == CONTAINER_LEVEL and root.node is not None:
        what = printable(root.node.name)
        return f"{heading}\n# {what} is built once, call by call, without source of its own; a get then returns the built value\n"
    if plan.size > LARGEST:
        return f"{heading}\n# {plan.size} calls: more than {LARGEST} are carried out one by one, without source of their own\n"
    if opening:
        if level != 1 or wants_scope(plan):
            return f"{heading}\n# a real scope is opened for it: something holds on to the scope, or a level of its own is meant\n"
        source = emit_opening(plan, level)
    else:
        source = emit_root(plan, level)
    notes = [f"# {name}: {printable(meaning)}" for name, meaning in legend(source)]
    return "\n".join([heading, *notes, source.text])


def _root(graph: Graph, key: Hashable) -> tuple[int, Root]:
    """Return the outermost level that has *key*, and its root there."""
    innermost = len(graph.levels) - 1
    for level in range(innermost):
        try:
            return level, root_of(graph, level, key)
        except ScopeError:
            continue
    return innermost, root_of(graph, innermost, key)
