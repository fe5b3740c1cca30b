"""What is done about a text that cannot be read at once?  It is read again, with more names; or it is said why not."""

from __future__ import annotations

import builtins
import sys
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from .guarded import guarded_import, guarded_line, guarded_text, guarded_value
from .tokens import MISSING

__all__ = ["read_again", "read_leniently", "why_unreadable"]


#: Gives the variables of the functions around what has the text, the nearest first.
Around = Callable[[], Iterator[Mapping[str, Any]]]


def read_again(text: str, error: Exception, names: Mapping[str, Any], more: Mapping[str, Any] | None, around: Around) -> Any:
    """
    Return what *text*, an expression, means by names that only checkers see, and by those that a class's own hide.

    Args:
        error: What the first reading met, with the names of the module and those that come before.

    Raises:
        Exception: That, or the name that is missing now.
    """
    try:
        return eval(text, {}, _Wider(names, more, around, isinstance(error, NameError)))
    except Exception as again:
        other = isinstance(again, NameError) and again.name != getattr(error, "name", None)
        raise again if other else error from None


class _Wider(dict[str, Any]):
    """Names for the second reading of a text."""

    def __init__(self, names: Mapping[str, Any], more: Mapping[str, Any] | None, around: Around, own: bool) -> None:
        super().__init__()
        self._places = [more, names] if own and more is not None else [names]
        self._names, self._around = names, around
        self._following: list[str] = []  # names that checkers alone see, and that stand for others

    def __missing__(self, name: str) -> Any:
        for place in self._places:
            if name in place:
                return place[name]
        if hasattr(builtins, name):
            return getattr(builtins, name)
        for around in self._around():
            if name in around:
                return around[name]
        module = str(self._names.get("__name__", ""))
        found = guarded_value(module, name)
        if found is not MISSING:
            return found
        found = guarded_text(module, name)
        if not found or name in self._following:
            raise NameError(f"name {name!r} is not defined", name=name)
        self._following.append(name)
        while isinstance(found, str):
            found = eval(found.strip(), {}, self)
        self._following.pop()
        return found


class _Later:
    """Stands for a name that is not defined yet, while a mark is looked for around it."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __getitem__(self, item: Any) -> Any:
        return self

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self

    def __or__(self, other: Any) -> Any:
        return typing.Optional[self] if other is None else typing.Union[self, other]  # noqa: UP007, UP045  # a form made of values

    __ror__ = __or__


class _Lenient(dict[str, Any]):
    """Names for the evaluation of a text some of whose names are not defined yet."""

    def __init__(self, evaluate: Callable[[str], Any]) -> None:
        super().__init__()
        self._evaluate, self._later = evaluate, _Later()

    def __missing__(self, name: str) -> Any:
        try:
            return self._evaluate(name)
        except Exception:
            return getattr(builtins, name, self._later)


def read_leniently(text: str, evaluate: Callable[[str], Any]) -> Any:
    """Return what *text*, an expression, means with something that stands for what *evaluate* does not find."""
    return eval(text, {}, _Lenient(evaluate))


def why_unreadable(error: BaseException, names: Mapping[str, Any], inside: str) -> str:
    """Return why a text cannot be read, and the ways out, as one sentence or two."""
    said = f"{type(error).__name__}: {error}"
    name = getattr(error, "name", None)
    if not isinstance(error, NameError) or not isinstance(name, str) or len(name) > 80:
        return said
    found = guarded_import(str(names.get("__name__", "")), name)
    if found is not None:
        return (
            f"{said}. It is imported under TYPE_CHECKING only (line {found.line}: {found.text}), and "
            f"{found.module if found.module not in sys.modules else found.text} is not loaded: import it at run time, or name "
            f"a token beside the type, Annotated[..., Inject(...)]"
        )
    if ".<locals>" in inside:
        around = inside.rpartition(".<locals>")[0].rpartition(".<locals>.")[2]
        return (
            f"{said}. A text is read in its module, and in the functions around it while they run: define {name} in the module, "
            f"or before {around} returns; or leave the annotation unquoted"
        )
    line = guarded_line(str(names.get("__name__", "")), name)
    return f"{said}. It is defined under TYPE_CHECKING only (line {line}): define it at run time" if line else said
