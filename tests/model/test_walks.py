"""What the model says that may come of a history is what comes of it in the real container."""

import asyncio
import contextlib
import inspect
import random

import amount
import pytest
from helpers import fresh_app

from asyncmeta import ClosedError, Container

from .protocol import Outcome, beginning, outcomes

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")

#: How many turns of the loop pass between two things that the world does.
PAUSES = (0, 1, 2, 3, 5)


class Walk:
    """The program of the model, in real code: callers, a pool, sessions, closers."""

    def __init__(self, callers, closers):
        self.opened = self.closed = 0
        self.alive = set()
        self.wrong = []
        self.gates = {}
        self.tasks = {}
        self.in_body = set()
        self.ends = ["new"] * callers
        self.closers = {}
        App = fresh_app(context=["who"])
        App.register_dependency("pool", self.pool)
        App.register_dependency("session", self.session, lifetime="scoped")
        self.container = Container(App)

    async def gate(self, name):
        future = self.gates[name] = asyncio.get_running_loop().create_future()
        try:
            await future
        finally:
            if self.gates.get(name) is future:
                del self.gates[name]

    def begins(self, name):
        if name in self.alive:
            self.wrong.append(f"{name} is built a second time")
        self.alive.add(name)
        self.opened += 1

    def ended(self, name):
        if name == "pool" and len(self.alive) > 1:
            self.wrong.append("the pool is closed before its users")
        self.alive.discard(name)
        self.closed += 1

    async def pool(self):
        await self.gate("+pool")
        self.begins("pool")
        try:
            yield "pool"
        finally:
            if len(self.alive) > 1:
                self.wrong.append("the pool is closed before its users")
            await self.gate("-pool")
            self.ended("pool")

    async def session(self, pool, who):
        await self.gate(f"+session {who}")
        self.begins(f"session {who}")
        try:
            yield pool
        finally:
            await self.gate(f"-session {who}")
            self.ended(f"session {who}")

    async def caller(self, number):
        try:
            async with self.container.scope({"who": number}) as scope:
                await scope.get("session")
                self.in_body.add(number)
                try:
                    await self.gate(f"body {number}")
                finally:
                    self.in_body.discard(number)
            self.ends[number] = "value"
        except ClosedError:
            self.ends[number] = "closed"
        except asyncio.CancelledError:
            self.ends[number] = "cancelled"

    # --- what the world does ---

    def act(self, what, *which):
        if what == "ask" and which[0] not in self.tasks:
            self.tasks[which[0]] = asyncio.ensure_future(self.caller(which[0]))
        elif what == "cancel":
            task = self.tasks.get(which[0])
            # While its scope is being left a cancellation is thrown into a finalizer: not in the model.
            if task is not None and (which[0] in self.in_body or f"+session {which[0]}" in self.gates or self.waits(which[0])):
                task.cancel()
        elif what == "finish":
            self.open(f"body {which[0]}")
        elif what == "open":
            self.open(which[0])
        elif what == "close" and which[0] not in self.closers:
            self.closers[which[0]] = asyncio.ensure_future(self.container.aclose())
        elif what == "kill":
            for task in asyncio.all_tasks():
                if task.get_name().startswith("asyncmeta:") and inspect.getcoroutinestate(task.get_coro()) == "CORO_CREATED":
                    task.cancel()
                    break

    def waits(self, number):
        """Tell whether a caller waits for the pool."""
        return f"-session {number}" not in self.gates and f"session {number}" not in self.alive and self.ends[number] == "new"

    def open(self, name):
        future = self.gates.get(name)
        if future is not None and not future.done():
            future.set_result(None)

    async def rest(self):
        """Wait until nothing goes on any more by itself."""
        for _ in range(40):
            for _ in range(15):
                await asyncio.sleep(0)
            if not any(not timer.cancelled() for timer in asyncio.get_running_loop()._scheduled):
                return
            await asyncio.sleep(0.001)

    async def go(self, history, pause):
        """Let the world do what *history* says, and after it all that somebody waits for; return what can be seen then."""
        for one in history:
            if one == ("rest",):
                await self.rest()
                continue
            self.act(*one)
            for _ in range(pause):
                await asyncio.sleep(0)
        while True:
            await self.rest()
            if not self.gates:
                break
            self.open(next(iter(self.gates)))
        waiting = [task for task in (*self.tasks.values(), *self.closers.values()) if not task.done()]
        if waiting:
            self.wrong.append(f"{len(waiting)} wait for ever")
            for task in waiting:
                task.cancel()
        for number, task in self.tasks.items():
            if task.cancelled():  # before its first step
                self.ends[number] = "cancelled"
        outcome = Outcome(tuple(self.ends), self.opened, self.closed, self.container.closed)
        last = asyncio.ensure_future(self.container.aclose())
        while not last.done():
            await self.rest()
            self.open(next(iter(self.gates), ""))
        with contextlib.suppress(Exception):
            last.result()
        if self.alive or self.opened != self.closed:
            self.wrong.append(f"left open: {self.alive}")
        return outcome


#: Ways in which something begins, goes on and ends, to be mixed.
NAMES = ["ask", "cancel", "open", "open", "open", "finish", "close", "kill", "rest"]


def history(dice, callers, closers):
    """Draw what the world does: the callers and closers begin at some time, the rest is anything."""
    drawn = []
    for _ in range(dice.randint(2, 9)):
        name = dice.choice(NAMES)
        if name in ("ask", "cancel", "finish"):
            drawn.append((name, dice.randrange(callers)))
        elif name == "close":
            drawn.append((name, dice.randrange(closers)))
        elif name == "open":
            who = dice.randrange(callers)
            drawn.append((name, dice.choice(["+pool", "+pool", "-pool", f"+session {who}", f"-session {who}"])))
        else:
            drawn.append((name,))
    return (("ask", 0), *drawn)


def test_histories_end_as_the_model_says():
    """
    Random histories, at all paces, end in the real code in one of the ways in which they can end in the model.
    """
    dice, seen, wrong = random.Random(20261130), set(), []
    for _ in range(amount.of(60, working=12)):
        callers, closers = dice.choice([(1, 1), (2, 1), (2, 2)])
        drawn = history(dice, callers, closers)
        possible = outcomes(beginning(callers, closers, kills=9), drawn)
        for pause in PAUSES:
            walk = Walk(callers, closers)
            met = asyncio.run(walk.go(drawn, pause))
            seen.add(met)
            if met not in possible or walk.wrong:
                wrong.append((drawn, pause, met, possible, walk.wrong))

    assert len(seen) > 10
    assert not wrong, f"{len(wrong)} wrong, the first: {min(wrong, key=lambda one: len(one[0]))}"
