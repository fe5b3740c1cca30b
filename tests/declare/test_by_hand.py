"""Services made by hand, without a container: values in the place of their attributes."""

import copy
import pickle
from dataclasses import dataclass
from typing import ClassVar, Generic, Protocol, TypeVar
from unittest import mock

import pytest
from helpers import fresh_app

from asyncmeta import AsyncDependencyDescriptor, AsyncServiceBase, Container, ScopeError

T = TypeVar("T")


class Session:
    pass


class Desk(AsyncServiceBase, lifetime="scoped"):
    session = AsyncDependencyDescriptor(Session)
    name = AsyncDependencyDescriptor("name")

    async def place(self):
        return await self.session, await self.name


class Upper(Desk):
    other = AsyncDependencyDescriptor("other")


class Mixin:
    mixed = AsyncDependencyDescriptor("mixed")


class Mixed(AsyncServiceBase, Mixin, lifetime="scoped"):
    pass


class Speaker(Protocol):
    def say(self) -> str: ...


class Speaking(AsyncServiceBase, Speaker, lifetime="scoped"):
    session = AsyncDependencyDescriptor(Session)

    def say(self) -> str:
        return "hello"


class Of(AsyncServiceBase, Generic[T], lifetime="scoped"):
    session = AsyncDependencyDescriptor(Session)


@pytest.mark.parametrize("value", ["fake", None, 0, [], Session(), object, print, Exception()])
async def test_a_value_by_keyword(value):
    """
    A service without a constructor of its own takes its attributes' values by keyword, whatever they are.
    """
    desk = Desk(session=value, name="desk")

    assert await desk.place() == (value, "desk")
    assert desk.session.nowait() is value
    assert await desk.session.run() is await Desk.session.resolve(desk) is value


@pytest.mark.parametrize("value", ["fake", None, 0, Session()])
async def test_a_value_that_is_set(value):
    """
    What is put in the place of an attribute is what awaiting it gives; set again it is another one; deleted it is gone.
    """
    desk = Desk()
    desk.session = "former"
    desk.session = value
    assert await desk.session is value

    del desk.session
    with pytest.raises(ScopeError):
        await desk.session


async def test_a_coroutine_is_a_value_like_any_other():
    """
    A value that can be awaited itself is handed over as it is.
    """

    async def work():
        return 1

    coroutine = work()
    desk = Desk(session=coroutine)

    assert await desk.session is coroutine
    assert await coroutine == 1


async def test_inherited_and_mixed_in_attributes():
    """
    The attributes of bases count, those of mixins that are no services too, and of generic and Protocol services.
    """
    upper, mixed = Upper(session=1, other=2), Mixed(mixed=3)

    assert (await upper.session, await upper.other, await mixed.mixed) == (1, 2, 3)
    assert await Of[int](session=4).session == await Speaking(session=4).session == 4


async def test_only_what_the_test_needs():
    """
    A value that is not given says how, by the name of its attribute, when it is awaited; asking a container comes first.
    """
    desk = Desk(session=1)

    assert await desk.session == 1
    with pytest.raises(ScopeError) as caught:
        await desk.name

    said = str(caught.value)
    assert said.index("container.request(Desk)") < said.index("scope.adopt(instance)") < said.index("Desk(name=...)")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Desk(sesion=1), r"Desk\(\) has no dependency 'sesion'; did you mean session="),
        (lambda: Desk(1), r"Desk\(\) takes no arguments by position; its dependencies are given by keyword: name=..., session="),
        (lambda: Desk(size=1), "has no dependency 'size'"),
    ],
)
def test_what_is_no_attribute_is_refused(make, said):
    """
    A keyword that names no attribute is a TypeError that says what may be given.
    """
    with pytest.raises(TypeError, match=said):
        make()


class Other:
    def __init__(self, size: int = 3) -> None:
        self.size = size


class Behind(Desk, Other):
    pass


class Own(Desk):
    def __init__(self, size: int = 3, **values: object) -> None:
        super().__init__(**values)
        self.size = size


class New(AsyncServiceBase, lifetime="scoped"):
    session = AsyncDependencyDescriptor(Session)

    def __new__(cls, size: int = 3):
        made = super().__new__(cls)
        made.size = size
        return made


@dataclass
class Row(AsyncServiceBase):
    session: ClassVar[AsyncDependencyDescriptor[Session]]
    size: int = 3


@dataclass(frozen=True)
class Frozen(AsyncServiceBase):
    session: ClassVar[AsyncDependencyDescriptor[Session]]
    size: int = 3


@dataclass(slots=True)
class Slotted(AsyncServiceBase):
    session: ClassVar[AsyncDependencyDescriptor[Session]]
    size: int = 3


@pytest.mark.parametrize("cls", [Behind, Own, New, Row])
async def test_other_constructors_stay_what_they_are(cls):
    """
    A constructor of a base or of its own is the one that counts, for users and for containers; attributes can be set.
    """
    service = cls(size=5)
    service.session = "fake"
    app = fresh_app(providers=[cls])
    app.register_dependency(Session, Session)
    app.register_value("name", "desk")

    async with Container(app) as container, container.request(cls) as made:
        assert type(await made.session) is Session
        assert made.size == 3
    assert (service.size, await service.session) == (5, "fake")


async def test_a_constructor_that_hands_its_keywords_on():
    """
    A constructor of its own can take them with super().__init__(**values).
    """
    assert await Own(5, session="fake").session == "fake"


def test_a_frozen_dataclass_is_a_service():
    """
    A frozen dataclass stays frozen, and a slotted one what it is.
    """
    with pytest.raises(AttributeError):
        Frozen().session = "fake"

    assert Slotted(4).size == 4


class Guarded(Desk):
    def __setattr__(self, name, value):
        super().__setattr__(name, value)
        self.__dict__.setdefault("seen", []).append(name)


async def test_a_setattr_of_its_own():
    """
    A class with a __setattr__ of its own is asked first, and what it hands on is the value.
    """
    desk = Guarded(session="fake")

    assert await desk.session == "fake"
    assert desk.seen == ["session"]


async def test_patching_and_monkeypatching(monkeypatch):
    """
    The tools of tests put a value there for a while.
    """
    desk = Desk(session="real")
    with mock.patch.object(desk, "session", "fake"):
        assert await desk.session == "fake"
    with monkeypatch.context() as patch:
        patch.setattr(desk, "name", "patched")
        assert await desk.name == "patched"

    assert await desk.session == "real"
    with pytest.raises(ScopeError):
        await desk.name


async def test_copies_and_pickles_keep_what_was_given():
    """
    What was given by hand is part of the service, unlike what a container has fetched.
    """
    desk = Desk(session="fake")

    for other in (copy.copy(desk), copy.deepcopy(desk), pickle.loads(pickle.dumps(desk))):
        assert await other.session == "fake"


async def test_what_was_given_stays_in_a_container():
    """
    A service with a value by hand that a scope adopts keeps that value, overridden or not, and fetches the others.
    """
    app = fresh_app()
    app.register_dependency(Session, Session)
    app.register_value("name", "desk")

    async with Container(app) as container, container.scope() as scope:
        desk = scope.adopt(Desk(session="fake"))
        with container.override({Session: "overridden"}):
            assert await desk.place() == ("fake", "desk")


async def test_a_value_that_is_set_in_what_a_container_made():
    """
    A test may replace what a container's service has fetched, for that instance alone.
    """
    app = fresh_app(providers=[Desk])
    app.register_dependency(Session, Session)
    app.register_value("name", "desk")

    async with Container(app) as container, container.scope() as one, container.scope() as two:
        desk, other = await one.get(Desk), await two.get(Desk)
        await desk.session
        desk.session = "fake"

        assert await desk.session == "fake"
        assert type(await other.session) is Session


def test_a_class_without_attributes_is_left_alone():
    """
    Only services with attributes take values: others have the constructor and the __setattr__ of object.
    """

    class Plain(AsyncServiceBase): ...

    assert Plain.__init__ is object.__init__
    assert Plain.__setattr__ is object.__setattr__
    with pytest.raises(TypeError):
        Plain(session=1)
