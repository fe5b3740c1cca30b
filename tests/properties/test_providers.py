"""A provider list means what the same registrations mean when they are written one by one."""

import types
from typing import Annotated, NamedTuple

from helpers import fresh_app
from hypothesis import given, strategies as st

from asyncmeta import Container, GraphErrors, Inject, Lifetime
from asyncmeta._names import name_of

from .graphs import examples

MOST = 8  #: tokens; those above the length of a list are provided by nobody

CLASSES = [type(f"K{number}", (), {}) for number in range(MOST)]
TOKENS = [CLASSES[number] if number % 2 else f"t{number}" for number in range(MOST)]


class Entry(NamedTuple):
    """One registration, and how it is written."""

    number: int  #: of its token
    kind: str
    lifetime: str
    needs: tuple[int, ...]
    multi: bool
    deps: bool  #: what it needs stands in deps, else in the annotations
    spelling: int


_KINDS = ("value", "class", "sync", "async", "generator", "async generator")

_entries = st.lists(
    st.builds(
        Entry,
        st.integers(0, MOST - 3),
        st.sampled_from(_KINDS),
        st.sampled_from(("singleton", "singleton", "scoped", "transient")),
        st.lists(st.integers(0, MOST - 1), max_size=3).map(tuple),
        st.booleans(),
        st.booleans(),
        st.integers(0, 7),
    ),
    max_size=8,
)


# Functions of each kind and arity; each use is a copy with annotations of its own.
def _sync0(): ...
def _sync1(a): ...
def _sync2(a, b): ...
def _sync3(a, b, c): ...
async def _async0(): ...
async def _async1(a): ...
async def _async2(a, b): ...
async def _async3(a, b, c): ...
def _generator0():
    yield


def _generator1(a):
    yield


def _generator2(a, b):
    yield


def _generator3(a, b, c):
    yield


async def _agenerator0():
    yield


async def _agenerator1(a):
    yield


async def _agenerator2(a, b):
    yield


async def _agenerator3(a, b, c):
    yield


_FUNCTIONS = {
    "sync": (_sync0, _sync1, _sync2, _sync3),
    "async": (_async0, _async1, _async2, _async3),
    "generator": (_generator0, _generator1, _generator2, _generator3),
    "async generator": (_agenerator0, _agenerator1, _agenerator2, _agenerator3),
}


def in_list(number):
    """Return how a parameter asks in a provider list: plainly, whatever the token is."""
    token = TOKENS[number]
    return token if isinstance(token, type) else Annotated[object, Inject(token)]


def function_of(kind, needs, asking):
    """Return a fresh function of *kind* that takes what it needs, and says so in the way of *asking*, if any."""
    function = _FUNCTIONS[kind][len(needs)]
    fresh = types.FunctionType(function.__code__, function.__globals__, function.__name__)
    if asking is not None:
        fresh.__annotations__ = {name: asking(number) for name, number in zip("abc", needs, strict=False)}
    return fresh


def factory_of(entry, asking):
    """Return the factory of an entry: a class that its token fits, or a function."""
    if entry.kind != "class":
        return function_of(entry.kind, entry.needs, asking)
    token = TOKENS[entry.number]
    written = function_of("sync", entry.needs, asking)
    names = ("self", *"abc"[: len(entry.needs)])
    code = written.__code__.replace(co_argcount=len(names), co_varnames=names, co_nlocals=len(names))
    init = types.FunctionType(code, written.__globals__, "__init__")
    init.__annotations__ = written.__annotations__
    return type("Made", (token,) if isinstance(token, type) else (), {"__init__": init})


def sound(entries):
    """Leave out what mixes single and multi under one token."""
    first = {}
    return [entry for entry in entries if first.setdefault(entry.number, entry.multi) is entry.multi]


def provider_of(entry, factory):
    """Write an entry as a provider, one of the ways it can be written."""
    camel = entry.spelling & 1
    provider = {"provide": TOKENS[entry.number]}
    if entry.kind == "value":
        provider["useValue" if camel else "value"] = entry
    else:
        word = "class" if entry.kind == "class" else "factory"
        provider[f"use{word.title()}" if camel else f"use_{word}"] = factory
        if entry.deps and entry.needs:
            provider["inject" if entry.spelling & 2 else "deps"] = [TOKENS[number] for number in entry.needs]
        if entry.lifetime != "singleton" or entry.spelling & 4:
            provider["scope" if entry.spelling & 2 else "lifetime"] = (
                "request" if entry.lifetime == "scoped" and camel else Lifetime(entry.lifetime)
            )
    if entry.multi or entry.spelling & 4:
        provider["multi"] = entry.multi
    return provider


def nested(providers, data):
    """Put some of *providers* into lists and tuples of their own, in the same order."""
    found = []
    for provider in providers:
        depth = data.draw(st.integers(0, 3))
        if depth == 3 and found and isinstance(found[-1], list):
            found[-1].append(provider)
        else:
            for level in range(depth):
                provider = [provider] if level % 2 else (provider,)
            found.append(provider)
    return found


def graph_of(container):
    """Return what a container knows, in comparable words: each token's nodes with what they need."""

    def told(node):
        edges = [(edge.target.how, [name_of(other.key) for other in edge.target.each()]) for edge in graph.expand(node)]
        problems = sorted((problem.kind, name_of(problem.key)) for problem in node.problems)
        return (name_of(node.key), node.kind, str(node.lifetime), node.level, edges, problems)

    graph, known = container._graph, {}
    for token in TOKENS:
        found = graph.find(None, token)
        nodes = found if isinstance(found, tuple) else () if found is None else (found,)
        known[name_of(token)] = (isinstance(found, tuple), [told(node) for node in nodes])
    return known


def problems_of(app):
    """Return what is wrong with an application, by kind of error and key."""
    try:
        Container(app)
    except GraphErrors as errors:
        return sorted((type(error).__name__, getattr(error, "key", "")) for error in errors.exceptions)
    return []


@examples(150)
@given(_entries, st.data())
def test_a_list_is_its_registrations(entries, data):
    """
    A provider list makes the graph that the same registrations make when they are written one by one.
    """
    listed, written = fresh_app(), fresh_app()
    entries = [entry for entry in sound(entries) if not (entry.multi and entry.kind == "value")]  # which no decorator writes
    several = {entry.number for entry in entries if entry.multi}

    def elsewhere(number):
        # Outside of lists, who takes a token with several registrations has to say so.
        return Annotated[list, Inject(TOKENS[number])] if number in several else in_list(number)

    providers = []
    for entry in entries:
        token = TOKENS[entry.number]
        if entry.kind == "value":
            written.register_value(token, entry)
            providers.append(provider_of(entry, None))
            continue
        written.register_dependency(token, factory_of(entry, elsewhere), lifetime=entry.lifetime, multi=entry.multi)
        # Where deps say what is needed, the factory says nothing.
        providers.append(provider_of(entry, factory_of(entry, None if entry.deps and entry.needs else in_list)))
    before = repr(providers)

    listed.register_providers(nested(providers, data))

    assert repr(providers) == before
    assert graph_of(Container(listed, check=False)) == graph_of(Container(written, check=False))
    assert problems_of(listed) == problems_of(written)
