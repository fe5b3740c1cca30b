"""A function whose marked parameters are filled: at first step by step, then by code of its own."""

from __future__ import annotations

import contextlib
import functools
import inspect
import types
from collections.abc import AsyncGenerator, Generator, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any

from ..._declare.lifetimes import CONTAINER_LEVEL
from ..._declare.makers import ASYNC, ASYNC_GENERATOR, GENERATOR, SYNC
from ..._declare.marked import Form, form_of
from ..._declare.tokens import MISSING
from ..._declare.within import MANAGERS
from ..._names import name_of
from ..._solve.checks import check_nodes, grouped
from ..._solve.emit import wants_scope
from ..._solve.emit_call import Fill
from ..._solve.graph import Graph
from ..._solve.nodes import Node
from ..._solve.plan import Plan
from ...errors import ClosedError, DeclarationError, GraphError, GraphErrors, MissingDependencyError, ScopeError
from ..compiled.injected import UNFILLED, InjectedFunction
from ..state.context import current
from ..state.parking import traceback_of
from ..teardown.scope_exit import ScopeExit, asked_after

__all__ = ["check_askers", "inject"]

_BY_NAME = inspect.Parameter.KEYWORD_ONLY
_MANY, _MANY_BY_NAME = inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD

#: What made a context manager of a generator function: that one is filled, and made one again.
_MANAGERS: dict[Any, Any] = dict(zip(MANAGERS, (contextlib.contextmanager, contextlib.asynccontextmanager), strict=True))

#: After so many calls for another container than the one that a function has code for, it gets code for that one.
_PATIENCE = 16


# --- one injected function ------------------------------------------------------------------------------


class Injection(InjectedFunction):
    """One injected function: what it needs, and the code that it has for a container."""

    __slots__ = ("in_scopes", "runs")

    def __init__(self, function: Any, form: Form, home: ScopeExit | None) -> None:
        super().__init__(function, form, home)
        self.runs = 0
        self.in_scopes = form.kind == ASYNC and home is None  #: worth code that fetches in ambient scopes

    def made(self) -> Any:
        """Return the function that is handed out."""
        return self.make(self.runner())

    def runner(self) -> Any:
        run = {SYNC: self.run, ASYNC: self.run_async, GENERATOR: self.run_generator, ASYNC_GENERATOR: self.run_stream}
        return run[self.form.kind]

    # --- without code of its own ---

    def run(self, *values: Any) -> Any:
        with _Filling(self, values) as given:
            return self.call(given)

    async def run_async(self, *values: Any) -> Any:
        async with _Filling(self, values) as given:
            return await self.call(given)

    def run_generator(self, *values: Any) -> Generator[Any, Any, Any]:
        with _Filling(self, values) as given:
            return (yield from self.call(given))

    async def run_stream(self, *values: Any) -> AsyncGenerator[Any, Any]:
        async with _Filling(self, values) as given:
            inner = self.call(given)
            try:
                item = await inner.__anext__()
                while True:
                    try:
                        sent = yield item
                    except GeneratorExit:
                        await inner.aclose()
                        raise
                    except BaseException as thrown:
                        item = await inner.athrow(thrown)
                    else:
                        item = await inner.asend(sent)
            except StopAsyncIteration:
                pass

    def call(self, values: Sequence[Any]) -> Any:
        """Call the function itself; *values* are in the order of its parameters."""
        args: list[Any] = []
        named: dict[str, Any] = {}
        for one, value in zip(self.form.taken, values, strict=True):
            if one.kind is _MANY:
                args.extend(value)
            elif one.kind is _MANY_BY_NAME:
                named.update(value)
            elif one.kind is _BY_NAME:
                named[one.name] = value
            else:
                args.append(value)
        return self.function(*args, **named)

    def missing(self, values: Sequence[Any]) -> list[int]:
        """Return the numbers of the marked parameters that were not passed by hand."""
        return [number for number in self.form.marked if values[number] is UNFILLED]

    def around(self) -> Any:
        """
        Return the scope or container that fills this call.

        Raises:
            ScopeError: It is the ambient one, and there is none.
            ClosedError: It is closed.
        """
        home = self.home if self.home is not None else current()
        if home is None:
            needed = ", ".join(self.form.taken[number].name for number in self.form.marked)
            raise ScopeError(
                f"{self.form.name} was called where no container or scope is ambient, and needs {needed}; call it inside of "
                "`async with Container(...)`, pass them by hand, or use container.inject"
            )
        try:
            home._check_open()
        except ClosedError:
            if self.home is not None or home is home.container:
                raise
            raise asked_after(home, self.form.name) from None
        return home

    def token(self, number: int) -> Any:
        """
        Return what a marked parameter asks for.

        Raises:
            GraphError: Its annotation cannot be read.
        """
        try:
            return self.form.token(number, self.function)
        except DeclarationError as error:
            raise DeclarationError(f"{self.asker(number)}: {error.message}", str(self.form.place or "")) from None
        except Exception as error:  # whatever evaluating a user's text may raise
            why = self.form.why(number, self.function, error)
            raise GraphError(f"the annotation of {self.asker(number)} cannot be read: {why} ({self.form.place})") from None

    def asker(self, number: int) -> str:
        return f"{self.form.name}.{self.form.taken[number].name}"

    def opens(self, home: ScopeExit, missing: Sequence[int]) -> bool:
        """Tell whether a scope has to be opened for this call: something that it needs lives in one, or is closed with it."""
        table = home._root_table.in_force()
        innermost = len(table.singletons.graph.levels) - 1
        if home._level == innermost:
            return False
        for number in missing:
            try:
                plan = table.at(innermost, self.token(number)).plan
            except (GraphError, ScopeError):
                continue  # told by the get
            if home._level == CONTAINER_LEVEL:
                if plan.units or plan.unit.ops or wants_scope(plan):
                    return True
            elif any(unit.node is not None and unit.node.level > home._level for unit in plan.units):
                return True
        return False

    def plain(self, missing: Sequence[int]) -> bool:
        """Tell whether all values can be asked for at once."""
        return all(self.form.taken[number].default is MISSING for number in missing)

    def unprovided(self, error: MissingDependencyError, missing: Sequence[int]) -> int | None:
        """Return the parameter that *error* is about, where nothing provides what that itself asks for."""
        if len(error.path) > 1:
            return None
        return next((number for number in missing if name_of(self.form.key(number, self.function)) == error.key), None)

    def worded(self, error: MissingDependencyError, number: int) -> MissingDependencyError:
        """Return *error* with the parameter that asked."""
        return MissingDependencyError(
            error.key, (self.asker(number), error.key), str(self.form.place or ""), error.close_to, error.hint
        )

    def instead(self, error: MissingDependencyError, number: int) -> Any:
        """Return the parameter's default where nothing provides it; else raise what is wrong."""
        if self.unprovided(error, (number,)) is None:
            raise error
        default = self.form.taken[number].default
        if default is MISSING:
            raise self.worded(error, number) from None
        return default

    # --- with code of its own ---

    def ran(self, home: ScopeExit) -> None:
        """A call was filled by *home*: the second one for a container gives the function code for it."""
        self.runs += 1
        if home._innermost and self.in_scopes:
            # As handlers in the scopes of their requests: there is nothing to open.
            self.in_scopes = False
            self.warm([(number, self.token(number)) for number in self.form.marked])
        if home._level != CONTAINER_LEVEL or self.runs < 2:  # compiling costs more than one call is worth
            return
        if self.bound is not None and self.bound.container is not home:
            self.others += 1
            if self.others < _PATIENCE:
                return
        self.heat(home)

    def fill_of(self, container: ScopeExit, number: int) -> Fill:
        """Return what fills a marked parameter in calls for which a scope may be opened."""
        token = self.token(number)
        try:
            plan: Plan = container._root_table.at(len(container._singletons.graph.levels) - 1, token).plan
        except MissingDependencyError as error:
            return Fill(number, None, self.instead(error, number))
        return Fill(number, plan, asked=token)

    # --- checking ---

    def check(self, home: ScopeExit) -> None:
        """
        Check what the marked parameters need of *home*, or of a scope that it would open.

        Raises:
            GraphErrors: All problems at once.
        """
        table = home._root_table
        graph = table.singletons.graph
        errors: dict[str, GraphError] = {}
        for number in self.form.marked:
            found: list[GraphError] = []
            try:
                token = self.token(number)
            except GraphError as error:
                errors[str(error)] = error
                continue
            try:
                table.at(len(graph.levels) - 1, token)
            except MissingDependencyError as error:
                if self.unprovided(error, (number,)) is None:
                    found = self.problems(graph, token) or [error]
                elif self.form.taken[number].default is MISSING:
                    found = [self.worded(error, number)]
            except GraphError as error:
                found = self.problems(graph, token) or [error]
            errors.update((str(one), one) for one in found)
        if errors:
            raise grouped(graph, errors.values())

    def problems(self, graph: Graph, token: object) -> list[GraphError]:
        """Return everything that is wrong with what serves *token*."""
        try:
            target = graph.serve(graph.site_of(token))
            return check_nodes(graph, target.each(), plainly=not target.makes)
        except Exception:  # nothing serves it: the error that is at hand says so
            return []


class _Filling:
    """One call without code of its own: its values, and the scope that was opened for it."""

    __slots__ = ("home", "injection", "missing", "scope", "values")

    def __init__(self, injection: Injection, values: tuple[Any, ...]) -> None:
        self.injection = injection
        self.values = list(values)
        self.missing = injection.missing(values)
        self.home: ScopeExit  #: who fills it, where something is missing
        self.scope: Any = None
        if self.missing:
            self.home = injection.around()
            if injection.opens(self.home, self.missing):
                self.scope = self.home.scope()

    def __enter__(self) -> list[Any]:
        injection, values = self.injection, self.values
        if not self.missing:
            return values
        if self.scope is not None:
            self.scope.__enter__()
        scope = self.home if self.scope is None else self.scope
        try:
            for number in self.missing:
                try:
                    values[number] = scope.get_nowait(injection.token(number))
                except MissingDependencyError as error:
                    values[number] = injection.instead(error, number)
        except BaseException as error:
            self.__exit__(type(error), error, traceback_of(error))
            raise
        injection.ran(self.home)
        return values

    def __exit__(self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None, /) -> None:
        if self.scope is not None:
            self.scope.__exit__(exc_type, exc, tb)

    async def __aenter__(self) -> list[Any]:
        injection, values, missing = self.injection, self.values, self.missing
        if not missing:
            return values
        if self.scope is not None:
            await self.scope.__aenter__()
        scope = self.home if self.scope is None else self.scope
        try:
            if len(missing) > 1 and injection.plain(missing):
                # Singletons that are missing are built side by side.
                tokens = [injection.token(number) for number in missing]
                try:
                    got = await scope.gather(*tokens)
                except MissingDependencyError as error:
                    number = injection.unprovided(error, missing)
                    if number is None:
                        raise
                    raise injection.worded(error, number) from None
                for number, value in zip(missing, got, strict=True):
                    values[number] = value
            else:
                for number in missing:
                    try:
                        values[number] = await scope.get(injection.token(number))
                    except MissingDependencyError as error:
                        values[number] = injection.instead(error, number)
        except BaseException as error:
            await self.__aexit__(type(error), error, traceback_of(error))
            raise
        injection.ran(self.home)
        return values

    async def __aexit__(self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None, /) -> None:
        if self.scope is not None:
            await self.scope.__aexit__(exc_type, exc, tb)


def check_askers(functions: Iterable[Any], home: ScopeExit) -> tuple[list[GraphError], set[Node]]:
    """
    Check what the marked parameters of *functions* need of the container *home*, or of scopes in it.

    Returns:
        What is wrong, each problem once with a note of who asks; and the nodes of what they ask for.
    """
    graph = home._singletons.graph
    found: dict[str, GraphError] = {}
    askers: dict[str, dict[str, None]] = {}
    asked: set[Node] = set()
    for function in _below(functions):
        form = form_of(function)
        if not form.marked:
            continue
        injection = Injection(function, form, home)
        try:
            injection.check(home)
        except GraphErrors as errors:
            for error in errors.exceptions:
                text = str(error)
                found.setdefault(text, error)  # type: ignore[arg-type]  # it holds no other ones
                askers.setdefault(text, {})[f"{form.name} ({form.place})" if form.place else form.name] = None
        for number in form.marked:
            try:
                asked.update(graph.serve(graph.site_of(injection.token(number))).each())
            except Exception:  # told above, or it has a default
                continue
    for text, who in askers.items():
        found[text].add_note(f"It is asked for by {', '.join(who)}")
    return list(found.values()), asked


def _below(functions: Iterable[Any]) -> Iterator[Any]:
    """Yield *functions* and what they wrap: one that is filled, or below a decorator, shows its marked parameters no more."""
    for function in functions:
        seen: set[int] = set()
        while id(function) not in seen:
            seen.add(id(function))
            yield function
            if isinstance(function, functools.partial) and not function.keywords:  # those would be passed by hand
                function = function.func
            else:
                function = getattr(function, "__wrapped__", function)


def _filled_by_the_ambient(function: Any) -> Any:
    """Return what *function*, one that ``@injected`` gave, fills; None for any other."""
    run = getattr(function, "__globals__", {}).get("run") if type(function) is types.FunctionType else None
    injection = getattr(run, "__self__", None)
    return injection.function if isinstance(injection, Injection) and injection.home is None else None


def inject(function: Any, home: ScopeExit | None = None) -> Any:
    """
    Return *function* with its marked parameters filled by *home*, a container or scope; by the ambient one without it.

    A function that marks none is returned as it is; of one that the ambient one fills, a scope fills its inside.

    Raises:
        DeclarationError: It is nothing that can be called.
        GraphErrors: What it needs of *home* does not fit together.
    """
    if isinstance(function, (staticmethod, classmethod)):
        return type(function)(inject(function.__func__, home))
    if not callable(function):
        raise DeclarationError(f"a function to inject into has to be callable; {name_of(type(function))} is not")
    manager = _MANAGERS.get(getattr(function, "__code__", None))
    if manager is not None:
        return manager(inject(function.__wrapped__, home))  # pyright: ignore[reportFunctionMemberAccess]  # contextlib sets it
    form = form_of(function)
    if not form.marked:
        # A container leaves it to what is ambient within a call, as a request's scope; a scope gives its own values.
        ambient = _filled_by_the_ambient(function) if home is not None and home._level else None
        return function if ambient is None else inject(ambient, home)
    injection = Injection(function, form, home)
    wrapper = injection.made()
    if home is not None:
        injection.check(home)
        wrapper.asyncmeta_home = home  # read by those who check what others call
    return wrapper
