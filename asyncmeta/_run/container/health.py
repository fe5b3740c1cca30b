"""How well are the built values?  Each is asked as its registration says; nothing is built by asking."""

from __future__ import annotations

import asyncio
import inspect
import time
import traceback
from typing import Any

from ..._declare.lifetimes import CONTAINER_LEVEL
from ..._names import Place, name_of
from ..._solve.checks import declared_nodes, reached_from
from ..._solve.nodes import Node
from ...errors import WrongLoopError
from ...report import Health, HealthReport
from ..state.waiting import LOCK
from .start import starts

__all__ = ["health"]


async def health(container: Any, timeout: float) -> HealthReport:
    """Ask the built values; see `Container.health`."""
    if not isinstance(timeout, int | float) or isinstance(timeout, bool) or not timeout > 0:
        raise ValueError("timeout is a number of seconds above 0")
    container._check_open()
    nodes = nodes_to_ask(container)
    built = [node for node in nodes if container._has(node)]
    loop = asyncio.get_running_loop()
    if built and container._loop not in (None, loop) and not container._loop.is_closed():
        raise WrongLoopError(f"the values of {container._name} belong to another event loop, and are asked there")
    async with asyncio.TaskGroup() as group:
        asked = {
            node: group.create_task(_ask(container, node, timeout), name=f"asyncmeta: health of {node.name}") for node in built
        }
    return HealthReport([asked[node].result() if node in asked else Health(node.name, "not started") for node in nodes])


def nodes_to_ask(container: Any) -> list[Node]:
    """Return the container values that say how they are asked: those of the application, and what else is built."""
    graph = container._graph
    with LOCK:
        graph.refresh()
        reached = reached_from(graph, declared_nodes(graph)[0])
        there = [node for node in graph.nodes.values() if container._has(node)]
    return [
        node
        for node in dict.fromkeys((*reached, *there))
        if node.level == CONTAINER_LEVEL and node.registration.options.health is not None and not starts(container, node)
    ]


async def _ask(container: Any, node: Node, seconds: float) -> Health:
    """Ask one value, within *seconds*."""
    began = time.perf_counter()
    state, said = "ok", None
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            said = await _answer(node, container._built_value(node))
    except TimeoutError as error:
        state, said = ("timed out", None) if limit.expired() else ("failed", _described(error))
    except Exception as error:
        said = _described(error)
    if said is not None:
        state = "failed"
    took = time.perf_counter() - began
    return Health(node.name, state, took, said, () if state == "ok" else _degraded(container, node))


async def _answer(node: Node, value: Any) -> str | None:
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


def _degraded(container: Any, node: Node) -> tuple[str, ...]:
    """Return the built values that need *node*, directly or through others, by name."""
    users = container._graph.users()
    found: dict[Node, None] = {}
    waiting = [node]
    while waiting:
        for user in users.get(waiting.pop(), ()):
            if user not in found:
                found[user] = None
                waiting.append(user)
    names = (user.name for user in found if user.level == CONTAINER_LEVEL and container._has(user) and user.name != node.name)
    return tuple(dict.fromkeys(names))
