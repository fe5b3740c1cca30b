"""How well are the built values?  Each is asked as its registration says; nothing is built by asking."""

from __future__ import annotations

import asyncio
import inspect
import time
import traceback
from collections.abc import Mapping
from typing import Any

from ..._declare.lifetimes import CONTAINER_LEVEL
from ..._lock import LOCK
from ..._names import Place, name_of
from ..._solve.nodes import Node
from ..._solve.whole import names_apart, nodes_to_ask, users_of
from ...errors import WrongLoopError
from ...report import Health, HealthReport
from ..state.singletons import Singletons
from .state import ContainerState

__all__ = ["health"]


async def health(container: ContainerState, timeout: float) -> HealthReport:
    """Ask the built values; see `Container.health`."""
    if not isinstance(timeout, int | float) or isinstance(timeout, bool) or not timeout > 0:
        raise ValueError("timeout is a number of seconds above 0")
    container._check_open()
    singletons, graph = container._singletons, container._graph
    with LOCK:
        graph.refresh()
        nodes = nodes_to_ask(graph, [node for node in graph.nodes.values() if singletons.has(node)])
        names = names_apart({*nodes, *(node for node in graph.nodes.values() if node.level == CONTAINER_LEVEL)})
    built = [node for node in nodes if singletons.has(node)]
    loop = asyncio.get_running_loop()
    owner = singletons.origin.loop
    if built and owner is not None and owner is not loop and not owner.is_closed():
        raise WrongLoopError(f"the values of {container._name} belong to another event loop, and are asked there")
    async with asyncio.TaskGroup() as group:
        asked = {
            node: group.create_task(_ask(singletons, node, timeout, names), name=f"asyncmeta: health of {names[node]}")
            for node in built
        }
    return HealthReport([asked[node].result() if node in asked else Health(names[node], "not started") for node in nodes])


async def _ask(singletons: Singletons, node: Node, seconds: float, names: Mapping[Node, str]) -> Health:
    """Ask one value, within *seconds*."""
    began = time.perf_counter()
    state, said = "ok", None
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            said = await _answer(node, singletons.value(node))
    except TimeoutError as error:
        state, said = ("timed out", None) if limit.expired() else ("failed", _described(error))
    except Exception as error:
        said = _described(error)
    if said is not None:
        state = "failed"
    took = time.perf_counter() - began
    return Health(names[node], state, took, said, () if state == "ok" else _degraded(singletons, node, names))


async def _answer(node: Node, value: object) -> str | None:
    """Return what is wrong with *value*, or None."""
    options = node.registration.options
    probe = options.health
    if isinstance(probe, str):
        ask = getattr(value, probe, None)
        if not callable(ask):
            return f"{name_of(type(value))} has no method {probe}"
        arguments: tuple[Any, ...] = ()
    else:
        ask, arguments = probe, (value,)
    if options.in_thread and not inspect.iscoroutinefunction(ask):
        answer = await asyncio.to_thread(ask, *arguments)
    else:
        answer = ask(*arguments)
    if inspect.isawaitable(answer):
        answer = await answer
    return "the probe returned False" if answer is False else None


def _described(error: BaseException) -> str:
    """Return what a probe raised, without its text: that may hold a password as well as a reason."""
    last = traceback.extract_tb(error.__traceback__)[-1:]
    place = f" ({Place(last[0].filename, last[0].lineno or 0)})" if last else ""
    return f"{type(error).__qualname__}{place}"


def _degraded(singletons: Singletons, node: Node, names: Mapping[Node, str]) -> tuple[str, ...]:
    """Return the built values that need *node*, directly or through others, by name."""
    users = users_of(singletons.graph, node)
    built = (names.get(user, user.name) for user in users if user.level == CONTAINER_LEVEL and singletons.has(user))
    return tuple(dict.fromkeys(name for name in built if name != names[node]))
