"""Ctrl-C, at whatever moment: nothing stays locked or claimed, and what was set up is torn down."""

from __future__ import annotations

import random
import signal
import sys
import threading
from collections.abc import Generator, Iterator
from types import FrameType
from typing import Annotated

import pytest

from asyncmeta import AsyncServiceBase, Container, Inject

ROUNDS = 200


@pytest.fixture
def interrupts() -> Iterator[None]:
    """Take the alarm clock for a Ctrl-C."""
    if not hasattr(signal, "setitimer"):
        pytest.skip("the platform has no alarm clock")

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    left = signal.setitimer(signal.ITIMER_REAL, 0)
    before = signal.signal(signal.SIGALRM, interrupt)
    hook, sys.unraisablehook = sys.unraisablehook, lambda told: None  # it may come in a __del__, too
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        sys.unraisablehook = hook
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, *left)


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.usefixtures("interrupts")
def test_an_interrupt_at_any_moment_leaves_the_container_usable() -> None:
    chance = random.Random(1)
    met = 0

    def pool() -> Generator[str]:
        yield "pool"

    def session(pool: Annotated[str, Inject("pool")]) -> Generator[str]:
        yield "session"

    for _ in range(ROUNDS):

        class App(AsyncServiceBase):
            pass

        App.register_dependency("pool", pool)
        App.register_dependency("session", session, lifetime="scoped")
        for number in range(5):
            App.register_dependency(f"thing {number}", lambda pool: object())
        container = Container(App)

        def use(number: int, container: Container = container) -> None:
            with container.scope() as scope:
                scope.get_nowait("session")
                container.get_nowait(f"thing {number % 5}")

        try:
            signal.setitimer(signal.ITIMER_REAL, chance.uniform(1e-5, 2e-3))
            for number in range(60):
                use(number)
            signal.setitimer(signal.ITIMER_REAL, 0)
        except KeyboardInterrupt:
            met += 1
        signal.setitimer(signal.ITIMER_REAL, 0)

        done: list[bool] = []

        def after(container: Container = container, done: list[bool] = done) -> None:
            use(1, container)
            container.close()
            done.append(True)

        thread = threading.Thread(target=after, daemon=True)  # which would show as hanging, and not hang us
        thread.start()
        thread.join(10)
        assert done, f"after {met} interrupts: it can neither be used nor closed"
    assert met > ROUNDS // 4
