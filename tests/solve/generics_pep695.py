"""Generics in the syntax of Python 3.12: imported by test_generics there, and by nobody on older ones."""

from typing import Self

import pytest
from helpers import fresh_app, problems

from asyncmeta import AsyncServiceBase, Container, GraphErrors, MissingDependencyError, inject_dependency

__all__ = [
    "test_a_class_in_the_new_syntax",
    "test_a_factory_in_the_new_syntax",
    "test_a_method_of_a_generic_base_in_the_new_syntax",
    "test_a_service_in_the_new_syntax",
    "test_a_type_statement_as_an_argument",
    "test_an_implementation_in_the_new_syntax",
    "test_bounds_in_the_new_syntax",
]


class Model:
    pass


class User(Model):
    pass


class Repo[T]:
    def __init__(self, cls: type[T]):
        self.cls = cls


class Codec[T]:
    def __init__(self, cls: "type[T]", many: "Repo[list[T]]"):
        self.cls, self.many = cls, many


type Alias = User


async def test_a_class_in_the_new_syntax():
    """
    class Repo[T] serves its closed forms, also where annotations are texts that name T.
    """
    App = fresh_app()
    App.register_dependency(Repo, Repo)
    App.register_dependency(Codec, Codec)

    async with Container(App) as container:
        codec = await container.get(Codec[User])

    assert (codec.cls, codec.many.cls) == (User, list[User])


async def test_a_factory_in_the_new_syntax():
    """
    def make[T](...) -> Repo[T] serves the closed forms of Repo.
    """
    App = fresh_app()

    @inject_dependency(on=App)
    async def make[T](cls: type[T]) -> Repo[T]:
        return Repo(cls)

    async with Container(App) as container:
        assert (await container.get(Repo[User])).cls is User


async def test_an_implementation_in_the_new_syntax():
    """
    class SqlRepo[X](Repo[X]), whose variable is never its base's, serves the closed forms of its base.
    """

    class SqlRepo[X](Repo[X]):
        def __init__(self, cls: type[X], codec: Codec[X]):
            super().__init__(cls)
            self.codec = codec

    class Lists[X](Repo[list[X]]):
        pass

    App = fresh_app()
    App.register_dependency(Repo, SqlRepo)
    App.register_dependency(Codec[User], lambda: "codec")
    App.register_dependency(Lists, Lists)

    async with Container(App) as container:
        repo, lists = await container.get(Repo[User]), await container.get(Lists[User])

    assert (type(repo), repo.cls, repo.codec) == (SqlRepo, User, "codec")
    assert lists.cls == list[User]


async def test_a_service_in_the_new_syntax():
    """
    A generic service class in the new syntax needs no registration.
    """

    class Store[T](AsyncServiceBase):
        def __init__(self, cls: type[T]):
            self.cls = cls

    async with Container(fresh_app()) as container:
        assert (await container.get(Store[User])).cls is User


def test_bounds_in_the_new_syntax():
    """
    Bounds and constraints are evaluated late, and named by the check.
    """

    class Bound[T: Model]:
        pass

    class Chosen[T: (User, str)]:
        pass

    class Unreadable[T: NoSuchName]:  # noqa: F821  # that is its subject
        pass

    App = fresh_app()
    for cls in (Bound, Chosen, Unreadable):
        App.register_dependency(cls, cls)

    with Container(App) as container:
        for form in (Bound[User], Chosen[str], Unreadable[int]):
            container.get_nowait(form)
        with pytest.raises(MissingDependencyError, match="T has to be a Model, and int is not"):
            container.get_nowait(Bound[int])

    def user(chosen: Chosen[int]):
        return chosen

    App.register_dependency("user", user)
    with pytest.raises(GraphErrors) as caught:
        Container(App)
    assert "T is one of User, str, and not int" in str(problems(caught.value)[0])


async def test_a_type_statement_as_an_argument():
    """
    A name made by a type statement is within the bound where what it stands for is.
    """

    class Bound[T: Model]:
        def __init__(self, cls: type[T]):
            self.cls = cls

    App = fresh_app()
    App.register_dependency(Bound, Bound)

    async with Container(App) as container:
        assert (await container.get(Bound[Alias])).cls is User


class Chain[T]:
    def __init__(self, kind: "type[T]"):
        self.kind = kind

    @classmethod
    def made(cls, kind: "type[T]") -> "Self":
        return cls(kind)


class UserChain(Chain[User]): ...


def test_a_method_of_a_generic_base_in_the_new_syntax():
    """
    A text in an inherited method may name a type parameter of the class that wrote it; it means what the subclass says.
    """
    App = fresh_app()
    inject_dependency(on=App)(UserChain.made)

    assert Container(App).get_nowait(UserChain).kind is User
