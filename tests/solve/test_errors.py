"""What every error says: the facts, the place, near misses, a way out."""

import asyncio
import copy
import inspect
import os
import pickle
import re
import traceback
from typing import Generic, TypeVar

import pytest

import asyncmeta
from asyncmeta import (
    AmbiguousDependencyError,
    AsyncDependencyDescriptor,
    AsyncDependencyError,
    AsyncMetaError,
    AsyncServiceBase,
    BuildTimeoutError,
    CaptiveDependencyError,
    CircularDependencyError,
    ClosedError,
    Container,
    ContainerError,
    DeclarationError,
    FactoryError,
    FinalizationErrors,
    GraphError,
    GraphErrors,
    MissingDependencyError,
    Scope,
    ScopeError,
    WrongLoopError,
    inject_dependency,
)

HERE = os.path.basename(__file__)


def fresh_app(**keywords):
    """Return a service class of its own."""

    class App(AsyncServiceBase, **keywords):
        pass

    return App


def line_of(where):
    """Return the line in a "file.py:14" that names this file."""
    found = re.search(rf"{re.escape(HERE)}:(\d+)", where)
    assert found, where
    return int(found[1])


# --- the family ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "bases"),
    [
        (DeclarationError, (AsyncMetaError, TypeError)),
        (GraphError, (AsyncMetaError,)),
        (MissingDependencyError, (GraphError, LookupError)),
        (CircularDependencyError, (GraphError,)),
        (CaptiveDependencyError, (GraphError,)),
        (AmbiguousDependencyError, (GraphError,)),
        (AsyncDependencyError, (GraphError,)),
        (GraphErrors, (GraphError, ExceptionGroup)),
        (ContainerError, (AsyncMetaError, RuntimeError)),
        (ClosedError, (ContainerError,)),
        (WrongLoopError, (ContainerError,)),
        (ScopeError, (ContainerError,)),
        (FactoryError, (AsyncMetaError,)),
        (BuildTimeoutError, (AsyncMetaError, TimeoutError)),
        (FinalizationErrors, (AsyncMetaError, ExceptionGroup)),
    ],
)
def test_the_family_of_errors(error, bases):
    """
    Every error is an AsyncMetaError and what a user of Python would catch it as.
    """
    assert issubclass(error, AsyncMetaError)
    assert all(issubclass(error, base) for base in bases)


def test_every_error_is_at_the_front_door():
    """
    All that is raised can be imported from the package.
    """
    from asyncmeta import errors

    missing = [name for name in errors.__all__ if getattr(asyncmeta, name, None) is not getattr(errors, name)]

    assert missing == []


# --- facts ---------------------------------------------------------------------------------------


async def test_missing_says_what_where_and_what_is_close():
    """
    A missing key is told with its path, its place, its near misses and the line to write.
    """

    class Ledger(AsyncServiceBase):
        store = AsyncDependencyDescriptor("databse")

    class Billing(AsyncServiceBase):
        db = AsyncDependencyDescriptor(Ledger)

    Billing.register_value("database", "database")
    Billing.register_value("unrelated", "unrelated")

    with pytest.raises(GraphErrors) as caught:
        Container(Billing)

    (problem,) = caught.value.exceptions
    text = str(problem)
    assert problem.key == '"databse"'
    assert problem.path[-1] == '"databse"'
    assert "Billing.db" in problem.path
    assert "Ledger.store" in problem.path
    assert problem.close_to == ('"database"',)
    assert " -> ".join(problem.path) in text
    assert 'Did you mean "database"?' in text
    assert '@inject_dependency("databse")' in text
    assert f"{HERE}:" in text
    assert "unrelated" not in text


async def test_missing_names_the_line_that_asks():
    """
    The place of a missing parameter is where its factory was written.
    """
    App = fresh_app()
    first = inspect.currentframe().f_lineno

    @inject_dependency("thing", on=App)
    def make(
        nowhere,
    ): ...

    last = inspect.currentframe().f_lineno
    with pytest.raises(GraphErrors) as caught:
        Container(App)

    (problem,) = caught.value.exceptions
    assert first < line_of(problem.where) < last


async def test_missing_at_the_door_has_no_path_but_itself():
    """
    A key that was asked for by a get is its own path.
    """
    App = fresh_app()
    App.register_value("database", "database")

    with pytest.raises(MissingDependencyError) as caught:
        await Container(App).get("databse")

    assert (caught.value.key, caught.value.path) == ('"databse"', ('"databse"',))
    assert caught.value.close_to == ('"database"',)


async def test_near_misses_are_registered_keys_only():
    """
    Nothing is suggested that could not be asked for.
    """
    App, Other = fresh_app(), fresh_app()
    Other.register_value("database", "database")

    with pytest.raises(MissingDependencyError) as caught:
        await Container(App).get("databse")

    assert caught.value.close_to == ()
    assert "Did you mean" not in str(caught.value)


async def test_near_misses_cross_kinds_of_token():
    """
    A class asked for by its name, and a name in another case, are near misses.
    """

    class Database:
        pass

    App = fresh_app()
    App.register_dependency(Database, Database)

    with pytest.raises(MissingDependencyError) as caught:
        await Container(App).get("database")

    assert "Database" in caught.value.close_to


T = TypeVar("T")


async def test_generic_forms_are_called_by_the_names_of_their_classes():
    """
    A generic form is called in text as it is written, without the modules of its parts.
    """

    class Repo(Generic[T]): ...

    class User: ...

    for form, name in (
        (Repo[User], "Repo[User]"),
        (dict[str, list[Repo[User]]], "dict[str, list[Repo[User]]]"),
        (Repo[User] | int, "Repo[User] | int"),
        (tuple[User, ...], "tuple[User, ...]"),
    ):
        with pytest.raises(MissingDependencyError) as caught:
            await Container(fresh_app()).get(form)
        assert str(caught.value).startswith(f"nothing provides {name}\n"), caught.value


async def test_a_string_token_is_cut_in_texts():
    """
    A very long token is shown by the beginning of it, a hostile one by its repr.
    """
    App = fresh_app()
    container = Container(App)

    with pytest.raises(MissingDependencyError) as long:
        await container.get("x" * 10_000)
    with pytest.raises(MissingDependencyError) as hostile:
        await container.get('a"\n\x1b[31m')

    assert len(str(long.value)) < 1000
    assert "\x1b" not in str(hostile.value)
    assert len(str(hostile.value).splitlines()) <= 3


async def test_a_sync_get_of_an_async_factory_says_how():
    """
    A value that has to be awaited is told by name, with the ways to have it, and leaves no coroutine behind.
    """
    App = fresh_app()

    @inject_dependency("inner", on=App)
    async def make_inner(): ...

    App.register_dependency("outer", lambda inner: None)

    with pytest.raises(AsyncDependencyError) as caught:
        Container(App).get_nowait("outer")

    assert caught.value.key == '"inner"'
    assert caught.value.path == ('"outer"', '"inner"')
    assert "await container.get" in str(caught.value)


async def test_a_scoped_value_asked_of_the_container_says_how():
    """
    The error of a scoped value names it and the scope that it needs.
    """
    App = fresh_app()
    App.register_dependency("session", lambda: None, lifetime="scoped")

    with pytest.raises(ScopeError, match="scope") as caught:
        await Container(App).get("session")

    assert '"session"' in str(caught.value)


async def test_a_generator_that_yields_twice_is_named():
    """
    A generator factory that yields again when it should end is a FactoryError, told when it is closed.
    """
    App = fresh_app()

    @inject_dependency("sync", on=App)
    def twice():
        yield 1
        yield 2

    @inject_dependency("async", on=App)
    async def twice_later():
        yield 1
        yield 2

    with pytest.raises(FinalizationErrors) as caught:
        async with Container(App) as container:
            await container.get("sync")
            await container.get("async")

    assert [type(error) for error in caught.value.exceptions] == [FactoryError] * 2
    assert "twice_later" in str(caught.value.exceptions[0])
    assert "twice" in str(caught.value.exceptions[1])


async def test_finalization_errors_hold_all_in_order():
    """
    Everything that finalizers raise is in one group, in the order in which they ran.
    """
    App = fresh_app()

    def opener(name):
        async def open_later():
            yield name
            raise OSError(name)

        return open_later

    for name in ("one", "two"):
        App.register_dependency(name, opener(name))

    with pytest.raises(FinalizationErrors) as caught:
        async with Container(App) as container:
            await container.get("one")
            await container.get("two")

    assert [str(error) for error in caught.value.exceptions] == ["two", "one"]


async def test_closed_says_what_is_closed():
    """
    The error of a closed container and of a closed scope name them.
    """
    App = fresh_app()
    App.register_value("thing", "thing")
    container = Container(App)
    async with container:
        async with container.scope() as scope:
            pass
        with pytest.raises(ClosedError, match=r"(?i)scope"):
            await scope.get("thing")
    with pytest.raises(ClosedError, match=r"(?i)container"):
        await container.get("thing")


# --- the user's own exceptions -------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["sync", "async", "generator", "async generator", "class", "startup"])
async def test_the_user_s_exception_passes_with_a_note(kind):
    """
    What a factory raises passes through as the very object, with a note of what was being built and for whom.
    """
    error = OSError("refused")
    App = fresh_app()

    def fail():
        raise error

    async def fail_later():
        raise error

    def fail_generating():
        raise error
        yield

    async def fail_generating_later():
        raise error
        yield

    class Fails:
        def __init__(self):
            raise error

    class FailsToStart(AsyncServiceBase):
        async def on_startup(self):
            raise error

    factories = {
        "sync": fail,
        "async": fail_later,
        "generator": fail_generating,
        "async generator": fail_generating_later,
        "class": Fails,
        "startup": FailsToStart,
    }
    App.register_dependency("inner", factories[kind])
    App.register_dependency("outer", lambda inner: None)

    with pytest.raises(OSError, match="refused") as caught:
        await Container(App).get("outer")

    assert caught.value is error
    notes = "\n".join(caught.value.__notes__)
    assert '"inner"' in notes
    assert '"outer"' in notes


async def test_notes_do_not_pile_up():
    """
    One exception that reaches many tasks has one note, and a traceback that does not grow.
    """
    error = OSError("refused")
    begun, go_on = asyncio.Event(), asyncio.Event()
    App = fresh_app()

    @inject_dependency("thing", on=App)
    async def fail():
        begun.set()
        await go_on.wait()
        raise error

    container = Container(App)
    tasks = [asyncio.create_task(container.get("thing")) for _ in range(20)]
    await asyncio.wait_for(begun.wait(), 5)
    go_on.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)

    assert all(result is error for result in results)
    assert len(error.__notes__) == 1
    assert len(traceback.format_exception(error)) < 40


async def test_an_exception_that_takes_no_note_passes_too():
    """
    An exception that refuses notes is still the user's exception.
    """

    class Stubborn(Exception):
        def add_note(self, note):
            raise RuntimeError("no notes")

    App = fresh_app()

    @inject_dependency("thing", on=App)
    async def fail():
        raise Stubborn

    with pytest.raises(Stubborn):
        await Container(App).get("thing")


async def test_the_traceback_shows_the_user_s_line():
    """
    The traceback of a failing factory ends in the factory.
    """
    App = fresh_app()

    @inject_dependency("thing", on=App)
    def fail():
        raise OSError("refused")

    with pytest.raises(OSError, match="refused") as caught:
        await Container(App).get("thing")

    assert traceback.extract_tb(caught.value.__traceback__)[-1].name == "fail"


# --- pickling ------------------------------------------------------------------------------------


async def raise_missing():
    App = fresh_app()
    App.register_value("database", 1)
    await Container(App).get("databse")


async def raise_group():
    App = fresh_app()
    App.register_dependency("a", lambda b: None)
    App.register_dependency("b", lambda a: None)
    App.register_dependency("c", lambda nowhere: None)
    Container(App)


async def raise_captive():
    App = fresh_app()
    App.register_dependency("short", lambda: None, lifetime="scoped")
    App.register_dependency("long", lambda short: None)
    Container(App)


async def raise_declaration():
    inject_dependency([], on=fresh_app())(fresh_app)


async def raise_async():
    App = fresh_app()

    @inject_dependency("thing", on=App)
    async def make(): ...

    Container(App).get_nowait("thing")


async def raise_timeout():
    App = fresh_app()

    @inject_dependency("thing", on=App, timeout=0.001)
    async def make():
        await asyncio.Event().wait()

    await Container(App).get("thing")


async def raise_factory():
    App = fresh_app()

    @inject_dependency("thing", on=App)
    def make():
        return
        yield

    await Container(App).get("thing")


async def raise_scope():
    App = fresh_app()
    App.register_dependency("thing", lambda: None, lifetime="scoped")
    await Container(App).get("thing")


async def raise_unbound():
    class Session(AsyncServiceBase, lifetime="scoped"):
        pass

    Scope.of(Session())


async def raise_closed():
    container = Container(fresh_app())
    async with container:
        pass
    await container.get("thing")


async def raise_finalization():
    App = fresh_app()

    @inject_dependency("thing", on=App)
    def make():
        yield
        raise OSError("stuck")

    async with Container(App) as container:
        await container.get("thing")


RAISERS = [
    raise_missing,
    raise_group,
    raise_captive,
    raise_declaration,
    raise_async,
    raise_timeout,
    raise_factory,
    raise_scope,
    raise_unbound,
    raise_closed,
    raise_finalization,
]


@pytest.mark.parametrize("raiser", RAISERS, ids=lambda raiser: raiser.__name__)
async def test_every_error_can_be_pickled(raiser):
    """
    An error that crosses a process keeps its type, its text and its facts.
    """
    with pytest.raises(AsyncMetaError) as caught:
        await raiser()
    error = caught.value

    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(twin) is type(error)
        assert str(twin) == str(error)
        facts = {name: fact for name, fact in vars(error).items() if not name.startswith("_")}
        assert {name: vars(twin)[name] for name in facts} == facts


@pytest.mark.parametrize("raiser", RAISERS, ids=lambda raiser: raiser.__name__)
async def test_every_error_says_more_than_its_name(raiser):
    """
    Every text is a sentence that blames nobody.
    """
    with pytest.raises(AsyncMetaError) as caught:
        await raiser()

    text = str(caught.value)
    assert len(text.split()) >= 3
    assert "you must" not in text.lower()


# --- except* -------------------------------------------------------------------------------------


def test_except_star_reaches_the_single_problems():
    """
    `except*` takes out what it names and leaves the rest a GraphErrors.
    """
    App = fresh_app()
    App.register_dependency("a", lambda b: None)
    App.register_dependency("b", lambda a: None)
    App.register_dependency("c", lambda nowhere: None)
    seen = {}

    try:
        try:
            Container(App)
        except* MissingDependencyError as group:
            seen["missing"] = group
    except GraphErrors as rest:
        seen["rest"] = rest

    assert isinstance(seen["missing"], GraphErrors)
    assert [type(problem) for problem in seen["missing"].exceptions] == [MissingDependencyError]
    assert [type(problem) for problem in seen["rest"].exceptions] == [CircularDependencyError]


# --- values are never shown ----------------------------------------------------------------------


class Secretive:
    """Tells its secret to whoever shows it."""

    def __repr__(self):
        return "s3cr3t"


async def test_values_appear_in_no_text():
    """
    Neither errors nor reprs nor reports show a value.
    """
    App = fresh_app(context=["given"])
    secret = Secretive()
    App.register_value("password", secret)
    App.register_value("phrase", "s3cr3t")
    App.register_dependency("made", lambda password, phrase: secret)
    App.register_dependency("fails", lambda made: 1 / 0)
    App.register_dependency("asks", lambda given: 1 / 0, lifetime="scoped")
    texts = []

    async with Container(App) as container:
        report = await container.start("made")
        texts += [repr(container), str(container), repr(report), report.to_json(), repr(container.check())]
        texts.append(repr(container.getter("made")))
        async with container.scope({"given": secret}) as scope:
            texts += [repr(scope), str(scope)]
            for holder, token in ((container, "passwrod"), (container, "fails"), (scope, "asks")):
                with pytest.raises((AsyncMetaError, ZeroDivisionError)) as caught:
                    await holder.get(token)
                texts.append("".join(traceback.format_exception_only(caught.value)))
                texts += getattr(caught.value, "__notes__", [])

    assert [text for text in texts if "s3cr3t" in text] == []


def test_problems_of_a_container_without_an_application():
    """
    What does not fit in a container of the shared layer alone is told of the container: there is no application to name.
    """

    def ask(nothing): ...

    with pytest.raises(GraphErrors, match="the container has 1 problem"):
        Container(providers=[{"provide": "ask", "use_factory": ask, "deps": ["nothing"]}])
