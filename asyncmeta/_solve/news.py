"""What was registered since somebody looked, and does it matter to what is known?"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Container, Hashable, Iterable, Iterator, Mapping
from typing import Any

from .._declare.registrations import Registration
from .._names import is_a
from .generics import is_open
from .nodes import Ambiguous, Node, Several

__all__ = ["News", "changes"]


class News:
    """
    The registrations that one graph has not looked at yet.

    A key that nobody has looked for, nor missed, changes nothing that was concluded: a program that registers and asks
    in turn does not look everything up again each time.
    """

    __slots__ = ("by_name", "doubted", "expanding", "fresh", "heard", "overwritten", "stale")

    def __init__(self) -> None:
        self.stale = False  #: anything may have changed
        self.overwritten = 0  #: how often that was so, as it is where a key is registered once more
        #: the first registrations of their keys in a layer; a queue, which other threads add to
        self.fresh: deque[Registration] = deque()
        self.heard: set[Hashable] = set()  #: keys of which it matters what serves them, those that were missed included
        self.by_name = False  #: a class was looked for by its name
        self.doubted = False  #: something could not be read or found: it is tried again whenever anything changes
        self.expanding = 0  #: edges are being looked up: what is missed then counts

    def take(self, fresh: Registration | None) -> None:
        """Hear of a registration: the first one of its key in a layer, or None for anything else."""
        if fresh is None:
            self.stale = True
            self.overwritten += 1
        else:
            self.fresh.append(fresh)

    def matter(self, besides: Container[Hashable]) -> bool:
        """Take notice of all there is; tell whether something that was looked up may have depended on it."""
        matters, self.stale = self.stale or self.doubted, False
        while self.fresh:
            try:
                key = self.fresh.popleft().key
            except IndexError:  # another thread took notice of it
                break
            heard = key in self.heard or key in besides or is_open(key) or (self.by_name and is_a(key, type))
            matters = matters or heard
        return matters

    def begin(self, registrations: Iterable[Registration]) -> None:
        """Everything is looked up anew, but that these have served."""
        self.heard = {key for registration in registrations for key in registration.keys}
        self.by_name = self.doubted = False


def changes(
    before: Mapping[Any, Mapping[Hashable, Any]], find: Callable[[Any, Hashable], Any]
) -> Iterator[tuple[Hashable, Node, Node | None]]:
    """Give the keys, by view in *before*, that another node serves now: the one before, and that, None where nothing follows."""
    for view, key, old in [(view, key, old) for view, known in before.items() for key, old in known.items()]:
        if isinstance(old, Node):
            try:
                new = find(view, key)
            except (Ambiguous, Several):
                new = None
            if new is old:
                continue
            if isinstance(new, Node) and new.level == old.level:
                yield key, old, new
            elif view is None:
                yield key, old, None
