"""Small inputs for single rooms, made by hand: layers without classes, graphs without containers."""

from asyncmeta import AsyncServiceBase
from asyncmeta._declare.annotations import NORMAL, Parameter
from asyncmeta._declare.keys import MISSING, ask_for
from asyncmeta._declare.makers import maker_of, value_maker
from asyncmeta._declare.registrations import Particular, Registration
from asyncmeta._declare.registry import Registry, layers_of
from asyncmeta._names import Place
from asyncmeta._solve.graph import Graph

HERE = Place("by_hand.py", 1)

CONTAINER, SCOPED = 0, 1  #: levels, where the application declares none


class App:
    """The application; no service class, so that nothing is found but what a test registers."""


def entry(key, factory, lifetime="singleton", **more):
    """Return the registration of *factory* under *key*."""
    return Particular(key, maker_of(factory), lifetime, HERE, **more)


def value(key, thing):
    """Return the registration of a value."""
    return Registration(key, value_maker(thing), "singleton", HERE)


def layer(*registrations, context=(), scopes=()):
    """Return a layer that registers these, in this order."""
    made = Registry(None)
    made.scopes = scopes
    if context:
        made.context = {"": context}
    for registration in registrations:
        made.add(registration, replace=False)
    return made


class Shared:
    """The class whose layer lies below all others."""


def graph(*layers, builtin=()):
    """Return the graph of *layers*, the highest first, above an empty one that is shared."""
    return Graph([*layers, Registry(Shared)], dict(builtin), app=App, hooks={})


def graph_of(service):
    """Return the graph of a service class and the layers below it."""
    nothing = {name: getattr(AsyncServiceBase, name) for name in ("on_startup", "on_shutdown")}
    return Graph(layers_of(service), {}, app=service, hooks=nothing)


def parameter(name, annotation):
    """Return a parameter of a factory, as if it were written with this annotation."""
    return Parameter(name, NORMAL, ask_for(annotation), MISSING)
