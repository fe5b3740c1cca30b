"""A plain recursive resolver of random graphs: what a container has to make of them."""

from collections import Counter

from .graphs import LATE, RESOURCES, SCOPED, SINGLETON, SYNC_KINDS, TRANSIENT, VALUE


class Model:
    """A value of the model: which node, made of what, held by whom."""

    def __init__(self, number, parts, home):
        self.number = number
        self.parts = parts
        self.home = home
        self.fetched = {}  #: position of a late need -> what it gave; handles keep what they fetched


class Home:
    """A container or scope of the model: what it keeps, and what it has to close."""

    def __init__(self, reference, outer=None):
        self.reference = reference
        self.outer = outer  #: the container of a scope
        self.values = {}
        self.owned = []  #: in order of completion

    @property
    def resources(self):
        """How often each node's finalizer runs when this is closed."""
        kinds = self.reference.graph.nodes
        return Counter(value.number for value in self.owned if kinds[value.number].kind in RESOURCES)

    def get(self, number):
        """Return the value of a node as this container or scope would."""
        node = self.reference.graph.nodes[number]
        if node.lifetime == SINGLETON and self.outer is not None:
            return self.outer.get(number)
        if number in self.values:
            return self.values[number]
        assert node.lifetime != SCOPED or self.outer is not None, "a scoped value belongs to a scope"
        value = Model(number, [self.get(needed) for needed in node.eager()], self)
        if node.kind != VALUE:
            self.reference.counts[number] += 1
        self.owned.append(value)
        if node.lifetime != TRANSIENT:
            self.values[number] = value
        return value

    def asked(self, number):
        """Return what the container or scope gives to who asks it."""
        return self.get(number)

    def late(self, value):
        """Return what the late needs of *value* give, each fetched once."""
        late = [need for need in self.reference.graph.nodes[value.number].needs if need.how == LATE]
        for position, need in enumerate(late):
            if position not in value.fetched:
                value.fetched[position] = value.home.get(need.number)
        return [value.fetched[position] for position in range(len(late))]

    def is_sync(self, number):
        """Tell whether nothing would have to be awaited for a get of *number* now."""
        seen, to_see = set(), [number]
        while to_see:
            one = to_see.pop()
            node = self.reference.graph.nodes[one]
            keeper = self.outer if node.lifetime == SINGLETON and self.outer is not None else self
            if one in seen or one in keeper.values:
                continue
            seen.add(one)
            if node.kind not in SYNC_KINDS:
                return False
            to_see.extend(node.eager())
        return True


class Reference:
    """The model of one container."""

    def __init__(self, graph):
        self.graph = graph
        self.counts = Counter()  #: number -> how often its factory ran to its end
        self.container = Home(self)

    def scope(self):
        """Open a scope of the model."""
        return Home(self, self.container)


class Twins:
    """Which real value stands for which of the model: one to one, so that sharing is compared, too."""

    def __init__(self):
        self._models, self._records = {}, {}

    def match(self, record, model):
        """Fail unless *record* is what *model* says, all the way down."""
        to_see = [(record, model)]
        while to_see:
            real, expected = to_see.pop()
            if id(real) in self._models or id(expected) in self._records:
                assert self._models.get(id(real)) is expected, f"{real!r} is shared otherwise than in the model"
                continue
            assert real.number == expected.number
            assert len(real.parts) == len(expected.parts), f"{real!r} has other parts than its needs"
            self._models[id(real)], self._records[id(expected)] = expected, real
            to_see.extend(zip(real.parts, expected.parts, strict=True))


# --- judging without knowing the order -----------------------------------------------------------


def check_shape(graph, record):
    """Fail unless *record* is a finished value made of what its node needs, all the way down."""
    seen, to_see = set(), [record]
    while to_see:
        one = to_see.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        assert one.state != "broken", f"{one!r} was handed over"
        assert [part.number for part in one.parts] == graph.nodes[one.number].eager(), f"{one!r} has other parts than its needs"
        to_see.extend(one.parts)


def check_closing(world):
    """
    Fail unless everything that was set up was closed once, and nothing before what uses it.

    A user counts from the moment its factory begins until it has failed or is closed; a user without finalizer
    passes the question on to its own users.
    """
    users = {}  #: record -> those that were made of it
    began = world.told("begin")
    for record in began:
        for part in record.parts:
            users.setdefault(id(part), []).append(record)
    open_now, closed = set(), Counter()
    for what, record in world.journal:
        if what == "begin":
            open_now.add(id(record))
        elif what == "broken" or (what == "made" and not world.is_resource(record)):
            open_now.discard(id(record))
        elif what == "closing":
            closed[id(record)] += 1
            assert closed[id(record)] == 1, f"{record!r} is closed twice"
            seen, to_see = set(), list(users.get(id(record), ()))
            while to_see:
                user = to_see.pop()
                if id(user) in seen:
                    continue
                seen.add(id(user))
                assert id(user) not in open_now, f"{record!r} is closed before {user!r}, which uses it"
                to_see.extend(users.get(id(user), ()))
        elif what == "closed":
            open_now.discard(id(record))
    for record in world.told("made"):
        if world.is_resource(record):
            assert closed[id(record)] == 1, f"{record!r} was never closed"


def check_sharing(world):
    """Fail unless a shared value was alive at most once at a time in its home, and no transient one was shared."""
    alive, users = {}, Counter()
    for what, record in world.journal:
        if what == "begin":
            users.update(id(part) for part in record.parts if world.graph.nodes[part.number].lifetime == TRANSIENT)
        node = world.graph.nodes[record.number]
        if node.lifetime == TRANSIENT:
            continue
        home = (record.era, record.where if node.lifetime == SCOPED else None, record.number)
        if what == "begin":
            assert home not in alive, f"{record!r} is begun while there is {alive[home]!r}"
            alive[home] = record
        elif what in ("broken", "closed"):
            alive.pop(home, None)
    assert all(count == 1 for count in users.values())
    again = [record for record, count in Counter(world.told("begin")).items() if count > 1]
    assert not again, f"{again!r} were begun twice: a service that did not start is made anew"
