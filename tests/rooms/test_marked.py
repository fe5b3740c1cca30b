"""`_declare.marked`: which parameters of a function are filled, and which its caller passes."""

import functools
import inspect
import re
from typing import Annotated

import pytest

from asyncmeta import INJECTED, DeclarationError, From, Inject, Lazy
from asyncmeta._declare.makers import ASYNC, ASYNC_GENERATOR, GENERATOR, SYNC
from asyncmeta._declare.marked import form_of, without_marked


class Database: ...


class Mail: ...


def filled(function):
    """Return the names of the parameters that are filled."""
    form = form_of(function)
    return [form.taken[number].name for number in form.marked]


def shown(function):
    """Return how a wrapper of *function* may be called, as text."""
    kinds = {kind: kind.description.partition(" ")[0] for kind in inspect._ParameterKind}
    return {one.name: kinds.get(one.shown, "never") for one in form_of(function).taken}


def test_marks_and_nothing_else_are_filled():
    """
    ``From[T]`` and ``Annotated[T, Inject(...)]`` mark; a type alone, other metadata and no annotation do not.
    """

    def handle(a: From[Database], b: Annotated[str, Inject("name")], c: Database, d: Annotated[int, "metadata"], e): ...

    assert filled(handle) == ["a", "b"]


def test_a_mark_may_stand_in_a_larger_form():
    """
    An optional value and a handle are marked where what is in them is.
    """

    def handle(a: From[Database] | None, b: From[Lazy[Mail]]): ...

    assert filled(handle) == ["a", "b"]


def test_what_a_partial_has_bound_is_not_filled():
    """
    Somebody has passed it by hand.
    """

    def handle(a: From[Database], b: From[Mail]): ...

    assert filled(functools.partial(handle, b=Mail())) == ["a"]
    assert filled(functools.partial(handle, Database())) == ["b"]


def test_a_class_has_the_parameters_of_its_constructor():
    """
    Without ``self``; and a bound method has its own.
    """

    class Handler:
        def __init__(self, a: From[Database], path: str): ...

        def run(self, b: From[Mail]): ...

    assert list(shown(Handler)) == ["a", "path"]
    assert filled(Handler(Database(), "/").run) == ["b"]


def test_an_object_that_can_be_called_has_the_parameters_of_its_call():
    """
    Those of ``__call__``, without ``self``.
    """

    class Handler:
        async def __call__(self, a: From[Database]): ...

    assert filled(Handler()) == ["a"]
    assert form_of(Handler()).kind == ASYNC


def test_the_kind_is_that_of_what_is_called():
    """
    Also of what a partial stands for; a class is called, whatever it makes.
    """

    def plain(): ...

    async def asynchronous(): ...

    def generator():
        yield

    async def asynchronous_generator():
        yield

    functions = [plain, asynchronous, generator, asynchronous_generator]

    assert [form_of(one).kind for one in functions] == [SYNC, ASYNC, GENERATOR, ASYNC_GENERATOR]
    assert form_of(functools.partial(asynchronous)).kind == ASYNC
    assert form_of(Database).kind == SYNC


def test_marked_parameters_behind_the_others_keep_their_places():
    """
    The caller may pass each as the function has it.
    """

    def handle(path, a: From[Database], *, b: From[Mail]): ...

    assert shown(handle) == {"path": "positional", "a": "positional", "b": "keyword-only"}


def test_marked_parameters_before_others_are_passed_by_name():
    """
    The others move up, so that the caller's positions are those of what it passes.
    """

    def handle(a: From[Database], path): ...

    assert shown(handle) == {"a": "keyword-only", "path": "positional"}


def test_a_marked_position_before_others_cannot_be_passed():
    """
    Neither by position, which is taken, nor by name, which it has not.
    """

    def handle(a: From[Database], path, /): ...

    assert shown(handle) == {"a": "never", "path": "positional-only"}


def test_the_signature_shows_what_the_caller_passes():
    """
    Marked parameters are not there; texts are read, so that frameworks see types.
    """

    def handle(path: "int", a: From[Database], *, size: int = 3) -> "Mail": ...

    handle.__annotations__["return"] = Mail

    assert str(form_of(handle).signature(handle)) == f"(path: int, *, size: int = 3) -> {__name__}.Mail"
    assert list(without_marked(handle.__annotations__, form_of(handle))) == ["path", "size", "return"]


def test_a_token_is_what_the_mark_names():
    """
    The type itself, or what the mark says instead.
    """

    def handle(a: From[Database], b: Annotated[str, Inject("name")]): ...

    assert [form_of(handle).key(number, handle) for number in (0, 1)] == [Database, "name"]


def test_a_default_serves_where_nothing_provides_the_value():
    """
    It counts before None, which an optional type alone would give.
    """

    def handle(a: From[Database | None] = 3): ...  # type: ignore[assignment]

    token = form_of(handle).token(0, handle)

    assert (token.fallback, token.optional) == (3, False)


def test_injected_as_a_default_is_none():
    """
    ``= INJECTED`` lets checkers accept calls that leave the parameter out, and says nothing more.
    """

    def handle(a: From[Database] = INJECTED): ...

    assert filled(handle) == ["a"]
    assert form_of(handle).token(0, handle) is Database


@pytest.mark.parametrize(
    ("default", "meant"),
    [(INJECTED, r"From\[Database\]"), (Inject("main"), re.escape('Annotated[Database, Inject("main")]'))],
    ids=["INJECTED", "Inject"],
)
def test_a_mark_that_is_only_the_default_is_refused(default, meant):
    """
    It would mark nothing: the error says what to write.
    """

    def handle(a: Database = default): ...

    with pytest.raises(DeclarationError, match=rf"parameter a of .*: write a: {meant}"):
        form_of(handle)


def test_an_annotation_may_name_what_is_defined_later():
    """
    That it is marked can be read before; what it asks for is read when it is first needed.
    """

    def handle(a: "From[Later]"): ...  # noqa: F821  # see below

    handle.__qualname__ = "handle"  # as a function of a module
    form = form_of(handle)
    globals()["Later"] = Mail
    try:
        assert filled(handle) == ["a"]
        assert form.token(0, handle) is Mail
    finally:
        del globals()["Later"]


def test_the_form_of_a_function_is_read_once():
    """
    As long as the function lives it is the same form, and another function's is another.
    """

    def one(a: From[Database]): ...

    def other(a: From[Database]): ...

    assert form_of(one) is form_of(one)
    assert form_of(one) is not form_of(other)
