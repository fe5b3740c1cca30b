"""What does the text of an annotation mean?  Read where it was written, and nowhere else."""

from __future__ import annotations

import ast
import builtins
import inspect
import sys
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from .._compat import parsed, text_of_reference, type_parameters_of
from .._names import frames_from
from .tokens import MISSING

__all__ = [
    "Evaluate", "Evaluator", "evaluator_for", "evaluator_of_class", "evaluator_of_module", "lenient",
    "names_around", "names_of_module",
]  # fmt: skip

Evaluate = Callable[[str], Any]

_NO_NAMES: Mapping[str, Any] = {}


def evaluator_for(
    names: Mapping[str, Any], more: Mapping[str, Any] | None = None, inside: str = "", seen: Mapping[str, Any] | None = None
) -> Evaluate:
    """
    Return a function that evaluates the text of an annotation in the module that wrote it, nowhere else.

    A name that is defined there for type checkers only is looked up where its import says, among modules that are loaded.

    Args:
        names: The module's globals.
        more: Names that come before: type parameters, a class's own names, closed-over variables.
        inside: The qualified name of what has the annotation: functions around it that still run are looked into.
        seen: What these had when they were looked into before; see `names_around`.
    """
    if seen is not None:  # it stands nearer than the module
        more = seen if more is None else {**seen, **more}

    def evaluate(text: str) -> Any:
        # Nearly all annotations are one name; `eval` costs ten times this look-up.
        if more is not None and text in more:
            return more[text]
        if text in names:
            return names[text]
        found = getattr(builtins, text, MISSING) if text.isidentifier() else MISSING
        if found is not MISSING:
            return found
        try:
            return eval(_expression(text), names if isinstance(names, dict) else dict(names), dict(more) if more else None)
        except (NameError, TypeError, AttributeError) as error:
            if not isinstance(error, NameError) and not more:
                raise
            from .unread import read_again  # lazy import

            return read_again(_expression(text), error, names, more, lambda: _around(names, inside))

    return evaluate


def _expression(text: str) -> str:
    """Return *text* as an expression: annotations may begin with blanks, and go over several lines."""
    return f"({text}\n)" if "\n" in text else text.strip()


def lenient(evaluate: Evaluate) -> Evaluate:
    """Return a function that evaluates texts as *evaluate* does, with something that stands for what is not defined."""

    def read(text: str) -> Any:
        try:
            return evaluate(text)
        except Exception:
            from .unread import read_leniently  # lazy import

            return read_leniently(_expression(text), evaluate)

    return read


def _around(names: Mapping[str, Any], inside: str) -> Iterator[Mapping[str, Any]]:
    """Give the variables of the functions around *inside* that still run, the nearest first."""
    around = [inside[:at] for at in range(len(inside)) if inside.startswith(".<locals>", at)]
    if not around:
        return
    frames: dict[str, types.FrameType] = {}
    for frame in frames_from(sys._getframe(1)):
        if frame.f_globals is names:
            frames.setdefault(frame.f_code.co_qualname, frame)
    for name in reversed(around):
        if name in frames:
            yield frames[name].f_locals


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


def _names_of_class(cls: type, names: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return the names that the body of *cls* may use before its module's *names*.

    What is no type there, as the default in ``date: date = None`` or a method, hides no name of the module.
    """
    found: dict[str, Any] = {parameter.__name__: parameter for parameter in type_parameters_of(cls)}
    for name, thing in vars(cls).items():
        if isinstance(thing, type) or not (name in names or hasattr(builtins, name)) or _is_form(thing):
            found[name] = thing
    # A class may name itself, also where it is local to a function.
    found.setdefault(cls.__name__, cls)
    return found


def _is_form(thing: Any) -> bool:
    return typing.get_origin(thing) is not None or type(thing).__module__ in ("typing", "typing_extensions")


def _local_names(function: Any, owner: type | None) -> dict[str, Any] | None:
    """Return the names that an annotation of *function* may use before its module's."""
    found: dict[str, Any] = {}
    if owner is not None:
        within = function.__qualname__.rpartition(".")[0]
        for base in owner.__mro__[1:]:  # of a base that wrote the function, the type parameters
            if base.__qualname__ == within:
                found.update({parameter.__name__: parameter for parameter in type_parameters_of(base)})
        found.update(_names_of_class(owner, function.__globals__))
    if function.__closure__:
        found.update(_closed_over(function))
    found.update({parameter.__name__: parameter for parameter in type_parameters_of(function)})
    return found or None


class Evaluator:
    """Evaluates texts for one function; what that takes is gathered when the first text comes."""

    __slots__ = ("_evaluate", "function", "owner", "seen")

    def __init__(self, function: types.FunctionType, owner: type | None, seen: Mapping[str, Any] | None = None) -> None:
        self.function, self.owner, self.seen = function, owner, seen
        self._evaluate: Evaluate | None = None

    def __call__(self, text: str) -> Any:
        if self._evaluate is None:
            function = inspect.unwrap(self.function)  # which wrote them, where a wrapper repeats them
            if not isinstance(function, types.FunctionType):
                function = self.function
            more = _local_names(function, self.owner)
            self._evaluate = evaluator_for(function.__globals__, more, _inside(function, self.owner), self.seen)
        return self._evaluate(text)

    def why(self, error: BaseException) -> str:
        from .unread import why_unreadable  # lazy import

        return why_unreadable(error, self.function.__globals__, _inside(self.function, self.owner))


def _inside(function: types.FunctionType, owner: type | None) -> str:
    # A generated constructor says nothing about where its class stands.
    return function.__qualname__ if owner is None else f"{owner.__qualname__}.{function.__name__}"


def names_of_module(name: Any, fallback: Mapping[str, Any] = _NO_NAMES) -> Mapping[str, Any]:
    """Return the globals of the module *name*; *fallback* where it is not loaded."""
    module = sys.modules.get(name)
    return fallback if module is None else vars(module)


def evaluator_of_module(name: str) -> Evaluate:
    """Return a function that evaluates texts in the module *name*."""
    return evaluator_for(names_of_module(name))


def evaluator_of_class(cls: type, fallback: Mapping[str, Any] = _NO_NAMES, seen: Mapping[str, Any] | None = None) -> Evaluate:
    """Return a function that evaluates the texts of *cls*'s body."""
    names = names_of_module(cls.__module__, fallback)
    return evaluator_for(names, _names_of_class(cls, names), f"{cls.__qualname__}.", seen)


def names_around(thing: Any, written: Iterable[Any]) -> Mapping[str, Any] | None:
    """
    Return the variables of functions around a local function or class that texts of its annotations use; None where they use none.

    Such a function may be over when the annotations are read, and its variables gone.

    Args:
        written: The annotations.
    """
    wanted: set[str] = set()
    pending = list(written)
    while pending:
        one = pending.pop()
        text = one if type(one) is str else text_of_reference(one) if isinstance(one, typing.ForwardRef) else ""
        if text:
            with suppress(Exception):  # told when it is read
                wanted.update([node.id for node in ast.walk(parsed(_expression(text))) if isinstance(node, ast.Name)])
        elif type(one) is not type and type(one) is not typing.TypeVar:
            pending.extend(typing.get_args(one))
    if not wanted:
        return None
    names: Mapping[str, Any] = getattr(thing, "__globals__", None) or names_of_module(thing.__module__)
    found: dict[str, Any] = {}
    for around in _around(names, f"{thing.__qualname__}."):
        found = {**{name: around[name] for name in wanted if name in around}, **found}
    return found or None
