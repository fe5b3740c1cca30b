"""No test of this folder may hang: each is given up after a while."""

import inspect
import signal

import pytest
from helpers import LIMIT, guarded


def pytest_itemcollected(item):
    """Bound every async test."""
    if inspect.iscoroutinefunction(getattr(item, "obj", None)):
        item.obj = guarded(item.obj)


@pytest.fixture(autouse=True)
def given_up():
    """Bound what blocks the thread, too, where the platform has an alarm clock."""

    def ring(number, frame):
        raise TimeoutError("the test blocks its thread")

    if not hasattr(signal, "setitimer"):
        yield
        return
    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, 4 * LIMIT)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
