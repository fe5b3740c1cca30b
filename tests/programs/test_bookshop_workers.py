"""The bookshop with two workers: one command, a real redis-server, three processes and a database."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

pytest.importorskip("aiosqlite")
pytest.importorskip("fastapi")
pytest.importorskip("httpx")
pytest.importorskip("jinja2")
pytest.importorskip("PIL")
pytest.importorskip("redis")
pytest.importorskip("sqlalchemy")
pytest.importorskip("taskiq_redis")
pytest.importorskip("uvicorn")

import httpx
import servers

ROOT = Path(__file__).parents[2]
LONG = 60.0  #: seconds after which something that does not come is given up


def until(there, process, log):
    end = time.monotonic() + LONG
    while not there():
        assert time.monotonic() < end and process.poll() is None, log.read_text()
        time.sleep(0.05)


def test_workers_do_what_follows_an_order(tmp_path):
    """
    Orders are answered by the one process, receipts and thumbnails made by the others; all of them stop together.
    """
    port, log, outbox = servers.free_port(), tmp_path / "log", tmp_path / "outbox"
    with servers.redis(servers.free_port()) as redis, log.open("w") as said:
        environment = {
            **os.environ, "PYTHONPATH": str(ROOT), "REDIS_URL": redis, "OUTBOX": str(outbox),
            "DATABASE_URL": f"sqlite:///{tmp_path}/shop.sqlite3",
        }  # fmt: skip
        command = [sys.executable, "-m", "examples.bookshop", "--workers", "2", "--port", str(port)]
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=said, stderr=said, start_new_session=True)
        try:
            client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=LONG)

            def answers():
                try:
                    return client.get("/health").status_code == 200
                except httpx.HTTPError:
                    return False

            until(answers, process, log)
            wish = {"book": "GEB", "quantity": 1, "customer": "ada@example.org"}
            numbers = [client.post("/api/orders", json=wish).raise_for_status().json()["number"] for _ in range(10)]
            refused = client.post("/api/orders", json=wish | {"quantity": 99})
            wanted = {"GEB.png", *(f"{number}.eml" for number in numbers)}
            until(lambda: outbox.is_dir() and wanted <= {file.name for file in outbox.iterdir()}, process, log)
            client.close()
            process.send_signal(signal.SIGTERM)
            code = process.wait(LONG)
        finally:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()

    assert code == 0
    assert refused.status_code == 409
    assert {file.name for file in outbox.iterdir() if file.suffix in (".png", ".eml")} == wanted
    with closing(sqlite3.connect(tmp_path / "shop.sqlite3")) as database:
        assert {number for (number,) in database.execute("SELECT number FROM orders")} == set(numbers)
    text = log.read_text()
    assert "Traceback" not in text, text
    assert text.count("Shutting down the broker") == 2
