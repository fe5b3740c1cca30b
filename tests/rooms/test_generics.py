"""`_solve.generics` and `_solve.bindings`: what is open in a generic, and what its type variables stand for."""

import typing
from typing import Annotated, Any, Generic, TypeVar

import pytest
import typing_extensions as te

from asyncmeta._solve.bindings import (
    binding_of,
    bound_parameters,
    closed_by_defaults,
    closing,
    is_case_of,
    most_specific,
    refusal,
    substitution,
)
from asyncmeta._solve.generics import DEEPEST, depth_of, frozen, is_open, names_of, open_key_of, variables_of

from .by_hand import parameter

T = TypeVar("T")
U = TypeVar("U")
Many = te.TypeVarTuple("Many")
Taken = te.ParamSpec("Taken")
Int = te.TypeVar("Int", default=int)
Number = TypeVar("Number", int, float)


class Animal: ...


class Dog(Animal): ...


Pet = TypeVar("Pet", bound=Animal)


class Repo(Generic[T]): ...


class Pair(Generic[T, U]): ...


class Row(Generic[*Many]): ...


class Kennel(Generic[Pet]): ...


class Scale(Generic[Number]): ...


class Counter(Generic[Int]): ...


class Step(Generic[Taken, T]): ...


class Twins(Pair[T, T], Generic[T]): ...


class Swapped(Pair[U, T], Generic[T, U]): ...


class Dogs(Repo[Dog]): ...


def served(candidate, form, cls=None):
    """Return what makes *candidate*, an open key, the closed *form*."""
    return substitution(candidate, cls, typing.get_origin(form), form.__args__)


@pytest.mark.parametrize(
    ("form", "variables"),
    [(T, (T,)), (Repo, (T,)), (Repo[U], (U,)), (Pair[int, T], (T,)), (Repo[int], ()), (int, ()), ("Repo", ())],
)
def test_variables_are_those_that_are_left_open(form, variables):
    """
    A variable, a generic class and a form name what they leave open; everything else leaves nothing open.
    """
    assert variables_of(form) == variables


@pytest.mark.parametrize(
    ("key", "expected"),
    [(Repo, True), (Repo[T], True), (Annotated[Repo[T], "main"], True), (Repo[int], False), (Dogs, False), (int, False)],
)
def test_a_key_is_open_while_a_variable_stands_in_it(key, expected):
    """
    A generic class as it stands and a form with a variable are open, under a name as well.
    """
    assert is_open(key) is expected


def test_a_closed_generic_is_taken_apart():
    """
    What is asked for is split into class, arguments, and the name around it.
    """
    named, plain = open_key_of(Annotated[Repo[int], "main"]), open_key_of(list[int])

    assert (named.origin, named.arguments, named.names) == (Repo, (int,), ("main",))
    assert names_of(Annotated[Repo[int], "main"]) == ("main",)
    assert (plain.origin, plain.arguments, plain.names) == (list, (int,), ())


@pytest.mark.parametrize("key", [Repo, Repo[T], Dogs, int, list[T], int | str, Generic, "Repo"])
def test_what_is_not_closed_by_arguments_is_no_closed_generic(key):
    """
    Open forms, plain classes, unions and texts are looked up as they are.
    """
    assert open_key_of(key) is None


@pytest.mark.parametrize(
    ("candidate", "form", "binding"),
    [
        (Repo, Repo[int], {T: int}),
        (Repo[T], Repo[int], {T: int}),
        (Pair[int, T], Pair[int, str], {T: str}),
        (Pair[T, T], Pair[int, int], {T: int}),
        (Repo[list[T]], Repo[list[int]], {T: int}),
        (Repo[T | None], Repo[int | None], {T: int}),
        (Repo[T | None], Repo[int | str | None], {T: int | str}),
        (Repo[Annotated[T, "a"]], Repo[Annotated[int, "a"]], {T: int}),
        (Row, Row[int, str], {Many: (int, str)}),
        (Row[int, *Many], Row[int], {Many: ()}),
        (Row[int, *Many, str], Row[int, bool, str], {Many: (bool,)}),
        (Row[int, te.Unpack[Many]], Row[int, str], {Many: (str,)}),  # noqa: UP044  # both spellings
        (Step[[T, int], U], Step[[str, int], bytes], {T: str, U: bytes}),
    ],
)
def test_an_open_key_serves_what_has_its_form(candidate, form, binding):
    """
    Each variable stands for what is in its place, however deep.
    """
    assert served(candidate, form) == binding


@pytest.mark.parametrize(
    ("candidate", "form"),
    [
        (Pair[int, T], Pair[str, str]),
        (Pair[T, T], Pair[int, str]),
        (Repo[list[T]], Repo[set[int]]),
        (Repo[T | None], Repo[int]),
        (Repo[Annotated[T, "a"]], Repo[Annotated[int, "b"]]),
        (Row[int, *Many], Row[()]),
        (Row[int, *Many, str], Row[bool, str]),
        (Row[int, *Many, str], Row[int, bool]),
        (Pair, Repo[int]),
        (Step[[T, int], U], Step[[str, bytes], bytes]),
        (Step[[T, int], U], Step[..., bytes]),
        (Repo[list[T] | set[U] | None], Repo[int | str | None]),
        (Pair[tuple[*Many], tuple[*Many]], Pair[tuple[int], tuple[str]]),
    ],
)
def test_an_open_key_does_not_serve_another_form(candidate, form):
    """
    Where a place holds something else, or one variable two things, it is no case of it.
    """
    assert served(candidate, form) is None


def test_a_class_that_is_registered_under_its_base_has_its_own_variables_bound():
    """
    The variables of the class are those that it hands to the base, in whichever order.
    """
    assert served(Pair, Pair[int, str], Swapped) == {U: int, T: str}


def test_a_class_that_hands_one_variable_twice_serves_twins_only():
    """
    What such a class cannot be is not served by it.
    """
    assert served(Pair, Pair[int, int], Twins) == {T: int}
    assert served(Pair, Pair[int, str], Twins) is None


def test_a_class_under_a_protocol_that_it_does_not_derive_from_has_the_same_arguments():
    """
    In the same places, where its variables are others than the Protocol's.
    """

    class Ordered(Generic[Pet, Number]): ...

    assert served(Pair, Pair[Dog, int], Ordered) == {Pet: Dog, Number: int}


def test_a_class_that_names_the_variables_of_such_a_protocol_means_these():
    """
    A variable is one thing, in whichever order a class names it.
    """

    class Turned(Generic[U, T]): ...

    assert served(Pair, Pair[Dog, int], Turned) == {T: Dog, U: int}


def test_a_class_with_other_variables_than_the_protocol_takes_as_many_arguments():
    """
    One variable cannot be two arguments.
    """

    class Single(Generic[Pet]): ...

    assert served(Pair, Pair[Dog, int], Single) is None


@pytest.mark.parametrize(
    ("candidate", "form", "why"),
    [
        (Kennel, Kennel[int], "Pet has to be a Animal, and int is not"),
        (Scale, Scale[str], "Number is one of int, float, and not str"),
    ],
)
def test_what_is_outside_of_a_bound_is_refused_with_the_reason(candidate, form, why):
    """
    A bound and constraints are kept, and the form alone is no reason.
    """
    assert served(candidate, form) is None
    assert refusal(candidate, None, candidate, form.__args__) == why


@pytest.mark.parametrize(
    ("candidate", "form"),
    [
        (Kennel, Kennel[Dog]),
        (Kennel, Kennel[Any]),
        (Kennel, Kennel[Annotated[Dog, "main"]]),
        (Kennel, Kennel[te.TypeAliasType("Puppy", Dog)]),
        (Kennel, Kennel["Dog"]),
        (Scale, Scale[int]),
        (Pair[int, T], Pair[str, str]),
    ],
)
def test_there_is_no_refusal_where_no_bound_is_broken(candidate, form):
    """
    What fits is not refused, nor is what has another form altogether.
    """
    assert refusal(candidate, None, typing.get_origin(form), form.__args__) == ""


def test_the_most_specific_of_several_is_the_one_that_is_a_case_of_the_others():
    """
    In whichever order they are met, the key that says most wins.
    """
    keys = [Pair, Pair[int, T], Pair[int, list[T]]]

    assert most_specific(keys) is most_specific(reversed(keys)) is keys[-1]


def test_of_several_that_say_as_much_the_last_wins():
    """
    Neither is a case of the other, so that the later registration counts.
    """
    assert most_specific([Pair[int, T], Pair[T, str]]) == Pair[T, str]


def test_a_case_is_a_case_of_the_more_general_only():
    """
    ``Pair[int, T]`` is a case of ``Pair``, and not the other way round.
    """
    assert is_case_of(Pair[int, T], Pair)
    assert not is_case_of(Pair, Pair[int, T])


def test_a_class_whose_variables_all_have_defaults_means_the_closed_form():
    """
    ``Counter`` is ``Counter[int]``, under a name too; a variable without default leaves it open.
    """
    assert closed_by_defaults(Counter) == Counter[int]
    assert closed_by_defaults(Annotated[Counter, "main"]) == Annotated[Counter[int], "main"]
    assert closed_by_defaults(Repo) is None


def test_bindings_are_told_apart_by_what_they_say():
    """
    The order in which variables were met does not matter, what they stand for does.
    """
    assert frozen({T: int, U: str}) == frozen({U: str, T: int})
    assert frozen({T: int}) != frozen({T: str})


def test_depth_counts_generics_in_generics():
    """
    A form is as deep as its deepest argument; counting ends where nobody would write it by hand.
    """
    endless = int
    for _ in range(DEEPEST + 10):
        endless = list[endless]

    assert [depth_of(int), depth_of(Repo[int]), depth_of(Pair[int, Repo[list[int]]])] == [0, 1, 3]
    assert depth_of(endless) == DEEPEST + 1


def test_a_generic_class_that_is_registered_for_a_closed_form_is_closed():
    """
    Its variables stand for the arguments of its key; without such a key for nothing.
    """
    assert closing(Swapped, [Pair[int, str]]) == {U: int, T: str}
    assert closing(Swapped, ["pair", Pair]) is None


def test_what_is_made_within_a_binding_takes_its_arguments():
    """
    A factory of ``Pair[T, int]`` that is bound makes a pair of what T stands for.
    """
    assert binding_of(Pair[T, int], {T: str}) == {T: str, U: int}


def test_parameters_ask_for_what_the_variables_stand_for():
    """
    A variable in what is asked for is replaced, be it all of it or a part.
    """
    asking = (parameter("one", T), parameter("many", Repo[T]), parameter("other", int))

    bound = bound_parameters(asking, {T: Dog}, None)

    assert [one.ask.keys[0] for one in bound] == [Dog, Repo[Dog], int]


def test_a_parameter_of_the_type_of_a_variable_receives_the_argument():
    """
    ``type[T]`` is asked of nobody: it is what T stands for, and nobody may hand in another.
    """
    (bound,) = bound_parameters((parameter("model", type[T]),), {T: Dog}, None)

    assert (bound.ask, bound.default, bound.fixed) == (None, Dog, True)


def test_a_parameter_of_the_type_of_no_variable_is_asked_for():
    """
    ``type[Dog]`` says nothing of what a variable stands for.
    """
    (bound,) = bound_parameters((parameter("model", type[Dog]),), {T: Animal}, None)

    assert bound.ask.keys[0] == type[Dog]
    assert not bound.fixed


def test_a_variable_that_stands_for_an_optional_type_makes_its_parameter_optional():
    """
    What a variable stands for is asked for as if it were written there.
    """
    (bound,) = bound_parameters((parameter("one", T),), {T: Dog | None}, None)

    assert bound.ask.optional
    assert Dog in bound.ask.keys
