"""
What does the form of a call cost, without any container?

    python -m benchmarks.forms            count it, by valgrind

Each stands for what a container's user writes, with the work by hand inside of it: so much is the interpreter's, and
no container can be below.  Also here: ways that were tried, and are not taken.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from contextlib import asynccontextmanager
from functools import partial
from itertools import repeat
from time import perf_counter
from typing import Any

from . import floor, instructions, ours
from .instructions import Work
from .measure import Batch, Competitor, Outcome
from .work import Call, Request


class Block:
    """A block for one value, as ``container.request`` opens: what is set up and closed is written into it."""

    __slots__ = ("config", "graph", "pool", "sessions")

    def __init__(self, graph: Request, pool: Any, config: Any) -> None:
        self.graph, self.pool, self.config = graph, pool, config

    async def __aenter__(self) -> Any:
        graph = self.graph
        self.sessions = graph.open_session(self.pool, self.config)
        session = await self.sessions.__anext__()
        return graph.Handler(graph.Service(graph.Users(session), graph.Orders(session)))

    async def __aexit__(self, *exception: object) -> None:
        try:
            await self.sessions.__anext__()
        except StopAsyncIteration:
            pass


class Looping(Block):
    """The same, with a loop that ends where the generator does, in place of an exception that is caught."""

    __slots__ = ()

    async def __aexit__(self, *exception: object) -> None:
        async for _ in self.sessions:
            pass


def one_for_all(graph: Request, pool: Any, config: Any) -> Callable[[], Any]:
    """Nothing is made for a request but its values; two at a time would share them."""
    block = Block(graph, pool, config)
    return lambda: block


def by_contextlib(graph: Request, pool: Any, config: Any) -> Callable[[], Any]:
    """A generator, and the standard library's block around it."""

    @asynccontextmanager
    async def block() -> AsyncIterator[Any]:
        sessions = graph.open_session(pool, config)
        session = await sessions.__anext__()
        try:
            yield graph.Handler(graph.Service(graph.Users(session), graph.Orders(session)))
        finally:
            try:
                await sessions.__anext__()
            except StopAsyncIteration:
                pass

    return block


def blocks_of(make: Callable[[Request, Any, Any], Callable[[], Any]]) -> Competitor:
    """Return W2 in an ``async with`` of what *make* has made, looked up by the handler's class."""

    @asynccontextmanager
    async def competitor(graph: Request) -> AsyncIterator[Batch]:
        config, pool = graph.Config(), await graph.open_pool()
        blocks = {graph.Handler: make(graph, pool, config)}
        Handler = graph.Handler

        async def batch(times: int) -> Outcome:
            handler = None
            start = perf_counter()
            for _ in repeat(None, times):
                async with blocks[Handler]() as made:
                    handler = made
            return perf_counter() - start, handler

        yield batch

    return competitor


Handle = Callable[[Any], Coroutine[Any, Any, Any]]


def by_hand(graph: Request, pool: Any, config: Any, handle: Handle) -> Callable[[], Any]:
    """A function that sets up, calls the one that is given the handler, and closes."""
    open_session, Users, Orders, Service, Handler = graph.open_session, graph.Users, graph.Orders, graph.Service, graph.Handler

    async def filled() -> Any:
        sessions = open_session(pool, config)
        session = await sessions.__anext__()
        try:
            return await handle(Handler(Service(Users(session), Orders(session))))
        finally:
            try:
                await sessions.__anext__()
            except StopAsyncIteration:
                pass

    return filled


def by_loop(graph: Request, pool: Any, config: Any, handle: Handle) -> Callable[[], Any]:
    """The same, with a loop that ends where the generator does; it would call twice for one that yields twice."""
    open_session, Users, Orders, Service, Handler = graph.open_session, graph.Users, graph.Orders, graph.Service, graph.Handler

    async def filled() -> Any:
        answer = None
        async for session in open_session(pool, config):
            answer = await handle(Handler(Service(Users(session), Orders(session))))
        return answer

    return filled


def handed_on(graph: Request, pool: Any, config: Any, handle: Handle) -> Callable[[], Any]:
    """The same behind a function that is none of a coroutine, as where one chooses for each call what is done."""
    choices = [by_hand(graph, pool, config, handle)]
    return lambda: choices[0]()


def in_a_block(graph: Request, pool: Any, config: Any, handle: Handle) -> Callable[[], Any]:
    """The same by an ``async with`` of what can be entered without it, too."""

    async def filled() -> Any:
        async with Block(graph, pool, config) as handler:
            return await handle(handler)

    return filled


def functions_of(make: Callable[[Request, Any, Any, Handle], Callable[[], Any]]) -> Competitor:
    """Return W2 by what *make* has made around a function, called for each request."""

    @asynccontextmanager
    async def competitor(graph: Request) -> AsyncIterator[Batch]:
        async def handle(handler: Any) -> Any:
            return handler

        filled = make(graph, await graph.open_pool(), graph.Config(), handle)

        async def batch(times: int) -> Outcome:
            handler = None
            start = perf_counter()
            for _ in repeat(None, times):
                handler = await filled()
            return perf_counter() - start, handler

        yield batch

    return competitor


def calling(form: Callable[[Call, Any, Any], Callable[[int], Any]]) -> Competitor:
    """Return W7 by what *form* makes around the function that is called."""

    @asynccontextmanager
    async def competitor(graph: Call) -> AsyncIterator[Batch]:
        config, pool = graph.Config(), await graph.open_pool()
        filled = form(graph, config, pool)

        async def batch(times: int) -> Outcome:
            value = None
            start = perf_counter()
            for _ in repeat(None, times):
                value = await filled(5)
            return perf_counter() - start, value

        yield batch

    return competitor


def around(graph: Call, config: Any, pool: Any) -> Callable[[int], Any]:
    """Fill a call by a coroutine function."""
    Basket, handle = graph.Basket, floor.handle

    async def filled(number: int) -> Any:
        return await handle(number, pool, config, Basket(pool, config))

    return filled


def around_what_may_be_given(graph: Call, config: Any, pool: Any) -> Callable[[int], Any]:
    """Fill a call by a coroutine function that takes what it fills, too, for who hands it over."""
    Basket, handle, unfilled = graph.Basket, floor.handle, object()

    async def filled(number: int, pool: Any = pool, config: Any = config, basket: Any = unfilled) -> Any:
        if basket is unfilled:
            basket = Basket(pool, config)
        return await handle(number, pool, config, basket)

    return filled


def around_by_partial(graph: Call, config: Any, pool: Any) -> Callable[[int], Any]:
    """Fill a call by a coroutine function, where a partial has what is built."""
    Basket, built = graph.Basket, partial(floor.handle, pool=pool, config=config)

    async def filled(number: int) -> Any:
        return await built(number, basket=Basket(pool, config))

    return filled


def at_once(graph: Call, config: Any, pool: Any) -> Callable[[int], Any]:
    """Fill a call before it is awaited: what is made is made, and fails, when the function is called."""
    Basket, handle = graph.Basket, floor.handle

    def filled(number: int) -> Any:
        return handle(number, pool, config, Basket(pool, config))

    return filled


class There:
    """Something to be awaited that has its value."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __await__(self) -> Generator[Any, None, Any]:
        return self.value
        yield


class Raising(There):
    """The same, by an iterator that is over."""

    __slots__ = ()

    def __await__(self) -> Any:
        return self

    def __next__(self) -> Any:
        raise StopIteration(self.value)


def done(value: Any) -> asyncio.Future[Any]:
    """Return a future that has its value."""
    future = asyncio.get_running_loop().create_future()
    future.set_result(value)
    return future


class Plain:
    """A service whose attribute stands nowhere but in the instance."""


class Descriptor:
    """Declares an attribute; where the instance has one of that name, it is that."""

    def __get__(self, instance: object, owner: type) -> Any:
        return self


class Declared:
    """A service whose class declares the attribute."""

    db = Descriptor()


def awaiting(service_class: type, awaitable: Callable[[Any], Any] = There) -> Competitor:
    """Return W8 by an attribute that holds something to be awaited."""

    @asynccontextmanager
    async def competitor(graph: Request) -> AsyncIterator[Batch]:
        service: Any = service_class()
        service.db = awaitable(await graph.open_pool())

        async def batch(times: int) -> Outcome:
            value = None
            start = perf_counter()
            for _ in repeat(None, times):
                value = await service.db
            return perf_counter() - start, value

        yield batch

    return competitor


class ByRoots:
    """A method that looks up what to call, and returns its coroutine."""

    __slots__ = ("roots",)

    def __init__(self, roots: dict[type, Any]) -> None:
        self.roots = roots

    def get(self, token: type, /) -> Coroutine[Any, Any, Any]:
        return self.roots[token](self)  # type: ignore[no-any-return]


class ByValues:
    """A method that is a coroutine, and looks up the value itself: what is made at each get raises first."""

    __slots__ = ("values",)

    def __init__(self, values: dict[type, Any]) -> None:
        self.values = values

    async def get(self, token: type, /) -> Any:
        try:
            return self.values[token]
        except KeyError:
            return await self.make(token)

    async def make(self, token: type) -> Any:
        raise NotImplementedError


class ByMarked(ByValues):
    """The same, where what is made at each get stands among the values, with a mark."""

    __slots__ = ()

    async def get(self, token: type, /) -> Any:
        found = self.values[token]
        return await self.make(token) if type(found) is Mark else found


class ByMembership(ByValues):
    """The same, where it is looked for before it is taken."""

    __slots__ = ()

    async def get(self, token: type, /) -> Any:
        return self.values[token] if token in self.values else await self.make(token)


class Mark:
    """Stands for what is made."""


class Missing(dict[Any, Any]):
    """A dictionary that says what to do for what it does not have."""

    def __missing__(self, token: object) -> Any:
        raise NotImplementedError


def _root_of(value: Any) -> Any:
    async def root(scope: object) -> Any:
        return value

    return root


def getting(make: Callable[[type, Any], Any]) -> Competitor:
    """Return who gets the pool from what *make* returns."""

    @asynccontextmanager
    async def competitor(graph: Request) -> AsyncIterator[Batch]:
        Pool, pool = graph.Pool, await graph.open_pool()
        container = make(Pool, pool)

        async def batch(times: int) -> Outcome:
            value = None
            start = perf_counter()
            for _ in repeat(None, times):
                value = await container.get(Pool)
            return perf_counter() - start, value

        yield batch

    return competitor


WORKS = (
    Work(
        "a cached get",
        Request,
        (
            ("by hand", floor.cached),
            ("asyncmeta", ours.cached),
            ("a method that looks up what to call", getting(lambda key, value: ByRoots({key: _root_of(value)}))),
            ("the same, a dictionary with __missing__", getting(lambda key, value: ByRoots(Missing({key: _root_of(value)})))),
            ("a coroutine that looks up the value", getting(lambda key, value: ByValues({key: value}))),
            ("the same, what is made has a mark", getting(lambda key, value: ByMarked({key: value}))),
            ("the same, by membership", getting(lambda key, value: ByMembership({key: value}))),
        ),
    ),
    Work(
        "a request",
        Request,
        (
            ("by hand", floor.request),
            ("asyncmeta", ours.request_at_once),
            ("a block", blocks_of(lambda *given: lambda: Block(*given))),
            ("the same, closed by a loop", blocks_of(lambda *given: lambda: Looping(*given))),
            ("the same, one for all requests", blocks_of(one_for_all)),
            ("the same, by contextlib", blocks_of(by_contextlib)),
        ),
    ),
    Work(
        "an injected request",
        Request,
        (
            ("by hand", floor.request),
            ("asyncmeta", ours.request_function),
            ("a function", functions_of(by_hand)),
            ("the same, closed by a loop", functions_of(by_loop)),
            ("the same, by a block inside", functions_of(in_a_block)),
            ("the same, chosen at each call", functions_of(handed_on)),
        ),
    ),
    Work(
        "an injected call",
        Call,
        (
            ("by hand", floor.call),
            ("asyncmeta", ours.call),
            ("a function around it", calling(around)),
            ("the same, which also takes what it fills", calling(around_what_may_be_given)),
            ("the same, what is built stands in a partial", calling(around_by_partial)),
            ("filled at the call, not when it is awaited", calling(at_once)),
        ),
    ),
    Work(
        "an attribute",
        Request,
        (
            ("by hand", floor.attribute),
            ("asyncmeta", ours.attribute),
            ("something awaitable", awaiting(Plain)),
            ("the same, declared by the class", awaiting(Declared)),
            ("the same, by an iterator that is over", awaiting(Declared, Raising)),
            ("the same, a future that is done", awaiting(Declared, done)),
        ),
    ),
)


def main(arguments: list[str]) -> None:
    """Count, and print each as a ratio to the work by hand."""
    if arguments == ["--inside"]:
        instructions.inside(WORKS)
        return
    why = instructions.missing()
    if why:
        sys.exit(why)
    for name, by in instructions.count("benchmarks.forms", "--inside").items():
        print(name, *(f"    {who:42}{number / by['by hand']:5.2f}" for who, number in by.items()), sep="\n")


if __name__ == "__main__":
    main(sys.argv[1:])
