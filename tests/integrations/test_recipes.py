"""The recipes of docs/howto/recipes.rst, with real servers on loopback where they need one."""

import linecache
import sys
import types

import pytest
import servers
from doc_pages import ROOT, blocks
from helpers import guarded

from asyncmeta import Container

pytest.importorskip("pydantic_settings", reason="needs pydantic-settings")


@pytest.fixture
def recipe(monkeypatch):
    """Give what makes a module of the page's recipe of that name, with the settings that it needs."""
    page = {block.file: block for block in blocks(ROOT / "docs" / "howto" / "recipes.rst")}

    def load(name):
        block = page[f"{name}.py"]
        module = types.ModuleType(name)
        monkeypatch.setitem(sys.modules, name, module)
        linecache.cache[block.file] = (len(block.text), None, block.text.splitlines(keepends=True), block.file)
        exec(compile(block.text, block.file, "exec", dont_inherit=True), vars(module))
        return module

    settings = load("settings")
    return lambda name: (load(name), settings.Settings)


@pytest.fixture
def postgres(postgresql):
    return f"{postgresql}/postgres"


@pytest.fixture
def redis():
    with servers.redis(servers.free_port()) as address:
        yield address


def test_settings_read_the_environment(recipe, monkeypatch):
    """
    Settings are made from the environment, once for each container.
    """
    module, _ = recipe("settings")
    monkeypatch.setenv("SHOP_REDIS_URL", "redis://elsewhere")

    with Container(module.Configured) as container:
        settings = container.get_nowait(module.Settings)
        again = container.get_nowait(module.Settings)

    assert settings is again
    assert settings.redis_url == "redis://elsewhere"


@guarded
async def test_sqlalchemy_commits_and_rolls_back(recipe, tmp_path):
    """
    A scope's session commits when the scope ends well and rolls back when not; no connection stays open.
    """
    pytest.importorskip("aiosqlite", reason="needs aiosqlite")
    sqlalchemy = pytest.importorskip("sqlalchemy", reason="needs SQLAlchemy")
    module, settings = recipe("database")
    connections = []
    at = settings(database_url=f"sqlite+aiosqlite:///{tmp_path}/shop.db")

    async with Container(module.Database, overrides={settings: at}) as container:
        engine = await container.get(module.AsyncEngine)
        for name in ("connect", "close"):
            sqlalchemy.event.listen(engine.sync_engine, name, lambda *_, name=name: connections.append(name))
        async with container.request(module.AsyncSession) as session:
            await session.execute(sqlalchemy.text("create table orders (name text)"))
            await session.execute(sqlalchemy.text("insert into orders values ('tea')"))
        with pytest.raises(ValueError):
            async with container.request(module.AsyncSession) as session:
                await session.execute(sqlalchemy.text("insert into orders values ('gold')"))
                raise ValueError
        async with container.request(module.AsyncSession) as session:
            names = list(await session.scalars(sqlalchemy.text("select name from orders")))

    assert names == ["tea"]
    assert connections.count("connect") == connections.count("close") > 0


@guarded
async def test_asyncpg_commits_and_rolls_back(recipe, postgres):
    """
    A scope's connection is in a transaction that commits or rolls back, and goes back to the pool; the pool closes.
    """
    pytest.importorskip("asyncpg", reason="needs asyncpg")
    module, settings = recipe("postgres")

    async with Container(module.Postgres, overrides={settings: settings(postgres_url=postgres)}) as container:
        pool = await container.get(module.asyncpg.Pool)
        async with container.request(module.asyncpg.Connection) as connection:
            await connection.execute("create table orders (name text)")
            await connection.execute("insert into orders values ('tea')")
        with pytest.raises(ValueError):
            async with container.request(module.asyncpg.Connection) as connection:
                await connection.execute("insert into orders values ('gold')")
                raise ValueError
        async with container.request(module.asyncpg.Connection) as connection:
            rows = await connection.fetch("select name from orders")
        idle = pool.get_idle_size() == pool.get_size()

    assert [row["name"] for row in rows] == ["tea"]
    assert idle and pool.is_closing()


@guarded
async def test_redis_opens_and_closes(recipe, redis):
    """
    The client works as long as the container, answers its health probe, and leaves no connection behind.
    """
    pytest.importorskip("redis", reason="needs redis")
    module, settings = recipe("cache")

    async with Container(module.Cache, overrides={settings: settings(redis_url=redis)}) as container:
        client = await container.get(module.Redis)
        await client.set("tea", "3")
        value = await client.get("tea")
        health = await container.health()
    async with module.Redis.from_url(redis) as other:
        connected = await other.client_list()

    assert value == "3"
    assert health.ok
    assert len(connected) == 1


@guarded
async def test_httpx_opens_and_closes(recipe):
    """
    The client is open as long as the container.
    """
    httpx = pytest.importorskip("httpx", reason="needs httpx")
    module, settings = recipe("bank")

    async with Container(module.Bank, overrides={settings: settings(bank_url="http://127.0.0.1")}) as container:
        client = await container.get(httpx.AsyncClient)
        open_before = not client.is_closed

    assert client.base_url == "http://127.0.0.1"
    assert open_before and client.is_closed
