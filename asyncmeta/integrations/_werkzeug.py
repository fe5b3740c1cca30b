"""What Flask and Quart, which stand on Werkzeug, do alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from werkzeug.exceptions import HTTPException

from .. import Container, ScopeError
from ._handlers import Handler, grouped, handler, methods_of, unfilled

__all__ = ["KEY", "container_of", "handlers_of", "refusing", "status_of", "tell"]

#: Under this name the application's extensions hold its container.
KEY = "asyncmeta"


def status_of(error: BaseException) -> int | None:
    """Return the status with which they answer what was raised; None where that is no answer."""
    if not isinstance(error, HTTPException):
        return None
    return error.code if error.response is None else getattr(error.response, "status_code", None)


def container_of(app: Any) -> Container:
    """
    Return the container that serves *app*.

    Raises:
        ScopeError: It was given none.
    """
    found = app.extensions.get(KEY)
    if not isinstance(found, Container):
        raise ScopeError("this application has no container: setup(app, container) gives it one")
    return found


def handlers_of(app: Any) -> Iterator[Handler]:
    """Yield the views of *app*, the functions around them, its error handlers and commands."""
    paths = {rule.endpoint: rule.rule for rule in app.url_map.iter_rules()}
    for name, view in app.view_functions.items():
        called = f"view of {paths.get(name, name)}"
        cls = getattr(view, "view_class", None)
        if cls is not None:
            yield from methods_of(cls, (*(cls.methods or ()), "dispatch_request"), called)
        else:
            yield handler(view, called)
    for kind in "before_request", "after_request", "teardown_request", "before_websocket", "after_websocket":
        for functions in getattr(app, f"{kind}_funcs", {}).values():
            for function in functions:
                yield handler(function, kind)
    for by_code in app.error_handler_spec.values():
        for by_class in by_code.values():
            for cls, function in by_class.items():
                yield handler(function, f"error handler for {cls.__name__}")
    for command in getattr(getattr(app, "cli", None), "commands", {}).values():
        if command.callback is not None:
            yield handler(command.callback, f"command {command.name}")


def tell(error: ScopeError) -> None:
    """Note at *error*, of a view that was called where no request is on its way, what to do."""
    error.add_note(
        "In test_request_context() no request is sent, so none has a scope: ask by app.test_client(), or open one: "
        "`with container.scope() as scope, scope.ambient():` (`async with` where values have to be awaited)"
    )


def refusing(add: Callable[..., Any], cure: str) -> Callable[..., Any]:
    """Return a method that adds a rule to an application, so that a view with a mark that nobody fills is refused at once."""

    def added(*args: Any, **named: Any) -> Any:
        view = named.get("view_func", args[2] if len(args) > 2 else None)
        if view is not None:
            error = unfilled(handler(view, f"view of {args[0] if args else named.get('rule', '')}"), cure)
            if error is not None:
                raise grouped([error], "this application")
        return add(*args, **named)

    return added
