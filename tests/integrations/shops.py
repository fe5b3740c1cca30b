"""The application that the tests of integrations serve: a pool that lives with it, a session for each request."""

from contextlib import contextmanager

from helpers import Journal, fresh_app


class Pool:
    """What is opened once."""


class Session:
    """What commits or rolls back."""


class Lines:
    """What notes the lines of one request."""

    def __init__(self, journal):
        self.add = journal.append


@contextmanager
def ending(journal, value, fails=lambda: None):
    """Give *value* to a block; note how that ends: it may fail to commit."""
    try:
        yield value
    except BaseException as error:
        journal.append(f"rollback {type(error).__name__}")
        raise
    if (failure := fails()) is not None:
        raise failure
    journal.append("commit")


def _session(journal):
    journal.append("begin")
    return ending(journal, Session())


def shop(**keywords):
    """Return a service class with an asynchronous pool and session, and the journal of what they do."""
    journal = Journal()
    app = fresh_app(**keywords)

    async def open_pool():
        with journal.noting("pool"):
            yield Pool()

    async def open_session(pool: Pool):
        with _session(journal) as session:
            yield session

    app.register_dependency(Pool, open_pool)
    app.register_dependency(Session, open_session, lifetime="scoped")
    return app, journal


def sync_shop(**keywords):
    """Return the same, with nothing that has to be awaited."""
    journal = Journal()
    app = fresh_app(**keywords)

    def open_pool():
        with journal.noting("pool"):
            yield Pool()

    def open_session(pool: Pool):
        with _session(journal) as session:
            yield session

    app.register_dependency(Pool, open_pool)
    app.register_dependency(Session, open_session, lifetime="scoped")
    return app, journal
