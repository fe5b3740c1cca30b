"""
One process that makes an application of 50 registrations, serves one request and ends: by hand, or by asyncmeta.

    python -m benchmarks.process by-hand|asyncmeta

It imports nothing else, so that a process that does not use asyncmeta is what it would be without it.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any


def classes(count: int) -> list[type]:
    """Make *count* classes; each takes two of those before it."""
    made: list[type] = []
    for number in range(count):
        needs = {f"p{at}": made[number // 2 + at] for at in range(2)} if number > 4 else {}

        def two(self: Any, p0: Any, p1: Any) -> None:
            self.parts = p0, p1

        def none(self: Any) -> None: ...

        function = two if needs else none
        function.__annotations__ = needs
        made.append(type(f"Service{number}", (), {"__init__": function}))
    return made


class Session:
    """Opened and closed with the request."""

    def __init__(self, last: Any) -> None:
        self.last, self.closed = last, False


def by_hand() -> None:
    """The same without a container: everything is made in order, the session is closed in a finally."""
    every = classes(49)
    values: dict[type, Any] = {}
    for each in every:
        values[each] = each(*[values[need] for need in each.__init__.__annotations__.values()])  # type: ignore[misc]

    async def serve() -> None:
        session = Session(values[every[-1]])
        try:
            assert session.last.parts
        finally:
            session.closed = True

    asyncio.run(serve())


def by_asyncmeta() -> None:
    """Register 50, check, open, serve, close."""
    from asyncmeta import AsyncServiceBase, Container

    every = classes(49)
    last = every[-1]

    async def open_session(last: Any) -> AsyncIterator[Session]:
        session = Session(last)
        try:
            yield session
        finally:
            session.closed = True

    open_session.__annotations__["last"] = last

    class App(AsyncServiceBase):
        pass

    for each in every:
        App.register_dependency(each, each)
    App.register_dependency(Session, open_session, lifetime="scoped")

    async def serve() -> None:
        async with Container(App) as container, container.scope() as scope:
            session = await scope.get(Session)
            assert session.last.parts

    asyncio.run(serve())


WHO = {"by-hand": by_hand, "asyncmeta": by_asyncmeta}

if __name__ == "__main__":
    WHO[sys.argv[1]]()
