"""What was entered in a task is left in that task, in the order of completion, whoever closes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from ..state.context import EXITING
from ..state.frames import LEAVES
from ..state.singletons import ScopeState
from ..state.slots import Finalizer, Held
from .finalizers import leave, push_locked, raise_first, withdraw

__all__ = ["OwnerTask", "Part"]


class OwnerTask:
    """A task that builds something and, with an async generator, stays to leave it where it was entered."""

    __slots__ = ("command", "name", "owner", "parts", "poke", "stays", "task")

    def __init__(self, owner: ScopeState, name: str, *, stays: bool) -> None:
        self.owner = owner  #: the container or scope whose finalizers these are
        self.name = name  #: what is built
        self.stays = stays
        self.parts: list[Part] = []  #: what has to be left here
        self.command: Part | None = None  #: what to leave now
        self.poke: asyncio.Future[None] | None = None
        self.task: asyncio.Task[Any] | None = None

    def push(self, owner: ScopeState, finalizer: Finalizer) -> None:
        """Take a finalizer: its turn comes by the order of completion, whoever runs it."""
        if self.stays and not (isinstance(finalizer, Held) and finalizer.anywhere):
            part = Part(self, finalizer)
            self.parts.append(part)
            finalizer = part
        push_locked(owner, finalizer)

    #: a cancellation that arrives at who closes is raised when this has been left; a container's closing task swallows it
    tells_cancellation = True

    if TYPE_CHECKING:  # the rooms that build have tasks of two kinds

        async def loop_ends(self) -> None:
            """Somebody from outside cancels the task: the loop ends.  See to it that all is left, here and elsewhere."""

    async def obey(self) -> None:
        """Leave what is commanded until nothing is left."""
        while self.parts:
            # A cancellation cancels the future, so each round has one of its own.
            self.poke = asyncio.get_running_loop().create_future()
            try:
                if self.command is None:
                    await self.poke
            except asyncio.CancelledError:
                if self.command is None:
                    await self.loop_ends()
            part, self.command = self.command, None
            if part is not None:
                EXITING.set((*EXITING.get(), self.owner.container))
                await part.run()

    async def leave_all(self, error: BaseException | None) -> list[BaseException]:
        """Leave everything at once, because of *error*; return what that raised."""
        raised: list[BaseException] = []
        while self.parts:
            part = self.parts[-1]
            await part.run(error)
            withdraw(self.owner, part)
            if part.raised is not None and part.raised is not error:
                raised.append(part.raised)
        return raised


class Part(Held):
    """Something that was entered in an owner task and is left there."""

    __slots__ = ("error", "finalizer", "left", "owner_task", "raised")

    def __init__(self, owner_task: OwnerTask, finalizer: Finalizer) -> None:
        self.owner_task = owner_task
        self.finalizer = finalizer
        self.error: BaseException | None = None  #: the body's, to be thrown in
        self.raised: BaseException | None = None  #: what leaving it raised
        self.left: asyncio.Future[None] | None = None  #: done when it has been left

    @property
    def name(self) -> str:
        """What was built with it."""
        return self.owner_task.name

    async def run(self, error: BaseException | None = None) -> None:
        """Leave it, in the owner task."""
        self.owner_task.parts.remove(self)
        try:
            await leave(self.finalizer, error if error is not None else self.error)
        except BaseException as met:
            self.raised = met
        if self.left is not None and not self.left.done():
            self.left.set_result(None)

    async def leave(self, error: BaseException | None) -> None:
        """Let the owner task leave it, and raise what that raised."""
        owner_task = self.owner_task
        if self not in owner_task.parts:
            return
        self.error = error
        if owner_task.task is asyncio.current_task():  # it leads the retiring itself
            await self.run()
        else:
            left = self.left = asyncio.get_running_loop().create_future()
            owner_task.command = self
            poke = owner_task.poke
            if poke is not None and not poke.done():
                poke.set_result(None)
            cancelled: asyncio.CancelledError | None = None
            while not left.done() and owner_task.task is not None and not owner_task.task.done():
                try:
                    await asyncio.wait([left, owner_task.task], return_when=asyncio.FIRST_COMPLETED)
                except asyncio.CancelledError as met:
                    cancelled = met  # closing goes on first
            if cancelled is not None and owner_task.tells_cancellation:
                raise_first(cancelled, self.raised)
        if self.raised is not None:
            raise self.raised


LEAVES.add(Part.run.__code__, reader=lambda frame: frame.f_locals["self"].owner_task.owner)
