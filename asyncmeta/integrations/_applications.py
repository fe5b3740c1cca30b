"""Which framework is an application of, what are its handlers, and which container serves it?"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import Any, Final

from .. import Container, ScopeError
from ._handlers import Handler, check

__all__ = ["check_application", "container_of", "handlers_of", "has_another", "has_own", "integration_of", "source_of"]

#: The integrations that know applications; they are called as the packages that these are of.
_PACKAGES: Final = frozenset({
    "aiogram", "aiohttp", "blacksheep", "click", "django", "fastapi", "fastmcp", "faststream", "flask", "grpc", "litestar", "mcp",
    "quart", "sanic", "starlette", "strawberry", "typer",
})  # fmt: skip


def integration_of(app: Any) -> Any:
    """Return the integration for *app*, by the package that its class, or a base of that, is of; None where there is none."""
    for kind in type(app).__mro__:
        package = str(kind.__module__)
        name = package.partition(".")[0]
        if package.startswith("asyncmeta.integrations."):  # what wraps an application
            name = "grpc" if package.endswith(".grpc") else "asgi"
        elif name not in _PACKAGES:
            continue
        found = import_module(f".{name}", __package__)
        return found if hasattr(found, "handlers_of") else None
    return None


def handlers_of(app: Any) -> Iterable[Handler]:
    """Return the handlers of *app*; none where its framework is not known."""
    integration = integration_of(app)
    return () if integration is None else integration.handlers_of(app)


def container_of(app: Any) -> Container:
    """
    Return the container that serves *app*.

    Raises:
        ScopeError: None does.
    """
    integration = integration_of(app)
    if integration is None:
        raise ScopeError(f"no integration knows applications of the type {type(app).__qualname__}")
    return integration.container_of(app)  # type: ignore[no-any-return]  # every integration has one


def source_of(app: Any) -> Any:
    """Return what the application *app*, or its middleware, was given for a container; None where that is not known."""
    find = getattr(integration_of(app), "source_of", None)
    return None if find is None else find(app)


def has_own(app: Any) -> bool:
    """Tell whether *app* has a container of its own."""
    integration = integration_of(app)
    if hasattr(integration, "source_of"):
        return integration.source_of(app) is not None
    try:
        return integration is not None and integration.container_of(app) is not None
    except ScopeError:
        return False


def has_another(app: Any, source: Any) -> bool:
    """Tell whether *app* has a container of its own, inside of *source*'s, whose scopes its handlers see."""
    inner = source_of(app)
    return inner is not None and inner is not source


def check_application(app: Any, container: Container) -> None:
    """
    Check that *container* can give what the handlers of *app* ask for.

    Raises:
        GraphErrors: All problems at once.
    """
    integration = integration_of(app)
    if integration is not None:
        check(container, integration.handlers_of(app), integration.CURE, f"the {type(app).__qualname__} application")
