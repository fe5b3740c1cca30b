"""What can be made only with arguments, by a Factory, and who asks for it otherwise?"""

from __future__ import annotations

import typing
from collections import abc
from collections.abc import Hashable, Iterable, Set
from enum import Enum
from types import UnionType
from typing import Union

from .._names import is_a, name_of, origin_of
from .nodes import Node, Problem

__all__ = ["asked_plainly", "factory_of", "is_argument", "takes_arguments"]


def is_argument(node: Node, problem: Problem) -> bool:
    """Tell whether what nothing provides may be meant to be handed in by the caller of a Factory."""
    return problem.kind == "argument" and (node.asked_with_arguments or (not problem.hint and _is_data(problem.key)))


def takes_arguments(node: Node) -> bool:
    """Tell whether only a Factory can make *node*: nothing provides some of its parameters."""
    return bool(node.problems) and any(problem.kind == "argument" for problem in node.problems)


#: Whose types are data: nobody registers the one integer of a program.
_OF_DATA = frozenset({"builtins", "datetime", "decimal", "fractions", "ipaddress", "pathlib", "uuid", "zoneinfo"})
_OF_MANY = frozenset({abc.Sequence, abc.Mapping, abc.Set, abc.Collection, abc.Iterable})


def _is_data(key: Hashable) -> bool:
    origin = origin_of(key)
    if origin is typing.Literal:
        return True
    if origin is Union or origin is UnionType:
        return all(map(_is_data, typing.get_args(key)))
    while is_a(key, typing.NewType):
        key = key.__supertype__
    cls = key if origin is None else origin
    if not is_a(cls, type) or cls is type:
        return False
    return cls.__module__.partition(".")[0] in _OF_DATA or cls in _OF_MANY or issubclass(cls, Enum)


def asked_plainly(reached: Iterable[Node], starts: Iterable[Node]) -> Set[Node]:
    """Return what is asked for as it is: *starts*, and what edges lead to that are no Factory's."""
    asked = set(starts)
    for node in reached:
        for edges in (node.edges, node.deferred):
            for edge in edges:
                if not edge.target.makes:
                    asked.update(edge.target.each())
    return asked | {node.constructed for node in asked if node.constructed is not None}


def factory_of(node: Node) -> str:
    """Return how a Factory of *node* is asked for."""
    made = node.maker.cls
    if node.binding is not None or is_a(node.key, type):
        return f"Factory[{name_of(node.key)}]"
    return f"Annotated[Factory[{'...' if made is None else name_of(made)}], Inject({name_of(node.key)})]"
