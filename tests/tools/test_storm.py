"""The simulation of many workers that start at once keeps its own rules, and the page shows what it gives."""

from pathlib import Path

import pytest

from benchmarks.scale.storm import WAYS, Outcome, Simulation, Way, World, drawn, main, outcomes, table

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
@pytest.mark.parametrize("workers", [1, 50, 200])
def test_every_worker_is_ready_in_the_end(way, workers):
    """
    Whatever is refused is tried again; the backend never holds more than its limit, nor works quicker than it can.
    """
    world = World(connections=60)
    simulation = Simulation(world, way, workers)
    outcome = simulation.run()

    assert simulation.ready == workers
    assert simulation.in_use == simulation.busy == 0
    assert outcome.peak <= 60
    assert outcome.ready >= world.least(workers) - 1e-9


def test_alone_a_worker_takes_its_builds_one_after_another_or_side_by_side():
    """
    One worker, counted by hand: eight builds of 20 ms, on a backend that works for sixteen at once.
    """
    assert Simulation(World(), Way("side by side"), 1).run() == Outcome("side by side", 1, 0.02, 0, 0, 8)
    one_by_one = Simulation(World(), Way("one by one", concurrency=1), 1).run()
    assert (round(one_by_one.ready, 9), one_by_one.peak) == (0.16, 1)


def test_refused_worker_begins_anew_after_a_second():
    """
    Two workers and room for one and a half: the second is refused, comes back after a second, and finds room.
    """
    outcome = Simulation(World(connections=12), Way("all at once"), 2).run()

    assert outcome.refused == 1
    assert outcome.wasted == 4  # what the second had begun
    assert outcome.ready == pytest.approx(1.02)


def test_same_seed_gives_the_same():
    """
    What the page shows can be had again.
    """
    jitter = WAYS[2]

    assert Simulation(World(), jitter, 300, seed=7).run() == Simulation(World(), jitter, 300, seed=7).run()
    assert Simulation(World(), jitter, 300, seed=7).run() != Simulation(World(), jitter, 300, seed=8).run()


def test_program_prints_and_draws(tmp_path, capsys):
    """
    The table and the picture are of the same run.
    """
    assert main(["--sizes", "10", "100", "--plot", str(tmp_path / "storm.svg"), "--json", str(tmp_path / "storm.json")]) == 0

    found = list(outcomes([10, 100]))
    assert capsys.readouterr().out.rstrip() == table(found)
    assert (tmp_path / "storm.svg").read_text() == drawn(found)


@pytest.mark.slow
def test_picture_on_the_page_is_the_scripts():
    """
    Who changes the simulation draws it anew.
    """
    picture = ROOT / "docs" / "explanation" / "pictures" / "start-storm.svg"

    assert picture.read_text() == drawn(list(outcomes()))
