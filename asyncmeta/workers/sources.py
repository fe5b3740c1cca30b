"""Whence does the container of a worker come, and does it serve the tasks?"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from typing import Any

from .. import AsyncServiceBase, Container, DeclarationError, GraphError, GraphErrors
from .._names import close_to, name_of

__all__ = ["Source", "check", "container_of", "told"]

#: Whence a container comes: an import path, an application class, a function that makes one, or one that is there.
Source = str | type[AsyncServiceBase] | Callable[[], Container] | Container


def container_of(source: Source, /) -> Container:
    """
    Return the container that *source* means, not entered.

    Args:
        source: ``"package.module:Application"``, whose module is imported, and importing a module runs it: an application
            class, a container, or a function that makes one.  Or any of these itself.

    Raises:
        DeclarationError: There is no such thing, or it is something else.
        GraphErrors: The application is not sound.
        Exception: What the module or the function raised.

    .. versionadded:: 0.1.0
    """
    found: Any = _imported(source) if isinstance(source, str) else source
    if isinstance(found, Container):
        return found
    if isinstance(found, type):
        if issubclass(found, AsyncServiceBase):
            return Container(found)
    elif callable(found):
        made = found()
        if isinstance(made, Container):
            return made
        raise DeclarationError(f"{told(source)} makes a {name_of(type(made))}, and a worker needs a Container")
    raise DeclarationError(
        f"{told(source)} is neither a class derived from AsyncServiceBase, nor a Container, nor a function that makes one"
    )


def check(container: Container, functions: Iterable[Callable[..., Any]], /, what: str = "what the tasks ask for") -> None:
    """
    Check what the marked parameters of *functions* ask for.

    Raises:
        GraphErrors: It does not fit together; all problems at once, as those of *what*.

    .. versionadded:: 0.1.0
    """
    problems: list[Any] = []
    for function in dict.fromkeys(functions):
        try:
            container.inject(function)
        except GraphErrors as errors:
            problems += errors.exceptions
        except GraphError as error:
            problems.append(error)
    if problems:
        raise GraphErrors.of(what, problems)


def told(source: Any) -> str:
    """Return what to call a source in text."""
    return source if isinstance(source, str) else getattr(source, "__qualname__", name_of(type(source)))


def _imported(path: str) -> Any:
    module_name, _, attributes = path.partition(":")
    parts = attributes.split(".")
    if not all(part.isidentifier() for part in (*module_name.split("."), *parts)):
        raise DeclarationError(f"write package.module:Application, not {path!r}")
    found: Any = importlib.import_module(module_name)
    for part in parts:
        try:
            found = getattr(found, part)
        except AttributeError:
            names = close_to(part, [name for name in dir(found) if not name.startswith("_")])
            meant = f"; did you mean {' or '.join(names)}?" if names else ""
            raise DeclarationError(f"{module_name} has no {attributes}{meant}") from None
    return found
