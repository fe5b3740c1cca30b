"""A real uvicorn on loopback, in a thread of its own."""

import asyncio
import socket
import threading
from contextlib import contextmanager

import uvicorn


class Server:
    """What serves, and the loop that it serves in."""

    def __init__(self, address, served):
        self.address, self.loop, self.served = address, served.loop, served

    def stop(self, force=False):
        """Let it shut down, as a signal does; *force*: at once, as a second one does."""
        self.served.should_exit = True
        self.served.force_exit = force

    def call(self, awaitable, timeout=50):
        """Await something in the server's loop; return what it gives."""
        return asyncio.run_coroutine_threadsafe(awaitable, self.loop).result(timeout)


class Telling(uvicorn.Server):
    """Tells other threads when it is up."""

    def __init__(self, config):
        super().__init__(config)
        self.ready, self.loop = threading.Event(), None

    async def startup(self, sockets=None):
        self.loop = asyncio.get_running_loop()
        await super().startup(sockets)
        self.ready.set()


@contextmanager
def serving(app, **options):
    """Serve *app* on a free port; at the end it is shut down as by a signal, and everything that it raised is raised."""
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as listening:
        port = listening.getsockname()[1]
        server = Telling(uvicorn.Config(app, log_level="critical", lifespan="on", **options))
        failures = []

        def run():
            try:
                asyncio.run(server.serve(sockets=[listening]))
            except BaseException as error:  # SystemExit is how uvicorn tells that the start failed
                failures.append(error)
            finally:
                server.ready.set()

        thread = threading.Thread(target=run, name="uvicorn")
        thread.start()
        try:
            server.ready.wait(30)
            if not server.started:
                raise RuntimeError("uvicorn did not start") from (failures[0] if failures else None)
            yield Server(f"http://127.0.0.1:{port}", server)
        finally:
            server.should_exit = True
            thread.join(30)
        assert not thread.is_alive()
        assert not failures, failures
