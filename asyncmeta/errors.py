"""
Every error: what happened, the facts as attributes, a way out.

Facts are positional arguments and the text is made from them in ``__str__``: so errors can be pickled, and a test can
look at either.  Facts hold names (text), never values of the program and never our own machinery.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Self

from ._names import arrow, plural

__all__ = [
    "AmbiguousDependencyError",
    "AsyncDependencyError",
    "AsyncMetaError",
    "BuildTimeoutError",
    "CaptiveDependencyError",
    "CircularDependencyError",
    "ClosedError",
    "ContainerError",
    "DeclarationError",
    "FactoryError",
    "FinalizationErrors",
    "GraphError",
    "GraphErrors",
    "MissingDependencyError",
    "ScopeError",
    "WrongLoopError",
]


class AsyncMetaError(Exception):
    """Everything that this package raises of its own accord."""


class DeclarationError(AsyncMetaError, TypeError):
    """
    Something is written wrongly, at a place that can be named.

    Attributes:
        message: What is wrong and what to write instead.
        where: "file.py:14", or "" where nobody wrote it in a file.
    """

    def __init__(self, message: str, where: str = "") -> None:
        self.message, self.where = message, where
        super().__init__(message, where)

    def __str__(self) -> str:
        return f"{self.message} ({self.where})" if self.where else self.message


class GraphError(AsyncMetaError):
    """What was declared does not fit together."""


class _Problem(GraphError):
    """
    One problem of the graph.

    Attributes:
        key: What it is about, by name.
        path: Who needs it, from the outermost down to the key, by name.
        where: The place that asks, "file.py:14", or "".
    """

    def __init__(self, key: str, path: Sequence[str] = (), where: str = "", *more: Any) -> None:
        self.key: Final = key
        self.path: Final = tuple(path)
        self.where: Final = where
        super().__init__(key, self.path, where, *more)

    asker = ""  #: what its path does not say of who asks: "of make_basket", a function; "for Mailer", the key of a class

    def _needed_by(self) -> str:
        """Say who asked, and where."""
        said = f", needed by {self.path[-2]}" if len(self.path) > 1 else ""
        if said and self.asker:
            said += f" {self.asker}"
        return f"{said} ({self.where})" if self.where else said

    def _drawn(self) -> str:
        """Draw the path on a line of its own where it says more than the first line."""
        return f"\n  {arrow(self.path)}" if len(self.path) > 2 else ""


class MissingDependencyError(_Problem, LookupError):
    """
    Nothing is registered for a key that something needs.

    Attributes:
        close_to: Registered keys with a similar name.
        hint: A sentence about this very case, or "".
        asker: What the path does not say of who asks: "of make_basket", a function, "for Mailer", the key of a class, or "".
    """

    def __init__(
        self,
        key: str,
        path: Sequence[str] = (),
        where: str = "",
        close_to: Sequence[str] = (),
        hint: str = "",
        asker: str = "",
    ) -> None:
        self.close_to, self.hint, self.asker = tuple(close_to), hint, asker
        super().__init__(key, path, where, self.close_to, hint, asker)

    def __str__(self) -> str:
        lines = [f"nothing provides {self.key}{self._needed_by()}{self._drawn()}"]
        if self.hint:
            lines.append(f"  {self.hint}")
        if self.close_to:
            lines.append(f"  Did you mean {' or '.join(self.close_to)}?  Or register it: @inject_dependency({self.key})")
        elif not self.hint:
            lines.append(f"  Register it: @inject_dependency({self.key})")
        return "\n".join(lines)


class CircularDependencyError(_Problem):
    """
    Something needs itself, directly or through others; the path ends where it began.

    Attributes:
        hint: A sentence about this very case, or "".
    """

    def __init__(self, key: str, path: Sequence[str] = (), where: str = "", hint: str = "") -> None:
        self.hint = hint
        super().__init__(key, path, where, hint)

    def __str__(self) -> str:
        if self.hint:
            return f"{self.key} needs itself{f' ({self.where})' if self.where else ''}\n  {arrow(self.path)}\n  {self.hint}"
        place = f" ({self.where})" if self.where else ""
        return (
            f"{self.key} needs itself{place}\n  {arrow(self.path)}\n"
            "  Take one of them late: annotate the parameter Lazy[...], or await an AsyncDependencyDescriptor"
        )


class CaptiveDependencyError(_Problem):
    """
    A value would keep another beyond its life.

    Attributes:
        lifetime: How long the holder, the first of the path, lives.
        shorter: How long the key lives.
    """

    def __init__(
        self, key: str, path: Sequence[str] = (), where: str = "", lifetime: str = "singleton", shorter: str = "scoped"
    ) -> None:
        self.lifetime, self.shorter = lifetime, shorter
        super().__init__(key, path, where, lifetime, shorter)

    def __str__(self) -> str:
        holder = self.path[0].rpartition(".")[0] if self.path else "something"
        place = f" ({self.where})" if self.where else ""
        return (
            f"{holder} is {self.lifetime} and would keep {self.key}, which is {self.shorter}, beyond its life{place}\n"
            f"  {arrow(self.path)}\n"
            f"  Give {holder} the lifetime {self.shorter!r}, or open a scope where {self.key} is used"
        )


class AmbiguousDependencyError(_Problem):
    """
    Two modules register one key in the same layer, or two members of a key have one name there.

    Attributes:
        places: Where each of them was written.
        asker: What the path does not say of who asks, as of `MissingDependencyError`.
        how: What is wrong with it, in words.
    """

    def __init__(
        self,
        key: str,
        path: Sequence[str] = (),
        where: str = "",
        places: Sequence[str] = (),
        asker: str = "",
        how: str = "by more than one module",
    ) -> None:
        self.places, self.asker, self.how = tuple(places), asker, how
        super().__init__(key, path, where, self.places, asker, how)

    def __str__(self) -> str:
        return (
            f"{self.key} is registered {self.how}: {', '.join(self.places)}{self._needed_by()}{self._drawn()}\n"
            "  Say replace=True where the later one is meant to win, or register on a service class of your own: on=..."
        )


class AsyncDependencyError(_Problem):
    """
    A synchronous call meets something that has to be awaited.

    Attributes:
        reason: Why it cannot be had at once.
        advice: What to do instead.
    """

    def __init__(
        self,
        key: str,
        path: Sequence[str] = (),
        where: str = "",
        reason: str = "has to be awaited",
        advice: str = "Await it: `await container.get(...)`, or build it beforehand with `await container.start()`",
    ) -> None:
        self.reason, self.advice = reason, advice
        super().__init__(key, path, where, reason, advice)

    def __str__(self) -> str:
        place = f" ({self.where})" if self.where else ""
        return f"{self.key} {self.reason}{place}{self._drawn()}\n  {self.advice}"


class GraphErrors(GraphError, ExceptionGroup[GraphError]):
    """
    All problems of a graph at once; the text names each.

    A group: ``except* MissingDependencyError`` reaches the single ones, ``except GraphError`` catches the whole.
    """

    @classmethod
    def of(cls, what: str, problems: Sequence[GraphError]) -> GraphErrors:
        """Return the group of what is wrong with *what*; its text tells every problem."""
        told = "\n".join(f"- {str(problem).replace(chr(10), chr(10) + '  ')}" for problem in problems)
        return cls(f"{what} has {plural(len(problems), 'problem')}\n{told}", problems)

    def derive(self, excs: Sequence[GraphError], /) -> Self:  # type: ignore[override]  # ours hold GraphErrors only
        return type(self)(self.message, excs)

    def __str__(self) -> str:
        return self.message


class ContainerError(AsyncMetaError, RuntimeError):
    """A container or scope is asked for something that it cannot do now."""


class ClosedError(ContainerError):
    """The container or scope is closed, or closing."""


class WrongLoopError(ContainerError):
    """Something would have to be built in another event loop, or thread, than the one the container belongs to."""


class ScopeError(ContainerError):
    """A value belongs to a scope that is not there: none open, a context value absent, a service unbound."""


class FactoryError(AsyncMetaError):
    """A generator factory never yields, or yields twice."""


class BuildTimeoutError(AsyncMetaError, TimeoutError):
    """
    A factory took longer than its ``timeout=``.

    Attributes:
        key: What was being built, by name.
        seconds: The limit.
    """

    def __init__(self, key: str, seconds: float) -> None:
        self.key, self.seconds = key, seconds
        # One argument only: TimeoutError is an OSError and would read two as errno and text.
        super().__init__(f"building {key} took longer than {seconds:g} s")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.key, self.seconds), vars(self)  # notes too


class FinalizationErrors(AsyncMetaError, ExceptionGroup[Exception]):
    """
    What finalizers raised, in the order in which they ran; also a single one.

    All other finalizers have run all the same.
    """

    def derive(self, excs: Sequence[Exception], /) -> Self:  # type: ignore[override]  # the base promises any member
        return type(self)(self.message, excs)

    @classmethod
    def of(cls, errors: Sequence[Exception]) -> FinalizationErrors:
        """Return the group of *errors*, with a text that counts them."""
        return cls(f"closing met {plural(len(errors), 'error')}", errors)
