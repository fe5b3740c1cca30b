"""
Taskiq: ``setup(broker, "shop.main:Shop")``, then ``From[T]`` in any task or dependency.

Needs the extra ``taskiq``.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import anyio
from taskiq import AsyncBroker, Context, TaskiqDepends, TaskiqEvents, TaskiqMessage, TaskiqState
from taskiq.decor import AsyncTaskiqDecoratedTask
from taskiq_dependencies import DependencyGraph

from .. import ContainerError, DeclarationError, Inject, Scope, injected
from ..workers import Source, WorkerContainer, check
from ._endings import Cancellation

__all__ = ["KEY", "From", "setup"]

T = TypeVar("T")

#: Under this name a worker's ``broker.state`` has the container.
KEY: Final = "asyncmeta"

#: The parameter by which a task hears of its scope; taskiq fills it.
_HIDDEN: Final = "asyncmeta_task"


if TYPE_CHECKING:
    From = Annotated[T, Inject()]
else:

    class From:
        """
        Marks a parameter of a task, or of one of its dependencies: ``session: From[Session]``.

        It is filled in the scope of the task, with no decorator, in plain functions too; who sends the task does not see it,
        and a message cannot fill it.  For a token that is no type: ``From[Annotated[dict, Inject("config")]]``.

        .. versionadded:: 0.1.0
        """

        def __class_getitem__(cls, wanted: Any) -> Any:
            if isinstance(wanted, str):
                raise DeclarationError(
                    f'From["{wanted}"]: taskiq reads parameters when a task is made, so the type has to be there; '
                    f'for a token that is a string: From[Annotated[..., Inject("{wanted}")]]'
                )
            return Annotated[wanted, Inject(), TaskiqDepends(_fetching(wanted))]


def setup(
    broker: AsyncBroker,
    source: Source,
    /,
    *,
    start: bool = True,
    concurrency: int | None = None,
    jitter: float = 0.0,
    level: str | None = None,
) -> None:
    """
    Let each worker process of *broker* open a container, and each task have a scope.

    *A worker's life.*  When a worker starts, the container is made and checked, together with what the tasks ask for, entered,
    and its singletons are built; what fails there fails the start of the worker.  It is closed when the worker stops, after
    the tasks in flight, as far as taskiq waits for these.  A process that only sends tasks opens nothing.

    *A task's life.*  The scope opens before the task's dependencies are resolved, and is ambient for injected functions.  It
    is given taskiq's ``Context``, and the ``TaskiqMessage``, where the application declares these as context.  It ends when the
    function has returned: before the result is stored and the message acknowledged.  What fails then (a session that
    cannot commit) is a failure of the task.  A task that is tried again is another one, with another scope.

    *Failure.*  Finalizers see what the task, or one of its dependencies, raised, also when the worker does not propagate
    errors to dependencies; with a time-out, the cancellation.  They run outside of the time limit.  ``Context.requeue`` and
    ``Context.reject`` raise, so they are failures too.

    Plain functions run in the worker's pool of threads.  In a pool of processes they get what can be pickled.

    Args:
        broker: The broker; before its tasks are declared, or after.
        source: Whence the container comes: ``"package.module:Application"``, which is imported when a worker starts, or an
            application class, a function that makes a container, or one that is there.
        start: Whether singletons are built when a worker starts; else when they are first needed.
        concurrency: How many of these builds may run at once.
        jitter: Seconds: a worker waits for a random part of these before it opens its container.
        level: The level of a task's scope; the innermost if not given.

    .. versionadded:: 0.1.0
    """
    worker = WorkerContainer(source, start=start, concurrency=concurrency, jitter=jitter)
    serving = _Serving(worker, level)

    async def begin(state: TaskiqState) -> None:
        _wrap_all(broker)  # what was registered for every broker
        await worker.aopen()
        try:
            check(worker.container, _asking(broker))
        except BaseException:
            await worker.aclose()
            raise
        state[KEY] = worker.container
        state[_SERVING] = serving

    async def end(state: TaskiqState) -> None:
        state.pop(KEY, None)
        state.pop(_SERVING, None)
        await worker.aclose()

    # First in, last out: what else begins with the worker may use it.
    broker.event_handlers[TaskiqEvents.WORKER_STARTUP].insert(0, begin)
    broker.add_event_handler(TaskiqEvents.WORKER_SHUTDOWN, end)
    broker.decorator_class = _task_class(broker.decorator_class)
    _wrap_all(broker)


_SERVING: Final = "asyncmeta_serving"


class _Serving:
    """Opens the scopes of a worker's tasks."""

    def __init__(self, worker: WorkerContainer, level: str | None) -> None:
        self.worker, self.level = worker, level

    def scope(self, context: Context) -> Scope:
        container = self.worker.container
        offered: dict[Any, object] = {Context: context, TaskiqMessage: context.message}
        given = {token: value for token, value in offered.items() if container.takes(token, level=self.level)}
        return container.scope(given or None, level=self.level)


# --- the life of one task -----------------------------------------------------------------------------


class _Life:
    """A task's scope, from before its dependencies are resolved until its function is done."""

    def __init__(self, scope: Scope, message: TaskiqMessage) -> None:
        self.scope, self.message = scope, message
        self.failure: BaseException | None = None
        self.values: dict[str, Any] | None = None  #: of the marked parameters; None where taskiq was not asked to prepare them
        self.called = False  #: its function was
        self.open = True

    @contextmanager
    def failing(self) -> Iterator[None]:
        """Note what is raised in the block: taskiq does not always tell its dependencies."""
        try:
            yield
        except BaseException as error:
            self.failure = error
            raise

    async def close(self) -> None:
        """End the scope, with what failed."""
        if self.open:
            self.open = False
            error = self.failure
            # A time limit of the task's would cut every step of it.
            with anyio.CancelScope(shield=True):
                if error is None:
                    await self.scope.__aexit__(None, None, None)
                else:
                    await self.scope.__aexit__(type(error), error, error.__traceback__)


#: That of the task which taskiq is about to call.  A function learns of it here: a message may give any argument.
_LIFE: Final[ContextVar[_Life | None]] = ContextVar("asyncmeta_taskiq_life", default=None)


# No plain generator: into such a one taskiq throws in a way that CPython warns of, and where warnings are errors it would
# never hear of its end.
@asynccontextmanager
async def _live(context: Annotated[Context, TaskiqDepends()]) -> AsyncIterator[_Life]:
    serving: _Serving | None = context.state.get(_SERVING)
    if serving is None:
        raise ContainerError("no container is open here: setup(broker, application), and the start of a worker, come first")
    life = _Life(serving.scope(context), context.message)
    await life.scope.__aenter__()
    token = _LIFE.set(life)
    try:
        with life.scope.ambient():
            yield life
    except BaseException as error:
        life.failure = life.failure or error  # not raised: it is the task's, which has raised it
    finally:
        _LIFE.reset(token)
    if life.failure is None and not life.called:
        life.failure = ContainerError("the task was not called, because one of its dependencies has failed")
    await life.close()


@functools.cache
def _fetching(wanted: Any) -> Callable[..., Any]:
    """Return the dependency that gives a value; always the same, so that taskiq asks once and tests can replace it."""

    async def fetch(life: Annotated[_Life, TaskiqDepends(_live)]) -> Any:
        with life.failing():
            return await life.scope.get(wanted)

    return fetch


# --- tasks ------------------------------------------------------------------------------------------------


def _task_class(base: Any) -> Any:
    """Return the class of tasks that have a scope."""

    class ScopedTask(base):  # type: ignore[misc]  # whatever the broker's was
        def __init__(self, *args: Any, **named: Any) -> None:
            super().__init__(*args, **named)
            _wrap(self)

    return ScopedTask


def _wrap_all(broker: AsyncBroker) -> None:
    for task in broker.get_all_tasks().values():
        _wrap(task)


def _wrap(task: AsyncTaskiqDecoratedTask[Any, Any]) -> None:
    function = task.original_func
    if isinstance(function, _Scoped) or hasattr(function, _WRAPPED):
        return
    scoped = _scoped if inspect.iscoroutinefunction(function) else _Scoped
    task.original_func = scoped(function, task.task_name)


class _Prepared:
    """What a plain task gets in a process of a pool, beside what its message says."""

    def __init__(self, life: _Life | None, values: dict[str, Any]) -> None:
        self._life, self.values = life, values

    def __reduce__(self) -> tuple[Any, ...]:
        if self._life is not None:
            self._life.called = True  # how it ends there is heard by the dependency
        return _Prepared, (None, self.values)


class _Marks:
    """The marked parameters of a task's function."""

    def __init__(self, function: Callable[..., Any]) -> None:
        whole = inspect.signature(function, eval_str=True)
        left = inspect.signature(injected(function)).parameters
        self.names = [name for name in whole.parameters if name not in left]
        self._whole = whole
        self._left = whole.replace(parameters=[one for name, one in whole.parameters.items() if name in left])
        #: what taskiq sees: what a message gives, and how the function hears of its scope
        self.shown = whole.replace(parameters=_with_hidden([*self._left.parameters.values()], self.prepare))

        @functools.wraps(function)
        async def values(*args: Any, **named: Any) -> dict[str, Any]:
            given = whole.bind_partial(*args, **named).arguments
            return {name: given[name] for name in self.names}

        values.__name__ = function.__name__.removesuffix(_RENAMED)
        values.__qualname__ = function.__qualname__.removesuffix(_RENAMED)
        self.asking = values
        self._values = injected(values)
        # What the message gives is of no interest here.
        self._others = [None for one in left.values() if one.kind is one.POSITIONAL_ONLY]
        self._named = {name: None for name, one in left.items() if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)}

    async def fill(self, life: _Life) -> dict[str, Any]:
        """Return the values of the marked parameters."""
        if life.values is None:
            with life.failing():
                life.values = await self._values(*self._others, **self._named) if self.names else {}
        return life.values

    async def prepare(self, life: Annotated[_Life, TaskiqDepends(_live)]) -> _Prepared:
        """Do the same as one of taskiq's dependencies: in the loop, before a plain function is called in its thread."""
        return _Prepared(life, await self.fill(life))

    def refuse(self, message: TaskiqMessage) -> None:
        """
        Refuse a message that would fill a marked parameter.

        Raises:
            TypeError: It does.
        """
        for name in self.names:
            if name in message.kwargs:
                raise TypeError(f"the message has an argument for {name!r}, which the container fills")

    def arguments(self, args: tuple[Any, ...], named: dict[str, Any], values: dict[str, Any]) -> inspect.BoundArguments:
        """
        Return what to call the function with: what the message gives has the places of the other parameters.

        Raises:
            TypeError: The message does not fit.
        """
        named = {name: value for name, value in named.items() if name not in self.names}
        both = {**self._left.bind(*args, **named).arguments, **values}
        return inspect.BoundArguments(self._whole, {name: both[name] for name in self._whole.parameters if name in both})


def _with_hidden(parameters: list[inspect.Parameter], prepare: Callable[..., Any]) -> list[inspect.Parameter]:
    hidden = inspect.Parameter(
        _HIDDEN, inspect.Parameter.KEYWORD_ONLY, annotation=Annotated[_Prepared, TaskiqDepends(prepare)]
    )  # fmt: skip
    last = [one for one in parameters if one.kind is one.VAR_KEYWORD]
    return [*(one for one in parameters if one not in last), hidden, *last]


_WRAPPED: Final = "__asyncmeta_marks__"

#: taskiq gives a function that it has made a task of another name, so that a pool of processes finds it.
_RENAMED: Final = "__taskiq_original"


def _called(name: str) -> _Life | None:
    """Return the life of the task of this name, where taskiq calls its function now; None where somebody does by hand."""
    life = _LIFE.get()
    if life is None or life.called or life.message.task_name != name:
        return None
    life.called = True
    return life


def _scoped(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    """Return what taskiq calls for an async task."""
    marks = _Marks(function)

    @functools.wraps(function)
    async def call(*args: Any, **named: Any) -> Any:
        life = _called(name)
        if life is None:
            return await function(*args, **named)
        named.pop(_HIDDEN, None)
        with life.failing():
            marks.refuse(life.message)
            given = marks.arguments(args, named, await marks.fill(life))
            cancellation = Cancellation()
            value = await function(*given.args, **given.kwargs)
            await cancellation.tell()
        with life.failing():
            await life.close()
        return value

    call.__signature__ = marks.shown  # type: ignore[attr-defined]  # functions take any attribute
    setattr(call, _WRAPPED, marks)
    return call


class _Scoped:
    """What taskiq calls for a plain task: in a thread, or in a process of a pool."""

    def __init__(self, function: Callable[..., Any], name: str) -> None:
        functools.update_wrapper(self, function)
        self._function, self._name = function, name
        self.__asyncmeta_marks__ = marks = _Marks(function)
        self.__signature__ = marks.shown

    def __reduce__(self) -> tuple[Any, ...]:
        return _Pooled, (self._function,)

    def __call__(self, *args: Any, **named: Any) -> Any:
        life = _called(self._name)
        if life is None:
            return self._function(*args, **named)
        named.pop(_HIDDEN, None)
        marks = self.__asyncmeta_marks__
        with life.failing():
            marks.refuse(life.message)
            if life.values is None:  # taskiq has read the function before we did: what is marked is among its dependencies
                value = self._function(*args, **named)
            else:
                given = marks.arguments(args, named, life.values)
                value = self._function(*given.args, **given.kwargs)
        if not life.open:  # its time is over, and nobody awaits what this returns
            return value
        return _closing(life, value)  # taskiq awaits it in the loop, in the task that opened the scope


class _Pooled:
    """The same in a process of a pool."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *args: Any, **named: Any) -> Any:
        prepared = named.pop(_HIDDEN, None)
        if not isinstance(prepared, _Prepared):
            raise TypeError(f"the message has an argument for {_HIDDEN!r}, which is not for messages")
        given = _Marks(self._function).arguments(args, named, prepared.values)
        return self._function(*given.args, **given.kwargs)


async def _closing(life: _Life, value: Any) -> Any:
    with life.failing():
        if inspect.isawaitable(value):
            value = await value
        await life.close()
    return value


def _asking(broker: AsyncBroker) -> Iterator[Callable[..., Any]]:
    """Yield what the tasks, and their dependencies, are asked through."""
    for task in broker.get_all_tasks().values():
        yield getattr(task.original_func, _WRAPPED).asking
        for dependency in DependencyGraph(task.original_func).dependencies:
            if inspect.isfunction(dependency.dependency) and dependency.dependency is not task.original_func:
                yield dependency.dependency
