"""A WSGI application that gunicorn loads before it forks its workers."""

import os
import threading
from typing import Annotated

from asyncmeta import AsyncServiceBase, Container, Inject, inject_dependency


class Shop(AsyncServiceBase):
    """The application."""


@inject_dependency("process", on=Shop)
def process() -> int:
    return os.getpid()


@inject_dependency("session", lifetime="scoped", on=Shop)
def session(process: Annotated[int, Inject("process")]) -> list[int]:
    return [process]


Shop.register_dependency("model", lambda: list(range(1000)))

container = Container(Shop)
parents = container.get_nowait("process")
opened = Container(Shop)
opened.__enter__()  # as a program does that opens too early


def build_again_and_again() -> None:
    while True:
        with Container(Shop) as busy, busy.scope() as scope:
            scope.get_nowait("session")


threading.Thread(target=build_again_and_again, daemon=True).start()


def app(environ, start_response):
    with container.scope() as scope:
        own = scope.get_nowait("session") == [os.getpid()]
    try:
        told = str(opened.get_nowait("process"))
    except Exception as error:
        told = f"{type(error).__name__}: {error}"
    body = f"{os.getpid()} {parents} {own} {told}".encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
