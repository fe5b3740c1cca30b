"""The page about the inside is true: its map is what the folders hold, its walks are what really is called."""

import re
from collections import Counter

import pytest
from test_layers import FILES, FLOORS
from walks import PAGE, told, ways

#: What a walk speaks of; what lies below serves in all of them.
SPOKEN_OF = ("_run.", "_solve.", "_descriptor")
OFTEN = 3  #: entered so often in a walk, a room has to be named in it

TOLD = told()


def rooms_of_map():
    """Return the rooms that the map names, by floor, and for ``_run`` those of each wing."""
    found = {}
    sections = re.split(r"^``(\w+)``: [^\n]+\n~+$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    for floor, text in zip(sections[::2], sections[1::2], strict=True):
        text = text.partition("\nFive walks\n")[0]
        wing = floor
        for line in text.splitlines():
            if heading := re.match(r"``(\w+)``: ", line):
                wing = f"{floor}.{heading[1]}"
                found[wing] = []
            elif room := re.match(r"    - ``(\w+)``: .+[.]$", line):
                found.setdefault(wing, []).append(room[1])
    return found


def named_in_order(names, entered):
    """Return the first of *names* that is not entered after the ones before it, or None."""
    left = iter(entered)
    return next((name for name in names if name not in left), None)


@pytest.fixture(scope="module")
def gone():
    """The walks, as they are gone."""
    return ways()


def test_the_map_names_every_room():
    """
    Each module of the three floors stands on the map once, in its wing, and nothing else does.
    """
    there = {}
    for module in FILES:
        *wing, room = module.split(".")
        if wing and wing[0] in ("_declare", "_solve", "_run") and FILES[module].name != "__init__.py":
            there.setdefault(".".join(wing), []).append(room)

    assert {wing: sorted(rooms) for wing, rooms in rooms_of_map().items()} == {wing: sorted(rooms) for wing, rooms in there.items()}


def test_the_map_has_the_wings_in_their_order():
    """
    The wings of the run floor stand on the map as imports allow, the lowest first.
    """
    wings = [wing for wing in rooms_of_map() if wing.startswith("_run.")]

    assert wings == [room for floor in FLOORS for room in floor if room.startswith("_run.")]


def test_the_page_tells_the_walks_that_the_program_takes(gone):
    """
    There are five walks, and each has its section, in the program's order.
    """
    assert list(TOLD) == list(gone)
    assert len(TOLD) == 5


@pytest.mark.parametrize("walk", TOLD)
def test_a_walk_is_told_in_the_order_in_which_it_is_gone(walk, gone):
    """
    The functions that a walk names are entered one after the other, as the page has them.
    """
    assert named_in_order(TOLD[walk], map(str, gone[walk])) is None


@pytest.mark.parametrize("walk", TOLD)
def test_a_walk_leaves_out_no_room_that_is_entered_often(walk, gone):
    """
    Of every room of the upper floors that is entered again and again on the way, a function is named.
    """
    entered = Counter(entry.room for entry in gone[walk] if entry.room.startswith(SPOKEN_OF))
    named = {entry.room for entry in gone[walk] if str(entry) in TOLD[walk]}

    assert {room for room, times in entered.items() if times >= OFTEN} - named == set()


def test_a_cached_get_enters_nothing_else(gone):
    """
    The shortest walk is told whole.
    """
    assert [str(entry) for entry in gone["cached get"]] == TOLD["cached get"]


def test_what_is_told_in_another_order_is_seen():
    """
    The comparison fails for a function that is not entered, and for two in the wrong order.
    """
    assert named_in_order(["a", "c"], "abc") is None
    assert named_in_order(["a", "x"], "abc") == "x"
    assert named_in_order(["c", "a"], "abc") == "a"
