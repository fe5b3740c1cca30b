"""`_compat`: what differs between Pythons, and errs by chance in one of them."""

import ast
import asyncio

import pytest

from asyncmeta._compat import is_marked_async, parsed


@pytest.mark.parametrize("errors", [0, 1, 9])
def test_a_text_is_parsed_again_where_python_errs_by_chance(monkeypatch, errors):
    """
    A SystemError says nothing of the text; after the ninth it is tried a last time.
    """
    left, parse = [errors], ast.parse

    def errs(text):
        if left[0]:
            left[0] -= 1
            raise SystemError("depth")
        return parse(text)

    monkeypatch.setattr(ast, "parse", errs)

    assert ast.dump(parsed("a + 1")) == ast.dump(parse("a + 1"))
    assert left == [0]


def test_a_text_that_is_never_parsed_is_an_error(monkeypatch):
    """
    What goes on to fail is raised.
    """

    def errs(text):
        raise SystemError("depth")

    monkeypatch.setattr(ast, "parse", errs)

    with pytest.raises(SystemError):
        parsed("a + 1")


@pytest.mark.skipif(not hasattr(asyncio.coroutines, "_is_coroutine"), reason="there is no such mark any more")
def test_what_asyncio_marks_is_a_coroutine_function():
    """
    An object that has the mark of asyncio counts as a coroutine function, as asyncio itself sees it.
    """

    class Marked:
        _is_coroutine = asyncio.coroutines.__dict__.get("_is_coroutine")

    class Other:
        _is_coroutine = True

    assert is_marked_async(Marked())
    assert not is_marked_async(Other())
