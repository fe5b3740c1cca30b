"""Functions that workers run: what is marked need not be passed, what they return is told."""

from typing_extensions import assert_type

from asyncmeta import INJECTED, AsyncServiceBase, Container, From, Token
from asyncmeta.integrations import dask, taskiq
from asyncmeta.workers import WorkerContainer, container_of


class App(AsyncServiceBase): ...


class Session: ...


LIMIT = Token[int]("limit")


async def order(name: str, amount: int = 1, *, session: From[Session] = INJECTED) -> list[str]:
    return [name] * amount


def count(name: str, *, session: From[Session] = INJECTED) -> int:
    return len(name)


async def refund(name: str, session: taskiq.From[Session]) -> None:
    assert_type(session, Session)


async def use() -> None:
    worker = WorkerContainer("shop:Shop", concurrency=2, jitter=1.5)
    assert_type(worker.run(order, "tea", 2), list[str])
    assert_type(worker.run(count, "tea"), int)
    assert_type(await worker.arun(order, "tea"), list[str])
    assert_type(await worker.arun(count, name="tea"), int)
    assert_type(worker.get_nowait(Session), Session)
    assert_type(worker.get_nowait(LIMIT), int)
    assert_type(worker.container, Container)
    worker.run(order, 1)  # E: no name
    worker.run(count)  # E: its name is missing
    await worker.arun(order, "tea", "two")  # E: no amount

    with WorkerContainer(App) as opened:
        assert_type(opened, WorkerContainer)
    async with WorkerContainer(lambda: Container(App)) as opened:
        assert_type(opened, WorkerContainer)
    WorkerContainer(7)  # E: nothing that a container comes from
    assert_type(container_of(App), Container)

    # Dask passes what it likes, from futures of its own.
    assert_type(dask.scoped(count)("tea"), int)
    assert_type(await dask.scoped(order)("tea"), list[str])
