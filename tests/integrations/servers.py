"""Real servers on loopback, for one test; tests that need one are skipped where it is not installed."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

LIMIT = 30.0  #: seconds for a server to listen

needs_redis = pytest.mark.skipif(shutil.which("redis-server") is None, reason="needs redis-server")


def free_port():
    """Return a port of loopback that nobody listens at."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def wait_for(port, process):
    """Wait until something listens at *port*."""
    deadline = time.monotonic() + LIMIT
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            assert process.poll() is None, f"the server ended with {process.returncode}"
            assert time.monotonic() < deadline, "the server does not listen"
            time.sleep(0.02)


@contextmanager
def started(port, command, **options):
    """Run a server that listens at *port*, and end it."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options) as process:
        try:
            wait_for(port, process)
            yield
        finally:
            process.terminate()


@contextmanager
def redis_server():
    """Run a redis-server that keeps nothing; gives its address."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        command = ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no", "--dir", folder]
        with started(port, command):
            yield f"redis://127.0.0.1:{port}"


def postgres_program(name):
    """Return the path of one of PostgreSQL's programs, or None."""
    debian = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(debian[-1]) if debian else shutil.which(name)


def postgres_is_here():
    """Tell whether PostgreSQL is installed, and this user, or its own, may run it."""
    if sys.platform == "win32" or postgres_program("initdb") is None or postgres_program("postgres") is None:
        return False
    return os.geteuid() != 0 or shutil.which("runuser") is not None


needs_postgres = pytest.mark.skipif(not postgres_is_here(), reason="needs PostgreSQL")


@contextmanager
def postgres_server():
    """Run a PostgreSQL server on a database of its own; gives its address."""
    port = free_port()
    # It refuses to run as root: then it runs as the user that Debian's package makes.
    as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    with tempfile.TemporaryDirectory() as folder:
        if as_user:
            shutil.chown(folder, "postgres")
        data = f"{folder}/data"
        initdb = [postgres_program("initdb"), "-D", data, "-U", "shop", "--auth=trust", "--no-sync"]
        subprocess.run([*as_user, *initdb], cwd=folder, check=True, capture_output=True)
        options = ["-h", "127.0.0.1", "-p", str(port), "-k", folder, "-F"]
        with started(port, [*as_user, postgres_program("postgres"), "-D", data, *options], cwd=folder):
            yield f"postgresql://shop@127.0.0.1:{port}/postgres"
