"""Typer: commands whose annotations are text."""

from __future__ import annotations

from typing import Annotated

import pytest

from asyncmeta import INJECTED, From

from .shops import Session, shop

pytest.importorskip("typer", reason="needs typer")

import typer
from typer.testing import CliRunner

from asyncmeta.integrations.typer import with_container


def test_annotations_that_are_text():
    """
    With ``from __future__ import annotations`` parameters are filled, hidden and described as without.
    """
    app, journal = shop()
    program = typer.Typer(add_completion=False)

    @program.command()
    @with_container(app)
    async def order(
        ctx: typer.Context, name: Annotated[str, typer.Argument(help="What to order.")], session: From[Session] = INJECTED
    ) -> None:
        typer.echo(f"{ctx.info_name} {name} {type(session).__name__}")

    result = CliRunner().invoke(program, ["tea"])
    shown = CliRunner().invoke(program, ["--help"], env={"NO_COLOR": "1", "TERM": "dumb"}).output

    assert result.output == "order tea Session\n"
    assert "What to order." in shown and "session" not in shown
    assert journal == ["+pool", "begin", "commit", "-pool"]
