"""What a provider list names: entry points, classes that make themselves, functions."""

import functools
from collections.abc import AsyncIterator
from enum import Enum
from typing import Annotated, Generic, NewType, TypeVar

import pytest
from helpers import fresh_app

from asyncmeta import (
    All,
    AsyncDependencyDescriptor,
    AsyncServiceBase,
    Container,
    DeclarationError,
    Factory,
    GraphErrors,
    Inject,
    Lazy,
    MissingDependencyError,
    Named,
    Scope,
    Token,
    inject_dependency,
)

T = TypeVar("T")


class Engine:
    def __init__(self) -> None:
        self.how = "by the class"


class Basket:
    pass


class Repo(Generic[T]):
    def __init__(self, kind: type[T]) -> None:
        self.kind = kind


def made() -> Engine:
    engine = Engine()
    engine.how = "by the function"
    return engine


MAIN = Token[Engine]("main")
Dsn = NewType("Dsn", str)


class Colour(Enum):
    RED = 1


def registered_by_decorator(app):
    inject_dependency(Engine, on=app)(made)


def registered_by_call(app):
    app.register_dependency(Engine, made)


def registered_by_list(app):
    app.register_providers([{"provide": Engine, "use_factory": made}])


WAYS = [registered_by_decorator, registered_by_call, registered_by_list]


@pytest.mark.parametrize("register", WAYS)
@pytest.mark.parametrize("listed", ["before", "after", "above", "container"])
def test_a_class_that_is_registered_is_only_named(register, listed):
    """
    A class in a list that something registers, in whatever way and order, is what that makes.
    """
    app = fresh_app()
    if listed == "before":
        app.register_providers([Engine])
    register(app)
    if listed == "after":
        app.register_providers([Engine])
    if listed == "above":

        class Above(app, providers=[Engine]): ...

        app = Above

    container = Container(app, providers=[Engine] if listed == "container" else ())

    assert container.get_nowait(Engine).how == "by the function"
    assert not container.check().unused
    assert not container.check().replaced


def test_the_body_beats_the_list():
    """
    Within one class, what the body makes is what the list means.
    """

    class App(AsyncServiceBase, providers=[Engine]):
        @inject_dependency(lifetime="scoped")
        def open_engine(self) -> Engine:
            return made()

    with Container(App) as container, container.scope() as scope:
        assert scope.get_nowait(Engine).how == "by the function"


def test_the_body_beats_a_dictionary_of_the_list():
    """
    What a list registers stands in front of the body, as it is written: the body replaces it, and the check says so.
    """

    class App(AsyncServiceBase, providers=[{"provide": Engine, "value": "listed"}, {"provide": "m", "value": 1, "multi": True}]):
        @inject_dependency
        def open_engine(self) -> Engine:
            return made()

        @inject_dependency("m", multi=True)
        def two(self) -> int:
            return 2

    container = Container(App, providers=[Engine, "m"])

    assert container.get_nowait(Engine).how == "by the function"
    assert len(container.check().replaced) == 1
    assert container.get_nowait(Annotated[list, Inject("m")]) == [1, 2]


def test_listed_more_than_once():
    """
    A class that two helpers list is still only named; with another lifetime the later entry registers it.
    """
    app = fresh_app()
    inject_dependency(lifetime="scoped", on=app)(Basket)

    class Above(app, providers=[Basket, [Basket], Basket]): ...

    class Other(app, providers=[Basket, {"lifetime": "transient", "providers": [Basket]}]): ...

    with Container(Above) as container, container.scope() as one, container.scope() as two:
        assert one.get_nowait(Basket) is not two.get_nowait(Basket)
        assert str(container.check()) == "nothing to report"
    container = Container(Other)
    assert container.get_nowait(Basket) is not container.get_nowait(Basket)


def test_what_is_registered_later_and_lower_counts(isolated_shared_layer):
    """
    The list does not have to wait for what registers its class, on the shared layer neither.
    """
    app = fresh_app(providers=[Basket])
    inject_dependency(lifetime="scoped")(Basket)

    with Container(app) as container, container.scope() as one, container.scope() as two:
        assert one.get_nowait(Basket) is not two.get_nowait(Basket)


@pytest.fixture
def isolated_shared_layer():
    """Take what a test registers on the shared layer away from the others."""
    registry = AsyncServiceBase.__asyncmeta__
    before = dict(registry.entries)
    yield
    registry.entries = before
    registry.changed()


def test_a_class_that_nobody_registers_makes_itself():
    """
    A class in a list stands for itself where nothing else provides it, and a layer above may provide it.
    """

    class Below(AsyncServiceBase, providers=[Engine]): ...

    class Above(Below): ...

    Above.register_dependency(Engine, made)

    assert Container(Below).get_nowait(Engine).how == "by the class"
    assert Container(Above).get_nowait(Engine).how == "by the function"


def test_a_later_entry_of_the_same_list_counts():
    """
    Within one list the later entry of a token takes the place of the earlier one, a class as well.
    """
    app = fresh_app(providers=[{"provide": Engine, "use_factory": made}, Engine])

    assert Container(app).get_nowait(Engine).how == "by the class"


def test_an_override_replaces():
    """
    A class in a list of overrides takes the place of what makes it.
    """
    app = fresh_app()
    app.register_dependency(Engine, made)

    with Container(app) as container, container.override([Engine]):
        assert container.get_nowait(Engine).how == "by the class"


@pytest.mark.parametrize("token", ["engine", MAIN, Dsn, Colour.RED, Annotated[str, Inject("engine")], Lazy[Engine], Engine | None])
def test_any_key_may_be_named(token):
    """
    A key of any kind, and a way of asking for one, is an entry point where it is registered.
    """
    app = fresh_app(providers=[token])
    for key in ("engine", MAIN, Dsn, Colour.RED, Engine):
        app.register_dependency(key, made)

    report = Container(app).check()

    assert len(report.unused) == 4
    assert Container(app).get_nowait(Engine if token == Lazy[Engine] else token).how == "by the function"


def test_a_multi_key_may_be_named():
    """
    All members of a multi key are entry points where the key, or All of it, is listed.
    """
    for token in (Engine, All[Engine]):
        app = fresh_app(providers=[token])
        app.register_dependency(Engine, made, multi=True)
        app.register_dependency(Engine, Engine, multi=True)

        assert not Container(app).check().unused
        assert [one.how for one in Container(app).get_nowait(All[Engine])] == ["by the function", "by the class"]


def test_a_generic_may_be_named():
    """
    A closed generic in a list is checked as what the open one makes of it.
    """
    app = fresh_app(providers=[Repo, Repo[int]])

    assert Container(app).get_nowait(Repo[int]).kind is int


def test_a_key_that_nothing_provides():
    """
    A key that is listed and registered nowhere is a problem that names the list, and what may have been meant.
    """
    app = fresh_app(providers=["engin", Factory[Basket]])
    app.register_dependency("engine", made)

    with pytest.raises(GraphErrors) as caught:
        Container(app)

    keys = {error.key: error for error in caught.value.exceptions}
    assert set(keys) == {'"engin"', "Basket"}
    assert isinstance(keys['"engin"'], MissingDependencyError)
    assert "needed by App.providers (" in str(keys['"engin"'])
    assert keys['"engin"'].close_to == ('"engine"',)


def test_what_is_named_is_started_and_drawn():
    """
    An entry point is built by start() and has no note in a diagram.
    """

    class Layer(AsyncServiceBase): ...

    Layer.register_dependency(Engine, made)

    class App(Layer, providers=[Engine]): ...

    with Container(App) as container:
        report = container.check()

    assert str(report) == "nothing to report"


def open_engine() -> Engine:
    return made()


async def open_text(engine: Engine) -> AsyncIterator[str | bytes]:
    yield engine.how


class Keeper:
    def open_basket(self) -> Basket:
        return Basket()


def says_nothing(engine: Engine):
    return engine


def later() -> "DefinedLater":
    return DefinedLater()


async def test_functions_stand_in_a_list():
    """
    A function in a list makes what its return annotation says; async ones, generators and bound methods, too.
    """
    app = fresh_app(providers=[open_engine, [open_text, (Keeper().open_basket,)], later])

    async with Container(app) as container:
        assert await container.get(str | bytes) == "by the function"
        assert type(await container.get(Basket)) is Basket
        assert type(await container.get(DefinedLater)) is DefinedLater
        with container.override([open_engine]):
            assert (await container.get(Engine)).how == "by the function"


class DefinedLater:
    pass


@functools.cache
def cached_engine() -> Engine:
    return fake_engine()


def test_a_function_that_a_decorator_made_an_object_of_is_one():
    """
    What ``functools.cache`` returns is no function to Python, and to a list it is: settings of other frameworks are written so.
    """
    with Container(fresh_app(providers=[cached_engine])) as one, Container(fresh_app(providers=[cached_engine])) as other:
        engine, again = one.get_nowait(Engine), other.get_nowait(Engine)

    assert engine.how == "fake"
    assert engine is again is cached_engine()


def test_a_listed_function_that_waits_for_its_type():
    """
    The type that a function names may be defined after the list.
    """
    names = {}
    exec("def make() -> 'NotYetThere': return NotYetThere()", names)
    app = fresh_app(providers=[names["make"]])
    exec("class NotYetThere: ...", names)

    assert type(Container(app).get_nowait(names["NotYetThere"])) is names["NotYetThere"]


def test_a_function_that_is_registered_is_only_named():
    """
    A function that a decorator registers keeps what that says, where a list names it.
    """

    class Layer(AsyncServiceBase): ...

    inject_dependency(lifetime="scoped", on=Layer)(open_engine)

    class App(Layer, providers=[open_engine]): ...

    with Container(App) as container, container.scope() as one, container.scope() as two:
        assert one.get_nowait(Engine) is not two.get_nowait(Engine)
        assert not container.check().replaced


def test_another_function_replaces():
    """
    A function in a list takes the place of what a lower layer registers.
    """

    class Layer(AsyncServiceBase, providers=[Engine]): ...

    Layer.register_dependency(Engine, made)

    class App(Layer, providers=[fake_engine]): ...

    assert Container(App).get_nowait(Engine).how == "fake"


def fake_engine() -> Engine:
    engine = Engine()
    engine.how = "fake"
    return engine


def test_a_function_that_says_nothing():
    """
    A function without a return annotation is refused by its name and place in the list, with the way out.
    """
    with pytest.raises(DeclarationError) as caught:
        fresh_app(providers=[Engine, says_nothing])

    assert "provider 1 (says_nothing)" in str(caught.value)
    assert 'write {"provide": ..., "use_factory": says_nothing}' in str(caught.value)


@pytest.mark.parametrize("named", [Container, Scope])
def test_what_is_always_there_may_be_named(named):
    """
    The container and the scope, in a list, are what they are without it, and no new ones of their class.
    """
    with Container(fresh_app(providers=[named])) as container, container.scope() as scope:
        assert container.get_nowait(Container) is container
        assert scope.get_nowait(Scope) is scope


@pytest.mark.parametrize("named", [Lazy, Factory, Named])
def test_a_way_of_asking_without_its_key(named):
    """
    A way of asking in a list says what of; by itself it is no class to make.
    """
    with pytest.raises(DeclarationError, match=rf"provider 1 \({named.__name__}\): {named.__name__} says of what"):
        fresh_app(providers=[Engine, named])


class Store(AsyncServiceBase):
    engine = AsyncDependencyDescriptor(Engine)


def test_an_attribute_may_be_named():
    """
    An attribute of a service is an entry point as any token is: what it asks for is checked where its class looks it up.
    """
    app = fresh_app(providers=[Store.engine])

    with pytest.raises(GraphErrors, match=r"nothing provides Engine, needed by App.providers"):
        Container(app)
    app.register_dependency(Engine, made)
    assert str(Container(app).check()) == "nothing to report"
