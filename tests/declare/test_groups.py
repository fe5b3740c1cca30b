"""Provider lists: groups with a lifetime, the options of dictionaries, and the bases of a class as keys."""

import asyncio
from abc import ABC, abstractmethod
from typing import Generic, Protocol, TypeVar

import pytest
from helpers import fresh_app

from asyncmeta import (
    All,
    AsyncServiceBase,
    BuildTimeoutError,
    Container,
    DeclarationError,
    Lifetime,
    MissingDependencyError,
    inject_dependency,
)

T = TypeVar("T")


class Session:
    pass


class Basket:
    pass


class Service(AsyncServiceBase, lifetime="transient"):
    pass


def open_basket(session: Session) -> Basket:
    return Basket()


def lifetimes(app):
    """Return the lifetimes of what *app* registers, by the names of the keys."""
    entries = app.__asyncmeta__.entries
    return {getattr(key, "__name__", key): entry.lifetime for key, entry in entries.items()}


OWN = [{"provide": "own", "use_factory": dict, "lifetime": "singleton"}, {"provide": "v", "value": 1}]
GROUP = [Session, open_basket, Service, *OWN]
EXPECTED = {"Session": "scoped", "Basket": "scoped", "Service": "transient", "own": "singleton", "v": "singleton"}


def test_one_word_for_a_group():
    """
    A group gives its plain classes and functions their lifetime; a service and an entry that names one keep their own.
    """
    assert lifetimes(fresh_app(providers=[{"lifetime": "scoped", "providers": GROUP}])) == EXPECTED


def test_one_word_for_a_list():
    """
    register_providers takes the same word for a whole list; a group in it says it anew.
    """
    app = fresh_app()
    app.register_providers([GROUP, {"lifetime": "transient", "providers": [dict_of]}], lifetime=Lifetime.SCOPED)

    assert lifetimes(app) == {**EXPECTED, "Table": "transient"}


class Table(dict):
    pass


def dict_of() -> Table:
    return Table()


def test_levels_and_lists_within():
    """
    A group holds lists to any depth, and a level of the application's own is a lifetime.
    """
    app = fresh_app(
        scopes=("session", "request"), providers=[{"lifetime": Lifetime("session"), "providers": [[Session, (open_basket,)]]}]
    )

    assert set(lifetimes(app).values()) == {"session"}


def test_a_class_of_a_group_that_is_registered_keeps_what_is_said_there():
    """
    A class in a group is an entry point like any other.
    """
    app = fresh_app(providers=[{"lifetime": "scoped", "providers": [Session]}])
    app.register_dependency(Session, Session)

    assert type(Container(app).get_nowait(Session)) is Session


@pytest.mark.parametrize(
    ("group", "said"),
    [
        ({"providers": [Session]}, "provider 0: a group says a lifetime"),
        ({"providers": [Session], "lifetime": "scopd"}, "provider 0: lifetime is .*did you mean scoped"),
        ({"providers": Session, "lifetime": "scoped"}, "provider 0: providers is a list, not a type"),
        ({"providers": [], "lifetime": "scoped", "multi": True}, 'provider 0: "multi" is no key of a group'),
        ({"providers": [Session, None], "lifetime": "scoped"}, r"provider 0\[1\] is None"),
    ],
)
def test_a_wrong_group(group, said):
    """
    A mistake in a group is told with its position.
    """
    with pytest.raises(DeclarationError, match=said):
        fresh_app(providers=[group])


async def test_options_of_dictionaries():
    """
    A provider dictionary takes the options of the decorator, which mean the same.
    """

    async def never() -> Session:
        await asyncio.Event().wait()
        raise AssertionError

    app = fresh_app(
        providers=[
            {"provide": "slow", "use_factory": never, "timeout": 0.01},
            {"provide": "thread", "use_factory": lambda: 1, "in_thread": True, "also": ["other"]},
            {"provide": "beside", "use_factory": lambda: 2, "lifetime": "scoped", "concurrent": True},
            {"provide": "value", "value": Basket(), "also": [Basket], "health": lambda value: True},
            {"provide": "alias", "use_existing": "thread", "also": ["again"]},
        ]
    )

    async with Container(app) as container, container.scope() as scope:
        assert await container.get("thread") == await container.get("other") == await container.get("again") == 1
        assert await scope.get("beside") == 2
        assert await container.get("value") is await container.get(Basket)
        assert (await container.health()).ok
        with pytest.raises(BuildTimeoutError):
            await container.get("slow")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"timeout": -1}, "timeout is a number of seconds above 0"),
        ({"in_thread": 1}, "in_thread is True or False"),
        ({"concurrent": True}, "concurrent=True is for scoped values"),
        ({"also": "Basket"}, 'also is a sequence of tokens, or "bases"'),
        ({"health": 3}, "health is a callable"),
    ],
)
def test_a_wrong_option_of_a_dictionary(options, said):
    """
    A wrong option is told with the position and the token.
    """
    with pytest.raises(DeclarationError, match=rf'provider 0 \("x"\): {said}'):
        fresh_app(providers=[{"provide": "x", "use_factory": lambda: 1, **options}])


class Reader(Protocol):
    def read(self) -> str: ...


class Base(ABC):
    @abstractmethod
    def run(self) -> None: ...


class Repo(Generic[T]):
    pass


class Mixin:
    pass


class Everything(Base, Mixin, Repo[int], Reader):
    def run(self) -> None: ...

    def read(self) -> str:
        return "read"


def make_everything() -> Everything:
    return Everything()


WAYS = {
    "class": lambda app: inject_dependency(on=app, also="bases")(Everything),
    "function": lambda app: inject_dependency(on=app, also="bases")(make_everything),
    "call": lambda app: app.register_dependency(Everything, Everything, also="bases"),
    "list": lambda app: app.register_providers([{"provide": Everything, "also": "bases"}]),
    "value": lambda app: app.register_providers([{"provide": "it", "value": Everything(), "also": "bases"}]),
}


@pytest.mark.parametrize("way", WAYS)
def test_bases_as_keys(way):
    """
    also="bases" means all that the class derives from, a generic base with its argument, and nothing that Python gives.
    """
    app = fresh_app()
    WAYS[way](app)
    (registration,) = set(app.__asyncmeta__.entries.values())
    container = Container(app)

    assert set(registration.also) == {Base, Mixin, Repo[int], Reader}
    assert len({id(container.get_nowait(key)) for key in registration.keys}) == 1


class Source(Protocol[T]): ...


class Open(Repo[T], Source[list[T]]): ...


class Closed(Open[int]): ...


@pytest.mark.parametrize(("cls", "bases"), [
    (Open, {Repo[T], Source[list[T]]}),
    (Closed, {Open[int], Repo[int], Source[list[int]]}),
])  # fmt: skip
def test_bases_of_a_generic_class(cls, bases):
    """
    The generic bases of an open class are open, those of a closed one have its argument, however far up they are.
    """
    app = fresh_app()
    inject_dependency(on=app, also="bases")(cls)
    (registration,) = set(app.__asyncmeta__.entries.values())
    container = Container(app)
    asked = {Repo[int], Source[list[int]], Open[int]}

    assert set(registration.also) == bases
    assert len({id(container.get_nowait(key)) for key in asked}) == 1


def test_bases_of_a_closed_form():
    """
    What is registered for ``Open[int]`` alone is nothing else of anything but int.
    """
    app = fresh_app()
    inject_dependency(Open[int], on=app, also="bases")(Open)
    container = Container(app)

    assert container.get_nowait(Repo[int]) is container.get_nowait(Source[list[int]]) is container.get_nowait(Open[int])
    with pytest.raises(MissingDependencyError):
        container.get_nowait(Repo[str])


def test_bases_of_several():
    """
    It goes with multi: each base collects what derives from it.
    """
    app = fresh_app()

    class One(Mixin): ...

    class Two(Mixin): ...

    for cls in One, Two:
        inject_dependency(on=app, also="bases", multi=True)(cls)

    assert [type(one) for one in Container(app).get_nowait(All[Mixin])] == [One, Two]


def test_bases_of_what_is_no_class():
    """
    A string alone, and the bases of what goes by no class, are refused.
    """
    for also in ("base", "bases"):
        with pytest.raises(DeclarationError, match='or "bases"'):
            inject_dependency("name", on=fresh_app(), also=also)(lambda: 1)
