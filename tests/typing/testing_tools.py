"""What tests of a user import."""
# needs: asyncmeta.testing

from typing_extensions import assert_type

from asyncmeta import Container
from asyncmeta.testing import (
    Explored,
    OverrideFixture,
    Recording,
    Sequencer,
    explore,
    recording,
    registrations,
)


async def order() -> None:
    sequencer = Sequencer("first", "second")
    await sequencer.step("first")
    sequencer.step_nowait("second")
    sequencer.step_nowait(3)  # E: steps are named
    Sequencer(1)  # E: steps are named


def record(container: Container) -> list[str]:
    with recording() as everything:
        assert_type(everything, Recording)
    with recording(container) as record:
        assert_type(record.built, list[str])
        assert_type(record.closed, list[str])
        return record.built


async def scenario() -> None: ...


def run() -> None:
    assert_type(explore(scenario), Explored)
    assert_type(explore(scenario, runs=10, seed=3).runs, int)
    explore(scenario())  # E: the function, not its coroutine
    recording(3)  # E: no container
    with registrations():
        pass


def override_fixture(override: OverrideFixture) -> None:
    override({"database": None})
    override([Container], everywhere=True)
    override(3)  # E: neither values nor providers
