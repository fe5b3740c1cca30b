"""Which Python is this, and what may happen to what it imports?  The only room that asks."""

from __future__ import annotations

import ast
import asyncio
import contextvars
import functools
import inspect
import os
import sys
import threading
import typing
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, ForwardRef

__all__ = [
    "WALKS_THREADS", "Protocol", "ProtocolMeta", "ReadOnly", "TypeForm", "TypeVar", "Unpack",
    "annotations_in_body", "annotations_of", "bound_places", "forget_half_imported", "get_running_loop", "is_alias",
    "is_marked_async", "is_typeddict", "keep_seat", "new_task", "parsed", "reentrant_lock", "referred", "signature_of",
    "text_of_reference", "type_parameters_of",
]  # fmt: skip

# From `typing` where that has all that is used: a program that uses nothing of `typing_extensions` loads nothing of it.
# What a program has made by it is an argument all the same, see `is_alias` and `is_typeddict`.
if TYPE_CHECKING or sys.version_info < (3, 14):
    from typing_extensions import Protocol, ReadOnly, TypeForm, TypeVar, Unpack
else:
    from typing import Protocol, ReadOnly, TypeVar, Unpack

    #: What it is at run time, to who reads our annotations.
    TypeForm = getattr(typing, "TypeForm", type)

# The metaclass of Protocol, so that a service can also be an ABC, a Protocol's implementation or a generic.
ProtocolMeta: Any = type(Protocol)

#: The running loop or None, without raising: `asyncio.get_running_loop` costs an exception where there is none.
get_running_loop = asyncio._get_running_loop


#: Whether the frames of other threads, which run on meanwhile, may be walked through: CPython 3.11 crashes where one
#: yields or ends under who looks.
WALKS_THREADS = sys.version_info >= (3, 12)

if sys.version_info >= (3, 14):
    import annotationlib

    # Annotations are evaluated when somebody asks, and may then raise anything.  Their texts are had all the same:
    # whoever needs one evaluates it, fails, and says of which parameter.

    def annotations_of(thing: Any) -> dict[str, Any]:
        """Return the annotations as written; names that are not defined yet come as forward references."""
        try:
            return annotationlib.get_annotations(thing, format=annotationlib.Format.FORWARDREF)
        except Exception:
            return annotationlib.get_annotations(thing, format=annotationlib.Format.STRING)

    def annotations_in_body(namespace: Mapping[str, Any]) -> dict[str, Any]:
        """Return the annotations that stand in the body of a class that is being made."""
        annotate = annotationlib.get_annotate_from_class_namespace(namespace)
        if annotate is None:
            return dict(namespace.get("__annotations__") or {})
        try:
            return annotationlib.call_annotate_function(annotate, annotationlib.Format.FORWARDREF)
        except Exception:
            return annotationlib.call_annotate_function(annotate, annotationlib.Format.STRING)

    def signature_of(call: Callable[..., Any]) -> inspect.Signature:
        """Return the signature; raises TypeError or ValueError where there is none, and for no annotation."""
        try:
            return inspect.signature(call, annotation_format=annotationlib.Format.FORWARDREF)
        except Exception:
            return inspect.signature(call, annotation_format=annotationlib.Format.STRING)

    #: What `typing` asks of the argument of a generic alias, also where that is not defined yet and answers to anything.
    _ASKED = ".__typing_unpacked_tuple_args__"

    def text_of_reference(reference: ForwardRef) -> str:
        """Return the text of *reference* as it was written: that of ``From[Later]`` is ``*Later.__typing_...``."""
        text = reference.__forward_arg__
        return text.removeprefix("*").removesuffix(_ASKED) if text.endswith(_ASKED) else text

    def referred(reference: ForwardRef, evaluate: Callable[[str], Any]) -> Any:
        """Return what *reference* names; *evaluate* reads the text of one that does not know where it was written."""
        text = text_of_reference(reference)
        if getattr(reference, "__owner__", None) is None:  # written as a string
            return evaluate(text)
        more = getattr(reference, "__extra_names__", None)
        if text == reference.__forward_arg__:
            with suppress(NameError):
                return reference.evaluate()
        # What was defined has an invented name in the text.
        return eval(text, {}, _Named(more, evaluate)) if more else evaluate(text)

    class _Named(dict[str, Any]):
        """Names that a reference invented, and those that it has from where it stands."""

        def __init__(self, names: Mapping[str, Any], evaluate: Callable[[str], Any]) -> None:
            super().__init__(names)
            self._evaluate = evaluate

        def __missing__(self, name: str) -> Any:
            return self._evaluate(name)

    _RLock: Any = type(threading.RLock())  # has no public name

    class _ReentrantLock(_RLock):  # type: ignore[misc]
        """
        A lock that is not left locked where a signal's handler raises as it is entered.

        `with` calls `__enter__` by an instruction that looks for signals after the call and before the block is
        protected: a Ctrl-C right there would leave the lock to a thread that knows nothing of it.  The return of a
        function of Python has no such look, so what is to be protected is its own call alone.
        """

        __slots__ = ()

        def __enter__(self) -> bool:
            held = self._recursion_count()
            try:
                return bool(self.acquire())
            except BaseException:
                if self._recursion_count() > held:
                    self.release()
                raise

    def reentrant_lock() -> threading.RLock:
        """Return a lock that an interrupt cannot leave locked."""
        lock: threading.RLock = _ReentrantLock()
        return lock

else:

    def annotations_of(thing: Any) -> dict[str, Any]:
        """Return the annotations as written, in the object's own dictionary (never a base class's)."""
        if type(thing) is FunctionType:
            return thing.__annotations__  # of these it is always one
        if isinstance(thing, type):
            found = thing.__dict__.get("__annotations__")  # noqa: RUF063  # as written: nothing is evaluated here
        else:
            found = getattr(thing, "__annotations__", None)
        return found if isinstance(found, dict) else {}

    def annotations_in_body(namespace: Mapping[str, Any]) -> dict[str, Any]:
        """Return the annotations that stand in the body of a class that is being made."""
        found = namespace.get("__annotations__")
        return found if isinstance(found, dict) else {}

    #: The signature; raises TypeError or ValueError where there is none, and for no annotation.
    signature_of = inspect.signature

    def text_of_reference(reference: ForwardRef) -> str:
        """Return the text of *reference*."""
        return reference.__forward_arg__

    def referred(reference: ForwardRef, evaluate: Callable[[str], Any]) -> Any:
        """Return what *reference* names; *evaluate* reads its text."""
        return evaluate(reference.__forward_arg__)

    #: A lock that an interrupt cannot leave locked: `with` does not look for signals between lock and block.
    reentrant_lock = threading.RLock


_MARK = getattr(asyncio.coroutines, "_is_coroutine", None)  # as asyncio.iscoroutinefunction sees it, and mocks before 3.13


def is_marked_async(call: Any) -> bool:
    """Tell whether *call*, a function that is none, is marked as a coroutine function."""
    if _MARK is not None and getattr(call, "_is_coroutine", None) is _MARK:
        return True
    return hasattr(call, "_is_coroutine_marker") and inspect.iscoroutinefunction(call)


def is_alias(form: Any) -> bool:
    """Tell whether *form* was made by a ``type`` statement, or by ``TypeAliasType``."""
    # `typing` has it since Python 3.12, and until 3.14 `typing_extensions` has one of its own.
    kind = type(form)
    return kind is _ALIAS or (kind.__name__ == "TypeAliasType" and kind.__module__ == "typing_extensions")


_ALIAS = getattr(typing, "TypeAliasType", None)


def is_typeddict(thing: Any) -> bool:
    """Tell whether *thing* is a TypedDict, of `typing` or of `typing_extensions`."""
    if typing.is_typeddict(thing):
        return True
    if type(thing).__module__ != "typing_extensions":
        return False
    import typing_extensions  # it is there

    return typing_extensions.is_typeddict(thing)


def type_parameters_of(thing: Any) -> tuple[Any, ...]:
    """Return the PEP 695 type parameters of a function or class; none before 3.12."""
    found = getattr(thing, "__type_params__", ())
    return found if isinstance(found, tuple) else ()


#: What leaves a place in the arguments of a partial to its caller, since CPython 3.14.
_PLACEHOLDER: Any = getattr(functools, "Placeholder", object())


def bound_places(partial: functools.partial[Any]) -> tuple[int, frozenset[int]]:
    """Return how many leading places *partial* has bound, and which ones behind a place that it leaves to its caller."""
    given = partial.args
    first = next((at for at, one in enumerate(given) if one is _PLACEHOLDER), len(given))
    return first, frozenset([at for at in range(first, len(given)) if given[at] is not _PLACEHOLDER])


def parsed(text: str) -> ast.Module:
    """
    Return the syntax tree of *text*.

    Raises:
        SyntaxError: It is none.
        ValueError: It holds a null byte.
    """
    for _ in range(9):
        # CPython 3.11 (gh-106905) counts its depth for all threads and collections at once: it is wrong by chance.
        with suppress(SystemError):
            return ast.parse(text)
    return ast.parse(text)


def new_task(
    work: Coroutine[Any, Any, Any], loop: asyncio.AbstractEventLoop, context: contextvars.Context, name: str
) -> asyncio.Task[Any]:
    """
    Return a task that starts at the loop's next turn, never at once.

    The loop's task factory is left out on purpose: an eager one would run user code in the middle of our bookkeeping.
    """
    task: asyncio.Task[Any] = asyncio.Task(work, loop=loop, name=name, context=context)
    # A container that is dropped says so itself, as a ResourceWarning; asyncio need not add a second line for each task.
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    return task


def forget_half_imported() -> None:
    """
    In the child of a fork: let what other threads were in the middle of importing be imported anew, where that was a part of ours.

    CPython keeps the lock of such a module for a thread that is not here: whoever imports it would wait for ever.
    """
    locks: dict[str, Any] = getattr(sys.modules.get("_frozen_importlib"), "_module_locks", {})
    owners = {name: getattr(reference(), "owner", None) for name, reference in list(locks.items())}
    gone = {owner for name, owner in owners.items() if name.partition(".")[0] == "asyncmeta"} - {None, threading.get_ident()}
    for name, owner in owners.items():
        if owner in gone:
            locks.pop(name, None)
            if getattr(getattr(sys.modules.get(name), "__spec__", None), "_initializing", False):
                del sys.modules[name]


# Here, because any room may be loaded by a thread for the first time while another one forks.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=forget_half_imported)


def keep_seat(name: str) -> None:
    """
    Give the rooms of a wing their places in ``sys.modules`` back, where somebody has taken them away and asks for them again.

    ``mock.patch.dict(sys.modules)`` does that to all that was loaded in its block.  A second copy would have a lock, classes and
    context variables of its own, and containers that are there would be half of one and half of the other.

    Args:
        name: Of the module that is executed, which stands for its wing: once more, if the package knows one by that name.
    """
    package, _, wing = name.partition(".")
    former = vars(sys.modules[package]).get(wing)
    if former is None or former is sys.modules[name]:
        return
    pending = [former]
    while pending:
        module = pending.pop()
        sys.modules[module.__name__] = module  # what is imported is what stands there when a module has been executed
        inside = f"{module.__name__}."
        pending += [one for one in vars(module).values() if isinstance(one, ModuleType) and one.__name__.startswith(inside)]
