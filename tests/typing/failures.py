"""Errors carry their facts, and can be caught by what they are."""

from typing_extensions import assert_type

from asyncmeta import (
    AmbiguousDependencyError,
    AsyncDependencyError,
    AsyncMetaError,
    AsyncServiceBase,
    BuildTimeoutError,
    CaptiveDependencyError,
    CircularDependencyError,
    ClosedError,
    Container,
    ContainerError,
    DeclarationError,
    FactoryError,
    FinalizationErrors,
    GraphError,
    GraphErrors,
    MissingDependencyError,
    ScopeError,
    WrongLoopError,
)


class Shop(AsyncServiceBase):
    pass


def groups() -> None:
    try:
        Container(Shop)
    except* MissingDependencyError as missing:
        for problem in missing.exceptions:
            print(problem)
    except* CircularDependencyError:
        pass


def one_by_one() -> None:
    try:
        Container(Shop)
    except GraphErrors as errors:
        assert_type(errors.exceptions, tuple[GraphError | ExceptionGroup[GraphError], ...])
    except GraphError as error:
        assert_type(error, GraphError)


async def facts(container: Container) -> None:
    try:
        await container.get(Shop)
    except MissingDependencyError as missing:
        assert_type(missing.key, str)
        assert_type(missing.path, tuple[str, ...])
        assert_type(missing.close_to, tuple[str, ...])
    except (CircularDependencyError, CaptiveDependencyError, AmbiguousDependencyError, AsyncDependencyError) as other:
        assert_type(other.key, str)
        assert_type(other.path, tuple[str, ...])
    except BuildTimeoutError as late:
        assert_type(late.key, str)
        assert_type(late.seconds, float)
    except DeclarationError as wrong:
        assert_type(wrong.where, str)
    except (ClosedError, WrongLoopError, ScopeError, ContainerError, FactoryError) as misuse:
        print(misuse)
    except FinalizationErrors as closing:
        assert_type(closing, FinalizationErrors)
        for failed in closing.exceptions:
            print(failed)


def kinds(
    missing: MissingDependencyError, closed: ClosedError, late: BuildTimeoutError, wrong: DeclarationError
) -> tuple[LookupError, RuntimeError, TimeoutError, TypeError, list[AsyncMetaError]]:
    return missing, closed, late, wrong, [missing, closed, late, wrong]


def mistakes(error: GraphError, missing: MissingDependencyError, closed: ClosedError) -> None:
    print(error.key)  # E: facts belong to the single errors
    print(closed.close_to)  # E: not a fact of this one
    missing.key = "x"  # E: read only
    circular: CircularDependencyError = missing  # E: another error
    print(circular)
