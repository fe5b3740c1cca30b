"""Promise 4: finalizers run in exact reverse order, each once, all of them; no error is lost."""

import asyncio
import contextvars
from contextlib import asynccontextmanager, contextmanager
from typing import Annotated, Any

import pytest
from helpers import Journal, fresh_app, leaves, outcome, settled

from asyncmeta import AsyncDependencyError, AsyncServiceBase, ClosedError, Container, FinalizationErrors, Inject, Scope


class Stop(BaseException):
    """What is no Exception."""


def chain(error):
    """Return *error* and its contexts, outermost first."""
    found = []
    while error is not None:
        found.append(error)
        error = error.__context__
    return found


def resources(App, journal, lifetime, raising=None, count=4):
    """Register "r1" to "r4", each needing the one before; by turns async and sync; *raising* maps names to errors."""
    raising = raising or {}

    def make(name):
        if int(name[1:]) % 2:

            async def factory(before):
                with journal.noting(name):
                    try:
                        yield name
                    finally:
                        await asyncio.sleep(0)
                        if name in raising:
                            raise raising[name]

        else:

            def factory(before):
                with journal.noting(name):
                    try:
                        yield name
                    finally:
                        if name in raising:
                            raise raising[name]

        return factory

    App.register_value("r0", None)
    for number in range(1, count + 1):
        factory = make(f"r{number}")
        factory.__annotations__["before"] = Annotated[Any, Inject(f"r{number - 1}")]
        App.register_dependency(f"r{number}", factory, lifetime=lifetime)


LIFETIMES = pytest.mark.parametrize("lifetime", ["singleton", "scoped", "transient"])


@LIFETIMES
async def test_reverse_order_over_sync_and_async(lifetime):
    """
    Sync and async finalizers run together in the reverse of the order in which their values were made.
    """
    App, journal = fresh_app(), Journal()
    resources(App, journal, lifetime)
    async with Container(App) as container, container.scope() as scope:
        await scope.get("r4")

    assert journal == ["+r1", "+r2", "+r3", "+r4", "-r4", "-r3", "-r2", "-r1"]


async def test_the_order_is_of_construction_not_of_declaration():
    """
    What was asked for later is closed earlier, whatever was registered first.
    """
    App, journal = fresh_app(), Journal()

    def make(name):
        def factory():
            with journal.noting(name):
                yield name

        return factory

    for name in ("a", "b", "c"):
        App.register_dependency(name, make(name))
    async with Container(App) as container:
        for name in ("b", "c", "a"):
            await container.get(name)

    assert journal.closed == ["a", "c", "b"]


@LIFETIMES
async def test_all_finalizers_run_though_some_raise(lifetime):
    """
    Each finalizer runs once though others raise; all that they raised comes out in one FinalizationErrors.
    """
    App, journal = fresh_app(), Journal()
    errors = {"r4": ValueError("r4"), "r2": KeyError("r2"), "r1": OSError("r1")}
    resources(App, journal, lifetime, errors)
    with pytest.raises(FinalizationErrors) as caught:
        async with Container(App) as container:
            async with container.scope() as scope:
                await scope.get("r4")

    assert journal.closed == ["r4", "r3", "r2", "r1"]
    assert list(caught.value.exceptions) == [errors["r4"], errors["r2"], errors["r1"]]


async def test_a_single_error_is_a_group_too():
    """
    One failing finalizer is raised as FinalizationErrors as well, which `except*` takes apart.
    """
    App, journal, error = fresh_app(), Journal(), ValueError("r1")
    resources(App, journal, "singleton", {"r1": error})
    container = Container(App)
    await container.get("r2")
    seen = []
    try:
        await container.aclose()
    except* ValueError as group:
        seen.extend(group.exceptions)

    assert seen == [error]


@pytest.mark.parametrize("stop", [Stop("stop"), KeyboardInterrupt("stop"), asyncio.CancelledError("stop")], ids=repr)
async def test_a_base_exception_of_a_finalizer_is_raised_bare(stop):
    """
    What is no Exception is raised as it is, after all finalizers ran; the others' errors end its context chain.
    """
    App, journal, error = fresh_app(), Journal(), ValueError("r1")
    resources(App, journal, "scoped", {"r3": stop, "r1": error})
    caught = None
    async with Container(App) as container:
        try:
            async with container.scope() as scope:
                await scope.get("r4")
        except BaseException as raised:
            caught = raised

    assert caught is stop
    assert journal.closed == ["r4", "r3", "r2", "r1"]
    (group,) = [one for one in chain(caught) if isinstance(one, FinalizationErrors)]
    assert list(group.exceptions) == [error]


@pytest.mark.parametrize("what", ["scope", "container"])
async def test_the_bodys_error_propagates_as_it_is(what):
    """
    When the body raised, its exception comes out; finalizers' errors stand at the end of its chain, and in a note.
    """
    App, journal, body, error = fresh_app(), Journal(), LookupError("body"), ValueError("r2")
    resources(App, journal, "scoped" if what == "scope" else "singleton", {"r2": error})
    caught = None
    try:
        if what == "scope":
            async with Container(App) as container:
                async with container.scope() as scope:
                    await scope.get("r3")
                    raise body
        else:
            async with Container(App) as container:
                await container.get("r3")
                raise body
    except LookupError as raised:
        caught = raised

    assert caught is body
    assert journal.closed == ["r3", "r2", "r1"]
    assert error in leaves(caught)
    assert any(isinstance(one, FinalizationErrors) for one in chain(caught))
    assert any("r2" in note for note in caught.__notes__)


async def test_the_bodys_own_context_is_kept():
    """
    The group is put at the end of the body's chain: what the body's exception had as its context stays.
    """
    App, journal, error = fresh_app(), Journal(), ValueError("r1")
    resources(App, journal, "scoped", {"r1": error})
    first, second = KeyError("first"), LookupError("second")
    caught = None
    async with Container(App) as container:
        try:
            async with container.scope() as scope:
                await scope.get("r1")
                try:
                    raise first
                except KeyError:
                    raise second  # noqa: B904  # the implicit context is the subject
        except LookupError as raised:
            caught = raised

    assert caught is second
    assert caught.__context__ is first
    assert error in leaves(first)


def transaction(journal, name, ending):
    """Return a session factory in the usual form, that ends as said when the body failed."""

    async def factory():
        try:
            yield name
        except Exception as error:
            journal.append(f"{name} rolls back for {error}")
            if ending == "raise":
                raise
            if ending == "other":
                raise RuntimeError(name) from error
        else:
            journal.append(f"{name} commits")

    return factory


@pytest.mark.parametrize("ending", ["raise", "swallow", "other"])
async def test_the_body_error_is_thrown_in_and_comes_out(ending):
    """
    The body's exception is thrown into the generators; whether they re-raise, swallow or replace it, it comes out.
    """
    App, journal, body = fresh_app(), Journal(), LookupError("body")
    App.register_dependency("one", transaction(journal, "one", "raise"), lifetime="scoped")
    App.register_dependency("two", transaction(journal, "two", ending), lifetime="scoped")
    App.register_dependency("three", transaction(journal, "three", "raise"), lifetime="scoped")
    caught = None
    async with Container(App) as container:
        try:
            async with container.scope() as scope:
                for name in ("one", "two", "three"):
                    await scope.get(name)
                raise body
        except BaseException as raised:
            caught = raised

    assert caught is body
    assert journal == [f"{name} rolls back for body" for name in ("three", "two", "one")]


async def test_without_a_body_error_transactions_commit():
    """
    Where the body ends well nothing is thrown in.
    """
    App, journal = fresh_app(), Journal()
    App.register_dependency("one", transaction(journal, "one", "raise"), lifetime="scoped")
    async with Container(App) as container, container.scope() as scope:
        await scope.get("one")

    assert journal == ["one commits"]


async def test_one_finalizers_error_is_not_thrown_into_the_next():
    """
    An error of a finalizer does not make the next one roll back.
    """
    App, journal = fresh_app(), Journal()

    async def failing():
        yield "failing"
        raise ValueError("in a finalizer")

    App.register_dependency("session", transaction(journal, "session", "raise"), lifetime="scoped")
    App.register_dependency("failing", failing, lifetime="scoped")
    async with Container(App) as container:
        with pytest.raises(FinalizationErrors):
            async with container.scope() as scope:
                await scope.gather("session", "failing")

    assert journal == ["session commits"]


async def test_a_scoped_generator_lives_in_one_task_and_context():
    """
    Set-up and teardown of a scoped generator share their task and context: a context variable can be reset.
    """
    App, variable, tasks = fresh_app(), contextvars.ContextVar("variable", default="outside"), []

    async def make():
        token = variable.set("inside")
        tasks.append(asyncio.current_task())
        yield "value"
        tasks.append(asyncio.current_task())
        variable.reset(token)

    App.register_dependency("value", make, lifetime="scoped")
    async with Container(App) as container:
        async with container.scope() as scope:
            await scope.get("value")
            within = variable.get()
        after = variable.get()

    assert (within, after) == ("inside", "outside")
    assert tasks[0] is tasks[1] is asyncio.current_task()


async def test_an_async_generator_singleton_lives_in_one_task():
    """
    A singleton's generator is entered and exited in the same task, whoever asked first and whoever closes.
    """
    App, tasks = fresh_app(), []

    @asynccontextmanager
    async def strict():
        # A cancel scope as anyio's refuses to be left in another task than the one that entered it.
        mine = asyncio.current_task()
        tasks.append(mine)
        yield
        assert asyncio.current_task() is mine
        tasks.append(mine)

    async def part():
        async with strict():
            yield "part"

    async def whole(part):
        async with strict():
            yield [part]

    App.register_dependency("part", part, lifetime="transient")
    App.register_dependency("whole", whole)
    container = Container(App)
    await asyncio.create_task(container.get("whole"))
    await asyncio.create_task(container.aclose())

    assert len(tasks) == 4
    assert len(set(tasks)) == 1


async def test_a_timeout_scope_can_be_held_by_a_singleton():
    """
    `asyncio.timeout` and `asyncio.TaskGroup`, which belong to one task, may be held open by a generator.
    """
    App, ran = fresh_app(), []

    async def make():
        async with asyncio.timeout(5), asyncio.TaskGroup() as group:
            yield group

    App.register_dependency("group", make)
    container = Container(App)
    group = await asyncio.create_task(container.get("group"))

    async def work():
        ran.append("work")

    group.create_task(work())
    await asyncio.create_task(container.aclose())

    assert ran == ["work"]


async def test_services_are_started_and_shut_down():
    """
    `on_shutdown` runs if and only if `on_startup` returned, at its place in the order.
    """
    App, journal, fail = fresh_app(), Journal(), [True]

    class Worker(AsyncServiceBase):
        async def on_startup(self):
            if fail[0]:
                raise ValueError("worker")
            journal.append("+worker")

        async def on_shutdown(self):
            journal.append("-worker")

    def low(worker: Worker):
        with journal.noting("user"):
            yield worker

    App.register_dependency("user", low)
    async with Container(App) as container:
        first = await outcome(container.get("user"))
        fail[0] = False
        await container.get("user")

    assert isinstance(first, ValueError)
    assert journal == ["+worker", "+user", "-user", "-worker"]


async def test_values_of_the_user_are_not_closed():
    """
    Registered values and context values are handed over and left alone.
    """
    touched = []

    class Resource:
        def __getattr__(self, name):
            raise AssertionError(f"looked at .{name}")

        async def __aenter__(self):
            touched.append("entered")

        async def __aexit__(self, *args):
            touched.append("left")

        async def aclose(self):
            touched.append("aclose")

        def close(self):
            touched.append("close")

    App = fresh_app(context=["given"])
    App.register_value("value", Resource())
    async with Container(App) as container:
        async with container.scope({"given": Resource()}) as scope:
            values = await scope.gather("value", "given")

    assert all(type(value) is Resource for value in values)
    assert touched == []


async def test_context_managers_that_functions_make_are_set_up_and_torn_down():
    """
    Functions decorated with `contextmanager` and `asynccontextmanager` are factories of what they yield.
    """
    App, journal = fresh_app(), Journal()

    @contextmanager
    def sync():
        with journal.noting("sync"):
            yield "sync"

    @asynccontextmanager
    async def async_(sync):
        with journal.noting("async"):
            yield [sync]

    App.register_dependency("sync", sync)
    App.register_dependency("async", async_)
    async with Container(App) as container:
        value = await container.get("async")

    assert value == ["sync"]
    assert journal == ["+sync", "+async", "-async", "-sync"]


def test_sync_closing_runs_all_finalizers():
    """
    A sync container closes in reverse order and raises everything that its finalizers raised.
    """
    App, journal = fresh_app(), Journal()

    def make(name, error):
        def factory():
            with journal.noting(name):
                yield name
                if error:
                    raise error

        return factory

    errors = {"b": ValueError("b"), "a": KeyError("a")}
    for name in ("a", "b", "c"):
        App.register_dependency(name, make(name, errors.get(name)))
    with pytest.raises(FinalizationErrors) as caught:
        with Container(App) as container:
            for name in ("a", "b", "c"):
                container.get_nowait(name)

    assert journal.closed == ["c", "b", "a"]
    assert list(caught.value.exceptions) == [errors["b"], errors["a"]]


async def test_a_sync_close_with_async_finalizers_pending_closes_nothing():
    """
    `close()` raises before it closes anything when a finalizer has to be awaited; `aclose()` then closes all.
    """
    App, journal = fresh_app(), Journal()

    def sync():
        with journal.noting("sync"):
            yield "sync"

    async def coroutine(sync):
        with journal.noting("async"):
            yield [sync]

    App.register_dependency("sync", sync)
    App.register_dependency("async", coroutine)
    container = Container(App)
    await container.get("async")
    with pytest.raises(AsyncDependencyError):
        container.close()
    untouched = list(journal)
    value = await container.get("async")
    await container.aclose()

    assert untouched == ["+sync", "+async"]
    assert value == ["sync"]
    assert journal == ["+sync", "+async", "-async", "-sync"]


async def test_transient_resources_belong_to_the_scope_that_made_them():
    """
    A transient resource lives as long as the scope, or the singleton's container, that it was made for.
    """
    App, journal = fresh_app(), Journal()
    numbers = iter(range(10))

    def part():
        with journal.noting(f"part{next(numbers)}"):
            yield "part"

    App.register_dependency("part", part, lifetime="transient")
    App.register_dependency("holder", lambda part: [part])
    async with Container(App) as container:
        async with container.scope() as scope:
            await scope.get("holder")  # part0, the container's
            await scope.get("part")  # part1, the scope's
        after_scope = list(journal.closed)

    assert after_scope == ["part1"]
    assert journal.closed == ["part1", "part0"]


async def test_a_request_closes_what_it_made():
    """
    `container.request` opens a scope for one value and closes it with the block, throwing the body's error in.
    """
    App, journal = fresh_app(), Journal()
    App.register_dependency("session", transaction(journal, "session", "raise"), lifetime="scoped")
    App.register_dependency("handler", lambda session: ["handler", session], lifetime="scoped")
    async with Container(App) as container:
        async with container.request("handler") as handler:
            pass
        with pytest.raises(LookupError):
            async with container.request("handler"):
                raise LookupError("body")

    assert handler == ["handler", "session"]
    assert journal == ["session commits", "session rolls back for body"]


async def test_the_scope_of_a_service_is_found():
    """
    `Scope.of` gives the scope that made a service.
    """
    App = fresh_app()

    class Handler(AsyncServiceBase, lifetime="scoped"):
        pass

    async with Container(App) as container, container.scope() as scope:
        handler = await scope.get(Handler)
        found = Scope.of(handler)

    assert found is scope


def grouped(error, depth):
    """Return *error* in so many groups, each around the one before."""
    for _ in range(depth):
        error = BaseExceptionGroup("of a task group", [error])
    return error


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_a_group_around_what_was_thrown_in_is_nothing_new(kind, depth):
    """
    A generator that raises the body's exception again in a group that holds nothing else has raised nothing: no note, no context.
    """
    App, met = fresh_app(), LookupError("no such book")

    async def workers():
        try:
            yield "workers"
        except LookupError as error:
            raise grouped(error, depth) from None

    def workers_nowait():
        try:
            yield "workers"
        except LookupError as error:
            raise grouped(error, depth) from None

    App.register_dependency("workers", workers if kind == "async" else workers_nowait, lifetime="scoped")
    async with Container(App) as container:
        with pytest.raises(LookupError) as caught:
            async with container.scope() as scope:
                await scope.get("workers")
                raise met

    assert caught.value is met
    assert not getattr(met, "__notes__", ())
    assert met.__context__ is None


async def test_a_group_with_something_else_in_it_is_an_error_of_its_own():
    """
    Where a task of the group failed, too, that is told.
    """
    App = fresh_app()

    async def workers():
        try:
            yield "workers"
        except LookupError as error:
            raise BaseExceptionGroup("of a task group", [error, OSError("a task")]) from None

    App.register_dependency("workers", workers, lifetime="scoped")
    async with Container(App) as container:
        with pytest.raises(LookupError) as caught:
            async with container.scope() as scope:
                await scope.get("workers")
                raise LookupError("no such book")

    assert any(isinstance(one, OSError) for one in leaves(caught.value))


async def test_a_task_group_around_a_yield_leaves_the_bodys_exception_alone():
    """
    A factory that holds an asyncio.TaskGroup around its yield lets the body's own exception pass.
    """
    App, met = fresh_app(), LookupError("no such book")

    async def workers():
        async with asyncio.TaskGroup():
            yield "workers"

    App.register_dependency("workers", workers, lifetime="scoped", concurrent=True)
    async with Container(App) as container:
        with pytest.raises(LookupError) as caught:
            async with container.request("workers"):
                raise met

    assert caught.value is met
    assert not getattr(met, "__notes__", ())


@pytest.mark.parametrize("waits", [False, True], ids=["generator", "async generator"])
@pytest.mark.parametrize(("raised", "new"), [
    (lambda error: ExceptionGroup("twice", [error, ExceptionGroup("within", [error])]), False),
    (lambda error: ExceptionGroup("more", [error, ValueError("mine")]), True),
    (lambda error: ExceptionGroup("more", [ExceptionGroup("within", [error]), ValueError("mine")]), True),
])  # fmt: skip
async def test_a_group_of_nothing_but_the_body_s_error_is_nothing_new(raised, new, waits):
    """
    What a finalizer makes of the error that was thrown in is told where there is something of its own in it.
    """
    App = fresh_app()

    def plain():
        try:
            yield
        except OSError as error:
            raise raised(error) from None

    async def waiting():
        try:
            yield
        except OSError as error:
            raise raised(error) from None

    App.register_dependency("value", waiting if waits else plain, lifetime="scoped")
    async with Container(App) as container:
        with pytest.raises(OSError, match="the body's") as caught:
            async with container.scope() as scope:
                await scope.get("value")
                raise OSError("the body's")

    assert ["ExceptionGroup: more" in note for note in getattr(caught.value, "__notes__", [])] == [True] * new


@pytest.mark.parametrize("turns", [0, 3], ids=["at once", "a few turns later"])
@pytest.mark.parametrize("way", ["call", "block"])
async def test_what_fails_in_a_call_that_ends_while_its_container_closes_is_told_to_the_call(way, turns):
    """
    A task that is cancelled, and comes out only as its container has begun to close, hears what its finalizers raised.
    """
    App = fresh_app()

    async def session():
        try:
            yield "session"
        finally:
            raise OSError("no commit")

    App.register_dependency("session", session, lifetime="scoped")
    container = Container(App)

    async def body():
        try:
            await asyncio.Event().wait()
        finally:
            for _ in range(turns):
                await asyncio.sleep(0)

    async def work(session: Annotated[str, Inject("session")]):
        await body()

    async def block():
        async with container.request("session"):
            await body()

    call = container.inject(work) if way == "call" else block
    async with container:
        for closes in (False, False, False, True):  # cold, and by generated code
            task = asyncio.create_task(call())
            await settled()
            task.cancel()
            await (container.aclose() if closes else outcome(task))
        error = await outcome(task)

    assert isinstance(error, asyncio.CancelledError)
    assert [str(one) for one in leaves(error) if isinstance(one, OSError)] == ["no commit"]


@pytest.mark.parametrize("waits", [False, True], ids=["close", "aclose"])
async def test_what_an_open_scope_and_its_container_raise_is_all_told(waits):
    """
    A container that closes with a scope open in it loses neither that one's errors nor its own.
    """

    def fails(name):
        def factory():
            try:
                yield name
            finally:
                raise OSError(name)

        return factory

    App = fresh_app()
    App.register_dependency("kept", fails("kept"))
    App.register_dependency("scoped", fails("scoped"), lifetime="scoped")
    container = Container(App)
    scope = container.scope()
    container.get_nowait("kept")
    scope.__enter__()
    scope.get_nowait("scoped")

    with pytest.warns(ResourceWarning, match="was still open"), pytest.raises(FinalizationErrors) as caught:
        if waits:
            await container.aclose()
        else:
            container.close()

    assert [str(error) for error in caught.value.exceptions] == ["kept", "scoped"]


@pytest.mark.parametrize("there", [True, False], ids=["was there", "came later"])
async def test_who_only_puts_away_what_was_undone_is_told_nothing(there):
    """
    A scope that was undone has failed for a task that was there by then, and not for one that was begun afterwards.
    """
    App = fresh_app()
    App.register_dependency("value", value, lifetime="scoped")
    container, over = Container(App), asyncio.Event()
    scope = container.scope()
    await scope.__aenter__()
    await scope.get("value")

    async def ends():
        await over.wait()
        await scope.__aexit__(None, None, None)

    ending = asyncio.create_task(ends()) if there else None
    await settled()
    with pytest.warns(ResourceWarning, match="was still open"):
        await asyncio.create_task(container.aclose())
    over.set()
    error = await outcome(ending or asyncio.create_task(ends()))

    assert type(error) is (ClosedError if there else type(None))


def value():
    yield "value"
