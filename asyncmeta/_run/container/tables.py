"""What does a container keep, so that the next get finds it at once?  Roots by level, and the values that are built."""

from __future__ import annotations

import contextvars
from collections.abc import Iterable, Sequence
from typing import Any

from ..._compat import get_running_loop
from ..._declare.keys import is_hashable, lasting
from ..._declare.lifetimes import CONTAINER_LEVEL
from ..._solve.nodes import Node
from ..._solve.plan import Plan, Unit, plan_of, plan_of_unit, unit_of
from ..._solve.resolve import Root, root_of
from ...errors import ClosedError
from ..build.driver import build_missing_nowait
from ..build.handles import Ready, answering_by_context
from ..observe.cause import Causes
from ..state.context import IN_FORCE, Shield
from ..state.roots import is_constant, looking_first, looking_first_for
from ..state.waiting import CHAIN, LOCK, UNSET, Flight, scopes_above
from ..teardown.scope_exit import FLIGHT_CODES, MAKES_FOR
from .closing import OPEN
from .in_force import active_for
from .watching import Watching

__all__ = ["Tables"]


class Tables(Watching):
    """The part of a container that finds things again."""

    __slots__ = ()

    @property
    def _seen_by_builds(self) -> tuple[Any, ...]:
        """What is in force while one value of this is built."""
        return (Shield(),)

    def _first_scope(self, context: Any = None, /, *, level: str | None = None) -> Any:
        """Open a scope where no quicker way to do it stands in `scope` yet."""
        raise NotImplementedError

    # --- looking up ---

    def _new_tables(self) -> None:
        """Give every level a new table of roots; scopes that are open find out at their next cold get."""
        graph = self._graph
        count = len(graph.levels)
        for table, _ in self._generations[-count:]:
            table.clear()
        for table in self._tables_nowait:
            table.clear()
        self._tables = [{} for _ in range(count)]
        self._tables_nowait = [{} for _ in range(count)]
        self._generations.extend((table, len(graph.moved)) for table in self._tables)
        self._sharing = {}
        self._aside = [{} for _ in range(count)]
        self._sizes = list(graph.slots)
        self._classes = {}
        self._roots, self._roots_nowait = self._tables[0], self._tables_nowait[0]
        self._enters = {}  #: what is asked for -> the code that enters a one-shot scope for it
        self.scope = self._first_scope  # type: ignore[method-assign]  # a slot of containers, which is the quicker way
        self._getters.cool()
        self._injections.cool()

    def _declared(self) -> None:
        """Something was registered: what is not built is looked up anew."""
        with LOCK:
            if self._state == OPEN:
                self._new_tables()

    def _root_for(self, scope: Any, token: Any) -> Root:
        """Return what *token* leads to in *scope*, which is brought up to date."""
        root = self._root_at(scope._level, token)
        self._catch_up_scope(scope)
        return root

    def _root_at(self, level: int, token: Any) -> Root:
        """Return what *token* leads to in scopes of *level*; everything that may have changed is caught up with first."""
        graph = self._graph
        token = lasting(token)
        with LOCK:
            graph.refresh()
            self._catch_up()
            hashable = is_hashable(token)
            if hashable and self._pins and token in self._pins:
                return Root(plan_of(graph, self._pins[token].target), self._pins[token], (self._pins[token],))
            root = graph.roots.get((level, token)) if hashable else None
            if root is None:
                root = graph.roots[level, token] = root_of(graph, level, token)
            if self._sizes != graph.slots:
                self._new_tables()
        return root

    def _catch_up_scope(self, scope: Any) -> None:
        """Bring an open scope up to date."""
        if scope._roots is not self._tables[scope._level] and self._state == OPEN and not scope.closed:
            with LOCK:
                self._upgrade(scope)

    def _catch_up(self) -> None:
        """Let what is built stand under what serves its key now.  The lock is held."""
        moved = self._graph.moved
        if self._moves != len(moved):
            for key, old, new in moved[self._moves :]:
                if old not in self._built:
                    continue
                if new is None:
                    self._pins[key] = old
                elif new not in self._built:
                    self._built[new] = self._built[old]
            self._moves = len(moved)

    def _upgrade(self, scope: Any) -> None:
        """Bring an open scope up to date: more slots, and what stays built under what serves a key now."""
        while scope is not self:
            level = scope._level
            values = scope._values
            since = next((moved for table, moved in self._generations if table is scope._roots), 0)
            values.extend([UNSET] * (self._graph.slots[level] - len(values)))
            for _, old, new in self._graph.moved[since:]:
                if new is not None and old.level == level and values[new.slot] is UNSET:
                    values[new.slot] = values[old.slot]
            scope._roots = self._tables[level]
            scope = scope._parent

    def _unit(self, node: Node) -> Unit:
        """Return the unit of a container value."""
        return unit_of(self._graph, node)

    def _plan_of_unit(self, unit: Unit) -> Plan:
        return plan_of_unit(self._graph, unit)

    def _way_to(self, node: Node) -> list[Node]:
        """Return the nodes from the application to *node*."""
        users: dict[Node, Node] = {}
        for user in self._graph.nodes.values():
            for edge in (*(user.edges or ()), *user.late):
                for other in edge.target.each():
                    users.setdefault(other, user)
        way, here = [node], users.get(node)
        while here is not None and here not in way:
            way.append(here)
            here = users.get(here)
        way.reverse()
        halves = {one.constructed for one in way}
        return [one for one in way if one not in halves]

    # --- values ---

    def _has(self, node: Node) -> bool:
        """Tell whether a container value is built."""
        return node in self._built

    def _has_all(self, nodes: Iterable[Node]) -> bool:
        built = self._built
        return all(node in built for node in nodes)

    def _built_value(self, node: Node) -> Any:
        try:
            return self._built[node]
        except KeyError:  # it was there a moment ago, and another thread has closed this since
            raise ClosedError(f"{self._title} was closed meanwhile") from None

    def _holder(self, node: Node) -> Any:
        """Return the container that a container value belongs to."""
        return self

    def _keep_root(self, scope: Any, token: Any, root: Any, root_nowait: Any) -> None:
        """Let the next ``get`` of *token* find its root at once."""
        level = scope._level
        if lasting(token) is not token:  # a table would take it for another one, or not at all
            return
        with LOCK:
            if self._state == OPEN and scope._roots is self._tables[level]:
                (self._aside[level] if self._overridden else scope._roots)[token] = root
                if root_nowait is not None and not self._overridden:
                    self._tables_nowait[level][token] = root_nowait

    def _root_aside(self, scope: Any, token: Any, *, builds: bool) -> Any:
        """
        Return the root of *token* that was set aside when an override came into force, or None; the next get is quicker.

        Args:
            builds: Take also one that builds: none is in force here, which that would see.
        """
        with LOCK:
            if not self._overridden or scope._roots is not self._tables[scope._level]:
                return None
            try:
                root = self._aside[scope._level].get(token)
            except TypeError:  # unhashable: told by the ordinary way
                return None
            if root is not None and not builds and not is_constant(root):
                return None
            if root is not None and token not in scope._roots:
                node = self._root_at(scope._level, token).node
                if node is not None and node.level == CONTAINER_LEVEL:
                    scope._roots[token] = looking_first_for(self, token, self._built_value(node))
                else:
                    scope._roots[token] = looking_first(self, token, root)
            return root

    def _ready(self, value: Any, scope: Any, key: Any) -> Ready:
        """Return what a fetched attribute leaves on its instance."""
        return self._ready_now()(value, scope, key)

    def _ready_now(self) -> type[Ready]:
        if self._ready_class is None:
            names: dict[str, Any] = {"__slots__": (), "_era": self._era}
            if self._overridden:
                names["__await__"] = answering_by_context
            self._ready_class = type("Unawaited", (Ready,), names)
        return self._ready_class

    def _keep_ready(self, ready: Ready, value: Any) -> None:
        """Let *ready*, of before something was forgotten, hold *value* from here on, as quickly as ever."""
        ready._value = value
        ready.__class__ = self._ready_now()

    # --- overrides in force ---

    def _active(self) -> Any:
        """Return the overlay that is in force here, or None."""
        return active_for(self) if self._overridden else None

    def _answering(self, scope: Any, token: Any) -> Any:
        """Return the overlay in force here that gives another one for *token* in *scope* than this would, or None."""
        overlay = self._active()
        return None if overlay is None else overlay._answering_for(self, scope, token)

    def _begin_override(self) -> None:
        """The first override in force sets the quick ways aside: every get asks by the cold one which overlay is meant."""
        with LOCK:
            self._overridden += 1
            if self._overridden == 1:
                for table, aside in zip(self._tables, self._aside, strict=True):
                    aside.update(table)
                    table.clear()
                for table in self._tables_nowait:
                    table.clear()
                self._enters.clear()
                self._getters.cool()
                self._injections.cool()
                if self._ready_class is not None:
                    self._ready_class.__await__ = answering_by_context  # type: ignore[method-assign]  # its own class

    def _end_override(self) -> None:
        """The last one gives them back."""
        with LOCK:
            self._overridden -= 1
            if not self._overridden:
                for table, aside in zip(self._tables, self._aside, strict=True):
                    if self._state == OPEN:
                        table.update(aside)
                    aside.clear()
                if self._ready_class is not None and self._state == OPEN:
                    self._ready_class.__await__ = Ready.__await__  # type: ignore[method-assign]  # its own class

    def _may_just_wait(self, flight: Flight) -> bool:
        """Tell whether a caller may wait for *build* without more ado: in its loop, and no part of any other build."""
        return (
            flight.task is not None
            and flight.loop is get_running_loop()
            and not CHAIN.get()
            and not ((self._children or self._in_flight) and scopes_above(FLIGHT_CODES, MAKES_FOR))
        )

    def _build_nowait(self, nodes: Sequence[Node], asked: Causes | None = None) -> None:
        """Build container values without awaiting."""
        if not self._has_all(nodes):
            self._check_open()
            build_missing_nowait(self, nodes, asked)

    def _refuses(self, flight: Flight) -> bool:
        """Tell whether a finished build comes too late to be taken."""
        return self._state != OPEN

    def _clean_context(self, context: contextvars.Context) -> tuple[Any, ...]:
        """Take out of a build's context what must not reach a shared value: overrides in force; return what is seen instead."""
        if not self._overridden:
            return ()
        seen = self._seen_by_builds
        context.run(IN_FORCE.set, seen)
        return seen

    def _building_context(self) -> tuple[contextvars.Context, tuple[Any, ...]] | None:
        """Return the context for a build in place, and what is seen in it; None where the caller's will do."""
        if not self._overridden:
            return None
        context = contextvars.copy_context()
        return context, self._clean_context(context)
