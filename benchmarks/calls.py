"""What does it cost to call a function whose parameters are filled?"""

from . import floor, ours
from .measure import contest
from .work import Call

SEVEN = {"made": {"Basket": 7, "Config": 1, "Pool": 1}, "pools": 1, "values": 3}

SCENARIOS = (
    contest(
        "call",
        "call, container.inject",
        "What does a call cost that is given two singletons and a scoped value, over passing them by hand?",
        Call,
        floor.call,
        ours.call,
        expected=SEVEN,
        limit=1.6,
    ),
    contest(
        "ambient-call",
        "call, @injected",
        "And by the decorator, which finds the container around it?",
        Call,
        floor.call,
        ours.ambient_call,
        expected=SEVEN,
    ),
)
