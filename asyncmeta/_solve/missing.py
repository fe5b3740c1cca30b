"""Why does nothing provide a key?  What the program says elsewhere, which may have been meant."""

from __future__ import annotations

import collections.abc
import inspect
import typing
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any

from .._declare.entries import methods_of
from .._declare.keys import MISSING, ByName, Factory, From, Inject, Lazy, Named, plain_of
from .._declare.registry import Registry, is_token, registry_of, snapshot
from .._names import is_a, name_of, origin_of
from .generics import names_of, variables_of
from .nodes import all_of, several_hint

if TYPE_CHECKING:
    from .lookup import Lookup

__all__ = ["hint_for"]

#: How frameworks call what each request, connection or call brings along.
_COME_WITH_A_SCOPE = frozenset({"Request", "HttpRequest", "HTTPConnection", "WebSocket", "ServicerContext", "StreamMessage"})

_MAPPINGS = (dict, collections.abc.Mapping)

_LISTS = (list, tuple, set, frozenset, collections.abc.Sequence, collections.abc.Collection, collections.abc.Iterable)


def hint_for(graph: Lookup, key: Hashable) -> str:
    """Return a sentence about why nothing provides *key*, where there is more to say than near misses."""
    if type(key) is ByName:
        key = key.name  # as it was written, in a provider list
    hint = getattr(type(key), "__asyncmeta_hint__", None)
    if hint is not None:
        return hint(key)  # type: ignore[no-any-return]  # a decorator's
    variables = variables_of(key)
    if variables and variables[0] in typing.get_args(From):
        return "From says of what: From[Settings]"
    if variables and not is_a(key, type):
        return (
            f"nothing says what {variables[0].__name__} stands for: ask for a generic with its argument, Repo[User]; "
            "in a generic service take it as a parameter of the constructor, not as an attribute"
        )
    named = [other for layer in graph.layers for other in snapshot(layer.entries) if names_of(other) and plain_of(other) == key]
    if named:
        return (
            f"{name_of(named[0])} is registered, which is a value with a name: ask for it by that, or leave the name out where "
            "it is registered (a string in Annotated is a name)"
        )
    elsewhere = misused(key) or said_elsewhere(key, graph.layers, graph.shared, graph.app, graph.levels[-1])
    elsewhere = elsewhere or no_token(key, graph.layers)
    if elsewhere:
        return elsewhere
    if not is_a(key, type) or typing.get_origin(key) is not None:
        return graph.open_keys().why_not(key, graph.layers) or all_meant(key, graph.layers) or relatives(key, graph.layers)
    if registry_of(key) is not None and inspect.isabstract(key):
        return f"{name_of(key)} is abstract: register the class that implements it, @inject_dependency({name_of(key)})"
    return relatives(key, graph.layers)


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


def no_token(key: Hashable, layers: Sequence[Registry]) -> str:
    """Return what to say of a function, or of a value, that stands where a key is meant; else ""."""
    if is_token(key) or is_a(key, typing.ForwardRef):
        return ""
    registered = [one for layer in layers for one in snapshot(layer.entries.items())]
    for other, entry in registered:
        if any(one.maker.written is key for one in (entry if isinstance(entry, list) else (entry,))):
            asked = all_of(other) if isinstance(entry, list) else name_of(other)
            if is_a(other, str) and not isinstance(entry, list):
                asked += f"; in an annotation that is Annotated[..., Inject({asked})]"
            return f"a factory is no token: ask for what it makes, {asked}"
    if any(other is type(key) for other, _ in registered):
        return f"a value is no token: ask for its class, {name_of(type(key))}"
    return (
        f"a token is a type, a string or a Token; another value, as this {name_of(type(key))}, is one where it is registered by "
        'register_dependency, or in a list: {"provide": ..., "value": ...}'
    )


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
