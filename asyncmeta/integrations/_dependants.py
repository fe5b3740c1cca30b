"""What are the handlers of an application of FastAPI's, with the dependencies that they have, and what is read for them?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from . import starlette
from ._handlers import Handler, asking
from ._marks import marked, marked_inside

__all__ = ["handlers_of"]


def handlers_of(app: Any) -> Iterator[Handler]:
    """Yield the handlers of *app* and their dependencies, of what is included and mounted, too."""
    yield from starlette.around_handlers(app)
    seen: set[int] = set()
    for route in app.routes:
        yield from _of_route(route, seen)


def _of_route(route: Any, seen: set[int]) -> Iterator[Handler]:
    included = getattr(route, "original_router", None)  # since FastAPI 0.137; before it, its routes are copied
    if included is not None:
        for one in included.routes:
            yield from _of_route(one, seen)
    elif getattr(route, "dependant", None) is not None:
        methods = "/".join(sorted(getattr(route, "methods", None) or ())) or "WEBSOCKET"
        yield from _of_dependant(route.dependant, f"{methods} {route.path}", seen)
    else:
        yield from starlette.handlers_of_route(route)


#: What FastAPI reads from a request for a function.
_READ: Final = ("path_params", "query_params", "header_params", "cookie_params", "body_params")


def _of_dependant(dependant: Any, called: str, seen: set[int]) -> Iterator[Handler]:
    if id(dependant) in seen:
        return
    seen.add(id(dependant))
    if dependant.call is not None:
        # Most of what it reads it reads by pydantic, which the marks refuse; not where the default says whence: `= Body()`.
        read = {one.name: one for kind in _READ for one in getattr(dependant, kind)}
        names = tuple(name for name in marked(dependant.call) if name in read)
        inside = [field for name, one in read.items() for field in marked_inside(getattr(one.field_info, "annotation", None))]
        yield Handler(dependant.call, called, names, tuple(dict.fromkeys(inside)))
    for one in dependant.dependencies:
        token = getattr(one.call, "asyncmeta_token", None)
        if token is None:
            yield from _of_dependant(one, called, seen)
        elif one.name is None:  # of a router; a parameter is told by its function
            yield asking(token, f"dependencies of {called}")
