"""The logging observer's lines, as the real structlog shows them."""

import io
import json
import logging

import pytest
from helpers import fresh_app

from asyncmeta import Container
from asyncmeta.integrations.logging import LoggingObserver

structlog = pytest.importorskip("structlog", reason="needs structlog")


async def test_the_facts_are_fields_of_structlog():
    """
    Formatted by structlog's ProcessorFormatter with ExtraAdder, each fact of an event is a field of its own.
    """
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.add_log_level, structlog.stdlib.ExtraAdder()],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, structlog.processors.JSONRenderer()],
    )
    handler.setFormatter(formatter)
    logger = logging.Logger("structured", logging.DEBUG)
    logger.addHandler(handler)
    app = fresh_app()
    app.register_dependency("a", object)
    app.register_dependency("b", lambda a: 1)

    async with Container(app) as container:
        with container.observe(LoggingObserver(logger=logger)):
            await container.get("b")

    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["event"].partition(" after")[0] for line in lines] == [
        'building "a" for "b"',
        'built "a"',
        'building "b"',
        'built "b"',
    ]
    seconds = lines[1].pop("asyncmeta_seconds")
    assert seconds >= 0
    assert lines[1] == {
        "event": lines[1]["event"], "level": "debug", "asyncmeta_event": "build_end", "asyncmeta_key": '"a"',
        "asyncmeta_parent": '"b"', "asyncmeta_task": lines[1]["asyncmeta_task"],
    }  # fmt: skip
