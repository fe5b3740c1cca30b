"""With which words does a user ask?  Tokens, the markers around types, and the handles that fetch late."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator, Hashable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final, Generic, final

from .._compat import TypeVar
from .._names import name_of
from ..errors import DeclarationError

__all__ = [
    "INJECTED",
    "MISSING",
    "All",
    "Factory",
    "From",
    "Inject",
    "Lazy",
    "Missing",
    "Named",
    "Token",
    "is_hashable",
]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True, default=Any)


class Missing:
    """The type of MISSING, which stands where `None` would be a value."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "MISSING"

    def __reduce__(self) -> str:
        return "MISSING"  # known by identity, in every process that a function's marks are sent to


MISSING: Final = Missing()


def is_hashable(token: object) -> bool:
    """Tell whether *token* can be a key."""
    try:
        hash(token)
    except TypeError:
        return False
    return True


@final
class Token(Generic[T_co]):
    """
    A key with a name and a type: ``DSN = Token[str]("dsn")``.

    A token is a key of its own, by identity; the name is for reading.  Two tokens of one name are two keys, so keep
    each as a constant that both ends import.
    """

    __slots__ = ("__orig_class__", "__weakref__", "name")

    name: str

    def __init__(self, name: str, /) -> None:
        if not isinstance(name, str):
            raise DeclarationError(f"Token takes its name, a string, not {type(name).__name__}")
        self.name = name

    def __repr__(self) -> str:
        return f"Token({self.name!r})"

    def __copy__(self) -> Token[T_co]:
        return self

    def __deepcopy__(self, memo: object) -> Token[T_co]:
        return self

    def __reduce__(self) -> str:
        raise TypeError(f"{self!r} is a key by identity: pickle the import path of the constant that holds it instead")


@final
class Inject:
    """
    In ``Annotated``: what to look up instead of the annotation.

    ``Annotated[dict, Inject("AppConfig")]`` is filled with what is registered for ``"AppConfig"``; ``Inject()`` alone
    means the annotated type itself.

    Args:
        token: The key; any hashable.
        fallback: The value where nothing provides the key.
    """

    __slots__ = ("fallback", "token")

    def __init__(self, token: Hashable = MISSING, fallback: object = MISSING) -> None:
        if not is_hashable(token):
            raise DeclarationError(f"Inject takes a hashable token, not a {type(token).__name__}")
        self.token, self.fallback = token, fallback

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Inject) and self.token == other.token and self.fallback is other.fallback

    def __hash__(self) -> int:
        return hash((Inject, self.token))

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], Any]) -> Any:
        """Refuse to be read from a request; asked by pydantic, for frameworks that make models of a handler's parameters."""
        from .misread import schema_unless_misread  # lazy import

        return schema_unless_misread(self, source, handler)

    def __repr__(self) -> str:
        return "Inject()" if self.token is MISSING else f"Inject({name_of(self.token)})"


@final
class _Collect:
    """The marker of All[T]."""

    __slots__ = ()

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], Any]) -> Any:
        from .misread import schema_unless_misread  # lazy import

        return schema_unless_misread(self, source, handler)

    def __reduce__(self) -> str:
        return "_COLLECT"

    def __repr__(self) -> str:
        return "All"


_COLLECT: Final = _Collect()

From = Annotated[T, Inject()]
"""``From[T]`` marks a parameter of an injected function that is filled with what is registered for T."""

All = Annotated[list[T], _COLLECT]
"""``All[T]`` asks for every ``multi`` registration of T: a new list each time, empty where there is none."""


class _Injected:
    """The type of INJECTED."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "INJECTED"

    def __reduce__(self) -> str:
        return "INJECTED"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # copy, inspect and frameworks probe for these
            raise AttributeError(name)
        raise DeclarationError(
            f"a parameter with the default INJECTED is filled by @injected or container.inject(), "
            f"but the function was called undecorated and asks for .{name}"
        )


INJECTED: Any = _Injected()
"""Default of a ``From`` parameter, for callers' checkers; never seen by the function."""


class Lazy(Generic[T_co]):
    """
    An awaitable handle: fetches its value when it is awaited, and keeps it.

    It is what a ``Lazy[T]`` parameter receives and what ``service.attribute`` of a descriptor is.  It may be awaited
    any number of times, by several tasks at once, or never: nothing warns.  Because the value is fetched later, a
    ``Lazy`` parameter may close a circle of dependencies.
    """

    __slots__ = ()

    def _fetch(self) -> Coroutine[Any, Any, Any]:
        raise NotImplementedError("Lazy is made by a container, for a parameter annotated Lazy[...]")

    def _fetch_nowait(self) -> Any:
        raise NotImplementedError("Lazy is made by a container, for a parameter annotated Lazy[...]")

    def __await__(self) -> Generator[Any, None, T_co]:
        return self._fetch().__await__()

    async def run(self) -> T_co:
        """Return the value; the same as awaiting the handle, as a coroutine (for ``TaskGroup.create_task``)."""
        return await self

    def nowait(self) -> T_co:
        """
        Return the value without awaiting.

        Raises:
            AsyncDependencyError: It would have to be built by something that awaits.
        """
        return self._fetch_nowait()  # type: ignore[no-any-return]

    def __reduce__(self) -> str:
        raise TypeError("a handle belongs to the container that made it and cannot be copied or pickled")


def _no_attribute(handle: object, name: str, what: str, value: str) -> AttributeError:
    """Return the error of who takes a handle for its value; Python and libraries, which probe, get a plain no."""
    probed = name.startswith("__") and name.endswith("__")
    said = f"{type(handle).__name__!r} object has no attribute {name!r}" if probed else f"{handle!r} {what}: ({value}).{name}"
    return AttributeError(said, name=name, obj=handle)


class Named(Mapping[Any, Lazy[T_co]], Generic[T_co]):
    """
    The members of a ``multi`` key that have names, each fetched when it is awaited: ``await models[settings.llm]``.

    A read-only mapping.  Every member is checked with the rest; only what is chosen is built.
    """

    __slots__ = ()

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            raise _no_attribute(self, name, "leads to several", "await ...[name]")


class Factory(Generic[T_co]):
    """
    A handle that makes a new value at each call: ``report = await make_report(month=5)``.

    The keyword arguments are the parameters of the factory that nothing provides; everything else is injected.  What
    is made is closed with the scope or container that holds the handle.
    """

    __slots__ = ()

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            raise _no_attribute(self, name, "makes one when it is called", "await ...()")

    def _make(self, arguments: dict[str, Any]) -> Coroutine[Any, Any, Any]:
        raise NotImplementedError("Factory is made by a container, for a parameter annotated Factory[...]")

    def _make_nowait(self, arguments: dict[str, Any]) -> Any:
        raise NotImplementedError("Factory is made by a container, for a parameter annotated Factory[...]")

    async def __call__(self, **arguments: Any) -> T_co:
        """Return a new value; *arguments* go to the parameters that nothing provides."""
        return await self._make(arguments)  # type: ignore[no-any-return]

    def nowait(self, **arguments: Any) -> T_co:
        """
        Return a new value without awaiting.

        Raises:
            AsyncDependencyError: Something on the way has to be awaited.
        """
        return self._make_nowait(arguments)  # type: ignore[no-any-return]
