"""What happened while starting, and what does a check find?"""

from __future__ import annotations

import json
from collections.abc import Sequence

__all__ = ["CheckReport", "StartReport", "Timing"]


class Timing:
    """How long one value took to come to be."""

    __slots__ = ("finished", "key", "needs", "ran", "waited")

    def __init__(self, key: str, waited: float, ran: float, finished: float, needs: tuple[str, ...]) -> None:
        self.key = key  #: by name
        self.waited = waited  #: seconds from the call of start() until its factory began
        self.ran = ran  #: seconds that its factory took
        self.finished = finished  #: seconds from the call of start() until it was there
        self.needs = needs  #: what it waited for, by name

    def __repr__(self) -> str:
        return f"Timing({self.key}, waited={self.waited:.4f}, ran={self.ran:.4f}, finished={self.finished:.4f})"


class StartReport:
    """
    What one call of ``start()`` built, and where the time went.  Values never appear, only names and seconds.
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
        """The chain that decided the end: the value that came last, the one it waited for last, and so on; in order."""
        by_key = {timing.key: timing for timing in self._builds}
        path: list[Timing] = []
        here = max(self._builds, key=lambda timing: timing.finished, default=None)
        while here is not None and here not in path:
            path.append(here)
            waited_for = [by_key[need] for need in here.needs if need in by_key]
            here = max(waited_for, key=lambda timing: timing.finished, default=None)
        path.reverse()
        return tuple(path)

    def to_json(self) -> str:
        """Return the report as JSON; all times in seconds."""
        critical = {timing.key for timing in self.critical_path}
        return json.dumps(
            {
                "seconds": self._seconds,
                "builds": [
                    {
                        "key": timing.key,
                        "waited": timing.waited,
                        "ran": timing.ran,
                        "finished": timing.finished,
                        "needs": list(timing.needs),
                        "critical": timing.key in critical,
                    }
                    for timing in self._builds
                ],
            }
        )

    def __str__(self) -> str:
        ran = sum(timing.ran for timing in self._builds)
        count = len(self._builds)
        lines = [f"started {count} {'value' if count == 1 else 'values'} in {self._seconds:.3f} s; one after another: {ran:.3f} s"]
        critical = set(self.critical_path)
        width = max((len(timing.key) for timing in self._builds), default=0)
        lines += [
            f"  {timing.key:<{width}}  waited {timing.waited:7.3f} s  ran {timing.ran:7.3f} s{'  *' if timing in critical else ''}"
            for timing in self._builds
        ]
        if critical:
            lines.append("  * the path that decided how long it took")
        return "\n".join(lines)


class CheckReport:
    """What a check without problems still has to say."""

    __slots__ = ("_facts",)

    def __init__(self, replaced: Sequence[str], unused: Sequence[str], outdated: Sequence[str], unreached: Sequence[str]) -> None:
        self._facts = (tuple(replaced), tuple(unused), tuple(outdated), tuple(unreached))

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
        """on_startup and on_shutdown methods that a class before them in the MRO never calls."""
        return self._facts[3]

    def __str__(self) -> str:
        titles = ("replaced", "unused", "outdated", "never reached")
        lines = [f"{title}: {', '.join(facts)}" for title, facts in zip(titles, self._facts, strict=True) if facts]
        return "\n".join(lines) or "nothing to report"

    def __repr__(self) -> str:
        return f"<CheckReport: {self}>"
