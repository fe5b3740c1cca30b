"""Functions whose marked parameters are filled: by a container, by a scope, by the ambient one."""

import asyncio
import contextvars
import dataclasses
import functools
import gc
import inspect
import sys
import threading
import typing
import weakref
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Annotated, Any

import pytest
from helpers import Journal, collected, fresh_app, guarded, leaves, problems

from asyncmeta import (
    INJECTED,
    All,
    AsyncDependencyDescriptor,
    AsyncDependencyError,
    AsyncServiceBase,
    ClosedError,
    Container,
    ContainerError,
    DeclarationError,
    Factory,
    FactoryError,
    FinalizationErrors,
    From,
    GraphErrors,
    Inject,
    Lazy,
    MissingDependencyError,
    Observer,
    Scope,
    ScopeError,
    Token,
    inject_dependency,
    injected,
)
from asyncmeta._run.state.context import Ambient, current

CALLS = range(5)  #: the first calls are done step by step, the later ones by code of their own


class Pool:
    pass


class Config:
    pass


class Basket:
    def __init__(self, pool: Pool, config: Config):
        self.pool, self.config = pool, config


class Session:
    pass


class World:
    """An application with two singletons, a scoped value, and a scoped async generator; and what happened in it."""

    def __init__(self, *, fails_closing: bool = False):
        self.journal = Journal()
        self.app = fresh_app()
        journal = self.journal

        @inject_dependency(Pool, on=self.app)
        async def open_pool():
            journal.append("+pool")
            return Pool()

        inject_dependency(on=self.app)(Config)
        inject_dependency(on=self.app, lifetime="scoped")(Basket)

        @inject_dependency(Session, on=self.app, lifetime="scoped")
        async def open_session(pool: Pool) -> AsyncIterator[Session]:
            with journal.noting("session"):
                try:
                    yield Session()
                except BaseException as error:
                    journal.append(f"!{type(error).__name__}")
                    raise
            if fails_closing:
                raise OSError("cannot close")


# --- who passes what ------------------------------------------------------------------------------------


async def test_the_caller_passes_the_rest_and_the_container_fills():
    """
    Unmarked parameters come from the caller, by position or name; marked ones are filled, the first time and ever after.
    """
    async with Container(World().app) as container:

        @container.inject
        async def handler(number: int, pool: From[Pool], basket: From[Basket] = INJECTED, *, limit: int = 10):
            return number, pool, basket, limit

        pool = await container.get(Pool)
        baskets = []
        for number in CALLS:
            assert (await handler(number))[:2] == (number, pool)
            assert (await handler(number=number))[0] == number
            *_, basket, limit = await handler(number, limit=number)
            assert limit == number
            assert basket.pool is pool
            baskets.append(basket)

    assert len({id(basket) for basket in baskets}) == len(CALLS)


async def test_what_is_passed_by_hand_wins():
    """
    A marked parameter that is passed, by name or in its place, is not filled, whatever is passed; nothing is built for it.
    """
    world = World()
    async with Container(world.app) as container:

        @container.inject
        async def handler(number: int, pool: From[Pool] = INJECTED, session: From[Session] = INJECTED):
            return pool, session

        for _ in CALLS:
            world.journal.clear()
            for mine in (None, 0, "mine", [], Pool):
                assert await handler(1, mine, mine) == (mine, mine)
                assert await handler(1, session=mine, pool=mine) == (mine, mine)
                assert (await handler(1, session=mine))[1] is mine
            assert world.journal.built in ([], ["pool"])
            pool, session = await handler(1, mine)
            assert pool is Pool
            assert isinstance(session, Session)


async def test_marked_parameters_before_others_leave_their_places():
    """
    Where a marked parameter stands before an unmarked one, the caller's positions are those of the unmarked ones.
    """
    async with Container(World().app) as container:

        @container.inject
        async def on_message(pool: From[Pool], text: str, config: From[Config], times: int = 1):
            return pool, text, config, times

        for _ in CALLS:
            pool, text, config, times = await on_message("hello", 3)
            assert (text, times) == ("hello", 3)
            assert isinstance(pool, Pool)
            assert isinstance(config, Config)
            assert (await on_message("hello", config=5))[2] == 5
            with pytest.raises(TypeError, match="positional argument"):
                await on_message(pool, "hello", config)


async def test_every_kind_of_parameter_is_handed_on():
    """
    Positional-only, keyword-only, ``*args`` and ``**kwargs`` reach the function as they were passed.
    """
    async with Container(World().app) as container:

        def shape(first, pool: From[Pool], /, second, *rest, config: From[Config], third=3, **more):
            return first, second, rest, third, more, type(pool), type(config)

        await container.get(Pool)
        shape = container.inject(shape)
        for _ in CALLS:
            assert shape(1, 2) == (1, 2, (), 3, {}, Pool, Config)
            assert shape(1, 2, 4, 5, third=6, pool=7, x=8) == (1, 2, (4, 5), 6, {"pool": 7, "x": 8}, Pool, Config)
            assert shape(1, second=2, config=None)[-1] is type(None)


async def test_names_that_generated_code_uses_itself():
    """
    A parameter may have any name: also one of those that the generated code has for its own.
    """
    async with Container(World().app) as container:

        @container.inject
        async def handler(x, s, r, run, function, error, inner, *, p1, session: From[Session], a1: From[Pool], g=7):
            return x, s, r, run, function, error, inner, p1, g, type(session), type(a1)

        for _ in CALLS:
            assert await handler(1, 2, 3, 4, 5, 6, inner=7, p1=8) == (1, 2, 3, 4, 5, 6, 7, 8, 7, Session, Pool)
            assert (await handler(x=1, s=2, r=3, run=4, function=5, error=6, inner=7, p1=8, g=9))[8] == 9
            assert len(set(handler.__code__.co_varnames)) == len(handler.__code__.co_varnames)


async def test_a_wrong_call_is_a_type_error_with_the_functions_own_name():
    """
    What is missing or unknown is told as for the function itself, before anything is built.
    """
    world = World()
    async with Container(world.app) as container:

        @container.inject
        async def handler(number: int, session: From[Session]):
            return number

        for _ in CALLS:
            with pytest.raises(TypeError, match=r"handler\(\) missing 1 required positional argument: 'number'"):
                await handler()
            with pytest.raises(TypeError, match=r"handler\(\) got an unexpected keyword argument 'nubmer'"):
                await handler(nubmer=1)
            world.journal.clear()
            with pytest.raises(TypeError):
                handler()
            assert world.journal == []
            await handler(1)


async def test_a_default_counts_where_nothing_provides():
    """
    A marked parameter takes its default where nothing provides it, else None where it may be that; INJECTED is no default.
    """
    async with Container(World().app) as container:

        @container.inject
        async def handler(
            a: Annotated[Any, Inject("unknown")] = 5,
            b: From[Session | None] = INJECTED,
            c: From[Journal | None] = 7,
            d: From[Pool] = None,
        ):
            return a, type(b), c, type(d)

        @container.inject
        def plain(a: Annotated[Any, Inject("unknown")] = 5, c: Annotated[Any, Inject("unknown", fallback=8)] = 7):
            return a, c

        for _ in CALLS:
            assert await handler() == (5, Session, 7, Pool)
            assert plain() == (5, 8)

        with pytest.raises(GraphErrors, match=r'nothing provides "unknown", needed by without\.a \('):

            @container.inject
            async def without(a: Annotated[Any, Inject("unknown")] = INJECTED):
                return a


async def test_two_parameters_may_ask_for_the_same():
    """
    A transient value is made for each parameter, a shared one is one; each resource is closed once, in reverse.
    """
    journal = Journal()
    app = fresh_app()
    serials = iter(range(1000))

    @inject_dependency("each", on=app, lifetime="transient")
    async def each() -> AsyncIterator[int]:
        number = next(serials)
        with journal.noting(str(number)):
            yield number

    async with Container(app) as container:

        @container.inject
        async def handler(a: Annotated[int, Inject("each")], b: Annotated[int, Inject("each")]):
            return a, b

        for number in CALLS:
            journal.clear()
            a, b = await handler()
            assert (a, b) == (2 * number, 2 * number + 1)
            assert journal == [f"+{a}", f"+{b}", f"-{b}", f"-{a}"]


# --- kinds of functions ------------------------------------------------------------------------------------


async def test_a_sync_function_is_filled_without_awaiting():
    """
    A sync function gets what is built or can be built in place; what would have to be awaited is told by name.
    """
    async with Container(World().app) as container:

        @container.inject
        def plain(number: int, pool: From[Pool], basket: From[Basket]):
            return number, pool, basket

        @container.inject
        def cannot(session: From[Session]):
            return session

        with pytest.raises(AsyncDependencyError, match="Pool"):
            plain(1)
        pool = await container.get(Pool)
        for number in CALLS:
            assert plain(number)[:2] == (number, pool)
            assert plain(number)[2] is not plain(number)[2]
            with pytest.raises(AsyncDependencyError, match="Session"):
                cannot()
            assert cannot(5) == 5


def test_sync_programs_need_no_loop():
    """
    With a plain ``with`` sync functions are filled, and what they had set up is torn down after each call, in reverse.
    """
    journal = Journal()
    app = fresh_app()

    def resource(name: str, *needs: Any) -> Any:
        @inject_dependency(name, on=app, lifetime="scoped")
        @contextmanager
        def opened(*args: Any) -> Iterator[str]:
            with journal.noting(name):
                yield name

        opened.__wrapped__.__annotations__.update({f"p{at}": need for at, need in enumerate(needs)})

    resource("one")

    @inject_dependency("two", on=app, lifetime="scoped")
    def two(one: Annotated[Any, Inject("one")]) -> Iterator[str]:
        with journal.noting("two"):
            yield "two"

    with Container(app) as container:

        @container.inject
        def job(number: int, two: Annotated[str, Inject("two")], one: Annotated[str, Inject("one")]):
            journal.append(f"job {one} {two}")
            return number

        for number in CALLS:
            journal.clear()
            assert job(number) == number
            assert journal == ["+one", "+two", "job one two", "-two", "-one"]


async def test_a_scope_lives_as_long_as_the_call():
    """
    What a call has set up is torn down when the call is over, and not before.
    """
    world = World()
    async with Container(world.app) as container:

        @container.inject
        async def handler(session: From[Session]):
            await asyncio.sleep(0)
            world.journal.append("call")
            return "done"

        await container.get(Pool)
        for _ in CALLS:
            world.journal.clear()
            assert await handler() == "done"
            assert world.journal == ["+session", "call", "-session"]


async def test_a_streaming_function_keeps_its_scope_until_it_ends():
    """
    An async generator's scope is closed when the generator is exhausted or closed early; what it is sent and thrown arrives.
    """
    world = World()
    async with Container(world.app) as container:

        @container.inject
        async def stream(count: int, session: From[Session]):
            for number in range(count):
                try:
                    got = yield number
                except KeyError as error:
                    got = error
                world.journal.append(got)

        await container.get(Pool)
        assert inspect.isasyncgenfunction(stream)
        for _ in CALLS:
            world.journal.clear()
            assert [number async for number in stream(2)] == [0, 1]
            assert world.journal == ["+session", None, None, "-session"]

            world.journal.clear()
            running = stream(5)
            assert await anext(running) == 0
            assert await running.asend("sent") == 1
            error = KeyError("thrown")
            assert await running.athrow(error) == 2
            assert world.journal == ["+session", "sent", error]
            await running.aclose()
            assert world.journal[3:] == ["!GeneratorExit", "-session"] or world.journal[3:] == ["-session", "!GeneratorExit"]

            with pytest.raises(ValueError, match="mine"):
                running = stream(1)
                await anext(running)
                await running.athrow(ValueError("mine"))


def test_a_generator_keeps_its_scope_until_it_ends():
    """
    The same of a sync generator, whose return value arrives as well.
    """
    journal = Journal()
    app = fresh_app()

    @inject_dependency("thing", on=app, lifetime="scoped")
    def thing() -> Iterator[str]:
        with journal.noting("thing"):
            yield "thing"

    with Container(app) as container:

        @container.inject
        def numbers(count: int, thing: Annotated[str, Inject("thing")]):
            for number in range(count):
                journal.append((yield number))
            return thing

        def all_of(count):
            journal.append((yield from numbers(count)))

        assert inspect.isgeneratorfunction(numbers)
        for _ in CALLS:
            journal.clear()
            assert list(all_of(2)) == [0, 1]
            assert journal == ["+thing", None, None, "-thing", "thing"]
            journal.clear()
            running = numbers(5)
            assert (next(running), running.send("sent")) == (0, 1)
            running.close()
            assert journal == ["+thing", "sent", "-thing"]


async def test_methods_of_every_kind():
    """
    Methods, static methods (in either order) and class methods get their ``self``, ``cls`` and what is marked.
    """

    class Controller:
        @injected
        async def method(self, number: int, pool: From[Pool] = INJECTED):
            return self, number, type(pool)

        @staticmethod
        @injected
        async def static(number: int, pool: From[Pool] = INJECTED):
            return number, type(pool)

        @injected
        @staticmethod
        async def outside(number: int, pool: From[Pool] = INJECTED):
            return number, type(pool)

        @classmethod
        @injected
        async def of_class(cls, number: int, pool: From[Pool] = INJECTED):
            return cls, number, type(pool)

        @injected()
        async def with_brackets(self, pool: From[Pool]):
            return type(pool)

        async def plain(self, number: int, pool: From[Pool]):
            return self, number, type(pool)

    async with Container(World().app) as container:
        controller = Controller()
        bound = container.inject(controller.plain)
        for _ in CALLS:
            assert await controller.method(1) == (controller, 1, Pool)
            assert await Controller.static(2) == (2, Pool)
            assert await controller.outside(3) == (3, Pool)
            assert await controller.of_class(4) == (Controller, 4, Pool)
            assert await controller.with_brackets() is Pool
            assert await bound(5) == (controller, 5, Pool)


async def test_classes_partials_and_callable_objects():
    """
    A dataclass, a class, a partial and an object with ``__call__`` are filled like functions.
    """

    @dataclasses.dataclass
    class Job:
        number: int
        pool: From[Pool] = INJECTED
        limit: int = dataclasses.field(default=3, kw_only=True)

    class Plain:
        def __init__(self, number, pool: From[Pool]):
            self.number, self.pool = number, pool

    class Called:
        async def __call__(self, number, pool: From[Pool]):
            return number, pool

    async def function(first, second, pool: From[Pool], config: From[Config]):
        return first, second, pool, config

    async with Container(World().app) as container:
        pool = await container.get(Pool)
        job, plain, called = container.inject(Job), container.inject(Plain), container.inject(Called())
        partial = container.inject(functools.partial(function, 1, config="mine"))
        for number in CALLS:
            made = job(number, limit=9)
            assert (type(made), made.number, made.pool, made.limit) == (Job, number, pool, 9)
            assert job(number).limit == 3
            assert job(number, "mine").pool == "mine"
            assert (plain(number).number, plain(number).pool) == (number, pool)
            assert await called(number) == (number, pool)
            assert await partial(2) == (1, 2, pool, "mine")


async def test_context_manager_functions_are_filled_underneath():
    """
    A function decorated with ``asynccontextmanager`` or ``contextmanager`` keeps its scope open for the block.
    """
    world = World()
    async with Container(world.app) as container:

        @container.inject
        @asynccontextmanager
        async def working(number: int, session: From[Session]) -> AsyncIterator[int]:
            yield number

        await container.get(Pool)
        for _ in CALLS:
            world.journal.clear()
            async with working(3) as number:
                assert number == 3
                assert world.journal == ["+session"]
            assert world.journal == ["+session", "-session"]


def test_what_cannot_be_called_is_refused():
    """
    Something that is no function is a DeclarationError; a function that marks nothing comes back as it is.
    """

    def plain(number: int) -> int:
        return number

    container = Container(fresh_app())
    with pytest.raises(DeclarationError, match="callable"):
        container.inject(3)
    with pytest.raises(DeclarationError, match="callable"):
        injected(3)

    assert container.inject(plain) is plain
    assert injected(plain) is plain


# --- what others see -----------------------------------------------------------------------------------------


def test_the_signature_shows_what_the_caller_passes():
    """
    ``inspect.signature``, the annotations and the kind of function are those of what is left.
    """

    async def handler(
        first: int, /, pool: From[Pool], second: str = "x", *args: int, config: From[Config] = INJECTED, third: "int" = 3
    ) -> str:
        "Say something."
        return ""

    wrapped = injected(handler)

    assert str(inspect.signature(wrapped)) == "(first: int, /, second: str = 'x', *args: int, third: int = 3) -> str"
    assert inspect.getfullargspec(wrapped).kwonlyargs == ["third"]
    assert set(wrapped.__annotations__) == {"first", "second", "args", "third", "return"}
    assert inspect.iscoroutinefunction(wrapped)
    assert asyncio.iscoroutinefunction(wrapped) if sys.version_info < (3, 14) else True
    assert (wrapped.__name__, wrapped.__doc__, wrapped.__module__) == ("handler", "Say something.", __name__)
    assert wrapped.__qualname__ == handler.__qualname__
    assert wrapped.__wrapped__ is handler
    assert typing.get_type_hints(wrapped) == {"first": int, "second": str, "args": int, "third": int, "return": str}


async def test_signature_and_kind_stay_when_code_changes():
    """
    Whatever code the function runs, it looks the same from outside.
    """
    async with Container(World().app) as container:

        @container.inject
        async def handler(number: int, session: From[Session] = INJECTED, limit: int = 3):
            return number

        seen = set()
        for _ in CALLS:
            await handler(1)
            code = handler.__code__
            seen.add((str(inspect.signature(handler)), inspect.iscoroutinefunction(handler), code.co_varnames[: code.co_argcount]))

    assert seen == {("(number: int, limit: int = 3)", True, ("number", "limit"))}


def test_markers_are_seen_around_names_that_come_later():
    """
    A marked parameter may name, as text, a class that is written further down.
    """
    names: dict[str, Any] = {}
    text = """
from __future__ import annotations
from asyncmeta import From, Inject, injected, INJECTED
from typing import Annotated
@injected
def handler(
    number: Number, thing: From[Thing], other: Annotated[Thing | None, Inject("nothing")], m: From[models.Thing] = INJECTED
):
    return number, thing, other, m
class Thing: pass
class models:
    Thing = Thing
Number = int
"""
    exec(text, names)
    app = fresh_app()
    inject_dependency(on=app)(names["Thing"])

    assert list(inspect.signature(names["handler"]).parameters) == ["number"]
    with Container(app) as container:
        for number in CALLS:
            thing = container.get_nowait(names["Thing"])
            assert names["handler"](number) == (number, thing, None, thing)


# --- handles, lists, contexts -------------------------------------------------------------------------------------


async def test_every_way_of_asking_works():
    """
    Lazy, Factory, All, Container, Scope, tokens, strings and generics are filled as constructor parameters are.
    """
    app = fresh_app()
    token = Token[int]("token")
    app.register_value(token, 5)
    app.register_value("text", "value")
    inject_dependency(on=app)(Config)
    app.register_dependency("many", lambda: 1, multi=True)
    app.register_dependency("many", lambda: 2, multi=True)

    class Report:
        def __init__(self, config: Config):
            self.config = config

    inject_dependency(on=app, lifetime="transient")(Report)

    async with Container(app) as container:

        @container.inject
        async def handler(
            lazy: From[Lazy[Config]],
            make: From[Factory[Report]],
            many: Annotated[list[int], Inject("many")],
            none: All[Pool],
            here: From[Container],
            scope: From[Scope],
            number: Annotated[int, Inject(token)],
            text: Annotated[str, Inject("text")],
        ):
            return await lazy, await make(), many, none, here, scope, number, text

        scopes = []
        config = await container.get(Config)
        for _ in CALLS:
            got, report, many, none, here, scope, number, text = await handler()
            assert report.config is config
            assert (got, many, none, here, number, text) == (config, [1, 2], [], container, 5, "value")
            assert scope.closed
            assert scope not in scopes
            scopes.append(scope)
            many.append(3)


async def test_services_with_attributes_get_a_scope_of_the_call():
    """
    A service whose attributes are fetched late fetches them in the call's own scope, which is closed afterwards.
    """
    world = World()

    class Users(AsyncServiceBase, lifetime="scoped"):
        session = AsyncDependencyDescriptor(Session)
        basket = AsyncDependencyDescriptor(Basket)

    async with Container(world.app) as container:

        @container.inject
        async def handler(users: From[Users], session: From[Session], pool: From[Pool]):
            assert await users.session is session
            return users

        await container.get(Pool)
        for _ in CALLS:
            world.journal.clear()
            users = await handler()
            assert world.journal == ["+session", "-session"]
            with pytest.raises(ClosedError):
                await users.basket


async def test_no_scope_where_nothing_asks_for_one():
    """
    A call of plain values makes no scope at all once the function has code of its own; nor does one of singletons ever.
    """

    def scopes_of(container):
        # By type: isinstance would ask objects of others for their class, and Django's lazy ones begin to work at that.
        scopes = [one for one in gc.get_objects() if issubclass(type(one), Scope) and one is not container]
        return [one for one in scopes if one.container is container]

    async with Container(World().app) as container:

        @container.inject
        async def singletons(pool: From[Pool], config: From[Config]):
            return scopes_of(container)

        @container.inject
        async def scoped(session: From[Session], basket: From[Basket]):
            return scopes_of(container)

        for _ in CALLS:
            assert await singletons() == []
        for _ in range(2):
            assert len(await scoped()) == 1
        for _ in CALLS:
            assert await scoped() == []


async def test_context_values_are_missed_as_in_any_scope():
    """
    A call's own scope has no context; what a scope was opened with is found by functions that this scope fills.
    """

    class Request:
        pass

    app = fresh_app(context=[Request])
    request = Request()

    async def handler(request: From[Request]):
        return request

    async def perhaps(request: From[Request | None]):
        return request

    async with Container(app) as container:
        alone, optional = container.inject(handler), container.inject(perhaps)
        for _ in CALLS:
            with pytest.raises(ScopeError, match=r"without .*Request"):
                await alone()
            assert await optional() is None
        async with container.scope({Request: request}) as scope:
            inside = scope.inject(handler)
            for _ in CALLS:
                assert await inside() is request


async def test_a_scope_gives_its_own_values():
    """
    A function filled by a scope gets that scope's values, and closes nothing; after the scope's end it is ClosedError.
    """
    world = World()
    async with Container(world.app) as container:
        async with container.scope() as scope:

            @scope.inject
            async def handler(number: int, session: From[Session], pool: From[Pool]):
                return number, session, pool

            @scope.inject
            def plain(basket: From[Basket]):
                return basket

            session = await scope.get(Session)
            for number in CALLS:
                assert await handler(number) == (number, session, session and await scope.get(Pool))
                assert plain() is await scope.get(Basket)
            assert world.journal.closed == []
        with pytest.raises(ClosedError):
            await handler(1)
        with pytest.raises(ClosedError):
            plain()
        assert await handler(1, 2, 3) == (1, 2, 3)


async def test_levels_between_are_opened_and_closed_with_the_call():
    """
    In an application of several levels a call has them all; a scope of an outer level opens the inner one.
    """
    journal = Journal()
    app = fresh_app(scopes=("session", "request"))

    def level(name, lifetime):
        async def opened() -> AsyncIterator[object]:
            with journal.noting(name):
                yield object()

        app.register_dependency(name, opened, lifetime=lifetime)

    level("outer", "session")
    level("inner", "request")

    async def handler(inner: Annotated[Any, Inject("inner")], outer: Annotated[Any, Inject("outer")]):
        return outer

    async with Container(app) as container:
        alone = container.inject(handler)
        for _ in CALLS:
            journal.clear()
            await alone()
            assert sorted(journal) == ["+inner", "+outer", "-inner", "-outer"]
        async with container.scope(level="session") as session:
            outer = await session.get("outer")
            inside = session.inject(handler)
            for _ in CALLS:
                journal.clear()
                assert await inside() is outer
                assert journal == ["+inner", "-inner"]


# --- failures ---------------------------------------------------------------------------------------------------


async def test_what_the_function_raises_passes_and_everything_is_torn_down():
    """
    The function's own exception, or its cancellation, reaches the caller as it is; finalizers see it and cannot stop it.
    """
    world = World()
    async with Container(world.app) as container:

        @container.inject
        async def handler(error: BaseException, session: From[Session]):
            raise error

        await container.get(Pool)
        for kind in (ValueError, KeyError, asyncio.CancelledError, StopAsyncIteration, *[OSError] * 3):
            world.journal.clear()
            error = kind("mine")
            with pytest.raises(kind) as caught:
                await handler(error)
            assert caught.value is error
            assert not getattr(error, "__notes__", None)
            assert world.journal.closed == ["session"]
            assert f"!{kind.__name__}" in world.journal


async def test_a_failing_finalizer_is_told():
    """
    What a finalizer raises after the call is FinalizationErrors; beside the function's own exception it is in a note.
    """
    world = World(fails_closing=True)
    async with Container(world.app) as container:

        @container.inject
        async def handler(error: BaseException | None, session: From[Session]):
            if error is not None:
                raise error
            return "fine"

        for _ in CALLS:
            with pytest.raises(FinalizationErrors) as caught:
                await handler(None)
            assert [str(one) for one in caught.value.exceptions] == ["cannot close"]


async def test_a_failing_factory_is_noted_and_what_was_set_up_is_torn_down():
    """
    The factory's exception carries a note of what was being built; earlier resources of the call are closed.
    """
    world = World()
    app = world.app

    @inject_dependency("bad", on=app, lifetime="scoped")
    def bad(session: Session):
        raise OSError("no")

    @inject_dependency("sometimes", on=app, lifetime="scoped")
    def sometimes(session: Session):
        if world.journal.count("-session") >= 3:
            raise OSError("now")
        return 5

    async with Container(app) as container:

        @container.inject
        async def handler(thing: Annotated[Any, Inject("sometimes")], mine: int = 3):
            return thing

        @container.inject
        async def never(thing: Annotated[Any, Inject("bad")]):
            return thing

        for _ in range(3):
            assert await handler() == 5
        for _ in CALLS:
            with pytest.raises(OSError, match="now") as caught:
                await handler()
            assert any("while building" in note and "sometimes" in note for note in caught.value.__notes__)
            with pytest.raises(OSError, match="no"):
                await never()
        assert world.journal.count("+session") == world.journal.count("-session") == 3 + 2 * len(CALLS)


@pytest.mark.parametrize("yields", [0, 2])
async def test_generators_that_do_not_yield_once_are_named(yields):
    """
    A factory that never yields, or yields twice, is a FactoryError that names it.
    """
    app = fresh_app()
    switch = {"yields": 1}

    @inject_dependency("thing", on=app, lifetime="scoped")
    async def careless() -> AsyncIterator[int]:
        for number in range(switch["yields"]):
            yield number

    async with Container(app) as container:

        @container.inject
        async def handler(thing: Annotated[int, Inject("thing")]):
            return thing

        for _ in CALLS:
            switch["yields"] = 1
            await handler()
            switch["yields"] = yields
            with pytest.raises((FactoryError, FinalizationErrors)) as caught:
                await handler()
            assert any("careless" in str(one) and isinstance(one, FactoryError) for one in leaves(caught.value))


@pytest.mark.parametrize("yields", [0, 2])
def test_generators_that_do_not_yield_once_are_named_without_a_loop(yields):
    """
    So it is for a generator of a plain function.
    """
    app = fresh_app()
    switch = {"yields": 1}

    @inject_dependency("thing", on=app, lifetime="scoped")
    def careless() -> Iterator[int]:
        yield from range(switch["yields"])

    with Container(app) as container:

        @container.inject
        def handler(thing: Annotated[int, Inject("thing")]):
            return thing

        for _ in CALLS:
            switch["yields"] = 1
            handler()
            switch["yields"] = yields
            with pytest.raises((FactoryError, FinalizationErrors)) as caught:
                handler()
            assert any("careless" in str(one) and isinstance(one, FactoryError) for one in leaves(caught.value))


def test_the_check_tells_everything_at_once():
    """
    ``container.inject`` checks what the function asks for, all of it, and names the parameters.
    """

    class Needs:
        def __init__(self, missing: Pool):
            pass

    app = fresh_app()
    inject_dependency(on=app, lifetime="transient")(Needs)
    container = Container(app, check=False)

    def handler(number, a: From[Needs], b: Annotated[Any, Inject("nothing")], c: "From[Unwritten]"):  # noqa: F821
        pass

    with pytest.raises(GraphErrors) as caught:
        container.inject(handler)

    texts = [str(one) for one in problems(caught.value)]
    assert len(texts) == 3
    assert any("Pool" in text and "Needs.missing" in text for text in texts)
    assert any("handler.b" in text and "test_injected.py:" in text for text in texts)
    assert any("handler.c cannot be read" in text and "Unwritten" in text for text in texts)


# --- the ambient one --------------------------------------------------------------------------------------------


@injected
async def ask(number: int, pool: From[Pool] = INJECTED):
    """Return what it is given."""
    return number, pool


async def test_the_container_around_the_call_is_the_ambient_one():
    """
    Inside of ``async with`` the container fills, in this task and in those started there; outside nobody does.
    """
    assert current() is None
    with pytest.raises(ScopeError, match=r"ask .*needs pool"):
        await ask(1)
    assert await ask(1, 2) == (1, 2)
    async with Container(World().app) as outer:
        pool = await outer.get(Pool)
        for number in CALLS:
            assert await ask(number) == (number, pool)
        async with Container(World().app) as inner:
            assert current() is inner
            other = await inner.get(Pool)
            for _ in range(40):  # also when its code was another container's
                assert await ask(1) == (1, other)
            assert await asyncio.create_task(ask(2)) == (2, other)
            with outer.ambient():
                assert await ask(1) == (1, pool)
            assert await ask(1) == (1, other)
        for number in CALLS:
            assert await ask(number) == (number, pool)
    assert current() is None
    with pytest.raises(ScopeError):
        await ask(1)


async def test_what_one_container_would_fill_wins_where_it_is_passed_by_hand_for_another():
    """
    Passing by hand wins, in another container's block and in none, also of the very value that the first one fills in.
    """

    @injected
    async def handler(pool: From[Pool], name: From[str] = "nobody"):
        return pool, name

    async with Container(World().app) as outer:
        pool = await outer.get(Pool)
        for _ in CALLS:
            assert await handler() == (pool, "nobody")
        named = World().app
        named.register_value(str, "Ada")
        async with Container(named) as inner:
            assert await handler(pool, "nobody") == (pool, "nobody")
            assert await handler(name="nobody") == (await inner.get(Pool), "nobody")
        outside = asyncio.create_task(handler(pool, "nobody"), context=contextvars.Context())
        assert await outside == (pool, "nobody")


async def test_an_ambient_scope_gives_its_own_values():
    """
    Where a scope is ambient its values are used, and nothing is opened or closed.
    """
    world = World()

    @injected
    async def handler(session: From[Session], pool: From[Pool]):
        return session

    async with Container(world.app) as container, container.scope() as scope:
        for _ in CALLS:
            assert await handler() is not await scope.get(Session)
        with scope.ambient():
            for _ in CALLS:
                assert await handler() is await scope.get(Session)


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_what_a_container_keeps_is_built_where_no_scope_is_ambient(kind):
    """
    A function that a singleton's factory calls, then or later, is filled by the container, whose scope asked for it or not.
    """
    world = World()
    sessions = []

    @injected
    async def job(session: From[Session]):
        sessions.append(session)

    class Worker:
        def __init__(self):
            self.context = contextvars.copy_context()

    class Later(Worker):
        pass

    inject_dependency(on=world.app)(Later)
    if kind == "sync":
        inject_dependency(on=world.app)(Worker)
    else:

        @inject_dependency(Worker, on=world.app)
        async def start_worker():
            await job()
            return Worker()

    async with Container(world.app) as container:
        async with container.scope() as scope:
            with scope.ambient():
                worker = await scope.get(Worker)
                assert current() is scope
                own = await scope.get(Session)
        assert worker.context.run(current) is container
        await asyncio.create_task(job(), context=worker.context)  # the scope is closed
        assert own not in sessions
        async with container.overlay({Config: Config()}) as overlay:
            with overlay.ambient():
                assert (await container.get(Later)).context.run(current) is container
    async with Container(fresh_app()) as other, Container(world.app, check=False) as container:
        with other.ambient():
            async with other.scope() as scope:
                with scope.ambient():
                    assert (await container.get(Later)).context.run(current) is other


async def test_calls_in_an_ambient_scope_follow_what_changes():
    """
    In a scope, too, every call sees what is passed by hand, overridden, registered anew and closed; defaults hold.
    """
    world = World()
    pools = []

    @injected
    async def handler(first, *more, pool: From[Pool], session: From[Session], name: From[str] = "nobody"):
        pools.append(pool)
        return first, more, session, name

    async with Container(world.app) as container:
        real = await container.get(Pool)
        async with container.scope() as scope:
            session = await scope.get(Session)
            with scope.ambient():
                for number in CALLS:
                    assert await handler(number) == (number, (), session, "nobody")
                    assert await handler(number, 2, pool="by hand") == (number, (2,), session, "nobody")
                    assert await handler(number, session=None) == (number, (), None, "nobody")
                    async with container.override({Pool: "fake"}):
                        await handler(number)
                assert pools == [real, "by hand", real, "fake"] * len(CALLS)
                world.app.register_value(str, "Ada")
                for number in CALLS:
                    assert await handler(number) == (number, (), session, "Ada")
        with pytest.raises(ClosedError), scope.ambient():
            assert False
        async with container.scope() as other:
            with other.ambient():
                assert (await handler(1))[2] is not session


async def test_a_scope_entered_with_a_plain_with_fills_step_by_step_for_ever():
    """
    Nothing is awaited in a scope that was entered with a plain ``with``, also by a function that has code for scopes.
    """
    world = World()

    @injected
    async def handler(session: From[Session]):
        return session

    async with Container(world.app) as container:
        for _ in CALLS:
            async with container.scope() as scope:
                with scope.ambient():
                    assert await handler() is await scope.get(Session)
        world.journal.clear()
        with container.scope() as blocking, blocking.ambient(), pytest.raises(AsyncDependencyError, match="plain `with`"):
            await handler()

    assert "+session" not in world.journal


async def test_tasks_of_two_containers_do_not_see_each_other():
    """
    Tasks that run side by side, each in its own container's block, are filled by their own.
    """
    turns = []

    async def work(name):
        async with Container(World().app) as container:
            pool = await container.get(Pool)
            for _ in range(30):
                assert await ask(1) == (1, pool)
                turns.append(name)
                await asyncio.sleep(0)

    await asyncio.gather(work("a"), work("b"))

    assert turns[:4] == ["a", "b", "a", "b"]


def test_leaving_in_another_context_is_tolerated():
    """
    A block that ends in another context than it began in (a fixture's two halves) leaves that context clean.
    """
    container = Container(World().app)
    block = Ambient(container)
    here, there = contextvars.copy_context(), contextvars.copy_context()

    here.run(block.__enter__)
    copied = here.copy()
    copied.run(block.__exit__)
    there.run(block.__exit__)

    assert copied.run(current) is None
    assert here.run(current) is container
    assert there.run(current) is None


# --- what changes later --------------------------------------------------------------------------------------------


async def test_new_registrations_reach_functions_injected_before():
    """
    What is registered later counts from the next call on, however often the function was called before.
    """
    world = World()

    async def handler(basket: From[Basket], extra: Annotated[Any, Inject("extra")] = None):
        return basket, extra

    async with Container(world.app) as container:
        for function in (container.inject(handler), injected(handler)):
            for _ in CALLS:
                basket, extra = await function()
                assert type(basket) is Basket
                assert extra is None
        world.app.register_dependency(Basket, lambda: "other", lifetime="scoped")
        world.app.register_value("extra", 5)
        for again in (container.inject(handler), function):
            for _ in CALLS:
                assert await again() == ("other", 5)


async def test_after_closing_functions_are_refused_and_work_again_when_it_is_entered_again():
    """
    Between closing and being entered again a call is ClosedError, even by code of its own; then it works as before.
    """
    world = World()
    container = Container(world.app)

    @container.inject
    async def handler(number: int, pool: From[Pool]):
        return number, pool

    @container.inject
    def plain(config: From[Config]):
        return config

    pools = []
    for _ in range(3):
        async with container:
            for number in CALLS:
                assert (await handler(number))[0] == number
                assert type(plain()) is Config
            pools.append((await handler(1))[1])
        for _ in CALLS:
            with pytest.raises(ClosedError):
                await handler(1)
            with pytest.raises(ClosedError):
                plain()
        assert await handler(1, None) == (1, None)

    assert len({id(pool) for pool in pools}) == 3


async def test_a_call_that_was_made_before_closing_is_refused_by_the_ambient_one():
    """
    A coroutine made by code of its own and awaited after its container is closed is ClosedError.
    """
    container = Container(World().app)
    with container.ambient():
        async with container:
            for _ in CALLS:
                await ask(1)
            made = ask(1)
        with pytest.raises(ClosedError):
            await made


async def test_changes_leave_nothing_behind():
    """
    What a function had bound before something was registered is forgotten; nothing piles up in it.
    """
    world = World()
    async with Container(world.app) as container:

        @container.inject
        async def handler(basket: From[Basket], session: From[Session]):
            return basket

        sizes = set()
        for number in range(10):
            for _ in CALLS:
                await handler()
            sizes.add(len(handler.__globals__))
            world.app.register_value(f"new {number}", number)
        await handler()

    assert len(sizes) == 1


async def test_an_override_may_need_a_scope_where_none_was_needed():
    """
    A singleton that is overridden by a scoped factory is made for the call, and closed with it.
    """
    world = World()
    journal = Journal()

    async def open_fake() -> AsyncIterator[str]:
        with journal.noting("fake"):
            yield "fake"

    async with Container(world.app) as container:

        @container.inject
        async def handler(pool: From[Pool]):
            journal.append("call")
            return pool

        for _ in CALLS:
            await handler()
        async with container.override([{"provide": Pool, "use_factory": open_fake, "lifetime": "scoped"}]):
            for _ in CALLS:
                journal.clear()
                assert await handler() == "fake"
                assert journal == ["+fake", "call", "-fake"]


async def test_overrides_reach_injected_functions():
    """
    Inside of an override a call gets the override's values, and afterwards the real ones; others do not see it.
    """
    world = World()
    fake = Pool()

    async def handler(pool: From[Pool], basket: From[Basket]):
        return pool, basket.pool

    async with Container(world.app) as container:
        pool = await container.get(Pool)
        functions = [container.inject(handler), injected(handler)]
        for _ in range(2):
            for function in functions:
                for _ in CALLS:
                    assert await function() == (pool, pool)
            async with container.override({Pool: fake}):
                for function in functions:
                    for _ in CALLS:
                        assert await function() == (fake, fake)
        overlaid = []
        async with container.overlay({Pool: fake}) as overlay:
            overlaid.append(overlay.inject(handler))
            for _ in CALLS:
                assert await overlaid[0]() == (fake, fake)
                assert await functions[0]() == (pool, pool)
        with pytest.raises(ClosedError):
            await overlaid[0]()


async def test_an_observed_container_tells_of_each_call():
    """
    While a container is observed nothing is left untold: calls are done step by step; afterwards they are quick again.
    """
    world = World()

    class Heard(Observer):
        def __init__(self):
            self.told = []

        def build_end(self, event):
            self.told.append(event.key)

    async with Container(world.app) as container:

        @container.inject
        async def handler(basket: From[Basket], pool: From[Pool]):
            return basket

        for _ in CALLS:
            await handler()
        heard = Heard()
        with container.observe(heard):
            for _ in CALLS:
                await handler()
        told = len(heard.told)
        for _ in CALLS:
            await handler()

    assert heard.told == ["Basket"] * len(CALLS)
    assert len(heard.told) == told


async def test_calls_in_flight_outlive_a_change():
    """
    A call that is under way, or whose coroutine is made, ends with what it began with while something is registered.
    """
    world = World()
    gate = asyncio.Event()

    async with Container(world.app) as container:

        @container.inject
        async def handler(wait: bool, basket: From[Basket], session: From[Session], pool: From[Pool]):
            if wait:
                await gate.wait()
            return basket.pool, pool

        for _ in CALLS:
            await handler(False)
        pool = await container.get(Pool)
        waiting = asyncio.create_task(handler(True))
        await asyncio.sleep(0)
        made = handler(False)
        world.app.register_dependency("new", lambda: 1)
        collected()
        for _ in CALLS:
            assert await handler(False) == (pool, pool)
        gate.set()
        assert await waiting == (pool, pool)
        assert await made == (pool, pool)
        assert world.journal.count("+session") == world.journal.count("-session")


async def test_injected_calls_build_shared_values_once():
    """
    Calls that come at the same time share one build of a singleton.
    """
    world = World()
    async with Container(world.app) as container:

        @container.inject
        async def handler(pool: From[Pool], session: From[Session]):
            return pool, session

        results = await asyncio.gather(*[handler() for _ in range(20)])

    assert len({pool for pool, _ in results}) == 1
    assert len({session for _, session in results}) == 20
    assert world.journal.count("+pool") == 1


def test_threads_may_call_a_sync_function():
    """
    Threads that call at the same time each get scoped values of their own and the same singletons.
    """
    app = fresh_app()
    inject_dependency(on=app)(Pool)
    inject_dependency(on=app)(Config)
    inject_dependency(on=app, lifetime="scoped")(Basket)
    results = []
    with Container(app) as container:

        @container.inject
        def plain(pool: From[Pool], basket: From[Basket]):
            return pool, basket

        threads = [threading.Thread(target=lambda: results.extend(plain() for _ in range(20))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert len(results) == 80
    assert len({pool for pool, _ in results}) == 1
    assert len({basket for _, basket in results}) == 80


async def test_functions_and_containers_are_not_kept_alive():
    """
    A container holds the functions that it fills weakly, and a function for the ambient one holds no closed container.
    """

    def make(inject):
        @inject
        async def handler(pool: From[Pool], session: From[Session]):
            return pool

        return handler

    ambient_one = make(injected)
    container = Container(World().app)
    async with container:
        function = make(container.inject)
        for _ in CALLS:
            await function()
            await ambient_one()
        gone = weakref.ref(function)
        del function
        collected()
        assert gone() is None
    gone = weakref.ref(container)
    del container
    collected()

    assert gone() is None


@guarded
async def test_cancelling_a_call_closes_what_it_holds():
    """
    A call that is cancelled while its function waits tears everything down, and is cancelled.
    """
    world, inside = World(), asyncio.Event()
    async with Container(world.app) as container:

        @container.inject
        async def handler(session: From[Session]):
            inside.set()
            await asyncio.Event().wait()

        await container.get(Pool)
        for _ in CALLS:
            world.journal.clear()
            inside.clear()
            task = asyncio.create_task(handler())
            await inside.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert "-session" in world.journal


def function_of(kind, asked):
    """Return a function of *kind* that gives what its parameter is filled with, and what runs it to its end."""

    def sync(asked: asked):
        return asked

    async def waits(asked: asked):
        return asked

    def yields(asked: asked):
        yield asked

    async def streams(asked: asked):
        yield asked

    async def run_sync(function):
        return function()

    async def run_async(function):
        return await function()

    async def run_generator(function):
        return next(iter(function()))

    async def run_stream(function):
        items = [item async for item in function()]
        return items[0]

    kinds = {
        "sync": (sync, run_sync),
        "async": (waits, run_async),
        "generator": (yields, run_generator),
        "stream": (streams, run_stream),
    }
    return kinds[kind]


@pytest.mark.parametrize("ambient", [False, True])
@pytest.mark.parametrize("with_scope", [False, True])
@pytest.mark.parametrize("calls", [1, 4])
@pytest.mark.parametrize("kind", ["sync", "async", "generator", "stream"])
async def test_closing_from_what_fills_a_call_is_an_error(kind, calls, with_scope, ambient):
    """
    A factory that closes the container while a call of an injected function waits for it is refused, quick or not.
    """
    closes = False

    class App(AsyncServiceBase): ...

    class Session: ...

    class Waiting: ...

    class Service(AsyncServiceBase, lifetime="scoped"):
        """Holds on to its scope."""

        session = AsyncDependencyDescriptor(Session)

        def __init__(self, session: Session):
            self.made_with = session

    class WaitingService(AsyncServiceBase, lifetime="scoped"):
        """Holds on to its scope."""

        session = AsyncDependencyDescriptor(Session)

        def __init__(self, session: Waiting):
            self.made_with = session

    services = {Session: Service, Waiting: WaitingService}

    @inject_dependency(Session, lifetime="scoped", on=App)
    def open_session(container: Container):
        if closes:
            container.close()
        return Session()

    @inject_dependency(Waiting, lifetime="scoped", on=App)
    async def open_waiting(container: Container):
        if closes:
            await container.aclose()
        return Waiting()

    asks = [Session] if kind in ("sync", "generator") else [Session, Waiting]
    async with Container(App) as container:
        for ask in asks:
            function, run = function_of(kind, From[services[ask] if with_scope else ask])
            function = injected(function) if ambient else container.inject(function)
            for _ in range(calls):
                assert await run(function)
            closes = True
            with pytest.raises(ContainerError, match="cannot be closed by a factory that it is waiting for"):
                await run(function)
            closes = False
            assert await run(function)
        assert not container.closed


@pytest.mark.parametrize("kind", ["async", "stream"])
async def test_an_injected_function_may_close_its_container(kind):
    """
    The function itself, which nothing waits for in order to close, may close the container that fills it.
    """
    container = Container(AsyncServiceBase, providers=[Pool])
    done = []

    @container.inject
    async def last(pool: From[Pool], close: bool):
        if close:
            await container.aclose()
        done.append(pool)

    @container.inject
    async def stream(pool: From[Pool], close: bool):
        if close:
            await container.aclose()
        done.append(pool)
        yield pool

    for close in (False, False, False, True):
        if kind == "async":
            await last(close=close)
        else:
            assert [item async for item in stream(close=close)]
    assert container.closed
    assert len(done) == 4


# --- closing around calls ---------------------------------------------------------------------------------------


def calls_of(container, form):
    """Return a function that awaits *work* with a session, each time in a scope of its own, which something opens."""
    if form == "request":

        async def call(work):
            async with container.request(Session):
                return await work()

    elif form == "scope":  # something holds on to it

        @container.inject
        async def call(work, session: From[Session], scope: From[Scope]):
            return await work()

    else:

        @container.inject
        async def call(work, session: From[Session]):
            return await work()

    return call


async def nothing():
    pass


@pytest.mark.parametrize("before", [0, 3], ids=["step by step", "by code"])
@pytest.mark.parametrize("form", ["call", "scope", "request"])
@pytest.mark.parametrize("fails", [False, True])
async def test_closing_from_what_a_call_tears_down_is_nothing(before, form, fails):
    """
    A finalizer that runs at the end of a call, or of a request, and closes the container does nothing; the call's owner can.
    """
    app = fresh_app()
    closed = []

    @inject_dependency(Session, on=app, lifetime="scoped")
    async def open_session():
        try:
            yield Session()
        finally:
            await container.aclose()
            closed.append(container.closed)

    async def work():
        if fails:
            raise LookupError

    container = Container(app)
    call = calls_of(container, form)
    for _ in range(before):
        await call(nothing)
    try:
        await call(work)
    except LookupError:
        assert fails

    assert closed == [False] * (before + 1)
    await container.aclose()


@pytest.mark.parametrize("before", [0, 3], ids=["step by step", "by code"])
def test_closing_from_what_a_sync_call_tears_down_is_nothing(before):
    """
    The same without a loop, and in a scope.
    """
    app = fresh_app()
    closed = []

    @inject_dependency(Session, on=app, lifetime="scoped")
    def open_session():
        try:
            yield Session()
        finally:
            container.close()
            closed.append(container.closed)

    container = Container(app)

    @container.inject
    def call(session: From[Session]):
        return session

    for _ in range(before + 1):
        call()
    with container.scope() as scope:
        scope.get_nowait(Session)

    assert closed == [False] * (before + 2)
    container.close()


# --- what functions ask for, checked before any call ------------------------------------------------------


def decorated(function):
    """Return *function* below a decorator that hands everything on."""

    @functools.wraps(function)
    async def around(*args, **named):
        return await function(*args, **named)

    return around


@pytest.mark.parametrize(
    "made",
    [
        lambda function: function,
        injected,
        lambda function: decorated(injected(function)),
        lambda function: injected(decorated(function)),
        lambda function: functools.partial(injected(function), 3),
        lambda function: functools.partial(decorated(injected(function))),
        lambda function: type("View", (), {"get": injected(function)})().get,
    ],
    ids=["plain", "injected", "decorated", "below", "partial", "partial of decorated", "method"],
)
def test_check_sees_what_injected_functions_ask_for(made):
    """
    `Container.check()` finds what a handler asks for that is filled already, or stands below a decorator, and says who asks.
    """

    class Rates: ...

    async def show(number, rates: From[Rates]): ...

    with pytest.raises(GraphErrors) as caught:
        Container(fresh_app()).check(made(show))

    (problem,) = caught.value.exceptions
    assert "nothing provides Rates, needed by" in str(problem) and "show.rates" in str(problem)


def test_check_leaves_out_what_is_passed_by_hand():
    """
    A parameter that a partial passes is not asked for.
    """

    class Rates: ...

    async def show(number, rates: From[Rates]): ...

    Container(fresh_app()).check(functools.partial(show, rates=Rates()))


class Report:
    def __init__(self, name: str, rates: int): ...


async def makes(report: From[Factory[Report]]): ...


async def has(report: From[Report]): ...


async def makes_and_has(make: From[Factory[Report]], report: From[Report]): ...


@pytest.mark.parametrize("functions", [(has,), (makes, has), (has, makes), (makes_and_has,)])
def test_check_sees_who_asks_for_what_only_a_factory_makes(functions):
    """
    Who asks for a value that takes an argument is told, also where somebody else makes it through a Factory, as is right.
    """
    App = fresh_app(providers=[Report])
    App.register_value(int, 3)
    container = Container(App)
    container.check(makes)

    for _ in range(2):
        with pytest.raises(GraphErrors, match=r"name is an argument: ask for Factory\[Report\]"):
            container.check(*functions)
    container.check(makes)


async def test_a_scope_fills_what_is_injected_already():
    """
    ``scope.inject()`` of a function under ``@injected`` gives that scope's values, whatever is ambient at the call.
    """

    @injected
    async def use(number: From[int] = 5, *, more: int = 0):
        return number, more

    class App(AsyncServiceBase, context=[int]): ...

    async with Container(App) as container, container.scope({int: 1}) as scope:
        filled = scope.inject(use)

        assert (await filled(), await filled(more=2)) == ((1, 0), (1, 2))
        assert (await use(), await container.inject(use)()) == ((5, 0), (5, 0))
        with scope.ambient():
            assert await container.inject(use)() == (1, 0)


# --- at the edges: defaults, calls that outlive their function, tear-down that fails -------------------


class Absent:
    pass


async def fills_async(absent: From[Lazy[Absent]] = "default", /, *, config: From[Config] = INJECTED):
    return absent, config


async def holds_scope_async(absent: From[Lazy[Absent]] = None, *, scope: From[Scope] = INJECTED, config: From[Config] = INJECTED):
    return absent, config


def fills(absent: From[Absent] = "default", *, config: From[Config] = INJECTED):
    return absent, config


def fills_late(absent: From[Lazy[Absent]] = "default", *, config: From[Config] = INJECTED):
    return absent, config


def holds_scope(absent: From[Lazy[Absent]] = "default", *, scope: From[Scope] = INJECTED, config: From[Config] = INJECTED):
    return absent, config


@pytest.mark.parametrize("ambient", [False, True], ids=["container", "ambient"])
@pytest.mark.parametrize("function", [fills, fills_late, holds_scope, fills_async, holds_scope_async])
async def test_a_default_stands_for_what_nothing_provides(function, ambient):
    """
    A marked parameter with a default of its own has that where nothing provides it, in the first call and in later ones.
    """
    async with Container(fresh_app(providers=[Config])) as container:
        handle = injected(function) if ambient else container.inject(function)
        config = await container.get(Config)

        for _ in CALLS:
            found = handle()
            absent, got = await found if inspect.isawaitable(found) else found

            assert absent == inspect.signature(function).parameters["absent"].default
            assert got is config


class NeedsAbsent:
    def __init__(self, absent: Absent):
        pass


@pytest.mark.parametrize(
    "annotation, path",
    [(Absent, "handle.second"), (NeedsAbsent, "NeedsAbsent.absent")],
    ids=["it", "what it needs"],
)
async def test_what_is_missing_among_several_is_told_with_who_asks(annotation, path):
    """
    Container values that are missing are built side by side; the error says which parameter, or whose, is not provided.
    """

    async def handle(first: From[Config], second): ...

    handle.__annotations__["second"] = From[annotation]
    app = fresh_app(providers=[Config])
    app.register_dependency(NeedsAbsent, NeedsAbsent)

    async with Container(app, check=False):
        with pytest.raises(MissingDependencyError) as caught:
            await injected(handle)()

    assert caught.value.path[0].endswith(path)


async def test_calls_that_outlive_their_function():
    """
    A coroutine goes on when the function that gave it is forgotten, also where it would have got code of its own.
    """

    async def handle(config: From[Config]):
        return config

    async with Container(fresh_app(providers=[Config])) as container:
        config = await container.get(Config)
        for make in (container.inject, injected):
            function = make(handle)
            calls = [function() for _ in CALLS]
            gone = weakref.ref(function)
            del function
            collected()

            assert [await call for call in calls] == [config] * len(CALLS)
            assert gone() is None


async def test_calls_in_scopes_that_outlive_their_function():
    """
    So it is in the scope of a request.
    """

    @injected
    async def handle(config: From[Config]):
        return config

    async with Container(fresh_app(providers=[Config])) as container, container.scope() as scope:
        with scope.ambient():
            calls = [handle() for _ in CALLS]
            del handle
            collected()

            assert len({id(await call) for call in calls}) == 1


def opens(fails):
    def opened() -> Iterator[Session]:
        yield Session()
        if fails:
            raise OSError("cannot be closed")

    return opened


def opens_later(fails):
    async def opened() -> AsyncIterator[Session]:
        yield Session()
        if fails:
            raise OSError("cannot be closed")

    return opened


async def uses_async(session: From[Session]):
    return "done"


def uses(session: From[Session]):
    return "done"


@pytest.mark.parametrize(
    "opening, function", [(opens, uses), (opens, uses_async), (opens_later, uses_async)], ids=["sync", "mixed", "async"]
)
@pytest.mark.parametrize("fails", [False, True], ids=["well", "fails"])
async def test_a_tear_down_that_fails_is_the_calls_failure(opening, function, fails):
    """
    What was opened for a call is closed at its end, and an error of that comes out of it: in the first call and in later ones.
    """
    app = fresh_app()
    inject_dependency(Session, on=app, lifetime="scoped")(opening(fails))
    async with Container(app) as container:
        handle = container.inject(function)

        for _ in CALLS:
            try:
                found = handle()
                said = await found if inspect.isawaitable(found) else found
            except FinalizationErrors as error:
                said = str(error.exceptions[0])

            assert said == ("cannot be closed" if fails else "done")


@pytest.mark.filterwarnings("ignore:a call of handle:ResourceWarning")
@pytest.mark.parametrize("fails", [False, True], ids=["well", "fails"])
@pytest.mark.parametrize("count", [1, 2])
def test_a_call_whose_container_another_thread_closes(fails, count):
    """
    What was opened for a call is torn down by who closes the container under it, once; the call is told, or fails by itself.
    """
    journal = Journal()
    app = fresh_app()

    class Other:
        pass

    @inject_dependency(Session, on=app, lifetime="scoped")
    def session() -> Iterator[Session]:
        with journal.noting("session"):
            yield Session()

    @inject_dependency(Other, on=app, lifetime="scoped")
    def other() -> Iterator[Other]:
        with journal.noting("other"):
            yield Other()

    def handle(session: From[Session], close: bool):
        return ends(close)

    def handle_two(session: From[Session], other: From[Other], close: bool):
        return ends(close)

    def ends(close):
        if close:
            thread = threading.Thread(target=container.close)
            thread.start()
            thread.join()
            if fails:
                raise ValueError("the body's own")

    with Container(app) as container:
        call = container.inject(handle if count == 1 else handle_two)
        for _ in CALLS:
            call(close=False)
        journal.clear()

        with pytest.raises(ValueError if fails else ClosedError):
            call(close=True)

    assert sorted(journal) == sorted([f"{sign}{name}" for name in ("session", "other")[:count] for sign in "+-"])


@pytest.mark.parametrize("waits", [False, True], ids=["plain", "async"])
async def test_what_nobody_can_pass_is_filled_where_a_scope_has_to_be_opened(waits):
    """
    A marked parameter that comes by position before one that the caller passes is always filled, also from a scope of the call.
    """
    App = fresh_app()

    class Holder:
        def __init__(self, scope: Scope) -> None:
            self.scope = scope

    App.register_dependency("holder", Holder, lifetime="scoped")
    App.register_dependency(Holder, Holder, lifetime="scoped")

    def plain(one: From[Holder], two: Annotated[Holder, Inject("holder")], /, given):
        return one, two, given

    async def waiting(one: From[Holder], two: Annotated[Holder, Inject("holder")], /, given):
        return one, two, given

    async with Container(App) as container:
        call = container.inject(waiting if waits else plain)
        for number in range(5):
            one, two, given = await call(number) if waits else call(number)

            assert type(one) is type(two) is Holder
            assert one.scope is two.scope
            assert given == number


def test_a_constructor_that_was_made_of_text_is_filled():
    """
    A class whose constructor stands in no file, and says more than the fields of the class, is read where it stands.
    """
    names = {"From": From, "Thing": Config}
    exec("class Made:\n    def __init__(self, thing: 'From[Thing]'): self.thing = thing", names)
    App = fresh_app(providers=[Config])

    with Container(App) as container:
        assert type(container.inject(names["Made"])().thing) is Config


async def test_a_default_stands_in_for_what_is_missing_and_for_no_failure():
    """
    A parameter that nothing provides has its default; one whose provider lacks something, or that has none, is told.
    """
    App = fresh_app()

    def make(missing: Annotated[object, Inject("missing")]): ...

    App.register_dependency("made", make)

    @injected
    def use(made: Annotated[object, Inject("made")] = None, none: Annotated[object, Inject("none")] = 3): ...

    @injected
    def wants(none: Annotated[object, Inject("none")], other: Annotated[object, Inject("none")] = 3): ...

    async with Container(App, check=False):
        with pytest.raises(MissingDependencyError) as inner:
            use()
        with pytest.raises(MissingDependencyError) as outer:
            wants()

    assert inner.value.path == ('"made".missing', '"missing"')
    assert outer.value.path[0].endswith("wants.none")


def test_a_mark_within_an_optional_is_read():
    """
    ``From[T] | None`` asks for T, and takes None where nothing provides it.
    """
    App = fresh_app(providers=[Config])

    def use(config: From[Config] | None, basket: From[Basket] | None):
        return config, basket

    with Container(App) as container:
        config, basket = container.inject(use)()

    assert type(config) is Config
    assert basket is None


def test_what_a_function_was_filled_with_goes_with_its_container():
    """
    A function that lives on keeps no value of a container that is gone, under whatever name these stood in its code.
    """
    App = fresh_app(providers=[Config])

    @injected
    def use(config: From[Config]):
        return config

    for _ in range(3):
        with Container(App):
            config = weakref.ref([use() for _ in range(5)][-1])
        collected()

        assert config() is None
