"""Constructors of layers that add up: which of them is never run?"""

from dataclasses import dataclass
from typing import ClassVar

import pytest

from asyncmeta import AsyncDependencyDescriptor, AsyncServiceBase, Container


class Database(AsyncServiceBase):
    def __init__(self) -> None:
        self.dsn = "db:"


class Cache(AsyncServiceBase):
    def __init__(self) -> None:
        self.url = "cache:"


class Polite(AsyncServiceBase):
    def __init__(self) -> None:
        super().__init__()
        self.polite = True


class Mixin:
    def __init__(self) -> None:
        self.mixed = True


class Neither(Database, Cache): ...


class Above(Polite, Database, Cache): ...


class Mixed(Database, Mixin): ...


class Forgotten(Database, Cache):
    def __init__(self) -> None:
        Database.__init__(self)


class Both(Database, Cache):
    def __init__(self) -> None:
        Database.__init__(self)
        Cache.__init__(self)


class Super(Polite, Database):
    def __init__(self) -> None:
        super().__init__()


class One(Database): ...


class Replaced(Database):
    def __init__(self) -> None:
        self.dsn = "other:"


@dataclass
class Record(AsyncServiceBase):
    name: str = "record"


@dataclass
class Longer(Record):
    database: ClassVar[AsyncDependencyDescriptor[object]] = AsyncDependencyDescriptor("database")
    size: int = 3


@pytest.mark.parametrize(
    ("app", "never"),
    [
        (Neither, ["Cache.__init__"]),
        (Above, ["Cache.__init__"]),
        (Mixed, ["Mixin.__init__"]),
        (Forgotten, ["Cache.__init__"]),
        (Both, []),
        (Super, []),
        (One, []),
        (Replaced, []),
        (Record, []),
    ],
)
def test_a_constructor_that_is_never_run(app, never):
    """
    check() names the __init__ of a layer that nothing calls; one that is called, or that its own subclass replaces, is fine.
    """
    report = Container(app).check()

    assert list(report.unreached) == never
    assert all(name in str(report) for name in never)


def test_fields_of_dataclasses_are_set_by_one():
    """
    The constructor of a dataclass sets what its bases have as fields.
    """
    Longer.register_value("database", "db")

    assert not Container(Longer).check().unreached


def test_a_hook_that_is_called_by_name_is_reached():
    """
    on_startup of two layers may be called by name, too.
    """

    class First(AsyncServiceBase):
        async def on_startup(self) -> None: ...

    class Second(AsyncServiceBase):
        async def on_startup(self) -> None: ...

    class App(First, Second):
        async def on_startup(self) -> None:
            await First.on_startup(self)
            await Second.on_startup(self)

    assert not Container(App).check().unreached
