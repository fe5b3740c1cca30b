"""What does a whole request cost: a scope, a small graph with a generator in it, closing?"""

from . import floor, ours
from .measure import contest
from .work import Request

SEVEN = {
    "made": {"Config": 1, "Handler": 7, "Orders": 7, "Pool": 1, "Service": 7, "Session": 7, "Users": 7},
    "closed": [1] * 7,
    "repositories share": True,
    "requests do not share": True,
    "pools": 1,
    "configs": 1,
    "values": 3,
}

SCENARIOS = (
    contest(
        "request",
        "request, scope + get",
        "What does a scope and a `get` in it cost over the same written out?",
        Request,
        floor.request,
        ours.request,
        expected=SEVEN,
        limit=1.95,
    ),
    contest(
        "request-at-once",
        "request, container.request",
        "And with `container.request(Handler)`?",
        Request,
        floor.request,
        ours.request_at_once,
        expected=SEVEN,
        limit=1.45,
    ),
    contest(
        "request-function",
        "request, injected function",
        "And as a function that is given the handler, `container.inject(endpoint)`?",
        Request,
        floor.request,
        ours.request_function,
        expected=SEVEN,
        limit=1.2,
    ),
    contest(
        "request-own-task",
        "request, its generator in a task",
        "What does a request cost whose generator runs in a task of its own (`concurrent=True`), over one without?",
        Request,
        ours.request,
        ours.request_own_task,
        expected=SEVEN,
    ),
    contest(
        "request-asking-tasks",
        "request, asking for the task",
        "And what would it cost to look at every opening, and before every generator, which task this is?",
        Request,
        ours.request,
        ours.request_asking_tasks,
        expected=SEVEN,
    ),
)
