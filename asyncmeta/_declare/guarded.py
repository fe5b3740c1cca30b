"""Where does a name come from that only type checkers import?  What a module guards with TYPE_CHECKING, among loaded modules."""

from __future__ import annotations

import ast
import linecache
import os
import sys
import types
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from .._compat import parsed
from .tokens import MISSING

__all__ = ["Guarded", "alias_text", "guarded_import", "guarded_line", "guarded_text", "guarded_value"]

_FRONT_DOOR = __name__.partition(".")[0]

#: So many modules may hand one name on to each other, each under TYPE_CHECKING.
_LONGEST_WAY = 16


class Guarded(NamedTuple):
    """One name that a module imports for checkers only."""

    module: str  #: what it is imported from
    attribute: str  #: its name there; "" where the name is the module itself
    line: int

    @property
    def text(self) -> str:
        """The import as it may be written."""
        return f"from {self.module} import {self.attribute}" if self.attribute else f"import {self.module}"


class _Source(NamedTuple):
    """What was read of a module's source."""

    imports: Mapping[str, Sequence[Guarded]]  #: of several, as in branches by version, one is loaded
    stars: tuple[str, ...]  #: modules of ``from ... import *``
    defined: Mapping[str, int]  #: what is defined for checkers only, with its line
    meant: Mapping[str, str]  #: those of them that stand for a type, as texts
    aliases: Mapping[str, str]  #: ``type`` statements of the module itself, as texts


_NOTHING = _Source({}, (), {}, {}, {})

#: what was read, with what the file was then; an entry for each module that a name was missing in
_READ: weakref.WeakKeyDictionary[types.ModuleType, tuple[Any, _Source]] = weakref.WeakKeyDictionary()


def guarded_import(module: str, name: str) -> Guarded | None:
    """Return how *module* imports *name* for checkers, None where it does not."""
    found = _source_of(module).imports.get(name)
    return found[0] if found else None


def guarded_value(module: str, name: str) -> Any:
    """
    Return what *name* means in *module* where it is imported for checkers only; MISSING where that is not loaded.

    Nothing is imported for it but what our own front door loads late, and no other module's ``__getattr__`` is asked.
    """
    for _ in range(_LONGEST_WAY):
        source = _source_of(module)
        found = source.imports.get(name, ())
        if not found:
            starred = (_named(loaded, name) for loaded in _loaded(source.stars))
            return next((value for value in starred if value is not MISSING), MISSING)
        value = next((value for value in map(_imported, found) if value is not MISSING), MISSING)
        if value is not MISSING:
            return value
        further = next((one for one in found if one.attribute and one.module in sys.modules), None)
        if further is None:
            return MISSING
        module, name = further.module, further.attribute  # there it may be for checkers only, too
    return MISSING


def _imported(found: Guarded) -> Any:
    """Return what *found* imports, MISSING where that is not loaded."""
    if not found.attribute:
        return sys.modules.get(found.module, MISSING)
    loaded = sys.modules.get(found.module)
    value = MISSING if loaded is None else _named(loaded, found.attribute)
    return sys.modules.get(f"{found.module}.{found.attribute}", MISSING) if value is MISSING else value


def _named(module: types.ModuleType, name: str) -> Any:
    """Return what *name* is in *module*, MISSING where that is not loaded; our front door loads what it is asked for."""
    value = vars(module).get(name, MISSING)
    if value is MISSING and module is sys.modules.get(_FRONT_DOOR) and name in vars(module).get("__all__", ()):
        return getattr(module, name, MISSING)
    return value


def guarded_line(module: str, name: str) -> int:
    """Return the line where *module* defines *name* for checkers only, 0 where it does not."""
    return _source_of(module).defined.get(name, 0)


def guarded_text(module: str, name: str) -> str:
    """Return what *name* stands for where *module* defines it for checkers only, as text; "" where it is no name of a type."""
    return _source_of(module).meant.get(name, "")


def alias_text(module: str, name: str) -> str:
    """Return what the ``type`` statement *name* of *module* says, as text; "" where that cannot be seen."""
    return _source_of(module).aliases.get(name, "")


def _loaded(modules: Iterable[str]) -> Iterator[types.ModuleType]:
    for name in modules:
        found = sys.modules.get(name)
        if found is not None:
            yield found


def _source_of(name: str) -> _Source:
    module = sys.modules.get(name)
    file = getattr(module, "__file__", None)
    if not isinstance(module, types.ModuleType) or not isinstance(file, str):
        return _NOTHING
    try:
        status = os.stat(file)
        stamp: Any = (file, status.st_mtime_ns, status.st_size)
    except OSError:  # within an archive
        stamp = file
    there = _READ.get(module)
    if there is None or there[0] != stamp:
        there = _READ[module] = stamp, _read(vars(module), file)
    return there[1]


def _read(names: dict[str, Any], file: str) -> _Source:
    try:
        linecache.checkcache(file)
        tree = parsed("".join(linecache.getlines(file, names)))
    except (SyntaxError, ValueError):  # no Python, or no longer what was loaded
        return _NOTHING
    imports: dict[str, list[Guarded]] = {}
    stars: list[str] = []
    defined: dict[str, int] = {}
    meant: dict[str, str] = {}
    for statement in _for_checkers(tree, names):
        if isinstance(statement, ast.ImportFrom):
            origin = _origin(statement, names)
            for alias in statement.names:
                if alias.name == "*":
                    stars.append(origin)
                else:
                    imported = Guarded(origin, alias.name, statement.lineno)
                    imports.setdefault(alias.asname or alias.name, []).append(imported)
        elif isinstance(statement, ast.Import):
            for alias in statement.names:
                # ``import a.b`` binds a, ``import a.b as c`` binds the module itself.
                name = alias.asname or alias.name.partition(".")[0]
                imports.setdefault(name, []).append(Guarded(alias.name if alias.asname else name, "", statement.lineno))
        elif isinstance(statement, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            defined.setdefault(statement.name, statement.lineno)
        elif isinstance(statement, ast.Name) and isinstance(statement.ctx, ast.Store):
            defined.setdefault(statement.id, statement.lineno)
        else:
            meant.update(_meant(statement))
    # A kind of statement that there is since Python 3.12.
    statements: list[Any] = [one for one in tree.body if type(one).__name__ == "TypeAlias"]
    aliases = {one.name.id: ast.unparse(one.value) for one in statements}
    return _Source(imports, tuple(stars), defined, meant, aliases)


#: What a type may be written as: a name, a form with arguments, a union, or a text.
_TYPES = ast.Name | ast.Attribute | ast.Subscript | ast.BinOp | ast.Constant


def _meant(statement: ast.AST) -> Iterator[tuple[str, str]]:
    """Give the name that a statement defines as a type that stands elsewhere, and that type as text."""
    written: Any = statement
    targets: list[Any] = []
    if isinstance(statement, ast.Assign):
        targets = written.targets
    elif isinstance(statement, ast.AnnAssign):
        targets = [written.target]
    elif type(statement).__name__ == "TypeAlias" and not written.type_params:
        targets = [written.name]
    if len(targets) == 1 and isinstance(targets[0], ast.Name) and isinstance(written.value, _TYPES):
        yield targets[0].id, ast.unparse(written.value)


def _origin(statement: ast.ImportFrom, names: Mapping[str, Any]) -> str:
    """Return the full name of the module that *statement* imports from."""
    if not statement.level:
        return statement.module or ""
    package = names.get("__package__") or str(names.get("__name__", "")).rpartition(".")[0]
    parts = package.split(".")
    above = ".".join(parts[: len(parts) - statement.level + 1])
    return f"{above}.{statement.module}" if statement.module else above


def _for_checkers(tree: ast.AST, names: Mapping[str, Any]) -> Iterator[ast.AST]:
    """Give the statements that stand under ``if TYPE_CHECKING:``, wherever in the module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.If):
            meant = _asks(node.test, names)
            if meant is not None:
                for statement in node.body if meant else node.orelse:
                    yield from ast.walk(statement)


def _asks(test: ast.expr, names: Mapping[str, Any]) -> bool | None:
    """
    Tell which branch is for checkers: True for the first, False for ``else``; None where it is another question.

    Args:
        names: The module's globals: what is False there, under whichever name, is never true at run time.
    """
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        inner = _asks(test.operand, names)
        return None if inner is None else not inner
    if isinstance(test, ast.BoolOp):
        return next((meant for meant in (_asks(one, names) for one in test.values) if meant is not None), None)
    if isinstance(test, ast.Constant):
        return None if test.value else True
    if isinstance(test, ast.Name) and names.get(test.id) is False:
        return True
    name = test.id if isinstance(test, ast.Name) else test.attr if isinstance(test, ast.Attribute) else ""
    return True if name in ("TYPE_CHECKING", "MYPY") else None
