"""What do the handlers of an application ask for, and can that be given?"""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Iterable, Iterator, Sequence
from types import SimpleNamespace
from typing import Annotated, Any, NamedTuple

from typing_extensions import get_type_hints

from .. import Container, GraphError, GraphErrors, Inject
from ._marks import innermost, marked, marked_inside

__all__ = [
    "Handler", "asking", "check", "filled_by_another", "grouped", "handler", "methods_of", "misread_by", "problems_of", "told",
    "unfilled",
]  # fmt: skip


class Handler(NamedTuple):
    """A function that a framework calls."""

    function: Any  #: as the framework has it
    called: str  #: what it is to the framework: "GET /orders"
    unfilled: tuple[str, ...] = ()  #: marked parameters that nobody fills
    misread: tuple[str, ...] = ()  #: marked fields of what it reads from a client


def handler(function: Any, called: str, *, passes: Iterable[str] = (), reads: bool = False) -> Handler:
    """
    Return a handler of a framework that fills no mark by itself, but for the parameters *passes*.

    Args:
        function: As the framework has it.
        called: What it is to the framework.
        passes: Parameters that the framework fills of its own accord.
        reads: Whether the framework makes the other ones of what a client sends.
    """
    names = marked(function)
    misread = misread_by(function, but={*names, *passes}) if reads else ()
    return Handler(function, called, tuple(name for name in names if name not in passes), misread)


def misread_by(function: Any, *, but: Iterable[str] = ()) -> tuple[str, ...]:
    """Return the marked fields of models that *function* has as parameters, which a client would send."""
    below = innermost(function)
    found: list[str] = []
    for name, written in (getattr(below, "__annotations__", None) or {}).items():
        if name in but or name == "return":
            continue
        try:
            space = SimpleNamespace(__annotations__={name: written})
            read = get_type_hints(space, getattr(below, "__globals__", None), include_extras=True)[name]
        except Exception:  # a name for type checkers only
            continue
        found += marked_inside(read)
    return tuple(dict.fromkeys(found))


def methods_of(cls: type, names: Iterable[str], called: str) -> Iterator[Handler]:
    """Yield the methods of a class-based view."""
    for name in names:
        method = inspect.getattr_static(cls, name.lower(), None)
        if inspect.isfunction(method):
            yield handler(method, f"{name.upper()} {called}")


def asking(token: Any, called: str) -> Handler:
    """Return what asks for *token* where no function has a parameter for it."""

    def asks(value: Any) -> None: ...

    asks.__qualname__ = called
    asks.__annotations__ = {"value": Annotated[object, Inject(token)]}
    return Handler(asks, called)


def told(one: Handler) -> str:
    """Return how to call a handler in a text: its name, what it is to the framework, and where it stands."""
    function = innermost(one.function)
    code = getattr(function, "__code__", None)
    where = f" ({_shown(code.co_filename)}:{code.co_firstlineno})" if code is not None else ""
    name = getattr(function, "__qualname__", type(function).__qualname__).rpartition("<locals>.")[2]
    return f"{name}, {one.called}{where}"


def _shown(file: str) -> str:
    here = os.getcwd() + os.sep
    return file.removeprefix(here)


def unfilled(one: Handler, cure: str) -> GraphError | None:
    """Return the refusal of a handler that has a mark which nobody fills, or a client would; None where there is none."""
    if one.unfilled:
        return GraphError(f"nobody fills {', '.join(one.unfilled)} of {told(one)}: {cure}")
    if one.misread:
        return GraphError(
            f"{', '.join(one.misread)} would be filled by the client, who sends what {told(one)}, reads: take the mark out of "
            f"the model, and let the value be a parameter of its own; there, {cure}"
        )
    return None


def problems_of(container: Container, handlers: Iterable[Handler], cure: str) -> list[GraphError]:
    """Return everything that is wrong with what *handlers* ask for: each problem once, with a note of who asks."""
    problems: list[GraphError] = []
    functions: dict[int, Any] = {}
    for one in handlers:
        refused = unfilled(one, cure)
        if refused is not None and str(refused) not in map(str, problems):
            problems.append(refused)
        if filled_by_another(one.function, container):
            continue
        function = innermost(one.function)
        if inspect.isfunction(function) or isinstance(function, type):
            functions[id(function)] = function
    try:
        if functions:
            container.check(*functions.values())
    except GraphErrors as errors:
        problems += errors.exceptions  # type: ignore[arg-type]  # it holds no other ones
    return problems


def filled_by_another(function: Any, container: Container) -> bool:
    """Tell whether another container than *container* fills *function*, by its ``inject``, which has checked it."""
    while isinstance(function, functools.partial):
        function = function.func
    home = getattr(function, "asyncmeta_home", None)
    return home is not None and home.container is not container


def check(container: Container, handlers: Iterable[Handler], cure: str, what: str) -> None:
    """
    Check that *container* can give what *handlers* ask for.

    Raises:
        GraphErrors: All problems at once.
    """
    problems = problems_of(container, handlers, cure)
    if problems:
        raise grouped(problems, what)


def grouped(problems: Sequence[GraphError], what: str) -> GraphErrors:
    """Return *problems* as one, whose text tells each with its notes."""
    lines = [f"{what} has {len(problems)} problem{'s' * (len(problems) != 1)}"]
    for problem in problems:
        text = "\n".join([str(problem), *getattr(problem, "__notes__", ())])
        lines.append("- " + text.replace("\n", "\n  "))
    return GraphErrors("\n".join(lines), problems)
