"""
Procrastinate: ``setup(app, "shop.main:Shop")``, then ``From[T]`` in any task; PostgreSQL is the queue.

Needs the extra ``procrastinate``.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from procrastinate import App, JobContext
from procrastinate.jobs import Job

from .. import injected
from ..workers import Source, WorkerContainer, check, in_thread
from ._endings import Cancellation

__all__ = ["setup"]


def setup(
    app: App,
    source: Source,
    /,
    *,
    start: bool = True,
    concurrency: int | None = None,
    jitter: float = 0.0,
    level: str | None = None,
) -> None:
    """
    Let each worker of *app* open a container, and each job have a scope.

    *A worker's life.*  ``app.run_worker_async()``, which the command ``procrastinate worker`` calls, makes the container on its
    loop, checks it together with what the tasks ask for, enters it and builds the singletons; what fails there is raised.
    It is closed when the worker has ended, after the jobs that it lets end.  A process that only defers jobs opens
    nothing.

    *A job's life.*  The scope is ambient for injected functions; it is given the ``JobContext``, and the ``Job``, where the
    application declares these as context.  It ends when the function has returned, before the job is marked as done: a commit
    that fails is a failure of the job, and its retry strategy sees it.  Each try has a scope of its own.  Whoever defers a
    job cannot fill a marked parameter.

    *Failure.*  Finalizers see what the job raised, or its cancellation where it is aborted.

    A plain function with marked parameters runs in a thread, with values that may have been awaited; to Procrastinate it is
    an async one, so middlewares for plain tasks do not wrap it.

    Args:
        app: The application; before its tasks are declared, or after.
        source: Whence the container comes: ``"package.module:Application"``, which is imported when a worker starts, or an
            application class, a function that makes a container, or one that is there.
        start: Whether singletons are built when a worker starts; else when they are first needed.
        concurrency: How many of these builds may run at once.
        jitter: Seconds: a worker waits for a random part of these before it opens its container.
        level: The level of a job's scope; the innermost if not given.

    .. versionadded:: 0.1.0
    """
    run_worker = app.run_worker_async
    filling = _Filling(app)

    @functools.wraps(run_worker)
    async def run_worker_async(**options: Any) -> None:
        app.perform_import_paths()
        others = options.pop("worker_middleware", None) or app.worker_defaults.get("worker_middleware") or []
        worker = WorkerContainer(source, start=start, concurrency=concurrency, jitter=jitter)
        with filling.of_a_worker() as given:
            async with worker:
                check(worker.container, given)
                await run_worker(**options, worker_middleware=[_giving_scopes(worker, given, level), *others])

    # An attribute of this application alone: `run_worker` and the command find it there.
    vars(app)["run_worker_async"] = run_worker_async


class _Filling:
    """Lets the functions of all tasks of an application be filled while workers run; these may be several side by side."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._former: dict[Any, Callable[..., Any]] = {}
        self._workers = 0

    @contextmanager
    def of_a_worker(self) -> Iterator[list[Callable[..., Any]]]:
        """Give the functions that are filled, as they were; the last worker that ends gives them back."""
        self._workers += 1
        try:
            for task in self._app.tasks.values():
                function = task.func
                if task not in self._former and _marked(function):
                    self._former[task] = function
                    task.func = injected(function if inspect.iscoroutinefunction(function) else in_thread(function))
            yield list(self._former.values())
        finally:
            self._workers -= 1
            if not self._workers:
                for task, function in self._former.items():
                    task.func = function
                self._former.clear()


def _marked(function: Callable[..., Any]) -> list[str]:
    """Return the marked parameters of a function."""
    left = inspect.signature(injected(function)).parameters
    return [name for name in inspect.signature(function).parameters if name not in left]


def _giving_scopes(worker: WorkerContainer, given: list[Callable[..., Any]], level: str | None) -> Callable[..., Any]:
    """Return the middleware that gives each job a scope."""
    marked = {function: _marked(function) for function in given}

    async def give_scope(call_next: Callable[[], Any], context: JobContext, _: Any) -> Any:
        job, container = context.job, worker.container
        task = context.app.tasks.get(job.task_name)
        for name in marked.get(inspect.unwrap(task.func), ()) if task is not None else ():
            if name in job.task_kwargs:
                raise TypeError(f"the job has an argument for {name!r}, which the container fills")
        offered: dict[Any, object] = {JobContext: context, Job: job}
        values = {token: value for token, value in offered.items() if container.takes(token, level=level)}
        cancellation = Cancellation()
        async with container.scope(values or None, level=level) as scope:
            with scope.ambient():
                answer = await call_next()
            await cancellation.tell()
            return answer

    return give_scope
