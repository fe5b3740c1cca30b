"""Which registration of a key counts: layers, replacing, two modules, one's own key, live registries."""

import os
import subprocess
import sys
import textwrap
import types
import uuid
from pathlib import Path

import pytest
from helpers import named

import asyncmeta
from asyncmeta import (
    AmbiguousDependencyError,
    AsyncDependencyDescriptor,
    AsyncServiceBase,
    CircularDependencyError,
    Container,
    DeclarationError,
    GraphErrors,
    MissingDependencyError,
    Token,
    inject_dependency,
)


class Mailer:
    """A thing with layers."""

    def __init__(self):
        self.name = "mailer"


def module(called, source, **names):
    """Run *source* as the module *called*, with *names* defined in it, and return the module."""
    made = types.ModuleType(called)
    vars(made).update(names, inject_dependency=inject_dependency)
    exec(compile(textwrap.dedent(source), f"{called}.py", "exec"), vars(made))
    return made


def run(source):
    """Run *source* in an interpreter of its own, whose shared layer is empty."""
    house = str(Path(asyncmeta.__file__).parent.parent)
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(source)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": house},
    )


# --- layers --------------------------------------------------------------------------------------


async def test_a_subclass_shadows_its_parent():
    """
    A higher layer shadows a lower one, for itself only.
    """

    class Parent(AsyncServiceBase):
        pass

    class Child(Parent):
        pass

    class Sibling(Parent):
        pass

    Parent.register_value("name", "parent")
    Child.register_value("name", "child")

    values = [await Container(cls).get("name") for cls in (Parent, Child, Sibling)]

    assert values == ["parent", "child", "parent"]


async def test_the_mro_is_the_order_of_the_layers():
    """
    Of two mixins the first one named wins, and a mixin named before the application wins over it.
    """

    class Mail(AsyncServiceBase):
        pass

    class Fake(AsyncServiceBase):
        pass

    class Shop(Mail, Fake):
        pass

    class FakeShop(Fake, Mail):
        pass

    Mail.register_value("mailer", "real")
    Fake.register_value("mailer", "fake")

    assert [await Container(cls).get("mailer") for cls in (Shop, FakeShop)] == ["real", "fake"]


async def test_a_profile_is_a_subclass_with_another_mixin():
    """
    `class FakeShop(FakeMail, Shop)` replaces what the mixin registers and keeps the rest.
    """

    class Mail(AsyncServiceBase):
        @inject_dependency("mailer")
        def make_mailer(self):
            return "real"

    class Shop(Mail, AsyncServiceBase):
        letter = AsyncDependencyDescriptor("letter")

        @inject_dependency("letter")
        @staticmethod
        def write(mailer):
            return f"by {mailer}"

    class FakeMail(AsyncServiceBase):
        @inject_dependency("mailer")
        def make_fake_mailer(self):
            return "fake"

    class FakeShop(FakeMail, Shop):
        pass

    assert [await Container(cls).get("letter") for cls in (Shop, FakeShop)] == ["by real", "by fake"]


async def test_the_shared_layer_is_the_lowest():
    """
    What a service class registers wins over the shared layer, which serves those that register nothing.
    """
    name = f"shared {uuid.uuid4()}"

    class App(AsyncServiceBase):
        pass

    class Other(AsyncServiceBase):
        pass

    AsyncServiceBase.register_value(name, "shared")
    App.register_value(name, "app")

    assert [await Container(cls).get(name) for cls in (App, Other)] == ["app", "shared"]


def test_get_dependency_follows_the_layers():
    """
    The factory that a class gives back is the one of its highest layer.
    """

    class Parent(AsyncServiceBase):
        pass

    class Child(Parent):
        pass

    def of_parent(): ...
    def of_child(): ...

    Parent.register_dependency("one", of_parent)
    Parent.register_dependency("two", of_parent)
    Child.register_dependency("two", of_child)

    assert Child.get_dependency("one") is of_parent
    assert Child.get_dependency("two") is of_child
    assert Parent.get_dependency("two") is of_parent
    assert Child.get_dependency("three") is None


def test_a_container_without_a_class_uses_the_shared_layer():
    """
    `Container()` serves programs of plain functions and classes.
    """
    done = run(
        """
        import asyncio
        from asyncmeta import Container, inject_dependency

        @inject_dependency("name")
        async def name():
            return "shared"

        @inject_dependency()
        class Greeter:
            def __init__(self, name):
                self.name = name

        async def main():
            async with Container() as container:
                print((await container.get(Greeter)).name)

        asyncio.run(main())
        """
    )

    assert (done.stdout, done.stderr) == ("shared\n", "")


# --- register_dependency, register_value ---------------------------------------------------------


async def test_register_dependency_replaces_always():
    """
    What is registered by call replaces what was there, whoever wrote that.
    """

    class App(AsyncServiceBase):
        @inject_dependency("name")
        @staticmethod
        def make():
            return "decorated"

    App.register_dependency("name", lambda: "first")
    App.register_dependency("name", lambda: "second")

    assert await Container(App).get("name") == "second"


async def test_register_dependency_replaces_across_modules():
    """
    A call from another module replaces without a word.
    """

    class App(AsyncServiceBase):
        pass

    module("wiring_one", "@inject_dependency('name', on=App)\ndef make(): return 'one'", App=App)
    module("wiring_two", "App.register_dependency('name', lambda: 'two')", App=App)

    assert await Container(App).get("name") == "two"


async def test_register_dependency_takes_options():
    """
    A call has the options of the decorator.
    """

    class App(AsyncServiceBase):
        pass

    App.register_dependency("thing", lambda: object(), lifetime="scoped", also=["other"])

    async with Container(App).scope() as one:
        assert await one.get("thing") is await one.get("other")


async def test_register_dependency_takes_any_hashable_as_a_key():
    """
    In a call any hashable may be a token, as its own key.
    """

    class App(AsyncServiceBase):
        pass

    class Colour:
        red = object()

    App.register_dependency(("tuple", 1), lambda: "tuple")
    App.register_value(Colour.red, "object")
    App.register_value(42, "number")

    assert App.get_dependency(("tuple", 1))() == "tuple"
    assert await Container(App).get(("tuple", 1)) == "tuple"


@pytest.mark.parametrize("value", [None, 0, "", [], {}, Mailer, len, lambda: "called", object()], ids=named)
async def test_a_value_is_handed_over_as_it_is(value):
    """
    A registered value is given as it is: never called, copied or compared.
    """

    class App(AsyncServiceBase):
        pass

    App.register_value("value", value)

    assert await Container(App).get("value") is value


async def test_a_value_is_typed_by_its_token():
    """
    A value can be registered under a class, a Token or a string.
    """

    class App(AsyncServiceBase):
        pass

    dsn, mailer = Token[str]("dsn"), Mailer()
    App.register_value(dsn, "sqlite://")
    App.register_value(Mailer, mailer)
    container = Container(App)

    assert [await container.get(dsn), await container.get(Mailer)] == ["sqlite://", mailer]


# --- same module, two modules --------------------------------------------------------------------


async def test_a_reload_replaces():
    """
    A later registration of the same module replaces the earlier one, and the check says so.
    """

    class App(AsyncServiceBase):
        pass

    source = "@inject_dependency('name', on=App)\ndef make(): return version"
    module("notebook", source, App=App, version=1)
    module("notebook", source, App=App, version=2)
    container = Container(App)

    assert await container.get("name") == 2
    assert any('"name"' in line for line in container.check().replaced)


def test_two_modules_are_ambiguous():
    """
    Two modules that decorate one key into one layer are an error that names both places.
    """

    class App(AsyncServiceBase):
        pass

    source = "@inject_dependency('name', on=App)\ndef make(): ..."
    module("first_module", source, App=App)
    module("second_module", source, App=App)

    with pytest.raises(GraphErrors) as caught:
        Container(App)

    (problem,) = caught.value.exceptions
    assert isinstance(problem, AmbiguousDependencyError)
    assert problem.key == '"name"'
    assert {Path(place.rpartition(":")[0]).name for place in problem.places} == {"first_module.py", "second_module.py"}
    assert "replace=True" in str(problem)


async def test_replace_settles_two_modules():
    """
    The later of two modules wins when it says replace=True.
    """

    class App(AsyncServiceBase):
        pass

    module("first_module", "@inject_dependency('name', on=App)\ndef make(): return 'first'", App=App)
    module("second_module", "@inject_dependency('name', on=App, replace=True)\ndef make(): return 'second'", App=App)

    assert await Container(App).get("name") == "second"


async def test_a_call_settles_two_modules():
    """
    A registration by call ends the ambiguity of what it replaces.
    """

    class App(AsyncServiceBase):
        pass

    source = "@inject_dependency('name', on=App)\ndef make(): ..."
    module("first_module", source, App=App)
    module("second_module", source, App=App)

    App.register_value("name", "settled")

    assert await Container(App).get("name") == "settled"


async def test_two_modules_in_two_layers_are_not_ambiguous():
    """
    A higher layer shadows a lower one, whichever modules they are written in.
    """

    class Lower(AsyncServiceBase):
        pass

    class Higher(Lower):
        pass

    module("first_module", "@inject_dependency('name', on=App)\ndef make(): return 'lower'", App=Lower)
    module("second_module", "@inject_dependency('name', on=App)\ndef make(): return 'higher'", App=Higher)

    assert await Container(Higher).get("name") == "higher"


async def test_an_ambiguity_concerns_only_who_reaches_it():
    """
    Two modules that quarrel in the shared layer stop nobody who does not ask for their key.
    """
    name = f"ambiguous {uuid.uuid4()}"
    source = "@inject_dependency(name)\ndef make(): ..."
    module("first_module", source, name=name)
    module("second_module", source, name=name)

    class App(AsyncServiceBase):
        pass

    App.register_value("other", "other")
    container = Container(App)
    try:
        assert await container.get("other") == "other"
        with pytest.raises(AmbiguousDependencyError):
            await container.get(name)
    finally:
        AsyncServiceBase.register_value(name, None)  # settles it for the tests that follow


# --- one's own key -------------------------------------------------------------------------------


async def test_a_registration_that_asks_for_its_own_key_decorates_the_one_below():
    """
    A factory that needs its own key gets the value that it shadows.
    """

    class Mail(AsyncServiceBase):
        @inject_dependency("mailer")
        @staticmethod
        def make():
            return ["mail"]

    class App(Mail):
        @inject_dependency("mailer")
        @staticmethod
        async def log(mailer):
            return [*mailer, "log"]

    assert await Container(App).get("mailer") == ["mail", "log"]


async def test_decoration_goes_on_through_all_layers():
    """
    Each layer decorates the next lower one that has the key, down to the shared layer.
    """
    name = f"mailer {uuid.uuid4()}"
    inner = Token[list]("inner")

    class One(AsyncServiceBase):
        pass

    class Two(One):
        pass

    class Three(Two):
        pass

    class Four(Three):
        pass

    AsyncServiceBase.register_dependency(name, lambda: ["shared"])
    namespace = {"name": name}
    for layer, mark in ((One, "one"), (Two, "two"), (Four, "four")):
        exec(  # the parameter's annotation holds the name made above
            "from typing import Annotated, Any\nfrom asyncmeta import Inject\n"
            "def wrap(mark):\n"
            "    def decorate(value: Annotated[Any, Inject(name)]): return [*value, mark]\n"
            "    return decorate\n",
            namespace,
        )
        layer.register_dependency(name, namespace["wrap"](mark))
    Four.register_dependency(inner, lambda: [])

    values = [await Container(cls).get(name) for cls in (One, Two, Three, Four)]

    assert values == [
        ["shared", "one"],
        ["shared", "one", "two"],
        ["shared", "one", "two"],
        ["shared", "one", "two", "four"],
    ]


async def test_a_class_decorates_its_own_key():
    """
    A class registered for a key may take the one below as a constructor argument.
    """

    class Mail(AsyncServiceBase):
        pass

    class App(Mail):
        pass

    inject_dependency(Mailer, on=Mail)(Mailer)

    @inject_dependency(Mailer, on=App)
    class Logged(Mailer):
        def __init__(self, inner: Mailer):
            self.inner = inner

    mailer = await Container(App).get(Mailer)

    assert type(mailer) is Logged
    assert type(mailer.inner) is Mailer


async def test_a_registered_service_class_can_be_decorated():
    """
    What stands below every registration of a service class is its constructor.
    """

    class Users(AsyncServiceBase):
        pass

    class App(AsyncServiceBase):
        @inject_dependency(Users)
        @staticmethod
        def wrap(users: Users):
            return ("wrapped", users)

    mark, users = await Container(App).get(Users)

    assert mark == "wrapped"
    assert type(users) is Users


def test_nothing_below_one_s_own_key_is_a_circle():
    """
    A factory that asks for its own key with nothing below it needs itself.
    """

    class App(AsyncServiceBase):
        @inject_dependency("mailer")
        @staticmethod
        def log(mailer): ...

    with pytest.raises(GraphErrors) as caught:
        Container(App)

    (problem,) = caught.value.exceptions
    assert isinstance(problem, CircularDependencyError)
    assert problem.key == '"mailer"'


async def test_the_decorated_value_is_shared_by_nobody_else():
    """
    Who asks for the key gets the highest layer's value, also those that a lower layer registers.
    """

    class Lower(AsyncServiceBase):
        @inject_dependency("name")
        @staticmethod
        def make():
            return "lower"

        @inject_dependency("user")
        @staticmethod
        def use(name):
            return f"user of {name}"

    class Higher(Lower):
        @inject_dependency("name")
        @staticmethod
        def wrap(name):
            return f"higher({name})"

    assert await Container(Higher).get("user") == "user of higher(lower)"


# --- registries are live -------------------------------------------------------------------------


async def test_a_new_key_is_seen_by_a_container_that_exists():
    """
    What is registered after a container was made is found by its next get.
    """

    class App(AsyncServiceBase):
        pass

    async with Container(App) as container:
        with pytest.raises(MissingDependencyError):
            await container.get("late")
        App.register_value("late", "here")

        assert await container.get("late") == "here"


async def test_what_is_not_built_follows_its_new_registration():
    """
    A key that was not built yet is built by its newest registration.
    """

    class App(AsyncServiceBase):
        pass

    App.register_value("name", "old")
    App.register_dependency("greeting", lambda name: f"hello {name}")
    async with Container(App) as container:
        App.register_value("name", "new")

        assert await container.get("greeting") == "hello new"


async def test_what_is_built_stays_and_is_listed():
    """
    A built value stays until closing, though its key was registered anew; the check lists it as outdated.
    """

    class App(AsyncServiceBase):
        pass

    App.register_value("other", "other")
    App.register_dependency("name", lambda: "old")
    async with Container(App) as container:
        await container.get("name")
        await container.get("other")
        before = container.check().outdated
        App.register_dependency("name", lambda: "new")

        assert await container.get("name") == "old"
        assert before == ()
        assert [line for line in container.check().outdated if '"name"' in line]
        assert not [line for line in container.check().outdated if '"other"' in line]
        assert await Container(App).get("name") == "new"


async def test_what_is_built_stays_whatever_is_registered():
    """
    A built value stays though its key became ambiguous, or got another lifetime; the next container is told.
    """

    class App(AsyncServiceBase):
        pass

    source = "@inject_dependency('quarrel', on=App)\ndef make(): return __name__"
    module("first_module", source, App=App)
    App.register_dependency("moved", lambda: "single")
    async with Container(App) as container:
        await container.get("quarrel")
        await container.get("moved")
        module("second_module", source, App=App)
        App.register_dependency("moved", lambda: "scoped", lifetime="scoped")

        assert await container.get("quarrel") == "first_module"
        assert await container.get("moved") == "single"
    with pytest.raises(GraphErrors):
        Container(App)


async def test_a_closed_container_starts_over_with_the_newest_registrations():
    """
    A container that is entered again builds by what is registered then.
    """

    class App(AsyncServiceBase):
        pass

    App.register_dependency("name", lambda: "old")
    container = Container(App)
    async with container:
        assert await container.get("name") == "old"
    App.register_dependency("name", lambda: "new")

    async with container:
        assert await container.get("name") == "new"


async def test_a_new_registration_is_checked_by_the_next_get():
    """
    A registration that does not fit is told by the first get that reaches it.
    """

    class App(AsyncServiceBase):
        pass

    App.register_value("fine", "fine")
    async with Container(App) as container:
        App.register_dependency("broken", lambda nowhere_to_be_found: None)

        assert await container.get("fine") == "fine"
        with pytest.raises(MissingDependencyError, match="nowhere_to_be_found"):
            await container.get("broken")


async def test_a_new_layer_s_key_shadows_for_open_scopes_too():
    """
    A registration made while a scope is open is seen by its next get of a key that is not built.
    """

    class App(AsyncServiceBase):
        pass

    App.register_dependency("thing", lambda: "old", lifetime="scoped")
    async with Container(App) as container, container.scope() as scope:
        App.register_dependency("thing", lambda: "new", lifetime="scoped")

        assert await scope.get("thing") == "new"


# --- nothing is half-registered ------------------------------------------------------------------


def test_a_refused_registration_leaves_nothing_behind():
    """
    When one of several tokens is wrong, none is registered.
    """

    class App(AsyncServiceBase):
        pass

    def make(): ...

    with pytest.raises(DeclarationError):
        App.register_dependency("good", make, also=["better", []])
    with pytest.raises(DeclarationError):
        inject_dependency("good", on=App, also=["better", []])(make)

    assert App.get_dependency("good") is None
    assert App.get_dependency("better") is None


def test_a_refused_replacement_leaves_the_old_one():
    """
    A registration that is refused replaces nothing.
    """

    class App(AsyncServiceBase):
        pass

    def make(): ...

    App.register_dependency("name", make)

    with pytest.raises(DeclarationError):
        App.register_dependency("name", "not a factory")

    assert App.get_dependency("name") is make
