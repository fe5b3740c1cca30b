"""How does an overlay answer for what others hold, as long as it lasts and afterwards?"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from ..._declare.tokens import Lazy
from ..._names import is_a
from ...errors import ClosedError
from ..state.parking import run_nowait
from .container import Scope

__all__ = ["Answering", "asking_beneath", "beneath"]


class Answering(Scope):
    """What an overlay shows of a scope, or of a container: here attributes and handles are answered that others hold."""

    __slots__ = ()

    _below: Scope  #: what this lies upon, or is a view of
    #: by what tells one attribute from another: what keeps that alive, and the value
    _fetched: dict[Any, tuple[Any, Any]]

    def _standing(self) -> Any:
        # A handler that was given something of an override is none of its parts: it finishes with what is beneath.
        container: Any = self.container  # this overlay, or that of a view
        return beneath(self) if container._force is not None and has_ended(self) else self

    async def _attribute(self, which: object, holder: object, key: Any, *, waits: bool = True) -> Any:
        """Return what an attribute or handle gives here: one value for each, as ever; nothing of it is left there."""
        kept = self._fetched.get(which)
        if kept is None:
            try:
                value = await self.get(key) if waits else self.get_nowait(key)
                kept = self._fetched.setdefault(which, (holder, value))
            except ClosedError:
                if not has_ended(self):
                    raise
                asked = asked_again(holder, key)
                return await asked.run() if waits else asked.nowait()
        return kept[1]

    def _attribute_nowait(self, which: object, holder: object, key: Any) -> Any:
        """Return the same without awaiting."""
        return run_nowait(self._attribute(which, holder, key, waits=False), key)


def asked_again(holder: Any, key: Any) -> Lazy[Any]:
    """Return what was asked as its override ended: a handle, or the attribute of an instance; it has a value of its own."""
    if is_a(holder, Lazy):
        return holder
    attribute: Lazy[Any] = key[1].__get__(holder)
    return attribute


def has_ended(view: Any) -> bool:
    """Tell whether what a view shows has ended, and not what lies beneath it: who has asked it in between asks that."""
    return bool(view.container.closed and not beneath(view).closed)


def beneath(view: Any) -> Any:
    """Return the scope, or the container, that a view is one of."""
    while isinstance(view, Answering) and view._root_table.views:
        view = view._below
    return view


def asking_beneath(self: Any) -> Generator[Any, None, Any]:
    """The ``__await__`` of what was fetched in an override that has ended: who holds it is no part of that."""
    return (yield from beneath(self._scope).get(self._key).__await__())
