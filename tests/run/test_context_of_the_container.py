"""Values that come with a container: declared by the application, given when the container is made."""

import pytest
from helpers import fresh_app, problems

from asyncmeta import (
    AsyncDependencyDescriptor,
    AsyncServiceBase,
    Container,
    DeclarationError,
    Factory,
    GraphErrors,
    Lazy,
    MissingDependencyError,
    ScopeError,
    Token,
    inject_dependency,
)


class Settings:
    def __init__(self, dsn="db:"):
        self.dsn = dsn


DSN = Token[str]("dsn")


class Database:
    def __init__(self, settings: Settings) -> None:
        self.settings = settings


class Users(AsyncServiceBase, lifetime="scoped"):
    settings = AsyncDependencyDescriptor(Settings)

    def __init__(self, database: Database, late: Lazy[Settings]) -> None:
        self.database, self.late = database, late


def take(settings: Settings) -> Settings:
    return settings


def application(**keywords):
    return fresh_app(context={"singleton": [Settings, DSN]}, providers=[Database, Users], **keywords)


async def test_what_is_given_is_there_for_everybody():
    """
    A value given to the container serves parameters, attributes, handles and gets, in the container and in its scopes.
    """
    settings = Settings()

    async with Container(application(), {Settings: settings, DSN: "db:"}) as container:
        await container.start()
        async with container.request(Users) as users:
            seen = [users.database.settings, await users.settings, await users.late]
        seen += [await container.get(Settings), container.get_nowait(Settings)]

        assert seen == [settings] * 5
        assert await container.get(DSN) == "db:"


async def test_each_container_has_its_own():
    """
    Containers of one class share what was made of the class, and nothing of what they were given; closing keeps it.
    """
    app, one, two = application(), Settings("one"), Settings("two")
    first, second = Container(app, {Settings: one, DSN: ""}), Container(app, context={Settings: two, DSN: None})

    assert first._graph is second._graph
    for _ in range(2):
        async with first, second:
            assert (await first.get(Database)).settings is one
            assert (await second.get(Database)).settings is two
            assert await second.get(DSN) is None


def test_the_check_names_what_was_not_given():
    """
    A declared value that the container was not given is a problem that says how to give it; all at once.
    """
    with pytest.raises(GraphErrors) as caught:
        Container(application())

    told = problems(caught.value)
    assert [type(one) for one in told] == [MissingDependencyError] * 2
    assert {one.key for one in told} == {"Settings", "Token('dsn')"}
    assert "Container(..., {Settings: ...})" in str(told[0])


async def test_a_token_of_the_container_and_of_scopes():
    """
    A token that the container and its scopes declare has a value for each, and what lives as long gets its own.
    """
    app = fresh_app(context={"singleton": [Settings], "scoped": [Settings]}, providers=[Database])
    inject_dependency("inner", on=app, lifetime="scoped")(take)
    outer, inner = Settings(), Settings()

    with pytest.raises(GraphErrors, match="nothing provides Settings"):
        Container(app)
    async with Container(app, {Settings: outer}) as container, container.scope({Settings: inner}) as scope:
        assert (await scope.get(Database)).settings is await container.get(Settings) is outer
        assert await scope.get("inner") is await scope.get(Settings) is inner


def test_a_class_is_no_value_of_the_container():
    """
    A class as the value of a type that its instances are of is refused, with what was meant.
    """
    with pytest.raises(DeclarationError, match="the value of Settings would be the class Settings"):
        Container(application(), {Settings: Settings, DSN: ""})


def test_what_the_shared_layer_does_not_declare():
    """
    A container of the shared layer alone says how an application of one's own declares a value.
    """
    with pytest.raises(ScopeError, match=r"class App\(AsyncServiceBase, context="):
        Container(context={"dsn": ""})
    with Container() as container, pytest.raises(ScopeError, match=r"class App\(AsyncServiceBase, context="):
        container.scope({"dsn": ""}).__enter__()


def test_unchecked_it_is_told_by_the_get():
    """
    Without the check the first get that needs it says the same.
    """
    with pytest.raises(ScopeError, match="without Settings"):
        Container(application(), check=False).get_nowait(Database)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({Database: 1}, "Database is no context of the container"),
        ({"request": 1}, '"request" is context of the level \'scoped\''),
        ([Settings], "is a mapping from tokens to values"),
    ],
)
def test_what_is_not_declared_is_refused(given, said):
    """
    A value that the application does not declare for the container is refused, with the declaration.
    """

    class App(AsyncServiceBase, context={"singleton": [Settings], "": ["request"]}): ...

    with pytest.raises(ScopeError, match=said):
        Container(App, given)


async def test_it_is_overridden_like_any_other():
    """
    Overrides replace it, for who asks and for what was made of it, and from the beginning it need not be given.
    """
    settings, fake = Settings(), Settings("fake")

    async with Container(application(), {Settings: settings, DSN: ""}) as container:
        await container.get(Database)
        async with container.override({Settings: fake}):
            assert await container.get(Settings) is (await container.get(Database)).settings is fake
        assert (await container.get(Database)).settings is settings
    begun = Container(application(), {DSN: ""}, overrides={Settings: fake})
    assert begun.get_nowait(Database).settings is fake


async def test_a_factory_stands_in():
    """
    A declared value that has a factory as well need not be given.
    """
    app = application()
    app.register_dependency(Settings, lambda: Settings("made"))

    assert Container(app, {DSN: ""}).get_nowait(Database).settings.dsn == "made"
    assert Container(app, {DSN: "", Settings: Settings("given")}).get_nowait(Database).settings.dsn == "given"


def test_scopes_do_not_take_it():
    """
    What belongs to the container is none of a scope's context.
    """
    with Container(application(), {Settings: Settings(), DSN: ""}) as container:
        assert not container.takes(Settings)
        with pytest.raises(ScopeError, match="context of the level 'singleton'"):
            container.scope({Settings: Settings()})


async def test_an_optional_one():
    """
    Who asks for it or None gets the value.
    """

    def report(settings: Settings | None):
        return settings

    app = application()
    app.register_dependency("report", report)
    settings = Settings()

    assert Container(app, {Settings: settings, DSN: ""}).get_nowait("report") is settings


def test_no_factory_makes_what_is_given():
    """
    A Factory of what the container is given is a problem of the check: nothing that was registered makes it.
    """

    def ask(make: Factory[Settings]): ...

    app = application()
    app.register_dependency("ask", ask)

    with pytest.raises(GraphErrors, match="Settings is made by nothing that was registered"):
        Container(app, {Settings: Settings(), DSN: ""})
