"""What do the type variables of an open generic stand for?"""

from __future__ import annotations

import typing
from collections.abc import Hashable, Iterable
from typing import Any

from .._declare.annotations import Parameter
from .._declare.constructors import writes_init
from .._declare.forms import UNPACKS, all_substituted, default_of, is_union, own_arguments, substituted, substitution_of
from .._declare.handed import handed_up, variables_of_method
from .._declare.keys import MISSING, Ask, ask_for, plain_of
from .._declare.makers import Maker
from .._declare.texts import evaluator_of_module
from .._names import is_a, name_of, origin_of
from .generics import Binding, names_of, open_key_of, variables_of

__all__ = [
    "binding_of", "binding_of_call", "bound_in_method", "bound_parameters", "closed_by_defaults", "closing", "is_case_of",
    "match_all", "most_specific", "refusal", "substitution",
]  # fmt: skip


def closed_by_defaults(key: Any) -> Any:
    """Return what a generic class as it stands means where all of its variables have defaults; None for anything else."""
    plain: Any = plain_of(key)
    parameters = variables_of(plain) if is_a(plain, type) else ()
    if not parameters or any(default_of(one) is MISSING for one in parameters):
        return None
    binding = substitution_of(parameters, ())
    generic: Any = plain
    closed = substituted(generic[own_arguments(parameters)], binding)
    return typing.Annotated[(closed, *names_of(key))] if plain is not key else closed


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
        if best is None or is_case_of(candidate, best) or not is_case_of(best, candidate):
            best = candidate
    return best


def is_case_of(special: Any, general: Any) -> bool:
    """Tell whether the open or closed key *special* is one of those that *general*, an open one, serves."""
    special, general = plain_of(special), plain_of(general)
    origin = typing.get_origin(special) or special
    return substitution(general, None, origin, getattr(special, "__args__", variables_of(origin))) is not None


def _bound(candidate: Any, cls: type | None, origin: Any, arguments: tuple[Any, ...]) -> Binding | None:
    if candidate is origin:
        patterns = variables_of(origin)
    elif typing.get_origin(candidate) is origin and variables_of(candidate):
        patterns = candidate.__args__
    else:
        return None
    binding: Binding = {}
    if not match_all(patterns, arguments, binding):
        return None
    if cls is not None and variables_of(cls) and not (cls is candidate is origin):
        # A class that is registered under its base, or with variables of others: its own are those that it hands to the key.
        handed = variables_of(cls) if cls is origin else handed_up(cls, origin)
        if handed is not None:
            binding = {}
            if not match_all(handed, arguments, binding):
                return None
        elif candidate is origin and set(variables_of(cls)) != set(patterns):
            # Under a Protocol that it does not derive from: the same arguments in the same places.
            binding = {}
            if not match_all(variables_of(cls), arguments, binding):
                return None
    return binding


def match_all(patterns: tuple[Any, ...], arguments: tuple[Any, ...], binding: Binding) -> bool:
    many = next((at for at, one in enumerate(patterns) if _tuple_of(one) is not None), None)
    if many is None:
        return len(patterns) == len(arguments) and all(
            _match(pattern, argument, binding) for pattern, argument in zip(patterns, arguments, strict=True)
        )
    after = len(patterns) - many - 1
    taken = len(arguments) - many - after
    if taken < 0:
        return False
    variable, value = _tuple_of(patterns[many]), arguments[many : many + taken]
    if binding.setdefault(variable, value) != value:
        return False
    return match_all(patterns[:many], arguments[:many], binding) and match_all(
        patterns[many + 1 :], arguments[many + taken :], binding
    )


def _tuple_of(pattern: Any) -> Any:
    """Return the TypeVarTuple that *pattern* stands for, None for other patterns."""
    if isinstance(pattern, typing.TypeVarTuple):
        return pattern
    inner = typing.get_args(pattern) if typing.get_origin(pattern) in UNPACKS else ()
    return inner[0] if inner and isinstance(inner[0], typing.TypeVarTuple) else None


def _match(pattern: Any, argument: Any, binding: Binding) -> bool:
    if isinstance(pattern, typing.TypeVar | typing.ParamSpec):
        if pattern in binding:
            return bool(binding[pattern] == argument)
        if isinstance(pattern, typing.TypeVar) and not isinstance(argument, typing.TypeVar):
            _check_bound(pattern, argument)
        binding[pattern] = argument
        return True
    if isinstance(pattern, tuple):  # the parameters of a ParamSpec
        return isinstance(argument, tuple) and match_all(pattern, argument, binding)
    origin = typing.get_origin(pattern)
    if origin is None or not variables_of(pattern):
        return bool(pattern == argument)
    if is_union(pattern):
        return _match_union(pattern, argument, binding)
    if origin is not typing.get_origin(argument):
        return False
    if origin is typing.Annotated:
        return pattern.__metadata__ == argument.__metadata__ and _match(pattern.__origin__, argument.__origin__, binding)
    return match_all(pattern.__args__, argument.__args__, binding)


def _match_union(pattern: Any, argument: Any, binding: Binding) -> bool:
    """Match ``T | None``: what is open stands for the members that are left when what is closed has found its own."""
    members = typing.get_args(pattern)
    given = list(typing.get_args(argument)) if is_union(argument) else [argument]
    opened = [one for one in members if variables_of(one)]
    for one in members:
        if not variables_of(one):
            if one not in given:
                return False
            given.remove(one)
    for one in opened[:-1]:
        found = next((other for other in given if _match(one, other, binding)), MISSING)
        if found is MISSING:
            return False
        given.remove(found)
    return bool(given) and _match(opened[-1], typing.Union[tuple(given)], binding)  # noqa: UP007  # known only now


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
    if is_union(argument):
        return all(_fits(member, bound) for member in typing.get_args(argument))
    if is_union(bound):
        return any(_fits(argument, member) for member in typing.get_args(bound))
    cls, base = _class_of(argument), _class_of(bound)
    if not is_a(cls, type) or not is_a(base, type):
        return True
    try:
        return issubclass(cls, base)
    except TypeError:  # a Protocol with data members: only a checker can tell
        return True


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
    """Return *form* with its variables replaced; an open class is meant as it stands."""
    return substituted(form, binding)


def closing(cls: type, keys: Iterable[Hashable]) -> Binding | None:
    """Return what the variables of *cls* stand for where it is registered for a closed generic; None where it is not."""
    for key in keys if variables_of(cls) else ():
        opened = open_key_of(key)
        binding = None if opened is None else substitution(opened.origin, cls, opened.origin, opened.arguments)
        if binding is not None and all(one in binding for one in variables_of(cls)):
            return binding
    return None


def binding_of(form: Any, binding: Binding) -> Binding:
    """Return what the variables of a class stand for that is made by *form*, ``Repo[User]`` or, within *binding*, ``Repo[T]``."""
    return substitution_of(variables_of(typing.get_origin(form)), all_substituted(form.__args__, binding))


def binding_of_call(maker: Maker, owner: type | None, keys: Iterable[Hashable], binding: Binding | None) -> Binding | None:
    """
    Return what the variables in the parameters of what *maker* calls stand for; None where there are none.

    Args:
        owner: The class whose factory method it is.
        keys: The keys that it is registered for.
        binding: What the variables of the key that is asked for stand for.
    """
    if maker.form is not None:
        binding = binding_of(maker.form, binding or {})
    elif binding is None and maker.cls is not None:
        binding = closing(maker.cls, keys)
    return binding if owner is None and maker.variables is None else bound_in_method(maker, owner, binding)


def bound_in_method(maker: Maker, owner: type | None, binding: Binding | None) -> Binding | None:
    """Return *binding* with what the variables of a method's class stand for, where *owner* or the object has them from a base."""
    variables = maker.variables if owner is None or maker.function is None else variables_of_method(owner, maker.function)
    return binding if variables is None else {**variables, **(binding or {})}


def bound_parameters(parameters: tuple[Parameter, ...], binding: Binding, cls: type | None) -> tuple[Parameter, ...]:
    """Return *parameters* with the variables in what they ask for replaced; ``type[T]`` is the argument itself."""
    seen = binding if cls is None else _seen_by(cls, _writer_of_constructor(cls), binding)
    fresh = []
    for parameter in parameters:
        # A generated constructor (dataclass, attrs) repeats what the bases wrote, with their variables.
        here = seen if parameter.writer is None or cls is None else _seen_by(cls, parameter.writer, binding)
        ask, default, fixed = parameter.ask, parameter.default, parameter.fixed
        if ask is not None and here:
            argument = _type_argument(ask, here)
            if argument is not MISSING:
                ask, default, fixed = None, argument, True
            else:
                ask = _bound_ask(ask, here)
        bound = Parameter(parameter.name, parameter.kind, ask, default, parameter.named, parameter.unreadable, fixed)
        bound.marked = parameter.marked
        fresh.append(bound)
    return tuple(fresh)


def _type_argument(ask: Ask, binding: Binding) -> Any:
    key = ask.keys[-1] if ask.keys else None
    if ask.kind == "value" and origin_of(key) is type:
        inner = typing.get_args(key)[0]
        if variables_of(inner):
            argument = replaced(inner, binding)
            return MISSING if variables_of(argument) and not is_a(argument, type) else argument
    return MISSING


def _bound_ask(ask: Ask, binding: Binding) -> Ask:
    if ask.inner is not None:
        return ask.but(inner=_bound_ask(ask.inner, binding))
    if not any(map(variables_of, map(plain_of, ask.keys))):
        return ask
    if ask.kind != "value":
        return ask.but(keys=tuple([replaced(key, binding) for key in ask.keys]))
    # What a variable stands for may be optional, or named: it is asked for as if it were written there.
    found = [ask_for(replaced(key, binding)) for key in ask.keys]
    keys = tuple(dict.fromkeys([key for one in found for key in one.keys]))
    about = MISSING if ask.about is MISSING else found[ask.keys.index(ask.about)].keys[0]
    return ask.but(keys=keys, optional=ask.optional or found[0].optional, about=about)


def _writer_of_constructor(cls: type) -> type:
    """Return the class whose body wrote the constructor of *cls*."""
    owner = next((base for base in cls.__mro__ if writes_init(base)), object)
    return next(base for base in cls.__mro__ if "__new__" in vars(base)) if owner is object else owner


def _seen_by(cls: type, writer: type, binding: Binding) -> Binding:
    """Return what the variables that *writer*, a base of *cls*, names stand for."""
    if writer is cls:
        return binding
    handed = handed_up(cls, writer)
    if handed is None:
        return {}
    return substitution_of(variables_of(writer), all_substituted(handed, binding))
