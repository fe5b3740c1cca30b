"""What is asked for?  Tokens, the markers around them, and the handles that fetch late."""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Coroutine, Generator, Hashable
from typing import Annotated, Any, Final, Generic, final

import typing_extensions as te

from .._compat import referred
from .._names import name_of
from ..errors import DeclarationError

__all__ = [
    "INJECTED",
    "MISSING",
    "All",
    "Ask",
    "ByName",
    "Factory",
    "From",
    "Inject",
    "Lazy",
    "Missing",
    "Token",
    "ask_for",
    "is_hashable",
    "token_key",
]

T = te.TypeVar("T")
T_co = te.TypeVar("T_co", covariant=True, default=Any)


class Missing:
    """The type of MISSING, which stands where `None` would be a value."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "MISSING"


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

    def __repr__(self) -> str:
        return "Inject()" if self.token is MISSING else f"Inject({name_of(self.token)})"


@final
class _Collect:
    """The marker of All[T]."""

    __slots__ = ()

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


class Factory(Generic[T_co]):
    """
    A handle that makes a new value at each call: ``report = await make_report(month=5)``.

    The keyword arguments are the parameters of the factory that nothing provides; everything else is injected.  What
    is made is closed with the scope or container that holds the handle.
    """

    __slots__ = ()

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


class Ask:
    """
    What one parameter, attribute or call of ``get`` asks for.

    kind is ``"value"``, ``"lazy"``, ``"factory"`` or ``"all"``; of the last three *inner* says what of.
    """

    __slots__ = ("fallback", "inner", "keys", "kind", "listed", "optional")

    def __init__(
        self,
        kind: str,
        keys: tuple[Hashable, ...],
        optional: bool = False,
        fallback: Any = MISSING,
        inner: Ask | None = None,
        listed: bool = False,
    ) -> None:
        self.kind = kind
        self.keys = keys  #: candidates in the order in which they are tried
        self.optional = optional  #: None where nothing provides any of them
        self.fallback = fallback  #: the value where nothing provides any of them, or MISSING
        self.inner = inner
        self.listed = listed  #: annotated as a list, so that a multi key gives all of its values

    @property
    def key(self) -> Hashable:
        """What it is about, for texts."""
        return self.inner.key if self.inner is not None else self.keys[-1]


class ByName:
    """
    A key that nobody registers: it means the registered class of that name, whichever it is.

    The dialect tries it where it was given a string and no key is that string.  See Ascender, "Forward references".
    """

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ByName) and self.name == other.name

    def __hash__(self) -> int:
        return hash((ByName, self.name))

    def __repr__(self) -> str:
        return name_of(self.name)


def token_key(token: Any) -> Hashable:
    """
    Return the key that a registration under *token* goes by: ``Annotated`` is unwrapped, all else stands for itself.

    Raises:
        DeclarationError: *token* is nothing that can be asked for.
    """
    if type(token) is type or type(token) is str or type(token) is Token:
        return token
    if not is_hashable(token):
        raise DeclarationError(f"a token has to be hashable; {name_of(type(token))} is not")
    ask = ask_for(token)
    if ask.kind != "value" or ask.optional:
        raise DeclarationError(f"{name_of(token)} is a way of asking and cannot be registered; register what it is about")
    return ask.keys[-1] if typing.get_origin(token) is Annotated else token


def ask_for(token: Any, evaluate: Callable[[str], Any] | None = None) -> Ask:
    """
    Return what *token*, or an annotation, asks for.

    Args:
        token: A class, string, Token, typing form, or any hashable.
        evaluate: Reads forward references inside of the form; without it they stay what they are.
    """
    if type(token) is type or type(token) is str:
        return Ask("value", (token,))
    origin = typing.get_origin(token)
    if origin is None:
        return Ask("value", (token,))
    if evaluate is not None:
        token = resolved(token, evaluate)
    if origin is Annotated:
        return _ask_annotated(token)
    if origin is typing.Union or origin is types.UnionType:
        rest = tuple(argument for argument in typing.get_args(token) if argument is not type(None))
        if len(rest) == len(typing.get_args(token)):
            return Ask("value", (token,))
        inner = ask_for(rest[0] if len(rest) == 1 else typing.Union[rest])  # noqa: UP007  # the members are known only now
        if inner.kind != "value":
            return Ask(inner.kind, inner.keys, True, inner.fallback, inner.inner, inner.listed)
        # Optional[X] is also a key of its own, when somebody registered it so.
        return Ask("value", (token, *inner.keys), True, inner.fallback)
    if origin is typing.ClassVar or origin is typing.Final or origin is te.Required or origin is te.NotRequired:
        return ask_for(typing.get_args(token)[0])
    if origin is Lazy:
        return Ask("lazy", (), inner=ask_for(typing.get_args(token)[0]))
    if origin is Factory:
        return Ask("factory", (), inner=ask_for(typing.get_args(token)[0]))
    return Ask("value", (token,))


def _ask_annotated(token: Any) -> Ask:
    annotated, *marks = typing.get_args(token)
    if any(type(mark) is _Collect for mark in marks):
        named = next((mark.token for mark in marks if type(mark) is Inject and mark.token is not MISSING), None)
        return Ask("all", (typing.get_args(annotated)[0] if named is None else named,))
    for mark in marks:
        if type(mark) is Inject or _is_foreign_inject(mark):
            optional = ask_for(annotated).optional
            # Foreign markers have no MISSING of ours: their fallback is an "empty" class or absent.
            fallback = mark.fallback if type(mark) is Inject else _foreign_fallback(mark)
            if mark.token is MISSING:
                plain = ask_for(annotated)
                return plain if fallback is MISSING else Ask(plain.kind, plain.keys, plain.optional, fallback, plain.inner)
            meant = ask_for(mark.token)
            handle = ask_for(annotated)
            if handle.kind in ("lazy", "factory") and meant.kind == "value":
                # The annotation says what arrives, a handle; the token says of what.
                return Ask(handle.kind, (), inner=Ask("value", meant.keys, optional, fallback))
            listed = typing.get_origin(annotated) is list or annotated is list
            return Ask(meant.kind, meant.keys, optional or meant.optional, fallback, meant.inner, listed)
    plain = ask_for(annotated)
    return Ask(plain.kind, (token, *plain.keys), plain.optional, plain.fallback, plain.inner) if plain.kind == "value" else plain


def shortened(token: Any) -> Any:
    """Return what asks for the same as *token* and is quicker to look up: of ``From[T]``, T, which needs no code to be hashed."""
    if typing.get_origin(token) is Annotated:
        annotated, *marks = typing.get_args(token)
        mark = next((mark for mark in marks if type(mark) is Inject or _is_foreign_inject(mark)), None)
        if (
            type(mark) is Inject
            and mark.token is MISSING
            and mark.fallback is MISSING
            and not any(type(mark) is _Collect for mark in marks)
        ):
            return annotated
    return token


def _is_foreign_inject(mark: object) -> bool:
    """Recognise the marker of a real Ascender installation by its shape, without importing it."""
    kind = type(mark)
    return kind.__name__ == "InjectionMetadata" and hasattr(mark, "token") and hasattr(mark, "fallback")


def _foreign_fallback(mark: Any) -> Any:
    fallback = mark.fallback
    return MISSING if getattr(fallback, "__name__", "") in {"_empty", "empty"} or fallback is ... else fallback


def resolved(form: Any, evaluate: Callable[[str], Any]) -> Any:
    """Return *form* with the forward references in its arguments replaced by what they name."""
    arguments = typing.get_args(form)
    if not arguments or typing.get_origin(form) is typing.Literal:
        return form
    if typing.get_origin(form) is Annotated:
        inner = _resolved_argument(arguments[0], evaluate)
        marks = tuple(_resolved_mark(mark, evaluate) for mark in form.__metadata__)
        if inner is arguments[0] and all(new is old for new, old in zip(marks, form.__metadata__, strict=True)):
            return form
        return Annotated[(inner, *marks)]
    fresh = tuple(_resolved_argument(argument, evaluate) for argument in arguments)
    if all(new is old for new, old in zip(fresh, arguments, strict=True)):
        return form
    if isinstance(form, types.UnionType):
        return typing.Union[fresh]  # noqa: UP007  # the members are known only now
    if isinstance(form, types.GenericAlias):
        return types.GenericAlias(typing.get_origin(form), fresh)
    return form.copy_with(fresh)


def _resolved_mark(mark: Any, evaluate: Callable[[str], Any]) -> Any:
    """Return *mark* with its token read, where that was not defined yet when the mark was made (CPython 3.14)."""
    if type(mark) is Inject and isinstance(mark.token, typing.ForwardRef):
        return Inject(referred(mark.token, evaluate), mark.fallback)
    return mark


def _resolved_argument(argument: Any, evaluate: Callable[[str], Any]) -> Any:
    if isinstance(argument, typing.ForwardRef):
        return resolved(referred(argument, evaluate), evaluate)
    if isinstance(argument, str):
        return resolved(evaluate(argument), evaluate)
    if isinstance(argument, list):  # Callable's parameters
        return argument
    return resolved(argument, evaluate)
