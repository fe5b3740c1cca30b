"""
Builds as spans of OpenTelemetry: ``Container(App, middleware=[tracing()])``.

Needs the extra ``otel``, which brings OpenTelemetry's API alone; which SDK exports the spans is the application's.
"""

from __future__ import annotations

import weakref
from typing import Any

from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TracerProvider, get_tracer

from .. import Build, Middleware, Next, __version__

__all__ = ["tracing"]


def tracing(tracer_provider: TracerProvider | None = None) -> Middleware:
    """
    Return middleware that makes a span of every build.

    A span's parent is what was current where the value was asked for: the span of the request, or that of the build
    whose factory asked.  Spans that a factory makes lie inside of its own.  A value is built after what it needs, so
    their spans lie beside each other: the one that needs links to those that it needed, and these name it in
    ``asyncmeta.parent``.

    An exception leaves its type on the span; its text, which may hold a secret, does not.

    Args:
        tracer_provider: Whose spans; the global one where none is given.
    """
    tracer = get_tracer("asyncmeta", __version__, tracer_provider)
    made_for: weakref.WeakKeyDictionary[Build, list[SpanContext]] = weakref.WeakKeyDictionary()

    async def traced(build: Build, call: Next) -> Any:
        attributes = {"asyncmeta.key": build.key, "asyncmeta.lifetime": str(build.lifetime), "asyncmeta.where": build.where}
        if build.parent is not None:
            attributes["asyncmeta.parent"] = build.parent.key
        with tracer.start_as_current_span(
            f"build {build.key}",
            kind=SpanKind.INTERNAL,
            attributes=attributes,
            links=[Link(context) for context in made_for.pop(build, ())],
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            if build.parent is not None:
                made_for.setdefault(build.parent, []).append(span.get_span_context())
            try:
                return await call()
            except BaseException as error:
                span.set_attribute("error.type", f"{type(error).__module__}.{type(error).__qualname__}")
                span.set_status(Status(StatusCode.ERROR))
                raise

    return traced
