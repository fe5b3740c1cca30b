"""What changed between two graphs?  For code review: what is new, and what of it is dangerous."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from .texts import FORMAT

__all__ = ["Change", "changes"]


class Change(NamedTuple):
    """One difference, worded."""

    kind: str  #: "new captive edge", "changed lifetime", "new dependency", "dropped dependency", "new node" or "dropped node"
    text: str
    where: str  #: "file.py:14" in the newer graph, in the older one for what is dropped; "" where nobody wrote it


def changes(old: str, new: str) -> list[Change]:
    """
    Return what differs between two graphs in their JSON form, the dangerous first.

    Nodes are compared by name, so that moved lines are no change.

    Raises:
        ValueError: One of them is no graph of ours.
    """
    before, after = _nodes(old), _nodes(new)
    captive: list[Change] = []
    lifetimes: list[Change] = []
    added: list[Change] = []
    dropped: list[Change] = []
    for name, node in after.items():
        was = before.get(name)
        where = node["where"]
        if was is None:
            added.append(Change("new node", f"{name}, {node['lifetime']}", where))
        elif was["lifetime"] != node["lifetime"]:
            lifetimes.append(Change("changed lifetime", f"{name} was {was['lifetime']} and is {node['lifetime']}", where))
        lines = _lines(node)
        known = {} if was is None else _lines(was)
        for (way, target), line in lines.items():
            there = known.get((way, target))
            if line["captive"] and not (there is not None and there["captive"]):
                captive.append(Change("new captive edge", f"{name}.{way} keeps {target} beyond its life", where))
            if was is None:
                continue
            late = " (late)" if line["late"] else ""
            if there is None:
                added.append(Change("new dependency", f"{name}.{way} -> {target}{late}", where))
            elif there["late"] and not line["late"]:
                added.append(Change("new dependency", f"{name}.{way} -> {target} (was late)", where))
        dropped += [
            Change("dropped dependency", f"{name}.{way} -> {target}", where) for way, target in known if (way, target) not in lines
        ]
    dropped += [Change("dropped node", name, node["where"]) for name, node in before.items() if name not in after]
    return [*captive, *lifetimes, *added, *dropped]


def _nodes(text: str) -> dict[str, Mapping[str, Any]]:
    try:
        graph = json.loads(text)
        if graph["format"] != FORMAT:
            raise ValueError(f"a graph of format {graph['format']!r} cannot be compared; this version writes format {FORMAT}")
        found = {node["id"]: _whole(node, "lifetime", "where") for node in graph["nodes"]}
        for node in found.values():
            for line in node["dependencies"]:
                _whole(line, "name", "id", "late", "captive")
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"this is no graph as `asyncmeta graph --format json` writes it ({error!r})") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"this is no JSON: {error}") from None
    return found


def _whole(thing: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    """Return *thing* if it has all of *names*; a KeyError says which is missing."""
    for name in names:
        thing[name]
    return thing


def _lines(node: Mapping[str, Any]) -> dict[tuple[str, str], Mapping[str, Any]]:
    return {(line["name"], line["id"]): line for line in node["dependencies"]}
