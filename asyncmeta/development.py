"""
What does the running application look like?  A page for development, off unless asked for.

It shows the graph with its handlers and the last start-up: names, places and times, and no value.
"""

from __future__ import annotations

import html
import ipaddress
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from . import Container, ScopeError
from .cli.served import with_handlers
from .diagrams import Diagram, diagram
from .integrations._applications import container_of, handlers_of, integration_of
from .integrations._health import parts_of
from .integrations._lifespan import REPORTS

__all__ = ["DevelopmentPage"]

_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]

#: Headers with which a proxy says that somebody else is asking.
_FORWARDED: Final = frozenset({b"forwarded", b"x-forwarded-for", b"x-real-ip"})

_PAGES: Final = """<!doctype html><meta charset="utf-8"><title>asyncmeta</title>
<p><a href="{path}/graph">The graph</a> &middot; <a href="{path}/start">The last start</a></p>"""

_HEADERS: Final = (
    (b"content-type", b"text/html; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"),
    (b"x-content-type-options", b"nosniff"),
)


class DevelopmentPage:
    """
    Wraps an ASGI application: ``app.add_middleware(DevelopmentPage)``, or ``app = DevelopmentPage(app)``, while it is developed.

    Below *path* stand ``/graph``, the page of the graph as it is now, with the handlers, and ``/start``, that of the last
    start-up.  Only who asks from this machine, and not through a proxy, gets them; for all others, and in all other paths,
    the application answers.

    Args:
        app: The application.
        container: The container; that of the application if not given.
        path: Where the pages are.
        anywhere: Show them to whoever asks, as where the application runs in a container of another kind.  They say what
            the program is made of: never in production.
    """

    def __init__(
        self,
        app: Callable[[Any, Any, Any], Awaitable[None]],
        container: Container | None = None,
        *,
        path: str = "/_asyncmeta",
        anywhere: bool = False,
    ) -> None:
        self.app = app
        self._container = container
        self._path = path.rstrip("/")
        self._anywhere = anywhere

    async def __call__(self, scope: MutableMapping[str, Any], receive: _Receive, send: _Send) -> None:
        root, path = parts_of(scope)
        asked = scope["type"] == "http" and (path == self._path or path.startswith(f"{self._path}/"))
        if not asked or scope["method"] not in ("GET", "HEAD") or not (self._anywhere or _from_here(scope)):
            await self.app(scope, receive, send)
            return
        page = self._page(path.removeprefix(self._path).strip("/"), scope.get("app", self.app), root)
        if page is None:
            await self.app(scope, receive, send)
            return
        body = page.encode()
        headers = [*_HEADERS, (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    def _page(self, name: str, app: Any, root: str) -> str | None:
        """Return the page of that name, None where there is none; *root* is the path that the application stands below."""
        if not name:
            return _PAGES.format(path=html.escape(root) + self._path)
        try:
            container = self._container or container_of(app)
        except ScopeError:
            return None
        if name == "graph":
            return _diagram(container, app).to_html()
        report = REPORTS.get(container) if name == "start" else None
        return None if report is None else report.to_html()


def _diagram(container: Container, app: Any) -> Diagram:
    graph = container._graph
    if integration_of(app) is not None:
        graph = with_handlers(graph, handlers_of(app), container)
    return diagram(graph)


def _from_here(scope: MutableMapping[str, Any]) -> bool:
    """Tell whether a request comes from this machine, and not through a proxy that runs on it."""
    client = scope.get("client")
    if client is None:
        return False
    try:
        here = ipaddress.ip_address(client[0]).is_loopback
    except ValueError:  # a name, as test clients have; a path of a socket
        return False
    headers = [(name.lower(), value) for name, value in scope.get("headers", ())]
    if not here or any(name in _FORWARDED for name, _ in headers):
        return False
    # A page of somewhere else, whose name was made to mean this machine, shall not read it.
    hosts = [value.decode("latin-1") for name, value in headers if name == b"host"]
    return len(hosts) == 1 and _is_local(hosts[0])


def _is_local(host: str) -> bool:
    name = host.rpartition("]")[0].removeprefix("[") or host.partition(":")[0]
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")
