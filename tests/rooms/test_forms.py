"""`_declare.forms`: what stands for the variables of a generic, and what aliases are."""

import inspect
import sys
import types
import typing
from typing import Annotated, Generic, TypeVar

import pytest
import typing_extensions as te

from asyncmeta import AsyncDependencyDescriptor, Inject
from asyncmeta._declare.annotations import KEYWORD, NORMAL, parameters_of_function, parameters_of_signature
from asyncmeta._declare.forms import all_substituted, normal, substituted, substitution_of
from asyncmeta._declare.repeated import one_module
from asyncmeta._declare.texts import evaluator_for
from asyncmeta._names import Place

from .by_hand import entry, value

T = TypeVar("T")
U = TypeVar("U")
Many = te.TypeVarTuple("Many")
Taken = te.ParamSpec("Taken")
Int = te.TypeVar("Int", default=int)
Ints = te.TypeVarTuple("Ints", default=te.Unpack[tuple[int, int]])


class Job(Generic[Taken]): ...


class Task(Generic[Taken, T]): ...


class Row(Generic[T, *Many]): ...


class Table(Generic[*Ints]): ...


@pytest.mark.parametrize(
    "parameters, arguments, found",
    [
        ((T, U), (int, str), {T: int, U: str}),
        ((T, Many), (int, str, bytes), {T: int, Many: (str, bytes)}),
        ((T, Many, U), (int, str, bytes, float), {T: int, Many: (str, bytes), U: float}),
        ((Many, U), (int,), {Many: (), U: int}),
        ((Taken,), (int, str), {Taken: [int, str]}),
        ((Taken,), ([int, str],), {Taken: [int, str]}),
        ((T, Int), (str,), {T: str, Int: int}),
    ],
    ids=["plain", "many at the end", "many in the middle", "no many", "parameters", "a list", "a default"],
)
def test_parameters_stand_for_arguments_in_their_order(parameters, arguments, found):
    """
    A TypeVarTuple takes what the others leave; the only ParamSpec may be written without brackets; a default fills what is missing.
    """
    assert substitution_of(parameters, arguments) == found


def test_a_form_is_written_with_what_its_variables_stand_for():
    """
    A list of parameters stays one, and what stands for many is spread.
    """
    assert substituted(Task[Taken, T], {Taken: (int, str), T: bytes}) == Task[[int, str], bytes]
    assert substituted(Row[T, *Many], {T: int, Many: (str, bytes)}) == Row[int, str, bytes]
    assert substituted((T, str), {T: int}) == (int, str)
    assert all_substituted((T, *Many), {T: int, Many: (str,)}) == (int, str)


def test_a_generic_of_many_gets_no_defaults():
    """
    Where a TypeVarTuple takes all there is, nothing is missing that a default could fill.
    """
    assert normal(Table[str, bytes, float]) == Table[str, bytes, float]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="there is no type statement before Python 3.12")
def test_an_alias_of_a_module_without_a_source_says_what_is_missing():
    """
    The value of a type statement that names what is not there is looked for in the source; without one, the error is Python's.
    """
    module = types.ModuleType("aliases_without_source")
    sys.modules[module.__name__] = module
    try:
        exec("type Hidden = Missing", module.__dict__)

        with pytest.raises(NameError, match="Missing"):
            normal(module.Hidden)
    finally:
        del sys.modules[module.__name__]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="there is no type statement before Python 3.12")
def test_an_alias_inside_of_one_that_holds_itself():
    """
    Of two aliases that hold each other, the one that is asked for stands for itself.
    """
    module = types.ModuleType("aliases_in_a_circle")
    sys.modules[module.__name__] = module
    try:
        exec("type Branch = list[Leaf]\ntype Leaf = dict[str, Branch]", module.__dict__)

        assert normal(module.Branch) is module.Branch
    finally:
        del sys.modules[module.__name__]


def test_a_mark_that_names_what_is_not_defined_yet():
    """
    A forward reference inside of a mark is read as one in an annotation.
    """
    form = normal(Annotated[object, Inject(typing.ForwardRef("Hidden"), 3)], {"Hidden": int}.__getitem__)

    assert [(mark.token, mark.fallback) for mark in form.__metadata__] == [(int, 3)]


def test_what_stands_for_itself():
    """
    A bare Generic says nothing; a Protocol that typing_extensions makes a second time is that of typing.
    """
    assert normal(Generic[T]) == Generic[T]
    assert [normal(one) for one in (te.SupportsInt, te.SupportsAbs)] == [typing.SupportsInt, typing.SupportsAbs]


# --- parameters of functions -------------------------------------------------------------------------------


def three(one: int, two: str, three: bytes): ...


@pytest.mark.parametrize("read", [
    lambda bound: parameters_of_function(three, bound=bound),
    lambda bound: parameters_of_signature(inspect.signature(three), evaluator_for({}), three, bound=bound),
], ids=["function", "signature"])  # fmt: skip
def test_what_is_bound_is_no_parameter(read):
    """
    Bound from the front, by name, or at a place in between; what follows a name can only be passed by name.
    """
    assert [one.name for one in read((1, frozenset()))] == ["two", "three"]
    assert [(one.name, one.kind) for one in read((0, frozenset({"two"})))] == [("one", NORMAL), ("three", KEYWORD)]
    assert [one.name for one in read((0, frozenset({1})))] == ["one", "three"]


def test_an_attribute_without_a_class_says_by_its_argument_what_it_asks_for():
    """
    What was made outside of a class body has no annotation: its own type argument counts.
    """
    assert AsyncDependencyDescriptor[Job[[int]]]().ask_in(Job).keys[0] == Job[[int]]


# --- registrations that were written twice --------------------------------------------------------------------


def of_module(registration, module):
    registration.module = module
    return registration


def test_one_file_under_two_names_is_one_module():
    """
    What a class or a value was written in is told by the file; what has no file is told by its name alone.
    """

    class Here: ...

    elsewhere = value("key", 1)
    elsewhere.written_at = Place("<stdin>", 1)

    assert one_module(of_module(value("key", 1), "__main__"), of_module(value("key", 1), "by_hand"))
    assert one_module(of_module(entry("key", Here), "__main__"), of_module(entry("key", Here), "by_hand"))
    assert not one_module(of_module(value("key", 1), "__main__"), of_module(elsewhere, "by_hand"))


@pytest.mark.skipif(sys.version_info < (3, 12), reason="there is no type statement before Python 3.12")
def test_an_alias_with_too_few_arguments_has_those_that_were_written():
    """
    Where a variable without a default is left out, nothing is made up for it.
    """
    module = types.ModuleType("aliases_of_two")
    sys.modules[module.__name__] = module
    try:
        exec("type Pair[K, V] = dict[K, V]", module.__dict__)
        left = normal(module.Pair[int])
    finally:
        del sys.modules[module.__name__]

    assert typing.get_origin(left) is dict
    assert typing.get_args(left)[0] is int
