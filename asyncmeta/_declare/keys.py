"""What is asked for?  The key that a token or an annotation is about, and in which way."""

from __future__ import annotations

import collections.abc
import typing
from collections.abc import Hashable
from typing import Annotated, Any

from .._names import is_a, name_of, origin_of
from ..errors import DeclarationError
from .forms import is_foreign_inject, is_inject, is_name, is_union, normal, token_of, with_own_variables, without_names
from .texts import Evaluate, lenient
from .tokens import INJECTED, MISSING, All, Factory, From, Inject, Lazy, Missing, Named, Token, _Collect, is_hashable

__all__ = [
    "INJECTED",
    "MISSING",
    "All",
    "Ask",
    "ByName",
    "Factory",
    "From",
    "Inject",
    "Lazy",
    "Missing",
    "Named",
    "Token",
    "ask_for",
    "is_hashable",
    "is_mark",
    "is_marked",
    "lasting",
    "plain_of",
    "read",
    "read_ask",
    "read_leniently",
    "token_key",
]


class Ask:
    """
    What one parameter, attribute or call of ``get`` asks for.

    kind is ``"value"``, ``"lazy"``, ``"factory"``, ``"named"``, ``"all"``, ``"member"`` or ``"attribute"``; of handles *inner*
    says what of, the keys of a member are the key and its name, and that of an attribute is the descriptor.
    """

    __slots__ = ("about", "fallback", "inner", "keys", "kind", "listed", "optional")

    def __init__(
        self,
        kind: str,
        keys: tuple[Hashable, ...],
        optional: bool = False,
        fallback: Any = MISSING,
        inner: Ask | None = None,
        listed: type | None = None,
        about: Hashable = MISSING,
    ) -> None:
        self.kind = kind
        self.keys = keys  #: candidates in the order in which they are tried
        self.optional = optional  #: None where nothing provides any of them
        self.fallback = fallback  #: the value where nothing provides any of them, or MISSING
        self.inner = inner
        #: annotated as a collection, so that a multi key gives all of its values: list, tuple, or dict of those with names
        self.listed = listed
        self.about = about  #: the candidate that it is named by in texts; MISSING for the last one

    @property
    def key(self) -> Hashable:
        """What it is about, for texts."""
        if self.inner is not None:
            return self.inner.key
        return self.keys[-1] if self.about is MISSING else self.about

    def __repr__(self) -> str:
        return name_of(self.key)

    def but(self, **changed: Any) -> Ask:
        """Return one that differs in what is named."""
        facts = {name: changed.get(name, getattr(self, name)) for name in Ask.__slots__}
        return Ask(**facts)


class ByName:
    """
    A key that nobody registers: it means the registered class of that name, whichever it is.

    The dialect tries it where it was given a string and no key is that string.  See Ascender, "Forward references".
    """

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ByName) and self.name == other.name

    def __hash__(self) -> int:
        return hash((ByName, self.name))

    def __repr__(self) -> str:
        return name_of(self.name)


def token_key(token: Any) -> Hashable:
    """
    Return the key that a registration under *token* goes by: the normal form of a type, with its name where it has one.

    Raises:
        DeclarationError: *token* is nothing that can be asked for.
    """
    if type(token) is type or type(token) is str or type(token) is Token:
        return token
    ask = ask_for(with_own_variables(token))
    if ask.kind != "value" or ask.optional:
        raise DeclarationError(f"{name_of(token)} is a way of asking and cannot be registered; register what it is about")
    return ask.keys[0]


_NONE: Any = type(None)

_ANNOTATED: Any = type(Annotated[int, ""])  # asked for by what it is: no call, where each get comes by


def plain_of(key: Any) -> Hashable:
    """Return what *key* is about without its name: of ``Annotated[Engine, "replica"]`` Engine."""
    return key.__origin__ if type(key) is _ANNOTATED else key  # type: ignore[no-any-return]


def lasting(token: Any) -> Any:
    """Return what to know *token* by in a table: its normal form where its own hash or equality would not do."""
    if type(token) is _ANNOTATED and any(not (is_a(mark, str) or is_a(mark, Inject)) for mark in token.__metadata__):
        return normal(token)
    return token


def ask_for(token: Any) -> Ask:
    """
    Return what *token* asks for.

    Args:
        token: A class, string, Token, typing form, or any hashable.

    Raises:
        DeclarationError: It cannot be read, cannot be hashed, or names two things.
    """
    if type(token) is type or type(token) is str:
        return Ask("value", (token,))
    if type(token) is Ask:  # read already
        return token
    attribute = getattr(type(token), "ask_in", None)
    if attribute is not None:  # a descriptor: what it asks for, where its class looks it up
        return Ask("attribute", (token,), inner=attribute(token, token.owner))
    try:
        form = normal(token)
    except DeclarationError:
        raise
    except Exception as error:  # an alias may name anything
        raise DeclarationError(f"{name_of(token)} cannot be read: {type(error).__name__}: {error}") from None
    if not is_hashable(form):
        raise DeclarationError(f"a token has to be hashable; {name_of(type(token))} is not")
    return _ask_of(form)


def read_ask(annotation: Any, evaluate: Evaluate, me: type | None = None) -> Ask:
    """
    Return what an annotation asks for.

    Args:
        evaluate: Reads texts, the annotation's own and those inside of it.
        me: What ``Self`` means.

    Raises:
        Exception: Whatever evaluating a user's text may raise.
    """
    if type(annotation) is str:
        annotation = evaluate(annotation)
        if type(annotation) is type and annotation is not type(None):  # nearly every text
            return Ask("value", (annotation,))
    form = read(annotation, evaluate, me)
    hash(form)  # what is no type may refuse it
    return _ask_of(form)


def read(annotation: Any, evaluate: Evaluate, me: type | None = None) -> Any:
    """Return the normal form of an annotation; a text is evaluated as often as it is one."""
    while is_a(annotation, str):
        annotation = evaluate(annotation)
    return normal(type(None) if annotation is None else annotation, evaluate, me)


def read_leniently(annotation: Any, evaluate: Evaluate) -> Any:
    """
    Return the normal form of an annotation as far as it can be read: its marks are seen also around what is not defined.

    Raises:
        Exception: Not even the marks can be read.
    """
    if is_a(annotation, str) or is_a(annotation, typing.ForwardRef):
        return read(annotation, lenient(evaluate))
    return normal(annotation)  # what is not defined stands in it as a reference


def _ask_of(form: Any) -> Ask:
    origin = origin_of(form)
    if origin is Annotated:
        return _ask_annotated(form)
    if is_union(form):
        rest = tuple([argument for argument in typing.get_args(form) if argument is not type(None)])
        if len(rest) == len(typing.get_args(form)):
            return Ask("value", (form,))
        inner = _ask_of(rest[0] if len(rest) == 1 else typing.Union[rest])  # noqa: UP007  # the members are known only now
        if inner.kind != "value":
            return inner.but(optional=True)
        # Optional[X] is also a key of its own, when somebody registered it so.
        return inner.but(keys=(form, *inner.keys), optional=True)
    if origin is Lazy or origin is Factory:
        return Ask("lazy" if origin is Lazy else "factory", (), inner=_ask_of(typing.get_args(form)[0]))
    if origin is Named:
        return Ask("named", (), inner=_ask_of(typing.get_args(form)[0]))
    if form is type(None):  # annotated as None, it is None
        return Ask("value", (_NONE,), optional=True)
    plain = form if origin is None else without_names(form)
    return Ask("value", (form,)) if plain is form or plain == form else Ask("value", (form, plain), about=form)


#: What is annotated as one of these takes all values of a multi key, as what is said here.
_COLLECTIONS: dict[Any, type] = {
    list: list, collections.abc.Sequence: list, collections.abc.Collection: list, collections.abc.Iterable: list,
    tuple: tuple, dict: dict, collections.abc.Mapping: dict,
}  # fmt: skip


def _collection(form: Any) -> type | None:
    """Return what all values of a multi key are handed over as where *form* is annotated; None where it is one value's."""
    if is_union(form):
        rest = [one for one in typing.get_args(form) if one is not type(None)]
        form = rest[0] if len(rest) == 1 else None
    origin = origin_of(form) or form
    found = _COLLECTIONS.get(origin) if isinstance(origin, type) else None
    if found is tuple and form is not tuple and typing.get_args(form)[1:] != (...,):
        return None  # tuple[A, B] is one value
    return found


def _ask_annotated(form: Any) -> Ask:
    annotated, *marks = typing.get_args(form)
    plain = _ask_of(annotated)
    naming = _naming(marks, form)
    token = MISSING if naming is MISSING else token_of(naming)
    fallback = next((found for found in map(_fallback_of, marks) if found is not MISSING), MISSING)
    if any(type(mark) is _Collect for mark in marks):
        element = typing.get_args(annotated)[0]
        if token is MISSING:
            token = element if naming is MISSING else Annotated[element, naming]
        one = _ask_of(normal(token))
        if one.kind != "value":
            registered = f"All[{name_of(one.key)}]"
            raise DeclarationError(f"All[{name_of(element)}] collects ways of asking: write what is registered, {registered}")
        return Ask("all", (one.keys[0],))
    if token is not MISSING:
        meant = ask_for(token)
        if plain.kind in ("lazy", "factory", "named") and meant.kind in ("value", "attribute"):
            # The annotation says what arrives, a handle; the token says of what.
            optional = plain.optional or _is_optional(plain.inner)
            listed = _collection(_of_handle(annotated)) if plain.kind == "lazy" else None
            return Ask(plain.kind, (), inner=meant.but(optional=optional, fallback=fallback, listed=listed))
        return meant.but(optional=plain.optional or meant.optional, fallback=fallback, listed=_collection(annotated))
    if naming is not MISSING:
        plain = _named(plain, naming)
    return plain if fallback is MISSING else plain.but(fallback=fallback)


def _of_handle(form: Any) -> Any:
    """Return the argument of ``Lazy[...]``, or of ``Lazy[...] | None``."""
    handles = [one for one in typing.get_args(form) if one is not type(None)] if is_union(form) else [form]
    return typing.get_args(handles[0])[0]


def _is_optional(ask: Ask | None) -> bool:
    return ask is not None and ask.optional


def _naming(marks: list[Any], form: Any) -> Any:
    """
    Return the mark that says what is meant, MISSING where none does; a string beside an ``Inject`` is a note.

    Raises:
        DeclarationError: Two say different things.
    """
    found = [mark for mark in marks if is_name(mark) or token_of(mark) is not MISSING]
    if not found:
        return MISSING
    if any(is_inject(mark) for mark in found):
        found = [mark for mark in found if not is_a(mark, str)]
    other = next((mark for mark in found[1:] if mark != found[0]), None)
    if other is not None:
        said = [name_of(mark) for mark in (found[0], other)]
        raise DeclarationError(
            f"{name_of(form)} is named twice, by {said[0]} and by {said[1]}: keep the one that is meant "
            "(a string in Annotated is a name; documentation goes elsewhere)"
        )
    return found[0]


def _named(ask: Ask, name: Any) -> Ask:
    """Return what asks for what *ask* does, by *name* first."""
    if ask.kind != "value":
        return ask if ask.inner is None else ask.but(inner=_named(ask.inner, name))
    named = tuple([Annotated[key, name] for key in ask.keys])
    return ask.but(keys=(*named, *ask.keys), about=named[-1])


def _fallback_of(mark: Any) -> Any:
    if type(mark) is Inject:
        return mark.fallback
    if not is_foreign_inject(mark):
        return MISSING
    # Foreign markers have no MISSING of ours: their fallback is an "empty" class or absent.
    fallback = mark.fallback
    return MISSING if getattr(fallback, "__name__", "") in {"_empty", "empty"} or fallback is ... else fallback


def is_marked(form: Any) -> bool:
    """Tell whether *form* is ``From[...]``, ``Annotated[..., Inject(...)]``, ``All[...]``, or one of them ``| None``."""
    if origin_of(form) is Annotated:
        return any(type(mark) is _Collect or is_inject(mark) for mark in typing.get_args(form)[1:])
    return is_union(form) and any(map(is_marked, typing.get_args(form)))


def is_mark(default: Any) -> bool:
    """Tell whether *default*, of a parameter, is a mark or a handle's form, which say something in an annotation only."""
    kind = type(default)
    if kind is Inject:
        return True
    if kind.__module__ not in ("typing", "types"):  # nearly every default
        return False
    return typing.get_origin(default) in (Lazy, Factory, Named) or is_marked(default)


def unwrapped_from(form: Any) -> Any:
    """Return what asks for the same as *form* and is quicker to look up: of ``From[T]``, T, which needs no code to be hashed."""
    if origin_of(form) is Annotated:
        annotated, *marks = typing.get_args(form)
        if all(type(mark) is Inject and mark.token is MISSING and mark.fallback is MISSING for mark in marks):
            return annotated
    return form
