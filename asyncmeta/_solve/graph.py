"""How are registrations related?  The edges between nodes."""

from __future__ import annotations

import typing
from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Any

from .._declare.annotations import KEYWORD, NORMAL, OMITTED, Parameter, plain_classes
from .._declare.constructors import constructor_of
from .._declare.keys import INJECTED, MISSING, Ask, ask_for, is_hashable, plain_of
from .._declare.lifetimes import TRANSIENT_LEVEL
from .._declare.makers import SYNC, VALUE
from .._declare.registrations import Registration
from .._declare.registry import Attribute, Registry, attributes_of, has_attributes, snapshot
from .._names import close_to, is_a, name_of
from .found import collected, default_of_others, is_given
from .generics import is_open, open_key_of, quoted_in
from .lookup import Lookup
from .nodes import (
    ARGUMENT,
    AS_NEEDED,
    CONSTANT,
    CONTAINER,
    CONTEXT,
    DEFAULT,
    DEFERRED,
    LATER,
    LIST,
    MAKE,
    MAYBE,
    NODE,
    SCOPE,
    START,
    Absent,
    Ambiguous,
    Edge,
    Node,
    Problem,
    Several,
    Site,
    Target,
    ambiguity,
    nameless,
    place_of,
    several_hint,
)  # fmt: skip

__all__ = ["Graph"]


_NONE: dict[Hashable, Any] = {}


def _note_unread(node: Node, parameter: Parameter) -> None:
    """Keep why a parameter of *node* takes its default."""
    node.unread += (f"{node.name}.{parameter.name} ({place_of(node)}): {parameter.unreadable}",)


class Graph(Lookup):
    """
    The registrations of an application class and the layers below it, and the edges between them.

    Grows as it is asked; belongs to the application class and is shared by its containers.
    """

    # --- edges -----------------------------------------------------------------------------------

    def expand(self, node: Node) -> tuple[Edge, ...]:
        """Return the edges of *node*, looked up on first use."""
        if node.kept is None:
            self.settle(node)
        return node.edges

    def settle(self, node: Node) -> None:
        """Look up the edges of *node*, where that was not done yet."""
        if node.kept is not None:
            return
        classes = self._plain_classes(node)
        if classes is not None and not node.problems:
            # Nearly every one: all that it takes is known, as what is declared mostly is.
            known = self._found.get(node.view, _NONE)
            needs: list[Node] = []
            for key in classes:
                found = known.get(key)
                if type(found) is not Node or found is node:
                    break
                needs.append(found)
            if len(needs) == len(classes) and not has_attributes(node.maker.cls):
                node.needs, node.deferred, node.unread = tuple(needs), (), ()
                node.kept = AS_NEEDED if needs else ()
                self.expansions += 1
                return
        self.news.expanding += 1
        try:
            self._look_up_edges(node, classes)
        finally:
            self.news.expanding -= 1

    def _look_up_edges(self, node: Node, classes: Sequence[type] | None) -> None:
        problems = [problem for problem in node.problems if not problem.edge]
        node.unread = ()
        edges: list[Edge] = []
        late: list[Edge] = []
        plain: list[Node] | None = None
        kind = node.kind
        if kind == START:
            assert node.constructed is not None
            edges.append(Edge("self", 0, node.constructed.target))
        elif kind != VALUE:
            if node.owner is not None:
                edges.append(Edge("self", 0, self.instance_node(self.view_of(node.owner)).target))
            behind = self.behind.get(node)
            if behind is not None:
                edges.append(Edge("value", NORMAL, behind.target))
            elif (plain := self._plain_needs(node, classes)) is None:
                misfit = node.maker.misfit()
                if misfit and not any(problem.hint == misfit for problem in problems):
                    problems.append(Problem("plain", node.key, hint=misfit))
                for parameter in self._parameters(node):
                    edges.append(Edge(parameter.name, parameter.kind, self._target(node, parameter, problems)))
            cls = node.maker.cls
            if cls is not None and kind == SYNC:
                # A service that starts has its attributes in the node that constructs it.
                for name, attribute in attributes_of(cls).items():
                    self._attribute(node, cls, name, attribute, late, problems)
        needs = plain or []
        for edge in edges:
            target = edge.target
            if target.how == NODE and target.node is not None:  # nearly every one
                needs.append(target.node)
            elif target.how in LATER:
                late.append(edge)
            elif target.node is not None:
                needs.append(target.node)
            else:
                needs.extend(target.nodes)
        node.needs, node.deferred, node.problems = tuple(needs), tuple(late), tuple(problems)
        node.kept = AS_NEEDED if plain else tuple(edges)
        if problems or node.unread:
            self.news.doubted = True
        self.expansions += 1

    def _plain_classes(self, node: Node) -> Sequence[type] | None:
        """Return what a factory takes that takes nothing but classes, by position; None where it is any less plain."""
        maker = node.maker
        function, cls = maker.function, maker.cls
        if maker.call is not (function or cls) or maker.of_list or maker.seen is not None:
            return None
        if node.owner is not None or node.binding is not None:
            return None
        if cls is not None:
            if cls is self.app or node.kind == START or hasattr(cls, "__orig_bases__"):
                return None
            function = constructor_of(cls)
            if function is None and type(cls) is type:  # it takes nothing
                return ()
        classes = plain_classes(function, 0 if cls is None else 1, cls)
        if not classes:
            return None if classes is None else ()
        registration, context = node.registration, self.context
        own = registration.key in classes or (registration.also and not set(registration.also).isdisjoint(classes))
        return None if own or (context and not context.keys().isdisjoint(classes)) else classes

    def _plain_needs(self, node: Node, classes: Sequence[type] | None) -> list[Node] | None:
        """Return the nodes that serve *classes*, what *node* takes by position; None where one of them is any less plain."""
        if classes is None:
            return None
        needs: list[Node] = []
        for key in classes:
            try:
                found = self.find(node.view, key)
            except Ambiguous:
                return None
            if type(found) is not Node or found is node:
                return None
            needs.append(found)
        return needs

    def _parameters(self, node: Node) -> tuple[Parameter, ...]:
        if self.given and node.maker.cls is self.app:
            return ()
        found = node.maker.parameters(method=node.owner is not None, owner=node.owner)
        cls = node.maker.cls
        # A class that closes a generic base (`class Users(Repo[User])`) binds the variables of an inherited constructor.
        if node.binding is None and (cls is None or not hasattr(cls, "__orig_bases__")):
            return found
        from .bindings import bound_parameters  # lazy import

        return bound_parameters(found, node.binding or {}, cls)

    def _target(self, node: Node, parameter: Parameter, problems: list[Problem]) -> Target:
        """Return what fills a parameter; rule 5 of the design, in its order."""
        ask = parameter.ask
        if ask is not None and ask.kind == "value" and len(ask.keys) == 1:
            # Nearly every parameter: one key, served by one node, and not the node's own.
            key = ask.keys[0]
            found = self._found.get(node.view, _NONE).get(key)
            own = key in node.registration.keys or (node.binding is not None and open_key_of(key) is not None)
            if type(found) is Node and found is not node and key not in self.context and not own:
                return found.target
        default = MISSING if parameter.default is INJECTED else parameter.default
        if ask is None:
            problems.extend(default_of_others(node, parameter))
            if default is not MISSING and parameter.unreadable and not parameter.marked:
                _note_unread(node, parameter)
            elif default is MISSING or parameter.marked:
                why = f"the annotation of {node.name}.{parameter.name} cannot be read: {parameter.unreadable}"
                problems.append(Problem("plain", node.key, parameter.name, why))
                return Target(ARGUMENT, value=parameter.name)
            return Target(CONSTANT if parameter.fixed else DEFAULT, value=default)
        site = Site(ask, node.view, parameter.name, None, node)
        try:
            target = self.serve(site)
            context = target.node is not None and target.node.kind == CONTEXT and target.how in (NODE, MAYBE)
            if context and default is not MISSING and default is not OMITTED and ask.fallback is MISSING:
                return Target(MAYBE, node=target.node, value=default)
            return target
        except Absent as met:
            if default is not MISSING:
                if isinstance(default, Attribute):
                    self._refuse_field(node, parameter.name, problems)
                problems.extend(default_of_others(node, parameter))
                if parameter.unreadable:  # and no class is called so
                    _note_unread(node, parameter)
                return Target(DEFAULT, value=default)
            if ask.optional or (ask.inner is not None and ask.inner.optional):
                return Target(DEFAULT, value=None)
            own = any(self._shadower(site, key) is not None for key in (ask.inner or ask).keys)
            unread = f"its annotation cannot be read: {parameter.unreadable}" if parameter.unreadable else ""
            hint = str(met) or unread or self.hint_for(ask.key)
            problems.append(Problem("circular" if own else "argument", ask.key, parameter.name, hint))
        except Ambiguous as met:
            problems.append(ambiguity(met.registration, parameter.name))
        except Several:
            problems.append(Problem("missing", ask.key, parameter.name, several_hint(ask.key), close=False))
        return Target(ARGUMENT, value=parameter.name)

    @staticmethod
    def _refuse_field(node: Node, name: str, problems: list[Problem]) -> None:
        """Tell that a constructor takes a descriptor: what makes fields of annotations (attrs, msgspec) has made one of it."""
        cls = node.maker.cls
        if cls is not None and "__dataclass_fields__" not in cls.__dict__:  # of these the check tells
            why = (
                f"{name_of(cls)}.{name} is a dependency, but it was made a field; write ClassVar: "
                f"{name}: ClassVar[AsyncDependencyDescriptor[...]]"
            )
            problems.append(Problem("plain", node.key, name, why))

    def _attribute(self, node: Node, cls: type, name: str, attribute: Any, late: list[Edge], problems: list[Problem]) -> None:
        try:
            ask = attribute.ask_in(cls)
        except Exception as error:  # the text of an annotation may raise anything
            problems.append(Problem("plain", node.key, name, f"{node.name}.{name} cannot be read: {error}"))
            return
        site = Site(ask, self.view_of(cls), name, attribute.place, node)
        try:
            target = self.serve(site)
        except Absent as met:
            if not ask.optional:
                problems.append(Problem("missing", ask.key, name, str(met) or self.hint_for(ask.key)))
            return
        except Ambiguous as met:
            problems.append(ambiguity(met.registration, name))
            return
        except Several:
            problems.append(Problem("missing", ask.key, name, several_hint(ask.key), close=False))
            return
        late.append(Edge(name, KEYWORD, target))

    def serve(self, site: Site) -> Target:
        """
        Return what serves *site*.

        Raises:
            Absent: Nothing does.
            Ambiguous: Two modules register it.
            Several: It is a multi key, asked for plainly.
        """
        ask = site.ask
        if ask.kind == "lazy":
            assert ask.inner is not None
            served, inner = self._serve_later(site.asking(ask.inner))
            return Target(DEFERRED, nodes=served.each(), site=inner)
        if ask.kind == "all":
            if is_a(ask.keys[0], typing.TypeVar):
                raise Absent("All says of what: All[Settings]")
            if quoted_in(plain_of(ask.keys[0])):
                raise Absent(self.hint_for(ask.keys[0]))
            found = self.find(site.view, ask.keys[0], self._shadower(site, ask.keys[0]))
            return Target(LIST, nodes=found if isinstance(found, tuple) else () if found is None else (found,))
        if ask.kind == "named":
            return self._named_members(site)
        if ask.kind == "attribute":
            return self.serve(self._as_attribute(site))
        if ask.kind == "member":
            key, name = ask.keys
            for node in self._members(site, key):
                if node.registration.named == (name,):
                    return node.target
            raise Absent(f"no {name_of(key)} goes by {name_of(name)} here")
        if ask.kind == "factory":
            assert ask.inner is not None
            served, _ = self._serve_later(site.asking(ask.inner))
            if served.node is not None and (is_given(served.node) or served.node.kind in (CONTAINER, SCOPE)):
                raise Absent(f"a Factory calls what makes a value, and {served.node.name} is made by nothing that was registered")
            if served.node is not None:
                served.node.asked_with_arguments = True
                if served.node.constructed is not None:
                    served.node.constructed.asked_with_arguments = True
                return Target(MAKE, node=served.node)
            raise Absent("a Factory makes one value of one key")
        for key in ask.keys:
            if not is_hashable(key):
                continue
            found = self.find(site.view, key, self._shadower(site, key))
            if isinstance(found, Node) and found is site.user and key not in found.registration.keys and found.binding is None:
                # It stands in the place of what has this key, too, and asks for that.
                found = self.find(site.view, key, found)
            if found is None:
                continue
            if isinstance(found, tuple):
                if ask.listed is None:
                    raise Several
                return Target(LIST, nodes=found) if ask.listed is list else collected(ask, found)
            if key in self.context:
                found = self._of_level(key, found, site)
            if found.kind == CONTEXT and (ask.optional or ask.fallback is not MISSING):
                return Target(MAYBE, node=found, value=None if ask.fallback is MISSING else ask.fallback)
            return found.target
        if ask.fallback is not MISSING:
            return Target(CONSTANT, value=ask.fallback)
        raise Absent

    def _as_attribute(self, site: Site) -> Site:
        """Return the site of what a service's descriptor, given as a token, asks for: looked up where that service does."""
        ask, (attribute,) = site.ask, site.ask.keys
        assert ask.inner is not None and isinstance(attribute, Attribute)
        owner = getattr(attribute, "owner", None)
        view = None if owner is None else self.view_of(owner)
        inner = ask.inner.but(optional=ask.optional or ask.inner.optional)
        if ask.fallback is not MISSING:
            inner = inner.but(fallback=ask.fallback)
        # Who asks from elsewhere shadows nothing there.
        user = site.user if view is None or (site.user is not None and site.user.view is view) else None
        return Site(inner, view, site.name, site.place, user, site.level)

    def _members(self, site: Site, key: Hashable) -> tuple[Node, ...]:
        found = self.find(site.view, key, self._shadower(site, key))
        members = found if isinstance(found, tuple) else ()
        for node in members:
            if node.registration.rivals:
                raise Ambiguous(node.registration)
        return members

    def _named_members(self, site: Site) -> Target:
        """Return what serves a named collection: a handle that leads to all that have names, late."""
        assert site.ask.inner is not None
        for key in site.ask.inner.keys:
            nodes = tuple([node for node in self._members(site, key) if node.registration.named])
            asked = site.asking(site.ask)
            for node in nodes:
                (name,) = node.registration.named
                one = f"{site.name}[{name!r}]" if site.name else ""
                asked.members[name] = Site(Ask("member", (key, name), about=key), site.view, one, site.place, site.user, site.level)
            if nodes or self.find(site.view, key, self._shadower(site, key)) == ():  # an override has said that there are none
                return Target(DEFERRED, nodes=nodes, site=asked)
        if site.ask.optional:
            raise Absent
        raise Absent(nameless(site.ask.inner.key))

    def _of_level(self, key: Hashable, found: Node, site: Site) -> Node:
        """Return what gives a context value to who asks at *site*: of several levels, the nearest around it has its own."""
        levels = self.context_levels[key]
        if len(levels) == 1 or found is not self.from_context(key, levels[-1]):
            return found
        level = site.level
        if level is None and site.user is not None and site.user.level < TRANSIENT_LEVEL:
            level = site.user.level
        around = [one for one in levels if level is not None and one <= level]
        return self.from_context(key, around[-1]) if around else found

    def _serve_later(self, site: Site) -> tuple[Target, Site]:
        """Return what serves a handle's site, and the site as it is: where the asker shadows nothing, it may mean itself."""
        try:
            return self.serve_or_default(site), site
        except Absent:
            if self._shadower(site, site.ask.key) is None:
                raise
        site = Site(site.ask, site.view, site.name, site.place, level=site.level)
        return self.serve_or_default(site), site

    def serve_or_default(self, site: Site) -> Target:
        """Return what serves *site*, None as a constant where nothing does and None is allowed."""
        try:
            return self.serve(site)
        except Absent:
            if site.ask.optional:
                return Target(CONSTANT, value=None)
            raise

    def _shadower(self, site: Site, key: Hashable) -> Node | None:
        user = site.user
        if user is None or user.rank < 0:
            return None
        if key in user.registration.keys:
            return None if user.binding is not None and is_open(key) else user
        if user.binding is None or open_key_of(key) is None:
            return None
        # An open generic asks for its own key as it is bound: Box[int], whoever stands in front of it.
        own = self.binding_within(user.registration, key)
        served = own is not None and own.items() <= user.binding.items()
        return user if served or self.find(site.view, key) is user else None

    def owns(self, node: Node) -> bool:
        """Tell whether *node* stands here, and not in a graph below."""
        return True

    def graph_of(self, node: Node) -> Graph:
        """Return the graph that *node* stands in."""
        return self

    # --- who uses what ---

    def expanded_nodes(self) -> list[Node]:
        """Return the nodes whose edges are known."""
        return [node for node in (*self.nodes.values(), *self.context_nodes.values()) if node.kept is not None]

    def known(self) -> int:
        """Return a number that grows when more edges are known."""
        return self.expansions

    def users(self) -> dict[Node, list[Node]]:
        """Return who uses what, as far as edges are known; the service that a factory method gets does not count."""
        count = self.known()
        if self._users is None or self._users[0] != count:
            self._users = (count, users_of(self.expanded_nodes()))
        return self._users[1]

    def by_key(self) -> dict[Hashable, list[Node]]:
        """Return the nodes whose edges are known, by each of their keys, and by those of which a lower layer says the same."""
        count = self.known()
        if self._by_key is None or self._by_key[0] != count:
            found: dict[Hashable, list[Node]] = {}
            more: dict[Hashable, dict[Hashable, None]] = {}
            for entry in [entry for layer in self.layers for entry in snapshot(layer.entries.values())]:
                if isinstance(entry, Registration) and entry.also:
                    more.setdefault(entry.key, {}).update(dict.fromkeys(entry.also))
            for node in self.expanded_nodes():
                registration = node.registration
                for key in dict.fromkeys((*registration.keys, *more.get(registration.key, ()))):
                    found.setdefault(key, []).append(node)
            self._by_key = (count, found)
        return self._by_key[1]

    # --- words for errors ---------------------------------------------------------------------------

    def hint_for(self, key: Hashable) -> str:
        """Return a sentence about why nothing provides *key*, where there is more to say than near misses."""
        from .missing import hint_for  # lazy import

        return hint_for(self, key)

    def names_near(self, key: Hashable) -> tuple[str, ...]:
        """Return registered keys that *key* may have been meant for."""
        registered = (other for layer in self.layers for other in snapshot(layer.entries))
        names = {name_of(other) for other in (*registered, *self.context)}
        return close_to(name_of(key), names - {name_of(key)})

    def declared_registrations(self) -> Iterator[tuple[Registration, int]]:
        """Give what the application itself declares: all layers above the shared one, or that one where it is all."""
        count = len(self.layers)
        for position, registry in enumerate(self.layers):
            if registry is self.shared and count > 1:
                continue
            for registration in registry.all():
                yield registration, count - position - 1

    def listed(self) -> Iterator[tuple[Any, Site, Registry]]:
        """Give what the provider lists of the application name as asked for from outside, and the layer that says so."""
        for registry in self.layers:
            for token, place in snapshot(registry.listed.items()):
                yield token, Site(ask_for(token), None, "providers", place), registry

    def site_of(self, token: Any) -> Site:
        """Return the site of a call of ``get(token)``."""
        return Site(ask_for(token), None, "", None)


def users_of(nodes: Iterable[Node]) -> dict[Node, list[Node]]:
    """Return who uses what; the service that a factory method gets does not count."""
    users: dict[Node, list[Node]] = {}
    for node in nodes:
        for edges in (node.edges, node.deferred):
            for edge in edges:
                if node.owner is not None and edge.name == "self" and edge is (node.edges or (None,))[0]:
                    continue
                for other in edge.target.each():
                    users.setdefault(other, []).append(node)
    return users
