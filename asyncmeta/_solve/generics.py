"""Is it generic, and which of its type variables are open?"""

from __future__ import annotations

import types
import typing
from collections.abc import Hashable
from typing import Any, Final

from .._declare.keys import plain_of
from .._names import is_a, origin_of

__all__ = ["DEEPEST", "Binding", "Opened", "depth_of", "frozen", "is_open", "names_of", "open_key_of", "quoted_in", "variables_of"]

#: type variable -> what it stands for
Binding = dict[Any, Any]

#: A generic within a generic, deeper than anybody writes by hand: it needs itself with an ever longer argument.
DEEPEST: Final = 32


_VARIABLES = (typing.TypeVar, typing.ParamSpec, typing.TypeVarTuple)


def variables_of(form: Any) -> tuple[Any, ...]:
    """Return the type variables that stand in *form*, or that a generic class leaves open."""
    if issubclass(type(form), _VARIABLES):
        return (form,)
    if not is_a(form, type) and origin_of(form) is None:
        return ()
    found = getattr(form, "__parameters__", ())
    return found if isinstance(found, tuple) else ()


def is_open(key: Hashable) -> bool:
    """Tell whether *key*, of a registration, is an open generic: a generic class as it stands, or a form such as ``Repo[T]``."""
    if type(key) is type:
        return bool(getattr(key, "__parameters__", ()))
    return bool(variables_of(plain_of(key)))


class Opened:
    """A closed generic: what it is one of, and with which arguments."""

    __slots__ = ("arguments", "names", "origin")

    def __init__(self, origin: Any, arguments: tuple[Any, ...], names: tuple[Any, ...]) -> None:
        self.origin = origin
        self.arguments = arguments
        self.names = names  #: what stands around it: "main" of ``Annotated[Repo[User], "main"]``


#: Origins that are classes, in one Python or another, and none of anybody's; `typing.Generic` is its own.
_NO_CLASSES = (typing.Union, types.UnionType, typing.Generic)


def open_key_of(key: Hashable) -> Opened | None:
    """Return the class and the arguments of a closed generic such as ``Repo[User]``; None for anything else."""
    plain: Any = plain_of(key)
    origin = origin_of(plain)
    if not is_a(origin, type) or origin in _NO_CLASSES or variables_of(plain) or quoted_in(plain):
        return None
    return Opened(origin, plain.__args__, names_of(key))


def quoted_in(form: Any) -> str:
    """Return the name in quotes that a token such as ``Repo["User"]`` has as its argument: it names nothing; else ""."""
    if is_a(form, typing.ForwardRef):
        return form.__forward_arg__
    for one in () if origin_of(form) in (None, typing.Literal) else typing.get_args(form):
        if isinstance(one, str | typing.ForwardRef):
            return one if isinstance(one, str) else one.__forward_arg__
    return ""


def names_of(key: Any) -> tuple[Any, ...]:
    """Return what names a key beside its type."""
    return key.__metadata__ if origin_of(key) is typing.Annotated else ()


def depth_of(form: Any) -> int:
    """Return how deep generics are nested in *form*."""
    depth, layer = 0, [form]
    while layer := [argument for one in layer for argument in typing.get_args(one)]:
        depth += 1
        if depth > DEEPEST:
            break
    return depth


def frozen(binding: Binding) -> Hashable:
    """Return what tells bindings apart."""
    return frozenset(binding.items())
