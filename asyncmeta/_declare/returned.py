"""What does a factory make whose return annotation says this?"""

from __future__ import annotations

import asyncio
import collections.abc
import contextlib
import inspect
import types
import typing
from typing import Annotated, Any

from .forms import is_union, normal
from .keys import MISSING, Token, plain_of

__all__ = [
    "ASYNC", "ASYNC_GENERATOR", "GENERATOR", "GENERATORS", "SYNC", "YIELDED", "form_of_token", "given", "is_vague", "opened",
    "yielded",
]  # fmt: skip

# Kinds of factories.
SYNC = "sync"  #: a class, or a function that returns the value
ASYNC = "async"
GENERATOR = "generator"  #: yields the value once; what follows is its finalizer
ASYNC_GENERATOR = "async generator"

#: What a plain function returns that is no value yet: the kind of factory that it therefore is, and which argument is made.
_NO_VALUE_YET: dict[Any, tuple[str, int]] = {
    contextlib.AbstractContextManager: (GENERATOR, 0),
    contextlib.AbstractAsyncContextManager: (ASYNC_GENERATOR, 0),
    # What the decorators of contextlib are declared to return, and its classes that give another value than themselves.
    contextlib._GeneratorContextManager: (GENERATOR, 0),
    contextlib._AsyncGeneratorContextManager: (ASYNC_GENERATOR, 0),
    contextlib.closing: (GENERATOR, 0),
    contextlib.aclosing: (ASYNC_GENERATOR, 0),
    contextlib.nullcontext: (GENERATOR, 0),
    collections.abc.Awaitable: (ASYNC, 0),
    collections.abc.Coroutine: (ASYNC, 2),
    types.CoroutineType: (ASYNC, 2),
}

#: What may be awaited and may as well be the value: a task that goes on.
_HANDLES = (asyncio.Future, asyncio.Task)

#: What a generator may say that it returns; the first argument is what it yields.
YIELDED = (
    collections.abc.Generator, collections.abc.Iterator, collections.abc.Iterable,
    collections.abc.AsyncGenerator, collections.abc.AsyncIterator, collections.abc.AsyncIterable,
)  # fmt: skip
#: Those of them that nobody returns who means the value that is yielded.
GENERATORS = frozenset(YIELDED) - {collections.abc.Iterable, collections.abc.AsyncIterable}

#: What a generator may be called without saying what it yields.
_VAGUE = (object, Any, typing.NoReturn, typing.Never)

_GENERATES = inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR


def yielded(said: Any, flags: int) -> Any:
    """Return what the generator that says *said* yields; MISSING where it says nothing of the kind."""
    plain = plain_of(said)
    if typing.get_origin(plain) not in YIELDED or not flags & _GENERATES:
        return MISSING
    return _renamed(said, typing.get_args(plain)[0])


def opened(said: Any, tokens: tuple[Any, ...] = ()) -> tuple[str, Any]:
    """
    Return which kind of factory a plain function is that says *said*, and what it therefore makes.

    Args:
        tokens: What it is registered under.  A task is awaited where that is what it gives.
    """
    plain = plain_of(said)
    origin, arguments = typing.get_origin(plain), typing.get_args(plain)
    if origin in _HANDLES and any(plain_of(token) == given(arguments[0]) for token in tokens):
        return ASYNC, _renamed(said, arguments[0])
    found = _NO_VALUE_YET.get(origin)
    if found is None or len(arguments) <= found[1]:
        return SYNC, said
    return found[0], _renamed(said, arguments[found[1]])


def given(made: Any) -> Any:
    """Return what is registered for a factory that makes *made*: of ``T | None`` it is T."""
    plain = plain_of(made)
    if is_union(plain):
        rest = tuple([one for one in typing.get_args(plain) if one is not type(None)])
        if rest and len(rest) < len(typing.get_args(plain)):
            return _renamed(made, typing.Union[rest])  # noqa: UP007  # the members are known only now
    return made


def is_vague(said: Any) -> bool:
    """Tell whether *said*, of a generator, says nothing about what it yields."""
    return any(said is vague for vague in _VAGUE) or said in YIELDED


def form_of_token(token: Any) -> Any:
    """Return the type that *token* is or, of a Token, says; MISSING where it says none."""
    if type(token) is Token:
        said = getattr(token, "__orig_class__", None)
        return MISSING if said is None else normal(typing.get_args(said)[0])
    return plain_of(token)


def _renamed(said: Any, made: Any) -> Any:
    """Return *made* with the name that stands around it, if any."""
    return normal(Annotated[(made, *said.__metadata__)]) if typing.get_origin(said) is Annotated else made
