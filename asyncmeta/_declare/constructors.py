"""What does the constructor of a class take?"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from .._compat import annotations_of, is_typeddict, signature_of
from .annotations import (
    KEYWORD,
    OMITTED,
    POSITIONAL,
    Parameter,
    keyed_parameters,
    parameters_of_function,
    parameters_of_signature,
    without_type,
)
from .keys import INJECTED, MISSING, is_mark, read_ask
from .texts import evaluator_of_class, names_around, names_of_module

__all__ = [
    "BY_HAND", "constructor_of", "has_signature", "hidden_fields", "is_generated", "parameters_of_class", "seen_around",
    "writer_of",
]  # fmt: skip

_VARARGS, _VARKEYWORDS = inspect.CO_VARARGS, inspect.CO_VARKEYWORDS


def constructor_of(cls: type) -> Any:
    """
    Return the function that takes *cls*'s constructor arguments, None where it takes none.

    ``__init__``, else ``__new__``, but for what a metaclass asks for before: never ``__signature__``, which libraries use to
    describe other things.  One that takes anything hands it on, or leaves it to the other.
    """
    meta = type(cls)
    if meta is not type and _names_what_it_takes(meta.__call__):
        return meta.__call__
    init = cls.__init__  # type: ignore[misc]  # looked at, not called
    new: Any = cls.__new__
    if new is object.__new__ and type(init) is types.FunctionType and init.__name__ not in _NO_CONSTRUCTORS:
        return init  # as of nearly every class
    name = getattr(init, "__name__", "")
    if name == _OF_PROTOCOLS:
        init = next((vars(base)["__init__"] for base in cls.__mro__ if writes_init(base)), object.__init__)
        name = getattr(init, "__name__", "")
    if (
        name != BY_HAND
        and init is not object.__init__
        and not (isinstance(init, types.WrapperDescriptorType) and init.__objclass__ is object)
    ):
        return new if new is not object.__new__ and _names_what_it_takes(new) and _takes_anything(init) else init
    return None if new is object.__new__ else new


def _names_what_it_takes(call: Any) -> bool:
    return isinstance(call, types.FunctionType) and not _takes_anything(call)


#: What the ``__init__`` and ``__setattr__`` are called that only take values by hand: of no meaning to a container.
BY_HAND = "_by_hand"

#: A Protocol has an ``__init__`` that looks for the true one when the first instance is made; so does `constructor_of`.
_OF_PROTOCOLS = "_no_init_or_replace_init"

_NO_CONSTRUCTORS = frozenset({BY_HAND, _OF_PROTOCOLS})


def writes_init(cls: type) -> bool:
    """Tell whether *cls* itself has an ``__init__`` that takes what instances are made of."""
    init = vars(cls).get("__init__")
    return init is not None and getattr(init, "__name__", "") not in _NO_CONSTRUCTORS


def parameters_of_class(cls: type, seen: Mapping[str, Any] | None = None) -> tuple[Parameter, ...]:
    """
    Return the parameters of *cls*'s constructor; none where it is written in C without a signature.

    Args:
        seen: Variables of functions around it, which may be over.
    """
    call = constructor_of(cls)
    if call is None:
        return _parameters_of_metaclass(cls)
    function = inspect.unwrap(call)
    if not isinstance(function, types.FunctionType) or _is_partial_method(function):
        if is_typeddict(cls):
            return keyed_parameters(cls)
        try:
            signature = signature_of(call)
        except (TypeError, ValueError):
            return ()
        return parameters_of_signature(signature, evaluator_of_class(cls), call, skip=1, me=cls)
    signed = _own_signature(cls) if "__dataclass_fields__" in vars(cls) and _takes_anything(function) else None
    if isinstance(signed, inspect.Signature):
        # A dataclass that hides its fields behind **kwargs (pydantic); they are what its signature shows.
        signed = _without_defaults(signed)
        found = parameters_of_signature(signed, evaluator_of_class(cls, seen=seen), function, me=cls, by_name=True)
    else:
        owner = next((base for base in cls.__mro__ if _writes(base, call)), cls)
        found = _parameters_in(cls, owner, function, seen)
        if not is_generated(function) and not any(parameter.unreadable for parameter in found):
            return found
    # A generated __init__ (dataclass, attrs) repeats what base classes, maybe of other modules, wrote.
    for parameter in found:
        _reread(parameter, function, cls, seen)
    return found


def _parameters_in(cls: type, owner: type, function: types.FunctionType, seen: Mapping[str, Any] | None) -> tuple[Parameter, ...]:
    """Return what *function*, a constructor that *owner* wrote, takes for *cls*, and what it passes the rest on to."""
    found = parameters_of_function(function, skip=1, owner=owner, me=cls, seen=seen)
    if not function.__code__.co_flags & _VARKEYWORDS:
        return found
    from .passing import passes_on  # lazy import

    if not passes_on(function):
        return found
    behind = next((base for base in cls.__mro__[cls.__mro__.index(owner) + 1 :] if writes_init(base)), object)
    call = inspect.unwrap(vars(behind)["__init__"])
    if not isinstance(call, types.FunctionType):
        return found
    own = {parameter.name for parameter in found}
    by_place = not found and bool(function.__code__.co_flags & _VARARGS)
    for parameter in _parameters_in(cls, behind, call, seen):
        if parameter.name in own or (parameter.kind == POSITIONAL and not by_place):
            continue
        if is_generated(call):
            _reread(parameter, call, cls, seen)
        parameter.writer = parameter.writer or behind
        if parameter.kind != POSITIONAL:
            parameter.kind = KEYWORD
            if parameter.default is not MISSING and parameter.default is not INJECTED:
                parameter.default = OMITTED  # the one that passes it on may have another
        found += (parameter,)
    return found


def seen_around(thing: Any) -> Mapping[str, Any] | None:
    """Return the variables around a local function or class that the texts of its parameters use; see `names_around`."""
    try:
        written = _annotations_of_class(thing) if isinstance(thing, type) else annotations_of(thing).values()
        return names_around(thing, written)
    except Exception:  # annotations that cannot be had are told when they are read
        return None


def _annotations_of_class(cls: type) -> Iterator[Any]:
    """Give the annotations, as written, that *cls*'s constructor may repeat or has."""
    call = constructor_of(cls)
    if call is not None:
        yield from annotations_of(inspect.unwrap(call)).values()
    if hasattr(cls, "__dataclass_fields__") or hasattr(cls, "__attrs_attrs__"):
        for base in cls.__mro__:
            yield from annotations_of(base).values()


def is_generated(function: Any) -> bool:
    """Tell whether the code of a constructor was made from fields."""
    return function.__code__.co_filename.startswith("<")  # type: ignore[no-any-return]


def _takes_anything(function: Any) -> bool:
    """Tell whether a constructor names none of what it takes."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    return code is not None and code.co_argcount <= 1 and not code.co_kwonlyargcount and bool(code.co_flags & _VARKEYWORDS)


def has_signature(cls: type) -> bool:
    """Tell whether *cls* describes what it takes; a library may work that out when it is asked for, fail, or not be ready."""
    try:
        return hasattr(cls, "__signature__") or (type(cls) is not type and hasattr(cls, "__pydantic_complete__"))
    except Exception:
        return True


def _own_signature(cls: type) -> Any:
    try:
        return getattr(cls, "__signature__", None)
    except Exception:  # worked out when asked for, which may fail
        return None


def hidden_fields(cls: type) -> tuple[str, ...]:
    """Return the required fields that *cls* takes by ``**kwargs`` alone (pydantic's models), so that nothing can fill them."""
    function = constructor_of(cls)
    if getattr(cls, "__pydantic_root_model__", False):
        return ("root",) if cls.model_fields["root"].is_required() else ()  # type: ignore[attr-defined]  # pydantic's RootModel
    if not isinstance(function, types.FunctionType) or not _takes_anything(function) or "__dataclass_fields__" in vars(cls):
        return ()
    # What settings take from the environment is asked for by no caller.
    of_environment = hasattr(cls, "settings_customise_sources")
    if not of_environment and getattr(cls, "__pydantic_complete__", True) is False:
        # It names what is not defined, and has no signature yet.
        return tuple([name for name, one in cls.__pydantic_fields__.items() if one.is_required()])  # type: ignore[attr-defined]
    signed = None if of_environment else _own_signature(cls)
    if not isinstance(signed, inspect.Signature):
        return ()
    empty = inspect.Parameter.empty
    many = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return tuple([one.name for one in signed.parameters.values() if one.default is empty and one.kind not in many])


def _parameters_of_metaclass(cls: type) -> tuple[Parameter, ...]:
    """Return what the metaclass's own call takes, where that makes the instances and is written in C (msgspec); else nothing."""
    if type(cls).__call__ is type.__call__:
        return ()
    signed = _own_signature(cls)
    if not isinstance(signed, inspect.Signature):
        return tuple(_parameters_of_struct(cls))
    by_place = inspect.Parameter.POSITIONAL_ONLY
    kept = [given for given in _without_defaults(signed).parameters.values() if given.kind is not by_place]
    found = parameters_of_signature(inspect.Signature(kept), evaluator_of_class(cls), cls, me=cls, by_name=True)
    for parameter in found:
        wrote = writer_of(cls, parameter.name)
        parameter.writer = cls if wrote is None else wrote[0]
    return found


def _parameters_of_struct(cls: Any) -> Iterator[Parameter]:
    """Give the fields of a msgspec class as parameters; its signature fails where one of them cannot be read, this says which."""
    names = getattr(cls, "__struct_fields__", ())
    defaults = getattr(cls, "__struct_defaults__", ())
    for at, name in enumerate(names, len(defaults) - len(names)):
        writer, written = writer_of(cls, name) or (cls, MISSING)
        required = at < 0 or type(defaults[at]).__name__ == "NoDefaultType"
        found = Parameter(name, KEYWORD, None, MISSING if required else OMITTED)
        _read_field(found, cls, writer, written, names_of_module(writer.__module__), None)
        found.writer = writer
        yield found


def _without_defaults(signed: inspect.Signature) -> inspect.Signature:
    """
    Return a signature of a library's whose defaults are had by leaving the argument out: what stands there may be none.

    Marks and descriptors are kept, which are a user's and mean something else than a default: that is told.
    """
    kept = []
    for given in signed.parameters.values():
        default = given.default
        own = default is INJECTED or is_mark(default) or hasattr(type(default), "ask_in")
        if default is not inspect.Parameter.empty and not own:
            given = given.replace(default=OMITTED)
        kept.append(given.replace(kind=KEYWORD_ONLY) if given.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD else given)
    kept.sort(key=lambda given: given.kind)
    return signed.replace(parameters=kept)


def _is_partial_method(function: Any) -> bool:
    """Tell whether *function* is what a ``functools.partialmethod`` makes of itself."""
    return hasattr(function, "__partialmethod__") or hasattr(function, "_partialmethod")


KEYWORD_ONLY = inspect.Parameter.KEYWORD_ONLY


def _writes(cls: type, call: Any) -> bool:
    """Tell whether *call* is the constructor that stands in the body of *cls*."""
    new = vars(cls).get("__new__")
    return call in (vars(cls).get("__init__"), new.__func__ if isinstance(new, staticmethod) else new)


def writer_of(cls: type, name: str) -> tuple[type, Any] | None:
    """Return the class that wrote the field that a generated constructor takes as *name*, and its annotation."""
    for attribute in getattr(cls, "__attrs_attrs__", ()):
        if getattr(attribute, "alias", None) == name:
            name = attribute.name
            break
    for base in cls.__mro__:
        written = annotations_of(base)
        if name in written:
            return base, written[name]
    return None


def _reread(parameter: Parameter, function: Any, cls: type, seen: Mapping[str, Any] | None) -> None:
    """Read a generated constructor's parameter where the field of that name was written."""
    found = writer_of(cls, parameter.name)
    if found is None:
        return
    base, text = found
    if is_generated(function) or _takes_anything(function):
        parameter.writer = base
    written = annotations_of(function).get(parameter.name)
    converted = parameter.named and is_generated(function)  # by what does not say what it takes (attrs)
    if converted or (isinstance(text, str | typing.ForwardRef) and written == text):
        _read_field(parameter, cls, base, text, names_of_module(base.__module__, function.__globals__), seen)
        ask = parameter.ask
        if converted and ask is not None and ask.keys:
            parameter.ask = ask.but(keys=(parameter.name, *ask.keys), about=ask.key)


def _read_field(
    parameter: Parameter, cls: type, writer: type, text: Any, names: Mapping[str, Any], seen: Mapping[str, Any] | None
) -> None:
    """Read the annotation of a field, *text*, as *writer*, a base of *cls*, wrote it."""
    evaluate = evaluator_of_class(writer, names, seen)
    try:
        parameter.ask, parameter.unreadable = read_ask(text, evaluate, cls), ""
    except Exception as error:  # whatever evaluating a user's text may raise; it is told by the check
        from .unread import why_unreadable  # lazy import

        parameter.ask, parameter.unreadable = None, why_unreadable(error, names, f"{writer.__qualname__}.")
        without_type(parameter, text, evaluate)
