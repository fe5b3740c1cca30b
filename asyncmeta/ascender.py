"""The names that an Ascender program imports, on top of containers."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Hashable, Mapping, Sequence
from types import FrameType, TracebackType
from typing import Any, Final, Literal, Self, cast, overload

from typing_extensions import TypedDict, TypeForm, TypeVar

from . import AsyncServiceBase, CheckReport, Container, Inject, Scope, Token
from ._declare.keys import MISSING, Ask, ask_for, is_hashable
from ._declare.makers import VALUE, maker_of, value_maker
from ._declare.providers import Provider, Providers, read_providers, shape_of
from ._declare.registry import Registration, Registry, layers_of, registry_of
from ._names import Place, close_to, name_of, place_of_caller
from ._run.ambient import current
from ._run.cells import LOCK
from ._run.closing import CLOSED
from ._run.finalizers import push
from ._run.injecting import UP, Heir, Provided
from ._solve.graph import Graph
from ._solve.inherited import InheritedGraph
from ._solve.nodes import CONTAINER, NODE, SCOPE, Absent, Ambiguous, Node, Site
from .errors import (
    AsyncDependencyError,
    CircularDependencyError,
    ContainerError,
    DeclarationError,
    MissingDependencyError,
)

__all__ = [
    "CyclicDependency",
    "Inject",
    "InjectOptions",
    "Injectable",
    "Injector",
    "LifecycleService",
    "NoneInjectorException",
    "Provider",
    "Providers",
    "Service",
    "create_injector",
    "create_root_injector",
    "forget_root",
    "inject",
    "provideLifecycle",
]

T = TypeVar("T")
U = TypeVar("U")
C = TypeVar("C", bound=type[Any])


class NoneInjectorException(MissingDependencyError):
    """Nothing provides a token, or something that it needs."""

    def __str__(self) -> str:
        lines = [f"no provider for {self.key}{self._needed_by()}{self._drawn()}"]
        if self.hint:
            lines.append(f"  {self.hint}")
        if self.close_to:
            lines.append(f"  Did you mean {' or '.join(self.close_to)}?")
        return "\n".join(lines)


class CyclicDependency(CircularDependencyError):
    """Something needs itself, directly or through others."""


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
_OPTIONS = frozenset(InjectOptions.__annotations__)  # noqa: RUF063  # our own, and only the names of it


# --- the injector -----------------------------------------------------------------------------------


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
        return _door(container.parent) if isinstance(container, Heir) else None

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
                root = holder.q[token]
            except (KeyError, TypeError):
                pass
            else:
                if holder.r is not CLOSED:
                    return root(holder)
        found, asked = self._asked(token, not_found_value, options)
        if found is None:
            return asked
        try:
            return found._holder.get_nowait(asked)
        except (MissingDependencyError, CircularDependencyError, AsyncDependencyError) as error:
            raise _through_door(error) from error.__cause__

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
                root = holder.r[token]
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
            raise _through_door(error) from error.__cause__

    def _asked(self, token: Any, not_found_value: Any, options: Any) -> tuple[Injector | None, Any]:
        """Return which injector has to be asked, and for what; where nothing provides the token, None and what to return."""
        optional, only_self, skip_self = _read_options(options)
        injector: Injector | None = self
        if skip_self:
            self._holder.check_open()
            injector = self.parent
        site = None if injector is None else injector._site(token, only_self)
        if site is not None:
            return injector, site
        if not_found_value is NOTHING:
            if not optional:
                raise _missing(self._graph(), token)
            not_found_value = None
        return None, not_found_value

    def _graph(self) -> Graph:
        container = self._holder.container
        return (container.active() or container).graph  # type: ignore[no-any-return]

    def _site(self, token: Any, only_self: bool) -> Any:
        """Return what to ask the container for, None where nothing provides *token*."""
        if not is_hashable(token):
            raise DeclarationError(f"a token has to be hashable; {name_of(type(token))} is not")
        self._holder.check_open()
        graph = self._graph()
        known = _SITES.get(graph)
        if known is None:
            known = _SITES[graph] = {}
        site = known.get(token)
        if site is None:
            ask = ask_for(token)
            # Whether nothing serves it is asked here, and a multi token gives its list.
            ask = Ask(ask.kind, ask.keys, False, MISSING, ask.inner, True)
            site = Site(ask, None, "", None)
        with LOCK:
            graph.refresh()
            try:
                target = graph.serve(site)
            except Absent:
                for key in site.ask.keys:
                    graph.forget_missing(key)
                known.pop(token, None)
                return None
            except Ambiguous:
                return token
        if only_self and isinstance(graph, InheritedGraph) and not any(map(graph.find_own, site.ask.keys)):
            return None
        if target.how == NODE and site.ask.keys == (token,):
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
            start, stop = getattr(service, "on_startup", None), getattr(service, "on_shutdown", None)
            if start is not None:
                await start()
            if stop is not None:
                with LOCK:
                    push(container, stop)


#: What was asked for before, by graph: containers know by such an object that it is the same question.
_SITES: weakref.WeakKeyDictionary[Graph, dict[Hashable, Site]] = weakref.WeakKeyDictionary()


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


def _missing(graph: Graph, token: Any) -> NoneInjectorException:
    name = name_of(token)
    return NoneInjectorException(name, (name,), "", graph.names_near(token), graph.hint_for(token))


def _through_door(error: Any) -> Exception:
    """Return *error* as the class that an Ascender program catches."""
    fresh: Exception
    if type(error) is MissingDependencyError:
        fresh = NoneInjectorException(*error.args)
    elif type(error) is CircularDependencyError:
        fresh = CyclicDependency(*error.args)
    elif type(error) is AsyncDependencyError:
        fresh = AsyncDependencyError(*error.args[:4], "Await it: `await injector.aget(...)`")
    else:
        return error  # type: ignore[no-any-return]  # a subclass, from another door
    for note in getattr(error, "__notes__", ()):
        fresh.add_note(note)
    return fresh.with_traceback(error.__traceback__)


def _door(container: Any) -> Injector:
    """Return the injector that stands for *container*, made on first use."""
    if not isinstance(container, Provided):
        return Injector(container)
    found = container.door() if container.door is not None else None
    if found is None:
        found = Injector(container)
        container.door = weakref.ref(found)
    return found  # type: ignore[no-any-return]  # what the weak reference refers to


def _injector_of(container: Container) -> Injector:
    return _door(container)


# Every graph knows by this how it serves the token Injector; see `Lookup`.
Injector.__asyncmeta_door__ = Registration(  # type: ignore[attr-defined]
    Injector, maker_of(_injector_of), "singleton", Place(__file__, 0)
)


# --- making injectors -------------------------------------------------------------------------------


class _Shape:
    """What lists of providers mean that differ in their values only: a graph, and the nodes of the values."""

    __slots__ = ("graph", "nodes")

    def __init__(self, graph: Graph, nodes: tuple[Node, ...]) -> None:
        self.graph = graph
        self.nodes = nodes


class _Shapes:
    """The shapes that were met more than once below one parent."""

    __slots__ = ("known", "seen")

    MOST = 64

    def __init__(self) -> None:
        self.known: dict[Any, _Shape] = {}
        self.seen: set[int] = set()  #: hashes of shapes: what is met once is not kept

    def again(self, key: Any) -> bool:
        """Tell whether *key* was met before."""
        number = hash(key)
        if number in self.seen:
            return True
        if len(self.seen) >= self.MOST * 4:
            self.seen.clear()
        self.seen.add(number)
        return False

    def keep(self, key: Any, shape: _Shape) -> None:
        if len(self.known) >= self.MOST:
            self.known.clear()
        self.known[key] = shape


_ROOT_SHAPES = _Shapes()
_SHAPES: weakref.WeakKeyDictionary[Graph, _Shapes] = weakref.WeakKeyDictionary()


def _graph_of(own: Registry, below: Registry | None, parent: Graph | None) -> Graph:
    if parent is not None:
        return InheritedGraph(own, parent, app=Injector, up=UP)
    extra = (own,) if below is None else (own, below)
    builtin: dict[Hashable, str] = {Container: CONTAINER, Scope: SCOPE}
    return Graph(layers_of(Container.base), builtin, app=Container.base, hooks=Container.hooks, extra=extra)


def _made(providers: Any, parent: Container | None, below: Registry | None = None) -> Injector:
    """Return an injector of *providers*, with the layer *below* them."""
    place = place_of_caller()
    above = None if parent is None else parent.graph
    shaped = shape_of(providers, place)
    shape = None
    values: list[Any] = []
    if shaped is not None:
        shapes = _ROOT_SHAPES if above is None else _SHAPES.get(above)
        if shapes is None:
            shapes = _SHAPES[above] = _Shapes()  # type: ignore[index]  # not the root's
        values = shaped[1]
        key = (id(below), *shaped[0])
        shape = shapes.known.get(key)
        if shape is None and shapes.again(key):
            shape = _shape(read_providers(providers, place, injector=True), below, above)
            shapes.keep(key, shape)
    if shape is None:
        own = Registry(Injector if parent is not None else None, place=place)
        own.add_all(read_providers(providers, place, injector=True))
        shape, values = _Shape(_graph_of(own, below, above), ()), []
    return _begun(shape.graph, parent, (shape.nodes, values))


def _begun(graph: Graph, parent: Container | None, given: tuple[Sequence[Node], Sequence[Any]] = ((), ())) -> Injector:
    if parent is None:
        container = Provided(graph, given)
    else:
        assert isinstance(graph, InheritedGraph)
        container = Heir(graph, parent, given)
    return _door(container)


def _shape(registrations: list[Registration], below: Registry | None, above: Graph | None) -> _Shape:
    """Return the graph of *registrations* without their values, which every injector brings along."""
    own = Registry(Injector if above is not None else None)
    valued = [registration for registration in registrations if registration.maker.kind == VALUE]
    for registration in valued:
        registration.maker = value_maker(None)
    own.add_all(registrations)
    graph = _graph_of(own, below, above)
    rank = len(graph.layers) - 1
    return _Shape(graph, tuple([graph.node(registration, None, rank) for registration in valued]))


def create_injector(providers: Providers, parent: Injector | None = None) -> Injector:
    """
    Return an injector of a provider list.

    Nothing is built, and what is never asked for may be wrong; `Injector.check` tells.

    Args:
        providers: Classes, `Provider` dictionaries, and lists of them nested to any depth; later entries replace
            earlier ones of the same token.
        parent: Gives what the list does not provide.

    Raises:
        DeclarationError: An entry means nothing; the text names its position.
    """
    if parent is not None and not isinstance(parent, Injector):
        raise DeclarationError(f"the parent of an injector is an injector, not a {name_of(type(parent))}")
    return _made(providers, None if parent is None else parent.container)


class _Root:
    """The root injector, and what registers itself there."""

    __slots__ = ("below", "injector", "modules", "of_modules")

    def __init__(self) -> None:
        self.injector: Injector | None = None
        self.below = Registry(None)
        #: what registers itself on plain classes, and their injectors, children of the root
        self.of_modules: weakref.WeakKeyDictionary[type, Registry] = weakref.WeakKeyDictionary()
        self.modules: weakref.WeakKeyDictionary[type, Injector] = weakref.WeakKeyDictionary()

    def module(self, cls: type) -> Registry:
        found = self.of_modules.get(cls)
        if found is None:
            found = self.of_modules[cls] = Registry(Injector)
        return found


_root = _Root()


def create_root_injector(providers: Providers) -> Injector:
    """
    Return an injector, and make it the root: `inject` looks there.

    What says ``provided_in="root"`` stands below *providers*, which win.

    Raises:
        DeclarationError: An entry means nothing; the text names its position.
    """
    injector = _made(providers, None, _root.below)
    _root.injector = injector
    _root.modules.clear()
    return injector


def forget_root(providers: bool = False) -> None:
    """
    Forget the root injector, without closing it; for tests.

    Args:
        providers: Forget what says ``provided_in``, too.
    """
    _root.injector = None
    _root.modules.clear()
    if providers:
        _root.below = Registry(None)
        _root.of_modules.clear()


# --- inject() -----------------------------------------------------------------------------------------


@overload
def inject(token: str, fallback: Any = ..., *, scope: Literal["root"] | type[Any] = "root") -> Any: ...
@overload
def inject(token: Token[T], *, scope: Literal["root"] | type[Any] = "root") -> T: ...
@overload
def inject(token: Token[T], fallback: U, *, scope: Literal["root"] | type[Any] = "root") -> T | U: ...
@overload
def inject(token: TypeForm[T], *, scope: Literal["root"] | type[Any] = "root") -> T: ...
@overload
def inject(token: TypeForm[T], fallback: U, *, scope: Literal["root"] | type[Any] = "root") -> T | U: ...
def inject(token: Any, fallback: Any = NOTHING, *, scope: Any = "root") -> Any:
    """
    Return what the ambient container, or else the root injector, gives for *token*.

    In a class body it is an attribute that is looked up when an instance is first asked for it, and kept there.

    Args:
        token: What to look up, exactly.
        fallback: What to return where nothing provides it.
        scope: "root"; or a class that something says ``provided_in`` of: a service class, whose open container is
            asked, or a plain one, which has an injector of its own below the root.

    Raises:
        NoneInjectorException: Nothing provides it.
    """
    if scope != "root" and not isinstance(scope, type):
        raise DeclarationError(f'scope is "root" or a class, not {name_of(scope)}')
    if not is_hashable(token):
        raise DeclarationError(f"a token has to be hashable; {name_of(type(token))} is not")
    late = _Late(token, fallback, scope)
    if _is_class_body(sys._getframe(1)):
        return late
    injector = _injector_for(scope)
    if injector is None:
        return late if fallback is NOTHING else fallback
    return injector.get(token, fallback)


def _is_class_body(frame: FrameType) -> bool:
    names = frame.f_locals
    return names is not frame.f_globals and "__qualname__" in names and "__module__" in names


def _injector_for(scope: Any) -> Injector | None:
    """Return who is asked for tokens of *scope*, None where nobody is there yet."""
    ambient = current()
    if scope == "root":
        return _root.injector if ambient is None else Injector(ambient)
    registry = registry_of(scope)
    if registry is None:
        found = _root.modules.get(scope)
        if found is None and _root.injector is not None:
            container = _root.injector.container
            found = _begun(_graph_of(_root.module(scope), None, container.graph), container)
            _root.modules[scope] = found
        return found
    if ambient is not None and issubclass(ambient.container.root_class, scope):
        return Injector(ambient)
    living = [one for graph in registry.graphs.values() for one in graph.containers if not one.closed]
    if len(living) > 1:
        raise ContainerError(f"{name_of(scope)} has {len(living)} open containers; ask one of them")
    return _door(living[0]) if living else None


class _Late:
    """An attribute that is looked up when an instance is first asked for it."""

    __slots__ = ("_fallback", "_name", "_scope", "_token")

    def __init__(self, token: Any, fallback: Any, scope: Any) -> None:
        self._token, self._fallback, self._scope = token, fallback, scope
        self._name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        value = self._resolve()
        if self._name:
            try:
                vars(instance)[self._name] = value
            except TypeError:  # slots only: it is looked up each time
                pass
        return value

    def _resolve(self) -> Any:
        injector = _injector_for(self._scope)
        if injector is not None:
            return injector.get(self._token, self._fallback)
        if self._fallback is not NOTHING:
            return self._fallback
        where = "there is no root injector" if self._scope == "root" else f"{name_of(self._scope)} has no open container"
        raise NoneInjectorException(
            name_of(self._token), (name_of(self._token),), "", (), f"{where} yet: create_root_injector([...])"
        )

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"inject({name_of(self._token)}) was called before there was a root injector, so this stands for its value "
            f"and has no .{name}; call it later, or in a class body"
        )

    def __repr__(self) -> str:
        return f"<inject({name_of(self._token)}), not looked up yet>"


# --- registering oneself --------------------------------------------------------------------------------


@overload
def Injectable(cls: C, /) -> C: ...
@overload
def Injectable(
    provided_in: Literal["root"] | None = None, provided_as: Provider | type[Any] | Literal["@SELF"] | None = None
) -> Callable[[C], C]: ...
@overload
def Injectable(
    *, provided_in: type[Any], provided_as: Provider | type[Any] | Literal["@SELF"] | None = None
) -> Callable[[C], C]: ...
def Injectable(*given: Any, **named: Any) -> Any:
    """
    Mark a class as meant to be injected; with *provided_in* it registers itself.  The class is returned unchanged.

    Args:
        provided_in: "root": root injectors provide it, below their own lists.  A service class: it is registered there.
            Another class: ``inject(..., scope=...)`` of that class finds it.
        provided_as: The token to register it under, by default the class; or a provider dictionary, in which the string
            "@SELF" stands for the class.

    Raises:
        DeclarationError: *provided_in* or *provided_as* means nothing.
    """
    if len(given) == 1 and not named and isinstance(given[0], type):
        return given[0]
    return _injectable(place_of_caller(), *given, **named)


def _injectable(place: Place, provided_in: Any = None, provided_as: Any = None) -> Callable[[Any], Any]:
    if provided_in is not None and provided_in != "root" and not isinstance(provided_in, type):
        meant = (
            ' did you mean "root"?'
            if isinstance(provided_in, str) and close_to(provided_in, ("root",))
            else ' it is "root", a class, or left out'
        )
        raise DeclarationError(f"provided_in={name_of(provided_in)} is nothing to register in;{meant}", str(place))

    def register(cls: Any) -> Any:
        if not isinstance(cls, type):
            raise DeclarationError(f"Injectable decorates classes, not a {name_of(type(cls))}", str(place))
        if provided_in is not None:
            registrations = read_providers([_provider(cls, provided_as, place)], place, injector=registry_of(provided_in) is None)
            if provided_in == "root":
                registry = _root.below
            else:
                registry = registry_of(provided_in) or _root.module(provided_in)
            registry.add_all(registrations)
        return cls

    return register


def _provider(cls: type, provided_as: Any, place: Place) -> Any:
    """Return the provider that registers *cls*."""
    if provided_as is None or provided_as == "@SELF":
        return cls
    if isinstance(provided_as, type):
        return {"provide": provided_as, "use_class": cls}
    if not isinstance(provided_as, Mapping):
        raise DeclarationError(f'provided_as is a provider dictionary, a type or "@SELF", not {name_of(provided_as)}', str(place))
    provider = {word: cls if isinstance(thing, str) and thing == "@SELF" else thing for word, thing in provided_as.items()}
    if provider.keys() <= {"provide", "deps", "inject", "multi", "scope", "lifetime"}:
        provider["use_class"] = cls
    return provider


# --- services ---------------------------------------------------------------------------------------------

LIFECYCLE = "LIFECYCLE_TOKENS"


def provideLifecycle(tokens: Sequence[Hashable]) -> Provider:
    """
    Return a provider that lists services to start when the injector is entered: ``async with``.

    Their ``on_startup`` is awaited in this order, their ``on_shutdown`` in reverse when the injector closes.
    """
    if not isinstance(tokens, Sequence) or isinstance(tokens, str | bytes):
        raise DeclarationError(f"provideLifecycle takes a list of tokens, not a {name_of(type(tokens))}")
    return {"provide": LIFECYCLE, "value": list(tokens), "multi": True}


class Service:
    """A base for services of an Ascender program; it does nothing."""


class LifecycleService(Service):
    """A service that is started and stopped, where `provideLifecycle` lists it."""

    async def on_startup(self) -> None:
        """Do what the constructor cannot await."""

    async def on_shutdown(self) -> None:
        """Undo it; runs where `on_startup` has returned."""
