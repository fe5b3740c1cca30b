"""The one lock: whoever claims, settles, or takes in what was registered, holds it."""

from __future__ import annotations

from typing import Final

from ._compat import keep_seat, reentrant_lock

__all__ = ["LOCK"]

#: Guards every claim and every settling.  Re-entrant, because the garbage collector may call in.
LOCK: Final = reentrant_lock()

keep_seat(__name__)
