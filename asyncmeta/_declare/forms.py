"""What does a written form mean?  One normal form for all spellings that type checkers take for the same."""

from __future__ import annotations

import collections.abc
import contextlib
import types
import typing
from collections.abc import Iterable
from enum import Enum
from typing import Annotated, Any

from .._compat import ReadOnly, Unpack, is_alias, referred
from .._names import is_a, origin_of
from .texts import Evaluate, evaluator_for, evaluator_of_module, names_of_module
from .tokens import MISSING, Factory, Inject, Lazy, Named, Token, _Collect

__all__ = [
    "UNPACKS", "all_substituted", "default_of", "is_inject", "is_name", "is_union", "normal", "own_arguments",
    "substituted", "substitution_of", "token_of", "with_own_variables", "without_names",
]  # fmt: skip

#: What may stand around a type and says nothing about which one it is.
_QUALIFIERS = (typing.ClassVar, typing.Final, typing.Required, typing.NotRequired, ReadOnly)

#: The star before a TypeVarTuple is typing's, also where typing_extensions has one of its own (CPython 3.11).
UNPACKS: tuple[Any, ...] = (typing.Unpack, Unpack)

_CALLABLE: Any = collections.abc.Callable  # made here of forms that are known at run time only
_alias_of: Any = types.GenericAlias

#: Last arguments that may be left out: ``Generator[int]`` is ``Generator[int, None, None]``.
_LEFT_OUT: dict[Any, tuple[Any, ...]] = {
    collections.abc.Generator: (type(None), type(None)),
    collections.abc.AsyncGenerator: (type(None),),
    contextlib.AbstractContextManager: (bool | None,),
    contextlib.AbstractAsyncContextManager: (bool | None,),
}


class Member:
    """A member of an Enum that equals other things (IntEnum), as a name: it is that member and nothing else."""

    __slots__ = ("member",)

    def __init__(self, member: Enum) -> None:
        self.member = member

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Member) and self.member is other.member

    def __hash__(self) -> int:
        return hash((Member, type(self.member), self.member.name))

    def __repr__(self) -> str:
        return f"{type(self.member).__qualname__}.{self.member.name}"


def normal(form: Any, evaluate: Evaluate | None = None, me: type | None = None) -> Any:
    """
    Return the normal form of *form*: the same object or an equal one for all spellings that mean the same.

    Aliases (``type`` statements) stand for what they name, `typing`'s names for those of `collections` and of the
    built-ins, qualifiers are taken off, and of what stands in ``Annotated`` only that is kept which names something:
    strings, members of Enums, tokens and marks.  The normal form of a normal form is itself.

    Args:
        evaluate: Reads forward references inside of the form; without it they stay what they are.
        me: What ``Self`` means.

    Raises:
        Exception: Whatever evaluating a user's text may raise.
    """
    if type(form) is type:
        return form
    return _Reading(evaluate, me, ()).of(form)


def without_names(form: Any) -> Any:
    """Return *form*, a normal one, without the names that stand inside of it: of ``list[Annotated[int, "a"]]`` list[int]."""
    return _Reading(None, None, (), named=False).of(form)


def with_own_variables(token: Any) -> Any:
    """Return a generic alias that stands without arguments with its own variables: what is registered under it serves all."""
    parameters = token.__type_params__ if is_alias(token) else ()
    return token[own_arguments(parameters)] if parameters else token


def own_arguments(parameters: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return type variables as the arguments of what has them."""
    return tuple([Unpack[one] if _is_many(one) else one for one in parameters])


def is_union(form: Any) -> bool:
    origin = origin_of(form)
    return origin is typing.Union or origin is types.UnionType


def is_name(mark: object) -> bool:
    """Tell whether *mark*, of an ``Annotated``, names the value: ``Annotated[Engine, "replica"]``."""
    return isinstance(mark, str | Enum | Member)


def token_of(mark: Any) -> Any:
    """Return the token that *mark*, of an ``Annotated``, says instead of the type; MISSING where it says none."""
    if type(mark) is Token:
        return mark
    return mark.token if is_inject(mark) else MISSING


def is_foreign_inject(mark: object) -> bool:
    """Recognise the marker of a real Ascender installation by its shape, without importing it."""
    kind = type(mark)
    return kind.__name__ == "InjectionMetadata" and hasattr(mark, "token") and hasattr(mark, "fallback")


def is_inject(mark: object) -> bool:
    return type(mark) is Inject or is_foreign_inject(mark)


def counts(mark: object) -> bool:
    """Tell whether *mark* says anything about what is asked for; documentation, units and validators do not."""
    return is_name(mark) or type(mark) in (Token, _Collect) or is_inject(mark) or mark is Inject


class _Recursive(Exception):
    """An alias stands within itself; never leaves this room."""

    def __init__(self, alias: Any) -> None:
        self.alias = alias


class _Reading:
    """One reading of a form, with what its texts are read by, and the aliases that are being followed."""

    __slots__ = ("evaluate", "following", "me", "named")

    def __init__(self, evaluate: Evaluate | None, me: type | None, following: tuple[Any, ...], named: bool = True) -> None:
        self.evaluate, self.me, self.following = evaluate, me, following
        self.named = named  #: keep names, and marks

    def of(self, form: Any) -> Any:
        origin = origin_of(form)
        if origin is None:
            return self._plain(form)
        if origin is Annotated:
            return self._annotated(form)
        if origin is typing.Union or origin is types.UnionType:
            return self._union(form)
        if is_alias(origin):
            return self._alias(origin, typing.get_args(form))
        if origin in _QUALIFIERS:
            return self.argument(typing.get_args(form)[0])
        if origin is typing.Literal:
            return _without_none(form)
        if origin is typing.Generic:
            return form
        if getattr(form, "__unpacked__", False):
            return typing.Unpack[self.of(_alias_of(origin, form.__args__))]
        if origin in UNPACKS and not _is_many(inner := typing.get_args(form)[0]):
            return typing.Unpack[self.argument(inner)]
        arguments = getattr(form, "__args__", None)
        if arguments is None:  # typing.List as it stands
            return origin
        if origin is collections.abc.Callable:
            return self._callable(form)
        return self._generic(form, origin, arguments)

    def argument(self, form: Any, *, marked: bool = True) -> Any:
        """Return the normal form of what stands inside of another one."""
        if form is None:
            return type(None)
        if isinstance(form, str):
            return form if self.evaluate is None else self.argument(self.evaluate(form), marked=marked)
        if isinstance(form, list):
            return list(_spread(tuple([self.argument(one, marked=False) for one in form])))
        if isinstance(form, tuple):
            return tuple([self.argument(one, marked=False) for one in form])
        found = self.of(form)
        return found if marked or typing.get_origin(found) is not Annotated else _unmarked(found)

    def _plain(self, form: Any) -> Any:
        if is_alias(form):
            return self._alias(form, None)
        if is_a(form, typing.ForwardRef):
            return self._reference(form)
        if form is typing.Self and self.me is not None:
            parameters = getattr(self.me, "__parameters__", ())
            return self.me[own_arguments(parameters)] if parameters else self.me  # type: ignore[index]  # a generic class
        if is_a(form, type) and form.__module__ == "typing_extensions":
            return getattr(typing, form.__name__, form)  # a Protocol that is made a second time for older Pythons
        if type(form).__name__ == "InitVar" and type(form).__module__ == "dataclasses":
            return self.argument(form.type)
        return form

    def _reference(self, reference: typing.ForwardRef) -> Any:
        module = getattr(reference, "__forward_module__", None)
        if module is not None:
            evaluate = evaluator_of_module(module if isinstance(module, str) else module.__name__)
            return self.argument(referred(reference, evaluate))
        return reference if self.evaluate is None else self.argument(referred(reference, self.evaluate))

    def _annotated(self, form: Any) -> Any:
        inner = self.argument(form.__origin__)
        if not self.named:
            return inner
        marks = tuple([self._mark(mark) for mark in form.__metadata__ if counts(mark)])
        if inner is form.__origin__ and len(marks) == len(form.__metadata__) and all(map(_is, marks, form.__metadata__)):
            return form
        return Annotated[(inner, *marks)] if marks else inner

    def _mark(self, mark: Any) -> Any:
        if type(mark) is Inject and is_a(mark.token, typing.ForwardRef) and self.evaluate is not None:
            # Not defined yet when the mark was made (CPython 3.14).
            return Inject(referred(mark.token, self.evaluate), mark.fallback)
        if mark is Inject:  # as it stands it is the empty mark
            return Inject()
        if is_a(mark, Enum) and not is_a(mark, str) and type(mark).__eq__ is not object.__eq__:
            return Member(mark)
        return mark

    def _union(self, form: Any) -> Any:
        arguments = typing.get_args(form)
        fresh = _one_literal(tuple([self.argument(argument) for argument in arguments]))
        same = len(fresh) == len(arguments) and all(map(_is, fresh, arguments))
        return form if same else typing.Union[fresh]  # noqa: UP007  # the members are known only now

    def _callable(self, form: Any) -> Any:
        taken, given = typing.get_args(form)
        if isinstance(taken, list):
            taken = self.argument(taken, marked=False)
        elif typing.get_origin(taken) is typing.Concatenate:
            taken = typing.Concatenate[tuple([one if one is ... else self.argument(one, marked=False) for one in taken.__args__])]
        # Else it is `...`, or a ParamSpec.
        return _CALLABLE[taken, self.argument(given, marked=False)]

    def _generic(self, form: Any, origin: Any, arguments: tuple[Any, ...]) -> Any:
        handle = origin is Lazy or origin is Factory or origin is Named
        fresh = _spread(tuple([self.argument(argument, marked=handle) for argument in arguments]))
        parameters = getattr(origin, "__parameters__", ())
        if isinstance(parameters, tuple) and any(default_of(one) is not MISSING for one in parameters):
            fresh = _padded(parameters, fresh)
        left_out = _LEFT_OUT.get(origin)
        while left_out is not None and 1 < len(fresh) <= 1 + len(left_out) and fresh[-1] == left_out[len(fresh) - 2]:
            fresh = fresh[:-1]
        ours = isinstance(form, types.GenericAlias)
        if not ours and isinstance(origin, type) and not issubclass(origin, typing.Generic):
            return _alias_of(origin, fresh)  # typing.List[X]
        if len(fresh) == len(arguments) and all(map(_is, fresh, arguments)):
            return form
        return _alias_of(origin, fresh) if ours else form.copy_with(fresh)

    # --- aliases ---

    def _alias(self, alias: Any, arguments: tuple[Any, ...] | None) -> Any:
        if alias in self.following:
            raise _Recursive(alias)
        try:
            return self._followed(alias, arguments)
        except _Recursive as met:
            if met.alias is not alias:
                raise
        # It holds itself and cannot be written out: it stands for itself.
        return alias if arguments is None else alias[tuple([self.argument(argument) for argument in arguments])]

    def _followed(self, alias: Any, arguments: tuple[Any, ...] | None) -> Any:
        parameters = alias.__type_params__
        evaluate = evaluator_for(names_of_module(alias.__module__), {one.__name__: one for one in parameters})
        try:
            value = alias.__value__
        except NameError:  # it names what only checkers import
            from .guarded import alias_text  # lazy import

            text = alias_text(alias.__module__, alias.__name__)
            if not text:
                raise
            value = evaluate(text)
        found = _Reading(evaluate, None, (*self.following, alias)).argument(value)
        if not parameters:
            return found
        given = tuple([self.argument(argument) for argument in arguments or ()])
        binding = substitution_of(parameters, given)
        for one in parameters:
            nothing: Any = () if isinstance(one, typing.TypeVarTuple) else ... if isinstance(one, typing.ParamSpec) else Any
            binding.setdefault(one, nothing)
        return self.argument(substituted(found, binding))


def _is(one: object, other: object) -> bool:
    return one is other


def _without_none(form: Any) -> Any:
    """Return a ``Literal`` with None, which is a type, beside it."""
    given = typing.get_args(form)
    rest = tuple([one for one in given if one is not None])
    if len(rest) == len(given):
        return form
    return typing.Optional[typing.Literal[rest]] if rest else type(None)  # noqa: UP045  # what is said is known only now


def _one_literal(members: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the members of a union with what its ``Literal``s say in one of them."""
    literals = [one for one in members if origin_of(one) is typing.Literal]
    # A union within one of them, or an optional Literal, is spread out by the union itself.
    if len(literals) < 2 and not (literals and any(map(is_union, members))):
        return members
    spread = [each for one in members for each in (typing.get_args(one) if is_union(one) else (one,))]
    rest = tuple([one for one in spread if origin_of(one) is not typing.Literal])
    said = tuple([value for one in spread if origin_of(one) is typing.Literal for value in typing.get_args(one)])
    return typing.Literal[said], *rest


def _spread(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return arguments with those of a star before a tuple in their places: of ``int, *tuple[str, bytes]`` int, str, bytes."""
    for at, one in enumerate(arguments):
        if origin_of(one) not in UNPACKS:
            continue
        inner = typing.get_args(one)[0]
        given = typing.get_args(inner)
        if origin_of(inner) is tuple and given[1:] != (...,):
            return _spread((*arguments[:at], *given, *arguments[at + 1 :]))
    return arguments


def _unmarked(form: Any) -> Any:
    """Return ``X`` of ``From[X]``, within another form: the empty mark says nothing there."""
    marks = tuple([mark for mark in form.__metadata__ if not (type(mark) is Inject and mark.token is MISSING)])
    return Annotated[(form.__origin__, *marks)] if marks else form.__origin__


# --- type variables -----------------------------------------------------------------------------------


def default_of(variable: Any) -> Any:
    """Return the default of a type variable (PEP 696), MISSING where it has none."""
    has = getattr(variable, "has_default", None)
    return variable.__default__ if has is not None and has() else MISSING


def _is_many(variable: Any) -> bool:
    return isinstance(variable, typing.TypeVarTuple)


def _padded(parameters: tuple[Any, ...], arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return *arguments* with the defaults of the variables that have none; as they are where a variable has no default."""
    if any(map(_is_many, parameters)):
        return arguments
    found = list(arguments)
    binding = dict(zip(parameters, arguments, strict=False))
    for at, variable in enumerate(parameters):
        default = default_of(variable)
        if default is MISSING:
            if at >= len(found):
                return arguments
            continue
        default = _normal_default(default)
        # `typing` puts defaults in as they are, and one may name other variables: Cache[str, list[K]] is meant as list[str].
        if at >= len(found) or found[at] == default:
            found[at:] = [substituted(default, binding), *found[at + 1 :]]
            binding[variable] = found[at]
    return tuple(found)


def _normal_default(default: Any) -> Any:
    return tuple([normal(one) for one in default]) if isinstance(default, list | tuple) else normal(default)


def substitution_of(parameters: tuple[Any, ...], arguments: tuple[Any, ...]) -> dict[Any, Any]:
    """Return what each of *parameters* stands for, given *arguments* in their order, and defaults; those without are left out."""
    found: dict[Any, Any] = {}
    count = len(arguments)
    many = next((at for at, one in enumerate(parameters) if _is_many(one)), None)
    if many is not None:
        after = len(parameters) - many - 1
        given = arguments[many : max(many, count - after)]
        default = MISSING if given else default_of(parameters[many])
        found[parameters[many]] = given if default is MISSING else _spread((_normal_default(default),))
        found.update(zip(parameters[:many], arguments[:many], strict=False))
        if after:
            found.update(zip(parameters[-after:], arguments[max(many, count - after) :], strict=False))
    elif len(parameters) == 1 and isinstance(parameters[0], typing.ParamSpec) and count and not _is_parameter_list(arguments):
        found[parameters[0]] = list(arguments)  # Job[int, str] of one ParamSpec is Job[[int, str]]
    else:
        found.update(zip(parameters, arguments, strict=False))
    for one in parameters:
        if one not in found:
            default = default_of(one)
            if default is not MISSING:
                found[one] = substituted(_normal_default(default), found)
    return found


def _is_parameter_list(arguments: tuple[Any, ...]) -> bool:
    one = arguments[0]
    return len(arguments) == 1 and (
        isinstance(one, list | tuple | typing.ParamSpec) or one is ... or typing.get_origin(one) is typing.Concatenate
    )


def all_substituted(forms: Iterable[Any], binding: dict[Any, Any]) -> tuple[Any, ...]:
    """Return *forms*, arguments of a generic, with their type variables replaced; a TypeVarTuple by all that it stands for."""
    found: list[Any] = []
    for form in forms:
        inside = typing.get_args(form) if typing.get_origin(form) in UNPACKS else ()
        if inside and _is_many(inside[0]) and inside[0] in binding:
            found.extend(binding[inside[0]])
        else:
            found.append(substituted(form, binding))
    return tuple(found)


def substituted(form: Any, binding: dict[Any, Any]) -> Any:
    """Return *form* with its type variables replaced by what *binding* says."""
    if isinstance(form, tuple):  # the parameters that stand for a ParamSpec
        return tuple([substituted(one, binding) for one in form])
    if isinstance(form, typing.TypeVar | typing.ParamSpec):
        return binding.get(form, form)
    parameters = getattr(form, "__parameters__", ()) if typing.get_origin(form) is not None else ()
    if not isinstance(parameters, tuple) or not any(one in binding for one in parameters):
        return form  # an open class is meant as it stands
    arguments: list[Any] = []
    for one in parameters:
        value = binding.get(one, one)
        if isinstance(one, typing.TypeVarTuple):
            many: Any = value if one in binding else (Unpack[one],)
            arguments.extend(many)
        elif isinstance(one, typing.ParamSpec) and isinstance(value, tuple):
            arguments.append(list(value))
        else:
            arguments.append(value)
    return form[tuple(arguments)]
