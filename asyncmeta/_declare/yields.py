"""What does a generator do with its ``yield``?  Read from its code, which is not run."""

from __future__ import annotations

import dis
from collections.abc import Iterator
from types import CodeType

from .._names import Place
from ..errors import DeclarationError
from .makers import ASYNC_GENERATOR, GENERATOR, Maker

__all__ = ["refuse_used_yield", "rest_is_skipped"]

_CODES = dis.opmap
_YIELD, _RESUME, _POP, _AWAITS = (
    _CODES[name] for name in ("YIELD_VALUE", "RESUME", "POP_TOP", "JUMP_BACKWARD_NO_INTERRUPT")
)  # fmt: skip
_NOTHING = frozenset(_CODES[name] for name in ("CACHE", "EXTENDED_ARG", "NOP", "RESUME") if name in _CODES)
_RETURN, _RETURN_CONSTANT = _CODES["RETURN_VALUE"], _CODES.get("RETURN_CONST")
_CONSTANTS = frozenset(_CODES[name] for name in ("LOAD_CONST", "LOAD_COMMON_CONSTANT") if name in _CODES)
#: Begins the handler that every generator has, for a StopIteration that escapes from it; None where that needs no code.
_INTRINSIC = _CODES.get("CALL_INTRINSIC_1")


def refuse_used_yield(maker: Maker) -> None:
    """
    Refuse a generator that uses what its ``yield`` gives, as in ``x = yield y``.

    Raises:
        DeclarationError: At the line of the ``yield``.
    """
    function = maker.function
    if function is None or maker.kind not in (GENERATOR, ASYNC_GENERATOR):
        return
    line = _line_of_used(function.__code__)
    if line is not None:
        raise DeclarationError(
            f"{maker.name} uses what its yield gives, and that is always None; a failure of who uses the value is raised at "
            "the yield: write try around it",
            str(Place(function.__code__.co_filename, line)),
        )


def _line_of_used(code: CodeType) -> int | None:
    for at, following in _yields(code):
        if following != _POP:
            return next((line for begin, end, line in code.co_lines() if begin <= at < end and line), code.co_firstlineno)
    return None


def rest_is_skipped(code: CodeType) -> bool:
    """Tell whether something stands behind a ``yield`` that no ``finally``, ``except`` or ``with`` is around."""
    return any(not _is_guarded(code, at) and _has_rest(code.co_code, at) for at, _ in _yields(code))


def _yields(code: CodeType) -> Iterator[tuple[int, int]]:
    """Give where each ``yield`` stands, and what follows it; an ``await`` yields in a loop of its own."""
    ops = code.co_code
    for at in range(0, len(ops), 2):
        if ops[at] == _YIELD:
            following = next((ops[after] for after in range(at + 2, len(ops), 2) if ops[after] not in _NOTHING), _POP)
            if following != _AWAITS:
                yield at, following


def _has_rest(ops: bytes, at: int) -> bool:
    rest = [ops[after] for after in range(at + 2, min(len(ops), at + 40), 2) if ops[after] not in _NOTHING][1:3]
    return bool(rest) and rest[0] != _RETURN_CONSTANT and not (rest[0] in _CONSTANTS and rest[1:] == [_RETURN])


def _is_guarded(code: CodeType, at: int) -> bool:
    return any(
        begin <= at < end and (_INTRINSIC is None or _first(code.co_code, target) != _INTRINSIC)
        for begin, end, target in _handlers(code.co_exceptiontable)
    )


def _first(ops: bytes, at: int) -> int:
    return next((ops[after] for after in range(at, len(ops), 2) if ops[after] not in _NOTHING), 0)


def _handlers(table: bytes) -> Iterator[tuple[int, int, int]]:
    """Give begin, end and target of each entry; see CPython, InternalDocs/exception_handling.md: numbers in six bits each."""
    numbers: list[int] = []
    current = 0
    for byte in table:
        current = current << 6 | byte & 0x3F
        if not byte & 0x40:  # the last part of it
            numbers.append(current)
            current = 0
    for begin, length, target, _ in zip(*[iter(numbers)] * 4, strict=True):
        yield 2 * begin, 2 * (begin + length), 2 * target
