"""How do the handlers of a framework's application stand in its graph?  As those who ask."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from types import CodeType
from typing import Any, NamedTuple

from .. import Container
from .._declare.entries import Declaration, registration_of
from .._declare.registry import Registry, layers_of
from .._names import Place
from .._solve.graph import Graph
from ..integrations._handlers import Handler, filled_by_another
from ..integrations._marks import innermost, marked, marked_annotations

__all__ = ["Served", "with_handlers"]


class Served(NamedTuple):
    """An application of a framework, and the container that serves it."""

    container: Container
    handlers: list[Handler]
    cure: str  #: what to do where nobody fills a mark


def with_handlers(graph: Graph, handlers: Iterable[Handler], container: Container) -> Graph:
    """Return *graph*, of *container*, with its handlers: each is a node that needs what its marked parameters ask for."""
    registry = Registry(None)
    seen: set[int] = set()
    for one in handlers:
        if filled_by_another(one.function, container):
            continue
        function = innermost(one.function)
        names = marked(function) if callable(function) else []
        if not names or id(function) in seen:
            continue
        seen.add(id(function))
        stub = _stub(function, names)
        # A key of its own that is called as the function is.
        token = type(stub.__name__, (), {"__qualname__": stub.__qualname__, "__module__": stub.__module__})
        place = Place(stub.__code__.co_filename, stub.__code__.co_firstlineno)
        registration = registration_of(Declaration(token, stub, {"lifetime": "scoped"}, place, None), entry=True)
        registry.add(registration, replace=True)
    own = layers_of(graph.app)
    above = graph.layers[len(graph.over) : len(graph.layers) - len(own)]
    return Graph(own, graph.builtin, app=graph.app, hooks=graph.hooks, extra=(registry, *above), over=graph.over, given=graph.given)


def _stub(function: Any, names: list[str]) -> Any:
    """Return a function with the marked parameters of *function* alone, which stands where that does and is called so."""

    def handler(**values: Any) -> None: ...

    stub: Any = handler
    try:
        found = marked_annotations(function, names)
    except Exception:  # whatever evaluating a user's text may raise: told by the check of the parameter
        found = {name: innermost(function).__annotations__.get(name) for name in names}
    signature = inspect.signature(function)
    parameters = [signature.parameters[name].replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=found[name]) for name in names]
    stub.__signature__ = inspect.Signature(parameters)
    stub.__annotations__ = found
    stub.__module__ = getattr(function, "__module__", None)
    stub.__name__ = getattr(function, "__name__", "handler")
    stub.__qualname__ = getattr(function, "__qualname__", stub.__name__)
    stub.__asyncmeta_kind__ = "handler"
    code: CodeType | None = getattr(function, "__code__", getattr(getattr(function, "__init__", None), "__code__", None))
    if code is not None:
        stub.__code__ = stub.__code__.replace(co_filename=code.co_filename, co_firstlineno=code.co_firstlineno)
    return stub
