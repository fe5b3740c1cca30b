"""What is one act of registering, and is another one the same, done again?"""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Callable, Hashable, Iterable
from typing import Any

from .._names import Place
from .makers import Maker

__all__ = ["PLAIN", "Entry", "Later", "Options", "Registration", "one_module", "run_again", "with_one_more"]

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
    """A factory tied to a key and a lifetime; never changed."""

    __slots__ = (
        "also",
        "around",
        "attribute",
        "bare",
        "entry",
        "inner",
        "key",
        "lifetime",
        "maker",
        "member_of",
        "members",
        "module",
        "multi",
        "named",
        "options",
        "order",
        "rivals",
        "spare",
        "written_at",
    )

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
        self.key = key
        self.maker = maker
        self.lifetime = lifetime
        self.written_at = place  #: where the act of registering stands
        self.also = also
        self.multi = multi is not False  #: one of several values of its key
        #: the one name among them by which it may be chosen
        self.named: tuple[Hashable, ...] = () if isinstance(multi, bool) else (multi,)
        self.module = module  #: who wrote it; None where that does not matter
        self.attribute = attribute  #: the name under which a factory method stands in its class, else None
        self.options = options
        self.order = next(_ORDER)  #: of all registrations; of a multi key's, where it stands among them
        self.entry = False  #: stands in a provider list, whose entries are asked for from outside
        #: only listed: it counts where nothing else provides its key
        self.bare = False
        #: places that those had who were registered before by the same code; the next of them takes one
        self.spare: list[int] = []
        self.around = False  #: stands around what its layer has so far, and does not replace it
        self.inner: Registration | None = None  #: what it stands around
        #: what makes it one of several values of other keys, too
        self.members: tuple[Registration, ...] = ()
        self.member_of: Hashable = None  #: of such a one the key whose value it gives
        self.rivals: tuple[Registration, ...] = ()  #: same key, same layer, other modules

    @property
    def place(self) -> Place:
        """Where it was written: the factory's own line, else that of the registering."""
        return self.maker.place or self.written_at

    @property
    def keys(self) -> tuple[Hashable, ...]:
        """All keys of the value."""
        return (self.key, *self.also)


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


class Rounds:
    """Registrations of one multi key that code of one name has made: a loop's rounds, and those of the same code run before."""

    __slots__ = ("by_code", "spare")

    def __init__(self) -> None:
        self.by_code: dict[tuple[int, int], list[Registration]] = {}
        self.spare: list[Registration] = []  #: those that have places to give

    def take(self, registration: Registration) -> None:
        self.by_code.setdefault(registration.written_at.code, []).append(registration)
        if registration.spare:
            self.spare.append(registration)


class Several(list[Registration]):
    """All registrations of a multi key, in their order; never changed: one more makes another list, with the same rounds."""

    __slots__ = ("rounds",)

    def __init__(self, registrations: Iterable[Registration], rounds: dict[Any, Rounds] | None = None) -> None:
        super().__init__(registrations)
        self.rounds: dict[Any, Rounds] = {} if rounds is None else rounds
        if rounds is None:
            for registration in self:
                self.rounds_of(registration).take(registration)

    def rounds_of(self, registration: Registration) -> Rounds:
        name = registration.written_at.within, _name_of_factory(registration)
        found = self.rounds.get(name)
        if found is None:
            found = self.rounds[name] = Rounds()
        return found


def with_one_more(there: list[Registration], registration: Registration) -> list[Registration]:
    """Return *there* with one more: it takes the place of what its own code, run before, has registered."""
    several = there if type(there) is Several else Several(there)
    rounds, here = several.rounds_of(registration), registration.written_at.code
    earlier = [other for code, made in rounds.by_code.items() if code != here for other in made]
    before = [other for other in earlier if run_again(other, registration)] if earlier else []
    sibling = None
    if before or rounds.spare:
        present = set(map(id, there))  # a list that was refused has left its own among the rounds
        before = [other for other in before if id(other) in present]
        before.sort(key=lambda one: one.order)
        # The second round of a loop whose module was reloaded, and so on.
        spares = (other for other in rounds.spare if other.spare and id(other) in present)
        sibling = next((other for other in spares if _same_name(other, registration)), None)
    if before:
        registration.order, *spare = [other.order for other in before]
        registration.spare = spare
    elif sibling is None:
        rounds.take(registration)
        return Several([*there, registration], several.rounds)
    else:
        registration.spare = sibling.spare
        registration.order = sibling.spare.pop(0)
    return Several(sorted((*(other for other in there if other not in before), registration), key=lambda one: one.order))


def run_again(before: Registration, registration: Registration) -> bool:
    """Tell whether *registration* is *before*, registered once more by its code: reloaded, under another name, a cell run again."""
    return registration.written_at.written_again(before.written_at) and _same_name(before, registration)


def _same_name(one: Registration, other: Registration) -> bool:
    """Tell whether two acts of registering stand in one module and are about factories of one name."""
    here, there = one.written_at, other.written_at
    name = _name_of_factory(other)
    if here.within != there.within or _name_of_factory(one) != name:
        return False
    if _file(here.file) and _file(here.file) == _file(there.file):
        return True
    # Another cell of a notebook: what has no name of its own, a lambda or a value, may be another one.
    return bool(name) and bool(here.module) and here.module == there.module == _module_of(other)


def _name_of_factory(registration: Registration) -> str:
    """Return how the code that defines it names the factory; "" for what has no name: lambdas, values, aliases."""
    written = registration.maker.written
    name = getattr(written, "__qualname__", "")
    return "" if not isinstance(name, str) or name.endswith("<lambda>") else name


def _module_of(registration: Registration) -> Any:
    return getattr(registration.maker.written, "__module__", None)


def one_module(one: Registration, other: Registration) -> bool:
    """Tell whether two registrations were written in one module, which may go by two names: ``__main__`` and its own."""
    if one.module == other.module:
        return True
    file = _source_of(one)
    return bool(file) and file == _source_of(other)


def _source_of(registration: Registration) -> str:
    """Return the file in which the factory was written; "" where that cannot be said."""
    maker = registration.maker
    if maker.place is not None:
        return _file(maker.place.file)
    if maker.cls is not None:
        return _file(getattr(sys.modules.get(maker.cls.__module__), "__file__", None) or "")
    return _file(registration.written_at.file)


_CELL = "<ipython-input-"


def _file(file: str) -> str:
    """Return what tells one file from another; "" for what is none: ``<stdin>``."""
    if file.startswith(_CELL):  # a count of runs, then what the text of the cell gives
        return file.rpartition("-")[2] if file.count("-") > _CELL.count("-") else ""
    return "" if not file or file.startswith("<") else os.path.realpath(file)
