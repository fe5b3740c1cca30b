"""Is one act of registering another one, done again?  And what becomes of the other one where its key is there already?"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import Any

from .registrations import Particular, Registration

__all__ = ["one_module", "run_again", "with_member", "wrap"]


class Rounds:
    """Registrations of one multi key that code of one name has made: a loop's rounds, and those of the same code run before."""

    __slots__ = ("by_code", "spare")

    def __init__(self) -> None:
        self.by_code: dict[tuple[int, int], list[Registration]] = {}
        self.spare: list[Particular] = []  #: those that have places to give

    def take(self, registration: Registration) -> None:
        self.by_code.setdefault(registration.written_at.code, []).append(registration)
        if registration.spare and isinstance(registration, Particular):
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


def with_one_more(there: list[Registration], registration: Particular) -> list[Registration]:
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
        registration.spare = tuple(spare)
    elif sibling is None:
        rounds.take(registration)
        return Several([*there, registration], several.rounds)
    else:
        registration.order, *spare = sibling.spare
        sibling.spare, registration.spare = (), tuple(spare)
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


def with_member(there: list[Registration], registration: Particular, replace: bool) -> list[Registration]:
    """Return *there* with one more, which takes the place of that of its name where it may, and of that of its own key."""
    former = [one for one in there if one.named == registration.named] if registration.named else []
    if former and (replace or registration.module is None):
        there = [one for one in there if one not in former]
    elif not any(run_again(one, registration) or one.member_of == registration.member_of is not None for one in former):
        registration.rivals = tuple(former)
    if registration.member_of is not None:
        again = [one for one in there if one.member_of == registration.member_of]
        if again:  # its key means one value, whoever registered it last
            registration.order = again[0].order
            rest = [one for one in there if one not in again]
            return sorted([*rest, registration], key=lambda one: one.order)
    return with_one_more(there, registration)


def wrap(there: Registration, registration: Particular) -> bool:
    """Put *registration* around *there*; where its code was run before, in the place of its former self. True: further in."""
    outer: Registration | None = None
    former = there
    while former.inner is not None and not run_again(former, registration):
        outer, former = former, former.inner
    if not run_again(former, registration):
        registration.inner = there
        return False
    registration.inner = former.inner
    if isinstance(outer, Particular):
        outer.inner = registration
    return outer is not None
