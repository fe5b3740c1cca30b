"""Layers given as a list, layers that are subclassed for a second of their kind, and attributes as tokens."""

import gc
from typing import Annotated

import pytest
from helpers import fresh_app, problems

from asyncmeta import (
    AsyncDependencyDescriptor,
    AsyncServiceBase,
    Container,
    DeclarationError,
    GraphErrors,
    Inject,
    Lazy,
    MissingDependencyError,
    inject_dependency,
)


class Engine:
    def __init__(self, url: str) -> None:
        self.url = url


class Base(AsyncServiceBase):
    url = "base"

    @inject_dependency
    def open_engine(self) -> Engine:
        return Engine(self.url)


class Db(AsyncServiceBase):
    @inject_dependency
    def open_engine(self) -> Engine:
        return Engine("main")


class Cache(AsyncServiceBase):
    @inject_dependency("cache")
    def open_cache(self):
        return "cache"

    @inject_dependency("url")
    def say_url(self):
        return "cache's"


class App(AsyncServiceBase):
    engine = AsyncDependencyDescriptor(Engine)

    @inject_dependency("url")
    def say_url(self, engine: Engine):
        return engine.url


class Replica(Base):
    url = "replica"


class Reports(Replica):
    engine = AsyncDependencyDescriptor(Engine)
    nothing = AsyncDependencyDescriptor("nothing", optional=True)


# --- a list ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [list, tuple])
async def test_layers_as_a_list(kind):
    """
    The last layer is the highest and the application, whose instance answers for each of them.
    """
    async with Container(kind([Db, Cache, App])) as container:
        app = await container.get(App)

        assert (await app.engine).url == "main"
        assert await container.get("cache") == "cache"
        assert await container.get("url") == "main"
        assert await container.get(Db) is app
        assert repr(container) == "<open container of App>"


def test_a_list_is_one_class():
    """
    The same list is the same class, kept as long as something uses it; a list of one is that one, and bases need no place.
    """
    first, again = (Container([Db, Cache, App]) for _ in range(2))

    assert first._root_class is again._root_class
    assert Container([Cache])._root_class is Cache
    assert Container([Base, Replica])._root_class is Replica
    assert Container([Cache, Db, App])._root_class is not first._root_class
    del first, again
    gc.collect()
    assert [one for one in type.__subclasses__(App) if one.__bases__ == (App, Db, Cache)] == []


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([], "the list of layers is empty"),
        ([Replica, Base], r"\[Replica, Base\] cannot be layers in this order"),
        ([Db, Engine], "holds classes derived from AsyncServiceBase, not Engine"),
        ([Db, "App"], "holds classes derived from AsyncServiceBase, not str"),
    ],
    ids=["empty", "order", "class", "string"],
)
def test_what_are_no_layers(layers, message):
    """
    A list that cannot be layers is refused, and the text says why.
    """
    with pytest.raises(DeclarationError, match=message):
        Container(layers)


# --- attributes as tokens ---------------------------------------------------------------------------


class Users:
    def __init__(self, main: Engine, replica: Annotated[Engine, Inject(Reports.engine)]) -> None:
        self.urls = main.url, replica.url


async def test_a_value_of_another_layer():
    """
    A service's descriptor as a token is what its attribute gives: of its own layer, one value for both.
    """

    class Shop(Db, providers=[Users, Reports]): ...

    async with Container(Shop) as container:
        users, reports = await container.get(Users), await container.get(Reports)

        assert users.urls == ("main", "replica")
        assert await reports.engine is await container.get(Reports.engine)
        assert await container.get(Reports.engine) is not await container.get(Engine)


async def test_two_of_one_kind():
    """
    Two subclasses of a layer that is none of the application's have each their own of what that registers.
    """

    class Other(Base):
        engine = AsyncDependencyDescriptor(Engine)
        url = "other"

    app = fresh_app()
    async with Container(app) as container:
        reports, other = await container.get(Reports), await container.get(Other)

        assert ((await reports.engine).url, (await other.engine).url) == ("replica", "other")


async def test_late_and_optional():
    """
    Handles lead to it as well, and an optional attribute, or a default, stands in for what is not there.
    """
    app = fresh_app()

    def ask(
        late: Annotated[Lazy[Engine], Inject(Reports.engine)],
        nothing: Annotated[str | None, Inject(Reports.nothing)],
        instead: Annotated[str, Inject(Reports.nothing)] = "instead",
    ):
        return late, nothing, instead

    app.register_dependency("ask", ask)

    async with Container(app) as container:
        late, *rest = await container.get("ask")
        assert (await late).url == "replica"
        assert rest == [None, "instead"]


async def test_who_registers_the_same_key():
    """
    A registration of the same key takes the other layer's value, and not what it shadows itself.
    """
    app = fresh_app()

    def around(inner: Annotated[Engine, Inject(Reports.engine)]):
        return Engine(f"around {inner.url}")

    app.register_dependency(Engine, around)

    async with Container(app) as container:
        assert (await container.get(Engine)).url == "around replica"


def test_what_the_attribute_asks_for_is_missing():
    """
    Where nothing provides it, the text names what the attribute asks for.
    """

    class Bare(AsyncServiceBase):
        engine = AsyncDependencyDescriptor(Engine)

    def ask(engine: Annotated[Engine, Inject(Bare.engine)]): ...

    app = fresh_app()
    app.register_dependency("ask", ask)

    with pytest.raises(GraphErrors) as caught:
        Container(app)

    (problem,) = problems(caught.value)
    assert isinstance(problem, MissingDependencyError)
    assert str(problem).startswith('nothing provides Engine, needed by "ask".engine')


async def test_an_override_of_the_key_reaches_it():
    """
    An override of what the attribute asks for is what it gives, here as there.
    """
    fake = Engine("fake")

    class Shop(Db, providers=[Users]): ...

    async with Container(Shop) as container, container.override({Engine: fake}):
        assert (await container.get(Users)).urls == ("fake", "fake")


async def test_an_attribute_that_a_layer_inherits():
    """
    As a token it is what the class gives that was asked for it, and not what the base would give that wrote it.
    """

    class Both:
        def __init__(
            self,
            one: Annotated[Engine, Inject(One.engine)],
            two: Annotated[Engine, Inject(Two.engine)],
            late: Annotated[Lazy[Engine], Inject(Two.engine)],
        ) -> None:
            self.one, self.two, self.late = one, two, late

    app = fresh_app(providers=[Both])

    async with Container(app) as container:
        both = await container.get(Both)
        two = await container.get(Two)

        assert (both.one.url, both.two.url) == ("one", "two")
        assert both.two is await both.late is await two.engine is await Two.engine.resolve(two)
        assert Two.engine is Two.engine is not Written.engine


class Written(Base):
    engine = AsyncDependencyDescriptor(Engine)


class One(Written):
    url = "one"


class Two(Written):
    url = "two"


class Pool:
    def __init__(self, engine: Engine) -> None:
        self.url = engine.url


def by_list(layer):
    layer.register_providers([Pool])


def by_dictionary(layer):
    layer.register_providers([{"provide": Pool, "use_class": Pool}])


def by_decorator(layer):
    inject_dependency(on=layer)(Pool)


def by_function(layer):
    layer.register_dependency(Pool, make_pool)


def make_pool(engine: Engine) -> Pool:
    return Pool(engine)


@pytest.mark.parametrize("register", [by_list, by_dictionary, by_decorator, by_function])
async def test_what_a_layer_keeps_to_itself_looks_there_first(register):
    """
    A class that a layer of a service has for itself is built of what that layer has, for each subclass, as a function is.
    """

    class Pooled(Base):
        pool = AsyncDependencyDescriptor(Pool)

    class North(Pooled):
        url = "north"

    class South(Pooled):
        url = "south"

    register(Pooled)
    app = fresh_app(providers=[North, South])
    app.register_value(Engine, Engine("of the application"))

    async with Container(app) as container:
        pools = [(await (await container.get(service)).pool).url for service in (North, South)]

        assert pools == ["north", "south"]
