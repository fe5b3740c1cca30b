"""Which parameters of a function are filled, and which does its caller pass?"""

from __future__ import annotations

import functools
import inspect
import types
import weakref
from collections.abc import Iterator, Mapping
from typing import Any

from .._compat import annotations_of, signature_of
from .._names import Place, name_of, name_of_callable, place_of_function
from ..errors import DeclarationError
from .constructors import constructor_of, is_generated, writer_of
from .keys import INJECTED, MISSING, Inject, ask_for, is_mark, is_marked, read, read_leniently, unwrapped_from
from .makers import ASYNC, ASYNC_GENERATOR, GENERATOR, SYNC
from .texts import Evaluator, evaluator_for, evaluator_of_class
from .within import innermost, kind_of_callable

__all__ = ["Form", "Taken", "form_of"]

_POSITIONAL = inspect.Parameter.POSITIONAL_ONLY
_NORMAL = inspect.Parameter.POSITIONAL_OR_KEYWORD
_MANY = inspect.Parameter.VAR_POSITIONAL
_KEYWORD = inspect.Parameter.KEYWORD_ONLY
_MANY_BY_NAME = inspect.Parameter.VAR_KEYWORD


class Taken:
    """One parameter of an injected function."""

    __slots__ = ("annotation", "asked", "default", "form", "kind", "marked", "name", "shown")

    def __init__(self, name: str, kind: Any, default: Any, annotation: Any, marked: bool) -> None:
        self.name = name
        self.kind = kind  #: the function's own, as `inspect` has it
        self.default = default  #: MISSING where there is none
        self.annotation = annotation  #: as written; MISSING where there is none
        self.marked = marked  #: filled where the caller does not pass it
        self.shown: Any = kind  #: how the caller may pass it: a kind, or None where that cannot be
        self.form: Any = MISSING  #: the annotation of a local function's, read while what stands around it ran
        self.asked: Any = MISSING  #: the token of a marked one, once read


class Form:
    """
    How a function is called, and what is filled in: all that a wrapper of it has to know, but not the function.

    Where every marked parameter stands behind the others, the caller passes each in its own place.  Where one stands
    before others, these move up, and marked ones are passed by name only.
    """

    __slots__ = ("__weakref__", "kind", "marked", "name", "place", "taken")

    def __init__(self, kind: str, taken: tuple[Taken, ...], name: str, place: Place | None) -> None:
        self.kind = kind
        self.taken = taken
        self.name = name  #: for texts
        self.place = place
        self.marked = tuple(number for number, one in enumerate(taken) if one.marked)
        positional = [one for one in taken if one.kind in (_POSITIONAL, _NORMAL)]
        last = max((at for at, one in enumerate(positional) if not one.marked), default=-1)
        first = next((at for at, one in enumerate(positional) if one.marked), len(positional))
        if first < last or any(one.kind is _MANY for one in taken):
            for one in positional:
                if one.marked:
                    one.shown = _KEYWORD if one.kind is _NORMAL else None

    def token(self, number: int, function: Any) -> Any:
        """
        Return what a marked parameter of *function* asks for; read once, when it is first needed.

        Raises whatever evaluating its annotation raises.
        """
        one = self.taken[number]
        if one.asked is MISSING:
            found = _read(function, one) if one.form is MISSING else one.form
            ask = ask_for(found)
            if one.default is MISSING:
                one.asked = unwrapped_from(found)
            else:  # which counts before None, and for a context value that a scope was opened without
                own = ask.kind == "value" and ask.fallback is MISSING
                one.asked = ask.but(optional=False, fallback=one.default) if own else unwrapped_from(found)
        return one.asked

    def why(self, number: int, function: Any, error: Exception) -> str:
        """Return why the annotation of a parameter of *function* cannot be read, and the ways out."""
        evaluate = _evaluator(function, self.taken[number].name)
        return evaluate.why(error) if isinstance(evaluate, Evaluator) else f"{type(error).__name__}: {error}"

    def key(self, number: int, function: Any) -> Any:
        """Return the key that a marked parameter is about, for texts."""
        return ask_for(self.token(number, function)).key

    def signature(self, function: Any) -> inspect.Signature:
        """Return what the caller passes; annotations that can be evaluated are, because a wrapper has other globals."""
        shown = []
        for one in self.taken:
            if not one.marked:
                default = inspect.Parameter.empty if one.default is MISSING else one.default
                annotation = inspect.Parameter.empty if one.annotation is MISSING else _evaluated(function, one)
                shown.append(inspect.Parameter(one.name, one.kind, default=default, annotation=annotation))
        returned: Any = inspect.Signature.empty
        if isinstance(function, type):
            returned = function
        else:
            below = _below(function)
            written = annotations_of(below).get("return", MISSING) if below is not None else MISSING
            if written is not MISSING:
                returned = _evaluated(function, Taken("return", _NORMAL, MISSING, written, False))
        return inspect.Signature(shown, return_annotation=returned)


_FORMS: weakref.WeakKeyDictionary[Any, Form] = weakref.WeakKeyDictionary()


def form_of(function: Any) -> Form:
    """
    Return how *function* is called: a function, class, bound method, partial or callable object.

    Kept as long as a plain function or class lives, so that asking again costs nothing.
    """
    kept = isinstance(function, (types.FunctionType, type))
    if kept:
        found = _FORMS.get(function)
        if found is not None:
            return found
    form = Form(_kind(function), tuple(_taken(function)), name_of_callable(innermost(function)), _place(function))
    if kept:
        _FORMS[function] = form
    return form


def _call_method(thing: Any) -> Any:
    """Return the function that a call of an object with ``__call__`` runs, None where it has none in Python."""
    return getattr(type(thing), "__call__", None)  # noqa: B004  # the function is wanted, not whether there is one


def _kind(function: Any) -> str:
    inner = innermost(function)
    if isinstance(inner, type):
        return SYNC
    call = inner if isinstance(inner, (types.FunctionType, types.MethodType)) else _call_method(inner)
    code = getattr(call, "__code__", None)
    kind = SYNC if code is None else kind_of_callable(call, code)
    assert kind in (SYNC, ASYNC, GENERATOR, ASYNC_GENERATOR)
    return kind


def _place(function: Any) -> Place | None:
    below = _below(function)
    return None if below is None else place_of_function(below)


def _below(function: Any) -> types.FunctionType | None:
    """Return the Python function whose parameters *function* has, None where there is none."""
    # As inspect.signature goes: a decorated function may wrap a bound method, a partial or an object, and these others.
    while not isinstance(function, types.FunctionType) or hasattr(function, "__wrapped__"):
        if isinstance(function, type):
            function = constructor_of(function)
        elif isinstance(function, functools.partial):
            function = function.func
        elif hasattr(function, "__wrapped__"):
            function = inspect.unwrap(function)
        elif isinstance(function, types.MethodType):
            function = function.__func__
        elif not isinstance(function := _call_method(function), types.FunctionType | types.MethodType):
            return None
    return function


def _taken(function: Any) -> Iterator[Taken]:
    below = _below(function)
    written = annotations_of(below) if below is not None else {}
    # What a partial has bound by name was passed by hand.
    passed = function.keywords if isinstance(function, functools.partial) else {}
    for parameter in _parameters(function):
        annotation = written.get(parameter.name, parameter.annotation)
        if annotation is inspect.Parameter.empty:
            annotation = MISSING
        default = MISSING if parameter.default is inspect.Parameter.empty or parameter.default is INJECTED else parameter.default
        by_hand = parameter.kind in (_MANY, _MANY_BY_NAME) or parameter.name in passed
        expected = parameter.default is INJECTED
        form = MISSING if by_hand or annotation is MISSING else _form(function, parameter.name, annotation)
        marked = form is not MISSING and _marks(function, parameter.name, annotation, form, expected)
        if expected and not marked and not by_hand:
            raise _refuse(function, parameter.name, annotation, "From[{}]")
        if default is not MISSING and not by_hand and is_mark(default):
            meant = f"Annotated[{{}}, {default!r}]" if type(default) is Inject else name_of(default)
            raise _refuse(function, parameter.name, annotation, meant)
        if marked and form is not UNREADABLE:
            _check_marks(function, parameter.name, form)
        one = Taken(parameter.name, parameter.kind, default, annotation, marked)
        if marked and form is not UNREADABLE and below is not None and "<locals>" in below.__qualname__:
            one.form = form
        yield one


def _parameters(function: Any) -> list[inspect.Parameter]:
    if isinstance(function, type):
        constructor = constructor_of(function)
        return [] if constructor is None else list(signature_of(constructor).parameters.values())[1:]
    return list(signature_of(function).parameters.values())


# --- annotations ------------------------------------------------------------------------------------


def _evaluator(function: Any, name: str) -> Any:
    """Return what evaluates the text of the annotation *name*, in the module that wrote it."""
    below = _below(function)
    inner = innermost(function)
    owner = inner if isinstance(inner, type) else type(inner.__self__) if isinstance(inner, types.MethodType) else None
    if isinstance(inner, type) and (below is None or is_generated(below)):
        # A generated __init__ (dataclass, attrs) repeats texts that base classes of other modules wrote.
        found = writer_of(inner, name)
        if found is not None:
            return evaluator_of_class(found[0], below.__globals__ if below is not None else {})
    return Evaluator(below, owner) if below is not None else evaluator_for({})


def _read(function: Any, one: Taken) -> Any:
    below = _below(function)
    # Since CPython 3.14, what was not defined when the function was decorated may be so now.
    annotation = one.annotation if below is None else annotations_of(below).get(one.name, one.annotation)
    return read(annotation, _evaluator(function, one.name))


def _evaluated(function: Any, one: Taken) -> Any:
    """Return an annotation read, or as it is written where that cannot be done yet."""
    if not isinstance(one.annotation, str):
        return one.annotation
    try:
        return _evaluator(function, one.name)(one.annotation)
    except Exception:  # whatever evaluating a user's text may raise; the parameter is not ours
        return one.annotation


UNREADABLE: Any = object()


def _form(function: Any, name: str, annotation: Any) -> Any:
    """Return the normal form of an annotation, UNREADABLE where it cannot be read yet."""
    if type(annotation) is type:
        return annotation
    try:
        return read(annotation, _evaluator(function, name))
    except Exception:  # whatever evaluating a user's text may raise
        return UNREADABLE


def _marks(function: Any, name: str, annotation: Any, form: Any, expected: bool) -> bool:
    """
    Tell whether an annotation marks its parameter, as far as it can be read now: also around names that are defined later.

    Args:
        form: The annotation, read.
        expected: The default says that it does, so that this is believed where the annotation cannot be read yet.
    """
    if form is not UNREADABLE:
        return is_marked(form)
    try:
        return is_marked(read_leniently(annotation, _evaluator(function, name))) or expected
    except Exception:  # no form at all: it is the caller's
        return expected


def _check_marks(function: Any, name: str, form: Any) -> None:
    """Refuse a form that names two things, where it stands."""
    if len(getattr(form, "__metadata__", ())) != 1 or not isinstance(form.__origin__, type):
        try:
            ask_for(form)
        except DeclarationError as error:
            called = name_of_callable(innermost(function))
            raise DeclarationError(f"parameter {name} of {called}: {error.message}", str(_place(function) or "")) from None


def _refuse(function: Any, name: str, annotation: Any, meant: str) -> DeclarationError:
    """Return the error of a parameter whose default says what its annotation has to."""
    said = "..." if annotation is MISSING else annotation if isinstance(annotation, str) else name_of(annotation)
    return DeclarationError(
        f"parameter {name} of {name_of_callable(innermost(function))} has a mark as its default, which marks nothing: "
        f"write {name}: {meant.format(said)}",
        str(_place(function) or ""),
    )


def without_marked(written: Mapping[str, Any], form: Form) -> dict[str, Any]:
    """Return the annotations of what the caller passes."""
    hidden = {one.name for one in form.taken if one.marked}
    return {name: annotation for name, annotation in written.items() if name not in hidden}
