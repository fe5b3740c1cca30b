"""What does a diagram show of a graph, and what changed between two?"""

import json
import random
import re
import time

import pytest
from helpers import fresh_app

from asyncmeta import (
    AsyncDependencyDescriptor,
    AsyncServiceBase,
    Container,
    Factory,
    Lazy,
    Scope,
    inject_dependency,
)
from asyncmeta.diagrams import changes, diagram
from asyncmeta.diagrams.layout import HEIGHT, WIDTH, lay_out
from asyncmeta.testing import registrations


def picture(app, **how):
    return diagram(Container(app, check=False), **how)


def item(shown, name):
    (found,) = [one for one in shown.items if one.name == name]
    return found


# --- facts ------------------------------------------------------------------------------------------


def test_each_node_has_its_facts():
    """
    A node tells its lifetime, kind, factory, place, layer, options, dependencies and dependents.
    """
    App = fresh_app()

    @inject_dependency("made", on=App, lifetime="scoped", timeout=2.5, also=["other"])
    async def make(base):
        pass

    App.register_dependency("base", lambda: 1)

    shown = picture(App)
    made, base = item(shown, '"made"'), item(shown, '"base"')

    assert (made.lifetime, made.kind, made.layer) == ("scoped", "async function", App.__qualname__)
    assert made.factory.endswith("make")
    assert made.where.endswith(f"test_diagrams.py:{make.__code__.co_firstlineno}")
    assert (made.also, made.options) == (('"other"',), ["timeout 2.5 s"])
    assert [(line.name, line.target, line.late, line.how) for line in made.lines] == [("base", base, False, "value")]
    assert base.dependents == [made]
    assert made.notes == ["nothing that is declared asks for it"]


def test_late_edges_are_marked():
    """
    What a descriptor, Lazy and Factory lead to is late; the rest is not.
    """

    class Thing:
        pass

    class App(AsyncServiceBase):
        thing = AsyncDependencyDescriptor(Thing)

        @inject_dependency("holder")
        def hold(self, lazy: Lazy[Thing], make: Factory[Thing], now: Thing):
            pass

    App.register_dependency(Thing, Thing)

    shown = picture(App)
    edges = {line.name: (line.late, line.how) for one in shown.items for line in one.lines}

    assert edges == {
        "thing": (True, "attribute"),
        "lazy": (True, "lazy"),
        "make": (True, "factory"),
        "now": (False, "value"),
        "self": (False, "value"),
    }


def test_a_service_that_starts_is_one_node():
    """
    The two halves of a service with on_startup are shown as one.
    """

    class Clock(AsyncServiceBase):
        async def on_startup(self):
            pass

    class App(AsyncServiceBase):
        clock = AsyncDependencyDescriptor(Clock)

        async def on_startup(self):
            pass

        @inject_dependency("own")
        def make_own(self):
            pass

    shown = picture(App)

    assert sorted(one.kind for one in shown.items) == ["function", "service that starts", "service that starts"]
    assert [line.target.name for line in item(shown, '"own"').lines] == [item(shown, App.__qualname__.rpartition(".")[2]).name]


def test_ids_are_unique_and_say_what_is_meant():
    """
    Registrations of one name are told apart by their factories, then by number.
    """
    App = fresh_app()

    def first():
        pass

    def second():
        pass

    for factory in (first, second, second):
        App.register_dependency("all", factory, multi=True)

    assert [one.id for one in picture(App).items[1:]] == ['"all" by first', '"all" by second', '"all" by second #2']


def test_problems_are_marked_where_they_are():
    """
    Missing, circular and captive dependencies mark their nodes, the last two their edges; a sound node has no mark.
    """
    App = fresh_app()
    App.register_dependency("request", lambda: 1, lifetime="scoped")
    App.register_dependency("between", lambda request: 1, lifetime="transient")
    App.register_dependency("keeper", lambda between: 1)
    App.register_dependency("left", lambda right: 1)
    App.register_dependency("right", lambda left: 1)
    App.register_dependency("lost", lambda nowhere: 1)
    App.register_dependency("sound", lambda: 1)

    shown = picture(App)
    marked = {one.name: one.problems for one in shown.items if one.problems}
    edges = {(one.name, line.name): (line.captive, line.circular) for one in shown.items for line in one.lines}

    assert set(marked) == {'"keeper"', '"left"', '"right"', '"lost"'}
    assert "beyond its life" in marked['"keeper"'][0]
    assert "nothing provides" in marked['"lost"'][0]
    assert edges == {
        ('"between"', "request"): (False, False),
        ('"keeper"', "between"): (True, False),
        ('"left"', "right"): (False, True),
        ('"right"', "left"): (False, True),
    }
    assert len(shown.problems) == 3


def test_a_factory_handle_keeps_only_what_it_takes():
    """
    A Factory of a scoped value is captive only by what that value needs.
    """

    class Scoped:
        pass

    App = fresh_app()
    App.register_dependency(Scoped, Scoped, lifetime="scoped")

    @inject_dependency("holder", on=App)
    def hold(make: Factory[Scoped]):
        pass

    Container(App).check()

    assert not any(line.captive for one in picture(App).items for line in one.lines)


def test_the_whole_shared_layer_is_shown_on_request():
    """
    What the application does not reach is shown with whole=True only, with its problems.
    """
    key = object()

    def orphan(missing_thing_of_the_orphan):
        pass

    App = fresh_app()
    without = len(picture(App).items)
    Base = fresh_app()
    Base.register_dependency(key, orphan)
    shared = Container(Base, check=False)._graph

    assert without == 1
    assert len(diagram(shared, whole=True).items) >= len(diagram(shared).items) == 2


def test_search_finds_by_every_fact():
    """
    The search looks at name, other keys, lifetime, factory and place, whatever the case.
    """
    App = fresh_app()

    def make_thing():
        pass

    App.register_dependency("thing", make_thing, lifetime="scoped", also=["alias"])
    shown = picture(App)

    for text in ("THING", "alias", "Scoped", "make_th", "test_diagrams.py"):
        assert item(shown, '"thing"') in shown.search(text)
    assert shown.search("nothing of that kind") == []


def test_nothing_is_built_or_changed():
    """
    Showing a graph calls no factory and leaves the container as it was.
    """
    called = []
    App = fresh_app()
    App.register_dependency("thing", lambda: called.append(1))
    container = Container(App)

    shown = diagram(container)
    for form in (shown.to_text, shown.to_mermaid, shown.to_dot, shown.to_json, shown.to_html):
        form()

    assert called == []
    assert repr(container).startswith("<open")


# --- escaping -----------------------------------------------------------------------------------------

HOSTILE = '</script><img src=x onerror=alert(1)>"\\\n-->|x| %% \u2028\u202e\x1b]0;'


def hostile_app():
    App = fresh_app()
    App.register_dependency(HOSTILE, lambda: 1)
    cls = type("</title><b>\nX", (), {})
    App.register_dependency(cls, cls)
    App.register_dependency("user", lambda thing: 1)
    App.register_dependency("thing", lambda: 1)
    user = type(f"S{HOSTILE}", (AsyncServiceBase,), {"a</script>\n": AsyncDependencyDescriptor(HOSTILE)})
    App.register_dependency("service", user)
    return App


@pytest.mark.parametrize("form", ["to_text", "to_mermaid", "to_dot", "to_json", "to_html"])
def test_a_hostile_name_stays_text(form):
    """
    A name full of markup, quotes and control characters opens and ends nothing in any form.
    """
    text = getattr(picture(hostile_app()), form)()

    assert all(line.isprintable() for line in text.split("\n"))
    if form == "to_html":
        assert text.count("</script>") == 2
        assert text.count("</title>") == text.count("<title>")
        assert re.search(r"<(img|b)\b", text) is None
    if form == "to_mermaid":
        for line in text.splitlines():
            assert line.count('"') in (0, 2)
    if form == "to_dot":
        for line in text.splitlines():
            assert len(re.findall(r'(?<!\\)(?:\\\\)*"', line)) % 2 == 0
    if form == "to_json":
        json.loads(text)


def test_the_script_of_the_page_is_the_one_that_is_allowed():
    """
    The policy of the page names the digest of its script, so that nothing else can run.
    """
    import base64
    import hashlib

    text = picture(fresh_app()).to_html()
    script = text.rpartition("<script>")[2].partition("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()

    assert f"script-src 'sha256-{digest}'" in text
    assert "default-src 'none'" in text


def test_no_value_is_shown():
    """
    A secret registered in every way is in no form of the diagram.
    """
    secret = "hunter2-never"
    App = fresh_app(providers=[{"provide": "provided", "value": secret}])
    App.register_value("registered", secret)
    App.register_dependency("closed over", lambda: secret)
    App.register_dependency("default", lambda thing=secret: 1)
    App.register_dependency("user", lambda registered, provided: 1)
    shown = picture(App)

    with Container(App).overlay({"default": secret}) as overlaid:
        over = diagram(overlaid)

    for one in (shown, over):
        for form in (one.to_text, one.to_mermaid, one.to_dot, one.to_json, one.to_html):
            assert secret not in form()


# --- layout -------------------------------------------------------------------------------------------


def many(count, seed=7):
    """Return the edges of a graph like those of real applications: few levels, some things that all use."""
    choose = random.Random(seed)
    edges = []
    for user in range(count):
        for _ in range(choose.choice([0, 1, 2, 3, 4])):
            used = choose.choice([choose.randrange(count), count - 1 - choose.randrange(5)])
            edges.append((user, used, choose.random() < 0.3))
    return edges


def overlaps(drawing):
    places = drawing.places
    by_column = {}
    for x, y in places:
        by_column.setdefault(x, []).append(y)
    return [
        (x, first)
        for x, heights in by_column.items()
        for first, second in zip(sorted(heights), sorted(heights)[1:], strict=False)
        if second - first < HEIGHT
    ]


@pytest.mark.parametrize("count", [0, 1, 2, 30, 500])
def test_no_node_stands_on_another(count):
    """
    Nodes have room for themselves and stand inside of the drawing, circles or not.
    """
    edges = many(count) if count > 1 else []
    drawing = lay_out(count, edges)

    assert overlaps(drawing) == []
    assert len(drawing.lines) == len(edges)
    assert all(0 <= x <= drawing.width - WIDTH and 0 <= y <= drawing.height - HEIGHT for x, y in drawing.places)


def test_users_stand_left_of_what_they_use():
    """
    Where there is no circle every edge leads to the right.
    """
    edges = [(user, used, late) for user, used, late in many(200) if user < used]
    places = lay_out(200, edges).places

    assert [1 for user, used, _ in edges if places[user][0] >= places[used][0]] == []


def test_lines_begin_and_end_at_their_nodes():
    """
    A line leaves its user's side and ends at the side of what is used.
    """
    drawing = lay_out(4, [(0, 1, False), (1, 2, False), (0, 2, True), (2, 3, False), (0, 3, False), (3, 3, True)])
    for (user, used), points in zip([(0, 1), (1, 2), (0, 2), (2, 3), (0, 3)], drawing.lines, strict=False):
        (x, y), (to_x, to_y) = drawing.places[user], drawing.places[used]
        assert points[0] == (x + WIDTH, y + HEIGHT / 2)
        assert points[-1] == (to_x, to_y + HEIGHT / 2)


def test_a_deep_chain_and_a_wide_fan_are_drawn():
    """
    Depth costs no recursion, and a fan of hundreds is folded into columns of bounded height.
    """
    chain = lay_out(3000, [(one, one + 1, False) for one in range(2999)])
    fan = lay_out(500, [(0, one, False) for one in range(1, 500)])

    assert chain.height < 300
    assert fan.height < 5000


def test_five_hundred_nodes_are_quick():
    """
    A page of 500 nodes takes no longer than a reader would wait for it.
    """
    App = fresh_app()
    edges = many(500)
    for number in range(500):
        needs = sorted({used for user, used, _ in edges if user == number and used > number})
        source = f"lambda {', '.join(f's{used}' for used in needs)}: 1"
        App.register_dependency(f"s{number}", eval(source), lifetime="scoped" if number < 250 else "singleton")

    began = time.perf_counter()
    text = picture(App).to_html()
    took = time.perf_counter() - began

    assert text.count('role="button"') == 501
    assert took < 5  # a tenth of a second here; a bound for something quadratic


def test_a_deep_chain_is_written_down():
    """
    Depth costs no recursion in any form, and a deep branch of the tree is drawn as a tree of its own.
    """
    App = fresh_app()
    for number in range(1500):
        App.register_dependency(f"s{number}", eval(f"lambda s{number + 1}: 1") if number < 1499 else lambda: 1)
    shown = picture(App)

    text = shown.to_text()
    for form in (shown.to_mermaid, shown.to_dot, shown.to_json, shown.to_html):
        form()

    assert "(below)" in text
    assert max(map(len, text.splitlines())) < 300
    assert '"s1499"' in text


# --- changes ------------------------------------------------------------------------------------------


def graph(**registrations):
    """Return the JSON of an application with these registrations: name=(lifetime, needs)."""
    App = fresh_app()
    for name, (lifetime, needs) in registrations.items():
        App.register_dependency(name, eval(f"lambda {needs}: 1"), lifetime=lifetime)
    return picture(App).to_json()


def test_equal_graphs_have_no_difference():
    """
    A graph differs in nothing from itself, wherever its lines are written.
    """
    one, other = graph(a=("scoped", "b"), b=("singleton", "")), graph(a=("scoped", "b"), b=("singleton", ""))

    assert changes(one, re.sub(r"\.py:\d+", ".py:1", other)) == []


def test_what_is_dangerous_comes_first():
    """
    A new captive edge, a changed lifetime and a new dependency are told, in this order.
    """
    before = graph(keeper=("singleton", ""), short=("scoped", ""), turned=("scoped", ""), user=("scoped", ""))
    after = graph(keeper=("singleton", "short"), short=("scoped", ""), turned=("singleton", ""), user=("scoped", "turned"))

    found = [(change.kind, change.text) for change in changes(before, after)]

    assert found == [
        ("new captive edge", '"keeper".short keeps "short" beyond its life'),
        ("changed lifetime", '"turned" was scoped and is singleton'),
        ("new dependency", '"keeper".short -> "short"'),
        ("new dependency", '"user".turned -> "turned"'),
    ]


def test_a_lifetime_that_makes_an_edge_captive_is_told():
    """
    An edge that was there and has become captive is a new captive edge.
    """
    before = graph(keeper=("singleton", "short"), short=("singleton", ""))
    after = graph(keeper=("singleton", "short"), short=("scoped", ""))

    assert [change.kind for change in changes(before, after)] == ["new captive edge", "changed lifetime"]
    assert [change.kind for change in changes(after, before)] == ["changed lifetime"]


def test_nodes_come_and_go():
    """
    New and dropped nodes and dependencies are told by name.
    """
    before = graph(old=("scoped", ""), user=("scoped", "old"))
    after = graph(new=("transient", ""), user=("scoped", "new"))

    assert [(change.kind, change.text) for change in changes(before, after)] == [
        ("new node", '"new", transient'),
        ("new dependency", '"user".new -> "new"'),
        ("dropped dependency", '"user".old -> "old"'),
        ("dropped node", '"old"'),
    ]


@pytest.mark.parametrize(
    "text",
    ["", "no", "[]", "{}", '{"format": 2, "nodes": []}', '{"format": 1, "nodes": 3}', '{"format": 1, "nodes": [{"id": 1}]}', "null",
     '{"format": 1, "nodes": [{"id": "a", "lifetime": "x", "where": "", "dependencies": [{"name": "b"}]}]}'],
)  # fmt: skip
def test_what_is_no_graph_is_refused(text):
    """
    Anything but a graph of this format is a ValueError that says so.
    """
    with pytest.raises(ValueError, match=r"this is no|cannot be compared"):
        changes(text, graph(a=("scoped", "")))


# --- what is rarely drawn ------------------------------------------------------------------------------


class Report:
    def __init__(self, title: int):
        self.title = title


def test_what_takes_arguments_is_noted():
    """
    A value that only a Factory can make has a note, where nothing asks for it so.
    """
    App = fresh_app(providers=[Report])

    assert item(picture(App), "Report").notes == ["title is an argument: only a Factory can make it"]


def test_a_container_and_a_scope_are_drawn_as_such():
    """
    What asks for its container or scope shows that.
    """
    App = fresh_app()
    App.register_dependency("holds", holds, lifetime="scoped")

    kinds = {one.name: one.kind for one in picture(App, whole=True).items}

    assert kinds["Container"] == "container"
    assert kinds["Scope"] == "scope"


def holds(container: Container, scope: Scope):
    return container, scope


def test_many_of_one_name_are_numbered():
    """
    Members that the same function makes are told apart by numbers.
    """

    def make():
        return 1

    App = fresh_app()
    for _ in range(4):
        App.register_dependency("thing", make, multi=True)

    names = [one.id for one in picture(App, whole=True).items]

    assert len({*names}) == len(names)
    assert any(name.endswith("#3") for name in names)


def test_a_dependency_that_was_late_is_new():
    """
    What waited to be asked for and is now needed at once is a change.
    """

    def late(thing: Lazy[Database]): ...

    def at_once(thing: Database): ...

    shown = []
    for function in (late, at_once):
        function.__name__ = function.__qualname__ = "user"
        App = fresh_app(providers=[Database])
        App.register_dependency("user", function)
        shown.append(picture(App, whole=True).to_json())

    (change,) = [one for one in changes(*shown) if one.kind == "new dependency"]
    assert "(was late)" in change.text


class Database:
    pass


def test_rivals_are_told_in_the_whole_picture():
    """
    In the picture of everything a key that two modules register is a problem.
    """
    App = fresh_app()
    for number in range(2):
        names = {"__name__": f"module{number}", "App": App, "inject_dependency": inject_dependency}
        exec("def make(): return 1\ninject_dependency('thing', on=App)(make)", names)

    shown = picture(App, whole=True)

    assert any("thing" in str(problem) for problem in shown.problems)


def test_rivals_of_the_shared_layer_are_told_in_the_whole_picture():
    """
    What nothing asks for is looked at there, too.
    """
    with registrations():
        for number in range(2):
            names = {"__name__": f"module{number}", "inject_dependency": inject_dependency}
            exec("def make(): return 1\ninject_dependency('a thing of two modules')(make)", names)

        shown = diagram(Container(check=False), whole=True)

    assert any("a thing of two modules" in str(problem) for problem in shown.problems)


def test_a_picture_without_an_application_is_a_tree():
    """
    The shared layer has no application that could stand on top.
    """
    with registrations():
        inject_dependency("a thing without an application")(lambda: 1)

        assert "a thing without an application" in diagram(Container(check=False), whole=True).to_text()
