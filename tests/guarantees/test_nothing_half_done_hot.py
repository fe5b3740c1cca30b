"""Promise 14, where a call or a block has code of its own and no scope was made for it."""

import asyncio
import contextlib
import threading
from typing import Annotated

import pytest
from helpers import outcome

from asyncmeta import ClosedError, Container, Inject, injected
from asyncmeta._run.teardown import unwinding

from .test_nothing_half_done import Bank, in_a_thread, let_end_when_waited_for

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")

Account = Annotated[str, Inject("account")]


class Doors:
    """The ways to have an account for a while for which no scope is made, once they are hot."""

    def __init__(self, bank, hold):
        self.bank, self.began = bank, asyncio.Event()
        container = bank.container

        async def body(account):
            self.began.set()
            await hold()

        async def one(account: Account):
            await body(account)

        async def two(account: Account, other: Annotated[str, Inject("other")]):
            await body(account)

        async def stream(account: Account):
            await body(account)
            yield account

        async def request():
            async with container.request("account") as account:
                await body(account)

        async def iterate():
            async for _ in streaming():
                pass

        streaming = container.inject(stream)
        ambient = injected(one)

        async def injected_call():
            with container.ambient():
                await ambient()

        self.ways = {
            "inject": container.inject(one),
            "injected": injected_call,
            "two finalizers": container.inject(two),
            "stream": iterate,
            "request": request,
        }


WAYS = ("inject", "injected", "two finalizers", "stream", "request")


async def hot(way, hold):
    """Return a bank, and a way into it that has been gone often enough."""
    bank, go_on = Bank(), [lambda: asyncio.sleep(0)]

    async def other():
        yield "other"

    bank.App.register_dependency("other", other, lifetime="scoped")
    doors = Doors(bank, lambda: go_on[0]())
    for _ in range(4):
        await doors.ways[way]()
    bank.log.clear()
    doors.began.clear()
    go_on[0] = hold
    return bank, doors, doors.ways[way]


@pytest.mark.parametrize("way", WAYS)
async def test_what_is_in_progress_has_failed(way):
    """
    A ClosedError is thrown in before what it uses is closed, and the call raises one at its end.
    """
    done = asyncio.Event()
    bank, doors, go = await hot(way, done.wait)
    task = asyncio.create_task(go())
    await doors.began.wait()
    await bank.container.aclose()
    bank.undone("ClosedError")
    done.set()

    assert isinstance(await outcome(task), ClosedError)
    bank.undone("ClosedError")


@pytest.mark.parametrize("way", WAYS)
async def test_who_is_on_the_way_out_ends_with_its_own(way):
    """
    A cancelled call that awaits on its way out is waited for, and undoes its work itself.
    """

    async def hold():
        try:
            await asyncio.Event().wait()
        finally:
            for _ in range(20):
                await asyncio.sleep(0)

    bank, doors, go = await hot(way, hold)
    task = asyncio.create_task(go())
    await doors.began.wait()
    task.cancel()
    await asyncio.sleep(0)
    await bank.container.aclose()

    bank.undone("CancelledError")
    assert isinstance(await outcome(task), asyncio.CancelledError)


@pytest.mark.parametrize("way", WAYS)
async def test_who_was_on_the_way_out_and_goes_on_has_failed(way):
    """
    A cancelled call that swallows that and returns was in progress when the container closed: its work is undone.
    """

    async def hold():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        for _ in range(20):
            await asyncio.sleep(0)

    bank, doors, go = await hot(way, hold)
    task = asyncio.create_task(go())
    await doors.began.wait()
    task.cancel()
    await asyncio.sleep(0)
    await bank.container.aclose()

    assert isinstance(await outcome(task), ClosedError)
    bank.undone("ClosedError")


@pytest.mark.parametrize("way", WAYS)
async def test_a_body_that_fails_later_keeps_its_exception(way):
    """
    A call whose work was undone under it raises what it raises, and nothing in its place.
    """
    done = asyncio.Event()

    async def hold():
        await done.wait()
        raise LookupError("its own")

    bank, doors, go = await hot(way, hold)
    task = asyncio.create_task(go())
    await doors.began.wait()
    await bank.container.aclose()
    done.set()

    assert isinstance(await outcome(task), LookupError)
    bank.undone("ClosedError")


@pytest.mark.parametrize("way", WAYS)
async def test_who_is_just_leaving_is_waited_for(way):
    """
    While a call is in its finalizer nothing that this uses is closed, and its work is kept.
    """
    go_on, leaving = asyncio.Event(), asyncio.Event()
    bank, _, go = await hot(way, lambda: asyncio.sleep(0))

    async def before_booking():
        leaving.set()
        await go_on.wait()

    bank.before_booking = before_booking
    task = asyncio.create_task(go())
    await leaving.wait()
    closing = asyncio.create_task(bank.container.aclose())
    for _ in range(5):
        await asyncio.sleep(0)
    assert bank.log == []
    go_on.set()
    await closing

    assert bank.log == ["booked", "database closed"]
    assert await outcome(task) is None


@pytest.mark.parametrize("way", ["inject", "request"])
async def test_who_is_still_making_something_is_undone(way):
    """
    A call that is met while it waits for the second of two factories makes nothing more than that, and undoes the first.
    """
    bank, go_on, making = Bank(), asyncio.Event(), asyncio.Event()
    go_on.set()

    async def slow(account):
        making.set()
        await go_on.wait()
        return "slow"

    async def last(slow):
        bank.log.append("made in spite of it")
        return "last"

    bank.App.register_dependency("slow", slow, lifetime="scoped")
    bank.App.register_dependency("last", last, lifetime="scoped")
    container = bank.container

    async def body(last: Annotated[str, Inject("last")]):
        return last

    async def request():
        async with container.request("last") as last:
            return last

    go = container.inject(body) if way == "inject" else request
    for _ in range(4):
        assert await go() == "last"
    bank.log.clear()
    making.clear()
    go_on.clear()
    task = asyncio.create_task(go())
    await making.wait()
    closing = asyncio.create_task(container.aclose())
    for _ in range(5):
        await asyncio.sleep(0)
    go_on.set()
    await closing

    bank.undone("ClosedError")
    assert isinstance(await outcome(task), ClosedError)


async def test_a_call_that_has_not_begun_is_refused():
    """
    A coroutine that was made before the container closed, and begins afterwards, makes nothing with what is closed.
    """
    bank, _, go = await hot("inject", lambda: asyncio.sleep(0))
    late = go()
    await bank.container.aclose()

    with pytest.raises(ClosedError):
        await late
    assert bank.log == ["database closed"]


async def test_the_waiting_is_bounded(monkeypatch):
    """
    A cancelled call that never comes to its end does not keep the container from closing.
    """
    monkeypatch.setattr(unwinding, "PATIENCE", 0.05)
    never = asyncio.Event()

    async def hold():
        try:
            await asyncio.Event().wait()
        finally:
            await never.wait()

    bank, doors, go = await hot("inject", hold)
    task = asyncio.create_task(go())
    await doors.began.wait()
    task.cancel()
    await asyncio.sleep(0)
    await bank.container.aclose()
    bank.undone("ClosedError")
    never.set()
    await outcome(task)


async def test_another_containers_calls_go_on():
    """
    What is in progress for another container of the same application is left alone.
    """
    done = asyncio.Event()
    bank, doors, go = await hot("request", done.wait)
    other = Container(bank.App)
    for _ in range(4):
        async with other.request("account"):
            pass
    bank.log.clear()
    task = asyncio.create_task(go())
    await doors.began.wait()
    await other.aclose()
    assert bank.log == ["database closed"]
    done.set()
    await task

    assert bank.log == ["database closed", "booked"]
    await bank.container.aclose()


def in_the_middle(bank, work, began, done):
    """Let a thread be in *work*, which code runs by now, until *done*; return what waits for its outcome."""
    done.set()
    for _ in range(4):
        work()
    bank.log.clear()
    began.clear()
    done.clear()
    wait = in_a_thread(work)
    began.wait(10)
    return wait


@pytest.mark.parametrize("how", ["close", "aclose"])
def test_a_call_in_a_thread_that_does_not_end_has_failed(how, monkeypatch):
    """
    A synchronous call that a thread is still in when the container has waited for it is undone, and told at its end.
    """
    monkeypatch.setattr(unwinding, "PATIENCE_WITH_THREADS", 0.01)
    bank, began, done = Bank(nowait=True), threading.Event(), threading.Event()

    @bank.container.inject
    def work(account: Account):
        began.set()
        done.wait(10)

    wait = in_the_middle(bank, work, began, done)
    bank.container.close() if how == "close" else asyncio.run(bank.container.aclose())
    bank.undone("ClosedError")
    done.set()

    assert [type(error) for error in wait()] == [ClosedError]
    bank.undone("ClosedError")


@pytest.mark.parametrize("how", ["close", "aclose"])
def test_a_call_in_a_thread_that_comes_to_its_end_is_whole(how, monkeypatch):
    """
    A synchronous call that ends while the container that closes waits for its thread has lost nothing.
    """
    bank, began, done = Bank(nowait=True), threading.Event(), threading.Event()

    @bank.container.inject
    def work(account: Account):
        began.set()
        done.wait(10)

    wait = in_the_middle(bank, work, began, done)
    let_end_when_waited_for(monkeypatch, done)
    bank.container.close() if how == "close" else asyncio.run(bank.container.aclose())

    assert wait() == []
    assert bank.log == ["booked", "database closed"]


def test_a_generator_that_nobody_is_in_has_failed():
    """
    A synchronous generator that waits at its yield, held by whomever, is undone, too.
    """
    bank = Bank(nowait=True)

    @bank.container.inject
    def rows(account: Account):
        yield account
        yield account

    for _ in range(4):
        list(rows())
    bank.log.clear()
    held = rows()
    next(held)
    bank.container.close()
    bank.undone("ClosedError")

    list(held)  # this thread has closed the container itself
    bank.undone("ClosedError")
