"""
What does pytest need to know?  A container for each test, opened and closed in the test's own task, whoever runs it.

Fixtures: ``container``, of the application that the ini option ``asyncmeta_root`` (``pkg.mod:App``) or a fixture of that
name says; ``override``; ``registrations``.  Marker: ``asyncmeta(overrides=..., new=False)``.
"""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Callable, Generator, Iterator
from types import TracebackType
from typing import Any

import pytest

from . import AsyncServiceBase, Container
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

    def end_overrides(self, *raised: Any) -> None:
        """End the overrides without a loop."""
        while self.blocks:
            self.blocks.pop().__exit__(*(raised or (None, None, None)))


_LIFE = pytest.StashKey[_Life]()


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


def _living(function: Any, life: _Life) -> Callable[..., Any]:
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
def asyncmeta_root(request: pytest.FixtureRequest) -> type[AsyncServiceBase] | None:
    """Return the application that the ini option names; None, the shared layer, where it names none."""
    where = request.config.getini(_OPTION)
    if not where:
        return None
    module, _, path = where.partition(":")
    try:
        found = functools.reduce(getattr, path.split("."), importlib.import_module(module))
    except (ImportError, AttributeError, ValueError) as error:
        raise pytest.UsageError(f"{_OPTION} = {where}: {error}; write pkg.mod:App") from error
    return found  # type: ignore[return-value]  # Container says what is wrong with it


@pytest.fixture
def container(request: pytest.FixtureRequest, asyncmeta_root: type[AsyncServiceBase] | None) -> Iterator[Container]:
    """
    Return a new container of the application, for one test.

    It is entered when the test function begins, and closed when it ends, in the test's own task: other fixtures can use
    it when they are set up, no more when they are torn down.  In a plain function it is entered with ``with``, so what
    has to be awaited cannot be built.
    """
    life = _Life(Container(asyncmeta_root))
    for mark in reversed(list(request.node.iter_markers("asyncmeta"))):
        if mark.args or not mark.kwargs.keys() <= {"overrides", "new"}:
            raise pytest.UsageError(f"write @pytest.mark.asyncmeta(overrides=..., new=False), not {mark.args} and {mark.kwargs}")
        life.override(mark.kwargs.get("overrides", {}), new=mark.kwargs.get("new", False))
    request.node.stash[_LIFE] = life
    yield life.container
    life.end_overrides()  # of a test that was never called
    del request.node.stash[_LIFE]


@pytest.fixture
def override(request: pytest.FixtureRequest, container: Container) -> OverrideFixture:
    """
    Return what puts overrides in force until the test ends: ``override({Clock: FakeClock()})``.

    Called in the test they are seen by its task and that task's children (``everywhere=True``: by everybody); called in
    a fixture, by everybody.
    """
    return request.node.stash[_LIFE].override  # type: ignore[no-any-return]  # a stash knows, a node does not


@pytest.fixture
def registrations() -> Iterator[None]:
    """Restore the shared layer when the test has ended; see `asyncmeta.testing.registrations`."""
    with restored():
        yield
