"""A use of a service's attribute that is not awaiting says so, by the names of class and attribute."""

import asyncio
import inspect
import math
import operator
from unittest import mock

import pytest
from helpers import fresh_app

from asyncmeta import AsyncDependencyDescriptor, AsyncServiceBase, Container, Lazy

USES = [
    ("(await self.session).execute", lambda it: it.execute),
    ("(await self.session).execute", lambda it: it.execute("x")),
    ("(await self.session)(...)", lambda it: it()),
    ("(await self.session)(...)", lambda it: it(1, name=2)),
    ("for ... in await self.session", lambda it: list(it)),
    ("for ... in await self.session", lambda it: next(it)),
    ("for ... in await self.session", lambda it: reversed(it)),
    ("(await self.session)[...]", lambda it: it["a"]),
    ("(await self.session)[...]", lambda it: operator.setitem(it, "a", 1)),
    ("(await self.session)[...]", lambda it: operator.delitem(it, "a")),
    ("... in await self.session", lambda it: 1 in it),
    ("len(await self.session)", lambda it: len(it)),
    ('f"{await self.session}"', lambda it: f"{it}"),
    ('f"{await self.session}"', lambda it: f"{it:>10}"),
    ('f"{await self.session}"', lambda it: format(it)),
    ("(await self.session) == ...", lambda it: it == 1),
    ("(await self.session) == ...", lambda it: it != "a"),
    ("(await self.session) == ...", lambda it: it in [1]),
    ("(await self.session) < ...", lambda it: it < 1),
    ("(await self.session) <= ...", lambda it: it <= 1),
    ("(await self.session) > ...", lambda it: it > 1),
    ("(await self.session) >= ...", lambda it: it >= 1),
    ("(await self.session) > ...", lambda it: it > 1),
    ("(await self.session) + ...", lambda it: it + 1),
    ("... + await self.session", lambda it: 1 + it),
    ("... + await self.session", lambda it: "a" + it),
    ("(await self.session) @ ...", lambda it: it @ 1),
    ("(await self.session) >> ...", lambda it: it >> 1),
    ("(await self.session) | ...", lambda it: it | {}),
    ("... % await self.session", lambda it: 3 % it),
    ("(await self.session) + ...", lambda it: operator.iadd(it, 1)),
    ("divmod(await self.session, ...)", lambda it: divmod(it, 2)),
    ("-(await self.session)", lambda it: -it),
    ("~(await self.session)", lambda it: ~it),
    ("abs(await self.session)", lambda it: abs(it)),
    ("round(await self.session)", lambda it: round(it)),
    ("int(await self.session)", lambda it: int(it)),
    ("int(await self.session)", lambda it: math.trunc(it)),
    ("float(await self.session)", lambda it: float(it)),
    ("bytes(await self.session)", lambda it: bytes(it)),
    ("... [await self.session]", lambda it: [1][it]),
    ("bool(await self.session)", lambda it: not it),
    ("(await self.session).run(...)", lambda it: it.run("task")),
    ("(await self.session).nowait(...)", lambda it: it.nowait(True)),
]


class Session:
    def execute(self, query=""):
        return query


class Users(AsyncServiceBase):
    session = AsyncDependencyDescriptor(Session)


async def users(built):
    """Return a service and its container, the attribute awaited before, given by hand, or not."""
    app = fresh_app(providers=[Session, Users])
    container = Container(app)
    service = await container.get(Users)
    if built == "built":
        await service.session
    if built == "given":
        service.session = Session()
    return service, container


BUILT = ["not yet", "built", "given"]


@pytest.mark.parametrize("built", BUILT)
@pytest.mark.parametrize(("said", "use"), USES)
async def test_every_use_says_await(said, use, built):
    """
    Attributes, calls, iteration, items, operators, format: before and after the value is built, and of one given by hand.
    """
    service, _ = await users(built)

    with pytest.raises((TypeError, AttributeError)) as caught:
        use(service.session)

    assert str(caught.value) == f"Users.session is awaited: {said}"


@pytest.mark.parametrize("built", BUILT)
async def test_blocks_and_loops_say_await(built):
    """
    with, async with and async for say it, too.
    """
    service, _ = await users(built)
    told = []

    for block in ("with it: ...", "async with it: ...", "async for one in it: ..."):
        names = {}
        exec(f"async def use(it):\n    {block}", names)
        with pytest.raises(TypeError) as caught:
            await names["use"](service.session)
        told.append(str(caught.value))

    assert told == [
        "Users.session is awaited: with await self.session",
        "Users.session is awaited: async with await self.session",
        "Users.session is awaited: async for ... in await self.session",
    ]


@pytest.mark.parametrize("built", ["not yet", "built"])
async def test_setting_something_on_it(built):
    """
    Something set on it is refused by Python, which calls it by a name that says what it is.
    """
    service, _ = await users(built)

    with pytest.raises(AttributeError, match="'Unawaited' object has no attribute 'autoflush'"):
        service.session.autoflush = False


@pytest.mark.parametrize("built", BUILT)
async def test_right_uses_stay(built):
    """
    Awaiting again, gathering, tasks, timeouts, hashing, identity, printing, probing and looking at members stay what they are.
    """
    service, _ = await users(built)
    session = await service.session
    handle = service.session

    assert await asyncio.gather(handle, handle, service.session) == [session] * 3
    assert await asyncio.wait_for(handle, 1) is session
    async with asyncio.TaskGroup() as group:
        task = group.create_task(handle.run())
    assert task.result() is session is handle.nowait()
    assert {handle: 1}[handle] == 1
    assert handle is not None
    assert handle == handle
    assert isinstance(handle, Lazy)
    assert inspect.isawaitable(handle)
    assert str(handle) == repr(handle)
    assert str(handle).startswith("<Lazy")
    assert not hasattr(handle, "execute")
    assert getattr(handle, "__wrapped__", None) is None
    assert [name for name, _ in inspect.getmembers(service) if name == "session"] == ["session"]


@pytest.mark.parametrize("built", BUILT)
async def test_mocks_compare_as_ever(built):
    """
    A mock that was called with it compares its calls, and a call that differs is an AssertionError.
    """
    service, _ = await users(built)
    seen, handle = mock.Mock(), service.session
    seen(handle, one=handle)

    seen.assert_called_once_with(handle, one=handle)
    seen.assert_called_with(mock.ANY, one=mock.ANY)
    assert seen.call_args == mock.call(handle, one=handle)
    assert handle == mock.ANY
    with pytest.raises(AssertionError):
        seen.assert_called_with("other", one=1)


async def test_a_lazy_parameter_says_it_too():
    """
    A Lazy parameter that is used as if it were the value says so by its own name; whether it is there may be asked.
    """

    class Reports:
        def __init__(self, session: Lazy[Session], other: Lazy[Session] | None = None) -> None:
            self.said = []
            for use in (lambda: session.execute, lambda: session(), lambda: session == 1):
                with pytest.raises((TypeError, AttributeError)) as caught:
                    use()
                self.said.append(str(caught.value))
            self.there = bool(session and other)

    reports = await Container(fresh_app(providers=[Session, Reports])).get(Reports)

    assert reports.there
    assert reports.said == [
        "Session is awaited: (await session).execute",
        "Session is awaited: (await session)(...)",
        "Session is awaited: (await session) == ...",
    ]


async def test_a_class_within_a_function_goes_by_its_name():
    """
    The text names class and attribute, and not the function in which the class was made: by hand, before and after the build.
    """

    class Local(AsyncServiceBase):
        number = AsyncDependencyDescriptor("number")

    Local.register_value("number", 1)
    async with Container(Local) as container:
        service = await container.get(Local)
        handles = [Local(number=1).number, service.number]
        await service.number
        handles.append(service.number)

        for handle in handles:
            with pytest.raises(AttributeError, match=r"^Local\.number is awaited: \(await self\.number\)\.real$"):
                handle.real
