"""What does the running code have around it?  The ambient scope, overrides in force, gets, finalizers: by context variables."""

from __future__ import annotations

import contextvars
from types import TracebackType
from typing import Any

from ..._solve.plan import Plan

__all__ = [
    "AMBIENT", "EXITING", "GETTING", "IN_FORCE", "Ambient", "Seeing", "Shield", "current", "getting", "unshield",
]  # fmt: skip

AMBIENT: contextvars.ContextVar[Any] = contextvars.ContextVar("asyncmeta_ambient", default=None)


def current() -> Any:
    """Return the ambient scope, or the ambient container (which is a scope, too); None where there is neither."""
    return AMBIENT.get()


class Ambient:
    """Makes a scope the ambient one for a block, in the task that enters it and the tasks started inside."""

    __slots__ = ("_scope", "_token")

    def __init__(self, scope: object) -> None:
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


# --- overrides in force ------------------------------------------------------------


class Shield:
    """
    Stands in IN_FORCE while a shared value is built: not even overrides for everybody count then.

    A task that its factory starts has it in its context for ever; ended with the build, it is passed over.
    """

    __slots__ = ("ended",)

    answers: Any = None
    over: tuple[Any, ...] = ()

    def __init__(self) -> None:
        self.ended = False


def unshield(seen: tuple[Any, ...]) -> None:
    """What was built in the sight of *seen* is there."""
    for one in seen:
        if type(one) is Shield:
            one.ended = True


#: What is in force in this context, innermost last; what has ended is passed over.
IN_FORCE: contextvars.ContextVar[tuple[Any, ...]] = contextvars.ContextVar("asyncmeta_overrides", default=())


class Seeing:
    """Sets for a block what is in force in it: of what is built, what its container says."""

    __slots__ = ("_seen", "_token")

    def __init__(self, seen: tuple[Any, ...]) -> None:
        self._seen = seen

    def __enter__(self) -> None:
        self._token = IN_FORCE.set(self._seen)

    def __exit__(self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None, /) -> None:
        unshield(self._seen)
        try:
            IN_FORCE.reset(self._token)
        except ValueError:  # a coroutine that is given up is closed in whatever context
            pass


# --- finalizers ------------------------------------------------------------

#: Containers whose finalizers the running code is part of.
EXITING: contextvars.ContextVar[tuple[Any, ...]] = contextvars.ContextVar("asyncmeta_exiting", default=())


# --- gets ------------------------------------------------------------

#: The plans of the gets that this task, or the thread, carries out; of a build's task those of who began it.
GETTING: contextvars.ContextVar[tuple[Plan, ...]] = contextvars.ContextVar("asyncmeta_getting", default=())


class getting:
    """For a block: what is built is built for *plans*."""

    __slots__ = ("plans", "token")

    def __init__(self, *plans: Plan) -> None:
        self.plans = plans

    def __enter__(self) -> None:
        self.token = GETTING.set(self.plans)

    def __exit__(self, *exc: object) -> None:
        try:
            GETTING.reset(self.token)
        except ValueError:  # collected with its loop gone, in whatever context that happened
            pass
