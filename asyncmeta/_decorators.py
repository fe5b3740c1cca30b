"""The decorators: one registers, the other fills."""

from __future__ import annotations

import sys
import types
from collections.abc import AsyncIterator, Callable, Coroutine, Hashable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import TYPE_CHECKING, Any, Generic, Literal, ParamSpec, overload

from ._compat import TypeForm, TypeVar
from ._declare.entries import BODY, Declaration, enter, is_function
from ._declare.keys import Token
from ._declare.registry import registry_of
from ._names import Place, name_of, name_of_callable
from ._service import AsyncServiceBase, _Lifetime
from .errors import DeclarationError

__all__ = ["inject_dependency", "injected"]

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])


if TYPE_CHECKING:

    class _Register(Generic[T]):
        """The decorator for a typed token: functions are checked against T by checkers, a class keeps its own type."""

        @overload
        def __call__(self, factory: type[R], /) -> type[R]: ...  # type: ignore[overload-overlap]  # a class before any callable
        @overload
        def __call__(self, factory: Callable[P, AsyncIterator[T]], /) -> Callable[P, AsyncIterator[T]]: ...
        @overload
        def __call__(self, factory: Callable[P, Iterator[T]], /) -> Callable[P, Iterator[T]]: ...
        @overload
        def __call__(self, factory: Callable[P, Coroutine[Any, Any, T]], /) -> Callable[P, Coroutine[Any, Any, T]]: ...
        @overload
        def __call__(
            self, factory: Callable[P, AbstractAsyncContextManager[T]], /
        ) -> Callable[P, AbstractAsyncContextManager[T]]: ...
        @overload
        def __call__(self, factory: Callable[P, AbstractContextManager[T]], /) -> Callable[P, AbstractContextManager[T]]: ...
        @overload
        def __call__(self, factory: Callable[P, T], /) -> Callable[P, T]: ...
        def __call__(self, factory: Any, /) -> Any: ...


class _Decorator:
    """What ``inject_dependency(...)`` returns: call it with the factory."""

    __slots__ = ("_at", "_code", "_on", "_options", "_token")

    def __init__(self, token: Any, on: Any, options: dict[str, Any], frame: types.FrameType) -> None:
        self._token, self._on, self._options = token, on, options
        # Where it was made: the line is wanted for texts only, and is dear to find in a long module.
        self._code, self._at = frame.f_code, frame.f_lasti

    def __call__(self, *factories: Any, **options: Any) -> Any:
        if (
            len(factories) != 1
            or options
            or (isinstance(self._token, type) and not callable(factories[0]) and not hasattr(factories[0], "__get__"))
        ):
            raise self._forgotten("was called like a class")
        # Where it is applied counts: a helper may have made it.
        register(self._token, factories[0], self._on, self._options, sys._getframe(1))
        return factories[0]

    def __repr__(self) -> str:
        return f"<inject_dependency({'' if self._token is None else name_of(self._token)}), which nothing was decorated with>"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name != "__mro_entries__":
            raise AttributeError(name)
        raise self._forgotten(f"was asked for .{name}")

    def __mro_entries__(self, bases: Any) -> Any:
        raise self._forgotten("was used as a base class")

    def _forgotten(self, what: str) -> DeclarationError:
        line = next(line for begin, end, line in self._code.co_lines() if begin <= self._at < end)
        place = Place(self._code.co_filename, line or 0)
        return DeclarationError(self.__asyncmeta_hint__() + f" (the decorator {what})", str(place))

    def __asyncmeta_hint__(self) -> str:
        """Say what probably happened, where somebody asks for this object as if it were a class."""
        token = name_of(self._token) if self._token is not None else ""
        if isinstance(self._token, type):
            return f"@inject_dependency without parentheses on class {token} makes it a token: write @inject_dependency()"
        return f"inject_dependency({token}) decorates a factory, which is missing"


def body_of(frame: types.FrameType, place: Place) -> list[Declaration] | None:
    """
    Return where the class body that *frame* runs collects its registrations; None where it runs something else.

    Raises:
        DeclarationError: It is the body of a class that is no service class.
    """
    # Function bodies are optimized; class bodies and modules are not, and their f_locals costs nothing.
    if frame.f_code.co_flags & 0x01:
        return None
    names = frame.f_locals
    body: list[Declaration] | None = names.get(BODY)
    if body is None and "__module__" in names and "__qualname__" in names:
        raise DeclarationError(
            f"@inject_dependency in the body of {names['__qualname__'].rpartition('<locals>.')[2]}, which is no service class: "
            "derive it from AsyncServiceBase, or decorate a function outside",
            str(place),
        )
    return body


#: Stands for the class whose body the decorator stands in, or the shared layer.
_HERE: Any = object()


def register(token: Any, factory: Any, on: Any, options: dict[str, Any], frame: types.FrameType) -> None:
    """
    Register *factory* on the class *on*, or where the decorator stands, which is what *frame* runs.

    Raises:
        DeclarationError: Something about it is wrong; nothing is registered.
    """
    place = Place.of(frame)
    body = body_of(frame, place) if on is _HERE else None
    module = getattr(factory, "__module__", None) or frame.f_globals.get("__name__")
    written = Declaration(token, factory, options, place, module)
    if body is not None:
        # The class is not made yet; what can be known is said at the line all the same.
        if not callable(factory) and not isinstance(factory, staticmethod):
            said = f"a factory has to be callable; {name_of(type(factory))} is not"
            if isinstance(factory, (classmethod, property)):
                said += ": in a class body it is a method, which gets the service, or a staticmethod"
            raise DeclarationError(said, str(place))
        written.body = True
        body.append(written)
        return
    registry = registry_of(AsyncServiceBase if on is _HERE else on)
    if registry is None:
        raise DeclarationError(f"on= is a class derived from AsyncServiceBase, not {name_of(on)}", str(place))
    enter(registry, written)


@overload
def inject_dependency(
    token: str | None = None,
    *,
    lifetime: _Lifetime | None = None,
    on: type[AsyncServiceBase] = ...,
    also: Sequence[Hashable] | Literal["bases"] = (),
    multi: Hashable = False,
    into: Sequence[Hashable] | Mapping[Any, Hashable] = (),
    replace: bool = False,
    around: bool = False,
    timeout: float | None = None,
    in_thread: bool = False,
    concurrent: bool = False,
    health: Callable[[Any], object] | str | None = None,
) -> Callable[[F], F]: ...
@overload
def inject_dependency(
    token: Token[T],
    *,
    lifetime: _Lifetime | None = None,
    on: type[AsyncServiceBase] = ...,
    also: Sequence[Hashable] | Literal["bases"] = (),
    multi: Hashable = False,
    into: Sequence[Hashable] | Mapping[Any, Hashable] = (),
    replace: bool = False,
    around: bool = False,
    timeout: float | None = None,
    in_thread: bool = False,
    concurrent: bool = False,
    health: Callable[[T], object] | str | None = None,
) -> _Register[T]: ...
@overload
def inject_dependency(
    token: TypeForm[T],
    *,
    lifetime: _Lifetime | None = None,
    on: type[AsyncServiceBase] = ...,
    also: Sequence[Hashable] | Literal["bases"] = (),
    multi: Hashable = False,
    into: Sequence[Hashable] | Mapping[Any, Hashable] = (),
    replace: bool = False,
    around: bool = False,
    timeout: float | None = None,
    in_thread: bool = False,
    concurrent: bool = False,
    health: Callable[[T], object] | str | None = None,
) -> _Register[T]: ...
@overload
def inject_dependency(factory: F, /) -> F: ...
def inject_dependency(token: Any = None, **options: Any) -> Any:
    """
    Register a factory: "inject" in this name *registers*; everywhere else it *fills*.

    A factory is a class, or a function: sync, async, a generator or async generator that yields the value once (what
    follows the ``yield`` is its finalizer), also decorated with ``contextmanager`` or ``asynccontextmanager``.  What it
    needs are its parameters, looked up by their annotations.

    In the body of a service class it registers on that class; a plain function there is a method and gets the service
    as its first argument.  Elsewhere it registers on the shared layer, or on the class named by *on*.

    Args:
        token: What to ask for; without it, the class itself or the function's return annotation.
        lifetime: "singleton" unless said otherwise; in a class body, the class's.
        on: The service class to register on.
        also: More tokens for the same value; "bases" of the class that is made, all but ``object``, ``ABC``, ``Protocol`` and
            ``Generic``, a generic one with its argument.
        multi: One of several values of this token: ask for ``All[token]``.  A name instead of True lets it be chosen from
            ``Named[token]``.
        into: Tokens of several values to which this one is added, beside its own token; a mapping gives it a name in each.
        replace: Win over another module's registration in the same layer.
        around: Stand around what the layer has for the key so far, and get that by asking for it; in the order of writing.
        timeout: Seconds for the factory's own run, of a service for its ``on_startup``; None waits for ever.
        in_thread: Run a synchronous factory in a worker thread.
        concurrent: Build a scoped value beside others.
        health: What to ask the built value whether it is well; a callable, or a method's name.

    Returns:
        The function or class, unchanged.

    Raises:
        DeclarationError: Something about it is wrong; nothing is registered.
    """
    if not _OPTIONS.issuperset(options):
        raise TypeError(f"inject_dependency() got an unexpected keyword argument {min(options.keys() - _OPTIONS)!r}")
    frame = sys._getframe(1)
    if token is not None and (isinstance(token, (staticmethod, classmethod, property)) or is_function(token)):
        if options:
            raise DeclarationError(
                "inject_dependency takes a token first, not the function: @inject_dependency(lifetime=...) above it",
                f"{frame.f_code.co_filename}:{frame.f_lineno}",
            )
        register(None, token, _HERE, options, frame)
        return token
    return _Decorator(token, options.pop("on", _HERE), options, frame)


_OPTIONS = frozenset(
    {"lifetime", "on", "also", "multi", "into", "replace", "around", "timeout", "in_thread", "concurrent", "health"}
)


@overload
def injected(fn: Callable[P, R], /) -> Callable[P, R]: ...
@overload
def injected() -> Callable[[Callable[P, R]], Callable[P, R]]: ...
def injected(*fns: Any) -> Any:
    """
    Fill the marked parameters of a function, ``From[T]`` or ``Annotated[T, Inject(...)]``, at each call.

    What fills them is the container whose ``async with`` (or ``with``) block the call runs in, also in tasks that were
    started there, or the scope of a block of `Scope.ambient`.  With a container, a scope is opened for the call where
    something scoped is needed, and closed when the call, or the generator, ends.  The caller passes the other parameters,
    by position or name; a marked one that is passed by hand wins, and a call that passes all of them needs no container.

    Works on functions of any kind, methods, and below ``@staticmethod`` and ``@classmethod``.  A sync function gets what
    needs no awaiting.  A function that marks nothing comes back as it is, with a warning where it takes more than plain data.
    ``= INJECTED`` as the default of a marked parameter lets type checkers accept calls without it.

    Raises:
        ScopeError: At a call: there is no container or scope around it.
        GraphError: At a call: what it asks for does not fit together.
        ClosedError: At a call: the container or scope around it is closed.

    Example:
        >>> @injected
        ... async def greet(name: str, words: From[Words] = INJECTED) -> str:
        ...     return words.hello(name)

    .. versionadded:: 0.1.0
    """
    from ._run.scope.injection import inject  # lazy import

    if not fns:
        return injected
    (fn,) = fns
    filled = inject(fn)
    if filled is fn and not hasattr(fn, "__wrapped__"):
        _tell_unmarked(fn, sys._getframe(1))
    return filled


def _tell_unmarked(fn: Any, frame: types.FrameType) -> None:
    """Warn that nothing is filled, where a user has decorated what may need something: not where all it takes is data."""
    if frame.f_globals.get("__name__", "").partition(".")[0] == "asyncmeta":
        return
    import warnings  # lazy import: loaded by whoever has warned before

    code = getattr(fn, "__code__", None)
    if code is None:
        return
    annotations = getattr(fn, "__annotations__", {})
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    plain = {"int", "str", "float", "bool", "bytes", int, str, float, bool, bytes}
    meant = [name for name in names if name not in ("self", "cls") and annotations.get(name) not in plain]
    if meant:
        warnings.warn(
            f"@injected fills nothing of {name_of_callable(fn)}: no parameter is marked; write {meant[0]}: From[...]",
            stacklevel=3,
        )
