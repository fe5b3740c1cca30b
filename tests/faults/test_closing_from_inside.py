"""Something closes what it lives in: that is refused, or does nothing; nobody waits for himself."""

import asyncio
import contextlib
import contextvars
import sys
import threading

import pytest
from helpers import fresh_app

from asyncmeta import AsyncDependencyError, Container, ContainerError, FinalizationErrors, Scope, WrongLoopError

from .stepping import SteppingLoop, Stuck, run
from .worlds import World

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")

WHO = {
    "a container's factory": ("container", "factory"),
    "a container's finalizer": ("container", "finalizer"),
    "a session's factory": ("session", "factory"),
    "a session's finalizer": ("session", "finalizer"),
    "a request's factory": ("request", "factory"),
    "a request's finalizer": ("request", "finalizer"),
    "a concurrent factory": ("beside", "factory"),
    "a concurrent finalizer": ("beside", "finalizer"),
}
WHAT = ("container", "session", "request")
OPTIONS = {
    "container": {},
    "session": {"lifetime": "session"},
    "request": {"lifetime": "request"},
    "beside": {"lifetime": "request", "concurrent": True},
}


async def directly(holder):
    await holder.aclose()


async def by_a_task(holder):
    await asyncio.create_task(holder.aclose())


async def by_a_task_of_a_task(holder):
    await asyncio.create_task(by_a_task(holder))


async def within_a_time(holder):
    await asyncio.wait_for(holder.aclose(), 5)


async def by_a_task_that_is_waited_for_later(holder):
    task = asyncio.create_task(holder.aclose())
    for _ in range(5):
        await asyncio.sleep(0)
    await task


async def by_a_task_with_a_context_of_its_own(holder):
    await asyncio.create_task(holder.aclose(), context=contextvars.Context())


async def by_a_group(holder):
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(holder.aclose())
    except* ContainerError as errors:
        raise errors.exceptions[0] from None


async def by_what_is_completed_first(holder):
    for done in asyncio.as_completed([holder.aclose()]):
        await done


async def by_the_loop_for_a_thread(holder):
    loop = asyncio.get_running_loop()
    await asyncio.to_thread(lambda: asyncio.run_coroutine_threadsafe(holder.aclose(), loop).result())


async def by_another_loop(holder):
    try:
        await asyncio.to_thread(asyncio.run, holder.aclose())
    except WrongLoopError as error:
        raise ContainerError from error


async def by_a_thread(holder):
    try:
        await asyncio.to_thread(holder.close)
    except AsyncDependencyError as error:
        raise ContainerError from error


HOW = (
    directly,
    by_a_task,
    by_a_task_of_a_task,
    within_a_time,
    by_a_task_that_is_waited_for_later,
    by_a_task_with_a_context_of_its_own,
    by_a_group,
    by_what_is_completed_first,
    *((by_the_loop_for_a_thread, by_another_loop, by_a_thread) if sys.version_info >= (3, 12) else ()),
)

CASES = [
    (who, what, how)
    for who, (lives, _) in WHO.items()
    for what in (WHAT if lives in ("request", "beside") else WHAT[:2] if lives == "session" else WHAT[:1])
    for how in HOW
]


def attempt(who, what, how):
    """Let *who* close *what*; return how that ended, and what is wrong afterwards."""
    lives, where = WHO[who]
    world = World()
    world.add("p", "agen")
    world.add("c", "agen", "p", lifetime="session")
    world.add("a", "agen", "c", lifetime="request")
    holders, met = {}, []

    async def close():
        try:
            await how(holders[what])
        except BaseException as error:
            met.append(error)
            raise
        met.append(None)

    async def closing():
        if where == "factory":
            await close()
        yield "closing"
        if where == "finalizer":
            await close()

    async def main():
        container = holders["container"] = world.container(scopes=("session", "request"))
        with contextlib.suppress(ContainerError, FinalizationErrors):
            async with container:
                async with container.scope(level="session") as session:
                    holders["session"] = session
                    async with session.scope() as request:
                        holders["request"] = request
                        await request.get("a")
                        await {"container": container, "session": session}.get(lives, request).get("closing")
        with contextlib.suppress(FinalizationErrors):
            await container.aclose()

    world.declared.append(("closing", closing, OPTIONS[lives]))
    try:
        run(main, SteppingLoop())
    except Stuck as stuck:
        return met, [str(stuck)]
    return met, world.wrong()


@pytest.mark.parametrize(
    ("who", "what", "how"),
    [pytest.param(*case, id=", ".join((*case[:2], case[2].__name__))) for case in CASES],
)
def test_who_closes_what_it_lives_in(who, what, how):
    """
    A factory is refused, a finalizer's closing does nothing, however many tasks stand between; and all is closed once.
    """
    met, wrong = attempt(who, what, how)

    assert wrong == []
    assert len(met) == 1
    assert isinstance(met[0], ContainerError) if WHO[who][1] == "factory" else met[0] is None or isinstance(met[0], ContainerError)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="CPython 3.11 crashes where frames of other threads are walked through")
@pytest.mark.parametrize("lifetime", ["singleton", "scoped"])
@pytest.mark.parametrize("where", ["factory", "finalizer"])
@pytest.mark.parametrize("what", ["scope", "container"])
def test_a_thread_that_is_joined_closes_what_its_starter_lives_in(lifetime, where, what):
    """
    Without a loop, too: who has begun a thread, and waits for its end, is found by the one who closes there.
    """
    App = fresh_app()
    holders, met, closed = {}, [], []

    def close():
        try:
            holders[what].close()
        except ContainerError as error:
            met.append(error)
        else:
            met.append(None)

    def in_a_thread():
        thread = threading.Thread(target=close, daemon=True)
        thread.start()
        thread.join(10)
        assert not thread.is_alive(), "it hangs"

    def value():
        if where == "factory":
            in_a_thread()
        try:
            yield 1
        finally:
            if where == "finalizer":
                in_a_thread()
            closed.append(True)

    App.register_dependency("value", value, lifetime=lifetime)
    with contextlib.suppress(ContainerError), Container(App) as container, container.scope() as scope:
        holders.update(container=container, scope=scope)
        scope.get_nowait("value")

    assert closed == [True]
    assert len(met) == 1


def closing_each_other(make):
    """Return two things of *make*, given a name and its finalizer, whose finalizers close each other; and what was closed."""
    closed, both = [], {}

    def finalizer(name, other):
        async def close():
            await both[other].aclose()
            closed.append(name)

        return close

    both["one"] = make("one", finalizer("one", "other"))
    both["other"] = make("other", finalizer("other", "one"))
    return both["one"], both["other"], closed


async def first_one_of_them(one, other):
    await one.aclose()
    await other.aclose()


async def both_at_once(one, other):
    await asyncio.gather(one.aclose(), other.aclose())


@pytest.mark.parametrize("how", [first_one_of_them, both_at_once])
def test_two_containers_whose_finalizers_close_each_other(how):
    """
    The one that is asked to close by what its own finalizer waits for is closing already; nobody waits for himself.
    """

    def make(name, close):
        async def value():
            yield name
            await close()

        App = fresh_app()
        App.register_dependency("value", value)
        return Container(App)

    async def main():
        one, other, closed = closing_each_other(make)
        await one.get("value")
        await other.get("value")
        await how(one, other)
        return one, other, closed

    one, other, closed = run(main, SteppingLoop())

    assert one.closed and other.closed
    assert sorted(closed) == ["one", "other"]


@pytest.mark.parametrize("how", [first_one_of_them, both_at_once])
def test_two_scopes_whose_finalizers_close_each_other(how):
    """
    The same for scopes of one container.
    """
    App, closers = fresh_app(), {}

    async def value(scope: Scope):
        yield 1
        await closers[scope]()

    App.register_dependency("value", value, lifetime="scoped")

    async def main():
        container = Container(App)

        def make(name, close):
            scope = container.scope()
            closers[scope] = close
            return scope

        one, other, closed = closing_each_other(make)
        await one.get("value")
        await other.get("value")
        await how(one, other)
        await container.aclose()
        return closed

    assert sorted(run(main, SteppingLoop())) == ["one", "other"]


def test_two_threads_close_containers_whose_finalizers_close_each_other():
    """
    Without a loop, too, and where frames of other threads are not walked through: who closes what is known.
    """
    closed, both, met = [], {}, threading.Barrier(2)

    def make(name, other):
        def value():
            yield name
            met.wait(10)  # both close by now
            both[other].close()
            closed.append(name)

        App = fresh_app()
        App.register_dependency("value", value)
        both[name] = Container(App)
        both[name].get_nowait("value")

    make("one", "other")
    make("other", "one")
    threads = [threading.Thread(target=container.close, daemon=True) for container in both.values()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert not any(thread.is_alive() for thread in threads)
    assert sorted(closed) == ["one", "other"]
    assert all(container.closed for container in both.values())
