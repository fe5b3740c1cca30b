"""How is what was set up torn down?  Exactly once, in reverse, all of it, and no error lost."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import AsyncGeneratorType, CodeType, GeneratorType, MethodType
from typing import Any, Final

from ..._lock import LOCK
from ..._names import Place, is_a, name_of_callable
from ...errors import AsyncDependencyError, FactoryError, FinalizationErrors
from ..state.context import EXITING
from ..state.parking import set_traceback, traceback_of
from ..state.singletons import ScopeState
from ..state.slots import Finalizer, Held

__all__ = [
    "ThreadGenerator", "as_list", "end_twice", "exit_async", "exit_nowait", "first_to_await", "holds", "leave", "leave_nowait",
    "misyields", "never_yields", "push", "push_locked", "raise_first", "refuse_async", "settle_errors", "unwind",
    "unwind_nowait", "withdraw", "yields_twice",
]  # fmt: skip


def push(scope: ScopeState, finalizer: Finalizer) -> None:
    """Add a finalizer to a scope: none, a single one, or a list of them."""
    # Invariant: pushed before its value can be seen by anyone else, so a value that was handed out is always also closed.
    there = scope._finalizers
    if there is None:
        scope._finalizers = finalizer
    elif isinstance(there, list):
        there.append(finalizer)
    else:
        scope._finalizers = [there, finalizer]


def push_locked(scope: ScopeState, finalizer: Finalizer) -> None:
    """Add a finalizer to a scope for which several threads may build at once."""
    with LOCK:
        if scope._finalizers is None:
            scope._finalizers = finalizer
        else:
            push(scope, finalizer)


def withdraw(scope: ScopeState, finalizer: Finalizer) -> None:
    """Take back a finalizer that has run before its turn."""
    with LOCK:
        there = scope._finalizers
        if there is finalizer:
            scope._finalizers = None
        elif isinstance(there, list) and finalizer in there:
            there.remove(finalizer)


def as_list(finalizers: Finalizer | list[Finalizer] | None) -> list[Finalizer]:
    """Return what `push` has made, as a list in order of completion."""
    if finalizers is None:
        return []
    return finalizers if isinstance(finalizers, list) else [finalizers]


def holds(finalizers: Finalizer | list[Finalizer] | None) -> bool:
    """Tell whether any of them has something to tear down."""
    return any(not isinstance(one, Held) or one.holds() for one in as_list(finalizers))


def first_to_await(finalizers: list[Finalizer]) -> Finalizer | None:
    """Return a finalizer that cannot run without a loop, or None."""
    for finalizer in finalizers:
        if type(finalizer) is not GeneratorType and not (isinstance(finalizer, Held) and not finalizer.needs_await()):
            return finalizer
    return None


async def exit_async(generator: AsyncGeneratorType[Any, Any], error: BaseException | None) -> None:
    """
    Let an async generator factory finish.

    *error*, the body's, is thrown in; whether the generator swallows it or raises it again, it is not raised here.
    """
    traceback = None if error is None else traceback_of(error)
    try:
        if error is None:
            await generator.__anext__()
        else:
            await generator.athrow(error)
    except StopAsyncIteration:
        return
    except BaseException as raised:
        if raised is error or (error is not None and _is_wrapped(raised, error)):
            return
        raise
    finally:
        if error is not None:
            set_traceback(error, traceback)  # without the generator's frames
    try:
        await generator.aclose()
    finally:
        raise FactoryError(yields_twice(generator))


def exit_nowait(generator: GeneratorType[Any, Any, Any], error: BaseException | None) -> None:
    """Let a generator factory finish; see `exit_async`."""
    traceback = None if error is None else traceback_of(error)
    try:
        if error is None:
            next(generator)
        else:
            generator.throw(error)
    except StopIteration as stop:
        # A StopIteration that the generator itself let through cannot be told from its end, and means the same.
        del stop
        return
    except BaseException as raised:
        if raised is error or (error is not None and _is_wrapped(raised, error)):
            return
        raise
    finally:
        if error is not None:
            set_traceback(error, traceback)  # without the generator's frames
    try:
        generator.close()
    finally:
        raise FactoryError(yields_twice(generator))


# See `set_traceback`.
_context_of: Final[Callable[[BaseException], BaseException | None]] = vars(BaseException)["__context__"].__get__
_set_context: Final[Callable[[BaseException, BaseException | None], None]] = vars(BaseException)["__context__"].__set__


def _is_wrapped(raised: BaseException, error: BaseException) -> bool:
    """
    Tell whether a generator has raised nothing new: what was thrown in, in a wrapping that others have put around it.

    A task group around a ``yield`` makes a group of what passes it, two of them a group in a group.  Python turns a
    StopIteration that leaves a generator into a RuntimeError with it as the cause.
    """
    while is_a(raised, BaseExceptionGroup):
        if len(raised.exceptions) != 1:
            return all(one is error or _is_wrapped(one, error) for one in raised.exceptions)
        raised = raised.exceptions[0]
        if raised is error:
            return True
    stops = is_a(error, StopIteration) or is_a(error, StopAsyncIteration)
    return stops and is_a(raised, RuntimeError) and raised.__cause__ is error


async def end_twice(generator: AsyncGeneratorType[Any, Any]) -> None:
    """
    End a generator factory that has yielded a second time as its scope, or call, ended.

    Raises:
        FinalizationErrors: Always: it yields twice.
    """
    try:
        await generator.aclose()
    finally:
        settle_errors([FactoryError(yields_twice(generator))], None)


def yields_twice(generator: Any) -> str:
    """Return the text for a generator factory that goes on after its value."""
    return misyields(name_of_callable(generator), _code_of(generator), "yields twice")


def never_yields(generator: Any) -> str:
    """Return the text for a generator factory that ends before it yields."""
    return misyields(name_of_callable(generator), _code_of(generator), "never yields")


def _code_of(generator: Any) -> CodeType:
    code: CodeType = getattr(generator, "ag_code", None) or generator.gi_code
    return code


def misyields(name: str, code: CodeType, how: str) -> str:
    """Return the text for a generator factory that does not yield once."""
    place = Place(code.co_filename, code.co_firstlineno)
    return f"{name} ({place}) {how}; a factory yields its value once, and what follows is its finalizer"


async def leave(finalizer: Finalizer, error: BaseException | None) -> None:
    """Run one finalizer."""
    if isinstance(finalizer, AsyncGeneratorType):
        await exit_async(finalizer, error)
    elif isinstance(finalizer, GeneratorType):
        exit_nowait(finalizer, error)
    elif isinstance(finalizer, MethodType):
        await finalizer()
    else:
        await finalizer.leave(error)


def leave_nowait(finalizer: Finalizer, error: BaseException | None) -> None:
    """Run one finalizer that needs no loop."""
    if isinstance(finalizer, GeneratorType):
        exit_nowait(finalizer, error)
    else:
        assert isinstance(finalizer, Held), "see refuse_async"
        finalizer.leave_nowait(error)


async def unwind(finalizers: list[Finalizer], error: BaseException | None, *, waits: bool = True) -> list[BaseException]:
    """
    Run *finalizers* from the last to the first, and empty the list; return what they raised, in that order.

    Each runs exactly once, whatever the others do; a cancellation that arrives meanwhile is one of the errors.
    """
    if not waits:
        return unwind_nowait(finalizers, error)
    raised: list[BaseException] = []
    while finalizers:
        try:
            await leave(finalizers.pop(), error)
        except BaseException as met:
            raised.append(met)
    return raised


def unwind_nowait(finalizers: list[Finalizer], error: BaseException | None) -> list[BaseException]:
    """Run *finalizers* without a loop; see `unwind`."""
    raised: list[BaseException] = []
    tried: Finalizer | None = None
    while finalizers:
        # Nothing is called between taking it off and its turn: an interrupt comes where something is called, or begins.
        finalizer = finalizers[-1]
        del finalizers[-1]
        try:
            leave_nowait(finalizer, error)
        except BaseException as met:
            raised.append(met)
            begun = not isinstance(finalizer, GeneratorType) or not finalizer.gi_suspended
            if not is_a(met, Exception) and not begun and finalizer is not tried:
                tried = finalizer
                finalizers.append(finalizer)
    return raised


def refuse_async(finalizers: list[Finalizer], what: str) -> None:
    """
    Refuse to close without a loop what needs one, before anything is closed.

    Raises:
        AsyncDependencyError: A finalizer has to be awaited.
    """
    waiting = first_to_await(finalizers)
    if waiting is not None:
        name = getattr(waiting, "__qualname__", None) or getattr(waiting, "name", type(waiting).__name__)
        raise AsyncDependencyError(
            what,
            (),
            "",
            f"cannot be closed without awaiting: the finalizer of {name} is asynchronous",
            "Close it with `await ....aclose()`",
        )


def settle_errors(raised: list[BaseException], error: BaseException | None) -> None:
    """
    Raise what closing met; return where that is nothing, or where *error*, the body's, goes on by itself.

    A single error is a group, too.  What is no Exception is raised bare, the others stand at the end of its context;
    beside an exception of the body all of them stand at the end of its context, and in a note.
    """
    if not raised:
        return
    # What closing something else has collected is not boxed a second time.
    raised = [inner for one in raised for inner in (one.exceptions if is_a(one, FinalizationErrors) else (one,))]
    plain = [one for one in raised if is_a(one, Exception)]
    bare = [one for one in raised if not is_a(one, Exception)]
    for met in plain:
        if any(text in _text(met) for text in _LEFT_ELSEWHERE):
            _note(met, _OF_ITS_OWN)
    group = FinalizationErrors.of(plain) if plain else None
    if error is not None:
        if group is not None:
            _append(error, group)
            _note(error, f"asyncmeta: {group.args[0]}: " + "; ".join(f"{type(one).__name__}: {_text(one)}" for one in plain))
        for one in bare:
            if one is not error:
                _append(error, one)
        return
    if bare:
        first = bare[0]
        for other in bare[1:]:
            if other is not first:
                _append(first, other)
        if group is not None:
            _append(first, group)
        raise first
    assert group is not None
    raise group


#: What anyio and CPython say of what is left in another task, or context, than it was entered in.
_LEFT_ELSEWHERE: Final = ("cancel scope in a different task", "was created in a different Context")
_OF_ITS_OWN: Final = (
    "asyncmeta: it was entered in one task and is left in another, as where a middleware runs its handlers in tasks of their own: "
    "concurrent=True at the registration of its factory gives it one task for its whole life"
)

#: How many groups may stand behind one exception: an object that is raised again and again does not grow without end.
MOST_GROUPS: Final = 8


def _append(error: BaseException, last: BaseException) -> None:
    """Put *last* at the end of the context chain of *error*."""
    if is_a(last, FinalizationErrors):
        for inner in last.exceptions:
            if _context_of(inner) is error:  # it was raised while the body's was handled; shown there already
                _set_context(inner, None)
    chain = list(_contexts(error))
    ours = [number for number, one in enumerate(chain) if is_a(one, FinalizationErrors)]
    if len(ours) >= MOST_GROUPS and ours[0] and ours[0] + 1 < len(chain):
        _set_context(chain[ours[0] - 1], chain[ours[0] + 1])
        del chain[ours[0]]
    if any(one is last for one in chain):
        return
    beside = _context_of(last)
    if beside is not None and any(one is beside for one in chain):
        _set_context(last, None)
    _set_context(chain[-1], last)


def _contexts(error: BaseException) -> Iterator[BaseException]:
    """Give *error*, and one after another what it was raised beside."""
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = _context_of(one)


def _note(error: BaseException, note: str) -> None:
    """Add a note, once, to an exception of any class."""
    with suppress(Exception):  # one that refuses notes is the user's all the same
        if note not in getattr(error, "__notes__", ()):
            error.add_note(note)


def _text(error: BaseException) -> str:
    """Return what an exception says; of one that cannot, nothing."""
    try:
        return str(error)
    except Exception:
        return "(without a text)"


# --- what was entered in a thread --------------------------------------------------


class ThreadGenerator(Held):
    """A sync generator factory whose exit runs in a thread, as its entry did."""

    __slots__ = ("context", "generator")

    def __init__(self, generator: GeneratorType[Any, Any, Any], context: contextvars.Context) -> None:
        self.generator, self.context = generator, context

    def needs_await(self) -> bool:
        return False

    async def leave(self, error: BaseException | None) -> None:
        exiting = EXITING.get()

        def exit_noting() -> BaseException | None:
            # Never raises: a Future cannot hold every exception (StopIteration).
            try:
                self._exit(error, exiting)
            except BaseException as met:
                return met
            return None

        future = asyncio.get_running_loop().run_in_executor(None, exit_noting)
        cancelled: asyncio.CancelledError | None = None
        while not future.done():
            try:
                await asyncio.wait([future])
            except asyncio.CancelledError as one:
                cancelled = one  # closing is finished first
        raise_first(cancelled, future.result())

    def leave_nowait(self, error: BaseException | None) -> None:
        self._exit(error, EXITING.get())

    def _exit(self, error: BaseException | None, exiting: tuple[Any, ...]) -> None:
        self.context.run(EXITING.set, exiting)
        self.context.run(exit_nowait, self.generator, error)


def raise_first(cancelled: BaseException | None, failed: BaseException | None) -> None:
    """Raise what leaving met: a cancellation with the failure in its context, or the failure itself."""
    if cancelled is None and failed is None:
        return
    try:
        if failed is not None:
            raise failed
    finally:
        if cancelled is not None:
            raise cancelled
