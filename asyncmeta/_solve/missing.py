"""Why does nothing provide a key?  What the program says elsewhere, which may have been meant."""

from __future__ import annotations

import collections.abc
import typing
from collections.abc import Hashable, Sequence
from typing import Any

from .._declare.annotations import Parameter
from .._declare.entries import methods_of
from .._declare.keys import MISSING, Factory, Inject, Lazy, Named
from .._declare.registry import Registry, registry_of, snapshot
from .._names import is_a, name_of, origin_of
from .nodes import Node, Problem, all_of, several_hint

__all__ = ["all_meant", "default_of_others", "misused", "nameless", "relatives", "said_elsewhere"]

#: How frameworks call what each request, connection or call brings along.
_COME_WITH_A_SCOPE = frozenset({"Request", "HttpRequest", "HTTPConnection", "WebSocket", "ServicerContext", "StreamMessage"})

_MAPPINGS = (dict, collections.abc.Mapping)

_LISTS = (list, tuple, set, frozenset, collections.abc.Sequence, collections.abc.Collection, collections.abc.Iterable)

#: Whose classes are marks that stand as defaults, to be read by the framework that calls the function.
_MARKS = ("dependency_injector.wiring", "fast_depends", "fastapi.params", "litestar.params", "taskiq_dependencies")


def default_of_others(node: Node, parameter: Parameter) -> tuple[Problem, ...]:
    """
    Return the problem, if it is one, of a default that another framework reads, as in ``db: Database = Depends(open_database)``.

    Whoever moves from there would get the mark itself in the place of a value.
    """
    kind = type(parameter.default)
    module = kind.__module__
    if not is_a(module, str) or not any(module == one or module.startswith(f"{one}.") for one in _MARKS):
        return ()
    why = f"the default of {node.name}.{parameter.name} is {kind.__name__}(...), which only {module.partition('.')[0]} reads"
    if parameter.ask is None:
        why += "; annotate it with what it needs"
    else:
        why = f"nothing provides {name_of(parameter.ask.key)}, and {why}"
    return (Problem("plain", node.key, parameter.name, why),)


def said_elsewhere(key: Hashable, layers: Sequence[Registry], shared: Registry, app: type, level: str) -> str:
    """Return what to say of a key that another service's layer has, of a class of the same name, or of a request; else ""."""
    registry = _other_layer(key, layers, shared, app)
    name = name_of(key)
    if registry is not None and registry.cls is not None:
        layer = name_of(registry.cls)
        return f"{layer} registers it for itself and its subclasses: derive {name_of(app)} from {layer}, or ask for {layer}"
    if not is_a(key, type):
        return ""
    assert isinstance(key, type)
    for other in (other for layer in layers for other in snapshot(layer.entries)):
        if other is not key and is_a(other, type) and name_of(other) == name:
            return f"the {name} of {getattr(other, '__module__', '')} is registered, and this is that of {key.__module__}"
    if key.__name__ in _COME_WITH_A_SCOPE:
        declaring = "App" if app is shared.cls else name_of(app)
        by_level = any(levels and "" not in levels for levels in (layer.context for layer in layers))
        form = f'{{..., "{level}": [{name}]}}' if by_level else f"[{name}]"  # as the program writes its own
        return f"what comes with a scope is declared: class {declaring}(AsyncServiceBase, context={form})"
    return ""


def _other_layer(key: Hashable, layers: Sequence[Registry], shared: Registry, app: type) -> Registry | None:
    """Return a layer that has *key* and is none of *layers*: of a service class of the application's own package."""
    package = app.__module__.partition(".")[0]
    waiting: list[Any] = [shared.cls]
    seen: set[Any] = set()
    while waiting:
        for cls in type.__subclasses__(waiting.pop()):
            if cls in seen:
                continue
            seen.add(cls)
            waiting.append(cls)
            # What a function has made comes and goes, and so would the sentence.
            mine = cls.__module__.partition(".")[0] == package and "<locals>" not in cls.__qualname__
            registry = registry_of(cls) if mine else None
            if registry is not None and registry not in layers and _declares(registry, key):
                return registry
    return None


def _declares(registry: Registry, key: Hashable) -> bool:
    """Tell whether *registry* has *key*; a comparison that raises, of a key of somebody else's, says nothing."""
    try:
        return key in registry.entries
    except Exception:
        return False


def nameless(key: Hashable) -> str:
    """Return what to say where a member is chosen by its name, and none has one."""
    name = name_of(key)
    return f'no member of {name} has a name: @inject_dependency({name}, multi="...")'


def all_meant(key: Hashable, layers: Sequence[Registry]) -> str:
    """Return what to say of a list of what has several values; else ""."""
    origin = origin_of(key)
    arguments = () if origin is None else typing.get_args(key)
    if (origin not in _LISTS and origin not in _MAPPINGS) or not arguments:
        return ""
    several = any(isinstance(layer.entries.get(arguments[-1 if origin in _MAPPINGS else 0]), list) for layer in layers)
    if not several:
        return ""
    if origin in _LISTS:
        return several_hint(arguments[0])
    name = name_of(arguments[-1])
    return f"{name} is registered with multi=True: ask for Named[{name}], or Annotated[{name_of(key)}, Inject({name})]"


def misused(key: Hashable) -> str:
    """Return what to say of a way of asking, or a mark, that stands where a key is meant; else ""."""
    if is_a(key, Inject):
        return f"a mark stands in Annotated[..., {name_of(key)}]: ask for {name_of(key.token)}" if key.token is not MISSING else ""
    if any(key is form for form in (Lazy, Factory, Named)):
        return f"{name_of(key)} says of what: {name_of(key)}[Settings]"
    return ""


def relatives(key: Hashable, layers: Sequence[Registry]) -> str:
    """Return what to say of a class or closed generic whose subclasses or bases are registered, or that makes another key."""
    registered = [one for layer in layers for one in snapshot(layer.entries.items())]
    name = name_of(key)
    below = [name_of(other) for other, _ in registered if is_a(other, type) and _is_such(other, key)]
    if below:
        return (
            f"{', '.join(below[:3])} {'is' if len(below) == 1 else 'are'} registered, but a base class or Protocol is no token "
            f"for its subclasses: say also=[{name}]"
        )
    for other, entry in registered:
        if any(one.maker.cls is key for one in (entry if isinstance(entry, list) else (entry,))) and is_a(key, type):
            asked = all_of(other) if isinstance(entry, list) else name_of(other)
            return f"{name} is what makes {name_of(other)}: ask for {asked}, or register {name}, too (also=[{name}])"
    if is_a(key, type):
        above = [name_of(base) for base in key.__mro__[1:-1] if any(base in layer.entries for layer in layers)]
        if above:
            return f"{above[0]}, its base, is registered, and may be any such: ask for {above[0]}, or register {name}"
    return ""


def _is_such(cls: Any, base: Any) -> bool:
    """Tell whether *cls* is another class than *base*, and derives from it, or has the methods of a Protocol."""
    if cls is base:
        return False
    if origin_of(base) is not None:
        return any(base in vars(one).get("__orig_bases__", ()) for one in cls.__mro__)
    if not is_a(base, type):  # a token, which says whatever it likes of what it is based on
        return False
    try:
        if issubclass(cls, base):
            return True
    except TypeError:  # a Protocol that is not made for it
        pass
    methods = methods_of(base) if getattr(base, "_is_protocol", False) else ()
    return bool(methods) and all(hasattr(cls, method) for method in methods)
