"""What is asked for just as a scope or a container closes: refused, and never left open."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncGenerator, Generator
from typing import Annotated

import pytest
from helpers import LIMIT, Gate

from asyncmeta import AsyncServiceBase, ClosedError, Container, Inject, Lifetime
from asyncmeta._run.container import closing
from asyncmeta._run.container.closing import Closing


@pytest.mark.parametrize("asynchronous", [False, True], ids=["generator", "async generator"])
@pytest.mark.parametrize("lifetime", ["scoped", "transient"])
async def test_a_get_that_begins_only_as_its_scope_closes_is_refused(lifetime: Lifetime, asynchronous: bool) -> None:
    class App(AsyncServiceBase):
        pass

    open_ones: list[object] = []

    async def session() -> AsyncGenerator[str]:
        yield "session"
        for _ in range(3):
            await asyncio.sleep(0)

    def thing() -> Generator[object]:
        here = object()
        open_ones.append(here)
        yield here
        open_ones.remove(here)

    async def async_thing() -> AsyncGenerator[object]:
        here = object()
        open_ones.append(here)
        yield here
        open_ones.remove(here)

    App.register_dependency("session", session, lifetime="scoped")
    App.register_dependency("thing", async_thing if asynchronous else thing, lifetime=lifetime)
    async with Container(App) as container:
        for _ in range(4):  # by a plan, and by code
            async with container.scope() as scope:
                await scope.get("session")
                late = asyncio.create_task(scope.get("thing"))
            with pytest.raises(ClosedError):
                await late
            async with container.scope() as scope:
                await scope.gather("session", "thing")
        assert not open_ones


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # the scope of the user is still open
async def test_who_closes_is_no_part_of_what_runs_beside_it() -> None:
    class App(AsyncServiceBase):
        pass

    begun = asyncio.Event()
    go_on = asyncio.Event()

    async def slow() -> str:
        begun.set()
        await go_on.wait()
        return "slow"

    App.register_dependency("slow", slow, lifetime="scoped")
    container = Container(App)

    async def user() -> str:
        async with container.scope() as scope:
            return await scope.get("slow")

    async def closer() -> None:
        await begun.wait()
        asyncio.get_running_loop().call_soon(go_on.set)
        await container.aclose()

    closed, used = await asyncio.gather(closer(), user(), return_exceptions=True)
    assert closed is None
    assert used == "slow" or isinstance(used, ClosedError)


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_threads_that_use_scopes_as_their_container_closes() -> None:
    class App(AsyncServiceBase):
        pass

    wrong: list[str] = []
    pool_closed: list[bool] = []
    sessions: list[object] = []

    def pool() -> Generator[str]:
        yield "pool"
        pool_closed.append(True)

    def session(pool: Annotated[str, Inject("pool")]) -> Generator[object]:
        here = object()
        sessions.append(here)
        yield here  # nothing is thrown in: who was in a scope comes to its end while the container waits for that
        sessions.remove(here)
        if pool_closed:
            wrong.append("a session was closed after its pool")

    App.register_dependency("pool", pool)
    App.register_dependency("session", session, lifetime="scoped")
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for _ in range(10):
            pool_closed.clear()
            container = Container(App)
            container.get_nowait("pool")
            used = threading.Semaphore(0)

            def work(container: Container = container, used: threading.Semaphore = used) -> None:
                try:
                    while True:
                        with container.scope() as scope:
                            scope.get_nowait("session")
                        used.release()
                except ClosedError:
                    return
                except BaseException as error:
                    wrong.append(repr(error))

            threads = [threading.Thread(target=work) for _ in range(4)]
            for thread in threads:
                thread.start()
            for _ in range(8):
                assert used.acquire(timeout=5), wrong
            container.close()
            for thread in threads:
                thread.join(10)
                assert not thread.is_alive()
            assert not wrong and not sessions
    finally:
        sys.setswitchinterval(interval)


def test_who_closes_looks_again_and_again_whether_a_build_in_a_thread_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    class App(AsyncServiceBase):
        pass

    gate, looks = Gate(), []

    def slow() -> None:
        gate.passed()

    def looked(self: Closing) -> bool:
        looks.append(self)
        if len(looks) == 3:
            gate.go.set()
        return False

    App.register_dependency("slow", slow)
    container = Container(App)
    building = threading.Thread(target=lambda: refused.append(failure(container)))
    refused: list[object] = []
    building.start()
    assert gate.came.wait(LIMIT)
    monkeypatch.setattr(closing, "_PAUSE", 0.001)
    monkeypatch.setattr(Closing, "_is_making", looked)

    container.close()
    building.join(LIMIT)

    assert len(looks) >= 3
    assert [type(one) for one in refused] == [ClosedError]


def failure(container: Container) -> BaseException | None:
    try:
        container.get_nowait("slow")
    except BaseException as error:
        return error
    return None
