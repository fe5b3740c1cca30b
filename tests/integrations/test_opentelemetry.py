"""Spans for builds, made with the real OpenTelemetry and its SDK."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from helpers import fresh_app, guarded, outcome

from asyncmeta import Container, inject_dependency

pytest.importorskip("opentelemetry.sdk", reason="needs opentelemetry-sdk")

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from asyncmeta.integrations.opentelemetry import tracing


class Database:
    pass


class Session:
    pass


@pytest.fixture
def exporter():
    return InMemorySpanExporter()


@pytest.fixture
def provider(exporter):
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield provider
    provider.shutdown()


@pytest.fixture
def spans(exporter):
    """Return a function that gives the finished spans by name."""
    return lambda: {span.name: span for span in exporter.get_finished_spans()}


@guarded
async def test_a_span_for_every_build_below_the_callers(provider, spans):
    """
    Each build is one span below the one that is current where it was asked for, also where another task builds.
    """
    app = fresh_app()

    @inject_dependency(on=app)
    async def open_database() -> AsyncIterator[Database]:
        yield Database()

    @inject_dependency(on=app, lifetime="scoped")
    async def open_session(database: Database) -> Session: ...

    async with Container(app, middleware=[tracing(provider)]) as container, container.scope() as scope:
        with provider.get_tracer("test").start_as_current_span("request"):
            await scope.get(Session)
            await scope.get(Session)

    found = spans()
    assert list(found) == ["build Database", "build Session", "request"]
    request = found["request"].get_span_context()
    for name in ("build Database", "build Session"):
        assert found[name].parent.span_id == request.span_id
        assert found[name].context.trace_id == request.trace_id
        assert found[name].status.status_code is StatusCode.UNSET


@guarded
async def test_what_is_needed_is_linked(provider, spans):
    """
    The span of a build links to those of what it needed, and these name it.
    """
    app = fresh_app()
    app.register_dependency("a", object)
    app.register_dependency("b", object, lifetime="transient")
    app.register_dependency("c", lambda a, b: 1)
    app.register_dependency("d", lambda c: 1, lifetime="scoped")

    async with Container(app, middleware=[tracing(provider)]) as container, container.scope() as scope:
        await scope.get("d")

    found = spans()
    ids = {name: span.context.span_id for name, span in found.items()}
    links = {name: [link.context.span_id for link in span.links] for name, span in found.items()}
    assert links == {
        'build "a"': [], 'build "b"': [], 'build "c"': [ids['build "a"'], ids['build "b"']], 'build "d"': [ids['build "c"']],
    }  # fmt: skip
    assert {name: span.attributes.get("asyncmeta.parent") for name, span in found.items()} == {
        'build "a"': '"c"', 'build "b"': '"c"', 'build "c"': '"d"', 'build "d"': None,
    }  # fmt: skip


@guarded
async def test_what_a_factory_does_lies_inside(provider, spans):
    """
    Spans of a factory's own, and the builds that it asks for, are children of its build's span.
    """
    app = fresh_app()

    @inject_dependency("inner", on=app)
    async def inner():
        await asyncio.sleep(0)

    @inject_dependency("outer", on=app)
    async def outer(container: Container):
        with provider.get_tracer("test").start_as_current_span("connect"):
            await container.get("inner")

    async with Container(app, middleware=[tracing(provider)]) as container:
        await container.get("outer")

    found = spans()
    assert found['build "inner"'].parent.span_id == found["connect"].context.span_id
    assert found["connect"].parent.span_id == found['build "outer"'].context.span_id
    assert found['build "outer"'].parent is None


@guarded
async def test_facts_but_no_values_stand_on_a_span(provider, spans):
    """
    Key, lifetime and place are attributes; a failure leaves its type, and never the text of the exception.
    """
    app = fresh_app()

    @inject_dependency("broken", on=app)
    async def broken():
        raise ConnectionError("postgres://me:hunter2@host")

    async with Container(app, middleware=[tracing(provider)]) as container:
        error = await outcome(container.get("broken"))

    (span,) = spans().values()
    assert isinstance(error, ConnectionError)
    assert span.attributes["asyncmeta.key"] == '"broken"'
    assert span.attributes["asyncmeta.lifetime"] == "singleton"
    assert span.attributes["asyncmeta.where"].startswith("tests/integrations/test_opentelemetry.py:")
    assert span.attributes["error.type"] == "builtins.ConnectionError"
    assert span.status.status_code is StatusCode.ERROR
    assert "hunter2" not in span.to_json()


def test_sync_graphs_are_traced_without_a_loop(provider, spans):
    """
    The same middleware serves sync-only graphs.
    """
    app = fresh_app()
    app.register_dependency("x", object)
    with Container(app, middleware=[tracing(provider)]) as container:
        container.get_nowait("x")

    assert list(spans()) == ['build "x"']


async def test_without_an_sdk_it_costs_nothing_but_calls():
    """
    With the API alone, and no provider, builds go on as ever.
    """
    app = fresh_app()
    app.register_dependency("x", lambda: 7)
    async with Container(app, middleware=[tracing()]) as container:
        assert await container.get("x") == 7
