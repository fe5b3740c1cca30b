"""Ctrl-C as each function of ours begins, one after the other: the next call works or raises, and what was opened is closed."""

import ast
import contextlib
import contextvars
import dis
import gc
import sys
import threading
import types
from pathlib import Path

import amount
import pytest

import asyncmeta
from asyncmeta import AsyncMetaError
from asyncmeta._run.state.roots import RootTable

from .worlds import SCOPED, TRANSIENT, World

#: Seconds after which what comes next is said to hang.
PATIENCE = 3.0

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore:coroutine:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(autouse=True)
def nothing_left():
    """Let what an interrupt has left in tracebacks be collected here, and not in the middle of another test."""
    yield
    gc.collect()


def scope(container):
    with container.scope() as scope:
        scope.get_nowait("t")


def request(container):
    with container.request("s"):
        pass


def close(container):
    container.close()


def override(container):
    with container.override({"x": "fake"}), container.scope() as scope:
        scope.get_nowait("t")


def overrides(container):
    with container.override({"x": "fake"}), container.override({"p": "fake"}), container.scope() as scope:
        scope.get_nowait("t")


def interrupted(use, number):
    """Interrupt *use* as the function of that number begins; tell whether it was, and what is wrong afterwards."""
    world = World()
    world.add("p", "gen")
    world.add("x", "sync")
    world.add("s", "gen", "p", "x", **SCOPED)
    world.add("t", "gen", "s", **TRANSIENT)
    container = world.container()
    container.__enter__()
    container.get_nowait("p")
    began, wrong = [0], []

    def trace(frame, event, _):
        if "asyncmeta" in frame.f_code.co_filename and "tests" not in frame.f_code.co_filename:
            began[0] += 1
            if began[0] == number:
                sys.settrace(None)
                raise KeyboardInterrupt

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        use(container)
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(before)

    def after():
        try:
            with contextlib.suppress(AsyncMetaError), container.scope() as scope:
                scope.get_nowait("t")
            container.close()
        except BaseException as error:
            wrong.append(repr(error))

    thread = threading.Thread(target=after, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    if thread.is_alive():
        wrong.append("it hangs")
    return began[0] >= number, [f"{use.__name__} at {number}: {one}" for one in wrong + world.wrong()]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="what makes syntax trees in CPython 3.11 does not survive an interrupt")
@pytest.mark.parametrize("use", [scope, request, close, override, overrides])
def test_interrupted_as_each_function_begins(use):
    """
    Wherever a program without a loop is interrupted, nothing stays locked or claimed, and everything is closed once.
    """
    bad, number = [], 1
    hit = True
    while hit and number < 5_000:
        hit, found = contextvars.copy_context().run(interrupted, use, number)
        bad += found
        number += 1 if amount.WHOLE else 5

    assert 10 < number < 5_000
    assert bad == []


def test_an_overlay_that_is_interrupted_as_it_is_made(monkeypatch):
    """
    Half of an overlay, kept alive by the traceback of its interrupt, is not known to the container below, which goes on.
    """
    world = World()
    world.add("x", "sync")
    container = world.container()

    def interrupt(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(RootTable, "begin", interrupt)
        with pytest.raises(KeyboardInterrupt) as met:
            container.overlay({"x": "fake"}).__enter__()
    container.root_class.register_value("other", 1)
    given = container.get_nowait("other")
    container.close()

    assert given == 1
    assert met.type is KeyboardInterrupt


def enter_override(container):
    block = container.override({"x": "fake"}, everywhere=True)
    return block, lambda: container.get_nowait("x") != "fake"


def enter_scope(container):
    block = container.scope()
    return block, lambda: block.closed


def enter_container(container):
    return container, lambda: container.closed


def interrupted_at_an_edge(enter, edge, number):
    """Interrupt the begin or the end of a block as a function inside of it begins; tell whether it was, and what is wrong then."""
    world = World()
    world.add("p", "gen")
    world.add("x", "sync")
    world.add("s", "gen", "p", "x", **SCOPED)
    container = world.container()
    container.get_nowait("p")
    block, is_over = enter(container)
    began = [0]

    def trace(frame, event, _):
        if "asyncmeta" in frame.f_code.co_filename and "tests" not in frame.f_code.co_filename:
            began[0] += frame.f_code.co_name != edge  # of that itself nobody can know
            if began[0] == number:
                sys.settrace(None)
                raise KeyboardInterrupt

    def trying(work, *args):
        before = sys.gettrace()
        sys.settrace(trace)
        try:
            work(*args)
        except KeyboardInterrupt:
            return True
        finally:
            sys.settrace(before)
        return False

    if edge == "__enter__":
        hit = trying(block.__enter__)
        if not hit:
            block.__exit__(None, None, None)
    else:
        entered = block.__enter__()
        if enter is enter_scope:
            entered.get_nowait("s")
        hit = trying(block.__exit__, None, None, None)
    wrong = [] if is_over() else [f"{enter.__name__}, {edge} at {number}: the block is not over"]
    container.close()
    return hit, wrong + world.wrong()


@pytest.mark.parametrize(("enter", "edge"), [
    (enter_override, "__enter__"), (enter_override, "__exit__"), (enter_scope, "__exit__"), (enter_container, "__exit__"),
])  # fmt: skip
def test_a_block_that_is_interrupted_at_its_edge_is_over(enter, edge):
    """
    An interrupt as a block begins or ends leaves no override in force, and no container or scope open that nobody would close.
    """
    bad, number, hit = [], 1, True
    while hit and number < 5_000:
        hit, found = contextvars.copy_context().run(interrupted_at_an_edge, enter, edge, number)
        bad += found
        number += 1

    assert 5 < number < 5_000
    assert bad == []


#: Loops whose way back an interrupt may take unseen by what is around them, and why.
HARMLESS = {
    "Registry.add_all": "what is guarded against is an entry that is wrong; an interrupt is not",
    "Cell._fetch_once": "nothing is claimed where it goes round",
    "build_missing": "runs in a loop, where an interrupt is a cancellation",
    "build_concurrent": "runs in a loop, where an interrupt is a cancellation",
    "Closing.retire": "runs in a loop, where an interrupt is a cancellation",
}


def functions_in(code):
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield constant
            yield from functions_in(constant)


def loops_within_guards(tree, within=False):
    """Give the loops that stand in a `with`, or in what a `try` guards, in the same function."""
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            yield from loops_within_guards(child)
            continue
        if within and isinstance(child, (ast.While, ast.For, ast.AsyncFor)):
            yield child
        if isinstance(child, ast.Try):
            for guarded in child.body:
                yield from loops_within_guards(ast.Module([guarded], []), True)
            for other in (*child.handlers, *child.orelse, *child.finalbody):
                yield from loops_within_guards(ast.Module([other], []), within)
        else:
            yield from loops_within_guards(child, within or isinstance(child, (ast.With, ast.AsyncWith)))


def ways_back_unseen(path):
    """Give the functions in which a loop goes round by a jump that the guard around the loop does not cover."""
    text = path.read_text()
    ranges = [(loop.lineno, loop.end_lineno) for loop in loops_within_guards(ast.parse(text))]
    for code in functions_in(compile(text, str(path), "exec")):
        if code.co_name.startswith("<"):
            continue
        lines = dis.Bytecode(code)
        for step in lines:
            covered = any(entry.start <= step.offset < entry.end for entry in lines.exception_entries)
            at = step.positions.lineno
            if step.opname == "JUMP_BACKWARD" and not covered and at and any(first <= at <= last for first, last in ranges):
                yield code.co_qualname


def test_an_interrupt_on_the_way_round_a_loop_is_seen_by_what_guards_the_loop():
    """
    Since CPython 3.12 a jump back may stand outside of the `with` or `try` around its loop, and a signal is seen just there:
    a lock would stay locked for ever.  Such loops are functions of their own.
    """
    rooms = [path for wing in ("_run", "_solve", "_declare") for path in (Path(asyncmeta.__file__).parent / wing).rglob("*.py")]

    found = {name for path in rooms for name in ways_back_unseen(path)}

    assert found <= HARMLESS.keys()
