"""Is everything that one run has set up torn down, once and in order?"""

from __future__ import annotations

import ast
import functools
import itertools
import linecache
from collections import Counter
from collections.abc import Iterator
from types import AsyncGeneratorType, FrameType, GeneratorType
from typing import Any

from .._compat import parsed
from .._names import Place, name_of_callable
from .._run.container.container import Container
from .._run.observe.watch import Event, Observer
from .._run.teardown.finalizers import as_list
from .records import containers

__all__ = ["Life", "Witness"]


class Life:
    """
    What one run has set up, and what of it was torn down.

    Args:
        before: Containers that were there before; they are nobody's business.
    """

    def __init__(self, before: set[Container]) -> None:
        self.before = before
        self.generators: dict[Any, FrameType] = {}  #: each with its frame, which tells where it was left
        self.open: Counter[str] = Counter()  #: what was built and is not torn down, by name
        self.wrong: list[str] = []

    # --- what is told ---

    def began(self, generator: Any) -> None:
        """An asynchronous generator begins, or a synchronous one was found."""
        frame = _frame(generator)
        if frame is not None:
            self.generators.setdefault(generator, frame)

    def look(self) -> None:
        """Find the synchronous generators that containers hold open now; of those nobody else tells."""
        waiting: list[Any] = self.containers()
        while waiting:
            scope = waiting.pop()
            waiting.extend(scope._children or ())
            for finalizer in as_list(scope._finalizers):
                while not isinstance(finalizer, GeneratorType | AsyncGeneratorType):
                    inner = getattr(finalizer, "finalizer", None) or getattr(finalizer, "generator", None)
                    if inner is None:
                        break
                    finalizer = inner
                else:
                    self.began(finalizer)

    def containers(self) -> list[Container]:
        """Return the containers that this run has made."""
        return [one for one in containers() if one not in self.before]

    def torn_down(self, key: str) -> None:
        """A finalizer begins."""
        if not self.open[key]:
            self.wrong.append(f"{key} is torn down more often than it was set up")
        elif self.open[key] == 1:
            # Where there are several of it, which one its users stand on cannot be told by name.
            users = [user for user in self._users(key) if self.open[user]]
            if users:
                self.wrong.append(f"{key} is torn down before {', '.join(users)}, which stands on it")
        self.open[key] -= 1

    def _users(self, key: str) -> list[str]:
        """Return the names of what is torn down as well and stands on *key*, directly or through others."""
        users: dict[str, dict[str, None]] = {}
        kept: set[str] = set()
        for container in self.containers():
            for node in list(container._graph.nodes.values()):
                if node.kind in ("generator", "async generator", "start"):
                    kept.add(node.name)
                for edge in node.edges:
                    for other in edge.target.each():
                        if other.name != node.name:
                            users.setdefault(other.name, {})[node.name] = None
        found: dict[str, None] = {}
        waiting = [key]
        while waiting:
            for user in users.get(waiting.pop(), ()):
                if user not in found:
                    found[user] = None
                    waiting.append(user)
        return [user for user in found if user in kept and user != key]

    # --- judging ---

    def verdict(self) -> list[str]:
        """Return what is wrong at the end of the run."""
        wrong = list(self.wrong)
        for container in self.containers():
            if not container.closed and container._finalizers is not None:
                wrong.append(f"{container!r} was left open")
        for generator, frame in self.generators.items():
            name = f"{name_of_callable(generator)} ({Place(frame.f_code.co_filename, frame.f_lineno)})"
            guarded, followed, repeated = after_yield(frame)
            if _frame(generator) is not None:
                if guarded or (followed and not repeated):
                    wrong.append(f"{name} was entered and never left")
            elif followed and not guarded and not repeated:
                wrong.append(
                    f"{name} was left by an exception at its yield, so what follows was skipped: put it in a finally or a with"
                )
        return wrong

    def abandon(self) -> None:
        """Let what was left open go in silence: it was told of."""
        for container in self.containers():
            container._finalizers = None


class Witness(Observer):
    """Tells the life of the running run what containers do."""

    def __init__(self) -> None:
        self.life: Life | None = None

    def build_end(self, event: Event, /) -> None:
        if self.life is not None:
            self.life.open[event.key] += 1

    def finalize_begin(self, event: Event, /) -> None:
        if self.life is not None:
            self.life.torn_down(event.key)


# --- reading a generator -----------------------------------------------------------------------------


def _frame(generator: Any) -> FrameType | None:
    """Return the frame of a generator, None when it has ended."""
    frame: FrameType | None = generator.ag_frame if isinstance(generator, AsyncGeneratorType) else generator.gi_frame
    return frame


def after_yield(frame: FrameType) -> tuple[bool, bool, bool]:
    """
    Return what the source says of the ``yield`` at which a frame stands, or at which it was left; all False for no yield.

    Returns:
        Whether a ``try`` or ``with`` stands around it, whether a statement follows it, whether a loop repeats it.
    """
    code = frame.f_code
    function = _functions(code.co_filename).get((code.co_name, code.co_firstlineno))
    here = next(itertools.islice(code.co_positions(), frame.f_lasti // 2, None), None)
    way: list[ast.AST] = []
    if function is not None and here is not None and None not in here:
        way = [function, *_way(function, here)]
    guarded = followed = repeated = False
    for around, inner in itertools.pairwise(way):
        repeated = repeated or isinstance(around, ast.For | ast.AsyncFor | ast.While)
        if isinstance(around, ast.With | ast.AsyncWith):
            guarded = guarded or inner in around.body
        elif isinstance(around, ast.Try | ast.TryStar):
            caught = inner in around.body and around.handlers
            guarded = guarded or bool(caught or (around.finalbody and inner not in around.finalbody))
        for field in ("body", "orelse", "finalbody"):
            block = getattr(around, field, ())
            if isinstance(block, list) and inner in block:
                rest = block[block.index(inner) + 1 :]
                followed = followed or any(not isinstance(one, ast.Return | ast.Pass) for one in rest)
    return guarded, followed, repeated


_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@functools.lru_cache(maxsize=64)
def _functions(file: str) -> dict[tuple[str, int], ast.AST]:
    """Return the functions of a source file by name and first line; of a file that cannot be read, none."""
    try:
        tree = parsed("".join(linecache.getlines(file)))
    except SyntaxError:
        return {}
    return {
        (node.name, min([node.lineno, *(one.lineno for one in node.decorator_list)])): node
        for node in ast.walk(tree)
        if isinstance(node, _FUNCTIONS)
    }


def _way(node: ast.AST, here: tuple[Any, ...]) -> list[ast.AST]:
    """Return the nodes from below *node* down to the ``yield`` that stands *here*; none where there is no such."""
    for child in _children(node):
        if isinstance(child, ast.Yield) and (child.lineno, child.end_lineno, child.col_offset, child.end_col_offset) == here:
            return [child]
        way = _way(child, here)
        if way:
            return [child, *way]
    return []


def _children(node: ast.AST) -> Iterator[ast.AST]:
    return (child for child in ast.iter_child_nodes(node) if not isinstance(child, (*_FUNCTIONS, ast.Lambda, ast.ClassDef)))
