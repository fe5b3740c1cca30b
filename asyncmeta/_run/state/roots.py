"""What does a token lead to, for now?"""

from __future__ import annotations

from typing import Any

from .context import IN_FORCE

__all__ = ["constant_root", "is_constant", "looking_first", "looking_first_for"]


def constant_root(value: Any) -> Any:
    """Return the root of a built container value."""

    async def root(s: Any) -> Any:
        return value

    return root


def is_constant(root: Any) -> bool:
    """Tell whether *root* gives a built container value and does nothing else."""
    return root.__code__ is _CONSTANT


_CONSTANT = constant_root(None).__code__


def looking_first(container: Any, token: Any, root: Any) -> Any:
    """Return *root* so that it first looks whether some override may be in force here; then the cold path knows more."""

    def look(scope: Any) -> Any:
        if IN_FORCE.get() or container._everywhere:
            return scope._get_cold(token)
        return root(scope)

    return look


def looking_first_for(container: Any, token: Any, value: Any) -> Any:
    """Return the same for a built container value: in one coroutine."""
    in_force, everywhere = IN_FORCE.get, container._everywhere

    async def look(scope: Any) -> Any:
        if in_force() or everywhere:
            return await scope._get_cold(token)
        return value

    return look
