"""Texts that say what was meant where nothing provides a key."""

import asyncio
import pickle
import re
from typing import Annotated, Generic, Protocol, TypeVar

import pytest
from helpers import fresh_app, outcome, problems

from asyncmeta import (
    INJECTED,
    All,
    AsyncDependencyDescriptor,
    AsyncServiceBase,
    ClosedError,
    Container,
    DeclarationError,
    Factory,
    From,
    GraphErrors,
    Inject,
    Lazy,
    MissingDependencyError,
    Scope,
    ScopeError,
    inject_dependency,
    injected,
)

T = TypeVar("T")


class Settings:
    pass


class Request:
    pass


class Postgres(AsyncServiceBase):
    """A layer of its own."""


Postgres.register_value("what was meant: dsn", "postgresql://")


def told(app):
    """Return the text of the one problem that *app* has."""
    with pytest.raises(GraphErrors) as caught:
        Container(app)
    (problem,) = problems(caught.value)
    return str(problem)


def asking(form):
    def ask(it: form): ...

    return ask


def test_two_classes_of_one_name():
    """
    A class that is not the registered one of its name is told apart from it by its module.
    """
    other = type("Settings", (), {"__module__": "shop.other"})
    app = fresh_app(providers=[Settings])
    app.register_dependency("ask", asking(other))

    assert f"the Settings of {__name__} is registered, and this is that of shop.other" in told(app)


def test_a_request_that_nobody_declares():
    """
    What a framework's scope brings along is declared as context; the text shows how.
    """
    app = fresh_app()
    app.register_dependency("ask", asking(Request), lifetime="scoped")

    assert "class App(AsyncServiceBase, context=[Request])" in told(app)


class Unequal:
    """A key whose comparison raises; its hash is that of True."""

    def __eq__(self, other):
        raise RuntimeError("not to be compared")

    def __hash__(self):
        return hash(True)


class OfUnequal(AsyncServiceBase):
    pass


OfUnequal.register_dependency(Unequal(), lambda: 1)


def test_keys_of_others_that_cannot_be_compared():
    """
    Looking for what may have been meant asks layers of others, too: what their keys raise is not what the caller gets.
    """

    class App(AsyncServiceBase):
        pass

    with Container(App) as container, pytest.raises(MissingDependencyError):
        container.get_nowait(True)


def test_a_value_on_another_services_layer():
    """
    A key that another service of the program has for itself names that service.
    """

    class App(AsyncServiceBase):
        dsn = AsyncDependencyDescriptor("what was meant: dsn")

    App.__module__ = __name__

    assert "Postgres registers it for itself and its subclasses: derive App from Postgres" in told(App)


def test_a_scope_inside_of_the_innermost():
    """
    scope() of the innermost level says that there is none inside, and what to do.
    """
    with Container(fresh_app()) as container, container.scope() as scope:
        with pytest.raises(ScopeError, match="is the innermost one of App and has no scopes inside: ask it itself"):
            scope.scope()


class Port:
    pass


def test_needed_by_names_the_factory():
    """
    Who needs it is told by the factory's name beside the key, and a class beside the key that it is made for.
    """
    functions, classes = fresh_app(), fresh_app()

    @inject_dependency(Settings, on=functions)
    def read_settings(dsn): ...

    @inject_dependency(Port, on=classes)
    class Adapter(Port):
        def __init__(self, dsn): ...

    assert "needed by Settings.dsn of read_settings (" in told(functions)
    assert "needed by Adapter.dsn for Port (" in told(classes)


def test_the_name_of_a_function_is_not_said_twice():
    """
    A factory that is called as its key is not named beside it.
    """
    app = fresh_app()

    @inject_dependency("store", on=app)
    def store(dsn): ...

    assert 'needed by "store".dsn (' in told(app)


def test_an_error_with_its_asker_can_be_pickled():
    """
    What names the factory is a fact like the others and survives pickling.
    """
    app = fresh_app()
    app.register_dependency("request", asking(Request))
    with pytest.raises(GraphErrors) as caught:
        Container(app)
    (problem,) = problems(caught.value)

    copied = pickle.loads(pickle.dumps(problem))

    assert str(copied) == str(problem)
    assert 'needed by "request".it of ask (' in str(copied)


def test_injected_without_any_mark():
    """
    A decorated function that marks nothing, and takes what may have been meant, says so; one that takes data alone does not.
    """
    with pytest.warns(UserWarning, match=r"@injected fills nothing of show: no parameter is marked; write settings: From\["):

        @injected
        def show(name: str, settings: Settings): ...

    @injected
    def greet(name: str, times: int = 1): ...

    assert not hasattr(show, "__wrapped__")


async def test_a_closed_scope_met_by_a_background_task():
    """
    A function that is filled by a scope which has ended says which it is, and both ways out.
    """
    app = fresh_app()
    app.register_dependency(Settings, Settings, lifetime="scoped")

    @injected
    async def send_mail(settings: From[Settings] = INJECTED): ...

    async def later(ended):
        await ended.wait()
        await send_mail()

    async with Container(app) as container:
        ended = asyncio.Event()
        async with container.scope() as scope:
            with scope.ambient():
                task = asyncio.create_task(later(ended))
                await asyncio.sleep(0)
        ended.set()
        with pytest.raises(ClosedError) as caught:
            await task

    assert "is closed, and send_mail was called after it" in str(caught.value)
    assert "container.inject(send_mail)" in str(caught.value) and 'ends="after"' in str(caught.value)


async def test_a_scoped_service_made_by_hand():
    """
    A service of a scope that was made by hand says first how it is had made.
    """

    class Desk(AsyncServiceBase, lifetime="scoped"):
        settings = AsyncDependencyDescriptor(Settings)

    with pytest.raises(ScopeError) as caught:
        await Desk().settings

    first, _, rest = str(caught.value).partition("scope.adopt(instance)")
    assert "container.request(Desk)" in first and "Desk(settings=...)" in rest


def test_a_base_where_its_subclass_is_registered():
    """
    Who asks for a base of what is registered is told that, and how the base becomes a key of it.
    """

    class Special(Settings):
        pass

    app = fresh_app(providers=[Special])
    app.register_dependency("ask", asking(Settings))

    assert "Special is registered, but a base class or Protocol is no token for its subclasses: say also=[Settings]" in told(app)


async def test_one_problem_is_told_once():
    """
    A problem that several ways lead to is one in the group, and in what is printed.
    """
    app = fresh_app()

    @inject_dependency("store", on=app)
    def store(dsn): ...

    for name in ("one", "two"):
        app.register_dependency(name, lambda store: store)

    assert told(app).count('nothing provides "dsn"') == 1
    with pytest.raises(GraphErrors) as caught:
        Container(app)
    assert str(caught.value).count('nothing provides "dsn"') == 1


def test_a_provider_says_where_it_stands():
    """
    What is wrong with a provider dictionary names its position, at any depth, and its key.
    """
    with pytest.raises(DeclarationError, match=r'provider 1\[0\] \("mailer"\): "valeu" is no key of a provider'):
        Container(providers=[Settings, [{"provide": "mailer", "valeu": 1}]])


def test_errors_of_more_providers_are_headed_by_the_application():
    """
    What does not fit in the providers of a container is told under the name of its application.
    """
    app = fresh_app()

    with pytest.raises(GraphErrors, match="App has 1 problem"):
        Container(app, providers=[{"provide": "ask", "use_factory": asking(Request)}])


class Opening(Protocol):
    def open(self) -> str: ...


class Box(Generic[T]):
    def open(self) -> str:
        return "opened"


class NumberBox(Box[int]): ...


@pytest.mark.parametrize(
    ("listed", "asked", "said"),
    [
        (NumberBox, Opening, "NumberBox is registered, but a base class or Protocol is no token .* say also=.Opening"),
        (NumberBox, Box[int], "NumberBox is registered, .* say also=\\[Box\\[int\\]\\]"),
        ({"provide": Opening, "use_class": NumberBox}, NumberBox, "NumberBox is what makes Opening: ask for Opening, or"),
        ({"provide": Box[int], "use_class": NumberBox}, NumberBox, "is what makes Box\\[int\\]: ask for Box\\[int\\], or"),
        ({"provide": "box", "use_class": NumberBox, "multi": True}, NumberBox, 'what makes "box": ask for Annotated'),
        (NumberBox, Box[str], "Register it: "),
    ],
)
def test_relatives_of_what_is_registered(listed, asked, said):
    """
    A Protocol or closed generic names the classes that would do, and a class the key that it makes.
    """
    app = fresh_app(providers=[listed])
    app.register_dependency("ask", asking(asked))

    assert re.search(said, told(app))


class Lamp: ...


def make_lamp() -> Lamp:
    return Lamp()


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (make_lamp, "a factory is no token: ask for what it makes, Lamp$"),
        (Lamp(), "a value is no token: ask for its class, Lamp$"),
        ((Lamp, 1), "as this tuple, is one where it is registered by register_dependency"),
        (make_lamp.__get__(Lamp), "as this method, is one where"),
    ],
)
def test_what_is_no_token_is_told(asked, said):
    """
    A function or a value as a token names what was meant, and no decorator that would not take it.
    """
    with pytest.raises(MissingDependencyError) as caught:
        Container(fresh_app(providers=[make_lamp])).get_nowait(asked)

    assert re.search(said, str(caught.value))
    assert "@inject_dependency" not in str(caught.value)


@pytest.mark.parametrize(("form", "said"), [(From, "From says of what: From"), (All, "All says of what: All")])
def test_a_mark_that_says_of_nothing_is_told(form, said):
    """
    ``From`` and ``All`` without a type say what they take.
    """

    def use(lamp): ...

    use.__annotations__["lamp"] = form

    with pytest.raises(GraphErrors, match=rf"{said}\[Settings\]"):
        Container(fresh_app()).inject(use)


def test_a_mark_without_parentheses_is_the_empty_one():
    """
    ``Annotated[Lamp, Inject]`` marks its parameter as ``Annotated[Lamp, Inject()]`` does.
    """

    @injected
    def use(lamp: Annotated[Lamp, Inject] = INJECTED):
        return lamp

    with Container(fresh_app(providers=[make_lamp])) as container:
        assert use() is container.get_nowait(Lamp)


def test_a_class_under_a_string_is_named_with_it():
    """
    Who needs what is missing is told by its key, and by the class that is made for it.
    """

    class Store:
        def __init__(self, settings: Settings) -> None: ...

    app = fresh_app()
    app.register_dependency("store", Store)

    assert 'nothing provides Settings, needed by "store".settings of Store' in told(app)


async def test_a_closed_scope_names_who_asks():
    """
    A background task that asks a closed scope, or fetches an attribute of its service, is named with the ways out.
    """

    class Desk(AsyncServiceBase, lifetime="scoped"):
        settings = AsyncDependencyDescriptor(Settings)

        async def later(self) -> object:
            await asyncio.sleep(0)
            return await self.settings

    async def job(scope: Scope) -> object:
        await asyncio.sleep(0)
        return await scope.get(Settings)

    async with Container(fresh_app(providers=[Settings])) as container:
        async with container.scope() as scope:
            desk = await scope.get(Desk)
        told = [str(await outcome(task)) for task in (desk.later(), job(scope), asyncio.create_task(scope.get(Settings)))]

    assert "Desk.later asks it for something (" in told[0] and "container.inject(Desk.later)" in told[0]
    assert "job asks it for something (" in told[1] and 'ends="after"' in told[1]
    assert told[2] == "the scoped scope of App is closed"  # a task's own: nobody's code stands around it


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (Lazy, r"Lazy says of what: Lazy\[Settings\]"),
        (Factory, r"Factory says of what: Factory\[Settings\]"),
        (All, r"All says of what: All\[Settings\]"),
        (Inject("name"), 'a mark stands in Annotated.*: ask for "name"'),
        (Lazy["Settings"], "Settings in quotes is read in annotations only"),
        (All[Lazy[Settings]], r"All\[Lazy\[Settings\]\] collects ways of asking: write what is registered, All\[Settings\]"),
        (All[Factory[Settings]], r"write what is registered, All\[Settings\]"),
    ],
    ids=str,
)
def test_a_way_of_asking_that_says_nothing(asked, said):
    """
    A way of asking without what it asks for, or around another one, is told as that, and not to be registered.
    """
    with pytest.raises((MissingDependencyError, DeclarationError), match=said):
        Container(fresh_app(providers=[Settings])).get_nowait(asked)


def test_middleware_that_is_no_list():
    """
    A single callable in the place of a list is refused at the class.
    """
    with pytest.raises(DeclarationError, match=r"middleware of App is a list of callables, .* \(.*helpers.py:"):
        fresh_app(middleware=print)
