"""Does what was declared fit together, and what is worth knowing where it does?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..._solve.checks import grouped
from ..._solve.nodes import Node
from ..._solve.whole import findings
from ...report import CheckReport
from ..scope.injection import check_askers
from .state import ContainerState

__all__ = ["check"]


def check(container: ContainerState, functions: Sequence[Callable[..., Any]]) -> CheckReport:
    """Check everything, or what *functions* ask for; see `Container.check`."""
    asked: set[Node] = set()
    if functions:
        errors, asked = check_askers(functions, container._root_table.active() or container)
        if errors:
            raise grouped(container._graph, errors)
    else:
        container._check()
    return CheckReport(*findings(container._graph, container._singletons.built, asked))
