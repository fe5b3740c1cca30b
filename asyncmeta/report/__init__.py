"""What happened while starting, what does a check find, and how well are the values?"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Sequence
from typing import Any

from .page import printable, start_page

__all__ = ["CheckReport", "Health", "HealthReport", "StartReport", "Timing"]


class Timing:
    """How long one value took to come to be."""

    __slots__ = ("_holds", "finished", "key", "needs", "ran", "waited")

    def __init__(
        self,
        key: str,
        waited: float,
        ran: float,
        finished: float,
        needs: tuple[str, ...],
        holds: Sequence[tuple[float, float]] = (),
    ) -> None:
        self.key = key  #: by name
        self.waited = waited  #: seconds from the call of start() until its factory began
        self.ran = ran  #: seconds that its factory took, without those in which a synchronous one held the event loop
        self.finished = finished  #: seconds from the call of start() until it was there
        self.needs = needs  #: what it waited for, by name
        self._holds = tuple(holds)

    @property
    def held(self) -> float:
        """Seconds in which its factory, a synchronous one, held the event loop, so that nothing else went on."""
        return math.fsum(end - begin for begin, end in self._holds)

    def __repr__(self) -> str:
        return f"Timing({self.key}, waited={self.waited:.4f}, ran={self.ran:.4f}, finished={self.finished:.4f})"


class StartReport:
    """
    What one call of ``start()`` built, and where the time went.  Values never appear, only names and seconds.

    ``str()`` draws a waterfall as wide as the terminal; `to_text` lets the caller choose the width.
    """

    __slots__ = ("_builds", "_seconds")

    def __init__(self, builds: Sequence[Timing], seconds: float) -> None:
        self._builds = tuple(builds)
        self._seconds = seconds

    @property
    def builds(self) -> tuple[Timing, ...]:
        """What this call built, in order of completion; what was there already is not in it."""
        return self._builds

    @property
    def seconds(self) -> float:
        """From the call to its end."""
        return self._seconds

    @property
    def critical_path(self) -> tuple[Timing, ...]:
        """
        The chain that decided the end, in order: the value that came last, what that waited for last, and so on.

        A value waits for what it needs, and for a synchronous factory that holds the event loop.
        """
        by_key: dict[str, list[Timing]] = {}
        for timing in self._builds:
            by_key.setdefault(timing.key, []).append(timing)
        path: list[Timing] = []
        seen: set[int] = set()
        here = max(self._builds, key=lambda timing: timing.finished, default=None)
        until = 0.0 if here is None else here.finished  #: what came later did not matter
        waited_while_held = False  #: *here* is who held the event loop while the last of the path waited
        while here is not None:
            seen.add(id(here))
            # Several values may go by one name (multi, views): the one meant was there before its user.
            waited_for = [
                one
                for need in here.needs
                for one in by_key.get(need, ())
                if id(one) not in seen and one.finished <= here.finished
            ]  # fmt: skip
            need = max(waited_for, key=lambda timing: timing.finished, default=None)
            ready = 0.0 if need is None else need.finished
            hold = self._hold_before(here, ready, until, seen)
            if hold is None:
                path.append(here)
                here, until, waited_while_held = need, ready, False
            else:
                holder, begin, end = hold
                # What would have been there already without the hold has decided nothing.
                if waited_while_held or until - max(end, here.waited) >= self._notable:
                    path.append(here)
                here, until, waited_while_held = holder, begin, True
        path.reverse()
        return tuple(path)

    @property
    def _notable(self) -> float:
        """Seconds from which on a hold of the event loop is worth a word: every synchronous factory holds it a little."""
        return max(0.001, 0.05 * self._seconds)

    def _hold_before(self, here: Timing, ready: float, until: float, seen: set[int]) -> tuple[Timing, float, float] | None:
        """Return the last notable hold of the event loop that delayed *here* between *ready* and *until*, and whose it is."""
        # While it was held, what *here* waited for may have gone on elsewhere: only where that was the smaller part
        # of the time, the hold was what it waited for.
        interrupted = here.finished - here.waited >= 2 * here.ran
        found = [
            (end, begin, number)
            for number, one in enumerate(self._builds)
            if id(one) not in seen
            for begin, end in one._holds
            if min(end, until) - max(begin, ready) >= self._notable and (interrupted or end <= here.waited)
        ]
        if not found:
            return None
        end, begin, number = max(found)
        return self._builds[number], begin, end

    @property
    def holding(self) -> tuple[Timing, ...]:
        """Synchronous factories that held the event loop while others waited: what ``in_thread=True`` is for."""
        there: dict[str, list[float]] = {}
        for one in self._builds:
            there.setdefault(one.key, []).append(one.finished)
        #: when each had what it needs, and when it was there
        spans = [
            (max((end for need in one.needs for end in there.get(need, ()) if end <= one.waited), default=0.0), one.finished)
            for one in self._builds
        ]

        def delayed_others(number: int, begin: float, end: float) -> bool:
            return any(
                min(end, finished) - max(begin, ready) >= self._notable
                for other, (ready, finished) in enumerate(spans)
                if other != number
            )

        return tuple(
            one
            for number, one in enumerate(self._builds)
            if any(end - begin >= self._notable and delayed_others(number, begin, end) for begin, end in one._holds)
        )

    def _begun(self) -> list[Timing]:
        """Return the builds in the order in which they began: that of a waterfall."""
        return sorted(self._builds, key=lambda timing: (timing.waited, timing.finished))

    def to_json(self) -> str:
        """Return the report as JSON; all times in seconds."""
        critical = {id(timing) for timing in self.critical_path}
        import json  # two milliseconds that only a report is worth

        return json.dumps(
            {
                "seconds": self._seconds,
                "sum": math.fsum(timing.ran for timing in self._builds),
                "builds": [
                    {
                        "key": timing.key,
                        "waited": timing.waited,
                        "ran": timing.ran,
                        "finished": timing.finished,
                        "needs": list(timing.needs),
                        "critical": id(timing) in critical,
                        "held": timing.held,
                    }
                    for timing in self._builds
                ],
            }
        )

    def to_mermaid(self) -> str:
        """Return the report as a Mermaid gantt chart, which many places that show Markdown draw; its axis is in seconds."""
        critical = {id(timing) for timing in self.critical_path}
        title = self._summary().replace(";", ",")  # older versions end the statement there
        lines = ["gantt", f"    title {title}", "    dateFormat x", "    axisFormat %S.%L"]
        for number, timing in enumerate(self._begun()):
            begin = round(1000 * timing.waited)
            end = max(begin + 1, round(1000 * timing.finished))  # a bar of no width is drawn nowhere
            mark = "crit, " if id(timing) in critical else ""
            lines.append(f"    {_for_gantt(timing.key)} :{mark}b{number}, {begin}, {end}")
        return "\n".join(lines) + "\n"

    def to_html(self) -> str:
        """Return one self-contained page: bars, the critical path marked, details under the pointer; it loads nothing."""
        return start_page(self._begun(), self.critical_path, self._seconds, self.holding)

    def to_text(self, width: int | None = None, *, ascii: bool | None = None) -> str:
        """
        Return the waterfall as text.

        Args:
            width: Columns, at least 40; None asks the terminal.
            ascii: Draw with ASCII alone; None asks the standard output what it can show.
        """
        if ascii is None:
            ascii = not _can_show("█▒", sys.stdout)
        width = max(40, _terminal_width() if width is None else width)
        full, half, held = ("#", "=", ".") if ascii else ("█", "▒", "░")
        critical = {id(timing) for timing in self.critical_path}
        keys = {id(timing): _shown(timing.key, ascii) for timing in self._builds}
        names = min(max(map(len, keys.values()), default=0), width // 3)
        columns = width - names - 17  # two blanks before the name and two after, seconds, the mark
        whole = max([self._seconds, *(timing.finished for timing in self._builds)]) or 1.0
        lines = [self._summary()]
        for timing in self._begun():
            decisive = id(timing) in critical
            begin = min(columns - 1, int(columns * timing.waited / whole))
            end = min(columns, max(begin + 1, round(columns * timing.finished / whole)))
            bar = list(" " * begin + (full if decisive else half) * (end - begin))
            for hold in self._foreign(timing):
                first, last = (round(columns * moment / whole) for moment in hold)
                bar[max(begin, first) : min(end, last)] = held * (min(end, last) - max(begin, first))
            drawn = "".join(bar)
            line = f"  {_cut(keys[id(timing)], names):<{names}}  {drawn:<{columns}} {timing.ran:8.3f} s{' *' if decisive else ''}"
            lines.append(line)
        if critical:
            lines.append("  * the path that decided how long it took")
        lines += [f"  ! {_held(timing, ascii)}" for timing in self.holding]
        return "\n".join(lines)

    def _foreign(self, timing: Timing) -> list[tuple[float, float]]:
        """Return when others held the event loop, as far as *timing* was being built and its own time does not count it."""
        if timing.finished - timing.waited <= timing.ran:
            return []
        holds = [hold for one in self._builds if one is not timing for hold in one._holds]
        return [(begin, end) for begin, end in holds if begin < timing.finished and end > timing.waited]

    def _summary(self) -> str:
        ran = math.fsum(timing.ran for timing in self._builds)
        count = len(self._builds)
        return f"started {count} {'value' if count == 1 else 'values'} in {self._seconds:.3f} s; one after another: {ran:.3f} s"

    def __str__(self) -> str:
        return self.to_text()

    def __repr__(self) -> str:
        return f"<StartReport: {self._summary()}>"


def _terminal_width() -> int:
    columns = os.environ.get("COLUMNS", "")
    if columns.isdecimal() and int(columns):
        return int(columns)
    try:
        return os.get_terminal_size(sys.__stdout__.fileno()).columns or 80  # type: ignore[union-attr]  # None is caught
    except (AttributeError, ValueError, OSError):  # no standard output, or not a terminal
        return 80


def _can_show(text: str, stream: Any) -> bool:
    try:
        text.encode(getattr(stream, "encoding", None) or "ascii")
    except (UnicodeError, LookupError):
        return False
    return True


def _shown(text: str, ascii: bool) -> str:
    text = printable(text)
    return text.encode("ascii", "backslashreplace").decode("ascii") if ascii else text


def _held(timing: Timing, ascii: bool) -> str:
    return f"{_shown(timing.key, ascii)} held the event loop for {timing.held:.3f} s: in_thread=True runs it beside the others"


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."


#: What would end a task's name, or begin something else; Mermaid turns the numbers back into the characters.
_GANTT = {ord(one): f"#{ord(one)};" for one in "#;:,%<>&\"'`{}[]()\\"}


#: A name that begins like one of these would be read as a statement.
_GANTT_WORDS = (
    "acc", "axis", "click", "date", "excl", "gantt", "incl", "section", "tick", "title", "today", "topaxis", "week",
)  # fmt: skip


def _for_gantt(text: str) -> str:
    text = printable(text)
    first = f"#{ord(text[0])};" if text.lower().startswith(_GANTT_WORDS) else text[:1].translate(_GANTT)
    return first + text[1:].translate(_GANTT)


class Health:
    """How one value did when it was asked."""

    __slots__ = ("degraded", "error", "key", "seconds", "state")

    def __init__(
        self, key: str, state: str, seconds: float | None = None, error: str | None = None, degraded: Sequence[str] = ()
    ) -> None:
        if state not in ("ok", "failed", "timed out", "not started"):
            raise ValueError(f'the state of a probe is "ok", "failed", "timed out" or "not started", not {state!r}')
        self.key = key  #: by name
        self.state = state
        self.seconds = seconds  #: that the probe took; None where there was none
        self.error = error  #: what went wrong, without values; None where nothing did
        self.degraded = tuple(degraded)  #: the built values that need it, directly or through others, by name

    def __repr__(self) -> str:
        return f"Health({self.key}, {self.state!r})"


class HealthReport:
    """How the built values did when they were asked.  Names, seconds and errors; no values."""

    __slots__ = ("_entries",)

    def __init__(self, entries: Sequence[Health]) -> None:
        self._entries = tuple(entries)

    @property
    def entries(self) -> tuple[Health, ...]:
        """One for each value that says how to ask it."""
        return self._entries

    @property
    def ok(self) -> bool:
        """Whether nothing failed and nothing ran out of time; what is not started counts as neither."""
        return all(entry.state in ("ok", "not started") for entry in self._entries)

    @property
    def degraded(self) -> tuple[str, ...]:
        """What needs something that failed or ran out of time, by name."""
        bad = [entry for entry in self._entries if entry.state in ("failed", "timed out")]
        return tuple(dict.fromkeys(name for entry in bad for name in entry.degraded))

    def to_json(self) -> str:
        """Return the report as JSON; all times in seconds."""
        import json  # two milliseconds that only a report is worth

        return json.dumps(
            {
                "ok": self.ok,
                "entries": [
                    {
                        "key": entry.key,
                        "state": entry.state,
                        "seconds": entry.seconds,
                        "error": entry.error,
                        "degraded": list(entry.degraded),
                    }
                    for entry in self._entries
                ],
            }
        )

    def __str__(self) -> str:
        width = max((len(printable(entry.key)) for entry in self._entries), default=0)
        lines = ["well" if self.ok else "not well"]
        for entry in self._entries:
            line = f"  {printable(entry.key):<{width}}  {entry.state}"
            if entry.seconds is not None:
                line += f" after {entry.seconds:.3f} s"
            if entry.error is not None:
                line += f": {printable(entry.error)}"
            if entry.degraded and entry.state in ("failed", "timed out"):
                line += f"; degraded: {', '.join(map(printable, entry.degraded))}"
            lines.append(line)
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<HealthReport: {'ok' if self.ok else 'not ok'}, {len(self._entries)} probed>"


class CheckReport:
    """What a check without problems still has to say."""

    __slots__ = ("_facts",)

    def __init__(
        self,
        replaced: Sequence[str],
        unused: Sequence[str],
        outdated: Sequence[str],
        unreached: Sequence[str],
        factory_only: Sequence[str] = (),
        unread: Sequence[str] = (),
        skipped: Sequence[str] = (),
    ) -> None:
        self._facts = tuple(map(tuple, (replaced, unused, outdated, unreached, factory_only, unread, skipped)))

    @property
    def replaced(self) -> tuple[str, ...]:
        """Registrations that a higher layer shadows, with both places."""
        return self._facts[0]

    @property
    def unused(self) -> tuple[str, ...]:
        """What the application declares and nothing it declares asks for."""
        return self._facts[1]

    @property
    def outdated(self) -> tuple[str, ...]:
        """Keys whose built value comes from a registration that has been replaced since."""
        return self._facts[2]

    @property
    def unreached(self) -> tuple[str, ...]:
        """on_startup, on_shutdown and __init__ methods that no class before them in the MRO calls."""
        return self._facts[3]

    @property
    def factory_only(self) -> tuple[str, ...]:
        """What takes arguments that nothing provides, with their names: it can be had through a Factory only."""
        return self._facts[4]

    @property
    def unread(self) -> tuple[str, ...]:
        """Parameters that take their defaults because their annotations cannot be read, with the reason."""
        return self._facts[5]

    @property
    def skipped(self) -> tuple[str, ...]:
        """Generators with something behind the ``yield`` that a failure skips: no ``finally`` or ``with`` is around it."""
        return self._facts[6]

    def __str__(self) -> str:
        titles = (
            "replaced", "unused", "outdated", "never reached", "only through a Factory",
            "left to the default, its annotation cannot be read", "skipped by a failure, behind the yield",
        )  # fmt: skip
        lines = [f"{title}: {', '.join(facts)}" for title, facts in zip(titles, self._facts, strict=True) if facts]
        return "\n".join(lines) or "nothing to report"

    def __repr__(self) -> str:
        return f"<CheckReport: {self}>"
