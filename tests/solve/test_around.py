"""Several registrations of one key in one layer that stand around each other, and what is said of one around nothing."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Annotated, Generic, TypeVar

import pytest
from helpers import fresh_app, problems

from asyncmeta import (
    AsyncServiceBase,
    CircularDependencyError,
    Container,
    DeclarationError,
    GraphErrors,
    Inject,
    MissingDependencyError,
    inject_dependency,
)

T = TypeVar("T")


class Mailer:
    def __init__(self) -> None:
        self.way = "mailer"


class Wrapped(Mailer):
    def __init__(self, inner: Mailer, by: str) -> None:
        self.way = f"{by}({inner.way})"


def wrapping(app, by, **options):
    @inject_dependency(Mailer, on=app, around=True, **options)
    def wrap(inner: Mailer) -> Mailer:
        return Wrapped(inner, by)


def test_around_what_the_layer_has():
    """
    Each stands around what was written before it, the source innermost; check() finds nothing replaced or unused.
    """
    app = fresh_app(providers=[Mailer])
    inject_dependency(on=app)(Mailer)
    for by in ("logged", "retried"):
        wrapping(app, by)

    container = Container(app)

    assert container.get_nowait(Mailer).way == "retried(logged(mailer))"
    assert str(container.check()) == "nothing to report"


def test_around_what_is_only_listed():
    """
    A class that the list names is there, too: the layer below that makes it counts, else the class makes itself.
    """

    class Below(AsyncServiceBase): ...

    class Above(Below, providers=[Mailer]):
        @inject_dependency(around=True)
        def log(self, inner: Mailer) -> Mailer:
            return Wrapped(inner, "logged")

    wrapping(Above, "retried")

    assert Container(Above).get_nowait(Mailer).way == "retried(logged(mailer))"
    assert str(Container(Above).check()) == "nothing to report"

    Below.register_dependency(Mailer, lambda: Wrapped(Mailer(), "below"))

    assert Container(Above).get_nowait(Mailer).way == "retried(logged(below(mailer)))"


def test_around_the_layer_below():
    """
    Where the layer itself has none, the first stands around what is below, as any that asks for its own key does.
    """
    below = fresh_app(providers=[Mailer])
    inject_dependency(on=below)(Mailer)

    class Above(below): ...

    for by in ("logged", "retried"):
        wrapping(Above, by)

    assert Container(Above).get_nowait(Mailer).way == "retried(logged(mailer))"
    assert Container(below).get_nowait(Mailer).way == "mailer"


def test_in_a_body_and_by_call():
    """
    The word goes with methods of a class body, and with register_dependency.
    """

    class App(AsyncServiceBase):
        @inject_dependency
        def open_mailer(self) -> Mailer:
            return Mailer()

        @inject_dependency(around=True)
        def log(self, inner: Mailer) -> Mailer:
            return Wrapped(inner, "logged")

    def call(inner: Mailer) -> Mailer:
        return Wrapped(inner, "called")

    App.register_dependency(Mailer, call, around=True)

    assert Container(App).get_nowait(Mailer).way == "called(logged(mailer))"


def test_a_reload_takes_its_place():
    """
    Code that runs again takes the place that it had, further in as well.
    """
    app = fresh_app()
    inject_dependency(on=app)(Mailer)
    names = {"inject_dependency": inject_dependency, "app": app, "Mailer": Mailer, "Wrapped": Wrapped, "__name__": "cell"}
    source = "@inject_dependency(Mailer, on=app, around=True)\ndef log(inner: Mailer) -> Mailer: return Wrapped(inner, '{}')"
    exec(compile(source.format("old"), "cell.py", "exec"), names)
    wrapping(app, "retried")
    exec(compile(source.format("new"), "cell.py", "exec"), names)

    assert Container(app).get_nowait(Mailer).way == "retried(new(mailer))"


def test_it_can_be_overridden():
    """
    An override replaces all of it.
    """
    app = fresh_app()
    inject_dependency(on=app)(Mailer)
    wrapping(app, "logged")
    fake = Mailer()

    with Container(app) as container, container.override({Mailer: fake}):
        assert container.get_nowait(Mailer) is fake


@pytest.mark.parametrize("options", [{"multi": True}, {"replace": True}, {"around": 1}])
def test_what_it_does_not_go_with(options):
    """
    Around goes with neither multi nor replace, and is True or False.
    """
    with pytest.raises(DeclarationError, match="around"):
        inject_dependency(Mailer, on=fresh_app(), **{"around": True, **options})(Mailer)


@pytest.mark.parametrize("around", [True, False])
def test_around_nothing(around):
    """
    One that stands around nothing needs itself, and the text says that what it stands in front of was looked for.
    """
    app = fresh_app()

    @inject_dependency(Mailer, on=app, around=around)
    def wrap(inner: Mailer): ...

    with pytest.raises(GraphErrors) as caught:
        Container(app)

    (problem,) = problems(caught.value)
    assert isinstance(problem, CircularDependencyError)
    assert "inner asks for its own key, which means what" in str(problem)
    assert "no layer below has Mailer" in str(problem)


@pytest.mark.parametrize("form", [list[int], Sequence[int], Collection[int], Iterable[int], Sequence])
def test_forms_of_lists(form):
    """
    What is annotated as a list, or as what lists are, takes all values of a multi key that it names.
    """

    def ask(numbers: Annotated[form, Inject("number")]):
        return numbers

    app = fresh_app()
    for number in (1, 2):
        app.register_dependency("number", lambda number=number: number, multi=True)
    app.register_dependency("ask", ask)

    assert Container(app).get_nowait("ask") == [1, 2]


def numbers(app, form, **names):
    """Return what a parameter of *form* that asks for "number" is given, whatever carries the plan out."""

    def ask(numbers: Annotated[form, Inject("number")]):
        return numbers

    for name, number in names.items():
        app.register_dependency("number", lambda number=number: number, multi=name, lifetime="scoped")
    app.register_dependency("ask", ask, lifetime="transient")
    with Container(app) as container, container.scope() as scope:
        found = [scope.get_nowait("ask") for _ in range(20)]  # the first by the interpreter, then by generated code
        assert all(one == found[0] and type(one) is type(found[0]) for one in found)
        return found[0]


@pytest.mark.parametrize("form", [tuple[int, ...], tuple, tuple[int, ...] | None])
def test_a_tuple_of_all_values(form):
    """
    What is annotated as a tuple of any length is given one.
    """
    assert numbers(fresh_app(), form, one=1, two=2) == (1, 2)
    assert numbers(fresh_app(), form, one=1) == (1,)


@pytest.mark.parametrize("form", [Mapping[str, int], dict[str, int], Mapping])
def test_a_mapping_of_those_with_names(form):
    """
    What is annotated as a mapping is given the members that have names, by these.
    """
    app = fresh_app()
    app.register_dependency("number", lambda: 0, multi=True)

    assert numbers(app, form, one=1, two=2) == {"one": 1, "two": 2}


def test_a_mapping_of_what_has_no_names():
    """
    Where no member has a name, the text says how to give one; where an override says that there are none, it is empty.
    """

    def ask(numbers: Annotated[Mapping[str, int], Inject("number")]):
        return numbers

    app = fresh_app()
    app.register_dependency("ask", ask, lifetime="transient")
    app.register_dependency("number", lambda: 1, multi=True)
    with pytest.raises(GraphErrors, match='no member of "number" has a name'):
        Container(app)
    app.register_dependency("number", lambda: 1, multi="one")

    with Container(app) as container, container.override({"number": []}):
        assert container.get_nowait("ask") == {}


def test_a_tuple_of_two_types_is_one_value():
    """
    A tuple whose members are told one by one is no collection of a multi key.
    """
    with pytest.raises(GraphErrors, match="is registered with multi=True"):
        numbers(fresh_app(), tuple[int, int], one=1, two=2)


def test_a_plain_mapping_of_what_is_multi():
    """
    A mapping of a multi key without a mark says how its members are asked for.
    """

    def ask(mailers: Mapping[str, Mailer]): ...

    app = fresh_app()
    app.register_dependency(Mailer, Mailer, multi="smtp")
    app.register_dependency("ask", ask)

    with pytest.raises(GraphErrors, match=r"Mailer is registered with multi=True: ask for Named\[Mailer\]"):
        Container(app)


@pytest.mark.parametrize("form", [list[Mailer], Sequence[Mailer], tuple[Mailer, ...], set[Mailer]])
def test_a_plain_list_of_what_is_multi(form):
    """
    A list of a multi key without a mark says how all of it is asked for.
    """

    def ask(mailers: form): ...

    app = fresh_app()
    app.register_dependency(Mailer, Mailer, multi=True)
    app.register_dependency("ask", ask)

    with pytest.raises(GraphErrors, match=r"Mailer is registered with multi=True: ask for All\[Mailer\]"):
        Container(app)


def test_a_subclass_where_its_base_is_registered():
    """
    Who asks for a class whose base is registered is told that base.
    """

    def ask(mailer: Wrapped): ...

    app = fresh_app()
    app.register_dependency(Mailer, Mailer)
    app.register_dependency("ask", ask)

    with pytest.raises(GraphErrors) as caught:
        Container(app)

    (problem,) = problems(caught.value)
    assert isinstance(problem, MissingDependencyError)
    assert "Mailer, its base, is registered" in str(problem)
    assert "ask for Mailer, or register Wrapped" in str(problem)


# --- open forms ---


class Box(Generic[T]): ...


def inmost(kind: type[T]) -> Box[T]:
    return f"box of {kind.__name__}"


def painted(inner: Box[T], kind: type[T]) -> Box[T]:
    return f"painted {inner} {kind.__name__}"


def wrapped(inner: Box[int]) -> Box[int]:
    return f"wrapped {inner}"


def test_open_forms_stand_around_each_other():
    """
    What stands around an open form in its own layer asks for that with the same argument.
    """
    App = fresh_app()
    inject_dependency(on=App)(inmost)
    inject_dependency(on=App, around=True)(painted)

    assert Container(App).get_nowait(Box[str]) == "painted box of str str"


@pytest.mark.parametrize("asked_before", [False, True])
@pytest.mark.parametrize("higher", [False, True])
def test_a_closed_form_stands_around_open_ones(asked_before, higher):
    """
    ``Box[int]`` gets what the open forms give, each of which gets the one below, in one layer and in two, whoever asked before.
    """
    Below = fresh_app()
    Above = type("Above", (Below,), {}) if higher else Below
    inject_dependency(on=Below)(inmost)
    inject_dependency(on=Below, around=True)(painted)
    if asked_before:
        Container(Above).get_nowait(Box[int])
    inject_dependency(on=Above)(wrapped)
    container = Container(Above)

    assert container.get_nowait(Box[int]) == "wrapped painted box of int int"
    assert container.get_nowait(Box[str]) == "painted box of str str"


@pytest.mark.parametrize("how", ["around", "replaced"])
def test_more_keys_of_the_value(how):
    """
    What stands around a value, or replaces it, in its own layer is what its other keys mean, too.
    """
    app = fresh_app()

    class Special(Mailer): ...

    inject_dependency(Special, on=app, also=[Mailer, "mailer"])(Special)

    @inject_dependency(Special, on=app, around=how == "around")
    def other() -> Mailer:
        return Wrapped(Mailer(), "other")

    container = Container(app)

    assert container.get_nowait(Mailer).way == container.get_nowait("mailer").way == "other(mailer)"
    assert container.get_nowait(Special) is container.get_nowait("mailer")


def test_around_by_one_more_key():
    """
    A decorator that asks for one more key of the value gets what it stands around.
    """
    app = fresh_app()
    inject_dependency(on=app, also=["mailer"])(Mailer)

    @inject_dependency(Mailer, on=app, around=True)
    def wrap(inner: Annotated[Mailer, Inject("mailer")]) -> Mailer:
        return Wrapped(inner, "logged")

    assert Container(app).get_nowait("mailer").way == Container(app).get_nowait(Mailer).way == "logged(mailer)"


class Opened(Generic[T]):
    def __init__(self, kind: type[T]):
        self.kind = kind


class Around(Opened[T]):
    def __init__(self, inner: Opened[T]):
        self.inner = inner


def test_it_stands_around_a_generic_class_that_the_list_names():
    """
    What is open stands around an open entry of a list, for each argument, and what is closed around that.
    """
    App = fresh_app(providers=[Opened])
    inject_dependency(Opened, on=App, around=True)(Around)

    @inject_dependency(on=App, around=True)
    def closed(inner: Opened[int]) -> Opened[int]:
        return ("closed", inner)

    container = Container(App)

    around = container.get_nowait(Opened[str])
    assert (type(around), type(around.inner), around.inner.kind) == (Around, Opened, str)
    word, inner = container.get_nowait(Opened[int])
    assert (word, type(inner), inner.inner.kind) == ("closed", Around, int)
