"""
A scope for each GraphQL operation: an extension of Strawberry's schema (extra ``strawberry``).

The container's own life is that of the application that serves the schema: see `asyncmeta.integrations.asgi`.
"""

from __future__ import annotations

import copy
import functools
import inspect
import typing
import weakref
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, MutableMapping
from contextlib import aclosing, contextmanager
from typing import Any, Final, NamedTuple, TypeVar

import strawberry
from strawberry.extensions import SchemaExtension
from strawberry.types import ExecutionContext

from .. import Container, FinalizationErrors, From, Scope, ScopeError, injected
from ._endings import Cancellation, going_nowhere, one_of
from ._handlers import Handler, check, handler as _handler
from .asgi import failed

__all__ = ["KEY", "ContainerExtension", "From", "SyncContainerExtension", "container_of", "inject", "setup"]

#: What to do where nobody fills a mark.
CURE: Final = "put @inject of asyncmeta.integrations.strawberry below the field's decorator"

F = TypeVar("F", bound=Callable[..., Any])

#: Under this name the context of an operation holds its scope: an item of a dictionary, an attribute of another object.
KEY: Final = "asyncmeta"

_OPERATION: Final = "asyncmeta_operation"
_INFO: Final = "asyncmeta_info"


def setup(app: Any, container: Container, *, sync: bool = False, **options: Any) -> Any:
    """
    Give each operation of a schema that is made already a scope: `ContainerExtension` in one word.

    Args:
        app: The schema.
        container: The container; somebody else opens and closes it.
        sync: Whether it is for ``execute_sync``, as `SyncContainerExtension`.
        options: As for the extensions.

    Returns:
        The schema.

    Raises:
        GraphErrors: What its resolvers ask for cannot be given, or nobody fills it.
    """
    check(container, handlers_of(app), CURE, "this schema")
    make = SyncContainerExtension if sync else ContainerExtension
    app.extensions = (lambda: make(container, **options), *app.extensions)
    _CONTAINERS[app] = container
    return app


#: What `setup` was given for a schema.
_CONTAINERS: Final[weakref.WeakKeyDictionary[Any, Container]] = weakref.WeakKeyDictionary()


def container_of(app: Any) -> Container:
    """
    Return the container that serves a schema.

    Raises:
        ScopeError: It was given none.
    """
    found = _CONTAINERS.get(app)
    for make in () if found is not None else app.extensions:
        one = make() if callable(make) else make
        if isinstance(one, _Extension):
            found = one.container
    if found is None:
        raise ScopeError("this schema has no container: setup(schema, container) gives it one")
    return found


def handlers_of(app: Any) -> Iterator[Handler]:
    """Yield the resolvers of a schema."""
    for concrete in app.schema_converter.type_map.values():
        for field in getattr(concrete.definition, "fields", ()):
            resolver = getattr(field, "base_resolver", None)
            function = getattr(resolver, "wrapped_func", None)
            if isinstance(function, (staticmethod, classmethod)):
                function = function.__func__
            if callable(function):
                yield _handler(function, f"field {concrete.definition.name}.{field.name}", reads=True)


class _Extension(SchemaExtension):
    _sync = False

    def __init__(self, container: Container, *, context: Callable[[ExecutionContext], Mapping[Any, object]] | None = None) -> None:
        self._container = container
        self._context = context
        self._failure: BaseException | None = None

    @property
    def container(self) -> Container:
        """The container."""
        return self._container

    def _scope(self) -> Scope:
        """Make the scope of the operation, and put it into its context."""
        execution = self.execution_context
        values: dict[Any, object] = {ExecutionContext: execution} if self._container.takes(ExecutionContext) else {}
        if self._context is not None:
            values.update(self._context(execution))
        return self._found_by_resolvers(self._container.scope(values))

    def _connection(self) -> MutableMapping[str, Any] | None:
        """Return ASGI's mapping of the request that the operation comes by, where that has a scope of our container."""
        if self._context is not None or self._container.takes(ExecutionContext):
            return None  # what a scope that is open cannot be given
        request = _found(self.execution_context.context, "request")
        connection = getattr(request, "scope", None)
        if not isinstance(connection, MutableMapping) or connection.get("type") != "http":
            return None  # a websocket carries many operations
        scope = connection.get(KEY)
        return connection if isinstance(scope, Scope) and scope.container is self._container and not scope.closed else None

    def _found_by_resolvers(self, scope: Scope) -> Scope:
        execution = self.execution_context
        operation = _Operation(scope, self._sync)
        if execution.context is None:
            execution.context = {}
        other = _found(execution.context, _OPERATION)
        if other is not None and not other.scope.closed:
            # A websocket has one context for all that it carries, and another operation is under way.
            execution.context = copy.copy(execution.context)
        for name, thing in ((KEY, scope), (_OPERATION, operation)):
            if isinstance(execution.context, MutableMapping):
                execution.context[name] = thing
            else:
                setattr(execution.context, name, thing)
        return scope

    def on_stream_result(self, result: Any) -> Iterator[None]:
        self._note(result)
        yield

    def _note(self, result: Any) -> None:
        """Take note of the first error in a result."""
        if self._failure is None:
            for error in getattr(result, "errors", None) or ():
                self._failure = getattr(error, "original_error", None) or error
                break

    def _outcome(self) -> BaseException | None:
        """Return what is wrong with an operation that came to its end."""
        self._note(self.execution_context.result)
        return self._failure


class _Operation(NamedTuple):
    """What an injected resolver has to know of its operation."""

    scope: Scope
    sync: bool  #: nothing can be awaited in it


def _found(context: Any, name: str) -> Any:
    return context.get(name) if isinstance(context, Mapping) else getattr(context, name, None)


class ContainerExtension(_Extension):
    """
    Opens a scope for each operation: ``Schema(query=Query, extensions=[lambda: ContainerExtension(container)])``.

    Strawberry makes an extension for each operation, so it is given as a function that makes one.

    *When a scope begins and ends.*  It is open from before the operation is parsed until its result is complete, and closed
    before that is returned; that of a subscription is open until the subscription ends.  Resolvers that run side by side
    share its values.  It is found in the operation's context under `KEY`, by resolvers that are decorated with `inject`,
    and by `injected` functions that resolvers of any kind call.  `ExecutionContext` is given to it where the application
    declares that.

    *In a request that has a scope.*  Where `asgi.ContainerMiddleware` of the same container stands around (FastAPI,
    Starlette, Litestar, Quart), an operation that comes by a request has the scope of that: one session for dependencies,
    context getters and resolvers.  It ends with the request, and so does what its finalizers raise; an error of a resolver
    fails the request for them.  Operations of a websocket, and those that are given context values, have scopes of their own.

    *Failure.*  An error of any resolver fails the operation, although GraphQL answers with the data of the others: finalizers
    see the first one.  A subscription that its client ends early is seen as what its transport does with it: `GeneratorExit`
    or a cancellation.  What finalizers raise becomes an error of the result.

    Args:
        container: The container; somebody else opens and closes it.
        context: Gives more context values for an operation.
    """

    async def on_operation(self) -> AsyncIterator[None]:
        connection = self._connection()
        if connection is not None:
            with self._found_by_resolvers(connection[KEY]).ambient():
                yield
            error = self._outcome()
            if error is not None:
                failed(connection, error)
            return
        scope, cancellation = self._scope(), Cancellation()
        await scope.__aenter__()
        try:
            with scope.ambient():
                yield
            await cancellation.tell()
        except BaseException as left:
            await scope.__aexit__(type(left), left, None)
            raise
        error = self._outcome()
        with _telling(error):
            await scope.__aexit__(None if error is None else type(error), error, None)


@contextmanager
def _telling(error: BaseException | None) -> Iterator[None]:
    """Raise what finalizers raise in the block, in which *error* is answered: the only one of a group as it is, to be worded."""
    try:
        with going_nowhere(error):
            yield
    except FinalizationErrors as raised:
        raise one_of(raised) from None


class SyncContainerExtension(_Extension):
    """
    `ContainerExtension` for ``execute_sync``, where nothing can be awaited.

    Resolvers are sync, and get what is built, or can be built without awaiting.

    Args:
        container: The container; somebody else opens and closes it.
        context: Gives more context values for an operation.
    """

    _sync = True

    def on_operation(self) -> Iterator[None]:
        scope = self._scope()
        scope.__enter__()
        try:
            with scope.ambient():
                yield
        except BaseException as left:
            scope.__exit__(type(left), left, None)
            raise
        error = self._outcome()
        with _telling(error):
            scope.__exit__(None if error is None else type(error), error, None)


def inject(fn: F, /) -> F:
    """
    Fill the marked parameters of a resolver, ``From[T]``, from the scope of its operation; the schema does not show them.

    It stands *below* ``@strawberry.field``, ``mutation`` or ``subscription``.  Resolvers may be async or sync functions; those
    of subscriptions are async generators.  A sync one gets values that have to be awaited, too, but under ``execute_sync``.

    Example:
        >>> @strawberry.type
        ... class Query:
        ...     @strawberry.field
        ...     @inject
        ...     async def price(self, name: str, prices: From[Prices]) -> int:
        ...         return prices.of(name)

    .. versionadded:: 0.1.0
    """
    filled = injected(fn)
    shown = inspect.signature(filled)
    own = next((name for name, parameter in shown.parameters.items() if _is_info(parameter.annotation)), None)

    def operation_of(given: dict[str, Any]) -> _Operation:
        info = given[own] if own is not None else given.pop(_INFO)
        operation = _found(info.context, _OPERATION)
        if operation is None:
            raise ScopeError(f"no scope for {fn.__qualname__}: give ContainerExtension to the schema's extensions")
        return operation  # type: ignore[no-any-return]

    if inspect.isasyncgenfunction(fn):
        call = _streaming(filled, operation_of)
    elif inspect.iscoroutinefunction(fn):
        call = _awaiting(filled, operation_of)
    else:
        call = _returning(fn, filled, operation_of)
    functools.update_wrapper(call, filled)
    call.__annotations__ = dict(filled.__annotations__)  # without those of marked parameters
    if own is None:
        hidden = inspect.Parameter(_INFO, inspect.Parameter.KEYWORD_ONLY, annotation=strawberry.Info)
        call.__signature__ = shown.replace(parameters=[*shown.parameters.values(), hidden])
        call.__annotations__[_INFO] = strawberry.Info
    return call  # type: ignore[no-any-return]  # any of the three below


def _streaming(filled: Any, operation_of: Callable[[dict[str, Any]], _Operation]) -> Any:
    async def call(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        scope = operation_of(kwargs).scope
        async with aclosing(filled(*args, **kwargs)) as items:
            # It is filled at its first step.  Between steps whoever iterates must not see our scope.
            with scope.ambient():
                try:
                    item = await anext(items)
                except StopAsyncIteration:
                    return
            yield item
            async for item in items:
                yield item

    return call


def _awaiting(filled: Any, operation_of: Callable[[dict[str, Any]], _Operation]) -> Any:
    async def call(*args: Any, **kwargs: Any) -> Any:
        with operation_of(kwargs).scope.ambient():
            return await filled(*args, **kwargs)

    return call


def _returning(fn: Any, filled: Any, operation_of: Callable[[dict[str, Any]], _Operation]) -> Any:
    @functools.wraps(fn)
    async def run(*args: Any, **kwargs: Any) -> Any:
        answer = fn(*args, **kwargs)
        return await answer if inspect.isawaitable(answer) else answer  # a decorator may have hidden what it is

    awaited = injected(run)

    async def in_scope(scope: Scope, args: Any, kwargs: Any) -> Any:
        with scope.ambient():
            return await awaited(*args, **kwargs)

    def call(*args: Any, **kwargs: Any) -> Any:
        operation = operation_of(kwargs)
        if not operation.sync:
            return in_scope(operation.scope, args, kwargs)
        with operation.scope.ambient():
            return filled(*args, **kwargs)

    return call


def _is_info(annotation: Any) -> bool:
    kind = typing.get_origin(annotation) or annotation
    return isinstance(kind, type) and issubclass(kind, strawberry.Info)
