"""What does it cost to await a singleton that is already there?"""

from . import floor, ours
from .measure import contest
from .work import Request

SHARED = {
    "made": {"Pool": 1},
    "closed": [],
    "repositories share": True,
    "requests do not share": True,
    "pools": 0,
    "configs": 0,
    "values": 1,
}

SCENARIOS = (
    contest(
        "get",
        "cached singleton, get",
        "What does `await container.get(Pool)` cost over awaiting a function that returns it?",
        Request,
        floor.cached,
        ours.cached,
        expected=SHARED,
        limit=1.5,
    ),
    contest(
        "getter",
        "cached singleton, getter",
        "And through a getter that was made before?",
        Request,
        floor.cached,
        ours.getter,
        expected=SHARED,
        limit=1.1,
    ),
)
