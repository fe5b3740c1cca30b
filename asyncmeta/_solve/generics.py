"""What do the type variables of an open generic stand for?"""

from __future__ import annotations

import types
import typing
from collections.abc import Hashable
from typing import Any

from .._declare.annotations import Parameter
from .._declare.keys import MISSING, Ask

__all__ = ["Binding", "bound_parameters", "open_key_of", "substitution"]

#: type variable -> what it stands for
Binding = dict[Any, Any]


def open_key_of(key: Hashable) -> tuple[Any, tuple[Any, ...]] | None:
    """Return the class and the arguments of a closed generic such as ``Repo[User]``; None for anything else."""
    origin = typing.get_origin(key)
    if not isinstance(origin, type) or not getattr(origin, "__parameters__", ()):
        return None
    return origin, typing.get_args(key)


def substitution(candidate: Any, origin: Any, arguments: tuple[Any, ...]) -> Binding | None:
    """
    Return the variables' values with which *candidate*, an open key, is ``origin[arguments]``; None where it is not.

    *candidate* is the class itself (all its variables open) or a form such as ``Repo[T]`` or ``Pair[int, T]``.
    """
    if candidate is origin:
        patterns: tuple[Any, ...] = origin.__parameters__
    elif typing.get_origin(candidate) is origin:
        patterns = typing.get_args(candidate)
        if not getattr(candidate, "__parameters__", ()):
            return None
    else:
        return None
    if len(patterns) != len(arguments):
        return None
    binding: Binding = {}
    if all(_match(pattern, argument, binding) for pattern, argument in zip(patterns, arguments, strict=True)):
        return binding
    return None


def _match(pattern: Any, argument: Any, binding: Binding) -> bool:
    if isinstance(pattern, typing.TypeVar):
        if pattern in binding:
            return bool(binding[pattern] == argument)
        if not within_bound(pattern, argument):
            return False
        binding[pattern] = argument
        return True
    if getattr(pattern, "__parameters__", ()):
        inner, given = typing.get_args(pattern), typing.get_args(argument)
        if typing.get_origin(pattern) is not typing.get_origin(argument) or len(inner) != len(given):
            return False
        return all(_match(one, other, binding) for one, other in zip(inner, given, strict=True))
    return bool(pattern == argument)


def within_bound(variable: Any, argument: Any) -> bool:
    """Tell whether *argument* may stand for *variable*."""
    constraints = variable.__constraints__
    if constraints:
        return argument in constraints
    bound = variable.__bound__
    if bound is None or isinstance(bound, str | typing.ForwardRef):
        return True
    cls = typing.get_origin(argument) or argument
    bound = typing.get_origin(bound) or bound
    if not isinstance(cls, type) or not isinstance(bound, type):
        return True
    try:
        return issubclass(cls, bound)
    except TypeError:  # a Protocol with data members: only a checker can tell
        return True


def replaced(form: Any, binding: Binding) -> Any:
    """Return *form* with its variables replaced."""
    if isinstance(form, typing.TypeVar):
        return binding.get(form, form)
    parameters = getattr(form, "__parameters__", ())
    if isinstance(form, type) and not isinstance(form, types.GenericAlias):
        return form  # an open class that is meant as it stands
    if not parameters:
        return form
    return form[tuple(binding.get(variable, variable) for variable in parameters)]


def bound_parameters(parameters: tuple[Parameter, ...], binding: Binding, cls: type | None) -> tuple[Parameter, ...]:
    """Return *parameters* with the variables in what they ask for replaced; ``type[T]`` is the argument itself."""
    if cls is not None:
        binding = inherited(cls, binding)
    fresh = []
    for parameter in parameters:
        ask = parameter.ask
        default = parameter.default
        if ask is not None:
            argument = _type_argument(ask, binding)
            if argument is not MISSING:
                ask, default = None, argument
            else:
                ask = _bound_ask(ask, binding)
        fresh.append(Parameter(parameter.name, parameter.kind, ask, default, parameter.named, parameter.unreadable))
    return tuple(fresh)


def _type_argument(ask: Ask, binding: Binding) -> Any:
    key = ask.keys[-1] if ask.keys else None
    if ask.kind == "value" and typing.get_origin(key) is type:
        inner = typing.get_args(key)[0]
        if getattr(inner, "__parameters__", ()) or isinstance(inner, typing.TypeVar):
            return replaced(inner, binding)
    return MISSING


def _bound_ask(ask: Ask, binding: Binding) -> Ask:
    inner = None if ask.inner is None else _bound_ask(ask.inner, binding)
    return Ask(ask.kind, tuple(replaced(key, binding) for key in ask.keys), ask.optional, ask.fallback, inner, ask.listed)


def inherited(cls: type, binding: Binding) -> Binding:
    """Return *binding* with the variables of generic bases, which an inherited constructor may name, added."""
    found = dict(binding)
    pending = [cls]
    while pending:
        for base in getattr(pending.pop(), "__orig_bases__", ()):
            origin = typing.get_origin(base)
            if origin is None or origin is typing.Generic or not isinstance(origin, type):
                continue
            for variable, argument in zip(getattr(origin, "__parameters__", ()), typing.get_args(base), strict=False):
                found.setdefault(variable, replaced(argument, found))
            pending.append(origin)
    return found
