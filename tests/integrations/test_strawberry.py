"""Scopes of GraphQL operations, in real schemas of Strawberry."""

import asyncio
import contextlib
import functools
import warnings
from collections.abc import AsyncIterator
from types import SimpleNamespace

import pytest
from helpers import LIMIT, Journal, fresh_app

from asyncmeta import INJECTED, AsyncDependencyError, Container, From, Scope, inject_dependency, injected

strawberry = pytest.importorskip("strawberry", reason="needs strawberry-graphql")
from strawberry.types import ExecutionContext  # noqa: E402

from asyncmeta.integrations import strawberry as ours  # noqa: E402
from asyncmeta.integrations.strawberry import KEY, ContainerExtension, SyncContainerExtension, inject  # noqa: E402


class Work:
    """What an operation holds: committed or rolled back at its end."""


class Prices:
    """Made without awaiting."""

    def of(self, name: str) -> int:
        return len(name)


def shop(**keywords):
    """Return an application, and the journal of what became of its operations."""
    app, journal = fresh_app(**keywords), Journal()
    app.register_dependency(Prices, Prices)

    @inject_dependency(on=app, lifetime="scoped")
    async def work() -> AsyncIterator[Work]:
        journal.append("begin")
        await asyncio.sleep(0)
        try:
            yield Work()
        except BaseException as error:
            journal.append(f"rollback {type(error).__name__}")
            raise
        journal.append("commit")

    return app, journal


@strawberry.type
class Query:
    @strawberry.field
    @inject
    async def price(self, name: str, work: From[Work], prices: From[Prices], amount: int = 1) -> int:
        if name == "dust":
            raise LookupError(name)
        return prices.of(name) * amount

    @strawberry.field
    @inject
    async def mark(self, work: From[Work], info: strawberry.Info) -> str:
        return f"{id(work)} {info.field_name}"

    @strawberry.field
    @inject
    def sync(self, work: From[Work], name: str = "tea") -> str:
        return f"{name} {id(work)}"

    @strawberry.field
    @inject
    def cheap(self, prices: From[Prices]) -> int:
        return prices.of("tea")

    @strawberry.field
    async def by_hand(self, info: strawberry.Info) -> str:
        return str(id(await info.context["asyncmeta"].get(Work)))


@strawberry.type
class Subscription:
    @strawberry.subscription
    @inject
    async def ticks(self, upto: int, work: From[Work], scope: From[Scope]) -> AsyncIterator[str]:
        for number in range(upto):
            yield f"{number} {await scope.get(Work) is work} {scope.closed}"
        if upto == 2:
            raise LookupError


def schema_of(container, kind=ContainerExtension, **options):
    """Return a schema whose operations are filled from *container*."""
    return strawberry.Schema(query=Query, subscription=Subscription, extensions=[lambda: kind(container, **options)])


async def test_a_decorator_may_hide_that_a_resolver_is_async():
    """
    A resolver below a plain decorator, which returns what has to be awaited, is awaited.
    """
    app, journal = shop()

    def noted(resolver):
        @functools.wraps(resolver)
        def call(*args, **named):
            journal.append("called")
            return resolver(*args, **named)

        return call

    @strawberry.type
    class Query:
        @strawberry.field
        @inject
        @noted
        async def kind(self, work: From[Work]) -> str:
            return type(work).__name__

    async with Container(app) as container:
        schema = strawberry.Schema(query=Query, extensions=[lambda: ContainerExtension(container)])
        result = await schema.execute("{ kind }")

    assert result.data == {"kind": "Work"}
    assert journal == ["begin", "called", "commit"]


async def test_the_schema_shows_real_arguments_only():
    """
    Marked parameters, and the info that an injected resolver takes for itself, are no arguments of the field.
    """
    app, _ = shop()
    text = schema_of(Container(app)).as_str()

    assert "price(name: String!, amount: Int! = 1): Int!" in text
    assert "mark: String!" in text
    assert 'sync(name: String! = "tea"): String!' in text
    assert "ticks(upto: Int!): String!" in text


async def test_an_operation_is_a_scope_that_its_fields_share():
    """
    Resolvers that run side by side, async, sync or by hand, have one value, which is committed at the end.
    """
    app, journal = shop()

    async with Container(app) as container:
        schema = schema_of(container)
        result = await schema.execute('{ a: mark b: mark sync byHand price(name: "tea", amount: 2) }')

    assert result.errors is None
    marks = {result.data["a"].split()[0], result.data["b"].split()[0], result.data["sync"].split()[1], result.data["byHand"]}
    assert len(marks) == 1
    assert result.data["price"] == 6
    assert journal == ["begin", "commit"]


async def test_an_error_of_a_resolver_rolls_back():
    """
    Finalizers see what the first failing resolver raised, although the others' data are answered.
    """
    app, journal = shop()

    async with Container(app) as container:
        result = await schema_of(container).execute('{ cheap price(name: "dust") }')

    assert len(result.errors) == 1
    assert journal == ["begin", "rollback LookupError"]


async def test_what_fails_at_the_end_is_an_error_of_the_result():
    """
    A session that cannot commit makes a failed operation of a success that was none; also while rolling back.
    """
    app, _ = shop()

    @inject_dependency(Prices, on=app, lifetime="scoped", replace=True)
    async def till():
        try:
            yield Prices()
        finally:
            raise OSError("the till does not close")

    async with Container(app) as container:
        schema = schema_of(container)
        good = await schema.execute('{ price(name: "tea") }')
        bad = await schema.execute('{ price(name: "dust") }')

    assert good.errors[0].message == bad.errors[0].message == "the till does not close"
    assert isinstance(good.errors[0].original_error, OSError)


async def test_a_cancelled_operation_is_finalized_once():
    """
    Finalizers see the cancellation of the task that executes.
    """
    app, journal = shop()
    began = asyncio.Event()

    @strawberry.type
    class Slow:
        @strawberry.field
        @inject
        async def wait(self, work: From[Work]) -> str:
            began.set()
            await asyncio.Event().wait()

    async with asyncio.timeout(LIMIT), Container(app) as container:
        schema = strawberry.Schema(query=Slow, extensions=[lambda: ContainerExtension(container)])
        task = asyncio.create_task(schema.execute("{ wait }"))
        await began.wait()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    assert journal == ["begin", "rollback CancelledError"]


@pytest.mark.parametrize(
    ("upto", "taken", "end"), [(1, 9, "commit"), (2, 9, "rollback LookupError"), (3, 1, "rollback GeneratorExit")]
)
async def test_a_subscription_keeps_its_scope_to_its_end(upto, taken, end):
    """
    Its values are the same for all its results, and its finalizers see how it ended: by itself, by an error, or early.
    """
    app, journal = shop()

    async with Container(app) as container:
        seen = []
        async with contextlib.aclosing(
            await schema_of(container).subscribe(f"subscription {{ ticks(upto: {upto}) }}", context_value={})
        ) as results:
            async for result in results:
                if result.errors is None:
                    seen.append(result.data["ticks"])
                    assert journal == ["begin"]
                    if len(seen) == taken:
                        break

    assert seen == [f"{number} True False" for number in range(min(upto, taken))]
    assert journal == ["begin", end]


async def test_operations_that_share_a_context_have_scopes_of_their_own():
    """
    Over a websocket one context serves many operations: those that are under way at once are not mixed up.
    """
    app, journal = shop()

    async with Container(app) as container:
        schema = schema_of(container)
        context = {"user": "ada"}
        async with contextlib.aclosing(await schema.subscribe("subscription { ticks(upto: 3) }", context_value=context)) as results:
            await anext(results)
            mine = context[KEY]
            result = await schema.execute("{ mark }", context_value=context)
            assert result.errors is None
            assert context[KEY] is mine
            assert not mine.closed
            assert (await anext(results)).data == {"ticks": "1 True False"}

    assert journal == ["begin", "begin", "commit", "rollback GeneratorExit"]


async def test_the_context_may_be_an_object():
    """
    The scope is an attribute of a context that is no dictionary; context values come from the operation.
    """
    app, _ = shop(context=[ExecutionContext, "user"])

    @inject_dependency("label", on=app, lifetime="scoped")
    def label(execution: ExecutionContext) -> str:
        return execution.operation_name

    @strawberry.type
    class Who:
        @strawberry.field
        @inject
        async def who(self, scope: From[Scope], info: strawberry.Info) -> str:
            return f"{await scope.get('label')} {await scope.get('user')} {info.context.asyncmeta is scope}"

    async with Container(app) as container:
        extension = lambda: ContainerExtension(container, context=lambda execution: {"user": execution.context.user})
        schema = strawberry.Schema(query=Who, extensions=[extension])
        result = await schema.execute("query Me { who }", context_value=SimpleNamespace(user="ada"), operation_name="Me")

    assert result.data == {"who": "Me ada True"}


async def test_a_fake_in_the_test_reaches_the_resolvers():
    """
    Resolvers run in the task that executes, so an override around that is in force for them.
    """
    app, _ = shop()

    async with Container(app) as container:
        schema = schema_of(container)
        with container.override({Prices: type("Free", (Prices,), {"of": lambda self, name: 0})()}):
            assert (await schema.execute("{ cheap }")).data == {"cheap": 0}
        assert (await schema.execute("{ cheap }")).data == {"cheap": 3}


def test_execute_sync_takes_the_sync_extension():
    """
    Without a loop, resolvers get what needs no awaiting, in a scope that is closed with the operation.
    """
    app, journal = shop()

    @inject_dependency(Prices, on=app, lifetime="scoped", replace=True)
    def prices():
        with journal.noting("prices"):
            yield Prices()

    with Container(app) as container:
        schema = schema_of(container, SyncContainerExtension)
        assert schema.execute_sync("{ cheap }").data == {"cheap": 3}
        assert isinstance(schema.execute_sync("{ sync }").errors[0].original_error, AsyncDependencyError)

    assert journal == ["+prices", "-prices"]


async def test_without_the_extension_a_resolver_says_what_is_missing():
    """
    An injected resolver of a schema that has no extension of ours fails with a ScopeError that names it.
    """
    result = await strawberry.Schema(query=Query).execute("{ cheap }", context_value={})

    assert "ContainerExtension" in result.errors[0].message


# --- in a request that has a scope ---


@pytest.fixture(params=["fastapi", "litestar", "quart"])
def served(request):
    """Return what asks a schema behind a framework, and the journal; its container serves the framework, too."""
    pytest.importorskip(request.param)
    pytest.importorskip("httpx")
    app, journal = shop()
    container = Container(app)

    @injected
    async def audit(work: From[Work] = INJECTED):
        journal.append("audited")

    @strawberry.type
    class Shared:
        @strawberry.field
        @inject
        async def same(self, info: strawberry.Info, work: From[Work]) -> bool:
            return info.context["mine"] is work if "mine" in info.context else True

        @strawberry.field
        async def undecorated(self) -> int:
            await audit()
            return 1

        @strawberry.field
        async def fail(self) -> int:
            await audit()
            raise LookupError("no")

    schema = strawberry.Schema(Shared)
    ours.setup(schema, container)

    async def ask(query):
        import httpx

        async with httpx.AsyncClient(transport=httpx.ASGITransport(web), base_url="http://shop") as client, container:
            return (await client.post("/graphql", json={"query": query})).json()

    if request.param == "fastapi":
        from fastapi import FastAPI
        from strawberry.fastapi import GraphQLRouter

        from asyncmeta.integrations import fastapi

        async def context(work: fastapi.From[Work]):
            return {"mine": work}

        web = fastapi.setup(FastAPI(), container)
        web.include_router(GraphQLRouter(schema, context_getter=context), prefix="/graphql")
    elif request.param == "litestar":
        from litestar import Litestar
        from strawberry.litestar import make_graphql_controller

        from asyncmeta.integrations import litestar

        controller = make_graphql_controller(schema, path="/graphql")
        with warnings.catch_warnings():  # the controller is written for an older Litestar
            warnings.simplefilter("ignore", DeprecationWarning)
            web = litestar.setup(Litestar([controller], logging_config=None, openapi_config=None), container)
    else:
        from quart import Quart
        from strawberry.quart.views import GraphQLView

        from asyncmeta.integrations import quart

        web = quart.setup(Quart("shop"), container)
        web.add_url_rule("/graphql", view_func=GraphQLView.as_view("graphql", schema=schema))
    return ask, journal


async def test_one_session_for_each_request(served):
    """
    What depends on the request, the context getter, resolvers and their helpers share one session, which commits once.
    """
    ask, journal = served

    assert (await ask("{ same undecorated }"))["data"] == {"same": True, "undecorated": 1}
    assert sorted(journal) == ["audited", "begin", "commit"]


async def test_a_resolver_that_fails_fails_its_request(served):
    """
    GraphQL answers with 200 and errors; the request's session rolls back all the same.
    """
    ask, journal = served

    assert (await ask("{ fail }"))["errors"]
    assert journal == ["begin", "audited", "rollback LookupError"]


async def test_helpers_of_undecorated_resolvers_have_the_scope_of_their_operation():
    """
    Without a request, too: an injected function that a plain resolver calls shares the session of its operation.
    """
    app, journal = shop()

    @injected
    async def audit(work: From[Work] = INJECTED):
        return work

    @strawberry.type
    class Plain:
        @strawberry.field
        async def same(self, info: strawberry.Info) -> bool:
            return await audit() is await info.context[KEY].get(Work)

    async with Container(app) as container:
        schema = ours.setup(strawberry.Schema(Plain), container)
        assert (await schema.execute("{ same }")).data == {"same": True}
    assert journal == ["begin", "commit"]
