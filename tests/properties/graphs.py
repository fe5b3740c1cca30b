"""Random graphs as plain data, and the code that registers one on a service class."""

import itertools
import types
from contextlib import asynccontextmanager, contextmanager
from typing import Annotated, Any, NamedTuple

import amount
from hypothesis import HealthCheck, settings, strategies as st

from asyncmeta import AsyncDependencyDescriptor, AsyncServiceBase, Inject, Lazy, Token, inject_dependency

# --- the data ------------------------------------------------------------------------------------

VALUE, CLASS, SYNC, GENERATOR, MANAGER, SERVICE = "value", "class", "sync", "generator", "manager", "service"
ASYNC, ASYNC_GENERATOR, ASYNC_MANAGER, STARTED = "async", "async generator", "async manager", "started service"

SYNC_KINDS = (VALUE, CLASS, SYNC, GENERATOR, MANAGER, SERVICE)
ASYNC_KINDS = (ASYNC, ASYNC_GENERATOR, ASYNC_MANAGER, STARTED)
RESOURCES = frozenset({GENERATOR, MANAGER, ASYNC_GENERATOR, ASYNC_MANAGER, STARTED})  #: what has a finalizer
SERVICES = frozenset({SERVICE, STARTED})

SINGLETON, SCOPED, TRANSIENT = "singleton", "scoped", "transient"

PARAMETER = "parameter"
LATE = "late"  #: a Lazy parameter, or a service's descriptor, that is awaited when the value is there
NOW = "now"  #: the same, awaited by the factory (by on_startup)


class Need(NamedTuple):
    """One dependency of a node."""

    number: int
    how: str
    by_name: bool  #: a parameter without annotation, where the token is a string


class Node(NamedTuple):
    """One registration."""

    number: int
    kind: str
    lifetime: str
    level: int  #: 0 where nothing that it needs is scoped, else 1
    needs: tuple[Need, ...]
    token: str  #: "text", "class" or "token"
    decorated: bool  #: by ``inject_dependency(..., on=App)``, else by ``App.register_dependency``
    passing: str  #: how parameters are written: "normal", "positional" or "keyword"
    pauses: int  #: how often its set-up waits
    closing_pauses: int  #: how often its finalizer waits

    def __repr__(self):
        needs = ", ".join(f"{need.number} {need.how}{' by name' if need.by_name else ''}" for need in self.needs)
        traits = f"{self.token}{' decorated' if self.decorated else ''} {self.passing} {self.pauses}/{self.closing_pauses}"
        return f"\n  #{self.number} {self.lifetime} {self.kind} (level {self.level}) needs [{needs}] {traits}"

    @property
    def own_key(self):
        """Tell whether it is a service class that is asked for under its own type, without a registration."""
        return self.kind in SERVICES and self.token == "class"

    def eager(self):
        """Return the numbers of what has to be there first, parameters before what the factory awaits itself."""
        return [need.number for how in (PARAMETER, NOW) for need in self.needs if need.how == how]


class Graph(NamedTuple):
    """Nodes, each needing only those before it, but for what it fetches late."""

    nodes: tuple[Node, ...]
    backwards: bool  #: registered in this order

    def reach(self, number):
        """Return the numbers of all nodes that a get of *number* may build, itself included."""
        found, to_see = set(), [number]
        while to_see:
            one = to_see.pop()
            if one not in found:
                found.add(one)
                to_see.extend(self.nodes[one].eager())
        return found


# --- the strategies ------------------------------------------------------------------------------

HEAVIEST = 60  #: how many objects one get may make of transient values

_PICK = st.integers(0, 59)
_needs = st.lists(st.tuples(_PICK, st.sampled_from((PARAMETER, PARAMETER, PARAMETER, NOW)), st.booleans()), max_size=4)
_late = st.lists(st.tuples(_PICK, _PICK), max_size=6)


def _traits(kinds):
    return st.tuples(
        st.sampled_from(kinds),
        st.sampled_from((SINGLETON, SCOPED, TRANSIENT, SINGLETON, SCOPED)),
        st.integers(0, 1),
        _needs,
        st.sampled_from(("text", "class", "token")),
        st.booleans(),
        st.sampled_from(("normal", "positional", "keyword")),
        st.integers(0, 2),
        st.integers(0, 2),
    )


@st.composite
def graphs(draw, most=60, sync=False):
    """Draw a graph of 1 to *most* nodes, where *sync* of such that nothing has to be awaited."""
    traits = _traits(SYNC_KINDS if sync else SYNC_KINDS + ASYNC_KINDS)
    sizes = [st.lists(traits, min_size=1, max_size=min(most, 8))]
    if most > 8:
        sizes.append(st.lists(traits, min_size=6, max_size=most))
    if most > 30:
        sizes.append(st.lists(traits, min_size=30, max_size=most))
    nodes, weights = [], []
    drawn = draw(st.one_of(sizes))
    for number, (kind, lifetime, level, picks, *rest) in enumerate(drawn):
        if kind == VALUE:
            lifetime = SINGLETON
        level = {SINGLETON: 0, SCOPED: 1, TRANSIENT: level}[lifetime]
        needs = []
        for pick, how, by_name in picks if number and kind != VALUE else ():
            # Small picks are near: that makes deep graphs, and wide ones.
            needed = number - 1 - pick % number
            if nodes[needed].level > level:
                continue  # captive
            if how == NOW and not (kind in ASYNC_KINDS or (sync and kind != SERVICE)):
                how = PARAMETER
            needs.append(Need(needed, how, by_name and nodes[needed].token == "text"))
        weight = 1 + sum(weights[need.number] for need in needs)
        if weight > HEAVIEST and lifetime == TRANSIENT:
            lifetime = SCOPED if level else SINGLETON
        weights.append(weight if lifetime == TRANSIENT else 0)
        nodes.append(Node(number, kind, lifetime, level, tuple(needs), *rest))
    for user, needed in draw(_late):
        user, needed = nodes[user % len(nodes)], nodes[needed % len(nodes)]
        if needed.own_key and needed.number >= user.number and user.kind in SERVICES:
            continue  # a descriptor cannot name a class that is not there yet
        if needed is user:
            continue  # its own key means the registration that it shadows, and there is none
        if user.kind != VALUE and needed.level <= user.level:
            nodes[user.number] = user._replace(needs=(*user.needs, Need(needed.number, LATE, False)))
    return Graph(tuple(nodes), draw(st.booleans()))


def examples(count):
    """Return the settings for *count* examples, of which a fifth is tried while working."""
    number = amount.of(count, working=max(10, round(count / 5)))
    return settings(max_examples=number, deadline=None, suppress_health_check=list(HealthCheck))


# --- the values ----------------------------------------------------------------------------------

BUILDING, MADE, BROKEN, CLOSING, CLOSED = "building", "made", "broken", "closing", "closed"


class Record:
    """What is known about one value: which node made it, of what, and how far it has come."""

    def __init__(self, number, serial, parts, where):
        self.number = number
        self.serial = serial
        self.parts = parts  #: records of what it was made of
        self.late = []  #: (number, function that returns the handle) of what may be fetched when it is there
        self.now = []  #: the same of what its factory fetches
        self.where = where  #: the label of its scope, None where nothing scoped can be in it
        self.era = 0
        self.state = BUILDING

    def __repr__(self):
        return f"#{self.number}/{self.serial}{'' if self.where is None else f'@{self.where}'} {self.state}"


class Value:
    """What function factories make."""

    def __init__(self, record):
        self.record = record


class Boom(Exception):
    """What a factory or finalizer of these tests raises."""


_HEADS = {
    SYNC: "def factory",
    MANAGER: "def factory",
    GENERATOR: "def factory",
    ASYNC: "async def factory",
    ASYNC_GENERATOR: "async def factory",
    ASYNC_MANAGER: "async def factory",
    CLASS: "def __init__",
    SERVICE: "def __init__",
    STARTED: "def __init__",
}

_PLAIN_BODY = """
    value = world.begin(number, {parts}, {handles}, {where})
    {wait}world.set_up{nowait}(value.record)
    return value
"""

_RESOURCE_BODY = """
    value = world.begin(number, {parts}, {handles}, {where})
    {wait}world.set_up{nowait}(value.record)
    try:
        yield value
    finally:
        {wait}world.tear_down{nowait}(value.record)
"""

_CLASS_BODY = """
    world.begin(number, {parts}, {handles}, {where}, self)
    world.set_up_nowait(self.record)
"""

_SERVICE_BODY = """
    world.begin(number, {parts}, {handles}, {where}, self)
"""

_BODIES = {
    SYNC: _PLAIN_BODY,
    ASYNC: _PLAIN_BODY,
    GENERATOR: _RESOURCE_BODY,
    MANAGER: _RESOURCE_BODY,
    ASYNC_GENERATOR: _RESOURCE_BODY,
    ASYNC_MANAGER: _RESOURCE_BODY,
    CLASS: _CLASS_BODY,
    SERVICE: _CLASS_BODY,
    STARTED: _SERVICE_BODY,
}


class World:
    """
    One graph registered on a fresh application, and the journal of what its factories did.

    Args:
        graph: What to register.
        pause: Awaited with (record, "set up" or "tear down") as often as the node says.
        fault: Called with (record, "set up" or "tear down"); may return an exception to be raised there.
    """

    def __init__(self, graph, pause=None, fault=None):
        self.graph = graph
        self.pause = pause
        self.fault = fault
        self.journal = []  #: (what, record) in order: "begin", "made", "broken", "closing", "closed"
        self.raised = []  #: the exceptions that factories raised
        self.raised_closing = []  #: the exceptions that finalizers raised
        self.era = 0  #: how often the container was entered again
        self._serials = itertools.count()

        class App(AsyncServiceBase, context=["where"]):
            pass

        self.app = App
        self._tokens()
        for node in reversed(graph.nodes) if graph.backwards else graph.nodes:
            self._register(node)

    # --- registering -----------------------------------------------------------------------------

    def _tokens(self):
        """Make a token for each node; a service class that is its own token is made here."""
        self.tokens = [self._token(node) for node in self.graph.nodes]
        for node in self.graph.nodes:
            if node.own_key:
                self.tokens[node.number] = self._service_class(node)

    @staticmethod
    def _token(node):
        if node.own_key:
            return None
        if node.token == "class":
            return type(f"Key{node.number}", (), {})
        return f"n{node.number}" if node.token == "text" else Token(f"n{node.number}")

    def _service_class(self, node):
        world = self
        names = {"__init__": self._factory(node)}
        for position, need in enumerate(node.needs):
            if need.how != PARAMETER:
                names[f"d{position}"] = AsyncDependencyDescriptor(self.tokens[need.number])
        if node.kind == STARTED:

            async def on_startup(self):
                world.journal.append(("begin", self.record))
                await world.set_up(self.record)

            async def on_shutdown(self):
                await world.tear_down(self.record)

            names.update(on_startup=on_startup, on_shutdown=on_shutdown)
        bases, keywords = (AsyncServiceBase,), {"lifetime": node.lifetime}
        return types.new_class(f"Service{node.number}", bases, keywords, lambda body: body.update(names))

    def _factory(self, node):
        names, annotations, parts, handles = [], {}, [], []
        for position, need in enumerate(node.needs):
            if need.how != PARAMETER and node.kind in SERVICES:
                handles.append(f"({need.number}, {need.how == NOW}, lambda: self.d{position})")
                continue
            token = self.tokens[need.number]
            name = f"p{position}"
            if need.how != PARAMETER:
                annotations[name] = Lazy[Annotated[Any, Inject(token)]]
                handles.append(f"({need.number}, {need.how == NOW}, lambda: {name})")
            else:
                if need.by_name and token not in names:
                    name = token
                elif isinstance(token, type) and need.number % 2:
                    annotations[name] = token
                else:
                    annotations[name] = Annotated[Any, Inject(token)]
                parts.append(f"{name}.record")
            names.append(name)
        if node.level:
            names.append("where")
            annotations["where"] = Annotated[Any, Inject("where")]
        signature = ", ".join(names)
        if names and node.passing == "positional":
            signature += ", /"
        elif names and node.passing == "keyword":
            signature = f"*, {signature}"
        if node.kind in (CLASS, *SERVICES):
            signature = f"self, {signature}"
        waits = node.kind in ASYNC_KINDS
        body = _BODIES[node.kind].format(
            parts=f"[{', '.join(parts)}]",
            handles=f"[{', '.join(handles)}]",
            where="where" if node.level else "None",
            wait="await " if waits else "",
            nowait="" if waits else "_nowait",
        )
        found = {"world": self, "number": node.number}
        exec(f"{_HEADS[node.kind]}({signature}):{body}", found)
        function = found["__init__" if node.kind in (CLASS, *SERVICES) else "factory"]
        function.__annotations__.update(annotations)
        return function

    def _register(self, node):
        if node.own_key:
            return  # asked for under its own type: it needs no registration
        token = self.tokens[node.number]
        if node.kind == VALUE:
            value = Value(Record(node.number, next(self._serials), [], None))
            value.record.state = MADE
            self.app.register_value(token, value)
            return
        if node.kind in SERVICES:
            factory = self._service_class(node)
        else:
            factory = self._factory(node)
        if node.kind == CLASS:
            factory = type(f"Class{node.number}", (token,) if node.token == "class" else (), {"__init__": factory})
        elif node.kind == MANAGER:
            factory = contextmanager(factory)
        elif node.kind == ASYNC_MANAGER:
            factory = asynccontextmanager(factory)
        if node.decorated:
            inject_dependency(token, lifetime=node.lifetime, on=self.app)(factory)
        else:
            self.app.register_dependency(token, factory, lifetime=node.lifetime)

    # --- what factories do -----------------------------------------------------------------------

    def begin(self, number, parts, handles, where, value=None):
        """Note that a factory begins; return its value to be."""
        record = Record(number, next(self._serials), parts, where)
        record.era = self.era
        record.late = [(needed, fetch) for needed, now, fetch in handles if not now]
        record.now = [fetch for _, now, fetch in handles if now]
        if value is None:
            value = Value(record)
        else:
            value.record = record
        if self.graph.nodes[number].kind != STARTED:  # whose build is its on_startup
            self.journal.append(("begin", record))
        return value

    async def set_up(self, record):
        """Wait, fail or succeed as a factory that awaits."""
        try:
            for fetch in record.now:
                record.parts.append((await fetch()).record)
            for _ in range(self.graph.nodes[record.number].pauses if self.pause else 0):
                await self.pause(record, "set up")
            self._fail(record, "set up", self.raised)
        except BaseException:
            self._note("broken", record)
            raise
        self._note("made", record)

    def set_up_nowait(self, record):
        """Fail or succeed as a factory that does not await."""
        try:
            for fetch in record.now:
                record.parts.append(fetch().nowait().record)
            self._fail(record, "set up", self.raised)
        except BaseException:
            self._note("broken", record)
            raise
        self._note("made", record)

    async def tear_down(self, record):
        """Wait, fail or succeed as a finalizer that awaits."""
        self._note("closing", record)
        try:
            for _ in range(self.graph.nodes[record.number].closing_pauses if self.pause else 0):
                await self.pause(record, "tear down")
            self._fail(record, "tear down", self.raised_closing)
        finally:
            self._note("closed", record)

    def tear_down_nowait(self, record):
        """Fail or succeed as a finalizer that does not await."""
        self._note("closing", record)
        try:
            self._fail(record, "tear down", self.raised_closing)
        finally:
            self._note("closed", record)

    def _note(self, what, record):
        record.state = {"made": MADE, "broken": BROKEN, "closing": CLOSING, "closed": CLOSED}[what]
        self.journal.append((what, record))

    def _fail(self, record, phase, raised):
        error = self.fault(record, phase) if self.fault else None
        if error is not None:
            raised.append(error)
            raise error

    # --- what tests ask --------------------------------------------------------------------------

    def told(self, what):
        """Return the records of the events called *what*, in order."""
        return [record for event, record in self.journal if event == what]

    def is_resource(self, record):
        """Tell whether a finalizer belongs to the value."""
        return self.graph.nodes[record.number].kind in RESOURCES
