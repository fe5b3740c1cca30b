"""Named[T]: the members of a multi key that have names, of which one is chosen by a setting."""

import pickle
from enum import Enum
from typing import Annotated

import pytest
from helpers import Journal, fresh_app, problems

from asyncmeta import (
    All,
    AsyncDependencyDescriptor,
    AsyncServiceBase,
    CaptiveDependencyError,
    Container,
    DeclarationError,
    GraphErrors,
    Inject,
    Lazy,
    MissingDependencyError,
    Named,
    inject_dependency,
)


class Model:
    name = "model"


class Key:
    pass


class Size(Enum):
    SMALL = 1


def models(journal, **keywords):
    """Return an application with a few members, one without a name, which note when they are built."""
    app = fresh_app(**keywords)

    @inject_dependency(Model, multi="openai", on=app)
    async def openai(key: Key):
        journal.append("+openai")
        return "openai"

    @inject_dependency(Model, multi="local", on=app)
    def local():
        journal.append("+local")
        return "local"

    @inject_dependency(Model, multi=Size.SMALL, on=app, lifetime="transient")
    def small():
        journal.append("+small")
        return "small"

    @inject_dependency(Model, multi=True, on=app)
    def plain():
        journal.append("+plain")
        return "plain"

    app.register_dependency(Key, Key)
    return app


class Chat(AsyncServiceBase):
    by_attribute = AsyncDependencyDescriptor(Named[Model])

    def __init__(self, models: Named[Model]) -> None:
        self.models = models


async def test_only_what_is_chosen_is_built():
    """
    Names lead to handles; only the chosen member is built, also by start(), which builds those without a name.
    """
    journal = Journal()
    app = models(journal, providers=[Chat])

    async with Container(app) as container:
        await container.start()
        assert journal == ["+plain"]
        chat = await container.get(Chat)
        assert await chat.models["openai"] == "openai"
        assert await chat.models["openai"] == await (await chat.by_attribute)["openai"] == "openai"
        assert await (await container.get(Named[Model]))[Size.SMALL] == "small"
        assert chat.models["local"].nowait() == "local"

        assert journal == ["+plain", "+openai", "+small", "+local"]
        assert await container.get(All[Model]) == ["openai", "local", "small", "plain"]


async def test_it_is_a_read_only_mapping():
    """
    The names are there for looking at, in the order of writing; one that is not there says what may have been meant.
    """
    async with Container(models(Journal(), providers=[Chat])) as container:
        named = (await container.get(Chat)).models

        assert list(named) == ["openai", "local", Size.SMALL]
        assert len(named) == 3
        assert "local" in named and "plain" not in named and named.get("plain") is None
        assert isinstance(named["local"], Lazy)
        assert named["local"] is named["local"]
        assert repr(named) == '<Named Model: "openai", "local", Size.SMALL>'
        with pytest.raises(KeyError, match='no Model goes by "opnai"; did you mean "openai"'):
            named["opnai"]
        with pytest.raises(TypeError):
            named["other"] = 1
        with pytest.raises(TypeError):
            pickle.dumps(named)


def test_every_choice_is_checked():
    """
    A member that cannot be made is a problem, chosen or not, and so is one that lives too short.
    """
    app = models(Journal(), providers=[Chat])
    app.register_dependency(Model, lambda nothing: nothing, multi="broken")
    app.register_dependency(Model, Model, multi="short", lifetime="scoped")

    with pytest.raises(GraphErrors) as caught:
        Container(app)

    kinds = {type(one) for one in problems(caught.value)}
    assert {MissingDependencyError, CaptiveDependencyError} <= kinds


def test_a_name_twice():
    """
    A name that two modules use in one layer is ambiguous for who asks; one of the same module is replaced.
    """
    app = fresh_app()
    for module in ("one", "two"):
        names = {"inject_dependency": inject_dependency, "app": app, "Model": Model, "__name__": module}
        source = "@inject_dependency(Model, multi='a', on=app)\ndef make(): return __name__"
        exec(compile(source, f"{module}.py", "exec"), names)

    def ask(models: Named[Model]): ...

    app.register_dependency("ask", ask)
    with pytest.raises(GraphErrors, match="more than one module"):
        Container(app)

    app.register_dependency(Model, lambda: "called", multi="a")
    assert Container(app).get_nowait(Named[Model])["a"].nowait() == "called"


async def test_a_higher_layer_replaces_a_name():
    """
    A member of a higher layer takes the place of that of its name, in the collection and in the list.
    """
    below = models(Journal())

    class Above(below): ...

    Above.register_dependency(Model, lambda: "other", multi="local")
    Above.register_dependency(Model, lambda: "new", multi="new")

    async with Container(Above) as container:
        named = await container.get(Named[Model])
        assert list(named) == ["openai", "local", Size.SMALL, "new"]
        assert await named["local"] == "other"
        assert await container.get(All[Model]) == ["openai", "other", "small", "plain", "new"]


@pytest.mark.parametrize("fakes", [{Model: {"local": "fake"}}, [{"provide": Model, "value": "fake", "multi": "local"}]])
async def test_an_override_of_one_name(fakes):
    """
    An override may mean one member: the others stay, and who chose before gets the fake while it is in force.
    """
    async with Container(models(Journal(), providers=[Chat])) as container:
        before = (await container.get(Chat)).models
        async with container.override(fakes):
            named = await container.get(Named[Model])
            assert [await named["local"], await named["openai"]] == ["fake", "openai"]
            assert await before["local"] == await (await container.get(Chat)).models["local"] == "fake"
            assert await container.get(All[Model]) == ["openai", "fake", "small", "plain"]

        assert await before["local"] == "local"


@pytest.mark.parametrize("two", ["members", "into"])
def test_a_name_twice_in_one_module(two):
    """
    A name that one module gives to two members is ambiguous, and the text says the name and both places.
    """
    app = fresh_app(providers=[Named[Model]])

    class Other(Model): ...

    for cls in (Model, Other):
        if two == "members":
            inject_dependency(Model, on=app, multi="a")(cls)
        else:
            inject_dependency(cls.__name__, on=app, into={Model: "a"})(cls)

    with pytest.raises(GraphErrors, match=r'Model is registered twice under the name "a": .*_named.py:\d+, .*_named.py:\d+'):
        Container(app)


async def test_an_override_by_none():
    """
    Where an override says that there are none, the collection is empty, also for a handle that was there before.
    """
    async with Container(models(Journal(), providers=[Chat])) as container:
        before = (await container.get(Chat)).models
        async with container.override({Model: []}):
            assert list(await container.get(Named[Model])) == []
            with pytest.raises(KeyError, match="no Model goes by \"local\"; it has no members"):
                (await container.get(Named[Model]))["local"]
            with pytest.raises(MissingDependencyError, match='no Model goes by "local" here'):
                await before["local"]


async def test_a_member_that_is_not_awaited():
    """
    A use of a member that is not awaiting names the key and the member.
    """
    async with Container(models(Journal())) as container:
        named = await container.get(Named[Model])
        with pytest.raises(AttributeError, match=r'Model\["local"\] is awaited'):
            named["local"].name


async def test_an_override_of_all():
    """
    A list replaces all members, those with names, too.
    """
    async with Container(models(Journal())) as container, container.override({Model: ["fake"]}):
        assert await container.get(All[Model]) == ["fake"]
        with pytest.raises(MissingDependencyError, match="no member of Model has a name"):
            await container.get(Named[Model])


async def test_provider_lists_and_strings():
    """
    A provider dictionary names its member, and a key that is no type is asked for by its mark.
    """

    def ask(tools: Annotated[Named[str], Inject("tool")]):
        return tools

    app = fresh_app(providers=[{"provide": "tool", "value": name, "multi": name} for name in ("hammer", "saw")])
    app.register_dependency("ask", ask)

    async with Container(app) as container:
        assert await (await container.get("ask"))["saw"] == "saw"


def test_none_has_a_name():
    """
    A collection of what has no names is a problem that says how to give one; with None allowed it is None.
    """

    def ask(models: Named[Model]): ...

    def may(models: Named[Model] | None):
        return models

    app = fresh_app()
    app.register_dependency(Model, Model, multi=True)
    app.register_dependency("may", may)
    assert Container(app).get_nowait("may") is None

    app.register_dependency("ask", ask)
    with pytest.raises(GraphErrors, match=r'no member of Model has a name: @inject_dependency\(Model, multi="..."\)'):
        Container(app)


@pytest.mark.parametrize("name", [None, [], {}])
def test_what_is_no_name(name):
    """
    A name is any hashable but None.
    """
    with pytest.raises(DeclarationError, match="multi is True or False, or the name of a member"):
        inject_dependency(Model, multi=name, on=fresh_app())(Model)


def test_no_leaks_of_choices():
    """
    Choosing again and again keeps nothing: the places that ask are made once.
    """
    with Container(models(Journal(), providers=[Chat])) as container:
        for _ in range(3):
            assert container.get_nowait(Named[Model])["local"].nowait() == "local"
        before = len(container._graph.roots)
        for _ in range(50):
            assert container.get_nowait(Named[Model])["local"].nowait() == "local"

        assert len(container._graph.roots) == before
