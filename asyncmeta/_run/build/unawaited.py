"""What is said where somebody forgets to await?"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NoReturn

from ..._declare.tokens import Lazy

__all__ = ["Unawaited"]


def _refusing(name: str, use: str) -> Callable[..., NoReturn]:
    def refuse(self: Unawaited, *others: object, **named: object) -> NoReturn:
        raise TypeError(self._forgotten(use))

    refuse.__name__, refuse.__qualname__ = name, f"Unawaited.{name}"
    return refuse


#: By the names of the methods that Python calls, what should have been written.
_USES = {
    "call": "({})(...)",
    "iter next reversed": "for ... in {}",
    "aiter anext": "async for ... in {}",
    "enter exit": "with {}",
    "aenter aexit": "async with {}",
    "getitem setitem delitem": "({})[...]",
    "contains": "... in {}",
    "len": "len({})",
    "format": 'f"{{{}}}"',
    "lt": "({}) < ...",
    "le": "({}) <= ...",
    "gt": "({}) > ...",
    "ge": "({}) >= ...",
    "neg": "-({})",
    "pos": "+({})",
    "invert": "~({})",
    "abs": "abs({})",
    "round": "round({})",
    "int trunc": "int({})",
    "float": "float({})",
    "complex": "complex({})",
    "bytes": "bytes({})",
    "index": "... [{}]",
    "fspath": "open({})",
    "bool": "bool({})",
}
_OPERATORS = {
    "add": "+", "sub": "-", "mul": "*", "matmul": "@", "truediv": "/", "floordiv": "//", "mod": "%", "divmod": "", "pow": "**",
    "lshift": "<<", "rshift": ">>", "and": "&", "xor": "^", "or": "|",
}  # fmt: skip


def _refusals() -> Iterator[tuple[str, Callable[..., NoReturn]]]:
    """Give the methods that refuse, by name."""
    for names, written in _USES.items():
        for word in names.split():
            yield f"__{word}__", _refusing(f"__{word}__", written)
    for word, sign in _OPERATORS.items():
        yield f"__{word}__", _refusing(f"__{word}__", f"({{}}) {sign} ..." if sign else "divmod({}, ...)")
        yield f"__r{word}__", _refusing(f"__r{word}__", f"... {sign} {{}}" if sign else "divmod(..., {})")


class Unawaited(Lazy[Any]):
    """
    A handle of which every use but awaiting is told by name: ``Users.session is awaited: (await self.session).execute``.

    What only looks at it stays as it is: its type, hash and repr, ``is``, a comparison with another handle or by a mock.
    """

    __slots__ = ()

    if TYPE_CHECKING:  # each kind has its own

        def _label(self) -> str:
            """Return what to call the value in an error."""
            ...

        def _written(self) -> str:
            """Return how the code that uses it writes it."""
            ...

    # In the body: each that is set on a class afterwards has Python go through all that it knows of the class anew.
    vars().update(_refusals())

    def _forgotten(self, use: str) -> str:
        return f"{self._label()} is awaited: {use.format(f'await {self._written()}')}"

    def __getattr__(self, name: str) -> Any:
        # Asked only for what is not there.  Python and libraries probe for names of this form: a plain no, and a short one.
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self)
        raise AttributeError(self._forgotten(f"({{}}).{name}"), name=name, obj=self)

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        if other is self:
            return True
        # A mock that was called with the handle compares its calls, and a test their order.
        if isinstance(other, Lazy) or _is_of_mocks(type(other).__module__) or _is_of_mocks(_caller()):
            return NotImplemented
        raise TypeError(self._forgotten("({}) == ..."))

    if not TYPE_CHECKING:  # to checkers a handle has none of all these, and `run` takes nothing

        def run(self, *given: object, **named: object) -> Any:
            if given or named:  # meant for the value, which has such a method, too
                raise TypeError(self._forgotten("({}).run(...)"))
            return super().run()

        def nowait(self, *given: object, **named: object) -> Any:
            if given or named:
                raise TypeError(self._forgotten("({}).nowait(...)"))
            return super().nowait()


def _caller() -> str:
    """Return the module of the code that compares."""
    return str(sys._getframe(2).f_globals.get("__name__", ""))


def _is_of_mocks(module: str) -> bool:
    return module.partition(".")[0] in ("mock", "_pytest", "pytest") or module == "unittest.mock"
