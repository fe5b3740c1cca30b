"""The recipe of docs/howto/arq.rst, by arq's own worker with redis on loopback."""

import asyncio
import linecache
import sys
import types

import pytest
import servers
from doc_pages import ROOT, blocks
from helpers import guarded

from asyncmeta import GraphErrors

pytest.importorskip("arq", reason="needs arq, which wants redis below 6 and so an environment of its own")

import arq
from arq.connections import RedisSettings, create_pool
from arq.worker import Retry, create_worker

#: It calls redis' own deprecated names.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated close:DeprecationWarning")


@pytest.fixture
def shop(monkeypatch):
    """Give the module that the page shows."""
    block = next(block for block in blocks(ROOT / "docs" / "howto" / "arq.rst") if block.file == "shop.py")
    module = types.ModuleType("shop")
    monkeypatch.setitem(sys.modules, "shop", module)
    linecache.cache[block.file] = (len(block.text), None, block.text.splitlines(keepends=True), block.file)
    exec(compile(block.text, block.file, "exec", dont_inherit=True), vars(module))
    return module


@pytest.fixture
def redis():
    with servers.redis(servers.free_port()) as address:
        yield RedisSettings.from_dsn(address)


async def done(settings, redis, *jobs):
    """Let a worker do jobs until none is left; return what each gave, or raised."""
    pool = await create_pool(redis)
    sent = [await pool.enqueue_job(*job) for job in jobs]
    worker = create_worker(settings, redis_settings=redis, burst=True, poll_delay=0.01, handle_signals=False)
    await worker.main()
    await worker.close()
    assert worker.ctx["container"].closed
    given = await asyncio.gather(*(job.result(timeout=5) for job in sent), return_exceptions=True)
    await pool.aclose()
    return given


@pytest.mark.slow
@guarded
async def test_jobs_have_scopes(shop, redis, capsys):
    """
    Each job has a session of its own, that commits or sees what the job raised; the container is closed with the worker.
    """
    given = await done(shop.WorkerSettings, redis, ("order", "tea"), ("order", "gold"))

    assert given[0] == "one tea" and repr(given[1]) == "ValueError('too dear')"
    assert sorted(capsys.readouterr().out.splitlines()) == ["committed: ['tea']", "rolled back: ValueError('too dear')"]


@pytest.mark.slow
@guarded
async def test_a_job_that_is_tried_again(shop, redis, capsys):
    """
    A job that asks to be tried again has failed: each try has a session of its own.
    """

    @shop.in_scope
    async def order(ctx, session: shop.From[shop.Session]):
        session.lines.append(ctx["job_try"])
        if ctx["job_try"] == 1:
            raise Retry(defer=0)
        return "well"

    class Settings(shop.WorkerSettings):
        functions = [arq.func(order, name="order")]
        on_startup = shop.WorkerSettings.__dict__["on_startup"]
        on_shutdown = shop.WorkerSettings.__dict__["on_shutdown"]

    assert await done(Settings, redis, ("order",)) == ["well"]
    rolled_back, committed = capsys.readouterr().out.splitlines()
    assert "Retry" in rolled_back and committed == "committed: [2]"


@guarded
async def test_what_jobs_ask_for_is_checked_as_the_worker_starts(shop):
    """
    A job that asks for what nobody provides stops the worker, by the job's name.
    """

    class Rates: ...

    async def convert(ctx, rates: shop.From[Rates]): ...

    shop.WorkerSettings.functions.append(shop.in_scope(convert))

    with pytest.raises(GraphErrors, match=r"convert\.rates"):
        await shop.open_container({})
