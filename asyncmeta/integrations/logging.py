"""What happens, as lines of a log: one for each event, under the logger ``asyncmeta``."""

from __future__ import annotations

import logging
from typing import Final

from .. import Event, Observer

__all__ = ["LoggingObserver"]

_LOGGER: Final = logging.getLogger("asyncmeta")


class LoggingObserver(Observer):
    """
    Logs every event in one readable line: ``container.observe(LoggingObserver())``.

    The facts stand also in the record's ``asyncmeta_event``, ``asyncmeta_key``, ``asyncmeta_seconds``,
    ``asyncmeta_parent`` and ``asyncmeta_task``, for structlog and other formatters.  Values never appear.

    Args:
        level: At which level; failures, too.
        logger: Under which logger; "asyncmeta" where none is given.
    """

    def __init__(self, level: int = logging.DEBUG, logger: logging.Logger = _LOGGER) -> None:
        self._level, self._logger = level, logger

    def build_begin(self, event: Event, /) -> None:
        needed = "" if event.parent is None else f" for {event.parent}"
        self._log("build_begin", event, f"building {event.key}{needed}")

    def build_end(self, event: Event, /) -> None:
        self._log("build_end", event, f"built {event.key}{_after(event)}")

    def build_failed(self, event: Event, /) -> None:
        self._log("build_failed", event, f"failed to build {event.key}{_after(event)}")

    def finalize_begin(self, event: Event, /) -> None:
        self._log("finalize_begin", event, f"finalizing {event.key}")

    def finalize_end(self, event: Event, /) -> None:
        self._log("finalize_end", event, f"finalized {event.key}{_after(event)}")

    def finalize_failed(self, event: Event, /) -> None:
        self._log("finalize_failed", event, f"failed to finalize {event.key}{_after(event)}")

    def scope_opened(self, event: Event, /) -> None:
        self._log("scope_opened", event, f"opened a {event.key} scope")

    def scope_closed(self, event: Event, /) -> None:
        self._log("scope_closed", event, f"closed a {event.key} scope{_after(event)}")

    def container_opened(self, event: Event, /) -> None:
        self._log("container_opened", event, f"opened the container of {event.key}")

    def container_closed(self, event: Event, /) -> None:
        self._log("container_closed", event, f"closed the container of {event.key}{_after(event)}")

    def override_begin(self, event: Event, /) -> None:
        self._log("override_begin", event, f"overriding {event.key}")

    def override_end(self, event: Event, /) -> None:
        self._log("override_end", event, f"no longer overriding {event.key}{_after(event)}")

    def _log(self, word: str, event: Event, text: str) -> None:
        if not self._logger.isEnabledFor(self._level):
            return
        facts = {f"asyncmeta_{name}": fact for name, fact in event._asdict().items()}
        self._logger.log(self._level, "%s", text, extra={"asyncmeta_event": word, **facts})


def _after(event: Event) -> str:
    return "" if event.seconds is None else f" after {event.seconds:.3f} s"
