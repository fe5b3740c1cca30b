"""Do two provider lists mean the same but for their values?  So that what was made of one can serve the other."""

from __future__ import annotations

import types
from typing import Any

from .._names import Place
from .providers import VALUE, WORDS

__all__ = ["provider_shape"]


def provider_shape(providers: Any, place: Place) -> tuple[tuple[Any, ...], list[Any]] | None:
    """
    Return what two lists have in common that mean the same but for their values, and the values; None where that is hard to say.

    Two lists of one shape can share a graph.  The shape holds ids: who keeps it has to keep what the list names, and
    closures, whose cells would be kept with them, have no shape.
    """
    shape: list[Any] = [place.file, place.line]
    values: list[Any] = []
    pending = [iter(providers)] if type(providers) in (list, tuple) else []
    if not pending:
        return None
    while pending:
        for entry in pending[-1]:
            if isinstance(entry, type):
                shape.append(id(entry))
            elif type(entry) is dict:
                shape.append(None)
                for word, thing in entry.items():
                    if WORDS.get(word) is VALUE:
                        values.append(thing)
                        shape.append(word)
                    elif word == "deps" or word == "inject":
                        parts = _parts(thing)
                        if parts is None:
                            return None
                        shape += (word, parts)
                    else:
                        part = _part(thing)
                        if part is None:
                            return None
                        shape += (word, part)
            elif type(entry) in (list, tuple) and len(pending) < 100:
                pending.append(iter(entry))
                break
            else:
                return None
        else:
            pending.pop()
    return tuple(shape), values


def _part(thing: Any) -> Any:
    """Return what stands for something in a shape; None where nothing may."""
    if type(thing) is str:
        return thing
    if thing is True or thing is False:
        return (thing,)
    if isinstance(thing, type):
        return id(thing)
    if type(thing) is types.FunctionType and thing.__closure__ is None and thing.__defaults__ is None:
        return id(thing)
    return None


def _parts(things: Any) -> tuple[Any, ...] | None:
    if type(things) not in (list, tuple):
        return None
    parts = tuple([_part(thing) for thing in things])
    return None if None in parts else parts
