"""What a coroutine waits in, asked from outside: `asyncmeta._run.state.awaited`."""

import asyncio

from asyncmeta._run.state import awaited
from asyncmeta._run.state.awaited import links_of


def names_of(coroutine):
    return [frame.f_code.co_name for _, frame in links_of(coroutine) if frame is not None]


async def test_suspended_coroutines_are_given_outermost_first():
    """
    Through coroutines, async generators, and what takes one step of these.
    """
    gate = asyncio.Event()

    async def values():
        await gate.wait()
        yield 1

    async def inner():
        async for value in values():
            return value

    async def outer():
        return await inner()

    task = asyncio.create_task(outer())
    await asyncio.sleep(0)
    names = names_of(task.get_coro())
    gate.set()

    assert names == ["outer", "inner", "values", "wait"]
    assert await task == 1


class Anything:
    """Does *work* whatever an expression does with it."""

    def __init__(self, work):
        self.__dict__["work"] = work

    def __call__(self, *arguments):
        self.work()

    def __getattr__(self, name):
        self.work()

    def __setattr__(self, name, value):
        self.work()

    def __getitem__(self, key):
        self.work()

    def __setitem__(self, key, value):
        self.work()

    def __add__(self, other):
        self.work()

    def __lt__(self, other):
        self.work()

    def __enter__(self):
        self.work()

    def __exit__(self, *raised):
        self.work()


class Another(Anything):
    """A second class: the interpreter specialises nothing for both."""


def test_a_running_coroutine_is_the_last():
    """
    Whatever it is just doing: CPython before 3.13 takes what its code keeps behind an instruction for one, and finds garbage.
    """
    seen = set()

    def look():
        seen.add(tuple(link for link, _ in links_of(running)))

    async def doing():
        things = [Anything(look), Another(look), lambda *arguments: look()]
        for number in range(6_000):
            one = things[number % 2]
            one[number], one[number] = number, one[number]
            one.name, one.name = number, one.name
            one + number, one < number
            with one:
                things[number % 3](number)
                one(number)

    running = doing()
    try:
        running.send(None)
    except StopIteration:
        pass

    assert seen == {(running,)}


async def test_no_end_of_coroutines_is_followed(monkeypatch):
    """
    Only so many of those that wait for each other are looked at.
    """
    monkeypatch.setattr(awaited, "_FAR", 3)

    async def deep(count):
        await (deep(count - 1) if count else asyncio.Event().wait())

    task = asyncio.create_task(deep(10))
    await asyncio.sleep(0)

    assert names_of(task.get_coro()) == ["deep"] * 3
    task.cancel()
