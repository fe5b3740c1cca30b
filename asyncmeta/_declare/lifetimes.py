"""How long does a value live?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

__all__ = ["CONTAINER_LEVEL", "TRANSIENT_LEVEL", "Lifetime", "level_of", "levels_of"]

#: Values of level 0 live as long as the container; 1 is the outermost scope.
CONTAINER_LEVEL = 0
#: Above every scope: a transient value belongs to whoever asks.
TRANSIENT_LEVEL = 1 << 20


class Lifetime(str):
    """
    How long a value lives: ``singleton``, ``scoped``, ``transient``, or the name of a level of your own.

    Any ``str`` is taken where a lifetime is asked for and compares equal.  Levels of your own are named by the
    application: ``class App(AsyncServiceBase, scopes=("session", "request"))``, and written ``Lifetime("session")``
    where a type checker looks.
    """

    __slots__ = ()

    SINGLETON: ClassVar[Lifetime]
    SCOPED: ClassVar[Lifetime]
    TRANSIENT: ClassVar[Lifetime]


Lifetime.SINGLETON = Lifetime("singleton")
Lifetime.SCOPED = Lifetime("scoped")
Lifetime.TRANSIENT = Lifetime("transient")


def levels_of(scopes: Sequence[str]) -> tuple[str, ...]:
    """Return the names of all levels, the container's first; ``levels_of(())`` is ``("singleton", "scoped")``."""
    return ("singleton", *(scopes or ("scoped",)))


def level_of(lifetime: str, levels: Sequence[str]) -> int | None:
    """Return the level of *lifetime* among *levels*; None where the application has no such level."""
    if lifetime == "singleton":
        return CONTAINER_LEVEL
    if lifetime == "transient":
        return TRANSIENT_LEVEL
    if lifetime == "scoped":  # always the innermost
        return len(levels) - 1
    try:
        return levels.index(lifetime, 1)
    except ValueError:
        return None
