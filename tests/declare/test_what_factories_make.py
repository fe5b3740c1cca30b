"""What a factory makes is what its type says."""

import asyncio
import contextlib
import functools
import inspect
import re
import sys
import types
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Generator, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, contextmanager
from typing import Annotated, Any, TypeVar

import pytest
import typing_extensions as te
from helpers import fresh_app, problems

from asyncmeta import AsyncServiceBase, Container, DeclarationError, FactoryError, GraphErrors, Token, inject_dependency

T = TypeVar("T")


class Pool:
    def __init__(self) -> None:
        self.state = "open"


class Settings: ...


class Other: ...


class Traced:
    """A decorator that is a class."""

    def __init__(self, fn):
        functools.update_wrapper(self, fn)
        self.fn = fn

    def __call__(self, *args, **named):
        return self.fn(*args, **named)


def traced(fn):
    @functools.wraps(fn)
    def wrapper(*args: Any, **named: Any) -> Any:
        return fn(*args, **named)

    return wrapper


WRAPPERS = {
    "function": traced,
    "twice": lambda fn: traced(traced(fn)),
    "class": Traced,
    "cache": functools.cache,
    "lru_cache": functools.lru_cache(maxsize=3),
    "partial": lambda fn: functools.partial(traced(fn)),
    "of a partial": lambda fn: traced(functools.partial(fn)),
}


def plain(settings: Settings) -> Pool:
    return Pool()


async def awaited(settings: Settings) -> Pool:
    return Pool()


def generator(settings: Settings) -> Iterator[Pool]:
    pool = Pool()
    yield pool
    pool.state = "closed"


async def async_generator(settings: Settings) -> AsyncIterator[Pool]:
    pool = Pool()
    yield pool
    pool.state = "closed"


INSIDE = [plain, awaited, generator, async_generator, contextmanager(generator), asynccontextmanager(async_generator)]


def application(token, factory):
    """Return an application with Settings, and *factory* registered on it."""
    App = fresh_app()
    App.register_dependency(Settings, Settings)
    inject_dependency(token, on=App)(factory)
    return App


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("inside", INSIDE, ids=["plain", "async", "generator", "async generator", "manager", "async manager"])
@pytest.mark.parametrize("token", [None, Pool])
async def test_a_wrapper_makes_what_is_inside(wrapper, inside, token):
    """
    A plain wrapper of any kind over a function of any kind is filled, awaited, entered and left like that.
    """
    async with Container(application(token, WRAPPERS[wrapper](inside))) as container:
        pool = await container.get(Pool)
        assert (type(pool), pool.state) == (Pool, "open")
        assert await container.get(Pool) is pool

    assert pool.state == ("open" if inside in (plain, awaited) else "closed")


async def test_a_wrapper_that_runs_what_is_inside():
    """
    What a wrapper has awaited or entered by itself is handed over as it is.
    """

    def here(fn):
        @functools.wraps(fn)
        def wrapper(*args: Any) -> Any:
            work = fn(*args)
            with contextlib.suppress(StopIteration):
                work.send(None)
            return "made here"

        return wrapper

    for inside in (awaited, generator):
        async with Container(application(Pool, here(inside))) as container:
            assert await container.get(Pool) == "made here"


DECORATORS = """
import functools, inspect

class Slotted:
    "A decorator that keeps what it wraps in a slot."
    __slots__ = ("__wrapped__",)
    def __init__(self, fn): self.__wrapped__ = fn
    def __call__(self, *args, **named): return self.__wrapped__(*args, **named)

def signed(fn):
    "A decorator whose wrapper has the signature of what it wraps, and repeats its texts."
    def wrapper(*args, **named): return fn(*args, **named)
    functools.update_wrapper(wrapper, fn)
    wrapper.__signature__ = inspect.signature(fn)
    return wrapper
"""


@pytest.fixture
def decorators(monkeypatch):
    """Return a module with decorators, which has none of the names of this one."""
    module = types.ModuleType("decorators_of_another_module")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(DECORATORS, vars(module))
    return module


@pytest.mark.parametrize("which", ["Slotted", "signed"])
async def test_decorators_of_other_modules(decorators, which):
    """
    Texts under a decorator of another module are read where they were written; what is made is what is inside.
    """
    wrap = getattr(decorators, which)

    @wrap
    def plain(settings: "Settings") -> "tuple[Settings, int]":
        return settings

    @wrap
    async def awaited(settings: "Settings") -> "list[Settings]":
        return settings

    @wrap
    def yielded(settings: "Settings") -> "Iterator[set[Settings]]":
        yield settings

    @wrap
    async def streamed(settings: "Settings") -> "AsyncIterator[Pool]":
        yield settings

    App = fresh_app(providers=[Settings])
    for factory in (plain, awaited, yielded, streamed):
        inject_dependency(on=App)(factory)

    async with Container(App) as container:
        settings = await container.get(Settings)
        for key in (tuple[Settings, int], list[Settings], set[Settings], Pool):
            assert await container.get(key) is settings


def test_what_wraps_no_function_is_read_where_it_stands():
    """
    A wrapper of what is written in C, or is a class, has texts of its own.
    """

    def counted(settings: "Settings") -> "Pool":
        return settings

    counted.__signature__, counted.__wrapped__ = inspect.signature(counted), len
    App = fresh_app(providers=[Settings])
    inject_dependency(Pool, on=App)(counted)
    container = Container(App)

    assert container.get_nowait(Pool) is container.get_nowait(Settings)


class Late:
    """An object that works out what it takes."""

    def __init__(self, fn, fails):
        self.fn, self.fails = fn, fails

    def __call__(self, *args, **named):
        return self.fn(*args, **named)

    @property
    def __signature__(self):
        if self.fails:
            raise ValueError("nobody knows")
        return inspect.signature(self.fn)


def test_what_works_out_its_signature():
    """
    An object whose class works out its signature is filled by that; one that fails in this takes what its call names.
    """
    App = fresh_app(providers=[Settings])

    def settings_of(settings: Settings):
        return settings

    App.register_dependency("known", Late(settings_of, fails=False))
    App.register_dependency("unknown", Late(lambda: "nothing", fails=True))
    container = Container(App)

    assert (container.get_nowait("known"), container.get_nowait("unknown")) == (container.get_nowait(Settings), "nothing")


class Passing:
    """An object that passes for the class that it wraps."""

    def __init__(self, cls):
        self.__wrapped__ = cls

    def __call__(self, *args, **named):
        return self.__wrapped__(*args, **named)

    __class__ = property(lambda self: type(self.__wrapped__))


class Needing:
    def __init__(self, settings: Settings) -> None:
        self.settings = settings


@pytest.mark.parametrize("factory", [Passing(Needing), Traced(Needing)])
def test_what_passes_for_a_class_takes_what_that_takes(factory):
    """
    A decorator's object that says it is a class, or wraps one, is filled as the class within, and called itself.
    """
    App = fresh_app(providers=[Settings])
    App.register_dependency("made", factory)
    container = Container(App)

    assert container.get_nowait("made").settings is container.get_nowait(Settings)


async def test_a_wrapper_in_a_class_body():
    """
    A decorated method is filled, awaited and entered too, and gets its service.
    """

    class App(AsyncServiceBase):
        @inject_dependency()
        @traced
        async def open_pool(self) -> AsyncIterator[Pool]:
            pool = Pool()
            pool.owner = self
            yield pool
            pool.state = "closed"

        @inject_dependency("sync")
        @traced
        async def make(self, pool: Pool) -> str:
            return f"{type(self).__name__} {pool.state}"

    async with Container(App) as container:
        pool = await container.get(Pool)
        assert pool.owner is await container.get(App)
        assert await container.get("sync") == "App open"
    assert pool.state == "closed"


# --- what a plain function returns ---


@asynccontextmanager
async def opened_async():
    pool = Pool()
    yield pool
    pool.state = "closed"


@contextmanager
def opened():
    pool = Pool()
    yield pool
    pool.state = "closed"


async def connected():
    return Pool()


def async_manager() -> AbstractAsyncContextManager[Pool]:
    return opened_async()


def async_manager_typing() -> te.AsyncContextManager[Pool]:  # the spelling is the subject
    return opened_async()


def async_manager_three() -> "AbstractAsyncContextManager[Pool, bool | None]":
    return opened_async()


def manager() -> AbstractContextManager[Pool]:
    return opened()


def manager_optional() -> AbstractContextManager[Pool | None]:
    return opened()


class Closable(Pool):
    def close(self) -> None:
        self.state = "closed"

    async def aclose(self) -> None:
        self.close()


def closing_manager() -> "contextlib.closing[Pool]":
    return contextlib.closing(Closable())


def async_closing_manager() -> contextlib.aclosing[Pool]:
    return contextlib.aclosing(Closable())


def nothing_to_close() -> contextlib.nullcontext[Pool]:
    return contextlib.nullcontext(Pool())


def awaitable() -> Awaitable[Pool]:
    return connected()


def awaitable_future() -> Awaitable["Pool"]:
    return asyncio.ensure_future(connected())


def coroutine() -> Coroutine[Any, Any, Pool]:
    return connected()


def coroutine_typing() -> te.Coroutine[Any, Any, Pool | None]:
    return connected()


RETURNED = [
    async_manager, async_manager_typing, async_manager_three, manager, manager_optional, awaitable, awaitable_future, coroutine,
    coroutine_typing, closing_manager, async_closing_manager, nothing_to_close,
]  # fmt: skip


@pytest.mark.parametrize("token", [None, Pool, "pool", Token[Pool]("pool"), Annotated[Pool, "main"]], ids=str)
@pytest.mark.parametrize("factory", RETURNED)
async def test_a_plain_function_makes_what_its_return_annotation_gives(factory, token):
    """
    ``-> AbstractAsyncContextManager[Pool]`` and its kind make a Pool, with a token and without; it is left when that closes.
    """
    async with Container(application(token, factory)) as container:
        pool = await container.get(token or Pool)
        assert (isinstance(pool, Pool), pool.state) == (True, "open")

    assert pool.state == ("closed" if "manager" in factory.__name__ else "open")


def test_a_synchronous_one_needs_no_loop():
    """
    A context manager of the plain kind is entered and left without a loop.
    """
    with Container(application(None, manager)) as container:
        pool = container.get_nowait(Pool)
        assert pool.state == "open"

    assert pool.state == "closed"


@pytest.mark.parametrize(("factory", "form"), [
    (async_manager, AbstractAsyncContextManager[Pool]),
    (async_manager, te.AsyncContextManager[Pool]),
    (manager, AbstractContextManager[Pool]),
    (awaitable, Awaitable[Pool]),
    (coroutine, Coroutine[Any, Any, Pool]),
    (coroutine, Token[Coroutine[Any, Any, Pool]]("work")),
    (manager, Annotated[AbstractContextManager[Pool], "main"]),
])  # fmt: skip
async def test_the_form_itself_as_the_token_is_handed_over(factory, form):
    """
    Where the token is the very form that is returned, the value is that, untouched.
    """
    async with Container(application(form, factory)) as container:
        made = await container.get(form)

    assert not isinstance(made, Pool)
    if factory in (awaitable, coroutine):
        assert isinstance(await made, Pool)


def test_one_of_more_tokens_may_be_the_form():
    """
    With ``also=`` naming the form, nothing is entered.
    """
    App = fresh_app()
    inject_dependency("manager", on=App, also=[AbstractContextManager[Pool]])(manager)

    assert not isinstance(Container(App).get_nowait("manager"), Pool)


async def test_an_async_function_hands_over_what_it_returns():
    """
    What an ``async def`` is annotated with is what awaiting it gives, also where that is a context manager.
    """

    async def make() -> AbstractContextManager[Pool]:
        return opened()

    App = application(None, make)

    with await Container(App).get(AbstractContextManager[Pool]) as pool:
        assert pool.state == "open"


@pytest.mark.parametrize(("said", "way"), [
    (AbstractAsyncContextManager[Pool], "awaiting it gives AbstractAsyncContextManager[Pool], which is not entered"),
    (Awaitable[Pool], "awaiting it gives Awaitable[Pool], which is not awaited"),
])  # fmt: skip
def test_an_async_function_is_awaited_once(said, way):
    """
    A class as the token of an ``async def`` that gives what would be entered or awaited then is refused, with the way out.
    """

    async def make(): ...

    make.__annotations__["return"] = said

    with pytest.raises(DeclarationError, match=re.escape(f"make says that {way} then: write def in the place of async def")):
        application(Pool, make)


def test_what_may_be_no_manager_is_not_entered():
    """
    A class as the token of a function that may return None in the place of a context manager is refused.
    """

    def make() -> AbstractContextManager[Pool] | None: ...

    with pytest.raises(DeclarationError, match=r"which is not entered then: write -> AbstractContextManager\[Pool\]"):
        application(Pool, make)


@pytest.mark.parametrize("said", [Pool | Awaitable[Pool], AbstractContextManager[Pool] | Pool])
def test_what_may_be_a_value_or_what_gives_it_is_refused(said):
    """
    A class as the token of a function that may return the value itself, or what is to be awaited or entered for it, is refused.
    """

    def make(): ...

    make.__annotations__["return"] = said

    with pytest.raises(DeclarationError, match="write one function for each, or one that returns the value itself"):
        application(Pool, make)


async def test_a_task_is_awaited_where_what_it_gives_is_the_token():
    """
    ``-> asyncio.Task[Pool]`` under Pool gives a Pool; without a token the task is the value.
    """

    async def open_pool():
        return Pool()

    def start() -> asyncio.Task[Pool]:
        return asyncio.create_task(open_pool())

    async with Container(application(Pool, start)) as container:
        assert type(await container.get(Pool)) is Pool
    async with Container(application(None, start)) as container:
        assert type(await (await container.get(asyncio.Task[Pool]))) is Pool


@contextmanager
def decorated() -> Iterator[Pool]:
    yield Pool()


@asynccontextmanager
async def async_decorated() -> AsyncIterator[Pool]:
    yield Pool()


@pytest.mark.parametrize("factory", [manager, async_manager, awaitable, coroutine, decorated, async_decorated])
def test_a_class_that_is_something_else_is_refused(factory):
    """
    A class as the token of a function whose type says another one is refused at the line, with both.
    """
    with pytest.raises(DeclarationError, match=r"registered for Other, and says that it makes Pool.*test_what_factories"):
        application(Other, factory)


def test_what_returns_no_such_thing_is_told():
    """
    A function that says that it returns a context manager and does not is told by name, not by an AttributeError.
    """

    def lies() -> AbstractContextManager[Pool]:
        return Pool()

    with pytest.raises(FactoryError, match=r"lies says that it returns AbstractContextManager\[Pool\], and returned a Pool"):
        Container(application(None, lies)).get_nowait(Pool)


# --- optional, Self ---


def maybe() -> Pool | None:
    return None


async def maybe_later() -> "Pool | None":
    return None


def maybe_yields() -> Iterator[Pool | None]:
    yield None


@pytest.mark.parametrize("factory", [maybe, maybe_later, maybe_yields])
async def test_what_may_be_none_is_registered_for_its_type(factory):
    """
    ``-> T | None`` registers T, and None is a value like others.
    """

    def use(pool: Pool | None, again: Pool = "default"):
        return pool, again

    App = application(None, factory)
    App.register_dependency("use", use)
    async with Container(App) as container:
        assert await container.get("use") == (None, None)
        assert await container.get(Pool) is None


class Made:
    @classmethod
    def make(cls) -> te.Self:
        return cls()

    @classmethod
    def older(cls: type[T]) -> T:
        return cls()

    @classmethod
    async def later(cls) -> "te.Self | None":
        return cls()

    @classmethod
    def yields(cls) -> Iterator[te.Self]:
        yield cls()

    def twin(self) -> te.Self:
        return type(self)()


class Special(Made): ...


@pytest.mark.parametrize("cls", [Made, Special])
@pytest.mark.parametrize("name", ["make", "older", "later", "yields", "twin"])
async def test_self_is_the_class_that_is_asked(cls, name):
    """
    ``-> Self`` of a class method or a bound method registers the class that it was taken from.
    """
    factory = getattr(cls() if name == "twin" else cls, name)
    async with Container(application(None, factory)) as container:
        assert type(await container.get(cls)) is cls


# --- said wrongly ---


def yields_value() -> Pool:
    yield Pool()


async def yields_value_async() -> "Pool":
    yield Pool()


@pytest.mark.parametrize("token", [None, Pool, "pool"])
@pytest.mark.parametrize(("factory", "form"), [(yields_value, "Iterator"), (yields_value_async, "AsyncIterator")])
def test_a_generator_annotated_with_its_value_is_refused(factory, form, token):
    """
    ``-> Pool`` on a generator is refused at the line, with what to write.
    """
    with pytest.raises(DeclarationError, match=rf"write {form}\[Pool\] \(.*test_what_factories_make\.py:\d+\)"):
        application(token, factory)


def returns_iterator() -> Iterator[Pool]:
    return Pool()


async def returns_async_iterator() -> AsyncIterator[Pool]:
    return Pool()


def returns_generator() -> Generator[Pool, None, None]:
    return Pool()


async def returns_async_generator() -> AsyncGenerator[Pool, None]:
    return Pool()


@pytest.mark.parametrize("token", [None, Pool])
@pytest.mark.parametrize("factory", [returns_iterator, returns_async_iterator, returns_generator, returns_async_generator])
def test_a_return_where_a_yield_was_meant_is_refused(factory, token):
    """
    A function that says that it yields, and has no yield, is refused at the line.
    """
    with pytest.raises(DeclarationError, match=r"has no yield: write yield in the place of return.*test_what_factories_make\.py"):
        application(token, factory)


async def test_an_iterator_may_be_the_value():
    """
    Under its own form as the token, or under a name, an iterator is a value like others.
    """

    def numbers() -> Iterator[int]:
        return iter([1, 2])

    for token in (Iterator[int], "numbers"):
        assert list(Container(application(token, numbers)).get_nowait(token)) == [1, 2]


@pytest.mark.parametrize("annotation", [object, Any, Iterator, te.Iterable[Pool], Generator[Pool, None, str]])
def test_vague_annotations_of_generators_are_taken(annotation):
    """
    An annotation that a generator fits, and that says little, is no fault with a token given.
    """

    def make():
        yield Pool()

    make.__annotations__["return"] = annotation

    with Container(application(Pool, make)) as container:
        assert container.get_nowait(Pool).state == "open"


def test_what_is_defined_later_counts_all_the_same(monkeypatch):
    """
    A return annotation whose name is not defined when the function is decorated is read when somebody asks.
    """
    names = {"fresh": application, "opened": opened}
    exec(
        """
from __future__ import annotations
def make() -> Manager[Later]: return opened()
App = fresh("pool", make)
from contextlib import AbstractContextManager as Manager
class Later: ...
""",
        names,
    )

    with Container(names["App"]) as container:
        assert container.get_nowait("pool").state == "open"


@pytest.mark.skipif(sys.version_info < (3, 12), reason="type statements came with Python 3.12")
async def test_an_alias_of_a_return_annotation():
    """
    A type statement for what a factory returns is what it names.
    """
    names = {}
    exec(
        """
from contextlib import AbstractContextManager
from collections.abc import AsyncIterator, Awaitable
class Thing: ...
type Opened[T] = AbstractContextManager[T]
type Stream[T] = AsyncIterator[T | None]
type Soon = Awaitable[Thing]
def opened() -> Opened[Thing]:
    import contextlib
    return contextlib.nullcontext("opened")
async def stream() -> Stream[Thing]:
    yield "streamed"
def soon() -> Soon:
    async def later(): return "awaited"
    return later()
""",
        names,
    )
    got = []
    for name in ("opened", "stream", "soon"):
        async with Container(application(None, names[name])) as container:
            got.append(await container.get(names["Thing"]))

    assert got == ["opened", "streamed", "awaited"]


def test_deps_that_do_not_fit_are_told():
    """
    Too few deps, too many, or required keyword-only parameters left are told by the check, with the line of the factory.
    """

    def pair(first, second):
        return first, second

    def named(first, *, second):
        return first, second

    App = fresh_app(providers=[
        Settings,
        {"provide": "few", "use_factory": pair, "deps": [Settings]},
        {"provide": "many", "use_factory": pair, "deps": [Settings] * 3},
        {"provide": "named", "use_factory": named, "deps": [Settings]},
        {"provide": "class", "use_class": Pool, "deps": [Settings]},
        {"provide": "right", "use_factory": pair, "deps": [Settings, Settings]},
    ])  # fmt: skip

    with pytest.raises(GraphErrors) as caught:
        Container(App)

    said = [str(problem) for problem in problems(caught.value)]
    why = [text.partition(" do not fit: ")[2].partition(" (")[0] for text in said]
    assert why[1::2] == ["too many positional arguments"] * 2
    assert ["'second'" in text for text in why] == [True, False, True, False]
    assert "test_what_factories_make.py" in said[0]


def test_called_types():
    """
    ``Callable`` as a return annotation is a value like others.
    """

    def make() -> Callable[[], Pool]:
        return Pool

    assert Container(application(None, make)).get_nowait(Callable[[], Pool]) is Pool


class Opened:
    @classmethod
    @asynccontextmanager
    async def by_class(cls, settings: Settings) -> AsyncIterator[te.Self]:
        made = cls()
        made.state = "open"
        yield made
        made.state = "closed"

    @staticmethod
    @contextmanager
    def by_static(settings: Settings) -> Iterator["Opened"]:
        made = Opened()
        made.state = "open"
        yield made
        made.state = "closed"

    @classmethod
    def by_return(cls, settings: Settings) -> AbstractAsyncContextManager[te.Self]:
        return cls.by_class(settings)


@pytest.mark.parametrize("token", [None, Opened])
@pytest.mark.parametrize("name", ["by_class", "by_static", "by_return"])
async def test_methods_that_are_context_managers(name, token):
    """
    Class methods and static methods that open their class are entered and left.
    """
    async with Container(application(token, getattr(Opened, name))) as container:
        made = await container.get(Opened)
        assert made.state == "open"

    assert made.state == "closed"


@pytest.mark.parametrize("lifetime", ["scoped", "transient"])
async def test_what_is_returned_is_left_with_its_scope(lifetime):
    """
    Each scope leaves what it entered, at the first gets and at hot ones, also of a wrapper and in a thread.
    """
    App = fresh_app()
    pools = []

    @contextmanager
    def noted():
        pools.append(Pool())
        yield pools[-1]
        pools[-1].state = "closed"

    def returned() -> AbstractContextManager[Pool]:
        return noted()

    App.register_dependency("returned", returned, lifetime=lifetime)
    App.register_dependency("wrapped", traced(noted), lifetime=lifetime)
    App.register_dependency("in a thread", returned, lifetime=lifetime, in_thread=True)
    async with Container(App) as container:
        for _ in range(4):
            for name in ("returned", "wrapped", "in a thread"):
                async with container.scope() as scope:
                    assert (await scope.get(name)).state == "open"
                assert pools[-1].state == "closed"

    assert len(pools) == 12


async def test_a_time_limit_holds_for_what_is_awaited():
    """
    ``timeout=`` is for whatever is awaited, also where a plain function returns it.
    """
    App = fresh_app()
    App.register_dependency(Pool, awaitable, timeout=5)

    assert type(await Container(App).get(Pool)) is Pool


def test_a_context_manager_swallows_nothing():
    """
    One that suppresses exceptions takes none from the block around the container.
    """

    def make() -> AbstractContextManager[Pool]:
        return contextlib.suppress(KeyError)

    with pytest.raises(KeyError), Container(application(None, make)) as container:
        container.get_nowait(Pool)
        raise KeyError


# --- functions of which only the annotation says that they open something ---------------------------------


def lies() -> AbstractAsyncContextManager[Pool]:
    return Pool()


async def test_what_returns_no_asynchronous_manager_is_told():
    """
    A function that says that it returns an asynchronous context manager, and does not, is told by name.
    """
    async with Container(application(None, lies)) as container:
        with pytest.raises(FactoryError, match=r"lies says that it returns .*\[Pool\], and returned a Pool"):
            await container.get(Pool)


async def test_a_wrapper_around_an_asynchronous_generator_may_give_a_value():
    """
    A plain function that wraps a generator and returns something else gives that: it is what was asked for, and not closed.
    """

    async def inner() -> AsyncIterator[Pool]:
        yield Pool()

    @functools.wraps(inner)
    def outer():
        return "ready"

    async with Container(application(Pool, outer)) as container:
        assert await container.get(Pool) == "ready"
