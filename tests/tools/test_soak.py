"""The long run that looks for what stays, hangs or grows: a short one finds nothing, and what there is to find is found."""

import asyncio
from collections import Counter

import amount
import pytest

from benchmarks import soak


@pytest.mark.slow
def test_short_run_finds_nothing_open_and_nothing_grown(capsys):
    """
    A second of everything, or two: what was built is closed, nobody waited long, and all kinds of things have happened.
    """
    assert soak.main(["--seconds", str(amount.of(2, working=1)), "--seed", "5"]) == 0

    lines = capsys.readouterr().out.splitlines()[1:]
    told = {name.strip(): number for number, name in (line.strip().split("  ", 1) for line in lines)}
    assert told["open at the end"] == told["tasks more"] == "0"
    assert told["builds"] == told["closes"] != "0"
    assert {"operations that were cancelled", "factories that failed", "overrides for everybody", "registrations anew"} <= set(told)


def report(**facts):
    return soak.Report(1, Counter(builds=1, **facts.pop("counted", {})), facts.pop("wrong", []), **facts)


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"open": ["pool", "session", "session"]}, "open at the end: pool x 1, session x 2"),
        ({"memory": [1, 2, 3, 3, 900_000]}, "memory grew by 899,998 bytes since it was warm"),
        ({"tasks": [1, 1, 2]}, "tasks: 2 at the end, 1 after the first life"),
        ({"slowest": 10.1}, "somebody waited for 10.1 s"),
        ({"wrong": ["x"], "counted": {"wrong": 3}}, "x"),
    ],
    ids=["open", "memory", "tasks", "slow", "wrong"],
)
def test_what_must_not_be_is_a_problem(facts, said):
    """
    Each kind of trouble is named, and alone is enough for a failure.
    """
    assert report(**facts).problems()[0] == said


def test_what_comes_and_goes_is_none():
    """
    Memory that the first lives have taken, and what is freed again, is no growth.
    """
    assert report(memory=[1, 900_000, 900_100, 800_000, 900_200], tasks=[1, 1], slowest=0.2).problems() == []


def test_whatever_is_done_wrong_is_blamed():
    """
    What is closed twice, or before what stands on it, a cancellation that is swallowed and an error that nobody meant.
    """
    run = soak.Soak(1, 1)
    world = run.world
    pool = soak.Pool("pool")
    world.made(pool)
    session = soak.Session("session", pool)
    world.made(session)
    world.closed(pool)
    world.closed(session)
    world.closed(session)

    async def judge(work, cancelled):
        task = asyncio.ensure_future(work)
        await asyncio.wait([task])
        run.judge("it", task, cancelled)

    async def fail():
        raise KeyError("x")

    asyncio.run(judge(asyncio.sleep(0), True))
    asyncio.run(judge(fail(), False))

    assert [text.splitlines()[0].split(":")[0] for text in world.wrong] == [
        "pool is closed before session, which stands on it",
        "session is closed, and was not open",
        "pool is closed before session, which stands on it",
        "it was cancelled, and went on as if nothing had happened",
        "it ended so",
    ]
