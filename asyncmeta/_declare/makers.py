"""What kind of factory is this, and how is it called?"""

from __future__ import annotations

import contextlib
import functools
import inspect
import types
from typing import Any

from .._names import Place, name_of, name_of_callable, place_of_function
from ..errors import DeclarationError
from .annotations import Parameter, parameters_of_class, parameters_of_function, returned_by
from .keys import MISSING

__all__ = ["ASYNC", "ASYNC_GENERATOR", "GENERATOR", "SYNC", "VALUE", "Maker", "maker_of", "value_maker"]

# Kinds of factories.
VALUE = "value"  #: no call: the value itself
SYNC = "sync"  #: a class, or a function that returns the value
ASYNC = "async"
GENERATOR = "generator"  #: yields the value once; what follows is its finalizer
ASYNC_GENERATOR = "async generator"

# Functions made by contextlib's decorators share these code objects; the generator function stands in __wrapped__.
_NOTHING: Any = None
_MANAGERS = (
    contextlib.contextmanager(_NOTHING).__code__,
    contextlib.asynccontextmanager(_NOTHING).__code__,
)

_AWAITED = inspect.CO_COROUTINE | inspect.CO_ITERABLE_COROUTINE
_GENERATOR, _ASYNC_GENERATOR = inspect.CO_GENERATOR, inspect.CO_ASYNC_GENERATOR


_NOTHING_BOUND: tuple[int, frozenset[str]] = (0, frozenset())


class Maker:
    """A factory: how it is called and what it needs.  Its annotations are read when first asked for."""

    __slots__ = ("call", "cls", "function", "kind", "partial", "written")

    def __init__(self, call: Any, kind: str, function: Any, cls: type | None, written: Any) -> None:
        self.call = call  #: what is called; of kind VALUE the value itself
        self.kind = kind
        self.function = function  #: the plain function underneath, None for a class or a value
        self.cls = cls  #: the class that is built, else None
        self.written = written  #: what the user handed over
        self.partial = _NOTHING_BOUND  #: positions and names bound already

    # Names and places are wanted for texts only, so they are not worked out for each of ten thousand registrations.

    @property
    def name(self) -> str:
        """What to call it in text."""
        if self.kind is VALUE:
            return "value"
        return name_of_callable(self.function if self.function is not None else self.call)

    @property
    def place(self) -> Place | None:
        """Where its function was written; None for a class or a value."""
        return None if self.function is None else place_of_function(self.function)

    def parameters(self, *, method: bool = False, owner: type | None = None) -> tuple[Parameter, ...]:
        """Return what the factory needs; of a *method* without the first parameter, which is the service."""
        if self.cls is not None:
            found = parameters_of_class(self.cls)
            if not self.partial[0] and not self.partial[1]:
                return found
            return tuple(p for p in found[self.partial[0] :] if p.name not in self.partial[1])
        if self.function is None:
            return ()
        # A callable object, or a bound method: its function's first parameter is the object itself.
        skip = 1 if method or self.function is not _innermost(self.call) else 0
        return parameters_of_function(self.function, skip=skip, owner=owner, bound=self.partial)

    def returns(self, owner: type | None = None) -> Any:
        """Return the type that the factory says it makes; MISSING where it says nothing."""
        if self.cls is not None:
            return self.cls
        if self.function is None:
            return MISSING
        return returned_by(self.function, generator=self.kind in (GENERATOR, ASYNC_GENERATOR), owner=owner)


def _innermost(call: Any) -> Any:
    """Return what stands under partials."""
    while isinstance(call, functools.partial):
        call = call.func
    return call


def value_maker(value: object) -> Maker:
    """Return the maker of a value that is there already; nothing of *value* is looked at."""
    return Maker(value, VALUE, None, None, None)


def maker_of(factory: Any) -> Maker:
    """
    Return the facts about *factory*.

    Raises:
        DeclarationError: It cannot be called, or nothing tells how.
    """
    if type(factory) is types.FunctionType and factory.__code__ is not _MANAGERS[0] and factory.__code__ is not _MANAGERS[1]:
        return Maker(factory, _kind_of(factory, factory.__code__), factory, None, factory)
    call = factory
    positions, names = _NOTHING_BOUND
    while isinstance(call, functools.partial):
        positions += len(call.args)
        names |= frozenset(call.keywords)
        call = call.func
    if isinstance(call, type):
        maker = Maker(factory, SYNC, None, call, factory)
        if call is not factory:
            maker.partial = (positions, names)
        return maker
    if isinstance(call, (staticmethod, classmethod)):
        raise DeclarationError(f"{name_of_callable(call.__func__)} is a {type(call).__name__} object and cannot be called here")
    if not callable(call):
        raise DeclarationError(f"a factory has to be callable; {name_of(type(factory))} is not")
    function: Any = call
    if not isinstance(function, types.FunctionType):
        function = getattr(call, "__func__", None) if isinstance(call, types.MethodType) else type(call).__call__
    written = factory
    if any(getattr(function, "__code__", None) is code for code in _MANAGERS):
        # The generator function underneath is what sets up and tears down.
        function = function.__wrapped__  # pyright: ignore[reportFunctionMemberAccess]  # contextlib sets it
        call = types.MethodType(function, call.__self__) if isinstance(call, types.MethodType) else function
        factory = functools.partial(call, *factory.args, **factory.keywords) if isinstance(factory, functools.partial) else call
    code = getattr(function, "__code__", None)
    kind = SYNC if code is None else _kind_of(call, code)
    if not isinstance(function, types.FunctionType):
        function = None
    maker = Maker(factory, kind, function, None, written)
    maker.partial = (positions, names)
    return maker


def _kind_of(call: Any, code: types.CodeType) -> str:
    flags = code.co_flags
    if flags & _ASYNC_GENERATOR:
        return ASYNC_GENERATOR
    if flags & _AWAITED or (hasattr(call, "_is_coroutine_marker") and inspect.iscoroutinefunction(call)):
        return ASYNC
    return GENERATOR if flags & _GENERATOR else SYNC
