"""What does a callable need?  Its parameters, with what each asks for."""

from __future__ import annotations

import builtins
import inspect
import sys
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from .._compat import annotations_of, referred, signature_of, type_parameters_of
from .keys import MISSING, Ask, Missing, ask_for, resolved

__all__ = ["Parameter", "evaluator_for", "parameters_of_class", "parameters_of_function", "plain_parameters", "returned_by"]

POSITIONAL = 0  #: positional-only
NORMAL = 1
KEYWORD = 2  #: keyword-only

#: A default that is not passed: leaving the argument out is the only way to have it.
OMITTED: Final = Missing()

_VARARGS, _VARKEYWORDS = 0x04, 0x08


class Parameter:
    """One parameter of a factory, and what it asks for."""

    __slots__ = ("ask", "default", "fixed", "kind", "name", "named", "unreadable")

    def __init__(
        self, name: str, kind: int, ask: Ask | None, default: Any, named: bool = False, unreadable: str = "", fixed: bool = False
    ) -> None:
        self.name = name
        self.kind = kind  #: POSITIONAL, NORMAL or KEYWORD
        self.ask = ask  #: None where the annotation cannot be read
        self.default = default  #: MISSING where there is none
        self.named = named  #: has no annotation: it is looked up by its name
        self.unreadable = unreadable  #: why the annotation cannot be read, else ""
        self.fixed = fixed  #: its value follows from what is made: nobody may hand in another


Evaluate = Callable[[str], Any]


def evaluator_for(names: Mapping[str, Any], more: Mapping[str, Any] | None = None) -> Evaluate:
    """
    Return a function that evaluates the text of an annotation in the module that wrote it, nowhere else.

    Args:
        names: The module's globals.
        more: Names that come before: type parameters, a class's own names, closed-over variables.
    """

    def evaluate(text: str) -> Any:
        # Nearly all annotations are one name; `eval` costs ten times this look-up.
        if more is not None and text in more:
            return more[text]
        if text in names:
            return names[text]
        found = getattr(builtins, text, MISSING) if text.isidentifier() else MISSING
        if found is not MISSING:
            return found
        return eval(text, dict(names) if not isinstance(names, dict) else names, dict(more) if more else None)

    return evaluate


def _closed_over(function: Any) -> dict[str, Any]:
    """Return the variables of enclosing functions that *function* holds."""
    cells = function.__closure__ or ()
    found: dict[str, Any] = {}
    for name, cell in zip(function.__code__.co_freevars, cells, strict=True):
        try:
            found[name] = cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    return found


def _local_names(function: Any, owner: type | None) -> dict[str, Any] | None:
    """Return the names that an annotation of *function* may use before its module's."""
    found: dict[str, Any] = {}
    if owner is not None:
        found.update({parameter.__name__: parameter for parameter in type_parameters_of(owner)})
        found.update(vars(owner))
        # A class may name itself, also where it is local to a function.
        found.setdefault(owner.__name__, owner)
    if function.__closure__:
        found.update(_closed_over(function))
    found.update({parameter.__name__: parameter for parameter in type_parameters_of(function)})
    return found or None


def _ask(annotation: Any, evaluate: Evaluate) -> tuple[Ask | None, str]:
    """Return what an annotation asks for, or why it cannot be read."""
    try:
        if type(annotation) is str:
            annotation = evaluate(annotation)
        if isinstance(annotation, typing.ForwardRef):
            annotation = referred(annotation, evaluate)
        if annotation is None:
            annotation = type(None)
        annotation = resolved(annotation, evaluate)  # before it is hashed, which a forward reference may refuse
        hash(annotation)
        return ask_for(annotation), ""
    except Exception as error:  # whatever evaluating a user's text may raise; it is told by the check
        return None, f"{type(error).__name__}: {error}"


def parameters_of_function(
    function: types.FunctionType, *, skip: int = 0, owner: type | None = None, bound: tuple[int, frozenset[str]] = (0, frozenset())
) -> tuple[Parameter, ...]:
    """
    Return the parameters of a plain Python function.

    Args:
        function: The function itself, unwrapped.
        skip: How many leading parameters the caller fills (``self``).
        owner: The class whose body wrote it, if any.
        bound: What a ``functools.partial`` has bound already: how many positions after *skip*, and which names.
    """
    if hasattr(function, "__wrapped__") or hasattr(function, "__signature__"):
        signed = getattr(function, "__signature__", None)
        if isinstance(signed, inspect.Signature):
            return _parameters_of_signature(signed, function, skip, owner, bound)
        inner = inspect.unwrap(
            function, stop=lambda wrapped: isinstance(getattr(wrapped, "__signature__", None), inspect.Signature)
        )
        if inner is not function:
            if isinstance(inner, types.FunctionType):
                return parameters_of_function(inner, skip=skip, owner=owner, bound=bound)
            return _parameters_of_signature(signature_of(inner), function, skip, owner, bound)
    code = function.__code__
    count = code.co_argcount
    if not count and not code.co_kwonlyargcount:
        return ()
    evaluate: Evaluate = _Evaluator(function, owner)
    try:
        written = annotations_of(function)
    except Exception as error:  # since CPython 3.14 they are evaluated only here, and one that raises takes all with it
        written, evaluate = dict.fromkeys(code.co_varnames, ""), _failing(error)
    defaults = function.__defaults__ or ()
    first_default = count - len(defaults)
    names = code.co_varnames
    found = []
    gap = False
    for position in range(skip + bound[0], count):
        name = names[position]
        if name in bound[1]:
            gap = True  # bound by name: what follows can only be passed by name, too
            continue
        kind = POSITIONAL if position < code.co_posonlyargcount else KEYWORD if gap else NORMAL
        default = defaults[position - first_default] if position >= first_default else MISSING
        found.append(_parameter(name, kind, written, default, evaluate))
    for name in names[count : count + code.co_kwonlyargcount]:
        if name not in bound[1]:
            found.append(_parameter(name, KEYWORD, written, (function.__kwdefaults__ or {}).get(name, MISSING), evaluate))
    return tuple(found)


def plain_parameters(function: Any, skip: int) -> list[tuple[str, type]] | None:
    """
    Return names and classes where *function* takes nothing but classes by position; None where it is any less plain.

    What most factories are: read in one step, because a graph may have ten thousand of them.

    Args:
        skip: How many leading parameters the caller fills (``self``).
    """
    if type(function) is not types.FunctionType:
        return None
    code = function.__code__
    if function.__defaults__ or code.co_kwonlyargcount or hasattr(function, "__wrapped__") or hasattr(function, "__signature__"):
        return None
    try:
        written = annotations_of(function)
    except Exception:  # told by `parameters_of_function`
        return None
    found = []
    for name in code.co_varnames[skip : code.co_argcount]:
        annotation = written.get(name)
        if type(annotation) is not type or annotation is type(None):
            return None
        found.append((name, annotation))
    return found


def _failing(error: Exception) -> Evaluate:
    def evaluate(text: str) -> Any:
        raise error

    return evaluate


class _Evaluator:
    """Evaluates texts for one function; what that takes is gathered when the first text comes."""

    __slots__ = ("_evaluate", "_function", "_owner")

    def __init__(self, function: types.FunctionType, owner: type | None) -> None:
        self._function, self._owner = function, owner
        self._evaluate: Evaluate | None = None

    def __call__(self, text: str) -> Any:
        if self._evaluate is None:
            self._evaluate = evaluator_for(self._function.__globals__, _local_names(self._function, self._owner))
        return self._evaluate(text)


def _parameter(name: str, kind: int, written: Mapping[str, Any], default: Any, evaluate: Evaluate) -> Parameter:
    if name in written:
        annotation = written[name]
        if type(annotation) is type and annotation is not type(None):
            return Parameter(name, kind, Ask("value", (annotation,)), default)
        ask, unreadable = _ask(annotation, evaluate)
        return Parameter(name, kind, ask, default, False, unreadable)
    if default is not MISSING:
        return Parameter(name, kind, None, default)
    return Parameter(name, kind, Ask("value", (name,)), default, True)


def _parameters_of_signature(
    signature: inspect.Signature, function: Any, skip: int, owner: type | None, bound: tuple[int, frozenset[str]]
) -> tuple[Parameter, ...]:
    names = getattr(function, "__globals__", {})
    evaluate = evaluator_for(names, _local_names(function, owner) if isinstance(function, types.FunctionType) else None)
    kinds = {
        inspect.Parameter.POSITIONAL_ONLY: POSITIONAL,
        inspect.Parameter.POSITIONAL_OR_KEYWORD: NORMAL,
        inspect.Parameter.KEYWORD_ONLY: KEYWORD,
    }
    found = []
    for given in list(signature.parameters.values())[skip + bound[0] :]:
        if given.kind not in kinds or given.name in bound[1]:
            continue
        default = MISSING if given.default is inspect.Parameter.empty else given.default
        written = {} if given.annotation is inspect.Parameter.empty else {given.name: given.annotation}
        found.append(_parameter(given.name, kinds[given.kind], written, default, evaluate))
    return tuple(found)


def constructor_of(cls: type) -> Any:
    """
    Return the function that takes *cls*'s constructor arguments, None where it takes none.

    ``__init__``, else ``__new__``: never ``__signature__``, which libraries use to describe other things.
    """
    init = cls.__init__  # type: ignore[misc]  # looked at, not called
    if init is not object.__init__ and not (isinstance(init, types.WrapperDescriptorType) and init.__objclass__ is object):
        return init
    new: Any = cls.__new__
    return None if new is object.__new__ else new


def parameters_of_class(cls: type) -> tuple[Parameter, ...]:
    """Return the parameters of *cls*'s constructor; none where it is written in C without a signature."""
    call = constructor_of(cls)
    if call is None:
        return _parameters_of_metaclass(cls)
    function = inspect.unwrap(call)
    if not isinstance(function, types.FunctionType):
        try:
            signature = signature_of(call)
        except (TypeError, ValueError):
            return ()
        return _parameters_of_signature(signature, call, 1, None, (0, frozenset()))
    owner = next((base for base in cls.__mro__ if call in (vars(base).get("__init__"), _unbound(vars(base).get("__new__")))), cls)
    found = parameters_of_function(function, skip=1, owner=owner)
    if function.__code__.co_filename.startswith("<") or any(parameter.unreadable for parameter in found):
        # A generated __init__ (dataclass, attrs) repeats texts that base classes of other modules wrote.
        found = tuple(_reread(parameter, function, cls) for parameter in found)
    return found


def _parameters_of_metaclass(cls: type) -> tuple[Parameter, ...]:
    """Return what the metaclass's own call takes, where that makes the instances and is written in C (msgspec); else nothing."""
    signed = None if type(cls).__call__ is type.__call__ else getattr(cls, "__signature__", None)
    if not isinstance(signed, inspect.Signature):
        return ()
    module = sys.modules.get(cls.__module__)
    evaluate = evaluator_for(vars(module) if module is not None else {})
    found = []
    for given in signed.parameters.values():
        if given.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD, inspect.Parameter.POSITIONAL_ONLY):
            continue
        default: Any = MISSING
        if given.default is not inspect.Parameter.empty:
            # What stands there may be a mark of the metaclass's. A descriptor is kept: that it became a field is told.
            default = given.default if hasattr(type(given.default), "ask_in") else OMITTED
        written = {} if given.annotation is inspect.Parameter.empty else {given.name: given.annotation}
        found.append(_parameter(given.name, KEYWORD, written, default, evaluate))
    return tuple(found)


def _unbound(new: Any) -> Any:
    return new.__func__ if isinstance(new, staticmethod) else new


def _reread(parameter: Parameter, function: Any, cls: type) -> Parameter:
    """Read a generated constructor's parameter where the field of that name was written."""
    written = annotations_of(function).get(parameter.name)
    for base in cls.__mro__:
        text = annotations_of(base).get(parameter.name)
        if text is not None and isinstance(written, str) and isinstance(text, str):
            module = sys.modules.get(base.__module__)
            more = {**{p.__name__: p for p in type_parameters_of(base)}, **vars(base), base.__name__: base}
            ask, unreadable = _ask(text, evaluator_for(vars(module) if module else function.__globals__, more))
            return Parameter(parameter.name, parameter.kind, ask, parameter.default, False, unreadable)
    return parameter


def class_annotations(cls: type) -> Iterator[tuple[str, Any, Evaluate]]:
    """Give each annotation of *cls*'s own body, as written, with the function that reads it."""
    written = annotations_of(cls)
    if not written:
        return
    module = sys.modules.get(cls.__module__)
    more = {**{p.__name__: p for p in type_parameters_of(cls)}, **vars(cls)}
    evaluate = evaluator_for(vars(module) if module else {}, more)
    for name, annotation in written.items():
        yield name, annotation, evaluate


_UNWRAPPED = frozenset({"AsyncIterator", "AsyncGenerator", "AsyncIterable", "Iterator", "Generator", "Iterable"})


def returned_by(function: Any, *, generator: bool, owner: type | None = None) -> Any:
    """
    Return the type that *function* says it makes; MISSING where it says nothing.

    Of a generator factory it is the type of what is yielded.  Raises whatever evaluating the annotation raises.
    """
    function = inspect.unwrap(function)
    written = annotations_of(function).get("return", MISSING)
    if written is MISSING:
        return MISSING
    evaluate = evaluator_for(function.__globals__, _local_names(function, owner))
    made = evaluate(written) if isinstance(written, str) else written
    if generator:
        origin = typing.get_origin(made)
        arguments = typing.get_args(made)
        if origin is None or not arguments or getattr(origin, "__name__", "") not in _UNWRAPPED:
            return MISSING
        made = arguments[0]
    if isinstance(made, typing.ForwardRef):
        made = referred(made, evaluate)
    return made
