"""How is a start shown while it runs?"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from .. import Container, StartReport, Timing
from .._run.container.start import asked_to_start
from ..report.page import printable

__all__ = ["started"]

Progress = Callable[[Timing], object]


async def started(container: Container, concurrency: int | None) -> StartReport:
    """Start *container*, which is closed again, and return the report; on a terminal progress is shown where rich is there."""
    async with container:
        display, progress = _display(container)
        with display:
            return await container.start(concurrency=concurrency, progress=progress)


def _display(container: Container) -> tuple[AbstractContextManager[Any], Progress | None]:
    if not sys.stdout.isatty():
        return nullcontext(), None
    try:
        from rich import progress as bars
    except ImportError:  # the extra "cli" is not installed
        return nullcontext(), None
    total = len(asked_to_start(container, ()))
    # markup=False: a key is text, and "[bold]" in it no style.
    last = bars.TextColumn("{task.fields[last]}", markup=False)
    display = bars.Progress(
        bars.TextColumn("starting"), bars.BarColumn(), bars.MofNCompleteColumn(), bars.TimeElapsedColumn(), last, transient=True
    )
    task = display.add_task("start", total=total, last="")

    def progress(timing: Timing) -> None:
        display.update(task, advance=1, last=f"{printable(timing.key)} {timing.ran:.3f} s")

    return display, progress
