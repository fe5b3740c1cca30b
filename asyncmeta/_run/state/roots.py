"""What does a token lead to, for now?  Roots by level, thrown away whenever that may have changed."""

from __future__ import annotations

import types
import weakref
from collections.abc import Callable, Coroutine, Hashable, Iterable, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, Protocol

from ..._declare.keys import lasting
from ..._declare.lifetimes import CONTAINER_LEVEL
from ..._declare.registry import snapshot
from ..._declare.tokens import is_hashable
from ..._lock import LOCK
from ..._solve.nodes import Node
from ..._solve.plan import plan_of
from ..._solve.resolve import Root, root_of
from .context import IN_FORCE, Shield
from .parking import Outcome, park, parked
from .singletons import OPEN, RootFunction, RootNowait, ScopeState, Singletons
from .slots import FLIGHT, UNSET, Gone

__all__ = ["Getters", "RootTable", "constant_root", "is_constant"]


#: Of so many roots a graph keeps also those that nothing serves: no program has more that it asks for again and again.
_MOST = 1024


if TYPE_CHECKING:

    class Coolable(Protocol):
        """What has code that stands on roots as they are."""

        def cool(self) -> None:
            """Look everything up anew."""

    class Subscriber(Coolable, Protocol):
        """What holds on to what roots gave, and lets go of it when it may have changed."""

        def set_aside(self) -> None:
            """An override is in force somewhere: ask by the cold way."""

        def give_back(self) -> None:
            """None is any more."""


def _follow(scope: ScopeState, old: int, new: int) -> None:
    """Let the slot *new* hold what *old* comes to hold, which is being built.  The lock is held."""
    scope._values[new] = FLIGHT

    def told(outcome: Outcome) -> None:
        with LOCK:
            if scope._values[old] is FLIGHT:  # that came to nothing, and somebody has begun again
                _follow(scope, old, new)
                return
            scope._values[new] = scope._values[old]
            waiting = parked(scope, new)
        for one in waiting:
            one(outcome)

    park(scope, old, told)


class RootTable:
    """
    What a container has found out about tokens: by level and token, the root that gives the value.

    A scope has the table of its level as its own slot, so that a get is one look-up.  New tables, when something was
    registered or forgotten, are found by open scopes at their next cold get; the old ones are emptied.
    """

    __slots__ = (
        "__weakref__", "above", "aside", "below", "everywhere", "found", "generations", "has_run_code", "hot", "moves",
        "pins", "quick", "sharing", "singletons", "sizes", "subscribers", "tables", "tables_nowait", "views",
    )  # fmt: skip

    def __init__(
        self, singletons: Singletons, subscribers: Sequence[Subscriber], below: RootTable | None = None, *, views: bool = False
    ) -> None:
        """
        Args:
            below: That of the container below.
            views: Scopes are an override's views, which have all their slots when they need them, and are always carried out
                call by call.
        """
        self.singletons = singletons
        self.subscribers = tuple(subscribers)
        self.below, self.views = below, views
        #: those of overlays, whose code stands on what is built here, too
        self.above: weakref.WeakSet[RootTable] | None = None
        #: what has code of its own for this, for as long as roots are what they are; None where nothing has
        self.hot: weakref.WeakSet[Coolable] | None = None
        self.has_run_code = False  #: calls, or blocks for one value, may be under way for which no scope was made
        self.quick: weakref.WeakSet[type] | None = None  #: classes of one-shot scopes that there are none of
        self.everywhere: list[Any] = []  #: overrides in force for everybody
        self.tables: list[dict[object, RootFunction]] = []  #: roots by level
        self.tables_nowait: list[dict[object, RootNowait]] = []
        #: all tables since it was opened, with how much of graph.moved each one knows
        self.generations: list[tuple[dict[object, RootFunction], int]] = []
        self.aside: list[dict[object, RootFunction]] = []  #: the tables while an override is in force
        #: by level, what tokens lead to as long as nothing is registered
        self.found: list[dict[object, Root]] = []
        self.sizes: list[int] = []  #: slots by level, as the scopes being made now have them
        self.sharing: dict[Any, bool] = {}  #: by level and site: whether what is asked for is shared
        self.pins: dict[Hashable, Node] = {}  #: keys that are built and that nothing serves any more -> what is built
        self.moves = 0  #: how much of graph.moved is caught up with

    def lie(self) -> None:
        """Let what is below know of this, which is whole by now: an interrupt on the way shall leave no half of it there."""
        below = self.below
        if below is not None and self.singletons.overlaid:
            with LOCK:
                if below.above is None:
                    below.above = weakref.WeakSet()
                below.above.add(self)

    def begin(self) -> None:
        """Begin anew, with nothing known; first of all before anything is asked."""
        self.moves = len(self.singletons.graph.moved)
        self.pins = {}
        self.generations = []
        self.clear()

    def heat(self, one: Coolable) -> None:
        """Let *one* be told when its code is of no use any more.  The lock is held."""
        if self.hot is None:
            self.hot = weakref.WeakSet()
        self.hot.add(one)

    def clear(self) -> None:
        """Give every level a new table of roots; scopes that are open find out at their next cold get."""
        graph = self.singletons.graph
        count = len(graph.levels)
        for table, _ in self.generations[-count:]:
            table.clear()
        for nowait in self.tables_nowait:
            nowait.clear()
        self.tables = [{} for _ in range(count)]
        self.tables_nowait = [{} for _ in range(count)]
        self.generations.extend((table, len(graph.moved)) for table in self.tables)
        self.sharing = {}
        self.found = [{} for _ in range(count)]
        self.aside = [{} for _ in range(count)]
        self.sizes = list(graph.slots)
        self.singletons.scope._roots = self.tables[0]
        for subscriber in self.subscribers:
            subscriber.cool()
        self._cool_hot()

    def clear_all(self) -> None:
        """Clear this, and all that lie above."""
        self.clear()
        for one in () if self.above is None else snapshot(self.above):
            one.clear_all()

    def _cool_hot(self) -> None:
        hot, self.hot = self.hot, None
        for one in () if hot is None else snapshot(hot):
            one.cool()

    def declared(self) -> None:
        """Something was registered: what is not built is looked up anew."""
        with LOCK:
            if self.singletons.state == OPEN:
                self.clear()

    # --- finding ---

    def find(self, scope: ScopeState, token: object) -> Root:
        """Return what *token* leads to in *scope*, which is brought up to date."""
        level = scope._level
        try:
            root = self.found[level][token]
        except (KeyError, TypeError):
            root = self._look(level, token)
        if scope._roots is not self.tables[level]:
            self.catch_up_scope(scope)
        return root

    def at(self, level: int, token: object) -> Root:
        """Return what *token* leads to in scopes of *level*; everything that may have changed is caught up with first."""
        try:
            return self.found[level][token]
        except (KeyError, TypeError):
            return self._look(level, token)

    def _look(self, level: int, token: object) -> Root:
        graph = self.singletons.graph
        plain, token = token, lasting(token)
        with LOCK:
            graph.refresh()
            self._catch_up()
            hashable = is_hashable(token)
            pinned = self.pins.get(token) if hashable and self.pins else None
            if pinned is not None:
                return Root(plan_of(graph, pinned.target), pinned, (pinned,))
            root: Root | None = graph.roots.get((level, token)) if hashable else None
            if root is None:
                root = root_of(graph, level, token)
                if not root.nodes and len(graph.roots) >= _MOST:
                    return root  # who may be answered None, or an empty list, asks for no end of keys that nothing serves
                graph.roots[level, token] = root
            if self.sizes != graph.slots:
                self.clear()
            if hashable and plain is token:
                self.found[level][token] = root
        return root

    def _catch_up(self) -> None:
        """What is built, or being built, stays what it is, under whatever serves its key now.  The lock is held."""
        if self.below is not None:
            self.below._catch_up()
        singletons = self.singletons
        moved, built = singletons.graph.moved, singletons.built
        if self.moves == len(moved):
            return
        for key, old, new in moved[self.moves :]:
            first = old if old in built else singletons.follows.get(old, old)
            if first not in built:
                if new is not None and first in singletons.flights:
                    singletons.follows[new] = first
            elif new is None:
                self.pins[key] = first
            elif new not in built:
                built[new] = built[first]
        self.moves = len(moved)

    def catch_up_scope(self, scope: ScopeState) -> None:
        """Bring an open scope up to date: more slots, and what stays built under what serves a key now."""
        if scope._roots is self.tables[scope._level] or self.singletons.state != OPEN or scope.closed:
            return
        if self.views and self.below is not None and scope is not self.singletons.scope:
            self.below.catch_up_scope(scope._shown())  # what a view shows stays built, too
        with LOCK:
            self._catch_up_outwards(scope)

    def _catch_up_outwards(self, scope: ScopeState) -> None:
        """Bring it and those around it up to date.  The lock is held."""
        moved = self.singletons.graph.moved
        while scope is not self.singletons.scope and not isinstance(scope._values, Gone):  # closed meanwhile, in another thread
            if self.views:
                self._take_over(scope, moved[scope._moved_since() :])
            else:
                since = next((moves for table, moves in self.generations if table is scope._roots), 0)
                self._take_over(scope, moved[since:])
                if not scope._by_threads:
                    scope._roots = self.tables[scope._level]
            scope = scope._parent

    def _take_over(self, scope: ScopeState, moved: Iterable[tuple[Hashable, Node, Node | None]]) -> None:
        """Let *scope* have all its slots, and keep what it has under whatever serves its key now.  The lock is held."""
        graph, level, values = self.singletons.graph, scope._level, scope._values
        values.extend([UNSET] * (graph.slots[level] - len(values)))
        for _, old, new in moved:
            if new is None or old.level != level or not (graph.owns(old) and graph.owns(new)):
                continue
            if values[new.slot] is UNSET:
                if values[old.slot] is FLIGHT:
                    _follow(scope, old.slot, new.slot)
                else:
                    values[new.slot] = values[old.slot]

    # --- keeping ---

    def keep(self, scope: ScopeState, token: object, root: RootFunction, nowait: RootNowait | None) -> None:
        """Let the next ``get`` of *token* find its root at once."""
        level = scope._level
        if lasting(token) is not token:  # a table would take it for another one, or not at all
            return
        overridden = self.singletons.overridden
        with LOCK:
            if len(self.singletons.graph.roots) >= _MOST and token not in self.found[level]:
                return
            if self.singletons.state == OPEN and scope._roots is self.tables[level]:
                (self.aside[level] if overridden else scope._roots)[token] = root
                if nowait is not None and not overridden:
                    self.tables_nowait[level][token] = nowait

    def from_aside(self, scope: ScopeState, token: object, *, builds: bool) -> RootFunction | None:
        """
        Return the root of *token* that was set aside when an override came into force, or None; the next get is quicker.

        Args:
            builds: Take also one that builds: none is in force here, which that would see.
        """
        with LOCK:
            if not self.singletons.overridden or scope._roots is not self.tables[scope._level]:
                return None
            try:
                root = self.aside[scope._level].get(token)
            except TypeError:  # unhashable: told by the ordinary way
                return None
            if root is not None and not builds and not is_constant(root):
                return None
            if root is not None and token not in scope._roots:
                node = self.at(scope._level, token).node
                if node is not None and node.level == CONTAINER_LEVEL:
                    scope._roots[token] = self._looking_first_for(token, self.singletons.value(node))
                else:
                    scope._roots[token] = self._looking_first(token, root)
            return root

    def _looking_first(self, token: object, root: RootFunction) -> RootFunction:
        """Return *root* so that it first looks whether some override may be in force here; then the cold path knows more."""
        everywhere = self.everywhere

        def look(scope: ScopeState) -> Coroutine[Any, Any, Any]:
            if IN_FORCE.get() or everywhere:
                return scope._get_cold(token)
            return root(scope)

        return look

    def _looking_first_for(self, token: object, value: object) -> RootFunction:
        """Return the same for a built container value: in one coroutine."""
        in_force, everywhere = IN_FORCE.get, self.everywhere

        async def look(scope: ScopeState) -> Any:
            if in_force() or everywhere:
                return await scope._get_cold(token)
            return value

        return look

    # --- overrides in force ---

    def active(self) -> Any:
        """Return the overlay that is in force for this container here, or None."""
        container = self.singletons.scope
        for one in chain(reversed(IN_FORCE.get()), reversed(self.everywhere)):
            if one.ended:
                continue
            overlay = one.answers  # read once: another thread may be about to end it, and then it has none
            if overlay is container or type(one) is Shield:
                return None
            if overlay is not None and container in one.over:
                return overlay
        return None

    def in_force(self) -> RootTable:
        """Return the table of what answers here: of the overlay that is in force, or this."""
        overlay = self.active() if self.singletons.overridden else None
        table: RootTable = self if overlay is None else overlay._root_table
        return table

    def begin_override(self) -> None:
        """The first override in force sets the quick ways aside: every get asks by the cold one which overlay is meant."""
        with LOCK:
            self.singletons.overridden += 1
            if self.singletons.overridden == 1:
                self._set_aside()

    def _set_aside(self) -> None:
        for table, aside in zip(self.tables, self.aside, strict=True):
            aside.update(table)
            table.clear()
        for nowait in self.tables_nowait:
            nowait.clear()
        for subscriber in self.subscribers:
            subscriber.set_aside()
        self._cool_hot()
        for one in snapshot(self.above or ()):
            if not one.views:
                one.clear_all()  # their code would not mind what is in force below them

    def end_override(self) -> None:
        """The last one gives them back."""
        with LOCK:
            self.singletons.overridden -= 1
            if not self.singletons.overridden:
                for table, aside in zip(self.tables, self.aside, strict=True):
                    if self.singletons.state == OPEN:
                        table.update(aside)
                    aside.clear()
                for subscriber in self.subscribers:
                    subscriber.give_back()


# --- roots of built values -----------------------------------------------------------------------------


def constant_root(value: object) -> RootFunction:
    """Return the root of a built container value."""

    async def root(scope: ScopeState) -> Any:
        return value

    return root


def is_constant(root: RootFunction) -> bool:
    """Tell whether *root* gives a built container value and does nothing else."""
    return getattr(root, "__code__", None) is _CONSTANT


_CONSTANT = constant_root(None).__code__


# --- getters -------------------------------------------------------------------------------------------

# For checkers: getters have these in a namespace of their own.
find: Any = None
value: Any = None


def _new_getter() -> Any:
    """Return a getter that knows nothing; called with a namespace of its own, which is that of the getter."""

    async def getter() -> Any:
        try:
            return value
        except NameError:  # not known yet, or no more: also where it was called before something changed, and is run after it
            return await find()

    return getter


async def _asking() -> Any:
    return await find()


# Swapping ``__code__`` is one store, so that no caller sees a half.  Only who has to ask each time is given the second
# code: CPython 3.13 and later have a quick call only for functions whose code was never swapped.
_QUICK = _new_getter().__code__
_ASKING = _asking.__code__


class Getters:
    """The getters of one container: callables that give one value, as quick as a function that returns a constant."""

    __slots__ = ("_cooled", "_made")

    def __init__(self) -> None:
        self._cooled = 0  #: how often they have been told to look again
        self._made: weakref.WeakSet[types.FunctionType] = weakref.WeakSet()

    def add(self, fetch: Callable[[], Coroutine[Any, Any, tuple[Any, bool]]]) -> Callable[[], Coroutine[Any, Any, Any]]:
        """
        Return a getter.

        Args:
            fetch: Gives the value, and whether it stays the same until `cool` is called.
        """
        names: dict[str, Any] = {}
        getter: types.FunctionType = types.FunctionType(_new_getter.__code__, names)()
        made = weakref.ref(getter)

        async def find() -> Any:
            cooled = self._cooled
            found, stays = await fetch()
            getter, code = made(), _QUICK if stays else _ASKING
            if getter is not None and (stays or getter.__code__ is not code):
                with LOCK:
                    if cooled == self._cooled:
                        if stays:
                            names["value"] = found
                        if getter.__code__ is not code:
                            getter.__code__ = code
            return found

        names["find"] = find
        self._made.add(getter)
        return getter

    def cool(self) -> None:
        """Let every getter look again."""
        self._cooled += 1
        for getter in snapshot(self._made):
            getter.__globals__.pop("value", None)

    set_aside = cool

    def give_back(self) -> None:
        """The next call of each finds out by itself."""
