"""Does a constructor pass on what it takes to the one behind it?  Read from its code, which is not run."""

from __future__ import annotations

import dis
import inspect
import types

__all__ = ["passes_on"]


def passes_on(function: types.FunctionType) -> bool:
    """
    Tell whether *function* calls ``super().__init__(**named)``, or ``(*many, **named)``, with what it was given besides.

    Any argument more in that call says that the function knows what it calls: then nothing is guessed.
    """
    code = function.__code__
    if not code.co_flags & inspect.CO_VARKEYWORDS or not {"super", "__init__"} <= {*code.co_names}:
        return False
    first = code.co_argcount + code.co_kwonlyargcount
    many, named = (code.co_varnames[first], code.co_varnames[first + 1]) if code.co_flags & inspect.CO_VARARGS else (
        None, code.co_varnames[first]
    )  # fmt: skip
    steps = [step for step in dis.get_instructions(code) if step.opname not in ("CACHE", "EXTENDED_ARG", "NOP", "PUSH_NULL")]
    merged = [at for at, step in enumerate(steps) if step.opname == "DICT_MERGE"]
    if len(merged) != 1 or merged[0] < 3:
        return False
    placed, empty, read = steps[merged[0] - 3 : merged[0]]
    if not (empty.opname == "BUILD_MAP" and empty.arg == 0 and read.opname.startswith("LOAD_FAST") and read.argval == named):
        return False
    if many is None:
        return placed.opname.startswith(("LOAD_CONST", "LOAD_COMMON_CONSTANT", "BUILD_TUPLE")) and placed.argval in ((), 0)
    return placed.opname.startswith("LOAD_FAST") and placed.argval == many
