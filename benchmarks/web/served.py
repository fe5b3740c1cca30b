"""The applications under uvicorn, asked by another process: ``python -m benchmarks.web.served NAME`` serves one."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import uvicorn

from ..measure import ROOT, in_process
from .apps import APPS, Work


@contextmanager
def server(name: str) -> Iterator[int]:
    """Serve an application in a process of its own; give the port."""
    command = [sys.executable, "-m", "benchmarks.web.served", name]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, encoding="utf-8") as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.terminate()


def per_second(names: list[str], rounds: int, seconds: float, connections: int) -> dict[str, list[float]]:
    """Load the applications in turns; return the answers in a second of each, by round."""
    found: dict[str, list[float]] = {name: [] for name in names}
    with ExitStack() as stack:
        ports = {name: stack.enter_context(server(name)) for name in names}
        for number in range(rounds):
            for name in names if number % 2 else reversed(names):
                found[name].append(float(in_process("web.load", ports[name], connections, seconds)))
    return found


def serve(name: str) -> None:
    """Serve until terminated; tell the port when it can be asked."""
    listening = socket.create_server(("127.0.0.1", 0))
    print(listening.getsockname()[1], flush=True)  # who asks before the application has started, waits
    config = uvicorn.Config(APPS[name](Work()), access_log=False, log_level="warning", lifespan="on")
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    serve(sys.argv[1])
