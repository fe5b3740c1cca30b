"""Why is a value built?  For which other one, or for whose factory."""

from __future__ import annotations

import contextvars
from collections.abc import Hashable, Mapping, Sequence
from typing import final

from ..._declare.lifetimes import Lifetime
from ..._solve.nodes import Node, place_of
from ..._solve.plan import MANY, TEMP, Plan, Ref, Unit

__all__ = ["CURRENT", "Causes", "Build", "asking", "builds_of", "main_node"]


@final
class Build:
    """What is being built: facts, never the value."""

    __slots__ = ("__weakref__", "_node", "_parent")

    def __init__(self, node: Node, parent: Build | None) -> None:
        self._node = node
        self._parent = parent

    @property
    def key(self) -> str:
        """What is built, by name."""
        return self._node.name

    @property
    def token(self) -> Hashable:
        """What is built: the key itself, as it was registered."""
        return self._node.key

    @property
    def lifetime(self) -> Lifetime:
        """How long the value lives."""
        return Lifetime(self._node.lifetime)

    @property
    def where(self) -> str:
        """Where its factory was written: "file.py:14"."""
        return str(place_of(self._node))

    @property
    def parent(self) -> Build | None:
        """What it is built for: what takes it, or whose factory asked for it; None where a caller of ``get`` did."""
        return self._parent

    def __repr__(self) -> str:
        return f"<Build of {self.key}>"


#: What the running code is building, or why it is about to build something.
CURRENT: contextvars.ContextVar[Build | Causes | None] = contextvars.ContextVar("asyncmeta_build", default=None)


class asking:
    """For a block, or from the entering of a context on: what is built is built for *build*, or for what it says."""

    __slots__ = ("build", "token")

    def __init__(self, build: Build | Causes) -> None:
        self.build = build

    def __enter__(self) -> None:
        self.token = CURRENT.set(self.build)

    def __exit__(self, *exc: object) -> None:
        try:
            CURRENT.reset(self.token)
        except ValueError:  # collected with its loop gone, in whatever context that happened
            pass


class Causes:
    """
    Why each value is built: for which other one of the same get.

    What takes a value is built after it, so the facts about it are told beforehand.

    Args:
        users: Who takes what, the first of them counts.
        around: What asks for what nobody of *users* takes.
    """

    __slots__ = ("_around", "_facts", "_plan", "_users", "caller")

    def __init__(self, users: Mapping[Node, Sequence[Node]], around: Causes | None = None) -> None:
        self._users = users
        self._around = around
        self._plan: Plan | None = None
        #: what the get itself is part of building
        current = CURRENT.get() if around is None else around
        self.caller: Build | None = current.caller if isinstance(current, Causes) else current
        self._facts: dict[Node, Build] = {}

    def facts(self, node: Node) -> Build:
        """Return the facts of *node*'s build, to come or going on."""
        if self._plan is not None:
            self._read(self._plan)
        way: dict[Node, None] = {}
        here: Node | None = node
        while here is not None and here not in self._facts and here not in way:
            way[here] = None
            users = self._users.get(here)
            here = users[0] if users else None
        if here is not None and here not in way:
            build: Build | None = self._facts[here]
        elif self._around is not None:
            last, _ = way.popitem()
            build = self._facts[last] = self._around.facts(last)
        else:
            build = self.caller
        for one in reversed(way):
            # A service that starts is one build, in two halves.
            if build is None or build._node.constructed is not one:
                build = Build(one, build)
            self._facts[one] = build
        return self._facts[node]

    @classmethod
    def by(cls, plan: Plan) -> Causes:
        """Return what asks for what in *plan*, which is read when something of it is built."""
        asked = cls({})
        asked._plan = plan
        return asked

    def _read(self, plan: Plan) -> None:
        users: dict[Node, list[Node]] = {}
        for unit in (*plan.units, plan.unit):
            user = main_node(unit)
            if user is not None:
                for other in unit.shared:
                    users.setdefault(other, []).append(user)
        self._users, self._plan = users, None


def main_node(unit: Unit) -> Node | None:
    """Return the node that *unit* makes with its last op; None where it makes nothing, or several things."""
    last = len(unit.ops) - 1
    if last < 0 or unit.result.how != TEMP or unit.result.what != last:
        return unit.node
    return unit.ops[last].node


def builds_of(unit: Unit) -> list[Build]:
    """Return the facts of each op's build: a transient value is built for the op that takes it."""
    current = CURRENT.get()
    asked = current if isinstance(current, Causes) else None
    caller = current if isinstance(current, Build) else None if asked is None else asked.caller
    main = main_node(unit)
    takers: dict[int, int] = {}
    for number, op in enumerate(unit.ops):
        for ref in op.args:
            _note_temps(ref, number, takers)
    found: list[Build] = []
    for number in range(len(unit.ops) - 1, -1, -1):
        node = unit.ops[number].node
        if number in takers:
            found.append(Build(node, found[len(unit.ops) - 1 - takers[number]]))
        elif asked is not None and node is main:
            found.append(asked.facts(node))
        else:
            found.append(Build(node, caller))
    found.reverse()
    return found


def _note_temps(ref: Ref, taker: int, takers: dict[int, int]) -> None:
    if ref.how == TEMP:
        takers[ref.what] = taker
    elif ref.how == MANY:
        for inner in ref.refs:
            _note_temps(inner, taker, takers)
