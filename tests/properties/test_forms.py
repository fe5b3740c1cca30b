"""For every annotation: it is read as `typing.get_type_hints` and a plain normaliser say, and all its spellings are one key."""

import collections.abc
import sys
import types
import typing
from typing import Annotated

import typing_extensions as te
from hypothesis import given, strategies as st

from asyncmeta._declare.forms import is_alias, normal
from asyncmeta._declare.keys import read
from asyncmeta._declare.texts import Evaluator

HEAD = """
import collections.abc, enum, typing
from typing import *
import typing_extensions as te
T, U = TypeVar("T"), TypeVar("U")
class Side(enum.Enum):
    LEFT = 1
    RIGHT = 2
Customer = te.TypeAliasType("Customer", "Later")
Ids = te.TypeAliasType("Ids", list[T], type_params=(T,))
Either = te.TypeAliasType("Either", "Union[T, Ids[U], None]", type_params=(T, U))
Swapped = te.TypeAliasType("Swapped", "dict[U, T]", type_params=(T, U))
Marked = te.TypeAliasType("Marked", Annotated[Customer, "marked"])
class Box(Generic[T]): ...
"""
TAIL = """
class Later: ...
class Engine: ...
"""

# A structure is a text, or a kind with its parts; `spell` writes it in one of its spellings.
LEAVES = ["int", "str", "Later", "Engine", "Customer", "Marked", "Any", 'Literal["Later", 3]', 'Literal["b"]', 'Literal[3, None]']
MARKS = ['"main"', "Side.LEFT", "Side.RIGHT", '{"unit": 1}', "[1, 2]", "object()", "3.5"]

if sys.version_info < (3, 13):  # there, a union of what cannot be hashed cannot even be written
    MARKS = [mark for mark in MARKS if mark[0] not in "[{"]

SPELLINGS = {
    "list": ["list[{0}]", "List[{0}]", "typing.List[{0}]", "Ids[{0}]"],
    "dict": ["dict[{0}, {1}]", "Dict[{0}, {1}]", "Swapped[{1}, {0}]"],
    "tuple": ["tuple[{0}, {1}]", "Tuple[{0}, {1}]", "tuple[te.Unpack[tuple[{0}, {1}]]]", "Tuple[{0}, te.Unpack[Tuple[{1}]]]"],
    "star": ["tuple[int, te.Unpack[tuple[{0}, ...]]]", "Tuple[int, te.Unpack[Tuple[{0}, ...]]]"],
    "many": ["tuple[{0}, ...]", "Tuple[{0}, ...]"],
    "set": ["frozenset[{0}]", "FrozenSet[{0}]"],
    "mapping": ["collections.abc.Mapping[{0}, {1}]", "Mapping[{0}, {1}]"],
    "iterator": ["collections.abc.AsyncIterator[{0}]", "AsyncIterator[{0}]"],
    "call": ["collections.abc.Callable[[{0}], {1}]", "Callable[[{0}], {1}]"],
    "calls": ["collections.abc.Callable[..., {0}]", "Callable[..., {0}]"],
    "first": ["collections.abc.Callable[te.Concatenate[{0}, ...], {1}]", "Callable[te.Concatenate[{0}, ...], {1}]"],
    "box": ["Box[{0}]"],
    "union": ["Union[{0}, {1}]", "Union[{1}, {0}]", "Union[{0}, {1}, {0}]"],
    "maybe": ["Optional[{0}]", "Union[{0}, None]", "Union[None, {0}]"],
    "either": ["Either[{0}, {1}]", "Union[{0}, list[{1}], None]"],
}
PARTS = {kind: 2 if any("{1}" in one for one in spellings) else 1 for kind, spellings in SPELLINGS.items()}


def structures(depth):
    """Return structures nested at most *depth* deep."""
    leaves = st.sampled_from(LEAVES)
    if not depth:
        return leaves
    inner = structures(depth - 1)
    forms = st.sampled_from(sorted(PARTS)).flatmap(lambda kind: st.tuples(st.just(kind), *[inner] * PARTS[kind]))
    marked = st.tuples(st.just("annotated"), inner, st.lists(st.sampled_from(MARKS), min_size=1, max_size=2))
    return leaves | forms | marked


@st.composite
def spelled(draw, structure):
    """Return the text of a structure: any spelling of each of its forms, any of its parts in quotes."""
    if isinstance(structure, str):
        text = structure
    elif structure[0] == "annotated":
        text = f"Annotated[{draw(spelled(structure[1]))}, {', '.join(structure[2])}]"
    else:
        kind, *parts = structure
        text = draw(st.sampled_from(SPELLINGS[kind])).format(*[draw(spelled(part)) for part in parts])
    quoted = not text.startswith("Literal") and draw(st.sampled_from([False, False, True]))
    return repr(text) if quoted or (text in ("Later", "Engine") and "'" not in text) else text


def function_of(text, *, texts):
    """Return a function with a parameter annotated with *text*, in a module whose annotations are texts or not."""
    for clear in typing._cleanups:  # forms are kept there with what their references meant in another module
        clear()
    module = types.ModuleType("forms_written")
    sys.modules["forms_written"] = module
    head = "from __future__ import annotations\n" if texts else ""
    code = f"{head}{HEAD}\ndef function(value: {text}): ...\n{TAIL}"
    exec(compile(code, "forms_written.py", "exec", dont_inherit=True), vars(module))
    return module.function


def plainly(form, names, known=None):
    """Return what *form* means as nested tuples: a normaliser that has nothing in common with the package's."""
    known = known or {}
    if isinstance(form, str):
        return plainly(eval(form, names), names, known)
    if isinstance(form, typing.ForwardRef):
        return plainly(eval(form.__forward_arg__, names), names, known)
    if form is None or form is type(None):
        return "None"
    if isinstance(form, typing.TypeVar):
        return known.get(form, form)
    if isinstance(form, list | tuple):
        return tuple(plainly(one, names, known) for one in form)
    origin, arguments = typing.get_origin(form), typing.get_args(form)
    if is_alias(form):
        return plainly(form.__value__, names)
    if is_alias(origin):
        inner = dict(zip(origin.__type_params__, [plainly(one, names, known) for one in arguments], strict=True))
        return plainly(origin.__value__, names, inner)
    if origin is None:
        return form
    if origin is Annotated:
        inner, marks = plainly(arguments[0], names, known), arguments[1:]
        marks = tuple(mark for mark in marks if isinstance(mark, str) or hasattr(mark, "_value_"))
        if isinstance(inner, tuple) and inner and inner[0] == "named":
            inner, marks = inner[1], (*inner[2], *marks)
        return ("named", inner, marks) if marks else inner
    if origin is typing.Union or origin is types.UnionType:
        return union_of([plainly(one, names, known) for one in arguments])
    if origin is typing.Literal:
        values = [("literal", frozenset({(type(one), one)})) for one in arguments if one is not None]
        return union_of([*values, *["None" for one in arguments if one is None]])
    if origin in (typing.Unpack, te.Unpack):
        return ("star", plainly(arguments[0], names, known))
    if origin is collections.abc.Callable and arguments[0] is ...:
        return (origin, "...", plainly(arguments[1], names, known))
    found = ["..." if one is ... else plainly(one, names, known) for one in arguments]
    for at, one in enumerate(found):
        if isinstance(one, tuple) and one[0] == "star" and "..." not in one[1]:
            found[at : at + 1] = one[1][1:]
    return (origin, *found)


def union_of(parts):
    """Return what a union of *parts*, each read plainly, means: unions within are its own members, and Literals are one."""
    members, said = set(), set()
    for part in parts:
        for one in part[1] if isinstance(part, tuple) and part[0] == "union" else [part]:
            if isinstance(one, tuple) and one[0] == "literal":
                said |= one[1]
            else:
                members.add(one)
    if said:
        members.add(("literal", frozenset(said)))
    return ("union", frozenset(members)) if len(members) > 1 else members.pop()


@given(structures(4).flatmap(spelled), st.booleans())
def test_an_annotation_is_read_as_what_it_means(text, texts):
    """
    It means what get_type_hints and a plain normaliser say, and the normal form of what was read is itself.
    """
    function = function_of(text, texts=texts)
    names = vars(sys.modules["forms_written"])

    form = read(function.__annotations__["value"], Evaluator(function, None))

    hints = typing.get_type_hints(function, include_extras=True)
    assert plainly(form, names) == plainly(hints["value"], names)
    assert normal(form) == form


@given(structures(4).flatmap(lambda structure: st.tuples(spelled(structure), spelled(structure))), st.booleans())
def test_two_spellings_in_one_module_are_one_key(spellings, texts):
    """
    Whatever a form is spelled like, it is equal to its other spellings, and hashes like them.
    """
    function = function_of(f"{spellings[0]}, other: {spellings[1]}", texts=texts)
    evaluate = Evaluator(function, None)

    first, second = (read(function.__annotations__[name], evaluate) for name in ("value", "other"))

    assert first == second
    assert hash(first) == hash(second)


def test_an_alias_that_holds_itself_stands_for_itself():
    """
    A recursive alias cannot be written out; what it stands in can be read and hashed all the same.
    """
    names = {"te": te, "__name__": __name__}
    exec('Json = te.TypeAliasType("Json", "dict[str, Json] | list[Json] | None")', names)
    module = types.ModuleType(__name__ + "_json")
    sys.modules[module.__name__] = module
    vars(module).update(te=te)
    exec('Json = te.TypeAliasType("Json", "dict[str, Json] | list[Json] | None")', vars(module))
    json = module.Json

    assert normal(json) is json
    assert normal(list[json]) == list[json]
    assert hash(normal(typing.Optional[json])) == hash(typing.Optional[json])  # noqa: UP045  # the spelling is the subject
