"""Where are PostgreSQL and redis, and how are they run for some tests?  On loopback, in a folder that goes with them."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import pytest


def program(name):
    """Return where a program is, or skip what needs it; Debian keeps those of PostgreSQL beside the path."""
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda place: float(place.parent.name), reverse=True)
    found = shutil.which(name, path=os.pathsep.join([*map(str, places), os.environ.get("PATH", "")]))
    return found or pytest.skip(f"no {name} is installed")


def nobody():
    """Return under whose name servers run: PostgreSQL refuses to be root."""
    if os.geteuid() != 0:
        return {}
    import pwd  # not on every system

    user = pwd.getpwnam("nobody")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return listening.getsockname()[1]


@contextmanager
def folder_of_nobody():
    with tempfile.TemporaryDirectory(prefix="asyncmeta-") as name:
        if who := nobody():
            os.chown(name, who["user"], who["group"])
        yield Path(name)


@contextmanager
def running(command, folder, asks):
    """Run a server until the block ends; it is up when *asks* succeeds."""
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, stdin=subprocess.DEVNULL, **nobody())
    try:
        deadline = time.monotonic() + 30
        while not asks():
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} did not start:\n{(folder / 'log').read_text()}")
            time.sleep(0.02)
        yield server
    finally:
        server.send_signal(signal.SIGINT)  # to PostgreSQL: end all sessions and stop
        try:
            server.wait(15)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


@contextmanager
def postgresql():
    """Run a new PostgreSQL; give its address, without a database."""
    initdb, postgres, pg_isready = map(program, ("initdb", "postgres", "pg_isready"))
    with folder_of_nobody() as folder:
        port, data = free_port(), str(folder / "data")
        make = [initdb, "-D", data, "-U", "shop", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
        made = subprocess.run(make, cwd=folder, capture_output=True, encoding="utf-8", timeout=60, **nobody())
        if made.returncode:
            raise RuntimeError(made.stderr)
        serve = [postgres, "-D", data, "-h", "127.0.0.1", "-p", str(port), "-k", "", "-F"]
        ready = [pg_isready, "-q", "-h", "127.0.0.1", "-p", str(port)]
        with running(serve, folder, lambda: subprocess.run(ready, timeout=10).returncode == 0):
            yield f"postgresql://shop@127.0.0.1:{port}"


@contextmanager
def redis(port):
    """Run a new redis, which keeps nothing on disk; give its address."""
    server = program("redis-server")
    with folder_of_nobody() as folder:
        command = [server, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]

        def answers():
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
                    connection.sendall(b"PING\r\n")
                    return connection.recv(7) == b"+PONG\r\n"
            except OSError:
                return False

        with running(command, folder, answers):
            yield f"redis://127.0.0.1:{port}/0"
