"""What does it cost to make many small objects that nobody keeps?"""

from . import floor, ours
from .measure import contest
from .work import Chain, Wide

DEEP = {"made": {f"Link{depth}": 7 for depth in range(20)}, "values": 3}
BROAD = {"made": {f"Leaf{number}": 7 for number in range(20)} | {"Top": 7}, "values": 3}

SCENARIOS = (
    contest(
        "chain",
        "transients, chain of 20",
        "What does a chain of twenty transients cost over one expression?",
        Chain,
        floor.chain,
        ours.chain,
        expected=DEEP,
        limit=1.2,
    ),
    contest(
        "wide",
        "transients, 20 side by side",
        "And twenty transients side by side under one?",
        Wide,
        floor.wide,
        ours.wide,
        expected=BROAD,
        limit=1.2,
    ),
)
