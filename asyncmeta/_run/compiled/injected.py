"""Which code does an injected function run?  At first one that hands everything on, then one for its container."""

from __future__ import annotations

import functools
import inspect
import itertools
import types
import weakref
from collections.abc import Callable, Iterable, Mapping
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any, Final

from ..._compat import annotations_of
from ..._declare.makers import ASYNC, ASYNC_GENERATOR
from ..._declare.marked import Form, without_marked
from ..._declare.registry import snapshot
from ..._declare.tokens import MISSING
from ..._lock import LOCK
from ..._solve.emit import wants_scope
from ..._solve.emit_call import BOUND, CallSource, Fill, emit_call, emit_cold, emit_in_scope, fits, signature_shape, wrapper_order
from ..._solve.nodes import Node
from ..._solve.plan import LARGEST
from ...errors import ClosedError, FactoryError, GraphError, ScopeError
from ..build.interpreter import undone
from ..state.context import AMBIENT
from ..state.frames import LEAVES, MAKES
from ..state.slots import Finalizer, Held
from ..teardown.finalizers import as_list, end_twice, settle_errors, unwind, unwind_nowait, yields_twice
from ..teardown.scope_exit import ScopeExit
from .load import Loaded

__all__ = ["UNFILLED", "InjectedFunction"]

_BY_PLACE = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class _Unfilled:
    """The type of UNFILLED."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "UNFILLED"


#: The default of a marked parameter whose value has to be asked for or made.
UNFILLED: Final = _Unfilled()

#: What no ambient container is.
_NOBODY: Final = object()

_SERIAL = itertools.count(1)
#: Numbers whose code is gone.
_FREE: list[int] = []


class Bound:
    """
    What one container has bound for one function: names among the function's globals, and defaults.

    A constant of the code that uses the names.  So they stay as long as a call runs that code, and no longer; a coroutine
    that was made and not started keeps what belongs to its code.
    """

    __slots__ = ("__weakref__", "container", "kept", "name", "names", "serial", "source", "space", "taken")

    def __init__(
        self, container: ScopeExit, space: dict[str, Any], names: dict[str, Any], source: CallSource, name: str, kept: str
    ) -> None:
        self.container = container
        self.name = name  #: the function's
        self.kept = kept  #: the variable of a call that holds its finalizers, as it is called here
        self.taken: dict[Any, Held] = {}  #: finalizers that the container has run in place of a call -> who tells it
        self.space = space
        try:
            self.serial = _FREE.pop()  # names in code are never freed: those of code that is gone are used again
        except IndexError:
            self.serial = next(_SERIAL)
        self.names = {name: f"{name}_{self.serial}" for name in names}
        self.source = source
        space.update({self.names[name]: value for name, value in names.items()})
        _BOUNDS.add(self)

    def take(self, finalizer: Finalizer, taken: Held) -> None:
        """Let the call that holds *finalizer* leave it to *taken*."""
        self.taken[finalizer] = taken
        self.space[self.names["taken"]] = self.taken

    def code(self, code: CodeType) -> CodeType:
        """Return *code* with this and its names in it."""
        consts = [self if type(one) is str and one == BOUND else one for one in code.co_consts]
        if self not in consts:
            consts.append(self)
        return code.replace(co_consts=tuple(consts), co_names=tuple(self.names.get(name, name) for name in code.co_names))

    def drop(self) -> None:
        """No container is the one that this is for: calls that have begun to find out ask anew."""
        if "home" in self.names:
            self.space[self.names["home"]] = _NOBODY

    def __del__(self) -> None:
        for name in self.names.values():
            self.space.pop(name, None)
        _FREE.append(self.serial)


#: All that are in use: by a function as the code that it has, or by calls that are still running code which it had.
_BOUNDS: Final[weakref.WeakSet[Bound]] = weakref.WeakSet()


def bounds_of(container: ScopeExit) -> list[Bound]:
    """Return what *container* has bound; where it has let its functions cool, what calls are still running on."""
    return [one for one in snapshot(_BOUNDS) if one.container is container]


def refusing(container: ScopeExit) -> Callable[..., Any]:
    """Return what stands in place of factories, in code that may still be run for a container that is closing."""
    name = container._title

    def refuse(*args: object, **named: object) -> None:
        raise ClosedError(f"{name} is closed")

    return refuse


class CompiledForm:
    """The code of a form for the containers of one application, and what it stands on."""

    __slots__ = ("code", "loaded", "singletons", "source", "stamp")

    def __init__(self, stamp: Any, code: CodeType, loaded: Loaded, source: CallSource, singletons: tuple[Node, ...]) -> None:
        self.stamp = stamp  #: the table of roots as it was: another one means that something was registered
        self.code = code
        self.loaded = loaded
        self.source = source
        self.singletons = singletons


# --- the codes of a form ---------------------------------------------------------------------------------

_COLD: dict[Any, CodeType] = {}


def _renamed(code: CodeType, form: Form) -> CodeType:
    """Return *code* with the parameters' own names, which never were part of the source."""
    names = {f"p{number}": one.name for number, one in enumerate(form.taken)}
    by_name = {f"k{number}": one.name for number, one in enumerate(form.taken)}
    taken = set(names.values())
    local: list[str] = []
    for name in code.co_varnames:
        own = names.get(name)
        if own is None:
            own = name
            while own in taken:
                own += "'"
        local.append(own)

    def const(value: object) -> Any:
        if type(value) is str:
            return by_name.get(value, value)
        return tuple(map(const, value)) if type(value) is tuple else value

    return code.replace(co_varnames=tuple(local), co_consts=tuple(map(const, code.co_consts)))


def _cold_code(form: Form) -> CodeType:
    """Return the code of a wrapper that leaves everything to ``run``; compiled once for all forms of one shape."""
    shape = signature_shape(form)
    code = _COLD.get(shape)
    if code is None:
        code = _COLD[shape] = _keep(Loaded(emit_cold(form)))
    return _renamed(code, form)


def _code_in_scope(form: Form) -> CodeType:
    """Return the code of a wrapper that fetches in an ambient scope; compiled once for all forms of one shape."""
    shape = (signature_shape(form), form.marked)
    code = _COLD.get(shape)
    if code is None:
        code = _COLD[shape] = _keep(Loaded(emit_in_scope(form)))
    return _renamed(code, form)


_KEPT: list[Loaded] = []


def _keep(made: Loaded) -> CodeType:
    _KEPT.append(made)  # with its lines in linecache
    return made.code


# --- the function -----------------------------------------------------------------------------------------


class InjectedFunction:
    """A function that is handed out in another's place, and the code that it has for a container."""

    __slots__ = ("__weakref__", "bound", "cold", "form", "function", "home", "others", "wrapper")

    def __init__(self, function: Any, form: Form, home: ScopeExit | None) -> None:
        self.function = function
        self.form = form
        self.home = home  #: a container or scope; None for the ambient one
        self.others = 0  #: calls for another container since it has code for one
        self.bound: Bound | None = None
        self.cold = _cold_code(form)  #: what it runs where it has no code for a container
        self.wrapper: Callable[[], Any] = lambda: None  #: weak: it holds this

    if TYPE_CHECKING:  # the room above, which knows what scopes give, has it

        def fill_of(self, container: ScopeExit, number: int) -> Fill:
            """Return what fills a marked parameter in calls for which a scope may be opened."""
            ...

    def make(self, run: Any) -> Any:
        """Return the wrapper; *run* does everything for it, and it keeps that, and with it this, alive."""
        form, function = self.form, self.function
        names = {
            **_HELPERS,
            "__name__": getattr(function, "__module__", None) or __name__,
            "run": run,
            "function": function,
        }
        wrapper = types.FunctionType(self.cold, names)
        assigned = set(functools.WRAPPER_ASSIGNMENTS) - {"__annotations__", "__annotate__"}
        plain = isinstance(function, (types.FunctionType, types.MethodType))
        functools.update_wrapper(wrapper, function, assigned, ("__dict__",) if plain else ())
        if not plain and not isinstance(function, type):
            wrapper.__name__ = wrapper.__qualname__ = form.name
        self.give_defaults(wrapper, {})
        signature = form.signature(function)
        if isinstance(function, type):
            wrapper.__annotations__ = {name: one.annotation for name, one in signature.parameters.items()}
        else:
            wrapper.__annotations__ = without_marked(annotations_of(function), form)
        wrapper.__signature__ = signature  # type: ignore[attr-defined]  # functions take any attribute
        self.wrapper = weakref.ref(wrapper)
        return wrapper

    def give_defaults(self, wrapper: Any, known: Mapping[int, Any]) -> None:
        """Give the wrapper the function's defaults; a marked parameter has what is *known* of it."""
        taken = self.form.taken
        by_place: list[Any] = []
        by_name: dict[str, Any] = {}
        for number in wrapper_order(self.form):
            one = taken[number]
            value = known.get(number, UNFILLED) if one.marked else one.default
            if value is not MISSING or number in known:
                if one.shown in _BY_PLACE:
                    by_place.append(value)
                else:
                    by_name[one.name] = value
        wrapper.__defaults__ = tuple(by_place) or None
        wrapper.__kwdefaults__ = by_name or None

    def warm(self, tokens: Iterable[tuple[int, Any]]) -> None:
        """Let the function fetch *tokens*, by the numbers of their parameters, in ambient scopes, which have roots for them."""
        with LOCK:
            wrapper = self.wrapper()
            if wrapper is None:
                return
            wrapper.__globals__.update((f"t{number}", token) for number, token in tokens)
            self.cold = _code_in_scope(self.form)
            if self.bound is None:
                wrapper.__code__ = self.cold

    def heat(self, container: ScopeExit) -> None:
        """Give the function code for *container*, where everything that it stands on is built."""
        with LOCK:
            if container.closed or container._observed or container._singletons.minds or container._root_table.views:
                return
            written = self.written(container)
            if written is None or not container._singletons.has_all(written.singletons):
                return
            wrapper = self.wrapper()
            if wrapper is None:
                return
            source = written.source
            names: dict[str, Any] = {}
            for name in source.bound:
                if name == "taken":
                    names[name] = None
                elif name in source.singletons:
                    names[name] = container._singletons.value(source.singletons[name])
                elif name == "open_scope":
                    names[name] = container.scope
                else:
                    names[name] = container if name in ("container", "home") else written.loaded.names[name]
            defaults = {**source.constants_at, **{at: container._singletons.value(node) for at, node in source.held_at.items()}}
            self.cool()
            kept = "" if source.kept is None else written.code.co_varnames[written.loaded.code.co_varnames.index(source.kept)]
            self.bound = Bound(container, wrapper.__globals__, names, source, self.form.name, kept)
            self.others = 0
            # In this order: with the old code a default counts as passed by hand, and is the right value.
            self.give_defaults(wrapper, defaults)
            wrapper.__code__ = self.bound.code(written.code)
            container._root_table.heat(self)
            container._root_table.has_run_code = True

    def written(self, container: ScopeExit) -> CompiledForm | None:
        """Return the code for the containers of an application; None where it has to be done step by step."""
        graph = container._singletons.graph
        fills: list[Fill] = []
        try:
            for number in self.form.marked:
                fills.append(self.fill_of(container, number))
        except (GraphError, ScopeError):
            return None
        # With the graph, and never with the form: a function of a module lives longer than the application of a test.
        codes = graph.kept.setdefault("codes", weakref.WeakKeyDictionary()).setdefault(self.form, {})
        ambient = self.home is None
        found: CompiledForm | None = codes.get(ambient)
        if found is not None and found.stamp is graph.roots and not container._root_table.pins:
            return found
        plans = [fill.plan for fill in fills if fill.plan is not None]
        waits = self.form.kind in (ASYNC, ASYNC_GENERATOR)
        scoped = (
            not fits(fills)
            or any(wants_scope(plan) or plan.concurrent for plan in plans)
            or sum(plan.size for plan in plans) > LARGEST
            or (not waits and any(plan.awaits for plan in plans))
        )
        source = emit_call(self.form, fills, scoped=scoped, ambient=ambient)
        made = Loaded(source)
        nodes = dict.fromkeys(node for plan in plans for node in plan.singletons)
        needed = tuple(nodes) if not scoped else (*source.singletons.values(), *source.held_at.values())
        written = CompiledForm(graph.roots, _renamed(made.code, self.form), made, source, needed)
        if not container._root_table.pins:
            codes[ambient] = written
        return written

    def cool(self) -> None:
        """Forget the code for a container: the next call looks again."""
        bound, self.bound = self.bound, None
        wrapper = self.wrapper()
        if wrapper is not None:
            wrapper.__code__ = self.cold
            self.give_defaults(wrapper, {})
        if bound is not None:
            bound.drop()


# --- what generated code calls -----------------------------------------------------------------------------


def _makes_for(frame: FrameType) -> Any:
    """Return the container for which a frame of an injected function is making something, before the function itself runs."""
    bound = bound_in(frame.f_code)
    return bound.container if bound is not None and frame.f_lineno in bound.source.lines else None


def _leaves_for(frame: FrameType) -> Any:
    """Return the container for which a frame of an injected function is tearing down what was made for it."""
    bound = bound_in(frame.f_code)
    begin = None if bound is None else bound.source.leaves_from
    return bound.container if bound is not None and begin is not None and frame.f_lineno >= begin else None


def bound_in(code: CodeType) -> Bound | None:
    """Return what a container has bound for the function whose code this is, None where it is none of ours."""
    return next((one for one in code.co_consts if type(one) is Bound), None)


def _failed(bound: Bound, error: BaseException) -> None:
    """Note what was being built when a step failed."""
    raised = undone(bound.container, error, bound.source.lines)[0]
    if raised is not error:
        raise raised from None


def _taken(bound: Bound, finalizers: Finalizer | list[Finalizer] | None) -> Held | None:
    """Return what tells a call whose finalizers its container has run in its place; None where it has not."""
    if type(finalizers) is list:
        first = finalizers[0] if finalizers else None
        return first if isinstance(first, Held) and not first.needs_await() and first in bound.taken else None
    return bound.taken.get(finalizers) if bound.taken else None


async def _leave_all(bound: Bound, finalizers: Finalizer | list[Finalizer] | None, error: BaseException | None = None) -> None:
    taken = _taken(bound, finalizers)
    if taken is not None:
        await taken.leave(error)
    else:
        settle_errors(await unwind(as_list(finalizers), error), error)


def _leave_all_nowait(bound: Bound, finalizers: Finalizer | list[Finalizer] | None, error: BaseException | None = None) -> None:
    taken = _taken(bound, finalizers)
    if taken is not None:
        taken.leave_nowait(error)
    else:
        settle_errors(unwind_nowait(as_list(finalizers), error), error)


async def _undo(bound: Bound, finalizers: Finalizer | list[Finalizer] | None, error: BaseException) -> None:
    """Tear down what was set up, before the error of a step or of the function goes on."""
    raised = undone(bound.container, error, bound.source.lines)[0]
    await _leave_all(bound, finalizers, raised)
    if raised is not error:
        raise raised from None


def _undo_nowait(bound: Bound, finalizers: Finalizer | list[Finalizer] | None, error: BaseException) -> None:
    raised = undone(bound.container, error, bound.source.lines)[0]
    _leave_all_nowait(bound, finalizers, raised)
    if raised is not error:
        raise raised from None


async def _told(bound: Bound, finalizer: Finalizer, error: BaseException | None) -> None:
    """A finalizer has ended, or failed, perhaps because the container has run it in place of the call."""
    taken = _taken(bound, finalizer)
    if taken is not None:
        await taken.leave(None)
    elif error is not None:
        settle_errors([error], None)


def _told_nowait(bound: Bound, finalizer: Finalizer, error: BaseException | None) -> None:
    taken = _taken(bound, finalizer)
    if taken is not None:
        taken.leave_nowait(None)
    elif error is not None:
        settle_errors([error], None)


def _twice_nowait(generator: Any) -> None:
    """End a generator that has yielded a second time; see `end_twice`."""
    try:
        generator.close()
    finally:
        settle_errors([FactoryError(yields_twice(generator))], None)


_HELPERS: dict[str, Any] = {
    MAKES.name: _makes_for,
    LEAVES.name: _leaves_for,
    "UNFILLED": UNFILLED,
    "here": AMBIENT.get,
    "failed": _failed,
    "undo": _undo,
    "undo_nowait": _undo_nowait,
    "leave_all": _leave_all,
    "leave_all_nowait": _leave_all_nowait,
    "told": _told,
    "told_nowait": _told_nowait,
    "twice": end_twice,
    "twice_nowait": _twice_nowait,
}
