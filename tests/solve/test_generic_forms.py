"""Generics in the forms that people write: closed ones as factories, defaults, several variables, decorated, under more keys."""

import sys
from dataclasses import dataclass
from typing import Annotated, Any, Generic, Protocol, TypeVar

import attrs
import pytest
import typing_extensions as te
from helpers import fresh_app, problems

from asyncmeta import All, AsyncServiceBase, Container, GraphErrors, MissingDependencyError, inject_dependency

T = TypeVar("T")
K = TypeVar("K")
D = te.TypeVar("D", default=int)
E = te.TypeVar("E", default=list[D])
P = te.ParamSpec("P")
Ts = te.TypeVarTuple("Ts")


class User: ...


class Repo(Generic[T]):
    def __init__(self, kind: type[T]) -> None:
        self.kind = kind


class Pair(Generic[K, T]):
    def __init__(self, first: type[K], second: type[T]) -> None:
        self.kinds = first, second


class SqlRepo(Repo[T]): ...


class Audited(Repo[T]):
    def __init__(self, inner: Repo[T]) -> None:
        self.inner = inner


# --- a closed generic as what makes ---


@pytest.mark.parametrize("register", [
    lambda app: app.register_dependency(Repo[User], Repo[User]),
    lambda app: app.register_dependency(Repo[User], SqlRepo[User]),
    lambda app: inject_dependency(Repo[User], on=app)(SqlRepo[User]),
    lambda app: app.register_providers([{"provide": Repo[User], "use_class": SqlRepo[User]}]),
    lambda app: app.register_providers([{"provide": Repo[User], "use_factory": SqlRepo[User]}]),
    lambda app: app.register_providers([{"provide": Repo[User]}]),
    lambda app: app.register_providers([Repo[User]]),
])  # fmt: skip
def test_a_closed_generic_makes_itself(register):
    """
    ``Repo[User]`` as a factory, use_class, use_factory, provide alone or list entry builds Repo with T known.
    """
    App = fresh_app()
    register(App)

    repo = Container(App).get_nowait(Repo[User])

    assert isinstance(repo, Repo)
    assert repo.kind is User


def test_a_closed_entry_gives_way_to_what_is_registered():
    """
    A list names what is asked for: an open registration of the same class serves it.
    """
    App = fresh_app(providers=[Repo[User]])
    App.register_dependency(Repo, SqlRepo)

    assert type(Container(App).get_nowait(Repo[User])) is SqlRepo


def test_an_open_form_makes_with_its_arguments_put_in():
    """
    What is registered for Repo[T] may be made by a form of another class in which T stands deeper.
    """

    class Lists(Repo[T]):
        def __init__(self, inner: type[T]) -> None:
            self.kind = inner

    App = fresh_app()
    App.register_dependency(Repo[T], Lists[list[T]])

    assert Container(App).get_nowait(Repo[User]).kind == list[User]


# --- decorating ---


@pytest.mark.parametrize("below", [Repo, Repo[T]])
@pytest.mark.parametrize("above", [Repo, Repo[T], Repo[User]])
def test_a_higher_layer_decorates_an_open_generic(below, above):
    """
    Open or closed, what asks for its own key gets the one below, with the argument that it has itself.
    """
    App = fresh_app()

    class Above(App):
        pass

    App.register_dependency(below, SqlRepo)
    Above.register_dependency(above, Audited)

    repo = Container(Above).get_nowait(Repo[User])

    assert type(repo) is Audited
    assert type(repo.inner) is SqlRepo
    assert repo.inner.kind is User


def test_a_closed_generic_decorates_the_open_one_of_its_layer():
    """
    What is registered for Repo[User] beside Repo stands in its place, and gets it by asking for it.
    """
    App = fresh_app()
    App.register_dependency(Repo, SqlRepo)
    App.register_dependency(Repo[User], Audited[User])

    container = Container(App)

    assert type(container.get_nowait(Repo[User]).inner) is SqlRepo
    assert type(container.get_nowait(Repo[int])) is SqlRepo


def test_an_open_generic_that_asks_for_itself_needs_itself():
    """
    Where nothing lies below, asking for the own key is a circle.
    """
    App = fresh_app()
    App.register_dependency(Repo, Audited)
    App.register_dependency("user", lambda repo: repo)
    App.register_dependency("repo", lambda x: x)

    def uses(repo: Repo[User]):
        return repo

    App.register_dependency("uses", uses)

    with pytest.raises(GraphErrors) as caught:
        Container(App)

    assert any("Repo[User] needs itself" in str(problem) for problem in problems(caught.value))


# --- one value under more keys ---


class Port(Protocol[K]):
    def put(self, what: K) -> None: ...


class Adapter(Generic[T]):
    def __init__(self, kind: type[T]) -> None:
        self.kind = kind

    def put(self, what: T) -> None: ...


@pytest.mark.parametrize("token", [None, Port])
def test_also_of_an_open_generic_is_one_value(token):
    """
    An open generic under a Protocol of other variables too is one value for each argument, whichever key comes first.
    """
    App = fresh_app()
    inject_dependency(token, on=App, also=[Port if token is None else Adapter])(Adapter)

    container = Container(App)
    first, second = container.get_nowait(Port[int]), container.get_nowait(Adapter[str])

    assert container.get_nowait(Adapter[int]) is first
    assert container.get_nowait(Port[str]) is second
    assert (first.kind, second.kind) == (int, str)


def test_also_of_an_open_function_is_one_value():
    """
    The same of a function that returns an open form.
    """
    App = fresh_app()

    @inject_dependency(on=App, also=[Port[T]])
    def make(kind: type[T]) -> Adapter[T]:
        return Adapter(kind)

    container = Container(App)

    assert container.get_nowait(Port[int]) is container.get_nowait(Adapter[int])
    assert container.get_nowait(Port[str]).kind is str


# --- whose variable ---


class Labelled(Generic[T]):
    def __init__(self, label: T) -> None:
        self.label = label


class Counted(Labelled[str], Generic[T]):
    def __init__(self, count: T) -> None:
        self.count = count


class Inherited(Labelled[str], Generic[T]): ...


def test_a_variable_that_a_base_uses_too_is_the_own_one():
    """
    A bare generic's own T is told as unknown, never filled with what the base's T stands for; an inherited constructor's is.
    """
    App = fresh_app()
    for token, value in (str, "label"), (int, 1):
        App.register_value(token, value)
    for cls in (Counted, Inherited):
        App.register_dependency(cls, cls)
    container = Container(App)

    assert container.get_nowait(Counted[int]).count == 1
    assert container.get_nowait(Inherited[int]).label == container.get_nowait(Inherited).label == "label"
    with pytest.raises(MissingDependencyError, match="what T stands for"):
        container.get_nowait(Counted)


@dataclass
class Kept(Generic[T]):
    kept: Repo[T]


@dataclass
class Added(Kept[str], Generic[T]):
    added: Repo[T]


@dataclass
class Deeper(Added[list[T]], Generic[T]):
    deeper: Repo[T]


@attrs.define
class AttrsKept(Generic[T]):
    _kept: Repo[T]


@attrs.define
class AttrsAdded(AttrsKept[str], Generic[T]):
    added: Repo[T]


def test_generated_constructors_keep_each_class_s_argument():
    """
    A dataclass or attrs class that derives from a closed generic asks for the base's fields with the base's argument.
    """
    App = fresh_app()
    for cls in (Repo, Added, Deeper, AttrsAdded):
        App.register_dependency(cls, cls)
    container = Container(App)

    added, deeper, made = (container.get_nowait(form) for form in (Added[int], Deeper[int], AttrsAdded[int]))

    assert (added.kept.kind, added.added.kind) == (str, int)
    assert (deeper.kept.kind, deeper.added.kind, deeper.deeper.kind) == (str, list[int], int)
    assert (made._kept.kind, made.added.kind) == (str, int)


# --- forms around the variable ---


@pytest.mark.parametrize(("form", "asked", "stands_for"), [
    (Repo[T | None], Repo[User | None], User),
    (Repo[T | None], Repo[None | int | User], int | User),
    (Repo[list[T]], Repo[list[User]], User),
    (Repo[dict[str, T]], Repo[dict[str, User]], User),
    (Repo[Annotated[T, "main"]], Repo[Annotated[User, "main"]], User),
    (Pair[int, T], Pair[int, User], User),
])  # fmt: skip
def test_a_variable_is_found_inside_of_a_form(form, asked, stands_for):
    """
    A factory of an open form serves the closed forms of that shape.
    """
    App = fresh_app()
    given = []

    def make(kind: type[T]):
        given.append(kind)
        return object()

    App.register_dependency(form, make)
    Container(App).get_nowait(asked)

    assert given == [stands_for]


@pytest.mark.parametrize("asked", [Repo[User], Repo[list[User]], Repo[User | int], Repo[None]])
def test_another_form_is_not_served(asked):
    """
    What has not the shape of an open form is not served by it.
    """
    App = fresh_app()
    App.register_dependency(Repo[T | None], lambda: 1)

    with pytest.raises(MissingDependencyError):
        Container(App).get_nowait(asked)


def test_an_argument_may_be_optional_or_named():
    """
    What stands for T is asked for as if it were written there: optional, or by its name first.
    """

    class Holder(Generic[T]):
        def __init__(self, value: T) -> None:
            self.value = value

    App = fresh_app()
    App.register_dependency(Holder, Holder)
    App.register_value(str, "plain")
    App.register_value(Annotated[str, "main"], "named")
    container = Container(App)

    got = [container.get_nowait(Holder[one]).value for one in (str, Annotated[str, "main"], Annotated[str, "other"], User | None)]

    assert got == ["plain", "named", "plain", None]


def test_a_name_stands_around_an_open_generic():
    """
    An open generic with a name serves the closed ones of that name, and no others.
    """
    App = fresh_app()
    App.register_dependency(Annotated[Repo, "main"], SqlRepo)
    container = Container(App)

    repo = container.get_nowait(Annotated[Repo[User], "main"])

    assert type(repo) is SqlRepo
    assert repo.kind is User
    for other in (Repo[User], Annotated[Repo[User], "replica"]):
        with pytest.raises(MissingDependencyError):
            container.get_nowait(other)


# --- kinds of variables ---


class Defaulted(Generic[D, E]):
    def __init__(self, first: type[D], second: type[E]) -> None:
        self.kinds = first, second


def test_defaults_fill_what_is_left_out():
    """
    A bare generic whose variables have defaults is the one with the defaults; arguments that are left out are theirs.
    """
    App = fresh_app()
    App.register_dependency(Defaulted, Defaulted)
    container = Container(App)

    assert container.get_nowait(Defaulted).kinds == (int, list[int])
    assert container.get_nowait(Defaulted[str]).kinds == (str, list[str])
    assert container.get_nowait(Defaulted[str, bytes]).kinds == (str, bytes)
    made = container.get_nowait(Defaulted)
    assert made is container.get_nowait(Defaulted[int]) is container.get_nowait(Defaulted[int, list[int]])


def test_a_parameter_of_a_bare_generic_with_defaults():
    """
    The same as a parameter, in a factory of the closed form, and for what is registered under the bare class.
    """

    def use(made: Defaulted):
        return made

    App, Other = fresh_app(), fresh_app()
    App.register_value(Defaulted[int, list[int]], "closed")
    Other.register_value(Defaulted, "bare")
    for app in (App, Other):
        app.register_dependency("use", use)

    assert Container(App).get_nowait("use") == "closed"
    assert Container(Other).get_nowait("use") == Container(Other).get_nowait(Defaulted[int]) == "bare"


class Row(Generic[*Ts]):
    def __init__(self, kinds: tuple[*Ts] = ()) -> None:
        self.kinds = kinds


class Keyed(Generic[K, *Ts]):
    def __init__(self, key: type[K], cells: Row[*Ts]) -> None:
        self.key, self.cells = key, cells


class Job(Generic[P, T]):
    def __init__(self, kind: type[T], call: Annotated[Any, "call"] = None) -> None:
        self.kind = kind


def test_several_variables_at_once():
    """
    Generics over a TypeVarTuple serve any number of arguments, and hand them on.
    """
    App = fresh_app()
    for cls in (Row, Keyed):
        App.register_dependency(cls, cls)
    App.register_value(tuple[int, str], (1, "one"))
    container = Container(App)

    keyed = container.get_nowait(Keyed[User, int, str])

    assert keyed.key is User
    assert keyed.cells is container.get_nowait(Row[int, str])
    assert keyed.cells.kinds == (1, "one")
    assert container.get_nowait(Row[int]) is not keyed.cells
    assert container.get_nowait(Row[()]).kinds == ()


def test_parameters_of_functions_as_variables():
    """
    Generics over a ParamSpec serve each list of parameters; `...` is one of its own.
    """
    App = fresh_app()
    App.register_dependency(Job, Job)
    container = Container(App)

    jobs = [container.get_nowait(form) for form in (Job[[int], str], Job[[], str], Job[..., str], Job[[int, User], bytes])]

    assert [job.kind for job in jobs] == [str, str, str, bytes]
    assert len(set(map(id, jobs))) == 4
    assert container.get_nowait(Job[[int], str]) is jobs[0]


def test_many_of_an_open_generic():
    """
    ``All`` of a closed form has the values of the open multi key, each with the argument known.
    """
    App = fresh_app()
    for cls in (Repo, SqlRepo):
        App.register_dependency(Repo, cls, multi=True)

    repos = Container(App).get_nowait(All[Repo[User]])

    assert [(type(repo), repo.kind) for repo in repos] == [(Repo, User), (SqlRepo, User)]


def test_generic_services():
    """
    A generic service with defaults is its own, bare and closed; a closed one that derives from it another.
    """

    class Store(AsyncServiceBase, Generic[D]):
        def __init__(self, kind: type[D]) -> None:
            self.kind = kind

    class Users(Store[User]): ...

    container = Container(fresh_app())

    assert container.get_nowait(Store[str]).kind is str
    assert container.get_nowait(Users).kind is User


@pytest.mark.skipif(sys.version_info < (3, 13), reason="defaults in brackets came with Python 3.13")
def test_the_newest_spelling():
    """
    Classes and functions whose variables stand in brackets, with defaults.
    """
    names = {"Repo": Repo, "inject_dependency": inject_dependency, "App": fresh_app()}
    exec(
        """
class Cache[K, V = list[K], **Q = [K]]:
    def __init__(self, key: type[K], value: type[V]) -> None:
        self.kinds = key, value
@inject_dependency(on=App)
def make[T: object = int](kind: type[T]) -> Repo[T | None]:
    return Repo(kind)
App.register_dependency(Cache, Cache)
""",
        names,
    )
    container = Container(names["App"])

    assert container.get_nowait(names["Cache"][str]).kinds == (str, list[str])
    assert container.get_nowait(Repo[User | None]).kind is User
