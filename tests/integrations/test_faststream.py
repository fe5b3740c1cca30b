"""FastStream: a container with the application, a scope with each message; in memory, and with a real redis-server."""

import asyncio
import threading
import warnings
from typing import Annotated

import pytest
import servers
from helpers import Journal, fresh_app, guarded

from asyncmeta import Container, FinalizationErrors, From as Marked, GraphErrors, Inject, Scope, ScopeError, injected

from .shops import Pool, Session, shop

pytest.importorskip("faststream", reason="needs faststream")
pytest.importorskip("redis", reason="needs redis")

from faststream import Depends, FastStream, StreamMessage, TestApp
from faststream.exceptions import AckMessage, NackMessage
from faststream.redis import RedisBroker, RedisRouter, StreamSub, TestRedisBroker

from asyncmeta.integrations.faststream import ContainerMiddleware, From, lifespan

TestApp.__test__ = TestRedisBroker.__test__ = False


def application(container, **options):
    """Return an application that *container* serves, and its broker."""
    broker = RedisBroker(middlewares=[ContainerMiddleware(container, **options)])
    return FastStream(broker, lifespan=lifespan(container)), broker


@guarded
async def test_the_container_lives_with_the_application():
    """
    Singletons are built before the broker starts, each message has a scope, and all closes with the application.
    """
    app, journal = shop()
    program, broker = application(Container(app))

    @broker.subscriber("orders")
    async def handle(name: str, session: From[Session]) -> None:
        journal.append(f"{name} {type(session).__name__}")

    async with TestRedisBroker(broker), TestApp(program):
        journal.append("up")
        await broker.publish("tea", "orders")
        await broker.publish("milk", "orders")

    assert journal == ["+pool", "up", "begin", "tea Session", "commit", "begin", "milk Session", "commit", "-pool"]


@guarded
async def test_singletons_can_wait_for_the_first_message():
    """
    With ``start=False`` nothing is built at start-up.
    """
    app, journal = shop()
    container = Container(app)
    broker = RedisBroker()

    async with TestRedisBroker(broker), TestApp(FastStream(broker, lifespan=lifespan(container, start=False))):
        assert not container.closed

    assert container.closed
    assert journal == []


@guarded
async def test_a_start_that_fails_fails_the_application():
    """
    What a singleton raises at start-up stops the application, and what was built before is closed.
    """
    app, journal = shop()

    def broken(pool: Pool):
        raise OSError("no disk")

    app.register_dependency("broken", broken)
    program, broker = application(Container(app))

    with pytest.raises(OSError, match="no disk"):
        async with TestRedisBroker(broker), TestApp(program):
            assert False

    assert journal == ["+pool", "-pool"]


@pytest.mark.parametrize("decorated", [True, False], ids=["injected", "as a dependency"])
@guarded
async def test_one_scope_for_a_message(decorated):
    """
    Handlers, their dependencies and functions that they call share the values of one message; the next one has others.
    """
    app, _ = shop()
    program, broker = application(Container(app))
    seen = []

    async def needed(session: From[Session]) -> Session:
        return session

    @injected
    async def deeper(session: Marked[Session]) -> Session:
        return session

    async def handle(name: str, session: From[Session], same: Annotated[Session, Depends(needed, cast=False)]) -> None:
        seen.append((session, same, await deeper()))

    @injected
    async def handle_injected(name: str, session: Marked[Session]) -> None:
        seen.append((session, session, await deeper()))

    broker.subscriber("orders")(handle_injected if decorated else handle)

    async with TestRedisBroker(broker), TestApp(program):
        await broker.publish("tea", "orders")
        await broker.publish("milk", "orders")

    assert [len(set(one)) for one in seen] == [1, 1]
    assert seen[0][0] is not seen[1][0]


@guarded
async def test_plain_functions():
    """
    A handler that FastStream runs in a thread gets values that have to be awaited, too.
    """
    app, journal = shop()
    program, broker = application(Container(app))

    @broker.subscriber("orders")
    def handle(name: str, session: From[Session]) -> None:
        journal.append(f"{type(session).__name__} {threading.current_thread() is threading.main_thread()}")

    async with TestRedisBroker(broker), TestApp(program):
        await broker.publish("tea", "orders")

    assert journal == ["+pool", "begin", "Session False", "commit", "-pool"]


@guarded
async def test_a_value_that_cannot_be_had_is_told_in_the_users_words():
    """
    The errors name what nothing provides, and the middleware that is not there; nothing of this integration's inside.
    """
    app, _ = shop()
    program, broker = application(Container(app))
    bare = RedisBroker()

    @bare.subscriber("orders")
    @broker.subscriber("orders")
    async def handle(name: str, journal: From[Journal]) -> None: ...

    async with TestRedisBroker(broker):
        with pytest.raises(GraphErrors, match="nothing provides Journal, needed by handle") as missing:
            async with TestApp(program):
                pass
    async with TestRedisBroker(bare):
        with pytest.raises(ScopeError, match="without ContainerMiddleware"):
            await bare.publish("tea", "orders")

    assert "integrations/faststream.py" not in str(missing.value)


@guarded
async def test_other_tokens():
    """
    ``Annotated[T, Inject(token)]`` inside of the marker asks for another token.
    """
    app, _ = shop()
    app.register_value("currency", "euros")
    program, broker = application(Container(app))
    seen = []

    @broker.subscriber("orders")
    async def handle(name: str, currency: From[Annotated[str, Inject("currency")]]) -> None:
        seen.append((name, currency))

    async with TestRedisBroker(broker), TestApp(program):
        await broker.publish("tea", "orders")

    assert seen == [("tea", "euros")]


@guarded
async def test_the_schema_shows_the_message_only():
    """
    AsyncAPI describes what a message holds; filled parameters are no part of it, and FastStream casts as ever.
    """
    app, _ = shop()
    program, broker = application(Container(app))
    seen = []

    @broker.subscriber("one")
    async def handle(amount: int, session: From[Session]) -> None:
        seen.append(amount)

    @broker.subscriber("two")
    @injected
    async def handle_injected(amount: int, session: Marked[Session]) -> None:
        seen.append(amount)

    schemas = program.schema.to_specification().to_jsonable()["components"]["schemas"]
    async with TestRedisBroker(broker), TestApp(program):
        await broker.publish("7", "one")
        await broker.publish("8", "two")

    assert {schema["type"] for schema in schemas.values()} == {"integer"}
    assert seen == [7, 8]


@guarded
async def test_the_message_is_given_where_declared():
    """
    ``context=[StreamMessage]`` lets factories ask for the message.
    """
    app, _ = shop(context=[StreamMessage])

    def sender(message: StreamMessage) -> str:
        return message.headers["sender"]

    app.register_dependency(str, sender, lifetime="scoped")
    program, broker = application(Container(app))
    seen = []

    @broker.subscriber("orders")
    async def handle(name: str, sender: From[str]) -> None:
        seen.append(sender)

    async with TestRedisBroker(broker), TestApp(program):
        await broker.publish("tea", "orders", headers={"sender": "ada"})

    assert seen == ["ada"]


@pytest.mark.parametrize(
    ("error", "ended"),
    [(ValueError, "rollback ValueError"), (NackMessage, "rollback NackMessage"), (AckMessage, "commit")],
)
@guarded
async def test_how_a_handler_ends(error, ended):
    """
    What a handler raises reaches the finalizers; what acknowledges the message commits.
    """
    app, journal = shop()
    program, broker = application(Container(app))

    @broker.subscriber("orders")
    async def handle(name: str, session: From[Session]) -> None:
        raise error

    async with TestRedisBroker(broker), TestApp(program):
        with pytest.raises(error):  # in memory nothing is acknowledged, so that it comes out
            await broker.publish("tea", "orders")

    assert journal == ["+pool", "begin", ended, "-pool"]


@guarded
async def test_the_result_is_published_after_the_commit():
    """
    The scope ends before what the handler returned is published.
    """
    app, journal = shop()
    program, broker = application(Container(app))

    @broker.subscriber("orders")
    @broker.publisher("bills")
    async def handle(name: str, session: From[Session]) -> str:
        return f"pay for {name}"

    @broker.subscriber("bills")
    async def bill(text: str) -> None:
        journal.append(text)

    async with TestRedisBroker(broker), TestApp(program):
        await broker.publish("tea", "orders")

    assert journal == ["+pool", "begin", "commit", "pay for tea", "-pool"]


@guarded
async def test_a_commit_that_fails_fails_the_message():
    """
    What finalizers raise is the message's failure, and nothing is published.
    """
    app = fresh_app()

    async def open_session():
        yield Session()
        raise OSError("disk full")

    app.register_dependency(Session, open_session, lifetime="scoped")
    program, broker = application(Container(app))
    bills = []

    @broker.subscriber("orders")
    @broker.publisher("bills")
    async def handle(name: str, session: From[Session]) -> str:
        return name

    @broker.subscriber("bills")
    async def bill(text: str) -> None:
        bills.append(text)

    async with TestRedisBroker(broker), TestApp(program):
        with pytest.raises(FinalizationErrors):
            await broker.publish("tea", "orders")

    assert bills == []


@guarded
async def test_overrides_in_tests():
    """
    An override for everywhere reaches the handlers, and ends with its block.
    """
    app, journal = shop()
    container = Container(app)
    program, broker = application(container)
    seen = []

    @broker.subscriber("orders")
    async def handle(name: str, session: From[Session]) -> None:
        seen.append(type(session).__name__)

    async with TestRedisBroker(broker), TestApp(program):
        async with container.override({Session: "a fake"}, everywhere=True):
            await broker.publish("tea", "orders")
        await broker.publish("tea", "orders")

    assert seen == ["str", "Session"]
    assert journal == ["+pool", "begin", "commit", "-pool"]


@guarded
async def test_the_level_of_a_message():
    """
    A message can be a level of its own, with steps inside.
    """
    app, journal = shop(scopes=("message", "step"))
    program, broker = application(Container(app), level="message")

    @injected
    async def step(session: Marked[Session]) -> None:
        journal.append("step")

    @broker.subscriber("orders")
    @injected
    async def handle(name: str, scope: Marked[Scope]) -> None:
        for _ in range(2):
            async with scope.scope() as inner:
                with inner.ambient():
                    await step()

    async with TestRedisBroker(broker), TestApp(program):
        await broker.publish("tea", "orders")

    assert journal == ["+pool", *["begin", "step", "commit"] * 2, "-pool"]


@pytest.fixture
def redis():
    with servers.redis(servers.free_port()) as address:
        yield address


@guarded
async def test_with_a_real_redis(redis):
    """
    Messages of a stream have their scopes; one whose handler raises, or whose commit fails, stays unacknowledged.
    """
    journal = Journal()
    app = fresh_app()
    done = asyncio.Semaphore(0)

    async def open_session():
        try:
            yield Session()
            if journal[-1] == "uncommittable":
                raise OSError("disk full")
            journal.append("commit")
        except ValueError:
            journal.append("rollback")
            raise
        finally:
            done.release()

    app.register_dependency(Session, open_session, lifetime="scoped")
    container = Container(app)

    broker = RedisBroker(redis, logger=None, middlewares=[ContainerMiddleware(container)])

    @broker.subscriber(stream=StreamSub("orders", group="shop", consumer="one", last_id=">", polling_interval=20))
    async def handle(name: str, session: From[Session]) -> None:
        journal.append(name)
        if name == "wrong":
            raise ValueError(name)

    program = FastStream(broker, lifespan=lifespan(container))
    async with TestApp(program):
        for name in ("tea", "wrong", "uncommittable", "milk"):
            await broker.publish(name, stream="orders")
            await done.acquire()
    async with RedisBroker(redis, logger=None) as other:
        client = await other.connect()
        pending = await client.xpending("orders", "shop")

    assert journal == ["tea", "commit", "wrong", "rollback", "uncommittable", "milk", "commit"]
    assert pending["pending"] == 2
    assert container.closed


@pytest.mark.filterwarnings("ignore:.*asyncio.iscoroutinefunction.*:DeprecationWarning")  # the plugin's, since 3.14
@guarded
async def test_subscribers_of_the_plugin_for_fastapi():
    """
    FastStream's router for FastAPI lets FastAPI read parameters: `From` of either integration works in its subscribers.
    """
    pytest.importorskip("fastapi")
    with warnings.catch_warnings():  # it is moving to a package of its own
        warnings.simplefilter("ignore", DeprecationWarning)
        from faststream.redis.fastapi import RedisRouter

    from asyncmeta.integrations import fastapi, faststream

    app, journal = shop()
    container = Container(app)
    router = RedisRouter(middlewares=[ContainerMiddleware(container)])

    @router.subscriber("one")
    async def one(name: str, session: fastapi.From[Session]) -> None:
        journal.append(f"{name} {type(session).__name__}")

    @router.subscriber("two")
    async def two(name: str, session: faststream.From[Session]) -> None:
        journal.append(f"{name} {type(session).__name__}")
        raise LookupError

    async with container, TestRedisBroker(router.broker, connect_only=False) as broker:
        await broker.publish("tea", "one")
        with pytest.raises(LookupError):
            await broker.publish("milk", "two")

    assert journal == ["+pool", "begin", "tea Session", "commit", "begin", "milk Session", "rollback LookupError", "-pool"]


@guarded
async def test_an_exception_middleware_that_would_hide_failures_is_refused():
    """
    Where an ExceptionMiddleware stands inside of ours, at a router too, the application does not start; outside both work.
    """
    from faststream.middlewares import ExceptionMiddleware

    app, journal = shop()
    container, told = Container(app), ExceptionMiddleware({LookupError: lambda error: None})

    def made(*middlewares, router=()):
        broker, router = RedisBroker(middlewares=middlewares), RedisRouter(middlewares=router)

        @router.subscriber("orders")
        async def handle(name: str, session: From[Session]) -> None:
            raise LookupError

        broker.include_router(router)
        return broker, FastStream(broker, lifespan=lifespan(container))

    for broker, program in (
        made(ContainerMiddleware(container), told),
        made(ContainerMiddleware(container), router=[told]),
    ):
        async with TestRedisBroker(broker, connect_only=True):
            with pytest.raises(RuntimeError, match=r"middlewares=\[ExceptionMiddleware"):
                async with TestApp(program):
                    pass
    broker, program = made(told, ContainerMiddleware(container))
    async with TestRedisBroker(broker, connect_only=True), TestApp(program):
        await broker.publish("tea", "orders")

    assert journal == ["+pool", "begin", "rollback LookupError", "-pool"]
