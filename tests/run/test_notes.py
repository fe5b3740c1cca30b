"""The note on a failing build: it names the way that was taken."""

import pytest
from helpers import fresh_app

from asyncmeta import AsyncDependencyDescriptor, AsyncServiceBase, Container, Factory, From, Lazy

USERS = ("first", "second", "third")


class Failing:
    """A factory that fails from the given call on."""

    def __init__(self, after=0):
        self.left = after

    def __call__(self):
        if not self.left:
            raise OSError("refused")
        self.left -= 1
        return object()


class Database: ...


def application(lifetime, failing, *, via="database"):
    """Return an application in which three values need "middle", which needs a Database that fails."""
    App = fresh_app()

    async def connect():
        return failing()

    App.register_dependency(Database, connect if via == "async" else failing, lifetime=lifetime)

    def make_middle(database: Database):
        return database

    def make(middle):
        return middle

    async def make_async(middle):
        return middle

    App.register_dependency("middle", make_middle, lifetime=lifetime)
    for name in USERS:
        App.register_dependency(name, make_async if via == "async" else make, lifetime=lifetime)
    return App


def way(error):
    """Return the names of the steps in the note of *error*."""
    (note,) = [note for note in error.__notes__ if note.startswith("asyncmeta: while building")]
    steps = note.partition("\n")[2].split(" -> ")
    return [step.partition(" (")[0].strip().strip('"') for step in steps]


@pytest.mark.parametrize("asked", USERS)
@pytest.mark.parametrize("via", ["sync", "async"])
@pytest.mark.parametrize("lifetime", ["singleton", "scoped", "transient"])
@pytest.mark.parametrize("times", [0, 4])
async def test_the_note_names_who_asked_this_time(asked, via, lifetime, times):
    """
    Of several users of a failing value, the note names the one that was asked for, in the first get and in hot ones.
    """
    if lifetime == "singleton" and times:
        pytest.skip("is built once")
    App = application(lifetime, Failing(times), via=via)
    async with Container(App) as container:
        for _ in range(times):
            async with container.scope() as scope:
                await scope.get(asked)

        async with container.scope() as scope:
            with pytest.raises(OSError, match="refused") as caught:
                await scope.get(asked)

    assert way(caught.value) == [asked, "middle", "Database"]


@pytest.mark.parametrize("asked", USERS)
def test_without_a_loop(asked):
    """
    The same of ``get_nowait``.
    """
    container = Container(application("singleton", Failing()))

    with pytest.raises(OSError, match="refused") as caught:
        container.get_nowait(asked)

    assert way(caught.value) == [asked, "middle", "Database"]


async def test_of_attributes_and_handles():
    """
    An attribute, a Lazy and a Factory are named by whose they are, and in one-shot scopes and injected functions by what they fill.
    """
    App = application("transient", Failing())

    class First(AsyncServiceBase):
        middle = AsyncDependencyDescriptor("middle")

    class Second(AsyncServiceBase):
        middle = AsyncDependencyDescriptor("middle")

        def __init__(self, late: Lazy[Database], make: Factory[Database]) -> None:
            self.late, self.make = late, make

    App.register_dependency(First, First)
    App.register_dependency(Second, Second)
    found = []
    async with Container(App) as container:
        second = await container.get(Second)
        asks = (lambda: second.middle.run(), lambda: second.late.run(), lambda: second.make(), lambda: container.gather("second"))
        for ask in asks:
            with pytest.raises(OSError, match="refused") as caught:
                await ask()
            found.append(way(caught.value))
        for _ in range(3):

            async def use(middle: From[Database]): ...

            with pytest.raises(OSError, match="refused") as caught:
                await container.inject(use)()
            found.append(way(caught.value))

    assert found[0] == ["Second", "middle", "Database"]
    assert found[1] == ["Second", "Database"]
    assert [found[2], *found[4:]] == [[""]] * 4  # nothing stands between what is asked for and what fails
    assert found[3] == ["second", "middle", "Database"]
    assert all("First" not in one and "first" not in one for one in found)


async def test_a_build_that_others_join_names_who_began_it():
    """
    Where two gets wait for one build, the note is one: the way of the get that began it.
    """
    import asyncio

    App = application("singleton", Failing(), via="async")
    async with Container(App) as container:
        errors = await asyncio.gather(container.get("second"), container.get("third"), return_exceptions=True)

    assert {tuple(way(error)) for error in errors} == {("second", "middle", "Database")}


async def test_a_failure_that_passes_through_several_builds_is_noted_once():
    """
    Where a factory asks for another one itself, the note is of the one that failed.
    """
    App = fresh_app()

    async def fails():
        raise OSError("down")

    async def outer(container: Container):
        return await container.get("fails")

    App.register_dependency("fails", fails)
    App.register_dependency("outer", outer)
    async with Container(App) as container:
        with pytest.raises(OSError, match="down") as caught:
            await container.get("outer")

    (note,) = caught.value.__notes__
    assert note.startswith('asyncmeta: while building "fails"')
