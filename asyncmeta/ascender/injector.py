"""How does an Ascender program see a container?"""

from __future__ import annotations

import weakref
from collections.abc import Hashable, Mapping
from types import TracebackType
from typing import Any, Final, Self, cast, overload

from typing_extensions import TypedDict, TypeForm, TypeVar

from .. import AsyncServiceBase, CheckReport, Container, Scope, Token
from .._declare.hooks import misfit_hooks
from .._declare.keys import MISSING, Ask, ask_for, is_hashable
from .._declare.makers import maker_of
from .._declare.registrations import Registration
from .._lock import LOCK
from .._names import Place, close_to, name_of
from .._run.container.child import Child, Provided
from .._run.state.slots import CLOSED
from .._run.teardown.finalizers import push
from .._solve.graph import Graph
from .._solve.inherited import InheritedGraph
from .._solve.nodes import NODE, Absent, Ambiguous, Site
from ..errors import AsyncDependencyError, CircularDependencyError, DeclarationError, MissingDependencyError
from .errors import missing, through_door
from .lifecycle import LIFECYCLE

__all__ = ["NOTHING", "InjectOptions", "Injector", "door_of"]

T = TypeVar("T")
U = TypeVar("U")


class InjectOptions(TypedDict, total=False):
    """How `Injector.get` looks."""

    optional: bool  #: None, or *not_found_value*, where nothing provides the token
    only_self: bool  #: leave the parents out
    skip_self: bool  #: begin at the parent


class _Nothing:
    """The type of NOTHING, which stands for an argument that was not given."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<raise>"


NOTHING: Final[Any] = _Nothing()
_OPTIONS = frozenset(InjectOptions.__annotations__)


class Injector:
    """
    A container as an Ascender program sees it: it gives without awaiting, too.

    Made by `create_injector` or `create_root_injector`; as a dependency (``deps: [Injector]``) it is the injector, or
    container, that makes the dependent.  What a child does not provide its parent gives; a parent's service gets its
    parent's dependencies.  Entering it (``async with``) says who closes it.
    """

    __slots__ = ("__weakref__", "_holder")

    def __init__(self, holder: Scope) -> None:
        self._holder: Any = holder

    def __repr__(self) -> str:
        return f"<injector on {self._holder!r}>"

    def __reduce__(self) -> str:
        raise TypeError("an injector lives in this process: it cannot be copied or pickled")

    @property
    def container(self) -> Container:
        """The container underneath: scopes, overrides, start and observers are to be had there."""
        return cast(Container, self._holder.container)

    @property
    def parent(self) -> Injector | None:
        """The injector that is asked for what this one does not provide."""
        container = self._holder.container
        return door_of(container._below) if isinstance(container, Child) else None

    # --- getting ---

    @overload
    def get(self, token: str, not_found_value: Any = ..., options: InjectOptions = ...) -> Any: ...
    @overload
    def get(self, token: Token[T], *, options: InjectOptions = ...) -> T: ...
    @overload
    def get(self, token: Token[T], not_found_value: U, options: InjectOptions = ...) -> T | U: ...
    @overload
    def get(self, token: TypeForm[T], *, options: InjectOptions = ...) -> T: ...
    @overload
    def get(self, token: TypeForm[T], not_found_value: U, options: InjectOptions = ...) -> T | U: ...
    def get(self, token: Any, not_found_value: Any = NOTHING, options: Any = None) -> Any:
        """
        Return the value of *token* without awaiting, building it on first use.

        Tokens are matched exactly: a string is never the name of a class here.  A ``multi`` token gives a new list.

        Args:
            token: What to look up.
            not_found_value: What to return where nothing provides the token; also None.
            options: See `InjectOptions`.

        Raises:
            NoneInjectorException: Nothing provides the token, or something that it needs.
            CyclicDependency: It needs itself.
            AsyncDependencyError: It has to be awaited, see `aget`.
            ClosedError: This injector, or a parent, is closed.
        """
        if options is None:
            # A built value: one look-up and no lock; the table is emptied by whatever may change the answer.
            holder = self._holder
            try:
                root = holder._roots_nowait[token]
            except (KeyError, TypeError):
                pass
            else:
                if holder._roots is not CLOSED:
                    return root(holder)
        found, asked = self._asked(token, not_found_value, options)
        if found is None:
            return asked
        try:
            return found._holder.get_nowait(asked)
        except (MissingDependencyError, CircularDependencyError, AsyncDependencyError) as error:
            raise through_door(error) from error.__cause__

    @overload
    async def aget(self, token: str, not_found_value: Any = ..., options: InjectOptions = ...) -> Any: ...
    @overload
    async def aget(self, token: Token[T], *, options: InjectOptions = ...) -> T: ...
    @overload
    async def aget(self, token: Token[T], not_found_value: U, options: InjectOptions = ...) -> T | U: ...
    @overload
    async def aget(self, token: TypeForm[T], *, options: InjectOptions = ...) -> T: ...
    @overload
    async def aget(self, token: TypeForm[T], not_found_value: U, options: InjectOptions = ...) -> T | U: ...
    async def aget(self, token: Any, not_found_value: Any = NOTHING, options: Any = None) -> Any:
        """
        Return the value of *token*, building it on first use; the same as `get`, for what has to be awaited.

        Tasks that ask at the same time share one build.

        Raises:
            NoneInjectorException: Nothing provides the token, or something that it needs.
            CyclicDependency: It needs itself.
            ClosedError: This injector, or a parent, is closed.
        """
        if options is None:
            holder = self._holder
            try:
                root = holder._roots[token]
            except (KeyError, TypeError):
                pass
            else:
                return await root(holder)
        found, asked = self._asked(token, not_found_value, options)
        if found is None:
            return asked
        try:
            return await found._holder.get(asked)
        except (MissingDependencyError, CircularDependencyError) as error:
            raise through_door(error) from error.__cause__

    def _asked(self, token: Any, not_found_value: Any, options: Any) -> tuple[Injector | None, Any]:
        """Return which injector has to be asked, and for what; where nothing provides the token, None and what to return."""
        optional, only_self, skip_self = _read_options(options)
        injector: Injector | None = self
        if skip_self:
            self._holder._check_open()
            injector = self.parent
        site = None if injector is None else injector._site(token, only_self)
        if site is not None:
            return injector, site
        if not_found_value is NOTHING:
            if not optional:
                raise missing(self._graph(), token, self._left_out(token, only_self))
            not_found_value = None
        return None, not_found_value

    def _left_out(self, token: Any, only_self: bool) -> str:
        """Return what to say of *token* where only the options keep it from being found, else ""."""
        if self._site(token, False) is None:
            return ""
        if only_self:
            return "a parent provides it, and only_self leaves the parents out"
        return "it is provided here, where skip_self does not look"

    def _graph(self) -> Graph:
        container = self._holder.container
        return (container._active() or container)._graph  # type: ignore[no-any-return]

    def _site(self, token: Any, only_self: bool) -> Any:
        """Return what to ask the container for, None where nothing provides *token*."""
        if not is_hashable(token):
            raise DeclarationError(f"a token has to be hashable; {name_of(type(token))} is not")
        self._holder._check_open()
        graph = self._graph()
        if (self._holder._level, token) in graph.roots and not only_self and token is not None:
            return token  # it was served before, and what is registered is never taken back
        # What was asked for before: containers know by such an object that it is the same question.
        known: dict[Hashable, Site] = graph.kept.setdefault("asked of injectors", {})
        site = known.get(token)
        if site is None:
            ask = ask_for(token)
            # Whether nothing serves it is asked here, and a multi token gives its list.
            ask = Ask(ask.kind, ask.keys, False, MISSING, ask.inner, ask.listed or list)
            site = Site(ask, None, "", None)
        with LOCK:
            graph.refresh()
            try:
                target = graph.serve(site)
            except Absent:
                known.pop(token, None)
                return None
            except Ambiguous:
                return token
        if only_self and isinstance(graph, InheritedGraph) and not any(map(graph.find_own, site.ask.keys)):
            return None
        if target.how == NODE and site.ask.keys == (token,) and token is not None:
            return token
        known[token] = site
        return site

    # --- living ---

    def check(self) -> CheckReport:
        """
        Check everything that is provided here; nothing is built.

        Raises:
            GraphErrors: What does not fit together, all problems at once.
            DeclarationError: A parameter says nothing about what it needs.
        """
        return self.container.check()

    async def aclose(self) -> None:
        """
        Close it: what it made is closed in reverse order, children with something to close first.

        Raises:
            FinalizationErrors: What finalizers raised, also a single one.
        """
        await self._holder.aclose()

    def close(self) -> None:
        """
        Close it without a loop.

        Raises:
            AsyncDependencyError: Something has to be awaited; nothing is closed then.
            FinalizationErrors: What finalizers raised, also a single one.
        """
        self._holder.close()

    async def __aenter__(self) -> Self:
        holder = self._holder
        await holder.__aenter__()
        try:
            await self._start_services()
        except BaseException as error:
            await holder.__aexit__(type(error), error, error.__traceback__)
            raise
        return self

    async def __aexit__(self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None, /) -> None:
        await self._holder.__aexit__(exc_type, exc, tb)

    def __enter__(self) -> Self:
        if self._lifecycle():
            raise AsyncDependencyError(
                name_of(LIFECYCLE), (), "", "lists services with an on_startup that has to be awaited", "Enter it with `async with`"
            )
        self._holder.__enter__()
        return self

    def __exit__(self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None, /) -> None:
        self._holder.__exit__(exc_type, exc, tb)

    def _lifecycle(self) -> list[Any]:
        lists = self.get(LIFECYCLE, [], {"only_self": True})
        return list(dict.fromkeys(token for tokens in lists for token in tokens))

    async def _start_services(self) -> None:
        """Start what `provideLifecycle` lists, in that order; closing stops it, in reverse."""
        container = self._holder.container
        started: list[Any] = []
        for token in self._lifecycle():
            service = await self.aget(token)
            if isinstance(service, AsyncServiceBase) or any(service is one for one in started):
                continue  # a service of ours has been started by the container
            started.append(service)
            own = [name for name in ("on_startup", "on_shutdown") if hasattr(type(service), name)]
            for why in misfit_hooks(type(service), own):
                raise DeclarationError(why)
            start, stop = getattr(service, "on_startup", None), getattr(service, "on_shutdown", None)
            if start is not None:
                await start()
            if stop is not None:
                with LOCK:
                    push(container, stop)


def _read_options(options: Any) -> tuple[bool, bool, bool]:
    if options is None:
        return False, False, False
    if not isinstance(options, Mapping):
        raise DeclarationError(f"options are a dictionary, not a {name_of(type(options))}")
    for name in options:
        if name not in _OPTIONS:
            near = close_to(name, _OPTIONS) if isinstance(name, str) else ()
            raise DeclarationError(
                f"{name_of(name)} is no option of get; "
                + (f"did you mean {near[0]}?" if near else f"these are: {', '.join(sorted(_OPTIONS))}")
            )
    only_self, skip_self = bool(options.get("only_self")), bool(options.get("skip_self"))
    if only_self and skip_self:
        raise DeclarationError("only_self and skip_self together leave nowhere to look")
    return bool(options.get("optional")), only_self, skip_self


def door_of(container: Any) -> Injector:
    """Return the injector that stands for *container*, made on first use."""
    if not isinstance(container, Provided):
        return Injector(container)
    found = container._door() if container._door is not None else None
    if found is None:
        found = Injector(container)
        container._door = weakref.ref(found)
    return found


def _injector_of(container: Container) -> Injector:
    return door_of(container)


# Every graph knows by this how it serves the token Injector; see `Lookup`.
Injector.__asyncmeta_door__ = Registration(  # type: ignore[attr-defined]
    Injector, maker_of(_injector_of), "singleton", Place(__file__, 0)
)
