"""The command line: serve the shop, or place one order."""

import argparse
import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence

import uvicorn
from fastapi import FastAPI
from sqlalchemy.exc import SQLAlchemyError

from asyncmeta import Container

from . import reviews, web
from .inprocess import client_of


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m examples.bookshop", description="Sell books on the web.")
    parser.add_argument("--port", type=int, default=8000, help="of 127.0.0.1 (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=0, help="so many processes do what follows an order; needs REDIS_URL")
    parser.add_argument("--once", action="store_true", help="place one order, print it, and end")
    options = parser.parse_args(arguments)
    if options.workers:
        if not os.environ.get("REDIS_URL"):
            parser.error("--workers needs REDIS_URL: what is to be done goes through it")
        return serve_with(options.workers, options.port)
    make_app = reviews.make_app if reviews.available() else web.make_app
    if not options.once:
        uvicorn.run(make_app(), port=options.port)
        return 0
    code = 0
    try:
        code = asyncio.run(order_once(make_app()))
    # What the start met: a database that is not there, or none at all; an address that is none.
    except* (OSError, SQLAlchemyError, ValueError) as group:
        print(f"bookshop: {group.exceptions[0]}", file=sys.stderr)
        code = 1
    return code


def serve_with(workers: int, port: int) -> int:
    """Serve the shop beside workers; return the exit code of these."""
    from . import queue  # it needs taskiq

    with tempfile.TemporaryDirectory(prefix="bookshop-") as folder:
        # Several processes have to mean the same: what the environment leaves open is said here.
        os.environ.setdefault("DATABASE_URL", f"sqlite:///{folder}/bookshop.sqlite3")
        os.environ.setdefault("OUTBOX", f"{folder}/outbox")
        command = [sys.executable, "-m", "taskiq", "worker", "examples.bookshop.queue:broker", "--workers", str(workers)]
        running = subprocess.Popen(command)
        # Uvicorn raises the signal that has stopped it once more: it shall end this block, and not the process.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit())
        try:
            uvicorn.run(web.make_app(Container(queue.QueuedBookshop)), port=port)
        finally:
            running.terminate()
            code = running.wait(30)
    return code


async def order_once(app: FastAPI) -> int:
    """Order the first book that is on the shelf, of the application as it is served; return the exit code."""
    async with client_of(app) as client:
        before = (await client.get("/api/books")).raise_for_status().json()
        code = next((book["code"] for book in before if book["stock"]), None)
        if code is None:
            print("bookshop: all books are sold", file=sys.stderr)
            return 1
        wish = {"book": code, "quantity": 1, "customer": "ada@example.org"}
        order = (await client.post("/api/orders", json=wish)).raise_for_status().json()
        after = (await client.get("/api/books")).raise_for_status().json()
    for name, value in order.items():
        print(f"{name:10}{value}")
    titles = {book["code"]: (book["title"], book["stock"]) for book in after}
    print("{}: {} left".format(*titles[code]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
