"""What is kept of one act of registering?"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable
from typing import Any

from .._names import Place
from .makers import Maker

__all__ = ["PLAIN", "Entry", "Later", "Options", "Particular", "Registration"]

_ORDER = itertools.count()


class Options:
    """How a registration differs from the plain kind."""

    __slots__ = ("concurrent", "health", "in_thread", "timeout")

    def __init__(self, timeout: float | None = None, in_thread: bool = False, concurrent: bool = False, health: Any = None) -> None:
        self.timeout = timeout  #: seconds for the factory's own run; None waits for ever
        self.in_thread = in_thread
        self.concurrent = concurrent
        self.health = health


PLAIN = Options()


class Registration:
    """
    A factory tied to a key and a lifetime; never changed.

    Most are this and no more: what only some have beside it has a place in `Particular` ones.
    """

    __slots__ = ("key", "lifetime", "maker", "module", "options", "rivals", "written_at")

    also: tuple[Hashable, ...] = ()
    multi: bool = False  #: one of several values of its key
    #: the one name among them by which it may be chosen
    named: tuple[Hashable, ...] = ()
    attribute: str | None = None  #: the name under which a factory method stands in its class, else None
    order: int = 0  #: of a multi key's, where it stands among them
    entry: bool = False  #: stands in a provider list, whose entries are asked for from outside
    #: only listed: it counts where nothing else provides its key
    bare: bool = False
    #: places that those had who were registered before by the same code; the next of them takes one
    spare: tuple[int, ...] = ()
    around: bool = False  #: stands around what its layer has so far, and does not replace it
    inner: Registration | None = None  #: what it stands around
    #: what makes it one of several values of other keys, too
    members: tuple[Particular, ...] = ()
    member_of: Hashable = None  #: of such a one the key whose value it gives

    def __init__(
        self, key: Hashable, maker: Maker, lifetime: str, place: Place, module: str | None = None, options: Options = PLAIN
    ) -> None:
        self.key = key
        self.maker = maker
        self.lifetime = lifetime
        self.written_at = place  #: where the act of registering stands
        self.module = module  #: who wrote it; None where that does not matter
        self.options = options
        self.rivals: tuple[Registration, ...] = ()  #: same key, same layer, other modules

    @property
    def place(self) -> Place:
        """Where it was written: the factory's own line, else that of the registering."""
        return self.maker.place or self.written_at

    @property
    def keys(self) -> tuple[Hashable, ...]:
        """All keys of the value."""
        return (self.key, *self.also)


class Particular(Registration):
    """A registration that may have more keys, be one of several, stand in a list or around another."""

    __slots__ = (
        "also", "around", "attribute", "bare", "entry", "inner", "member_of", "members", "multi", "named", "order", "spare",
    )  # fmt: skip

    def __init__(
        self,
        key: Hashable,
        maker: Maker,
        lifetime: str,
        place: Place,
        *,
        also: tuple[Hashable, ...] = (),
        multi: Hashable = False,
        module: str | None = None,
        attribute: str | None = None,
        options: Options = PLAIN,
    ) -> None:
        super().__init__(key, maker, lifetime, place, module, options)
        self.also = also
        self.multi = multi is not False
        self.named = () if isinstance(multi, bool) else (multi,)
        self.attribute = attribute
        self.order = next(_ORDER)
        self.entry = self.bare = self.around = False
        self.spare = ()
        self.inner = None
        self.members = ()
        self.member_of = None


class Entry:
    """What a provider list names and does not register: something that is asked for from outside."""

    __slots__ = ("place", "token")

    def __init__(self, token: Any, place: Place) -> None:
        self.token = token  #: as written: a key, or a way of asking for one
        self.place = place


class Later:
    """What a provider list registers when its key is defined."""

    __slots__ = ("make", "place")

    def __init__(self, make: Callable[[], Registration], place: Place) -> None:
        self.make = make
        self.place = place
