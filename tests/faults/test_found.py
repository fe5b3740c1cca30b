"""What the attacks have found, each as a plain test."""

import asyncio
import contextlib
import dataclasses
import pickle
import threading
import types
import typing
import weakref
from typing import Annotated
from unittest.mock import Mock

import pytest
from helpers import collected, fresh_app, leaves, outcome

from asyncmeta import (
    AsyncDependencyDescriptor,
    AsyncDependencyError,
    AsyncServiceBase,
    BuildTimeoutError,
    ClosedError,
    Container,
    FinalizationErrors,
    GraphErrors,
    Inject,
    Lazy,
    MissingDependencyError,
    Token,
)

# --- attributes -----------------------------------------------------------------------------------


class Pool:
    def __init__(self):
        self.open = True


async def open_pool():
    pool = Pool()
    try:
        yield pool
    finally:
        pool.open = False


def application(*registrations, **keywords):
    App = fresh_app(**keywords)
    for token, factory, *options in registrations:
        App.register_dependency(token, factory, **(options[0] if options else {}))
    return App


def test_an_attribute_forgets_what_died_with_its_loop():
    """
    What an attribute has fetched in one event loop is fetched anew in the next one, where it was closed with the first.
    """

    class Repository(AsyncServiceBase):
        pool = AsyncDependencyDescriptor("pool")
        user = AsyncDependencyDescriptor("user")
        plain = AsyncDependencyDescriptor("plain")

    container = Container(
        application(
            ("pool", open_pool),
            ("user", lambda pool: [pool], {"lifetime": "transient"}),
            ("plain", lambda: object(), {"lifetime": "transient"}),
            providers=[Repository],
        )
    )
    repository = container.get_nowait(Repository)

    async def use():
        pool, (used,) = await repository.pool, await repository.user
        assert pool is used is repository.pool.nowait()
        assert [pool] == await repository.user
        return pool.open, await repository.plain

    (first, plain), (second, again) = asyncio.run(use()), asyncio.run(use())

    assert first
    assert second
    assert plain is again


def test_a_root_of_its_own_runs_twice():
    """
    An application that is its own root gets what is open in each of two runs.
    """

    class Shop(AsyncServiceBase):
        pool = AsyncDependencyDescriptor("pool")

        async def run(self):
            return (await self.pool).open

    Shop.register_dependency("pool", open_pool)
    shop = Shop()

    assert asyncio.run(shop.run())
    assert asyncio.run(shop.run())


def test_two_tasks_that_fetch_anew_share_one_value():
    """
    A transient value that an attribute makes anew, after what it stood on is gone, is made once for all who wait.
    """
    made = []

    class Repository(AsyncServiceBase):
        user = AsyncDependencyDescriptor("user")

    async def user(pool):
        await asyncio.sleep(0)
        made.append(pool)
        return [pool]

    container = Container(application(("pool", open_pool), ("user", user, {"lifetime": "transient"}), providers=[Repository]))
    repository = container.get_nowait(Repository)

    async def first():
        return await repository.user

    async def second():
        return await asyncio.gather(repository.user.run(), repository.user.run())

    (before,), ((one,), (other,)) = asyncio.run(first()), asyncio.run(second())

    assert before is not one
    assert one is other
    assert len(made) == 2


async def test_attributes_follow_overrides_after_another_service_has_failed_to_start():
    """
    A service that does not start takes nothing from what others have fetched: overrides and closing still reach them.
    """

    class Good(AsyncServiceBase):
        x = AsyncDependencyDescriptor("x")

    class Flaky(AsyncServiceBase):
        async def on_startup(self):
            raise OSError("not reachable yet")

    async with Container(application(("x", lambda: "real"), providers=[Good, Flaky])) as container:
        good = await container.get(Good)
        assert await good.x == "real"
        with pytest.raises(OSError, match="not reachable"):
            await container.get(Flaky)
        async with container.override({"x": "fake"}):
            seen = await good.x
        after = await good.x

    assert (seen, after) == ("fake", "real")
    assert isinstance(await outcome(good.x), ClosedError)


# --- getters --------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["get", "getter", "gather", "start"])
@pytest.mark.parametrize("everywhere", [False, True])
def test_a_coroutine_that_is_driven_without_a_loop(how, everywhere):
    """
    Whoever drives a get by hand, in a thread without a loop, gets what needs no awaiting, and a sentence for what does.
    """

    async def later():
        return "later"

    def drive(token):
        asked = container.getter(token)() if how == "getter" else getattr(container, how)(token)
        with pytest.raises(StopIteration) as ended:
            asked.send(None)
        return ended.value.value

    container = Container(application(("x", lambda: "real"), ("y", lambda x: [x]), ("later", later)))

    with container.override({"x": "fake"}, everywhere=True) if everywhere else contextlib.nullcontext():
        given = drive("y")
        with pytest.raises(AsyncDependencyError, match="has to be awaited"):
            drive("later")

    wanted = ["fake"] if everywhere else ["real"]
    if how == "start":
        assert [timing.key for timing in given.builds][-1] == '"y"'
    else:
        assert given == ((wanted,) if how == "gather" else wanted)


@pytest.mark.parametrize("what", ["override", "registration", "closing"])
async def test_a_getter_that_was_called_before_a_change_and_runs_after_it(what):
    """
    What has been called and has not run yet follows what is in force when it runs.
    """
    App = application(("x", lambda: "real"))
    container = Container(App)
    getter = container.getter("x")
    for _ in range(2):
        assert await getter() == "real"

    task = asyncio.create_task(getter())
    if what == "override":
        async with container.override({"x": "fake"}, everywhere=True):
            got = await outcome(task)
        assert got == "fake"
    elif what == "registration":
        App.register_value("other", 1)
        assert await outcome(task) == "real"
    else:
        await container.aclose()
        assert isinstance(await outcome(task), ClosedError)


# --- errors of any kind ---------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Frozen(Exception):
    code: int = 1


class Refusing(Exception):
    def __setattr__(self, name, value):
        raise AttributeError(name)


class OddNotes(Exception):
    __notes__ = "text"


class NoNotes(Exception):
    def add_note(self, note):
        raise RuntimeError("no notes")


class Hidden(Exception):
    __context__ = property(lambda self: None)
    __traceback__ = property(lambda self: None)


class Mute(Exception):
    def __str__(self):
        raise RuntimeError("no text")


class Untouchable(Exception):
    @property
    def __class__(self):
        raise RuntimeError("nobody asks")


class SaysCancelled(Exception):
    __class__ = property(lambda self: asyncio.CancelledError)


class OwnTraceback(Exception):
    def with_traceback(self, traceback):
        raise RuntimeError("no traceback")


async def test_whoever_waits_for_a_build_meets_its_error_whatever_that_says_of_its_traceback():
    """
    An error of a factory reaches all who wait for it, also where its class has other words for setting a traceback.
    """
    error = OwnTraceback()

    async def failing():
        await asyncio.sleep(0)
        raise error

    async with Container(application(("value", failing))) as container:
        met = await asyncio.gather(*(container.get("value") for _ in range(2)), return_exceptions=True)

    assert met == [error, error]


class MuteText(str):
    """A text as a token, which says nothing of itself."""

    def __str__(self):
        raise RuntimeError("no text")

    __repr__ = __format__ = isprintable = __str__


def test_a_text_that_says_nothing_of_itself_is_a_token_like_any_other():
    """
    A subclass of str is named by what it holds, whatever its methods do.
    """
    token = MuteText("session")
    container = Container(application((token, lambda: 5)))

    with pytest.raises(MissingDependencyError, match='nothing provides "request"'):
        container.get_nowait(MuteText("request"))

    assert container.get_nowait(token) == 5


@pytest.mark.parametrize("options", [{}, {"lifetime": "scoped"}, {"lifetime": "scoped", "concurrent": True}])
async def test_an_error_that_says_it_is_a_cancellation_is_none(options):
    """
    Who waits for another's build meets its error, and does not take over as after a cancellation, whatever its class says of it.
    """
    tries = []

    async def failing():
        tries.append("once")
        await asyncio.sleep(0)
        raise SaysCancelled

    async with Container(application(("value", failing, options))) as container, container.scope() as scope:
        holder = scope if options else container
        met = await asyncio.gather(*(holder.get("value") for _ in range(2)), return_exceptions=True)

    assert [type(error) for error in met] == [SaysCancelled, SaysCancelled]
    assert tries == ["once"]


@pytest.mark.parametrize("how", ["scope", "request", "container", "sync"])
@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("kind", [Frozen, Refusing, OddNotes, NoNotes, Hidden, Mute, SaysCancelled])
async def test_the_body_raises_what_it_raises(kind, fails, how):
    """
    An exception of the body is never replaced, whatever its class says of attributes, notes and texts.
    """

    async def session():
        try:
            yield 1
        finally:
            if fails:
                raise Mute

    def generator():
        try:
            yield 1
        finally:
            if fails and how == "sync":
                raise Mute

    scoped = {} if how == "container" else {"lifetime": "scoped"}
    container = Container(application(("session", session, scoped), ("generator", generator, scoped)))
    error = kind()

    with pytest.raises(kind) as met:
        if how == "scope":
            async with container.scope() as scope:
                await scope.gather("session", "generator")
                raise error
        elif how == "request":
            async with container.request("session"):
                raise error
        elif how == "container":
            async with container:
                await container.gather("session", "generator")
                raise error
        else:
            with container.scope() as scope:
                scope.get_nowait("generator")
                raise error
    await container.aclose()

    assert met.value is error


async def test_the_body_raises_what_lets_nobody_look_at_it():
    """
    An exception of the body that refuses to say of which class it is goes on, also beside a finalizer's.
    """

    async def session():
        yield "session"
        raise Mute

    async def session_that_ends():
        try:
            yield "session"
        finally:
            raise Mute

    met = []
    for factory in (session, session_that_ends):
        container = Container(application(("session", factory, {"lifetime": "scoped"})))
        try:
            async with container.scope() as scope:
                await scope.get("session")
                raise Untouchable
        except BaseException as error:  # by name only: nobody may look at it, and so no report may show it
            met.append(type(error).__name__)
        await container.aclose()

    assert met == ["Untouchable", "Untouchable"]


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_request_without_a_loop_that_is_open_when_its_container_closes():
    """
    Code of its own or not, it is closed as the scope that it is: with a failure, and nothing has to be awaited for that.
    """
    ended = []

    def session():
        try:
            yield 1
        except ClosedError:
            ended.append("failed")
            raise

    container = Container(application(("session", session, {"lifetime": "scoped"})))
    for _ in range(3):
        with container.request("session"):
            pass

    with pytest.raises(ClosedError, match="before its block had ended"), container.request("session"):
        thread = threading.Thread(target=container.close)
        thread.start()
        thread.join()

    assert ended == ["failed"]


async def test_one_exception_that_many_bodies_raise_does_not_grow():
    """
    What finalizers add to an exception object that is raised again and again stays within bounds, notes included.
    """

    async def session():
        yield 1
        raise AssertionError("never reached: the body fails")

    async def failing():
        try:
            yield 1
        finally:
            raise LookupError("finalizer")

    container = Container(application(("failing", failing, {"lifetime": "scoped"}), ("session", session, {"lifetime": "scoped"})))
    shared = ValueError("the same one each time")

    for _ in range(100):
        with pytest.raises(ValueError, match="the same") as met:
            async with container.scope() as scope:
                await scope.get("failing")
                raise shared
    await container.aclose()

    groups = [one for one in leaves(met.value) if isinstance(one, FinalizationErrors)]
    assert 1 <= len(groups) <= 8
    assert len(shared.__notes__) == 1


# --- concurrent values ----------------------------------------------------------------------------


async def test_a_cancellation_arrives_while_a_concurrent_value_is_closed():
    """
    A task that is cancelled, or runs out of time, while its scope closes a concurrent value does not go on.
    """
    order = []

    async def slow():
        yield 1
        await asyncio.sleep(0)
        await asyncio.sleep(0.01)
        order.append("closed")

    async with Container(application(("slow", slow, {"lifetime": "scoped", "concurrent": True}))) as container:

        async def request():
            async with container.scope() as scope:
                await scope.get("slow")
                entered.set()
            order.append("went on")

        entered = asyncio.Event()
        task = asyncio.create_task(request())
        await entered.wait()
        await asyncio.sleep(0)
        task.cancel()
        first = await outcome(task)
        entered = asyncio.Event()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.005):
                await request()

    assert isinstance(first, asyncio.CancelledError)
    assert order == ["closed", "closed"]


async def test_a_closing_that_is_given_up_in_the_middle():
    """
    A coroutine that closes a scope may itself be closed, as of an async generator that nobody ends: who waits for it goes on.
    """
    log = []

    async def session():
        try:
            yield "session"
        finally:
            log.append("closing")
            await asyncio.sleep(0)

    container = Container(application(("session", session, {"lifetime": "scoped"})))
    scope = container.scope()
    await scope.get("session")

    closing = scope.aclose()
    closing.send(None)
    closing.close()
    async with asyncio.timeout(5):
        await scope.aclose()
        await container.aclose()

    assert log == ["closing"]


def test_a_concurrent_value_is_closed_after_a_slow_scope_inside_as_the_loop_ends():
    """
    The task of a concurrent value waits for the scopes inside of its own as the loop ends, however long their clean-ups take.
    """
    log, said = [], []

    def closing(name, turns):
        async def factory():
            try:
                yield name
            finally:
                for _ in range(turns):
                    await asyncio.sleep(0)
                log.append(name)

        return factory

    App = fresh_app(scopes=("session", "request"))
    App.register_dependency("outer", closing("outer", 1), lifetime="session", concurrent=True)
    App.register_dependency("inner", closing("inner", 100), lifetime="request", concurrent=True)
    container = Container(App)

    async def work(begun):
        async with container.scope(level="session") as session:
            await session.get("outer")
            async with session.scope() as request:
                await request.get("inner")
                begun.set()
                await asyncio.Event().wait()

    async def main():
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: said.append(context["message"]))
        begun = asyncio.Event()
        task = asyncio.create_task(work(begun))
        await begun.wait()
        return task

    task = asyncio.run(main())

    assert task.cancelled()
    assert log == ["inner", "outer"]
    assert said == []


def test_the_half_done_work_of_a_concurrent_value_is_not_kept_at_the_end_of_a_loop():
    """
    Where a loop ends under a scope that nobody closes, its concurrent values are closed, users first, and told of a failure.
    """
    ended = []

    async def session():
        try:
            yield "session"
        except ClosedError as closed:
            ended.append(("session", "was still open" in str(closed)))
            raise

    async def unit(session: Annotated[object, Inject("session")]):
        try:
            yield "unit"
        except ClosedError as closed:
            ended.append(("unit", "was still open" in str(closed)))
            raise

    beside = {"lifetime": "scoped", "concurrent": True}
    container = Container(application(("session", session, beside), ("unit", unit, beside)))

    async def main():
        await container.scope().get("unit")

    asyncio.run(main())

    assert ended == [("unit", True), ("session", True)]


# --- registering again ----------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["overlay", "override"])
@pytest.mark.parametrize("lifetime", ["singleton", "scoped"])
@pytest.mark.parametrize("asked", ["here", "there"])
@pytest.mark.parametrize("first", ["block", "registration"])
def test_what_is_built_stays_when_it_is_registered_again_beside_an_override(how, lifetime, asked, first):
    """
    A value that was built, by whomever, before its key was registered again is given to everybody until closing.
    """
    built = []

    def pool(number):
        def open_pool():
            built.append(number)
            return number

        return open_pool

    App = application(
        ("pool", pool(0), {"lifetime": lifetime}),
        ("x", lambda: "real"),
        ("user", lambda x, pool: (x, pool), {"lifetime": lifetime}),
    )
    with Container(App) as container, container.scope() as scope:
        if first == "registration":
            assert scope.get_nowait("pool") == 0
            App.register_dependency("pool", pool(1), lifetime=lifetime)
        with getattr(container, how)({"x": "fake"}) as overlay:
            view = overlay if lifetime == "singleton" else scope
            if first == "block":
                assert (view if asked == "there" else scope).get_nowait("pool") == 0
                App.register_dependency("pool", pool(1), lifetime=lifetime)
            inside = view.get_nowait("user")
            inside_too = scope.get_nowait("pool")
        after = scope.get_nowait("pool"), scope.get_nowait("user")

    fake = "real" if how == "overlay" and lifetime == "scoped" else "fake"
    assert inside == (fake, 0)
    assert inside_too == 0
    assert after == (0, ("real", 0))
    assert built == [0]


# --- tokens, errors -------------------------------------------------------------------------------


def test_a_token_that_lies_about_its_class_is_a_token_like_any_other():
    """
    What an object says of its class does not count: such tokens are registered, found, missed and named.
    """

    def lying(kind):
        return type("Lying", (), {"__class__": property(lambda self: kind)})()

    class Mute:
        def __getattr__(self, name):
            raise RuntimeError(name)

    forms = (types.GenericAlias, types.UnionType, typing.ForwardRef, typing.TypeVar)
    for token in (*map(lying, (str, type, Token, list, tuple, *forms)), Mock(spec=str), Mock(spec=type), Mute()):
        App = application((Mock, Mock))
        container = Container(App)
        with pytest.raises(MissingDependencyError):
            container.get_nowait(token)
        with pytest.raises((MissingDependencyError, GraphErrors)):
            container.override({token: 1}).__enter__()
        App.register_dependency(token, lambda: 5)
        assert App.get_dependency(token)() == 5
        assert container.get_nowait(token) == 5
        assert Container(providers=[{"provide": token, "value": 6}]).get_nowait(token) == 6


def test_a_token_that_lets_nobody_look_at_it():
    """
    A token of whose attributes every one raises serves like any other: registered, asked for, marked, overridden, missed.
    """

    class Shy:
        def __getattribute__(self, name):
            raise RuntimeError(name)

    token = Shy()
    container = Container(application((token, lambda: "value")))

    @container.inject
    def handler(value: Annotated[object, Inject(token)]):
        return value

    given = [container.get_nowait(token), handler(), Container(fresh_app(), providers=[{"provide": token, "use_value": "value"}])]
    with container.override({token: "fake"}):
        faked = [container.get_nowait(token), handler()]

    assert given[:2] == ["value"] * 2
    assert given[2].get_nowait(token) == "value"
    assert faked == ["fake"] * 2
    with pytest.raises(MissingDependencyError):
        container.get_nowait(Shy())


def test_nothing_of_a_token_that_nothing_provides_is_kept():
    """
    Whoever asks for what nobody has registered, or overrides it, leaves nothing behind.
    """
    container = Container(application(("v", lambda: 1)))
    tokens = [Token(f"t{number}") for number in range(10)]
    seen = [weakref.ref(token) for token in tokens]

    for token in tokens:
        for ask in (
            container.get_nowait,
            container.getter,
            container.scope().get_nowait,
            lambda token: container.override({token: 1}).__enter__(),
        ):
            with pytest.raises(MissingDependencyError):
                ask(token)
    del token, tokens
    collected()

    assert [ref for ref in seen if ref() is not None] == []


def test_a_build_timeout_keeps_its_notes_when_it_is_pickled():
    """
    Errors of ours that went through a pickle say all that they said before.
    """
    error = BuildTimeoutError("pool", 0.5)
    error.add_note("while building Shop")

    copy = pickle.loads(pickle.dumps(error))

    assert (copy.args, vars(copy)) == (error.args, vars(error))


# --- overrides that end ---------------------------------------------------------------------------


@pytest.mark.parametrize("lifetime", ["singleton", "scoped"])
@pytest.mark.parametrize("everywhere", [True, False])
@pytest.mark.parametrize("how", ["get", "request", "injected", "attribute", "gather"])
async def test_who_is_in_the_middle_of_a_get_when_an_override_ends(lifetime, everywhere, how):
    """
    The end of an override is nothing to a handler that waits for something: it gets a value, and the container's own later.
    """
    begun = asyncio.Event()

    async def slow(x):
        begun.set()
        await asyncio.sleep(0.01)
        return ["y", x]

    class Service(AsyncServiceBase, lifetime="scoped"):
        y = AsyncDependencyDescriptor("y")

    App = application(("x", lambda: "real"), ("y", slow, {"lifetime": lifetime}), providers=[Service])
    async with Container(App) as container:

        @container.inject
        async def injected(y: Annotated[object, Inject("y")]):
            return y

        async def handler():
            if how == "request":
                async with container.request("y") as y:
                    return y
            if how == "injected":
                return await injected()
            async with container.scope() as scope:
                if how == "attribute":
                    return await (await scope.get(Service)).y
                return await scope.get("y") if how == "get" else (await scope.gather("y", "x"))[0]

        async with container.override({"x": "fake"}, everywhere=everywhere):
            task = asyncio.create_task(handler())
            await begun.wait()
        during, after = await outcome(task), await handler()

    assert during in (["y", "fake"], ["y", "real"])
    assert after == ["y", "real"]


@pytest.mark.parametrize("lifetime", ["singleton", "scoped"])
async def test_who_holds_a_service_of_an_override_that_has_ended(lifetime):
    """
    What a handler was given in an override gives it the container's own values afterwards, cached or not.
    """

    class Service(AsyncServiceBase, lifetime=lifetime):
        x = AsyncDependencyDescriptor("x")
        again = AsyncDependencyDescriptor("x")

        def __init__(self, late: Annotated[Lazy[object], Inject("x")]):
            self.late = late

    async with Container(application(("x", lambda: "real"), providers=[Service])) as container, container.scope() as scope:
        async with container.override({"x": "fake"}, everywhere=True):
            service = await scope.get(Service)
            during = await service.x, await service.late
        after = await service.x, await service.again, await service.late
        async with container.overlay({"x": "a tenant's"}) as overlay:
            tenant = await (overlay if lifetime == "singleton" else overlay.scope()).get(Service)
            assert await tenant.x == "a tenant's"
        closed = await outcome(tenant.x), await outcome(tenant.again)

    assert during == ("fake", "fake")
    assert after == ("real", "real", "real")
    assert [type(one) for one in closed] == [ClosedError, ClosedError]


@pytest.mark.parametrize("fetched", [True, False])
@pytest.mark.parametrize("asked", ["attribute", "handle"])
async def test_what_was_asked_in_an_override_and_comes_after_it(asked, fetched):
    """
    An attribute, or a handle, of a transient value has one value outside of overrides, also for who asked in one and comes late.
    """

    class Desk(AsyncServiceBase):
        part = AsyncDependencyDescriptor("part")

        def __init__(self, handle: Annotated[Lazy[object], Inject("part")]) -> None:
            self.handle = handle

    begun = asyncio.Event()

    async def never():
        begun.set()
        await asyncio.Event().wait()

    App = application(("x", lambda: "real"), ("part", lambda x: [x], {"lifetime": "transient"}), providers=[Desk])
    async with Container(App) as container:
        desk = await container.get(Desk)
        ask = (lambda: desk.part) if asked == "attribute" else (lambda: desk.handle)
        before = await ask() if fetched else None

        async with container.override([{"provide": "x", "use_factory": never}]):
            late = asyncio.create_task(ask().run())
            await begun.wait()
        given = await late

        assert given == ["real"]
        assert before is None or given is before
        assert await ask() is given


async def test_a_task_that_a_factory_has_started_sees_later_overrides():
    """
    A worker that was begun by a factory beside some override sees one for everybody that begins later, and its end.
    """
    seen, asked = [], asyncio.Queue()

    async def worker():
        while await asked.get():
            seen.append(await container.get("x"))
            asked.task_done()

    async def pool():
        task = asyncio.create_task(worker())
        seen.append(await container.get("x"))
        yield task
        await asked.put(False)
        await task

    container = Container(application(("x", lambda: "real"), ("pool", pool), ("other", lambda: "other")))
    async with container:
        async with container.override({"other": "fake"}), container.override({"x": "not for shared values"}):
            await container.get("pool")
        async with container.override({"x": "fake"}, everywhere=True):
            await asked.put(True)
            await asked.join()
        await asked.put(True)
        await asked.join()

    assert seen == ["real", "fake", "real"]


# --- loops that are closed under a block ------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_block_that_is_collected_with_its_loop_closes_its_scope():
    """
    The block of a coroutine that nobody will drive any more ends without a loop: what needs none is closed.
    """
    journal = []

    def session():
        journal.append("+")
        try:
            yield "session"
        finally:
            journal.append("-")

    async def work():
        async with container.scope() as scope:
            await scope.get("session")
            await asyncio.get_running_loop().create_future()

    container = Container(application(("session", session, {"lifetime": "scoped"})))
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda loop, context: None)
    task = loop.create_task(work())
    while not journal:
        loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    del task, loop
    collected()

    asyncio.run(asyncio.wait_for(container.aclose(), 5))

    assert journal == ["+", "-"]
