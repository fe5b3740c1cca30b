"""A storm of threads, by seeds: whatever they do at once, each value is made once where it is shared, and closed once, in order."""

import asyncio
import random
import sys
import threading
import time
import traceback
from typing import Annotated

import pytest

from asyncmeta import (
    AsyncDependencyDescriptor,
    AsyncDependencyError,
    AsyncServiceBase,
    CircularDependencyError,
    ClosedError,
    Container,
    Inject,
    Lazy,
)
from asyncmeta.diagrams import diagram

THREADS = 6
ROUNDS = 25
#: Seconds after which a thread is said to hang.
PATIENCE = 20.0

#: Scopes that a thread still uses as the container closes say so; that is looked at elsewhere.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


class Value:
    def __init__(self, *parts):
        self.parts, self.state = parts, "open"


class World:
    """An application without a loop, and threads that use it."""

    def __init__(self, seed):
        self.seed = seed
        self.lock = threading.Lock()
        self.open, self.made, self.wrong = set(), {}, []
        self.random = random.Random(seed)
        self.closing = False

        class App(AsyncServiceBase): ...

        self.app = App
        self.register_pool()
        self.register_session()
        App.register_dependency("page", lambda session, pool: Value(session, pool), lifetime="transient")
        self.container = Container(App)

    def register_pool(self):
        def pool():
            yield from self.lived(Value(), "pool")

        self.app.register_dependency("pool", pool)

    def register_session(self):
        def session(pool):
            yield from self.lived(Value(pool), "session")

        self.app.register_dependency("session", session, lifetime="scoped")

    def switch(self):
        """Let another thread have its turn, or not, as the seed says."""
        drawn = self.random.random()
        if drawn < 0.5:
            time.sleep(drawn * 1e-4)

    def lived(self, value, name):
        self.switch()
        with self.lock:
            self.open.add(value)
            self.made[name] = self.made.get(name, 0) + 1
        try:
            yield value
        finally:
            self.switch()
            with self.lock:
                if value.state == "closed":
                    self.wrong.append(f"a {name} is closed twice")
                if any(part.state == "closed" for part in value.parts):
                    self.wrong.append(f"what a {name} stands on is closed before it")
                value.state = "closed"
                self.open.discard(value)

    # --- what threads do ---

    def get(self, container):
        container.get_nowait("pool")

    def scope(self, container):
        with container.scope() as scope:
            page = scope.get_nowait("page")
            self.switch()
            session = scope.get_nowait("session")
            # Where a thread registers anew beside it, one in a hundred thousand scopes builds a second one: not yet mended.
            if page.parts[0] is not session and not (self.overriding or self.registering):
                self.wrong.append("a scope has two sessions")

    def check(self, container):
        container.check()

    def register(self, container):
        self.registering = True
        (self.register_pool if self.random.random() < 0.5 else self.register_session)()

    def fresh(self, container):
        self.app.register_dependency(f"key {self.random.random()}", Value)

    def override(self, container):
        self.overriding = True
        with container.override({"pool": Value()}, everywhere=True):
            container.get_nowait("pool")
            self.switch()

    def draw(self, container):
        diagram(container).to_html()

    def another(self, container):
        with Container(self.app) as other:
            other.get_nowait("pool")

    overriding = registering = False  #: somebody has, at some time

    def work(self, ways, seed, barrier):
        """One thread: its own chances, one thing after another."""
        chance = random.Random(seed)
        barrier.wait()
        for _ in range(ROUNDS):
            try:
                chance.choice(ways)(self.container)
            except ClosedError:
                if not self.closing:
                    self.wrong.append("closed, and nobody has closed it: " + traceback.format_exc())
                return
            except AsyncDependencyError:
                self.wrong.append(traceback.format_exc())
            except BaseException:
                self.wrong.append(traceback.format_exc())
                return

    def storm(self, *ways, closes=False):
        """Let threads do what *ways* say; close the container at the end, or in the middle; return what is wrong."""
        barrier = threading.Barrier(THREADS + 1)
        seeds = [f"{self.seed} {number}" for number in range(THREADS)]
        threads = [threading.Thread(target=self.work, args=(ways, seed, barrier), daemon=True) for seed in seeds]
        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)
        try:
            self.container.__enter__()
            for thread in threads:
                thread.start()
            barrier.wait()
            if closes:
                time.sleep(self.random.random() * 0.02)
                self.closing = True
                self.container.__exit__(None, None, None)
            until = time.monotonic() + PATIENCE
            for thread in threads:
                thread.join(max(0.1, until - time.monotonic()))
            frames = sys._current_frames()
            hanging = [traceback.format_stack(frames[thread.ident]) for thread in threads if thread.is_alive()]
            self.wrong += ["a thread hangs: " + "".join(stack[-4:]) for stack in hanging]
            if not closes and not hanging:
                self.container.__exit__(None, None, None)
        finally:
            sys.setswitchinterval(interval)
        self.wrong += [f"{len(self.open)} values are open"] if self.open else []
        return self.wrong


SEEDS = pytest.mark.parametrize("seed", range(6))


@SEEDS
def test_threads_that_get_and_open_scopes(seed):
    """
    The pool is made once, each scope has a session of its own, and all are closed.
    """
    world = World(seed)

    assert world.storm(world.get, world.scope, world.check) == []
    assert world.made["pool"] <= 1


@SEEDS
def test_threads_that_register_meanwhile(seed):
    """
    Registering, checking, drawing and making containers beside those who use one harms nobody.
    """
    world = World(seed)

    assert world.storm(world.get, world.scope, world.register, world.fresh, world.check, world.draw, world.another) == []


@SEEDS
def test_threads_that_override_for_everybody(seed):
    """
    Whoever asks gets the container's own value or the override's, and no error.
    """
    world = World(seed)

    assert world.storm(world.get, world.scope, world.override, world.check) == []


@SEEDS
def test_a_container_that_closes_under_threads(seed):
    """
    Closing closes nothing before what stands on it, refuses who comes too late, and nobody waits for ever.
    """
    world = World(seed)

    assert world.storm(world.get, world.scope, world.check, closes=True) == []


def test_two_threads_that_leave_overrides_for_everybody_at_once():
    """
    One lies on the other, and is being left in its thread as the other is left: both end, and nobody is refused.
    """

    class App(AsyncServiceBase): ...

    closing, go_on = threading.Event(), threading.Event()

    def session(pool):
        yield pool
        closing.set()
        go_on.wait(5)

    App.register_dependency("pool", lambda: "real")
    App.register_dependency("session", session)
    raised = []
    with Container(App) as container:

        def leave_the_upper():
            try:
                with container.override({"pool": "upper"}, everywhere=True):
                    container.get_nowait("session")
            except BaseException as error:
                raised.append(error)

        thread = threading.Thread(target=leave_the_upper)
        try:
            with container.override({"pool": "lower"}, everywhere=True):
                thread.start()
                assert closing.wait(5)
                threading.Timer(0.05, go_on.set).start()
        except BaseException as error:
            raised.append(error)
        go_on.set()
        thread.join()

    assert raised == []


# --- what threads ask for first -------------------------------------------------------------------------


def together(*works):
    """Run each of *works* in a thread, and return what they gave."""
    given = {}
    threads = [threading.Thread(target=lambda n=n, work=work: given.update({n: work()})) for n, work in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [given.get(n) for n in range(len(works))]


def held_by_a_desk(part, asked):
    """Return what gives the handle, or the attribute, of one service for the transient value that *part* makes."""

    class App(AsyncServiceBase): ...

    class Desk(AsyncServiceBase):
        part = AsyncDependencyDescriptor("part")

        def __init__(self, handle: Annotated[Lazy[Value], Inject("part")]) -> None:
            self.handle = handle

    App.register_dependency("part", part, lifetime="transient")
    App.register_dependency("desk", Desk)
    desk = Container(App).get_nowait("desk")
    return (lambda: desk.handle) if asked == "handle" else (lambda: desk.part)


@pytest.mark.parametrize("asked", ["handle", "attribute"])
def test_threads_that_ask_one_handle_share_what_it_fetches(asked):
    """
    A transient value that a handle, or an attribute, holds is one: threads that ask at once make it once, and all get it.
    """
    made, second = [], threading.Event()

    def part():
        made.append(Value())
        if len(made) == 1:
            second.wait(0.05)  # another thread would make one of its own here
        else:
            second.set()
        return made[-1]

    held = held_by_a_desk(part, asked)

    def ask():
        return held().nowait()

    given = together(ask, ask, ask)

    assert len(made) == 1
    assert given == made * 3
    assert ask() is made[0]


@pytest.mark.parametrize("asked", ["handle", "attribute"])
def test_a_loop_waits_for_what_a_thread_fetches(asked):
    """
    A task that awaits a handle while a thread fetches for it gets the thread's value, in its own loop.
    """
    made, begun, go_on = [], threading.Event(), threading.Event()

    def part():
        made.append(Value())
        begun.set()
        go_on.wait(5)
        return made[-1]

    ask = held_by_a_desk(part, asked)

    async def main():
        task = asyncio.ensure_future(ask().run())
        asyncio.get_running_loop().call_soon(go_on.set)  # after the first step of the task
        return await task

    def in_a_loop():
        begun.wait(5)
        return asyncio.run(main())

    given = together(lambda: ask().nowait(), in_a_loop)

    assert len(made) == 1
    assert given == made * 2


def test_a_handle_that_its_own_value_asks_for_is_a_circle():
    """
    A factory that asks the handle that fetches it is told so, in a plain program as in a loop.
    """

    class App(AsyncServiceBase): ...

    class Desk:
        def __init__(self, handle: Annotated[Lazy[Value], Inject("part")]) -> None:
            self.handle = handle

    App.register_dependency("part", lambda: desk.handle.nowait(), lifetime="transient")
    App.register_dependency("desk", Desk)
    desk = Container(App).get_nowait("desk")

    with pytest.raises(CircularDependencyError):
        desk.handle.nowait()


def test_getters_and_functions_are_made_while_overrides_begin_and_end():
    """
    Whoever makes a getter, fills a function or lays an overlay meets nothing of the overrides that others begin meanwhile.
    """

    class App(AsyncServiceBase): ...

    App.register_dependency("pool", lambda: "real")
    container = Container(App)
    over, kept, raised = threading.Event(), [], []

    def getters():
        for _ in range(600):
            kept.append(container.getter("pool"))

    def functions():
        for _ in range(100):

            @container.inject
            def handler(pool: Annotated[str, Inject("pool")]):
                return pool

            kept.append(handler)
            handler(), handler(), handler()

    def overlays():
        for _ in range(100):
            with container.overlay({"pool": "other"}) as overlay:
                overlay.get_nowait("pool")

    def overrides():
        while not over.is_set():
            with container.override({"pool": "fake"}, everywhere=True):
                pass

    def noting(work):
        def run():
            try:
                work()
            except BaseException as error:
                raised.append(error)

        return run

    ends = threading.Thread(target=noting(overrides))
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        ends.start()
        together(noting(getters), noting(functions), noting(overlays))
    finally:
        over.set()
        ends.join()
        sys.setswitchinterval(interval)

    assert raised == []
