"""A class that declares: its metaclass, its descriptors, its base."""

from __future__ import annotations

import sys
import typing
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from ._compat import ProtocolMeta, TypeVar, annotations_in_body
from ._declare.constructors import BY_HAND, seen_around
from ._declare.entries import BODY, Declaration, enter_body, registration_of, value_registration
from ._declare.home import HOME, TWIN, hand_down, home_kept
from ._declare.keys import token_key
from ._declare.lifetimes import Lifetime
from ._declare.makers import VALUE
from ._declare.registrations import Entry, Later, Registration
from ._declare.registry import Attribute, Registry, attributes_of, checked_context, checked_scopes, layers_of, registry_of
from ._declare.tokens import Lazy, Token
from ._names import Place, close_to, is_a, name_of, place_of_caller
from .errors import DeclarationError, ScopeError

if TYPE_CHECKING:
    from ._declare.providers import Providers
    from ._run.container.container import Container
    from ._run.container.override import Override

__all__ = ["AsyncMeta", "AsyncServiceBase"]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True, default=Any)

_Lifetime = Literal["singleton", "scoped", "transient"] | Lifetime

_KEYWORDS = ("lifetime", "providers", "context", "scopes", "middleware")

#: What `register_dependency` has for an option that is not None and that nobody wrote.
_UNSAID: dict[str, object] = {"also": (), "multi": False, "into": (), "around": False, "in_thread": False, "concurrent": False}


class AsyncMeta(ProtocolMeta):  # type: ignore[misc]  # chosen at run time
    """
    The metaclass of services: collects descriptors and registrations while a class is made.

    It derives from the metaclass of ``Protocol``, so that services can also be ABCs, generics and implementations of
    protocols.
    """

    @classmethod
    def __prepare__(mcs, name: str, bases: tuple[type, ...], /, **keywords: Any) -> dict[str, Any]:
        return {BODY: []}

    def mro(cls) -> list[type]:
        """Return the classes to look along; the last but ``object`` takes values by hand, where there are attributes to give."""
        whole = super().mro()
        found = [one for one in whole if one is not _ByHand]
        if len(found) < len(whole) or any(_holds_attributes(base) for base in found[:-1]):
            # Behind all bases: their constructors and `__setattr__` come first, whatever the order in which they are named.
            found.insert(-1, _ByHand)
        return found

    def __new__(
        mcs,
        name: str,
        bases: tuple[type, ...],
        namespace: dict[str, Any],
        /,
        *,
        lifetime: Any = None,
        providers: Any = (),
        context: Any = (),
        scopes: Any = (),
        middleware: Any = (),
        **more: Any,
    ) -> Any:
        namespace = dict(namespace)
        body: list[Declaration] = namespace.pop(BODY, None) or []
        former = namespace.pop("__asyncmeta__", None)
        place = former.place if isinstance(former, Registry) else place_of_caller()
        try:
            if lifetime is not None and (not isinstance(lifetime, str) or not lifetime):
                raise DeclarationError(f'lifetime of {name} is "singleton", "scoped", "transient" or the name of a level')
            of_context, of_scopes = checked_context(context), checked_scopes(scopes)
            if isinstance(middleware, str) or not isinstance(middleware, Iterable):
                raise DeclarationError(f"middleware of {name} is a list of callables, outermost first: middleware=[timed]")
            _refuse_fields(name, namespace)
            _add_annotated(namespace)
            _share_nothing(namespace, made_again=isinstance(former, Registry))
            listed = _read_listed(providers, place) if providers else []
        except DeclarationError as error:
            raise error if error.where else DeclarationError(error.message, str(place)) from None
        try:
            cls = super().__new__(mcs, name, bases, namespace, **more)
        except TypeError as error:
            if more and "__init_subclass__() takes no keyword arguments" in str(error):
                raise _unknown_keyword(name, next(iter(more)), place) from None
            raise
        if not bases:  # what checkers see in the place of the metaclass; no layer of its own
            return cls
        inherited = next((registry for registry in map(registry_of, cls.__mro__[1:]) if registry is not None), None)
        for attribute, thing in namespace.items():
            hint = getattr(type(thing), "__asyncmeta_hint__", None)
            if hint is not None:  # a class that became a decorator
                raise DeclarationError(f"{name}.{attribute}: {hint(thing)}", str(place))
        registry = Registry(cls, place=place)
        registry.lifetime = lifetime or (inherited.lifetime if inherited is not None else "singleton")
        registry.context, registry.scopes, registry.middleware = of_context, of_scopes, tuple(middleware)
        if isinstance(former, Registry):
            registry.inherit(former)
        for attribute, thing in list(namespace.items()):
            if isinstance(thing, Attribute):
                registry.attributes[attribute] = thing
        registry.add_all(listed, layers_of(cls))
        enter_body(registry, body, namespace)  # written behind the list, which it beats
        if "<locals>" in cls.__qualname__:
            registry.seen = seen_around(cls)
        type.__setattr__(cls, "__asyncmeta__", registry)
        if _ByHand in cls.__mro__:
            type.__setattr__(cls, "_asyncmeta_attributes", frozenset(attributes_of(cls)))
        return cls

    def __init__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], /, **keywords: Any) -> None:
        super().__init__(name, bases, namespace)

    def register_dependency(
        cls,
        token: Hashable,
        factory: Callable[..., Any],
        *,
        lifetime: _Lifetime | None = None,
        also: Sequence[Hashable] | Literal["bases"] = (),
        multi: Hashable = False,
        into: Sequence[Hashable] | Mapping[Any, Hashable] = (),
        around: bool = False,
        timeout: float | None = None,
        in_thread: bool = False,
        concurrent: bool = False,
        health: Callable[[Any], object] | str | None = None,
    ) -> None:
        """
        Register *factory* on this class under *token*; it replaces what this class has there.

        Raises:
            DeclarationError: The factory cannot be called, the token not be hashed, or the options contradict each other.
        """
        options = {
            "lifetime": lifetime, "also": also, "multi": multi, "into": into, "around": around, "timeout": timeout,
            "in_thread": in_thread, "concurrent": concurrent, "health": health,
        }  # fmt: skip
        options = {name: said for name, said in options.items() if said is not _UNSAID.get(name)}
        written = Declaration(token, factory, options, place_of_caller())
        if token is None:
            raise DeclarationError("register_dependency takes a token; None is none", str(written.place))
        _registry(cls).add(registration_of(written, any_token=True), replace=True)

    def get_dependency(cls, token: Hashable) -> Callable[..., Any] | None:
        """Return the factory that this class, or a layer below it, registers under *token*; None where there is none."""
        key = token_key(token)
        for registry in layers_of(cls):
            entry = registry.entries.get(key)
            if entry is not None:
                maker = (entry[-1] if isinstance(entry, list) else entry).maker
                if maker.kind == VALUE:
                    value = maker.call
                    return lambda: value
                return maker.written  # type: ignore[no-any-return]
        return None

    def register_value(cls, token: Hashable, value: object) -> None:
        """
        Register a value that is there already; it is handed over as it is, and never closed.

        Raises:
            DeclarationError: The token cannot be hashed, or *value* is a class where an instance of it is meant.
        """
        _registry(cls).add(value_registration(token, value, place_of_caller()), replace=True)

    def register_providers(cls, providers: Providers, *, lifetime: _Lifetime | None = None) -> None:
        """
        Register the entries of a provider list, or none of them where one is wrong.

        Args:
            lifetime: Of the plain classes and functions in the list.

        Raises:
            DeclarationError: An entry is nothing that can be registered or asked for.
        """
        _registry(cls).add_all(_read_listed(providers, place_of_caller(), lifetime), layers_of(cls))


class _ByHand:
    """What takes the values of attributes by hand: ``Desk(session=fake)``, ``desk.session = fake``."""

    # Stands in the MRO of services with attributes, and in no class's own dictionary: dataclasses and attrs look there.
    __slots__ = ()
    _asyncmeta_attributes: frozenset[str] = frozenset()

    def __init__(self, /, *arguments: object, **values: object) -> None:
        cls = type(self)
        for name in [name for name in values if name in self._asyncmeta_attributes]:
            setattr(self, name, values.pop(name))
        if (arguments or values) and cls.__new__ is object.__new__:
            raise TypeError(_not_taken(cls, arguments, values))

    __init__.__name__ = BY_HAND

    def __setattr__(self, name: str, value: Any, /) -> None:
        # The descriptor itself comes from a dataclass that has made a field of it, which is told when it is awaited.
        if name in self._asyncmeta_attributes and not isinstance(value, Lazy | Attribute):
            from ._descriptor import Given  # lazy import

            value = Given(value, type(self), name)
        object.__setattr__(self, name, value)

    __setattr__.__name__ = BY_HAND


def _not_taken(cls: Any, arguments: Sequence[object], values: Mapping[str, object]) -> str:
    attributes = sorted(cls._asyncmeta_attributes)
    takes = f"its dependencies are given by keyword: {', '.join(f'{name}=...' for name in attributes)}"
    if arguments:
        return f"{name_of(cls)}() takes no arguments by position; {takes}"
    wrong = next(iter(values))
    near = close_to(wrong, attributes)
    return f"{name_of(cls)}() has no dependency {wrong!r}; {f'did you mean {near[0]}=?' if near else takes}"


def _holds_attributes(cls: type) -> bool:
    return any(isinstance(thing, Attribute) for thing in list(vars(cls).values()))


def _read_listed(providers: Any, place: Place, lifetime: str | None = None) -> list[Registration | Entry | Later]:
    from ._declare.providers import read_listed  # lazy import

    return read_listed(providers, place, lifetime)


def _registry(cls: Any) -> Registry:
    found = registry_of(cls)
    assert found is not None
    return found


def _refuse_fields(name: str, namespace: Mapping[str, Any]) -> None:
    """Refuse a class made again by a dataclass that has turned a descriptor into a field."""
    fields = namespace.get("__dataclass_fields__")
    if fields:
        made = {field.name for field in fields.values() if "ClassVar" not in str(field.type) and field.default is not None}
        for attribute, thing in namespace.items():
            if isinstance(thing, Attribute) and attribute in made:
                raise _field_error(name, attribute)


def _field_error(name: str, attribute: str) -> DeclarationError:
    return DeclarationError(
        f"{name}.{attribute} is a dependency, but @dataclass makes a field of it; write ClassVar: "
        f"{attribute}: ClassVar[AsyncDependencyDescriptor[...]]"
    )


def _add_annotated(namespace: dict[str, Any]) -> None:
    """Make the descriptors that are only annotated: ``db: AsyncDependencyDescriptor[Database]``."""
    written = annotations_in_body(namespace)
    if not written:
        return
    names = vars(sys.modules[namespace["__module__"]]) if namespace.get("__module__") in sys.modules else {}
    for name, annotation in written.items():
        if name not in namespace and _asks_for_one(annotation, names):
            if "__dataclass_fields__" in namespace and name in namespace.get("__slots__", ()):
                raise _field_error(str(namespace.get("__qualname__", "")), name)
            from ._descriptor import AsyncDependencyDescriptor  # lazy import

            namespace[name] = AsyncDependencyDescriptor()


def _asks_for_one(annotation: Any, names: Mapping[str, Any]) -> bool:
    if isinstance(annotation, str):
        text = annotation.strip()
        head, bracket, rest = text.partition("[")
        if head.rpartition(".")[2] in ("ClassVar", "Annotated", "Final") and bracket:
            return _asks_for_one(rest.rpartition("]")[0], names)
        found: Any = None
        for part in head.strip().split("."):
            found = names.get(part) if found is None else getattr(found, part, None)
        return _is_the_descriptor(found)
    if typing.get_origin(annotation) in (typing.ClassVar, typing.Annotated, typing.Final):
        return _asks_for_one(typing.get_args(annotation)[0], names)
    return _is_the_descriptor(annotation) or _is_the_descriptor(typing.get_origin(annotation))


def _is_the_descriptor(form: object) -> bool:
    if not is_a(form, type) or not issubclass(form, Attribute):
        return False
    from ._descriptor import AsyncDependencyDescriptor  # lazy import

    return form is AsyncDependencyDescriptor


def _share_nothing(namespace: dict[str, Any], *, made_again: bool) -> None:
    """Give each attribute a descriptor of its own, where one object stands under several names or in several classes."""
    seen: set[int] = set()
    for name, thing in list(namespace.items()):
        if isinstance(thing, Attribute):
            if id(thing) in seen or (thing.owner is not None and not made_again):
                namespace[name] = thing._anew()
            seen.add(id(thing))


def _unknown_keyword(name: str, keyword: str, place: Place) -> DeclarationError:
    near = close_to(keyword, _KEYWORDS)
    meant = (
        f"did you mean {near[0]}=?" if near else f"it takes {', '.join(_KEYWORDS)}, and what an __init_subclass__ of a base takes"
    )
    return DeclarationError(f"class {name} has the keyword {keyword}=, which nobody takes; {meant}", str(place))


if TYPE_CHECKING:
    from ._run.observe.middleware import Middleware

    # Checkers see no metaclass: with one, mypy, pyrefly and zuban do not check class keywords.
    class _Service:
        # Of a class without a constructor of its own: its dependencies, by hand.
        def __init__(self, **values: Any) -> None: ...
        def __init_subclass__(
            cls,
            *,
            lifetime: _Lifetime = "singleton",
            providers: Sequence[type[Any] | Callable[..., Any] | Token[Any] | Attribute | Mapping[str, Any] | Sequence[Any]] = (),
            context: Iterable[Hashable] | Mapping[str, Iterable[Hashable]] = (),
            scopes: Sequence[str] = (),
            middleware: Iterable[Middleware] = (),
        ) -> None: ...
        @classmethod
        def register_dependency(
            cls,
            token: Hashable,
            factory: Callable[..., Any],
            *,
            lifetime: _Lifetime = "singleton",
            also: Sequence[Hashable] | Literal["bases"] = (),
            multi: Hashable = False,
            into: Sequence[Hashable] | Mapping[Any, Hashable] = (),
            around: bool = False,
            timeout: float | None = None,
            in_thread: bool = False,
            concurrent: bool = False,
            health: Callable[[Any], object] | str | None = None,
        ) -> None: ...
        @classmethod
        def get_dependency(cls, token: Hashable) -> Callable[..., Any] | None: ...
        @classmethod
        def register_value(cls, token: Hashable, value: object) -> None: ...
        @classmethod
        def register_providers(cls, providers: Providers, *, lifetime: _Lifetime | None = None) -> None: ...

else:
    _Service = AsyncMeta("_Service", (), {"__module__": __name__, "_is_protocol": False, "__slots__": ()})


class AsyncServiceBase(_Service):
    """
    The base of services: classes whose dependencies are attributes that are awaited when they are needed.

    A service needs no registration: asked for under its own type it is built by its constructor, with its
    ``lifetime=``.  Its registrations, in the body or by `inject_dependency`'s ``on=``, belong to it and its
    subclasses.

    Class keywords, all inherited:

    - ``lifetime``: "singleton" (one for each container), "scoped", "transient", or a level of the application.
    - ``providers``: a provider list, registered on this class.
    - ``context``: tokens whose values come with a scope, of the innermost level or by the name of one; of "singleton", with
      the container.
    - ``scopes``: names of the levels, outer first.
    - ``middleware``: what is run around builds.
    """

    if not TYPE_CHECKING:
        _is_protocol = False

    async def on_startup(self) -> None:
        """Do what the constructor cannot await; runs once, before anybody sees the service."""

    async def on_shutdown(self) -> None:
        """Undo it; runs if and only if `on_startup` returned, before anything that the service uses is closed."""

    async def __aenter__(self) -> Self:
        container = home_kept(self)
        if container is None or (container.closed and container.container is not container):
            from ._run.container.container import Container  # lazy import

            container = Container(self)
        if container.container is not container or container._instance is not self:
            raise ScopeError(f"this {name_of(type(self))} belongs to {container._name}, which enters and leaves it")
        await container.__aenter__()
        try:
            await container.get(type(self))
        except BaseException as error:
            await container.__aexit__(type(error), error, error.__traceback__)
            raise
        return self

    async def __aexit__(self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None, /) -> None:
        await home_kept(self).__aexit__(exc_type, exc, tb)

    def __reduce_ex__(self, protocol: Any, /) -> Any:
        # A copy is another instance: what this one has fetched, and where it belongs, is not its own.  One of an instance that
        # a container has made is told apart: it is no root, and shall not open a second application in silence.
        reduced: tuple[Any, ...] = super().__reduce_ex__(protocol)  # type: ignore[assignment]  # a service is no constant
        function, arguments, state, *more = (*reduced, None)
        home = home_kept(self)
        made = home is not None and home.container._instance is not self
        marks: dict[str, object] = {TWIN: True} if made else {}
        if isinstance(state, tuple):
            state = (_without_fetched(state[0], marks), *state[1:])
        return (function, arguments, _without_fetched(state, marks), *more[:-1])


def _without_fetched(state: Any, marks: dict[str, object]) -> Any:
    if not isinstance(state, dict):
        return state
    from ._descriptor import Given  # lazy import

    kept = {name: value for name, value in state.items() if not isinstance(value, Lazy) or isinstance(value, Given)}
    if kept.pop(HOME, None) is None:  # a state of the user's own making
        return kept
    return kept | marks


# What holds, and what overrides, lies in rooms that are loaded when the first of them is made.


def _overriding(container: Container, overrides: Any, **how: bool) -> Override:
    from ._run.container.override import Override  # lazy import

    return Override(container, overrides, **how)


hand_down(
    AsyncServiceBase,
    {"on_startup": AsyncServiceBase.on_startup, "on_shutdown": AsyncServiceBase.on_shutdown},
    _overriding,
)
