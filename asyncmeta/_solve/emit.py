"""What would a careful colleague type?  The source of a root, and what its names stand for."""

from __future__ import annotations

from typing import Any

from .._declare.constructors import BY_HAND
from .._declare.lifetimes import CONTAINER_LEVEL
from .._declare.makers import ASYNC, ASYNC_GENERATOR, GENERATOR, SYNC
from .._declare.registry import registry_of
from .nodes import START, Node, Site
from .plan import CONST, HANDLE, MAKER, MANY, PERHAPS, TEMP, THE_CONTAINER, THE_SCOPE, VALUE_OF, Op, Plan, Ref, Unit
from .writer import SourceWriter

__all__ = ["Emitter", "Source", "emit_opening", "emit_root", "wants_scope"]


class Lines(dict[int, tuple[Node, Node | None]]):
    """What is called in each line of a source, and what all of it is for."""

    __slots__ = ("plans",)

    def __init__(self) -> None:
        super().__init__()
        self.plans: tuple[Plan, ...] = ()


class Source:
    """
    Source text with what has to stand in its namespace.

    The text holds identifiers of ours only: nothing that a user wrote, no name, token or repr, is ever part of it.
    """

    __slots__ = ("calls", "constants", "context", "handles", "lines", "nodes", "singletons", "sites", "text")

    def __init__(self) -> None:
        self.text = ""
        self.calls: dict[str, Node] = {}  #: f3 -> whose factory it is
        self.singletons: dict[str, Node] = {}  #: a1 -> whose value it is
        self.constants: dict[str, Any] = {}  #: c2 -> the object
        self.nodes: dict[str, Node] = {}  #: n4 -> the node
        self.sites: dict[str, Site] = {}  #: h5 -> what a handle asks for
        self.handles = False  #: something receives a handle
        self.context: dict[str, Node] = {}  #: locals that hold what a scope is opened with
        #: line -> (what is called there, the scoped value that is being built there)
        self.lines = Lines()


class Emitter:
    """Writes one function."""

    def __init__(self, plan: Plan, level: int, *, private: bool = False) -> None:
        self.plan = plan
        self.level = level
        self.private = private  #: nobody else sees the scope: its values are plain locals
        self.w = SourceWriter()
        self.source = Source()
        self.source.lines.plans = (plan,)
        self.named: dict[tuple[str, Any], str] = {}
        self.temps: dict[tuple[Unit, int], str] = {}
        self.counts: dict[str, int] = {}

    # --- names ---

    def fresh(self, letter: str) -> str:
        """Return an identifier that is not in use: our letter, and a number."""
        self.counts[letter] = number = self.counts.get(letter, 0) + 1
        return f"{letter}{number}"

    def name(self, letter: str, thing: Any, table: dict[str, Any] | None = None) -> str:
        """Return the identifier of *thing*: our letter, and a number."""
        key = (letter, id(thing))
        found = self.named.get(key)
        if found is None:
            found = self.named[key] = self.fresh(letter)
            if table is not None:
                table[found] = thing
        return found

    def scope(self, level: int) -> str:
        return "scope" if level == self.level or level == CONTAINER_LEVEL else f"scope{level}"

    def values(self, level: int) -> str:
        return "values" if level == self.level else f"values{level}"

    def constant(self, value: Any) -> str:
        """Return the text for *value*; the table keeps it alive, so that its id stays its own."""
        return "None" if value is None else self.name("c", value, self.source.constants)

    def expression(self, ref: Ref, unit: Unit, level: int) -> str:
        """Return the text for a reference, in a unit that belongs to *level*."""
        how = ref.how
        if how == TEMP:
            return self.temps[unit, ref.what]
        if how == CONST:
            return self.constant(ref.what)
        if how == THE_SCOPE:
            return self.scope(level)
        if how == THE_CONTAINER:
            return "container"
        if how == HANDLE:
            self.source.handles = True
            return f"lazy_handle({self.scope(level)}, {self.name('h', ref.what, self.source.sites)})"
        if how == MAKER:
            self.source.handles = True
            return f"factory_handle({self.scope(level)}, {self.name('n', ref.node, self.source.nodes)})"
        if how == MANY:
            members = [self.expression(inner, unit, level) for inner in ref.refs]
            if ref.what is None:
                return f"[{', '.join(members)}]"
            if ref.what is tuple:
                return f"({', '.join(members)}{',' * (len(members) == 1)})"
            return "{" + ", ".join(f"{self.constant(name)}: {one}" for name, one in zip(ref.what, members, strict=True)) + "}"
        node = ref.node
        assert node is not None
        if how == PERHAPS:
            held = self.name("s", node)
            value = f"{self.values(node.level)}[{node.slot}]"
            return f"({held} if ({held} := {value}) is not UNSET else {self.constant(ref.what)})"
        assert how == VALUE_OF
        if node.level == CONTAINER_LEVEL:
            return self.name("a", node, self.source.singletons)
        return self.name("s", node)

    # --- lines ---

    def call(self, text: str, node: Node, builds: Node | None) -> None:
        self.source.lines[self.w.line(text)] = (node, builds)

    def op(self, op: Op, unit: Unit, target: str, level: int) -> None:
        """Write one call of a factory; its value goes to the local *target*."""
        node, builds = op.node, unit.node
        scope = self.scope(level)
        count = len(op.args) - len(op.names)
        args = [self.expression(ref, unit, level) for ref in op.args[:count]]
        named = [
            f"{self.constant(name)}: {self.expression(ref, unit, level)}"
            for name, ref in zip(op.names, op.args[count:], strict=True)
        ]
        if node.kind == START and not op.special:
            self.call(f"await {args[0]}.on_startup()", node, builds)
            self.push(scope, f"{args[0]}.on_shutdown")
            self.w.line(f"{target} = {args[0]}")
            return
        function = self.name("f", node, self.source.calls)
        if op.special:
            thing = self.name("n", node, self.source.nodes)
            listed, mapped = ", ".join(args), ", ".join(named)
            self.call(f"{target} = await special({thing}, {function}, [{listed}], {{{mapped}}}, {scope}, push)", node, builds)
            return
        if named:
            args.append(f"**{{{', '.join(named)}}}")
        made = f"{function}({', '.join(args)})"
        if node.kind == SYNC:
            self.call(f"{target} = {made}", node, builds)
            self.bind(node, target, scope)
        elif node.kind == ASYNC:
            self.call(f"{target} = await {made}", node, builds)
            self.bind(node, target, scope)
        else:
            assert node.kind in (GENERATOR, ASYNC_GENERATOR)
            loop, over = ("for", "StopIteration") if node.kind == GENERATOR else ("async for", "StopAsyncIteration")
            self.call(f"generator = {made}", node, builds)
            # A loop that is left at once: the interpreter steps a generator without looking up how.
            self.call(f"{loop} {target} in generator:", node, builds)
            with self.w.indent():
                self.w.line("break")
            with self.w.indent("else:"):
                self.call(f"raise {over}", node, builds)
            self.push(scope, "generator")
            self.bind(node, target, scope)

    def bind(self, node: Node, target: str, scope: str) -> None:
        cls = node.maker.cls
        if cls is None:
            if node.maker.function is not None and registry_of(node.key) is not None:
                self.w.line(f"adopt_made({target}, {scope})")
            return
        setter = getattr(cls, "__setattr__", None)
        if registry_of(cls) is not None and setter is object.__setattr__:
            self.w.line(f"{target}._asyncmeta_scope = {scope}")
        elif registry_of(cls) is not None and getattr(setter, "__name__", "") == BY_HAND:  # which is none of its business
            self.w.line(f'set_attribute({target}, "_asyncmeta_scope", {scope})')
        elif node.deferred or "__asyncmeta__" in cls.__dict__:
            self.w.line(f"bind({target}, {scope})")

    def push(self, scope: str, finalizer: str) -> None:
        self.w.line(f"if {scope}._finalizers is None:")
        with self.w.indent():
            self.w.line(f"{scope}._finalizers = {finalizer}")
        with self.w.indent("else:"):
            self.w.line(f"push({scope}, {finalizer})")

    def unit(self, unit: Unit) -> None:
        """Write the building of one scoped value."""
        node = unit.node
        assert node is not None
        held, level, slot = self.name("s", node), node.level, node.slot
        scope, values = self.scope(level), self.values(level)
        if not unit.ops:  # a context value
            with self.w.indent(f"if ({held} := {values}[{slot}]) is UNSET:"):
                self.w.line(f"raise absent({self.name('n', node, self.source.nodes)}, {scope})")
            return
        if self.private and level == self.level:
            self.ops(unit, held, level)
            return
        if not unit.awaits:
            # Built in one step: no other task can find it half-way, and a factory that asks for itself is found by its frame.
            with self.w.indent(f"if ({held} := {values}[{slot}]) is UNSET:"):
                self.ops(unit, held, level)
                self.w.line(f"{values}[{slot}] = {held}")
            return
        with self.w.indent(f"while ({held} := {values}[{slot}]) is FLIGHT:"):
            self.call(f"await join({scope}, {slot}, {self.name('n', node, self.source.nodes)})", node, None)
        with self.w.indent(f"if {held} is UNSET:"):
            self.w.line(f"{values}[{slot}] = FLIGHT")
            half = node.constructed
            if half is not None and half.slot >= 0:
                # Another task may have given up this very instance while we waited.
                with self.w.indent(f"if {values}[{half.slot}] is not {self.name('s', half)}:"):
                    self.call(f"await half_again({scope}, {self.name('n', node, self.source.nodes)})", node, node)
                    self.w.line(f"{self.name('s', half)} = {values}[{half.slot}]")
            self.ops(unit, held, level)
            self.w.line(f"{values}[{slot}] = {held}")
            with self.w.indent(f"if {scope}._waiters:"):
                self.w.line(f"settle({scope}, {slot}, {held})")

    def ops(self, unit: Unit, target: str, level: int) -> None:
        last = len(unit.ops) - 1
        for number, op in enumerate(unit.ops):
            if number == last and unit.node is not None:
                local = target
            else:
                local = self.fresh("t")
            self.temps[unit, number] = local
            self.op(op, unit, local, level)

    def outer(self, used: set[int]) -> None:
        """Write how the scopes around this one are reached."""
        outermost = min((level for level in used if level != CONTAINER_LEVEL), default=self.level)
        here = "scope"
        for level in range(self.level - 1, outermost - 1, -1):
            self.w.line(f"scope{level} = {here}._parent")
            here = f"scope{level}"
        for level in sorted(used - {CONTAINER_LEVEL, self.level}):
            self.w.line(f"values{level} = scope{level}._values")

    def levels_used(self) -> set[int]:
        used = {unit.node.level for unit in self.plan.units if unit.node is not None}
        for unit in (*self.plan.units, self.plan.unit):
            for ref in (unit.result, *[ref for op in unit.ops for ref in op.args]):
                if ref.how == PERHAPS and ref.node is not None:  # within a list all are there
                    used.add(ref.node.level)
        return used

    def body(self) -> str:
        """Write the units and what the root makes for itself; return the text of the result."""
        for unit in self.plan.units:
            self.unit(unit)
        self.ops(self.plan.unit, "", self.level)
        return self.expression(self.plan.unit.result, self.plan.unit, self.level)

    # --- functions ---

    def root(self) -> Source:
        plan, w = self.plan, self.w
        used = self.levels_used()
        with w.indent("async def root(scope):"):
            if self.level in used:
                w.line("values = scope._values")
            result = plan.unit.result
            if result.how == VALUE_OF and not plan.unit.ops and result.node is not None and result.node.level == self.level:
                held = self.name("s", result.node)
                ready = f"({held} := values[{result.node.slot}]) is not UNSET"
                with w.indent(f"if {ready} and {held} is not FLIGHT:" if plan.units[-1].awaits else f"if {ready}:"):
                    w.line(f"return {held}")
            self.outer(used)
            if plan.awaits:
                with w.indent("if running_loop() is not loop:"):
                    w.line("elsewhere(scope)")
            if (plan.awaits or plan.generators) and self.level != CONTAINER_LEVEL:
                with w.indent("if scope._roots is CLOSED:"):  # asked for before, and begun only now
                    w.line("scope._check_open()")
                w.line("live(scope)")
            if plan.awaits:
                w.line("scope._in_flight += 1")
            with w.indent("try:"):
                made = self.body()
                w.line(f"{'result =' if plan.awaits else 'return'} {made}")
            with w.indent("except BaseException as error:"):
                if plan.awaits:
                    w.line("scope._in_flight -= 1")
                w.line("undo(scope, error, lines)")
                w.line("raise")
            if plan.awaits:
                w.line("scope._in_flight -= 1")
                with w.indent("if scope._in_flight >= CLOSING:"):
                    w.line("landed(scope)")
                w.line("return result")
        self.source.text = w.text()
        return self.source

    def opening(self) -> Source:
        """Write the entry of a one-shot scope whose values are locals: nobody has a handle of it."""
        w = self.w
        with w.indent("async def enter(scope):"):
            w.line("scope._finalizers = None")
            with w.indent("try:"):
                w.line(f"return {self.body()}")
            with w.indent("except BaseException as error:"):
                w.line("await undo_opening(scope, error, lines)")
                w.line("raise")
        self.source.text = w.text()
        return self.source


def emit_root(plan: Plan, level: int) -> Source:
    """
    Return the source of ``async def root(scope)``, which gives the root's value in a scope of *level*.

    Not of a container value alone: nothing has to be done for one that is built.
    """
    assert plan.units or plan.unit.ops or plan.unit.result.how != VALUE_OF
    return Emitter(plan, level).root()


def emit_opening(plan: Plan, level: int) -> Source:
    """Return the source of ``async def enter(scope)``, for a scope that is opened for this one value."""
    return Emitter(plan, level, private=True).opening()


def wants_scope(plan: Plan) -> bool:
    """Tell whether *plan* needs a scope: a service or handle holds on to it, or values come with it."""

    def holds(ref: Ref) -> bool:
        return ref.how in (HANDLE, MAKER, THE_SCOPE, PERHAPS) or any(map(holds, ref.refs))

    if any(not unit.ops for unit in plan.units):
        return True

    return any(
        any(map(holds, op.args))
        or (op.node.maker.function is not None and registry_of(op.node.key) is not None)
        or (op.node.maker.cls is not None and (bool(op.node.deferred) or "__asyncmeta__" in op.node.maker.cls.__dict__))
        for unit in (*plan.units, plan.unit)
        for op in unit.ops
    ) or holds(plan.unit.result)
