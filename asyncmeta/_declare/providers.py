"""What does a provider list say?  The dialect in which registrations can be written, translated."""

from __future__ import annotations

import enum
import inspect
import types
import typing
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from typing import Annotated, Any, Literal, Required, TypeAlias

from typing_extensions import TypedDict

from .._compat import annotations_of, is_alias
from .._names import Place, close_to, is_a, name_of, name_of_callable, origin_of, place_of_caller, place_of_function
from ..errors import DeclarationError
from .annotations import POSITIONAL, Parameter
from .constructors import constructor_of
from .entries import also_keys, check_name, into_names, is_function, refuse_class
from .forms import with_own_variables
from .keys import INJECTED, MISSING, Ask, ByName, Factory, Inject, Lazy, Named, Token, ask_for, is_hashable, plain_of
from .lists import called, flat, lifetime_of
from .makers import SYNC, Filled, Maker, class_of, maker_of, value_maker
from .members import itself, members_of
from .registrations import Entry, Later, Particular, Registration
from .registry import Attribute, NotYet, checked_options, inferred_token, registry_of
from .yields import refuse_used_yield

__all__ = ["Overrides", "Provider", "ProviderGroup", "Providers", "read_listed", "read_providers"]


class Provider(TypedDict, total=False):
    """
    One registration, written as a dictionary.

    ``provide`` is the token; one of ``use_class``, ``use_factory``, ``value`` and ``use_existing`` says what is given
    for it (a class as token alone means itself).  ``deps`` are the tokens of the arguments, in order.
    """

    provide: Required[Hashable]
    use_class: type[Any]
    use_factory: Callable[..., Any]
    use_value: Any
    use_existing: Hashable
    value: Any
    deps: Sequence[Hashable]
    inject: Sequence[Hashable]
    multi: Hashable
    scope: str
    lifetime: str
    also: Sequence[Hashable] | Literal["bases"]
    into: Sequence[Hashable] | Mapping[Any, Hashable]
    timeout: float | None
    in_thread: bool
    concurrent: bool
    health: Callable[[Any], object] | str | None
    useClass: type[Any]
    useValue: Any
    useFactory: Callable[..., Any]
    useExisting: Hashable


class ProviderGroup(TypedDict):
    """A list whose plain classes and functions have one lifetime, where they name none themselves."""

    providers: Required[Providers]
    lifetime: Required[str]


Providers: TypeAlias = Sequence[
    "type[Any] | Callable[..., Any] | Token[Any] | Attribute | str | Provider | ProviderGroup | Providers"
]
"""Classes, functions, dictionaries, groups, keys that are asked for from outside, and lists of them nested to any depth."""

Overrides: TypeAlias = Mapping[Any, object] | Providers
"""A mapping from tokens to values, or a provider list."""

CLASS, FACTORY, VALUE, EXISTING = "use_class", "use_factory", "value", "use_existing"
_KINDS = (CLASS, FACTORY, VALUE, EXISTING)

#: Each spelling, and what it means.
WORDS = {
    "provide": "provide",
    "use_class": CLASS,
    "use_factory": FACTORY,
    "value": VALUE,
    "use_value": VALUE,
    "use_existing": EXISTING,
    "deps": "deps",
    "inject": "deps",
    "multi": "multi",
    "scope": "lifetime",
    "lifetime": "lifetime",
    "also": "also",
    "into": "into",
    "timeout": "timeout",
    "in_thread": "in_thread",
    "concurrent": "concurrent",
    "health": "health",
    "useClass": CLASS,
    "useValue": VALUE,
    "useFactory": FACTORY,
    "useExisting": EXISTING,
}

_OPTIONS = ("timeout", "in_thread", "concurrent", "health")


class ProviderMaker(Filled):
    """A factory that a provider list names: what it needs is read by the rules of the dialect."""

    __slots__ = ("deps", "given_as", "named")
    of_list = True

    def __init__(self, maker: Maker, given_as: str, deps: tuple[Any, ...] | None, named: bool = False) -> None:
        super().__init__(maker.call, maker.kind, maker.function, maker.cls, maker.written)
        self.take(maker)
        self.given_as = given_as  #: CLASS or FACTORY
        self.deps = deps  #: what goes in, by position; None where the parameters say it
        self.named = named  #: a parameter without annotation is looked up by its name, as everywhere outside of the dialect

    def misfit(self) -> str:
        return super().misfit() if self.deps is None else self.misfit_of(self.deps)

    def parameters(self, *, method: bool = False, owner: type | None = None) -> tuple[Parameter, ...]:
        """
        Return what the factory needs.

        Raises:
            DeclarationError: A parameter says nothing about what it needs.
        """
        if self.deps is not None:
            return tuple(
                [Parameter(f"deps[{n}]", POSITIONAL, _asked_for(_unmarked(dep)), MISSING) for n, dep in enumerate(self.deps)]
            )
        found = super().parameters(method=method, owner=owner)
        if self.given_as is FACTORY:
            # The defaults of a factory are its own: `lambda bus, token=t: ...` is called with the bus alone.
            found = tuple([parameter for parameter in found if parameter.default in _NO_DEFAULT])
        for parameter in found:
            self._read(parameter)
        return found

    def _read(self, parameter: Parameter) -> None:
        if parameter.named and not self.named:
            raise DeclarationError(
                f"parameter {parameter.name} of {self.name} has neither annotation nor default: annotate it, or give the "
                f"provider deps",
                str(self.place or (self.cls and place_of_function(inspect.unwrap(constructor_of(self.cls)))) or ""),
            )
        if parameter.ask is not None:
            if not parameter.named:
                _asked_for(parameter.ask, self.named)
        elif parameter.unreadable:
            text = self._text_of(parameter.name)
            if text.isidentifier():
                parameter.ask = _asked_for(Ask("value", (text,)))

    def _text_of(self, name: str) -> str:
        """Return the annotation of a parameter as written."""
        call = inspect.unwrap(self.function if self.cls is None else constructor_of(self.cls))
        if not isinstance(call, types.FunctionType):  # what takes fields in C
            return ""
        written = annotations_of(call).get(name)  # not evaluated: it cannot be
        if isinstance(written, typing.ForwardRef):
            written = written.__forward_arg__
        return written.strip("\"' ") if isinstance(written, str) else ""


class _NoDefault:
    """Holds MISSING and INJECTED, by identity: a default may have any ``__eq__``."""

    def __contains__(self, default: object) -> bool:
        return default is MISSING or default is INJECTED


_NO_DEFAULT = _NoDefault()


def _unmarked(dep: Any) -> Ask:
    """Return what an entry of ``deps`` asks for; a bare marker is as good as one in ``Annotated``."""
    marker = type(dep) is Inject or type(dep).__name__ == "InjectionMetadata"
    return ask_for(Annotated[Any, dep] if marker else dep)


def _asked_for(ask: Ask, strict: bool = False) -> Ask:
    """Let *ask* mean what it means in the dialect: a multi key gives its list, a string may be the name of a class."""
    if ask.inner is not None:
        _asked_for(ask.inner)
    elif ask.kind == "value":
        if ask.listed is None:
            ask.listed = list
        elif ask.listed is dict and not strict:  # members without names, as all of Ascender's are, are a list then
            ask.listed = Mapping
        names = tuple([ByName(key) for key in ask.keys if type(key) is str])
        if names:
            ask.keys += names
    return ask


class Alias(ProviderMaker):
    """What gives the value of another key, which is made elsewhere."""

    __slots__ = ()
    is_alias = True

    def parameters(self, *, method: bool = False, owner: type | None = None) -> tuple[Parameter, ...]:
        (parameter,) = super().parameters(method=method, owner=owner)
        return (Parameter("use_existing", parameter.kind, parameter.ask, parameter.default),)

    @property
    def name(self) -> str:
        assert self.deps is not None
        return name_of(self.deps[0])


# --- reading ----------------------------------------------------------------------------------------


def read_listed(providers: Any, place: Place | None = None, lifetime: Any = None) -> list[Registration | Entry | Later]:
    """
    Return what the list of an application says: what it registers, and what it only names as asked for from outside.

    A class by itself counts where nothing else provides it; any other key has to be registered elsewhere.

    Raises:
        DeclarationError: An entry is nothing that can be registered or asked for.
    """
    place = place or place_of_caller()
    try:
        given = None if lifetime is None else lifetime_of("lifetime", lifetime)
    except DeclarationError as error:
        raise DeclarationError(error.message, str(place)) from None
    return _read(providers, place, given, injector=False, listed=True)


def read_providers(providers: Any, place: Place, *, injector: bool = False) -> list[Registration]:
    """
    Return the registrations that *providers* stand for, where every entry registers; the list is not changed.

    Args:
        providers: Classes, functions, dictionaries, and lists and tuples of them nested to any depth.
        place: Where it was written.
        injector: The list is an injector's.  Elsewhere a class that stands in the list as it is keeps the common rule for
            parameters without annotation, which are looked up by their names.

    Raises:
        DeclarationError: An entry is nothing that can be registered; it names the position, and the token where known.
    """
    return [one for one in _read(providers, place, injector=injector, listed=False) if isinstance(one, Registration)]


def _read(
    providers: Any, place: Place, lifetime: str | None = None, *, injector: bool, listed: bool
) -> list[Registration | Entry | Later]:
    if not isinstance(providers, Sequence) or isinstance(providers, str | bytes):
        meant = f": write [{name_of(providers) if isinstance(providers, type) else '{...}'}]" if _is_provider(providers) else ""
        raise DeclarationError(f"providers is a list, not {called(providers)}{meant}", str(place))
    found: list[Registration | Entry | Later] = []
    first: dict[Hashable, tuple[bool, str]] = {}
    named: dict[Hashable, str | None] = {}  # of the classes that are only named, their lifetimes
    for spot, entry, of_group in flat(providers, place, lifetime, is_entry=_is_listed if listed else _is_provider):
        try:
            made = class_of(entry)
            if made is Lazy or made is Factory or made is Named:
                raise DeclarationError(f"{name_of(made)} says of what: {name_of(made)}[...]")
            if made is not None:
                given = of_group if registry_of(made) is None else None  # a service says it itself
                registration = _class_registration(made, made, None, given, place, named=not injector)
                registration.bare = listed
            elif isinstance(entry, Mapping):
                registration = _registration(entry, place)
            elif is_function(entry):
                registration = _function_registration(entry, place, of_group)
            else:
                found.append(Entry(entry, place))
                continue
        except DeclarationError as error:
            raise DeclarationError(f"{_spot(spot, entry)}: {error.message}", error.where or str(place)) from None
        except NotYet as error:
            if not listed:
                raise DeclarationError(f"{_spot(spot, entry)}: {error}", str(place)) from None
            found.append(Later(partial(_function_registration, entry, place, of_group), place))
            continue
        key = registration.key
        if key in first and not (registration.bare and named.get(key) == registration.lifetime):
            registration.bare = False  # what this very list says before is not registered elsewhere
        named[key] = registration.lifetime if registration.bare else None
        multi, where = first.setdefault(registration.key, (registration.multi, spot))
        if multi is not registration.multi:
            said = "is multi, and is not" if registration.multi else "is not multi, and is"
            raise DeclarationError(
                f"{_spot(spot, entry)} {said} in provider {where}: one token cannot be both single and multi", str(place)
            )
        registration.entry = True
        found.append(registration)
    return found


def _function_registration(function: Any, place: Place, lifetime: str | None) -> Particular:
    """Return the registration of a function that stands in a list as it is: what it says that it makes is the key."""
    maker = _maker_of(function)

    def wrong(message: str) -> DeclarationError:
        why = message.partition(";")[0]
        return DeclarationError(f'{why}; annotate what it returns, or write {{"provide": ..., "use_factory": {maker.name}}}')

    key = _key(inferred_token(maker, None, wrong))
    registration = Particular(key, maker.declared((key,), inferred=True), lifetime or "singleton", place)
    registration.entry = True
    return registration


def _maker_of(factory: Any) -> Maker:
    maker = maker_of(factory)
    refuse_used_yield(maker)
    return maker


def _is_provider(entry: Any) -> bool:
    return isinstance(entry, type | Mapping) or is_function(entry) or class_of(entry) is not None


def _is_listed(entry: Any) -> bool:
    return _is_provider(entry) or _is_asked_for(entry)


def _is_asked_for(entry: Any) -> bool:
    """Tell whether an entry that registers nothing can be asked for: a key, or a typing form."""
    return isinstance(entry, Token | typing.NewType | enum.Enum | Attribute) or (
        bool(entry) if type(entry) is str else is_alias(entry) or (origin_of(entry) is not None and is_hashable(entry))
    )


def _spot(spot: str, entry: Any) -> str:
    if isinstance(entry, type):
        return f"provider {spot} ({name_of(entry)})"
    if not isinstance(entry, Mapping):
        return f"provider {spot} ({name_of_callable(entry)})"
    token = entry.get("provide", MISSING)
    return f"provider {spot}" if token is MISSING else f"provider {spot} ({name_of(token)})"


def _registration(entry: Mapping[Any, Any], place: Place) -> Particular:
    """Return the registration that a dictionary stands for."""
    given: dict[str, tuple[str, Any]] = {}
    for word, thing in entry.items():
        meaning = WORDS.get(word) if isinstance(word, str) else None
        if meaning is None:
            near = close_to(word, WORDS) if isinstance(word, str) else ()
            if not isinstance(word, str) and "provide" not in entry:
                kind = CLASS if isinstance(thing, type) else VALUE
                raise DeclarationError(
                    f'{name_of(word)} is no key of a provider: write {{"provide": {name_of(word)}, "{kind}": ...}}'
                )
            raise DeclarationError(
                f"{name_of(word)} is no key of a provider; "
                + (f"did you mean {near[0]}?" if near else f"these are: {', '.join(dict.fromkeys(WORDS.values()))}")
            )
        if meaning in given:
            raise DeclarationError(f"{given[meaning][0]} and {word} say the same twice; leave one out")
        given[meaning] = (word, thing)
    if "provide" not in given:
        raise DeclarationError("it has no provide: the token that it is asked for by")
    token = given["provide"][1]
    key = _key(token)
    kinds = [kind for kind in _KINDS if kind in given]
    if len(kinds) > 1:
        raise DeclarationError(f"{given[kinds[0]][0]} and {given[kinds[1]][0]} contradict each other; choose one")
    if not kinds and class_of(plain_of(key)) is None:
        raise DeclarationError("it does not say what to give: add use_class, use_factory, value or use_existing")
    kind = kinds[0] if kinds else CLASS
    word, thing = given.get(kind, ("provide", plain_of(key)))
    multi = given.get("multi", ("", False))[1]
    check_name(multi)
    for other in ("deps", "lifetime"):
        if other in given and kind in (VALUE, EXISTING) and not (other == "deps" and not given[other][1]):
            what = "a value is there already" if kind is VALUE else "what exists is made elsewhere"
            raise DeclarationError(f"{given[other][0]} has nothing to do beside {word}: {what}")
    deps = _deps(*given["deps"]) if "deps" in given else None
    lifetime = lifetime_of(*given["lifetime"]) if "lifetime" in given else None
    chosen = {option: given[option][1] for option in _OPTIONS if option in given}
    also, into = (given.get(word, ("", ()))[1] for word in ("also", "into"))
    if kind is VALUE:
        if thing is not key:  # a class that is its own key may well be meant
            refuse_class(key, thing)
        maker = value_maker(thing)
        of = type(thing) if also == "bases" else None
        return _with_options(Particular(key, maker, "singleton", place, multi=multi), also, into, of, chosen)
    if kind is EXISTING:
        if not is_hashable(thing):
            raise DeclarationError(f"{word} takes a token, and a token has to be hashable; {name_of(type(thing))} is not")
        if chosen:
            raise DeclarationError(f"{next(iter(chosen))} has nothing to do beside {word}: what exists is made elsewhere")
        alias = Alias(Maker(itself, SYNC, None, None, itself), FACTORY, (_with_variables_of(key, thing),))
        return _with_options(Particular(key, alias, "transient", place, multi=multi), also, into, None, {})
    if kind is CLASS:
        cls = class_of(thing)
        if cls is None:
            meant = "use_factory" if callable(thing) else "use_existing" if isinstance(thing, str) else VALUE
            if typing.get_origin(thing) is not None:  # a form of types can be called by its looks only
                meant = "use_existing"
            raise DeclarationError(f"{word} takes a class, not {called(thing)}; did you mean {meant}?")
        return _with_options(_class_registration(key, cls, deps, lifetime, place, multi), also, into, cls, chosen)
    if not callable(thing) and class_of(thing) is None:
        meant = "use_existing" if isinstance(thing, str) else VALUE
        raise DeclarationError(f"{word} takes something to call, not {called(thing)}; did you mean {meant}?")
    maker = _maker_of(thing).declared((key,))
    registration = Particular(key, ProviderMaker(maker, FACTORY, deps), lifetime or "singleton", place, multi=multi)
    return _with_options(registration, also, into, None, chosen)


def _with_variables_of(key: Hashable, thing: Any) -> Any:
    """Return *thing*, a generic class as it stands, with the arguments of the open *key* that it is another name of."""
    variables = getattr(plain_of(key), "__parameters__", ())
    generic = isinstance(thing, type)
    own = getattr(thing, "__parameters__", ()) if generic else ()
    return thing[variables] if isinstance(variables, tuple) and own and len(own) == len(variables) else thing


def _with_options(registration: Particular, also: Any, into: Any, cls: Any, chosen: Mapping[str, Any]) -> Particular:
    """Return *registration* with the options of a dictionary, which mean what those of the decorator mean."""
    one = registration
    one.also = also_keys(also, one.key, cls)
    if into != ():
        multi: Hashable = one.named[0] if one.named else one.multi
        one.members = members_of(into_names(into, one.keys, multi), one.key, one.maker, one.written_at, None)
    if chosen:
        one.options = checked_options(one.maker, one.lifetime, chosen)
    return one


def _class_registration(
    key: Hashable,
    cls: Any,
    deps: tuple[Any, ...] | None,
    lifetime: str | None,
    place: Place,
    multi: Hashable = False,
    named: bool = False,
) -> Particular:
    maker = maker_of(cls)
    registry = registry_of(maker.cls)
    # A service keeps the rules that it has when nobody lists it.
    if registry is None or deps is not None:
        maker = ProviderMaker(maker, CLASS, deps, named)
    return Particular(key, maker, lifetime or (registry.lifetime if registry is not None else "singleton"), place, multi=multi)


def _key(token: Any) -> Hashable:
    """Return the key of ``provide``: any hashable is its own, an ``Annotated[..., Inject(...)]`` the one it names."""
    if is_a(token, type) or is_a(token, str):
        return token
    try:
        ask = ask_for(with_own_variables(token))
    except DeclarationError as error:
        raise DeclarationError(f"provide takes a token: {error.message}") from None
    if ask.kind != "value":
        raise DeclarationError(f"{name_of(token)} is a way of asking and cannot be registered; register what it is about")
    return ask.keys[0]


def _deps(word: str, deps: Any) -> tuple[Any, ...] | None:
    if deps is None:
        return None
    if not isinstance(deps, Sequence) or isinstance(deps, str | bytes):
        raise DeclarationError(f"{word} is a list of tokens, not {called(deps)}")
    for position, dep in enumerate(deps):
        if not is_hashable(dep):
            raise DeclarationError(f"{word}[{position}] is no token: a token has to be hashable; {name_of(type(dep))} is not")
    # An empty list counts as none, as it does in Ascender: the parameters are read.
    return tuple(deps) or None
