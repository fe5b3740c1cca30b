"""How does source become a function?  The one place that compiles."""

from __future__ import annotations

import itertools
import linecache
import types
import weakref
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any

from ..._compat import get_running_loop
from ..._names import name_of
from ..._solve.emit import Source, emit_root
from ..._solve.nodes import Node
from ..._solve.plan import Plan
from ..build.interpreter import absent, adopt_made, bind, function_of, half_again, join, settle, special, step, undo
from ..state.frames import BUILDS, MAKES
from ..state.singletons import RootFunction, ScopeState
from ..state.slots import CLOSED, CLOSING, FLIGHT, UNSET
from ..teardown.finalizers import push
from ..teardown.scope_exit import landed, live

__all__ = ["Loaded", "bound", "legend", "root_function"]

_NUMBERS = itertools.count(1)


class Loaded:
    """A compiled function without its values; shared by all containers of an application."""

    __slots__ = ("__weakref__", "code", "filename", "names", "source")

    def __init__(self, source: Source) -> None:
        self.source = source
        self.filename = f"<asyncmeta #{next(_NUMBERS)}>"
        module = compile(source.text, self.filename, "exec")
        self.code: types.CodeType = next(const for const in module.co_consts if isinstance(const, types.CodeType))
        # Tracebacks and debuggers find the true line here, for as long as the code lives.
        linecache.cache[self.filename] = (len(source.text), None, source.text.splitlines(keepends=True), self.filename)
        weakref.finalize(self, linecache.cache.pop, self.filename, None)
        #: what is the same for all containers
        self.names: dict[str, Any] = {
            **_HELPERS,
            **(_handles() if source.handles else {}),
            **source.constants,
            **source.nodes,
            **source.sites,
            **{name: function_of(node) for name, node in source.calls.items()},
            "lines": source.lines,
            BUILDS.name: _reader(source.lines),
            MAKES.name: _makes_for,
        }


def _handles() -> dict[str, Any]:
    from ..build.handles import factory_handle, lazy_handle  # lazy import

    return {"lazy_handle": lazy_handle, "factory_handle": factory_handle}


def _reader(lines: Mapping[int, tuple[Node, Node | None]]) -> Callable[[FrameType], tuple[Any, str] | None]:
    """Return a function that tells which scoped value a frame of generated code is building."""

    def read(frame: FrameType) -> tuple[Any, str] | None:
        found = lines.get(frame.f_lineno)
        if found is None or found[1] is None:
            return None
        node = found[1]
        return (frame.f_locals["scope"]._at(node.level), node.slot), node.name

    return read


def _makes_for(frame: FrameType) -> Any:
    """Return the scope that a frame of a root makes something for."""
    return frame.f_locals.get("scope")


def bound(code: Loaded, scope: ScopeState, more: Mapping[str, Any]) -> Any:
    """
    Return the function of *code* with a container's values in its namespace.

    Args:
        more: Helpers that belong to the container or to the form of the function.
    """
    names = code.names.copy()
    names.update(more)
    names["container"] = scope.container
    for name, node in code.source.singletons.items():
        names[name] = scope._singletons.value(node)
    return types.FunctionType(code.code, names)


def root_function(plan: Plan, scope: ScopeState) -> RootFunction:
    """Return the generated function of *plan* for scopes like *scope*, compiled when the first container asks."""
    if plan.code is None:
        plan.code = Loaded(emit_root(plan, scope._level))
    children = scope.container._children
    counts_in = children.add if scope._level == 1 and children is not None else live
    singletons = scope._singletons

    def elsewhere(scope: ScopeState) -> None:
        # Another loop than the one that this was made for: its successor, or a second one, in which nothing is built.
        loop = get_running_loop()
        scope._singletons.check_loop(loop, plan.first_awaiting)
        names["loop"] = loop

    names = {
        "live": counts_in,
        "landed": landed,
        "CLOSED": CLOSED,
        "CLOSING": CLOSING,
        "running_loop": get_running_loop,
        "loop": singletons.origin.loop,
        "elsewhere": elsewhere,
    }
    made = bound(plan.code, scope, names)
    names = made.__globals__
    function: RootFunction = made
    return function


def legend(source: Source) -> list[tuple[str, str]]:
    """Return what the names in *source* stand for, in words."""
    found = [(name, f"the factory of {step(node)}") for name, node in source.calls.items()]
    found += [(name, f"the built {node.name}") for name, node in source.singletons.items()]
    found += [(name, f"a constant, {type(value).__name__}") for name, value in source.constants.items()]
    found += [(name, f"what the graph knows of {node.name}") for name, node in source.nodes.items()]
    found += [(name, f"what a handle asks for, {name_of(site.ask.key)}") for name, site in source.sites.items()]
    return sorted(found, key=lambda pair: (pair[0][0], int(pair[0][1:])))


_HELPERS: dict[str, Any] = {
    "UNSET": UNSET,
    "FLIGHT": FLIGHT,
    "join": join,
    "settle": settle,
    "push": push,
    "undo": undo,
    "bind": bind,
    "set_attribute": object.__setattr__,
    "absent": absent,
    "adopt_made": adopt_made,
    "half_again": half_again,
    "special": special,
}
