"""What does MODULE:APP name, and what does TOKEN?"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Hashable, Iterable
from inspect import iscoroutinefunction, signature
from types import FunctionType
from typing import Any

from .. import AsyncMetaError, Container, ScopeError, Token
from .._declare.keys import is_hashable
from .._declare.registry import registry_of
from .._names import close_to, name_of
from .._solve.graph import Graph
from ..diagrams import Item
from ..integrations._applications import container_of, handlers_of, integration_of
from .served import Served, with_handlers

__all__ = ["Failed", "Refusal", "application", "container_for", "graph_of", "items_named", "key_named"]


class Refusal(Exception):
    """What is asked for cannot be done; the text says why."""


class Failed(Exception):
    """The function that makes the application has raised what is the cause of this."""


def application(wanted: str, *, factory: bool = False) -> Any:
    """
    Return the service class or container that *wanted* names, or what serves an application of a framework.

    Importing its module runs it.  A module of Django's settings is named alone.

    Args:
        factory: What is named is a function that makes it.

    Raises:
        Refusal: There is no such thing, or it is something else.
        AsyncMetaError: What the module declares is wrong.
        Failed: The function raised.
        Exception: What the module raised.
    """
    module_name, colon, path = wanted.partition(":")
    parts = path.split(".")
    if not colon and (settings := _settings(module_name)) is not None:
        return _served(settings, wanted)
    if not all(part.isidentifier() for part in (*module_name.split("."), *parts)):
        raise Refusal(f"write MODULE:APP, as in shop.main:Shop; not {wanted!r}")
    _look_here()
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise  # found, but it imports something that is not there
        raise Refusal(f"there is no module {error.name!r}") from None
    for part in parts:
        try:
            found = getattr(found, part)
        except AttributeError:
            names = close_to(part, [name for name in dir(found) if not name.startswith("_")])
            meant = f"; did you mean {' or '.join(names)}?" if names else ""
            raise Refusal(f"{module_name} has no {path}{meant}") from None
    if factory:
        found = _made_by(found, wanted)
    if isinstance(found, Container) or registry_of(found) is not None:
        return found
    if integration_of(found) is not None:
        return _served(found, wanted)
    if not factory and isinstance(found, FunctionType):
        raise Refusal(f"{wanted} is a function; say --factory where it makes the application or its container")
    kind = "class" if isinstance(found, type) else name_of(type(found))
    wanted = f"what {wanted}() made" if factory else wanted
    raise Refusal(
        f"{wanted} is a {kind}: neither a class derived from AsyncServiceBase nor a Container, nor an application of a framework"
    )


def _made_by(factory: Any, wanted: str) -> Any:
    """Return what *factory* makes, which is called without arguments."""
    if not callable(factory) or isinstance(factory, Container) or registry_of(factory) is not None:
        raise Refusal(f"{wanted} is no function that makes an application; leave out --factory")
    if iscoroutinefunction(factory):
        raise Refusal(f"{wanted} is async: --factory takes a plain function, which makes the container and does not enter it")
    try:
        signature(factory).bind()
    except TypeError as error:
        raise Refusal(f"{wanted} cannot be called without arguments: {error}") from None
    except ValueError:  # what is not written in Python may not say what it takes
        pass
    try:
        return factory()
    except (AsyncMetaError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise Failed from error


def _served(app: Any, wanted: str) -> Served:
    """Return what serves an application of a framework."""
    try:
        container = container_of(app)
    except ScopeError as error:
        raise Refusal(f"{wanted}: {error}") from None
    return Served(container, list(handlers_of(app)), integration_of(app).CURE)


def _settings(module_name: str) -> Any:
    """Return Django's settings, set up, where a module holds them; None where it does not."""
    if not all(part.isidentifier() for part in module_name.split(".")):
        return None
    _look_here()
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError:
        return None
    if not hasattr(module, "ROOT_URLCONF"):
        return None
    os.environ["DJANGO_SETTINGS_MODULE"] = module_name
    importlib.import_module("django").setup()
    return importlib.import_module("django.conf").settings


def _look_here() -> None:
    """Find modules in the caller's folder: an installed script has its own folder in the path, not that."""
    here = os.getcwd()
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)


def container_for(found: Any) -> Container:
    """Return the container of what was loaded; a new one of a service class."""
    if isinstance(found, Served):
        return found.container
    return found if isinstance(found, Container) else Container(found)


def graph_of(found: Any) -> Graph:
    """Return the graph of what was loaded, unchecked; with the handlers that it serves."""
    if isinstance(found, Served):
        graph = with_handlers(graph_of(found.container), found.handlers, found.container)
        graph.refresh()
        return graph
    container = found if isinstance(found, Container) else Container(found, check=False)
    container._graph.refresh()
    return container._graph


def items_named(items: Iterable[Item], wanted: str) -> list[Item]:
    """
    Return the items that *wanted* names: by id, by a key's name, or by module and name.

    Raises:
        Refusal: None does.
    """
    items = list(items)
    exact = [item for item in items if item.id == wanted]
    of_these = {key for item in exact for key in _keys_of(item)}
    # Another one of the same key is one of another layer and has an id of its own; another key of that name is meant as well.
    found = exact + [item for item in items if wanted in _names_of(item) and of_these.isdisjoint(_keys_of(item))]
    if not found:  # a class under another key goes by its own name, too, a member of a multi key by what makes it, or by its name
        found = [item for item in items if wanted in _names_of_member(item)]
    if not found and (variable := _variable(wanted)) is not None:
        found = [item for item in items if variable in _keys_of(item)]
    if not found:  # as "made by" and a drawing call it
        found = [item for item in items if item.factory == wanted]
    if not found:
        names = close_to(wanted, dict.fromkeys(name for item in items for name in (item.id, item.name)))
        meant = f"; did you mean {' or '.join(names)}?" if names else ""
        raise Refusal(f"nothing goes by {wanted}{meant}")
    return found


def key_named(items: Iterable[Item], wanted: str) -> Hashable:
    """
    Return the one key that *wanted* names.

    Raises:
        Refusal: None, or several.
    """
    found = items_named(items, wanted)
    keys = dict.fromkeys(key for item in found for key in _keys_of(item) if wanted in _names_of_key(key))
    if not keys:
        keys = dict.fromkeys(item.node.key for item in found)
    if len(keys) > 1:
        longer = [_names_of_key(key)[-1] for key in keys]
        raise Refusal(f"{wanted} may be {' or '.join(longer)}; say which")
    (key,) = keys
    return key


def _variable(wanted: str) -> Any:
    """Return what a module holds under MODULE:NAME, such as a Token; None where it is no token that anybody could mean."""
    module, _, name = wanted.partition(":")
    found = getattr(sys.modules.get(module), name, None)
    return found if is_hashable(found) else None


def _keys_of(item: Item) -> tuple[Hashable, ...]:
    return (item.node.key, *item.node.registration.keys)


def _names_of_member(item: Item) -> list[str]:
    registration, cls = item.node.registration, item.node.maker.cls
    made_by = [] if cls is None else _names_of_key(cls)
    if not registration.multi:
        return made_by
    return [item.name, item.factory, *made_by, *map(str, registration.named), *map(name_of, registration.named)]


def _names_of(item: Item) -> list[str]:
    return [name for key in _keys_of(item) for name in _names_of_key(key)]


def _names_of_key(key: Hashable) -> list[str]:
    """Return what a key may be called on a command line, the most exact last."""
    if isinstance(key, str):
        return [key, name_of(key)]
    if isinstance(key, Token):
        return [key.name, name_of(key)]
    if isinstance(key, type):
        return [name_of(key), f"{key.__module__}.{key.__qualname__}", f"{key.__module__}:{key.__qualname__}"]
    return [name_of(key)]
