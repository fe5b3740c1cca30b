"""What does `await service.db` cost?"""

from . import floor, ours
from .cached import SHARED
from .measure import contest
from .work import Request

SCENARIOS = (
    contest(
        "attribute",
        "attribute, cached",
        "What does `await service.db` cost over `await service.db()`, once the value is cached?",
        Request,
        floor.attribute,
        ours.attribute,
        expected=SHARED,
        limit=1.6,
    ),
    contest(
        "first-attribute",
        "attribute, first await",
        "And the first time on a fresh scoped service?",
        Request,
        floor.first_attribute,
        ours.first_attribute,
        expected=SHARED,
    ),
)
