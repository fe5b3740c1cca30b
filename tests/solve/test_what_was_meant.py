"""Texts that say what was meant where nothing provides a key."""

import pytest
from helpers import fresh_app, problems

from asyncmeta import AsyncDependencyDescriptor, AsyncServiceBase, Container, GraphErrors, ScopeError


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
