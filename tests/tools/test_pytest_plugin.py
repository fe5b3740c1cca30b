"""The pytest plugin: one life of a container for each test, in the test's own task, whoever runs it."""

import asyncio
import contextlib
import re
import subprocess
import sys
import threading
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from doc_pages import blocks
from helpers import fresh_app

from asyncmeta import AsyncDependencyError, Container
from asyncmeta.pytest_plugin import _done

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.slow  # each test runs tests

ROOT = Path(__file__).parents[2]
NAME = "asyncmeta.pytest_plugin"
#: Where asyncmeta is installed, pytest finds the plugin by itself.
LOAD = () if any(one.value == NAME for one in entry_points(group="pytest11")) else ("-p", NAME)

#: How the tests are run: options, the ini file, the mark of asynchronous tests.
RUNNERS = {
    "asyncio strict": ((), "asyncio_mode = strict\nasyncio_default_fixture_loop_scope = function", "pytest.mark.asyncio"),
    "asyncio auto": ((), "asyncio_mode = auto\nasyncio_default_fixture_loop_scope = function", "lambda test: test"),
    "anyio": (("-p", "no:asyncio"), "", "pytest.mark.anyio"),
    "anyio beside asyncio auto": ((), "asyncio_mode = auto\nasyncio_default_fixture_loop_scope = function", "pytest.mark.anyio"),
}

APPLICATION = """
import asyncio
import pytest
from asyncmeta import AsyncServiceBase, AsyncDependencyDescriptor, Container, inject_dependency

STEPS = []

class Clock:
    name = "real"

class Fake(Clock):
    name = "fake"

class Store:
    def __init__(self, clock: Clock):
        self.clock = clock

class App(AsyncServiceBase):
    @inject_dependency("loop")
    @staticmethod
    async def loop():
        STEPS.append("open")
        try:
            yield asyncio.get_running_loop()
        finally:
            STEPS.append("close")

    @inject_dependency("guarded")
    @staticmethod
    async def guarded(clock: Clock):
        # A scope of cancellation has to be left in the task that has entered it.
        async with asyncio.timeout(60):
            yield clock.name

App.register_dependency(Clock, Clock)
App.register_dependency(Store, Store)
"""

HEAD = """
import asyncio
import pytest
import plugged_app
from plugged_app import App, Clock, Fake, STEPS, Store

mark = {mark}

@pytest.fixture
def anyio_backend():
    return "asyncio"
"""


def running(pytester, runner):
    """Return what runs a test module, given as text, under a runner."""
    options, ini, mark = RUNNERS[runner]

    def run_tests(text, root="asyncmeta_root = plugged_app:App"):
        pytester.makepyfile(plugged_app=APPLICATION)
        # The second line is of hypothesis, about its own generator of numbers, in a thread that is new.
        warned = "error\n    ignore:It looks like .register_random."
        pytester.makeini(f"[pytest]\npythonpath = .\nfilterwarnings =\n    {warned}\n{root}\n{ini}")
        pytester.makepyfile(test_it=HEAD.format(mark=mark) + text)
        return pytester.runpytest_inprocess(*LOAD, "-p", "no:cacheprovider", *options)

    return run_tests


@pytest.fixture(params=RUNNERS)
def run(request, pytester):
    """Run a test module, given as text, under each of the runners."""
    return running(pytester, request.param)


@pytest.fixture
def run_once(pytester):
    """Run a test module, given as text, under one of them: where it cannot matter which."""
    return running(pytester, "asyncio auto")


def test_the_container_lives_in_the_task_of_the_test(run):
    """
    It is entered when the test function begins, and closed when it ends, in the test's task and loop; each test has its own.
    """
    result = run("""
seen = []

@mark
async def test_one(container):
    await container.get("guarded")
    assert await container.get("loop") is asyncio.get_running_loop()
    seen.append(container)
    assert STEPS == ["open"]

def test_it_was_closed():
    assert STEPS == ["open", "close"]
    assert seen[0].closed

@mark
async def test_two(container):
    assert container is not seen[0]
    await container.get("loop")

@mark
async def test_it_was_closed_in_time(container):
    assert STEPS == ["open", "close"] * 2
""")

    result.assert_outcomes(passed=4)


def test_a_failing_test_closes_the_container(run):
    """
    Whatever ends the test, what was built is torn down, and the test's own failure is what is told.
    """
    result = run("""
@mark
async def test_fails(container):
    await container.get("loop")
    assert False, "this one"

@mark
async def test_skips(container):
    await container.get("loop")
    pytest.skip("not today")

def test_both_were_closed():
    assert STEPS == ["open", "close"] * 2
""")

    result.assert_outcomes(passed=1, failed=1, skipped=1)
    result.stdout.fnmatch_lines(["E*AssertionError: this one"])


def test_a_failing_finalizer_fails_the_test(run):
    """
    What closing raises is told of the test in which it happens.
    """
    result = run("""
@pytest.fixture
def asyncmeta_root():
    class Broken(App):
        pass

    async def broken():
        yield 1
        raise OSError("closing")

    Broken.register_dependency("broken", broken)
    return Broken

@mark
async def test_it(container):
    assert await container.get("broken") == 1
""")

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*FinalizationErrors*"])


def test_overrides_last_until_the_test_ends(run):
    """
    `override` reaches what was built before, is seen by the test and its tasks, and ends with the test; values and providers.
    """
    result = run("""
@mark
async def test_inside(container, override):
    store = await container.get(Store)
    override({Clock: Fake()})
    assert (await container.get(Store)).clock.name == "fake"
    assert (await asyncio.create_task(container.get(Clock))).name == "fake"
    assert await container.get("guarded") == "fake"
    override([{"provide": Clock, "use_class": Clock}])
    assert (await container.get(Clock)).name == "real"
    assert await container.get("guarded") == "real"

@mark
async def test_not_for_others(container, override):
    begin = asyncio.Event()

    async def other():
        await begin.wait()
        return (await container.get(Clock)).name

    mine, everybodys = asyncio.create_task(other()), asyncio.create_task(other())
    await asyncio.sleep(0)
    override({Clock: Fake()})
    begin.set()
    assert await mine == await everybodys == "real"
    override({Clock: Fake()}, everywhere=True)
    assert await asyncio.create_task(other()) == "fake"

@mark
async def test_everywhere(container, override):
    begin = asyncio.Event()

    async def other():
        await begin.wait()
        return (await container.get(Clock)).name

    task = asyncio.create_task(other())
    await asyncio.sleep(0)
    override({Clock: Fake()}, everywhere=True)
    begin.set()
    assert await task == "fake"

@mark
async def test_new_keys_have_to_be_meant(container, override):
    with pytest.raises(LookupError):
        override({"unheard of": 1})
    override({"unheard of": 1}, new=True)
    assert await container.get("unheard of") == 1

@mark
async def test_afterwards(container):
    assert (await container.get(Clock)).name == "real"
""")

    result.assert_outcomes(passed=5)


def test_fixtures_can_override(run):
    """
    An override that a fixture puts in force reaches the test, whatever context the runner gives either.
    """
    result = run("""
@pytest.fixture
def frozen(override):
    override({Clock: Fake()})

@pytest.fixture
def store(container, frozen):
    return container.get_nowait(Store)

@mark
async def test_it(frozen, container, override, store):
    assert store.clock.name == "fake"
    assert (await container.get(Clock)).name == "fake"
    assert await container.get("guarded") == "fake"
    override({Clock: "mine"})
    assert await container.get(Clock) == "mine"

def test_in_place(frozen, container):
    assert container.get_nowait(Store).clock.name == "fake"
""")

    result.assert_outcomes(passed=2)


def test_the_marker_overrides(run):
    """
    The marker's overrides are in force when the test begins; those of the function stand above those of the class.
    """
    result = run("""
@pytest.mark.asyncmeta(overrides={Clock: "of the class", "loop": "no loop"})
class TestIt:
    @mark
    async def test_class(self, container):
        assert await container.get(Clock) == "of the class"

    @mark
    @pytest.mark.asyncmeta(overrides={Clock: "of the function", "more": 1}, new=True)
    async def test_function(self, container):
        assert await container.get(Clock) == "of the function"
        assert await container.get("loop") == "no loop"
        assert await container.get("more") == 1

    def test_plain(self, container):
        assert container.get_nowait(Store).clock == "of the class"

    def test_without(self):
        pass

@mark
async def test_none(container):
    assert (await container.get(Clock)).name == "real"
""")

    result.assert_outcomes(passed=5)


def test_a_marker_that_says_nothing_is_refused(run_once):
    """
    A marker on a test without the container, or with unknown arguments, is an error and not silence.
    """
    result = run_once("""
@pytest.mark.asyncmeta(overrides={Clock: 1})
def test_without():
    pass

@pytest.mark.asyncmeta({Clock: 1})
def test_by_position(container):
    pass

@pytest.mark.asyncmeta(overides={Clock: 1})
def test_misspelt(container):
    pass
""")

    result.assert_outcomes(errors=3)
    result.stdout.fnmatch_lines(["*uses the fixture `container`*", "*write @pytest.mark.asyncmeta(overrides=*"])


def test_plain_tests_work_without_a_loop(run_once):
    """
    In a plain function the container is entered with `with`; a test that runs a loop of its own may close it there.
    """
    result = run_once("""
def test_plain(container):
    assert container.get_nowait(Store) is container.get_nowait(Store)

def test_own_loop(container):
    async def main():
        async with container:
            await container.get("loop")

    asyncio.run(main())
    assert STEPS == ["open", "close"]
    assert container.closed
""")

    result.assert_outcomes(passed=2)


def test_another_root(run_once):
    """
    A fixture `asyncmeta_root` wins over the ini option; without either the container is that of the shared layer.
    """
    result = run_once("""
class TestRoot:
    @pytest.fixture
    def asyncmeta_root(self):
        class Other(App):
            pass

        Other.register_value(Clock, "other")
        return Other

    @mark
    async def test_it(self, container):
        assert await container.get(Clock) == "other"

@mark
async def test_shared(container, registrations):
    from asyncmeta import inject_dependency

    inject_dependency("word")(lambda: "shared")
    assert await container.get("word") == "shared"
""", root="")  # fmt: skip

    result.assert_outcomes(passed=2)


@pytest.mark.parametrize("where", ["plugged_app", "plugged_app:Nothing", "nowhere:App"])
def test_a_wrong_root_is_told(run_once, where):
    """
    An ini option that names nothing is an error that says so.
    """
    result = run_once("def test_it(container): pass", root=f"asyncmeta_root = {where}")

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"*asyncmeta_root = {where}: *write pkg.mod:App*"])


def test_registrations_are_restored(run_once):
    """
    With the fixture `registrations` what a test registers on the shared layer is gone after it.
    """
    result = run_once("""
from asyncmeta import AsyncServiceBase, inject_dependency

def test_registers(registrations):
    inject_dependency("theirs")(lambda: 1)
    assert AsyncServiceBase.get_dependency("theirs") is not None

def test_is_gone():
    assert AsyncServiceBase.get_dependency("theirs") is None
""")

    result.assert_outcomes(passed=2)


def test_each_example_of_a_property_has_its_life(run):
    """
    Under hypothesis the container is entered and closed around each example.
    """
    result = run("""
from hypothesis import HealthCheck, given, settings, strategies as st

seen = []

@mark
@settings(max_examples=3, suppress_health_check=list(HealthCheck), deadline=None, database=None)
@given(st.integers())
async def test_property(container, number):
    await container.get("loop")
    seen.append(number)

def test_lives():
    assert len(seen) > 1
    assert STEPS == ["open", "close"] * len(seen)
""")

    result.assert_outcomes(passed=2)


@pytest.mark.parametrize("runner", ["asyncio auto", "anyio"])
def test_the_tests_of_the_documentation_pass(runner, pytester):
    """
    The tests that the how-to page shows pass, when they are run as its files.
    """
    options, _, mark = RUNNERS[runner]
    found = blocks(ROOT / "docs" / "howto" / "test-with-pytest.rst")
    files = {}
    for block in found:
        files[block.file] = files.get(block.file, "") + "\n\n" + block.text
    (ini,) = (block.text for block in found if block.language == "ini")
    if runner == "anyio":  # as the page says
        ini = "\n".join(line for line in ini.splitlines() if not line.startswith("asyncio_"))
        pytester.makeconftest("import pytest\n\n@pytest.fixture\ndef anyio_backend():\n    return 'asyncio'\n")
        files["test_shop.py"] = re.sub(r"^( *)(async def test_)", rf"\1@{mark}\n\1\2", files["test_shop.py"], flags=re.MULTILINE)
    pytester.makefile(".ini", pytest=ini + "\npythonpath = .\nfilterwarnings = error")
    pytester.makepyfile(shop=files["shop.py"], test_shop=files["test_shop.py"])

    result = pytester.runpytest_inprocess(*LOAD, "-p", "no:cacheprovider", *options)

    result.assert_outcomes(passed=11)


def test_pytest_finds_the_plugin():
    """
    The package says where the plugin is, by the entry point that pytest looks at.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    assert project["entry-points"]["pytest11"] == {"asyncmeta": NAME}


def test_the_plugin_is_cheap_to_import():
    """
    Beside asyncmeta, what that depends on, and pytest the plugin imports only the standard library: no runner of async tests.
    """
    program = (
        "import sys, asyncmeta, pytest, typing_extensions; before = set(sys.modules); import asyncmeta.pytest_plugin;"
        "print(*sorted(set(sys.modules) - before))"
    )

    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)

    brought = {name.split(".")[0] for name in done.stdout.split()}
    assert "asyncmeta" in brought
    assert brought - sys.stdlib_module_names == {"asyncmeta"}


# --- where it is closed ----------------------------------------------------------------------------------


async def held():
    yield 1
    CLOSED_IN.append(asyncio.get_running_loop())


CLOSED_IN = []


def with_held():
    CLOSED_IN.clear()
    app = fresh_app()
    app.register_dependency("held", held)
    return Container(app)


def done(container):
    _done(container.close, container.aclose, container)


def test_what_has_to_be_awaited_is_closed_in_its_own_loop():
    """
    A loop that stands still goes on for it.
    """
    container, loop = with_held(), asyncio.new_event_loop()
    loop.run_until_complete(container.get("held"))

    done(container)

    assert [loop] == CLOSED_IN
    loop.close()


def test_what_has_to_be_awaited_is_closed_by_the_thread_whose_loop_it_is():
    """
    A loop that runs in another thread does it there.
    """
    container, loop = with_held(), asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    asyncio.run_coroutine_threadsafe(container.get("held"), loop).result()

    done(container)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()

    assert [loop] == CLOSED_IN
    loop.close()


@pytest.mark.parametrize("error", [None, OSError("closing failed")], ids=["well", "fails"])
def test_what_has_no_loop_is_closed_in_a_thread(error):
    """
    What that raises is raised here.
    """
    where = []

    def plain():
        raise AsyncDependencyError("held", (), "")

    async def awaited():
        where.append(threading.current_thread().name)
        if error is not None:
            raise error

    with contextlib.nullcontext() if error is None else pytest.raises(OSError, match="closing failed"):
        _done(plain, awaited, Container(fresh_app()))

    assert where == ["asyncmeta: closing"]
