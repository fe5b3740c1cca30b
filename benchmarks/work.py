"""What has to be built: the classes and factories that every competitor is given."""

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from functools import cache
from inspect import Signature
from types import CodeType, FunctionType, ModuleType
from typing import Any, ClassVar


class Counted:
    """A base for the classes of a graph that is counted instead of timed."""

    made: ClassVar[list[Any]]

    # In __new__, so that __init__ and its annotations are those of the timed class.
    def __new__(cls, *_: object, **__: object) -> Any:
        self = super().__new__(cls)
        cls.made.append(self)
        return self


def counted() -> type[Counted]:
    """Return a base that keeps its instances in a list of its own, in the order of making."""
    return type("Counted", (Counted,), {"made": []})


class Graph:
    """Classes and factories made anew, all on one base: ``object`` to time them, else a counted one."""

    def __init__(self, base: type = object) -> None:
        self.base: Any = base
        self.declare(base)

    def declare(self, base: type) -> None:
        """Make the classes and factories."""
        raise NotImplementedError

    def facts(self) -> dict[str, Any]:
        """Say how many of each class were made so far; wants a counted base."""
        return {"made": dict(sorted(Counter(type(each).__name__ for each in self.base.made).items()))}


class Request(Graph):
    """
    A transient handler on a scoped service on two scoped repositories.

    They share a scoped session from an async generator, which stands on an async
    singleton pool and a sync singleton config.
    """

    def declare(self, base: Any) -> None:
        class Config(base):
            def __init__(self) -> None:
                self.size = 5

        class Pool(base):
            def __init__(self) -> None:
                self.taken = 0

        class Session(base):
            def __init__(self, pool: Pool, config: Config) -> None:
                self.pool = pool
                self.config = config
                self.closed = 0

            def close(self) -> None:
                self.closed += 1

        class Users(base):
            def __init__(self, session: Session) -> None:
                self.session = session

        class Orders(base):
            def __init__(self, session: Session) -> None:
                self.session = session

        class Service(base):
            def __init__(self, users: Users, orders: Orders) -> None:
                self.users = users
                self.orders = orders

        class Handler(base):
            def __init__(self, service: Service) -> None:
                self.service = service

        async def open_pool() -> Pool:
            return Pool()

        async def open_session(pool: Pool, config: Config) -> AsyncIterator[Session]:
            session = Session(pool, config)
            try:
                yield session
            finally:
                session.close()

        self.Config, self.Pool, self.Session = Config, Pool, Session
        self.Users, self.Orders, self.Service, self.Handler = Users, Orders, Service, Handler
        self.open_pool, self.open_session = open_pool, open_session

    def facts(self) -> dict[str, Any]:
        """Say what was made, shared and closed so far."""
        made = self.base.made
        handlers = [each for each in made if type(each) is self.Handler]
        sessions = [each for each in made if type(each) is self.Session]
        return {
            **super().facts(),
            "closed": [each.closed for each in sessions],
            "repositories share": all(h.service.users.session is h.service.orders.session for h in handlers),
            "requests do not share": len({id(h.service.users.session) for h in handlers}) == len(handlers),
            "pools": len({id(each.pool) for each in sessions}),
            "configs": len({id(each.config) for each in sessions}),
        }


class Call(Graph):
    """What one call takes: an async singleton, a sync one, and a scoped value that stands on both."""

    def declare(self, base: Any) -> None:
        class Config(base):
            def __init__(self) -> None:
                self.size = 5

        class Pool(base):
            def __init__(self) -> None:
                self.taken = 0

        class Basket(base):
            def __init__(self, pool: Pool, config: Config) -> None:
                self.pool = pool
                self.config = config
                self.items: list[str] = []

        async def open_pool() -> Pool:
            return Pool()

        self.Config, self.Pool, self.Basket, self.open_pool = Config, Pool, Basket, open_pool

    def facts(self) -> dict[str, Any]:
        """Say what was made, and what was shared."""
        baskets = [each for each in self.base.made if type(each) is self.Basket]
        return {**super().facts(), "pools": len({id(each.pool) for each in baskets})}


class Chain(Graph):
    """Twenty transients, each standing on the one before it."""

    def declare(self, base: type) -> None:
        links: list[type] = []
        for depth in range(20):
            links.append(make_class(f"Link{depth}", base, links[-1:]))
        self.links = links


class Wide(Graph):
    """One transient that stands on twenty others."""

    def declare(self, base: type) -> None:
        self.leaves = [make_class(f"Leaf{number}", base, ()) for number in range(20)]
        self.Top = make_class("Top", base, self.leaves)


class Slow(Graph):
    """A singleton that takes *seconds* to make, and nothing else."""

    def __init__(self, base: type = object, seconds: float = 0.001) -> None:
        self.seconds = seconds
        super().__init__(base)

    def declare(self, base: type) -> None:
        self.Pool, self.open_pool = make_slow("Pool", base, self.seconds)


class SideBySide(Graph):
    """One service on ten independent singletons of 50 ms."""

    def declare(self, base: type) -> None:
        self.parts = [make_slow(f"Part{number}", base, 0.050) for number in range(10)]
        self.Top = make_class("Top", base, [part for part, _ in self.parts])


class Layers(Graph):
    """
    *size* singletons in ten layers; each stands on three of the layer below.

    With *strings*, the annotations are text, as ``from __future__ import annotations`` makes them.
    """

    def __init__(self, base: type = object, *, size: int, strings: bool = False) -> None:
        self.size, self.strings = size, strings
        super().__init__(base)

    def declare(self, base: type) -> None:
        # A module of their own, in which names in annotations are found.
        module = ModuleType("benchmarks_layers")
        sys.modules[module.__name__] = module
        across = self.size // 10
        self.layers: list[list[type]] = []
        for depth in range(10):
            layer = []
            for column in range(across):
                needs = [self.layers[-1][(column + step) % across] for step in (0, 1, 7)] if depth else []
                made = make_class(f"N{depth}_{column}", base, needs, module, strings=self.strings)
                setattr(module, made.__name__, made)
                layer.append(made)
            self.layers.append(layer)
        self.classes = [made for layer in self.layers for made in layer]
        self.last = self.layers[-1]


def make_class(name: str, base: type, needs: Sequence[type], module: ModuleType | None = None, *, strings: bool = False) -> type:
    """Make a class whose constructor takes one of each of *needs* and keeps them."""
    scope = module or sys.modules[__name__]
    namespace: dict[str, Any] = {"__module__": scope.__name__}
    if needs:
        init = FunctionType(_constructor(len(needs)), scope.__dict__, "__init__")
        init.__annotations__ = {f"p{at}": each.__name__ if strings else each for at, each in enumerate(needs)}
        init.__module__ = scope.__name__
        namespace["__init__"] = init
    elif issubclass(base, Counted):
        namespace["__signature__"] = Signature()  # the timed class takes nothing, whatever `Counted.__new__` lets through
    return type(name, (base,), namespace)


@cache
def _constructor(arity: int) -> CodeType:
    names = ", ".join(f"p{at}" for at in range(arity))
    body = "self.below = p0" if arity == 1 else f"self.parts = ({names})"
    found: dict[str, Any] = {}
    # With a file's name: code from "<string>" is what dataclasses make, and is read in another way.
    exec(compile(f"def __init__(self, {names}):\n    {body}", __file__, "exec"), found)
    code: CodeType = found["__init__"].__code__
    return code


def make_slow(name: str, base: type, seconds: float) -> tuple[type, Callable[[], Coroutine[Any, Any, Any]]]:
    """Make a class and an async factory of it that sleeps."""
    made = make_class(name, base, ())

    async def open_it() -> Any:
        await asyncio.sleep(seconds)
        return made()

    open_it.__annotations__["return"] = made
    return made, open_it
