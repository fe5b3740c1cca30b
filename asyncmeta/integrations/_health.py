"""Is the application alive, and is it ready?  For whoever watches over its process."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from .. import Container
from ._applications import container_of

__all__ = ["HealthEndpoint", "answer_health", "parts_of", "question_of", "questions_below"]

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Any, Any, Any], Awaitable[None]]


class HealthEndpoint:
    """
    Answers whether an application lives and is ready, around any ASGI application: ``app = HealthEndpoint(app)``.

    For frameworks whose `setup` has no option *health*: Sanic, BlackSheep, Django (``HealthEndpoint(get_asgi_application())``).
    It stands outside of everything, opens no scope, and hands all else on.

    Args:
        app: The application.
        container: The container; that of the application if not given.
        path: Below it "/live" and "/ready" are answered, see `ContainerMiddleware`.

    .. versionadded:: 0.1.0
    """

    def __init__(self, app: Application, container: Container | None = None, *, path: str = "/health") -> None:
        self.app = app
        self._container = container
        self._questions = questions_below(path)

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Send) -> None:
        question = question_of(self._questions, scope) if scope["type"] == "http" else None
        if question is None:
            await self.app(scope, receive, send)
        else:
            await answer_health(self._container or container_of(self.app), question, scope["method"], send)


def questions_below(path: str) -> dict[str, str]:
    """Return which question is asked by each path below *path*."""
    return {f"{path.rstrip('/')}/{question}": question for question in ("live", "ready")}


def parts_of(scope: MutableMapping[str, Any]) -> tuple[str, str]:
    """
    Return below which path the application of a connection stands, and what comes below that.

    Some servers put the path that a proxy has taken away before what was asked for, and so do mounts with theirs; some do not.
    """
    root, path = str(scope.get("root_path", "")).rstrip("/"), str(scope.get("path", ""))
    return (root, path[len(root) :]) if root and path.startswith(f"{root}/") else ("", path)


def question_of(questions: Mapping[str, str], scope: MutableMapping[str, Any]) -> str | None:
    """Return which of *questions* a request asks; None where it asks something else."""
    return questions.get(scope.get("path", "")) or questions.get(parts_of(scope)[1])


async def answer_health(container: Container, question: str, method: str, send: Send) -> None:
    """
    Answer a request about the health of *container*.

    Names and states only: an error's text may say more than strangers should know.

    Args:
        container: The container.
        question: "live": the process answers; "ready": every value that says how to ask it is well.
        method: The request's; others than GET and HEAD are refused.
        send: Takes the response.
    """
    if method not in ("GET", "HEAD"):
        await _send(send, 405, {"ok": False}, method, (b"allow", b"GET, HEAD"))
        return
    told: dict[str, Any] = {"ok": not container.closed}
    if question == "ready" and told["ok"]:
        report = await container.health()
        told = {
            "ok": report.ok,
            "entries": [{"key": one.key, "state": one.state, "degraded": list(one.degraded)} for one in report.entries],
            "degraded": list(report.degraded),
        }
    await _send(send, 200 if told["ok"] else 503, told, method)


async def _send(send: Send, status: int, told: dict[str, Any], method: str, *headers: tuple[bytes, bytes]) -> None:
    body = json.dumps(told).encode()
    fields = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": status, "headers": [*fields, *headers]})
    await send({"type": "http.response.body", "body": b"" if method == "HEAD" else body})
