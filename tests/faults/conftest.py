"""No test of this folder may hang: a thread that is blocked is given up after a while."""

from guarantees.conftest import given_up

__all__ = ["given_up"]
