"""Can a life-cycle method be awaited as it stands?"""

from __future__ import annotations

import inspect
import types
from collections.abc import Iterable, Iterator
from contextlib import suppress

from .._names import place_of_function
from .makers import ASYNC, Maker
from .within import kind_of_callable

__all__ = ["misfit_hooks"]


def misfit_hooks(cls: type, names: Iterable[str]) -> Iterator[str]:
    """Give what is wrong with methods of *cls* that are awaited without arguments."""
    for name in names:
        function = inspect.getattr_static(cls, name, None)
        taken = 0 if isinstance(function, staticmethod) else 1
        function = inspect.unwrap(getattr(function, "__func__", function))
        if not isinstance(function, types.FunctionType):
            if not callable(getattr(cls, name)):
                yield f"{cls.__qualname__}.{name} is awaited, and is no method: write async def {name}(self)"
            continue
        called, code = f"{cls.__qualname__}.{name}", function.__code__
        place = place_of_function(function)
        maker = Maker(function, kind_of_callable(function, code), function, None, function)
        with suppress(Exception):
            maker = maker.declared((), cls)
        if maker.kind is not ASYNC:
            yield f"{called} ({place}) is awaited: write async def {name}(self), without a yield"
        if taken > code.co_argcount and not code.co_flags & inspect.CO_VARARGS:
            yield f"{called} ({place}) is called with self: write async def {name}(self)"
        required = code.co_varnames[taken : code.co_argcount - len(function.__defaults__ or ())]
        if required:
            yield f"{called} ({place}) is called with nothing but self, and takes {', '.join(required)} too"
