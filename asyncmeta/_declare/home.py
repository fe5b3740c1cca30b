"""Where does a service belong?  To the scope that its instance keeps, and with all others to one base."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["HOME", "TWIN", "hand_down", "home_kept", "hooks", "opens_overlay", "shared_base"]

#: Where an instance keeps the scope that made it.
HOME = "_asyncmeta_scope"

#: What a copy of an instance keeps that a container had made.
TWIN = "_asyncmeta_twin"


def home_kept(instance: object) -> Any:
    """Return the scope that an instance keeps, or None; the instance's own ``__getattr__`` is not asked."""
    try:
        return object.__getattribute__(instance, HOME)
    except AttributeError:
        return None


class HandedDown:
    """What the rooms above hand down: a lower one never imports them."""

    __slots__ = ("base", "hooks", "overlay")

    def __init__(self, base: type, hooks: Mapping[str, Any], overlay: Callable[..., Any]) -> None:
        self.base = base  #: of all services
        self.hooks = hooks  #: what their life-cycle methods are called, with those that do nothing
        self.overlay = overlay  #: opens an overlay for a block


_handed: list[HandedDown] = []


def hand_down(base: type, hooks: Mapping[str, Any], overlay: Callable[..., Any]) -> None:
    """Hand over what stands above: called once, when the package is imported."""
    _handed[:] = [HandedDown(base, hooks, overlay)]


def shared_base() -> type:
    """Return the base of all services, which is the shared layer."""
    return _handed[0].base


def hooks() -> Mapping[str, Any]:
    """Return the life-cycle methods of services: each with the one that does nothing."""
    return _handed[0].hooks


def opens_overlay() -> Callable[..., Any]:
    """Return what opens an overlay of a container for a block."""
    return _handed[0].overlay
