"""Where Pythons differ."""

import ast

import pytest

from asyncmeta._compat import parsed, reentrant_lock


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
