"""What can be had without awaiting, and by whom?"""

from __future__ import annotations

from ..._compat import get_running_loop
from ..._solve.plan import Plan
from ...errors import AsyncDependencyError, CircularDependencyError, WrongLoopError
from ..state.singletons import ScopeState
from ..state.slots import UNSET
from ..state.waiting import holdings

__all__ = ["check_nowait", "refuse_itself"]


def check_nowait(scope: ScopeState, plan: Plan) -> None:
    """
    Refuse what has to be awaited, or belongs to another thread, before anything of it is begun.

    Raises:
        AsyncDependencyError: Something that is not there has to be awaited.
        WrongLoopError: Something that is not there belongs to the thread of a living loop.
    """
    builds = bool(plan.unit.ops)
    for unit in (*plan.units, plan.unit):
        node = unit.node
        there = node is not None and scope._home(node)._values[node.slot] is not UNSET
        builds = builds or not (there or node is None)
        if unit.awaits and not (unit.threaded and get_running_loop() is None) and not there:
            awaited = unit.first_awaited
            if scope._by_threads:
                why, advice = "has to be awaited, and the scope was entered with a plain `with`", "Enter it with `async with`"
                raise AsyncDependencyError(awaited.name, (), str(awaited.place), why, advice)
            raise AsyncDependencyError(awaited.name, (), str(awaited.place))
    if builds and not scope._by_threads:
        loop, here = scope._singletons.origin.loop, get_running_loop()
        if loop is not None and loop is not here and loop.is_running():
            raise WrongLoopError(
                f"{scope._name} builds in the thread of its event loop only; in another thread open a scope of its own: "
                "with container.scope() as scope"
            )


def refuse_itself(scope: ScopeState, plan: Plan) -> None:
    """
    Refuse a factory that runs in place and asks for what it is just making: generated code marks only what awaits.

    Raises:
        CircularDependencyError: It does.
    """
    if scope._by_threads:
        return  # there every slot that is being built is marked
    held = holdings()
    for unit in plan.units if held else ():
        node = unit.node
        assert node is not None
        thing = (scope._home(node), node.slot)
        if thing in held and thing[0]._values[node.slot] is UNSET:
            inner = tuple(held.values())[list(held).index(thing) :]
            raise CircularDependencyError(node.name, (*inner, node.name), str(node.place))
