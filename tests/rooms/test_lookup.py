"""`_solve.lookup`: which registration serves a key."""

from typing import Annotated, Generic, TypeVar

import pytest

from asyncmeta._solve.nodes import CONTEXT, Ambiguous

from .by_hand import CONTAINER, SCOPED, App, entry, graph, layer, value

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
    solved = graph(layer(high), layer(entry(Database, Database, also=("db",))))

    assert found(solved, "db") is high


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
