"""What does a container do from the moment it is made until it is closed?"""

import asyncio
import contextlib
import contextvars
import gc
import threading
import warnings
import weakref

import pytest
from helpers import settled

from asyncmeta import (
    AsyncDependencyDescriptor,
    AsyncDependencyError,
    AsyncMetaError,
    AsyncServiceBase,
    CircularDependencyError,
    ClosedError,
    Container,
    ContainerError,
    FinalizationErrors,
    Lazy,
    MissingDependencyError,
    Scope,
    ScopeError,
    WrongLoopError,
    inject_dependency,
)


class Thing:
    """Something to build."""


def fresh_app(**keywords):
    """Return a service class of its own."""

    class App(AsyncServiceBase, **keywords):
        pass

    return App


def resource(name, steps, kind="async"):
    """Return a generator factory that notes when it opens and closes."""

    def open_now():
        steps.append(f"open {name}")
        try:
            yield name
        finally:
            steps.append(f"close {name}")

    async def open_later():
        steps.append(f"open {name}")
        try:
            yield name
        finally:
            steps.append(f"close {name}")

    return open_later if kind == "async" else open_now


# --- getting -------------------------------------------------------------------------------------


async def test_a_container_works_as_soon_as_it_is_made():
    """
    A container need not be entered to be used.
    """
    App = fresh_app()
    App.register_dependency("thing", lambda: Thing())

    container = Container(App)

    assert await container.get("thing") is await container.get("thing")


async def test_get_builds_only_what_is_needed():
    """
    A get builds its key and what that needs, dependencies first, and nothing else.
    """
    built = []
    App = fresh_app()
    App.register_dependency("a", lambda: built.append("a"))
    App.register_dependency("b", lambda a: built.append("b"))
    App.register_dependency("c", lambda b, a: built.append("c"))
    App.register_dependency("d", lambda: built.append("d"))

    await Container(App).get("c")

    assert built == ["a", "b", "c"]


async def test_a_diamond_is_built_once():
    """
    A value that several need is built once and shared.
    """
    App = fresh_app()
    App.register_dependency("base", lambda: Thing())
    App.register_dependency("left", lambda base: (base,))
    App.register_dependency("right", lambda base: (base,))
    App.register_dependency("top", lambda left, right: (left, right))

    left, right = await Container(App).get("top")

    assert left[0] is right[0]


async def test_get_nowait_gives_what_needs_no_waiting():
    """
    A sync graph can be had without awaiting, also inside of a running loop.
    """
    App = fresh_app()
    App.register_dependency("thing", lambda: Thing())
    App.register_dependency("pair", lambda thing: (thing,))
    container = Container(App)

    pair = container.get_nowait("pair")

    assert pair[0] is await container.get("thing")


async def test_get_nowait_gives_what_is_built():
    """
    An async value can be had without awaiting once it is built; before that it is an AsyncDependencyError.
    """
    App = fresh_app()

    @inject_dependency("thing", on=App)
    async def make():
        return "thing"

    container = Container(App)

    with pytest.raises(AsyncDependencyError, match="thing"):
        container.get_nowait("thing")
    await container.get("thing")

    assert container.get_nowait("thing") == "thing"


async def test_a_getter_gives_what_get_gives():
    """
    A getter is get for one token, made once.
    """
    App = fresh_app()
    App.register_dependency("thing", lambda: Thing())
    App.register_dependency("passing", lambda: Thing(), lifetime="transient")
    container = Container(App)

    thing, passing = container.getter("thing"), container.getter("passing")

    assert await thing() is await thing() is await container.get("thing")
    assert await passing() is not await passing()


async def test_a_getter_follows_registrations():
    """
    A getter made before its key was registered finds it afterwards.
    """
    App = fresh_app()
    App.register_dependency("thing", lambda: "old")
    container = Container(App)
    getter = container.getter("thing")
    App.register_dependency("thing", lambda: "new")

    assert await getter() == "new"


async def test_a_getter_follows_closing():
    """
    A getter of a closed container raises, and works again when the container is entered again.
    """
    App = fresh_app()
    App.register_dependency("thing", lambda: Thing())
    container = Container(App)
    async with container:
        getter = container.getter("thing")
        first = await getter()

    with pytest.raises(ClosedError):
        await getter()
    async with container:
        assert await getter() is not first
        assert await getter() is await container.get("thing")


async def test_a_container_gathers():
    """
    Several keys can be asked for at once, in the order in which they are named.
    """
    App = fresh_app()
    begun = {name: asyncio.Event() for name in "ab"}

    @inject_dependency("a", on=App)
    async def make_a():
        begun["a"].set()
        await begun["b"].wait()  # comes only if b is built at the same time
        return "A"

    @inject_dependency("b", on=App)
    async def make_b():
        begun["b"].set()
        await begun["a"].wait()
        return "B"

    App.register_value("c", "C")

    assert await asyncio.wait_for(Container(App).gather("c", "b", "a"), 5) == ("C", "B", "A")


async def test_a_container_is_a_scope():
    """
    A container has the face of a scope, and is its own container.
    """
    container = Container(fresh_app())

    assert isinstance(container, Scope)
    assert container.container is container
    assert container.closed is False
    assert container.level == "singleton"


@pytest.mark.parametrize("kind", ["value", "sync", "async", "generator", "async generator", "scoped"])
@pytest.mark.parametrize(
    "name",
    ["none", "zero", "empty text", "list", "class", "function", "coroutine function", "future", "manager", "hostile"],
)
async def test_values_are_opaque(kind, name):
    """
    Whatever a factory gives is handed over as it is: never called, awaited, entered, compared or asked for its truth.
    """

    class Hostile:
        def __eq__(self, other):
            raise AssertionError("compared")

        def __bool__(self):
            raise AssertionError("asked for truth")

        def __len__(self):
            raise AssertionError("measured")

        def __await__(self):
            raise AssertionError("awaited")

        def __enter__(self):
            raise AssertionError("entered")

        def __exit__(self, *args):
            raise AssertionError("left")

        def __call__(self):
            raise AssertionError("called")

        __hash__ = None

    async def later(): ...

    value = {
        "none": None,
        "zero": 0,
        "empty text": "",
        "list": [],
        "class": Thing,
        "function": lambda: 1,
        "coroutine function": later,
        "future": asyncio.get_running_loop().create_future(),
        "manager": contextlib.nullcontext(),
        "hostile": Hostile(),
    }[name]
    calls = []
    App = fresh_app()

    def make():
        calls.append(1)
        return value

    async def make_later():
        calls.append(1)
        return value

    def generate():
        calls.append(1)
        yield value

    async def generate_later():
        calls.append(1)
        yield value

    if kind == "value":
        App.register_value("thing", value)
    else:
        kinds = {
            "sync": make,
            "scoped": make_later,
            "async": make_later,
            "generator": generate,
            "async generator": generate_later,
        }
        App.register_dependency("thing", kinds[kind], lifetime="scoped" if kind == "scoped" else "singleton")
    App.register_dependency("holder", lambda thing: [thing], lifetime="transient")

    async with Container(App) as container, container.scope() as scope:
        got = [await scope.get("thing"), await scope.get("thing"), (await scope.get("holder"))[0]]

    assert all(one is value for one in got)
    assert len(calls) == (kind != "value")


# --- one value, built once -----------------------------------------------------------------------


async def test_tasks_share_one_build():
    """
    Any number of tasks that ask at the same time wait for one construction.
    """
    begun, go_on, built = asyncio.Event(), asyncio.Event(), []
    App = fresh_app()

    @inject_dependency("thing", on=App)
    async def make():
        built.append(1)
        begun.set()
        await go_on.wait()
        return Thing()

    container = Container(App)
    tasks = [asyncio.create_task(container.get("thing")) for _ in range(100)]
    await asyncio.wait_for(begun.wait(), 5)
    go_on.set()
    things = await asyncio.gather(*tasks)

    assert len(built) == 1
    assert all(thing is things[0] for thing in things)


async def test_a_cancelled_caller_only_stops_waiting():
    """
    When the task that began a build is cancelled, the build goes on for the other who waits.
    """
    begun, go_on, built = asyncio.Event(), asyncio.Event(), []
    App = fresh_app()

    @inject_dependency("thing", on=App)
    async def make():
        built.append(1)
        begun.set()
        await go_on.wait()
        return "thing"

    container = Container(App)
    first = asyncio.create_task(container.get("thing"))
    await asyncio.wait_for(begun.wait(), 5)
    second = asyncio.create_task(container.get("thing"))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    go_on.set()

    assert await second == "thing"
    assert built == [1]


async def test_a_failure_reaches_everybody_and_is_not_cached():
    """
    Who waits for a build that fails gets its one exception; the next call tries again.
    """
    begun, go_on, error, fail = asyncio.Event(), asyncio.Event(), OSError("down"), [True]
    App = fresh_app()

    @inject_dependency("thing", on=App)
    async def make():
        begun.set()
        await go_on.wait()
        if fail:
            fail.clear()
            raise error
        return "thing"

    container = Container(App)
    tasks = [asyncio.create_task(container.get("thing")) for _ in range(3)]
    await asyncio.wait_for(begun.wait(), 5)
    await asyncio.sleep(0)
    go_on.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)

    assert all(result is error for result in results)
    assert await container.get("thing") == "thing"


async def test_what_was_built_before_a_failure_stays():
    """
    When one factory fails, what it needed stays built, and is closed in turn.
    """
    steps, fail = [], [True]
    App = fresh_app()
    App.register_dependency("base", resource("base", steps))

    @inject_dependency("top", on=App)
    async def make(base):
        if fail:
            fail.clear()
            raise OSError("down")
        return "top"

    async with Container(App) as container:
        with pytest.raises(OSError, match="down"):
            await container.get("top")
        assert await container.get("top") == "top"

    assert steps == ["open base", "close base"]


async def test_a_factory_that_asks_for_itself_is_told():
    """
    A factory that asks its container for its own key is a circle, told at once instead of hanging.
    """
    App = fresh_app()

    @inject_dependency("self", on=App)
    async def make(container: Container):
        return await container.get("self")

    async with Container(App) as container:
        with pytest.raises(CircularDependencyError, match="self"):
            await asyncio.wait_for(container.get("self"), 5)


async def test_a_circle_at_run_time_across_tasks_is_told():
    """
    Two factories that ask for each other, entered from both ends, do not hang.
    """
    App = fresh_app()
    both = asyncio.Barrier(2)

    @inject_dependency("a", on=App)
    async def make_a(container: Container):
        await both.wait()
        return await container.get("b")

    @inject_dependency("b", on=App)
    async def make_b(container: Container):
        await both.wait()
        return await container.get("a")

    async with Container(App) as container:
        results = await asyncio.wait_for(asyncio.gather(container.get("a"), container.get("b"), return_exceptions=True), 5)

    assert any(isinstance(result, CircularDependencyError) for result in results)
    assert all(isinstance(result, BaseException) for result in results)


async def test_a_circle_of_a_handle_is_told_what_helps():
    """
    Who awaits a ``Lazy`` while it is being made needs no other handle, but to await it later.
    """

    class Books: ...

    class Authors:
        def __init__(self, books: Books): ...

    async def books(authors: Lazy[Authors]) -> Books:
        await authors
        return Books()

    App = fresh_app(providers=[Authors, books])

    async with Container(App) as container:
        with pytest.raises(CircularDependencyError, match="ask later, in a method") as caught:
            await asyncio.wait_for(container.get(Books), 5)

    assert "annotate the parameter" not in str(caught.value)


async def test_a_circle_at_run_time_names_its_members():
    """
    A circle that only an on_startup closes is told with everything on its way.
    """

    class App(AsyncServiceBase):
        users = AsyncDependencyDescriptor("users")

        async def on_startup(self):
            await self.users

    class Users(AsyncServiceBase):
        def __init__(self, app: App): ...

    App.register_dependency("users", Users)

    async with Container(App) as container:
        with pytest.raises(CircularDependencyError) as caught:
            await asyncio.wait_for(container.get(App), 5)

    assert caught.value.path[0] == caught.value.path[-1] == "App"
    assert any('"users"' in step for step in caught.value.path)


async def test_a_factory_may_ask_for_something_else():
    """
    A factory that asks its container for another key gets it.
    """
    App = fresh_app()

    @inject_dependency("other", on=App)
    async def make_other():
        await asyncio.sleep(0)
        return "other"

    @inject_dependency("thing", on=App)
    async def make(container: Container):
        return f"thing with {await container.get('other')}"

    async with Container(App) as container:
        assert await asyncio.wait_for(container.get("thing"), 5) == "thing with other"


# --- owned tasks ---------------------------------------------------------------------------------


async def test_an_async_generator_is_entered_and_left_in_one_task():
    """
    The task in which an async generator opened is the one in which it closes.
    """
    tasks = []
    App = fresh_app()

    @inject_dependency("thing", on=App)
    async def make():
        tasks.append(asyncio.current_task())
        yield
        tasks.append(asyncio.current_task())

    async with Container(App) as container:
        await asyncio.create_task(container.get("thing"))

    assert tasks[0] is tasks[1]


async def test_a_task_group_may_be_held():
    """
    A factory may yield inside of a task group and of a timeout.
    """
    App = fresh_app()
    done = []

    @inject_dependency("group", on=App)
    async def make():
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            yield group
        done.append("left")

    async def work():
        done.append("worked")

    async with Container(App) as container:
        group = await asyncio.create_task(container.get("group"))
        group.create_task(work())

    assert done == ["worked", "left"]


async def test_a_build_has_the_context_of_its_first_caller():
    """
    A singleton is built in a copy of the first caller's context.
    """
    user = contextvars.ContextVar("user", default="nobody")
    App = fresh_app()

    @inject_dependency("thing", on=App)
    async def make():
        seen = user.get()
        user.set("changed")
        return seen

    user.set("ada")

    assert await Container(App).get("thing") == "ada"
    assert user.get() == "ada"


# --- closing -------------------------------------------------------------------------------------


async def test_finalizers_run_in_reverse_order():
    """
    Sync and async resources are closed together, in the exact reverse of the order in which they were completed.
    """
    steps = []
    App = fresh_app()
    for name, kind in (("a", "async"), ("b", "sync"), ("c", "async"), ("d", "sync")):
        App.register_dependency(name, resource(name, steps, kind))

    async with Container(App) as container:
        for name in "cabd":
            await container.get(name)

    assert steps == [*(f"open {name}" for name in "cabd"), *(f"close {name}" for name in "dbac")]


async def test_closing_twice_at_once_is_one_closing():
    """
    Two tasks that close at the same time both return when the one closing is done.
    """
    steps, begun, go_on = [], asyncio.Event(), asyncio.Event()
    App = fresh_app()

    @inject_dependency("thing", on=App)
    async def make():
        yield "thing"
        begun.set()
        await go_on.wait()
        steps.append("closed")

    container = Container(App)
    await container.get("thing")
    first = asyncio.create_task(container.aclose())
    await asyncio.wait_for(begun.wait(), 5)
    second = asyncio.create_task(container.aclose())
    await asyncio.sleep(0)
    waiting = (first.done(), second.done())
    go_on.set()
    await asyncio.gather(first, second)

    assert waiting == (False, False)
    assert steps == ["closed"]


@pytest.mark.parametrize(
    "use", ["get", "get_nowait", "getter", "scope", "request", "start", "gather", "known getter", "open scope"]
)
async def test_a_closed_container_is_closed_for_everything(use):
    """
    After closing every use of a container, its scopes and its getters is a ClosedError, for plain values too.
    """
    App = fresh_app()
    App.register_value("thing", "thing")
    container = Container(App)
    async with container:
        getter = container.getter("thing")
        assert await getter() == "thing"
        async with container.scope() as scope:
            await scope.get("thing")

    async def ask(scope):
        async with scope:
            await scope.get("thing")

    async def enter(request):
        async with request:
            pass

    uses = {
        "get": lambda: container.get("thing"),
        "get_nowait": lambda: container.get_nowait("thing"),
        "getter": lambda: container.getter("thing")(),
        "scope": lambda: ask(container.scope()),
        "request": lambda: enter(container.request("thing")),
        "start": container.start,
        "gather": lambda: container.gather("thing"),
        "known getter": getter,
        "open scope": lambda: scope.get("thing"),
    }

    with pytest.raises(ClosedError):
        await uses[use]()


async def test_reopening_starts_empty():
    """
    A container may be entered again after it was closed, and builds everything anew.
    """
    steps = []
    App = fresh_app()
    App.register_dependency("thing", resource("thing", steps))
    App.register_dependency("plain", lambda: Thing())
    container = Container(App)

    plain = []
    for _ in range(2):
        async with container:
            await container.get("thing")
            plain.append(await container.get("plain"))

    assert steps == ["open thing", "close thing"] * 2
    assert plain[0] is not plain[1]


async def test_builds_in_flight_are_cancelled_by_closing():
    """
    A build that is under way when the container closes is cancelled, and who waits is told.
    """
    begun, ended = asyncio.Event(), []
    App = fresh_app()

    @inject_dependency("thing", on=App)
    async def make():
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(1)

    container = Container(App)
    task = asyncio.create_task(container.get("thing"))
    await asyncio.wait_for(begun.wait(), 5)

    await asyncio.wait_for(container.aclose(), 5)

    assert ended == [1]
    with pytest.raises(ClosedError):
        await task


async def test_no_singleton_is_closed_before_an_open_scope():
    """
    Scopes that are still open when their container closes are closed by it first, with a ResourceWarning.
    """
    steps = []
    App = fresh_app()
    App.register_dependency("long", resource("long", steps))

    @inject_dependency("short", on=App, lifetime="scoped")
    async def make(long):
        steps.append("open short")
        try:
            yield
        finally:
            steps.append("close short")

    container = Container(App)
    scope = container.scope()
    await scope.__aenter__()
    await scope.get("short")

    with pytest.warns(ResourceWarning):
        await container.aclose()

    assert steps == ["open long", "open short", "close short", "close long"]
    assert scope.closed


async def test_closing_from_a_factory_is_an_error():
    """
    A factory that closes its own container is told, and the container goes on.
    """
    App = fresh_app()

    @inject_dependency("bad", on=App)
    async def make(container: Container):
        await container.aclose()

    App.register_value("fine", "fine")
    async with Container(App) as container:
        with pytest.raises(ContainerError) as caught:
            await asyncio.wait_for(container.get("bad"), 5)

        assert await container.get("fine") == "fine"

    assert type(caught.value) is ContainerError
    assert container.closed


async def test_closing_from_a_finalizer_does_nothing():
    """
    A finalizer that closes its own container does not wait for itself.
    """
    steps = []
    App = fresh_app()

    @inject_dependency("thing", on=App)
    async def make(container: Container):
        yield
        await container.aclose()
        steps.append("closed")

    container = Container(App)
    await container.get("thing")

    await asyncio.wait_for(container.aclose(), 5)

    assert steps == ["closed"]


async def test_the_body_s_error_is_thrown_in():
    """
    The body's exception is thrown into the generators, and propagates whatever they do with it.
    """
    seen = []
    error = OSError("body")
    App = fresh_app()

    @inject_dependency("sync", on=App)
    def swallow():
        try:
            yield
        except OSError as caught:
            seen.append(caught)

    @inject_dependency("async", on=App)
    async def reraise():
        try:
            yield
        except OSError as caught:
            seen.append(caught)
            raise

    with pytest.raises(OSError, match="body") as caught:
        async with Container(App) as container:
            await container.get("sync")
            await container.get("async")
            raise error

    assert caught.value is error
    assert seen == [error, error]


async def test_the_body_s_error_wins_over_a_finalizer_s():
    """
    When the body and a finalizer fail, the body's exception propagates and the finalizer's is reachable from it.
    """
    App = fresh_app()

    @inject_dependency("thing", on=App)
    async def make():
        try:
            yield
        finally:
            raise ValueError("finalizer")

    with pytest.raises(OSError, match="body") as caught:
        async with Container(App) as container:
            await container.get("thing")
            raise OSError("body")

    chain, error = [], caught.value
    while error is not None:
        chain.append(error)
        error = error.__context__
    assert isinstance(chain[-1], FinalizationErrors)
    assert [str(one) for one in chain[-1].exceptions] == ["finalizer"]
    assert "finalizer" in "\n".join(caught.value.__notes__)


async def test_leaving_returns_nothing():
    """
    Neither a container nor a scope swallows the body's exception.
    """
    container = Container(fresh_app())
    async with container:
        scope = container.scope()
        await scope.__aenter__()

        assert await scope.__aexit__(None, None, None) is None
    await container.__aenter__()
    assert await container.__aexit__(None, None, None) is None


# --- without a loop ------------------------------------------------------------------------------


def test_a_sync_graph_works_without_a_loop():
    """
    A graph of sync factories is used with plain `with`, scopes included.
    """
    steps = []
    App = fresh_app()
    App.register_dependency("long", resource("long", steps, "sync"))

    @inject_dependency("short", on=App, lifetime="scoped")
    def make(long):
        steps.append("open short")
        yield f"short of {long}"
        steps.append("close short")

    with Container(App) as container:
        with container.scope() as scope:
            assert scope.get_nowait("short") == "short of long"
            assert scope.get_nowait("short") is scope.get_nowait("short")
        steps.append("between")
        with container.request("short") as short:
            assert short == "short of long"

    assert steps == [
        "open long",
        "open short",
        "close short",
        "between",
        "open short",
        "close short",
        "close long",
    ]
    with pytest.raises(ClosedError):
        container.get_nowait("long")


def test_an_async_factory_is_told_only_when_it_is_asked_for():
    """
    A plain `with` opens a graph that has async factories; asking for one is the error.
    """
    App = fresh_app()

    @inject_dependency("later", on=App)
    async def make(): ...

    App.register_value("now", "now")

    with Container(App) as container:
        assert container.get_nowait("now") == "now"
        with pytest.raises(AsyncDependencyError):
            container.get_nowait("later")


async def test_close_refuses_what_has_to_be_awaited():
    """
    A plain close with async finalizers pending raises before it closes anything; aclose then closes all.
    """
    steps = []
    App = fresh_app()
    App.register_dependency("sync", resource("sync", steps, "sync"))
    App.register_dependency("async", resource("async", steps))
    container = Container(App)
    await container.get("async")
    await container.get("sync")

    with pytest.raises(AsyncMetaError, match="aclose"):
        container.close()
    before = list(steps)

    assert await container.get("sync") == "sync"
    await container.aclose()
    assert before == ["open async", "open sync"]
    assert steps == ["open async", "open sync", "close sync", "close async"]


def test_close_closes_a_sync_graph():
    """
    A plain close runs the sync finalizers, once.
    """
    steps = []
    App = fresh_app()
    App.register_dependency("thing", resource("thing", steps, "sync"))
    container = Container(App)
    container.get_nowait("thing")

    container.close()
    container.close()

    assert steps == ["open thing", "close thing"]


def test_threads_build_once():
    """
    Threads that ask at the same time get one value.
    """
    App = fresh_app()
    built = []
    together = threading.Barrier(8)

    @inject_dependency("thing", on=App)
    def make():
        built.append(1)
        return Thing()

    container = Container(App)
    got = []

    def ask():
        together.wait()
        got.append(container.get_nowait("thing"))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert built == [1]
    assert len({id(thing) for thing in got}) == 1


# --- loops ---------------------------------------------------------------------------------------


def test_one_loop_after_another():
    """
    A container may be used by a second loop after the first has closed; plain values stay.
    """
    App = fresh_app()

    @inject_dependency("thing", on=App)
    async def make():
        return Thing()

    container = Container(App)

    first = asyncio.run(container.get("thing"))
    second = asyncio.run(container.get("thing"))

    assert first is second


def test_a_value_that_died_with_its_loop_is_made_anew():
    """
    An async resource is retired at the end of its loop, and built again in the next one.
    """
    steps = []
    App = fresh_app()
    App.register_dependency("thing", resource("thing", steps))
    container = Container(App)

    async def use():
        assert await container.get("thing") == "thing"

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        asyncio.run(use())
        asyncio.run(use())

    assert steps == ["open thing", "close thing"] * 2


def test_two_living_loops_are_told_apart():
    """
    Building from a second living loop is a WrongLoopError; reading what is built is not.
    """
    App = fresh_app()

    @inject_dependency("built", on=App)
    async def make_built():
        return "built"

    @inject_dependency("fresh", on=App)
    async def make_fresh(): ...

    container = Container(App)
    failures = []

    async def in_second():
        assert container.get_nowait("built") == "built"
        try:
            await container.get("fresh")
        except WrongLoopError as error:
            failures.append(str(error))

    async def main():
        await container.get("built")
        thread = threading.Thread(target=asyncio.run, args=(in_second(),))
        thread.start()
        await asyncio.to_thread(thread.join)

    asyncio.run(main())

    assert len(failures) == 1
    assert "loop" in failures[0]


# --- what is left behind -------------------------------------------------------------------------


async def test_a_dropped_container_is_freed():
    """
    A container without pending finalizers is freed with its values, without a word.
    """
    App = fresh_app()
    App.register_dependency("thing", lambda: Thing())
    container = Container(App)
    gone = [weakref.ref(container), weakref.ref(await container.get("thing"))]

    del container
    gc.collect()

    assert [reference() for reference in gone] == [None, None]


async def test_a_dropped_container_with_finalizers_warns():
    """
    A container that is collected with finalizers pending says so.
    """
    steps = []
    App = fresh_app()
    App.register_dependency("thing", resource("thing", steps, "sync"))
    container = Container(App)
    await container.get("thing")

    with pytest.warns(ResourceWarning):
        del container
        gc.collect()


async def test_an_unknown_token_is_missing():
    """
    A get of what nobody registered raises the error itself, not a group.
    """
    container = Container(fresh_app())

    for ask in (
        lambda: container.get("nobody"),
        lambda: container.gather("nobody"),
        lambda: container.getter("nobody")(),
    ):
        with pytest.raises(MissingDependencyError, match="nobody"):
            await ask()


async def test_lazy_of_a_closed_container_is_closed():
    """
    A handle that outlives its container hands out nothing.
    """
    App = fresh_app()
    App.register_dependency(Thing, Thing)

    def hold(thing: Lazy[Thing]):
        return thing

    App.register_dependency("holder", hold)
    async with Container(App) as container:
        handle = await container.get("holder")

    with pytest.raises(ClosedError):
        await handle


async def test_a_scoped_value_is_not_the_container_s():
    """
    A container has no scoped values.
    """
    App = fresh_app()
    App.register_dependency("thing", lambda: Thing(), lifetime="scoped")

    with pytest.raises(ScopeError):
        await Container(App).get("thing")
    with pytest.raises(ScopeError):
        Container(App).get_nowait("thing")


async def test_transient_resources_close_with_the_container_that_made_them():
    """
    A transient generator asked of the container is closed when that closes.
    """
    steps = []
    App = fresh_app()
    App.register_dependency("thing", resource("thing", steps), lifetime="transient")

    async with Container(App) as container:
        await container.get("thing")
        await container.get("thing")

    assert steps == ["open thing", "open thing", "close thing", "close thing"]


async def test_attributes_and_gets_share_one_value():
    """
    An attribute, a parameter and a get of one key are the same value.
    """

    class App(AsyncServiceBase):
        thing = AsyncDependencyDescriptor(Thing)

        @inject_dependency("holder")
        @staticmethod
        def hold(thing: Thing):
            return thing

    App.register_dependency(Thing, Thing)
    container = Container(App)
    app = await container.get(App)

    assert await app.thing is await container.get("holder") is await container.get(Thing)


async def test_a_factory_that_asks_for_what_needs_several_builds_waits_for_all():
    """
    Two factories that each wait for the same two builds, their own or another one's, get what these gave.
    """
    App, gate = fresh_app(), asyncio.Event()

    async def one():
        await gate.wait()
        return 1

    async def two():
        await gate.wait()
        return 2

    async def outer(container: Container):
        return await container.get("pair")

    App.register_dependency("one", one)
    App.register_dependency("two", two)
    App.register_dependency("pair", lambda one, two: (one, two))
    App.register_dependency("first", outer)
    App.register_dependency("second", outer)
    async with Container(App) as container:
        asking = [asyncio.create_task(container.get(key)) for key in ("first", "second")]
        await settled()
        gate.set()

        first, second = await asyncio.gather(*asking)

    assert first == (1, 2)
    assert first is second
