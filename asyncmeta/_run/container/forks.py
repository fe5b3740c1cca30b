"""What becomes of containers in a process that is forked?  The child's are its own: begun anew, or closed."""

from __future__ import annotations

import os
import threading
import weakref
from typing import Any, Final

from ..._declare.lifetimes import CONTAINER_LEVEL
from ..._lock import LOCK
from ...errors import ClosedError
from ..build.attributes import refusing
from ..state.parking import Outcome
from ..state.singletons import IS_CLOSED, NOWHERE, OPEN, ScopeState
from ..state.slots import CLOSED, GONE
from ..state.waiting import forget_waits
from .state import ContainerState

__all__ = ["know"]

#: Seconds that a fork waits for another thread to leave the lock, which is held for moments only.
PATIENCE: Final = 5.0

#: Every container that may be told of a fork.
_KNOWN: Final[weakref.WeakSet[ContainerState]] = weakref.WeakSet()

#: The threads that fork just now and hold the lock for it.
_FORKING: Final[set[int]] = set()

#: The process that this is: after a fork the child finds its parent's number here.
_here = os.getpid()

#: What the parent has to close.  Kept, because a generator that is collected runs to its end: here, on what is the parent's.
_THE_PARENTS: Final[list[Any]] = []


def know(container: ContainerState) -> None:
    """Let *container* be told of forks, for as long as it lives."""
    with LOCK:
        _KNOWN.add(container)


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
    for container in sorted((one for one in _KNOWN if one._singletons.state != IS_CLOSED), key=_depth):
        _settle(container, parent)
    if held:
        LOCK.release()


def _depth(container: ScopeState) -> int:
    """Overlays come after what they lie on."""
    return 0 if container._parent is NOWHERE else 1 + _depth(container._parent)


def _settle(container: ContainerState, parent: int) -> None:
    """Make of the copy of a parent's container one that is closed, where that was entered, else one with nothing built."""
    around, singletons = container._parent, container._singletons
    entered = bool(container._grounds) or singletons.state != OPEN or (around is not NOWHERE and around.closed)
    _THE_PARENTS.append(
        (container._finalizers, list(singletons.built.values()), list(singletons.tasks), list(singletons.owner_tasks))
    )
    for flight in singletons.flights.values():
        # Nobody carries it out here, and who waits for it does so in the parent.
        flight.waiters.clear()
        flight.end(Outcome())
    for child in list(container._inner):
        if child._level != CONTAINER_LEVEL:
            _leave_to_the_parent(child)
    name = singletons.name
    container._attributes.end(
        refusing(
            lambda: ClosedError(f"this was fetched in process {parent}, from which this one was forked: ask {name} for it here")
        )
    )
    singletons.loop = None
    singletons.retiring = False
    singletons.owed = []
    singletons.tasks.clear()
    singletons.owner_tasks.clear()
    container._root_table.clear()  # clears those that the parent's scopes look into
    container._begin_anew()
    if entered:
        container._end_force()
        singletons.turn(IS_CLOSED)
        singletons.forked_from = parent
        container._roots = container._roots_nowait = CLOSED
        singletons.built.clear()
        container._values = GONE
    elif around._children is not None:
        around._children.add(container)


def _leave_to_the_parent(scope: ScopeState) -> None:
    """Close a scope of the parent's without tearing down what it holds."""
    _THE_PARENTS.append((scope._finalizers, scope._values))
    for child in scope._children or ():
        _leave_to_the_parent(child)
    scope._finalizers = scope._waiters = scope._children = None
    scope._in_flight = 0
    scope._roots, scope._values = CLOSED, GONE


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
