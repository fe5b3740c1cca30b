"""Small fakes and guards that several folders of tests share."""

import asyncio
import functools
import gc
import re
import threading
from contextlib import contextmanager

from asyncmeta import AsyncServiceBase, GraphErrors

LIMIT = 10.0  #: seconds after which a test that hangs is given up


class Journal(list):
    """What happened, in order: "+name" for what was built, "-name" for what was closed."""

    @property
    def built(self):
        """The names of what was built, in order."""
        return [line[1:] for line in self if line.startswith("+")]

    @property
    def closed(self):
        """The names of what was closed, in order."""
        return [line[1:] for line in self if line.startswith("-")]

    @contextmanager
    def noting(self, name):
        """Note that *name* was built, and at the end that it was closed."""
        self.append(f"+{name}")
        try:
            yield name
        finally:
            self.append(f"-{name}")


def fresh_app(**keywords):
    """Return a service class of its own, so that no test sees another's registrations."""

    class App(AsyncServiceBase, **keywords):
        pass

    return App


def problems(error):
    """Return the single problems of a graph error, whether it came alone or in a group."""
    return list(error.exceptions) if isinstance(error, GraphErrors) else [error]


def leaves(error):
    """Return all exceptions that can be reached from *error*: members, causes and contexts; itself first."""
    found, to_see = [], [error]
    while to_see:
        one = to_see.pop()
        if one is None or any(one is other for other in found):
            continue
        found.append(one)
        if isinstance(one, BaseExceptionGroup):
            to_see.extend(one.exceptions)
        to_see.extend((one.__cause__, one.__context__))
    return found


def guarded(test):
    """Give *test*, an async function, up after LIMIT seconds."""

    @functools.wraps(test)
    async def bounded(*args, **kwargs):
        async with asyncio.timeout(LIMIT):
            return await test(*args, **kwargs)

    return bounded


async def outcome(awaitable):
    """Return what *awaitable* gives, or the exception that it raises; a test's guard still works."""
    try:
        return await awaitable
    except asyncio.CancelledError as cancelled:
        if asyncio.current_task().cancelling():
            raise
        return cancelled
    except BaseException as error:
        return error


async def settled(turns=20):
    """Let every task that can run do so; nothing that waits is waited for."""
    for _ in range(turns):
        await asyncio.sleep(0)


class Gate:
    """A thread says that it has come, and waits until it may go on."""

    def __init__(self):
        self.came, self.go = threading.Event(), threading.Event()

    def passed(self):
        """Come, and wait to be let through."""
        self.came.set()
        assert self.go.wait(LIMIT), "nobody opened the gate"

    async def someone(self):
        """Wait, without blocking the loop, until a thread stands at the gate."""
        assert await asyncio.to_thread(self.came.wait, LIMIT), "nobody came to the gate"


def in_threads(count, work):
    """Call ``work(number)`` in *count* threads that begin together; return what each returned or raised."""
    barrier = threading.Barrier(count)
    results = [None] * count

    def run(number):
        try:
            barrier.wait(LIMIT)
            results[number] = work(number)
        except BaseException as error:
            results[number] = error

    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
    assert not any(thread.is_alive() for thread in threads), "a thread hangs"
    return results


def named(value):
    """Return the text of a parameter, the same one in every process."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))


def collected():
    """Free what is garbage, cycles included."""
    for _ in range(3):
        gc.collect()
