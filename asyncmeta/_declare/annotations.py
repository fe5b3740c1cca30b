"""What does a callable need?  Its parameters, with what each asks for."""

from __future__ import annotations

import contextlib
import inspect
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final

from .._compat import annotations_of, is_typeddict, text_of_reference, type_parameters_of
from .._names import is_a, name_of, name_of_callable, place_of_function
from ..errors import DeclarationError
from .forms import UNPACKS, is_union, substituted, substitution_of, token_of
from .keys import INJECTED, MISSING, Ask, Inject, Missing, ask_for, is_mark, read, read_ask, read_leniently
from .texts import Evaluate, Evaluator, evaluator_of_class, evaluator_of_module

__all__ = [
    "Parameter", "class_annotations", "keyed_parameters", "parameter_of_new_type", "parameters_of_function",
    "parameters_of_signature", "plain_classes", "returned_by", "without_type",
]  # fmt: skip

POSITIONAL = 0  #: positional-only
NORMAL = 1
KEYWORD = 2  #: keyword-only

_VARKEYWORDS = inspect.CO_VARKEYWORDS

#: A default that is not passed: leaving the argument out is the only way to have it.
OMITTED: Final = Missing()


class Parameter:
    """One parameter of a factory, and what it asks for."""

    __slots__ = ("ask", "default", "fixed", "kind", "marked", "name", "named", "unreadable", "writer")

    def __init__(
        self, name: str, kind: int, ask: Ask | None, default: Any, named: bool = False, unreadable: str = "", fixed: bool = False
    ) -> None:
        self.name = name
        self.kind = kind  #: POSITIONAL, NORMAL or KEYWORD
        self.ask = ask  #: None where the annotation cannot be read
        self.default = default  #: MISSING where there is none
        self.named = named  #: has no annotation: it is looked up by its name
        self.unreadable = unreadable  #: why the annotation cannot be read, else ""
        self.marked = False  #: carries a mark, though its type cannot be read: it never falls to its default
        self.writer: type | None = None  #: the class whose field it is, where a generated constructor repeats it
        self.fixed = fixed  #: its value follows from what is made: nobody may hand in another


def _ask(annotation: Any, evaluate: Evaluate, me: type | None) -> tuple[Ask | None, str]:
    """
    Return what an annotation asks for, or why it cannot be read.

    Raises:
        DeclarationError: It names two things.
    """
    try:
        return read_ask(annotation, evaluate, me), ""
    except DeclarationError:
        raise
    except Exception as error:  # whatever evaluating a user's text may raise; it is told by the check
        return None, evaluate.why(error) if isinstance(evaluate, Evaluator) else f"{type(error).__name__}: {error}"


def without_type(parameter: Parameter, annotation: Any, evaluate: Evaluate) -> None:
    """See what a mark says whose type cannot be read: a token is enough, and any mark forbids to take the default."""
    try:
        form: Any = read_leniently(annotation, evaluate)
    except Exception:  # not even the mark can be read
        return
    while is_union(form):
        form = next((one for one in typing.get_args(form) if typing.get_origin(one) is Annotated), None)
    if typing.get_origin(form) is Annotated:
        token = next((found for found in map(token_of, form.__metadata__) if found is not MISSING), MISSING)
        if token is MISSING or isinstance(token, typing.ForwardRef):
            parameter.marked = True
        else:
            parameter.ask, parameter.unreadable = ask_for(Annotated[Any, *form.__metadata__]), ""


def parameters_of_function(
    function: types.FunctionType,
    *,
    skip: int = 0,
    owner: type | None = None,
    me: type | None = None,
    bound: tuple[int, frozenset[Any]] = (0, frozenset()),
    seen: Mapping[str, Any] | None = None,
) -> tuple[Parameter, ...]:
    """
    Return the parameters of a plain Python function.

    Args:
        function: The function itself, unwrapped.
        skip: How many leading parameters the caller fills (``self``).
        owner: The class whose body wrote it, if any.
        me: What ``Self`` means; *owner* where that is nothing else.
        bound: What a ``functools.partial`` has bound already: how many positions after *skip*, and which names, or single places.
        seen: Variables of functions around it, which may be over.
    """
    me = me or owner
    signed = getattr(function, "__signature__", None)
    if isinstance(signed, inspect.Signature):
        return parameters_of_signature(signed, Evaluator(function, owner), function, skip=skip, me=me, bound=bound)
    code = function.__code__
    count = code.co_argcount
    if not count and not code.co_kwonlyargcount and not code.co_flags & _VARKEYWORDS:
        return ()
    evaluate: Evaluate = Evaluator(function, owner, seen)
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
        if position - skip in bound[1]:
            continue
        if name in bound[1]:
            gap = True  # bound by name: what follows can only be passed by name, too
            continue
        kind = POSITIONAL if position < code.co_posonlyargcount else KEYWORD if gap else NORMAL
        default = defaults[position - first_default] if position >= first_default else MISSING
        found.append(_parameter(name, kind, written, default, evaluate, function, me))
    for name in names[count : count + code.co_kwonlyargcount]:
        if name not in bound[1]:
            default = (function.__kwdefaults__ or {}).get(name, MISSING)
            found.append(_parameter(name, KEYWORD, written, default, evaluate, function, me))
    if code.co_flags & _VARKEYWORDS:
        name = names[count + code.co_kwonlyargcount + bool(code.co_flags & inspect.CO_VARARGS)]
        if name in written:
            found += [one for one in _unpacked(name, written[name], evaluate, me) if one.name not in bound[1]]
    return tuple(found)


def _unpacked(name: str, annotation: Any, evaluate: Evaluate, me: type | None) -> tuple[Parameter, ...]:
    """Return what ``**name: Unpack[Options]`` takes by name, of a TypedDict; nothing where it is annotated with a type."""
    if is_a(annotation, str) and "Unpack" not in annotation:
        return ()
    try:
        form = evaluate(annotation) if is_a(annotation, str) else annotation
        if typing.get_origin(form) not in UNPACKS:
            return ()
        return keyed_parameters(read(typing.get_args(form)[0], evaluate, me))
    except Exception as error:
        why = evaluate.why(error) if isinstance(evaluate, Evaluator) else f"{type(error).__name__}: {error}"
        return (Parameter(name, KEYWORD, None, MISSING, unreadable=why),)


def keyed_parameters(keyed: Any) -> tuple[Parameter, ...]:
    """Return the keys of a TypedDict, or of one with arguments, as parameters that are passed by name."""
    cls = typing.get_origin(keyed) or keyed
    found = []
    for name, annotation in annotations_of(cls).items():
        writer = _writer_of_key(cls, name)
        written = text_of_reference(annotation) if isinstance(annotation, typing.ForwardRef) else ""
        # A qualifier within a text was not seen when the class was made.
        said = written.partition("[")[0].rpartition(".")[2].strip()
        required = name in cls.__required_keys__ if said not in ("Required", "NotRequired") else said == "Required"
        default = MISSING if required else OMITTED
        evaluate = evaluator_of_class(writer)
        if writer is not cls or cls is not keyed:
            # What cannot be read is told where the parameter is.
            with contextlib.suppress(Exception):
                annotation = _in_terms_of(keyed, cls, writer, read(annotation, evaluate))
        found.append(_parameter(name, KEYWORD, {name: annotation}, default, evaluate, cls, None))
        found[-1].writer = cls
    return tuple(found)


def _in_terms_of(keyed: Any, cls: Any, writer: Any, form: Any) -> Any:
    """Return *form*, which *writer* wrote, with its type variables replaced by what *keyed*, which is *cls*, says of them."""
    if writer is not cls:
        from .handed import handed_up  # lazy import

        form = substituted(form, substitution_of(writer.__parameters__, handed_up(cls, writer) or ()))
    return form if keyed is cls else substituted(form, substitution_of(cls.__parameters__, typing.get_args(keyed)))


def _writer_of_key(cls: Any, name: str) -> Any:
    """Return the TypedDict that wrote the key *name* of *cls*, which has those of its bases as its own."""
    for base in vars(cls).get("__orig_bases__", ()):
        root = typing.get_origin(base) or base
        written = annotations_of(root) if is_typeddict(root) else {}
        if name in written and written[name] == annotations_of(cls)[name]:
            return _writer_of_key(root, name)
    return cls


def plain_classes(function: Any, skip: int, owner: type | None) -> list[type] | None:
    """
    Return what *function* takes where that is nothing but classes, by position; None where it is any less plain.

    What most factories are: read in one step, because a graph may have ten thousand of them.

    Args:
        skip: How many leading parameters the caller fills (``self``).
        owner: The class whose constructor it is.
    """
    if type(function) is not types.FunctionType:
        return None
    code = function.__code__
    if function.__defaults__ or code.co_kwonlyargcount or code.co_flags & _VARKEYWORDS:
        return None
    if hasattr(function, "__wrapped__") or hasattr(function, "__signature__"):
        return None
    try:
        written = annotations_of(function)
    except Exception:  # told by `parameters_of_function`
        return None
    found = []
    for name in code.co_varnames[skip : code.co_argcount]:
        annotation = written.get(name)
        if type(annotation) is str:
            annotation = _named_in_module(annotation, function, owner)
        if type(annotation) is not type or annotation is types.NoneType:
            return None
        found.append(annotation)
    return found


def _named_in_module(text: str, function: types.FunctionType, owner: type | None) -> Any:
    """Return what *text* names in the module of *function*; None where something nearer may be called so, or nothing is."""
    if function.__closure__ or type_parameters_of(function) or function.__code__.co_filename.startswith("<"):
        return None
    if owner is not None and (text == owner.__name__ or text in vars(owner) or vars(owner).get("__init__") is not function):
        return None
    return function.__globals__.get(text)


def _failing(error: Exception) -> Evaluate:
    def evaluate(text: str) -> Any:
        raise error

    return evaluate


def _parameter(
    name: str, kind: int, written: Mapping[str, Any], default: Any, evaluate: Evaluate, asker: Any, me: type | None
) -> Parameter:
    """
    Return one parameter, read.

    Args:
        asker: The function or class that has it, for texts.
        me: What ``Self`` means.

    Raises:
        DeclarationError: Its annotation names two things, or its default is a mark.
    """
    if name in written:
        annotation = written[name]
        if default is not MISSING and is_mark(default):
            _refuse_mark(name, annotation, default, asker)
        if type(annotation) is type and annotation is not type(None):
            return Parameter(name, kind, Ask("value", (annotation,)), default)
        try:
            ask, unreadable = _ask(annotation, evaluate, me)
        except DeclarationError as error:
            raise DeclarationError(f"parameter {name} of {name_of_callable(asker)}: {error.message}", _written_at(asker)) from None
        found = Parameter(name, kind, ask, default, False, unreadable)
        if unreadable:
            without_type(found, annotation, evaluate)
        return found
    if default is not MISSING:
        if default is INJECTED or is_mark(default):
            _refuse_mark(name, None, default, asker)
        return Parameter(name, kind, None, default)
    return Parameter(name, kind, Ask("value", (name,)), default, True)


def _refuse_mark(name: str, annotation: Any, default: Any, asker: Any) -> None:
    """Refuse a mark that stands where a default does."""
    said = annotation if is_a(annotation, str) else "..." if annotation is None else name_of(annotation)
    if type(default) is Inject:
        meant = f"Annotated[{said}, {default!r}]"
    else:
        meant = f"From[{said}]" if default is INJECTED else name_of(default)
    raise DeclarationError(
        f"parameter {name} of {name_of_callable(asker)} has {name_of(default)} as its default, and a mark is no value: "
        f"write {name}: {meant}",
        _written_at(asker),
    )


def _written_at(asker: Any) -> str:
    return str(place_of_function(asker) or "")


def parameters_of_signature(
    signature: inspect.Signature,
    evaluate: Evaluate,
    asker: Any,
    *,
    skip: int = 0,
    me: type | None = None,
    bound: tuple[int, frozenset[Any]] = (0, frozenset()),
    by_name: bool = False,
) -> tuple[Parameter, ...]:
    """
    Return the parameters that a signature shows, where no function of Python's has them.

    Args:
        by_name: Everything is passed by name.
    """
    kinds = {
        inspect.Parameter.POSITIONAL_ONLY: POSITIONAL,
        inspect.Parameter.POSITIONAL_OR_KEYWORD: NORMAL,
        inspect.Parameter.KEYWORD_ONLY: KEYWORD,
    }
    found = []
    gap = by_name
    for place, given in enumerate(list(signature.parameters.values())[skip + bound[0] :], bound[0]):
        if place in bound[1]:
            continue
        if given.name in bound[1]:
            gap = True
        elif given.kind in kinds:
            default = MISSING if given.default is inspect.Parameter.empty else given.default
            written = {} if given.annotation is inspect.Parameter.empty else {given.name: given.annotation}
            kind = kinds[given.kind]
            found.append(_parameter(given.name, KEYWORD if gap and kind == NORMAL else kind, written, default, evaluate, asker, me))
    return tuple(found)


def parameter_of_new_type(kind: typing.NewType) -> Parameter:
    """Return what a NewType takes, as checkers see it: a value of the type that it is one of."""
    return _parameter("x", POSITIONAL, {"x": kind.__supertype__}, MISSING, evaluator_of_module(str(kind.__module__)), kind, None)


def class_annotations(cls: type, seen: Mapping[str, Any] | None) -> Iterator[tuple[str, Any, Evaluate]]:
    """Give each annotation of *cls*'s own body, as written, with the function that reads it; *seen* is as above."""
    written = annotations_of(cls)
    if not written:
        return
    evaluate = evaluator_of_class(cls, seen=seen)
    for name, annotation in written.items():
        yield name, annotation, evaluate


def returned_by(
    function: types.FunctionType, owner: type | None = None, me: type | None = None, seen: Mapping[str, Any] | None = None
) -> Any:
    """
    Return the normal form of the type that *function* says it returns; MISSING where it says nothing.

    Raises whatever evaluating the annotation raises.
    """
    written = annotations_of(function).get("return", MISSING)
    if type(written) is type or written is MISSING:
        return written
    return read(written, Evaluator(function, owner, seen), me or owner)
