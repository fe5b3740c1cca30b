"""The one container of a worker process."""

from __future__ import annotations

import asyncio
import atexit
import inspect
import itertools
import os
import random
import sys
import threading
import weakref
from collections.abc import Callable, Coroutine, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, ParamSpec, Self, TypeVar, overload

from .. import ClosedError, Container, HealthReport, Token
from .._compat import get_running_loop
from .._declare.registry import snapshot
from .life import Life
from .runs import Here, Run, as_it_is, filled, in_scope, in_thread
from .sources import Source, container_of, told

if TYPE_CHECKING:
    from typing_extensions import TypeForm

__all__ = ["WorkerContainer"]

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class WorkerContainer:
    """
    The container of a worker process: ``worker = WorkerContainer("shop.main:Shop")``.

    It is opened when `open` or `aopen` is called, or by the first `run`: once for the process, on a loop of its own in a
    thread, or with `aopen` on the running loop.  Each call of `run` has a scope of its own.  It is closed once: by `close`
    or `aclose`, by the end of a ``with`` or ``async with`` block, or at the end of the process, also of one that
    ``multiprocessing`` has started.

    *Processes.*  In a forked child nothing of it is open, whatever its parent had open: it begins anew there.  It can be
    pickled where its source can, with its methods: what arrives is the one that the process there has for the same
    source, so that ``pool.submit(worker.run, function, argument)`` runs *function* in the container of the pool's process.

    *Threads.*  Any may use it.

    Args:
        source: Whence the container comes, see `container_of`.  One that is there is entered and closed, too, so give it to
            nobody else who does that.
        start: Whether singletons are built when it opens; else when they are first needed.
        concurrency: How many of these builds may run at once; None means all that are ready.
        jitter: Seconds: it waits for a random part of these before it opens, so that many workers which start together
            do not all knock at a database at once.

    .. versionadded:: 0.1.0
    """

    def __init__(self, source: Source, /, *, start: bool = True, concurrency: int | None = None, jitter: float = 0.0) -> None:
        self._facts: tuple[Source, bool, int | None, float] = (source, start, concurrency, jitter)
        self._lock = threading.Lock()
        self._life: Life | None = None
        self._closed = False
        self._number = next(_NUMBERS)  #: of all in this process
        _KNOWN.add(self)

    def __repr__(self) -> str:
        return f"<{'open' if self._life and self._life.ready.done() else 'closed'} worker container of {told(self._facts[0])}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _of_this_process, self._facts

    # --- opening and closing ---

    def open(self) -> Self:
        """
        Open it on a loop of its own, in a thread; nothing happens where it is open.

        Raises:
            BaseException: What failed; it is closed then.
        """
        while True:
            life, mine = self._claimed(None)
            if mine:
                self._begin(life)
                return self
            life.refuse_here("open", "aopen")
            if life.opened(life.ready.result()):
                return self

    async def aopen(self) -> Self:
        """
        Open it on the running loop; nothing happens where it is open.

        Raises:
            BaseException: What failed; it is closed then.
        """
        while True:
            life, mine = self._claimed(asyncio.get_running_loop())
            if mine:
                break
            if life.opened(await life.settled()):
                return self
        try:
            life.container = await self._entered()
        except BaseException as error:
            self._settle(life, error)
            raise
        self._settle(life, None)
        return self

    def close(self) -> None:
        """
        Close it; nothing happens where it is closed.  What runs in it has failed, and is told so.  What is being opened is
        opened first.

        Raises:
            FinalizationErrors: What finalizers raised.
            ContainerError: It lives on the loop of this very thread: ``await worker.aclose()``.
        """
        while True:
            life = self._life
            if life is not None and not life.lost:
                life.refuse_here("close", "aclose")
                life.ready.result()
            if self._parted(life):
                break
        if life is not None:
            atexit.unregister(self._close_at_exit)
            life.end()

    async def aclose(self) -> None:
        """
        Close it; nothing happens where it is closed.

        Raises:
            FinalizationErrors: What finalizers raised.
        """
        life = self._life
        if life is None or life.thread is not None or life.loop is not asyncio.get_running_loop():
            await asyncio.to_thread(self.close)
            return
        await life.settled()
        if self._parted(life):
            await life.container.__aexit__(None, None, None)

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None, /) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return await self.aopen()

    async def __aexit__(self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None, /) -> None:
        await self.aclose()

    async def _entered(self) -> Container:
        """Make the container and enter it."""
        source, start, concurrency, jitter = self._facts
        if jitter > 0:
            await asyncio.sleep(random.uniform(0.0, jitter))
        container = container_of(source)
        await container.__aenter__()
        try:
            if start:
                await container.start(concurrency=concurrency)
        except BaseException as error:
            await container.__aexit__(type(error), error, error.__traceback__)
            raise
        return container

    def _claimed(self, loop: asyncio.AbstractEventLoop | None) -> tuple[Life, bool]:
        """Return its life, and whether that begins with this call, whose caller opens it, on *loop* or in a thread."""
        with self._lock:
            life = self._life
            if life is not None and not life.lost:
                return life, False
            life = self._life = Life(loop)
            return life, True

    def _settle(self, life: Life, error: BaseException | None) -> None:
        """Let all who wait know that *life* is open, or what failed."""
        with self._lock:
            if self._life is life:
                if error is None:
                    self._closed = False
                    if life.thread is not None:
                        self._end_with_the_process()
                else:
                    self._life = None
        life.ready.set_result(error)

    def _parted(self, life: Life | None) -> bool:
        """Let *life* no longer be its life; tell whether it was that, and shall be ended by who asks."""
        with self._lock:
            if self._life is not life:
                return False
            self._closed, self._life = True, None
            return True

    def _begin(self, life: Life) -> None:
        """Open it in a new thread; interrupted, have all of that end."""

        async def live() -> None:
            try:
                life.begins()
                life.container = await self._entered()
            except BaseException as error:
                self._settle(life, error)
                raise
            self._settle(life, None)
            await life.over.wait()
            try:
                await life.container.__aexit__(None, None, None)
            except BaseException as error:
                life.failure = error

        def work() -> None:
            living = live()
            try:
                asyncio.run(living)
            except BaseException as error:
                if not life.ready.done():  # there is no loop for it
                    living.close()
                    self._settle(life, error)

        life.thread = threading.Thread(target=work, name="asyncmeta: worker container", daemon=True)
        try:
            life.thread.start()
            failure = life.ready.result()
        except BaseException as error:
            if life.thread.ident is None:
                self._settle(life, error)
            else:
                life.give_up()
            raise
        if failure is not None:
            life.thread.join()
            try:
                raise failure
            finally:
                del failure

    def _end_with_the_process(self) -> None:
        """Have it closed at the end of the process."""
        atexit.register(self._close_at_exit)
        processes = sys.modules.get("multiprocessing.process")
        if processes is not None and processes.parent_process() is not None:
            # Such a process may end without running what `atexit` knows.
            from multiprocessing.util import Finalize

            Finalize(self, _close, (weakref.ref(self),), exitpriority=100)

    def _close_at_exit(self) -> None:
        self.close()

    def lives_here(self) -> bool:
        """
        Tell whether it lives on the running loop, where waiting for it without ``await`` would be waiting for oneself.

        .. versionadded:: 0.1.0
        """
        life, here = self._life, get_running_loop()
        return life is not None and here is not None and here is life.loop

    # --- using ---

    @property
    def container(self) -> Container:
        """
        The container, which is opened where it is not.

        Raises:
            ClosedError: It was closed.
        """
        return self._opened().container

    @overload
    def run(self, function: Callable[P, Coroutine[Any, Any, R]], /, *args: P.args, **named: P.kwargs) -> R: ...
    @overload
    def run(self, function: Callable[P, R], /, *args: P.args, **named: P.kwargs) -> R: ...
    def run(self, function: Callable[..., Any], /, *args: Any, **named: Any) -> Any:
        """
        Call *function* in a scope of its own, its marked parameters filled, and return what it returns.

        A coroutine function runs in the container's loop, and this thread waits.  A plain one runs in this thread, with
        values that were made in that loop.  The scope is ambient for injected functions, which find in a plain one what its
        parameters have brought: nothing is built for them outside of the loop.  It is closed before this returns; what
        closing raises is raised.  Interrupted, by Ctrl-C or a time limit that raises, it cancels the function
        and waits until that has ended.

        Raises:
            ClosedError: It was closed.
            ContainerError: It lives on the loop of this very thread: ``await worker.arun(...)``.
            TypeError: It is a generator function.
        """
        return self.call(function, args, named)

    def call(
        self,
        function: Callable[..., Any],
        args: Sequence[Any] = (),
        named: Mapping[str, Any] | None = None,
        *,
        context: Mapping[Any, object] | None = None,
        level: str | None = None,
    ) -> Any:
        """
        Do what `run` does, with context values for the scope; those that the application does not declare are left out.

        Args:
            level: The level of the scope; the innermost if not given.
        """
        life = self._opened()
        life.refuse_here("run", "arun")

        def begin(function: Callable[..., Any]) -> Run:
            return life.run(in_scope(life.container, function, args, named, context, level))

        if inspect.iscoroutinefunction(function):
            return begin(filled(as_it_is, function)).wait()
        return Here(function).begin(begin)

    @overload
    async def arun(self, function: Callable[P, Coroutine[Any, Any, R]], /, *args: P.args, **named: P.kwargs) -> R: ...
    @overload
    async def arun(self, function: Callable[P, R], /, *args: P.args, **named: P.kwargs) -> R: ...
    async def arun(self, function: Callable[..., Any], /, *args: Any, **named: Any) -> Any:
        """
        Do what `run` does, awaited: in the container's loop, which is the running one where nothing has opened it yet.

        A plain function runs in a thread.

        Raises:
            ClosedError: It was closed.
        """
        return await self.acall(function, args, named)

    async def acall(
        self,
        function: Callable[..., Any],
        args: Sequence[Any] = (),
        named: Mapping[str, Any] | None = None,
        *,
        context: Mapping[Any, object] | None = None,
        level: str | None = None,
    ) -> Any:
        """Do what `arun` does, with context values for the scope; those that the application does not declare are left out."""
        life = self._life
        while life is None or not life.ready.done():
            if life is None:
                self._refuse_closed()
            await self.aopen()
            life = self._life
        shape = as_it_is if inspect.iscoroutinefunction(function) else in_thread
        work = in_scope(life.container, filled(shape, function), args, named, context, level)
        if life.loop is asyncio.get_running_loop():
            return await work
        return await life.run(work).awaited()

    @overload
    def get_nowait(self, token: str, /) -> Any: ...
    @overload
    def get_nowait(self, token: Token[T], /) -> T: ...
    @overload
    def get_nowait(self, token: TypeForm[T], /) -> T: ...
    def get_nowait(self, token: Any, /) -> Any:
        """
        Return a value of the container's: one that is built, or that needs no awaiting.

        Raises:
            ClosedError: It was closed.
            AsyncDependencyError: It has to be awaited.
        """
        return self._opened().container.get_nowait(token)

    def health(self, *, timeout: float = 5.0) -> HealthReport:
        """
        Ask the container in its loop how its values are, see `Container.health`; nothing is opened for it.

        Args:
            timeout: Seconds that each probe may take.

        Raises:
            ClosedError: It is not open.
        """
        life = self._life
        if life is None or not life.ready.done():
            raise ClosedError(f"the worker container of {told(self._facts[0])} is not open")
        life.refuse_here("health", "container.health")
        return life.run(life.container.health(timeout=timeout)).wait()  # type: ignore[no-any-return]

    def _opened(self) -> Life:
        while True:
            life = self._life
            if life is None:
                self._refuse_closed()
                self.open()
            elif life.ready.done():
                return life
            else:
                life.refuse_here("run", "arun")
                if life.opened(life.ready.result()):
                    return life

    def _refuse_closed(self) -> None:
        if self._closed:
            raise ClosedError(f"the worker container of {told(self._facts[0])} is closed; open() begins anew")

    def _left_to_the_parent(self) -> None:
        """In the child of a fork: begin anew.  The lock may be held by a thread that is not here."""
        _THE_PARENTS.append(self._life)  # its loop and its generators are never run to their ends here
        self._lock, self._life, self._closed = threading.Lock(), None, False


# --- processes ------------------------------------------------------------------------------------------

_KNOWN: Final[weakref.WeakSet[WorkerContainer]] = weakref.WeakSet()
_NUMBERS: Final = itertools.count()
_ARRIVED: Final[list[WorkerContainer]] = []  #: live as long as the process
_THE_PARENTS: Final[list[Any]] = []


def _of_this_process(*facts: Any) -> WorkerContainer:
    """Return the worker container of this process that was meant in another one."""
    # The open one; where none is, the latest.  Others may be closed, or garbage that nobody has collected yet.
    there = [worker for worker in snapshot(_KNOWN) if worker._facts == facts]
    found = max(there, key=lambda one: (one._life is not None, not one._closed, one._number), default=None)
    if found is None:
        source, start, concurrency, jitter = facts
        found = WorkerContainer(source, start=start, concurrency=concurrency, jitter=jitter)
        _ARRIVED.append(found)
    return found


def _close(worker: weakref.ref[WorkerContainer]) -> None:
    found = worker()
    if found is not None:
        found.close()


def _in_child() -> None:
    for worker in list(_KNOWN):
        worker._left_to_the_parent()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
