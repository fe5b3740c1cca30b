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
_MANAGERS = (
    contextlib.contextmanager(lambda: iter(())).__code__,  # type: ignore[arg-type, attr-defined]
    contextlib.asynccontextmanager(lambda: iter(())).__code__,  # type: ignore[arg-type, attr-defined]
)

_COROUTINE, _GENERATOR, _ASYNC_GENERATOR = inspect.CO_COROUTINE, inspect.CO_GENERATOR, inspect.CO_ASYNC_GENERATOR


class Maker:
    """A factory: how it is called and what it needs.  Its annotations are read when first asked for."""

    __slots__ = ("_parameters", "call", "cls", "function", "kind", "name", "partial", "place", "written")

    def __init__(self, call: Any, kind: str, function: Any, cls: type | None, written: Any) -> None:
        self.call = call  #: what is called; of kind VALUE the value itself
        self.kind = kind
        self.function = function  #: the plain function underneath, None for a class or a value
        self.cls = cls  #: the class that is built, else None
        self.written = written  #: what the user handed over
        self.partial: tuple[int, frozenset[str]] = (0, frozenset())  #: positions and names bound already
        self.place: Place | None = place_of_function(function) if function is not None else None
        self.name = "value" if kind is VALUE else name_of_callable(function if function is not None else call)
        self._parameters: dict[bool, tuple[Parameter, ...]] | None = None

    def parameters(self, *, method: bool = False, owner: type | None = None) -> tuple[Parameter, ...]:
        """Return what the factory needs; of a *method* without the first parameter, which is the service."""
        if self._parameters is None:
            self._parameters = {}
        found = self._parameters.get(method)
        if found is None:
            found = self._parameters[method] = self._read(method, owner)
        return found

    def _read(self, method: bool, owner: type | None) -> tuple[Parameter, ...]:
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
    kind = SYNC
    call = factory
    positions, names = 0, frozenset[str]()
    while isinstance(call, functools.partial):
        positions += len(call.args)
        names |= frozenset(call.keywords)
        call = call.func
    if isinstance(call, type):
        maker = Maker(factory, SYNC, None, call, factory)
        maker.partial = (positions, names)
        return maker
    if isinstance(call, staticmethod | classmethod):
        raise DeclarationError(f"{name_of_callable(call.__func__)} is a {type(call).__name__} object and cannot be called here")
    function = call
    if not isinstance(function, types.FunctionType):
        function = getattr(call, "__func__", None) if isinstance(call, types.MethodType) else getattr(type(call), "__call__", None)
        if function is None:
            raise DeclarationError(f"a factory has to be callable; {name_of(type(factory))} is not")
    if getattr(function, "__code__", None) in _MANAGERS:
        # The generator function underneath is what sets up and tears down.
        function = function.__wrapped__
        call = types.MethodType(function, call.__self__) if isinstance(call, types.MethodType) else function
        factory = functools.partial(call, *factory.args, **factory.keywords) if isinstance(factory, functools.partial) else call
    code = getattr(function, "__code__", None)
    if code is not None:
        flags = code.co_flags
        if flags & _ASYNC_GENERATOR:
            kind = ASYNC_GENERATOR
        elif flags & (_COROUTINE | inspect.CO_ITERABLE_COROUTINE) or inspect.iscoroutinefunction(call):
            kind = ASYNC
        elif flags & _GENERATOR:
            kind = GENERATOR
    if not isinstance(function, types.FunctionType):
        function = None
    maker = Maker(factory, kind, function, None, call)
    maker.partial = (positions, names)
    return maker
