"""`_solve.emit` and `emit_call`: the source of a plan; what is written is run here, with names given by hand."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from types import SimpleNamespace

import pytest

from asyncmeta import All, AsyncDependencyDescriptor, AsyncServiceBase, Factory, From, Lazy
from asyncmeta._declare.marked import form_of
from asyncmeta._declare.registrations import Options
from asyncmeta._solve.emit import emit_opening, emit_root, wants_scope
from asyncmeta._solve.emit_call import Fill, emit_call, emit_cold, fits, is_held, signature_shape
from asyncmeta._solve.plan import plan_of

from .by_hand import SCOPED, entry, graph, layer

UNSET, FLIGHT, CLOSED, UNFILLED = "UNSET", "FLIGHT", "CLOSED", "UNFILLED"


class Settings: ...


class Session:
    def __init__(self, settings: Settings):
        self.settings = settings


class Users:
    def __init__(self, session: Session, again: Session):
        self.session, self.again = session, again


SHOP = (entry(Settings, Settings), entry(Session, Session, "scoped"), entry(Users, Users, "scoped"))


def planned(key, *registrations):
    """Return the plan of a root that gives *key*."""
    solved = graph(layer(*registrations))
    return plan_of(solved, solved.find(None, key).target)


def a_scope(slots, **more):
    """Return what a root sees of a scope."""
    return SimpleNamespace(
        _values=[UNSET] * slots, _finalizers=None, _in_flight=0, _waiters=None, _roots={}, _check_open=lambda: None, **more
    )


def run(source, scope, **given):
    """Run a root's source, and return what it gives."""
    undone = []
    names = {
        "UNSET": UNSET, "FLIGHT": FLIGHT, "CLOSED": CLOSED, "CLOSING": 1 << 20, "lines": source.lines,
        "live": lambda scope: None, "undo": lambda scope, error, lines: undone.append(error), "settle": None,
        **source.constants, **source.nodes, **source.sites, **{name: node.maker.call for name, node in source.calls.items()},
        **dict.fromkeys(source.singletons, Settings()), **given,
    }  # fmt: skip
    exec(source.text, names)

    async def driven():
        loop = asyncio.get_running_loop()
        names.update(loop=loop, running_loop=asyncio.get_running_loop)
        return await (names["root"] if "root" in names else names["enter"])(scope)

    scope.undone = undone
    return asyncio.run(driven())


def test_a_root_builds_a_scoped_value_once():
    """
    What two parameters take is one value, and it stands in the scope afterwards.
    """
    plan, scope = planned(Users, *SHOP), a_scope(2)

    users = run(emit_root(plan, SCOPED), scope)

    assert users.session is users.again
    assert {*scope._values} == {users, users.session}


def test_a_root_gives_what_is_there():
    """
    A value that the scope has is returned, and no factory is called.
    """
    source = emit_root(planned(Session, *SHOP), SCOPED)
    scope = a_scope(1)
    scope._values[0] = "there"

    assert run(source, scope, f1=None) == "there"


def test_a_container_value_is_a_constant():
    """
    It is no call: the value itself stands in the namespace.
    """
    source = emit_root(planned(Session, *SHOP), SCOPED)

    assert [node.key for node in source.singletons.values()] == [Settings]
    assert [node.key for node in source.calls.values()] == [Session]


def test_a_failure_keeps_nothing():
    """
    The slot stays empty, what was set up is undone, and the exception goes on.
    """

    def fail(settings: Settings) -> Session:
        raise ValueError("no")

    scope = a_scope(1)
    source = emit_root(planned(Session, SHOP[0], entry(Session, fail, "scoped")), SCOPED)

    with pytest.raises(ValueError, match="no") as met:
        run(source, scope)

    assert scope._values == [UNSET]
    assert scope.undone == [met.value]


def test_a_value_that_is_awaited_is_in_flight_meanwhile():
    """
    Another task that asks finds it so, and the scope counts a get in flight until it has landed.
    """
    seen = []

    async def connect(settings: Settings) -> Session:
        seen.append((scope._values[0], scope._in_flight))
        return Session(settings)

    scope = a_scope(1)
    session = run(emit_root(planned(Session, SHOP[0], entry(Session, connect, "scoped")), SCOPED), scope)

    assert seen == [(FLIGHT, 1)]
    assert scope._values == [session]
    assert scope._in_flight == 0


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_the_finalizer_of_a_generator_is_kept_before_its_value(asynchronous):
    """
    The generator itself is the scope's finalizer, and no longer than that can the value be seen.
    """

    def sync(settings: Settings) -> Iterator[Session]:
        yield Session(settings)

    async def awaited(settings: Settings) -> AsyncIterator[Session]:
        yield Session(settings)

    factory = awaited if asynchronous else sync
    scope = a_scope(1)
    source = emit_root(planned(Session, SHOP[0], entry(Session, factory, "scoped")), SCOPED)
    run(source, scope)

    assert scope._finalizers.__name__ == factory.__name__
    assert source.text.index("scope._finalizers = generator") < source.text.index("values[0] = s1\n")


def test_transient_values_are_locals():
    """
    Each that takes one gets its own, and the scope keeps none.
    """

    class Page:
        def __init__(self, one: Session, two: Session):
            self.both = (one, two)

    registrations = SHOP[0], entry(Session, Session, "transient"), entry(Page, Page, "transient")
    scope = a_scope(0)
    one, two = run(emit_root(planned(Page, *registrations), SCOPED), scope).both

    assert one is not two


def test_a_line_knows_which_factory_it_calls():
    """
    So that the path of a failure can be told from a traceback.
    """
    source = emit_root(planned(Users, *SHOP), SCOPED)
    lines = source.text.splitlines()

    called = {lines[number - 1].strip(): node.key for number, (node, _) in source.lines.items()}

    assert called == {"s2 = f1(a1)": Session, "s1 = f2(s2, s2)": Users}


def test_no_text_of_the_user_gets_into_the_source():
    """
    Names, keys and values are constants in the namespace: the text holds identifiers of ours only.
    """
    key = "x'); import os #"

    def factory(*, héllo: str = key) -> str:
        return ""

    factory.__name__ = factory.__qualname__ = key
    text = emit_root(planned(key, entry(key, factory, "scoped")), SCOPED).text

    assert key not in text
    assert "héllo" not in text
    assert re.findall(r"[\"']", text) == []


def test_the_same_plan_is_written_in_the_same_words():
    """
    Source depends on the plan alone, so that it can be compared and kept.
    """
    texts = {emit_root(planned(Users, *SHOP), SCOPED).text for _ in range(3)}

    assert len(texts) == 1


def test_a_one_shot_scope_keeps_its_values_in_locals():
    """
    Nobody has a handle of it: no slot is looked at.
    """
    source = emit_opening(planned(Users, *SHOP), SCOPED)
    scope = SimpleNamespace()

    users = run(source, scope)

    assert users.session is users.again
    assert "_values" not in source.text


def test_what_a_failure_is_about_can_be_told_from_the_lines():
    """
    The lines of a source know the plan that they carry out.
    """
    plan = planned(Users, *SHOP)

    assert emit_root(plan, SCOPED).lines.plans == (plan,)


def test_handles_are_made_for_the_scope_that_asks():
    """
    A ``Lazy`` gets the site that it asks for, a ``Factory`` the node that it makes.
    """

    def handles(late: Lazy[Users], make: Factory[Session]) -> object:
        return late, make

    scope = a_scope(0)
    source = emit_root(planned("handles", *SHOP, entry("handles", handles, "transient")), SCOPED)
    given = {"lazy_handle": lambda scope, site: (scope, site.ask.key), "factory_handle": lambda scope, node: (scope, node.key)}

    assert run(source, scope, **given) == ((scope, Users), (scope, Session))


def test_a_context_value_that_may_be_absent_falls_back():
    """
    It is looked for in its slot, and None where the scope was opened without it.
    """

    def page(session: Session | None) -> object:
        return session

    solved = graph(layer(entry("page", page, "transient"), context=(Session,)))
    source = emit_root(plan_of(solved, solved.find(None, "page").target), SCOPED)
    given = a_scope(1)
    given._values[0] = "given"

    assert (run(source, given), run(source, a_scope(1))) == ("given", None)


def test_a_context_value_that_is_needed_is_missed():
    """
    What says so is raised before anything is called.
    """
    solved = graph(layer(entry(Users, Users, "scoped"), context=(Session,)))
    source = emit_root(plan_of(solved, solved.find(None, Users).target), SCOPED)

    with pytest.raises(LookupError, match="Session"):
        run(source, a_scope(2), absent=lambda node, scope: LookupError(node.name), f1=None)


def test_a_list_is_written_with_its_members():
    """
    Each is what it would be alone, in their order, also where one may be absent further in.
    """

    def gathered(plugins: All[str]) -> object:
        return plugins

    registrations = [entry(str, factory, "scoped", multi=True) for factory in (lambda: "one", lambda: "two")]
    plan = planned("all", *registrations, entry("all", gathered, "transient"))

    assert run(emit_root(plan, SCOPED), a_scope(2)) == ["one", "two"]


def test_no_scope_is_wanted_by_values_that_only_take_each_other():
    """
    They can be locals of one call.
    """
    assert not wants_scope(planned(Users, *SHOP))


def with_lazy(users: Lazy[Users]) -> str: ...


def with_factory(make: Factory[Session]) -> str: ...


class Desk(AsyncServiceBase, lifetime="scoped"):
    """A service, whose attributes are fetched in the scope that has made it."""

    session = AsyncDependencyDescriptor(Session)


@pytest.mark.parametrize("factory", [with_lazy, with_factory, Desk])
def test_a_scope_is_wanted_by_what_holds_on_to_it(factory):
    """
    Handles fetch later, and so does a service.
    """
    assert wants_scope(planned("x", *SHOP, entry("x", factory, "scoped")))


def test_a_scope_is_wanted_by_values_that_come_with_it():
    """
    A context value stands in the scope that was opened with it.
    """
    solved = graph(layer(entry(Users, Users, "scoped"), context=(Session,)))

    assert wants_scope(plan_of(solved, solved.find(None, Users).target))


# --- injected functions ---------------------------------------------------------------------------


def filled(function, *registrations, ambient=False):
    """Return the form of *function* and what its marked parameters are filled with."""
    form = form_of(function)
    solved = graph(layer(*registrations))
    plans = [plan_of(solved, solved.find(None, form.key(number, function)).target) for number in form.marked]
    return form, [Fill(number, plan) for number, plan in zip(form.marked, plans, strict=True)]


def called(source, function, **given):
    """Return the wrapper that a source makes of *function*, with its defaults."""
    names = {"UNFILLED": UNFILLED, "function": function, **source.constants, **given}
    names.update({name: node.maker.call for name, node in source.calls.items()})
    exec(source.text, names)
    return names["call"]


def test_a_wrapper_makes_what_is_not_passed():
    """
    A marked parameter is made where its default says that nobody has passed it.
    """

    def handle(path, session: From[Session]):
        return path, session

    form, fills = filled(handle, SHOP[0], entry(Session, Session, "transient"))
    call = called(emit_call(form, fills, scoped=False, ambient=False), handle, a1="settings")
    # Its names are still ours: p0, p1.
    path, session = call("/", UNFILLED)

    assert (path, session.settings) == ("/", "settings")
    assert call("/", "by hand") == ("/", "by hand")


def test_a_built_value_costs_a_call_nothing():
    """
    It is the parameter's default: the wrapper says nothing of it.
    """

    def handle(settings: From[Settings]):
        return settings

    form, fills = filled(handle, SHOP[0])
    source = emit_call(form, fills, scoped=False, ambient=False)

    assert is_held(fills[0].plan)
    assert {number: node.key for number, node in source.held_at.items()} == {0: Settings}
    assert source.text == "def call(p0):\n    return function(p0)\n"


def test_two_parameters_share_a_scoped_value():
    """
    One call is one scope, though none is opened.
    """

    def handle(users: From[Users], session: From[Session]):
        return users, session

    form, fills = filled(handle, *SHOP)
    call = called(emit_call(form, fills, scoped=False, ambient=False), handle, a1=None)
    users, session = call(UNFILLED, UNFILLED)

    assert users.session is users.again is session


def test_a_wrapper_for_the_ambient_container_asks_which_it_is():
    """
    A call for another one is handed on, with what the caller passed.
    """

    def handle(path, settings: From[Settings]): ...

    form, fills = filled(handle, SHOP[0])
    source = emit_call(form, fills, scoped=False, ambient=True)
    call = called(source, handle, here=lambda: "other", home="mine", run=lambda *given: given, a1=None)

    assert call("/", UNFILLED) == ("/", UNFILLED)


def test_a_cold_wrapper_hands_everything_on_in_the_functions_order():
    """
    Whatever way the caller has of passing it.
    """

    def handle(settings: From[Settings], path, *rest, size=1): ...

    form = form_of(handle)
    call = called(emit_cold(form), handle, run=lambda *given: given)

    assert call("/", 1, 2, p0="by name", p3=5) == ("by name", "/", (1, 2), 5)


def test_functions_that_are_called_alike_share_their_cold_source():
    """
    The shape is how it is called, not what it is called or asks for.
    """

    def one(path, settings: From[Settings]): ...

    def other(name, session: From[Session]): ...

    async def third(name, session: From[Session]): ...

    assert signature_shape(form_of(one)) == signature_shape(form_of(other)) != signature_shape(form_of(third))
    assert emit_cold(form_of(one)).text == emit_cold(form_of(other)).text


def test_what_runs_in_a_thread_does_not_fit_into_a_wrapper():
    """
    Only plain calls can stand in the wrapper itself.
    """

    def handle(session: From[Session]): ...

    _, plain = filled(handle, *SHOP)
    _, threaded = filled(handle, SHOP[0], entry(Session, Session, "scoped", options=Options(in_thread=True)))

    assert fits(plain)
    assert not fits(threaded)
