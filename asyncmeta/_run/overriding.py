"""Which overrides are in force for the running code?"""

from __future__ import annotations

import contextvars
from typing import Any, Final

__all__ = ["IN_FORCE", "NONE", "active_for", "looking_first"]

#: Stands in IN_FORCE where not even overrides for everybody count: while a shared value is built.
NONE: Final = object()

#: The overlays in force in this context, innermost last; ended ones are passed over.
IN_FORCE: contextvars.ContextVar[tuple[Any, ...]] = contextvars.ContextVar("asyncmeta_overrides", default=())


def active_for(container: Any) -> Any:
    """Return the overlay that is in force for *container* here, or None."""
    for overlay in reversed(IN_FORCE.get()):
        if overlay is NONE:
            return None
        if overlay.origin is container and not overlay.ended:
            return overlay
    for overlay in reversed(container.everywhere):
        if not overlay.ended:
            return overlay
    return None


def looking_first(container: Any, token: Any, root: Any) -> Any:
    """Return *root* so that it first looks whether some override may be in force here; then the cold path knows more."""

    def look(scope: Any) -> Any:
        if IN_FORCE.get() or container.everywhere:
            return scope._get_cold(token)
        return root(scope)

    return look
