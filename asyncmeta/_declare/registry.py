"""What is registered on a class, and on the classes below it?"""

from __future__ import annotations

import types
import typing
import weakref
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from .._names import Place, is_a, name_of, origin_of
from ..errors import DeclarationError
from .keys import MISSING, Lazy, Token, is_hashable, token_key
from .makers import ASYNC, ASYNC_GENERATOR, GENERATOR, SYNC, VALUE, Maker
from .registrations import PLAIN, Entry, Later, Options, Particular, Registration

T = TypeVar("T")

__all__ = [
    "Attribute",
    "NotYet",
    "Registry",
    "attributes_of",
    "checked_context",
    "checked_options",
    "checked_scopes",
    "has_attributes",
    "inferred_token",
    "is_token",
    "layers_of",
    "registry_of",
    "snapshot",
]


class Attribute:
    """What a descriptor is to the rooms below it: a name, and what it asks for."""

    __slots__ = ()

    owner: type | None  #: the class in which it stands

    def _anew(self) -> Attribute:
        """Return one that asks for the same, and stands nowhere yet."""
        raise NotImplementedError

    def ask_in(self, owner: type) -> Any:
        """Return the Ask of this attribute, in a class that has it."""
        raise NotImplementedError


class NotYet(Exception):
    """A factory's return annotation names something that is not defined yet: its registration waits."""


def checked_options(maker: Maker, lifetime: Any, given: Mapping[str, Any]) -> Options:
    """
    Return the options, or raise what is wrong with them.

    Args:
        given: By name, those that were written; the others are as in the plain kind.

    Raises:
        DeclarationError: One is of the wrong kind, or they contradict each other.
    """
    if not isinstance(lifetime, str) or not lifetime:
        raise DeclarationError(f'lifetime is "singleton", "scoped", "transient" or the name of a level, not {_described(lifetime)}')
    if not given:
        return PLAIN
    timeout, health = given.get("timeout"), given.get("health")
    in_thread, concurrent = given.get("in_thread", False), given.get("concurrent", False)
    if timeout is None and not in_thread and not concurrent and health is None:
        return PLAIN
    if timeout is not None and (not isinstance(timeout, int | float) or isinstance(timeout, bool) or not timeout > 0):
        raise DeclarationError("timeout is a number of seconds above 0, or None to wait for ever")
    for name, said in (("in_thread", in_thread), ("concurrent", concurrent)):
        if not isinstance(said, bool):
            raise DeclarationError(f"{name} is True or False, not {_described(said)}")
    if in_thread and maker.kind in (ASYNC, ASYNC_GENERATOR):
        raise DeclarationError(f"in_thread=True is for synchronous factories; {maker.name} is {maker.kind}")
    if maker.kind == VALUE and (timeout is not None or in_thread):
        raise DeclarationError("a value is there already: timeout and in_thread have nothing to do")
    if timeout is not None and not in_thread and maker.kind in (SYNC, GENERATOR) and not _starts(maker.cls):
        raise DeclarationError(
            f"timeout= cannot stop {maker.name}, which is synchronous and runs in place; add in_thread=True or make it async"
        )
    if concurrent and lifetime in ("singleton", "transient"):
        raise DeclarationError(
            f"concurrent=True is for scoped values; a {lifetime} one "
            + ("is built beside others anyway" if lifetime == "singleton" else "has no build of its own")
        )
    if health is not None and not callable(health) and not isinstance(health, str):
        raise DeclarationError("health is a callable that gets the value, or the name of a method of it")
    return Options(None if timeout is None else float(timeout), in_thread, concurrent, health)


def _described(thing: object) -> str:
    return "None" if thing is None else f"a {type(thing).__name__}" if not isinstance(thing, str) else name_of(thing)


class Registry:
    """
    The registrations of one service class, and what else its declaration says.

    Layered along the class's MRO; the base class's own is the shared layer, the lowest.
    """

    __slots__ = (
        "__weakref__", "attributes", "cls", "context", "entries", "graphs", "implicit", "lifetime", "listed", "middleware",
        "name", "place", "replaced", "scopes", "seen", "waiting", "watched", "watchers",
    )  # fmt: skip

    def __init__(self, cls: type | None, lifetime: str = "singleton", place: Place | None = None) -> None:
        self.cls = cls
        self.name = cls.__qualname__ if cls is not None else "providers"
        self.place = place or Place("", 0)
        self.lifetime = lifetime
        #: keys of context values by level name; "" is the innermost
        self.context: Mapping[str, tuple[Hashable, ...]] = {}
        self.scopes: tuple[str, ...] = ()
        self.middleware: tuple[Any, ...] = ()
        #: names that its texts use, as the function around a local class had them
        self.seen: Mapping[str, Any] | None = None
        #: this class's own descriptors
        self.attributes: dict[str, Attribute] = {}
        #: one registration, or all of a multi key
        self.entries: dict[Hashable, Registration | list[Registration]] = {}
        #: what is asked for from outside, as written, and where that was said
        self.listed: dict[Any, Place] = {}
        #: registrations whose token is not defined yet, each as the function that tries again
        self.waiting: list[tuple[Callable[[], tuple[Registration, bool]], Place]] = []
        #: what a later registration of the same layer took the place of, and that one
        self.replaced: list[tuple[Registration, Registration]] = []
        #: the class itself, asked for under its own type
        self.implicit: Registration | None = None
        #: what _solve has made of it; kept here so that it lives as long as the class
        self.graphs: dict[bool, Any] = {}
        #: told when a registration is added
        self.watchers: weakref.WeakSet[Any] = weakref.WeakSet()
        self.watched = False  #: somebody was, at some time

    def __reduce__(self) -> str:
        raise TypeError(f"the registry of {self.name} is part of the class: pickle the class's import path instead")

    def __copy__(self) -> Registry:
        return self.__reduce__()  # type: ignore[return-value]

    def __deepcopy__(self, memo: object) -> Registry:
        return self.__reduce__()  # type: ignore[return-value]

    def has(self, registration: Registration) -> bool:
        """Tell whether this layer registers the very function of a list's *registration* under its key."""
        maker = registration.maker
        if maker.of_list or maker.function is None:  # no function that stands in a list as it is
            return False
        entry = self.entries.get(registration.key)
        there = entry if isinstance(entry, list) else () if entry is None else (entry,)
        return any(one.maker.written is maker.written for one in there)

    def add(self, registration: Registration, *, replace: bool) -> None:
        """
        Take a registration under all of its keys, or none.

        Args:
            replace: Win over one of another module; without it both are kept as rivals, an error for who reaches them.

        Raises:
            DeclarationError: Single and multi would be mixed under one key.
        """
        entries = self.entries
        if type(registration) is Registration and registration.key not in entries:
            entries[registration.key] = registration
            if self.watched:
                self.changed(registration)
            return
        if registration.bare:
            self.listed[registration.key] = registration.place
            entries.setdefault(registration.key, registration)
            self.changed()
            return
        if not registration.also and not registration.multi and registration.key not in entries and not registration.members:
            entries[registration.key] = registration
            self.changed(registration)
            return
        from .repeated import one_module, run_again, with_member, wrap  # lazy import

        particular = registration if isinstance(registration, Particular) else None
        fresh: list[tuple[Hashable, Registration | list[Registration]]] = []
        replaced: list[tuple[Registration, Registration]] = []
        for key in registration.keys:
            there = entries.get(key)
            if there is None or (isinstance(there, Registration) and there.bare):
                if particular is not None and particular.around:
                    particular.inner = there  # what is only listed is there, too, where nothing below has the key
                fresh.append((key, [registration] if registration.multi else registration))
                continue
            _check_kind(key, there, registration)
            if isinstance(there, list):
                assert particular is not None
                fresh.append((key, with_member(there, particular, replace)))
            elif particular is not None and particular.around:
                if not wrap(there, particular):
                    fresh.append((key, registration))
            else:
                if not replace and registration.module is not None:
                    rivals = (*registration.rivals, *there.rivals, there)
                    registration.rivals = tuple(r for r in rivals if r.module is not None and not one_module(r, registration))
                one_by_two_names = there.module != registration.module and run_again(there, registration)
                if not registration.rivals and not one_by_two_names:
                    replaced.append((there, registration))
                fresh.append((key, registration))
        for member in registration.members:
            there = entries.get(member.key)
            if there is None or (isinstance(there, Registration) and there.bare):
                there = []
            _check_kind(member.key, there, member)
            assert isinstance(there, list)
            fresh.append((member.key, with_member(there, member, replace)))
        entries.update(fresh)
        for old, new in replaced:
            self._note_replaced(old, new)
        self.changed()

    def _note_replaced(self, old: Registration, new: Registration) -> None:
        """Keep what a registration took the place of; where one line replaces its own again and again, the first and the last."""
        if str(old.place) == str(new.place):
            for number, (first, last) in enumerate(self.replaced):
                if last is old:
                    self.replaced = [*self.replaced[:number], (first, new), *self.replaced[number + 1 :]]
                    return
        self.replaced = [*self.replaced, (old, new)]

    def add_none(self, key: Hashable) -> None:
        """Say that a multi key has no values: what is below is not added up."""
        self.entries[key] = []
        self.changed()

    def add_all(self, written: Sequence[Registration | Entry | Later], below: Sequence[Registry] = ()) -> None:
        """
        Take all that is *written* in a list, each registration in the place of what is there, or none of it.

        Args:
            below: The layers below this one: a function that is registered there, or here, is only named.

        Raises:
            DeclarationError: Single and multi would be mixed under one key.
        """
        entries, listed, replaced = dict(self.entries), dict(self.listed), self.replaced
        try:
            for one in written:
                if isinstance(one, Entry):
                    self.listed[one.token] = one.place
                elif isinstance(one, Later):
                    self.add_later(partial(_made_later, one.make), one.place)
                elif any(layer.has(one) for layer in (self, *below)):
                    self.listed[one.key] = one.place
                else:
                    self.add(one, replace=True)
            self.changed()
        except DeclarationError:
            self.entries, self.listed = entries, listed
            self.replaced = replaced
            self.changed()
            raise

    def add_later(self, make: Callable[[], tuple[Registration, bool]], place: Place) -> None:
        """Take a registration whose token may not be defined yet: now, or when somebody looks."""
        try:
            registration, replace = make()
        except NotYet:
            self.waiting.append((make, place))
            self.changed()
        else:
            self.add(registration, replace=replace)

    def read_waiting(self) -> None:
        """Take the registrations whose tokens have been defined meanwhile."""
        waiting, self.waiting = self.waiting, []
        for make, place in waiting:
            self.add_later(make, place)

    def unreadable(self) -> list[tuple[str, Place]]:
        """Return why registrations still wait, and where they were written."""
        found = []
        for make, place in self.waiting:
            try:
                make()
            except NotYet as error:
                found.append((str(error), place))
        return found

    def watch(self, watcher: Any) -> None:
        """Tell *watcher*, while it lives, of each registration from here on."""
        self.watchers.add(watcher)
        self.watched = True

    def changed(self, fresh: Registration | None = None) -> None:
        """
        Tell everything that was made of this registry.

        Args:
            fresh: All that has changed: the first registration here of its one key.
        """
        if self.watched:
            for watcher in snapshot(self.watchers):
                watcher.declared(fresh)

    def all(self) -> Iterator[Registration]:
        """Give each registration once, in the order of writing."""
        seen: set[int] = set()
        for entry in snapshot(self.entries.values()):
            if type(entry) is Registration:  # it stands under one key
                yield entry
                continue
            for registration in entry if isinstance(entry, list) else (entry,):
                if not registration.also:
                    yield registration
                elif id(registration) not in seen:
                    seen.add(id(registration))
                    yield registration

    def inherit(self, other: Registry) -> None:
        """Take over what *other* says: a decorator (slots) has made the class a second time."""
        self.lifetime, self.context, self.scopes = other.lifetime, other.context, other.scopes
        self.middleware, self.place = other.middleware, other.place
        self.entries, self.listed = dict(other.entries), dict(other.listed)
        self.waiting = list(other.waiting)


def _check_kind(key: Hashable, there: Registration | list[Registration], registration: Registration) -> None:
    """Refuse a single value of a key that has several, or the other way round."""
    if isinstance(there, list) != registration.multi:
        first = there[0] if isinstance(there, list) else there
        raise DeclarationError(
            f"{name_of(key)} is registered {'with' if isinstance(there, list) else 'without'} multi=True "
            f"at {first.place}; one key cannot be both",
            str(registration.place),
        )


def snapshot(things: Iterable[T]) -> list[T]:
    """Return what *things* holds now, where another thread may add to it meanwhile: then it is looked at again."""
    while True:
        try:
            return list(things)
        except RuntimeError:  # it has changed size
            continue


def _made_later(make: Callable[[], Registration]) -> tuple[Registration, bool]:
    return make(), True


def _starts(cls: Any) -> bool:
    """Tell whether *cls* is a service class with an ``on_startup`` of its own: an awaited part of its construction."""
    return registry_of(cls) is not None and cls.on_startup is not layers_of(cls)[-1].cls.on_startup  # type: ignore[union-attr]


#: What stands in a class itself, whatever its metaclass says.
_namespace_of: Callable[[type], Mapping[str, Any]] = vars(type)["__dict__"].__get__


def registry_of(cls: Any) -> Registry | None:
    """Return the registry of a service class; None for everything else."""
    # Services have a metaclass: what has none, which is nearly everything, is answered at once.
    kind = type(cls)
    if kind is type or not issubclass(kind, type):
        return None
    found = _namespace_of(cls).get("__asyncmeta__")
    return found if isinstance(found, Registry) else None


def layers_of(cls: type) -> tuple[Registry, ...]:
    """Return the registries along the MRO of *cls*, its own first, the shared one last."""
    return tuple(registry for registry in map(registry_of, cls.__mro__) if registry is not None)


# What nearly all is that a class has; compared one by one, since not every class has a hash.
_METHOD, _SLOT, _NONE = types.FunctionType, types.GetSetDescriptorType, types.NoneType


def has_attributes(cls: type | None) -> bool:
    """Tell whether *cls* may have such descriptors; of ten thousand classes each is asked, and hardly one has any."""
    for base in () if cls is None else cls.__mro__:
        if base is object:
            break
        if type(base) is not type and registry_of(base) is not None:
            return True
        for thing in _namespace_of(base).values():
            kind = type(thing)
            if kind is _METHOD or kind is str or kind is _SLOT or kind is _NONE:
                continue
            if issubclass(kind, Attribute):
                return True
    return False


def attributes_of(cls: type) -> dict[str, Attribute]:
    """Return all descriptors of *cls*, the inherited ones included; what a subclass hides is left out."""
    found: dict[str, Attribute] = {}
    for base in cls.__mro__[-2::-1]:
        registry = None if type(base) is type else registry_of(base)
        if registry is not None:
            for name in found.keys() & vars(base).keys():
                del found[name]
            found.update(registry.attributes)
        else:
            for name, thing in vars(base).items():
                if issubclass(type(thing), Attribute):  # as `is_a`: most of what a class has is asked here
                    found[name] = thing
                elif name in found:
                    del found[name]
    return found


def checked_context(context: Any) -> Mapping[str, tuple[Hashable, ...]]:
    """Return ``context=`` as keys by level; "" is the innermost one."""
    if isinstance(context, str | bytes) or not isinstance(context, Iterable):
        raise DeclarationError("context is a list of tokens, or a mapping from a level's name to one")
    by_level = context if isinstance(context, Mapping) else {"": context}
    found: dict[str, tuple[Hashable, ...]] = {}
    for level, tokens in by_level.items():
        if not isinstance(level, str) or isinstance(tokens, str) or not isinstance(tokens, Iterable):
            raise DeclarationError("context is a list of tokens, or a mapping from a level's name to one")
        try:
            found[level] = tuple([token_key(token) for token in tokens])
        except DeclarationError as error:
            raise DeclarationError(f"context: {error.message}") from None
    return found


def checked_scopes(scopes: Any) -> tuple[str, ...]:
    """Return ``scopes=`` as a tuple of names, outer first."""
    if isinstance(scopes, str) or not isinstance(scopes, Sequence):
        raise DeclarationError('scopes is a sequence of names, outer first: scopes=("session", "request")')
    names = tuple(scopes)
    for name in names:
        if not isinstance(name, str) or not name:
            raise DeclarationError(f"the name of a level is a string, not {_described(name)}")
        if name in ("singleton", "transient", "scoped"):
            raise DeclarationError(f'"{name}" is a lifetime already and cannot name a level')
    if len(set(names)) != len(names):
        raise DeclarationError("scopes names a level twice")
    return names


# What a function returns says nothing about what it is for, where it is one of these.
_SAYS_NOTHING = frozenset(
    {str, bytes, int, float, bool, complex, object, list, dict, set, frozenset, tuple, type, type(None), Any, None}
)


def inferred_token(maker: Maker, owner: type | None, wrong: Callable[[str], DeclarationError]) -> Hashable:
    """
    Return the token that a factory's return annotation names.

    Args:
        wrong: Makes the error of a text that says what is wrong with it.

    Raises:
        DeclarationError: It names none, or one that says nothing.
        NotYet: It names something that is not defined yet.
    """
    try:
        token = maker.returns(owner)
    except DeclarationError as error:
        raise wrong(error.message) from None
    except Exception as error:
        raise (NotYet if isinstance(error, NameError) else wrong)(
            f"the return annotation of {maker.name} cannot be read ({type(error).__name__}: {error}); "
            f"give the token: @inject_dependency(...)"
        ) from None
    if token is MISSING:
        raise wrong(
            f"{maker.name} does not say what it makes; annotate what it returns, or give the token: @inject_dependency(...)"
        )
    origin = origin_of(token)
    if (is_hashable(token) and token in _SAYS_NOTHING) or origin is Lazy or is_a(token, str):
        raise wrong(f"{name_of(token)} does not say what {maker.name} is for; give the token: @inject_dependency(...)")
    return token  # type: ignore[no-any-return]


def is_token(token: Any) -> bool:
    """Tell whether *token* is of the kinds that a decorator takes: a class, string, Token or typing form."""
    if is_a(token, str) or is_a(token, type) or is_a(token, Token):
        return not is_a(token, str) or bool(token)
    return (
        origin_of(token) is not None
        or is_a(token, typing.NewType)
        or type(token).__name__ in ("TypeAliasType", "NewType", "_AnnotatedAlias", "ParamSpec")
        or token is Any
    )
