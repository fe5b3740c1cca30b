"""Which scope or container is the one around the running code?  Read by injected functions, never by `get`."""

from __future__ import annotations

import contextvars
from types import TracebackType
from typing import Any

__all__ = ["AMBIENT", "Ambient", "current", "lasting"]

AMBIENT: contextvars.ContextVar[Any] = contextvars.ContextVar("asyncmeta_ambient", default=None)


def current() -> Any:
    """Return the ambient scope, or the ambient container (which is a scope, too); None where there is neither."""
    return AMBIENT.get()


def lasting(container: Any) -> Any:
    """
    Return what is ambient while *container* builds what it keeps: no scope, which would end before that does.

    It is the container itself, unless what is ambient here is of quite another one: then it is that.
    """
    here = AMBIENT.get()
    if here is None:
        return None
    around = here.container
    return container if around._origin is container._origin else around


class Ambient:
    """Makes a scope the ambient one for a block, in the task that enters it and the tasks started inside."""

    __slots__ = ("_scope", "_token")

    def __init__(self, scope: Any) -> None:
        self._scope = scope
        self._token: contextvars.Token[Any] | None = None

    def __enter__(self) -> Any:
        self._token = AMBIENT.set(self._scope)
        return self._scope

    def __exit__(
        self, exc_type: type[BaseException] | None = None, exc: BaseException | None = None, tb: TracebackType | None = None, /
    ) -> None:
        token, self._token = self._token, None
        if token is None:
            return
        try:
            AMBIENT.reset(token)
        except ValueError:
            # Left in another context than it was entered in: a fixture's two halves.  What this one sees, if anything,
            # is what was copied.
            if AMBIENT.get() is self._scope:
                before = token.old_value
                AMBIENT.set(None if before is contextvars.Token.MISSING else before)
