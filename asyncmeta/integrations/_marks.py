"""Which parameters of a handler are marked, and who fills them?  For every framework."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator
from types import SimpleNamespace
from typing import Annotated, Any, get_args, get_origin

from typing_extensions import get_type_hints, is_typeddict

from .. import All, Inject, injected
from ..workers import in_thread

__all__ = ["asynchronous", "by_name", "collecting", "innermost", "marked", "marked_annotations", "marked_inside", "marks"]


def innermost(handler: Any) -> Any:
    """Return the function itself: below decorators that say what they wrap, partials and bound methods."""
    while True:
        if isinstance(handler, functools.partial):
            handler = handler.func
        elif hasattr(handler, "__wrapped__"):
            handler = handler.__wrapped__
        elif inspect.ismethod(handler):
            handler = handler.__func__
        else:
            return handler


def marked(handler: Callable[..., Any]) -> list[str]:
    """Return the names of the marked parameters that a caller of *handler* would have to pass: nobody fills them below."""
    try:
        there, shown = inspect.signature(handler).parameters, inspect.signature(injected(handler)).parameters
    except (TypeError, ValueError):  # of a builtin, which marks nothing
        return []
    return [name for name in there if name not in shown]


def marked_annotations(handler: Callable[..., Any], names: list[str]) -> dict[str, Any]:
    """Return the annotations of the parameters *names*, read; those of others may be for type checkers only."""
    function = innermost(handler)
    written = SimpleNamespace(__annotations__={name: function.__annotations__[name] for name in names})
    return get_type_hints(written, getattr(function, "__globals__", None), include_extras=True)


def marked_inside(annotation: Any) -> Iterator[str]:
    """
    Yield the marked fields of the models in an annotation, of models in these, too: ``Order.settings``.

    A framework that makes such a model of what a client sends would fill them from that.
    """
    seen: set[int] = set()
    pending = [annotation]
    while pending:
        one = pending.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        pending += [inner for inner in get_args(one) if not isinstance(inner, str)]
        kind: Any = get_origin(one) or one
        if not ((isinstance(kind, type) and any(hasattr(kind, name) for name in _FIELDS)) or is_typeddict(kind)):
            continue
        try:
            fields = get_type_hints(kind, include_extras=True)
        except Exception:  # with names for type checkers only: whoever reads it would have to read them, too
            continue
        for name, field in fields.items():
            form: Any = get_origin(field)
            if form is Annotated and marks(get_args(field)[1:]):
                yield f"{kind.__qualname__.rpartition('<locals>.')[2]}.{name}"
            else:
                pending.append(field)


_MARKS = (Inject, type(get_args(All[int])[1]))


def marks(metadata: Iterable[Any]) -> bool:
    """Tell whether one of *metadata*, of an ``Annotated``, is a mark."""
    return any(isinstance(one, _MARKS) for one in metadata)


#: By what attribute classes are known that are made of data: of pydantic, dataclasses, msgspec, attrs, and named tuples.
_FIELDS = ("model_fields", "__dataclass_fields__", "__struct_fields__", "__attrs_attrs__", "_fields")


def asynchronous(handler: Callable[..., Any]) -> Callable[..., Any]:
    """Return *handler* as an async function: a plain one runs in a thread; generator functions stay what they are."""
    below = innermost(handler)
    if any(map(inspect.iscoroutinefunction, (handler, getattr(handler, "__call__", None)))) or (  # noqa: B004  # an object's
        inspect.isgeneratorfunction(below) or inspect.isasyncgenfunction(below)
    ):
        return handler
    if not inspect.iscoroutinefunction(below):
        return in_thread(handler)

    @functools.wraps(handler)
    async def run(*args: Any, **named: Any) -> Any:  # below a decorator that only hands on
        return await handler(*args, **named)

    return run


def by_name(handler: Callable[..., Any]) -> Callable[..., Any]:
    """
    Return *handler* so that it is called with names, as frameworks call handlers: a decorator may look for one of them.

    A function that no decorator wraps is returned as it is: nobody can tell how it is called.
    """
    if not hasattr(handler, "__wrapped__"):
        return handler
    signature = inspect.signature(handler)
    parameters = [
        one.replace(kind=inspect.Parameter.KEYWORD_ONLY) if one.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD else one
        for one in signature.parameters.values()
    ]
    named: Any = _like(handler)
    named.__signature__ = signature.replace(parameters=_ordered(parameters))
    return named  # type: ignore[no-any-return]  # it is, but functions take any attribute only as Any


def _ordered(parameters: list[inspect.Parameter]) -> list[inspect.Parameter]:
    return sorted(parameters, key=lambda one: one.kind)


def _like(handler: Any) -> Any:
    """Return a function of the same kind that hands everything on."""
    if inspect.iscoroutinefunction(handler):

        @functools.wraps(handler)
        async def call_async(*args: Any, **named: Any) -> Any:
            return await handler(*args, **named)

        return call_async

    @functools.wraps(handler)
    def call(*args: Any, **named: Any) -> Any:
        return handler(*args, **named)

    return call


def collecting(handler: Callable[..., Any]) -> Callable[..., Any]:
    """
    Return a function with the marked parameters of *handler* alone, which gives their values by name.

    For handlers below decorators that pass some parameters by themselves, so that nobody can tell how they are called.
    """
    names = marked(handler)
    found = marked_annotations(handler, names)
    given = inspect.signature(handler).parameters
    parameters = [given[name].replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=found[name]) for name in names]
    collect: Any
    if inspect.iscoroutinefunction(innermost(handler)):

        async def acollect(**values: Any) -> dict[str, Any]:
            return values

        collect = acollect
    else:

        def collect_now(**values: Any) -> dict[str, Any]:
            return values

        collect = collect_now
    collect.__name__, collect.__qualname__ = handler.__name__, handler.__qualname__
    collect.__signature__, collect.__annotations__ = inspect.Signature(parameters), found
    return injected(collect)
