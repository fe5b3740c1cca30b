"""`_declare.guarded`: what names mean that a module imports for type checkers only."""

import importlib
import sys

import pytest

from asyncmeta._declare.guarded import guarded_import, guarded_line, guarded_value
from asyncmeta._declare.keys import MISSING

HEAD = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    "


@pytest.fixture
def modules(tmp_path, monkeypatch):
    """Give a function that writes and imports modules, and returns nothing."""
    monkeypatch.syspath_prepend(str(tmp_path))
    written = []

    def write(**texts):
        for name, text in texts.items():
            (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
        importlib.invalidate_caches()
        for name in texts:
            importlib.import_module(name)
            written.append(name)

    yield write
    for name in written:
        del sys.modules[name]


def test_modules_that_import_a_name_from_each_other_have_none(modules):
    """
    A name that is handed round for ever is nothing, and nobody looks for ever.
    """
    modules(guarded_here=HEAD + "from guarded_there import Thing", guarded_there=HEAD + "from guarded_here import Thing")

    assert guarded_value("guarded_here", "Thing") is MISSING
    assert guarded_import("guarded_here", "Thing").module == "guarded_there"


def test_all_of_a_module_that_is_not_loaded_is_nothing(modules):
    """
    What another module would bring is not imported for it; of those that are loaded it is taken.
    """
    modules(guarded_full="Thing = int", guarded_star=HEAD + "from guarded_never_loaded import *\n    from guarded_full import *")

    assert guarded_value("guarded_star", "Thing") is int
    assert guarded_value("guarded_star", "Other") is MISSING


def test_what_is_defined_for_checkers_only_has_a_line(modules):
    """
    A class, a function or a variable there is no import, and is told with its line.
    """
    modules(guarded_defines=HEAD + "Alias = int\n    class Thing: ...\n    def make(): ...")

    assert [guarded_line("guarded_defines", name) for name in ("Alias", "Thing", "make", "other")] == [3, 4, 5, 0]
