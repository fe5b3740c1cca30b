"""What does one call of get lead to?  Looked up once for each token and level, and kept with the graph."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, ForwardRef

from .._declare.keys import ask_for
from .._declare.registry import Attribute
from .._names import is_a, name_of
from ..errors import AmbiguousDependencyError, DeclarationError, MissingDependencyError, ScopeError
from .checks import check_nodes
from .graph import Graph
from .nodes import (
    CONSTANT,
    CONTAINER,
    MAYBE,
    NODE,
    SCOPE,
    Absent,
    Ambiguous,
    Node,
    Several,
    Site,
    Target,
    ambiguity,
    several_hint,
)
from .plan import THE_SCOPE, VALUE_OF, Plan, Ref, plan_of

__all__ = ["Root", "outside", "root_of"]


class Root:
    """A token at a level: what serves it, and the plan to have it."""

    __slots__ = ("node", "nodes", "plan")

    def __init__(self, plan: Plan, node: Node | None, nodes: tuple[Node, ...]) -> None:
        self.plan = plan
        self.node = node  #: the one node that it gives, None where it gives something else
        self.nodes = nodes  #: what it gives, or a handle of it


def site_of(graph: Graph, token: Any, level: int) -> Site:
    """Return what *token* asks scopes of *level* for: a user's token, the pair (class, descriptor) of an attribute, or a site."""
    if type(token) is Site:
        return token
    if type(token) is tuple and len(token) == 2 and is_a(token[1], Attribute):
        cls, attribute = token
        user = graph.instances.get(cls)
        name = f"{name_of(cls)}.{attribute.name}"
        return Site(attribute.ask_in(cls), graph.view_of(cls), name, attribute.place, user)
    ask = ask_for(token)
    if ask.kind == "all" and is_a(ask.keys[0], ForwardRef):
        name = ask.keys[0].__forward_arg__
        raise DeclarationError(f'All["{name}"] names a type; for a string token ask for Annotated[list[...], Inject("{name}")]')
    return Site(ask, None, "", None, level=level)


def root_of(graph: Graph, level: int, token: Any) -> Root:
    """
    Return the root of *token* for scopes of *level*.

    Raises:
        GraphError: Nothing provides it, or something that it needs does not fit.
        ScopeError: It lives in a scope further in.
    """
    site = site_of(graph, token, level)
    target = _served(graph, site)
    nodes = target.each()
    errors = check_nodes(graph, nodes, plainly=not target.makes)
    if errors:
        raise errors[0]
    if target.how == MAYBE and target.node is not None and target.node.level > level:
        target = Target(CONSTANT, value=target.value)
        nodes = ()
    plan = plan_of(graph, target)
    plan.asker = site.user if site.name else None
    # Nothing lives further in than the innermost level, nor does a container value, which is all there is to many plans.
    if level < len(graph.levels) - 1 and (plan.units or plan.unit.ops or plan.unit.result.how != VALUE_OF):
        refusal = outside(graph, site.ask.key, level, plan)
        if refusal is not None:
            raise refusal
    node = target.node if target.how == NODE else None
    if node is not None and node.kind in (CONTAINER, SCOPE):
        node = None
    return Root(plan, node, nodes)


def _served(graph: Graph, site: Site) -> Target:
    try:
        return graph.serve(site)
    except Absent as met:
        if site.ask.optional:
            return Target(CONSTANT, value=None)
        key = site.ask.key
        asker = site.user if site.name and site.user is not None else None
        if asker is not None and key in asker.registration.keys and asker.rank >= 0:
            raise MissingDependencyError(name_of(key), (site.name, name_of(key)), str(site.place or "")) from None
        from .wording import missing_error  # lazy import

        error = missing_error(graph, key, site.name, str(site.place or ""))
        if str(met):
            error = MissingDependencyError(error.key, error.path, error.where, (), str(met))
        raise error from None
    except Ambiguous as met:
        raise _ambiguous(ambiguity(met.registration), site) from None
    except Several:
        key = site.ask.key
        raise MissingDependencyError(
            name_of(key), (site.name, name_of(key)) if site.name else (name_of(key),), "", (), several_hint(key)
        ) from None


def _ambiguous(problem: Any, site: Site) -> AmbiguousDependencyError:
    """Return the error of *problem*, for what asks at *site*."""
    name = name_of(problem.key)
    path = (site.name, name) if site.name else (name,)
    return AmbiguousDependencyError(name, path, str(site.place or ""), problem.places, how=problem.hint)


def _takes_scope(plan: Plan) -> bool:
    def takes(ref: Ref) -> bool:
        return ref.how == THE_SCOPE or any(map(takes, ref.refs))

    refs = [plan.unit.result]
    for op in plan.unit.ops:
        refs += op.args
    return any(map(takes, refs))


def outside(graph: Graph, key: Hashable, level: int, plan: Plan) -> ScopeError | None:
    """Return the error of what is asked for by *key* at *level*, where something of its *plan* lives in a scope further in."""
    deepest = max([0, *[unit.node.level for unit in plan.units if unit.node is not None]])
    if deepest <= level and not (level == 0 and (plan.unit.ops or plan.unit.result.how != VALUE_OF) and _takes_scope(plan)):
        return None
    name = name_of(key)
    lives = graph.levels[max(deepest, 1)]
    scope = "a scope" if lives == "scoped" else f"a {lives} scope"
    where = "the container" if level == 0 else f"a {graph.levels[level]} scope"
    return ScopeError(
        f"{name} needs {scope}, and this is {where}; open one: `async with container.scope() as scope`, then ask the scope"
    )
