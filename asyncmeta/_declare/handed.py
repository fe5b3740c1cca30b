"""What do the type variables of a generic class stand for in what derives from it?"""

from __future__ import annotations

import typing
from typing import Any

from .._names import is_a
from .forms import all_substituted, normal, own_arguments, substitution_of
from .texts import evaluator_of_class

__all__ = ["handed_up", "variables_of_method"]

#: type variable -> what it stands for
_Binding = dict[Any, Any]


def _parameters_of(cls: Any) -> tuple[Any, ...]:
    found = getattr(cls, "__parameters__", ())
    return found if isinstance(found, tuple) else ()


def handed_up(cls: type, origin: type) -> tuple[Any, ...] | None:
    """Return what *cls* hands to its base *origin*, in terms of its own variables; None where that is no base of it."""
    pending: list[tuple[type, _Binding]] = [(cls, {})]
    while pending:
        here, known = pending.pop()
        for base in vars(here).get("__orig_bases__", here.__bases__):
            root = typing.get_origin(base) or base
            if not is_a(root, type) or root is typing.Generic or root is object:
                continue
            parameters = _parameters_of(root)
            arguments = () if root is base else base.__args__
            if any(map(_refers, arguments)):
                arguments = normal(base, evaluator_of_class(here)).__args__
            binding = substitution_of(parameters, all_substituted(arguments, known))
            if root is origin:  # a base that stands without arguments means its defaults
                said = root is not base or all(one in binding for one in parameters)
                return all_substituted(own_arguments(parameters), binding) if said else None
            pending.append((root, binding))
    return None


def _refers(form: Any) -> bool:
    """Tell whether a name in quotes stands in *form*."""
    return is_a(form, str) or is_a(form, typing.ForwardRef) or any(map(_refers, typing.get_args(form)))


def variables_of_method(of: Any, function: Any) -> _Binding | None:
    """
    Return what the variables of the class that wrote *function* stand for in *of*; None where nothing says it.

    Args:
        of: The object, or the class, that the function is a method of.
    """
    cls: Any = of if is_a(of, type) else type(of)
    if typing.Generic not in cls.__mro__:
        return None
    form: Any = cls if cls is of else getattr(of, "__orig_class__", cls)  # Maker[int]() remembers what it was made as
    written_in = function.__qualname__.rpartition(".")[0]
    writer = next((base for base in cls.__mro__ if base.__qualname__ == written_in), cls)
    handed = own_arguments(_parameters_of(cls)) if writer is cls else handed_up(cls, writer)
    if not handed:
        return None
    own = substitution_of(_parameters_of(cls), form.__args__) if form is not cls else {}
    found = substitution_of(_parameters_of(writer), all_substituted(handed, own))
    return {one: value for one, value in found.items() if one is not value} or None
