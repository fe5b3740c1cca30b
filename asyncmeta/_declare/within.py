"""What is inside of a decorated callable, and which kind of factory is it therefore?"""

from __future__ import annotations

import contextlib
import functools
import inspect
import types
from typing import Any

from .._compat import bound_places, is_marked_async
from .._names import is_a
from .returned import ASYNC, ASYNC_GENERATOR, GENERATOR, SYNC

__all__ = ["MANAGERS", "NOTHING_BOUND", "class_within", "function_of", "innermost", "is_manager", "kind_of_callable", "kinds"]

# Functions made by contextlib's decorators share these code objects; the generator function stands in __wrapped__.
_NOTHING: Any = None
MANAGERS = (
    contextlib.contextmanager(_NOTHING).__code__,
    contextlib.asynccontextmanager(_NOTHING).__code__,
)

_AWAITED = inspect.CO_COROUTINE | inspect.CO_ITERABLE_COROUTINE
_GENERATOR, _ASYNC_GENERATOR = inspect.CO_GENERATOR, inspect.CO_ASYNC_GENERATOR


NOTHING_BOUND: tuple[int, frozenset[Any]] = (0, frozenset())


def is_manager(call: Any) -> bool:
    """Tell whether *call* was made by a decorator of contextlib's."""
    return any(getattr(getattr(call, "__func__", call), "__code__", None) is code for code in MANAGERS)


def innermost(call: Any) -> Any:
    """Return what is called below all partials."""
    while isinstance(call, functools.partial):
        call = call.func
    return call


def class_within(call: Any) -> Any:
    """Return the class of which *call*, an object that passes for a class, is a decorator's; a class as it is."""
    while not is_a(call, type) and isinstance(getattr(call, "__wrapped__", None), type):
        call = call.__wrapped__
    return call


def function_of(call: Any) -> tuple[types.FunctionType | None, int, type | None, tuple[int, frozenset[Any]]]:
    """
    Return the function that says what *call* takes and returns, how many of its parameters are filled, the class they are of,
    and what partials within have bound.

    Decorated functions say it where `functools.wraps` points to; None where no function of Python's does.
    """
    skip, home = 0, None
    bound = NOTHING_BOUND
    while True:
        inside = _wrapped_by(call)
        signed = _is_signed(call)
        if signed and not isinstance(call, types.FunctionType):
            return None, skip, home, bound
        if isinstance(call, types.MethodType):
            skip += 1
            home = call.__self__ if isinstance(call.__self__, type) else type(call.__self__)
            call = call.__func__
        elif inside is not None and not signed:
            call = inside
        elif isinstance(call, types.FunctionType):
            return call, skip, home, bound
        elif isinstance(call, functools.partial):
            given, later = bound_places(call)
            bound = bound[0] + given, bound[1] | later | frozenset(call.keywords)
            call = call.func
        elif isinstance(call, type):
            return None, skip, home, bound
        else:
            called = inspect.getattr_static(type(call), "__call__", None)
            home = type(call)
            if isinstance(called, staticmethod):
                call = called.__func__
            elif isinstance(called, classmethod):
                skip, call = skip + 1, called.__func__
            elif isinstance(called, types.FunctionType):
                skip, call = skip + 1, called
            else:
                return None, skip, home, bound


def kinds(call: Any) -> tuple[str, str]:
    """Return the kind of what is called, and the kind of what it wraps: the first that is no plain function's."""
    own = None
    while True:
        while isinstance(call, types.MethodType | functools.partial):
            call = call.__func__ if isinstance(call, types.MethodType) else call.func
        code = getattr(call, "__code__", None)
        if code is None and not isinstance(call, type):
            called = inspect.getattr_static(type(call), "__call__", None)
            code = getattr(getattr(called, "__func__", called), "__code__", None)
        kind = (GENERATOR, ASYNC_GENERATOR)[MANAGERS.index(code)] if code in MANAGERS else SYNC
        if kind is SYNC and isinstance(code, types.CodeType):
            kind = kind_of_callable(call, code)
        own = own or kind
        inside = _wrapped_by(call)
        if kind is not SYNC or inside is None:
            return own, kind
        call = inside


def _wrapped_by(call: Any) -> Any:
    """Return what *call* says that it wraps, in its dictionary or a slot; None where it says nothing."""
    own = getattr(call, "__dict__", {})  # objects may answer to any name
    if "__wrapped__" in own:
        return own["__wrapped__"]
    slot = None if isinstance(call, types.FunctionType) else inspect.getattr_static(type(call), "__wrapped__", None)
    return getattr(call, "__wrapped__", None) if isinstance(slot, types.MemberDescriptorType) else None


def _is_signed(call: Any) -> bool:
    """Tell whether *call* describes what it takes, by a signature of its own or one that its class works out."""
    found = getattr(call, "__dict__", {}).get("__signature__", vars(type(call)).get("__signature__"))
    if isinstance(found, inspect.Signature) or found is None or isinstance(call, type):
        return isinstance(found, inspect.Signature)
    try:
        return isinstance(call.__signature__, inspect.Signature)
    except Exception:  # worked out when asked for, which may fail
        return False


def kind_of_callable(call: Any, code: types.CodeType) -> str:
    """Return the kind of *call*, whose code is *code*."""
    flags = code.co_flags
    if flags & _ASYNC_GENERATOR:
        return ASYNC_GENERATOR
    if flags & _AWAITED or is_marked_async(call):
        return ASYNC
    return GENERATOR if flags & _GENERATOR else SYNC
