"""What do the type variables of an open generic stand for?"""

from __future__ import annotations

import types
import typing
from collections.abc import Hashable, Iterable
from typing import Any, Final

from .._declare.annotations import Parameter
from .._declare.keys import MISSING, Ask
from .._declare.texts import evaluator_of_module
from .._names import name_of

__all__ = [
    "DEEPEST",
    "Binding",
    "bound_parameters",
    "depth_of",
    "is_open",
    "most_specific",
    "open_key_of",
    "refusal",
    "substitution",
    "variables_of",
]

#: type variable -> what it stands for
Binding = dict[Any, Any]

#: A generic within a generic, deeper than anybody writes by hand: it needs itself with an ever longer argument.
DEEPEST: Final = 32


def variables_of(form: Any) -> tuple[Any, ...]:
    """Return the type variables that stand in *form*, or that a generic class leaves open."""
    if isinstance(form, typing.TypeVar):
        return (form,)
    if not isinstance(form, type) and typing.get_origin(form) is None:
        return ()
    found = getattr(form, "__parameters__", ())
    return found if isinstance(found, tuple) else ()


def is_open(key: Hashable) -> bool:
    """Tell whether *key*, of a registration, is an open generic: a generic class as it stands, or a form such as ``Repo[T]``."""
    return bool(variables_of(key))


def open_key_of(key: Hashable) -> tuple[Any, tuple[Any, ...]] | None:
    """Return the class and the arguments of a closed generic such as ``Repo[User]``; None for anything else."""
    origin = typing.get_origin(key)
    if not isinstance(origin, type) or not variables_of(origin) or variables_of(key):
        return None
    return origin, typing.get_args(key)


def depth_of(form: Any) -> int:
    """Return how deep generics are nested in *form*."""
    depth, layer = 0, [form]
    while layer := [argument for one in layer for argument in typing.get_args(one)]:
        depth += 1
        if depth > DEEPEST:
            break
    return depth


# --- which open generic serves a closed one -----------------------------------------------------------


class _Refused(Exception):
    """An argument is outside of a variable's bound; never leaves this room."""


def substitution(candidate: Any, cls: type | None, origin: Any, arguments: tuple[Any, ...]) -> Binding | None:
    """
    Return the variables' values with which *candidate*, an open key, is ``origin[arguments]``; None where it is not.

    Args:
        candidate: The class itself (all its variables open) or a form such as ``Repo[T]`` or ``Pair[int, T]``.
        cls: The class that is built, whose own variables are found, too; None for a function.
        origin: The generic class that is asked for.
        arguments: Its arguments.
    """
    try:
        return _bound(candidate, cls, origin, arguments)
    except _Refused:
        return None


def refusal(candidate: Any, cls: type | None, origin: Any, arguments: tuple[Any, ...]) -> str:
    """Return why *candidate* does not serve ``origin[arguments]`` although its form fits; "" where that is not so."""
    try:
        _bound(candidate, cls, origin, arguments)
    except _Refused as refused:
        return str(refused)
    return ""


def most_specific(candidates: Iterable[Any]) -> Any:
    """Return the one of several open keys that all serve one closed key which says most; the last one where none does."""
    best: Any = None
    for candidate in candidates:
        if best is None or _is_case_of(candidate, best) or not _is_case_of(best, candidate):
            best = candidate
    return best


def _is_case_of(special: Any, general: Any) -> bool:
    origin = typing.get_origin(special) or special
    return substitution(general, None, origin, typing.get_args(special) or origin.__parameters__) is not None


def _bound(candidate: Any, cls: type | None, origin: Any, arguments: tuple[Any, ...]) -> Binding | None:
    if candidate is origin:
        patterns = variables_of(origin)
    elif typing.get_origin(candidate) is origin and variables_of(candidate):
        patterns = typing.get_args(candidate)
    else:
        return None
    binding: Binding = {}
    if len(patterns) != len(arguments):
        return None
    if not all(_match(pattern, argument, binding) for pattern, argument in zip(patterns, arguments, strict=True)):
        return None
    if cls is not None and cls is not origin and variables_of(cls):
        # A class that is registered under its base: its own variables are those that it hands to the base.
        handed = _handed_up(cls, origin)
        if handed is not None:
            binding = {}
            if not all(_match(pattern, argument, binding) for pattern, argument in zip(handed, arguments, strict=True)):
                return None
    return binding


def _match(pattern: Any, argument: Any, binding: Binding) -> bool:
    if isinstance(pattern, typing.TypeVar):
        if pattern in binding:
            return bool(binding[pattern] == argument)
        if not isinstance(argument, typing.TypeVar):
            _check_bound(pattern, argument)
        binding[pattern] = argument
        return True
    if variables_of(pattern) and typing.get_origin(pattern) is not None:
        inner, given = typing.get_args(pattern), typing.get_args(argument)
        if typing.get_origin(pattern) is not typing.get_origin(argument) or len(inner) != len(given):
            return False
        return all(_match(one, other, binding) for one, other in zip(inner, given, strict=True))
    return bool(pattern == argument)


def _handed_up(cls: type, origin: type) -> tuple[Any, ...] | None:
    """Return what *cls* hands to its base *origin*, in terms of its own variables; None where that is no base of it."""
    pending: list[tuple[type, Binding]] = [(cls, {})]
    while pending:
        here, known = pending.pop()
        for base in getattr(here, "__orig_bases__", ()):
            root = typing.get_origin(base)
            if not isinstance(root, type) or root is typing.Generic:
                continue
            arguments = tuple(replaced(argument, known) for argument in typing.get_args(base))
            if root is origin:
                return arguments
            pending.append((root, dict(zip(variables_of(root), arguments, strict=False))))
    return None


# --- bounds -----------------------------------------------------------------------------------------


def _check_bound(variable: Any, argument: Any) -> None:
    """
    See to it that *argument* may stand for *variable*; what only a type checker can tell is allowed.

    Raises:
        _Refused: It may not.
    """
    constraints = variable.__constraints__
    if constraints:
        if argument not in constraints:
            allowed = ", ".join(name_of(one) for one in constraints)
            raise _Refused(f"{variable.__name__} is one of {allowed}, and not {name_of(argument)}")
        return
    bound = _bound_of(variable)
    if bound is not None and not _fits(argument, bound):
        raise _Refused(f"{variable.__name__} has to be a {name_of(bound)}, and {name_of(argument)} is not")


def _bound_of(variable: Any) -> Any:
    """Return the bound, read where the variable was written; None where there is none or it cannot be read."""
    try:
        bound = variable.__bound__
    except Exception:  # PEP 695 bounds are evaluated late, and may name anything
        return None
    if isinstance(bound, typing.ForwardRef):
        bound = bound.__forward_arg__
    if isinstance(bound, str):
        try:
            return evaluator_of_module(variable.__module__)(bound)
        except Exception:
            return None
    return bound


def _fits(argument: Any, bound: Any) -> bool:
    if argument is Any:
        return True
    if _is_union(argument):
        return all(_fits(member, bound) for member in typing.get_args(argument))
    if _is_union(bound):
        return any(_fits(argument, member) for member in typing.get_args(bound))
    cls, base = _class_of(argument), _class_of(bound)
    if not isinstance(cls, type) or not isinstance(base, type):
        return True
    try:
        return issubclass(cls, base)
    except TypeError:  # a Protocol with data members: only a checker can tell
        return True


def _is_union(form: Any) -> bool:
    origin = typing.get_origin(form)
    return origin is typing.Union or origin is types.UnionType


def _class_of(form: Any) -> Any:
    """Return the class behind a generic alias, a NewType, an ``Annotated`` or a ``type`` statement."""
    while True:
        if typing.get_origin(form) is typing.Annotated:
            form = typing.get_args(form)[0]
        elif hasattr(form, "__supertype__"):
            form = form.__supertype__
        elif hasattr(form, "__value__"):
            form = form.__value__
        else:
            return typing.get_origin(form) or form


# --- what the factory then asks for -------------------------------------------------------------------


def replaced(form: Any, binding: Binding) -> Any:
    """Return *form* with its variables replaced."""
    if isinstance(form, typing.TypeVar):
        return binding.get(form, form)
    if typing.get_origin(form) is None:
        return form  # an open class is meant as it stands
    parameters = variables_of(form)
    if not parameters:
        return form
    return form[tuple(binding.get(variable, variable) for variable in parameters)]


def bound_parameters(parameters: tuple[Parameter, ...], binding: Binding, cls: type | None) -> tuple[Parameter, ...]:
    """Return *parameters* with the variables in what they ask for replaced; ``type[T]`` is the argument itself."""
    if cls is not None:
        binding = _seen_by_constructor(cls, binding)
    fresh = []
    for parameter in parameters:
        ask, default, fixed = parameter.ask, parameter.default, parameter.fixed
        if ask is not None:
            argument = _type_argument(ask, binding)
            if argument is not MISSING:
                ask, default, fixed = None, argument, True
            else:
                ask = _bound_ask(ask, binding)
        fresh.append(Parameter(parameter.name, parameter.kind, ask, default, parameter.named, parameter.unreadable, fixed))
    return tuple(fresh)


def _type_argument(ask: Ask, binding: Binding) -> Any:
    key = ask.keys[-1] if ask.keys else None
    if ask.kind == "value" and typing.get_origin(key) is type:
        inner = typing.get_args(key)[0]
        if variables_of(inner):
            argument = replaced(inner, binding)
            return MISSING if variables_of(argument) and not isinstance(argument, type) else argument
    return MISSING


def _bound_ask(ask: Ask, binding: Binding) -> Ask:
    inner = None if ask.inner is None else _bound_ask(ask.inner, binding)
    return Ask(ask.kind, tuple(replaced(key, binding) for key in ask.keys), ask.optional, ask.fallback, inner, ask.listed)


def _seen_by_constructor(cls: type, binding: Binding) -> Binding:
    """Return what the variables that *cls*'s constructor names stand for, where a base class wrote it and may mean others."""
    owner = next((base for base in cls.__mro__ if "__init__" in vars(base)), object)
    if owner is object:
        owner = next(base for base in cls.__mro__ if "__new__" in vars(base))
    if owner is not cls and owner is not object:
        handed = _handed_up(cls, owner)
        if handed is not None:
            binding = dict(zip(variables_of(owner), [replaced(argument, binding) for argument in handed], strict=False))
            cls = owner
    # A generated constructor (dataclass) repeats what the bases wrote, with their variables.
    found = dict(binding)
    pending = [cls]
    while pending:
        for base in getattr(pending.pop(), "__orig_bases__", ()):
            origin = typing.get_origin(base)
            if origin is None or origin is typing.Generic or not isinstance(origin, type):
                continue
            for variable, argument in zip(variables_of(origin), typing.get_args(base), strict=False):
                found.setdefault(variable, replaced(argument, found))
            pending.append(origin)
    return found
