"""What does one act of registering mean?  Checked whole, before anything of it is kept."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Hashable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from .._compat import Protocol, annotations_of
from .._names import Place, is_a, name_of, origin_of, place_of_caller
from ..errors import DeclarationError
from .forms import all_substituted, own_arguments, substituted, substitution_of
from .keys import Token, is_hashable, plain_of, token_key
from .makers import ASYNC_GENERATOR, GENERATOR, VALUE, Maker, maker_of, value_maker
from .registrations import PLAIN, Particular, Registration
from .registry import NotYet, Registry, checked_options, inferred_token, is_token, registry_of
from .returned import form_of_token

__all__ = [
    "BODY",
    "Declaration",
    "also_keys",
    "check_name",
    "enter",
    "enter_body",
    "into_names",
    "is_function",
    "key_of",
    "methods_of",
    "refuse_class",
    "registration_of",
    "value_registration",
]

_FUNCTIONS = (types.FunctionType, types.MethodType)

#: In the namespace of a service class's body: what its decorators have written so far.
BODY = "__asyncmeta_body__"


class Declaration:
    """One use of ``@inject_dependency``, as written; becomes a registration when it is known where it stands."""

    __slots__ = ("body", "factory", "module", "options", "place", "token")

    def __init__(
        self, token: Any, factory: Any, options: Mapping[str, Any], place: Place | None, module: str | None = None
    ) -> None:
        self.token = token
        self.factory = factory
        self.options = options  #: those that were given, by name
        self.place = place
        self.module = module
        self.body = False  #: stands in the body of the class it registers on

    @property
    def replace(self) -> Any:
        """Whether it wins over another module's."""
        return self.options.get("replace", False)


def registration_of(
    written: Declaration,
    *,
    any_token: bool = False,
    lifetime: str = "singleton",
    owner: type | None = None,
    attribute: str | None = None,
    entry: bool = False,
) -> Registration:
    """
    Return the registration that *written* means.

    Args:
        any_token: Take any hashable as a token, not only what a decorator takes.
        lifetime: The lifetime where none was written.
        owner: The class in whose body it stands.
        attribute: The name of the factory method there, else None.
        entry: It is asked for from outside.

    Raises:
        DeclarationError: Something about it is wrong; nothing is registered.
    """
    place = written.place or place_of_caller()
    given = written.options  # mostly nothing: then nothing of it is looked at
    maker: Maker | None = None
    try:
        factory = written.factory
        if isinstance(factory, staticmethod):
            factory = factory.__func__
        maker = maker_of(factory)
        cls, function = maker.cls, maker.function
        if function is not None:
            if maker.kind in (GENERATOR, ASYNC_GENERATOR):
                from .yields import refuse_used_yield  # lazy import

                refuse_used_yield(maker)
            _check_arity(maker, function, attribute is not None)
        if written.token is None and cls is None and maker.kind != VALUE:
            token = inferred_token(maker, owner, partial(_wrong, maker, place))
        else:
            token = cls if written.token is None else written.token
        key = token if type(token) is type else key_of(token, any_token)
        also = also_keys(given["also"], key, cls, any_token=any_token) if "also" in given else ()
        if function is not None:
            maker = maker.declared((key, *also), owner, inferred=written.token is None)
        multi: Hashable = False
        around, lives, options = False, None, PLAIN
        if given:
            multi, around = _multi_and_around(given)
            lives = given.get("lifetime")
        if lives is None:
            registry = None if cls is None or type(cls) is type else registry_of(cls)  # services have a metaclass
            lives = lifetime if registry is None else registry.lifetime
        members: tuple[Particular, ...] = ()
        if given:
            options = checked_options(maker, lives, given)
            if given.get("into", ()) != ():
                from .members import members_of  # lazy import

                names = into_names(given["into"], (key, *also), multi, any_token=any_token)
                members = members_of(names, key, maker, place, written.module)
        if cls is not None and (key is not cls or also or members):
            for one in (key, *also, *[member.key for member in members]):
                _check_class(cls, one)
    except DeclarationError as error:
        if error.where:
            raise
        raise _wrong(maker, place, error.message) from None
    if multi is False and attribute is None and not (also or members or around or entry):
        return Registration(key, maker, lives, place, written.module, options)
    found = Particular(
        key, maker, lives, place, also=also, multi=multi, module=written.module, attribute=attribute, options=options
    )
    found.around, found.members, found.entry = around, members, entry
    return found


def _multi_and_around(given: Mapping[str, Any]) -> tuple[Any, bool]:
    """Return what was *given* as ``multi`` and ``around``, checked."""
    multi, around, replace = given.get("multi", False), given.get("around", False), given.get("replace", False)
    if multi is not False:
        check_name(multi)
    if type(replace) is not bool or type(around) is not bool:
        raise DeclarationError("replace and around are True or False")
    if around and (multi is not False or replace):
        raise DeclarationError("around=True stands around one value: it goes with neither multi nor replace")
    return multi, around


def _wrong(maker: Maker | None, place: Place, message: str) -> DeclarationError:
    """Return the error at the factory's own line, where it has one, else at *place*."""
    return DeclarationError(message, str((maker.place if maker is not None else None) or place))


def check_name(multi: Any) -> None:
    """Refuse what is neither True, False nor a name for ``multi``."""
    if multi is None or not is_hashable(multi):
        raise DeclarationError(f"multi is True or False, or the name of a member, a hashable; not {name_of(type(multi))}")


def also_keys(others: Any, key: Hashable, cls: type | None, *, any_token: bool = True) -> tuple[Hashable, ...]:
    """
    Return what ``also=`` means beside *key*: the tokens of a sequence, or with "bases" all that the class derives from.

    Args:
        cls: The class that is made, None where a function makes what its key says.

    Raises:
        DeclarationError: It is neither, or there is no class whose bases could be meant.
    """
    if is_a(others, str):
        of = cls if cls is not None else key
        if others != "bases" or not (is_a(of, type) or is_a(origin_of(of), type)):
            raise DeclarationError('also is a sequence of tokens, or "bases" of a class')
        if cls is not None and origin_of(key) is cls:
            of = key
        others = _bases_of(of, key)
    elif is_a(others, type) or not isinstance(others, Sequence):
        raise DeclarationError('also is a sequence of tokens, or "bases"')
    return tuple(dict.fromkeys(other for other in (key_of(one, any_token) for one in others) if other != key))


def into_names(into: Any, own: tuple[Hashable, ...], multi: Hashable, *, any_token: bool = True) -> dict[Hashable, Hashable]:
    """
    Return the keys that ``into=`` means, and the name of the value among those of each, True where it has none.

    Args:
        own: All keys of the value.

    Raises:
        DeclarationError: It is no sequence of tokens, nor a mapping from tokens to names, or the value is one of several itself.
    """
    if is_a(into, str) or is_a(into, type) or not isinstance(into, Sequence | Mapping):
        raise DeclarationError("into is a sequence of tokens that have several values, or a mapping from these to names")
    if multi is not False:
        raise DeclarationError("into= goes beside a key of its own; with multi, say also=")
    found: dict[Hashable, Hashable] = {}
    for token, name in into.items() if isinstance(into, Mapping) else [(one, True) for one in into]:
        other = key_of(token, any_token)
        if other in own:
            raise DeclarationError(f"{name_of(other)} is the value's own key: into= is for keys of several values")
        check_name(name)
        if name is False:
            raise DeclarationError("into= gives a member a name, or True for none")
        found[other] = name
    return found


def _bases_of(form: Any, key: Hashable) -> list[Any]:
    """
    Return what *form*, a class or a generic one with arguments, is, too: its bases but those that say nothing of it.

    A generic base has the argument that the class says; where that is open, so is the class's own *key*, which serves it.
    """
    cls = origin_of(form) or form
    parameters = getattr(cls, "__parameters__", ())
    binding = {} if form is cls else substitution_of(parameters, typing.get_args(form))
    may_be_open = key == cls or (origin_of(key) is cls and bool(getattr(key, "__parameters__", ())))
    found = []
    for writer in cls.__mro__:
        for base in vars(writer).get("__orig_bases__", ()):
            if origin_of(base) in (None, typing.Generic, typing.Protocol, Protocol):
                continue
            if getattr(base, "__parameters__", ()):
                from .handed import handed_up  # lazy import

                handed = handed_up(cls, writer) if writer is not cls else own_arguments(parameters)
                own = substitution_of(writer.__parameters__, all_substituted(handed or (), binding))
                base = substituted(base, own)
            if may_be_open or not getattr(base, "__parameters__", ()):
                found.append(base)
    for base in cls.__mro__[1:]:
        # The class of all services, and what Python gives, are no names of anything; a generic one stands there with its argument.
        plain = base.__module__ not in ("builtins", "abc", "typing", "typing_extensions")
        if plain and not getattr(base, "__parameters__", ()) and not base.__module__.startswith("asyncmeta."):
            found.append(base)
    return found


def _check_arity(maker: Maker, function: types.FunctionType, method: bool) -> None:
    """Refuse a method without a first parameter, and a partial that binds more than there is."""
    if function.__code__.co_flags & 0x04:  # *args take any number
        return
    takes = function.__code__.co_argcount
    if method and takes < 1:
        raise DeclarationError(
            f"{maker.name} in a class body is a method and gets the service: give it a first parameter, or make it a @staticmethod"
        )
    if maker.partial[0] > takes:
        raise DeclarationError(f"the partial binds {maker.partial[0]} positions of {maker.name}, which takes {takes}")


def key_of(token: Any, any_token: bool) -> Hashable:
    if type(token) is type or (type(token) is str and token):
        return token
    if not any_token and not is_token(token):
        what = "an empty string" if token == "" else name_of(type(token))
        raise DeclarationError(f"a token is a type, a string or a Token, not {what}")
    return token_key(token)


def _check_class(cls: type, token: Hashable) -> None:
    """Refuse a class under a type that it does not implement."""
    if not is_a(token, type) or token is cls or token is object or is_a(token, Token):
        return
    if getattr(token, "_is_protocol", False):
        members = methods_of(token)
        missing = [name for name in members if not hasattr(cls, name) and name not in annotations_of(cls)]
        if missing:
            raise DeclarationError(f"{name_of(cls)} does not implement {name_of(token)}: it has no {', '.join(sorted(missing))}")
        return
    try:
        fits = issubclass(cls, token)
    except TypeError:
        return
    if not fits and not inspect.isabstract(cls):
        raise DeclarationError(f"{name_of(cls)} is registered for {name_of(token)} but is no subclass of it")


def methods_of(protocol: type) -> set[str]:
    """Return the names of the methods that a Protocol asks for; data members may be set by the constructor."""
    found: set[str] = set()
    for base in protocol.__mro__:
        if getattr(base, "_is_protocol", False) and base.__module__ not in ("typing", "typing_extensions"):
            found.update(
                name for name, thing in vars(base).items() if callable(thing) and (not name.startswith("_") or name == "__call__")
            )
    return found


def value_registration(token: Any, value: object, place: Place, *, multi: bool = False) -> Registration:
    """Return the registration of a value that is there already, of *multi* one of several."""
    key = key_of(token, True)
    try:
        refuse_class(key, value)
    except DeclarationError as error:
        raise DeclarationError(error.message, str(place)) from None
    maker: Maker = value_maker(value)
    return Particular(key, maker, "singleton", place, multi=True) if multi else Registration(key, maker, "singleton", place)


def refuse_class(key: Hashable, value: object) -> None:
    """Refuse a class as the value of a type of which its instances are values: who asks would call methods of a class."""
    plain = plain_of(key)
    if type(plain) is Token:
        plain = form_of_token(plain)
    cls: Any = origin_of(plain) or plain  # a named value, and one of a generic, are instances, too
    if not is_a(value, type) or not is_a(cls, type) or value is object:
        return
    if getattr(cls, "_is_protocol", False) and cls not in value.__mro__:
        members = methods_of(cls) - {"__call__"}
        meant = bool(members) and all(inspect.isfunction(inspect.getattr_static(value, name, None)) for name in members)
    else:
        meant = cls in value.__mro__ and not issubclass(cls, type)
    if meant:
        raise DeclarationError(
            f"the value of {name_of(key)} would be the class {name_of(value)}, not an instance of it; to have one made write "
            f'[{{"provide": {name_of(key)}, "use_class": {name_of(value)}}}]'
        )


def is_function(thing: object) -> bool:
    """Tell whether *thing* is a function, or what a decorator that makes objects, such as `functools.cache`, made of one."""
    if isinstance(thing, _FUNCTIONS):
        return True
    wrapped = None if isinstance(thing, type) else getattr(thing, "__dict__", {}).get("__wrapped__")
    return isinstance(wrapped, _FUNCTIONS) and callable(thing)


def _binds(thing: object) -> bool:
    """Tell whether *thing* is a function that is a method where it stands in the body of a class."""
    return is_function(thing) and not isinstance(thing, types.MethodType) and hasattr(type(thing), "__get__")


def enter_body(registry: Registry, body: Sequence[Declaration], namespace: dict[str, Any]) -> None:
    """
    Register what the decorators in a class body have written.

    A plain function of the body is a method: it gets the service as its first argument.

    Raises:
        DeclarationError: One of them is wrong; none is registered.
    """
    assert registry.cls is not None
    found: list[tuple[Declaration, str | None]] = []
    for written in body:
        attribute = None
        if _binds(written.factory):
            # A plain function of the body is a method, whatever name it still has; in a staticmethod it is none.
            names = [name for name, thing in namespace.items() if thing is written.factory]
            around = [type(thing) for thing in namespace.values() if getattr(thing, "__func__", None) is written.factory]
            if classmethod in around:
                raise DeclarationError(
                    f"{written.factory.__name__} is a classmethod: in a class body a factory is a method, which gets the service, "
                    "or a staticmethod",
                    str(written.place or ""),
                )
            attribute = None if staticmethod in around else names[0] if names else ""
        with suppress(NotYet):
            registration_of(written, lifetime=registry.lifetime, owner=registry.cls, attribute=attribute)
        found.append((written, attribute))
    for written, attribute in found:
        enter(registry, written, attribute)


def enter(registry: Registry, written: Declaration, attribute: str | None = None) -> None:
    """Register what a decorator has written; a token that is not defined yet is read when somebody looks."""
    if written.token is not None or type(written.factory) is type:  # nothing to wait for
        registration, replace = _made(registry, written, attribute)
        registry.add(registration, replace=replace)
    else:
        registry.add_later(partial(_made, registry, written, attribute), written.place or place_of_caller())


def _made(registry: Registry, written: Declaration, attribute: str | None) -> tuple[Registration, bool]:
    """Return what a decorator has written for *registry*, and whether it wins over another module's."""
    if not written.body:
        return registration_of(written), bool(written.options) and written.replace
    # A factory in a class body has its class's lifetime where it names none.
    return registration_of(written, lifetime=registry.lifetime, owner=registry.cls, attribute=attribute), written.replace
