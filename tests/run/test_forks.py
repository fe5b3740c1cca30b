"""A forked child hangs on nothing of its parent's, and never closes what is the parent's."""

import asyncio
import contextvars
import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
import urllib.request
from pathlib import Path

import amount
import pytest
from helpers import LIMIT, Journal, fresh_app
from servers import free_port

from asyncmeta import AsyncServiceBase, ClosedError, Container, From, injected

ROOT = Path(__file__).parents[2]
CHILDREN = amount.of(25, working=8)  #: of a parent whose threads are busy

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork"),
    # CPython warns of what is the subject here.
    pytest.mark.filterwarnings("ignore:This process .*is multi-threaded:DeprecationWarning"),
]


def in_child(work):
    """Return what *work* returns, as text, in a forked child; an exception as its traceback, "hangs" where it takes too long."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(reading)
            try:
                said = str(work())
            except BaseException:
                said = traceback.format_exc()
            os.write(writing, said.encode()[:60_000])
        finally:
            os._exit(0)
    os.close(writing)
    try:
        end = time.monotonic() + LIMIT
        while not os.waitpid(pid, os.WNOHANG)[0]:
            if time.monotonic() > end:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                return "hangs"
            time.sleep(0.002)
        with open(reading, "rb", closefd=False) as pipe:
            return pipe.read().decode()
    finally:
        os.close(reading)


def refusal(work):
    """Return the text of the ClosedError that *work* raises."""
    with pytest.raises(ClosedError) as caught:
        work()
    return str(caught.value)


class Busy:
    """Three threads that do something again and again while the block runs."""

    def __init__(self, work):
        self._work, self._over = work, threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(3)]

    def _run(self):
        while not self._over.is_set():
            self._work()

    def __enter__(self):
        for thread in self._threads:
            thread.start()

    def __exit__(self, *exc):
        self._over.set()
        for thread in self._threads:
            thread.join(LIMIT)
        assert not any(thread.is_alive() for thread in self._threads)


# --- what other threads do at the fork ---------------------------------------------------------------


def test_child_builds_what_a_thread_of_the_parent_was_building():
    """
    A claim of the parent's that nobody here will settle is not inherited.
    """
    App, begun, go = fresh_app(), threading.Event(), threading.Event()

    def make_slow():
        begun.set()
        assert go.wait(LIMIT)
        return os.getpid()

    App.register_dependency("slow", make_slow)
    container = Container(App)
    thread = threading.Thread(target=lambda: container.get_nowait("slow"))
    thread.start()
    assert begun.wait(LIMIT)

    def ask():
        go.set()
        return container.get_nowait("slow") == os.getpid()

    try:
        answer = in_child(ask)
    finally:
        go.set()
        thread.join(LIMIT)

    assert answer == "True"
    assert container.get_nowait("slow") == os.getpid()


def test_child_closes_while_a_thread_of_the_parent_was_building():
    """
    Closing in the child waits for no build of the parent's.
    """
    App, begun, go = fresh_app(), threading.Event(), threading.Event()
    App.register_dependency("slow", lambda: (begun.set(), go.wait(LIMIT)))
    container = Container(App)
    thread = threading.Thread(target=lambda: container.get_nowait("slow"))
    thread.start()
    assert begun.wait(LIMIT)

    try:
        answer = in_child(lambda: (container.close(), container.closed)[1])
    finally:
        go.set()
        thread.join(LIMIT)

    assert answer == "True"


@pytest.mark.slow
def test_children_of_a_busy_parent_all_build():
    """
    However busy threads of the parent are with asking, opening scopes and closing, a child finds no lock held.
    """
    App = fresh_app()
    App.register_dependency("one", object)
    App.register_dependency("two", lambda one: [one])
    App.register_dependency("session", object, lifetime="scoped")
    shared = Container(App)

    def work():
        with Container(App) as container, container.scope() as scope:
            scope.get_nowait("session")
            container.get_nowait("two")
        with shared.scope() as scope:
            scope.get_nowait("session")

    def child():
        with Container(App) as container, container.scope() as scope:
            return scope.get_nowait("session") is not None and len(container.get_nowait("two")) + len(shared.get_nowait("two"))

    with Busy(work):
        answers = [in_child(child) for _ in range(CHILDREN)]

    assert answers == ["2"] * CHILDREN


@pytest.mark.slow
def test_children_of_a_parent_that_registers_all_build():
    """
    A registration in another thread is either there or not, and its lock is free.
    """
    App = fresh_app()
    App.register_dependency("one", object)
    container = Container(App)

    with Busy(lambda: App.register_value("other", 1)):
        answers = [in_child(lambda: container.get_nowait("one") is not None) for _ in range(CHILDREN)]

    assert answers == ["True"] * CHILDREN


def test_who_holds_the_lock_too_long_does_not_keep_a_parent_from_forking(monkeypatch):
    """
    A fork waits for the lock for a while only; the child has a new one.
    """
    from asyncmeta._lock import LOCK
    from asyncmeta._run.container import forks

    monkeypatch.setattr(forks, "PATIENCE", 0.01)
    App, holds, go = fresh_app(), threading.Event(), threading.Event()
    App.register_dependency("one", object)
    container = Container(App)

    def hold():
        with LOCK:
            holds.set()
            go.wait(LIMIT)

    thread = threading.Thread(target=hold)
    thread.start()
    assert holds.wait(LIMIT)
    try:
        answer = in_child(lambda: container.get_nowait("one") is not None)
    finally:
        go.set()
        thread.join(LIMIT)

    assert answer == "True"
    assert container.get_nowait("one") is not None


# --- what is going on elsewhere at the fork --------------------------------------------------------------


class Gate:
    """A factory that waits, in the parent, until it is let go."""

    def __init__(self):
        self.begun, self.go, self.parent = threading.Event(), threading.Event(), os.getpid()

    def __call__(self):
        self.begun.set()
        if os.getpid() == self.parent:
            assert self.go.wait(LIMIT)
        return os.getpid()

    def during(self, work, child):
        """Return what *child* says, forked while a thread does *work*."""
        thread = threading.Thread(target=work)
        thread.start()
        assert self.begun.wait(LIMIT)
        try:
            return in_child(child)
        finally:
            self.go.set()
            thread.join(LIMIT)
            assert not thread.is_alive()

PART_OF_OURS = """
import os, sys, threading
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import PathFinder

from asyncmeta import AsyncServiceBase, Container

came, go = threading.Event(), threading.Event()
part, when = "asyncmeta._run.container.override", sys.argv[1]


class Slow(MetaPathFinder, Loader):
    # The thread stands in the middle of importing the part until it may go on.
    def find_spec(self, name, path, target=None):
        if name != part or threading.current_thread() is threading.main_thread():
            return None
        spec = PathFinder.find_spec(name, path, target)
        self.loader, spec.loader = spec.loader, self
        return spec

    def create_module(self, spec):
        if when == "before":
            self.stand()

    def exec_module(self, module):
        self.loader.exec_module(module)
        if when == "after":
            self.stand()

    def stand(self):
        came.set()
        go.wait()


class App(AsyncServiceBase): ...


def override():
    with container.override({"x": "fake"}):
        return container.get_nowait("y")


App.register_dependency("x", lambda: "real")
App.register_dependency("y", lambda x: x)
container = Container(App)
sys.meta_path.insert(0, Slow())
thread = threading.Thread(target=override)
thread.start()
came.wait()
child = os.fork()
if not child:
    print("the child:", override(), flush=True)
    os._exit(0)
os.waitpid(child, 0)
go.set()
thread.join()
print("the parent:", override())
"""


@pytest.mark.parametrize("when", ["before", "after"])
def test_child_imports_what_a_thread_of_the_parent_was_importing(when):
    """
    A part of ours that another thread is the first to use, and imports, as the process is forked, can be used in the child.
    """
    program = [sys.executable, "-W", "ignore", "-c", PART_OF_OURS, when]

    ran = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT)

    assert (ran.stdout.splitlines(), ran.stderr) == (["the child: fake", "the parent: fake"], "")


@pytest.mark.parametrize("entered", [True, False])
def test_scope_of_the_parent_is_closed_in_the_child(entered):
    """
    A claim in a scope would be waited for for ever: what was open in the parent is used there only.
    """
    App, gate = fresh_app(), Gate()
    App.register_dependency("slow", gate, lifetime="scoped")
    container = Container(App)
    scope = container.scope()
    if entered:
        scope.__enter__()

    def child():
        closed = refusal(lambda: scope.get_nowait("slow"))
        with container.scope() as own:
            return own.get_nowait("slow") == os.getpid(), "closed" in closed

    answer = gate.during(lambda: scope.get_nowait("slow"), child)
    scope.close()

    assert answer == "(True, True)"


@pytest.mark.parametrize("way", ["overlay", "override"])
def test_claims_of_overlays_are_not_inherited(way):
    """
    What an overlay was building, seen by a handle or in force for everybody, is built anew.
    """
    App, gate = fresh_app(), Gate()
    App.register_dependency("one", lambda: 1)
    App.register_dependency("slow", lambda one: (one, gate()))
    container = Container(App)

    block = container.overlay({"one": 2}) if way == "overlay" else container.override({"one": 2}, everywhere=True)
    with block as overlay:
        asked = overlay if way == "overlay" else container
        answer = gate.during(lambda: asked.get_nowait("slow"), lambda: asked.get_nowait("slow") == (2, os.getpid()))

    assert answer == "True"


@pytest.mark.parametrize("entered", [True, False])
def test_child_of_a_parent_that_closes_can_begin_anew(entered):
    """
    A container that a thread of the parent is closing refuses in the child, is closed there at once, and can be entered.
    """
    App, gate = fresh_app(), Gate()

    def open_pool():
        yield os.getpid()
        gate()

    App.register_dependency("pool", open_pool)
    container = Container(App)
    if entered:  # in a context of its own: it is left in another thread's
        contextvars.copy_context().run(container.__enter__)
    container.get_nowait("pool")

    def child():
        told = refusal(lambda: container.get_nowait("pool"))
        container.close()
        with container:
            return container.get_nowait("pool") == os.getpid(), "lives there" in told

    work = (lambda: container.__exit__(None, None, None)) if entered else container.close
    answer = gate.during(work, child)

    assert answer == "(True, True)"


async def test_value_that_a_worker_thread_makes_is_not_waited_for():
    """
    Threads do not live on in a child; a container of its own makes the value anew.
    """
    App, gate = fresh_app(), Gate()
    App.register_dependency("slow", gate, in_thread=True)

    async def begin_anew():
        async with Container(App) as own:
            return await own.get("slow") == os.getpid()

    async with Container(App) as container:
        task = asyncio.create_task(container.get("slow"))
        assert await asyncio.to_thread(gate.begun.wait, LIMIT)
        try:
            answer = in_child(lambda: ("lives there" in refusal(lambda: container.get_nowait("slow")), asyncio.run(begin_anew())))
        finally:
            gate.go.set()
        await task

    assert answer == "(True, True)"


def test_factory_that_forks():
    """
    A factory may start processes: they are no part of its build.
    """
    App = fresh_app()
    answers = []

    def forks():
        answers.append(in_child(lambda: (container.get_nowait("process") == os.getpid(), container.close())))

    App.register_dependency("forks", forks)
    App.register_dependency("process", os.getpid)
    container = Container(App)
    container.get_nowait("forks")

    assert answers == ["(True, None)"]

# --- what was open, and what was not ------------------------------------------------------------------


def test_container_that_is_open_refuses_in_the_child():
    """
    What was entered in the parent is used there only, and the error says what to do.
    """
    App = fresh_app()
    App.register_dependency("one", object)

    with Container(App) as container:
        container.get_nowait("one")
        answer = in_child(lambda: (refusal(lambda: container.get_nowait("one")), container.closed))

    assert f"the container of App was open in process {os.getpid()} when this one, " in answer
    assert "open a container of this process's own" in answer
    assert answer.endswith("True)")


def test_every_way_into_an_open_container_refuses_in_the_child():
    """
    Scopes, getters, injected functions, attributes that were fetched: nothing of the parent's is handed out.
    """

    class App(AsyncServiceBase):
        pass

    App.register_dependency("one", object)
    App.register_dependency("session", object, lifetime="scoped")

    @injected
    def ambient(one: From[object]):
        return one

    async def main():
        async with Container(App) as container, container.scope() as scope, container.scope() as unused:
            getter = container.getter("one")
            await getter()
            await scope.get("session")
            await scope.get("one")
            ways = [
                lambda: scope.get_nowait("session"),
                lambda: scope.get_nowait("one"),
                lambda: unused.get_nowait("one"),
                lambda: container.scope(),
                lambda: container.overlay({"one": 1}),
                lambda: asyncio.run(container.get("one")),
                lambda: asyncio.run(scope.get("one")),
                lambda: asyncio.run(scope.get("session")),
                lambda: asyncio.run(getter()),
            ]
            return in_child(lambda: len([refusal(way) for way in ways]))

    assert asyncio.run(main()) == "9"


def test_container_that_was_used_only_begins_anew_in_the_child():
    """
    A container that nobody has entered, as one that a module makes, builds its own values in each process.
    """
    App = fresh_app()
    App.register_dependency("process", os.getpid)
    container = Container(App)
    container.get_nowait("process")

    answer = in_child(lambda: container.get_nowait("process") == os.getpid())

    assert answer == "True"
    assert container.get_nowait("process") == os.getpid()


def test_open_container_begins_anew_where_the_child_enters_it():
    """
    A module's container, with a lifespan in the parent and one in each worker.
    """
    App = fresh_app()
    App.register_dependency("process", os.getpid)

    def child():
        with container:
            return container.get_nowait("process") == os.getpid()

    with container_of(App) as container:
        container.get_nowait("process")
        answer = in_child(child)

    assert answer == "True"


def container_of(app):
    return Container(app)


def test_child_never_closes_what_is_its_parents():
    """
    A child that unwinds through the parent's blocks, and collects its garbage, runs no finalizer of the parent's.
    """
    App, journal = fresh_app(), Journal()

    def noted(name):
        def make():
            with journal.noting(name):
                yield name

        return make

    App.register_dependency("pool", noted("pool"))
    App.register_dependency("session", noted("session"), lifetime="scoped")

    def child_of(container, scope):
        scope.__exit__(None, None, None)
        container.__exit__(None, None, None)
        gc.collect()
        return journal.closed

    with Container(App) as container:
        with container.scope() as scope:
            scope.get_nowait("pool"), scope.get_nowait("session")
            answer = in_child(lambda: child_of(container, scope))

    assert answer == "[]"
    assert journal.closed == ["session", "pool"]


def test_child_of_a_loop_closes_nothing_and_runs_a_loop_of_its_own():
    """
    The parent's loop, its tasks and async generators stay the parent's.
    """
    App, journal = fresh_app(), Journal()

    async def open_pool():
        with journal.noting("pool"):
            yield os.getpid()

    App.register_dependency("pool", open_pool)

    async def begin_anew():
        async with Container(App) as container:
            return await container.get("pool") == os.getpid()

    def child():
        answer = asyncio.run(begin_anew())
        gc.collect()
        return answer, journal.closed

    async def main():
        async with Container(App) as container:
            await container.get("pool")
            return in_child(child)

    assert asyncio.run(main()) == "(True, ['pool'])"
    assert journal == ["+pool", "-pool"]


def test_service_that_is_its_own_root_refuses_in_the_child():
    """
    An attribute that the parent has fetched gives the parent's object to nobody else.
    """
    from asyncmeta import AsyncDependencyDescriptor

    class Shop(AsyncServiceBase):
        one = AsyncDependencyDescriptor("one")

    Shop.register_dependency("one", object)

    async def ask(shop):
        return await shop.one

    async def main():
        async with Shop() as shop:
            await shop.one
            return in_child(lambda: refusal(lambda: asyncio.run(ask(shop))))

    assert "lives there" in asyncio.run(main())


def test_override_in_force_ends_with_the_container_in_the_child():
    """
    What the parent has overridden for everybody is not in force for a container that the child opens anew.
    """
    App = fresh_app()
    App.register_dependency("one", lambda: "real")

    def child(container):
        with container:
            return container.get_nowait("one")

    with Container(App) as container, container.override({"one": "fake"}, everywhere=True):
        assert container.get_nowait("one") == "fake"
        answer = in_child(lambda: child(container))

    assert answer == "real"


def test_overlay_of_a_container_that_begins_anew_does_so_too():
    """
    An overlay lies on its container in the child as in the parent.
    """
    App = fresh_app()
    App.register_dependency("one", lambda: "real")
    App.register_dependency("two", lambda one: (one, os.getpid()))
    container = Container(App)

    with container.overlay({"one": "fake"}) as overlay:
        overlay.get_nowait("two")
        answer = in_child(lambda: (overlay.get_nowait("two") == ("fake", os.getpid()), container.get_nowait("two")[0]))

    assert answer == "(True, 'real')"


def test_grandchild_is_told_apart_from_its_parent():
    """
    The sentence names the process that the container lives in.
    """
    App = fresh_app()
    App.register_dependency("one", object)

    def child():
        with Container(App) as container:
            mine = os.getpid()
            text = in_child(lambda: refusal(lambda: container.get_nowait("one")))
            return f"open in process {mine} when" in text

    with Container(App):
        answer = in_child(child)

    assert answer == "True"


# --- the standard library's own ------------------------------------------------------------------------


class Journalled(AsyncServiceBase):
    """An application that other processes import."""


Journalled.register_dependency("process", os.getpid)

LIVING: list[Container] = []


def build_anew(_):
    with Container(Journalled) as container:
        return container.get_nowait("process") == os.getpid()


def ask_the_parents(_):
    try:
        return LIVING[0].get_nowait("process")
    except ClosedError as error:
        return str(error)
    except IndexError:
        return "nothing was inherited"


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing_workers_build_their_own(method):
    """
    Whatever starts the worker, it opens a container of its own, beside one that is open in the parent.
    """
    with Container(Journalled) as container:
        container.get_nowait("process")
        LIVING.append(container)
        try:
            with multiprocessing.get_context(method).Pool(2) as pool:
                built = pool.map_async(build_anew, range(4)).get(LIMIT * 3)
                asked = pool.map_async(ask_the_parents, range(4)).get(LIMIT * 3)
        finally:
            LIVING.clear()

    assert built == [True] * 4
    assert all(("lives there" if method == "fork" else "nothing was inherited") in text for text in asked)


# --- a server -------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_gunicorn_with_preload(tmp_path):
    """
    Workers that are forked from a loaded application, while a thread of it builds, answer with values of their own.
    """
    pytest.importorskip("gunicorn", reason="gunicorn is not installed")
    port = free_port()
    command = [
        sys.executable, "-m", "gunicorn", "--preload", "--workers", "3", "--worker-class", "gthread", "--threads", "2",
        "--bind", f"127.0.0.1:{port}", "preloaded:app",
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests" / "run")])}
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=log, stderr=log)
    try:
        answers, end = [], time.monotonic() + LIMIT * 3
        while len({process for process, *_ in answers}) < 2 or len(answers) < 50:  # who answers is the system's choice
            assert time.monotonic() < end, (tmp_path / "log").read_text()
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=LIMIT) as answer:
                    answers.append(answer.read().decode().split(" ", 3))
            except OSError:
                time.sleep(0.05)
    finally:
        server.terminate()
        server.wait(LIMIT)

    processes, parents, own, told = map(set, zip(*answers, strict=True))
    assert len(processes) >= 2
    assert parents == {str(server.pid)}
    assert own == {"True"}
    assert all(text.startswith("ClosedError: ") and "lives there" in text for text in told)
