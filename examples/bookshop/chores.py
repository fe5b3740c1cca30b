"""Who does what need not be done before an order is answered?  The process itself, or workers: a class decides."""

from typing import Protocol

from asyncmeta import AsyncServiceBase, Container, inject_dependency

from .printing import Clerk


class Chores(Protocol):
    """What the order desk gives away, when an order is written down."""

    async def receipt(self, number: str) -> None: ...

    async def thumbnail(self, code: str) -> None: ...


class Here:
    """Each chore at once, in a scope of its own: in a session that has nothing to do with that of the order."""

    def __init__(self, container: Container) -> None:
        self._container = container

    async def receipt(self, number: str) -> None:
        async with self._container.request(Clerk) as clerk:
            await clerk.receipt(number)

    async def thumbnail(self, code: str) -> None:
        async with self._container.request(Clerk) as clerk:
            await clerk.thumbnail(code)


class InProcess(AsyncServiceBase):
    """The layer of a shop without workers; ``queue.Queued`` is the other one."""

    @inject_dependency(Chores)
    def do_here(self, container: Container) -> Chores:
        return Here(container)
