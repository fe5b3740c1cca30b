"""Which registration serves a key?  Layers, views, and the nodes that stand for what was found."""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .._declare.keys import ByName, plain_of
from .._declare.lifetimes import CONTAINER_LEVEL, TRANSIENT_LEVEL, level_of, levels_of
from .._declare.makers import SYNC, maker_of, value_maker
from .._declare.registrations import Registration
from .._declare.registry import Registry, layers_of, registry_of, snapshot
from .._names import Place, is_a
from .found import context_levels, context_node, handing_on, highest, is_whole, overridden, problems_of, with_names
from .generics import DEEPEST, Binding, depth_of, frozen, open_key_of, variables_of
from .news import News, changes
from .nodes import CONTEXT, SCOPE, START, Ambiguous, Node, Site, Target

if TYPE_CHECKING:
    from .opened import OpenKeys

__all__ = ["Lookup"]


class Lookup:
    """
    What an application class and the layers below it declare, found by key; `Graph`, which derives from it, relates it.

    A key that was found is found at once until something is registered that changes what serves it.
    """

    def __init__(
        self,
        layers: Sequence[Registry],
        builtin: Mapping[Hashable, str],
        *,
        app: type,
        hooks: Mapping[str, Any],
        extra: Sequence[Registry] = (),
        over: Sequence[Registry] = (),
        given: bool = False,
    ) -> None:
        """
        Args:
            layers: The application's, its own first, the shared one last.
            builtin: Keys that stand for the container and the scope themselves.
            app: The application class.
            hooks: The names and the no-op functions of the two life-cycle methods.
            extra: Layers above the application's.
            over: Layers above everything, private ones included: overrides.
            given: The application's instance is there already: its constructor needs nothing.
        """
        self.app = app
        self.given = given
        self.hooks = hooks
        self.builtin = builtin
        self.over = tuple(over)
        self.layers: tuple[Registry, ...] = (*over, *extra, *layers)
        self.shared = layers[-1]
        self.of_app = frozenset(registry.cls for registry in layers)
        own = next((registry for registry in layers if registry.scopes), layers[0])
        self.levels = levels_of(own.scopes)
        #: by context key the levels whose scopes are opened with it, outer first: each has its own
        self.context_levels: dict[Hashable, list[int]]
        self.context_levels, self.bad_levels = context_levels(self.layers, self.levels)
        #: context keys and the innermost level that they belong to
        self.context: dict[Hashable, int] = {key: levels[-1] for key, levels in self.context_levels.items()}
        #: nodes by registration and view
        self.nodes: dict[Any, Node] = {}
        #: how many slots each level has
        self.slots: list[int] = [0] * len(self.levels)
        #: context values have their slots from the start: a scope is opened with them
        self.context_nodes: dict[tuple[Hashable, int], Node] = {
            (key, level): self._context_node(key, level) for key, levels in self.context_levels.items() for level in levels
        }
        #: of a node that gives what an outer node gives, for lack of a context value: that one
        self.behind: dict[Node, Node] = {}
        #: grows when what serves a key changes: the key, the node before, and the one after (None where nothing can follow)
        self.moved: list[tuple[Hashable, Node, Node | None]] = []
        self.listeners: weakref.WeakSet[Any] = weakref.WeakSet()
        #: what rooms above keep for as long as the graph lives
        self.kept: dict[str, Any] = {}
        self.news = News()
        self.expansions = 0  #: how often edges were looked up
        self._forget()
        for registry in self.layers:
            registry.watch(self)

    # --- being told ---------------------------------------------------------------------------

    def declared(self, fresh: Registration | None = None) -> None:
        """
        Something was registered in one of the layers looked at: forget what was concluded from them.

        Args:
            fresh: All that was: the first registration of its key in its layer.
        """
        self.news.take(fresh)
        for listener in snapshot(self.listeners):
            listener.declared()

    def refresh(self) -> None:
        """Look everything up anew where something was registered since."""
        waiting = [registry for registry in self.layers if registry.waiting]
        if not (self.news.stale or self.news.fresh or waiting):
            return
        if not self.news.matter(self.context) and not waiting:
            return self._forget_answers()  # all that stands on others stays as it is
        before = self._found
        for node in snapshot(self.nodes.values()):  # a thread may ask meanwhile
            node.kept, node.unit, node.deferred, node.needs = None, None, (), ()
            node.problems = tuple(problem for problem in node.problems if not problem.edge)
        self._forget()
        self.moved.extend(changes(before, self.find))

    def _forget(self) -> None:
        self.news.begin(node.registration for node in snapshot(self.nodes.values()))
        for registry in self.layers:
            if registry.waiting:
                registry.read_waiting()
                self.news.stale = False
        #: by view and key; a dictionary for each view spares a tuple for each key
        self._found: dict[type | None, dict[Hashable, Node | tuple[Node, ...]]] = {None: {}}
        self._open: OpenKeys | None = None
        self._layers_of_view: dict[type | None, tuple[Registry, ...]] = {None: self.layers}
        self.instances: dict[type, Node] = {}
        self._forget_answers()
        #: who uses what, and the same by key; and how many expansions each knows
        self._users: tuple[int, dict[Node, list[Node]]] | None = None
        self._by_key: tuple[int, dict[Hashable, list[Node]]] | None = None
        #: the innermost level that each transient node needs, as far as checked
        self.needs: dict[Node, int] = {}
        #: nodes that a check has found sound
        self.sound: set[Node] = set()

    def _forget_answers(self) -> None:
        """Forget what was answered to somebody who asks from outside."""
        #: what _run keeps for each site; emptied with the rest
        self.roots: dict[Any, Any] = {}
        self.targets: dict[Site, Target] = {}
        #: result of the last check of the whole, None where there was none
        self.checked: Any = None

    # --- looking up ------------------------------------------------------------------------------

    def layers_of(self, view: type | None) -> tuple[Registry, ...]:
        """Return the layers that *view* looks along: its private ones, then the application's."""
        found = self._layers_of_view.get(view)
        if found is None:
            assert view is not None
            private = tuple(registry for registry in layers_of(view) if registry.cls not in self.of_app)
            for registry in private:
                registry.watch(self)
            found = self._layers_of_view[view] = (*self.over, *private, *self.layers[len(self.over) :])
        return found

    def view_of(self, cls: type) -> type | None:
        """Return the view in which an instance of *cls* looks up."""
        return None if cls in self.of_app or registry_of(cls) is None else cls

    def find(self, view: type | None, key: Hashable, shadowed_by: Node | None = None) -> Node | tuple[Node, ...] | None:
        """
        Return what serves *key* in *view*: a node, all nodes of a multi key, or None.

        Args:
            shadowed_by: The node that asks, where the key is its own: what lies below it is meant.

        Raises:
            Ambiguous: Two modules register it.
        """
        if shadowed_by is not None:
            return self._search(view, key, shadowed_by)
        known = self._found.get(view)
        if known is None:
            known = self._found[view] = {}
        try:
            return known[key]
        except KeyError:
            found = self._search(view, key, None)
            if found is not None:  # who asks at will, asks for no end of keys that nothing serves
                known[key] = found
            if found is not None or self.news.expanding:
                self.news.heard.add(key)
            return found

    def _search(self, view: type | None, key: Hashable, shadowed_by: Node | None) -> Node | tuple[Node, ...] | None:
        try:
            open_form = hasattr(key, "__parameters__")
        except Exception:  # a token answers to that whatever it likes
            open_form = False
        if open_form and key not in self.context and registry_of(key) is None and variables_of(plain_of(key)):
            from .bindings import closed_by_defaults  # lazy import

            closed = closed_by_defaults(key)
            if closed is not None:
                return self.find(view, closed, shadowed_by)
        layers = self.layers if view is None else self.layers_of(view)
        over, count = len(self.over), len(layers)
        shared = over + count - len(self.layers)  # where the private layers of the view end
        start = 0
        listed: Node | None = None
        if shadowed_by is not None:
            if (inner := shadowed_by.registration.inner) is not None:  # of its own layer
                where = view if over <= count - 1 - shadowed_by.rank < shared else None
                listed = self.node(inner, where, shadowed_by.rank, key, self.binding_within(inner, key))
                if not inner.bare:
                    return listed
            start = count - shadowed_by.rank
            if shadowed_by.owner is None and shadowed_by.view is not None and start > shared:
                # A service class's private registrations are not above itself.
                for position in range(over, shared):
                    entry = layers[position].entries.get(key)
                    if isinstance(entry, Registration) and entry is not shadowed_by.registration:
                        return self.node(entry, view, count - position - 1)
        for position in range(start, count):
            if position == shared and key in self.context:
                return self.from_context(key, self.context[key])
            entry = layers[position].entries.get(key)
            if entry is None:
                continue
            if isinstance(entry, list):
                return self.all_of(view, key, start)
            if entry.key is not key and entry.key != key:
                # One more key of the value: what is above of the value's own key, or around it, is meant by this one, too.
                above = highest(entry.key, layers[start : position + 1])
                if above is not None:
                    entry, position = above[0], start + above[1]
                if shadowed_by is None and position >= shared and entry.key in self.context:
                    return self.from_context(entry.key, self.context[entry.key])
            if entry.rivals:
                raise Ambiguous(entry)
            where = view if over <= position < shared else None
            found = (None if where else self.nodes.get(entry)) or self.node(entry, where, count - position - 1)
            if not entry.bare:
                return found
            listed = listed or found
        if listed is not None and key not in self.builtin:
            opened = self._generic(view, key, shadowed_by)
            return listed if opened is None or (isinstance(opened, Node) and opened.registration.bare) else opened
        if start == 0 or shadowed_by is None:
            return self._below(view, key)
        return (self._implicit(key) if shadowed_by.maker.cls is not key else None) or self._generic(view, key, shadowed_by)

    def from_context(self, key: Hashable, level: int) -> Node:
        """
        Return what gives a context value to scopes of *level*: the value itself.

        Where the application has a factory for the key, too, that serves scopes that are opened without the value: it has
        the value's slot, so what a scope was given is built already.
        """
        value = self.context_nodes[key, level]
        for position, registry in enumerate(self.layers[len(self.over) :], len(self.over)):
            entry = registry.entries.get(key)
            if isinstance(entry, Registration) and not entry.bare:
                if entry.rivals:
                    raise Ambiguous(entry)
                return self.instead(entry, value, len(self.layers) - position - 1)
        return value

    def instead(self, registration: Registration, value: Node, rank: int) -> Node:
        """Return the node of *registration* in the place of a context *value*: kept by the same scopes."""
        found = self.nodes.get((registration, value.level, CONTEXT))
        if found is not None:
            return found
        level = level_of(registration.lifetime, self.levels)
        if level is not None and level < value.level:  # it lives longer, and is handed on
            found = handing_on(registration, value.level, rank)
            self.behind[found] = self.node(registration, None, rank)
        else:
            found = self._new_node(registration, None, rank, None)
            found.level = value.level
            if found.constructed is not None and found.constructed.level != value.level:
                found.constructed.level = value.level
                self._give_slot(found.constructed)
        self.nodes[registration, value.level, CONTEXT] = found
        self._take_slot(found, value)
        return found

    def _take_slot(self, node: Node, value: Node) -> None:
        node.slot = value.slot

    def _below(self, view: type | None, key: Hashable) -> Node | tuple[Node, ...] | None:
        """Look below the shared layer: the container itself, service classes, open generics."""
        builtin = self.builtin.get(key)
        if builtin is not None:
            return self._builtin_node(key, builtin)
        if type(key) is ByName:
            return self._named(view, key.name)
        if type(key) is type and "__asyncmeta_door__" in vars(key):
            return self.node(vars(key)["__asyncmeta_door__"], None, -1)
        return self._implicit(key) or self._generic(view, key)

    def _named(self, view: type | None, name: str) -> Node | tuple[Node, ...] | None:
        """Find the registered class that is called *name*: in the highest layer that has one, the latest there."""
        self.news.by_name = True
        for registry in self.layers_of(view):
            classes = [key for key in snapshot(registry.entries) if is_a(key, type) and key.__name__ == name]
            if classes:
                return self.find(view, classes[-1])
        return None

    def _implicit(self, key: Hashable) -> Node | None:
        registry = registry_of(key)
        if registry is None or (registry is self.shared and registry.cls is not self.app):
            return None if registry is None else self.app_node()
        if registry.cls in self.of_app:
            return self.app_node()
        if inspect.isabstract(key):
            return None
        return self.node(self.implicit_registration(registry), None, -1)

    def implicit_registration(self, registry: Registry) -> Registration:
        """Return the registration of a service class that is asked for under its own type and that nobody registered."""
        if registry.implicit is None:
            assert registry.cls is not None
            maker = maker_of(registry.cls)
            maker.seen = maker.seen or next((one.seen for one in layers_of(registry.cls) if one.seen is not None), None)
            registry.implicit = Registration(registry.cls, maker, registry.lifetime, registry.place)
        return registry.implicit

    def app_node(self) -> Node:
        """Return the node of the application's instance."""
        registry = registry_of(self.app)
        assert registry is not None
        return self.node(self.implicit_registration(registry), None, -1)

    def all_of(self, view: type | None, key: Hashable, start: int = 0) -> tuple[Node, ...]:
        """Return the nodes of a multi key: all layers from *start* down add up, the lowest first."""
        layers = self.layers_of(view)
        over = len(self.over)
        shared = over + len(layers) - len(self.layers)
        # An override replaces the whole list, unless it says which members it means.
        first = next((position for position in range(start, over) if is_whole(layers[position].entries.get(key))), None)
        positions = range(len(layers) - 1 if first is None else first, start - 1, -1)
        opened = open_key_of(key)
        found: list[Node] = []
        for position in positions:
            registry = layers[position]
            where = view if over <= position < shared else None
            rank = len(layers) - position - 1
            entry = registry.entries.get(key)
            here = [self.node(registration, where, rank) for registration in entry] if isinstance(entry, list) else []
            if opened is not None:
                from .opened import nodes_of  # lazy import

                here += nodes_of(self, opened, key, registry, where, rank)
                here.sort(key=lambda node: node.registration.order)
            found = with_names(found, here)
        return tuple(found)

    def _generic(self, view: type | None, key: Hashable, below: Node | None = None) -> Node | tuple[Node, ...] | None:
        """
        Find an open generic that serves a closed one.

        Args:
            below: The node that asks, where the key is its own: what is more general in its layer, or lies below that.
        """
        opened = open_key_of(key)
        if opened is None or depth_of(key) > DEEPEST:
            return None
        from .opened import node_of  # lazy import

        return node_of(self, opened, view, key, below)

    def open_keys(self) -> OpenKeys:
        """Return the open generics of each layer."""
        if self._open is None:
            from .opened import OpenKeys  # lazy import

            self._open = OpenKeys()
        return self._open

    def binding_within(self, registration: Registration, key: Hashable) -> Binding | None:
        """Return the variables' values with which *registration* serves *key*, where that is a closed generic; else None."""
        opened = open_key_of(key)
        if opened is None:
            return None
        from .opened import binding_within  # lazy import

        return binding_within(registration, opened)

    # --- nodes -----------------------------------------------------------------------------------

    def node(
        self, registration: Registration, view: type | None, rank: int, key: Hashable = None, binding: Binding | None = None
    ) -> Node:
        """Return the node of *registration* found in *view*; made on first use."""
        maker = registration.maker
        if maker.cls is self.app and binding is None:
            # However the application is registered, its instance is one.
            registry = registry_of(self.app)
            assert registry is not None
            registration, view = self.implicit_registration(registry), None
        # One value for each binding, whichever of its keys it was asked for by.
        identity: Any = registration
        if view is not None or binding is not None:
            identity = (registration, view, None if binding is None else frozen(binding))
        found = self.nodes.get(identity)
        if found is None:
            found = self.nodes[identity] = self._new_node(registration, view, rank, binding)
            if binding is not None:
                found.key = key
                if found.constructed is not None:
                    found.constructed.key = key
        return found

    def declared_node(self, registration: Registration, rank: int) -> Node:
        """Return the node of a *registration* of one key, which the application declares *rank* layers above the lowest."""
        above = rank < len(self.layers) - 1 or self.over
        if above or self.context or type(registration) is not Registration or registration.maker.cls is self.app:
            return self.node(registration, None, rank)
        found = self.nodes.get(registration)
        if found is None:
            found = self.nodes[registration] = self._new_node(registration, None, rank, None)
        self._found[None][registration.key] = found  # nothing lies above it: who asks need not search
        return found

    def _new_node(self, registration: Registration, view: type | None, rank: int, binding: Binding | None) -> Node:
        self.news.heard.add(registration.key)
        if registration.also:
            self.news.heard.update(registration.also)
        maker = registration.maker
        owner = None
        if registration.attribute is not None:
            owner = view or self.app
            maker = overridden(registration, owner)
            if maker is not registration.maker:
                maker = maker.declared(registration.keys, owner)
            if isinstance(inspect.getattr_static(owner, registration.attribute or "", None), staticmethod):
                owner = None
        if maker.undecided:  # what it names may be defined by now
            maker = maker.declared(registration.keys, owner)
        cls = maker.cls
        # Services have a metaclass.
        service = cls if cls is not None and type(cls) is not type and registry_of(cls) is not None else None
        inside = view if service is None else self.view_of(service)
        lasting = registration.lifetime == "singleton"
        level = CONTAINER_LEVEL if lasting else level_of(registration.lifetime, self.levels)
        node = Node(registration, maker, maker.kind, CONTAINER_LEVEL if level is None else level, inside, rank)
        node.owner = owner
        generic = maker.form is not None or maker.variables is not None or hasattr(owner, "__parameters__")
        if generic or (binding is None and cls is not None and getattr(cls, "__parameters__", None)):
            from .bindings import binding_of_call  # lazy import

            binding = binding_of_call(maker, owner, registration.keys, binding)
        node.binding = binding
        if service is not None:
            self._make_service(node, service, view)
        elif not lasting or (cls is not None and type(cls) is not type):  # only a metaclass makes it a Protocol, or abstract
            node.problems = problems_of(node, self.levels, self.app)
        if node.level != CONTAINER_LEVEL:
            self._give_slot(node)
        return node

    def _make_service(self, node: Node, service: type, view: type | None) -> None:
        """Let *node* make an instance of *service*, which is constructed first where it has life-cycle methods of its own."""
        own = [name for name, nothing in self.hooks.items() if getattr(service, name, nothing) is not nothing]
        node.problems = problems_of(node, self.levels, self.app, own)
        if own:
            built = Node(node.registration, node.maker, SYNC, node.level, node.view, node.rank)
            built.problems, built.binding = node.problems, node.binding
            self.nodes[node.registration, view, built] = built  # found through the node that starts it
            self._give_slot(built)
            node.kind, node.constructed, node.problems = START, built, ()  # told of the instance
        self.instances.setdefault(service, node)

    def _give_slot(self, node: Node) -> None:
        if CONTAINER_LEVEL < node.level < TRANSIENT_LEVEL:
            node.slot = self.slots[node.level]
            self.slots[node.level] += 1

    def _context_node(self, key: Hashable, level: int) -> Node:
        node = context_node(key, level, self.levels[level], self.layers[0].place)
        self._give_slot(node)
        return node

    def _builtin_node(self, key: Hashable, kind: str) -> Node:
        found = self.nodes.get((kind,))
        if found is None:
            registration = Registration(key, value_maker(None), self.levels[kind == SCOPE], Place("", 0))
            found = Node(registration, registration.maker, kind, int(kind == SCOPE), None, 0)
            found.kept = ()
            self.nodes[kind,] = found
        return found

    def instance_node(self, view: type | None) -> Node:
        """Return the node of the constructed instance that is ``self`` in the factory methods of *view*."""
        view = view or self.app
        node: Any = self.app_node() if view is self.app else self.instances.get(view) or self.find(None, view)
        return node.constructed or node  # type: ignore[no-any-return]
