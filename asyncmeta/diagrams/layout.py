"""
Where does each node of a drawing stand?  In columns, users left of what they use.

The usual four steps of a layered drawing, each linear or nearly so: lines that close a circle are turned round, nodes
are given columns of bounded height, each column is put in an order with few crossings, and heights are evened out.  A
line that passes other columns goes through a lane in each; all lines to one node share its lanes, so that what
everybody uses gets one trunk and not a hundred threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["Drawing", "lay_out"]

WIDTH, HEIGHT = 190.0, 36.0  #: of a node
GAP, LANE = 14.0, 3.0  #: between nodes; of a lane
BETWEEN = 90.0  #: columns
MARGIN = 24.0


class Drawing(NamedTuple):
    """Where everything stands, in pixels."""

    width: float
    height: float
    places: list[tuple[float, float]]  #: upper left corner of each node
    lines: list[list[tuple[float, float]]]  #: for each edge the points that it goes through, from user to used


def lay_out(count: int, edges: Sequence[tuple[int, int, bool]]) -> Drawing:
    """
    Return a drawing of nodes 0 to *count* - 1.

    Args:
        edges: User, used, and whether the edge is late: such a one is rather turned round than another.
    """
    forward = _without_circles(count, edges)
    columns = _columns(count, forward)
    members, lanes, links = _with_lanes(count, forward, columns)
    _order(members, links)
    heights = [HEIGHT if one < count else LANE for one in range(len(links[0]))]
    middles = _heights(members, links, heights, count)
    top = min((middle - heights[one] / 2 for one, middle in enumerate(middles)), default=0.0)
    bottom = max((middle + heights[one] / 2 for one, middle in enumerate(middles)), default=0.0)
    lefts = [0.0] * len(middles)
    for number, column in enumerate(members):
        for one in column:
            lefts[one] = MARGIN + number * (WIDTH + BETWEEN)
    middles = [middle - top + MARGIN for middle in middles]
    places = [(lefts[one], middles[one] - HEIGHT / 2) for one in range(count)]
    lines = [_points(user, used, columns, lanes, lefts, middles) for user, used, _ in edges]
    width = 2 * MARGIN + max(0, len(members) * (WIDTH + BETWEEN) - BETWEEN)
    return Drawing(width, bottom - top + 2 * MARGIN, places, lines)


def _without_circles(count: int, edges: Sequence[tuple[int, int, bool]]) -> list[tuple[int, int]]:
    """Return *edges* with those turned round that close a circle; loops and repetitions are left out."""
    outgoing: list[list[int]] = [[] for _ in range(count)]
    # Late edges are walked last, so that more often than not it is one of them that closes a circle.
    for user, used, _ in sorted(edges, key=lambda edge: edge[2]):
        if user != used:
            outgoing[user].append(used)
    state = [0] * count  # 1 while open, 2 when done
    turned: dict[tuple[int, int], None] = {}
    for start in _starts(count, outgoing):
        if state[start]:
            continue
        state[start] = 1
        stack = [(start, iter(outgoing[start]))]
        while stack:
            user, following = stack[-1]
            for used in following:
                if state[used] == 1:
                    turned[used, user] = None
                    continue
                turned[user, used] = None
                if not state[used]:
                    state[used] = 1
                    stack.append((used, iter(outgoing[used])))
                    break
            else:
                state[user] = 2
                stack.pop()
    return list(turned)


def _starts(count: int, outgoing: Sequence[Sequence[int]]) -> list[int]:
    """Return all nodes, those that nothing uses first."""
    used = {one for following in outgoing for one in following}
    return [one for one in range(count) if one not in used] + [one for one in range(count) if one in used]


def _columns(count: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    """Return the column of each node: right of all its users, in a column with room."""
    most = max(8, round(1.6 * count**0.5))  # about as high as a screen is wide
    users: list[int] = [0] * count
    outgoing: list[list[int]] = [[] for _ in range(count)]
    for user, used in edges:
        outgoing[user].append(used)
        users[used] += 1
    columns = [0] * count
    ready = [one for one in range(count) if not users[one]]
    order: list[int] = []
    for one in ready:  # grows as it is read
        order.append(one)
        for used in outgoing[one]:
            users[used] -= 1
            if not users[used]:
                ready.append(used)
    # How far it is to the end: what has most behind it is placed first.
    behind = [0] * count
    for one in reversed(order):
        behind[one] = max((behind[used] + 1 for used in outgoing[one]), default=0)
    waiting = [0] * count
    for _, used in edges:
        waiting[used] += 1
    level = sorted((one for one in range(count) if not waiting[one]), key=lambda one: -behind[one])
    taken: dict[int, int] = {}
    full = 0  # all columns before this one are full
    while level:
        following: list[int] = []
        for one in level:
            column = max(columns[one], full)
            while taken.get(column, 0) >= most:
                column += 1
            columns[one] = column
            taken[column] = taken.get(column, 0) + 1
            while taken.get(full, 0) >= most:
                full += 1
            for used in outgoing[one]:
                columns[used] = max(columns[used], column + 1)
                waiting[used] -= 1
                if not waiting[used]:
                    following.append(used)
        level = sorted(following, key=lambda one: -behind[one])
    return columns


Links = tuple[list[list[int]], list[list[int]]]  #: of each node and lane: its neighbours to the left, and to the right


def _with_lanes(
    count: int, edges: Sequence[tuple[int, int]], columns: Sequence[int]
) -> tuple[list[list[int]], dict[tuple[int, int], int], Links]:
    """Return the members of each column, the lanes by (used, column), and who is linked with whom."""
    members: list[list[int]] = [[] for _ in range(max(columns, default=-1) + 1)]
    for one in range(count):
        members[columns[one]].append(one)
    lanes: dict[tuple[int, int], int] = {}
    left: list[list[int]] = [[] for _ in range(count)]
    right: list[list[int]] = [[] for _ in range(count)]
    for user, used in edges:
        here = user
        for column in range(columns[user] + 1, columns[used]):
            lane = lanes.get((used, column))
            joins = lane is not None
            if lane is None:
                lane = lanes[used, column] = len(left)
                left.append([])
                right.append([])
                members[column].append(lane)
            right[here].append(lane)
            left[lane].append(here)
            here = lane
            if joins:  # the rest of the way is there
                break
        else:
            right[here].append(used)
            left[used].append(here)
    return members, lanes, (left, right)


def _order(members: list[list[int]], links: Links) -> None:
    """Put each column in an order in which neighbours stand near each other."""
    left, right = links
    position = [0.0] * len(left)
    for column in members:
        for number, one in enumerate(column):
            position[one] = number
    for turn in range(8):
        beside, way = (left, members) if turn % 2 == 0 else (right, members[::-1])
        for column in way:
            weights = {
                one: sum(position[other] for other in beside[one]) / len(beside[one]) if beside[one] else position[one]
                for one in column
            }  # fmt: skip
            column.sort(key=weights.__getitem__)
            for number, one in enumerate(column):
                # Relative, so that columns of different lengths can be compared.
                position[one] = (number + 0.5) / len(column)


def _heights(members: list[list[int]], links: Links, heights: Sequence[float], count: int) -> list[float]:
    """Return the middle of each node and lane: near its neighbours, the order kept, nothing over another."""
    left, right = links
    middles = [0.0] * len(heights)
    for column in members:
        at = 0.0
        for one in column:
            middles[one] = at + heights[one] / 2
            at += heights[one] + (GAP if one < count else 0.0)
        for one in column:
            middles[one] -= at / 2
    for turn in range(8):
        for column in members if turn % 2 == 0 else members[::-1]:
            wished = [
                sum(middles[other] for other in (*left[one], *right[one])) / (len(left[one]) + len(right[one]))
                if left[one] or right[one]
                else middles[one]
                for one in column
            ]  # fmt: skip
            for one, middle in zip(column, _apart(column, wished, heights, count), strict=True):
                middles[one] = middle
    return middles


def _apart(column: Sequence[int], wished: Sequence[float], heights: Sequence[float], count: int) -> list[float]:
    """Return heights as near as can be to the wished ones: what collides moves together, as a block, to its mean."""
    offsets: list[float] = []  # of each member from where a column without gaps would put it
    at = 0.0
    for one in column:
        offsets.append(at + heights[one] / 2)
        at += heights[one] + (GAP if one < count else LANE / 2)
    blocks: list[tuple[float, int]] = []  # sum of the wishes of a block's start, and its size
    for number in range(len(column)):
        block = (wished[number] - offsets[number], 1)
        while blocks and blocks[-1][0] / blocks[-1][1] >= block[0] / block[1]:
            before = blocks.pop()
            block = (before[0] + block[0], before[1] + block[1])
        blocks.append(block)
    found: list[float] = []
    for total, size in blocks:
        found += [total / size + offsets[len(found) + more] for more in range(size)]
    return found


def _points(
    user: int,
    used: int,
    columns: Sequence[int],
    lanes: dict[tuple[int, int], int],
    lefts: Sequence[float],
    middles: Sequence[float],
) -> list[tuple[float, float]]:
    """Return the points of an edge: out of the user, through the lanes, into the used."""
    here, there = columns[user], columns[used]
    if here < there:
        ways = [(lefts[user] + WIDTH, middles[user])]
        for column in range(here + 1, there):
            lane = lanes[used, column]
            ways += [(lefts[lane], middles[lane]), (lefts[lane] + WIDTH, middles[lane])]
        return [*ways, (lefts[used], middles[used])]
    if here > there:  # turned round: it runs against the columns, through the lanes of its user
        back = _points(used, user, columns, lanes, lefts, middles)
        return [(x, y + 6) for x, y in back[::-1]]  # beside the one that may run the other way
    # A loop: out of the node and into it again, above.
    x, y = lefts[user] + WIDTH, middles[user]
    return [(x, y - 6), (x + 18, y - 20), (x + 18, y + 20), (x, y + 6)]
