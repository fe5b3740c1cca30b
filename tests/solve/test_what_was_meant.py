"""Texts that say what was meant where nothing provides a key."""

import pickle

import pytest
from helpers import fresh_app, problems

from asyncmeta import AsyncDependencyDescriptor, AsyncServiceBase, Container, GraphErrors, ScopeError, inject_dependency


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
