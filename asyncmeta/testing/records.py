"""What was built and closed, in order; and the shared layer as it was before."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

from .._declare.registry import registry_of, snapshot
from .._run.container.container import Container
from .._run.observe.watch import Event, Observation, Observer
from .._run.state.singletons import NOWHERE
from .._service import AsyncServiceBase

__all__ = ["Recording", "containers", "observing_all", "recording", "registrations"]


class Recording:
    """
    What was built and what was closed, by name, each in order.

    A name is what the container calls a key in its errors: a class's name, or a string in quotes.  A value that the
    program has made itself is not built; what has no finalizer is not closed.
    """

    __slots__ = ("_built", "_closed")

    def __init__(self) -> None:
        self._built: list[str] = []
        self._closed: list[str] = []

    def __repr__(self) -> str:
        return f"<Recording: built {self._built}, closed {self._closed}>"

    @property
    def built(self) -> list[str]:
        """The names of what was built, in the order of completion; a new list."""
        return list(self._built)

    @property
    def closed(self) -> list[str]:
        """The names of what was torn down, in that order; a new list."""
        return list(self._closed)


class _Recorder(Observer):
    """Writes into a recording."""

    def __init__(self, into: Recording) -> None:
        self.into = into

    def build_end(self, event: Event, /) -> None:
        self.into._built.append(event.key)

    def finalize_end(self, event: Event, /) -> None:
        self.into._closed.append(event.key)

    # One that has failed has run as well.
    finalize_failed = finalize_end


def recording(container: Container | None = None, /) -> AbstractContextManager[Recording, None]:
    """
    Record what is built and closed inside of the block.

    Args:
        container: Whose builds; None for every container of the process, those included that are made in the block.

    Example:
        >>> with recording() as record:
        ...     asyncio.run(main())
        >>> record._built, record.closed
        (['Settings', 'Database'], ['Database'])

    .. versionadded:: 0.1.0
    """
    return _recording(container)  # type: ignore[return-value]  # contextlib's own says that it might swallow exceptions


@contextmanager
def _recording(container: Container | None) -> Iterator[Recording]:
    record = Recording()
    with observing_all(_Recorder(record)) if container is None else container.observe(_Recorder(record)):
        yield record


# --- every container -------------------------------------------------------------------------------

_LOCK = threading.Lock()
_EVERYWHERE: list[tuple[Observer, ExitStack]] = []  #: who observes every container, and what ends that


@contextmanager
def observing_all(observer: Observer) -> Iterator[None]:
    """Let *observer* observe every container that there is, and every one that is made before the block ends."""
    with ExitStack() as ends:
        with _LOCK:
            _EVERYWHERE.append((observer, ends))
            if len(_EVERYWHERE) == 1:
                Container.__init__ = _observed_init  # type: ignore[method-assign]  # put back below
        try:
            for container in containers():
                _enter(ends, container.observe(observer))
            yield
        finally:
            with _LOCK:
                _EVERYWHERE.remove((observer, ends))
                if not _EVERYWHERE:
                    Container.__init__ = _plain_init  # type: ignore[method-assign]


def _enter(ends: ExitStack, observation: Observation) -> None:
    with _LOCK:
        ends.enter_context(observation)


_plain_init: Any = Container.__init__


# Only while somebody records everything: a container that is made then must cost nothing at any other time.
@functools.wraps(_plain_init)
def _observed_init(self: Container, *args: Any, **named: Any) -> None:
    _plain_init(self, *args, **named)
    with _LOCK:
        for observer, ends in _EVERYWHERE:
            ends.enter_context(self.observe(observer))


def containers() -> list[Container]:
    """Return the containers that there are; overlays tell those who observe what they lie on."""
    shared = registry_of(AsyncServiceBase)
    assert shared is not None
    # Every graph has the shared layer, and knows the containers that live on it.
    tables = [table for graph in snapshot(shared.watchers) for table in snapshot(graph.listeners)]
    return [table.singletons.scope for table in tables if table.singletons.scope._parent is NOWHERE]


# --- registering -----------------------------------------------------------------------------------


def registrations() -> AbstractContextManager[None, None]:
    """
    Restore the shared layer at the end of the block: what was registered on it inside is gone, what was there is back.

    The shared layer is where `inject_dependency` registers when it is told nothing else; the registrations of service
    classes are left alone, since such a class can be made anew for each test.  Blocks nest.  What a container has built
    it keeps until it closes.

    .. versionadded:: 0.1.0
    """
    return _registrations()  # type: ignore[return-value]  # as above


@contextmanager
def _registrations() -> Iterator[None]:
    registry = registry_of(AsyncServiceBase)
    assert registry is not None
    before = dict(registry.entries), list(registry.replaced), list(registry.waiting)
    try:
        yield
    finally:
        registry.entries, registry.replaced, registry.waiting = before
        registry.changed()
