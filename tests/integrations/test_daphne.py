"""daphne, a server that speaks no lifespan: applications work, and are told what that means."""

import os
import subprocess
import sys
import textwrap
import time
import urllib.error
import urllib.request

import pytest
import servers
from doc_pages import ROOT

pytest.importorskip("daphne", reason="needs daphne")
pytest.importorskip("fastapi", reason="needs fastapi")

PROGRAM = """
    from fastapi import FastAPI
    from asyncmeta import AsyncServiceBase, Container, inject_dependency
    from asyncmeta.integrations.fastapi import From, setup

    class Session: ...
    class Pool: ...
    class Shop(AsyncServiceBase): ...

    @inject_dependency(on=Shop)
    async def open_pool() -> Pool:
        return Pool()

    async def open_session(pool: Pool):
        yield Session()
        print("committed", flush=True)

    Shop.register_dependency(Session, open_session, lifetime="scoped")
    app = setup(FastAPI(), Container(Shop))

    @app.get("/")
    async def show(session: From[Session], pool: From[Pool]):
        return f"{type(session).__name__} {type(pool).__name__}"
"""


@pytest.mark.slow
def test_a_server_that_speaks_no_lifespan(tmp_path):
    """
    daphne's requests have their scopes, and singletons that are built late; a sentence says that nobody closes the container,
    and what to do.
    """
    (tmp_path / "web.py").write_text(textwrap.dedent(PROGRAM))
    port = servers.free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", "daphne", "-b", "127.0.0.1", "-p", str(port), "web:app"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)])},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        answers = [asked(server, port) for _ in range(2)]
    finally:
        server.terminate()
        said, complained = server.communicate(timeout=20)

    assert answers == ['"Session Pool"'] * 2
    assert said.count("committed") == 2
    assert complained.count("a request came before any lifespan") == 1, complained
    assert "daphne" in complained and "async with container:" in complained


def asked(server, port):
    """Return what the server answers, as soon as it does."""
    deadline = time.monotonic() + 20
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer:
                return answer.read().decode()
        except urllib.error.URLError:
            if server.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.05)
