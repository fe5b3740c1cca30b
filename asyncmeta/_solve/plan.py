"""In which order is it built?  Units for what is shared, and the plan of one root."""

from __future__ import annotations

from typing import Any, Final

from .._declare.annotations import KEYWORD, OMITTED
from .._declare.lifetimes import CONTAINER_LEVEL, TRANSIENT_LEVEL
from .._declare.makers import ASYNC, GENERATOR, SYNC, VALUE
from .._declare.registrations import PLAIN
from ..errors import GraphError
from .graph import Graph
from .nodes import (
    ARGUMENT,
    AS_NEEDED,
    CONSTANT,
    CONTAINER,
    CONTEXT,
    DEFAULT,
    DEFERRED,
    LIST,
    MAKE,
    MAYBE,
    NODE,
    SCOPE,
    START,
    Edge,
    Node,
    Problem,
    Target,
)

__all__ = ["LARGEST", "Op", "Plan", "Ref", "Unit", "plan_of", "plan_of_unit", "unit_of", "unit_with_arguments"]

# What a reference refers to.
VALUE_OF = "value of"  #: a shared node's value
TEMP = "temp"  #: what an earlier op of the unit made
CONST = "const"
THE_CONTAINER = "container"
THE_SCOPE = "scope"
HANDLE = "handle"  #: a Lazy that fetches late
MAKER = "maker"  #: a Factory
MANY = "many"  #: a list, tuple or dict of references
PERHAPS = "perhaps"  #: a context value, or its fallback

#: A plan with more calls than this is carried out without source of its own.
LARGEST: Final = 256


class Ref:
    """An argument: where its value comes from."""

    __slots__ = ("how", "node", "refs", "what")

    def __init__(self, how: str, node: Node | None = None, what: Any = None, refs: tuple[Ref, ...] = ()) -> None:
        self.how = how
        self.node = node  #: VALUE_OF, MAKER, PERHAPS
        #: TEMP: the op's number; CONST: the value; HANDLE: the site; PERHAPS: the fallback; MANY: tuple, a dict's names, or None
        self.what = what
        self.refs = refs  #: MANY


class Op:
    """One call of a factory."""

    __slots__ = ("args", "names", "node", "special")

    def __init__(self, node: Node, args: tuple[Ref, ...], names: tuple[str, ...]) -> None:
        self.node = node
        options, kind = node.registration.options, node.kind
        #: It is not a plain call: a time limit, a thread.  Of a service that starts the constructor may be in a thread, and
        #: what is awaited within a time.
        self.special = options is not PLAIN and (
            (options.in_thread and kind != START) or (options.timeout is not None and kind not in (SYNC, GENERATOR))
        )
        self.args = args  #: in order of the call
        self.names = names  #: the last ``len(names)`` of *args* are passed by these names


class Unit:
    """
    A shared value with the transient ones that are made for it; or what a root makes for itself.

    Op number *i* makes temp *i*; the last op makes the unit's value, unless *result* says otherwise.
    """

    __slots__ = (
        "async_generators", "awaits", "concurrent", "generators", "node", "ops", "plain", "result", "shared", "special", "threaded",
    )  # fmt: skip

    def __init__(self, node: Node | None, ops: tuple[Op, ...], result: Ref) -> None:
        self.node = node
        self.ops = ops
        self.result = result
        special = awaits = generators = stays = False
        threaded = True
        shared: dict[Node, None] = {}
        for op in ops:
            kind = op.node.kind
            if op.special:
                special = True
                threaded = threaded and op.node.registration.options.in_thread
            if kind is not SYNC and kind is not VALUE:
                generators = generators or kind != ASYNC
                if kind != GENERATOR:
                    awaits = True
                    stays = stays or kind != ASYNC
            for ref in op.args:
                if ref.how is VALUE_OF and ref.node is not None:  # nearly every one
                    shared[ref.node] = None
                elif ref.how == MANY:
                    _collect(ref.refs, shared)
        if result.how == VALUE_OF:
            assert result.node is not None
            shared[result.node] = None
        elif result.how == MANY:
            _collect(result.refs, shared)
        self.plain = False  #: it is one call, with what is *shared* in that order, in place, and what it makes is told nothing
        #: built beside others
        self.concurrent = node is not None and node.registration.options.concurrent
        self.special = special  #: some of its calls are no plain ones
        self.awaits = awaits or special  #: something in it has to be awaited
        self.threaded = threaded and not awaits  #: it is awaited only because of threads, and can also be done in place
        self.generators = generators  #: something in it has to be torn down
        self.async_generators = stays  #: something in it has to be left in the task that entered it
        self.shared = tuple(shared)  #: shared nodes whose values it takes, in order of need

    @property
    def first_awaited(self) -> Node:
        """The first of what it makes that has to be awaited; asked only where something has."""
        return next(op.node for op in self.ops if op.special or op.node.kind not in (SYNC, VALUE, GENERATOR))


def _collect(refs: tuple[Ref, ...], shared: dict[Node, None]) -> None:
    for ref in refs:
        if ref.how == VALUE_OF:
            assert ref.node is not None
            shared[ref.node] = None
        elif ref.how == MANY:
            _collect(ref.refs, shared)


class Plan:
    """Everything that one root needs, in an order in which it can be built."""

    __slots__ = (
        "asker", "awaits", "code", "concurrent", "entry", "generators", "openings", "runs", "singletons", "size", "unit", "units",
    )  # fmt: skip

    def __init__(self, unit: Unit, units: tuple[Unit, ...], singletons: tuple[Node, ...]) -> None:
        self.unit = unit  #: what the root makes for itself
        self.units = units  #: scoped values, dependencies before dependents
        self.singletons = singletons  #: container values that these need
        self.awaits, self.generators, self.size = unit.awaits, unit.generators, len(unit.ops)
        self.concurrent = False  #: some are built beside others
        for one in units:
            self.awaits = self.awaits or one.awaits
            self.generators = self.generators or one.generators
            self.concurrent = self.concurrent or one.concurrent
            self.size += len(one.ops)
        self.asker: Node | None = None  #: the service whose attribute it is, else None
        self.code: Any = None  #: kept here by _run, so that all containers of the application share it
        self.entry: Any = None  #: the same for a one-shot scope
        self.openings = 0  #: how often a scope was opened for it
        self.runs = 0  #: how often it was carried out without code

    @property
    def first_awaiting(self) -> Node:
        """The first of what has to be awaited; asked only where something has."""
        unit = next(one for one in (*self.units, self.unit) if one.awaits)
        if unit.node is not None:
            return unit.node
        return unit.first_awaited


def unit_of(graph: Graph, node: Node) -> Unit:
    """Return the unit of a shared node, made on first use."""
    if node.unit is None:
        graph = graph.graph_of(node)
        if node.kind in (CONTEXT, CONTAINER, SCOPE):
            node.unit = Unit(node, (), Ref(VALUE_OF, node))
        else:
            graph.settle(node)
            node.unit = _plain_unit(node) or _Expansion(graph).of(node)
    return node.unit  # type: ignore[no-any-return]


def _plain_unit(node: Node) -> Unit | None:
    """Return the unit of a class or function that takes container values by position and no more; None where it is less plain."""
    needs = node.needs
    as_needed = node.kept is AS_NEEDED if needs else node.kept == ()
    if not as_needed or node.kind is not SYNC or node.deferred or node.problems:
        return None
    args = []
    for other in needs:
        if other.level != CONTAINER_LEVEL or other.kind == CONTAINER:
            return None
        args.append(other.ref or value_of(other))
    op = Op(node, tuple(args), ())
    unit = Unit(node, (op,), _FIRST)
    # Services, which have a metaclass, are told which scope made them.
    unit.plain = not op.special and type(node.maker.cls or node.key) is type and len(unit.shared) == len(args)
    return unit


#: Refers to what the only op of a unit makes.
_FIRST: Final = Ref(TEMP, what=0)


def plan_of(graph: Graph, target: Target) -> Plan:
    """
    Return the plan of a root that gives what *target* is.

    Raises:
        GraphError: A parameter on the way has nothing to fill it.
    """
    node = target.node
    if target.how == NODE and node is not None and node.level == CONTAINER_LEVEL and node.kind != CONTAINER:
        return Plan(Unit(None, (), node.ref or value_of(node)), (), (node,))
    return plan_of_unit(graph, _Expansion(graph).root(target))


def plan_of_unit(graph: Graph, root: Unit) -> Plan:
    """Return the plan of a root that makes *root* for itself."""
    order: list[Unit] = []
    singletons: dict[Node, None] = {}
    seen: set[Node] = set()
    stack: list[tuple[Unit, int]] = [(root, 0)]
    while stack:
        unit, position = stack.pop()
        while position < len(unit.shared):
            node = unit.shared[position]
            position += 1
            if node in seen:
                continue
            seen.add(node)
            if node.level == CONTAINER_LEVEL:
                singletons[node] = None
                continue
            stack.append((unit, position))
            unit, position = unit_of(graph, node), 0
        if unit is not root:
            order.append(unit)
    return Plan(root, tuple(order), tuple(singletons))


def value_of(node: Node) -> Ref:
    """Return the reference to a shared node's value."""
    if node.ref is None:
        node.ref = Ref(VALUE_OF, node)
    return node.ref  # type: ignore[no-any-return]


class _Expansion:
    """Writes out the transient values of one unit, each occurrence on its own."""

    __slots__ = ("graph", "ops")

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.ops: list[Op] = []

    def of(self, node: Node) -> Unit:
        return self._unit(node, self._made(node))

    def root(self, target: Target) -> Unit:
        waiting: list[Node] = []
        result = self._reference(target, waiting)
        made = [self._made(node) for node in waiting]
        return self._unit(None, _with_temps(result, made))

    def with_arguments(self, node: Node, given: dict[str, Any]) -> Unit:
        """Return a unit that makes *node* anew, with *given* in the place of what nothing provides."""
        if node.kind != START:
            return self._unit(None, self._made(node, given))
        assert node.constructed is not None
        self.ops.append(Op(node, (self._made(node.constructed, given),), ()))
        return self._unit(None, Ref(TEMP, what=len(self.ops) - 1))

    def _unit(self, node: Node | None, result: Ref) -> Unit:
        return Unit(node, tuple(self.ops), result)

    def _made(self, node: Node, given: dict[str, Any] | None = None) -> Ref:
        """
        Add the ops that make *node* and what transient values it takes; return where the result is.

        A walk with a stack of its own, so that depth costs no recursion.
        """
        self.graph.settle(node)
        if given is None and not node.problems and not [other for other in node.needs if other.level == TRANSIENT_LEVEL]:
            # Nothing has to be made for it first.
            self.ops.append(self._plain(node))
            return Ref(TEMP, what=len(self.ops) - 1)
        # One frame: the node, its edges, how far they are read, the references so far, where each temp goes.
        frame = _Frame(node, self._edges(node, given))
        stack: list[_Frame] = []
        while True:
            if frame.waiting:
                stack.append(frame)
                inner = frame.waiting.pop(0)
                frame = _Frame(inner, self._edges(inner, None))
                continue
            if frame.position < len(frame.edges):
                edge = frame.edges[frame.position]
                frame.position += 1
                reference = self._reference(edge.target, frame.waiting)
                frame.pending.append((reference, edge))
                frame.made.append([])
                continue
            self.ops.append(frame.op())
            made = Ref(TEMP, what=len(self.ops) - 1)
            if not stack:
                return made
            frame = stack.pop()
            frame.made[-1].append(made)

    def _plain(self, node: Node) -> Op:
        """Return the op of a node that takes no transient values."""
        none: list[Node] = []
        if node.kept is AS_NEEDED:
            return Op(node, tuple([self._node_reference(other, none) for other in node.needs]), ())
        edges = node.edges
        args = [self._reference(edge.target, none) for edge in edges if edge.kind != KEYWORD]
        named = [edge for edge in edges if edge.kind == KEYWORD and edge.target.value is not OMITTED]
        names = tuple([edge.name for edge in named])
        if names:
            args += [self._reference(edge.target, none) for edge in named]
        return Op(node, tuple(args), names)

    def _edges(self, node: Node, given: dict[str, Any] | None) -> tuple[Edge, ...]:
        edges = self.graph.expand(node)
        fresh: list[Edge] = []
        for edge in edges:
            if given is not None and edge.name in given:
                fresh.append(Edge(edge.name, edge.kind, Target(CONSTANT, value=given[edge.name])))
            elif edge.target.how != ARGUMENT:
                if edge.target.value is not OMITTED:
                    fresh.append(edge)
            else:
                problem = next(problem for problem in node.problems if problem.edge == edge.name)
                raise self._problem_error(node, problem)
        whole = next((problem for problem in node.problems if not problem.edge), None)
        if whole is not None:
            raise self._problem_error(node, whole)
        return tuple(fresh)

    def _problem_error(self, node: Node, problem: Problem) -> GraphError:
        from .wording import problem_error  # lazy import

        return problem_error(self.graph, node, problem)

    def _reference(self, target: Target, waiting: list[Node]) -> Ref:
        """Return a reference to *target*; transient nodes that have to be made first are added to *waiting*."""
        how = target.how
        if how == NODE:
            assert target.node is not None
            return self._node_reference(target.node, waiting)
        if how in (CONSTANT, DEFAULT):
            return Ref(CONST, what=target.value)
        if how == DEFERRED:
            return Ref(HANDLE, what=target.site)
        if how == MAKE:
            return Ref(MAKER, target.node)
        if how == MAYBE:
            return Ref(PERHAPS, target.node, target.value)
        assert how == LIST, how
        return Ref(MANY, what=target.value, refs=tuple(self._node_reference(node, waiting) for node in target.nodes))

    def _node_reference(self, node: Node, waiting: list[Node]) -> Ref:
        if node.kind == CONTAINER:
            return Ref(THE_CONTAINER)
        if node.kind == SCOPE:
            return Ref(THE_SCOPE)
        if node.level != TRANSIENT_LEVEL:
            return value_of(node)
        waiting.append(node)
        return Ref(TEMP, node)  # its number is known when it has been made


class _Frame:
    """A node whose arguments are being made."""

    __slots__ = ("edges", "made", "node", "pending", "position", "waiting")

    def __init__(self, node: Node, edges: tuple[Edge, ...]) -> None:
        self.node = node
        self.edges = edges
        self.position = 0
        self.pending: list[tuple[Ref, Edge]] = []
        self.made: list[list[Ref]] = []
        self.waiting: list[Node] = []

    def op(self) -> Op:
        args: list[Ref] = []
        named: list[Ref] = []
        names: list[str] = []
        for (reference, edge), made in zip(self.pending, self.made, strict=True):
            reference = _with_temps(reference, made)
            if edge.kind == KEYWORD:
                named.append(reference)
                names.append(edge.name)
            else:
                args.append(reference)
        return Op(self.node, (*args, *named), tuple(names))


def _with_temps(reference: Ref, made: list[Ref]) -> Ref:
    """Return *reference* with the temps that were promised replaced by those that were made, in order."""
    if reference.how == TEMP:
        return made.pop(0)
    if reference.how == MANY:
        return Ref(MANY, what=reference.what, refs=tuple(_with_temps(inner, made) for inner in reference.refs))
    return reference


def unit_with_arguments(graph: Graph, node: Node, given: dict[str, Any]) -> Unit:
    """
    Return a unit that makes *node* anew for a ``Factory``.

    Raises:
        GraphError: A parameter has neither a provider nor an argument.
    """
    return _Expansion(graph).with_arguments(node, given)
