"""What kind of factory is this, and how is it called?"""

from __future__ import annotations

import functools
import inspect
import types
import typing
from collections.abc import Hashable, Iterable, Mapping
from typing import Annotated, Any, Final

from .._compat import annotations_of, bound_places, is_alias, signature_of
from .._names import Place, is_a, name_of, name_of_callable, place_of_function
from ..errors import DeclarationError
from .annotations import (
    KEYWORD,
    NORMAL,
    Parameter,
    parameter_of_new_type,
    parameters_of_function,
    parameters_of_signature,
    returned_by,
)  # fmt: skip
from .constructors import constructor_of, has_signature, hidden_fields, parameters_of_class, seen_around
from .forms import is_union, normal, substituted, with_own_variables
from .keys import MISSING, Factory, Lazy, plain_of, read
from .returned import ASYNC, ASYNC_GENERATOR, GENERATOR, GENERATORS, SYNC, form_of_token, given, is_vague, opened, yielded
from .texts import Evaluator, evaluator_of_class, evaluator_of_module
from .within import MANAGERS, NOTHING_BOUND, class_within, function_of, innermost, is_manager, kind_of_callable, kinds

__all__ = [
    "ASYNC",
    "ASYNC_GENERATOR",
    "GENERATOR",
    "GIVEN",
    "SYNC",
    "VALUE",
    "Filled",
    "Maker",
    "class_of",
    "maker_of",
    "value_maker",
]

#: A kind beside those of `returned`: no call, the value itself.
VALUE = "value"
GIVEN: Final = object()  #: stands for a value that each container brings along: a graph may be of many


#: Of `typing`'s forms, those that are classes in one Python or another.
_NO_CLASSES: tuple[Any, ...] = (Any, typing.Generic, typing.Union)


class Maker:
    """A factory: how it is called and what it needs.  Its annotations are read when first asked for."""

    __slots__ = ("call", "cls", "function", "kind", "seen", "undecided", "written")

    is_alias = False  #: it only hands on what another key gives
    of_list = False  #: it stands for an entry of a provider list, which has rules of its own
    # What only `Filled` makers have.
    form: Any = None  #: the closed generic whose class is built, ``Repo[User]``, else None
    partial: tuple[int, frozenset[Any]] = NOTHING_BOUND  #: positions and names bound already
    skip = 0  #: how many leading parameters of the function are filled already (``self``)
    home: type | None = None  #: the class that a bound method, or an object that is called, is of
    variables: Mapping[Any, Any] | None = None  #: what type variables stand for that its class has from a generic base

    def __init__(self, call: Any, kind: str, function: Any, cls: type | None, written: Any) -> None:
        self.call = call  #: what is called; of kind VALUE the value itself
        self.kind = kind
        self.function = function  #: the plain function underneath, None for a class or a value
        self.cls = cls  #: the class that is built, else None
        self.written = written  #: what the user handed over
        #: names that its texts use, as the functions around it had them when it was handed over; None where it needs none
        self.seen: Mapping[str, Any] | None = None
        self.undecided = False  #: what it says that it returns could not be read yet

    # Names and places are wanted for texts only, so they are not worked out for each of ten thousand registrations.

    @property
    def name(self) -> str:
        """What to call it in text."""
        if self.kind is VALUE:
            return "value"
        return name_of_callable(self.function if self.function is not None else self.call)

    @property
    def place(self) -> Place | None:
        """Where its function was written; None for a class or a value."""
        return None if self.function is None else place_of_function(self.function)

    def parameters(self, *, method: bool = False, owner: type | None = None) -> tuple[Parameter, ...]:
        """Return what the factory needs; of a *method* without the first parameter, which is the service."""
        if self.kind is VALUE:
            return ()
        if self.cls is not None:
            found = parameters_of_class(self.cls, self.seen)
            return found if self.partial is NOTHING_BOUND else _around(found, *self.partial)
        if self.function is None:
            if is_a(self.written, typing.NewType):
                return (parameter_of_new_type(self.written),)
            try:
                signature = signature_of(self.written)
            except (TypeError, ValueError):  # written in C
                return ()
            spec = self.written.__class__  # of a mock with a specification, that
            if spec is type(self.written):
                evaluate = evaluator_of_module(str(getattr(self.written, "__module__", "")))
            else:
                evaluate = evaluator_of_class(spec)
            return parameters_of_signature(signature, evaluate, self.written)
        owner = owner or self.home
        return parameters_of_function(
            self.function, skip=self.skip + method, owner=owner, me=self.home, bound=self.partial, seen=self.seen
        )

    def misfit(self) -> str:
        """Return why the factory cannot be called with what is known of it, and the way out; "" where it can."""
        if self.cls is None or not has_signature(self.cls):
            return ""
        hidden = tuple([one for one in hidden_fields(self.cls) if one not in self.partial[1]])
        if not hidden:
            return ""
        name = name_of(self.cls)
        return (
            f"{name} takes {', '.join(hidden)} by **kwargs, which says nothing about what to fill in: register a function that "
            f"makes it (-> {name}), or a value"
        )

    def misfit_of(self, deps: tuple[Any, ...]) -> str:
        """Return why *deps* are no arguments that the factory can be called with, in their order; "" where they are."""
        call, first = (self.written, ()) if self.cls is None or self.partial[0] else (constructor_of(self.cls), (None,))
        if call is None and type(self.cls).__call__ is not type.__call__:
            call, first = self.cls, ()  # its metaclass makes it, in C
        try:
            signature = inspect.Signature([_SELF]) if call is None else signature_of(call)
        except (TypeError, ValueError):  # written in C
            return ""
        try:
            signature.bind(*first, *deps)
        except TypeError as error:
            many = "1 argument" if len(deps) == 1 else f"{len(deps)} arguments"
            return f"deps of {self.name} are {many}, in order, and do not fit: {error}"
        return ""

    def returns(self, owner: type | None = None) -> Any:
        """
        Return the type that the factory says it makes; MISSING where it says nothing.

        Raises:
            DeclarationError: It is a generator and says something else.
            Exception: Whatever evaluating the annotation may raise.
        """
        if self.function is None:
            return self.written if is_a(self.written, typing.NewType) else MISSING
        said = self._said(owner)
        if said is MISSING:
            return MISSING
        if self.kind in (GENERATOR, ASYNC_GENERATOR) or self.kind is ASYNC:
            made = yielded(said, inspect.unwrap(self.function).__code__.co_flags)
            if self.kind is ASYNC:
                return given(said if made is MISSING else made)
            if made is MISSING and opened(said)[0] is SYNC:
                self._refuse_generator(said)
                return MISSING
            said = said if made is MISSING else made
        return given(opened(said)[1])

    def _said(self, owner: type | None) -> Any:
        """Return the normal form of the return annotation."""
        function = self.function
        assert function is not None
        said: Any = returned_by(function, owner or self.home, self.home, self.seen)
        if self.skip and (isinstance(said, typing.TypeVar) or getattr(said, "__parameters__", None)):
            # The older way to say Self: def make(cls: type[T]) -> T.
            first = annotations_of(function).get(function.__code__.co_varnames[0], MISSING)
            form: Any = MISSING if first is MISSING else read(first, Evaluator(function, owner or self.home))
            variable = typing.get_args(form)[0] if typing.get_origin(form) is type else form
            if isinstance(variable, typing.TypeVar):
                said = substituted(said, {variable: self.home})
        return said if self.variables is None else substituted(said, dict(self.variables))

    def _refuse_generator(self, said: Any) -> None:
        """Refuse a generator that is annotated with the value that it yields."""
        if is_vague(said):
            return
        form = "AsyncIterator" if self.kind is ASYNC_GENERATOR else "Iterator"
        name = name_of(said)
        raise DeclarationError(f"{self.name} is a generator and says that it returns {name}: write {form}[{name}]")

    def declared(self, tokens: Iterable[Hashable], owner: type | None = None, *, inferred: bool = False) -> Maker:
        """
        Return the maker of what the factory's type says: a plain function that returns a context manager makes what this gives.

        Args:
            tokens: What it is registered under; a token that is the returned form itself means it as it is.
            owner: The class in whose body it stands.
            inferred: Nobody wrote a token: it is what the annotation says.

        Raises:
            DeclarationError: It says that it makes something else.
        """
        if self.function is None:
            return self
        try:
            said = annotations_of(self.function).get("return", MISSING)
            if said is MISSING or (type(said) is type and self.kind in (SYNC, ASYNC)):
                return self
            said = self._said(owner)
        except Exception as error:  # told where the annotation is needed
            self.undecided = isinstance(error, NameError)
            return self
        self.undecided = False
        tokens = tuple(tokens)
        if self.kind in (GENERATOR, ASYNC_GENERATOR):
            made = self.returns(owner)  # told at the line where it says something else
            for token in tokens if made is not MISSING and is_manager(innermost(self.written)) else ():
                _check_made(self, token, made, said)
            return self
        plain = plain_of(said)
        if not inferred and any(form_of_token(token) == plain for token in tokens):
            return self
        if typing.get_origin(plain) in GENERATORS and self.kind in (SYNC, ASYNC) and any(map(_is_type, tokens)):
            if kind_of_callable(self.function, self.function.__code__) in (GENERATOR, ASYNC_GENERATOR):
                raise DeclarationError(
                    f"{self.name} yields, and a decorator makes an async def of it, which is awaited and not entered: let what the "
                    f"decorator returns be a generator itself, or a plain def that returns what {self.name} gives"
                )
            raise DeclarationError(
                f"{self.name} says that it yields, {name_of(plain)}, and has no yield: write yield in the place of return, or give "
                f"{name_of(plain)} as the token"
            )
        kind, made = opened(said, tokens)
        if kind is SYNC or self.kind is not SYNC:
            if not inferred:
                self._refuse_unopened(tokens, said)
            return self
        for token in tokens:
            _check_made(self, token, given(made), said)
        call = _adapted(self.call, kind, name_of(plain))
        maker = Filled(call, kind, self.function, None, self.written)
        maker.take(self)
        return maker

    def _refuse_unopened(self, tokens: tuple[Hashable, ...], said: Any) -> None:
        """Refuse a class as the token of what gives, or may give, a context manager or an awaitable of it."""
        plain = plain_of(given(said))
        found = [opened(one)[0] for one in (typing.get_args(plain) if is_union(plain) else (plain,))]
        kind = next((one for one in found if one is not SYNC), SYNC)
        if kind is not SYNC and any(type(plain_of(token)) is type and plain_of(token) is not object for token in tokens):
            how = "awaiting it gives" if self.kind is ASYNC else "it returns"
            what = "awaited" if kind is ASYNC else "entered"
            way = "def in the place of async def" if self.kind is ASYNC else f"-> {name_of(given(said))}"
            if len(found) > 1:
                way = "one function for each, or one that returns the value itself"
            raise DeclarationError(f"{self.name} says that {how} {name_of(said)}, which is not {what} then: write {way}")


class Filled(Maker):
    """A factory some of whose arguments are known: a method, a partial, a generic class with its own."""

    __slots__ = ("form", "home", "partial", "skip", "variables")

    def __init__(self, call: Any, kind: str, function: Any, cls: type | None, written: Any) -> None:
        super().__init__(call, kind, function, cls, written)
        self.form = None
        self.partial = NOTHING_BOUND
        self.skip = 0
        self.home = None
        self.variables = None

    def take(self, other: Maker) -> None:
        """Be called as *other* is."""
        self.partial, self.skip, self.home, self.undecided = other.partial, other.skip, other.home, other.undecided
        self.form, self.seen, self.variables = other.form, other.seen, other.variables


_SELF = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)


def _around(parameters: tuple[Parameter, ...], count: int, names: frozenset[Any]) -> tuple[Parameter, ...]:
    """Return what is left of *parameters* where *count* positions and *names* are bound."""
    found = []
    gap = False
    for place, parameter in enumerate(parameters[count:], count):
        if place in names:
            continue
        if parameter.name in names:
            gap = True  # bound by name: what follows can only be passed by name, too
            continue
        if gap and parameter.kind == NORMAL:
            parameter.kind = KEYWORD
        found.append(parameter)
    return tuple(found)


# --- what a return annotation says ------------------------------------------------------------------------


def _is_type(token: Any) -> bool:
    return isinstance(token, type) or typing.get_origin(token) is not None


def _check_made(maker: Maker, token: Any, made: Any, said: Any) -> None:
    """Refuse a class as the token of what is no instance of it."""
    cls, other = plain_of(token), plain_of(made)
    other = typing.get_origin(other) or other
    if type(cls) is not type or type(other) is not type or cls is object or issubclass(other, cls) or issubclass(cls, other):
        return
    raise DeclarationError(
        f"{maker.name} is registered for {name_of(token)}, and says that it makes {name_of(made)} ({name_of(said)})"
    )


# --- reading a factory ------------------------------------------------------------------------------------


def value_maker(value: object) -> Maker:
    """Return the maker of a value that is there already; nothing of *value* is looked at."""
    return Maker(value, VALUE, None, None, None)


def maker_of(factory: Any) -> Maker:
    """
    Return the facts about *factory*.

    Raises:
        DeclarationError: It cannot be called, or nothing tells how.
    """
    if type(factory) is type and not (factory is _NO_CLASSES[1] or factory is _NO_CLASSES[2]):
        maker = Maker(factory, SYNC, None, factory, factory)
        if "<locals>" in factory.__qualname__:
            maker.seen = seen_around(factory)
        return maker
    if type(factory) is types.FunctionType and not hasattr(factory, "__wrapped__"):
        maker = Maker(factory, kind_of_callable(factory, factory.__code__), factory, None, factory)
        if "<locals>" in factory.__qualname__:
            maker.seen = seen_around(factory)
        return maker
    call: Any = factory
    positions, names = 0, frozenset[Any]()
    while isinstance(call, functools.partial):
        given, later = bound_places(call)
        positions += given
        names |= later | frozenset(call.keywords)
        call = call.func
    bound = NOTHING_BOUND if call is factory else (positions, names)
    form = _class_form(call)
    if form is not None or (isinstance(call, type) and not _is_no_class(call)):
        maker = Filled(factory, SYNC, None, class_within(call) if form is None else _class_behind(form) or form, factory)
        maker.partial, maker.form = bound, form if typing.get_args(form) else None
        if maker.cls is not None and "<locals>" in maker.cls.__qualname__:
            maker.seen = seen_around(maker.cls)
        if form is not None and call is factory:
            maker.call = form
        return maker
    if isinstance(call, (staticmethod, classmethod)):
        raise DeclarationError(f"{name_of_callable(call.__func__)} is a {type(call).__name__} object and cannot be called here")
    if not callable(call) or _is_form(call):
        said = name_of(call) if _is_form(call) else name_of(type(call))
        raise DeclarationError(f"a factory has to be callable; {said} is not")
    written = factory
    if is_manager(call):
        # The generator function underneath is what sets up and tears down.
        function = inspect.unwrap(getattr(call, "__func__", call), stop=lambda one: one.__code__ not in MANAGERS)
        call = types.MethodType(function, call.__self__) if isinstance(call, types.MethodType) else function
        factory = functools.partial(call, *factory.args, **factory.keywords) if isinstance(factory, functools.partial) else call
    function, skip, home, within = function_of(call)
    own, inner = kinds(call)
    if own is SYNC and inner is not SYNC:
        # A wrapper around a function of another kind gives what that gives.
        factory = _adapted(factory, inner, "")
        own = inner
    maker = Filled(factory, own, function, None, written)
    if function is not None and within is not NOTHING_BOUND:
        bound = bound[0] + within[0], bound[1] | within[1]
    maker.partial, maker.skip, maker.home = bound, skip, home
    if skip and function is not None:
        owner = getattr(call, "__self__", call)
        if hasattr(owner if is_a(owner, type) else type(owner), "__parameters__"):
            from .handed import variables_of_method  # lazy import

            maker.variables = variables_of_method(owner, function)
    if function is not None and "<locals>" in function.__qualname__:
        maker.seen = seen_around(function)
    return maker


def _adapted(call: Any, kind: str, says: str) -> Any:
    from .adapters import adapted  # lazy import

    return adapted(call, kind, says)


def _class_form(thing: Any) -> Any:
    """Return the normal form of a generic class with its arguments, or of an alias of a class; None for anything else."""
    if isinstance(thing, type) or (_class_behind(thing) is None and not is_alias(thing) and not is_alias(typing.get_origin(thing))):
        return None
    form = normal(with_own_variables(thing))
    return form if isinstance(form, type) or _class_behind(form) is not None else None


def _class_behind(form: Any) -> Any:
    """Return the class of ``Repo[User]``; None for forms that are no class with arguments."""
    origin: Any = typing.get_origin(form)
    return origin if isinstance(origin, type) and origin is not Annotated and not is_union(form) else None  # both may be classes


def class_of(thing: Any) -> Any:
    """Return the class, or the generic one with its arguments, that *thing* is or an alias of; None for others."""
    if isinstance(thing, type):
        return thing
    form = _class_form(thing)
    origin = _class_behind(form)
    # Handles, list[int] and other forms of what is no class of the user's are asked for and not made.
    made = origin is None or (bool(getattr(origin, "__parameters__", None)) and origin is not Lazy and origin is not Factory)
    return form if made else None


def _is_no_class(cls: Any) -> bool:
    return cls is _NO_CLASSES[0] or cls is _NO_CLASSES[1] or cls is _NO_CLASSES[2]


def _is_form(call: Any) -> bool:
    """Tell whether *call* is a form of `typing`'s that can be called by its looks only: ``int | str``, ``Optional[X]``."""
    if isinstance(call, type):
        return _is_no_class(call)
    if typing.get_origin(call) is not None:
        return _class_behind(call) is None
    # Union, Optional, ClassVar as they stand, and type variables.
    return type(call).__module__ in ("typing", "typing_extensions") and not isinstance(call, typing.NewType)
