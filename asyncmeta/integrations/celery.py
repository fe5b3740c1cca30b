"""
Celery: ``setup(app, "shop.main:Shop")``, then ``From[T]`` in any task, async ones among them.

Needs the extra ``celery``.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, Final

from celery import Celery, Task, signals
from celery.app.task import Context

from .. import ContainerError, injected
from ..workers import Source, WorkerContainer, check, container_of
from ._handlers import grouped, handler as _handler, unfilled

__all__ = ["setup"]


def setup(
    app: Celery,
    source: Source,
    /,
    *,
    start: bool = True,
    concurrency: int | None = None,
    jitter: float = 0.0,
    level: str | None = None,
) -> WorkerContainer:
    """
    Let each worker process of *app* have a container, and each task a scope; return what opens them.

    Call it before the tasks are made: before the application is finalized.  Tasks with a base class of their own have to
    derive that from ``app.Task``.

    *A worker's life.*  A worker that starts makes and checks the application, together with what the tasks ask for, and ends
    where that fails.  Each process of its pool then enters a container of its own, on a loop in a thread, and builds the
    singletons; it is closed when the process ends.  What fails at entering is logged by Celery, and tried again, and
    raised, by each task.  A pool of threads, or none, shares one container.  Where tasks are called eagerly, as in tests, the
    first one opens it.

    *A task's life.*  Async tasks run in the container's loop, plain ones in the process's own thread with values that may
    have been awaited.  The scope is ambient for injected functions; it is given the task, and its request, where the
    application declares ``celery.Task`` or ``celery.app.task.Context`` as context.  It ends when the function has returned: a
    commit that fails is a failure of the task, and Celery's retries see it.  Each try has a scope of its own.  ``self.request``
    of a bound task is its own in both kinds; ``celery.current_task``, which Celery keeps by thread, is so in plain ones only.

    A message cannot fill a marked parameter.

    *Failure.*  Finalizers see what the task raised; ``Retry``, ``Ignore`` and ``Reject`` are failures, too.  A soft time
    limit cancels an async task and waits for its finalizers; a hard one kills the process, and nothing is run.

    Args:
        app: The application.
        source: Whence the container comes: ``"package.module:Application"``, which is imported when a worker starts, or an
            application class, or a function that makes a container.
        start: Whether singletons are built when a process starts; else when they are first needed.
        concurrency: How many of these builds may run at once.
        jitter: Seconds: a process waits for a random part of these before it opens its container.
        level: The level of a task's scope; the innermost if not given.

    Raises:
        GraphErrors: There are tasks with marked parameters already, and nobody would fill these.

    .. versionadded:: 0.1.0
    """
    worker = WorkerContainer(source, start=start, concurrency=concurrency, jitter=jitter)

    _refuse_unfilled(app, app.tasks if app.finalized else {})
    serves = False  #: the worker of this process, or of the one that it was forked from, is this application's

    def check_all(sender: Any, **_: Any) -> None:
        nonlocal serves
        serves = sender.app == app  # signals are those of all applications
        if not serves:
            return
        try:
            _refuse_unfilled(app, app.tasks)
            check(container_of(source), [getattr(task, _GIVEN) for task in app.tasks.values() if hasattr(task, _GIVEN)])
        except Exception as error:
            # Celery goes on after any other exception of a handler.
            raise SystemExit(f"the application of the tasks cannot be served: {error}") from error

    def begin(**_: Any) -> None:
        if serves:
            worker.open()

    def end(**_: Any) -> None:
        if serves:
            worker.close()

    signals.worker_init.connect(check_all, weak=False)
    signals.worker_process_init.connect(begin, weak=False)
    signals.worker_process_shutdown.connect(end, weak=False)
    signals.worker_shutdown.connect(end, weak=False)
    app.Task = _task_class(app.Task, worker, level)
    return worker


def _refuse_unfilled(app: Celery, tasks: Mapping[str, Any]) -> None:
    """
    Refuse marked parameters that nobody fills, which a message then could.

    Raises:
        GraphErrors: There are some.
    """
    cure = "call setup(app, ...) before the tasks are made, and derive their base classes from app.Task"
    found = [_handler(task.run, f"task {name}") for name, task in tasks.items() if not hasattr(task, _GIVEN)]
    problems = [problem for one in found if (problem := unfilled(one, cure)) is not None]
    if problems:
        raise grouped(problems, f"the Celery application {app.main}")


class _Requests:
    """
    The requests of a task that is being run: ``self.request`` is the last one.

    Celery keeps them by thread.  In the loop of a container are many tasks in one thread, and each has the context of who
    waits for it.
    """

    def __init__(self) -> None:
        self._stack: ContextVar[tuple[Any, ...]] = ContextVar("asyncmeta_celery_requests", default=())

    def push(self, request: Any) -> None:
        self._stack.set((*self._stack.get(), request))

    def pop(self) -> Any:
        *rest, last = self._stack.get()
        self._stack.set(tuple(rest))
        return last

    @property
    def top(self) -> Any:
        stack = self._stack.get()
        return stack[-1] if stack else None

    def __len__(self) -> int:
        return len(self._stack.get())


#: What a class of tasks was given to run.
_GIVEN: Final = "_asyncmeta_given"


def _task_class(base: Any, worker: WorkerContainer, level: str | None) -> Any:
    """Return the base class of tasks that have a scope."""

    def on_bound(cls: Any, app: Celery) -> None:
        base.on_bound(app)
        if _GIVEN in cls.__dict__ or (cls.name or "").startswith("celery."):
            return
        run = inspect.getattr_static(cls, "run")
        function, bound = (run.__func__, False) if isinstance(run, staticmethod) else (run, True)

        # What a message may give; the marked parameters are not among it.
        given = inspect.signature(injected(function))

        # Not __call__: what tries again wraps this, and has to see the failure of an async task.
        @functools.wraps(function)
        def carry_out(task: Any, *args: Any, **named: Any) -> Any:
            context = {Task: task, Context: task.request}
            if bound:
                args = (task, *args)
            given.bind(*args, **named)
            if worker.lives_here():
                raise ContainerError(
                    f"{task.name} is called, or sent where tasks are called at once, by an async task, which would wait for "
                    "itself; send it from a thread: await asyncio.to_thread(task.delay, ...)"
                )
            return worker.call(function, args, named, context=context, level=level)

        cls.request_stack = _Requests()
        setattr(cls, _GIVEN, staticmethod(function))
        cls.run = carry_out
        cls.__header__ = app.type_checker(injected(function), bound=bound)

    return type(base.__name__, (base,), {"on_bound": classmethod(on_bound), "abstract": True, "__module__": base.__module__})
