"""What would a careful colleague type to fill a function?  The source of injected functions."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from .._declare.lifetimes import CONTAINER_LEVEL
from .._declare.makers import ASYNC, ASYNC_GENERATOR, GENERATOR, SYNC
from .._declare.marked import Form
from .emit import Emitter, Source
from .nodes import Node
from .plan import TEMP, THE_CONTAINER, VALUE_OF, Plan, Ref, Unit

__all__ = [
    "BOUND", "CallSource", "Fill", "emit_call", "emit_cold", "emit_in_scope", "fits", "is_held", "signature_shape",
    "wrapper_order",
]  # fmt: skip

#: The constant that stands for what one container has bound: its place is taken by an object.
BOUND = "bound"

# Marked parameters have defaults: a built container value itself, so that it costs a call nothing, and UNFILLED where
# something has to be made.  (Looking at every parameter, "was it passed?", costs a tenth of a short call each time.)
# For the ambient container it is always UNFILLED: a call may turn out to be for another one, or for none, and then it
# matters whether the caller has passed the very value that would have been the default.

_POSITIONAL = inspect.Parameter.POSITIONAL_ONLY
_NORMAL = inspect.Parameter.POSITIONAL_OR_KEYWORD
_MANY = inspect.Parameter.VAR_POSITIONAL
_KEYWORD = inspect.Parameter.KEYWORD_ONLY
_MANY_BY_NAME = inspect.Parameter.VAR_KEYWORD


class CallSource(Source):
    """Source of a wrapper; parameters are `p0`, `p1`, and `k2` where one is passed by name, until they get their own names."""

    __slots__ = ("bound", "constants_at", "held_at", "kept", "leaves_from", "names", "runs_from")

    def __init__(self) -> None:
        super().__init__()
        self.bound: tuple[str, ...] = ()  #: the names that stand for what a container has bound
        self.names: dict[str, str] = {}  #: our identifier -> the parameter's name
        self.held_at: dict[int, Node] = {}  #: parameters whose default is a built container value
        self.kept: str | None = None  #: the variable that holds what has to be torn down
        self.runs_from = 0  #: the line from which on the function itself runs
        self.leaves_from: int | None = None  #: the line from which on it tears down; None where there is nothing
        self.constants_at: dict[int, Any] = {}  #: parameters whose default is the function's own


class Fill:
    """What one marked parameter is filled with: a plan, or the default of the function."""

    __slots__ = ("asked", "constant", "number", "plan")

    def __init__(self, number: int, plan: Plan | None, constant: Any = None, asked: Any = None) -> None:
        self.number = number
        self.plan = plan
        self.constant = constant
        self.asked = asked  #: the token, for scopes that are asked


def fits(fills: Sequence[Fill]) -> bool:
    """Tell whether all calls are plain ones, so that they can stand in the wrapper itself."""
    return not any(unit.special for fill in fills if fill.plan is not None for unit in (*fill.plan.units, fill.plan.unit))


def is_held(plan: Plan) -> bool:
    """Tell whether *plan* gives a container value, and that is all."""
    return not plan.units and not plan.unit.ops and plan.unit.result.how == VALUE_OF and plan.unit.result.node in plan.singletons


class _CallEmitter(Emitter):
    """Writes one wrapper."""

    def __init__(self, form: Form, *, ambient: bool = False) -> None:
        nothing: Any = None
        super().__init__(nothing, -1, private=True)
        self.form = form
        self.ambient = ambient
        self.source: CallSource = CallSource()
        self.finalizers: list[Node] = []
        self.specials: dict[str, None] = {}
        for number, one in enumerate(form.taken):
            self.source.names[f"p{number}"] = self.source.names[f"k{number}"] = one.name

    # --- text of the call ---

    def head(self) -> str:
        """Return the line that begins the wrapper."""
        kinds: dict[Any, list[str]] = {kind: [] for kind in (_POSITIONAL, _NORMAL, _MANY, _KEYWORD, _MANY_BY_NAME)}
        for number, one in enumerate(self.form.taken):
            if one.shown is not None:
                kinds[one.shown].append(f"p{number}")
        listed = [*kinds[_POSITIONAL], *(["/"] if kinds[_POSITIONAL] else []), *kinds[_NORMAL]]
        if kinds[_MANY]:
            listed.append(f"*{kinds[_MANY][0]}")
        elif kinds[_KEYWORD]:
            listed.append("*")
        listed += kinds[_KEYWORD]
        listed += [f"**{name}" for name in kinds[_MANY_BY_NAME]]
        begin = "async def" if self.form.kind in (ASYNC, ASYNC_GENERATOR) else "def"
        return f"{begin} call({', '.join(listed)}):"

    def all_given(self) -> str:
        """Return the arguments of `run`: what the caller passed, in the function's own order."""
        return ", ".join("UNFILLED" if one.shown is None else f"p{at}" for at, one in enumerate(self.form.taken))

    def arguments(self) -> str:
        """Return the arguments of the function itself."""
        listed = []
        gap = False
        for number, one in enumerate(self.form.taken):
            if one.kind is _MANY:
                listed.append(f"*p{number}")
            elif one.kind is _MANY_BY_NAME:
                listed.append(f"**p{number}")
            elif one.kind is _KEYWORD or gap:
                listed.append(f"k{number}=p{number}")
            else:
                listed.append(f"p{number}")
        return ", ".join(listed)

    def cold(self) -> CallSource:
        w = self.w
        with w.indent(self.head()):
            self.elsewhere(f"run({self.all_given()})")
        self.source.text = w.text()
        return self.source

    def in_scope(self) -> CallSource:
        """Write a wrapper that has its values from the roots of the ambient scope; `t1` is what parameter 1 asks for."""
        w = self.w
        with w.indent(self.head()):
            w.line("scope = here()")
            with w.indent("if scope is not None and scope._innermost:"):
                for number in self.form.marked:
                    with w.indent(f"if p{number} is UNFILLED and (root := scope._roots.get(t{number})) is not None:"):
                        w.line(f"p{number} = await root(scope)")
                with w.indent(f"if {' and '.join(f'p{number} is not UNFILLED' for number in self.form.marked)}:"):
                    w.line(f"return await function({self.arguments()})")
            self.elsewhere(f"run({self.all_given()})")
        self.source.text = w.text()
        return self.source

    def elsewhere(self, made: str) -> None:
        """Write the call of what does it without code of its own."""
        kind = self.form.kind
        if kind == ASYNC_GENERATOR:
            self.stream(made)
        elif kind == ASYNC:
            self.w.line(f"return await {made}")
        elif kind == GENERATOR:
            self.w.line(f"return (yield from {made})")
        else:
            self.w.line(f"return {made}")

    def stream(self, made: str) -> None:
        """Write what ``yield from`` would be, of an async generator."""
        w = self.w
        w.line(f"inner = {made}")
        with w.indent("try:"):
            w.line("item = await inner.__anext__()")
            with w.indent("while True:"):
                with w.indent("try:"):
                    w.line("sent = yield item")
                with w.indent("except GeneratorExit:"):
                    w.line("await inner.aclose()")
                    w.line("raise")
                with w.indent("except BaseException as thrown:"):
                    w.line("item = await inner.athrow(thrown)")
                with w.indent("else:"):
                    w.line("item = await inner.asend(sent)")
        with w.indent("except StopAsyncIteration:"):
            w.line("pass")

    def call_it(self, *, last: bool) -> None:
        """Write the call of the function; *last* where nothing follows."""
        made = f"function({self.arguments()})"
        kind = self.form.kind
        if kind == ASYNC_GENERATOR:
            self.stream(made)
            return
        text = {ASYNC: f"await {made}", GENERATOR: f"yield from {made}", SYNC: made}[kind]
        if last:
            self.w.line(f"return ({text})" if kind == GENERATOR else f"return {text}")
        else:
            self.w.line(f"result = {text}")

    # --- filling ---

    def expression(self, ref: Ref, unit: Unit, level: int) -> str:
        if ref.how == THE_CONTAINER:
            self.specials["container"] = None
        return super().expression(ref, unit, level)

    def push(self, scope: str, finalizer: str) -> None:
        self.w.line(f"finalizer = {finalizer}" if len(self.finalizers) == 1 else f"finalizers.append({finalizer})")

    def fill(self, fills: Sequence[Fill]) -> None:
        """Write what gives each marked parameter its value, unless it was passed by hand."""
        users: dict[int, list[int]] = {}
        self.source.lines.plans = tuple([fill.plan for fill in fills if fill.plan is not None])
        for fill in fills:
            for unit in fill.plan.units if fill.plan is not None else ():
                users.setdefault(id(unit), []).append(fill.number)
        self.name_directly(fills, users)
        written: set[int] = set()
        for fill in fills:
            plan = fill.plan
            if self.by_default(fill):
                continue
            own = self.condition([fill.number])
            here: str | None = None  #: the condition of the block that is being written
            blocks: list[tuple[str, list[Unit | None]]] = []
            for unit in plan.units if plan is not None else ():
                if id(unit) not in written:
                    written.add(id(unit))
                    needed = self.condition(users[id(unit)])
                    if needed != here:
                        blocks.append((needed, []))
                        here = needed
                    blocks[-1][1].append(unit)
            if plan is None or plan.unit.ops or not self.is_named_directly(fill):
                if here != own:
                    blocks.append((own, []))
                blocks[-1][1].append(None)
            for condition, parts in blocks:
                with self.under(condition):
                    self.parts(parts, fill)

    def name_directly(self, fills: Sequence[Fill], users: dict[int, list[int]]) -> None:
        """Let a scoped value that only one parameter leads to be made in that parameter's own place."""
        for fill in fills:
            result = None if fill.plan is None else fill.plan.unit.result
            if result is None or result.how != VALUE_OF or result.node is None or result.node.level == CONTAINER_LEVEL:
                continue
            unit = result.node.unit
            if users.get(id(unit)) == [fill.number]:
                self.named["s", id(result.node)] = f"p{fill.number}"

    def is_named_directly(self, fill: Fill) -> bool:
        assert fill.plan is not None
        node = fill.plan.unit.result.node
        return node is not None and self.named.get(("s", id(node))) == f"p{fill.number}"

    def by_default(self, fill: Fill) -> bool:
        """Tell, and note, that a parameter's value stands among the defaults."""
        if self.ambient or self.form.taken[fill.number].shown is None:
            return False
        if fill.plan is None:
            self.source.constants_at[fill.number] = fill.constant
            return True
        node = fill.plan.unit.result.node
        if is_held(fill.plan) and node is not None:
            self.source.held_at[fill.number] = node
            return True
        return False

    def under(self, condition: str) -> AbstractContextManager[None]:
        """Return the block of an ``if``; of no condition the place as it is."""
        return self.w.indent(f"if {condition}:") if condition else nullcontext()

    def condition(self, numbers: list[int]) -> str:
        """Return what is true where one of these parameters was not passed by hand; "" where none can be."""
        if any(self.form.taken[number].shown is None for number in numbers):
            return ""  # nobody can have passed it
        return " or ".join(f"p{number} is UNFILLED" for number in numbers)

    def parts(self, parts: list[Unit | None], fill: Fill) -> None:
        for unit in parts:
            if unit is not None:
                assert unit.node is not None
                self.ops(unit, self.name("s", unit.node), 1)
            else:
                self.own(fill)

    def own(self, fill: Fill) -> None:
        """Write what a parameter's root makes for itself."""
        target = f"p{fill.number}"
        if fill.plan is None:
            self.w.line(f"{target} = {self.constant(fill.constant)}")
            return
        unit = fill.plan.unit
        last = len(unit.ops) - 1
        direct = unit.result.how == TEMP and unit.result.what == last
        for number, op in enumerate(unit.ops):
            local = target if direct and number == last else self.fresh("t")
            self.temps[unit, number] = local
            self.op(op, unit, local, 1)
        if not direct:
            self.w.line(f"{target} = {self.expression(unit.result, unit, 1)}")

    def guard(self) -> None:
        """Write what sends a call elsewhere that is for another container."""
        if self.ambient:
            self.specials["home"] = None
            with self.w.indent("if here() is not home:"):
                self.elsewhere(f"run({self.all_given()})")
                if self.form.kind == ASYNC_GENERATOR:
                    self.w.line("return")

    def done(self) -> CallSource:
        source = self.source
        source.bound = (*self.specials, *source.singletons, *source.calls, *source.constants)
        source.text = self.w.text()
        return source

    def hot(self, fills: Sequence[Fill]) -> CallSource:
        """Write a wrapper that makes everything itself; nobody else sees what it makes."""
        w = self.w
        plans = [fill.plan for fill in fills if fill.plan is not None]
        shared = {id(unit): unit for plan in plans for unit in plan.units}
        # Two parameters may ask for the same: what each makes for itself counts for each.
        ops = [op for unit in (*shared.values(), *(plan.unit for plan in plans)) for op in unit.ops]
        self.finalizers = [op.node for op in ops if op.node.kind in (GENERATOR, ASYNC_GENERATOR)]
        with w.indent(self.head()):
            self.guard()
            if not ops:
                self.fill(fills)
                self.call_it(last=True)
            elif not self.finalizers:
                with w.indent("try:"):
                    self.fill(fills)
                with w.indent("except BaseException as error:"):
                    w.line(f'failed("{BOUND}", error)')
                    w.line("raise")
                self.call_it(last=True)
            else:
                self.around(fills)
        return self.done()

    def around(self, fills: Sequence[Fill]) -> None:
        """Write the filling and the call with what tears down afterwards."""
        w = self.w
        kind = self.form.kind
        waits = kind in (ASYNC, ASYNC_GENERATOR)
        single = len(self.finalizers) == 1
        kept = "finalizer" if single else "finalizers"
        self.source.kept = kept
        if single:
            self.specials["taken"] = None
        w.line("finalizer = None" if single else "finalizers = []")
        with w.indent("try:"):
            self.fill(fills)
            self.source.runs_from = len(w.lines) + 1
            self.call_it(last=False)
        self.source.leaves_from = len(w.lines) + 1
        with w.indent("except BaseException as error:"):
            w.line(f'{"await undo" if waits else "undo_nowait"}("{BOUND}", {kept}, error)')
            w.line("raise")
        if single:
            is_async = self.finalizers[0].kind == ASYNC_GENERATOR
            told = "await told" if is_async else "told_nowait"
            undone = f'{told}("{BOUND}", finalizer, None)'
            with w.indent("if finalizer is not None:"):
                with w.indent("if taken is not None:"):
                    w.line(undone)
                # A loop that ends costs less than an exception that is caught.
                w.line("again = False")
                with w.indent("try:"), w.indent("async for _ in finalizer:" if is_async else "for _ in finalizer:"):
                    w.line("again = True")
                    w.line("break")
                with w.indent("except BaseException as error:"):
                    w.line(f'{told}("{BOUND}", finalizer, error)')
                with w.indent("if again:"):
                    w.line("await twice(finalizer)" if is_async else "twice_nowait(finalizer)")
                with w.indent("if taken is not None:"):  # in a thread, meanwhile
                    w.line(undone)
        else:
            w.line(f'{"await leave_all" if waits else "leave_all_nowait"}("{BOUND}", finalizers)')
        if kind != ASYNC_GENERATOR:
            w.line("return result")

    def scoped(self, fills: Sequence[Fill]) -> CallSource:
        """Write a wrapper that opens a scope, because something holds on to it."""
        w = self.w
        waits = self.form.kind in (ASYNC, ASYNC_GENERATOR)
        self.specials["open_scope"] = None
        with w.indent(self.head()):
            self.guard()
            with w.indent(f"{'async with' if waits else 'with'} open_scope() as scope:"):
                for fill in fills:
                    if self.by_default(fill):
                        continue
                    if fill.plan is None:
                        text = self.constant(fill.constant)
                    else:
                        text = f"{'await scope.get' if waits else 'scope.get_nowait'}({self.constant(fill.asked)})"
                    with self.under(self.condition([fill.number])):
                        w.line(f"p{fill.number} = {text}")
                self.call_it(last=True)
        return self.done()


def emit_call(form: Form, fills: Sequence[Fill], *, scoped: bool, ambient: bool) -> CallSource:
    """
    Return the source of a wrapper that fills *fills*, in order.

    Args:
        scoped: It opens a scope and asks that; otherwise it makes everything itself, in locals.
        ambient: It is for one container, and has to be sure that this one is the ambient one.
    """
    emitter = _CallEmitter(form, ambient=ambient)
    return emitter.scoped(fills) if scoped else emitter.hot(fills)


def emit_cold(form: Form) -> CallSource:
    """Return the source of a wrapper that hands its arguments on to ``run``, in the function's own order."""
    return _CallEmitter(form).cold()


def emit_in_scope(form: Form) -> CallSource:
    """Return the source of a wrapper that fetches in an ambient scope, where that has roots, and else hands on to ``run``."""
    return _CallEmitter(form).in_scope()


def signature_shape(form: Form) -> Any:
    """Return what all forms with the same cold source have in common."""
    return form.kind, tuple((one.shown, one.shown is None and one.kind) for one in form.taken)


def wrapper_order(form: Form) -> list[int]:
    """Return the numbers of the parameters that can be passed, in the wrapper's order."""
    order = (_POSITIONAL, _NORMAL, _MANY, _KEYWORD, _MANY_BY_NAME)
    return [number for kind in order for number, one in enumerate(form.taken) if one.shown is kind]
