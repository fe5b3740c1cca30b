"""`_solve.lookup`: which registration serves a key."""

import abc
from typing import Annotated, Generic, TypeVar

import pytest

from asyncmeta import AsyncServiceBase, inject_dependency
from asyncmeta._declare.keys import ByName
from asyncmeta._declare.makers import SYNC
from asyncmeta._solve.generics import DEEPEST
from asyncmeta._solve.news import changes
from asyncmeta._solve.nodes import CONTAINER as OF_CONTAINER, CONTEXT, SCOPE, START, Ambiguous

from .by_hand import CONTAINER, SCOPED, App, entry, graph, graph_of, layer, value

T = TypeVar("T")


class Database: ...


class Cache: ...


class Request: ...


class Repo(Generic[T]): ...


def found(solved, key, **more):
    """Return the registration, or the list of them, that serves *key* for the application."""
    node = solved.find(None, key, **more)
    return [one.registration for one in node] if isinstance(node, tuple) else node and node.registration


def test_a_higher_layer_shadows_a_lower_one():
    """
    Of two layers that register a key, the higher one's registration serves it.
    """
    high, low = entry(Database, Database), entry(Database, Database)

    assert found(graph(layer(high), layer(low)), Database) is high


def test_what_a_higher_layer_does_not_register_comes_from_a_lower_one():
    """
    Look-up goes down to the lowest layer, the shared one.
    """
    low = entry(Database, Database)

    assert found(graph(layer(entry(Cache, Cache)), layer(), layer(low)), Database) is low


def test_nothing_serves_a_key_that_nobody_registers():
    """
    Not even a registered class of which it is a base.
    """

    class Postgres(Database): ...

    assert found(graph(layer(entry(Postgres, Postgres))), Database) is None


def test_one_registration_is_one_node():
    """
    Asked twice, and by either of its keys, a registration is the same node: it is built once.
    """
    solved = graph(layer(entry(Database, Database, also=("db",))))

    assert solved.find(None, Database) is solved.find(None, "db") is solved.find(None, Database)


def test_one_more_key_means_what_serves_the_first():
    """
    A higher layer that shadows the first key of a value is meant by its other keys, too.
    """
    high = entry(Database, Database)
    low = entry(Database, Database, also=("db",))
    solved = graph(layer(), layer(high), layer(), layer(low))

    assert found(solved, "db") is high
    assert found(solved, Database, shadowed_by=solved.find(None, "db")) is low


def test_a_registration_that_asks_for_its_own_key_gets_the_one_that_it_shadows():
    """
    As ``super()`` does: below the asking node's own layer.
    """
    high, middle, low = (entry(Database, Database) for _ in range(3))
    solved = graph(layer(high), layer(middle), layer(low))
    first = solved.find(None, Database)
    second = solved.find(None, Database, first)

    assert (first.registration, second.registration) == (high, middle)
    assert found(solved, Database, shadowed_by=second) is low


def test_the_lowest_shadows_nothing():
    """
    A registration of the shared layer that asks for its own key gets nothing.
    """
    solved = graph(layer(entry(Database, Database)))

    assert solved.find(None, Database, solved.find(None, Database)) is None


def test_values_of_a_multi_key_add_up_from_the_lowest_layer():
    """
    All layers count, the shared one's first, and in each the order of writing.
    """
    shared, first, second = (entry("plugins", Cache, multi=True) for _ in range(3))

    assert found(graph(layer(first, second), layer(shared)), "plugins") == [shared, first, second]


def test_two_modules_that_register_one_key_are_met_as_rivals():
    """
    Neither serves it: whoever reaches the key is told.
    """
    one, other = entry(Database, Database, module=__name__), entry(Database, App, module=App.__module__)
    solved = graph(layer(one, other))

    with pytest.raises(Ambiguous) as met:
        solved.find(None, Database)

    assert {met.value.registration, *met.value.registration.rivals} == {one, other}


def test_a_context_key_is_served_by_the_scope():
    """
    A declared context key is a value of its level, with a slot from the start.
    """
    solved = graph(layer(context=(Request,)))
    node = solved.find(None, Request)

    assert (node.kind, node.level, node.slot) == (CONTEXT, SCOPED, 0)
    assert solved.slots == [0, 1]


def test_a_factory_for_a_context_key_has_the_slot_of_the_value():
    """
    What a scope was given is found built already, and the factory makes it where nothing was given.
    """
    solved = graph(layer(entry(Request, Request, "scoped"), context=(Request,)))
    node = solved.find(None, Request)

    assert node.kind != CONTEXT
    assert node.slot == solved.context_nodes[Request, SCOPED].slot


def test_scoped_values_have_slots_and_others_have_none():
    """
    Each scoped value of a level has a place of its own among the values of a scope.
    """
    solved = graph(
        layer(entry("a", Cache, "scoped"), entry("b", Cache, "scoped"), entry("c", Cache), entry("d", Cache, "transient"))
    )
    nodes = [solved.find(None, key) for key in "abcd"]

    assert [node.slot for node in nodes] == [0, 1, -1, -1]
    assert nodes[2].level == CONTAINER


def test_an_open_generic_serves_a_closed_one():
    """
    The registration of ``Repo[T]`` is a node of its own for each argument, with what T stands for.
    """
    solved = graph(layer(entry(Repo, Repo)))
    of_int, of_str = solved.find(None, Repo[int]), solved.find(None, Repo[str])

    assert (of_int.binding, of_str.binding) == ({T: int}, {T: str})
    assert of_int is not of_str
    assert of_int is solved.find(None, Repo[int])
    assert (of_int.key, of_str.key) == (Repo[int], Repo[str])


def test_an_exact_registration_wins_over_an_open_one():
    """
    Also over an open one of a higher layer.
    """
    exact = entry(Repo[int], Repo)

    assert found(graph(layer(entry(Repo, Repo)), layer(exact)), Repo[int]) is exact


def test_a_name_tells_values_of_one_type_apart():
    """
    ``Annotated[Database, "main"]`` is a key of its own, which the plain registration does not serve.
    """
    plain, main = entry(Database, Database), entry(Annotated[Database, "main"], Database)
    solved = graph(layer(plain, main))

    assert found(solved, Database) is plain
    assert found(solved, Annotated[Database, "main"]) is main
    assert found(solved, Annotated[Database, "other"]) is None


def test_a_new_registration_is_seen():
    """
    A registry that gets another registration tells the graph, which looks up anew when it is asked to.
    """
    top, low = layer(), entry(Database, Database)
    solved = graph(top, layer(low))
    before = solved.find(None, Database)
    top.add(high := entry(Database, Database), replace=False)

    solved.refresh()

    assert found(solved, Database) is high
    assert [(key, old) for key, old, _ in solved.moved] == [(Database, before)]


def test_what_changes_nothing_that_was_asked_for_keeps_the_answers():
    """
    The first registration of a key that nobody has heard of throws away no edges.
    """
    top = layer(entry(Database, Database))
    solved = graph(top)
    node = solved.find(None, Database)
    edges = solved.expand(node)
    top.add(entry("other", Cache), replace=False)

    solved.refresh()

    assert solved.find(None, Database) is node
    assert node.edges is edges


def test_a_value_is_a_node_like_others():
    """
    A registered value serves its key, as a factory would.
    """
    solved = graph(layer(value("debug", True)))

    assert solved.find(None, "debug").maker.call is True


def test_what_lives_longer_than_a_context_value_is_handed_on():
    """
    A singleton for a context key stands behind a value of the scope, which has the slot of what is given.
    """
    solved = graph(layer(entry(Request, Request), context=(Request,)))
    node = solved.find(None, Request)

    assert (node.level, node.slot) == (SCOPED, solved.context_nodes[Request, SCOPED].slot)
    assert (solved.behind[node].registration.key, solved.behind[node].level) == (Request, CONTAINER)


def test_container_and_scope_are_served_below_everything():
    """
    Each by one node, of the level that it stands for; who registers the key is asked first.
    """
    own = entry("scope", Cache)
    solved = graph(layer(own), builtin={"container": OF_CONTAINER, "scope": SCOPE, "session": SCOPE})
    around, here = solved.find(None, "container"), solved.find(None, "session")

    assert [(one.kind, one.level) for one in (around, here)] == [(OF_CONTAINER, CONTAINER), (SCOPE, SCOPED)]
    assert solved.find(None, "container") is around
    assert found(solved, "scope") is own


def test_a_name_is_the_registered_class_that_is_called_so():
    """
    In the highest layer that has one.
    """
    high = entry(Database, Database)
    solved = graph(layer(entry(Cache, Cache)), layer(high))

    assert found(solved, ByName("Database")) is high
    assert found(solved, ByName("Request")) is None


def test_generics_are_nested_as_deep_as_somebody_would_write_them():
    """
    A generic that needs itself with an ever longer argument comes to an end.
    """
    solved = graph(layer(entry(Repo, Repo)))
    deep = int
    for _ in range(DEEPEST):
        deep = Repo[deep]

    assert found(solved, deep) is not None
    assert found(solved, Repo[deep]) is None


# --- service classes ------------------------------------------------------------------------------


def test_a_service_class_is_served_without_being_registered():
    """
    By a node of its own, whose view is itself.
    """

    class Users(AsyncServiceBase, lifetime="scoped"): ...

    class Shop(AsyncServiceBase): ...

    node = graph_of(Shop).find(None, Users)

    assert (node.maker.cls, node.lifetime, node.view) == (Users, "scoped", Users)


def test_every_class_of_the_application_is_its_instance():
    """
    However a class of its MRO is asked for, the application's own node serves it; the shared base serves nobody else.
    """

    class Base(AsyncServiceBase): ...

    class Shop(Base): ...

    solved = graph_of(Shop)

    assert solved.find(None, Base) is solved.find(None, Shop) is solved.app_node()
    assert solved.app_node().maker.cls is Shop
    assert graph_of(AsyncServiceBase).find(None, Shop) is not graph_of(AsyncServiceBase).app_node()


def test_an_abstract_service_class_serves_nothing():
    """
    It cannot be made.
    """

    class Users(AsyncServiceBase):
        @abc.abstractmethod
        def find(self): ...

    class Shop(AsyncServiceBase): ...

    assert graph_of(Shop).find(None, Users) is None


def test_a_generic_service_class_serves_its_closed_forms():
    """
    Without being registered, each with what its variables stand for.
    """

    class Table(AsyncServiceBase, Generic[T]): ...

    class Shop(AsyncServiceBase): ...

    node = graph_of(Shop).find(None, Table[int])

    assert (node.maker.cls, node.binding) == (Table, {T: int})


def test_what_a_service_class_registers_is_seen_in_its_view_only():
    """
    The application does not see it, and a subclass has a value of its own.
    """

    class Users(AsyncServiceBase):
        @inject_dependency(Cache)
        def make_cache(self):
            return Cache()

    class Admins(Users): ...

    class Shop(AsyncServiceBase): ...

    solved = graph_of(Shop)
    of_users, of_admins = solved.find(Users, Cache), solved.find(Admins, Cache)

    assert solved.find(None, Cache) is None
    assert of_users is not of_admins
    assert (of_users.owner, of_admins.owner) == (Users, Admins)


def test_a_factory_method_of_the_application_belongs_to_the_application():
    """
    Its ``self`` is the application's instance, whichever class of the MRO has written it.
    """

    class Base(AsyncServiceBase):
        @inject_dependency(Cache)
        def make_cache(self):
            return Cache()

    class Shop(Base): ...

    assert graph_of(Shop).find(None, Cache).owner is Shop


def test_a_service_that_starts_has_a_node_for_what_is_constructed():
    """
    Its instance is made by one node, and started by the one that serves it; others have one node.
    """

    class Starting(AsyncServiceBase):
        async def on_startup(self): ...

    class Plain(AsyncServiceBase): ...

    class Shop(AsyncServiceBase): ...

    solved = graph_of(Shop)
    starting, plain = solved.find(None, Starting), solved.find(None, Plain)

    assert (starting.kind, starting.constructed.kind) == (START, SYNC)
    assert (plain.kind, plain.constructed) == (SYNC, None)


def test_what_the_application_misses_is_told_and_what_a_view_misses_is_not():
    """
    A key that nothing serves any more was the application's, or that of one service class, which looks again when it asks.
    """
    node = graph(layer(entry(Cache, Cache))).find(None, Cache)

    assert list(changes({None: {Cache: node}}, lambda view, key: None)) == [(Cache, node, None)]
    assert list(changes({App: {Cache: node}}, lambda view, key: None)) == []
    assert list(changes({App: {Cache: node}}, lambda view, key: node)) == []
