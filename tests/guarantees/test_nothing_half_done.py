"""Promise 14: nothing half-done is kept: what is still open when its container closes has failed."""

import asyncio
import contextlib
import functools
import sys
import threading
import time
import types
from typing import Annotated

import pytest
from helpers import fresh_app, outcome

from asyncmeta import ClosedError, Container, Inject, injected
from asyncmeta._compat import WALKS_THREADS
from asyncmeta._names import frames_from
from asyncmeta._run.teardown import unwinding

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


class Bank:
    """An application with a database, and an account in each scope that is booked where nothing went wrong."""

    def __init__(self, *, nowait=False, **options):
        self.log = log = []
        self.before_booking = functools.partial(asyncio.sleep, 0)
        self.App = App = fresh_app(**options)

        async def database():
            yield "database"
            log.append("database closed")

        async def account(database):
            try:
                yield "account"
            except BaseException as error:
                log.append(f"undone by {type(error).__name__}")
                raise
            await self.before_booking()
            log.append("booked")

        def database_nowait():
            yield "database"
            log.append("database closed")

        def account_nowait(database):
            try:
                yield "account"
            except BaseException as error:
                log.append(f"undone by {type(error).__name__}")
                raise
            log.append("booked")

        App.register_dependency("database", database_nowait if nowait else database)
        lifetime = options.get("scopes", ("scoped",))[-1]
        App.register_dependency("account", account_nowait if nowait else account, lifetime=lifetime)
        self.container = Container(App)

    def undone(self, *errors):
        """Check that each account was undone with an error of that name, before the database was closed."""
        assert self.log == [*(f"undone by {error}" for error in errors), "database closed"]


async def held(scope, began, done):
    """Use an account until something is said."""
    async with scope:
        await scope.get("account")
        began.set()
        await done.wait()


async def test_what_is_still_open_when_its_container_closes_has_failed():
    """
    A ClosedError is thrown into the generators of a scope that is in use, before what it uses is closed.
    """
    bank, began, done = Bank(), asyncio.Event(), asyncio.Event()
    async with bank.container:
        task = asyncio.create_task(held(bank.container.scope(), began, done))
        await began.wait()
    done.set()
    await outcome(task)

    bank.undone("ClosedError")


async def test_an_open_scope_is_warned_of():
    """
    Whoever leaves a scope open is told by a ResourceWarning.
    """
    bank, began, done = Bank(), asyncio.Event(), asyncio.Event()
    await bank.container.get("database")
    task = asyncio.create_task(held(bank.container.scope(), began, done))
    await began.wait()

    with pytest.warns(ResourceWarning, match="still open"):
        await bank.container.aclose()
    done.set()
    await outcome(task)


async def test_who_ends_the_block_is_told_that_it_has_failed():
    """
    The block of a scope that was closed from outside does not end as if its work were kept.
    """
    bank, began, done = Bank(), asyncio.Event(), asyncio.Event()
    async with bank.container:
        task = asyncio.create_task(held(bank.container.scope(), began, done))
        await began.wait()
    done.set()
    end = await outcome(task)

    assert isinstance(end, ClosedError)
    assert "undone" in str(end)


async def test_who_closes_the_container_in_its_own_block_is_not_told():
    """
    Where the block itself closes the container it ends without an error: it knows.
    """
    bank = Bank()
    async with bank.container.scope() as scope:
        await scope.get("account")
        await bank.container.aclose()

    bank.undone("ClosedError")


async def test_a_block_that_held_nothing_ends_as_ever():
    """
    A scope with nothing to tear down has lost nothing, and its block ends without an error.
    """
    bank, began, done = Bank(), asyncio.Event(), asyncio.Event()

    async def idle():
        async with bank.container.scope():
            began.set()
            await done.wait()
        return "ended"

    async with bank.container:
        task = asyncio.create_task(idle())
        await began.wait()
    done.set()

    assert await task == "ended"


async def test_the_body_of_a_closed_scope_keeps_its_own_exception():
    """
    A body that fails after its scope was closed raises what it raises, and nothing in its place.
    """
    bank, began, done = Bank(), asyncio.Event(), asyncio.Event()

    async def work():
        async with bank.container.scope() as scope:
            await scope.get("account")
            began.set()
            await done.wait()
            raise LookupError("its own")

    async with bank.container:
        task = asyncio.create_task(work())
        await began.wait()
    done.set()

    assert isinstance(await outcome(task), LookupError)
    bank.undone("ClosedError")


async def unwinds(bank, error, steps=20):
    """Fail with *error*, None for a cancellation, and take some turns of the loop on the way out."""
    began = asyncio.Event()

    async def work():
        async with bank.container.scope() as scope:
            await scope.get("account")
            try:
                began.set()
                if error is not None:
                    raise error
                await asyncio.Event().wait()
            finally:
                for _ in range(steps):
                    await asyncio.sleep(0)

    task = asyncio.create_task(work())
    await began.wait()
    if error is None:
        task.cancel()
    return task


async def test_a_cancelled_task_ends_its_scope_itself():
    """
    Closing waits for a task that was cancelled and awaits on its way out: its scope ends with the cancellation.
    """
    bank = Bank()
    async with bank.container:
        task = await unwinds(bank, None)
    await outcome(task)

    bank.undone("CancelledError")


async def test_a_failing_task_ends_its_scope_itself():
    """
    Closing waits for a task that is on its way out with an exception: its scope ends with that one.
    """
    bank = Bank()
    async with bank.container:
        task = await unwinds(bank, LookupError("its own"))
        await asyncio.sleep(0)
    await outcome(task)

    bank.undone("LookupError")


@pytest.mark.parametrize("inside", [False, True])
async def test_a_cancelled_task_that_goes_on_as_if_nothing_were_has_failed(inside):
    """
    A scope whose task swallows its cancellation while the container closes was open then: its block ends with a ClosedError.
    """
    bank, began = Bank(scopes=("session", "request")), asyncio.Event()

    async def work():
        async with bank.container.scope(level="session") as outer:
            async with outer.scope() if inside else bank.container.scope() as scope:
                await scope.get("account")
                began.set()
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.Event().wait()
                for _ in range(20):
                    await asyncio.sleep(0)

    async with bank.container:
        task = asyncio.create_task(work())
        await began.wait()
        task.cancel()
        await asyncio.sleep(0)

    assert isinstance(await outcome(task), ClosedError)
    bank.undone("ClosedError")


async def test_the_waiting_for_who_unwinds_is_bounded(monkeypatch):
    """
    A task that never comes to the end of its way out does not keep the container from closing: then its scope has failed.
    """
    monkeypatch.setattr(unwinding, "PATIENCE", 0.05)
    bank, never, began = Bank(), asyncio.Event(), asyncio.Event()

    async def work():
        async with bank.container.scope() as scope:
            await scope.get("account")
            try:
                began.set()
                await asyncio.Event().wait()
            finally:
                await never.wait()

    async with bank.container:
        task = asyncio.create_task(work())
        await began.wait()
        task.cancel()
        await asyncio.sleep(0)
    bank.undone("ClosedError")
    never.set()
    await outcome(task)


async def test_whoever_waits_for_the_closing_is_not_waited_for():
    """
    A task that closes the container while it is on its way out does not wait for itself.
    """
    bank = Bank()

    async def work():
        async with bank.container.scope() as scope:
            await scope.get("account")
            try:
                raise LookupError("its own")
            finally:
                await bank.container.aclose()

    end = await asyncio.wait_for(outcome(work()), unwinding.PATIENCE / 2)

    assert isinstance(end, LookupError)
    bank.undone("ClosedError")


@pytest.mark.parametrize("way", ["exit stack", "generator", "object"])
async def test_a_scope_is_seen_wherever_its_task_holds_it(way):
    """
    Who is waited for is found also where the scope lies in an exit stack, in a generator or in an object.
    """
    bank, began = Bank(), asyncio.Event()

    class Unit:
        async def __aenter__(self):
            self.scope = bank.container.scope()
            return await self.scope.__aenter__()

        async def __aexit__(self, *told):
            return await self.scope.__aexit__(*told)

    @contextlib.asynccontextmanager
    async def unit():
        async with bank.container.scope() as scope:
            yield scope

    async def work():
        async with contextlib.AsyncExitStack() as stack:
            opened = {"exit stack": bank.container.scope, "generator": unit, "object": Unit}[way]()
            await (await stack.enter_async_context(opened)).get("account")
            try:
                raise LookupError("its own")
            finally:
                began.set()
                for _ in range(20):
                    await asyncio.sleep(0)

    async with bank.container:
        task = asyncio.create_task(work())
        await began.wait()
    await outcome(task)

    bank.undone("LookupError")


async def test_scopes_inside_of_scopes_fail_from_the_inside_out():
    """
    A scope inside of an open one has failed with it, first.
    """
    bank, began, done = Bank(scopes=("session", "request")), asyncio.Event(), asyncio.Event()

    async def work():
        async with bank.container.scope(level="session") as session:
            await held(session.scope(), began, done)

    async with bank.container:
        task = asyncio.create_task(work())
        await began.wait()
    done.set()

    bank.undone("ClosedError")
    assert isinstance(await outcome(task), ClosedError)


async def test_a_scope_whose_levels_were_opened_with_it_tells_one_error():
    """
    A scope for which the levels around it were opened, too, fails with them, and its block raises one plain ClosedError.
    """
    bank, began, done = Bank(scopes=("session", "request")), asyncio.Event(), asyncio.Event()
    async with bank.container:
        task = asyncio.create_task(held(bank.container.scope(), began, done))
        await began.wait()
    done.set()

    bank.undone("ClosedError")
    assert isinstance(await outcome(task), ClosedError)


async def test_an_outer_scope_that_fails_ends_inner_ones_with_it():
    """
    What is open inside of a scope that ends with an exception, in another task, ends with that exception.
    """
    bank, began, done = Bank(scopes=("session", "request")), asyncio.Event(), asyncio.Event()
    async with bank.container:
        with pytest.raises(LookupError):
            async with bank.container.scope(level="session") as session:
                task = asyncio.create_task(held(session.scope(), began, done))
                await began.wait()
                raise LookupError("the connection")
        done.set()
        await outcome(task)

    bank.undone("LookupError")


async def test_an_outer_scope_that_ends_well_has_not_waited_for_inner_ones():
    """
    What is open inside of a scope that ends without an exception has failed all the same.
    """
    bank, began, done = Bank(scopes=("session", "request")), asyncio.Event(), asyncio.Event()
    async with bank.container:
        async with bank.container.scope(level="session") as session:
            task = asyncio.create_task(held(session.scope(), began, done))
            await began.wait()
        done.set()
        await outcome(task)

    bank.undone("ClosedError")


async def test_what_fails_on_the_way_is_raised_by_the_closing():
    """
    An error in the finalizer of a scope that has failed is raised where the container is closed.
    """
    App, began, done = fresh_app(), asyncio.Event(), asyncio.Event()

    async def account():
        try:
            yield "account"
        except ClosedError:
            raise OSError("no way back") from None

    App.register_dependency("account", account, lifetime="scoped")
    container = Container(App)
    task = asyncio.create_task(held(container.scope(), began, done))
    await began.wait()
    end = await outcome(container.aclose())
    done.set()
    await outcome(task)

    assert [type(one) for one in end.exceptions] == [OSError]


async def test_a_first_call_of_an_injected_function_has_failed():
    """
    A call that a container's closing meets, for the first time called, is undone before what it uses is closed.
    """
    bank, began, done = Bank(), asyncio.Event(), asyncio.Event()

    @injected
    async def work(account: Annotated[str, Inject("account")]):
        began.set()
        await done.wait()

    async with bank.container:
        task = asyncio.create_task(work())
        await began.wait()
    done.set()

    bank.undone("ClosedError")
    assert isinstance(await outcome(task), ClosedError)


def in_a_thread(work):
    """Run *work* in a thread; return what waits for it, and gives what it raised."""
    met = []

    def run():
        try:
            work()
        except BaseException as error:
            met.append(error)

    thread = threading.Thread(target=run)
    thread.start()

    def wait():
        thread.join(10)
        assert not thread.is_alive()
        return met

    return wait


@pytest.mark.parametrize("token", ["other", "database"])
async def test_a_scope_that_was_only_looked_through_has_lost_nothing(token):
    """
    A scope that was asked, in an override, for what is not its own ends as ever after its container has closed.
    """
    bank = Bank()
    bank.App.register_value("other", 0)
    async with bank.container.scope() as scope:
        with bank.container.override({"other": 1}):
            given = await scope.get(token)
        await bank.container.aclose()

    assert given == (1 if token == "other" else "database")
    assert bank.log == (["database closed"] if token == "database" else [])


def let_end_when_waited_for(monkeypatch, done):
    """Set *done* as soon as closing waits for those who are about to end."""

    def sleep(seconds):
        done.set()
        time.sleep(seconds)

    async def asleep(seconds):
        done.set()
        await asyncio.sleep(seconds)

    monkeypatch.setattr(unwinding, "time", types.SimpleNamespace(monotonic=time.monotonic, sleep=sleep))
    monkeypatch.setattr(unwinding, "asyncio", Replaced(asyncio, sleep=asleep))


class Replaced:
    """A module with other things of some names."""

    def __init__(self, module, **others):
        self.__dict__.update(vars(module), **others)


def use_in_a_thread(bank, done, opened="scope"):
    """Have a thread use an account until *done*; return what waits for it, when it does."""
    began = threading.Event()

    def work():
        if opened == "scope":
            with bank.container.scope() as scope:
                scope.get_nowait("account")
                began.set()
                done.wait(10)
        elif opened == "request":
            with bank.container.request("account"):
                began.set()
                done.wait(10)
        else:
            with bank.container.override({"other": 1}), bank.container.scope() as scope:
                scope.get_nowait("account")
                began.set()
                done.wait(10)

    wait = in_a_thread(work)
    began.wait(10)
    return wait


@pytest.mark.parametrize("how", ["close", "aclose"])
def test_a_scope_of_another_thread_that_does_not_end_has_failed(how, monkeypatch):
    """
    A scope that a thread is still in when the container has waited for it is undone; the thread is told at the end.
    """
    monkeypatch.setattr(unwinding, "PATIENCE_WITH_THREADS", 0.01)
    bank, done = Bank(nowait=True), threading.Event()
    wait = use_in_a_thread(bank, done)
    bank.container.close() if how == "close" else asyncio.run(bank.container.aclose())
    done.set()
    met = wait()

    bank.undone("ClosedError")
    assert [type(error) for error in met] == [ClosedError]


@pytest.mark.parametrize("how", ["close", "aclose"])
@pytest.mark.parametrize("opened", ["scope", "request", "override"])
def test_a_scope_of_another_thread_that_comes_to_its_end_is_whole(opened, how, monkeypatch):
    """
    Nobody has told a thread to end: what it finishes while the container that closes waits for it has lost nothing.
    """
    bank, done = Bank(nowait=True), threading.Event()
    bank.App.register_value("other", 0)
    wait = use_in_a_thread(bank, done, opened)
    let_end_when_waited_for(monkeypatch, done)
    bank.container.close() if how == "close" else asyncio.run(bank.container.aclose())

    assert wait() == []
    assert bank.log == ["booked", "database closed"]


def never(seconds):
    raise AssertionError("it waits for who waits for it")


@pytest.mark.skipif(not WALKS_THREADS, reason="the frames of other threads are not walked through")
def test_a_thread_that_waits_for_who_closes_is_not_waited_for(monkeypatch):
    """
    A thread that waits, in a scope, until another one has closed the container does not keep it from that.
    """
    bank = Bank(nowait=True)
    monkeypatch.setattr(unwinding, "time", types.SimpleNamespace(monotonic=time.monotonic, sleep=never))
    with pytest.raises(ClosedError), bank.container.scope() as scope:
        scope.get_nowait("account")
        # Who has begun a thread joins it a moment later: it goes on when that can be seen.
        met = in_a_thread(lambda: (seen_in(threading.Thread.join), bank.container.close()))()

    bank.undone("ClosedError")
    assert met == []


def seen_in(function):
    """Wait until the main thread is in *function*."""
    main = threading.main_thread().ident
    while not any(frame.f_code is function.__code__ for frame in frames_from(sys._current_frames()[main])):
        time.sleep(0.001)


@pytest.mark.parametrize("how", ["close", "aclose"])
def test_a_thread_that_closes_as_well_is_not_waited_for(how, monkeypatch):
    """
    Two threads close one container, one of them in a scope of it: that is one closing, for which both wait.
    """
    bank, began, done = Bank(nowait=True), threading.Event(), threading.Event()

    def work():
        with bank.container.scope() as scope:
            scope.get_nowait("account")
            began.set()
            done.wait(10)
            bank.container.close()

    wait = in_a_thread(work)
    began.wait(10)
    let_end_when_waited_for(monkeypatch, done)
    monkeypatch.setattr(unwinding, "PATIENCE_WITH_THREADS", 60.0)
    bank.container.close() if how == "close" else asyncio.run(bank.container.aclose())

    assert wait() == []
    bank.undone("ClosedError")


def test_a_scope_that_another_thread_is_closing_is_waited_for():
    """
    While a thread is in its scope's finalizers no singleton that they use is closed.
    """
    App, log = fresh_app(), []
    began, done, leaving, go_on = (threading.Event() for _ in range(4))

    def database():
        yield "database"
        log.append("database closed")

    def account(database):
        yield "account"
        leaving.set()
        go_on.wait(10)
        log.append("booked")

    App.register_dependency("database", database)
    App.register_dependency("account", account, lifetime="scoped")
    container = Container(App)

    def work():
        with container.scope() as scope:
            scope.get_nowait("account")
            began.set()
            done.wait(10)

    wait = in_a_thread(work)
    began.wait(10)
    done.set()
    leaving.wait(10)
    closing = in_a_thread(container.close)
    go_on.set()

    assert closing() == wait() == []
    assert log == ["booked", "database closed"]
