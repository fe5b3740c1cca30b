"""Does a framework read a mark as a parameter of its own?  Then it would be filled from a request."""

from __future__ import annotations

import functools
import inspect
import sys
import types
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Final, get_args, get_origin

from .._names import frames_from, place_of_function
from ..errors import DeclarationError

__all__ = ["schema_unless_misread"]

#: What makes models of types for whoever asks; and what everybody stands on.
_MAKERS: Final = frozenset({"pydantic", "pydantic_core", "asyncmeta", "typing", "typing_extensions", "annotated_types"})

#: What to write instead, by the framework's package.
_CURES: Final = {
    "fastapi": "take From of asyncmeta.integrations.fastapi, or ContainerRoute as the route_class of this very router "
    "(one of the application reaches neither other routers nor dependencies)",
    "fast_depends": "take From of asyncmeta.integrations.faststream, or @injected below the subscriber's decorator",
    "faststream": "take From of asyncmeta.integrations.faststream, or @injected below the subscriber's decorator",
    "fastmcp": "put @inject of asyncmeta.integrations.fastmcp below the server's decorator",
    "mcp": "put @inject of asyncmeta.integrations.mcp below the server's decorator",
    "ninja": "put @inject of asyncmeta.integrations.django below the operation's decorator",
}
_CURE: Final = "put @injected below the decorator that reads its parameters"


def schema_unless_misread(mark: Any, source: Any, handler: Callable[[Any], Any]) -> Any:
    """
    Return pydantic's schema for what *mark* stands at, as if it were not there.

    A model of the user's may have marked fields: a container makes it, as any class.

    Raises:
        DeclarationError: It stands at a parameter of a function that a framework is about to call with what a client sends.
    """
    readers = list(_readers())
    if not readers:
        return handler(source)
    # A class that is a dependency stands before the handler that has it, and so does one that is only a parameter's type.
    marked = [(function, package, names) for function, package in readers if (names := _marked_names(function, mark))]
    if not marked and readers[0][1] not in _CURES:  # who makes a model for some end of its own
        return handler(source)
    function, package, names = marked[0] if marked else (*readers[0], ["a parameter"])
    raise DeclarationError(
        f"{', '.join(names)} of {function.__qualname__} is marked to be filled by a container, but {package} reads it from "
        f"the request, so that a client could say what it is; {_CURES.get(package, _CURE)}",
        str(place_of_function(inspect.unwrap(function)) or ""),
    )


def _readers() -> Iterator[tuple[types.FunctionType, str]]:
    """Yield the functions whose parameters a framework may be reading, innermost first; none where no framework is."""
    package = ""
    for frame in frames_from(sys._getframe(2)):
        root = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if root in _MAKERS or root in sys.stdlib_module_names:
            continue
        if root != package and (package or not _is_framework(root, frame)):
            return
        package = root
        for value in list(frame.f_locals.values()):
            function = _plain(value, package in _CURES)
            # What it defines itself is no handler that it was given; what belongs to it is none of a user's.
            if (
                isinstance(function, types.FunctionType)
                and function.__code__ not in frame.f_code.co_consts
                and str(function.__module__).partition(".")[0] not in (package, *_MAKERS)
                and function.__code__.co_argcount + function.__code__.co_kwonlyargcount
            ):
                yield function, package


def _is_framework(package: str, frame: types.FrameType) -> bool:
    """Tell whether it is one: what a program has installed, and none of its own modules, which hold functions of all kinds."""
    return package in _CURES or any(folder in frame.f_code.co_filename for folder in ("site-packages", "dist-packages"))


def _plain(value: Any, objects: bool) -> Any:
    """Return the function that a call of *value* runs; of *objects* with such a method, too."""
    while isinstance(value, functools.partial):
        value = value.func
    if isinstance(value, types.MethodType):
        return value.__func__
    if isinstance(value, type):
        return value.__dict__.get("__init__")
    if objects and not isinstance(value, types.FunctionType):
        value = inspect.getattr_static(type(value), "__call__", None)
    return inspect.unwrap(value) if isinstance(value, types.FunctionType) else None


def _marked_names(function: Any, mark: Any) -> list[str]:
    return [name for name, annotation in function.__annotations__.items() if _is_marked(annotation, mark)]


def _is_marked(annotation: Any, mark: Any) -> bool:
    """Tell whether *annotation* is, or looks like, one with such a mark."""
    if isinstance(annotation, str):
        return any(word in annotation for word in ("From[", "Inject(", "All["))
    if get_origin(annotation) is Annotated and any(type(one) is type(mark) for one in get_args(annotation)[1:]):
        return True
    return any(_is_marked(one, mark) for one in get_args(annotation) if not isinstance(one, str))
