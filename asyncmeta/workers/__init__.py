"""
What worker processes share: a container for each, opened from what can be imported, for functions that run in a scope.

An engine sends names and arguments from process to process, never containers: each process opens its own.
"""

from __future__ import annotations

from .container import WorkerContainer
from .runs import in_thread
from .sources import Source, check, container_of

__all__ = ["Source", "WorkerContainer", "check", "container_of", "in_thread"]
