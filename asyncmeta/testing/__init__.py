"""
What do tests need?  An order without sleeps, records of what was built, the exploration of interleavings.

A unit test of a service needs none of it, and no container: what its attributes give is given by hand.

    >>> desk = Desk(session=FakeSession())  # a service without a constructor of its own
    >>> desk.mailer = FakeMailer()
    >>> await desk.place(order)
"""

from __future__ import annotations

from typing import Protocol

from .._declare.providers import Overrides
from .exploring import Explored, explore
from .records import Recording, recording, registrations
from .steps import Sequencer

__all__ = ["Explored", "OverrideFixture", "Recording", "Sequencer", "explore", "recording", "registrations"]


class OverrideFixture(Protocol):
    """What the pytest fixture ``override`` is."""

    def __call__(self, overrides: Overrides, /, *, everywhere: bool = False, new: bool = False) -> None:
        """
        Put *overrides* in force until the test ends.

        They end in reverse order, in the test's own task, before the container closes.

        Args:
            overrides: A mapping from tokens to values, or a provider list.
            everywhere: Put them in force for every task and thread; what a fixture asks for always is.
            new: Take keys that nothing provides.

        Raises:
            MissingDependencyError: Nothing provides a key, and *new* is not said.
            GraphErrors: What is affected does not fit together any more.
        """
