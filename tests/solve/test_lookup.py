"""Whose registration answers: the view's, the application's, the shared layer's?"""

import asyncio
import uuid

import pytest

from asyncmeta import (
    AsyncDependencyDescriptor,
    AsyncServiceBase,
    Container,
    GraphErrors,
    MissingDependencyError,
    Scope,
    inject_dependency,
)


def saying(text):
    """Return a check that an error's whole text, that of a group included, holds *text*."""
    return lambda error: text in str(error)


class Pool:
    """Something to share."""


async def test_the_application_is_the_view_of_its_whole_mro():
    """
    What any class of the application's MRO registers is one value, for the application and for everybody else.
    """

    class Postgres(AsyncServiceBase):
        pool = AsyncDependencyDescriptor(Pool)

        @inject_dependency(Pool)
        def open_pool(self):
            return self

    class Shop(Postgres):
        same = AsyncDependencyDescriptor(Pool)

    class Users(AsyncServiceBase):
        def __init__(self, pool: Pool):
            self.pool = pool

    container = Container(Shop)
    shop, users = await container.get(Shop), await container.get(Users)

    assert await shop.pool is await shop.same is users.pool is await container.get(Pool) is shop


async def test_shared_registrations_are_one_value_for_all_views():
    """
    A value of the shared layer is one, whoever asks for it.
    """
    name = f"lookup {uuid.uuid4()}"
    AsyncServiceBase.register_dependency(name, lambda: object())

    class Users(AsyncServiceBase):
        thing = AsyncDependencyDescriptor(name)

        @inject_dependency("private")
        def make(self): ...

    class Orders(AsyncServiceBase):
        thing = AsyncDependencyDescriptor(name)

    class App(AsyncServiceBase):
        thing = AsyncDependencyDescriptor(name)

    container = Container(App)

    values = [await (await container.get(cls)).thing for cls in (Users, Orders, App)]

    assert values[0] is values[1] is values[2] is await container.get(name)


async def test_private_registrations_belong_to_each_subclass():
    """
    Two subclasses of one class with private registrations have a value each, made with their own self.
    """
    made = []

    class Repo(AsyncServiceBase):
        table = AsyncDependencyDescriptor("table")

        @inject_dependency("table")
        async def make_table(self):
            made.append(type(self).__name__)
            return self

    class Users(Repo):
        pass

    class Orders(Repo):
        pass

    class App(AsyncServiceBase):
        users = AsyncDependencyDescriptor(Users)
        orders = AsyncDependencyDescriptor(Orders)

    app = App()

    users, orders = await app.users, await app.orders

    assert await users.table is users
    assert await orders.table is orders
    assert sorted(made) == ["Orders", "Users"]


async def test_private_registrations_are_shared_within_their_class():
    """
    A service's private value is one for all that its view builds.
    """

    class Repo(AsyncServiceBase):
        one = AsyncDependencyDescriptor("one")
        two = AsyncDependencyDescriptor("two")

        @inject_dependency("connection")
        @staticmethod
        def connect():
            return object()

        @inject_dependency("one")
        @staticmethod
        def make_one(connection):
            return connection

        @inject_dependency("two")
        @staticmethod
        def make_two(connection):
            return connection

    class Users(Repo):
        pass

    class Orders(Repo):
        pass

    class App(AsyncServiceBase, providers=[Users, Orders]):
        pass

    container = Container(App)
    users, orders = await container.get(Users), await container.get(Orders)

    assert await users.one is await users.two
    assert await orders.one is await orders.two
    assert await users.one is not await orders.one


async def test_private_registrations_are_not_the_application_s():
    """
    What a service registers for itself is not found by the application nor by its siblings.
    """

    class Users(AsyncServiceBase):
        @inject_dependency("private")
        def make(self): ...

    class Orders(AsyncServiceBase):
        private = AsyncDependencyDescriptor("private")

    class App(AsyncServiceBase, providers=[Users]):
        pass

    class Wrong(AsyncServiceBase, providers=[Users, Orders]):
        pass

    with pytest.raises(MissingDependencyError):
        await Container(App).get("private")
    with pytest.raises(GraphErrors) as caught:
        Container(Wrong)
    assert "Orders.private" in str(caught.value)


async def test_the_view_comes_before_the_application():
    """
    A service's own registration wins for it; everybody else gets the application's.
    """

    class Users(AsyncServiceBase):
        name = AsyncDependencyDescriptor("name")

    class Orders(AsyncServiceBase):
        name = AsyncDependencyDescriptor("name")

    class App(AsyncServiceBase):
        name = AsyncDependencyDescriptor("name")

    Users.register_value("name", "of users")
    App.register_value("name", "of app")
    container = Container(App)

    names = [await (await container.get(cls)).name for cls in (Users, Orders, App)]

    assert names == ["of users", "of app", "of app"]


async def test_the_application_comes_before_the_shared_layer():
    """
    What the application registers is found by a service that registers nothing, before the shared layer's.
    """
    name = f"lookup {uuid.uuid4()}"
    AsyncServiceBase.register_value(name, "shared")

    class Users(AsyncServiceBase):
        thing = AsyncDependencyDescriptor(name)

    class App(AsyncServiceBase):
        pass

    class Other(AsyncServiceBase):
        pass

    App.register_value(name, "app")

    assert await (await Container(App).get(Users)).thing == "app"
    assert await (await Container(Other).get(Users)).thing == "shared"


async def test_a_layer_shared_with_the_application_is_the_application_s():
    """
    A base class that a service has in common with the application does not shadow what the application says.
    """

    class Base(AsyncServiceBase):
        name = AsyncDependencyDescriptor("name")

    class Users(Base):
        pass

    class App(Base):
        pass

    Base.register_value("name", "base")
    App.register_value("name", "app")
    container = Container(App)

    assert await (await container.get(Users)).name == "app"


async def test_a_common_base_s_value_is_one():
    """
    What a base registers that a service and the application have in common is made once, with the application's self.
    """

    class Base(AsyncServiceBase):
        pool = AsyncDependencyDescriptor(Pool)

        @inject_dependency(Pool)
        def open_pool(self):
            return self

    class Users(Base):
        pass

    class App(Base):
        pass

    container = Container(App)
    users, app = await container.get(Users), await container.get(App)

    assert await users.pool is await app.pool is app


async def test_a_private_value_may_need_the_application_s():
    """
    What a service registers for itself is built from its own registrations first, then from the application's.
    """

    class Users(AsyncServiceBase):
        table = AsyncDependencyDescriptor("table")

        @inject_dependency("prefix")
        @staticmethod
        def make_prefix():
            return "own"

        @inject_dependency("table")
        def make_table(self, prefix, suffix):
            return f"{prefix} {suffix}"

    class App(AsyncServiceBase):
        pass

    App.register_value("prefix", "app")
    App.register_value("suffix", "app")
    container = Container(App)

    assert await (await container.get(Users)).table == "own app"


async def test_what_the_application_registers_is_built_in_its_own_view():
    """
    A value of the application's that a service asks for does not see the service's registrations.
    """

    class Users(AsyncServiceBase):
        letter = AsyncDependencyDescriptor("letter")
        name = AsyncDependencyDescriptor("name")

    class App(AsyncServiceBase):
        @inject_dependency("letter")
        @staticmethod
        def write(name):
            return f"dear {name}"

    Users.register_value("name", "of users")
    App.register_value("name", "of app")
    container = Container(App)
    users = await container.get(Users)

    assert [await users.letter, await users.name] == ["dear of app", "of users"]


async def test_constructor_parameters_are_looked_up_in_the_view():
    """
    The parameters of a service's constructor see its own registrations, too.
    """

    class Users(AsyncServiceBase):
        def __init__(self, name):
            self.name = name

    class App(AsyncServiceBase):
        pass

    Users.register_value("name", "of users")
    App.register_value("name", "of app")

    assert (await Container(App).get(Users)).name == "of users"


async def test_a_constructor_may_not_need_what_its_own_method_makes():
    """
    A factory method needs the finished service, so its constructor cannot take what it makes.
    """

    class Users(AsyncServiceBase):
        def __init__(self, table):
            self.table = table

        @inject_dependency("table")
        def make_table(self): ...

    class App(AsyncServiceBase, providers=[Users]):
        pass

    with pytest.raises(GraphErrors, check=saying("needs itself")):
        Container(App)


async def test_private_values_close_with_their_service():
    """
    Private resources of two subclasses are opened and closed once each.
    """
    steps = []

    class Repo(AsyncServiceBase):
        table = AsyncDependencyDescriptor("table")

        @inject_dependency("table")
        async def open_table(self):
            steps.append(f"open {type(self).__name__}")
            yield self
            steps.append(f"close {type(self).__name__}")

    class Users(Repo):
        pass

    class Orders(Repo):
        pass

    class App(AsyncServiceBase, providers=[Users, Orders]):
        pass

    async with Container(App) as container:
        await (await container.get(Users)).table
        await (await container.get(Orders)).table

    assert steps == ["open Users", "open Orders", "close Orders", "close Users"]


async def test_each_scope_s_view_has_its_own():
    """
    Private registrations of a scoped service are made once in each scope.
    """

    class Session(AsyncServiceBase, lifetime="scoped"):
        one = AsyncDependencyDescriptor("mark")
        two = AsyncDependencyDescriptor("mark")

        @inject_dependency("mark")
        def make(self):
            return Scope.of(self)

    class App(AsyncServiceBase, providers=[Session]):
        pass

    async with Container(App) as container, container.scope() as one, container.scope() as other:
        session, another = await one.get(Session), await other.get(Session)

        assert await session.one is await session.two is one
        assert await another.one is other


async def test_a_service_can_ask_for_the_application():
    """
    A service outside of the application's MRO gets the application's instance, whichever of its classes it names.
    """

    class Core(AsyncServiceBase):
        pass

    class App(Core):
        pass

    class Users(AsyncServiceBase):
        core = AsyncDependencyDescriptor(Core)

        def __init__(self, app: App):
            self.app = app

    container = Container(App)
    users = await container.get(Users)

    assert users.app is await users.core is await container.get(App)


async def test_the_application_s_factories_use_the_application_s_instance():
    """
    A factory method of the application's that a service reaches first is still called on the application's instance.
    """
    steps = []

    class Users(AsyncServiceBase):
        def __init__(self, pool: Pool):
            self.pool = pool

    class App(AsyncServiceBase):
        async def on_startup(self):
            steps.append("up")

        @inject_dependency(Pool)
        def open_pool(self):
            return self

    async with Container(App) as container:
        users = await asyncio.wait_for(container.get(Users), 5)

        assert users.pool is await container.get(App)


async def test_a_subclass_overrides_for_its_own_view():
    """
    An overridden factory method counts in the view of the class that overrides it.
    """

    class Repo(AsyncServiceBase):
        table = AsyncDependencyDescriptor("table")

        @inject_dependency("table")
        def make_table(self):
            return "base"

    class Users(Repo):
        def make_table(self):
            return "users"

    class Orders(Repo):
        pass

    class App(AsyncServiceBase, providers=[Users, Orders]):
        pass

    container = Container(App)

    assert await (await container.get(Users)).table == "users"
    assert await (await container.get(Orders)).table == "base"


async def test_the_own_key_of_a_private_registration_is_the_application_s():
    """
    A service may decorate what the application provides, for itself only.
    """

    class Users(AsyncServiceBase):
        name = AsyncDependencyDescriptor("name")

        @inject_dependency("name")
        @staticmethod
        def wrap(name):
            return f"users({name})"

    class App(AsyncServiceBase):
        name = AsyncDependencyDescriptor("name")

    App.register_value("name", "app")
    container = Container(App)

    assert await (await container.get(Users)).name == "users(app)"
    assert await container.get("name") == "app"
