"""What travels from process to process: marks and plain state; never containers, nor what they hold."""

import copy
import dataclasses
import pickle
from typing import Annotated, get_type_hints

import pytest
from helpers import fresh_app

from asyncmeta import INJECTED, All, AsyncDependencyDescriptor, AsyncServiceBase, Container, From, Inject, ScopeError, injected

TWINS = {"pickle": lambda thing: pickle.loads(pickle.dumps(thing)), "copy": copy.copy, "deepcopy": copy.deepcopy}


@pytest.fixture(params=TWINS.values(), ids=TWINS)
def twin(request):
    """Makes another one of something."""
    return request.param


# --- marks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mark", [From[int], All[int], Annotated[int, Inject("one")], Annotated[int, Inject("one", 7)]], ids=str)
def test_marks_mean_the_same_where_they_arrive(mark):
    """
    A function that an engine sends with its code, as Dask does those of a notebook, is filled as it was here.
    """

    def here(value: mark = INJECTED):
        return value

    def there(value: int = INJECTED):
        return value

    there.__annotations__["value"] = pickle.loads(pickle.dumps(mark))
    there.__defaults__ = pickle.loads(pickle.dumps(here.__defaults__))
    App = fresh_app()
    App.register_dependency(int, lambda: 3, multi=mark == All[int])
    App.register_dependency("one", lambda: 1)

    assert get_type_hints(there, include_extras=True) == get_type_hints(here, include_extras=True)
    with Container(App):
        assert injected(there)() == injected(here)()


# --- containers ----------------------------------------------------------------------------------------------------------


class Shop(AsyncServiceBase):
    """The application."""


Shop.register_dependency("database", lambda: ["database"])


async def test_containers_and_scopes_refuse_and_show_the_way(twin):
    """
    The error has the import path that every process can open.
    """
    async with Container(Shop) as container, container.scope() as scope, container.overlay({"database": 1}) as overlay:
        for living in (container, scope, overlay, overlay.scope()):
            with pytest.raises(TypeError) as caught:
                twin(living)

            assert f'asyncmeta.workers.WorkerContainer("{__name__}:Shop")' in str(caught.value)


# --- services --------------------------------------------------------------------------------------------------------------


class Cart(AsyncServiceBase, lifetime="scoped"):
    """A scoped service with plain state."""

    database = AsyncDependencyDescriptor("database")

    def __init__(self) -> None:
        self.lines = ["tea"]


class Prices(AsyncServiceBase):
    """A singleton of the application."""

    database = AsyncDependencyDescriptor("database")

    def __init__(self) -> None:
        self.lines = ["tea"]


@dataclasses.dataclass
class Order(AsyncServiceBase, lifetime="scoped"):
    """A data class, with a service of its own inside."""

    cart: Cart
    number: int = 7


@pytest.mark.parametrize("service", [Cart, Prices])
async def test_service_travels_unbound(twin, service):
    """
    Its state comes along; awaiting an attribute says that it belongs to no scope, and makes no second application.
    """
    async with Container(Shop) as container, container.scope() as scope:
        made = await scope.get(service)
        database = await made.database
        other = twin(made)

        assert other.lines == ["tea"]
        with pytest.raises(ScopeError, match=rf"this {service.__name__} is a copy of one that a container had made.*adopt"):
            await other.database
        with pytest.raises(ScopeError, match="belongs to no scope"):
            container.of(other)
        (scope if service is Cart else container).adopt(other)
        assert await other.database is database


async def test_services_inside_of_it_travel_unbound_too(twin):
    """
    Each comes out unbound, and is bound by itself.
    """
    if twin is copy.copy:
        pytest.skip("shares what is inside")
    async with Container(Shop) as container, container.scope() as scope:
        order = await scope.get(Order)
        await order.cart.database
        other = twin(order)

        assert (other.number, other.cart.lines) == (7, ["tea"])
        with pytest.raises(ScopeError, match="this Cart is a copy"):
            await other.cart.database
        scope.adopt(other.cart)
        assert await other.cart.database is await order.cart.database


async def test_copy_of_a_copy_is_one_too(twin):
    """
    However often it travels, it does not become an application of its own by that.
    """
    async with Container(Shop) as container:
        other = twin(twin(await container.get(Prices)))

        with pytest.raises(ScopeError, match="is a copy"):
            await other.database


async def test_bound_again_it_can_travel_again(twin):
    """
    Binding leaves nothing behind that would keep it from being sent.
    """
    async with Container(Shop) as container:
        other = container.adopt(twin(await container.get(Prices)))
        await other.database

        assert twin(other).lines == ["tea"]


class Sole(AsyncServiceBase):
    """Is its own root."""

    database = AsyncDependencyDescriptor("database")


Sole.register_dependency("database", lambda: ["database"])


async def test_copy_of_a_root_is_a_root(twin):
    """
    What the user has made is the application itself, and so is another one of it.
    """
    sole = Sole()
    other = twin(sole)
    await sole.database

    assert await other.database is not await sole.database
    assert await twin(sole).database is not await sole.database


class Own(AsyncServiceBase, lifetime="scoped"):
    """Says itself what travels."""

    database = AsyncDependencyDescriptor("database")

    def __getstate__(self):
        return {"name": "own"}

    def __setstate__(self, state):
        (self.name,) = state.values()


async def test_state_of_the_users_own_making_is_left_alone(twin):
    """
    What a class says itself about its state arrives as it is.
    """
    async with Container(Shop) as container, container.scope() as scope:
        other = twin(await scope.get(Own))

        assert vars(other) == {"name": "own"}
        with pytest.raises(ScopeError, match="adopt"):
            await other.database
