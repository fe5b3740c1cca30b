"""What becomes of containers in a process that is forked?  The child's are its own: begun anew, or closed."""

from __future__ import annotations

import os
import threading
import weakref
from typing import Any, Final

from ..errors import ClosedError
from .cells import LOCK, Outcome, forget_waits
from .closing import CLOSED, GONE
from .ending import IS_CLOSED, OPEN, Ending
from .handles import refusing

__all__ = ["know", "lives_elsewhere"]

#: Seconds that a fork waits for another thread to leave the lock, which is held for moments only.
PATIENCE: Final = 5.0

#: Every container that may be told of a fork.
_KNOWN: Final[weakref.WeakSet[Ending]] = weakref.WeakSet()

#: The threads that fork just now and hold the lock for it.
_FORKING: Final[set[int]] = set()

#: The process that this is: after a fork the child finds its parent's number here.
_here = os.getpid()

#: What the parent has to close.  Kept, because a generator that is collected runs to its end: here, on what is the parent's.
_THE_PARENTS: Final[list[Any]] = []


def know(container: Ending) -> None:
    """Let *container* be told of forks, for as long as it lives."""
    with LOCK:
        _KNOWN.add(container)


def lives_elsewhere(container: Ending) -> ClosedError:
    """Return the error for who uses, in a child, what was open in its parent."""
    return ClosedError(
        f"{container.title} was open in process {container.forked_from} when this one, {os.getpid()}, was forked from it, "
        "and lives there: open a container of this process's own, or enter this one here, which begins anew"
    )


def _before() -> None:
    # Invariant: nobody else is in the middle of a change when memory is copied.  In time: who holds the lock and waits for
    # something that this thread has makes a child with a half-made change, which is better than a parent that hangs.
    if LOCK.acquire(timeout=PATIENCE):
        _FORKING.add(threading.get_ident())


def _in_parent() -> None:
    here = threading.get_ident()
    if here in _FORKING:
        _FORKING.discard(here)
        LOCK.release()


def _in_child() -> None:
    global _here
    held = threading.get_ident() in _FORKING
    _FORKING.clear()
    if not held:
        LOCK._at_fork_reinit()  # type: ignore[attr-defined]  # as the standard library does it; typeshed does not list it
    parent, _here = _here, os.getpid()
    forget_waits()
    for container in sorted((one for one in _KNOWN if one.state != IS_CLOSED), key=_depth):
        _settle(container, parent)
    if held:
        LOCK.release()


def _depth(container: Ending) -> int:
    """Overlays come after what they lie on."""
    return 0 if container.p is None else 1 + _depth(container.p)


def _settle(container: Ending, parent: int) -> None:
    """Make of the copy of a parent's container one that is closed, where that was entered, else one with nothing built."""
    around = container.p
    entered = bool(container.grounds) or container.state != OPEN or (around is not None and around.state == IS_CLOSED)
    _THE_PARENTS.append((container.x, list(container.built.values()), list(container.tasks), list(container.holders)))
    for build in container.flights.values():
        # Nobody carries it out here, and who waits for it does so in the parent.
        build.waiters.clear()
        build.end(Outcome())
    for kid in container.kids:
        if not isinstance(kid, Ending):
            _leave_to_the_parent(kid)
    if container.ready_class is not None:
        name = container.name
        container.ready_class.__await__ = refusing(  # type: ignore[method-assign, assignment]  # this container's own class
            lambda: ClosedError(f"this was fetched in process {parent}, from which this one was forked: ask {name} for it here")
        )
    container.loop = None
    container.retiring = False
    container.owed = []
    container.tasks.clear()
    container.holders.clear()
    container.new_tables()  # clears those that the parent's scopes look into
    container.begin_anew()
    if entered:
        container.end_force()
        container.state = IS_CLOSED
        container.forked_from = parent
        container.r = container.q = CLOSED
        container.built.clear()
        container.v = GONE
    elif around is not None:
        around.kids.add(container)


def _leave_to_the_parent(scope: Any) -> None:
    """Close a scope of the parent's without tearing down what it holds."""
    _THE_PARENTS.append((scope.x, scope.v))
    for kid in scope.kids or ():
        _leave_to_the_parent(kid)
    scope.x = scope.w = scope.kids = None
    scope.n = 0
    scope.r, scope.v = CLOSED, GONE


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
