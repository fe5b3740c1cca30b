"""The same tests, however they were started: by hand, in the background, by a build server."""

import contextlib
import gc
import itertools
import os
import signal
import sys
import threading

import amount
import pytest

# What is compiled is kept, also where the environment says otherwise: the tests start some hundreds of programs, and
# each worker reads all modules of the tests.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

with contextlib.suppress(ImportError):
    from hypothesis import settings

    # The examples are the same at every run, so that a change is judged by itself; who hunts has new ones each time.
    settings.register_profile("same", derandomize=True)
    if amount.FUZZ == 1:
        settings.load_profile("same")

def pytest_configure(config):
    """
    Let the programs that tests start hear an interrupt.

    A shell gives what it starts in the background an ignored SIGINT, and that is inherited by every child, which then
    never ends.  With a handler here, a child begins with the default.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGALRM})


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """
    Leave all that is imported to itself: many tests collect garbage, and need not go through it again and again.

    What a test makes is collected as ever.
    """
    gc.disable()  # nothing of what is imported is garbage
    try:
        return (yield)
    finally:
        gc.enable()
        leave_to_itself()


def leave_to_itself():
    """Let nobody look again, for garbage or for something else, at all that is there by now."""
    gc.collect()
    gc.freeze()


#: After so many tests what they have imported is left to itself, too.
OFTEN = 50
done = itertools.count(1)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown():
    # Libraries leave handlers of theirs behind; a forked child would inherit one, and could not be ended by its pool.
    if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if next(done) % OFTEN == 0:
        leave_to_itself()


#: Folders whose every test starts programs, servers or a browser, or looks for what nobody has thought of.
SLOW = {"browser", "faults", "model", "programs", "properties"}


def pytest_itemcollected(item):
    """Mark what is slow, and refuse a name that is another one in every process: ``-n`` compares them."""
    if " at 0x" in item.nodeid:
        raise pytest.UsageError(f"{item.nodeid}: a parameter shows its address; write ids=named, of helpers")
    if item.path.parent.name in SLOW:
        item.add_marker("slow")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers():
    """``-n auto``: one more than there are processors that may be used, since many a test waits for what it has started."""
    return 1 + (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())


@pytest.fixture(scope="session")
def postgresql():
    """The address of a PostgreSQL for all tests; who needs an empty database makes one."""
    import servers

    with servers.postgresql() as address:
        yield address


@pytest.fixture
def exploring(monkeypatch):
    """
    `asyncmeta.testing.explore` lets everything be looked at again when it is over: not what was left to itself before.

    Gives what a test patches back in that looks at that.
    """
    unfreeze = gc.unfreeze
    monkeypatch.setattr(gc, "unfreeze", lambda: None)
    yield unfreeze
    if gc.unfreeze is unfreeze:
        leave_to_itself()


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish():
    """Let everything be looked at again: pytest collects once more then, and reports what was left behind."""
    gc.unfreeze()
