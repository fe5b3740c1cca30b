"""What is found along the layers, by rules that need no graph?  Context, what a subclass overrides, what cannot be made."""

from __future__ import annotations

import inspect
import types
from collections.abc import Hashable, Sequence
from functools import partial
from typing import Any

from .._declare.annotations import Parameter
from .._declare.keys import Ask
from .._declare.lifetimes import CONTAINER_LEVEL, TRANSIENT_LEVEL, level_of
from .._declare.makers import SYNC, Maker, maker_of, value_maker
from .._declare.registrations import Registration
from .._declare.registry import Registry
from .._names import Place, close_to, is_a, name_of
from ..errors import ScopeError
from .nodes import CONTEXT, LIST, Absent, Ambiguous, Node, Problem, Target, nameless

__all__ = [
    "collected", "context_levels", "context_node", "default_of_others", "giving", "handing_on", "highest", "is_given",
    "is_whole", "overridden", "problems_of", "with_names",
]  # fmt: skip

#: Whose classes are marks that stand as defaults, to be read by the framework that calls the function.
_MARKS = ("dependency_injector.wiring", "fast_depends", "fastapi.params", "litestar.params", "taskiq_dependencies")


def context_levels(
    layers: Sequence[Registry], levels: Sequence[str]
) -> tuple[dict[Hashable, list[int]], list[tuple[str, Registry]]]:
    """Return by context key the levels that declare it, outer first, and the levels that are named but not there."""
    found: dict[Hashable, list[int]] = {}
    bad: list[tuple[str, Registry]] = []
    for registry in reversed(layers):
        for name, tokens in registry.context.items():
            level = len(levels) - 1 if not name else level_of(name, levels)
            if level is None or level == TRANSIENT_LEVEL:
                bad.append((name, registry))
                continue
            for token in tokens:
                declared = found.setdefault(token, [])
                if level not in declared:
                    declared.append(level)
                    declared.sort()
    return found, bad


def context_node(key: Hashable, level: int, name: str, place: Place) -> Node:
    """Return the node of a value that comes with the scopes of *level*, which is called *name*, or with the container."""
    if level == CONTAINER_LEVEL:  # kept like what is built there; where it was not given, nothing makes it
        registration = Registration(key, Maker(partial(_refuse, key), SYNC, None, None, None), name, place)
        node = Node(registration, registration.maker, SYNC, level, None, 0)
    else:
        registration = Registration(key, value_maker(None), name, place)
        node = Node(registration, registration.maker, CONTEXT, level, None, 0)
    node.kept = ()
    return node


def is_given(node: Node) -> bool:
    """Tell whether the value of *node* comes with a scope, or with the container."""
    call = node.maker.call
    return node.kind == CONTEXT or (type(call) is partial and call.func is _refuse)


def _refuse(key: Hashable) -> Any:
    raise ScopeError(f"the container was made without {name_of(key)}, which is declared as its context: {giving(key)}")


def giving(key: Hashable) -> str:
    """Return how a container is given the value of *key*."""
    return f"Container(..., {{{name_of(key)}: ...}})"


def _same(value: Any) -> Any:
    return value


def handing_on(registration: Registration, level: int, rank: int) -> Node:
    """Return the node that gives scopes of *level* what *registration* makes for a longer life."""
    return Node(registration, Maker(_same, SYNC, None, None, _same), SYNC, level, None, rank)


def highest(key: Hashable, layers: Sequence[Registry]) -> tuple[Registration, int] | None:
    """Return the highest registration of a single *key* in *layers*, and which of these it stands in."""
    for position, registry in enumerate(layers):
        entry = registry.entries.get(key)
        if isinstance(entry, Registration) and not entry.bare:
            return entry, position
    return None


def is_whole(entry: Registration | list[Registration] | None) -> bool:
    """
    Tell whether what an override says of a multi key is all of it.

    Members that have names stand for those alone, and what is a member beside a key of its own for that.
    """
    parts = isinstance(entry, list) and entry and all(one.named or one.member_of is not None for one in entry)
    return entry is not None and not parts


def with_names(lower: list[Node], higher: list[Node]) -> list[Node]:
    """
    Return the members of a multi key of two layers: one of the higher takes the place of that of its name, or of its own key.

    What is a member beside a key of its own means one value, in whichever layer it was said.
    """
    names = {node.registration.named: node for node in higher if node.registration.named}
    own = {node.registration.member_of: node for node in higher if node.registration.member_of is not None}
    found: dict[Node, None] = {}
    for node in lower:
        found[own.get(node.registration.member_of) or names.get(node.registration.named) or node] = None
    return list(found | dict.fromkeys(higher))


def collected(ask: Ask, members: tuple[Node, ...]) -> Target:
    """
    Return what hands over *members* of a multi key as a tuple, or those that have names by these, as *ask* wants it.

    Raises:
        Absent: None has a name.
        Ambiguous: Two modules use one name.
    """
    if ask.listed is tuple:
        return Target(LIST, nodes=members, value=tuple)
    named = tuple([node for node in members if node.registration.named])
    for node in named:
        if node.registration.rivals:
            raise Ambiguous(node.registration)
    if members and not named:
        if ask.listed is not dict:
            return Target(LIST, nodes=members)
        raise Absent(nameless(ask.key))
    return Target(LIST, nodes=named, value=tuple([node.registration.named[0] for node in named]))


def overridden(registration: Registration, owner: type) -> Maker:
    """Return the maker of a factory method as *owner* has it: a subclass may override it."""
    assert registration.attribute is not None
    own = inspect.getattr_static(owner, registration.attribute, None) if registration.attribute else None
    if own is registration.maker.written or not isinstance(own, (types.FunctionType, staticmethod)):
        return registration.maker
    return maker_of(own.__func__ if isinstance(own, staticmethod) else own)


def problems_of(node: Node, levels: Sequence[str], app: type, hooks: Sequence[str] = ()) -> tuple[Problem, ...]:
    """
    Return what is wrong with *node* by itself: a lifetime that *app* has no level for, a class that cannot be made.

    Args:
        hooks: The life-cycle methods that its service has of its own.
    """
    registration, cls = node.registration, node.maker.cls
    said: list[str] = []
    if cls is not None and hooks:
        from .._declare.hooks import misfit_hooks  # lazy import

        said.extend(misfit_hooks(cls, hooks))
    if node.level == CONTAINER_LEVEL and registration.lifetime != "singleton" and level_of(registration.lifetime, levels) is None:
        near = close_to(registration.lifetime, (*levels, "scoped", "transient"))
        meant = f"; did you mean {' or '.join(repr(str(name)) for name in near)}?" if near else ""
        said.append(
            f"{node.name} has the lifetime {name_of(str(registration.lifetime))}, and {name_of(app)} has no such "
            f"level (it has {', '.join(map(str, levels))} and transient){meant}"
        )
    if cls is None or type(cls) is type:
        pass
    elif getattr(cls, "_is_protocol", False):
        name = name_of(cls)
        said.append(f"{name} is a Protocol and cannot be made: register the class that implements it, @inject_dependency({name})")
    elif inspect.isabstract(cls):
        missing = ", ".join(sorted(getattr(cls, "__abstractmethods__", ())))
        said.append(f"{name_of(cls)} is abstract and cannot be made: it lacks {missing}")
    return tuple([Problem("plain", registration.key, hint=hint) for hint in said])


def default_of_others(node: Node, parameter: Parameter) -> tuple[Problem, ...]:
    """
    Return the problem, if it is one, of a default that another framework reads, as in ``db: Database = Depends(open_database)``.

    Whoever moves from there would get the mark itself in the place of a value.
    """
    kind = type(parameter.default)
    module = kind.__module__
    if not is_a(module, str) or not any(module == one or module.startswith(f"{one}.") for one in _MARKS):
        return ()
    why = f"the default of {node.name}.{parameter.name} is {kind.__name__}(...), which only {module.partition('.')[0]} reads"
    if parameter.ask is None:
        why += "; annotate it with what it needs"
    else:
        why = f"nothing provides {name_of(parameter.ask.key)}, and {why}"
    return (Problem("plain", node.key, parameter.name, why),)
