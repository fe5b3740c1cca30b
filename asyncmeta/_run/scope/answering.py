"""Who answers while an override is in force somewhere?"""

from __future__ import annotations

from typing import Any, Final

from ...errors import ClosedError
from ..state.singletons import ScopeState
from ..teardown.scope_exit import ScopeExit

__all__ = ["NOTHING", "answered"]

#: No override has an answer, nor does anything that was set aside: the container's own is to be found.
NOTHING: Final = object()


async def answered(scope: ScopeExit, token: object, *, waits: bool = True) -> Any:
    """
    Return what *scope* gives for *token* where an override answers, or what was found before it came into force.

    Args:
        waits: What has to be awaited may be; else nothing is.
    """
    container, before = scope.container, None
    while scope._singletons.overridden:
        scope._check_open()
        active = container._active()
        overlay = None if active is None else active._answering_for(container, scope, token)
        if overlay is None:
            aside = scope._root_table.from_aside(scope, token, builds=active is None) if waits else None
            return NOTHING if aside is None else await aside(scope)
        try:
            view = overlay._view_of(scope)
            return await view.get(token) if waits else view.get_nowait(token)
        except ClosedError:
            if overlay is before or not _has_ended(overlay, container):
                raise
            before = overlay  # it ended meanwhile, which is nothing to who asks this
    return NOTHING


def _has_ended(overlay: ScopeState, container: ScopeState) -> bool:
    """Tell whether *overlay*, or one that it lies upon, has ended: what is laid upon such a one is laid anew then."""
    while overlay is not container:
        if overlay.closed:
            return True
        overlay = getattr(overlay, "_below", container)
    return False
