"""Observers hear what they want to hear, never a value, and cost nothing while there are none."""

import asyncio
import inspect
import logging
import sys
import time
from collections.abc import AsyncIterator, Iterator

import pytest
from helpers import Gate, fresh_app, guarded, in_threads, outcome, settled

from asyncmeta import (
    AsyncServiceBase,
    BuildTimeoutError,
    Container,
    DeclarationError,
    Event,
    FinalizationErrors,
    Observation,
    Observer,
    inject_dependency,
)
from asyncmeta._run.observe.watch import override_began, override_ended
from asyncmeta._solve.emit import emit_root
from asyncmeta.integrations.logging import LoggingObserver

WORDS = [name for name in vars(Observer) if not name.startswith("_")]


class Hearing(Observer):
    """Notes everything: (word, event)."""

    def __init__(self):
        self.heard = []

    def of(self, *words):
        """Return the keys of the events of *words*, in order."""
        return [event.key for word, event in self.heard if word in words]

    @property
    def story(self):
        """All words and keys, in order."""
        return [f"{word} {event.key}" for word, event in self.heard]


for _word in WORDS:

    def _note(self, event, /, word=_word):
        self.heard.append((word, event))

    setattr(Hearing, _word, _note)


class Database:
    pass


class Session:
    pass


def shop():
    """Return an application with a singleton and a scoped value, both closed."""
    app = fresh_app()

    @inject_dependency(on=app)
    async def open_database() -> AsyncIterator[Database]:
        yield Database()

    @inject_dependency(on=app, lifetime="scoped")
    async def open_session(database: Database) -> AsyncIterator[Session]:
        yield Session()

    return app


# --- what is told ------------------------------------------------------------------------------------


async def test_the_whole_story():
    """
    Container, scope, builds and finalizers are told of in the order in which they happen.
    """
    container, hearing = Container(shop()), Hearing()

    with container.observe(hearing):
        async with container, container.scope() as scope:
            await scope.get(Session)
            await scope.get(Session)

    assert hearing.story[0] == "container_opened " + container._name
    assert hearing.story[1:-1] == [
        "scope_opened scoped",
        "build_begin Database",
        "build_end Database",
        "build_begin Session",
        "build_end Session",
        "finalize_begin Session",
        "finalize_end Session",
        "scope_closed scoped",
        "finalize_begin Database",
        "finalize_end Database",
    ]
    assert hearing.story[-1] == "container_closed " + container._name


async def test_an_event_names_parent_task_and_seconds():
    """
    An event holds names and seconds: none at a begin, those since then at an end.
    """
    container, hearing = Container(shop()), Hearing()

    async with container, container.scope() as scope:
        container.observe(hearing)
        asyncio.current_task().set_name("request 7")
        await scope.get(Session)

    events = {(word, event.key): event for word, event in hearing.heard}
    assert events["build_begin", "Database"] == Event("Database", None, "Session", "asyncmeta: Database")
    assert events["build_begin", "Session"] == Event("Session", None, None, "request 7")
    assert events["build_end", "Session"].seconds >= 0
    assert events["finalize_end", "Session"].seconds >= 0
    assert [event.seconds for word, event in hearing.heard if word.endswith("_begin")] == [None] * 4


def test_without_a_loop_there_is_no_task():
    """
    A sync-only graph is told of, too; its events name no task.
    """
    app, hearing = fresh_app(), Hearing()

    def generate() -> Iterator[int]:
        yield 1

    app.register_dependency("x", generate)
    app.register_dependency("y", lambda x: x, lifetime="scoped")
    container = Container(app)
    container.observe(hearing)
    with container, container.scope() as scope:
        scope.get_nowait("y")

    assert hearing.of("build_end") == ['"x"', '"y"']
    assert hearing.of("finalize_end") == ['"x"']
    assert hearing.of("scope_closed") == ["scoped"]
    assert {event.task for _, event in hearing.heard} == {None}


async def test_what_fails_is_told():
    """
    A factory, and a finalizer, that raises is told of as failed; so is one that was cancelled.
    """
    app, hearing = fresh_app(), Hearing()

    @inject_dependency("broken", on=app)
    async def broken():
        raise ValueError

    @inject_dependency("unclosed", on=app)
    async def unclosed() -> AsyncIterator[int]:
        yield 1
        raise ValueError

    @inject_dependency("hanging", on=app)
    async def hanging():
        await asyncio.Event().wait()

    container = Container(app)
    container.observe(hearing)
    with pytest.raises(FinalizationErrors):
        async with container:
            await outcome(container.get("broken"))
            await container.get("unclosed")
            task = asyncio.create_task(container.get("hanging"))
            await settled()
            task.cancel()
            await outcome(task)

    assert hearing.of("build_failed") == ['"broken"', '"hanging"']
    assert hearing.of("build_end") == ['"unclosed"']
    assert hearing.of("finalize_failed") == ['"unclosed"']
    assert hearing.of("finalize_end") == []


async def test_a_service_that_cannot_be_constructed_is_told():
    """
    A service with on_startup is one build; where its constructor raises, that build has failed.
    """
    hearing, broken = Hearing(), [True]

    class Users(AsyncServiceBase):
        def __init__(self):
            if broken:
                raise ValueError

        async def on_startup(self): ...

        async def on_shutdown(self): ...

    async with Container(fresh_app()) as container:
        container.observe(hearing)
        await outcome(container.get(Users))
        broken.clear()
        await container.get(Users)

    assert hearing.story[:4] == ["build_begin Users", "build_failed Users", "build_begin Users", "build_end Users"]
    assert hearing.of("finalize_begin", "finalize_end") == ["Users", "Users"]


async def test_finalizers_are_told_of_by_the_name_of_their_key():
    """
    One factory under two keys is finalized under each of them; a thread's generator and a service under theirs.
    """
    hearing = Hearing()

    async def make() -> AsyncIterator[int]:
        yield 1

    def generate() -> Iterator[int]:
        yield 1

    app = fresh_app()
    app.register_dependency("one", make)
    app.register_dependency("two", make)
    app.register_dependency("threaded", generate, in_thread=True)
    container = Container(app)
    container.observe(hearing)
    async with container:
        for name in ("one", "two", "threaded"):
            await container.get(name)

    assert hearing.of("finalize_begin") == ['"threaded"', '"two"', '"one"']
    assert hearing.of("finalize_end") == ['"threaded"', '"two"', '"one"']


@pytest.mark.parametrize("kind", ["async generator", "generator", "service", "threaded"])
async def test_what_was_built_before_is_heard_when_it_is_finalized(kind):
    """
    An observer that comes after the start still hears, by name, how the singletons are closed.
    """
    hearing = Hearing()

    async def make() -> AsyncIterator[int]:
        yield 1

    def generate() -> Iterator[int]:
        yield 1

    class Users(AsyncServiceBase):
        async def on_shutdown(self): ...

    app = fresh_app(providers=[Users])
    app.register_dependency("async generator", make)
    app.register_dependency("generator", generate)
    app.register_dependency("threaded", generate, in_thread=True)
    token = Users if kind == "service" else kind
    async with Container(app) as container:
        await container.get(token)
        container.observe(hearing)

    assert hearing.of("finalize_end") == ["Users" if kind == "service" else f'"{"generator" if kind == "threaded" else kind}"']


async def test_levels_are_told_of_by_their_names():
    """
    Scopes that are opened along with another one are heard, each under the name of its level.
    """
    app, hearing = fresh_app(scopes=("session", "request")), Hearing()
    container = Container(app)
    container.observe(hearing)
    async with container:
        async with container.scope(level="session") as session, session.scope():
            pass
        async with container.scope(level="request"):
            pass

    assert hearing.of("scope_opened") == ["session", "request"] * 2
    assert hearing.of("scope_closed") == ["request", "session"] * 2


async def test_requests_are_scopes():
    """
    `request` opens a scope, which is heard, also from the second time on.
    """
    container, hearing = Container(shop()), Hearing()
    async with container:
        for _ in range(3):
            async with container.request(Session):
                pass
        container.observe(hearing)
        for _ in range(3):
            async with container.request(Session):
                pass

    assert hearing.of("scope_opened", "scope_closed") == ["scoped"] * 6
    assert hearing.of("build_end") == ["Session"] * 3


async def test_overrides_are_told_by_their_keys():
    """
    What begins and ends an override tells which keys it is about.
    """
    container, hearing = Container(shop()), Hearing()
    container.observe(hearing)

    override_began(container, [Database, "x"])
    override_ended(container, [Database, "x"], 0.5)
    await container.aclose()

    assert [(word, event.key, event.seconds) for word, event in hearing.heard[:2]] == [
        ("override_begin", 'Database, "x"', None),
        ("override_end", 'Database, "x"', 0.5),
    ]


async def test_the_end_of_an_override_tells_how_long_it_was():
    """
    It has the seconds since its begin, and no more than have gone by.
    """
    hearing = Hearing()
    async with Container(shop()) as container:
        container.observe(hearing)
        before = time.perf_counter()
        async with container.override({Database: "fake"}):
            pass
        gone = time.perf_counter() - before

    (ended,) = [event for word, event in hearing.heard if word == "override_end"]
    assert 0 < ended.seconds <= gone


async def test_no_event_holds_a_value():
    """
    Whatever is registered, with whatever repr, no event shows it.
    """
    app, hearing = fresh_app(context=["request"]), Hearing()
    app.register_value("config", "hunter2")
    app.register_dependency("secret", lambda config: config + "!")
    app.register_dependency("user", lambda secret, request: [secret, request], lifetime="scoped")
    container = Container(app)
    container.observe(hearing)
    async with container, container.scope({"request": "hunter2"}) as scope:
        await scope.get("user")

    assert hearing.of("build_end") == ['"secret"', '"user"']
    assert "hunter2" not in repr(hearing.heard)
    with pytest.raises(AttributeError):
        hearing.heard[0][1].key = "x"


# --- who is told ---------------------------------------------------------------------------------------


async def test_what_is_not_overridden_is_never_called():
    """
    The base's own methods are not called, whether they are inherited or named again.
    """

    class Few(Observer):
        build_begin = Observer.build_begin

        def build_end(self, event, /):
            self.ended = event.key

    of_base, called, few = {getattr(Observer, word).__code__ for word in WORDS}, [], Few()

    def profile(frame, what, argument):
        if what == "call" and frame.f_code in of_base:
            called.append(frame.f_code.co_name)

    container = Container(shop())
    container.observe(few)
    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        async with container, container.scope() as scope:
            await scope.get(Session)
    finally:
        sys.setprofile(before)

    assert few.ended == "Session"
    assert called == []


async def test_an_observer_that_raises_is_reported_once_and_removed(caplog):
    """
    An observer that raises breaks no build, is named in one error of the log, and hears nothing more; others do.
    """

    class Broken(Observer):
        def build_begin(self, event, /):
            raise ZeroDivisionError("oops")

    container, hearing = Container(shop()), Hearing()
    container.observe(Broken())
    container.observe(hearing)
    async with container, container.scope() as scope:
        await scope.get(Session)

    (record,) = [record for record in caplog.records if record.name == "asyncmeta"]
    assert record.levelno == logging.ERROR
    assert record.getMessage().endswith("Broken raised in build_begin and is removed")
    assert record.exc_info[0] is ZeroDivisionError
    assert hearing.of("build_end") == ["Database", "Session"]


async def test_removed_observers_hear_nothing():
    """
    After `remove`, or the end of the block, an observer hears nothing; removing twice is nothing.
    """
    container, hearing, other = Container(shop()), Hearing(), Hearing()
    async with container:
        with container.observe(hearing) as observation:
            assert isinstance(observation, Observation)
            await container.get(Database)
        kept = container.observe(other)
        async with container.scope() as scope:
            await scope.get(Session)
        observation.remove()
        kept.remove()
        async with container.scope() as scope:
            await scope.get(Session)

    assert hearing.of("build_end") == ["Database"]
    assert other.of("build_end") == ["Session"]
    assert other.of("finalize_end") == ["Session"]


@pytest.mark.parametrize("observer", [3, Observer, Hearing, None, print], ids=repr)
def test_what_is_no_observer_is_refused(observer):
    """
    observe takes an instance of a subclass of Observer, and says so.
    """
    with pytest.raises(DeclarationError, match="instance of a subclass of Observer"):
        Container(fresh_app()).observe(observer)


@guarded
async def test_observing_begins_while_scopes_are_open():
    """
    In a scope that is open already, what is built from then on is heard; generated code no longer hides it.
    """
    app, hearing = fresh_app(), Hearing()
    app.register_dependency("x", object, lifetime="transient")
    async with Container(app) as container, container.scope() as scope:
        getter = scope.getter("x")
        for _ in range(3):
            await scope.get("x")
            await getter()
        with container.observe(hearing):
            await scope.get("x")
            await getter()
        await scope.get("x")

    assert hearing.of("build_end") == ['"x"', '"x"']


@guarded
async def test_a_concurrent_value_is_heard():
    """
    Values that are built beside others are heard, with what they are built for.
    """
    app, hearing = fresh_app(), Hearing()
    both = asyncio.Barrier(2)

    async def meet():
        await both.wait()

    app.register_dependency("a", meet, lifetime="scoped", concurrent=True)
    app.register_dependency("b", meet, lifetime="scoped", concurrent=True)
    app.register_dependency("c", lambda a, b: 1, lifetime="scoped")
    container = Container(app)
    container.observe(hearing)
    async with container, container.scope() as scope:
        await scope.get("c")

    assert sorted(hearing.of("build_end")) == ['"a"', '"b"', '"c"']
    assert {event.parent for word, event in hearing.heard if word == "build_begin"} == {'"c"', None}


def test_threads_are_heard():
    """
    What several threads build at once is heard as often as it is built.
    """
    app, hearing = fresh_app(), Hearing()
    app.register_dependency("shared", object)
    app.register_dependency("own", lambda shared: object(), lifetime="scoped")
    container = Container(app)
    container.observe(hearing)

    def work(number):
        with container.scope() as scope:
            return scope.get_nowait("own")

    with container:
        results = in_threads(4, work)

    assert len(set(map(id, results))) == 4
    assert sorted(hearing.of("build_end")) == ['"own"'] * 4 + ['"shared"']


async def test_overlays_are_heard():
    """
    What an overlay builds and closes is heard by the observers of its container, those that come later included.
    """
    container, early, late = Container(shop()), Hearing(), Hearing()
    container.observe(early)

    async def other() -> AsyncIterator[Database]:
        yield Database()

    async with container:
        async with container.overlay([{"provide": Database, "use_factory": other}]) as overlay:
            await overlay.get(Database)
            container.observe(late)

    assert early.of("build_end", "finalize_end") == ["Database", "Database"]
    assert late.of("finalize_end") == ["Database"]
    assert len(early.of("container_closed")) == 1


async def test_an_open_overlay_is_heard_from_now_on():
    """
    An overlay that began before anybody observed is heard from then on, as its container is.
    """
    app, hearing = fresh_app(), Hearing()
    app.register_dependency("x", lambda: 1)
    app.register_dependency("y", lambda x: x + 1)
    async with Container(app) as container, container.overlay({"x": 10}) as overlay:
        with container.observe(hearing):
            assert await overlay.get("y") == 11
        assert overlay._singletons.watch is None

    assert hearing.of("build_end") == ['"y"']


# --- nobody is told ---------------------------------------------------------------------------------------

GOLDEN_ROOT = """\
async def root(scope):
    values = scope._values
    if (s1 := values[0]) is not UNSET and s1 is not FLIGHT:
        return s1
    if running_loop() is not loop:
        elsewhere(scope)
    if scope._roots is CLOSED:
        scope._check_open()
    live(scope)
    scope._in_flight += 1
    try:
        while (s1 := values[0]) is FLIGHT:
            await join(scope, 0, n1)
        if s1 is UNSET:
            values[0] = FLIGHT
            generator = f1(a1)
            async for s1 in generator:
                break
            else:
                raise StopAsyncIteration
            if scope._finalizers is None:
                scope._finalizers = generator
            else:
                push(scope, generator)
            values[0] = s1
            if scope._waiters:
                settle(scope, 0, s1)
        result = s1
    except BaseException as error:
        scope._in_flight -= 1
        undo(scope, error, lines)
        raise
    scope._in_flight -= 1
    if scope._in_flight >= CLOSING:
        landed(scope)
    return result
"""


async def test_generated_code_is_the_same_byte_for_byte():
    """
    The code of a root is what the golden text says before anybody observes, and it is run again when nobody does.
    """
    async with Container(shop()) as container:

        async def text():
            async with container.scope() as scope:
                for _ in range(3):
                    await scope.get(Session)
                plan = container._root_table.find(scope, Session).plan
                return plan, emit_root(plan, 1).text

        plan, before = await text()
        code = plan.code
        with container.observe(Hearing()):
            _, during = await text()
            assert not container._root_table.tables[1]  # nothing is bound
        plan, after = await text()
        assert container._root_table.tables[1]  # it is again

    assert before == during == after == GOLDEN_ROOT
    assert plan.code is code
    assert not container._observed
    assert container._singletons.watch is None


def test_nothing_is_called_when_nothing_is_installed(monkeypatch):
    """
    Without middleware, observers and a limit for slow builds, no room of observing is entered.
    """
    from asyncmeta._run.observe import cause, slow, watch as observing

    def never(*args, **named):
        raise AssertionError("entered")

    monkeypatch.setattr(observing.Watch, "build", never)
    monkeypatch.setattr(observing.Watch, "tell", never)
    monkeypatch.setattr(observing.Watch, "__init__", never)
    monkeypatch.setattr(cause.Causes, "__init__", never)
    monkeypatch.setattr(cause.Build, "__init__", never)
    monkeypatch.setattr(slow.Clock, "__init__", never)

    async def run():
        async with Container(shop()) as container, container.scope() as scope:
            await scope.get(Session)
            async with container.request(Session):
                pass

    asyncio.run(run(), debug=False)


# --- the log ------------------------------------------------------------------------------------------------


async def test_the_logging_observer_logs_one_line_each(caplog):
    """
    Every event is one readable line at DEBUG under "asyncmeta", with its facts in the record.
    """
    caplog.set_level(logging.DEBUG, "asyncmeta")
    container = Container(shop())
    container.observe(LoggingObserver())
    async with container, container.scope() as scope:
        await scope.get(Session)
    override_began(container, ["x"])
    override_ended(container, ["x"])

    records = [record for record in caplog.records if record.name == "asyncmeta"]
    lines = [record.getMessage().partition(" after ")[0] for record in records]
    assert {record.levelno for record in records} == {logging.DEBUG}
    assert lines == [
        f"opened the container of {container._name}",
        "opened a scoped scope",
        "building Database for Session",
        "built Database",
        "building Session",
        "built Session",
        "finalizing Session",
        "finalized Session",
        "closed a scoped scope",
        "finalizing Database",
        "finalized Database",
        f"closed the container of {container._name}",
        'overriding "x"',
        'no longer overriding "x"',
    ]
    built = records[3]
    assert (built.asyncmeta_event, built.asyncmeta_key, built.asyncmeta_parent) == ("build_end", "Database", "Session")
    assert built.asyncmeta_seconds >= 0
    assert built.asyncmeta_task == "asyncmeta: Database"


async def test_the_logging_observer_formats_no_name(caplog):
    """
    A token with a percent sign is a name, not a format; and the level and logger are the caller's choice.
    """
    logger = logging.getLogger("elsewhere")
    caplog.set_level(logging.INFO, "elsewhere")
    app = fresh_app()

    @inject_dependency("100%s", on=app)
    async def broken():
        raise ValueError

    container = Container(app)
    container.observe(LoggingObserver(logging.INFO, logger))
    await outcome(container.get("100%s"))
    await container.aclose()

    assert caplog.messages[0] == 'building "100%s"'
    assert caplog.messages[1].startswith('failed to build "100%s" after ')


def test_the_logging_observer_hears_everything():
    """
    There is a line for every word that an observer can hear.
    """
    assert [word for word in WORDS if word not in vars(LoggingObserver)] == []
    assert [word for word in WORDS if len(inspect.signature(getattr(Observer, word)).parameters) != 2] == []


async def test_scopes_that_were_made_to_tell_go_on_without_observers():
    """
    A scope that is open as the last observer leaves, or is opened by what was taken before, tells nobody.
    """
    App, heard = fresh_app(), Hearing()
    App.register_dependency(Session, Session, lifetime="scoped")
    async with Container(App) as container:
        observation = container.observe(heard)
        async with container.scope() as before:
            await before.get(Session)
            opens = container.scope
            observation.remove()
        async with opens() as after:
            session = await after.get(Session)

    assert type(session) is Session
    assert heard.of("scope_opened", "scope_closed") == ["scoped"]


def test_a_run_that_was_left_alone_is_no_finalizer_to_tell_of():
    """
    A factory that took too long is waited for at the end, and nothing of it was built or is finalized.
    """
    App, heard, gate = fresh_app(), Hearing(), Gate()

    def slow():
        gate.passed()

    App.register_dependency("slow", slow, in_thread=True, timeout=0.01)
    with Container(App) as container:
        container.observe(heard)
        with pytest.raises(BuildTimeoutError):
            container.get_nowait("slow")
        gate.go.set()

    assert heard.of("build_end", "finalize_begin") == []
