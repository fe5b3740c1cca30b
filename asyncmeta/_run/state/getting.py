"""For which gets is something built here?  What a note on a failure names as the way that was taken."""

from __future__ import annotations

import contextvars

from ..._solve.plan import Plan

__all__ = ["GETTING", "getting"]

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
