"""What has a copy in the graph of a child, and how does that stand to its neighbours?"""

from asyncmeta import All, Factory, Lazy
from asyncmeta._declare.keys import ask_for
from asyncmeta._solve.inherited import InheritedGraph
from asyncmeta._solve.nodes import Site

from .by_hand import App, entry, graph, layer


class Later:
    pass


class Made:
    pass


class First:
    pass


class Asker:
    def __init__(self, later: Lazy[Later], made: Factory[Made], first: First) -> None:
        pass


def test_what_a_copy_fetches_later_need_not_be_there_first():
    """
    A copy needs first what its original needs first, and fetches the rest when it is used.
    """
    parent = graph(layer(*(entry(key, key, "scoped") for key in (Later, Made, First, Asker))))
    child = InheritedGraph(layer(), parent, app=App, up=entry("up", object))
    nodes = [each.serve(Site(ask_for(Asker), None, "asker", None, None, 1)).node for each in (parent, child)]
    for each, node in zip((parent, child), nodes, strict=True):
        each.expand(node)

    assert nodes[0] is not nodes[1]
    assert [[other.key for other in node.needs] for node in nodes] == [[First], [First]]
    assert [[edge.name for edge in node.deferred] for node in nodes] == [["later", "made"], ["later", "made"]]


def test_a_copy_asks_where_its_original_does():
    """
    What a copy asks for is what its original asks for: of their own keys, what lies below; of a list, the parent's.
    """
    below = entry(First, First, "scoped")
    parent = graph(layer(entry(First, Later, "scoped")), layer(below))
    child = InheritedGraph(layer(), parent, app=App, up=entry("up", object))
    copy = child.serve(Site(ask_for(First), None, "", None, None, 1)).node

    shadowed, nothing = (child.serve(Site(ask_for(form), None, "asked", None, copy, 1)) for form in (First, All[Made]))

    assert copy is not parent.find(None, First)
    assert shadowed.node.registration is below
    assert child.owns(shadowed.node)
    assert (nothing.how, nothing.each()) == ("list", ())


def test_what_lives_with_the_parent_asks_there():
    """
    What a value of the parent's container asks for comes from the parent, whatever the child registers.
    """
    theirs = entry(First, First)
    parent = graph(layer(entry(Asker, Later), theirs))
    child = InheritedGraph(layer(entry(First, Made)), parent, app=App, up=entry("up", object))
    user = child.find(None, Asker)

    assert child.serve(Site(ask_for(First), None, "asked", None, user)).node.registration is theirs
    assert child.find(None, First).registration is not theirs


def test_a_copy_of_what_stands_for_a_context_value_has_its_slot():
    """
    A scope of the child's that was given the value has it, so the factory in its place has nothing to build there.
    """
    parent = graph(layer(entry(First, First, "scoped"), context=(First,)))
    child = InheritedGraph(layer(), parent, app=App, up=entry("up", object))

    node = child.find(None, First)

    assert child.owns(node)
    assert node.slot == child.context_nodes[First, 1].slot
