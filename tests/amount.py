"""How much is tried: a part while working, all in the whole check, many times as much where somebody hunts."""

import os

#: ``ASYNCMETA_FUZZ=10``: ten times all there is.
FUZZ = max(1, int(os.environ.get("ASYNCMETA_FUZZ", "1")))

#: ``ASYNCMETA_EXAMPLES=all``: what `.ci/run` says.
WHOLE = FUZZ > 1 or os.environ.get("ASYNCMETA_EXAMPLES") == "all"


def of(whole, working):
    """Return how many there shall be: *whole* in the whole check, *working* while one works."""
    return whole * FUZZ if WHOLE else working
