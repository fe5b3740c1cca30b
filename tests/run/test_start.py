"""What does start build, in which order, and what does it report?"""

import asyncio
import json
import time
import uuid
from typing import Annotated

import pytest

from asyncmeta import (
    AsyncDependencyDescriptor,
    AsyncServiceBase,
    Container,
    Inject,
    Lazy,
    MissingDependencyError,
    ScopeError,
    StartReport,
    Timing,
    inject_dependency,
)


def fresh_app(**keywords):
    """Return a service class of its own."""

    class App(AsyncServiceBase, **keywords):
        pass

    return App


def bare(key):
    """Return a key of a report without the quotes of a string token."""
    return key.strip('"')


async def test_start_builds_every_singleton():
    """
    Start builds the application, its registrations, its providers and everything these reach, attributes included.
    """
    built = []
    name = f"start {uuid.uuid4()}"
    unreached = f"start {uuid.uuid4()}"
    AsyncServiceBase.register_dependency(name, lambda: built.append("shared"))
    AsyncServiceBase.register_dependency(unreached, lambda: built.append("unreached"))

    class Ledger(AsyncServiceBase):
        shared = AsyncDependencyDescriptor(name)

        async def on_startup(self):
            built.append("ledger")

    class Listed(AsyncServiceBase):
        async def on_startup(self):
            built.append("listed")

    class Late(AsyncServiceBase):
        async def on_startup(self):
            built.append("late")

    class App(AsyncServiceBase, providers=[Listed]):
        ledger = AsyncDependencyDescriptor(Ledger)

        async def on_startup(self):
            built.append("app")

        @inject_dependency("own")
        @staticmethod
        async def make_own(late: Lazy[Late]):
            built.append("own")

    async with Container(App) as container:
        await container.start()

        assert sorted(built) == ["app", "late", "ledger", "listed", "own", "shared"]


async def test_after_start_everything_can_be_had_at_once():
    """
    What start built needs no awaiting any more.
    """
    App = fresh_app()

    @inject_dependency("thing", on=App)
    async def make():
        return object()

    container = Container(App)
    await container.start()

    assert container.get_nowait("thing") is await container.get("thing")


async def test_start_leaves_what_is_shadowed():
    """
    What a higher layer or an override stands before is not built, unless that asks for it.
    """
    built = []

    class Real(AsyncServiceBase):
        pass

    class Fakes(AsyncServiceBase):
        pass

    for name in ("mailer", "clock", "store"):
        Real.register_dependency(name, lambda name=name: built.append(f"real {name}"))
    Fakes.register_dependency("mailer", lambda: built.append("fake mailer"))
    Fakes.register_dependency("store", lambda store: built.append("store around it"))

    class Profile(Fakes, Real):
        pass

    async with Container(Profile, overrides={"clock": "stopped"}) as container:
        report = await container.start()

    assert sorted(built) == ["fake mailer", "real store", "store around it"]
    assert sorted(bare(timing.key) for timing in report.builds) == ["Profile", "clock", "mailer", "store", "store"]


async def test_start_builds_what_answers_one_key_of_several():
    """
    A value that is shadowed under one of its keys is built for the others; every value of a list is built.
    """
    built = []

    class Base(AsyncServiceBase):
        pass

    class App(Base):
        pass

    Base.register_dependency("store", lambda: built.append("store"), also=["archive"])
    App.register_dependency("archive", lambda: built.append("new archive"))
    Base.register_dependency("step", lambda: built.append("first"), multi=True)
    App.register_dependency("step", lambda: built.append("second"), multi=True)

    async with Container(App) as container:
        await container.start()

    assert sorted(built) == ["first", "new archive", "second", "store"]


async def test_start_of_some_builds_only_these():
    """
    Start with tokens builds what these need, and nothing else.
    """
    built = []
    App = fresh_app()
    App.register_dependency("a", lambda: built.append("a"))
    App.register_dependency("b", lambda a: built.append("b"))
    App.register_dependency("c", lambda: built.append("c"))

    report = await Container(App).start("b")

    assert built == ["a", "b"]
    assert [bare(timing.key) for timing in report.builds] == ["a", "b"]


async def test_start_builds_no_shorter_lives():
    """
    Scoped and transient values are not built by start.
    """
    built = []
    App = fresh_app()
    App.register_dependency("scoped", lambda: built.append("scoped"), lifetime="scoped")
    App.register_dependency("transient", lambda: built.append("transient"), lifetime="transient")
    App.register_dependency("single", lambda: built.append("single"))

    await Container(App).start()

    assert built == ["single"]


async def test_start_builds_side_by_side():
    """
    Singletons that do not need each other are built at the same time.
    """
    App = fresh_app()
    all_begun = asyncio.Barrier(3)

    for name in "abc":

        @inject_dependency(name, on=App)
        async def make():
            await all_begun.wait()  # returns only when all three are being built

    await asyncio.wait_for(Container(App).start(), 5)


async def test_concurrency_bounds_what_is_built_at_once():
    """
    With concurrency=2 no more than two factories run at the same time, and all are built.
    """
    App = fresh_app()
    running, most, built = 0, 0, []

    for name in "abcdef":

        @inject_dependency(name, on=App)
        async def make():
            nonlocal running, most
            running += 1
            most = max(most, running)
            for _ in range(3):
                await asyncio.sleep(0)
            running -= 1
            built.append(1)

    await Container(App).start(concurrency=2)

    assert most == 2
    assert len(built) == 6


async def test_dependencies_come_first():
    """
    What another needs is finished before that begins.
    """
    steps = []
    App = fresh_app()

    @inject_dependency("base", on=App)
    async def make_base():
        await asyncio.sleep(0)
        steps.append("base")

    @inject_dependency("top", on=App)
    async def make_top(base):
        steps.append("top")

    await Container(App).start()

    assert steps == ["base", "top"]


async def test_the_report_has_a_line_for_each_build():
    """
    For each value the report says how long it waited and ran, when it was finished and what it needed, in seconds.
    """
    App = fresh_app()

    @inject_dependency("base", on=App)
    async def make_base():
        await asyncio.sleep(0.05)

    @inject_dependency("top", on=App)
    async def make_top(base):
        await asyncio.sleep(0.01)

    report = await Container(App).start("top")

    assert isinstance(report, StartReport)
    base, top = report.builds
    assert all(isinstance(timing, Timing) for timing in (base, top))
    assert [bare(base.key), bare(top.key)] == ["base", "top"]
    assert base.needs == ()
    assert [bare(key) for key in top.needs] == ["base"]
    assert base.ran == pytest.approx(0.05, abs=0.04)
    assert base.ran >= 0.045
    assert 0.005 <= top.ran < 0.045
    assert top.waited >= 0.045
    assert base.waited < 0.045
    assert base.finished <= top.finished <= report.seconds
    assert report.seconds >= 0.055


async def test_the_critical_path_is_the_slowest_chain():
    """
    The critical path leads from what began first to what was finished last.
    """
    App = fresh_app()

    @inject_dependency("slow", on=App)
    async def make_slow():
        await asyncio.sleep(0.05)

    @inject_dependency("quick", on=App)
    async def make_quick(): ...

    @inject_dependency("top", on=App)
    async def make_top(slow, quick): ...

    report = await Container(App).start("top")

    assert [bare(timing.key) for timing in report.critical_path] == ["slow", "top"]


async def test_time_in_which_another_factory_held_the_loop_is_that_ones():
    """
    A synchronous factory that holds the loop is what decided; who could not go on meanwhile has run its own time only.
    """
    App = fresh_app()
    begun = asyncio.Event()

    @inject_dependency("quick", on=App)
    async def make_quick():
        begun.set()
        await asyncio.sleep(0.01)

    @inject_dependency("signal", on=App)
    async def make_signal():
        await begun.wait()

    @inject_dependency("blocking", on=App)
    def block(signal):
        time.sleep(0.1)

    report = await Container(App).start("quick", "blocking")

    timings = {bare(timing.key): timing for timing in report.builds}
    assert timings["quick"].finished > 0.1 > 0.08 > timings["quick"].ran
    assert timings["blocking"].held == pytest.approx(timings["blocking"].ran)
    assert [bare(timing.key) for timing in report.critical_path] == ["signal", "blocking"]
    assert [bare(timing.key) for timing in report.holding] == ["blocking"]
    assert '"blocking" held the event loop for 0.1' in str(report)
    assert "in_thread=True" in str(report)


async def test_a_constructor_that_holds_the_loop_is_its_services_time():
    """
    What a service's constructor took counts for the service, which held the loop; what it awaits afterwards held nothing.
    """
    App = fresh_app()

    class Service(AsyncServiceBase):
        def __init__(self):
            time.sleep(0.05)

        async def on_startup(self):
            await asyncio.sleep(0.03)

    report = await Container(App).start(Service)

    (timing,) = report.builds
    assert timing.ran >= 0.078
    assert 0.045 <= timing.held <= timing.ran - 0.025
    assert report.holding == ()


async def test_the_report_speaks_json():
    """
    The report as JSON holds the builds and the total.
    """
    App = fresh_app()
    App.register_dependency('a "quoted" <name>', lambda: None)

    report = await Container(App).start()
    told = json.loads(report.to_json())

    assert isinstance(told, dict)
    assert "quoted" in json.dumps(told)


async def test_a_second_start_builds_nothing():
    """
    Starting twice builds once.
    """
    built = []
    App = fresh_app()
    App.register_dependency("thing", lambda: built.append(1))
    container = Container(App)

    await container.start()
    report = await container.start()

    assert built == [1]
    assert [timing for timing in report.builds if bare(timing.key) == "thing"] == []


async def test_start_and_get_share_their_builds():
    """
    A get that comes while start is building waits for the same build.
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
    start = asyncio.create_task(container.start())
    await asyncio.wait_for(begun.wait(), 5)
    get = asyncio.create_task(container.get("thing"))
    await asyncio.sleep(0)
    go_on.set()

    assert await get == "thing"
    await start
    assert built == [1]


async def test_progress_hears_of_each_build():
    """
    The progress callback is called with the timing of each value as it is finished.
    """
    App = fresh_app()
    heard = []
    App.register_dependency("base", lambda: None)

    @inject_dependency("top", on=App)
    async def make(base): ...

    report = await Container(App).start("top", progress=heard.append)

    assert [bare(timing.key) for timing in heard] == ["base", "top"]
    assert [timing.key for timing in report.builds] == [timing.key for timing in heard]


async def test_a_failing_start_closes_what_it_built():
    """
    When a factory fails, start raises its exception; what was built stays owned and is closed in turn.
    """
    steps = []
    App = fresh_app()

    @inject_dependency("base", on=App)
    async def open_base():
        steps.append("open")
        try:
            yield
        finally:
            steps.append("close")

    @inject_dependency("top", on=App)
    async def fail(base):
        raise OSError("refused")

    with pytest.raises(OSError, match="refused"):
        async with Container(App) as container:
            await container.start()

    assert steps == ["open", "close"]


async def test_a_cancelled_start_stops_its_builds():
    """
    When start is cancelled, the builds that nobody else waits for are cancelled.
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

    async with Container(App) as container:
        start = asyncio.create_task(container.start())
        await asyncio.wait_for(begun.wait(), 5)
        start.cancel()
        with pytest.raises(asyncio.CancelledError):
            await start

    assert ended == [1]


async def test_start_of_what_cannot_be_started_is_told():
    """
    An unknown token is missing, and a scoped one is a scope error.
    """
    App = fresh_app()
    App.register_dependency("scoped", lambda: None, lifetime="scoped")
    container = Container(App)

    with pytest.raises(MissingDependencyError):
        await container.start("nobody")
    with pytest.raises(ScopeError):
        await container.start("scoped")


async def test_ten_slow_singletons_start_together():
    """
    Ten independent factories take as long as one.
    """
    App = fresh_app()
    for number in range(10):

        @inject_dependency(f"slow {number}", on=App)
        async def make():
            await asyncio.sleep(0.05)

    report = await Container(App).start()

    assert report.seconds < 0.25
    assert len([timing for timing in report.builds if timing.ran >= 0.045]) == 10


async def test_a_marked_parameter_counts_as_a_need():
    """
    What a registration needs is told by the names of its keys.
    """
    App = fresh_app()
    App.register_value("config", {})

    def make(value: Annotated[dict, Inject("config")]): ...

    App.register_dependency("thing", make)

    report = await Container(App).start("thing")

    (timing,) = [timing for timing in report.builds if bare(timing.key) == "thing"]
    assert [bare(key) for key in timing.needs] == ["config"]


@pytest.mark.parametrize("concurrency", [0, -1, 1.5, "2"])
async def test_concurrency_is_a_whole_number(concurrency):
    """
    How many builds may run at once is a number above 0.
    """
    async with Container(fresh_app()) as container:
        with pytest.raises(ValueError, match="concurrency is a whole number above 0, or None"):
            await container.start(concurrency=concurrency)
