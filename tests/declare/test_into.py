"""into=: values that have a key of their own and are, beside it, among the several values of another one."""

from typing import Annotated

import pytest
from helpers import fresh_app

from asyncmeta import (
    All,
    AsyncServiceBase,
    Container,
    DeclarationError,
    GraphErrors,
    Inject,
    Named,
    inject_dependency,
)


class Exporter:
    pass


class Csv(Exporter):
    pass


class Pdf(Exporter):
    pass


def exporters(**names):
    """Return an application with two exporters that can be had alone as well."""
    app = fresh_app()
    inject_dependency(on=app, into=names.get("csv", [Exporter]), lifetime="scoped")(Csv)
    inject_dependency(on=app, into=names.get("pdf", [Exporter]))(Pdf)
    return app


async def test_alone_and_among_others():
    """
    What says into= is one value, whether it is asked for alone or with all: its lifetime and closing are its own.
    """
    closed = []
    app = exporters()

    @inject_dependency("text", on=app, into=[Exporter], lifetime="scoped")
    async def open_text():
        try:
            yield "text"
        finally:
            closed.append("text")

    async with Container(app) as container, container.scope() as scope:
        every = await scope.get(All[Exporter])

        assert every == [await scope.get(Csv), await scope.get(Pdf), "text"]
        assert (await scope.get(All[Exporter]))[1] is await container.get(Pdf)
    assert closed == ["text"]


async def test_with_a_name():
    """
    A mapping gives the member a name: it may be chosen, and still be had alone.
    """
    app = exporters(csv={Exporter: "csv"})

    async with Container(app) as container, container.scope() as scope:
        assert await (await scope.get(Named[Exporter]))["csv"] is await scope.get(Csv)
        assert await scope.get(All[Exporter]) == [await scope.get(Csv), await scope.get(Pdf)]


def test_an_override_of_its_key_reaches_the_list():
    """
    A fake of the key stands in the list, too; a fake list is the list, and leaves the key alone.
    """
    app = exporters()
    fake = Pdf()
    with Container(app) as container, container.scope() as scope:
        real = scope.get_nowait(Csv)
        with container.override({Pdf: fake}):
            assert scope.get_nowait(All[Exporter]) == [real, fake]
        with container.override({Exporter: [fake]}):
            assert scope.get_nowait(All[Exporter]) == [fake]
            assert scope.get_nowait(Csv) is real


def test_one_value_for_each_key():
    """
    A key that is registered again, in the same layer or a higher one, is in the list once, as what it is now.
    """
    app = exporters()

    class Above(app): ...

    other = Pdf()
    Above.register_dependency(Pdf, lambda: other, into=[Exporter])
    inject_dependency(on=app, into=[Exporter], lifetime="scoped")(Csv)

    with Container(Above) as container, container.scope() as scope:
        assert scope.get_nowait(All[Exporter]) == [scope.get_nowait(Csv), other]
    with Container(app) as container, container.scope() as scope:
        assert scope.get_nowait(All[Exporter]) == [scope.get_nowait(Csv), scope.get_nowait(Pdf)]


def test_in_bodies_and_lists():
    """
    The word goes with class bodies, provider dictionaries, values among them, and with register_dependency.
    """

    class App(
        AsyncServiceBase,
        providers=[{"provide": Csv, "into": [Exporter]}, {"provide": "text", "value": "text", "into": {Exporter: "text"}}],
    ):
        @inject_dependency(into=[Exporter])
        def open_pdf(self) -> Pdf:
            return Pdf()

    App.register_dependency("called", lambda: "called", into=[Exporter])

    with Container(App) as container:
        found = container.get_nowait(All[Exporter])
        assert sorted(one if isinstance(one, str) else type(one).__name__ for one in found) == ["Csv", "Pdf", "called", "text"]
        assert container.get_nowait(Named[Exporter])["text"].nowait() == "text"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"into": Exporter}, "into is a sequence of tokens"),
        ({"into": "exporter"}, "into is a sequence of tokens"),
        ({"into": [Exporter], "multi": True}, "into= goes beside a key of its own"),
        ({"into": [Csv]}, "Csv is the value's own key"),
        ({"into": [Exporter], "also": [Exporter]}, "Exporter is the value's own key"),
        ({"into": {Exporter: None}}, "multi is True or False, or the name of a member"),
        ({"into": [Pdf]}, "Csv is registered for Pdf but is no subclass of it"),
    ],
    ids=lambda one: one if isinstance(one, str) else ", ".join(one),
)
def test_what_is_refused(options, message):
    """
    What cannot be meant is refused, and nothing of it is registered.
    """
    app = fresh_app()

    with pytest.raises(DeclarationError, match=message):
        inject_dependency(on=app, **options)(Csv)

    assert app.get_dependency(Csv) is app.get_dependency(Exporter) is None


def test_into_what_has_one_value():
    """
    A key of one value takes no members: refused, and nothing of it is registered.
    """
    app = fresh_app()
    app.register_dependency(Exporter, Exporter)

    with pytest.raises(DeclarationError, match="registered without multi=True"):
        inject_dependency(on=app, into=[Exporter])(Csv)

    assert app.get_dependency(Csv) is None


def test_two_modules_of_one_key():
    """
    Two modules that register the key are an error for whoever asks for all, as for who asks for the key.
    """
    app = fresh_app()
    for module in ("one", "two"):
        names = {"inject_dependency": inject_dependency, "app": app, "Csv": Csv, "Exporter": Exporter, "__name__": module}
        source = "@inject_dependency(Csv, on=app, into=[Exporter])\ndef make(): return __name__"
        exec(compile(source, f"{module}.py", "exec"), names)

    def ask(every: All[Exporter]): ...

    app.register_dependency("ask", ask)

    with pytest.raises(GraphErrors, match="more than one module"):
        Container(app)


def test_into_takes_tokens():
    """
    What is no token is refused at the line, also what cannot be hashed.
    """
    app = fresh_app()

    with pytest.raises(DeclarationError, match=r"a token is .*, not list \(.*test_into.py:"):
        inject_dependency("csv", on=app, into=[[]])(lambda: 1)
    with pytest.raises(DeclarationError, match=r'provider 0 \("csv"\): a token has to be hashable'):
        app.register_providers([{"provide": "csv", "value": 1, "into": [[]]}])


def test_a_member_said_again_keeps_its_place():
    """
    What a higher layer, or an override, says of a value that is a member takes that one's place and no other's.
    """
    app = fresh_app()
    for name in ("a", "b", "c"):
        app.register_dependency(name, lambda name=name: name, into=["all"])

    class Above(app): ...

    Above.register_dependency("a", lambda: "above", into={"all": "named"})
    key = Annotated[list, Inject("all")]

    with Container(Above) as container:
        assert container.get_nowait(key) == ["above", "b", "c"]
        with container.override([{"provide": "b", "value": "fake", "into": ["all"]}]):
            assert container.get_nowait(key) == ["above", "fake", "c"]
        with container.override([{"provide": "new", "value": "new", "into": ["all"]}], new=True):
            assert container.get_nowait(key) == ["above", "b", "c", "new"]
