"""How do classes and functions of an Ascender program name what they need, and themselves?"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any, Literal, overload

from typing_extensions import TypeForm, TypeVar

from .. import Token
from .._declare.keys import is_hashable
from .._declare.providers import Provider, read_providers
from .._declare.registry import registry_of, snapshot
from .._names import Place, close_to, name_of, place_of_caller
from .._run.state.context import current
from ..errors import ContainerError, DeclarationError
from .errors import NoneInjectorException
from .injector import NOTHING, Injector, door_of
from .making import ROOT

__all__ = ["Injectable", "inject"]

T = TypeVar("T")
U = TypeVar("U")
C = TypeVar("C", bound=type[Any])


@overload
def inject(token: str, fallback: Any = ..., *, scope: Literal["root"] | type[Any] = "root") -> Any: ...
@overload
def inject(token: Token[T], *, scope: Literal["root"] | type[Any] = "root") -> T: ...
@overload
def inject(token: Token[T], fallback: U, *, scope: Literal["root"] | type[Any] = "root") -> T | U: ...
@overload
def inject(token: TypeForm[T], *, scope: Literal["root"] | type[Any] = "root") -> T: ...
@overload
def inject(token: TypeForm[T], fallback: U, *, scope: Literal["root"] | type[Any] = "root") -> T | U: ...
def inject(token: Any, fallback: Any = NOTHING, *, scope: Any = "root") -> Any:
    """
    Return what the ambient container, or else the root injector, gives for *token*.

    In a class body it is an attribute that is looked up when an instance is first asked for it, and kept there.

    Args:
        token: What to look up, exactly.
        fallback: What to return where nothing provides it.
        scope: "root"; or a class that something says ``provided_in`` of: a service class, whose open container is
            asked, or a plain one, which has an injector of its own below the root.

    Raises:
        NoneInjectorException: Nothing provides it.
    """
    if scope != "root" and not isinstance(scope, type):
        raise DeclarationError(f'scope is "root" or a class, not {name_of(scope)}')
    if not is_hashable(token):
        raise DeclarationError(f"a token has to be hashable; {name_of(type(token))} is not")
    late = _Late(token, fallback, scope)
    if _is_class_body(sys._getframe(1)):
        return late
    injector = _injector_for(scope)
    if injector is None:
        return late if fallback is NOTHING else fallback
    return injector.get(token, fallback)


def _is_class_body(frame: FrameType) -> bool:
    names = frame.f_locals
    return names is not frame.f_globals and "__qualname__" in names and "__module__" in names


def _injector_for(scope: Any) -> Injector | None:
    """Return who is asked for tokens of *scope*, None where nobody is there yet."""
    ambient = current()
    if scope == "root":
        return ROOT.injector if ambient is None else Injector(ambient)
    registry = registry_of(scope)
    if registry is None:
        return ROOT.injector_of(scope)
    if ambient is not None and issubclass(ambient.container._root_class, scope):
        return Injector(ambient)
    tables = [table for graph in snapshot(registry.graphs.values()) for table in snapshot(graph.listeners)]
    living = [table.singletons.scope for table in tables if not table.singletons.scope.closed]
    if len(living) > 1:
        raise ContainerError(f"{name_of(scope)} has {len(living)} open containers; ask one of them")
    return door_of(living[0]) if living else None


class _Late:
    """An attribute that is looked up when an instance is first asked for it."""

    __slots__ = ("_fallback", "_name", "_scope", "_token")

    def __init__(self, token: Any, fallback: Any, scope: Any) -> None:
        self._token, self._fallback, self._scope = token, fallback, scope
        self._name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        value = self._resolve()
        if self._name:
            try:
                vars(instance)[self._name] = value
            except TypeError:  # slots only: it is looked up each time
                pass
        return value

    def _resolve(self) -> Any:
        injector = _injector_for(self._scope)
        if injector is not None:
            return injector.get(self._token, self._fallback)
        if self._fallback is not NOTHING:
            return self._fallback
        where = "there is no root injector" if self._scope == "root" else f"{name_of(self._scope)} has no open container"
        raise NoneInjectorException(
            name_of(self._token), (name_of(self._token),), "", (), f"{where} yet: create_root_injector([...])"
        )

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"inject({name_of(self._token)}) was called before there was a root injector, so this stands for its value "
            f"and has no .{name}; call it later, or in a class body"
        )

    def __repr__(self) -> str:
        return f"<inject({name_of(self._token)}), not looked up yet>"


@overload
def Injectable(cls: C, /) -> C: ...
@overload
def Injectable(
    provided_in: Literal["root"] | None = None, provided_as: Provider | type[Any] | Literal["@SELF"] | None = None
) -> Callable[[C], C]: ...
@overload
def Injectable(
    *, provided_in: type[Any], provided_as: Provider | type[Any] | Literal["@SELF"] | None = None
) -> Callable[[C], C]: ...
def Injectable(*given: Any, **named: Any) -> Any:
    """
    Mark a class as meant to be injected; with *provided_in* it registers itself.  The class is returned unchanged.

    Args:
        provided_in: "root": root injectors provide it, below their own lists.  A service class: it is registered there.
            Another class: ``inject(..., scope=...)`` of that class finds it.
        provided_as: The token to register it under, by default the class; or a provider dictionary, in which the string
            "@SELF" stands for the class.

    Raises:
        DeclarationError: *provided_in* or *provided_as* means nothing.
    """
    if len(given) == 1 and not named and isinstance(given[0], type):
        return given[0]
    return _injectable(place_of_caller(), *given, **named)


def _injectable(place: Place, provided_in: Any = None, provided_as: Any = None) -> Callable[[Any], Any]:
    if provided_in is not None and provided_in != "root" and not isinstance(provided_in, type):
        meant = (
            ' did you mean "root"?'
            if isinstance(provided_in, str) and close_to(provided_in, ("root",))
            else ' it is "root", a class, or left out'
        )
        raise DeclarationError(f"provided_in={name_of(provided_in)} is nothing to register in;{meant}", str(place))

    def register(cls: Any) -> Any:
        if not isinstance(cls, type):
            raise DeclarationError(f"Injectable decorates classes, not a {name_of(type(cls))}", str(place))
        if provided_in is not None:
            registrations = read_providers([_provider(cls, provided_as, place)], place, injector=registry_of(provided_in) is None)
            if provided_in == "root":
                registry = ROOT.below
            else:
                registry = registry_of(provided_in) or ROOT.module(provided_in)
            registry.add_all(registrations)
        return cls

    return register


def _provider(cls: type, provided_as: Any, place: Place) -> Any:
    """Return the provider that registers *cls*."""
    if provided_as is None or provided_as == "@SELF":
        return cls
    if isinstance(provided_as, type):
        return {"provide": provided_as, "use_class": cls}
    if not isinstance(provided_as, Mapping):
        raise DeclarationError(f'provided_as is a provider dictionary, a type or "@SELF", not {name_of(provided_as)}', str(place))
    provider = {word: cls if isinstance(thing, str) and thing == "@SELF" else thing for word, thing in provided_as.items()}
    if provider.keys() <= {"provide", "deps", "inject", "multi", "scope", "lifetime"}:
        provider["use_class"] = cls
    return provider
