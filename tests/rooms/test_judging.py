"""`asyncmeta.testing.judging`: what is said of a run whose containers tear down too often, or in a wrong order."""

import types
from collections.abc import AsyncIterator, Iterator

import pytest
from helpers import fresh_app

from asyncmeta import AsyncServiceBase, Container, inject_dependency
from asyncmeta._run.observe.watch import Event
from asyncmeta.testing.judging import Life, Witness, after_yield
from asyncmeta.testing.records import containers


class Engine:
    pass


class Car:
    def __init__(self, engine: Engine):
        self.engine = engine


class Driver:
    def __init__(self, car: Car):
        self.car = car


async def with_engine() -> AsyncIterator[Engine]:
    yield Engine()


def with_driver(car: Car) -> Iterator[Driver]:
    yield Driver(car)


@pytest.fixture
async def life():
    """The life of a container in which a driver stands on a car, and that on an engine; the first and last are torn down."""
    life = Life(set(containers()))
    app = fresh_app(providers=[with_engine, Car, with_driver])
    async with Container(app) as container:
        await container.get(Driver)
        for name in ("Engine", "Car", "Driver"):
            life.open[name] += 1
        yield life


def wrong_after(life, *order):
    for name in order:
        life.torn_down(name)
    return life.wrong


async def test_what_stands_on_others_is_torn_down_first(life):
    """
    The reverse of how things were set up is right, and nothing is said of it.
    """
    assert wrong_after(life, "Driver", "Engine") == []


async def test_tearing_down_what_others_stand_on_is_told(life):
    """
    What is torn down before its users is told with them: those that are torn down as well, also through others.
    """
    assert wrong_after(life, "Engine") == ["Engine is torn down before Driver, which stands on it"]


async def test_what_there_are_several_of_is_not_told_by_its_name(life):
    """
    Of two things of one name it cannot be said on which of them a user stands, so nothing is said.
    """
    life.open["Engine"] += 1

    assert wrong_after(life, "Engine") == []
    assert life.open["Engine"] == 1


async def test_tearing_down_twice_is_told(life):
    """
    What is torn down once more than it was set up is told.
    """
    assert wrong_after(life, "Driver", "Driver") == ["Driver is torn down more often than it was set up"]


def test_a_witness_of_no_run_tells_nobody():
    """
    Between two runs containers may do what they like.
    """
    witness, event = Witness(), Event("Engine", "app")
    witness.build_end(event)
    witness.finalize_begin(event)
    witness.life = Life(set())

    witness.build_end(event)
    witness.finalize_begin(event)

    assert witness.life.wrong == []
    assert witness.life.open["Engine"] == 0


def test_a_generator_that_has_ended_does_not_begin():
    """
    A generator without a frame has nothing that could be left.
    """
    life, ended = Life(set()), with_driver(None)
    ended.close()

    life.began(ended)

    assert not life.generators


def test_of_a_generator_without_a_source_nothing_is_said():
    """
    Where no line of a file can be found for a generator, it counts as one that needs no tear-down.
    """
    names = {}
    exec(compile("def made():\n    yield 1\n    print('never')\n", "<nowhere>", "exec"), names)
    generator = names["made"]()
    next(generator)

    assert after_yield(generator.gi_frame) == (False, False, False)
    assert isinstance(generator, types.GeneratorType)
    generator.close()


def gives_engine():
    yield Engine()


async def test_what_is_torn_down_without_a_generator_is_not_looked_at():
    """
    Of what containers hold open, generators are found, and methods that stop something are none.
    """

    class Service(AsyncServiceBase):
        async def on_shutdown(self) -> None: ...

    life = Life(set(containers()))
    app = fresh_app(providers=[Service])
    app.register_dependency("engine", gives_engine)
    async with Container(app) as container:
        await container.get(Service)
        await container.get("engine")
        life.look()

    assert [generator.__name__ for generator in life.generators] == ["gives_engine"]


def test_a_generator_without_a_tear_down_may_be_left_open():
    """
    Where nothing stands behind the yield, nothing was skipped.
    """
    life, generator = Life(set()), gives_engine()
    next(generator)

    life.began(generator)

    assert life.verdict() == []
    generator.close()


class Garage:
    def __init__(self, car: Car, engine: Engine):
        self.car = car


def with_garage(car: Car, engine: Engine) -> Iterator[Garage]:
    yield Garage(car, engine)


def stand(engine: Engine) -> Engine:
    return engine


async def test_each_user_is_named_once_and_nothing_by_its_own_name():
    """
    Who stands on something by two ways is told once, and what stands around a value of its own name is no user of it.
    """
    life = Life(set(containers()))
    app = fresh_app(providers=[Car, with_garage])
    app.register_dependency(Engine, with_engine)
    inject_dependency(Engine, around=True, on=app)(stand)
    async with Container(app) as container:
        await container.get(Garage)
        for name in ("Engine", "Garage"):
            life.open[name] += 1

        assert wrong_after(life, "Engine") == ["Engine is torn down before Garage, which stands on it"]
