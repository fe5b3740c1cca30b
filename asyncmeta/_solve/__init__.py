"""What it means: pure, nothing here awaits, executes source or reads a clock."""

from .._compat import keep_seat

keep_seat(__name__)
