"""How is a unit carried out?  Call by call, without generated code."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING, Any

from ..._compat import get_running_loop
from ..._declare.home import HOME, home_kept
from ..._declare.lifetimes import CONTAINER_LEVEL
from ..._declare.makers import ASYNC, ASYNC_GENERATOR, GENERATOR, GIVEN, SYNC, VALUE
from ..._declare.registry import registry_of
from ..._lock import LOCK
from ..._names import arrow, is_a
from ..._solve.nodes import START, Node, keeps_nothing, place_of
from ..._solve.plan import CONST, HANDLE, MAKER, MANY, PERHAPS, TEMP, THE_CONTAINER, THE_SCOPE, VALUE_OF, Op, Plan, Ref, Unit
from ...errors import AsyncDependencyError, CircularDependencyError, DeclarationError, FactoryError, ScopeError
from ..state.context import GETTING
from ..state.frames import BUILDS
from ..state.parking import Outcome, leave, park, parked, traceback_of
from ..state.singletons import Push, ScopeState
from ..state.slots import FLIGHT, UNSET
from ..state.waiting import Wait, holdings
from ..teardown.finalizers import exit_nowait, misyields, never_yields, push_locked
from .attributes import put

if TYPE_CHECKING:
    from ..._solve.emit import Lines
    from ..state.singletons import Watcher

__all__ = [
    "absent", "argument", "bind", "carry_out", "claim", "function_of", "join", "noted", "run_plan", "settle", "special",
    "undo", "undone",
]  # fmt: skip


def function_of(node: Node) -> Any:
    """Return what is called to make *node*; a factory method's first argument is its service."""
    return node.maker.call


def bind(instance: object, scope: ScopeState) -> None:
    """Tell an instance which scope made it."""
    if not put(instance, HOME, scope):
        raise DeclarationError(keeps_nothing(type(instance)))


def binds(node: Node) -> bool:
    """Tell whether what *node* makes has to be told which scope made it."""
    cls = node.maker.cls
    return cls is not None and node.kind == SYNC and (bool(node.deferred) or registry_of(cls) is not None)


def adopts(node: Node) -> bool:
    """Tell whether *node* is a function that makes a service: what it makes belongs to the scope as if it were built there."""
    return node.maker.cls is None and node.maker.function is not None and registry_of(node.key) is not None


def adopt_made(made: object, scope: ScopeState) -> None:
    """Bind a service that a factory function made, where it belongs to nobody yet."""
    if registry_of(type(made)) is not None and home_kept(made) is None:
        bind(made, scope)


def bind_made(node: Node, made: object, scope: ScopeState) -> None:
    """Tell what *node* made which scope made it, where it wants to know."""
    if binds(node):
        bind(made, scope)
    elif adopts(node):
        adopt_made(made, scope)


def argument(ref: Ref, scope: ScopeState, temps: Sequence[Any]) -> Any:
    """Return the value of a reference."""
    how = ref.how
    node = ref.node
    if how is VALUE_OF and node is not None and node.level == CONTAINER_LEVEL:
        return scope._singletons.value(node)
    if how == TEMP:
        return temps[ref.what]
    if how == CONST:
        return ref.what
    if how == THE_SCOPE:
        return scope
    if how == THE_CONTAINER:
        return scope.container
    if how in (HANDLE, MAKER):
        from .handles import handle_for  # lazy import

        return handle_for(ref, scope)
    if how == MANY:
        members = [argument(inner, scope, temps) for inner in ref.refs]
        if ref.what is None:
            return members
        return tuple(members) if ref.what is tuple else dict(zip(ref.what, members, strict=True))
    assert node is not None
    value = scope._home(node)._values[node.slot]
    if how == PERHAPS and value is UNSET:
        return ref.what
    return value


async def carry_out(unit: Unit, scope: ScopeState, push: Push = push_locked) -> Any:
    """
    Make everything of *unit* for *scope* and return its value.  What it takes from elsewhere is built already.

    Args:
        push: Where finalizers go, as ``push(scope, finalizer)``.
    """
    temps: list[Any] = []
    watch = scope._singletons.watch
    builds = () if watch is None else watch.builds_of(unit)
    for op in unit.ops:
        node = op.node
        try:
            count = len(op.args) - len(op.names)
            args = [argument(ref, scope, temps) for ref in op.args[:count]]
            named = {name: argument(ref, scope, temps) for name, ref in zip(op.names, op.args[count:], strict=True)}
            if watch is None:
                temps.append(await perform(op, args, named, scope, push))
            else:
                temps.append(await perform_watched(watch, builds[len(temps)], op, args, named, scope, push))
        except Exception as error:
            noted(error, node, scope)
            raise
    return argument(unit.result, scope, temps)


def made_nowait(unit: Unit, scope: ScopeState, push: Push) -> Any:
    """Return a container value that needs no awaiting; the short way where its factory is called and that is all."""
    op = unit.ops[-1]
    node = op.node
    if unit.plain and scope._singletons.watch is None:  # nearly every one
        built = scope._singletons.built
        try:
            try:
                args = [built[other] for other in unit.shared]
            except KeyError:  # it lies below
                args = [scope._singletons.value(other) for other in unit.shared]
            return node.maker.call(*args)
        except Exception as error:
            noted(error, node, scope)
            raise
    if len(unit.ops) == 1 and node.kind is SYNC and not op.names and not op.special and scope._singletons.watch is None:
        try:
            value = function_of(node)(*[argument(ref, scope, ()) for ref in op.args])
        except Exception as error:
            noted(error, node, scope)
            raise
        bind_made(node, value, scope)
        return value
    work = carry_out(unit, scope, push)
    try:
        work.send(None)
    except StopIteration as stop:
        return stop.value
    work.close()
    raise AsyncDependencyError(node.name, (), str(node.place))


async def perform(op: Op, args: list[Any], named: dict[str, Any], scope: ScopeState, push: Push) -> Any:
    """Call one factory and return what it made; its finalizer is pushed first."""
    node = op.node
    kind = node.kind
    if op.special:
        return await special(node, function_of(node), args, named, scope, push)
    if kind == SYNC:
        value = function_of(node)(*args, **named)
        bind_made(node, value, scope)
        return value
    if kind == VALUE:
        return node.maker.call if node.maker.call is not GIVEN else scope._singletons.value(node)
    if kind == START:
        await args[0].on_startup()
        push(scope, args[0].on_shutdown)
        return args[0]
    made = function_of(node)(*args, **named)
    if kind == ASYNC:
        value = await made
        if adopts(node):
            adopt_made(value, scope)
        return value
    if kind == GENERATOR:
        try:
            value = next(made)
            push(scope, made)
        except StopIteration:
            raise FactoryError(never_yields(made)) from None
        except BaseException as error:
            if made.gi_suspended:  # an interrupt, before anybody else knew of it
                exit_nowait(made, error)
            raise
    else:
        assert kind == ASYNC_GENERATOR
        try:
            value = await made.__anext__()
        except StopAsyncIteration:
            raise FactoryError(never_yields(made)) from None
        push(scope, made)
    if adopts(node):
        adopt_made(value, scope)
    return value


async def special(node: Node, call: Any, args: list[Any], named: dict[str, Any], scope: ScopeState, push: Push) -> Any:
    """Call a factory that is no plain call: in a thread, within a time."""
    from .threads import carry_out_special  # lazy import

    value = await carry_out_special(node, call, args, named, scope, push)
    if node.kind != START:
        bind_made(node, value, scope)
    return value


async def perform_watched(
    watch: Watcher, build: Any, op: Op, args: list[Any], named: dict[str, Any], scope: ScopeState, push: Push
) -> Any:
    """The same, told to observers and run through middleware."""

    def make(push: Push) -> Any:
        return perform(op, args, named, scope, push)

    value = await watch.build(build, op, make, push)
    if watch.middleware and registry_of(op.node.key) is not None:
        adopt_made(value, scope)  # middleware may have put another one in its place
    return value


# --- scoped values ----------------------------------------------------------------------------------


async def run_plan(plan: Plan, scope: ScopeState) -> Any:
    """Build what *plan* needs in *scope* and the scopes around it, and return the root's value."""
    for unit in plan.units:
        node = unit.node
        assert node is not None
        await scoped_value(unit, scope._home(node), node)
    return await carry_out(plan.unit, scope)


async def scoped_value(unit: Unit, scope: ScopeState, node: Node, push: Push = push_locked) -> Any:
    """Return the value of a scoped node, building it on first use."""
    slot = node.slot
    value = claim(scope, slot)
    while value is FLIGHT:
        await join(scope, slot, node)
        value = claim(scope, slot)
    if value is not UNSET:
        return value
    if unit.ops == ():
        scope._values[slot] = UNSET
        raise absent(node, scope)
    ours = True
    try:
        with scope._singletons.building():
            if node.constructed is not None:
                await half_again(scope, node)
            value = await carry_out(unit, scope, push)
    except BaseException as error:
        forget_half(scope, node)
        settle(scope, slot, UNSET, error)
        raise
    finally:
        ours = False
    settle(scope, slot, value)
    del ours
    return value


def _read_frame(frame: FrameType) -> tuple[Any, str] | None:
    names = frame.f_locals
    if not names.get("ours"):
        return None
    return (names["scope"], names["slot"]), names["node"].name


BUILDS.add(scoped_value.__code__, reader=_read_frame)


def claim(scope: ScopeState, slot: int) -> Any:
    """Return the value; UNSET where the caller is now the one to build it; FLIGHT where another one does."""
    with LOCK:
        value = scope._values[slot]
        if value is UNSET:
            scope._values[slot] = FLIGHT
        return value


def settle(scope: ScopeState, slot: int, value: object, error: BaseException | None = None) -> None:
    """Publish a value, or with UNSET that there is none, and wake who waits for it."""
    with LOCK:
        scope._values[slot] = value
        waiting = parked(scope, slot)
    if waiting:
        # A cancelled builder says nothing about the value: one who waits takes over.
        outcome = Outcome(None if is_a(error, asyncio.CancelledError) else error)
        for told in waiting:
            told(outcome)


async def half_again(scope: ScopeState, node: Node) -> None:
    """Construct a service anew whose start another task has given up while this one waited for it."""
    half = node.constructed
    if half is not None and half.slot >= 0 and scope._values[half.slot] is UNSET:
        await scoped_value(scope._singletons.unit(half), scope, half)


def forget_half(scope: ScopeState, node: Node) -> None:
    """A service that did not start is made anew by the next try: forget the instance."""
    if node.constructed is not None and node.constructed.slot >= 0:
        scope._values[node.constructed.slot] = UNSET


async def join(scope: ScopeState, slot: int, node: Node) -> None:
    """
    Wait for another task's build of a scoped value; then look again.

    Raises:
        CircularDependencyError: It waits for what the caller is building.
        BaseException: What that build raised.
    """
    loop = get_running_loop()
    wait = Wait(holdings())
    if loop is None or scope._by_threads:
        _join_thread(scope, slot, node, wait)
        return
    future: asyncio.Future[Outcome] = loop.create_future()

    def told(outcome: Outcome) -> None:
        if not future.done():
            future.set_result(outcome)

    # Always recorded: who waits at the top holds nothing, and closes no circle.
    wait.begin((scope, slot), node.name)
    try:
        _enter(scope, slot, told)
        (await future).check()
    finally:
        wait.end()
        leave(scope, slot, told)


def _join_thread(scope: ScopeState, slot: int, node: Node, wait: Wait) -> None:
    if not scope._by_threads and (scope, slot) not in wait.held:
        raise AsyncDependencyError(node.name, (), "", "is being built by a task")
    event = threading.Event()
    outcomes: list[Outcome] = []

    def told(outcome: Outcome) -> None:
        outcomes.append(outcome)
        event.set()

    wait.begin((scope, slot), node.name)
    try:
        if _enter(scope, slot, told):
            event.wait()
            outcomes[0].check()
    finally:
        wait.end()
        leave(scope, slot, told)


def _enter(scope: ScopeState, slot: int, told: Callable[[Outcome], None]) -> bool:
    with LOCK:
        if scope._values[slot] is not FLIGHT:
            told(Outcome())
            return False
        park(scope, slot, told)
        return True


def absent(node: Node, scope: ScopeState) -> ScopeError:
    """Return the error of a context value that its scope was not opened with."""
    return ScopeError(
        f"the {scope.level} scope was opened without {node.name}, which {scope._singletons.name} declares as context: "
        f"scope({{{node.name}: ...}})"
    )


# --- words on the user's own errors -------------------------------------------------------------------


def noted(error: BaseException, node: Node, scope: ScopeState, plans: tuple[Plan, ...] = ()) -> None:
    """
    Note on a factory's exception what was being built, each step with its place, once.

    Args:
        plans: What it was built for; without them what is being carried out here.
    """
    if issubclass(type(error), DeclarationError | CircularDependencyError | FactoryError):
        return
    note = f"asyncmeta: while building {step(node)}"
    with suppress(Exception):  # an exception that refuses notes is the user's all the same
        there = getattr(error, "__notes__", ())
        if not any(isinstance(one, str) and one.startswith("asyncmeta: while building") for one in there):
            from ..._solve.ways import way_down, way_in  # lazy import

            ways = [way_in(plan, node) for plan in plans or GETTING.get()]
            way = next(filter(None, ways), None) or way_down(scope._singletons.graph, node)
            if len(way) > 1:
                note += f"\n  {arrow([step(one) for one in way])}"
            error.add_note(note)


def step(node: Node) -> str:
    """Return a node on the way to another one, by name and place."""
    place = place_of(node)
    return f"{node.name} ({place})" if str(place) else node.name


def undone(scope: ScopeState, error: BaseException, lines: Lines) -> tuple[BaseException, Node | None]:
    """Find by the line which step of generated code failed; return what to raise, and the scoped value it was part of."""
    traceback = traceback_of(error)
    assert traceback is not None
    node, builds = lines.get(traceback.tb_lineno, (None, None))
    if node is None:
        return error, None
    if issubclass(type(error), StopIteration | StopAsyncIteration) and traceback.tb_next is None:
        return FactoryError(misyields(node.maker.name, node.maker.function.__code__, "never yields")), builds
    if is_a(error, Exception) and traceback.tb_next is not None:
        noted(error, node, scope, lines.plans)
    return error, builds


def undo(scope: ScopeState, error: BaseException, lines: Lines) -> None:
    """
    Settle what generated code was building when it raised.

    Raises:
        FactoryError: A generator never yielded.
    """
    raised, builds = undone(scope, error, lines)
    if builds is not None:
        where = scope._at(builds.level)
        if where._values[builds.slot] is FLIGHT:
            forget_half(where, builds)
            settle(where, builds.slot, UNSET, raised)
    scope._wake_closers()
    if raised is not error:
        raise raised from None
