"""
What does pytest need to know?  A container for each test, opened and closed in the test's own task, whoever runs it.

Fixtures: ``container``, of the application that the ini option ``asyncmeta_root`` (``pkg.mod:App``) or a fixture of that
name says; ``override``; ``registrations``.  Marker: ``asyncmeta(overrides=..., new=False)``.

Where that names a container, or a web application that has one, it is that of the program itself: its own life, that of a
test client, opens and closes it, and what is left open is closed when the test ends.
"""

from __future__ import annotations

import asyncio
import functools
import importlib
import inspect
import threading
import warnings
from collections.abc import Callable, Generator, Iterator
from types import TracebackType
from typing import Any

import pytest

from . import AsyncMetaError, AsyncServiceBase, Container
from .integrations._applications import container_of, integration_of
from .integrations._lifespan import TESTED
from .testing import OverrideFixture, registrations as restored

__all__ = ["asyncmeta_root", "container", "override", "registrations"]

_OPTION = "asyncmeta_root"
_MARKER = "asyncmeta(overrides, new=False): put overrides in force in the container of the test, before it begins."


def pytest_addoption(parser: pytest.Parser) -> None:
    """Know the ini option."""
    parser.addini(_OPTION, "the application of the fixture `container`, as pkg.mod:App", default="")


def pytest_configure(config: pytest.Config) -> None:
    """Know the marker."""
    config.addinivalue_line("markers", _MARKER)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Refuse a marker that would say nothing."""
    if any(mark.name == "asyncmeta" for mark in item.own_markers) and "container" not in getattr(item, "fixturenames", ()):
        pytest.fail("marked asyncmeta(overrides=...), but nothing in this test uses the fixture `container`", pytrace=False)


# --- the life of a test's container ------------------------------------------------------------------


class _Life:
    """The container of one test, and the overrides that end with the test."""

    def __init__(self, container: Container) -> None:
        self.container = container
        self.running = False  #: the test itself is; before it its fixtures are set up
        self.blocks: list[Any] = []

    def override(self, overrides: Any, /, *, everywhere: bool = False, new: bool = False) -> None:
        # The context in which a fixture runs is the test's own with no runner for certain: so for everybody.  Nobody
        # else uses the container of a test.
        block = self.container.override(overrides, everywhere=everywhere or not self.running, new=new)
        block.__enter__()
        self.blocks.append(block)

    async def __aenter__(self) -> None:
        await self.container.__aenter__()
        self.running = True

    async def __aexit__(self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.running = False
        try:
            while self.blocks:
                await self.blocks.pop().__aexit__(exc_type, exc, tb)
        finally:
            await self.container.__aexit__(exc_type, exc, tb)

    def __enter__(self) -> None:
        self.container.__enter__()
        self.running = True

    def __exit__(self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.running = False
        try:
            self.end_overrides(exc_type, exc, tb)
        finally:
            self.container.__exit__(exc_type, exc, tb)

    def end(self) -> None:
        """End the overrides of a test that was never called."""
        self.end_overrides()

    def end_overrides(self, *raised: Any) -> None:
        """End the overrides without a loop."""
        while self.blocks:
            self.blocks.pop().__exit__(*(raised or (None, None, None)))


class _Shared:
    """The container of a program under test, and the overrides that end with the test."""

    def __init__(self, container: Container) -> None:
        self.container = container
        self.blocks: list[Any] = []
        #: a client of a wider range than a test has it open
        self.entered = bool(container._grounds)
        if container.closed:  # by an earlier test: as before its first life
            container._enter()
        TESTED.add(container)

    def override(self, overrides: Any, /, *, everywhere: bool = True, new: bool = False) -> None:
        # Requests run in other tasks, and in other threads.
        block = self.container.override(overrides, everywhere=True, new=new)
        block.__enter__()
        self.blocks.append(block)

    def _is_left(self) -> bool:
        return not (self.container.closed or self.container._grounds)

    async def __aenter__(self) -> None: ...

    async def __aexit__(self, *raised: Any) -> None:
        """Close what the test has opened in its own loop; a client that is a fixture may still have it open."""
        if self._is_left() and self.container._singletons.origin.loop in (None, asyncio.get_running_loop()):
            await self.container.aclose()

    def __enter__(self) -> None: ...

    def __exit__(self, *raised: Any) -> None: ...

    def end(self) -> None:
        """Close what is left, wherever it was opened, and end the overrides."""
        TESTED.discard(self.container)
        try:
            if not self.entered and self._is_left():
                _done(self.container.close, self.container.aclose, self.container)
        finally:
            nothing = (None, None, None)
            while self.blocks:
                block = self.blocks.pop()
                _done(functools.partial(block.__exit__, *nothing), functools.partial(block.__aexit__, *nothing), self.container)


def _done(plain: Callable[[], Any], awaited: Callable[[], Any], container: Container) -> None:
    """Do something without a loop, or where it has to be awaited, in the container's own."""
    try:
        plain()
    except AsyncMetaError:
        loop = container._singletons.origin.loop
        if loop is None or loop.is_closed():
            # In a thread: a loop of one's own in this one would take the place of the runner's.
            thread = _Thread(awaited)
            thread.start()
            thread.join()
            thread.tell()
        elif loop.is_running():
            asyncio.run_coroutine_threadsafe(awaited(), loop).result()
        else:
            loop.run_until_complete(awaited())


class _Thread(threading.Thread):
    """Awaits something in a loop of its own."""

    def __init__(self, awaited: Callable[[], Any]) -> None:
        super().__init__(name="asyncmeta: closing")
        self._awaited = awaited
        self._raised: BaseException | None = None

    def run(self) -> None:
        try:
            with warnings.catch_warnings():
                # What a test client without a lifespan has built died with its loop, one for each request.
                warnings.simplefilter("ignore", ResourceWarning)
                asyncio.run(self._await())
        except BaseException as error:
            self._raised = error

    async def _await(self) -> None:
        await self._awaited()

    def tell(self) -> None:
        """Raise what was raised."""
        if self._raised is not None:
            raise self._raised


_LIFE = pytest.StashKey["_Life | _Shared"]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Open and close the container around the test function, in the task that calls it."""
    life = item.stash.get(_LIFE, None)
    function = getattr(item, "obj", None)
    if life is None or function is None:
        return (yield)
    holder: Any = item
    name = "obj"
    if hasattr(function, "hypothesis"):  # which calls the inner function once for each example
        holder, name, function = function.hypothesis, "inner_test", function.hypothesis.inner_test
    setattr(holder, name, _living(function, life))
    try:
        return (yield)
    finally:
        setattr(holder, name, function)


def _living(function: Any, life: _Life | _Shared) -> Callable[..., Any]:
    """Return *function* with *life* around each call."""
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def in_task(*args: Any, **named: Any) -> Any:
            async with life:
                return await function(*args, **named)

        return in_task

    @functools.wraps(function)
    def in_place(*args: Any, **named: Any) -> Any:
        with life:
            return function(*args, **named)

    return in_place


# --- fixtures ------------------------------------------------------------------------------------------


@pytest.fixture
def asyncmeta_root(request: pytest.FixtureRequest) -> type[AsyncServiceBase] | Container | None:
    """
    Return what the ini option names: an application class, a container, or a web application that has one.

    None, the shared layer, where it names none.
    """
    where = request.config.getini(_OPTION)
    if not where:
        return None
    module, _, path = where.partition(":")
    try:
        found = functools.reduce(getattr, path.split("."), importlib.import_module(module))
    except (ImportError, AttributeError, ValueError) as error:
        raise pytest.UsageError(f"{_OPTION} = {where}: {error}; write pkg.mod:App") from error
    if not isinstance(found, (type, Container)) and integration_of(found) is not None:
        return container_of(found)
    return found  # type: ignore[return-value]  # Container says what is wrong with it


@pytest.fixture
def container(request: pytest.FixtureRequest, asyncmeta_root: type[AsyncServiceBase] | Container | None) -> Iterator[Container]:
    """
    Return a new container of the application, for one test; or the program's own, where `asyncmeta_root` is one.

    It is entered when the test function begins, and closed when it ends, in the test's own task: other fixtures can use
    it when they are set up, no more when they are torn down.  In a plain function it is entered with ``with``, so what
    has to be awaited cannot be built.
    """
    life = _Shared(asyncmeta_root) if isinstance(asyncmeta_root, Container) else _Life(Container(asyncmeta_root))
    for mark in reversed(list(request.node.iter_markers("asyncmeta"))):
        if mark.args or not mark.kwargs.keys() <= {"overrides", "new"}:
            raise pytest.UsageError(f"write @pytest.mark.asyncmeta(overrides=..., new=False), not {mark.args} and {mark.kwargs}")
        life.override(mark.kwargs.get("overrides", {}), new=mark.kwargs.get("new", False))
    request.node.stash[_LIFE] = life
    try:
        yield life.container
    finally:
        del request.node.stash[_LIFE]
        life.end()


@pytest.fixture
def override(request: pytest.FixtureRequest, container: Container) -> OverrideFixture:
    """
    Return what puts overrides in force until the test ends: ``override({Clock: FakeClock()})``.

    Called in the test they are seen by its task and that task's children (``everywhere=True``: by everybody); called in
    a fixture, or for the program's own container, by everybody.  Called before a test client starts the application they
    are in force for its start-up.
    """
    return request.node.stash[_LIFE].override  # type: ignore[no-any-return]  # a stash knows, a node does not


@pytest.fixture
def registrations() -> Iterator[None]:
    """Restore the shared layer when the test has ended; see `asyncmeta.testing.registrations`."""
    with restored():
        yield
