"""What has a copy in the graph of a child, and how does that stand to its neighbours?"""

from asyncmeta import Factory, Lazy
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
