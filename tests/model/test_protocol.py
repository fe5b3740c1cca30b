"""Every state that the model of the protocol can reach is a right one, and each mistake would be found."""

import amount
import pytest

from .protocol import MISTAKES, Found, beginning, search

SIZES = [(1, 1, 1), (2, 1, 1), (2, 2, 1)]
if amount.FUZZ > 1:
    SIZES += [(3, 1, 1), (2, 2, 2)]


@pytest.mark.parametrize(("callers", "closers", "kills"), SIZES)
def test_all_interleavings_are_right(callers, closers, kills):
    """
    Built once, closed once and after its users, and nobody waits for ever, whatever is cancelled when.
    """
    states, moves = search(beginning(callers, closers, kills))

    assert states > 300
    assert moves > states


@pytest.mark.parametrize("mistake", MISTAKES)
def test_each_mistake_is_found(mistake):
    """
    A protocol with a mistake in it has a state that must not be: so the search looks where it matters.
    """
    with pytest.raises(Found) as found:
        search(beginning(2, 1, 1), mistake)

    assert found.value.way
