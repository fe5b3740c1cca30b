"""Who is told of a build, a teardown, a scope, and who stands around it?  Nobody, and at no cost, unless something asks."""

from __future__ import annotations

import asyncio
import logging
import time
import weakref
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import AsyncGeneratorType, GeneratorType, MethodType, TracebackType
from typing import Any, Final, NamedTuple, Self

from ..._compat import get_running_loop
from ..._declare.makers import GENERATOR, SYNC, VALUE
from ..._declare.registry import registry_of
from ..._lock import LOCK
from ..._names import name_of, name_of_callable
from ..._solve.graph import Graph
from ..._solve.nodes import Node
from ..._solve.plan import Op, Unit
from ...errors import DeclarationError
from ..state.singletons import Push, ScopeState
from ..state.slots import Finalizer, Held
from ..teardown.finalizers import ThreadGenerator, first_to_await, leave, leave_nowait
from .cause import Build, Causes, asking, builds_of
from .middleware import is_async, linked
from .slow import Clock

__all__ = ["Event", "Observation", "Observer", "Watch", "observed_class", "override_began", "override_ended"]

_LOGGER: Final = logging.getLogger("asyncmeta")

# --- what is told ------------------------------------------------------------------------------------


class Event(NamedTuple):
    """One thing that happened.  Names and seconds, never a value."""

    key: str  #: what was built or torn down; the level of a scope; the name of an application; what is overridden
    seconds: float | None = None  #: since its begin; None where this is the begin
    parent: str | None = None  #: what it is built for, by name
    task: str | None = None  #: the name of the running task; None where there is none


class Observer:
    """
    Override what you want to hear; what is not overridden is never called.

    The methods are called where it happens: in the task, or thread, that builds or closes.  They return at once and
    await nothing.  An observer that raises is reported once, through logging, and removed.
    """

    def build_begin(self, event: Event, /) -> None:
        """A factory is about to be called."""

    def build_end(self, event: Event, /) -> None:
        """A value is there."""

    def build_failed(self, event: Event, /) -> None:
        """A factory, or middleware around it, has raised or was cancelled."""

    def finalize_begin(self, event: Event, /) -> None:
        """A finalizer is about to run."""

    def finalize_end(self, event: Event, /) -> None:
        """A finalizer has run."""

    def finalize_failed(self, event: Event, /) -> None:
        """A finalizer has raised."""

    def scope_opened(self, event: Event, /) -> None:
        """A scope was made; the key is the name of its level."""

    def scope_closed(self, event: Event, /) -> None:
        """A scope is closed, and all that it made."""

    def container_opened(self, event: Event, /) -> None:
        """The container was entered."""

    def container_closed(self, event: Event, /) -> None:
        """The container is closed, and all that it made."""

    def override_begin(self, event: Event, /) -> None:
        """An override comes into force; the key names what it replaces.  An overlay, which is not, is not told of."""

    def override_end(self, event: Event, /) -> None:
        """An override is in force no more."""


_WORDS: Final[tuple[str, ...]] = tuple(name for name in vars(Observer) if not name.startswith("_"))
_NOBODY: Final[dict[str, tuple[tuple[Observer, Callable[[Event], object]], ...]]] = dict.fromkeys(_WORDS, ())


class Observation:
    """An observer at work; ends with `remove`, or as a context manager at the end of the block."""

    __slots__ = ("_observer", "_watch")

    def __init__(self, watch: Watch, observer: Observer) -> None:
        self._watch, self._observer = watch, observer

    def remove(self) -> None:
        """Stop telling it; a second call does nothing."""
        self._watch.drop(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None, /) -> None:
        self.remove()


# --- watching ------------------------------------------------------------------------------------------

Make = Callable[[Any], Coroutine[Any, Any, Any]]


class Watch:
    """What is to be told, run and timed around the builds of one container, and its overlays."""

    __slots__ = ("_heed", "awaits", "debug", "hears", "hooks", "middleware", "observations", "opened", "slow")

    # Why something is built, for the rooms that build: these are asked for it only where somebody watches.
    causes, causes_in = Causes, Causes.by
    asking = asking
    builds_of = staticmethod(builds_of)

    def __init__(
        self, heed: Callable[[Watch], None], hooks: Mapping[str, Any], middleware: Sequence[Any], slow: float | None
    ) -> None:
        """
        Args:
            heed: A method of the container, called when there is more, or less, to be told; it is not kept alive.
            hooks: The life-cycle methods of services, each with the one that does nothing.
        """
        self._heed = weakref.WeakMethod(heed)
        #: outermost first, and whether each is asynchronous
        self.middleware = tuple((one, is_async(one)) for one in middleware)
        self.awaits = any(awaits for _, awaits in self.middleware)
        self.slow = slow  #: seconds after which a build is worth a warning; None for never
        self.debug: float | None = None  #: the same, as asyncio's debug mode wants it
        self.observations: tuple[Observation, ...] = ()
        self.hears = _NOBODY
        self.hooks = hooks
        self.opened: float | None = None

    @property
    def observed(self) -> bool:
        """Whether every build has to be seen, so that no code may be generated that builds without telling."""
        return bool(self.middleware or self.observations) or self.slow is not None

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do at all."""
        return not self.observed and self.debug is None

    def awaits_for(self, unit: Unit) -> bool:
        """Tell whether making *unit* may have to wait for middleware."""
        return self.awaits and any(op.node.kind != VALUE for op in unit.ops)

    # --- observers ---

    def observe(self, observer: Observer) -> Observation:
        """Begin to tell *observer*."""
        if not isinstance(observer, Observer):
            what = f"the class {name_of(observer)}" if isinstance(observer, type) else f"a {name_of(type(observer))}"
            raise DeclarationError(f"observe takes an instance of a subclass of Observer, not {what}")
        observation = Observation(self, observer)
        with LOCK:
            self._tell_these((*self.observations, observation))
        return observation

    def drop(self, observation: Observation) -> None:
        """Stop telling an observer."""
        with LOCK:
            if observation in self.observations:
                self._tell_these(tuple(one for one in self.observations if one is not observation))

    def _tell_these(self, observations: tuple[Observation, ...]) -> None:
        self.observations = observations
        hears: dict[str, tuple[tuple[Observer, Callable[[Event], object]], ...]] = {}
        for word in _WORDS:
            nothing = vars(Observer)[word]
            methods = [(one._observer, getattr(one._observer, word)) for one in observations]
            hears[word] = tuple((who, call) for who, call in methods if getattr(call, "__func__", call) is not nothing)
        self.hears = hears
        heed = self._heed()
        if heed is not None:
            heed(self)

    def tell(self, word: str, key: str, seconds: float | None = None, parent: Build | None = None) -> None:
        """Tell the observers that want to hear it."""
        hearing = self.hears[word]
        if not hearing:
            return
        loop = get_running_loop()
        task = None if loop is None else asyncio.current_task(loop)
        event = Event(key, seconds, None if parent is None else parent.key, None if task is None else task.get_name())
        for observer, call in hearing:
            try:
                call(event)
            except Exception:
                gone = [one for one in self.observations if one._observer is observer]
                for observation in gone:
                    self.drop(observation)
                if gone:
                    _LOGGER.exception("observer %s raised in %s and is removed", name_of(type(observer)), word)

    # --- the container ---

    def entered(self, name: str) -> None:
        """Tell that the container was entered."""
        self.opened = time.perf_counter()
        self.tell("container_opened", name)

    def closed(self, name: str) -> None:
        """Tell that the container is closed."""
        opened, self.opened = self.opened, None
        self.tell("container_closed", name, None if opened is None else time.perf_counter() - opened)

    # --- building ---

    async def build(self, build: Build, op: Op, make: Make, push: Push) -> Any:
        """
        Make the value of *op*: tell of it, run the middleware around it, mind the time.

        Args:
            make: Makes it; called with where to push finalizers.
        """
        node = op.node
        if self.hears["finalize_begin"] or self.hears["finalize_end"] or self.hears["finalize_failed"]:
            push = self._telling(push, node)
        if node.kind == VALUE:
            return await make(push)
        if self._is_half(node):
            return await self._construct(build, make, push)
        began = time.perf_counter()
        clock = self._clock(build, began)
        with asking(build):
            self.tell("build_begin", build.key, None, build.parent)
            try:
                value = await self._through(build, op, make, push)
            except BaseException:
                self.tell("build_failed", build.key, time.perf_counter() - began, build.parent)
                raise
            finally:
                if clock is not None:
                    clock.stop()
            self.tell("build_end", build.key, time.perf_counter() - began, build.parent)
        return value

    def _is_half(self, node: Node) -> bool:
        """Tell whether *node* only constructs a service that starts afterwards: that is one build, told of when it starts."""
        cls = node.maker.cls
        return (
            node.kind == SYNC
            and registry_of(cls) is not None
            and any(getattr(cls, name, nothing) is not nothing for name, nothing in self.hooks.items())
        )

    async def _construct(self, build: Build, make: Make, push: Push) -> Any:
        began = time.perf_counter()
        with asking(build):
            try:
                return await make(push)
            except BaseException:
                self.tell("build_begin", build.key, None, build.parent)
                self.tell("build_failed", build.key, time.perf_counter() - began, build.parent)
                raise

    async def _through(self, build: Build, op: Op, make: Make, push: Push) -> Any:
        """Run the middleware around the making of a value."""
        if not self.middleware:
            return await make(push)
        at_once = get_running_loop() is None or (not op.special and op.node.kind in (SYNC, GENERATOR))
        return await linked(self.middleware, build, lambda: make(push), at_once)

    # --- tearing down ---

    def _telling(self, push: Push, node: Node) -> Any:
        def push_telling(scope: ScopeState, finalizer: Finalizer) -> None:
            push(scope, self.watched(finalizer, node.name))

        return push_telling

    def watched(self, finalizer: Finalizer, name: str) -> Any:
        """Return *finalizer* so that it tells when it runs."""
        if isinstance(finalizer, Watched) or (isinstance(finalizer, Held) and finalizer.anywhere):
            return finalizer
        return Watched(finalizer, name, self)

    def all_watched(self, finalizers: list[Any], graph: Graph) -> list[Any]:
        """Return *finalizers*, those included that nobody watched when their values were made."""
        names: dict[Any, str] = {}
        for node in graph.nodes.values():
            if node.maker.function is not None:
                names.setdefault(node.maker.function.__code__, node.name)
        return [_watched_late(one, self, names, graph) for one in finalizers]

    # --- time ---

    def _clock(self, build: Build, began: float) -> Clock | None:
        limit = self.slow if self.slow is not None else self.debug
        return None if limit is None else Clock(build, began, limit)


class Watched(Held):
    """A finalizer of whose run observers are told."""

    __slots__ = ("finalizer", "name", "watch")

    def __init__(self, finalizer: Finalizer, name: str, watch: Watch) -> None:
        self.finalizer, self.name, self.watch = finalizer, name, watch

    def needs_await(self) -> bool:
        return first_to_await([self.finalizer]) is not None

    async def leave(self, error: BaseException | None) -> None:
        with self._telling():
            await leave(self.finalizer, error)

    def leave_nowait(self, error: BaseException | None) -> None:
        with self._telling():
            leave_nowait(self.finalizer, error)

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Tell of what is done in the block."""
        self.watch.tell("finalize_begin", self.name)
        began, word = time.perf_counter(), "finalize_failed"
        try:
            yield
            word = "finalize_end"
        finally:
            self.watch.tell(word, self.name, time.perf_counter() - began)


def _watched_late(finalizer: Finalizer, watch: Watch, names: Mapping[Any, str], graph: Graph) -> Any:
    """Return *finalizer* so that it tells when it runs; what it belongs to is found by what it runs."""
    inner = getattr(finalizer, "finalizer", finalizer)  # of what another task holds
    if isinstance(inner, Watched):
        return finalizer
    if isinstance(inner, ThreadGenerator):
        inner = inner.generator
    if isinstance(inner, MethodType):
        node = graph.instances.get(type(inner.__self__))
        name = name_of(type(inner.__self__)) if node is None else node.name
    elif isinstance(inner, AsyncGeneratorType | GeneratorType):
        code = inner.ag_code if isinstance(inner, AsyncGeneratorType) else inner.gi_code
        name = names.get(code) or name_of_callable(inner)
    else:
        return finalizer
    return watch.watched(finalizer, name)


# --- scopes ------------------------------------------------------------------------------------------------


def observed_class(cls: Any) -> Any:
    """Return *cls*, of scopes, so that each tells when it is made and closed."""

    def __init__(self: Any, *args: Any, **named: Any) -> None:
        cls.__init__(self, *args, **named)
        self._opened = time.perf_counter()
        watch = self._singletons.watch
        if watch is not None:
            watch.tell("scope_opened", str(self.level))

    async def __aexit__(self: Any, exc_type: Any, exc: BaseException | None, tb: Any, /) -> None:
        await self._end_block(exc)  # never the short way, which tells nobody

    def _gone(self: Any, undone: Any = None) -> None:
        cls._gone(self, undone)
        watch = self._singletons.watch
        if watch is not None:
            watch.tell("scope_closed", str(self.level), time.perf_counter() - self._opened)

    names = {"__slots__": ("_opened",), "__init__": __init__, "__aexit__": __aexit__, "_gone": _gone, "__module__": cls.__module__}
    return type(cls.__name__, (cls,), names)


# --- overrides ---------------------------------------------------------------------------------------------


def override_began(container: ScopeState, keys: Iterable[Any]) -> None:
    """Tell that an override of *keys* comes into force."""
    if container._singletons.watch is not None:
        container._singletons.watch.tell("override_begin", ", ".join(map(name_of, keys)))


def override_ended(container: ScopeState, keys: Iterable[Any], seconds: float | None = None) -> None:
    """Tell that an override of *keys* is in force no more, *seconds* after its begin."""
    if container._singletons.watch is not None:
        container._singletons.watch.tell("override_end", ", ".join(map(name_of, keys)), seconds)
