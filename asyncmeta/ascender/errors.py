"""What does an Ascender program catch?"""

from __future__ import annotations

from typing import Any

from .._names import name_of
from .._solve.graph import Graph
from ..errors import AsyncDependencyError, CircularDependencyError, MissingDependencyError

__all__ = ["CyclicDependency", "NoneInjectorException", "missing", "through_door"]


class NoneInjectorException(MissingDependencyError):
    """Nothing provides a token, or something that it needs."""

    def __str__(self) -> str:
        lines = [f"no provider for {self.key}{self._needed_by()}{self._drawn()}"]
        if self.hint:
            lines.append(f"  {self.hint}")
        if self.close_to:
            lines.append(f"  Did you mean {' or '.join(self.close_to)}?")
        return "\n".join(lines)


class CyclicDependency(CircularDependencyError):
    """Something needs itself, directly or through others."""


def missing(graph: Graph, token: Any, left_out: str = "") -> NoneInjectorException:
    name = name_of(token)
    if left_out:
        return NoneInjectorException(name, (name,), "", (), left_out)
    return NoneInjectorException(name, (name,), "", graph.names_near(token), graph.hint_for(token))


def through_door(error: Any) -> Exception:
    """Return *error* as the class that an Ascender program catches."""
    fresh: Exception
    if type(error) is MissingDependencyError:
        fresh = NoneInjectorException(*error.args)
    elif type(error) is CircularDependencyError:
        fresh = CyclicDependency(*error.args)
    elif type(error) is AsyncDependencyError:
        fresh = AsyncDependencyError(error.key, error.path, error.where, error.reason, "Await it: `await injector.aget(...)`")
    else:
        return error  # type: ignore[no-any-return]  # a subclass, from another door
    for note in getattr(error, "__notes__", ()):
        fresh.add_note(note)
    return fresh.with_traceback(error.__traceback__)
