"""The pytest plugin and web applications: fakes before their start, whatever client a test has."""

import sys
import textwrap
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from doc_pages import blocks

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.slow  # each test runs tests

ROOT = Path(__file__).parents[2]
NAME = "asyncmeta.pytest_plugin"
#: Where asyncmeta is installed, pytest finds the plugin by itself.
LOAD = () if any(one.value == NAME for one in entry_points(group="pytest11")) else ("-p", NAME)

SERVICES = """
from collections.abc import AsyncIterator
from asyncmeta import AsyncServiceBase, Container, From, inject_dependency

STEPS = []

class Database:
    name = "real"

class Fake(Database):
    name = "fake"

class Session:
    def __init__(self, database: Database):
        self.database = database

class Shop(AsyncServiceBase): ...

{connect}

inject_dependency(on=Shop, lifetime="scoped")(Session)
container = Container(Shop)
"""
CONNECT = """
@inject_dependency(on=Shop)
async def connect() -> AsyncIterator[Database]:
    STEPS.append("connected")
    yield Database()
    STEPS.append("closed")
"""
CONNECT_SYNC = """
from collections.abc import Iterator
@inject_dependency(on=Shop)
def connect() -> Iterator[Database]:
    STEPS.append("connected")
    yield Database()
    STEPS.append("closed")
"""

FASTAPI = """
    from fastapi import FastAPI
    from asyncmeta.integrations.fastapi import From, setup
    app = setup(FastAPI(), container)
    @app.get("/")
    async def which(session: From[Session]):
        return session.database.name
"""
QUART = """
    from quart import Quart
    from asyncmeta.integrations.quart import inject, setup
    app = setup(Quart("shop"), container)
    @app.get("/")
    @inject
    async def which(session: From[Session]):
        return session.database.name
"""
LITESTAR = """
    from litestar import Litestar, get
    from asyncmeta.integrations.litestar import ContainerPlugin, inject
    @get("/")
    @inject
    async def which(session: From[Session]) -> str:
        return session.database.name
    app = Litestar([which], plugins=[ContainerPlugin(container)], openapi_config=None, logging_config=None)
"""
AIOHTTP = """
    from aiohttp import web
    from asyncmeta.integrations.aiohttp import inject, setup
    @inject
    async def which(request, session: From[Session]):
        return web.Response(text=session.database.name)
    def create_app():
        app = setup(web.Application(), container)
        app.router.add_get("/", which)
        return app
    app = create_app()
"""
FLASK = """
    from flask import Flask
    from asyncmeta.integrations.flask import inject, setup
    app = setup(Flask("shop"), container)
    @app.get("/")
    @inject
    def which(session: From[Session]):
        return session.database.name
"""
DJANGO = """
    import sys
    import django
    from django.conf import settings
    from django.http import HttpResponse
    from django.urls import path
    settings.configure(
        ASYNCMETA_CONTAINER=container, MIDDLEWARE=["asyncmeta.integrations.django.ContainerMiddleware"], ROOT_URLCONF=__name__,
        ALLOWED_HOSTS=["*"], SECRET_KEY="x", LOGGING_CONFIG=None,
    )
    django.setup()
    from asyncmeta.integrations.django import get_asgi_application, inject
    @inject
    def which(request, session: From[Session]):
        return HttpResponse(session.database.name)
    urlpatterns = [path("", which)]
    app = container
"""

TEST_CLIENT = """
    from starlette.testclient import TestClient
    def ask():
        with TestClient(app) as client:
            return client.get("/").text.strip('"')
"""
WITHOUT_LIFESPAN = """
    from starlette.testclient import TestClient
    def ask():
        return TestClient(app).get("/").text.strip('"')
"""
TRANSPORT = """
    import httpx
    async def ask():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shop") as client:
            return (await client.get("/")).text.strip('"')
"""
MANAGER = """
    import httpx
    from asgi_lifespan import LifespanManager
    async def ask():
        async with LifespanManager(app) as managed:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(managed.app), base_url="http://shop") as client:
                return (await client.get("/")).text.strip('"')
"""
ALL_WAYS = """
    import httpx
    from asgi_lifespan import LifespanManager
    async def ask():
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
            names = [(await client.get("/")).text]
            async with LifespanManager(app):
                names.append((await client.get("/")).text)
            names.append((await client.get("/")).text)
        assert len(set(names)) == 1, names
        return names[0].strip('"')
"""
OF_LITESTAR = """
    from litestar.testing import TestClient
    def ask():
        with TestClient(app) as client:
            return client.get("/").text
"""
OF_LITESTAR_ASYNC = """
    from litestar.testing import AsyncTestClient
    async def ask():
        async with AsyncTestClient(app) as client:
            return (await client.get("/")).text
"""
OF_QUART = """
    async def ask():
        async with app.test_app() as running:
            return (await (await running.test_client().get("/")).get_data(as_text=True))
"""
OF_AIOHTTP = """
    from aiohttp.test_utils import TestClient, TestServer
    async def ask():
        async with TestClient(TestServer(create_app())) as client:
            return await (await client.get("/")).text()
"""
OF_FLASK = """
    def ask():
        return app.test_client().get("/").text
"""
OF_FLASK_IN_LIFE = """
    def ask():
        with container:
            return app.test_client().get("/").text
"""
OF_DJANGO = """
    from django.test import Client
    def ask():
        return Client().get("/").content.decode()
"""
OF_DJANGO_ASYNC = """
    from django.test import AsyncClient
    async def ask():
        return (await AsyncClient().get("/")).content.decode()
"""

TESTS = """
    import pytest

    async def called():
        found = ask()
        return found if isinstance(found, str) else await found

    @pytest.fixture
    def faked(override):
        override({{Database: Fake()}})

    {define} test_a_fake_from_a_fixture(faked):
        assert {call} == "fake"
        assert STEPS == []

    {define} test_a_fake_from_the_test(override):
        override({{Database: Fake()}})
        for _ in range(2):
            assert {call} == "fake"
        assert STEPS == []

    @pytest.mark.asyncmeta(overrides={{Database: Fake()}})
    {define} test_a_fake_from_a_marker(container):
        assert {call} == "fake"
        assert STEPS == []

    {define} test_without_a_fake(container):
        assert {call} == "real"

    def test_nothing_is_left_open():
        assert STEPS == ["connected", "closed"] * (len(STEPS) // 2) and STEPS
        STEPS.clear()
        assert container.closed

    {define} test_a_fake_afterwards(override):
        override({{Database: Fake()}})
        assert {call} == "fake"
        assert STEPS == []
"""

CLIENTS = {
    "fastapi TestClient": (FASTAPI, TEST_CLIENT, ("fastapi", "httpx")),
    "fastapi TestClient without lifespan": (FASTAPI, WITHOUT_LIFESPAN, ("fastapi", "httpx")),
    "fastapi ASGITransport": (FASTAPI, TRANSPORT, ("fastapi", "httpx")),
    "fastapi LifespanManager": (FASTAPI, MANAGER, ("fastapi", "httpx", "asgi_lifespan")),
    "fastapi before, in and after a lifespan": (FASTAPI, ALL_WAYS, ("fastapi", "httpx", "asgi_lifespan")),
    "quart before, in and after a lifespan": (QUART, ALL_WAYS, ("quart", "httpx", "asgi_lifespan")),
    "litestar TestClient": (LITESTAR, OF_LITESTAR, ("litestar", "httpx")),
    "litestar AsyncTestClient": (LITESTAR, OF_LITESTAR_ASYNC, ("litestar", "httpx")),
    "litestar before, in and after a lifespan": (LITESTAR, ALL_WAYS, ("litestar", "httpx", "asgi_lifespan")),
    "quart": (QUART, OF_QUART, ("quart",)),
    "aiohttp": (AIOHTTP, OF_AIOHTTP, ("aiohttp",)),
    "flask": (FLASK, OF_FLASK, ("flask",)),
    "flask in its life": (FLASK, OF_FLASK_IN_LIFE, ("flask",)),
    "django": (DJANGO, OF_DJANGO, ("django",)),
    "django async": (DJANGO, OF_DJANGO_ASYNC, ("django",)),
}
SYNC = ("flask", "flask in its life", "django")


@pytest.mark.parametrize("name", CLIENTS)
def test_fakes_of_a_module_level_application(pytester, monkeypatch, name):
    """
    The fixture `override` is in force for the start-up and the requests of an application that a module makes, with every
    client, in every test again; nothing real is built, nothing is left open, and it is the real thing where no fake is.
    """
    app, client, libraries = CLIENTS[name]
    for library in libraries:
        pytest.importorskip(library)
    root = "web:container" if "without" in name or name == "aiohttp" else "web:app"
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    services = SERVICES.format(connect=CONNECT_SYNC if name in SYNC else CONNECT)
    pytester.makepyfile(web=services + textwrap.dedent(app))
    sync = "async def ask" not in client
    tests = TESTS.format(define="def" if sync else "async def", call="ask()" if sync else "await called()")
    pytester.makepyfile(test_web="from web import *\n" + textwrap.dedent(client) + textwrap.dedent(tests))
    pytester.makeini(
        f"[pytest]\nasyncmeta_root = {root}\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n"
        "filterwarnings =\n    error\n    ignore::ResourceWarning\n"
    )
    words = ("-q", *LOAD, "-p", "no:cacheprovider")
    if name.startswith("django"):  # which is configured once for each process
        done = pytester.run(sys.executable, "-m", "pytest", *words)
    else:
        done = pytester.runpytest_inprocess(*words)

    done.assert_outcomes(passed=6)


def test_a_client_of_a_wider_range_keeps_the_application_open(pytester, monkeypatch):
    """
    A client that a module shares opens the container once; overrides of single tests come and go in between.
    """
    pytest.importorskip("fastapi")
    pytest.importorskip("httpx")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makepyfile(web=SERVICES.format(connect=CONNECT) + textwrap.dedent(FASTAPI))
    pytester.makepyfile(test_web=textwrap.dedent("""
        from web import *
        import pytest
        from starlette.testclient import TestClient

        @pytest.fixture(scope="module")
        def client():
            with TestClient(app) as client:
                yield client

        async def fake() -> AsyncIterator[Database]:
            yield Fake()
            STEPS.append("fake closed")

        def test_real(client, container):
            assert client.get("/").json() == "real"

        def test_fake(client, override):
            override([{"provide": Database, "use_factory": fake}])
            assert client.get("/").json() == "fake"

        def test_real_again(client, container):
            assert client.get("/").json() == "real"
            assert STEPS == ["connected", "fake closed"]
    """))
    pytester.makeini("[pytest]\nasyncmeta_root = web:app\nfilterwarnings = error\nasyncio_default_fixture_loop_scope = function")
    done = pytester.runpytest_inprocess("-q", *LOAD, "-p", "no:cacheprovider")

    done.assert_outcomes(passed=3)


def test_the_tests_of_the_documentation_pass(pytester):
    """
    The tests that the how-to page about web applications shows pass, when they are run as its files.
    """
    for library in "fastapi", "httpx", "flask", "aiohttp":
        pytest.importorskip(library)
    files = {}
    for block in blocks(ROOT / "docs" / "howto" / "test-web.rst"):
        files[block.file] = files.get(block.file, "") + "\n\n" + block.text
        if block.language == "ini":
            pytester.makefile(".ini", pytest=block.text + "\npythonpath = .\nfilterwarnings = error")
    pytester.makepyfile(**{name.removesuffix(".py"): text for name, text in files.items() if name.endswith(".py")})

    result = pytester.runpytest_inprocess(*LOAD, "-p", "no:cacheprovider")

    result.assert_outcomes(passed=9)
