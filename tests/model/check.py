"""
Search the model of the protocol.

    cd tests && python -m model.check               every size that the tests take, and every mistake
    cd tests && python -m model.check 3 2 2         three callers, two closers, two tasks cancelled before their first step
"""

import sys
import time

from .protocol import MISTAKES, Found, beginning, search

SIZES = [(1, 1, 1), (2, 1, 1), (2, 2, 1), (3, 1, 1)]


def main(sizes):
    """Say how much was looked at, and what was found."""
    for size in sizes:
        begin = time.perf_counter()
        states, moves = search(beginning(*size))
        callers, closers, kills = size
        print(f"{callers} callers, {closers} closers, {kills} cancelled before their first step: ", end="")
        print(f"{states} states, {moves} moves, {time.perf_counter() - begin:.1f} s: all holds")
    for mistake in MISTAKES:
        try:
            search(beginning(2, 1, 1), mistake)
        except Found as found:
            print(f"where {mistake}: {found}")
        else:
            raise SystemExit(f"where {mistake}: nothing is found")


if __name__ == "__main__":
    main([tuple(map(int, sys.argv[1:4]))] if sys.argv[1:] else SIZES)
