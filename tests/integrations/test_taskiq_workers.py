"""Taskiq with a real redis-server and two worker processes."""

import asyncio
import collections
import importlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import servers

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*asyncio.iscoroutinefunction.*:DeprecationWarning"),
]

ROOT = Path(__file__).parents[2]
LONG = 60.0  #: seconds after which something that does not come is given up


@pytest.fixture(scope="module")
def redis():
    with servers.redis(servers.free_port()) as url:
        yield url


@pytest.fixture
def shop(redis, tmp_path, monkeypatch):
    """The tasks, in a process that only sends them; the queue is empty."""
    with closing(sqlite3.connect(tmp_path / "orders")) as connection, connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE orders (number INTEGER PRIMARY KEY)")
    (tmp_path / "journal").touch()
    monkeypatch.setenv("SHOP_FOLDER", str(tmp_path))
    monkeypatch.setenv("SHOP_REDIS", redis)
    from redis import Redis

    with Redis.from_url(redis) as client:
        client.flushall()
    sys.modules.pop("integrations.taskiq_shop", None)
    yield importlib.import_module("integrations.taskiq_shop")
    sys.modules.pop("integrations.taskiq_shop", None)


class Workers:
    """Two worker processes and what they write down."""

    def __init__(self, process, folder):
        self.process, self.folder = process, folder

    def journal(self):
        """Return (what, of which task, in which process), in order."""
        lines = [line.split() for line in (self.folder / "journal").read_text().splitlines()]
        return [(words[0], words[1] if len(words) == 3 else "", int(words[-1])) for words in lines]

    def log(self):
        return (self.folder / "log").read_text()

    def orders(self):
        with closing(sqlite3.connect(self.folder / "orders")) as connection:
            return [number for (number,) in connection.execute("SELECT number FROM orders ORDER BY number")]

    async def until(self, there):
        """Wait until *there* says so of the journal."""
        end = time.monotonic() + LONG
        while not there(self.journal()):
            assert time.monotonic() < end and self.process.poll() is None, self.log()
            await asyncio.sleep(0.01)

    async def end(self):
        """Ask them to stop as a supervisor does, and wait until they have."""
        self.process.send_signal(signal.SIGTERM)
        return await asyncio.to_thread(self.process.wait, LONG)


@contextmanager
def running(folder):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    command = [
        sys.executable, "-W", "always", "-m", "taskiq", "worker", "integrations.taskiq_shop:broker",
        "--workers", "2", "--max-async-tasks", "20",
    ]  # fmt: skip
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
        )
    try:
        yield Workers(process, folder)
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()


async def sent(task, *calls):
    """Send tasks; return what waits for their results."""
    return [await task.kiq(*call) for call in calls]


async def results(kicked):
    return await asyncio.gather(*(one.wait_result(check_interval=0.02, timeout=LONG) for one in kicked))


async def test_hundreds_of_tasks_in_two_processes(shop, tmp_path):
    """
    Each process has one container, each task one scope that is closed; SIGTERM lets those in flight end.
    """
    with running(tmp_path) as workers:
        await shop.broker.startup()
        await workers.until(lambda lines: sum(what == "open" for what, *_ in lines) == 2)
        placed = await sent(shop.place, *((number,) for number in range(300)))
        looked = await sent(shop.look, *((number,) for number in range(40)))
        failed = await sent(shop.fail, *[()] * 10)
        answers = await results(placed), await results(looked), await results(failed)

        slow = await sent(shop.place, *((number, 0.3) for number in range(1000, 1010)))
        ids = {one.task_id for one in slow}
        await workers.until(lambda lines: any(what == "begin" and task in ids for what, task, _ in lines))
        code = await workers.end()
        await shop.broker.shutdown()

    of_places, of_looks, of_failures = answers
    assert [one.error for one in [*of_places, *of_looks] if one.is_err] == []
    assert {type(one.error) for one in of_failures} == {LookupError}
    processes = {one.return_value for one in of_places}
    assert len(processes) == 2
    assert {tuple(one.return_value)[1] for one in of_looks} <= processes

    journal = workers.journal()
    assert sorted(process for what, _, process in journal if what == "open") == sorted(processes)
    assert sorted(process for what, _, process in journal if what == "close") == sorted(processes)
    begun = collections.Counter(task for what, task, _ in journal if what == "begin")
    ended = collections.Counter(task for what, task, _ in journal if what == "committed" or what.startswith("failed"))
    assert begun == ended
    assert sum(what == "failed:LookupError" for what, *_ in journal) == 10
    done = {task for what, task, _ in journal if what == "committed"}
    assert done & ids == {task for what, task, _ in journal if what == "begin"} & ids  # none was cut
    for process in processes:
        assert [what for what, _, where in journal if where == process][-1] == "close"
    assert code == 0
    assert "was still open" not in workers.log()
    assert workers.orders()[:300] == list(range(300))


async def test_killed_worker_loses_no_task(shop, tmp_path):
    """
    What a process had not acknowledged is delivered again, to a new scope; the database shows each order once.
    """
    with running(tmp_path) as workers:
        await shop.broker.startup()
        await workers.until(lambda lines: sum(what == "open" for what, *_ in lines) == 2)
        kicked = await sent(shop.place, *((number, 0.02) for number in range(100)))
        await workers.until(lambda lines: sum(what == "committed" for what, *_ in lines) > 20)
        begun = [(task, process) for what, task, process in workers.journal() if what == "begin"]
        ended = {task for what, task, _ in workers.journal() if what == "committed"}
        victim = next(process for task, process in reversed(begun) if task not in ended)
        os.kill(victim, signal.SIGKILL)

        # Workers look for what was left behind when something new comes.
        waiting, more = asyncio.ensure_future(results(kicked)), 100
        while not (await asyncio.wait([waiting], timeout=0.5))[0]:
            await sent(shop.place, (more,))
            more += 1
            assert more < 220, workers.log()
        code = await workers.end()
        await shop.broker.shutdown()

    assert [one.error for one in waiting.result() if one.is_err] == []
    orders = workers.orders()
    assert set(range(100)) <= set(orders)
    assert len(orders) == len(set(orders))
    journal = workers.journal()
    begun = collections.Counter(task for what, task, _ in journal if what == "begin")
    assert max(begun.values()) > 1  # the kill came in the middle, or this test shows nothing
    assert len({process for what, _, process in journal if what == "open"}) == 3  # the third is in the place of the victim
    opened = collections.Counter(process for what, _, process in journal if what == "open")
    closed = collections.Counter(process for what, _, process in journal if what == "close")
    assert opened - closed == collections.Counter([victim])
    assert code == 0


async def test_application_that_cannot_open_does_not_serve(shop, tmp_path, monkeypatch):
    """
    A worker whose container does not open takes no task, and says why.
    """
    monkeypatch.setattr(shop, "FOLDER", "/nowhere")
    monkeypatch.setenv("SHOP_FOLDER", str(tmp_path / "nowhere"))
    with running(tmp_path) as workers:
        end = time.monotonic() + LONG
        while "No such file or directory" not in workers.log():
            assert time.monotonic() < end, workers.log()
            await asyncio.sleep(0.05)

    assert workers.journal() == []
