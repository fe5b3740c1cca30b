"""A dependency as an attribute: fetched when it is first awaited, kept in the instance."""

from __future__ import annotations

import typing
import weakref
from collections.abc import Generator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal, Self, overload

from ._compat import TypeForm, TypeVar, annotations_of, keep_seat
from ._declare.annotations import class_annotations
from ._declare.home import TWIN, home_kept
from ._declare.keys import Ask, ask_for, read, read_ask
from ._declare.registry import Attribute, registry_of
from ._declare.texts import evaluator_for, evaluator_of_class, names_around
from ._declare.tokens import Lazy, Token, is_hashable
from ._lock import LOCK
from ._names import is_a, name_of, place_of_caller
from ._run.build.attributes import put
from ._run.build.cell import Cell
from ._run.build.ready import fetched, fetched_nowait
from ._run.build.unawaited import Unawaited
from ._run.container.container import Container
from ._run.state.slots import UNSET
from .errors import ClosedError, DeclarationError, ScopeError

__all__ = ["AsyncDependencyDescriptor", "Given"]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True, default=Any)

keep_seat(__name__)


class AsyncDependencyDescriptor(Attribute, Generic[T_co]):
    """
    A dependency that is fetched when the attribute is first awaited: ``db = AsyncDependencyDescriptor(Database)``.

    What it asks for is, in this order: *token*; the argument of its annotation; its subscript
    (``AsyncDependencyDescriptor[Database]()``); the attribute's name, as a string.

    ``await instance.db`` gives one value for each instance, whatever its lifetime.  Access on the class gives the
    descriptor itself, on a class that inherits it one of that class's own.  The value is kept in the instance and nowhere else.

    Args:
        token: What to look up.
        optional: None where nothing provides it.
    """

    @overload
    def __init__(self, token: str | None = None, *, optional: bool = False) -> None: ...
    @overload
    def __init__(self, token: Token[T_co], *, optional: Literal[False] = False) -> None: ...
    @overload
    def __init__(self, token: TypeForm[T_co], *, optional: Literal[False] = False) -> None: ...
    @overload
    def __init__(self: AsyncDependencyDescriptor[T | None], token: Token[T], *, optional: bool) -> None: ...
    @overload
    def __init__(self: AsyncDependencyDescriptor[T | None], token: TypeForm[T], *, optional: bool) -> None: ...

    def __init__(self, token: Any = None, *, optional: bool = False) -> None:
        self.place = place_of_caller()
        if not is_hashable(token) and typing.get_origin(token) is None:
            raise DeclarationError(f"a token has to be hashable; {name_of(type(token))} is not", str(self.place))
        if not isinstance(optional, bool):
            raise DeclarationError(f"optional is True or False, not {name_of(type(optional))}", str(self.place))
        self.token = token
        self.optional = optional
        self.name = ""
        self.owner: type | None = None
        self._ask: Ask | None = None
        self._of_subclasses: weakref.WeakKeyDictionary[type, Self] | None = None
        #: names that its texts use, as the function around a local class had them
        self.seen: Mapping[str, Any] | None = None
        self.written: AsyncDependencyDescriptor[Any] | None = None  #: of an inherited one, that which stands in the base
        #: what it asks for, by name
        self.service_name: str = "" if token is None else token if is_a(token, str) else name_of(token)

    def __set_name__(self, owner: type[Any], name: str) -> None:
        # Only noted: an error raised here would come out as a RuntimeError on 3.11.
        if self.name and (self.name, self.owner) != (name, owner):
            self._ask = None
        self.owner, self.name = owner, name
        if not self.service_name:
            self.service_name = name
        if "<locals>" in owner.__qualname__:
            with suppress(Exception):  # annotations that cannot be had are told when they are read
                own = getattr(self, "__orig_class__", None)
                written = [annotations_of(owner).get(name), self.token, own]
                self.seen = names_around(owner, [one for one in written if one is not None])

    def _anew(self) -> AsyncDependencyDescriptor[T_co]:
        """Return one that asks for the same, and stands nowhere yet."""
        fresh: AsyncDependencyDescriptor[T_co] = AsyncDependencyDescriptor(self.token, optional=self.optional)
        fresh.place = self.place
        return fresh

    def ask_in(self, owner: type) -> Ask:
        """Return what it asks for; annotations are read when this is first called."""
        if self.written is not None:
            return self.written.ask_in(owner)
        if self._ask is None:
            ask = self._read()
            if self.optional and not ask.optional:
                ask = ask.but(optional=True)
            self._ask = ask
        return self._ask

    def _read(self) -> Ask:
        if self.token is not None:
            return ask_for(self.token) if self.owner is None or type(self.token) in (str, type) else self._read_token(self.owner)
        if self.owner is not None:
            for name, annotation, evaluate in class_annotations(self.owner, self.seen):
                if name == self.name:
                    form = read(annotation, evaluate)  # ClassVar is taken off
                    marks = form.__metadata__ if typing.get_origin(form) is Annotated else ()
                    plain = form.__origin__ if marks else form
                    if typing.get_origin(plain) is AsyncDependencyDescriptor:
                        inside = typing.get_args(plain)[0]
                        return read_ask(Annotated[(inside, *marks)] if marks else inside, evaluate)
        subscripted = getattr(self, "__orig_class__", None)
        if subscripted is not None:
            evaluate = evaluator_for({}) if self.owner is None else evaluator_of_class(self.owner, seen=self.seen)
            return read_ask(typing.get_args(subscripted)[0], evaluate)
        return ask_for(self.name)

    def _read_token(self, owner: type) -> Ask:
        """Return what the token asks for, with names in quotes inside of it read where it was written."""
        try:
            return read_ask(self.token, evaluator_of_class(owner, seen=self.seen))
        except Exception:  # told as any token that cannot be read
            return ask_for(self.token)

    @overload
    def __get__(self, instance: None, owner: type[Any]) -> Self: ...
    @overload
    def __get__(self, instance: object, owner: type[Any] | None = None) -> Lazy[T_co]: ...
    def __get__(self, instance: Any, owner: type[Any] | None = None) -> Any:
        if instance is None:
            return self if owner is self.owner or registry_of(owner) is None or self.owner is None else self._inherited(owner)
        return Fetching(instance, self)

    def _inherited(self, owner: Any) -> Self:
        """Return what stands for this in a class that inherits it: as a token it is looked up where that class looks up."""
        if self._of_subclasses is None:
            self._of_subclasses = weakref.WeakKeyDictionary()
        found = self._of_subclasses.get(owner)
        if found is None:
            found = object.__new__(type(self))
            vars(found).update(vars(self))
            found.owner, found.written, found._of_subclasses = owner, self.written or self, None
            found = self._of_subclasses.setdefault(owner, found)
        return found

    if TYPE_CHECKING:

        def __set__(self, instance: object, value: T_co | Lazy[T_co]) -> None: ...

    async def resolve(self, instance: object) -> T_co:
        """Return what ``await instance.attribute`` gives."""
        there = getattr(instance, "__dict__", {}).get(self.name)
        return await (there if isinstance(there, Lazy) else Fetching(instance, self.written or self))  # type: ignore[no-any-return]

    if not TYPE_CHECKING:

        @classmethod
        def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
            # Asked by pydantic for an annotated field, also where it takes arbitrary types.
            raise DeclarationError(f"a dependency is no field of a model; write ClassVar: ClassVar[{cls.__name__}[...]]")

        def __await__(self) -> Any:
            kind = type(self).__name__
            raise DeclarationError(
                f"{self.name or 'this'} is the descriptor itself, which cannot be awaited: await it on an instance; "
                f"where @dataclass has made a field of it, write ClassVar: {self.name}: ClassVar[{kind}[...]]",
                str(self.place),
            )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name or '?'}: {self.service_name or '?'}>"


class Given(Unawaited):
    """A value that was put in the place of an attribute by hand: the instance's own, whatever its container says."""

    __slots__ = ("_name", "_owner", "_value")

    def __init__(self, value: Any, owner: type, name: str) -> None:
        self._value, self._owner, self._name = value, owner, name

    def __await__(self) -> Generator[Any, None, Any]:
        return self._value
        yield

    def _fetch_nowait(self) -> Any:
        return self._value

    def __repr__(self) -> str:
        return "<Lazy, given>"

    def _label(self) -> str:
        return f"{name_of(self._owner)}.{self._name}"

    def _written(self) -> str:
        return f"self.{self._name}"

    def __reduce__(self) -> Any:  # it belongs to no container
        return Given, (self._value, self._owner, self._name)


class Fetching(Cell):
    """What ``instance.attribute`` is until it has been fetched."""

    __slots__ = ("_attribute", "_instance", "_scope")

    def __init__(self, instance: Any, attribute: AsyncDependencyDescriptor[Any]) -> None:
        self._value, self._waiting = UNSET, None  # as `Cell` does; written out, for each access makes one of these
        self._instance, self._attribute = instance, attribute
        self._scope: Any = None

    def __repr__(self) -> str:
        return f"<Lazy {self._label()}>"

    def _label(self) -> str:
        return f"{name_of(type(self._instance))}.{self._attribute.name}"

    def _written(self) -> str:
        return f"self.{self._attribute.name}"

    def _fetch(self) -> Any:
        instance = self._instance
        there = self._kept()
        if there is not None:
            return there.run()
        scope = self._scope = home_of(instance, self._attribute.name)._standing()
        key = (type(instance), self._attribute)
        view = scope._elsewhere(key) if scope._singletons.overridden else None
        if view is not None:
            return view._attribute((id(instance), self._attribute), instance, key)
        if scope._shares(key):
            return self._fetch_shared()
        first = self._first()
        return self._fetch_once() if first is None else first.run()

    async def _fetch_shared(self) -> Any:
        scope, key = self._scope, (type(self._instance), self._attribute)
        try:
            value = await scope.get(key)
        except ClosedError:
            standing = scope._standing()
            if standing is scope:
                raise
            self._scope = standing  # an override has ended meanwhile
            value = await standing.get(key)
        self._keep(value)
        return value

    def _first(self) -> Any:
        """Return the handle that another thread has left on the instance a moment ago; else leave this there, for who asks now."""
        if self._value is not UNSET or not self._is_found():
            return None
        with LOCK:
            there = self._kept()
            if there is None:
                put(self._instance, self._attribute.name, self)
            return there

    def _give_up(self) -> None:
        here = getattr(self._instance, "__dict__", {})
        if here.get(self._attribute.name) is self:
            del here[self._attribute.name]

    def _get(self) -> Any:
        return fetched(self._scope, (type(self._instance), self._attribute))

    def _get_nowait(self) -> Any:
        return fetched_nowait(self._scope, (type(self._instance), self._attribute))

    def _fetch_nowait(self) -> Any:
        instance = self._instance
        there = self._kept()
        if there is not None:
            return there.nowait()
        scope = self._scope = home_of(instance, self._attribute.name)._standing()
        key = (type(instance), self._attribute)
        view = scope._elsewhere(key)
        if view is not None:
            return view._attribute_nowait((id(instance), self._attribute), instance, key)
        if scope._shares(key):
            value = fetched_nowait(scope, key)
            self._keep(value)
            return value
        first = self._first()
        return self._fetch_once_nowait() if first is None else first.nowait()

    def _kept(self) -> Lazy[Any] | None:
        """Return the handle that another access has left on the instance."""
        there = getattr(self._instance, "__dict__", _NOTHING).get(self._attribute.name)
        return there if isinstance(there, Lazy) and there is not self and self._is_found() else None

    def _is_found(self) -> bool:
        """Tell whether the class has this descriptor under the name: ``super().name`` reaches another one."""
        return getattr(type(self._instance), self._attribute.name, None) is self._attribute

    def _keep(self, value: Any) -> None:
        if self._is_found():
            key = (type(self._instance), self._attribute)
            put(self._instance, self._attribute.name, self._scope.container._attributes.ready(value, self._scope, key))


_NOTHING: dict[str, Any] = {}

# What Python itself says of a use, such as setting something on it, calls it by this name.
Fetching.__name__ = Given.__name__ = "Unawaited"


def home_of(instance: Any, name: str) -> Any:
    """
    Return the scope that made or adopted *instance*; of one that the user made, a container of its own.

    Args:
        name: The attribute that is fetched, for the error.

    Raises:
        ScopeError: It is no singleton service and cannot be its own root.
    """
    home = home_kept(instance)
    if home is not None:
        return home
    cls = type(instance)
    if getattr(instance, "__dict__", _NOTHING).get(TWIN):
        raise ScopeError(
            f"this {name_of(cls)} is a copy of one that a container had made, and belongs to no scope; "
            "bind it: scope.adopt(instance)"
        )
    registry = registry_of(cls)
    if registry is None or registry.lifetime != "singleton":
        if registry is None:
            said = "no service class"
            ways = "bind it: scope.adopt(instance)"
        else:
            said, ways = (
                registry.lifetime,
                (
                    f"have it made, `async with container.request({cls.__name__}) as ...`, bind it, scope.adopt(instance), "
                    f"or give it the value by hand: {cls.__name__}({name}=...), or .{name} = ..."
                ),
            )
        raise ScopeError(f"this {name_of(cls)} was made by hand and belongs to no scope ({said}); {ways}")
    return Container(instance, check=False)
