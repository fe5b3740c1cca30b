"""How is a value that has a key of its own also one of the several values of another key?  Late: few programs say so."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from .._names import Place, name_of
from .annotations import POSITIONAL, Parameter
from .keys import MISSING, ask_for
from .makers import SYNC, Maker
from .registrations import Particular

__all__ = ["Member", "itself", "members_of"]


class Member(Maker):
    """What gives, as one of several values, the value of a key of its own."""

    __slots__ = ("target",)
    is_alias = of_list = True

    def __init__(self, target: Hashable, written: Any) -> None:
        super().__init__(itself, SYNC, None, None, written)
        self.target = target

    @property
    def name(self) -> str:
        return name_of(self.target)

    def parameters(self, *, method: bool = False, owner: type | None = None) -> tuple[Parameter, ...]:
        return (Parameter("value", POSITIONAL, ask_for(self.target), MISSING),)


def itself(value: Any) -> Any:
    """Make the value of what is there already."""
    return value


def members_of(
    names: Mapping[Hashable, Hashable], key: Hashable, maker: Maker, place: Place, module: str | None
) -> tuple[Particular, ...]:
    """
    Return what adds the value of *key* to those of other keys.

    Args:
        names: The other keys, and what it is called among their values; True where it has no name.
    """
    found: list[Particular] = []
    for other, name in names.items():
        member = Particular(other, Member(key, maker.written), "transient", place, multi=name, module=module)
        member.member_of = key
        found.append(member)
    return tuple(found)
