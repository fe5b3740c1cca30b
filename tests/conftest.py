"""The same tests, however they were started: by hand, in the background, by a build server."""

import signal
import threading


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
