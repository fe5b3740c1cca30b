"""What is done to a text before a model sees it; each step is a service."""

import re
import unicodedata
from dataclasses import dataclass
from typing import Protocol

from asyncmeta import AsyncDependencyDescriptor, AsyncServiceBase, inject_dependency

ADDRESS = re.compile(r"https?://\S+|www\.\S+|[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
BROKEN = re.compile("[\ud800-\udfff\ufffd]")


class Refused(Exception):
    """A text is not analysed. *reason* is one of a few words, *detail* tells them apart."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"


class Step(Protocol):
    """One step of the preparation. Whoever wants them all asks for ``All[Step]``."""

    async def apply(self, text: str) -> str:
        """Return *text* as the next step shall see it, or raise Refused."""
        ...


class Preparation(AsyncServiceBase):
    """
    The layer of the steps below, in the order in which they are written.

    An application that has it among its bases adds its own with ``on=`` itself;
    those come after these.
    """


@inject_dependency(on=Preparation)
@dataclass(frozen=True, slots=True)
class Limits:
    """How much text is taken. An application may register other limits."""

    longest: int = 1_000  #: characters


@inject_dependency(Step, multi=True, on=Preparation)
class Readable(AsyncServiceBase):
    """Refuses what was broken on its way here: no model should guess at rubbish."""

    async def apply(self, text: str) -> str:
        if broken := BROKEN.search(text):
            raise Refused("broken encoding", f"character {broken.start() + 1} is none")
        return text


@inject_dependency(Step, multi=True, on=Preparation)
class Composed(AsyncServiceBase):
    """Gives every character its one usual form: an e and its accent are é."""

    async def apply(self, text: str) -> str:
        return unicodedata.normalize("NFC", text)


@inject_dependency(Step, multi=True, on=Preparation)
class WithoutAddresses(AsyncServiceBase):
    """Takes addresses out: they are written alike in all languages."""

    async def apply(self, text: str) -> str:
        return ADDRESS.sub(" ", text)


@inject_dependency(Step, multi=True, on=Preparation)
class OneLine(AsyncServiceBase):
    """Makes one blank of any blanks and line ends."""

    async def apply(self, text: str) -> str:
        return " ".join(text.split())


@inject_dependency(Step, multi=True, on=Preparation)
class Measured(AsyncServiceBase):
    """Refuses what is too short or too long to be judged. Comes last: it measures what is left."""

    limits = AsyncDependencyDescriptor(Limits)

    async def apply(self, text: str) -> str:
        longest = (await self.limits).longest
        if not text:
            raise Refused("empty", "nothing to read")
        if len(text) > longest:
            raise Refused("too long", f"{len(text)} characters, {longest} are taken")
        return text
