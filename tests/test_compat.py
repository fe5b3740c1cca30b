"""Where Pythons differ."""

import ast
import typing

import pytest
import typing_extensions

from asyncmeta._compat import is_alias, is_typeddict, parsed, reentrant_lock


def test_a_parser_that_errs_by_chance_is_asked_again(monkeypatch):
    """
    CPython 3.11 says at times that its own depth is wrong; the second answer counts, and other errors are errors.
    """
    answers, parse = [SystemError("AST constructor recursion depth mismatch")], ast.parse

    def err_once(text):
        if answers:
            raise answers.pop()
        return parse(text)

    monkeypatch.setattr(ast, "parse", err_once)

    assert ast.unparse(parsed("a + b")) == "a + b"
    with pytest.raises(SyntaxError):
        parsed("a +")


def test_the_lock_is_entered_again_and_left_as_often():
    """
    It is re-entrant for its thread, and free when the outermost block ends, also by an error.
    """
    lock = reentrant_lock()

    with pytest.raises(KeyError), lock, lock:
        raise KeyError

    assert lock.acquire(blocking=False)
    lock.release()
    with pytest.raises(RuntimeError):
        lock.release()


@pytest.mark.parametrize("made_by", [typing, typing_extensions], ids=lambda module: module.__name__)
def test_what_typing_extensions_makes_is_known_as_what_typing_makes(made_by):
    """
    An alias and a TypedDict are told from other things, whichever of the two modules made them.
    """
    row = made_by.TypedDict("row", {"name": str})

    assert [is_typeddict(one) for one in (row, dict, dict[str, int])] == [True, False, False]
    if hasattr(made_by, "TypeAliasType"):
        names = made_by.TypeAliasType("names", list[str])
        assert [is_alias(one) for one in (names, list[str], list, "names")] == [True, False, False, False]
