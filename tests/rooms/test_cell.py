"""`_run.build.cell`: what becomes of who asks for a late value just as another one's fetching ends?"""

import asyncio

import pytest

from asyncmeta._run.build.cell import Cell
from asyncmeta._run.state.parking import Outcome
from asyncmeta._run.state.slots import FLIGHT


class Late(Cell):
    """A late value; what *meanwhile* does happens between seeing another one's fetching and waiting for it."""

    def __init__(self, meanwhile=lambda cell: None):
        super().__init__()
        self.meanwhile, self.made = meanwhile, 0

    def _label(self):
        self.meanwhile(self)
        return "late"

    async def _get(self):
        self.made += 1
        return self.made

    def _get_nowait(self):
        self.made += 1
        return self.made


def fails(cell):
    cell._settle(Outcome(OSError("in vain")))


def succeeds(cell):
    cell._keep("from the other one")
    cell._settle(Outcome())


def fetched_by_another(meanwhile, by_task=False):
    cell = Late(meanwhile)
    cell._value, cell._by_task = FLIGHT, by_task
    return cell


@pytest.mark.parametrize(("meanwhile", "value"), [(fails, 1), (succeeds, "from the other one")])
def test_a_thread_takes_over_what_has_just_ended(meanwhile, value):
    """
    A thread that comes to wait for what is over by then takes the value, or fetches it anew where there is none.
    """
    cell = fetched_by_another(meanwhile)

    assert cell._fetch_once_nowait() == value
    assert cell._fetch_once_nowait() == value


@pytest.mark.parametrize(("meanwhile", "value"), [(fails, 1), (succeeds, "from the other one")])
async def test_a_task_takes_over_what_has_just_ended(meanwhile, value):
    """
    So does a task.
    """
    cell = fetched_by_another(meanwhile)

    assert await cell._fetch_once() == value
    assert await cell._fetch_once() == value


def test_without_a_loop_the_fetching_of_a_thread_is_waited_for():
    """
    A coroutine that is driven by hand waits as a thread does.
    """
    cell = fetched_by_another(fails)

    with pytest.raises(StopIteration) as caught:
        cell._fetch_once().send(None)

    assert caught.value.value == 1


def test_a_loop_that_was_closed_is_not_told():
    """
    Who waited in a loop that is no more hears nothing, and the one who fetches is not disturbed by that.
    """
    cell = fetched_by_another(lambda cell: None)
    loop, joining = asyncio.new_event_loop(), cell._fetch_once()
    task = loop.create_task(joining)
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()

    succeeds(cell)

    assert cell._fetch_once_nowait() == "from the other one"
    assert not task.done()
    task._log_destroy_pending = False
    joining.close()
