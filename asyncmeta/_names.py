"""How are things called in text?  Types, tokens, factories, places, paths, near misses."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import Enum
from types import CodeType, FrameType, UnionType
from typing import TYPE_CHECKING, Any, NewType, TypeVar, Union, cast, get_origin
from weakref import ref

if TYPE_CHECKING:
    import typing_extensions as te

__all__ = [
    "Place",
    "arrow",
    "close_to",
    "frames_from",
    "is_a",
    "name_of",
    "name_of_callable",
    "origin_of",
    "place_of_caller",
    "place_of_function",
    "plural",
    "cut",
]

K = TypeVar("K")

_LONGEST = 80
#: How the files begin in which nothing is written by a user; `typing` calls a class for ``AsyncDependencyDescriptor[X]()``.
_NOT_THE_CALLER = (os.path.dirname(os.path.abspath(__file__)) + os.sep, cast.__code__.co_filename)


def _nothing() -> CodeType | None:
    """Stands for a reference to code that is not known."""
    return None


class _Code:
    """Code in which something was written, and the module that was running: one for all places in it that follow each other."""

    __slots__ = ("begun", "begun_in", "code", "file", "module", "within")

    def __init__(
        self, file: str, module: str = "", within: str = "", code: CodeType | None = None, begun: CodeType | None = None
    ) -> None:
        self.file = file
        self.module = module
        self.within = within
        # Weakly: the code of a module is run once and would live on for nothing.
        self.code = _nothing if code is None else ref(code)
        self.begun = _nothing if begun is None else ref(begun)
        self.begun_in = "" if begun is None else begun.co_filename


class Place:
    """Where something was written, and by which code where that is known."""

    __slots__ = ("_code", "line")

    def __init__(self, file: str, line: int, code: _Code | None = None) -> None:
        self.line = line  #: counted from 1; 0 where only the file is known
        self._code = _Code(file) if code is None else code

    @classmethod
    def of(cls, frame: FrameType) -> Place:
        """Return where *frame* is."""
        global _latest
        code, module = frame.f_code, frame.f_globals.get("__name__") or ""
        running: FrameType | None = frame
        while running is not None and running.f_code.co_name != "<module>":
            running = running.f_back
        begun = None if running is None else running.f_code
        known = _latest
        same = known.begun is _nothing if begun is None else known.begun() is begun
        if not same or known.code() is not code or known.module != module:
            known = _latest = _Code(code.co_filename, module, code.co_qualname, code, begun)
        return cls("", frame.f_lineno, known)

    @property
    def file(self) -> str:
        """As the code object names it."""
        return self._code.file

    @property
    def module(self) -> str:
        """Whose code it is, by name; "" where that is not known."""
        return self._code.module

    @property
    def within(self) -> str:
        """The function, or "<module>"; "" where that is not known."""
        return self._code.within

    @property
    def code(self) -> tuple[int, int]:
        """What tells the code that it stands in, and that of the module that was running, from others."""
        return id(self._code.code), id(self._code.begun)  # there is one reference for all places in one code

    def written_again(self, before: Place) -> bool:
        """
        Tell whether the code here is that of *before*, compiled anew: reloaded, imported by another name, or a cell run again.

        Two rounds of a loop, and two calls of one function, are one code and no second time; but where the module that calls a
        function of another is itself run again, so is what it has the function do.
        """
        here, there = self._code, before._code
        if here.code is _nothing or there.code is _nothing or here.within != there.within:
            return False
        if here.code() is not there.code():
            return True
        if here.begun is _nothing or there.begun is _nothing or here.begun() is there.begun():
            return False
        # The file of the module whose code was running, which may have called a function of another.
        return not here.begun_in.startswith("<") and os.path.realpath(here.begun_in) == os.path.realpath(there.begun_in)

    def __str__(self) -> str:
        file = self.file
        if os.path.isabs(file):
            try:
                near = os.path.relpath(file)
            except ValueError:  # another drive
                near = file
            if not near.startswith(".."):
                file = near
        return f"{file}:{self.line}" if self.line else file


#: Of the place that was noted last: the next one mostly stands in the same code.
_latest = _Code("")


def is_a(thing: object, kind: type[K]) -> te.TypeIs[K]:
    """
    Tell what *thing* really is, whatever its ``__class__`` says: a token may be anything, and is never asked.

    As ``isinstance(thing, kind)``, which takes an object's own word for it.
    """
    return issubclass(type(thing), kind)


def origin_of(thing: object) -> Any:
    """Return what ``typing.get_origin`` does for forms; what says that it is of another class than it is, is none."""
    try:
        lies = thing.__class__ is not type(thing)
    except Exception:
        lies = True
    return None if lies else get_origin(thing)


def frames_from(frame: FrameType | None) -> Iterator[FrameType]:
    """Give *frame* and those that it was called from, the innermost first; nothing of None."""
    while frame is not None:
        yield frame
        frame = frame.f_back


def place_of_caller() -> Place:
    """Return the nearest place outside of this package from which the running code was called."""
    import sys

    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_NOT_THE_CALLER):
        frame = frame.f_back
    return Place("<unknown>", 0) if frame is None else Place.of(frame)


def place_of_function(function: Any) -> Place | None:
    """Return where *function* was written, or None for what has no Python code."""
    code = getattr(function, "__code__", None)
    if code is None:
        return None
    return Place(code.co_filename, code.co_firstlineno)


def cut(text: str) -> str:
    """Return *text* in at most 80 characters, the cut marked."""
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


def name_of(key: Any) -> str:
    """
    Return what to call a key in text: a class by its name, a string in quotes, anything else by its cut repr.

    A key is what the user wrote to ask; values never come here.
    """
    if is_a(key, str):
        key = str.__str__(key)  # what a subclass says of itself is not asked
        return cut(f'"{key}"') if key.isprintable() and '"' not in key else cut(repr(key))
    if is_a(key, type) and not hasattr(key, "__origin__"):
        name = type.__getattribute__(key, "__qualname__")
        return cut(str(name).rpartition("<locals>.")[2])
    if is_a(key, NewType):
        return cut(key.__name__)
    try:
        text = _name_of_form(key) or repr(key)
    except Exception:  # a hostile __repr__ must not hide the error that is being told
        text = f"<{type(key).__name__}>"
    return cut(text.replace("typing.", ""))


def _name_of_form(key: Any) -> str:
    """Return what to call ``Repo[User]`` and ``User | None``: by the names of their classes; nothing for other keys."""
    args = getattr(key, "__args__", ())
    marks = getattr(key, "__metadata__", ())
    if type(args) is not tuple or not args:
        return f"{type(key).__qualname__}.{key.name}" if is_a(key, Enum) else ""
    if type(marks) is tuple and marks:
        return f"Annotated[{name_of(key.__origin__)}, {', '.join([name_of(mark) for mark in marks])}]"
    names = [_name_of_argument(arg) for arg in args]
    origin = getattr(key, "__origin__", UnionType)
    if origin is UnionType or origin is Union:
        return " | ".join(names)
    if origin is Callable or not is_a(origin, type):
        return ""
    return f"{name_of(origin)}[{', '.join(names)}]"


def _name_of_argument(arg: Any) -> str:
    if type(arg) is tuple:  # what a ParamSpec stands for
        return f"[{', '.join([_name_of_argument(one) for one in arg])}]"
    return "None" if arg is type(None) else "..." if arg is ... else name_of(arg)


def name_of_callable(call: Any) -> str:
    """Return what to call a factory in text."""
    name = getattr(call, "__qualname__", None)
    if not isinstance(name, str):
        name = type(call).__qualname__
    return cut(name.rpartition("<locals>.")[2])


def close_to(name: str, names: Iterable[str], most: int = 3) -> tuple[str, ...]:
    """Return up to *most* of *names* that *name* may have been meant for, the nearest first."""
    import difflib  # half a millisecond that only an error is worth

    unquoted = {candidate.strip("\"'"): candidate for candidate in names}
    bare = name.strip("\"'")
    lowered = {candidate.lower(): candidate for candidate in unquoted}
    near = difflib.get_close_matches(bare, unquoted, most)
    if not near and bare.lower() in lowered:
        near = [lowered[bare.lower()]]
    return tuple(unquoted[candidate] for candidate in near)


def arrow(path: Sequence[str]) -> str:
    """Return a path as text; a long one keeps its ends."""
    if len(path) > 20:
        path = (*path[:10], f"({len(path) - 19} more)", *path[-9:])
    return " -> ".join(path)


def plural(count: int, noun: str) -> str:
    """Return "1 problem", "2 problems"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
