"""What an override, or a higher layer, means by a key: none of a list, all keys of a value, instances and not classes."""

from typing import Annotated, Generic, Protocol, TypeVar

import pytest
from helpers import fresh_app

from asyncmeta import (
    All,
    AsyncDependencyDescriptor,
    AsyncServiceBase,
    Container,
    DeclarationError,
    Inject,
    MissingDependencyError,
    Scope,
    Token,
    inject_dependency,
)

T = TypeVar("T")


class Reader(Protocol):
    def read(self) -> str: ...


class FileReader:
    def read(self) -> str:
        return "file"


class FakeReader(FileReader):
    def read(self) -> str:
        return "fake"


class Page:
    def __init__(self, reader: Reader) -> None:
        self.reader = reader


class Plug:
    pass


class Board(AsyncServiceBase):
    plugs = AsyncDependencyDescriptor(All[Plug])

    def __init__(self, plugs: All[Plug]) -> None:
        self.taken = plugs


def plugged(**keywords):
    app = fresh_app(providers=[Board], **keywords)
    app.register_dependency(Plug, Plug, multi=True)
    app.register_dependency("names", lambda: "one", multi=True)
    return app


@pytest.mark.parametrize("none", [[], ()])
async def test_a_list_overridden_by_none(none):
    """
    An override of a multi key by no values means none: for who asks, for parameters, for attributes; until it ends.
    """
    async with Container(plugged()) as container:
        before = await container.get(Board)
        async with container.override({Plug: none, "names": none}):
            assert await container.get(All[Plug]) == []
            assert container.get_nowait(Annotated[list, Inject("names")]) == []
            assert (await container.get(Board)).taken == []
            assert await (await container.get(Board)).plugs == []
            assert await before.plugs == []

        assert len(await container.get(All[Plug])) == len(await before.plugs) == 1
        assert await container.get(Board) is before


def test_a_container_that_begins_with_none():
    """
    The same for the overrides that a container begins with, for an overlay, and for one override in another.
    """
    container = Container(plugged(), overrides={Plug: []})
    assert container.get_nowait(All[Plug]) == container.get_nowait(Board).taken == []

    with Container(plugged()) as other, other.overlay({Plug: []}) as overlay:
        assert overlay.get_nowait(All[Plug]) == []
        assert len(other.get_nowait(All[Plug])) == 1
        with other.override({Plug: []}), other.override({Plug: [Plug()]}):
            assert len(other.get_nowait(All[Plug])) == 1


def reading(**keywords):
    app = fresh_app(providers=[Page], **keywords)
    inject_dependency(on=app, also=[Reader, "reader"])(FileReader)
    return app


@pytest.mark.parametrize("fakes", [{FileReader: FakeReader()}, [{"provide": FileReader, "use_class": FakeReader}]])
def test_an_override_reaches_all_keys_of_the_value(fakes):
    """
    An override of a key is also what stands under the other keys of its registration, and reaches who asks by these.
    """
    with Container(reading()) as container:
        page = container.get_nowait(Page)
        with container.override(fakes):
            assert container.get_nowait(Reader) is container.get_nowait("reader") is container.get_nowait(FileReader)
            assert container.get_nowait(Page).reader.read() == "fake"

        assert container.get_nowait(Page) is page
        assert container.get_nowait(Reader).read() == "file"

    assert Container(reading(), overrides=fakes).get_nowait(Page).reader.read() == "fake"


def test_an_override_of_one_more_key_is_of_that_alone():
    """
    An override of one of the other keys leaves the value's own key alone.
    """
    with Container(reading()) as container, container.override({Reader: FakeReader()}):
        assert container.get_nowait(Reader).read() == "fake"
        assert container.get_nowait(FileReader).read() == container.get_nowait("reader").read() == "file"


def test_a_higher_layer_reaches_all_keys_of_the_value():
    """
    So does a registration in a layer above; one that names another key for itself is not in the way.
    """
    below = reading()

    class Above(below): ...

    class Top(Above): ...

    Above.register_dependency(FileReader, FakeReader)
    Top.register_dependency("reader", lambda: "own")

    assert Container(Above).get_nowait(Page).reader.read() == "fake"
    assert Container(Above).get_nowait("reader").read() == "fake"
    assert Container(below).get_nowait(Page).reader.read() == "file"
    assert Container(Top).get_nowait("reader") == "own"
    assert Container(Top).get_nowait(Reader).read() == "fake"


def test_a_decorator_may_ask_by_any_key_of_what_it_decorates():
    """
    A registration that decorates what is below gets that, by whichever of the keys it asks.
    """
    below = reading()

    class Above(below): ...

    class Louder(FileReader):
        def __init__(self, inner: Reader, again: FileReader) -> None:
            self.inner, self.again = inner, again

        def read(self) -> str:
            return self.inner.read().upper() + self.again.read().upper()

    Above.register_dependency(FileReader, Louder)

    assert Container(Above).get_nowait(Reader).read() == "FILEFILE"


class Quiet(Plug):
    pass


def by_register_value(app):
    app.register_value(FileReader, FakeReader)


def by_override(app):
    with Container(app) as container, container.override({FileReader: FakeReader}):
        pass


def by_overlay(app):
    with Container(app) as container, container.overlay({Reader: FakeReader}):
        pass


def by_beginning(app):
    Container(app, overrides={FileReader: FakeReader})


def by_dictionary(app):
    Container(app, providers=[{"provide": FileReader, "value": FakeReader}])


def by_itself(app):
    Container(app, overrides={FileReader: FileReader})


def by_member(app):
    app.register_dependency(Plug, Plug, multi=True)
    Container(app, overrides={Plug: [Quiet]})


@pytest.mark.parametrize("give", [by_register_value, by_override, by_overlay, by_beginning, by_dictionary, by_itself, by_member])
def test_a_class_is_no_value_for_its_instances(give):
    """
    A class as the value of a type that its instances are of is refused at the line, with what was meant: use_class.
    """
    with pytest.raises(DeclarationError) as caught:
        give(reading())

    assert '"use_class": ' in str(caught.value)
    assert "test_overriding_keys.py:" in str(caught.value)


class Callback(Protocol):
    def __call__(self) -> object: ...


class Module(Protocol):
    def load(self) -> str: ...


class Static:
    @staticmethod
    def load() -> str:
        return "loaded"


def test_a_class_that_is_meant_is_taken():
    """
    A class is a value where classes are what the key says: type[X], a callable, static methods, a key that is no type.
    """
    app = fresh_app()
    for key, value in (
        (type[FileReader], FakeReader),
        (list[type[FileReader]], FakeReader),
        (Callback, Plug),
        (Module, Static),
        ("kind", Plug),
        (type, Plug),
        (Plug, FileReader),
    ):
        app.register_value(key, value)

    container = Container(app)

    assert container.get_nowait(type[FileReader]) is FakeReader
    assert container.get_nowait(Callback) is Plug
    assert container.get_nowait(Module).load() == "loaded"


def test_a_class_by_itself_that_nothing_asks_for():
    """
    override([FakeReader]) names the key that it was meant for, and how that is written.
    """
    with Container(reading()) as container:
        with pytest.raises(MissingDependencyError) as caught, container.override([FakeReader]):
            pass
        with container.override([FileReader]):
            pass

    assert '[{"provide": FileReader, "use_class": FakeReader}]' in str(caught.value)


@pytest.mark.parametrize(
    ("fakes", "meant"),
    [
        ([{"provide": Plug, "value": "fake"}], '"multi": True'),
        ([Plug], '"multi": True'),
        ([{"provide": FileReader, "value": "fake", "multi": True}], 'leave "multi" out'),
    ],
)
def test_a_provider_is_one_value_or_one_of_several(fakes, meant):
    """
    A provider that puts one value in the place of several, or the other way about, is refused at the line of the override.
    """
    app = reading()
    app.register_dependency(Plug, Plug, multi=True)

    with pytest.raises(DeclarationError) as caught, Container(app).override(fakes):
        pass

    assert meant in str(caught.value)
    assert "test_overriding_keys.py:" in str(caught.value)


class Desk:
    def __init__(self, reader: Reader, file: FileReader) -> None:
        self.seen = reader, file


@pytest.mark.parametrize("by", ["layer", "override", "around"])
async def test_another_key_of_what_stands_in_its_place(by):
    """
    Who got by one more key what a higher layer, an override or a decorator has put in its place, gets an override of that key.
    """
    app = fresh_app(providers=[Desk])
    inject_dependency(on=app, also=[Reader])(FileReader)

    class Above(app): ...

    if by == "layer":
        Above.register_dependency(FileReader, lambda: "other")
    if by == "around":

        @inject_dependency(FileReader, on=app, around=True)
        def other(inner: FileReader) -> FileReader:
            return "other"

    async with Container(Above) as container, container.override({FileReader: "other"} if by == "override" else {}):
        assert (await container.get(Desk)).seen == ("other", "other")
        async with container.override({Reader: "fake"}):
            assert (await container.get(Desk)).seen == ("fake", "other")
    if by != "override":
        async with Container(Above) as container, container.overlay({Reader: "fake"}) as overlay:
            assert (await overlay.get(Desk)).seen == ("fake", "other")


class Shelf(Generic[T]):
    pass


class Numbers(Shelf[int]):
    pass


@pytest.mark.parametrize(("key", "cls"), [
    (Annotated[FileReader, "replica"], FakeReader),
    (Shelf[int], Numbers),
    (Shelf, Numbers),
    (Token[FileReader]("reader"), FakeReader),
    (Token[Shelf[int]]("numbers"), Numbers),
])  # fmt: skip
def test_a_class_for_a_named_value_or_a_generic(key, cls):
    """
    A class is no value of a named key of its base either, nor of a generic that it closes, nor of a Token of one of them.
    """
    with pytest.raises(DeclarationError, match=f'not an instance of it; .* "use_class": {cls.__name__}'):
        fresh_app().register_value(key, cls)


def test_a_class_for_a_token_of_classes():
    """
    A class is the value of a Token of classes.
    """
    App, token = fresh_app(), Token[type[FileReader]]("which")
    App.register_value(token, FakeReader)

    assert Container(App).get_nowait(token) is FakeReader


@pytest.mark.parametrize(
    ("overrides", "meant"),
    [
        (FakeReader, 'write [{"provide": ..., "use_class": FakeReader}]'),
        ([{FileReader: FakeReader}], 'FileReader is no key of a provider: write {"provide": FileReader, "use_class": ...}'),
        ([{"x": 1, FileReader: 1}], '"x" is no key of a provider'),
    ],
)
def test_overrides_of_no_form(overrides, meant):
    """
    A class by itself, and a mapping of values within a list, are refused with how it is written.
    """
    with pytest.raises(DeclarationError) as caught, Container(reading()).override(overrides):
        pass

    assert meant in str(caught.value)


@pytest.mark.parametrize("base", [Container, Scope])
def test_no_class_stands_for_what_is_always_there(base):
    """
    A class of one's own below Container or Scope is missing like any other, and stands for neither.
    """
    fake = type("Fake", (base,), {})

    with pytest.raises(MissingDependencyError, match="Fake"), Container(fresh_app()).override({fake: object()}):
        pass
