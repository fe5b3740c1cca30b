"""
Dask: ``client.register_plugin(ContainerPlugin("shop.main:Shop"))``, then functions under ``@scoped``.

Needs the extra ``dask``.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, Final, ParamSpec, TypeVar

from distributed import Worker, WorkerPlugin, get_worker

from .. import ContainerError
from ..workers import Source, WorkerContainer

__all__ = ["ContainerPlugin", "scoped"]

P = ParamSpec("P")
R = TypeVar("R")

#: How workers know the plugin.
_NAME: Final = "asyncmeta"


class ContainerPlugin(WorkerPlugin):
    """
    Gives each worker of a cluster a container: ``client.register_plugin(ContainerPlugin("shop.main:Shop"))``.

    A worker enters a container of its own on its loop, and builds the singletons, when the plugin is registered, or when the
    worker comes, also one that comes later or that a nanny has restarted.  It is closed when the worker closes.  What fails at
    opening fails the registration; a worker that comes later logs it, and its tasks raise it.

    Args:
        source: Whence the container comes: ``"package.module:Application"``, which each worker imports, or an application
            class or a function that makes a container, which can be pickled.
        start: Whether singletons are built when a worker opens its container; else when they are first needed.
        concurrency: How many of these builds may run at once.
        jitter: Seconds: a worker waits for a random part of these before it opens its container.
        level: The level of a task's scope; the innermost if not given.

    .. versionadded:: 0.1.0
    """

    name = _NAME
    idempotent = True

    def __init__(
        self,
        source: Source,
        /,
        *,
        start: bool = True,
        concurrency: int | None = None,
        jitter: float = 0.0,
        level: str | None = None,
    ) -> None:
        self._facts = (source, start, concurrency, jitter)
        self.level = level
        self._open: dict[str, WorkerContainer] = {}  #: by the worker's id: some clusters have several in a process
        self._failures: dict[str, BaseException] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return _plugin, (*self._facts, self.level)

    async def setup(self, worker: Worker) -> None:
        """Open the container of *worker*; called by Dask."""
        source, start, concurrency, jitter = self._facts
        container = WorkerContainer(source, start=start, concurrency=concurrency, jitter=jitter)
        try:
            await container.aopen()
        except BaseException as error:
            self._failures[worker.id] = error
            raise
        self._open[worker.id] = container

    async def teardown(self, worker: Worker) -> None:
        """Close the container of *worker*; called by Dask."""
        container = self._open.pop(worker.id, None)
        if container is not None:
            await container.aclose()

    def container(self, worker: Worker) -> WorkerContainer:
        """
        Return the container of *worker*.

        Raises:
            ContainerError: It is not open.
        """
        found = self._open.get(worker.id)
        if found is None:
            raise ContainerError("the container of this worker is not open") from self._failures.get(worker.id)
        return found


def _plugin(source: Source, start: bool, concurrency: int | None, jitter: float, level: str | None) -> ContainerPlugin:
    return ContainerPlugin(source, start=start, concurrency=concurrency, jitter=jitter, level=level)


def scoped(function: Callable[P, R], /) -> Callable[..., R]:
    """
    Let *function* run as a task in a scope of its worker's container, its marked parameters filled.

    As a decorator, or where it is sent: ``client.map(scoped(resize), names)``.  Who sends it passes the other parameters.

    An async function runs on the worker's loop, where the container lives; a plain one in one of the worker's threads, with
    values that may have been awaited.  The scope is ambient for injected functions, and is given the ``Worker`` where the
    application declares that as context.  It ends when the function has returned: what fails then fails the task.

    Elsewhere than on a worker, as in a test, it is the function itself: marked parameters are passed.

    Raises:
        ContainerError: When it runs: the worker has no `ContainerPlugin`, or its container did not open.

    .. versionadded:: 0.1.0
    """
    return _async(function) if inspect.iscoroutinefunction(function) else _plain(function)


def _async(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    async def run(*args: Any, **named: Any) -> Any:
        worker = _worker()
        if worker is None:
            return await function(*args, **named)
        plugin = _plugin_of(worker)
        return await plugin.container(worker).acall(function, args, named, context={Worker: worker}, level=plugin.level)

    return run


def _plain(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def run(*args: Any, **named: Any) -> Any:
        worker = _worker()
        if worker is None:
            return function(*args, **named)
        plugin = _plugin_of(worker)
        return plugin.container(worker).call(function, args, named, context={Worker: worker}, level=plugin.level)

    return run


def _worker() -> Worker | None:
    try:
        return get_worker()
    except ValueError:  # nowhere near one
        return None


def _plugin_of(worker: Worker) -> ContainerPlugin:
    plugin = worker.plugins.get(_NAME)
    if not isinstance(plugin, ContainerPlugin):
        raise ContainerError("this worker has no container: client.register_plugin(ContainerPlugin(application))")
    return plugin
